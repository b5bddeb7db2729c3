"""All calibration sequences on their way through a model, one block at a time, forwards and backwards.

The statistics of one block, and nothing else that grows with the depth but hidden states, are in memory at a time:

* forward: the hidden states of all sequences stand before block i; the block runs; they stand before block i + 1;
* backward: the hidden states before *every* block were kept (they are small), and the blocks run again one by one,
  last to first, each with the gradient that arrived from above.

Text goes through one stack of blocks. Speech goes through the encoder, which hears thirty seconds however short the
recording is, and through the decoder, which reads the transcript (teacher forcing) and hears, in every block, what left
the encoder. Positions that hold padding are not counted.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_utils import PreTrainedModel

from compression.memory import HEAD_TOKENS
from compression.sites import (
    BlockCall,
    SpeechCalls,
    finish_decoder,
    finish_encoder,
    record_block_calls,
    record_speech_calls,
    run_block,
    run_decoder_block,
    run_head,
    stacks_of,
)
from compression.types import LinearSite, Progress

BATCH_SEQUENCES = 2
HEAD_POSITIONS = HEAD_TOKENS // BATCH_SEQUENCES
"""Of a sequence, for which logits are made at a time."""
"""Sequences a forward pass; larger batches are not faster on two cores."""


class SeenEnough(Exception):  # noqa: N818 - it ends a look, nothing went wrong
    """Raised by whoever watches a block: nothing behind it need run."""


@dataclass(frozen=True)
class SpokenSequences:
    """Recordings and their transcripts, as a speech model takes them.

    Attributes:
        features: log-mel spectrograms padded to the model's window, (clips, mel bins, mel frames).
        tokens: for each clip, the prompt, the transcript and the end token, (length,).
        prompt_tokens: how many tokens of each the model is given: they are not scored.
        positions: for each clip, how many of the encoder's positions count.
    """

    features: Tensor
    tokens: tuple[Tensor, ...]
    prompt_tokens: int
    positions: tuple[int, ...]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.tokens)

    def split(self, size: int) -> tuple[SpokenSequences, ...]:
        """Batches of at most `size` clips, as `Tensor.split` cuts sequences of text."""
        return tuple(self.take(range(start, min(start + size, len(self)))) for start in range(0, len(self), size))

    def take(self, indices: range | tuple[int, ...]) -> SpokenSequences:
        """Some of the clips."""
        return SpokenSequences(
            self.features[list(indices)],
            tuple(self.tokens[i] for i in indices),
            self.prompt_tokens,
            tuple(self.positions[i] for i in indices),
        )

    @property
    def num_scored(self) -> int:
        """Tokens that are scored: the transcript's and the end token."""
        return sum(len(tokens) - self.prompt_tokens for tokens in self.tokens)

    @cached_property
    def read(self) -> Tensor:
        """What the decoder reads: all tokens but the last, padded with each clip's last one, (clips, length)."""
        longest = max(len(tokens) for tokens in self.tokens) - 1
        return torch.stack([torch.cat([t[:-1], t[-1:].expand(longest - len(t) + 1)]) for t in self.tokens])

    @cached_property
    def text_counts(self) -> Tensor:
        """Which of the decoder's positions count: those that hold no padding, (clips, length), boolean."""
        lengths = torch.tensor([len(tokens) - 1 for tokens in self.tokens])
        return torch.arange(self.read.shape[1]) < lengths[:, None]

    def audio_counts(self, length: int) -> Tensor:
        """Which of `length` positions of the encoder count, (clips, length), boolean."""
        return torch.arange(length) < torch.tensor(self.positions)[:, None]

    def loss(self, logits: Tensor) -> Tensor:
        """Summed negative log-likelihood of the scored tokens, in nats, from logits (clips, length, vocabulary)."""
        losses = [
            F.cross_entropy(
                row[self.prompt_tokens - 1 : len(tokens) - 1].float(),
                tokens[self.prompt_tokens :].to(row.device),
                reduction="sum",
            )
            for row, tokens in zip(logits, self.tokens, strict=True)
        ]
        return torch.stack(losses).sum()


Sequences = Tensor | SpokenSequences
"""Token ids, (sequences, length), or recordings with their transcripts."""


def open_stream(model: PreTrainedModel, sequences: Sequences) -> BlockStream:
    """A stream of whatever the model takes."""
    return SpeechStream(model, sequences) if isinstance(sequences, SpokenSequences) else TextStream(model, sequences)


@dataclass(frozen=True)
class StreamBlock:
    """A block on the way: its path inside the model, and the block."""

    path: str
    module: nn.Module

    def sites(self, sites: tuple[LinearSite, ...]) -> list[LinearSite]:
        """Those of some sites that are inside."""
        return [site for site in sites if site.name.startswith(f"{self.path}.")]


