"""The slider's tables as they travel to the page, with the sentences they are put into.

`static/slider.js` looks numbers up in them, writes them into the sentences and draws them; it computes nothing.
"""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from compression.forecast import ForecastReport
from compression.recipe import pin_text
from compression.slider import SLIDER, MeasuredSetting, Position, SliderTable, SliderView, nearest
from views.figures.common import short_projections
from views.metrics import metric_of
from views.scripts import OWN
from views.texts import NARROW_SPACE, Words
from views.theme import faded, style_of

UNITS = ("weights", "bits", "bytes", "factor", "whole", "flops")
"""What the ratio can be read as."""

KINDS = {
    "removed": "percent",
    "at": "percent",
    "smallest": "percent2",
    "largest": "percent2",
    "whole": "percent",
    "least": "percent",
    "most": "percent",
    "lost": "percent2",
    "factor": "number2",
    "stored_mib": "mebibytes",
    "original_mib": "mebibytes",
    **dict.fromkeys(("stored_bits", "original_bits", "removed_weights", "site_weights"), "compact"),
    **dict.fromkeys(("dense_flops", "low_rank_flops", "dictionary_flops"), "compact"),
    "effective": "number1",
    **dict.fromkeys(("perplexity", "dense_perplexity", "low", "high"), "perplexity"),
    **dict.fromkeys(("quality", "dense_quality", "uniform"), "perplexity"),
}
"""Field → how its number is written; the others are whole numbers."""
SPEECH_KINDS = {
    **dict.fromkeys(("perplexity", "dense_perplexity", "low", "high"), "number2"),
    **dict.fromkeys(("quality", "dense_quality", "uniform"), metric_of(True).writer),
}
"""What differs for a speech model: its forecast is of transcripts, its measure the word error rate."""

SENTENCES = (
    "heatmap.summary",
    "heatmap.summary_even",
    "heatmap.hover",
    "heatmap.hover_dense",
    "heatmap.hover_uniform",
    "heatmap.hover_pinned",
    "heatmap.cell",
    "spectrum.rank",
    "spectrum.summary",
    "spectrum.summary_dense",
    "budget.summary",
    "explore.impossible",
    "measured.sentence",
    "measured.none",
    "measured.beside",
    "difference.same",
    "difference.none",
    "difference.measured",
    *(f"unit.{unit}_sentence" for unit in UNITS),
)
"""Texts whose placeholders the page fills in."""

BUILTIN = {
    "builtin.reset": "Reset to default value",
    "builtin.number": "number input for",
    "builtin.range": "range slider for",
    "builtin.clear": "Clear",
    "builtin.remove": "Remove",
    "speech.builtin_upload": "Upload file",
    "speech.builtin_record": "Record audio",
    "speech.builtin_drop": "Drop an audio file here to upload",
    "speech.builtin_device": "Select input device",
    "speech.builtin_pause": "pause",
}
"""Labels that Gradio writes in English whatever the language: the beginnings of its ``aria-label`` and ``title``."""

CARDS = ("removed", "size", "bits", "factor", "flops")
PERPLEXITY_CARDS = ("predicted", "measured", "none")
CARD_PARTS = ("", "_value", "_detail")

NARROW = 65536
"""So many different sizes have places of 16 bits."""
SPREAD = 0.5
"""Share by which the colour axis of the difference reaches to both sides of the uniform share."""


def slider_tables(value: str, start: Mapping[str, str | None]) -> gr.HTML:
    """The component that carries the tables and the state the page starts in; it shows nothing itself."""
    return gr.HTML(
        value=value,
        html_template="<span hidden></span>",
        js_on_load="explorer.tablesOf(element, props, watch);",
        head=OWN,
        elem_id="explore-data",
        elem_classes=["carrier"],
        apply_default_css=False,
        start=start,
    )


