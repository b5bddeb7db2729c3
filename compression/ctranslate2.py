"""Whisper as CTranslate2 stores it: `model.bin` read, and its variables brought to the names of Hugging Face.

Layout of `model.bin` (version 6, little-endian):
    u32 version; string specification; u32 revision; u32 number of variables; each variable: string name, u8 rank,
    rank × u32 shape, u8 dtype, u32 bytes, data; u32 number of aliases, each (string alias, string variable).
    A string is u16 length with a trailing NUL, then its bytes.

Design:
    - Values are copied, never computed: float16 stays float16 to the bit. Queries, keys and values, which CTranslate2
      stacks, are taken apart; the biases of keys, which Whisper does not have, must be zero.
    - Every variable of the file is used exactly once, and every tensor of the model is filled exactly once with the
      shape it has there; otherwise the file is refused.
    - The configuration comes from the shapes, the special tokens from the tokenizer. Of CTranslate2's own config.json
      only `suppress_ids` is read: its `lang_ids` are those of multilingual models even beside an English-only one.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compression import store
from compression.errors import UserError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase, WhisperConfig

_DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_MULTILINGUAL_ROWS = 51_865
"""From this size of the vocabulary on a Whisper is multilingual. Source: OpenAI's whisper, ``is_multilingual``."""

_SETTINGS: dict[str, int | None] = {
    "decoder/activation": 3,  # GELU
    "decoder/alibi": 0,
    "decoder/alignment_heads": None,  # for the times of words
    "decoder/alignment_layer": None,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
"""Variables that are no weights, and what they must say; `num_heads` is read apart."""


def convert(folder: Path, target: Path) -> None:
    """Write a Whisper as float16 safetensors with everything that loading and decoding need.

    Args:
        folder: holds model.bin, whole or in parts (model.bin.part1, …), tokenizer.json and CTranslate2's config.json.
        target: an existing directory.

    Raises:
        UserError: if a file is truncated or not that of a Whisper, or the disk is full.
    """
    from safetensors.numpy import save_file
    from transformers import WhisperFeatureExtractor, WhisperTokenizer

    parts = sorted(folder.glob("model.bin*"))
    variables = read_variables(b"".join(part.read_bytes() for part in parts))
    tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
    config = _configuration(variables, tokenizer)
    tensors = to_hugging_face(variables, config)
    generation_config = _generation_config(config, tokenizer, folder / "config.json")
    with store.disk_errors(target):
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(target)
        generation_config.save_pretrained(target)
        tokenizer.save_pretrained(target)
        WhisperFeatureExtractor(
            feature_size=config.num_mel_bins, chunk_length=config.max_source_positions // 50
        ).save_pretrained(target)


# --- the file ---------------------------------------------------------------------------------------------------------


class _Reader:
    """A position in bytes that never leaves them."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.position = 0

    def take(self, size: int) -> memoryview:
        """The next `size` bytes."""
        if size > len(self.data) - self.position:
            raise self.error()
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, kind: str) -> int:
        """The next whole number, of one of `struct`'s kinds."""
        (value,) = struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))
        return value

    def string(self) -> str:
        """The next string."""
        try:
            return bytes(self.take(self.number("H"))).decode().removesuffix("\0")
        except UnicodeDecodeError as error:
            raise self.error() from error

    def error(self) -> UserError:
        """What to raise where the bytes make no sense."""
        return UserError(
            f"model.bin is truncated or not a Whisper that CTranslate2 has written (at byte {self.position:,}): choose "
            "another model."
        )


def read_variables(data: bytes) -> dict[str, np.ndarray]:
    """Read all variables of a `model.bin`, aliases included, as views of `data`.

    Raises:
        UserError: if the file is truncated, foreign, or has bytes left over.
    """
    reader = _Reader(data)
    if reader.number("I") != 6 or reader.string() != "WhisperSpec":
        raise reader.error()
    reader.number("I")  # the specification's revision
    variables: dict[str, np.ndarray] = {}
    for _ in range(reader.number("I")):
        name = reader.string()
        shape = tuple(reader.number("I") for _ in range(reader.number("B")))  # () for a setting
        code, size = reader.number("B"), reader.number("I")
        if name in variables or code not in _DTYPES or len(shape) > 3:
            raise reader.error()
        values, dtype = reader.take(size), np.dtype(_DTYPES[code])
        if size == 0 or math.prod(shape) * dtype.itemsize != size:
            raise reader.error()
        variables[name] = np.frombuffer(values, dtype).reshape(shape)
    for _ in range(reader.number("I")):
        alias, name = reader.string(), reader.string()
        if alias in variables or name not in variables:
            raise reader.error()
        variables[alias] = variables[name]
    if reader.position != len(data):
        raise reader.error()
    return variables


