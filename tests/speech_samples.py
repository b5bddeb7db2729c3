"""Made-up recordings that a tiny Whisper can hear: tones with noise, each with a few words for a transcript."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compression.speech.clips import SAMPLE_RATE, Clip, Recordings
from compression.types import SpeechSource

WORDS = ("the quick brown fox", "a lazy dog jumps over", "five dozen liquor jugs", "a model", "seven daft zebras jump")


def tone(seconds: float, seed: int = 0) -> np.ndarray:
    """Something to hear."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = 0.3 * np.sin(2 * np.pi * random.uniform(200, 800) * time) + 0.05 * random.standard_normal(len(time))
    return np.clip(sound, -1, 1).astype(np.float32)


def made_up(count: int = 5, name: str = "made up") -> Recordings:
    """Recordings of half a second to almost two, all different."""
    clips = tuple(
        Clip(f"clip-{i}", tone(0.5 + 1.4 * i / count, seed=i), WORDS[i % len(WORDS)] + " again" * (i // len(WORDS)))
        for i in range(count)
    )
    return Recordings(SpeechSource(name, f"fingerprint of {name}", count, sum(c.seconds for c in clips)), clips)


def write_folder(folder: Path, recordings: Recordings) -> Path:
    """Write recordings as a folder with transcripts, as a user has them."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for clip in recordings.clips:
        soundfile.write(folder / f"{clip.id}.flac", clip.samples, SAMPLE_RATE)
    lines = "".join(f"{clip.id}\t{clip.text}\n" for clip in recordings.clips)
    (folder / "transcripts.tsv").write_text(lines, encoding="utf-8")
    return folder


def plant_spelling_table(cache: Path) -> None:
    """Put a small English spelling table where the real one would be fetched to: no test asks a package index."""
    from compression.speech import normalizer

    folder = cache / "speech"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"spelling-{normalizer._TABLE.sha256[:12]}.json").write_text('{"colour": "color"}')
