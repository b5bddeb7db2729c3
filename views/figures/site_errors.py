"""Relative output error of every site of one run, on one fixed colour range for all runs."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.types import MeasuredRun, SiteReport
from views.figures.common import MAP_AROUND, MAP_ROW, block_map, colour_bar, finish, rows_height, short_projections
from views.texts import Words
from views.theme import SCALE
from views.widgets import Table, View

HEIGHT = 260


def view(run: MeasuredRun, words: Words) -> View:
    """The heatmap, its sentence and its table."""
    return View(_figure(run, words), _summary(run, words), _table(run, words))


def _error(site: SiteReport) -> float | None:
    return None if site.representation == "dense" else site.relative_output_error


def _figure(run: MeasuredRun, words: Words) -> go.Figure:
    blocks = sorted({site.block for site in run.sites})
    projections = list(dict.fromkeys(site.projection for site in run.sites))
    labels = short_projections(projections)
    at = {(site.block, site.projection): site for site in run.sites}
    grid = [[at.get((block, projection)) for block in blocks] for projection in projections]
    figure = block_map(
        blocks,
        labels,
        [[None if site is None else _error(site) for site in row] for row in grid],
        [
            ["" if site is None else _hover(site, label, words) for site in row]
            for row, label in zip(grid, labels, strict=True)
        ],
        SCALE,
        colour_bar(words("errors.scale"), tickvals=[0, 0.25, 0.5, 0.75, 1]),
        words,
    )
    return finish(figure, rows_height(HEIGHT, len(labels), MAP_ROW, MAP_AROUND), words("errors.title"))


def _hover(site: SiteReport, label: str, words: Words) -> str:
    error = _error(site)
    if error is None:
        return words("errors.hover_dense", block=site.block, projection=label)
    return words(
        "errors.hover",
        block=site.block,
        projection=label,
        error=words.significant(error),
        removed=words.percent(site.removed_fraction),
    )


def _summary(run: MeasuredRun, words: Words) -> str:
    names = {"method": words.name("method", run.method), "policy": words.name("policy", run.policy)}
    errors = [(error, site.name) for site in run.sites if (error := _error(site)) is not None]
    if not errors:
        return words("errors.summary_none", **names)
    most, site = max(errors)
    return words(
        "errors.summary",
        **names,
        most=words.significant(most),
        site=f"`{site}`",
        least=words.significant(min(errors)[0]),
    )


def _table(run: MeasuredRun, words: Words) -> Table:
    headers = (
        *(words(f"word.{key}") for key in ("site", "block", "projection", "removed")),
        words("errors.column.error"),
    )
    rows = tuple((s.name, s.block, s.projection, s.removed_fraction, _error(s)) for s in run.sites)
    return Table(f"output-error-{run.method}-{run.policy}", headers, rows, shares=frozenset({3}))
