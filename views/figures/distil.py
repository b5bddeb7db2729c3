"""The deployment pipeline drawn: losses, stages, benchmarks, formats, byte budgets, and a search."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from compression.deployment.analysis import (
    LossTrace,
    OptimizerMean,
    StagePoint,
    TaskDots,
    UnderQuantization,
    best_at,
    best_trial,
    budget_lines,
    history,
    smoothed,
)
from compression.deployment.report import TuneReport
from compression.mixing.report import MixReport
from compression.quantization.formats_report import FormatsReport
from views.figures.common import finish, rows_height
from views.texts import Words
from views.theme import BLUE, GREEN, NEUTRAL, PURPLE, VERMILLION
from views.widgets import Table, View

TICKS = (2, 5, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000, 100_000)
"""Of the logarithmic axis of perplexity: fine where models are of use."""
LOSS_HEIGHT = 400
STAGES_HEIGHT = 400
BUDGET_HEIGHT = 440
SEARCH_HEIGHT = 520
ROW = 46
QUANTIZED_HEIGHT = 340
DUMBBELL_ROW = 30
ROOM = 1.35
"""The axis of sizes goes on for so much longer: names stand to the right of their points."""
OPTIMIZER_STYLES = {"adamw": (BLUE, "solid", "circle"), "muon": (VERMILLION, "dash", "square")}
SINGLE_STYLE = (VERMILLION, "solid", "square")
LINE_STYLES = ((BLUE, "solid"), (VERMILLION, "dash"), (PURPLE, "dot"), (GREEN, "longdash"))
MB = 1_000_000


def losses_view(traces: Sequence[LossTrace], means: Sequence[OptimizerMean], words: Words) -> View:
    """The loss of every training over its steps; what the optimisers ended with in the sentence and the table."""
    figure = go.Figure()
    named: set[str] = set()
    for trace in traces:
        colour, dash, symbol = OPTIMIZER_STYLES.get(trace.optimizer, (GREEN, "dot", "diamond"))
        smooth = smoothed(trace)
        figure.add_trace(
            go.Scatter(
                x=list(smooth.steps),
                y=list(smooth.losses),
                mode="lines" if len(smooth.steps) > 1 else "markers",
                name=words.name("optimizer", trace.optimizer),
                legendgroup=trace.optimizer,
                showlegend=trace.optimizer not in named,
                line={"color": colour, "dash": dash, "width": 2.5 if trace.optimizer not in named else 1.2},
                opacity=1.0 if trace.optimizer not in named else 0.45,
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertemplate=f"{words('distil.seed')} {trace.seed}, %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
        named.add(trace.optimizer)
    figure.update_xaxes(title_text=words("distil.losses_x"), rangemode="tozero")
    figure.update_yaxes(title_text=words("distil.losses_y"))
    figure.update_layout(margin={"t": 12}, legend={"y": 1.04}, showlegend=True)
    said = " ".join(_ended(mean, words) for mean in means) or " ".join(_now(trace, words) for trace in traces)
    table = _means_table(means, words) if means else _traces_table(traces, words)
    return View(finish(figure, LOSS_HEIGHT, words("distil.losses_title")), said, table)


def _ended(mean: OptimizerMean, words: Words) -> str:
    """What an optimiser ended with, without what was not asked for."""
    parts = [
        words(
            "distil.losses_mean",
            optimizer=words.name("optimizer", mean.optimizer),
            perplexity=words.number(mean.perplexity, 2),
            seeds=mean.seeds,
            time=words.duration(mean.seconds),
        )
    ]
    if mean.gap_closed is not None:
        parts.append(words("distil.losses_gap", closed=words.percent(mean.gap_closed)))
    if mean.quantized is not None:
        parts.append(words("distil.losses_quantized", quantized=words.number(mean.quantized, 2)))
    return f"{', '.join(parts)}."


def _now(trace: LossTrace, words: Words) -> str:
    return words(
        "distil.losses_now",
        optimizer=words.name("optimizer", trace.optimizer),
        step=words.number(trace.steps[-1], 0),
        loss=words.significant(smoothed(trace).losses[-1]),
    )


def _means_table(means: Sequence[OptimizerMean], words: Words) -> Table:
    keys = ("optimizer", "seeds", "perplexity", "gap", "quantized", "steps", "seconds")
    rows = tuple(
        (
            words.name("optimizer", mean.optimizer),
            mean.seeds,
            mean.perplexity,
            mean.gap_closed,
            mean.quantized,
            mean.steps,
            mean.seconds,
        )
        for mean in means
    )
    return Table("optimisers", tuple(words(f"distil.column.{key}") for key in keys), rows, shares=frozenset({3}))


def _traces_table(traces: Sequence[LossTrace], words: Words) -> Table:
    """Every step of trainings that are on the way."""
    keys = ("optimizer", "seed", "step", "loss")
    rows = tuple(
        (words.name("optimizer", trace.optimizer), trace.seed, step, loss)
        for trace in traces
        for step, loss in zip(trace.steps, trace.losses, strict=True)
    )
    return Table("losses", tuple(words(f"distil.column.{key}") for key in keys), rows)


def quantized_view(found: UnderQuantization, words: Words) -> View:
    """Every student before and after GPTQ: on a logarithmic axis a bar is as long as what the loss rises by."""
    places = list(range(len(found.rises)))
    labels = [_student(rise.optimizer, rise.seed, words) for rise in found.rises]
    styles = [OPTIMIZER_STYLES.get(rise.optimizer, (NEUTRAL, "dot", "diamond")) for rise in found.rises]
    figure = go.Figure()
    for name, value, dash in (
        (words("distil.before"), found.dense, "solid"),
        (words("distil.not_distilled"), found.student, "dot"),
    ):
        figure.add_trace(
            go.Scatter(
                x=[value, value],
                y=[-0.5, len(places) - 0.5],
                mode="lines",
                name=f"{name}: {words.number(value, 2)}",
                line={"color": NEUTRAL, "dash": dash, "width": 1.5},
                hoverinfo="skip",
            )
        )
    for place, rise, (colour, dash, _) in zip(places, found.rises, styles, strict=True):
        figure.add_trace(
            go.Scatter(
                x=[rise.before, rise.after],
                y=[place, place],
                mode="lines",
                line={"color": colour, "dash": dash, "width": 2.5},
                showlegend=False,
                hoverinfo="skip",
            )
        )
    for name, values, ending in (
        (words("distil.before_gptq"), [rise.before for rise in found.rises], "-open"),
        (words("distil.after_gptq", bits=found.bits), [rise.after for rise in found.rises], ""),
    ):
        figure.add_trace(
            go.Scatter(
                x=values,
                y=places,
                mode="markers",
                name=name,
                text=labels,
                marker={
                    "color": [colour for colour, _, _ in styles],
                    "symbol": [f"{symbol}{ending}" for _, _, symbol in styles],
                    "size": 11,
                    "line": {"width": 2},
                },
                hovertemplate="%{text}: %{x:.2f}",
            )
        )
    figure.update_xaxes(title_text=words("distil.quantized_x"), type="log", range=list(found.exponents))
    figure.update_yaxes(
        tickvals=places,
        ticktext=labels,
        range=[len(places) - 0.5, -0.5],
        showgrid=False,
        automargin=True,
        title_text="",
    )
    figure.update_layout(margin={"t": 12}, legend={"y": 1.04})
    height = rows_height(240, len(places), DUMBBELL_ROW, 130)
    return View(finish(figure, height, words("distil.quantized_title")), _risen(found, words), _rises(found, words))


def _student(optimizer: str, seed: int | None, words: Words) -> str:
    """A student by what it has learned with."""
    if seed is None:
        return words("distil.not_distilled")
    return words("distil.optimizer_seed", optimizer=words.name("optimizer", optimizer), seed=seed)


def _risen(found: UnderQuantization, words: Words) -> str:
    """What GPTQ adds to the loss, and whether that depends on the optimiser by more than on the seed."""
    parts = []
    for each in found.ranges:
        key = "distil.rise_range" if each.seeds > 1 else "distil.rise"
        parts.append(
            words(
                key,
                optimizer=words.name("optimizer", each.optimizer),
                mean=words.number(each.mean, 3),
                low=words.number(each.low, 3),
                high=words.number(each.high, 3),
                seeds=each.seeds,
            )
        )
    parts += [
        words("distil.rise", optimizer=words("distil.not_distilled"), mean=words.number(rise.nats, 3))
        for rise in found.rises
        if rise.seed is None
    ]
    verdict = "" if found.overlap is None else words("distil.overlap" if found.overlap else "distil.apart")
    return words("distil.quantized_summary", bits=found.bits, rises=", ".join(parts), verdict=verdict)


def _rises(found: UnderQuantization, words: Words) -> Table:
    keys = ("optimizer", "seed", "perplexity", "quantized", "rise")
    dense = (words("distil.before"), None, found.dense, None, None)
    student = (words("distil.not_distilled"), None, found.student, None, None)
    rows = [
        (
            words.name("optimizer", rise.optimizer) if rise.optimizer else words("distil.not_distilled"),
            rise.seed,
            rise.before,
            rise.after,
            rise.nats,
        )
        for rise in found.rises
    ]
    first = [dense] if any(rise.seed is None for rise in found.rises) else [dense, student]
    return Table("quantised", tuple(words(f"distil.column.{key}") for key in keys), (*first, *rows))


def stages_view(runs: Sequence[tuple[str, Sequence[StagePoint]]], words: Words) -> View:
    """Where a model is after every stage: its perplexity over its size.

    Args:
        runs: an optimiser's name, or an empty one without distillation, and the stages.
        words: the language.
    """
    figure = go.Figure()
    rows: list[tuple[str | float | None, ...]] = []
    drawn: set[StagePoint] = set()
    for optimizer, points in runs:
        colour, dash, symbol = OPTIMIZER_STYLES.get(optimizer, (GREEN, "dot", "diamond"))
        label = words.name("optimizer", optimizer) if optimizer else words("distil.run")
        names = [words(f"distil.stage.{point.name}") for point in points]
        figure.add_trace(
            go.Scatter(
                x=[point.megabytes for point in points],
                y=[point.perplexity for point in points],
                mode="lines+markers+text",
                name=label,
                text=["" if point in drawn else name for name, point in zip(names, points, strict=True)],
                textposition="bottom right" if drawn else "top right",
                customdata=names,
                line={"color": colour, "dash": dash, "width": 1.5},
                marker={"color": colour, "symbol": symbol, "size": 11},
                error_y={"array": [point.stderr or 0 for point in points], "thickness": 1},
                hovertemplate="%{customdata}: %{x:.1f} MB, %{y:.2f}",
                cliponaxis=False,
            )
        )
        drawn.update(points)
        rows += [
            (label, name, point.megabytes, point.perplexity, point.stderr, point.seconds)
            for name, point in zip(names, points, strict=True)
        ]
    largest = max(point.megabytes for _, points in runs for point in points)
    figure.update_xaxes(title_text=words("distil.size_x"), range=[0, ROOM * largest])
    figure.update_yaxes(title_text=words("distil.perplexity_y"))
    figure.update_layout(margin={"t": 30}, showlegend=len(runs) > 1, legend={"y": 1.06})
    first, last = runs[0][1][0], runs[0][1][-1]
    said = words(
        "distil.stages_summary",
        size=words.number(first.megabytes, 0),
        perplexity=words.number(first.perplexity, 2),
        small=words.number(last.megabytes, 0),
        final=words.number(last.perplexity, 2),
    )
    keys = ("run", "stage", "megabytes", "perplexity", "stderr", "seconds")
    table = Table("stages", tuple(words(f"distil.column.{key}") for key in keys), tuple(rows))
    return View(finish(figure, STAGES_HEIGHT, words("distil.stages_title")), said, table)


def benchmarks_view(runs: Sequence[tuple[str, Sequence[TaskDots]]], words: Words, prices: Sequence[str] = ()) -> View:
    """Accuracy before and after, with 95 % intervals, and what guessing would give.

    Args:
        runs: an optimiser's name, or an empty one for a single run, and its benchmarks; the same ones for all.
        words: the language.
        prices: what each run's models take, in bytes and milliseconds, a sentence.
    """
    first = runs[0][1]
    tasks = [words.name("task", dot.task) for dot in first]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[dot.chance for dot in first],
            y=tasks,
            mode="markers",
            name=words("distil.chance"),
            marker={"symbol": "line-ns-open", "size": 22, "color": NEUTRAL, "line": {"width": 2}},
            orientation="h",
            hovertemplate="%{y}: %{x:.1%}",
        )
    )
    named = [
        (_final(optimizer, words), OPTIMIZER_STYLES.get(optimizer, SINGLE_STYLE), dots) for optimizer, dots in runs
    ]
    models = [(words("distil.before"), (NEUTRAL, "diamond"), [(dot.before, dot.before_half) for dot in first])]
    models += [
        (name, (colour, f"{symbol}-open"), [(dot.after, dot.after_half) for dot in dots])
        for name, (colour, _, symbol), dots in named
    ]
    for name, (colour, symbol), values in models:
        figure.add_trace(
            go.Scatter(
                x=[value for value, _ in values],
                y=tasks,
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 2}},
                error_x={"array": [half for _, half in values], "thickness": 1.5, "color": colour},
                orientation="h",
                offsetgroup=name,
                hovertemplate="%{y}: %{x:.1%}",
            )
        )
    figure.update_xaxes(title_text=words("distil.accuracy_x"), tickformat=".0%", range=[0, 1.04])
    figure.update_yaxes(autorange="reversed", title_text="")
    figure.update_layout(margin={"t": 12}, legend={"y": 1.04}, scattermode="group", scattergap=0.5)
    changes = [_most_lost(name if len(named) > 1 else "", dots, words) for name, _, dots in named]
    said = " ".join(each for run in itertools.zip_longest(changes, prices) for each in run if each)
    keys = ("run", "task", "items", "chance", "before", "half", "after", "half", "difference", "half")
    rows = tuple(
        (
            name,
            words.name("task", d.task),
            d.items,
            d.chance,
            d.before,
            d.before_half,
            d.after,
            d.after_half,
            d.difference,
            d.difference_half,
        )
        for name, _, dots in named
        for d in dots
    )
    headers = tuple(words(f"distil.column.{key}") for key in keys)
    table = Table("benchmarks", headers, rows, shares=frozenset(range(3, 10)))
    height = rows_height(240, len(first), ROW, 110)
    return View(finish(figure, height, words("distil.benchmarks_title")), said, table)


def _final(optimizer: str, words: Words) -> str:
    """A run's final model."""
    return words.name("optimizer", optimizer) if optimizer else words("distil.after")


