"""Compressed layers: what they compute, what they store, and that these are the same values."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import reference
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from compression import accounting, linalg
from compression.modules import (
    FACTORED_LIMIT,
    DictionaryLinear,
    LowRankLinear,
    MixedLowRankLinear,
    TwoOfFourLinear,
    choose_execution,
    pack_bits,
    padded_size,
    quantize_columns,
    unpack_bits,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def low_rank(bias: bool = True) -> LowRankLinear:
    g = generator()
    return LowRankLinear(
        torch.randn(24, 5, generator=g), torch.randn(5, 17, generator=g), torch.randn(17) if bias else None
    )


def mixed(bias: bool = True) -> MixedLowRankLinear:
    layer = low_rank(bias)
    return MixedLowRankLinear(layer.input_factor.float(), layer.output_factor.float(), layer.bias)


def dictionary(bias: bool = True) -> DictionaryLinear:
    g = generator()
    codes = torch.randn(17, 9, generator=g)
    mask = linalg.top_magnitude_mask(codes, 4)
    return DictionaryLinear(torch.randn(24, 9, generator=g), codes, mask, torch.randn(17) if bias else None)


def two_of_four(bias: bool = True) -> TwoOfFourLinear:
    g = generator()
    weight = torch.randn(17, 24, generator=g)
    mask = linalg.two_of_four_mask(torch.rand(17, 24, generator=g))
    return TwoOfFourLinear(weight, mask, torch.randn(17) if bias else None)


LAYERS = {"low-rank": low_rank, "low-rank, 8 and 16 bits": mixed, "dictionary": dictionary, "2:4": two_of_four}
FORMS = ["factored", "merged"]


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_forward_equals_a_dense_layer_with_the_reconstructed_weight(make, bias, form):
    layer = make(bias)
    layer.execution = form
    dense = nn.Linear(24, 17, bias=bias)
    with torch.no_grad():
        dense.weight.copy_(layer.dense_weight())
        if bias:
            dense.bias.copy_(layer.bias)
        x = torch.randn(2, 3, 24, generator=generator(1))
        reference.assert_close(layer(x), dense(x), rtol=1e-4, atol=1e-5)
        reference.assert_close(layer(x[0, 0]), dense(x[0, 0]), rtol=1e-4, atol=1e-5)
        assert layer(x[:, :0]).shape == (2, 0, 17)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_first_pass_in_products_of_bfloat16_leaves_nothing_rounded(make, form):
    x = torch.randn(3, 24, generator=generator(1))
    plain = make()
    plain.execution = form
    trained = copy.deepcopy(plain)
    with torch.autocast("cpu", torch.bfloat16):
        trained(x)
    assert torch.equal(trained(x), plain(x))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("form", FORMS)
def test_resident_bytes_are_those_of_every_tensor_the_layer_holds(make, form):
    layer = make()
    layer.execution = form
    stored = sum(t.numel() * t.element_size() for t in layer.buffers())
    assert layer.resident_bytes() == stored and layer.expanded_bytes() == 0, "nothing is expanded before it is needed"
    layer(torch.randn(3, 24))
    floats = 24 * 17 if form == "merged" else padded_size(layer.inner_size) * (24 + 17)
    assert layer.expanded_bytes() == 4 * floats
    assert (
        layer.resident_bytes()
        == sum({t.data_ptr(): t.untyped_storage().nbytes() for t in held(layer)}.values())
        == stored + 4 * floats
    )


def held(layer: nn.Module) -> list[torch.Tensor]:
    """Every tensor that can be reached from the layer's attributes."""
    found, todo = [], [vars(layer)]
    while todo:
        value = todo.pop()
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif dataclasses.is_dataclass(value):
            todo.extend(getattr(value, field.name) for field in dataclasses.fields(value))
        elif isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, list | tuple):
            todo.extend(value)
    return found


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_flops_are_those_of_the_representation_and_of_the_products_that_run(make):
    layer = make()
    x = torch.randn(7, 24)
    for form in FORMS:
        layer.execution = form
        layer(x)
        with FlopCounterMode(display=False) as counter:
            layer(x)
        assert counter.get_total_flops() == 7 * layer.executed_flops()
    nonzeros = {"dictionary": 24 * 9 + 4 * 17, "2:4": 17 * 12}.get(layer.representation, 5 * (24 + 17))
    assert layer.flops() == 2 * nonzeros


def test_another_form_drops_what_was_expanded_and_unknown_ones_are_refused():
    layer = low_rank()
    x = torch.randn(3, 24)
    layer.execution = "merged"
    merged = layer(x)
    layer.execution = "factored"
    assert layer.expanded_bytes() == 0
    reference.assert_close(layer(x), merged, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="factored"):
        layer.execution = "blocked"


