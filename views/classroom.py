"""The teacher's page and the handout: the walk's own questions, with timings and answers, or with room to write."""

from __future__ import annotations

import logging
from html import escape

import gradio as gr

from compression import lessons
from compression.errors import UserError
from compression.steps import known
from views import adaptation, engine
from views.lessons import MINUTES, STEPS, TASK, handout_path, options, sentence
from views.texts import Words

log = logging.getLogger(__name__)


def fill_teacher(words: Words) -> None:
    """Add the components of the page for teachers."""
    about = words("teacher.about", minutes=sum(MINUTES.values()), handout=handout_path(words.language))
    gr.Markdown(f"# {words('teacher.title')}\n\n{about}\n\n{words('teacher.before')}", elem_classes=["tagline"])
    gr.Markdown("\n\n".join(_lesson(number, step, words) for number, step in enumerate(STEPS, 1)), elem_id="teacher")


def _lesson(number: int, step: str, words: Words) -> str:
    title = words("learn.step", number=number, title=words(f"learn.{step}.title"))
    time = words("teacher.minutes", number=MINUTES[step])
    question, possible = words(f"learn.{step}.question"), options(step, words)
    parts = [f"## {title} · {time}", words(f"learn.{step}.text"), f"**{words('teacher.question')}.** {question}"]
    parts.append("\n".join(f"- {option}" for option in possible))
    parts.append(f"**{words('teacher.answer')}.** {_answer(step, possible, words)}")
    parts.append(f"**{words('teacher.ask')}.** {words(f'learn.{step}.ask')}")
    return "\n\n".join(parts)


def _answer(step: str, possible: list[str], words: Words) -> str:
    """What is known of the default model without any work; what is not is measured in class."""
    model = engine.default_model_id()
    try:
        found = known(lessons.find(step, model, adaptation.report_of(TASK, model)))
    except UserError as error:
        log.warning("no answer for teachers: %s", error)
        found = None
    if found is None:
        return words("teacher.live")
    return f"*{possible[found.answer]}.* {sentence(found, words)}"


def fill_handout(words: Words) -> None:
    """Add the components of the handout."""
    button = gr.Button(words("handout.print"), size="sm", scale=0, min_width=120, elem_classes=["no-print"])
    button.click(None, js="() => window.print()")
    gr.HTML(handout_html(words), elem_id="handout", js_on_load=None, apply_default_css=False)


def handout_html(words: Words) -> str:
    """Questions with boxes to tick and lines to write on."""
    parts = [f"<h1>{escape(words('handout.title'))}</h1>", f"<p>{escape(words('handout.about'))}</p>"]
    for number, step in enumerate(STEPS, 1):
        title = words("learn.step", number=number, title=words(f"learn.{step}.title"))
        boxes = "".join(f"<li>☐ {escape(option)}</li>" for option in options(step, words))
        parts.append(
            f"<section><h2>{escape(title)}</h2><p>{_bold(words(f'learn.{step}.text'))}</p>"
            f"<p><b>{escape(words(f'learn.{step}.question'))}</b></p><ul>{boxes}</ul>"
            f"<p>{escape(words('handout.measured'))}</p><p>{escape(words('handout.why'))}</p>"
            '<div class="lines"></div><div class="lines"></div></section>'
        )
    return "".join(parts)


def _bold(text: str) -> str:
    """The text's own bold words; nothing else of Markdown stands in there."""
    pieces = escape(text).split("**")
    return "".join(f"<b>{piece}</b>" if place % 2 else piece for place, piece in enumerate(pieces))
