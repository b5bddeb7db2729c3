"""Allocation policies meet their budget and respect their guards."""

from __future__ import annotations

import pytest
import torch

from compression.accounting import average_removed_fraction
from compression.allocation import POLICIES, Guards, allocate
from compression.errors import UserError
from compression.types import LinearSite

SHAPES = [(64, 64), (16, 64), (128, 64), (64, 128)]
SITES = tuple(LinearSite(f"site{i}", i, "p", *shape, f"site{i}") for i, shape in enumerate(SHAPES))
SPECTRA = {
    site.name: torch.logspace(0, -(1 + 2 * index), min(site.out_features, site.in_features), dtype=torch.float64)
    * 10.0**index
    for index, site in enumerate(SITES)
}
STEP = 1 / 64
"""Largest share of all weights that one singular value stands for."""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("target", [0.0, 0.05, 0.2, 0.5, 0.8, 0.95])
def test_every_policy_meets_its_budget(policy, target):
    allocation = allocate(policy, SITES, SPECTRA, target)
    average = average_removed_fraction(SITES, allocation.removed_fractions)
    assert target - 1e-9 <= average <= target + STEP
    assert set(allocation.removed_fractions) == {site.name for site in SITES}


@pytest.mark.parametrize("guards", [Guards(0.1, 0.3), Guards(0.0, 0.5), Guards(0.2, 0.2)])
def test_pooled_respects_the_guards(guards):
    fractions = allocate("pooled", SITES, SPECTRA, 0.2, guards).removed_fractions.values()
    assert min(fractions) >= guards.least and max(fractions) <= guards.most


def test_the_upper_guard_gives_way_to_a_larger_target():
    fractions = allocate("pooled", SITES, SPECTRA, 0.9, Guards(0.0, 0.5)).removed_fractions.values()
    assert max(fractions) == pytest.approx(0.9)


def test_pooled_takes_more_from_the_steeper_spectrum_whatever_its_scale():
    removed = allocate("pooled", SITES, SPECTRA, 0.2).removed_fractions
    assert removed["site3"] > removed["site0"]
    louder = SPECTRA | {"site0": SPECTRA["site0"] * 1e6}
    assert allocate("pooled", SITES, louder, 0.2) == allocate("pooled", SITES, SPECTRA, 0.2)


def test_pooled_equals_counting_one_threshold_by_hand():
    sites = SITES[:1] + (LinearSite("other", 1, "p", 64, 64, "other"),)
    spectra = {"site0": torch.linspace(10, 1, 64).double(), "other": torch.linspace(10, 0.1, 64).double()}
    removed = allocate("pooled", sites, spectra, 0.25).removed_fractions
    normalised = {name: values / values.norm() for name, values in spectra.items()}
    everything = torch.cat(list(normalised.values())).sort().values
    threshold = everything[32]  # a quarter of 128 values lie below it
    assert removed == {name: float((values < threshold).sum()) / 64 for name, values in normalised.items()}


def test_unknown_policies_and_impossible_guards_are_refused():
    with pytest.raises(UserError, match=r"no allocation policy 'best': expected one of uniform, pooled"):
        allocate("best", SITES, SPECTRA, 0.2)
    with pytest.raises(UserError, match="least ≤ most"):
        Guards(0.5, 0.4)
