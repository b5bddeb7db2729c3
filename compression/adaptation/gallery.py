"""Precomputed, true runs of adaptation for the first paint: read without torch.

A folder holds ``TASK.json`` (an `AdaptReport`) for each task that was run, ``lm-gates.json`` (`GateMasks`: what
FineGates removed from the language model), ``from-scratch.json`` (`ScratchReport`: a small model trained with gates and
its twin without) and ``methods.json`` (the registered methods, as they describe themselves).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from compression import store
from compression.adaptation.scratch_report import ScratchReport
from compression.adaptation.types import TASKS, AdaptMethodInfo, AdaptReport, GateMasks

METHODS_FILE = "methods.json"
MASKS_FILE = "lm-gates.json"
SCRATCH_FILE = "from-scratch.json"


def registered_methods() -> tuple[AdaptMethodInfo, ...]:
    """What the engine has now; imports torch."""
    from compression.adaptation.base import METHODS, describe

    import_module("compression.adaptation.methods")  # registers every method
    return tuple(map(describe, METHODS.values()))


def save_methods(folder: Path) -> None:
    """Write what the engine has now."""
    store.write_json(folder / METHODS_FILE, registered_methods())


def load_methods(folder: Path) -> tuple[AdaptMethodInfo, ...] | None:
    """What `save_methods` wrote; None where there is no such file.

    Raises:
        UserError: if it is damaged.
    """
    file = folder / METHODS_FILE
    return store.read_json(file, tuple[AdaptMethodInfo, ...]) if file.is_file() else None


def load_report(folder: Path, task: str) -> AdaptReport | None:
    """The runs of a task; None where there are none.

    Raises:
        ValueError: for an unknown task, which would be a name outside of the folder.
        UserError: if the file is damaged.
    """
    if task not in TASKS:
        raise ValueError(f"expected one of {', '.join(TASKS)}, got {task!r}")
    file = folder / f"{task}.json"
    return store.read_json(file, AdaptReport) if file.is_file() else None


def load_masks(folder: Path) -> GateMasks | None:
    """What FineGates removed from the language model; None where no run is stored.

    Raises:
        UserError: if the file is damaged.
    """
    file = folder / MASKS_FILE
    return store.read_json(file, GateMasks) if file.is_file() else None


def load_scratch(folder: Path) -> ScratchReport | None:
    """A model trained from scratch with gates, and its twin; None where no run is stored.

    Raises:
        UserError: if the file is damaged.
    """
    file = folder / SCRATCH_FILE
    return store.read_json(file, ScratchReport) if file.is_file() else None
