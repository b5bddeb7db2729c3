"""Learning truncation positions: the gradient against oracles, learning against doing nothing, resuming."""

from __future__ import annotations

import functools

import pytest
import reference
import tiny
import torch
from torch.nn import functional as F  # noqa: N812

from compression import accounting
from compression.allocation import Evidence, allocate
from compression.calibration import CalibrationSettings
from compression.sites import find_sites
from compression.truncation import (
    CLOSE_GAP,
    SERIES_TERMS,
    LearningSettings,
    SoftTruncation,
    Truncations,
    divided_differences,
    soft_mask,
)

del CalibrationSettings, allocate, Evidence, accounting

SHAPES = [(9, 5), (5, 9), (6, 6)]


def with_values(shape, values, seed=0):
    """A float64 matrix with the given singular values."""
    g = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0] for n in shape)
    values = torch.as_tensor(values, dtype=torch.float64)
    return left[:, : len(values)] @ torch.diag(values) @ right[:, : len(values)].T


def separated(shape):
    return with_values(shape, [2.0**-i for i in range(min(shape))])


def truncate(activations, position, beta=0.8):
    return SoftTruncation.apply(activations, torch.as_tensor(position, dtype=torch.float64), beta)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_map_scales_singular_values_by_the_mask(shape):
    y = separated(shape)
    left, values, right = torch.linalg.svd(y, full_matrices=False)
    mask = torch.tensor([1 / (1 + torch.exp(torch.tensor(-2 * 0.8 * (2.3 - i)))) for i in range(1, len(values) + 1)])
    reference.assert_close(truncate(y, 2.3), left @ torch.diag(values * mask) @ right, rtol=1e-6, atol=1e-7)
    hard = truncate(y, 3.5, beta=100.0)
    reference.assert_close(hard, reference.truncated_svd(y, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [0.3, 3.0])
def test_gradients_equal_finite_differences(shape, beta):
    y = separated(shape).requires_grad_()
    position = torch.tensor(2.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, k: SoftTruncation.apply(a, k, beta), (y, position), atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_those_through_torchs_own_decomposition(shape):
    arriving = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for ours in (True, False):
        y = separated(shape).requires_grad_()
        position = torch.tensor(2.4, dtype=torch.float64, requires_grad=True)
        if ours:
            output = SoftTruncation.apply(y, position, 0.8)
        else:
            left, values, right = torch.linalg.svd(y, full_matrices=False)
            places = torch.arange(1, len(values) + 1)
            output = left @ torch.diag(values * (0.5 * torch.tanh(0.8 * (position - places)) + 0.5)) @ right
        results.append(torch.autograd.grad((output * arriving).sum(), (y, position)))
    for actual, expected in zip(*results, strict=True):
        reference.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def test_equal_and_vanishing_singular_values_leave_the_gradient_bounded():
    """Torch's own backward pass gives infinities or NaN for these."""
    limit = 2 * (1 / CLOSE_GAP + 1)
    for shape in SHAPES:
        for values in ([3.0, 2.0, 2.0, 2.0, 1.0], [2.0] * 5, [1.0, 1e-3, 0.0, 0.0, 0.0], [0.0] * 5):
            for dtype in (torch.float64, torch.float32):
                y = with_values(shape, values).to(dtype).requires_grad_()
                position = torch.tensor(2.4, dtype=dtype, requires_grad=True)
                arriving = torch.randn(*shape, generator=torch.Generator().manual_seed(2)).to(dtype)
                output = SoftTruncation.apply(y, position, 3.0)
                gradient, slope = torch.autograd.grad((output * arriving).sum(), (y, position))
                assert torch.isfinite(gradient).all() and torch.isfinite(slope)
                assert gradient.norm() <= limit * arriving.norm(), (shape, values, dtype)


def test_where_values_are_equal_the_quotient_is_the_truncated_series():
    squares = torch.tensor([4.0, 1.0, 1.0, 0.25], dtype=torch.float64)
    mask = torch.tensor([1.0, 0.9, 0.3, 0.1], dtype=torch.float64)
    factors = divided_differences(mask, squares)
    reference.assert_close(factors, factors.T)
    assert factors[0, 1] == pytest.approx(0.1 / 3)
    assert factors[1, 3] == pytest.approx(0.8 / 0.75)
    assert factors[1, 2] == pytest.approx(0.6 * (SERIES_TERMS + 1))
    assert factors.diagonal().abs().max() == 0


def test_the_mask_counts_from_one_and_its_slope_is_its_derivative():
    position = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    mask, slope = soft_mask(position, 0.7, 6)
    assert mask[1] == 0.5 and (mask[0] > 0.5) and (mask[2] < 0.5)
    expected = torch.autograd.functional.jacobian(lambda k: soft_mask(k, 0.7, 6)[0], position)
    reference.assert_close(slope.detach(), expected)


# --- learning ---------------------------------------------------------------------------------------------------------


LENGTH = 96


@functools.cache
def trained():
    """A tiny Llama that has learned a text, with queries and keys of rank 3: they need no more than that."""
    model = tiny.tiny_llama(seed=1)
    sites = find_sites(model)
    spared = [site for site in sites if site.projection.endswith(("q_proj", "k_proj"))]
    with torch.no_grad():
        for site in spared:
            weight = model.get_submodule(site.name).weight
            weight.copy_(8 * reference.truncated_svd(weight, 3))
    g = torch.Generator().manual_seed(3)
    # A chain in which each token has four possible successors: what can be learned needs many directions.
    successors = torch.randint(3, 300, (300, 4), generator=g)
    tokens = [7]
    for choice in torch.randint(0, 4, (24 * LENGTH - 1,), generator=g).tolist():
        tokens.append(int(successors[tokens[-1], choice]))
    sequences = torch.tensor(tokens).view(24, LENGTH)
    frozen = {id(model.get_submodule(site.name).weight) for site in spared}
    learned = [p for p in model.parameters() if id(p) not in frozen]
    optimiser = torch.optim.Adam(learned, lr=4e-3)
    for _ in range(60):
        logits = model(sequences[:16]).logits[:, :-1]
        optimiser.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), sequences[:16, 1:].flatten()).backward()
        optimiser.step()
    model.zero_grad(set_to_none=True)
    return model, sites, sequences[:16]


