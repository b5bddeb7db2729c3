"""Layers in 4 bits that a CPU computes with as they are packed: smaller than 8 bits, and as fast for one token.

The stored form is that of any quantised layer; `torch.ops.aten._weight_int4pack_mm_for_cpu`, the kernel behind torch's
4-bit CPU inference, reads the codes in an order of its own. It is fast for bfloat16 inputs only: with float32 it takes
fifty times as long (1536 × 576, one token), so inputs are rounded to bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compression.errors import UserError
from compression.modules import CompressedLinear, bytes_held
from compression.quantization.fast import to_int8
from compression.quantization.grid import QuantizationSettings, round_to_nearest
from compression.quantization.layers import PackedMatrix, QuantizedLinear
from compression.sites import compressed_copy, read_weight
from compression.types import LinearSite

INT4_BITS = 4
MIDDLE = 8
"""The code that the kernel takes for zero."""
KERNEL_GROUPS = (32, 64, 128, 256)
"""Weights that may share a scale."""
ROW_MULTIPLE = 16
"""The kernel takes outputs in blocks of so many."""
GROUPS = (64, 32)
"""For a layer that is rounded here: the first that divides its inputs."""
CAPABILITIES = ("AVX2", "AVX512")
"""Instruction sets that the kernel is written for; elsewhere torch runs a plain loop."""


def has_kernel() -> bool:
    """Whether this processor has the kernel."""
    return torch.backends.cpu.get_cpu_capability() in CAPABILITIES


class Int4Linear(QuantizedLinear):
    """``y = x Ŵᵀ + b`` from 4-bit codes, with a scale and a zero point a group.

    Inputs, scales and ``scale · (8 − zero)`` are rounded to bfloat16 on the way, sums are in float32.
    """

    representation = "int4"

    def __init__(self, weight: PackedMatrix, bias: Tensor | None) -> None:
        """Keep the matrix, (out, in), which the kernel must take: see `takes`."""
        super().__init__(weight, bias)
        self._running: tuple[Tensor, Tensor] | None = None

    @staticmethod
    def takes(weight: PackedMatrix) -> bool:
        """Whether the kernel takes a matrix of these sizes."""
        rows, columns = weight.shape
        whole = rows % ROW_MULTIPLE == 0 and columns % weight.group == 0
        return weight.bits == INT4_BITS and weight.group in KERNEL_GROUPS and whole

    def usual_execution(self) -> str:
        """``packed``: one product with codes that are expanded in registers."""
        return "packed"

    def executed_flops(self) -> int:
        """One dense product."""
        return self.flops()

    def expanded_bytes(self) -> int:
        """Of the codes and scales as the kernel reads them, once it has run."""
        return bytes_held(self._running or ())

    def resident_bytes(self) -> int:
        """Bytes of the buffers, and of what the kernel reads once it has run."""
        return super().resident_bytes() + self.expanded_bytes()

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in), giving (..., out) in the dtype of `x`.

        Raises:
            UserError: on another device than a CPU.
        """
        if x.device.type != "cpu":
            raise UserError("The int4 format computes on a CPU only: move the model there, or choose another format.")
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.out_features)
        running = self._running
        if running is None:
            running = self._running = _for_kernel(self.weight)
        rows = x.reshape(-1, self.in_features).bfloat16()
        found = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, running[0], self.weight.group, running[1])
        output = found.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return output if self.bias is None else output + self.bias.to(x.dtype)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._running = None
        super()._load_from_state_dict(*args, **kwargs)


def _for_kernel(weight: PackedMatrix) -> tuple[Tensor, Tensor]:
    """Codes in the kernel's order, and (groups, rows, 2): scales and what code 8 stands for, bfloat16."""
    matrix = weight.quantized()
    scales = matrix.scales.float()
    offsets = scales * (MIDDLE - matrix.zeros.float())
    codes = torch.ops.aten._convert_weight_to_int4pack_for_cpu(matrix.codes.int().contiguous(), 1)
    return codes, torch.stack([scales, offsets], 2).transpose(0, 1).bfloat16().contiguous()


def to_int4(model: PreTrainedModel, sites: tuple[LinearSite, ...]) -> PreTrainedModel:
    """A language model whose layers are in 4 bits where the kernel takes them, and all else has weights in 8 bits.

    Output layer and embeddings stay in 8 bits: nowhere else does rounding cost as much for as few weights.

    Args:
        model: dense, or quantised to 4 bits, whose codes are kept; it is not changed.
        sites: its layers.
    """
    layers: dict[str, nn.Module] = {}
    for site in sites:
        layer = model.get_submodule(site.name)
        weight = _packed(layer)
        if weight is not None and Int4Linear.takes(weight):
            layers[site.name] = Int4Linear(weight, layer.bias.detach() if isinstance(layer.bias, Tensor) else None)
    rest = tuple(site for site in sites if site.name not in layers)
    return compressed_copy(to_int8(model, rest), layers)


def _packed(layer: nn.Module) -> PackedMatrix | None:
    """A layer's matrix in 4 bits: as it is stored, or rounded to nearest; None for a layer of another kind."""
    if isinstance(layer, QuantizedLinear):
        return layer.weight
    if isinstance(layer, CompressedLinear):
        return None
    weight = read_weight(layer)
    group = next((size for size in GROUPS if weight.shape[1] % size == 0), None)
    if group is None:
        return None
    return PackedMatrix(round_to_nearest(weight, QuantizationSettings(INT4_BITS, group)), symmetric=False)
