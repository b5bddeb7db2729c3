"""What a sweep says, over seeds: which settings are on the frontier of quality against size; and its files."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet

from compression import runs_csv, store
from compression.analysis import standard_error_range
from compression.recipe import DENSE, Recipe
from compression.session import MAX_POINTS, Measure, RunPoint, Session
from compression.sweeping.pages import frontier_page
from compression.sweeping.plan import Unit
from compression.sweeping.report import CellResult, FrontierPoint, SweepReport

RESULTS_FILE, RUNS_FILE, REPORT_FILE, PAGE_FILE = "results.parquet", "runs.csv", "sweep.json", "frontier.html"
_ARROW = {"str": pyarrow.string(), "float": pyarrow.float64(), "int": pyarrow.int64(), "Metric": pyarrow.string()}
SCHEMA = pyarrow.schema([(f.name, _ARROW[str(f.type).removesuffix(" | None")]) for f in dataclasses.fields(CellResult)])
"""Of the Parquet file: a row a cell, a column a field of `CellResult`."""


def frontier(cells: Sequence[CellResult]) -> tuple[FrontierPoint, ...]:
    """Settings over their seeds, by model and task, smallest first.

    A setting is on the frontier if no other one of the same model and task, the dense model included, is at most as
    large and at least as good, and better in one of the two.
    """
    groups: dict[tuple[str, str], dict[tuple[str, str, float], list[CellResult]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for cell in cells:
        if cell.quality is not None:
            groups[cell.model, cell.task][cell.method, cell.policy, cell.removed_target].append(cell)
    found: list[FrontierPoint] = []
    for (model, task), settings in groups.items():
        points = []
        for (method, policy, removed), runs in settings.items():
            values = [run.quality for run in runs if run.quality is not None]
            points.append(
                FrontierPoint(
                    model=model,
                    task=task,
                    metric=runs[0].metric,
                    method=method,
                    policy=policy,
                    removed_target=removed,
                    seeds=len(values),
                    quality=statistics.fmean(values),
                    spread=statistics.stdev(values) if len(values) > 1 else None,
                    stored_bytes=statistics.fmean(run.stored_bytes for run in runs),
                    change=None,
                    on_frontier=False,
                )
            )
        dense = next((point.quality for point in points if point.method == DENSE), None)
        points = [
            dataclasses.replace(
                point,
                change=None if dense is None else _change(point, dense),
                on_frontier=not any(_beats(other, point) for other in points),
            )
            for point in points
        ]
        found += sorted(points, key=lambda point: (point.stored_bytes, _loss(point)))
    return tuple(found)


def _loss(point: FrontierPoint) -> float:
    """Smaller is better."""
    return -point.quality if point.metric == "accuracy" else point.quality


def _beats(one: FrontierPoint, other: FrontierPoint) -> bool:
    mine, theirs = (one.stored_bytes, _loss(one)), (other.stored_bytes, _loss(other))
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _change(point: FrontierPoint, dense: float) -> float | None:
    if point.metric == "accuracy":
        return point.quality - dense
    return point.quality / dense if dense else None


def run_points(cells: Sequence[CellResult], units: Sequence[Unit]) -> tuple[RunPoint, ...]:
    """The cells that the tab Trade-offs has axes for: perplexities and word error rates."""
    recipes = {cell.key: unit.recipe for unit in units for cell in unit.cells}
    return tuple(
        _run_point(cell, recipes[cell.key]) for cell in cells if cell.quality is not None and cell.metric != "accuracy"
    )


def runs_kept(cells: Sequence[CellResult]) -> int:
    """Number of the cells that the CSV for the tab Trade-offs has."""
    return min(MAX_POINTS, sum(cell.quality is not None and cell.metric != "accuracy" for cell in cells))


def _run_point(cell: CellResult, recipe: Recipe) -> RunPoint:
    assert cell.quality is not None and cell.metric != "accuracy"
    measure = Measure(cell.metric, cell.model, cell.weights_hash, cell.measured_on, cell.fingerprint, cell.convention)
    dense = cell.method == DENSE
    low, high = _range(cell) or (None, None)
    return RunPoint(
        measure,
        cell.quality,
        round(8 * cell.stored_bytes),
        cell.method,
        "" if dense else cell.policy,
        cell.removed_target,
        step="dense" if dense else "compressed",
        quality_low=low,
        quality_high=high,
        recipe=recipe,
        made=cell.made,
    )


def _range(cell: CellResult) -> tuple[float, float] | None:
    """One standard error to both sides: of a perplexity as everywhere, on the log scale."""
    assert cell.quality is not None
    if cell.metric == "perplexity":
        return standard_error_range(cell.quality, cell.stderr)
    return None if cell.stderr is None else (max(cell.quality - cell.stderr, 0.0), cell.quality + cell.stderr)


def write_results(folder: Path, report: SweepReport, units: Sequence[Unit]) -> tuple[Path, ...]:
    """Write Parquet, CSV for the tab Trade-offs, JSON and a page; returns the files.

    The tab has no axis for accuracies, and a browser's session holds `session.MAX_POINTS` runs: of more cells the CSV
    has the first ones (`runs_kept`).
    """
    rows = [dataclasses.asdict(cell) for cell in report.cells]
    files = tuple(folder / name for name in (RESULTS_FILE, RUNS_FILE, REPORT_FILE, PAGE_FILE))
    with store.atomic_file(files[0]) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, SCHEMA), temporary)
    points = run_points(report.cells, units)[:MAX_POINTS]
    with store.atomic_file(files[1]) as temporary:
        temporary.write_text(runs_csv.to_csv(Session().with_points(points)), encoding="utf-8", newline="")
    store.write_json(files[2], report)
    with store.atomic_file(files[3]) as temporary:
        temporary.write_text(frontier_page(report), encoding="utf-8")
    return files
