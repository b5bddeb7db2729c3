"""Predicted perplexity over the removed fraction: a line for each forecast, the measured points it rests on, a band.

Of a speech model it is the perplexity of transcripts under teacher forcing.

The picture is drawn for one chosen forecast and one slider position. Both move in the browser alone: `static/slider.js`
finds the traces by their ``meta`` and the marks by their names, and fills in the rows of the table it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from compression.forecast import ForecastReport, Prediction
from views.figures.common import finish
from views.texts import Words
from views.theme import DASHES, NEUTRAL, faded, style_of
from views.widgets import Table, View

HEIGHT = 430
TICKS = [10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
"""Of the perplexity axis: fine where language models are, coarse where they are broken."""
SPEECH_TICKS = [1, 1.2, 1.5, 2, 3, 5, *TICKS]
"""Somebody who has heard what was said is seldom in doubt about the next word."""
WIDTHS = (1.6, 3.6)
"""Pixels of a line, and of the chosen one."""


def setting(report: ForecastReport, words: Words) -> str:
    """Method and policy in words."""
    return words(
        "forecast.setting", method=words.name("method", report.method), policy=words.name("policy", report.policy)
    )


def view(reports: Sequence[ForecastReport], chosen: int, ratio: float, words: Words) -> View:
    """The picture, its sentence and its table.

    Args:
        reports: of one model, at least one.
        chosen: index of the highlighted one.
        ratio: the slider's position; the sentence speaks of it, as it was when the page was made.
        words: the language.
    """
    words = words.about(reports[0].is_speech)
    figure, summary = _figure(reports, chosen, ratio, words), _summary(reports, ratio, words)
    return View(figure, summary, _table(reports, words), words("forecast.title"))


def written(perplexity: float, words: Words) -> str:
    """A perplexity; that of a transcript is so small that it needs another decimal."""
    return words.number(perplexity, 2 if words.speech else 1)


def _figure(reports: Sequence[ForecastReport], chosen: int, ratio: float, words: Words) -> go.Figure:
    shown = reports[chosen]
    figure = go.Figure(list(_band(shown, words)))
    places = [point.removed_fraction_target for report in reports for point in report.measured]
    end = max(places + [row.removed_fraction_target for report in reports for row in report.predictions])
    dense_colour, _, dense_dash = style_of("dense")
    figure.add_trace(
        go.Scatter(
            x=[0, end],
            y=[shown.dense.perplexity] * 2,
            mode="lines",
            line={"color": dense_colour, "dash": dense_dash, "width": 2},
            name=words("forecast.dense", value=written(shown.dense.perplexity, words)),
            hoverinfo="skip",
        )
    )
    top = _top(reports)
    hues: dict[str, int] = {}
    methods: dict[str, int] = {}
    for index, report in enumerate(reports):
        colour, symbol, _ = style_of(report.method)
        dash = DASHES[hues.get(colour, 0) % len(DASHES)]
        outline = "-open" if report.method not in methods else "-open-dot"
        methods[report.method] = 1
        if report.predictions:
            hues[colour] = hues.get(colour, 0) + 1
        far = _is_far(report, top)
        line = {"color": colour, "dash": dash, "width": WIDTHS[index == chosen]}
        for trace in _traces(report, line, f"{symbol}{outline}", words):
            trace.update(
                meta={"report": f"{report.method}|{report.policy}", "far": far},
                visible=index == chosen or not far,
            )
            figure.add_trace(trace)
    _marks(figure, shown, ratio)
    figure.update_xaxes(title_text=words("forecast.x"), tickformat=".0%", range=[-0.01, end + 0.01], fixedrange=True)
    figure.update_yaxes(title_text=words("forecast.y"), type="log", tickformat="~s")
    figure.update_yaxes(tickvals=SPEECH_TICKS if words.speech else TICKS)
    # A legend that can be clicked would only hide samples; what is read is chosen above the chart.
    legend = {
        "font": {"size": 11.5},
        "itemclick": False,
        "itemdoubleclick": False,
        "maxheight": 260,
        "traceorder": "normal",
    }
    figure.update_layout(hovermode="closest", uirevision=shown.model_id, legend=legend)
    finish(figure, HEIGHT, words("forecast.title"))
    figure.layout.meta |= {"widths": WIDTHS}
    return figure


def _band(report: ForecastReport, words: Words) -> Iterator[go.Scatter]:
    """The band of the chosen forecast, as two edges with the area between them."""
    for part in ("low", "high"):
        yield go.Scatter(
            x=[row.removed_fraction_target for row in report.predictions],
            y=[_rounded(getattr(row, part)) for row in report.predictions],
            mode="lines",
            line={"width": 0},
            fill="tonexty" if part == "high" else None,
            fillcolor=faded(style_of(report.method)[0]) if part == "high" else None,
            name=words("forecast.band"),
            showlegend=part == "high",
            hoverinfo="skip",
            meta={"band": part},
        )


def _traces(report: ForecastReport, line: dict[str, Any], symbol: str, words: Words) -> Iterator[go.Scatter]:
    """The measured points, the line if there is one, and both together as they stand in the legend."""
    name = setting(report, words)
    colour = line["color"]
    marker = {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}}
    if report.predictions:
        yield go.Scatter(
            x=[row.removed_fraction_target for row in report.predictions],
            y=[_rounded(row.perplexity) for row in report.predictions],
            mode="lines",
            line=line,
            name=name,
            showlegend=False,
            hovertemplate=words("forecast.hover", setting=name) + "<extra></extra>",
        )
    yield go.Scatter(
        x=[point.removed_fraction_target for point in report.measured],
        y=[_rounded(point.perplexity) for point in report.measured],
        mode="markers",
        marker=marker,
        name=words("forecast.measured", setting=name),
        showlegend=False,
        hovertemplate=words("forecast.hover_measured", setting=name) + "<extra></extra>",
    )
    yield go.Scatter(
        x=[None],
        y=[None],
        mode="lines+markers" if report.predictions else "markers",
        line=line,
        marker=marker,
        name=name if report.predictions else words("forecast.measured", setting=name),
    )


def _marks(figure: go.Figure, report: ForecastReport, ratio: float) -> None:
    """Where the slider stands, and what the chosen forecast says there."""
    row = row_at(report, ratio)
    height = _rounded(row.perplexity) if row else report.dense.perplexity
    figure.add_shape(
        name="slider",
        type="line",
        x0=ratio,
        x1=ratio,
        y0=0,
        y1=1,
        yref="paper",
        line={"color": NEUTRAL, "width": 1.6},
    )
    figure.add_shape(
        name="reading",
        type="line",
        x0=-0.01,
        x1=ratio,
        y0=height,
        y1=height,
        line={"color": NEUTRAL, "width": 1.6, "dash": "dot"},
        visible=row is not None,
    )


def _top(reports: Sequence[ForecastReport]) -> float:
    """The highest perplexity of a forecast; points of a broken model far above it would flatten everything else."""
    highest = [row.high for report in reports for row in report.predictions]
    return max(highest, default=float("inf"))


def _is_far(report: ForecastReport, top: float) -> bool:
    return any(point.perplexity > top for point in report.measured)


def _rounded(value: float) -> float | None:
    """To four digits; None (a gap) for a value that no axis can hold."""
    return None if value == float("inf") else float(f"{value:.4g}")


def row_at(report: ForecastReport, ratio: float) -> Prediction | None:
    """The report's row at a slider position; None beyond its table."""
    return next((row for row in report.predictions if abs(row.removed_fraction_target - ratio) < 0.005), None)


