"""``quantize``: weights in a few bits, rounded to nearest and by GPTQ, beside the dense model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression import texts
from compression.commands.shared import (
    SCHEMAS,
    AudioOption,
    CalibrationOption,
    JsonOption,
    LanguageOption,
    LengthOption,
    ModelArgument,
    PaddingOption,
    SeedOption,
    SequencesOption,
    SweepsOption,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_measured_on,
    check_output,
    named,
    output,
    perplexity_text,
    run,
    show_notes,
    show_table,
    write,
)
from compression.errors import UserError
from compression.quantization.report import (
    SWEEPS,
    QuantizedRun,
    QuantizedSpeechRun,
    QuantizeReport,
    SpeechQuantizeReport,
)
from compression.recipe import Recipe
from compression.speech import recordings

SCHEMAS |= {"quantize": QuantizeReport | SpeechQuantizeReport}


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
    sweeps: SweepsOption = SWEEPS,
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    seed: SeedOption = 0,
    count_padding: PaddingOption = False,
    text: TextOption = "",
    window: WindowOption = 1024,
    max_windows: WindowsOption = None,
    audio: AudioOption = "",
    language: LanguageOption = "en",
    out: Annotated[Path | None, typer.Option("--out", help="Write the model quantised by GPTQ here.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Round a model's weights to a few bits, to nearest and by GPTQ, and measure both beside the original.

    A language model is measured by perplexity, a speech model by its word error rate.
    """
    check_output(json_file)
    from compression.adaptation.encoders import is_encoder
    from compression.quantization.grid import QuantizationSettings
    from compression.workbench import get_workbench

    settings = QuantizationSettings(bits, group_size, symmetric, act_order, damping, sweeps)
    settings.check()
    if run(is_encoder(model)):
        raise UserError(
            f"{model} is an encoder, which has neither a perplexity nor a word error rate: use bench gptq, which "
            "compares the output errors of its layers."
        )
    bench = get_workbench()
    speech = run(bench.is_speech(model))
    check_measured_on(model, speech, text, audio)
    recipe = Recipe(
        model,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        seed=seed,
        language=language,
        count_padding=count_padding,
    )
    report: QuantizeReport | SpeechQuantizeReport
    if speech:
        report = run(bench.quantize_speech(recipe, settings, audio or recordings.DEFAULT_TEST, out))
        quality, source = "word error rate", report.dense.measured.source.name
        notes = (*report.dense.measured.left_out, *report.notes)
    else:
        report = run(bench.quantize(recipe, settings, text or texts.DEFAULT_EVALUATION, window, max_windows, out))
        quality, source, notes = "perplexity", report.dense.measured.text.name, report.notes
    output.print(
        f"{named(report.model_id, report.model_note)}: {quality} on {source}, {report.dense.measured.convention}; "
        f"calibrated on {report.calibration.source.name}.",
        highlight=False,
    )
    header = ("", "bits a weight", "all tensors, MB", quality, "mean output error", "seconds")
    show_table([header, *(_row(name, each) for name, each in rows(report).items())])
    show_notes(notes)
    write(report, json_file)


def rows(report: QuantizeReport | SpeechQuantizeReport) -> dict[str, QuantizedRun | QuantizedSpeechRun]:
    """What was measured, by the name it has in a table."""
    return {"dense": report.dense, "round to nearest": report.rtn, "GPTQ": report.gptq}


def _row(name: str, measured: QuantizedRun | QuantizedSpeechRun) -> tuple[str, ...]:
    error = measured.mean_output_error
    if isinstance(measured, QuantizedRun):
        quality = perplexity_text(measured.measured)
    else:
        interval = "" if measured.wer_low is None else f" ({measured.wer_low:.1%} to {measured.wer_high:.1%})"
        quality = f"{measured.wer:.2%}{interval}"
    return (
        name,
        f"{measured.bits_per_weight:.3f}",
        f"{measured.stored_bits / 8e6:.1f}",
        quality,
        "" if error is None else f"{error:.1%}",
        f"{measured.seconds:.0f}" if measured.seconds else "",
    )
