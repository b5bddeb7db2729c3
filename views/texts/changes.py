"""The words of the tab “What changed”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {}

RUSSIAN: dict[str, str] = {}
