"""Trade-offs: every measured run as a point, the frontier, where each came from, and the smallest model that will do.

The visitor's runs live in the browser (`views.runs`); those that came with the app are put beside them when they are
shown. All pictures of the tab are made by `shown`, whatever was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from compression.errors import UserError
from compression.recipe import OWN, Recipe
from compression.runs_csv import MAX_CHARACTERS, REQUIRED, from_csv, to_csv
from compression.session import (
    COMPARED,
    Cost,
    Difference,
    Measure,
    RunPoint,
    Session,
    difference,
    report_point,
    timings_of,
    trade_off,
)
from compression.smallest import Candidate, Smallest, foretold, smallest_measured, verified
from compression.types import Progress
from views import engine
from views.context import Context
from views.figures import run_map
from views.figures import trade_off as picture_of
from views.run_words import (
    change,
    choices,
    measure_label,
    plain,
    points_of_per_cent,
    run_label,
    write_quality,
)
from views.runs import (
    MAX_TEXTS,
    Arrival,
    Measured,
    is_published,
    measure_key,
    measures_of,
    now,
    read,
    renamed,
    shown_with,
    without_examples,
)
from views.tabs.live import MAX_WINDOWS, WINDOW
from views.texts import Words
from views.widgets import (
    ChartPanel,
    Table,
    View,
    alert_html,
    data_table,
    progress_html,
    status_area,
    status_html,
    table_value,
)

COSTS: tuple[Cost, ...] = ("size", "decode", "prefill")
ALLOWANCE = 5.0
"""Per cent that the quality may lose, at first."""
MAX_BYTES = 4 * MAX_CHARACTERS
"""Of a CSV: every character takes four bytes at most."""
CHANGES = ("removed_fraction", "method", "policy", "seed")
"""What a run can be repeated with."""
FROM_DENSE = 0.2
"""Share that is removed where a method is tried on the dense model."""
SEEDS = 8
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Choice:
    """What the visitor looks at.

    Attributes:
        model_id: the chosen model.
        measure: key of a measure; the model's first one where that is not there.
        cost: the other axis.
        budget: in megabytes or milliseconds, where one is set.
        everything: whether the map shows all runs.
        run: key of the chosen run.
        other: key of the run it is compared with.
    """

    model_id: str
    measure: str | None = None
    cost: Cost = "size"
    budget: float | None = None
    everything: bool = False
    run: str | None = None
    other: str | None = None


@dataclass(frozen=True)
class Scene:
    """A choice, looked up in the runs there are.

    Attributes:
        own: the visitor's runs.
        session: those and what came with the app.
        measures: in the order of the list.
        measure: the chosen one; None where there is no run at all.
        run: the chosen run.
        other: the run it is compared with.
    """

    own: Session
    session: Session
    measures: tuple[Measure, ...]
    measure: Measure | None
    run: RunPoint | None
    other: RunPoint | None


def scene_of(own: Session, choice: Choice) -> Scene:
    """Look a choice up; what is not there any more is replaced by what is shown at first."""
    session = shown_with(own, choice.model_id)
    measures = tuple(measures_of(session, choice.model_id))
    measure = next((each for each in measures if measure_key(each) == choice.measure), None)
    measure = measure or (measures[0] if measures else None)
    by_key = {point.key: point for point in session.points}
    run = by_key.get(choice.run or "")
    if measure is not None and (run is None or run.measure != measure):
        run = _first_run(own, session, measure)
    other = by_key.get(choice.other or "")
    return Scene(own, session, measures, measure, run, None if other == run else other)


def _first_run(own: Session, session: Session, measure: Measure) -> RunPoint | None:
    """The visitor's latest run, or else the one of best quality that is compressed."""
    mine = [point for point in own.of(measure) if not point.is_dense]
    if mine:
        return mine[-1]
    compressed = [point for point in session.of(measure) if not point.is_dense]
    return min(compressed or session.of(measure), key=lambda point: point.quality, default=None)


# --- what is shown ----------------------------------------------------------------------------------------------


def budget_in_units(budget: float | None, cost: Cost) -> float | None:
    """A budget as the engine wants it, in bytes or milliseconds; None where there is none."""
    if not budget or budget < 0:
        return None
    return budget * picture_of.MB if cost == "size" else budget


