"""Latency of random Whispers: what is timed, in which order, and what the report says."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter
from tiny_whisper import tiny_loaded_whisper

from compression.errors import UserError
from compression.evaluation import speech_latency
from compression.evaluation.speech_latency import DECODE_TOKENS, measure_speech_latency
from compression.pipeline import finish
from compression.speech.clips import SAMPLE_RATE
from compression.types import LatencyFigure, SpeechLatencyReport

SAMPLES = np.random.default_rng(0).normal(scale=0.1, size=SAMPLE_RATE).astype(np.float32)


def measured(models, source, **options):
    return measure_speech_latency(models, source.tokenizer, source.feature_extractor, SAMPLES, **options)


def test_every_timing_of_every_model_in_turn():
    source, other = tiny_loaded_whisper(), tiny_loaded_whisper(1)
    calls: list[str] = []
    for label, model in (("dense", source.model), ("compressed", other.model)):
        model.model.encoder.register_forward_hook(lambda *_, label=label: calls.append(f"{label} encoder"))
        model.model.decoder.register_forward_hook(lambda *_, label=label: calls.append(f"{label} decoder"))
    steps = measured({"dense": source.model, "compressed": other.model}, source, repeats=2)
    events, phases = [], []
    while True:
        calls.clear()
        try:
            events.append(next(steps))
        except StopIteration as stop:
            report = stop.value
            break
        phases.append(list(calls))
    assert [event.done for event in events] == list(range(13)) and {event.total for event in events} == {12}
    assert [event.message for event in events[::6]] == [f"latency round {number} of 2" for number in (1, 2, 2)]
    phases = phases[1:]  # before the first event the caches are filled
    for number, phase in enumerate(phases):
        label = "dense" if number % 6 < 3 else "compressed"
        kind = ("encoder", "decoder", "both")[number % 3]
        runs = 3  # the timer's own two warm it up
        if kind == "encoder":
            assert phase == [f"{label} encoder"] * runs
        elif kind == "decoder":
            assert phase == [f"{label} decoder"] * runs * DECODE_TOKENS
        else:
            assert set(phase) == {f"{label} encoder", f"{label} decoder"} and phase.count(f"{label} encoder") == 1
    assert report.encoder.keys() == report.decode.keys() == report.real_time_factor.keys() == {"dense", "compressed"}
    assert all(figure.repeats == 2 and figure.median_ms > 0 for figure in report.encoder.values())
    assert all(value > 0 for value in report.real_time_factor.values())
    assert (report.decode_tokens, report.audio_seconds) == (DECODE_TOKENS, 1.0)
    assert report.execution == "dense layers" and report.device
    adapter = TypeAdapter(SpeechLatencyReport)
    assert adapter.validate_json(adapter.dump_json(report)) == report


def test_the_cache_is_the_same_before_every_run():
    source = tiny_loaded_whisper()
    features = speech_latency.extract_features(source.model, source.feature_extractor, [SAMPLES])
    lengths: list[int] = []
    source.model.model.decoder.register_forward_pre_hook(
        lambda _, __, given: lengths.append(given["cache"].get_seq_length() if given["cache"] else 0),
        with_kwargs=True,
    )
    run = speech_latency._decode(source.model, features, [1, 2])
    lengths.clear()
    run()
    run()
    assert lengths == [*range(2, 2 + DECODE_TOKENS)] * 2


def test_numbers_and_languages_are_checked():
    source = tiny_loaded_whisper()
    with pytest.raises(UserError, match="number of repeats must be from 2 to 100, but 1 was given"):
        finish(measured({"dense": source.model}, source, repeats=1))
    with pytest.raises(UserError, match="knows English only"):
        finish(measured({"dense": source.model}, source, language="fr"))


def test_smaller_and_faster():
    slow, fast = LatencyFigure(10.0, 0.1, 5), LatencyFigure(5.0, 0.1, 5)
    report = SpeechLatencyReport(
        threads=2,
        decode_tokens=16,
        audio_seconds=10.0,
        encoder={"dense": slow, "compressed": fast},
        decode={"dense": fast, "compressed": slow},
        real_time_factor={"dense": 0.1, "compressed": 0.1},
        execution="",
        device="CPU",
        stored_bits={"dense": 16, "compressed": 20},
    )
    assert report.faster_encoder and not report.faster_decode and not report.smaller
