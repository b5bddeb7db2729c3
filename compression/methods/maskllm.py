"""MaskLLM: which two of every four weights stay is learned on the calibration text, in all layers at once."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from compression.accounting import TWO_OF_FOUR_REMOVED
from compression.methods.base import SiteResult, register, setting
from compression.methods.joint import JointMethod
from compression.methods.two_of_four import NO_TIME_GAINED
from compression.modules import TwoOfFourLinear
from compression.sites import site_bias, site_weight
from compression.types import LinearSite, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@register
@dataclass(frozen=True)
class MaskLLM(JointMethod):
    """The adaptation method of the same name, with the calibration text as its task; weights and biases stay."""

    name = "maskllm"
    title = "MaskLLM"
    description = (
        "Keeps two of every four neighbouring weights: which, is learned in all layers at once on the calibration "
        "text, from the choice of Wanda on."
    )
    source = "MaskLLM (2409.17481)"
    fixed_fraction = TWO_OF_FOUR_REMOVED
    warning = NO_TIME_GAINED

    steps: int = setting(40, "Learning steps", 4, 100000)

    def compress_jointly(
        self,
        model: PreTrainedModel,
        sites: tuple[LinearSite, ...],
        sequences: Tensor,
        removed_fraction: float,
        seed: int,
    ) -> Generator[Progress, None, Mapping[str, SiteResult]]:
        """Learn the masks and keep what they mark, in 16 bits; the fraction asked for makes no difference."""
        from compression.adaptation.calibrated import learn  # that package imports this one
        from compression.adaptation.methods.maskllm import MaskLLMAdapter

        adapter = yield from learn(model, sequences, self.name, removed_fraction, self.steps, seed)
        assert isinstance(adapter, MaskLLMAdapter)
        return {
            site.name: SiteResult(
                TwoOfFourLinear(
                    site_weight(model, site), adapter.masked[site.name].mask().bool(), site_bias(model, site)
                )
            )
            for site in sites
        }
