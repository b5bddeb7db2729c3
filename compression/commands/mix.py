"""``mix``: one budget of bytes, spent on removing, on fewer bits, and on both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

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
from compression.mixing.report import BudgetCurve, Choice, MixReport
from compression.recipe import Recipe

SCHEMAS |= {"mix": MixReport}
SHOWN_PARTS = 3
SHOWN_BUDGETS = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)


@app.command()
def mix(
    model: ModelArgument,
    bits_per_weight: Annotated[
        float | None,
        typer.Option("--bits-per-weight", help="Stored bits of the compressible layers over their weights."),
    ] = None,
    megabytes: Annotated[
        float | None, typer.Option("--megabytes", help="Of all tensors, 1,000,000 bytes each; instead of bits.")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="That removes: compot-fisher, or compot.")] = "compot-fisher",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    seed: SeedOption = 0,
    text: TextOption = "",
    window: WindowOption = 1024,
    max_windows: WindowsOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the model of the joint choice here.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Spend one budget by GPTQ alone, by removing alone, by both, and by the best choice for each layer."""
    check_output(json_file)
    from compression.workbench import get_workbench

    recipe = Recipe(
        model,
        method,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        seed=seed,
    )
    report = run(get_workbench().mix(recipe, bits_per_weight, megabytes, text, window, max_windows, out))
    show(report)
    write(report, json_file)


def show(report: MixReport) -> None:
    """Print what was measured, and what other budgets are predicted to cost."""
    measured = report.dense
    title = named(report.model_id, report.model_note)
    output.print(
        f"{title}: {report.budget_bits_per_weight:.2f} bits a weight, perplexity on "
        f"{measured.text.name}, {measured.convention}; calibrated on {report.calibration.text.name}.",
        highlight=False,
    )
    rows: list[tuple[str, ...]] = [("", "bits a weight", "all tensors, MB", "perplexity", "predicted loss", "layers")]
    rows.append(("dense", "16.000", f"{measured.stored_bits / 8e6:.1f}", perplexity_text(measured), "", ""))
    for each in report.runs:
        predicted = "" if each.predicted_loss is None else f"{each.predicted_loss:.3f}"
        parts = [f"{part.layers} × {describe(part.choice)}" for part in each.parts[:SHOWN_PARTS]]
        parts += ["…"] if len(each.parts) > SHOWN_PARTS else []
        sizes = f"{each.bits_per_weight:.3f}", f"{each.stored_bits / 8e6:.1f}"
        name = f"{each.name} ({each.taken_from})" if each.taken_from else each.name
        rows.append((name, *sizes, perplexity_text(each.measured), predicted, ", ".join(parts)))
    show_table(rows)
    table: list[tuple[str, ...]] = [("bits a weight at most", *(curve.name for curve in report.curves))]
    table += [(f"{budget:g}", *(_at(curve, budget) for curve in report.curves)) for budget in SHOWN_BUDGETS]
    output.print(
        "predicted perplexity (predicted loss where a model is broken or nothing was fitted):", highlight=False
    )
    show_table(table)
    show_notes(report.notes)


def describe(choice: Choice) -> str:
    """A choice in a few words."""
    removed = f"{choice.removed_fraction:.0%} removed" if choice.removed_fraction else ""
    bits = f"{choice.bits} bits" + (f" g{choice.group_size}" if choice.group_size else "")
    return f"{removed} at {bits}" if removed else bits


def _at(curve: BudgetCurve, budget: float) -> str:
    fitting: Sequence = [point for point in curve.points if point.bits_per_weight <= budget + 1e-9]
    if not fitting:
        return ""
    best = min(fitting, key=lambda point: point.predicted_loss)
    return f"({best.predicted_loss:.2g})" if best.perplexity is None else f"{best.perplexity:.2f}"
