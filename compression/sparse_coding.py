"""Sparse coding with a free dictionary, and its update: orthogonal matching pursuit and K-SVD.

Both work on ``T ≈ D S`` with unit-norm, otherwise arbitrary, columns of D. As in `compression.methods.compot`, S is
kept transposed, one row for each column of T. Everything is tuned for one thread, since sites run side by side
(`compression.parallel`).
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_STEPS = 32
"""Steps of the pursuit that are prepared together."""
CANDIDATES = 2
"""Atoms prepared for a block, a step of it. On whitened layers one choice in a hundred falls outside."""
CHUNK_BYTES = 32 * 2**20
"""Size of the projections of the columns that are coded together."""
DEPENDENT = 64.0
"""An atom is dependent on those chosen if what they leave of its square, 1, is below this many units of rounding."""


def orthogonal_matching_pursuit(target: Tensor, dictionary: Tensor, nonzeros: int) -> tuple[Tensor, Tensor]:
    """Code every column by orthogonal matching pursuit: choose the atom nearest to the residual, refit, repeat.

    Only products with the dictionary are needed (Batch-OMP). Write q₁, q₂, … for the chosen atoms, orthonormalised in
    the order of choice, ``p_j = Dᵀq_j`` for their projections, and α = Dᵀr, r the residual. What the chosen atoms leave
    of the dictionary's Gram matrix G is ``R = G − Σ p_j p_jᵀ``. Choosing atom i adds the projection ``p = R_i ÷ √R_ii``
    and takes ``c = α_i ÷ √R_ii`` times p from α. In the end ``S_chosen = C⁻ᵀ c``, C the Cholesky factor of the chosen
    atoms' Gram matrix, which is read off the projections.

    The row R_i is all the work, and the step that needs it reads every earlier projection for a few operations. So rows
    are made ahead, for `BLOCK_STEPS` steps in one matrix product: those of the atoms with the largest |α|, from which
    the next choices nearly always come. A chosen row then only misses the projections of its own block; a choice from
    outside gets its row by itself. The result does not depend on it.

    Args:
        target: T, (m, n), float32 or float64.
        dictionary: D, (m, k), unit-norm columns.
        nonzeros: s, from 1 to k.

    Returns:
        Sᵀ, (n, k), and a boolean mask (n, k) with s true entries in every row; S is zero outside it. It is also zero
        for atoms chosen when nothing was left to code or when they depended numerically on those chosen before.

    Source: Rubinstein, Zibulevsky, Elad (2008), Efficient implementation of the K-SVD algorithm using Batch-OMP; the
    blocks are ours.
    """
    gram = dictionary.T @ dictionary
    correlations = target.T @ dictionary
    codes = torch.zeros_like(correlations)
    mask = torch.zeros_like(codes, dtype=torch.bool)
    chunk = max(1, CHUNK_BYTES // (nonzeros * gram[0].nbytes))
    for part, code, used in zip(correlations.split(chunk), codes.split(chunk), mask.split(chunk), strict=True):
        chosen, values = _pursue(gram, part, nonzeros)
        code.scatter_(1, chosen, values)
        used.scatter_(1, chosen, True)
    return codes, mask


def _pursue(gram: Tensor, alpha: Tensor, nonzeros: int) -> tuple[Tensor, Tensor]:
    """Chosen atoms and their coefficients, both (columns, s), for α = Dᵀt of some columns; α is used up."""
    columns, atoms = alpha.shape
    tolerance = DEPENDENT * torch.finfo(gram.dtype).eps
    excluded = torch.zeros_like(alpha)
    projections = alpha.new_empty(columns, nonzeros, atoms)
    coefficients = alpha.new_empty(columns, nonzeros)
    chosen = torch.empty(columns, nonzeros, dtype=torch.int64, device=gram.device)
    for start in range(0, nonzeros, BLOCK_STEPS):
        stop = min(start + BLOCK_STEPS, nonzeros)
        count = min(CANDIDATES * (stop - start), atoms - start)
        rows, places = _prepare_rows(gram, projections[:, :start], alpha.abs().add_(excluded), count)
        for step in range(start, stop):
            new = _row_argmax(alpha.abs().add_(excluded))[:, None]
            place = places.gather(1, new)[:, 0]
            row = rows.index_select(0, place.clamp_min(0))
            if start and int(place.min()) < 0:
                for column in (place < 0).nonzero()[:, 0].tolist():
                    earlier, atom = projections[column, :start], int(new[column])
                    torch.addmv(gram[atom], earlier.T, earlier[:, atom], alpha=-1, out=row[column])
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
    factor = projections.gather(2, chosen[:, None].expand(-1, nonzeros, -1))
    diagonal = factor.diagonal(dim1=1, dim2=2)
    # A dependent atom has the coefficient zero and no projection: any other diagonal gives it the value zero.
    diagonal.masked_fill_(diagonal == 0, 1)
    values = torch.linalg.solve_triangular(factor, coefficients[:, :, None], upper=True)
    return chosen, values[:, :, 0]


def _prepare_rows(gram: Tensor, projections: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows of ``R = G − Σ p pᵀ`` for the `count` best atoms of each column, and where they are.

    Args:
        gram: G, (k, k).
        projections: p so far, (columns, steps, k).
        scores: what makes an atom likely to be chosen, (columns, k).
        count: rows a column.

    Returns:
        rows, (·, k), and for each column and atom the index of its row, or −1, (columns, k). Without projections the
        rows are those of G, all of them.
    """
    columns, atoms = scores.shape
    if not projections.shape[1]:
        return gram, torch.arange(atoms, device=gram.device).expand(columns, -1)
    candidates = _row_largest(scores, count)
    rows = gram.index_select(0, candidates.flatten()).view(columns, count, atoms)
    weights = projections.gather(2, candidates[:, None].expand(-1, projections.shape[1], -1))
    rows.baddbmm_(weights.mT, projections, alpha=-1)
    order = torch.arange(columns * count, device=gram.device).view(columns, count)
    return rows.view(-1, atoms), torch.full_like(scores, -1, dtype=torch.int64).scatter_(1, candidates, order)


