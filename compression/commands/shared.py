"""What all commands share: the Typer app, consoles, options, progress, output."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from compression import store, types
from compression.errors import UserError
from compression.recipe import PRESETS, Pins, Recipe, Settings, parse_pin, parse_setting

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Explore what compressing a transformer costs. Every command takes --json FILE.",
)
bench = typer.Typer(no_args_is_help=True, help="Benchmarks: ratios measured in one run, never asserted in a test.")
app.add_typer(bench, name="bench")
PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where no terminal says how wide it is."""
# What is printed repeats what users, models and files say, in which [x] and :x: mean themselves.
output = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
errors = Console(markup=False, emoji=False, stderr=True)

SCHEMAS: dict[str, Any] = {}
"""Command → type of what its ``--json`` writes; each module of commands adds its own."""
INTERRUPTED = 130
"""Exit code of a command that was interrupted, as shells have it."""
INTERRUPTED_SENTENCE = "Interrupted: what was finished is kept in the cache; the same command goes on from there."

ModelArgument = Annotated[str, typer.Argument(help="Catalogue id, Hub id (owner/name[@revision]) or directory.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON to this file.")]
CalibrationOption = Annotated[
    str,
    typer.Option(
        "--calibration",
        help="Calibration text, a name or a UTF-8 file; for a speech model recordings, a name or a folder. By default "
        "what is built in.",
    ),
]
AudioOption = Annotated[
    str,
    typer.Option(
        "--audio",
        help="Recordings to measure a speech model on: a name, or a folder with transcripts. By default what is built "
        "in.",
    ),
]
LanguageOption = Annotated[str, typer.Option("--language", help="Language of the speech, as a code.")]
PaddingOption = Annotated[
    bool,
    typer.Option("--count-padding", help="Calibrate a speech model also on the silence behind each recording."),
]
SequencesOption = Annotated[int, typer.Option("--calibration-sequences", help="Number of calibration sequences.")]
LengthOption = Annotated[int, typer.Option("--sequence-length", help="Tokens a calibration sequence.")]
TextOption = Annotated[
    str, typer.Option("--text", help="Text to measure on: a name or a UTF-8 file. By default what is built in.")
]
WindowOption = Annotated[int, typer.Option("--window", help="Tokens a window.")]
WindowsOption = Annotated[int | None, typer.Option("--max-windows", help="Number of windows; all by default.")]
RemovedOption = Annotated[float, typer.Option("--removed", help="Share of the compressible weights to remove.")]
PolicyOption = Annotated[str, typer.Option("--policy", help="Allocation policy; own: the method's published one.")]
MethodOption = Annotated[str, typer.Option("--method", help="Compression method.")]
IterationsOption = Annotated[int | None, typer.Option("--iterations", help="Alternations of an iterative method.")]
RatioOption = Annotated[float | None, typer.Option("--atoms-per-nonzero", help="k/s of a dictionary method.")]
SeedOption = Annotated[int, typer.Option("--seed", help="0 spreads the sequences evenly; others move them.")]
StreamOption = Annotated[
    bool, typer.Option("--stream", help="Keep the weights in a file: one block in memory; somewhat slower.")
]
SweepsOption = Annotated[
    int, typer.Option(help="How often GPTQ's scales and codes are gone through again; 0 for GPTQ as published.")
]
GradientsOption = Annotated[
    int, typer.Option("--gradient-sequences", help="Sequences for the output gradients, where they are needed.")
]
DampingOption = Annotated[
    float | None, typer.Option("--damping", help="Damping of the input Gram matrices, share of their mean diagonal.")
]
PinOption = Annotated[
    list[str] | None,
    typer.Option("--pin", help="Hold sites at a removed fraction, e.g. 'model.layers.0.*=0'; may be repeated."),
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("--setting", metavar="NAME=VALUE", help="A setting of the method; may be repeated."),
]
PresetOption = Annotated[
    str,
    typer.Option("--preset", metavar="|".join(PRESETS), help="Settings not given: the defaults, or the paper's."),
]
RecalibrateOption = Annotated[
    bool, typer.Option("--recalibrate", help="Collect inputs again behind compressed blocks (compot-fisher).")
]
LeastOption = Annotated[float, typer.Option("--guard-least", help="Every site loses at least this share.")]
MostOption = Annotated[float, typer.Option("--guard-most", help="No site loses more than this share.")]


