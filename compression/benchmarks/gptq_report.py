"""What ``bench gptq`` writes: readable without torch."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from compression.types import Environment


@dataclass(frozen=True)
class GptqSite:
    """Relative output errors of one layer, ‖X(W − Ŵ)ᵀ‖ ÷ ‖XWᵀ‖ on the inputs of the dense model.

    Attributes:
        name: module name.
        shape: (out, in).
        nearest: rounded to nearest.
        gptq: by GPTQ.
        oracle: by the other implementation; None where none was asked.
    """

    name: str
    shape: tuple[int, int]
    nearest: float
    gptq: float
    oracle: float | None


@dataclass(frozen=True)
class GptqSetting:
    """All layers at one setting.

    Attributes:
        bits: of a code.
        sites: the layers.
        seconds: GPTQ of all layers.
    """

    bits: int
    sites: tuple[GptqSite, ...]
    seconds: float

    @property
    def over_nearest(self) -> float:
        """Geometric mean of GPTQ's error over that of rounding to nearest."""
        return statistics.geometric_mean(site.gptq / site.nearest for site in self.sites)

    @property
    def over_oracle(self) -> float | None:
        """Geometric mean of GPTQ's error over the oracle's."""
        ratios = [site.gptq / site.oracle for site in self.sites if site.oracle]
        return statistics.geometric_mean(ratios) if ratios else None

    @property
    def worst_over_oracle(self) -> float | None:
        """The largest such ratio of a layer."""
        return max((site.gptq / site.oracle for site in self.sites if site.oracle), default=None)


@dataclass(frozen=True)
class GptqBenchmark:
    """GPTQ beside rounding to nearest and another implementation, layer by layer, on real weights and inputs.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        inputs: what the layers were fed with, in words.
        group_size: weights a group.
        symmetric: whether the grid is symmetric around zero.
        act_order: whether inputs with most energy come first.
        damping: of the Gram matrices.
        oracle: the other implementation; empty where none was asked.
        settings: one for each number of bits.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    inputs: str
    group_size: int
    symmetric: bool
    act_order: bool
    damping: float
    oracle: str
    settings: tuple[GptqSetting, ...]
    environment: Environment
