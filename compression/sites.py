"""Find, read and replace the compressible linear layers: the only file that knows architectures.

A site is an ``nn.Linear`` or GPT-2 ``Conv1D`` inside a transformer block. Embeddings, convolutions, heads (tied or
not) and norms live outside the blocks or are of another type, so they stay dense by construction.

A language model has one stack of blocks. Whisper has two, an encoder that reads audio and a decoder that writes text.
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
from compression.mapped import in_memory
from compression.memory import ModelShape
from compression.types import SPEECH_MODEL_TYPES, LinearSite

SHARED_INPUTS: tuple[frozenset[str], ...] = (
    frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
    frozenset({"mlp.gate_proj", "mlp.up_proj"}),
)
"""Projections that read the same tensor, by their path inside a block (Llama-like models, OPT and Whisper).

Fused projections (GPT-2 ``attn.c_attn``, GPT-NeoX ``attention.query_key_value``) are one site. A projection
that is not named here gets a Gram matrix of its own, which is always right and merely slower.
"""

CROSS_INPUTS = frozenset({"encoder_attn.k_proj", "encoder_attn.v_proj"})
"""Projections of Whisper's decoder that read what leaves the encoder: the same tensor in every block."""

MODEL_TYPES = ("llama", "mistral", "qwen2", "smollm3", "gpt2", "opt", "gpt_neox", *SPEECH_MODEL_TYPES)
"""Architectures whose layers are known to be plain linear layers with the input sharing above."""


def find_sites(model: PreTrainedModel) -> tuple[LinearSite, ...]:
    """List the compressible linear layers in model order.

    Args:
        model: a causal language model or a Whisper, of one of `MODEL_TYPES`.

    Raises:
        UserError: for other architectures.
    """
    model_type = model.config.model_type
    if model_type not in MODEL_TYPES:
        raise UserError(
            f"The architecture {model_type!r} is not supported: expected one of {', '.join(MODEL_TYPES)}; choose "
            "another model."
        )
    sites = []
    for stack in stacks_of(model):
        for index, block in enumerate(stack.blocks):
            for path, layer in block.named_modules():
                if isinstance(layer, nn.Linear | Conv1D):
                    out_features, in_features = read_weight(layer).shape
                    block_path = f"{stack.path}.{index}"
                    sites.append(
                        LinearSite(
                            name=f"{block_path}.{path}",
                            block=index,
                            projection=f"{stack.name}.{path}" if stack.name else path,
                            out_features=out_features,
                            in_features=in_features,
                            input_group="model.encoder" if path in CROSS_INPUTS else f"{block_path}.{_input_of(path)}",
                        )
                    )
    return tuple(sites)


@dataclass(frozen=True)
class Stack:
    """Transformer blocks that run one after the other.

    Attributes:
        name: ``encoder`` or ``decoder`` where there are both; else empty.
        path: of the list of blocks inside the model.
        blocks: the blocks.
    """

    name: str
    path: str
    blocks: nn.ModuleList


def stacks_of(model: PreTrainedModel) -> tuple[Stack, ...]:
    """The stacks of a model in the order they run."""
    if model.config.model_type in SPEECH_MODEL_TYPES:
        names = ("encoder", "decoder")
        return tuple(Stack(name, f"model.{name}.layers", getattr(model.model, name).layers) for name in names)
    # A language model's blocks: the longest ModuleList, outermost first.
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UserError(f"No transformer blocks were found in {type(model).__name__}; choose another model.")
    return (Stack("", *max(lists, key=lambda item: len(item[1]))),)


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
    """The weight (out, in) of a site that is still dense; a copy, if the model's weights lie in a file."""
    return in_memory(read_weight(model.get_submodule(site.name)))


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
    vocabulary, width = read_weight(output_head(model)).shape
    return ModelShape(sum(parameters.values()), width, vocabulary, find_sites(model))


