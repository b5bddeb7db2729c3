"""``quantize``: weights in a few bits, rounded to nearest and by GPTQ, beside the dense model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression import texts
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    JsonOption,
    LengthOption,
    ModelArgument,
    SeedOption,
    SequencesOption,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_output,
    named,
    output,
    perplexity_text,
    run,
    show_notes,
    show_table,
    write,
)
from compression.quantization.report import QuantizedRun, QuantizeReport
from compression.recipe import Recipe

SCHEMAS |= {"quantize": QuantizeReport}


@app.command()
def quantize(
    model: ModelArgument,
    bits: Annotated[int, typer.Option(help="Bits of a code, from 2 to 8.")] = 4,
    group_size: Annotated[
        int, typer.Option(help="Neighbouring weights of a row that share a scale; 0 for whole rows.")
    ] = 128,
    symmetric: Annotated[bool, typer.Option("--symmetric", help="A grid symmetric around zero.")] = False,
    act_order: Annotated[
        bool, typer.Option("--act-order", help="GPTQ takes the inputs with most energy first, with fixed scales.")
    ] = False,
    damping: Annotated[float, typer.Option(help="Damping of GPTQ's Gram matrices, share of their mean diagonal.")] = (
        0.01
    ),
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    seed: SeedOption = 0,
    text: TextOption = "",
    window: WindowOption = 1024,
    max_windows: WindowsOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the model quantised by GPTQ here.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Round a language model's weights to a few bits, to nearest and by GPTQ, and measure both beside the original."""
    check_output(json_file)
    from compression.quantization.grid import QuantizationSettings
    from compression.workbench import get_workbench

    settings = QuantizationSettings(bits, group_size, symmetric, act_order, damping)
    settings.check()
    recipe = Recipe(
        model,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        seed=seed,
    )
    bench = get_workbench()
    report = run(bench.quantize(recipe, settings, text or texts.DEFAULT_EVALUATION, window, max_windows, out))
    measured = report.dense.measured
    output.print(
        f"{named(report.model_id, report.model_note)}: perplexity on {measured.text.name}, {measured.convention}; "
        f"calibrated on {report.calibration.text.name}.",
        highlight=False,
    )
    header = ("", "bits a weight", "all tensors, MB", "perplexity", "mean output error", "seconds")
    show_table([header, *(_row(name, each) for name, each in rows(report).items())])
    show_notes(report.notes)
    write(report, json_file)


def rows(report: QuantizeReport) -> dict[str, QuantizedRun]:
    """What was measured, by the name it has in a table."""
    return {"dense": report.dense, "round to nearest": report.rtn, "GPTQ": report.gptq}


def _row(name: str, measured: QuantizedRun) -> tuple[str, ...]:
    error = measured.mean_output_error
    return (
        name,
        f"{measured.bits_per_weight:.3f}",
        f"{measured.stored_bits / 8e6:.1f}",
        perplexity_text(measured.measured),
        "" if error is None else f"{error:.1%}",
        f"{measured.seconds:.0f}" if measured.seconds else "",
    )
