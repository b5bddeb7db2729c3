"""The line before the engine: everybody in turn, told where he stands; who leaves gives his place up."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from views.counter import NICE, Counter
from views.line import Line, Place
from views.texts import words


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def job(name: str, log: list[str], steps: int = 1) -> Any:
    def work() -> Generator[str, None, str]:
        log.append(name)
        for _ in range(steps):
            yield name
        return name

    return work


def test_everybody_is_served_in_turn_and_knows_his_place() -> None:
    clock, log = Clock(), []
    line = Line(clock)
    first, second, third = (line.in_turn(job(name, log), lambda place: place) for name in "abc")
    assert next(first) == "a" and next(second) == Place(1, None) and next(third) == Place(2, None)
    assert log == ["a"] and len(line) == 3
    clock.now = 60
    with pytest.raises(StopIteration) as end:
        next(first)
    assert end.value.value == "a"
    assert next(second) == "b"
    clock.now = 70
    assert next(third) == Place(1, 50.0), "a minute is usual, ten seconds are gone"
    second.close()
    assert next(third) == "c" and list(third) == [] and not len(line) and log == ["a", "b", "c"]


def test_what_was_cancelled_tells_how_long_a_job_takes_at_least_until_one_has_ended() -> None:
    clock, log = Clock(), []
    line = Line(clock)
    first, second, third = (line.in_turn(job(name, log), lambda place: place) for name in "abc")
    assert next(first) == "a" and next(second) == Place(1, None)
    clock.now = 30
    first.close()
    assert next(second) == "b" and next(third) == Place(1, 30.0)
    clock.now = 50
    assert next(third) == Place(1, 10.0)
    clock.now = 61
    assert next(third) == Place(1, None), "longer than anything known: nothing tells"
    list(second)
    fourth = line.in_turn(job("d", log), lambda place: place)
    assert next(third) == "c" and next(fourth) == Place(1, 31.0), "what has ended tells more"


def test_a_place_is_said_with_the_time_where_it_is_known() -> None:
    assert "Waiting: 2 ahead of you." in Place(2, None).html(words("en"))
    assert "Waiting: 2 ahead of you (" in Place(2, 90.0).html(words("en"))
    assert "перед вами 2 (" in Place(2, 90.0).html(words("ru"))


def test_whoever_waits_has_a_thread_that_nobody_else_needs() -> None:
    from views import api, engine, page
    from views.tabs import learn

    waiting = engine.HEAVY["concurrency_limit"] + learn._SLOT["concurrency_limit"] + api.AT_ONCE
    assert page.launch_options()["max_threads"] >= waiting + 40


def test_who_leaves_while_he_waits_gives_his_place_up() -> None:
    log: list[str] = []
    line = Line()
    first, second, third = (line.in_turn(job(name, log), lambda place: place.ahead) for name in "abc")
    assert [next(first), next(second), next(third)] == ["a", 1, 2]
    second.close()
    assert next(third) == 1 and log == ["a"]
    list(first)
    assert list(third) == ["c"] and not len(line)


def test_work_that_fails_lets_the_next_one_begin() -> None:
    line, log = Line(), []

    def broken() -> Generator[str, None, None]:
        yield "begun"
        raise ValueError

    first, second = line.in_turn(broken, lambda place: place), line.in_turn(job("b", log), lambda place: place.ahead)
    assert next(first) == "begun" and next(second) == 1
    with pytest.raises(ValueError):
        next(first)
    assert next(second) == "b"


def test_what_nobody_closes_is_closed_in_the_thread_of_the_work_without_waiting_for_itself() -> None:
    counter, closed = Counter(), []

    def work() -> Generator[str, None, None]:
        try:
            yield "first"
        finally:
            closed.append(threading.current_thread().name)

    abandoned = [counter.drive(work)]
    assert next(abandoned[0]) == "first"
    counter.call(abandoned.clear)  # the last reference goes there
    assert counter.call(lambda: "still serves") == "still serves" and closed == ["engine"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is that of the whole process")
def test_memory_is_given_back_behind_each_job_by_a_thread_that_does_not_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: queue.SimpleQueue[int] = queue.SimpleQueue()
    monkeypatch.setattr(
        "views.counter.give_back", lambda: called.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    )
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    counter = Counter()
    for _ in range(2):
        assert list(counter.drive(job("a", []))) == ["a"]
        assert called.get(timeout=30) == usual
    assert counter.call(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == NICE


def test_never_two_at_a_time_in_threads() -> None:
    line, inside, seen = Line(), [], []

    def work() -> Generator[None, None, None]:
        inside.append(1)
        seen.append(len(inside))
        yield
        time.sleep(0.01)
        inside.pop()

    def visit() -> None:
        for _ in line.in_turn(work, lambda place: None):
            pass

    threads = [threading.Thread(target=visit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [1] * 12 and not len(line)
