"""Grids, GPTQ beside an exact slow one, packed layers and their bits, and whole models in sequence."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch
from architectures import CONFIGS, loaded
from speech_samples import made_up
from tiny import SENTENCES, finish, write_tiny_llama
from tiny_whisper import tiny_loaded_whisper
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D
from typer.testing import CliRunner

from compression import export, store
from compression.__main__ import app
from compression.accounting import quantized_bits
from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import relative_output_error
from compression.methods import create_method
from compression.modules import CompressedLinear, MixedLowRankLinear
from compression.pipeline import sites_by_input
from compression.quantization import runner
from compression.quantization.descent import descend
from compression.quantization.factors import _row_factors, quantize_layer
from compression.quantization.grid import Grid, QuantizationSettings, Quantized, fit_grid, round_to_nearest
from compression.quantization.layers import PackedMatrix, QuantizedLinear, pack_codes, unpack_codes
from compression.quantization.report import QuantizeReport
from compression.quantization.sequence import quantize_in_sequence, quantize_plainly
from compression.quantization.solver import gptq, gptq_rows
from compression.sites import find_sites, read_weight
from compression.speech.sequences import spoken_sequences
from compression.types import LinearSite, PerplexityReport, SpeechCalibration
from compression.verification import verify_directory


def problem(out_features: int = 24, in_features: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A weight and the Gram matrix of correlated inputs."""
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(in_features, in_features, generator=g) * torch.logspace(0, -1.5, in_features)
    inputs = torch.randn(300, in_features, generator=g) @ mixing
    return torch.randn(out_features, in_features, generator=g), inputs.T @ inputs


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_grid_reaches_from_the_smallest_to_the_largest_value_and_holds_zero(bits: int, symmetric: bool) -> None:
    values = torch.randn(7, 50, generator=torch.Generator().manual_seed(1)) + torch.linspace(-3, 3, 7)[:, None]
    grid = fit_grid(values, bits, symmetric)
    assert torch.equal(grid.scales, grid.scales.half().float())
    wide = Grid(grid.scales[:, None], grid.zeros[:, None], bits)
    codes = wide.codes(values)
    assert codes.min() >= 0 and codes.max() < 2**bits and torch.equal(codes, codes.round())
    error = (wide.values(codes) - values).abs()
    # Half a step; at the ends a whole one, because zero must be on the grid (and scales are rounded to 16 bits).
    assert bool((error <= 1.01 * wide.scales).all()) and float((error <= 0.51 * wide.scales).float().mean()) > 0.9
    assert not wide.values(wide.codes(torch.zeros(7, 1))).any()


def test_a_group_of_zeros_stays_zero() -> None:
    for symmetric in (False, True):
        made = round_to_nearest(torch.zeros(3, 20), QuantizationSettings(3, 8, symmetric))
        assert not made.dequantized().any() and made.scales.shape == (3, 3)


@pytest.mark.parametrize("group", [0, 8, 16])
def test_round_to_nearest_equals_the_nearest_of_all_values_of_its_group(group: int) -> None:
    weight, _ = problem(5, 20)
    made = round_to_nearest(weight, QuantizationSettings(3, group)).dequantized()
    step = group or 20
    for row in range(5):
        for start in range(0, 20, step):
            piece = weight[row, start : start + step]
            grid = fit_grid(piece, 3, False)
            choices = grid.values(torch.arange(8.0))
            nearest = choices[(piece[:, None] - choices).abs().argmin(1)]
            assert torch.allclose(made[row, start : start + step], nearest)


