"""Layers that keep the compressed representation: what is measured is what is stored.

Factors are held as 16-bit buffers, exactly the values that are saved. For the forward pass they are expanded
once to the precision of the input, and `execution` says in which form:

* ``factored``: ``(x R) L`` with the two factors. Low rank: fewer FLOPs than dense.
* ``merged``: one dense matrix. Dictionary layers: the memory and speed of the dense layer. A packed sparse
  factor has no fast kernel on a CPU, and factored execution with zeros filled in is slower than dense.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.linalg import balance_factors

STORAGE_DTYPE = torch.float16


def to_storage(values: Tensor) -> Tensor:
    """Round to float16, clamped to its range (`balance_factors` keeps values far from the limit)."""
    limit = torch.finfo(STORAGE_DTYPE).max
    return values.clamp(-limit, limit).to(STORAGE_DTYPE)


class CompressedLinear(nn.Module, ABC):
    """A linear layer ``y = x Ŵᵀ + b`` that stores Ŵ in compressed form.

    Args:
        in_features: m.
        out_features: n.
        bias: (n,) or None; kept as it is.
    """

    execution: ClassVar[str]
    representation: ClassVar[str]

    def __init__(self, in_features: int, out_features: int, bias: Tensor | None) -> None:
        """Remember the sizes and copy the bias."""
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.bias: Tensor | None
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._expanded: tuple[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] | None = None

    @abstractmethod
    def dense_weight(self) -> Tensor:
        """Ŵ as (out, in) in float32: the matrix the layer stands for."""

    @abstractmethod
    def spec(self) -> dict[str, int]:
        """Sizes from which `empty` builds a layer that the saved tensors fit."""

    @classmethod
    @abstractmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> CompressedLinear:
        """A layer of the right shapes whose values are still to be loaded."""

    @abstractmethod
    def _expand(self) -> tuple[Tensor, ...]:
        """The float32 tensors that `_multiply` needs."""

    @abstractmethod
    def _multiply(self, x: Tensor, *tensors: Tensor) -> Tensor:
        """``x Ŵᵀ + b``."""

    def stored_bits(self) -> int:
        """Bits of the saved tensors, bias left out (it is dense, as everywhere)."""
        tensors = {name: tensor for name, tensor in self.state_dict().items() if name != "bias"}
        return sum(8 * tensor.numel() * tensor.element_size() for tensor in tensors.values())

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., in), giving (..., out) in the dtype of `x`."""
        key = (x.dtype, x.device)
        if self._expanded is None or self._expanded[0] != key:
            self._expanded = (key, tuple(tensor.to(device=x.device, dtype=x.dtype) for tensor in self._expand()))
        return self._multiply(x, *self._expanded[1])

    def _bias_for(self, x: Tensor) -> Tensor | None:
        return None if self.bias is None else self.bias.to(x.dtype)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._expanded = None
        super()._load_from_state_dict(*args, **kwargs)

    def extra_repr(self) -> str:
        """Sizes, as PyTorch prints them."""
        sizes = ", ".join(f"{name}={value}" for name, value in self.spec().items())
        return f"in_features={self.in_features}, out_features={self.out_features}, {sizes}"


class LowRankLinear(CompressedLinear):
    """``Ŵ = (input_factor · output_factor)ᵀ`` with factors (m, r) and (r, n)."""

    execution = "factored"
    representation = "low-rank"

    def __init__(self, input_factor: Tensor, output_factor: Tensor, bias: Tensor | None = None) -> None:
        """Balance the two factors and round them to 16 bits.

        Args:
            input_factor: (m, r), any floating dtype.
            output_factor: (r, n).
            bias: (n,) or None.
        """
        super().__init__(input_factor.shape[0], output_factor.shape[1], bias)
        balanced_input, balanced_output = balance_factors(input_factor, output_factor)
        self.input_factor: Tensor
        self.output_factor: Tensor
        self.register_buffer("input_factor", to_storage(balanced_input))
        self.register_buffer("output_factor", to_storage(balanced_output))

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> LowRankLinear:
        """A layer of rank `rank` filled with zeros."""
        rank = sizes["rank"]
        return cls(torch.zeros(in_features, rank), torch.zeros(rank, out_features), bias)

    @property
    def rank(self) -> int:
        """R."""
        return self.input_factor.shape[1]

    def spec(self) -> dict[str, int]:
        """The rank."""
        return {"rank": self.rank}

    def dense_weight(self) -> Tensor:
        """(input_factor · output_factor)ᵀ in float32."""
        return (self.input_factor.float() @ self.output_factor.float()).T

    def _expand(self) -> tuple[Tensor, ...]:
        return self.input_factor.float().T.contiguous(), self.output_factor.float().T.contiguous()

    def _multiply(self, x: Tensor, *tensors: Tensor) -> Tensor:
        reduce, restore = tensors
        return F.linear(F.linear(x, reduce), restore, self._bias_for(x))


