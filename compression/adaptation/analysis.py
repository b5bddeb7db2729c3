"""Figure-ready values of adaptation: what the page shows of gates, curves and runs, computed here and drawn there."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compression.adaptation.types import AdaptRun, GateMap, SiteMask, StepPoint

MOST_POINTS = 400
"""So many points of a curve are drawn at most."""
MASK_BLOCKS = 64
"""Blocks along each side of a mask's picture at most."""


@dataclass(frozen=True)
class GateCell:
    """One layer of the gates' map.

    Attributes:
        layer: module name.
        block: its block.
        projection: its projection.
        rows: mean gate of the rows, in [0, 1]; None where rows have no gates.
        columns: the same of the columns.
        open_rows: share of the rows that stay open.
        open_columns: share of the columns that stay open.
        removed_fraction: share of the weights that really leave.
    """

    layer: str
    block: int
    projection: str
    rows: float | None
    columns: float | None
    open_rows: float
    open_columns: float
    removed_fraction: float


@dataclass(frozen=True)
class GateGrid:
    """Gates of all layers, projections × blocks.

    Attributes:
        blocks: indices, ascending.
        projections: in the order the layers come.
        cells: [projection][block]; None where a block has no such layer.
    """

    blocks: tuple[int, ...]
    projections: tuple[str, ...]
    cells: tuple[tuple[GateCell | None, ...], ...]


def gate_grid(gates: Sequence[GateMap]) -> GateGrid:
    """Arrange the gates of a model; with none, the grid is empty."""
    blocks = tuple(sorted({gate.block for gate in gates}))
    projections = tuple(dict.fromkeys(gate.projection for gate in gates))
    found = {(gate.projection, gate.block): _cell(gate) for gate in gates}
    return GateGrid(
        blocks,
        projections,
        tuple(tuple(found.get((projection, block)) for block in blocks) for projection in projections),
    )


