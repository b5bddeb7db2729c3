"""The forecast in words: a sentence that follows the slider in the browser, from a table that came with the page.

The value is JSON: for each forecast its sentences, finished but for the numbers, and its rows. The JavaScript looks a
row up, writes its numbers into the sentence and moves the marks of the chart; it computes nothing and asks nobody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from compression.forecast import ForecastReport
from views.figures.forecast import WIDTHS, setting
from views.texts import NARROW_SPACE, Words
from views.theme import faded, style_of

DEFAULT = ("compot-fisher", "fisher")
"""Method and policy of the forecast that is chosen at first."""

_FOLLOW = (Path(__file__).parent / "live_forecast.js").read_text(encoding="utf-8")

CHOOSE = "(chosen) => { document.dispatchEvent(new CustomEvent('forecast-chosen', {detail: chosen})); }"
"""What the chooser does, in the browser."""


def live_forecast(value: str, elem_id: str) -> gr.HTML:
    """The component; see `forecast_value`."""
    return gr.HTML(
        value=value,
        html_template=(
            '<div class="forecast" role="status" aria-live="polite"><p class="sentence"></p><p class="note"></p></div>'
        ),
        js_on_load=_FOLLOW,
        elem_id=elem_id,
        apply_default_css=False,
    )


def ordered(reports: Sequence[ForecastReport]) -> list[ForecastReport]:
    """As they are shown: the one that is chosen at first, then the other forecasts, then what has only points."""
    return sorted(reports, key=lambda each: ((each.method, each.policy) != DEFAULT, bool(each.problem)))


def choices(reports: Sequence[ForecastReport], words: Words) -> list[tuple[str, int]]:
    """The entries of the chooser."""
    return [
        (words("forecast.choice_measured", setting=setting(each, words)) if each.problem else setting(each, words), i)
        for i, each in enumerate(reports)
    ]


def forecast_value(reports: Sequence[ForecastReport], model_id: str, ratio: float, words: Words) -> str:
    """The component's value for a model's forecasts (`ordered`; the first is chosen), of which there may be none."""
    return json.dumps(
        {
            "language": words.language,
            "group": NARROW_SPACE,
            "widths": WIDTHS,
            "ratio": ratio,
            "none": words("forecast.none", model=model_id, button=words("explore.load")),
            "reports": [_entry(report, words) for report in reports],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _entry(report: ForecastReport, words: Words) -> dict[str, Any]:
    named = {
        "method": words.name("method", report.method),
        "policy": words.name("policy", report.policy),
        "dense": words.number(report.dense.perplexity),
    }
    open_fields = {name: f"{{{name}}}" for name in ("removed", "perplexity", "low", "high")}
    source = {"text": report.text.name, "convention": report.convention}
    if report.problem:
        return {
            "sentence": words("forecast.problem", problem=report.problem, **named),
            "note": words("forecast.note_measured", **source),
        }
    largest = words.percent(report.predictions[-1].removed_fraction_target)
    return {
        "sentence": words("forecast.sentence", **named, **open_fields),
        "beyond": words("forecast.beyond", largest=largest, **named, **open_fields),
        "note": words("forecast.note", **source),
        "area": faded(style_of(report.method)[0]),
        "rows": {
            f"{row.removed_fraction_target:g}": [_short(row.perplexity), _short(row.low), _short(row.high)]
            for row in report.predictions
        },
    }


def _short(value: float) -> float:
    """The digits that are shown, rounded once: with more of them the browser would round a second time."""
    return round(value, 1) if value < 1000 else round(value)
