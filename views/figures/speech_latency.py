"""Latency of a speech model, dense beside compressed: the encoder of one window, a decoded token, and the whole."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.types import SpeechLatencyReport
from views.figures.common import finish
from views.figures.latency import measured, milliseconds, model_name
from views.texts import Words
from views.widgets import Table, View

HEIGHT = 390


def view(report: SpeechLatencyReport, words: Words) -> View:
    """The points, their sentence and their table."""
    return View(_figure(report, words), _summary(report, words), _table(report, words))


def _figure(report: SpeechLatencyReport, words: Words) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.34)
    for row, timings in enumerate((report.encoder, report.decode), start=1):
        for model, timing in timings.items():
            figure.add_trace(measured(timing, model, words), row=row, col=1)
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title_text=words("speech.latency_x_encoder"), row=1, col=1)
    figure.update_xaxes(title_text=words("live.latency_x_decode"), row=2, col=1)
    figure.update_yaxes(showgrid=False, range=[-0.6, 1.6])
    figure.update_layout(margin={"t": 12})
    return finish(figure, HEIGHT, words("live.latency_title"))


def _verdict(report: SpeechLatencyReport) -> str:
    """Key of the plain sentence: is the smaller model faster, here?"""
    if not report.smaller:
        return "live.latency_not_smaller"
    if report.faster_encoder and report.faster_decode:
        return "live.latency_faster"
    if report.faster_encoder:
        return "speech.latency_faster_encoder"
    return "speech.latency_faster_decode" if report.faster_decode else "live.latency_slower"


def _summary(report: SpeechLatencyReport, words: Words) -> str:
    sentence = words(
        "speech.latency_summary",
        verdict=words(_verdict(report)),
        encoder=milliseconds(report.encoder["compressed"].median_ms, words),
        encoder_dense=milliseconds(report.encoder["dense"].median_ms, words),
        decode=milliseconds(report.decode["compressed"].median_ms, words),
        decode_dense=milliseconds(report.decode["dense"].median_ms, words),
        audio=words.number(report.audio_seconds),
        factor=words.significant(report.real_time_factor["compressed"], 2),
        factor_dense=words.significant(report.real_time_factor["dense"], 2),
        threads=report.threads,
        device=report.device,
    )
    if not report.execution:
        return sentence
    return f"{sentence}\n\n{words('live.latency_execution', execution=words.sentence(report.execution))}"


def _table(report: SpeechLatencyReport, words: Words) -> Table:
    headers = (
        words("live.column.model"),
        *(words(f"live.latency_column.{key}") for key in ("phase", "median", "iqr", "repeats")),
        words("speech.column.factor"),
    )
    phases = (("speech.latency_encoder", report.encoder), ("live.latency_decode", report.decode))
    rows = tuple(
        (
            model_name(model, words),
            words(phase),
            timing.median_ms,
            timing.iqr_ms,
            timing.repeats,
            report.real_time_factor[model],
        )
        for phase, timings in phases
        for model, timing in timings.items()
    )
    return Table("speech-latency", headers, rows)
