"""LoRA-XS: a small square matrix between frozen singular vectors of the weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.methods.replaced import AdaptedLinear, ReplacingAdapter
from compression.adaptation.structure import ModelStructure, linear
from compression.linalg import truncated_svd

INITIAL_SPREAD = 1e-5
"""Standard deviation of the square matrix at the start."""


class CoreLinear(AdaptedLinear):
    """``W + scale·(U Σ) R Vᵀ`` with R (r, r) trained and the truncated singular factors of W frozen."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        """Decompose the weight; the rank is at most its smaller side."""
        super().__init__(base)
        rank = min(rank, *base.weight.shape)
        left, right = truncated_svd(base.weight.detach(), rank)  # U, and Σ Vᵀ
        energies = torch.linalg.vector_norm(right, dim=1, keepdim=True)
        self.scale = scale
        self.output_factor: Tensor
        self.input_factor: Tensor
        dtype = base.weight.dtype
        self.register_buffer("output_factor", (left * energies.T).to(dtype), persistent=False)
        self.register_buffer("input_factor", (right / energies.clamp_min(1e-300)).to(dtype), persistent=False)
        self.core = nn.Parameter(torch.randn(rank, rank, dtype=dtype) * INITIAL_SPREAD)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        inner = F.linear(F.linear(x, self.input_factor), self.core)
        return self.base(x) + self.scale * F.linear(inner, self.output_factor)

    def merged_weight(self) -> Tensor:
        """The weight with the product added, in float64 on the way."""
        product = self.output_factor.double() @ self.core.double() @ self.input_factor.double()
        return self.base.weight.double() + self.scale * product


def adapted_layers(structure: ModelStructure) -> tuple[str, ...]:
    """Query, value, attention output and MLP output of an encoder; every linear layer of a language model."""
    if not structure.classifies:
        return structure.layers
    return tuple(
        name for block in structure.blocks for name in (block.query, block.value, block.output, block.mlp_output)
    )


@register
@dataclass(frozen=True)
class LoRAXS(AdaptationMethod):
    """``y = (W + (α/r)·U_r Σ_r R V_rᵀ) x``: r² trained numbers a layer, whatever its size.

    R begins as N(0, 1e-5²), so that the start is the dense model up to rounding. Which layers: as in the paper's
    experiments (query, value, attention output and MLP output for GLUE, all of them for language models).
    """

    name = "lora-xs"
    title = "LoRA-XS"
    description = "Trains a small square matrix between frozen singular vectors of each weight."
    source = "LoRA-XS (2405.17604)"
    default_learning_rate = 2e-3

    rank: int = setting(25, "Rank r", 1, 1024)
    alpha: float = setting(16.0, "Scale α, divided by the rank", 0.01, 1024.0)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> ReplacingAdapter:
        """Decompose the weights."""
        layers: dict[str, AdaptedLinear] = {
            name: CoreLinear(linear(setup.model, name), self.rank, self.alpha / self.rank)
            for name in adapted_layers(setup.structure)
        }
        return ReplacingAdapter(setup, layers)
