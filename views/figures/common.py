"""Layout shared by the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go


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


def finish(figure: go.Figure, height: int, label: str) -> go.Figure:
    """Set the height and the label that screen readers speak."""
    figure.update_layout(height=height, meta={"label": label})
    return figure


def block_range(blocks: Sequence[int]) -> list[float]:
    """The x range that shows every block's cell whole and nothing beside them."""
    return [min(blocks) - 0.5, max(blocks) + 0.5]
