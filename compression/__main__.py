"""The command line: ``python -m compression COMMAND``.

Results go to standard output, progress and errors to standard error. Bad input ends with one sentence and exit code 2.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import typer
from rich.table import Table

from compression import ablation, analysis, commands, forecast, models, texts, types
from compression.benchmarks import cospadi, inference_report, memory_report, solver
from compression.commands.shared import (
    SCHEMAS,
    AudioOption,
    CalibrationOption,
    DampingOption,
    GradientsOption,
    IterationsOption,
    JsonOption,
    LanguageOption,
    LeastOption,
    LengthOption,
    MethodOption,
    ModelArgument,
    MostOption,
    PaddingOption,
    PinOption,
    PolicyOption,
    PresetOption,
    RatioOption,
    RecalibrateOption,
    RemovedOption,
    SeedOption,
    SequencesOption,
    SettingOption,
    StreamOption,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    bench,
    check_output,
    errors,
    markdown_table,
    named,
    output,
    pins_given,
    run,
    settings_given,
    show_notes,
    show_table,
    write,
)
from compression.errors import UserError
from compression.gallery import headline_methods
from compression.recipe import PRESETS, Guards, Recipe, over_seeds
from compression.speech import recordings

if TYPE_CHECKING:
    from compression.gallery import Gallery
    from compression.workbench import Predict


@dataclass(frozen=True)
class Listing:
    """What ``models --json`` writes."""

    encoders: tuple[models.ModelSpec, ...]
    models: tuple[models.ModelSpec, ...]
    texts: tuple[texts.TextSpec, ...]
    recordings: tuple[recordings.RecordingsSpec, ...]


SCHEMAS |= {
    "models": Listing,
    "analyze": analysis.AnalysisInfo,
    "allocate": types.Allocation,
    "compress": types.CompressionReport,
    "evaluate": types.PerplexityReport | types.TranscriptionReport,
    "latency": types.LatencyReport | types.SpeechLatencyReport,
    "compare": types.Comparison | types.SpeechComparison,
    "predict": forecast.ForecastReport,
    "ablate": ablation.AblationReport,
    "gallery": types.Comparison | types.SpeechComparison,
    "bench memory": memory_report.MemoryBenchmark,
    "bench inference": inference_report.InferenceBenchmark,
    "bench solver": solver.SolverBenchmark,
    "bench cospadi": cospadi.CoSpaDiBenchmark,
}
GALLERY_PARTS = ("all", "headline", "comparators")


@app.command("models")
def list_models(json_file: JsonOption = None) -> None:
    """List the models, texts and recordings that have a short name."""
    check_output(json_file)
    table = Table("id", "model", "source", "note")
    for spec in models.CATALOGUE.values():
        table.add_row(spec.id, spec.title, type(spec.source).__name__.removesuffix("Source").lower(), spec.note)
    for spec in models.ENCODERS.values():
        table.add_row(spec.id, spec.title, "wheel", "encoder for classification: use it with adapt")
    output.print(table)
    table = Table("text", "what it is")
    for text in texts.TEXTS.values():
        table.add_row(text.name, text.description)
    output.print(table)
    table = Table("recordings", "what they are")
    for spoken in recordings.RECORDINGS.values():
        table.add_row(spoken.name, spoken.description)
    output.print(table)
    listing = Listing(
        tuple(models.ENCODERS.values()),
        tuple(models.CATALOGUE.values()),
        tuple(texts.TEXTS.values()),
        tuple(recordings.RECORDINGS.values()),
    )
    write(listing, json_file)


@app.command()
def analyze(
    model: ModelArgument,
    calibration: CalibrationOption = "",
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
    method: Annotated[str, typer.Option("--method", help="Whose error curves fisher uses.")] = "compot-fisher",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    seed: SeedOption = 0,
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    pin: PinOption = None,
    language: LanguageOption = "en",
    count_padding: PaddingOption = False,
    json_file: JsonOption = None,
) -> None:
    """Show how a policy splits the budget over the sites."""
    from compression.workbench import get_workbench

    recipe = Recipe(
        model,
        method,
        policy,
        removed,
        calibration,
        calibration_sequences,
        sequence_length,
        guards=Guards(guard_least, guard_most),
        gradient_sequences=gradient_sequences,
        seed=seed,
        pins=pins_given(pin),
        language=language,
        count_padding=count_padding,
    )
    check_output(json_file)
    info, allocation = run(get_workbench().allocation(recipe))
    describe_model(info)
    if len(info.blocks) <= 12:
        table = Table("projection", *map(str, info.blocks))
        for projection in info.projections:
            sites = [info.site_at(block, projection) for block in info.blocks]
            shares = ("" if site is None else f"{allocation.removed_fractions[site.name]:.2f}" for site in sites)
            table.add_row(projection, *shares)
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
    method: MethodOption = "compot",
    policy: PolicyOption = "uniform",
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    seed: SeedOption = 0,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    damping: DampingOption = None,
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    pin: PinOption = None,
    recalibrate: RecalibrateOption = False,
    setting: SettingOption = None,
    preset: PresetOption = PRESETS[0],
    language: LanguageOption = "en",
    count_padding: PaddingOption = False,
    stream: StreamOption = False,
    json_file: JsonOption = None,
) -> None:
    """Compress a model and write it to a directory."""
    from compression.workbench import get_workbench

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
        gradient_sequences,
        seed,
        damping,
        recalibrate,
        pins_given(pin),
        settings_given(setting),
        preset,
        language,
        count_padding,
    )
    check_output(json_file)
    report = run((get_workbench(True) if stream else get_workbench()).compress_to(recipe, out))
    output.print(
        f"{out}, from {named(report.plan.model_id, report.model_note)}: "
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
    _check_measured_on(model, speech, text, audio)
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


@app.command()
def predict(
    model: ModelArgument,
    method: MethodOption = "compot-fisher",
    policy: PolicyOption = "own",
    removed: Annotated[str, typer.Option(help="Comma-separated removed fractions.")] = "0.1,0.2,0.3,0.4,0.5",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    seed: SeedOption = 0,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    damping: DampingOption = None,
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    pin: PinOption = None,
    recalibrate: RecalibrateOption = False,
    setting: SettingOption = None,
    preset: PresetOption = PRESETS[0],
    language: LanguageOption = "en",
    count_padding: PaddingOption = False,
    json_file: JsonOption = None,
) -> None:
    """Foretell the perplexity at every removed fraction; statistics and probes are made once and kept."""
    recipe = Recipe(
        model,
        method,
        policy,
        0.0,
        calibration,
        calibration_sequences,
        sequence_length,
        iterations,
        atoms_per_nonzero,
        Guards(guard_least, guard_most),
        gradient_sequences,
        seed,
        damping,
        recalibrate,
        pins_given(pin),
        settings_given(setting),
        preset,
        language,
        count_padding,
    )
    fractions = tuple(_numbers(removed, "--removed"))
    forecast.check_fractions(fractions)
    check_output(json_file)
    key = forecast.table_key(recipe)
    report = forecast.stored_report(key) if key else None
    if report is None:
        from compression.workbench import get_workbench

        report = run(get_workbench().forecast(recipe))
    report = report.at(fractions)
    kept = "recordings" if report.is_speech else "text"
    output.print(
        f"{named(report.model_id, report.model_note)}, {report.method}, policy {report.policy}: dense perplexity "
        f"{report.dense.perplexity:.2f} on {kept} kept apart from {report.text.name} ({report.convention}).",
        highlight=False,
    )
    if report.problem:
        output.print(f"No forecast: {report.problem}. Measured instead:", highlight=False)
    table = Table("removed (sites)", "perplexity", "95 % band")
    for row in report.predictions:
        table.add_row(f"{row.removed_fraction_target:g}", f"{row.perplexity:.2f}", f"{row.low:.2f} to {row.high:.2f}")
    for point in report.measured:
        table.add_row(f"{point.removed_fraction_target:g}", f"{point.perplexity:,.2f}", "measured")
    output.print(table)
    write(report, json_file)


@app.command()
def compare(
    model: ModelArgument,
    methods: Annotated[str, typer.Option(help="Comma-separated methods.")] = "svd,svd-llm,compot",
    policies: Annotated[str, typer.Option(help="Comma-separated allocation policies.")] = "uniform,pooled",
    removed: Annotated[str, typer.Option(help="Comma-separated removed fractions.")] = "0.2",
    calibration: CalibrationOption = "",
    text: TextOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    seed: SeedOption = 0,
    seeds: Annotated[int, typer.Option(help="Number of calibration seeds a setting, from --seed on.")] = 1,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    damping: DampingOption = None,
    guard_least: LeastOption = 0.0,
    guard_most: MostOption = 0.8,
    pin: PinOption = None,
    recalibrate: RecalibrateOption = False,
    setting: SettingOption = None,
    preset: PresetOption = PRESETS[0],
    predicted: Annotated[
        bool | None,
        typer.Option(
            "--predict/--no-predict",
            help="Set the forecast beside the measurement; by default for methods and policies that look at the loss.",
        ),
    ] = None,
    window: WindowOption = 1024,
    max_windows: WindowsOption = 4,
    audio: AudioOption = "",
    language: LanguageOption = "en",
    count_padding: PaddingOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure methods and policies side by side: one model, one calibration, one text or one set of recordings."""
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
        damping=damping,
        guards=Guards(guard_least, guard_most),
        gradient_sequences=gradient_sequences,
        seed=seed,
        recalibrate=recalibrate,
        pins=pins_given(pin),
        settings=settings_given(setting),
        preset=preset,
        language=language,
        count_padding=count_padding,
    )
    check_output(json_file)
    speech = run(get_workbench().is_speech(model))
    _check_measured_on(model, speech, text, audio)
    if speech:
        heard = run(get_workbench().compare_speech(over_seeds(recipes, seeds), audio or recordings.DEFAULT_TEST))
        show_comparison(heard, markdown)
        write(heard, json_file)
        return
    predict_for: Predict = "loss-aware" if predicted is None else "always" if predicted else "never"
    scored = text or texts.DEFAULT_EVALUATION
    comparison = run(get_workbench().compare(over_seeds(recipes, seeds), scored, window, max_windows, predict_for))
    show_comparison(comparison, markdown)
    write(comparison, json_file)


