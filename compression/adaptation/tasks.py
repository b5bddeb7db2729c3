"""Classification tasks: their examples, where they come from, and how they become batches.

``mrpc`` and ``sst2`` come from the Hub or from files, ``era`` from a small package or from files. No example that
occurs in training stays in the evaluation.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compression import hub, store
from compression.adaptation import era, task_files
from compression.adaptation.types import LANGUAGE_MODELLING, TASKS
from compression.errors import UserError
from compression.types import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

CLASSIFICATION = tuple(name for name in TASKS if name != LANGUAGE_MODELLING)
LABELS: dict[str, tuple[str, ...]] = {
    "mrpc": ("not_equivalent", "equivalent"),
    "sst2": ("negative", "positive"),
    "era": era.ERAS,
}
"""Task → names of its classes, in the order of their numbers."""
_NUM_TEXTS = {"mrpc": 2, "sst2": 1, "era": 1}
_GLUE = ("nyu-mll/glue", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
_WITHOUT_HUB = "Check the network, give files with --train and --eval, or take the task era, which needs no Hub."
_CHUNK = 20
"""Batches among which examples are sorted by length."""


@dataclass(frozen=True)
class Example:
    """One or two texts, and the index of their class."""

    texts: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class TaskData:
    """A task with its examples.

    Attributes:
        name: of the task.
        labels: names of the classes.
        train: examples to train on.
        evaluation: examples to measure on; none of them is in `train`.
        train_source: what `train` is, in words.
        evaluation_source: what `evaluation` is, in words.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    evaluation: tuple[Example, ...]
    train_source: str
    evaluation_source: str

    @property
    def majority(self) -> float:
        """Accuracy on `evaluation` of always answering the most frequent class of `train`."""
        ((answer, _),) = Counter(example.label for example in self.train).most_common(1)
        return sum(example.label == answer for example in self.evaluation) / len(self.evaluation)


def load_task(name: str, train: str, evaluation: str) -> Generator[Progress, None, TaskData]:
    """Load a task's examples.

    Args:
        name: one of `CLASSIFICATION`.
        train: a file or folder; empty for what the task brings along.
        evaluation: a file or folder; empty for what the task brings along, or, where `train` is a folder, for that.

    Yields:
        Progress of a download where one is needed.

    Raises:
        UserError: if there is no such task, its examples cannot be had, or nothing can be learned or measured on them.
    """
    if name not in CLASSIFICATION:
        raise UserError(f"There is no classification task {name!r}: expected one of {', '.join(CLASSIFICATION)}.")
    train_files = task_files.files_of(train, name, CLASSIFICATION, task_files.TRAIN) if train else []
    place = evaluation or (train if train and os.path.isdir(os.path.expanduser(train)) else "")
    evaluation_files = task_files.files_of(place, name, CLASSIFICATION, task_files.EVALUATION) if place else []
    both = {path.resolve() for path in train_files} & {path.resolve() for path in evaluation_files}
    if both:
        raise UserError(f"{min(both)} is given for training and for evaluation: keep the examples to measure on aside.")
    learned, learned_from = yield from _examples(name, train_files, kept_aside=False)
    measured, measured_on = yield from _examples(name, evaluation_files, kept_aside=True)
    known = {example.texts for example in learned}
    unknown = [example for example in measured if example.texts not in known]
    if measured and not unknown:
        raise UserError("All examples to measure on occur in training: give others with --eval.")
    _check(learned, unknown, LABELS[name])
    left_out = len(measured) - len(unknown)
    return TaskData(
        name,
        LABELS[name],
        tuple(learned),
        tuple(unknown),
        f"{learned_from} (examples: {len(learned)})",
        f"{measured_on} (examples: {len(unknown)}, left out because they occur in training: {left_out})"
        if left_out
        else f"{measured_on} (examples: {len(unknown)})",
    )


def _examples(name: str, files: list[Path], kept_aside: bool) -> Generator[Progress, None, tuple[list[Example], str]]:
    """Examples of files, or else those the task brings along, and what they are in words."""
    if files:
        rows = [row for path in files for row in _labelled(path, name)]
        source = ", ".join(path.name for path in files)
    elif name == "era":
        rows = [((sentence,), label) for sentence, label in (yield from era.load())[kept_aside]]
        source = "sentences of State of the Union addresses"
    else:
        split = "validation" if kept_aside else "train"
        rows = _labelled((yield from _from_hub(name, split)), name)
        source = f"GLUE {name} {split}, from the Hub"
    return [Example(texts, label) for texts, label in rows], source


def _labelled(path: Path, name: str) -> list[tuple[tuple[str, ...], int]]:
    return task_files.read_examples(path, name, LABELS[name], _NUM_TEXTS[name])


