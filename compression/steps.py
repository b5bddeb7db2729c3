"""Long work as a generator: it yields its progress, returns its result, and ends where it is closed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from compression.types import Progress

T = TypeVar("T")
Steps = Generator[Progress, None, T]


def known(steps: Steps[T]) -> T | None:
    """The result of work that needs no step, None of any other, which is given up before it has begun."""
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    steps.close()
    return None


def finish(steps: Steps[T]) -> T:
    """Run a generator of progress events to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
