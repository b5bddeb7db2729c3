"""A search over a recipe's settings by Optuna, kept in SQLite: killed, it goes on where it was.

Design:
    - A trial is a pipeline of its own: trials whose recipes begin alike share their first stages in the cache.
    - One objective is searched by TPE, several by Gaussian processes. A sampler is made anew for each trial, seeded by
      its number, so that a search that goes on chooses what it would have chosen.
    - A trial that a killed process left open is closed as failed, and what it had tried is tried first of all.
    - Where perplexity alone counts, a trial whose perplexity on the way is worse than the median is given up. Those
      after ``compress`` and ``distill`` are on the whole text, those during training on a part of it, at its fifths.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import optuna
import pydantic
import sqlalchemy
from optuna.trial import FrozenTrial, Trial, TrialState
from safetensors import SafetensorError

from compression import store
from compression.adaptation.types import Moment
from compression.deployment.recipe import LatencySection, PipelineRecipe, Span, TuneSection, Value
from compression.deployment.report import PipelineReport, StageReport, TrialReport, TuneReport
from compression.deployment.runner import measure_dense, run_pipeline
from compression.errors import UserError
from compression.steps import Steps
from compression.types import Progress

if TYPE_CHECKING:
    from compression.workbench import Workbench

MAX_TRIALS = 10_000
SCORES = 5
"""At so many parts of a training, the last one left out, a perplexity is looked at."""
STEPS = {"compress": 0, "distill": SCORES}
"""Stage → step of the perplexity after it."""
MARGIN = {"l": 60, "r": 20, "t": 30, "b": 50}
"""Around a figure, pixels."""
ERROR = "error"
"""Attribute of a trial that a setting made impossible."""

T = TypeVar("T")


def tune(bench: Workbench, recipe: PipelineRecipe, trials: int, storage: Path | None = None) -> Steps[TuneReport]:
    """Search until so many trials have ended, those of earlier runs included.

    Args:
        bench: whose models and texts are used.
        recipe: a checked one.
        trials: complete, pruned and failed ones.
        storage: an SQLite file; None for one in the cache.

    Yields:
        Among others, an event of stage ``run`` after each trial, whose `partial` is its `TrialReport`.

    Raises:
        UserError: if nothing is to be searched, the file is no database, or the model or a text cannot be used.
    """
    asked = recipe.tune
    if asked is None:
        raise UserError("The recipe has no section tune: say there what to search, and between which values.")
    if not 1 <= trials <= MAX_TRIALS:
        raise UserError(f"The number of trials must be from 1 to {MAX_TRIALS}, but {trials} was given.")
    dense = yield from measure_dense(bench, recipe)
    key = store.content_key("tune", dense.key, recipe.model_dump(mode="json", exclude={"benchmark"}))
    file = study_file(key, storage)
    name = store.content_key(str(file.absolute()), key)[:40]
    with (yield from store.waiting_lock(f"tune-{name}", recipe.model)), opened_study(key, file, asked) as study:
        _take_up(study)
        while (done := len(_ended(study))) < trials:
            yield from _run_trial(bench, recipe, study, done)
            report = _reports(study, asked)[-1]
            yield Progress("run", done + 1, trials, _sentence(report, done + 1, trials), report)
        measured = dense.report.measured
        reports = _reports(study, asked)
        return TuneReport(
            recipe=recipe.model_dump(mode="json"),
            study=key,
            model_id=measured.model_id,
            model_note=measured.model_note,
            dense=dense.report,
            objectives=asked.objectives,
            sampler=type(_sampler(asked, 0)).__name__,
            pruner=type(study.pruner).__name__ if _prunes(asked) else "none",
            trials=reports,
            best=_best(study),
            importances=_importances(study, asked),
        )


def study_file(key: str, storage: Path | None = None) -> Path:
    """Where a study is kept."""
    return storage or store.root() / "studies" / f"{key}.db"


@contextmanager
def opened_study(key: str, file: Path, asked: TuneSection) -> Iterator[optuna.Study]:
    """A study, made if it is not there yet; its database is closed afterwards.

    Raises:
        UserError: if the file is no database, or cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    startup = asked.startup_trials
    pruner = optuna.pruners.MedianPruner(n_startup_trials=startup) if _prunes(asked) else optuna.pruners.NopPruner()
    storage = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        url = sqlalchemy.URL.create("sqlite", database=str(file.absolute()))
        storage = optuna.storages.RDBStorage(url.render_as_string())
        study = optuna.create_study(
            storage=storage,
            pruner=pruner,
            study_name=key,
            directions=["minimize"] * len(asked.objectives),
            load_if_exists=True,
        )
    except (OSError, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        if storage is not None:
            _close(storage)
        raise UserError(f"{file} cannot be used as the search's database: name another file.") from error
    try:
        yield study
    finally:
        _close(storage)


def _close(storage: optuna.storages.RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _prunes(asked: TuneSection) -> bool:
    return asked.objectives == ("perplexity",)


def _sampler(asked: TuneSection, number: int) -> optuna.samplers.BaseSampler:
    seed, startup = (asked.seed * MAX_TRIALS + number) % 2**32, asked.startup_trials
    if len(asked.objectives) == 1:
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)


def _take_up(study: optuna.Study) -> None:
    """Close what a killed process left open, and put what it had tried first in the queue."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.enqueue_trial(trial.params)
        study.tell(trial.number, state=TrialState.FAIL)


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that were killed."""
    known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in known if trial.state != TrialState.FAIL or ERROR in trial.user_attrs]


