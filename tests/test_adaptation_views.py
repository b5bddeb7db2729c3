"""The Adapt tab without a browser: what its pictures are computed from, the pictures, the event, and what is kept."""

from __future__ import annotations

import copy
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "browser"))

from made_up_adaptation import SITE, Trainer, gate, gates, masks, point, precomputed, run, write

from compression import store
from compression.adaptation.analysis import (
    descent,
    gate_grid,
    gate_groups,
    mask_blocks,
    method_rows,
    thinned,
)
from compression.adaptation.archive import new_folder, pack
from compression.adaptation.gallery import SCRATCH_FILE, load_masks, load_methods, load_report, load_scratch
from compression.adaptation.types import AdaptSettings, GateMap, SiteMask, StepPoint, index_ranges
from compression.errors import UserError
from views import adaptation, engine, storage
from views.adapt_pictures import Overview, RunPictures
from views.adaptation import Session
from views.figures import adaptation as figures
from views.figures import gates as gate_figures
from views.figures.adaptation import Trace
from views.figures.pattern import removed_view
from views.figures.scratch import smoothed, twins_view
from views.tabs.adapt import training, with_moment
from views.texts import words

EN, RU = words("en"), words("ru")
CURVE = tuple(point(step, True) for step in range(1, 41))


def settings(**more: Any) -> AdaptSettings:
    return AdaptSettings(**{"model_id": "minilm", "method": "finegates", "task": "mrpc", **more})


# What is computed


def test_gates_stand_by_projection_and_block_and_a_missing_layer_is_blank() -> None:
    grid = gate_grid((gate(1, "query", 0.5), gate(0, "query", 0.5), gate(0, "output", 0)))
    assert (grid.blocks, grid.projections) == ((0, 1), ("query", "output"))
    assert [[cell and cell.block for cell in row] for row in grid.cells] == [[0, 1], [0, None]]
    first = grid.cells[0][0]
    assert first is not None and first.rows == pytest.approx(np.mean(gate(0, "query", 0.5).rows))
    bare = gate_grid((GateMap("a.b", 0, "b", (), (0.5,), 1.0, 1.0, 0.0),)).cells[0][0]
    assert bare is not None and bare.rows is None and bare.columns == 0.5


def test_a_long_curve_keeps_its_ends() -> None:
    curve = tuple(point(step, False) for step in range(1, 1001))
    few = thinned(curve, 7)
    assert len(few) == 7 and few[0] is curve[0] and few[-1] is curve[-1]
    assert [p.step for p in few] == sorted({p.step for p in few})
    assert thinned(CURVE) == CURVE
    with pytest.raises(ValueError, match="at least 2"):
        thinned(curve, 1)


def test_no_point_contradicts_the_largest_mu_and_one_contradicts_any_larger() -> None:
    seen = descent(CURVE)
    assert seen is not None and seen.mu is not None and seen.worst in seen.points
    least = min(p.loss for p in CURVE)
    assert seen.least_loss == least
    assert [p.step for p in seen.points] == [p.step for p in CURVE if p.loss > least]
    for mu, holds in ((seen.mu * (1 - 1e-9), True), (seen.mu * (1 + 1e-9), False)):
        assert all(p.loss - least <= p.gradient_norm_squared / (2 * mu) for p in CURVE if p.loss > least) == holds
    assert seen.bound(2 * seen.mu) == pytest.approx(1)


def test_a_trace_too_short_to_say_anything_says_nothing() -> None:
    assert descent(()) is None
    alone = descent(CURVE[:1])
    assert alone is not None and alone.mu is None and figures.descent_view(alone, True, EN) is None
    with pytest.raises(ValueError, match="without points"):
        alone.bound(1)


