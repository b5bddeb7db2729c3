"""Quality against size or time: the runs of one measure, the frontier, a budget.

Runs on the frontier are filled, dominated ones faint and open, published figures have marker shapes of their own. A run
that is broken (see `FAR`) would flatten everything else: it is in the table, and counted in the sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go

from compression.session import Placed, RunPoint, Session, TradeOff, difference
from compression.smallest import LARGEST_ALLOWANCE
from views.figures.common import finish
from views.metrics import metric_of
from views.run_words import plain, run_label, write_quality
from views.texts import Words
from views.theme import BLUE, GREEN, NEUTRAL, PURPLE, VERMILLION, faded, style_of
from views.widgets import Table, View

HEIGHT = 600
MB = 1_000_000
FAR = LARGEST_ALLOWANCE
"""A perplexity that has grown by more than this share is not drawn, unless nothing smaller is better."""
PUBLISHED = ("bowtie", "hourglass", "star-square", "diamond-tall", "star-triangle-up", "hexagram", "diamond-wide")
"""Markers of published figures, a method each."""
HUES = (VERMILLION, BLUE, PURPLE, GREEN)
TICKS = [
    1,
    2,
    3,
    5,
    7,
    10,
    12,
    15,
    18,
    20,
    22,
    25,
    30,
    35,
    40,
    50,
    70,
    100,
    150,
    200,
    300,
    500,
    1000,
    3000,
    10_000,
    100_000,
]
APART = 0.2
"""Labels of the frontier are so far apart, as a share of the axis."""


def view(
    picture: TradeOff,
    session: Session,
    chosen: str,
    predicted: Mapping[str, float],
    words: Words,
) -> View:
    """The picture, its sentence and its table.

    Args:
        picture: what is drawn.
        session: where its runs are from, with their times.
        chosen: key of the run that is marked; empty for none.
        predicted: key → quality that a forecast expected.
        words: the language.
    """
    words = words.about(picture.measure.metric == "wer")
    far = far_runs(picture, session)
    figure = _figure(picture, [run for run in picture.runs if run.point.key not in far], chosen, words)
    return View(figure, _summary(picture, session, far, words), table(picture, session, predicted, words))


def far_runs(picture: TradeOff, session: Session) -> frozenset[str]:
    """Keys of the runs that are not drawn."""
    dense = _dense(picture)
    if dense is None or picture.measure.metric == "wer":
        return frozenset()
    changes = {run.point.key: difference(session, dense, run.point).quality for run in picture.runs}
    return frozenset(
        run.point.key
        for run in picture.runs
        if run.dominated_by and (grown := changes[run.point.key]) is not None and grown > FAR
    )


def _dense(picture: TradeOff) -> RunPoint | None:
    return next((run.point for run in picture.runs if run.point.is_dense), None)


def cost_value(cost: float, picture: TradeOff) -> float:
    """A cost in the unit of the axis: megabytes or milliseconds."""
    return cost / MB if picture.cost == "size" else cost


def write_cost(cost: float, picture: TradeOff, words: Words) -> str:
    """A cost with its unit."""
    unit = "trade_offs.megabytes" if picture.cost == "size" else "trade_offs.milliseconds"
    return words(unit, value=words.number(cost_value(cost, picture), 1))


def _styles(picture: TradeOff) -> dict[str, tuple[str, str]]:
    """Method → colour and marker; published ones get markers that no method measured here has."""
    published = dict.fromkeys(run.point.method for run in picture.runs if run.point.origin == "published")
    styles = {run.point.method: style_of(run.point.method)[:2] for run in picture.runs}
    for place, method in enumerate(published):
        styles[method] = HUES[place % len(HUES)], PUBLISHED[place % len(PUBLISHED)]
    return styles


def _figure(picture: TradeOff, runs: list[Placed], chosen: str, words: Words) -> go.Figure:
    by_key = {run.point.key: run for run in runs}
    frontier = [by_key[key] for key in picture.frontier]
    figure = go.Figure()
    if len(frontier) > 1:
        figure.add_trace(
            go.Scatter(
                x=[cost_value(run.cost, picture) for run in frontier],
                y=[run.point.quality for run in frontier],
                mode="lines",
                # Between two runs of the frontier only the smaller one fits.
                line={"color": NEUTRAL, "width": 1.6, "dash": "dot", "shape": "hv"},
                name=words("trade_offs.frontier"),
                hoverinfo="skip",
            )
        )
    for method, (colour, symbol) in _styles(picture).items():
        of_method = [run for run in runs if run.point.method == method]
        first = True
        for dominated in (False, True):
            these = [run for run in of_method if bool(run.dominated_by) == dominated]
            if these:
                trace = _points(these, picture, colour, f"{symbol}-open" if dominated else symbol, words)
                trace.update(
                    name=escape(words.name("method", method), quote=False),
                    legendgroup=method,
                    showlegend=first,
                    meta={"method": method, "dominated": dominated},
                )
                figure.add_trace(trace)
                first = False
    if any(run.dominated_by for run in runs):
        figure.add_trace(_legend("circle-open", words("trade_offs.dominated")))
    if chosen in by_key:
        figure.add_trace(_ring(by_key[chosen], picture, words))
    _labels(figure, frontier, picture, words)
    _axes(figure, picture, words)
    if picture.budget is not None:
        _budget(figure, picture, words)
    legend = {"font": {"size": 11}, "itemclick": False, "itemdoubleclick": False, "maxheight": 230}
    figure.update_layout(hovermode="closest", legend=legend)
    return finish(figure, HEIGHT, words("trade_offs.title"))


def _points(runs: list[Placed], picture: TradeOff, colour: str, symbol: str, words: Words) -> go.Scatter:
    """Runs of one method, with their error bars."""
    bar_colour = faded(colour) if symbol.endswith("-open") else colour
    bar = {"type": "data", "thickness": 1.3, "width": 3, "color": bar_colour}
    lows = [_low(run.point) for run in runs]
    highs = [_high(run.point) for run in runs]
    return go.Scatter(
        x=[cost_value(run.cost, picture) for run in runs],
        y=[run.point.quality for run in runs],
        error_y={**bar, "symmetric": False, "array": highs, "arrayminus": lows},
        error_x=None if picture.cost == "size" else {**bar, "array": [run.spread for run in runs]},
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 10,
            "opacity": 0.55 if symbol.endswith("-open") else 1,
            "line": {"width": 1.6, "color": colour},
        },
        customdata=[run.point.key for run in runs],
        hovertext=[_hover(run, picture, words) for run in runs],
        hoverinfo="text",
    )


def _low(point: RunPoint) -> float:
    return 0.0 if point.quality_low is None else point.quality - point.quality_low


def _high(point: RunPoint) -> float:
    return 0.0 if point.quality_high is None else point.quality_high - point.quality


def _hover(run: Placed, picture: TradeOff, words: Words) -> str:
    lines = [f"<b>{escape(run_label(run.point, words), quote=False)}</b>"]
    lines.append(words("trade_offs.hover_quality", value=quality_with_bar(run.point, words)))
    lines.append(write_cost(run.cost, picture, words))
    if run.dominated_by:
        lines.append(words("trade_offs.dominated_hover"))
    return "<br>".join(lines)


def quality_with_bar(point: RunPoint, words: Words) -> str:
    """Its quality, with what its error bar spans."""
    metric, value = metric_of(point.measure.metric == "wer"), write_quality(point, words)
    if point.quality_low is None or point.quality_high is None:
        return value
    low, high = metric.write(point.quality_low, words), metric.write(point.quality_high, words)
    return words("trade_offs.with_bar", value=value, low=low, high=high)


def _legend(symbol: str, name: str) -> go.Scatter:
    marker = {"color": NEUTRAL, "symbol": symbol, "size": 10, "line": {"width": 1.6, "color": NEUTRAL}}
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)


def _ring(run: Placed, picture: TradeOff, words: Words) -> go.Scatter:
    return go.Scatter(
        x=[cost_value(run.cost, picture)],
        y=[run.point.quality],
        mode="markers",
        marker={"symbol": "circle-open", "size": 22, "color": NEUTRAL, "line": {"width": 2.4, "color": NEUTRAL}},
        name=words("trade_offs.chosen"),
        hoverinfo="skip",
    )


def short_label(point: RunPoint, words: Words) -> str:
    """What has room beside a marker, which says the method: the visitor's name, or the share that is removed."""
    if point.name or point.is_dense or not point.removed_fraction:
        label = run_label(point, words)
        return label if len(label) <= 22 else f"{label[:21]}…"
    return words.percent(point.removed_fraction)


