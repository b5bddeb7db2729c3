"""Allocation policies: sites, evidence and a budget in, a removed fraction for every site out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np

from compression.accounting import check_removed_fraction, rank_for
from compression.errors import UserError
from compression.recipe import OWN, Guards, Pins
from compression.types import MAX_REMOVED_FRACTION, Allocation, LinearSite

Spectra = dict[str, np.ndarray]
"""Site name → singular values of the original weight, descending, float64."""
SLIDER = tuple(step / 100 for step in range(96))
"""Removed fractions at which allocations are tabulated: 0 to 0.95 in steps of 0.01."""

CURVE_FRACTIONS = (0.02, 0.05, *(round(0.05 * step, 2) for step in range(2, 20)))
"""Removed fractions at which error curves are computed: 0.02, 0.05, 0.10 … 0.95."""
CHOICES = (0.0, *(round(0.01 * step, 2) for step in range(2, 96)))
"""Removed fractions that `fisher` chooses from. 0 is "stay dense"; the step from there to the first is no
interpolation, because a factorised layer has an error however little it removes."""


@dataclass(frozen=True)
class LossCurves:
    """What removing a share of one site costs: a loss in nats a token, predicted or measured, or an output error.

    Attributes:
        losses: site name → one value for each of `fractions`. Predicted losses (`CompressionMethod.predicted_losses`)
            and relative output errors (`CompressionMethod.output_errors`) are made non-decreasing; measured losses
            (`measure_sensitivities`) are as they came.
        fractions: removed fractions, ascending.
    """

    losses: dict[str, tuple[float, ...]]
    fractions: tuple[float, ...] = CURVE_FRACTIONS

    def at(self, site: str, removed_fraction: float) -> float:
        """Loss of removing a fraction of one site: 0 at 0, else interpolated linearly, level beyond the ends."""
        return float(self.along(site, np.asarray(removed_fraction)))

    def along(self, site: str, removed_fractions: np.ndarray) -> np.ndarray:
        """`at` for many fractions."""
        losses = np.interp(removed_fractions, self.fractions, self.losses[site])
        return np.where(removed_fractions <= 0, 0.0, losses)

    def total(self, removed_fractions: dict[str, float]) -> float:
        """Predicted loss of an allocation, in nats a token."""
        return math.fsum(self.at(site, fraction) for site, fraction in removed_fractions.items())


@dataclass(frozen=True)
class Evidence:
    """What a policy may look at.

    Attributes:
        spectra: for `pooled`.
        curves: for `fisher`; None where no gradients were taken.
        errors: relative output errors of the method, for `knapsack`; None where they were not asked for.
        whitened: singular values of the whitened weights ``LᵀA``, for `svd-llm-v2`.
        sensitivities: for `sensitivity`; None where they were not measured.
        learned: removed fraction of each site that learning ended with, for `learned`.
    """

    spectra: Spectra = field(default_factory=dict)
    curves: LossCurves | None = None
    errors: LossCurves | None = None
    whitened: Spectra = field(default_factory=dict)
    sensitivities: LossCurves | None = None
    learned: dict[str, float] = field(default_factory=dict)

    @cached_property
    def pool(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All singular values over their site's Frobenius norm, ascending.

        Returns:
            The values, the index of each one's site in `spectra`, and its place among that site's values from below.
        """
        normalised = [_normalised(values) for values in self.spectra.values()]
        lengths = [len(values) for values in normalised]
        values = np.concatenate(normalised)
        order = values.argsort(kind="stable")
        owners = np.repeat(np.arange(len(lengths)), lengths)
        places = np.concatenate([np.arange(length) for length in lengths])
        return values[order], owners[order], places[order]


def _normalised(values: np.ndarray) -> np.ndarray:
    """Singular values over their Frobenius norm, ascending."""
    values = np.asarray(values, dtype=np.float64)
    return (values / max(float(np.linalg.norm(values)), 1e-300))[::-1]


Split = Callable[[tuple[LinearSite, ...], Evidence, float, Guards], dict[str, float]]


