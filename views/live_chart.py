"""A Plotly chart that lives in the page: drawn in the browser, redrawn in place, clicks reach Python.

Plotly's own JavaScript comes out of the installed Python package, so both versions match by
construction and nothing is fetched from elsewhere. The value is the figure's JSON and nothing else;
the template is chosen in the browser and follows the theme.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import plotly
import plotly.graph_objects as go

from views.theme import plotly_templates

PLOTLY_JS = Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js"

PLOTLY_URL = f"/gradio_api/file={PLOTLY_JS}"
PRELOAD = f'<link rel="preload" as="script" href="{PLOTLY_URL}">'
"""For the page's head: Plotly arrives while Gradio's own script is still being read."""

EMPTY_HEIGHT = 150
"""Pixels that a chart takes while there is nothing to draw."""

_DRAW = (Path(__file__).parent / "live_chart.js").read_text(encoding="utf-8")


def register_static_files() -> None:
    """Let the server hand out Plotly's JavaScript, and only that folder."""
    gr.set_static_paths([PLOTLY_JS.parent])


def live_chart(
    figure: go.Figure | None, height: int, loading: str = "", elem_id: str | None = None, empty: str = ""
) -> gr.HTML:
    """A chart component whose value is a Plotly figure's JSON (see `figure_value`).

    Its ``click`` event carries ``picked`` (the point's customdata), ``x`` and ``y``.

    Args:
        figure: the first picture, if there is one already.
        height: height in pixels; its place is kept from the start, so nothing jumps, unless it is empty.
        loading: what is written there until the first picture is drawn.
        elem_id: id in the page.
        empty: what is written there when the picture is taken away.
    """
    place = height if figure is not None else min(height, EMPTY_HEIGHT)
    return gr.HTML(
        value="" if figure is None else figure_value(figure),
        html_template=(
            f'<div class="live-chart" style="min-height:{place}px"><div class="plot" style="min-height:{place}px">'
            f'</div><div class="loading">{loading}</div></div>'
        ),
        js_on_load=_DRAW,
        head=f'<script src="{PLOTLY_URL}"></script>',
        elem_id=elem_id,
        apply_default_css=False,
        templates=plotly_templates(),
        empty=empty,
    )


def figure_value(figure: go.Figure) -> str:
    """The figure as the chart's value: JSON without Plotly's default template."""
    figure.layout.template = None  # type: ignore[assignment]
    text = figure.to_json()
    assert text is not None
    return text
