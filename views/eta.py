"""How long the current stage of long work still takes, from its own pace."""

from __future__ import annotations

import time
from collections.abc import Callable

from compression.types import Progress

SETTLED = 1.0
"""Seconds after which a pace is believed: pieces made side by side come in bursts, and the first burst says nothing."""


class Eta:
    """Watches the steps of one job and tells when the stage they belong to will be over.

    A stage begins with its first step: a step of another stage, of another length, or one that goes back. What is left
    is the time since then ÷ the units done since then × the units to come; loading and the like, before the first step
    of a stage, do not count. Before the second unit, and in the first second, there is no pace to speak of.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start before the first step.

        Args:
            clock: the time in seconds, from any beginning.
        """
        self._clock = clock
        self._stage: tuple[str, int] | None = None
        self._started = 0.0
        self._first = self._last = 0

    def seconds_left(self, progress: Progress) -> float | None:
        """Take note of a step; seconds until the end of its stage, or None while there is nothing to say."""
        now = self._clock()
        stage = (progress.stage, progress.total)
        if stage != self._stage or progress.done < self._last:
            self._stage, self._started, self._first = stage, now, progress.done
        self._last = progress.done
        elapsed = now - self._started
        done, left = progress.done - self._first, progress.total - progress.done
        if progress.done < 2 or done < 1 or left <= 0 or elapsed < SETTLED:
            return None
        return elapsed * left / done
