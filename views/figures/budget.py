"""Where the mebibytes go: kept and removed, by projection. The page fills it in for the slider's position."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import ModelInfo
from views.figures.common import finish, row_axis, rows_height, short_projections
from views.texts import Words
from views.theme import BLUE, VERMILLION

HEIGHT = 360
ROW, AROUND = 23, 100
"""Pixels a bar, and the axis and the legend."""


def figure(model: ModelInfo, words: Words) -> go.Figure:
    """The axes, and a trace each for what is kept and what goes."""
    labels = [*short_projections(model.projections), words("budget.rest")]
    drawn = go.Figure()
    for key, colour, pattern in (("kept", BLUE, ""), ("removed", VERMILLION, "/")):
        drawn.add_trace(
            go.Bar(
                orientation="h",
                name=words(f"budget.{key}"),
                marker={
                    "color": colour,
                    "line": {"width": 0},
                    "pattern": {"shape": pattern, "fillmode": "replace", "size": 7, "solidity": 0.45},
                },
                hovertemplate=words("budget.hover"),
            )
        )
    drawn.update_layout(
        barmode="stack", bargap=0.28, margin={"t": 40}, hovermode="closest", legend={"traceorder": "normal"}
    )
    drawn.update_xaxes(title_text=words("budget.x"), fixedrange=True)
    drawn.update_yaxes(
        autorange="reversed", showgrid=False, fixedrange=True, title_text=words("heatmap.y"), **row_axis(labels)
    )
    return finish(drawn, rows_height(HEIGHT, len(labels), ROW, AROUND), words("budget.title"))
