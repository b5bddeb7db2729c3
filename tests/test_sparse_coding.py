"""Matching pursuit against scikit-learn's, the K-SVD sweep against one with an exact SVD, and degenerate input."""

from __future__ import annotations

import pytest
import reference
import torch
from sklearn.linear_model import orthogonal_mp

from compression import sparse_coding
from compression.sparse_coding import ksvd_step, orthogonal_matching_pursuit


def unit(matrix):
    return matrix / matrix.norm(dim=0)


def dictionary_of(kind, rows, atoms, generator):
    """Unit-norm atoms: at random, all leaning one way, or almost orthonormal as after a few sweeps of K-SVD."""
    atoms_at_random = torch.randn(rows, atoms, generator=generator, dtype=torch.float64)
    if kind == "correlated":
        return unit(atoms_at_random + 2 * torch.randn(rows, 1, generator=generator, dtype=torch.float64))
    if kind == "nearly orthonormal":
        return unit(torch.linalg.qr(atoms_at_random)[0] + 0.1 * unit(atoms_at_random))
    return unit(atoms_at_random)


def problem(kind="random", rows=60, atoms=50, columns=41, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    dictionary = dictionary_of(kind, rows, atoms, generator)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64).to(dtype), dictionary.to(dtype)


@pytest.fixture(params=["one block", "many blocks", "many misses"])
def blocking(request, monkeypatch):
    """Small blocks and chunks, so that small problems take every path; `many misses` prepares too few rows."""
    if request.param != "one block":
        monkeypatch.setattr(sparse_coding, "BLOCK_STEPS", 4)
        monkeypatch.setattr(sparse_coding, "CHUNK_BYTES", 50_000)
        monkeypatch.setattr(sparse_coding, "CANDIDATES", 1 if request.param == "many misses" else 2)


SIZES = [
    (kind, 50, nonzeros) for kind in ("random", "correlated", "nearly orthonormal") for nonzeros in (1, 25, 50)
] + [("random", 90, 30), ("correlated", 90, 30)]


@pytest.mark.parametrize(("kind", "atoms", "nonzeros"), SIZES)
def test_it_is_scikit_learns_pursuit_column_by_column(kind, atoms, nonzeros, blocking):
    target, dictionary = problem(kind, atoms=atoms)
    codes, mask = orthogonal_matching_pursuit(target, dictionary, nonzeros)
    expected = torch.from_numpy(orthogonal_mp(dictionary.numpy(), target.numpy(), n_nonzero_coefs=nonzeros))
    reference.assert_close(codes, expected.T, rtol=1e-7, atol=1e-8)
    assert mask.sum(1).tolist() == [nonzeros] * target.shape[1]
    assert torch.equal(mask, codes != 0)


@pytest.mark.parametrize("kind", ["random", "correlated"])
def test_float32_leaves_the_error_of_float64(kind, blocking):
    errors = []
    for dtype in (torch.float64, torch.float32):
        target, dictionary = problem(kind, dtype=dtype)
        codes, _ = orthogonal_matching_pursuit(target, dictionary, 20)
        assert codes.dtype == dtype
        errors.append(float((target - dictionary @ codes.T).double().square().sum()))
    assert errors[1] == pytest.approx(errors[0], rel=2e-3)


