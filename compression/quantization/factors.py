"""Layers that are factors already, in fewer bits: each factor on what arrives at it behind the one before."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from compression.accounting import VALUE_BITS
from compression.errors import UserError
from compression.linalg import relative_output_error
from compression.modules import (
    CompressedLinear,
    DictionaryLinear,
    LowRankLinear,
    MixedLowRankLinear,
    RankLinear,
    ShrunkLinear,
    SumLinear,
    TwoOfFourLinear,
)
from compression.quantization.grid import QuantizationSettings, Quantized, round_to_nearest
from compression.quantization.layers import (
    PackedMatrix,
    QuantizedDictionaryLinear,
    QuantizedLinear,
    QuantizedLowRankLinear,
    QuantizedShrunkLinear,
    QuantizedTwoOfFourLinear,
)
from compression.quantization.solver import MAX_DAMPING, gptq, gptq_rows
from compression.sites import read_weight

REFIT_DAMPING = 1e-6
"""Of the Gram matrix behind the first factor when the second is solved anew, as a share of its mean diagonal."""
CHUNK_BYTES = 2**27
"""Memory for the Gram matrices of single rows."""

Note = Callable[[str], object]
"""Takes a sentence on a fallback."""


def _unsaid(_note: str) -> None:
    """For callers that report nothing."""


def quantize_layer(
    layer: nn.Module, gram: Tensor | None, settings: QuantizationSettings, note: Note = _unsaid
) -> CompressedLinear:
    """A layer in fewer bits.

    Args:
        layer: dense, low-rank (of 16 bits, or partly of 8), a dictionary, of a 2:4 pattern, without some rows and
            columns, or one of these with an adapter beside it.
        gram: ``XᵀX`` of the inputs that arrive, (in, in), for GPTQ; None to round to nearest.
        settings: how.
        note: called with a sentence on every fallback.

    Raises:
        UserError: for a layer of another kind, or inputs that no damping helps.
    """
    bias = layer.bias.detach() if isinstance(layer.bias, Tensor) else None

    def packed(quantized: Quantized) -> PackedMatrix:
        return PackedMatrix(quantized, settings.symmetric)

    if isinstance(layer, LowRankLinear | MixedLowRankLinear):
        first, second = _low_rank(layer, gram, settings)
        return QuantizedLowRankLinear(packed(first), packed(second), bias)
    if isinstance(layer, DictionaryLinear):
        first, second = _dictionary(layer, gram, settings, note)
        return QuantizedDictionaryLinear(packed(first), packed(second), layer.mask(), bias)
    if type(layer) is TwoOfFourLinear:
        return QuantizedTwoOfFourLinear(packed(_two_of_four(layer, gram, settings)), layer)
    if type(layer) is ShrunkLinear:
        part = layer.part()
        read = _read(layer, gram)
        made = round_to_nearest(part, settings) if read is None else gptq(part, read, settings)
        return QuantizedShrunkLinear(packed(made), layer)
    if isinstance(layer, SumLinear):
        beside = layer.adapter
        own = quantize_layer(layer.layer, gram, settings, note)
        if gram is not None and isinstance(beside, LowRankLinear):
            beside = _making_up(beside, layer.dense_weight() - own.dense_weight(), gram)
        return SumLinear(own, quantize_layer(beside, gram, settings, note))
    if isinstance(layer, CompressedLinear):
        raise UserError(
            f"A layer that is stored as {layer.representation} cannot be quantised: dense, low-rank and dictionary "
            "layers can, those of a 2:4 pattern, and those without some rows and columns."
        )
    weight = read_weight(layer)
    return QuantizedLinear(
        packed(round_to_nearest(weight, settings) if gram is None else gptq(weight, gram, settings)), bias
    )


def output_error(before: nn.Module, after: CompressedLinear, gram: Tensor) -> float:
    """‖X(W − Ŵ)ᵀ‖ ÷ ‖XWᵀ‖ of what a layer was and what became of it.

    Args:
        before: dense or compressed.
        after: what `quantize_layer` made of it.
        gram: ``XᵀX`` of the inputs that arrive.
    """
    if isinstance(before, ShrunkLinear) and isinstance(after, ShrunkLinear):
        read = _read(before, gram)
        assert read is not None
        return relative_output_error(before.part(), after.part(), read)
    return relative_output_error(weight_of(before), after.dense_weight(), gram)


def _read(layer: ShrunkLinear, gram: Tensor | None) -> Tensor | None:
    """The Gram matrix of the inputs that a layer without some columns reads."""
    read = layer.read_columns()
    return None if gram is None else gram[read][:, read]


def _making_up(adapter: LowRankLinear, missing: Tensor, gram: Tensor) -> LowRankLinear:
    """The adapter that comes nearest to what is missing beside a quantised layer, with its first factor as it was.

    Least squares on the inputs that arrive: ``second = missing · G Fᵀ (F G Fᵀ)⁻¹``.
    """
    first, _ = adapter.factors()
    seen = first.double() @ gram.double()
    hidden = seen @ first.double().T
    second = torch.linalg.solve(_damped(hidden), seen @ missing.double().T)
    return LowRankLinear(first.T, second.float(), adapter.bias)


def weight_of(layer: nn.Module) -> Tensor:
    """The matrix (out, in) that a layer stands for, dense or compressed."""
    return layer.dense_weight() if isinstance(layer, CompressedLinear) else read_weight(layer)


def bits_of(layer: nn.Module) -> int:
    """Bits that a layer's weight takes, 16 a value where it is dense."""
    return layer.stored_bits() if isinstance(layer, CompressedLinear) else VALUE_BITS * read_weight(layer).numel()


