"""What the tabs share about the engine: the example in assets, what was made live, long work as events.

The engine itself (`compression.workbench`, and with it torch) is imported at the first heavy
request, never while the page is being built.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from compression import costs, forecast
from compression.analysis import AnalysisInfo, AnyComparison, AnyReport, AnyRun, PatternInfo, planned_bytes
from compression.errors import UserError
from compression.forecast import ForecastReport
from compression.gallery import (
    all_policies,
    find_gallery,
    galleries_in,
    read_gallery,
    registered_methods,
    registered_policies,
)
from compression.recent import Recent
from compression.recipe import OWN, Pins, Recipe
from compression.runs_csv import from_csv
from compression.session import RunPoint, Session, comparison_points
from compression.slider import SLIDER, Evidence, SliderView, pinned_view, slider_view
from compression.smallest import Smallest, check_allowance, smallest_within
from compression.speech.recordings import DEFAULT_TEST
from compression.types import (
    SPEECH_MODEL_TYPES,
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    Environment,
    MethodInfo,
    PerplexityReport,
    Progress,
    SpeechCalibration,
    SpeechComparison,
    SpeechRun,
    SpeechSource,
    TextSource,
)
from views.eta import Eta
from views.line import ROOM

if TYPE_CHECKING:
    from compression.gallery import Gallery
    from compression.speech.workbench import SpeechWorkbench

log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parent.parent / "assets" / "smollm2-135m-q4"
"""Precomputed results of the model that the page opens with; those of others lie beside it, each under its id."""
HEAVY: dict[str, Any] = {"concurrency_id": "heavy", "concurrency_limit": ROOM}
"""So many heavy events may stand in the line before the engine; others wait in Gradio's queue."""

EVALUATION_TEXT = "sotu-evaluation"
"""The built-in text that live comparisons are scored on."""
EVALUATION_RECORDINGS = DEFAULT_TEST
"""The built-in recordings that those of a speech model are scored on."""
WINDOW = 128
MAX_WINDOWS = 16
"""How a text of the visitor's is scored. Short windows: a few paragraphs then give enough of them for an interval that
says something."""
NOT_FOR_SPEECH = frozenset({"sensitivity", "learned", "gates"})
"""Policies that measure or learn on text."""

Result = TypeVar("Result")


_analyses: Recent[AnalysisInfo] = Recent(8)
_comparisons: Recent[AnyComparison] = Recent(32)
_patterns: Recent[PatternInfo] = Recent(256)
_evidence: Recent[Evidence] = Recent(8)
_views: Recent[tuple[AnalysisInfo, AnyComparison | None, SliderView]] = Recent(8)


def gallery(model_id: str | None = None) -> Gallery | None:
    """The precomputed results of a model, by default of the one that the page opens with.

    None where there are none, or other code made them and they do not read. They are read when they are first asked
    for. A name is compared with the folders there are, and never becomes a part of a path: a link can say anything.
    """
    example = read_gallery(ASSETS)
    if model_id is None or (example is not None and example.analysis.model.model_id == model_id):
        return example
    return find_gallery(model_id, ASSETS.parent)


def _other_folders() -> list[Path]:
    """The folders beside `ASSETS` that hold a gallery."""
    return [folder for folder in galleries_in(ASSETS.parent) if folder != ASSETS]


def _methods() -> tuple[MethodInfo, ...]:
    """The registered methods: from the example, which lists them, so that torch need not be imported."""
    example = gallery()
    return registered_methods() if example is None else example.methods


def method_names() -> tuple[str, ...]:
    """Names of the registered methods."""
    return tuple(method.name for method in _methods())


def _joint() -> frozenset[str]:
    """The methods that decide over all layers at once."""
    return frozenset(method.name for method in _methods() if method.joint)


def policy_names() -> tuple[str, ...]:
    """The allocation policies, likewise."""
    example = gallery()
    return registered_policies() if example is None else example.policies


def every_policy() -> tuple[str, ...]:
    """Those and the ones that are worked out only when something is compressed."""
    return all_policies()


