"""``compare``: methods and policies side by side, and their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from compression import analysis, texts, types
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
    ModelArgument,
    MostOption,
    PaddingOption,
    PinOption,
    PresetOption,
    RatioOption,
    RecalibrateOption,
    SeedOption,
    SequencesOption,
    SettingOption,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_measured_on,
    check_output,
    markdown_table,
    named,
    numbers_given,
    output,
    perplexity_cell,
    pins_given,
    recipes_over,
    run,
    settings_given,
    show_table,
    words_given,
    write,
)
from compression.recipe import PRESETS, Guards, over_seeds
from compression.speech import recordings

if TYPE_CHECKING:
    from compression.workbench import Predict

SCHEMAS |= {"compare": types.Comparison | types.SpeechComparison}


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

    recipes = recipes_over(
        model,
        words_given(methods, "--methods"),
        words_given(policies, "--policies"),
        numbers_given(removed, "--removed"),
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
    check_measured_on(model, speech, text, audio)
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
    reference = perplexity_cell(comparison.dense.perplexity, comparison.dense.perplexity_stderr)
    dense = ("dense", "", "0", "0", reference, *[""] * (len(header) - 5))
    rows = [
        (
            run.method,
            run.policy,
            f"{run.removed_fraction:.3f}",
            f"{run.whole_model_removed_fraction:.3f}",
            perplexity_cell(run.perplexity, run.perplexity_stderr),
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
    return f"{perplexity_cell(spread.low, None)} to {perplexity_cell(spread.high, None)} ({spread.count} seeds)"


def _divergences(run: types.ComparisonRun) -> tuple[str, str, str]:
    if run.mean_kl is None or run.p99_kl is None or run.top1_agreement is None:
        return "", "", ""
    return f"{run.mean_kl:.3f}", f"{run.p99_kl:.2f}", f"{run.top1_agreement:.1%}"
