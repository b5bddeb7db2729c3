"""A grid as cells, each with a key of all that its figure depends on, and as work that shares compressed models."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from compression import models, store, texts
from compression.environment import code_version
from compression.errors import UserError
from compression.recipe import Recipe
from compression.speech.recordings import DEFAULT_RECORDINGS, DEFAULT_TEST, load_recordings
from compression.steps import Steps
from compression.sweeping.recipe import PERPLEXITY, WORD_ERRORS, SweepRecipe
from compression.sweeping.report import CellResult, Metric
from compression.zero_shot.tasks import ALIASES, choose_tasks

METRICS: dict[str, Metric] = {PERPLEXITY: "perplexity", WORD_ERRORS: "wer"}
"""Of the tasks that are no benchmarks."""


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time: one model of the grid and the tasks it is measured in.

    Attributes:
        recipe: resolved; dense for the original.
        cells: one a task that is not done yet, still without figures.
        sweep: how to measure.
        identity: of the model's files, which a worker on another machine must find as well.
        code: version of the package that it must run.
    """

    recipe: Recipe
    cells: tuple[CellResult, ...]
    sweep: SweepRecipe
    identity: str
    code: str

    @property
    def name(self) -> str:
        """For people."""
        recipe = self.recipe
        if recipe.is_dense:
            return f"{recipe.model_id}, dense"
        seed = f", seed {recipe.seed}" if recipe.seed else ""
        return f"{recipe.model_id}, {recipe.method}, {recipe.policy}, {recipe.removed_fraction:.1%} removed{seed}"


def plan(sweep: SweepRecipe) -> Steps[tuple[tuple[Unit, ...], tuple[str, ...]]]:
    """All units of a grid, and a sentence for each point of it that cannot be.

    Points that come to the same model are one: a method that decides by itself has one policy, and what no calibration
    can change has one seed.

    Raises:
        UserError: if a model, text, recording or benchmark cannot be found, or nothing of the grid can be.
    """
    tasks = tuple(dict.fromkeys(ALIASES.get(task, task) for task in sweep.tasks))
    measured = yield from _measured_on(sweep, tasks)
    calibrated = yield from _calibrated_on(sweep)
    units: dict[str, Unit] = {}
    left_out: list[str] = []
    for model in dict.fromkeys(sweep.models):
        identity = model_identity(model)
        for recipe in _recipes(sweep, model, left_out):
            settings = dataclasses.asdict(dataclasses.replace(recipe, model_id="", calibration_text=""))
            key = store.content_key("sweep", code_version(), identity, settings, "" if recipe.is_dense else calibrated)
            cells = tuple(
                CellResult(
                    store.content_key(key, task, measured[task]),
                    model,
                    recipe.method,
                    recipe.policy,
                    recipe.removed_fraction,
                    recipe.seed,
                    task,
                    METRICS.get(task, "accuracy"),
                )
                for task in tasks
            )
            units.setdefault(key, Unit(recipe, cells, sweep, identity, code_version()))
    if all(unit.recipe.is_dense for unit in units.values()) and left_out:
        raise UserError(f"Nothing of this grid can be carried out: {left_out[0]}")
    return tuple(units.values()), tuple(dict.fromkeys(left_out))


def _recipes(sweep: SweepRecipe, model: str, left_out: list[str]) -> list[Recipe]:
    """The dense model, then all that is made of it: one seed after the other, so that statistics are shared early."""
    found = [Recipe(model)]
    for place, seed in enumerate(dict.fromkeys(sweep.seeds)):
        for method in dict.fromkeys(sweep.methods):
            for policy in dict.fromkeys(sweep.policies):
                for budget in dict.fromkeys(sweep.budgets):
                    try:
                        recipe = sweep.recipe(model, method, policy, budget, seed)
                    except UserError as error:
                        left_out.append(str(error))
                        continue
                    if place == 0 or recipe.depends_on_seed():
                        found.append(recipe)
    return found


def model_identity(model_id: str) -> str:
    """A key of a model's files: of a directory their contents, else what they are pinned to.

    Raises:
        UserError: if there is no such model, or its id may mean other files tomorrow.
    """
    if not models.is_pinned(model_id):
        raise UserError(
            f"{model_id} may mean other files tomorrow, or on another machine: name a commit, as owner/name@ and 40 "
            "hexadecimal digits."
        )
    source = models.resolve(model_id).source
    if not isinstance(source, models.DirectorySource):
        return store.content_key("source", source)
    return _directory_identity(Path(source.path), store.stamp(source.path))


@lru_cache(maxsize=64)
def _directory_identity(folder: Path, stamp: tuple[Any, ...]) -> str:
    """Asked for again by every unit of a worker; files are only read again where the stamp says that they changed."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return store.content_key("directory", [(file.name, store.file_hash(file)) for file in files])


def _measured_on(sweep: SweepRecipe, tasks: tuple[str, ...]) -> Steps[dict[str, object]]:
    """Task → what its figure depends on, besides the model."""
    found: dict[str, object] = {}
    if PERPLEXITY in tasks:
        text = yield from texts.load_text(sweep.text or texts.DEFAULT_EVALUATION)
        found[PERPLEXITY] = text.source.fingerprint, sweep.window, sweep.max_windows
    if WORD_ERRORS in tasks:
        found[WORD_ERRORS] = (yield from load_recordings(sweep.audio or DEFAULT_TEST)).source.fingerprint
    benchmarks = [task for task in tasks if task not in METRICS]
    if benchmarks:
        data = Path(sweep.data).expanduser() if sweep.data else None
        for source in choose_tasks(",".join(benchmarks), data):
            found[source.task] = source.fingerprint, sweep.limit
    return found


def _calibrated_on(sweep: SweepRecipe) -> Steps[str]:
    """Key of what is calibrated on: the built-in text and recordings belong to the code."""
    if not sweep.calibration:
        return f"{texts.DEFAULT_CALIBRATION} {DEFAULT_RECORDINGS}"
    if re.fullmatch(r"[\w-]+", sweep.calibration) is None and Path(sweep.calibration).expanduser().is_dir():
        return (yield from load_recordings(sweep.calibration)).source.fingerprint
    return (yield from texts.load_text(sweep.calibration)).source.fingerprint
