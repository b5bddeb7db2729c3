"""Bits, bytes and FLOPs: the only place where a removed fraction becomes a rank, atoms or nonzeros.

Notation: a site's weight is (n, m) = (out, in). Values are stored in 16 bits. The original weight
counts 16 bits a value whatever precision it came in, as the papers count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from compression.errors import UserError
from compression.types import MAX_REMOVED_FRACTION, LinearSite

VALUE_BITS = 16
"""Bits of one stored value (float16)."""
TWO_OF_FOUR_REMOVED = 1 - 2 * (VALUE_BITS + 2) / (4 * VALUE_BITS)
"""What a 2:4 pattern removes: of every four values two stay, with a 2-bit place each. 0.4375."""


def check_removed_fraction(removed_fraction: float) -> float:
    """Return `removed_fraction` as a float, or say what is wrong with it.

    Raises:
        UserError: if it is not a number in [0, 0.95].
    """
    try:
        value = float(removed_fraction)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= MAX_REMOVED_FRACTION:
        raise UserError(
            f"The removed fraction must be a number from 0 to {MAX_REMOVED_FRACTION} (0.2 removes a fifth of the "
            f"weights), but {removed_fraction!r} was given."
        )
    return value


def dense_bits(out_features: int, in_features: int) -> int:
    """Bits of the original weight."""
    return VALUE_BITS * out_features * in_features


def low_rank_bits(out_features: int, in_features: int, rank: int) -> int:
    """Bits of two factors, (n, r) and (r, m)."""
    return VALUE_BITS * rank * (out_features + in_features)


def mixed_low_rank_bits(out_features: int, in_features: int, rank: int) -> int:
    """Bits of two factors whose first min(m, n) rows are kept in 8 bits, with a 16-bit scale for each of 2·r columns.

    The |m − n| other rows of the longer factor take 16 bits: r·(16·max(m, n) + 32) in all.

    Source: Dobi-SVD (2502.02723), section 3.3; the scales, which the paper leaves out, are counted.
    """
    shorter, longer = sorted((out_features, in_features))
    return rank * (2 * 8 * shorter + VALUE_BITS * (longer - shorter) + 2 * VALUE_BITS)


def dictionary_bits(out_features: int, in_features: int, num_atoms: int, nonzeros_per_column: int) -> int:
    """Bits of a dictionary (m, k), s values for each of the n columns, and a bit mask of k·n bits in whole bytes.

    Source: COMPOT (2602.15200), Eq. 11.
    """
    values = in_features * num_atoms + nonzeros_per_column * out_features
    return VALUE_BITS * values + 8 * math.ceil(num_atoms * out_features / 8)


def two_of_four_bits(out_features: int, in_features: int) -> int:
    """Bits of a 2:4 pattern: 16 for each of the n·m/2 values, and 2 for the place of each, in whole bytes.

    Source: Accelerating sparse deep neural networks (2104.08378), section 2.
    """
    kept = out_features * in_features // 2
    return VALUE_BITS * kept + 8 * math.ceil(2 * kept / 8)


def quantized_bits(out_features: int, in_features: int, bits: int, group: int, symmetric: bool) -> int:
    """Bits of codes, and for each group of a row a 16-bit scale and, unless symmetric, a zero point like a code.

    Codes and zero points are packed without gaps, each in whole bytes.

    Args:
        out_features: n.
        in_features: m.
        bits: of a code.
        group: weights of a row that share a scale.
        symmetric: whether there are no zero points.
    """
    groups = out_features * math.ceil(in_features / group)
    zeros = 0 if symmetric else 8 * math.ceil(bits * groups / 8)
    return 8 * math.ceil(bits * out_features * in_features / 8) + VALUE_BITS * groups + zeros


def dense_flops(out_features: int, in_features: int) -> int:
    """FLOPs a token of a dense layer: a multiplication and an addition for each of m·n weights, bias left out."""
    return 2 * out_features * in_features


def low_rank_flops(out_features: int, in_features: int, rank: int) -> int:
    """FLOPs a token of two products with factors (r, m) and (n, r): 2·r·(m + n)."""
    return 2 * rank * (out_features + in_features)


def dictionary_flops(out_features: int, in_features: int, num_atoms: int, nonzeros_per_column: int) -> int:
    """FLOPs a token of ``(x D) S`` with the zeros of S skipped: 2·(m·k + s·n).

    What a sparse kernel as efficient as a dense one would need, and what COMPOT (2602.15200) compares by.
    """
    return 2 * (in_features * num_atoms + nonzeros_per_column * out_features)


def two_of_four_flops(out_features: int, in_features: int) -> int:
    """FLOPs a token with the zeros skipped, as hardware for such patterns does: n·m; a CPU takes twice as many."""
    return dense_flops(out_features, in_features) // 2


def alternation_flops(out_features: int, in_features: int, num_atoms: int) -> int:
    """FLOPs of one alternation of a dictionary factorisation, 4·m·n·k: the products ``Dᵀ T`` and ``T Sᵀ`` alone.

    Nominal: selection and the dictionary's update come on top, and zeros of S count.
    """
    return 4 * in_features * out_features * num_atoms


def break_even_rank(out_features: int, in_features: int) -> int:
    """Largest rank whose two factors are no larger than the weight: floor(m·n / (m + n))."""
    return out_features * in_features // (out_features + in_features)


def rank_for(out_features: int, in_features: int, removed_fraction: float) -> int:
    """Largest rank that removes at least `removed_fraction` of the weight; at least 1."""
    kept = (1 - removed_fraction) * out_features * in_features
    return max(1, math.floor(kept / (out_features + in_features) + 1e-9))


def mixed_rank_for(out_features: int, in_features: int, removed_fraction: float) -> int:
    """Largest rank of factors in 8 and 16 bits that removes at least `removed_fraction`; from 1 to min(m, n)."""
    kept = (1 - removed_fraction) * dense_bits(out_features, in_features)
    rank = math.floor(kept / mixed_low_rank_bits(out_features, in_features, 1) + 1e-9)
    return max(1, min(rank, out_features, in_features))


@dataclass(frozen=True)
class DictionarySize:
    """Atoms k, nonzeros a column s, and a sentence where the plain rule had to be bent."""

    num_atoms: int
    nonzeros_per_column: int
    note: str | None = None


def dictionary_size_for(
    out_features: int, in_features: int, removed_fraction: float, atoms_per_nonzero: float = 2.0
) -> DictionarySize:
    """Largest sparse dictionary that removes at least `removed_fraction`, with k/s = `atoms_per_nonzero`.

    ``k = kept·m·n / (m + n/(k/s) + n/16)``; k is clipped to m (and to n: more atoms than columns are
    of no use); whatever the budget then still holds goes to s, and what is left of that to a few more atoms.

    Args:
        out_features: n.
        in_features: m.
        removed_fraction: in [0, 0.95].
        atoms_per_nonzero: k/s, at least 1.

    Raises:
        UserError: if k/s is below 1 or the budget does not hold a single atom.

    Source: COMPOT (2602.15200), Eq. 11 solved for k.
    """
    if not atoms_per_nonzero >= 1:
        raise UserError(f"Atoms per nonzero (k/s) must be at least 1, but {atoms_per_nonzero} was given.")
    n, m = out_features, in_features
    kept_bits = (1 - removed_fraction) * dense_bits(n, m)
    ideal = kept_bits / VALUE_BITS / (m + n / atoms_per_nonzero + n / VALUE_BITS)
    limit = min(m, n)
    num_atoms = min(limit, math.floor(ideal + 1e-9))
    if num_atoms < 1:
        raise UserError(
            f"A {n} × {m} weight cannot be stored as a dictionary with {removed_fraction:.0%} removed: not one atom "
            "fits; choose a smaller removed fraction."
        )
    mask_bits = 8 * math.ceil(num_atoms * n / 8)
    left = kept_bits - VALUE_BITS * m * num_atoms - mask_bits
    nonzeros = max(1, min(num_atoms, math.floor(left / (VALUE_BITS * n) + 1e-9)))
    left -= VALUE_BITS * n * nonzeros
    num_atoms = min(limit, num_atoms + max(0, math.floor((left - 8) / (VALUE_BITS * m + n))))
    note = None
    if ideal > limit + 1:
        note = f"atoms clipped from {math.floor(ideal)} to {limit}, the smaller of in and out; nonzeros got the rest"
    return DictionarySize(num_atoms, nonzeros, note)


def removed_fraction(stored_bits: float, original_bits: float) -> float:
    """1 − stored ÷ original; 0 for an empty original."""
    return 1 - stored_bits / original_bits if original_bits else 0.0


def average_removed_fraction(sites: tuple[LinearSite, ...], removed_fractions: dict[str, float]) -> float:
    """Removed fraction over all sites, each weighted by its number of weights."""
    total = sum(site.num_weights for site in sites)
    return sum(site.num_weights * removed_fractions[site.name] for site in sites) / total if total else 0.0
