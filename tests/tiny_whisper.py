"""Tiny real Whispers for tests: random weights, a real tokenizer, windows of two seconds.

Everything has Whisper's structure (special tokens in their order, timestamps after the tokenizer's entries, a k without
bias, a tied head), so that whatever works on one of these works on a published one; what it writes down is nonsense.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
