"""Where the mebibytes go: kept and removed, by projection. The page fills it in for the slider's position."""

from __future__ import annotations

import plotly.graph_objects as go

from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, VERMILLION

HEIGHT = 360


def figure(words: Words) -> go.Figure:
    """The axes, and a trace each for what is kept and what goes."""
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
    drawn.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, title_text=words("heatmap.y"))
    return finish(drawn, HEIGHT, words("budget.title"))
