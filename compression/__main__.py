"""The command line: ``python -m compression COMMAND``.

Results go to standard output, progress and errors to standard error. Bad input ends with one sentence and exit code 2.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pydantic
import typer
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from compression import analysis, models, store, texts, types
from compression.errors import UserError

if TYPE_CHECKING:
    from compression.workbench import Recipe

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Explore what compressing a transformer costs. Every command takes --json FILE.",
)
output = Console()
errors = Console(stderr=True)


@dataclass(frozen=True)
class Listing:
    """What ``models --json`` writes."""

    models: tuple[models.ModelSpec, ...]
    texts: tuple[texts.TextSpec, ...]


SCHEMAS: dict[str, Any] = {
    "models": Listing,
    "analyze": analysis.AnalysisInfo,
    "allocate": types.Allocation,
    "compress": types.CompressionReport,
    "evaluate": types.PerplexityReport,
    "latency": types.LatencyReport,
    "compare": types.Comparison,
    "gallery": types.Comparison,
}
"""Command → type of what its ``--json`` writes."""

ModelArgument = Annotated[str, typer.Argument(help="Catalogue id, Hub id (owner/name[@revision]) or directory.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON to this file.")]
CalibrationOption = Annotated[str, typer.Option("--calibration", help="Calibration text: a name or a UTF-8 file.")]
SequencesOption = Annotated[int, typer.Option("--calibration-sequences", help="Number of calibration sequences.")]
LengthOption = Annotated[int, typer.Option("--sequence-length", help="Tokens a calibration sequence.")]
TextOption = Annotated[str, typer.Option("--text", help="Text to measure on: a name or a UTF-8 file.")]
WindowOption = Annotated[int, typer.Option("--window", help="Tokens a window.")]
WindowsOption = Annotated[int | None, typer.Option("--max-windows", help="Number of windows; all by default.")]
RemovedOption = Annotated[float, typer.Option("--removed", help="Share of the compressible weights to remove.")]
PolicyOption = Annotated[str, typer.Option("--policy", help="Allocation policy.")]
IterationsOption = Annotated[int | None, typer.Option("--iterations", help="Alternations of an iterative method.")]
RatioOption = Annotated[float | None, typer.Option("--atoms-per-nonzero", help="k/s of a dictionary method.")]
LeastOption = Annotated[float, typer.Option("--guard-least", help="Every site loses at least this share.")]
MostOption = Annotated[float, typer.Option("--guard-most", help="No site loses more than this share.")]


def run(steps: Generator[types.Progress, None, T]) -> T:
    """Drive a generator of progress events with a bar on standard error and return its result."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with ProgressBar(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            bar.update(task, description=event.message[:70], completed=event.done, total=event.total)
            if event.stage == "run":
                errors.print(event.message, highlight=False)


def write(result: Any, file: Path | None) -> None:
    """Write a result as JSON where a file was named."""
    if file is not None:
        store.write_json(file, result)
        errors.print(f"wrote {file}", highlight=False)


def check_output(file: Path | None) -> None:
    """Refuse a ``--json`` place that cannot be written before the work, not after it."""
    if file is not None and not file.absolute().parent.is_dir():
        raise UserError(
            f"The folder {file.absolute().parent} for the JSON file does not exist: make it, or name another."
        )
    if file is not None and file.is_dir():
        raise UserError(f"{file} is a directory: name a file for the JSON.")


@app.command("models")
def list_models(json_file: JsonOption = None) -> None:
    """List the models and texts that have a short name."""
    check_output(json_file)
    table = Table("id", "model", "source", "note")
    for spec in models.CATALOGUE.values():
        table.add_row(spec.id, spec.title, type(spec.source).__name__.removesuffix("Source").lower(), spec.note)
    output.print(table)
    table = Table("text", "what it is")
    for text in texts.TEXTS.values():
        table.add_row(text.name, text.description)
    output.print(table)
    write(Listing(tuple(models.CATALOGUE.values()), tuple(texts.TEXTS.values())), json_file)


