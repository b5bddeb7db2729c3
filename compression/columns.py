"""One column of a weight as two compressed layers see it: the energy that each captures, term by term."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from compression.analysis import LEAST_LOST, ColumnInfo
from compression.linalg import Whitening
from compression.modules import DictionaryLinear, LowRankLinear

BINS_PER_DECADE = 8


def column_info(
    weight: Tensor, whitening: Whitening, low_rank: LowRankLinear, dictionary: DictionaryLinear
) -> ColumnInfo | None:
    """Compare a low-rank and a dictionary layer on every column of ``A = Wᵀ``, and in detail on a typical one.

    Everything is measured on the 16-bit values that the layers store, in float64 in the space ``LᵀA``. There the
    directions of SVD-LLM and the atoms of COMPOT are orthonormal up to that rounding, so that the steps of the curves
    are the squared coefficients; where a layer's atoms are not (after a refit), the curves are still true, since they
    are the errors of partial sums.

    Args:
        weight: W, (out, in).
        whitening: of the site's inputs.
        low_rank: the site as a low-rank layer.
        dictionary: the site as a dictionary layer.

    Returns:
        None if no column has any energy.
    """
    target = whitening.whiten(weight.T)
    columns = (target.square().sum(0) > 0).nonzero().flatten()
    if not len(columns):
        return None
    by_low_rank, by_dictionary = (
        captured_energy(target[:, columns], whitening.whiten(layer.dense_weight()[columns].T))
        for layer in (low_rank, dictionary)
    )
    gains = by_dictionary - by_low_rank
    typical = int(columns[gains.argsort(stable=True)[(len(gains) - 1) // 2]])
    column, mask = target[:, typical], dictionary.mask()[typical]
    atoms = whitening.whiten(dictionary.dictionary)
    used = _descending(atoms[:, mask] * dictionary.codes()[typical, mask].double())
    shared = whitening.whiten(low_rank.input_factor) * low_rank.output_factor[:, typical].double()
    logarithms = [(1 - captured).clamp(LEAST_LOST, 1).log10() for captured in (by_low_rank, by_dictionary)]
    edges = _edges(torch.cat(logarithms))
    return ColumnInfo(
        index=typical,
        low_rank=_rounded(captured_by_terms(column, _descending(shared))),
        dictionary=_rounded(captured_by_terms(column, used)),
        more_atoms=_rounded(captured_by_more(column, used, atoms[:, ~mask])),
        num_columns=len(columns),
        ahead=(gains > 0).double().mean().item(),
        low_rank_median=_rounded(by_low_rank.quantile(0.5))[0],
        dictionary_median=_rounded(by_dictionary.quantile(0.5))[0],
        lost_edges=_rounded(10**edges),
        low_rank_counts=_counts(logarithms[0], edges),
        dictionary_counts=_counts(logarithms[1], edges),
    )


def captured_energy(target: Tensor, approximation: Tensor) -> Tensor:
    """``1 − ‖t − t̂‖² ÷ ‖t‖²`` of each column of two (m, n); (n,). Columns of the target must not be zero."""
    return 1 - (target - approximation).square().sum(0) / target.square().sum(0)


def captured_by_terms(column: Tensor, terms: Tensor) -> Tensor:
    """What the sum of the first 1, 2, …, t columns of `terms` (m, t) captures of a column (m,); (t,)."""
    return captured_energy(column[:, None], terms.cumsum(1))


def captured_by_more(column: Tensor, used: Tensor, others: Tensor) -> Tensor:
    """What the directions in use capture of a column with 1, 2, … more beside them, by least squares.

    The others join in the order of their correlation with what is still missing: for orthonormal directions the best
    choice at every number.

    Args:
        column: (m,).
        used: (m, s); lengths do not matter.
        others: (m, k − s), k ≤ m.

    Returns:
        (k − s,), non-decreasing.
    """
    missing = column - used.sum(1)
    correlation = (others.T @ missing).square() / others.square().sum(0).clamp_min(torch.finfo(others.dtype).tiny)
    order = correlation.argsort(descending=True, stable=True)
    # Unit lengths first: atoms that were hardly used would be lost beside large ones.
    directions = torch.nn.functional.normalize(torch.cat([used, others[:, order]], 1), dim=0)
    orthonormal, _ = torch.linalg.qr(directions)
    captured = (orthonormal.T @ column).square().cumsum(0) / column.square().sum()
    return captured[used.shape[1] :]


def _descending(terms: Tensor) -> Tensor:
    return terms[:, terms.square().sum(0).argsort(descending=True, stable=True)]


def _edges(logarithms: Tensor) -> Tensor:
    """The multiples of a bin's width around all values, float64; at least one bin."""
    first = math.floor(logarithms.min().item() * BINS_PER_DECADE)
    last = max(first + 1, math.ceil(logarithms.max().item() * BINS_PER_DECADE))
    return torch.arange(first, last + 1, dtype=torch.float64) / BINS_PER_DECADE


def _counts(logarithms: Tensor, edges: Tensor) -> tuple[int, ...]:
    return tuple(int(count) for count in torch.histogram(logarithms, edges).hist)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values.flatten().tolist())
