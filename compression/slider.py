"""Everything a slider shows, tabulated beforehand: a page looks up and draws, and computes nothing.

One `SliderTable` belongs to one policy and one set of pins. Its cells are places in one list of sizes that all
policies of a model share, because the same share of the same shape is the same layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from compression import accounting
from compression.allocation import (
    POLICIES,
    SLIDER,
    Evidence,
    Table,
    allocate,
    feasible_fractions,
    feasible_pin,
    is_between,
    pinned_fractions,
    tabulate,
)
from compression.analysis import (
    AnalysisInfo,
    AnyComparison,
    AnyRun,
    BudgetInfo,
    ModelInfo,
    budget_info,
    interpolate_log,
)
from compression.errors import UserError
from compression.recipe import Pins
from compression.types import Allocation, LinearSite


@dataclass(frozen=True)
class SiteSize:
    """What a removed fraction means for a site of some shape; sizes are None where it stays dense or nothing fits.

    Attributes:
        shape: (out, in).
        removed_fraction: in [0, 0.95].
        rank: rank of a low-rank layer of that size.
        num_atoms: atoms k of a dictionary layer of that size.
        nonzeros_per_column: its nonzeros s a column.
    """

    shape: tuple[int, int]
    removed_fraction: float
    rank: int | None
    num_atoms: int | None
    nonzeros_per_column: int | None


@lru_cache(maxsize=65536)
def site_size(shape: tuple[int, int], removed_fraction: float) -> SiteSize:
    """What removing that share means for a site of `shape` (out, in)."""
    if removed_fraction <= 0:
        return SiteSize(shape, 0.0, None, None, None)
    rank = accounting.rank_for(*shape, removed_fraction)
    try:
        size = accounting.dictionary_size_for(*shape, removed_fraction)
    except UserError:  # not one atom fits: a low-rank layer still may
        return SiteSize(shape, removed_fraction, rank, None, None)
    return SiteSize(shape, removed_fraction, rank, size.num_atoms, size.nonzeros_per_column)


@dataclass(frozen=True)
class Position:
    """One position of the slider, over all sites.

    Attributes:
        sizes: for each site in site order, its place in `SliderView.sizes`.
        budget: where the bits go.
        removed_weights: weights removed, over the compressible sites.
        least: smallest removed fraction of a site.
        most: largest removed fraction of a site.
        most_site: index of the site where the largest is.
        dense_sites: how many sites stay dense.
        low_rank_flops: FLOPs a token of the compressible sites, as low-rank layers.
        dictionary_flops: the same as dictionaries whose zeros are skipped; None where a site holds not one atom.
    """

    sizes: tuple[int, ...]
    budget: BudgetInfo
    removed_weights: float
    least: float
    most: float
    most_site: int
    dense_sites: int
    low_rank_flops: int
    dictionary_flops: int | None


@dataclass(frozen=True)
class SliderTable:
    """One policy at every slider position; None where the pins leave no way.

    Attributes:
        policy: its name.
        pins: sites held at a fraction.
        positions: one for each of `SLIDER`.
        smallest: smallest removed fraction that the pins allow.
        largest: largest removed fraction that the pins allow.
    """

    policy: str
    pins: Pins
    positions: tuple[Position | None, ...]
    smallest: float
    largest: float


@dataclass(frozen=True)
class MeasuredSetting:
    """What a method measured under a policy, at the budgets it was measured at, by removed fraction."""

    method: str
    policy: str
    runs: tuple[AnyRun, ...]


@dataclass(frozen=True)
class SliderView:
    """The tables of one model.

    Attributes:
        model: the model.
        sizes: the sizes that occur.
        tables: one a policy.
        dense_flops: FLOPs a token of the dense compressible sites.
        measured: settings that were measured.
        dense_quality: perplexity, or word error rate, of the dense model in the same measurement; None where there is
            none.
        pinned_sites: indices of the sites that pins hold.
    """

    model: ModelInfo
    sizes: tuple[SiteSize, ...]
    tables: tuple[SliderTable, ...]
    dense_flops: int
    measured: tuple[MeasuredSetting, ...]
    dense_quality: float | None
    pinned_sites: tuple[int, ...] = ()


def slider_view(analysis: AnalysisInfo, comparison: AnyComparison | None) -> SliderView:
    """The tables of an analysed model, without pins."""
    largest = SLIDER[-1]
    tables = {policy: (rows, 0.0, largest) for policy, rows in analysis.allocations.items()}
    return _view(analysis.model, tables, (), comparison)


def check_pin(model: ModelInfo, others: Pins, pin: tuple[str, float], removed_fraction: float) -> None:
    """Refuse a pin that leaves no way to meet the target.

    Args:
        model: the model.
        others: the other pins.
        pin: the new one.
        removed_fraction: where the slider stands.

    Raises:
        UserError: naming the smallest and the largest value the new pin could have.
    """
    pattern, value = pin
    limits = feasible_fractions(model.sites, pinned_fractions(model.sites, (*others, pin)))
    if is_between(removed_fraction, limits):
        return
    low, high = feasible_pin(model.sites, others, pattern, removed_fraction)
    if low > high + 1e-9:
        raise UserError(
            f"With {pattern} pinned, {removed_fraction:.0%} cannot be removed whatever the value: move the slider or "
            "take back other pins."
        )
    middle = (low + high) / 2
    low, high = math.ceil(low * 1e3 - 1e-6) / 1e3, math.floor(high * 1e3 + 1e-6) / 1e3
    if low > high:  # no number of three digits lies between them
        low = high = round(middle, 4)
    raise UserError(
        f"Pinned at {value:g}, {pattern} leaves no way to remove {removed_fraction:.0%} of the weights: the smallest "
        f"feasible value is {low:g}, the largest {high:g}."
    )


def pinned_view(
    analysis: AnalysisInfo,
    evidence: Evidence,
    pins: Pins,
    policy: str,
    removed_fraction: float,
    comparison: AnyComparison | None,
) -> SliderView:
    """The tables with pinned sites, everything else solved again to each position's budget.

    Args:
        analysis: of the model.
        evidence: what its allocations are made from.
        pins: sites held at a fraction.
        policy: the policy that is looked at.
        removed_fraction: where the slider stands; it has to stay possible.
        comparison: measured runs, if there are any.

    Raises:
        UserError: for a pin that matches no site, or pins that leave no way to meet `removed_fraction`; the sentence
            says what is possible.
    """
    sites = analysis.model.sites
    allocate(policy, sites, evidence, removed_fraction, pins=pins)
    held = pinned_fractions(sites, pins)
    smallest, largest = feasible_fractions(sites, held)
    tables = {
        name: (tabulate(name, sites, evidence, pins), smallest, largest)
        for name in analysis.allocations
        if evidence.curves is not None or not POLICIES[name].uses_curves
    }
    view = _view(analysis.model, tables, pins, comparison)
    return replace(view, pinned_sites=tuple(i for i, site in enumerate(sites) if site.name in held))


def _view(
    model: ModelInfo, tables: Mapping[str, tuple[Table, float, float]], pins: Pins, comparison: AnyComparison | None
) -> SliderView:
    places: dict[SiteSize, int] = {}
    made = tuple(
        SliderTable(policy, pins, tuple(_position(model, policy, row, places) for row in rows), smallest, largest)
        for policy, (rows, smallest, largest) in tables.items()
    )
    return SliderView(
        model=model,
        sizes=tuple(places),
        tables=made,
        dense_flops=sum(accounting.dense_flops(s.out_features, s.in_features) for s in model.sites),
        measured=measured_settings(comparison),
        dense_quality=comparison.dense.quality if comparison else None,
    )


def _position(
    model: ModelInfo, policy: str, fractions: Sequence[float] | None, places: dict[SiteSize, int]
) -> Position | None:
    if fractions is None:
        return None
    sizes = [
        site_size((site.out_features, site.in_features), fraction)
        for site, fraction in zip(model.sites, fractions, strict=True)
    ]
    names = (site.name for site in model.sites)
    allocation = Allocation(policy, 0.0, dict(zip(names, fractions, strict=True)))
    budget = budget_info(model, allocation)
    most_site = max(range(len(fractions)), key=lambda i: fractions[i])
    dictionaries = [_dictionary_flops(size) for size in sizes]
    return Position(
        sizes=tuple(places.setdefault(size, len(places)) for size in sizes),
        budget=budget,
        removed_weights=budget.site_removed_fraction * model.site_weights,
        least=min(fractions),
        most=fractions[most_site],
        most_site=most_site,
        dense_sites=sum(fraction <= 0 for fraction in fractions),
        low_rank_flops=sum(map(_low_rank_flops, sizes)),
        dictionary_flops=None if None in dictionaries else sum(flops for flops in dictionaries if flops is not None),
    )


def _low_rank_flops(size: SiteSize) -> int:
    return (
        accounting.dense_flops(*size.shape) if size.rank is None else accounting.low_rank_flops(*size.shape, size.rank)
    )


def _dictionary_flops(size: SiteSize) -> int | None:
    if size.rank is None:
        return accounting.dense_flops(*size.shape)
    if size.num_atoms is None or size.nonzeros_per_column is None:
        return None
    return accounting.dictionary_flops(*size.shape, size.num_atoms, size.nonzeros_per_column)


def measured_settings(comparison: AnyComparison | None) -> tuple[MeasuredSetting, ...]:
    """The runs of a comparison by method and policy, each by removed fraction, in the order they came."""
    found: dict[tuple[str, str], list[AnyRun]] = {}
    for run in comparison.runs if comparison else ():
        if run.seed:  # the spread over seeds is the comparison's business
            continue
        found.setdefault((run.method, run.policy), []).append(run)
    return tuple(
        MeasuredSetting(*names, tuple(sorted(runs, key=lambda run: run.removed_fraction_target)))
        for names, runs in found.items()
    )


def nearest(values: Sequence[float], position: float) -> int:
    """Index of the value nearest to `position`, the first of equals."""
    return min(range(len(values)), key=lambda i: abs(values[i] - position))


@dataclass(frozen=True)
class LossRow:
    """What a rank costs at one site: the whitened energy that truncating there loses, as a share."""

    rank: int
    lost_energy: float


def lost_energies(analysis: AnalysisInfo, site: LinearSite) -> tuple[LossRow, ...]:
    """For every rank of a site that saves storage, and the full one, the lost whitened energy; ascending ranks.

    Between the spectrum's points the logarithm is interpolated.
    """
    spectrum = analysis.spectrum_of(site.name)
    ranks = [*range(1, spectrum.break_even_rank + 1), spectrum.full_rank]
    return tuple(
        LossRow(rank, interpolate_log(spectrum.indices, spectrum.whitened_lost_energy, rank))
        for rank in sorted(set(ranks))
    )
