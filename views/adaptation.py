"""What the page knows about adaptation without torch: precomputed runs, masks, methods, and one visitor's session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from compression.adaptation.analysis import MethodRow, method_rows
from compression.adaptation.gallery import load_masks, load_methods, load_report, load_scratch, registered_methods
from compression.adaptation.scratch_report import ScratchReport
from compression.adaptation.types import (
    LANGUAGE_MODELLING,
    AdaptMethodInfo,
    AdaptReport,
    AdaptRun,
    GateMap,
    GateMasks,
    SiteMask,
    Stop,
)
from compression.errors import UserError
from compression.models import DEFAULT_ENCODER, ENCODERS

log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parent.parent / "assets" / "adaptation"
"""Precomputed runs, true ones."""
DEFAULT_METHOD = "finegates"
AROUND_TRAINING = 45.0
"""Seconds of what comes with a training: loading, measuring, removing, latency."""

Read = TypeVar("Read")


@lru_cache(maxsize=32)
def _read(reader: Callable[..., Read | None], folder: Path, *name: str) -> Read | None:
    """What a file holds; None where there is none, or other code wrote it and it does not read."""
    try:
        return reader(folder, *name)
    except UserError as error:
        log.warning("precomputed runs are left out: %s", error)
        return None


def methods(task: str) -> tuple[AdaptMethodInfo, ...]:
    """The methods that work for a task, those that remove first.

    They come from the file that lists them, so that torch need not be imported.
    """
    known = _read(load_methods, ASSETS) or registered_methods()
    return tuple(sorted((each for each in known if task in each.tasks), key=lambda each: not each.removes))


def model_of(task: str, page_model: str) -> str:
    """What is adapted: the encoder, or for ``lm`` the page's model."""
    return page_model if task == LANGUAGE_MODELLING else DEFAULT_ENCODER


def encoder() -> tuple[str, str]:
    """Title and note of what is adapted to a classification task."""
    spec = ENCODERS[DEFAULT_ENCODER]
    return spec.title, spec.note


def report_of(task: str, page_model: str) -> AdaptReport | None:
    """The precomputed runs of a task, if they are of the model that would be adapted."""
    report = _read(load_report, ASSETS, task)
    fits = report is not None and (task != LANGUAGE_MODELLING or report.model_id == page_model)
    return report if fits else None


def mask_of(model_id: str, site: str) -> tuple[GateMasks, SiteMask] | None:
    """What FineGates removed from a site of a model, with the run it belongs to."""
    masks = _read(load_masks, ASSETS)
    if masks is None or masks.model_id != model_id:
        return None
    return next(((masks, mask) for mask in masks.masks if mask.site == site), None)


def scratch() -> ScratchReport | None:
    """The precomputed run from scratch."""
    return _read(load_scratch, ASSETS)


class Session:
    """What belongs to one visitor: the request to stop, the chosen layer, the gates shown, the runs made.

    It is the value of a `gr.State`, which is copied for every session and then kept: handlers that run at the same time
    see the same one.

    Attributes:
        stop: the request to stop the running training.
        layer: whose gates are shown in full.
        gates: what the maps show now.
        runs: made by the visitor.
    """

    def __init__(self, gates: tuple[GateMap, ...] = ()) -> None:
        """Begin with the gates of the first picture."""
        self.stop = Stop()
        self.layer = ""
        self.gates = gates
        self.runs: tuple[AdaptRun, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        """A new visitor shares nothing with others."""
        return Session(self.gates)

    def chosen(self, gates: tuple[GateMap, ...]) -> GateMap | None:
        """The layer that is shown in full: the visitor's choice if it is there, else the one that lost most.

        Layers without gates of their own, which lose what others do, are left out.
        """
        gated = with_gates(gates)
        wanted = next((gate for gate in gated if gate.layer == self.layer), None)
        return wanted or max(gated, key=lambda gate: gate.removed_fraction, default=None)

    def own(self, task: str, page_model: str) -> tuple[AdaptRun, ...]:
        """The visitor's runs of a task."""
        model = model_of(task, page_model)
        return tuple(run for run in self.runs if run.settings.task == task and run.settings.model_id == model)


def with_gates(gates: Iterable[GateMap]) -> tuple[GateMap, ...]:
    """The layers that have gates of their own."""
    return tuple(gate for gate in gates if gate.rows or gate.columns)


def rows_of(report: AdaptReport | None, own: Iterable[AdaptRun]) -> tuple[MethodRow, ...]:
    """The rows of the table: precomputed methods, then the visitor's own."""
    return (*method_rows(() if report is None else report.runs), *method_rows(own, mine=True))


def run_of(report: AdaptReport | None, own: tuple[AdaptRun, ...], method: str) -> AdaptRun | None:
    """The run of a method to be shown: the visitor's last one, else the first precomputed one."""
    mine = next((run for run in reversed(own) if run.method == method), None)
    if mine is not None or report is None:
        return mine
    return next((run for run in report.runs if run.method == method), None)
