"""Gates of an adapted model: all layers as a map, and one layer's rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from compression.adaptation.analysis import GateCell, GateGrid, gate_groups
from compression.adaptation.types import GateMap
from views.figures.common import MAP_AROUND, MAP_ROW, block_map, colour_bar, finish, rows_height
from views.texts import Words
from views.theme import BLUE, SCALE, VERMILLION
from views.widgets import Table, View

MAP_HEIGHT = 250
LAYER_HEIGHT = 300
SIDES = ("rows", "columns")


def map_view(grid: GateGrid, side: str, words: Words) -> View:
    """Mean gate of the rows, or of the columns, of every layer.

    Args:
        grid: at least one layer.
        side: of `SIDES`.
        words: the language.
    """
    labels = _labels(grid.projections)
    figure = block_map(
        grid.blocks,
        labels,
        [[None if cell is None else getattr(cell, side) for cell in row] for row in grid.cells],
        [
            ["" if cell is None else _hover(cell, label, side, words) for cell in row]
            for row, label in zip(grid.cells, labels, strict=True)
        ],
        SCALE,
        colour_bar(words("adapt.gates_scale"), tickvals=[0, 0.25, 0.5, 0.75, 1]),
        words,
    )
    title = words(f"adapt.gates_{side}")
    return View(
        finish(figure, rows_height(MAP_HEIGHT, len(labels), MAP_ROW + 5, MAP_AROUND), title),
        _summary(grid, side, words),
        _table(grid, side, words),
        title,
    )


def removed_view(grid: GateGrid, side: str, words: Words) -> View:
    """The share of every layer's weights that leaves, in the place of a side that has no gates of its own."""
    labels = _labels(grid.projections)
    figure = block_map(
        grid.blocks,
        labels,
        [[None if cell is None else cell.removed_fraction for cell in row] for row in grid.cells],
        [
            ["" if cell is None else _removed_hover(cell, label, words) for cell in row]
            for row, label in zip(grid.cells, labels, strict=True)
        ],
        SCALE,
        colour_bar(words("adapt.removed_scale"), tickvals=[0, 0.25, 0.5, 0.75, 1]),
        words,
    )
    title = words("adapt.removed_title")
    cells = [cell for row in grid.cells for cell in row if cell is not None]
    most = max(cells, key=lambda cell: cell.removed_fraction)
    summary = words(
        "adapt.removed_summary" if most.removed_fraction > 0 else "adapt.removed_nothing",
        none=words("adapt.gates_none"),
        count=sum(cell.removed_fraction > 0 for cell in cells),
        total=len(cells),
        layer=f"`{most.layer}`",
        removed=words.percent(most.removed_fraction),
    )
    height = rows_height(MAP_HEIGHT, len(labels), MAP_ROW + 5, MAP_AROUND)
    return View(finish(figure, height, title), summary, _table(grid, side, words), title)


def _removed_hover(cell: GateCell, label: str, words: Words) -> str:
    removed = words.percent(cell.removed_fraction)
    return words("adapt.removed_hover", block=cell.block, projection=label, removed=removed)


def _labels(projections: Sequence[str]) -> list[str]:
    """As much of the end of each name as tells it from the others; ``dense`` at the end of one says nothing.

    ``attention.output.dense`` and ``output.dense`` become ``attention.output`` and ``output``.
    """
    names = [name.removesuffix(".dense").split(".") for name in projections]

    def label(parts: list[str]) -> str:
        for start in reversed(range(len(parts))):
            end = parts[start:]
            if sum(other[-len(end) :] == end for other in names) == 1:
                return ".".join(end)
        return ".".join(parts)

    return [label(parts) for parts in names]


def _hover(cell: GateCell, label: str, side: str, words: Words) -> str:
    value, share = getattr(cell, side), getattr(cell, f"open_{side}")
    if value is None:
        return words("adapt.gates_hover_none", block=cell.block, projection=label)
    return words(
        f"adapt.gates_hover_{side}",
        block=cell.block,
        projection=label,
        mean=words.number(value, 2),
        open=words.percent(share),
        removed=words.percent(cell.removed_fraction),
    )


def _summary(grid: GateGrid, side: str, words: Words) -> str:
    cells = [cell for row in grid.cells for cell in row if cell is not None and getattr(cell, side) is not None]
    if not cells:
        return words("adapt.gates_none")
    least = min(cells, key=lambda cell: getattr(cell, f"open_{side}"))
    if getattr(least, f"open_{side}") >= 1:
        return words(f"adapt.gates_all_open_{side}", mean=words.number(min(getattr(c, side) for c in cells), 2))
    return words(
        f"adapt.gates_summary_{side}",
        layer=f"`{least.layer}`",
        open=words.percent(getattr(least, f"open_{side}")),
        count=sum(getattr(cell, f"open_{side}") < 1 for cell in cells),
        total=len(cells),
    )


def _table(grid: GateGrid, side: str, words: Words) -> Table:
    headers = (
        words("word.site"),
        words("word.block"),
        words("word.projection"),
        words("adapt.column.mean_gate"),
        words(f"adapt.column.open_{side}"),
        words("adapt.column.layer_removed"),
    )
    rows = tuple(
        (c.layer, c.block, c.projection, getattr(c, side), getattr(c, f"open_{side}"), c.removed_fraction)
        for row in grid.cells
        for c in row
        if c is not None
    )
    return Table(f"gates-{side}", headers, rows, shares=frozenset({4, 5}))


def layer_view(gate: GateMap, words: Words) -> View:
    """Gate values of one layer, row groups and column groups on one axis from the first to the last."""
    figure = go.Figure()
    sides = (("rows", gate.rows, BLUE, "solid", "circle"), ("columns", gate.columns, VERMILLION, "dash", "square-open"))
    for side, values, colour, dash, symbol in sides:
        if values:
            figure.add_trace(
                go.Scatter(
                    x=list(gate_groups(values)),
                    y=list(values),
                    mode="lines+markers",
                    name=words(f"adapt.layer_{side}"),
                    line={"color": colour, "dash": dash, "width": 1.5},
                    marker={"symbol": symbol, "size": 6, "color": colour},
                    hovertemplate="%{x:.0%}: %{y:.2f}",
                )
            )
    figure.update_xaxes(title_text=words("adapt.layer_x"), tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title_text=words("adapt.layer_y"), range=[-0.04, 1.06], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_layout(margin={"t": 40}, hovermode="x", showlegend=True)
    summary = words(
        "adapt.layer_summary",
        layer=f"`{gate.layer}`",
        rows=words.percent(gate.open_rows),
        columns=words.percent(gate.open_columns),
        removed=words.percent(gate.removed_fraction),
    )
    rows = tuple(
        (words(f"adapt.layer_{side}"), number, value)
        for side, values, *_ in sides
        for number, value in enumerate(values, start=1)
    )
    headers = tuple(words(f"adapt.column.{key}") for key in ("side", "group", "gate"))
    return View(finish(figure, LAYER_HEIGHT, words("adapt.layer_title")), summary, Table("gates-layer", headers, rows))
