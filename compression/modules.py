"""Layers that keep the compressed representation: what is measured is what is stored.

Factors are held as 16-bit buffers, exactly the values that are saved. For the forward pass they are expanded
once to the precision of the input, and `execution` says in which form:

* ``factored``: two dense products, ``(x · first) · second``. The zeros of a dictionary layer are filled in: at half
  density no sparse kernel of a CPU comes near a dense one.
* ``merged``: one dense matrix, with the FLOPs, the memory and the speed of the dense layer. The better form where two
  products would not be faster: at or near the break-even rank, and for small layers.

Beside the expanded form a layer keeps its 16-bit buffers: `resident_bytes` counts both, `stored_bits` only these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.accounting import dense_flops, dictionary_flops, low_rank_flops, two_of_four_flops
from compression.linalg import balance_factors

STORAGE_DTYPE = torch.float16
RANK_MULTIPLE = 16
"""The inner size is filled up with zeros to a multiple of this in execution only: one 512-bit vector of float32.

Measured on 192 × 576 at rank 86 and 512 tokens: 0.87 of the speed the FLOPs promise, 0.75 without.
"""
SECOND_PRODUCT_WEIGHTS = 16_384
"""What a second product costs by itself (its call, its barrier, its intermediate), in weights read: about 3 µs."""
FACTORED_LIMIT = 0.95
"""Largest share of the dense weights, that cost included, at which two products run faster than one."""


def padded_size(inner_size: int) -> int:
    """`inner_size` rounded up to a multiple of `RANK_MULTIPLE`."""
    return -(-inner_size // RANK_MULTIPLE) * RANK_MULTIPLE


def choose_execution(out_features: int, in_features: int, inner_size: int) -> str:
    """``factored`` where two products are faster than one dense one, else ``merged``.

    A rule instead of a stopwatch, so that the same layer always runs the same way and gives the same bits. It was
    fitted to prefill (512 tokens) and decode on two cores with AVX-512; ``bench inference`` shows how well it does.

    Args:
        out_features: n.
        in_features: m.
        inner_size: rank r or number of atoms k.
    """
    factored = padded_size(inner_size) * (out_features + in_features) + SECOND_PRODUCT_WEIGHTS
    return "factored" if factored <= FACTORED_LIMIT * out_features * in_features else "merged"


def to_storage(values: Tensor) -> Tensor:
    """Round to float16, clamped to its range (`balance_factors` keeps values far from the limit)."""
    limit = torch.finfo(STORAGE_DTYPE).max
    return values.clamp(-limit, limit).to(STORAGE_DTYPE)


@dataclass(frozen=True, slots=True)
class _Expanded:
    """What a forward pass needs, in the precision and on the device of its input: one merged matrix or two factors."""

    dtype: torch.dtype
    device: torch.device
    tensors: tuple[Tensor, ...]
    bias: Tensor | None


class CompressedLinear(nn.Module, ABC):
    """A linear layer ``y = x Ŵᵀ + b`` that stores Ŵ as a product of two factors.

    Args:
        in_features: m.
        out_features: n.
        bias: (n,) or None; kept as it is.
    """

    representation: ClassVar[str]

    def __init__(self, in_features: int, out_features: int, bias: Tensor | None) -> None:
        """Remember the sizes and copy the bias."""
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.bias: Tensor | None
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._execution: str | None = None
        self._expanded: _Expanded | None = None

    @property
    @abstractmethod
    def inner_size(self) -> int:
        """Rank r or number of atoms k: the size the two factors share."""

    @abstractmethod
    def factors(self) -> tuple[Tensor, Tensor]:
        """First (inner, in) and second (inner, out) in float32, zeros filled in: ``Ŵ = secondᵀ · first``."""

    @abstractmethod
    def dense_weight(self) -> Tensor:
        """Ŵ as (out, in) in float32: the matrix the layer stands for."""

    @abstractmethod
    def spec(self) -> dict[str, int]:
        """Sizes from which `empty` builds a layer that the saved tensors fit."""

    @abstractmethod
    def flops(self) -> int:
        """FLOPs a token of the representation, zeros not counted, as papers count; `executed_flops` is what runs."""

    @classmethod
    @abstractmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> CompressedLinear:
        """A layer of the right shapes whose values are still to be loaded."""

    @property
    def execution(self) -> str:
        """``factored`` or ``merged``: what `choose_execution` says, unless it was set (to measure the other form)."""
        return self._execution or self.usual_execution()

    @execution.setter
    def execution(self, form: str) -> None:
        if form not in ("factored", "merged"):
            raise ValueError(f"execution must be 'factored' or 'merged', got {form!r}")
        self._execution = form
        self._expanded = None

    def usual_execution(self) -> str:
        """The form that is faster."""
        return choose_execution(self.out_features, self.in_features, self.inner_size)

    def forget_expanded(self) -> None:
        """Drop what the forward pass keeps in its own precision; the next one makes it again."""
        self._expanded = None

    def executed_flops(self) -> int:
        """FLOPs a token of the products that really run, padding and filled-in zeros included."""
        if self.execution == "merged":
            return dense_flops(self.out_features, self.in_features)
        return low_rank_flops(self.out_features, self.in_features, padded_size(self.inner_size))

    def stored_bits(self) -> int:
        """Bits of the saved tensors, bias left out (it is dense, as everywhere)."""
        tensors = {name: tensor for name, tensor in self.state_dict().items() if name != "bias"}
        return sum(8 * tensor.numel() * tensor.element_size() for tensor in tensors.values())

    def expanded_bytes(self) -> int:
        """Bytes of the expanded tensors, which every forward pass reads; 0 before the first one."""
        return bytes_held(self._expanded.tensors if self._expanded else ())

    def resident_bytes(self) -> int:
        """Bytes of everything the layer holds now: 16-bit buffers, bias, and the expanded tensors once it has run."""
        held = list(self.buffers())
        if self._expanded is not None:
            held += [*self._expanded.tensors, *([] if self._expanded.bias is None else [self._expanded.bias])]
        return bytes_held(held)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., in), giving (..., out) in the dtype of `x`."""
        expanded = self._expanded
        if expanded is None or expanded.dtype is not x.dtype or expanded.device != x.device:
            # The bias is kept beside the rest: looking a buffer up costs as much as a small product of one token.
            bias = None if self.bias is None else self.bias.to(device=x.device, dtype=x.dtype)
            # What is kept must not depend on whether the first pass is one of training, in products of bfloat16.
            with torch.autocast(x.device.type, enabled=False):
                tensors = self._expand(x.dtype, x.device)
            # One assignment, so that a second thread sees all of it or nothing.
            expanded = self._expanded = _Expanded(x.dtype, x.device, tensors, bias)
        tensors, bias = expanded.tensors, expanded.bias
        if len(tensors) == 1:
            return F.linear(x, tensors[0], bias)
        first, second = tensors
        # The first factor as (inner, in), the second as (inner, out): the fastest pair of layouts for one token (each
        # is read in the order it lies in memory) and as fast as any for many.
        hidden = F.linear(x, first)
        return hidden @ second if bias is None else F.linear(hidden, second.T, bias)

    def _expand(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        if self.execution == "merged":
            return (self.dense_weight().to(device=device, dtype=dtype).contiguous(),)
        padding = (0, 0, 0, padded_size(self.inner_size) - self.inner_size)
        return tuple(F.pad(f, padding).to(device=device, dtype=dtype).contiguous() for f in self.factors())

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._expanded = None
        super()._load_from_state_dict(*args, **kwargs)

    def extra_repr(self) -> str:
        """Sizes and form, as PyTorch prints them."""
        sizes = ", ".join(f"{name}={value}" for name, value in self.spec().items())
        return f"in_features={self.in_features}, out_features={self.out_features}, {sizes}, {self.execution}"


class RankLinear(CompressedLinear):
    """What layers of two factors (m, r) and (r, n) share, in whatever precision they are kept.

    A subclass is built from the two factors and a bias, and names a buffer whose second size is r.
    """

    rank_buffer: ClassVar[str]

    def __init__(self, input_factor: Tensor, output_factor: Tensor, bias: Tensor | None = None) -> None:
        """Remember the sizes and copy the bias; a subclass keeps the factors.

        Args:
            input_factor: (m, r), any floating dtype.
            output_factor: (r, n).
            bias: (n,) or None.
        """
        super().__init__(input_factor.shape[0], output_factor.shape[1], bias)

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> Self:
        """A layer of rank `rank` filled with zeros."""
        rank = sizes["rank"]
        return cls(torch.zeros(in_features, rank), torch.zeros(rank, out_features), bias)

    @property
    def rank(self) -> int:
        """R."""
        return int(getattr(self, self.rank_buffer).shape[1])

    @property
    def inner_size(self) -> int:
        """The rank."""
        return self.rank

    def flops(self) -> int:
        """Two products with the factors."""
        return low_rank_flops(self.out_features, self.in_features, self.rank)

    def spec(self) -> dict[str, int]:
        """The rank."""
        return {"rank": self.rank}


class LowRankLinear(RankLinear):
    """``Ŵ = (input_factor · output_factor)ᵀ`` with factors (m, r) and (r, n)."""

    representation = "low-rank"
    rank_buffer = "input_factor"

    def __init__(self, input_factor: Tensor, output_factor: Tensor, bias: Tensor | None = None) -> None:
        """Balance the two factors and round them to 16 bits."""
        super().__init__(input_factor, output_factor, bias)
        balanced_input, balanced_output = balance_factors(input_factor, output_factor)
        self.input_factor: Tensor
        self.output_factor: Tensor
        self.register_buffer("input_factor", to_storage(balanced_input))
        self.register_buffer("output_factor", to_storage(balanced_output))

    def dense_weight(self) -> Tensor:
        """(input_factor · output_factor)ᵀ in float32."""
        return (self.input_factor.float() @ self.output_factor.float()).T

    def factors(self) -> tuple[Tensor, Tensor]:
        """The input factor transposed (r, m) and the output factor (r, n)."""
        return self.input_factor.float().T, self.output_factor.float()


class MixedLowRankLinear(RankLinear):
    """``Ŵ = (input_factor · output_factor)ᵀ``, the first min(m, n) rows of both factors in 8 bits.

    Each of the 2·r columns has a 16-bit scale for its 8-bit rows; the |m − n| other rows of the longer factor are kept
    in 16 bits. A rank so takes little more than max(m, n) values of 16 bits.

    Source: Dobi-SVD (2502.02723), section 3.3; the authors' 8-bit values are unevenly spaced, these are even.
    """

    representation = "low-rank, 8 and 16 bits"
    rank_buffer = "input_codes"

    def __init__(self, input_factor: Tensor, output_factor: Tensor, bias: Tensor | None = None) -> None:
        """Balance the two factors and round them."""
        super().__init__(input_factor, output_factor, bias)
        balanced_input, balanced_output = balance_factors(input_factor, output_factor)
        shorter = min(self.in_features, self.out_features)
        self.input_codes: Tensor
        self.input_scales: Tensor
        self.output_codes: Tensor
        self.output_scales: Tensor
        self.remainder: Tensor
        for name, factor in (("input", balanced_input), ("output", balanced_output.T)):
            codes, scales = quantize_columns(factor[:shorter])
            self.register_buffer(f"{name}_codes", codes)
            self.register_buffer(f"{name}_scales", scales)
        longer = balanced_input if self.in_features > self.out_features else balanced_output.T
        self.register_buffer("remainder", to_storage(longer[shorter:]))

    def dense_weight(self) -> Tensor:
        """(input_factor · output_factor)ᵀ in float32."""
        first, second = self.factors()
        return second.T @ first

    def factors(self) -> tuple[Tensor, Tensor]:
        """The input factor transposed (r, m) and the output factor (r, n)."""
        first = self.input_codes.float() * self.input_scales.float()
        second = self.output_codes.float() * self.output_scales.float()
        if self.in_features > self.out_features:
            first = torch.cat([first, self.remainder.float()])
        else:
            second = torch.cat([second, self.remainder.float()])
        return first.T, second.T


class DictionaryLinear(CompressedLinear):
    """``Ŵ = (D S)ᵀ``: a dense dictionary D (m, k) and coefficients S (k, n) with s nonzeros a column.

    Stored: D in 16 bits, the nonzeros of S as (n, s) in 16 bits in ascending atom order, and a bit mask of
    k·n bits (column after column, least significant bit first).
    """

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
    def inner_size(self) -> int:
        """The number of atoms."""
        return self.num_atoms

    def flops(self) -> int:
        """One product with D, and one with the nonzeros of S."""
        return dictionary_flops(self.out_features, self.in_features, self.num_atoms, self.nonzeros_per_column)

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

    def factors(self) -> tuple[Tensor, Tensor]:
        """Dᵀ (k, m) and S (k, n)."""
        return self.dictionary.float().T, self.codes().T


class ShrunkLinear(CompressedLinear):
    """A dense layer of which only some rows and columns are stored; what the others would add is zero.

    Inside a block the layouts shrink with the tensors, and the layer is one smaller product. At the residual stream,
    whose width stays, inputs are gathered and outputs scattered.

    Source: FineGates (2602.09169) for gates on rows and columns; what leaves with them is ours.
    """

    representation = "rows and columns"

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        rows: Tensor,
        columns: Tensor,
        row_layout: Tensor,
        column_layout: Tensor,
        dtype: torch.dtype = STORAGE_DTYPE,
    ) -> None:
        """Keep the stored part.

        Args:
            weight: (out, in) of the whole layer.
            bias: (out,) or None; of a row that is not stored it counts as zero.
            rows: boolean (out,): stored rows.
            columns: boolean (in,): stored columns.
            row_layout: boolean (out,): which outputs are handed on, in order; a superset of `rows`.
            column_layout: boolean (in,): which inputs arrive; a superset of `columns`.
            dtype: of the stored values.
        """
        super().__init__(weight.shape[1], weight.shape[0], None if bias is None else bias[rows].to(dtype))
        self.weight: Tensor
        part = weight[rows][:, columns]
        self.register_buffer("weight", (to_storage(part) if dtype is STORAGE_DTYPE else part.to(dtype)).contiguous())
        for name, flags in (
            ("row_bits", rows),
            ("column_bits", columns),
            ("row_layout_bits", row_layout),
            ("column_layout_bits", column_layout),
        ):
            self.register_buffer(name, pack_bits(flags))
        self._places: tuple[Tensor | None, Tensor | None, int] | None = None

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> ShrunkLinear:
        """A layer with `rows` and `columns` stored in `value_bits` each, with a bias if `biased`, filled with zeros."""
        rows = torch.arange(out_features) < sizes["rows"]
        columns = torch.arange(in_features) < sizes["columns"]
        new_bias = torch.zeros(out_features) if sizes["biased"] else None
        dtype = torch.float32 if sizes["value_bits"] == 32 else STORAGE_DTYPE
        return cls(torch.zeros(out_features, in_features), new_bias, rows, columns, rows, columns, dtype)

    def stored_as(self, dtype: torch.dtype) -> ShrunkLinear:
        """The same layer with its values in another precision."""
        bias = None
        if self.bias is not None:
            bias = self.bias.new_zeros(self.out_features)
            bias[self.rows] = self.bias
        layouts = self._flags("row_layout_bits", self.out_features), self._flags("column_layout_bits", self.in_features)
        return ShrunkLinear(self.dense_weight(), bias, self.rows, self.columns, *layouts, dtype)

    def part(self) -> Tensor:
        """The stored part, (rows, columns), float32."""
        return self.weight.float()

    def read_columns(self) -> Tensor:
        """Which of the inputs that arrive are read, boolean (column layout,)."""
        return self.columns[self._flags("column_layout_bits", self.in_features)]

    def _flags(self, name: str, count: int) -> Tensor:
        return unpack_bits(getattr(self, name), count)

    @property
    def rows(self) -> Tensor:
        """Boolean (out,): stored rows."""
        return self._flags("row_bits", self.out_features)

    @property
    def columns(self) -> Tensor:
        """Boolean (in,): stored columns."""
        return self._flags("column_bits", self.in_features)

    @property
    def inner_size(self) -> int:
        """Of the stored matrix, the smaller size."""
        return min(self.weight.shape)

    def spec(self) -> dict[str, int]:
        """Stored rows and columns, whether there is a bias, and bits a value."""
        rows, columns = self.weight.shape
        bits = 8 * self.weight.element_size()
        return {"rows": rows, "columns": columns, "biased": int(self.bias is not None), "value_bits": bits}

    def usual_execution(self) -> str:
        """``smaller``: one product with what is stored."""
        return "smaller"

    def flops(self) -> int:
        """One product with what is stored."""
        return dense_flops(*self.weight.shape)

    def executed_flops(self) -> int:
        """The same: nothing is filled in."""
        return self.flops()

    def dense_weight(self) -> Tensor:
        """Ŵ as (out, in) in float32, zeros filled in."""
        part = self.part()
        whole = torch.zeros(self.out_features, self.in_features, device=part.device)
        places = self.rows.nonzero(), self.columns.nonzero().T
        whole[places] = part
        return whole

    def factors(self) -> tuple[Tensor, Tensor]:
        """The stored rows over all inputs (rows, in), and where they go (rows, out)."""
        whole = self.dense_weight()
        return whole[self.rows], torch.eye(self.out_features, device=whole.device)[self.rows]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to what arrives, (..., column layout), giving (..., row layout) in the dtype of `x`."""
        expanded = self._expanded
        if expanded is None or expanded.dtype is not x.dtype or expanded.device != x.device:
            bias = None if self.bias is None else self.bias.to(device=x.device, dtype=x.dtype)
            weight = self.part().to(device=x.device, dtype=x.dtype)
            expanded = self._expanded = _Expanded(x.dtype, x.device, (weight,), bias)
            self._places = None
        if self._places is None:
            self._places = self._find_places(x.device)
        gathered, scattered, width = self._places
        output = F.linear(x if gathered is None else x.index_select(-1, gathered), expanded.tensors[0], expanded.bias)
        if scattered is None:
            return output
        whole = output.new_zeros(*output.shape[:-1], width)
        return whole.index_copy(-1, scattered, output)

    def _find_places(self, device: torch.device) -> tuple[Tensor | None, Tensor | None, int]:
        """Where stored columns stand among what arrives and stored rows among what leaves; None for everywhere."""
        columns, rows = self.read_columns(), self.rows[self._flags("row_layout_bits", self.out_features)]
        gathered = None if bool(columns.all()) else columns.nonzero()[:, 0].to(device)
        scattered = None if bool(rows.all()) else rows.nonzero()[:, 0].to(device)
        return gathered, scattered, len(rows)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._places = None
        super()._load_from_state_dict(*args, **kwargs)


class TwoOfFourLinear(CompressedLinear):
    """Two of every four neighbouring weights of a row, with their places; the others are zero.

    Stored: the kept values as (n, m/2) in 16 bits, in order, and the place of each within its four in 2 bits, packed,
    least significant bit first. On a CPU the zeros are filled in: the layer runs as one dense matrix.

    Source: the 2:4 format of Accelerating sparse deep neural networks (2104.08378).
    """

    representation = "2:4"

    def __init__(self, weight: Tensor, mask: Tensor, bias: Tensor | None = None) -> None:
        """Keep what the mask marks.

        Args:
            weight: (n, m), m a multiple of four; entries outside `mask` are ignored.
            mask: boolean (n, m), two true entries in every four neighbours.
            bias: (n,) or None.
        """
        super().__init__(weight.shape[1], weight.shape[0], bias)
        places = mask.view(-1, 4).nonzero()[:, 1]
        self.values: Tensor
        self.place_bits: Tensor
        self.register_buffer("values", to_storage(weight[mask].view(len(weight), -1)))
        self.register_buffer("place_bits", pack_bits(torch.stack([places % 2, places // 2], 1).bool()))

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> TwoOfFourLinear:
        """A layer filled with zeros in the first two places of every four."""
        mask = (torch.arange(in_features) % 4 < 2).repeat(out_features, 1)
        return cls(torch.zeros(out_features, in_features), mask, bias)

    @property
    def inner_size(self) -> int:
        """The outputs: as a product of two factors, one of them would be the identity."""
        return self.out_features

    def spec(self) -> dict[str, int]:
        """Values kept in a row."""
        return {"nonzeros_per_row": self.values.shape[1]}

    def flops(self) -> int:
        """One product with the values that stay."""
        return two_of_four_flops(self.out_features, self.in_features)

    def mask(self) -> Tensor:
        """Boolean (n, m): which weights are stored."""
        count = self.out_features * self.in_features // 2
        bits = unpack_bits(self.place_bits, 2 * count).view(count, 2)
        places = (bits[:, 0] + 2 * bits[:, 1]).view(-1, 2)
        groups = torch.zeros(len(places), 4, dtype=torch.bool, device=places.device)
        return groups.scatter_(1, places, True).view(self.out_features, self.in_features)

    def kept(self) -> Tensor:
        """The values that are stored, (n, m/2), float32."""
        return self.values.float()

    def dense_weight(self) -> Tensor:
        """Ŵ in float32, zeros filled in."""
        mask = self.mask()
        return torch.zeros(mask.shape, device=mask.device).masked_scatter_(mask, self.kept())

    def factors(self) -> tuple[Tensor, Tensor]:
        """Ŵ (n, m) and the identity (n, n)."""
        return self.dense_weight(), torch.eye(self.out_features, device=self.place_bits.device)


class SumLinear(CompressedLinear):
    """``y = layer(x) + adapter(x)``: a compressed layer and a low-rank adapter beside it; both are stored and count.

    Where the layer is low-rank itself the two are merged instead, see `compression.distillation.layers`.
    """

    representation = "sum"
    SEPARATOR: ClassVar[str] = " + "
    ADAPTER: ClassVar[str] = "adapter_"

    def __init__(self, layer: CompressedLinear, adapter: CompressedLinear) -> None:
        """Keep both; the bias stays with the layer."""
        super().__init__(layer.in_features, layer.out_features, None)
        self.layer, self.adapter = layer, adapter
        self.representation = f"{layer.representation}{self.SEPARATOR}{adapter.representation}"  # type: ignore[misc]

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> SumLinear:
        """Needs the kinds of both parts: see `compression.layer_types.empty_layer`."""
        raise ValueError("a sum of two layers is built from its parts")

    @property
    def inner_size(self) -> int:
        """Of both together."""
        return self.layer.inner_size + self.adapter.inner_size

    def spec(self) -> dict[str, int]:
        """The layer's sizes, and the adapter's under names of their own."""
        return self.layer.spec() | {f"{self.ADAPTER}{name}": size for name, size in self.adapter.spec().items()}

    def stored_bits(self) -> int:
        """Of both."""
        return self.layer.stored_bits() + self.adapter.stored_bits()

    def resident_bytes(self) -> int:
        """Of both."""
        return self.layer.resident_bytes() + self.adapter.resident_bytes()

    def expanded_bytes(self) -> int:
        """Of both."""
        return self.layer.expanded_bytes() + self.adapter.expanded_bytes()

    def flops(self) -> int:
        """Of both."""
        return self.layer.flops() + self.adapter.flops()

    def executed_flops(self) -> int:
        """Of both."""
        return self.layer.executed_flops() + self.adapter.executed_flops()

    def factors(self) -> tuple[Tensor, Tensor]:
        """Those of both, one below the other."""
        (a, b), (c, d) = self.layer.factors(), self.adapter.factors()
        return torch.cat([a, c]), torch.cat([b, d])

    def dense_weight(self) -> Tensor:
        """The sum of both, float32."""
        return self.layer.dense_weight() + self.adapter.dense_weight()

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        both: Tensor = self.layer(x) + self.adapter(x)
        return both


def quantize_columns(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round the columns of (rows, r) to 8 bits: int8 codes and float16 scales (r,), ``codes · scales`` ≈ matrix."""
    scales = to_storage(matrix.abs().amax(0) / 127)
    divisors = torch.where(scales > 0, scales.to(matrix.dtype), 1)
    return (matrix / divisors).round().clamp(-127, 127).to(torch.int8), scales


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


def bytes_held(tensors: Iterable[Tensor]) -> int:
    """Bytes of the memory behind some tensors; memory that several share counts once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
