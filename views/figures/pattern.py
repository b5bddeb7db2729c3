"""Rank versus sparsity for one site: two factors or a mask, how often atoms are used, how COMPOT converges."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.adaptation.analysis import mask_blocks
from compression.adaptation.types import GateMasks, SiteMask
from compression.analysis import PatternInfo
from views.figures.common import colour_bar, finish
from views.texts import Words
from views.theme import GREEN, NEUTRAL, SCALE, VERMILLION, faded, style_of
from views.widgets import Table, View

MASK_HEIGHT = 400
LINE_HEIGHT = 300


def factors_view(info: PatternInfo, words: Words) -> View:
    """The two factors of the low rank around the weight they stand for, to scale, as the product is written."""
    outputs, inputs = info.shape
    rank = info.rank
    gap = max(info.shape) / 16
    colour, _, dash = style_of("svd-llm")
    across, above = rank + gap, inputs + gap
    stored = {"line": {"color": colour, "width": 2}, "fillcolor": faded(colour)}
    boxes = (
        ("pattern.factor_in", (0, 0), (rank, inputs), stored),
        ("pattern.factor_out", (across, above), (outputs, rank), stored),
        ("pattern.factor_weight", (across, 0), (outputs, inputs), {"line": {"color": NEUTRAL, "dash": dash}}),
    )
    figure = go.Figure()
    for key, (left, bottom), (width, height), style in boxes:
        right, top = left + width, bottom + height
        figure.add_trace(
            go.Scatter(
                x=[left, right, right, left, left],
                y=[bottom, bottom, top, top, bottom],
                mode="lines",
                name=words(key),
                fill="toself" if "fillcolor" in style else "none",
                hoveron="fills" if "fillcolor" in style else "points",
                hoverinfo="name",
                showlegend=False,
                **style,
            )
        )
        figure.add_annotation(
            x=(left + right) / 2,
            y=(bottom + top) / 2,
            text=words("pattern.factor_label", part=words(key), rows=height, columns=width),
            showarrow=False,
            textangle=-90 if height > width else 0,
            font={"size": 12},
        )
    hidden = {"visible": False, "fixedrange": True}
    figure.update_xaxes(range=[-gap / 4, across + outputs + gap / 4], **hidden)
    figure.update_yaxes(range=[-gap / 4, above + rank + gap / 4], scaleanchor="x", **hidden)
    figure.update_layout(margin={"t": 8, "l": 8, "r": 8, "b": 8})
    summary = words(
        "pattern.factors_summary",
        inputs=inputs,
        outputs=outputs,
        rank=rank,
        share=words.percent(info.low_rank_share),
    )
    headers = tuple(words(f"pattern.column.{key}") for key in ("part", "rows", "columns"))
    table_rows = tuple((words(key), height, width) for key, _, (width, height), _ in boxes)
    return View(
        finish(figure, MASK_HEIGHT, words("pattern.factors")), summary, Table(f"rank-{info.site}", headers, table_rows)
    )


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
    stored = words(
        "pattern.mask_stored",
        inputs=info.shape[1],
        outputs=info.shape[0],
        atoms=info.num_atoms,
        nonzeros=info.nonzeros_per_column,
        share=words.percent(info.dictionary_share),
    )
    headers = (words("pattern.mask_y"), words("pattern.mask_x"), words("pattern.mask_scale"))
    rows = tuple((i, j, value) for i, row in enumerate(info.mask_density) for j, value in enumerate(row))
    table = Table(f"mask-{info.site}", headers, rows)
    return View(finish(figure, MASK_HEIGHT, words("pattern.mask")), f"{stored} {summary}", table)


def removed_view(run: GateMasks, mask: SiteMask, words: Words) -> View:
    """Rows and columns of a weight [outputs × inputs] that a run with gates removed: blocks, marked at the edges."""
    blocks = mask_blocks(mask)
    outputs, inputs = mask.shape
    figure = go.Figure(
        go.Heatmap(
            z=[list(row) for row in blocks.density],
            colorscale=SCALE,
            zmin=0,
            zmax=1,
            hovertemplate=words("adapt.mask_hover"),
            colorbar=colour_bar(words("adapt.mask_scale"), tickformat=".0%"),
        )
    )
    gone = {
        "mode": "markers",
        "hoverinfo": "skip",
        "cliponaxis": False,
        "name": words("adapt.mask_gone"),
        "legendgroup": "gone",
    }
    rows = [place for place, share in enumerate(blocks.rows) if share < 1]
    columns = [place for place, share in enumerate(blocks.columns) if share < 1]
    marks = (
        ([-1.0] * len(rows), rows, "triangle-right", True),
        (columns, [-1.0] * len(columns), "triangle-down", not rows),
    )
    for x, y, symbol, shown in marks:
        marker = {"symbol": symbol, "size": 7, "color": VERMILLION}
        figure.add_trace(go.Scatter(x=x, y=y, marker=marker, showlegend=bool(x) and shown, **gone))
    figure.update_xaxes(
        title_text=words("adapt.mask_x"), range=[-1.8, len(blocks.columns) - 0.5], showgrid=False, fixedrange=True
    )
    figure.update_yaxes(
        title_text=words("adapt.mask_y"), range=[len(blocks.rows) - 0.5, -1.8], showgrid=False, fixedrange=True
    )
    figure.update_layout(margin={"t": 52}, legend={"y": -0.2, "yanchor": "top"})
    summary = words(
        "adapt.mask_summary",
        method=words.name("method", run.method),
        site=f"`{mask.site}`",
        rows=blocks.kept_rows,
        outputs=outputs,
        columns=blocks.kept_columns,
        inputs=inputs,
        removed=words.percent(mask.removed_fraction),
        whole=words.percent(run.removed_fraction),
        target=words.percent(run.target_sparsity),
        date=run.environment.date[:10],
        commit=run.environment.commit[:10],
    )
    if run.model_note:
        summary = f"{summary} {words('take_away.caution', note=words.sentence(run.model_note))}"
    headers = tuple(words(f"adapt.column.{key}") for key in ("side", "block", "kept"))
    table_rows = tuple(
        (words(f"adapt.layer_{side}"), number, share)
        for side, shares in (("rows", blocks.rows), ("columns", blocks.columns))
        for number, share in enumerate(shares, start=1)
    )
    table = Table(f"gates-{mask.site}", headers, table_rows, shares=frozenset({2}))
    return View(finish(figure, MASK_HEIGHT, words("adapt.mask_title")), summary, table)


def use_view(info: PatternInfo, words: Words) -> View:
    """Share of outputs that use each atom, descending, beside the low rank, whose directions serve all."""
    colour, _, dash = style_of("compot")
    low_colour, _, low_dash = style_of("svd-llm")
    figure = go.Figure(
        [
            go.Scatter(
                x=list(range(1, len(info.atom_use) + 1)),
                y=list(info.atom_use),
                mode="lines",
                name=words("pattern.use_dictionary", count=info.num_atoms),
                line={"color": colour, "dash": dash, "width": 2},
                fill="tozeroy",
                fillcolor="rgba(0,114,178,0.15)",
                hovertemplate="%{x}: %{y:.1%}<extra></extra>",
            ),
            go.Scatter(
                x=[1, info.rank, info.rank],
                y=[1, 1, 0],
                mode="lines",
                name=words("pattern.use_low_rank", count=info.rank),
                line={"color": low_colour, "dash": low_dash, "width": 2},
                hoverinfo="skip",
            ),
        ]
    )
    figure.update_xaxes(title_text=words("pattern.use_x"))
    figure.update_yaxes(title_text=words("pattern.use_y"), tickformat=".0%", range=[0, 1.02])
    figure.update_layout(margin={"t": 60})
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
