"""Layers in 8 bits beside integers by hand, whole models, and the command that times formats."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tiny import SENTENCES, tiny_llama, write_tiny_llama
from torch import Tensor, nn
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.errors import UserError
from compression.quantization import fast
from compression.quantization.fast import Int8Embedding, Int8Linear, Int8Weight, to_int8
from compression.quantization.formats_report import FormatsReport
from compression.sites import find_sites


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
        assert made.get_input_embeddings().weight is made.get_output_embeddings().weight
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
    assert [each.name for each in report.formats] == ["float32", "bfloat16", "int8", "packed-4"]
    first, half, eight, packed = report.formats
    assert first.stored_bits == half.stored_bits > eight.stored_bits and packed.stored_bits < first.stored_bits
    for each in report.formats:
        assert each.name in shown and each.decode.median_ms > 0 and each.prefill.repeats == 2
        assert each.perplexity == pytest.approx(first.perplexity, rel=0.05)
    assert len({each.perplexity for each in report.formats}) == 4
    with pytest.raises(UserError, match="number of decode tokens must be from 1 to 256, but 0"):
        CliRunner().invoke(app, [*call, "--decode-tokens", "0"], catch_exceptions=False)
