"""Made-up reports of ``adapt``, as the workbench would give them."""

from __future__ import annotations

import dataclasses
from typing import Any

from compression.adaptation.types import AdaptReport, AdaptRun, AdaptSettings, Score
from compression.environment import describe_environment


def made_up_run(settings: AdaptSettings, correct: str, *, removes: bool = True, **changes: Any) -> AdaptRun:
    """One run with these answers, or of a language model where there are none."""
    language = settings.task == "lm"
    accuracy = None if language else correct.count("1") / len(correct)
    values: dict[str, Any] = {
        "method": settings.method,
        "seed": settings.seed,
        "accuracy": accuracy,
        "f1": accuracy,
        "removed_fraction": settings.target_sparsity + 0.001 if removes else 0.0,
        "soft_sparsity": 0.3 if removes else None,
        "trainable_parameters": 12345,
        "latency_ratio": 0.75,
        "train_seconds": 60.0 + settings.seed,
        "perplexity": 20.0 + settings.seed if language else None,
        "settings": settings,
        "target_sparsity": settings.target_sparsity if removes else None,
        "removed_parameters": 400,
        "gated_parameters": 1000,
        "head_parameters": 10,
        "score": Score(100, len(correct), accuracy, accuracy, 0.5, None, correct),
        "steps": 100,
        "peak_memory_bytes": 250_000_000 + settings.seed,
        "latency": (),
        "stored_bits": 16_000,
        "original_bits": 32_000,
        "curve": (),
        "scores": (),
        "gates": (),
        "notes": ("one note",),
        "warning": None,
        "stopped": "",
        "model_note": "",
        "environment": describe_environment(),
    }
    return AdaptRun(**(values | changes))


def made_up_report(runs: tuple[AdaptRun, ...], **changes: Any) -> AdaptReport:
    """A report of runs."""
    language = runs[0].settings.task == "lm"
    report = AdaptReport(
        model_id=runs[0].settings.model_id,
        model_note="",
        task=runs[0].settings.task,
        labels=() if language else ("no", "yes"),
        train_source="train.tsv (examples: 9)",
        evaluation_source="dev.tsv (examples: 4)",
        majority=None if language else 0.684,
        runs=runs,
    )
    return dataclasses.replace(report, **changes)
