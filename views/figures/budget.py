"""Where the mebibytes go: kept and removed, by projection."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import BudgetInfo
from views.figures.common import finish, short_projections
from views.texts import Words
from views.theme import BLUE, VERMILLION
from views.widgets import Table, View

HEIGHT = 360


def view(info: BudgetInfo, words: Words) -> View:
    """The bars, their sentence and their table. The last bar is what always stays dense."""
    labels = [*short_projections([bar.label for bar in info.bars[:-1]]), words("budget.rest")]
    return View(_figure(info, labels, words), _summary(info, words), _table(info, labels, words))


def _figure(info: BudgetInfo, labels: list[str], words: Words) -> go.Figure:
    figure = go.Figure()
    parts = (
        ("kept", [bar.kept_mib for bar in info.bars], BLUE, ""),
        ("removed", [bar.removed_mib for bar in info.bars], VERMILLION, "/"),
    )
    for key, values, colour, pattern in parts:
        figure.add_trace(
            go.Bar(
                y=labels,
                x=values,
                orientation="h",
                name=words(f"budget.{key}"),
                marker={
                    "color": colour,
                    "line": {"width": 0},
                    "pattern": {"shape": pattern, "fillmode": "replace", "size": 7, "solidity": 0.45},
                },
                hovertemplate="%{y}: %{x:.1f} MiB",
            )
        )
    figure.update_layout(
        barmode="stack", bargap=0.28, margin={"t": 40}, hovermode="closest", legend={"traceorder": "normal"}
    )
    figure.update_xaxes(title_text=words("budget.x"), fixedrange=True)
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, title_text=words("heatmap.y"))
    return finish(figure, HEIGHT, words("budget.title"))


def _summary(info: BudgetInfo, words: Words) -> str:
    return words(
        "budget.summary",
        removed=words.percent(info.site_removed_fraction),
        before=words.number(info.original_mib),
        after=words.number(info.stored_mib),
        whole=words.percent(info.whole_model_removed_fraction),
    )


def _table(info: BudgetInfo, labels: list[str], words: Words) -> Table:
    rows = tuple((label, bar.kept_mib, bar.removed_mib) for label, bar in zip(labels, info.bars, strict=True))
    return Table("budget", tuple(words(f"budget.column.{key}") for key in ("part", "kept", "removed")), rows)
