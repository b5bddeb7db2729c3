"""Benchmarks of a model: lm-eval's tasks, items and metrics, our scoring; what is finished is kept."""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compression import pipeline, store
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.types import Progress
from compression.zero_shot.report import CONVENTION, BenchmarkReport, TaskScore
from compression.zero_shot.scoring import encode, score
from compression.zero_shot.tasks import LAST_WORD, Source, choose_tasks, load_tasks

if TYPE_CHECKING:
    from compression.workbench import DenseModel, Workbench

MAX_LIMIT = 10**6
RESAMPLES = 2000
LONGEST = 2**16
"""Tokens, where a model has no limit."""
MAX_CACHE_BYTES = 2**26


def benchmark(
    bench: Workbench, model_id: str, tasks: str = "all", data: str = "", limit: int | None = None
) -> Generator[Progress, None, BenchmarkReport]:
    """Score a language model, dense or compressed, on zero-shot benchmarks.

    Args:
        bench: whose models are used.
        model_id: catalogue id, Hub id or directory.
        tasks: task ids, comma-separated, or ``all``.
        data: folder of items; empty for the Hub.
        limit: items a task at most, from the first on, of MMLU equally many a subject; None for all.

    Yields:
        Events of stage ``benchmark`` with the items done, and one after each task, whose `partial` is its `TaskScore`.

    Raises:
        UserError: for an unknown task, items that are missing or damaged, a limit below 1, or a speech model.
    """
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise UserError(f"The benchmark takes from 1 to {MAX_LIMIT} items, but {limit} were asked for.")
    sources = choose_tasks(tasks, Path(data).expanduser() if data else None)
    model = yield from bench.any_model(model_id)
    model.loaded.check_language()
    scores = {}
    for source in sources:
        key = store.content_key("benchmark", code_version(), model.identity, source.task, source.fingerprint, limit)
        file = store.root() / "benchmarks" / f"{key}.json"
        known = store.cached_json(file, TaskScore)
        if known is None:
            known = yield from _score_task(model, source, limit)
            store.write_cached(file, known)
            store.prune(file.parent, MAX_CACHE_BYTES)
        scores[source.task] = known
        said = f"{source.task}: {known.accuracy:.1%} of {known.items} items right"
        yield Progress("task", len(scores), len(sources), said, known)
    loaded = model.loaded
    return BenchmarkReport(
        model_id=model_id,
        model_note=loaded.note,
        stored_bits=pipeline.dense_stored_bits(loaded),
        tasks=scores,
        mean_accuracy=statistics.fmean(each.accuracy for each in scores.values()),
        limit=limit,
        convention=CONVENTION,
        notes=loaded.notes,
        environment=describe_environment(),
    )


def _score_task(model: DenseModel, source: Source, limit: int | None) -> Generator[Progress, None, TaskScore]:
    started = time.perf_counter()
    yield Progress("benchmark", 0, 1, f"reading the items of {source.task}")
    parts = load_tasks(source)
    instances = []
    shares: list[int | None] = [None] * len(parts)
    if limit is not None:
        shares = [*spread(limit, [len(part.eval_docs) for part in parts])]
        # A share of nothing is left out: lm-eval would take it for no limit.
        parts, shares = [part for part, n in zip(parts, shares, strict=True) if n], [n for n in shares if n]
    with contextlib.redirect_stderr(io.StringIO()):  # lm-eval draws a progress bar there
        for part, share in zip(parts, shares, strict=True):
            part.build_all_requests(limit=share, rank=0, world_size=1)
            instances += part.instances
    window = model.context or LONGEST
    loaded = model.loaded
    asked = [instance.args for instance in instances]
    pairs = [encode(loaded.tokenizer, context, continuation, window) for context, continuation in asked]
    steps = score(loaded.model, pairs)
    while True:
        try:
            done = next(steps)
        except StopIteration as stop:
            scored = stop.value
            break
        yield Progress("benchmark", done, len(pairs), f"{source.task}: continuation {done} of {len(pairs)}")
    for instance, each in zip(instances, scored, strict=True):
        instance.resps.append((each.log_likelihood, each.greedy))
    plain, normalised, chances = [], [], []
    for part, share in zip(parts, shares, strict=True):
        for metrics, choices in _results(part, share):
            plain.append(float(metrics["acc"]))
            normalised.append(float(metrics.get("acc_norm", metrics["acc"])))
            chances.append(0.0 if source.task == LAST_WORD else 1 / choices)
    return TaskScore(
        accuracy=statistics.fmean(plain),
        accuracy_norm=statistics.fmean(normalised),
        stderr=bootstrap_stderr(plain),
        stderr_norm=bootstrap_stderr(normalised),
        items=len(plain),
        chance=statistics.fmean(chances),
        correct=_marks(plain),
        correct_norm=_marks(normalised),
        source=source.name,
        seconds=time.perf_counter() - started,
    )


def spread(limit: int, sizes: Sequence[int]) -> list[int]:
    """How many items each part of a task gives: equally many, and where one has fewer, the others more.

    Args:
        limit: items in all, at most.
        sizes: what each part has.
    """
    shares = [0] * len(sizes)
    while (left := limit - sum(shares)) and (room := [n for n, size in enumerate(sizes) if shares[n] < size]):
        for place, number in enumerate(room):
            more = left * (place + 1) // len(room) - left * place // len(room)
            shares[number] = min(shares[number] + more, sizes[number])
    return shares


def _results(task: Any, limit: int | None) -> list[tuple[dict[str, Any], int]]:
    """lm-eval's metrics of every item of a task whose requests are answered, and the number of choices."""
    task.apply_filters()
    by_item = defaultdict(list)
    for instance in task.instances:
        by_item[instance.doc_id].append(instance)
    found = []
    for number, item in task.doc_iterator(rank=0, limit=limit, world_size=1):
        asked = sorted(by_item[number], key=lambda instance: instance.idx)
        answers = [instance.filtered_resps["none"] for instance in asked]
        found.append((task.process_results(item, answers), len(asked)))
    return found


def _marks(values: Sequence[float]) -> str:
    return "".join("1" if value else "0" for value in values)


def bootstrap_stderr(values: Sequence[float], seed: int = 0) -> float:
    """Standard deviation of the mean over `RESAMPLES` resamples of the items."""
    items = np.asarray(values, dtype=float)
    draws = np.random.default_rng(seed).integers(0, len(items), (RESAMPLES, len(items)))
    return float(items[draws].mean(1).std())
