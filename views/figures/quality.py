"""Measured quality of the runs at one budget, with dense as the reference line.

Perplexity stands on a log axis with its standard error, word error rate on one from zero with its interval.

Where a forecast was made before the measurement, it stands just under it as an open marker with its band. Where other
calibration seeds were measured, a thin line with a tick for each seed stands between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from compression.analysis import AnyReport, AnyRun, CompareInfo, SeedSpread
from compression.types import ComparisonRun, MeasuredRun
from views.figures.common import finish
from views.metrics import metric_of
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
SEEDS = ("seeds", "seeds_low", "seeds_high")
QUALITY = ("perplexity", "stderr")
SPEECH_QUALITY = (
    *("wer", "wer_low", "wer_high", "wer_raw", "cer", "substitutions", "deletions", "insertions"),
    "real_time_factor",
)
"""Columns that the dense model has, too."""
COLUMNS = (
    *("removed", "whole", "stored", *QUALITY, *SEEDS, "predicted", "low", "high", "mean_kl", "p99_kl", "top1"),
    *("seconds", "tokens", "remark"),
)
SPEECH_COLUMNS = (*SPEECH_QUALITY, *SEEDS, "removed", "whole", "seconds", "remark")
"""Columns of the table, after method and policy."""
ATTRIBUTES = {
    "removed": "removed_fraction",
    "whole": "whole_model_removed_fraction",
    "stored": "stored_bits",
    "stderr": "perplexity_stderr",
    "predicted": "predicted_perplexity",
    "low": "predicted_low",
    "high": "predicted_high",
    "top1": "top1_agreement",
    "seconds": "compress_seconds",
}
"""Column → attribute of a run, where they are called differently."""
OPTIONAL = frozenset({*SEEDS, "predicted", "low", "high", "mean_kl", "p99_kl", "top1"})
"""Columns that are left out where no run has them."""
SHARES = frozenset({"removed", "whole", "top1"})
SPEECH_SHARES = frozenset({"removed", "whole", *SPEECH_QUALITY[:5], "seeds_low", "seeds_high"})
"""Columns that hold shares."""


def run_label(run: MeasuredRun, words: Words) -> str:
    """Method and policy in words."""
    return f"{words.name('method', run.method)} · {words.name('policy', run.policy)}"


def _two_lines(run: MeasuredRun, words: Words) -> str:
    """The same as narrow as it goes in two lines: the phone's width is for the picture."""
    method, policy = words.name("method", run.method), words.name("policy", run.policy)
    first, space, rest = method.partition(" ")
    return f"{first}<br>{rest} · {policy}" if space else f"{method}<br>{policy}"


def view(info: CompareInfo, words: Words) -> View:
    """The points, their sentence and their table."""
    words = words.about(info.is_speech)
    return View(_figure(info, words), _summary(info, words), table(info, words), words("quality.title"))


def _figure(info: CompareInfo, words: Words) -> go.Figure:
    figure, metric = go.Figure(), metric_of(info.is_speech)
    dense, reference = words("method.dense"), info.dense.quality
    figure.add_trace(_point(0, reference, info.dense_range, dense, "dense", metric.write(reference, words), dense))
    labels = [dense, *(_two_lines(run, words) for run in info.rows)]
    for place, (run, around, spread) in enumerate(zip(info.rows, info.ranges, info.spreads, strict=True), 1):
        label = labels[place]
        text = metric.write(run.quality, words)
        if run.warning:
            text = f"<i>{words('quality.lesson')}</i><br>{text}"
        hover = words(
            "quality.hover",
            run=label,
            value=metric.write(run.quality, words),
            spread=_spread(run, around, words),
            removed=words.percent(run.removed_fraction),
        )
        figure.add_trace(_point(place, run.quality, around, label, run.method, text, hover))
        if spread is not None:
            figure.add_trace(_seeds(place + SEEDS_LOWERED, spread, run, label, words))
        if isinstance(run, ComparisonRun) and run.predicted_perplexity is not None:
            figure.add_trace(_predicted(place + LOWERED, run, label, words))
    figure.add_shape(
        type="line",
        x0=reference,
        x1=reference,
        y0=0,
        y1=1,
        xref="x",
        yref="paper",
        layer="below",
        line={"color": GREEN, "dash": "dash", "width": 2},
    )
    explained = [
        ("circle-open", "predicted", any(_is_predicted(run) for run in info.rows)),
        (SEED_SYMBOL, "seeds", any(spread is not None for spread in info.spreads)),
    ]
    legend = [_legend(symbol, key, words) for symbol, key, present in explained if present]
    if legend:
        figure.add_traces([_legend("circle", "measured", words), *legend])
    figure.update_xaxes(title_text=words("quality.x"), **metric.axis)
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[len(labels) - 0.5, -0.75], showgrid=False
    )
    figure.update_layout(margin={"t": 22 + 22 * len(legend) if legend else 16}, hovermode="closest")
    return finish(figure, max(HEIGHT, ROW_HEIGHT * len(labels) + AROUND), words("quality.title"))


