"""The tabs, in the order of the page: one file each; adding one is that file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from views.context import Context
from views.tabs import adapt, changes, compare, distil, explore, learn, live, take_away, trade_offs

TABS: tuple[tuple[str, Callable[[Context], Any]], ...] = (
    ("explore", explore.build),
    ("compare", compare.build),
    ("live", live.build),
    ("adapt", adapt.build),
    ("distil", distil.build),
    ("trade_offs", trade_offs.build),
    ("changes", changes.build),
    ("take_away", take_away.build),
    ("learn", learn.build),
)
"""Key of the tab (its title is the text ``<key>.tab``) and the function that fills it."""