def _row_argmax(matrix: Tensor) -> Tensor:
    if matrix.device.type == "cpu":
        # numpy's is vectorised, and ten times as fast as torch's.
        return torch.from_numpy(matrix.numpy().argmax(1))
    return matrix.argmax(1)


def _row_largest(matrix: Tensor, count: int) -> Tensor:
    """Places of the `count` largest entries of each row, in any order."""
    if matrix.device.type == "cpu":
        place = matrix.shape[1] - count
        return torch.from_numpy(matrix.numpy().argpartition(place, axis=1)[:, place:])
    return matrix.topk(count, dim=1, sorted=False).indices


def ksvd_step(target: Tensor, dictionary: Tensor, codes: Tensor, power_iterations: int) -> tuple[Tensor, Tensor]:
    """One sweep of K-SVD: each atom in turn, with its coefficients, becomes the best one for the columns that use it.

    For atom d with coefficients g, the target's columns that use it and the error E that all *other* atoms leave in
    them, the best ``d gᵀ`` is the leading singular pair of E, towards which `power_iterations` of ``d ← E g ÷ ‖E g‖,
    g ← Eᵀd`` lead from the present one. Each of them is a least-squares fit, so the error never rises. The supports of
    the codes stay.

    An atom that no column uses is replaced by the direction in which the worst represented column is off, a different
    column for each such atom: it costs nothing now, and the next coding has use for it. (Where that is mere rounding,
    the atom stays.)

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
    rounding = (DEPENDENT * torch.finfo(target.dtype).eps) ** 2 * target.square().sum(0)
    atoms, coefficients = (factor.T.clone(memory_format=torch.contiguous_format) for factor in (dictionary, codes))
    replaced: list[int] = []
    for atom, weights in zip(atoms, coefficients, strict=True):
        users = weights.nonzero()[:, 0]
        if not len(users):
            energies = residual.square().sum(1)
            energies[replaced] = 0
            worst = int(energies.argmax())
            if energies[worst] > rounding[worst]:
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