def fast_methods(model_id: str | None = None) -> tuple[str, ...]:
    """The methods that take seconds, not minutes, under their own policies, and any share to remove."""
    policies = live_policies(model_id)
    return tuple(
        method.name
        for method in _methods()
        if not method.slow and method.fixed_fraction is None and method.own_policy in policies
    )


def live_methods(model_id: str | None = None) -> tuple[str, ...]:
    """The methods that a model can be compressed with: all, but none that learns from text for a speech model."""
    speech = model_id is not None and is_speech(model_id)
    return tuple(
        method.name for method in _methods() if not (speech and (method.joint or method.own_policy == "learned"))
    )


def live_policies(model_id: str | None = None) -> tuple[str, ...]:
    """The policies, likewise."""
    without = NOT_FOR_SPEECH if model_id is not None and is_speech(model_id) else frozenset()
    return tuple(policy for policy in every_policy() if policy not in without)


def is_speech(model_id: str) -> bool:
    """Whether a model writes down speech; one that has not been analysed is told by its name alone."""
    analysis = analysis_of(model_id)
    if analysis is not None:
        return analysis.model.is_speech
    return any(kind in model_id.lower() for kind in SPEECH_MODEL_TYPES)


def analysis_of(model_id: str) -> AnalysisInfo | None:
    """The analysis of a model: made live in this process, or the example."""
    live = _analyses.get(model_id)
    example = gallery(model_id) if live is None else None
    return live if example is None else example.analysis


def keep_analysis(analysis: AnalysisInfo) -> None:
    """Keep a live analysis for every session."""
    _analyses.put(analysis.model.model_id, analysis)


def evidence_of(model_id: str) -> Evidence | None:
    """What the allocations of an analysed model were made from."""
    live = _evidence.get(model_id)
    example = gallery(model_id) if live is None else None
    return live if example is None else example.evidence


def keep_evidence(model_id: str, evidence: Evidence) -> None:
    """Keep the evidence behind a live analysis."""
    _evidence.put(model_id, evidence)


def view_of(model_id: str) -> SliderView | None:
    """The slider's tables of a model, without pins; None where it has not been analysed."""
    analysis = analysis_of(model_id)
    if analysis is None:
        return None
    comparison = comparison_of(model_id)
    known = _views.get(model_id)
    if known is not None and known[0] is analysis and known[1] is comparison:
        return known[2]
    return _views.put(model_id, (analysis, comparison, slider_view(analysis, comparison)))[2]


def pinned_view_of(model_id: str, pins: Pins, policy: str, removed_fraction: float) -> SliderView | None:
    """The slider's tables with pins; raises a UserError where they leave no way."""
    analysis, evidence = analysis_of(model_id), evidence_of(model_id)
    if not pins or analysis is None or evidence is None:
        return view_of(model_id)
    return pinned_view(analysis, evidence, pins, policy, removed_fraction, comparison_of(model_id))


def slider_position(text: str) -> float | None:
    """A removed fraction as a link says it, if the slider can stand there."""
    try:
        value = round(float(text), 2)
    except ValueError:
        return None
    return value if value in SLIDER else None


def comparison_of(key: str) -> AnyComparison | None:
    """A comparison made live (by its key), or the example's (by its model id)."""
    example = gallery(key)
    return _comparisons.get(key) if example is None else example.comparison


def keep_comparison(key: str, comparison: AnyComparison) -> None:
    """Keep a live comparison under its key."""
    _comparisons.put(key, comparison)


def example_points(model_id: str) -> tuple[RunPoint, ...]:
    """The measured runs that came with the app for a model, as points."""
    example = gallery(model_id)
    return () if example is None else comparison_points(example.comparison, example.methods)


def published_points() -> tuple[RunPoint, ...]:
    """Published figures that came with the app."""
    return _published(ASSETS.parent / "published.csv")


@lru_cache(maxsize=2)
def _published(file: Path) -> tuple[RunPoint, ...]:
    if not file.is_file():
        return ()
    try:
        return from_csv(file.read_text(encoding="utf-8"), Session()).session.points
    except UserError as error:
        log.warning("the published figures are left out: %s", error)
        return ()


