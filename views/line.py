"""Who waits for the engine: first come, first served, and everybody sees how many stand before them.

Gradio has a queue of its own, which tells a page nothing while it waits. So heavy events begin at once, and stand in
this line; a visitor who cancels or leaves gives his place up, because Gradio then closes his event.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from compression.errors import UserError
from compression.types import Progress
from views.counter import ENGINE_THREAD
from views.texts import Words
from views.widgets import status_html

LOOK_SECONDS = 1.0
"""So often somebody who waits is told where he stands, and may be found to have left."""
REMEMBERED = 8
"""Jobs whose duration tells how long the next ones may take."""
ROOM = 48
"""So many events of one kind may wait here at a time, each in a thread of the server that looks after its place. There
are threads for all of them and for what does not wait, see `views.page.THREADS`; others wait in Gradio's own queue."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """Where somebody stands.

    Attributes:
        ahead: jobs before his, the running one included.
        seconds: about how long they take; None where nothing tells yet.
    """

    ahead: int
    seconds: float | None

    def html(self, words: Words) -> str:
        """What his status says."""
        text = words("progress.place", ahead=self.ahead)
        if self.seconds is not None:
            text = words("progress.place_time", ahead=self.ahead, time=words.duration(self.seconds))
        return status_html(text)


class Line:
    """A line before one counter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody stands in it.

        Args:
            clock: the time in seconds, from any beginning.
        """
        self._clock = clock
        self._moved = threading.Condition()
        self._tickets: deque[object] = deque()
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._given_up: deque[float] = deque(maxlen=REMEMBERED)
        self._began: float | None = None

    def __len__(self) -> int:
        """How many stand in it, the one who is served included."""
        return len(self._tickets)

    def place(self, ticket: object) -> Place:
        """Where somebody stands."""
        with self._moved:
            ahead = self._tickets.index(ticket)
            if not ahead:
                return Place(0, 0.0)
            running = 0.0 if self._began is None else self._clock() - self._began
            if self._durations:
                usual = sorted(self._durations)[len(self._durations) // 2]
            else:
                usual = max(self._given_up, default=0.0)  # a job takes that long at least, as this one may have by now
                if usual <= running:
                    return Place(ahead, None)
            return Place(ahead, max(usual - running, 0.0) + usual * (ahead - 1))

    def in_turn(
        self, work: Callable[[], Generator[Any, None, Result]], waiting: Callable[[Place], Any]
    ) -> Generator[Any, None, Result]:
        """Begin some work when everybody before has been served.

        Args:
            work: makes the generator of the work, when its turn has come.
            waiting: what to yield while others are served.
        """
        ticket = object()
        with self._moved:
            self._tickets.append(ticket)
        try:
            while (place := self.place(ticket)).ahead:
                yield waiting(place)
                with self._moved:
                    self._moved.wait_for(lambda: self._tickets[0] is ticket, LOOK_SECONDS)
            began = self._began = self._clock()
            try:
                result = yield from ENGINE_THREAD.drive(work)
            except GeneratorExit:
                self._given_up.append(self._clock() - began)
                raise
            self._durations.append(self._clock() - began)
            return result
        finally:
            with self._moved:
                if self._tickets[0] is ticket:
                    self._began = None
                self._tickets.remove(ticket)
                self._moved.notify_all()

    def unless_known(
        self,
        steps: Generator[Progress, None, Result],
        relay: Callable[[Generator[Progress, None, Result]], Generator[Any, None, Result]],
        waiting: Callable[[Place], Any],
        room: int | None = None,
    ) -> Generator[Any, None, Result]:
        """Take an answer that is there without a step of work at once, and stand in line for any other.

        Args:
            steps: the work, whose first step comes before anything heavy, as those of `compression.api.STEPS`.
            relay: drives the work and yields what is shown of each step.
            waiting: what to yield while others are served.
            room: so many may stand in the line; None for any number.

        Raises:
            UserError: if there is no more room.
        """
        try:
            first = next(steps)
        except StopIteration as known:
            return known.value
        if room is not None and len(self) >= room:
            raise UserError(f"{room} requests are waiting for the engine already: ask again in a few minutes.")

        def rest() -> Generator[Progress, None, Result]:
            yield first
            return (yield from steps)

        return (yield from self.in_turn(lambda: relay(rest()), waiting))


ENGINE = Line()
"""The one before the engine of this process."""
