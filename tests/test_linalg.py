"""Laws of the tensor mathematics, in float64, against slow oracles and against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from scipy.linalg import orthogonal_procrustes as scipy_procrustes
from sklearn.covariance import oas
from sklearn.linear_model import orthogonal_mp

from compression import linalg
from compression.calibration import SiteStatistics
from compression.errors import UserError


def matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (12, 12)])
def test_singular_values_equal_those_of_a_full_svd(shape):
    a = matrix(*shape)
    reference.assert_close(linalg.singular_values(a), torch.linalg.svdvals(a))


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (12, 12)])
@pytest.mark.parametrize("rank", [1, 5, 8])
def test_truncated_svd_is_the_best_approximation(shape, rank):
    a = matrix(*shape)
    left, right = linalg.truncated_svd(a, rank)
    reference.assert_close(left @ right, reference.truncated_svd(a, rank), atol=1e-9)
    reference.assert_close(left.T @ left, torch.eye(rank, dtype=torch.float64), atol=1e-10)


def test_svd_error_equals_the_discarded_energy():
    a = matrix(10, 17)
    left, right = linalg.truncated_svd(a, 4)
    lost = (a - left @ right).square().sum()
    assert float(lost) == pytest.approx(float(torch.linalg.svdvals(a)[4:].square().sum()), rel=1e-10)


def test_leading_vectors_stay_orthonormal_where_singular_values_vanish():
    a = matrix(20, 3) @ matrix(3, 8, seed=1)  # rank 3, and n < m
    left = linalg.leading_left_singular_vectors(a, 8)
    reference.assert_close(left.T @ left, torch.eye(8, dtype=torch.float64), atol=1e-9)


def test_whitening_turns_output_error_into_a_frobenius_norm():
    inputs, difference = matrix(50, 9), matrix(9, 5, seed=1)
    whitening = linalg.Whitening.from_gram(inputs.T @ inputs)
    assert float(whitening.whiten(difference).norm()) == pytest.approx(float((inputs @ difference).norm()), rel=1e-7)
    reference.assert_close(whitening.unwhiten(whitening.whiten(difference)), difference, atol=1e-9)
    assert whitening.damping_fraction == linalg.INITIAL_DAMPING


def test_a_rank_deficient_gram_matrix_is_damped_and_says_so():
    inputs = matrix(4, 30)
    gram = inputs.T @ inputs
    gram -= 1e-6 * gram.diagonal().mean() * torch.eye(30, dtype=torch.float64)  # as float32 sums may come out
    whitening = linalg.Whitening.from_gram(gram)
    assert whitening.damping_fraction > linalg.INITIAL_DAMPING


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        (torch.zeros(3, 3), "all zero"),
        (torch.full((3, 3), torch.nan), "NaN"),
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), "indefinite"),
    ],
)
def test_hopeless_gram_matrices_are_refused(gram, message):
    with pytest.raises(UserError, match=message):
        linalg.Whitening.from_gram(gram)


@pytest.mark.parametrize("shape", [(12, 12), (20, 6)])
def test_procrustes_equals_the_polar_factor_and_scipy(shape):
    m = matrix(*shape)
    polar = linalg.orthogonal_procrustes(m)
    reference.assert_close(polar, reference.polar_factor(m), atol=1e-10)
    if shape[0] == shape[1]:
        # scipy: the R that minimises ‖A R − B‖ with A = I is the polar factor of B.
        rotation, _ = scipy_procrustes(np.eye(shape[0]), m.numpy())
        reference.assert_close(polar, torch.from_numpy(rotation), atol=1e-10)


@pytest.mark.parametrize("condition", [1e3, 1e8])
def test_procrustes_stays_orthonormal_when_ill_conditioned(condition):
    left, right = torch.linalg.qr(matrix(30, 10))[0], torch.linalg.qr(matrix(10, 10, seed=1))[0]
    m = left @ torch.diag(torch.logspace(0, -float(np.log10(condition)), 10, dtype=torch.float64)) @ right
    polar = linalg.orthogonal_procrustes(m)
    reference.assert_close(polar.T @ polar, torch.eye(10, dtype=torch.float64), atol=1e-9)
    reference.assert_close(polar, left @ right, atol=1e-5)


def test_procrustes_completes_unused_atoms():
    m = matrix(12, 5)
    m[:, 2] = 0  # an atom that no column uses
    polar = linalg.orthogonal_procrustes(m)
    reference.assert_close(polar.T @ polar, torch.eye(5, dtype=torch.float64), atol=1e-10)


def nearly_diagonal_problem(shape, size=0.02, seed=0):
    """M and a nearby orthonormal D: ``M = U P`` with a nearly diagonal P, and D a little off U."""
    rows, columns = shape
    u = torch.linalg.qr(matrix(rows, columns, seed=seed))[0]
    scales = torch.logspace(0, -2, columns, dtype=torch.float64)
    noise = size * matrix(columns, columns, seed=seed + 1) / columns**0.5
    p = torch.diag(scales) + (noise + noise.T) * (scales[:, None] * scales).sqrt()
    start = reference.polar_factor(u + size * matrix(rows, columns, seed=seed + 2) / rows**0.5)
    return u @ p, start, u


@pytest.mark.parametrize("shape", [(40, 24), (24, 24), (5, 1), (1, 1)])
def test_a_procrustes_step_comes_much_closer_to_the_polar_factor(shape):
    m, start, goal = nearly_diagonal_problem(shape)
    reference.assert_close(goal, reference.polar_factor(m), atol=1e-10)
    stepped = linalg.procrustes_step(m, start)
    assert float((stepped - goal).norm()) <= 0.2 * float((start - goal).norm()) + 1e-12
    assert float((stepped * m).sum()) > float((start * m).sum()) - 1e-12
    reference.assert_close(stepped.T @ stepped, torch.eye(shape[1], dtype=torch.float64), atol=1e-5)


def test_procrustes_steps_repeated_arrive_at_the_polar_factor():
    m, stepped, goal = nearly_diagonal_problem((40, 24))
    for _ in range(30):
        stepped = linalg.procrustes_step(m, stepped)
    reference.assert_close(stepped, goal, atol=1e-9)


def test_the_polar_factor_stays_where_it_is_under_a_step_of_any_length():
    m, _, goal = nearly_diagonal_problem((40, 24))
    for step in (0.6, 1.0, 1.9):
        reference.assert_close(linalg.procrustes_step(m, goal, step), goal, atol=1e-10)


def test_a_procrustes_step_that_would_go_astray_is_refused():
    m, start, _ = nearly_diagonal_problem((40, 24))
    unused = m.clone()
    unused[:, 3] = 0
    assert linalg.procrustes_step(unused, start) is None, "an unused atom"
    assert linalg.procrustes_step(-m, start) is None, "atoms against their columns"
    assert linalg.procrustes_step(torch.full_like(m, torch.nan), start) is None
    scales = torch.logspace(0, -6, 24, dtype=torch.float64)
    assert linalg.procrustes_step(m @ matrix(24, 24).abs() * scales, start) is None, "far from diagonal"


@pytest.mark.parametrize("size", [1e-4, 5e-3, 2e-2, 0.2])
def test_nearest_orthonormal_is_the_polar_factor(size):
    almost = torch.linalg.qr(matrix(30, 10))[0] + size * matrix(30, 10, seed=1) / 30**0.5
    nearest = linalg.nearest_orthonormal(almost)
    reference.assert_close(nearest.T @ nearest, torch.eye(10, dtype=torch.float64), atol=2e-4)
    reference.assert_close(nearest, reference.polar_factor(almost), rtol=0, atol=1e-4)
    again = linalg.nearest_orthonormal(linalg.nearest_orthonormal(nearest))
    reference.assert_close(again, reference.polar_factor(almost), atol=1e-9)
    assert linalg.nearest_orthonormal(3 * almost) is None


def test_float32_singular_vectors_span_the_same_leading_space():
    a = matrix(20, 50)
    left, single = linalg.leading_left_singular_vectors(a, 8), linalg.leading_left_singular_vectors(a, 8, torch.float32)
    assert single.dtype == torch.float32
    reference.assert_close(single.double() @ single.double().T, left @ left.T, rtol=0, atol=1e-4)


def test_whitening_in_float32_differs_by_rounding_only():
    inputs, a = matrix(50, 9), matrix(9, 5, seed=1)
    whitening = linalg.Whitening.from_gram(inputs.T @ inputs)
    assert whitening.whiten(a, torch.float32).dtype == torch.float32
    reference.assert_close(whitening.whiten(a, torch.float32).double(), whitening.whiten(a), rtol=1e-4, atol=1e-5)


def test_the_largest_energy_is_that_of_the_thresholded_rows():
    codes = matrix(30, 12)
    for count in (1, 5, 12):
        kept = linalg.hard_threshold_rows(codes, count).square().sum(1)
        reference.assert_close(linalg.largest_energy(codes.square(), count), kept)


def test_hard_threshold_is_orthogonal_matching_pursuit_for_orthonormal_atoms():
    dictionary, target = torch.linalg.qr(matrix(15, 9))[0], matrix(15, 6, seed=1)
    ours = linalg.hard_threshold_rows(target.T @ dictionary, 3).T
    theirs = orthogonal_mp(dictionary.numpy(), target.numpy(), n_nonzero_coefs=3)
    reference.assert_close(ours, torch.from_numpy(theirs), atol=1e-10)


def test_the_stored_mask_has_exactly_s_entries_even_with_ties():
    assert linalg.top_magnitude_mask(torch.ones(4, 7), 3).sum(1).tolist() == [3, 3, 3, 3]
    codes = matrix(50, 20)
    assert torch.equal(linalg.top_magnitude_mask(codes, 6), linalg.hard_threshold_rows(codes, 6) != 0)


def test_balancing_changes_scales_but_not_the_product():
    left, right = matrix(6, 4) * torch.tensor([1e6, 1.0, 1e-6, 0.0]), matrix(4, 5, seed=1)
    balanced_left, balanced_right = linalg.balance_factors(left, right)
    reference.assert_close(balanced_left @ balanced_right, left @ right, rtol=1e-12)
    ratio = balanced_left.abs().amax(0)[:3] / balanced_right.abs().amax(1)[:3]
    assert bool(((ratio > 0.25) & (ratio < 4)).all())


@pytest.mark.parametrize(("samples", "inputs"), [(7, 40), (30, 40), (400, 40)])
def test_shrinkage_is_that_of_scikit_learn(samples, inputs):
    generator = torch.Generator().manual_seed(samples)
    scales = torch.logspace(0, -2, inputs)
    x = torch.randn(samples, inputs, generator=generator, dtype=torch.float64) * scales
    _, share = oas(x.numpy(), assume_centered=True)
    assert linalg.shrinkage_damping(x.T @ x, samples) == pytest.approx(min(1.0, share / (1 - share)), rel=1e-9)


def test_shrinkage_of_what_is_all_alike_is_whole():
    assert linalg.shrinkage_damping(torch.eye(5), 3) == 1.0


def test_few_positions_are_shrunk_and_many_are_not():
    """Directions that were never seen are not free: what is cut away there costs something."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 12, generator=generator)
    many, few = SiteStatistics(x.T @ x, 24), SiteStatistics(x[:6].T @ x[:6], 6)
    assert many.whitening().damping_fraction == 1e-8
    asked = linalg.shrinkage_damping(few.gram, 6)
    assert few.whitening().damping_fraction == asked > 0.01
    assert few.whitening(1.0).damping_fraction == 1.0, "more may be asked for"