@dataclass(frozen=True)
class Policy:
    """A way to split the budget.

    Attributes:
        split: sites, evidence, target and guards in, removed fractions out.
        uses_spectra: whether it looks at singular values.
        uses_curves: whether it looks at error curves, and so at gradients.
        uses_whitened: whether it looks at the singular values of whitened weights.
        uses_errors: whether it looks at the method's output errors, and so at calibration inputs.
        uses_sensitivities: whether it looks at losses measured site by site.
        learns: whether a method has to learn it for every target; what it ended with is the evidence.
        joint: whether the method itself decides, over all layers at once; of no use to a method of single layers.
        on_slider: whether a page tabulates it beforehand at every slider position. The others answer to one method or
            one target at a time, or want statistics that a page does not ship.
    """

    split: Split
    uses_spectra: bool = False
    uses_curves: bool = False
    uses_whitened: bool = False
    uses_errors: bool = False
    uses_sensitivities: bool = False
    learns: bool = False
    joint: bool = False
    on_slider: bool = False

    @property
    def uses_calibration(self) -> bool:
        """Whether another calibration may split the budget otherwise."""
        return any((self.uses_curves, self.uses_whitened, self.uses_errors, self.uses_sensitivities, self.learns))


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
    total = sum(site.num_weights for site in sites)
    values, owners, places = evidence.pool
    names = {name: index for index, name in enumerate(evidence.spectra)}
    lengths = np.array([len(spectrum) for spectrum in evidence.spectra.values()])
    weights = np.zeros(len(names))
    for site in sites:
        weights[names[site.name]] = site.num_weights / total
    length = lengths[owners]
    # What each value adds to the share removed when the threshold passes it: its site's count grows by one.
    added = weights[owners] * (np.clip((places + 1) / length, least, most) - np.clip(places / length, least, most))
    ours = weights[owners] > 0
    removed = least + np.cumsum(added)
    last_of_ties = np.append(values[1:] > values[:-1], True)
    passed = -1 if least >= removed_fraction else int(np.argmax(last_of_ties & (removed >= removed_fraction - 1e-10)))
    counts = np.bincount(owners[: passed + 1][ours[: passed + 1]], minlength=len(names))
    shares = np.clip(counts / lengths, least, most)
    return {site.name: float(shares[names[site.name]]) for site in sites}