SETTINGS = LearningSettings(steps=12, learning_rate=0.02, beta=1.0, penalty=20.0)


def hard_loss(model, sites, sequences, removed_fractions):
    """Mean loss when every site's activations are cut at the rank its removed fraction allows; dense ones are not."""
    cut = tuple(site for site in sites if removed_fractions[site.name] > 0)
    ranks = [accounting_rank(site, removed_fractions[site.name]) + 0.5 for site in cut]
    truncations = Truncations(model, cut, 100.0)
    with torch.no_grad():
        return sum(float(truncations.loss(torch.tensor(ranks), sequence)) for sequence in sequences) / len(sequences)


def accounting_rank(site, removed_fraction):
    from compression.accounting import rank_for

    return rank_for(site.out_features, site.in_features, removed_fraction)


def test_a_position_s_gradient_equals_the_difference_of_the_whole_model_s_loss():
    model, sites, sequences = trained()
    model = tiny.tiny_llama(seed=1).double() if model is None else __import__("copy").deepcopy(model).double()
    truncations = Truncations(model, sites, 0.5)
    positions = torch.full((len(sites),), 9.3, dtype=torch.float64)

    def loss(at):
        rows = truncations.loss(at, sequences[0][:40])
        return rows

    leaf = positions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    for index in (0, 5, 13):
        step = torch.zeros_like(positions)
        step[index] = 1e-2
        with torch.no_grad():
            difference = float(loss(positions + step) - loss(positions - step)) / 2e-2
        assert float(gradient[index]) == pytest.approx(difference, rel=0.02, abs=2e-5)
