"""Whole heads and neurons removed at once, without training: by Fisher information, magnitude, or Wanda's metric."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.inputs import input_norms
from compression.adaptation.methods.finegates import SALIENCE_BATCHES, GatesAdapter, Schedule, check_structure
from compression.adaptation.salience import choose_units
from compression.adaptation.structure import BlockStructure


class OneShotAdapter(GatesAdapter):
    """Gates that nobody trains: all open, until some of them close for good at a moment of the training of the head."""

    def __init__(self, setup: Setup, start: float, refit: bool) -> None:
        """Put open gates in place.

        Args:
            setup: the dense model.
            start: progress at which the gates close.
            refit: whether the columns that stay are solved anew.
        """
        super().__init__(setup, Schedule(gate_init_std=0.0, settle=start, refit=refit))
        for layer in self.layers.values():
            layer.bias.requires_grad_(False)
            for side in layer.sides():
                side.logits.requires_grad_(False)

    def prepare(self, progress: float) -> Iterator[str]:
        """Close when it is time."""
        if not self._settled and progress >= self.schedule.settle:
            yield from self.close_for_good((yield from self.chosen()))

    def penalty(self) -> Tensor | None:
        """None: nothing presses the gates."""
        return None

    def chosen(self) -> Generator[str, None, Mapping[str, Tensor]]:
        """Which gates close: layer name → boolean (gates,)."""
        raise NotImplementedError


class FisherAdapter(OneShotAdapter):
    """Closes what is expected to add least to the loss, over all layers."""

    def upcoming(self) -> int:
        """The batches that ranking and refitting will look at."""
        return super().upcoming() + (0 if self._settled else SALIENCE_BATCHES)

    def chosen(self) -> Generator[str, None, Mapping[str, Tensor]]:
        """The cheapest gates for each weight."""
        losses = yield from self._expected_losses()
        return choose_units([unit for unit, _ in self._units(losses)], self._target_weights())


class SameShareAdapter(OneShotAdapter):
    """Closes the same share of every layer, the units of least worth."""

    def __init__(self, setup: Setup, calibration_batches: int) -> None:
        """Put open gates in place.

        Args:
            setup: the dense model.
            calibration_batches: batches for the norms of the inputs; 0 for a worth by magnitude alone.
        """
        super().__init__(setup, 0.0, refit=False)
        self.calibration_batches = calibration_batches

    def chosen(self) -> Generator[str, None, Mapping[str, Tensor]]:
        """The least of every layer."""
        outputs = [name for b in self.setup.structure.blocks for name in (b.output, b.mlp_output)]
        worth = {name: self.layers[name].weight.detach().abs().sum(0) for name in outputs}
        if self.calibration_batches:
            norms = yield from input_norms(self.setup, outputs, self.calibration_batches)
            worth = {name: sums * norms[name] for name, sums in worth.items()}
        closing = {}
        for block in self.setup.structure.blocks:
            groups, neurons = same_share(block, self._shapes(block), self.setup.target_sparsity)
            heads = worth[block.output].view(block.key_value_heads, -1).sum(1)
            closing[block.output] = _least(heads, groups)
            closing[block.mlp_output] = _least(worth[block.mlp_output], neurons)
        return closing

    def _shapes(self, block: BlockStructure) -> dict[str, torch.Size]:
        return {name: self.layers[name].weight.shape for name in block.layers}


def same_share(block: BlockStructure, shapes: Mapping[str, torch.Size], share: float) -> tuple[int, int]:
    """How many groups of heads and how many neurons leave so that a block loses at least this share of its weights.

    As many whole groups of heads as fit in the share, and neurons for the rest.

    Args:
        block: of the structure.
        shapes: its layers' names → (out, in).
        share: in [0, 1).
    """
    total = sum(shapes[name].numel() for name in block.layers)
    group = sum(shapes[name].numel() for name in block.attention) // block.key_value_heads
    neuron = (len(block.mlp_inputs) + 1) * shapes[block.mlp_output][0]
    groups = int(share * block.key_value_heads)
    return groups, -int(-(share * total - groups * group) // neuron)


def _least(worth: Tensor, count: int) -> Tensor:
    """Boolean (units,): the `count` of least worth."""
    chosen = torch.zeros(len(worth), dtype=torch.bool)
    chosen[worth.argsort()[:count].cpu()] = True
    return chosen


@register
@dataclass(frozen=True)
class FisherGates(AdaptationMethod):
    """The warm start of our FineGates without any training of gates: rank, close, and let what stays take over.

    The gates of heads and neurons whose closing is expected to add least to the loss close, over all layers; the
    columns that stay are solved anew by least squares for what the whole layer gave. For a task the head is trained
    before and after.
    """

    name = "finegates-fisher"
    title = "FineGates without training"
    description = "Closes the heads and neurons of least Fisher information and refits what stays; trains no gates."
    source = "FineGates (2602.09169); ranking by Fisher information and refit are ours"
    removes = True

    start: float = setting(0.5, "Share of the training of the head before gates close", 0, 0.95)
    refit: int = setting(1, "Columns that stay are solved anew (1) or not (0)", 0, 1)

    def attach(self, setup: Setup) -> FisherAdapter:
        """Put open gates in place."""
        check_structure(setup)
        return FisherAdapter(setup, self.start, bool(self.refit))


@register
@dataclass(frozen=True)
class StructuredMagnitude(AdaptationMethod):
    """Removes, of every layer, the heads and neurons whose outgoing weights have the least ``Σ|w|``."""

    name = "magnitude-structured"
    title = "Magnitude, structured"
    description = "Removes the same share of every layer: the heads and neurons with the smallest outgoing weights."
    source = "Pruning filters for efficient ConvNets (1608.08710), for heads and neurons"
    removes = True

    def attach(self, setup: Setup) -> SameShareAdapter:
        """Put open gates in place."""
        check_structure(setup)
        return SameShareAdapter(setup, 0)


@register
@dataclass(frozen=True)
class StructuredWanda(AdaptationMethod):
    """Removes, of every layer, the heads and neurons whose outgoing weights have the least ``Σ|w|·‖x‖``.

    Differs from Wanda, which compares single weights: the metric is summed over what leaves together, as FLAP's
    baseline Wanda-sp does.
    """

    name = "wanda-structured"
    title = "Wanda, structured"
    description = "Removes the same share of every layer: heads and neurons of least outgoing weight times input."
    source = "Wanda (2306.11695), summed over heads and neurons as in FLAP (2312.11983)"
    removes = True

    calibration_batches: int = setting(8, "Training batches to look at", 1, 1024)

    def attach(self, setup: Setup) -> SameShareAdapter:
        """Put open gates in place."""
        check_structure(setup)
        return SameShareAdapter(setup, self.calibration_batches)
