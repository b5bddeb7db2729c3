"""A guided walk: six questions, each with a guess before the measurement."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import gradio as gr

from compression import lessons
from views import adaptation, engine
from views.context import Context
from views.figures import gates, latency, lesson
from views.lessons import STEPS, TASK, handout_path, options, teacher_path, verdict, view
from views.line import ENGINE, ROOM, Place
from views.texts import Words
from views.widgets import ChartPanel, progress_html, status_area, status_html

HEIGHTS = {"spectrum": lesson.HEIGHT, "speed": latency.HEIGHT, "gates": gates.MAP_HEIGHT}
"""Of the pictures that are no bars."""
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_SLOT: dict[str, Any] = {"concurrency_id": "learn", "concurrency_limit": ROOM}
"""Answers that are known do not wait; others stand in the engine's line."""
_FOCUS_TAB = """() => {{
  [...document.querySelectorAll('button[role=tab]')].find((tab) => tab.textContent.trim() === {name}
    && tab.getClientRects().length)?.focus();
}}"""
"""The button that opened a tab is hidden with its own: somebody who moves by keyboard goes on at the tab."""


def build(context: Context) -> None:
    """Fill the tab."""
    words = context.words
    context.model_line()
    with gr.Column(elem_classes=["sheet"]):
        paths = {"teacher": teacher_path(words.language), "handout": handout_path(words.language)}
        about = words("learn.about", **paths)
        gr.Markdown(f"## {words('learn.title')}\n\n{about}", elem_classes=["figure-title"])
    with gr.Walkthrough(selected=0, elem_id="walk", elem_classes=["sheet"]) as walk:
        for number, step in enumerate(STEPS):
            with gr.Step(words(f"learn.{step}.short"), id=number):
                _step(context, walk, number, step)
    names = json.dumps([words(f"learn.{step}.title") for step in STEPS], ensure_ascii=False)
    walk.change(None, js=f"() => explorer.nameSteps({names})", **_QUIET)


def _step(context: Context, walk: gr.Walkthrough, number: int, step: str) -> None:
    words = context.words
    title = words("learn.step", number=number + 1, title=words(f"learn.{step}.title"))
    speech = engine.is_speech(engine.default_model_id())
    gr.Markdown(f"## {title}", elem_id=f"lesson-{step}", elem_classes=["figure-title"])
    text = gr.Markdown(words.about(speech)(f"learn.{step}.text"), elem_classes=["lesson-text"])
    guess = gr.Radio(
        [(option, place) for place, option in enumerate(options(step, words))],
        label=words(f"learn.{step}.question"),
        info=words("learn.guess"),
        value=None,
        elem_id=f"guess-{step}",
    )
    with gr.Row(elem_classes=["controls"]):
        reveal = gr.Button(
            words("learn.reveal"),
            variant="primary",
            interactive=False,
            min_width=150,
            scale=0,
            elem_id=f"reveal-{step}",
        )
        cancel = gr.Button(words("button.cancel"), interactive=False, min_width=100, scale=0)
        with gr.Column(min_width=240, elem_classes=["tight"]):
            status = status_area(f"status-{step}")
    with gr.Column(elem_classes=["half", "without"]) as answer:
        said = gr.Markdown(elem_id=f"verdict-{step}", elem_classes=["lesson-text"])
        height = HEIGHTS.get(step, lesson.BARS_HEIGHT)
        panel = ChartPanel(words, words(f"learn.{step}.title"), height, None, f"picture-{step}", inside=True)
        gr.Markdown(words("learn.try", text=words(f"learn.{step}.try")), elem_classes=["lesson-text"])
        tab = STEPS[step]
        onward = gr.Button(words("learn.open", tab=words(f"{tab}.tab")), size="sm", min_width=160, scale=0)
    with gr.Row(elem_classes=["controls"]):
        if number:
            back = gr.Button(words("learn.back"), min_width=100, scale=0, elem_id=f"back-{step}")
            _go(back, walk, number - 1)
        if number < len(STEPS) - 1:
            following = gr.Button(words("learn.next"), min_width=140, scale=0, elem_id=f"next-{step}")
            _go(following, walk, number + 1)
    onward.click(lambda: gr.Tabs(selected=tab), None, context.tabs, queue=False, **_QUIET).then(
        None, js=_FOCUS_TAB.format(name=json.dumps(words(f"{tab}.tab"), ensure_ascii=False)), **_QUIET
    )
    guess.input(lambda chosen: gr.update(interactive=chosen is not None), guess, reveal, queue=False, **_QUIET)

    def work(model: str, chosen: int | None) -> Generator[list[Any], None, None]:
        yield from reveal_step(words, panel, step, model, chosen)

    outputs = [answer, said, *panel.outputs]
    event = context.heavy(reveal, cancel, status, work, [context.model_id, guess], outputs, slot=_SLOT)

    def other_model(model: str) -> list[Any]:
        """A guess about another model is none."""
        speaks = words.about(engine.is_speech(model))
        hidden = gr.update(elem_classes=["half", "without"])
        buttons = [gr.update(interactive=False)] * 2
        return [speaks(f"learn.{step}.text"), None, *buttons, status_html(), hidden, "", *panel.cleared()]

    # Cancelled first, as Gradio goes through what a change starts in this order: else the answer about the model that
    # was chosen before would come to stand under the new one's name.
    context.model_id.change(None, None, None, cancels=[event])
    context.model_id.change(other_model, context.model_id, [text, guess, reveal, cancel, status, *outputs], **_QUIET)


def _go(button: gr.Button, walk: gr.Walkthrough, number: int) -> None:
    """To another step, and the focus to its heading, where somebody who reads by ear or moves by keyboard goes on."""
    heading = f"lesson-{list(STEPS)[number]}"
    button.click(lambda: gr.Walkthrough(selected=number), None, walk, queue=False, **_QUIET).then(
        None, js=f"() => explorer.focus('{heading}')", **_QUIET
    )


def reveal_step(
    words: Words, panel: ChartPanel, step: str, model: str, chosen: int | None
) -> Generator[list[Any], None, None]:
    """Find out what a step asks for, and set it beside the guess.

    Args:
        words: the language.
        panel: where the picture is shown.
        step: its key.
        model: id of the model.
        chosen: number of the guessed option.

    Yields:
        Values of the status, the answer's column, the verdict and the panel.
    """
    speaks = words.about(engine.is_speech(model))

    def meanwhile(status: str) -> list[Any]:
        return [status, gr.skip(), gr.skip(), *panel.unchanged()]

    def waiting(place: Place) -> list[Any]:
        return meanwhile(place.html(words))

    steps = lessons.find(step, model, adaptation.report_of(TASK, model))
    found = yield from ENGINE.unless_known(
        steps, lambda rest: engine.relay(rest, lambda each: meanwhile(progress_html(each, words))), waiting
    )
    shown = view(found, speaks)
    said = "" if chosen is None else verdict(found, chosen, words)
    yield [status_html(words("learn.done")), gr.update(elem_classes=["half"]), said, *panel.updates(shown)]
