"""What a sweep found: plain values, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compression.types import Environment

Metric = Literal["perplexity", "wer", "accuracy"]


@dataclass(frozen=True)
class CellResult:
    """One model of the grid, measured in one task.

    Attributes:
        key: SHA-256 of all that the figures depend on: weights, settings, data, code.
        model: as the recipe names it.
        method: compression method; ``dense`` for the original.
        policy: allocation policy, spelled out.
        removed_target: share of the compressible weights to remove, as asked for.
        seed: of the choice of calibration sequences.
        task: ``perplexity``, ``wer`` or a benchmark.
        metric: of `quality`.
        quality: perplexity, or a share: of words that are wrong, of items that are right. None where it failed.
        stderr: its standard error, where it has one.
        chance: accuracy of guessing; 0 where nobody guesses.
        stored_bytes: of the whole model.
        removed_fraction: share of the compressible weights that was removed.
        weights_hash: SHA-256 of the dense 16-bit weights.
        measured_on: name of the text, recordings or items.
        fingerprint: SHA-256 of their content.
        convention: how it was measured, in words.
        compress_seconds: of calibration and compression, also where they were found in a cache.
        measure_seconds: of the measurement.
        node: name of the machine.
        process: number of the process.
        made: date and time, ISO 8601.
        problem: why there is no figure, a sentence; empty where there is one.
    """

    key: str
    model: str
    method: str
    policy: str
    removed_target: float
    seed: int
    task: str
    metric: Metric
    quality: float | None = None
    stderr: float | None = None
    chance: float = 0.0
    stored_bytes: float = 0.0
    removed_fraction: float = 0.0
    weights_hash: str = ""
    measured_on: str = ""
    fingerprint: str = ""
    convention: str = ""
    compress_seconds: float = 0.0
    measure_seconds: float = 0.0
    node: str = ""
    process: int = 0
    made: str = ""
    problem: str = ""


@dataclass(frozen=True)
class FrontierPoint:
    """One setting, over its seeds.

    Attributes:
        model: as the recipe names it.
        task: what it was measured in.
        metric: of `quality`.
        method: compression method.
        policy: allocation policy.
        removed_target: as asked for.
        seeds: number of seeds with a figure.
        quality: mean over them.
        spread: standard deviation over seeds; None with one seed.
        stored_bytes: mean over seeds.
        change: relative to the dense model: quality divided by the dense one's; for accuracy the difference.
        on_frontier: whether no other setting of this model and task is at most as large and better.
    """

    model: str
    task: str
    metric: Metric
    method: str
    policy: str
    removed_target: float
    seeds: int
    quality: float
    spread: float | None
    stored_bytes: float
    change: float | None
    on_frontier: bool


@dataclass(frozen=True)
class SweepReport:
    """A whole sweep.

    Attributes:
        cells: one a cell, in the order of the grid.
        left_out: one sentence for each point of the grid that cannot be.
        found: number of cells that an earlier run had measured.
        engine: ``local`` or ``ray``.
        workers: number of processes that could work at a time.
        lost: number of workers that died before they answered.
        repeated: number of times that a cell was given to another worker, because the one that had it died.
        twice: number of answers about cells that this run had a figure of already; they are not kept.
        seconds: of this run.
        points: settings over seeds, by model and task, smallest first.
        environment: where it was started.
    """

    cells: tuple[CellResult, ...]
    left_out: tuple[str, ...]
    found: int
    engine: str
    workers: int
    lost: int
    repeated: int
    twice: int
    seconds: float
    points: tuple[FrontierPoint, ...]
    environment: Environment

    @property
    def failed(self) -> tuple[CellResult, ...]:
        """The cells without a figure."""
        return tuple(cell for cell in self.cells if cell.problem)