def _check_measured_on(model: str, speech: bool, text: str, audio: str) -> None:
    """Refuse a text for what listens and recordings for what reads: nobody shall take them for measured on."""
    if speech and text:
        raise UserError(f"{model} is a speech model, which is measured on recordings: give --audio in place of --text.")
    if audio and not speech:
        raise UserError(
            f"{model} is a language model, which cannot hear: give --text in place of --audio, or choose a speech "
            "model such as whisper-tiny.en."
        )


def _recipes(
    model: str, methods: list[str], policies: list[str], removed: list[float], **rest: Any
) -> tuple[Recipe, ...]:
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


def show_comparison(comparison: types.Comparison | types.SpeechComparison, markdown: bool) -> None:
    """Print a comparison as a table for the terminal or for a README."""
    if markdown:
        print(comparison_markdown(comparison))
        return
    rows, captions = _table_of(comparison)
    show_table(rows)
    for line in captions:
        output.print(line, highlight=False)


def comparison_markdown(comparison: types.Comparison | types.SpeechComparison) -> str:
    """A comparison as a Markdown table with its captions."""
    rows, captions = _table_of(comparison)
    return "\n".join([*markdown_table(rows), "", *captions])


def _table_of(comparison: types.Comparison | types.SpeechComparison) -> tuple[list[tuple[str, ...]], list[str]]:
    """Cells, header first, and captions."""
    if isinstance(comparison, types.SpeechComparison):
        return speech_rows(comparison), speech_captions(comparison)
    return comparison_rows(comparison), comparison_captions(comparison)


