"""What ``formats`` reports: plain numbers, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compression.types import Environment, LatencyFigure, LatencyReport, PerplexityReport

FastFormat = Literal["bfloat16", "int8", "int8-weights", "int4"]
"""What a model can be converted to and computed with, see `FormatRun`."""


@dataclass(frozen=True)
class FormatRun:
    """One format.

    Attributes:
        name: ``float32``, ``bfloat16``, ``int8`` (computes in integers), ``int8-weights`` (computes in bfloat16 from
            8-bit codes), ``int4`` (the same from 4-bit codes, with output layer and embeddings as in ``int8-weights``)
            or ``packed-4`` (rounded to nearest, expanded to float32 to run).
        stored_bits: of the whole model on disk, 16 for each value that is not quantised.
        resident_bytes: of the memory that the model's tensors hold after it has run: what is stored, and what it was
            expanded or packed to.
        perplexity: exp of the pooled loss, with the very layers that were timed.
        measured: the measurement with its convention.
        prefill: one prefill.
        decode: a decoded token.
        faster: whether a token takes less time than in float32, by more than noise.
    """

    name: str
    stored_bits: int
    resident_bytes: int
    perplexity: float
    measured: PerplexityReport
    prefill: LatencyFigure
    decode: LatencyFigure
    faster: bool


@dataclass(frozen=True)
class FormatsReport:
    """What ``formats`` writes.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        formats: in the order of the table; the first is what the others are compared with.
        threads: number of threads torch used.
        prompt_tokens: in the prefill.
        decode_tokens: decoded one by one.
        device: name of the processor.
        notes: cautions, a sentence each.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    formats: tuple[FormatRun, ...]
    threads: int
    prompt_tokens: int
    decode_tokens: int
    device: str
    notes: tuple[str, ...]
    environment: Environment


@dataclass(frozen=True)
class TimedFormat:
    """A compressed model that was converted to a format to be timed, and what that costs.

    Attributes:
        name: of the format, see `FormatRun`.
        measured: perplexity and stored bits of the very layers that were timed.
        notes: cautions, a sentence each.
    """

    name: str
    measured: PerplexityReport
    notes: tuple[str, ...]

    @property
    def megabytes(self) -> float:
        """Of the whole model in this format, 10⁶ bytes each."""
        return self.measured.stored_bits / 8e6


@dataclass(frozen=True)
class FormatLatency:
    """A compressed model in a format beside its dense original, in turns.

    Attributes:
        latency: of ``dense`` and ``compressed``, the latter in the format.
        timed: the format and its price.
    """

    latency: LatencyReport
    timed: TimedFormat