@pytest.mark.parametrize("shape", [(576, 576), (192, 576), (1536, 576), (576, 1536), (17, 24), (2304, 768)])
def test_two_products_run_only_where_they_cost_less_than_one(shape):
    n, m = shape
    forms = [choose_execution(n, m, inner) for inner in range(1, min(shape) + 1)]
    assert forms == sorted(forms), "once merged, always merged"
    assert choose_execution(n, m, accounting.break_even_rank(n, m)) == "merged"
    for inner, form in enumerate(forms, start=1):
        if form == "factored":
            assert padded_size(inner) * (m + n) <= FACTORED_LIMIT * m * n


@pytest.mark.parametrize("shape", [(576, 576), (192, 576), (1536, 576), (576, 1536)])
def test_at_forty_percent_removed_every_shape_of_the_default_model_runs_factored(shape):
    size = accounting.dictionary_size_for(*shape, 0.4)
    assert choose_execution(*shape, accounting.rank_for(*shape, 0.4)) == "factored"
    assert choose_execution(*shape, size.num_atoms) == "factored"


def test_a_small_layer_runs_merged():
    assert low_rank().execution == dictionary().execution == "merged"


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_stored_bits_are_the_bits_of_the_saved_tensors_and_the_formula(make):
    layer = make()
    saved = sum(8 * t.numel() * t.element_size() for name, t in layer.state_dict().items() if name != "bias")
    sizes = () if layer.representation == "2:4" else tuple(layer.spec().values())
    formula = {
        "low-rank": accounting.low_rank_bits,
        "low-rank, 8 and 16 bits": accounting.mixed_low_rank_bits,
        "dictionary": accounting.dictionary_bits,
        "2:4": accounting.two_of_four_bits,
    }[layer.representation]
    assert layer.stored_bits() == saved == formula(17, 24, *sizes)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("form", FORMS)
def test_an_empty_layer_takes_the_saved_tensors_and_gives_the_same_bits(make, form):
    layer = make()
    x = torch.randn(4, 24, generator=generator(2))
    twin = type(layer).empty(24, 17, torch.zeros(17), **layer.spec())
    layer.execution = twin.execution = form
    twin(x)  # fills the expanded form with zeros: loading must drop it
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(x), layer(x))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_follows_the_precision_of_its_input(make, form):
    layer, x = make(), torch.randn(4, 24, generator=generator(3))
    layer.execution = form
    assert layer(x.bfloat16()).dtype == torch.bfloat16
    assert layer(x.double()).dtype == torch.float64
    assert layer(x).dtype == torch.float32


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("form", FORMS)
def test_only_the_compressed_tensors_are_saved(make, form):
    layer = make()
    layer.execution = form
    before = layer.state_dict().keys()
    layer(torch.randn(1, 24))
    assert layer.state_dict().keys() == before, "the expanded form must not be saved"
    dtypes = {t.dtype for name, t in layer.state_dict().items() if name != "bias"}
    assert dtypes <= {torch.float16, torch.uint8, torch.int8}


def test_columns_in_8_bits_are_off_by_half_a_step_at_most():
    matrix = torch.randn(40, 6, generator=generator()) * torch.logspace(-3, 3, 6)
    matrix[:, 2] = 0
    codes, scales = quantize_columns(matrix)
    assert codes.dtype == torch.int8 and codes.abs().amax(0).tolist() == [127, 127, 0, 127, 127, 127]
    # The scale itself is rounded to 11 bits, which moves the largest entry by up to 127 ÷ 2048 steps.
    assert ((codes.float() * scales.float() - matrix).abs() <= 0.57 * scales.float() + 1e-12).all()


def test_a_dictionary_layer_stores_s_nonzeros_in_their_places():
    g = generator()
    codes = torch.randn(17, 9, generator=g)
    mask = linalg.top_magnitude_mask(codes, 4)
    layer = DictionaryLinear(torch.eye(24)[:, :9], codes, mask)
    assert torch.equal(layer.mask(), mask)
    assert (layer.codes() != 0).sum(1).tolist() == [4] * 17
    reference.assert_close(layer.dense_weight()[:, :9], torch.where(mask, codes, 0.0), rtol=1e-3, atol=1e-7)


def test_a_two_of_four_layer_stores_half_of_the_values_in_their_places():
    g = generator()
    weight = torch.randn(17, 24, generator=g)
    mask = linalg.two_of_four_mask(torch.rand(17, 24, generator=g))
    layer = TwoOfFourLinear(weight, mask)
    assert (
        torch.equal(layer.mask(), mask) and layer.values.shape == (17, 12) and layer.spec() == {"nonzeros_per_row": 12}
    )
    assert torch.equal(layer.dense_weight(), torch.where(mask, weight, 0.0).half().float())
    assert layer.execution == "merged", "on a CPU it is one dense matrix"
    assert layer.flops() == accounting.dense_flops(17, 24) / 2


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