@app.command()
def analyze(
    model: ModelArgument,
    calibration: CalibrationOption = "sotu-calibration",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    json_file: JsonOption = None,
) -> None:
    """Show the spectra of every site, plain and whitened, and what each policy would do."""
    from compression.workbench import get_workbench

    check_output(json_file)
    info = run(get_workbench().analyze(model, calibration, calibration_sequences, sequence_length))
    describe_model(info.model)
    table = Table("site", "out × in", "break-even rank", "effective rank", "pooled at 0.2 removes")
    pooled = info.allocation_at("pooled", 0.2).removed_fractions
    for site, spectrum in zip(info.model.sites, info.spectra, strict=True):
        table.add_row(
            site.name,
            f"{site.out_features} × {site.in_features}",
            str(spectrum.break_even_rank),
            f"{spectrum.effective_rank:.1f} of {spectrum.full_rank}",
            f"{pooled[site.name]:.3f}",
        )
    output.print(table)
    write(info, json_file)


@app.command()
def allocate(
    model: ModelArgument,
    removed: RemovedOption = 0.2,
    policy: PolicyOption = "uniform",
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    json_file: JsonOption = None,
) -> None:
    """Show how a policy splits the budget over the sites."""
    from compression.allocation import Guards
    from compression.workbench import Recipe, get_workbench

    recipe = Recipe(model, policy=policy, removed_fraction=removed, guards=Guards(guard_least, guard_most))
    check_output(json_file)
    info, allocation = run(get_workbench().allocation(recipe))
    describe_model(info)
    heatmap = analysis.heatmap_info(info, allocation)
    table = Table("projection", *(str(block) for block in heatmap.blocks)) if len(heatmap.blocks) <= 12 else None
    if table is not None:
        for projection, row in zip(heatmap.projections, heatmap.values, strict=True):
            table.add_row(projection, *("" if value is None else f"{value:.2f}" for value in row))
    else:
        table = Table("site", "removed")
        for name, fraction in allocation.removed_fractions.items():
            table.add_row(name, f"{fraction:.4f}")
    output.print(table)
    budget = analysis.budget_info(info, allocation)
    output.print(
        f"{budget.site_removed_fraction:.2%} of the compressible weights and "
        f"{budget.whole_model_removed_fraction:.2%} of the whole model go: "
        f"{budget.original_mib:.1f} MiB become {budget.stored_mib:.1f} MiB.",
        highlight=False,
    )
    write(allocation, json_file)


@app.command()
def compress(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Directory to write; must not exist yet.")],
    method: Annotated[str, typer.Option("--method", help="Compression method.")] = "compot",
    policy: PolicyOption = "uniform",
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "sotu-calibration",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    json_file: JsonOption = None,
) -> None:
    """Compress a model and write it to a directory."""
    from compression.allocation import Guards
    from compression.workbench import Recipe, get_workbench

    recipe = Recipe(
        model,
        method,
        policy,
        removed,
        calibration,
        calibration_sequences,
        sequence_length,
        iterations,
        atoms_per_nonzero,
        Guards(guard_least, guard_most),
    )
    check_output(json_file)
    report = run(get_workbench().compress_to(recipe, out))
    output.print(
        f"{out}, from {_named(report.plan.model_id, report.model_note)}: "
        f"{report.removed_fraction:.2%} of the compressible weights and "
        f"{report.whole_model_removed_fraction:.2%} of the whole model removed, "
        f"{report.stored_bits / 8 / 2**20:.1f} MiB of tensors "
        f"(dense {report.original_bits / 8 / 2**20:.1f} MiB), {report.compress_seconds:.1f} s "
        f"+ {report.calibration_seconds:.1f} s calibration.",
        highlight=False,
    )
    show_notes(report.notes)
    write(report, json_file)


@app.command()
def evaluate(
    model: ModelArgument,
    text: TextOption = "sotu-evaluation",
    window: WindowOption = 1024,
    max_windows: WindowsOption = None,
    json_file: JsonOption = None,
) -> None:
    """Measure the perplexity of a model or of a directory written by ``compress``."""
    from compression.workbench import Recipe, get_workbench

    check_output(json_file)
    report = run(get_workbench().evaluate(Recipe(model), text, window, max_windows))
    spread = "" if report.perplexity_stderr is None else f" ± {report.perplexity_stderr:.2f} (standard error)"
    output.print(
        f"{_named(report.model_id, report.model_note)}: "
        f"perplexity {report.perplexity:.4f}{spread} on {report.text.name}: {report.convention}; "
        f"{report.tokens} tokens, {report.stored_bits / 8 / 2**20:.1f} MiB of tensors.",
        highlight=False,
    )
    show_notes(report.notes)
    write(report, json_file)