def _summary(reports: Sequence[ForecastReport], ratio: float, words: Words) -> str:
    rows = [(row, report) for report in reports if (row := row_at(report, ratio)) is not None]
    rows.sort(key=lambda pair: pair[0].perplexity)
    if not rows:
        parts = [words("forecast.summary_none")]
    else:
        (low, best), (high, worst) = rows[0], rows[-1]
        text = words(
            "forecast.summary" if len(rows) > 1 else "forecast.summary_one",
            removed=words.percent(ratio),
            count=len(rows),
            best=words.name("method", best.method),
            best_policy=words.name("policy", best.policy),
            best_value=written(low.perplexity, words),
            worst=words.name("method", worst.method),
            worst_policy=words.name("policy", worst.policy),
            worst_value=written(high.perplexity, words),
        )
        parts = [text]
    without = [setting(report, words) for report in reports if report.problem]
    if without and rows:
        parts.append(words("forecast.summary_problem", settings=", ".join(without)))
    far = [setting(report, words) for report in reports if _is_far(report, _top(reports))]
    if far:
        parts.append(words("forecast.summary_far", settings=", ".join(far)))
    return " ".join(parts)


def _table(reports: Sequence[ForecastReport], words: Words) -> Table:
    keys = ("kind", "removed", "perplexity", "low", "high", "remark")
    headers = (
        words("word.method"),
        words("word.policy"),
        *(words("word.removed" if key == "removed" else f"forecast.column.{key}") for key in keys),
    )
    rows: list[tuple[str | float | None, ...]] = []
    for report in reports:
        name = (words.name("method", report.method), words.name("policy", report.policy))
        if report.problem:
            rows.append((*name, words("forecast.kind_problem"), None, None, None, None, words.sentence(report.problem)))
        measured = words("forecast.kind_measured")
        rows += [(*name, measured, p.removed_fraction_target, p.perplexity, None, None, "") for p in report.measured]
        predicted = words("forecast.kind_predicted")
        rows += [
            (*name, predicted, row.removed_fraction_target, row.perplexity, row.low, row.high, "")
            for row in report.predictions
        ]
    return Table("forecast", headers, tuple(rows), wide=len(headers) - 1, shares=frozenset({3}))


DEFAULT = ("compot-fisher", "fisher")
"""Method and policy of the forecast that is drawn first."""


def ordered(reports: Sequence[ForecastReport]) -> list[ForecastReport]:
    """As they are shown: the one that is chosen at first, then the other forecasts, then what has only points."""
    return sorted(reports, key=lambda each: ((each.method, each.policy) != DEFAULT, bool(each.problem)))
