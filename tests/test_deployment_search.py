"""Searches on a tiny model: their number of trials, their end after a kill, what is given up, several objectives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from deployment_samples import until, write_recipe
from tiny import finish
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.deployment import search
from compression.deployment.pages import tune_page
from compression.deployment.recipe import Span, read_recipe
from compression.deployment.report import TuneReport
from compression.errors import UserError
from compression.types import Progress
from compression.workbench import Workbench

ROOT = Path(__file__).parent.parent
RATES = {"distill.learning_rate": {"low": 1e-6, "high": 1e-1, "log": True}}
DAMPING = {"quantize.damping": {"low": 0.001, "high": 1, "log": True}}


def recipe_for(folder: Path, **tune: Any) -> Path:
    """Without training, and the shortest measurement of latency."""
    asked = {"search": {**DAMPING, "quantize.bits": {"choices": [3, 4]}}, "startup_trials": 2} | tune
    return write_recipe(
        folder, benchmark=None, distill=None, latency={"prompt_tokens": 8, "decode_tokens": 2}, tune=asked
    )


def searched(recipe: Path, trials: int, storage: Path | None = None) -> TuneReport:
    """By a new workbench, as in a new process."""
    report: TuneReport = finish(Workbench().tune(read_recipe(recipe), trials, storage))
    return report


def test_a_search_goes_on_until_so_many_trials_have_ended(cache: Path, tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path)
    first = searched(recipe, 3)
    assert [trial.number for trial in first.trials] == [0, 1, 2]
    assert (first.sampler, first.pruner, first.objectives) == ("TPESampler", "MedianPruner", ("perplexity",))
    complete = {trial.number: trial.values["perplexity"] for trial in first.trials if trial.state == "complete"}
    assert complete and first.best == (min(complete, key=lambda number: complete[number]),)
    assert sum(first.importances["perplexity"].values()) == pytest.approx(1)
    started = time.perf_counter()
    assert searched(recipe, 3) == first
    assert time.perf_counter() - started < 5, "nothing is tried again"
    more = searched(recipe, 4)
    assert more.trials[:3] == first.trials and len(more.trials) == 4
    folders = list((cache / "pipelines").glob("*/made/made.json"))
    assert len(folders) == 1 + 4, "compress is made once for all"


KILL_ITSELF = """
import os, signal, sys
from pathlib import Path
from compression.deployment.recipe import read_recipe
from compression.workbench import Workbench
ended = 0
for event in Workbench().tune(read_recipe(Path(sys.argv[1])), 3):
    ended += event.stage == "run"
    if ended == 1 and event.stage == "quantize" and event.done > 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_for(tmp_path, startup_trials=1)
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "killed"))
    killed = subprocess.run([sys.executable, "-c", KILL_ITSELF, str(recipe)], cwd=ROOT, env=os.environ.copy())
    assert killed.returncode == -signal.SIGKILL
    report = searched(recipe, 3)
    storage = f"sqlite:///{search.study_file(report.study)}"
    states = [trial.state.name for trial in kept_trials(storage, report.study)]
    assert len(states) == 4 and states[1] == "FAIL", "the trial that was killed, and as many as were asked for"
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "undisturbed"))
    assert searched(recipe, 3).trials == report.trials


def kept_trials(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """What stands in the database, read by Optuna alone."""
    opened = optuna.storages.RDBStorage(storage)
    try:
        return optuna.load_study(study_name=name, storage=opened).get_trials()
    finally:
        opened.remove_session()
        opened.engine.dispose()


def test_a_search_that_is_closed_keeps_what_it_tried(cache: Path, tmp_path: Path) -> None:
    recipe, storage = recipe_for(tmp_path), tmp_path / "study.db"
    for stage in ("compress", "quantize"):
        until(Workbench().tune(read_recipe(recipe), 1, storage), lambda event, stage=stage: event.stage == stage)
    report = searched(recipe, 1, storage)
    trials = kept_trials(f"sqlite:///{storage}", report.study)
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "COMPLETE"]
    assert trials[0].params == trials[1].params == trials[2].params == report.trials[0].parameters
    assert not (cache / "studies").exists()
    open_trial(f"sqlite:///{storage}", report.study)
    second = searched(recipe, 2, storage).trials[1]
    assert second.parameters == {"quantize.damping": 0.125, "quantize.bits": 3}, "what was left open is tried first"


def open_trial(storage: str, name: str) -> None:
    """Begin a trial that no sampler would choose, and leave it there as a killed process does."""
    opened = optuna.storages.RDBStorage(storage)
    try:
        study = optuna.load_study(study_name=name, storage=opened)
        study.enqueue_trial({"quantize.damping": 0.125, "quantize.bits": 3})
        trial = study.ask()
        trial.suggest_float("quantize.damping", 0.001, 1, log=True)
        trial.suggest_categorical("quantize.bits", (3, 4))
    finally:
        opened.remove_session()
        opened.engine.dispose()