def pareto_view(scene: Scene, choice: Choice, words: Words) -> View | None:
    """The picture of the chosen measure."""
    if scene.measure is None:
        return None
    picture = trade_off(scene.session, scene.measure, choice.cost, budget_in_units(choice.budget, choice.cost))
    reports = engine.forecasts_of(scene.measure.model_id) if scene.measure.metric == "perplexity" else ()
    points = scene.session.of(scene.measure)
    dense = next((point for point in points if point.is_dense), None)
    told = {point.key: foretold(reports, dense, point) for point in points} if dense and reports else {}
    predicted = {key: value for key, value in told.items() if value is not None}
    return picture_of.view(picture, scene.session, scene.run.key if scene.run else "", predicted, words)


def map_view(scene: Scene, choice: Choice, words: Words) -> View | None:
    """The map of the chosen measure: all of it, or the frontier, the visitor's runs and the chosen one."""
    if scene.measure is None:
        return None
    points = scene.session.of(scene.measure)
    keys = {point.key for point in points}
    if not choice.everything:
        mine = {point.key for point in scene.own.points}
        frontier = set(trade_off(scene.session, scene.measure, "size").frontier)
        keys &= mine | frontier | ({scene.run.key} if scene.run else set())
    rows = run_map.shown_rows(scene.session, scene.measure, keys)
    return run_map.view(rows, scene.run.key if scene.run else "", len(points) - len(rows), words)


def facts_html(scene: Scene, words: Words) -> str:
    """Everything about the chosen run."""
    point = scene.run
    if point is None:
        return f'<p class="run-facts-none">{escape(words("trade_offs.run_none"))}</p>'
    words = words.about(point.measure.metric == "wer")
    facts = [
        ("trade_offs.fact.quality", picture_of.quality_with_bar(point, words)),
        ("trade_offs.fact.size", words("trade_offs.megabytes", value=words.number(point.stored_bits / 8e6, 1))),
        ("trade_offs.fact.times", _times(scene, point, words)),
        ("trade_offs.fact.from", _from(scene, point, words)),
        ("trade_offs.fact.settings", _settings(point, words)),
        ("trade_offs.fact.measured_on", measure_label(point.measure, point.origin == "published", words)),
        ("trade_offs.fact.origin", _origin(scene, point, words)),
        ("trade_offs.fact.made", point.made[:16].replace("T", " ") or words("card.none")),
    ]
    items = "".join(f"<dt>{escape(words(key))}</dt><dd>{escape(value)}</dd>" for key, value in facts)
    return f'<h3>{escape(run_label(point, words))}</h3><dl class="run-facts">{items}</dl>'


def _times(scene: Scene, point: RunPoint, words: Words) -> str:
    timing = scene.session.timing(point)
    if timing is None:
        return words("trade_offs.fact.no_times")
    return words(
        "trade_offs.fact.times_value",
        prefill=words.number(timing.prefill_ms),
        decode=words.number(timing.decode_ms),
        convention=words.sentence(timing.convention),
    )


def _from(scene: Scene, point: RunPoint, words: Words) -> str:
    if point.is_dense:
        return words("card.none")
    of_measure = scene.session.of(point.measure)
    dense = next((each for each in of_measure if each.is_dense), None)
    parent = next((each for each in of_measure if each.key == point.parent), dense)
    if parent is None:
        return words("card.none")
    name = words("trade_offs.fact.from_dense") if parent.is_dense else run_label(parent, words)
    made = run_map.changes(difference(scene.session, parent, point), words)
    return f"{name} ({', '.join(made)})"


def _settings(point: RunPoint, words: Words) -> str:
    recipe = point.recipe
    if recipe is None:
        return words("trade_offs.fact.unknown_settings")
    usual = Recipe(recipe.model_id, recipe.method, recipe.policy, recipe.removed_fraction)
    differing = [name for name in COMPARED if getattr(recipe, name) != getattr(usual, name)]
    said = [f"{words(f'trade_offs.setting.{name}')} = {getattr(recipe, name)}" for name in differing]
    return ", ".join(said) or words("trade_offs.fact.no_settings")


