"""COMPOT: a sparse factorisation with an orthonormal dictionary in the whitened space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compression import accounting
from compression.calibration import SiteStatistics
from compression.linalg import (
    hard_threshold_columns,
    leading_left_singular_vectors,
    orthogonal_procrustes,
    top_magnitude_mask,
)
from compression.methods.base import CompressionMethod, SiteResult, damping_notes, register, setting
from compression.modules import DictionaryLinear


@dataclass(frozen=True)
class SparseFactors:
    """``target ≈ dictionary @ coefficients``.

    Attributes:
        dictionary: (m, k), orthonormal columns.
        coefficients: (k, n), zero outside `mask`.
        mask: boolean (k, n), the same number of true entries in every column.
        convergence: ‖target − D S‖² ÷ ‖target‖² after each coding, the first from the SVD start.
    """

    dictionary: Tensor
    coefficients: Tensor
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
    coefficients = hard_threshold_columns(dictionary.T @ target, nonzeros_per_column)
    convergence = [_relative_error(coefficients, energy)]
    for _ in range(iterations):
        dictionary = orthogonal_procrustes(target @ coefficients.T).to(target.dtype)
        coefficients = hard_threshold_columns(dictionary.T @ target, nonzeros_per_column)
        convergence.append(_relative_error(coefficients, energy))
    mask = top_magnitude_mask(coefficients, nonzeros_per_column)
    return SparseFactors(dictionary, coefficients, mask, tuple(convergence))


def _relative_error(coefficients: Tensor, energy: float) -> float:
    return max(0.0, 1 - coefficients.square().sum().item() / energy)


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
        layer = DictionaryLinear(dictionary, factors.coefficients.double(), factors.mask, bias)
        notes = damping_notes(whitening) + ((size.note,) if size.note else ())
        return SiteResult(layer, factors.convergence, notes)
