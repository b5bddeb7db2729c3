"""Test live: the visitor's own text and prompt, or speech, through the dense and the compressed model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from compression.evaluation.alignment import align
from compression.session import RunPoint, dense_point, report_point, timings_of
from compression.types import Completion, Progress
from views import engine
from views.context import Context
from views.engine import MAX_WINDOWS, WINDOW
from views.figures import latency, live_perplexity
from views.figures.live_perplexity import LiveTrace, Reading
from views.runs import Arrival, now
from views.tabs import live_speech
from views.tabs.live_parts import half, recipe_label, setting_row, start_row
from views.texts import Words
from views.widgets import ChartPanel, CompletionSide, completions_html, progress_html, status_html


def cached_text(cached: Sequence[bool], words: Words) -> str:
    """Which of the two answers came from the cache, if any; the dense one is named first."""
    if not any(cached):
        return ""
    if all(cached):
        return words("live.cached_both")
    return words("live.cached_dense" if cached[0] else "live.cached_compressed")


def side_by_side(headings: tuple[str, str], made: Sequence[Completion | None], finished: bool, words: Words) -> str:
    """The two completions with their differences; an unfinished one is compared as far as it has come.

    Args:
        headings: of the dense and of the compressed one.
        made: the completions so far; None where there is none yet.
        finished: whether both are whole.
        words: the language.
    """
    dense, compressed = made
    if dense is None or compressed is None:
        return completions_html([CompletionSide(*side) for side in zip(headings, made, strict=True)], "", words)
    reached = None if finished else len(compressed.token_ids)
    found = align(dense.token_ids[:reached], compressed.token_ids)
    if found.same:
        summary = words("live.generate_same") if finished else ""
    else:
        summary = words(
            "live.generate_differ" if finished else "live.generate_differ_so_far",
            position=found.common_start + 1,
            shared=words.percent(found.shared, 0),
        )
    sides = [
        CompletionSide(headings[0], dense, found.first_differs),
        CompletionSide(headings[1], compressed, found.second_differs),
    ]
    return completions_html(sides, summary, words)


def build(context: Context) -> None:
    """Fill the tab."""
    context.model_line()
    setting = setting_row(context, "live")
    with half(context, "live-text-half", speech=False):
        _perplexity(context, setting)
        _generate(context, setting)
        _latency(context, setting)
    with half(context, "live-speech-half", speech=True):
        live_speech.build(context, setting)


def _perplexity(context: Context, setting: list[Any]) -> None:
    words = context.words
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('live.perplexity_title')}", elem_classes=["figure-title"])
        text = gr.Textbox(
            words("live.sample"),
            lines=6,
            max_lines=12,
            label=words("live.text"),
            info=words("live.text_info"),
            elem_id="live-text",
        )
        button, cancel, status = start_row(context, setting, words("live.perplexity"), "perplexity", twice=True)
        hint = words("live.perplexity_hint", button=words("live.perplexity"))
        panel = ChartPanel(
            words, words("live.perplexity_title"), live_perplexity.HEIGHT, None, "live-perplexity", hint, inside=True
        )

    def measure(model: str, method: str, policy: str, ratio: float, text: str) -> Generator[list[Any], None, None]:
        trace = LiveTrace((), (), recipe_label(method, policy, ratio, words))
        cached: list[bool] = []
        points: tuple[RunPoint, ...] = ()
        for side, wanted in (
            ("dense", engine.recipe(model, "dense", "uniform", 0.0)),
            ("compressed", engine.recipe(model, method, policy, ratio)),
        ):
            readings: list[Reading] = []

            def show(progress: Progress, side: str = side, readings: list[Reading] = readings) -> list[Any]:
                nonlocal trace
                partial = progress.partial
                if partial is None or not hasattr(partial, "perplexity"):
                    return [progress_html(progress, words), *panel.unchanged(), gr.skip()]
                readings.append(Reading(partial.tokens, partial.perplexity, partial.low, partial.high))
                trace = trace.with_readings(side, tuple(readings))
                return [progress_html(progress, words), *panel.updates(live_perplexity.view(trace, words)), gr.skip()]

            cached.append(engine.workbench().is_cached(wanted, text, window=WINDOW, max_windows=MAX_WINDOWS))
            work = engine.workbench().perplexity(wanted, text, window=WINDOW, max_windows=MAX_WINDOWS)
            report = yield from engine.relay(work, show)
            if not readings:
                readings.append(
                    Reading(report.tokens, report.perplexity, report.perplexity_low, report.perplexity_high)
                )
            last = replace(readings[-1], tokens=report.tokens, perplexity=report.perplexity)
            trace = replace(trace.with_readings(side, (*readings[:-1], last)), convention=report.convention)
            point = dense_point(report, now()) if wanted.is_dense else report_point(report, wanted, now())
            points = (*points, point)
            arrival = Arrival(points, text=(report.text.fingerprint, text))
            yield [gr.skip(), *panel.updates(live_perplexity.view(trace, words)), arrival]
        trace = replace(trace, finished=True)
        shown = panel.updates(live_perplexity.view(trace, words))
        yield [status_html(cached_text(cached, words)), *shown, gr.skip()]

    context.heavy(button, cancel, status, measure, [*setting, text], [*panel.outputs, context.runs.arrived])
    context.on_other_model(panel.cleared, panel.outputs)


def _generate(context: Context, setting: list[Any]) -> None:
    words = context.words
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('live.generate_title')}", elem_classes=["figure-title"])
        prompt = gr.Textbox(words("live.prompt_value"), lines=2, label=words("live.prompt"), elem_id="live-prompt")
        button, cancel, status = start_row(context, setting, words("live.generate"), "generate", twice=True)
        empty = side_by_side((words("word.dense"), words("word.compressed")), (None, None), False, words)
        output = gr.HTML(empty, elem_id="completions", js_on_load=None, apply_default_css=False)

    def generate(model: str, method: str, policy: str, ratio: float, prompt: str) -> Generator[list[Any], None, None]:
        headings = (words("word.dense"), recipe_label(method, policy, ratio, words))
        made: list[Completion | None] = [None, None]
        cached: list[bool] = []
        for side, wanted in enumerate(
            (engine.recipe(model, "dense", "uniform", 0.0), engine.recipe(model, method, policy, ratio))
        ):

            def show(progress: Progress, side: int = side) -> list[Any]:
                if isinstance(progress.partial, Completion):
                    made[side] = progress.partial
                return [progress_html(progress, words), side_by_side(headings, made, False, words)]

            cached.append(engine.workbench().is_generated(wanted, prompt))
            made[side] = yield from engine.relay(engine.workbench().generate(wanted, prompt), show)
        yield [status_html(cached_text(cached, words)), side_by_side(headings, made, True, words)]

    context.heavy(button, cancel, status, generate, [*setting, prompt], [output])
    context.on_other_model(lambda: empty, output)


def _latency(context: Context, setting: list[Any]) -> None:
    words = context.words
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('live.latency_title')}", elem_classes=["figure-title"])
        button, cancel, status = start_row(context, setting, words("live.latency"), "latency", twice=False)
        hint = words("live.latency_hint", button=words("live.latency"))
        panel = ChartPanel(words, words("live.latency_title"), latency.HEIGHT, None, "latency", hint, inside=True)

    def measure(model: str, method: str, policy: str, ratio: float) -> Generator[list[Any], None, None]:
        def show(progress: Progress) -> list[Any]:
            return [progress_html(progress, words), *panel.unchanged(), gr.skip()]

        wanted = engine.recipe(model, method, policy, ratio)
        report = yield from engine.relay(engine.workbench().latency(wanted), show)
        arrival = Arrival(timings=timings_of(report, wanted))
        yield [status_html(), *panel.updates(latency.view(report, words)), arrival]

    context.heavy(button, cancel, status, measure, setting, [*panel.outputs, context.runs.arrived])
    context.on_other_model(panel.cleared, panel.outputs)
