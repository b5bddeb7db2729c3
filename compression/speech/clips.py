"""Recordings in memory: what everything that listens works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compression.types import SAMPLE_RATE, SpeechSource

Samples = np.ndarray
"""Mono sound, one-dimensional, at `SAMPLE_RATE`."""
WINDOW_SECONDS = 30
"""What a speech model hears at a time."""


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        id: its name.
        samples: mono, float32 in [-1, 1], (seconds · `SAMPLE_RATE`,).
        text: what is said; None where nobody wrote it down.
    """

    id: str
    samples: np.ndarray
    text: str | None = None

    @property
    def seconds(self) -> float:
        """Its duration."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def samples_in_16_bits(self) -> Samples:
        """The samples as whole numbers, as sound files have them, (n,), int16."""
        return np.clip(np.rint(self.samples * 32768), -32768, 32767).astype(np.int16)


@dataclass(frozen=True)
class Recordings:
    """Recordings and where they came from.

    Attributes:
        source: name, fingerprint, number and duration.
        clips: the recordings, each with its transcript.
        left_out: one sentence for each recording that cannot be used.
    """

    source: SpeechSource
    clips: tuple[Clip, ...]
    left_out: tuple[str, ...] = ()
