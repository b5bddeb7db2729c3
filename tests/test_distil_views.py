"""The tab Distil and quantise without a browser: what its pictures are computed from, the pictures, and the event."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tiny import SENTENCES, write_tiny_llama

from compression import store, texts
from compression.adaptation.types import StepPoint
from compression.deployment.analysis import (
    LossTrace,
    best_at,
    budget_lines,
    history,
    optimizer_means,
    smoothed,
    stage_points,
    task_dots,
    trace_of,
)
from compression.deployment.gallery import load_examples
from compression.deployment.report import BenchmarkChange, Made, StageReport, TaskChange, TrialReport, TuneReport
from compression.distillation.report import DistillReport, DistillRun, DistillSettings
from compression.environment import describe_environment
from compression.errors import UserError
from compression.mixing.report import BudgetCurve, Choice, ChoiceCount, CurvePoint, MixReport, MixRun
from compression.quantization.formats_report import FormatRun, FormatsReport
from compression.types import CalibrationSettings, LatencyFigure, PerplexityReport, TextSource
from views.figures import distil as figures
from views.tabs import distil
from views.texts import words
from views.widgets import ChartPanel

EN, RU = words("en"), words("ru")
MADE = describe_environment()


def measured(perplexity: float, megabytes: float) -> PerplexityReport:
    source = TextSource("made up", "", 10)
    return PerplexityReport(perplexity, 0.5, 3.0, 100, 4, 64, 64, "token-level", source, int(8e6 * megabytes), 1.0)


def run(optimizer: str, seed: int, perplexity: float) -> DistillRun:
    curve = tuple(StepPoint(step, 1.0, 6.0 - 0.1 * step - seed, 0.0, 1.0, 0.0) for step in range(1, 21))
    settings = DistillSettings("t", "s", optimizer=optimizer, seed=seed)
    known = measured(perplexity, 100)
    return DistillRun(settings, perplexity, known, 0.6, perplexity + 5, 10**8, 1000, 8 * 10**8, 20, 60.0, 10**8, curve)


RUNS = (run("adamw", 0, 23.0), run("muon", 0, 24.0), run("adamw", 1, 25.0), run("muon", 1, 26.0))
DISTILL = DistillReport(measured(21, 270), measured(31, 205), 38.0, "text", "rounded to 4 bits", RUNS, MADE)
STAGES = tuple(
    StageReport(name, measured(perplexity, size), Made(seconds, {}), MADE)
    for name, perplexity, size, seconds in (
        ("dense", 21.0, 270.0, 0.0),
        ("compress", 31.0, 205.0, 30.0),
        ("distill", 24.0, 208.0, 60.0),
        ("quantize", 29.0, 100.0, 90.0),
    )
)
CHANGE = BenchmarkChange(
    "accuracy",
    100,
    (
        TaskChange("piqa", 100, 0.5, 0.7, 0.05, 0.66, 0.05, -0.04, 0.03, 0.7, 0.66),
        TaskChange("arc_easy", 100, 0.25, 0.5, 0.05, 0.4, 0.05, -0.1, 0.02, 0.5, 0.4),
    ),
)


def time_of(milliseconds: float) -> LatencyFigure:
    return LatencyFigure(milliseconds, 1.0, 5)


FORMATS = FormatsReport(
    "m",
    "",
    (
        FormatRun("float32", 8 * 270_000_000, 21.0, measured(21, 270), time_of(200), time_of(40), False),
        FormatRun("int8", 8 * 135_000_000, 21.3, measured(21.3, 135), time_of(60), time_of(14), True),
        FormatRun("packed-4", 8 * 100_000_000, 22.0, measured(22, 100), time_of(210), time_of(41), False),
    ),
    2,
    128,
    16,
    "cpu",
    (),
    MADE,
)


def way(name: str, perplexity: float) -> MixRun:
    parts = (ChoiceCount(Choice(0.0, 3, 128), 5, 100),)
    return MixRun(name, 3.2, 8 * 99_000_000, perplexity, measured(perplexity, 99), parts)


MIX = MixReport(
    "m",
    "",
    "compot-fisher",
    3.25,
    CalibrationSettings(TextSource("c", "", 1), 1, 1),
    measured(21, 270),
    (way("gptq", 45.0), way("compot-fisher", 5000.0), way("joint", 31.0)),
    (
        BudgetCurve("gptq", (CurvePoint(3.2, 8 * 99_000_000, 0.9, 60.0), CurvePoint(4.2, 8 * 112_000_000, 0.2, 27.0))),
        BudgetCurve("compot-fisher", (CurvePoint(3.2, 8 * 99_000_000, 9.0, None),)),
        BudgetCurve("joint", (CurvePoint(3.2, 8 * 98_000_000, 0.3, 32.0), CurvePoint(4.2, 8 * 111_000_000, 0.1, 25.0))),
    ),
    1.3,
    (),
    MADE,
)
TUNE = TuneReport(
    {"tune": {}},
    "s",
    "m",
    "",
    STAGES[0],
    ("perplexity",),
    "TPESampler",
    "MedianPruner",
    (
        TrialReport(0, "complete", {"distill.rank": 8, "distill.learning_rate": 0.001}, {"perplexity": 27.0}),
        TrialReport(1, "pruned", {"distill.rank": 4, "distill.learning_rate": 0.1}, {}),
        TrialReport(2, "complete", {"distill.rank": 4, "distill.learning_rate": 0.003}, {"perplexity": 25.0}),
        TrialReport(3, "complete", {"distill.rank": 16, "distill.learning_rate": 0.002}, {"perplexity": 26.0}),
    ),
    (2,),
    {"perplexity": {"distill.learning_rate": 0.8, "distill.rank": 0.2}},
)


def test_means_are_over_the_seeds_of_an_optimiser() -> None:
    adamw, muon = optimizer_means(DISTILL)
    assert (adamw.optimizer, adamw.seeds, adamw.perplexity, adamw.quantized) == ("adamw", 2, 24.0, 29.0)
    assert muon.perplexity == 25.0 and muon.gap_closed == pytest.approx(0.6)


def test_smoothing_is_a_running_mean_that_begins_with_what_is_there() -> None:
    trace = LossTrace("muon", 0, (1, 2, 3), (3.0, 1.0, 5.0))
    assert smoothed(trace, 2).losses == (3.0, 2.0, 3.0) and smoothed(trace, 2).steps == trace.steps


def test_the_history_knows_the_best_so_far_and_leaves_out_what_was_cut_short() -> None:
    assert [(p.number, p.value, p.best) for p in history(TUNE)] == [(0, 27.0, 27.0), (2, 25.0, 25.0), (3, 26.0, 25.0)]


def test_the_best_mix_at_a_size_is_the_best_that_fits() -> None:
    assert best_at(MIX, 90) is None
    assert best_at(MIX, 98.5) == ("joint", 98.0, 32.0)
    assert best_at(MIX, 200) == ("joint", 111.0, 25.0)
    assert [line.name for line in budget_lines(MIX)] == ["gptq", "compot-fisher", "joint"]
    assert budget_lines(MIX)[1].perplexities == ()


@pytest.mark.parametrize("text", [EN, RU], ids=["en", "ru"])
def test_every_picture_has_titles_a_sentence_and_a_table(text: Any) -> None:
    dots = task_dots(CHANGE)
    views = {
        "losses": figures.losses_view([trace_of(each) for each in RUNS], optimizer_means(DISTILL), text),
        "stages": figures.stages_view([("muon", stage_points(STAGES))], text),
        "benchmarks": figures.benchmarks_view(dots, text),
        "formats": figures.formats_view(FORMATS, text),
        "budget": figures.budget_view(MIX, 99, text),
        "search": figures.search_view(TUNE, text),
    }
    for name, view in views.items():
        assert view.summary and "{" not in view.summary, name
        assert view.table is not None and all(len(row) == len(view.table.headers) for row in view.table.rows)
        layout = view.figure.to_dict()["layout"]
        assert layout["xaxis"]["title"]["text"] and layout["height"] > 150, name
        json.dumps(view.figure.to_plotly_json()["layout"], default=str)
    losses = views["losses"].figure
    assert [trace.showlegend for trace in losses.data] == [True, True, False, False]
    assert losses.data[0].line.dash != losses.data[1].line.dash, "colour is never alone"
    error = views["benchmarks"].figure.data[1].error_x.array
    assert list(error) == [dot.before_half for dot in dots] and error[0] == pytest.approx(1.96 * 0.05)
    assert text.name("task", "arc_easy") in views["benchmarks"].summary
    markers = views["budget"].figure.data[-1]
    assert list(markers.y) == [45.0, 31.0], "a broken model is in the table, and does not stretch the axis"
    assert len(views["budget"].table.rows) == 3
    assert list(views["formats"].figure.data[0].x) == [40, 14, 41]


def test_a_folder_is_read_as_far_as_it_reads(tmp_path: Path) -> None:
    store.write_json(tmp_path / "mix.json", MIX)
    store.write_json(tmp_path / "distill.json", DISTILL)
    (tmp_path / "tune.json").write_text("{}", encoding="utf-8")
    found = load_examples(tmp_path)
    assert found.mix == MIX and found.distill == DISTILL and found.pipeline is None and found.tune is None
    assert len(found.problems) == 1 and "tune.json" in found.problems[0]


def test_what_came_with_the_app_reads() -> None:
    found = load_examples(distil.ASSETS)
    assert not found.problems
    assert found.mix is not None and found.distill is not None and found.formats is not None
    assert found.pipeline is not None and found.pipeline.benchmark is not None and found.tune is not None


def test_cards_become_a_recipe() -> None:
    whole = distil.recipe_of("m", "compot", 0.2, "muon", "factors", 0.5, 4, True)
    assert whole.compress is not None and whole.compress.method == "compot" and whole.latency is not None
    assert whole.distill is not None and (whole.distill.what, whole.distill.minutes) == ("factors", 0.5)
    dense = distil.recipe_of("m", "compot", 0.0, "adamw", "factors", 0.5, 0, False)
    assert dense.compress is None and dense.quantize is None and dense.latency is None
    assert dense.distill is not None and dense.distill.what == "lora", "a dense model has no factors"
    cheap, dear = (distil.seconds_for(0.2, ["adamw"] * n, 1.0, 4, False)[0] for n in (1, 2))
    assert cheap is not None and dear is not None and cheap < dear


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[str, ChartPanel, ChartPanel], None, None]:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 400, encoding="utf-8")
    for name in ("DEFAULT_CALIBRATION", "DEFAULT_EVALUATION"):
        monkeypatch.setattr(texts, name, str(tmp_path / "text.txt"))
    write_tiny_llama(tmp_path / "tiny")
    yield str(tmp_path / "tiny"), *_panels()


def small(model: str, optimizer: str) -> Any:
    recipe = distil.recipe_of(model, "svd-llm", 0.3, optimizer, "factors", 1.0, 0, False)
    plain = recipe.model_dump() | {"window": 64, "max_windows": 2}
    plain["compress"] |= {"calibration_sequences": 8, "sequence_length": 32, "gradient_sequences": 8}
    plain["distill"] |= {"steps": 4}
    return type(recipe).model_validate(plain)


def test_a_run_shows_losses_and_stages_of_both_optimisers(page: tuple[str, ChartPanel, ChartPanel]) -> None:
    model, losses, stages = page
    recipes = [(name, small(model, name)) for name in ("adamw", "muon")]
    shown = list(distil.running(EN, recipes, losses, stages))
    assert all(len(values) == 2 + len(losses.outputs) + len(stages.outputs) for values in shown)
    last = shown[-1]
    assert "Finished and measured" in last[0] and last[1] == EN("distil.yours")
    drawn = json.loads(last[2])["data"]
    assert [line["name"] for line in drawn] == ["AdamW", "Muon"]
    points = json.loads(last[2 + len(losses.outputs)])["data"]
    assert [len(line["x"]) for line in points] == [3, 3] and points[0]["text"] == ["Dense", "Compress", "Distil"]


def test_what_cannot_be_done_is_one_sentence() -> None:
    for key in ("distil.nothing", "distil.needs_text"):
        assert EN(key).endswith(".") and RU(key).endswith(".")
    with pytest.raises(UserError, match="There is no model .m."):
        list(distil.running(EN, [("", distil.recipe_of("m", "none", 0.2, "", "lora", 1, 0, False))], *_panels()))


def _panels() -> tuple[ChartPanel, ChartPanel]:
    return distil._panel("losses", 300, None, EN), distil._panel("stages", 300, None, EN)


def test_a_broken_reference_is_said_in_words() -> None:
    nothing = dataclasses.replace(MIX, curves=())
    assert "Nothing is predicted" in figures.budget_view(nothing, 100, EN).summary
    assert "Ни одна" in figures.search_view(dataclasses.replace(TUNE, best=()), RU).summary
