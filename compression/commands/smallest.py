"""``smallest``: the smallest model within an allowance, from the forecasts, verified by one measurement on request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.table import Table

from compression import forecast, session, types
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    GradientsOption,
    JsonOption,
    LengthOption,
    ModelArgument,
    SequencesOption,
    TextOption,
    WindowOption,
    app,
    check_output,
    named,
    output,
    run,
    write,
)
from compression.errors import UserError
from compression.recipe import OWN, Recipe
from compression.smallest import Candidate, Smallest, Verified, check_allowance, smallest_within, verified

MB = 8e6
"""Bits of a megabyte."""


@dataclass(frozen=True)
class SmallestReport:
    """What ``smallest --json`` writes.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        smallest: the answer.
        comparison: the measurement that verifies it; None where none was asked for.
        verified: the two beside each other.
    """

    model_id: str
    model_note: str
    smallest: Smallest
    comparison: types.Comparison | None = None
    verified: Verified | None = None


SCHEMAS["smallest"] = SmallestReport


@app.command()
def smallest(
    model: ModelArgument,
    within: Annotated[float, typer.Option(help="How much perplexity may grow: 0.05 is 5 %.")] = 0.05,
    methods: Annotated[str, typer.Option(help="Comma-separated methods, each under its own policy.")] = "compot-fisher",
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    verify: Annotated[bool, typer.Option("--verify", help="Compress it and measure its perplexity.")] = False,
    text: TextOption = "sotu-evaluation",
    window: WindowOption = 1024,
    max_windows: Annotated[int, typer.Option(help="Number of windows.")] = 4,
    json_file: JsonOption = None,
) -> None:
    """Find the smallest model whose predicted perplexity stays within so much of the dense one's."""
    check_allowance(within)
    check_output(json_file)
    dense = Recipe(
        model,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        gradient_sequences=gradient_sequences,
    )
    reports = [_forecast(replace(dense, method=name.strip(), policy=OWN)) for name in methods.split(",")]
    first = reports[0]
    found = smallest_within(reports, within, first.original_bits, first.site_bits)
    of_what = "perplexity of transcripts" if first.is_speech else "perplexity"
    output.print(
        f"{named(first.model_id, first.model_note)}: {first.original_bits / MB:.1f} MB; predicted {of_what} at most "
        f"{within:.1%} above the dense model's.",
        highlight=False,
    )
    output.print(_table(found.candidates))
    best = found.best
    if best is None:
        output.print("Nothing may be removed: allow more, or name other methods.", highlight=False)
    report = SmallestReport(first.model_id, first.model_note, found)
    if verify and best is not None:
        report = _verify(report, best, dense, (text, window, max_windows))
    write(report, json_file)


def _forecast(recipe: Recipe) -> forecast.ForecastReport:
    """The stored table of a recipe, or one made now."""
    key = forecast.table_key(recipe)
    stored = forecast.stored_report(key) if key else None
    if stored is not None:
        return stored
    recipe.check()
    from compression.workbench import get_workbench

    return run(get_workbench().forecast(recipe))


def _table(candidates: tuple[Candidate, ...]) -> Table:
    table = Table("method", "policy", "removed (sites)", "size, MB", "predicted", "95 % band", "surely")
    for each in candidates:
        if each.removed_fraction is None:
            table.add_row(each.method, each.policy, "no forecast", "", each.problem)
            continue
        table.add_row(
            each.method,
            each.policy,
            f"{each.removed_fraction:.3f}" + (" or more" if each.at_the_end else ""),
            f"{each.stored_bits / MB:.1f}",
            f"{each.change:+.2%}",
            f"{each.low:+.2%} to {each.high:+.2%}",
            f"{each.sure_fraction:.3f}",
        )
    return table


def _verify(
    report: SmallestReport, best: Candidate, dense: Recipe, measured_on: tuple[str, int, int]
) -> SmallestReport:
    from compression.workbench import get_workbench

    assert best.removed_fraction is not None
    recipe = replace(dense, method=best.method, policy=best.policy, removed_fraction=best.removed_fraction)
    workbench = get_workbench()
    if run(workbench.is_speech(dense.model_id)):
        raise UserError("A forecast for a speech model is no word error rate: measure the model with compare --audio.")
    comparison = run(workbench.compare((recipe,), *measured_on))
    made = comparison.environment.date
    reference = session.dense_point(comparison.dense, made)
    outcome = verified(best, reference, session.run_point(comparison.runs[0], comparison.dense, recipe, made))
    inside = "inside" if outcome.low <= outcome.measured <= outcome.high else "outside"
    output.print(
        f"Measured on {comparison.dense.text.name}: {outcome.measured:+.2%}, predicted {outcome.predicted:+.2%}, so "
        f"{outcome.off * 100:+.2f} percentage points off, {inside} the band; the model is "
        f"{comparison.runs[0].stored_bits / MB:.1f} MB.",
        highlight=False,
    )
    return replace(report, comparison=comparison, verified=outcome)
