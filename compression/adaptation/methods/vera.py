"""VeRA, from the library ``peft``."""

from __future__ import annotations

from dataclasses import dataclass

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.methods.peft_adapter import PeftAdapter, target_layers


@register
@dataclass(frozen=True)
class VeRA(AdaptationMethod):
    """``y = (W + Λ_b B Λ_d A) x`` with one random pair A, B for all layers and two trained vectors a layer.

    Λ_b begins at zero, Λ_d at 0.1. The random pair is drawn with a fixed seed of its own, as the paper shares it.
    """

    name = "vera"
    title = "VeRA"
    description = "Trains two scaling vectors a layer over one random low-rank pair that all layers share."
    source = "VeRA (2310.11454), by peft.VeraConfig"
    default_learning_rate = 1e-2

    rank: int = setting(256, "Rank r", 1, 4096)
    everywhere: int = setting(0, "Every linear layer instead of query and value (1: yes)", 0, 1)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> PeftAdapter:
        """Wrap the layers."""
        from peft import VeraConfig

        targets = target_layers(setup.structure, self.everywhere)
        return PeftAdapter(setup, VeraConfig(r=self.rank, target_modules=targets))
