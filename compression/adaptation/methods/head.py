"""The frozen encoder with a trained head: what adaptation is worth begins above it."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel

from compression.adaptation.base import AdaptationMethod, Adapter, Setup, register


class HeadAdapter(Adapter):
    """Trains head and pooler, and nothing of its own."""

    def deploy(self) -> PreTrainedModel:
        """The model as it is."""
        return self.setup.model.eval()


@register
@dataclass(frozen=True)
class Head(AdaptationMethod):
    """Linear probing with the encoder's pooler: the encoder's blocks and embeddings stay as they were."""

    name = "head"
    title = "Head alone"
    description = "Trains pooler and classifier on the frozen encoder."
    source = "BERT (1810.04805), section 5.3: the feature-based approach"
    tasks = ("mrpc", "sst2", "era")

    def attach(self, setup: Setup) -> HeadAdapter:
        """Freeze all but the head."""
        return HeadAdapter(setup)
