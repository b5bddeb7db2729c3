"""Runs in words: their names, what changed between them, what they were measured on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compression.session import Measure, RunPoint
from views.metrics import metric_of
from views.texts import Words


def measure_label(measure: Measure, published: bool, words: Words) -> str:
    """A measure in words."""
    return words(
        "trade_offs.measure_published" if published else "trade_offs.measure_label",
        metric=words(f"trade_offs.metric.{measure.metric}"),
        model=measure.model_id,
        text=words.sentence(measure.measured_on),
        convention=words.sentence(measure.convention),
    )


def run_label(point: RunPoint, words: Words) -> str:
    """A run's name, or else method, policy and share."""
    if point.name:
        return point.name
    if point.is_dense:
        return words.name("method", "dense")
    parts = [words.name("method", point.method)]
    if point.policy:
        parts.append(words.name("policy", point.policy))
    if point.removed_fraction:
        parts.append(words.percent(point.removed_fraction))
    if point.step != "compressed":
        parts.append(words(f"trade_offs.step.{point.step}"))
    if point.recipe is not None and point.recipe.seed:
        parts.append(words("trade_offs.seed", seed=point.recipe.seed))
    return " · ".join(parts)


def write_quality(point: RunPoint, words: Words) -> str:
    """Its quality with the language's notation."""
    return metric_of(point.measure.metric == "wer").write(point.quality, words)


def change(share: float, words: Words) -> str:
    """A relative change with its sign: ``+4.9%``, ``−8%``; one of a broken model as a factor."""
    if share >= 9:
        return f"×\u202f{words.significant(1 + share)}"
    text = words.percent(abs(share))
    if text == words.percent(0):
        return text
    return ("+" if share > 0 else "−") + text


def points_of_per_cent(share: float, words: Words) -> str:
    """A difference of two shares, in percentage points with its sign."""
    text = words.number(abs(share) * 100, 1)
    sign = "" if text == words.number(0, 1) else "+" if share > 0 else "−"
    return words("trade_offs.percentage_points", value=sign + text)


def plain(text: Any) -> str:
    """Text of anybody's as Markdown that shows it to the letter: a name from a file must not become a picture."""
    return "".join(f"\\{each}" if each in "\\`*_[]<>!|~$&#" else each for each in str(text))


def choices(points: Iterable[RunPoint], words: Words) -> list[tuple[str, str]]:
    """Runs as the entries of a list: label and key."""
    return [(run_label(point, words), point.key) for point in points]