def _labels(figure: go.Figure, frontier: list[Placed], picture: TradeOff, words: Words) -> None:
    """Name the runs of the frontier that are far enough from the one before."""
    if not frontier:
        return
    places = [cost_value(run.cost, picture) for run in frontier]
    apart = APART * max(places[-1] - places[0], 1e-9)
    named: list[tuple[float, Placed]] = []
    for place, run in zip(places, frontier, strict=True):
        # Of runs that stand together, the best is named: it is the last of them; or one that has a name of its own.
        if named and place - named[-1][0] < apart:
            if run.point.name or not named[-1][1].point.name:
                named[-1] = (named[-1][0], run)
        else:
            named.append((place, run))
    labels = [escape(short_label(run.point, words), quote=False) for _, run in named]
    figure.add_trace(
        go.Scatter(
            x=[cost_value(run.cost, picture) for _, run in named],
            y=[run.point.quality for _, run in named],
            mode="text",
            text=[*(_spaced(label) for label in labels[:-1]), f"<br>{labels[-1]}"],
            # Under the frontier there is nothing to cover; at its end a long label would reach the one before.
            textposition=["bottom right", *["bottom left"] * (len(named) - 2), "bottom center"][-len(named) :],
            textfont={"size": 11},
            cliponaxis=False,
            showlegend=False,
            hoverinfo="skip",
            name="labels",
        )
    )