@app.command()
def latency(
    model: ModelArgument,
    prompt_tokens: Annotated[int, typer.Option(help="Tokens in the prefill.")] = 128,
    decode_tokens: Annotated[int, typer.Option(help="Tokens decoded one by one.")] = 16,
    json_file: JsonOption = None,
) -> None:
    """Time prefill and decode; a compressed directory is interleaved with its dense original."""
    from compression.workbench import Recipe, get_workbench

    check_output(json_file)
    report = run(get_workbench().latency(Recipe(model), prompt_tokens, decode_tokens))
    table = Table("model", f"prefill of {report.prompt_tokens} tokens, ms", "decode, ms a token")
    for label, prefill in report.prefill.items():
        decode = report.decode[label]
        table.add_row(
            label,
            f"{prefill.median_ms:.1f} (IQR {prefill.iqr_ms:.1f})",
            f"{decode.median_ms:.1f} (IQR {decode.iqr_ms:.1f})",
        )
    output.print(table)
    name = _named(report.model_id, report.model_note)
    output.print(f"{name}; {report.threads} threads on {report.device}; {report.execution}.", highlight=False)
    show_notes(report.notes)
    write(report, json_file)


@app.command()
def compare(
    model: ModelArgument,
    methods: Annotated[str, typer.Option(help="Comma-separated methods.")] = "svd,svd-llm,compot",
    policies: Annotated[str, typer.Option(help="Comma-separated allocation policies.")] = "uniform,pooled",
    removed: Annotated[str, typer.Option(help="Comma-separated removed fractions.")] = "0.2",
    calibration: CalibrationOption = "sotu-calibration",
    text: TextOption = "sotu-evaluation",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    window: WindowOption = 1024,
    max_windows: WindowsOption = 4,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure methods and policies side by side: one model, one calibration, one text."""
    from compression.allocation import Guards
    from compression.workbench import get_workbench

    recipes = _recipes(
        model,
        _words(methods, "--methods"),
        _words(policies, "--policies"),
        _numbers(removed, "--removed"),
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        iterations=iterations,
        atoms_per_nonzero=atoms_per_nonzero,
        guards=Guards(guard_least, guard_most),
    )
    check_output(json_file)
    comparison = run(get_workbench().compare(recipes, text, window, max_windows))
    show_comparison(comparison, markdown)
    write(comparison, json_file)


def _recipes(
    model: str, methods: list[str], policies: list[str], removed: list[float], **rest: Any
) -> tuple[Recipe, ...]:
    from compression.workbench import Recipe

    return tuple(Recipe(model, m, p, f, **rest) for f in removed for m in methods for p in policies)


def _words(value: str, option: str) -> list[str]:
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not words:
        raise UserError(f"{option} needs at least one name, but {value!r} was given.")
    return words


def _numbers(value: str, option: str) -> list[float]:
    try:
        return [float(word) for word in _words(value, option)]
    except ValueError as error:
        raise UserError(
            f"{option} needs numbers separated by commas, such as 0.1,0.2, but {value!r} was given."
        ) from error


def show_comparison(comparison: types.Comparison, markdown: bool) -> None:
    """Print a comparison as a table for the terminal or for a README."""
    if markdown:
        print(comparison_markdown(comparison))
        return
    header, *rows = comparison_rows(comparison)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    output.print(table)
    for line in comparison_captions(comparison):
        output.print(line, highlight=False)


def comparison_markdown(comparison: types.Comparison) -> str:
    """A comparison as a Markdown table with its captions."""
    header, *rows = comparison_rows(comparison)
    lines = ["| " + " | ".join(row) + " |" for row in [header, ("---",) * len(header), *rows]]
    return "\n".join([*lines, "", *comparison_captions(comparison)])


def comparison_rows(comparison: types.Comparison) -> list[tuple[str, ...]]:
    """The cells of a comparison's table, header first."""
    header = ("method", "policy", "removed (sites)", "removed (whole model)", "perplexity", "compress, s")
    dense = ("dense", "", "0", "0", _perplexity(comparison.dense.perplexity, comparison.dense.perplexity_stderr), "")
    rows = [
        (
            run.method,
            run.policy,
            f"{run.removed_fraction:.3f}",
            f"{run.whole_model_removed_fraction:.3f}",
            _perplexity(run.perplexity, run.perplexity_stderr),
            f"{run.compress_seconds:.1f}",
        )
        for run in comparison.runs
    ]
    return [header, dense, *rows]


def comparison_captions(comparison: types.Comparison) -> list[str]:
    """What a table of a comparison has to say beside its numbers."""
    title = _named(comparison.model_id, comparison.model_note)
    settings = comparison.calibration
    caption = (
        f"{title}; calibration {settings.text.name}, {settings.num_sequences} × {settings.sequence_length} tokens; "
        f"{comparison.dense.text.name}, {comparison.dense.convention}; ± standard error over windows; "
        f"{comparison.environment.threads} threads."
    )
    return [caption, *dict.fromkeys(run.warning for run in comparison.runs if run.warning)]


def _perplexity(value: float, stderr: float | None) -> str:
    digits = 2 if value < 1000 else 0
    return f"{value:,.{digits}f}" + ("" if stderr is None else f" ± {stderr:,.{digits}f}")


@app.command()
def gallery(
    model: ModelArgument = models.DEFAULT_MODEL,
    out: Annotated[Path, typer.Option("--out", help="Folder for the JSON files.")] = Path("assets")
    / models.DEFAULT_MODEL,
    removed: Annotated[str, typer.Option(help="Comma-separated removed fractions.")] = "0.1,0.2,0.3,0.4",
    json_file: JsonOption = None,
) -> None:
    """Precompute what the app shows at first paint (about twenty minutes on two cores)."""
    from compression.gallery import Gallery, registered_methods, registered_policies, save_gallery
    from compression.workbench import Recipe, get_workbench

    workbench, methods, policies = get_workbench(), registered_methods(), registered_policies()
    info = run(workbench.analyze(model, policies=policies))
    recipes = _recipes(model, [m.name for m in methods], list(policies), _numbers(removed, "--removed"))
    comparison = run(workbench.compare(recipes, "sotu-evaluation"))
    middle = info.model.blocks[len(info.model.blocks) // 2]
    sites = [info.model.site_at(middle, projection) for projection in info.model.projections]
    recipe = Recipe(model, "compot", "uniform", 0.2)
    patterns = tuple(run(workbench.pattern(recipe, site.name)) for site in sites if site is not None)
    save_gallery(out, Gallery(info, comparison, patterns, methods))
    show_comparison(comparison, markdown=True)
    write(comparison, json_file)


@app.command()
def schema(
    command: Annotated[str, typer.Argument(help="A command whose --json is to be described.")],
    json_file: JsonOption = None,
) -> None:
    """Print the JSON Schema of what a command's --json writes."""
    if command not in SCHEMAS:
        raise UserError(f"There is no schema for {command!r}: expected one of {', '.join(SCHEMAS)}.")
    described = pydantic.TypeAdapter(SCHEMAS[command]).json_schema()
    print(json.dumps(described, indent=2, ensure_ascii=False))
    write(described, json_file)


def _named(model_id: str, note: str) -> str:
    """A model with the caution that belongs to its figures."""
    return f"{model_id} ({note})" if note else model_id


def show_notes(notes: tuple[str, ...], limit: int = 5) -> None:
    """Print the first few notes; the JSON has them all."""
    for note in notes[:limit]:
        output.print(f"note: {note}", highlight=False)
    if len(notes) > limit:
        output.print(f"note: {len(notes) - limit} more in the JSON", highlight=False)


def describe_model(info: analysis.ModelInfo) -> None:
    """One line on a model, with its caution, and what happened while it was loaded."""
    show_notes(info.notes)
    output.print(
        f"{_named(info.model_id, info.note)}: {info.architecture}, "
        f"{info.num_parameters / 1e6:.1f} M parameters, {len(info.sites)} "
        f"compressible layers with {info.site_weights / 1e6:.1f} M weights.",
        highlight=False,
    )


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        errors.print(f"error: {error}", style="bold", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
