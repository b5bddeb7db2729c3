"""Sparse coding with a free dictionary, and its update: orthogonal matching pursuit and K-SVD.

Both work on ``T ≈ D S`` with unit-norm, otherwise arbitrary, columns of D. As in `compression.methods.compot`, S is kept
transposed, one row for each column of T. Everything is tuned for one thread, since sites run side by side
(`compression.parallel`).
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_STEPS = 32
"""Steps of the pursuit between two updates of the whole residual Gram matrix."""
CHUNK_BYTES = 32 * 2**20
"""Size of the residual Gram matrices of the columns that are coded together."""
DEPENDENT = 64.0
"""An atom is dependent on those chosen if what they leave of its square, 1, is below this many units of rounding."""


def orthogonal_matching_pursuit(target: Tensor, dictionary: Tensor, nonzeros: int) -> tuple[Tensor, Tensor]:
    """Code every column by orthogonal matching pursuit: choose the atom nearest to the residual, refit, repeat.

    Only products with the dictionary are needed (Batch-OMP). Write q₁, q₂, … for the chosen atoms, orthonormalised in
    the order of choice. Each step keeps ``α = Dᵀr``, r the residual, and ``R = Dᵀ(I − QQᵀ)D``, what the chosen atoms
    leave of the dictionary's Gram matrix: choosing atom i adds ``p = Dᵀq = R_i ÷ √R_ii``, takes ``c = α_i ÷ √R_ii`` times
    p from α and ``p pᵀ`` from R. In the end ``S_chosen = C⁻ᵀ c`` with C the Cholesky factor of the chosen atoms' Gram
    matrix, which is read off the p's.

    One row of R a step is all that is looked at, so R is updated by `BLOCK_STEPS` steps at once, in one product, and a
    row is brought up to date with the p's of its own block when it is chosen: most of the work is then done at the
    speed of matrix products.

    Args:
        target: T, (m, n), float32 or float64.
        dictionary: D, (m, k), unit-norm columns.
        nonzeros: s, from 1 to k.

    Returns:
        Sᵀ, (n, k), and a boolean mask (n, k) with s true entries in every row; S is zero outside it. It is also zero
        for atoms chosen when nothing was left to code or when they depended numerically on those chosen before.

    Source: Rubinstein, Zibulevsky, Elad (2008), Efficient implementation of the K-SVD algorithm using Batch-OMP; the
    blocks are ours, after the pivoted Cholesky factorisation of LAPACK.
    """
    gram = dictionary.T @ dictionary
    correlations = target.T @ dictionary
    codes = torch.zeros_like(correlations)
    chosen = torch.empty(len(codes), nonzeros, dtype=torch.int64, device=codes.device)
    chunk = max(1, CHUNK_BYTES // (gram.numel() * gram.element_size()))
    for part in torch.arange(len(codes), device=codes.device).split(chunk):
        rows = slice(int(part[0]), int(part[-1]) + 1)
        chosen[rows], values = _pursue(gram, correlations[rows], nonzeros)
        codes[rows].scatter_(1, chosen[rows], values)
    return codes, torch.zeros_like(codes, dtype=torch.bool).scatter_(1, chosen, True)


def _pursue(gram: Tensor, correlations: Tensor, nonzeros: int) -> tuple[Tensor, Tensor]:
    """Chosen atoms and their coefficients, both (columns, s), of a few columns; `correlations` is used up."""
    columns, atoms = correlations.shape
    tolerance = DEPENDENT * torch.finfo(gram.dtype).eps
    first_row = torch.arange(columns, device=gram.device)[:, None] * atoms
    alpha = correlations
    excluded = torch.zeros_like(alpha)
    projections = alpha.new_empty(columns, nonzeros, atoms)
    coefficients = alpha.new_empty(columns, nonzeros)
    chosen = torch.empty(columns, nonzeros, dtype=torch.int64, device=gram.device)
    residual_gram = gram
    for start in range(0, nonzeros, BLOCK_STEPS):
        stop = min(start + BLOCK_STEPS, nonzeros)
        for step in range(start, stop):
            new = _row_argmax(alpha.abs().add_(excluded))[:, None]
            place = new + first_row if start else new
            row = residual_gram.view(-1, atoms).index_select(0, place[:, 0])
            if step > start:
                block = projections[:, start:step]
                weights = block.gather(2, new[:, None].expand(-1, step - start, 1))
                row[:, None].baddbmm_(weights.mT, block, alpha=-1)
            left = row.gather(1, new)
            scale = torch.where(left > tolerance, left.clamp_min(tolerance).rsqrt(), 0)
            coefficient = alpha.gather(1, new).mul_(scale)
            projections[:, step] = row.mul_(scale)
            alpha.addcmul_(row, coefficient, value=-1)
            excluded.scatter_(1, new, -torch.inf)
            chosen[:, step], coefficients[:, step] = new[:, 0], coefficient[:, 0]
        if stop < nonzeros:
            block = projections[:, start:stop]
            if start:
                residual_gram.baddbmm_(block.mT, block, alpha=-1)
            else:
                residual_gram = torch.baddbmm(gram.expand(columns, -1, -1), block.mT, block, alpha=-1)
    factor = projections.gather(2, chosen[:, None].expand(-1, nonzeros, -1))
    diagonal = factor.diagonal(dim1=1, dim2=2)
    # A dependent atom has the coefficient zero and no projection: any other diagonal gives it the value zero.
    diagonal.masked_fill_(diagonal == 0, 1)
    values = torch.linalg.solve_triangular(factor, coefficients[:, :, None], upper=True)
    return chosen, values[:, :, 0]


def _row_argmax(matrix: Tensor) -> Tensor:
    if matrix.device.type == "cpu":
        # numpy's is vectorised, and ten times as fast as torch's.
        return torch.from_numpy(matrix.numpy().argmax(1))
    return matrix.argmax(1)


def ksvd_step(target: Tensor, dictionary: Tensor, codes: Tensor, power_iterations: int) -> tuple[Tensor, Tensor]:
    """One sweep of K-SVD: each atom in turn, with its coefficients, becomes the best one for the columns that use it.

    For atom d with coefficients g, the target's columns that use it and the error E that all *other* atoms leave in
    them, the best ``d gᵀ`` is the leading singular pair of E, towards which `power_iterations` of ``d ← E g ÷ ‖E g‖,
    g ← Eᵀd`` lead from the present one. Each of them is a least-squares fit, so the error never rises. The supports of
    the codes stay.

    An atom that no column uses is replaced by the direction in which the worst represented column is off, a different
    column for each such atom: it costs nothing now, and the next coding has use for it.

    Args:
        target: T, (m, n).
        dictionary: D, (m, k), unit-norm columns.
        codes: Sᵀ, (n, k).
        power_iterations: at least 1.

    Returns:
        The new D and Sᵀ.

    Source: Aharon, Elad, Bruckstein (2006), K-SVD; the power iteration as in CoSpaDi (2509.22075).
    """
    residual = torch.addmm(target.T, codes, dictionary.T, alpha=-1)
    atoms, coefficients = dictionary.T.contiguous(), codes.T.contiguous()
    replaced: list[int] = []
    for atom, weights in zip(atoms, coefficients, strict=True):
        users = weights.nonzero()[:, 0]
        if not len(users):
            energies = residual.square().sum(1)
            energies[replaced] = 0
            worst = int(energies.argmax())
            if energies[worst] > 0:
                replaced.append(worst)
                atom.copy_(residual[worst] / residual[worst].norm())
            continue
        error = residual.index_select(0, users)
        weight = weights[users]
        error.addr_(weight, atom)
        for _ in range(power_iterations):
            direction = weight @ error
            norm = direction.norm()
            if not norm > 0:
                break
            atom.copy_(direction.div_(norm))
            weight = error @ atom
        weights[users] = weight
        residual.index_copy_(0, users, error.addr_(weight, atom, alpha=-1))
    return atoms.T.contiguous(), coefficients.T.contiguous()