def smallest_model(model_id: str, allowance: float) -> Smallest:
    """The smallest model within an allowance, read off the forecasts.

    Raises:
        UserError: if the allowance is out of range.
    """
    check_allowance(allowance)
    return smallest_within(forecasts_of(model_id), allowance, *bits_of(model_id))


def bits_of(model_id: str) -> tuple[int, int]:
    """Bits of a whole dense model, and of its compressible layers; zeros where neither analysis nor forecast tells."""
    analysis = analysis_of(model_id)
    if analysis is not None:
        return analysis.model.original_bits, analysis.model.site_bits
    return next(((each.original_bits, each.site_bits) for each in forecasts_of(model_id)), (0, 0))


def seconds_for_recipe(wanted: Recipe) -> list[float | None]:
    """The engine's estimate of measuring one recipe's quality, in seconds."""
    return seconds_to_compare(wanted.model_id, [wanted.method], wanted.policy, wanted.removed_fraction, 1)


def pattern_of(model_id: str, site: str) -> PatternInfo | None:
    """The storage picture of a site: made live, or the example's; its own sentence names its budget."""
    live = _patterns.get(f"{model_id} {site}")
    if live is not None:
        return live
    example = gallery(model_id)
    made = () if example is None else example.patterns
    return next((pattern for pattern in made if pattern.site == site), None)


def keep_pattern(model_id: str, pattern: PatternInfo) -> None:
    """Keep a live storage picture."""
    _patterns.put(f"{model_id} {pattern.site}", pattern)


def forecasts_of(model_id: str) -> tuple[ForecastReport, ...]:
    """The forecasts of a model: the example's, or those that ``predict`` has left in the cache."""
    example = gallery(model_id)
    return (() if example is None else example.forecasts) or tuple(
        {(each.method, each.policy): each for each in _stored_forecasts(model_id)}.values()
    )


def _stored_forecasts(model_id: str) -> Iterator[ForecastReport]:
    for method in method_names():
        for policy in (OWN, *policy_names()):  # a table is kept under the policy's name as it was asked for
            try:
                key = forecast.table_key(Recipe(model_id, method, policy))
            except UserError:  # it names no model
                return
            report = None if key is None else forecast.stored_report(key)
            if report is not None:
                yield report


def default_model_id() -> str:
    """The model the page opens with."""
    example = gallery()
    return "smollm2-135m-q4" if example is None else example.analysis.model.model_id


def catalogue() -> dict[str, tuple[str, str]]:
    """Catalogue id → (title, note)."""
    from compression.models import CATALOGUE

    return {model_id: (spec.title, spec.note) for model_id, spec in CATALOGUE.items()}


def title_and_note(model_id: str) -> tuple[str, str]:
    """How a model is named on the page, and the caution that belongs to its figures."""
    analysis = analysis_of(model_id)
    if analysis is not None:
        return analysis.model.title, analysis.model.note
    return catalogue().get(model_id, (model_id, ""))


def workbench() -> SpeechWorkbench:
    """The process's one workbench (imports torch at the first call)."""
    from compression.workbench import get_workbench

    return get_workbench()


def recipe(model_id: str, method: str, policy: str, removed_fraction: float) -> Recipe:
    """Name one compressed model."""
    return Recipe(model_id, method, policy, float(removed_fraction))


def compare(model_id: str, recipes: tuple[Recipe, ...]) -> Generator[Progress, None, AnyComparison]:
    """Measure recipes of a model: on the built-in text, or on the built-in recordings."""
    if is_speech(model_id):
        return workbench().compare_speech(recipes, EVALUATION_RECORDINGS)
    return workbench().compare(recipes, EVALUATION_TEXT)


