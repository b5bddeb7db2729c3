"""``pipeline`` and ``tune``: a recipe from the dense to the final model in one command, and a search over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from compression import store
from compression.commands.shared import (
    SCHEMAS,
    JsonOption,
    app,
    check_output,
    errors,
    named,
    output,
    run,
    show_notes,
    show_table,
    write,
)
from compression.deployment.pages import (
    benchmark_cells,
    importance_cells,
    latency_cells,
    pipeline_page,
    stage_cells,
    trial_cells,
    tune_page,
)
from compression.deployment.report import PipelineReport, TuneReport

SCHEMAS |= {"pipeline": PipelineReport, "tune": TuneReport}
RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="A recipe, see the README.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML file with figures.")]


@app.command()
def pipeline(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Write the final model to this directory.")] = None,
    html: HtmlOption = None,
    json_file: JsonOption = None,
) -> None:
    """Carry a recipe out: compress, distil, quantise, benchmark, time; an interrupted run goes on where it was."""
    check_output(json_file)
    check_output(html, "HTML")
    from compression.deployment.recipe import read_recipe
    from compression.workbench import get_workbench

    report = run(get_workbench().pipeline(read_recipe(recipe), out))
    measured = report.stages[0].measured
    name = named(report.model_id, report.model_note)
    said = f"{name}: perplexity on {measured.text.name}, {measured.convention}."
    output.print(said, highlight=False, markup=False)
    show_table(stage_cells(report))
    if report.benchmark is not None:
        show_table(benchmark_cells(report.benchmark))
    if report.latency is not None:
        show_table(latency_cells(report))
    notes = [note for stage in report.stages for note in stage.made.notes]
    show_notes(tuple(dict.fromkeys([*notes, *(report.timed.notes if report.timed else ())])))
    write(report, json_file)
    _write_html(lambda: pipeline_page(report), html)


@app.command()
def tune(
    recipe: RecipeArgument,
    trials: Annotated[int, typer.Option("--trials", help="Trials in all, those of earlier runs included.")] = 20,
    storage: Annotated[
        Path | None, typer.Option("--storage", help="SQLite file of the search; by default one in the cache.")
    ] = None,
    html: HtmlOption = None,
    json_file: JsonOption = None,
) -> None:
    """Search a recipe's settings for small perplexity, bytes or latency; an interrupted search goes on where it was."""
    check_output(json_file)
    check_output(html, "HTML")
    check_output(storage, "SQLite")
    from compression.deployment.recipe import read_recipe
    from compression.deployment.search import check_figures, figures
    from compression.workbench import get_workbench

    if html is not None:
        check_figures()
    report = run(get_workbench().tune(read_recipe(recipe), trials, storage))
    dense = report.dense
    said = f"perplexity {dense.measured.perplexity:.2f}, {dense.stored_bytes / 1e6:.1f} MB"
    output.print(
        f"{named(report.model_id, report.model_note)}: {said}; {report.sampler}.", highlight=False, markup=False
    )
    show_table(trial_cells(report))
    if report.importances:
        show_table(importance_cells(report))
    write(report, json_file)
    _write_html(lambda: tune_page(report, figures(report, storage)), html)


def _write_html(render: Callable[[], str], file: Path | None) -> None:
    if file is not None:
        with store.atomic_file(file) as temporary:
            temporary.write_text(render(), encoding="utf-8")
        errors.print(f"wrote {file}", highlight=False)
