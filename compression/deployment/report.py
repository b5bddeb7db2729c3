"""What ``pipeline`` and ``tune`` report: plain values, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from compression.quantization.formats_report import TimedFormat
from compression.types import Environment, LatencyReport, PerplexityReport

DENSE = "dense"
"""Name of the model before the first stage."""


@dataclass(frozen=True)
class LossPoint:
    """A point of a training curve: steps taken, and the loss of that batch in nats."""

    step: int
    loss: float


@dataclass(frozen=True)
class Made:
    """What making a model leaves beside its folder.

    Attributes:
        seconds: time it took, or what it took when it was made first.
        facts: figures of this stage by name, such as ``removed_fraction`` or ``steps``.
        losses: the training curve, if there was training.
        notes: cautions, a sentence each.
    """

    seconds: float
    facts: dict[str, float]
    losses: tuple[LossPoint, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageReport:
    """A model after a stage, measured.

    Attributes:
        name: ``dense``, ``compress``, ``distill`` or ``quantize``.
        measured: perplexity with its convention, and the stored bits.
        made: how the model came about.
        environment: where and when the stage was carried out.
    """

    name: str
    measured: PerplexityReport
    made: Made
    environment: Environment

    @property
    def stored_bytes(self) -> float:
        """Of the whole model."""
        return self.measured.stored_bits / 8


@dataclass(frozen=True)
class TaskChange:
    """A benchmark of the dense and of the final model, on the same items.

    Attributes:
        task: task id.
        items: number of them.
        chance: expected accuracy of guessing.
        dense: accuracy of the dense model.
        dense_stderr: its standard error, by bootstrap over items.
        final: accuracy of the final model.
        final_stderr: its standard error, likewise.
        difference: final minus dense.
        difference_stderr: its standard error, by bootstrap over items of both at once.
        dense_norm: accuracy of the dense model with log-likelihoods divided by length.
        final_norm: the same of the final model.
    """

    task: str
    items: int
    chance: float
    dense: float
    dense_stderr: float
    final: float
    final_stderr: float
    difference: float
    difference_stderr: float
    dense_norm: float
    final_norm: float


@dataclass(frozen=True)
class BenchmarkChange:
    """All benchmarks, before and after.

    Attributes:
        convention: how a choice is scored, in words.
        limit: items a task at most, of MMLU equally many a subject; None for all.
        tasks: one for each benchmark.
    """

    convention: str
    limit: int | None
    tasks: tuple[TaskChange, ...]


@dataclass(frozen=True)
class PipelineReport:
    """What ``pipeline`` writes; it is the same whether the run was interrupted or not.

    Every figure was measured once, when its stage was carried out; seconds and latencies are those of that moment.

    Attributes:
        recipe: what was asked for, defaults filled in; without what ``tune`` searches.
        model_id: the dense model.
        model_note: a caution that belongs wherever its figures appear.
        stages: the dense model, then the model after each stage.
        benchmark: before and after; None where it was not asked for.
        latency: of the dense and the final model in turns; None where it was not asked for.
        timed: the format in which the final model was timed, with its price; None for what is stored.
    """

    recipe: dict[str, Any]
    model_id: str
    model_note: str
    stages: tuple[StageReport, ...]
    benchmark: BenchmarkChange | None
    latency: LatencyReport | None
    timed: TimedFormat | None = None

    @property
    def timed_measured(self) -> PerplexityReport:
        """Perplexity and stored bits of the final model in the format in which it was timed."""
        return self.timed.measured if self.timed else self.stages[-1].measured


@dataclass(frozen=True)
class TrialReport:
    """One trial of a search.

    Attributes:
        number: from 0, in the order of the trials; those that were killed and begun again count once.
        state: ``complete``, ``pruned`` or ``failed``.
        parameters: what was tried, by ``section.field``.
        values: objective → value; empty unless complete.
        perplexities: step → perplexity on the way: 0 after compress, 1 to 4 on part of the text during training, 5
            after distill; empty where trials are not pruned.
        error: why it failed; empty if it did not.
    """

    number: int
    state: str
    parameters: dict[str, bool | int | float | str]
    values: dict[str, float]
    perplexities: dict[int, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class TuneReport:
    """What ``tune`` writes.

    Attributes:
        recipe: what was asked for, defaults filled in.
        study: its name in the database.
        model_id: the dense model.
        model_note: a caution that belongs wherever its figures appear.
        dense: the dense model, measured.
        objectives: what is made small.
        sampler: that chose the trials.
        pruner: that ended hopeless ones; ``none`` where none does.
        trials: all that ended.
        best: numbers of the best trial, or of all that no other trial beats in every objective.
        importances: objective → parameter → share, by PED-ANOVA; empty where too few trials are complete.
    """

    recipe: dict[str, Any]
    study: str
    model_id: str
    model_note: str
    dense: StageReport
    objectives: tuple[str, ...]
    sampler: str
    pruner: str
    trials: tuple[TrialReport, ...]
    best: tuple[int, ...]
    importances: dict[str, dict[str, float]]
