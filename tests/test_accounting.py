"""Bits and the conversion of a removed fraction into sizes."""

from __future__ import annotations

import math

import pytest
import torch

from compression import accounting
from compression.errors import UserError

SHAPES = [(576, 576), (192, 576), (1536, 576), (576, 1536), (2304, 768), (64, 8)]
FRACTIONS = [0.01, 0.1, 0.2, 0.37, 0.5, 0.8]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_low_rank_fills_the_budget_and_never_exceeds_it(shape, fraction):
    rank = accounting.rank_for(*shape, fraction)
    budget = (1 - fraction) * accounting.dense_bits(*shape)
    assert accounting.low_rank_bits(*shape, rank) <= budget * (1 + 1e-12) or rank == 1
    assert accounting.low_rank_bits(*shape, rank + 1) > budget


@pytest.mark.parametrize("shape", SHAPES[:-1])
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("ratio", [1.2, 2.0, 4.0])
def test_dictionary_fills_the_budget_and_never_exceeds_it(shape, fraction, ratio):
    size = accounting.dictionary_size_for(*shape, fraction, ratio)
    budget = (1 - fraction) * accounting.dense_bits(*shape)
    bits = accounting.dictionary_bits(*shape, size.num_atoms, size.nonzeros_per_column)
    assert bits <= budget
    assert 1 <= size.nonzeros_per_column <= size.num_atoms <= min(shape)
    full = size.num_atoms == min(shape) and size.nonzeros_per_column == size.num_atoms
    unit = 16 * max(shape[1] + shape[0] / 16, shape[0])
    assert full or budget - bits <= unit + 16, "a further atom or nonzero would still have fitted"


def test_dictionary_bits_are_equation_11():
    n, m, k, s = 576, 1536, 380, 190
    removed = 1 - accounting.dictionary_bits(n, m, k, s) / accounting.dense_bits(n, m)
    assert removed == pytest.approx(1 - (m * k + s * n + k * n / 16) / (m * n), abs=1e-9)


def test_an_alternation_counts_two_products():
    n, m, k = 1536, 576, 491
    codes = n * k * (2 * m)  # each entry of T' D: m multiplications, m additions
    products = m * k * (2 * n)  # each entry of T S'
    assert accounting.alternation_flops(n, m, k) == codes + products == 4 * m * n * k


def test_atoms_are_clipped_to_the_smaller_side_and_it_says_so():
    size = accounting.dictionary_size_for(49152, 576, 0.05)
    assert size.num_atoms == 576
    assert size.note is not None and "clipped" in size.note
    assert size.nonzeros_per_column > 288, "the rest of the budget belongs to the nonzeros"


def test_break_even_rank_saves_nothing_beyond_it():
    n, m = 192, 576
    rank = accounting.break_even_rank(n, m)
    assert rank == 144
    assert accounting.low_rank_bits(n, m, rank) <= accounting.dense_bits(n, m)
    assert accounting.low_rank_bits(n, m, rank + 1) > accounting.dense_bits(n, m)


def test_flops_count_a_multiplication_and_an_addition_for_every_weight_that_is_used():
    from torch.utils.flop_counter import FlopCounterMode

    n, m, r, s = 48, 80, 16, 5
    x, first, second = torch.randn(1, m), torch.randn(m, r), torch.randn(r, n)
    with FlopCounterMode(display=False) as dense:
        x @ torch.randn(m, n)
    with FlopCounterMode(display=False) as low_rank:
        x @ first @ second
    assert accounting.dense_flops(n, m) == dense.get_total_flops() == 2 * n * m
    assert accounting.low_rank_flops(n, m, r) == low_rank.get_total_flops() == 2 * r * (n + m)
    assert accounting.dictionary_flops(n, m, r, r) == accounting.low_rank_flops(n, m, r), "no zeros: a product like any"
    assert accounting.dictionary_flops(n, m, r, s) == 2 * (m * r + n * s)


@pytest.mark.parametrize("shape", [(576, 576), (192, 576), (17, 24)])
def test_two_of_four_removes_seven_sixteenths(shape):
    n, m = shape
    groups = n * m // 4
    bits = groups * (2 * 16 + 2 * 2)  # two values and two places
    assert accounting.two_of_four_bits(n, m) == bits + -bits % 8
    assert accounting.TWO_OF_FOUR_REMOVED == 0.4375 == 7 / 16
    assert 1 - bits / accounting.dense_bits(n, m) == 0.4375
    assert accounting.two_of_four_flops(n, m) == n * m


@pytest.mark.parametrize("value", [-0.01, 0.951, math.nan, math.inf, "abc", None])
def test_removed_fractions_out_of_range_are_refused(value):
    with pytest.raises(UserError, match=r"number from 0 to 0\.95"):
        accounting.check_removed_fraction(value)


def test_a_budget_too_small_for_one_atom_is_refused():
    with pytest.raises(UserError, match="not one atom fits"):
        accounting.dictionary_size_for(8, 8, 0.95, 1.0)


@pytest.mark.parametrize("shape", [(576, 576), (192, 576), (1536, 576), (576, 1536)])
def test_mixed_factors_take_max_of_both_sizes_a_rank_and_two_scales(shape):
    assert accounting.mixed_low_rank_bits(*shape, 3) == 3 * (16 * max(shape) + 32)
    for fraction in (0.0, 0.05, 0.2, 0.5, 0.95):
        rank = accounting.mixed_rank_for(*shape, fraction)
        budget = (1 - fraction) * accounting.dense_bits(*shape)
        assert 1 <= rank <= min(shape)
        assert accounting.mixed_low_rank_bits(*shape, rank) <= budget
        assert rank == min(shape) or accounting.mixed_low_rank_bits(*shape, rank + 1) > budget
