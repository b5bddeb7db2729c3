"""Sound files, what microphones give, and windows."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from compression.errors import UserError
from compression.speech import audio
from compression.speech.clips import SAMPLE_RATE, WINDOW_SECONDS

FORMATS = [
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "ULAW"),
    ("flac", "FLAC", "PCM_16"),
    ("flac", "FLAC", "PCM_24"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
    ("ogg", "OGG", "VORBIS"),
    ("ogg", "OGG", "OPUS"),
]
LOSSLESS = {"PCM_16", "PCM_24", "FLOAT"}


def tone(seconds: float, rate: int = SAMPLE_RATE, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = SAMPLE_RATE, format: str = "WAV", subtype: str | None = None) -> bytes:
    sink = io.BytesIO()
    soundfile.write(sink, samples, rate, format=format, subtype=subtype)
    return sink.getvalue()


def wav_header(rate: int, frames: int, channels: int = 1) -> bytes:
    """The header of a wav file of 8-bit samples, without the samples."""
    size = frames * channels
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels, channels, 8)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + layout + b"data" + struct.pack("<I", size)


def sparse_wav(path: Path, rate: int, seconds: float, channels: int = 1) -> Path:
    """A wav file whose samples are a hole in the file system."""
    header, frames = wav_header(rate, round(seconds * rate), channels), round(seconds * rate)
    path.write_bytes(header)
    os.truncate(path, len(header) + frames * channels)
    return path


def refused(source: Path | bytes, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        audio.read_audio(source, **options)  # type: ignore[arg-type]
    return one_sentence(caught.value)


def one_sentence(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message and message.endswith(".") and "  " not in message, message
    return message


# Formats, rates, channels


@pytest.mark.parametrize(("suffix", "format", "subtype"), FORMATS)
def test_a_round_trip_through_every_format(tmp_path: Path, suffix: str, format: str, subtype: str) -> None:
    assert subtype in soundfile.available_subtypes(format), "this libsndfile cannot do it"
    path, samples = tmp_path / f"a.{suffix}", tone(2.0)
    path.write_bytes(encoded(samples, format=format, subtype=subtype))
    read = audio.read_audio(path)
    assert read.dtype == np.float32 and read.shape == samples.shape and read.flags.c_contiguous
    error = np.sqrt(np.mean((read - samples)[1600:-1600] ** 2))
    assert error < (2e-5 if subtype in LOSSLESS else 0.05), f"RMS error {error} of a tone of RMS 0.35"
    np.testing.assert_array_equal(audio.read_audio(path.read_bytes()), read)
    assert audio.seconds(path) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 47_999, 48_000, 96_000])
def test_any_usual_rate_keeps_the_tone_and_its_duration(rate: int) -> None:
    read = audio.read_audio(encoded(tone(1.0, rate), rate))
    assert read.dtype == np.float32 and abs(len(read) - SAMPLE_RATE) <= 1
    # The same tone, sampled at 16 kHz in the first place; the filter's ends are not compared.
    expected = tone(1.0)[: len(read)]
    np.testing.assert_allclose(read[800:-800], expected[800 : len(read) - 800], atol=2e-3)


def test_what_16_khz_cannot_hold_is_filtered_not_folded() -> None:
    both = audio.read_audio(encoded(tone(1.0, 48_000) / 2 + tone(1.0, 48_000, 15_000.0) / 2, 48_000))
    np.testing.assert_allclose(both[800:-800], tone(1.0)[800:-800] / 2, atol=2e-3)


def test_channels_are_averaged() -> None:
    left, right = tone(0.5), tone(0.5, frequency=700.0)
    read = audio.read_audio(encoded(np.stack([left, right], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(read, (left + right) / 2, atol=1e-7)


def test_more_than_full_scale_is_scaled_not_clipped() -> None:
    read = audio.read_audio(encoded(tone(0.5) * 65_536, subtype="FLOAT"))
    np.testing.assert_allclose(read, tone(0.5) / tone(0.5).max(), atol=1e-6)


def test_a_stream_with_an_open_length_is_read() -> None:
    """Programs that write to a pipe leave the largest number in the header."""
    data = bytearray(encoded(tone(1.0)))
    data[4:8] = data[40:44] = b"\xff" * 4
    assert len(audio.read_audio(bytes(data))) == SAMPLE_RATE


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    for name in ("a", "a.raw", "a.txt", "ü é.WAV"):
        (tmp_path / name).write_bytes(encoded(tone(0.5), format="FLAC"))
        assert len(audio.read_audio(tmp_path / name)) == SAMPLE_RATE // 2


# Bad files


def test_files_that_are_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    assert "There is no file" in refused(path)
    path.write_text("This is a text, and not a recording at all.\n" * 100)
    assert "speech.wav cannot be read as audio" in refused(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "cannot be read as audio" in refused(path)
    path.write_bytes(b"")
    assert "holds no sound (0 seconds)" in refused(path)
    assert "is not a file" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    assert "is not a file" in refused(tmp_path / "pipe.wav")
    assert "cannot be read" in refused(Path("x" * 5000))
    assert "cannot be read" in refused(Path("a\0b"))


def test_control_characters_in_a_name_are_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31m.wav"
    path.write_bytes(b"text")
    assert refused(path).startswith("a??[31m.wav cannot")


@pytest.mark.parametrize(("suffix", "format", "subtype"), FORMATS)
def test_damaged_files_never_end_in_a_traceback(suffix: str, format: str, subtype: str) -> None:
    data = encoded(tone(3.0), format=format, subtype=subtype)
    rng = np.random.default_rng(0)
    for cut in (1, 4, 12, 30, 100, 300, len(data) // 2, len(data) - 100):
        try:
            audio.read_audio(data[:cut])
        except UserError as error:
            one_sentence(error)
    for _ in range(20):
        damaged = bytearray(data)
        place = int(rng.integers(len(data) - 20))
        damaged[place : place + 20] = rng.bytes(20)
        try:
            audio.read_audio(bytes(damaged))
        except UserError as error:
            one_sentence(error)


def test_what_breaks_off_is_damaged() -> None:
    flac, mp3 = (encoded(tone(3.0), format=format) for format in ("FLAC", "MP3"))
    assert "is damaged" in refused(flac[: len(flac) // 2])
    message = refused(mp3[: len(mp3) // 2], name="cut.mp3")
    assert message.startswith("cut.mp3 breaks off after 1.") and " of 3.0 seconds" in message


def test_files_that_hide_their_length() -> None:
    flac = bytearray(encoded(tone(1.0), format="FLAC"))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)  # the number of samples: 36 bits, 0 where it is unknown
    assert "does not say how long it is" in refused(bytes(flac))
    # An mp3 of changing bit rate without the frame that tells its length: libsndfile guesses from the first frames.
    rng = np.random.default_rng(0)
    samples = np.concatenate([1e-3 * tone(10.0), 0.2 * rng.standard_normal(10 * SAMPLE_RATE).astype(np.float32)])
    sink = io.BytesIO()
    soundfile.write(sink, samples, SAMPLE_RATE, format="MP3", bitrate_mode="VARIABLE")
    mp3 = sink.getvalue()
    assert len(audio.read_audio(mp3)) == len(samples)
    bare = mp3[mp3.index(mp3[:2], mp3.index(b"Xing")) :]
    with soundfile.SoundFile(io.BytesIO(bare)) as sound:
        assert sound.frames != len(samples), "it guesses right by now: the check in `read_audio` may go"
    message = refused(bare)
    assert "does not say how long it is" in message or "breaks off" in message


def test_durations(tmp_path: Path) -> None:
    assert "holds no sound (0 seconds)" in refused(encoded(np.zeros(0)))
    assert "lasts 0.099 s, less than the 0.1 s" in refused(encoded(tone(0.099)))
    assert len(audio.read_audio(encoded(tone(0.1)))) == 1600
    assert "lasts 6 s, more than the 5 s" in refused(encoded(tone(6.0)), max_seconds=5)
    assert len(audio.read_audio(encoded(tone(6.0)), max_seconds=6)) == 6 * SAMPLE_RATE
    assert "lasts 10 min 1 s, more than the 10 min" in refused(sparse_wav(tmp_path / "a.wav", 8_000, 601))


def test_two_hours_are_refused_without_being_read(tmp_path: Path) -> None:
    path = sparse_wav(tmp_path / "lecture.wav", 16_000, 7_200)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        message = refused(path)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 0.5
    assert message.startswith("lecture.wav lasts 2 h 0 min, more than the 10 min a recording may last: cut")


def test_absurd_headers_take_no_memory(tmp_path: Path) -> None:
    for rate in (1, 3_999, 192_001, 1_092_676, 2**31 - 1):
        assert "samples a second" in refused(wav_header(rate, 1000) + bytes(1000))
    assert "too much for 10 min" in refused(sparse_wav(tmp_path / "a.wav", 48_000, 600, channels=8))
    # A header that promises hours, and a file that holds nothing of them.
    assert "holds no sound" in refused(wav_header(16_000, 2**31))


def test_silence() -> None:
    rng = np.random.default_rng(0)
    for quiet in (np.zeros(16_000), 9e-4 * tone(1.0) / 0.5, np.full(16_000, 0.3), 1e-4 * rng.standard_normal(16_000)):
        assert "Nothing can be heard in The recording" in refused(encoded(quiet, subtype="FLOAT"))
    audible = 1.1e-3 * tone(1.0) / 0.5
    np.testing.assert_allclose(audio.read_audio(encoded(audible, subtype="FLOAT")), audible, atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(value: float) -> None:
    samples = tone(0.5)
    samples[100] = value
    assert "not numbers" in refused(encoded(samples, subtype="FLOAT"))
    assert "not numbers" in refused(encoded(np.full((8_000, 2), 3e38), subtype="FLOAT"))


# From a microphone


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 2])
def test_samples_of_any_kind(dtype: str, channels: int) -> None:
    wanted = tone(0.5)
    samples = wanted.astype(np.float64)
    if dtype == "uint8":
        samples = np.round(samples * 127 + 128)
    elif dtype.startswith("int"):
        samples = np.round(samples * np.iinfo(dtype).max)
    samples = samples.astype(dtype)
    given = np.stack([samples] * channels, axis=1) if channels else samples
    heard = audio.from_samples(SAMPLE_RATE, given)
    assert heard.dtype == np.float32 and heard.shape == wanted.shape
    np.testing.assert_allclose(heard, wanted, atol=0.01 if dtype == "uint8" else 1e-4)


def test_a_microphone_and_a_file_give_the_same() -> None:
    samples = np.round(tone(0.7, 44_100) * 32_767).astype(np.int16)
    np.testing.assert_array_equal(
        audio.from_samples(44_100, samples), audio.read_audio(encoded(samples, 44_100, subtype="PCM_16"))
    )


@pytest.mark.parametrize(
    ("rate", "samples", "words"),
    [
        (16_000, np.zeros(0, np.int16), "The recording holds no sound"),
        (16_000, np.zeros((0, 2), np.int16), "The recording holds no sound"),
        (16_000, np.zeros((100, 0), np.int16), "The recording holds no sound"),
        (16_000, np.float32(0.5), "The recording lasts 0.000 s"),
        (0, tone(1.0), "claims 0 samples"),
        (16_000, np.zeros(16_000, np.int16), "Nothing can be heard"),
        (16_000, np.full(16_000, 128, np.uint8), "Nothing can be heard"),
        (16_000, np.full(16_000, np.nan, np.float32), "not numbers"),
        (16_000, np.full(16_000, 1e300), "not numbers"),
        (4_000, np.broadcast_to(np.int16(0), (7_200 * 4_000,)), "lasts 2 h 0 min"),
    ],
)
def test_a_microphone_that_gives_nonsense(rate: int, samples: np.ndarray, words: str) -> None:
    with pytest.raises(UserError) as caught:
        audio.from_samples(rate, samples)
    assert words in one_sentence(caught.value)


# Windows


def quietest_cut(samples: np.ndarray) -> int:
    """The middle of the quietest 0.2 s in the last 5 s of 30, by trying every one, a second kept for the rest."""
    begin, end = 25 * SAMPLE_RATE, min(30 * SAMPLE_RATE, len(samples) - SAMPLE_RATE)
    places = range(begin, end - 3200 + 1, 320)
    return min(places, key=lambda place: float(np.sum(samples[place : place + 3200].astype(np.float64) ** 2))) + 1600


@pytest.mark.parametrize("seconds", [30.0001, 30.5, 31, 35, 47.3, 60, 60.5, 125])
def test_windows_lose_nothing_and_cut_where_it_is_quiet(seconds: float) -> None:
    rng = np.random.default_rng(round(seconds * 10))
    loudness = 0.1 + np.abs(np.sin(np.arange(round(seconds * SAMPLE_RATE)) / 9_000))
    samples = (loudness * rng.standard_normal(len(loudness))).astype(np.float32)
    pieces = audio.windows(samples)
    np.testing.assert_array_equal(np.concatenate(pieces), samples)
    assert all(25 * SAMPLE_RATE < len(piece) <= WINDOW_SECONDS * SAMPLE_RATE for piece in pieces[:-1])
    assert SAMPLE_RATE <= len(pieces[-1]) <= WINDOW_SECONDS * SAMPLE_RATE
    rest = samples
    for piece in pieces[:-1]:
        assert len(piece) == quietest_cut(rest)
        rest = rest[len(piece) :]


def test_a_pause_is_where_the_cut_is() -> None:
    samples = tone(40.0)
    samples[round(27.0 * SAMPLE_RATE) : round(27.5 * SAMPLE_RATE)] = 0
    first, second = audio.windows(samples)
    assert 27.1 <= len(first) / SAMPLE_RATE <= 27.4 and len(first) + len(second) == len(samples)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 29.99, 30.0])
def test_what_fits_is_one_window(seconds: float) -> None:
    (piece,) = audio.windows(samples := tone(seconds))
    assert piece is samples
