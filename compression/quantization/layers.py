"""A linear layer that stores packed codes, scales and zero points."""

from __future__ import annotations

import torch
from torch import Tensor

from compression.accounting import dense_flops
from compression.modules import CompressedLinear, pack_bits, unpack_bits
from compression.quantization.grid import SCALE_DTYPE, Quantized


class QuantizedLinear(CompressedLinear):
    """``Ŵ = scale · (code − zero)``, a scale and a zero point for every group of a row.

    Stored: codes of b bits without gaps, row after row, least significant bit first; scales in 16 bits; zero points
    like codes, unless the grid is symmetric. For execution Ŵ is expanded once: smaller on disk, not faster.
    """

    representation = "quantized"

    def __init__(self, quantized: Quantized, bias: Tensor | None, symmetric: bool) -> None:
        """Pack.

        Args:
            quantized: the weight.
            bias: (n,) or None.
            symmetric: whether all zero points are the middle of the grid and need not be stored.
        """
        super().__init__(quantized.codes.shape[1], quantized.codes.shape[0], bias)
        self.bits, self.group, self.symmetric = quantized.bits, quantized.group, symmetric
        self.codes: Tensor
        self.scales: Tensor
        self.zeros: Tensor | None
        self.register_buffer("codes", pack_codes(quantized.codes, quantized.bits))
        self.register_buffer("scales", quantized.scales)
        self.register_buffer("zeros", None if symmetric else pack_codes(quantized.zeros, quantized.bits))

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> QuantizedLinear:
        """A layer of codes of `bits` bits in groups of `group_size`, filled with zeros."""
        bits, group = sizes["bits"], sizes["group_size"]
        groups = -(-in_features // group)
        codes, zeros = (torch.zeros(out_features, n, dtype=torch.uint8) for n in (in_features, groups))
        scales = torch.ones(out_features, groups, dtype=SCALE_DTYPE)
        return cls(Quantized(codes, scales, zeros, bits, group), bias, bool(sizes["symmetric"]))

    @property
    def inner_size(self) -> int:
        """The outputs: as a product of two factors, one of them would be the identity."""
        return self.out_features

    def spec(self) -> dict[str, int]:
        """Bits of a code, weights a group, and whether the grid is symmetric."""
        return {"bits": self.bits, "group_size": self.group, "symmetric": int(self.symmetric)}

    def usual_execution(self) -> str:
        """One dense product."""
        return "merged"

    def flops(self) -> int:
        """One dense product."""
        return dense_flops(self.out_features, self.in_features)

    def quantized(self) -> Quantized:
        """The weight, unpacked."""
        shape = self.out_features, self.in_features
        codes = unpack_codes(self.codes, self.bits, self.out_features * self.in_features).view(shape)
        if self.zeros is None:
            zeros = torch.full(self.scales.shape, 2 ** (self.bits - 1), dtype=torch.uint8, device=codes.device)
        else:
            zeros = unpack_codes(self.zeros, self.bits, self.scales.numel()).view(self.scales.shape)
        return Quantized(codes, self.scales, zeros, self.bits, self.group)

    def dense_weight(self) -> Tensor:
        """Ŵ in float32."""
        return self.quantized().dequantized()

    def factors(self) -> tuple[Tensor, Tensor]:
        """Ŵ (n, m) and the identity (n, n)."""
        return self.dense_weight(), torch.eye(self.out_features, device=self.scales.device)


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
