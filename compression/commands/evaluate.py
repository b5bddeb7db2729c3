"""``evaluate``: perplexity or word error rate; ``latency``: how long a model takes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from compression import texts, types
from compression.commands.shared import (
    SCHEMAS,
    AudioOption,
    JsonOption,
    LanguageOption,
    ModelArgument,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_measured_on,
    check_output,
    named,
    output,
    run,
    show_notes,
    write,
)
from compression.recipe import Recipe
from compression.speech import recordings

SCHEMAS |= {
    "evaluate": types.PerplexityReport | types.TranscriptionReport,
    "latency": types.LatencyReport | types.SpeechLatencyReport,
}


@app.command()
def evaluate(
    model: ModelArgument,
    text: TextOption = "",
    window: WindowOption = 1024,
    max_windows: WindowsOption = None,
    audio: AudioOption = "",
    language: LanguageOption = "en",
    json_file: JsonOption = None,
) -> None:
    """Measure the perplexity, or of a speech model the word error rate, of a model or of what ``compress`` wrote."""
    from compression.workbench import get_workbench

    check_output(json_file)
    speech = run(get_workbench().is_speech(model))
    check_measured_on(model, speech, text, audio)
    if speech:
        recipe = Recipe(model, language=language)
        heard = run(get_workbench().evaluate_speech(recipe, audio or recordings.DEFAULT_TEST))
        show_transcription(heard)
        write(heard, json_file)
        return
    report = run(get_workbench().evaluate(Recipe(model), text or texts.DEFAULT_EVALUATION, window, max_windows))
    spread = "" if report.perplexity_stderr is None else f" ± {report.perplexity_stderr:.2f} (standard error)"
    output.print(
        f"{named(report.model_id, report.model_note)}: "
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
    """Time prefill and decode, or encoder and decoder; what ``compress`` wrote is interleaved with its original."""
    from compression.workbench import get_workbench

    check_output(json_file)
    if run(get_workbench().is_speech(model)):
        heard = run(get_workbench().speech_latency(Recipe(model)))
        show_speech_latency(heard)
        write(heard, json_file)
        return
    report = run(get_workbench().latency(Recipe(model), prompt_tokens, decode_tokens))
    table = Table(
        "model", f"prefill of {report.prompt_tokens} tokens, ms", "roofline", "decode, ms a token", "roofline"
    )
    for label, prefill in report.prefill.items():
        decode = report.decode[label]
        table.add_row(
            label,
            f"{prefill.median_ms:.1f} (IQR {prefill.iqr_ms:.1f})",
            f"{report.predicted_prefill[label]:.1f} (× {report.prefill_over_predicted[label]:.1f})",
            f"{decode.median_ms:.1f} (IQR {decode.iqr_ms:.1f})",
            f"{report.predicted_decode[label]:.1f} (× {report.decode_over_predicted[label]:.1f})",
        )
    output.print(table)
    if report.machine is not None:
        output.print(
            f"Roofline: what the linear layers alone would take at {report.machine.flops_per_second / 1e9:.0f} GFLOP/s "
            f"and {report.machine.bytes_per_second / 1e9:.0f} GB/s, measured here; × is measured ÷ predicted.",
            highlight=False,
        )
    if "compressed" in report.prefill and report.smaller:
        phases = {"prefill": report.faster_prefill, "decode": report.faster_decode}
        show_faster([phase for phase, yes in phases.items() if yes])
    name = named(report.model_id, report.model_note)
    output.print(f"{name}; {report.threads} threads on {report.device}; {report.execution}.", highlight=False)
    show_notes(report.notes)
    write(report, json_file)


def show_transcription(report: types.TranscriptionReport) -> None:
    """Print a word error rate with what belongs to it."""
    interval = "" if report.wer_low is None else f" (95 % {report.wer_low:.2%} to {report.wer_high:.2%})"
    output.print(
        f"{named(report.model_id, report.model_note)}: word error rate {report.wer:.2%}{interval} on "
        f"{report.source.name}, {report.clips} recordings, {report.audio_seconds:.0f} s: {report.convention}; raw "
        f"{report.wer_raw:.2%}, characters {report.cer:.2%}; {report.substitutions} substitutions, {report.deletions} "
        f"deletions, {report.insertions} insertions in {report.words} words; real-time factor "
        f"{report.real_time_factor:.3f}, {report.stored_bits / 8 / 2**20:.1f} MiB of tensors.",
        highlight=False,
    )
    show_notes((*report.left_out, *report.notes))


def show_speech_latency(report: types.SpeechLatencyReport) -> None:
    """Print the latency of a speech model."""
    table = Table("model", "encoder of a 30-second window, ms", "decode, ms a token", "real-time factor")
    for label, encoder in report.encoder.items():
        decode = report.decode[label]
        table.add_row(
            label,
            f"{encoder.median_ms:.1f} (IQR {encoder.iqr_ms:.1f})",
            f"{decode.median_ms:.1f} (IQR {decode.iqr_ms:.1f})",
            f"{report.real_time_factor[label]:.3f}",
        )
    output.print(table)
    if "compressed" in report.encoder and report.smaller:
        phases = {"the encoder": report.faster_encoder, "decode": report.faster_decode}
        show_faster([phase for phase, yes in phases.items() if yes])
    name = named(report.model_id, report.model_note)
    output.print(f"{name}; {report.threads} threads on {report.device}; {report.execution}.", highlight=False)
    show_notes(report.notes)


def show_faster(phases: list[str]) -> None:
    """Say where a smaller model is faster, or that it is not."""
    output.print(f"Smaller, and faster here in {' and '.join(phases)}." if phases else "Smaller, but not faster here.")
