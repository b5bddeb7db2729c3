"""Measured perplexity of the runs at one budget, on a log axis, with dense as the reference line.

Where a forecast was made before the measurement, it stands just under it as an open marker with its band.
"""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import CompareInfo
from compression.types import ComparisonRun
from views.figures.common import finish
from views.texts import Words
from views.theme import GREEN, NEUTRAL, style_of
from views.widgets import Table, View

HEIGHT = 420
ROW_HEIGHT, AROUND = 50, 90
"""Pixels a run takes, and the axis and the legend; pictures of many runs are higher."""
LOWERED = 0.34
"""How far under its run a forecast is drawn, in rows."""


def run_label(run: ComparisonRun, words: Words) -> str:
    """Method and policy in words."""
    return f"{words.name('method', run.method)} · {words.name('policy', run.policy)}"


def _two_lines(run: ComparisonRun, words: Words) -> str:
    """The same as narrow as it goes in two lines: the phone's width is for the picture."""
    method, policy = words.name("method", run.method), words.name("policy", run.policy)
    first, space, rest = method.partition(" ")
    return f"{first}<br>{rest} · {policy}" if space else f"{method}<br>{policy}"


def view(info: CompareInfo, words: Words) -> View:
    """The points, their sentence and their table."""
    return View(_figure(info, words), _summary(info, words), table(info, words))


def _figure(info: CompareInfo, words: Words) -> go.Figure:
    figure = go.Figure()
    dense = words("method.dense")
    figure.add_trace(
        _point(
            0,
            info.dense_perplexity,
            info.dense_range,
            dense,
            "dense",
            words.number(info.dense_perplexity),
            dense,
        )
    )
    labels = [dense, *(_two_lines(run, words) for run in info.rows)]
    for place, (run, around) in enumerate(zip(info.rows, info.ranges, strict=True), 1):
        label = labels[place]
        stderr = run.perplexity_stderr
        text = words.number(run.perplexity)
        if run.warning:
            text = f"<i>{words('perplexity.lesson')}</i><br>{text}"
        hover = words(
            "perplexity.hover",
            run=label,
            value=words.number(run.perplexity),
            stderr=words("card.none") if stderr is None else words.number(stderr, 2),
            removed=words.percent(run.removed_fraction),
        )
        figure.add_trace(_point(place, run.perplexity, around, label, run.method, text, hover))
        if run.predicted_perplexity is not None:
            figure.add_trace(_predicted(place + LOWERED, run, label, words))
    figure.add_shape(
        type="line",
        x0=info.dense_perplexity,
        x1=info.dense_perplexity,
        y0=0,
        y1=1,
        xref="x",
        yref="paper",
        layer="below",
        line={"color": GREEN, "dash": "dash", "width": 2},
    )
    foretold = any(run.predicted_perplexity is not None for run in info.rows)
    if foretold:
        figure.add_traces([_legend("circle", "measured", words), _legend("circle-open", "predicted", words)])
    figure.update_xaxes(type="log", title_text=words("perplexity.x"))
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[len(labels) - 0.5, -0.75], showgrid=False
    )
    figure.update_layout(margin={"t": 44 if foretold else 16}, hovermode="closest")
    return finish(figure, max(HEIGHT, ROW_HEIGHT * len(labels) + AROUND), words("perplexity.title"))


def _point(
    place: int, value: float, around: tuple[float, float] | None, label: str, method: str, text: str, hover: str
) -> go.Scatter:
    """One run; its text stands above it, on the side where the axis still has room."""
    colour, symbol, _ = style_of(method)
    low, high = around or (value, value)
    bar = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]}
    return go.Scatter(
        x=[value],
        y=[place],
        error_x={**bar, "thickness": 1.6, "width": 6, "color": colour},
        mode="markers+text",
        marker={"color": colour, "symbol": symbol, "size": 12},
        text=[text],
        textposition="top left" if "<i>" in text else "top center",
        cliponaxis=False,
        name=label,
        showlegend=False,
        hovertemplate=f"{hover}<extra></extra>",
    )


def _predicted(place: float, run: ComparisonRun, label: str, words: Words) -> go.Scatter:
    """The forecast of a run, open, with its band as a thinner bar."""
    value = run.predicted_perplexity
    assert value is not None
    low = value if run.predicted_low is None else run.predicted_low
    high = value if run.predicted_high is None else run.predicted_high
    colour, symbol, _ = style_of(run.method)
    hover = words(
        "perplexity.hover_predicted",
        run=label,
        value=words.number(value),
        low=words.number(low),
        high=words.number(high),
    )
    bar = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]}
    return go.Scatter(
        x=[value],
        y=[place],
        error_x={**bar, "thickness": 1, "width": 4, "color": colour},
        mode="markers",
        marker={"color": colour, "symbol": f"{symbol}-open", "size": 10, "line": {"width": 2, "color": colour}},
        name=label,
        showlegend=False,
        hovertemplate=f"{hover}<extra></extra>",
    )


def _legend(symbol: str, key: str, words: Words) -> go.Scatter:
    marker = {"color": NEUTRAL, "symbol": symbol, "size": 10, "line": {"width": 2, "color": NEUTRAL}}
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=words(f"perplexity.legend_{key}"))


def _summary(info: CompareInfo, words: Words) -> str:
    best, worst = info.rows[info.best], info.rows[info.worst]
    values = {
        "removed": words.percent(info.removed_fraction),
        "best": words.name("method", best.method),
        "best_policy": words.name("policy", best.policy),
        "best_value": words.number(best.perplexity),
        "dense": words.number(info.dense_perplexity),
    }
    if info.best == info.worst:
        return words("perplexity.summary_one", **values)
    return words(
        "perplexity.summary",
        **values,
        worst=words.name("method", worst.method),
        worst_policy=words.name("policy", worst.policy),
        worst_value=words.number(worst.perplexity),
    )


def table(info: CompareInfo, words: Words) -> Table:
    """Every run with its numbers and, where one was made, its forecast; the remark carries the run's own warning."""
    keys = ["removed", "whole", "stored", "perplexity", "stderr", "seconds", "tokens", "remark"]
    foretold = any(run.predicted_perplexity is not None for run in info.rows)
    if foretold:
        keys[5:5] = ["predicted", "low", "high"]
    headers = (words("word.method"), words("word.policy"), *(words(f"runs.column.{key}") for key in keys))
    nothing = (None, None, None) if foretold else ()
    dense = (
        words("method.dense"),
        "",
        0.0,
        0.0,
        None,
        info.dense_perplexity,
        info.dense_perplexity_stderr,
        *nothing,
        None,
        None,
        "",
    )
    rows = tuple(
        (
            words.name("method", run.method),
            words.name("policy", run.policy),
            run.removed_fraction,
            run.whole_model_removed_fraction,
            run.stored_bits,
            run.perplexity,
            run.perplexity_stderr,
            *((run.predicted_perplexity, run.predicted_low, run.predicted_high) if foretold else ()),
            run.compress_seconds,
            run.tokens,
            _remark(run, words),
        )
        for run in info.rows
    )
    return Table("runs", headers, (dense, *rows), wide=len(headers) - 1, shares=frozenset({2, 3}))


def _remark(run: ComparisonRun, words: Words) -> str:
    problem = run.forecast_problem and words("runs.no_forecast", problem=run.forecast_problem)
    if run.warning and problem:
        return words("runs.remarks", first=run.warning, second=problem)
    return run.warning or problem
