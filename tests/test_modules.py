"""Compressed layers: what they compute, what they store, and that these are the same values."""

from __future__ import annotations

import pytest
import reference
import torch
from torch import nn

from compression import accounting, linalg
from compression.modules import DictionaryLinear, LowRankLinear, pack_bits, unpack_bits


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def low_rank(bias: bool = True) -> LowRankLinear:
    g = generator()
    return LowRankLinear(
        torch.randn(24, 5, generator=g), torch.randn(5, 17, generator=g), torch.randn(17) if bias else None
    )


def dictionary(bias: bool = True) -> DictionaryLinear:
    g = generator()
    codes = torch.randn(17, 9, generator=g)
    mask = linalg.top_magnitude_mask(codes, 4)
    return DictionaryLinear(torch.randn(24, 9, generator=g), codes, mask, torch.randn(17) if bias else None)


LAYERS = {"low-rank": low_rank, "dictionary": dictionary}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_forward_equals_a_dense_layer_with_the_reconstructed_weight(make, bias):
    layer = make(bias)
    dense = nn.Linear(24, 17, bias=bias)
    with torch.no_grad():
        dense.weight.copy_(layer.dense_weight())
        if bias:
            dense.bias.copy_(layer.bias)
        x = torch.randn(2, 3, 24, generator=generator(1))
        reference.assert_close(layer(x), dense(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_stored_bits_are_the_bits_of_the_saved_tensors_and_the_formula(make):
    layer = make()
    saved = sum(8 * t.numel() * t.element_size() for name, t in layer.state_dict().items() if name != "bias")
    sizes = tuple(layer.spec().values())
    formula = {"low-rank": accounting.low_rank_bits, "dictionary": accounting.dictionary_bits}[layer.representation]
    assert layer.stored_bits() == saved == formula(17, 24, *sizes)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_an_empty_layer_takes_the_saved_tensors_and_gives_the_same_bits(make):
    layer = make()
    x = torch.randn(4, 24, generator=generator(2))
    twin = type(layer).empty(24, 17, torch.zeros(17), **layer.spec())
    twin(x)  # fills the expanded form with zeros: loading must drop it
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(x), layer(x))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_layer_follows_the_precision_of_its_input(make):
    layer, x = make(), torch.randn(4, 24, generator=generator(3))
    assert layer(x.bfloat16()).dtype == torch.bfloat16
    assert layer(x.double()).dtype == torch.float64
    assert layer(x).dtype == torch.float32


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_only_the_compressed_tensors_are_saved(make):
    layer = make()
    before = layer.state_dict().keys()
    layer(torch.randn(1, 24))
    assert layer.state_dict().keys() == before, "the expanded form must not be saved"
    dtypes = {t.dtype for name, t in layer.state_dict().items() if name != "bias"}
    assert dtypes <= {torch.float16, torch.uint8}


def test_a_dictionary_layer_stores_s_nonzeros_in_their_places():
    g = generator()
    codes = torch.randn(17, 9, generator=g)
    mask = linalg.top_magnitude_mask(codes, 4)
    layer = DictionaryLinear(torch.eye(24)[:, :9], codes, mask)
    assert torch.equal(layer.mask(), mask)
    assert (layer.codes() != 0).sum(1).tolist() == [4] * 17
    reference.assert_close(layer.dense_weight()[:, :9], torch.where(mask, codes, 0.0), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_extreme_scales_neither_overflow_nor_vanish_in_16_bits(scale):
    g = generator()
    left, right = torch.randn(24, 5, generator=g).double(), torch.randn(5, 17, generator=g).double()
    layer = LowRankLinear(left * scale, right / scale)
    reference.assert_close(layer.dense_weight().double(), (left @ right).T, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("count", [0, 1, 8, 13, 64])
def test_packing_bits_loses_nothing(count):
    flags = torch.rand(count, generator=generator()) > 0.5
    packed = pack_bits(flags)
    assert len(packed) == (count + 7) // 8
    assert torch.equal(unpack_bits(packed, count), flags)
