"""Masks that keep two of every four neighbouring weights, found in one shot: by magnitude, or by Wanda's metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from compression.adaptation.base import AdaptationMethod, Adapter, Setup, register, setting
from compression.adaptation.inputs import norms_at_once
from compression.adaptation.structure import linear
from compression.adaptation.types import Removal
from compression.errors import UserError
from compression.linalg import two_of_four_mask

REMOVED = 0.5
"""Share of the weights that the pattern removes, whatever the target."""
NO_TIME_GAINED = (
    "Half of the weights are zero, but on a CPU the tensors keep their size and no time is gained: hardware for 2:4 "
    "patterns would store half of the values in 16 bits and a 2-bit place for each, so 43.75% of the bits leave."
)


def one_shot_masks(setup: Setup, norms: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Masks by ``|w|``, or by ``|w|·‖x‖`` where the norms of the inputs are given; layer name → boolean (out, in).

    Raises:
        UserError: if a layer's inputs are no multiple of four.
    """
    masks = {}
    for name in setup.structure.layers:
        weight = linear(setup.model, name).weight.detach()
        if weight.shape[1] % 4:
            raise UserError(
                f"{name}: two of every four inputs can be kept only if their number is a multiple of 4, but there are "
                f"{weight.shape[1]}: choose another method."
            )
        scores = weight.abs() if norms is None else weight.abs() * norms[name]
        masks[name] = two_of_four_mask(scores)
    return masks


def counted_zeros(weights: Iterable[Tensor]) -> Removal:
    """What a 2:4 pattern removes, by its zeros; the target is the pattern's own."""
    total = zeros = 0
    for weight in weights:
        total += weight.numel()
        zeros += weight.numel() - int(weight.count_nonzero())
    return Removal(REMOVED, None, zeros / total, zeros, total)


class OneShotAdapter(Adapter):
    """A model with masked weights whose head alone is trained."""

    def __init__(self, setup: Setup, masks: Mapping[str, Tensor]) -> None:
        """Set the masked weights to zero for good."""
        super().__init__(setup)
        with torch.no_grad():
            for name, mask in masks.items():
                linear(setup.model, name).weight.mul_(mask)

    def removal(self) -> Removal:
        """Zeros, counted."""
        return counted_zeros(linear(self.setup.model, name).weight for name in self.setup.structure.layers)

    def deploy(self) -> PreTrainedModel:
        """The model as it is: dense tensors with zeros."""
        return self.setup.model.eval()


@register
@dataclass(frozen=True)
class MagnitudeTwoOfFour(AdaptationMethod):
    """Keeps the two weights of largest magnitude in every four neighbours of a row; nothing but a head is trained."""

    name = "magnitude-2:4"
    title = "Magnitude 2:4"
    description = "Keeps the two largest of every four neighbouring weights; trains the head alone."
    source = "Accelerating sparse deep neural networks (2104.08378)"
    warning = NO_TIME_GAINED

    def attach(self, setup: Setup) -> OneShotAdapter:
        """Mask the weights."""
        return OneShotAdapter(setup, one_shot_masks(setup, None))


@register
@dataclass(frozen=True)
class WandaTwoOfFour(AdaptationMethod):
    """Keeps the two weights of largest ``|w_ij|·‖x_j‖`` in every four neighbours; nothing but a head is trained.

    Differs from the authors' code: the norms are those of the dense model's inputs, where they prune block after block
    and let later blocks see what earlier ones have become.
    """

    name = "wanda-2:4"
    title = "Wanda 2:4"
    description = (
        "Keeps the two of every four weights that matter most by magnitude times input; trains the head alone."
    )
    source = "Wanda (2306.11695)"
    warning = NO_TIME_GAINED

    calibration_batches: int = setting(8, "Training batches to look at", 1, 1024)

    def attach(self, setup: Setup) -> OneShotAdapter:
        """Look at some inputs and mask the weights."""
        norms = norms_at_once(setup, setup.structure.layers, self.calibration_batches)
        return OneShotAdapter(setup, one_shot_masks(setup, norms))
