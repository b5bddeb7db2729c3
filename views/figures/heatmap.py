"""Removed fraction of every site: blocks × projections. The page fills it in for the slider's position."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import ModelInfo
from compression.types import MAX_REMOVED_FRACTION
from views.figures.common import block_axis, colour_bar, finish, row_axis, rows_height, short_projections
from views.texts import Words
from views.theme import DIVERGING, PINNED, SCALE, VERMILLION

HEIGHT = 310
ROW, AROUND = 21, 124
"""Pixels a row, and the axis and the colour bar."""


def figure(model: ModelInfo, words: Words) -> go.Figure:
    """The axes and the colour scale; a trace each for the cells, the chosen site and the pinned ones."""
    words, labels = words.about(model.is_speech), short_projections(model.projections)
    drawn = go.Figure(
        go.Heatmap(
            x=list(model.blocks),
            y=labels,
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=False,
            colorscale=SCALE,
            zmin=0,
            zmax=MAX_REMOVED_FRACTION,
            xgap=1,
            ygap=1,
            colorbar=colour_bar(words("heatmap.scale"), tickformat=".0%", tickvals=[0, 0.2, 0.4, 0.6, 0.8, 0.95]),
        )
    )
    drawn.add_trace(_marks("square-open", 15, VERMILLION, 3, words("heatmap.chosen")))
    drawn.add_trace(_marks("diamond", 7, PINNED, 1, words("heatmap.pinned")))
    drawn.update_xaxes(title_text=words("heatmap.x"), showgrid=False, fixedrange=True, **block_axis(model.blocks))
    drawn.update_yaxes(
        title_text=words("heatmap.y"),
        categoryorder="array",
        categoryarray=labels,
        range=[len(labels) - 0.5, -0.5],  # whatever stands in the first row
        showgrid=False,
        fixedrange=True,
        **row_axis(labels),
    )
    drawn.update_layout(margin={"t": 52})
    finish(drawn, rows_height(HEIGHT, len(labels), ROW, AROUND), words("heatmap.title"))
    drawn.layout.meta |= {"diverging": DIVERGING, "difference": words("heatmap.scale_difference")}
    return drawn


def _marks(symbol: str, size: int, colour: str, width: int, name: str) -> go.Scatter:
    return go.Scatter(
        x=[],
        y=[],
        mode="markers",
        marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": width, "color": VERMILLION}},
        hoverinfo="skip",
        showlegend=False,
        name=name,
    )
