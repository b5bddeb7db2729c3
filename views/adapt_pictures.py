"""The pictures of the tab Adapt: one run (gates, curves, descent, latency), and all runs beside each other."""

from __future__ import annotations

from typing import Any

import gradio as gr

from compression.adaptation.analysis import descent, gate_grid
from compression.adaptation.scratch_report import ScratchReport
from compression.adaptation.types import AdaptReport, AdaptRun, AdaptSettings, GateMap, Moment
from views.adaptation import Session, rows_of, with_gates
from views.figures import adaptation as figures
from views.figures import gates as gate_figures
from views.figures.adaptation import Trace
from views.figures.scratch import TWINS_HEIGHT, twins_view
from views.texts import Words
from views.widgets import ChartPanel, Table, View, data_table, table_value


class RunPictures:
    """Everything that shows one run. Build it inside the layout."""

    def __init__(self, words: Words, run: AdaptRun | None, report: AdaptReport | None, nothing: str) -> None:
        """Lay it out.

        Args:
            words: the language.
            run: what it shows at first, if anything.
            report: where the run is from.
            nothing: what is said where there is no run.
        """
        self.words = words
        gates = () if run is None else run.gates
        views = {} if run is None else self._views(gates, _trace_of(run, report))
        self.caption = gr.Markdown(
            nothing if run is None else self._caption(run, report, False),
            elem_classes=["hint"],
            elem_id="adapt-caption",
        )
        hint = words("adapt.gates_hint")
        with gr.Row(equal_height=False):
            self.maps = {
                side: ChartPanel(
                    words,
                    words(f"adapt.gates_{side}"),
                    gate_figures.MAP_HEIGHT,
                    views.get(side),
                    f"adapt-{side}",
                    hint,
                    titled=True,
                )
                for side in gate_figures.SIDES
            }
        chosen = Session().chosen(gates)
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('adapt.layer_title')}", elem_classes=["figure-title"])
            self.layer = gr.Dropdown(
                _layers(gates),
                value=None if chosen is None else chosen.layer,
                label=words("adapt.layer"),
                elem_id="adapt-layer-choice",
                min_width=260,
            )
            self.layer_panel = ChartPanel(
                words,
                words("adapt.layer_title"),
                gate_figures.LAYER_HEIGHT,
                None if chosen is None else gate_figures.layer_view(chosen, words),
                "adapt-layer",
                hint,
                inside=True,
            )
        with gr.Row(equal_height=False):
            self.curves = self._panel("curves", figures.CURVES_HEIGHT, views.get("curves"))
            self.descent = self._panel("descent", figures.DESCENT_HEIGHT, views.get("descent"))
        latency = None if run is None else figures.latency_view(run, words)
        self.latency = self._panel("latency", figures.LATENCY_HEIGHT, latency)

    def _panel(self, name: str, height: int, view: View | None) -> ChartPanel:
        words = self.words
        return ChartPanel(
            words, words(f"adapt.{name}_title"), height, view, f"adapt-{name}", words(f"adapt.{name}_hint")
        )

    @property
    def outputs(self) -> list[Any]:
        """Components that `shown`, `live` and `cleared` feed, in order."""
        panels = [*self.maps.values(), self.layer_panel, self.curves, self.descent, self.latency]
        return [self.caption, self.layer, *(output for panel in panels for output in panel.outputs)]

    def shown(self, session: Session, run: AdaptRun, report: AdaptReport | None, mine: bool) -> list[Any]:
        """A finished run.

        Args:
            session: the visitor's.
            run: the run.
            report: what is known of its task.
            mine: whether the visitor made it.
        """
        latency = figures.latency_view(run, self.words)
        return [
            self._caption(run, report, mine),
            *self._gates_and_curves(session, run.gates, _trace_of(run, report)),
            *_updates(self.latency, latency),
        ]

    def live(self, session: Session, trace: Trace, moment: Moment, settings: AdaptSettings) -> list[Any]:
        """A run that goes on: its gates now, its curves so far."""
        words = self.words
        caption = words(
            "adapt.caption_live",
            method=words.name("method", settings.method),
            task=words(f"adapt.task.{settings.task}"),
            seed=settings.seed,
        )
        return [caption, *self._gates_and_curves(session, moment.gates, trace), *self.latency.cleared()]

    def cleared(self, session: Session, nothing: str) -> list[Any]:
        """No run, and why."""
        session.gates = ()
        panels = [*self.maps.values(), self.layer_panel, self.curves, self.descent, self.latency]
        empty = [value for panel in panels for value in panel.cleared()]
        return [nothing, gr.update(choices=[], value=None), *empty]

    def layer_updates(self, session: Session) -> list[Any]:
        """The chosen layer of what the maps show."""
        chosen = session.chosen(session.gates)
        return _updates(self.layer_panel, None if chosen is None else gate_figures.layer_view(chosen, self.words))

    def _gates_and_curves(self, session: Session, gates: tuple[GateMap, ...], trace: Trace) -> list[Any]:
        """Values from the choice of a layer to the descent."""
        known = session.gates
        session.gates = gates
        chosen = session.chosen(gates)
        layer = gr.skip()
        if _layers(known) != _layers(gates) or (chosen is not None and session.layer != chosen.layer):
            session.layer = "" if chosen is None else chosen.layer
            layer = gr.update(choices=_layers(gates), value=session.layer or None)
        views = self._views(gates, trace)
        panels = {**self.maps, "curves": self.curves, "descent": self.descent}
        drawn = {name: _updates(panel, views.get(name)) for name, panel in panels.items()}
        return [
            layer,
            *(value for side in self.maps for value in drawn[side]),
            *self.layer_updates(session),
            *drawn["curves"],
            *drawn["descent"],
        ]

    def _views(self, gates: tuple[GateMap, ...], trace: Trace) -> dict[str, View]:
        """What can be drawn, by panel."""
        views: dict[str, View] = {}
        if gates:
            grid = gate_grid(gates)
            for side in gate_figures.SIDES:
                there = any(getattr(cell, side) is not None for row in grid.cells for cell in row if cell is not None)
                # Where a method has no gates on a side, the map says what leaves all the same.
                draw = gate_figures.map_view if there else gate_figures.removed_view
                views[side] = draw(grid, side, self.words)
        seen = descent(trace.curve)
        if trace.curve:
            views["curves"] = figures.curves_view(trace, self.words)
        fallen = None if seen is None else figures.descent_view(seen, trace.finished, self.words)
        if fallen is not None:
            views["descent"] = fallen
        return views

    def _caption(self, run: AdaptRun, report: AdaptReport | None, mine: bool) -> str:
        """Which run this is, on what it was trained and measured, where it was made, and what is to be minded."""
        words, made = self.words, run.environment
        said = [
            words(
                "adapt.caption_mine" if mine else "adapt.caption",
                method=words.name("method", run.method),
                task=words(f"adapt.task.{run.settings.task}"),
                model=f"`{run.settings.model_id}`",
                seed=run.seed,
                steps=words.number(run.steps, 0),
                seconds=words.duration(run.train_seconds),
            )
        ]
        if report is not None:
            said.append(
                words(
                    "adapt.caption_data",
                    train=words.sentence(report.train_source),
                    evaluation=words.sentence(report.evaluation_source),
                )
            )
        if made.date:
            said.append(
                words(
                    "adapt.provenance",
                    date=made.date[:10],
                    commit=made.commit[:10],
                    processor=made.processor,
                    threads=made.threads,
                )
            )
        remarks = [run.stopped, *run.notes, run.warning or ""]
        said += [words.sentence(remark) for remark in dict.fromkeys(remarks) if remark]
        return " ".join(said)