def _spaced(text: str) -> str:
    return f"\u00a0\u00a0{text}\u00a0\u00a0"


def _axes(figure: go.Figure, picture: TradeOff, words: Words) -> None:
    metric = metric_of(picture.measure.metric == "wer")
    figure.update_xaxes(title_text=words(f"trade_offs.x.{picture.cost}"), fixedrange=True)
    figure.update_yaxes(title_text=words("trade_offs.y"), fixedrange=True, **metric.axis)
    if metric.axis.get("type") == "log":
        figure.update_yaxes(tickvals=TICKS, tickformat="~s")


def _budget(figure: go.Figure, picture: TradeOff, words: Words) -> None:
    assert picture.budget is not None
    at = cost_value(picture.budget, picture)
    line = {"color": VERMILLION, "width": 2, "dash": "dash"}
    figure.add_shape(name="budget", type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line=line)
    figure.add_annotation(
        x=at,
        y=1,
        yref="paper",
        text=words("trade_offs.budget_mark", value=write_cost(picture.budget, picture, words)),
        showarrow=False,
        xanchor="left" if at <= min((cost_value(run.cost, picture) for run in picture.runs), default=at) else "right",
        yanchor="top",
        font={"size": 11.5},
    )


def _summary(picture: TradeOff, session: Session, far: frozenset[str], words: Words) -> str:
    measure = picture.measure
    if not picture.runs:
        key = "trade_offs.summary_untimed" if picture.left_out else "trade_offs.summary_empty"
        return words(key, count=picture.left_out, button=words("trade_offs.latency"))
    parts = [
        words(
            "trade_offs.summary",
            count=len(picture.runs),
            text=plain(words.sentence(measure.measured_on)),
            model=plain(measure.model_id),
            convention=plain(words.sentence(measure.convention)),
            frontier=len(picture.frontier),
        )
    ]
    if picture.budget is not None:
        parts.append(_within(picture, words))
    published = [run.point for run in picture.runs if run.point.origin == "published"]
    if published:
        sources = dict.fromkeys(point.source for point in published if point.source)
        parts.append(words("trade_offs.published", sources=plain("; ".join(sources)) or words("card.none")))
    if any(run.point.quality_low is not None for run in picture.runs):
        parts.append(words("trade_offs.bars"))
    if picture.cost != "size":
        parts.append(words("trade_offs.bars_time", convention=plain(words.sentence(picture.timing))))
    if far:
        parts.append(words("trade_offs.far", count=len(far)))
    if picture.left_out:
        parts.append(words("trade_offs.left_out", count=picture.left_out))
    return " ".join(parts)


