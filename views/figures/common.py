"""Layout shared by the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from views.texts import Words

SHORTER = {"encoder": "enc", "decoder": "dec", "self_attn": "self", "encoder_attn": "cross"}
"""Parts of a projection's name, as labels have room for them."""
MAP_ROW, MAP_AROUND = 17, 118
"""Pixels a row of a `block_map`, and its axis and colour bar."""
FEW_BLOCKS = 12
"""So many blocks have a tick each."""


def short_projections(names: Sequence[str]) -> list[str]:
    """The last part of each dotted name where that stays unambiguous: ``self_attn.q_proj`` → ``q_proj``.

    Of a model with an encoder and a decoder all parts are needed, in short: ``decoder.encoder_attn.q_proj`` →
    ``dec.cross.q``.
    """
    last = [name.rsplit(".", 1)[-1] for name in names]
    if len(set(last)) == len(last):
        return last
    if not any(name.startswith("decoder.") for name in names):
        return list(names)
    return [".".join(SHORTER.get(part, part) for part in name.removesuffix("_proj").split(".")) for name in names]


def rows_height(least: int, rows: int, each: int, around: int) -> int:
    """Pixels of a picture in which every row is to be read; `around` are those of axis and colour bar."""
    return max(least, rows * each + around)


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
    figure.update_xaxes(title_text=words("heatmap.x"), showgrid=False, fixedrange=True, **block_axis(blocks))
    figure.update_yaxes(
        title_text=words("heatmap.y"), autorange="reversed", showgrid=False, fixedrange=True, **row_axis(labels)
    )
    figure.update_layout(margin={"t": 12})  # the colour bar makes room for itself
    return figure


def finish(figure: go.Figure, height: int, label: str) -> go.Figure:
    """Set the height and the label that screen readers speak."""
    figure.update_layout(height=height, meta={"label": label})
    return figure


def block_axis(blocks: Sequence[int]) -> dict[str, Any]:
    """The x axis that shows every block's cell whole and nothing beside them; there is no tick between blocks."""
    axis: dict[str, Any] = {"range": [min(blocks) - 0.5, max(blocks) + 0.5]}
    if len(blocks) > FEW_BLOCKS:
        return axis
    return axis | {"dtick": 1, "title_standoff": 22}  # else the title might stand between two ticks


def row_axis(labels: Sequence[str]) -> dict[str, Any]:
    """The y axis that names every row, also where there are many."""
    return {"dtick": 1, "tickfont": {"size": 10.5}} if len(labels) > FEW_BLOCKS else {}
