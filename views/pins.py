"""The pins of a visitor, with what was undone."""

from __future__ import annotations

from dataclasses import dataclass

from compression.recipe import Pins


@dataclass(frozen=True)
class PinHistory:
    """All states of the pins, oldest first.

    Attributes:
        states: every state there was; the first holds no pins, or those of a shared link.
        place: index of the present one; those behind it can be redone.
    """

    states: tuple[Pins, ...] = ((),)
    place: int = 0

    @property
    def pins(self) -> Pins:
        """The present pins."""
        return self.states[self.place]

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier state."""
        return self.place > 0

    @property
    def can_redo(self) -> bool:
        """Whether something was undone."""
        return self.place < len(self.states) - 1

    def with_pins(self, pins: Pins) -> PinHistory:
        """A new state; what was undone is forgotten."""
        return PinHistory((*self.states[: self.place + 1], pins), self.place + 1)

    def moved(self, steps: int) -> PinHistory:
        """One state back (-1) or forth (1), as far as there are any."""
        return PinHistory(self.states, min(max(self.place + steps, 0), len(self.states) - 1))