def _foreign(names: list[str]) -> UserError:
    more = f" (+{len(names) - 3})" if len(names) > 3 else ""
    return UserError(
        f"model.bin does not hold a float16 Whisper, because these do not fit: {', '.join(names[:3])}{more}; choose "
        "another model."
    )


# --- names ------------------------------------------------------------------------------------------------------------


def to_hugging_face(variables: dict[str, np.ndarray], config: WhisperConfig) -> dict[str, np.ndarray]:
    """Give every variable the name, or names, it has in `WhisperForConditionalGeneration`.

    Args:
        variables: what `read_variables` returns.
        config: of the model they belong to.

    Returns:
        The state dict, float16, without the head, which is tied to the embedding.

    Raises:
        UserError: if a variable is not used exactly once, a tensor is not filled exactly once, a shape or dtype
            differs, the head is not the embedding, or a key has a bias.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tensors: dict[str, np.ndarray] = {}
    wrong: list[str] = []
    used = {*_SETTINGS, "encoder/num_heads", "decoder/num_heads"}
    for variable, names in _names(config):
        stacked = variables.get(variable)
        if variable in used or stacked is None or stacked.ndim == 0 or len(stacked) % len(names):
            wrong.append(variable)
            continue
        used.add(variable)
        for name, part in zip(names, np.split(stacked, len(names)), strict=True):
            if name is None:
                wrong += [variable] if part.any() else []
            elif name in tensors or part.dtype != np.float16 or part.shape != expected.get(name):
                wrong.append(variable)
            else:
                tensors[name] = part
    wrong += sorted(variables.keys() ^ used) + sorted(tensors.keys() ^ expected.keys())
    settings = {name: value for name, value in _SETTINGS.items() if value is not None}
    wrong += [name for name, value in settings.items() if name in variables and variables[name].tolist() != value]
    if wrong:
        raise _foreign(list(dict.fromkeys(wrong)))
    head = tensors.pop("proj_out.weight")
    if not np.array_equal(head, tensors["model.decoder.embed_tokens.weight"]):
        raise _foreign(["decoder/projection/weight"])
    return tensors


def _names(config: WhisperConfig) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    """CTranslate2's variables, each with the tensors stacked in it from top to bottom; None is a bias of keys."""

    def linear(variable: str, *names: str) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        yield f"{variable}/weight", tuple(f"{name}.weight" for name in names)
        yield f"{variable}/bias", tuple(None if name.endswith("k_proj") else f"{name}.bias" for name in names)

    def norm(variable: str, name: str) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        yield f"{variable}/gamma", (f"{name}.weight",)
        yield f"{variable}/beta", (f"{name}.bias",)

    for half, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        for index in range(layers):
            there, here = f"{half}/layer_{index}", f"model.{half}.layers.{index}"
            attention = f"{here}.self_attn"
            stacked = [f"{attention}.{part}_proj" for part in "qkv"]
            yield from linear(f"{there}/self_attention/linear_0", *stacked)
            yield from linear(f"{there}/self_attention/linear_1", f"{attention}.out_proj")
            yield from norm(f"{there}/self_attention/layer_norm", f"{here}.self_attn_layer_norm")
            if half == "decoder":
                cross = f"{here}.encoder_attn"
                yield from linear(f"{there}/attention/linear_0", f"{cross}.q_proj")
                yield from linear(f"{there}/attention/linear_1", f"{cross}.k_proj", f"{cross}.v_proj")
                yield from linear(f"{there}/attention/linear_2", f"{cross}.out_proj")
                yield from norm(f"{there}/attention/layer_norm", f"{here}.encoder_attn_layer_norm")
            yield from linear(f"{there}/ffn/linear_0", f"{here}.fc1")
            yield from linear(f"{there}/ffn/linear_1", f"{here}.fc2")
            yield from norm(f"{there}/ffn/layer_norm", f"{here}.final_layer_norm")
        yield from norm(f"{half}/layer_norm", f"model.{half}.layer_norm")
        yield f"{half}/position_encodings/encodings", (f"model.{half}.embed_positions.weight",)
    yield from linear("encoder/conv1", "model.encoder.conv1")
    yield from linear("encoder/conv2", "model.encoder.conv2")
    yield "decoder/embeddings/weight", ("model.decoder.embed_tokens.weight",)
    yield "decoder/projection/weight", ("proj_out.weight",)


