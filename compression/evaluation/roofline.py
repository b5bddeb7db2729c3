"""What the linear layers of a model would take at best on this machine: the roofline model.

A layer is as slow as the slower of two things: its arithmetic at the machine's peak, and reading its weights at the
machine's memory bandwidth. A prefill shares one reading among its tokens and is bound by arithmetic; a decoded token
has one reading to itself and is bound by memory.

Left out: attention, norms, activations, the embedding, the cache of keys and values, and what Python and the kernels'
calls cost. The sum over layers is therefore a lower bound, except where weights stay in a cache that is faster than
the memory behind it.

Source: Williams, Waterman, Patterson, Roofline: An Insightful Visual Performance Model for Multicore Architectures
(Communications of the ACM 52/4, 2009).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.benchmark import Timer
from transformers.pytorch_utils import Conv1D

from compression.accounting import dense_flops
from compression.modules import CompressedLinear
from compression.sites import read_weight
from compression.types import Machine

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PRODUCT_SIZE = 1024
"""Rows and columns of the matrices whose product measures the arithmetic: 2.1 GFLOP."""
READ_SIZE = 8192
"""Rows and columns of the matrix whose reading measures the memory: 256 MiB in float32."""
MEASURE_SECONDS = 0.1
"""Time for each of the two measurements; a slow machine takes what one timing, of three runs, takes."""


def measure_machine(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Machine:
    """Measure the peak of the arithmetic and of the memory, in about a third of a second and 300 MiB.

    The fastest of several runs counts: other programs can only slow a run down.

    Args:
        device: where the model computes.
        dtype: the precision it computes in.
    """
    square = torch.ones(PRODUCT_SIZE, PRODUCT_SIZE, device=device, dtype=dtype)
    product = _fastest(square, square)
    del square
    matrix = torch.ones(READ_SIZE, READ_SIZE, device=device, dtype=dtype)
    reading = _fastest(torch.ones(1, READ_SIZE, device=device, dtype=dtype), matrix)
    return Machine(
        flops_per_second=PRODUCT_SIZE * dense_flops(PRODUCT_SIZE, PRODUCT_SIZE) / product,
        bytes_per_second=matrix.nbytes / reading,
        threads=torch.get_num_threads(),
    )


def best_of(machines: Sequence[Machine]) -> Machine:
    """The most that several measurements of one machine found."""
    return Machine(
        flops_per_second=max(machine.flops_per_second for machine in machines),
        bytes_per_second=max(machine.bytes_per_second for machine in machines),
        threads=machines[0].threads,
    )


def _fastest(x: torch.Tensor, weight: torch.Tensor) -> float:
    """Seconds of the fastest ``x Wᵀ``, the operation of a linear layer."""
    timer = Timer(
        "linear(x, weight)",
        globals={"linear": F.linear, "x": x, "weight": weight},
        num_threads=torch.get_num_threads(),
    )
    deadline = time.perf_counter() + MEASURE_SECONDS
    fastest = timer.timeit(1).median
    while time.perf_counter() < deadline:
        fastest = min(fastest, timer.timeit(1).median)
    return fastest


def predict_seconds(model: PreTrainedModel, tokens: int, machine: Machine) -> float:
    """Seconds of one forward pass of one sequence: the sum over linear layers of the slower of arithmetic and reading.

    The output head sees the last token only, as `compression.evaluation.latency` runs it.

    Args:
        model: dense or compressed; compressed layers count in the form they execute in.
        tokens: tokens in the pass; 1 for a decoded token.
        machine: what the machine can do.
    """
    head = model.get_output_embeddings()
    itemsize = next(model.parameters()).element_size()
    seconds = 0.0
    for layer in model.modules():
        if isinstance(layer, CompressedLinear):
            flops = layer.executed_flops()
        elif isinstance(layer, nn.Linear | Conv1D):
            flops = dense_flops(*read_weight(layer).shape)
        else:
            continue
        weights_read = flops // 2  # each takes part in one multiplication and one addition a token
        scored = 1 if layer is head else tokens
        seconds += max(scored * flops / machine.flops_per_second, weights_read * itemsize / machine.bytes_per_second)
    return seconds
