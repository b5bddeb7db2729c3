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
        over_nearest: `gptq` ÷ `nearest`; None where that is zero.
        over_oracle: `gptq` ÷ `oracle`; None where none was asked, or it is zero.
    """

    name: str
    shape: tuple[int, int]
    nearest: float
    gptq: float
    oracle: float | None
    over_nearest: float | None
    over_oracle: float | None


def compared(name: str, shape: tuple[int, int], nearest: float, gptq: float, oracle: float | None) -> GptqSite:
    """A layer with its ratios."""
    return GptqSite(
        name, shape, nearest, gptq, oracle, *(gptq / other if other else None for other in (nearest, oracle))
    )


@dataclass(frozen=True)
class GptqSetting:
    """All layers at one setting; the ratios are geometric means over the layers that have one.

    Attributes:
        bits: of a code.
        sites: the layers.
        seconds: GPTQ of all layers.
        over_nearest: GPTQ's error over that of rounding to nearest.
        over_oracle: GPTQ's error over the oracle's; None where none was asked.
        worst_over_nearest: the largest such ratio of a layer.
        worst_over_oracle: the largest such ratio of a layer.
    """

    bits: int
    sites: tuple[GptqSite, ...]
    seconds: float
    over_nearest: float | None
    over_oracle: float | None
    worst_over_nearest: float | None
    worst_over_oracle: float | None


def summed_up(bits: int, sites: tuple[GptqSite, ...], seconds: float) -> GptqSetting:
    """A setting with the means and the largest of its layers' ratios."""
    ratios = [
        [ratio for ratio in each if ratio]
        for each in ([site.over_nearest for site in sites], [site.over_oracle for site in sites])
    ]
    means = (statistics.geometric_mean(each) if each else None for each in ratios)
    return GptqSetting(bits, sites, seconds, *means, *(max(each, default=None) for each in ratios))


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
        sweeps: how often scales and codes were gone through again; the other implementation has nothing like it.
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
    sweeps: int
    oracle: str
    settings: tuple[GptqSetting, ...]
    environment: Environment
