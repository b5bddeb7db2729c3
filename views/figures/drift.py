"""Activation drift: the relative error of the hidden state behind every block, from the first to the last."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from views.figures.common import FEW_BLOCKS, finish
from views.texts import Words
from views.theme import BLUE, NEUTRAL, VERMILLION
from views.widgets import Table, View

if TYPE_CHECKING:
    from compression.evaluation.changes_report import DriftReport, DriftStage, DriftVerdict

HEIGHT = 360
TICKS = 8
"""About so many blocks of a deep stack are named on the axis."""


def view(report: DriftReport, words: Words) -> View:
    """The curves, their sentences and their table."""
    return View(_figure(report, words), _summary(report, words), _table(report, words))


def _stacks(report: DriftReport) -> list[list[DriftStage]]:
    return [list(stages) for _, stages in groupby(report.stages, key=lambda stage: stage.stack)]


def _figure(report: DriftReport, words: Words) -> go.Figure:
    stacks = _stacks(report)
    figure = go.Figure()
    starts = _starts(stacks)
    curves = (
        ("median", words("changes.drift_median"), BLUE, "solid", "circle"),
        ("pooled", words("changes.drift_pooled"), VERMILLION, "dash", "square"),
    )
    for key, name, colour, dash, symbol in curves:
        x: list[int | None] = []
        y: list[float | None] = []
        said: list[str] = []
        for start, stages in zip(starts, stacks, strict=True):
            x += [*range(start, start + len(stages)), None]  # the line breaks between the stacks
            y += [*(getattr(stage, key) for stage in stages), None]
            said += [*(_hover(stage, getattr(stage, key), words) for stage in stages), ""]
        figure.add_trace(
            go.Scatter(
                x=x[:-1],
                y=y[:-1],
                text=said[:-1],
                mode="lines+markers",
                name=name,
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 7, "color": colour},
                hovertemplate="%{text}",
            )
        )
    ticks = [tick for start, stages in zip(starts, stacks, strict=True) for tick in _ticks(start, stages)]
    end = starts[-1] + len(stacks[-1])
    figure.update_xaxes(
        title_text=words("changes.drift_x"),
        range=[-0.6, end - 0.4],
        tickvals=[place for place, _ in ticks],
        ticktext=[name for _, name in ticks],
        tickangle=0,
        fixedrange=True,
        showgrid=False,
    )
    figure.update_yaxes(title_text=words("changes.drift_y"), rangemode="tozero", fixedrange=True)
    if len(stacks) > 1:
        for start, stages in zip(starts, stacks, strict=True):
            figure.add_annotation(
                x=start + (len(stages) - 1) / 2,
                y=1,
                yref="paper",
                yanchor="bottom",
                showarrow=False,
                text=words(f"changes.stack_{stages[0].stack}"),
            )
        for start in starts[1:]:
            figure.add_vline(x=start - 1, line={"color": NEUTRAL, "dash": "dot", "width": 1})
    figure.update_layout(
        margin={"t": 64 if len(stacks) > 1 else 40},
        hovermode="x",
        showlegend=True,
        legend={"y": 1.09 if len(stacks) > 1 else 1.02},
    )
    return finish(figure, HEIGHT, words("changes.drift_title"))


def _starts(stacks: Sequence[Sequence[DriftStage]]) -> list[int]:
    """Where on the axis each stack begins: one place stays free between two."""
    starts = [0]
    for stages in stacks[:-1]:
        starts.append(starts[-1] + len(stages) + 1)
    return starts


def _ticks(start: int, stages: Sequence[DriftStage]) -> list[tuple[int, str]]:
    """Place and name of a stack's ticks: its ends, and every block, or some where there are many."""
    blocks = len(stages) - 2
    step = 1 if blocks <= FEW_BLOCKS else blocks // TICKS + 1
    # Where there are many, neither the first nor the last has room for its name beside E and N.
    shown = range(blocks) if step == 1 else range(step, blocks - step // 2, step)
    named = [(start + 1 + block, str(block)) for block in shown]
    return [(start, "E"), *named, (start + len(stages) - 1, "N")]


def _place(stage: DriftStage, words: Words) -> str:
    place = words(f"changes.stage_{stage.kind}", block=stage.block)
    if not stage.stack:
        return place
    return f"{words(f'changes.stack_{stage.stack}')}, {place}"


def _hover(stage: DriftStage, error: float, words: Words) -> str:
    return f"{_place(stage, words)}: {words.significant(error)}"


def _summary(report: DriftReport, words: Words) -> str:
    verdicts = report.verdicts
    if all(verdict.start is None for verdict in verdicts):
        return words("changes.drift_none")
    said = [
        f"**{_title(verdict.stack, words)}**: {_sentence(verdict, words)}"
        if verdict.stack
        else _sentence(verdict, words)
        for verdict in verdicts
    ]
    counts = {stack: words.number(count, 0) for stack, count in report.positions.items()}
    if "" in counts:
        said.append(words("changes.drift_note", positions=counts[""]))
    else:
        said.append(words.about(True)("changes.drift_note", audio=counts["encoder"], text=counts["decoder"]))
    return "\n\n".join(said)


def _title(stack: str, words: Words) -> str:
    name = words(f"changes.stack_{stack}")
    return name[:1].upper() + name[1:]


def _sentence(verdict: DriftVerdict, words: Words) -> str:
    from compression.evaluation.changes_report import START_SHARE

    if verdict.start is None:
        return words("changes.drift_none")
    starts = words(
        "changes.drift_starts",
        start=verdict.start,
        start_error=words.significant(verdict.start_error),
        share=words.percent(START_SHARE),
        peak=verdict.peak,
        peak_error=words.significant(verdict.peak_error),
    )
    last = words.significant(verdict.last_error)
    if verdict.heals:
        ends = words("changes.drift_heals", last_error=last, healed=words.percent(verdict.healed, 0))
    elif verdict.peak == verdict.last:
        ends = words("changes.drift_grows")
    else:
        ends = words("changes.drift_stays", last=verdict.last, last_error=last)
    return f"{starts} {ends}"


def _table(report: DriftReport, words: Words) -> Table:
    stacked = any(stage.stack for stage in report.stages)
    keys = (*(("stack",) if stacked else ()), "stage", "median", "pooled")
    rows = tuple(
        (
            *((words(f"changes.stack_{stage.stack}"),) if stacked else ()),
            words(f"changes.stage_{stage.kind}", block=stage.block),
            stage.median,
            stage.pooled,
        )
        for stage in report.stages
    )
    return Table("activation-drift", tuple(words(f"changes.column.{key}") for key in keys), rows)
