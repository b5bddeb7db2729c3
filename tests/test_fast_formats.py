"""Layers in 8 bits beside integers by hand, whole models, and the command that times formats."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tiny import SENTENCES, finish, tiny_llama, write_tiny_llama
from torch import Tensor, nn
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.accounting import quantized_bits
from compression.errors import UserError
from compression.modules import LowRankLinear
from compression.quantization import fast
from compression.quantization.fast import Int8Embedding, Int8Linear, Int8Weight, Int8WeightLinear, to_int8
from compression.quantization.formats import NOTHING_FITS
from compression.quantization.formats_report import FormatsReport
from compression.quantization.grid import QuantizationSettings, round_to_nearest
from compression.quantization.int4 import Int4Linear, to_int4
from compression.quantization.layers import PackedMatrix
from compression.quantization.sequence import quantize_plainly
from compression.sites import compressed_copy, find_sites


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(layer: Int8Linear, x: Tensor) -> Tensor:
    """Integers times integers in float64: one scale and one zero point for a row of inputs, from its range and zero."""
    rows = (x.double() * layer.weight.smooth.float().reciprocal().double()).reshape(-1, layer.in_features)
    found = []
    reach = rows.abs().amax(1).clamp_min(1e-30)
    if len(rows) > 1:
        rows = rows / reach[:, None]
        low, high = rows.min().clamp_max(0), rows.max().clamp_min(0)
        ranges = [(low, high)] * len(rows)
    else:
        ranges = [(rows.min().clamp_max(0), rows.max().clamp_min(0))]
        reach = torch.ones(1, dtype=torch.float64)
    for row, (low, high), factor in zip(rows, ranges, reach, strict=True):
        scale = (high - low) / 255
        zero = (-low / scale).round().clamp(0, 255)
        codes = ((row / scale).round() + zero).clamp(0, 255) - zero
        sums = layer.weight.codes.double() @ codes
        found.append(sums * layer.weight.scales.double() * scale * factor)
    made = torch.stack(found).view(*x.shape[:-1], layer.out_features)
    return made if layer.bias is None else made + layer.bias.double()


@pytest.mark.parametrize("shape", [(1, 40), (1, 1, 40), (3, 40), (2, 5, 40)])
@pytest.mark.parametrize(("out_features", "in_features"), [(24, 40), (7, 33)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.skipif(not fast.WIDE_SUMS, reason="this processor rounds inputs to 7 bits")
def test_a_layer_multiplies_integers_as_by_hand(
    shape: tuple[int, ...], out_features: int, in_features: int, bias: bool
) -> None:
    weight = torch.randn(out_features, in_features, generator=generator())
    reach = torch.logspace(-2, 2, in_features)
    layer = Int8Linear(Int8Weight(weight, reach), torch.arange(out_features) / 3 if bias else None)
    x = torch.randn(*shape[:-1], in_features, generator=generator(1)) * reach
    expected = by_hand(layer, x)
    # A value in the middle between two codes may go either way: one step of one input.
    assert (layer(x).double() - expected).norm() < 5e-3 * expected.norm()
    assert layer(x).dtype == torch.float32 and layer(x.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(layer(x), layer(x))
    exact = x.double() @ layer.dense_weight().double().T + (0 if layer.bias is None else layer.bias)
    assert (layer(x) - exact).norm() < 0.02 * exact.norm()
    assert ((layer.dense_weight() - weight) * reach).norm() < 0.02 * (weight * reach).norm()


def test_smoothing_saves_what_one_large_input_would_drown() -> None:
    weight = torch.randn(30, 64, generator=generator())
    x = torch.randn(20, 64, generator=generator(1))
    x[:, 3] *= 200
    reach = x.abs().amax(0)
    wanted = x @ weight.T
    plain, smooth = (Int8Linear(Int8Weight(weight, given), None)(x) for given in (None, reach))
    small = torch.arange(64) != 3
    part = x[:, small] @ weight[:, small].T

    def lost(made: Tensor) -> float:
        return float((made - wanted).norm() / part.norm())

    assert lost(smooth) < 0.4 * lost(plain)


def test_rows_have_scales_of_their_own_and_extremes_stay_finite() -> None:
    layer = Int8Linear(Int8Weight(torch.randn(6, 16, generator=generator())), None)
    x = torch.randn(3, 16, generator=generator(1)) * torch.tensor([[1e-3], [1.0], [1e4]])
    together, alone = layer(x), torch.cat([layer(x[i : i + 1]) for i in range(3)])
    assert bool(((together - alone).norm(dim=1) < 0.03 * alone.norm(dim=1)).all())
    assert not layer(torch.zeros(2, 16)).any() and torch.isfinite(layer(torch.full((2, 16), 1e30))).all()
    assert layer(torch.zeros(0, 16)).shape == (0, 6)
    zero = Int8Linear(Int8Weight(torch.zeros(4, 8), torch.zeros(8)), None)
    assert not zero(torch.ones(1, 8)).any() and not zero.dense_weight().any()


def test_stored_bits_are_those_of_the_tensors_and_a_loaded_layer_computes_the_same() -> None:
    layer = Int8Linear(Int8Weight(torch.randn(12, 20, generator=generator()), torch.rand(20) + 0.1), torch.ones(12))
    assert layer.stored_bits() == 8 * 12 * 20 + 16 * (12 + 20)
    x = torch.randn(4, 20)
    first = layer(x)
    again = Int8Linear.empty(20, 12, torch.zeros(12), **layer.spec())
    again(x)  # packs zeros, which loading has to drop
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), first) and torch.equal(copy.deepcopy(layer)(x), first)
    codes = again.weight.codes.numel()
    assert again.expanded_bytes() == codes and again.resident_bytes() == layer.stored_bits() // 8 + 4 * 12 + codes


def test_quantised_layers_become_int8_and_factors_stay_as_they_are() -> None:
    model = tiny_llama()
    sites = find_sites(model)
    tokens = torch.randint(1, model.config.vocab_size, (2, 24), generator=generator())
    packed = finish(quantize_plainly(model, sites, QuantizationSettings(4, 32))).model
    made = to_int8(packed, sites, tokens)
    for site in sites:
        layer, stored = made.get_submodule(site.name), packed.get_submodule(site.name).dense_weight()
        assert isinstance(layer, Int8Linear) and (layer.dense_weight() - stored).norm() < 0.01 * stored.norm()
    first = sites[0]
    factors = LowRankLinear(torch.randn(64, 8), torch.randn(8, first.out_features))
    mixed = compressed_copy(model, {first.name: factors})
    assert to_int8(mixed, sites, tokens).get_submodule(first.name).spec() == factors.spec()


def test_a_whole_model_in_8_bits_answers_nearly_the_same_and_leaves_the_original_alone() -> None:
    model = tiny_llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tokens = torch.randint(1, model.config.vocab_size, (4, 24), generator=generator())
    made = to_int8(model, find_sites(model), tokens)
    with torch.no_grad():
        wanted, found = model(tokens).logits, made(tokens).logits
        one = made(tokens[:1, :1]).logits
    assert (found - wanted).norm() < 0.05 * wanted.norm() and one.shape[:2] == (1, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sum(isinstance(module, Int8Linear) for module in made.modules()) == len(find_sites(model)) + 1
    tied = model.config.tie_word_embeddings
    assert isinstance(made.get_input_embeddings(), Int8Embedding if tied else nn.Embedding)
    if tied:
        assert made.get_input_embeddings().weight is not made.get_output_embeddings().weight
        alone = to_int8(model, find_sites(model))
        assert alone.get_input_embeddings().weight is alone.get_output_embeddings().weight
    prompt = tokens[:1, :8]
    expected = copy.deepcopy(model)
    for name, module in made.named_modules():
        if isinstance(module, Int8Linear):
            expected.get_submodule(name).weight = nn.Parameter(module.dense_weight())
    written = [m.generate(prompt, max_new_tokens=8, do_sample=False, pad_token_id=0) for m in (made, expected)]
    assert float((written[0] == written[1]).float().mean()) > 0.8


def test_another_device_and_a_build_without_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Int8Linear(Int8Weight(torch.ones(2, 4)), None)
    with pytest.raises(UserError, match="computes on a CPU only"):
        layer(torch.ones(1, 4, device="meta"))
    model = tiny_llama()
    monkeypatch.setattr(fast, "KERNELS", ())
    with pytest.raises(UserError, match="no 8-bit kernels"):
        to_int8(model, find_sites(model), torch.ones(1, 4, dtype=torch.long))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5)])
@pytest.mark.parametrize(("size", "bias"), [(33, False), (40, True), (48, True)])
def test_a_layer_with_weights_in_8_bits_multiplies_codes_as_by_hand(
    shape: tuple[int, ...], size: int, bias: bool
) -> None:
    weight = torch.randn(7, size, generator=generator())
    weight[1] = 0
    weight[2, 3] = 500
    layer = Int8WeightLinear(Int8Weight(weight), torch.arange(7) / 3 if bias else None)
    assert layer.stored_bits() == 8 * 7 * size + 16 * 7
    x = torch.randn(*shape, size, generator=generator(1))
    inputs, codes = x.bfloat16().double(), layer.weight.codes.double()
    expected = (inputs @ codes.T) * layer.weight.scales.bfloat16().double()
    extra = 0 if layer.bias is None else layer.bias.double()
    # The sum is rounded to bfloat16 once.
    assert bool(((layer(x).double() - expected - extra).abs() <= 2**-8 * expected.abs() + 1e-5).all())
    assert layer(x).dtype == torch.float32 and layer(x.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(layer(x), layer(x)) and layer(x[:0]).shape == (0, *shape[1:], 7)
    assert float((layer.dense_weight() - weight).abs().amax(1).div(weight.abs().amax(1).clamp_min(1)).amax()) < 0.005
    again = Int8WeightLinear.empty(size, 7, torch.zeros(7) if bias else None, **layer.spec())
    again(x)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), layer(x)) and torch.equal(copy.deepcopy(layer)(x), layer(x))
    with pytest.raises(UserError, match="computes on a CPU only"):
        layer(torch.ones(1, size, device="meta"))


def test_a_model_with_weights_in_8_bits_needs_no_text_and_writes_what_its_weights_say() -> None:
    model = tiny_llama()
    made = to_int8(model, find_sites(model))
    expected = copy.deepcopy(model)
    for name, module in made.named_modules():
        assert not isinstance(module, Int8Linear) or type(module) is Int8WeightLinear
        if isinstance(module, Int8WeightLinear):
            expected.get_submodule(name).weight = nn.Parameter(module.dense_weight())
    prompt = torch.randint(1, model.config.vocab_size, (1, 8), generator=generator())
    written = [m.generate(prompt, max_new_tokens=8, do_sample=False, pad_token_id=0) for m in (made, expected)]
    assert torch.equal(written[0], written[1])


def in_4_bits(out_features: int, in_features: int, group: int, symmetric: bool = False) -> PackedMatrix:
    weight = torch.randn(out_features, in_features, generator=generator())
    weight[1] = 0
    weight[2, 3] = 50
    return PackedMatrix(round_to_nearest(weight, QuantizationSettings(4, group, symmetric)), symmetric)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5)])
@pytest.mark.parametrize(("group", "symmetric", "bias"), [(32, False, False), (64, True, True), (128, False, True)])
def test_a_layer_in_4_bits_multiplies_codes_as_by_hand(
    shape: tuple[int, ...], group: int, symmetric: bool, bias: bool
) -> None:
    weight = in_4_bits(48, 384, group, symmetric)
    layer = Int4Linear(weight, torch.arange(48) / 3 if bias else None)
    x = torch.randn(*shape, 384, generator=generator(1))
    stored = weight.quantized()
    scales = stored.scales.float()
    kept, offsets = (v.bfloat16().double() for v in (scales, scales * (8 - stored.zeros.float())))
    codes = stored.codes.double() - 8
    matrix = codes * kept.repeat_interleave(group, 1) + offsets.repeat_interleave(group, 1)
    inputs = x.bfloat16().double()
    expected = inputs @ matrix.T
    # The sum is rounded to bfloat16, and so is every weight on the way: 2^-9 of each.
    allowed = 2**-8 * expected.abs() + 2**-8 * (inputs.square() @ matrix.square().T).sqrt() * 4 + 1e-6
    extra = 0 if layer.bias is None else layer.bias.double()
    assert bool(((layer(x).double() - expected - extra).abs() <= allowed).all())
    assert torch.equal(layer(x), layer(x)) and layer(x).dtype == torch.float32
    assert layer(x.bfloat16()).dtype == torch.bfloat16 and layer(x).shape == (*shape, 48)
    assert (matrix - layer.dense_weight()).norm() < 5e-3 * matrix.norm()
    assert not (layer(x)[..., 1] - (extra[1] if bias else 0)).any()  # a row of zeros


def test_4_bits_are_counted_kept_and_loaded() -> None:
    layer = Int4Linear(in_4_bits(32, 128, 64), torch.ones(32))
    assert layer.stored_bits() == quantized_bits(32, 128, 4, 64, False)
    x = torch.randn(4, 128, generator=generator(2))
    first = layer(x)
    again = Int4Linear.empty(128, 32, torch.zeros(32), **layer.spec())
    again(x)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), first) and torch.equal(copy.deepcopy(layer)(x), first)
    assert layer(x[:0]).shape == (0, 32)
    assert layer.resident_bytes() == layer.stored_bits() // 8 + 4 * 32 + 32 * 128 // 2 + 2 * 2 * 32 * 2
    with pytest.raises(UserError, match="int4 format computes on a CPU only"):
        layer(torch.ones(1, 128, device="meta"))


@pytest.mark.parametrize(("rows", "columns", "group"), [(20, 64, 64), (32, 96, 64), (32, 64, 16)])
def test_sizes_that_the_kernel_does_not_take(rows: int, columns: int, group: int) -> None:
    assert not Int4Linear.takes(in_4_bits(rows, columns, group))
    assert Int4Linear.takes(in_4_bits(32, 64, 32))


def test_a_model_in_4_bits_keeps_codes_that_are_stored_and_puts_the_rest_in_8() -> None:
    model = tiny_llama()
    sites = find_sites(model)
    tokens = torch.randint(1, model.config.vocab_size, (2, 24), generator=generator())
    made = to_int4(model, sites)
    assert all(isinstance(made.get_submodule(site.name), Int4Linear) for site in sites)
    assert isinstance(made.get_output_embeddings(), Int8Linear)
    assert made.get_input_embeddings().weight is made.get_output_embeddings().weight
    expected = copy.deepcopy(model)
    for name, module in made.named_modules():
        if isinstance(module, Int4Linear | Int8Linear):
            expected.get_submodule(name).weight = nn.Parameter(module.dense_weight())
    with torch.no_grad():
        found, wanted = made(tokens).logits, expected(tokens).logits
    assert (found - wanted).norm() < 0.03 * wanted.norm()
    packed = finish(quantize_plainly(model, sites, QuantizationSettings(4, 64))).model
    again = to_int4(packed, sites)
    wide = [site for site in sites if site.in_features % 64]  # their last group is shorter: not for the kernel
    assert wide and len(wide) < len(sites)
    for site in sites:
        layer, stored = again.get_submodule(site.name), packed.get_submodule(site.name)
        if site in wide:
            assert isinstance(layer, Int8Linear)
        else:
            assert isinstance(layer, Int4Linear) and torch.equal(layer.weight.codes, stored.weight.codes)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    write_tiny_llama(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_the_command_times_and_measures_every_format(model: Path) -> None:
    text, out = str(model.parent / "text.txt"), model.parent / "out.json"
    call = ["formats", str(model), "--text", text, "--calibration", text, "--window", "64", "--max-windows", "2"]
    call += ["--prompt-tokens", "16", "--decode-tokens", "4", "--repeats", "2", "--json", str(out)]
    shown = CliRunner().invoke(app, call, catch_exceptions=False).output
    report = store.read_json(out, FormatsReport)
    assert [each.name for each in report.formats] == ["float32", "bfloat16", "int8", "int8-weights", "int4", "packed-4"]
    first, half, eight, weights, four, packed = report.formats
    assert first.stored_bits == half.stored_bits > eight.stored_bits > weights.stored_bits > four.stored_bits
    assert packed.stored_bits < first.stored_bits
    for each in report.formats:
        assert each.name in shown and each.decode.median_ms > 0 and each.prefill.repeats == 2
        assert each.perplexity == pytest.approx(first.perplexity, rel=0.05)
    assert len({each.perplexity for each in report.formats}) == 6
    values = first.stored_bits // 16  # beside these a model holds its rotary frequencies
    assert 0 <= first.resident_bytes - 4 * values < 1000 and 0 <= half.resident_bytes - 2 * values < 1000
    # Codes stand twice, as stored and as the kernel reads them; what is packed to 4 bits is expanded beside its codes.
    assert eight.resident_bytes < half.resident_bytes + eight.stored_bits // 8
    assert eight.resident_bytes < first.resident_bytes < packed.resident_bytes
    assert not report.notes
    with pytest.raises(UserError, match="number of decode tokens must be from 1 to 256, but 0"):
        CliRunner().invoke(app, [*call, "--decode-tokens", "0"], catch_exceptions=False)


def test_a_compressed_folder_says_what_int8_leaves_as_it_is(model: Path) -> None:
    text, small, out = (str(model.parent / name) for name in ("text.txt", "small", "out.json"))
    made = [
        "compress",
        str(model),
        "--method",
        "svd",
        "--removed",
        "0.3",
        "--sequence-length",
        "64",
        "--policy",
        "uniform",
        "--out",
        small,
    ]
    CliRunner().invoke(app, made, catch_exceptions=False)
    call = ["formats", small, "--text", text, "--calibration", text, "--window", "32", "--max-windows", "1"]
    call += ["--prompt-tokens", "8", "--decode-tokens", "2", "--repeats", "2", "--json", out]
    shown = CliRunner().invoke(app, call, catch_exceptions=False).output
    report = store.read_json(Path(out), FormatsReport)
    assert [each.name for each in report.formats] == ["float32", "bfloat16", "int8", "int8-weights"]
    left, nothing = report.notes
    assert "stay as they are stored in int8: 14 of 14" in left and "note: Layers that" in shown
    assert nothing == NOTHING_FITS
