"""What one visitor has measured: runs as points of quality against size and time, where each came from, what differs.

Two points share an axis only if their `Measure` is the same: model, text or recordings, and convention. Everything here
is plain Python on frozen values; the page keeps a `Session` as JSON and the command line writes it as CSV
(`compression.runs_csv`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, assert_never

import pydantic
import pydantic_core

from compression import store
from compression.analysis import AnyComparison, AnyReport, AnyRun, quality_range
from compression.errors import UserError
from compression.recipe import Recipe
from compression.speech.recordings import DEFAULT_RECORDINGS
from compression.texts import DEFAULT_CALIBRATION
from compression.types import (
    CalibrationSettings,
    LatencyReport,
    MethodInfo,
    PerplexityReport,
    SpeechLatencyReport,
    TranscriptionReport,
)

Metric = Literal["perplexity", "wer"]
Origin = Literal["measured", "published"]
Step = Literal["dense", "compressed", "quantised", "recovered"]
Cost = Literal["size", "prefill", "decode"]
"""What quality is set against: bytes of the whole model, or milliseconds."""

MAX_POINTS = 500
"""So many runs a session holds; a browser keeps some megabytes."""
MAX_NAME = 60
"""Characters of a run's name."""


@dataclass(frozen=True)
class Measure:
    """What a quality was measured on and how. Values of different measures are never set against each other.

    Attributes:
        metric: ``perplexity`` or ``wer`` (a share: 0.1 is 10 %); smaller is better.
        model_id: the dense model behind it: tokenizers differ, and perplexity with them.
        weights_hash: SHA-256 of its dense 16-bit weights; empty for a published figure.
        measured_on: name of the text or recordings.
        fingerprint: SHA-256 of their content; empty for a published figure.
        convention: how it was measured, in words.
    """

    metric: Metric
    model_id: str
    weights_hash: str
    measured_on: str
    fingerprint: str
    convention: str


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of one model, and of its dense original in the same minute.

    Attributes:
        prefill_ms: one prefill; of a speech model, the encoder on one window of 30 seconds.
        prefill_iqr_ms: interquartile range.
        decode_ms: a decoded token.
        decode_iqr_ms: interquartile range.
        dense_prefill_ms: of the dense model, interleaved.
        dense_decode_ms: likewise.
        convention: tokens, threads and device, in words; times of different conventions never share an axis.
    """

    prefill_ms: float
    prefill_iqr_ms: float
    decode_ms: float
    decode_iqr_ms: float
    dense_prefill_ms: float
    dense_decode_ms: float
    convention: str


@dataclass(frozen=True)
class RunPoint:
    """One measured, or published, model.

    Attributes:
        measure: what its quality was measured on.
        quality: perplexity or word error rate.
        stored_bits: of the whole model.
        method: compression method; ``dense`` for the original.
        policy: allocation policy; empty where there is none.
        removed_fraction: over the compressible sites, as asked for.
        origin: measured here, or published elsewhere.
        step: what made it.
        quality_low: lower end of its error bar, where there is one.
        quality_high: its upper end.
        recipe: what makes it again; None for what cannot be made here.
        name: what the visitor calls it; empty for a name made from method, policy and fraction.
        parent: key of the run that it was made from; empty where that is the dense model.
        made: date and time, ISO 8601.
        source: where a published figure stands.
    """

    measure: Measure
    quality: float
    stored_bits: int
    method: str
    policy: str = ""
    removed_fraction: float = 0.0
    origin: Origin = "measured"
    step: Step = "compressed"
    quality_low: float | None = None
    quality_high: float | None = None
    recipe: Recipe | None = None
    name: str = ""
    parent: str = ""
    made: str = ""
    source: str = ""

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that stay the same when a run is measured again, renamed or moved on the map."""
        made_of = self.recipe or (self.method, self.policy, self.removed_fraction, self.stored_bits, self.source)
        return store.content_key("run", self.measure, self.origin, self.step, made_of)[:12]

    @property
    def is_dense(self) -> bool:
        """Whether it is the original."""
        return self.step == "dense"


