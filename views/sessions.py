"""What the server keeps of each visitor: his choices, and not a copy of the whole page beside them.

Gradio keeps the configuration of every component for every session, for links that carry a whole session; this page has
links of its own (`views.address`). With two thousand components that was a megabyte and a half and a twentieth of a
second of everybody's time a visitor, and Python's garbage collector looked through all of it again and again.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio.state_holder
from gradio.state_holder import SessionState

KEPT = 500
"""Sessions whose choices are kept; the one used longest ago goes first."""


class LightSession(SessionState):
    """A session whose components have no configuration of their own until they change."""

    def __init__(self, blocks: Any) -> None:
        """Begin with the components as the page has them."""
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]


def keep_sessions_light() -> None:
    """From now on, in this process. Gradio makes sessions by this name and offers no other way."""
    gradio.state_holder.SessionState = LightSession  # type: ignore[misc]