def test_seeds_of_one_setting_become_one_row() -> None:
    runs = [run(settings(seed=seed), better=seed) for seed in (2, 0, 1)]
    other = run(settings(target_sparsity=0.2))
    rows = method_rows([*runs, other])
    assert [(row.method, row.target_sparsity, row.seeds) for row in rows] == [
        ("finegates", 0.4, (0, 1, 2)),
        ("finegates", 0.2, (0,)),
    ]
    accuracies = [each.accuracy for each in runs]
    assert rows[0].accuracy is not None and rows[0].quality is rows[0].accuracy
    assert rows[0].accuracy.mean == pytest.approx(np.mean(accuracies))
    assert rows[0].accuracy.deviation == pytest.approx(np.std(accuracies, ddof=1))
    assert (rows[0].accuracy.low, rows[0].accuracy.high) == (min(accuracies), max(accuracies))
    assert rows[1].accuracy is not None and rows[1].accuracy.deviation is None
    text = method_rows([run(settings(task="lm"))])[0]
    assert text.accuracy is None and text.quality is text.perplexity


def test_a_seed_that_was_run_again_counts_once() -> None:
    (row,) = method_rows([run(settings(), better=0), run(settings(), better=5)])
    assert row.seeds == (0,) and row.accuracy is not None and row.accuracy.mean == pytest.approx(0.85)


@pytest.mark.parametrize("most", [1, 3, 8, 64])
def test_blocks_of_a_mask_are_the_means_of_the_whole_mask(most: int) -> None:
    generator = np.random.default_rng(0)
    kept = [np.flatnonzero(generator.random(size) < 0.6).tolist() for size in (13, 40)]
    mask = SiteMask("s", (13, 40), index_ranges(kept[0]), index_ranges(kept[1]), 0.0)
    whole = np.zeros((13, 40))
    whole[np.ix_(*kept)] = 1
    found = mask_blocks(mask, most)
    for i, rows in enumerate(np.array_split(np.arange(13), 1) if most == 1 else _blocks(13, most)):
        for j, columns in enumerate(_blocks(40, most)):
            assert found.density[i][j] == pytest.approx(whole[np.ix_(rows, columns)].mean())
    assert (found.kept_rows, found.kept_columns) == (len(kept[0]), len(kept[1]))


