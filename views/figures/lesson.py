"""The pictures of the guided walk: a few bars, or the energy that a rank loses."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from compression.analysis import SpectrumInfo
from compression.lessons import LOST
from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, GREEN, METHOD_STYLES, NEUTRAL
from views.widgets import Table, View

HEIGHT = 330
BARS_HEIGHT = 260
FAR = 20.0
"""Where the largest bar is so many times the smallest, the axis is logarithmic."""
_NAMES = ("dense", "even", "aware")
"""Bars that are no methods; those have names and colours of their own."""


def bars_view(values: Mapping[str, float], words: Words) -> View:
    """Qualities side by side, the dense model's first.

    Args:
        values: of methods by name, of ``dense``, or of the two splits ``even`` and ``aware``.
        words: the language, and whether perplexities or word error rates are shown.
    """
    factor = 100 if words.speech else 1
    names = [_name(key, words) for key in values]
    shown = [factor * value for value in values.values()]
    far = max(shown) > FAR * max(min(shown), 1e-9)
    axis = words("learn.perplexity")
    figure = go.Figure(
        go.Bar(
            x=shown,
            y=names,
            orientation="h",
            text=[words.number(value) for value in shown],
            textposition="auto",
            marker={"color": [_colour(key) for key in values]},
            hovertemplate="%{y}: %{x:.4s}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=axis, **({"type": "log", "dtick": 1, "exponentformat": "power"} if far else {}))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_layout(margin={"t": 12}, bargap=0.35)
    table = Table("guess", (words("learn.table_name"), axis), tuple(zip(names, shown, strict=True)))
    return View(finish(figure, BARS_HEIGHT, axis), "", table)


def _name(key: str, words: Words) -> str:
    return words(f"learn.{key}") if key in _NAMES else words.name("method", key)


def _colour(key: str) -> str:
    return {"dense": GREEN, "even": NEUTRAL, "aware": BLUE}.get(key) or METHOD_STYLES[key][0]


def energy_view(info: SpectrumInfo, words: Words) -> View:
    """The energy that is lost behind each rank, of the weights and of what the layer passes on."""
    figure = go.Figure()
    curves = (("plain", info.plain_lost_energy, GREEN, "dash"), ("whitened", info.whitened_lost_energy, BLUE, "solid"))
    for key, lost, colour, dash in curves:
        figure.add_trace(
            go.Scatter(
                x=list(info.indices),
                y=[100 * share for share in lost],
                mode="lines",
                name=words(f"spectrum.{key}"),
                line={"color": colour, "dash": dash, "width": 2.5},
                hovertemplate="%{x}: %{y:.1f}",
            )
        )
    figure.add_hline(
        y=100 * LOST,
        line={"color": NEUTRAL, "dash": "dot", "width": 1.5},
        annotation={"text": words("learn.limit"), "font": {"size": 11.5}},
        annotation_position="top right",
    )
    figure.update_xaxes(title_text=words("learn.rank"))
    figure.update_yaxes(title_text=words("learn.energy"), range=[0, 100])
    figure.update_layout(margin={"t": 44}, hovermode="x")
    headers = (words("learn.rank"), words("spectrum.plain"), words("spectrum.whitened"))
    rows = tuple(zip(info.indices, info.plain_lost_energy, info.whitened_lost_energy, strict=True))
    table = Table("spectrum", headers, rows, shares=frozenset({1, 2}))
    return View(finish(figure, HEIGHT, words("learn.energy")), "", table)
