"""Fixtures every test may use, and how the tests are shared out among workers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache as once
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import StandIn, serve
from xdist.scheduler import LoadFileScheduling

from compression import store

_REAL_CACHE = store.root()

# The cores are shared out: with a thread a core in each of several workers, threads would wait for one another at every
# step of a kernel. It must be said before torch is imported, and programs that tests start inherit it.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


_APPS_OF_THEIR_OWN = {"tests/browser/test_changes_journey.py", "tests/browser/test_take_away_journey.py"}
"""Browser files that do not use the app that the others share: the worker with less to do takes them, first of all."""


class _BrowserTogether(LoadFileScheduling):
    """A file to a worker, all browser files to the same one whose app is the same: they wait for it by the clock."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        together = file.startswith("tests/browser/") and file not in _APPS_OF_THEIR_OWN
        return "tests/browser" if together else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _BrowserTogether:
    """How tests are shared out among workers."""
    return _BrowserTogether(config, log)


@once
def _give_way() -> None:
    """Lower this worker's priority, once; a process cannot take that back."""
    if hasattr(os, "nice"):
        os.nice(5)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Whatever is no browser test gives way to those of the other worker, where answers have a time to keep to."""
    if workers and Path(__file__).parent / "browser" not in item.path.parents:
        _give_way()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own; returns its root."""
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch on two threads, as on a visitor's machine, whatever is a worker's share."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_sites_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites side by side, as on a visitor's machine, while torch keeps to a worker's one core.

    With torch itself on two threads, those would wait for one another at every step of every small kernel.
    """
    from compression import parallel

    monkeypatch.setattr(parallel, "ThreadPoolExecutor", lambda _, *rest, **more: ThreadPoolExecutor(2, *rest, **more))


@pytest.fixture
def real_cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the person who runs the tests, so that the real model is converted once; returns its root."""
    monkeypatch.setenv("COMPRESSION_CACHE", str(_REAL_CACHE))
    return _REAL_CACHE


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A loopback stand-in for the Hub, set as the endpoint."""
    with serve() as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; skips where mounting one is not allowed."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("a small tmpfs can only be mounted by root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