def _blocks(length: int, most: int) -> list[Any]:
    count = min(length, most)
    return [range(length * b // count, length * (b + 1) // count) for b in range(count)]


def test_ranges_say_the_same_as_indices() -> None:
    kept = [0, 1, 2, 5, 7, 8]
    ranges = index_ranges(kept)
    assert ranges == ((0, 3), (5, 6), (7, 9))
    assert [index for start, stop in ranges for index in range(start, stop)] == kept
    assert index_ranges([]) == ()
    assert gate_groups((1.0, 1.0)) == (0.25, 0.75)


# The pictures


def test_the_maps_have_one_fixed_range_and_short_names() -> None:
    grid = gate_grid(gates(1.0))
    for side in gate_figures.SIDES:
        view = gate_figures.map_view(grid, side, EN)
        (heat,) = json.loads(view.figure.to_json())["data"]
        assert (heat["zmin"], heat["zmax"]) == (0, 1) and "%" in heat["text"][0][0]
        assert heat["y"] == ["query", "key", "value", "attention.output", "intermediate", "output"]
        assert len(heat["z"]) == 6 and len(heat["z"][0]) == 6
        assert view.table is not None and len(view.table.rows) == 36
        assert "keeps the fewest open" in view.summary
    opened = gate_figures.map_view(gate_grid(gates(0.0)), "rows", EN)
    assert opened.summary.startswith("Every row is still open")
    without = gate_grid((GateMap("a.b", 0, "b", (), (0.5,), 1.0, 1.0, 0.25),))
    removed = gate_figures.removed_view(without, "rows", RU)
    assert removed.summary.startswith("На этой стороне у метода нет вентилей. ") and "1 из 1" in removed.summary
    nothing = gate_figures.removed_view(gate_grid((GateMap("a.b", 0, "b", (), (0.5,), 1.0, 1.0, 0.0),)), "rows", EN)
    assert nothing.summary.endswith("Nothing leaves any layer so far.")
    assert list(removed.figure.data[0].z) == [[0.25]] and removed.title == "Что удаляется из каждого слоя"


def test_one_layer_shows_rows_and_columns_apart() -> None:
    view = gate_figures.layer_view(gate(3, "query", 1.0), EN)
    rows, columns = view.figure.data
    assert (rows.line.dash, columns.line.dash) == ("solid", "dash") and rows.marker.symbol != columns.marker.symbol
    assert (len(rows.x), len(columns.x)) == (32, 48) and view.table is not None and len(view.table.rows) == 80
    assert "really leave" in view.summary


def test_the_curves_never_confuse_the_three_figures() -> None:
    made = run(settings())
    view = figures.curves_view(Trace(made.curve, made.scores, 0.4, 0.68), EN)
    names = [trace.name for trace in view.figure.data]
    assert names == [
        "task loss",
        "sparsity loss, λ included",
        "really removed",
        "soft sparsity",
        "target",
        "accuracy",
        "F1",
        "always the most frequent class",
    ]
    assert "Target 40%; soft sparsity 42%; **really removed 35%**." in view.summary
    assert view.table is not None and len(view.table.rows) == 40
    running = figures.curves_view(Trace(made.curve[:1], (), None, 0.68, False), EN)
    assert running.table is None and "Target" not in running.summary
    text = figures.curves_view(Trace(made.curve, run(settings(task="lm")).scores), EN)
    assert text.figure.data[-1].name == "perplexity" and "perplexity: **21.00**" in text.summary


def test_the_descent_is_logarithmic_and_says_what_it_cannot_show() -> None:
    seen = descent(CURVE)
    assert seen is not None
    view = figures.descent_view(seen, True, EN)
    assert view is not None and view.table is not None
    assert (view.figure.layout.xaxis.type, view.figure.layout.yaxis.type) == ("log", "log")
    dots, line = view.figure.data
    assert len(dots.x) == len(seen.points) == len(view.table.rows)
    bound = np.interp(np.log(dots.x), np.log(line.x), np.log(line.y))
    assert (np.log(dots.y) <= bound + 1e-9).all() and np.isclose(np.log(dots.y), bound).any()
    assert "can contradict it, but never prove it" in view.summary
    unfinished = figures.descent_view(seen, False, RU)
    assert unfinished is not None and unfinished.table is None and "никогда его не докажет" in unfinished.summary


def test_own_runs_are_ringed_and_the_table_has_three_columns_of_removal() -> None:
    report = precomputed("mrpc")
    rows = adaptation.rows_of(report, (run(settings(max_minutes=1.0)),))
    view = figures.points_view(rows, 0.68, EN)
    ring = next(trace for trace in view.figure.data if trace.name == "your runs")
    assert len(ring.x) == 1 and view.figure.data[-1].name == "always the most frequent class"
    assert len({(t.marker.color, t.marker.symbol) for t in view.figure.data[:-3]}) == len(report.runs) / 3
    low, high = view.figure.layout.yaxis.range
    assert low < 0.68 < high and all(low < t.y[0] < high for t in view.figure.data)
    table = view.table
    assert table is not None and table.rows[-1][0] == "FineGates (yours)"
    assert table.headers[6:9] == ("Target sparsity", "Soft sparsity", "Really removed")
    assert table.rows[0][6:9] == (0.4, pytest.approx(0.41), pytest.approx(0.35))
    assert {table.headers[place] for place in table.shares} == {
        "Accuracy",
        "± standard deviation",
        "F1",
        "Target sparsity",
        "Soft sparsity",
        "Really removed",
    }
    lora = next(row for row in table.rows if row[0] == "LoRA")
    assert lora[6:9] == (None, None, 0)
    text = figures.points_view(adaptation.rows_of(precomputed("lm"), ()), None, EN)
    assert text.summary.startswith("The lowest mean perplexity is that of full fine-tuning")
    assert text.table is not None and "F1" not in text.table.headers
    assert text.table.shares == {places for places, header in enumerate(text.table.headers) if "spars" in header} | {7}


def test_a_ruined_model_does_not_hide_how_the_others_differ() -> None:
    report = precomputed("lm")
    ruined = replace(report.runs[0], perplexity=1.6e6)
    view = figures.points_view(adaptation.rows_of(replace(report, runs=(ruined, *report.runs[3:])), ()), None, EN)
    axis = view.figure.layout.yaxis
    assert axis.type == "log" and axis.range is None
    near = figures.points_view(adaptation.rows_of(report, ()), None, EN)
    assert near.figure.layout.yaxis.type != "log"


def test_latency_says_plainly_what_is_not_faster() -> None:
    view = figures.latency_view(run(settings()), EN)
    assert view is not None and "0.72 of the time." in view.summary and "not faster" not in view.summary
    slow = figures.latency_view(run(settings(method="lora")), EN)
    assert slow is not None and slow.summary.count("**not faster**") == 2
    assert figures.latency_view(replace(run(settings()), latency=()), EN) is None


def test_a_mask_marks_what_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_of_gates = masks()
    view = removed_view(run_of_gates, run_of_gates.masks[0], EN)
    heat, rows, columns = view.figure.data
    assert len(heat.z) == len(heat.z[0]) == 64 and (heat.zmin, heat.zmax) == (0, 1)
    blocks = mask_blocks(run_of_gates.masks[0])
    assert list(rows.y) == [i for i, share in enumerate(blocks.rows) if share < 1] and set(rows.x) == {-1}
    assert list(columns.x) == [i for i, share in enumerate(blocks.columns) if share < 1]
    assert "keeps 384 of the 576 rows and 536 of the 576 columns" in view.summary and "1970-01-01" in view.summary
    monkeypatch.setattr(adaptation, "ASSETS", write(tmp_path))
    picture = storage.PICTURES["gates-mask"]
    assert picture.view("smollm2-135m-q4", SITE, None, EN) is not None
    assert picture.view("another", SITE, None, EN) is picture.view("smollm2-135m-q4", "nowhere", None, EN) is None
    assert picture.view("smollm2-135m-q4", None, None, EN) is None


# What comes with the app


def test_files_come_back_as_they_were_written(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert load_report(folder, "mrpc") == precomputed("mrpc") and load_report(folder, "sst2") is None
    assert load_masks(folder) == masks()
    known = load_methods(folder)
    assert known is not None and known[0].removes and "lm" in known[0].tasks
    with pytest.raises(ValueError, match="expected one of"):
        load_report(folder, "../mrpc")


def test_what_is_missing_or_damaged_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(adaptation, "ASSETS", write(tmp_path))
    assert adaptation.report_of("mrpc", "any") is not None and adaptation.report_of("sst2", "any") is None
    assert adaptation.report_of("lm", "smollm2-135m-q4") is not None and adaptation.report_of("lm", "any") is None
    other = tmp_path / "damaged"
    other.mkdir()
    (other / "mrpc.json").write_text("{}")
    monkeypatch.setattr(adaptation, "ASSETS", other)
    assert adaptation.report_of("mrpc", "any") is None and adaptation.mask_of("any", SITE) is None


def test_the_last_own_run_comes_before_the_precomputed_one() -> None:
    report, mine = precomputed("mrpc"), run(settings(seed=9))
    assert adaptation.run_of(report, (), "finegates") is report.runs[0]
    assert adaptation.run_of(report, (run(settings()), mine), "finegates") is mine
    assert adaptation.run_of(report, (mine,), "nothing") is adaptation.run_of(None, (), "finegates") is None


def test_a_folder_is_packed_whole_and_an_empty_one_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path))
    folder = new_folder()
    assert not folder.exists() and new_folder() != folder
    (folder / "deep").mkdir(parents=True)
    assert pack(folder, "small") is None
    (folder / "deep" / "model.safetensors").write_bytes(b"12")
    archive = pack(folder, "small")
    assert archive is not None and archive.is_relative_to(store.archives())
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["small/deep/model.safetensors"]
        assert packed.read("small/deep/model.safetensors") == b"12"


# The event


class Part:
    """A `ChartPanel` or a component without a page around it."""

    outputs = ("chart", "summary", "table")

    def updates(self, view: Any) -> list[Any]:
        return [view.figure, view.summary, view.table]

    def cleared(self) -> list[Any]:
        return ["", "", ""]


@pytest.fixture
def pictures() -> RunPictures:
    """The pictures, without a page to lie in."""
    made = RunPictures.__new__(RunPictures)
    made.words, made.caption, made.layer = EN, None, None  # type: ignore[assignment]
    made.maps = {"rows": Part(), "columns": Part()}  # type: ignore[dict-item]
    made.layer_panel = made.curves = made.descent = made.latency = Part()  # type: ignore[assignment]
    return made


@pytest.fixture
def overview() -> Overview:
    """All runs, likewise."""
    made = Overview.__new__(Overview)
    made.words, made.points, made.missing, made.table = EN, Part(), None, None  # type: ignore[assignment]
    return made


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainer:
    """A trainer that takes no time; its precomputed runs."""
    trainer = Trainer(pace=0.3, wait=0.0)
    monkeypatch.setattr(engine, "workbench", lambda: trainer)
    monkeypatch.setattr(adaptation, "ASSETS", write(tmp_path / "assets"))
    monkeypatch.setattr(engine, "is_speech", lambda model: False)
    monkeypatch.setattr("views.tabs.adapt.PICTURES_EVERY", 0.0)
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    return trainer


SHORT = {"max_minutes": 0.05}
STATUS, STOP, CAPTION, ROWS = 0, 1, 2, 4
"""Places among the values."""


def test_training_shows_gates_and_curves_at_every_event_and_ends_with_the_result(
    bench: Trainer, pictures: RunPictures, overview: Overview
) -> None:
    session = Session()
    *live, last = training(EN, session, "page", settings(**SHORT), pictures, overview)
    assert {len(step) for step in (*live, last)} == {2 + len(pictures.outputs) + len(overview.outputs) + 2}
    trained = [step for step in live if "Your training" in str(step[CAPTION])]
    assert len(trained) == 10 and all(step[STOP]["interactive"] for step in trained)
    openness = [sum(map(sum, step[ROWS].data[0].z)) for step in trained]
    assert openness == sorted(openness, reverse=True) and openness[0] > openness[-1]
    assert "Trained and measured." in last[STATUS] and not last[STOP]["interactive"]
    assert last[CAPTION].startswith("**Your run:** FineGates")
    assert last[-2]["visible"] and zipfile.is_zipfile(last[-1])
    assert session.runs[0].steps == 10 and session.gates == gates(1.0)


def test_stopping_keeps_and_shows_what_was_learned(bench: Trainer, pictures: RunPictures, overview: Overview) -> None:
    session = Session()
    work = training(EN, session, "page", settings(), pictures, overview)
    for _ in range(3):
        next(work)
    session.stop.asked = True
    *live, last = work
    assert "Training ends after the running step" in live[0][STATUS] and not live[0][STOP]["interactive"]
    assert "Stopped after 3 of" in last[STATUS] and "Stopped after 3 of" in last[CAPTION]
    assert session.runs[0].steps == 3 and last[-1] is not None


def test_two_visitors_never_meet(bench: Trainer, pictures: RunPictures, overview: Overview) -> None:
    first = Session(gates(0.5))
    second = copy.deepcopy(first)
    assert second is not first and second.gates == first.gates and second.stop is not first.stop
    one = training(EN, first, "page", settings(**SHORT), pictures, overview)
    other = training(EN, second, "page", settings(**SHORT, method="lora", seed=3), pictures, overview)
    next(one), next(other)
    first.stop.asked = True
    *_, of_one = one
    *_, of_other = other
    assert first.runs[0].steps < second.runs[0].steps
    assert [each.method for each in first.runs] == ["finegates"] and [each.method for each in second.runs] == ["lora"]
    assert second.gates == () and of_one[-1] != of_other[-1]


def test_a_request_to_stop_does_not_outlive_its_training(
    bench: Trainer, pictures: RunPictures, overview: Overview
) -> None:
    session = Session()
    session.stop.asked = True
    bench.pace = 1.0
    list(training(EN, session, "page", settings(**SHORT), pictures, overview))
    assert session.runs[0].steps == 3 and not session.runs[0].stopped


def test_what_cannot_be_trained_is_refused_and_nothing_is_lost(
    bench: Trainer, pictures: RunPictures, overview: Overview
) -> None:
    session = Session(gates(0.5))
    for wrong in (settings(seed=13), settings(target_sparsity=0.95), settings(task="nothing")):
        with pytest.raises(UserError):
            list(training(EN, session, "page", wrong, pictures, overview))
    assert session.gates == gates(0.5) and session.runs == ()


def test_pictures_are_drawn_no_more_often_than_a_page_can_follow(
    bench: Trainer, pictures: RunPictures, overview: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("views.tabs.adapt.PICTURES_EVERY", 1000.0)
    live = list(training(EN, Session(), "page", settings(**SHORT), pictures, overview))
    assert sum("Your training" in str(step[CAPTION]) for step in live) == 2  # the first, and the last


def test_a_measurement_counts_once() -> None:
    from made_up_adaptation import Moment, score

    trace = Trace(())
    for step in (1, 2, 3):
        measured = score(2, False) if step >= 2 else None
        trace = with_moment(trace, Moment(StepPoint(step, 0.0, 1.0, 0.0, 1.0, 0.0), score=measured))
    assert [p.step for p in trace.curve] == [1, 2, 3] and [s.step for s in trace.scores] == [2]


def test_the_layer_stays_the_visitors_and_goes_where_it_is_not(pictures: RunPictures) -> None:
    session = Session(gates(1.0))
    chosen = session.chosen(session.gates)
    assert chosen is not None and chosen.removed_fraction == max(g.removed_fraction for g in session.gates)
    session.layer = "bert.encoder.layer.2.output.dense"
    assert "layer.2.output.dense" in pictures.layer_updates(session)[1]
    values = pictures.shown(session, run(settings()), None, False)
    assert session.layer == "bert.encoder.layer.2.output.dense" and "layer.2.output.dense" in values[9]
    # Layers without gates of their own are no choice.
    bare = GateMap("bare", 0, "bare", (), (), 0.5, 1.0, 0.9)
    assert session.chosen((bare,)) is None and Session().chosen((bare, gate(0, "query", 0))) is not None
    alone = pictures.shown(Session(), replace(run(settings()), gates=(bare,)), None, False)
    assert "90" in alone[3] and "nothing" not in alone[3]
    pictures.cleared(session, "nothing")
    assert session.gates == () and session.chosen(()) is None


def test_the_list_that_comes_with_the_app_is_the_registry() -> None:
    from compression.adaptation.gallery import registered_methods

    assert load_methods(Path(adaptation.__file__).parent.parent / "assets" / "adaptation") == registered_methods()


# From scratch


def test_the_stored_run_from_scratch_is_drawn_beside_its_twin_and_said_with_its_figures() -> None:
    report = load_scratch(adaptation.ASSETS)
    assert report is not None, "it comes with the app"
    assert report.gated.removal is not None and report.gated.removal.removed_fraction >= 0.3
    assert report.perplexity_change <= 0.03
    view = twins_view(report, EN)
    plain, gated, removed = view.figure.data
    assert (plain.name, gated.name, removed.name) == ("without gates", "with gates", "really removed")
    assert removed.y[0] == 0 and removed.y[-1] == pytest.approx(report.gated.removal.removed_fraction, abs=1e-3)
    assert EN.number(report.gated.perplexity, 2) in view.summary and report.environment.commit[:10] in view.summary
    assert view.table is not None and [row[3] for row in view.table.rows] == [
        report.plain.perplexity,
        report.gated.perplexity,
    ]
    assert "посланий" in twins_view(report, RU).summary


def test_a_smoothed_curve_is_the_mean_of_neighbours() -> None:
    values = [float(value) for value in range(40)]
    assert smoothed(values)[20] == 20 and smoothed(values)[0] == sum(range(8)) / 8
    assert smoothed([3.0]) == [3.0]


def test_no_run_from_scratch_is_no_error(tmp_path: Path) -> None:
    assert load_scratch(tmp_path) is None
    (tmp_path / SCRATCH_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(UserError):
        load_scratch(tmp_path)