def _from_hub(name: str, split: str) -> Generator[Progress, None, Path]:
    """Fetch the one file of a split, read it with `datasets`, and keep texts and labels alone, as JSON Lines."""
    kept = store.root() / "tasks" / f"{name}-{split}-{store.content_key(_GLUE)[:12]}.jsonl"
    if kept.is_file():
        return kept
    path = f"{name}/{split}-00000-of-00001.parquet"
    repo_id, commit = _GLUE
    folder = yield from hub.fetch_dataset_file(repo_id, commit, path, _WITHOUT_HUB)
    from datasets import load_dataset

    # Streamed from the local file: `datasets` then keeps no second copy, only a lock file.
    files = {"train": str(folder / path)}
    rows = load_dataset(
        "parquet", data_files=files, split="train", streaming=True, cache_dir=str(store.root() / "datasets")
    )
    columns = ("label", *(("sentence",) if _NUM_TEXTS[name] == 1 else ("sentence1", "sentence2")))
    lines = [json.dumps({column: row[column] for column in columns}, ensure_ascii=False) + "\n" for row in rows]
    with store.atomic_file(kept) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    shutil.rmtree(folder, ignore_errors=True)
    return kept


def _check(train: Sequence[Example], evaluation: Sequence[Example], labels: Sequence[str]) -> None:
    """Refuse examples that nothing can be learned or measured on."""
    counts = Counter(example.label for example in train)
    if len(counts) < 2:
        raise UserError("The examples to train on are not of two classes: add the missing ones.")
    lonely = next((labels[label] for label, count in counts.items() if count < 2), None)
    if lonely is not None:
        raise UserError(
            f"The class {lonely!r} has one example to train on: every class needs at least two, so add some or remove "
            "it."
        )
    if not evaluation:
        raise UserError("There is no example to measure on: give some with --eval.")
    unknown = next((labels[example.label] for example in evaluation if example.label not in counts), None)
    if unknown is not None:
        raise UserError(f"The class {unknown!r} is among the examples to measure on, but not among those to train on.")


@dataclass(frozen=True)
class Encoded:
    """An example as tokens.

    Attributes:
        ids: tokens, special ones included.
        type_ids: 0 for the first text and 1 for the second; None for a model that does not tell them apart.
        label: index of the class.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None
    label: int


def encode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int) -> list[Encoded]:
    """Examples as tokens, cut to what the model takes, of two texts the longer one first.

    Args:
        tokenizer: of the model.
        examples: at least one.
        max_length: tokens an example at most.
    """
    pairs = len(examples[0].texts) == 2
    encoded = tokenizer(
        [example.texts[0] for example in examples],
        [example.texts[1] for example in examples] if pairs else None,
        truncation=True,
        max_length=min(max_length, tokenizer.model_max_length),
        padding=False,
    )
    kinds = encoded["token_type_ids"] if "token_type_ids" in tokenizer.model_input_names else [None] * len(examples)
    return [
        Encoded(tuple(ids), None if types is None else tuple(types), example.label)
        for ids, types, example in zip(encoded["input_ids"], kinds, examples, strict=True)
    ]


def collate(items: Sequence[Encoded], pad_id: int) -> dict[str, Tensor]:
    """A batch as the model is called with, padded on the right to its longest example.

    Returns:
        ``input_ids``, ``attention_mask`` and, where the model tells two texts apart, ``token_type_ids``, each
        (examples, tokens), and ``labels`` (examples).
    """
    import torch

    longest = max(len(item.ids) for item in items)

    def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
        return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])

    batch = {
        "input_ids": padded([item.ids for item in items], pad_id),
        "attention_mask": padded([[1] * len(item.ids) for item in items], 0),
        "labels": torch.tensor([item.label for item in items]),
    }
    types = [item.type_ids for item in items if item.type_ids is not None]
    if types:
        batch["token_type_ids"] = padded(types, 0)
    return batch


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch: shuffled, but each of examples of similar length, so that little is padding.

    Args:
        lengths: tokens of every example.
        batch_size: examples a batch; one batch may have fewer.
        seed: of the order.
        epoch: every epoch has an order of its own.

    Returns:
        Indices of examples, each once.
    """
    order = list(range(len(lengths)))
    shuffler = random.Random(f"{seed} {epoch}")
    shuffler.shuffle(order)
    chunk = _CHUNK * batch_size
    by_length = [
        index
        for start in range(0, len(order), chunk)
        for index in sorted(order[start : start + chunk], key=lambda each: lengths[each])
    ]
    batches = [by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size)]
    shuffler.shuffle(batches)
    return batches
