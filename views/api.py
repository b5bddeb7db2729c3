"""The five endpoints for programs and agents: HTTP, `gradio_client`, and tools of the MCP server.

They answer as `compression.api` does. What is known is answered at once, beside whatever else the app does; what needs
a model stands in the line that the visitors of the page stand in, and is given up when its client cancels or leaves.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Generator
from dataclasses import asdict
from functools import wraps
from typing import Any

import gradio as gr
import gradio.blocks
import gradio.mcp
import gradio.routes

from compression import api
from compression.errors import UserError
from compression.types import Progress
from views import engine
from views.line import ENGINE

AT_ONCE = 24
"""Requests that are looked at side by side."""
WAITING = 16
"""So many may stand in the line before the engine, visitors of the page included; what is known needs no place."""

Answer = dict[str, Any]
Steps = Generator[Answer, None, None]
"""Progress on the way, ``{"progress": {…}}``, and the answer last."""


def analyze(model: str) -> Steps:
    """Singular-value spectra of every layer of a model, plain and whitened, and what every policy would remove.

    Args:
        model: id of the model, such as smollm2-135m-q4 or owner/name on the Hugging Face Hub

    Returns:
        what `python -m compression schema analyze` describes: model, calibration, spectra, slider, allocations
    """
    yield from _answer("analyze", model)


def allocate(model: str, method: str, policy: str, removed: float) -> Steps:
    """The share of its weights that each layer loses under a budget.

    Args:
        model: id of the model, such as smollm2-135m-q4
        method: compression method, such as compot-fisher, compot, svd-llm or svd
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of the method
        removed: share of the compressible weights to remove, from 0 to 0.95

    Returns:
        what `python -m compression schema allocate` describes: policy, target, removed_fractions by layer
    """
    yield from _answer("allocate", model, method, policy, removed)


def predict(model: str, method: str, policy: str, removed: float) -> Steps:
    """The perplexity that a model compressed like this is foretold to have, with its 95 % band.

    Args:
        model: id of the model, such as smollm2-135m-q4
        method: compression method, such as compot-fisher, compot, svd-llm or svd
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of the method
        removed: share of the compressible weights to remove, from 0 to 0.6

    Returns:
        what `python -m compression schema predict` describes; its predictions hold perplexity, low and high
    """
    yield from _answer("predict", model, method, policy, removed)


def compare(model: str, methods: list[str], policy: str, removed: float) -> Steps:
    """Methods measured beside the dense model: perplexity on a text, or word error rate of a speech model.

    Args:
        model: id of the model, such as smollm2-135m-q4 or whisper-tiny.en
        methods: compression methods, such as compot-fisher and svd-llm
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of each method
        removed: share of the compressible weights to remove, from 0 to 0.95

    Returns:
        what `python -m compression schema compare` describes; dense and each of its runs have perplexity, or wer
    """
    yield from _answer("compare", model, methods, policy, removed)


def evaluate(model: str, method: str, policy: str, removed: float) -> Steps:
    """Perplexity, or of a speech model the word error rate, of one model as it is or compressed.

    Args:
        model: id of the model, such as smollm2-135m-q4 or whisper-tiny.en
        method: compression method, such as compot-fisher; dense for the original
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of the method
        removed: share of the compressible weights to remove, from 0 to 0.95; 0 for the original

    Returns:
        what `python -m compression schema evaluate` describes: perplexity or wer, stored_bits, and how it was measured
    """
    yield from _answer("evaluate", model, method, policy, removed)


ENDPOINTS: tuple[Callable[..., Steps], ...] = (analyze, allocate, predict, compare, evaluate)
FIELDS = {function.__name__: tuple(inspect.signature(function).parameters) for function in ENDPOINTS}
"""Endpoint → what it is given, in this order."""


class Page(gr.Blocks):
    """Gradio's, which says in one sentence what a request lacks: its own has many lines, and a traceback in the log."""

    def validate_inputs(self, block_fn: gradio.blocks.BlockFunction, inputs: list[Any]) -> None:
        """Refuse a request with too few values."""
        wanted = len(block_fn.inputs)
        if len(inputs) < wanted:
            fields = FIELDS.get(str(block_fn.api_name))
            said = f"{wanted} values were expected, but {len(inputs)} came."
            if fields:
                said = f"{fields[len(inputs)]}: it is missing; expected are {', '.join(fields)}, in this order."
            raise gr.Error(said, print_exception=False)
        super().validate_inputs(block_fn, inputs)


class _JsonTools(gradio.mcp.GradioMCPServer):
    """Gradio's MCP server, whose tools answer in JSON: its own show a dictionary as Python does, with single quotes."""

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        return [self.types.TextContent(type="text", text=json.dumps(each, ensure_ascii=False)) for each in data]


def add_endpoints() -> None:
    """Add the five to the page that is being built; everything else on it is private."""
    # Gradio makes the server by this name when it launches, and offers no other way to shape a tool's answer.
    gradio.mcp.GradioMCPServer = _JsonTools  # type: ignore[misc]
    for function in ENDPOINTS:
        gr.api(
            _refusing(function),
            api_name=function.__name__,
            concurrency_id="api",
            concurrency_limit=AT_ONCE,
        )


def _refusing(function: Callable[..., Steps]) -> Callable[..., Steps]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Steps:
        try:
            yield from function(*args, **kwargs)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return wrapper


def _answer(question: str, *arguments: Any) -> Steps:
    """What happens on the way, where anything does, and at last what the engine says, as JSON values."""
    steps = api.STEPS[question](*arguments)
    answer = yield from ENGINE.unless_known(
        steps,
        lambda work: engine.relay(work, _shown),
        lambda place: {"progress": {"stage": "wait", **asdict(place)}},
        WAITING,
    )
    yield api.plain(answer)


def _shown(progress: Progress) -> Answer:
    return {"progress": {name: getattr(progress, name) for name in ("stage", "done", "total", "message")}}
