"""Load a model so that its weights stay in a file, from which each block takes what it needs when it runs."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from compression.allocator import return_at_once
from compression.mapped import MappedFile, release
from compression.modules import CompressedLinear
from compression.sites import auto_class, stacks_of
from compression.tensors import DTYPES

RETURNED_AT_ONCE = 2**20
"""Bytes from which memory is returned as soon as it is free: weights in a file are there to need little memory."""


def load_streamed(path: Path, config: PreTrainedConfig, names: Collection[str]) -> tuple[PreTrainedModel, list[str]]:
    """A model in float32 and evaluation mode whose weights lie in a file, read tensor by tensor.

    Every block releases what it has read as soon as it has run, and whatever is free again in this process goes back to
    the system (`RETURNED_AT_ONCE`).

    Args:
        path: folder with the checkpoint.
        config: the model's.
        names: of the checkpoint's tensors.

    Returns:
        The model, and the sorted names of the tensors that the checkpoint lacks; then the model is of no use.
    """
    return_at_once(RETURNED_AT_ONCE)
    with init_empty_weights(include_buffers=False):
        model = auto_class(config).from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
    model.tie_weights()
    wanted = dict(model.named_parameters())
    stored = _stored_names(model, names)
    missing = sorted(wanted.keys() - stored.keys())
    if missing:
        return model, missing
    places = {name: place for file in sorted(path.glob("*.safetensors")) for name, place in _places(file).items()}
    file = MappedFile(4 * parameter.numel() for parameter in wanted.values())
    for name, parameter in wanted.items():
        values = file.take(tuple(parameter.shape))
        values.copy_(places[stored[name]].read())
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, nn.Parameter(values, requires_grad=parameter.requires_grad))
        file.release()
    model.tie_weights()

    def let_go(block: nn.Module, *_: Any) -> None:
        file.release()
        for layer in block.modules():
            if isinstance(layer, CompressedLinear):
                layer.forget_expanded()
                for buffer in layer.buffers():
                    release(buffer)

    for stack in stacks_of(model):
        for block in stack.blocks:
            block.register_forward_hook(let_go)
    return model, []


def _stored_names(model: PreTrainedModel, names: Collection[str]) -> dict[str, str]:
    """Parameter → what a checkpoint calls it: transformers' own renaming, which some old checkpoints need."""
    renamings = [each for each in get_model_conversion_mapping(model) if isinstance(each, WeightRenaming)]
    there = model.state_dict()
    return {rename_source_key(name, renamings, [], model.base_model_prefix, there)[0]: name for name in names}


@dataclass(frozen=True)
class _Place:
    """Where a tensor stands in a safetensors file."""

    file: Path
    start: int
    size: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor: read, not mapped, for a mapped file counts as memory as long as it is open."""
        data = bytearray(self.size)
        with self.file.open("rb") as file:
            file.seek(self.start)
            if file.readinto(data) != self.size:
                raise OSError(f"{self.file.name} ends too early")
        if not self.size:
            return torch.zeros(self.shape, dtype=self.dtype)
        return torch.frombuffer(data, dtype=self.dtype).view(self.shape)


def _places(file: Path) -> dict[str, _Place]:
    """What a file's header says; `models.checkpoint_tensors` has had the library check it."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    return {
        name: _Place(
            file,
            8 + length + each["data_offsets"][0],
            each["data_offsets"][1] - each["data_offsets"][0],
            DTYPES[each["dtype"]],
            tuple(each["shape"]),
        )
        for name, each in header.items()
    }
