"""A bounded memory of the values used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """A bounded, thread-safe memory of the most recently used values."""

    def __init__(self, size: int, weigh: Callable[[T], int] | None = None, budget: int = 0) -> None:
        """Remember at most `size` values, and of those that weigh something no more than fit a budget.

        Args:
            size: number of values.
            weigh: bytes of a value, asked again whenever one comes, for they may have grown.
            budget: bytes; the newest value is kept whatever it weighs, for it is in use.
        """
        self._size = size
        self._weigh = weigh
        self._budget = budget
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """The value, now the most recent, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: T) -> T:
        """Remember a value and forget the oldest ones."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size or (len(self._values) > 1 and self._over()):
                self._values.popitem(last=False)
        return value

    def _over(self) -> bool:
        return self._weigh is not None and sum(map(self._weigh, self._values.values())) > self._budget

    def values(self) -> tuple[T, ...]:
        """All that is remembered, the oldest first; does not count as a use."""
        with self._lock:
            return tuple(self._values.values())

    def __contains__(self, key: Hashable) -> bool:
        """Whether it is remembered; does not count as a use."""
        with self._lock:
            return key in self._values
