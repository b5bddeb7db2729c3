"""The tab Distil and quantise without a browser: what its pictures are computed from, the pictures, and the event."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from deployment_samples import QUESTIONS
from distil_samples import CHANGE, DISTILL, FORMATS, LATENCY, MIX, RUNS, STAGES, TUNE
from tiny import SENTENCES, write_tiny_llama

from compression import store, texts
from compression.deployment.analysis import (
    LossTrace,
    Rise,
    RiseRange,
    UnderQuantization,
    best_at,
    best_trial,
    budget_lines,
    history,
    optimizer_means,
    smoothed,
    stage_points,
    task_dots,
    trace_of,
    under_quantization,
    under_quantization_of,
)
from compression.deployment.costs import STAGES as STAGE_NAMES
from compression.deployment.gallery import load_examples
from compression.deployment.recipe import PipelineRecipe, read_recipe
from compression.errors import UserError
from views import pipeline_cards
from views.figures import distil as figures
from views.pipeline_cards import Asked, Reached
from views.tabs import distil
from views.texts import words
from views.widgets import ChartPanel

EN, RU = words("en"), words("ru")


def test_means_are_over_the_seeds_of_an_optimiser() -> None:
    adamw, muon = optimizer_means(DISTILL)
    assert (adamw.optimizer, adamw.seeds, adamw.perplexity, adamw.quantized) == ("adamw", 2, 24.0, 29.0)
    assert muon.perplexity == 25.0 and muon.gap_closed == pytest.approx(0.6)


def test_what_gptq_adds_is_known_of_every_optimiser_and_seed_and_of_the_student_before() -> None:
    def rise(optimizer: str, seed: int | None, before: float, after: float) -> Rise:
        return Rise(optimizer, seed, before, after, pytest.approx(math.log(after) - math.log(before)))

    adamw, muon = (math.log(28 / 23), math.log(30 / 25)), (math.log(29 / 24), math.log(31 / 26))
    student, *runs = (
        rise("", None, 31, 38),
        rise("adamw", 0, 23, 28),
        rise("adamw", 1, 25, 30),
        rise("muon", 0, 24, 29),
        rise("muon", 1, 26, 31),
    )
    ranges = tuple(
        RiseRange(name, 2, *(pytest.approx(value) for value in (sum(nats) / 2, min(nats), max(nats))))
        for name, nats in (("adamw", adamw), ("muon", muon))
    )
    assert under_quantization(DISTILL) == UnderQuantization(4, 21, 31, (student, *runs), ranges, True)
    worse = tuple(
        dataclasses.replace(run, quantized_perplexity=90.0) if run.settings.optimizer == "muon" else run for run in RUNS
    )
    apart = under_quantization(dataclasses.replace(DISTILL, runs=worse, student_quantized=None))
    assert apart is not None and apart.overlap is False and apart.rises[0].optimizer == "adamw"
    plain = tuple(dataclasses.replace(run, quantized_perplexity=None) for run in RUNS)
    assert under_quantization(dataclasses.replace(DISTILL, runs=plain)) is None
    on_the_way = [("adamw", 0, stage_points(STAGES)), ("muon", 0, stage_points(STAGES[:3]))]
    live = under_quantization_of(3, on_the_way)
    assert live is not None and live.rises == (rise("adamw", 0, 24, 29),) and live.overlap is None
    assert (live.bits, live.dense, live.student) == (3, 21, 31)
    assert under_quantization_of(3, on_the_way[1:]) is None


@pytest.mark.parametrize("text", [EN, RU], ids=["en", "ru"])
def test_a_bar_goes_from_before_to_after_gptq_and_the_sentence_says_what_it_adds(text: Any) -> None:
    found = under_quantization(DISTILL)
    assert found is not None
    view = figures.quantized_view(found, text)
    dense, student, *bars, before, after = view.figure.data
    assert dense.x == (21, 21) and student.x == (31, 31) and dense.line.dash != student.line.dash
    assert [bar.x for bar in bars] == [(31, 38), (23, 28), (25, 30), (24, 29), (26, 31)]
    assert before.x == tuple(bar.x[0] for bar in bars) and after.x == tuple(bar.x[1] for bar in bars)
    assert all(symbol.endswith("-open") for symbol in before.marker.symbol), "before and after differ without colour"
    layout = view.figure.layout
    low, high = layout.xaxis.range
    assert 10**low < 21 and 10**high > 38, "no line lies on the edge"
    assert layout.xaxis.type == "log" and "AdamW" in layout.yaxis.ticktext[1] and "Muon" in layout.yaxis.ticktext[3]
    assert layout.yaxis.ticktext[0] == text("distil.not_distilled")
    assert text.number(math.log(28 / 23), 3) in view.summary and text("distil.overlap") in view.summary
    assert view.table is not None and view.table.rows[2][1:4] == (0, 23, 28) and len(view.table.rows) == 6
    assert view.table.rows[2][4] == pytest.approx(math.log(28 / 23))
    live = under_quantization_of(4, [("muon", 0, stage_points(STAGES))])
    assert live is not None
    one = figures.quantized_view(live, text)
    assert text.number(math.log(29 / 24), 3) in one.summary and text("distil.overlap") not in one.summary
    assert one.table is not None and [row[2] for row in one.table.rows] == [21, 31, 24]


def test_smoothing_is_a_running_mean_that_begins_with_what_is_there() -> None:
    trace = LossTrace("muon", 0, (1, 2, 3), (3.0, 1.0, 5.0))
    assert smoothed(trace, 2).losses == (3.0, 2.0, 3.0) and smoothed(trace, 2).steps == trace.steps


def test_the_history_knows_the_best_so_far_and_leaves_out_what_was_cut_short() -> None:
    assert [(p.number, p.value, p.best) for p in history(TUNE)] == [(0, 27.0, 27.0), (2, 25.0, 25.0), (3, 26.0, 25.0)]


def test_of_several_objectives_the_first_decides_which_unbeaten_trial_is_named() -> None:
    trials = tuple(
        dataclasses.replace(trial, values={**trial.values, "bytes": 1000.0 - trial.number}) for trial in TUNE.trials
    )
    several = dataclasses.replace(TUNE, objectives=("perplexity", "bytes"), trials=trials[1:], best=(3, 2))
    best = best_trial(several)
    assert best is not None and best.number == 2
    view = figures.search_view(several, EN)
    assert "number 2, 25.00" in view.summary
    assert view.table is not None and view.table.rows[1][2:4] == (25.0, 998.0)


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
        "quantized": figures.quantized_view(under_quantization(DISTILL), text),
        "stages": figures.stages_view([("muon", stage_points(STAGES))], text),
        "benchmarks": figures.benchmarks_view([("", dots)], text),
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
    two = figures.benchmarks_view([("adamw", dots), ("muon", dots)], text)
    assert [trace.name for trace in two.figure.data[2:]] == ["AdamW", "Muon"] and "Muon: " in two.summary
    assert len({trace.marker.symbol for trace in two.figure.data}) == 4, "colour is never alone"
    live = figures.losses_view([trace_of(each) for each in RUNS[:2]], (), text)
    assert "AdamW" in live.summary and "Muon" in live.summary and len(live.table.rows) == 40
    markers = views["budget"].figure.data[-1]
    assert list(markers.y) == [45.0, 31.0], "a broken model is in the table, and does not stretch the axis"
    assert len(views["budget"].table.rows) == 3
    assert list(views["formats"].figure.data[0].x) == [40, 14, 41]
    assert text("distil.not_faster") in views["formats"].summary, "the smallest is not the fastest"


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
    assert found.pipeline is not None and found.pipeline.benchmark is not None and found.pipeline.latency is not None
    assert found.tune is not None and sum(trial.state == "complete" for trial in found.tune.trials) >= 5
    assert {run.settings.optimizer for run in found.distill.runs} == {"adamw", "muon"}
    quantized = under_quantization(found.distill)
    assert quantized is not None and (quantized.bits, len(quantized.rises)) == (4, 7)


def test_cards_become_a_recipe_that_the_command_line_takes(tmp_path: Path) -> None:
    asked = Asked("compot", 0.2, ("adamw", "muon"), "factors", 0.5, 4, 32, items=10, timed=True)
    assert [name for name, _ in asked.recipes("m", "")] == ["adamw", "muon"]
    whole = asked.recipes("m", "items")[1][1]
    assert whole.compress is not None and whole.compress.method == "compot" and whole.latency is not None
    assert whole.distill is not None and (whole.distill.what, whole.distill.minutes) == ("factors", 0.5)
    assert whole.quantize is not None and (whole.quantize.bits, whole.quantize.group_size) == (4, 32)
    assert whole.benchmark is not None and (whole.benchmark.limit, whole.benchmark.data) == (10, "items")
    file = tmp_path / "recipe.yaml"
    text = pipeline_cards.recipe_file(asked, "m", EN)
    file.write_text(text, encoding="utf-8")
    assert read_recipe(file) == asked.recipes("m", "")[0][1] and "Muon" not in text and "muon" in text.splitlines()[0]
    bare = Asked("compot", 0.2, (), "lora", 1.0, 0)
    [(name, recipe)] = bare.recipes("m", "")
    assert name == "" and recipe.distill is None and recipe.quantize is None and recipe.benchmark is None


def test_a_second_optimiser_costs_what_is_not_shared() -> None:
    one, two = (Asked("compot", 0.2, ("adamw", "muon")[:n], "lora", 1.0, 4) for n in (1, 2))
    cheap, dear = (pipeline_cards.seconds_for(each, "m", 0) for each in (one, two))
    assert cheap["compress"] == dear["compress"] and dear["distill"] == 2 * cheap["distill"]
    assert "benchmark" not in cheap and pipeline_cards.cost_lines(cheap, EN)[3:] == [EN("distil.left_out")] * 2
    scored = dataclasses.replace(one, items=10)
    assert pipeline_cards.seconds_for(scored, "m", 7)["benchmark"] == pytest.approx(2 * 0.7 * 7 * 10)


def test_what_came_out_stands_on_the_cards_and_what_is_shared_once() -> None:
    muon = Reached("muon", stage_points(STAGES), task_dots(CHANGE), LATENCY)
    compress, distill, quantize, benchmark, timed = pipeline_cards.outcome_lines(
        [muon, dataclasses.replace(muon, optimizer="adamw", dots=())], EN
    )
    assert compress == "perplexity 31.00, 205.0 MB (about 30 s)"
    assert distill.startswith("Muon: perplexity 24.00, 208.0 MB") and "<br>AdamW: perplexity 24.00" in distill
    assert "100.0 MB" in quantize and "30.0 ms, 40.0 ms before" in timed
    assert benchmark == "Muon: mean accuracy 53%, 60% before (benchmarks: 2)"
    assert pipeline_cards.outcome_lines([], RU, example=True) == [""] * 5


def test_items_are_offered_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHMARK_DATA", raising=False)
    assert pipeline_cards.benchmark_count() == 0
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    assert pipeline_cards.benchmark_count() == 0
    (tmp_path / "piqa.jsonl").write_text("{}", encoding="utf-8")
    assert pipeline_cards.benchmark_count() == 1


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[str, list[ChartPanel]], None, None]:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 400, encoding="utf-8")
    for name in ("DEFAULT_CALIBRATION", "DEFAULT_EVALUATION"):
        monkeypatch.setattr(texts, name, str(tmp_path / "text.txt"))
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "piqa.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), encoding="utf-8")
    yield str(tmp_path / "tiny"), _panels()


def small(model: str, *optimizers: str) -> list[tuple[str, PipelineRecipe]]:
    """What the cards ask for, on little text."""
    found = []
    asked = Asked("svd-llm", 0.3, optimizers, "factors", 1.0, 4, items=2, timed=True)
    for name, recipe in asked.recipes(model, str(Path(model).parent)):
        plain = recipe.model_dump() | {"window": 64, "max_windows": 2}
        plain["compress"] |= {"calibration_sequences": 8, "sequence_length": 32, "gradient_sequences": 8}
        plain["distill"] |= {"steps": 4}
        plain["quantize"] |= {"calibration_sequences": 4, "sequence_length": 32}
        plain["latency"] |= {"prompt_tokens": 8, "decode_tokens": 2}
        found.append((name, PipelineRecipe.model_validate(plain)))
    return found


def test_a_run_fills_cards_and_pictures_of_both_optimisers_and_what_is_kept_is_shown_again(
    page: tuple[str, list[ChartPanel]],
) -> None:
    model, panels = page
    width = 2 + len(STAGE_NAMES) + sum(len(panel.outputs) for panel in panels)
    for _ in range(2):
        shown = list(distil.running(EN, small(model, "adamw", "muon"), *panels))
        assert all(len(values) == width for values in shown)
        status, caption, *rest = shown[-1]
        assert "Finished and measured" in status and caption == EN("distil.yours")
        outcomes, pictures = rest[:5], rest[5:]
        assert outcomes[0].startswith("perplexity") and "AdamW" in outcomes[1] and "Muon" in outcomes[1]
        assert "Muon" in outcomes[2] and "mean accuracy" in outcomes[3] and "ms before" in outcomes[4]
        drawn = json.loads(pictures[0])["data"]
        assert [line["name"] for line in drawn] == ["AdamW", "Muon"] and all(line["x"][-1] == 4 for line in drawn)
        points = json.loads(pictures[len(panels[0].outputs)])["data"]
        assert [len(line["x"]) for line in points] == [4, 4]
        assert points[0]["text"] == ["Dense", "Compress", "Distil", "Quantise"]
        assert points[1]["text"][:2] == ["", ""], "what both share has its name once"
        *_, chart, said, _ = pictures
        before, after = json.loads(chart)["data"][-2:]
        assert before["x"] == [line["y"][2] for line in points] and after["x"] == [line["y"][3] for line in points]
        assert "AdamW" in said and "Muon" in said


def test_what_cannot_be_done_is_one_sentence() -> None:
    good = Asked("compot", 0.2, ("adamw",), "lora", 1.0, 4)
    assert good.problem("smollm2-135m-q4", EN) == ""
    for text in (EN, RU):
        assert good.problem("whisper-base", text) == text("distil.needs_text")
        whole = dataclasses.replace(good, removed=0.0)
        assert whole.problem("m", text) == text("distil.needs_removal")
        nothing = dataclasses.replace(whole, optimizers=(), bits=0)
        assert nothing.problem("m", text) == text("distil.nothing")
    unknown = dataclasses.replace(good, method="none", optimizers=()).recipes("m", "")
    with pytest.raises(UserError, match="There is no model .m."):
        list(distil.running(EN, unknown, *_panels()))


def _panels() -> list[ChartPanel]:
    return [distil._panel(name, 300, None, EN) for name in ("losses", "stages", "benchmarks", "quantized")]


def test_a_broken_reference_is_said_in_words() -> None:
    nothing = dataclasses.replace(MIX, curves=())
    assert "Nothing is predicted" in figures.budget_view(nothing, 100, EN).summary
    assert "Ни одна" in figures.search_view(dataclasses.replace(TUNE, best=()), RU).summary
