"""The five endpoints for programs and agents: HTTP, `gradio_client`, and tools of the MCP server.

They answer as `compression.api` does. What is known is answered at once, beside whatever else the app does; what needs
a model waits for the engine, and only a few such requests wait at a time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
import gradio.mcp
import gradio.routes

from compression import api
from compression.errors import UserError

AT_ONCE = 8
"""Requests that are looked at side by side."""
WAITING = 3
"""Of them, those that may wait for the engine; the others stay free for what is known."""
_places = threading.BoundedSemaphore(WAITING)

Answer = dict[str, Any]


def analyze(model: str) -> Answer:
    """Singular-value spectra of every layer of a model, plain and whitened, and what every policy would remove.

    Args:
        model: id of the model, such as smollm2-135m-q4 or owner/name on the Hugging Face Hub
    """
    return _answer("analyze", model)


def allocate(model: str, method: str, policy: str, removed: float) -> Answer:
    """The share of its weights that each layer loses under a budget.

    Args:
        model: id of the model, such as smollm2-135m-q4
        method: compression method, such as compot-fisher, compot, svd-llm or svd
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of the method
        removed: share of the compressible weights to remove, from 0 to 0.95
    """
    return _answer("allocate", model, method, policy, removed)


def predict(model: str, method: str, policy: str, removed: float) -> Answer:
    """The perplexity that a model compressed like this is foretold to have, with its 95 % band.

    Args:
        model: id of the model, such as smollm2-135m-q4
        method: compression method, such as compot-fisher, compot, svd-llm or svd
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of the method
        removed: share of the compressible weights to remove, from 0 to 0.6
    """
    return _answer("predict", model, method, policy, removed)


def compare(model: str, methods: list[str], policy: str, removed: float) -> Answer:
    """Methods measured beside the dense model: perplexity on a text, or word error rate of a speech model.

    Args:
        model: id of the model, such as smollm2-135m-q4 or whisper-tiny.en
        methods: compression methods, such as compot-fisher and svd-llm
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of each method
        removed: share of the compressible weights to remove, from 0 to 0.95
    """
    return _answer("compare", model, methods, policy, removed)


def evaluate(model: str, method: str, policy: str, removed: float) -> Answer:
    """Perplexity, or of a speech model the word error rate, of one model as it is or compressed.

    Args:
        model: id of the model, such as smollm2-135m-q4 or whisper-tiny.en
        method: compression method, such as compot-fisher; dense for the original
        policy: allocation policy, such as uniform, pooled or fisher; own for the one of the method
        removed: share of the compressible weights to remove, from 0 to 0.95; 0 for the original
    """
    return _answer("evaluate", model, method, policy, removed)


ENDPOINTS: tuple[Callable[..., Answer], ...] = (analyze, allocate, predict, compare, evaluate)


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


def _refusing(function: Callable[..., Answer]) -> Callable[..., Answer]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Answer:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return wrapper


def _answer(question: str, *arguments: Any) -> Answer:
    """What the engine says, as JSON values."""
    ask = api.QUESTIONS[question]
    if api.known_answer(question, *arguments):
        return dict(api.plain(ask(*arguments)))
    if not _places.acquire(blocking=False):
        raise UserError(f"{WAITING} requests that need a model are waiting already: ask again in a few minutes.")
    try:
        return dict(api.plain(ask(*arguments)))
    finally:
        _places.release()
