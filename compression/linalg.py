"""Pure tensor mathematics: damped Cholesky, whitening, truncated SVD, Procrustes, hard threshold.

Everything here is free of models, methods and accounting. Factorisations run in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compression.errors import UserError

INITIAL_DAMPING = 1e-8
MAX_DAMPING = 1e-1
POLAR_CONDITION_LIMIT = 1e-10
"""Smallest ratio of eigenvalues of MᵀM at which the Gram route to the polar factor is trusted."""


@dataclass(frozen=True)
class Whitening:
    """Cholesky factor of a Gram matrix: ``‖X E‖_F = ‖Lᵀ E‖_F`` for any E with m rows.

    Attributes:
        cholesky_factor: L, (m, m), lower, float64, ``L Lᵀ = G + damping·mean(diag G)·I``.
        damping_fraction: the damping that was needed, as a fraction of the mean diagonal.
    """

    cholesky_factor: Tensor
    damping_fraction: float

    @classmethod
    def from_gram(cls, gram: Tensor) -> Whitening:
        """Factor ``G + εI``; ε starts at 1e-8 of the mean diagonal and grows tenfold until it succeeds.

        Args:
            gram: (m, m), symmetric positive semi-definite.

        Raises:
            UserError: if the matrix holds NaN or infinity, is all zero, or never becomes definite.

        Source: SVD-LLM (2403.07378), section 3.1; the relative jitter is ours.
        """
        symmetric = gram.double()
        symmetric = (symmetric + symmetric.T) / 2
        mean_diagonal = symmetric.diagonal().mean().item()
        if not torch.isfinite(symmetric).all():
            raise UserError(
                "The calibration activations hold NaN or infinite values: expected finite numbers; check the model."
            )
        if mean_diagonal <= 0:
            raise UserError(
                "The calibration activations of a site are all zero: expected some signal; use a longer or other text."
            )
        damping = INITIAL_DAMPING
        identity = torch.eye(len(symmetric), dtype=torch.float64, device=symmetric.device)
        while damping <= MAX_DAMPING:
            factor, failed = torch.linalg.cholesky_ex(symmetric + damping * mean_diagonal * identity)
            if not failed.item():
                return cls(factor, damping)
            damping *= 10
        raise UserError(
            "The Gram matrix of a site stayed indefinite with a tenth of its mean diagonal added: expected a positive "
            "semi-definite matrix; use a longer calibration text."
        )

    def whiten(self, matrix: Tensor) -> Tensor:
        """``Lᵀ A`` for A (m, n), in float64."""
        return self.cholesky_factor.T @ matrix.double()

    def unwhiten(self, matrix: Tensor) -> Tensor:
        """``L⁻ᵀ B`` for B (m, k), by a triangular solve."""
        return torch.linalg.solve_triangular(self.cholesky_factor.T, matrix.double(), upper=True)


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values of (m, n), descending, float64, from the eigenvalues of the smaller Gram matrix.

    About ten times faster than an SVD; values below 1e-8 of the largest are not resolved.
    """
    work = matrix.double()
    if work.shape[0] > work.shape[1]:
        work = work.T
    return torch.linalg.eigvalsh(work @ work.T).clamp_min(0).sqrt().flip(0)


def leading_left_singular_vectors(matrix: Tensor, count: int) -> Tensor:
    """The `count` leading left singular vectors of (m, n) as (m, count), float64; count ≤ min(m, n)."""
    work = matrix.double()
    rows, columns = work.shape
    if rows <= columns:
        return torch.linalg.eigh(work @ work.T).eigenvectors[:, -count:].flip(1)
    right = torch.linalg.eigh(work.T @ work).eigenvectors[:, -count:].flip(1)
    # QR instead of dividing by the singular values: stays orthonormal where they vanish.
    return _sign_fixed_qr(work @ right)


def _sign_fixed_qr(matrix: Tensor) -> Tensor:
    orthonormal, triangular = torch.linalg.qr(matrix)
    signs = torch.where(triangular.diagonal() < 0, -1.0, 1.0).to(orthonormal.dtype)
    return orthonormal * signs


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Best rank-`rank` approximation ``left @ right`` of (m, n) in the Frobenius norm.

    Returns:
        left (m, rank) with orthonormal columns and right (rank, n) = leftᵀ · matrix, both float64.
    """
    left = leading_left_singular_vectors(matrix, rank)
    return left, left.T @ matrix.double()


def orthogonal_procrustes(matrix: Tensor) -> Tensor:
    """The matrix with orthonormal columns nearest to (m, k), m ≥ k: ``P Qᵀ`` of its SVD ``P Σ Qᵀ``.

    Through ``M (MᵀM)^{-1/2}`` in float64 where that is well conditioned (about twice as fast as the SVD, orthonormal
    to 1e-6 at the limit), through the SVD otherwise. Rank-deficient input (unused atoms) gets an arbitrary but
    orthonormal completion.

    Source: COMPOT (2602.15200), the closed-form dictionary update.
    """
    work = matrix.double()
    eigenvalues, vectors = torch.linalg.eigh(work.T @ work)
    if eigenvalues[0] > POLAR_CONDITION_LIMIT * eigenvalues[-1]:
        return work @ ((vectors * eigenvalues.rsqrt()) @ vectors.T)
    left, _, right = torch.linalg.svd(work, full_matrices=False)
    return left @ right


def hard_threshold_rows(matrix: Tensor, nonzeros_per_row: int) -> Tensor:
    """Keep the `nonzeros_per_row` entries of largest magnitude in each row, zero the rest; ties at the edge all stay.

    Args:
        matrix: (n, k).
        nonzeros_per_row: s, from 1 to k.
    """
    magnitudes = matrix.abs()
    place = matrix.shape[1] - nonzeros_per_row
    if matrix.device.type == "cpu":
        # numpy's vectorised selection is about four times as fast as torch's.
        smallest_kept = torch.from_numpy(np.partition(magnitudes.numpy(), place, axis=1)[:, place, None])
    else:
        smallest_kept = magnitudes.kthvalue(place + 1, dim=1, keepdim=True).values
    return matrix.masked_fill(magnitudes < smallest_kept, 0)


def top_magnitude_mask(matrix: Tensor, nonzeros_per_row: int) -> Tensor:
    """Boolean (n, k): the s entries of largest magnitude in each row; exactly s a row, ties too."""
    indices = matrix.abs().topk(nonzeros_per_row, dim=1, sorted=False).indices
    return torch.zeros_like(matrix, dtype=torch.bool).scatter_(1, indices, True)


def balance_factors(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Rescale component i of ``left @ right`` so that both sides have the same largest magnitude.

    By powers of two, so the product changes by nothing but float rounding; keeps 16-bit storage far
    from overflow and underflow.

    Args:
        left: (m, r).
        right: (r, n).
    """
    largest_left = left.abs().amax(0).clamp_min(torch.finfo(left.dtype).tiny)
    largest_right = right.abs().amax(1).clamp_min(torch.finfo(right.dtype).tiny)
    exponent = (0.5 * (largest_right.log2() - largest_left.log2())).round().clamp(-64, 64)
    scale = torch.exp2(exponent)
    return left * scale, right / scale[:, None]
