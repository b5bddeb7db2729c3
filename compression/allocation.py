"""Allocation policies: sites, evidence and a budget in, a removed fraction for every site out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor

from compression.accounting import average_removed_fraction, check_removed_fraction
from compression.errors import UserError
from compression.recipe import OWN, Guards, Pins
from compression.types import MAX_REMOVED_FRACTION, Allocation, LinearSite

Spectra = dict[str, Tensor]
"""Site name → singular values of the original weight, descending, float64."""

CURVE_FRACTIONS = (0.02, 0.05, *(round(0.05 * step, 2) for step in range(2, 20)))
"""Removed fractions at which error curves are computed: 0.02, 0.05, 0.10 … 0.95."""
CHOICES = (0.0, *(round(0.01 * step, 2) for step in range(2, 96)))
"""Removed fractions that `fisher` chooses from. 0 is "stay dense"; the step from there to the first is no
interpolation, because a factorised layer has an error however little it removes."""


@dataclass(frozen=True)
class LossCurves:
    """Predicted loss of every site at `CURVE_FRACTIONS`, in nats a token (`CompressionMethod.predicted_losses`).

    Attributes:
        losses: site name → one value for each of `CURVE_FRACTIONS`, made non-decreasing.
    """

    losses: dict[str, tuple[float, ...]]

    def at(self, site: str, removed_fraction: float) -> float:
        """Predicted loss of removing a fraction of one site: 0 at 0, else interpolated linearly."""
        if removed_fraction <= 0:
            return 0.0
        return float(np.interp(removed_fraction, CURVE_FRACTIONS, self.losses[site]))

    def total(self, removed_fractions: dict[str, float]) -> float:
        """Predicted loss of an allocation, in nats a token."""
        return math.fsum(self.at(site, fraction) for site, fraction in removed_fractions.items())


@dataclass(frozen=True)
class Evidence:
    """What a policy may look at.

    Attributes:
        spectra: for `pooled`.
        curves: for `fisher`; None where no gradients were taken.
    """

    spectra: Spectra = field(default_factory=dict)
    curves: LossCurves | None = None


Split = Callable[[tuple[LinearSite, ...], Evidence, float, Guards], dict[str, float]]


@dataclass(frozen=True)
class Policy:
    """A way to split the budget.

    Attributes:
        split: sites, evidence, target and guards in, removed fractions out.
        uses_spectra: whether it looks at singular values.
        uses_curves: whether it looks at error curves, and so at gradients.
    """

    split: Split
    uses_spectra: bool = False
    uses_curves: bool = False


def uniform(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """The same share everywhere."""
    return {site.name: removed_fraction for site in sites}


def pooled(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
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
    spectra = evidence.spectra
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


def fisher(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """Minimise the predicted loss summed over the sites; staying dense is one of the choices.

    For a price λ a weight every site takes the choice with the least ``loss − λ · weights removed``; λ is found by
    bisection. At the λ where the budget is crossed some sites jump: they jump one after the other, those first that
    cost least a weight, and the last one only as far as the budget asks.

    Source: this project. The curves come from `CompressionMethod.predicted_losses`: the second-order change of the
    loss, each site's input side divided by the positions *it* saw, so that sites that see different lengths compare.
    """
    assert evidence.curves is not None
    most = max(guards.most, removed_fraction)
    least = min(guards.least, removed_fraction)
    choices = np.array(sorted({c for c in CHOICES if least <= c <= most} | {least, most}))
    loss = np.array([[evidence.curves.at(site.name, choice) for choice in choices] for site in sites])
    weights = np.array([site.num_weights for site in sites], dtype=float)
    removed = weights[:, None] * choices
    budget = removed_fraction * weights.sum()

    def best(log_price: float) -> np.ndarray:
        return (loss - math.exp(log_price) * removed).argmin(1)

    rows = np.arange(len(sites))
    low, high = math.log(1e-300), math.log(1e300)
    for _ in range(200):
        middle = (low + high) / 2
        if removed[rows, best(middle)].sum() >= budget:
            high = middle
        else:
            low = middle
    before, after = best(low), best(high)
    if removed[rows, before].sum() >= budget:  # at no price at all some sites give more than is asked for
        before, after = np.zeros_like(before), before
    fractions = choices[before]
    gain = removed[rows, after] - removed[rows, before]
    cost = loss[rows, after] - loss[rows, before]
    missing = budget - removed[rows, before].sum()
    for row in sorted(np.flatnonzero(gain > 0), key=lambda i: cost[i] / gain[i]):
        if missing <= 0:
            break
        step = min(gain[row], missing)
        fractions[row] = max(fractions[row] + step / weights[row], min(CURVE_FRACTIONS[0], choices[after[row]]))
        missing -= step
    return {site.name: float(fraction) for site, fraction in zip(sites, fractions, strict=True)}


POLICIES: dict[str, Policy] = {
    "uniform": Policy(uniform),
    "pooled": Policy(pooled, uses_spectra=True),
    "fisher": Policy(fisher, uses_curves=True),
}
"""Name → policy. A removed fraction of 0 means that a site stays dense."""


def check_policy(policy: str) -> None:
    """Raise a UserError unless there is such a policy (``own`` counts)."""
    if policy not in POLICIES and policy != OWN:
        raise UserError(f"There is no allocation policy {policy!r}: expected one of {', '.join(POLICIES)} or {OWN}.")


def pinned_fractions(sites: tuple[LinearSite, ...], pins: Pins) -> dict[str, float]:
    """Which sites the pins hold, and at which fraction.

    Raises:
        UserError: if a pattern matches no site.
    """
    held: dict[str, float] = {}
    for pattern, fraction in pins:
        matched = [site.name for site in sites if fnmatchcase(site.name, pattern)]
        if not matched:
            raise UserError(f"No site is called {pattern!r}: expected a name such as {sites[0].name!r}, or a pattern.")
        held |= dict.fromkeys(matched, check_removed_fraction(fraction))
    return held


def allocate(
    policy: str,
    sites: tuple[LinearSite, ...],
    evidence: Evidence,
    removed_fraction: float,
    guards: Guards | None = None,
    pins: Pins = (),
) -> Allocation:
    """Split the budget over the sites; pinned sites keep their fraction and the rest is solved.

    Args:
        policy: a name in `POLICIES`.
        sites: the model's sites.
        evidence: what the policy looks at.
        removed_fraction: target over all sites, in [0, 0.95].
        guards: bounds for each site that is not pinned.
        pins: sites held at a fraction.

    Raises:
        UserError: for an unknown policy, a fraction out of range, or pins that leave no way to meet the target.
    """
    if policy not in POLICIES:
        raise UserError(f"There is no allocation policy {policy!r}: expected one of {', '.join(POLICIES)}.")
    target = check_removed_fraction(removed_fraction)
    guards = guards or Guards()
    held = pinned_fractions(sites, pins)
    free = tuple(site for site in sites if site.name not in held)
    total = sum(site.num_weights for site in sites)
    gone = sum(site.num_weights * held[site.name] for site in sites if site.name in held)
    left = target * total - gone
    room = sum(site.num_weights for site in free)
    if held:
        smallest, largest = gone / total, (gone + MAX_REMOVED_FRACTION * room) / total
        if not smallest - 1e-4 <= target <= largest + 1e-4:
            feasible = f"{smallest:.4f} and nothing else"
            if room:
                feasible = f"from {math.ceil(smallest * 1e4) / 1e4:.4f} to {math.floor(largest * 1e4) / 1e4:.4f}"
            raise UserError(
                f"With these pins the removed fraction can be {feasible}, but {target} was asked for: change the "
                "target or the pins."
            )
    share = min(max(left / room, 0.0), MAX_REMOVED_FRACTION) if room else 0.0
    if share <= 1e-12:
        solved = {site.name: 0.0 for site in free}
    else:
        solved = POLICIES[policy].split(free, evidence, share, guards)
    fractions = held | solved
    return Allocation(policy, target, {site.name: fractions[site.name] for site in sites})
