"""From a sound file, or what a microphone gave, to what a speech model hears: mono float32 at 16 kHz.

Design:
    - `soundfile` (libsndfile) reads wav, flac, mp3 and ogg. What the header says is checked before anything is decoded,
      so that a recording of hours is refused at once and an absurd header asks for no memory.
    - A file is decoded in one go: `soundfile` seeks after every read, and in an mp3 each seek leaves a click.
    - The tails of mp3 files are watched: without a length in the header libsndfile guesses one, and stops there.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from compression.errors import UserError
from compression.speech.clips import SAMPLE_RATE, WINDOW_SECONDS

MAX_SECONDS = 600.0
"""Longest recording accepted."""
MIN_SECONDS = 0.1
"""Shortest recording accepted: less holds no word."""
MIN_RATE, MAX_RATE = 4_000, 192_000
"""Sample rates accepted, a second; the telephone has 8,000."""
MAX_VALUES = 600 * 192_000
"""Most values (samples × channels) decoded, 0.5 GB as float32: ten minutes of stereo at 96 kHz."""
SILENCE_PEAK = 1e-3
"""A recording whose largest deviation from its mean is below this (-60 dB of full scale) counts as silence."""
TOLERANCE = 0.05
"""Largest share of a file that may differ from what its header says: tags at its end, rounding to whole frames."""
CUT_SECONDS = 5.0
"""How far before the end of a window `windows` looks for a quiet place."""
_FRAME = SAMPLE_RATE // 50
_QUIET_FRAMES = 10
"""A quiet place is 10 frames of 20 ms: a pause between words."""


def read_audio(source: Path | bytes, max_seconds: float = MAX_SECONDS, name: str | None = None) -> np.ndarray:
    """Read a recording: wav, flac, mp3 or ogg of any usual sample rate, its channels averaged.

    Args:
        source: the file, or its content.
        max_seconds: longest recording accepted, in seconds.
        name: what to call it in a sentence; by default the file's name.

    Returns:
        Mono samples at `SAMPLE_RATE`, float32 in [-1, 1], (seconds · `SAMPLE_RATE`,). What exceeds full scale is scaled
        down to it.

    Raises:
        UserError: if there is no such file, it is no audio, damaged, too long, too short or silent.
    """
    name = _name(source, name)
    with _opened(source, name) as (file, size):
        sound = _checked(file, name, max_seconds)
        try:
            samples = sound.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise UserError(f"{name} is damaged and cannot be decoded: save or record it again.") from error
        if len(samples) < sound.frames * (1 - TOLERANCE):
            raise UserError(
                f"{name} breaks off after {len(samples) / sound.samplerate:.1f} of "
                f"{sound.frames / sound.samplerate:.1f} seconds: it is damaged; save or copy it again."
            )
        if sound.format == "MP3" and file.tell() < size * (1 - TOLERANCE):
            raise UserError(_no_length(name))
        return _heard(name, sound.samplerate, samples)


def seconds(source: Path | bytes) -> float:
    """Return the duration of a recording as its header has it, in seconds, without decoding it.

    Raises:
        UserError: as `read_audio`, as far as the header tells.
    """
    name = _name(source, None)
    with _opened(source, name) as (file, _):
        sound = _checked(file, name, MAX_SECONDS)
        return sound.frames / sound.samplerate


def from_samples(
    rate: int, samples: np.ndarray, max_seconds: float = MAX_SECONDS, name: str = "The recording"
) -> np.ndarray:
    """Convert decoded samples, such as a microphone gives, to what `read_audio` returns.

    Args:
        rate: samples a second.
        samples: (n,) or (n, channels); integers in their full range, or floats in [-1, 1].
        max_seconds: longest recording accepted, in seconds.
        name: what to call it in a sentence.

    Returns:
        Mono samples at `SAMPLE_RATE`, float32 in [-1, 1], (seconds · `SAMPLE_RATE`,).

    Raises:
        UserError: if the rate is absurd, or the samples are none, too many, not finite or silent.
    """
    samples = np.atleast_1d(samples)
    _check_header(name, rate, len(samples) if samples.size else 0, samples.size // max(len(samples), 1), max_seconds)
    samples = samples.reshape(len(samples), -1)
    if np.issubdtype(samples.dtype, np.integer):
        limits = np.iinfo(samples.dtype)
        full_scale = (limits.max - limits.min + 1) / 2
        mono = samples.mean(axis=1, dtype=np.float32)
        return _heard(name, rate, (mono - np.float32(limits.min + full_scale)) / np.float32(full_scale))
    return _heard(name, rate, samples)


def windows(samples: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cut a recording into pieces that a speech model hears at a time.

    Each piece ends in the middle of the quietest 0.2 s of the last `CUT_SECONDS` that it may have, so that no word is
    cut; the last piece is what is left, and a second at least.

    Args:
        samples: (n,) at `SAMPLE_RATE`.

    Returns:
        Pieces of at most `WINDOW_SECONDS`, views into `samples`, which they make up together; one if all of it fits.
    """
    longest, pieces = WINDOW_SECONDS * SAMPLE_RATE, []
    while len(samples) > longest:
        latest = min(longest, len(samples) - SAMPLE_RATE)
        earliest = longest - round(CUT_SECONDS * SAMPLE_RATE)
        frames = samples[earliest:latest].astype(np.float64)
        energy = np.square(frames[: len(frames) // _FRAME * _FRAME]).reshape(-1, _FRAME).sum(axis=1)
        quietest = int(np.argmin(np.convolve(energy, np.ones(_QUIET_FRAMES), "valid")))
        cut = earliest + (quietest + _QUIET_FRAMES // 2) * _FRAME
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return (*pieces, samples)


def shown(name: str) -> str:
    """Return a name fit for a sentence: of bearable length, and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name[:100])


def _name(source: Path | bytes, name: str | None) -> str:
    return shown(name or (source.name if isinstance(source, Path) else "The recording"))


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[tuple[Any, int]]:
    """Yield the file and its size in bytes, or say why it cannot be read."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source)
        return
    try:
        # Nothing else is opened: a pipe would wait for a writer.
        if source.exists() and not source.is_file():
            raise UserError(f"{name} is not a file: a wav, flac, mp3 or ogg file was expected.")
        file = open(source, "rb")  # noqa: SIM115 - closed below; an error of the block is no error of opening
    except FileNotFoundError as error:
        raise UserError(f"There is no file {str(source)[:200]!r}: check its name.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The file {str(source)[:200]!r} cannot be read ({reason}).") from error
    with file:
        yield file, source.stat().st_size


def _checked(file: Any, name: str, max_seconds: float) -> soundfile.SoundFile:
    """Open a sound file, and check what its header says."""
    if not file.read(1):
        raise UserError(_no_sound(name))
    file.seek(0)
    try:
        # By its content alone: a file object whose name ends in .raw would be taken for samples without a header.
        sound = soundfile.SoundFile(_Nameless(file))
    except soundfile.LibsndfileError as error:
        raise UserError(
            f"{name} cannot be read as audio: a wav, flac, mp3 or ogg file was expected, and this one is something "
            "else or damaged."
        ) from error
    if sound.frames >= 2**62:  # libsndfile's way to say that the header does not tell
        raise UserError(_no_length(name))
    _check_header(name, sound.samplerate, sound.frames, sound.channels, max_seconds)
    return sound


class _Nameless:
    """A file without its name."""

    def __init__(self, file: Any) -> None:
        self.read, self.readinto, self.seek, self.tell = file.read, file.readinto, file.seek, file.tell


def _no_sound(name: str) -> str:
    return f"{name} holds no sound (0 seconds): record it again."


def _no_length(name: str) -> str:
    return f"{name} does not say how long it is: save it again as wav or flac."


def _check_header(name: str, rate: int, frames: int, channels: int, max_seconds: float) -> None:
    """Refuse what is not worth decoding, or too much of it."""
    if frames == 0:
        raise UserError(_no_sound(name))
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UserError(
            f"{name} claims {rate:,} samples a second, where {MIN_RATE:,} to {MAX_RATE:,} were expected: save it again "
            f"with {SAMPLE_RATE:,}."
        )
    if frames > max_seconds * rate:
        raise UserError(
            f"{name} lasts {_duration(frames / rate)}, more than the {_duration(max_seconds)} a recording may last: "
            "cut it into shorter ones."
        )
    if frames < MIN_SECONDS * rate:
        raise UserError(f"{name} lasts {frames / rate:.3f} s, less than the {MIN_SECONDS} s a word takes: record more.")
    if frames * channels > MAX_VALUES:
        raise UserError(
            f"{name} has {channels} channels of {rate:,} samples a second, too much for {_duration(frames / rate)}: "
            f"save it again with one channel of {SAMPLE_RATE:,}."
        )


def _duration(value: float) -> str:
    """A duration in words: ``2 h 0 min``, ``10 min``, ``10 min 5 s``, ``12 s``."""
    minutes, rest = divmod(round(value), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if minutes and rest:
        return f"{minutes} min {rest} s"
    return f"{minutes} min" if minutes else f"{rest} s"


def _heard(name: str, rate: int, samples: np.ndarray) -> np.ndarray:
    """Average the channels, scale down to full scale, resample, and refuse what cannot be heard.

    Args:
        name: what to call it in a sentence.
        rate: samples a second.
        samples: floats, (n,) or (n, channels).

    Returns:
        (round up n · `SAMPLE_RATE` / rate,), float32 in [-1, 1].
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, and is refused
        mono = samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples.astype(np.float32)
    if not np.isfinite(mono).all():
        raise UserError(f"{name} holds samples that are not numbers (NaN or infinite): save it again as 16-bit wav.")
    peak = max(mono.max(), -mono.min())
    if peak > 1:
        mono = mono / peak
    if rate != SAMPLE_RATE:
        from scipy.signal import resample_poly

        divisor = math.gcd(rate, SAMPLE_RATE)
        mono = resample_poly(mono, SAMPLE_RATE // divisor, rate // divisor)
        np.clip(mono, -1, 1, out=mono)  # the filter overshoots a little
    if (mean := float(mono.mean())) - mono.min() < SILENCE_PEAK and mono.max() - mean < SILENCE_PEAK:
        raise UserError(
            f"Nothing can be heard in {name}, which stays more than 60 dB below full scale: check the microphone, or "
            "record it louder."
        )
    return np.ascontiguousarray(mono, dtype=np.float32)
