"""Whether one method really answers better than another: the same items, so the difference is paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compression.adaptation.types import AdaptRun
from compression.errors import UserError

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """A difference in accuracy on the same items.

    Attributes:
        method: whose accuracy the other's is taken from.
        target_sparsity: what was asked of it; None for methods that remove nothing.
        reference: the method compared with.
        difference: accuracy of `method` minus that of `reference`, each averaged over its seeds, in [−1, 1].
        low: lower end of the 95 % interval of the difference, by bootstrap over items.
        high: upper end.
        items: number of items.
        seeds: of `method`.
        reference_seeds: of `reference`.
    """

    method: str
    target_sparsity: float | None
    reference: str
    difference: float
    low: float
    high: float
    items: int
    seeds: int
    reference_seeds: int


def shares_right(runs: Sequence[str]) -> np.ndarray:
    """For each item the share of seeds that answered rightly, (items,).

    Args:
        runs: `Score.correct` of every seed, all of the same items.

    Raises:
        UserError: if the runs were not measured on equally many items.
    """
    if len({len(correct) for correct in runs}) != 1:
        raise UserError("The runs were measured on different items: compare runs of the same evaluation.")
    return np.array([[answer == "1" for answer in correct] for correct in runs], dtype=float).mean(0)


def bootstrap_mean(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean.

    Resampling items with replacement makes the counts of the distinct values multinomial; a few of these suffice,
    because an accuracy over a handful of seeds has few values.

    Args:
        values: (items,).
        seed: of the resampling.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    distinct, counts = np.unique(values, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(values), counts / len(values), RESAMPLES)
    low, high = np.quantile(draws @ distinct / len(values), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def against(runs: Sequence[AdaptRun], reference: str = "full") -> tuple[Paired, ...]:
    """Every method and target beside `reference`; empty where that, or every accuracy, is missing.

    Args:
        runs: all of one task and evaluation.
        reference: name of the method to compare with.

    Raises:
        UserError: if they were measured on different items.
    """
    groups: dict[tuple[str, float | None], list[str]] = {}
    for run in runs:
        if run.score.correct:
            groups.setdefault((run.method, run.target_sparsity), []).append(run.score.correct)
    base = next((correct for (method, _), correct in groups.items() if method == reference), None)
    if base is None:
        return ()
    found = []
    for (method, target), correct in groups.items():
        if method == reference:
            continue
        if len(correct[0]) != len(base[0]):
            raise UserError("The runs were measured on different items: compare runs of the same evaluation.")
        differences = shares_right(correct) - shares_right(base)
        low, high = bootstrap_mean(differences)
        found.append(
            Paired(
                method,
                target,
                reference,
                float(differences.mean()),
                low,
                high,
                len(differences),
                len(correct),
                len(base),
            )
        )
    return tuple(found)
