"""Peak memory of calibrating, differentiating, compressing and measuring one model, beside the memory model."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

import psutil
import torch

from compression import store
from compression.benchmarks.memory_report import Extrapolation, MemoryBenchmark, Phase
from compression.environment import describe_environment
from compression.memory import FLOAT, MemoryNeed, ModelShape
from compression.recipe import Recipe
from compression.sites import shape_of_config
from compression.sweeping.needs import recipe_need
from compression.types import Progress
from compression.workbench import Workbench

LIMIT = 16 * 2**30


def peak_bytes() -> int:
    """Most resident memory this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def llama_shape(
    blocks: int = 16, width: int = 2048, inner: int = 8192, heads: int = 32, kv_heads: int = 8, tied: bool = True
) -> ModelShape:
    """The shape of a Llama, without its weights; by default of that with 1.2 billion parameters."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        tie_word_embeddings=tied,
    )
    return shape_of_config(config)


def benchmark_memory(workbench: Workbench, recipe: Recipe, text: str) -> Generator[Progress, None, MemoryBenchmark]:
    """Go through all phases and note the peak after each; statistics must not be cached, or there is nothing to see.

    Args:
        workbench: what does the work.
        recipe: what to compress; gradients are taken only where its method uses them.
        text: what to measure on.
    """
    imports = psutil.Process().memory_info().rss
    info = yield from workbench.model_info(recipe.model_id)
    shape = yield from workbench.shape(recipe.model_id)
    predicted = _need(shape, recipe, workbench.streamed)
    folder = store.root() / "mapped" / f"memory-{recipe.seed}"
    steps: list[tuple[str, Callable[[], Generator[Progress, None, Any]]]] = [
        ("calibrate", lambda: workbench.statistics(recipe, gradients=False)),
        ("gradients", lambda: workbench.statistics(recipe, gradients=True)),
        ("compress", lambda: workbench.compress(recipe)),
        ("save", lambda: workbench.compress_to(recipe, folder)),
        ("evaluate", lambda: workbench.evaluate(recipe, text, recipe.sequence_length, 1)),
    ]
    if not recipe.build_method().uses_gradients and recipe.resolved().policy != "fisher":
        steps = [step for step in steps if step[0] != "gradients"]
    phases: list[Phase] = []
    largest = 0
    for name, start in steps:
        began = time.perf_counter()
        yield from start()
        largest = max(largest, getattr(predicted, "compress" if name == "save" else name))
        phases.append(Phase(name, peak_bytes(), largest, time.perf_counter() - began))
    store.remove(folder)
    other = llama_shape()
    need = _need(other, recipe, workbench.streamed).peak
    return MemoryBenchmark(
        model_id=info.model_id,
        model_note=info.note,
        streamed=workbench.streamed,
        imports_bytes=imports,
        copy_bytes=FLOAT * shape.num_parameters,
        phases=tuple(phases),
        limit_bytes=LIMIT,
        extrapolations=(Extrapolation("Llama of 1.2 B parameters", other.num_parameters, need, need <= LIMIT),),
        environment=describe_environment(),
    )


def _need(shape: ModelShape, recipe: Recipe, streamed: bool) -> MemoryNeed:
    return recipe_need(shape, recipe, recipe.sequence_length, torch.get_num_threads(), streamed)
