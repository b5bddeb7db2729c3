"""A small model trained from scratch with gates, beside its twin without."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.adaptation.analysis import thinned
from compression.adaptation.scratch_report import ScratchReport
from views.figures.common import finish
from views.texts import Words
from views.theme import BLUE, NEUTRAL, VERMILLION
from views.widgets import Table, View

TWINS_HEIGHT = 460
AT_ONCE = 15
"""So many points of a noisy curve are averaged."""


def twins_view(report: ScratchReport, words: Words) -> View:
    """Loss of both runs on their batches, and the share of weights that the one with gates has lost, over the steps."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.65, 0.35])
    for run, colour, dash in ((report.plain, NEUTRAL, "solid"), (report.gated, VERMILLION, "dash")):
        curve = thinned(run.curve)
        figure.add_trace(
            go.Scatter(
                x=[point.step for point in curve],
                y=smoothed([point.loss for point in curve]),
                mode="lines",
                name=words(f"adapt.scratch_{run.name}"),
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate="%{x}: %{y:.3f}",
            ),
            row=1,
            col=1,
        )
    curve = thinned(report.gated.curve)
    figure.add_trace(
        go.Scatter(
            x=[point.step for point in curve],
            y=[point.removed_fraction for point in curve],
            mode="lines",
            name=words("adapt.curve_removed"),
            line={"color": BLUE, "width": 2},
            hovertemplate="%{x}: %{y:.1%}",
        ),
        row=2,
        col=1,
    )
    figure.update_yaxes(title_text=words("adapt.scratch_y"), row=1, col=1)
    figure.update_yaxes(title_text=words("adapt.curves_y_removed"), tickformat=".0%", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text=words("adapt.curves_x"), row=2, col=1)
    figure.update_layout(margin={"t": 12, "b": 8}, legend={"y": 1.02}, showlegend=True)
    removal = report.gated.removal
    summary = words(
        "adapt.scratch_summary",
        plain=words.number(report.plain.perplexity, 2),
        gated=words.number(report.gated.perplexity, 2),
        change=f"{'+' if report.perplexity_change >= 0 else '−'}{words.percent(abs(report.perplexity_change))}",
        removed=words.percent(removal.removed_fraction if removal else 0.0),
        start=report.settings.sparsity_start,
        settle=report.settings.settle,
        date=report.environment.date[:10],
        commit=report.environment.commit[:10],
    )
    keys = ("run", "parameters", "removed", "perplexity", "train_seconds")
    rows = tuple(
        (
            words(f"adapt.scratch_{run.name}"),
            run.parameters,
            run.removal.removed_fraction if run.removal else None,
            run.perplexity,
            run.train_seconds,
        )
        for run in (report.plain, report.gated)
    )
    table = Table("from-scratch", tuple(words(f"adapt.column.{key}") for key in keys), rows, shares=frozenset({2}))
    return View(finish(figure, TWINS_HEIGHT, words("adapt.scratch_title")), summary, table)


def smoothed(values: list[float]) -> list[float]:
    """Means over `AT_ONCE` neighbours, fewer at the ends."""
    half = AT_ONCE // 2
    windows = (values[max(0, place - half) : place + half + 1] for place in range(len(values)))
    return [sum(window) / len(window) for window in windows]
