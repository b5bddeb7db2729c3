"""Linear layers whose matrices are stored as packed codes, scales and zero points."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from compression.accounting import VALUE_BITS, dense_flops, dictionary_flops, low_rank_flops
from compression.modules import CompressedLinear, ShrunkLinear, TwoOfFourLinear, pack_bits, unpack_bits
from compression.quantization.grid import SCALE_DTYPE, Quantized


class PackedMatrix(nn.Module):
    """``scale · (code − zero)``, (rows, columns), a scale and a zero point for every group of a row.

    Stored: codes of b bits without gaps, row after row, least significant bit first; scales in 16 bits; zero points
    like codes, unless the grid is symmetric.
    """

    def __init__(self, quantized: Quantized, symmetric: bool) -> None:
        """Pack.

        Args:
            quantized: the matrix.
            symmetric: whether all zero points are the middle of the grid and need not be stored.
        """
        super().__init__()
        self.shape = (quantized.codes.shape[0], quantized.codes.shape[1])
        self.bits, self.group, self.symmetric = quantized.bits, quantized.group, symmetric
        self.codes: Tensor
        self.scales: Tensor
        self.zeros: Tensor | None
        self.register_buffer("codes", pack_codes(quantized.codes, quantized.bits))
        self.register_buffer("scales", quantized.scales)
        self.register_buffer("zeros", None if symmetric else pack_codes(quantized.zeros, quantized.bits))

    @classmethod
    def empty(cls, rows: int, columns: int, sizes: dict[str, int]) -> PackedMatrix:
        """A matrix of zeros in codes of `bits` bits and groups of `group_size`, `symmetric` or not."""
        group = min(sizes["group_size"], columns)
        codes, zeros = (torch.zeros(rows, n, dtype=torch.uint8) for n in (columns, -(-columns // group)))
        scales = torch.ones(zeros.shape, dtype=SCALE_DTYPE)
        return cls(Quantized(codes, scales, zeros, sizes["bits"], group), bool(sizes["symmetric"]))

    def quantized(self) -> Quantized:
        """The matrix, unpacked."""
        rows, columns = self.shape
        codes = unpack_codes(self.codes, self.bits, rows * columns).view(self.shape)
        if self.zeros is None:
            zeros = torch.full(self.scales.shape, 2 ** (self.bits - 1), dtype=torch.uint8, device=codes.device)
        else:
            zeros = unpack_codes(self.zeros, self.bits, self.scales.numel()).view(self.scales.shape)
        return Quantized(codes, self.scales, zeros, self.bits, self.group)

    def dequantized(self) -> Tensor:
        """What it stands for, float32."""
        return self.quantized().dequantized()


class QuantizedLayer(CompressedLinear):
    """What the layers below share: settings of the grid, and stored bits that lie in matrices of their own."""

    def __init__(self, in_features: int, out_features: int, bias: Tensor | None, matrix: PackedMatrix) -> None:
        """Remember the sizes, and the grid of `matrix`, which all of a layer's matrices share."""
        super().__init__(in_features, out_features, bias)
        self._grid = {"bits": matrix.bits, "symmetric": int(matrix.symmetric)}


class QuantizedLinear(QuantizedLayer):
    """One matrix. For execution it is expanded once: smaller on disk, not faster."""

    representation = "quantized"

    def __init__(self, weight: PackedMatrix, bias: Tensor | None) -> None:
        """Keep the matrix, (out, in)."""
        super().__init__(weight.shape[1], weight.shape[0], bias, weight)
        self.weight = weight

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> QuantizedLinear:
        """A layer of zeros."""
        return cls(PackedMatrix.empty(out_features, in_features, sizes), bias)

    @property
    def inner_size(self) -> int:
        """The outputs: as a product of two factors, one of them would be the identity."""
        return self.out_features

    def spec(self) -> dict[str, int]:
        """Bits of a code, weights a group, and whether the grid is symmetric."""
        return self._grid | {"group_size": self.weight.group}

    def usual_execution(self) -> str:
        """One dense product."""
        return "merged"

    def flops(self) -> int:
        """One dense product."""
        return dense_flops(self.out_features, self.in_features)

    def dense_weight(self) -> Tensor:
        """Ŵ in float32."""
        return self.weight.dequantized()

    def factors(self) -> tuple[Tensor, Tensor]:
        """Ŵ (n, m) and the identity (n, n)."""
        return self.dense_weight(), torch.eye(self.out_features, device=self.weight.scales.device)