def speech_rows(comparison: types.SpeechComparison) -> list[tuple[str, ...]]:
    """The cells of a speech comparison's table, header first; one row a run."""
    header = (
        *("method", "policy", "removed (sites)", "removed (whole model)", "WER (95 %)", "÷ dense", "raw WER", "CER"),
        *("sub, del, ins", "real-time factor", "compress, s"),
    )
    dense = comparison.dense
    rows = [("dense", "", "0", "0", *_rates(dense, dense), "")]
    rows += [
        (
            run.method,
            run.policy if not run.seed else f"{run.policy}, seed {run.seed}",
            f"{run.removed_fraction:.3f}",
            f"{run.whole_model_removed_fraction:.3f}",
            *_rates(run, dense),
            f"{run.compress_seconds:.1f}",
        )
        for run in comparison.runs
    ]
    return [header, *rows]


def _rates(run: types.SpeechRun | types.TranscriptionReport, dense: types.TranscriptionReport) -> tuple[str, ...]:
    interval = "" if run.wer_low is None else f" ({100 * run.wer_low:.1f} to {run.wer_high:.1%})"
    return (
        f"{run.wer:.2%}{interval}",
        f"{run.wer / dense.wer:.2f}" if dense.wer else "",
        f"{run.wer_raw:.1%}",
        f"{run.cer:.2%}",
        f"{run.substitutions}, {run.deletions}, {run.insertions}",
        f"{run.real_time_factor:.3f}",
    )


def speech_captions(comparison: types.SpeechComparison) -> list[str]:
    """What a table of a speech comparison has to say beside its numbers."""
    calibration, dense = comparison.calibration, comparison.dense
    clips = min(calibration.num_sequences, calibration.source.num_clips)
    padding = ", the silence behind them counted" if calibration.count_padding else ""
    caption = (
        f"{named(comparison.model_id, comparison.model_note)}; calibration {calibration.source.name}, {clips} "
        f"recordings with transcripts{padding}; measured on {dense.source.name}, {dense.clips} recordings, "
        f"{dense.audio_seconds / 60:.1f} minutes, {dense.words} words: {dense.convention}; 95 % by bootstrap over "
        f"recordings; {comparison.environment.threads} threads."
    )
    warnings = dict.fromkeys(run.warning for run in comparison.runs if run.warning)
    return [caption, *dense.left_out, *warnings]


