"""``gallery``: what the app shows at first paint, precomputed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compression import models, texts, types
from compression.commands.shared import (
    SCHEMAS,
    AudioOption,
    CalibrationOption,
    GradientsOption,
    JsonOption,
    ModelArgument,
    SequencesOption,
    app,
    check_measured_on,
    check_output,
    numbers_given,
    run,
    write,
)
from compression.errors import UserError
from compression.gallery import headline_methods
from compression.recipe import Recipe
from compression.speech import recordings

if TYPE_CHECKING:
    from compression.gallery import Gallery
from compression.commands.compare import show_comparison

SCHEMAS |= {"gallery": types.Comparison | types.SpeechComparison}
GALLERY_PARTS = ("all", "headline", "comparators")


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
    check_measured_on(model, speech, "", audio)
    base = Recipe(
        model,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        gradient_sequences=gradient_sequences,
    )
    kept: Gallery | None = None if part == "all" else load_gallery(folder)
    if kept is None or part == "headline":
        heard = (audio or recordings.DEFAULT_TEST) if speech else None
        made = _headline(base, tuple(numbers_given(removed, "--removed")), heard)
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