def _low_rank(layer: RankLinear, gram: Tensor | None, settings: QuantizationSettings) -> tuple[Quantized, Quantized]:
    """``first`` (r, in) and ``second`` (out, r).

    The columns of the second share scales, so they get equal norms; the rows of the first, which have scales of their
    own, take what is left. Behind the quantised first factor the second is solved anew by least squares, then rounded.
    """
    first, transposed = layer.factors()
    second = transposed.T
    norms = second.norm(dim=0).clamp_min(torch.finfo(second.dtype).tiny)
    first, second = first * norms[:, None], second / norms
    if gram is None:
        return round_to_nearest(first, settings), round_to_nearest(second, settings)
    rounded = gptq(first, gram, settings)
    hidden, cross = _behind(rounded, first, gram)
    fitted = torch.linalg.solve(_damped(hidden), cross @ second.double().T).T if hidden.any() else second
    return rounded, gptq(fitted, hidden, settings)


def _dictionary(
    layer: DictionaryLinear, gram: Tensor | None, settings: QuantizationSettings, note: Note
) -> tuple[Quantized, Quantized]:
    """Dᵀ (k, in) and the nonzeros of Sᵀ (out, s): as above, and every row of Sᵀ on the Gram matrix of its own atoms."""
    mask, first, codes = layer.mask(), *layer.factors()
    second = codes.T
    counts = mask.sum(0).clamp_min(1)
    sizes = (second.square().sum(0) / counts).sqrt().clamp_min(torch.finfo(second.dtype).tiny)
    first, second = first * sizes[:, None], second / sizes
    if gram is None:
        return round_to_nearest(first, settings), round_to_nearest(second[mask].view(len(mask), -1), settings)
    rounded = gptq(first, gram, settings)
    hidden, cross = _behind(rounded, first, gram)
    places = mask.nonzero()[:, 1].view(len(mask), -1)
    wanted = (cross @ second.double().T).T.gather(1, places)
    values = second.double().gather(1, places)
    pieces, most = [], REFIT_DAMPING
    rows = _rows_at_once(places)
    for piece, right, before in zip(places.split(rows), wanted.split(rows), values.split(rows), strict=True):
        own, silent = _own_grams(hidden, piece)
        lower, damping = _row_factors(own)
        most = max(most, damping)
        # Where nothing arrives the values stay.
        fitted = torch.cholesky_solve(torch.where(silent[:, None], before, right)[:, :, None], lower)[:, :, 0]
        pieces.append(gptq_rows(fitted, own, settings))
    if most > REFIT_DAMPING:
        note(f"Gram matrix damped with {most:.0e} of its mean diagonal instead of {REFIT_DAMPING:.0e}")
    return rounded, _stacked(pieces)


