"""FineGates: gates learned on the calibration text decide which heads and neurons leave, over all layers at once."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from compression.accounting import VALUE_BITS, dense_bits
from compression.errors import UserError
from compression.methods.base import SiteResult, register, setting
from compression.methods.joint import JointMethod
from compression.modules import ShrunkLinear
from compression.types import LinearSite, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class GatesMethod(JointMethod):
    """Heads and neurons leave, as the gates of an adaptation method of the same name decide."""

    own_policy = "gates"
    adds_biases: ClassVar[bool] = False
    """Whether a layer without a bias gets one."""

    def learning_steps(self) -> int:
        """How many steps are learned; 1 where nothing is."""
        return 1

    def compress_jointly(
        self,
        model: PreTrainedModel,
        sites: tuple[LinearSite, ...],
        sequences: Tensor,
        removed_fraction: float,
        seed: int,
    ) -> Generator[Progress, None, Mapping[str, SiteResult]]:
        """Find which heads and neurons to close, and keep the rest in 16 bits."""
        from compression.adaptation.calibrated import learn  # that package imports this one

        target = removed_fraction + self._overhead(sites)
        self._check_reach(model, sites, target)
        adapter = yield from learn(model, sequences, self.name, target, self.learning_steps(), seed)
        deployed = adapter.deploy()
        results = {}
        for site in sites:
            layer = deployed.get_submodule(site.name)
            assert isinstance(layer, ShrunkLinear)
            results[site.name] = SiteResult(layer.stored_as(torch.float16))
        return results

    def _check_reach(self, model: PreTrainedModel, sites: tuple[LinearSite, ...], target: float) -> None:
        """Refuse, before anything is learned, a target that cannot be met with a head group and some neurons left."""
        from compression.adaptation.methods.finegates import LEAST_NEURONS
        from compression.adaptation.structure import linear, structure_of

        reachable = 0
        for block in structure_of(model).blocks:
            attention = sum(linear(model, name).weight.numel() for name in block.attention)
            reachable += attention // block.key_value_heads * (block.key_value_heads - 1)
            width, neurons = linear(model, block.mlp_output).weight.shape
            stay = max(1, int(LEAST_NEURONS * neurons))
            reachable += (neurons - stay) * width * (len(block.mlp_inputs) + 1)
        share = reachable / sum(site.num_weights for site in sites)
        if target > share:
            raise UserError(
                f"{self.name} leaves a group of heads and some neurons in every block, so it can remove at most "
                f"{max(0.0, share - self._overhead(sites)):.1%} of these layers: choose a smaller removed fraction, or "
                "another method."
            )

    def _overhead(self, sites: tuple[LinearSite, ...]) -> float:
        """Bits of new biases and of two flags for every row and column, as a share of the dense bits."""
        biases = VALUE_BITS * sum(site.out_features for site in sites) if self.adds_biases else 0
        flags = 2 * 8 * sum(ceil(site.out_features / 8) + ceil(site.in_features / 8) for site in sites)
        return (biases + flags) / sum(dense_bits(site.out_features, site.in_features) for site in sites)


@register
@dataclass(frozen=True)
class FineGates(GatesMethod):
    """The adaptation method of the same name, with the calibration text as its task.

    Gates and biases are learned; when gates close, the columns that stay are solved anew for what the whole layer gave.
    A layer that had no bias gets one, which is a new tensor: its bits count as stored, with those of the flags that say
    which rows and columns are there, and so many more weights leave that the fraction asked for is met with them
    included.
    """

    name = "finegates"
    title = "FineGates"
    description = (
        "Heads and neurons leave, all layers weighed against each other by gates that learn with the biases on the "
        "calibration text."
    )
    source = "FineGates (2602.09169); warm start and schedule are ours"
    adds_biases = True

    steps: int = setting(40, "Learning steps", 4, 100000)

    def learning_steps(self) -> int:
        """As the setting says."""
        return self.steps


@register
@dataclass(frozen=True)
class FisherGates(GatesMethod):
    """The adaptation method of the same name, with the calibration text as its task: nothing is learned.

    Fisher information on the calibration text ranks heads and neurons; the columns that stay are solved anew, by least
    squares, for what the whole layer gave.
    """

    name = "finegates-fisher"
    title = "FineGates without training"
    description = "Closes the heads and neurons of least Fisher information and refits what stays; trains no gates."
    source = "FineGates (2602.09169); ranking by Fisher information and refit are ours"
