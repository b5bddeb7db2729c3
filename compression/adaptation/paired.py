"""Whether one method really answers better than another: the same items, so the difference is paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compression.adaptation.types import AdaptRun
from compression.errors import UserError

LOSS_REFERENCES = ("full", "wanda-structured", "magnitude-structured")
"""What the losses of language models are set beside."""
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


@dataclass(frozen=True)
class PairedLoss:
    """A difference in loss on the same windows of text.

    Attributes:
        method: whose loss the other's is taken from.
        target_sparsity: what was asked of it; None for methods that remove nothing.
        reference: the method compared with, at the same target if it removes something.
        difference: mean over the windows of the loss of `method` minus that of `reference`, nats a token.
        standard_error: of that mean; None with one window.
        windows: number of windows.
    """

    method: str
    target_sparsity: float | None
    reference: str
    difference: float
    standard_error: float | None
    windows: int


def losses_against(runs: Sequence[AdaptRun]) -> tuple[PairedLoss, ...]:
    """Every language model beside each of `LOSS_REFERENCES` at the same target, where there is one.

    Args:
        runs: all of one text; the losses of a method's seeds are averaged window by window first.

    Raises:
        UserError: if they were measured on different windows.
    """
    groups: dict[tuple[str, float | None], list[tuple[float, ...]]] = {}
    for run in runs:
        if run.score.window_losses:
            groups.setdefault((run.method, run.target_sparsity), []).append(run.score.window_losses)
    if len({len(losses) for group in groups.values() for losses in group}) > 1:
        raise UserError("The runs were measured on different items: compare runs of the same evaluation.")
    means = {key: np.array(group).mean(0) for key, group in groups.items()}
    found = []
    for (method, target), losses in means.items():
        for reference in LOSS_REFERENCES:
            other = means.get((reference, target), means.get((reference, None)))
            if method in LOSS_REFERENCES or other is None:
                continue
            differences = losses - other
            error = float(differences.std(ddof=1) / len(differences) ** 0.5) if len(differences) > 1 else None
            mean = float(differences.mean())
            found.append(PairedLoss(method, target, reference, mean, error, len(differences)))
    return tuple(found)
