"""Transcription of random Whispers against transformers' own, one recording at a time."""

from __future__ import annotations

import csv
import threading
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest
import torch
from tiny_whisper import WINDOW_SECONDS, tiny_loaded_whisper

from compression import models
from compression.errors import UserError
from compression.evaluation import transcription
from compression.evaluation.transcription import (
    decode_greedily,
    extract_features,
    measure_wer,
    prompt_tokens,
    transcribe,
    transcribe_batch,
)
from compression.evaluation.wer import bootstrap_interval
from compression.pipeline import finish
from compression.speech.audio import read_audio
from compression.speech.clips import SAMPLE_RATE, Clip, Recordings
from compression.speech.normalizer import normalizer, spelling_table
from compression.types import SpeechSource

FOLDER = Path(transcription.__file__).parents[1] / "speech" / "data" / "librivox"


def tones(count: int, seed: int = 0) -> list[np.ndarray]:
    """Recordings of 0.3 to 2 seconds, long and short in turn, each a slowly swelling tone of its own."""
    generator = np.random.default_rng(seed)
    found = []
    for seconds in generator.permutation(np.linspace(0.3, WINDOW_SECONDS, count)):
        time = np.arange(round(SAMPLE_RATE * seconds)) / SAMPLE_RATE
        pitch, swell = generator.uniform(100, 3000), generator.uniform(1, 8)
        found.append((0.3 * np.sin(2 * np.pi * pitch * time) * np.sin(np.pi * swell * time)).astype(np.float32))
    return found


def recordings(clips: list[Clip]) -> Recordings:
    seconds = sum(clip.seconds for clip in clips)
    return Recordings(SpeechSource("tones", "0", len(clips), seconds), tuple(clips), ("x.wav is silent.",))


def halves(samples: np.ndarray) -> tuple[np.ndarray, ...]:
    """A stand-in for `windows`: recordings of more than a second are cut once."""
    return (samples[:SAMPLE_RATE], samples[SAMPLE_RATE:]) if len(samples) > SAMPLE_RATE else (samples,)


@pytest.fixture(scope="module")
def english():
    return tiny_loaded_whisper()


@pytest.fixture(scope="module")
def multilingual():
    return tiny_loaded_whisper(1, multilingual=True)


def parts(source):
    return source.model, source.tokenizer, source.feature_extractor


def generated(source, samples: np.ndarray, **options) -> list[int]:
    """What `model.generate` writes of one recording, without prompt and end."""
    model = source.model
    features = source.feature_extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    with torch.inference_mode():
        tokens = model.generate(features, do_sample=False, num_beams=1, **options)[0].tolist()
    settings = model.generation_config
    if settings.no_timestamps_token_id in tokens:
        tokens = tokens[tokens.index(settings.no_timestamps_token_id) + 1 :]
    return tokens[: tokens.index(settings.eos_token_id)] if settings.eos_token_id in tokens else tokens


@pytest.mark.parametrize("kind", ["english", "multilingual"])
def test_a_batch_is_written_as_transformers_writes_each_alone(kind, request):
    source = request.getfixturevalue(kind)
    pieces = tones(12)
    language, options = ("de", {"language": "de", "task": "transcribe"}) if kind == "multilingual" else ("en", {})
    ours = decode_greedily(
        source.model,
        extract_features(source.model, source.feature_extractor, pieces),
        prompt_tokens(source.model, language),
    )
    assert ours == [generated(source, piece, **options) for piece in pieces]
    assert len({len(tokens) for tokens in ours}) > 2  # they end at different steps


@pytest.mark.parametrize("where", ["suppress_tokens", "begin_suppress_tokens"])
def test_tokens_that_may_not_be_written_are_not(where):
    source = tiny_loaded_whisper()
    pieces = tones(4)
    features = extract_features(source.model, source.feature_extractor, pieces)
    prompt = prompt_tokens(source.model, "en")
    free = decode_greedily(source.model, features, prompt)
    forbidden = {token for tokens in free for token in (tokens[:1] if where.startswith("begin") else tokens[1:20:2])}
    setattr(source.model.generation_config, where, sorted(forbidden))
    ours = decode_greedily(source.model, features, prompt)
    assert ours != free
    assert ours == [generated(source, piece) for piece in pieces]
    assert not {token for tokens in ours for token in (tokens[:1] if where.startswith("begin") else tokens)} & forbidden