def _run_trial(bench: Workbench, recipe: PipelineRecipe, study: optuna.Study, number: int) -> Steps[None]:
    asked = recipe.tune
    assert asked is not None
    study.sampler = _sampler(asked, number)
    trial = study.ask()
    values = {path: _suggested(trial, path, span, recipe) for path, span in asked.search.items()}
    try:
        tried = recipe.with_values(values)
        wanted = (recipe.latency or LatencySection()) if "latency" in asked.objectives else None
        tried = tried.model_copy(update={"benchmark": None, "latency": wanted, "tune": None})
        report = yield from _watched(trial, run_pipeline(bench, tried), _prunes(asked))
    except (UserError, pydantic.ValidationError) as error:
        if isinstance(error.__cause__, OSError | SafetensorError):
            raise  # a full disk or a file that is gone is no matter of the settings: the trial stays to be taken up
        trial.set_user_attr(ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
        return
    if report is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, [_objective(report, name) for name in asked.objectives])


def _suggested(trial: Trial, path: str, span: Span, recipe: PipelineRecipe) -> Value:
    if span.choices:
        chosen = trial.suggest_categorical(path, span.choices)
        assert chosen is not None
        return chosen
    assert span.low is not None and span.high is not None
    if recipe.is_whole_number(path):
        return trial.suggest_int(path, int(span.low), int(span.high), log=span.log)
    return trial.suggest_float(path, span.low, span.high, log=span.log)


def _watched(trial: Trial, steps: Steps[PipelineReport], prune: bool) -> Steps[PipelineReport | None]:
    """A trial's pipeline; None if it was given up on the way."""
    known: set[int] = set()
    with closing(steps):
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                report: PipelineReport = stop.value
                return report
            found = _perplexity_at(event) if prune else None
            if found is not None and found[0] not in known:
                known.add(found[0])
                trial.report(found[1], found[0])
                if trial.should_prune():
                    return None
            # The stages of a trial are no results of the search.
            yield replace(event, stage="stage") if event.stage == "run" else event


def _perplexity_at(event: Progress) -> tuple[int, float] | None:
    """Step and perplexity, where an event tells one."""
    seen = event.partial
    if isinstance(seen, StageReport) and seen.name in STEPS:
        return STEPS[seen.name], seen.measured.perplexity
    if isinstance(seen, Moment) and seen.score is not None and seen.score.perplexity is not None:
        part = SCORES * seen.score.step // max(event.total, 1)
        return (part, seen.score.perplexity) if 1 <= part < SCORES else None
    return None


