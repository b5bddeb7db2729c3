"""Recordings by name, from the Hub, and from a folder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hub_stand_in import StandIn, silent_host
from test_audio import encoded, one_sentence, sparse_wav, tone
from tiny import finish

from compression import hub
from compression.errors import UserError
from compression.speech import audio, recordings
from compression.speech.clips import SAMPLE_RATE, Recordings
from compression.types import SpeechSource

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared/data/librispeech-test-other"


def _load(name: object, **options: int) -> Recordings:
    return finish(recordings.load_recordings(str(name), **options))


def _refused(name: object) -> str:
    with pytest.raises(UserError) as caught:
        _load(name)
    return one_sentence(caught.value)


def _write(folder: Path, transcripts: str | bytes, **files: bytes) -> Path:
    """Make a folder; a file's name is that of the argument, its last underscore a dot."""
    folder.mkdir(exist_ok=True)
    data = transcripts.encode() if isinstance(transcripts, str) else transcripts
    (folder / "transcripts.tsv").write_bytes(data)
    for name, content in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_bytes(content)
    return folder


def _ids(loaded: Recordings) -> list[str]:
    return [clip.id for clip in loaded.clips]


# Built in


def test_the_built_in_recordings(cache: Path) -> None:
    librivox, cards = _load("librivox"), _load("cards")
    assert not librivox.left_out and not cards.left_out
    # Of the samples and transcripts of PocketSphinx 5.1.1.
    fingerprint = "7dc42831e5f55ebc885323d7d291870fd7db884782ab60b635f07f78043f64a3"
    assert librivox.source == SpeechSource("librivox", fingerprint, 5, pytest.approx(24.73))
    fingerprint = "9d075c472e23bf05bd30aa7faeb4e730aac5f22cee7ee6dfcf1855c7f387b6df"
    assert cards.source == SpeechSource("cards", fingerprint, 5, pytest.approx(9.6503125))
    assert librivox.clips[1].text == "he was not an ill disposed young man"
    assert [clip.text for clip in cards.clips][2:4] == ["seven of clubs", "five five"]
    assert not cache.exists(), "nothing is written for them"


def test_examples_for_the_page() -> None:
    examples, librivox = recordings.example_clips(), _load("librivox")
    assert [clip.id for clip in examples] == _ids(librivox)
    for clip in examples:
        np.testing.assert_array_equal(audio.read_audio(recordings.example_path(clip.id)), clip.samples)


def test_the_package_carries_them() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["compression.speech"]
    package = ROOT / "compression/speech"
    carried = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    assert carried == {path for path in (package / "data").rglob("*") if path.is_file()} and len(carried) == 14


def test_every_name_has_its_title() -> None:
    assert all(name == spec.name and spec.title and spec.description for name, spec in recordings.RECORDINGS.items())
    assert set(recordings._HUB_RECORDINGS) < set(recordings.RECORDINGS)


# From the Hub


def _parquet(rows: int, with_features: bool) -> bytes:
    """A parquet file laid out like LibriSpeech's, which `datasets` wrote, or like one that knows nothing of audio."""
    import pyarrow
    import pyarrow.parquet

    clips = [
        {
            "file": f"{i}.flac",
            "audio": {"bytes": encoded(tone(0.5 + i / 100), format="FLAC"), "path": f"{i}.flac"},
            "text": f"SENTENCE {i}",
            "speaker_id": i // 10,
            "chapter_id": 1,
            "id": f"{i // 10}-1-{i:04}",
        }
        for i in range(rows)
    ]
    table = pyarrow.Table.from_pylist(clips)
    if with_features:
        from datasets import Audio, Features, Value

        features = Features(
            {
                "file": Value("string"),
                "audio": Audio(sampling_rate=16_000),
                "text": Value("string"),
                "speaker_id": Value("int64"),
                "chapter_id": Value("int64"),
                "id": Value("string"),
            }
        )
        table = table.cast(features.arrow_schema)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, row_group_size=10)
    return sink.getvalue()


@pytest.fixture
def served(hub: StandIn, cache: Path) -> StandIn:
    """A stand-in with a small LibriSpeech."""
    repo_id, hub.commit = recordings._LIBRISPEECH
    hub.repositories[f"datasets/{repo_id}"] = {
        "all/test.clean/0000.parquet": _parquet(30, with_features=True),
        "all/test.other/0000.parquet": _parquet(12, with_features=False),
    }
    return hub


def test_recordings_from_the_hub(served: StandIn, cache: Path) -> None:
    clean = _load("librispeech-test-clean", max_clips=6)
    assert _ids(clean) == ["0-1-0004", "0-1-0009", "1-1-0014", "1-1-0019", "2-1-0024", "2-1-0029"]
    assert clean.clips[0].text == "sentence 4" and clean.left_out == ()
    np.testing.assert_allclose(clean.clips[0].samples, tone(0.54), atol=1e-4)
    other = _load("librispeech-test-other")
    assert len(other.clips) == other.source.num_clips == 12
    served.requests.clear()
    again = _load("librispeech-test-clean", max_clips=6)
    assert again.source == clean.source and served.requests == [], "the second time no network is used"
    assert len(_load("librispeech-test-clean").clips) == 30 and served.requests == []


