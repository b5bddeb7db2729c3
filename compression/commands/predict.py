"""``predict``: the perplexity at every removed fraction, foretold."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from compression import forecast
from compression.commands.shared import (
    SCHEMAS,
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
    SeedOption,
    SequencesOption,
    SettingOption,
    app,
    check_output,
    named,
    numbers_given,
    output,
    pins_given,
    run,
    settings_given,
    write,
)
from compression.recipe import PRESETS, Guards, Recipe

SCHEMAS |= {"predict": forecast.ForecastReport}


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
    fractions = tuple(numbers_given(removed, "--removed"))
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
