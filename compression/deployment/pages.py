"""The reports of ``pipeline`` and ``tune`` as pages that can be given away."""

from __future__ import annotations

import json
from collections.abc import Mapping

from compression.deployment.markup import Bar, bars, curve, folded, heading, page, paragraph, table
from compression.deployment.report import DENSE, BenchmarkChange, PipelineReport, StageReport, TrialReport, TuneReport
from compression.types import LatencyReport

Cells = list[tuple[str, ...]]


def stage_cells(report: PipelineReport) -> Cells:
    """A row for the model after each stage, header first."""
    cells: Cells = [("model", "perplexity", "all tensors, MB", "× smaller", "seconds", "")]
    dense = report.stages[0].stored_bytes
    for stage in report.stages:
        facts = ", ".join(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in stage.made.facts.items())
        seconds = f"{stage.made.seconds:.0f}" if stage.name != DENSE else ""
        size = f"{stage.stored_bytes / 1e6:.1f}", f"{dense / stage.stored_bytes:.2f}"
        cells.append((_named(stage), _perplexity(stage), *size, seconds, facts))
    return cells


def benchmark_cells(benchmark: BenchmarkChange) -> Cells:
    """A row for each benchmark, header first."""
    cells: Cells = [
        ("benchmark", "dense, %", "final, %", "difference", "normalised, dense", "final", "chance", "items")
    ]
    for task in benchmark.tasks:
        cells.append(
            (
                task.task,
                f"{100 * task.dense:.1f} ± {100 * task.dense_stderr:.1f}",
                f"{100 * task.final:.1f} ± {100 * task.final_stderr:.1f}",
                f"{100 * task.difference:+.1f} ± {100 * task.difference_stderr:.1f}",
                f"{100 * task.dense_norm:.1f}",
                f"{100 * task.final_norm:.1f}",
                f"{100 * task.chance:.1f}",
                str(task.items),
            )
        )
    return cells


def latency_cells(report: PipelineReport) -> Cells:
    """Dense and final model by the clock, with what the timed layers cost; header first."""
    cells: Cells = [("model", "prefill, ms", "IQR", "decode, ms a token", "IQR", "perplexity", "all tensors, MB")]
    assert report.latency is not None
    for label, name, measured in (
        ("dense", DENSE, report.stages[0].measured),
        ("compressed", _timed_name(report), report.timed_measured),
    ):
        figures = report.latency.prefill[label], report.latency.decode[label]
        times = (f"{value:.2f}" for each in figures for value in (each.median_ms, each.iqr_ms))
        cells.append((name, *times, f"{measured.perplexity:,.2f}", f"{measured.stored_bits / 8e6:.1f}"))
    return cells


def _timed_name(report: PipelineReport) -> str:
    return f"final in {report.timed.name}" if report.timed else "final as stored"


def pipeline_page(report: PipelineReport) -> str:
    """One HTML document of a pipeline."""
    measured = report.stages[0].measured
    parts = [paragraph(report.model_note)] if report.model_note else []
    parts += [
        heading("Perplexity"),
        bars(
            f"Perplexity on {measured.text.name}, {measured.convention}; lines: one standard error over windows",
            [
                Bar(
                    _named(stage),
                    stage.measured.perplexity,
                    stage.measured.perplexity_stderr,
                    second=stage.name != DENSE,
                )
                for stage in report.stages
            ],
        ),
        heading("Size"),
        bars(
            "All tensors as they are stored, MB (1,000,000 bytes)",
            [
                Bar(_named(stage), stage.stored_bytes / 1e6, digits=1, second=stage.name != DENSE)
                for stage in report.stages
            ],
        ),
        table(stage_cells(report)),
    ]
    for stage in report.stages:
        if stage.made.losses:
            points = [(float(point.step), point.loss) for point in stage.made.losses]
            parts += [heading("Training"), curve("Loss of a batch, nats a token", points, "step")]
    if report.benchmark is not None:
        parts += _benchmark_parts(report.benchmark)
    if report.latency is not None:
        parts += _latency_parts(report, report.latency)
    notes = [note for stage in report.stages for note in (*stage.measured.notes, *stage.made.notes)]
    notes += report.timed.notes if report.timed else ()
    if notes:
        parts += [heading("Notes"), folded(f"{len(set(notes))} notes", "\n".join(dict.fromkeys(notes)))]
    environment = report.stages[-1].environment
    where = f"{environment.threads} threads of {environment.processor}, torch {environment.torch}"
    parts += [heading("How it was made"), paragraph(f"{where}, commit {environment.commit}.")]
    parts.append(folded("The recipe, defaults filled in", json.dumps(report.recipe, indent=2, ensure_ascii=False)))
    stages = " → ".join(stage.name for stage in report.stages)
    return page(f"{report.model_id}: {stages}", parts)