def test_an_orthonormal_dictionary_keeps_the_largest(blocking):
    target, _ = problem()
    dictionary = torch.linalg.qr(problem(seed=1)[1])[0]
    codes, mask = orthogonal_matching_pursuit(target, dictionary, 12)
    projected = target.T @ dictionary
    largest = torch.zeros_like(mask).scatter_(1, projected.abs().topk(12).indices, True)
    assert torch.equal(mask, largest)
    reference.assert_close(codes, projected * largest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_input_gives_exact_counts_and_no_nan(dtype, blocking):
    """Columns of zeros, atoms twice, a target that a few atoms fit exactly, more nonzeros than rows."""
    target, dictionary = problem(rows=10, atoms=30, dtype=dtype)
    target[:, 3] = 0
    dictionary[:, 20:] = dictionary[:, :10]
    target[:, 5] = 2 * dictionary[:, 7]
    codes, mask = orthogonal_matching_pursuit(target, dictionary, 14)
    assert torch.isfinite(codes).all()
    assert mask.sum(1).tolist() == [14] * target.shape[1]
    assert not codes[~mask].any() and not codes[3].any()
    assert ((codes[:, :10] == 0) | (codes[:, 20:] == 0)).all(), "of two equal atoms one is enough"
    rest = target - dictionary @ codes.T
    assert rest.norm() < 1e-3 * target.norm(), "ten independent atoms fit ten rows"


def exact_sweep(target, dictionary, codes):
    """K-SVD as it is written down: a full SVD of the restricted residual, atom after atom."""
    dictionary, codes = dictionary.clone(), codes.clone()
    for atom in range(dictionary.shape[1]):
        users = codes[:, atom] != 0
        if users.any():
            codes[:, atom] = 0
            left, values, right = torch.linalg.svd((target - dictionary @ codes.T)[:, users], full_matrices=False)
            dictionary[:, atom] = left[:, 0]
            codes[users, atom] = values[0] * right[0]
    return dictionary, codes


def test_many_power_iterations_make_the_exact_sweep():
    target, dictionary = problem("nearly orthonormal", atoms=20)
    codes, mask = orthogonal_matching_pursuit(target, dictionary, 6)
    expected, expected_codes = exact_sweep(target, dictionary, codes)
    found, found_codes = ksvd_step(target, dictionary, codes, 3000)
    reference.assert_close((found * expected).sum(0).abs(), torch.ones(20, dtype=torch.float64), atol=1e-6)
    reference.assert_close(found @ found_codes.T, expected @ expected_codes.T, atol=1e-5)
    assert not found_codes[~mask].any(), "the supports stay"


@pytest.mark.parametrize("power_iterations", [1, 3])
@pytest.mark.parametrize("kind", ["random", "correlated", "nearly orthonormal"])
def test_no_sweep_raises_the_error(kind, power_iterations):
    target, dictionary = problem(kind)
    dictionary = dictionary.T.contiguous().T  # the layout that singular vectors come in
    before = (dictionary.clone(), target.clone())
    start = dictionary
    codes, _ = orthogonal_matching_pursuit(target, dictionary, 10)
    errors = [float((target - dictionary @ codes.T).norm())]
    for _ in range(5):
        dictionary, codes = ksvd_step(target, dictionary, codes, power_iterations)
        errors.append(float((target - dictionary @ codes.T).norm()))
        reference.assert_close(dictionary.norm(dim=0), torch.ones(50, dtype=torch.float64), atol=1e-12)
    assert all(b < a for a, b in zip(errors, errors[1:], strict=False))
    assert torch.equal(before[0], start) and torch.equal(before[1], target), "its input is left alone"


def test_unused_atoms_go_to_the_worst_columns():
    target, dictionary = problem(atoms=20)
    codes, _ = orthogonal_matching_pursuit(target, dictionary, 6)
    codes[:, 18:] = 0
    found, found_codes = ksvd_step(target, dictionary, codes, 2)
    assert not found_codes[:, 18:].any()
    # They come last, so nothing has changed since: the worst two columns' own residuals.
    rest = target - found @ found_codes.T
    worst = rest.norm(dim=0).topk(2).indices
    reference.assert_close(found[:, 18:], unit(rest[:, worst]), atol=1e-9)
    assert float(rest.norm()) <= float((target - dictionary @ codes.T).norm())


def test_a_perfect_fit_and_nothing_at_all_are_left_as_they_are():
    for target in (torch.zeros(8, 6), torch.eye(8)[:, :6].contiguous()):
        dictionary = torch.eye(8)
        codes, mask = orthogonal_matching_pursuit(target, dictionary, 3)
        found, found_codes = ksvd_step(target, dictionary, codes, 2)
        assert torch.isfinite(found).all() and torch.isfinite(found_codes).all()
        reference.assert_close(found.norm(dim=0), torch.ones(8), atol=1e-6)
        reference.assert_close(found @ found_codes.T, target, atol=1e-6)
        assert mask.sum(1).tolist() == [3] * 6