@dataclass(frozen=True)
class Session:
    """The runs of a session, in the order they came, and the times that were measured.

    Attributes:
        points: each key once.
        timings: recipe → its latest timing.
    """

    points: tuple[RunPoint, ...] = ()
    timings: tuple[tuple[Recipe, Timing], ...] = ()

    def point(self, key: str) -> RunPoint:
        """The run with this key.

        Raises:
            UserError: if there is none.
        """
        found = next((point for point in self.points if point.key == key), None)
        if found is None:
            raise UserError("This run is not in the session any more: choose one from the list.")
        return found

    def timing(self, point: RunPoint) -> Timing | None:
        """How long a run takes, where that was measured."""
        return None if point.recipe is None else dict(self.timings).get(point.recipe)

    def measures(self) -> tuple[Measure, ...]:
        """Each measure once, in the order of its first run."""
        return tuple(dict.fromkeys(point.measure for point in self.points))

    def of(self, measure: Measure) -> tuple[RunPoint, ...]:
        """The runs of one measure."""
        return tuple(point for point in self.points if point.measure == measure)

    def with_points(self, points: Iterable[RunPoint]) -> Session:
        """The session with more runs; one that is known keeps its place, its name and its parent.

        Raises:
            UserError: if that makes too many.
        """
        known = {point.key: point for point in self.points}
        for point in points:
            before = known.get(point.key)
            if before is not None:
                point = replace(point, name=point.name or before.name, parent=before.parent or point.parent)
            known[point.key] = point
        if len(known) > MAX_POINTS:
            raise UserError(
                f"A session holds {MAX_POINTS} runs, and these would make {len(known)}: remove some of them first."
            )
        return replace(self, points=tuple(known.values()))

    def with_timings(self, timings: Iterable[tuple[Recipe, Timing]]) -> Session:
        """The session with times of some recipes; a later one replaces an earlier one."""
        return replace(self, timings=tuple({**dict(self.timings), **dict(timings)}.items()))

    def renamed(self, key: str, name: str) -> Session:
        """The session with another name for one run; an empty one takes the name away.

        Raises:
            UserError: if there is no such run, or the name is too long or taken.
        """
        chosen, name = self.point(key), " ".join(name.split())
        if len(name) > MAX_NAME:
            raise UserError(f"A run's name has at most {MAX_NAME} characters, but {len(name)} were given: shorten it.")
        if name and any(point.name == name and point.key != key for point in self.points):
            raise UserError(f"Another run is called {name!r} already: choose another name.")
        return replace(
            self, points=tuple(replace(point, name=name) if point is chosen else point for point in self.points)
        )

    def without(self, key: str) -> Session:
        """The session without one run; what was made from it hangs where it hung."""
        gone = self.point(key)
        kept = (point for point in self.points if point is not gone)
        return replace(
            self,
            points=tuple(replace(each, parent=gone.parent) if each.parent == key else each for each in kept),
        )

    def to_json(self) -> str:
        """The session as text that `session_from_json` reads."""
        return pydantic_core.to_json(self, inf_nan_mode="strings").decode()


def session_from_json(text: str) -> Session:
    """Read a session that `Session.to_json` wrote.

    Raises:
        UserError: if the text is no session.
    """
    try:
        return pydantic.TypeAdapter(Session).validate_json(text)
    except pydantic.ValidationError as error:
        raise UserError(
            "The runs that this browser kept do not read any more (another version wrote them): measure again, or "
            "bring them in as CSV."
        ) from error


# --- from reports to points -------------------------------------------------------------------------------------


def measure_of(report: AnyReport) -> Measure:
    """What a measurement of a model was made on."""
    speech = isinstance(report, TranscriptionReport)
    source = report.source if isinstance(report, TranscriptionReport) else report.text
    return Measure(
        "wer" if speech else "perplexity",
        report.model_id,
        report.weights_hash,
        source.name,
        source.fingerprint,
        report.convention,
    )


def dense_point(report: AnyReport, made: str) -> RunPoint:
    """The dense model as a point."""
    return replace(_point(report, report, Recipe(report.model_id), made), policy="", step="dense")


def run_point(run: AnyRun, dense: AnyReport, recipe: Recipe, made: str, parent: str = "") -> RunPoint:
    """A run of a comparison as a point.

    Args:
        run: the run.
        dense: the dense model in the same comparison.
        recipe: what made the run; its policy may be called ``own``.
        made: date and time.
        parent: key of the run it was made from, if that is not the dense model.
    """
    return replace(_point(run, dense, replace(recipe, policy=run.policy), made), parent=parent)


def report_point(report: PerplexityReport, recipe: Recipe, made: str) -> RunPoint:
    """A compressed model that was measured by itself, on a text of the visitor's, as a point."""
    return _point(report, report, recipe, made)


def _point(measured: AnyReport | AnyRun, reference: AnyReport, recipe: Recipe, made: str) -> RunPoint:
    """What was measured as a point; `reference` says on what and how."""
    low, high = quality_range(measured) or (None, None)
    return RunPoint(
        measure_of(reference),
        measured.quality,
        measured.stored_bits,
        recipe.method,
        recipe.policy,
        recipe.removed_fraction,
        quality_low=low,
        quality_high=high,
        recipe=recipe,
        made=made,
    )


