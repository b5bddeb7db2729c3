"""The words of the page, one table a language, and the notation of numbers that belongs to the language.

Callers ask for a key and never see the language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from views.texts.engine_russian import ENGINE
from views.texts.english import ENGLISH
from views.texts.sentences import translate

TABLES: Mapping[str, Mapping[str, str]] = {"en": ENGLISH}

NARROW_SPACE = "\u202f"


@dataclass(frozen=True)
class Words:
    """The words and number notation of one language.

    Attributes:
        language: key into `TABLES`.
    """

    language: str = "en"

    def __call__(self, key: str, **values: object) -> str:
        """The text under `key` with `values` filled in."""
        text = TABLES[self.language][key]
        return text.format(**values) if values else text

    def sentence(self, text: str) -> str:
        """A sentence that came from the engine, which speaks English, in this language."""
        return translate(text, ENGINE) if self.language == "ru" else text

    def name(self, kind: str, value: str) -> str:
        """A method's or policy's name for people; an unknown one keeps its own."""
        return TABLES[self.language].get(f"{kind}.{value}", value)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share in per cent, without a trailing zero digit: ``20%``, ``33.3%``."""
        text = f"{share:.{digits}%}"
        return text.replace(".00%", "%").replace(".0%", "%")

    def number(self, value: float, digits: int = 1) -> str:
        """A number with thin spaces between thousands; large ones lose their decimals."""
        if abs(value) >= 1000:
            digits = 0
        return f"{value:,.{digits}f}".replace(",", NARROW_SPACE)

    def significant(self, value: float, digits: int = 3) -> str:
        """A number to so many significant digits."""
        return f"{value:.{digits}g}"

    def shape(self, shape: tuple[int, int]) -> str:
        """A weight's shape, out × in."""
        return f"{shape[0]} × {shape[1]}"

    def duration(self, seconds: float) -> str:
        """A duration a person would say."""
        if seconds < 90:
            return self("time.seconds", value=max(1, round(seconds)))
        return self("time.minutes", value=round(seconds / 60))


def words(language: str = "en") -> Words:
    """The words of a language; English where it is not known."""
    return Words(language if language in TABLES else "en")
