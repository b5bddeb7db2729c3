"""The one thread in which heavy work is done, step by step, for whoever's turn it is.

One thread, because each thread that ever computes keeps helper threads and a heap of its own: with work spread over a
server's forty threads, memory grew by half in twenty minutes of thirty visitors. And a thread of lower priority, where
the system has such: a processor that is busy with a factorisation answers cheap events first.
"""

from __future__ import annotations

import contextvars
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from compression.allocator import give_back, return_at_once

NICE = 10
"""How much the thread gives way: 0 not at all, 19 to everybody."""
RETURNED_AT_ONCE = 8_388_608
"""Bytes from which a tensor goes back to the system as soon as it is free: statistics, factors and logits are above,
most activations below. Without such a limit the gaps in the C library's heaps grew by a gigabyte in ten minutes."""
Result = TypeVar("Result")


class Counter:
    """A thread that carries out one call after the other, and one that tidies behind it. Both end with the program."""

    def __init__(self) -> None:
        """Start them with the first call."""
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._started = False
        self._ended = threading.Event()

    def call(self, function: Callable[[], Result]) -> Result:
        """What a function returns there, or raises."""
        answer: Future[Result] = Future()
        with self._starting:
            if not self._started:
                self._started = True
                return_at_once(RETURNED_AT_ONCE)
                threading.Thread(target=self._serve, name="engine", daemon=True).start()
                threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
        self._calls.put((answer, function))
        return answer.result()

    def _serve(self) -> None:
        _give_way()
        while True:
            answer, function = self._calls.get()
            try:
                answer.set_result(function())
            except BaseException as error:
                answer.set_exception(error)
            del answer, function  # else they are held until the next call comes

    def _tidy(self) -> None:
        """Give memory back behind each job: not in the engine's thread, which others on the machine may keep waiting.

        A collection lets nobody else in this process run, so whoever collects must not give way.
        """
        while True:
            self._ended.wait()
            self._ended.clear()  # before: a job that ends meanwhile leaves something behind as well
            give_back()

    def drive(self, start: Callable[[], Generator[Any, None, Result]]) -> Generator[Any, None, Result]:
        """Carry a generator out there; closing this one closes that one.

        Args:
            start: makes the generator; it sees the context variables of whoever asks.
        """
        context = contextvars.copy_context()
        work = self.call(lambda: context.run(start))

        def step() -> tuple[bool, Any]:
            try:
                return False, next(work)
            except StopIteration as stop:
                return True, stop.value

        try:
            while True:
                ended, value = self.call(lambda: context.run(step))
                if ended:
                    result: Result = value
                    return result
                yield value
        finally:
            # Not waited for: a generator that nobody closed is closed by the garbage collector, in whichever thread
            # that runs, and in this thread itself waiting would be for ever. The next one's work comes behind.
            for function in (lambda: context.run(work.close), self._ended.set):
                self._calls.put((Future(), function))


def _give_way() -> None:
    """Lower the priority of this thread; elsewhere than on Linux that would be the whole process."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


ENGINE_THREAD = Counter()
"""That of this process."""
