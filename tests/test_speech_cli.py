"""The command line on a tiny Whisper: every command that listens, and everything that cannot be heard."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import soundfile
from speech_samples import WORDS, made_up, plant_spelling_table, tone, write_folder
from test_audio import sparse_wav
from tiny import SENTENCES, write_tiny_llama
from tiny_whisper import write_tiny_whisper

from compression.__main__ import SCHEMAS, main
from compression.gallery import SPEECH_METHODS, Gallery
from compression.speech.clips import SAMPLE_RATE
from compression.workbench import get_workbench

SIZES = ("--calibration-sequences", 6)
GRADIENTS = ("--gradient-sequences", 6)
KEYS = {"wer", "wer_raw", "wer_low", "wer_high", "wer_stderr", "cer", "real_time_factor", "words", "utterances"}
KEYS |= {"substitutions", "deletions", "insertions"}

Command = Callable[..., tuple[str, Any]]
Refusal = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where commands are called: a model and recordings, and nothing in any cache."""
    plant_spelling_table(cache)
    get_workbench.cache_clear()
    write_tiny_whisper(tmp_path / "tiny")
    write_folder(tmp_path / "calibration", made_up(6))
    write_folder(tmp_path / "test", made_up(5))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]) -> int | str | None:
    """Call the command line in this process (a new one would spend its time importing); the exit code."""
    monkeypatch.setattr(sys, "argv", ["compression", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


@pytest.fixture
def command(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call a command that works: what it prints, and its JSON, which is what ``schema`` describes, to the letter."""

    def call(*arguments: object) -> tuple[str, Any]:
        code = called(monkeypatch, (*arguments, "--json", "out.json"))
        printed = capsys.readouterr()
        assert not code, printed.err
        content = (place / "out.json").read_bytes()
        adapter = pydantic.TypeAdapter(SCHEMAS[str(arguments[0])])
        value = adapter.validate_json(content)
        written, again = json.loads(content), json.loads(adapter.dump_json(value))
        assert written == again, "not what the schema describes"
        assert " ".join(printed.out.split()) and "Traceback" not in printed.err
        return " ".join(printed.out.split()), value

    return call


@pytest.fixture
def refusal(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Call a command that cannot work: the sentence it ends with."""

    def call(*arguments: object) -> str:
        code = called(monkeypatch, arguments)
        printed = capsys.readouterr()
        lines = [line for line in printed.err.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and lines[0].endswith("."), (code, printed.err)
        assert printed.out == "" and "Traceback" not in printed.err
        return lines[0].removeprefix("error: ")

    return call


COMPARE = ("compare", "tiny", "--calibration", "calibration", *SIZES, *GRADIENTS, "--iterations", 1)
ONE = ("--methods", "svd-llm", "--policies", "uniform", "--removed", "0.25")


# What works


def test_compare(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    methods, policies = ("svd-llm", "compot", "compot-fisher"), ("uniform", "fisher")
    grid = ("--methods", ",".join(methods), "--policies", ",".join(policies), "--removed", "0.2,0.3")
    printed, comparison = command(*COMPARE, *grid, "--audio", "test", "--markdown")
    assert [(r.method, r.policy, r.removed_fraction_target) for r in comparison.runs] == [
        (method, policy, fraction) for fraction in (0.2, 0.3) for method in methods for policy in policies
    ]
    for each in (comparison.dense, *comparison.runs):
        assert {field.name for field in dataclasses.fields(each)} > KEYS
    assert printed.count("| ---") and printed.count("compot-fisher |") == 4
    assert "Recordings that the calibration has heard, and left out: 1." in printed
    assert "calibration calibration, 6 recordings with transcripts" in printed and "measured on test, 4" in printed
    assert f"{comparison.runs[0].wer:.2%}" in printed


def test_quantize(command: Command, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = ("quantize", "tiny", "--bits", 3, "--group-size", 16, "--calibration", "calibration", *SIZES)
    printed, report = command(*call, "--audio", "test", "--out", "few")
    runs = (report.dense, report.rtn, report.gptq)
    assert all(run.measured.clips == 4 and run.wer == run.measured.wer for run in runs), "one is for calibration"
    assert all(f"{run.wer:.2%}" in printed for run in runs) and "left out: 1" in printed
    assert report.dense.bits_per_weight == 16 and report.rtn.stored_bits == report.gptq.stored_bits
    assert report.gptq.stored_bits < 0.7 * report.dense.stored_bits
    assert report.rtn.mean_output_error is None and 0 < report.gptq.mean_output_error < 1
    assert report.calibration.source.num_clips == 6 and report.calibration.language == "en"
    _, measured = command("evaluate", "few", "--audio", "test")
    assert measured.stored_bits == report.gptq.stored_bits
    monkeypatch.setattr("compression.speech.workbench.measure_wer", lambda *_: pytest.fail("it was measured again"))
    assert command(*call, "--audio", "test")[1].gptq == report.gptq


def test_evaluate_and_latency_of_a_model_and_of_what_compress_wrote(command: Command, place: Path) -> None:
    printed, dense = command("evaluate", "tiny", "--audio", "test")
    assert f"word error rate {dense.wer:.2%}" in printed and "test, 5 recordings" in printed
    printed, report = command(
        *("compress", "tiny", "--method", "compot", "--removed", 0.25, "--iterations", 1, "--out", "small"),
        *("--calibration", "calibration", *SIZES),
    )
    assert "small, from tiny" in printed and report.plan.calibration.source.num_clips == 6
    printed, measured = command("evaluate", "small", "--audio", "test")
    assert measured.stored_bits == report.stored_bits < dense.stored_bits and measured.clips == 5
    printed, timing = command("latency", "tiny")
    assert list(timing.encoder) == ["dense"] and "real-time factor" in printed
    printed, timing = command("latency", "small")
    assert list(timing.decode) == ["dense", "compressed"] and (
        "Smaller, and faster" in printed or "not faster" in printed
    )


def test_analyze_and_allocate(command: Command) -> None:
    printed, info = command("analyze", "tiny", "--calibration", "calibration", *SIZES)
    assert info.model.is_speech and len(info.spectra) == len(info.model.sites) == 32
    assert info.calibration.source.name == "calibration" and "model.decoder.layers.1.encoder_attn.k_proj" in printed
    for policy in ("uniform", "pooled", "fisher"):
        asked = ("--policy", policy, "--removed", 0.3, "--calibration", "calibration", *SIZES, *GRADIENTS)
        printed, allocation = command("allocate", "tiny", *asked)
        weights = {site.name: site.num_weights for site in info.model.sites}
        removed = sum(weights[name] * share for name, share in allocation.removed_fractions.items())
        assert removed / sum(weights.values()) == pytest.approx(0.3, abs=0.01)
        assert "30.0" in printed and "of the whole model go" in printed and "decoder.encoder_attn.out_proj" in printed


def test_predict_says_how_many_recordings_it_needs_and_then_works(command: Command, refusal: Refusal) -> None:
    asked = ("predict", "tiny", "--calibration", "calibration", *SIZES, *GRADIENTS)
    message = refusal(*asked)
    assert "can use 6, too few to keep a probe apart" in message and "at least 14 are needed" in message
    write_folder(Path("calibration"), made_up(14))
    printed, report = command(*asked)
    assert report.is_speech and "on recordings kept apart from calibration" in printed
    assert command(*asked)[1] == report


def test_counting_padding_changes_the_result_and_where_it_is_kept(command: Command, place: Path, cache: Path) -> None:
    _, masked = command(*COMPARE, *ONE, "--audio", "test")
    cells, statistics = (len(list((cache / name).iterdir())) for name in ("runs", "calibrations"))
    assert (cells, statistics) == (1, 1)
    printed, counted = command(*COMPARE, *ONE, "--audio", "test", "--count-padding")
    assert len(list((cache / "runs").iterdir())) == len(list((cache / "calibrations").iterdir())) == 2
    assert counted.calibration.count_padding and not masked.calibration.count_padding
    assert counted.runs[0].sites != masked.runs[0].sites and "the silence behind them counted" in printed
    allocations = [
        command("allocate", "tiny", "--policy", "fisher", "--calibration", "calibration", *SIZES, *GRADIENTS, *more)[1]
        for more in ((), ("--count-padding",))
    ]
    assert allocations[0] != allocations[1]


def test_a_gallery_of_a_speech_model(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its forecasts are there before its comparison, and everything has one calibration."""
    write_folder(Path("calibration"), made_up(14))
    bench, asked = get_workbench(), []
    forecast, compare = bench.forecast, bench.compare_speech
    monkeypatch.setattr(bench, "forecast", lambda recipe: asked.append((recipe,)) or forecast(recipe))
    monkeypatch.setattr(bench, "compare_speech", lambda each, name: asked.append(each) or compare(each, name))
    saved: list[Gallery] = []
    monkeypatch.setattr("compression.gallery.save_gallery", lambda _, made: saved.append(made))
    call = ("gallery", "tiny", "--out", "out", "--removed", "0.3", "--calibration", "calibration", "--audio", "test")
    _, comparison = command(*call, *SIZES, "--gradient-sequences", 5)
    (made,) = saved
    assert [len(each) for each in asked] == [1] * len(SPEECH_METHODS) + [len(comparison.runs)]
    assert {(r.calibration_text, r.num_sequences, r.gradient_sequences) for each in asked for r in each} == {
        ("calibration", 6, 5)
    }
    assert made.comparison == comparison and not made.comparators.runs
    assert len(made.forecasts) == len(SPEECH_METHODS) and all(report.is_speech for report in made.forecasts)


# What does not


def test_a_language_the_model_does_not_know(refusal: Refusal) -> None:
    for arguments in (
        ("evaluate", "tiny", "--audio", "test"),
        (*COMPARE, *ONE, "--audio", "test"),
        ("compress", "tiny", "--out", "out", "--calibration", "calibration", *SIZES),
        ("allocate", "tiny", "--policy", "fisher", "--calibration", "calibration", *SIZES, *GRADIENTS),
    ):
        assert "knows English only, but the language 'ru' was given" in refusal(*arguments, "--language", "ru")


def test_the_wrong_kind_of_model_or_of_material(refusal: Refusal, place: Path) -> None:
    write_tiny_llama(place / "llama")
    Path("text.txt").write_text(" ".join(SENTENCES) * 40)
    hearing = "is a language model, which cannot hear: give --text in place of --audio"
    for name in ("evaluate", "compare", "quantize"):
        assert hearing in refusal(name, "llama", "--audio", "test")
        assert "is measured on recordings: give --audio in place of --text" in refusal(
            name, "tiny", "--text", "text.txt"
        )
    assert "minilm is an encoder, " in (said := refusal("quantize", "minilm")) and "use bench gptq" in said
    assert hearing in refusal("gallery", "llama", "--audio", "test", "--out", "out")
    reading = "writes down speech, and has no perplexity of a text"
    assert reading in refusal("ablate", "tiny")
    assert reading in refusal("bench", "memory", "tiny")
    assert reading in refusal("bench", "inference", "tiny", "--methods", "svd-llm", "--calibration", "calibration")
    assert "There are no recordings or folder 'sotu-calibration'" in refusal(*COMPARE[:3], "sotu-calibration", *ONE)
    assert "text.txt is a file: give the folder" in refusal("evaluate", "tiny", "--audio", "text.txt")
    assert "calibration is a directory" in refusal("compress", "llama", "--calibration", "calibration", "--out", "out")
    for method, policy in (("asvd", "own"), ("compot", "sensitivity"), ("dobi-svd", "own")):
        asked = ("--methods", method, "--policies", policy, "--audio", "test", "--calibration", "calibration")
        assert "measures on text" in refusal("compare", "tiny", *asked)
    assert not (place / "out").exists()


def test_nothing_is_left_to_measure_on(refusal: Refusal) -> None:
    assert "All recordings of calibration are among those for calibration" in refusal(
        *COMPARE, *ONE, "--audio", "calibration"
    )


BAD = {
    "silent": "Nothing can be heard in silent.wav",
    "empty": "empty.wav holds no sound (0 seconds)",
    "text": "text.wav cannot be read as audio",
    "lecture": "lecture.wav lasts 2 h 0 min, more than the 10 min",
    "wordless": "wordless is left out: its transcript has no words",
    "absent": "absent is left out: its audio is missing",
}


def make_bad(folder: Path, *names: str) -> None:
    """Write recordings that cannot be used, and add their lines to the transcripts."""
    folder.mkdir(exist_ok=True)
    makers: dict[str, Callable[[Path], object]] = {
        "silent": lambda path: soundfile.write(path, np.zeros(SAMPLE_RATE), SAMPLE_RATE),
        "empty": lambda path: soundfile.write(path, np.zeros(0), SAMPLE_RATE),
        "text": lambda path: path.write_text("This is a text, and not a recording at all.\n" * 50),
        "lecture": lambda path: sparse_wav(path, SAMPLE_RATE, 7_200),
        "wordless": lambda path: soundfile.write(path, tone(1.0, seed=5), SAMPLE_RATE),
        "absent": lambda path: None,
    }
    with open(folder / "transcripts.tsv", "a", encoding="utf-8") as transcripts:
        for name in names:
            makers[name](folder / f"{name}.wav")
            transcripts.write(f"{name}\t{'…' if name == 'wordless' else 'some words'}\n")
        if names == ("absent",):
            soundfile.write(folder / "stranger.wav", tone(1.0, seed=6), SAMPLE_RATE)


@pytest.mark.parametrize("name", BAD)
def test_a_batch_of_one_bad_recording(name: str, refusal: Refusal, place: Path) -> None:
    make_bad(place / "bad", name)
    for arguments in (
        ("evaluate", "tiny", "--audio", "bad"),
        (*COMPARE, *ONE, "--audio", "bad"),
        ("compress", "tiny", "--calibration", "bad", "--out", "out"),
    ):
        message = refusal(*arguments)
        assert message.startswith("No recording of bad can be used: ") and BAD[name] in message
    assert not (place / "out").exists()


def test_the_rest_of_a_batch_goes_on_and_what_was_left_out_is_named(command: Command, place: Path) -> None:
    make_bad(place / "test", *BAD)
    # A telephone is heard.
    soundfile.write(place / "test" / "telephone.wav", tone(1.5, seed=8)[::2], SAMPLE_RATE // 2, subtype="ULAW")
    with open(place / "test" / "transcripts.tsv", "a", encoding="utf-8") as transcripts:
        transcripts.write("telephone\thello there\n")
    printed, report = command("evaluate", "tiny", "--audio", "test")
    assert [each.id for each in report.utterances] == [*(f"clip-{i}" for i in range(5)), "telephone"]
    assert report.words == sum(len(text.split()) for text in WORDS) + 2
    assert report.utterances[-1].seconds == pytest.approx(1.5, abs=0.01)
    assert len(report.left_out) == len(BAD)
    for expected, said in zip(BAD.values(), report.left_out, strict=True):
        assert expected in said and said.endswith(".")
    named = [said for said in report.left_out if said in printed]
    assert len(named) == 5 and "1 more in the JSON" in printed, "all of them are in the JSON"
    # A calibration with bad recordings uses the others, and those alone.
    make_bad(place / "calibration", *BAD)
    printed, comparison = command(*COMPARE, *ONE, "--audio", "test")
    assert comparison.calibration.source.num_clips == 6 and comparison.dense.clips == 5
    assert set(report.left_out) < set(comparison.dense.left_out) and all(
        s in printed for s in comparison.dense.left_out
    )