def _is_predicted(run: AnyRun) -> bool:
    return isinstance(run, ComparisonRun) and run.predicted_perplexity is not None


def _spread(run: AnyRun, around: tuple[float, float] | None, words: Words) -> str:
    """What stands behind a value: the standard error of a perplexity, the interval of a word error rate."""
    if isinstance(run, ComparisonRun):
        return words("card.none") if run.perplexity_stderr is None else words.number(run.perplexity_stderr, 2)
    if around is None:
        return words("card.none")
    return words("quality.interval", low=words.percent(around[0]), high=words.percent(around[1]))


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


def _seeds(place: float, spread: SeedSpread, run: AnyRun, label: str, words: Words) -> go.Scatter:
    """The values over calibration seeds: a thin line from the lowest to the highest, a tick for each."""
    colour, _, _ = style_of(run.method)
    metric = metric_of(words.speech)
    hover = words(
        "quality.hover_seeds",
        run=label,
        low=metric.write(spread.low, words),
        high=metric.write(spread.high, words),
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
        "quality.hover_predicted",
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
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=words(f"quality.legend_{key}"))


def _summary(info: CompareInfo, words: Words) -> str:
    metric = metric_of(info.is_speech)
    best, worst = info.rows[info.best], info.rows[info.worst]
    values = {
        "removed": words.percent(info.removed_fraction),
        "best": words.name("method", best.method),
        "best_policy": words.name("policy", best.policy),
        "best_value": metric.write(best.quality, words),
        "dense": metric.write(info.dense.quality, words),
    }
    if info.best == info.worst:
        return words("quality.summary_one", **values)
    return words(
        "quality.summary",
        **values,
        worst=words.name("method", worst.method),
        worst_policy=words.name("policy", worst.policy),
        worst_value=metric.write(worst.quality, words),
    )


_Cell = str | float | int | None


def table(info: CompareInfo, words: Words) -> Table:
    """Every run with its numbers; what no run has (a forecast, divergences, other seeds) has no column.

    The remark carries the run's own warning.
    """
    words = words.about(info.is_speech)
    columns, quality = (SPEECH_COLUMNS, SPEECH_QUALITY) if info.is_speech else (COLUMNS, QUALITY)
    runs = [_cells(run, columns) for run in info.rows]
    for cells, run, spread in zip(runs, info.rows, info.spreads, strict=True):
        cells["remark"] = _remark(run, words)
        if spread is not None:
            cells |= {"seeds": spread.count, "seeds_low": spread.low, "seeds_high": spread.high}
    dense = {"removed": 0.0, "whole": 0.0, **_cells(info.dense, quality), "remark": ""}
    kept = [key for key in columns if key not in OPTIONAL or any(cells[key] is not None for cells in runs)]
    headers = (words("word.method"), words("word.policy"), *(words(f"runs.column.{key}") for key in kept))
    names = [(words("method.dense"), "")]
    names += [(words.name("method", run.method), words.name("policy", run.policy)) for run in info.rows]
    rows = tuple((*name, *map(cells.get, kept)) for name, cells in zip(names, [dense, *runs], strict=True))
    in_per_cent = SPEECH_SHARES if info.is_speech else SHARES
    shares = frozenset(2 + place for place, key in enumerate(kept) if key in in_per_cent)
    return Table("runs", headers, rows, wide=len(headers) - 1, shares=shares)


def _cells(measured: AnyReport | AnyRun, columns: Sequence[str]) -> dict[str, _Cell]:
    """Column → what a report or a run says there; None where it says nothing."""
    return {key: getattr(measured, ATTRIBUTES.get(key, key), None) for key in columns}


def _remark(run: AnyRun, words: Words) -> str:
    warning = words.sentence(run.warning or "")
    problem = run.forecast_problem if isinstance(run, ComparisonRun) else ""
    problem = problem and words("runs.no_forecast", problem=words.sentence(problem))
    if warning and problem:
        return words("runs.remarks", first=warning, second=problem)
    return warning or problem
