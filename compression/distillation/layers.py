"""Compressed layers in training: their own factors, or an adapter beside them; and what is stored afterwards."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.modules import CompressedLinear, DictionaryLinear, LowRankLinear, SumLinear
from compression.sites import read_weight


class TrainableLowRank(nn.Module):
    """Both factors of a low-rank layer, in float32."""

    def __init__(self, layer: LowRankLinear) -> None:
        """Begin with what is stored."""
        super().__init__()
        first, second = layer.factors()
        self.first, self.second = (nn.Parameter(factor.clone()) for factor in (first, second))
        self.bias: Tensor | None
        self.register_buffer("bias", layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        return F.linear(F.linear(x, self.first), self.second.T, self.bias)

    def stored(self) -> LowRankLinear:
        """The layer with what was learned, rounded to 16 bits."""
        return LowRankLinear(self.first.detach().T, self.second.detach(), self.bias)


class TrainableDictionary(nn.Module):
    """The dictionary and the nonzeros of a dictionary layer, in float32; zeros stay where they are."""

    def __init__(self, layer: DictionaryLinear) -> None:
        """Begin with what is stored."""
        super().__init__()
        self.mask: Tensor
        self.register_buffer("mask", layer.mask(), persistent=False)
        self.dictionary = nn.Parameter(layer.dictionary.float().T.clone())
        # In one row: as (out, s) they would look like a matrix to Muon, but its columns mix different atoms.
        self.values = nn.Parameter(layer.values.float().flatten().clone())
        self.bias: Tensor | None
        self.register_buffer("bias", layer.bias)

    def codes(self) -> Tensor:
        """Sᵀ (out, k), zeros filled in; differentiable in the nonzeros."""
        return torch.zeros_like(self.mask, dtype=self.values.dtype).masked_scatter(self.mask, self.values)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        return F.linear(F.linear(x, self.dictionary), self.codes(), self.bias)

    def stored(self) -> DictionaryLinear:
        """The layer with what was learned, rounded to 16 bits."""
        return DictionaryLinear(self.dictionary.detach().T, self.codes().detach(), self.mask, self.bias)


class WithAdapter(nn.Module):
    """``y = layer(x) + α/r · B A x``: LoRA beside a layer that is not trained itself.

    Source: LoRA (2106.09685), section 4.1.
    """

    def __init__(
        self, layer: nn.Module, out_features: int, in_features: int, rank: int, alpha: float, floats: torch.dtype
    ) -> None:
        """Begin with a product of zero.

        Args:
            layer: dense or compressed.
            out_features: n.
            in_features: m.
            rank: r.
            alpha: α.
            floats: 16-bit type in which the model's dense layers are stored.
        """
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.scale, self.floats = alpha / rank, floats
        self.first = nn.Parameter(torch.randn(rank, in_features) / math.sqrt(in_features))
        self.second = nn.Parameter(torch.zeros(out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        added: Tensor = self.layer(x) + self.scale * F.linear(F.linear(x, self.first), self.second)
        return added

    def stored(self) -> nn.Module:
        """What is deployed, in values that are stored: merged into a dense layer or low-rank factors, else both."""
        first, second = self.first.detach(), self.scale * self.second.detach()
        layer = self.layer
        if isinstance(layer, LowRankLinear):
            return _extended(layer, first, second)
        if isinstance(layer, SumLinear):  # a second adapter joins the first
            return SumLinear(layer.layer, _extended(layer.adapter, first, second))
        if isinstance(layer, CompressedLinear):
            return SumLinear(layer, LowRankLinear(first.T, second.T))
        merged = copy.deepcopy(layer)
        limit = torch.finfo(self.floats).max
        read_weight(merged).copy_((read_weight(layer) + second @ first).clamp(-limit, limit).to(self.floats))
        return merged


def _extended(layer: CompressedLinear, first: Tensor, second: Tensor) -> LowRankLinear:
    """Two factors with ``second · first`` added, (out, r) and (r, in): the ranks add up."""
    own_first, own_second = layer.factors()
    return LowRankLinear(torch.cat([own_first, first]).T, torch.cat([own_second, second.T]), layer.bias)


class TrainableSum(nn.Module):
    """A layer and the adapter beside it, both with their own factors."""

    def __init__(self, layer: Trainable, adapter: Trainable) -> None:
        """Begin with what both are."""
        super().__init__()
        self.layer, self.adapter = layer, adapter

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        both: Tensor = self.layer(x) + self.adapter(x)
        return both

    def stored(self) -> SumLinear:
        """The sum with what was learned."""
        return SumLinear(self.layer.stored(), self.adapter.stored())


Trainable = TrainableLowRank | TrainableDictionary | TrainableSum


def trainable_factors(layer: nn.Module) -> Trainable | None:
    """A layer's own factors in training; None for a layer that has none."""
    if isinstance(layer, LowRankLinear):
        return TrainableLowRank(layer)
    if isinstance(layer, SumLinear):
        own, beside = trainable_factors(layer.layer), trainable_factors(layer.adapter)
        return None if own is None or beside is None else TrainableSum(own, beside)
    return TrainableDictionary(layer) if isinstance(layer, DictionaryLinear) else None
