"""A small page of live figures for whoever runs the app: memory, the line before the engine, the models, the cache."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import gradio as gr
import psutil

from compression import store
from views import engine
from views.line import ENGINE
from views.texts import Words

SECONDS = 3
"""Between two looks."""
MB = 1e6


def path_of(language: str) -> str:
    """Path of a language's status page, without the slash."""
    return "status" if language == "en" else f"status-{language}"


def fill(words: Words) -> None:
    """Add the page's components."""
    gr.Markdown(f"# {words('status.title')}\n\n{words('status.about')}", elem_classes=["tagline"])
    shown = gr.HTML(table(words), elem_classes=["data-table", "status-table"])
    timer = gr.Timer(SECONDS)
    timer.tick(
        lambda: table(words),
        None,
        shown,
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=4,
    )


def table(words: Words) -> str:
    """The figures as HTML."""
    head = f"<tr><th>{words('status.figure')}</th><th class='num'>{words('status.value')}</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class='num'>{words.number(value, 0)}</td></tr>"
        for name, value in figures(words)
    )
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def figures(words: Words) -> list[tuple[str, int]]:
    """What is shown now."""
    process, machine = psutil.Process(), psutil.virtual_memory()
    budget, held = models()
    rows = [
        (words("status.memory"), round(process.memory_info().rss / MB)),
        (words("status.free"), round(machine.available / MB)),
        (words("status.machine"), round(machine.total / MB)),
        (words("status.line"), len(ENGINE)),
        (words("status.budget"), round(budget / MB)),
    ]
    for title, method, size in held:
        rows.append((words("status.model", model=title, method=words.name("method", method)), size))
    return rows + [(words("status.folder", folder=name), size) for name, size in folders()]


def models() -> tuple[int, list[tuple[str, str, int]]]:
    """The budget for models in bytes, and title, method and megabytes of each; torch is not imported to ask."""
    if "compression.workbench" not in sys.modules:
        return 0, []
    from compression.workbench import model_budget

    return model_budget(), [(m.title, m.method, round(m.bytes / MB)) for m in engine.workbench().models_held()]


def folders() -> list[tuple[str, int]]:
    """The folders of the cache and their megabytes."""
    root = store.root()
    found = sorted(root.iterdir()) if root.is_dir() else []
    return [(folder.name, round(_size(folder) / MB)) for folder in found if folder.is_dir()]


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() and not file.is_symlink() else 0
        except OSError:  # it has just gone
            continue
    return total