def _objective(report: PipelineReport, name: str) -> float:
    if name == "latency":
        assert report.latency is not None
        return report.latency.decode["compressed"].median_ms
    measured = report.timed_measured  # one model has all the values: the one that was timed
    return measured.stored_bits / 8 if name == "bytes" else measured.perplexity


def _reports(study: optuna.Study, asked: TuneSection) -> tuple[TrialReport, ...]:
    reports = []
    for number, trial in enumerate(_ended(study)):
        complete = trial.state == TrialState.COMPLETE
        values = dict(zip(asked.objectives, trial.values, strict=True)) if complete else {}
        state = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state, "failed")
        error = str(trial.user_attrs.get(ERROR, ""))
        reports.append(TrialReport(number, state, dict(trial.params), values, dict(trial.intermediate_values), error))
    return tuple(reports)


def _sentence(report: TrialReport, done: int, trials: int) -> str:
    if report.state == "failed":
        return f"trial {done} of {trials} failed: {report.error}"
    if report.state == "pruned":
        return f"trial {done} of {trials} was given up on the way"
    values = ", ".join(f"{name} {value:,.6g}" for name, value in report.values.items())
    return f"trial {done} of {trials}: {values}"


def _best(study: optuna.Study) -> tuple[int, ...]:
    """Numbers of the trials that no other one beats in every objective."""
    best = {trial.number for trial in study.best_trials}
    return tuple(number for number, trial in enumerate(_ended(study)) if trial.number in best)


def _value_at(index: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: float(trial.values[index])


@contextmanager
def _low_is_good() -> Iterator[None]:
    """Optuna warns that PED-ANOVA asks what makes a value low; that is what is wanted."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes", UserWarning)
        yield


def _importances(study: optuna.Study, asked: TuneSection) -> dict[str, dict[str, float]]:
    """PED-ANOVA (2304.10255) for each objective."""
    found: dict[str, dict[str, float]] = {}
    complete = [trial for trial in _ended(study) if trial.state == TrialState.COMPLETE]
    for index, name in enumerate(asked.objectives):
        if len({trial.values[index] for trial in complete}) > 1:
            with _low_is_good():
                found[name] = optuna.importance.get_param_importances(study, target=_value_at(index))
    return found


def figures(report: TuneReport, storage: Path | None = None) -> dict[str, str]:
    """Optuna's own figures of a search, title → HTML; the first one carries the library that draws them.

    Args:
        report: of the search.
        storage: its file, if it was not in the cache.
    """
    asked = TuneSection.model_validate(report.recipe["tune"])
    if not any(trial.state == "complete" for trial in report.trials):
        return {}
    drawn: dict[str, Any] = {}
    plots = optuna.visualization
    with opened_study(report.study, study_file(report.study, storage), asked) as study, _low_is_good():
        if len(asked.objectives) > 1:
            drawn["Trials that none beats"] = plots.plot_pareto_front(study, target_names=list(asked.objectives))
        for index, name in enumerate(asked.objectives):
            target = _value_at(index)
            drawn[f"History: {name}"] = plots.plot_optimization_history(study, target=target, target_name=name)
            if name in report.importances:
                importances = plots.plot_param_importances(study, target=target, target_name=name)
                drawn[f"Importance: {name}"] = importances
    return {
        title: figure.update_layout(title=None, height=380, margin=MARGIN).to_html(
            full_html=False, include_plotlyjs=not index, div_id=f"figure-{index}", config={"responsive": True}
        )
        for index, (title, figure) in enumerate(drawn.items())
    }


def check_figures() -> None:
    """Refuse to draw where the library is missing, before any work.

    Raises:
        UserError: if it is.
    """
    if not optuna.visualization.is_available():
        raise UserError("Figures of a search need plotly: install it, or leave --html away.")
