"""BitFit: only biases are trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from compression.adaptation.base import AdaptationMethod, Adapter, Setup, register, setting
from compression.adaptation.structure import ModelStructure, linear

BIAS_SWITCHES = {"self_attn": "attention_bias", "mlp": "mlp_bias"}
"""Part of a Llama-like block → entry of the configuration that says whether its linear layers have biases."""


def add_zero_biases(model: PreTrainedModel, structure: ModelStructure) -> tuple[str, ...]:
    """Give every linear layer of the blocks a bias, zero where there was none, and let the configuration say so.

    Returns:
        A sentence where the architecture's configuration has no entry for such biases, so that a saved model would lose
        them when it is loaded.
    """
    missing: set[str] = set()
    for name in structure.layers:
        layer = linear(model, name)
        if getattr(layer, "bias", None) is not None:
            continue
        layer.bias = nn.Parameter(torch.zeros(layer.out_features, dtype=layer.weight.dtype, device=layer.weight.device))
        switch = next((entry for part, entry in BIAS_SWITCHES.items() if f".{part}." in name), "")
        if hasattr(model.config, switch):
            setattr(model.config, switch, True)
        else:
            missing.add(name)
    if not missing:
        return ()
    return (
        f"{len(missing)} layers got biases that a configuration of the type {model.config.model_type!r} cannot name: "
        "keep the model in this program, transformers would leave them out when it loads the saved one.",
    )


class BitFitAdapter(Adapter):
    """Trains the biases of linear layers and norms."""

    def __init__(self, setup: Setup) -> None:
        """Add zero biases where there are none, and thaw all."""
        super().__init__(setup)
        self._notes = add_zero_biases(setup.model, setup.structure)
        for name, parameter in setup.model.named_parameters():
            if name.endswith(".bias"):
                parameter.requires_grad_(True)

    def notes(self) -> tuple[str, ...]:
        """Where the added biases could not be written down."""
        return self._notes

    def deploy(self) -> PreTrainedModel:
        """The model as it is: biases are part of plain layers."""
        return self.setup.model.eval()


@register
@dataclass(frozen=True)
class BitFit(AdaptationMethod):
    """``y = W x + b`` with b trained and W frozen, in linear layers and norms alike.

    Differs from the paper where a model has no biases (Llama): zero biases are added to every linear layer of its
    blocks.
    """

    name = "bitfit"
    title = "BitFit"
    description = "Trains the biases; layers without one get a zero bias."
    source = "BitFit (2106.10199)"
    default_learning_rate = 1e-3

    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> BitFitAdapter:
        """Add what biases are missing, and thaw all."""
        return BitFitAdapter(setup)