def comparison_points(comparison: AnyComparison, methods: Sequence[MethodInfo]) -> tuple[RunPoint, ...]:
    """The dense model and every run of a comparison.

    Args:
        comparison: measured.
        methods: the registered methods, whose default settings a recipe leaves out.
    """
    made = comparison.environment.date
    defaults = {method.name: {s.name: s.default for s in method.settings} for method in methods}
    points = [dense_point(comparison.dense, made)]
    for run in comparison.runs:
        settings = tuple(
            sorted(
                (name, float(value))
                for name, value in run.settings.items()
                if value is not None and value != defaults.get(run.method, {}).get(name)
            )
        )
        recipe = replace(
            _calibrated(comparison),
            method=run.method,
            policy=run.policy,
            removed_fraction=run.removed_fraction_target,
            seed=run.seed,
            settings=settings,
        )
        points.append(run_point(run, comparison.dense, recipe, made))
    return tuple(points)


def _calibrated(comparison: AnyComparison) -> Recipe:
    """A dense recipe with the comparison's calibration; the built-in text or recordings stay unnamed."""
    settings = comparison.calibration
    name = settings.source.name
    recipe = Recipe(
        comparison.model_id,
        calibration_text="" if name in (DEFAULT_CALIBRATION, DEFAULT_RECORDINGS) else name,
        num_sequences=settings.num_sequences,
        gradient_sequences=settings.gradient_sequences,
    )
    if isinstance(settings, CalibrationSettings):
        return replace(recipe, sequence_length=settings.sequence_length)
    return replace(recipe, language=settings.language, count_padding=settings.count_padding)


def timings_of(report: LatencyReport | SpeechLatencyReport, recipe: Recipe) -> tuple[tuple[Recipe, Timing], ...]:
    """Times of a compressed model and of its dense original, each under its recipe."""
    first = report.prefill if isinstance(report, LatencyReport) else report.encoder
    what = (
        f"prefill of {report.prompt_tokens} tokens"
        if isinstance(report, LatencyReport)
        else "encoder on a window of 30 seconds"
    )
    convention = f"{what}, {report.decode_tokens} decoded tokens, {report.threads} threads, {report.device}"

    def timing(label: str) -> Timing:
        return Timing(
            first[label].median_ms,
            first[label].iqr_ms,
            report.decode[label].median_ms,
            report.decode[label].iqr_ms,
            first["dense"].median_ms,
            report.decode["dense"].median_ms,
            convention,
        )

    dense = Recipe(report.model_id), timing("dense")
    return (dense,) if recipe.is_dense else (dense, (recipe, timing("compressed")))


