"""Speech written down greedily, and the word error rate of what is written, streamed batch by batch.

Decoding is a loop of our own and not ``model.generate``, which writes the same tokens: a recording that is finished
leaves its batch, so that one that runs on, as a compressed model's may until it has written all it is allowed to, does
not hold up the others. That halves the time where two of sixteen run on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from compression.errors import UserError
from compression.evaluation.wer import align_words, bootstrap_interval, word_error_rate
from compression.speech.audio import windows
from compression.speech.clips import SAMPLE_RATE, WINDOW_SECONDS, Clip, Recordings
from compression.speech.prompt import prompt_tokens
from compression.types import Progress, Transcript, TranscriptionReport, UtteranceReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, WhisperFeatureExtractor

MAX_NEW_TOKENS = 224
"""Tokens written of one window at most: half of Whisper's positions, as in its authors' decoder."""
BATCH_SIZE = 8
"""Windows decoded together. Each has keys and values of its own to read, so that more save little."""

CONVENTION = (
    "word error rate after Whisper's {normaliser} normaliser, greedy decoding of windows of at most {seconds} seconds, "
    "at most {tokens} tokens each"
)


@dataclass(frozen=True)
class PartialWer:
    """A running result.

    Attributes:
        wer: word error rate of the recordings written down so far; None before the first.
        clips: how many these are.
        total_clips: recordings in all.
        real_time_factor: seconds of work for a second of speech, so far.
        utterances: the recordings that came with this step.
    """

    wer: float | None
    clips: int
    total_clips: int
    real_time_factor: float
    utterances: tuple[UtteranceReport, ...]


def extract_features(
    model: PreTrainedModel, feature_extractor: WhisperFeatureExtractor, pieces: Sequence[np.ndarray]
) -> Tensor:
    """Log-mel spectrograms of pieces, each padded with silence to a whole window.

    Args:
        model: says on which device and in which precision they are wanted.
        feature_extractor: the model's.
        pieces: samples of each at `SAMPLE_RATE`; at most what the model hears at a time.

    Returns:
        (pieces, mel bins, frames).
    """
    features = feature_extractor(list(pieces), sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    parameter = next(model.parameters())
    moved: Tensor = features.to(parameter.device, parameter.dtype)
    return moved


@torch.inference_mode()
def decode_greedily(model: PreTrainedModel, features: Tensor, prompt: Sequence[int]) -> list[list[int]]:
    """Write down every window, token by token, with a cache of keys and values.

    Args:
        model: a Whisper with its generation settings, which name the tokens it may not write.
        features: (windows, mel bins, frames).
        prompt: what each text begins with.

    Returns:
        The new tokens of each window, without prompt and end.
    """
    settings: Any = model.generation_config
    states = model.get_encoder()(features).last_hidden_state
    tokens = torch.tensor([list(prompt)] * len(features), device=features.device)
    written: list[list[int]] = [[] for _ in features]
    unfinished = list(range(len(features)))
    cache = None
    for step in range(min(MAX_NEW_TOKENS, model.config.max_target_positions - len(prompt))):
        output = model(encoder_outputs=(states,), decoder_input_ids=tokens, cache=cache, use_cache=True)
        cache = output.cache
        logits = output.logits[:, -1]
        logits[:, settings.suppress_tokens or []] = -torch.inf
        if step == 0:
            logits[:, settings.begin_suppress_tokens or []] = -torch.inf
        chosen = logits.argmax(dim=-1)
        going_on = [row for row, token in enumerate(chosen.tolist()) if token != settings.eos_token_id]
        if not going_on:
            break
        if len(going_on) < len(unfinished):
            rows = torch.tensor(going_on, device=features.device)
            unfinished = [unfinished[row] for row in going_on]
            chosen, states = chosen[rows], states[rows]
            cache.batch_select_indices(rows)
        for window, token in zip(unfinished, chosen.tolist(), strict=True):
            written[window].append(token)
        tokens = chosen[:, None]
    return written


def transcribe_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    feature_extractor: WhisperFeatureExtractor,
    pieces: Sequence[np.ndarray],
    prompt: Sequence[int],
) -> list[str]:
    """The text of each piece, of at most `WINDOW_SECONDS`."""
    written = decode_greedily(model, extract_features(model, feature_extractor, pieces), prompt)
    end = tokenizer.eos_token_id
    # From the end token on, a Whisper's tokens are marks: languages, tasks and times.
    return [str(tokenizer.decode([token for token in tokens if token < end])).strip() for tokens in written]


def measure_wer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    feature_extractor: WhisperFeatureExtractor,
    recordings: Recordings,
    stored_bits: int,
    normalise: Callable[[str], str],
    language: str = "en",
    batch_size: int = BATCH_SIZE,
) -> Generator[Progress, None, TranscriptionReport]:
    """Write down recordings and count the errors.

    Recordings longer than a window are cut, and their texts joined. Windows of like duration are decoded together, the
    shortest first, so that a short text seldom waits for a long one.

    Args:
        model: a Whisper in evaluation mode.
        tokenizer: its tokenizer.
        feature_extractor: what makes its input.
        recordings: with transcripts; one without, or without words in it, is left out.
        stored_bits: bits of the model, carried into the report.
        normalise: what `compression.speech.normalizer` has for the language.
        language: code of the language of the speech.
        batch_size: windows decoded together.

    Yields:
        One event a batch with a `PartialWer`; it counts windows.

    Raises:
        UserError: if the model does not know the language, or no recording has a transcript with words.
    """
    prompt = prompt_tokens(model, language)
    clips, references, left_out = _scorable(recordings, normalise)
    pieces = [(index, piece) for index, clip in enumerate(clips) for piece in windows(clip.samples)]
    by_duration = sorted(range(len(pieces)), key=lambda place: len(pieces[place][1]))
    missing = Counter(index for index, _ in pieces)
    texts = [""] * len(pieces)
    reports: dict[int, UtteranceReport] = {}
    seconds = heard = 0.0
    for start in range(0, len(pieces), batch_size):
        places = by_duration[start : start + batch_size]
        batch = [pieces[place][1] for place in places]
        started = time.perf_counter()
        found = transcribe_batch(model, tokenizer, feature_extractor, batch, prompt)
        seconds += time.perf_counter() - started
        heard += sum(map(len, batch)) / SAMPLE_RATE
        new = []
        for place, text in zip(places, found, strict=True):
            texts[place] = text
            index = pieces[place][0]
            missing[index] -= 1
            if not missing[index]:
                hypothesis = " ".join(text for (each, _), text in zip(pieces, texts, strict=True) if each == index)
                new.append(_report(clips[index], references[index], hypothesis.strip(), normalise))
                reports[index] = new[-1]
        errors = sum(map(_errors, reports.values()))
        words = sum(report.words for report in reports.values())
        partial = PartialWer(errors / words if words else None, len(reports), len(clips), seconds / heard, tuple(new))
        done = start + len(places)
        yield Progress("transcribe", done, len(pieces), f"window {done} of {len(pieces)}", partial)
    utterances = tuple(reports[index] for index in range(len(clips)))
    hypotheses = [report.hypothesis for report in utterances]
    result = word_error_rate(hypotheses, references, normalise)
    low, high, stderr = bootstrap_interval([*map(_errors, utterances)], [report.words for report in utterances])
    return TranscriptionReport(
        wer=result["wer"],
        wer_raw=word_error_rate(hypotheses, references)["wer"],
        wer_low=low,
        wer_high=high,
        wer_stderr=stderr,
        cer=result["cer"],
        substitutions=result["substitutions"],
        deletions=result["deletions"],
        insertions=result["insertions"],
        words=result["words"],
        clips=len(clips),
        audio_seconds=heard,
        seconds=seconds,
        real_time_factor=seconds / heard,
        convention=CONVENTION.format(
            normaliser="English" if language == "en" else "Basic", seconds=WINDOW_SECONDS, tokens=MAX_NEW_TOKENS
        ),
        source=recordings.source,
        stored_bits=stored_bits,
        utterances=utterances,
        left_out=(*recordings.left_out, *left_out),
    )


def transcribe(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    feature_extractor: WhisperFeatureExtractor,
    samples: np.ndarray,
    language: str = "en",
) -> Generator[Progress, None, Transcript]:
    """Write down one recording, window by window.

    Args:
        model: a Whisper in evaluation mode.
        tokenizer: its tokenizer.
        feature_extractor: what makes its input.
        samples: (n,) at `SAMPLE_RATE`.
        language: code of the language of the speech.

    Yields:
        One event a window whose `partial` is the `Transcript` so far.

    Raises:
        UserError: if the model does not know the language.
    """
    prompt = prompt_tokens(model, language)
    pieces = windows(samples)
    transcript = Transcript("", 0.0, 0.0, 0)
    for index, piece in enumerate(pieces):
        started = time.perf_counter()
        (text,) = transcribe_batch(model, tokenizer, feature_extractor, [piece], prompt)
        transcript = Transcript(
            f"{transcript.text} {text}".strip(),
            transcript.audio_seconds + len(piece) / SAMPLE_RATE,
            transcript.seconds + time.perf_counter() - started,
            index + 1,
        )
        yield Progress("transcribe", index + 1, len(pieces), f"window {index + 1} of {len(pieces)}", transcript)
    return transcript


def _scorable(recordings: Recordings, normalise: Callable[[str], str]) -> tuple[list[Clip], list[str], list[str]]:
    """The clips that have words to compare with, what is said in each, and a sentence for each of the others."""
    clips, references, left_out = [], [], []
    for clip in recordings.clips:
        if clip.text is not None and normalise(clip.text).strip():
            clips.append(clip)
            references.append(clip.text)
        else:
            left_out.append(
                f"{clip.id} has no transcript with words, so that it has no word error rate: it is left out."
            )
    if not clips:
        raise UserError(
            f"No recording of {recordings.source.name} has a transcript with words: a word error rate needs what was "
            "said."
        )
    return clips, references, left_out


def _report(clip: Clip, reference: str, hypothesis: str, normalise: Callable[[str], str]) -> UtteranceReport:
    found = align_words(reference, hypothesis, normalise)
    return UtteranceReport(
        id=clip.id,
        reference=reference,
        hypothesis=hypothesis,
        words=found.reference_words,
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
        seconds=clip.seconds,
    )


def _errors(report: UtteranceReport) -> int:
    return report.substitutions + report.deletions + report.insertions
