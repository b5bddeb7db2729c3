"""Measured perplexity of the runs at one budget, on a log axis, with dense as the reference line."""

from __future__ import annotations

import plotly.graph_objects as go

from compression.analysis import CompareInfo
from compression.types import ComparisonRun
from views.figures.common import finish
from views.texts import Words
from views.theme import GREEN, style_of
from views.widgets import Table, View

HEIGHT = 420


def run_label(run: ComparisonRun, words: Words) -> str:
    """Method and policy in words."""
    return f"{words.name('method', run.method)} · {words.name('policy', run.policy)}"


def view(info: CompareInfo, words: Words) -> View:
    """The points, their sentence and their table."""
    return View(_figure(info, words), _summary(info, words), table(info, words))


def _figure(info: CompareInfo, words: Words) -> go.Figure:
    figure = go.Figure()
    dense = words("method.dense")
    figure.add_trace(
        _point(
            info.dense_perplexity,
            info.dense_range,
            dense,
            "dense",
            words.number(info.dense_perplexity),
            dense,
        )
    )
    for run, around in zip(info.rows, info.ranges, strict=True):
        label = run_label(run, words).replace(" · ", "<br>")
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
        figure.add_trace(_point(run.perplexity, around, label, run.method, text, hover))
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
    figure.update_xaxes(type="log", title_text=words("perplexity.x"))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_layout(margin={"t": 16}, hovermode="closest")
    return finish(figure, HEIGHT, words("perplexity.title"))


def _point(
    value: float, around: tuple[float, float] | None, label: str, method: str, text: str, hover: str
) -> go.Scatter:
    """One run; its text stands above it, on the side where the axis still has room."""
    colour, symbol, _ = style_of(method)
    low, high = around or (value, value)
    bar = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]}
    return go.Scatter(
        x=[value],
        y=[label],
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
    """Every run with its numbers; the remark carries the run's own warning."""
    keys = ("removed", "whole", "stored", "perplexity", "stderr", "seconds", "tokens", "remark")
    headers = (words("word.method"), words("word.policy"), *(words(f"runs.column.{key}") for key in keys))
    dense = (
        words("method.dense"),
        "",
        0.0,
        0.0,
        None,
        info.dense_perplexity,
        info.dense_perplexity_stderr,
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
            run.compress_seconds,
            run.tokens,
            run.warning or "",
        )
        for run in info.rows
    )
    return Table("runs", headers, (dense, *rows), wide=len(headers) - 1, shares=frozenset({2, 3}))