def _origin(scene: Scene, point: RunPoint, words: Words) -> str:
    if point.origin == "published":
        return words("trade_offs.fact.published", source=point.source or words("card.none"))
    mine = any(each.key == point.key for each in scene.own.points)
    return words("trade_offs.fact.own" if mine else "trade_offs.fact.example")


def difference_view(scene: Scene, words: Words) -> tuple[str, str]:
    """The chosen run and the other one: a sentence, and the value of a table."""
    before, after = scene.run, scene.other
    if before is None or after is None:
        return "", ""
    words = words.about(before.measure.metric == "wer")
    made = difference(scene.session, before, after)
    parts = [
        words(
            "trade_offs.compared",
            before=plain(run_label(before, words)),
            after=plain(run_label(after, words)),
            changes=", ".join(run_map.changes(made, words)),
        )
    ]
    if made.quality is None:
        parts.append(words("trade_offs.compared_no_quality"))
    if made.decode is None:
        parts.append(words("trade_offs.compared_no_time"))
    return " ".join(parts), table_value(_difference_table(scene.session, before, after, made, words))


def _difference_table(session: Session, before: RunPoint, after: RunPoint, made: Difference, words: Words) -> Table:
    first, second = session.timing(before), session.timing(after)

    def size(point: RunPoint) -> str:
        return words("trade_offs.megabytes", value=words.number(point.stored_bits / 8e6, 1))

    def changed(share: float | None) -> str:
        return "" if share is None else change(share, words)

    quality = ""
    if made.quality is not None:
        quality = points_of_per_cent(made.quality, words) if words.speech else change(made.quality, words)
    rows: list[tuple[str, str, str, str]] = [
        (words("trade_offs.fact.size"), size(before), size(after), changed(made.size)),
        (words("trade_offs.fact.quality"), _own_quality(before, words), _own_quality(after, words), quality),
    ]
    if first is not None and second is not None:
        rows += [
            (words("trade_offs.column.decode"), *_written(first.decode_ms, second.decode_ms, made.decode, words)),
            (words("trade_offs.column.prefill"), *_written(first.prefill_ms, second.prefill_ms, made.prefill, words)),
        ]
    rows += [
        (words(f"trade_offs.setting.{name}"), _value(name, old, words), _value(name, new, words), "")
        for name, old, new in made.settings
    ]
    headers = tuple(words(f"trade_offs.column.{key}") for key in ("setting", "before", "after", "change"))
    return Table("difference", headers, tuple(rows))


def _own_quality(point: RunPoint, words: Words) -> str:
    """A quality with the name of its metric, which the other run's need not be."""
    return write_quality(point, words.about(point.measure.metric == "wer"))


def _written(before: float, after: float, share: float | None, words: Words) -> tuple[str, str, str]:
    return words.number(before), words.number(after), "" if share is None else change(share, words)


def _value(name: str, value: str, words: Words) -> str:
    """A setting's value for people."""
    if name in ("method", "policy"):
        return words.name(name, value)
    return words.percent(float(value)) if name == "removed_fraction" else value


# --- the smallest model -----------------------------------------------------------------------------------------


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
            size=_megabytes(best.stored_bits, words),
            dense=_megabytes(engine.bits_of(model_id)[0], words),
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
        size=_megabytes(best.stored_bits, words),
    )


def _megabytes(bits: int, words: Words) -> str:
    return words("trade_offs.megabytes", value=words.number(bits / 8e6, 1))


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
        numbers = (each.stored_bits / 8e6, each.removed_fraction, each.change, each.low, each.high, each.sure_fraction)
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
                size=_megabytes(measured.stored_bits, words),
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


# --- one run: again, and its time -------------------------------------------------------------------------------


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


# --- CSV --------------------------------------------------------------------------------------------------------


def csv_text(own: Session, choice: Choice) -> str:
    """The visitor's runs, and all that are shown for the chosen measure."""
    scene = scene_of(own, choice)
    points = scene.session.of(scene.measure) if scene.measure is not None else ()
    mine = [point for point in own.points if point.measure != scene.measure]
    return to_csv(scene.session, [*points, *mine])


