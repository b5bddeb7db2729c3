"""Slow, obvious versions of what the engine does cleverly, and a comparison that says where things differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def assert_close(actual: Tensor, expected: Tensor, *, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    """Like `torch.testing.assert_close`, naming the worst entry."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)} instead of {tuple(expected.shape)}"
    excess = (actual - expected).abs() - (atol + rtol * expected.abs())
    if excess.max() > 0:
        worst = torch.unravel_index(excess.argmax(), excess.shape)
        place = tuple(int(i) for i in worst)
        raise AssertionError(
            f"worst at {place}: got {actual[place]:.6g}, expected {expected[place]:.6g} (rtol {rtol}, atol {atol}); "
            f"{int((excess > 0).sum())} of {excess.numel()} entries differ"
        )


def truncated_svd(matrix: Tensor, rank: int) -> Tensor:
    """The best approximation of that rank, from a full SVD."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] @ torch.diag(values[:rank]) @ right[:rank]


def polar_factor(matrix: Tensor) -> Tensor:
    """P Qᵀ of the SVD P Σ Qᵀ."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


def sparse_factorisation(
    target: Tensor, num_atoms: int, nonzeros: int, iterations: int, start: Tensor | None = None
) -> tuple[Tensor, list[float]]:
    """COMPOT's alternation with a full SVD in both places and sorting, from `start` if given; D S and the errors."""
    dictionary = torch.linalg.svd(target, full_matrices=False)[0][:, :num_atoms] if start is None else start
    coefficients = torch.zeros(num_atoms, target.shape[1])
    errors = []
    for step in range(iterations + 1):
        if step:
            dictionary = polar_factor(target @ coefficients.T)
        projected = dictionary.T @ target
        coefficients = torch.zeros_like(projected)
        for column in range(projected.shape[1]):
            order = projected[:, column].abs().sort(descending=True).indices[:nonzeros]
            coefficients[order, column] = projected[order, column]
        errors.append(float((target - dictionary @ coefficients).square().sum() / target.square().sum()))
    return dictionary @ coefficients, errors


def output_error(inputs: Tensor, weight: Tensor, approximation: Tensor) -> float:
    """‖X(W − Ŵ)ᵀ‖ ÷ ‖XWᵀ‖ from the inputs themselves."""
    return float(((weight - approximation) @ inputs.T).norm() / (weight @ inputs.T).norm())


def one_step(weight: Tensor, cholesky: Tensor, num_atoms: int, nonzeros: int, share: float, ridge: float) -> Tensor:
    """ROCKET's approximation of a weight (out, in), entry by entry, the refit by stacked least squares."""
    target = cholesky.T @ weight.T
    basis = torch.linalg.svd(target, full_matrices=False)[0][:, :num_atoms]
    unwhitened = torch.linalg.inv(cholesky.T) @ basis
    coefficients = basis.T @ target
    for column in range(target.shape[1]):
        importance = []
        for atom in range(num_atoms):
            white = float(coefficients[atom, column].abs())
            original = white * float(unwhitened[:, atom].norm())
            importance.append(white ** (1 - share) * original**share)
        order = sorted(range(num_atoms), key=lambda atom: -importance[atom])
        coefficients[order[nonzeros:], column] = 0
    penalty = (ridge * (coefficients @ coefficients.T).diagonal().mean()).sqrt() * torch.eye(num_atoms)
    stacked = torch.cat([coefficients.T, penalty])
    wanted = torch.cat([target.T, torch.zeros(num_atoms, len(target))])
    dictionary = torch.linalg.lstsq(stacked, wanted).solution.T
    return (torch.linalg.inv(cholesky.T) @ dictionary @ coefficients).T


def as_saved(model: nn.Module, dtype: str) -> dict[str, Tensor]:
    """The tensors of a model as they are written: float32 in 16 bits, ties once."""
    kept: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if not any(tensor is other or tensor.data_ptr() == other.data_ptr() for other in kept.values()):
            kept[name] = tensor
    return {name: t.to(getattr(torch, dtype)) if t.dtype == torch.float32 else t for name, t in kept.items()}
