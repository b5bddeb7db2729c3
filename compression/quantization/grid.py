"""The values that a few bits can hold: a scale and a zero point for every group of neighbouring weights of a row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.accounting import quantized_bits
from compression.errors import UserError
from compression.quantization.report import MAX_SWEEPS, SWEEPS

BITS = (2, 8)
MIN_GROUP = 8
SCALE_DTYPE = torch.float16


@dataclass(frozen=True)
class QuantizationSettings:
    """How weights are rounded.

    Attributes:
        bits: of a code, from 2 to 8.
        group_size: neighbouring weights of a row that share a scale; 0 for a whole row. The last group may be smaller.
        symmetric: whether the grid is symmetric around zero and needs no zero points.
        act_order: whether GPTQ takes the inputs with most energy first, with scales that are fixed beforehand.
        damping: what is added to the Gram matrix, as a share of its mean diagonal.
        sweeps: how often GPTQ's scales and codes are gone through again, see `compression.quantization.descent`; 0 for
            GPTQ as published.
    """

    bits: int = 4
    group_size: int = 128
    symmetric: bool = False
    act_order: bool = False
    damping: float = 0.01
    sweeps: int = SWEEPS

    def check(self) -> None:
        """Check every value.

        Raises:
            UserError: naming the first that is out of range.
        """
        if not BITS[0] <= self.bits <= BITS[1]:
            raise UserError(f"Bits must be a whole number from {BITS[0]} to {BITS[1]}, but {self.bits} was given.")
        if self.group_size and self.group_size < MIN_GROUP:
            raise UserError(
                f"The group size must be at least {MIN_GROUP}, or 0 for whole rows, but {self.group_size} was given."
            )
        if not 0 < self.damping <= 1:
            raise UserError(f"The damping must be above 0 and at most 1, but {self.damping} was given.")
        if not 0 <= self.sweeps <= MAX_SWEEPS:
            raise UserError(f"Sweeps must be a whole number from 0 to {MAX_SWEEPS}, but {self.sweeps} was given.")

    def group(self, in_features: int) -> int:
        """Weights a group for rows of this length."""
        return min(self.group_size, in_features) if self.group_size else in_features

    def stored_bits(self, out_features: int, in_features: int) -> int:
        """Bits of a matrix: codes, scales and zero points."""
        return quantized_bits(out_features, in_features, self.bits, self.group(in_features), self.symmetric)

    def low_rank_bits(self, out_features: int, in_features: int, rank: int) -> int:
        """Bits of two factors, (r, m) and (n, r)."""
        return self.stored_bits(rank, in_features) + self.stored_bits(out_features, rank)

    def dictionary_bits(self, out_features: int, in_features: int, num_atoms: int, nonzeros_per_column: int) -> int:
        """Bits of a dictionary (k, m), of s values for each of n columns, and of a bit mask of k·n bits."""
        values = self.stored_bits(num_atoms, in_features) + self.stored_bits(out_features, nonzeros_per_column)
        return values + 8 * math.ceil(num_atoms * out_features / 8)

    def two_of_four_bits(self, out_features: int, in_features: int) -> int:
        """Bits of the m/2 values that a row of a 2:4 pattern keeps, and of a 2-bit place for each."""
        return self.stored_bits(out_features, in_features // 2) + 8 * math.ceil(out_features * in_features / 8)


@dataclass(frozen=True)
class Grid:
    """``w ≈ scale · (code − zero)`` with codes from 0 to 2^bits − 1.

    Attributes:
        scales: float32 that float16 holds exactly, (..., groups).
        zeros: float32 whole numbers, (..., groups).
        bits: of a code.
    """

    scales: Tensor
    zeros: Tensor
    bits: int

    def codes(self, values: Tensor) -> Tensor:
        """The nearest codes, float32, of values that broadcast against the scales."""
        return ((values / self.scales).round() + self.zeros).clamp(0, 2**self.bits - 1)

    def values(self, codes: Tensor) -> Tensor:
        """What codes stand for."""
        return self.scales * (codes - self.zeros)


def fit_grid(values: Tensor, bits: int, symmetric: bool) -> Grid:
    """The grid from the smallest to the largest value, zero among them.

    Args:
        values: (..., weights): one group in the last dimension.
        bits: of a code.
        symmetric: whether the grid is symmetric around zero.

    Returns:
        Scales and zero points (...,). A group of zeros gets a scale of 1.
    """
    top = 2**bits - 1
    work = values.float()
    low, high = work.amin(-1).clamp_max(0), work.amax(-1).clamp_min(0)
    if symmetric:
        high = torch.maximum(-low, high)
        low = -high
    # Rounded first: codes are found with the very scale that is stored.
    limits = torch.finfo(SCALE_DTYPE)
    scales = ((high - low) / top).clamp(max=limits.max).to(SCALE_DTYPE).float()
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    zeros = torch.full_like(scales, 2 ** (bits - 1)) if symmetric else (-low / scales).round().clamp(0, top)
    return Grid(scales, zeros, bits)


def grouped(matrix: Tensor, group: int) -> Tensor:
    """(rows, in) as (rows, groups, group); the last group is filled up with its own last value: no range changes."""
    missing = -matrix.shape[1] % group
    if missing:
        matrix = torch.cat([matrix, matrix[:, -1:].expand(-1, missing)], 1)
    return matrix.view(len(matrix), -1, group)


@dataclass(frozen=True)
class Quantized:
    """A matrix in a few bits.

    Attributes:
        codes: (rows, in), uint8, not packed.
        scales: (rows, groups), float16.
        zeros: (rows, groups), uint8.
        bits: of a code.
        group: weights a group.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor
    bits: int
    group: int

    def dequantized(self) -> Tensor:
        """What it stands for, (rows, in), float32."""
        columns = self.codes.shape[1]
        scales, zeros = (t.float().repeat_interleave(self.group, 1)[:, :columns] for t in (self.scales, self.zeros))
        return scales * (self.codes.float() - zeros)


def round_to_nearest(weight: Tensor, settings: QuantizationSettings) -> Quantized:
    """Every weight by itself: no data is looked at.

    Args:
        weight: (out, in), any floating dtype.
        settings: how.
    """
    group = settings.group(weight.shape[1])
    pieces = grouped(weight.float(), group)
    grid = fit_grid(pieces, settings.bits, settings.symmetric)
    wide = Grid(grid.scales[..., None], grid.zeros[..., None], grid.bits)
    codes = wide.codes(pieces).flatten(1)[:, : weight.shape[1]]
    return Quantized(
        codes.to(torch.uint8), grid.scales.to(SCALE_DTYPE), grid.zeros.to(torch.uint8), settings.bits, group
    )
