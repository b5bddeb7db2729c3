"""Recordings as a speech model takes them in calibration: spectrograms, and transcripts as token ids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from compression.calibration import spread
from compression.errors import UserError
from compression.speech.clips import SAMPLE_RATE, Clip, Recordings
from compression.speech.prompt import prompt_tokens
from compression.streams import SpokenSequences
from compression.types import SpeechCalibration

if TYPE_CHECKING:
    from compression.models import LoadedModel

PROBE_CLIPS = 8
"""Recordings kept for the probe, where there are enough: two from each quarter of them."""


@dataclass(frozen=True)
class SpeechSplit:
    """What of the recordings serves which purpose; the probe's are in no statistic.

    Attributes:
        inputs: for the input Grams.
        gradients: for the output-gradient Grams: the first ones of `inputs`, in the same order of spreading.
        probes: kept out of every statistic; None if there are too few recordings.
    """

    inputs: SpokenSequences
    gradients: SpokenSequences
    probes: SpokenSequences | None


def split_recordings(recordings: Recordings, settings: SpeechCalibration, source: LoadedModel) -> SpeechSplit:
    """Spread the clips evenly over all recordings, so that they hear as many of the speakers as possible.

    Where there are more than are asked for, the probe gets eight of the others. Speech with transcripts is scarce: the
    gradients are taken on the clips that the inputs come from.

    Args:
        recordings: with transcripts; those longer than the model's window are left out.
        settings: how many clips.
        source: the model, its tokenizer and its feature extractor.

    Raises:
        UserError: if no recording is short enough, or the model does not know the language.
    """
    assert source.feature_extractor is not None
    window = source.feature_extractor.chunk_length
    clips = [clip for clip in recordings.clips if clip.seconds <= window and clip.text]
    if not clips:
        raise UserError(
            f"The recordings {recordings.source.name} hold none of at most {window} seconds with a transcript, which "
            "calibration needs: give others."
        )
    wanted = max(settings.num_sequences, settings.gradient_sequences)
    probes: set[int] = set()
    if len(clips) >= wanted + PROBE_CLIPS:
        probes = set(spread(PROBE_CLIPS, len(clips), None).tolist())
    free = [index for index in range(len(clips)) if index not in probes]
    generator = torch.Generator().manual_seed(settings.seed) if settings.seed else None

    def spoken(count: int) -> SpokenSequences:
        chosen = spread(min(count, len(free)), len(free), generator)
        return spoken_sequences([clips[free[int(place)]] for place in chosen], settings, source)

    inputs = spoken(settings.num_sequences)
    same = settings.gradient_sequences == settings.num_sequences
    return SpeechSplit(
        inputs,
        inputs if same else spoken(settings.gradient_sequences),
        spoken_sequences([clips[index] for index in sorted(probes)], settings, source) if probes else None,
    )


def too_few(settings: SpeechCalibration) -> UserError:
    """The error for recordings among which none can be kept for a probe."""
    needed = max(settings.num_sequences, settings.gradient_sequences) + PROBE_CLIPS
    return UserError(
        f"The recordings {settings.source.name} are {settings.source.num_clips}, too few to keep a probe apart from "
        f"the statistics: at least {needed} are needed; give more, or ask for fewer calibration sequences."
    )


def spoken_sequences(clips: list[Clip], settings: SpeechCalibration, source: LoadedModel) -> SpokenSequences:
    """Clips with their transcripts between the model's prompt and its end token.

    Raises:
        UserError: if a transcript is longer than the decoder reads, or the model does not know the language.
    """
    assert source.feature_extractor is not None
    config: Any = source.model.config
    prompt = prompt_tokens(source.model, settings.language)
    end = source.model.generation_config.eos_token_id
    room = config.max_target_positions - len(prompt) - 1  # for the end token
    tokens = []
    for clip in clips:
        assert clip.text is not None
        # Whisper writes a space before its first word.
        words = source.tokenizer(f" {clip.text.strip()}", add_special_tokens=False).input_ids
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
