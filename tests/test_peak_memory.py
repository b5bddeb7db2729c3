"""Peak memory of a stretch of work: what is freed again counts, what was there before does not."""

from __future__ import annotations

import sys

import pytest
import torch

from compression.adaptation import peak_memory
from compression.adaptation.peak_memory import PeakMemory

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the highest value by itself")
def test_memory_that_is_given_back_before_anybody_looks_counts() -> None:
    held = torch.ones(80 * MIB // 4)
    memory = PeakMemory()
    torch.ones(200 * MIB // 4).sum()
    first = memory.look()
    assert 190 * MIB < first < 260 * MIB and len(held)
    del held
    again = PeakMemory()
    torch.ones(50 * MIB // 4).sum()
    assert 40 * MIB < again.look() < 110 * MIB


def test_where_the_kernel_keeps_nothing_what_was_seen_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR", peak_memory.Path("/nowhere/clear_refs"))
    memory = PeakMemory()
    block = torch.ones(120 * MIB // 4)
    seen = memory.look()
    del block
    assert 110 * MIB < seen < 200 * MIB and memory.look() == seen
