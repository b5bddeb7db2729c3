"""The whole page: header, tabs, footer, and how it is launched."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gradio as gr

import compression
from views import engine
from views.context import Context
from views.live_chart import page_head, register_static_files
from views.tabs import TABS
from views.texts import Words, words
from views.theme import CSS, theme

_TOGGLE_THEME = "() => { document.body.classList.toggle('dark'); }"


def build(language: str = "en") -> gr.Blocks:
    """The page in one language, on the example in assets; no model is loaded."""
    register_static_files()
    text = words(language)
    with gr.Blocks(title=text("page.title"), analytics_enabled=False, fill_width=False) as page:
        context = Context(text, gr.State(engine.default_model_id()), page)
        with gr.Row(elem_classes=["page-head"]):
            with gr.Column():
                gr.Markdown(f"# {text('page.title')}\n\n{text('page.tagline')}", elem_classes=["tagline"])
            toggle = gr.Button(text("page.theme"), size="sm", elem_classes=["theme-button"])
        toggle.click(None, js=_TOGGLE_THEME)
        with gr.Tabs():
            for key, fill in TABS:
                with gr.Tab(text(f"{key}.tab"), id=key):
                    fill(context)
        gr.Markdown(_footer(text), elem_classes=["foot"])
    page.queue(default_concurrency_limit=4, max_size=64)
    return page


def launch_options() -> dict[str, Any]:
    """Arguments of ``launch``: port 7860 unless GRADIO_SERVER_PORT is set, no tracebacks on the page."""
    return {
        "server_name": os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        "server_port": int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        "theme": theme(),
        "css": CSS,
        "head": page_head(),
        "ssr_mode": False,
        "show_error": False,
        "max_file_size": "4mb",
        "footer_links": [],
        "allowed_paths": [],
    }


def _footer(text: Words) -> str:
    lines = [
        text(
            "page.footer",
            version=compression.__version__,
            gradio=gr.__version__,
            plotly=_version("plotly"),
            torch=_version("torch"),
            transformers=_version("transformers"),
            threads=os.cpu_count(),
        )
    ]
    example = engine.gallery()
    if example is not None:
        made = example.comparison.environment
        lines.append(
            text(
                "page.provenance",
                date=made.date,
                commit=made.commit[:10],
                processor=made.processor,
                threads=made.threads,
            )
        )
    return "\n\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "—"
