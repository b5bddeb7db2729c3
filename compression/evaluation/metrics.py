"""Metrics as `evaluate.Metric` classes that fetch nothing."""

from __future__ import annotations

import math
import statistics
from typing import Any

import datasets
import evaluate

from compression import store


class PooledPerplexity(evaluate.Metric):
    """Perplexity from per-token negative log-likelihoods, pooled over tokens, with a standard error over windows.

    ``predictions`` is a list of windows, each a list of negative log-likelihoods in nats of its scored tokens.
    ``perplexity = exp(Σ nll / Σ tokens)``. The standard error treats windows as independent and weights them by their
    tokens (ratio estimator), carried to the perplexity by the delta method; None with a single window.

    Source: methods of the GPTQ and SVD-LLM evaluations (non-overlapping windows); the standard error is ours.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Perplexity pooled over tokens, with a standard error over windows.",
            citation="",
            inputs_description="predictions: windows of per-token negative log-likelihoods in nats",
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("float64"))}),
        )

    def _compute(self, predictions: list[list[float]], **_: Any) -> dict[str, float | int | None]:
        return pool([math.fsum(window) for window in predictions], [len(window) for window in predictions])


def pool(sums: list[float], counts: list[int]) -> dict[str, Any]:
    """What `PooledPerplexity` computes, from each window's summed loss in nats and its number of tokens."""
    tokens = sum(counts)
    mean = math.fsum(sums) / tokens
    perplexity = math.exp(mean) if mean < 700 else math.inf
    stderr = None
    windows = len(sums)
    if windows > 1:
        residuals = [(s - mean * c) / (tokens / windows) for s, c in zip(sums, counts, strict=True)]
        stderr = perplexity * math.sqrt(statistics.variance(residuals, xbar=0.0) / windows)
    return {
        "perplexity": perplexity,
        "perplexity_stderr": stderr,
        "negative_log_likelihood": mean,
        "tokens": tokens,
        "windows": windows,
    }


def pooled_perplexity(windows: list[list[float]]) -> dict[str, Any]:
    """Compute `PooledPerplexity` in memory; the folder the library insists on making lies in our cache."""
    folder = store.root() / "metrics"
    with store.disk_errors(folder):
        metric = PooledPerplexity(keep_in_memory=True, cache_dir=str(folder))
    result: dict[str, Any] = metric.compute(predictions=windows)
    return result
