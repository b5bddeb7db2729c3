"""What every site of one run is stored as: ranks of low-rank layers, atoms of dictionaries, each on their own axis."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import NativeCell, NativeInfo
from views.figures.common import MAP_AROUND, MAP_ROW, block_map, colour_bar, finish, rows_height, short_projections
from views.texts import Words
from views.theme import NATIVE_SCALES, SCALE
from views.widgets import Table, View

HEIGHT = 260


def view(info: NativeInfo, words: Words) -> View:
    """The heatmap, its sentence and its table."""
    return View(_figure(info, words), _summary(info, words), _table(info, words))


def _figure(info: NativeInfo, words: Words) -> go.Figure:
    labels = short_projections(info.projections)
    figure = block_map(
        info.blocks,
        labels,
        [[None if cell is None else cell.share for cell in row] for row in info.cells],
        [
            [
                "" if cell is None else _hover(cell, block, label, words)
                for cell, block in zip(row, info.blocks, strict=True)
            ]
            for row, label in zip(info.cells, labels, strict=True)
        ],
        NATIVE_SCALES.get(info.representation, SCALE),
        colour_bar(words.name("native.scale", info.representation), tickvals=[0, 0.25, 0.5, 0.75, 1]),
        words,
    )
    return finish(
        figure,
        rows_height(HEIGHT, len(labels), MAP_ROW, MAP_AROUND),
        words("native.label", method=words.name("method", info.method)),
    )


def _hover(cell: NativeCell, block: int, label: str, words: Words) -> str:
    place = words("native.hover", block=block, projection=label, shape=words.shape(cell.shape))
    lines = [place, _stored(cell, words)]
    if cell.representation != "dense":
        lines.append(words("native.hover_removed", removed=words.percent(cell.removed_fraction)))
    return "<br>".join(lines)


def _stored(cell: NativeCell, words: Words) -> str:
    quantities = cell.quantities
    if "rank" in quantities:
        return words("native.hover_low-rank", rank=quantities["rank"], full=min(cell.shape))
    if "num_atoms" in quantities:
        return words(
            "native.hover_dictionary",
            atoms=quantities["num_atoms"],
            nonzeros=quantities["nonzeros_per_column"],
            full=min(cell.shape),
        )
    return words.name("representation", cell.representation)


def _summary(info: NativeInfo, words: Words) -> str:
    if info.shares is None:
        form = words.name("representation", info.representation)
        return words("native.summary_none" if info.representation == "dense" else "native.summary_other", form=form)
    least, most = (words.percent(share, 0) for share in info.shares)
    values: dict[str, object] = {"least": least, "most": most, "dense": info.dense_sites, "count": info.num_sites}
    if info.densities is not None:
        thinnest, densest = (words.percent(density, 0) for density in info.densities)
        values |= {"thinnest": thinnest, "densest": densest}
    return words(f"native.summary.{'low-rank' if info.densities is None else 'dictionary'}", **values)


def _table(info: NativeInfo, words: Words) -> Table:
    headers = (
        *(words(f"word.{key}") for key in ("site", "block", "projection", "shape")),
        words("native.column.stored"),
        *(words(f"word.{key}") for key in ("rank", "atoms", "nonzeros")),
        words("native.column.share"),
        words("native.column.density"),
        words("word.removed"),
    )
    rows = tuple(
        (
            cell.site,
            block,
            projection,
            words.shape(cell.shape),
            words.name("representation", cell.representation),
            cell.quantities.get("rank"),
            cell.quantities.get("num_atoms"),
            cell.quantities.get("nonzeros_per_column"),
            cell.share,
            cell.density,
            cell.removed_fraction,
        )
        for row, projection in zip(info.cells, info.projections, strict=True)
        for cell, block in zip(row, info.blocks, strict=True)
        if cell is not None
    )
    return Table(f"stored-{info.method}-{info.policy}", headers, rows, shares=frozenset({9, 10}))
