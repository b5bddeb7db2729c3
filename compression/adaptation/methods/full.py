"""Full fine-tuning: every parameter of the model is trained."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel

from compression.adaptation.base import AdaptationMethod, Adapter, Setup, register, setting
from compression.adaptation.types import LANGUAGE_MODELLING


class FullAdapter(Adapter):
    """Trains the model itself, embeddings and norms included."""

    def __init__(self, setup: Setup) -> None:
        """Thaw everything."""
        super().__init__(setup)
        self.model.requires_grad_(True)

    def deploy(self) -> PreTrainedModel:
        """The model as it is."""
        return self.setup.model.eval()


@register
@dataclass(frozen=True)
class Full(AdaptationMethod):
    """What every sparing method is measured against: ``W ← W − η·step(∇W)`` for every parameter.

    The default learning rates are small, as published for encoders (2e-5 to 5e-5); a language model takes less.
    """

    name = "full"
    title = "Full fine-tuning"
    description = "Trains every parameter of the model."
    source = "BERT (1810.04805), appendix A.3"
    default_learning_rate = 5e-5

    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> FullAdapter:
        """Thaw the model."""
        return FullAdapter(setup)

    def learning_rate(self, task: str) -> float:
        """5e-5 for an encoder, 2e-5 for a language model."""
        return self.lr or (2e-5 if task == LANGUAGE_MODELLING else self.default_learning_rate)
