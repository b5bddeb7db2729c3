"""The runs of a visitor: kept in their browser, shown together with those that came with the app."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import gradio as gr

from compression import store
from compression.analysis import AnyReport
from compression.errors import UserError
from compression.recipe import Recipe
from compression.session import Measure, RunPoint, Session, Timing, dense_point, run_point, session_from_json
from compression.types import ComparisonRun, PerplexityReport, Progress, SpeechRun, TranscriptionReport
from views import engine

STORAGE_KEY = "compression-explorer-runs"
"""Under which the browser keeps them: one for all languages, each of which is a page of its own."""
CIPHER = "compression-explorer"
"""Gradio writes what a browser keeps in cipher. Nothing in it is secret; with a key of every start's own, a restart or
another worker would not read what was kept."""
MAX_TEXTS = 16
"""So many texts of the visitor's are remembered, to measure another model on them."""


@dataclass(frozen=True)
class Arrival:
    """What one piece of work has measured so far.

    Attributes:
        points: runs.
        timings: times of models.
        text: SHA-256 of a text of the visitor's and the text, where that is what was measured on.
    """

    points: tuple[RunPoint, ...] = ()
    timings: tuple[tuple[Recipe, Timing], ...] = ()
    text: tuple[str, str] | None = None


@dataclass(frozen=True)
class Runs:
    """The components that hold them, one set a page.

    Attributes:
        kept: the session as JSON, in the browser: it outlives a reload, and goes along to another language.
        arrived: the latest `Arrival`. Work writes here and not into `kept`, which may change while it runs.
        texts: SHA-256 → text of the visitor's; it stays on the server while the page is open, and goes nowhere else.
    """

    kept: gr.BrowserState = field(default_factory=lambda: gr.BrowserState(None, storage_key=STORAGE_KEY, secret=CIPHER))
    arrived: gr.State = field(default_factory=lambda: gr.State(None))
    texts: gr.State = field(default_factory=lambda: gr.State({}))


def now() -> str:
    """Date and time, as a point says when it was made."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Measured:
    """Takes note of what a comparison measures, cell by cell; what is there when it is cancelled stays."""

    def __init__(self, recipes: Iterable[Recipe], parent: str = "") -> None:
        """Start before the first step.

        Args:
            recipes: that are measured.
            parent: key of the run that they were made from, if that is not the dense model.
        """
        self._recipes, self._parent, self._made = tuple(recipes), parent, now()
        self._dense: AnyReport | None = None
        self.points: tuple[RunPoint, ...] = ()

    def take(self, progress: Progress) -> bool:
        """Take note of a step; whether it brought a run."""
        measured = progress.partial
        if isinstance(measured, PerplexityReport | TranscriptionReport):
            self._dense = measured
            self.points = (dense_point(measured, self._made),)
            return True
        if not isinstance(measured, ComparisonRun | SpeechRun) or self._dense is None:
            return False
        made_by = next(
            each
            for each in self._recipes
            if (each.method, each.removed_fraction, each.seed)
            == (measured.method, measured.removed_fraction_target, measured.seed)
        )
        point = run_point(measured, self._dense, made_by, self._made, self._parent)
        self.points = (*self.points, point)
        return True

    @property
    def arrival(self) -> Arrival:
        """All of it."""
        return Arrival(self.points)


def read(kept: str | None) -> tuple[Session, str]:
    """The session that a browser kept, and what is wrong with it: then it is empty."""
    if not kept:
        return Session(), ""
    try:
        return session_from_json(kept), ""
    except UserError as error:
        return Session(), str(error)


def shown_with(own: Session, model_id: str) -> Session:
    """The visitor's runs and those that came with the app, of the chosen model and of those that were measured.

    A run that is in both is the visitor's, with its name and its parent.
    """
    models = dict.fromkeys([model_id, *(point.measure.model_id for point in own.points)])
    known = {point.key: point for each in models for point in engine.example_points(each)}
    known |= {point.key: point for point in engine.published_points()}
    known |= {point.key: point for point in own.points}
    return Session(tuple(known.values()), own.timings)


def without_examples(session: Session) -> Session:
    """A session without what came with the app as it is there: the browser need not keep that."""
    models = dict.fromkeys(point.measure.model_id for point in session.points)
    there = {point.key: point for each in models for point in engine.example_points(each)}
    there |= {point.key: point for point in engine.published_points()}
    return replace(session, points=tuple(point for point in session.points if there.get(point.key) != point))


def renamed(own: Session, shown: Session, key: str, name: str) -> Session:
    """The visitor's runs with another name for one of those shown; one that came with the app becomes theirs.

    Raises:
        UserError: if there is no such run, or the name is too long or taken.
    """
    point = shown.renamed(key, name).point(key)
    if any(each.key == point.key for each in own.points):
        return replace(own, points=tuple(point if each.key == point.key else each for each in own.points))
    return own.with_points([point])


def measure_key(measure: Measure) -> str:
    """A measure as the value of a list."""
    return store.content_key("measure", measure)[:12]


def measures_of(session: Session, model_id: str) -> list[Measure]:
    """Its measures: those of the model first, then those of others, and what was published last."""

    def place(measure: Measure) -> tuple[bool, bool]:
        return is_published(session, measure), measure.model_id != model_id

    return sorted(session.measures(), key=place)


def is_published(session: Session, measure: Measure) -> bool:
    """Whether its figures were published elsewhere."""
    return all(point.origin == "published" for point in session.of(measure))
