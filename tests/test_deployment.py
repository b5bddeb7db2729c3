"""Whole pipelines on a tiny model: what they report, and that a run killed anywhere ends with the same report."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
from deployment_samples import QUESTIONS, until, write_recipe
from tiny import finish
from typer.testing import CliRunner

from compression import export, store
from compression.__main__ import app
from compression.adaptation import training
from compression.commands.shared import SCHEMAS
from compression.deployment.markup import Bar, bars, curve, table
from compression.deployment.pages import pipeline_page
from compression.deployment.recipe import read_recipe
from compression.deployment.report import PipelineReport
from compression.deployment.search import _objective
from compression.errors import UserError
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.quantization.fast import to_int8
from compression.types import Progress
from compression.workbench import Workbench

ROOT = Path(__file__).parent.parent
STOPWATCH = {"seconds", "date", "prefill", "decode", "machine", "predicted_prefill", "predicted_decode"}
"""What differs between two undisturbed runs as well."""


def carried_out(recipe: Path, **more: Any) -> PipelineReport:
    """By a new workbench, as in a new process."""
    report: PipelineReport = finish(Workbench().pipeline(read_recipe(recipe), **more))
    return report


def without_stopwatch(report: PipelineReport) -> PipelineReport:
    """The report with all that was timed set to the same; a training notes points of its curve by the clock, too."""

    def cleared(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: cleared(each, name) for name, each in value.items() if name not in STOPWATCH}
        return [cleared(each, key) for each in value] if isinstance(value, list) else value

    plain = pydantic.TypeAdapter(PipelineReport).dump_python(report, mode="json")
    timed = {"prefill": {}, "decode": {}}
    for part in ("dense", "compressed"):
        for each in timed.values():
            each[part] = {"median_ms": 1.0, "iqr_ms": 0.0, "repeats": 1}
    plain = cleared(plain)
    plain["latency"] = plain["latency"] and plain["latency"] | timed
    for stage in plain["stages"]:
        stage["measured"]["seconds"] = stage["made"]["seconds"] = 0.0
        stage["environment"]["date"] = ""
        stage["made"]["losses"] = stage["made"]["losses"][:1] + stage["made"]["losses"][-1:]
    return pydantic.TypeAdapter(PipelineReport).validate_python(plain)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PipelineReport]:
    """A recipe and the report of a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe = write_recipe(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPRESSION_CACHE", str(folder / "cache"))
        return recipe, carried_out(recipe)


def test_a_report_has_every_stage(undisturbed: tuple[Path, PipelineReport]) -> None:
    _, report = undisturbed
    dense, compressed, distilled, quantized = report.stages
    assert [stage.name for stage in report.stages] == ["dense", "compress", "distill", "quantize"]
    assert dense.stored_bytes > distilled.stored_bytes > compressed.stored_bytes > quantized.stored_bytes
    assert compressed.made.facts["removed_fraction"] == pytest.approx(0.4, abs=0.05)
    assert distilled.made.facts["steps"] == 6 and distilled.made.losses[-1].step == 6
    assert distilled.measured.perplexity < compressed.measured.perplexity
    assert 3 < quantized.made.facts["bits_per_weight"] < 5
    assert quantized.measured.perplexity != distilled.measured.perplexity
    assert report.benchmark is not None and report.benchmark.tasks[0].items == len(QUESTIONS)
    assert report.latency is not None and report.latency.stored_bits["dense"] == dense.measured.stored_bits
    assert report.latency.stored_bits["compressed"] == quantized.measured.stored_bits


def test_the_final_model_is_timed_in_another_format_and_never_without_its_price(cache: Path, tmp_path: Path) -> None:
    asked = {"prompt_tokens": 8, "decode_tokens": 2, "format": "int8-weights"}
    recipe = write_recipe(tmp_path, compress=None, distill=None, benchmark=None, latency=asked)
    report = carried_out(recipe, out=tmp_path / "small")
    assert report.latency is not None and report.timed is not None and report.timed.name == "int8-weights"
    assert "layers in 8 bits run from their codes" in report.latency.execution
    assert report.latency.weights_hash == report.timed.measured.weights_hash == report.stages[0].measured.weights_hash
    final = finish(Workbench().any_model(str(tmp_path / "small")))
    by_hand = to_int8(final.loaded.model, final.sites)
    tokens = tokenize(final.loaded.tokenizer, (tmp_path / "text.txt").read_text(encoding="utf-8"))
    measured = finish(measure_perplexity(by_hand, tokens, report.timed.measured.text, 0, 64, 4))
    assert report.timed.measured.perplexity == pytest.approx(measured.perplexity, rel=1e-6)
    stored = report.stages[-1].measured
    assert report.timed.measured.perplexity != stored.perplexity
    assert report.timed.measured.stored_bits == report.latency.stored_bits["compressed"] > stored.stored_bits
    page = pipeline_page(report)
    assert "final in int8-weights" in page and f"{measured.perplexity:,.2f}" in page
    assert _objective(report, "perplexity") == report.timed.measured.perplexity, "a trial is judged as it is timed"
    assert _objective(report, "bytes") == report.timed.measured.stored_bits / 8
    assert carried_out(recipe) == report


def untimed(recipe: Path, expected: PipelineReport) -> tuple[Path, PipelineReport]:
    """The same without latency, which takes longest."""
    asked = expected.recipe | {"latency": None}
    shorter = write_recipe(recipe.parent, "untimed", latency=None)
    return shorter, dataclasses.replace(expected, recipe=asked, latency=None)


KILLS = {
    "dense": lambda e: e.stage == "perplexity",
    "compress": lambda e: e.stage == "compress" and "layers.1" in e.message,
    "compress, written but not measured": lambda e: e.stage == "save" and e.done == e.total,
    "compress, done": lambda e: e.message.startswith("compress: "),
    "distill": lambda e: e.stage == "train" and "step" in e.message and e.done > 0,
    "distill, done": lambda e: e.message.startswith("distill: "),
    "quantize": lambda e: e.stage == "quantize" and "layers.1" in e.message,
    "quantize, done": lambda e: e.message.startswith("quantize: "),
    "benchmark of the dense model": lambda e: e.stage == "benchmark",
    "benchmark between the models": lambda e: e.stage == "task",
    "latency": lambda e: e.stage == "latency",
}


@pytest.mark.parametrize("point", KILLS)
def test_a_run_killed_at_any_stage_gives_the_same_report(
    point: str, undisturbed: tuple[Path, PipelineReport], cache: Path
) -> None:
    recipe, expected = undisturbed if point == "latency" else untimed(*undisturbed)
    until(Workbench().pipeline(read_recipe(recipe)), KILLS[point])
    kept = {file: file.read_bytes() for file in (cache / "pipelines").glob("*/stage.json")}
    report = carried_out(recipe)
    assert all(file.read_bytes() == before for file, before in kept.items()), "a finished stage was made again"
    assert store.content_key(without_stopwatch(report)) == store.content_key(without_stopwatch(expected))
    assert pipeline_page(without_stopwatch(report)) == pipeline_page(without_stopwatch(expected))
    again = carried_out(recipe)
    assert again == report, "what was timed is kept as it was"
    assert pipeline_page(again) == pipeline_page(report)


KILL_ITSELF = """
import os, signal, sys
from pathlib import Path
from compression.deployment.recipe import read_recipe
from compression.workbench import Workbench
for event in Workbench().pipeline(read_recipe(Path(sys.argv[1]))):
    if event.stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_leaves_nothing_in_the_way(
    undisturbed: tuple[Path, PipelineReport], cache: Path, tmp_path: Path
) -> None:
    recipe, expected = untimed(*undisturbed)
    killed = subprocess.run([sys.executable, "-c", KILL_ITSELF, str(recipe), "train"], cwd=ROOT, env=os.environ.copy())
    assert killed.returncode == -signal.SIGKILL
    answer = CliRunner().invoke(app, ["pipeline", str(recipe), "--json", str(tmp_path / "a.json")])
    assert answer.exit_code == 0, answer.output
    report = store.read_json(tmp_path / "a.json", PipelineReport)
    assert store.content_key(without_stopwatch(report)) == store.content_key(without_stopwatch(expected))
    assert not list((cache / "pipelines").rglob("*.tmp"))


def test_a_training_killed_before_its_first_minute_keeps_the_plan_that_a_stopwatch_made(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = iter((3, 7))  # the machine is faster when the run goes on
    monkeypatch.setattr(training, "_fitting_steps", lambda *_: next(fitting))
    monkeypatch.setattr(training, "PACE_TOLERANCE", float("inf"))
    distill = {"what": "lora", "minutes": 1, "rank": 2, "train": str(tmp_path / "text.txt")}
    recipe = write_recipe(tmp_path, distill=distill, quantize=None, benchmark=None, latency=None)
    until(Workbench().pipeline(read_recipe(recipe)), lambda e: e.stage == "train" and e.done > 0)
    report = carried_out(recipe)
    assert report.stages[-1].made.facts["steps"] == 3 and next(fitting) == 7, "it was not planned again"
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(training, "_fitting_steps", lambda *_: 3)
    assert without_stopwatch(carried_out(recipe)) == without_stopwatch(report)


def test_the_command_writes_the_same_files_again(cache: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, benchmark=None, distill=None)
    for name in ("a", "b"):
        files = ["--json", str(tmp_path / f"{name}.json"), "--html", str(tmp_path / f"{name}.html")]
        answer = CliRunner().invoke(app, ["pipeline", str(recipe), *files, "--out", str(tmp_path / name)])
        assert answer.exit_code == 0, answer.output
        assert "after quantize" in answer.output and "decode" in answer.output
    for ending in ("json", "html"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "http" not in page and "<script" not in page and "after quantize" in page
    report = store.read_json(tmp_path / "a.json", PipelineReport)
    assert [stage.name for stage in report.stages] == ["dense", "compress", "quantize"]
    described = pydantic.TypeAdapter(SCHEMAS["pipeline"]).json_schema()
    assert set(json.loads((tmp_path / "a.json").read_text())) == set(described["properties"])
    model = export.load(tmp_path / "a")
    assert model.report.stored_bits == report.stages[-1].measured.stored_bits


def test_a_stage_is_made_again_when_something_it_depends_on_has_changed(cache: Path, tmp_path: Path) -> None:
    parts = {"benchmark": None, "distill": None, "latency": None}
    first = carried_out(write_recipe(tmp_path, **parts))
    changed = write_recipe(tmp_path, **parts)
    changed.write_text(changed.read_text().replace("bits: 4", "bits: 3"))
    second = carried_out(changed)
    assert second.stages[:2] == first.stages[:2]
    assert second.stages[2].stored_bytes < first.stages[2].stored_bytes
    text = tmp_path / "text.txt"
    text.write_text(text.read_text() + "Another sentence.")
    third = carried_out(changed)
    assert all(now.measured.text != then.measured.text for now, then in zip(third.stages, second.stages, strict=True))


def test_a_model_that_was_pruned_is_made_again(cache: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, benchmark=None, distill=None, latency=None)
    first = carried_out(recipe)
    folders = list((cache / "pipelines").glob("*/made/model"))
    assert len(folders) == 2
    for folder in folders:
        shutil.rmtree(folder)
    second = carried_out(recipe, out=tmp_path / "out")
    assert [s.measured.perplexity for s in second.stages] == [s.measured.perplexity for s in first.stages]
    assert export.is_compressed_directory(tmp_path / "out")


def test_what_cannot_be_carried_out_is_one_sentence_and_what_was_finished_is_kept(cache: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, benchmark={"tasks": "piqa", "data": str(tmp_path)})
    with pytest.raises(UserError, match=r"has no piqa.jsonl"):
        carried_out(recipe)
    assert not (cache / "pipelines").exists(), "it was found out before any work"
    quantize = {"calibration": str(tmp_path / "none.txt")}
    with pytest.raises(UserError, match=r"none.txt"):
        carried_out(write_recipe(tmp_path, quantize=quantize, distill=None))
    assert len(list((cache / "pipelines").glob("*/made/model"))) == 1
    answer = CliRunner().invoke(app, ["pipeline", str(recipe), "--html", str(tmp_path / "none" / "a.html")])
    assert isinstance(answer.exception, UserError) and "for the HTML file does not exist" in str(answer.exception)


def test_a_folder_that_is_compressed_already_is_no_beginning(cache: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, benchmark=None, distill=None, latency=None, quantize=None)
    carried_out(recipe, out=tmp_path / "small")
    recipe.write_text(recipe.read_text().replace(str(tmp_path / "tiny"), str(tmp_path / "small")))
    with pytest.raises(UserError, match="is compressed already"):
        carried_out(recipe)


def test_ctrl_c_is_one_sentence(
    undisturbed: tuple[Path, PipelineReport], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Workbench, *rest: Any) -> Any:
        yield Progress("train", 0, 1, "…")
        raise KeyboardInterrupt

    monkeypatch.setattr(Workbench, "distill", interrupted)
    answer = CliRunner().invoke(app, ["pipeline", str(undisturbed[0])])
    assert answer.exit_code == 130
    assert "Interrupted: what was finished is kept" in answer.output and "Traceback" not in answer.output
    assert len(list((cache / "pipelines").glob("*/stage.json"))) == 2


def test_a_page_says_what_is_in_the_report(undisturbed: tuple[Path, PipelineReport]) -> None:
    _, report = undisturbed
    page = pipeline_page(dataclasses.replace(report, model_id="<b>&"))
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page
    for stage in report.stages:
        assert f"{stage.measured.perplexity:,.2f} ± {stage.measured.perplexity_stderr:,.2f}" in page
        assert f"{stage.stored_bytes / 1e6:.1f}" in page
    assert "<polyline" in page and "piqa, final" in page and "ms a token" in page


def test_bars_are_as_long_as_their_values() -> None:
    drawn = bars("c", [Bar("a", 10.0), Bar("b", 5.0, 2.5), Bar("c", float("inf")), Bar("d", 0.0)])
    assert [part.split("%")[0] for part in drawn.split('style="width:')[1:]] == ["100.00", "50.00", "100.00", "0.00"]
    assert "left:25.00%;width:50.00%" in drawn
    assert "NaN" not in curve("c", [(0, 1.0), (1, float("nan")), (2, 3.0)], "step")
    assert "too few points" in curve("c", [(0, 1.0)], "step")
    assert table([("<a>",), ("1",)]).count("&lt;a&gt;") == 1
