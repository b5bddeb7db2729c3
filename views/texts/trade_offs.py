"""The words of the tab “Trade-offs”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {}

RUSSIAN: dict[str, str] = {}
