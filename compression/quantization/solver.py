"""GPTQ: round one input's weights after the other, and let the inputs that are still free make up for each error."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from compression.errors import UserError
from compression.quantization.descent import descend
from compression.quantization.grid import SCALE_DTYPE, Grid, QuantizationSettings, Quantized, fit_grid, grouped

BLOCK = 128
"""Columns between two updates of all that is left: a product of matrices instead of many of vectors."""
MAX_DAMPING = 1.0


def gptq(weight: Tensor, gram: Tensor, settings: QuantizationSettings) -> Quantized:
    """Round a weight so that the layer's outputs change little: ``min ‖X (W − Ŵ)ᵀ‖`` over the grid, greedily.

    With ``U`` the upper Cholesky factor of ``H⁻¹``, ``H = XᵀX`` damped: column i is rounded, its error over ``U_ii``
    goes to the columns behind it along ``U[i, i:]``. Groups get their scales when the sweep arrives, from weights that
    have taken in what came before; with `act_order` they get them beforehand. Inputs that are always zero take no part.
    Then all scales and codes are gone through again `sweeps` times, see `descend`.

    Args:
        weight: (out, in), any floating dtype.
        gram: ``XᵀX`` of the layer's inputs, (in, in); its scale does not matter.
        settings: how.

    Raises:
        UserError: if the Gram matrix does not fit, or holds numbers that are none.

    Source: GPTQ (2210.17323), algorithm 1, and the authors' act-order and static groups.
    """
    out_features, in_features = weight.shape
    if gram.shape != (in_features, in_features) or not bool(torch.isfinite(gram).all()):
        raise UserError("GPTQ needs a finite Gram matrix of the layer's inputs: calibrate again.")
    group = settings.group(in_features)
    diagonal = gram.diagonal()
    order = torch.arange(in_features, device=weight.device)
    if settings.act_order:
        order = diagonal.argsort(descending=True, stable=True)
    work = weight.float()[:, order].clone()
    factor = inverse_factor(gram[order][:, order], settings.damping)
    static = fit_grid(grouped(weight.float(), group), settings.bits, settings.symmetric) if settings.act_order else None
    scales = torch.empty(out_features, -(-in_features // group), device=weight.device)
    zeros = torch.empty_like(scales)
    codes = torch.empty_like(work)
    for start, end in pairwise(_edges(in_features, group)):
        block = work[:, start:end].clone()
        errors = torch.empty_like(block)
        for column in range(start, end):
            place = column - start
            owner = int(order[column]) // group
            if static is not None:
                grid = Grid(static.scales[:, owner], static.zeros[:, owner], settings.bits)
            elif column % group == 0:
                ahead = torch.cat([block[:, place:], work[:, end:]], 1)[:, :group]
                grid = fit_grid(ahead, settings.bits, settings.symmetric)
            scales[:, owner], zeros[:, owner] = grid.scales, grid.zeros
            code = grid.codes(block[:, place])
            codes[:, order[column]] = code
            error = (block[:, place] - grid.values(code)) / factor[column, column]
            block[:, place + 1 :] -= error[:, None] * factor[column, column + 1 : end]
            errors[:, place] = error
        work[:, end:] -= errors @ factor[start:end, end:]
    made = Quantized(codes.to(torch.uint8), scales.to(SCALE_DTYPE), zeros.to(torch.uint8), settings.bits, group)
    return descend(weight, _damped(gram, settings.damping), made, settings.sweeps) if settings.sweeps else made


def _damped(gram: Tensor, damping: float) -> Tensor:
    whole = gram.double()
    mean = whole.diagonal().clamp_min(0).mean()
    return (whole + whole.T) / 2 + damping * mean * torch.eye(len(gram), dtype=whole.dtype, device=gram.device)


def gptq_rows(weight: Tensor, grams: Tensor, settings: QuantizationSettings) -> Quantized:
    """The same where every row sees inputs of its own, as the nonzeros of a sparse matrix do.

    No inverse is needed where no weight is shared between rows: with ``H = L̃ᵀL̃`` and L̃ lower triangular, weight i is
    best at ``w_i + Σ_{j<i} L̃_ij d_j ÷ L̃_ii`` once the errors ``d_j = w_j − ŵ_j`` before it are known. One Cholesky
    factorisation of each Gram matrix, its order turned round, instead of two and an inverse.

    Args:
        weight: (rows, in).
        grams: (rows, in, in), one for each row.
        settings: how; `act_order` and `sweeps` are not looked at.

    Source: GPTQ is Babai's nearest plane, read from the other end (2507.18553).
    """
    count = weight.shape[1]
    group = settings.group(count)
    asked = weight.float()
    damped = grams.double().clone()
    diagonal = damped.diagonal(dim1=1, dim2=2)
    mean = diagonal.mean(1, keepdim=True)
    diagonal += torch.where(diagonal > 0, settings.damping * mean, mean.clamp_min(1e-300))
    lower = torch.linalg.cholesky(damped.flip(1, 2)).flip(1, 2).mT.float()
    grids: list[Grid] = []
    codes, errors = torch.empty_like(asked), torch.empty_like(asked)
    for column in range(count):
        if column % group == 0:
            grids.append(fit_grid(_made_up(asked, errors, lower, column, group), settings.bits, settings.symmetric))
        known = torch.linalg.vecdot(lower[:, column, :column], errors[:, :column])
        code = grids[-1].codes(asked[:, column] + known / lower[:, column, column])
        codes[:, column] = code
        errors[:, column] = asked[:, column] - grids[-1].values(code)
    scales, zeros = (torch.stack([getattr(grid, name) for grid in grids], 1) for name in ("scales", "zeros"))
    return Quantized(codes.to(torch.uint8), scales.to(SCALE_DTYPE), zeros.to(torch.uint8), settings.bits, group)


def _made_up(asked: Tensor, errors: Tensor, lower: Tensor, start: int, group: int) -> Tensor:
    """What the weights of the next group would best be, given the errors of all before `start`: (rows, group)."""
    if start == 0:
        return asked[:, :group]
    end = start + group
    owed = lower[:, start:end, :start] @ errors[:, :start, None]
    own = lower[:, start:end, start:end]
    return asked[:, start:end] + torch.linalg.solve_triangular(own, owed, upper=False)[:, :, 0]


def _edges(in_features: int, group: int) -> list[int]:
    """Where blocks begin, and the end: wherever a group begins, all behind it has been updated, or is in its block."""
    if group < BLOCK:
        return [*range(0, in_features, BLOCK // group * group), in_features]
    return sorted({*range(0, in_features, BLOCK), *range(0, in_features, group), in_features})


def inverse_factor(gram: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor of ``(H + λ I)⁻¹``, (in, in), float32; λ is `damping` times H's mean diagonal.

    Inputs that are always zero count as independent of all others. Damping grows tenfold until the factor exists.

    Raises:
        UserError: if it does not exist for any damping.
    """
    work = gram.double().clone()
    work = (work + work.T) / 2
    dead = work.diagonal() <= 0
    mean = work.diagonal().clamp_min(0).mean()
    if not mean > 0:
        return torch.eye(len(work), device=gram.device)
    work[dead, dead] = mean
    while damping <= MAX_DAMPING:
        damped = work + damping * mean * torch.eye(len(work), dtype=work.dtype, device=work.device)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not failed:
                return upper.float()
        damping *= 10
    raise UserError("The Gram matrix of a layer's inputs cannot be inverted: calibrate on a longer text.")