def _benchmark_parts(benchmark: BenchmarkChange) -> list[str]:
    rows = []
    for task in benchmark.tasks:
        rows.append(Bar(f"{task.task}, dense", 100 * task.dense, 100 * task.dense_stderr, 1, second=False))
        rows.append(Bar(f"{task.task}, final", 100 * task.final, 100 * task.final_stderr, 1))
    caption = f"Accuracy, %; lines: one standard error, by bootstrap over items. {benchmark.convention}."
    return [heading("Benchmarks"), bars(caption, rows), table(benchmark_cells(benchmark))]


def _latency_parts(report: PipelineReport, latency: LatencyReport) -> list[str]:
    parts = [heading("Latency")]
    for caption, figures in (
        (f"Prefill of {latency.prompt_tokens} tokens, ms", latency.prefill),
        (f"A decoded token, ms, over {latency.decode_tokens} tokens", latency.decode),
    ):
        rows = [
            Bar(name, figures[label].median_ms, figures[label].iqr_ms / 2, second=label != "dense")
            for label, name in (("dense", DENSE), ("compressed", _timed_name(report)))
        ]
        parts.append(bars(f"{caption}; median, lines: half the interquartile range to each side", rows))
    said = f"{latency.threads} threads, both in turns in one run; {latency.execution}."
    return [*parts, table(latency_cells(report)), paragraph(said)]


def trial_cells(report: TuneReport) -> Cells:
    """A row for each trial, header first."""
    names = list(dict.fromkeys(name for trial in report.trials for name in trial.parameters))
    cells: Cells = [("trial", *report.objectives, *names, "state")]
    for trial in report.trials:
        values = tuple(_value(name, trial.values.get(name)) for name in report.objectives)
        tried = tuple(_fact(trial.parameters[name]) if name in trial.parameters else "" for name in names)
        cells.append((_trial(report, trial), *values, *tried, trial.error or trial.state))
    return cells


def importance_cells(report: TuneReport) -> Cells:
    """A row for each parameter, header first."""
    names = list(dict.fromkeys(name for shares in report.importances.values() for name in shares))
    cells: Cells = [("parameter", *report.importances)]
    cells += [(name, *(f"{shares[name]:.2f}" for shares in report.importances.values())) for name in names]
    return cells


def tune_page(report: TuneReport, figures: Mapping[str, str]) -> str:
    """One HTML document of a search.

    Args:
        report: of the search.
        figures: title → figure, as HTML.
    """
    parts = [paragraph(report.model_note)] if report.model_note else []
    said = f"Sampler {report.sampler}, pruner {report.pruner}. "
    said += f"The dense model has perplexity {report.dense.measured.perplexity:.2f} and takes "
    parts.append(paragraph(f"{said}{report.dense.stored_bytes / 1e6:.1f} MB. A star marks the best trials."))
    parts += [heading("Trials"), table(trial_cells(report))]
    if report.importances:
        parts += [heading("Importance of the settings"), table(importance_cells(report))]
    for title, figure in figures.items():
        parts += [heading(title), f'<div class="plot">{figure}</div>']
    parts.append(folded("The recipe, defaults filled in", json.dumps(report.recipe, indent=2, ensure_ascii=False)))
    return page(f"{report.model_id}: search for small {', '.join(report.objectives)}", parts)


def _named(stage: StageReport) -> str:
    return stage.name if stage.name == DENSE else f"after {stage.name}"


def _perplexity(stage: StageReport) -> str:
    spread = stage.measured.perplexity_stderr
    return f"{stage.measured.perplexity:,.2f}" + ("" if spread is None else f" ± {spread:,.2f}")


def _trial(report: TuneReport, trial: TrialReport) -> str:
    return f"{trial.number} ★" if trial.number in report.best else str(trial.number)


def _value(objective: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e6:.1f} MB" if objective == "bytes" else f"{value:,.2f}" + " ms" * (objective == "latency")


def _fact(value: bool | int | float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.6g}"
