"""How the measure that a model is judged by is written and drawn: perplexity, or word error rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from views.texts import Words


@dataclass(frozen=True)
class Metric:
    """A measure of quality. The texts that speak of it are chosen by `Words.about`.

    Attributes:
        writer: how `static/core.js` writes it.
        decimals: that reach the page.
        axis: what Plotly is told about an axis of it.
    """

    writer: str
    decimals: int
    axis: Mapping[str, Any]

    def write(self, value: float, words: Words) -> str:
        """A value in the language's notation: ``31.2``, ``10.5%``."""
        return words.percent(value) if self.writer == "percent" else words.number(value)


PERPLEXITY = Metric("perplexity", 1, {"type": "log"})
WORD_ERROR_RATE = Metric("percent", 3, {"rangemode": "tozero", "tickformat": ",.3~%"})


def metric_of(is_speech: bool) -> Metric:
    """What a speech model, or a language model, is judged by."""
    return WORD_ERROR_RATE if is_speech else PERPLEXITY
