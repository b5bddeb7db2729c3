"""What a worker does: measure one model of the grid in its tasks. It runs in a process of its own, on any machine."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from compression import export, store, texts
from compression.analysis import AnyReport
from compression.errors import UserError
from compression.recipe import Recipe
from compression.session import measure_of
from compression.speech.recordings import DEFAULT_TEST
from compression.steps import Steps, finish
from compression.sweeping.plan import CALIBRATION, Unit, content_of, model_identity, place_of, software
from compression.sweeping.recipe import PERPLEXITY, WORD_ERRORS, SweepRecipe
from compression.sweeping.report import CellResult

if TYPE_CHECKING:
    from compression.workbench import Workbench

MAX_CACHE_BYTES = 8 * 2**30
"""Of compressed models that benchmarks read."""


def carry_out(unit: Unit) -> tuple[CellResult, ...]:
    """Measure a unit's cells, here and now; what one of them cannot do is its `problem`."""
    import torch

    torch.set_num_threads(unit.sweep.resources.cpus)
    try:
        _check_here(unit)
    except Exception as error:
        return tuple(_stamped(dataclasses.replace(cell, problem=_said(error))) for cell in unit.cells)
    from compression.workbench import get_workbench

    bench = get_workbench(unit.sweep.stream)
    return tuple(_stamped(_cell(bench, unit, cell)) for cell in unit.cells)


def _check_here(unit: Unit) -> None:
    """Refuse to measure something else than what was asked for."""
    if software() != unit.software:
        raise UserError(
            f"{platform.node()} runs another version of this package, of torch or of transformers than the machine "
            "that asked: install the same ones on all of them."
        )
    if model_identity(unit.recipe.model_id) != unit.identity:
        raise UserError(
            f"{unit.recipe.model_id} holds other files on {platform.node()} than on the machine that asked: give all "
            "of them the same."
        )
    if not unit.recipe.is_dense:
        _check_content(unit, CALIBRATION)


def _check_content(unit: Unit, what: str) -> None:
    """Refuse to measure or calibrate on something else that has the same name here."""
    place = place_of(unit.sweep, what)
    if _content_here(unit.sweep, what, store.stamp(place)) != unit.contents[what]:
        raise UserError(
            f"{place or what} is another one on {platform.node()} than on the machine that asked: give all of them the "
            "same."
        )


@lru_cache(maxsize=64)
def _content_here(sweep: SweepRecipe, what: str, stamp: tuple[Any, ...]) -> str:
    """Asked for again by every unit of a worker; recordings are only read again where the stamp says so."""
    return finish(content_of(sweep, what))


def _cell(bench: Workbench, unit: Unit, cell: CellResult) -> CellResult:
    try:
        _check_content(unit, cell.task)
        return finish(_measured(bench, unit, cell))
    except Exception as error:
        return dataclasses.replace(cell, problem=_said(error))


def _said(error: Exception) -> str:
    """What goes into the report: a failure that nobody foresaw must not take the other thousand cells with it."""
    if isinstance(error, UserError):
        return str(error)
    lines = str(error).splitlines() or [""]
    return f"Unforeseen, please report it: {type(error).__name__}: {lines[0][:300]}"


def _stamped(cell: CellResult) -> CellResult:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return dataclasses.replace(cell, node=platform.node(), process=os.getpid(), made=now)


def _measured(bench: Workbench, unit: Unit, cell: CellResult) -> Steps[CellResult]:
    recipe, sweep = unit.recipe, unit.sweep
    if not recipe.is_dense:
        report = yield from bench.compress(recipe)
        cell = dataclasses.replace(
            cell,
            removed_fraction=report.removed_fraction,
            compress_seconds=report.calibration_seconds + report.compress_seconds,
        )
    began = time.perf_counter()
    if cell.task == PERPLEXITY:
        text = sweep.text or texts.DEFAULT_EVALUATION
        read = yield from bench.evaluate(recipe, text, sweep.window, sweep.max_windows)
        figures = _figures(read, read.perplexity_stderr)
    elif cell.task == WORD_ERRORS:
        heard = yield from bench.evaluate_speech(recipe, sweep.audio or DEFAULT_TEST)  # type: ignore[attr-defined]
        figures = _figures(heard, heard.wer_stderr)
    else:
        figures = yield from _benchmark(bench, recipe, unit, cell)
    return dataclasses.replace(cell, **figures, measure_seconds=time.perf_counter() - began)


def _figures(report: AnyReport, stderr: float | None) -> dict[str, Any]:
    """What a cell keeps of a report."""
    measure = measure_of(report)
    return {
        "quality": report.quality,
        "stderr": stderr,
        "stored_bytes": report.stored_bits / 8,
        "weights_hash": measure.weights_hash,
        "measured_on": measure.measured_on,
        "fingerprint": measure.fingerprint,
        "convention": measure.convention,
    }


def _benchmark(bench: Workbench, recipe: Recipe, unit: Unit, cell: CellResult) -> Steps[dict[str, Any]]:
    """A benchmark takes a folder: the compressed model is written once for all of them, and removed by the cache."""
    model_id, stored_bits = recipe.model_id, None
    if not recipe.is_dense:
        made_of = unit.identity, recipe, unit.software, unit.contents[CALIBRATION]
        folder = store.root() / "sweeps" / store.content_key(*made_of)
        with (yield from store.waiting_lock(f"sweep-{folder.name[:40]}", recipe.model_id)):
            if not export.is_compressed_directory(folder):
                yield from bench.compress_to(recipe, folder)
            store.touch(folder)
        store.prune(folder.parent, MAX_CACHE_BYTES)
        model_id = str(folder)
        stored_bits = (yield from bench.compress(recipe)).stored_bits
    report = yield from bench.benchmark(model_id, cell.task, unit.sweep.data, unit.sweep.limit)
    score = report.tasks[cell.task]
    dense = yield from bench.model_info(recipe.model_id)
    return {
        "quality": score.accuracy,
        "stderr": score.stderr,
        "chance": score.chance,
        "stored_bytes": (report.stored_bits if stored_bits is None else stored_bits) / 8,
        "weights_hash": dense.weights_hash,
        "measured_on": score.source,
        "convention": report.convention,
    }
