"""VeLoRA, from the library ``peft``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.methods.peft_adapter import PeftAdapter, target_layers

DIRECTION = ".velora_direction"
"""Ends the names under which the fixed directions are kept in a checkpoint."""


class VeLoRAAdapter(PeftAdapter):
    """LoRA whose layers each keep one direction, found in the first batch and fixed from then on."""

    def _directed(self) -> dict[str, Any]:
        return {name: m for name, m in self.model.named_modules() if hasattr(m, "lora_velora_embed")}

    def state(self) -> dict[str, Tensor]:
        """What is trained, and the directions that have been found."""
        found = {
            name + DIRECTION: layer.lora_velora_embed["default"].detach()
            for name, layer in self._directed().items()
            if layer.lora_velora_initialized["default"]
        }
        return super().state() | found

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what is trained, and the directions."""
        super().load_state({name: value for name, value in state.items() if not name.endswith(DIRECTION)})
        for name, layer in self._directed().items():
            if name + DIRECTION in state:
                layer.lora_velora_embed["default"] = state[name + DIRECTION].clone()
                layer.lora_velora_initialized["default"] = True


@register
@dataclass(frozen=True)
class VeLoRA(AdaptationMethod):
    """LoRA that keeps for the backward pass, of the input to A, one number for each group of features.

    The features are cut into groups; each is replaced by its coordinate along one direction v, the normalised mean of
    the first batch's groups, and put together again as coordinate · v for the gradient of A. The forward pass is
    LoRA's. What it saves is memory of activations, not trained numbers.
    """

    name = "velora"
    title = "VeLoRA"
    description = "LoRA that keeps compressed activations for the backward pass."
    source = "VeLoRA (2405.17991), by peft.VeloraConfig"
    default_learning_rate = 1e-3

    rank: int = setting(8, "Rank r", 1, 1024)
    alpha: int = setting(16, "Scale α, divided by the rank", 1, 4096)
    num_groups: int = setting(64, "Groups of features", 1, 4096)
    everywhere: int = setting(0, "Every linear layer instead of query and value (1: yes)", 0, 1)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> VeLoRAAdapter:
        """Wrap the layers."""
        from peft import LoraConfig
        from peft.tuners.lora.config import VeloraConfig

        targets = target_layers(setup.structure, self.everywhere)
        groups = VeloraConfig(num_groups=self.num_groups, init_type="batch_average_once")
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=targets, velora_config=groups)
        return VeLoRAAdapter(setup, config)
