"""Tiny real Whispers for tests: random weights, a real tokenizer, windows of two seconds.

Everything has Whisper's structure (special tokens in their order, timestamps after the tokenizer's entries, a k without
bias, a tied head), so that whatever works on one of these works on a published one; what it writes down is nonsense.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tiny import SENTENCES

if TYPE_CHECKING:
    from compression.models import LoadedModel

WINDOW_SECONDS = 2
"""What these models hear at a time: 200 frames of 10 ms, 100 encoder positions."""

LANGUAGES = ("en", "de", "ru")

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
)
"""In the order Whisper has them, after the ordinary entries; one row a timestamp follows in the embedding."""


def tiny_whisper_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer with 300 entries, trained on `SENTENCES`, and Whisper's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import WhisperTokenizer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return WhisperTokenizer(tokenizer_object=tokenizer)


def tiny_whisper(seed: int = 0, *, multilingual: bool = False) -> Any:
    """Return a random Whisper of two encoder and two decoder blocks, width 64, with its generation settings."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    token = tiny_whisper_tokenizer().convert_tokens_to_ids
    start, end = token("<|startoftranscript|>"), token("<|endoftext|>")
    positions = 50 * WINDOW_SECONDS
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=token("<|notimestamps|>") + 1 + positions + 1,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_source_positions=positions,
        max_target_positions=64,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        begin_suppress_tokens=[token("Ġ"), end],
    )
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # biases start at zero and norms at one, which would hide a mix-up
                parameter += 0.1 * torch.randn(len(parameter))
            elif "conv" in name or "layers." in name:  # sharp enough that what is heard matters
                parameter *= 6
        # A model that is told to write no timestamps writes none, and no task or language either.
        decoder = model.model.decoder
        decoder.embed_tokens.weight[end] = torch.randn(64) * config.init_std  # starts at zero, being the padding too
        decoder.embed_tokens.weight[start:] *= 0.1
        decoder.embed_positions.weight *= 20  # else one word follows itself
        # The longer the text, the likelier its end: transcripts differ in length and stay within the positions.
        growth = torch.linspace(0, 100, config.max_target_positions)[:, None]
        decoder.embed_positions.weight += growth * decoder.embed_tokens.weight[end]
    languages = {
        "lang_to_id": {f"<|{language}|>": token(f"<|{language}|>") for language in LANGUAGES},
        "task_to_id": {task: token(f"<|{task}|>") for task in ("transcribe", "translate")},
    }
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        begin_suppress_tokens=[token("Ġ"), end],
        no_timestamps_token_id=token("<|notimestamps|>"),
        is_multilingual=multilingual,
        max_length=64,
        return_timestamps=False,
        **(languages if multilingual else {}),
    )
    return model


def tiny_feature_extractor() -> Any:
    """Return what turns up to two seconds at 16 kHz into 80 mel bins by 200 frames."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=80, chunk_length=WINDOW_SECONDS)


def write_tiny_whisper(folder: Path, *, seed: int = 0, multilingual: bool = False) -> Any:
    """Write all files of a tiny Whisper, as a repository of the Hub has them; return the model as it was written."""
    model = tiny_whisper(seed, multilingual=multilingual)
    model.save_pretrained(folder)
    tiny_whisper_tokenizer().save_pretrained(folder)
    tiny_feature_extractor().save_pretrained(folder)
    return model


def tiny_loaded_whisper(seed: int = 0, *, multilingual: bool = False) -> LoadedModel:
    """Return a tiny Whisper as `compression.models.load` would: 16-bit values computed in float32."""
    from compression.models import LoadedModel, round_to_16_bits, weights_hash

    model = tiny_whisper(seed, multilingual=multilingual)
    storage_dtype, notes = round_to_16_bits(model)
    return LoadedModel(
        id="tiny-whisper",
        title="Tiny Whisper",
        note="",
        model=model,
        tokenizer=tiny_whisper_tokenizer(),
        weights_hash=weights_hash(model, storage_dtype),
        storage_dtype=storage_dtype,
        notes=notes,
        feature_extractor=tiny_feature_extractor(),
    )


def ctranslate2_variables(model: Any) -> dict[str, np.ndarray]:
    """Return a Whisper's values in float16 under CTranslate2's names, q, k and v stacked, without the tied head."""
    tensors = {name: tensor.half().numpy() for name, tensor in model.state_dict().items()}
    renamed = {"self_attn_layer_norm": "self_attention/layer_norm", "self_attn.out_proj": "self_attention/linear_1"}
    renamed |= {"encoder_attn.q_proj": "attention/linear_0", "encoder_attn.out_proj": "attention/linear_2"}
    renamed |= {"encoder_attn_layer_norm": "attention/layer_norm", "final_layer_norm": "ffn/layer_norm"}
    renamed |= {"fc1": "ffn/linear_0", "fc2": "ffn/linear_1", "layers.": "layer_", "model.": ""}
    renamed |= {"embed_positions.weight": "position_encodings/encodings", "embed_tokens.weight": "embeddings/weight"}
    variables: dict[str, np.ndarray] = {
        "decoder/activation": np.array(3, "<i1"),
        "decoder/alibi": np.array(0, "<i1"),
        "decoder/alignment_heads": np.array(1, "<i2"),
        "decoder/alignment_layer": np.array(-1, "<i2"),
        "decoder/num_heads": np.array(2, "<i2"),
        "decoder/pre_norm": np.array(1, "<i1"),
        "decoder/scale_embeddings": np.array(0, "<i1"),
        "decoder/start_from_zero_embedding": np.array(0, "<i1"),
        "encoder/num_heads": np.array(2, "<i2"),
    }
    width = len(tensors["model.encoder.conv1.bias"])
    for name in list(tensors):
        layer, _, last = name.rpartition("_proj.")
        if name == "proj_out.weight" or layer.endswith(("_attn.k", "_attn.v", "self_attn.q")):
            continue
        new = name
        for old, replacement in renamed.items():
            new = new.replace(old, replacement)
        if "norm" in new:
            new = new.replace("weight", "gamma").replace("bias", "beta")
        variables[new.replace(".", "/")] = tensors[name]
    for half in ("encoder", "decoder"):
        for index in range(2):
            here, there = f"model.{half}.layers.{index}", f"{half}/layer_{index}"
            stacks = [(f"{here}.self_attn", "qkv", f"{there}/self_attention/linear_0")]
            stacks += [(f"{here}.encoder_attn", "kv", f"{there}/attention/linear_1")] * (half == "decoder")
            for source, letters, target in stacks:
                for kind, empty in (("weight", None), ("bias", np.zeros(width, "<f2"))):
                    parts = [tensors.get(f"{source}.{letter}_proj.{kind}", empty) for letter in letters]
                    variables[f"{target}/{kind}"] = np.concatenate(parts)
    return variables


def write_model_bin(variables: dict[str, np.ndarray]) -> bytes:
    """Return the `model.bin` that holds `variables`, its head an alias of its embedding."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    codes = {"f4": 0, "i1": 1, "i2": 2, "i4": 3, "f2": 4}
    data = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, values in sorted(variables.items()):
        data += string(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        data += struct.pack("<BI", codes[values.dtype.str[1:]], values.nbytes) + values.tobytes()
    return data + struct.pack("<I", 1) + string("decoder/projection/weight") + string("decoder/embeddings/weight")
