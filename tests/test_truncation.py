"""Learning truncation positions: the gradient against oracles, learning against doing nothing, resuming."""

from __future__ import annotations

import copy
import dataclasses
import functools

import pytest
import reference
import tiny
import torch
from torch.nn import functional as F  # noqa: N812

from compression import accounting, truncation
from compression.errors import UserError
from compression.pipeline import finish
from compression.sites import find_sites
from compression.truncation import (
    CLOSE_GAP,
    SERIES_TERMS,
    LearningSettings,
    SoftTruncation,
    Truncations,
    divided_differences,
    learn_positions,
    soft_mask,
)

pytestmark = pytest.mark.usefixtures("two_sites_at_a_time")

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
SETTINGS = LearningSettings(steps=16, learning_rate=0.03, beta=1.0, penalty=20.0)


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
    for choice in torch.randint(0, 4, (16 * LENGTH - 1,), generator=g).tolist():
        tokens.append(int(successors[tokens[-1], choice]))
    sequences = torch.tensor(tokens).view(16, LENGTH)
    frozen = {id(model.get_submodule(site.name).weight) for site in spared}
    optimiser = torch.optim.Adam([p for p in model.parameters() if id(p) not in frozen], lr=4e-3)
    for _ in range(60):
        logits = model(sequences).logits[:, :-1]
        optimiser.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), sequences[:, 1:].flatten()).backward()
        optimiser.step()
    model.zero_grad(set_to_none=True)
    return model, sites, sequences


@functools.cache
def learned():
    return finish(learn_positions(*trained(), 0.4, SETTINGS))


def hard_loss(removed_fractions):
    """Mean loss when every site's activations are cut at the rank its removed fraction allows; dense ones are not."""
    model, sites, sequences = trained()
    cut = tuple(site for site in sites if removed_fractions[site.name] > 0)
    ranks = [accounting.rank_for(s.out_features, s.in_features, removed_fractions[s.name]) + 0.5 for s in cut]
    truncations = Truncations(model, cut, 100.0)
    with torch.no_grad():
        losses = [float(truncations.loss(torch.tensor(ranks), sequence)) for sequence in sequences]
    return sum(losses) / len(losses)


