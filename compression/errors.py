"""The one exception that carries a sentence for the person in front of the screen."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or a condition the user can change.

    The message is one clear sentence: what was expected, what came, what to do. The command line
    prints it and exits with 2; the app shows it as a notice. Anything else that is raised is a bug.
    """
