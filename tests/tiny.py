"""Tiny real models for tests: a random Llama with a real tokenizer, as a directory, as GGUF, and in a wheel."""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A model of a few thousand weights is enough to test a loader.",
    "Pack my box with five dozen liquor jugs; how vexingly quick daft zebras jump!",
]

SPECIAL_TOKENS = ["<s>", "</s>", "<|endoftext|>"]
"""The last one is there because transformers adds it to whatever it reads from GGUF."""


def finish(generator: Generator[Any, None, T]) -> T:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


def tiny_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer with 300 entries, trained on `SENTENCES`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL_TOKENS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def tiny_llama(*, tied: bool = True, seed: int = 0) -> Any:
    """Return a random two-block Llama with grouped queries."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


@functools.cache
def taught() -> Any:
    """A tiny model that has learned the text: compressing it costs something."""
    import torch

    model = tiny_llama()
    ids = torch.tensor(tiny_tokenizer()(" ".join(SENTENCES) * 8)["input_ids"])
    rows = ids[: len(ids) // 32 * 32].view(-1, 32)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
    return model.eval()


def write_tiny_llama(folder: Path, *, dtype: str = "float32", tied: bool = True, seed: int = 0) -> Any:
    """Write config, safetensors and tokenizer of a tiny Llama to `folder`; return the model as it was written."""
    import torch

    model = tiny_llama(tied=tied, seed=seed).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return model


def write_tiny_gguf(path: Path) -> None:
    """Write the tiny Llama (tied) as GGUF with its tokenizer."""
    import gguf
    import numpy as np

    model, tokenizer = tiny_llama(), tiny_tokenizer()
    config = model.config
    head = config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in SPECIAL_TOKENS else 1 for token, _ in vocabulary])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for name, value in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        short = name.removesuffix(".weight")
        if short.startswith("model.layers."):
            _, _, block, rest = short.split(".", 3)
            short = f"blk.{block}.{names[rest]}"
        else:
            short = names[short]
        array = value.float().numpy()
        if short.endswith(("attn_q", "attn_k")):  # GGUF interleaves the two halves of each head
            heads = config.num_attention_heads if short.endswith("attn_q") else config.num_key_value_heads
            array = array.reshape(heads, 2, head // 2, -1).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(f"{short}.weight", np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_wheel(folder: Path, package: str, version: str, members: dict[str, bytes]) -> Path:
    """Write a wheel that pip accepts, holding `members`; return its path."""
    module = package.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path
