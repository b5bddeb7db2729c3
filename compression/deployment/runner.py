"""A pipeline, stage after stage: what is finished is kept under a key of all it depends on, and never made again.

Design:
    - A stage's key is that of the stage before with its own settings, the contents of its text and the code's version:
      a killed run finds what it had finished, and recipes that begin alike share their beginnings.
    - A stage keeps its folder as soon as it is written, and its figures as soon as they are measured. Inside of a stage
      compression, distillation and benchmarks keep checkpoints of their own.
    - Whatever a stopwatch says is measured with its stage and kept with it, so that the report of a run that was
      interrupted is the report of that very run, to the byte.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from compression import export, store, texts
from compression.deployment.recipe import LatencySection, PipelineRecipe
from compression.deployment.report import (
    DENSE,
    BenchmarkChange,
    Made,
    PipelineReport,
    StageReport,
    TaskChange,
)
from compression.deployment.stages import Stage, stages_of
from compression.environment import code_version, describe_environment
from compression.quantization.formats_report import FormatLatency, TimedFormat
from compression.recipe import Recipe
from compression.steps import Steps
from compression.types import LatencyReport, Progress
from compression.zero_shot.report import BenchmarkReport, TaskScore
from compression.zero_shot.runner import bootstrap_stderr
from compression.zero_shot.tasks import choose_tasks

if TYPE_CHECKING:
    from compression.workbench import Workbench

MAX_CACHE_BYTES = 16 * 2**30
REPORT_FILE = "stage.json"
MADE_FOLDER = "made"
MADE_FILE = "made.json"
MODEL_FOLDER = "model"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Reached:
    """Where a pipeline is.

    Attributes:
        key: of the model, and of all that was done to it.
        model_id: the model, or its folder.
        report: its figures.
    """

    key: str
    model_id: str
    report: StageReport


def run_pipeline(bench: Workbench, recipe: PipelineRecipe, out: Path | None = None) -> Steps[PipelineReport]:
    """Carry a recipe out, or what is not done of it yet.

    Args:
        bench: whose models and texts are used.
        recipe: a checked one.
        out: where the final model is written to as well.

    Yields:
        Among others, an event of stage ``run`` after each stage, whose `partial` is its `StageReport`.

    Raises:
        UserError: if a stage cannot be carried out; what was finished before is kept.
    """
    if out is not None:
        store.check_new_directory(out)
    asked = recipe.benchmark
    sources = choose_tasks(asked.tasks, Path(asked.data).expanduser() if asked.data else None) if asked else ()
    now = yield from measure_dense(bench, recipe)
    dense = now.report.measured
    reached = [now]
    stages = stages_of(recipe)
    for stage in stages:
        now = yield from _carried_out(bench, recipe, stage, now)
        reached.append(now)
        done = now.report
        said = f"{stage.name}: perplexity {done.measured.perplexity:.2f}, {done.stored_bytes / 1e6:.1f} MB"
        yield Progress("run", len(reached) - 1, len(stages), said, done)
    benchmark, latency, timed = None, None, None
    if asked:
        items = [(source.task, source.fingerprint) for source in sources]
        key = store.content_key("pipeline-benchmark", now.key, items, asked.limit)
        benchmark = yield from _kept(
            recipe.model, key, BenchmarkChange, lambda: _benchmark(bench, recipe, now.model_id)
        )
    if recipe.latency:
        latency, timed = yield from _timed(bench, recipe, recipe.latency, now)
    if out is not None:
        yield Progress("save", 0, 1, f"writing {out}")
        with store.atomic_directory(out) as temporary:
            shutil.copytree(now.model_id, temporary, dirs_exist_ok=True)
    return PipelineReport(
        recipe=recipe.model_dump(mode="json", exclude={"tune"}),
        model_id=dense.model_id,
        model_note=dense.model_note,
        stages=tuple(each.report for each in reached),
        benchmark=benchmark,
        latency=latency,
        timed=timed,
    )


def measure_dense(bench: Workbench, recipe: PipelineRecipe) -> Steps[Reached]:
    """The model before the first stage."""
    identity = (yield from bench.opened(recipe.model)).identity
    scored = yield from texts.load_text(recipe.text or texts.DEFAULT_EVALUATION)
    measuring = scored.source.fingerprint, recipe.window, recipe.max_windows
    key = store.content_key("pipeline", code_version(), identity, measuring)
    report = yield from _kept(
        recipe.model, key, StageReport, lambda: _measured(bench, recipe, DENSE, recipe.model, Made(0.0, {}))
    )
    return Reached(key, recipe.model, report)


def _cell(key: str) -> Path:
    return store.root() / "pipelines" / key


def _kept(model_id: str, key: str, kind: type[T], make: Callable[[], Steps[T]], folder: Path | None = None) -> Steps[T]:
    """What was measured before, or is measured now; while one process does it, others wait and then find it.

    Args:
        model_id: of the dense model, for those who wait.
        key: of all that it depends on.
        kind: what it is.
        make: measures it.
        folder: a model that belongs to it; without that model it counts as absent.
    """
    file = _cell(key) / REPORT_FILE
    with (yield from store.waiting_lock(f"pipeline-{key[:40]}", model_id)):
        known = store.cached_json(file, kind) if folder is None or export.is_compressed_directory(folder) else None
        if known is None:
            known = yield from make()
            store.write_cached(file, known)
        store.touch(file.parent)
    store.prune(file.parent.parent, MAX_CACHE_BYTES)
    return known


def _carried_out(bench: Workbench, recipe: PipelineRecipe, stage: Stage, before: Reached) -> Steps[Reached]:
    text = yield from texts.load_text(stage.text)
    settings = stage.settings.model_dump(mode="json")
    key = store.content_key("pipeline-stage", before.key, stage.name, settings, text.source.fingerprint)
    made_folder = _cell(key) / MADE_FOLDER
    folder = made_folder / MODEL_FOLDER

    def make() -> Steps[StageReport]:
        made = store.cached_json(made_folder / MADE_FILE, Made)
        if made is None or not export.is_compressed_directory(folder):
            store.remove(made_folder)
            with store.atomic_directory(made_folder) as temporary:
                made = yield from stage.run(bench, before.model_id, temporary / MODEL_FOLDER)
                store.write_cached(temporary / MADE_FILE, made)
        return (yield from _measured(bench, recipe, stage.name, str(folder), made))

    return Reached(key, str(folder), (yield from _kept(recipe.model, key, StageReport, make, folder)))


def _measured(bench: Workbench, recipe: PipelineRecipe, name: str, model_id: str, made: Made) -> Steps[StageReport]:
    text = recipe.text or texts.DEFAULT_EVALUATION
    measured = yield from bench.evaluate(Recipe(model_id), text, recipe.window, recipe.max_windows)
    return StageReport(name, measured, made, describe_environment())


def _timed(
    bench: Workbench, recipe: PipelineRecipe, asked: LatencySection, final: Reached
) -> Steps[tuple[LatencyReport, TimedFormat | None]]:
    """Dense and final model by the clock; the latter as it is stored, or in another format with its price."""
    counts = asked.prompt_tokens, asked.decode_tokens
    name = asked.format
    if name == "stored":
        key = store.content_key("pipeline-latency", final.key, counts)
        plain = yield from _kept(
            recipe.model, key, LatencyReport, lambda: bench.latency(Recipe(final.model_id), *counts)
        )
        return plain, None
    calibrated = recipe.quantize or recipe.compress  # whose texts and settings are in the key already
    assert calibrated is not None
    read = calibrated.recipe(final.model_id)
    measuring = recipe.text, recipe.window, recipe.max_windows
    key = store.content_key("pipeline-latency", final.key, counts, name)
    found = yield from _kept(
        recipe.model,
        key,
        FormatLatency,
        lambda: bench.latency_in(name, recipe.model, read, *measuring, *counts),
    )
    return found.latency, found.timed


def _benchmark(bench: Workbench, recipe: PipelineRecipe, final: str) -> Steps[BenchmarkChange]:
    asked = recipe.benchmark
    assert asked is not None
    before: BenchmarkReport = yield from bench.benchmark(recipe.model, asked.tasks, asked.data, asked.limit)
    after: BenchmarkReport = yield from bench.benchmark(final, asked.tasks, asked.data, asked.limit)
    changes = tuple(_change(name, score, after.tasks[name]) for name, score in before.tasks.items())
    return BenchmarkChange(before.convention, asked.limit, changes)


def _change(task: str, before: TaskScore, after: TaskScore) -> TaskChange:
    pairs = zip(before.correct, after.correct, strict=True)
    return TaskChange(
        task=task,
        items=before.items,
        chance=before.chance,
        dense=before.accuracy,
        dense_stderr=before.stderr,
        final=after.accuracy,
        final_stderr=after.stderr,
        difference=after.accuracy - before.accuracy,
        difference_stderr=bootstrap_stderr([float(int(now) - int(then)) for then, now in pairs]),
        dense_norm=before.accuracy_norm,
        final_norm=after.accuracy_norm,
    )
