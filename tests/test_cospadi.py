"""CoSpaDi: its alternation, the property it rests on, and the benchmark against COMPOT; no speed is asserted."""

from __future__ import annotations

import dataclasses

import pydantic
import pytest
import reference
import tiny
import torch
from real_sites import first_block
from typer.testing import CliRunner

from compression import accounting
from compression.__main__ import SCHEMAS, app
from compression.benchmarks import cospadi as benchmark
from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import relative_output_error
from compression.methods import compot, create_method
from compression.methods.base import CompressionMethod
from compression.methods.cospadi import CoSpaDi, alternate
from compression.pipeline import finish
from compression.recipe import Recipe
from compression.sparse_coding import orthogonal_matching_pursuit
from compression.workbench import Workbench


def layer_like(rows, columns, dtype=torch.float32, seed=0):
    """A target with the falling spectrum of a whitened layer."""
    g = torch.Generator().manual_seed(seed)
    size = min(rows, columns)
    left, right = (torch.linalg.qr(torch.randn(side, size, generator=g).double())[0] for side in (rows, columns))
    return ((left * torch.logspace(0, -2.5, size)) @ right.T).to(dtype)


def last(*arguments):
    *_, factors = alternate(*arguments)
    return factors


@pytest.mark.parametrize(("rows", "columns"), [(40, 90), (90, 40)])
@pytest.mark.parametrize("iterations", [0, 1, 6])
def test_the_convergence_is_the_error_after_each_coding_and_the_last_sweep(rows, columns, iterations):
    target = layer_like(rows, columns)
    turns = list(alternate(target, 30, 10, iterations, 2))
    assert len(turns) == max(1, 2 * iterations) and len(turns[-1].convergence) == iterations + 1
    for index, factors in enumerate(turns):
        assert len(factors.convergence) == index // 2 + 1 + index % 2
        rest = target.double() - factors.dictionary.double() @ factors.codes.double().T
        error = float(rest.square().sum() / target.double().square().sum())
        assert factors.convergence[-1] == pytest.approx(error, rel=1e-4)
        reference.assert_close(factors.dictionary.norm(dim=0), torch.ones(30), rtol=0, atol=1e-5)
        assert factors.mask.sum(1).tolist() == [10] * columns and not factors.codes[~factors.mask].any()
    sweeps = [factors.convergence[-2:] for factors in turns[1::2]]
    assert all(after < before for before, after in sweeps)


def test_it_starts_where_compot_starts_and_ends_below_it():
    target = layer_like(60, 150)
    rival = compot.factorise(target, 50, 25, 20)
    ours = last(target, 50, 25, 20, 2)
    assert ours.convergence[0] == pytest.approx(rival.convergence[0], rel=1e-3)
    assert ours.convergence[-1] < rival.convergence[-1]


def test_zeros_and_a_deficient_target_are_survived():
    for target in (torch.zeros(30, 40), layer_like(30, 40)[:, :5].repeat(1, 8)):
        factors = last(target, 20, 6, 3, 2)
        assert torch.isfinite(factors.dictionary).all() and torch.isfinite(factors.codes).all()
        assert factors.mask.sum(1).tolist() == [6] * 40
        assert factors.convergence[-1] < 1e-9


def test_its_curves_equal_coding_once():
    g = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(40, 72, generator=g), torch.randn(400, 72, generator=g)
    inputs = inputs @ (torch.randn(72, 72, generator=g) * torch.logspace(0, -2, 72))
    statistics = SiteStatistics(inputs.T @ inputs, 400, torch.full((40,), 2e-6), 300)
    once = create_method("cospadi", iterations=0)
    fractions = (0.1, 0.3, 0.5, 0.8)
    layers = [once.compress(weight, None, statistics, fraction).layer.dense_weight() for fraction in fractions]
    errors = [relative_output_error(weight, layer, statistics.gram) for layer in layers]
    assert once.output_errors(weight, statistics, fractions).tolist() == pytest.approx(errors, rel=1e-2)
    assert float(once.output_errors(weight, statistics, (0.95,))) <= 1
    slow = CompressionMethod.predicted_losses(once, weight, statistics, fractions)
    short = once.predicted_losses(weight, statistics, fractions)
    reference.assert_close(short / short[0], slow / slow[0], rtol=0.03)


def test_it_names_the_papers_settings():
    assert create_method("cospadi", **CoSpaDi.paper_settings).iterations == 60
    with pytest.raises(UserError, match="power iterations an atom must be a number from 1 to 50"):
        create_method("cospadi", power_iterations=0)


