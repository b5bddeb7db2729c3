"""Layout shared by the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from views.texts import Words


def short_projections(names: Sequence[str]) -> list[str]:
    """The last part of each dotted name where that stays unambiguous: ``self_attn.q_proj`` → ``q_proj``."""
    last = [name.rsplit(".", 1)[-1] for name in names]
    return last if len(set(last)) == len(last) else list(names)


def colour_bar(title: str, **extra: Any) -> dict[str, Any]:
    """A horizontal colour bar above the picture, which leaves the width to the picture on a phone."""
    return {
        "orientation": "h",
        "thickness": 10,
        "len": 1.0,
        "x": 0.5,
        "y": 1.03,
        "yanchor": "bottom",
        "outlinewidth": 0,
        "ypad": 0,
        "xpad": 0,
        "title": {"text": title, "side": "top", "font": {"size": 12}},
        "tickfont": {"size": 11},
        **extra,
    }


def block_map(
    blocks: Sequence[int],
    labels: Sequence[str],
    values: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    scale: str,
    bar: dict[str, Any],
    words: Words,
) -> go.Figure:
    """A blocks × projections heatmap from 0 to 1; a cell without a value is blank and still speaks.

    Args:
        blocks: block indices, on the x axis.
        labels: projections, from top to bottom.
        values: [projection][block], in [0, 1] or None.
        texts: the same layout, what is said over each cell.
        scale: Plotly's name of the colours.
        bar: the colour bar, see `colour_bar`.
        words: the language.
    """
    figure = go.Figure(
        go.Heatmap(
            x=list(blocks),
            y=list(labels),
            z=[list(row) for row in values],
            text=[list(row) for row in texts],
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=True,
            colorscale=scale,
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar=bar,
        )
    )
    figure.update_xaxes(title_text=words("heatmap.x"), showgrid=False, fixedrange=True, range=block_range(blocks))
    figure.update_yaxes(title_text=words("heatmap.y"), autorange="reversed", showgrid=False, fixedrange=True)
    figure.update_layout(margin={"t": 12})  # the colour bar makes room for itself
    return figure


def finish(figure: go.Figure, height: int, label: str) -> go.Figure:
    """Set the height and the label that screen readers speak."""
    figure.update_layout(height=height, meta={"label": label})
    return figure


def block_range(blocks: Sequence[int]) -> list[float]:
    """The x range that shows every block's cell whole and nothing beside them."""
    return [min(blocks) - 0.5, max(blocks) + 0.5]
