"""The words of the page, one table a language, and the notation of numbers that belongs to the language.

Callers ask for a key and never see the language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from views.texts import adapt, changes, distil, learn, take_away, trade_offs
from views.texts.engine_russian import ENGINE
from views.texts.english import ENGLISH
from views.texts.russian import RUSSIAN
from views.texts.sentences import translate

_TABS = (trade_offs, changes, take_away, adapt, distil, learn)
TABLES: Mapping[str, Mapping[str, str]] = {
    "en": {**ENGLISH, **{key: text for tab in _TABS for key, text in tab.ENGLISH.items()}},
    "ru": {**RUSSIAN, **{key: text for tab in _TABS for key, text in tab.RUSSIAN.items()}},
}

LANGUAGES: Mapping[str, str] = {"en": "English", "ru": "Русский"}
"""Each language's name for itself."""

SPEECH = "@speech"
"""Ends the key of a text that says of a speech model what the key without it says of a language model."""

NARROW_SPACE = "\u202f"
"""Thin and without a line break: between thousands in every language, and before a Russian per cent sign."""


@dataclass(frozen=True)
class _Notation:
    """What differs between the languages in how a number is written.

    Attributes:
        decimal: between the units and the decimals.
        per_cent: what follows a number of per cent.
    """

    decimal: str
    per_cent: str


_NOTATIONS: Mapping[str, _Notation] = {"en": _Notation(".", "%"), "ru": _Notation(",", f"{NARROW_SPACE}%")}


@dataclass(frozen=True)
class Words:
    """The words and number notation of one language.

    Attributes:
        language: key into `TABLES`.
        speech: whether a speech model is spoken of.
    """

    language: str = "en"
    speech: bool = False

    def __call__(self, key: str, **values: object) -> str:
        """The text under `key` with `values` filled in."""
        table = TABLES[self.language]
        text = table[key + SPEECH] if self.speech and key + SPEECH in table else table[key]
        return text.format(**values) if values else text

    def about(self, speech: bool) -> Words:
        """The same words, to speak of a speech model, or of a language model."""
        return replace(self, speech=speech)

    def sentence(self, text: str) -> str:
        """A sentence that came from the engine, which speaks English, in this language."""
        return translate(text, ENGINE) if self.language == "ru" else text

    def name(self, kind: str, value: str) -> str:
        """A method's or policy's name for people; an unknown one keeps its own."""
        return TABLES[self.language].get(f"{kind}.{value}", value)

    @property
    def decimal_separators(self) -> str:
        """The decimal mark and the mark between thousands, as Plotly's ``layout.separators`` wants them."""
        return _NOTATIONS[self.language].decimal + NARROW_SPACE

    def percent(self, share: float, digits: int = 1) -> str:
        """A share in per cent, without decimals that are all zero: ``20%``, ``33.3%``; in Russian ``33,3 %``."""
        text = f"{share:,.{digits}%}".replace(".00%", "%").replace(".0%", "%")
        return self._written(text.removesuffix("%")) + _NOTATIONS[self.language].per_cent

    def number(self, value: float, digits: int = 1) -> str:
        """A number with thin spaces between thousands; large ones lose their decimals."""
        if abs(value) >= 1000:
            digits = 0
        return self._written(f"{value:,.{digits}f}")

    def significant(self, value: float, digits: int = 3) -> str:
        """A number to so many significant digits."""
        return self._written(f"{value:,.{digits}g}")

    def _written(self, number: str) -> str:
        """A number as Python writes it, with commas between thousands, as this language writes it."""
        return number.translate(str.maketrans(",.", NARROW_SPACE + _NOTATIONS[self.language].decimal))

    def shape(self, shape: tuple[int, int]) -> str:
        """A weight's shape, out × in."""
        return f"{shape[0]} × {shape[1]}"

    def duration(self, seconds: float) -> str:
        """A duration a person would say."""
        if seconds < 90:
            return self("time.seconds", value=self.number(max(1, round(seconds)), 0))
        return self("time.minutes", value=self.number(round(seconds / 60), 0))


def words(language: str = "en") -> Words:
    """The words of a language; English where it is not known."""
    return Words(language if language in TABLES else "en")
