"""What ``bench needs`` reports: plain values, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.types import Environment


@dataclass(frozen=True)
class PhaseCheck:
    """One phase of one model.

    Attributes:
        model_id: the model.
        phase: ``calibrate``, ``gradients``, ``compress`` or ``evaluate``.
        measured_bytes: most resident memory up to the end of the phase.
        predicted_bytes: what the memory model says.
        measured_seconds: time spent.
        predicted_seconds: what the time model says; None for the reference.
    """

    model_id: str
    phase: str
    measured_bytes: int
    predicted_bytes: int
    measured_seconds: float
    predicted_seconds: float | None


@dataclass(frozen=True)
class SizeNeed:
    """What a sweep over a model of some size needs.

    Attributes:
        name: of the shape.
        num_parameters: of it.
        whole_bytes: memory of a worker that holds all weights.
        streamed_bytes: memory of one that holds a block at a time.
        disk_bytes: in the cache, streamed.
        statistics_seconds: once a seed, with this machine's threads.
        cell_seconds: compressing and measuring, once a cell.
        sweep_seconds: all cells, shared by the workers.
    """

    name: str
    num_parameters: int
    whole_bytes: int
    streamed_bytes: int
    disk_bytes: int
    statistics_seconds: float
    cell_seconds: float
    sweep_seconds: float


@dataclass(frozen=True)
class NeedsBenchmark:
    """Memory and time model beside measurements, and what they say of larger models.

    Attributes:
        reference: the model whose times the time model scales.
        checks: phase by phase, the reference first.
        cells: of the sweep in question.
        workers: machines like this one that share it.
        sizes: larger models.
        environment: where it was measured.
    """

    reference: str
    checks: tuple[PhaseCheck, ...]
    cells: int
    workers: int
    sizes: tuple[SizeNeed, ...]
    environment: Environment