class QuantizedLowRankLinear(QuantizedLayer):
    """``Ŵ = second · first`` with factors (r, m) and (n, r) in a few bits."""

    representation = "quantized-low-rank"

    def __init__(self, first: PackedMatrix, second: PackedMatrix, bias: Tensor | None) -> None:
        """Keep the factors, (r, in) and (out, r)."""
        super().__init__(first.shape[1], second.shape[0], bias, first)
        self.first, self.second = first, second

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> QuantizedLowRankLinear:
        """A layer of rank `rank` filled with zeros."""
        first, second = (
            PackedMatrix.empty(*shape, sizes) for shape in ((sizes["rank"], in_features), (out_features, sizes["rank"]))
        )
        return cls(first, second, bias)

    @property
    def inner_size(self) -> int:
        """The rank."""
        return self.first.shape[0]

    def spec(self) -> dict[str, int]:
        """The rank, bits of a code, weights a group at most, and whether the grid is symmetric."""
        return self._grid | {"rank": self.inner_size, "group_size": max(self.first.group, self.second.group)}

    def flops(self) -> int:
        """Two products with the factors."""
        return low_rank_flops(self.out_features, self.in_features, self.inner_size)

    def dense_weight(self) -> Tensor:
        """Second · first in float32."""
        return self.second.dequantized() @ self.first.dequantized()

    def factors(self) -> tuple[Tensor, Tensor]:
        """First (r, m) and the second factor transposed (r, n)."""
        return self.first.dequantized(), self.second.dequantized().T