def live_text(name: str, kind: str = "p", spoken: bool = False, elem_id: str | None = None) -> gr.HTML:
    """A place for a text that follows the slider, under the name that `slider.js` knows it by."""
    role = ' role="status" aria-live="polite"' if spoken else ""
    return gr.HTML(
        value="",
        html_template=f'<{kind} class="live {name}"{role}></{kind}>',
        js_on_load=f"explorer.place({name!r}, element.firstElementChild);",
        head=OWN,
        elem_id=elem_id,
        apply_default_css=False,
    )


def slider_value(
    view: SliderView | None,
    forecasts: Sequence[ForecastReport],
    model_id: str,
    names: Mapping[str, Sequence[str]],
    words: Words,
) -> str:
    """The JSON for the page.

    Args:
        view: the tables; None for a model that has not been analysed.
        forecasts: of the model.
        model_id: the model.
        names: every ``method`` and ``policy`` that can be chosen.
        words: the language.
    """
    speech = view.model.is_speech if view is not None else any(report.is_speech for report in forecasts)
    words = words.about(speech)
    data: dict[str, Any] = {
        "language": words.language,
        "group": NARROW_SPACE,
        "none": words("card.none"),
        "model": model_id,
        "kinds": KINDS | SPEECH_KINDS if speech else KINDS,
        "slider": [f"{value:g}" for value in SLIDER],
        "methods": {name: words.name("method", name) for name in names["method"]},
        "policies": {name: words.name("policy", name) for name in names["policy"]},
        "forecasts": {forecast_key(report): _forecast(report, words) for report in forecasts},
        "no_forecast": words("forecast.none", model=model_id, button=words("explore.load")),
        "sentences": {key: words(key) for key in SENTENCES},
        "builtin": [[english, words(key)] for key, english in BUILTIN.items() if words(key) != english],
    }
    if view is not None:
        data |= _view(view, words)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _view(view: SliderView, words: Words) -> dict[str, Any]:
    model, pins = view.model, view.tables[0].pins
    decimals = metric_of(model.is_speech).decimals
    labels = short_projections(model.projections)
    first = next(p.budget for table in view.tables for p in table.positions if p is not None)
    heatmap_headers = ("site", "block", "projection", "shape", "removed", "rank", "atoms", "nonzeros")
    return {
        "sites": [site.name for site in model.sites],
        "blocks": list(model.blocks),
        "projections": labels,
        "places": [[model.blocks.index(s.block), model.projections.index(s.projection)] for s in model.sites],
        "shapes": [words.shape((site.out_features, site.in_features)) for site in model.sites],
        "sizes": [[s.removed_fraction, s.rank, s.num_atoms, s.nonzeros_per_column] for s in view.sizes],
        "wide": len(view.sizes) > NARROW,
        "tables": {table.policy: _table(table, "I" if len(view.sizes) > NARROW else "H") for table in view.tables},
        "pin_text": pin_text(pins),
        "pinned": list(view.pinned_sites),
        "constants": {
            "original_mib": round(first.original_mib, 2),
            "original_bits": first.original_bits,
            "site_weights": model.site_weights,
            "dense_flops": view.dense_flops,
            "count": len(model.sites),
        },
        "difference": [_difference_axis(value, words) for value in SLIDER],
        "apart": model.is_speech,
        "measured": {f"{m.method}|{m.policy}": _measured(m, decimals) for m in view.measured},
        "dense_quality": None if view.dense_quality is None else _short(view.dense_quality, decimals),
        "cards": [[words(f"card.{key}{part}") for part in CARD_PARTS] for key in CARDS],
        "perplexity_cards": {
            key: [words(f"card.perplexity_{key}{part}") for part in CARD_PARTS] for key in PERPLEXITY_CARDS
        },
        "bar_labels": [*labels, words("budget.rest")],
        "headers": {
            "heatmap": [words(f"word.{key}") for key in heatmap_headers],
            "budget": [words(f"budget.column.{key}") for key in ("part", "kept", "removed")],
        },
    }


