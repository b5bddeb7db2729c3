"""The cards of the tab “Distil and quantise”: what they ask for, what each costs, and what came out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compression.deployment.analysis import StagePoint, TaskDots, mean_accuracy, stage_points, task_dots
from compression.deployment.costs import STAGES, seconds_of
from compression.deployment.recipe import PipelineRecipe, recipe_text
from compression.deployment.report import PipelineReport
from compression.errors import UserError
from compression.quantization.formats_report import TimedFormat
from compression.types import LatencyReport
from compression.zero_shot.tasks import ALL, choose_tasks
from views import engine
from views.texts import Words

BENCHMARK_DATA = "BENCHMARK_DATA"
"""Environment variable: the folder of items that the card Benchmark takes."""
WINDOWS = 4
PROMPT_TOKENS, DECODE_TOKENS = 64, 8


@dataclass(frozen=True)
class Asked:
    """What the cards ask for.

    Attributes:
        method: that removes.
        removed: share of the layers' weights; 0 to leave them whole.
        optimizers: names, a run each; none for no distillation.
        what: of `compression.distillation.report.WHAT`.
        minutes: of training.
        bits: of GPTQ; 0 for none.
        group_size: weights of a row that share a scale.
        items: of each benchmark; 0 for none.
        timed: whether latency is measured.
    """

    method: str
    removed: float
    optimizers: tuple[str, ...]
    what: str
    minutes: float
    bits: int
    group_size: int = 128
    items: int = 0
    timed: bool = False

    def recipes(self, model_id: str, data: str) -> list[tuple[str, PipelineRecipe]]:
        """An optimiser's name, or an empty one, and what to do, for each run.

        Args:
            model_id: the page's model.
            data: folder of benchmark items; empty for the Hub.
        """
        return [(name, self._recipe(model_id, name, data)) for name in self.optimizers or ("",)]

    def _recipe(self, model_id: str, optimizer: str, data: str) -> PipelineRecipe:
        plain: dict[str, Any] = {"model": model_id, "max_windows": WINDOWS}
        if self.removed > 0:
            plain["compress"] = {"method": self.method, "ratio": self.removed}
        if optimizer:
            plain["distill"] = {"what": self.what, "optimizer": optimizer, "minutes": self.minutes}
        if self.bits:
            plain["quantize"] = {"bits": self.bits, "group_size": self.group_size}
        if self.items:
            plain["benchmark"] = {"limit": self.items} | ({"data": data} if data else {})
        if self.timed:
            plain["latency"] = {"prompt_tokens": PROMPT_TOKENS, "decode_tokens": DECODE_TOKENS}
        return PipelineRecipe.model_validate(plain)

    def problem(self, model_id: str, words: Words) -> str:
        """Why this cannot be run, a sentence; empty if it can."""
        if engine.is_speech(model_id):
            return words("distil.needs_text")
        if not self.removed and not self.optimizers and not self.bits:
            return words("distil.nothing")
        return words("distil.needs_removal") if self.optimizers and not self.removed else ""


def asked_of(
    method: str,
    removed: float,
    optimizers: Sequence[str],
    what: str,
    minutes: float,
    bits: int,
    group_size: int,
    benchmarked: bool,
    items: float,
    timed: bool,
) -> Asked:
    """What the controls say, in their order on the page."""
    return Asked(
        method,
        float(removed),
        tuple(optimizers),
        what,
        float(minutes),
        int(bits),
        int(group_size),
        int(items) if benchmarked else 0,
        bool(timed),
    )


def benchmark_folder() -> str:
    """The folder of items that the app was started with; empty if there is none."""
    return os.environ.get(BENCHMARK_DATA, "")


def benchmark_count() -> int:
    """Number of benchmarks in the folder; 0 without one, or without any in it."""
    folder = benchmark_folder()
    try:
        return len(choose_tasks(ALL, Path(folder))) if folder else 0
    except UserError:
        return 0


def seconds_for(asked: Asked, model_id: str, tasks: int) -> dict[str, float]:
    """Seconds of each stage, about."""
    return seconds_of([recipe for _, recipe in asked.recipes(model_id, "")], tasks)


def cost_lines(seconds: Mapping[str, float], words: Words) -> list[str]:
    """What each card costs."""
    return [
        words("distil.takes", time=words.duration(seconds[stage])) if stage in seconds else words("distil.left_out")
        for stage in STAGES
    ]


def recipe_file(asked: Asked, model_id: str, words: Words) -> str:
    """The first run's recipe for the command line; where the app's benchmark items lie is nobody's business."""
    name, recipe = asked.recipes(model_id, "")[0]
    others = ", ".join(other for other in asked.optimizers if other != name)
    remark = f"# {words('distil.recipe_others', others=others)}\n" if others else ""
    return remark + recipe_text(recipe)


