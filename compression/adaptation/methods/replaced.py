"""What methods share that put layers of their own into a model and take them out again at the end."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compression.adaptation.base import Adapter, Setup


class AdaptedLinear(nn.Module):
    """A linear layer with something trained beside its frozen weight, that can be written as one weight.

    Args:
        base: the dense layer; its weight and bias stay as they are until `merge`.
    """

    def __init__(self, base: nn.Linear) -> None:
        """Keep the dense layer as a child."""
        super().__init__()
        self.base = base

    @abstractmethod
    def merged_weight(self) -> Tensor:
        """The weight (out, in) of the plain layer that computes the same."""

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The dense layer with `merged_weight` in the place of its own."""
        self.base.weight = nn.Parameter(self.merged_weight().to(self.base.weight.dtype), requires_grad=False)
        return self.base


class ReplacingAdapter(Adapter):
    """An adapter that replaces linear layers.

    Args:
        setup: what it is attached to.
        layers: module name → the layer that takes its place.
    """

    def __init__(self, setup: Setup, layers: dict[str, AdaptedLinear]) -> None:
        """Put the layers into the model."""
        super().__init__(setup)
        self.layers = layers
        for name, layer in layers.items():
            setup.model.set_submodule(name, layer)

    def deploy(self) -> PreTrainedModel:
        """Merge every layer into a plain one."""
        for name, layer in self.layers.items():
            self.setup.model.set_submodule(name, layer.merge())
        return self.setup.model.eval()