class BlockStream:
    """All sequences on their way through the blocks: their hidden states stand before one block at a time.

    Attributes:
        model: what runs; it is not changed.
        blocks: its transformer blocks in the order they run.
        hidden: the hidden states, one tensor (sequences, length, width) a batch.
        batch: the batch that is running, for whoever watches.
        num_scored: tokens behind the loss.
    """

    def __init__(self, model: PreTrainedModel, num_batches: int, num_scored: int) -> None:
        """Remember what to run; nothing runs yet."""
        self.model = model
        self._num_batches = num_batches
        self.num_scored = num_scored
        self.blocks = [
            StreamBlock(f"{stack.path}.{index}", block)
            for stack in stacks_of(model)
            for index, block in enumerate(stack.blocks)
        ]
        self.hidden: list[Tensor] = []
        self.batch = 0
        self._arriving: list[Tensor] = []

    def start(self) -> Generator[Progress, None, None]:
        """Embed all sequences and note with which arguments the model calls its blocks."""
        for index in range(self._num_batches):
            self.hidden.append(self._embed(index))
            yield Progress("calibrate", index + 1, self._num_batches, "calibration: embedding the sequences")

    def run(self, index: int, block: nn.Module | None = None) -> None:
        """Take every sequence through one block, or through another one in its place."""
        block = block or self.blocks[index].module
        # No mode around a loop that yields: it belongs to a thread, and each step may run in another one.
        with torch.no_grad():
            for batch in range(self._num_batches):
                self.batch = batch
                self.hidden[batch] = self._leave(batch, index, block, self._enter(batch, index, self.hidden[batch]))

    def look(self, index: int, block: nn.Module) -> None:
        """Let a watched block run in the place of one, as far as its watcher needs; the sequences stay before it."""
        with torch.no_grad():
            for batch in range(self._num_batches):
                self.batch = batch
                with suppress(SeenEnough):
                    self._leave(batch, index, block, self._enter(batch, index, self.hidden[batch]))

    def turn_back(self) -> None:
        """With all sequences behind the last block: the gradient of the summed loss with respect to what left it."""
        self._arriving = []
        for batch, hidden in enumerate(self.hidden):
            with torch.enable_grad():
                self._arriving.append(self._loss_gradient(batch, hidden))

    def run_back(self, index: int, before: list[Tensor]) -> None:
        """Take the gradients back through one block, which runs again with a graph.

        Args:
            index: of the block; from the last to the first.
            before: the hidden states that stood before it.
        """
        for batch, hidden in enumerate(before):
            self.batch = batch
            # Only the path from output to input: no parameter of the shared model gets a gradient.
            with torch.enable_grad():
                self._arriving[batch] = self._back(batch, index, hidden, self._arriving[batch])

    def counted(self, values: Tensor) -> Tensor:
        """The rows at the positions that count, (positions, features), of what a site of the running batch reads.

        Or of what it writes, or of that's gradient: (sequences, length, features), or with both in one.
        """
        raise NotImplementedError

    def by_sequence(self, values: Tensor) -> Tensor:
        """The same by sequence, (sequences, length, features), zero at positions that do not count."""
        raise NotImplementedError

    def _embed(self, batch: int) -> Tensor:
        """What enters the first block."""
        raise NotImplementedError

    def _loss_gradient(self, batch: int, hidden: Tensor) -> Tensor:
        """The gradient of the summed loss, in nats, with respect to what leaves the last block."""
        last = hidden.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self._loss(batch, last), last)
        return gradient

    def _loss(self, batch: int, last: Tensor) -> Tensor:
        """The summed loss in nats from what leaves the last block."""
        raise NotImplementedError

    def _enter(self, batch: int, index: int, hidden: Tensor) -> Tensor:
        """What enters a block, from what left the one before."""
        return hidden

    def _leave(self, batch: int, index: int, block: nn.Module, hidden: Tensor) -> Tensor:
        """What leaves a block."""
        raise NotImplementedError

    def _back(self, batch: int, index: int, hidden: Tensor, arriving: Tensor) -> Tensor:
        """The gradient before a block from the one behind it; `hidden` is what stood before it."""
        entering = hidden.detach().requires_grad_()
        leaving = self._leave(batch, index, self.blocks[index].module, entering)
        (gradient,) = torch.autograd.grad(leaving, entering, arriving)
        return gradient