# --- configuration ----------------------------------------------------------------------------------------------------


def _configuration(variables: dict[str, np.ndarray], tokenizer: PreTrainedTokenizerBase) -> WhisperConfig:
    """The configuration that the shapes and the tokenizer imply."""
    from transformers import WhisperConfig

    def shape(name: str, rank: int) -> tuple[int, ...]:
        found = variables.get(name)
        if found is None or found.ndim != rank:
            raise _foreign([name])
        return found.shape

    def layers(half: str) -> int:
        found = (re.match(rf"{half}/layer_(\d{{1,3}})/", name) for name in variables)
        return max((int(match[1]) + 1 for match in found if match), default=0)

    def heads(half: str) -> int:
        shape(f"{half}/num_heads", 0)
        count = int(variables[f"{half}/num_heads"])
        if count < 1 or width % count:
            raise _foreign([f"{half}/num_heads"])
        return count

    width, mel_bins, _ = shape("encoder/conv1/weight", 3)
    end = _token(tokenizer, "<|endoftext|>")
    return WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        dtype="float16",
        vocab_size=shape("decoder/embeddings/weight", 2)[0],
        num_mel_bins=mel_bins,
        d_model=width,
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=heads("encoder"),
        decoder_attention_heads=heads("decoder"),
        encoder_ffn_dim=shape("encoder/layer_0/ffn/linear_0/weight", 2)[0],
        decoder_ffn_dim=shape("decoder/layer_0/ffn/linear_0/weight", 2)[0],
        max_source_positions=shape("encoder/position_encodings/encodings", 2)[0],
        max_target_positions=shape("decoder/position_encodings/encodings", 2)[0],
        decoder_start_token_id=_token(tokenizer, "<|startoftranscript|>"),
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        begin_suppress_tokens=_begin_suppressed(tokenizer),
    )


def _token(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    index = tokenizer.get_vocab().get(token)
    if index is None:
        raise UserError(f"tokenizer.json has no {token}, which every Whisper has: choose another model.")
    return index


def _begin_suppressed(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """A transcript does not begin with a lone space (``Ġ`` in byte-level BPE), nor with its end."""
    return [_token(tokenizer, "Ġ"), _token(tokenizer, "<|endoftext|>")]


def _generation_config(
    config: WhisperConfig, tokenizer: PreTrainedTokenizerBase, ctranslate2_config: Path
) -> GenerationConfig:
    """The settings with which transformers' `generate` writes transcripts, as OpenAI's decoder does.

    English-only models get no `lang_to_id`: with it, `generate` would look for the language.
    """
    from transformers import GenerationConfig

    multilingual: dict[str, Any] = {}
    tasks = {task: _token(tokenizer, f"<|{task}|>") for task in ("transcribe", "translate")}
    if config.vocab_size >= _MULTILINGUAL_ROWS:
        ids = range(config.decoder_start_token_id + 1, min(tasks.values()))
        languages = dict(zip(tokenizer.convert_ids_to_tokens(list(ids)), ids, strict=True))
        multilingual = {"lang_to_id": languages, "task_to_id": tasks}
    return GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        prev_sot_token_id=_token(tokenizer, "<|startofprev|>"),
        no_timestamps_token_id=_token(tokenizer, "<|notimestamps|>"),
        begin_suppress_tokens=_begin_suppressed(tokenizer),
        suppress_tokens=_suppressed(ctranslate2_config, config.vocab_size),
        is_multilingual=bool(multilingual),
        max_length=config.max_target_positions,
        return_timestamps=False,
        **multilingual,
    )


def _suppressed(path: Path, vocab_size: int) -> list[int]:
    """The tokens that are no speech, such as brackets and notes, which a transcript never holds."""
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))["suppress_ids"]
        if not all(type(index) is int and 0 <= index < vocab_size for index in ids):
            raise ValueError("not ids of tokens")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("The config.json beside model.bin lists no suppress_ids: choose another model.") from error
    return ids