def _two_of_four(layer: TwoOfFourLinear, gram: Tensor | None, settings: QuantizationSettings) -> Quantized:
    """The kept values (out, in/2), every row on the Gram matrix of the inputs it reads: zeros make up for nothing."""
    kept = layer.kept()
    if gram is None:
        return round_to_nearest(kept, settings)
    if not bool(torch.isfinite(gram).all()):
        raise UserError("GPTQ needs a finite Gram matrix of the layer's inputs: calibrate again.")
    places = layer.mask().nonzero()[:, 1].view(kept.shape)
    rows = _rows_at_once(places)
    whole = gram.double()
    pieces = zip(places.split(rows), kept.split(rows), strict=True)
    return _stacked([gptq_rows(values, _own_grams(whole, piece)[0], settings) for piece, values in pieces])


def _rows_at_once(places: Tensor) -> int:
    """How many rows' own Gram matrices are held at a time."""
    return max(1, CHUNK_BYTES // (8 * places.shape[1] ** 2))


def _own_grams(gram: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Every row's part of a Gram matrix, (rows, s, s), and of which rows nothing ever arrives at any place, (rows,).

    These get the identity: their places count as independent of each other.

    Args:
        gram: (k, k).
        places: (rows, s), where each row reads.
    """
    own = gram[places[:, :, None], places[:, None, :]]
    silent = own.diagonal(dim1=1, dim2=2).sum(1) <= 0
    own[silent] = torch.eye(places.shape[1], dtype=own.dtype)
    return own, silent


def _stacked(pieces: list[Quantized]) -> Quantized:
    """Rows below rows."""
    codes, scales, zeros = (torch.cat([getattr(p, name) for p in pieces]) for name in ("codes", "scales", "zeros"))
    return Quantized(codes, scales, zeros, pieces[0].bits, pieces[0].group)


def _row_factors(grams: Tensor) -> tuple[Tensor, float]:
    """Lower Cholesky factors of a Gram matrix for every row, (rows, s, s), and the largest damping it took.

    Where a factor does not exist the row's damping grows tenfold until it does.

    Raises:
        UserError: if one does not exist for any damping.
    """
    mean = grams.diagonal(dim1=1, dim2=2).mean(1)
    damping = torch.full_like(mean, REFIT_DAMPING)
    while True:
        damped = grams + (damping * mean)[:, None, None] * torch.eye(grams.shape[1], dtype=grams.dtype)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed.any():
            return lower, float(damping.max())
        damping = torch.where(failed > 0, 10 * damping, damping)
        if not bool((damping <= MAX_DAMPING).all()):
            raise UserError("The Gram matrix of a layer's inputs cannot be inverted: calibrate on a longer text.")


def _damped(hidden: Tensor) -> Tensor:
    mean = hidden.diagonal().mean().clamp_min(torch.finfo(hidden.dtype).tiny)
    return hidden + REFIT_DAMPING * mean * torch.eye(len(hidden), dtype=hidden.dtype)


def _behind(rounded: Quantized, first: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """What arrives at the second factor: its Gram matrix ``F G Fᵀ``, and ``F G Aᵀ`` with what arrived before rounding.

    Exact, and no other pass over the text: F is the first factor rounded, A as it was.
    """
    after = rounded.dequantized().double()
    seen = after @ gram.double()
    return seen @ after.T, seen @ first.double().T