def test_on_a_real_site_it_ends_below_compot(real_cache):
    """The paper's claim, on the first key projection of the default model."""
    weight, statistics = first_block()["k_proj"]
    size = accounting.dictionary_size_for(*weight.shape, 0.2)
    target = statistics.whitening().whiten(weight.T, torch.float32)
    rival = compot.factorise(target, size.num_atoms, size.nonzeros_per_column, 20)
    ours = last(target, size.num_atoms, size.nonzeros_per_column, 20, 2)
    assert ours.convergence[-1] <= rival.convergence[-1]


@pytest.fixture
def recipe(cache, tmp_path):
    directory = tmp_path / "model"
    tiny.write_tiny_llama(directory)
    text = tmp_path / "text.txt"
    text.write_text(" ".join(tiny.SENTENCES * 40))
    return Recipe(str(directory), "compot", "uniform", 0.3, str(text), num_sequences=4, sequence_length=16)


def test_the_benchmark_reports_both_ratios_and_checks_its_routines(recipe):
    threads = torch.get_num_threads()
    result = finish(benchmark.benchmark_cospadi(Workbench(), recipe, None, 4, 2))
    assert torch.get_num_threads() == threads
    assert result.block == 1 and len(result.sites) == 7 and result.threads == 1
    for race in result.sites:
        assert race.budget_ratio == pytest.approx(race.cospadi_seconds / race.compot_seconds)
        assert (race.catch_up_seconds is None) == (race.error_ratio is None) == (race.catch_up_iterations is None)
        assert race.catch_up_seconds is None or 0 < race.catch_up_seconds <= race.cospadi_seconds
        assert race.catch_up_seconds is not None or race.cospadi_error > race.compot_error
        assert race.coding_difference < 1e-6
        assert race.float32_error_ratio < 1.05
        assert 1 - 1e-9 <= race.atom_error_ratio < 1.2
    total = sum(race.compot_seconds for race in result.sites)
    assert result.budget_ratio == pytest.approx(sum(race.cospadi_seconds for race in result.sites) / total)
    assert len(result.findings) == 4


def test_where_it_never_gets_there_it_says_so():
    figures = (1.0, 0.1, 30.0, 0.2, None, None, 30.0, None, 1e-9, 1.0, 1.0)
    race = benchmark.SiteRace("a.b", "b", 4, 4, 2, 1, *figures)
    caught = dataclasses.replace(
        race, projection="c", cospadi_error=0.05, catch_up_seconds=5.0, catch_up_iterations=3.5, error_ratio=5.0
    )
    budget, equal, lower, _ = benchmark.findings((race, caught), 30.0, None, 60, 20)
    assert "60 alternations of CoSpaDi and 20 of COMPOT" in budget and "30 times" in budget
    assert "no ratio" in equal and equal.endswith("on b.")
    assert "1 of 2 sites" in lower
    assert "5.0 times as long" in benchmark.findings((caught,), 30.0, 5.0, 60, 20)[1]


def test_the_obvious_pursuit_is_the_fast_one():
    g = torch.Generator().manual_seed(2)
    target, dictionary = torch.randn(20, 5, generator=g).double(), torch.randn(20, 30, generator=g).double()
    dictionary /= dictionary.norm(dim=0)
    codes, _ = orthogonal_matching_pursuit(target, dictionary, 8)
    reference.assert_close(codes, benchmark.obvious_pursuit(target, dictionary, 8), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((7,), "has no block 7: choose one from 0 to 1"), ((None, 0), "at least one thread and one alternation")],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(recipe, arguments, message):
    with pytest.raises(UserError, match=message):
        finish(benchmark.benchmark_cospadi(Workbench(), recipe, *arguments))


def test_the_command_writes_what_its_schema_says(recipe, tmp_path):
    out = tmp_path / "cospadi.json"
    arguments = ["bench", "cospadi", recipe.model_id, "--calibration", recipe.calibration_text, "--block", "0"]
    arguments += ["--calibration-sequences", "4", "--sequence-length", "16", "--removed", "0.3"]
    arguments += ["--iterations", "2", "--compot-iterations", "2", "--json", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    read = pydantic.TypeAdapter(SCHEMAS["bench cospadi"]).validate_json(out.read_bytes())
    assert read.block == 0 and read.cospadi_iterations == 2
    assert "times as long" in result.output and "1 threads" in result.output
