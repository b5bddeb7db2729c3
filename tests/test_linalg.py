"""Laws of the tensor mathematics, in float64, against slow oracles and against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from scipy.linalg import orthogonal_procrustes as scipy_procrustes
from sklearn.linear_model import orthogonal_mp

from compression import linalg
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
