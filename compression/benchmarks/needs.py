"""What larger models would need, by models of memory and time that are checked on models that are here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

import torch

from compression import models, store
from compression.benchmarks.memory import llama_shape
from compression.benchmarks.memory_report import MemoryBenchmark
from compression.benchmarks.needs_report import NeedsBenchmark, PhaseCheck, SizeNeed
from compression.calibration import GRADIENT_LENGTH
from compression.environment import describe_environment, python_path
from compression.errors import UserError
from compression.memory import ModelShape
from compression.sites import shape_of_config
from compression.sweeping.needs import bytes_needed, disk_needed, phase_work, predicted_seconds
from compression.sweeping.recipe import Resources, SweepRecipe
from compression.types import Progress

SIZES = {
    "Llama of 1.2 B": (16, 2048, 8192, 32, 8, True),
    "Llama of 8 B": (32, 4096, 14336, 32, 8, False),
    "Llama of 70 B": (80, 8192, 28672, 64, 8, False),
}
"""Blocks, width, intermediate width, heads, key-value heads, whether head and embedding are one."""


def benchmark_needs(
    model_ids: Sequence[str], sequences: int, length: int, cells: int, workers: int
) -> Generator[Progress, None, NeedsBenchmark]:
    """Measure memory and time of every phase, each model in a process of its own.

    Args:
        model_ids: the first one is what the time model scales; the others check it.
        sequences: for calibration, and for gradients.
        length: tokens each, and of the window that is measured on.
        cells: of the sweep in question.
        workers: machines that share it.
    """
    specs = [models.resolve(model_id) for model_id in model_ids]
    checks: list[PhaseCheck] = []
    reference: tuple[dict[str, float], dict[str, float]] | None = None
    for place, model_id in enumerate(model_ids):
        yield Progress("needs", place, len(model_ids), f"measuring {model_id}")
        measured = _measured(model_id, sequences, length)
        path = yield from models.fetch(specs[place])
        work = _work(shape_of_config(models.load_config(model_id, path)), sequences, length, length)
        seconds = {phase.name: phase.seconds for phase in measured.phases if phase.name in work}
        foretold = {} if reference is None else predicted_seconds(*reference, work)
        reference = reference or (seconds, work)
        checks += [
            PhaseCheck(
                model_id,
                phase.name,
                phase.measured_bytes,
                phase.predicted_bytes,
                phase.seconds,
                foretold.get(phase.name),
            )
            for phase in measured.phases
            if phase.name in work
        ]
    assert reference is not None
    sizes = tuple(_size(name, llama_shape(*shape), reference, cells, workers) for name, shape in SIZES.items())
    return NeedsBenchmark(model_ids[0], tuple(checks), cells, workers, sizes, describe_environment())


def _measured(model_id: str, sequences: int, length: int) -> MemoryBenchmark:
    """What ``bench memory`` says of a model, streamed; a process's peak never falls, so each has its own."""
    store.root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".needs-", dir=store.root()) as folder:
        file = Path(folder) / "memory.json"
        settings = [
            "--calibration-sequences",
            sequences,
            "--gradient-sequences",
            sequences,
            "--sequence-length",
            length,
        ]
        command = [sys.executable, "-m", "compression", "bench", "memory", model_id, "--stream", "--json", file]
        environment = os.environ | {"PYTHONPATH": python_path()}
        words = [str(word) for word in (*command, *settings)]
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            # A process that the system ended for want of memory had no time to say anything.
            silent = f"its process ended with code {ended.returncode} and said nothing, perhaps for want of memory."
            said = ended.stderr.strip().splitlines() or [silent]
            raise UserError(f"{model_id} could not be measured: {said[-1][:300]}")
        return store.read_json(file, MemoryBenchmark)


def _work(shape: ModelShape, sequences: int, length: int, window_tokens: int) -> dict[str, float]:
    return phase_work(shape, sequences * length, sequences * min(length, GRADIENT_LENGTH), window_tokens)


def _size(
    name: str,
    shape: ModelShape,
    reference: tuple[dict[str, float], dict[str, float]],
    cells: int,
    workers: int,
) -> SizeNeed:
    """For a sweep with the defaults of a recipe."""
    threads = torch.get_num_threads()
    sweep = SweepRecipe(models=(name,), resources=Resources(cpus=threads))
    windows = (sweep.max_windows or 1) * sweep.window
    work = _work(shape, sweep.calibration_sequences, sweep.sequence_length, windows)
    seconds = predicted_seconds(*reference, work)
    statistics = seconds["calibrate"] + seconds.get("gradients", 0.0)
    cell = seconds["compress"] + seconds["evaluate"]
    return SizeNeed(
        name,
        shape.num_parameters,
        bytes_needed(shape, sweep),
        bytes_needed(shape, sweep.model_copy(update={"stream": True})),
        disk_needed(shape, streamed=True),
        statistics,
        cell,
        (statistics + cells * cell) / workers,
    )
