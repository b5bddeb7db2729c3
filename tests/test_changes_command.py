"""The command ``changes`` on a tiny Llama and a tiny Whisper: what it prints, its JSON, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from speech_samples import made_up, plant_spelling_table, write_folder
from tiny import SENTENCES, write_tiny_llama
from tiny_whisper import write_tiny_whisper

from compression.__main__ import SCHEMAS, main
from compression.workbench import get_workbench

SMALL = ("--calibration-sequences", 4, "--sequence-length", 32)
SVD = ("--method", "svd", "--removed", 0.4)

Command = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def command(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Call the command line in this process, beside a model and a text: exit code, what it printed, what it said."""
    get_workbench.cache_clear()
    write_tiny_llama(tmp_path / "tiny", tied=False)
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 20, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["compression", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return stopped.value.code, printed.out, printed.err

    return call


def report(file: Path) -> Any:
    """The JSON, which is what ``schema`` describes, to the letter."""
    adapter = pydantic.TypeAdapter(SCHEMAS["changes"])
    value = adapter.validate_json(file.read_bytes())
    assert json.loads(file.read_bytes()) == json.loads(adapter.dump_json(value))
    return value


def test_of_a_text(command: Command, tmp_path: Path) -> None:
    given = ("--text", "text.txt", "--calibration", "text.txt", *SMALL, "--window", 16, "--max-windows", 2, "--top", 3)
    code, out, err = command("changes", "tiny", *SVD, *given, "--json", "out.json")
    assert not code, err
    made = report(tmp_path / "out.json")
    said = " ".join(out.split())
    assert f"{made.flipped} of 30 tokens flipped" in said and "32 of " in said
    assert sum(" yes " in line or " │  " in line for line in out.splitlines()) >= 3
    assert "block 1" in out and "embeddings" in out and "the damage starts in block" in said
    # What compress wrote is compared with its original.
    rest = ("--policy", "uniform", "--calibration", "text.txt", *SMALL)
    assert not command("compress", "tiny", *SVD, *rest, "--out", "small")[0]
    reading = ("--text", "text.txt", "--window", 16, "--max-windows", 2)
    code, again, err = command("changes", "small", *reading, "--json", "again.json")
    assert not code, err
    assert report(tmp_path / "again.json").units == made.units


def test_of_recordings(command: Command, tmp_path: Path, cache: Path) -> None:
    plant_spelling_table(cache)
    write_tiny_whisper(tmp_path / "whisper")
    write_folder(tmp_path / "heard", made_up(4))
    given = (*SVD, "--calibration", "heard", "--calibration-sequences", 4)
    code, out, err = command("changes", "whisper", *given, "--audio", "heard", "--json", "out.json")
    assert not code, err
    made = report(tmp_path / "out.json")
    assert made.unit == "word" and f"of {len(made.units)} words flipped" in " ".join(out.split())
    assert "encoder" in out and "decoder: the damage starts in block" in " ".join(out.split())
    code, _, err = command("changes", "whisper", *given, "--text", "text.txt")
    assert code == 2 and "give recordings with --audio instead of --text." in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tiny", "--audio", "x"), "is a language model: give a text with --text"),
        (("tiny", "--text", "nowhere.txt"), "There is no text or file"),
        (("tiny", "--json", "nowhere/out.json"), "for the JSON file does not exist"),
    ],
)
def test_what_is_refused(command: Command, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = command("changes", *arguments, "--method", "svd", "--calibration", "text.txt", *SMALL)
    assert code == 2 and said in err


def test_a_compressed_directory_takes_no_method(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compression.export.is_compressed_directory", lambda directory: True)
    code, _, err = command("changes", "small", "--method", "svd")
    assert code == 2 and "leave out --method, --policy and --removed." in err