def unfinished_comparison(model_id: str, dense: AnyReport, runs: Sequence[AnyRun]) -> AnyComparison:
    """What a running comparison has measured so far, to be shown; the finished one replaces it."""
    note, unknown = title_and_note(model_id)[1], Environment("", "", "", "", "", 0, "", "", "", "")
    if isinstance(dense, PerplexityReport):
        texts = tuple(run for run in runs if isinstance(run, ComparisonRun))
        return Comparison(model_id, note, "", CalibrationSettings(TextSource("", "", 0), 0, 0), dense, texts, unknown)
    spoken = tuple(run for run in runs if isinstance(run, SpeechRun))
    return SpeechComparison(model_id, note, "", SpeechCalibration(SpeechSource("", "", 0, 0.0)), dense, spoken, unknown)


def relay(work: Generator[Progress, None, Result], show: Callable[[Progress], Any]) -> Generator[Any, None, Result]:
    """Run engine work inside an event: yield ``show(progress)`` for every step, return the result.

    Every step comes with the time its stage still takes, once there is a pace. Closing this generator (a cancelled
    event) closes the work.
    """
    eta = Eta()
    try:
        while True:
            try:
                progress = next(work)
            except StopIteration as stop:
                return stop.value
            yield show(replace(progress, seconds_left=eta.seconds_left(progress)))
    finally:
        work.close()


def guarded(
    work: Generator[Any, None, None], nothing: Any, fail: Callable[[str], Any], generic: str
) -> Generator[Any, None, None]:
    """The boundary between engine and page: a UserError becomes its sentence, anything else a generic one.

    It yields before the work begins: Gradio closes a cancelled generator only if it has yielded before, and work that
    was cancelled in a long first step would otherwise keep the engine until the interpreter happens to collect it.

    Args:
        work: the event's generator.
        nothing: outputs that leave everything as it is.
        fail: sentence → the event's outputs.
        generic: what is said about a bug; the traceback goes to the log.
    """
    try:
        yield nothing
        yield from work
    except UserError as error:
        yield fail(str(error))
    except Exception:
        log.exception("unexpected error in an event")
        yield fail(generic)


def predicted_bytes(model_id: str, removed_fraction: float) -> tuple[float, float] | None:
    """Bytes of the weights after compression and before, of a model that has been analysed."""
    analysis = analysis_of(model_id)
    return None if analysis is None else planned_bytes(analysis.model, removed_fraction)


def seconds_for(model_id: str, method: str, policy: str, removed_fraction: float, task: str) -> float | None:
    """The engine's estimate of a task, in seconds, from the measured runs of an example; None where none tells.

    Before the first heavy request nothing is in memory, and torch is not imported just to say so.
    """
    reference = _reference(model_id)
    if reference is None:
        return None
    prepared = costs.Prepared()
    if "compression.workbench" in sys.modules:
        prepared = workbench().prepared(recipe(model_id, method, policy, removed_fraction))
    return costs.estimate(reference, task, method, prepared, removed_fraction, policy, _joint())


def _reference(model_id: str) -> AnyComparison | None:
    """The measured runs that tell how long work on a model takes: its own, else those of a model of its kind."""
    own, speech = gallery(model_id), is_speech(model_id)
    for example in (own, gallery(), *map(read_gallery, _other_folders() if speech else ())):
        if example is not None and example.analysis.model.is_speech == speech:
            return example.comparison
    return None


def seconds_to_compare(
    model_id: str, methods: Sequence[str], policy: str, removed_fraction: float, seeds: int
) -> list[float | None]:
    """The engine's estimate of a live comparison, in seconds, if no statistics are in the cache; None without one."""
    reference = _reference(model_id)
    if reference is None:
        return [None]
    described = {method.name: method for method in _methods()}
    chosen = [described[name] for name in methods if name in described]
    settings = [(method.name, method.own_policy if policy == OWN else policy) for method in chosen]
    blind = frozenset(method.name for method in chosen if not method.uses_calibration)
    prepared = costs.Prepared()
    if "compression.workbench" in sys.modules:
        prepared = workbench().prepared(Recipe(model_id))
    return [costs.estimate_comparison(reference, settings, blind, removed_fraction, seeds, prepared, _joint())]
