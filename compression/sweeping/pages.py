"""The frontier of a sweep as a table, and as a page that can be given away."""

from __future__ import annotations

from collections.abc import Sequence

from compression.deployment.markup import Bar, bars, folded, heading, page, paragraph, table
from compression.recipe import DENSE
from compression.sweeping.report import CellResult, FrontierPoint, SweepReport

Cells = list[tuple[str, ...]]


def frontier_cells(points: Sequence[FrontierPoint], all_of_them: bool = False) -> Cells:
    """A row for each setting on the frontier, or for each setting, header first."""
    cells: Cells = [("model", "task", "setting", "removed", "stored, MB", "quality", "against dense", "frontier")]
    for point in points:
        if point.on_frontier or all_of_them:
            setting = point.method if point.method == DENSE else f"{point.method}, {point.policy}"
            size = f"{point.removed_target:.1%}", f"{point.stored_bytes / 1e6:.1f}"
            changed = _changed(point)
            mark = "yes" if point.on_frontier else ""
            cells.append((point.model, point.task, setting, *size, quality_text(point), changed, mark))
    return cells


def quality_text(point: FrontierPoint) -> str:
    """Perplexity, or a share in per cent; with its standard deviation over seeds."""
    factor, digits, unit = (1, 2, "") if point.metric == "perplexity" else (100, 1, " %")
    spread = "" if point.spread is None else f" ± {factor * point.spread:.{digits}f}"
    return f"{factor * point.quality:.{digits}f}{spread}{unit}"


def _changed(point: FrontierPoint) -> str:
    if point.change is None or point.method == DENSE:
        return ""
    return f"{100 * point.change:+.1f} points" if point.metric == "accuracy" else f"× {point.change:.3f}"


def frontier_page(report: SweepReport) -> str:
    """One HTML document."""
    parts = [
        paragraph(
            f"{len(report.cells)} cells, {len(report.failed)} of them without a figure. Quality: perplexity, or per "
            "cent; ±: standard deviation over calibration seeds. On the frontier: no other setting is at most as large "
            "and better."
        )
    ]
    for model, task in dict.fromkeys((point.model, point.task) for point in report.points):
        points = [point for point in report.points if (point.model, point.task) == (model, task)]
        shown = [point for point in points if point.on_frontier]
        factor = 1 if points[0].metric == "perplexity" else 100
        what = {"perplexity": "Perplexity", "wer": "Word error rate, %", "accuracy": "Accuracy, %"}[points[0].metric]
        parts += [
            heading(f"{model}: {task}"),
            bars(
                f"{what}, of the settings on the frontier, smallest first; lines: standard deviation over seeds",
                [
                    Bar(
                        f"{point.stored_bytes / 1e6:.1f} MB: {point.method}",
                        factor * point.quality,
                        None if point.spread is None else factor * point.spread,
                        second=point.method != DENSE,
                    )
                    for point in shown
                ],
            ),
            table(frontier_cells(points, all_of_them=True)),
        ]
    problems = [*report.left_out, *(f"{_label(cell)}: {cell.problem}" for cell in report.failed)]
    if problems:
        parts += [heading("Without a figure"), folded(f"{len(problems)} sentences", "\n".join(problems))]
    environment = report.environment
    parts += [
        heading("How it was made"),
        paragraph(
            f"{report.engine}, {report.workers} workers, torch {environment.torch}, commit {environment.commit}."
        ),
    ]
    return page("Sweep: quality against size", parts)


def _label(cell: CellResult) -> str:
    return f"{cell.model}, {cell.method}, {cell.policy}, {cell.removed_target:.1%}, seed {cell.seed}, {cell.task}"