class DictionaryLinear(CompressedLinear):
    """``Ŵ = (D S)ᵀ``: a dense dictionary D (m, k) and coefficients S (k, n) with s nonzeros a column.

    Stored: D in 16 bits, the nonzeros of S as (n, s) in 16 bits in ascending atom order, and a bit mask of
    k·n bits (column after column, least significant bit first).
    """

    execution = "merged"
    representation = "dictionary"

    def __init__(self, dictionary: Tensor, codes: Tensor, mask: Tensor, bias: Tensor | None = None) -> None:
        """Balance atoms against coefficients, round to 16 bits and pack.

        Args:
            dictionary: D, (m, k).
            codes: Sᵀ, (n, k); entries outside `mask` are ignored.
            mask: boolean (n, k) with the same number of true entries, s, in every row.
            bias: (n,) or None.
        """
        super().__init__(dictionary.shape[0], codes.shape[0], bias)
        atoms, scaled = balance_factors(dictionary, codes.T)
        values = scaled.T.contiguous()[mask].view(len(mask), -1)
        self.dictionary: Tensor
        self.values: Tensor
        self.mask_bits: Tensor
        self.register_buffer("dictionary", to_storage(atoms))
        self.register_buffer("values", to_storage(values))
        self.register_buffer("mask_bits", pack_bits(mask))

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> DictionaryLinear:
        """A layer with `num_atoms` atoms and `nonzeros_per_column` nonzeros a column, filled with zeros."""
        atoms, nonzeros = sizes["num_atoms"], sizes["nonzeros_per_column"]
        mask = torch.zeros(out_features, atoms, dtype=torch.bool)
        mask[:, :nonzeros] = True
        return cls(torch.zeros(in_features, atoms), torch.zeros(out_features, atoms), mask, bias)

    @property
    def num_atoms(self) -> int:
        """K."""
        return self.dictionary.shape[1]

    @property
    def nonzeros_per_column(self) -> int:
        """S."""
        return self.values.shape[1]

    def spec(self) -> dict[str, int]:
        """Atoms and nonzeros a column."""
        return {"num_atoms": self.num_atoms, "nonzeros_per_column": self.nonzeros_per_column}

    def mask(self) -> Tensor:
        """Boolean (n, k): where Sᵀ is stored."""
        count = self.num_atoms * self.out_features
        return unpack_bits(self.mask_bits, count).view(self.out_features, self.num_atoms)

    def codes(self) -> Tensor:
        """Sᵀ as (n, k) in float32, zeros filled in."""
        mask = self.mask()
        return torch.zeros(mask.shape, device=mask.device).masked_scatter_(mask, self.values.float())

    def dense_weight(self) -> Tensor:
        """(D S)ᵀ in float32."""
        return self.codes() @ self.dictionary.float().T

    def _expand(self) -> tuple[Tensor, ...]:
        return (self.dense_weight().contiguous(),)

    def _multiply(self, x: Tensor, *tensors: Tensor) -> Tensor:
        return F.linear(x, tensors[0], self._bias_for(x))


LAYER_TYPES: dict[str, type[CompressedLinear]] = {
    layer.representation: layer for layer in (LowRankLinear, DictionaryLinear)
}
"""Representation name → class, for loading."""


def pack_bits(flags: Tensor) -> Tensor:
    """Pack a boolean tensor, flattened, into uint8, least significant bit first."""
    flat = flags.flatten().to(torch.uint8)
    padded = F.pad(flat, (0, -len(flat) % 8)).view(-1, 8)
    weights = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=flags.device)
    return (padded * weights).sum(1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, count: int) -> Tensor:
    """The first `count` flags of `pack_bits`, boolean (count,)."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[:, None] >> shifts) & 1).flatten()[:count].bool()
