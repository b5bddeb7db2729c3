"""The slider's tables against what is added up or searched for by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from samples import ANALYSIS, DOWN, EVIDENCE, MODEL, SITES, SMALL, Q, comparison, random_evidence, run, site

from compression import accounting, analysis
from compression.allocation import (
    SLIDER,
    SLIDER_POLICIES,
    Evidence,
    allocate,
    feasible_fractions,
    feasible_pin,
    pinned_fractions,
    tabulate,
)
from compression.errors import UserError
from compression.gallery import load_evidence, save_evidence
from compression.recipe import Guards, parse_pins, pin_text
from compression.slider import (
    SliderTable,
    SliderView,
    check_pin,
    lost_energies,
    measured_settings,
    nearest,
    pinned_view,
    site_size,
    slider_view,
)

VIEW = slider_view(ANALYSIS, None)
WEIGHTS = [s.out_features * s.in_features for s in SITES]
TOTAL = sum(WEIGHTS)
STEP = max(WEIGHTS) / 64 / TOTAL
"""Largest share of all weights that one singular value stands for."""


def table(view: SliderView, policy: str) -> SliderTable:
    return next(each for each in view.tables if each.policy == policy)


def fractions(view: SliderView, policy: str, place: int) -> list[float]:
    """What each site loses at a slider position, read off the cells."""
    position = table(view, policy).positions[place]
    assert position is not None
    return [view.sizes[cell].removed_fraction for cell in position.sizes]


def removed(shares: list[float]) -> float:
    """Share of all weights."""
    return sum(w * f for w, f in zip(WEIGHTS, shares, strict=True)) / TOTAL


# --- sizes, budgets and FLOPs ---


def test_a_rank_is_the_largest_that_removes_enough_and_a_dictionary_is_that_of_the_accounting():
    for shape in {(s.out_features, s.in_features) for s in SITES}:
        n, m = shape
        for share in (0.0001, 0.02, 0.2, 0.5, 0.777, 0.95):
            size = site_size(shape, share)
            fitting = [r for r in range(1, min(shape) + 1) if r * (n + m) <= (1 - share) * n * m + 1e-6]
            assert (size.shape, size.removed_fraction, size.rank) == (shape, share, max(fitting, default=1))
            try:
                dictionary = accounting.dictionary_size_for(n, m, share)
            except UserError:
                assert (size.num_atoms, size.nonzeros_per_column) == (None, None)
            else:
                assert (size.num_atoms, size.nonzeros_per_column) == (
                    dictionary.num_atoms,
                    dictionary.nonzeros_per_column,
                )
    assert site_size((64, 64), 0.0) == site_size((64, 64), -0.0)
    assert site_size((64, 64), 0.0).rank is site_size((64, 64), 0.0).num_atoms is None, "stays dense"
    assert (site_size((16, 16), 0.95).rank, site_size((16, 16), 0.95).num_atoms) == (1, None)


@pytest.mark.parametrize("policy", SLIDER_POLICIES)
def test_every_cell_is_the_size_of_its_site_at_its_share(policy):
    assert len(set(VIEW.sizes)) == len(VIEW.sizes), "each size is there once"
    for place, allocation in enumerate(ANALYSIS.allocations[policy]):
        position = table(VIEW, policy).positions[place]
        assert position is not None
        expected = [site_size((s.out_features, s.in_features), f) for s, f in zip(SITES, allocation, strict=True)]
        assert [VIEW.sizes[cell] for cell in position.sizes] == expected


@pytest.mark.parametrize("policy", SLIDER_POLICIES)
def test_totals_are_sums_over_the_sites(policy):
    for place, position in enumerate(table(VIEW, policy).positions):
        assert position is not None
        shares = fractions(VIEW, policy, place)
        assert SLIDER[place] - 1e-4 <= removed(shares) <= SLIDER[place] + STEP
        gone = sum(w * f for w, f in zip(WEIGHTS, shares, strict=True))
        assert position.removed_weights == pytest.approx(gone, abs=1e-6)
        assert position.budget.site_removed_fraction == pytest.approx(removed(shares))
        assert position.budget.stored_bits == round(16 * (40_000 - gone))
        assert position.budget.original_bits == 16 * 40_000
        assert (position.least, position.most) == (min(shares), max(shares))
        assert shares[position.most_site] == max(shares)
        assert position.dense_sites == shares.count(0.0)
        low_rank, dictionary = 0, 0
        for each, cell in zip(SITES, position.sizes, strict=True):
            size, n, m = VIEW.sizes[cell], each.out_features, each.in_features
            low_rank += 2 * n * m if size.rank is None else 2 * size.rank * (n + m)
            if size.rank is None:
                dictionary += 2 * n * m
            elif size.num_atoms is None or size.nonzeros_per_column is None:
                dictionary = math.nan
            else:
                dictionary += 2 * (m * size.num_atoms + n * size.nonzeros_per_column)
        assert position.low_rank_flops == low_rank
        assert position.dictionary_flops == (None if math.isnan(dictionary) else dictionary)
    assert VIEW.dense_flops == 2 * TOTAL


def test_flops_as_dictionaries_are_unknown_where_not_one_atom_fits():
    last = table(VIEW, "uniform").positions[-1]
    assert last is not None and last.dictionary_flops is None and last.low_rank_flops > 0
    assert VIEW.sizes[last.sizes[SITES.index(SMALL)]].rank == 1
    first = table(VIEW, "uniform").positions[0]
    assert first is not None and first.dictionary_flops == first.low_rank_flops == VIEW.dense_flops


def test_a_table_without_pins_reaches_over_the_whole_slider():
    assert [each.policy for each in VIEW.tables] == list(SLIDER_POLICIES) and VIEW.pinned_sites == ()
    for each in VIEW.tables:
        assert (each.pins, each.smallest, each.largest) == ((), 0.0, 0.95)
        assert len(each.positions) == len(SLIDER) and None not in each.positions


# --- what was measured ---


def test_measured_runs_are_found_by_method_and_policy_and_other_seeds_left_out():
    runs = (
        run("svd", "uniform", 0.4, 90.0),
        run("svd", "uniform", 0.1, 30.0),
        run("svd", "uniform", 0.1, 99.0, seed=1),
        run("compot", "pooled", 0.2, 25.0),
    )
    view = slider_view(ANALYSIS, comparison(*runs))
    found = {(m.method, m.policy): [(r.removed_fraction_target, r.perplexity) for r in m.runs] for m in view.measured}
    assert found == {("svd", "uniform"): [(0.1, 30.0), (0.4, 90.0)], ("compot", "pooled"): [(0.2, 25.0)]}
    assert view.dense_quality == 23.26
    assert (VIEW.measured, VIEW.dense_quality) == ((), None) and measured_settings(None) == ()


@pytest.mark.parametrize(("position", "index"), [(0.0, 0), (0.24, 0), (0.25, 0), (0.26, 1), (0.9, 1)])
def test_the_nearest_measured_budget(position, index):
    assert nearest([0.1, 0.4], position) == index


def test_the_lost_energy_of_every_rank_that_a_site_can_have():
    losses = {row.rank: row.lost_energy for row in lost_energies(ANALYSIS, DOWN)}
    assert list(losses) == [*range(1, 64 * 128 // (64 + 128) + 1), 64]
    whitened = EVIDENCE.spectra[DOWN.name] ** 2
    for rank, lost in losses.items():
        assert lost == pytest.approx(float((whitened[rank:] ** 2).sum() / (whitened**2).sum()), rel=1e-3, abs=1e-12)
    for place in range(len(SLIDER)):
        size = site_size((DOWN.out_features, DOWN.in_features), fractions(VIEW, "uniform", place)[SITES.index(DOWN)])
        assert size.rank is None or size.rank in losses, "the page finds every rank of the slider"
    thin = replace(ANALYSIS, spectra=(analysis.spectrum_info(site(0, "q", 1, 9), [1.0], [1.0]),))
    (only,) = lost_energies(thin, site(0, "q", 1, 9))
    assert (only.rank, only.lost_energy) == (1, 0.0), "where no rank saves anything there is the full one"


# --- pins ---


PINS = (("model.layers.0.*", 0.5), (DOWN.name, 0.1))


@pytest.mark.parametrize("pins", [PINS, ((Q.name, 0.0),), (("*q_proj", 0.9),), ((SMALL.name, 0.95), (Q.name, 0.3))])
def test_pinned_sites_stay_and_the_rest_meets_the_budget_wherever_that_is_possible(pins):
    held = pinned_fractions(SITES, pins)
    pinned = [i for i, each in enumerate(SITES) if each.name in held]
    least = removed([held.get(each.name, 0.0) for each in SITES])
    most = removed([held.get(each.name, 0.95) for each in SITES])
    view = pinned_view(ANALYSIS, EVIDENCE, pins, "pooled", math.ceil(100 * least) / 100, comparison())
    assert view.pinned_sites == tuple(pinned) and view.dense_quality == 23.26
    assert [each.policy for each in view.tables] == list(SLIDER_POLICIES)
    for each in view.tables:
        assert each.pins == pins
        assert (each.smallest, each.largest) == (pytest.approx(least), pytest.approx(most))
        for place, target in enumerate(SLIDER):
            if not least - 1e-4 <= target <= most + 1e-4:
                assert each.positions[place] is None
                continue
            shares = fractions(view, each.policy, place)
            assert [shares[i] for i in pinned] == [held[SITES[i].name] for i in pinned]
            assert target - 2e-4 <= removed(shares) <= target + STEP
            assert all(0 <= share <= 0.95 for share in shares)
    assert None in view.tables[0].positions and any(view.tables[0].positions), "both kinds occur"


def test_pins_that_leave_no_way_or_name_no_site_are_refused():
    with pytest.raises(UserError, match=r"can be from 0\.3693 to 0\.6176, but 0\.1 was asked for"):
        pinned_view(ANALYSIS, EVIDENCE, (("*down_proj", 0.5), ("*0.*q_proj", 0.5)), "uniform", 0.1, None)
    with pytest.raises(UserError, match="No site is called 'layer9'"):
        pinned_view(ANALYSIS, EVIDENCE, (("layer9", 0.5),), "uniform", 0.2, None)


def test_without_loss_curves_the_policy_that_needs_them_has_no_table():
    view = pinned_view(ANALYSIS, Evidence(EVIDENCE.spectra), ((Q.name, 0.0),), "pooled", 0.2, None)
    assert [each.policy for each in view.tables] == ["uniform", "pooled"]


NAMED = re.compile(r"the smallest feasible value is ([\d.]+), the largest ([\d.]+)\.")


def accepted(others, pattern, value, target):
    """None, or the sentence of a refusal."""
    try:
        check_pin(MODEL, others, (pattern, value), target)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("others", "pattern", "wrong", "target"),
    [
        ((), DOWN.name, 0.0, 0.8),
        ((), DOWN.name, 0.95, 0.3),
        (((Q.name, 0.3),), DOWN.name, 0.0, 0.7),
        (((Q.name, 0.5), (DOWN.name, 0.5)), "model.layers.1.*", 0.95, 0.4),
        (((DOWN.name, 0.9),), "*", 0.1, 0.37),
        ((("*", 0.3),), DOWN.name, 0.0, 0.5),
        (((Q.name, 0.2), ("*1.*q_proj", 0.31), (SMALL.name, 0.77)), DOWN.name, 0.0, 0.37),
    ],
)
def test_a_refused_pin_hears_exactly_between_which_values_it_may_lie(others, pattern, wrong, target):
    sentence = accepted(others, pattern, wrong, target)
    assert sentence is not None and sentence.startswith(f"Pinned at {wrong:g}, {pattern} leaves no way to remove")
    found = NAMED.search(sentence)
    assert found is not None
    smallest, largest = map(float, found.groups())
    assert smallest <= largest
    assert accepted(others, pattern, smallest, target) is None and accepted(others, pattern, largest, target) is None
    if smallest > 0:
        assert accepted(others, pattern, smallest - 0.003, target) is not None
    if largest < 0.95:
        assert accepted(others, pattern, largest + 0.003, target) is not None


def test_a_pin_that_no_value_can_help_is_told_apart():
    sentence = accepted(((Q.name, 0.9), (DOWN.name, 0.9)), SMALL.name, 0.3, 0.2)
    assert sentence == (
        f"With {SMALL.name} pinned, 20% cannot be removed whatever the value: move the slider or take back other pins."
    )


@pytest.mark.parametrize("seed", range(20))
def test_feasible_pins_are_found_by_trying(seed):
    random = np.random.default_rng(seed)
    others = tuple((each.name, round(float(random.uniform(0, 0.95)), 2)) for each in SITES if random.random() < 0.4)
    pattern = ["*", "*0.*", "*q_proj", DOWN.name][seed % 4]
    target = round(float(random.uniform(0, 0.95)), 2)
    low, high = feasible_pin(SITES, others, pattern, target)
    for value in np.linspace(0, 0.95, 96):
        least, most = feasible_fractions(SITES, pinned_fractions(SITES, (*others, (pattern, float(value)))))
        assert (low - 1e-9 <= value <= high + 1e-9) == (least - 1e-9 <= target <= most + 1e-9)


# --- allocations ---


def pooled_slowly(sites, spectra, target, guards, pins):
    """Every threshold from below, each counted anew."""
    held = pinned_fractions(sites, pins)
    free = [each for each in sites if each.name not in held]
    gone = sum(each.num_weights * held[each.name] for each in sites if each.name in held)
    room = sum(each.num_weights for each in free)
    share = (target * sum(each.num_weights for each in sites) - gone) / room
    least, most = min(guards.least, share), max(guards.most, share)
    values = {each.name: spectra[each.name] / np.linalg.norm(spectra[each.name]) for each in free}
    for threshold in sorted({float(v) for each in values.values() for v in each} | {math.inf}):
        counted = {name: min(max((each < threshold).sum() / len(each), least), most) for name, each in values.items()}
        if sum(each.num_weights * counted[each.name] for each in free) / room >= share - 1e-11:
            return held | {name: float(value) for name, value in counted.items()}
    raise AssertionError


@pytest.mark.parametrize("seed", range(12))
def test_pooled_equals_trying_every_threshold(seed):
    random = np.random.default_rng(seed)
    shapes = [(int(random.integers(4, 24)), int(random.integers(4, 24))) for _ in range(6)]
    sites = tuple(site(i, "p", *shape) for i, shape in enumerate((*shapes, shapes[0], (9, 9), (9, 12))))
    spectra = dict(random_evidence(sites, seed).spectra)
    spectra[sites[6].name] = 7 * spectra[sites[0].name] if seed % 2 else spectra[sites[0].name]  # ties between sites
    spectra[sites[7].name] = np.array([4.0, 4, 2, 2, 2, 1, 1, 1, 1])  # ties within a site
    spectra[sites[8].name] = np.ones(9)
    pins = ((sites[1].name, 0.3), (sites[8].name, 0.0)) if seed % 3 == 0 else ()
    for guards in (Guards(), Guards(0.1, 0.5), Guards(0.0, 0.95), Guards(0.25, 0.25)):
        for target in (0.07, 0.2, 0.25, 0.5, 0.71):
            expected = pooled_slowly(sites, spectra, target, guards, pins)
            found = allocate("pooled", sites, Evidence(MappingProxyType(spectra)), target, guards, pins)
            assert found.removed_fractions == pytest.approx(expected, abs=1e-12)


def test_all_singular_values_are_pooled_with_their_sites_and_places():
    evidence = Evidence({"a": np.array([4.0, 3.0]), "b": np.array([1.0]), "c": np.zeros(2)})
    values, owners, places = evidence.pool
    expected = [(0.0, 2, 0), (0.0, 2, 1), (0.6, 0, 0), (0.8, 0, 1), (1.0, 1, 0)]
    assert list(zip(values.tolist(), owners.tolist(), places.tolist(), strict=True)) == expected
    assert evidence.pool is evidence.pool, "made once"


@pytest.mark.parametrize("policy", SLIDER_POLICIES)
@pytest.mark.parametrize("pins", [(), PINS], ids=["free", "pinned"])
def test_a_table_holds_the_allocation_of_every_position(policy, pins):
    rows = tabulate(policy, SITES, EVIDENCE, pins)
    assert len(rows) == len(SLIDER) == 96 and SLIDER[::19] == (0, 0.19, 0.38, 0.57, 0.76, 0.95)
    for target, row in zip(SLIDER, rows, strict=True):
        try:
            one = allocate(policy, SITES, EVIDENCE, target, pins=pins)
        except UserError:
            assert row is None
        else:
            assert row == tuple(round(one.removed_fractions[each.name], 4) for each in SITES)


# --- what is kept and what is typed ---


@pytest.mark.parametrize("curves", [EVIDENCE.curves, None], ids=["with curves", "without"])
def test_evidence_comes_back_to_the_last_bit_and_gives_the_same_allocations(curves, tmp_path):
    evidence = Evidence({name: values[::-1][::-1] for name, values in EVIDENCE.spectra.items()}, curves)
    save_evidence(tmp_path / "evidence.safetensors", evidence)
    found = load_evidence(tmp_path / "evidence.safetensors")
    assert found.curves == curves
    assert found.spectra.keys() == EVIDENCE.spectra.keys()
    for name, values in EVIDENCE.spectra.items():
        assert found.spectra[name].dtype == np.float64
        assert found.spectra[name].tolist() == values.tolist()
    assert tabulate("pooled", SITES, found) == ANALYSIS.allocations["pooled"]
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.safetensors"], "nothing half-written is left"


@pytest.mark.parametrize("content", [None, b"", b"not a safetensors file at all"])
def test_evidence_that_is_missing_or_damaged_is_said_to_be(content, tmp_path):
    file = tmp_path / "evidence.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read: make it again with `python -m compression gallery`"):
        load_evidence(file)


def test_evidence_cut_short_is_said_to_be_damaged(tmp_path):
    file = tmp_path / "evidence.safetensors"
    save_evidence(file, EVIDENCE)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(UserError, match="cannot be read"):
        load_evidence(file)


@pytest.mark.parametrize(
    "pins",
    [
        (),
        ((Q.name, 0.0),),
        ((Q.name, 0.25), ("model.layers.*.mlp.*", 0.95), ("*", 0.5)),
        (("a=b", 0.1), ("layer[0-3]", 1e-05)),
        (("*", 1 / 3), (Q.name, 0.1234567)),
    ],
)
def test_pins_come_back_from_their_text(pins):
    assert parse_pins(pin_text(pins)) == pins


def test_pins_are_read_as_people_write_them():
    assert parse_pins(" ") == parse_pins(",") == ()
    assert parse_pins("a=0.1, b=.2 ,c=3e-1,") == (("a", 0.1), ("b", 0.2), ("c", 0.3))


@pytest.mark.parametrize("text", ["a", "=0.1", "a=", "a=x", "a=0.1,b", "a=nan", "a=inf", "a=0.96", "a=-0.1", "a=0,1"])
def test_what_is_no_pin_is_refused(text):
    with pytest.raises(UserError, match="A pin is a site name|must be a number from 0"):
        parse_pins(text)
