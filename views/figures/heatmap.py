"""Removed fraction of every site: blocks × projections."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import CellInfo, HeatmapInfo
from compression.types import MAX_REMOVED_FRACTION
from views.figures.common import block_range, colour_bar, finish, short_projections
from views.texts import Words
from views.theme import SCALE, VERMILLION
from views.widgets import Table, View

HEIGHT = 310


def view(info: HeatmapInfo, chosen_site: str | None, words: Words) -> View:
    """The heatmap, its sentence and its table.

    Args:
        info: what to draw.
        chosen_site: the site to outline, if any.
        words: the language.
    """
    return View(_figure(info, chosen_site, words), _summary(info, words), _table(info, words))


def _figure(info: HeatmapInfo, chosen_site: str | None, words: Words) -> go.Figure:
    labels = short_projections(info.projections)
    figure = go.Figure(
        go.Heatmap(
            x=list(info.blocks),
            y=labels,
            z=[list(row) for row in info.values],
            text=[
                [_hover(cell, block, label, words) for cell, block in zip(row, info.blocks, strict=True)]
                for row, label in zip(info.cells, labels, strict=True)
            ],
            customdata=[[None if cell is None else cell.site for cell in row] for row in info.cells],
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
    for row, label in zip(info.cells, labels, strict=True):
        for cell, block in zip(row, info.blocks, strict=True):
            if cell is not None and cell.site == chosen_site:
                figure.add_trace(
                    go.Scatter(
                        x=[block],
                        y=[label],
                        mode="markers",
                        marker={
                            "symbol": "square-open",
                            "size": 15,
                            "color": VERMILLION,
                            "line": {"width": 3, "color": VERMILLION},
                        },
                        customdata=[cell.site],
                        hoverinfo="skip",
                        showlegend=False,
                        name=words("heatmap.chosen"),
                    )
                )
    figure.update_xaxes(title_text=words("heatmap.x"), showgrid=False, fixedrange=True, range=block_range(info.blocks))
    figure.update_yaxes(title_text=words("heatmap.y"), autorange="reversed", showgrid=False, fixedrange=True)
    figure.update_layout(margin={"t": 52})
    return finish(figure, HEIGHT, words("heatmap.title"))


def _hover(cell: CellInfo | None, block: int, label: str, words: Words) -> str:
    if cell is None:
        return ""
    shape = words.shape(cell.shape)
    if cell.rank is None:
        return words("heatmap.hover_dense", block=block, projection=label, shape=shape)
    return words(
        "heatmap.hover",
        block=block,
        projection=label,
        shape=shape,
        removed=words.percent(cell.removed_fraction),
        rank=cell.rank,
        atoms=words("card.none") if cell.num_atoms is None else cell.num_atoms,
        nonzeros=words("card.none") if cell.nonzeros_per_column is None else cell.nonzeros_per_column,
    )


def _summary(info: HeatmapInfo, words: Words) -> str:
    policy = words.name("policy", info.policy)
    if info.least == info.most:
        return words("heatmap.summary_even", policy=policy, most=words.percent(info.most), count=info.num_sites)
    return words(
        "heatmap.summary",
        policy=policy,
        least=words.percent(info.least),
        most=words.percent(info.most),
        site=f"`{info.most_site}`",
        dense=info.dense_sites,
        count=info.num_sites,
    )


def _table(info: HeatmapInfo, words: Words) -> Table:
    rows = tuple(
        (
            cell.site,
            block,
            projection,
            words.shape(cell.shape),
            cell.removed_fraction,
            cell.rank,
            cell.num_atoms,
            cell.nonzeros_per_column,
        )
        for row, projection in zip(info.cells, info.projections, strict=True)
        for cell, block in zip(row, info.blocks, strict=True)
        if cell is not None
    )
    keys = ("site", "block", "projection", "shape", "removed", "rank", "atoms", "nonzeros")
    return Table("removed-by-site", tuple(words(f"word.{key}") for key in keys), rows, shares=frozenset({4}))