def fisher(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """Minimise the predicted loss summed over the sites; staying dense is one of the choices.

    Source: this project. The curves come from `CompressionMethod.predicted_losses`: the second-order change of the
    loss, each site's input side divided by the positions *it* saw, so that sites that see different lengths compare.
    """
    assert evidence.curves is not None
    choices = _choices(removed_fraction, guards)
    loss = np.array([evidence.curves.along(site.name, choices) for site in sites])
    return _least_loss(sites, choices, loss, removed_fraction)


ERROR_CAPS = tuple(round(1 + 0.1 * step, 1) for step in range(11))
"""Multiples α of the mean error at the target that `knapsack` tries, in this order, as the largest error of a site."""


def knapsack(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """Minimise the method's relative output error summed over the sites; staying dense is one of the choices.

    No site takes a choice whose error exceeds α times the mean error of all sites at the target (but every site may
    take the least the guards ask for), with the first α of `ERROR_CAPS` for which the budget can be met; without any
    cap if there is none.

    Source: ROCKET (2602.11008) and its authors' code. They sum the relative errors of the *weights*, which have no
    "dense" among their choices, over steps of 5 %, by a shortest path over rounded budgets; here the errors are the
    outputs', and the budget is met exactly.
    """
    assert evidence.errors is not None
    choices = _choices(removed_fraction, guards)
    error = np.array([evidence.errors.along(site.name, choices) for site in sites])
    mean = np.mean([evidence.errors.at(site.name, removed_fraction) for site in sites])
    weights = np.array([site.num_weights for site in sites])
    for cap in ERROR_CAPS:
        allowed = error <= cap * mean * (1 + 1e-9)
        allowed[:, 0] = True
        if weights @ np.where(allowed, choices, 0).max(1) >= (1 - 1e-9) * removed_fraction * weights.sum():
            error = np.where(allowed, error, np.inf)
            break
    return _least_loss(sites, choices, error, removed_fraction)


def _choices(removed_fraction: float, guards: Guards) -> np.ndarray:
    """What a site may lose, ascending: `CHOICES` within the guards, which give way to the target."""
    most = max(guards.most, removed_fraction)
    least = min(guards.least, removed_fraction)
    return np.array(sorted({c for c in CHOICES if least <= c <= most} | {least, most}))


def _least_loss(
    sites: tuple[LinearSite, ...], choices: np.ndarray, loss: np.ndarray, removed_fraction: float
) -> dict[str, float]:
    """One choice a site that meets the budget with the least loss in all.

    For a price λ a weight every site takes the choice with the least ``loss − λ · weights removed``; λ is found by
    bisection. At the λ where the budget is crossed some sites jump: they jump one after the other, those first that
    cost least a weight, and the last one only as far as the budget asks.

    Args:
        sites: n sites.
        choices: removed fractions, ascending, (c,).
        loss: of every choice of every site, (n, c), rising; infinite where a choice is forbidden, never the first.
        removed_fraction: over all sites, within reach.
    """
    weights = np.array([site.num_weights for site in sites], dtype=float)
    removed = weights[:, None] * choices
    budget = removed_fraction * weights.sum()

    def best(log_price: float) -> np.ndarray:
        return (loss - math.exp(log_price) * removed).argmin(1)

    rows = np.arange(len(sites))
    low, high = math.log(1e-300), math.log(1e300)
    for _ in range(64):  # halves 1400 down to the spacing of floating-point numbers
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


def svd_llm_v2(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """Within each type of projection, share the type's budget by ``1 ÷ log`` of the truncation loss at the target.

    ``L_i = ‖X(A − Â)‖_F`` of the truncated whitened SVD at the target, ``w_i = 1 ÷ log L_i``, and site i of a type with
    g sites loses ``g · target · w_i ÷ Σ w``: a site with a large loss loses less. Every type as a whole loses the
    target. What a guard cuts off is shared by the others of the type.

    The rule depends on the scale of X, and has no meaning where ``L ≤ 1``. X is the sum over tokens, as in the paper;
    where the smallest loss of a type is below e, all of that type's losses are scaled up until it is e, so that every
    logarithm is at least 1.

    Source: SVD-LLM v2 (2503.12340), algorithm 1; the scaling and the guards are ours.
    """
    most = max(guards.most, removed_fraction)
    least = min(guards.least, removed_fraction)
    shares: dict[str, float] = {}
    for projection in dict.fromkeys(site.projection for site in sites):
        members = [site for site in sites if site.projection == projection]
        logarithms = np.log([max(_truncation_loss(evidence.whitened, s, removed_fraction), 1e-300) for s in members])
        logarithms += max(0.0, 1 - logarithms.min())
        sizes = np.array([site.num_weights for site in members], dtype=float)
        fractions = _share_out(1 / logarithms, sizes, removed_fraction, least, most)
        shares |= {site.name: float(fraction) for site, fraction in zip(members, fractions, strict=True)}
    return {site.name: shares[site.name] for site in sites}


def _truncation_loss(whitened: Spectra, site: LinearSite, removed_fraction: float) -> float:
    rank = rank_for(site.out_features, site.in_features, removed_fraction)
    return float(np.linalg.norm(whitened[site.name][rank:]))


def _share_out(weights: np.ndarray, sizes: np.ndarray, average: float, least: float, most: float) -> np.ndarray:
    """Fractions in proportion to `weights`, within bounds, whose mean weighted by `sizes` is `average`.

    Bisection on the factor: the mean of ``clip(factor · weights, least, most)`` grows with it.
    """
    low, high = 0.0, most / weights.min()
    for _ in range(200):
        middle = (low + high) / 2
        if (sizes * np.clip(middle * weights, least, most)).sum() < average * sizes.sum():
            low = middle
        else:
            high = middle
    return np.clip(high * weights, least, most)


def sensitivity(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """Take from every site as much as it gives at a measured loss of at most τ, the smallest τ that meets the budget.

    The steps of all sites stand in one list by the loss measured with that step alone. Going up the list, a site goes
    to the largest fraction it has met so far; the last step goes only as far as the budget asks, but no less far than
    `CURVE_FRACTIONS` begin (a factorised layer has an error however little it removes). A step is a fraction of the
    measured grid, or the upper guard where that cuts the grid off, at its interpolated loss. Where even all steps do
    not reach the budget, every site has come to the same fraction, and sharing the rest evenly is the uniform split.

    Source: ASVD (2312.05821), sensitivity-based truncation rank search. Walking the sorted list finds what the authors'
    bisection looks for; they stop at a whole step near the target, and guards are ours.
    """
    assert evidence.sensitivities is not None
    grid = evidence.sensitivities.fractions
    most = min(max(guards.most, removed_fraction), grid[-1])
    least = min(guards.least, removed_fraction)
    if removed_fraction >= most:
        return uniform(sites, evidence, removed_fraction, guards)
    choices = np.array(sorted({c for c in grid if least < c < most} | {most}))
    loss = np.array([evidence.sensitivities.along(site.name, choices) for site in sites])
    weights = np.array([site.num_weights for site in sites], dtype=float)
    fractions = np.full(len(sites), least)
    missing = (removed_fraction - least) * weights.sum()
    for row, column in zip(*np.divmod(loss.argsort(axis=None, kind="stable"), len(choices)), strict=True):
        if missing <= 0:
            break
        step = min(max(choices[column] - fractions[row], 0.0) * weights[row], missing)
        if step > 0:
            fractions[row] = max(fractions[row] + step / weights[row], min(CURVE_FRACTIONS[0], choices[column]))
            missing -= step
    return {site.name: float(fraction) for site, fraction in zip(sites, fractions, strict=True)}


def learned(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """What learning ended with, all sites shifted alike where pins or guards leave another budget than it learned for.

    A site that learning left dense stays dense unless the others cannot give enough.

    Source: Dobi-SVD (2502.02723), section 3.1; learning is in `compression.truncation`, the shift is ours.
    """
    most = max(guards.most, removed_fraction)
    least = min(guards.least, removed_fraction)
    start = np.array([evidence.learned[site.name] for site in sites])
    sizes = np.array([site.num_weights for site in sites], dtype=float)

    def shifted(by: float, who: np.ndarray) -> np.ndarray:
        return np.clip(start + np.where(who, by, 0.0), least, most)

    everybody, giving = np.ones(len(sites), dtype=bool), start > 0
    who = giving if (sizes * shifted(1.0, giving)).sum() >= removed_fraction * sizes.sum() else everybody
    low, high = -1.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if (sizes * shifted(middle, who)).sum() < removed_fraction * sizes.sum():
            low = middle
        else:
            high = middle
    return {site.name: float(f) for site, f in zip(sites, shifted(high, who), strict=True)}


def gates(
    sites: tuple[LinearSite, ...], evidence: Evidence, removed_fraction: float, guards: Guards
) -> dict[str, float]:
    """The method's own gates decide, over all layers at once; before they have learned, the target stands for all."""
    return {site.name: removed_fraction for site in sites}


POLICIES: dict[str, Policy] = {
    "uniform": Policy(uniform, on_slider=True),
    "pooled": Policy(pooled, uses_spectra=True, on_slider=True),
    "fisher": Policy(fisher, uses_curves=True, on_slider=True),
    "svd-llm-v2": Policy(svd_llm_v2, uses_whitened=True),
    "knapsack": Policy(knapsack, uses_errors=True),
    "sensitivity": Policy(sensitivity, uses_sensitivities=True),
    "learned": Policy(learned, learns=True),
    "gates": Policy(gates, joint=True),
}
"""Name → policy. A removed fraction of 0 means that a site stays dense."""
SLIDER_POLICIES = tuple(name for name, policy in POLICIES.items() if policy.on_slider)


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


def feasible_fractions(sites: tuple[LinearSite, ...], held: dict[str, float]) -> tuple[float, float]:
    """Smallest and largest removed fraction over all sites that pinned sites leave possible."""
    total = sum(site.num_weights for site in sites)
    gone = sum(site.num_weights * held[site.name] for site in sites if site.name in held)
    room = sum(site.num_weights for site in sites if site.name not in held)
    return gone / total, (gone + MAX_REMOVED_FRACTION * room) / total


def is_between(removed_fraction: float, limits: tuple[float, float]) -> bool:
    """Whether a target lies within what `feasible_fractions` gives, up to the fourth digit."""
    smallest, largest = limits
    return smallest - 1e-4 <= removed_fraction <= largest + 1e-4


def feasible_pin(
    sites: tuple[LinearSite, ...], pins: Pins, pattern: str, removed_fraction: float
) -> tuple[float, float]:
    """Between which fractions one pin may lie, beside the other pins, so that the target can still be met.

    The range is empty (its smallest value above its largest) where no value of this pin helps.
    """
    held = pinned_fractions(sites, pins)
    chosen = {site.name for site in sites if fnmatchcase(site.name, pattern)}
    total = sum(site.num_weights for site in sites)
    ours = sum(site.num_weights for site in sites if site.name in chosen)
    gone = sum(site.num_weights * held[site.name] for site in sites if site.name in held and site.name not in chosen)
    room = sum(site.num_weights for site in sites if site.name not in held and site.name not in chosen)
    smallest = (removed_fraction * total - gone - MAX_REMOVED_FRACTION * room) / ours
    largest = (removed_fraction * total - gone) / ours
    return max(0.0, smallest), min(MAX_REMOVED_FRACTION, largest)


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
    smallest, largest = feasible_fractions(sites, held)
    if not is_between(target, (smallest, largest)):
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


Table = tuple[tuple[float, ...] | None, ...]
"""For each position of `SLIDER`, the removed fraction of each site in site order; None where pins leave no way."""


def tabulate(policy: str, sites: tuple[LinearSite, ...], evidence: Evidence, pins: Pins = ()) -> Table:
    """`allocate` at every slider position, to four digits."""
    limits = feasible_fractions(sites, pinned_fractions(sites, pins))
    return tuple(
        tuple(round(f, 4) for f in allocate(policy, sites, evidence, target, pins=pins).removed_fractions.values())
        if is_between(target, limits)
        else None
        for target in SLIDER
    )
