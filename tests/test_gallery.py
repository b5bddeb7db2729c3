"""The precomputed results are those of this code and of the catalogue's default model, and the README shows them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import samples
from samples import ANALYSIS, EVIDENCE, SPOKEN, WHISPER, WHISPER_EVIDENCE, comparison, transcript_forecast
from tiny import finish

from compression import models, store
from compression.ablation import AblationReport
from compression.allocation import POLICIES, SLIDER, allocate, tabulate
from compression.analysis import compare_info
from compression.benchmarks.cospadi import CoSpaDiBenchmark
from compression.calibration import Gradients, collect_gradients, split_text
from compression.commands.ablate import ablation_markdown
from compression.commands.bench import race_markdown
from compression.commands.compare import comparison_markdown
from compression.evaluation.perplexity import tokenize
from compression.gallery import (
    COMPARATORS,
    OTHER_SEEDS,
    SEED_FRACTION,
    Gallery,
    gallery_policies,
    gallery_recipes,
    headline_methods,
    load_gallery,
    registered_methods,
    registered_policies,
    save_gallery,
    speech_gallery_recipes,
)
from compression.methods import create_method
from compression.pipeline import measure_curves
from compression.recipe import Recipe
from compression.texts import load_text
from compression.workbench import CURVE_METHOD, Workbench

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "assets" / models.DEFAULT_MODEL


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return load_gallery(ASSETS)


def test_it_was_made_from_the_weights_that_the_catalogue_names(gallery, real_cache):
    loaded = finish(models.load(models.DEFAULT_MODEL))
    assert gallery.analysis.model.weights_hash == gallery.comparison.weights_hash == loaded.weights_hash
    assert gallery.analysis.model.note == gallery.comparison.model_note == loaded.note == "rounded to 4 bits"


def test_its_allocations_are_those_the_engine_makes_now(gallery, real_cache):
    bench = Workbench()
    for policy in registered_policies():
        if not POLICIES[policy].uses_curves:
            _, allocation = finish(bench.allocation(Recipe(models.DEFAULT_MODEL, CURVE_METHOD, policy, 0.37)))
            tabulated = gallery.analysis.allocation_at(policy, 0.37).removed_fractions
            assert tabulated == pytest.approx(allocation.removed_fractions, abs=1e-3)


def test_its_error_curves_and_what_follows_from_them_are_those_the_engine_makes_now(gallery, real_cache):
    """At the last two blocks, where the backward pass comes first: the others would take a minute and a half more.

    Their statistics need the whole text and the whole forward pass. What the backward pass hands on from block to
    block, test_calibration compares with plain differentiation.
    """
    dense, inputs, settings = finish(Workbench().inputs(Recipe(models.DEFAULT_MODEL)))
    assert settings == gallery.analysis.calibration
    last = max(site.block for site in dense.sites)
    sites = tuple(site for site in dense.sites if site.block >= last - 1)
    text = finish(load_text(settings.text.name)).content
    sequences = split_text(tokenize(dense.loaded.tokenizer, text), settings, dense.context).gradients
    outputs, fishers = {}, {}
    steps = collect_gradients(dense.loaded.model, dense.sites, sequences, output_grams=outputs, row_fishers=fishers)
    with closing(steps):
        while not all(site.name in outputs for site in sites):
            next(steps)
    scored = sequences.shape[0] * (sequences.shape[1] - 1)
    gradients = Gradients(outputs, scored, "", 0.0, row_fishers=fishers)
    method = create_method(CURVE_METHOD)
    made = finish(measure_curves(dense.loaded.model, sites, method, inputs, gradients))
    stored = gallery.evidence.curves
    for site in sites:
        assert stored.losses[site.name] == pytest.approx(made.losses[site.name], rel=1e-2)
    mixed = replace(gallery.evidence, curves=replace(stored, losses=stored.losses | made.losses))
    for policy in registered_policies():
        if POLICIES[policy].uses_curves:
            allocation = allocate(policy, dense.sites, mixed, 0.37)
            tabulated = gallery.analysis.allocation_at(policy, 0.37).removed_fractions
            assert tabulated == pytest.approx(allocation.removed_fractions, abs=1e-3)


def test_its_allocations_can_be_solved_again_from_its_evidence(gallery):
    for policy, table in gallery.analysis.allocations.items():
        assert tabulate(policy, gallery.analysis.model.sites, gallery.evidence) == table


def test_it_covers_every_method_policy_and_slider_position(gallery):
    """After adding a method or a policy, run `python -m compression gallery`."""
    assert gallery.methods == registered_methods()
    assert gallery.policies == registered_policies()
    assert gallery.analysis.slider == SLIDER
    measured = {(run.method, run.policy) for run in gallery.comparison.runs}
    assert measured == {(m.name, policy) for m in gallery.methods for policy in gallery_policies(m)}
    headline = headline_methods(gallery.methods)
    assert [(f.method, f.policy) for f in gallery.forecasts] == [(m.name, m.own_policy) for m in headline]
    projections = {pattern.site.split("layers.")[1].split(".", 1)[1] for pattern in gallery.patterns}
    assert projections == set(gallery.analysis.model.projections)
    for pattern in gallery.patterns:
        assert pattern.column is not None and len(pattern.column.dictionary) == pattern.nonzeros_per_column


def test_other_seeds_are_measured_where_they_are_cheap_and_can_matter():
    methods = registered_methods()
    recipes = gallery_recipes("any", methods, (0.1, 0.2))
    others = [(r.method, r.policy, r.removed_fraction, r.seed) for r in recipes if r.seed]
    headline = headline_methods(methods)
    assert others == [(m.name, m.own_policy, 0.2, seed) for seed in (1, 2) for m in headline if m.name != "svd"]
    assert [r.seed for r in recipes] == sorted(r.seed for r in recipes), "the first paint's runs come first"
    assert not any(recipe.seed for recipe in gallery_recipes("any", methods, (0.1, 0.3)))


def test_the_readme_shows_these_results(gallery):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert comparison_markdown(gallery.headline) in readme
    assert comparison_markdown(gallery.comparators) in readme
    assert ablation_markdown(store.read_json(ASSETS / "ablation.json", AblationReport)) in readme
    assert race_markdown(store.read_json(ASSETS / "race.json", CoSpaDiBenchmark)) in readme


def test_both_parts_are_of_one_model_one_text_and_one_calibration(gallery):
    first, second = gallery.headline, gallery.comparators
    assert first.weights_hash == second.weights_hash and first.calibration == second.calibration
    assert first.dense.text == second.dense.text and first.dense.convention == second.dense.convention
    assert second.dense.perplexity == pytest.approx(first.dense.perplexity, rel=1e-5)
    assert tuple(run.method for run in second.runs) == COMPARATORS


def test_forecasts_are_given_where_they_hold_and_withheld_where_they_do_not(gallery):
    """What the page says before anything runs, against what the comparison measured on another text."""
    given = {report.method for report in gallery.forecasts if not report.problem}
    assert "compot-fisher" in given and "svd" not in given
    for run in gallery.comparison.runs:
        own = next(method.own_policy for method in gallery.methods if method.name == run.method)
        if run.method in given and run.policy == own and run.seed == 0:
            assert run.predicted_low <= run.perplexity <= run.predicted_high, f"{run.method} at {run.removed_fraction}"


def test_it_tells_how_far_predictions_move_and_how_much_the_calibration_matters(gallery):
    for run in gallery.comparison.runs:
        assert run.mean_kl is not None and 0 < run.mean_kl < run.p99_kl and 0 <= run.top1_agreement < 1
    info = compare_info(gallery.comparison, SEED_FRACTION)
    spread = {(row.method, row.policy): each for row, each in zip(info.rows, info.spreads, strict=True)}
    for method in gallery.methods:
        if not gallery_policies(method):
            assert not {policy for name, policy in spread if name == method.name}, "a fixed share is not measured"
            continue
        own = spread[method.name, method.own_policy]
        assert (own is None) == (not method.uses_calibration or method.name in COMPARATORS)
        assert own is None or own.count == 1 + len(OTHER_SEEDS)
        others = {spread[method.name, policy] for policy in gallery_policies(method)} - {own}
        assert others <= {None}, "only the own policy has other seeds"


def test_a_gallery_of_a_speech_model_is_read_back_and_has_no_comparators(tmp_path):
    forecasts = (transcript_forecast("compot", "fisher", 0.01),)
    spoken = Gallery(WHISPER, SPOKEN, replace(SPOKEN, runs=()), (), (), forecasts, WHISPER_EVIDENCE)
    save_gallery(tmp_path, spoken)
    assert not (tmp_path / "comparators.json").exists()
    read = load_gallery(tmp_path)
    assert (read.analysis, read.headline, read.comparators, read.forecasts) == (
        WHISPER,
        SPOKEN,
        replace(SPOKEN, runs=()),
        forecasts,
    )
    assert read.comparison == SPOKEN and read.comparison.runs[0].utterances[0].words == 10


def test_comparators_that_were_measured_are_kept_and_those_of_another_gallery_are_not(tmp_path):
    first = comparison(samples.run("svd", "uniform", 0.2, 90.0))
    second = comparison(samples.run("asvd", "uniform", 0.2, 80.0))
    measured = Gallery(ANALYSIS, first, second, (), (), (), EVIDENCE)
    save_gallery(tmp_path, measured)
    assert [each.method for each in load_gallery(tmp_path).comparison.runs] == ["svd", "asvd"]
    save_gallery(tmp_path, replace(measured, comparators=replace(second, runs=())))
    assert [each.method for each in load_gallery(tmp_path).comparison.runs] == ["svd"]


def test_a_speech_model_is_measured_under_every_policy_without_other_seeds():
    recipes = speech_gallery_recipes("whisper", (0.2, 0.3))
    assert len(recipes) == len(set(recipes)) == 2 * (4 * 2 + 1) and not any(recipe.seed for recipe in recipes)
    assert {(r.method, r.policy) for r in recipes} == {
        ("compot", "pooled"),
        *((m, p) for m in ("svd-llm", "compot", "compot-fisher", "svd-fisher") for p in ("uniform", "fisher")),
    }
    assert {method.name for method in registered_methods()} >= {r.method for r in recipes}
