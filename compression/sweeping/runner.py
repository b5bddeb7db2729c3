"""A sweep from its recipe to its files: what is done is found again, what is not is given to workers.

Design:
    - A cell has a key of all that its figure depends on, and a file under that name, written whole or not at all. A
      sweep that was killed, or was asked for more, measures the cells that have no file yet; a cell without a figure is
      tried again.
    - Workers return what they found, and this process alone writes: nodes need not share a disk.
    - Whatever a worker was given leaves a line in the log, also where the worker died.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

import filelock

from compression import hub, models, store
from compression.environment import describe_environment
from compression.errors import UserError
from compression.sites import shape_of_config
from compression.steps import Steps
from compression.sweeping.engines import Engine, Local, OnRay, local_workers
from compression.sweeping.frontier import frontier, write_results
from compression.sweeping.log import Log
from compression.sweeping.needs import SPARE, bytes_needed
from compression.sweeping.plan import Unit, plan
from compression.sweeping.recipe import SweepRecipe
from compression.sweeping.report import CellResult, SweepReport
from compression.types import Progress

CELLS, RECIPE_FILE, LOCK_FILE = "cells", "recipe.json", ".lock"
ENGINES = (Local.name, OnRay.name)


def sweep(
    recipe: SweepRecipe, out: Path, engine: str = Local.name, workers: int | None = None, address: str = ""
) -> Steps[SweepReport]:
    """Measure all cells of a grid that are not there yet, and write the results.

    Args:
        recipe: a checked one.
        out: folder of the sweep; cells that it holds are not measured again.
        engine: one of `ENGINES`.
        workers: processes of the local engine; None for as many as cores and memory allow.
        address: of a Ray cluster, ``HOST:PORT``; empty for one on this machine.

    Yields:
        Among others, an event of stage ``run`` after each cell, whose `partial` is its `CellResult`.

    Raises:
        UserError: if something of the recipe cannot be found, the folder is no place for a sweep, or there is no such
            engine; what was measured before is kept.
    """
    began = time.perf_counter()
    if engine not in ENGINES:
        raise UserError(f"There is no engine {engine!r}: expected one of {', '.join(ENGINES)}.")
    if workers is not None and not 1 <= workers <= 1024:
        raise UserError(f"From 1 to 1024 workers can share a machine, but {workers} was given.")
    if engine == OnRay.name and workers is not None:
        raise UserError("--workers is for --engine local: on Ray, the nodes and the recipe's resources say how many.")
    if engine == Local.name and address:
        raise UserError("--address is for --engine ray: add it, or leave --address away.")
    units, left_out = yield from plan(recipe)
    keys = [cell.key for unit in units for cell in unit.cells]
    with _only_one(out, recipe), contextlib.closing(Log(out)) as log:
        done = {key: known for key in keys if (known := store.cached_json(_file(out, key), CellResult))}
        done = {key: cell for key, cell in done.items() if not cell.problem}
        found = len(done)
        left = [_without(unit, done) for unit in units]
        left = [unit for unit in left if unit.cells]
        yield Progress("run", found, len(keys), f"{len(keys)} cells, {found} of them measured before")
        lost = used = repeated = twice = 0
        if left:
            memory = yield from _memory(recipe)
            place = _engine(engine, recipe, workers, memory, address)
            used = min(place.workers, len(left))
            answers = place.carry_out(left)
            try:
                for answer in answers:
                    if answer is None:
                        yield Progress("wait", len(done), len(keys), "waiting for the workers")
                        continue
                    if not answer.cells:
                        for cell in answer.unit.cells:
                            log.add(cell, answer.attempt, lost=True)
                            repeated += answer.attempt <= recipe.resources.retries
                    for cell in answer.cells:
                        log.add(cell, answer.attempt)
                        if cell.key in done:
                            twice += 1
                            continue
                        store.write_cached(_file(out, cell.key), cell)
                        done[cell.key] = cell
                        yield Progress("run", len(done), len(keys), f"{answer.unit.name}: {_said(cell)}", cell)
            finally:
                answers.close()
            lost = place.lost
        cells = tuple(done[key] for key in keys)
        report = SweepReport(
            cells,
            left_out,
            found,
            engine,
            used,
            lost,
            repeated,
            twice,
            time.perf_counter() - began,
            frontier(cells),
            describe_environment(),
        )
        write_results(out, report, units)
    return report


def _file(out: Path, key: str) -> Path:
    return out / CELLS / f"{key}.json"


def _only_one(out: Path, recipe: SweepRecipe) -> filelock.BaseFileLock:
    """Hold the folder, whatever cache a process has: two sweeps in it would measure the same cells."""
    store.check_name(out)
    try:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is a file: name a folder for the sweep.")
        if out.is_dir() and any(out.iterdir()) and not (out / CELLS).is_dir():
            raise UserError(f"{out} holds something else than a sweep: name another folder.")
        # First of all, as a sweep is known by it: whenever this process is killed, the next one finds its way.
        (out / CELLS).mkdir(parents=True, exist_ok=True)
        # Not thread-local: the generator that holds it may be resumed, or closed, in another thread.
        held = filelock.FileLock(out / CELLS / LOCK_FILE, thread_local=False)
        held.acquire(timeout=0)
    except filelock.Timeout as error:
        raise UserError(f"Another sweep is at work in {out}: wait for it, or name another folder.") from error
    except OSError as error:
        raise UserError(
            f"{str(out)[:200]} cannot be the folder of a sweep ({error.strerror}): name another one."
        ) from error
    try:
        store.write_json(out / RECIPE_FILE, recipe.model_dump(mode="json"))
    except BaseException:
        held.release()
        raise
    return held


def _without(unit: Unit, done: dict[str, CellResult]) -> Unit:
    return dataclasses.replace(unit, cells=tuple(cell for cell in unit.cells if cell.key not in done))


def _said(cell: CellResult) -> str:
    if cell.quality is None:
        return f"{cell.task}: {cell.problem}"
    return f"{cell.task} {cell.quality:.2f}" if cell.metric == "perplexity" else f"{cell.task} {cell.quality:.1%}"


def _memory(recipe: SweepRecipe) -> Steps[dict[str, int]]:
    """Model → bytes that a worker with it is given; files that lie in packages are brought here before workers ask."""
    if recipe.resources.memory_gb is not None:
        return dict.fromkeys(recipe.models, round(recipe.resources.memory_gb * 1e9))
    needed = {}
    for model_id in dict.fromkeys(recipe.models):
        path = yield from _with_config(models.resolve(model_id))
        if path is not None:
            models.check_config(model_id, path)
            needed[model_id] = round(SPARE * bytes_needed(shape_of_config(models.load_config(model_id, path)), recipe))
    return needed


def _with_config(spec: models.ModelSpec) -> Steps[Path | None]:
    """A folder with a model's config.json, or None without the Hub.

    Of a model on the Hub nothing else is fetched here: a cluster's workers do that where they are.
    """
    source = spec.source
    if not isinstance(source, models.HubSource):
        return (yield from models.fetch(spec))
    if local := hub.cached(source.repo_id, source.revision):
        return local[0]
    try:
        commit, files = hub.list_model_files(source.repo_id, source.revision)
        wanted = tuple(file for file in files if file.path == "config.json")
        return (yield from hub.fetch_files(source.repo_id, commit, wanted, apart=True))
    except hub.HubUnreachableError:
        yield Progress("wait", 0, 1, f"The Hub does not answer: how much memory {spec.id} takes is not known")
        return None


def _engine(name: str, recipe: SweepRecipe, workers: int | None, memory: dict[str, int], address: str) -> Engine:
    if name == OnRay.name:
        return OnRay(memory, address)
    return Local(workers or local_workers(recipe.resources.cpus, max(memory.values(), default=0)))
