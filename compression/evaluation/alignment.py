"""Where two completions agree, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Alignment:
    """Two sequences of tokens, laid beside each other.

    Attributes:
        first_differs: for each token of the first, whether it has no counterpart in the second.
        second_differs: the same for the second.
        common_start: number of tokens before the two part.
        shared: share of all tokens, of both, that have a counterpart; 1 for two empty sequences.
    """

    first_differs: tuple[bool, ...]
    second_differs: tuple[bool, ...]
    common_start: int
    shared: float

    @property
    def same(self) -> bool:
        """Whether the two are the same."""
        return not any(self.first_differs) and not any(self.second_differs)


def align(first: Sequence[int], second: Sequence[int]) -> Alignment:
    """Find each token's counterpart: matching stretches, the longest first, in the same order on both sides.

    Args:
        first: token ids.
        second: token ids of the same tokenizer.

    Source: Ratcliff and Metzener, Pattern Matching: The Gestalt Approach (1988), as in Python's difflib. The common
    start is matched before anything else, so that what comes later cannot take its tokens away.
    """
    pairs = zip(first, second, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    matcher = SequenceMatcher(None, first[start:], second[start:], autojunk=False)
    differs = [True] * len(first), [True] * len(second)
    for block in [(0, 0, start), *((a + start, b + start, size) for a, b, size in matcher.get_matching_blocks())]:
        for side, begin in zip(differs, block[:2], strict=True):
            side[begin : begin + block[2]] = [False] * block[2]
    tokens = len(first) + len(second)
    matched = tokens - sum(map(sum, differs))
    return Alignment(tuple(differs[0]), tuple(differs[1]), start, matched / tokens if tokens else 1.0)
