"""The ZeroGPU decorator: nothing anywhere else, the Space's own where there is one."""

from __future__ import annotations

import sys
import types

from views.accelerator import SECONDS, on_accelerator


def work() -> str:
    return "done"


def test_elsewhere_nothing_changes(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert on_accelerator(work) is work


def test_a_zero_gpu_space_decorates_it(monkeypatch):
    asked = []

    def gpu(duration):
        asked.append(duration)
        return lambda function: lambda: f"on a GPU: {function()}"

    spaces = types.ModuleType("spaces")
    spaces.GPU = gpu
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert on_accelerator(work)() == "on a GPU: done" and asked == [SECONDS]