def test_a_position_s_gradient_equals_the_difference_of_the_whole_model_s_loss():
    model, sites, sequences = trained()
    truncations = Truncations(copy.deepcopy(model).double(), sites, 0.5)
    positions = torch.full((len(sites),), 9.3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(truncations.loss(positions, sequences[0][:40]), positions)
    for index in (2, 5, 9, 13):
        step = torch.zeros(len(sites), dtype=torch.float64)
        step[index] = 1e-2
        with torch.no_grad():
            after, before = (truncations.loss(positions + sign * step, sequences[0][:40]) for sign in (1, -1))
        assert float(gradient[index]) == pytest.approx(float(after - before) / 2e-2, rel=0.01, abs=1e-4)


def test_positions_above_every_rank_leave_the_model_as_it_is():
    model, sites, sequences = trained()
    with torch.no_grad():
        loss = Truncations(model, sites, 1.0).loss(torch.full((len(sites),), 1e3), sequences[0])
        logits = model(sequences[:1]).logits[0, :-1]
    assert float(loss) == pytest.approx(float(F.cross_entropy(logits, sequences[0, 1:])), rel=1e-4)


def test_a_bias_is_not_truncated():
    layer = torch.nn.Linear(8, 6).requires_grad_(False)
    truncated = truncation.TruncatedLinear(layer, 50.0)
    truncated.position = torch.tensor(2.5)
    x = torch.randn(1, 9, 8, generator=torch.Generator().manual_seed(0))
    expected = reference.truncated_svd(x[0] @ layer.weight.T, 2) + layer.bias
    reference.assert_close(truncated(x)[0], expected, rtol=0, atol=1e-5)


@pytest.fixture
def one_thread():
    """The same sums in the same order as in the workers: Adam's first steps have the size of the rate however small a
    gradient is, so that rounding would decide where it is next to nothing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_steps_equal_those_of_torchs_adam_on_sequences_visited_in_turn(one_thread):
    model, sites, sequences = trained()
    settings = dataclasses.replace(SETTINGS, steps=5, seed=2)
    result = finish(learn_positions(model, sites, sequences[:6], 0.4, settings))
    full = torch.tensor([min(site.out_features, site.in_features) for site in sites], dtype=torch.float64)
    sizes = torch.tensor([site.num_weights for site in sites], dtype=torch.float64)
    ranks = torch.tensor([sum((site.out_features, site.in_features)) for site in sites]) / sizes
    shares = (0.6 / ranks / full).requires_grad_()
    optimiser = torch.optim.Adam([shares], lr=settings.learning_rate)
    truncations = Truncations(model, sites, settings.beta)
    order = [int(i) for epoch in (0, 1) for i in visits(6, epoch, seed=2)]
    assert sorted(order[:6]) == list(range(6)) and order[:6] != order[6:]
    for step in range(5):
        pair = [truncations.loss(shares * full, sequences[index]) for index in order[2 * step : 2 * step + 2]]
        kept = (sizes / sizes.sum() * (shares * full * ranks).clamp_max(1)).sum()
        loss = sum(pair) / 2
        assert result.losses[step] == pytest.approx(float(loss.detach()), rel=1e-4)
        assert result.removed[step] == pytest.approx(1 - float(kept.detach()), abs=1e-6)
        optimiser.zero_grad()
        (loss + settings.penalty * (kept - 0.6).abs()).backward(inputs=[shares])
        optimiser.step()
    reference.assert_close(
        torch.tensor(list(result.positions.values()), dtype=torch.float64),
        (shares * full).detach(),
        rtol=1e-2,
        atol=0.1,
    )


def visits(count, epoch, seed):
    """The sequences of one epoch, by their index."""
    numbered = torch.arange(count)[:, None]
    return [truncation._choose(numbered, epoch * count + place, seed) for place in range(count)]


def test_learning_beats_the_uniform_split_at_the_same_budget():
    _, sites, _ = trained()
    result = learned()
    uniform = hard_loss({site.name: 0.4 for site in sites})
    assert hard_loss(result.removed_fractions) < 0.8 * uniform
    ranks = {
        s.name: accounting.rank_for(s.out_features, s.in_features, result.removed_fractions[s.name]) for s in sites
    }
    spared = [s for s in sites if s.projection.endswith(("q_proj", "k_proj"))]
    assert all(ranks[s.name] < accounting.rank_for(s.out_features, s.in_features, 0.4) for s in spared)
    assert result.losses[-1] < result.losses[0] and len(result.losses) == result.steps == SETTINGS.steps


def test_a_penalty_without_learning_something_holds_the_budget():
    """The soft budget is met all along, up to a few steps of all positions in one direction."""
    assert all(abs(removed - 0.4) < 0.08 for removed in learned().removed)


@pytest.mark.parametrize("target", [0.05, 0.4, 0.8, 0.95])
@pytest.mark.parametrize("remapping", [False, True])
def test_the_budget_is_met_exactly_whatever_was_learned(target, remapping):
    _, sites, _ = trained()
    budget = truncation._Budget(sites, target, remapping)
    for shares in (torch.rand(len(sites), generator=torch.Generator().manual_seed(5)), torch.ones(len(sites)) * 0.01):
        fractions = dict(zip((site.name for site in sites), budget.fit(shares.clamp_min(1e-3)), strict=True))
        assert accounting.average_removed_fraction(sites, fractions) == pytest.approx(target, abs=1e-9)
        assert all(0 <= fraction <= 0.95 for fraction in fractions.values())
    start = budget.start()
    assert float(budget.kept(start)) == pytest.approx(1 - target, abs=1e-6)
    assert budget.fit(start) == pytest.approx([target] * len(sites), abs=1e-6)


def test_a_site_above_break_even_stays_dense_and_counts_as_dense():
    _, sites, _ = trained()
    budget = truncation._Budget(sites, 0.3, False)
    shares = torch.full((len(sites),), 0.2)
    shares[3] = 0.9
    assert float(budget.kept_shares(shares)[3]) == 1
    assert budget.fit(shares)[3] == 0


def without_time(result):
    return dataclasses.replace(result, seconds=0.0)


def test_the_same_seed_learns_the_same_and_another_one_does_not():
    few = dataclasses.replace(SETTINGS, steps=3)
    first, second = (finish(learn_positions(*trained(), 0.4, few)) for _ in range(2))
    assert without_time(first) == without_time(second)
    other = finish(learn_positions(*trained(), 0.4, dataclasses.replace(few, seed=1)))
    assert other.positions != first.positions


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bits(tmp_path, cache):
    path = tmp_path / "learning.safetensors"
    settings = dataclasses.replace(SETTINGS, steps=8)
    whole = finish(learn_positions(*trained(), 0.4, settings))
    steps = learn_positions(*trained(), 0.4, settings, path)
    for _ in range(7):
        next(steps)
    steps.close()
    rest = learn_positions(*trained(), 0.4, settings, path)
    assert next(rest).done == truncation.SAVE_EVERY + 1
    assert without_time(finish(rest)) == without_time(whole)
    again = learn_positions(*trained(), 0.4, settings, path)
    assert without_time(tiny.finish(again)) == without_time(whole)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"].count(path.name) == 1


@pytest.mark.parametrize("damage", ["cut", "garbage", "other"])
def test_a_checkpoint_that_is_damaged_or_of_another_run_is_dropped(tmp_path, cache, damage):
    path = tmp_path / "learning.safetensors"
    settings = dataclasses.replace(SETTINGS, steps=5)
    first = finish(learn_positions(*trained(), 0.3 if damage == "other" else 0.4, settings, path))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "garbage":
        path.write_bytes(b"nothing of use")
    events = list(learn_positions(*trained(), 0.4, settings, path))
    assert [event.done for event in events] == [1, 2, 3, 4, 5]
    assert first.steps == 5


def test_the_model_is_left_alone():
    model, sites, sequences = trained()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [type(module) for module in model.modules()]
    steps = learn_positions(model, sites, sequences, 0.4, SETTINGS)
    next(steps)
    with torch.no_grad():
        during = model(sequences[:1]).logits
    steps.close()
    with torch.no_grad():
        assert torch.equal(model(sequences[:1]).logits, during)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [type(module) for module in model.modules()] == kinds
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loss_that_is_not_a_number_is_said_in_a_sentence():
    model, sites, sequences = trained()
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.get_submodule(sites[4].name).weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="diverged at step 1"):
        finish(learn_positions(broken, sites, sequences, 0.4, SETTINGS))
    with pytest.raises(UserError, match="removed fraction must be"):
        finish(learn_positions(model, sites, sequences, 1.5, SETTINGS))
