"""Gram matrices: streamed equals batch, shared inputs are really shared, hooks go away."""

from __future__ import annotations

import architectures
import pytest
import reference
import torch

from compression.calibration import calibration_sequences, collect, observed_inputs
from compression.errors import UserError
from compression.pipeline import finish
from compression.sites import decoder_of, find_sites

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
    calibration = finish(collect(model, sites, SEQUENCES))
    inputs = batch_inputs(model, sites)
    assert calibration.num_tokens == SEQUENCES.numel()
    for site in sites:
        rows = inputs[site.name].reshape(-1, site.in_features)
        assert len(rows) == SEQUENCES.numel()
        reference.assert_close(calibration.grams[site.input_group], rows.T @ rows, rtol=1e-4, atol=1e-4)


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


def test_hooks_are_removed_even_when_the_pass_fails():
    model = architectures.loaded("llama").model
    sites = find_sites(model)
    steps = collect(model, sites, SEQUENCES)
    next(steps)
    steps.close()  # cancelled half-way
    with pytest.raises(IndexError):
        finish(collect(model, sites, SEQUENCES + architectures.VOCABULARY))
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_text_too_short_says_how_short():
    with pytest.raises(UserError, match=r"has 100 tokens, enough for 6 of 7 sequences of 16"):
        calibration_sequences(torch.arange(100), 7, 16)
    assert calibration_sequences(torch.arange(100), 6, 16).tolist()[1][0] == 16
