"""The page's JavaScript: our own files and Plotly's, served from this machine and awaited by the components they serve.

Gradio adds the scripts in a component's ``head`` to the page in their order and runs the component's own line when they
are there; scripts in the page's head would race with it.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import plotly

from compression import store

STATIC = Path(__file__).resolve().parent / "static"
NAMES = ("core", "chart", "table", "changes", "slider", "address")
"""Our own scripts, in the order they build on each other."""
PLOTLY_JS = Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js"
PLOTLY_URL = f"/gradio_api/file={PLOTLY_JS}"


def _url(name: str) -> str:
    """Address of one of ours; it changes with the file, so that no browser keeps an old one."""
    file = STATIC / f"{name}.js"
    return f"/gradio_api/file={file}?{int(file.stat().st_mtime)}"


OWN = "".join(f'<script src="{_url(name)}"></script>' for name in NAMES)
"""For the ``head`` of every component that calls them."""
WITH_PLOTLY = f'{OWN}<script src="{PLOTLY_URL}"></script>'
"""For the ``head`` of every chart."""
PRELOAD = "".join(f'<link rel="preload" as="script" href="{url}">' for url in (PLOTLY_URL, *map(_url, NAMES)))
"""For the page's head: the scripts arrive while Gradio's own are still being read."""


def register_static_files() -> None:
    """Let the server hand out Plotly's JavaScript, ours and packed exports (without a copy), and only these folders."""
    gr.set_static_paths([PLOTLY_JS.parent, STATIC, store.archives()])
