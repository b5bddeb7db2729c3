"""How long a stage still takes, with a clock of our own."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from compression.types import Progress
from views import engine
from views.eta import SETTLED, Eta
from views.texts import words
from views.widgets import progress_html


def left(*steps: tuple[float, str, int, int]) -> list[float | None]:
    """What is said after each step (time, stage, done, total)."""
    times: Iterator[float] = iter([time for time, *_ in steps])
    eta = Eta(lambda: next(times))
    return [eta.seconds_left(Progress(stage, done, total, "")) for _, stage, done, total in steps]


def test_the_pace_so_far_holds_for_the_rest() -> None:
    assert left((10, "a", 0, 5), (12, "a", 1, 5), (14, "a", 2, 5), (18, "a", 4, 5), (20, "a", 5, 5)) == [
        None,
        None,
        pytest.approx(6.0),
        pytest.approx(2.0),
        None,
    ]


def test_what_came_before_the_first_step_does_not_count() -> None:
    assert left((100, "a", 1, 4), (102, "a", 2, 4), (104, "a", 3, 4)) == [None, pytest.approx(4.0), pytest.approx(2.0)]


def test_every_stage_starts_anew_and_so_does_one_that_begins_again() -> None:
    steps = [(0, "a", 1, 4), (2, "a", 2, 4), (3, "b", 2, 4), (7, "b", 3, 4), (8, "b", 1, 4), (9, "b", 2, 4)]
    assert left(*steps) == [None, pytest.approx(4.0), None, pytest.approx(4.0), None, pytest.approx(2.0)]
    assert left((0, "a", 1, 4), (2, "a", 2, 40)) == [None, None], "another length is another stage"


def test_a_burst_and_a_queue_say_nothing() -> None:
    assert left((0, "a", 1, 9), (0.01, "a", 2, 9), (SETTLED, "a", 3, 9)) == [None, None, pytest.approx(3.0)]
    assert left(*((second, "wait", second, second + 1) for second in range(9))) == [None] * 9


def test_every_job_of_the_page_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 30.0, 60.0])
    monkeypatch.setattr(engine, "Eta", lambda: Eta(lambda: next(times)))

    def work() -> Generator[Progress, None, str]:
        for done in (1, 2, 3):
            yield Progress("perplexity", done, 3, f"window {done} of 3")
        return "done"

    steps = engine.relay(work(), lambda progress: progress_html(progress, words()))
    shown = [next(steps) for _ in range(3)]
    assert ["left" in each for each in shown] == [False, True, False]
    assert "window 2 of 3 · about 30 s left for this step" in shown[1] and "width:67%" in shown[1]
