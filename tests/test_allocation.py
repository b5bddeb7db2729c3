"""Allocation policies meet their budget and respect their guards."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from compression import allocation
from compression.accounting import average_removed_fraction
from compression.allocation import CHOICES, CURVE_FRACTIONS, ERROR_CAPS, POLICIES, Evidence, LossCurves, allocate
from compression.errors import UserError
from compression.recipe import Guards, parse_pin
from compression.types import LinearSite

SHAPES = [(64, 64), (16, 64), (128, 64), (64, 128)]
SITES = tuple(LinearSite(f"site{i}", i, "p", *shape, f"site{i}") for i, shape in enumerate(SHAPES))
SPECTRA = {
    site.name: torch.logspace(0, -(1 + 2 * index), min(site.out_features, site.in_features), dtype=torch.float64)
    * 10.0**index
    for index, site in enumerate(SITES)
}
CURVES = LossCurves(
    {
        site.name: tuple(10.0**-index * (fraction + 5 * fraction**3) * site.num_weights for fraction in CURVE_FRACTIONS)
        for index, site in enumerate(SITES)
    }
)
GRID = (0.1, 0.3, 0.5, 0.7, 0.9)
SENSITIVITIES = LossCurves(
    {site.name: tuple(10.0**-index * fraction**2 for fraction in GRID) for index, site in enumerate(SITES)}, GRID
)
WHITENED = {name: values.numpy() for name, values in SPECTRA.items()}
ERRORS = LossCurves(
    {
        site.name: tuple((0.2 + 0.1 * index) * (0.3 + fraction + fraction**3) for fraction in CURVE_FRACTIONS)
        for index, site in enumerate(SITES)
    }
)
LEARNED = dict(zip(SPECTRA, (0.0, 0.15, 0.25, 0.4), strict=True))
EVIDENCE = Evidence(SPECTRA, CURVES, ERRORS, WHITENED, SENSITIVITIES, LEARNED)
BOUNDED = ["pooled", "fisher", "svd-llm-v2", "knapsack", "sensitivity", "learned"]
STEP = 1 / 64
"""Largest share of all weights that one singular value stands for."""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("target", [0.0, 0.05, 0.2, 0.5, 0.8, 0.95])
def test_every_policy_meets_its_budget(policy, target):
    removed = allocate(policy, SITES, EVIDENCE, target).removed_fractions
    average = average_removed_fraction(SITES, removed)
    assert target - 1e-9 <= average <= target + STEP
    assert set(removed) == {site.name for site in SITES}


@pytest.mark.parametrize("policy", BOUNDED)
@pytest.mark.parametrize("guards", [Guards(0.1, 0.3), Guards(0.0, 0.5), Guards(0.2, 0.2)])
def test_policies_respect_the_guards(policy, guards):
    fractions = allocate(policy, SITES, EVIDENCE, 0.2, guards).removed_fractions.values()
    assert min(fractions) >= guards.least and max(fractions) <= guards.most


@pytest.mark.parametrize("policy", BOUNDED)
def test_the_upper_guard_gives_way_to_a_larger_target(policy):
    fractions = allocate(policy, SITES, EVIDENCE, 0.9, Guards(0.0, 0.5)).removed_fractions.values()
    assert max(fractions) == pytest.approx(0.9)


def test_pooled_takes_more_from_the_steeper_spectrum_whatever_its_scale():
    removed = allocate("pooled", SITES, EVIDENCE, 0.2).removed_fractions
    assert removed["site3"] > removed["site0"]
    louder = SPECTRA | {"site0": SPECTRA["site0"] * 1e6}
    assert allocate("pooled", SITES, Evidence(louder), 0.2) == allocate("pooled", SITES, EVIDENCE, 0.2)


def test_pooled_equals_counting_one_threshold_by_hand():
    sites = SITES[:1] + (LinearSite("other", 1, "p", 64, 64, "other"),)
    spectra = {"site0": torch.linspace(10, 1, 64).double(), "other": torch.linspace(10, 0.1, 64).double()}
    removed = allocate("pooled", sites, Evidence(spectra), 0.25).removed_fractions
    normalised = {name: values / values.norm() for name, values in spectra.items()}
    everything = torch.cat(list(normalised.values())).sort().values
    threshold = everything[32]  # a quarter of 128 values lie below it
    assert removed == {name: float((values < threshold).sum()) / 64 for name, values in normalised.items()}


def test_unknown_policies_and_impossible_guards_are_refused():
    with pytest.raises(UserError, match=r"no allocation policy 'best': expected one of uniform, pooled, fisher"):
        allocate("best", SITES, EVIDENCE, 0.2)
    with pytest.raises(UserError, match="least ≤ most"):
        Guards(0.5, 0.4)


def best_by_trying_everything(sites, curves, target, choices):
    """The least predicted loss over all combinations of choices that meet the target."""
    return min(
        curves.total(dict(zip((site.name for site in sites), combination, strict=True)))
        for combination in itertools.product(choices, repeat=len(sites))
        if average_removed_fraction(sites, dict(zip((s.name for s in sites), combination, strict=True))) >= target
    )


@pytest.mark.parametrize("seed", range(5))
def test_fisher_comes_close_to_trying_everything(seed):
    """The Lagrangian optimum is the lower convex hull; with few sites the gap is at most one site's step."""
    generator = torch.Generator().manual_seed(seed)
    sites = SITES[:3]
    losses = {
        s.name: tuple(torch.rand(len(CURVE_FRACTIONS), generator=generator).square().cumsum(0).tolist()) for s in sites
    }
    curves = LossCurves(losses)
    found = allocate("fisher", sites, Evidence(curves=curves), 0.3, Guards(0.0, 0.8)).removed_fractions
    coarse = [choice for choice in CHOICES if choice <= 0.8 and round(choice * 100) % 4 == 0]
    assert curves.total(found) <= 1.1 * best_by_trying_everything(sites, curves, 0.3, coarse)
    assert average_removed_fraction(sites, found) == pytest.approx(0.3, abs=1e-3)


