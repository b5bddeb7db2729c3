"""Find, read and replace the compressible linear layers: the only file that knows architectures.

A site is an ``nn.Linear`` or GPT-2 ``Conv1D`` inside a transformer block. Embeddings, heads (tied or
not) and norms live outside the blocks or are of another type, so they stay dense by construction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSpeechSeq2Seq, PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from compression.errors import UserError
from compression.memory import ModelShape
from compression.types import SPEECH_MODEL_TYPES, LinearSite

SHARED_INPUTS: tuple[frozenset[str], ...] = (
    frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
    frozenset({"mlp.gate_proj", "mlp.up_proj"}),
)
"""Projections that read the same tensor, by their path inside a block (Llama-like models and OPT).

Fused projections (GPT-2 ``attn.c_attn``, GPT-NeoX ``attention.query_key_value``) are one site. A projection
that is not named here gets a Gram matrix of its own, which is always right and merely slower.
"""

MODEL_TYPES = ("llama", "mistral", "qwen2", "smollm3", "gpt2", "opt", "gpt_neox")
"""Architectures whose layers are known to be plain linear layers with the input sharing above."""


def find_sites(model: PreTrainedModel) -> tuple[LinearSite, ...]:
    """List the compressible linear layers in model order.

    Args:
        model: a causal language model of one of `MODEL_TYPES`.

    Raises:
        UserError: for other architectures.
    """
    model_type = model.config.model_type
    if model_type not in MODEL_TYPES:
        raise UserError(
            f"The architecture {model_type!r} is not supported: expected one of {', '.join(MODEL_TYPES)}; choose "
            "another model."
        )
    blocks_path, blocks = _blocks(model)
    sites = []
    for index, block in enumerate(blocks):
        for projection, layer in block.named_modules():
            if isinstance(layer, nn.Linear | Conv1D):
                out_features, in_features = read_weight(layer).shape
                block_path = f"{blocks_path}.{index}"
                sites.append(
                    LinearSite(
                        name=f"{block_path}.{projection}",
                        block=index,
                        projection=projection,
                        out_features=out_features,
                        in_features=in_features,
                        input_group=f"{block_path}.{_input_of(projection)}",
                    )
                )
    return tuple(sites)


def _blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The list of transformer blocks: the longest ModuleList, outermost first."""
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UserError(f"No transformer blocks were found in {type(model).__name__}; choose another model.")
    return max(lists, key=lambda item: len(item[1]))


def _input_of(projection: str) -> str:
    for shared in SHARED_INPUTS:
        if projection in shared:
            return "+".join(sorted(shared))
    return projection


def read_weight(layer: nn.Module) -> Tensor:
    """The weight of a dense layer as (out, in); GPT-2's Conv1D stores (in, out)."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(layer, Conv1D) else weight.detach()


def site_weight(model: nn.Module, site: LinearSite) -> Tensor:
    """The weight (out, in) of a site that is still dense."""
    return read_weight(model.get_submodule(site.name))


def site_bias(model: nn.Module, site: LinearSite) -> Tensor | None:
    """The bias (out,) of a site, or None."""
    bias = model.get_submodule(site.name).bias
    return bias.detach() if isinstance(bias, Tensor) else None


Module = TypeVar("Module", bound=nn.Module)


def compressed_copy(model: Module, replacements: dict[str, nn.Module]) -> Module:
    """A copy of a model or block with some layers replaced; every other tensor is shared, `model` is untouched.

    Args:
        model: the dense model, or a part of it.
        replacements: module path inside `model` → new layer.
    """
    memo: dict[int, object] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    memo |= {id(model.get_submodule(name)): layer for name, layer in replacements.items()}
    duplicate = copy.deepcopy(model, memo)
    return duplicate.eval()


def shape_of(model: PreTrainedModel) -> ModelShape:
    """What the memory of a model depends on; the model may be on the meta device."""
    parameters = {id(parameter): parameter.numel() for parameter in model.parameters()}
    embedding = model.get_input_embeddings().weight
    assert isinstance(embedding, Tensor)
    return ModelShape(sum(parameters.values()), embedding.shape[1], embedding.shape[0], find_sites(model))


def auto_class(config: PreTrainedConfig) -> type[AutoModelForCausalLM] | type[AutoModelForSpeechSeq2Seq]:
    """What builds the model of a configuration, head included."""
    return AutoModelForSpeechSeq2Seq if config.model_type in SPEECH_MODEL_TYPES else AutoModelForCausalLM


def empty_model(config: PreTrainedConfig) -> PreTrainedModel:
    """A model built from its configuration alone, in float32; no remote code."""
    with torch.device("cpu"):
        model = auto_class(config).from_config(config, dtype=torch.float32, trust_remote_code=False)
    return model.eval()


def decoder_of(model: PreTrainedModel) -> nn.Module:
    """The model without its language-modelling head: what calibration runs."""
    return model.base_model


def output_head(model: PreTrainedModel) -> nn.Module:
    """The language-modelling head: from the hidden states after the final norm, (…, width), to logits.

    Nothing follows it in the architectures of `MODEL_TYPES`.
    """
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module)
    return head


# --- one block at a time ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BlockCall:
    """The arguments, besides the hidden states, with which the model calls one of its blocks for one batch."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """The model's transformer blocks in order."""
    return _blocks(model)[1]


def record_block_calls(model: PreTrainedModel, tokens: Tensor) -> tuple[Tensor, tuple[BlockCall, ...]]:
    """What enters the first block, and how every block is called, found out without running any block.

    Args:
        model: causal language model.
        tokens: token ids, (sequences, length).

    Returns:
        Hidden states (sequences, length, width) and one call for each block.
    """
    entering: list[Tensor] = []
    calls: list[BlockCall] = []

    def record(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        entering.append(hidden)
        calls.append(BlockCall(args, kwargs))
        return hidden

    blocks = blocks_of(model)
    with _replaced_forwards(blocks, [record] * len(blocks)), torch.no_grad():
        decoder_of(model)(tokens.to(_device_of(model)), use_cache=False)
    return entering[0], tuple(calls)


def run_block(block: nn.Module, hidden: Tensor, call: BlockCall) -> Tensor:
    """What leaves a block, (sequences, length, width)."""
    output = block(hidden, *call.args, **call.kwargs)
    return output if isinstance(output, Tensor) else output[0]


def run_head(model: PreTrainedModel, tokens: Tensor, hidden: Tensor) -> Tensor:
    """Logits (sequences, length, vocabulary) from what leaves the last block.

    Args:
        model: causal language model.
        tokens: the token ids that were run.
        hidden: hidden states after the last block.
    """

    def skip(entering: Tensor, *_: Any, **__: Any) -> Tensor:
        return entering

    def finish(_entering: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden

    blocks = blocks_of(model)
    with _replaced_forwards(blocks, [skip] * (len(blocks) - 1) + [finish]):
        logits: Tensor = model(tokens.to(_device_of(model)), use_cache=False).logits
    return logits


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


@contextmanager
def _replaced_forwards(blocks: nn.ModuleList, forwards: list[Callable[..., Tensor]]) -> Iterator[None]:
    """Let blocks compute something else for a while; whatever happens, they are as before afterwards."""
    for block, forward in zip(blocks, forwards, strict=True):
        block.forward = forward
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the class's own shows again
