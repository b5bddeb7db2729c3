"""Training curves, the Polyak–Łojasiewicz picture, quality against what was removed, and latency of the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.adaptation.analysis import Descent, MethodRow, Spread, thinned
from compression.adaptation.types import AdaptLatency, AdaptRun, Score, StepPoint
from views.figures.common import colour_bar, finish
from views.texts import Words
from views.theme import BLUE, GREEN, NEUTRAL, PURPLE, SCALE, VERMILLION, style_of
from views.widgets import Table, View

CURVES_HEIGHT = 720
DESCENT_HEIGHT = 440
POINTS_HEIGHT = 480
LATENCY_HEIGHT = 260
MB = 1_000_000
WIDE = 10.0
"""Perplexities that differ by more than this factor stand on a logarithmic axis."""


@dataclass(frozen=True)
class Trace:
    """A training as its curves show it.

    Attributes:
        curve: points so far.
        scores: measurements so far.
        target: sparsity asked for; None where the method removes nothing.
        majority: accuracy of always answering the most frequent class; None where there is no such thing.
        finished: whether no more points will come; only then is there a table.
        result: what was really removed, and the soft sparsity, of what is deployed: the end of training may press more
            gates shut than the last point had; None while it goes on.
    """

    curve: tuple[StepPoint, ...]
    scores: tuple[Score, ...] = ()
    target: float | None = None
    majority: float | None = None
    finished: bool = True
    result: tuple[float, float | None] | None = None


def curves_view(trace: Trace, words: Words) -> View:
    """Loss of the task, of the regulariser, what is removed, and the measurements, above one axis of steps."""
    curve = thinned(trace.curve)
    steps = [point.step for point in curve]
    figure = make_subplots(rows=4, cols=1, shared_xaxes=True, vertical_spacing=0.055)
    lines = (
        (1, "loss", [point.loss for point in curve], VERMILLION, "solid"),
        (2, "sparsity_loss", [point.sparsity_loss for point in curve], PURPLE, "dash"),
        (3, "removed", [point.removed_fraction for point in curve], BLUE, "solid"),
        (3, "soft", [point.soft_sparsity for point in curve], GREEN, "dot"),
    )
    for row, key, values, colour, dash in lines:
        if any(value is not None for value in values):
            line = go.Scatter(
                x=steps,
                y=values,
                mode="lines" if len(steps) > 1 else "markers",
                name=words(f"adapt.curve_{key}"),
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate="%{x}: %{y:.1%}" if row == 3 else "%{x}: %{y:.4g}",
            )
            figure.add_trace(line, row=row, col=1)
    if trace.target is not None:
        _level(figure, 3, trace.target, words("adapt.curve_target"), steps, "%{y:.0%}")
    kinds = [("perplexity", BLUE, "circle")] if _is_text(trace.scores) else [("accuracy", BLUE, "circle")]
    if any(score.f1 is not None for score in trace.scores):
        kinds.append(("f1", GREEN, "diamond-open"))
    for key, colour, symbol in kinds:
        if trace.scores:
            figure.add_trace(_measured(trace.scores, key, colour, symbol, words), row=4, col=1)
    if trace.majority is not None and trace.scores:
        _level(figure, 4, trace.majority, words("adapt.curve_majority"), steps, "%{y:.1%}")
    titles = ("loss", "sparsity", "removed", "perplexity" if _is_text(trace.scores) else "accuracy")
    for row, key in enumerate(titles, start=1):
        figure.update_yaxes(title_text=words(f"adapt.curves_y_{key}"), row=row, col=1)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=3, col=1)
    if not _is_text(trace.scores):
        figure.update_yaxes(tickformat=".0%", row=4, col=1)
    figure.update_xaxes(title_text=words("adapt.curves_x"), row=4, col=1)
    figure.update_layout(margin={"t": 12, "b": 8}, legend={"y": 1.01, "font": {"size": 11}}, showlegend=True)
    table = _curves_table(trace, words) if trace.finished else None
    return View(finish(figure, CURVES_HEIGHT, words("adapt.curves_title")), _curves_summary(trace, words), table)


def _is_text(scores: Sequence[Score]) -> bool:
    return any(score.perplexity is not None for score in scores)


def _measured(scores: Sequence[Score], key: str, colour: str, symbol: str, words: Words) -> go.Scatter:
    return go.Scatter(
        x=[score.step for score in scores],
        y=[getattr(score, key) for score in scores],
        mode="lines+markers",
        name=words(f"adapt.measured_{key}"),
        line={"color": colour, "dash": "dot" if key == "f1" else "solid", "width": 1.5},
        marker={"symbol": symbol, "size": 9, "color": colour},
        hovertemplate="%{x}: %{y:.2f}" if key == "perplexity" else "%{x}: %{y:.1%}",
    )


def _level(figure: go.Figure, row: int, value: float, name: str, steps: Sequence[int], hover: str) -> None:
    """A level that is no measurement: from the first step to the last."""
    line = go.Scatter(
        x=[min(steps, default=0), max(steps, default=1)],
        y=[value, value],
        mode="lines",
        name=name,
        line={"color": NEUTRAL, "dash": "longdash", "width": 1.5},
        hovertemplate=hover,
    )
    figure.add_trace(line, row=row, col=1)


def _curves_summary(trace: Trace, words: Words) -> str:
    last = trace.curve[-1]
    said = words("adapt.curves_summary", step=words.number(last.step, 0), loss=words.significant(last.loss))
    if trace.target is not None:
        share, regularised = trace.result or (last.removed_fraction, last.soft_sparsity)
        soft = words("adapt.none") if regularised is None else words.percent(regularised)
        removed, target = words.percent(share), words.percent(trace.target)
        said = f"{said} {words('adapt.three_figures', target=target, soft=soft, removed=removed)}"
    if trace.scores:
        said = f"{said} {_score_text(trace.scores[-1], words)}"
    return said


def _score_text(score: Score, words: Words) -> str:
    count = words.number(score.items, 0)
    if score.perplexity is not None:
        return words("adapt.score_perplexity", value=words.number(score.perplexity, 2), count=count)
    return words(
        "adapt.score_accuracy",
        accuracy=words.percent(score.accuracy or 0),
        f1=words("adapt.none") if score.f1 is None else words.percent(score.f1),
        count=count,
    )


def _curves_table(trace: Trace, words: Words) -> Table:
    keys = ("step", "seconds", "loss", "sparsity_loss", "gradient", "removed", "soft")
    rows = tuple(
        (
            point.step,
            point.seconds,
            point.loss,
            point.sparsity_loss,
            point.gradient_norm_squared,
            point.removed_fraction,
            point.soft_sparsity,
        )
        for point in thinned(trace.curve)
    )
    return Table("training", tuple(words(f"adapt.column.{key}") for key in keys), rows, shares=frozenset({5, 6}))


def descent_view(descent: Descent, finished: bool, words: Words) -> View | None:
    """Loss gap against squared gradient norm, both logarithmic; None while there are no two points.

    Args:
        descent: the trace.
        finished: whether no more points will come; only then is there a table.
        words: the language.
    """
    points = descent.points
    if len(points) < 2 or descent.mu is None or descent.worst is None:
        return None
    figure = go.Figure(
        go.Scatter(
            x=[point.gradient for point in points],
            y=[point.gap for point in points],
            mode="markers",
            marker={
                "size": 7,
                "color": [point.step for point in points],
                "colorscale": SCALE,
                "line": {"width": 0.8, "color": NEUTRAL},
                "colorbar": colour_bar(words("adapt.descent_scale"), y=1.12),
            },
            customdata=[point.step for point in points],
            hovertemplate=words("adapt.descent_hover"),
            showlegend=False,
        )
    )
    ends = [min(point.gradient for point in points), max(point.gradient for point in points)]
    figure.add_trace(
        go.Scatter(
            x=ends,
            y=[descent.bound(end) for end in ends],
            mode="lines",
            name=words("adapt.descent_bound", mu=words.significant(descent.mu, 2)),
            line={"color": VERMILLION, "dash": "dash", "width": 2},
            hoverinfo="skip",
            showlegend=True,
        )
    )
    axis = {"type": "log", "exponentformat": "power"}
    figure.update_xaxes(title_text=words("adapt.descent_x"), **axis)
    figure.update_yaxes(title_text=words("adapt.descent_y"), **axis)
    figure.update_layout(margin={"t": 12})
    summary = words(
        "adapt.descent_summary",
        count=len(points),
        least=words.significant(descent.least_loss),
        mu=words.significant(descent.mu, 2),
        step=words.number(descent.worst.step, 0),
    )
    headers = tuple(words(f"adapt.column.{key}") for key in ("step", "gradient", "gap"))
    rows = tuple((point.step, point.gradient, point.gap) for point in points)
    table = Table("polyak-lojasiewicz", headers, rows) if finished else None
    return View(finish(figure, DESCENT_HEIGHT, words("adapt.descent_title")), summary, table)


def row_label(row: MethodRow, words: Words) -> str:
    """A row of the table in words; the visitor's own says so."""
    name = words.name("method", row.method)
    return words("adapt.mine", method=name) if row.mine else name