def auto_class(config: PreTrainedConfig) -> type[AutoModelForCausalLM] | type[AutoModelForSpeechSeq2Seq]:
    """What builds the model of a configuration, head included."""
    return AutoModelForSpeechSeq2Seq if config.model_type in SPEECH_MODEL_TYPES else AutoModelForCausalLM


def _without_weights(config: PreTrainedConfig) -> PreTrainedModel:
    """A configuration's model, without making room for it."""
    with torch.device("meta"):
        return auto_class(config).from_config(config, trust_remote_code=False)


def shape_of_config(config: PreTrainedConfig) -> ModelShape:
    """What the memory of a configuration's model depends on."""
    return shape_of(_without_weights(config))


def empty_model(config: PreTrainedConfig) -> PreTrainedModel:
    """A model built from its configuration alone, in float32; no remote code."""
    with torch.device("cpu"):
        model = auto_class(config).from_config(config, dtype=torch.float32, trust_remote_code=False)
    return model.eval()


def empty_size(config: PreTrainedConfig) -> int:
    """Number of parameters that `empty_model` would have, without making room for them."""
    return sum(parameter.numel() for parameter in _without_weights(config).parameters())


def sites_of(config: PreTrainedConfig) -> tuple[LinearSite, ...]:
    """The sites of a model's dense form, without making room for it."""
    return find_sites(_without_weights(config))


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
    """A language model's transformer blocks in order."""
    (stack,) = stacks_of(model)
    return stack.blocks


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


@dataclass(frozen=True)
class SpeechCalls:
    """How a speech model calls its blocks for one batch of recordings.

    Attributes:
        audio: what enters the encoder's first block, (clips, frames, width).
        text: what enters the decoder's first block, (clips, tokens, width).
        encoder: one call for each block of the encoder.
        decoder: one call for each block of the decoder, without what left the encoder.
    """

    audio: Tensor
    text: Tensor
    encoder: tuple[BlockCall, ...]
    decoder: tuple[BlockCall, ...]


def record_speech_calls(model: PreTrainedModel, features: Tensor, tokens: Tensor) -> SpeechCalls:
    """What enters either stack's first block, and how every block is called, found out without running any block.

    Args:
        model: a Whisper.
        features: log-mel spectrograms, (clips, mel bins, mel frames).
        tokens: token ids that the decoder reads, (clips, length).
    """
    entering: list[Tensor] = []
    calls: list[BlockCall] = []

    def record(hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        entering.append(hidden)
        calls.append(BlockCall(args, kwargs))
        return hidden

    encoder, decoder = (stack.blocks for stack in stacks_of(model))
    blocks = nn.ModuleList([*encoder, *decoder])
    device = _device_of(model)
    with _replaced_forwards(blocks, [record] * len(blocks)), torch.no_grad():
        decoder_of(model)(features.to(device), decoder_input_ids=tokens.to(device), use_cache=False)
    # The second argument after the hidden states is what left the encoder: `run_decoder_block` puts the true one there.
    return SpeechCalls(
        entering[0],
        entering[len(encoder)],
        tuple(calls[: len(encoder)]),
        tuple(BlockCall(call.args[:1], call.kwargs) for call in calls[len(encoder) :]),
    )


def run_decoder_block(block: nn.Module, hidden: Tensor, heard: Tensor, call: BlockCall) -> Tensor:
    """What leaves a block of a speech model's decoder, (clips, tokens, width).

    Args:
        block: the block.
        hidden: what enters it.
        heard: what left the encoder, (clips, frames, width).
        call: as `record_speech_calls` found it.
    """
    return run_block(block, hidden, BlockCall((*call.args, heard), call.kwargs))


def finish_encoder(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """What the decoder hears of what leaves the encoder's last block: the encoder ends with a norm."""
    heard: Tensor = model.model.encoder.layer_norm(hidden)
    return heard


def finish_decoder(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits (clips, tokens, vocabulary) from what leaves the decoder's last block."""
    logits: Tensor = output_head(model)(model.model.decoder.layer_norm(hidden))
    return logits


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
