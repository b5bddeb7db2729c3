"""What tabs use that try one compressed model: its choice, its name in words, and the row that starts something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from views import engine
from views.context import Context
from views.figures.forecast import DEFAULT
from views.texts import Words
from views.widgets import status_area


def setting_row(context: Context, name: str) -> list[Any]:
    """Lay out the choice of a compressed model, which follows the model.

    Args:
        context: the context.
        name: begins the ids of the three components.

    Returns:
        Inputs for a handler: model, method, policy, ratio.
    """
    words = context.words
    with gr.Column(elem_classes=["sheet"]), gr.Row(elem_classes=["controls"]):
        method = gr.Dropdown(
            _choices("method", engine.live_methods(engine.default_model_id()), words),
            value=DEFAULT[0],
            label=words("live.method"),
            elem_id=f"{name}-method",
            min_width=160,
        )
        policy = gr.Dropdown(
            _choices("policy_choice", engine.live_policies(engine.default_model_id()), words),
            value=DEFAULT[1],
            label=words("live.policy"),
            elem_id=f"{name}-policy",
            min_width=160,
        )
        ratio = gr.Slider(
            0, 0.95, value=0.2, step=0.01, label=words("live.ratio"), elem_id=f"{name}-ratio", min_width=240
        )

    def other_model(model: str, method: str, policy: str) -> list[Any]:
        methods, policies = engine.live_methods(model), engine.live_policies(model)
        return [
            gr.update(choices=_choices("method", methods, words), value=method if method in methods else DEFAULT[0]),
            gr.update(
                choices=_choices("policy_choice", policies, words), value=policy if policy in policies else DEFAULT[1]
            ),
        ]

    context.model_id.change(
        other_model,
        [context.model_id, method, policy],
        [method, policy],
        show_progress="hidden",
        api_visibility="private",
    )
    return [context.model_id, method, policy, ratio]


def _choices(kind: str, names: Sequence[str], words: Words) -> list[tuple[str, str]]:
    return [(words.name(kind, name), name) for name in names]


def recipe_label(method: str, policy: str, ratio: float, words: Words) -> str:
    """The compressed model in words."""
    return words(
        "live.recipe",
        method=words.name("method", method),
        policy=words.name("policy", policy),
        removed=words.percent(ratio),
    )


def start_row(
    context: Context, setting: list[Any], label: str, task: str, twice: bool, elem_id: str | None = None
) -> tuple[gr.Button, gr.Button, gr.HTML]:
    """A button, its cancel button, its cost and its status in one row.

    Args:
        context: the context.
        setting: model, method, policy, ratio.
        label: what the button says.
        task: the engine's name for the task; the status area is called ``<task>-status``.
        twice: whether the dense model is measured by itself as well.
        elem_id: id of the button.
    """
    words = context.words

    def estimate(model: str, method: str, policy: str, ratio: float) -> list[float | None]:
        seconds = [engine.seconds_for(model, method, policy, ratio, task)]
        return [*seconds, engine.seconds_for(model, "dense", "uniform", 0.0, task)] if twice else seconds

    with gr.Row(elem_classes=["controls"]):
        button = gr.Button(label, variant="primary", size="md", min_width=170, scale=0, elem_id=elem_id)
        cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
        with gr.Column(min_width=240, elem_classes=["tight"]):
            context.cost_line(setting, estimate)
            status = status_area(f"{task}-status")
    return button, cancel, status