@pytest.mark.parametrize("max_clips", [1, 7, 29, 30, 31, 200])
def test_clips_are_spread_evenly(served: StandIn, max_clips: int) -> None:
    places = [int(id[-4:]) for id in _ids(_load("librispeech-test-clean", max_clips=max_clips))]
    assert len(places) == min(max_clips, 30)
    gaps = np.diff([-1, *places])
    assert gaps.max() - gaps.min() <= 1


def test_the_small_set_of_73_clips(hub: StandIn, cache: Path) -> None:
    source = recordings._HUB_RECORDINGS["librispeech-dummy"]
    hub.commit = source.commit
    hub.repositories[f"datasets/{source.repo_id}"] = {source.path: _parquet(3, with_features=True)}
    assert len(_load("librispeech-dummy").clips) == 3


def test_what_is_above_the_limit_is_not_downloaded(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_MAX_DOWNLOAD_BYTES", "100")
    assert "limit" in _refused("librispeech-test-clean")
    assert not any("/resolve/" in path for _, path, _ in served.requests)


def test_without_the_hub_what_needs_none_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.3)
    with silent_host() as away:
        monkeypatch.setenv("HF_ENDPOINT", away)
        with pytest.raises(UserError) as caught:
            _load("librispeech-dev-other")
    assert str(caught.value).endswith("Check the network, or use librivox and cards, which need no Hub.")


