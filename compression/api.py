"""Five questions about a model, for a notebook or a script; the app's endpoints have the same names and answers.

What came with the app for a model is answered at once, without loading it or importing torch; all else is worked out
here, and kept in the cache.

>>> from compression import api
>>> dense = api.evaluate("smollm2-135m-q4", "dense", "own", 0)
>>> f"{dense.perplexity:.1f} on {dense.text.name}, {dense.stored_bits / 8e6:.0f} MB"
'21.6 on sotu-evaluation, 269 MB'
>>> smaller = api.predict("smollm2-135m-q4", "compot-fisher", "own", 0.2)
>>> smaller.predictions[0].low < smaller.predictions[0].perplexity < smaller.predictions[0].high
True
>>> api.predict("smollm2-135m-q4", "compot-fisher", "own", 2)
Traceback (most recent call last):
compression.errors.UserError: removed: a number from 0 to 0.95 was expected, but 2 was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pydantic_core

from compression import forecast, models
from compression.analysis import AnalysisInfo, AnyComparison, AnyReport
from compression.errors import UserError, shown
from compression.forecast import ForecastReport
from compression.gallery import Gallery, all_policies, find_gallery, registered_methods
from compression.recipe import DENSE, OWN, Recipe
from compression.speech.recordings import DEFAULT_TEST
from compression.steps import Steps, finish
from compression.texts import DEFAULT_EVALUATION
from compression.types import MAX_REMOVED_FRACTION, Allocation, MethodInfo, Progress

ASSETS = Path(__file__).resolve().parent.parent / "assets"
"""Results that came with the app; an engine that was installed alone has none."""
CURVE_METHOD = "compot-fisher"
"""Whose error curves the stored allocations of the policy ``fisher`` were made with."""
WINDOW, MAX_WINDOWS = 1024, 4
"""How the built-in text is scored: tokens a window, windows."""
MAX_METHODS = 16
MAX_CHARACTERS = 300
"""Of a name."""
T = TypeVar("T")


def analyze(model: str) -> AnalysisInfo:
    """Spectra of every site, plain and whitened, and the allocation of every policy at every slider position.

    Args:
        model: catalogue id, Hub id ``owner/name[@revision]``, or directory.

    Raises:
        UserError: naming the argument that is wrong.
    """
    return finish(_analyze(model))


def allocate(model: str, method: str, policy: str, removed: float) -> Allocation:
    """What each site loses.

    Args:
        model: catalogue id, Hub id, or directory.
        method: whose error curves the policy ``fisher`` uses.
        policy: allocation policy; ``own`` for the one the method was published with.
        removed: share of the compressible weights to remove, from 0 to 0.95.

    Raises:
        UserError: naming the argument that is wrong.
    """
    return finish(_allocate(model, method, policy, removed))


def predict(model: str, method: str, policy: str, removed: float) -> ForecastReport:
    """Foretell the perplexity of a compressed model, with its 95 % band.

    Args:
        model: catalogue id, Hub id, or directory.
        method: compression method.
        policy: allocation policy; ``own`` for the one the method was published with.
        removed: share of the compressible weights to remove, from 0 to 0.6.

    Returns:
        Its `predictions` hold one row, unless `problem` says why there is no forecast.

    Raises:
        UserError: naming the argument that is wrong.
    """
    return finish(_predict(model, method, policy, removed))


def compare(model: str, methods: Sequence[str], policy: str, removed: float) -> AnyComparison:
    """Measure methods beside the dense model: perplexity on the built-in text, or word error rate on recordings.

    Args:
        model: catalogue id, Hub id, or directory.
        methods: compression methods, 1 to 16.
        policy: allocation policy of all of them; ``own`` for each method's own.
        removed: share of the compressible weights to remove, from 0 to 0.95.

    Raises:
        UserError: naming the argument that is wrong.
    """
    return finish(_compare(model, methods, policy, removed))


def evaluate(model: str, method: str, policy: str, removed: float) -> AnyReport:
    """Measure one model: perplexity on the built-in text, or word error rate on recordings.

    Args:
        model: catalogue id, Hub id, or directory.
        method: compression method; ``dense`` for the original.
        policy: allocation policy; ``own`` for the one the method was published with.
        removed: share of the compressible weights to remove, from 0 to 0.95; 0 for the original.

    Raises:
        UserError: naming the argument that is wrong.
    """
    return finish(_evaluate(model, method, policy, removed))


def _analyze(model: str) -> Steps[AnalysisInfo]:
    known = _known(model)
    if known is not None:
        return known.analysis
    yield from load(model)
    answer: AnalysisInfo = yield from workbench().analyze(model)
    return answer


def _allocate(model: str, method: str, policy: str, removed: float) -> Steps[Allocation]:
    known, recipe = _asked(model, method, policy, removed)
    if known is not None and recipe.removed_fraction in known.analysis.slider:
        stored = recipe.policy in known.analysis.allocations
        if stored and (recipe.policy != "fisher" or recipe.method == CURVE_METHOD):
            return known.analysis.allocation_at(recipe.policy, recipe.removed_fraction)
    yield from load(model)
    allocation: Allocation = (yield from workbench().allocation(recipe))[1]
    return allocation


def _predict(model: str, method: str, policy: str, removed: float) -> Steps[ForecastReport]:
    known, recipe = _asked(model, method, policy, removed)
    _named("removed", lambda: forecast.check_fractions((recipe.removed_fraction,)))
    stored = next((f for f in _forecasts(known) if (f.method, f.policy) == (recipe.method, recipe.policy)), None)
    for asked in (policy, recipe.policy):  # a table is kept under the policy's name as it was asked for
        key = None if stored else forecast.table_key(replace(recipe, policy=asked))
        stored = forecast.stored_report(key) if key else stored
    if stored is None:
        yield from load(model)
        stored = yield from workbench().forecast(recipe)
    return stored.at((recipe.removed_fraction,))


def _compare(model: str, methods: Sequence[str], policy: str, removed: float) -> Steps[AnyComparison]:
    if not isinstance(methods, (list, tuple)) or not 1 <= len(methods) <= MAX_METHODS:
        raise UserError(f"methods: a list of 1 to {MAX_METHODS} names was expected, but {shown(methods)} was given.")
    asked = [_asked(model, method, policy, removed, field="methods") for method in methods]
    known, recipes = asked[0][0], tuple(recipe for _, recipe in asked)
    if known is not None:
        runs = [_measured(known, recipe) for recipe in recipes]
        if all(each is not None for each in runs):
            there: Any = tuple(runs)
            return replace(known.headline, runs=there)
    yield from load(model)
    bench = workbench()
    answer: AnyComparison
    if (yield from bench.is_speech(model)):
        answer = yield from bench.compare_speech(recipes, DEFAULT_TEST)
    else:
        window = yield from _window(model)
        answer = yield from bench.compare(recipes, DEFAULT_EVALUATION, window, MAX_WINDOWS)
    return answer


def _evaluate(model: str, method: str, policy: str, removed: float) -> Steps[AnyReport]:
    known, recipe = _asked(model, method, policy, removed, dense=True)
    if recipe.is_dense:
        if recipe.removed_fraction:
            raise UserError(f"removed: the dense model loses nothing, so 0 was expected, but {removed:g} was given.")
        if known is not None:
            return known.headline.dense
        recipe = Recipe(model)
    yield from load(model)
    bench = workbench()
    answer: AnyReport
    if (yield from bench.is_speech(model)):
        answer = yield from bench.evaluate_speech(recipe, DEFAULT_TEST)
    else:
        window = yield from _window(model)
        answer = yield from bench.evaluate(recipe, DEFAULT_EVALUATION, window, MAX_WINDOWS)
    return answer


STEPS: dict[str, Callable[..., Steps[Any]]] = {
    "analyze": _analyze,
    "allocate": _allocate,
    "predict": _predict,
    "compare": _compare,
    "evaluate": _evaluate,
}
"""The five as generators of progress that return the answer: of what is known without a step, else the first step comes
before any work."""


def _forecasts(known: Gallery | None) -> tuple[ForecastReport, ...]:
    return () if known is None else known.forecasts


def _measured(known: Gallery, recipe: Recipe) -> Any:
    """A run of a gallery that was made as a recipe says, None if there is none."""
    wanted = (recipe.method, recipe.policy, recipe.removed_fraction, recipe.seed)
    runs: Sequence[Any] = known.comparison.runs
    return next((r for r in runs if (r.method, r.policy, r.removed_fraction_target, r.seed) == wanted), None)


def _asked(
    model: str, method: str, policy: str, removed: float, field: str = "method", dense: bool = False
) -> tuple[Gallery | None, Recipe]:
    """What came with the app, and a recipe whose policy is spelled out; every argument is checked."""
    known = _known(model)
    methods: dict[str, MethodInfo] = {each.name: each for each in (known.methods if known else registered_methods())}
    names = ((DENSE,) if dense else ()) + tuple(methods)
    if _name(field, method) not in names:
        raise UserError(f"{field}: one of {', '.join(names)} was expected, but {shown(method)} was given.")
    policies = (OWN, *all_policies())
    if _name("policy", policy) not in policies:
        raise UserError(f"policy: one of {', '.join(policies)} was expected, but {shown(policy)} was given.")
    number = isinstance(removed, (int, float)) and not isinstance(removed, bool)
    if not number or not 0 <= removed <= MAX_REMOVED_FRACTION:
        raise UserError(
            f"removed: a number from 0 to {MAX_REMOVED_FRACTION} was expected, but {shown(removed)} was given."
        )
    if method != DENSE:
        policy = _resolved(methods[method], policy)
    return known, Recipe(model, method, policy, float(removed))


def _resolved(method: MethodInfo, policy: str) -> str:
    """As `Recipe.resolved` has it, without torch."""
    if method.fixed_fraction is not None:
        return "uniform"
    return method.own_policy if method.joint or policy == OWN else policy


def _name(field: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_CHARACTERS:
        raise UserError(
            f"{field}: a name of 1 to {MAX_CHARACTERS} characters was expected, but {shown(value)} was given."
        )
    return value


def _named(field: str, check: Callable[[], T]) -> T:
    """What a check returns; its refusal names the field."""
    try:
        return check()
    except UserError as error:
        raise UserError(f"{field}: {error}") from error


def _known(model: str) -> Gallery | None:
    """What came with the app for a model; refuses what is none."""
    known = find_gallery(_name("model", model), ASSETS)
    if known is None:
        _named("model", lambda: models.resolve(model))
    return known


def load(model: str) -> Steps[None]:
    """Load a model, or refuse it under its field's name."""
    yield Progress("load", 0, 1, f"Loading {model}")
    try:
        yield from workbench().model_info(model)
    except UserError as error:
        raise UserError(f"model: {error}") from error


def _window(model: str) -> Steps[int]:
    """Tokens a window: fewer where the model reads fewer at a time."""
    context: int | None = (yield from workbench().opened(model)).context
    return min(WINDOW, context or WINDOW)


def workbench() -> Any:
    from compression.workbench import get_workbench

    return get_workbench()


def plain(answer: object) -> Any:
    """An answer as JSON values, as ``--json`` of the command line writes them."""
    return pydantic_core.to_jsonable_python(answer, inf_nan_mode="strings")


__all__ = ["allocate", "analyze", "compare", "evaluate", "predict"]
