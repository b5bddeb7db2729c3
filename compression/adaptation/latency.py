"""How long a forward pass of what would be deployed takes, beside the dense original."""

from __future__ import annotations

import statistics
import time

import torch
from transformers import PreTrainedModel

from compression.adaptation.types import AdaptLatency

TOKENS = 64
BATCHES = (1, 16)
REPEATS = 15


def measure(dense: PreTrainedModel, deployed: PreTrainedModel, batch: int, tokens: int = TOKENS) -> AdaptLatency:
    """Alternate both models on the same random tokens, so that a change of the machine's pace meets both.

    Args:
        dense: before adapting.
        deployed: after.
        batch: examples.
        tokens: tokens an example.
    """
    generator = torch.Generator().manual_seed(0)
    config = dense.config.get_text_config()
    ids = torch.randint(5, config.vocab_size, (batch, tokens), generator=generator)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    times: list[tuple[float, float]] = []
    with torch.no_grad():
        for _ in range(REPEATS + 2):
            pair = []
            for model in (dense, deployed):
                started = time.perf_counter()
                model(**inputs)
                pair.append(time.perf_counter() - started)
            times.append((pair[0], pair[1]))
    times = times[2:]  # the first ones warm up
    return AdaptLatency(
        batch,
        tokens,
        1000 * statistics.median(first for first, _ in times),
        1000 * statistics.median(second for _, second in times),
        statistics.median(second / first for first, second in times),
        torch.get_num_threads(),
    )
