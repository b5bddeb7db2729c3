"""A grid as cells, each with a key of all that its figure depends on, and as work that shares compressed models."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
from dataclasses import dataclass
from functools import cache, lru_cache
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

CALIBRATION = "calibration"
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
        software: versions of this package, torch and transformers that it must run.
        contents: task, or `CALIBRATION`, → fingerprint of the text, recordings or items that it must read.
    """

    recipe: Recipe
    cells: tuple[CellResult, ...]
    sweep: SweepRecipe
    identity: str
    software: tuple[str, ...]
    contents: dict[str, str]

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
    contents: dict[str, str] = {}
    for what in (*tasks, CALIBRATION):
        contents[what] = yield from content_of(sweep, what)
    measured = {task: (contents[task], *_settings(sweep, task)) for task in tasks}
    units: dict[str, Unit] = {}
    left_out: list[str] = []
    for model in dict.fromkeys(sweep.models):
        identity = model_identity(model)
        for recipe in _recipes(sweep, model, left_out):
            settings = dataclasses.asdict(dataclasses.replace(recipe, model_id="", calibration_text=""))
            calibrated = "" if recipe.is_dense else contents[CALIBRATION]
            key = store.content_key("sweep", software(), identity, settings, calibrated)
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
            units.setdefault(key, Unit(recipe, cells, sweep, identity, software(), contents))
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


@cache
def software() -> tuple[str, ...]:
    """What figures are computed by: this package, torch and transformers, whatever device torch was built for."""
    versions = (importlib.metadata.version(name).partition("+")[0] for name in ("torch", "transformers"))
    return code_version(), *versions


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


def content_of(sweep: SweepRecipe, what: str) -> Steps[str]:
    """Fingerprint of what a task is measured on, or of what is calibrated on, as it is found on this machine.

    Args:
        sweep: the recipe.
        what: a task, or `CALIBRATION`.

    Raises:
        UserError: if it cannot be found.
    """
    if what == CALIBRATION:
        return (yield from _calibrated_on(sweep))
    if what == PERPLEXITY:
        return (yield from texts.load_text(sweep.text or texts.DEFAULT_EVALUATION)).source.fingerprint
    if what == WORD_ERRORS:
        return (yield from load_recordings(sweep.audio or DEFAULT_TEST)).source.fingerprint
    return choose_tasks(what, Path(sweep.data).expanduser() if sweep.data else None)[0].fingerprint


def place_of(sweep: SweepRecipe, what: str) -> str:
    """Where `content_of` looks: a name, a file or a folder."""
    return {CALIBRATION: sweep.calibration, PERPLEXITY: sweep.text, WORD_ERRORS: sweep.audio}.get(what, sweep.data)


def _settings(sweep: SweepRecipe, task: str) -> tuple[int | None, ...]:
    """What a task's figure depends on, besides the model and what is measured on."""
    if task == PERPLEXITY:
        return sweep.window, sweep.max_windows
    return () if task == WORD_ERRORS else (sweep.limit,)


def _calibrated_on(sweep: SweepRecipe) -> Steps[str]:
    """Key of what is calibrated on: the built-in text and recordings belong to the code."""
    if not sweep.calibration:
        return f"{texts.DEFAULT_CALIBRATION} {DEFAULT_RECORDINGS}"
    if re.fullmatch(r"[\w-]+", sweep.calibration) is None and Path(sweep.calibration).expanduser().is_dir():
        return (yield from load_recordings(sweep.calibration)).source.fingerprint
    return (yield from texts.load_text(sweep.calibration)).source.fingerprint