def test_nothing_is_written_outside_the_cache(served: StandIn, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    script = (
        "from tiny import finish; from compression.speech import recordings\n"
        "assert len(finish(recordings.load_recordings('librispeech-test-other')).clips) == 12"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    environment |= {"HOME": str(tmp_path / "home"), "HF_ENDPOINT": served.url, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []


# A folder


def test_a_folder_keeps_the_order_of_its_transcripts(tmp_path: Path) -> None:
    sounds = {
        f"{id}_{format}": encoded(tone(0.5), format=format.upper())
        for id, format in zip("bca", ("flac", "mp3", "ogg"), strict=True)
    }
    folder = _write(
        tmp_path / "talks", "\ufeffid\ttext\r\nc\tthe third\r\n\r\nb\t the second \r\na\tna\u00efve\r\n", **sounds
    )
    loaded = _load(folder)
    assert _ids(loaded) == ["c", "b", "a"] and loaded.left_out == ()
    assert [clip.text for clip in loaded.clips] == ["the third", "the second", "na\u00efve"]
    assert loaded.source.name == "talks" and loaded.source.num_clips == 3
    assert loaded.source.seconds == pytest.approx(1.5, abs=0.1)


def test_the_fingerprint_follows_every_part(tmp_path: Path) -> None:
    def of(transcripts: str, **files: bytes) -> str:
        return _load(_write(tmp_path / "f", transcripts, **files)).source.fingerprint

    samples = np.round(tone(0.5) * 32_767).astype(np.int16)
    first = of("a\tone\n", a_wav=encoded(samples))
    assert of("id\ttext\na\tone", a_wav=encoded(samples, format="FLAC")) == first, "the file's kind does not matter"
    assert of("a\ttwo\n") != first
    changed = samples.copy()
    changed[-1] += 1
    assert of("a\tone\n", a_wav=encoded(changed)) != first
    assert of("b\tone\n", b_wav=encoded(samples)) != first


def test_what_cannot_be_used_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = encoded(tone(0.5))
    broken = encoded(tone(2.0), format="FLAC")
    folder = _write(
        tmp_path / "batch",
        "good\tthe first\n"
        "missing\tits audio is not there\n"
        "wordless\t \u2014 ...\n"
        "text\tno audio at all\n"
        "empty\tno bytes\n"
        "nothing\tno samples\n"
        "silent\tnothing to hear\n"
        "cut\tbreaks off\n"
        "long\ttwo hours\n"
        "good\tonce more\n"
        "no tab in this line\n"
        "\tno identifier\n"
        "../outside\tup\n"
        "/etc/passwd\tabsolute\n"
        "sub\\inside\tdown\n"
        "telephone\teight kilohertz\n"
        "lecture\tlonger than a window\n",
        good_wav=good,
        wordless_wav=good,
        text_wav=b"This is a text.",
        empty_wav=b"",
        nothing_wav=encoded(np.zeros(0)),
        silent_wav=encoded(np.zeros(16_000)),
        cut_flac=broken[: len(broken) // 2],
        telephone_wav=encoded(tone(0.5, 8_000), 8_000),
        lecture_wav=encoded(tone(31.0)),
        unnamed_ogg=good,
    )
    sparse_wav(folder / "long.wav", 8_000, 7_200)
    (tmp_path / "outside.wav").write_bytes(good)
    loaded = _load(folder)
    assert _ids(loaded) == ["good", "telephone", "lecture"]
    assert len(loaded.clips[1].samples) == SAMPLE_RATE // 2
    assert loaded.source.num_clips == 3 and loaded.source.seconds == pytest.approx(32.0)
    beginnings = [
        "missing is left out: its audio is missing",
        "wordless is left out: its transcript has no words",
        "text.wav cannot be read as audio",
        "empty.wav holds no sound",
        "nothing.wav holds no sound",
        "Nothing can be heard in silent.wav",
        "cut.flac is damaged",
        "long.wav lasts 2 h 0 min",
        "Line 10 of transcripts.tsv is left out: good has a line before it.",
        "Line 11 of transcripts.tsv is left out",
        "Line 12 of transcripts.tsv is left out",
        "../outside is left out: a file in the folder itself",
        "/etc/passwd is left out: a file in the folder itself",
        "sub\\inside is left out: a file in the folder itself",
        "Without a line of its own in transcripts.tsv, and left out: unnamed.ogg.",
    ]
    assert len(loaded.left_out) == len(beginnings)
    for sentence, beginning in zip(loaded.left_out, beginnings, strict=True):
        assert one_sentence(UserError(sentence)).startswith(beginning), sentence


def test_audio_that_no_line_names_is_one_sentence(tmp_path: Path) -> None:
    sounds = {f"{name}_wav": encoded(tone(0.2)) for name in "abcdefgh"}
    loaded = _load(_write(tmp_path / "many", "a\tone\n", a_mp3=b"", **sounds))
    (sentence,) = loaded.left_out
    assert sentence.endswith("left out: a.mp3, b.wav, c.wav, d.wav, e.wav and 3 more.")
    assert _ids(loaded) == ["a"], "of two files with one name the wav is taken"


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    assert all(name in _refused(tmp_path / "missing") for name in recordings.RECORDINGS)
    for name in ("librispeech", "", " ", "~nobody-of-this-name/a", "x" * 5000, "a\0b"):
        assert "There are no recordings or folder" in _refused(name)
    (tmp_path / "a.wav").write_bytes(encoded(tone(0.5)))
    assert "is a file: give the folder" in _refused(tmp_path / "a.wav")
    assert "has no transcripts.tsv" in _refused(tmp_path)
    assert "holds no audio" in _refused(_write(tmp_path / "b", "a\ttext\n", a_m4a=b"x", note_txt=b"x"))
    sound = {"a_wav": encoded(tone(0.5))}
    assert "can be used: Line 1 of transcripts.tsv is left out" in _refused(_write(tmp_path / "c", "a,text\n", **sound))
    assert "can be used: Nothing can be heard" in _refused(
        _write(tmp_path / "d", "a\ttext\n", a_wav=encoded(np.zeros(9_000)))
    )
    assert "can be used: Without a line" in _refused(_write(tmp_path / "e", "", **sound))
    assert "is not UTF-8 text" in _refused(_write(tmp_path / "f", "a\ttext".encode("utf-16"), **sound))
    (tmp_path / "g").mkdir()
    (tmp_path / "g/a.wav").write_bytes(sound["a_wav"])
    (tmp_path / "g/transcripts.tsv").mkdir()
    assert "is a directory" in _refused(tmp_path / "g")


def test_more_than_four_hours_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write(tmp_path / "day", "".join(f"{i}\tspeech\n" for i in range(25)))
    for i in range(25):
        sparse_wav(folder / f"{i}.wav", 8_000, 600)
    monkeypatch.setattr(audio, "read_audio", lambda *_, **__: pytest.fail("it is read"))
    start = time.perf_counter()
    assert "day last more than 4 hours together" in _refused(folder)
    assert time.perf_counter() - start < 1


def test_progress_is_said(tmp_path: Path) -> None:
    sounds = {f"{name}_wav": encoded(tone(0.2)) for name in "abc"}
    said = list(recordings.load_recordings(str(_write(tmp_path / "f", "a\t1\nb\t2\nc\t3\n", **sounds))))
    assert [(step.done, step.total) for step in said] == [(0, 3), (1, 3), (2, 3)]
    assert said[2].message == "Reading recordings: 2 of 3"


def test_the_shared_clips() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no LibriSpeech clips beside the checkout ({SHARED})")
    loaded = _load(SHARED)
    assert loaded.source.num_clips == 50 and loaded.left_out == ()
    assert loaded.source.seconds == pytest.approx(418.235)
    assert loaded.clips[2].id == "1688-142285-0002" and loaded.clips[2].text.startswith("you don't mean")
