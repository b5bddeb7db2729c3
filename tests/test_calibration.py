"""Statistics: streamed equals batch, shared inputs are shared, the model stays as it was, parts are disjoint."""

from __future__ import annotations

import architectures
import pytest
import reference
import torch
from torch.nn import functional as F  # noqa: N812
from transformers.pytorch_utils import Conv1D

from compression import calibration
from compression.calibration import (
    PROBE_WINDOWS,
    collect,
    collect_gradients,
    observed_inputs,
    split_text,
    too_short,
)
from compression.errors import UserError
from compression.pipeline import finish
from compression.sites import blocks_of, decoder_of, find_sites, record_block_calls, run_block, run_head
from compression.types import CalibrationSettings, TextSource

SEQUENCES = torch.randint(0, architectures.VOCABULARY, (5, 24), generator=torch.Generator().manual_seed(0))


def batch_inputs(model, sites) -> dict[str, torch.Tensor]:
    """The inputs of every site in one forward pass over all sequences."""
    seen: dict[str, torch.Tensor] = {}
    with torch.inference_mode(), observed_inputs(model, {s.name: s for s in sites}, seen.__setitem__):
        decoder_of(model)(SEQUENCES)
    return seen


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_streaming_equals_batch_for_every_site(architecture):
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    statistics = finish(collect(model, sites, SEQUENCES))
    inputs = batch_inputs(model, sites)
    assert set(statistics.num_positions.values()) == {SEQUENCES.numel()}
    for site in sites:
        rows = inputs[site.name].reshape(-1, site.in_features)
        assert len(rows) == SEQUENCES.numel()
        reference.assert_close(statistics.grams[site.input_group], rows.T @ rows, rtol=1e-4, atol=1e-4)
        magnitude = statistics.statistics(site.input_group).mean_magnitude
        reference.assert_close(magnitude, rows.abs().mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_sites_share_a_gram_matrix_exactly_where_they_share_the_tensor(architecture):
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    tensors: dict[str, int] = {}
    keep = []

    def remember(name: str, tensor: torch.Tensor) -> None:
        keep.append(tensor)
        tensors[name] = id(tensor)

    with torch.inference_mode(), observed_inputs(model, {s.name: s for s in sites}, remember):
        decoder_of(model)(SEQUENCES[:1])
    for a in sites:
        for b in sites:
            if a.input_group == b.input_group:
                assert tensors[a.name] == tensors[b.name], f"{a.name} and {b.name} read different tensors"


def backward_in_one_piece(model, sites) -> dict[str, torch.Tensor]:
    """Output-gradient Gram matrices from one ordinary backward pass over all sequences."""
    grams: dict[str, torch.Tensor] = {}

    def hook_for(name):
        def add(gradient):
            rows = gradient.reshape(-1, gradient.shape[-1])
            grams[name] = rows.T @ rows

        return lambda _module, _inputs, output: output.register_hook(add) and None

    handles = [model.get_submodule(site.name).register_forward_hook(hook_for(site.name)) for site in sites]
    logits = model(SEQUENCES, use_cache=False).logits[:, :-1]
    F.cross_entropy(logits.flatten(0, 1), SEQUENCES[:, 1:].flatten(), reduction="sum").backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return grams


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_row_fishers_are_squared_weight_gradients_sequence_by_sequence(architecture):
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    fishers = finish(collect_gradients(model, sites, SEQUENCES)).row_fishers
    expected = {site.name: torch.zeros(site.in_features) for site in sites}
    for sequence in SEQUENCES:
        model.zero_grad()
        logits = model(sequence[None], use_cache=False).logits[0, :-1]
        F.cross_entropy(logits, sequence[1:], reduction="sum").backward()
        for site in sites:
            layer = model.get_submodule(site.name)
            gradient = layer.weight.grad.T if isinstance(layer, Conv1D) else layer.weight.grad
            expected[site.name] += gradient.square().sum(0)
    model.zero_grad()
    for name, fisher in expected.items():
        reference.assert_close(fishers[name], fisher, rtol=1e-3, atol=1e-5 * float(fisher.max()))


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_gradients_block_by_block_equal_one_backward_pass(architecture):
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    gradients = finish(collect_gradients(model, sites, SEQUENCES))
    expected = backward_in_one_piece(model, sites)
    assert gradients.num_scored == SEQUENCES.shape[0] * (SEQUENCES.shape[1] - 1)
    assert set(gradients.output_grams) == {site.name for site in sites}
    for name, gram in expected.items():
        scale = float(gram.abs().max())
        reference.assert_close(gradients.output_grams[name], gram, rtol=1e-4, atol=1e-5 * scale)


def test_wide_outputs_keep_only_the_diagonal(monkeypatch):
    model = architectures.loaded("llama").model
    sites = find_sites(model)
    full = finish(collect_gradients(model, sites, SEQUENCES)).output_grams
    monkeypatch.setattr(calibration, "MAX_FULL_OUTPUT", 50)
    some = finish(collect_gradients(model, sites, SEQUENCES)).output_grams
    for site in sites:
        if site.out_features > 50:
            reference.assert_close(some[site.name], full[site.name].diagonal(), rtol=1e-4, atol=1e-9)
        else:
            assert torch.equal(some[site.name], full[site.name])


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_statistics_leave_the_model_as_it_was(architecture):
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    finish(collect_gradients(model, sites, SEQUENCES))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_blocks_run_one_by_one_end_in_the_model_s_own_logits(architecture):
    model = architectures.loaded(architecture).model
    hidden, calls = record_block_calls(model, SEQUENCES)
    with torch.no_grad():
        for block, call in zip(blocks_of(model), calls, strict=True):
            hidden = run_block(block, hidden, call)
        reference.assert_close(
            run_head(model, SEQUENCES, hidden), model(SEQUENCES, use_cache=False).logits, rtol=1e-5, atol=1e-5
        )


def test_hooks_are_removed_even_when_the_pass_fails():
    model = architectures.loaded("llama").model
    sites = find_sites(model)
    for start in (collect, collect_gradients):
        steps = start(model, sites, SEQUENCES)
        for _ in range(5):
            next(steps)
        steps.close()  # cancelled half-way
        with pytest.raises(IndexError):
            finish(start(model, sites, SEQUENCES + architectures.VOCABULARY))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())


