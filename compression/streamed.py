"""Load a model so that its weights stay in a file, from which each block takes what it needs when it runs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from compression.mapped import MappedFile
from compression.modules import CompressedLinear
from compression.sites import auto_class, stacks_of


def load_streamed(path: Path, config: PreTrainedConfig, names: Collection[str]) -> tuple[PreTrainedModel, list[str]]:
    """A model in float32 and evaluation mode whose weights lie in a file, read tensor by tensor.

    Every block releases what it has read as soon as it has run.

    Args:
        path: folder with the checkpoint.
        config: the model's.
        names: of the checkpoint's tensors.

    Returns:
        The model, and the sorted names of the tensors that the checkpoint lacks; then the model is of no use.
    """
    with init_empty_weights(include_buffers=False):
        model = auto_class(config).from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
    model.tie_weights()
    wanted = dict(model.named_parameters())
    stored = {name: _stored_name(name, f"{model.base_model_prefix}.", names) for name in wanted}
    missing = sorted(name for name, there in stored.items() if not there)
    if missing:
        return model, missing
    files = {name: file for file in sorted(path.glob("*.safetensors")) for name in _names_in(file)}
    file = MappedFile([parameter.numel() for parameter in wanted.values()])
    for name, parameter in wanted.items():
        values = file.take(tuple(parameter.shape))
        # Opened anew for every tensor: the pages of the checkpoint go when it is closed.
        with safe_open(files[stored[name]], framework="pt") as tensors:
            values.copy_(tensors.get_tensor(stored[name]))
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, nn.Parameter(values, requires_grad=parameter.requires_grad))
        file.release()
    model.tie_weights()

    def let_go(block: nn.Module, *_: Any) -> None:
        file.release()
        for layer in block.modules():
            if isinstance(layer, CompressedLinear):
                layer.forget_expanded()

    for stack in stacks_of(model):
        for block in stack.blocks:
            block.register_forward_hook(let_go)
    return model, []


def _stored_name(name: str, prefix: str, names: Collection[str]) -> str:
    """How a checkpoint calls a parameter: some leave the model's prefix out; empty where it has none."""
    return next((each for each in (name, name.removeprefix(prefix), prefix + name) if each in names), "")


def _names_in(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as tensors:
        return list(tensors.keys())
