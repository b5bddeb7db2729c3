"""``sweep``: a grid of models, methods, policies, budgets, seeds and tasks; ``bench needs``: what larger ones take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.benchmarks.needs_report import NeedsBenchmark
from compression.commands.shared import (
    SCHEMAS,
    JsonOption,
    app,
    bench,
    check_output,
    errors,
    output,
    run,
    show_notes,
    show_table,
    write,
)
from compression.errors import UserError
from compression.models import DEFAULT_MODEL
from compression.sweeping.report import SweepReport

SCHEMAS |= {"sweep": SweepReport, "bench needs": NeedsBenchmark}


@app.command()
def sweep(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="The grid, see the README.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the sweep; what it holds is not measured again.")],
    engine: Annotated[str, typer.Option("--engine", help="local: processes here; ray: a cluster.")] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", help="Local processes; by default what cores and memory allow.")
    ] = None,
    address: Annotated[
        str, typer.Option("--address", help="Of a Ray cluster, HOST:PORT; by default one is started here.")
    ] = "",
    json_file: JsonOption = None,
) -> None:
    """Measure every cell of a grid once, on this machine or a cluster; an interrupted sweep goes on where it was."""
    check_output(json_file)
    from compression.session import MAX_POINTS
    from compression.sweeping.frontier import PAGE_FILE, RESULTS_FILE, RUNS_FILE, runs_kept
    from compression.sweeping.pages import frontier_cells
    from compression.sweeping.recipe import read_sweep
    from compression.sweeping.runner import sweep as steps

    report = run(steps(read_sweep(recipe), out, engine, workers, address))
    show_table(frontier_cells(report.points))
    measured = len(report.cells) - report.found
    said = f"{len(report.cells)} cells: {report.found} found, {measured} measured by {report.workers} workers"
    said += f" in {report.seconds:.0f} s; {report.lost} workers lost, {report.repeated} cells begun again for that, "
    said += f"{report.twice} answered twice, {len(report.failed)} without a figure."
    output.print(said, highlight=False, soft_wrap=True)
    figures, kept = len(report.cells) - len(report.failed), runs_kept(report.cells)
    if kept < figures:
        output.print(
            f"{RUNS_FILE} has {kept} of the {figures} figures: the tab Trade-offs draws no accuracies and holds "
            f"{MAX_POINTS} runs. {RESULTS_FILE} has all.",
            highlight=False,
            soft_wrap=True,
        )
    show_notes((*report.left_out, *dict.fromkeys(f"{cell.model}: {cell.problem}" for cell in report.failed)))
    for name in (RESULTS_FILE, RUNS_FILE, PAGE_FILE):
        errors.print(f"wrote {out / name}", highlight=False)
    write(report, json_file)


@bench.command("needs")
def needs(
    model: Annotated[list[str] | None, typer.Argument(help="The first one is the reference, others check it.")] = None,
    sequences: Annotated[int, typer.Option("--sequences", help="For calibration and for gradients.")] = 16,
    length: Annotated[int, typer.Option("--sequence-length", help="Tokens a sequence.")] = 256,
    cells: Annotated[int, typer.Option("--cells", help="Of the sweep that larger models are asked about.")] = 40,
    workers: Annotated[int, typer.Option("--workers", help="Machines like this one that share it.")] = 2,
    json_file: JsonOption = None,
) -> None:
    """Check the models of memory and time on models that are here; ask them about 1, 8 and 70 billion parameters."""
    check_output(json_file)
    for name, value, most in (
        ("sequences", sequences, 1024),
        ("sequence-length", length, 4096),
        ("cells", cells, 10**6),
    ):
        if not 1 <= value <= most:
            raise UserError(f"--{name} takes a number from 1 to {most}, but {value} was given.")
    if not 1 <= workers <= 10**5:
        raise UserError(f"--workers takes a number from 1 to {10**5}, but {workers} was given.")
    from compression.benchmarks.needs import benchmark_needs

    report = run(benchmark_needs(model or [DEFAULT_MODEL], sequences, length, cells, workers))
    rows: list[tuple[str, ...]] = [
        ("model", "phase", "peak, GiB", "memory model", "÷ measured", "seconds", "time model", "÷ measured")
    ]
    for each in report.checks:
        sizes = each.measured_bytes, each.predicted_bytes
        memory = *(f"{size / 2**30:.2f}" for size in sizes), f"{each.predicted_bytes / each.measured_bytes:.2f}"
        foretold = each.predicted_seconds
        time = ("reference", "") if foretold is None else (f"{foretold:.0f}", f"{foretold / each.measured_seconds:.2f}")
        rows.append((each.model_id, each.phase, *memory, f"{each.measured_seconds:.0f}", *time))
    show_table(rows)
    rows = [
        ("", "parameters", "memory, GB", "streamed, GB", "disk, GB", "statistics, h", "a cell, h", "the sweep, days")
    ]
    for size in report.sizes:
        gigabytes = (f"{value / 1e9:.0f}" for value in (size.whole_bytes, size.streamed_bytes, size.disk_bytes))
        hours = (f"{value / 3600:.1f}" for value in (size.statistics_seconds, size.cell_seconds))
        rows.append(
            (size.name, f"{size.num_parameters / 1e9:.1f} B", *gigabytes, *hours, f"{size.sweep_seconds / 86400:.1f}")
        )
    show_table(rows)
    machines = f"{report.workers} machines like this one ({report.environment.threads} threads)"
    output.print(f"One model, one seed, {report.cells} cells, {machines}, streamed.", highlight=False)
    write(report, json_file)
