"""Measured perplexity of the runs at one budget, on a log axis, with dense as the reference line.

Where a forecast was made before the measurement, it stands just under it as an open marker with its band. Where other
calibration seeds were measured, a thin line with a tick for each seed stands between the two.
"""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import CompareInfo, SeedSpread
from compression.types import ComparisonRun
from views.figures.common import finish
from views.texts import Words
from views.theme import GREEN, NEUTRAL, style_of
from views.widgets import Table, View

HEIGHT = 420
ROW_HEIGHT, AROUND = 50, 90
"""Pixels a run takes, and the axis and the legend; pictures of many runs are higher."""
LOWERED = 0.4
"""How far under its run a forecast is drawn, in rows."""
SEEDS_LOWERED = 0.21
"""The same for its seeds."""
OPTIONAL = frozenset({"seeds", "seeds_low", "seeds_high", "predicted", "low", "high", "mean_kl", "p99_kl", "top1"})
"""Columns of the table that are left out where no run has them."""
SHARES = frozenset({"removed", "whole", "top1"})
"""Columns of the table that hold shares."""


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
    for place, (run, around, spread) in enumerate(zip(info.rows, info.ranges, info.spreads, strict=True), 1):
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
        if spread is not None:
            figure.add_trace(_seeds(place + SEEDS_LOWERED, spread, run, label, words))
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
    explained = [
        ("circle-open", "predicted", any(run.predicted_perplexity is not None for run in info.rows)),
        (SEED_SYMBOL, "seeds", any(spread is not None for spread in info.spreads)),
    ]
    legend = [_legend(symbol, key, words) for symbol, key, present in explained if present]
    if legend:
        figure.add_traces([_legend("circle", "measured", words), *legend])
    figure.update_xaxes(type="log", title_text=words("perplexity.x"))
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[len(labels) - 0.5, -0.75], showgrid=False
    )
    figure.update_layout(margin={"t": 22 + 22 * len(legend) if legend else 16}, hovermode="closest")
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


SEED_SYMBOL = "line-ns-open"


def _seeds(place: float, spread: SeedSpread, run: ComparisonRun, label: str, words: Words) -> go.Scatter:
    """The perplexities over calibration seeds: a thin line from the lowest to the highest, a tick for each."""
    colour, _, _ = style_of(run.method)
    hover = words(
        "perplexity.hover_seeds",
        run=label,
        low=words.number(spread.low),
        high=words.number(spread.high),
        count=spread.count,
    )
    return go.Scatter(
        x=sorted(spread.values),
        y=[place for _ in spread.values],
        mode="lines+markers",
        line={"color": colour, "width": 1},
        marker={"symbol": SEED_SYMBOL, "size": 6, "color": colour, "line": {"width": 1.4, "color": colour}},
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


_Cell = str | float | int | None


def table(info: CompareInfo, words: Words) -> Table:
    """Every run with its numbers; what no run has (a forecast, divergences, other seeds) has no column.

    The remark carries the run's own warning.
    """
    columns: dict[str, tuple[_Cell, list[_Cell]]] = {
        "removed": (0.0, [run.removed_fraction for run in info.rows]),
        "whole": (0.0, [run.whole_model_removed_fraction for run in info.rows]),
        "stored": (None, [run.stored_bits for run in info.rows]),
        "perplexity": (info.dense_perplexity, [run.perplexity for run in info.rows]),
        "stderr": (info.dense_perplexity_stderr, [run.perplexity_stderr for run in info.rows]),
        "seeds": (None, [None if each is None else each.count for each in info.spreads]),
        "seeds_low": (None, [None if each is None else each.low for each in info.spreads]),
        "seeds_high": (None, [None if each is None else each.high for each in info.spreads]),
        "predicted": (None, [run.predicted_perplexity for run in info.rows]),
        "low": (None, [run.predicted_low for run in info.rows]),
        "high": (None, [run.predicted_high for run in info.rows]),
        "mean_kl": (None, [run.mean_kl for run in info.rows]),
        "p99_kl": (None, [run.p99_kl for run in info.rows]),
        "top1": (None, [run.top1_agreement for run in info.rows]),
        "seconds": (None, [run.compress_seconds for run in info.rows]),
        "tokens": (None, [run.tokens for run in info.rows]),
        "remark": ("", [_remark(run, words) for run in info.rows]),
    }
    kept = {key: cells for key, cells in columns.items() if key not in OPTIONAL or any(c is not None for c in cells[1])}
    headers = (words("word.method"), words("word.policy"), *(words(f"runs.column.{key}") for key in kept))
    dense = (words("method.dense"), "", *(reference for reference, _ in kept.values()))
    rows = tuple(
        (words.name("method", run.method), words.name("policy", run.policy), *(cells[i] for _, cells in kept.values()))
        for i, run in enumerate(info.rows)
    )
    shares = frozenset(2 + place for place, key in enumerate(kept) if key in SHARES)
    return Table("runs", headers, (dense, *rows), wide=len(headers) - 1, shares=shares)


def _remark(run: ComparisonRun, words: Words) -> str:
    warning = words.sentence(run.warning or "")
    problem = run.forecast_problem and words("runs.no_forecast", problem=words.sentence(run.forecast_problem))
    if warning and problem:
        return words("runs.remarks", first=warning, second=problem)
    return warning or problem
