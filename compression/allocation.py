"""Allocation policies: sites, spectra and a budget in, a removed fraction for every site out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.accounting import average_removed_fraction, check_removed_fraction
from compression.errors import UserError
from compression.types import MAX_REMOVED_FRACTION, Allocation, LinearSite

Spectra = dict[str, Tensor]
"""Site name → singular values of the original weight, descending, float64."""


@dataclass(frozen=True)
class Guards:
    """Bounds on what a single site may lose.

    Attributes:
        least: every site loses at least this share.
        most: no site loses more than this share, unless the target itself is above it.
    """

    least: float = 0.0
    most: float = 0.8

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            UserError: unless 0 ≤ least ≤ most ≤ 0.95.
        """
        if not 0 <= self.least <= self.most <= MAX_REMOVED_FRACTION:
            raise UserError(
                f"Guards must satisfy 0 ≤ least ≤ most ≤ {MAX_REMOVED_FRACTION}, but {self.least} and {self.most} were "
                "given."
            )


Policy = Callable[[tuple[LinearSite, ...], Spectra, float, Guards], dict[str, float]]


def uniform(
    sites: tuple[LinearSite, ...], spectra: Spectra, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """The same share everywhere."""
    return {site.name: removed_fraction for site in sites}


def pooled(
    sites: tuple[LinearSite, ...], spectra: Spectra, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """Trim the smallest normalised singular values of all sites together until the budget is met.

    Each site's singular values are divided by its Frobenius norm and pooled. For a threshold τ a site loses
    ``clip(#{σ < τ} / min(m, n), least, most)``; τ is the smallest pooled value whose average over all weights
    reaches the target.

    Source: COMPOT (2602.15200), one-shot global allocation. The guards and the map from trimmed values to a removed
    fraction are not published; these are ours.
    """
    most = max(guards.most, removed_fraction)
    least = min(guards.least, removed_fraction)
    normalised = [(spectra[site.name] / spectra[site.name].norm().clamp_min(1e-300)).flip(0) for site in sites]
    candidates = torch.cat([*normalised, torch.tensor([torch.inf], dtype=torch.float64)]).unique()

    def fractions_at(threshold: Tensor) -> dict[str, float]:
        counts = (int(torch.searchsorted(values, threshold)) / len(values) for values in normalised)
        return {site.name: min(max(count, least), most) for site, count in zip(sites, counts, strict=True)}

    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if average_removed_fraction(sites, fractions_at(candidates[middle])) >= removed_fraction - 1e-12:
            high = middle
        else:
            low = middle + 1
    return fractions_at(candidates[low])


POLICIES: dict[str, Policy] = {"uniform": uniform, "pooled": pooled}
"""Name → policy. A removed fraction of 0 means that a site stays dense."""


def allocate(
    policy: str,
    sites: tuple[LinearSite, ...],
    spectra: Spectra,
    removed_fraction: float,
    guards: Guards | None = None,
) -> Allocation:
    """Split the budget over the sites.

    Args:
        policy: a name in `POLICIES`.
        sites: the model's sites.
        spectra: singular values of every site.
        removed_fraction: target over all sites, in [0, 0.95].
        guards: bounds for each site.

    Raises:
        UserError: for an unknown policy or a fraction out of range.
    """
    if policy not in POLICIES:
        raise UserError(f"There is no allocation policy {policy!r}: expected one of {', '.join(POLICIES)}.")
    target = check_removed_fraction(removed_fraction)
    if target == 0:
        return Allocation(policy, 0.0, {site.name: 0.0 for site in sites})
    return Allocation(policy, target, POLICIES[policy](sites, spectra, target, guards or Guards()))