def points_view(rows: Sequence[MethodRow], majority: float | None, words: Words) -> View:
    """Mean quality over seeds against what was really removed; a bar spans the seeds, a ring marks the visitor's own.

    Args:
        rows: at least one.
        majority: accuracy of always answering the most frequent class.
        words: the language.
    """
    text = any(row.perplexity is not None for row in rows)
    figure = go.Figure()
    seen: set[str] = set()
    for row in rows:
        quality = row.quality
        if quality is not None:
            figure.add_trace(_point(row, quality, row.method not in seen, words))
            seen.add(row.method)
    own = [(row, row.quality) for row in rows if row.mine and row.quality is not None]
    if own:
        figure.add_trace(
            go.Scatter(
                x=[row.removed_fraction.mean for row, _ in own],
                y=[quality.mean for _, quality in own],
                mode="markers",
                name=words("adapt.own_runs"),
                marker={
                    "symbol": "circle-open",
                    "size": 21,
                    "color": NEUTRAL,
                    "line": {"width": 2.2, "color": NEUTRAL},
                },
                hoverinfo="skip",
            )
        )
    most = max(row.removed_fraction.high for row in rows)
    room = [-0.03 * max(most, 0.1), 1.06 * max(most, 0.1)]  # those that remove nothing stand free of the axis
    figure.update_xaxes(title_text=words("adapt.points_x"), tickformat=".0%", range=room)
    ends = [end for row in rows if row.quality is not None for end in (row.quality.low, row.quality.high)]
    if majority is not None and not text:
        ends.append(majority)
        figure.add_trace(
            go.Scatter(
                x=room,
                y=[majority, majority],
                mode="lines",
                name=words("adapt.curve_majority"),
                line={"color": NEUTRAL, "dash": "longdash", "width": 1.5},
                hovertemplate="%{y:.1%}<extra></extra>",
            )
        )
    if text and max(ends) > WIDE * min(ends):  # one ruined model must not hide how the others differ
        figure.update_yaxes(type="log")
    else:
        around = max(0.08 * (max(ends) - min(ends)), 0.02 * max(ends))
        figure.update_yaxes(range=[min(ends) - around, max(ends) + around])
    if text:
        figure.update_yaxes(title_text=words("adapt.curves_y_perplexity"))
    else:
        figure.update_yaxes(title_text=words("adapt.curves_y_accuracy"), tickformat=".0%")
    legend = {"font": {"size": 11}, "itemclick": False, "itemdoubleclick": False, "maxheight": 200}
    figure.update_layout(hovermode="closest", legend=legend, showlegend=True)
    view = finish(figure, POINTS_HEIGHT, words("adapt.points_title"))
    return View(view, _points_summary(rows, text, words), table(rows, words))


