"""LoRA, from the library ``peft``."""

from __future__ import annotations

from dataclasses import dataclass

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.methods.peft_adapter import PeftAdapter, target_layers


@register
@dataclass(frozen=True)
class LoRA(AdaptationMethod):
    """``y = (W + (α/r)·B A) x`` with A (r, in) and B (out, r), B zero at the start."""

    name = "lora"
    title = "LoRA"
    description = "Trains a low-rank product beside each query and value weight."
    source = "LoRA (2106.09685), by peft.LoraConfig"
    default_learning_rate = 1e-3

    rank: int = setting(8, "Rank r", 1, 1024)
    alpha: int = setting(16, "Scale α, divided by the rank", 1, 4096)
    everywhere: int = setting(0, "Every linear layer instead of query and value (1: yes)", 0, 1)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> PeftAdapter:
        """Wrap the layers."""
        from peft import LoraConfig

        targets = target_layers(setup.structure, self.everywhere)
        return PeftAdapter(setup, LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=targets))
