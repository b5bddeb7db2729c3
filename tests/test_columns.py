"""One column as two stored layers see it, against the outputs that the layers really give."""

from __future__ import annotations

import dataclasses

import pytest
import reference
import torch

from compression.analysis import LEAST_LOST
from compression.calibration import SiteStatistics
from compression.columns import captured_by_more, column_info
from compression.linalg import Whitening
from compression.methods import create_method
from compression.modules import DictionaryLinear, LowRankLinear

OUT, IN, REMOVED = 24, 20, 0.3


def matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


INPUTS = matrix(200, IN) @ matrix(IN, IN, seed=1)
WEIGHT = matrix(OUT, IN, seed=2).float()


def statistics() -> SiteStatistics:
    gradients = matrix(150, OUT, seed=3) * torch.linspace(0.1, 3, OUT, dtype=torch.float64)
    return SiteStatistics(INPUTS.T @ INPUTS, len(INPUTS), gradients.T @ gradients, 150)


def layers(pair=("svd-llm", "compot"), weight=WEIGHT, removed=REMOVED):
    return [create_method(name).compress(weight, None, statistics(), removed).layer for name in pair]


def captured_of_outputs(layer, weight=WEIGHT) -> torch.Tensor:
    """1 − relative squared error of each output, from the inputs themselves: no whitening."""
    outputs, given = INPUTS @ weight.double().T, INPUTS @ layer.dense_weight().double().T
    return 1 - (outputs - given).square().sum(0) / outputs.square().sum(0)


