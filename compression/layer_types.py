"""Every kind of layer that a compressed model can hold, by the name that its report gives it."""

from __future__ import annotations

from torch import Tensor

from compression.modules import (
    CompressedLinear,
    DictionaryLinear,
    LowRankLinear,
    MixedLowRankLinear,
    ShrunkLinear,
    SumLinear,
    TwoOfFourLinear,
)
from compression.quantization.fast import Int8Linear, Int8WeightLinear
from compression.quantization.int4 import Int4Linear
from compression.quantization.layers import (
    QuantizedDictionaryLinear,
    QuantizedLinear,
    QuantizedLowRankLinear,
    QuantizedShrunkLinear,
    QuantizedTwoOfFourLinear,
)

LAYER_TYPES: dict[str, type[CompressedLinear]] = {
    layer.representation: layer
    for layer in (
        LowRankLinear,
        MixedLowRankLinear,
        DictionaryLinear,
        ShrunkLinear,
        TwoOfFourLinear,
        Int8Linear,
        Int8WeightLinear,
        Int4Linear,
        QuantizedLinear,
        QuantizedLowRankLinear,
        QuantizedDictionaryLinear,
        QuantizedShrunkLinear,
        QuantizedTwoOfFourLinear,
    )
}
"""Representation name → class. A `SumLinear` goes by the names of its two parts."""


def empty_layer(
    representation: str, in_features: int, out_features: int, bias: Tensor | None, sizes: dict[str, int]
) -> CompressedLinear:
    """A layer of the right shapes whose values are still to be loaded.

    Args:
        representation: a name in `LAYER_TYPES`, or two of them as `SumLinear` joins them.
        in_features: m.
        out_features: n.
        bias: (n,) or None.
        sizes: what the layer's ``spec()`` said.

    Raises:
        KeyError: for a name or a size that is not known.
    """
    kind, separator, beside = representation.partition(SumLinear.SEPARATOR)
    if not separator:
        return LAYER_TYPES[kind].empty(in_features, out_features, bias, **sizes)
    prefix = SumLinear.ADAPTER
    own = {name: size for name, size in sizes.items() if not name.startswith(prefix)}
    rest = {name.removeprefix(prefix): size for name, size in sizes.items() if name.startswith(prefix)}
    layer = LAYER_TYPES[kind].empty(in_features, out_features, bias, **own)
    return SumLinear(layer, LAYER_TYPES[beside].empty(in_features, out_features, None, **rest))