def _within(picture: TradeOff, words: Words) -> str:
    assert picture.budget is not None
    budget = write_cost(picture.budget, picture, words)
    best = next((run for run in picture.runs if run.point.key == picture.best), None)
    if best is None:
        return words("trade_offs.budget_none", budget=budget)
    return words(
        "trade_offs.budget_best",
        budget=budget,
        run=plain(run_label(best.point, words)),
        value=write_quality(best.point, words),
        cost=write_cost(best.cost, picture, words),
    )


COLUMNS = ("run", "method", "policy", "removed", "size", "size_change", "quality", "low", "high", "predicted")
TIME_COLUMNS = ("prefill", "prefill_iqr", "decode", "decode_iqr", "decode_change")
LAST_COLUMNS = ("dominated", "origin", "step", "made", "source")
OPTIONAL = frozenset({"predicted", *TIME_COLUMNS, "source", "low", "high"})
SHARES = frozenset({"removed", "size_change", "decode_change"})
SPEECH_SHARES = SHARES | {"quality", "low", "high"}


def table(picture: TradeOff, session: Session, predicted: Mapping[str, float], words: Words) -> Table:
    """Every run of the picture with its numbers; what no run has, has no column."""
    dense = _dense(picture)
    labels = {run.point.key: run_label(run.point, words) for run in picture.runs}
    rows = [_cells(run, dense, labels, session, predicted, words) for run in picture.runs]
    keys = (*COLUMNS, *TIME_COLUMNS, *LAST_COLUMNS)
    kept = [key for key in keys if key not in OPTIONAL or any(row[key] not in (None, "") for row in rows)]
    headers = tuple(words(f"trade_offs.column.{key}") for key in kept)
    in_per_cent = SPEECH_SHARES if words.speech else SHARES
    shares = frozenset(place for place, key in enumerate(kept) if key in in_per_cent)
    return Table("trade-offs", headers, tuple(tuple(row[key] for key in kept) for row in rows), shares=shares)


_Cell = str | float | int | None


def _cells(
    run: Placed,
    dense: RunPoint | None,
    labels: Mapping[str, str],
    session: Session,
    predicted: Mapping[str, float],
    words: Words,
) -> dict[str, _Cell]:
    point, timing = run.point, session.timing(run.point)
    changed = None if dense is None else difference(session, dense, point)
    times: dict[str, Any] = dict.fromkeys(TIME_COLUMNS)
    if timing is not None:
        times = {
            "prefill": timing.prefill_ms,
            "prefill_iqr": timing.prefill_iqr_ms,
            "decode": timing.decode_ms,
            "decode_iqr": timing.decode_iqr_ms,
            "decode_change": None if changed is None else changed.decode,
        }
    return {
        "run": labels[point.key],
        "method": words.name("method", point.method),
        "policy": words.name("policy", point.policy) if point.policy else "",
        "removed": point.removed_fraction,
        "size": point.stored_bits / 8 / MB,
        "size_change": None if changed is None else changed.size,
        "quality": point.quality,
        "low": point.quality_low,
        "high": point.quality_high,
        "predicted": predicted.get(point.key),
        **times,
        "dominated": labels.get(run.dominated_by, ""),
        "origin": words(f"trade_offs.origin.{point.origin}"),
        "step": words(f"trade_offs.step.{point.step}"),
        "made": point.made,
        "source": point.source,
    }
