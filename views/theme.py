"""Colours, type and spacing: the Gradio theme, its CSS, and a light and a dark Plotly template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "Arial", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""The four Okabe–Ito colours that reach 3:1 on white and on the dark page."""

METHOD_STYLES: dict[str, tuple[str, str, str]] = {
    "svd": (PURPLE, "x", "dot"),
    "svd-llm": (VERMILLION, "square", "dash"),
    "compot": (BLUE, "circle", "solid"),
    "compot-fisher": (BLUE, "star", "longdash"),
    "svd-fisher": (PURPLE, "cross", "longdashdot"),
    "svd-llm-v2": (VERMILLION, "triangle-down", "longdash"),
    "dobi-svd": (VERMILLION, "pentagon", "dot"),
    "asvd": (PURPLE, "triangle-left", "dash"),
    "fwsvd": (PURPLE, "triangle-right", "dashdot"),
    "cospadi": (BLUE, "hexagon", "dash"),
    "rocket": (BLUE, "triangle-up", "dot"),
    "magnitude-2:4": (GREEN, "square-open", "dot"),
    "wanda-2:4": (GREEN, "triangle-up-open", "dash"),
    "dense": (GREEN, "diamond", "dashdot"),
    "finegates": (BLUE, "diamond", "solid"),
    "finegates-published": (BLUE, "diamond-open", "dash"),
    "finegates-fisher": (BLUE, "diamond-tall", "dot"),
    "magnitude-structured": (GREEN, "square", "dot"),
    "wanda-structured": (GREEN, "triangle-up", "dash"),
    "apt": (BLUE, "square", "dash"),
    "maskllm": (BLUE, "bowtie", "dot"),
    "lora": (VERMILLION, "circle", "solid"),
    "lora-xs": (VERMILLION, "diamond", "dash"),
    "vera": (VERMILLION, "triangle-up", "dot"),
    "velora": (VERMILLION, "star", "dashdot"),
    "bitfit": (PURPLE, "circle", "solid"),
    "rocoft": (PURPLE, "square", "dash"),
    "full": (GREEN, "circle", "solid"),
    "head": (GREEN, "x", "dot"),
}
"""Method → colour, marker, dash; colour never stands alone.

Blue methods store a sparse dictionary, vermillion ones a rank in the space of the whitened inputs, purple ones a rank
in another space, green ones (beside the dense model) some of the weights themselves. Of those that adapt a model, blue
ones remove weights, vermillion ones add small matrices, purple ones train a few of the weights, green ones are the two
ends, everything and the head alone, and what is removed by a plain rule."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""For lines of one hue in one picture, in the order they come."""

NEUTRAL = "#7b8794"
"""Grey that is seen on both pages: marks that belong to no method."""

SCALE = "Cividis"
DIVERGING = [[0, "#8a3d00"], [0.25, "#e39a5c"], [0.5, "#f4f4f2"], [0.75, "#5fa6d0"], [1, "#00507f"]]
"""Vermillion to blue through a light middle: differences only."""
PINNED = "#ffffff"
"""Inside of the mark on a pinned cell; its outline is vermillion."""

NATIVE_SCALES = {"low-rank": "Viridis", "low-rank, 8 and 16 bits": "Viridis", "dictionary": "Plasma"}
"""Representation → colour scale of what it stores; different ones, as rank and atoms are different things."""

_PRIMARY = gr.themes.Color(
    c50="#eff7fc",
    c100="#d9ecf7",
    c200="#b4d9ee",
    c300="#82bfe1",
    c400="#449ecd",
    c500="#0072b2",
    c600="#00639b",
    c700="#00527f",
    c800="#024265",
    c900="#06344f",
    c950="#042234",
    name="okabe-blue",
)


def style_of(method: str) -> tuple[str, str, str]:
    """Colour, marker and dash of a method; unknown methods share one."""
    return METHOD_STYLES.get(method, (GREEN, "triangle-up", "longdash"))


def faded(colour: str) -> str:
    """A colour as the tint of an area; what lies behind stays readable."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.28)"


def theme() -> gr.themes.Base:
    """The page's theme. Fonts are plain names, so that nothing is fetched."""
    base = gr.themes.Base(
        primary_hue=_PRIMARY,
        secondary_hue=_PRIMARY,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=FONTS,
        font_mono=MONO_FONTS,
    )
    return base.set(
        body_background_fill="#f7f9fb",
        body_background_fill_dark="#0f1620",
        body_text_color="#1d2939",
        body_text_color_dark="#e6ebf1",
        body_text_color_subdued="#52606f",
        body_text_color_subdued_dark="#a3b0bf",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#17212d",
        background_fill_secondary="#f1f4f7",
        background_fill_secondary_dark="#1d2936",
        block_background_fill="#ffffff",
        block_background_fill_dark="#17212d",
        block_border_width="1px",
        block_border_color="#dfe5ec",
        block_border_color_dark="#2a3846",
        block_shadow="none",
        block_label_text_weight="500",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        block_title_text_color="#344054",
        block_title_text_color_dark="#cfd8e2",
        block_info_text_color="#52606f",
        block_info_text_color_dark="#a3b0bf",
        border_color_primary="#dfe5ec",
        border_color_primary_dark="#2a3846",
        input_background_fill="#ffffff",
        input_background_fill_dark="#111a24",
        input_border_color="#c5cfda",
        input_border_color_dark="#3a4a5b",
        input_border_width="1px",
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#1d2936",
        button_secondary_border_color="#c5cfda",
        button_secondary_border_color_dark="#3a4a5b",
        button_secondary_text_color="#1d2939",
        button_secondary_text_color_dark="#e6ebf1",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        layout_gap="16px",
    )


def plotly_templates() -> dict[str, dict[str, Any]]:
    """Plotly templates by theme; backgrounds are transparent, so the page shows through."""
    return {
        "light": _template(text="#344054", grid="#e4e9ef", axis="#98a5b3", hover="#ffffff"),
        "dark": _template(text="#cfd8e2", grid="#2a3846", axis="#5c6c7c", hover="#1d2936"),
    }


def _template(text: str, grid: str, axis: str, hover: str) -> dict[str, Any]:
    shared = {
        "gridcolor": grid,
        "linecolor": axis,
        "tickcolor": axis,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 12.5}},
        "tickfont": {"size": 11.5},
    }
    return {
        "layout": {
            "font": {"family": ", ".join(FONTS), "size": 12.5, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": shared,
            "yaxis": shared,
            "hoverlabel": {"bgcolor": hover, "bordercolor": axis, "font": {"color": text, "size": 12.5}},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "font": {"size": 12}},
            "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
            "colorway": [BLUE, VERMILLION, GREEN, PURPLE],
        }
    }


CSS = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
"""The page's CSS."""