def _table(table: SliderTable, code: str) -> dict[str, Any]:
    count = max(len(position.sizes) for position in table.positions if position is not None)
    cells = array(code)
    for position in table.positions:
        cells.extend((0,) * count if position is None else position.sizes)
    return {
        "smallest": round(table.smallest, 4),
        "largest": round(table.largest, 4),
        "cells": base64.b64encode(cells.tobytes()).decode("ascii"),
        "positions": [None if position is None else _position(position) for position in table.positions],
    }


def _position(position: Position) -> dict[str, Any]:
    budget = position.budget
    return {
        "removed": round(budget.site_removed_fraction, 4),
        "whole": round(budget.whole_model_removed_fraction, 4),
        "stored_mib": round(budget.stored_mib, 2),
        "stored_bits": budget.stored_bits,
        "factor": round(budget.compression_factor, 4),
        "removed_weights": round(position.removed_weights),
        "least": position.least,
        "most": position.most,
        "most_site": position.most_site,
        "dense": position.dense_sites,
        "low_rank_flops": position.low_rank_flops,
        "dictionary_flops": position.dictionary_flops,
        "bars": [
            [round(bar.kept_mib, 3) for bar in budget.bars],
            [round(bar.removed_mib, 3) for bar in budget.bars],
        ],
    }


def _difference_axis(share: float, words: Words) -> dict[str, Any]:
    """The colour axis whose middle is the uniform share."""
    steps = (-SPREAD, -SPREAD / 2, 0.0, SPREAD / 2, SPREAD)
    return {
        "range": [round(share - SPREAD, 2), round(share + SPREAD, 2)],
        "ticks": [round(share + step, 3) for step in steps],
        "texts": [
            words("heatmap.points", value=f"{100 * step:+.0f}".replace("-", "−")) if step else words("heatmap.same")
            for step in steps
        ],
    }


def _measured(setting: MeasuredSetting, decimals: int) -> dict[str, Any]:
    targets = [run.removed_fraction_target for run in setting.runs]
    return {
        "removed": targets,
        "quality": [_short(run.quality, decimals) for run in setting.runs],
        "nearest": [nearest(targets, position) for position in SLIDER],
    }


def forecast_key(report: ForecastReport) -> str:
    """How a setting is called in the page."""
    return f"{report.method}|{report.policy}"


def _forecast(report: ForecastReport, words: Words) -> dict[str, Any]:
    """A forecast's sentences, finished but for the numbers, and its rows."""
    words, decimals = words.about(report.is_speech), 2 if report.is_speech else 1
    named = {
        "method": words.name("method", report.method),
        "policy": words.name("policy", report.policy),
        "dense": words.number(report.dense.perplexity, decimals),
    }
    open_fields = {name: f"{{{name}}}" for name in ("removed", "perplexity", "low", "high")}
    source = {"text": report.text.name, "convention": words.sentence(report.convention)}
    shared = {"dense": _short(report.dense.perplexity, decimals)}
    if report.problem:
        return shared | {
            "sentence": words("forecast.problem", problem=words.sentence(report.problem), **named),
            "note": words("forecast.note_measured", **source),
        }
    largest = words.percent(report.predictions[-1].removed_fraction_target)
    return shared | {
        "sentence": words("forecast.sentence", **named, **open_fields),
        "beyond": words("forecast.beyond", largest=largest, **named, **open_fields),
        "note": words("forecast.note", **source),
        "area": faded(style_of(report.method)[0]),
        "rows": {
            f"{row.removed_fraction_target:g}": [
                _short(value, decimals) for value in (row.perplexity, row.low, row.high)
            ]
            for row in report.predictions
        },
    }


def _short(value: float, decimals: int) -> float | None:
    """The digits that are shown, rounded once: with more of them the browser would round a second time."""
    if value == float("inf"):
        return None
    return round(value, decimals) if value < 1000 else round(value)
