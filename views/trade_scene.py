"""What the trade-offs tab shows of a choice: the pictures, the facts of a run, two runs beside each other, the CSV."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from compression.errors import UserError
from compression.recipe import Recipe
from compression.runs_csv import MAX_CHARACTERS, from_csv, to_csv
from compression.session import COMPARED, Cost, Difference, Measure, RunPoint, Session, difference, trade_off
from compression.smallest import foretold
from views import engine
from views.figures import run_map
from views.figures import trade_off as picture_of
from views.run_words import change, measure_label, plain, points_of_per_cent, run_label, write_quality
from views.runs import is_published, measure_key, measures_of, shown_with, without_examples
from views.texts import Words
from views.widgets import Table, View, table_value

MAX_BYTES = 4 * MAX_CHARACTERS
"""Of a CSV: every character takes four bytes at most."""


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
        ("trade_offs.fact.size", megabytes(point.stored_bits, words)),
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
        return megabytes(point.stored_bits, words)

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


def megabytes(bits: int, words: Words) -> str:
    """A number of bits as megabytes."""
    return words("trade_offs.megabytes", value=words.number(bits / 8 / picture_of.MB, 1))
