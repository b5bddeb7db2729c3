"""Real, small, randomly initialised models of every supported architecture."""

from __future__ import annotations

import copy

import torch
from tiny import tiny_tokenizer
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
)

from compression.models import LoadedModel, round_to_16_bits, weights_hash

VOCABULARY = 300
TEXT = "the quick brown fox jumps over the lazy dog while seven wizards box with five dozen liquor jugs. " * 200

CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=256),
    "opt": OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        ffn_dim=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        word_embed_proj_dim=48,
    ),
    "gpt_neox": GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    ),
}
PROJECTIONS = {"llama": 7, "gpt2": 4, "opt": 6, "gpt_neox": 4}
"""Compressible layers a block."""


def loaded(architecture: str, seed: int = 0) -> LoadedModel:
    """A model with random weights, in 16 bits as `models.load` leaves it."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[architecture]), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)  # zero biases would hide a lost bias
    storage_dtype, notes = round_to_16_bits(model)
    fingerprint = weights_hash(model, storage_dtype)
    name = f"tiny-{architecture}"
    return LoadedModel(name, name, "", model, tiny_tokenizer(), fingerprint, storage_dtype, notes)
