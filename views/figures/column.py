"""Why one form is ahead: a typical column as the low rank and as the dictionary see it, and all columns beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import plotly.graph_objects as go

from compression.analysis import ColumnInfo, PatternInfo
from views.figures.common import finish
from views.texts import Words
from views.theme import faded, style_of
from views.widgets import Table, View

HEIGHT = 400

_TICKS = (
    (1.0, 0.0, 0),
    (0.5, 0.5, 0),
    (0.2, 0.8, 0),
    (0.1, 0.9, 0),
    (0.05, 0.95, 0),
    (0.02, 0.98, 0),
    (0.01, 0.99, 0),
    (0.005, 0.995, 1),
    (0.002, 0.998, 1),
    (1e-3, 0.999, 1),
    (1e-4, 0.9999, 2),
    (1e-5, 0.99999, 3),
    (1e-6, 0.999999, 4),
)
"""Energy lost, energy captured, decimals of the latter in per cent."""


def column_view(info: PatternInfo, words: Words) -> View | None:
    """Energy captured over the number of terms; None where the picture holds no column."""
    column = info.column
    if column is None:
        return None
    figure = go.Figure()
    low_rank_place, dictionary_place = (
        ("bottom center", "top left") if column.gain > 0 else ("top center", "bottom right")
    )
    ends = (
        ("svd-llm", "low_rank", column.low_rank_lost, column.low_rank, low_rank_place),
        ("compot", "dictionary", column.dictionary_lost, column.dictionary, dictionary_place),
    )
    for method, key, lost, captured, position in ends:
        colour, symbol, dash = style_of(method)
        count = len(captured)
        figure.add_trace(
            go.Scatter(
                x=list(range(count + 1)),
                y=list(lost),
                customdata=[0.0, *captured],
                mode="lines",
                name=words(f"column.{key}"),
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate=words("column.hover"),
            )
        )
        figure.add_trace(
            go.Scatter(
                x=[count],
                y=[lost[-1]],
                mode="markers+text",
                marker={"symbol": symbol, "color": colour, "size": 10},
                text=[words(f"column.end_{key}", count=count, captured=words.percent(captured[-1]))],
                textposition=position,
                cliponaxis=False,
                showlegend=False,
                hoverinfo="skip",
            )
        )
    others = column.more_atoms_lost
    if column.more_atoms:
        start = len(column.dictionary)
        figure.add_trace(
            go.Scatter(
                x=list(range(start, start + len(others))),
                y=list(others),
                customdata=[column.dictionary_captured, *column.more_atoms],
                mode="lines",
                name=words("column.others", count=len(column.more_atoms)),
                line={"color": style_of("compot")[0], "dash": "dot", "width": 2},
                hovertemplate=words("column.hover"),
            )
        )
    # Room to the right, so that the label of the last point stays inside.
    figure.update_xaxes(title_text=words("column.x"), range=[0, 1.04 * max(info.rank, info.num_atoms)])
    drawn = column.low_rank_lost + column.dictionary_lost + others
    figure.update_yaxes(title_text=words("column.y"), **_captured_axis(drawn, words))
    figure.update_layout(margin={"t": 84, "r": 16})
    rows = tuple(
        (i, low, high, more)
        for i, (low, high, more) in enumerate(
            zip_longest(column.low_rank, column.dictionary, (None,) * len(column.dictionary) + column.more_atoms),
            start=1,
        )
    )
    headers = ("column.x", "column.low_rank", "column.dictionary", "column.table_others")
    table = Table(f"column-{info.site}", tuple(map(words, headers)), rows, shares=frozenset({1, 2, 3}))
    return View(finish(figure, HEIGHT, words("column.title")), _why(info, column, words), table)


def _why(info: PatternInfo, column: ColumnInfo, words: Words) -> str:
    """What the atoms add, what sparsity costs, and which of the two is larger."""
    return words(
        "column.ahead" if column.gain > 0 else "column.behind",
        site=f"`{info.site}`",
        index=column.index,
        rank=info.rank,
        low_rank=words.percent(column.low_rank_captured, 2),
        atoms=info.num_atoms,
        all_atoms=words.percent(column.all_atoms, 2),
        nonzeros=info.nonzeros_per_column,
        cost=words.percent(column.sparsity_cost, 2),
        dictionary=words.percent(column.dictionary_captured, 2),
    )


def columns_view(info: PatternInfo, words: Words) -> View | None:
    """How many columns lose how much energy under both forms; None where the picture holds no column."""
    column = info.column
    if column is None:
        return None
    edges = column.lost_edges
    figure = go.Figure()
    for method, key, counts in (
        ("svd-llm", "low_rank", column.low_rank_counts),
        ("compot", "dictionary", column.dictionary_counts),
    ):
        colour, _, dash = style_of(method)
        figure.add_trace(
            go.Scatter(
                x=[0, *counts, 0],
                y=[edges[0], *edges],
                mode="lines",
                name=words(f"column.{key}"),
                line={"color": colour, "dash": dash, "width": 2, "shape": "vh"},
                fill="tozerox",
                fillcolor=faded(colour),
                hoverinfo="skip",
            )
        )
    figure.update_xaxes(title_text=words("columns.x"), rangemode="tozero")
    figure.update_yaxes(title_text=words("column.y"), **_captured_axis(edges, words))
    figure.update_layout(margin={"t": 84})
    summary = words(
        "columns.summary",
        ahead=words.percent(column.ahead),
        columns=words.number(column.num_columns, 0),
        dictionary=words.percent(column.dictionary_median, 2),
        low_rank=words.percent(column.low_rank_median, 2),
    )
    headers = ("columns.lost_from", "columns.lost_to", "column.low_rank", "column.dictionary")
    rows = tuple(zip(edges, edges[1:], column.low_rank_counts, column.dictionary_counts, strict=False))
    table = Table(f"columns-{info.site}", tuple(map(words, headers)), rows)
    return View(finish(figure, HEIGHT, words("columns.title")), summary, table)


def _captured_axis(lost: Sequence[float], words: Words) -> dict[str, Any]:
    """An axis over the energy lost, logarithmic, that is labelled with what is captured and grows with it."""
    shown = [tick for tick in _TICKS if min(lost) <= tick[0] <= max(lost)]
    return {
        "type": "log",
        "autorange": "reversed",
        "tickmode": "array",
        "tickvals": [tick[0] for tick in shown],
        "ticktext": [words.percent(captured, digits) for _, captured, digits in shown],
    }
