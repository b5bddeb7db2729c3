"""The workbench on a tiny real model: everything once, one at a time, cancellable, cached by content."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from tiny import SENTENCES, finish, write_tiny_llama

from compression import costs, forecast
from compression.analysis import SeedSpread, compare_info
from compression.errors import UserError
from compression.recipe import Recipe, over_seeds
from compression.workbench import Workbench
from views import engine

pytestmark = pytest.mark.usefixtures("two_sites_at_a_time")

TEXT = " ".join(SENTENCES) * 40
EVALUATION = {"window": 32, "max_windows": 3}


@pytest.fixture
def model_id(tmp_path: Path, cache: Path) -> str:
    write_tiny_llama(tmp_path / "tiny")
    return str(tmp_path / "tiny")


@pytest.fixture
def recipe(model_id: str, tmp_path: Path) -> Recipe:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return Recipe(
        model_id,
        "compot",
        "pooled",
        0.3,
        calibration_text=str(tmp_path / "text.txt"),
        num_sequences=8,
        sequence_length=32,
        gradient_sequences=16,
        iterations=3,
    )


def stages(steps) -> tuple[list[str], object]:
    """The stages a generator goes through, and its result."""
    seen = []
    while True:
        try:
            seen.append(next(steps).stage)
        except StopIteration as stop:
            return seen, stop.value


def test_work_is_done_once(recipe):
    bench = Workbench()
    first, report = stages(bench.compress(recipe))
    assert {"load", "calibrate", "compress"} <= set(first)
    again, same = stages(bench.compress(recipe))
    assert again == [] and same is report
    assert report.plan.settings == {"iterations": 3, "atoms_per_nonzero": 2.0, "damping": 1e-8, "random_start": 0}
    assert bench.prepared(recipe).compressed and bench.prepared(Recipe(recipe.model_id + "x")) == costs.Prepared()


def test_a_calibration_survives_the_process_and_a_damaged_one_is_made_again(recipe, cache):
    first = finish(Workbench().compress(recipe))
    assert not first.calibration_reused
    seen, second = stages(Workbench().compress(recipe))
    assert second.calibration_reused and "calibrate" not in seen
    assert second.calibration_seconds == pytest.approx(first.calibration_seconds)
    assert [s.relative_output_error for s in second.sites] == [s.relative_output_error for s in first.sites]
    (folder,) = (cache / "calibrations").iterdir()
    (folder / "meta.json").write_bytes(b"broken")
    assert not finish(Workbench().compress(recipe)).calibration_reused
    next(folder.glob("*.safetensors")).write_bytes(b"broken")
    with pytest.raises(UserError, match="have been removed: run it again"):
        finish(Workbench().compress(recipe))
    assert not finish(Workbench().compress(recipe)).calibration_reused


def test_one_heavy_job_at_a_time_and_closing_frees_the_slot(recipe):
    bench = Workbench()
    running = bench.compress(recipe)
    next(running)
    waiting = bench.model_info(recipe.model_id)
    assert next(waiting).stage == "wait"
    running.close()  # cancelled
    seen, info = stages(waiting)
    assert "wait" not in seen and info.architecture == "llama"
    assert finish(bench.compress(recipe)).sites, "a cancelled job can be started again"


@pytest.mark.parametrize("task", ["perplexity", "generate", "latency"])
def test_cancelling_a_measurement_frees_the_slot_and_the_next_one_goes_on(recipe, task):
    bench = Workbench()
    dense = Recipe(recipe.model_id)
    questions = {"perplexity": (TEXT, 32, 3), "generate": ("The quick", 8), "latency": (16, 4)}

    def start():
        return getattr(bench, task)(dense, *questions[task])

    running = start()
    assert any(step.stage == task for step in running), "in the middle"
    waiting = start()
    assert next(waiting).stage == "wait" and bench._busy.locked()
    running.close()
    assert not bench._busy.locked()
    seen, result = stages(waiting)
    assert "wait" not in seen and seen.count(task) > 1 and result is not None
    assert not bench._busy.locked()


def test_a_cancelled_event_of_the_page_frees_the_slot(recipe):
    bench = Workbench()

    def event():
        return (
            yield from engine.relay(bench.generate(Recipe(recipe.model_id), "The quick", 8), lambda step: step.stage)
        )

    running = engine.guarded(event(), "nothing", str, "a bug")
    assert next(running) == "nothing" and not bench._busy.locked(), "Gradio closes only what has yielded"
    assert any(stage == "generate" for stage in running)
    running.close()
    assert not bench._busy.locked()
    assert finish(bench.model_info(recipe.model_id)).architecture == "llama"


def test_a_failing_job_frees_the_slot(recipe):
    bench = Workbench()
    with pytest.raises(UserError, match="enough for"):
        finish(bench.compress(dataclasses.replace(recipe, num_sequences=5000)))
    assert finish(bench.compress(recipe)).sites


def test_sequences_longer_than_the_context_are_refused(recipe):
    with pytest.raises(UserError, match="longer than the model's context of 128"):
        finish(Workbench().compress(dataclasses.replace(recipe, sequence_length=129)))


def test_the_dense_model_is_never_changed(recipe):
    bench = Workbench()
    before = finish(bench.perplexity(Recipe(recipe.model_id), TEXT, **EVALUATION))
    compressed = finish(bench.perplexity(recipe, TEXT, **EVALUATION))
    bench._results = type(bench._results)(1)  # forget, so that it is measured again
    after = finish(bench.perplexity(Recipe(recipe.model_id), TEXT, **EVALUATION))
    assert before.perplexity == after.perplexity != compressed.perplexity
    assert compressed.stored_bits < before.stored_bits


def test_a_repeated_perplexity_is_answered_from_memory(recipe):
    bench = Workbench()
    assert not bench.is_cached(recipe, TEXT, **EVALUATION)
    first = finish(bench.perplexity(recipe, TEXT, **EVALUATION))
    assert bench.is_cached(recipe, TEXT, **EVALUATION)
    seen, again = stages(bench.perplexity(recipe, TEXT, **EVALUATION))
    assert seen == [] and again is first
    assert not bench.is_cached(recipe, TEXT + "!", **EVALUATION)


def test_a_repeated_completion_is_answered_from_memory(recipe, tmp_path):
    bench = Workbench()
    dense = Recipe(recipe.model_id)
    assert not bench.is_generated(dense, "The quick", 5)
    seen, first = stages(bench.generate(dense, "The quick", 5))
    assert "generate" in seen and first.token_ids and bench.is_generated(dense, "The quick", 5)
    seen, again = stages(bench.generate(dense, "The quick", 5))
    assert seen == [] and again is first
    assert not bench.is_generated(dense, "The quick ", 5) and not bench.is_generated(recipe, "The quick", 5)
    write_tiny_llama(tmp_path / "tiny", seed=1)
    assert not bench.is_generated(dense, "The quick", 5), "other files under the same name"


def test_another_method_on_the_same_text_does_not_measure_dense_again(recipe):
    bench = Workbench()
    measured = []
    for method in ("compot", "svd-llm"):
        for wanted in (Recipe(recipe.model_id), dataclasses.replace(recipe, method=method)):
            seen, _ = stages(bench.perplexity(wanted, TEXT, **EVALUATION))
            measured.append(seen.count("perplexity"))
    assert measured == [3, 3, 0, 3]


def test_removing_nothing_leaves_the_dense_model(recipe):
    bench = Workbench()
    nothing = Recipe(recipe.model_id, "svd-llm", "pooled", 0.0, recipe.calibration_text, 8, 32)
    report = finish(bench.compress(nothing))
    assert report.removed_fraction == report.whole_model_removed_fraction == 0
    dense = finish(bench.perplexity(Recipe(recipe.model_id), TEXT, **EVALUATION))
    assert finish(bench.perplexity(nothing, TEXT, **EVALUATION)).perplexity == dense.perplexity


def test_a_comparison_streams_its_runs_and_settings_go_where_they_belong(recipe):
    bench = Workbench()
    recipes = tuple(dataclasses.replace(recipe, method=method) for method in ("svd", "svd-llm", "compot"))
    steps = bench.compare(recipes, recipe.calibration_text, 32, 3)
    runs = []
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            comparison = stop.value
            break
        if event.stage == "run":
            runs.append(event.partial)
    assert runs == [comparison.dense, *comparison.runs]
    compot = {"iterations": 3, "atoms_per_nonzero": 2.0, "damping": 1e-8, "random_start": 0}
    assert [run.settings for run in comparison.runs] == [{}, {"damping": 1e-8}, compot]
    for run in (comparison.dense, *comparison.runs):
        mean = sum(run.window_losses) / len(run.window_losses)
        assert len(run.window_losses) == 3 and run.perplexity == pytest.approx(math.exp(mean))
    other = Workbench()
    assert other.prepared(recipe) == costs.Prepared()
    fresh = costs.estimate(comparison, "perplexity", "compot", other.prepared(recipe))
    finish(other.compress(recipe))
    known = other.prepared(recipe)
    weights = sum(site.shape[0] * site.shape[1] for site in comparison.runs[0].sites)
    assert known == costs.Prepared(True, True, site_weights=weights)
    assert 0 < costs.estimate(comparison, "perplexity", "compot", known) < fresh
    assert costs.estimate(comparison, "perplexity", "compot", costs.Prepared(site_weights=10**9)) > 100 * fresh


def test_a_comparison_measures_how_far_predictions_move_and_runs_the_dense_model_once(recipe):
    bench = Workbench()
    milder = dataclasses.replace(recipe, removed_fraction=0.1)
    nothing = Recipe(recipe.model_id, "svd-llm", "uniform", 0.0, recipe.calibration_text, 8, 32)
    comparison = finish(bench.compare((nothing, milder, recipe), recipe.calibration_text, 32, 3))
    same, mild, strong = comparison.runs
    assert same.mean_kl == pytest.approx(0, abs=1e-11) and same.top1_agreement == 1
    assert 1e-5 < mild.mean_kl < strong.mean_kl < strong.p99_kl
    assert 0 <= strong.top1_agreement <= 1
    assert comparison.dense.model_id == recipe.model_id
    seen, again = stages(bench.compare((recipe,), recipe.calibration_text, 32, 3))
    assert "perplexity" not in seen and again.dense == comparison.dense, "both answers were remembered"
    other = finish(bench.compare((recipe,), recipe.calibration_text, 32, 2))
    assert other.dense.windows == 2 and other.runs[0].mean_kl not in (None, strong.mean_kl)


def test_a_comparison_over_seeds_calibrates_each_anew_and_foretells_the_first(recipe, monkeypatch):
    asked = []
    monkeypatch.setattr(Workbench, "_predicted", lambda self, dense, each, *_: asked.append(each.seed) or iter_of({}))
    plain = dataclasses.replace(recipe, method="svd", policy="uniform")
    recipes = over_seeds((recipe, plain), 3)
    assert [(each.method, each.seed) for each in recipes] == [
        ("compot", 0),
        ("svd", 0),
        ("compot", 1),
        ("compot", 2),
    ], "no calibration changes plain SVD"
    comparison = finish(Workbench().compare(recipes, recipe.calibration_text, 32, 3))
    assert [(run.method, run.seed) for run in comparison.runs] == [(each.method, each.seed) for each in recipes]
    assert comparison.calibration.seed == 0 and asked == [0, 0]
    info = compare_info(comparison, 0.3)
    assert [run.method for run in info.rows] == ["compot", "svd"] and info.spreads[1] is None
    values = tuple(run.perplexity for run in comparison.runs if run.method == "compot")
    assert len(set(values)) == 3
    assert info.spreads[0] == SeedSpread(min(values), max(values), 3, values)


def iter_of(value):
    """A generator that yields nothing and returns `value`."""
    yield from ()
    return value


def test_a_method_that_needs_no_calibration_depends_on_the_seed_through_its_policy():
    plain = Recipe("any", "svd", "uniform", 0.2)
    assert not plain.depends_on_seed() and not dataclasses.replace(plain, policy="own").depends_on_seed()
    assert dataclasses.replace(plain, policy="fisher").depends_on_seed()
    assert Recipe("any", "svd-llm", "uniform", 0.2).depends_on_seed()
    assert over_seeds((dataclasses.replace(plain, seed=4, policy="fisher"),), 2)[1].seed == 5
    for count in (0, 17):
        with pytest.raises(UserError, match=f"seeds must be from 1 to 16, but {count}"):
            over_seeds((plain,), count)


def test_what_a_site_is_stored_as(recipe):
    bench = Workbench()
    even = dataclasses.replace(recipe, policy="uniform")
    info = finish(bench.pattern(even, "model.layers.1.mlp.up_proj"))
    assert info.shape == (96, 64) and info.removed_fraction == 0.3
    assert len(info.mask_density) == min(48, info.num_atoms) and len(info.mask_density[0]) == 48
    average = sum(map(sum, info.mask_density)) / len(info.mask_density) / 48
    assert average == pytest.approx(info.nonzeros_per_column / info.num_atoms, rel=0.05)
    assert list(info.atom_use) == sorted(info.atom_use, reverse=True) and len(info.atom_use) == info.num_atoms
    column = info.column
    assert (len(column.low_rank), len(column.dictionary)) == (info.rank, info.nonzeros_per_column)
    assert len(column.dictionary) + len(column.more_atoms) == info.num_atoms and column.num_columns == 96
    for captured, error in (
        (column.low_rank_median, info.low_rank_error),
        (column.dictionary_median, info.dictionary_error),
    ):
        assert captured == pytest.approx(1 - error**2, abs=0.02), "columns of a random weight are much alike"
    with pytest.raises(UserError, match="has no site 'nothing'"):
        finish(bench.pattern(even, "nothing"))
    with pytest.raises(UserError, match="stays dense"):
        finish(bench.pattern(dataclasses.replace(even, removed_fraction=0.0), "model.layers.1.mlp.up_proj"))


def test_a_directory_that_was_written_is_opened_like_a_model(recipe, tmp_path):
    bench = Workbench()
    finish(bench.compress_to(recipe, tmp_path / "out"))
    written = Recipe(str(tmp_path / "out"))
    expected = finish(bench.perplexity(recipe, TEXT, **EVALUATION))
    assert finish(Workbench().perplexity(written, TEXT, **EVALUATION)).perplexity == expected.perplexity
    assert finish(bench.generate(written, "The quick", 5)) == finish(bench.generate(recipe, "The quick", 5))
    report = finish(bench.latency(written, prompt_tokens=8, decode_tokens=2))
    assert list(report.prefill) == ["dense", "compressed"] and "merged" in report.execution
    assert report.smaller and report.machine is not None and list(report.predicted_decode) == ["dense", "compressed"]
    with pytest.raises(UserError, match="compressed already"):
        finish(bench.compress(Recipe(written.model_id, "svd", removed_fraction=0.1)))


def test_dense_is_not_a_method_to_compress_with(recipe):
    bench = Workbench()
    with pytest.raises(UserError, match="no method 'dense': expected one of"):
        finish(bench.compress(Recipe(recipe.model_id)))
    with pytest.raises(UserError, match="no method 'dense'"):
        finish(bench.compare((Recipe(recipe.model_id),), recipe.calibration_text))


@pytest.mark.parametrize("name", ["~nobody-of-that-name", "x" * 300, "a\0b"], ids=["user", "long", "nul"])
def test_odd_model_ids_get_one_sentence(name, cache):
    with pytest.raises(UserError):
        finish(Workbench().model_info(name))
    with pytest.raises(UserError):
        finish(Workbench().perplexity(Recipe(name), TEXT))


def test_changed_files_under_the_same_name_are_new_ones(recipe, tmp_path):
    bench = Workbench()
    first = finish(bench.compress(recipe))
    dense = finish(bench.perplexity(Recipe(recipe.model_id), TEXT, **EVALUATION))
    Path(recipe.calibration_text).write_text(TEXT[::-1], encoding="utf-8")
    second = finish(bench.compress(recipe))
    assert second.plan.calibration != first.plan.calibration and not second.calibration_reused
    write_tiny_llama(tmp_path / "tiny", seed=1)
    third = finish(bench.compress(recipe))
    assert third.plan.weights_hash != second.plan.weights_hash
    assert finish(bench.perplexity(Recipe(recipe.model_id), TEXT, **EVALUATION)).perplexity != dense.perplexity


def test_another_configuration_of_the_same_weights_is_calibrated_anew(recipe, tmp_path):
    first = finish(Workbench().compress(recipe))
    config = tmp_path / "tiny" / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 0.1'))
    second = finish(Workbench().compress(recipe))
    assert second.plan.weights_hash == first.plan.weights_hash and not second.calibration_reused
    assert second.sites[0].relative_output_error != first.sites[0].relative_output_error


def test_reports_name_the_weights_and_what_happened_to_them(recipe):
    bench = Workbench()
    finish(bench.model_info(recipe.model_id))
    (key,) = (key for key in bench._models._values if key[0] == "dense")
    known = bench._models.get(key)
    noted = dataclasses.replace(known.loaded, note="a caution", notes=("a fallback",))
    bench._models.put(key, dataclasses.replace(known, loaded=noted))
    report = finish(bench.compress(recipe))
    assert report.notes[0] == "a fallback" and report.model_note == "a caution"
    measured = finish(bench.perplexity(recipe, TEXT, **EVALUATION))
    assert (measured.model_id, measured.model_note) == (recipe.model_id, "a caution")
    assert measured.weights_hash == report.plan.weights_hash and measured.notes == ("a fallback",)
    assert finish(bench.latency(recipe, 4, 1)).model_note == "a caution"


def test_each_step_may_run_in_another_thread(recipe):
    """As in a web server, which hands every step to whichever worker is free."""
    from concurrent.futures import ThreadPoolExecutor

    steps = Workbench().perplexity(recipe, TEXT, **EVALUATION)
    report = None
    while report is None:
        with ThreadPoolExecutor(1) as fresh:
            try:
                fresh.submit(next, steps).result()
            except StopIteration as stop:
                report = stop.value
    assert report.perplexity == finish(Workbench().perplexity(recipe, TEXT, **EVALUATION)).perplexity
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("gradients", [False, True])
def test_two_processes_do_not_make_the_same_statistics_twice(recipe, gradients):
    """Each workbench has a lock of its own and meets the other on the disk only, as two processes do."""
    finish(Workbench().statistics(recipe, False)) if gradients else None
    one, other = Workbench().statistics(recipe, gradients), Workbench().statistics(recipe, gradients)
    while next(one).stage not in ("calibrate", "gradients"):
        pass
    while (said := next(other)).stage != "wait":
        assert said.stage not in ("calibrate", "gradients"), "both make them"
    assert said.message == f"Waiting for another process that is preparing {recipe.model_id}"
    assert not finish(one)
    seen, reused = stages(other)
    assert reused and not {"calibrate", "gradients"} & set(seen)


def test_threads_are_given_back(recipe):
    before = torch.get_num_threads()
    finish(Workbench().compress(recipe))
    assert torch.get_num_threads() == before


LOSS_AWARE = {"method": "compot-fisher", "policy": "own"}


def test_gradients_curves_and_their_policy_are_made_once(recipe):
    aware = dataclasses.replace(recipe, **LOSS_AWARE)
    seen, report = stages(Workbench().compress(aware))
    assert {"calibrate", "gradients", "curves", "compress"} <= set(seen)
    assert report.plan.allocation.policy == "fisher" and "gradients" in report.stages
    seen, again = stages(Workbench().compress(dataclasses.replace(aware, removed_fraction=0.2)))
    assert not {"calibrate", "gradients", "curves"} & set(seen)
    assert again.calibration_seconds == report.calibration_seconds and again.calibration_reused
    assert again.removed_fraction == pytest.approx(0.2, abs=0.02)


def test_own_is_the_policy_a_method_was_published_with(recipe):
    bench = Workbench()
    found = {}
    for method in ("svd", "compot", "svd-fisher"):
        _, allocation = finish(bench.allocation(dataclasses.replace(recipe, method=method, policy="own")))
        found[method] = allocation.policy
    assert found == {"svd": "uniform", "compot": "pooled", "svd-fisher": "fisher"}


def test_pins_hold_through_the_whole_way(recipe):
    pinned = dataclasses.replace(recipe, **LOSS_AWARE, pins=(("model.layers.0.*", 0.0),))
    report = finish(Workbench().compress(pinned))
    assert all((site.representation == "dense") == (site.removed_fraction == 0) for site in report.sites)
    assert {site.representation for site in report.sites if site.block == 0} == {"dense"}
    with pytest.raises(UserError, match="With these pins the removed fraction can be from 0"):
        finish(Workbench().compress(dataclasses.replace(pinned, removed_fraction=0.6)))


def test_recalibrating_changes_the_result_and_keeps_the_budget(recipe):
    plain = dataclasses.replace(recipe, method="compot-fisher", policy="uniform")
    first = finish(Workbench().compress(plain))
    second = finish(Workbench().compress(dataclasses.replace(plain, recalibrate=True)))
    assert second.stored_bits == first.stored_bits
    assert second.sites[0].relative_output_error == pytest.approx(first.sites[0].relative_output_error, rel=1e-3)
    assert second.sites[-1].relative_output_error != first.sites[-1].relative_output_error
    named = finish(Workbench().compress(dataclasses.replace(plain, settings=(("recalibrate", 1.0),))))
    assert [site.relative_output_error for site in named.sites] == [site.relative_output_error for site in second.sites]


def test_a_seed_chooses_other_sequences(recipe):
    reports = [finish(Workbench().compress(dataclasses.replace(recipe, seed=seed))) for seed in (0, 1, 1)]
    errors = [[site.relative_output_error for site in report.sites] for report in reports]
    assert errors[0] != errors[1] == errors[2]


def test_a_text_too_short_for_gradients_says_how_long_it_must_be(recipe, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text(TEXT[:1200], encoding="utf-8")
    aware = dataclasses.replace(recipe, **LOSS_AWARE, calibration_text=str(short))
    with pytest.raises(UserError, match=r"too few to keep gradients apart .* at least 768 are needed"):
        finish(Workbench().compress(aware))
    assert finish(Workbench().compress(dataclasses.replace(aware, method="svd-llm", policy="uniform"))).sites


def test_too_few_calibration_tokens_are_said_to_be_too_few(recipe):
    few = dataclasses.replace(recipe, method="svd-llm", num_sequences=2, removed_fraction=0.2)
    notes = finish(Workbench().compress(few)).notes
    assert any("rank-deficient: 64 calibration tokens for up to 96 inputs" in note for note in notes)
    assert not any("rank-deficient" in note for note in finish(Workbench().compress(recipe)).notes)


def test_a_site_that_sees_only_zeros_is_named(recipe):
    bench = Workbench()
    finish(bench.model_info(recipe.model_id))
    (known,) = bench._models.values()
    with torch.no_grad():
        known.loaded.model.get_submodule("model.layers.1.input_layernorm").weight.zero_()
    with pytest.raises(UserError, match=r"model\.layers\.1\.self_attn\.q_proj: .* all zero"):
        finish(bench.compress(dataclasses.replace(recipe, method="svd-llm", policy="uniform")))


def test_a_forecast_is_made_once_and_read_without_the_model(recipe, monkeypatch):
    aware = dataclasses.replace(recipe, **LOSS_AWARE)
    seen, report = stages(Workbench().forecast(aware))
    assert "probe" in seen
    assert len(report.measured) in (1, 3)
    assert bool(report.predictions) != bool(report.problem)
    seen, again = stages(Workbench().forecast(aware))
    assert "probe" not in seen and again.measured == report.measured
    stored = forecast.stored_report(forecast.table_key(dataclasses.replace(aware, removed_fraction=0.1)))
    assert stored is not None and stored.measured == report.measured
    other = dataclasses.replace(aware, pins=(("model.layers.0.*", 0.0),))
    assert forecast.stored_report(forecast.table_key(other)) is None


def test_a_comparison_sets_the_forecast_beside_the_measurement(recipe, monkeypatch):
    monkeypatch.setattr(forecast, "TOLERANCE", 1e9)  # a random model obeys no law
    monkeypatch.setattr(forecast, "_increasing", lambda probes: True)
    made = []

    def fake_probe(probes, dense, convention, stretches):
        made.append(probes)
        first = dataclasses.replace(probes[0], window_changes=(0.01, 0.02))
        return forecast.Forecast((first,), 1.0, convention, coefficient=0.1, exponent=0.01, bands=(0.1,))

    monkeypatch.setattr(forecast, "make_forecast", fake_probe)
    aware = dataclasses.replace(recipe, **LOSS_AWARE)
    plain = dataclasses.replace(recipe, method="svd-llm", policy="uniform")
    comparison = finish(Workbench().compare((aware, plain), recipe.calibration_text, 32, 3, "loss-aware"))
    loss_aware, low_rank = comparison.runs
    assert made and low_rank.predicted_perplexity is None and not low_rank.forecast_problem
    assert loss_aware.predicted_low < loss_aware.predicted_perplexity < loss_aware.predicted_high
    ratio = loss_aware.predicted_perplexity / comparison.dense.perplexity
    assert 1 < ratio < 1.2
    tables = [dataclasses.replace(aware, policy=policy) for policy in ("own", "fisher")]
    assert all(forecast.stored_report(forecast.table_key(each)) for each in tables), "predict answers at once now"
    without = finish(Workbench().compare((aware,), recipe.calibration_text, 32, 3, "never"))
    assert without.runs[0].predicted_perplexity is None


COMPARED = {
    "svd-llm-v2": "svd-llm-v2",
    "fwsvd": "uniform",
    "asvd": "sensitivity",
    "cospadi": "uniform",
    "rocket": "knapsack",
    "dobi-svd": "learned",
}
LEARNING = (("steps", 12.0),)


def test_every_comparator_runs_under_its_own_policy_and_its_bits_are_those_of_its_tensors(recipe, tmp_path):
    recipes = tuple(
        dataclasses.replace(
            recipe, method=name, policy="own", iterations=None, settings=LEARNING if name == "dobi-svd" else ()
        )
        for name in COMPARED
    )
    comparison = finish(Workbench().compare(recipes, str(tmp_path / "text.txt"), **EVALUATION, predict="never"))
    assert {run.method: run.policy for run in comparison.runs} == COMPARED
    for run in comparison.runs:
        assert 0.3 <= run.removed_fraction < 0.4 and math.isfinite(run.perplexity)
        assert run.site_stored_bits == sum(site.stored_bits for site in run.sites)
    shares = {run.method: [site.removed_fraction_target for site in run.sites] for run in comparison.runs}
    assert len(set(shares["fwsvd"])) == len(set(shares["cospadi"])) == 1
    for name in ("svd-llm-v2", "asvd", "rocket", "dobi-svd"):
        assert len(set(shares[name])) > 2, f"{name} shares alike"


def test_a_cell_of_a_comparison_survives_the_process(recipe, tmp_path, cache):
    text = str(tmp_path / "text.txt")
    first = finish(Workbench().compare((recipe,), text, **EVALUATION))
    seen, again = stages(Workbench().compare((recipe,), text, **EVALUATION))
    assert "compress" not in seen and again.runs == first.runs
    others = (
        {"policy": "uniform"},
        {"removed_fraction": 0.4},
        {"iterations": 2},
        {"settings": (("random_start", 1.0),)},
        {"pins": (("*.0.*", 0.3),)},
        {"seed": 1},
    )
    for change in others:
        seen, other = stages(Workbench().compare((dataclasses.replace(recipe, **change),), text, **EVALUATION))
        assert "compress" in seen and other.runs != first.runs, f"taken for the same: {change}"
    Path(text).write_text(TEXT + " And something else.", encoding="utf-8")
    seen, _ = stages(Workbench().compare((recipe,), text, **EVALUATION))
    assert "compress" in seen, "other words under the same name"
    (cache / "runs" / "broken.json").write_bytes(b"broken")
    for file in (cache / "runs").iterdir():
        file.write_bytes(b"broken")
    seen, repaired = stages(Workbench().compare((recipe,), text, **EVALUATION))
    assert "compress" in seen


def test_learning_that_was_interrupted_goes_on(recipe, tmp_path):
    learned = dataclasses.replace(recipe, method="dobi-svd", policy="own", iterations=None, settings=LEARNING)
    steps = Workbench().allocation(learned)
    while (event := next(steps)).stage != "learn" or event.done < 7:
        pass
    steps.close()
    left = [event.done for event in Workbench().allocation(learned) if event.stage == "learn"]
    assert left[0] > 1 and left[-1] == 12
    seen, (_, allocation) = stages(Workbench().allocation(learned))
    assert "learn" not in seen and len(set(allocation.removed_fractions.values())) > 2


def test_a_search_that_was_interrupted_goes_on(recipe):
    searched = dataclasses.replace(recipe, method="asvd", policy="own", iterations=None)
    steps = Workbench().allocation(searched)
    while (event := next(steps)).stage != "sensitivity" or event.done < 3:
        pass
    steps.close()
    left = [event.done for event in Workbench().allocation(searched) if event.stage == "sensitivity"]
    assert left[0] >= 4


def test_a_policy_without_meaning_for_a_method_is_refused_before_anything_is_loaded():
    for method in ("svd", "svd-llm", "compot", "rocket", "asvd"):
        with pytest.raises(UserError, match=f"learns truncation positions, and {method} has none to learn: choose"):
            finish(Workbench().compress(Recipe("nowhere", method, "learned", 0.2)))


def test_other_policies_work_with_any_method_per_site(recipe):
    for method in ("svd", "compot", "dobi-svd"):
        for policy in ("svd-llm-v2", "knapsack", "sensitivity"):
            steps = Workbench().allocation(dataclasses.replace(recipe, method=method, policy=policy, iterations=None))
            info, allocation = finish(steps)
            weights = {site.name: site.num_weights for site in info.sites}
            removed = sum(weights[name] * share for name, share in allocation.removed_fractions.items())
            assert removed / sum(weights.values()) == pytest.approx(0.3, abs=0.01), (method, policy)
