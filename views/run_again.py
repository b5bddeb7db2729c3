"""A run measured again with one change, and how long it takes: what the trade-offs tab does with the chosen run."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import gradio as gr

from compression.errors import UserError
from compression.recipe import OWN, Recipe
from compression.session import RunPoint, Session, report_point, timings_of
from compression.types import Progress
from views import engine
from views.engine import MAX_WINDOWS, WINDOW
from views.run_words import run_label, write_quality
from views.runs import Arrival, Measured, now
from views.texts import Words
from views.trade_scene import Choice, scene_of
from views.widgets import progress_html, status_html

CHANGES = ("removed_fraction", "method", "policy", "seed")
"""What a run can be repeated with."""
FROM_DENSE = 0.2
"""Share that is removed where a method is tried on the dense model."""
SEEDS = 8
"""So many calibration seeds are offered."""


def new_values(point: RunPoint | None, what: str | None, words: Words) -> list[tuple[str, str]]:
    """What a setting of a run can be changed to, as entries of a list."""
    if point is None or point.recipe is None or what is None:
        return []
    recipe = point.recipe
    if what == "removed_fraction":
        shares = [step / 100 for step in range(5, 96)]
        return [(words.percent(share), f"{share:g}") for share in shares if share != recipe.removed_fraction]
    if what == "method":
        return [(words.name("method", m), m) for m in engine.live_methods(recipe.model_id) if m != recipe.method]
    if what == "policy":
        policies = engine.live_policies(recipe.model_id)
        return [(words.name("policy_choice", each), each) for each in policies if each != recipe.policy]
    return [(str(seed), str(seed)) for seed in range(SEEDS) if seed != recipe.seed]


def changes_of(point: RunPoint | None) -> tuple[str, ...]:
    """What a run can be repeated with."""
    if point is None or point.recipe is None:
        return ()
    return ("method",) if point.is_dense else CHANGES


def changed_recipe(point: RunPoint | None, what: str | None, value: Any, words: Words) -> Recipe:
    """A run's recipe with one change.

    Raises:
        UserError: if nothing says how the run was made, or nothing would change.
    """
    if point is None:
        raise UserError(words("trade_offs.run_none"))
    recipe = point.recipe
    if recipe is None:
        raise UserError(words("trade_offs.repeat_no_recipe"))
    if what not in changes_of(point) or value in (None, "", []):
        raise UserError(words("trade_offs.repeat_no_value"))
    if what == "removed_fraction":
        changed = replace(recipe, removed_fraction=float(value))
    elif what == "seed":
        changed = replace(recipe, seed=int(value))
    elif what == "policy":
        changed = replace(recipe, policy=str(value))
    elif point.is_dense:
        changed = replace(recipe, method=str(value), policy=OWN, removed_fraction=FROM_DENSE)
    else:
        changed = replace(recipe, method=str(value), settings=())  # settings are a method's own
    if changed == recipe:
        raise UserError(words("trade_offs.repeat_same"))
    return changed


def repeat(
    words: Words, own: Session, choice: Choice, what: str | None, value: Any, texts: dict[str, str]
) -> Generator[list[Any], None, None]:
    """Measure the chosen run again with one change, on the same text where that is here.

    Args:
        words: the language.
        own: the visitor's runs.
        choice: what is chosen.
        what: one of `CHANGES`.
        value: the new one.
        texts: SHA-256 → text of the visitor's.

    Yields:
        Values of the status and what has arrived.

    Raises:
        UserError: if that cannot be.
    """
    point = scene_of(own, choice).run
    wanted = changed_recipe(point, what, value, words)
    assert point is not None
    words = words.about(point.measure.metric == "wer")
    parent = "" if point.is_dense else point.key
    pasted = texts.get(point.measure.fingerprint)
    if pasted is not None:
        made = yield from _measure_pasted(words, wanted, pasted, parent)
    else:
        measured = Measured([wanted], parent)

        def show(progress: Progress) -> list[Any]:
            arrived = measured.arrival if measured.take(progress) else gr.skip()
            return [progress_html(progress, words), arrived]

        yield from engine.relay(engine.compare(wanted.model_id, (wanted,)), show)
        made = measured.points[-1]
    said = [words("trade_offs.repeated", run=run_label(made, words), value=write_quality(made, words))]
    if made.measure != point.measure:
        on, label = words.sentence(made.measure.measured_on), words("trade_offs.measured_on")
        said.append(words("trade_offs.repeated_elsewhere", text=on, label=label))
    yield [status_html(" ".join(said)), gr.skip()]


def _measure_pasted(words: Words, wanted: Recipe, text: str, parent: str) -> Generator[list[Any], None, RunPoint]:
    """Measure a compressed model on a text of the visitor's, as the tab “Test live” does."""
    wanted = wanted.resolved()
    work = engine.workbench().perplexity(wanted, text, window=WINDOW, max_windows=MAX_WINDOWS)
    report = yield from engine.relay(work, lambda progress: [progress_html(progress, words), gr.skip()])
    made = replace(report_point(report, wanted, now()), parent=parent)
    yield [gr.skip(), Arrival((made,))]
    return made


def time_run(words: Words, own: Session, choice: Choice) -> Generator[list[Any], None, None]:
    """Measure how long the chosen run takes, beside the dense model.

    Yields:
        Values of the status and what has arrived.

    Raises:
        UserError: if nothing says how the run was made.
    """
    point = scene_of(own, choice).run
    if point is None:
        raise UserError(words("trade_offs.run_none"))
    if point.recipe is None:
        raise UserError(words("trade_offs.repeat_no_recipe"))
    speech = point.measure.metric == "wer"
    words = words.about(speech)
    bench = engine.workbench()
    work: Any = bench.speech_latency(point.recipe) if speech else bench.latency(point.recipe)
    report = yield from engine.relay(work, lambda progress: [progress_html(progress, words), gr.skip()])
    timings = timings_of(report, point.recipe)
    timing = timings[-1][1]
    said = words(
        "trade_offs.latency_done", prefill=words.number(timing.prefill_ms), decode=words.number(timing.decode_ms)
    )
    yield [status_html(said), Arrival(timings=timings)]
