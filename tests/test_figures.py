"""Figures from hand-made Infos: the data that is drawn, the sentence under it, the table beside it."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import samples

from compression.analysis import (
    ColumnInfo,
    CompareInfo,
    ModelInfo,
    NativeCell,
    NativeInfo,
    PatternInfo,
    SeedSpread,
    SpectrumInfo,
)
from compression.forecast import DensePerplexity, ForecastReport, MeasuredPoint, Prediction
from compression.gallery import Gallery
from compression.slider import LossRow
from compression.types import (
    ComparisonRun,
    Completion,
    Environment,
    LatencyFigure,
    LatencyReport,
    LinearSite,
    Machine,
    MethodInfo,
    PerplexityReport,
    Progress,
    SiteReport,
    TextSource,
)
from views import engine
from views.context import Context
from views.figures import (
    budget,
    column,
    forecast,
    heatmap,
    latency,
    live_perplexity,
    native,
    pattern,
    quality,
    site_errors,
    spectrum,
)
from views.figures.common import short_projections
from views.figures.live_perplexity import LiveTrace, Reading
from views.live_chart import figure_value
from views.slider_data import slider_value
from views.storage import PICTURES, StoragePictures
from views.tabs import compare, explore
from views.tabs.live import cached_text, side_by_side
from views.texts import TABLES, words
from views.theme import DIVERGING, SCALE, style_of
from views.widgets import (
    ChartPanel,
    CompletionSide,
    Table,
    View,
    alert_html,
    completions_html,
    data_table,
    progress_html,
    status_html,
    table_value,
)

CSS = Path(__file__).parent.parent / "views" / "style.css"
WORDS = words("en")
Q = LinearSite("model.layers.0.self_attn.q_proj", 0, "self_attn.q_proj", 64, 64, "0.attn")
DOWN = LinearSite("model.layers.0.mlp.down_proj", 0, "mlp.down_proj", 64, 128, "0.down")
Q1 = replace(Q, name="model.layers.1.self_attn.q_proj", block=1, input_group="1.attn")
MODEL = ModelInfo("tiny", "Tiny", "a toy", "00", "llama", 40_000, (Q, DOWN, Q1))
SPECTRUM = SpectrumInfo(
    Q.name, (1, 8, 64), (1.0, 0.5, 0.1), (1.0, 0.2, 0.0), (0.6, 0.3, 0.0), (0.4, 0.1, 0.0), 64, 32, 9.0
)
PATTERN = PatternInfo(
    Q.name, (64, 64), 0.5, 16, 20, 10, ((0.5, 1.0), (0.0, 0.25)), (0.9, 0.4), (0.3, 0.2, 0.15), 0.4, 0.3
)
COLUMN = ColumnInfo(
    3, (0.5, 0.7, 0.75), (0.6, 0.8), (0.85, 0.99), 64, 0.875, 0.7, 0.8, (0.01, 0.1, 0.5, 1.0), (4, 50, 10), (9, 55, 0)
)
SEEN = replace(PATTERN, rank=3, num_atoms=4, nonzeros_per_column=2, column=COLUMN)


def run(method: str, value: float, warning: str | None = None) -> ComparisonRun:
    site = SiteReport(Q.name, 0, Q.projection, (64, 64), 0.5, 0.5, 1, "low-rank", {"rank": 16}, value / 100, 0.1)
    dense = SiteReport(DOWN.name, 0, DOWN.projection, (64, 128), 0.0, 0.0, 1, "dense", {}, 0.0, 0.1)
    return ComparisonRun(
        method=method,
        policy="uniform",
        removed_fraction_target=0.2,
        removed_fraction=0.2005,
        whole_model_removed_fraction=0.15,
        stored_bits=1000,
        site_stored_bits=800,
        perplexity=value,
        perplexity_stderr=1.5,
        tokens=4092,
        compress_seconds=3.0,
        calibration_seconds=2.0,
        calibration_reused=False,
        evaluate_seconds=1.0,
        settings={},
        sites=(site, dense),
        warning=warning,
    )


COMPARE = CompareInfo(
    "tiny",
    0.2,
    PerplexityReport(23.2, 1.1, 3.1, 9, 1, 10, 10, "convention", TextSource("text", "00", 9), 16, 1.0),
    (22.1, 24.4),
    (run("compot", 45.0), run("svd", 9000.0, "as the lesson")),
    ((44.0, 46.0), None),
    (Q.name,),
    (),
    0,
    1,
    (None, None),
)


def forecast_report(method: str, policy: str, factor: float, problem: str = "") -> ForecastReport:
    rows = tuple(Prediction(i / 100, 20 + factor * i, 20 + factor * i / 2, 20 + factor * i * 2) for i in range(61))
    return ForecastReport(
        "tiny",
        "",
        "00",
        method,
        policy,
        {},
        TextSource("some text", "00", 9),
        "windows of 512",
        DensePerplexity(20.0),
        (MeasuredPoint(0.25, 20 + factor * 24), MeasuredPoint(0.45, 20 + factor * 44)),
        () if problem else rows,
        problem,
        Environment("", "", "", "", "", 2, "", "", "", ""),
    )


FORECASTS = forecast.ordered(
    [
        forecast_report("svd", "uniform", 1e6, "too much; at most 2.5"),
        forecast_report("compot", "pooled", 2.0),
        forecast_report("svd-llm", "uniform", 1.5, "it drifts"),
        forecast_report("compot-fisher", "fisher", 1.0),
    ]
)


def data(view: View) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = json.loads(figure_value(view.figure))["data"]
    return traces


def layout(view: View) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(figure_value(view.figure))["layout"]
    return result


def test_heatmap_is_a_frame_on_a_fixed_range_with_a_place_for_every_projection() -> None:
    view = View(heatmap.figure(MODEL, WORDS), "", None)
    cells, chosen, pinned = data(view)
    assert (cells["x"], cells["y"], "z" in cells) == ([0, 1], ["q_proj", "down_proj"], False)
    assert (cells["zmin"], cells["zmax"]) == (0, 0.95)
    assert cells["colorbar"]["title"]["text"] == "share of weights removed"
    assert chosen["x"] == pinned["x"] == []
    assert chosen["marker"]["symbol"] != pinned["marker"]["symbol"], "told apart without colour"
    axes = layout(view)
    assert axes["yaxis"]["categoryarray"] == ["q_proj", "down_proj"], "also where the page has drawn nothing yet"
    assert axes["xaxis"]["range"] == [-0.5, 1.5]
    assert axes["meta"]["difference"] == "difference from uniform"
    assert axes["meta"]["diverging"] == DIVERGING != SCALE, "a scale with a middle of its own"


LOSSES = (LossRow(1, 0.6), LossRow(16, 0.05), LossRow(32, 0.02), LossRow(64, 0.0))


def test_spectrum_has_a_mark_for_the_rank_and_skips_zeros_on_the_log_axis() -> None:
    view = spectrum.view(SPECTRUM, LOSSES, WORDS)
    plain, whitened, plain_lost, whitened_lost = data(view)
    assert plain["y"] == [1.0, 0.5, 0.1]
    assert whitened["y"] == [1.0, 0.2, None]
    assert (plain_lost["y"], whitened_lost["y"]) == ([0.6, 0.3, None], [0.4, 0.1, None])
    assert plain["line"]["dash"] != whitened["line"]["dash"]
    assert plain["marker"]["symbol"] != whitened["marker"]["symbol"]
    marks = [*layout(view)["shapes"], *layout(view)["annotations"]]
    assert [mark["name"] for mark in marks] == ["break-even"] * 2 + ["rank"] * 2 + ["break-even", "rank"]
    assert {mark["x0"] for mark in marks if mark["name"] == "break-even" and "x0" in mark} == {32}
    assert [mark["text"] for mark in marks if "text" in mark] == ["break-even 32", ""]
    assert view.table is not None and view.table.rows[1] == (8, 0.5, 0.2, 0.3, 0.1)


def test_a_spectrum_brings_what_the_page_needs_for_its_sentence() -> None:
    meta = layout(spectrum.view(SPECTRUM, LOSSES, WORDS))["meta"]
    assert meta == {
        "label": f"The chosen site: {Q.name}",
        "site": Q.name,
        "full": 64,
        "break_even": 32,
        "effective": 9.0,
        "lost": {"1": 0.6, "16": 0.05, "32": 0.02, "64": 0.0},
    }


def test_budget_stacks_kept_and_removed_with_a_pattern() -> None:
    view = View(budget.figure(MODEL, WORDS), "", None)
    kept, removed = data(view)
    assert layout(view)["barmode"] == "stack"
    assert (kept["name"], removed["name"]) == ("kept", "removed")
    assert (kept["orientation"], removed["orientation"]) == ("h", "h")
    assert (kept["marker"]["pattern"]["shape"], removed["marker"]["pattern"]["shape"]) == ("", "/")


def test_perplexity_is_on_a_log_axis_with_error_bars_and_the_lesson() -> None:
    view = quality.view(COMPARE, WORDS)
    dense, best, worst = data(view)
    assert (dense["x"], best["x"], worst["x"]) == ([23.2], [45.0], [9000.0])
    assert (best["error_x"]["array"], best["error_x"]["arrayminus"]) == ([1.0], [1.0])
    assert layout(view)["xaxis"]["type"] == "log"
    assert layout(view)["shapes"][0]["x0"] == 23.2
    assert "lesson" in worst["text"][0] and "lesson" not in best["text"][0]
    assert len({trace["marker"]["symbol"] for trace in (dense, best, worst)}) == 3
    assert view.summary.startswith("At 20% removed, COMPOT (uniform) is best at perplexity 45.0 against 23.2 dense")
    assert view.table.rows[-1][-1] == "as the lesson"


def test_a_prediction_stands_under_its_run_as_an_open_marker_with_its_band() -> None:
    told = replace(
        COMPARE.rows[0], predicted_perplexity=44.0, predicted_low=40.0, predicted_high=50.0, method="compot-fisher"
    )
    untold = replace(COMPARE.rows[1], forecast_problem="it drifts")
    view = quality.view(replace(COMPARE, rows=(told, untold)), WORDS)
    _, measured, predicted, worst, *legend = data(view)
    assert (predicted["x"], predicted["error_x"]["array"], predicted["error_x"]["arrayminus"]) == ([44.0], [6.0], [4.0])
    assert predicted["marker"]["symbol"] == measured["marker"]["symbol"] + "-open"
    assert predicted["marker"]["color"] == measured["marker"]["color"]
    assert predicted["error_x"]["thickness"] < measured["error_x"]["thickness"]
    assert measured["y"][0] < predicted["y"][0] < worst["y"][0]
    assert "predicted perplexity 44.0" in predicted["hovertemplate"]
    assert [trace["name"] for trace in legend] == ["measured (± standard error)", "predicted (95% band)"]
    assert view.table.headers[7:10] == ("Predicted", "Band, low", "Band, high")
    assert [row[7:10] for row in view.table.rows] == [(None, None, None), (44.0, 40.0, 50.0), (None, None, None)]
    assert view.table.rows[-1][-1] == "as the lesson; no forecast: it drifts"
    plain = quality.view(COMPARE, WORDS)
    assert "Predicted" not in plain.table.headers and len(data(plain)) == 3


def test_seeds_stand_between_a_run_and_its_forecast_with_a_tick_each() -> None:
    told = replace(COMPARE.rows[0], predicted_perplexity=44.0, predicted_low=40.0, predicted_high=50.0)
    spread = SeedSpread(43.0, 47.0, 3, (45.0, 47.0, 43.0))
    view = quality.view(replace(COMPARE, rows=(told, COMPARE.rows[1]), spreads=(spread, None)), WORDS)
    _, measured, seeds, predicted, _, *legend = data(view)
    assert seeds["x"] == [43.0, 45.0, 47.0] and len(set(seeds["y"])) == 1
    assert measured["y"][0] < seeds["y"][0] < predicted["y"][0]
    assert seeds["line"]["width"] < measured["error_x"]["thickness"]
    assert seeds["marker"]["color"] == measured["marker"]["color"]
    assert "perplexity 43.0 to 47.0<br>over 3 calibration seeds" in seeds["hovertemplate"]
    assert [trace["name"] for trace in legend][-1] == "calibration seeds (a tick each)"
    without = quality.view(COMPARE, WORDS)
    assert "calibration seeds (a tick each)" not in [trace.get("name") for trace in data(without)]


def test_the_table_has_divergences_and_seeds_where_a_run_has_them() -> None:
    run_ = replace(COMPARE.rows[0], mean_kl=0.25, p99_kl=2.5, top1_agreement=0.75)
    spread = SeedSpread(43.0, 47.0, 3, (45.0, 47.0, 43.0))
    table = quality.table(replace(COMPARE, rows=(run_, COMPARE.rows[1]), spreads=(spread, None)), WORDS)
    columns = {header: [row[i] for row in table.rows] for i, header in enumerate(table.headers)}
    assert columns["Mean KL (nats)"] == [None, 0.25, None]
    assert columns["99th percentile KL (nats)"] == [None, 2.5, None]
    assert columns["Same top-1"] == [None, 0.75, None]
    assert columns["Calibration seeds"] == [None, 3, None]
    assert (columns["Over seeds, low"], columns["Over seeds, high"]) == ([None, 43.0, None], [None, 47.0, None])
    assert {table.headers[i] for i in table.shares} == {"Removed (actual)", "Of whole model", "Same top-1"}
    assert {table.headers[i] for i in json.loads(table_value(table))["shares"]} > {"Same top-1"}
    assert table.headers[table.wide] == "Remark"
    plain = quality.table(COMPARE, WORDS)
    assert not {"Mean KL (nats)", "Same top-1", "Calibration seeds", "Predicted"} & set(plain.headers)
    assert {len(row) for row in plain.rows} == {len(plain.headers)}


def test_what_the_engine_says_is_said_in_the_language_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(WORDS), "sentence", lambda self, text: text.upper())
    row = replace(COMPARE.rows[1], forecast_problem="it drifts")
    table = quality.table(replace(COMPARE, rows=(row,), ranges=(None,), spreads=(None,)), WORDS)
    assert table.rows[-1][-1] == "AS THE LESSON; no forecast: IT DRIFTS"
    assert "CALIBRATING" in progress_html(Progress("calibrate", 1, 2, "calibrating"), WORDS)
    assert "text, CONVENTION" in compare._intro(COMPARE, WORDS)


def test_the_picture_grows_with_the_number_of_runs() -> None:
    many = replace(COMPARE, rows=COMPARE.rows * 8, ranges=COMPARE.ranges * 8, spreads=(None,) * 16)
    assert layout(quality.view(many, WORDS))["height"] > layout(quality.view(COMPARE, WORDS))["height"]


def test_the_forecast_draws_a_line_where_there_is_one_and_points_where_there_is_none() -> None:
    view = forecast.view(FORECASTS, 0, 0.2, WORDS)
    low, high, dense, *rest = data(view)
    assert (low["y"][20], high["y"][20], high["fill"]) == (30.0, 60.0, "tonexty")
    assert dense["y"] == [20.0, 20.0]
    assert layout(view)["yaxis"]["type"] == "log"
    lines = [trace for trace in rest if trace["mode"] == "lines"]
    assert [(trace["meta"]["report"], trace["y"][20]) for trace in lines] == [
        ("compot-fisher|fisher", 40.0),
        ("compot|pooled", 60.0),
    ]
    assert len({trace["line"]["dash"] for trace in lines}) == 2, "one hue, told apart by the dash"
    assert lines[0]["line"]["width"] > lines[1]["line"]["width"], "the first is chosen"
    points = {t["meta"]["report"]: t for t in rest if t["mode"] == "markers" and t["x"] != [None]}
    assert list(points) == [f"{each.method}|{each.policy}" for each in FORECASTS], "as the page calls them"
    assert [trace["x"] for trace in points.values()] == [[0.25, 0.45]] * 4
    assert all("-open" in trace["marker"]["symbol"] for trace in points.values())
    assert points["compot-fisher|fisher"]["marker"]["color"] == lines[0]["line"]["color"]
    shown = {name: (trace["visible"], trace["meta"]["far"]) for name, trace in points.items()}
    assert shown.pop("svd|uniform") == (False, True) and set(shown.values()) == {(True, False)}, "svd is far off"
    slider, reading = layout(view)["shapes"]
    assert (slider["name"], slider["x0"], slider["x1"]) == ("slider", 0.2, 0.2)
    assert (reading["name"], reading["x1"], reading["y0"]) == ("reading", 0.2, 40.0)
    assert view.summary == (
        "At 20% removed the lowest of 2 forecasts is Fisher-weighted COMPOT (Fisher) with perplexity 40.0, the highest "
        "COMPOT (pooled) with 60.0. No forecast, only measured points: SVD · uniform, SVD-LLM · uniform. "
        "Far above the axis, and drawn when chosen: SVD · uniform."
    )
    assert len(view.table.rows) == 2 * 61 + 4 * 2 + 2
    assert [row[-1] for row in view.table.rows if row[-1]] == ["too much; at most 2.5", "it drifts"]


def test_a_broken_model_is_drawn_when_it_is_chosen_and_infinity_leaves_a_gap() -> None:
    (broken,) = (each for each in FORECASTS if each.method == "svd")
    endless = replace(broken, policy="fisher", measured=(MeasuredPoint(0.25, float("inf")),))
    view = forecast.view([broken, endless], 0, 0.2, WORDS)
    assert view.summary == "None of the settings here has a forecast: the chart shows what was measured."
    low, high, _, *rest = data(view)
    assert (low["x"], high["x"]) == ([], [])
    assert not layout(view)["shapes"][1]["visible"]
    assert all(trace["mode"] == "markers" and trace["visible"] for trace in rest)
    assert [trace["y"] for trace in rest if trace["x"] == [0.25]] == [[None]]


def told(reports: list[ForecastReport], model_id: str = "tiny") -> dict[str, Any]:
    """What the page gets about forecasts."""
    value: dict[str, Any] = json.loads(slider_value(None, reports, model_id, {"method": (), "policy": ()}, WORDS))
    return value


def test_the_forecast_in_words_comes_with_the_page() -> None:
    forecasts = told(FORECASTS)["forecasts"]
    assert list(forecasts) == ["compot-fisher|fisher", "compot|pooled", "svd|uniform", "svd-llm|uniform"]
    chosen, compot, *without = forecasts.values()
    assert chosen["sentence"] == (
        "At {removed} removed, Fisher-weighted COMPOT with policy Fisher: predicted perplexity {perplexity} "
        "({low} to {high}), dense 20.0."
    )
    assert chosen["beyond"].endswith("reaches to 60% removed; at {removed} there is none.")
    assert chosen["note"] == (
        "Perplexity on the part of some text kept apart from calibration (windows of 512); in brackets the 95% band."
    )
    assert list(chosen["rows"])[:2] + list(chosen["rows"])[-1:] == ["0", "0.01", "0.6"]
    assert (chosen["rows"]["0.29"], compot["rows"]["0.29"]) == ([49, 34.5, 78], [78, 49, 136])
    assert without[0]["sentence"] == (
        "No forecast for SVD with policy uniform: too much; at most 2.5. "
        "The chart shows the measured points; dense 20.0."
    )
    assert all("rows" not in each and "area" not in each for each in without)
    assert [each["dense"] for each in forecasts.values()] == [20.0] * 4


def test_what_is_chosen_first_comes_first_then_forecasts_then_points() -> None:
    methods = ["svd-llm", "compot", "svd", "compot-fisher"]
    given = sorted(FORECASTS, key=lambda each: methods.index(each.method))
    assert [each.method for each in forecast.ordered(given)] == ["compot-fisher", "compot", "svd-llm", "svd"]


def test_without_a_forecast_the_page_says_how_to_make_one() -> None:
    value = told([], "owner/model")
    assert (value["forecasts"], value["model"]) == ({}, "owner/model")
    assert "python -m compression predict owner/model" in value["no_forecast"]
    assert "Load and analyse" in value["no_forecast"]


def test_the_table_in_the_page_is_small_and_rounded_once() -> None:
    row = Prediction(0.0, 57.448, 57.4499, 1234.56)
    (report,) = FORECASTS[:1]
    (short,) = told([replace(report, predictions=(row,))])["forecasts"].values()
    assert short["rows"] == {"0": [57.4, 57.4, 1235]}
    (endless,) = told([replace(report, predictions=(replace(row, high=float("inf")),))])["forecasts"].values()
    assert endless["rows"] == {"0": [57.4, 57.4, None]}, "no axis and no JSON holds infinity"
    assert len(json.dumps(told(FORECASTS[:1])["forecasts"], separators=(",", ":"))) < 2500


def test_methods_can_be_told_apart_without_colour() -> None:
    styles = [style_of(name) for name in ("svd", "svd-llm", "compot", "compot-fisher", "svd-fisher", "dense")]
    assert len({symbol for _, symbol, _ in styles}) == len({dash for _, _, dash in styles}) == len(styles)


def test_a_gallery_that_does_not_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "analysis.json").write_text("{}")
    monkeypatch.setattr(engine, "ASSETS", tmp_path)
    assert engine.gallery() is None


def test_forecasts_of_another_model_are_those_the_command_left(monkeypatch: pytest.MonkeyPatch) -> None:
    example = Gallery(*[None] * 3, (), (), tuple(FORECASTS), None)  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "gallery", {"tiny": example}.get)
    monkeypatch.setattr(engine, "method_names", lambda: ("svd", "compot"))
    monkeypatch.setattr(engine, "policy_names", lambda: ("uniform", "pooled"))
    assert list(engine.forecasts_of("tiny")) == FORECASTS
    stored = replace(FORECASTS[1], model_id="other")
    monkeypatch.setattr(engine.forecast, "table_key", lambda recipe: f"{recipe.method} {recipe.policy}")
    monkeypatch.setattr(engine.forecast, "stored_report", {"compot own": stored, "compot pooled": stored}.get)
    assert engine.forecasts_of("other") == (stored,)


def test_site_errors_keep_one_range_and_leave_dense_sites_blank() -> None:
    (cells,) = data(site_errors.view(run("compot", 45.0), WORDS))
    assert cells["z"] == [[0.45], [None]]
    assert (cells["zmin"], cells["zmax"]) == (0, 1)


def cell(site: LinearSite, form: str, share: float | None, density: float | None = None, **sizes: int) -> NativeCell:
    return NativeCell(site.name, (64, 64), form, sizes, share, density, 0.25)


def native_of(form: str, cells: tuple[tuple[NativeCell | None, ...], ...], **changed: Any) -> NativeInfo:
    names = ("self_attn.q_proj", "mlp.down_proj")
    return replace(NativeInfo("compot", "pooled", form, (0, 1), names, cells, (0.25, 0.5), None, 1, 4), **changed)


DICTIONARY = native_of(
    "dictionary",
    (
        (cell(Q, "dictionary", 0.5, 0.5, num_atoms=32, nonzeros_per_column=16), cell(Q1, "dense", None)),
        (cell(DOWN, "low-rank", None, rank=9), None),
    ),
    densities=(0.5, 0.625),
)
LOW_RANK = native_of("low-rank", ((cell(Q, "low-rank", 0.25, rank=16), cell(Q1, "dense", None)), (None, None)))


def test_what_is_stored_is_drawn_in_its_own_terms_on_one_fixed_range() -> None:
    (atoms,), (ranks,) = data(native.view(DICTIONARY, WORDS)), data(native.view(LOW_RANK, WORDS))
    assert atoms["z"] == [[0.5, None], [None, None]] and ranks["z"] == [[0.25, None], [None, None]]
    assert (atoms["zmin"], atoms["zmax"]) == (ranks["zmin"], ranks["zmax"]) == (0, 1)
    assert atoms["colorbar"]["title"]["text"] == "atoms ÷ min(out, in)"
    assert ranks["colorbar"]["title"]["text"] == "rank ÷ min(out, in)"
    assert atoms["colorscale"] != ranks["colorscale"], "two different things"
    assert "32 atoms of at most 64<br>16 nonzeros a column<br>removed 25%" in atoms["text"][0][0]
    assert atoms["text"][0][1].endswith("<br>dense") and atoms["text"][1][1] == ""
    assert "rank 9 of 64" in atoms["text"][1][0], "a site stored otherwise has no colour but says what it is"
    assert "rank 16 of 64" in ranks["text"][0][0] and "atoms" not in ranks["text"][0][0]


def test_what_is_stored_is_summed_up_in_a_sentence_and_a_table() -> None:
    view = native.view(DICTIONARY, WORDS)
    assert view.summary == (
        "A dictionary a site, its atoms from 25% to 50% of the weight's smaller side; each output uses 50% to 62% of "
        "them; 1 of 4 sites stay dense."
    )
    assert "of a rank from 25% to 50% of the weight's smaller side" in native.view(LOW_RANK, WORDS).summary
    first, dense, mixed = view.table.rows
    assert first[4:10] == ("dictionary", None, 32, 16, 0.5, 0.5)
    assert dense[4:10] == ("dense", None, None, None, None, None) and mixed[4:6] == ("low rank", 9)
    none = native_of("dense", ((cell(Q, "dense", None),),), shares=None, blocks=(0,), projections=("q",))
    assert native.view(none, WORDS).summary == "Every site stays dense."
    other = replace(none, representation="quantised")
    assert native.view(other, WORDS).summary == "Stored as quantised.", "a form that is new here still has a picture"


def test_a_live_comparison_costs_what_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    methods = (
        MethodInfo("svd", "", "", "", False, "uniform", None, ()),
        MethodInfo("compot", "", "", "", True, "pooled", None, ()),
    )
    model = SimpleNamespace(is_speech=False)
    example = SimpleNamespace(comparison="measured", methods=methods, analysis=SimpleNamespace(model=model))
    monkeypatch.setattr(engine, "gallery", lambda name=None: example)
    monkeypatch.setattr(engine.costs, "estimate_comparison", lambda *arguments: asked.append(arguments) or 7.0)
    assert engine.seconds_to_compare("tiny", ["compot", "svd"], "own", 0.3, 2) == [7.0]
    assert asked[0][:5] == ("measured", [("compot", "pooled"), ("svd", "uniform")], frozenset({"svd"}), 0.3, 2)
    engine.seconds_to_compare("tiny", ["compot"], "fisher", 0.3, 1)
    assert asked[1][1:3] == ([("compot", "fisher")], frozenset())
    monkeypatch.setattr(engine, "gallery", lambda name=None: None)
    assert engine.seconds_to_compare("tiny", ["compot"], "own", 0.3, 2) == [None], "said to be unknown"


def test_pattern_pictures() -> None:
    (mask,) = data(pattern.mask_view(PATTERN, WORDS))
    assert mask["z"] == [[0.5, 1.0], [0.0, 0.25]]
    use, low_rank = data(pattern.use_view(PATTERN, WORDS))
    assert use["y"] == [0.9, 0.4]
    assert (low_rank["x"], low_rank["y"]) == ([1, 16, 16], [1, 1, 0]), "every output uses every direction"
    assert use["line"]["dash"] != low_rank["line"]["dash"]
    converged = pattern.convergence_view(PATTERN, WORDS)
    assert data(converged)[0]["y"] == [0.3, 0.2, 0.15]
    assert converged.summary == "2 alternations take the squared error from 0.3 to 0.15."
    assert data(converged)[0]["x"] == [0, 1, 2], "the start is not an alternation"
    nothing = pattern.convergence_view(replace(PATTERN, convergence=()), WORDS)
    assert nothing.summary == "This run recorded no convergence."


def test_both_stored_forms_are_shown_with_what_they_take() -> None:
    info = replace(PATTERN, shape=(64, 128), rank=16, num_atoms=20, nonzeros_per_column=10)
    view = pattern.factors_view(info, WORDS)
    boxes = {trace["name"]: (trace["x"], trace["y"]) for trace in data(view)}
    sizes = {name: (max(y) - min(y), max(x) - min(x)) for name, (x, y) in boxes.items()}
    assert sizes == {"input factor": (128, 16), "output factor": (16, 64), "weight, not stored": (128, 64)}
    left, top, weight = boxes.values()
    assert left[1] == weight[1] and top[0] == weight[0], "as the product is written"
    assert max(left[0]) < min(weight[0]) and max(weight[1]) < min(top[1]), "apart"
    assert layout(view)["yaxis"]["scaleanchor"] == "x", "to scale"
    assert {trace["name"]: trace["fill"] for trace in data(view)}["weight, not stored"] == "none"
    assert "128 × 16 and 16 × 64: 37.5% of the weight's bytes" in view.summary
    assert view.table.rows[0] == ("input factor", 128, 16)
    stored = pattern.mask_view(info, WORDS).summary
    assert "128 × 20 atoms, 10 coefficients for each of the 64 outputs" in stored
    assert "for each atom and output: 40% of the weight's bytes. With 50% removed" in stored


def test_one_column_is_drawn_by_what_its_terms_capture() -> None:
    view = column.column_view(SEEN, WORDS)
    assert view is not None
    low_rank, low_rank_end, dictionary, dictionary_end, others = data(view)
    assert (low_rank["x"], low_rank["customdata"]) == ([0, 1, 2, 3], [0, 0.5, 0.7, 0.75])
    assert (dictionary["x"], dictionary["customdata"]) == ([0, 1, 2], [0, 0.6, 0.8])
    assert (others["x"], others["customdata"]) == ([2, 3, 4], [0.8, 0.85, 0.99]), "goes on where the dictionary stops"
    assert low_rank["y"] == [1, 0.5, 0.3, 0.25] and others["y"] == [0.2, 0.15, 0.01]
    assert (low_rank_end["x"], low_rank_end["text"]) == ([3], ["r = 3: 75%"])
    assert (dictionary_end["x"], dictionary_end["text"]) == ([2], ["s = 2: 80%"])
    assert low_rank_end["marker"]["symbol"] != dictionary_end["marker"]["symbol"]
    assert len({trace["line"]["dash"] for trace in (low_rank, dictionary, others)}) == 3
    axes = layout(view)
    assert (axes["yaxis"]["type"], axes["yaxis"]["autorange"]) == ("log", "reversed"), "more captured is higher"
    ticks = dict(zip(axes["yaxis"]["tickvals"], axes["yaxis"]["ticktext"], strict=True))
    assert (ticks[1], ticks[0.05], ticks[0.01]) == ("0%", "95%", "99%") and min(ticks) == 0.01
    assert (axes["xaxis"]["title"]["text"], axes["yaxis"]["title"]["text"]) == (
        "terms used (count)",
        "captured energy (share)",
    )
    assert view.table.rows == ((1, 0.5, 0.6, None), (2, 0.7, 0.8, None), (3, 0.75, None, 0.85), (4, None, None, 0.99))


def test_the_column_says_why_the_dictionary_is_ahead_or_that_it_is_not() -> None:
    ahead = column.column_view(SEEN, WORDS)
    assert ahead is not None
    assert ahead.summary == (
        f"**Why is COMPOT ahead here?** Output 3 of `{Q.name}` is a typical column (its gain is the median): 3 shared "
        "directions capture 75% of its energy, while the same bytes hold 4 atoms that could capture 99%, and using "
        "only the best 2 for it costs 19%, which leaves 80%."
    )
    for captured in (0.75, 0.7):
        less = replace(COLUMN, dictionary=(0.6, captured))
        behind = column.column_view(replace(SEEN, column=less), WORDS)
        assert behind is not None and behind.summary.startswith("**COMPOT is not ahead here.** Output 3 of")
    assert "costs 29%, which leaves 70%." in behind.summary
    dense = column.column_view(replace(SEEN, column=replace(COLUMN, more_atoms=())), WORDS)
    assert dense is not None and len(data(dense)) == 4 and "costs 0%" in dense.summary


def test_all_columns_stand_beside_the_one() -> None:
    view = column.columns_view(SEEN, WORDS)
    assert view is not None
    low_rank, dictionary = data(view)
    assert low_rank["y"] == dictionary["y"] == [0.01, 0.01, 0.1, 0.5, 1]
    assert (low_rank["x"], dictionary["x"]) == ([0, 4, 50, 10, 0], [0, 9, 55, 0, 0])
    assert low_rank["line"]["shape"] == "vh", "a count holds from one edge to the next"
    assert low_rank["line"]["dash"] != dictionary["line"]["dash"]
    assert view.summary == (
        "The dictionary captures more in 87.5% of the 64 columns; the median column keeps 80% of its energy as a "
        "dictionary and 70% at low rank."
    )
    assert view.table.rows == ((0.01, 0.1, 4, 9), (0.1, 0.5, 50, 55), (0.5, 1.0, 10, 0))


def test_a_picture_without_a_column_leaves_its_place_empty_and_says_what_to_do() -> None:
    assert column.column_view(PATTERN, WORDS) is None and column.columns_view(PATTERN, WORDS) is None
    panel = ChartPanel.__new__(ChartPanel)  # its updates, without a page to lie in
    panel.words, panel.hint, panel.live_summary, panel.live_table = WORDS, "compute it", "", ""
    pictures = StoragePictures.__new__(StoragePictures)
    pictures.context, pictures.panels = Context(WORDS, None, None), [(PICTURES["column"], panel)]  # type: ignore[arg-type]
    assert pictures.updates("m", None, None) == pictures.updates("m", "s", PATTERN) == ["", "compute it", ""]
    chart, summary, table = pictures.updates("m", "s", SEEN)
    assert json.loads(chart)["data"] and summary.startswith("**Why") and json.loads(table)["name"].startswith("column")


def test_live_perplexity_shows_the_interval_and_what_is_still_to_come() -> None:
    trace = LiveTrace((Reading(255, 25.0, 20.0, 31.0),), (), "COMPOT")
    view = live_perplexity.view(trace, WORDS)
    (dense,) = data(view)
    assert (dense["error_y"]["array"], dense["error_y"]["arrayminus"]) == ([6.0], [5.0])
    assert view.summary == "Dense **25.0** (20.0 to 31.0); compressed still to come."
    done = replace(trace, compressed=(Reading(255, 40.0, None, None),), finished=True, convention="window 256")
    assert live_perplexity.view(done, WORDS).summary.endswith("over 255 scored tokens (window 256).")


def timed(prefill: float, decode: float) -> LatencyReport:
    return LatencyReport(
        2,
        128,
        16,
        {"dense": LatencyFigure(300, 10, 5), "compressed": LatencyFigure(prefill, 12, 5)},
        {"dense": LatencyFigure(34, 2, 5), "compressed": LatencyFigure(decode, 4, 5)},
        "",
        "cpu",
    )


@pytest.mark.parametrize(
    ("prefill", "decode", "start"),
    [
        (390.0, 41.0, "Smaller, but not faster here: decoding takes 41.0 ms a token against 34.0 ms dense"),
        (300.0, 33.5, "Smaller, but not faster here: "),
        (290.0, 31.5, "Smaller, but not faster here: "),  # the bars overlap
        (390.0, 20.0, "Smaller, and faster here in decode, but not in prefill: "),
        (200.0, 41.0, "Smaller, and faster here in prefill, but not in decode: "),
        (200.0, 20.0, "Smaller, and faster here: "),
    ],
)
def test_latency_says_plainly_whether_it_is_faster(prefill: float, decode: float, start: str) -> None:
    view = latency.view(timed(prefill, decode), WORDS)
    assert [trace["x"] for trace in data(view)] == [[300], [prefill], [34], [decode]]
    assert view.summary.startswith(start)
    assert "Predicted, roofline (ms)" not in view.table.headers


def test_latency_of_a_model_from_which_nothing_is_removed_is_not_called_smaller() -> None:
    report = replace(timed(300, 34), stored_bits={"dense": 100, "compressed": 100})
    assert latency.view(report, WORDS).summary.startswith("Not smaller at this setting: decoding takes 34.0 ms")
    report = replace(report, stored_bits={"dense": 100, "compressed": 99})
    assert latency.view(report, WORDS).summary.startswith("Smaller, but not faster here: ")


def test_the_roofline_stands_beside_the_measurement() -> None:
    report = replace(
        timed(390, 41),
        machine=Machine(95.4e9, 12.3e9, 2),
        predicted_prefill={"dense": 200.0, "compressed": 195.0},
        predicted_decode={"dense": 17.0, "compressed": 20.5},
        execution="7 layers run",
    )
    view = latency.view(report, WORDS)
    *points, measured, predicted = data(view)
    assert [trace["x"] for trace in points] == [[300], [200], [390], [195], [34], [17], [41], [20.5]]
    for of_measurement, of_prediction in zip(points[::2], points[1::2], strict=True):
        assert of_prediction["y"] == of_measurement["y"]
        assert of_prediction["marker"]["symbol"] == of_measurement["marker"]["symbol"] + "-open"
    assert [trace["name"] for trace in (measured, predicted)] == ["measured", "predicted (roofline)"]
    assert (
        "With the 95 GFLOP/s and 12 GB/s measured here, the linear layers alone would take 20.5 ms a token (17.0 dense)"
    ) in view.summary
    assert "Decoding takes 2.0 times as long as that (2.0 dense), a prefill 2.0 times (1.5 dense)." in view.summary
    assert view.summary.endswith("overhead of many small calls.\n\nHow the layers compute: 7 layers run.")
    assert view.table.headers[-2:] == ("Predicted, roofline (ms)", "Measured ÷ predicted")
    assert [row[-2:] for row in view.table.rows] == [(200.0, 1.5), (195.0, 2.0), (17.0, 2.0), (20.5, 2.0)]
    cached = replace(report, predicted_decode={"dense": 35.0, "compressed": 20.5})
    assert "from a cache that is faster than the memory" in latency.view(cached, WORDS).summary


def test_a_model_fills_explore_and_an_unknown_site_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "analysis_of", {"tiny": samples.ANALYSIS}.get)
    monkeypatch.setattr(engine, "forecasts_of", {"tiny": FORECASTS, "other": FORECASTS}.get)
    heat, site, bars, foretold = explore.views_of("tiny", "unknown site", WORDS)
    assert heat is not None and site is not None and bars is not None and foretold is not None
    assert layout(site)["meta"]["site"] == samples.Q.name
    chosen = explore.site_view("tiny", samples.DOWN.name, WORDS)
    assert chosen is not None and layout(chosen)["meta"]["site"] == samples.DOWN.name
    assert data(foretold) == data(forecast.view(FORECASTS, 0, 0.2, WORDS)), "the default's is drawn first"
    assert explore.site_view("other", None, WORDS) is None
    assert explore.views_of("other", None, WORDS)[:3] == (None, None, None), "but its forecasts are there"
    assert explore.views_of("other", None, WORDS)[3] is not None


def test_a_panel_updates_only_what_the_server_fills() -> None:
    panel = ChartPanel.__new__(ChartPanel)
    panel.hint, panel.live_summary, panel.live_table = "a hint", "", ""
    view = spectrum.view(SPECTRUM, LOSSES, WORDS)
    chart, summary, table = panel.updates(view)
    assert (json.loads(chart)["layout"]["meta"]["site"], summary) == (Q.name, "")
    assert json.loads(table)["name"] == f"spectrum-{Q.name}"
    assert panel.cleared() == ["", "a hint", ""]
    panel.live_summary = "spectrum"
    assert panel.updates(view) == [chart, table] and panel.cleared() == ["", ""]
    panel.live_table = "spectrum"
    assert panel.updates(view) == [chart] and panel.cleared() == [""]


def test_every_figure_speaks_and_brings_its_table() -> None:
    views = [
        spectrum.view(SPECTRUM, LOSSES, WORDS),
        quality.view(COMPARE, WORDS),
        native.view(DICTIONARY, WORDS),
        site_errors.view(run("compot", 45.0), WORDS),
        pattern.mask_view(PATTERN, WORDS),
        pattern.factors_view(PATTERN, WORDS),
        column.column_view(SEEN, WORDS),
        column.columns_view(SEEN, WORDS),
    ]
    for view in views:
        assert view is not None and view.table is not None
        assert {len(row) for row in view.table.rows} == {len(view.table.headers)}
        sent = json.loads(table_value(view.table))
        assert (sent["headers"], len(sent["rows"])) == (list(view.table.headers), len(view.table.rows))
    of_the_page = [View(figure, "", None) for figure in (heatmap.figure(MODEL, WORDS), budget.figure(MODEL, WORDS))]
    for view in views + of_the_page:
        assert view is not None
        assert layout(view)["meta"]["label"]
        assert "template" not in layout(view)


def test_projections_are_shortened_only_where_that_is_unambiguous() -> None:
    assert short_projections(["self_attn.q_proj", "mlp.up_proj"]) == ["q_proj", "up_proj"]
    assert short_projections(["attn.c_proj", "mlp.c_proj"]) == ["attn.c_proj", "mlp.c_proj"]


def test_html_pieces_escape_what_people_type() -> None:
    evil = "<script>alert('x')</script>\""
    pieces = (
        alert_html(evil),
        status_html(evil),
        progress_html(Progress("load", 1, 2, evil), WORDS),
        completions_html([CompletionSide(evil, Completion(evil, (1, 2), (evil, evil)), (True,))], evil, WORDS),
    )
    assert all("<script" not in piece and "&lt;script" in piece for piece in pieces)


def test_what_people_type_reaches_a_table_as_text_and_no_markup() -> None:
    evil = "<img src=x onerror=alert('x')>\""
    table = Table(evil, (evil,), ((evil,),))
    component = data_table(table, WORDS)
    assert component.value == table_value(table), "the script reads it"
    assert not {"<img", "{{", "${"} & set(re.findall(r"<img|{{|\${", component.html_template)), "no template holds it"
    assert json.loads(component.value)["rows"] == [[evil]]


DENSE = Completion("Once", (1, 2, 3, 4), (" upon", " a", " time", "."))
OTHER = Completion("Once", (1, 5, 6, 4), (" upon", " my", " life", "."))
HEADINGS = ("dense", "COMPOT")


def test_tokens_without_a_counterpart_are_marked_on_both_sides() -> None:
    html = side_by_side(HEADINGS, (DENSE, OTHER), True, WORDS)
    assert '<span class="prompt">Once</span> upon<mark class="differs"> a time</mark>.</p>' in html
    assert '<span class="prompt">Once</span> upon<mark class="differs"> my life</mark>.</p>' in html
    assert "The completions part at token 2; 50% of all tokens have a counterpart on the other side" in html


def test_while_a_completion_grows_it_is_compared_as_far_as_it_has_come() -> None:
    first = Completion("Once", OTHER.token_ids[:1], OTHER.pieces[:1])
    assert "<mark" not in side_by_side(HEADINGS, (DENSE, first), False, WORDS)
    second = Completion("Once", OTHER.token_ids[:2], OTHER.pieces[:2])
    html = side_by_side(HEADINGS, (DENSE, second), False, WORDS)
    assert '<mark class="differs"> a</mark> time.' in html and '<mark class="differs"> my</mark></p>' in html
    assert "So far the completions part at token 2" in html
    assert "So far" not in side_by_side(HEADINGS, (DENSE, second), True, WORDS)


def test_completions_that_are_missing_empty_or_the_same_say_so() -> None:
    assert side_by_side(HEADINGS, (None, None), False, WORDS).count("Its completion appears here.") == 2
    html = side_by_side(HEADINGS, (DENSE, None), False, WORDS)
    assert " time." in html and html.count("Its completion appears here.") == 1 and "<mark" not in html
    same = side_by_side(HEADINGS, (DENSE, DENSE), True, WORDS)
    assert "Both completions are the same, token by token." in same and "<mark" not in same
    nothing = side_by_side(HEADINGS, (DENSE, Completion("Once")), True, WORDS)
    assert "it adds nothing" in nothing and "part at token 1" in nothing


def test_differences_are_told_by_colour_and_by_a_line() -> None:
    (rule,) = re.findall(r"^\.completion mark\.differs {(.*?)}", CSS.read_text(encoding="utf-8"), re.S | re.M)
    assert "background" in rule and "underline" in rule


def test_what_came_from_the_cache_is_said() -> None:
    assert cached_text([False, False], WORDS) == ""
    assert cached_text([True, False], WORDS) == "The dense answer came from the cache."
    assert cached_text([False, True], WORDS) == "The compressed answer came from the cache."
    assert cached_text([True, True], WORDS) == "Both answers came from the cache."


def test_a_table_travels_with_unrounded_numbers_and_without_what_json_has_no_word_for() -> None:
    table = Table(
        "t", ("share", "text"), ((0.2005, "a"), (None, "b"), (float("inf"), "c")), wide=1, shares=frozenset({0})
    )
    assert json.loads(table_value(table)) == {
        "name": "t",
        "headers": ["share", "text"],
        "rows": [[0.2005, "a"], [None, "b"], ["∞", "c"]],
        "wide": 1,
        "shares": [0],
    }
    assert table_value(None) == ""


def test_every_language_has_the_same_texts_with_the_same_fields() -> None:
    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    english = TABLES["en"]
    for table in TABLES.values():
        assert table.keys() == english.keys()
        assert all(fields(table[key]) == fields(english[key]) for key in english)
    assert words("xx").language == "en"
