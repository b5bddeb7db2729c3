"""What compression changed in a model's behaviour, as plain values: read by the page without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from compression.types import SpeechSource, TextSource

START_SHARE = 0.1
"""Damage starts at the first block whose error is at least this share of the largest."""
HEALED_SHARE = 0.8
"""It heals, in part, where the error behind the last block is below this share of the largest."""

Unit = Literal["token", "word"]
StageKind = Literal["embeddings", "block", "norm"]


@dataclass(frozen=True)
class UnitChange:
    """A token of a text, or a word of a transcript, under both models.

    Attributes:
        text: what it adds to the text; empty for a token whose character the next one completes.
        passage: which window of the text, or which stretch of speech, it stands in, from 0.
        dense_says: what the dense model holds most probable in its place; empty where nothing is predicted.
        compressed_says: likewise for the compressed model.
        dense_loss: negative log-likelihood of the unit, in nats; None where it is given and not predicted. That of a
            word is the sum over its tokens.
        compressed_loss: likewise for the compressed model.
        flipped: whether the most probable token differs, at any of its tokens.
    """

    text: str
    passage: int
    dense_says: str = ""
    compressed_says: str = ""
    dense_loss: float | None = None
    compressed_loss: float | None = None
    flipped: bool = False

    @property
    def rise(self) -> float | None:
        """By how much its loss rose, in nats; None where it is not predicted."""
        if self.dense_loss is None or self.compressed_loss is None:
            return None
        return self.compressed_loss - self.dense_loss


@dataclass(frozen=True)
class DriftStage:
    """The relative error of the hidden state at one place in depth.

    With H the dense model's hidden states, a row a position, and Ĥ the compressed model's.

    Attributes:
        stack: ``encoder`` or ``decoder`` where there are both; else empty.
        kind: what enters the first block, what leaves a block, or what leaves the final norm.
        block: index of the block in its stack; None elsewhere.
        pooled: ‖Ĥ − H‖ / ‖H‖ (Frobenius): a few positions with huge norms may count for nearly all of it.
        median: the median over positions of ‖ĥ − h‖ / ‖h‖: that of a typical position.
    """

    stack: str
    kind: StageKind
    block: int | None
    pooled: float
    median: float


@dataclass(frozen=True)
class DriftVerdict:
    """Where the damage of one stack starts, and whether it heals, by the median over positions.

    Attributes:
        stack: as in `DriftStage`.
        start: first block whose error is at least `START_SHARE` of the largest; None where there is no error at all.
        start_error: its error.
        peak: block with the largest error.
        peak_error: that error.
        last: the last block.
        last_error: the error behind it.
    """

    stack: str
    start: int | None
    start_error: float
    peak: int
    peak_error: float
    last: int
    last_error: float

    @property
    def heals(self) -> bool:
        """Whether the error falls again, below `HEALED_SHARE` of the largest, before the stack ends."""
        return self.last_error < HEALED_SHARE * self.peak_error

    @property
    def healed(self) -> float:
        """Which share of the largest error is gone behind the last block, in [0, 1]."""
        return 1 - self.last_error / self.peak_error if self.peak_error else 0.0


@dataclass(frozen=True)
class DriftReport:
    """How far the compressed model's hidden states are from the dense model's, stage by stage.

    Attributes:
        stages: in the order they run.
        positions: stack → number of positions behind its figures.
    """

    stages: tuple[DriftStage, ...]
    positions: dict[str, int]

    @property
    def verdicts(self) -> tuple[DriftVerdict, ...]:
        """One for each stack, in the order they run."""
        return tuple(_verdict(stack, self.stages) for stack in dict.fromkeys(stage.stack for stage in self.stages))


def _verdict(stack: str, stages: tuple[DriftStage, ...]) -> DriftVerdict:
    errors = {
        stage.block: stage.median
        for stage in stages
        if stage.stack == stack and stage.kind == "block" and stage.block is not None
    }
    peak = max(errors, key=lambda block: errors[block])
    last = max(errors)
    reached = (block for block, error in errors.items() if error >= START_SHARE * errors[peak])
    start = next(reached, None) if errors[peak] > 0 else None
    return DriftVerdict(stack, start, 0.0 if start is None else errors[start], peak, errors[peak], last, errors[last])


@dataclass(frozen=True)
class ChangesReport:
    """What a compressed model does otherwise than the dense one on one text, or on what was said.

    Attributes:
        unit: what is compared: tokens of a text, or words of a transcript; the mark that ends a transcript is one, too.
        units: all of them in their order, also those that are given and not predicted.
        positions: tokens that both models predicted.
        flipped_positions: at how many of them the most probable token differs.
        dense_loss: mean negative log-likelihood over these tokens, in nats.
        compressed_loss: likewise for the compressed model.
        drift: of the hidden states.
        convention: how it was measured, in words.
        source: the text, or the recordings.
        tokens_used: tokens that were read, first ones included.
        tokens_total: tokens of the whole text; of a transcript the same.
        reference: for speech, whose words were shown to both models: ``given``, or what the ``dense`` model wrote.
        method: of compression.
        policy: of allocation.
        removed_fraction: of the compressible weights.
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        notes: fallbacks taken on the way, and recordings that were left out.
        seconds: time both models took for it.
    """

    unit: Unit
    units: tuple[UnitChange, ...]
    positions: int
    flipped_positions: int
    dense_loss: float
    compressed_loss: float
    drift: DriftReport
    convention: str
    source: TextSource | SpeechSource
    tokens_used: int
    tokens_total: int
    reference: Literal["", "given", "dense"] = ""
    method: str = ""
    policy: str = ""
    removed_fraction: float = 0.0
    model_id: str = ""
    model_note: str = ""
    weights_hash: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def predicted(self) -> tuple[UnitChange, ...]:
        """The units that were predicted."""
        return tuple(unit for unit in self.units if unit.rise is not None)

    @property
    def flipped(self) -> int:
        """Number of units whose prediction flipped."""
        return sum(unit.flipped for unit in self.units)

    @property
    def same(self) -> bool:
        """Whether both models give every unit the same loss and the same prediction."""
        return all(not unit.flipped and unit.rise == 0 for unit in self.predicted)

    @property
    def dense_perplexity(self) -> float:
        """Of the dense model: e to the power of its mean loss a token."""
        return perplexity(self.dense_loss)

    @property
    def compressed_perplexity(self) -> float:
        """Likewise of the compressed model."""
        return perplexity(self.compressed_loss)

    def by_rise(self) -> tuple[int, ...]:
        """Places in `units` of those that were predicted, the largest rise first."""
        rises = {place: unit.rise for place, unit in enumerate(self.units) if unit.rise is not None}
        return tuple(sorted(rises, key=lambda place: -rises[place]))

    def around(self, place: int, characters: int = 32) -> tuple[str, str]:
        """The text left and right of a unit, within its passage, of about so many characters, cut between units."""
        passage = self.units[place].passage
        left = right = ""
        for unit in reversed(self.units[:place]):
            if unit.passage != passage or len(left) >= characters:
                break
            left = unit.text + left
        for unit in self.units[place + 1 :]:
            if unit.passage != passage or len(right) >= characters:
                break
            right += unit.text
        return left, right


def perplexity(loss: float) -> float:
    """The perplexity of a mean loss in nats."""
    return math.exp(loss) if loss < 700 else math.inf
