"""A Plotly chart that lives in the page: drawn in the browser, redrawn in place, clicks reach Python.

Plotly's own JavaScript comes out of the installed Python package, so both versions match by construction and nothing is
fetched from elsewhere. The value is the figure's JSON and nothing else; the template is chosen in the browser and
follows the theme.
"""

from __future__ import annotations

import gradio as gr
import plotly.graph_objects as go

from views.scripts import WITH_PLOTLY
from views.texts import Words
from views.theme import plotly_templates

EMPTY_HEIGHT = 150
"""Pixels that a chart takes while there is nothing to draw."""


def live_chart(
    figure: go.Figure | None,
    height: int,
    words: Words,
    elem_id: str | None = None,
    keyboard: str = "",
) -> gr.HTML:
    """A chart component whose value is a Plotly figure's JSON (see `figure_value`).

    Its ``click`` event carries ``picked``, the point's customdata. What `static/slider.js` has registered under the
    chart's id fills the figure in before it is drawn.

    Args:
        figure: the first picture, if there is one already.
        height: height in pixels; its place is kept from the start, so nothing jumps, unless it is empty.
        words: the language.
        elem_id: id in the page.
        keyboard: what the chart is for somebody who reaches it by keyboard; empty if it cannot be reached.
    """
    place = height if figure is not None else min(height, EMPTY_HEIGHT)
    focus = f' tabindex="0" role="application" aria-roledescription="{keyboard}"' if keyboard else ""
    waiting = words("chart.loading" if figure else "chart.empty")
    return gr.HTML(
        value="" if figure is None else figure_value(figure),
        html_template=(
            f'<div class="live-chart" style="min-height:{place}px">'
            f'<div class="plot" style="min-height:{place}px"{focus}></div>'
            f'<div class="loading{" busy" if figure else ""}">{waiting}</div></div>'
        ),
        js_on_load="explorer.chart(element, props, trigger, watch);",
        head=WITH_PLOTLY,
        elem_id=elem_id,
        apply_default_css=False,
        templates=plotly_templates(),
        empty=words("chart.empty"),
        separators=words.decimal_separators,
        name=elem_id,
    )


def figure_value(figure: go.Figure) -> str:
    """The figure as the chart's value: JSON without Plotly's default template."""
    figure.layout.template = None  # type: ignore[assignment]
    text = figure.to_json()
    assert text is not None
    return text
