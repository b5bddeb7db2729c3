"""What the engine says, in another language: its English sentences are recognised by templates and said again.

The engine fills numbers and names into its sentences before anybody sees them, so that what arrives is finished text.
A table maps English templates to translated ones. A template becomes an anchored regular expression whose groups are
its placeholders; what they capture is filled into the translation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

DEPTH = 3
"""How deep sentences inside sentences are followed."""
LONGEST = 3
"""Most clauses, as `_SEAM` cuts them, that one template spans."""
LIMIT = 2000
"""Characters of the longest text that is looked at: no sentence of the engine comes near."""

_SEAM = re.compile(r"(; |(?<=[.!?]) )")
"""Where one sentence may end and the next begin."""
_BREAK = re.compile(rf"{_SEAM.pattern}|: ")
"""What a name does not hold: a seam, or the colon behind which a sentence has its reason."""
_NUMBER = re.compile(r"([-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?)(%?)")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NARROW_SPACE = "\u202f"


@dataclass(frozen=True)
class _Template:
    """One entry of a table.

    Attributes:
        pattern: of the English sentence.
        translation: with the same placeholders.
        names: placeholders marked ``!s``, whose values are kept to the letter.
        literal: the pieces of English text between the placeholders.
    """

    pattern: re.Pattern[str]
    translation: str
    names: frozenset[str]
    literal: tuple[str, ...]

    @property
    def is_bare(self) -> bool:
        """Whether it is nothing but placeholders and punctuation, and so would match almost anything."""
        return not any(character.isalpha() for piece in self.literal for character in piece)

    def match(self, text: str) -> re.Match[str] | None:
        """The match with all of a text; looking for the pieces first is quicker than the expression."""
        return self.pattern.fullmatch(text) if all(piece in text for piece in self.literal) else None


def translate(text: str, table: Mapping[str, str]) -> str:
    """Say a sentence of the engine in the language of `table`; what no template matches comes back unchanged.

    Several sentences in a row (joined by a space or by ``; ``) are translated one by one. Of templates that match, the
    one with the most literal text counts. Values may be sentences, or parts of them, with templates of their own;
    pure numbers and quoted values get Russian notation.

    Args:
        text: as it came from the engine.
        table: English template → translated template. The value of a placeholder written ``{name!s}`` is a name: it
            is filled in to the letter, even if it looks like a number.
    """
    if len(text) > LIMIT:
        return text
    templates = _compiled(tuple(table.items()))
    found = _translated(text, templates, DEPTH, partly=True)
    return text if found is None else _cased(found, text)


@lru_cache(maxsize=8)
def _compiled(items: tuple[tuple[str, str], ...]) -> tuple[_Template, ...]:
    """The templates of a table, those with more literal text first."""
    templates = [_compile(english, translation) for english, translation in items]
    return tuple(sorted(templates, key=lambda template: -len("".join(template.literal))))


def _compile(english: str, translation: str) -> _Template:
    pattern, literal, seen, names = "", [], set(), set()
    for text, name, _, conversion in Formatter().parse(english):
        pattern += re.escape(text)
        literal.append(text)
        if name is None:
            continue
        pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.*?)"
        seen.add(name)
        if conversion == "s":
            names.add(name)
    return _Template(re.compile(pattern, re.DOTALL), translation, frozenset(names), tuple(literal))


def _translated(text: str, templates: tuple[_Template, ...], depth: int, partly: bool = False) -> str | None:
    """The translation, or None where nothing matches.

    Args:
        text: one sentence or several.
        templates: to be tried in order.
        depth: how deep to follow values.
        partly: accept that one of several sentences matches, and values that no template knows, however long.
    """
    if not depth:
        return None
    found = _as_one(text, templates, depth, within=True)
    if found is None:
        found = _in_a_row(text, templates, depth, partly)
    if found is None and partly:
        # A value may reach over the end of a sentence after all: an error of some library, or a strange path.
        found = _as_one(text, templates, depth, within=False)
    return found


def _as_one(text: str, templates: tuple[_Template, ...], depth: int, within: bool) -> str | None:
    """Translate a text by one template.

    Args:
        text: one sentence.
        templates: to be tried in order.
        depth: for the values.
        within: refuse values that reach over the end of a sentence, unless they are sentences themselves, and names
            that reach over a colon.
    """
    for template in templates:
        match = template.match(text)
        if match is None:
            continue
        values, said, strange = {}, False, False
        for name, value in match.groupdict().items():
            if name in template.names:
                values[name], strange = value, strange or _BREAK.search(value) is not None
                continue
            inner = _value(value, templates, depth - 1)
            values[name] = _notation(value) if inner is None else inner
            said = said or inner is not None
            strange = strange or (inner is None and _SEAM.search(value) is not None)
        if said and not strange if template.is_bare else not (strange and within):
            return template.translation.format(**values)
    return None


def _value(value: str, templates: tuple[_Template, ...], depth: int) -> str | None:
    """A captured value, where it is a sentence or a part of one."""
    return _translated(value, templates, depth) if any(character.isalpha() for character in value) else None


def _in_a_row(text: str, templates: tuple[_Template, ...], depth: int, partly: bool) -> str | None:
    """Translate sentence by sentence; None if nothing matches, or not everything although it should."""
    pieces = _SEAM.split(text)  # clause, seam, clause, …
    said, place, matched, missed = "", 0, False, False
    while place < len(pieces):
        clause, end = pieces[place], place + 1
        for reach in range(min(place + 2 * LONGEST - 1, len(pieces)), place, -2):
            source = "".join(pieces[place:reach])
            found = _as_one(source, templates, depth, within=True)
            if found is not None:
                after_full_stop = place > 0 and pieces[place - 1] == " "
                clause, end = _cased(found, source) if after_full_stop else found, reach
                matched = True
                break
        else:
            missed = True
        said += clause + "".join(pieces[end : end + 1])
        place = end + 1
    return said if matched and (partly or not missed) else None


def _cased(found: str, source: str) -> str:
    """With a capital where the English starts with one, or with a number that stands elsewhere in the translation."""
    return found if source[:1].islower() else found[:1].upper() + found[1:]


def _notation(value: str) -> str:
    """A number with a decimal comma and narrow spaces, a quoted value in guillemets; anything else as it is."""
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        return f"«{quoted[1] or quoted[2] or ''}»"
    number = _NUMBER.fullmatch(value)
    if number is None:
        return value
    digits = number[1].replace(",", _NARROW_SPACE).replace(".", ",")
    return f"{digits}{_NARROW_SPACE}%" if number[2] else digits