@dataclass(frozen=True)
class Reached:
    """What a run has come to.

    Attributes:
        optimizer: its name; empty where there is nothing to tell apart.
        points: the model after each stage.
        dots: benchmarks, if they were measured.
        latency: if it was measured.
        timed: the format that was timed, if it was another than what is stored.
    """

    optimizer: str
    points: tuple[StagePoint, ...] = ()
    dots: tuple[TaskDots, ...] = ()
    latency: LatencyReport | None = None
    timed: TimedFormat | None = None

    def finished(self, report: PipelineReport) -> Reached:
        """The same with all that a report says."""
        dots = task_dots(report.benchmark) if report.benchmark else ()
        points = stage_points(report.stages)
        return replace(self, points=points, dots=dots, latency=report.latency, timed=report.timed)


def example_of(report: PipelineReport) -> Reached:
    """A run that came with the app."""
    asked = report.recipe.get("distill") or {}
    return Reached(asked.get("optimizer", "")).finished(report)


def outcome_lines(runs: Sequence[Reached], words: Words, example: bool = False) -> list[str]:
    """What came out of each card: a line for each run; what two runs share is said once."""
    lines: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for run in runs:
        who = f"{words.name('optimizer', run.optimizer)}: " if run.optimizer else ""
        for point in run.points:
            if point.name in lines:
                alike = "" if point.name == "compress" else who
                lines[point.name].append(alike + _outcome(point, words))
        if run.dots:
            mean = mean_accuracy(run.dots)
            before, after = words.percent(mean.before), words.percent(mean.after)
            said = words("distil.benchmark_said", before=before, after=after, tasks=mean.tasks)
            lines["benchmark"].append(who + said)
        if run.latency is not None:
            said = words("distil.latency_said", **_times(run, run.latency, words), threads=run.latency.threads)
            lines["latency"].append(" ".join([who + said, *_price_of_format(run, words)]))
    start = f"{words('distil.outcome_example')} " if example else ""
    return [start + "<br>".join(dict.fromkeys(said)) if said else "" for said in lines.values()]


def price_line(run: Reached, words: Words) -> str:
    """What dense and final model take, in megabytes and milliseconds a token, as far as it was measured."""
    first, last = (words.number(point.megabytes) for point in (run.points[0], run.points[-1]))
    said = [words("distil.price_size", before=first, after=last)]
    if run.latency is not None:
        said.append(words("distil.price_time", **_times(run, run.latency, words)))
    return " ".join([*said, *_price_of_format(run, words)])


def _times(run: Reached, latency: LatencyReport, words: Words) -> dict[str, str]:
    before, after = (words.number(latency.decode[label].median_ms) for label in ("dense", "compressed"))
    return {"before": before, "after": after, "format": run.timed.name if run.timed else words("distil.as_stored")}


def _price_of_format(run: Reached, words: Words) -> list[str]:
    """What the format that was timed costs, a sentence; none for what is stored, which is measured elsewhere."""
    if run.timed is None:
        return []
    size, perplexity = words.number(run.timed.megabytes), words.number(run.timed.measured.perplexity, 2)
    return [words("distil.price_format", format=run.timed.name, size=size, perplexity=perplexity)]


def _outcome(point: StagePoint, words: Words) -> str:
    return words(
        "distil.outcome",
        perplexity=words.number(point.perplexity, 2),
        size=words.number(point.megabytes),
        time=words.duration(point.seconds),
    )