def test_what_is_worse_than_the_median_is_given_up_on_the_way(cache: Path, tmp_path: Path) -> None:
    ratios = {"compress.ratio": {"low": 0.1, "high": 0.8}}
    recipe = recipe_for(tmp_path, startup_trials=1, search=ratios)
    reports = searched(recipe, 6).trials
    pruned = [trial for trial in reports if trial.state == "pruned"]
    assert pruned and {trial.state for trial in reports} == {"pruned", "complete"}
    for trial in pruned:
        step = max(trial.perplexities)
        others = [
            o.perplexities[step] for o in reports[: trial.number] if o.state == "complete" and step in o.perplexities
        ]
        assert min(trial.perplexities.values()) > min(others) and step < 5


def test_perplexities_on_the_way_are_told_at_the_fifths(cache: Path, tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path,
        benchmark=None,
        latency=None,
        quantize=None,
        distill={"what": "factors", "steps": 10, "train": str(tmp_path / "text.txt")},
        tune={"search": RATES},
    )
    (trial,) = searched(recipe, 1).trials
    assert sorted(trial.perplexities) == [0, 1, 2, 3, 4, 5]
    assert trial.perplexities[5] == trial.values["perplexity"] != trial.perplexities[0]


@pytest.mark.parametrize("objectives", [["perplexity", "bytes"], ["perplexity", "bytes", "latency"]])
def test_several_objectives_have_several_best_trials(cache: Path, tmp_path: Path, objectives: list[str]) -> None:
    searched_for = {"compress.ratio": {"low": 0.1, "high": 0.6}, "quantize.bits": {"low": 2, "high": 6}}
    recipe = recipe_for(tmp_path, objectives=objectives, search=searched_for)
    report = searched(recipe, 4)
    assert (report.sampler, report.pruner) == ("GPSampler", "none")
    assert all(trial.state == "complete" and set(trial.values) == set(objectives) for trial in report.trials)
    assert all(isinstance(trial.parameters["quantize.bits"], int) for trial in report.trials)
    points = {trial.number: tuple(trial.values.values()) for trial in report.trials}

    def beaten(point: tuple[float, ...]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points.values()
        )

    assert set(report.best) == {number for number, point in points.items() if not beaten(point)}
    assert set(report.importances) == set(objectives)


def test_a_setting_that_turns_out_impossible_fails_its_trial_alone(cache: Path, tmp_path: Path) -> None:
    sizes = {"quantize.calibration_sequences": {"choices": [8, 60000]}}
    report = searched(recipe_for(tmp_path, search=sizes), 5)
    failed = [trial for trial in report.trials if trial.state == "failed"]
    assert failed and all(trial.parameters["quantize.calibration_sequences"] == 60000 for trial in failed)
    assert all(trial.error.endswith(".") and not trial.values for trial in failed)
    assert len(report.trials) == 5 and report.best and report.best[0] not in {trial.number for trial in failed}


def test_a_file_that_is_gone_ends_the_search_and_not_the_trial(cache: Path, tmp_path: Path) -> None:
    text = tmp_path / "later.txt"
    settings = {
        "bits": 4,
        "group_size": 32,
        "calibration": str(text),
        "calibration_sequences": 8,
        "sequence_length": 32,
    }
    recipe = write_recipe(
        tmp_path, benchmark=None, distill=None, latency=None, quantize=settings, tune={"search": DAMPING}
    )
    with pytest.raises(UserError, match=r"later.txt"):
        searched(recipe, 1)
    text.write_text((tmp_path / "text.txt").read_text())
    report = searched(recipe, 1)
    assert [trial.state for trial in report.trials] == ["complete"]


def test_the_command_draws_what_it_found(cache: Path, tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path, objectives=["perplexity", "bytes"])
    files = ["--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html"), "--trials", "3"]
    answer = CliRunner().invoke(app, ["tune", str(recipe), *files])
    assert answer.exit_code == 0, answer.output
    assert "quantize.damping" in answer.output and "complete" in answer.output
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    for title in ("Trials that none beats", "History: perplexity", "History: bytes", "Importance: perplexity"):
        assert f"<h2>{title}</h2>" in page
    assert 'src="http' not in page and page.count("Plotly.newPlot") >= 5
    report = store.read_json(tmp_path / "a.json", TuneReport)
    assert tune_page(report, search.figures(report)) == page, "it is drawn the same each time"


def test_what_is_wrong_is_one_sentence(cache: Path, tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path)
    with pytest.raises(UserError, match="from 1 to 10000, but 0 was given"):
        searched(recipe, 0)
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(UserError, match=r"text.db cannot be used as the search's database"):
        searched(recipe, 1, tmp_path / "text.db")
    with pytest.raises(UserError, match="no section tune"):
        searched(write_recipe(tmp_path, benchmark=None, latency=None), 1)


def test_a_span_is_bounds_or_choices() -> None:
    assert Span(low=1, high=2).extremes == (1, 2)
    assert Span(choices=("a", True)).extremes == ("a", True)
    assert search._perplexity_at(Progress("train", 1, 2, "…", None)) is None
