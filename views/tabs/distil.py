"""Distil and quantise: the deployment pipeline as cards, run before the visitor's eyes, beside true runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from compression.adaptation.types import OPTIMIZERS, Moment
from compression.deployment.analysis import (
    LossTrace,
    OptimizerMean,
    StagePoint,
    optimizer_means,
    stage_points,
    task_dots,
    trace_of,
)
from compression.deployment.gallery import Examples, load_examples
from compression.deployment.recipe import PipelineRecipe
from compression.deployment.report import StageReport
from compression.errors import UserError
from compression.types import Progress
from views import engine
from views.context import Context
from views.figures import distil as figures
from views.texts import Words
from views.widgets import ChartPanel, View, progress_html, status_area, status_html

log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets" / "distillation"
"""Precomputed runs, true ones."""
METHODS = ("compot-fisher", "compot", "svd-llm")
BITS = (0, 8, 4, 3)
PICTURES_EVERY = 0.8
"""Seconds between two redrawings at least: a page that is busy drawing answers nobody."""
SECONDS = {"load": 20.0, "compress": 90.0, "measure": 12.0, "quantize": 120.0, "latency": 30.0}
"""What a stage takes on two cores, about: what ``pipeline`` printed for the default model."""
MINUTES = (0.1, 20.0)


@lru_cache(maxsize=2)
def examples(folder: Path) -> Examples:
    """The runs that came with the app."""
    found = load_examples(folder)
    for problem in found.problems:
        log.warning("precomputed runs are left out: %s", problem)
    return found


def recipe_of(
    model_id: str, method: str, removed: float, optimizer: str, what: str, minutes: float, bits: int, timed: bool
) -> PipelineRecipe:
    """What the cards ask for.

    Args:
        model_id: the page's model.
        method: that removes.
        removed: share of the layers' weights; 0 to leave them whole.
        optimizer: name, or an empty one for no distillation.
        what: of `compression.distillation.report.WHAT`.
        minutes: of training.
        bits: of GPTQ; 0 for none.
        timed: whether latency is measured.
    """
    plain: dict[str, Any] = {"model": model_id, "max_windows": 4}
    if removed > 0:
        plain["compress"] = {"method": method, "ratio": removed}
    if optimizer:
        plain["distill"] = {"what": what if removed > 0 else "lora", "optimizer": optimizer, "minutes": minutes}
    if bits:
        plain["quantize"] = {"bits": bits}
    if timed:
        plain["latency"] = {"prompt_tokens": 64, "decode_tokens": 8}
    return PipelineRecipe.model_validate(plain)


def seconds_for(
    removed: float, optimizers: Sequence[str], minutes: float, bits: int, timed: bool
) -> list[float | None]:
    """Seconds of a run, about, on two cores, where nothing is in the cache."""
    runs = max(1, len(optimizers))
    shared = SECONDS["load"] + (SECONDS["compress"] + SECONDS["measure"] if removed > 0 else 0.0)
    each = 60 * minutes + SECONDS["measure"] if optimizers else 0.0
    each += SECONDS["quantize"] + SECONDS["measure"] if bits else 0.0
    each += SECONDS["latency"] if timed else 0.0
    return [shared + runs * each]


def build(context: Context) -> None:
    """Fill the tab."""
    words, known = context.words, examples(ASSETS)
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('distil.title')}", elem_classes=["figure-title"])
        gr.Markdown(words("distil.about"), elem_classes=["hint"])
        context.model_line()
        with gr.Row(elem_classes=["controls"]):
            with gr.Column(min_width=240):
                gr.Markdown(f"**1. {words('distil.stage.compress')}**", elem_classes=["hint"])
                removed = gr.Slider(
                    0, 0.6, value=0.2, step=0.05, label=words("distil.removed"), elem_id="distil-removed"
                )
                method = gr.Dropdown(
                    [(words.name("method", name), name) for name in METHODS],
                    value=METHODS[0],
                    label=words("distil.method"),
                    elem_id="distil-method",
                )
            with gr.Column(min_width=240):
                gr.Markdown(f"**2. {words('distil.stage.distill')}**", elem_classes=["hint"])
                optimizers = gr.CheckboxGroup(
                    [(words.name("optimizer", name), name) for name in OPTIMIZERS],
                    value=list(OPTIMIZERS),
                    label=words("distil.optimizers"),
                    elem_id="distil-optimizers",
                )
                what = gr.Radio(
                    [(words("distil.what.lora"), "lora"), (words("distil.what.factors"), "factors")],
                    value="lora",
                    label=words("distil.what"),
                    elem_id="distil-what",
                )
                minutes = gr.Slider(
                    *MINUTES, value=1.0, step=0.1, label=words("distil.minutes"), elem_id="distil-minutes"
                )
            with gr.Column(min_width=240):
                gr.Markdown(f"**3. {words('distil.stage.quantize')}**", elem_classes=["hint"])
                bits = gr.Radio(
                    [(words("distil.no_bits") if not each else str(each), each) for each in BITS],
                    value=4,
                    label=words("distil.bits"),
                    elem_id="distil-bits",
                )
                timed = gr.Checkbox(False, label=words("distil.timed"), elem_id="distil-timed")
                gr.Markdown(words("distil.benchmarks_about"), elem_classes=["hint"])
        with gr.Row(elem_classes=["controls"]):
            button = gr.Button(
                words("distil.start"), variant="primary", size="md", min_width=140, scale=0, elem_id="distil-start"
            )
            cancel = gr.Button(
                words("button.cancel"), interactive=False, size="md", min_width=100, scale=0, elem_id="distil-cancel"
            )
            with gr.Column(min_width=240, elem_classes=["tight"]):
                context.cost_line([removed, optimizers, minutes, bits, timed], seconds_for)
                status = status_area("distil-status")
    caption = gr.Markdown(_caption(known, words), elem_classes=["hint"], elem_id="distil-caption")
    with gr.Row(equal_height=False):
        losses = _panel("losses", figures.LOSS_HEIGHT, _losses(known, words), words)
        stages = _panel("stages", figures.STAGES_HEIGHT, _stages(known, words), words)
    with gr.Row(equal_height=False):
        changes = known.pipeline.benchmark if known.pipeline else None
        dots = task_dots(changes) if changes else ()
        _panel("benchmarks", 300, figures.benchmarks_view(dots, words) if dots else None, words)
        _panel("formats", 300, figures.formats_view(known.formats, words) if known.formats else None, words)
    mix = known.mix
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('distil.budget_title')}", elem_classes=["figure-title"])
        sizes = (
            [point.stored_bits / 8 / figures.MB for curve in mix.curves for point in curve.points] if mix else [1, 2]
        )
        place = sum(run.stored_bits for run in mix.runs[-1:]) / 8 / figures.MB if mix else 1
        budget = gr.Slider(
            round(min(sizes)),
            round(max(sizes)),
            value=round(place),
            step=1,
            label=words("distil.budget"),
            visible=mix is not None,
            elem_id="distil-budget-slider",
        )
        view = figures.budget_view(mix, place, words) if mix else None
        hint = words("distil.budget_hint")
        of_budget = ChartPanel(
            words, words("distil.budget_title"), figures.BUDGET_HEIGHT, view, "distil-budget", hint, inside=True
        )
    _panel("search", figures.SEARCH_HEIGHT, figures.search_view(known.tune, words) if known.tune else None, words)

    def read_off(megabytes: float) -> list[Any]:
        assert mix is not None
        return of_budget.updates(figures.budget_view(mix, float(megabytes), words))

    def work(
        model_id: str,
        method: str,
        removed: float,
        optimizers: list[str],
        what: str,
        minutes: float,
        bits: int,
        timed: bool,
    ) -> Generator[list[Any], None, None]:
        if engine.is_speech(model_id):
            raise UserError(words("distil.needs_text"))
        if not removed and not optimizers and not bits:
            raise UserError(words("distil.nothing"))
        recipes = [
            (name, recipe_of(model_id, method, float(removed), name, what, float(minutes), int(bits), bool(timed)))
            for name in (optimizers or [""])
        ]
        yield from running(words, recipes, losses, stages)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    budget.input(read_off, budget, of_budget.outputs, trigger_mode="always_last", **quiet)
    made = [caption, *losses.outputs, *stages.outputs]
    inputs = [context.model_id, method, removed, optimizers, what, minutes, bits, timed]
    context.heavy(button, cancel, status, work, inputs, made)


def _panel(name: str, height: int, view: View | None, words: Words) -> ChartPanel:
    hint = words(f"distil.{name}_hint")
    return ChartPanel(words, words(f"distil.{name}_title"), height, view, f"distil-{name}", hint)


def _losses(known: Examples, words: Words) -> View | None:
    if known.distill is None:
        return None
    return figures.losses_view([trace_of(run) for run in known.distill.runs], optimizer_means(known.distill), words)


def _stages(known: Examples, words: Words) -> View | None:
    if known.pipeline is None:
        return None
    asked = known.pipeline.recipe.get("distill") or {}
    return figures.stages_view([(asked.get("optimizer", ""), stage_points(known.pipeline.stages))], words)


def _caption(known: Examples, words: Words) -> str:
    """What is shown before the visitor has run anything."""
    if known.distill is None and known.pipeline is None:
        return words("distil.no_example", button=words("distil.start"))
    made = (
        known.pipeline.stages[0].environment if known.pipeline else known.distill.environment if known.distill else None
    )
    assert made is not None
    said = [words("distil.example")]
    note = known.pipeline.model_note if known.pipeline else ""
    if note:
        said.append(words("distil.note", note=words.sentence(note)))
    if made.date:
        provenance = words(
            "adapt.provenance",
            date=made.date[:10],
            commit=made.commit[:10],
            processor=made.processor,
            threads=made.threads,
        )
        said.append(provenance)
    return " ".join(said)


def running(
    words: Words, recipes: Sequence[tuple[str, PipelineRecipe]], losses: ChartPanel, stages: ChartPanel
) -> Generator[list[Any], None, None]:
    """Run pipelines, and show it while they go on.

    Args:
        words: the language.
        recipes: an optimiser's name, or an empty one, and what to do.
        losses: shows the losses, all optimisers on one axis.
        stages: shows where the model is after each stage.

    Yields:
        Values of the status, the caption and both panels.

    Raises:
        UserError: if the engine refuses; what was finished is kept.
    """
    curves: dict[str, tuple[list[int], list[float]]] = {}
    reached: dict[str, list[StagePoint]] = {}
    drawn = float("-inf")
    caption = words("distil.yours")

    def pictures() -> list[Any]:
        traces = [LossTrace(name, 0, tuple(steps), tuple(values)) for name, (steps, values) in curves.items() if steps]
        there = [(name, points) for name, points in reached.items() if points]
        nothing: tuple[OptimizerMean, ...] = ()
        shown = losses.updates(figures.losses_view(traces, nothing, words)) if traces else losses.unchanged()
        after = stages.updates(figures.stages_view(there, words)) if there else stages.unchanged()
        return [caption, *shown, *after]

    for name, recipe in recipes:
        curves[name], reached[name] = ([], []), []

        def show(progress: Progress, name: str = name) -> list[Any]:
            nonlocal drawn
            moment, said = progress.partial, progress_html(progress, words)
            if isinstance(moment, StageReport):
                reached[name] += stage_points([moment])
                return [said, *pictures()]
            if isinstance(moment, Moment):
                curves[name][0].append(moment.point.step)
                curves[name][1].append(moment.point.loss)
                if time.monotonic() - drawn >= PICTURES_EVERY:
                    drawn = time.monotonic()
                    return [said, *pictures()]
            return [said, gr.skip(), *losses.unchanged(), *stages.unchanged()]

        report = yield from engine.relay(engine.workbench().pipeline(recipe), show)
        reached[name] = list(stage_points(report.stages))
        if report.latency is not None:
            caption = _timed(words, report.latency.decode, report.latency.threads)
        yield [status_html(words("distil.finished")), *pictures()]


def _timed(words: Words, decode: dict[str, Any], threads: int) -> str:
    before, after = (decode[label].median_ms for label in ("dense", "compressed"))
    said = words("distil.latency_said", before=words.number(before), after=words.number(after), threads=threads)
    return f"{words('distil.yours')} {said}"
