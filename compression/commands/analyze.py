"""``analyze``: the spectra of a model; ``allocate``: how a policy splits the budget."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from compression import analysis, types
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    GradientsOption,
    JsonOption,
    LanguageOption,
    LeastOption,
    LengthOption,
    ModelArgument,
    MostOption,
    PaddingOption,
    PinOption,
    PolicyOption,
    RemovedOption,
    SeedOption,
    SequencesOption,
    app,
    check_output,
    named,
    output,
    pins_given,
    run,
    show_notes,
    write,
)
from compression.recipe import Guards, Recipe

SCHEMAS |= {"analyze": analysis.AnalysisInfo, "allocate": types.Allocation}


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


def describe_model(info: analysis.ModelInfo) -> None:
    """One line on a model, with its caution, and what happened while it was loaded."""
    show_notes(info.notes)
    output.print(
        f"{named(info.model_id, info.note)}: {info.architecture}, "
        f"{info.num_parameters / 1e6:.1f} M parameters, {len(info.sites)} "
        f"compressible layers with {info.site_weights / 1e6:.1f} M weights.",
        highlight=False,
    )