def test_fisher_leaves_dense_what_is_dear_and_takes_from_what_is_cheap():
    losses = {site.name: (1.0,) * len(CURVE_FRACTIONS) for site in SITES}
    losses["site2"] = (0.0,) * len(CURVE_FRACTIONS)
    removed = allocate("fisher", SITES, Evidence(curves=LossCurves(losses)), 0.2).removed_fractions
    share = 0.2 * sum(site.num_weights for site in SITES) / SITES[2].num_weights
    assert removed == pytest.approx({"site0": 0, "site1": 0, "site2": share, "site3": 0}, abs=1e-6)


def test_fisher_counts_every_site_by_its_own_curve_only():
    """Scaling all curves changes nothing; scaling one moves the budget away from it."""
    same = LossCurves({name: tuple(1e-5 * value for value in curve) for name, curve in CURVES.losses.items()})
    plain = allocate("fisher", SITES, EVIDENCE, 0.3).removed_fractions
    assert allocate("fisher", SITES, Evidence(curves=same), 0.3).removed_fractions == pytest.approx(plain)
    dearer = LossCurves(CURVES.losses | {"site3": tuple(100 * value for value in CURVES.losses["site3"])})
    assert allocate("fisher", SITES, Evidence(curves=dearer), 0.3).removed_fractions["site3"] < plain["site3"]


def random_sensitivities(seed):
    """Measured losses as they come: rough, not always growing, some below zero, some alike."""
    generator = torch.Generator().manual_seed(seed)
    rough = {s.name: torch.rand(len(GRID), generator=generator) + 0.4 * torch.arange(len(GRID)) for s in SITES}
    return LossCurves(
        {name: tuple((4 * values).round().div(4).sub(0.5).tolist()) for name, values in rough.items()}, GRID
    )


def at_threshold(sensitivities, threshold, most):
    """What every site gives at a loss of at most the threshold."""
    return {
        name: max((f for f, loss in zip(GRID, losses, strict=True) if loss <= threshold and f <= most), default=0.0)
        for name, losses in sensitivities.losses.items()
    }


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("target", [0.02, 0.15, 0.3, 0.45, 0.65])
@pytest.mark.parametrize("most", [0.7, 0.9])
def test_sensitivity_equals_trying_every_threshold(seed, target, most):
    """Between what the smallest sufficient threshold gives and what the next smaller one does."""
    sensitivities = random_sensitivities(seed)
    thresholds = sorted({loss for losses in sensitivities.losses.values() for loss in losses})
    enough = next(
        t for t in thresholds if average_removed_fraction(SITES, at_threshold(sensitivities, t, most)) >= target
    )
    smaller = [t for t in thresholds if t < enough]
    upper = at_threshold(sensitivities, enough, most)
    lower = at_threshold(sensitivities, smaller[-1], most) if smaller else dict.fromkeys(upper, 0.0)
    found = allocate("sensitivity", SITES, Evidence(sensitivities=sensitivities), target, Guards(0.0, most))
    removed = found.removed_fractions
    assert all(lower[name] - 1e-12 <= removed[name] <= upper[name] + 1e-12 for name in removed)
    cut_short = [name for name in removed if min(abs(removed[name] - g[name]) for g in (lower, upper)) > 1e-12]
    assert len(cut_short) <= 1, "only the last step may stop between two points of the grid"
    average = average_removed_fraction(SITES, removed)
    if min(fraction for fraction in removed.values() if fraction > 0) > CURVE_FRACTIONS[0]:
        assert average == pytest.approx(target, abs=1e-12)
    assert target - 1e-12 <= average <= target + CURVE_FRACTIONS[0]


