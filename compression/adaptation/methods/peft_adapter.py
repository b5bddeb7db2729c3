"""What the methods share that come from the library ``peft``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from compression.adaptation.base import Adapter, Setup
from compression.adaptation.structure import ModelStructure

if TYPE_CHECKING:
    from peft import PeftConfig


def target_layers(structure: ModelStructure, everywhere: int) -> list[str]:
    """Query and value of every block, as LoRA was published, or every linear layer of the blocks."""
    if everywhere:
        return list(structure.layers)
    return [name for block in structure.blocks for name in (block.query, block.value)]


class PeftAdapter(Adapter):
    """A model with layers of ``peft``, which are merged into plain ones at the end.

    ``peft`` changes the model in place, so `model` stays the transformers model itself, and the names of its head
    parameters stay what they are; the wrapper is kept only because it knows how to merge.

    Args:
        setup: what it is attached to.
        config: of the method, target modules by their full names.
    """

    def __init__(self, setup: Setup, config: PeftConfig) -> None:
        """Let ``peft`` replace the layers, then thaw the head, which it freezes."""
        from peft import get_peft_model

        super().__init__(setup)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks transformers for an attribute that is to be renamed
            self._wrapper: Any = get_peft_model(setup.model, config)
        for parameter in setup.model.parameters():
            if id(parameter) in self._head:
                parameter.requires_grad_(True)

    @torch.no_grad()
    def deploy(self) -> PreTrainedModel:
        """Merge, and take the layers of ``peft`` out."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            merged: PreTrainedModel = self._wrapper.merge_and_unload(progressbar=False)
        # What marks a model as wrapped would make transformers save adapters instead of the model.
        for mark in ("peft_config", "_hf_peft_config_loaded", "peft_type"):
            merged.__dict__.pop(mark, None)
        return merged.eval()
