"""Which linear layers of a block belong together: what must leave jointly when something really leaves.

A neuron of the MLP is a row of its input layers and a column of its output layer. A head is rows of query, key and
value and columns of the attention's output; where several query heads share a key-value head (GQA), they are one group.
Rotary position embeddings turn dimensions in pairs, so query and key rows leave in those pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from compression.errors import UserError

ENCODER_TYPES = ("bert", "roberta")
"""Encoders that can be adapted to a classification task."""
LLAMA_LIKE = ("llama", "mistral", "qwen2", "smollm3")
"""Language models that can be adapted."""


@dataclass(frozen=True)
class BlockStructure:
    """Linear layers of one block, as module names inside the model.

    Attributes:
        index: of the block.
        path: of the block.
        query: (heads · head_dim, width).
        key: (key_value_heads · head_dim, width).
        value: like `key`.
        output: of the attention, (width, heads · head_dim).
        mlp_inputs: one layer, or gate and up, each (neurons, width).
        mlp_output: (width, neurons).
        heads: query heads.
        key_value_heads: key and value heads; each serves heads ÷ key_value_heads query heads, in order.
        head_dim: dimensions of a head.
        rotary: whether dimensions i and i + head_dim ÷ 2 of query and key are a pair.
    """

    index: int
    path: str
    query: str
    key: str
    value: str
    output: str
    mlp_inputs: tuple[str, ...]
    mlp_output: str
    heads: int
    key_value_heads: int
    head_dim: int
    rotary: bool

    @property
    def layers(self) -> tuple[str, ...]:
        """All of them, in the order they run."""
        return (self.query, self.key, self.value, self.output, *self.mlp_inputs, self.mlp_output)

    @property
    def attention(self) -> tuple[str, ...]:
        """Those of the attention."""
        return (self.query, self.key, self.value, self.output)


@dataclass(frozen=True)
class ModelStructure:
    """The blocks of a model, and what is called how.

    Attributes:
        blocks: in order.
        classifies: whether the model ends in a classification head; else it is a language model.
    """

    blocks: tuple[BlockStructure, ...]
    classifies: bool

    @property
    def layers(self) -> tuple[str, ...]:
        """Every gated linear layer, in model order."""
        return tuple(layer for block in self.blocks for layer in block.layers)


def structure_of(model: PreTrainedModel) -> ModelStructure:
    """The structure of a model.

    Raises:
        UserError: if the architecture is none of `ENCODER_TYPES` and `LLAMA_LIKE`.
    """
    config: Any = model.config
    kind = config.model_type
    base = model.base_model_prefix
    if kind in ENCODER_TYPES:
        blocks = tuple(
            BlockStructure(
                index=index,
                path=f"{base}.encoder.layer.{index}",
                query=f"{base}.encoder.layer.{index}.attention.self.query",
                key=f"{base}.encoder.layer.{index}.attention.self.key",
                value=f"{base}.encoder.layer.{index}.attention.self.value",
                output=f"{base}.encoder.layer.{index}.attention.output.dense",
                mlp_inputs=(f"{base}.encoder.layer.{index}.intermediate.dense",),
                mlp_output=f"{base}.encoder.layer.{index}.output.dense",
                heads=config.num_attention_heads,
                key_value_heads=config.num_attention_heads,
                head_dim=config.hidden_size // config.num_attention_heads,
                rotary=False,
            )
            for index in range(config.num_hidden_layers)
        )
        return ModelStructure(blocks, classifies=True)
    if kind in LLAMA_LIKE:
        blocks = tuple(
            BlockStructure(
                index=index,
                path=f"{base}.layers.{index}",
                query=f"{base}.layers.{index}.self_attn.q_proj",
                key=f"{base}.layers.{index}.self_attn.k_proj",
                value=f"{base}.layers.{index}.self_attn.v_proj",
                output=f"{base}.layers.{index}.self_attn.o_proj",
                mlp_inputs=(f"{base}.layers.{index}.mlp.gate_proj", f"{base}.layers.{index}.mlp.up_proj"),
                mlp_output=f"{base}.layers.{index}.mlp.down_proj",
                heads=config.num_attention_heads,
                key_value_heads=config.num_key_value_heads,
                head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
                rotary=True,
            )
            for index in range(config.num_hidden_layers)
        )
        return ModelStructure(blocks, classifies=False)
    raise unsupported(kind)


def unsupported(architecture: str) -> UserError:
    """What is said of an architecture that is none of `ENCODER_TYPES` and `LLAMA_LIKE`, or not the one a task needs."""
    return UserError(
        f"The architecture {architecture!r} has no structure that can be adapted here: expected an encoder "
        f"({', '.join(ENCODER_TYPES)}) for a classification task, or a language model ({', '.join(LLAMA_LIKE)}) for "
        "text."
    )


def linear(model: nn.Module, name: str) -> nn.Linear:
    """A linear layer by name."""
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def head_parameter_names(model: PreTrainedModel) -> frozenset[str]:
    """Parameters of the classification head and the pooler; none of a language model."""
    return frozenset(
        name for name, _ in model.named_parameters() if name.startswith("classifier.") or ".pooler." in name
    )
