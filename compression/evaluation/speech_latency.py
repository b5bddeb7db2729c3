"""Latency of a speech model, dense and compressed interleaved so that drift of the machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.benchmark import Measurement

from compression.evaluation.latency import (
    REPEATS,
    check_numbers,
    describe_execution,
    device_name,
    figure,
    time_once,
)
from compression.evaluation.transcription import extract_features, prompt_tokens, transcribe_batch
from compression.speech.audio import windows
from compression.speech.clips import SAMPLE_RATE
from compression.types import Progress, SpeechLatencyReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, WhisperFeatureExtractor

DECODE_TOKENS = 16
"""Tokens decoded one by one, the same for every model."""


def measure_speech_latency(
    models: dict[str, PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    feature_extractor: WhisperFeatureExtractor,
    samples: np.ndarray,
    repeats: int = REPEATS,
    language: str = "en",
) -> Generator[Progress, None, SpeechLatencyReport]:
    """Time the encoder, a run of decoded tokens and a whole transcription for each model, in turn, `repeats` times.

    Encoder and decoder do the same work in every model: one window, and so many tokens after the prompt. The
    transcription is what each model really writes. The timer warms the first two up, and they the third.

    Args:
        models: label → model; dense and compressed versions of one.
        tokenizer: theirs.
        feature_extractor: theirs.
        samples: a recording at `SAMPLE_RATE`, (n,); its first window is what encoder and decoder are timed on.
        repeats: counted rounds.
        language: code of the language of the speech.

    Yields:
        One event a timing, so that whoever cancels waits for one and not for a round.

    Raises:
        UserError: if the number of repeats is out of range or a model does not know the language.
    """
    check_numbers(1, DECODE_TOKENS, repeats)
    first = next(iter(models.values()))
    prompt = prompt_tokens(first, language)
    pieces = windows(samples)
    threads = torch.get_num_threads()
    encoder: dict[str, list[Measurement]] = {label: [] for label in models}
    decode: dict[str, list[Measurement]] = {label: [] for label in models}
    whole: dict[str, list[float]] = {label: [] for label in models}
    timings: list[Callable[[], None]] = []
    for label, model in models.items():
        features = extract_features(model, feature_extractor, pieces[:1])
        timings += [
            _timed(_encode(model, features), threads, encoder[label]),
            _timed(_decode(model, features, prompt), threads, decode[label]),
            _transcription(model, tokenizer, feature_extractor, pieces, prompt, whole[label]),
        ]
    total = repeats * len(timings)
    for index, timing in enumerate(timings * repeats):
        yield Progress("latency", index, total, f"latency round {index // len(timings) + 1} of {repeats}")
        timing()
    yield Progress("latency", total, total, f"latency round {repeats} of {repeats}")
    duration = len(samples) / SAMPLE_RATE
    return SpeechLatencyReport(
        threads=threads,
        decode_tokens=DECODE_TOKENS,
        audio_seconds=duration,
        encoder={label: figure(times, 1) for label, times in encoder.items()},
        decode={label: figure(times, DECODE_TOKENS) for label, times in decode.items()},
        real_time_factor={label: statistics.median(times) / duration for label, times in whole.items()},
        execution=describe_execution(models),
        device=device_name(first),
    )


def _timed(run: Callable[[], None], threads: int, times: list[Measurement]) -> Callable[[], None]:
    return lambda: times.append(time_once(run, threads))


def _encode(model: PreTrainedModel, features: Tensor) -> Callable[[], None]:
    encoder = model.get_encoder()

    def run() -> None:
        with torch.inference_mode():
            encoder(features)

    return run


def _decode(model: PreTrainedModel, features: Tensor, prompt: list[int]) -> Callable[[], None]:
    inputs = torch.tensor([prompt], device=features.device)
    token = inputs[:, -1:]
    with torch.inference_mode():
        states = (model.get_encoder()(features).last_hidden_state,)
        cache = model(encoder_outputs=states, decoder_input_ids=inputs, use_cache=True).cache

    def run() -> None:
        with torch.inference_mode():
            for _ in range(DECODE_TOKENS):
                model(encoder_outputs=states, decoder_input_ids=token, cache=cache, use_cache=True)
            cache.crop(-DECODE_TOKENS)

    return run


def _transcription(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    feature_extractor: WhisperFeatureExtractor,
    pieces: tuple[np.ndarray, ...],
    prompt: list[int],
    times: list[float],
) -> Callable[[], None]:
    def run() -> None:
        started = time.perf_counter()
        for piece in pieces:
            transcribe_batch(model, tokenizer, feature_extractor, [piece], prompt)
        times.append(time.perf_counter() - started)

    return run