# --- what the picture shows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """A run in the picture of quality against a cost.

    Attributes:
        point: the run.
        cost: bytes of the whole model, or milliseconds.
        spread: half the interquartile range of a time; None for bytes.
        dominated_by: key of a run that is at least as good in both and better in one; empty on the frontier.
        within_budget: whether its cost is at most the budget; also where none is set.
    """

    point: RunPoint
    cost: float
    spread: float | None
    dominated_by: str
    within_budget: bool


@dataclass(frozen=True)
class TradeOff:
    """One picture: the runs of one measure against one cost.

    Attributes:
        measure: the one measure of all of them.
        cost: what is on the other axis.
        timing: convention of the times; empty for bytes.
        runs: in the order of the session.
        frontier: keys of the runs that no other dominates, by cost.
        left_out: runs of this measure without a time of this convention.
        budget: the budget line, in bytes or milliseconds.
        best: key of the run of best quality within the budget; empty if none fits.
    """

    measure: Measure
    cost: Cost
    timing: str
    runs: tuple[Placed, ...]
    frontier: tuple[str, ...]
    left_out: int
    budget: float | None = None
    best: str = ""


def trade_off(session: Session, measure: Measure, cost: Cost, budget: float | None = None) -> TradeOff:
    """Set the runs of one measure against one cost.

    Times of another convention than the latest one's are left out: other threads or another machine are another axis.

    Args:
        session: all runs.
        measure: whose runs.
        cost: the other axis.
        budget: largest cost that is wanted, in bytes or milliseconds.
    """
    points = [point for point in session.of(measure) if math.isfinite(point.quality)]
    conventions = [timing.convention for point in points if (timing := session.timing(point)) is not None]
    convention = conventions[-1] if cost != "size" and conventions else ""
    costs = [_cost(point, session.timing(point), cost, convention) for point in points]
    there = [(point, *found) for point, found in zip(points, costs, strict=True) if found is not None]
    runs = []
    for point, value, spread in there:
        dominating = next(
            (
                other.key
                for other, at, _ in there
                if at <= value and other.quality <= point.quality and (at < value or other.quality < point.quality)
            ),
            "",
        )
        runs.append(Placed(point, value, spread, dominating, budget is None or value <= budget))
    frontier = sorted((run for run in runs if not run.dominated_by), key=lambda run: (run.cost, run.point.quality))
    affordable = [run for run in runs if run.within_budget]
    best = min(affordable, key=lambda run: (run.point.quality, run.cost)).point.key if affordable else ""
    return TradeOff(
        measure,
        cost,
        convention,
        tuple(runs),
        tuple(run.point.key for run in frontier),
        len(points) - len(runs),
        budget,
        best,
    )


def _cost(point: RunPoint, timing: Timing | None, cost: Cost, convention: str) -> tuple[float, float | None] | None:
    """What a run costs and how uncertain that is; None where it was not measured like that."""
    if cost == "size":
        return point.stored_bits / 8, None
    if timing is None or timing.convention != convention:
        return None
    if cost == "prefill":
        return timing.prefill_ms, timing.prefill_iqr_ms / 2
    if cost == "decode":
        return timing.decode_ms, timing.decode_iqr_ms / 2
    assert_never(cost)


# --- where a run came from, and what differs --------------------------------------------------------------------


@dataclass(frozen=True)
class MapRow:
    """A run on the map.

    Attributes:
        point: the run.
        depth: how many steps from the root.
        parent: index of the row it came from; None for a root.
        difference: to that row; None for a root.
    """

    point: RunPoint
    depth: int
    parent: int | None
    difference: Difference | None


@dataclass(frozen=True)
class Difference:
    """What changed from one run to another.

    Attributes:
        size: relative change of the whole model's size, −0.1 for a tenth less.
        quality: relative change of perplexity, or change of the word error rate (a share); None where the two were
            measured differently.
        decode: relative change of the time of a decoded token; None where either was not measured, or differently.
        prefill: likewise of a prefill, or of the encoder.
        settings: what was asked for differently: (name, before, after).
    """

    size: float
    quality: float | None
    decode: float | None
    prefill: float | None
    settings: tuple[tuple[str, str, str], ...]


COMPARED = (
    "method",
    "policy",
    "removed_fraction",
    "calibration_text",
    "num_sequences",
    "sequence_length",
    "gradient_sequences",
    "seed",
    "iterations",
    "atoms_per_nonzero",
    "damping",
    "recalibrate",
    "guards",
    "pins",
    "settings",
    "preset",
    "language",
    "count_padding",
)
"""Fields of a `Recipe` that two runs of one model may differ in."""


def difference(session: Session, before: RunPoint, after: RunPoint) -> Difference:
    """What changed from one run to another."""
    quality = None
    if before.measure == after.measure:
        wer = after.measure.metric == "wer"
        quality = after.quality - before.quality if wer else _relative(before.quality, after.quality)
    first, second = session.timing(before), session.timing(after)
    decode = prefill = None
    if first is not None and second is not None and first.convention == second.convention:
        decode = _relative(first.decode_ms, second.decode_ms)
        prefill = _relative(first.prefill_ms, second.prefill_ms)
    return Difference(
        size=_relative(before.stored_bits, after.stored_bits),
        quality=quality,
        decode=decode,
        prefill=prefill,
        settings=_asked_differently(before, after),
    )


def _relative(before: float, after: float) -> float:
    return after / before - 1


def _asked_differently(before: RunPoint, after: RunPoint) -> tuple[tuple[str, str, str], ...]:
    if before.recipe is None or after.recipe is None:
        names: Sequence[str] = ("method", "policy", "removed_fraction")
        first: RunPoint | Recipe = before
        second: RunPoint | Recipe = after
    else:
        names, first, second = COMPARED, before.recipe, after.recipe
    pairs = [(name, getattr(first, name), getattr(second, name)) for name in names]
    return tuple((name, str(old), str(new)) for name, old, new in pairs if old != new)


def run_map(session: Session, measure: Measure) -> tuple[MapRow, ...]:
    """The runs of one measure as a tree, each below the one it came from, in the order they came.

    A run whose origin is not there hangs on the dense model; without a dense model there are several roots.
    """
    points = session.of(measure)
    dense = next((point.key for point in points if point.is_dense), "")
    keys = {point.key for point in points}
    children: dict[str, list[RunPoint]] = {}
    for point in points:
        origin = point.parent if point.parent in keys and point.parent != point.key else dense
        children.setdefault("" if point.key == dense else origin, []).append(point)
    rows: list[MapRow] = []

    def hang(point: RunPoint, parent: int | None) -> None:
        if any(row.point is point for row in rows):
            return  # runs that name each other as origin, from a file
        above = None if parent is None else rows[parent]
        change = None if above is None else difference(session, above.point, point)
        rows.append(MapRow(point, 0 if above is None else above.depth + 1, parent, change))
        here = len(rows) - 1
        for child in children.get(point.key, ()):
            hang(child, here)

    for root in children.get("", ()):
        hang(root, None)
    for point in points:  # what hangs in a circle
        hang(point, None)
    return tuple(rows)
