"""What is trained and measured: classes of sentences with an encoder, or the next token with a language model."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from compression.adaptation.base import Batch
from compression.adaptation.tasks import Encoded, collate, epoch_batches
from compression.adaptation.training import Problem
from compression.adaptation.types import Score
from compression.evaluation.perplexity import measure_perplexity
from compression.types import Progress, TextSource

MEASURE_BATCH = 64
QUICK_ITEMS = 256
"""So many examples are measured on the way; all of them at the end."""
QUICK_WINDOWS = 1


class Classification(Problem):
    """Classes of sentences or pairs of sentences."""

    def __init__(
        self, train: Sequence[Encoded], evaluation: Sequence[Encoded], pad_id: int, batch_size: int, seed: int
    ) -> None:
        """Take encoded examples."""
        self._train, self._evaluation = list(train), list(evaluation)
        self._pad_id, self._batch_size, self._seed = pad_id, batch_size, seed
        self._lengths = [len(item.ids) for item in self._train]

    @property
    def epoch_steps(self) -> int:
        """Number of batches of an epoch."""
        return -(-len(self._train) // self._batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Batches of similar lengths in random order."""
        for places in epoch_batches(self._lengths, self._batch_size, self._seed, epoch):
            yield self._batch(self._train, places)

    def spread_batches(self, count: int) -> list[Batch]:
        """Batches at even steps through the examples sorted by length."""
        order = sorted(range(len(self._train)), key=lambda place: self._lengths[place])
        starts = [round((len(order) - self._batch_size) * (i + 0.5) / count) for i in range(count)]
        return [self._batch(self._train, order[max(s, 0) : max(s, 0) + self._batch_size]) for s in starts]

    def _batch(self, items: Sequence[Encoded], places: Sequence[int]) -> Batch:
        return collate([items[place] for place in places], self._pad_id)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of the classes."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return F.cross_entropy(model(**inputs).logits.float(), batch["labels"])

    def measure(self, model: nn.Module, step: int, quick: bool) -> Generator[Progress, None, Score]:
        """Accuracy, F1 and loss, on the first examples only if it must be quick."""
        count = min(QUICK_ITEMS, len(self._evaluation)) if quick else len(self._evaluation)
        items = self._evaluation[:count]
        order = sorted(range(count), key=lambda place: len(items[place].ids))
        answers, losses = torch.zeros(count, dtype=torch.long), torch.zeros(count)
        for start in range(0, count, MEASURE_BATCH):
            places = order[start : start + MEASURE_BATCH]
            batch = self._batch(items, places)
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            with torch.no_grad():
                logits = model(**inputs).logits.float()
            answers[places] = logits.argmax(-1)
            losses[places] = F.cross_entropy(logits, batch["labels"], reduction="none")
            yield Progress("score", min(start + MEASURE_BATCH, count), count, f"measuring: {count} examples")
        labels = torch.tensor([item.label for item in items])
        right = answers == labels
        return Score(
            step=step,
            items=count,
            accuracy=right.float().mean().item(),
            f1=f1_score(answers, labels),
            loss=losses.mean().item(),
            correct="".join("1" if value else "0" for value in right.tolist()),
        )


def f1_score(answers: Tensor, labels: Tensor) -> float:
    """``2·TP ÷ (2·TP + FP + FN)`` of class 1 with two classes (as GLUE has it); else the mean over the classes.

    Args:
        answers: (items,), class indices.
        labels: (items,).
    """
    classes = range(int(torch.cat([answers, labels]).max()) + 1)
    scores = []
    for label in classes if len(classes) > 2 else (1,):
        both = int(((answers == label) & (labels == label)).sum())
        either = int((answers == label).sum() + (labels == label).sum())
        scores.append(2 * both / either if either else 0.0)
    return sum(scores) / len(scores)


class LanguageModelling(Problem):
    """The next token of a text."""

    def __init__(
        self,
        sequences: Tensor,
        evaluation: Tensor,
        source: TextSource,
        batch_size: int,
        seed: int,
        window: int = 1024,
        max_windows: int | None = 4,
        one_by_one: bool = False,
    ) -> None:
        """Take token ids: (sequences, length) to train on, (tokens,) to measure on in windows.

        A large model computes its sequences `one_by_one`: a page that waits for a whole batch of them looks dead.
        """
        self._sequences, self._evaluation, self._source = sequences, evaluation, source
        self._batch_size, self._seed = min(batch_size, len(sequences)), seed
        self._window, self._max_windows = window, max_windows
        self._one_by_one = one_by_one

    @property
    def epoch_steps(self) -> int:
        """Number of whole batches of an epoch."""
        return len(self._sequences) // self._batch_size

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Whole batches of the sequences in random order."""
        generator = torch.Generator().manual_seed(1_000_003 * self._seed + epoch)
        order = torch.randperm(len(self._sequences), generator=generator)
        for start in range(0, self.epoch_steps * self._batch_size, self._batch_size):
            yield {"input_ids": self._sequences[order[start : start + self._batch_size]]}

    def parts(self, batch: Batch) -> Sequence[Batch]:
        """The sequences one by one, or the batch as it is."""
        return [{"input_ids": sequence[None]} for sequence in batch["input_ids"]] if self._one_by_one else [batch]

    def spread_batches(self, count: int) -> list[Batch]:
        """All are equally long: the first ones."""
        return [batch for batch, _ in zip(self.batches(0), range(count), strict=False)]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean negative log-likelihood a token."""
        tokens = batch["input_ids"]
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def measure(self, model: nn.Module, step: int, quick: bool) -> Generator[Progress, None, Score]:
        """Perplexity under the convention of all other measurements."""
        windows = QUICK_WINDOWS if quick else self._max_windows
        assert isinstance(model, PreTrainedModel)
        report = yield from measure_perplexity(model, self._evaluation, self._source, 0, self._window, windows)
        loss = report.negative_log_likelihood
        return Score(step, report.tokens, None, None, loss, report.perplexity, window_losses=report.window_losses)
