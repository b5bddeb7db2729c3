"""Prefill and decode latency, dense beside compressed: median with the interquartile range."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.types import LatencyFigure, LatencyReport
from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, GREEN
from views.widgets import Table, View

HEIGHT = 360

_STYLES = {"dense": (GREEN, "diamond"), "compressed": (BLUE, "circle")}


def view(report: LatencyReport, words: Words) -> View:
    """The points, their sentence and their table."""
    return View(_figure(report, words), _summary(report, words), _table(report, words))


def _phases(report: LatencyReport) -> tuple[tuple[str, dict[str, LatencyFigure]], ...]:
    return (("prefill", report.prefill), ("decode", report.decode))


def _figure(report: LatencyReport, words: Words) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.34)
    for row, (_, timings) in enumerate(_phases(report), start=1):
        for model, timing in timings.items():
            colour, symbol = _STYLES.get(model, (BLUE, "square"))
            figure.add_trace(
                go.Scatter(
                    x=[timing.median_ms],
                    y=[_name(model, words)],
                    error_x={
                        "type": "data",
                        "array": [timing.iqr_ms / 2],
                        "color": colour,
                        "thickness": 1.6,
                        "width": 6,
                    },
                    mode="markers",
                    marker={"color": colour, "symbol": symbol, "size": 13},
                    showlegend=False,
                    hovertemplate="%{x:.1f} ms<extra>%{y}</extra>",
                ),
                row=row,
                col=1,
            )
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title_text=words("live.latency_x_prefill", tokens=report.prompt_tokens), row=1, col=1)
    figure.update_xaxes(title_text=words("live.latency_x_decode"), row=2, col=1)
    figure.update_yaxes(showgrid=False, range=[-0.6, 1.6])
    figure.update_layout(margin={"t": 12})
    return finish(figure, HEIGHT, words("live.latency_title"))


def _name(model: str, words: Words) -> str:
    return words(f"word.{model}") if model in _STYLES else model


def _summary(report: LatencyReport, words: Words) -> str:
    dense, compressed = report.decode["dense"], report.decode["compressed"]
    key = "live.latency_slower" if compressed.median_ms >= dense.median_ms else "live.latency_faster"
    sentence = words(
        key,
        compressed=words.number(compressed.median_ms),
        dense=words.number(dense.median_ms),
        threads=report.threads,
        device=report.device,
    )
    return f"{sentence} {report.execution}".strip()


def _table(report: LatencyReport, words: Words) -> Table:
    keys = ("phase", "median", "iqr", "repeats")
    headers = (words("live.column.model"), *(words(f"live.latency_column.{key}") for key in keys))
    rows = tuple(
        (_name(model, words), words(f"live.latency_{phase}"), timing.median_ms, timing.iqr_ms, timing.repeats)
        for phase, timings in _phases(report)
        for model, timing in timings.items()
    )
    return Table("latency", headers, rows)
