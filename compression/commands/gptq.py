"""``bench gptq``: our GPTQ beside rounding to nearest and llmcompressor's, layer by layer."""

from __future__ import annotations

from typing import Annotated

import typer

from compression.benchmarks.gptq_report import GptqBenchmark, GptqSetting
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    JsonOption,
    LengthOption,
    ModelArgument,
    SequencesOption,
    SweepsOption,
    bench,
    check_output,
    named,
    output,
    run,
    show_table,
    write,
)
from compression.errors import UserError
from compression.quantization.report import SWEEPS
from compression.recipe import Recipe

SCHEMAS |= {"bench gptq": GptqBenchmark}


@bench.command("gptq")
def bench_gptq(
    model: ModelArgument,
    bits: Annotated[str, typer.Option(help="Comma-separated numbers of bits.")] = "4,3",
    group_size: Annotated[int, typer.Option(help="Weights of a row that share a scale; 0 for whole rows.")] = 128,
    symmetric: Annotated[bool, typer.Option("--symmetric", help="A grid symmetric around zero.")] = False,
    act_order: Annotated[bool, typer.Option("--act-order", help="Inputs with most energy first.")] = False,
    sweeps: SweepsOption = SWEEPS,
    oracle: Annotated[
        str, typer.Option("--oracle", metavar="PYTHON", help="Interpreter of an environment with llmcompressor.")
    ] = "",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    json_file: JsonOption = None,
) -> None:
    """Quantise every layer of a model by itself, and compare output errors.

    The model may be a language model, a speech model or an encoder such as minilm, which is fed with built-in sentences
    unless --calibration names a text.
    """
    check_output(json_file)
    try:
        wanted = tuple(int(part) for part in bits.split(","))
    except ValueError as error:
        raise UserError(f"--bits takes whole numbers such as 4,3, but {bits!r} was given.") from error
    from compression.benchmarks.gptq import benchmark_gptq
    from compression.quantization.grid import QuantizationSettings
    from compression.workbench import get_workbench

    recipe = Recipe(
        model,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
    )
    settings = QuantizationSettings(wanted[0], group_size, symmetric, act_order, sweeps=sweeps)
    report = run(benchmark_gptq(get_workbench(), recipe, wanted, settings, oracle))
    output.print(
        f"{named(report.model_id, report.model_note)}, fed with {report.inputs}: relative output errors, geometric "
        f"means over the layers; {report.environment.threads} threads.",
        highlight=False,
        markup=False,
    )
    header = ("bits", "layers", "GPTQ ÷ nearest", "GPTQ ÷ oracle", "largest of a layer", "seconds")
    show_table([header, *map(_row, report.settings)])
    write(report, json_file)


def _row(each: GptqSetting) -> tuple[str, ...]:
    ratios = (each.over_nearest, each.over_oracle, each.worst_over_oracle)
    return (
        str(each.bits),
        str(len(each.sites)),
        *("" if ratio is None else f"{ratio:.3f}" for ratio in ratios),
        f"{each.seconds:.1f}",
    )
