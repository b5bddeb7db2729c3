"""What the dictionary methods share: their error curve before any alternation."""

from __future__ import annotations

import torch
from torch import Tensor

from compression import accounting
from compression.errors import UserError
from compression.linalg import largest_energy


def coding_losses(
    target: Tensor, importance: Tensor, scale: float, fractions: tuple[float, ...], atoms_per_nonzero: float
) -> Tensor:
    """Predicted loss at every fraction when the target is coded once, in its own singular vectors.

    With D = leading left singular vectors U, the codes are the largest entries of the leading rows of ``Uᵀ T = Σ Vᵀ``,
    and output j loses ``‖t_j‖² − ‖s_j‖²``. One decomposition serves all fractions. Alternations then lower the error by
    much the same factor everywhere, which the forecast's probe measures. H enters by its diagonal only.

    Measured on SmolLM2-135M (0.3 removed): allocating by this curve gives 12 % less loss than by the two-sided
    low-rank curve, a poor stand-in for what a dictionary can do.

    Args:
        target: what is factorised, (m, n), columns weighted as the method weights them.
        importance: what an energy of the weighted target is worth to the loss, (n,): diag(H) ÷ column weight².
        scale: ``1 ÷ (2 N_G N_H)``.
        fractions: removed fractions.
        atoms_per_nonzero: k/s.

    Returns:
        One value a fraction, float64; where not one atom fits, the loss of losing the site.
    """
    rows, columns = target.shape
    work = target.double()
    if rows <= columns:
        rotated = torch.linalg.eigh(work @ work.T).eigenvectors.flip(1).T @ work
    else:
        energies, right = torch.linalg.eigh(work.T @ work)
        rotated = (right * energies.clamp_min(0).sqrt()).flip(1).T
    squares = rotated.T.float().square().contiguous()
    total = work.square().sum(0)
    losses = []
    for fraction in fractions:
        try:
            size = accounting.dictionary_size_for(columns, rows, fraction, atoms_per_nonzero)
            kept = largest_energy(squares[:, : size.num_atoms], size.nonzeros_per_column).double()
        except UserError:  # not one atom fits
            kept = torch.zeros_like(total)
        losses.append(((total - kept).clamp_min(0) * importance).sum() * scale)
    return torch.stack(losses)