def _cell(gate: GateMap) -> GateCell:
    return GateCell(
        layer=gate.layer,
        block=gate.block,
        projection=gate.projection,
        rows=_mean(gate.rows),
        columns=_mean(gate.columns),
        open_rows=gate.open_rows,
        open_columns=gate.open_columns,
        removed_fraction=gate.removed_fraction,
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def thinned(curve: Sequence[StepPoint], most: int = MOST_POINTS) -> tuple[StepPoint, ...]:
    """At most so many points, evenly chosen; first and last are among them.

    Raises:
        ValueError: for fewer than two points.
    """
    if most < 2:
        raise ValueError(f"expected at least 2 points, got {most}")
    if len(curve) <= most:
        return tuple(curve)
    return tuple(curve[index * (len(curve) - 1) // (most - 1)] for index in range(most))


@dataclass(frozen=True)
class DescentPoint:
    """A step beside the Polyak–Łojasiewicz condition.

    Attributes:
        step: steps taken.
        gradient: squared gradient norm.
        gap: loss minus the smallest loss seen, nats.
    """

    step: int
    gradient: float
    gap: float


@dataclass(frozen=True)
class Descent:
    """A trace of training as the Polyak–Łojasiewicz condition looks at it.

    A loss L fulfils the condition with μ > 0 if L − L* ≤ ‖∇L‖² ÷ (2μ) everywhere. Here L* is replaced by the smallest
    loss seen, and loss and gradient are those of batches. The largest μ that no point contradicts is the smallest
    ‖∇L‖² ÷ (2 gap) of the points; a larger one is contradicted, and no finite trace proves a smaller one.

    Attributes:
        points: those with a positive gap and gradient, in order.
        least_loss: the smallest loss seen, nats.
        mu: the largest μ that no point contradicts; None without points.
        worst: the point that sets it.
    """

    points: tuple[DescentPoint, ...]
    least_loss: float
    mu: float | None
    worst: DescentPoint | None

    def bound(self, gradient: float) -> float:
        """The gap that the condition with `mu` allows at a squared gradient norm.

        Raises:
            ValueError: without points.
        """
        if self.mu is None:
            raise ValueError("a trace without points has no bound")
        return gradient / (2 * self.mu)


def descent(curve: Sequence[StepPoint]) -> Descent | None:
    """The trace of a curve; None for an empty one.

    Source: Karimi, Nutini and Schmidt, 2016 (arXiv 1608.04636), inequality 3.
    """
    if not curve:
        return None
    least = min(point.loss for point in curve)
    points = tuple(
        DescentPoint(point.step, point.gradient_norm_squared, point.loss - least)
        for point in curve
        if point.loss > least and point.gradient_norm_squared > 0
    )
    worst = min(points, key=lambda point: point.gradient / point.gap, default=None)
    return Descent(points, least, None if worst is None else worst.gradient / (2 * worst.gap), worst)


@dataclass(frozen=True)
class Spread:
    """A figure over seeds: mean, smallest and largest, and the standard deviation where there are two or more."""

    mean: float
    low: float
    high: float
    deviation: float | None


@dataclass(frozen=True)
class MethodRow:
    """Runs of one method at one target over seeds, as a row of the table.

    Attributes:
        method: name.
        target_sparsity: what was asked for; None for methods that remove nothing.
        seeds: of the runs, ascending.
        trainable_parameters: head and pooler left out.
        accuracy: None for ``lm``.
        f1: None for ``lm``.
        perplexity: None for the other tasks.
        removed_fraction: hard count.
        soft_sparsity: what the regulariser saw; None without.
        latency_ratio: deployed ÷ dense, batch 1; None if not measured.
        train_seconds: mean.
        peak_memory_bytes: largest.
        budget_minutes: training time that was allowed.
        mine: whether the runs were made by the visitor.
        warning: a sentence that belongs to the figures.
    """

    method: str
    target_sparsity: float | None
    seeds: tuple[int, ...]
    trainable_parameters: int
    accuracy: Spread | None
    f1: Spread | None
    perplexity: Spread | None
    removed_fraction: Spread
    soft_sparsity: Spread | None
    latency_ratio: Spread | None
    train_seconds: float
    peak_memory_bytes: int
    budget_minutes: float
    mine: bool
    warning: str | None

    @property
    def quality(self) -> Spread | None:
        """Accuracy, or for ``lm`` perplexity."""
        return self.accuracy if self.perplexity is None else self.perplexity


def method_rows(runs: Iterable[AdaptRun], mine: bool = False) -> tuple[MethodRow, ...]:
    """Runs that differ in nothing but the seed become one row, in the order of the first of each.

    Args:
        runs: of one task.
        mine: whether the visitor made them.
    """
    groups: dict[tuple[object, ...], dict[int, AdaptRun]] = {}
    for run in runs:
        asked = run.settings
        what = run.method, run.target_sparsity, asked.model_id, asked.max_minutes, asked.steps, asked.settings
        groups.setdefault(what, {})[run.seed] = run  # a repeated seed counts once, as it was measured last
    return tuple(_row([group[seed] for seed in sorted(group)], mine) for group in groups.values())


def _row(runs: Sequence[AdaptRun], mine: bool) -> MethodRow:
    first = runs[0]
    return MethodRow(
        method=first.method,
        target_sparsity=first.target_sparsity,
        seeds=tuple(run.seed for run in runs),
        trainable_parameters=first.trainable_parameters,
        accuracy=_spread([run.accuracy for run in runs]),
        f1=_spread([run.f1 for run in runs]),
        perplexity=_spread([run.perplexity for run in runs]),
        removed_fraction=spread_of([run.removed_fraction for run in runs]),
        soft_sparsity=_spread([run.soft_sparsity for run in runs]),
        latency_ratio=_spread([run.latency_ratio for run in runs]),
        train_seconds=statistics.fmean(run.train_seconds for run in runs),
        peak_memory_bytes=max(run.peak_memory_bytes for run in runs),
        budget_minutes=first.settings.max_minutes,
        mine=mine,
        warning=first.warning,
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread_of(known) if known else None


def spread_of(values: Sequence[float]) -> Spread:
    """A figure over seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), min(values), max(values), deviation)


def gate_groups(values: Sequence[float]) -> tuple[float, ...]:
    """Where groups of rows or columns stand in their layer: the middle of each, in [0, 1]."""
    return tuple((index + 0.5) / len(values) for index in range(len(values)))


def kept_shares(ranges: Sequence[tuple[int, int]], length: int, blocks: int) -> tuple[float, ...]:
    """Share of each block of indices that stays.

    Args:
        ranges: what stays, see `SiteMask`.
        length: number of indices.
        blocks: so many, as equal as can be.
    """
    edges = [length * block // blocks for block in range(blocks + 1)]
    return tuple(
        sum(max(0, min(stop, high) - max(start, low)) for start, stop in ranges) / (high - low)
        for low, high in zip(edges, edges[1:], strict=False)
    )


@dataclass(frozen=True)
class MaskBlocks:
    """A mask averaged to blocks.

    Attributes:
        density: [block of rows][block of columns], share of the weights that stay.
        rows: share of the rows that stay, block by block.
        columns: share of the columns that stay, block by block.
        kept_rows: rows that stay.
        kept_columns: columns that stay.
    """

    density: tuple[tuple[float, ...], ...]
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    kept_rows: int
    kept_columns: int


def mask_blocks(mask: SiteMask, most: int = MASK_BLOCKS) -> MaskBlocks:
    """A mask as its picture shows it.

    A weight stays where its row and its column stay, so that a block's density is the product of both shares.
    """
    rows = kept_shares(mask.kept_rows, mask.shape[0], min(most, mask.shape[0]))
    columns = kept_shares(mask.kept_columns, mask.shape[1], min(most, mask.shape[1]))
    return MaskBlocks(
        density=tuple(tuple(row * column for column in columns) for row in rows),
        rows=rows,
        columns=columns,
        kept_rows=sum(stop - start for start, stop in mask.kept_rows),
        kept_columns=sum(stop - start for start, stop in mask.kept_columns),
    )
