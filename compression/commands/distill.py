"""``distill``: a compressed or smaller model learns from a dense one; AdamW and Muon beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from compression.adaptation.types import OPTIMIZERS
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    JsonOption,
    LengthOption,
    ModelArgument,
    SequencesOption,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_output,
    mean_and_spread,
    named,
    output,
    run,
    show_table,
    write,
)
from compression.distillation.report import WHAT, DistillReport, DistillRun, DistillSettings

SCHEMAS |= {"distill": DistillReport}
MAX_SEEDS = 16
_DEFAULTS = DistillSettings("", "")


@app.command()
def distill(
    teacher: ModelArgument,
    student: Annotated[str, typer.Argument(help="Folder that compress wrote, or a smaller model.")],
    what: Annotated[
        str,
        typer.Option(
            "--train-what",
            metavar="|".join(WHAT),
            help="The compressed layers' own factors, or adapters beside all layers.",
        ),
    ] = _DEFAULTS.what,
    optimizer: Annotated[str, typer.Option("--optimizer", help=f"Comma-separated: {', '.join(OPTIMIZERS)}.")] = "adamw",
    max_minutes: Annotated[float, typer.Option("--max-minutes", help="Training time a run.")] = _DEFAULTS.max_minutes,
    steps: Annotated[int | None, typer.Option("--steps", help="Exact number of steps instead.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of seeds, from 0.", min=1, max=MAX_SEEDS)] = 1,
    alpha: Annotated[
        float, typer.Option("--alpha", help="Share of the distance to the teacher in the loss, 0 to 1.")
    ] = _DEFAULTS.alpha,
    temperature: Annotated[
        float, typer.Option("--temperature", help="T, by which logits are divided.")
    ] = _DEFAULTS.temperature,
    rank: Annotated[int, typer.Option("--rank", help="Rank of the adapters.")] = _DEFAULTS.rank,
    lora_alpha: Annotated[float, typer.Option("--lora-alpha", help="Scale of the adapters, divided by the rank.")] = (
        _DEFAULTS.lora_alpha
    ),
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="At the peak; 0 for the default.")
    ] = _DEFAULTS.learning_rate,
    bits: Annotated[int, typer.Option("--bits", help="Quantise by GPTQ afterwards and measure that too; 0: no.")] = 0,
    group_size: Annotated[
        int, typer.Option("--group-size", help="Neighbouring weights of a row that share a scale then; 0: whole rows.")
    ] = _DEFAULTS.group_size,
    calibration: CalibrationOption = _DEFAULTS.calibration,
    calibration_sequences: SequencesOption = _DEFAULTS.calibration_sequences,
    sequence_length: LengthOption = _DEFAULTS.sequence_length,
    train: Annotated[str, typer.Option("--train", help="Text to learn from: a name or a UTF-8 file.")] = "",
    text: TextOption = "",
    window: WindowOption = _DEFAULTS.window,
    max_windows: WindowsOption = _DEFAULTS.max_windows,
    out: Annotated[Path | None, typer.Option("--out", help="Write the first run's student to this directory.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Let a student recover towards its teacher, by AdamW or Muon, and measure it before and after."""
    check_output(json_file)
    from compression.distillation.runner import settings_over
    from compression.workbench import get_workbench

    base = DistillSettings(
        teacher=teacher,
        student=student,
        what=what,
        rank=rank,
        lora_alpha=lora_alpha,
        alpha=alpha,
        temperature=temperature,
        learning_rate=learning_rate,
        max_minutes=max_minutes,
        steps=steps,
        train=train,
        text=text,
        window=window,
        max_windows=max_windows,
        bits=bits,
        group_size=group_size,
        calibration=calibration,
        calibration_sequences=calibration_sequences,
        sequence_length=sequence_length,
    )
    names = list(dict.fromkeys(part.strip() for part in optimizer.split(",")))
    report = run(get_workbench().distill(settings_over(base, names, seeds), out))
    show(report)
    write(report, json_file)


def show(report: DistillReport) -> None:
    """Print teacher, student and every optimiser."""
    measured = report.teacher
    output.print(
        f"{named(report.runs[0].settings.teacher, report.model_note)}: perplexity on {measured.text.name}, "
        f"{measured.convention}; learned from {report.train_source}.",
        highlight=False,
        markup=False,
    )
    known = ("perplexity", "gap closed, %", "quantised", "all tensors, MB")
    header = ("", *known, "trained numbers", "steps", "seconds", "seeds")
    rest = ("",) * 4
    cells: list[tuple[str, ...]] = [
        header,
        ("teacher", f"{measured.perplexity:.2f}", "", "", f"{measured.stored_bits / 8e6:.1f}", *rest),
        (
            "student",
            f"{report.student.perplexity:.2f}",
            "",
            mean_and_spread([report.student_quantized], 1, 2),
            f"{report.student.stored_bits / 8e6:.1f}",
            *rest,
        ),
    ]
    for name in dict.fromkeys(each.settings.optimizer for each in report.runs):
        cells.append(_row(name, [each for each in report.runs if each.settings.optimizer == name]))
    show_table(cells)
    for each in report.runs:
        if each.stopped:
            output.print(f"note: {each.settings.optimizer}, seed {each.settings.seed}: {each.stopped}", highlight=False)


def _row(name: str, runs: Sequence[DistillRun]) -> tuple[str, ...]:
    return (
        f"student, {name}",
        mean_and_spread([each.perplexity for each in runs], 1, 2),
        mean_and_spread([each.gap_closed for each in runs], 100, 1),
        mean_and_spread([each.quantized_perplexity for each in runs], 1, 2),
        f"{runs[0].stored_bits / 8e6:.1f}",
        f"{runs[0].trainable_parameters:,}",
        f"{statistics.fmean(each.steps for each in runs):.0f}",
        f"{statistics.fmean(each.train_seconds for each in runs):.0f}",
        str(len(runs)),
    )