def comparison_rows(comparison: types.Comparison) -> list[tuple[str, ...]]:
    """The cells of a comparison's table, header first; one row a setting, its seeds side by side in one cell."""
    settings = analysis.by_setting(comparison.runs)
    seeds = any(spread is not None for _, spread in settings)
    divergences = any(run.mean_kl is not None for run, _ in settings)
    header = (
        *("method", "policy", "removed (sites)", "removed (whole model)", "perplexity"),
        *(("over seeds",) if seeds else ()),
        "predicted",
        *(("mean KL, nats", "99th percentile KL, nats", "same top-1") if divergences else ()),
        "compress, s",
    )
    reference = _perplexity(comparison.dense.perplexity, comparison.dense.perplexity_stderr)
    dense = ("dense", "", "0", "0", reference, *[""] * (len(header) - 5))
    rows = [
        (
            run.method,
            run.policy,
            f"{run.removed_fraction:.3f}",
            f"{run.whole_model_removed_fraction:.3f}",
            _perplexity(run.perplexity, run.perplexity_stderr),
            *((_spread(spread),) if seeds else ()),
            _predicted(run),
            *(_divergences(run) if divergences else ()),
            f"{run.compress_seconds:.1f}",
        )
        for run, spread in settings
    ]
    return [header, dense, *rows]


def comparison_captions(comparison: types.Comparison) -> list[str]:
    """What a table of a comparison has to say beside its numbers."""
    title = named(comparison.model_id, comparison.model_note)
    settings = comparison.calibration
    caption = (
        f"{title}; calibration {settings.text.name}, {settings.num_sequences} × {settings.sequence_length} tokens; "
        f"{comparison.dense.text.name}, {comparison.dense.convention}; ± standard error over windows; "
        f"{comparison.environment.threads} threads."
    )
    if any(run.predicted_perplexity is not None for run in comparison.runs):
        caption += (
            " Predicted from probes on calibration text that no statistic has seen, before this text was looked at; in "
            "brackets the 95 % band."
        )
    if any(run.mean_kl is not None for run in comparison.runs):
        caption += (
            " KL is that of the compressed from the dense model's distribution over the next token, KL(dense ‖ "
            "compressed), at every scored token."
        )
    if any(spread is not None for _, spread in analysis.by_setting(comparison.runs)):
        caption += " Over seeds: lowest to highest perplexity with so many other choices of calibration sequences."
    return [caption, *dict.fromkeys(run.warning for run in comparison.runs if run.warning)]


def _predicted(run: types.ComparisonRun) -> str:
    if run.predicted_perplexity is None:
        return "no forecast" if run.forecast_problem else ""
    return f"{run.predicted_perplexity:.2f} ({run.predicted_low:.2f} to {run.predicted_high:.2f})"


def _spread(spread: analysis.SeedSpread | None) -> str:
    if spread is None:
        return ""
    return f"{_perplexity(spread.low, None)} to {_perplexity(spread.high, None)} ({spread.count} seeds)"


def _divergences(run: types.ComparisonRun) -> tuple[str, str, str]:
    if run.mean_kl is None or run.p99_kl is None or run.top1_agreement is None:
        return "", "", ""
    return f"{run.mean_kl:.3f}", f"{run.p99_kl:.2f}", f"{run.top1_agreement:.1%}"


def _perplexity(value: float, stderr: float | None) -> str:
    digits = 2 if value < 1000 else 0
    return f"{value:,.{digits}f}" + ("" if stderr is None else f" ± {stderr:,.{digits}f}")