class QuantizedDictionaryLinear(QuantizedLayer):
    """``Ŵ = (D S)ᵀ`` with the dictionary and the nonzeros of S in a few bits, and the mask as it was."""

    representation = "quantized-dictionary"

    def __init__(self, dictionary: PackedMatrix, values: PackedMatrix, mask: Tensor, bias: Tensor | None) -> None:
        """Keep both.

        Args:
            dictionary: Dᵀ, (k, in).
            values: the nonzeros of Sᵀ, (out, s), in ascending atom order.
            mask: boolean (out, k): where they stand.
            bias: (out,) or None.
        """
        super().__init__(dictionary.shape[1], values.shape[0], bias, dictionary)
        self.dictionary, self.values = dictionary, values
        self.mask_bits: Tensor
        self.register_buffer("mask_bits", pack_bits(mask))

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> QuantizedDictionaryLinear:
        """A layer with `num_atoms` atoms and `nonzeros_per_column` nonzeros a column, filled with zeros."""
        atoms, nonzeros = sizes["num_atoms"], sizes["nonzeros_per_column"]
        mask = torch.zeros(out_features, atoms, dtype=torch.bool)
        mask[:, :nonzeros] = True
        dictionary, values = (
            PackedMatrix.empty(*shape, sizes) for shape in ((atoms, in_features), (out_features, nonzeros))
        )
        return cls(dictionary, values, mask, bias)

    @property
    def inner_size(self) -> int:
        """The number of atoms."""
        return self.dictionary.shape[0]

    def spec(self) -> dict[str, int]:
        """Atoms, nonzeros a column, bits of a code, weights a group at most, and whether the grid is symmetric."""
        return self._grid | {
            "num_atoms": self.inner_size,
            "nonzeros_per_column": self.values.shape[1],
            "group_size": max(self.dictionary.group, self.values.group),
        }

    def flops(self) -> int:
        """One product with D, and one with the nonzeros of S."""
        return dictionary_flops(self.out_features, self.in_features, self.inner_size, self.values.shape[1])

    def mask(self) -> Tensor:
        """Boolean (n, k): where Sᵀ is stored."""
        return unpack_bits(self.mask_bits, self.out_features * self.inner_size).view(self.out_features, self.inner_size)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Dᵀ (k, m) and S (k, n), zeros filled in."""
        mask = self.mask()
        filled = torch.zeros(mask.shape, device=mask.device).masked_scatter_(mask, self.values.dequantized())
        return self.dictionary.dequantized(), filled.T

    def dense_weight(self) -> Tensor:
        """(D S)ᵀ in float32."""
        first, second = self.factors()
        return second.T @ first


class QuantizedShrunkLinear(ShrunkLinear):
    """Rows and columns that were kept, in a few bits; where they stand is stored as before."""

    representation = "quantized rows and columns"

    def __init__(self, weight: PackedMatrix, shrunk: ShrunkLinear) -> None:
        """Put the matrix in the place of what a layer stores.

        Args:
            weight: (rows, columns), the stored part alone.
            shrunk: where it stands, and the bias.
        """
        CompressedLinear.__init__(self, shrunk.in_features, shrunk.out_features, shrunk.bias)
        self.weight = weight  # type: ignore[assignment]
        for name in ("row_bits", "column_bits", "row_layout_bits", "column_layout_bits"):
            self.register_buffer(name, getattr(shrunk, name).clone())
        self._places = None

    @property
    def matrix(self) -> PackedMatrix:
        """The stored part."""
        return cast(PackedMatrix, self.weight)

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> QuantizedShrunkLinear:
        """A layer with `rows` and `columns` stored, with a bias in `value_bits` if `biased`, filled with zeros."""
        names = ("rows", "columns", "biased", "value_bits")
        shrunk = ShrunkLinear.empty(in_features, out_features, bias, **{name: sizes[name] for name in names})
        return cls(PackedMatrix.empty(sizes["rows"], sizes["columns"], sizes), shrunk)

    def spec(self) -> dict[str, int]:
        """Stored rows and columns, whether there is a bias and its bits a value, and the grid."""
        rows, columns = self.matrix.shape
        return {
            "rows": rows,
            "columns": columns,
            "biased": int(self.bias is not None),
            "value_bits": 32 if self.bias is not None and self.bias.dtype == torch.float32 else VALUE_BITS,
            "bits": self.matrix.bits,
            "symmetric": int(self.matrix.symmetric),
            "group_size": self.matrix.group,
        }

    def part(self) -> Tensor:
        """The stored part, (rows, columns), float32."""
        return self.matrix.dequantized()


class QuantizedTwoOfFourLinear(TwoOfFourLinear):
    """Two of every four neighbouring weights in a few bits; where they stand is stored as before."""

    representation = "quantized-2:4"

    def __init__(self, values: PackedMatrix, layer: TwoOfFourLinear) -> None:
        """Put the values in the place of what a layer stores.

        Args:
            values: (out, in/2), the kept ones in order.
            layer: where they stand, and the bias.
        """
        CompressedLinear.__init__(self, layer.in_features, layer.out_features, layer.bias)
        self.values = values  # type: ignore[assignment]
        self.register_buffer("place_bits", layer.place_bits.clone())

    @property
    def matrix(self) -> PackedMatrix:
        """The kept values."""
        return cast(PackedMatrix, self.values)

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> QuantizedTwoOfFourLinear:
        """A layer filled with zeros in the first two places of every four."""
        layer = TwoOfFourLinear.empty(in_features, out_features, bias)
        return cls(PackedMatrix.empty(out_features, in_features // 2, sizes), layer)

    def spec(self) -> dict[str, int]:
        """Values kept in a row, bits of a code, weights a group, and whether the grid is symmetric."""
        return {
            "nonzeros_per_row": self.matrix.shape[1],
            "bits": self.matrix.bits,
            "symmetric": int(self.matrix.symmetric),
            "group_size": self.matrix.group,
        }

    def kept(self) -> Tensor:
        """The values that are stored, (n, m/2), float32."""
        return self.matrix.dequantized()


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Codes below 2^bits, uint8 of any shape, without gaps, least significant bit first: uint8 (bytes,)."""
    if bits == 8:
        return codes.flatten().contiguous()
    shifts = torch.arange(bits, dtype=torch.uint8, device=codes.device)
    return pack_bits(((codes.flatten()[:, None] >> shifts) & 1).bool())


def unpack_codes(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` codes of `pack_codes`, uint8 (count,)."""
    if bits == 8:
        return packed[:count]
    flags = unpack_bits(packed, count * bits).view(count, bits).to(torch.uint8)
    shifts = torch.arange(bits, dtype=torch.uint8, device=packed.device)
    return (flags << shifts).sum(1, dtype=torch.uint8)
