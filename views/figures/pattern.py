"""Rank versus sparsity for one site: the mask of S, how often atoms are used, how COMPOT converges."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import PatternInfo
from views.figures.common import colour_bar, finish
from views.texts import Words
from views.theme import BLUE, GREEN, SCALE
from views.widgets import Table, View

MASK_HEIGHT = 400
LINE_HEIGHT = 300


def mask_view(info: PatternInfo, words: Words) -> View:
    """Density of the nonzeros of S [atoms × outputs], in blocks."""
    figure = go.Figure(
        go.Heatmap(
            z=[list(row) for row in info.mask_density],
            colorscale=SCALE,
            zmin=0,
            zmax=1,
            hovertemplate="%{y} × %{x}: %{z:.0%}<extra></extra>",
            colorbar=colour_bar(words("pattern.mask_scale"), tickformat=".0%"),
        )
    )
    figure.update_xaxes(title_text=words("pattern.mask_x"), showgrid=False, fixedrange=True)
    figure.update_yaxes(title_text=words("pattern.mask_y"), autorange="reversed", showgrid=False, fixedrange=True)
    figure.update_layout(margin={"t": 52})
    summary = words(
        "pattern.mask_summary",
        removed=words.percent(info.removed_fraction),
        site=f"`{info.site}`",
        rank=info.rank,
        low_rank=words.significant(info.low_rank_error),
        atoms=info.num_atoms,
        nonzeros=info.nonzeros_per_column,
        dictionary=words.significant(info.dictionary_error),
    )
    headers = (words("pattern.mask_y"), words("pattern.mask_x"), words("pattern.mask_scale"))
    rows = tuple((i, j, value) for i, row in enumerate(info.mask_density) for j, value in enumerate(row))
    return View(finish(figure, MASK_HEIGHT, words("pattern.mask")), summary, Table(f"mask-{info.site}", headers, rows))


def use_view(info: PatternInfo, words: Words) -> View:
    """Share of outputs that use each atom, descending."""
    figure = go.Figure(
        go.Scatter(
            x=list(range(1, len(info.atom_use) + 1)),
            y=list(info.atom_use),
            mode="lines",
            line={"color": BLUE, "width": 2},
            fill="tozeroy",
            fillcolor="rgba(0,114,178,0.15)",
            hovertemplate="%{x}: %{y:.1%}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=words("pattern.use_x"))
    figure.update_yaxes(title_text=words("pattern.use_y"), tickformat=".0%", range=[0, 1])
    summary = words(
        "pattern.use_summary",
        atoms=info.num_atoms,
        most=words.percent(max(info.atom_use, default=0)),
        least=words.percent(min(info.atom_use, default=0)),
    )
    rows = tuple(enumerate(info.atom_use, start=1))
    table = Table(f"atom-use-{info.site}", (words("pattern.use_x"), words("pattern.use_y")), rows)
    return View(finish(figure, LINE_HEIGHT, words("pattern.use")), summary, table)


def convergence_view(info: PatternInfo, words: Words) -> View:
    """Squared error in the whitened space after each alternation."""
    steps = list(range(len(info.convergence)))  # the first point is the start, before any alternation
    figure = go.Figure(
        go.Scatter(
            x=steps,
            y=list(info.convergence),
            mode="lines+markers",
            line={"color": GREEN, "width": 2, "dash": "dash"},
            marker={"symbol": "diamond", "size": 7},
            hovertemplate="%{x}: %{y:.4g}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=words("pattern.convergence_x"))
    figure.update_yaxes(title_text=words("pattern.convergence_y"), exponentformat="power")
    summary = words("pattern.convergence_none")
    if info.convergence:
        summary = words(
            "pattern.convergence_summary",
            count=steps[-1],
            first=words.significant(info.convergence[0]),
            last=words.significant(info.convergence[-1]),
        )
    rows = tuple(enumerate(info.convergence))
    table = Table(f"convergence-{info.site}", (words("pattern.convergence_x"), words("pattern.convergence_y")), rows)
    return View(finish(figure, LINE_HEIGHT, words("pattern.convergence")), summary, table)