class TextStream(BlockStream):
    """Token ids through a language model; every position counts, and every token but the first of a sequence is scored.

    Attributes:
        calls: for each batch, how the model calls every block.
    """

    def __init__(self, model: PreTrainedModel, sequences: Tensor) -> None:
        """Remember what to run, (sequences, length); nothing runs yet."""
        self._batches = sequences.split(BATCH_SEQUENCES)
        self._length = sequences.shape[1]
        super().__init__(model, len(self._batches), sequences.shape[0] * (sequences.shape[1] - 1))
        self.calls: list[tuple[BlockCall, ...]] = []

    def counted(self, values: Tensor) -> Tensor:
        """All rows."""
        return values.reshape(-1, values.shape[-1])

    def by_sequence(self, values: Tensor) -> Tensor:
        """By sequence: OPT's feed-forward layers see the positions of all sequences one after another."""
        return values.reshape(-1, self._length, values.shape[-1])

    def _embed(self, batch: int) -> Tensor:
        hidden, calls = record_block_calls(self.model, self._batches[batch])
        self.calls.append(calls)
        return hidden

    def _leave(self, batch: int, index: int, block: nn.Module, hidden: Tensor) -> Tensor:
        return run_block(block, hidden, self.calls[batch][index])

    def _loss_gradient(self, batch: int, hidden: Tensor) -> Tensor:
        # A position's loss depends on that position alone: logits are never there for many at a time.
        tokens = self._batches[batch]
        pieces = []
        for read, labels, part in zip(
            tokens[:, :-1].split(HEAD_POSITIONS, 1),
            tokens[:, 1:].split(HEAD_POSITIONS, 1),
            hidden[:, :-1].split(HEAD_POSITIONS, 1),
            strict=True,
        ):
            last = part.detach().requires_grad_()
            logits = run_head(self.model, read, last).float()
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten().to(logits.device), reduction="sum")
            pieces.append(torch.autograd.grad(loss, last)[0])
        return torch.cat([*pieces, torch.zeros_like(hidden[:, -1:])], 1)


class SpeechStream(BlockStream):
    """Recordings through a speech model's encoder, then their transcripts through its decoder."""

    def __init__(self, model: PreTrainedModel, sequences: SpokenSequences) -> None:
        """Remember what to run; nothing runs yet."""
        self._batches = sequences.split(BATCH_SEQUENCES)
        super().__init__(model, len(self._batches), sequences.num_scored)
        self._depth = len(stacks_of(model)[0].blocks)
        self._calls: list[SpeechCalls] = []
        self._heard: dict[int, Tensor] = {}
        self._heard_gradients: dict[int, Tensor] = {}

    def counted(self, values: Tensor) -> Tensor:
        """The rows of speech and of the transcript, without the padding behind them."""
        return values[self._counts(values)]

    def by_sequence(self, values: Tensor) -> Tensor:
        """Padding set to zero."""
        return values * self._counts(values)[..., None]

    def _counts(self, values: Tensor) -> Tensor:
        # A site reads either the encoder's positions or the decoder's: as many as entered that stack.
        sequences, calls = self._batches[self.batch], self._calls[self.batch]
        of_audio = values.shape[1] == calls.audio.shape[1]
        counts = sequences.audio_counts(values.shape[1]) if of_audio else sequences.text_counts
        return counts.to(values.device)

    def _embed(self, batch: int) -> Tensor:
        sequences = self._batches[batch]
        self._calls.append(record_speech_calls(self.model, sequences.features, sequences.read))
        return self._calls[batch].audio

    def _enter(self, batch: int, index: int, hidden: Tensor) -> Tensor:
        if index != self._depth:
            return hidden
        self._heard[batch] = finish_encoder(self.model, hidden)
        return self._calls[batch].text

    def _leave(self, batch: int, index: int, block: nn.Module, hidden: Tensor) -> Tensor:
        calls = self._calls[batch]
        if index < self._depth:
            return run_block(block, hidden, calls.encoder[index])
        return run_decoder_block(block, hidden, self._heard[batch], calls.decoder[index - self._depth])

    def _loss(self, batch: int, last: Tensor) -> Tensor:
        return self._batches[batch].loss(finish_decoder(self.model, last))

    def _back(self, batch: int, index: int, hidden: Tensor, arriving: Tensor) -> Tensor:
        if index < self._depth:
            return super()._back(batch, index, hidden, arriving)
        # Every block of the decoder hears the encoder: its share of that gradient is added up on the way.
        first = index == self._depth
        calls = self._calls[batch]
        entering = (calls.text if first else hidden).detach().requires_grad_()
        heard = self._heard[batch].detach().requires_grad_()
        leaving = run_decoder_block(self.blocks[index].module, entering, heard, calls.decoder[index - self._depth])
        gradient, share = torch.autograd.grad(leaving, (entering, heard), arriving)
        total = self._heard_gradients[batch] + share if batch in self._heard_gradients else share
        self._heard_gradients[batch] = total
        if not first:
            return gradient
        last = hidden.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(finish_encoder(self.model, last), last, self._heard_gradients.pop(batch))
        return gradient
