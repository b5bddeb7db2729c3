"""The one exception that carries a sentence for the person in front of the screen."""

from __future__ import annotations

SHOWN = 60
"""Characters of what was given that a sentence repeats at most."""


class UserError(Exception):
    """Bad input or a condition the user can change.

    The message is one clear sentence: what was expected, what came, what to do. The command line
    prints it and exits with 2; the app shows it as a notice. Anything else that is raised is a bug.
    """


def shown(value: object) -> str:
    """What was given, as a sentence may repeat it: quoted, and cut off where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes out
        return "…"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