@app.command()
def ablate(
    model: ModelArgument,
    removed: RemovedOption = 0.2,
    claims: Annotated[str, typer.Option(help="Comma-separated claims; all by default.")] = ",".join(ablation.CLAIMS),
    calibration: CalibrationOption = "",
    text: TextOption = texts.DEFAULT_EVALUATION,
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    seed: SeedOption = 0,
    window: WindowOption = 512,
    max_windows: WindowsOption = 16,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Hold COMPOT's published ablations against this model: where their direction holds, and where not (minutes)."""
    from compression.workbench import get_workbench

    base = Recipe(
        model,
        removed_fraction=removed,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        seed=seed,
    )
    plans = ablation.plan(base, _words(claims, "--claims"))
    check_output(json_file)
    report = run(ablation.ablate(get_workbench(), plans, text, window, max_windows))
    show_ablation(report, markdown)
    write(report, json_file)


def show_ablation(report: ablation.AblationReport, markdown: bool) -> None:
    """Print every claim with its table and its verdict, for the terminal or for a README."""
    if markdown:
        print(ablation_markdown(report))
        return
    for claim in report.claims:
        output.print(claim_title(claim), style="bold", highlight=False)
        show_table(ablation_rows(claim))
        output.print(f"{claim.verdict}\n", highlight=False)
    for line in ablation_captions(report):
        output.print(line, highlight=False)


def ablation_markdown(report: ablation.AblationReport) -> str:
    """An ablation as Markdown: for each claim a table and the verdict, then the captions."""
    lines: list[str] = []
    for claim in report.claims:
        lines += [f"**{claim_title(claim)}**", "", *markdown_table(ablation_rows(claim)), "", claim.verdict, ""]
    return "\n".join([*lines, *ablation_captions(report)])


def claim_title(claim: ablation.AblationClaim) -> str:
    """A claim's name and words."""
    return f"{claim.name}: {claim.statement}"


def ablation_rows(claim: ablation.AblationClaim) -> list[tuple[str, ...]]:
    """The cells of a claim's table, header first."""
    published = any(row.published_accuracy is not None for row in claim.rows)
    header = (
        *("variant", "removed (sites)", "k/s stored", "perplexity"),
        *(f"change against {claim.reference}, nats (95 %)", "compress, s"),
        *(("published accuracy, %",) if published else ()),
    )
    rows = [
        (
            row.label,
            f"{row.removed_fraction:.3f}",
            "" if row.stored_ratio is None else f"{row.stored_ratio:.2f}",
            _perplexity(row.perplexity, row.perplexity_stderr),
            _change(row.change),
            f"{row.compress_seconds:.1f}",
            *(("" if row.published_accuracy is None else f"{row.published_accuracy:.1f}",) if published else ()),
        )
        for row in claim.rows
    ]
    return [header, *rows]


def ablation_captions(report: ablation.AblationReport) -> list[str]:
    """What the tables of an ablation have to say beside their numbers."""
    settings, dense = report.calibration, report.dense
    return [
        f"{named(report.model_id, report.model_note)}, {report.removed_fraction:g} removed, dense perplexity "
        f"{_perplexity(dense.perplexity, dense.perplexity_stderr)}; calibration {settings.text.name}, "
        f"{settings.num_sequences} × {settings.sequence_length} tokens; {dense.text.name}, {dense.convention}; "
        f"± standard error over windows; {report.environment.threads} threads. k/s stored: over all sites; a site has "
        "at most as many atoms as its smaller side, and spends what is left on nonzeros.",
        report.convention,
    ]


def _change(change: ablation.Difference | None) -> str:
    if change is None:
        return ""
    interval = "" if change.low is None else f" ({change.low:+.4f} to {change.high:+.4f})"
    return f"{change.mean:+.4f}{interval}"


@app.command()
def gallery(
    model: ModelArgument = models.DEFAULT_MODEL,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the JSON files; by default assets/MODEL.")
    ] = None,
    removed: Annotated[str, typer.Option(help="Comma-separated removed fractions.")] = "0.1,0.2,0.3,0.4",
    part: Annotated[str, typer.Option(help="all, headline or comparators; the other part is kept.")] = "all",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    gradient_sequences: GradientsOption = 32,
    audio: AudioOption = "",
    json_file: JsonOption = None,
) -> None:
    """Precompute what the app shows at first paint (about an hour on two cores; a part takes its share).

    A speech model has no comparators: it is measured with the methods that its papers compare, on --audio.
    """
    from compression.gallery import comparator_recipes, load_gallery, registered_methods, save_gallery
    from compression.workbench import get_workbench

    if part not in GALLERY_PARTS:
        raise UserError(f"There is no part {part!r} of the gallery: expected one of {', '.join(GALLERY_PARTS)}.")
    check_output(json_file)
    folder = out or Path("assets") / model
    workbench, methods = get_workbench(), registered_methods()
    speech = run(workbench.is_speech(model))
    _check_measured_on(model, speech, "", audio)
    base = Recipe(
        model,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        gradient_sequences=gradient_sequences,
    )
    kept: Gallery | None = None if part == "all" else load_gallery(folder)
    if kept is None or part == "headline":
        heard = (audio or recordings.DEFAULT_TEST) if speech else None
        made = _headline(base, tuple(_numbers(removed, "--removed")), heard)
        kept = made if kept is None else dataclasses.replace(made, comparators=kept.comparators)
    if part != "headline" and not speech:
        recipes = _calibrated_as(base, comparator_recipes(model))
        comparators = run(workbench.compare(recipes, texts.DEFAULT_EVALUATION, predict="never"))
        kept = dataclasses.replace(kept, comparators=comparators, methods=methods)
    save_gallery(folder, kept)
    for measured in (kept.headline, kept.comparators):
        if measured.runs:
            show_comparison(measured, markdown=True)
    write(kept.comparison, json_file)