def _point(row: MethodRow, quality: Spread, first: bool, words: Words) -> go.Scatter:
    colour, symbol, _ = style_of(row.method)
    bar: dict[str, Any] = {"type": "data", "thickness": 1.3, "width": 4, "color": colour, "symmetric": False}
    removed, written = row.removed_fraction, _quality(row, quality, words)
    return go.Scatter(
        x=[removed.mean],
        y=[quality.mean],
        error_y={**bar, "array": [quality.high - quality.mean], "arrayminus": [quality.mean - quality.low]},
        error_x={**bar, "array": [removed.high - removed.mean], "arrayminus": [removed.mean - removed.low]},
        mode="markers",
        name=words.name("method", row.method),
        legendgroup=row.method,
        showlegend=first,
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1.4, "color": colour}},
        hovertext=[
            words(
                "adapt.points_hover",
                method=row_label(row, words),
                quality=written,
                removed=words.percent(removed.mean),
                seeds=len(row.seeds),
            )
        ],
        hoverinfo="text",
    )


def _quality(row: MethodRow, quality: Spread, words: Words) -> str:
    return words.percent(quality.mean) if row.perplexity is None else words.number(quality.mean, 2)


def _points_summary(rows: Sequence[MethodRow], text: bool, words: Words) -> str:
    known = [(row, row.quality) for row in rows if row.quality is not None]
    removing = [(row, quality) for row, quality in known if row.removed_fraction.mean > 0]
    best, best_quality = min(known, key=lambda pair: pair[1].mean if text else -pair[1].mean)
    said = words(
        "adapt.points_summary_text" if text else "adapt.points_summary",
        method=row_label(best, words),
        quality=_quality(best, best_quality, words),
    )
    if not removing:
        return f"{said} {words('adapt.points_none_removed')}"
    most, most_quality = max(removing, key=lambda pair: pair[0].removed_fraction.mean)
    removed = words(
        "adapt.points_most",
        method=row_label(most, words),
        removed=words.percent(most.removed_fraction.mean),
        quality=_quality(most, most_quality, words),
    )
    return f"{said} {removed}"