def settings(**changes) -> CalibrationSettings:
    defaults = {"num_sequences": 6, "sequence_length": 16, "gradient_sequences": 3}
    return CalibrationSettings(TextSource("t", "0", 0), **(defaults | changes))


def starts(part: torch.Tensor) -> list[int]:
    """Where each sequence of `torch.arange` tokens begins."""
    return part[:, 0].tolist()


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("length", [60 * 16, 400 * 16 + 3, 17 * 16, 33 * 16])
def test_the_parts_of_a_text_are_disjoint_and_spread_over_all_of_it(length, seed):
    split = split_text(torch.arange(length), settings(seed=seed), context=16)
    parts = [split.inputs, split.gradients, split.probes]
    windows = PROBE_WINDOWS[0] if length >= 33 * 16 else PROBE_WINDOWS[-1]
    assert [tuple(part.shape) for part in parts] == [(6, 16), (3, 16), (windows, 16)]
    tokens = torch.cat([part.flatten() for part in parts])
    assert len(tokens.unique()) == len(tokens)
    for part in parts[:1] + parts[2:]:
        assert starts(part) == sorted(starts(part))
        assert min(starts(part)) < length / 4 and max(starts(part)) > 5 * length / 8


def test_a_seed_moves_the_sequences_and_repeats_itself():
    tokens = torch.arange(400 * 16)
    first, again, other = (split_text(tokens, settings(seed=seed), 16).inputs for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_text_too_short_for_gradients_or_probes_still_serves_the_inputs():
    only_inputs = split_text(torch.arange(8 * 16), settings(), 16)
    assert only_inputs.gradients is None and only_inputs.probes is None and len(only_inputs.inputs) == 6
    no_probe = split_text(torch.arange(10 * 16), settings(), 16)
    assert no_probe.probes is None and no_probe.gradients is not None
    assert "at least 144 are needed (6 + 3 sequences of 16)" in str(too_short("gradients", 128, settings(), 16))
    assert "at least 272 are needed" in str(too_short("a probe", 160, settings(), 16))
    assert split_text(torch.arange(272), settings(), 16).probes is not None


def test_a_text_too_short_says_how_short():
    with pytest.raises(UserError, match=r"has 100 tokens, enough for 6 of 7 sequences of 16"):
        split_text(torch.arange(100), settings(num_sequences=7), 16)
    assert starts(split_text(torch.arange(100), settings(), 16).inputs) == [0, 16, 32, 48, 64, 80]
