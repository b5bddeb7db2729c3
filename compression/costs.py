"""What a click will cost in seconds, extrapolated from measured runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from compression.analysis import AnyComparison
from compression.types import TranscriptionReport

PERPLEXITY_TOKENS = 8 * 256
"""Tokens of a live perplexity of one model: eight windows of 256, an upper bound."""
GENERATE_TOKENS = 40
ONE_TOKEN_OVERHEAD = 20
"""A token decoded alone takes about as long as this many tokens in a long window (memory bound)."""
LATENCY_TOKENS = 2 * 5 * 3 * (128 + 16 * ONE_TOKEN_OVERHEAD)
"""Two models, five rounds, two warm-up runs before each counted one."""
CLIP_SECONDS = 30.0
"""Of the recording that is written down live, an upper bound: most are shorter."""
LOADING_SECONDS = 3.0
EXPORT_SECONDS = 15.0
"""Of writing an export and checking it: most of it is a fresh process that imports its libraries."""
LEARNING_TOKENS = 40 * 4 * 256
"""Tokens of the steps in which a method learns that decides over all layers at once."""
TOKENS_OF_A_STEP = 4
"""A forward and a backward pass over a token, and what is learned from them, take as long as this many tokens read."""
PATTERN_METHODS = ("svd-llm", "compot")
"""What a storage picture compresses one site with."""


@dataclass(frozen=True)
class Prepared:
    """What is in memory already of what a recipe needs.

    Attributes:
        dense: whether the dense model is.
        compressed: whether the compressed one is.
        calibrated: whether the calibration has been made.
        site_weights: weights in the model's sites; None if unknown, then the reference's size is assumed.
    """

    dense: bool = False
    compressed: bool = False
    calibrated: bool = False
    site_weights: int | None = None


def estimate(
    reference: AnyComparison,
    task: str,
    method: str,
    prepared: Prepared,
    removed_fraction: float = 0.2,
    policy: str = "uniform",
    joint: frozenset[str] = frozenset(),
) -> float | None:
    """Seconds a task will take on a machine like the reference's; None for a task that its kind of model has not.

    Loading, calibration and measurement grow with the weights in the sites, factorisation with their power 1.5 (a
    matrix of twice the side has four times the weights and takes eight times the work).

    Args:
        reference: measured runs.
        task: ``analyze``, ``pattern``, ``changes`` or ``export``; of a language model ``perplexity``, ``generate`` or
            ``latency``; of a speech model ``transcribe``: one recording, by one model.
        method: the method's name, or ``dense``.
        prepared: what need not be done again.
        removed_fraction: at which the method is to run; removing less takes longer.
        policy: how it splits the budget; not called ``own``.
        joint: the methods that decide over all layers at once.
    """
    scale = _scale(reference, prepared)
    calibration = max(run.calibration_seconds for run in reference.runs)
    by_method = _compress_seconds(reference, removed_fraction)
    seconds = 0.0 if prepared.dense else LOADING_SECONDS * scale
    if not (prepared.calibrated or prepared.compressed) and (method != "dense" or task in ("analyze", "pattern")):
        seconds += calibration * scale
    if task == "analyze":
        return seconds + min(by_method.values()) * scale**1.5
    if task == "pattern":
        drawn = [by_method[name] for name in PATTERN_METHODS if name in by_method] or list(by_method.values())
        return seconds + sum(drawn) * scale**1.5 / len(reference.runs[0].sites)
    running = EXPORT_SECONDS / scale if task == "export" else _running_seconds(reference, task)
    if running is None:
        return None
    if method != "dense" and not prepared.compressed:
        if method in joint and method not in by_method:
            return seconds + (_learning_seconds(reference) + running) * scale
        factorise = by_method.get(method, statistics.median(by_method.values()))
        seconds += (factorise + _search_seconds(reference, method, policy)) * scale**1.5
    return seconds + running * scale


def _running_seconds(reference: AnyComparison, task: str) -> float | None:
    """What a task lets the model do: so many tokens, or so many seconds of speech; None where it does no such thing."""
    if isinstance(reference.dense, TranscriptionReport):
        times = {"transcribe": 1, "changes": 3}.get(task)  # one writes it down, then both read it
        return None if times is None else times * CLIP_SECONDS * reference.dense.real_time_factor
    tokens = {
        "changes": 2 * PERPLEXITY_TOKENS,
        "perplexity": PERPLEXITY_TOKENS,
        "generate": GENERATE_TOKENS * ONE_TOKEN_OVERHEAD,
        "latency": LATENCY_TOKENS,
    }.get(task)
    return None if tokens is None else tokens * reference.dense.seconds / reference.dense.tokens


def estimate_comparison(
    reference: AnyComparison,
    settings: Sequence[tuple[str, str]],
    without_calibration: frozenset[str],
    removed_fraction: float,
    seeds: int,
    prepared: Prepared,
    joint: frozenset[str] = frozenset(),
) -> float:
    """Seconds a comparison will take on a machine like the reference's, if no statistics are in the cache.

    Each seed needs statistics of its own and runs all settings again, except what no calibration can change. An error
    curve costs what it took in the reference, or, where it was made beforehand there, as much as compressing at the
    smallest removed fraction that was measured.

    Args:
        reference: measured runs.
        settings: (method, policy) of each run; no policy is called ``own``.
        without_calibration: the methods that need no calibration.
        removed_fraction: at which the methods are to run.
        seeds: calibration seeds for each setting.
        prepared: of the dense model.
        joint: the methods that decide over all layers at once.
    """
    scale = _scale(reference, prepared)
    at_once = _compress_seconds(reference, removed_fraction)
    at_least = _compress_seconds(reference, 0.0)
    evaluation = statistics.median(run.evaluate_seconds for run in reference.runs)
    loss_aware = _loss_aware_policies(reference)
    gradients = max(run.stages.get("gradients", 0.0) for run in reference.runs)
    inputs = max(run.calibration_seconds - run.stages.get("gradients", 0.0) for run in reference.runs)
    plain = [run for run in reference.runs if run.policy not in loss_aware]
    with_gradients = {run.method for run in plain if "gradients" in run.stages}

    def curves(method: str) -> float:
        others = (run for run in reference.runs if run.method == method and run.seed != reference.calibration.seed)
        measured = max((run.stages.get("allocation", 0.0) for run in others if run.policy in loss_aware), default=0.0)
        return measured or at_least.get(method, statistics.median(at_least.values()))

    def one_seed(repeated: Sequence[tuple[str, str]]) -> float:
        if not repeated:
            return 0.0
        needs_gradients = any(policy in loss_aware or method in with_gradients for method, policy in repeated)
        seconds = scale * (inputs + (gradients if needs_gradients else 0.0))
        for method, policy in repeated:
            if method in joint and method not in at_once:
                seconds += scale * (_learning_seconds(reference) + evaluation)
                continue
            factorise = at_once.get(method, statistics.median(at_once.values()))
            factorise += curves(method) if policy in loss_aware else _search_seconds(reference, method, policy)
            seconds += factorise * scale**1.5 + evaluation * scale
        return seconds

    others = [(m, policy) for m, policy in settings if m not in without_calibration or policy in loss_aware]
    loading = 0.0 if prepared.dense else LOADING_SECONDS * scale
    return loading + reference.dense.seconds * scale + one_seed(settings) + (seeds - 1) * one_seed(others)


def _scale(reference: AnyComparison, prepared: Prepared) -> float:
    weights = sum(site.shape[0] * site.shape[1] for site in reference.runs[0].sites)
    return prepared.site_weights / weights if prepared.site_weights else 1.0


def _compress_seconds(reference: AnyComparison, removed_fraction: float) -> dict[str, float]:
    """For each method, the longest compression at its measured budget nearest to `removed_fraction`.

    Allocation is left out: it takes long only where it is the first to ask for an error curve.
    """
    by_method: dict[str, float] = {}
    for name in {run.method for run in reference.runs}:
        runs = [run for run in reference.runs if run.method == name]
        nearest = min(abs(run.removed_fraction_target - removed_fraction) for run in runs)
        near = [run for run in runs if abs(run.removed_fraction_target - removed_fraction) == nearest]
        by_method[name] = max(run.compress_seconds - run.stages.get("allocation", 0.0) for run in near)
    return by_method


def _learning_seconds(reference: AnyComparison) -> float:
    """What learning takes, from the pace at which the dense model reads; nothing for speech, where none learns."""
    if isinstance(reference.dense, TranscriptionReport):
        return 0.0
    return TOKENS_OF_A_STEP * LEARNING_TOKENS * reference.dense.seconds / reference.dense.tokens


def _search_seconds(reference: AnyComparison, method: str, policy: str) -> float:
    """What a policy's own measurement or learning took in the reference: with this method, or else with any other.

    Nothing for the loss-aware policies, whose curves are asked for by all methods and counted apart.
    """
    if policy in _loss_aware_policies(reference):
        return 0.0
    took = {run.method: run.stages.get("allocation", 0.0) for run in reference.runs if run.policy == policy}
    return took.get(method, max(took.values(), default=0.0))


def _loss_aware_policies(reference: AnyComparison) -> frozenset[str]:
    """The policies under which every method needed output gradients: they look at error curves."""
    without = {run.policy for run in reference.runs if "gradients" not in run.stages}
    return frozenset(run.policy for run in reference.runs) - without