@pytest.mark.parametrize("pair", [("svd-llm", "compot"), ("svd-fisher", "compot-fisher")])
@pytest.mark.parametrize("removed", [0.1, 0.3, 0.6])
def test_captured_is_one_minus_the_squared_error_of_the_output(pair, removed):
    low_rank, dictionary = layers(pair, removed=removed)
    info = column_info(WEIGHT, statistics().whitening(), low_rank, dictionary)
    by_low_rank, by_dictionary = captured_of_outputs(low_rank), captured_of_outputs(dictionary)
    assert info.low_rank_captured == pytest.approx(by_low_rank[info.index].item(), abs=1e-5)
    assert info.dictionary_captured == pytest.approx(by_dictionary[info.index].item(), abs=1e-5)
    gains = by_dictionary - by_low_rank
    assert info.gain == pytest.approx(gains.sort().values[(OUT - 1) // 2].item(), abs=1e-5), "the median column"
    assert info.ahead == (gains > 0).double().mean() and info.num_columns == OUT
    assert info.low_rank_median == pytest.approx(by_low_rank.quantile(0.5).item(), abs=1e-5)
    assert info.dictionary_median == pytest.approx(by_dictionary.quantile(0.5).item(), abs=1e-5)
    for counts, values in ((info.low_rank_counts, by_low_rank), (info.dictionary_counts, by_dictionary)):
        expected = [
            sum(low <= 1 - value < high for value in values.tolist())
            for low, high in zip(info.lost_edges, info.lost_edges[1:], strict=False)
        ]
        assert list(counts) == expected and sum(counts) == OUT


def test_the_steps_are_the_squared_coefficients_on_orthonormal_directions():
    low_rank, dictionary = layers()
    info = column_info(WEIGHT, statistics().whitening(), low_rank, dictionary)
    target = statistics().whitening().whiten(WEIGHT.T)
    directions = torch.linalg.svd(target).U[:, : low_rank.rank]
    expected = (directions.T @ target[:, info.index]).square().sort(descending=True).values.cumsum(0)
    expected /= target[:, info.index].square().sum()
    reference.assert_close(torch.tensor(info.low_rank, dtype=torch.float64), expected, atol=2e-4)
    assert len(info.low_rank) == low_rank.rank and len(info.dictionary) == dictionary.nonzeros_per_column
    assert len(info.more_atoms) == dictionary.num_atoms - dictionary.nonzeros_per_column
    coefficients = dictionary.codes()[info.index].double() * statistics().whitening().whiten(
        dictionary.dictionary
    ).norm(dim=0)
    expected = coefficients.square().sort(descending=True).values[: len(info.dictionary)].cumsum(0)
    expected /= target[:, info.index].square().sum()
    reference.assert_close(torch.tensor(info.dictionary, dtype=torch.float64), expected, atol=2e-3)


@pytest.mark.parametrize("pair", [("svd-llm", "compot"), ("svd-fisher", "compot-fisher")])
def test_all_atoms_capture_what_a_least_squares_fit_of_the_output_does(pair):
    low_rank, dictionary = layers(pair)
    info = column_info(WEIGHT, statistics().whitening(), low_rank, dictionary)
    output = INPUTS @ WEIGHT[info.index].double()
    seen = INPUTS @ dictionary.dictionary.double()
    fitted = seen @ torch.linalg.lstsq(seen, output[:, None]).solution[:, 0]
    expected = 1 - (output - fitted).square().sum() / output.square().sum()
    assert info.all_atoms == pytest.approx(expected.item(), abs=1e-5)
    assert list(info.more_atoms) == sorted(info.more_atoms) and info.more_atoms[0] > info.dictionary_captured
    assert info.atoms_gain - info.sparsity_cost == pytest.approx(info.gain)


def test_the_next_atom_is_the_best_one():
    basis = torch.eye(6, dtype=torch.float64)
    column = torch.tensor([3.0, 0.5, 2.0, 0.1, 1.0, 0.0], dtype=torch.float64)
    used = basis[:, :1] * column[0]
    captured = captured_by_more(column, used, basis[:, 1:5] * torch.tensor([1e-6, 1.0, 1e6, 1.0]))
    expected = torch.tensor([9 + 4, 9 + 4 + 1, 9 + 4 + 1 + 0.25, 9 + 4 + 1 + 0.25 + 0.01], dtype=torch.float64)
    reference.assert_close(captured, expected / column.square().sum(), atol=1e-12)


def test_every_atom_in_use_leaves_nothing_to_add():
    dictionary = DictionaryLinear(matrix(IN, 4), matrix(OUT, 4), torch.ones(OUT, 4, dtype=torch.bool))
    info = column_info(WEIGHT, statistics().whitening(), layers()[0], dictionary)
    assert info.more_atoms == () and info.all_atoms == info.dictionary_captured and info.sparsity_cost == 0


def test_columns_of_zeros_are_left_out():
    holed = WEIGHT.clone()
    holed[[0, 7]] = 0
    low_rank, dictionary = layers(weight=holed)
    info = column_info(holed, statistics().whitening(), low_rank, dictionary)
    assert info.num_columns == OUT - 2 == sum(info.low_rank_counts) and info.index not in (0, 7)
    captured = captured_of_outputs(dictionary, holed)[info.index].item()
    assert info.dictionary_captured == pytest.approx(captured, abs=1e-5), "the index counts the empty columns too"
    assert column_info(holed * 0, statistics().whitening(), low_rank, dictionary) is None


def test_the_better_form_is_ahead_whichever_it_is():
    """A weight of rank 3 suits a low rank; columns on private coordinates suit a dictionary."""
    whitening = Whitening.from_gram(torch.eye(IN, dtype=torch.float64))
    thin = matrix(OUT, 3) @ matrix(3, IN, seed=1)
    exact = LowRankLinear(*(factor.T for factor in (matrix(3, IN, seed=1), matrix(OUT, 3))))
    private = torch.zeros(OUT, IN, dtype=torch.float64)
    private[torch.arange(OUT), torch.arange(OUT) % IN] = 1
    picks = DictionaryLinear(torch.eye(IN), private, private > 0)
    behind = column_info(thin, whitening, exact, picks)
    ahead = column_info(private, whitening, exact, picks)
    assert behind.ahead == 0 and behind.gain < 0 and behind.low_rank_captured == pytest.approx(1, abs=1e-5)
    assert ahead.ahead == 1 and ahead.gain > 0 and ahead.dictionary == (1.0,)
    assert ahead.lost_edges[0] == LEAST_LOST and ahead.dictionary_counts[0] == OUT, "nothing lost has a bin too"
    assert ahead.lost_edges[-1] == 1 and ahead.dictionary_lost == (1.0, LEAST_LOST)
    assert all(isinstance(value, float | int | tuple) for value in dataclasses.astuple(ahead)), "plain numbers only"
