"""Work side by side: in order, on one thread each, cancelled at once, threads given back."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from compression.parallel import parallel_map

pytestmark = pytest.mark.usefixtures("two_threads")


def test_results_come_in_order_whatever_finishes_first():
    def work(item: int) -> int:
        time.sleep(0.02 * (5 - item))
        return item * item

    assert list(parallel_map(work, range(5))) == [0, 1, 4, 9, 16]


def test_each_piece_runs_on_one_thread_and_the_caller_gets_its_threads_back():
    before = torch.get_num_threads()
    assert list(parallel_map(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
    assert torch.get_num_threads() == before


def test_an_error_reaches_the_caller():
    def work(item: int) -> int:
        if item == 1:
            raise ValueError("broken")
        return item

    results = parallel_map(work, range(3))
    assert next(results) == 0
    with pytest.raises(ValueError, match="broken"):
        next(results)


def test_closing_drops_the_rest_and_does_not_wait():
    started = []
    release = threading.Event()

    def work(item: int) -> int:
        started.append(item)
        if item:
            release.wait(10)
        return item

    results = parallel_map(work, range(50))
    assert next(results) == 0
    begun = time.perf_counter()
    results.close()
    assert time.perf_counter() - begun < 1
    count = len(started)
    release.set()
    time.sleep(0.1)
    assert len(started) == count < 50