def test_a_finished_window_leaves_the_batch(english):
    features = extract_features(english.model, english.feature_extractor, tones(6))
    rows: list[int] = []
    handle = english.model.model.decoder.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    try:
        written = decode_greedily(english.model, features, prompt_tokens(english.model, "en"))
    finally:
        handle.remove()
    # A window is there for each of its tokens, and for its end.
    assert rows == [sum(len(tokens) >= step for tokens in written) for step in range(len(rows))]
    assert len(rows) == max(map(len, written)) + 1


def test_a_text_that_never_ends_is_cut(english, monkeypatch):
    monkeypatch.setattr(transcription, "MAX_NEW_TOKENS", 3)
    features = extract_features(english.model, english.feature_extractor, tones(3))
    written = decode_greedily(english.model, features, prompt_tokens(english.model, "en"))
    assert max(map(len, written)) == 3


def test_marks_are_no_text(english, monkeypatch):
    settings = english.model.generation_config
    word = english.tokenizer.convert_tokens_to_ids("fox") if "fox" in english.tokenizer.get_vocab() else 70
    marks = [settings.no_timestamps_token_id, settings.no_timestamps_token_id + 3]
    monkeypatch.setattr(transcription, "decode_greedily", lambda *_: [[marks[0], word, marks[1]], marks])
    (text, nothing) = transcribe_batch(*parts(english), tones(2), [])
    assert text == english.tokenizer.decode([word]).strip() and nothing == ""


def test_word_error_rate_of_recordings(english, multilingual, cache):
    pieces = tones(7)
    prompt = prompt_tokens(english.model, "en")
    texts = [transcribe_batch(*parts(english), [piece], prompt)[0] for piece in pieces]
    references = [f"{text.upper()} fox" for text in texts]
    references[2] = "the dog"
    clips = [Clip(f"c{i}", piece, text) for i, (piece, text) in enumerate(zip(pieces, references, strict=True))]
    clips[4] = replace(clips[4], text="…")
    clips[5] = replace(clips[5], text=None)

    def normalise(text: str) -> str:
        return "".join(c for c in text.casefold() if c.isalnum() or c.isspace())

    steps = measure_wer(*parts(english), recordings(clips), 8, normalise, batch_size=2)
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            report = stop.value
            break
    scored = [0, 1, 2, 3, 6]
    assert [each.id for each in report.utterances] == [f"c{i}" for i in scored]
    assert [each.hypothesis for each in report.utterances] == [texts[i] for i in scored]
    assert [each.reference for each in report.utterances] == [references[i] for i in scored]
    expected = jiwer.process_words([normalise(references[i]) for i in scored], [normalise(texts[i]) for i in scored])
    assert report.wer == pytest.approx(expected.wer) and report.wer > 0
    assert (report.substitutions, report.deletions, report.insertions) == (
        expected.substitutions,
        expected.deletions,
        expected.insertions,
    )
    assert report.words == sum(each.words for each in report.utterances)
    assert report.wer_raw != report.wer
    assert report.wer_raw == pytest.approx(
        jiwer.wer([" ".join(references[i].split()) for i in scored], [" ".join(texts[i].split()) for i in scored])
    )
    errors = [each.substitutions + each.deletions + each.insertions for each in report.utterances]
    assert sum(errors) == expected.substitutions + expected.deletions + expected.insertions
    assert (report.wer_low, report.wer_high, report.wer_stderr) == bootstrap_interval(
        errors, [each.words for each in report.utterances]
    )
    assert report.left_out[0] == "x.wav is silent." and [each.split()[0] for each in report.left_out[1:]] == [
        "c4",
        "c5",
    ]
    assert report.clips == 5 and report.source.num_clips == 7 and report.stored_bits == 8
    assert report.audio_seconds == pytest.approx(sum(clips[i].seconds for i in scored))
    assert report.real_time_factor == pytest.approx(report.seconds / report.audio_seconds)
    assert "English normaliser, greedy decoding of windows of at most 30 seconds" in report.convention
    assert [event.done for event in events] == [2, 4, 5] and {event.total for event in events} == {5}
    assert [event.partial.clips for event in events] == [2, 4, 5]
    assert events[-1].partial.wer == pytest.approx(report.wer)
    streamed = [each for event in events for each in event.partial.utterances]
    assert sorted(streamed, key=lambda each: each.id) == list(report.utterances)
    assert [each.seconds for each in streamed] == sorted(each.seconds for each in streamed)  # the shortest first


