"""Distil and quantise: the deployment pipeline as cards, run before the visitor's eyes, beside true runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from compression.adaptation.types import OPTIMIZERS, Moment
from compression.deployment.analysis import (
    LossTrace,
    OptimizerMean,
    optimizer_means,
    stage_points,
    trace_of,
    under_quantization,
    under_quantization_of,
)
from compression.deployment.costs import STAGES
from compression.deployment.gallery import Examples, load_examples
from compression.deployment.recipe import PipelineRecipe
from compression.deployment.report import StageReport
from compression.errors import UserError
from compression.types import Progress
from views import engine, pipeline_cards
from views.context import Context
from views.figures import distil as figures
from views.pipeline_cards import Reached, asked_of
from views.texts import Words
from views.widgets import ChartPanel, View, progress_html, status_area, status_html

log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets" / "distillation"
"""Precomputed runs, true ones."""
METHODS = ("compot-fisher", "compot", "svd-llm")
BITS = (0, 8, 4, 3)
GROUP_SIZES = (32, 64, 128)
PICTURES_EVERY = 0.8
"""Seconds between two redrawings at least: a page that is busy drawing answers nobody."""
MINUTES = (0.1, 20.0)
ITEMS = (10, 200)
EMPTY = 160
"""Pixels of a picture that there is nothing for yet."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@lru_cache(maxsize=2)
def examples(folder: Path) -> Examples:
    """The runs that came with the app."""
    found = load_examples(folder)
    for problem in found.problems:
        log.warning("precomputed runs are left out: %s", problem)
    return found


@dataclass
class Cards:
    """The cards as they are laid out, one a stage.

    Attributes:
        words: the language.
        first: what each card's outcome says before anything has been run.
        controls: of all cards, in the order that `asked_of` takes them.
        costs: a line of each card.
        outcomes: a line of each card.
    """

    words: Words
    first: list[str]
    controls: list[Any] = field(default_factory=list)
    costs: list[gr.Markdown] = field(default_factory=list)
    outcomes: list[gr.Markdown] = field(default_factory=list)

    @contextmanager
    def card(self, stage: str) -> Iterator[None]:
        """A card, with its controls between its heading and its lines."""
        place = len(self.costs)
        with gr.Column(elem_classes=["sheet"], min_width=250):
            heading = f"### {place + 1}. {self.words(f'distil.stage.{stage}')}"
            gr.Markdown(heading, elem_classes=["figure-title"])
            yield
            self.costs.append(gr.Markdown(elem_classes=["cost"], elem_id=f"distil-{stage}-cost"))
            self.outcomes.append(
                gr.Markdown(self.first[place], elem_classes=["summary"], elem_id=f"distil-{stage}-outcome")
            )


def build(context: Context) -> None:
    """Fill the tab."""
    words, known = context.words, examples(ASSETS)
    tasks = pipeline_cards.benchmark_count()
    made = [pipeline_cards.example_of(known.pipeline)] if known.pipeline else []
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('distil.title')}", elem_classes=["figure-title"])
        gr.Markdown(words("distil.about"), elem_classes=["hint"])
        context.model_line()
        cards = _cards(Cards(words, pipeline_cards.outcome_lines(made, words, example=True)), tasks)
        with gr.Row(elem_classes=["controls"]):
            button = gr.Button(
                words("distil.start"), variant="primary", size="md", min_width=140, scale=0, elem_id="distil-start"
            )
            cancel = gr.Button(
                words("button.cancel"), interactive=False, size="md", min_width=100, scale=0, elem_id="distil-cancel"
            )
            with gr.Column(min_width=240, elem_classes=["tight"]):
                total = gr.Markdown(elem_classes=["cost"], elem_id="distil-cost")
                status = status_area("distil-status")
        with gr.Accordion(words("distil.recipe"), open=False, elem_id="distil-recipe"):
            gr.Markdown(words("distil.recipe_about"), elem_classes=["hint"])
            recipe = gr.Textbox(
                label="YAML",
                lines=6,
                max_lines=30,
                interactive=False,
                buttons=["copy"],
                elem_id="distil-yaml",
                elem_classes=["code"],
            )
    _follow(context, cards, [*cards.costs, total, recipe], tasks)
    caption = gr.Markdown(_caption(known, words), elem_classes=["hint"], elem_id="distil-caption")
    with gr.Row(equal_height=False):
        losses = _panel("losses", figures.LOSS_HEIGHT, _losses(known, words), words)
        stages = _panel("stages", figures.STAGES_HEIGHT, _stages(made, words), words)
    quantized = _panel("quantized", figures.QUANTIZED_HEIGHT, _quantized(known, words), words)
    with gr.Row(equal_height=False):
        benchmarks = _panel("benchmarks", 300, _benchmarks(made, words), words)
        _panel("formats", 300, figures.formats_view(known.formats, words) if known.formats else None, words)
    _budget(known, words)
    _panel("search", figures.SEARCH_HEIGHT, figures.search_view(known.tune, words) if known.tune else None, words)

    def work(model_id: str, *values: Any) -> Generator[list[Any], None, None]:
        asked = asked_of(*values)
        if problem := asked.problem(model_id, words):
            raise UserError(problem)
        yield from running(
            words, asked.recipes(model_id, pipeline_cards.benchmark_folder()), losses, stages, benchmarks, quantized
        )

    panels = (losses, stages, benchmarks, quantized)
    outputs = [caption, *cards.outcomes, *(output for panel in panels for output in panel.outputs)]
    context.heavy(button, cancel, status, work, [context.model_id, *cards.controls], outputs)


