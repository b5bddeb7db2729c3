"""Recordings as a speech model takes them in calibration: spectrograms, and transcripts as token ids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compression.calibration import spread
from compression.errors import UserError
from compression.speech.clips import SAMPLE_RATE, Clip, Recordings
from compression.speech.prompt import prompt_tokens
from compression.streams import SpokenSequences
from compression.types import SpeechCalibration

if TYPE_CHECKING:
    from compression.models import LoadedModel

PAUSE_SECONDS = 0.4
"""Silence between joined clips: about that between sentences."""
PROBE_CLIPS = 8
"""Recordings kept for the probe, where there are enough: two from each quarter of them."""


@dataclass(frozen=True)
class SpeechSplit:
    """What of the recordings serves which purpose; the probe's are in no statistic.

    Attributes:
        inputs: for the input Grams: clips one by one, and the first joined to a whole window.
        gradients: for the output-gradient Grams, likewise.
        probes: kept out of every statistic; None if there are too few recordings.
    """

    inputs: SpokenSequences
    gradients: SpokenSequences
    probes: SpokenSequences | None


def split_recordings(recordings: Recordings, settings: SpeechCalibration, source: LoadedModel) -> SpeechSplit:
    """Spread the clips evenly over all recordings, so that they hear as many of the speakers as possible.

    They are heard one by one, and the first of them once more, joined to a whole window: short clips never reach the
    later positions of encoder and decoder, and a model compressed without them runs on without an end on longer speech.
    (whisper-tiny.en, compot-fisher at 0.2 removed, calibrated on the five built-in clips of 3 to 7 seconds, measured on
    clips of 4 to 23 seconds: word error rate 249 % without and 15 % with the joined window, dense 10 %.)

    Where there are more than are asked for, the probe gets eight of the others. Speech with transcripts is scarce: the
    gradients are taken on the clips that the inputs come from.

    Args:
        recordings: with transcripts; those longer than the model's window are left out.
        settings: how many clips.
        source: the model, its tokenizer and its feature extractor.

    Raises:
        UserError: if no recording is short enough, or the model does not know the language.
    """
    clips = usable_clips(recordings, source)
    wanted = max(settings.num_sequences, settings.gradient_sequences)
    probes: set[int] = set()
    if len(clips) >= wanted + PROBE_CLIPS:
        probes = set(spread(PROBE_CLIPS, len(clips), None).tolist())
    free = [index for index in range(len(clips)) if index not in probes]
    generator = torch.Generator().manual_seed(settings.seed) if settings.seed else None

    def spoken(count: int) -> SpokenSequences:
        chosen = [clips[free[int(place)]] for place in spread(min(count, len(free)), len(free), generator)]
        lengths = [len(words_of(clip, source)) for clip in chosen]
        whole = joined(chosen, lengths, window_of(source), room_for_words(settings, source))
        return spoken_sequences([*chosen, *whole], settings, source)

    inputs = spoken(settings.num_sequences)
    same = settings.gradient_sequences == settings.num_sequences
    return SpeechSplit(
        inputs,
        inputs if same else spoken(settings.gradient_sequences),
        spoken_sequences([clips[index] for index in sorted(probes)], settings, source) if probes else None,
    )


def window_of(source: LoadedModel) -> float:
    """What a speech model hears at a time, in seconds."""
    assert source.feature_extractor is not None
    return float(source.feature_extractor.chunk_length)


def usable_clips(recordings: Recordings, source: LoadedModel) -> list[Clip]:
    """The clips that calibration can use: as long as what the model hears at a time at most, with a transcript.

    Raises:
        UserError: if there is none.
    """
    window = window_of(source)
    clips = [clip for clip in recordings.clips if clip.seconds <= window and clip.text]
    if not clips:
        raise UserError(
            f"The recordings {recordings.source.name} hold none of at most {window:g} seconds with a transcript, which "
            "calibration needs: give others."
        )
    return clips


def joined(clips: list[Clip], lengths: list[int], window: float, room: int) -> list[Clip]:
    """The first clips one after another, with a pause between them, as many as fit into a window.

    Nothing where not two fit.

    Args:
        clips: with transcripts, none longer than the window.
        lengths: tokens of each transcript.
        window: what the model hears at a time, in seconds.
        room: tokens it has room for.
    """
    some: list[Clip] = []
    seconds, tokens = -PAUSE_SECONDS, 0
    for clip, length in zip(clips, lengths, strict=True):
        seconds += PAUSE_SECONDS + clip.seconds
        tokens += length
        if seconds > window or tokens > room:
            break
        some.append(clip)
    if len(some) < 2:
        return []
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), dtype=np.float32)
    samples = [part for clip in some for part in (clip.samples, pause)][:-1]
    text = " ".join(clip.text or "" for clip in some)
    return [Clip("+".join(clip.id for clip in some), np.concatenate(samples), text)]


def too_few(recordings: Recordings, settings: SpeechCalibration, source: LoadedModel) -> UserError:
    """The error for recordings among which none can be kept for a probe."""
    needed = max(settings.num_sequences, settings.gradient_sequences) + PROBE_CLIPS
    return UserError(
        f"Of the recordings {recordings.source.name} calibration can use {len(usable_clips(recordings, source))}, too "
        f"few to keep a probe apart from the statistics: at least {needed} are needed; give more, or ask for fewer "
        "calibration sequences."
    )


def words_of(clip: Clip, source: LoadedModel) -> list[int]:
    """The transcript as token ids: Whisper writes a space before its first word."""
    assert clip.text is not None
    ids: list[int] = source.tokenizer(f" {clip.text.strip()}", add_special_tokens=False).input_ids
    return ids


def room_for_words(settings: SpeechCalibration, source: LoadedModel) -> int:
    """How many tokens of a transcript the decoder has room for, beside the prompt and the end token."""
    config: Any = source.model.config
    return int(config.max_target_positions) - len(prompt_tokens(source.model, settings.language)) - 1


def spoken_sequences(clips: list[Clip], settings: SpeechCalibration, source: LoadedModel) -> SpokenSequences:
    """Clips with their transcripts between the model's prompt and its end token.

    Raises:
        UserError: if a transcript is longer than the decoder reads, or the model does not know the language.
    """
    assert source.feature_extractor is not None
    config: Any = source.model.config
    prompt = prompt_tokens(source.model, settings.language)
    end = source.model.generation_config.eos_token_id
    room = room_for_words(settings, source)
    tokens = []
    for clip in clips:
        words = words_of(clip, source)
        tokens.append(torch.tensor([*prompt, *words, end]))
        if len(words) > room:
            raise UserError(
                f"The transcript of {clip.id} has {len(words)} tokens, more than the {room} that the decoder has room "
                "for: shorten it."
            )
    features = source.feature_extractor(
        [clip.samples for clip in clips], sampling_rate=SAMPLE_RATE, return_tensors="pt"
    ).input_features
    total = config.max_source_positions
    a_second = total / source.feature_extractor.chunk_length
    positions = [total if settings.count_padding else min(total, math.ceil(c.seconds * a_second)) for c in clips]
    return SpokenSequences(features, tuple(tokens), len(prompt), tuple(positions))