@pytest.mark.parametrize("seed", range(4))
def test_sensitivity_never_takes_less_for_a_larger_target(seed):
    evidence = Evidence(sensitivities=random_sensitivities(seed))
    rows = [allocate("sensitivity", SITES, evidence, step / 100).removed_fractions for step in range(96)]
    assert all(a[site.name] <= b[site.name] + 1e-12 for a, b in itertools.pairwise(rows) for site in SITES)


def test_sensitivity_takes_the_guard_itself_and_shares_what_the_grid_leaves():
    removed = allocate("sensitivity", SITES, EVIDENCE, 0.5, Guards(0.0, 0.6)).removed_fractions
    assert removed["site3"] == removed["site2"] == 0.6, "the cheapest sites go to the guard, which is no grid point"
    assert 0.0 < removed["site0"] < 0.6
    beyond = allocate("sensitivity", SITES, EVIDENCE, 0.93, Guards(0.0, 0.95)).removed_fractions
    assert beyond == dict.fromkeys(beyond, 0.93), "the grid ends at 0.9"
    failed = LossCurves(SENSITIVITIES.losses | {"site1": (float("nan"),) * len(GRID)}, GRID)
    assert allocate("sensitivity", SITES, Evidence(sensitivities=failed), 0.5).removed_fractions["site1"] == 0.0


def random_errors(seed, count=12):
    """Sites of several sizes, and errors that jump where a site stops being dense and rise from there."""
    random = np.random.default_rng(seed)
    sites = tuple(LinearSite(f"s{i}", i, "p", *SHAPES[i % len(SHAPES)], f"s{i}") for i in range(count))
    steps = np.array(CURVE_FRACTIONS)
    scale, power, jump = random.uniform(0.2, 1, count), random.uniform(0.5, 3, count), random.uniform(0, 0.3, count)
    curves = {
        site.name: tuple((a * (j + (1 - j) * steps**p)).tolist())
        for site, a, j, p in zip(sites, scale, jump, power, strict=True)
    }
    return sites, LossCurves(curves)


def allowed_choices(sites, errors, target, most):
    """What ROCKET lets every site lose, with the error of each: the smallest cap that can meet the target."""
    everything = [(0.0, *(c for c in CHOICES[1:] if c <= most)) for _ in sites]
    mean = sum(errors.at(site.name, target) for site in sites) / len(sites)
    for cap in (*ERROR_CAPS, np.inf):
        kept = [
            [c for c in choices if errors.at(site.name, c) <= cap * mean + 1e-12]
            for site, choices in zip(sites, everything, strict=True)
        ]
        if sum(s.num_weights * c[-1] for s, c in zip(sites, kept, strict=True)) >= target * sum_weights(sites) - 1e-6:
            return [[(c, errors.at(site.name, c)) for c in choices] for site, choices in zip(sites, kept, strict=True)]
    raise AssertionError("not even without a cap")


def sum_weights(sites):
    return sum(site.num_weights for site in sites)


def exact_knapsack(sites, options, target):
    """The least sum of errors over all choices that meet the target: a table over what is removed, in hundredths."""
    unit = min(site.num_weights for site in sites)
    budget = round(100 * target * sum_weights(sites) / unit)
    table = np.full(budget + 1, np.inf)
    table[0] = 0
    for site, choices in zip(sites, options, strict=True):
        after = np.full_like(table, np.inf)
        for fraction, error in choices:
            gained = min(budget, round(100 * fraction * site.num_weights / unit))
            after[gained:] = np.minimum(after[gained:], table[: budget + 1 - gained] + error)
            after[budget] = min(after[budget], (table[budget - gained :] + error).min())
        table = after
    return table[budget]


