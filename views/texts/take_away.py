"""The words of the tab “Take away”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {}

RUSSIAN: dict[str, str] = {}
