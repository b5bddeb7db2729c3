"""Test live for speech models: transcripts aligned and marked, what is wrong with a recording said in a sentence."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from compression.errors import UserError
from compression.evaluation.wer import AlignedWord, WordAlignment, align_words
from compression.recipe import Recipe
from compression.types import LatencyFigure, Progress, SpeechLatencyReport, Transcript
from views import engine, transcripts
from views.figures import speech_latency
from views.page import launch_options
from views.tabs import live_parts, live_speech
from views.texts import TABLES, words
from views.transcripts import Pair, TranscriptSide, transcripts_html

RATE = 16_000
EN, RU = words("en"), words("ru")
HOSTILE = '<img src=x onerror="alert(1)">&'
REFUSAL = "The package words==1 is fetched with pip, which this Python (/py) does not have: run `/py -m ensurepip`."
DENSE = "The cat sat on the mat."
COMPRESSED = "The cat sits the the mat"


def written(text: str, seconds: float = 0.5) -> Transcript:
    return Transcript(text, 4.0, seconds, 1)


def pair(dense: str, compressed: str, reference: str = "") -> Pair:
    """As the tab makes it, but aligned at once."""
    sides = [TranscriptSide("dense", written(dense)), TranscriptSide("svd", written(compressed, 1.0))]
    if reference:
        sides = [replace(side, alignment=align(reference, side.transcript.text)) for side in sides if side.transcript]
        return Pair(*sides, against_reference=True, finished=True)
    if dense:
        sides[1] = replace(sides[1], alignment=align(dense, compressed))
    return Pair(*sides, finished=True)


def align(first: str, second: str) -> WordAlignment:
    return align_words(first, second, lambda text: "".join(c for c in text.lower() if c.isalnum() or c in " <>&"))


class Bench:
    """A workbench whose models write what they are told to."""

    def __init__(self, dense: str = DENSE, compressed: str = COMPRESSED) -> None:
        self.texts = {"dense": dense, "svd": compressed}
        self.heard: list[np.ndarray] = []
        self.refuses = ""

    def transcribe(self, recipe: Recipe, samples: np.ndarray) -> Generator[Progress, None, Transcript]:
        self.heard.append(samples)
        text = self.texts[recipe.method]
        yield Progress("compress", 0, 1, "compressing")
        yield Progress("transcribe", 1, 2, "window 1 of 2", written(text[: len(text) // 2]))
        return written(text)

    def align(self, reference: str, hypothesis: str) -> Generator[Progress, None, WordAlignment]:
        yield Progress("align", 0, 1, "aligning")
        if reference == self.refuses:
            raise UserError(REFUSAL)
        return align(reference, hypothesis)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(engine, "workbench", lambda: made)
    return made


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., str]:
    """``recording(name, rate, seconds, level)``: a file with a tone."""

    def make(name: str = "tone.wav", rate: int = RATE, seconds: float = 1.0, level: float = 0.3) -> str:
        time = np.arange(int(rate * seconds)) / rate
        soundfile.write(tmp_path / name, level * np.sin(2 * np.pi * 440 * time), rate)
        return str(tmp_path / name)

    return make


def steps(audio: str | None, reference: str = "", language: str = "en") -> list[list[Any]]:
    return list(live_speech.transcribe(words(language), "whisper", "svd", "uniform", 0.2, audio, reference))


# The marks


def test_each_kind_of_error_is_marked_by_line_by_sign_and_in_words() -> None:
    html = transcripts_html(pair("the cat sat on the mat", "the bat sat the mat today", "the cat sat on the mat"), EN)
    assert '<mark class="wrong" title="instead of “cat”">bat</mark><rt aria-hidden="true">cat</rt>' in html
    assert '<span class="unseen"> (instead of “cat”)</span>' in html
    assert '<del class="missing" title="missing"><span class="unseen">missing: </span>⌊on⌋</del>' in html
    assert '<ins class="extra" title="too many"><span class="unseen">too many: </span>today</ins>' in html
    assert html.count("<li>") == 3, "the legend explains all three"
    assert (
        "Word error rate 0% of 6 words" in html and "Word error rate 50% of 6 words: 1 wrong, 1 missing, 1 too" in html
    )
    assert "Real-time factor 0.12: 0.5 s for 4.0 s of speech" in html
    assert html.count('role="status"') == 1


def test_the_legend_explains_only_what_is_there() -> None:
    assert "mark-legend" not in transcripts_html(pair("one two", "one two", "one two"), EN)
    html = transcripts_html(pair("one two", "one", "one two"), EN)
    assert html.count("<li>") == 1 and "missing: said, but not written" in html


def test_without_a_reference_the_compressed_transcript_is_marked_against_the_dense_one() -> None:
    html = transcripts_html(pair("one two", "one too three"), EN)
    dense, compressed = html.split("<h3>svd</h3>")
    assert "<mark" not in dense and "Word error rate" not in html
    assert "instead of “two”" in compressed and "only in the compressed transcript: " in compressed
    assert "another word; above it, the dense model's" in unescape(html)


@pytest.mark.parametrize("reference", ["", HOSTILE])
def test_what_a_model_or_a_visitor_wrote_is_never_markup(reference: str) -> None:
    hostile = TranscriptSide(HOSTILE, written(HOSTILE), WordAlignment(tuple(_every_kind(HOSTILE))))
    html = transcripts_html(Pair(hostile, hostile, against_reference=bool(reference), finished=True), EN)
    assert "<img" not in html and 'onerror="' not in html
    assert HOSTILE in unescape(html)


def _every_kind(word: str) -> Iterator[AlignedWord]:
    yield AlignedWord("equal", word, word)
    yield AlignedWord("substitute", word, word)
    yield AlignedWord("delete", word, "")
    yield AlignedWord("insert", "", word)


# The sentence and the table


@pytest.mark.parametrize(
    ("dense", "compressed", "reference", "said"),
    [
        (
            "a b c d",
            "a b c x",
            "a b c d",
            "0% (errors: 0) and the compressed one 25% (errors: 1): compression costs 1",
        ),
        ("a b c x", "a b c d", "a b c d", "the compressed model makes 1 fewer, which one recording does not prove"),
        ("a b c x", "a b x d", "a b c d", "compression adds no error here"),
        ("a b c d", "a b c d", "", "Both models write the same words."),
        ("a b c d", "a b", "", "Words that differ from the dense transcript: 2, of 4."),
        ("", "a b", "", "The dense model wrote nothing, so there is nothing to compare with."),
    ],
)
def test_the_sentence(dense: str, compressed: str, reference: str, said: str) -> None:
    assert said in transcripts.summary(pair(dense, compressed, reference), EN)


def test_the_table_has_counts_only_with_a_reference() -> None:
    table = transcripts.table(pair("a b c d", "a x d d d", "a b c d"), EN)
    assert table is not None
    assert table.rows[0] == ("dense", 0.0, 0, 0, 0, 4, 4.0, 0.5, 0.125)
    assert table.rows[1] == ("svd", 0.75, 2, 0, 1, 4, 4.0, 1.0, 0.25)
    assert len(table.headers) == len(table.rows[0])
    without = transcripts.table(pair("a b", "a"), EN)
    assert without is not None and without.rows[1] == ("svd", None, None, None, None, None, 4.0, 1.0, 0.25)
    assert transcripts.table(transcripts.join(("dense", "svd"), (written("a"), None)), EN) is None


def test_it_is_said_in_russian() -> None:
    html = transcripts_html(pair("a b c d", "a x d", "a b c d"), RU)
    assert "Доля ошибочных слов 50\u202f%" in html and "вместо «b»" in html and "Коэффициент реального времени" in html


# A recording goes through both models


def test_transcripts_are_streamed_then_aligned(bench: Bench, recording: Callable[..., str]) -> None:
    made = steps(recording(), "the cat sat on the mat")
    shown = [step[1] for step in made if isinstance(step[1], str)]
    assert "The cat sat" in shown[0] and "Its transcript appears here." in shown[0]
    assert all("<mark" not in html and "<del" not in html for html in shown[:-1])
    status, html, table = made[-1]
    assert "Both models have written it down." in status and "instead of “sat”" in html
    assert json.loads(table)["rows"][0][1] == 0
    assert [len(samples) for samples in bench.heard] == [RATE, RATE]


@pytest.mark.parametrize("reference", ["?! …", "refused"])
def test_a_reference_without_words_is_said_and_the_transcripts_are_aligned_all_the_same(
    bench: Bench, recording: Callable[..., str], reference: str
) -> None:
    bench.refuses = "refused"
    status, html, _ = steps(recording(), reference)[-1]
    assert 'role="alert"' in status and status.count(".</div>") == 1
    assert "only in the dense transcript" in html or "instead of" in html
    assert "Word error rate" not in html


def test_a_model_that_writes_nothing(bench: Bench, recording: Callable[..., str]) -> None:
    bench.texts = {"dense": "", "svd": ""}
    status, html, _ = steps(recording())[-1]
    assert html.count("The model wrote nothing.") == 2 and "nothing to compare with" in html
    _, html, _ = steps(recording(), "one two")[-1]
    assert html.count("Word error rate 100% of 2 words") == 2


def long_wav(path: Path) -> Path:
    """Two hours by its header and its size; on the disk it is a hole."""
    rate, size = 8000, 2 * 3600 * 8000 * 2
    header = (
        b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    )
    with path.open("wb") as file:
        file.write(header + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    return path


def test_what_cannot_be_heard_gets_one_sentence_and_no_model_runs(
    bench: Bench, recording: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("This is no sound.\n")
    (tmp_path / "empty.wav").touch()
    bad: Sequence[tuple[str | None, str]] = [
        (None, "There is no recording yet"),
        ("", "There is no recording yet"),
        (str(tmp_path / "text.wav"), "cannot be read as audio"),
        (str(tmp_path / "empty.wav"), "0 seconds"),
        (str(tmp_path / "gone.wav"), "There is no file"),
        (recording("zero.wav", seconds=0.0), "0 seconds"),
        (recording("silence.wav", level=0.0), "Nothing can be heard"),
        (str(long_wav(tmp_path / "long.wav")), "lasts 2 h 0 min, more than the 10 min"),
    ]
    for audio, said in bad:
        with pytest.raises(UserError) as caught:
            steps(audio)
        sentence = str(caught.value)
        assert said in sentence and sentence.endswith(".") and "\n" not in sentence, sentence
        with pytest.raises(UserError) as caught:
            steps(audio, language="ru")
        in_russian(RU.sentence(str(caught.value)))
    assert bench.heard == []


def in_russian(text: str) -> None:
    assert re.search("[а-я]{4}", text) and not re.search(r"\b[a-z]{2,},? [a-z]{2,}\b", text), text


def test_progress_and_what_went_wrong_are_said_in_russian(bench: Bench, recording: Callable[..., str]) -> None:
    bench.refuses = "refused"
    made = steps(recording(), "refused", language="ru")
    assert "окно 1 из 2" in made[1][0]
    assert "Пакет words==1 загружается через pip" in made[-1][0]


def test_the_telephone_is_heard(bench: Bench, recording: Callable[..., str]) -> None:
    steps(recording("phone.wav", rate=8000))
    assert len(bench.heard[0]) == RATE


# The page


def test_the_examples_are_played_as_they_are() -> None:
    clips = live_speech.example_clips()
    assert len(clips) == 5 and all(clip.text for clip in clips.values())
    for clip in clips.values():
        rate, samples = live_speech._playable(clip)
        assert rate == RATE and samples.dtype == np.int16
        assert np.abs(samples / 32768 - clip.samples).max() < 1 / 32768


def halves(model_id: str) -> tuple[list[str], list[str]]:
    return live_parts.half_classes(model_id, speech=False), live_parts.half_classes(model_id, speech=True)


def test_one_half_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "analysis_of", lambda model_id: None)
    assert halves("smollm2-135m-q4") == (["half"], ["half", "without"])
    assert halves("whisper-tiny.en") == (["half", "without"], ["half"])
    analysed = SimpleNamespace(model=SimpleNamespace(is_speech=True))
    monkeypatch.setattr(engine, "analysis_of", lambda model_id: analysed)
    assert halves("my/own-model") == (["half", "without"], ["half"])


def test_uploads_leave_room_for_what_is_refused_with_a_sentence() -> None:
    """Two hours of mp3 at 128 kbit/s and ten minutes of 48-kHz stereo reach the engine."""
    from gradio.utils import _parse_file_size

    limit = _parse_file_size(launch_options()["max_file_size"])
    assert limit is not None and limit > max(2 * 3600 * 128_000 / 8, 600 * 48_000 * 4)


# Latency


def latency_report(bits: int = 2, encoder: float = 212.0, decode: float = 10.2) -> SpeechLatencyReport:
    """Compressed, against 180 ms and 9.1 ms and three bits dense."""
    return SpeechLatencyReport(
        threads=2,
        decode_tokens=16,
        audio_seconds=7.1,
        encoder={"dense": LatencyFigure(180.0, 4.0, 5), "compressed": LatencyFigure(encoder, 4.0, 5)},
        decode={"dense": LatencyFigure(9.1, 0.2, 5), "compressed": LatencyFigure(decode, 0.2, 5)},
        real_time_factor={"dense": 0.031, "compressed": 0.036},
        execution="",
        device="Some CPU",
        stored_bits={"dense": 3, "compressed": bits},
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Smaller, but not faster here: the encoder takes 212.0 ms for a window of 30 s against 180.0 ms dense"),
        ({"bits": 3}, "Not smaller at this setting"),
        ({"encoder": 150.0}, "faster here in the encoder, but not in decoding"),
        ({"decode": 8.0}, "faster here in decoding, but not in the encoder"),
        ({"encoder": 150.0, "decode": 8.0}, "Smaller, and faster here:"),
    ],
)
def test_latency_says_plainly_whether_the_smaller_model_is_faster(changes: dict[str, Any], said: str) -> None:
    report = latency_report(**changes)
    for language in TABLES:
        view = speech_latency.view(report, words(language))
        assert len(view.figure.data) == 4
        assert view.table is not None and len(view.table.rows) == 4
        assert all(len(row) == len(view.table.headers) for row in view.table.rows)
    english = speech_latency.view(report, EN).summary
    assert said in english and "on 7.1 s of speech the real-time factor is 0.036 against 0.031" in english
