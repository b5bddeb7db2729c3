"""What a click will cost in seconds, extrapolated from measured runs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from compression.types import Comparison

PERPLEXITY_TOKENS = 8 * 256
"""Tokens of a live perplexity of one model: eight windows of 256, an upper bound."""
RUN_TOKENS = 4 * 1024
GENERATE_TOKENS = 40
ONE_TOKEN_OVERHEAD = 20
"""A token decoded alone takes about as long as this many tokens in a long window (memory bound)."""
LATENCY_TOKENS = 2 * 5 * 3 * (128 + 16 * ONE_TOKEN_OVERHEAD)
"""Two models, five rounds, two warm-up runs before each counted one."""
LOADING_SECONDS = 3.0


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


def estimate(reference: Comparison, task: str, method: str, prepared: Prepared, removed_fraction: float = 0.2) -> float:
    """Seconds a task will take on a machine like the reference's.

    Loading, calibration and measurement grow with the weights in the sites, factorisation with their power 1.5 (a
    matrix of twice the side has four times the weights and takes eight times the work).

    Args:
        reference: measured runs.
        task: ``analyze``, ``pattern``, ``run``, ``perplexity``, ``generate`` or ``latency``.
        method: the method's name, or ``dense``.
        prepared: what need not be done again.
        removed_fraction: at which the method is to run; removing less takes longer.
    """
    reference_weights = sum(site.shape[0] * site.shape[1] for site in reference.runs[0].sites)
    scale = prepared.site_weights / reference_weights if prepared.site_weights else 1.0
    calibration = max(run.calibration_seconds for run in reference.runs)
    per_token = reference.dense.seconds / reference.dense.tokens
    by_method: dict[str, float] = {}
    for name in {run.method for run in reference.runs}:
        runs = [run for run in reference.runs if run.method == name]
        nearest = min(abs(run.removed_fraction_target - removed_fraction) for run in runs)
        near = [run for run in runs if abs(run.removed_fraction_target - removed_fraction) == nearest]
        by_method[name] = max(run.compress_seconds for run in near)
    seconds = 0.0 if prepared.dense else LOADING_SECONDS * scale
    if not (prepared.calibrated or prepared.compressed) and (method != "dense" or task in ("analyze", "pattern")):
        seconds += calibration * scale
    if task == "analyze":
        return seconds + min(by_method.values()) * scale**1.5
    if task == "pattern":
        return seconds + max(by_method.values()) * scale**1.5 / len(reference.runs[0].sites)
    if method != "dense" and not prepared.compressed:
        factorise = by_method.get(method, statistics.median(by_method.values()))
        seconds += factorise * scale**1.5
    tokens = {
        "run": RUN_TOKENS,
        "perplexity": PERPLEXITY_TOKENS,
        "generate": GENERATE_TOKENS * ONE_TOKEN_OVERHEAD,
        "latency": LATENCY_TOKENS,
    }[task]
    return seconds + tokens * per_token * scale
