"""Prefill and decode latency, dense beside compressed: median with the interquartile range, and the prediction."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.types import LatencyFigure, LatencyReport, Machine
from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, GREEN, NEUTRAL
from views.widgets import Table, View

HEIGHT = 390

_STYLES = {"dense": (GREEN, "diamond"), "compressed": (BLUE, "circle")}


def view(report: LatencyReport, words: Words) -> View:
    """The points, their sentence and their table."""
    return View(_figure(report, words), _summary(report, words), _table(report, words))


Phase = tuple[str, dict[str, LatencyFigure], dict[str, float], dict[str, float]]
"""Name; by model label: what was measured, what was predicted in ms, measured ÷ predicted."""


def _phases(report: LatencyReport) -> tuple[Phase, Phase]:
    return (
        ("prefill", report.prefill, report.predicted_prefill, report.prefill_over_predicted),
        ("decode", report.decode, report.predicted_decode, report.decode_over_predicted),
    )


def _figure(report: LatencyReport, words: Words) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.34)
    for row, (_, timings, predicted, _) in enumerate(_phases(report), start=1):
        for model, timing in timings.items():
            figure.add_trace(measured(timing, model, words), row=row, col=1)
            if model in predicted:
                figure.add_trace(_predicted(predicted[model], model, words), row=row, col=1)
    if report.machine is not None:
        figure.add_traces([_legend("circle", "measured", words), _legend("circle-open", "predicted", words)])
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title_text=words("live.latency_x_prefill", tokens=report.prompt_tokens), row=1, col=1)
    figure.update_xaxes(title_text=words("live.latency_x_decode"), row=2, col=1)
    figure.update_yaxes(showgrid=False, range=[-0.6, 1.6])
    figure.update_layout(margin={"t": 12 if report.machine is None else 44})
    return finish(figure, HEIGHT, words("live.latency_title"))


def measured(timing: LatencyFigure, model: str, words: Words) -> go.Scatter:
    """A model's median with its interquartile range."""
    colour, symbol = _STYLES.get(model, (BLUE, "square"))
    return go.Scatter(
        x=[timing.median_ms],
        y=[model_name(model, words)],
        error_x={"type": "data", "array": [timing.iqr_ms / 2], "color": colour, "thickness": 1.6, "width": 6},
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 13},
        showlegend=False,
        hovertemplate="%{x:.1f} ms<extra>%{y}</extra>",
    )


def _predicted(milliseconds: float, model: str, words: Words) -> go.Scatter:
    """A lower bound on the same line as its measurement, open."""
    colour, symbol = _STYLES.get(model, (BLUE, "square"))
    name = model_name(model, words)
    return go.Scatter(
        x=[milliseconds],
        y=[name],
        mode="markers",
        marker={"color": colour, "symbol": f"{symbol}-open", "size": 13, "line": {"width": 2, "color": colour}},
        cliponaxis=False,
        showlegend=False,
        hovertemplate=f"%{{x:.1f}} ms<extra>{words('live.latency_hover_predicted', model=name)}</extra>",
    )


def _legend(symbol: str, key: str, words: Words) -> go.Scatter:
    marker = {"color": NEUTRAL, "symbol": symbol, "size": 10, "line": {"width": 2, "color": NEUTRAL}}
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=words(f"live.latency_legend_{key}"))


def model_name(model: str, words: Words) -> str:
    """A model label for people."""
    return words(f"word.{model}") if model in _STYLES else model


def _summary(report: LatencyReport, words: Words) -> str:
    sentences = [
        words(
            "live.latency_summary",
            verdict=words(f"live.latency_{_verdict(report)}"),
            tokens=report.prompt_tokens,
            prefill=milliseconds(report.prefill["compressed"].median_ms, words),
            prefill_dense=milliseconds(report.prefill["dense"].median_ms, words),
            decode=milliseconds(report.decode["compressed"].median_ms, words),
            decode_dense=milliseconds(report.decode["dense"].median_ms, words),
            threads=report.threads,
            device=report.device,
        )
    ]
    if report.machine is not None:
        sentences.append(_comparison(report, report.machine, words))
    if report.execution:
        sentences.append(words("live.latency_execution", execution=words.sentence(report.execution)))
    return "\n\n".join(sentences)


def _verdict(report: LatencyReport) -> str:
    """Key of the plain sentence: is the smaller model faster, here?"""
    if not report.smaller:
        return "not_smaller"
    if report.faster_prefill and report.faster_decode:
        return "faster"
    if report.faster_prefill:
        return "faster_prefill"
    return "faster_decode" if report.faster_decode else "slower"


def milliseconds(value: float, words: Words) -> str:
    """A duration in milliseconds, without the unit."""
    return words.number(value) if value >= 1 else words.significant(value, 2)


def _comparison(report: LatencyReport, machine: Machine, words: Words) -> str:
    """How the measurement compares with the prediction."""
    prefill, decode = report.prefill_over_predicted, report.decode_over_predicted
    sentence = words(
        "live.latency_roofline",
        gflops=words.number(machine.flops_per_second / 1e9, 0),
        bandwidth=words.number(machine.bytes_per_second / 1e9, 0),
        decode=milliseconds(report.predicted_decode["compressed"], words),
        decode_dense=milliseconds(report.predicted_decode["dense"], words),
        prefill=milliseconds(report.predicted_prefill["compressed"], words),
        prefill_dense=milliseconds(report.predicted_prefill["dense"], words),
        decode_ratio=words.number(decode["compressed"]),
        decode_dense_ratio=words.number(decode["dense"]),
        prefill_ratio=words.number(prefill["compressed"]),
        prefill_dense_ratio=words.number(prefill["dense"]),
    )
    cached = min(*prefill.values(), *decode.values()) < 1
    return f"{sentence} {words('live.latency_below' if cached else 'live.latency_rest')}"


def _table(report: LatencyReport, words: Words) -> Table:
    keys = ["phase", "median", "iqr", "repeats"]
    foretold = report.machine is not None
    if foretold:
        keys += ["predicted", "ratio"]
    headers = (words("live.column.model"), *(words(f"live.latency_column.{key}") for key in keys))
    rows = tuple(
        (
            model_name(model, words),
            words(f"live.latency_{phase}"),
            timing.median_ms,
            timing.iqr_ms,
            timing.repeats,
            *((predicted[model], ratios[model]) if foretold else ()),
        )
        for phase, timings, predicted, ratios in _phases(report)
        for model, timing in timings.items()
    )
    return Table("latency", headers, rows)
