"""``compress``: a model compressed and written to a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression import types
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
    RemovedOption,
    SeedOption,
    SequencesOption,
    SettingOption,
    StreamOption,
    app,
    check_output,
    named,
    output,
    pins_given,
    run,
    settings_given,
    show_notes,
    write,
)
from compression.recipe import PRESETS, Guards, Recipe

SCHEMAS |= {"compress": types.CompressionReport}


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