def read_csv(path: str, own: Session, model_id: str, words: Words) -> tuple[Session, str]:
    """The session with the runs of a file, and what is said about them.

    Raises:
        UserError: if the file is refused; then nothing has changed.
    """
    file = Path(path)
    size = file.stat().st_size
    if size > MAX_BYTES:
        most = words.number(MAX_BYTES / picture_of.MB, 0)
        raise UserError(words("trade_offs.csv_large", size=words.number(size / picture_of.MB), most=most))
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(words("trade_offs.csv_no_text")) from error
    found = from_csv(text, shown_with(own, model_id))
    said = [words("trade_offs.csv_done", runs=found.runs, new=found.new)]
    if found.other_measures:
        labels = "; ".join(
            measure_label(each, is_published(found.session, each), words) for each in found.other_measures
        )
        label = words("trade_offs.measured_on")
        said.append(words("trade_offs.csv_measures", label=label, measures=labels))
    if found.ignored:
        said.append(words("trade_offs.csv_ignored", names=", ".join(found.ignored)))
    return without_examples(found.session), " ".join(said)


# --- the page ---------------------------------------------------------------------------------------------------


class _Tab:
    """The components, and what fills them."""

    def __init__(self, context: Context) -> None:
        """Lay everything out on the runs that came with the app."""
        self.context, self.words = context, context.words
        words = self.words
        self.choice = Choice(engine.default_model_id())
        self.scene = scene_of(Session(), self.choice)
        context.model_line()
        gr.Markdown(words("trade_offs.intro"), elem_classes=["hint"])
        self._chart()
        self._smallest()
        self._run()
        self._map()

    @property
    def chosen(self) -> list[Any]:
        """Components that a `Choice` is read from, behind the kept runs."""
        return [
            self.context.runs.kept,
            self.context.model_id,
            self.measure,
            self.cost,
            self.budget,
            self.everything,
            self.run,
            self.other,
        ]

    @property
    def filled(self) -> list[Any]:
        """Components that `shown` fills."""
        return [
            self.notice,
            self.measure,
            self.cost,
            self.budget,
            *self.pareto.outputs,
            self.run,
            self.facts,
            self.name,
            self.remove,
            self.what,
            self.value,
            self.repeat_hint,
            self.other,
            self.difference,
            self.difference_table,
            *self.map.outputs,
        ]

    def _chart(self) -> None:
        words, scene = self.words, self.scene
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.title')}", elem_classes=["figure-title"])
            with gr.Row(elem_classes=["controls"]):
                self.measure = gr.Dropdown(
                    self._measures(scene),
                    value=measure_key(scene.measure) if scene.measure else None,
                    label=words("trade_offs.measured_on"),
                    info=words("trade_offs.measured_on_info"),
                    elem_id="trade-measure",
                    min_width=280,
                    scale=2,
                )
                self.cost = gr.Radio(
                    self._costs(scene),
                    value=self.choice.cost,
                    label=words("trade_offs.cost"),
                    elem_id="trade-cost",
                    min_width=260,
                )
                self.budget = gr.Number(
                    0, label=words("trade_offs.budget.size"), elem_id="trade-budget", min_width=150, scale=0
                )
            self.notice = status_area("runs-status")
            self.pareto = ChartPanel(
                words,
                words("trade_offs.title"),
                picture_of.HEIGHT,
                pareto_view(scene, self.choice, words),
                "pareto",
                words("trade_offs.empty", compare=words("compare.tab")),
                inside=True,
            )
            with gr.Row(elem_classes=["controls"]):
                self.csv_out = gr.Button(words("trade_offs.csv_out"), size="md", scale=0, elem_id="runs-csv-out")
                self.csv_in = gr.UploadButton(
                    words("trade_offs.csv_in"), size="md", scale=0, elem_id="runs-csv-in", type="filepath"
                )
            gr.Markdown(words("trade_offs.csv_hint", columns=", ".join(REQUIRED)), elem_classes=["hint"])
            self.csv_status = status_area("runs-csv-status")
            self.carrier = gr.Textbox("", elem_classes=["carrier"], show_label=False, container=False)

    def _smallest(self) -> None:
        words = self.words
        spoken = words.about(engine.is_speech(self.choice.model_id))
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.smallest_title')}", elem_classes=["figure-title"])
            with gr.Row(elem_classes=["controls", "bottom"]):
                self.allowance = gr.Number(
                    ALLOWANCE,
                    label=spoken("trade_offs.smallest_allowance"),
                    elem_id="smallest-allowance",
                    min_width=200,
                    scale=0,
                )
                self.find = gr.Button(
                    words("trade_offs.smallest_button"),
                    variant="primary",
                    size="md",
                    scale=0,
                    elem_id="smallest-button",
                )
            self.answer = gr.Markdown(self._hint(spoken), elem_id="smallest-answer", elem_classes=["summary"])
            with gr.Accordion(words("trade_offs.smallest_table"), open=False):
                self.candidates = data_table(None, words)
            self.asked = gr.State(None)
            with gr.Row(elem_classes=["controls"]):
                self.verify = gr.Button(
                    words("trade_offs.smallest_verify"),
                    size="md",
                    scale=0,
                    interactive=False,
                    elem_id="smallest-verify",
                )
                self.verify_cancel = gr.Button(words("button.cancel"), interactive=False, size="md", scale=0)
                with gr.Column(min_width=240, elem_classes=["tight"]):
                    self.verify_cost = gr.Markdown("", elem_classes=["cost"])
                    self.verify_status = status_area("smallest-status")
            self.verdict = gr.Markdown("", elem_id="smallest-verdict", elem_classes=["summary"])

    @staticmethod
    def _hint(words: Words) -> str:
        return words("trade_offs.smallest_hint", button=words("trade_offs.smallest_button"))

    def _run(self) -> None:
        words, scene = self.words, self.scene
        point = scene.run
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.run_title')}", elem_classes=["figure-title"])
            self.run = gr.Dropdown(
                self._runs(scene),
                value=point.key if point else None,
                label=words("trade_offs.run"),
                elem_id="run-chosen",
                min_width=280,
            )
            self.facts = gr.HTML(
                facts_html(scene, words), elem_id="run-facts", js_on_load=None, apply_default_css=False
            )
            with gr.Row(elem_classes=["controls", "bottom"]):
                self.name = gr.Textbox(
                    point.name if point else "",
                    label=words("trade_offs.name"),
                    max_lines=1,
                    elem_id="run-name",
                    min_width=220,
                )
                self.rename = gr.Button(words("trade_offs.rename"), size="md", scale=0, elem_id="run-rename")
                self.remove = gr.Button(
                    words("trade_offs.remove"), size="md", scale=0, interactive=False, elem_id="run-remove"
                )
            self.run_status = status_area("run-status")
            with gr.Row(elem_classes=["controls"]):
                self.time = gr.Button(words("trade_offs.latency"), size="md", scale=0, elem_id="run-latency")
                self.time_cancel = gr.Button(words("button.cancel"), interactive=False, size="md", scale=0)
                with gr.Column(min_width=240, elem_classes=["tight"]):
                    self.context.cost_line(
                        [self.run, self.context.runs.kept, self.context.model_id], self._seconds_to_time
                    )
                    self.time_status = status_area("run-latency-status")
            gr.Markdown(f"### {words('trade_offs.repeat_title')}", elem_classes=["figure-title"])
            with gr.Row(elem_classes=["controls"]):
                what = changes_of(point)
                self.what = gr.Dropdown(
                    self._whats(what),
                    value=what[0] if what else None,
                    label=words("trade_offs.what"),
                    elem_id="repeat-what",
                    min_width=200,
                )
                self.value = gr.Dropdown(
                    new_values(point, what[0] if what else None, words),
                    value=None,
                    label=words("trade_offs.value"),
                    elem_id="repeat-value",
                    min_width=200,
                )
            self.repeat_hint = gr.Markdown(self._repeat_hint(point), elem_classes=["hint"])
            with gr.Row(elem_classes=["controls"]):
                self.repeat = gr.Button(
                    words("trade_offs.repeat"), variant="primary", size="md", scale=0, elem_id="run-repeat"
                )
                self.repeat_cancel = gr.Button(words("button.cancel"), interactive=False, size="md", scale=0)
                with gr.Column(min_width=240, elem_classes=["tight"]):
                    self.context.cost_line(
                        [self.run, self.what, self.value, self.context.runs.kept, self.context.model_id],
                        self._seconds_to_repeat,
                    )
                    self.repeat_status = status_area("run-repeat-status")
            self.other = gr.Dropdown(
                self._others(scene),
                value=None,
                label=words("trade_offs.other"),
                info=words("trade_offs.other_info"),
                elem_id="run-other",
                min_width=280,
            )
            self.difference = gr.Markdown("", elem_id="run-difference", elem_classes=["summary"])
            self.difference_table = data_table(None, words)

    def _map(self) -> None:
        words = self.words
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.map_title')}", elem_classes=["figure-title"])
            self.everything = gr.Checkbox(False, label=words("trade_offs.map_all"), elem_id="map-all")
            self.map = ChartPanel(
                words,
                words("trade_offs.map_title"),
                run_map.HEIGHT,
                map_view(self.scene, self.choice, words),
                "run-map",
                words("trade_offs.empty", compare=words("compare.tab")),
                inside=True,
            )

    # Entries of the lists

    def _measures(self, scene: Scene) -> list[tuple[str, str]]:
        return [
            (measure_label(each, is_published(scene.session, each), self.words), measure_key(each))
            for each in scene.measures
        ]

    def _costs(self, scene: Scene) -> list[tuple[str, str]]:
        words = self.words.about(scene.measure is not None and scene.measure.metric == "wer")
        return [(words(f"trade_offs.cost.{cost}"), cost) for cost in COSTS]

    def _runs(self, scene: Scene) -> list[tuple[str, str]]:
        return [] if scene.measure is None else choices(scene.session.of(scene.measure), self.words)

    def _others(self, scene: Scene) -> list[tuple[str, str]]:
        return choices((point for point in scene.session.points if point != scene.run), self.words)

    def _whats(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(self.words(f"trade_offs.what.{name}"), name) for name in names]

    def _repeat_hint(self, point: RunPoint | None) -> str:
        if point is not None and point.recipe is None:
            return self.words("trade_offs.repeat_no_recipe")
        if point is not None and point.is_dense:
            return self.words("trade_offs.repeat_dense", removed=self.words.percent(FROM_DENSE))
        return ""

    # Estimates

    def _point(self, key: str | None, kept: str | None, model_id: str) -> RunPoint | None:
        return scene_of(read(kept)[0], Choice(model_id, run=key)).session.point(key) if key else None

    def _seconds_to_time(self, key: str | None, kept: str | None, model_id: str) -> list[float | None]:
        point = self._point(key, kept, model_id)
        if point is None or point.recipe is None:
            return [None]
        task = "speech-latency" if point.measure.metric == "wer" else "latency"
        recipe = point.recipe
        return [engine.seconds_for(recipe.model_id, recipe.method, recipe.policy, recipe.removed_fraction, task)]

    def _seconds_to_repeat(
        self, key: str | None, what: str | None, value: Any, kept: str | None, model_id: str
    ) -> list[float | None]:
        return engine.seconds_for_recipe(changed_recipe(self._point(key, kept, model_id), what, value, self.words))

    # What is filled

    def shown(self, kept: str | None, *chosen: Any, another: bool = False) -> list[Any]:
        """New values for `filled`.

        Args:
            kept: the visitor's runs.
            *chosen: the fields of a `Choice`.
            another: whether another run has just been chosen: then it starts without a change to repeat it with.
        """
        own, problem = read(kept)
        choice = Choice(*chosen)
        scene, words = scene_of(own, choice), self.words
        spoken = words.about(scene.measure is not None and scene.measure.metric == "wer")
        budget = "size" if choice.cost == "size" else "time"
        point, other = scene.run, scene.other
        what = changes_of(point)
        pareto, drawn = pareto_view(scene, choice, words), map_view(scene, choice, words)
        compared, table = difference_view(scene, words)
        mine = point is not None and any(each.key == point.key for each in own.points)
        same = not another and point is not None and point.key == choice.run
        return [
            alert_html(words.sentence(problem)) if problem else status_html(),
            gr.update(
                choices=self._measures(scene), value=measure_key(scene.measure) if scene.measure is not None else None
            ),
            gr.update(choices=self._costs(scene), value=choice.cost),
            gr.update(label=spoken(f"trade_offs.budget.{budget}"), value=choice.budget or 0),
            *(self.pareto.cleared() if pareto is None else self.pareto.updates(pareto)),
            gr.update(choices=self._runs(scene), value=point.key if point else None),
            facts_html(scene, words),
            point.name if point else "",
            gr.update(interactive=mine),
            *([gr.skip(), gr.skip()] if same else self._changes(point, what)),
            self._repeat_hint(point),
            gr.update(choices=self._others(scene), value=other.key if other else None),
            compared,
            table,
            *(self.map.cleared() if drawn is None else self.map.updates(drawn)),
        ]

    def _changes(self, point: RunPoint | None, what: tuple[str, ...]) -> list[Any]:
        first = what[0] if what else None
        return [
            gr.update(choices=self._whats(what), value=first),
            gr.update(choices=new_values(point, first, self.words), value=None),
        ]

    # Events

    def wire(self) -> None:
        """Connect everything."""
        context, words = self.context, self.words
        kept, arrived, texts = context.runs.kept, context.runs.arrived, context.runs.texts
        show: dict[str, Any] = {**QUIET, "trigger_mode": "always_last", "queue": False}
        gr.on(
            [kept.change, self.measure.input, self.cost.input, self.budget.input, self.everything.input],
            self.shown,
            self.chosen,
            self.filled,
            **show,
        )
        self.other.input(self.shown, self.chosen, self.filled, **show)
        self.run.input(self._another, self.chosen, self.filled, **show)
        for panel in (self.pareto, self.map):
            panel.chart.click(self._picked, self.chosen, self.filled, **show)
        context.model_id.change(self._other_model, self.chosen, [*self.filled, *self._of_model], **QUIET)
        self.what.input(
            lambda *values: gr.update(choices=new_values(self._point(*values[:3]), values[3], words), value=None),
            [self.run, kept, context.model_id, self.what],
            self.value,
            **show,
        )
        arrived.change(self._keep, [kept, arrived, texts], [kept, texts, self.notice], **QUIET)
        self._wire_run(kept)
        self._wire_csv(kept)
        self._wire_smallest(kept, arrived)
        self._wire_work(kept, arrived, texts)

    @property
    def _of_model(self) -> list[Any]:
        """What belongs to the chosen model, beside `filled`."""
        return [self.allowance, self.answer, self.candidates, self.asked, self.verify, self.verify_cost, self.verdict]

    def _other_model(self, kept: str | None, model_id: str, *rest: Any) -> list[Any]:
        """Everything for another model: nothing of the old one is chosen any more."""
        _, cost, _, everything, _, _ = rest
        spoken = self.words.about(engine.is_speech(model_id))
        return [
            *self.shown(kept, model_id, None, cost, None, everything, None, None),
            gr.update(label=spoken("trade_offs.smallest_allowance")),
            self._hint(spoken),
            "",
            None,
            gr.update(interactive=False),
            "",
            "",
        ]

    def _another(self, *values: Any) -> list[Any]:
        """Another run was chosen from the list."""
        return self.shown(*values, another=True)

    def _picked(
        self,
        kept: str | None,
        model_id: str,
        measure: str | None,
        cost: Cost,
        budget: float | None,
        everything: bool,
        run: str | None,
        other: str | None,
        event: gr.EventData,
    ) -> list[Any]:
        """A click on a point chooses its run."""
        picked = getattr(event, "picked", None) or run
        return self.shown(kept, model_id, measure, cost, budget, everything, picked, other, another=True)

    def _keep(self, kept: str | None, arrived: Arrival | None, texts: dict[str, str]) -> list[Any]:
        """What work has measured joins the kept runs."""
        if arrived is None:
            return [gr.skip(), gr.skip(), gr.skip()]
        own, _ = read(kept)
        try:
            own = own.with_points(arrived.points).with_timings(arrived.timings)
        except UserError as error:
            return [gr.skip(), gr.skip(), alert_html(self.words.sentence(str(error)))]
        if arrived.text is not None:
            texts = dict([*texts.items(), arrived.text][-MAX_TEXTS:])
        return [own.to_json(), texts, gr.skip()]

    def _attempt(self, change: Callable[[], tuple[Any, str]]) -> list[Any]:
        """New kept runs and what is said, or the sentence that says why not."""
        try:
            session, said = change()
        except UserError as error:
            return [gr.skip(), alert_html(self.words.sentence(str(error)))]
        return [session.to_json(), status_html(said)]

    def _wire_run(self, kept: gr.BrowserState) -> None:
        words = self.words

        def rename(stored: str | None, model_id: str, key: str | None, name: str) -> list[Any]:
            def change() -> tuple[Session, str]:
                own = read(stored)[0]
                named = renamed(own, shown_with(own, model_id), key or "", name)
                given = named.point(key or "").name
                return named, words("trade_offs.renamed", name=given) if given else words("trade_offs.unnamed")

            return self._attempt(change)

        def remove(stored: str | None, key: str | None) -> list[Any]:
            def change() -> tuple[Session, str]:
                own = read(stored)[0]
                if not any(point.key == key for point in own.points):
                    raise UserError(words("trade_offs.not_removed"))
                return own.without(key or ""), words("trade_offs.removed")

            return self._attempt(change)

        inputs = [kept, self.context.model_id, self.run, self.name]
        gr.on([self.rename.click, self.name.submit], rename, inputs, [kept, self.run_status], **QUIET)
        self.remove.click(remove, [kept, self.run], [kept, self.run_status], **QUIET)

    def _wire_csv(self, kept: gr.BrowserState) -> None:
        words = self.words

        def write(stored: str | None, *chosen: Any) -> str:
            return csv_text(read(stored)[0], Choice(*chosen))

        def bring(stored: str | None, model_id: str, path: str) -> list[Any]:
            return self._attempt(lambda: read_csv(path, read(stored)[0], model_id, words))

        save = "(text) => { explorer.save('runs.csv', text); return []; }"
        self.csv_out.click(write, self.chosen, self.carrier, **QUIET).then(None, self.carrier, None, js=save)
        self.csv_in.upload(bring, [kept, self.context.model_id, self.csv_in], [kept, self.csv_status], **QUIET)

    def _wire_smallest(self, kept: gr.BrowserState, arrived: gr.State) -> None:
        words, context = self.words, self.context

        def find(stored: str | None, model_id: str, value: float | None) -> list[Any]:
            try:
                allowance = allowance_of(value, words)
                said, found = smallest_answer(read(stored)[0], model_id, allowance, words)
            except UserError as error:
                return [gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), _alert(error)]
            best = found.best
            cost = ""
            if best is not None and best.removed_fraction is not None:
                wanted = engine.recipe(model_id, best.method, best.policy, best.removed_fraction)
                cost = context.cost_text(engine.seconds_for_recipe(wanted))
            return [
                said,
                table_value(candidates_table(found, words)),
                None if best is None else (best, allowance),
                gr.update(interactive=best is not None),
                cost,
                "",
                status_html(),
            ]

        def _alert(error: UserError) -> str:
            return alert_html(words.sentence(str(error)))

        answered = [
            *(self.answer, self.candidates, self.asked, self.verify, self.verify_cost, self.verdict),
            self.verify_status,
        ]
        inputs = [kept, context.model_id, self.allowance]
        gr.on([self.find.click, self.allowance.submit], find, inputs, answered, queue=False, **QUIET)

        def work(model_id: str, asked: tuple[Candidate, float] | None) -> Generator[list[Any], None, None]:
            yield from verify(words, model_id, asked)

        context.heavy(
            self.verify,
            self.verify_cancel,
            self.verify_status,
            work,
            [context.model_id, self.asked],
            [self.verdict, arrived],
        )

    def _wire_work(self, kept: gr.BrowserState, arrived: gr.State, texts: gr.State) -> None:
        words, context = self.words, self.context

        def again(
            what: str | None, value: Any, remembered: dict[str, str], stored: str | None, *chosen: Any
        ) -> Generator[list[Any], None, None]:
            yield from repeat(words, read(stored)[0], Choice(*chosen), what, value, remembered)

        def clock(stored: str | None, *chosen: Any) -> Generator[list[Any], None, None]:
            yield from time_run(words, read(stored)[0], Choice(*chosen))

        context.heavy(
            self.repeat,
            self.repeat_cancel,
            self.repeat_status,
            again,
            [self.what, self.value, texts, *self.chosen],
            [arrived],
        )
        context.heavy(self.time, self.time_cancel, self.time_status, clock, self.chosen, [arrived])


def build(context: Context) -> None:
    """Fill the tab."""
    _Tab(context).wire()
