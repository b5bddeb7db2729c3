"""Figure-ready values of the deployment pipeline: plain, and computed here rather than where they are drawn."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from compression.deployment.report import BenchmarkChange, StageReport, TrialReport, TuneReport
from compression.distillation.report import DistillReport, DistillRun
from compression.mixing.report import MixReport

NORMAL_95 = 1.96
"""Half the length of a 95 % interval, in standard errors."""
MB = 1e6


@dataclass(frozen=True)
class LossTrace:
    """A training on the way.

    Attributes:
        optimizer: name.
        seed: its seed.
        steps: steps taken.
        losses: in nats a token, one a step.
    """

    optimizer: str
    seed: int
    steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class OptimizerMean:
    """What an optimiser ends with, mean over its seeds.

    Attributes:
        optimizer: name.
        seeds: number of them.
        perplexity: after learning.
        quantized: after GPTQ on top; None where that was not asked for.
        gap_closed: share of the distance to the teacher in log-perplexity; None where there was none.
        steps: taken.
        seconds: of training.
    """

    optimizer: str
    seeds: int
    perplexity: float
    quantized: float | None
    gap_closed: float | None
    steps: float
    seconds: float


@dataclass(frozen=True)
class Rise:
    """A student before and after GPTQ.

    Attributes:
        optimizer: by which it has learned; empty for one that has not.
        seed: of that run; None for one that has not learned.
        before: perplexity.
        after: perplexity after GPTQ on top.
        nats: what GPTQ adds to the loss, nats a token.
    """

    optimizer: str
    seed: int | None
    before: float
    after: float
    nats: float


@dataclass(frozen=True)
class RiseRange:
    """What GPTQ adds to the loss after an optimiser, in nats a token: mean over its seeds, least and most."""

    optimizer: str
    seeds: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class UnderQuantization:
    """What GPTQ costs students that learned by different optimisers.

    Attributes:
        bits: of GPTQ.
        dense: perplexity of the teacher.
        student: perplexity before learning.
        rises: the student before learning, where that was quantised, then every run, an optimiser's seeds together.
        ranges: one an optimiser, in the order of the runs.
        overlap: whether there are seeds of one optimiser that lose no less than some of another; None where there are
            no two optimisers with several seeds each.
    """

    bits: int
    dense: float
    student: float
    rises: tuple[Rise, ...]
    ranges: tuple[RiseRange, ...]
    overlap: bool | None

    @property
    def exponents(self) -> tuple[float, float]:
        """Ends of a logarithmic axis, powers of ten: a twentieth beyond all values, or their lines would lie on it."""
        ends = [self.dense, self.student, *(value for rise in self.rises for value in (rise.before, rise.after))]
        low, high = math.log10(min(ends)), math.log10(max(ends))
        beside = 0.05 * (high - low)
        return low - beside, high + beside


@dataclass(frozen=True)
class StagePoint:
    """A model after a stage: its size in megabytes, its perplexity, and the seconds the stage took."""

    name: str
    megabytes: float
    perplexity: float
    stderr: float | None
    seconds: float


@dataclass(frozen=True)
class TaskDots:
    """A benchmark before and after, shares from 0 to 1, each with half the length of its 95 % interval."""

    task: str
    items: int
    chance: float
    before: float
    before_half: float
    after: float
    after_half: float
    difference: float
    difference_half: float


@dataclass(frozen=True)
class MeanAccuracy:
    """Accuracy before and after, mean over the benchmarks, shares from 0 to 1."""

    tasks: int
    before: float
    after: float


@dataclass(frozen=True)
class BudgetLine:
    """A family of choices: megabytes of the whole model and predicted perplexity, where there is one."""

    name: str
    megabytes: tuple[float, ...]
    perplexities: tuple[float, ...]


@dataclass(frozen=True)
class TrialPoint:
    """A complete trial: its value, and the best so far."""

    number: int
    value: float
    best: float


def trace_of(run: DistillRun) -> LossTrace:
    """The curve of a finished run."""
    steps = tuple(point.step for point in run.curve)
    return LossTrace(run.settings.optimizer, run.settings.seed, steps, tuple(point.loss for point in run.curve))


def smoothed(trace: LossTrace, over: int = 5) -> LossTrace:
    """The same with a running mean: batches differ more than steps."""
    losses = trace.losses
    means = tuple(statistics.fmean(losses[max(0, i - over + 1) : i + 1]) for i in range(len(losses)))
    return LossTrace(trace.optimizer, trace.seed, trace.steps, means)


def optimizer_means(report: DistillReport) -> tuple[OptimizerMean, ...]:
    """One an optimiser, in the order of the runs."""
    found = []
    for name in dict.fromkeys(run.settings.optimizer for run in report.runs):
        runs = [run for run in report.runs if run.settings.optimizer == name]
        quantized = [run.quantized_perplexity for run in runs if run.quantized_perplexity is not None]
        closed = [run.gap_closed for run in runs if run.gap_closed is not None]
        found.append(
            OptimizerMean(
                name,
                len(runs),
                statistics.fmean(run.perplexity for run in runs),
                statistics.fmean(quantized) if quantized else None,
                statistics.fmean(closed) if closed else None,
                statistics.fmean(run.steps for run in runs),
                statistics.fmean(run.train_seconds for run in runs),
            )
        )
    return tuple(found)


def under_quantization(report: DistillReport) -> UnderQuantization | None:
    """What GPTQ costs after each run; None where nothing was quantised."""
    runs = [
        _rise(run.settings.optimizer, run.settings.seed, run.perplexity, run.quantized_perplexity)
        for run in report.runs
        if run.quantized_perplexity is not None
    ]
    if not runs:
        return None
    student, quantized = report.student.perplexity, report.student_quantized
    before = [] if quantized is None else [_rise("", None, student, quantized)]
    return _compared(report.runs[0].settings.bits, report.teacher.perplexity, student, before, runs)


def under_quantization_of(bits: int, runs: Sequence[tuple[str, int, Sequence[StagePoint]]]) -> UnderQuantization | None:
    """The same of pipelines.

    Args:
        bits: of GPTQ.
        runs: optimiser, seed and stages of each, those that are on the way too.

    Returns:
        None as long as no distilled model is quantised.
    """
    known = [(name, seed, {point.name: point.perplexity for point in points}) for name, seed, points in runs]
    done = [each for each in known if each[2].keys() >= {"dense", "compress", "distill", "quantize"}]
    if not done:
        return None
    rises = [_rise(name, seed, reached["distill"], reached["quantize"]) for name, seed, reached in done]
    return _compared(bits, done[0][2]["dense"], done[0][2]["compress"], [], rises)


def _rise(optimizer: str, seed: int | None, before: float, after: float) -> Rise:
    return Rise(optimizer, seed, before, after, math.log(after / before))


def _compared(
    bits: int, dense: float, student: float, before: Sequence[Rise], runs: Sequence[Rise]
) -> UnderQuantization:
    by_name = {
        name: [run for run in runs if run.optimizer == name] for name in dict.fromkeys(r.optimizer for r in runs)
    }
    ranges = []
    for name, own in by_name.items():
        nats = [run.nats for run in own]
        ranges.append(RiseRange(name, len(own), statistics.fmean(nats), min(nats), max(nats)))
    several = [each for each in ranges if each.seeds > 1]
    overlap = None
    if len(several) > 1:
        overlap = any(a.low <= b.high and b.low <= a.high for a, b in itertools.combinations(several, 2))
    rises = (*before, *itertools.chain.from_iterable(by_name.values()))
    return UnderQuantization(bits, dense, student, rises, tuple(ranges), overlap)


def stage_points(stages: Sequence[StageReport]) -> tuple[StagePoint, ...]:
    """Where a model is after each stage."""
    return tuple(
        StagePoint(
            stage.name,
            stage.stored_bytes / MB,
            stage.measured.perplexity,
            stage.measured.perplexity_stderr,
            stage.made.seconds,
        )
        for stage in stages
    )


def task_dots(change: BenchmarkChange) -> tuple[TaskDots, ...]:
    """Benchmarks with 95 % intervals."""
    return tuple(
        TaskDots(
            task.task,
            task.items,
            task.chance,
            task.dense,
            NORMAL_95 * task.dense_stderr,
            task.final,
            NORMAL_95 * task.final_stderr,
            task.difference,
            NORMAL_95 * task.difference_stderr,
        )
        for task in change.tasks
    )


def mean_accuracy(dots: Sequence[TaskDots]) -> MeanAccuracy:
    """Every benchmark counts alike."""
    return MeanAccuracy(
        len(dots), statistics.fmean(dot.before for dot in dots), statistics.fmean(dot.after for dot in dots)
    )


def budget_lines(report: MixReport) -> tuple[BudgetLine, ...]:
    """Predicted perplexity over size, as far as there is a prediction."""
    lines = []
    for curve in report.curves:
        points = [(p.stored_bits / 8 / MB, p.perplexity) for p in curve.points if p.perplexity is not None]
        lines.append(BudgetLine(curve.name, tuple(size for size, _ in points), tuple(value for _, value in points)))
    return tuple(lines)


def best_at(report: MixReport, megabytes: float) -> tuple[str, float, float] | None:
    """Family, size and predicted perplexity of the best mix that fits; None where none does."""
    fitting = [
        (value, size, line.name)
        for line in budget_lines(report)
        for size, value in zip(line.megabytes, line.perplexities, strict=True)
        if size <= megabytes + 1e-9
    ]
    if not fitting:
        return None
    value, size, name = min(fitting)
    return name, size, value


def history(report: TuneReport) -> tuple[TrialPoint, ...]:
    """The first objective of every complete trial."""
    objective = report.objectives[0]
    done = [(trial.number, trial.values[objective]) for trial in report.trials if trial.state == "complete"]
    best = itertools.accumulate((value for _, value in done), min)
    return tuple(TrialPoint(number, value, least) for (number, value), least in zip(done, best, strict=True))


def best_trial(report: TuneReport) -> TrialReport | None:
    """Of the trials that no other beats, the one with the least first objective; None where none is complete."""
    unbeaten = [trial for trial in report.trials if trial.number in report.best]
    return min(unbeaten, key=lambda trial: trial.values[report.objectives[0]], default=None)
