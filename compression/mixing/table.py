"""What every choice costs in every layer: stored bits, and the loss predicted by its curvature."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import closing

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compression.calibration import Calibration, Gradients, SiteStatistics
from compression.errors import UserError
from compression.methods import CompressionMethod
from compression.methods.base import second_order_loss
from compression.mixing.report import Choice, MixTable
from compression.modules import CompressedLinear
from compression.parallel import parallel_map
from compression.pipeline import sites_by_input
from compression.quantization.factors import bits_of, quantize_layer, weight_of
from compression.quantization.grid import QuantizationSettings
from compression.sites import read_weight
from compression.types import LinearSite, Progress

WHOLE = Choice(0.0, 16, 0)
DENSE_CHOICES = tuple(
    Choice(0.0, *pair) for pair in ((2, 128), (2, 32), (3, 128), (3, 32), (4, 128), (5, 128), (6, 128), (8, 128))
)
"""Without removing anything."""
FRACTIONS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8)
"""Removed at 16 bits a value."""
FACTOR_GRIDS = ((4, 128), (6, 128))
"""Bits and group sizes of the factors of what removing leaves."""
CHOICES = (
    WHOLE,
    *DENSE_CHOICES,
    *(Choice(fraction, *grid) for fraction in FRACTIONS for grid in ((16, 0), *FACTOR_GRIDS)),
)


def grid_of(choice: Choice) -> QuantizationSettings | None:
    """How a choice rounds; None at 16 bits."""
    return None if choice.bits == WHOLE.bits else QuantizationSettings(choice.bits, choice.group_size)


def make_table(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    calibration: Calibration,
    gradients: Gradients,
) -> Generator[Progress, None, MixTable]:
    """Try every choice on every layer by itself, on the inputs of the dense model.

    ``½ tr(G ΔA H ΔAᵀ) ÷ (N_G N_H)`` of what a layer becomes, as for the policy ``fisher``. Dense matrices are rounded
    by GPTQ as published: its sweeps, which take twice as long again, are made when the mix is. Factors are rounded to
    nearest: GPTQ with a Gram matrix for every row would take most of the time. Both do a little better than predicted.

    Args:
        model: dense; it is not changed.
        sites: its layers.
        method: that removes.
        calibration: statistics of the inputs.
        gradients: statistics of the output gradients.

    Raises:
        UserError: naming the layer whose statistics are unusable.
    """
    bits: dict[str, tuple[int, ...]] = {}
    losses: dict[str, tuple[float, ...]] = {}

    def try_group(group: list[LinearSite]) -> list[tuple[str, list[tuple[int, float]]]]:
        shared = calibration.statistics(group[0].input_group)
        return [(site.name, try_site(site, shared.with_outputs(gradients, site.name))) for site in group]

    def try_site(site: LinearSite, statistics: SiteStatistics) -> list[tuple[int, float]]:
        layer = model.get_submodule(site.name)
        try:
            return _costs(layer, method, statistics)
        except UserError as error:
            raise UserError(f"{site.name}: {error}") from error

    with closing(parallel_map(try_group, sites_by_input(sites))) as results:
        for group in results:
            for name, costs in group:
                bits[name] = tuple(stored for stored, _ in costs)
                losses[name] = tuple(loss for _, loss in costs)
                yield Progress("curves", len(losses), len(sites), f"what every choice costs in {name}")
    return MixTable(CHOICES, {s.name: bits[s.name] for s in sites}, {s.name: losses[s.name] for s in sites})


def _costs(layer: nn.Module, method: CompressionMethod, statistics: SiteStatistics) -> list[tuple[int, float]]:
    """(stored bits, predicted loss) of `CHOICES`, in their order."""
    weight = read_weight(layer).float()
    gram = torch.as_tensor(statistics.gram)
    smaller: dict[float, nn.Module] = {0.0: layer}
    costs = []
    for choice in CHOICES:
        fraction = choice.removed_fraction
        if fraction not in smaller:
            smaller[fraction] = method.compress(weight, None, statistics, fraction).layer
        costs.append(_cost(smaller[fraction], weight, choice, gram, statistics))
    return costs


def _cost(
    layer: nn.Module, weight: Tensor, choice: Choice, gram: Tensor, statistics: SiteStatistics
) -> tuple[int, float]:
    settings = grid_of(choice)
    if settings is not None:
        tried = dataclasses.replace(settings, sweeps=0)
        layer = quantize_layer(layer, None if isinstance(layer, CompressedLinear) else gram, tried)
    return bits_of(layer), second_order_loss(weight - weight_of(layer), statistics)