def test_long_recordings_are_cut_and_joined(english, cache, monkeypatch):
    monkeypatch.setattr(transcription, "windows", halves)
    pieces = tones(5)
    assert any(len(halves(piece)) == 2 for piece in pieces) and any(len(halves(piece)) == 1 for piece in pieces)
    prompt = prompt_tokens(english.model, "en")
    texts = [
        " ".join(transcribe_batch(*parts(english), [half], prompt)[0] for half in halves(piece)).strip()
        for piece in pieces
    ]
    clips = [Clip(f"c{i}", piece, "the fox") for i, piece in enumerate(pieces)]
    report = finish(measure_wer(*parts(english), recordings(clips), 8, str.lower, batch_size=3))
    assert [each.hypothesis for each in report.utterances] == texts
    longest = max(pieces, key=len)
    events = list(transcribe(*parts(english), longest))
    transcript = finish(transcribe(*parts(english), longest))
    assert transcript.text == texts[[len(piece) for piece in pieces].index(len(longest))]
    assert [event.partial.windows for event in events] == [1, 2] == [event.done for event in events]
    assert transcript.text.startswith(events[0].partial.text) and events[0].partial.audio_seconds == 1
    assert transcript.audio_seconds == pytest.approx(len(longest) / SAMPLE_RATE) and transcript.windows == 2


def test_another_thread_may_go_on(english, cache):
    """A context held across a yield would leave this thread in inference mode, or fail in the other."""
    clips = [Clip(f"c{i}", piece, "the fox") for i, piece in enumerate(tones(4))]
    steps = measure_wer(*parts(english), recordings(clips), 8, str.lower, batch_size=2)
    next(steps)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    found = []
    thread = threading.Thread(target=lambda: found.append(finish(steps)))
    thread.start()
    thread.join()
    assert found[0] == replace(
        finish(measure_wer(*parts(english), recordings(clips), 8, str.lower)),
        seconds=found[0].seconds,
        real_time_factor=found[0].real_time_factor,
    )


def test_one_recording_has_no_interval(english, cache):
    report = finish(measure_wer(*parts(english), recordings([Clip("c", tones(1)[0], "the fox")]), 8, str.lower))
    assert report.wer_low is report.wer_high is report.wer_stderr is None


def test_a_language_it_does_not_know_is_refused(english, multilingual):
    with pytest.raises(UserError, match="knows English only, but the language 'de' was given"):
        finish(transcribe(*parts(english), tones(1)[0], "de"))
    with pytest.raises(UserError, match="does not know the language 'xx': give the code of one of its 3 languages"):
        finish(transcribe(*parts(multilingual), tones(1)[0], "xx"))
    assert prompt_tokens(multilingual.model, "ru") != prompt_tokens(multilingual.model, "de")


@pytest.mark.parametrize("text", [None, "", "…!"])
def test_recordings_without_words_are_refused(english, text):
    with pytest.raises(UserError, match="No recording of tones has a transcript with words"):
        finish(
            measure_wer(*parts(english), recordings([Clip("c", tones(1)[0], text)]), 8, lambda text: text.strip("…!"))
        )


def test_real_speech_is_understood_as_transformers_understands_it(real_cache):
    source = finish(models.load("whisper-tiny.en"))
    with (FOLDER / "transcripts.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:3]
    clips = [Clip(row["id"], read_audio(FOLDER / f"{row['id']}.flac"), row["text"]) for row in rows]
    normalise = normalizer("en", finish(spelling_table()))
    report = finish(measure_wer(*parts(source), recordings(clips), 8, normalise))
    theirs = [source.tokenizer.decode(generated(source, clip.samples, max_new_tokens=224)) for clip in clips]
    assert [each.hypothesis for each in report.utterances] == [text.strip() for text in theirs]
    assert report.wer <= 0.1 < report.wer_raw  # capitals and full stops are no errors