def _cards(cards: Cards, tasks: int) -> Cards:
    """Lay the cards out.

    Args:
        cards: none yet.
        tasks: number of benchmarks that there are items for.
    """
    words = cards.words
    with gr.Row(elem_classes=["controls"]):
        with cards.card("compress"):
            method = gr.Dropdown(
                [(words.name("method", name), name) for name in METHODS],
                value=METHODS[0],
                label=words("distil.method"),
                elem_id="distil-method",
            )
            removed = gr.Slider(0, 0.6, value=0.2, step=0.05, label=words("distil.removed"), elem_id="distil-removed")
        with cards.card("distill"):
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
            minutes = gr.Slider(*MINUTES, value=1.0, step=0.1, label=words("distil.minutes"), elem_id="distil-minutes")
        with cards.card("quantize"):
            bits = gr.Radio(
                [(words("distil.no_bits") if not each else str(each), each) for each in BITS],
                value=4,
                label=words("distil.bits"),
                elem_id="distil-bits",
            )
            group = gr.Radio(
                [(str(each), each) for each in GROUP_SIZES],
                value=128,
                label=words("distil.group"),
                elem_id="distil-group",
            )
    with gr.Row(elem_classes=["controls"]):
        with cards.card("benchmark"):
            benchmarked = gr.Checkbox(
                False, label=words("distil.benchmarked"), interactive=tasks > 0, elem_id="distil-benchmarked"
            )
            items = gr.Slider(
                *ITEMS, value=20, step=10, label=words("distil.items"), visible=tasks > 0, elem_id="distil-items"
            )
            if not tasks:
                gr.Markdown(words("distil.no_items", variable=pipeline_cards.BENCHMARK_DATA), elem_classes=["hint"])
        with cards.card("latency"):
            timed = gr.Checkbox(False, label=words("distil.timed"), elem_id="distil-timed")
    cards.controls += [method, removed, optimizers, what, minutes, bits, group, benchmarked, items, timed]
    return cards


def _follow(context: Context, cards: Cards, outputs: list[Any], tasks: int) -> None:
    """Keep costs and recipe up to date with the controls; the first ones come with the page."""
    words = context.words

    def texts(model_id: str, *values: Any) -> list[str]:
        asked = asked_of(*values)
        if problem := asked.problem(model_id, words):
            return [*("" for _ in STAGES), problem, ""]
        seconds = pipeline_cards.seconds_for(asked, model_id, tasks)
        file = pipeline_cards.recipe_file(asked, model_id, words)
        return [*pipeline_cards.cost_lines(seconds, words), context.cost_text([sum(seconds.values())]), file]

    first = texts(engine.default_model_id(), *(control.value for control in cards.controls))
    for output, text in zip(outputs, first, strict=True):
        output.value = text
    listeners = [control.change for control in cards.controls]
    gr.on(
        [context.model_id.change, *listeners],
        texts,
        [context.model_id, *cards.controls],
        outputs,
        trigger_mode="always_last",
        concurrency_id="cost",
        concurrency_limit=1,
        **QUIET,
    )


def _budget(known: Examples, words: Words) -> None:
    """The byte-budget curve, and a slider that reads it off."""
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
        panel = ChartPanel(
            words, words("distil.budget_title"), figures.BUDGET_HEIGHT, view, "distil-budget", hint, inside=True
        )

    def read_off(megabytes: float) -> list[Any]:
        assert mix is not None
        return panel.updates(figures.budget_view(mix, float(megabytes), words))

    budget.input(read_off, budget, panel.outputs, trigger_mode="always_last", **QUIET)


