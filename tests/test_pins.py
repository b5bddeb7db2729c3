"""The history of pins: back, forth, and what a new pin forgets."""

from __future__ import annotations

from views.pins import PinHistory

A, B, C = (("a", 0.1),), (("a", 0.1), ("b", 0.2)), (("c", 0.3),)


def walked(history: PinHistory, *steps: int) -> list[tuple[tuple[str, float], ...]]:
    """The pins after each step."""
    seen = []
    for step in steps:
        history = history.moved(step)
        seen.append(history.pins)
    return seen


def test_at_first_there_are_no_pins_and_nothing_to_undo_or_redo() -> None:
    history = PinHistory()
    assert (history.pins, history.can_undo, history.can_redo) == ((), False, False)
    assert history.moved(-1) == history.moved(1) == history


def test_undo_and_redo_walk_through_all_states_and_stop_at_their_ends() -> None:
    history = PinHistory().with_pins(A).with_pins(B)
    assert (history.pins, history.can_undo, history.can_redo) == (B, True, False)
    assert walked(history, 1, -1, -1, -1, 1, 1, 1) == [B, A, (), (), A, B, B]
    middle = history.moved(-1)
    assert (middle.can_undo, middle.can_redo) == (True, True)
    first = middle.moved(-1)
    assert (first.can_undo, first.can_redo) == (False, True)


def test_a_new_pin_forgets_what_was_undone_and_nothing_else() -> None:
    history = PinHistory().with_pins(A).with_pins(B).moved(-1).with_pins(C)
    assert history.states == ((), A, C) and not history.can_redo
    assert walked(history, -1, -1) == [A, ()]


def test_clearing_can_be_undone() -> None:
    assert PinHistory().with_pins(B).with_pins(()).moved(-1).pins == B


def test_a_history_is_a_value() -> None:
    history = PinHistory().with_pins(A)
    history.with_pins(B)
    history.moved(-1)
    assert history.pins == A, "a session's state is replaced, never changed"