def slow_gptq(weight: Tensor, gram: Tensor, settings: QuantizationSettings) -> Tensor:
    """Rounds a column and moves the free ones to their least-squares optimum, each time with an inverse of its own."""
    work, count = weight.double().clone(), weight.shape[1]
    group = settings.group(count)
    hessian = gram.double() + settings.damping * gram.double().diagonal().mean() * torch.eye(count, dtype=torch.float64)
    order = list(range(count))
    if settings.act_order:
        order = gram.diagonal().argsort(descending=True, stable=True).tolist()
    made = torch.zeros_like(work)
    grids = {}
    if settings.act_order:
        grids = {
            g: fit_grid(weight[:, g * group : (g + 1) * group], settings.bits, settings.symmetric)
            for g in range(-(-count // group))
        }
    for step, column in enumerate(order):
        owner = column // group
        if owner not in grids:
            grids[owner] = fit_grid(work[:, column : column + group], settings.bits, settings.symmetric)
        made[:, column] = grids[owner].values(grids[owner].codes(work[:, column].float()))
        free = order[step + 1 :]
        error = work[:, column] - made[:, column]
        work[:, free] += error[:, None] * torch.linalg.solve(hessian[free][:, free], hessian[free, column])
    return made


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize(("group", "width"), [(0, 40), (8, 40), (16, 40), (0, 300), (100, 300), (128, 300)])
def test_gptq_equals_the_slow_one(group: int, width: int, act_order: bool) -> None:
    weight, gram = problem(6, width)
    settings = QuantizationSettings(4, group, act_order=act_order, sweeps=0)
    fast = gptq(weight, gram, settings).dequantized().double()
    slow = slow_gptq(weight, gram, settings)
    # A value in the middle between two codes may go either way, and all behind it then differs a little.
    assert float((fast - slow).abs().gt(1e-4).float().mean()) < 0.02
    errors = [relative_output_error(weight, made.float(), gram) for made in (fast, slow)]
    assert errors[0] == pytest.approx(errors[1], rel=0.03)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_gptq_is_better_than_rounding_where_inputs_hang_together_and_the_same_where_they_do_not(
    bits: int, symmetric: bool
) -> None:
    weight, gram = problem(48, 64)
    settings = QuantizationSettings(bits, 16, symmetric, sweeps=0)
    errors = [
        relative_output_error(weight, made.dequantized(), gram)
        for made in (gptq(weight, gram, settings), round_to_nearest(weight, settings))
    ]
    assert errors[0] < 0.7 * errors[1]
    alone = gptq(weight, torch.diag(gram.diagonal()), settings)
    assert torch.equal(alone.dequantized(), round_to_nearest(weight, settings).dequantized())


def test_inputs_that_are_always_zero_are_rounded_by_themselves() -> None:
    weight, gram = problem()
    gram[:5], gram[:, :5] = 0, 0
    settings = QuantizationSettings(4, 8, sweeps=0)
    made, plain = gptq(weight, gram, settings), round_to_nearest(weight, settings)
    assert torch.equal(made.dequantized()[:, :5], plain.dequantized()[:, :5])
    nothing = gptq(weight, torch.zeros_like(gram), settings)
    assert torch.equal(nothing.dequantized(), plain.dequantized())


def loss(weight: Tensor, made: Quantized, gram: Tensor) -> float:
    """``tr(E H Eᵀ)`` in float64."""
    error = weight.double() - made.dequantized().double()
    return float(((error @ gram.double()) * error).sum())


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("bits", "group", "width"), [(2, 16, 40), (3, 0, 150), (4, 128, 300)])
def test_every_sweep_lowers_the_loss_until_no_code_and_no_scale_can(
    bits: int, group: int, width: int, symmetric: bool
) -> None:
    weight, gram = problem(6, width)
    settings = QuantizationSettings(bits, group, symmetric, sweeps=0)
    made = gptq(weight, gram, settings)
    losses = [loss(weight, descend(weight, gram, made, sweeps), gram) for sweeps in (0, 1, 2, 40)]
    assert losses[0] == pytest.approx(loss(weight, made, gram)) and losses[3] < losses[1] < losses[0]
    assert losses[3] <= losses[2] <= losses[1]
    ended = descend(weight, gram, made, 40)
    assert torch.equal(ended.zeros, made.zeros) and int(ended.codes.max()) < 2**bits
    for row in range(len(weight)):
        for column in range(0, width, 7):
            for step in (-1, 1):
                codes = ended.codes.int().clone()
                codes[row, column] = (codes[row, column] + step).clamp(0, 2**bits - 1)
                other = dataclasses.replace(ended, codes=codes.to(torch.uint8))
                assert loss(weight, other, gram) >= losses[3] * (1 - 1e-5)
        for scale in (0.995, 1.005):
            scales = ended.scales.clone()
            scales[row, 0] *= scale
            assert loss(weight, dataclasses.replace(ended, scales=scales), gram) >= losses[3] * (1 - 1e-5)


def test_sweeps_are_part_of_gptq_and_leave_inputs_alone_that_are_always_zero() -> None:
    weight, gram = problem(48, 64)
    errors = [
        relative_output_error(weight, gptq(weight, gram, QuantizationSettings(2, 16, sweeps=n)).dequantized(), gram)
        for n in (0, 4)
    ]
    assert errors[1] < 0.97 * errors[0]
    nothing = gptq(weight, torch.zeros_like(gram), QuantizationSettings(3, 16))
    plain = round_to_nearest(weight, QuantizationSettings(3, 16))
    assert torch.equal(nothing.dequantized(), plain.dequantized())


def test_too_few_positions_are_no_error() -> None:
    weight, _ = problem()
    inputs = torch.randn(7, 40, generator=torch.Generator().manual_seed(2))
    gram = inputs.T @ inputs
    settings = QuantizationSettings(3, 0)
    made, plain = gptq(weight, gram, settings), round_to_nearest(weight, settings)
    assert relative_output_error(weight, made.dequantized(), gram) < relative_output_error(
        weight, plain.dequantized(), gram
    )


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_are_packed_without_gaps(bits: int) -> None:
    codes = torch.randint(0, 2**bits, (5, 13), generator=torch.Generator().manual_seed(bits), dtype=torch.uint8)
    packed = pack_codes(codes, bits)
    assert packed.dtype == torch.uint8 and packed.numel() == -(-bits * 65 // 8)
    assert torch.equal(unpack_codes(packed, bits, 65), codes.flatten())


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("bits", "group"), [(2, 16), (3, 16), (4, 0), (8, 33)])
def test_a_layer_holds_what_the_accounting_says_and_computes_what_it_stores(
    bits: int, group: int, symmetric: bool
) -> None:
    weight, _ = problem(24, 40)
    settings = QuantizationSettings(bits, group, symmetric)
    made = round_to_nearest(weight, settings)
    bias = torch.randn(24)
    layer = QuantizedLinear(PackedMatrix(made, symmetric), bias)
    assert (
        layer.stored_bits()
        == settings.stored_bits(24, 40)
        == quantized_bits(24, 40, bits, settings.group(40), symmetric)
    )
    assert torch.equal(layer.dense_weight(), made.dequantized())
    x = torch.randn(3, 40)
    assert torch.allclose(layer(x), x @ made.dequantized().T + bias, atol=1e-5)
    again = QuantizedLinear.empty(40, 24, bias, **layer.spec())
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), layer(x))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (QuantizationSettings(1), "Bits must be a whole number from 2 to 8, but 1 was given"),
        (QuantizationSettings(9), "from 2 to 8, but 9"),
        (QuantizationSettings(4, 3), "group size must be at least 8, or 0 for whole rows, but 3"),
        (QuantizationSettings(4, -1), "group size must be at least 8"),
        (QuantizationSettings(damping=0), "damping must be above 0"),
        (QuantizationSettings(sweeps=-1), "Sweeps must be a whole number from 0 to 100, but -1"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(settings: QuantizationSettings, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        settings.check()


def test_a_gram_matrix_that_does_not_fit_is_refused() -> None:
    weight, gram = problem()
    for bad in (gram[:3, :3], gram * float("nan")):
        with pytest.raises(UserError, match="finite Gram matrix"):
            gptq(weight, bad, QuantizationSettings())


# --- models -----------------------------------------------------------------------------------------------------------


def by_hand(
    model: nn.Module, sites: tuple[LinearSite, ...], tokens: Tensor, settings: QuantizationSettings
) -> nn.Module:
    """GPTQ in sequence, each time with the whole model run anew and its hooks on one group of layers."""
    made = copy.deepcopy(model)
    for group in sites_by_input(sites):
        seen: list[Tensor] = []
        layer = made.get_submodule(group[0].name)
        hook = layer.register_forward_pre_hook(lambda _m, inputs, seen=seen: seen.append(inputs[0].flatten(0, -2)))
        with torch.no_grad():
            made(tokens)
        hook.remove()
        inputs = torch.cat(seen)
        for site in group:
            layer = made.get_submodule(site.name)
            quantized = gptq(read_weight(layer), inputs.T @ inputs, settings).dequantized()
            with torch.no_grad():
                layer.weight.copy_(quantized.T if isinstance(layer, Conv1D) else quantized)
    return made


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_in_sequence_every_layer_sees_what_arrives_behind_the_quantised_ones(name: str) -> None:
    model = loaded(name).model
    sites = find_sites(model)
    tokens = torch.randint(3, 200, (4, 24), generator=torch.Generator().manual_seed(4))
    settings = QuantizationSettings(4, 16)
    before = copy.deepcopy(model.state_dict())
    made = finish(quantize_in_sequence(model, sites, tokens, settings))
    expected = by_hand(model, sites, tokens, settings)
    for site in sites:
        ours, theirs = (
            made.model.get_submodule(site.name).dense_weight(),
            read_weight(expected.get_submodule(site.name)),
        )
        assert float((ours - theirs).abs().gt(1e-4).float().mean()) < 0.02, site.name
    with torch.no_grad():
        ours, theirs, dense = (each(tokens).logits for each in (made.model, expected, model))
    assert (ours - theirs).norm() < 0.2 * (ours - dense).norm()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [report.name for report in made.sites] == [site.name for site in sites]
    assert all(0 < report.relative_output_error < 0.3 for report in made.sites)


def test_a_speech_model_is_quantised_through_encoder_and_decoder() -> None:
    source = tiny_loaded_whisper()
    sites = find_sites(source.model)
    spoken = spoken_sequences(list(made_up().clips), SpeechCalibration(made_up().source), source)
    settings = QuantizationSettings(4, 16)
    ours = finish(quantize_in_sequence(source.model, sites, spoken, settings))
    plain = finish(quantize_plainly(source.model, sites, settings))
    assert {site.name for site in ours.sites} == {site.name for site in plain.sites} == {site.name for site in sites}
    assert sum(s.stored_bits for s in ours.sites) == sum(s.stored_bits for s in plain.sites)
    assert any("encoder_attn" in site.name for site in ours.sites)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    return tmp_path / "tiny"


def options(model: Path) -> list[str]:
    text = str(model.parent / "text.txt")
    return f"--calibration {text} --text {text} --calibration-sequences 8 --sequence-length 32 --window 64".split()


def test_the_command_measures_three_models_and_answers_again_from_the_cache(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = model.parent / "out.json"
    call = ["quantize", str(model), "--bits", "3", "--group-size", "16", *options(model), "--json", str(out)]
    shown = CliRunner().invoke(app, call, catch_exceptions=False).output
    report = store.read_json(out, QuantizeReport)
    assert "GPTQ" in shown and f"{report.gptq.perplexity:.2f}" in shown
    assert report.dense.bits_per_weight == 16 and report.rtn.bits_per_weight == report.gptq.bits_per_weight
    weights = sum(shape[0] * shape[1] for shape in (site.shape for site in report.gptq.sites))
    stored = sum(quantized_bits(*site.shape, 3, 16, False) for site in report.gptq.sites)
    assert report.gptq.bits_per_weight == stored / weights
    assert report.dense.stored_bits - report.gptq.stored_bits == 16 * weights - stored
    assert report.rtn.mean_output_error is None and report.gptq.mean_output_error > 0
    raw = json.loads(out.read_text(encoding="utf-8"))
    assert {"perplexity", "stored_bits"} <= raw["dense"].keys() & raw["rtn"].keys() & raw["gptq"].keys()
    monkeypatch.setattr(runner, "measure_perplexity", lambda *_: pytest.fail("it was measured again"))
    CliRunner().invoke(app, call, catch_exceptions=False)
    assert store.read_json(out, QuantizeReport).gptq == report.gptq
    assert not any("rank-deficient" in note for note in report.notes)


def test_a_calibration_text_too_short_for_the_inputs_is_noted(model: Path) -> None:
    out = model.parent / "out.json"
    few = ["--calibration-sequences", "2", "--max-windows", "1", "--json", str(out), "--out", str(model.parent / "few")]
    CliRunner().invoke(app, ["quantize", str(model), *options(model), *few], catch_exceptions=False)
    noted = "input Gram matrices are rank-deficient: 64 calibration tokens"
    assert any(noted in note for note in store.read_json(out, QuantizeReport).notes)
    assert any(noted in note for note in export.load(model.parent / "few").report.notes)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bits", "9"], "Bits must be a whole number from 2 to 8, but 9 was given"),
        (["--group-size", "3"], "The group size must be at least 8"),
        (["--damping", "0"], "The damping must be above 0"),
        (["--sequence-length", "4096"], "longer than the model's context"),
        (["--calibration-sequences", "900"], "enough for 200 of 900 sequences"),
    ],
)
def test_bad_input_is_one_sentence(model: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        CliRunner().invoke(app, ["quantize", str(model), *options(model), *arguments], catch_exceptions=False)


# --- factors ----------------------------------------------------------------------------------------------------------


def compressed_layer(kind: str, weight: Tensor, gram: Tensor) -> CompressedLinear:
    statistics = SiteStatistics(gram, 300)
    name = {"low-rank": "svd-llm", "dictionary": "compot"}[kind]
    return create_method(name).compress(weight, torch.ones(len(weight)), statistics, 0.3).layer


@pytest.mark.parametrize("kind", ["low-rank", "dictionary"])
@pytest.mark.parametrize("bits", [3, 4])
def test_factors_are_quantised_behind_each_other(kind: str, bits: int) -> None:
    weight, gram = problem(64, 72)
    layer = compressed_layer(kind, weight, gram)
    settings = QuantizationSettings(bits, 16)
    plain, ours = (quantize_layer(layer, given, settings) for given in (None, gram))
    errors = [relative_output_error(layer.dense_weight(), made.dense_weight(), gram) for made in (plain, ours)]
    assert errors[1] < 0.8 * errors[0]
    assert ours.stored_bits() == plain.stored_bits() < layer.stored_bits() * (bits + 2) / 16 + 64 * 72
    assert torch.equal(ours.bias, layer.bias)
    x = torch.randn(5, 72)
    assert torch.allclose(ours(x), x @ ours.dense_weight().T + 1, atol=1e-4)
    if kind == "dictionary":
        assert torch.equal(ours.mask(), layer.mask()), "zero stays zero"
        assert not ours.factors()[1].T[~layer.mask()].any()
    again = type(ours).empty(72, 64, layer.bias, **ours.spec())
    again.load_state_dict(ours.state_dict())
    assert torch.equal(again.dense_weight(), ours.dense_weight())


@pytest.mark.parametrize("kind", ["low-rank", "dictionary"])
def test_eight_bits_cost_factors_nearly_nothing(kind: str) -> None:
    weight, gram = problem(64, 72)
    layer = compressed_layer(kind, weight, gram)
    made = quantize_layer(layer, gram, QuantizationSettings(8, 16))
    assert relative_output_error(layer.dense_weight(), made.dense_weight(), gram) < 0.01


def test_rows_with_inputs_of_their_own_equal_the_same_one_by_one() -> None:
    settings = QuantizationSettings(4, 8, sweeps=0)
    weight = torch.randn(5, 20, generator=torch.Generator().manual_seed(3))
    grams = torch.stack([problem(2, 20, seed)[1] for seed in range(5)])
    together = gptq_rows(weight, grams, settings)
    for row in range(5):
        alone = gptq(weight[row : row + 1], grams[row], settings)
        assert torch.equal(together.codes[row], alone.codes[0])
        assert torch.equal(together.scales[row], alone.scales[0])


@pytest.mark.parametrize("kind", ["low-rank", "dictionary"])
def test_factors_whose_inputs_never_had_a_signal_keep_their_values(kind: str) -> None:
    weight, gram = problem(64, 72)
    layer = compressed_layer(kind, weight, gram)
    made = quantize_layer(layer, torch.zeros_like(gram), QuantizationSettings(8, 16))
    missing = (made.dense_weight() - layer.dense_weight()).norm()
    assert missing < 0.02 * layer.dense_weight().norm()


def test_too_few_tokens_for_a_dictionary_are_damped_more_and_noted() -> None:
    """A Gram matrix of seven positions, with an error of rounding that makes it indefinite."""
    weight, whole = problem(64, 72)
    layer = compressed_layer("dictionary", weight, whole)
    inputs = torch.randn(7, 72, generator=torch.Generator().manual_seed(2))
    gram = inputs.T @ inputs
    gram -= 1e-4 * gram.diagonal().mean() * torch.eye(72)
    notes: list[str] = []
    made = quantize_layer(layer, gram, QuantizationSettings(8, 16), notes.append)
    assert torch.isfinite(made.dense_weight()).all()
    assert len(notes) == 1 and re.fullmatch(
        "Gram matrix damped with 1e-0[1-5] of its mean diagonal instead of 1e-06", notes[0]
    )
    with pytest.raises(UserError, match="cannot be inverted: calibrate on a longer text"):
        _row_factors(-torch.eye(3, dtype=torch.float64)[None])


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_kept_values_of_a_pattern_are_quantised_on_what_their_row_reads(symmetric: bool) -> None:
    weight, gram = problem(24, 40)
    layer = create_method("magnitude-2:4").compress(weight, torch.ones(24), None, 0.4).layer
    settings = QuantizationSettings(3, 8, symmetric, sweeps=0)
    plain, ours = (quantize_layer(layer, given, settings) for given in (None, gram))
    errors = [relative_output_error(layer.dense_weight(), made.dense_weight(), gram) for made in (plain, ours)]
    assert errors[1] < 0.9 * errors[0]
    assert torch.equal(ours.mask(), layer.mask()) and not ours.dense_weight()[~layer.mask()].any()
    for row, mask in enumerate(layer.mask()):
        alone = gptq(layer.dense_weight()[row : row + 1, mask], gram[mask][:, mask], settings).dequantized()[0]
        assert torch.equal(ours.dense_weight()[row, mask], alone)
    assert ours.stored_bits() == plain.stored_bits() == settings.two_of_four_bits(24, 40)
    assert torch.equal(ours.bias, layer.bias)
    again = type(ours).empty(40, 24, layer.bias, **ours.spec())
    again.load_state_dict(ours.state_dict())
    x = torch.randn(5, 40)
    assert torch.equal(again(x), ours(x)) and torch.allclose(ours(x), x @ ours.dense_weight().T + 1, atol=1e-4)
    with pytest.raises(UserError, match="finite Gram matrix"):
        quantize_layer(layer, gram * float("nan"), settings)


def test_low_rank_layers_that_are_partly_of_8_bits_are_quantised_as_others_are() -> None:
    weight, gram = problem(64, 72)
    first, second = compressed_layer("low-rank", weight, gram).factors()
    layer = MixedLowRankLinear(first.T, second)
    made = quantize_layer(layer, gram, QuantizationSettings(4, 16))
    assert made.representation == "quantized-low-rank" and made.stored_bits() < layer.stored_bits()
    assert relative_output_error(layer.dense_weight(), made.dense_weight(), gram) < 0.15


def test_a_layer_of_another_kind_is_refused() -> None:
    weight, gram = problem(8, 16)
    for layer in (nn.Linear(16, 8), create_method("magnitude-2:4").compress(weight, None, None, 0.4).layer):
        made = quantize_layer(layer, gram, QuantizationSettings())
        with pytest.raises(UserError, match=f"stored as {made.representation} cannot be quantised"):
            quantize_layer(made, gram, QuantizationSettings())


ON_TOP = {"svd-llm": "low-rank", "compot": "dictionary", "wanda-2:4": "2:4"}


@pytest.mark.parametrize("method", ON_TOP)
def test_a_compressed_folder_is_quantised_on_top(model: Path, method: str) -> None:
    small, out = model.parent / "small", model.parent / "out.json"
    calibrated = options(model)[:2] + options(model)[4:8]
    removed = ["--method", method, "--removed", "0.3", "--policy", "uniform"]
    CliRunner().invoke(
        app, ["compress", str(model), *removed, *calibrated, "--out", str(small)], catch_exceptions=False
    )
    written = ["--out", str(model.parent / "few"), "--json", str(out)]
    CliRunner().invoke(
        app, ["quantize", str(small), "--group-size", "16", *options(model), *written], catch_exceptions=False
    )
    report = store.read_json(out, QuantizeReport)
    assert report.dense.bits_per_weight < 0.7 * 16 and report.gptq.bits_per_weight < 0.5 * report.dense.bits_per_weight
    assert abs(math.log(report.gptq.perplexity / report.dense.perplexity)) < 0.2
    again = export.load(model.parent / "few").report
    assert again.stored_bits == report.gptq.stored_bits
    assert {site.representation for site in again.sites} == {f"quantized-{ON_TOP[method]}"}


KINDS = {"svd-llm": "quantized-low-rank", "compot": "quantized-dictionary", "finegates-fisher": None}


@pytest.mark.parametrize("method", ["dense", *KINDS])
def test_what_is_quantised_is_written_and_reads_back_as_it_was(model: Path, method: str) -> None:
    small, out, parent = model, model.parent / "out.json", model.parent
    if method != "dense":
        small = parent / "small"
        call = ["compress", str(model), "--method", method, "--removed", "0.3", "--out", str(small)]
        CliRunner().invoke(app, [*call, *options(model)[:2], *options(model)[4:8]], catch_exceptions=False)
    call = ["quantize", str(small), "--group-size", "16", *options(model)]
    CliRunner().invoke(app, [*call, "--out", str(parent / "few"), "--json", str(out)], catch_exceptions=False)
    report = store.read_json(out, QuantizeReport)
    written = export.load(parent / "few")
    assert written.report.stored_bits == report.gptq.stored_bits < report.dense.stored_bits
    assert any(note == "Quantised by GPTQ to 4 bits, groups of 16." for note in written.report.notes)
    kinds = {site.representation for site in written.report.sites}
    assert kinds == {"quantized"} if method == "dense" else all(kind.startswith("quantized") for kind in kinds)
    if KINDS.get(method):
        assert KINDS[method] in kinds
    finish(verify_directory(parent / "few"))
    call = ["evaluate", str(parent / "few"), *options(model)[2:4], "--window", "64", "--json", str(out)]
    CliRunner().invoke(app, call, catch_exceptions=False)
    assert store.read_json(out, PerplexityReport).perplexity == pytest.approx(report.gptq.perplexity, rel=1e-5)