def _panel(name: str, height: int, view: View | None, words: Words) -> ChartPanel:
    hint = words(f"distil.{name}_hint")
    shown = height if view else min(height, EMPTY)
    return ChartPanel(words, words(f"distil.{name}_title"), shown, view, f"distil-{name}", hint)


def _losses(known: Examples, words: Words) -> View | None:
    if known.distill is None:
        return None
    return figures.losses_view([trace_of(run) for run in known.distill.runs], optimizer_means(known.distill), words)


def _quantized(known: Examples, words: Words) -> View | None:
    found = under_quantization(known.distill) if known.distill else None
    return figures.quantized_view(found, words) if found else None


def _quantized_now(runs: Sequence[Reached], recipes: Sequence[tuple[str, PipelineRecipe]], words: Words) -> View | None:
    """What GPTQ costs the runs that are that far."""
    asked = [recipe for _, recipe in recipes]
    if not asked or asked[0].quantize is None:
        return None
    there = [
        (run.optimizer, recipe.distill.seed, run.points)
        for run, recipe in zip(runs, asked, strict=True)
        if recipe.distill is not None
    ]
    found = under_quantization_of(asked[0].quantize.bits, there)
    return figures.quantized_view(found, words) if found else None


def _stages(runs: Sequence[Reached], words: Words) -> View | None:
    there = [(run.optimizer, run.points) for run in runs if run.points]
    return figures.stages_view(there, words) if there else None


def _benchmarks(runs: Sequence[Reached], words: Words) -> View | None:
    there = [run for run in runs if run.dots]
    prices = [pipeline_cards.price_line(run, words) for run in there]
    return figures.benchmarks_view([(run.optimizer, run.dots) for run in there], words, prices) if there else None


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
    words: Words,
    recipes: Sequence[tuple[str, PipelineRecipe]],
    losses: ChartPanel,
    stages: ChartPanel,
    benchmarks: ChartPanel,
    quantized: ChartPanel,
) -> Generator[list[Any], None, None]:
    """Run pipelines, and show it while they go on.

    Args:
        words: the language.
        recipes: an optimiser's name, or an empty one, and what to do.
        losses: shows the losses, all optimisers on one axis.
        stages: shows where the model is after each stage.
        benchmarks: shows them before and after.
        quantized: shows the perplexity before and after GPTQ; empty until there is one.

    Yields:
        Values of the status, the caption, the cards' outcomes and the panels.

    Raises:
        UserError: if the engine refuses; what was finished is kept.
    """
    curves: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name, _ in recipes}
    reached = {name: Reached(name) for name, _ in recipes}
    drawn = float("-inf")
    begun = words("distil.yours")

    def pictures() -> list[Any]:
        traces = [LossTrace(name, 0, tuple(steps), tuple(values)) for name, (steps, values) in curves.items() if steps]
        nothing: tuple[OptimizerMean, ...] = ()
        runs = list(reached.values())
        views = (
            (losses, figures.losses_view(traces, nothing, words) if traces else None),
            (stages, _stages(runs, words)),
            (benchmarks, _benchmarks(runs, words)),
        )
        shown = [each for panel, view in views for each in (panel.updates(view) if view else panel.unchanged())]
        risen = _quantized_now(runs, recipes, words)
        shown += quantized.updates(risen) if risen else quantized.cleared()
        return [begun, *pipeline_cards.outcome_lines(runs, words), *shown]

    for name, recipe in recipes:

        def show(progress: Progress, name: str = name) -> list[Any]:
            nonlocal drawn
            moment, said = progress.partial, progress_html(progress, words)
            if isinstance(moment, StageReport):
                before = reached[name]
                reached[name] = replace(before, points=before.points + stage_points([moment]))
                return [said, *pictures()]
            if isinstance(moment, Moment):
                curves[name][0].append(moment.point.step)
                curves[name][1].append(moment.point.loss)
                if time.monotonic() - drawn >= PICTURES_EVERY:
                    drawn = time.monotonic()
                    return [said, *pictures()]
            nothing = [gr.skip() for _ in STAGES]
            panels = (losses, stages, benchmarks, quantized)
            return [said, gr.skip(), *nothing, *(each for panel in panels for each in panel.unchanged())]

        report = yield from engine.relay(engine.workbench().pipeline(recipe), show)
        reached[name] = reached[name].finished(report)
        if not curves[name][0]:  # kept from before, and not trained again
            kept = [point for stage in report.stages for point in stage.made.losses]
            curves[name] = [point.step for point in kept], [point.loss for point in kept]
        yield [status_html(words("distil.finished")), *pictures()]
