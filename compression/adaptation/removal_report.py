"""What ``bench removal`` writes: readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.adaptation.types import AdaptLatency
from compression.types import Environment

PATTERNS = ("neurons", "heads-and-neurons", "scattered-mlp", "scattered")
"""Where what leaves stands, best first: see `compression.adaptation.removal`."""


@dataclass(frozen=True)
class PatternTiming:
    """A model from which the same share left in one pattern.

    Attributes:
        pattern: of `PATTERNS`.
        removed_fraction: share of the weights of the blocks' linear layers that really left.
        latency: forward passes beside the dense model, one for each batch size.
    """

    pattern: str
    removed_fraction: float
    latency: tuple[AdaptLatency, ...]


@dataclass(frozen=True)
class RemovalReport:
    """The same share removed in several patterns, by the clock.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        target: what was asked for.
        timings: one for each pattern.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    target: float
    timings: tuple[PatternTiming, ...]
    environment: Environment
