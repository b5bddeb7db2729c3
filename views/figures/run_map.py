"""Where runs came from: a row each, below the one it was made from, as versions of a program are drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from html import escape

import plotly.graph_objects as go

from compression.session import Difference, MapRow, Measure, RunPoint, Session, run_map
from views.figures.common import finish
from views.run_words import change, points_of_per_cent, run_label, write_quality
from views.texts import Words
from views.theme import NEUTRAL, style_of
from views.widgets import Table, View

ROW, AROUND = 60, 24
"""Pixels a run takes, and those around all of them."""
LONGEST = 34
"""Characters of a heading: a phone has room for so many."""
HEIGHT = 320
WIDTH = 20.0
"""Steps of indentation that the picture has room for; the names stand in them."""


def shown_rows(session: Session, measure: Measure, keys: Collection[str]) -> tuple[MapRow, ...]:
    """The map of some runs of a measure, with those they came from."""
    parents = {point.key: point.parent for point in session.of(measure)}
    kept = set()
    for key in keys:
        while key in parents and key not in kept:
            kept.add(key)
            key = parents[key]
    points = tuple(point for point in session.of(measure) if point.key in kept or point.is_dense)
    return run_map(replace(session, points=points), measure)


def view(rows: Sequence[MapRow], chosen: str, hidden: int, words: Words) -> View:
    """The map, its sentence and its table.

    Args:
        rows: from top to bottom, at least one.
        chosen: key of the run that is marked.
        hidden: how many runs of the measure are not shown.
        words: the language.
    """
    words = words.about(rows[0].point.measure.metric == "wer")
    return View(_figure(rows, chosen, words), _summary(rows, hidden, words), table(rows, words))


def _figure(rows: Sequence[MapRow], chosen: str, words: Words) -> go.Figure:
    figure = go.Figure()
    xs: list[float | None] = []
    ys: list[float | None] = []
    for place, row in enumerate(rows):
        if row.parent is not None:
            above = rows[row.parent].depth
            xs += [above, above, row.depth, None]
            ys += [row.parent, place, place, None]
    figure.add_trace(
        go.Scatter(x=xs, y=ys, mode="lines", line={"color": NEUTRAL, "width": 1.4}, hoverinfo="skip", name="lines")
    )
    styles = [style_of(row.point.method) for row in rows]
    figure.add_trace(
        go.Scatter(
            x=[row.depth for row in rows],
            y=list(range(len(rows))),
            mode="markers+text",
            marker={
                "color": [colour for colour, _, _ in styles],
                "symbol": [symbol for _, symbol, _ in styles],
                "size": 12,
                "line": {"width": 1, "color": [colour for colour, _, _ in styles]},
            },
            text=[_lines(row, words) for row in rows],
            textposition="middle right",
            textfont={"size": 11.5},
            customdata=[row.point.key for row in rows],
            hovertext=[f"<b>{escape(run_label(row.point, words), quote=False)}</b>" for row in rows],
            hoverinfo="text",
            cliponaxis=False,
            name="runs",
        )
    )
    marked = [(row.depth, place) for place, row in enumerate(rows) if row.point.key == chosen]
    figure.add_trace(
        go.Scatter(
            x=[depth for depth, _ in marked],
            y=[place for _, place in marked],
            mode="markers",
            marker={"symbol": "circle-open", "size": 22, "color": NEUTRAL, "line": {"width": 2.4, "color": NEUTRAL}},
            hoverinfo="skip",
            name="chosen",
        )
    )
    hidden = {"visible": False, "fixedrange": True}
    figure.update_xaxes(range=[-0.6, max(WIDTH, max(row.depth for row in rows) + 0.75 * WIDTH)], **hidden)
    figure.update_yaxes(range=[len(rows) - 0.4, -0.6], **hidden)
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 4, "r": 4, "t": 4, "b": 4})
    return finish(figure, ROW * len(rows) + AROUND, words("trade_offs.map_title"))


def _lines(row: MapRow, words: Words) -> str:
    """What stands beside a marker, in three lines that a phone has room for."""
    point, made = row.point, row.difference
    parts = [words.name("policy", point.policy)] if point.policy else []
    if point.name and point.removed_fraction:
        parts.append(words.percent(point.removed_fraction))
    if point.step not in ("dense", "compressed"):
        parts.append(words(f"trade_offs.step.{point.step}"))
    if point.recipe is not None and point.recipe.seed:
        parts.append(words("trade_offs.seed", seed=point.recipe.seed))
    quality = words("trade_offs.map_quality", value=write_quality(point, words))
    if made is not None:
        parts.append(words("trade_offs.delta_size", value=change(made.size, words)))
        if made.quality is not None:
            quality += f" ({_quality_change(made.quality, words)})"
        if made.decode is not None:
            quality = ", ".join([quality, words("trade_offs.delta_decode", value=change(made.decode, words))])
    lines = [f"<b>{_heading(point, words)}</b>", " · ".join(parts), quality]
    return "<br>".join(f"  {line}" for line in lines if line)


def _heading(point: RunPoint, words: Words) -> str:
    """The visitor's name, or the share and the method; the marker says the method, too."""
    heading = point.name or words.name("method", point.method)
    if not point.name and point.removed_fraction:
        heading = f"{words.percent(point.removed_fraction)} · {heading}"
    return escape(heading if len(heading) <= LONGEST else f"{heading[: LONGEST - 1]}…", quote=False)


def _quality_change(share: float, words: Words) -> str:
    return points_of_per_cent(share, words) if words.speech else change(share, words)


def changes(made: Difference, words: Words) -> list[str]:
    """The deltas in words, those that are known: size, quality, time."""
    parts = [words("trade_offs.delta_size", value=change(made.size, words))]
    if made.quality is not None:
        parts.append(words("trade_offs.delta_quality", value=_quality_change(made.quality, words)))
    if made.decode is not None:
        parts.append(words("trade_offs.delta_decode", value=change(made.decode, words)))
    if made.prefill is not None:
        parts.append(words("trade_offs.delta_prefill", value=change(made.prefill, words)))
    return parts


def _summary(rows: Sequence[MapRow], hidden: int, words: Words) -> str:
    parts = [words("trade_offs.map_summary", count=len(rows), depth=max(row.depth for row in rows))]
    if hidden:
        parts.append(words("trade_offs.map_hidden", count=hidden, label=words("trade_offs.map_all")))
    return " ".join(parts)


CHANGES = ("size_change", "quality_change", "decode_change", "prefill_change")
COLUMNS = ("run", "from", "step", "method", "policy", *CHANGES)


def table(rows: Sequence[MapRow], words: Words) -> Table:
    """The map as a table: each run with the one it came from and the deltas."""
    body = []
    for row in rows:
        made = row.difference
        deltas = (None,) * len(CHANGES) if made is None else (made.size, made.quality, made.decode, made.prefill)
        body.append(
            (
                run_label(row.point, words),
                "" if row.parent is None else run_label(rows[row.parent].point, words),
                words(f"trade_offs.step.{row.point.step}"),
                words.name("method", row.point.method),
                words.name("policy", row.point.policy) if row.point.policy else "",
                *deltas,
            )
        )
    headers = tuple(words(f"trade_offs.column.{key}") for key in COLUMNS)
    return Table("run-map", headers, tuple(body), shares=frozenset(map(COLUMNS.index, CHANGES)))