class Overview:
    """All runs of a task: quality against what was removed, and the table."""

    def __init__(self, words: Words, report: AdaptReport | None, task: str) -> None:
        """Lay it out.

        Args:
            words: the language.
            report: the precomputed runs of the first task, if there are any.
            task: the first task.
        """
        self.words = words
        view = self._view(report, (), None)
        self.points = ChartPanel(
            words, words("adapt.points_title"), figures.POINTS_HEIGHT, view, "adapt-points", words("adapt.points_hint")
        )
        with gr.Column(elem_classes=["sheet"], elem_id="adapt-table"):
            gr.Markdown(f"## {words('adapt.table_title')}", elem_classes=["figure-title"])
            said = self._said(report, (), task)
            self.missing = gr.Markdown(said, elem_classes=["hint"], elem_id="adapt-missing")
            self.table = data_table(None if view is None else view.table, words)

    @property
    def outputs(self) -> list[Any]:
        """Components that `updates` feeds, in order."""
        return [*self.points.outputs, self.missing, self.table]

    def updates(
        self, report: AdaptReport | None, own: tuple[AdaptRun, ...], task: str, majority: float | None = None
    ) -> list[Any]:
        """New values for `outputs`.

        Args:
            report: precomputed runs, if there are any.
            own: the visitor's.
            task: whose they are.
            majority: accuracy of the most frequent class, where no report says it.
        """
        view = self._view(report, own, majority)
        table: Table | None = None if view is None else view.table
        return [*_updates(self.points, view), self._said(report, own, task), table_value(table)]

    def _view(self, report: AdaptReport | None, own: tuple[AdaptRun, ...], majority: float | None) -> View | None:
        rows = rows_of(report, own)
        if not any(row.quality is not None for row in rows):
            return None
        return figures.points_view(rows, majority if report is None else report.majority, self.words)

    def _said(self, report: AdaptReport | None, own: tuple[AdaptRun, ...], task: str) -> str:
        """What the table means, or that none came with the app; and what its methods must be said with."""
        words = self.words
        hint = words("adapt.table_hint")
        if report is None:
            hint = words("adapt.no_report", task=words(f"adapt.task.{task}"))
        return "\n\n".join((hint, *figures.warnings(rows_of(report, own), words)))


def _updates(panel: ChartPanel, view: View | None) -> list[Any]:
    return panel.cleared() if view is None else panel.updates(view)


def _layers(gates: tuple[GateMap, ...]) -> list[str]:
    return [gate.layer for gate in with_gates(gates)]


def _trace_of(run: AdaptRun, report: AdaptReport | None) -> Trace:
    majority = None if report is None else report.majority
    scores = run.scores if run.score in run.scores else (*run.scores, run.score)
    return Trace(run.curve, scores, run.target_sparsity, majority, True, (run.removed_fraction, run.soft_sparsity))


def scratch_pictures(report: ScratchReport | None, words: Words) -> None:
    """A model trained from scratch with gates, beside its twin: a sheet that does not change; nothing without a run."""
    if report is None:
        return
    with gr.Row(equal_height=False):
        view = twins_view(report, words)
        ChartPanel(words, words("adapt.scratch_title"), TWINS_HEIGHT, view, "adapt-scratch")
        fallen = descent(report.gated.curve)
        shown = None if fallen is None else figures.descent_view(fallen, True, words)
        title = words("adapt.scratch_descent_title")
        ChartPanel(words, title, figures.DESCENT_HEIGHT, shown, "adapt-scratch-descent")