def largest_jump(options):
    """The largest step of error between two corners of a site's lower convex hull."""
    hull = []
    for point in options:
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (point[0] - hull[-1][0]) >= (point[1] - hull[-1][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append(point)
    return max((b[1] - a[1] for a, b in itertools.pairwise(hull)), default=0.0)


@pytest.mark.parametrize("count", [12, 60])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("target", [0.05, 0.2, 0.4, 0.7])
def test_knapsack_is_within_one_item_of_the_exact_optimum(seed, target, count):
    sites, errors = random_errors(seed, count)
    found = allocate("knapsack", sites, Evidence(errors=errors), target).removed_fractions
    options = allowed_choices(sites, errors, target, 0.8)
    best = exact_knapsack(sites, options, target)
    assert errors.total(found) <= best + max(map(largest_jump, options)) + 1e-9
    assert count < 60 or errors.total(found) <= 1.05 * best, "with many sites one item is little"
    # A site that stops being dense loses at least the first fraction of its curve, however little is missing.
    largest = max(site.num_weights for site in sites) / sum_weights(sites)
    assert target - 1e-9 <= average_removed_fraction(sites, found) <= target + CURVE_FRACTIONS[0] * largest + 1e-9
    assert all(fraction == 0 or fraction >= CURVE_FRACTIONS[0] for fraction in found.values())
    for site, choices in zip(sites, options, strict=True):
        assert errors.at(site.name, found[site.name]) <= choices[-1][1] + 1e-9, "above the cap"


def test_the_exact_knapsack_equals_trying_everything():
    """The oracle's own oracle."""
    sites, errors = random_errors(7, count=3)
    options = [[(c, errors.at(site.name, c)) for c in (0.0, 0.1, 0.25, 0.4, 0.6)] for site in sites]
    best = best_by_trying_everything(sites, errors, 0.3, [choice for choice, _ in options[0]])
    assert exact_knapsack(sites, options, 0.3) == pytest.approx(best)


def test_knapsack_never_lets_one_site_pay_for_all(monkeypatch):
    """The cheapest a weight is capped where the mean error says so, although the sum is smaller without."""
    sites = SITES[:1] + (LinearSite("other", 1, "p", 64, 64, "other"),)
    errors = LossCurves(
        {
            "site0": tuple(0.342 + 0.2 * fraction for fraction in CURVE_FRACTIONS),
            "other": tuple(0.6 * fraction for fraction in CURVE_FRACTIONS),
        }
    )
    # The mean at 0.3 is 0.291; at 1.2 times that `other` may lose 0.58 and `site0` 0.03, at 1.1 times too little.
    removed = allocate("knapsack", sites, Evidence(errors=errors), 0.3).removed_fractions
    assert removed == pytest.approx({"site0": 0.02, "other": 0.58})
    monkeypatch.setattr(allocation, "ERROR_CAPS", ())
    removed = allocate("knapsack", sites, Evidence(errors=errors), 0.3).removed_fractions
    assert removed == pytest.approx({"site0": 0, "other": 0.6})


def test_knapsack_without_any_cap_that_meets_the_budget_still_meets_it():
    """One large site far above the mean: not even twice the mean lets it lose what the target asks for."""
    small = tuple(LinearSite(f"small{i}", i, "p", 16, 16, f"small{i}") for i in range(8))
    sites = (*small, LinearSite("large", 9, "p", 256, 256, "large"))
    curves = {site.name: (0.01,) * len(CURVE_FRACTIONS) for site in small} | {"large": (0.9,) * len(CURVE_FRACTIONS)}
    removed = allocate("knapsack", sites, Evidence(errors=LossCurves(curves)), 0.5).removed_fractions
    assert removed["large"] > 0.4
    assert average_removed_fraction(sites, removed) == pytest.approx(0.5)


def test_knapsack_takes_the_least_of_the_guards_from_sites_above_the_cap():
    curves = ERRORS.losses | {"site1": (1.0,) * len(CURVE_FRACTIONS)}
    removed = allocate("knapsack", SITES, Evidence(errors=LossCurves(curves)), 0.3, Guards(0.1, 0.8)).removed_fractions
    assert removed["site1"] == 0.1


@pytest.mark.parametrize("policy", POLICIES)
def test_pinned_sites_stay_put_and_the_rest_still_meets_the_budget(policy):
    pins = (("site*", 0.5), ("site[123]", 0.0), ("site2", 0.3))
    removed = allocate(policy, SITES, EVIDENCE, 0.2, pins=pins[2:] + (("site0", 0.0),)).removed_fractions
    assert removed["site2"] == 0.3 and removed["site0"] == 0.0
    assert average_removed_fraction(SITES, removed) == pytest.approx(0.2, abs=STEP)
    with pytest.raises(UserError, match=r"can be 0\.2095 and nothing else, but 0\.4 was asked for"):
        allocate(policy, SITES, EVIDENCE, 0.4, pins=pins)


def test_pins_that_leave_no_way_say_what_is_feasible():
    with pytest.raises(UserError, match=r"can be from 0\.3048 to 0\.8928, but 0\.1 was asked for"):
        allocate("fisher", SITES, EVIDENCE, 0.1, pins=(("site2", 0.8),))
    with pytest.raises(UserError, match=r"No site is called 'layer9': expected a name such as 'site0'"):
        allocate("fisher", SITES, EVIDENCE, 0.1, pins=(("layer9", 0.8),))
    for text in ("site0", "=0.3", "site0=a lot", "site0=1.5"):
        with pytest.raises(UserError):
            parse_pin(text)
    assert parse_pin("model.layers.0.*=0.25") == ("model.layers.0.*", 0.25)


def test_curves_are_zero_for_dense_and_straight_between_their_points():
    curve = LossCurves({"a": tuple(2 * fraction for fraction in CURVE_FRACTIONS)})
    assert curve.at("a", 0.0) == 0.0
    assert curve.at("a", 0.37) == pytest.approx(0.74)
    assert curve.total({"a": 0.5}) == pytest.approx(1.0)


TYPES = tuple(LinearSite(f"{p}{i}", i, p, 32, 48, f"{p}{i}") for p in ("q", "k") for i in range(3))


def decaying(scale: float) -> np.ndarray:
    return scale * np.logspace(0, -2, 32)


def test_svd_llm_v2_shares_each_types_budget_by_one_over_the_log_of_the_truncation_loss():
    """Recomputed by hand from the paper's formula, with losses well above e."""
    whitened = {site.name: decaying(10.0 ** (3 + index)) for index, site in enumerate(TYPES)}
    removed = allocate("svd-llm-v2", TYPES, Evidence(whitened=whitened), 0.2).removed_fractions
    rank = int(0.8 * 32 * 48 / 80)
    for start in (0, 3):
        names = [site.name for site in TYPES[start : start + 3]]
        losses = [math.sqrt(sum(value**2 for value in whitened[name][rank:])) for name in names]
        weights = [1 / math.log(loss) for loss in losses]
        expected = [3 * 0.2 * weight / sum(weights) for weight in weights]
        assert [removed[name] for name in names] == pytest.approx(expected)
        assert expected[0] > expected[1] > expected[2], "a larger loss, a smaller share removed"


def test_svd_llm_v2_with_one_type_and_equal_losses_is_uniform():
    whitened = {site.name: decaying(5.0) for site in TYPES[:3]}
    removed = allocate("svd-llm-v2", TYPES[:3], Evidence(whitened=whitened), 0.3).removed_fractions
    assert list(removed.values()) == pytest.approx([0.3] * 3)


def test_svd_llm_v2_survives_losses_below_one_and_of_nothing():
    whitened = {site.name: decaying(10.0**-index) for index, site in enumerate(TYPES)}
    whitened[TYPES[5].name] = np.zeros(32)
    removed = allocate("svd-llm-v2", TYPES, Evidence(whitened=whitened), 0.4).removed_fractions
    assert average_removed_fraction(TYPES, removed) == pytest.approx(0.4)
    assert removed["q0"] < removed["q1"] < removed["q2"] and removed["k2"] > removed["k1"]
    coarse = LossCurves({"a": (0.1, 0.7)}, (0.2, 0.8))
    assert [coarse.at("a", f) for f in (0.0, 0.1, 0.2, 0.5, 0.9)] == pytest.approx([0.0, 0.1, 0.1, 0.4, 0.7])


def test_learned_fractions_that_meet_the_budget_are_taken_as_they_are():
    target = average_removed_fraction(SITES, LEARNED)
    assert allocate("learned", SITES, EVIDENCE, target).removed_fractions == pytest.approx(LEARNED)


def test_learned_fractions_shift_alike_and_dense_sites_stay_dense_while_they_can():
    target = average_removed_fraction(SITES, LEARNED) + 0.05
    removed = allocate("learned", SITES, EVIDENCE, target).removed_fractions
    shifts = [removed[name] - LEARNED[name] for name in removed if LEARNED[name] > 0]
    assert removed["site0"] == 0 and shifts == pytest.approx([shifts[0]] * 3) and shifts[0] > 0.05
    pinned = allocate("learned", SITES, EVIDENCE, target, pins=(("site3", 0.1),)).removed_fractions
    assert pinned["site3"] == 0.1 and pinned["site2"] > removed["site2"]
    assert allocate("learned", SITES, EVIDENCE, 0.8).removed_fractions["site0"] > 0, "the others cannot give enough"
