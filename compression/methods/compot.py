"""COMPOT: a sparse factorisation with an orthonormal dictionary in the whitened space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compression import accounting
from compression.calibration import SiteStatistics
from compression.linalg import (
    hard_threshold_rows,
    leading_left_singular_vectors,
    orthogonal_procrustes,
    top_magnitude_mask,
)
from compression.methods.base import CompressionMethod, SiteResult, damping_notes, register, setting
from compression.modules import DictionaryLinear


@dataclass(frozen=True)
class SparseFactors:
    """``target ≈ dictionary @ codes.T``: S, (k, n) in the paper, is kept transposed, one row for each output.

    Attributes:
        dictionary: D, (m, k), orthonormal columns.
        codes: Sᵀ, (n, k), zero outside `mask`.
        mask: boolean (n, k), the same number of true entries in every row.
        convergence: ‖target − D S‖² ÷ ‖target‖² after each coding, the first from the SVD start.
    """

    dictionary: Tensor
    codes: Tensor
    mask: Tensor
    convergence: tuple[float, ...]


def factorise(target: Tensor, num_atoms: int, nonzeros_per_column: int, iterations: int) -> SparseFactors:
    """Alternate exact sparse coding and the closed-form dictionary until `iterations` are done.

    Start: D = leading left singular vectors. Coding: ``Z = Dᵀ target``, keep the s largest of each column;
    exact because D is orthonormal, and the error is ``‖target‖² − ‖S‖²``. Dictionary: ``D = P Qᵀ`` of
    ``target · Sᵀ = P Σ Qᵀ`` (orthogonal Procrustes). Neither step can raise the error. Coding and products run in
    the precision of `target`, the Procrustes step in float64.

    Args:
        target: (m, n).
        num_atoms: k, at most min(m, n).
        nonzeros_per_column: s, at most k.
        iterations: number of dictionary updates; a last coding follows.

    Source: COMPOT (2602.15200), algorithm 1.
    """
    energy = target.square().sum().item() or 1.0
    dictionary = leading_left_singular_vectors(target, num_atoms).to(target.dtype)
    codes = hard_threshold_rows(target.T @ dictionary, nonzeros_per_column)
    convergence = [_relative_error(codes, energy)]
    for _ in range(iterations):
        dictionary = orthogonal_procrustes(target @ codes).to(target.dtype)
        codes = hard_threshold_rows(target.T @ dictionary, nonzeros_per_column)
        convergence.append(_relative_error(codes, energy))
    mask = top_magnitude_mask(codes, nonzeros_per_column)
    return SparseFactors(dictionary, codes.masked_fill(~mask, 0), mask, tuple(convergence))


def _relative_error(codes: Tensor, energy: float) -> float:
    return max(0.0, 1 - codes.square().sum().item() / energy)


@register
@dataclass(frozen=True)
class COMPOT(CompressionMethod):
    """``LᵀA ≈ D S`` with ``DᵀD = I`` and s nonzeros in each column of S; stored as ``L⁻ᵀD``, S and a bit mask."""

    name = "compot"
    title = "COMPOT"
    description = "Sparse dictionary factorisation: every output picks its own few atoms of an orthonormal dictionary."
    source = "COMPOT (2602.15200), algorithm 1 and Eq. 11"

    iterations: int = setting(20, "Alternations", 0, 200)
    atoms_per_nonzero: float = setting(2.0, "Atoms per nonzero (k/s)", 1.0, 8.0)

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Factor in the whitened space in float32, un-whiten in float64, store in 16 bits."""
        assert statistics is not None
        out_features, in_features = weight.shape
        size = accounting.dictionary_size_for(out_features, in_features, removed_fraction, self.atoms_per_nonzero)
        whitening = statistics.whitening
        target = whitening.whiten(weight.T).to(torch.float32)
        factors = factorise(target, size.num_atoms, size.nonzeros_per_column, self.iterations)
        dictionary = whitening.unwhiten(factors.dictionary)
        layer = DictionaryLinear(dictionary, factors.codes.double(), factors.mask, bias)
        notes = damping_notes(whitening) + ((size.note,) if size.note else ())
        return SiteResult(layer, factors.convergence, notes)