def table(rows: Sequence[MethodRow], words: Words) -> Table:
    """All methods: what each trains, reaches, removes and costs; means over seeds, with standard deviations."""
    text = any(row.perplexity is not None for row in rows)
    quality = ("perplexity", "deviation") if text else ("accuracy", "deviation", "f1")
    keys = (
        "method",
        "seeds",
        "trainable",
        *quality,
        "target",
        "soft",
        "removed",
        "latency",
        "train_seconds",
        "memory",
        "minutes",
    )
    shown = tuple(words(f"adapt.column.{key}") for key in keys)
    places = {key: place for place, key in enumerate(keys)}
    shares = {places[key] for key in ("accuracy", "f1", "target", "soft", "removed") if key in places}
    if not text:
        shares.add(places["deviation"])
    values = tuple(_table_row(row, text, words) for row in rows)
    return Table("adaptation", shown, values, shares=frozenset(shares))


def warnings(rows: Sequence[MethodRow], words: Words) -> tuple[str, ...]:
    """What methods must be said with, a line for all that share a sentence: in a table it would fill the page."""
    methods: dict[str, list[str]] = {}
    for row in rows:
        if row.warning:
            label = words.name("method", row.method)
            methods.setdefault(row.warning, []).append(label)
    return tuple(f"**{', '.join(dict.fromkeys(labels))}:** {words.sentence(said)}" for said, labels in methods.items())


def _table_row(row: MethodRow, text: bool, words: Words) -> tuple[str | float | int | None, ...]:
    quality = row.quality
    mean, deviation = (None, None) if quality is None else (quality.mean, quality.deviation)
    return (
        row_label(row, words),
        len(row.seeds),
        row.trainable_parameters,
        mean,
        deviation,
        *(() if text else (_mean(row.f1),)),
        row.target_sparsity,
        _mean(row.soft_sparsity),
        row.removed_fraction.mean,
        _mean(row.latency_ratio),
        round(row.train_seconds, 1),
        round(row.peak_memory_bytes / MB, 1),
        row.budget_minutes,
    )


def _mean(spread: Spread | None) -> float | None:
    return None if spread is None else spread.mean


def latency_view(run: AdaptRun, words: Words) -> View | None:
    """The deployed model beside the dense one, at each batch size; None where nothing was measured."""
    if not run.latency:
        return None
    names = [words("adapt.batch", batch=each.batch) for each in run.latency]
    figure = go.Figure(
        [
            _bar(names, [each.dense_ms for each in run.latency], words("word.dense"), GREEN, "/"),
            _bar(names, [each.adapted_ms for each in run.latency], words("adapt.deployed"), BLUE, ""),
        ]
    )
    figure.update_xaxes(title_text=words("adapt.latency_x"), rangemode="tozero")
    figure.update_yaxes(showgrid=False, autorange="reversed")
    figure.update_layout(barmode="group", margin={"t": 36}, showlegend=True, legend={"traceorder": "normal"})
    said = " ".join(_latency_text(each, words) for each in run.latency)
    first = run.latency[0]
    said = f"{said} {words('adapt.latency_how', tokens=first.tokens, threads=first.threads)}"
    headers = tuple(words(f"adapt.column.{key}") for key in ("batch", "tokens", "dense_ms", "adapted_ms", "latency"))
    rows = tuple((each.batch, each.tokens, each.dense_ms, each.adapted_ms, each.ratio) for each in run.latency)
    title = words("adapt.latency_title")
    return View(finish(figure, LATENCY_HEIGHT, title), said, Table("adapted-latency", headers, rows))


def _bar(names: list[str], values: list[float], name: str, colour: str, pattern: str) -> go.Bar:
    return go.Bar(
        y=names,
        x=values,
        name=name,
        orientation="h",
        marker={"color": colour, "pattern": {"shape": pattern}},
        hovertemplate="%{y}: %{x:.2f}",
    )


def _latency_text(latency: AdaptLatency, words: Words) -> str:
    return words(
        "adapt.latency_faster" if latency.ratio < FASTER else "adapt.latency_not_faster",
        batch=latency.batch,
        dense=words.number(latency.dense_ms, 2),
        adapted=words.number(latency.adapted_ms, 2),
        ratio=words.number(latency.ratio, 2),
    )


FASTER = 0.97
"""A ratio above this is not called faster: two measurements of the same model differ by as much."""