def run(steps: Generator[types.Progress, None, T]) -> T:
    """Drive a generator of progress events with a bar on standard error and return its result.

    An interruption closes the work, which keeps what it has finished, and ends the command with one sentence.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    remaining = TimeRemainingColumn()  # of the stage
    with ProgressBar(*columns, remaining, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        stage = ""
        try:
            while True:
                try:
                    event = next(steps)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                if event.stage != stage:
                    stage = event.stage
                    bar.reset(task)
                bar.update(task, description=event.message[:70], completed=event.done, total=event.total)
                if event.stage == "run":
                    errors.print(event.message, highlight=False)
        except KeyboardInterrupt:
            steps.close()
            errors.print(INTERRUPTED_SENTENCE, soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from None


def perplexity_text(measured: types.PerplexityReport) -> str:
    """A perplexity with its standard error, where it has one."""
    spread = measured.perplexity_stderr
    return f"{measured.perplexity:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def write(result: Any, file: Path | None) -> None:
    """Write a result as JSON where a file was named."""
    if file is not None:
        store.write_json(file, result)
        errors.print(f"wrote {file}", highlight=False)


def check_output(file: Path | None, what: str = "JSON") -> None:
    """Refuse a place for a result that cannot be written before the work, not after it."""
    if file is None:
        return
    store.check_name(file)
    if not file.absolute().parent.is_dir():
        raise UserError(
            f"The folder {file.absolute().parent} for the {what} file does not exist: make it, or name another."
        )
    if file.is_dir():
        raise UserError(f"{file} is a directory: name a file for the {what}.")


def pins_given(texts_given: list[str] | None) -> Pins:
    """What ``--pin`` was given, read."""
    return tuple(parse_pin(text) for text in texts_given or ())


def settings_given(texts_given: list[str] | None) -> Settings:
    """What ``--setting`` was given, read."""
    return tuple(parse_setting(text) for text in texts_given or ())


def show_table(cells: list[tuple[str, ...]]) -> None:
    """Print cells, header first."""
    header, *rows = cells
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    output.print(table)


def markdown_table(cells: list[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table of cells, header first."""
    header, *rows = cells
    return ["| " + " | ".join(row) + " |" for row in [header, ("---",) * len(header), *rows]]


def mean_and_spread(values: Sequence[float | None], factor: float, digits: int) -> str:
    """Mean and, of several seeds, standard deviation; empty where there is no value."""
    known = [value * factor for value in values if value is not None]
    if not known:
        return ""
    mean = f"{statistics.fmean(known):.{digits}f}"
    return mean if len(known) < 2 else f"{mean} ± {statistics.stdev(known):.{digits}f}"


def named(model_id: str, note: str) -> str:
    """A model with the caution that belongs to its figures."""
    return f"{model_id} ({note})" if note else model_id


def show_notes(notes: tuple[str, ...], limit: int = 5) -> None:
    """Print the first few notes; the JSON has them all."""
    for note in notes[:limit]:
        output.print(f"note: {note}", highlight=False)
    if len(notes) > limit:
        output.print(f"note: {len(notes) - limit} more in the JSON", highlight=False)


def check_measured_on(model: str, speech: bool, text: str, audio: str) -> None:
    """Refuse a text for what listens and recordings for what reads: nobody shall take them for measured on."""
    if speech and text:
        raise UserError(f"{model} is a speech model, which is measured on recordings: give --audio in place of --text.")
    if audio and not speech:
        raise UserError(
            f"{model} is a language model, which cannot hear: give --text in place of --audio, or choose a speech "
            "model such as whisper-tiny.en."
        )


def words_given(value: str, option: str) -> list[str]:
    """Names separated by commas, as an option was given them; none at all is refused with its name."""
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not words:
        raise UserError(f"{option} needs at least one name, but {value!r} was given.")
    return words


def numbers_given(value: str, option: str) -> list[float]:
    """Numbers separated by commas, as an option was given them; anything else is refused with its name."""
    try:
        return [float(word) for word in words_given(value, option)]
    except ValueError as error:
        raise UserError(
            f"{option} needs numbers separated by commas, such as 0.1,0.2, but {value!r} was given."
        ) from error


def recipes_over(
    model: str, methods: list[str], policies: list[str], removed: list[float], **rest: Any
) -> tuple[Recipe, ...]:
    """Every method with every policy at every removed fraction; `rest` is theirs in common."""
    return tuple(Recipe(model, m, p, f, **rest) for f in removed for m in methods for p in policies)


def perplexity_cell(value: float, stderr: float | None) -> str:
    """A perplexity with its standard error, where that is known, as a table shows it."""
    digits = 2 if value < 1000 else 0
    return f"{value:,.{digits}f}" + ("" if stderr is None else f" ± {stderr:,.{digits}f}")
