"""The store: atomic, locked, exact, and clear about a full disk."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import finish

from compression import store
from compression.errors import UserError


@dataclass(frozen=True)
class Figure:
    """A stand-in for the project's frozen dataclasses."""

    name: str
    value: float
    shape: tuple[int, int]
    note: str | None = None


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a Python script in another process; its standard output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


HOLDS_A_DIRECTORY = """
    import sys, time
    from pathlib import Path
    from compression import store
    with store.atomic_directory(Path(sys.argv[1])) as folder:
        (folder / "half").write_text("x")
        print("ready", flush=True)
        time.sleep(60)
"""


def test_the_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path))
    assert store.root() == tmp_path
    monkeypatch.delenv("COMPRESSION_CACHE")
    assert store.root() == Path.home() / ".cache" / "compression-explorer"


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with store.atomic_directory(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in target.parent.iterdir()] == ["model"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), store.atomic_directory(tmp_path / "model") as folder:
        (folder / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("x")
    with pytest.raises(UserError, match="not empty"), store.atomic_directory(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine" / "thesis").read_text() == "x"
    (tmp_path / "empty").mkdir()
    with store.atomic_directory(tmp_path / "empty") as folder:
        (folder / "a").write_text("1")
    assert (tmp_path / "empty" / "a").exists()


def test_a_kill_leaves_nothing_and_the_next_use_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "model"
    writer = _start(HOLDS_A_DIRECTORY, target)
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    with store.atomic_directory(tmp_path / "model2"):
        pass
    writer_files = [p.name for p in tmp_path.iterdir() if p.name.startswith(".model.")]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert not target.exists() and writer_files, "the half-written directory must not have the final name"
    with store.atomic_directory(target) as folder:
        (folder / "whole").write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "model2"]


def test_the_work_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    writer = _start(HOLDS_A_DIRECTORY, target)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        with store.atomic_directory(target) as folder:
            (folder / "other").write_text("x")
        assert list(tmp_path.glob(".model.*.tmp/half")), "another process's temporary directory was removed"
    finally:
        writer.kill()
        writer.communicate()


def test_json_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "figure.json"
    store.write_json(path, Figure("a", math.nan, (2, 3)))
    assert path.read_text() == '{"name":"a","value":"NaN","shape":[2,3],"note":null}\n'
    figure = store.read_json(path, Figure)
    assert math.isnan(figure.value) and figure.shape == (2, 3)
    store.write_json(path, {"b": [Figure("é", -math.inf, (0, 0))]})
    assert store.read_json(path, dict[str, list[Figure]])["b"][0] == Figure("é", -math.inf, (0, 0))
    assert os.listdir(tmp_path) == ["figure.json"]


@pytest.mark.parametrize("content", ["", "{", '{"name":"a"}', '{"name":"a","value":"x","shape":[1,2]}'])
def test_damaged_json_is_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "figure.json"
    path.write_text(content)
    with pytest.raises(UserError, match="not a valid Figure"):
        store.read_json(path, Figure)
    with pytest.raises(UserError, match="cannot be read"):
        store.read_json(tmp_path / "missing", Figure)


def test_a_key_follows_the_content_alone() -> None:
    key = store.content_key(Figure("a", 1.0, (2, 3)), {"x": 1, "y": [2]})
    assert key == store.content_key(Figure("a", 1.0, (2, 3)), {"y": [2], "x": 1})
    assert key != store.content_key(Figure("a", 1.0, (2, 4)), {"x": 1, "y": [2]})
    assert store.content_key("a", "b") != store.content_key("ab") and len(key) == 64
    assert store.content_key() == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_a_lock_excludes_threads_and_says_that_it_waits(cache: Path) -> None:
    held = store.lock("x")
    held.acquire()
    messages: list[str] = []

    def wait() -> None:
        generator = store.waiting_lock("x", "the model")
        while True:
            try:
                messages.append(next(generator).stage)
            except StopIteration as stop:
                with stop.value:
                    messages.append("mine")
                return

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    assert messages == ["wait"]
    held.release()
    thread.join(5)
    assert messages[-1] == "mine"
    assert finish(store.waiting_lock("x", "it")) is not None, "the lock was let go"


def test_a_suspended_generator_lets_go_when_closed_in_another_thread(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = store.lock("x")  # kept alive here, so that it is not let go by being collected
    monkeypatch.setattr(store, "lock", lambda name: held)

    def work() -> Generator[Any, None, None]:
        with (yield from store.waiting_lock("x", "it")):
            yield "inside"

    generator = work()
    assert next(generator) == "inside"
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    monkeypatch.undo()
    monkeypatch.setenv("COMPRESSION_CACHE", str(cache))
    with store.lock("x").acquire(timeout=1):
        pass


def test_two_processes_starting_at_once_do_the_work_once(cache: Path, tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from compression import store
        target = store.root() / "result"
        with store.lock("result"):
            if not target.is_dir():
                print("did it", flush=True)
                with store.atomic_directory(target) as folder:
                    (folder / "a").write_text("x")
                    time.sleep(0.5)
        assert (target / "a").read_text() == "x"
    """
    processes = [_start(script) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [p.returncode for p in processes] == [0, 0, 0]
    assert "".join(outputs) == "did it\n"


def test_prune_removes_what_was_used_longest_ago(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / ".busy.tmp").write_bytes(b"x" * 1000)
    store.prune(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 4
    store.touch(tmp_path / "old")
    store.prune(tmp_path, 250)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".busy.tmp", "new", "old"]
    store.prune(tmp_path / "missing", 0)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk: Path) -> None:
    full = f"{small_disk}.*is full.*COMPRESSION_CACHE"
    with pytest.raises(UserError, match=full), store.atomic_directory(small_disk / "model") as folder:
        (folder / "data").write_bytes(b"x" * 2_000_000)
    with pytest.raises(UserError, match="is full"), store.atomic_directory(small_disk / "model") as folder:
        save_file({"a": torch.zeros(600_000)}, folder / "model.safetensors")
    with pytest.raises(UserError, match="is full"):
        store.write_json(small_disk / "a.json", "x" * 2_000_000)
    assert list(small_disk.iterdir()) == []
    store.write_json(small_disk / "a.json", "x")


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        store.write_json(tmp_path / "file" / "a.json", 1)


def test_a_name_that_is_too_long_is_one_sentence_and_a_long_one_is_none(tmp_path: Path) -> None:
    too_long = tmp_path / ("x" * 300)
    for write in (lambda: store.write_json(too_long, 1), lambda: store.check_new_directory(too_long)):
        with pytest.raises(UserError, match=r"xx… cannot be written \(File name too long\): choose another name\.$"):
            write()
    store.write_json(tmp_path / ("ä" * 125 + ".json"), 1)
    with store.atomic_directory(tmp_path / ("y" * 255)) as folder:
        (folder / "a").write_text("1")
    assert sorted(len(os.fsencode(path.name)) for path in tmp_path.iterdir()) == [255, 255]
