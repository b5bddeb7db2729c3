"""Perplexity as it is measured: window by window, with its interval, dense beside compressed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import plotly.graph_objects as go

from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, GREEN
from views.widgets import Table, View

HEIGHT = 340


@dataclass(frozen=True)
class Reading:
    """The state of a measurement after a window."""

    tokens: int
    perplexity: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LiveTrace:
    """Readings of the dense and of the compressed model so far; `label` names the compressed one."""

    dense: tuple[Reading, ...]
    compressed: tuple[Reading, ...]
    label: str
    convention: str = ""
    finished: bool = False

    def with_readings(self, side: str, readings: tuple[Reading, ...]) -> LiveTrace:
        """The same trace with new readings of ``dense`` or ``compressed``."""
        if side == "dense":
            return replace(self, dense=readings)
        return replace(self, compressed=readings)


def view(trace: LiveTrace, words: Words) -> View:
    """The curves, their sentence and their table."""
    return View(_figure(trace, words), _summary(trace, words), _table(trace, words))


def _figure(trace: LiveTrace, words: Words) -> go.Figure:
    figure = go.Figure()
    curves = (
        (trace.dense, words("word.dense"), GREEN, "dash", "diamond"),
        (trace.compressed, trace.label, BLUE, "solid", "circle"),
    )
    for readings, name, colour, dash, symbol in curves:
        if not readings:
            continue
        figure.add_trace(
            go.Scatter(
                x=[r.tokens for r in readings],
                y=[r.perplexity for r in readings],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [0 if r.high is None else r.high - r.perplexity for r in readings],
                    "arrayminus": [0 if r.low is None else r.perplexity - r.low for r in readings],
                    "color": colour,
                    "thickness": 1.4,
                    "width": 5,
                },
                mode="lines+markers",
                name=name,
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 9, "color": colour},
                hovertemplate="%{y:.1f}",
            )
        )
    figure.update_xaxes(title_text=words("live.perplexity_x"), rangemode="tozero")
    figure.update_yaxes(title_text=words("live.perplexity_y"), type="log")
    figure.update_layout(margin={"t": 40}, hovermode="x", showlegend=True)
    return finish(figure, HEIGHT, words("live.perplexity_title"))


def _reading(readings: tuple[Reading, ...], words: Words) -> str:
    if not readings:
        return words("live.perplexity_pending")
    last = readings[-1]
    if last.low is None or last.high is None:
        return f"**{words.number(last.perplexity)}**"
    return words(
        "live.perplexity_value",
        value=f"**{words.number(last.perplexity)}**",
        low=words.number(last.low),
        high=words.number(last.high),
    )


def _summary(trace: LiveTrace, words: Words) -> str:
    dense, compressed = _reading(trace.dense, words), _reading(trace.compressed, words)
    if not trace.finished:
        return words("live.perplexity_running", dense=dense, compressed=compressed)
    tokens = trace.compressed[-1].tokens if trace.compressed else 0
    return words(
        "live.perplexity_summary",
        dense=dense,
        compressed=compressed,
        tokens=words.number(tokens, 0),
        convention=words.sentence(trace.convention),
    )


def _table(trace: LiveTrace, words: Words) -> Table:
    keys = ("model", "tokens", "perplexity", "low", "high")
    rows = tuple(
        (name, r.tokens, r.perplexity, r.low, r.high)
        for name, readings in ((words("word.dense"), trace.dense), (trace.label, trace.compressed))
        for r in readings
    )
    return Table("live-perplexity", tuple(words(f"live.column.{key}") for key in keys), rows)
