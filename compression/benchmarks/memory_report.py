"""What ``bench memory`` reports: plain values, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.types import Environment


@dataclass(frozen=True)
class Phase:
    """One phase of the work.

    Attributes:
        name: ``calibrate``, ``gradients``, ``compress``, ``save`` or ``evaluate``.
        measured_bytes: most resident memory of the process up to the end of the phase, as the system says.
        predicted_bytes: what the memory model says; the largest of this and the phases before.
        seconds: time spent.
    """

    name: str
    measured_bytes: int
    predicted_bytes: int
    seconds: float


@dataclass(frozen=True)
class Extrapolation:
    """What the memory model says of another shape."""

    name: str
    num_parameters: int
    predicted_bytes: int
    fits: bool


@dataclass(frozen=True)
class MemoryBenchmark:
    """Measured beside predicted memory.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        streamed: whether the weights stayed in a file.
        imports_bytes: resident memory before anything was loaded.
        copy_bytes: one float32 copy of the model's weights.
        phases: in the order of work.
        limit_bytes: the memory that users have.
        extrapolations: other shapes.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    streamed: bool
    imports_bytes: int
    copy_bytes: int
    phases: tuple[Phase, ...]
    limit_bytes: int
    extrapolations: tuple[Extrapolation, ...]
    environment: Environment

    @property
    def copies(self) -> float:
        """Largest peak without what the imports took, in float32 copies of the model's weights."""
        return (max(phase.measured_bytes for phase in self.phases) - self.imports_bytes) / self.copy_bytes
