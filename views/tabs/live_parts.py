"""What both halves of "Test live" use: the compressed model in words, and the row that starts something."""

from __future__ import annotations

from typing import Any

import gradio as gr

from views import engine
from views.context import Context
from views.texts import Words
from views.widgets import status_area


def recipe_label(method: str, policy: str, ratio: float, words: Words) -> str:
    """The compressed model in words."""
    return words(
        "live.recipe",
        method=words.name("method", method),
        policy=words.name("policy", policy),
        removed=words.percent(ratio),
    )


def start_row(
    context: Context, setting: list[Any], label: str, task: str, twice: bool
) -> tuple[gr.Button, gr.Button, gr.HTML]:
    """A button, its cancel button, its cost and its status in one row.

    Args:
        context: the context.
        setting: model, method, policy, ratio.
        label: what the button says.
        task: the engine's name for the task; the status area is called ``<task>-status``.
        twice: whether the dense model is measured by itself as well.
    """
    words = context.words

    def estimate(model: str, method: str, policy: str, ratio: float) -> list[float | None]:
        seconds = [engine.seconds_for(model, method, policy, ratio, task)]
        return [*seconds, engine.seconds_for(model, "dense", "uniform", 0.0, task)] if twice else seconds

    with gr.Row(elem_classes=["controls"]):
        button = gr.Button(label, variant="primary", size="md", min_width=170, scale=0)
        cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
        with gr.Column(min_width=240, elem_classes=["tight"]):
            context.cost_line(setting, estimate)
            status = status_area(f"{task}-status")
    return button, cancel, status