def _most_lost(name: str, dots: Sequence[TaskDots], words: Words) -> str:
    """The benchmark that changed for the worst, and how many changed for sure."""
    worst = min(dots, key=lambda dot: dot.difference)
    said = words(
        "distil.benchmarks_summary",
        task=words.name("task", worst.task),
        change=_signed(worst.difference, words),
        half=words.percent(worst.difference_half),
        sure=sum(abs(dot.difference) > dot.difference_half for dot in dots),
        tasks=len(dots),
    )
    return f"{name}: {said}" if name else said


def _signed(share: float, words: Words) -> str:
    return f"{'+' if share >= 0 else '−'}{words.percent(abs(share))}"


def formats_view(report: FormatsReport, words: Words) -> View:
    """Milliseconds a decoded token in every format, with its size: faster, or only smaller."""
    names = [words.name("format", each.name) for each in report.formats]
    said = [words("distil.faster" if each.faster else "distil.not_faster") for each in report.formats]
    said[0] = words("distil.reference")
    sizes = [each.stored_bits / 8 / MB for each in report.formats]
    labels = [
        words("distil.format_label", name=name, size=words.number(size, 0), verdict=word)
        for name, size, word in zip(names, sizes, said, strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=[each.decode.median_ms for each in report.formats],
            y=labels,
            orientation="h",
            marker={
                "color": [GREEN if each.faster else NEUTRAL for each in report.formats],
                "pattern": {"shape": ["" if each.faster else "/" for each in report.formats]},
            },
            error_x={"array": [each.decode.iqr_ms / 2 for each in report.formats], "thickness": 1.5},
            hovertemplate="%{y}: %{x:.1f} ms<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=words("distil.decode_x"), rangemode="tozero")
    figure.update_yaxes(autorange="reversed", title_text="")
    figure.update_layout(margin={"t": 12}, showlegend=False)
    first = report.formats[0]
    quickest = min(report.formats, key=lambda each: each.decode.median_ms)
    summary = words(
        "distil.formats_summary",
        name=words.name("format", quickest.name),
        quick=words.number(quickest.decode.median_ms),
        dense=words.number(first.decode.median_ms),
        perplexity=words.number(quickest.perplexity, 2),
        before=words.number(first.perplexity, 2),
        threads=report.threads,
        processor=report.environment.processor,
    )
    least = min(range(len(sizes)), key=sizes.__getitem__)
    smallest = words(
        "distil.formats_smallest", name=names[least], size=words.number(sizes[least], 0), verdict=said[least]
    )
    keys = ("format", "megabytes", "resident", "decode", "prefill", "perplexity", "verdict")
    rows = tuple(
        (name, size, each.resident_bytes / MB, each.decode.median_ms, each.prefill.median_ms, each.perplexity, word)
        for name, size, each, word in zip(names, sizes, report.formats, said, strict=True)
    )
    table = Table("formats", tuple(words(f"distil.column.{key}") for key in keys), rows)
    height = rows_height(220, len(names), ROW, 100)
    return View(finish(figure, height, words("distil.formats_title")), f"{summary} {smallest}", table)


def way_name(name: str, words: Words) -> str:
    """A way to meet a budget, for people: ``METHOD + gptq`` part by part."""
    parts = [words.name("mix", part) for part in name.split(" + ")]
    return " + ".join(words.name("method", part) for part in parts)


def budget_view(report: MixReport, megabytes: float, words: Words) -> View:
    """Predicted perplexity over size for every family of choices, and what was measured at one budget."""
    figure = go.Figure()
    for line, (colour, dash) in zip(budget_lines(report), LINE_STYLES, strict=False):
        figure.add_trace(
            go.Scatter(
                x=list(line.megabytes),
                y=list(line.perplexities),
                mode="lines",
                name=way_name(line.name, words),
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate="%{x:.1f} MB: %{y:.2f}",
            )
        )
    worst = 40 * report.dense.perplexity
    shown = [run for run in report.runs if run.perplexity <= worst]
    figure.add_trace(
        go.Scatter(
            x=[run.stored_bits / 8 / MB for run in shown],
            y=[run.perplexity for run in shown],
            mode="markers",
            name=words("distil.measured"),
            text=[way_name(run.name, words) for run in shown],
            marker={"symbol": "x", "size": 11, "color": NEUTRAL},
            hovertemplate="%{text}: %{x:.1f} MB, %{y:.2f}",
        )
    )
    figure.add_vline(x=megabytes, line={"color": NEUTRAL, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title_text=words("distil.size_x"))
    figure.update_yaxes(title_text=words("distil.perplexity_y"), type="log", tickvals=TICKS, tickformat="~s")
    figure.update_layout(margin={"t": 12}, legend={"y": 1.04})
    best = best_at(report, megabytes)
    said = words("distil.budget_none", size=words.number(megabytes, 0))
    if best is not None:
        said = words(
            "distil.budget_best",
            size=words.number(megabytes, 0),
            name=way_name(best[0], words),
            used=words.number(best[1], 0),
            perplexity=words.number(best[2], 2),
        )
    joint = next((run for run in report.runs if run.name == "joint"), None)
    others = [run for run in report.runs if run.name != "joint"]
    if joint is not None and report.outdone is not None:
        said = " ".join(
            (
                said,
                words(
                    "distil.budget_outdone",
                    bits=words.number(report.budget_bits_per_weight, 2),
                    joint=words.number(joint.perplexity, 2),
                    name=way_name(joint.taken_from, words),
                    mixed=words.number(report.outdone.perplexity, 2),
                ),
            )
        )
        others = []
    if joint is not None and others:
        second = min(others, key=lambda run: run.perplexity)
        measured = words(
            "distil.budget_measured",
            bits=words.number(report.budget_bits_per_weight, 2),
            joint=words.number(joint.perplexity, 2),
            other=way_name(second.name, words),
            second=words.number(second.perplexity, 2),
        )
        said = f"{said} {measured}"
    keys = ("way", "bits", "megabytes", "perplexity", "predicted")
    rows = tuple(
        (way_name(run.name, words), run.bits_per_weight, run.stored_bits / 8 / MB, run.perplexity, run.predicted_loss)
        for run in report.runs
    )
    table = Table("budget", tuple(words(f"distil.column.{key}") for key in keys), rows)
    return View(finish(figure, BUDGET_HEIGHT, words("distil.budget_title")), said, table)


def search_view(report: TuneReport, words: Words) -> View:
    """The trials of a search in order with the best so far, and which settings mattered."""
    points = history(report)
    objective = report.objectives[0]
    shares = report.importances.get(objective, {})
    figure = make_subplots(rows=2, cols=1, row_heights=[0.62, 0.38], vertical_spacing=0.2)
    figure.add_trace(
        go.Scatter(
            x=[point.number for point in points],
            y=[point.value for point in points],
            mode="markers",
            name=words("distil.trial"),
            marker={"color": BLUE, "symbol": "circle", "size": 9},
            hovertemplate="%{x}: %{y:.2f}",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Scatter(
            x=[point.number for point in points],
            y=[point.best for point in points],
            mode="lines",
            name=words("distil.best_so_far"),
            line={"color": VERMILLION, "dash": "dash", "shape": "hv", "width": 2},
            hovertemplate="%{x}: %{y:.2f}",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Bar(
            x=list(shares.values()),
            y=list(shares),
            orientation="h",
            marker={"color": GREEN},
            showlegend=False,
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        ),
        row=2,
        col=1,
    )
    figure.update_xaxes(title_text=words("distil.trial_x"), dtick=max(1, len(points) // 8), row=1, col=1)
    figure.update_yaxes(title_text=words.name("objective", objective), row=1, col=1)
    figure.update_xaxes(title_text=words("distil.importance_x"), tickformat=".0%", range=[0, 1], row=2, col=1)
    figure.update_yaxes(automargin=True, autorange="reversed", row=2, col=1)
    figure.update_layout(margin={"t": 12}, legend={"y": 1.04})
    best = best_trial(report)
    said = words("distil.search_none")
    if best is not None:
        chosen = ", ".join(f"`{name} = {_short(value, words)}`" for name, value in best.parameters.items())
        said = words(
            "distil.search_summary",
            trials=len(report.trials),
            number=best.number,
            value=words.number(best.values[objective], 2),
            chosen=chosen,
            pruned=sum(trial.state == "pruned" for trial in report.trials),
        )
    names = list(report.trials[0].parameters) if report.trials else []
    rows = tuple(
        (
            trial.number,
            words.name("distil.state", trial.state),
            *(trial.values.get(each) for each in report.objectives),
            *(_short(trial.parameters.get(name, ""), words) for name in names),
        )
        for trial in report.trials
    )
    measured = (words.name("objective", each) for each in report.objectives)
    headers = (words("distil.column.trial"), words("distil.column.state"), *measured, *names)
    return View(finish(figure, SEARCH_HEIGHT, words("distil.search_title")), said, Table("search", headers, rows))


def _short(value: object, words: Words) -> str:
    return words.significant(value) if isinstance(value, float) else str(value)
