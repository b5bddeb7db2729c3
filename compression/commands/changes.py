"""``changes``: what compression changed in a model's behaviour, on a text or on recordings."""

from __future__ import annotations

from typing import Annotated

import typer

from compression import texts
from compression.commands.shared import (
    SCHEMAS,
    AudioOption,
    CalibrationOption,
    GradientsOption,
    JsonOption,
    LanguageOption,
    LengthOption,
    ModelArgument,
    SequencesOption,
    TextOption,
    app,
    check_output,
    named,
    output,
    run,
    show_notes,
    show_table,
    write,
)
from compression.errors import UserError
from compression.evaluation.changes_report import START_SHARE, ChangesReport, DriftVerdict
from compression.recipe import Recipe
from compression.speech import recordings

SCHEMAS |= {"changes": ChangesReport}

METHOD, POLICY, REMOVED = "compot", "uniform", 0.2
"""What a dense model is compressed with where nothing else is asked for, as in ``compress``."""


@app.command()
def changes(
    model: ModelArgument,
    method: Annotated[str | None, typer.Option("--method", help=f"Compression method. By default {METHOD}.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help=f"Allocation policy. By default {POLICY}.")] = None,
    removed: Annotated[
        float | None, typer.Option("--removed", help=f"Share of the compressible weights. By default {REMOVED}.")
    ] = None,
    text: TextOption = "",
    window: Annotated[
        int | None, typer.Option("--window", help="Tokens a window; by default 256, or as many as fit.")
    ] = None,
    max_windows: Annotated[int, typer.Option("--max-windows", help="Number of windows at most.")] = 8,
    audio: AudioOption = "",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    language: LanguageOption = "en",
    top: Annotated[int, typer.Option("--top", help="So many tokens or words are listed.", min=1)] = 20,
    json_file: JsonOption = None,
) -> None:
    """Show which tokens or words a compressed model predicts otherwise, and where in depth the damage starts."""
    from compression import export
    from compression.workbench import get_workbench

    check_output(json_file)
    workbench = get_workbench()
    if export.is_compressed_directory(model):
        if (method, policy, removed) != (None, None, None):
            raise UserError(f"{model} is compressed already: leave out --method, --policy and --removed.")
        recipe = Recipe(model, language=language)
    else:
        recipe = Recipe(
            model,
            method or METHOD,
            policy or POLICY,
            REMOVED if removed is None else removed,
            calibration,
            calibration_sequences,
            sequence_length,
            gradient_sequences=gradient_sequences,
            language=language,
        )
    if run(workbench.is_speech(model)):
        if text:
            raise UserError(f"{model} writes down speech: give recordings with --audio instead of --text.")
        report = run(workbench.changes_on_recordings(recipe, audio or recordings.DEFAULT_TEST))
    else:
        if audio:
            raise UserError(f"{model} is a language model: give a text with --text instead of --audio.")
        report = run(workbench.changes_on(recipe, text or texts.DEFAULT_EVALUATION, window, max_windows))
    show(report, top)
    write(report, json_file)


def show(report: ChangesReport, top: int) -> None:
    """Print the flipped share, what changed most in its context, and the drift."""
    predicted = len(report.predicted)
    made = f"{report.method}, {report.policy}, {report.removed_fraction:.1%} removed"
    output.print(
        f"{named(report.model_id, report.model_note)}, {made}, on {report.source.name}: "
        f"{report.flipped} of {predicted} {report.unit}s flipped ({report.flipped / predicted:.1%}); "
        f"mean loss {report.dense_loss:.4f} → {report.compressed_loss:.4f} nats a token, "
        f"perplexity {report.dense_perplexity:.2f} → "
        f"{report.compressed_perplexity:.2f}. Convention: {report.convention}; {report.tokens_used} of "
        f"{report.tokens_total} tokens read.",
        highlight=False,
        markup=False,
    )
    if report.same:
        output.print("Both models are equal here, in every prediction and every loss.")
    losses = ("loss, dense", "compressed", "rise")
    header = ("before", report.unit, "after", "dense says", "compressed says", *losses, "flipped")
    show_table([header, *(_row(report, place) for place in report.by_rise()[:top])])
    stacked = any(stage.stack for stage in report.drift.stages)
    show_table(
        [((*(("stack",) if stacked else ()), "place", "relative error: median over positions", "pooled"))]
        + [
            (
                *((stage.stack,) if stacked else ()),
                stage.kind if stage.block is None else f"block {stage.block}",
                f"{stage.median:.4f}",
                f"{stage.pooled:.4f}",
            )
            for stage in report.drift.stages
        ]
    )
    for verdict in report.drift.verdicts:
        output.print(_sentence(verdict), highlight=False)
    show_notes(report.notes)


def _row(report: ChangesReport, place: int) -> tuple[str, ...]:
    unit = report.units[place]
    left, right = report.around(place, 24)
    texts_shown = (left, unit.text, right, unit.dense_says, unit.compressed_says)
    losses = (unit.dense_loss, unit.compressed_loss, unit.rise)
    return (
        *(_plain(text) for text in texts_shown),
        *(f"{value:.3f}" for value in losses if value is not None),
        "yes" if unit.flipped else "",
    )


def _plain(text: str) -> str:
    """A text as a cell: line breaks shown, and no bracket that the console would take for a style."""
    return text.replace("\n", "↵").replace("[", r"\[")


def _sentence(verdict: DriftVerdict) -> str:
    where = f"{verdict.stack}: " if verdict.stack else ""
    if verdict.start is None:
        return f"{where}the hidden states of both models are equal."
    ends = (
        f"it heals in part, to {verdict.last_error:.3f} behind the last block"
        if verdict.heals
        else f"it does not heal: {verdict.last_error:.3f} behind the last block"
    )
    return (
        f"{where}the damage starts in block {verdict.start} (median error {verdict.start_error:.3f}, the first of at "
        f"least {START_SHARE:.0%} of the largest, {verdict.peak_error:.3f} behind block {verdict.peak}); {ends}."
    )
