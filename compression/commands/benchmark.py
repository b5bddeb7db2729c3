"""``benchmark``: zero-shot accuracy on the eight benchmarks, and LAMBADA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.shared import (
    SCHEMAS,
    JsonOption,
    ModelArgument,
    app,
    check_output,
    named,
    output,
    run,
    show_notes,
    show_table,
    write,
)
from compression.zero_shot.report import BenchmarkReport

SCHEMAS |= {"benchmark": BenchmarkReport}


@app.command()
def benchmark(
    model: ModelArgument,
    tasks: Annotated[
        str, typer.Option("--tasks", help="Comma-separated: mmlu, arc_easy, …; all: the eight, or all of the folder.")
    ] = "all",
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with a TASK.jsonl for each; without it the Hub is asked.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="Items a task at most, from the first on; of MMLU equally many a subject."),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Score a language model on zero-shot benchmarks: MMLU, ARC-easy, CommonsenseQA, OpenBookQA and four more."""
    check_output(json_file)
    from compression.workbench import get_workbench

    report = run(get_workbench().benchmark(model, tasks, "" if data is None else str(data), limit))
    show(report)
    write(report, json_file)


def show(report: BenchmarkReport) -> None:
    """Print a line for each task."""
    output.print(f"{named(report.model_id, report.model_note)}: {report.convention}.", highlight=False, markup=False)
    rows: list[tuple[str, ...]] = [("", "accuracy, %", "accuracy_norm, %", "chance, %", "items", "seconds")]
    for name, each in report.tasks.items():
        plain, normalised = (
            f"{100 * value:.1f} ± {100 * error:.1f}"
            for value, error in ((each.accuracy, each.stderr), (each.accuracy_norm, each.stderr_norm))
        )
        rows.append((name, plain, normalised, f"{100 * each.chance:.1f}", str(each.items), f"{each.seconds:.0f}"))
    rows.append(("mean", f"{100 * report.mean_accuracy:.1f}", "", "", "", ""))
    show_table(rows)
    show_notes(report.notes)
