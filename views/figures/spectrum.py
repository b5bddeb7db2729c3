"""Singular values of the chosen site, plain and whitened, and the energy that truncation loses."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.analysis import SpectrumInfo
from compression.slider import LossRow
from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, GREEN, PURPLE, VERMILLION
from views.widgets import Table, View

HEIGHT = 470


def view(spectrum: SpectrumInfo, losses: Sequence[LossRow], words: Words) -> View:
    """The two panels and their table; the page says and marks what the slider's position means for the site.

    Args:
        spectrum: of the site.
        losses: what each rank would lose; they travel with the figure.
        words: the language.
    """
    return View(_figure(spectrum, losses, words), "", _table(spectrum, words))


def _figure(spectrum: SpectrumInfo, losses: Sequence[LossRow], words: Words) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    curves = (
        (1, spectrum.plain, "plain", True),
        (1, spectrum.whitened, "whitened", True),
        (2, spectrum.plain_lost_energy, "plain", False),
        (2, spectrum.whitened_lost_energy, "whitened", False),
    )
    for row, values, key, in_legend in curves:
        colour, dash, symbol = (GREEN, "dash", "diamond") if key == "plain" else (BLUE, "solid", "circle")
        figure.add_trace(
            go.Scatter(
                x=list(spectrum.indices),
                y=[value if value > 0 else None for value in values],
                mode="lines+markers",
                name=words(f"spectrum.{key}"),
                legendgroup=key,
                showlegend=in_legend,
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 4.5, "color": colour},
                hovertemplate="i = %{x}<br>%{y:.3g}",
            ),
            row=row,
            col=1,
        )
    _mark(
        figure,
        spectrum.break_even_rank,
        PURPLE,
        "dot",
        "left",
        words("spectrum.break_even", rank=spectrum.break_even_rank),
    )
    _mark(figure, 1, VERMILLION, "solid", "right", "", name="rank")
    axis = {"type": "log", "exponentformat": "power", "dtick": 1}
    figure.update_yaxes(title_text=words("spectrum.y"), row=1, col=1, **axis)
    figure.update_yaxes(title_text=words("spectrum.y_lost"), row=2, col=1, **axis)
    figure.update_xaxes(title_text=words("spectrum.x"), row=2, col=1)
    figure.update_layout(margin={"t": 56}, legend={"y": 1.06}, hovermode="x", uirevision=spectrum.site)
    finish(figure, HEIGHT, words("spectrum.title", site=spectrum.site))
    figure.layout.meta |= {
        "site": spectrum.site,
        "full": spectrum.full_rank,
        "break_even": spectrum.break_even_rank,
        "effective": spectrum.effective_rank,
        "lost": {row.rank: row.lost_energy for row in losses},
    }
    return figure


def _mark(
    figure: go.Figure, rank: int, colour: str, dash: str, anchor: str, label: str, name: str = "break-even"
) -> None:
    """A vertical line through both panels with its label at the top of the first."""
    for axis in ("", "2"):
        figure.add_shape(
            type="line",
            name=name,
            x0=rank,
            x1=rank,
            y0=0,
            y1=1,
            xref=f"x{axis}",
            yref=f"y{axis} domain",
            line={"color": colour, "dash": dash, "width": 2},
        )
    figure.add_annotation(
        name=name,
        x=rank,
        y=1,
        xref="x",
        yref="y domain",
        text=label,
        showarrow=False,
        xanchor=anchor,
        yanchor="bottom",
        font={"size": 12},
    )


def _table(spectrum: SpectrumInfo, words: Words) -> Table:
    keys = ("index", "plain", "whitened", "plain_lost", "whitened_lost")
    rows = tuple(
        zip(
            spectrum.indices,
            spectrum.plain,
            spectrum.whitened,
            spectrum.plain_lost_energy,
            spectrum.whitened_lost_energy,
            strict=True,
        )
    )
    return Table(f"spectrum-{spectrum.site}", tuple(words(f"spectrum.column.{key}") for key in keys), rows)
