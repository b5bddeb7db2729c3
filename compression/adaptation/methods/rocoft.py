"""RoCoFT: the first rows of every weight are trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.methods.replaced import AdaptedLinear, ReplacingAdapter
from compression.adaptation.structure import linear


class RowLinear(AdaptedLinear):
    """``W`` with its first k rows replaced by trained ones that begin as they are.

    The rows are a parameter of their own, so that neither an optimiser's weight decay nor its moments touch the others.
    """

    def __init__(self, base: nn.Linear, rows: int) -> None:
        """Copy the first `rows` rows, or all if there are fewer."""
        super().__init__(base)
        self.rows = nn.Parameter(base.weight.detach()[:rows].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in): the trained outputs, then the others."""
        bias = self.base.bias
        count = len(self.rows)
        trained = F.linear(x, self.rows, None if bias is None else bias[:count])
        frozen = F.linear(x, self.base.weight[count:], None if bias is None else bias[count:])
        return torch.cat([trained, frozen], -1)

    def merged_weight(self) -> Tensor:
        """The trained rows above the others."""
        return torch.cat([self.rows, self.base.weight[len(self.rows) :]])


@register
@dataclass(frozen=True)
class RoCoFT(AdaptationMethod):
    """``W = W₀ + R`` with R nonzero in the first k rows only: Σ k·in trained numbers over the blocks' linear layers.

    The published 1-row and 3-row variants are k = 1 and 3; biases stay frozen, as in the paper's counts.
    """

    name = "rocoft"
    title = "RoCoFT"
    description = "Trains the first rows of every linear layer's weight."
    source = "RoCoFT (2410.10075)"
    default_learning_rate = 1e-3

    rows: int = setting(1, "Rows of every weight", 1, 4096)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> ReplacingAdapter:
        """Set the rows apart."""
        layers: dict[str, AdaptedLinear] = {
            name: RowLinear(linear(setup.model, name), self.rows) for name in setup.structure.layers
        }
        return ReplacingAdapter(setup, layers)