def _calibrated_as(base: Recipe, recipes: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
    """Recipes with the calibration of another."""
    names = ("calibration_text", "num_sequences", "gradient_sequences")
    asked: dict[str, Any] = {name: getattr(base, name) for name in names}
    return tuple(dataclasses.replace(recipe, **asked) for recipe in recipes)


def _headline(base: Recipe, fractions: tuple[float, ...], audio: str | None) -> Gallery:
    """A gallery without comparators; `audio` names the recordings of a speech model."""
    from compression.gallery import (
        SPEECH_METHODS,
        Gallery,
        gallery_recipes,
        registered_methods,
        registered_policies,
        speech_gallery_recipes,
    )
    from compression.workbench import get_workbench

    workbench, methods, model = get_workbench(), registered_methods(), base.model_id
    policies, counts = registered_policies(), (base.num_sequences, base.gradient_sequences)
    info = run(
        workbench.analyze(model, base.calibration_text, counts[0], policies=policies, gradient_sequences=counts[1])
    )
    shown = headline_methods(methods) if audio is None else [m for m in methods if m.name in SPEECH_METHODS]
    # Before the comparison, which sets beside its runs what is stored.
    forecasts = tuple(
        run(workbench.forecast(dataclasses.replace(base, method=method.name, policy=method.own_policy)))
        for method in shown
    )
    headline: types.Comparison | types.SpeechComparison
    if audio is None:
        recipes = _calibrated_as(base, gallery_recipes(model, methods, fractions))
        headline = run(workbench.compare(recipes, texts.DEFAULT_EVALUATION, predict="stored"))
    else:
        headline = run(workbench.compare_speech(_calibrated_as(base, speech_gallery_recipes(model, fractions)), audio))
    comparators: Any = dataclasses.replace(headline, runs=())  # type: ignore[arg-type]  # of either kind
    middle = info.model.blocks[len(info.model.blocks) // 2]
    sites = [info.model.site_at(middle, projection) for projection in info.model.projections]
    pictured = dataclasses.replace(base, method="compot", removed_fraction=0.2)
    patterns = tuple(run(workbench.pattern(pictured, site.name)) for site in sites if site is not None)
    return Gallery(info, headline, comparators, patterns, methods, forecasts, run(workbench.evidence(base)))


@bench.command("solver")
def bench_solver(
    model: Annotated[str, typer.Option("--model", help="Catalogue id, Hub id (owner/name[@revision]) or directory.")],
    methods: Annotated[str | None, typer.Option(help="Comma-separated methods; by default the fast ones.")] = None,
    policy: PolicyOption = "uniform",
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    seed: SeedOption = 0,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    damping: DampingOption = None,
    setting: SettingOption = None,
    preset: PresetOption = PRESETS[0],
    json_file: JsonOption = None,
) -> None:
    """Time every method on a whole model, beside the bare matrix products of its alternations."""
    from compression.benchmarks.solver import benchmark_solver
    from compression.methods import fast_methods
    from compression.workbench import get_workbench

    recipes = _recipes(
        model,
        list(fast_methods()) if methods is None else _words(methods, "--methods"),
        [policy],
        [removed],
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        iterations=iterations,
        atoms_per_nonzero=atoms_per_nonzero,
        damping=damping,
        gradient_sequences=gradient_sequences,
        seed=seed,
        settings=settings_given(setting),
        preset=preset,
    )
    check_output(json_file)
    report = run(benchmark_solver(get_workbench(), recipes))
    table = Table("method", "compress, s", "GFLOP/s", "bare products, s", "GFLOP/s", "× products", "× svd-llm")
    for timing in report.methods:
        cells = (
            (timing.compress_seconds, 1),
            (timing.gflops_per_second, 0),
            (timing.sgemm_seconds, 1),
            (timing.sgemm_gflops_per_second, 0),
            (timing.ratio_to_sgemm, 2),
            (timing.ratio_to_svd_llm, 2),
        )
        table.add_row(timing.method, *("" if value is None else f"{value:.{digits}f}" for value, digits in cells))
    output.print(table)
    for timing in report.methods:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timing.stages.items())
        output.print(f"{timing.method}: {stages}", highlight=False)
    environment = report.environment
    output.print(
        f"{named(report.model_id, report.model_note)}, {report.policy}, {report.removed_fraction:g} removed; "
        f"{environment.threads} threads of {environment.processor}, commit {environment.commit}; {report.convention}.",
        highlight=False,
    )
    write(report, json_file)


@bench.command("cospadi")
def bench_cospadi(
    model: ModelArgument = models.DEFAULT_MODEL,
    block: Annotated[
        int | None, typer.Option(help="Block whose sites are factorised; the middle one by default.")
    ] = None,
    iterations: Annotated[int, typer.Option(help="Alternations of CoSpaDi; the paper's 60.")] = 60,
    compot_iterations: Annotated[int, typer.Option(help="Alternations of COMPOT.")] = 20,
    threads: Annotated[int, typer.Option(help="Threads of either method, one site at a time.")] = 1,
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Time COMPOT and CoSpaDi on the same sites: at their published budgets, and at equal error (minutes)."""
    from compression.benchmarks.cospadi import benchmark_cospadi
    from compression.workbench import get_workbench

    recipe = Recipe(model, "compot", "uniform", removed, calibration, calibration_sequences, sequence_length)
    check_output(json_file)
    report = run(benchmark_cospadi(get_workbench(), recipe, block, iterations, compot_iterations, threads))
    if markdown:
        print(race_markdown(report))
    else:
        show_table(race_rows(report))
        for line in race_captions(report):
            output.print(line, highlight=False)
    write(report, json_file)


def race_markdown(report: cospadi.CoSpaDiBenchmark) -> str:
    """COMPOT against CoSpaDi as a Markdown table with its captions."""
    return "\n".join([*markdown_table(race_rows(report)), "", *race_captions(report)])


def race_rows(report: cospadi.CoSpaDiBenchmark) -> list[tuple[str, ...]]:
    """The cells of the race, header first."""
    header = (
        *("site", "out × in", "k, s", "COMPOT, s", "CoSpaDi, s", "×", "CoSpaDi to COMPOT's error, s", "×"),
        *("COMPOT's squared error", "CoSpaDi's"),
    )
    rows = [
        (
            race.projection,
            f"{race.out_features} × {race.in_features}",
            f"{race.num_atoms}, {race.nonzeros_per_column}",
            f"{race.compot_seconds:.2f}",
            f"{race.cospadi_seconds:.1f}",
            f"{race.budget_ratio:.0f}",
            "never"
            if race.catch_up_seconds is None
            else f"{race.catch_up_seconds:.1f} ({race.catch_up_iterations:g} it.)",
            "" if race.error_ratio is None else f"{race.error_ratio:.0f}",
            f"{race.compot_error:.5f}",
            f"{race.cospadi_error:.5f}",
        )
        for race in report.sites
    ]
    return [header, *rows]


def race_captions(report: cospadi.CoSpaDiBenchmark) -> list[str]:
    """What was found, and where and how."""
    environment = report.environment
    return [
        *report.findings,
        f"{named(report.model_id, report.model_note)}, block {report.block}, {report.removed_fraction:g} removed; "
        f"{report.threads} threads of {environment.processor}, commit {environment.commit}; {report.convention}.",
    ]


@bench.command("inference")
def bench_inference(
    model: ModelArgument = models.DEFAULT_MODEL,
    removed: RemovedOption = 0.4,
    methods: Annotated[str, typer.Option(help="Comma-separated methods; by default the fast ones.")] = "",
    prompt_tokens: Annotated[int, typer.Option(help="Tokens in the prefill.")] = 512,
    decode_tokens: Annotated[int, typer.Option(help="Tokens decoded one by one.")] = 16,
    repeats: Annotated[int, typer.Option(help="Rounds in which dense and compressed take turns.")] = 5,
    iterations: Annotated[int, typer.Option("--iterations", help="Alternations; they do not change speed.")] = 0,
    calibration: CalibrationOption = "",
    json_file: JsonOption = None,
) -> None:
    """Time compressed layers and models against dense and against their own FLOPs and bytes (minutes)."""
    from compression.benchmarks.inference import benchmark_inference
    from compression.workbench import get_workbench

    check_output(json_file)
    names = _words(methods, "--methods") if methods else None
    settings = removed, prompt_tokens, decode_tokens, repeats, iterations, calibration
    result = run(benchmark_inference(get_workbench(), model, tuple(names) if names else None, *settings))
    for method in result.methods:
        show_inference(result, method)
    for note in result.notes:
        output.print(f"note: {note}", highlight=False)
    write(result, json_file)


@bench.command("memory")
def bench_memory(
    model: ModelArgument = models.DEFAULT_MODEL,
    method: MethodOption = "compot-fisher",
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    text: TextOption = texts.DEFAULT_EVALUATION,
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    pin: PinOption = None,
    policy: PolicyOption = "own",
    stream: StreamOption = False,
    json_file: JsonOption = None,
) -> None:
    """Set measured peak memory beside the memory model; statistics are made anew, with a seed of their own."""
    from compression.benchmarks.memory import benchmark_memory
    from compression.workbench import get_workbench

    recipe = Recipe(
        model,
        method,
        policy,
        removed,
        calibration,
        calibration_sequences,
        sequence_length,
        gradient_sequences=gradient_sequences,
        seed=time.time_ns() % 2**31,  # nothing of it is in the cache
        pins=pins_given(pin),
    )
    check_output(json_file)
    result = run(benchmark_memory((get_workbench(True) if stream else get_workbench()), recipe, text))
    table = Table("up to and with", "measured peak, GiB", "memory model, GiB", "s")
    for phase in result.phases:
        sizes = (phase.measured_bytes / 2**30, phase.predicted_bytes / 2**30)
        table.add_row(phase.name, *(f"{size:.2f}" for size in sizes), f"{phase.seconds:.0f}")
    output.print(table)
    output.print(f"{named(result.model_id, result.model_note)}; {result.environment.threads} threads.", highlight=False)
    output.print(
        f"Largest peak without the {result.imports_bytes / 2**30:.2f} GiB of the imports: {result.copies:.2f} of one "
        f"float32 copy of the weights ({result.copy_bytes / 2**30:.2f} GiB).",
        highlight=False,
    )
    for other in result.extrapolations:
        output.print(
            f"{other.name}: {other.predicted_bytes / 2**30:.1f} GiB by the memory model, "
            f"{'within' if other.fits else 'beyond'} {result.limit_bytes / 2**30:.0f} GiB.",
            highlight=False,
        )
    write(result, json_file)


def show_inference(
    result: inference_report.InferenceBenchmark, method: inference_report.MethodBenchmark, mib: int = 2**20
) -> None:
    """Print one method's table and what its numbers mean."""
    table = Table(
        *("layers (out × in)", "number", "form", "FLOPs ÷", "executed ÷", "prefill ×", "realised", "of executed"),
        *("bytes read ÷", "decode ×", "in memory, MiB", "stored, MiB"),
        title=f"{method.method}, {method.removed_fraction:.1%} removed",
    )
    for row in (*method.shapes, method.total):
        work = row.work
        table.add_row(
            row.label,
            str(row.layers),
            ", ".join(f"{count} {form}" for form, count in row.execution.items()),
            f"{work.flop_ratio:.2f}",
            f"{work.executed_flop_ratio:.2f}",
            f"{row.prefill.speed_ratio:.2f}",
            f"{row.prefill.realised_share:.2f}",
            f"{row.prefill.executed_share:.2f}",
            f"{work.byte_ratio:.2f}",
            f"{row.decode.speed_ratio:.2f}",
            f"{work.resident_bytes / mib:.1f} (dense {work.dense_resident_bytes / mib:.1f})",
            f"{work.stored_bytes / mib:.1f} (dense {work.dense_stored_bytes / mib:.1f})",
        )
    whole = method.model
    memory = f"{whole.resident_bytes / mib:.1f} (dense {whole.dense_resident_bytes / mib:.1f})"
    speeds = f"{whole.prefill.speed_ratio:.2f}", f"{whole.prefill.realised_share:.2f}", ""
    table.add_row("whole model", "", "", "", "", *speeds, "", f"{whole.decode.speed_ratio:.2f}", memory, "")
    output.print(table)
    for label, timing in (("prefill", whole.prefill), ("decode, a token", whole.decode)):
        dense, small = timing.dense, timing.compressed
        output.print(
            f"whole model, {label}: {small.median_ms:.1f} ms (IQR {small.iqr_ms:.1f}), "
            f"dense {dense.median_ms:.1f} ms (IQR {dense.iqr_ms:.1f}); {result.prompt_tokens} prompt tokens, "
            f"{result.threads} threads on {result.environment.processor}.",
            highlight=False,
        )
    output.print(f"{named(result.model_id, result.model_note)}: {whole.execution}.", highlight=False)
    remarks = [remark for row in (*method.shapes, method.total) for remark in row.remarks]
    for remark in (*remarks, *whole.remarks):
        output.print(f"- {remark}", highlight=False)


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


def describe_model(info: analysis.ModelInfo) -> None:
    """One line on a model, with its caution, and what happened while it was loaded."""
    show_notes(info.notes)
    output.print(
        f"{named(info.model_id, info.note)}: {info.architecture}, "
        f"{info.num_parameters / 1e6:.1f} M parameters, {len(info.sites)} "
        f"compressible layers with {info.site_weights / 1e6:.1f} M weights.",
        highlight=False,
    )


commands.load_all()


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        errors.print(f"error: {error}", style="bold", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
