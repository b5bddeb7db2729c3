"""The smallest model within an allowance: the answer in words, and the measurement that verifies it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import gradio as gr

from compression.errors import UserError
from compression.session import RunPoint, Session
from compression.smallest import Candidate, Smallest, smallest_measured, verified
from compression.types import Progress
from views import engine
from views.figures.trade_off import MB
from views.run_words import change, plain, points_of_per_cent, run_label, write_quality
from views.runs import Measured
from views.texts import Words
from views.trade_scene import Choice, megabytes, scene_of
from views.widgets import Table, progress_html, status_html


def allowance_of(value: float | None, words: Words) -> float:
    """The number of per cent that was typed, as a share.

    Raises:
        UserError: if there is none.
    """
    if value is None:
        raise UserError(words("trade_offs.smallest_no_number"))
    return float(value) / 100


def smallest_answer(own: Session, model_id: str, allowance: float, words: Words) -> tuple[str, Smallest]:
    """The sentence and the candidates; from the forecasts, or else from what has been measured.

    Raises:
        UserError: if the allowance is out of range.
    """
    words = words.about(engine.is_speech(model_id))
    found = engine.smallest_model(model_id, allowance)
    if words.speech or all(each.removed_fraction is None for each in found.candidates):
        return _from_measured(own, model_id, allowance, words), Smallest(allowance, ())
    allowed, best = words.percent(allowance), found.best
    if best is None or best.removed_fraction is None:
        return words("trade_offs.smallest_nothing", allowance=allowed), found
    parts = [
        words(
            "trade_offs.smallest_answer",
            allowance=allowed,
            method=words.name("method", best.method),
            policy=words.name("policy", best.policy),
            removed=words.percent(best.removed_fraction),
            size=megabytes(best.stored_bits, words),
            dense=megabytes(engine.bits_of(model_id)[0], words),
            change=change(best.change, words),
            low=change(best.low, words),
            high=change(best.high, words),
        )
    ]
    if best.at_the_end:
        parts.append(words("trade_offs.smallest_end"))
    sure = words("trade_offs.smallest_sure", sure=words.percent(best.sure_fraction))
    parts.append(sure if best.sure_fraction else words("trade_offs.smallest_sure_none"))
    return " ".join(parts), found


def _from_measured(own: Session, model_id: str, allowance: float, words: Words) -> str:
    scene = scene_of(own, Choice(model_id))
    values = {"allowance": words.percent(allowance), "compare": words("compare.tab")}
    points = () if scene.measure is None or scene.measure.model_id != model_id else scene.session.of(scene.measure)
    dense = next((point for point in points if point.is_dense), None)
    best = None if dense is None else smallest_measured(points, allowance)
    if best is None or dense is None:
        return words("trade_offs.smallest_none_measured", **values)
    return words(
        "trade_offs.smallest_measured",
        allowance=values["allowance"],
        run=plain(run_label(best, words)),
        value=write_quality(best, words),
        dense=write_quality(dense, words),
        size=megabytes(best.stored_bits, words),
    )


def candidates_table(found: Smallest, words: Words) -> Table | None:
    """Every method and policy, the smallest model first."""
    if not found.candidates:
        return None
    keys = ("removed", "change", "low", "high", "sure", "remark")
    headers = (
        words("word.method"),
        words("word.policy"),
        words("trade_offs.column.size"),
        *(words(f"trade_offs.candidate.{key}") for key in keys),
    )
    rows: list[tuple[str | float | None, ...]] = []
    for each in found.candidates:
        name = words.name("method", each.method), words.name("policy", each.policy)
        if each.removed_fraction is None:
            rows.append((*name, None, None, None, None, None, None, words.sentence(each.problem)))
            continue
        remark = words("trade_offs.smallest_end") if each.at_the_end else ""
        numbers = (
            each.stored_bits / 8 / MB,
            each.removed_fraction,
            each.change,
            each.low,
            each.high,
            each.sure_fraction,
        )
        rows.append((*name, *numbers, remark))
    return Table("smallest", headers, tuple(rows), wide=len(headers) - 1, shares=frozenset(range(3, 8)))


def verdict(candidate: Candidate, allowance: float, points: tuple[RunPoint, ...], words: Words) -> str:
    """What was foretold beside what was measured."""
    dense, measured = points[0], points[-1]
    told = verified(candidate, dense, measured)
    inside = told.low <= told.measured <= told.high
    return " ".join(
        [
            words(
                "trade_offs.smallest_verdict",
                predicted=change(told.predicted, words),
                low=change(told.low, words),
                high=change(told.high, words),
                measured=change(told.measured, words),
                text=plain(words.sentence(measured.measure.measured_on)),
                off=points_of_per_cent(told.off, words),
                inside=words("trade_offs.inside" if inside else "trade_offs.outside"),
                value=words.number(measured.quality, 2),
                dense=words.number(dense.quality, 2),
                size=megabytes(measured.stored_bits, words),
            ),
            words(
                "trade_offs.smallest_kept" if told.measured <= allowance else "trade_offs.smallest_missed",
                allowance=words.percent(allowance),
            ),
        ]
    )


def verify(words: Words, model_id: str, asked: tuple[Candidate, float] | None) -> Generator[list[Any], None, None]:
    """Measure the model that was answered.

    Args:
        words: the language.
        model_id: the model.
        asked: the candidate and the allowance it was found for; None before the first answer.

    Yields:
        Values of the status, the verdict and what has arrived.

    Raises:
        UserError: if there is no answer yet.
    """
    if asked is None:
        raise UserError(words("trade_offs.smallest_first", button=words("trade_offs.smallest_button")))
    candidate, allowance = asked
    assert candidate.removed_fraction is not None
    wanted = engine.recipe(model_id, candidate.method, candidate.policy, candidate.removed_fraction)
    measured = Measured([wanted])

    def show(progress: Progress) -> list[Any]:
        arrived = measured.arrival if measured.take(progress) else gr.skip()
        return [progress_html(progress, words), gr.skip(), arrived]

    yield from engine.relay(engine.compare(model_id, (wanted,)), show)
    yield [status_html(), verdict(candidate, allowance, measured.points, words), gr.skip()]
