"""Singular values of the chosen site, plain and whitened, and the energy that truncation loses."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.analysis import SiteViewInfo
from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, GREEN, PURPLE, VERMILLION
from views.widgets import Table, View

HEIGHT = 470


def view(info: SiteViewInfo, words: Words) -> View:
    """The two panels, their sentence and their table."""
    return View(_figure(info, words), _summary(info, words), _table(info, words))


def _figure(info: SiteViewInfo, words: Words) -> go.Figure:
    spectrum = info.spectrum
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
    if info.cell.rank is not None:
        _mark(figure, info.cell.rank, VERMILLION, "solid", "right", words("spectrum.rank", rank=info.cell.rank))
    axis = {"type": "log", "exponentformat": "power", "dtick": 1}
    figure.update_yaxes(title_text=words("spectrum.y"), row=1, col=1, **axis)
    figure.update_yaxes(title_text=words("spectrum.y_lost"), row=2, col=1, **axis)
    figure.update_xaxes(title_text=words("spectrum.x"), row=2, col=1)
    figure.update_layout(margin={"t": 56}, legend={"y": 1.06}, hovermode="x", uirevision=info.site.name)
    return finish(figure, HEIGHT, words("spectrum.title", site=info.site.name))


def _mark(figure: go.Figure, rank: int, colour: str, dash: str, anchor: str, label: str) -> None:
    """A vertical line through both panels with its label at the top of the first."""
    for axis in ("", "2"):
        figure.add_shape(
            type="line",
            x0=rank,
            x1=rank,
            y0=0,
            y1=1,
            xref=f"x{axis}",
            yref=f"y{axis} domain",
            line={"color": colour, "dash": dash, "width": 2},
        )
    figure.add_annotation(
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


def _summary(info: SiteViewInfo, words: Words) -> str:
    spectrum, cell = info.spectrum, info.cell
    site = f"`{info.site.name}`"
    if cell.rank is None or info.lost_energy is None:
        return words("spectrum.summary_dense", site=site, break_even=spectrum.break_even_rank, full=spectrum.full_rank)
    return words(
        "spectrum.summary",
        removed=words.percent(cell.removed_fraction),
        site=site,
        rank=cell.rank,
        full=spectrum.full_rank,
        lost=words.percent(info.lost_energy, 2),
        break_even=spectrum.break_even_rank,
    )


def _table(info: SiteViewInfo, words: Words) -> Table:
    spectrum = info.spectrum
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
    return Table(f"spectrum-{info.site.name}", tuple(words(f"spectrum.column.{key}") for key in keys), rows)
