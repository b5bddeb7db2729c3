"""What the steps of the guided walk find out, each with the option that holds: questions are answered by measuring.

A step asks for a guess first. Its options are ranges of one number, so that whatever is measured, on any model, exactly
one of them holds.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from compression import api
from compression.adaptation.types import AdaptReport, GateMap
from compression.analysis import AnalysisInfo, AnyComparison, SpectrumInfo
from compression.errors import UserError
from compression.recipe import Recipe
from compression.steps import Steps
from compression.types import LatencyReport, SpeechLatencyReport

REMOVED = 0.2
"""What the steps compress by: enough to hurt, and measured beforehand where results came with the app."""
LOST = 0.1
"""Share of the squared singular values that may be lost."""
BOUNDS: dict[str, tuple[float, ...]] = {
    "spectrum": (0.1, 0.3, 0.6),
    "whitening": (1.5, 5.0, 100.0),
    "dictionary": (0.0, 0.1, 0.3),
    "budget": (0.05, 0.25, 0.5),
    "speed": (0.9, 1.1),
    "gates": (0.0, 0.01, 0.03),
}
"""Step → where one of its options ends and the next begins; a value on a bound belongs to the option below it."""
PACES = ("faster", "same", "slower")
"""The options of the step about speed, in their order."""


@dataclass(frozen=True)
class Finding:
    """What a step found.

    Attributes:
        step: its key.
        outcome: which way it went, so that what is said of it follows from what was measured.
        value: the number that was asked for.
        numbers: what its sentence says, by name; shares are fractions.
        names: layers that its sentence names.
        bars: what its picture compares, by name; empty where `subject` is drawn.
        subject: what is drawn otherwise.
    """

    step: str
    outcome: str
    value: float
    numbers: dict[str, float]
    names: dict[str, str]
    bars: dict[str, float]
    subject: SpectrumInfo | LatencyReport | SpeechLatencyReport | tuple[GateMap, ...] | None = None

    @property
    def answer(self) -> int:
        """Number of the option that holds, from 0."""
        return _option(self.step, self.value)


def _option(step: str, value: float) -> int:
    return bisect.bisect_left(BOUNDS[step], value)


def find(step: str, model: str, adapted: AdaptReport | None) -> Steps[Finding]:
    """Carry a step out: what is known is found without a step of work, see `api.STEPS`.

    Args:
        step: a key of `BOUNDS`.
        model: catalogue id, Hub id or directory.
        adapted: runs of gates and of full training on one task, for the last step.

    Raises:
        UserError: if the model cannot be loaded, or the runs are missing.
    """
    if step == "spectrum":
        analysis: AnalysisInfo = yield from api.STEPS["analyze"](model)
        return spectrum(analysis.spectra[len(analysis.spectra) // 2])
    if step == "speed":
        return speed((yield from _latency(model)))
    if step == "gates":
        return gates(adapted)
    if step == "whitening":
        return whitening((yield from _compare(model, ("svd", "svd-llm"), "uniform")))
    if step == "dictionary":
        return dictionary((yield from _compare(model, ("svd-llm", "compot"), "uniform")))
    even = yield from _compare(model, ("compot",), "uniform")
    aware = yield from _compare(model, ("compot",), "fisher")
    return budget(even, aware)


def _compare(model: str, methods: Sequence[str], policy: str) -> Steps[AnyComparison]:
    answer: AnyComparison = yield from api.STEPS["compare"](model, methods, policy, REMOVED)
    return answer


def _latency(model: str) -> Steps[LatencyReport | SpeechLatencyReport]:
    """Always measured now: a time belongs to a machine."""
    recipe = Recipe(model, "compot", "uniform", REMOVED)
    yield from api.load(model)
    bench = api.workbench()
    report: LatencyReport | SpeechLatencyReport
    if (yield from bench.is_speech(model)):
        report = yield from bench.speech_latency(recipe)
    else:
        report = yield from bench.latency(recipe)
    return report


def spectrum(info: SpectrumInfo) -> Finding:
    """How many singular values keep most of the energy, of the weights and of what the layer passes on."""
    plain, passed_on = _kept(info, info.plain_lost_energy), _kept(info, info.whitened_lost_energy)
    numbers = {
        "all": info.full_rank,
        "plain": plain,
        "whitened": passed_on,
        "break_even": info.break_even_rank,
        "share": plain / info.full_rank,
        "whitened_share": passed_on / info.full_rank,
    }
    outcome = "fewer" if passed_on < plain else "not_fewer"
    return Finding("spectrum", outcome, plain / info.full_rank, numbers, {"site": info.site}, {}, info)


def _kept(info: SpectrumInfo, lost: Sequence[float]) -> int:
    """The first of the stored points at which at most `LOST` is lost."""
    return next((index for index, share in zip(info.indices, lost, strict=True) if share <= LOST), info.full_rank)


def whitening(comparison: AnyComparison) -> Finding:
    """What the same rank costs, chosen by the weights alone and by what the layer passes on."""
    dense = comparison.dense.quality
    by = {run.method: run.quality for run in comparison.runs}
    times = _times(by["svd"], dense)
    numbers = {"dense": dense, "svd": by["svd"], "whitened": by["svd-llm"], "times": times}
    outcome = "helps" if by["svd-llm"] < by["svd"] else "helps_not"
    return Finding("whitening", outcome, times, numbers, {}, {"dense": dense, **by})


def dictionary(comparison: AnyComparison) -> Finding:
    """What a sparse dictionary saves beside one subspace, at the same budget."""
    dense = comparison.dense.quality
    by = {run.method: run.quality for run in comparison.runs}
    lower = 1 - _times(by["compot"], by["svd-llm"])
    numbers = {"dense": dense, "subspace": by["svd-llm"], "sparse": by["compot"], "lower": lower}
    outcome = "lower" if lower > 0 else "not_lower"
    return Finding("dictionary", outcome, lower, numbers, {}, {"dense": dense, **by})


def budget(even: AnyComparison, aware: AnyComparison) -> Finding:
    """How much of the way back to the dense model the split of the same budget is worth."""
    dense, flat, split = even.dense.quality, even.runs[0], aware.runs[0]
    way = flat.quality - dense
    closed = (flat.quality - split.quality) / way if way > 0 else 0.0
    by_projection: dict[str, list[float]] = {}
    for site in split.sites:
        by_projection.setdefault(site.name.rsplit(".", 1)[-1], []).append(site.removed_fraction)
    means = {name: statistics.fmean(values) for name, values in by_projection.items()}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    numbers = {
        "dense": dense,
        "even": flat.quality,
        "aware": split.quality,
        "closed": closed,
        "most": means[most],
        "least": means[least],
    }
    outcome = "back" if closed > 0 else "not_back" if way > 0 else "no_way"
    bars = {"dense": dense, "even": flat.quality, "aware": split.quality}
    return Finding("budget", outcome, closed, numbers, {"most": most, "least": least}, bars)


def speed(report: LatencyReport | SpeechLatencyReport) -> Finding:
    """How long a token takes, compressed beside dense."""
    decode = report.decode
    ratio = decode["compressed"].median_ms / decode["dense"].median_ms
    numbers = {
        "dense": decode["dense"].median_ms,
        "compressed": decode["compressed"].median_ms,
        "ratio": ratio,
        "stored": report.stored_bits["compressed"] / report.stored_bits["dense"],
    }
    return Finding("speed", PACES[_option("speed", ratio)], ratio, numbers, {}, {}, report)


def gates(adapted: AdaptReport | None) -> Finding:
    """What gates lose beside the training of all weights, and what they remove on the way.

    Raises:
        UserError: if there are no such runs.
    """
    runs = () if adapted is None else adapted.runs
    gated = [run for run in runs if run.method == "finegates" and run.accuracy is not None]
    full = [run for run in runs if run.method == "full" and run.accuracy is not None]
    if not gated or not full:
        raise UserError("The runs of gates that come with the app are missing: adapt a model in the tab Adapt instead.")
    accuracy = statistics.fmean(run.accuracy or 0.0 for run in gated)
    reference = statistics.fmean(run.accuracy or 0.0 for run in full)
    times = [run.latency_ratio for run in gated if run.latency_ratio is not None]
    numbers = {
        "gates": accuracy,
        "full": reference,
        "lost": reference - accuracy,
        "removed": statistics.fmean(run.removed_fraction for run in gated),
        "trained": gated[0].trainable_parameters,
        "all": full[0].trainable_parameters,
    }
    pace = "untimed"
    if times:
        numbers["latency"] = statistics.fmean(times)
        pace = PACES[_option("speed", numbers["latency"])]
    return Finding("gates", pace, reference - accuracy, numbers, {}, {}, gated[0].gates)


def _times(value: float, reference: float) -> float:
    """A ratio of two qualities; of a word error rate there may be none left to compare with."""
    if not reference:
        return float("inf") if value else 1.0
    return value / reference
