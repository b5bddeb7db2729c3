"""What GPTQ leaves undone: its codes were chosen one after the other, and none was looked at again."""

from __future__ import annotations

import torch
from torch import Tensor

from compression.quantization.grid import SCALE_DTYPE, Grid, Quantized

BLOCK = 32
"""Columns between two updates of all others: a product of matrices instead of many of vectors."""


def descend(weight: Tensor, gram: Tensor, made: Quantized, sweeps: int) -> Quantized:
    """Lower ``tr(E H Eᵀ)``, ``E = W − Ŵ``, one group's scales and one input's codes at a time.

    With everything else held, the best scale of a group is that of a straight line, and the best code of a weight is
    the one nearest to where the loss has its minimum, ``ŵ_i + (E H)_i ÷ H_ii``: no change raises the loss. Zero points
    stay as they are, and so do the codes of inputs with ``H_ii = 0``.

    Args:
        weight: (out, in), any floating dtype.
        gram: H, (in, in), symmetric; damped as GPTQ damps it at first.
        made: where to begin, of this weight.
        sweeps: how often all scales and all codes are gone through.

    Returns:
        As many bits, in a grid of the same kind.

    Source: cyclic coordinate descent as in QuantEase (2309.01885), equation 7; scales as well, in closed form.
    """
    columns = weight.shape[1]
    hessian = gram.float()
    # An input's weights stand together: (in, out).
    codes, scales, zeros = (each.float().T.contiguous() for each in (made.codes, made.scales, made.zeros))
    pull = hessian @ (weight.float() - made.dequantized()).T
    groups = [slice(start, min(start + made.group, columns)) for start in range(0, columns, made.group)]
    for _ in range(sweeps):
        for number, group in enumerate(groups):
            steps = codes[group] - zeros[number]
            curved = ((hessian[group, group] @ steps) * steps).sum(0)
            rise = (pull[group] * steps).sum(0)
            best = scales[number] + torch.where(curved > 0, rise / curved, 0.0)
            best = best.clamp(max=torch.finfo(SCALE_DTYPE).max).to(SCALE_DTYPE).float()
            moved = best - scales[number]
            # What is stored has 16 bits: rounding may turn a small gain into a loss. A scale of zero would be for ever.
            better = (best > 0) & (moved * (2 * rise - moved * curved) > 0)
            moved = torch.where(better, moved, 0.0)
            scales[number] += moved
            pull -= hessian[:, group] @ (moved * steps)
        for number, start, end in _blocks(groups):
            grid = Grid(scales[number], zeros[number], made.bits)
            near, changes = pull[start:end].clone(), torch.zeros_like(pull[start:end])
            for place, column in enumerate(range(start, end)):
                curve = hessian[column, column]
                if not curve > 0:
                    continue
                old = grid.values(codes[column])
                codes[column] = grid.codes(old + near[place] / curve)
                changes[place] = grid.values(codes[column]) - old
                near -= torch.outer(hessian[start:end, column], changes[place])
            pull -= hessian[:, start:end] @ changes
    return Quantized(codes.T.to(torch.uint8), scales.T.to(SCALE_DTYPE), made.zeros, made.bits, made.group)


def _blocks(groups: list[slice]) -> list[tuple[int, int, int]]:
    """(number of its group, first column, end) of pieces of at most `BLOCK` columns that lie in one group."""
    return [
        (number, start, min(start + BLOCK, group.stop))
        for number, group in enumerate(groups)
        for start in range(group.start, group.stop, BLOCK)
    ]
