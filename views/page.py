"""The whole page, once in each language: header, tabs, footer, and how it is launched."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

import compression
from compression.environment import commit, processor_name
from views import classroom, engine, status
from views.api import AT_ONCE, Page, add_endpoints
from views.context import Context
from views.downloads import GZipText
from views.language import DEFAULT, LanguageRedirect, path_of
from views.lessons import handout_path, teacher_path
from views.line import ROOM
from views.scripts import OWN, PRELOAD, register_static_files
from views.sessions import KEPT, keep_sessions_light
from views.tabs import TABS
from views.texts import LANGUAGES, Words, words
from views.theme import CSS, theme

_TOGGLE_THEME = "() => { document.body.classList.toggle('dark'); }"
PAPERS = (
    ("COMPOT", "2602.15200"),
    ("FineGates", "2602.09169"),
    ("Muon", "2601.09865"),
    ("SVD-LLM", "2403.07378"),
    ("SVD-LLM v2", "2503.12340"),
    ("FWSVD", "2207.00112"),
    ("ASVD", "2312.05821"),
    ("CoSpaDi", "2509.22075"),
    ("ROCKET", "2602.11008"),
    ("Dobi-SVD", "2502.02723"),
    ("Wanda", "2306.11695"),
    ("MaskLLM", "2409.17481"),
)
"""What the engine implements and compares: name and arXiv number."""

THREADS = 2 * ROOM + AT_ONCE + 40
"""Of the server: one for whoever may wait for the engine, in the tabs, in the walk and by program, and Gradio's usual
forty for all else, so that nothing quick ever waits for somebody who waits. Threads that wait cost next to nothing."""

UPLOADS_KEPT = (600, 3600)
"""Every ten minutes, recordings that came more than an hour ago are deleted."""


def build() -> gr.Blocks:
    """The page in every language, on the example in assets; no model is loaded."""
    register_static_files()
    keep_sessions_light()
    with Page(
        title=words(DEFAULT)("page.title"), analytics_enabled=False, fill_width=False, delete_cache=UPLOADS_KEPT
    ) as page:
        _fill(page, DEFAULT)
        add_endpoints()
    for language, name in LANGUAGES.items():
        if language != DEFAULT:
            with page.route(name, language, show_in_navbar=False):
                _fill(page, language)
    for language, name in LANGUAGES.items():
        with page.route(f"{words(language)('status.title')} ({name})", status.path_of(language), show_in_navbar=False):
            status.fill(words(language))
        with page.route(f"{words(language)('teacher.title')} ({name})", teacher_path(language), show_in_navbar=False):
            classroom.fill_teacher(words(language))
        with page.route(f"{words(language)('handout.title')} ({name})", handout_path(language), show_in_navbar=False):
            classroom.fill_handout(words(language))
    page.queue(default_concurrency_limit=4, max_size=64)
    return page


def _fill(page: gr.Blocks, language: str) -> None:
    text = words(language)
    context = Context(text, gr.State(engine.default_model_id()), page)
    with gr.Row(elem_classes=["page-head"]):
        with gr.Column():
            gr.Markdown(f"# {text('page.title')}\n\n{text('page.tagline')}", elem_classes=["tagline"])
        _languages(language, text)
        toggle = gr.Button(text("page.theme"), size="sm", elem_classes=["theme-button"])
    toggle.click(None, js=_TOGGLE_THEME)
    with gr.Tabs(overflow_behavior="wrap") as tabs:  # a menu of the tabs for which a phone has no room would hide them
        for key, fill in TABS:
            with gr.Tab(text(f"{key}.tab"), id=key):
                fill(replace(context, tabs=tabs))
    gr.Markdown(_footer(text), elem_classes=["foot"])


def _languages(here: str, text: Words) -> None:
    """Links to the same view in the other languages."""
    links = "".join(
        f'<span aria-current="true" lang="{language}">{name}</span>'
        if language == here
        else f'<a href=".{path_of(language)}?lang={language}" data-language="{language}" lang="{language}">{name}</a>'
        for language, name in LANGUAGES.items()
    )
    gr.HTML(
        f'<nav class="languages" aria-label="{text("page.language")}">{links}</nav>',
        js_on_load="explorer.languages(element);",
        head=OWN,
        elem_id="languages",
        elem_classes=["languages-box"],
        apply_default_css=False,
        min_height=0,
    )


def launch_options() -> dict[str, Any]:
    """Arguments of ``launch``: port 7860 unless GRADIO_SERVER_PORT is set, no tracebacks on the page."""
    return {
        "server_name": os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        "server_port": int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        "theme": theme(),
        "css": CSS,
        "head": PRELOAD,
        "ssr_mode": False,
        "max_threads": THREADS,
        "mcp_server": True,
        "show_error": False,
        "state_session_capacity": KEPT,
        # About two hours of mp3, so that the engine can say itself what is too long; Gradio refuses what is larger.
        "max_file_size": "200mb",
        "footer_links": [],
        "allowed_paths": [],
        # The tables travel as text of some hundred kilobytes, which shrink to a fifth. Streams and archives do not.
        "app_kwargs": {"middleware": [Middleware(LanguageRedirect), Middleware(GZipText, compresslevel=1)]},
    }


def warm_up() -> None:
    """Import the engine, and torch with it, behind the visitor's back: the first click need not wait for that."""

    def work() -> None:
        engine.workbench()
        # A million objects of modules and of the page stay for good. Looking through them for garbage, again and again,
        # took up to a second, in which nobody was answered.
        gc.freeze()

    threading.Thread(target=work, name="warm-up", daemon=True).start()


def _footer(text: Words) -> str:
    lines = [
        text(
            "page.footer",
            version=compression.__version__,
            commit=commit(),
            gradio=gr.__version__,
            plotly=_version("plotly"),
            torch=_version("torch"),
            transformers=_version("transformers"),
        ),
        text("page.hardware", processor=processor_name(), threads=os.cpu_count()),
    ]
    example = engine.gallery()
    if example is not None:
        lines += dict.fromkeys(
            text(
                "page.provenance",
                date=made.date[:10],
                commit=made.commit[:10],
                processor=made.processor,
                threads=made.threads,
            )
            for made in (example.headline.environment, example.comparators.environment)
        )
    papers = " · ".join(f"[{name} ({number})](https://arxiv.org/abs/{number})" for name, number in PAPERS)
    lines.append(text("page.papers", papers=papers))
    lines.append(text("page.licences"))
    lines.append(f"[{text('status.title')}](./{status.path_of(text.language)})")
    return "\n\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "—"
