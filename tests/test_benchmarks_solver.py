"""The solver benchmark: what it counts and what it writes; no figure of speed is asserted."""

from __future__ import annotations

import dataclasses
import json

import pydantic
import pytest
import tiny
from typer.testing import CliRunner

from compression.__main__ import SCHEMAS, app
from compression.benchmarks import solver
from compression.errors import UserError
from compression.pipeline import finish
from compression.recipe import Recipe
from compression.workbench import Workbench


@pytest.fixture
def recipes(cache, tmp_path):
    directory = tmp_path / "model"
    tiny.write_tiny_llama(directory)
    text = tmp_path / "text.txt"
    text.write_text(" ".join(tiny.SENTENCES * 40))
    shared = {"calibration_text": str(text), "num_sequences": 4, "sequence_length": 16, "removed_fraction": 0.3}
    return tuple(Recipe(str(directory), name, iterations=3, **shared) for name in ("svd", "svd-llm", "compot"))


def test_the_benchmark_counts_every_site_and_alternation(recipes):
    result = finish(solver.benchmark_solver(Workbench(), recipes))
    plain, baseline, compot = result.methods
    report = finish(Workbench().compress(recipes[-1]))
    expected = sum(4 * s.shape[0] * s.shape[1] * s.quantities["num_atoms"] * 3 for s in report.sites)
    assert compot.nominal_flops == expected
    assert compot.ratio_to_sgemm == pytest.approx(compot.compress_seconds / compot.sgemm_seconds)
    assert compot.sgemm_gflops_per_second == pytest.approx(expected / compot.sgemm_seconds / 1e9)
    assert plain.nominal_flops is None and plain.sgemm_seconds is None and plain.ratio_to_sgemm is None
    assert baseline.ratio_to_svd_llm == 1
    assert compot.ratio_to_svd_llm == pytest.approx(compot.compress_seconds / baseline.compress_seconds)
    assert "factorisation" in compot.stages and compot.settings["iterations"] == 3
    assert result.environment.threads >= 1 and result.environment.commit
    assert [part.count for part in solver.factorisations(report)] and solver.factorisations(report)[0].iterations == 3


def test_without_alternations_there_is_nothing_to_compare_with(recipes):
    once = dataclasses.replace(recipes[-1], iterations=0)
    (timing,) = finish(solver.benchmark_solver(Workbench(), (once,))).methods
    assert timing.nominal_flops is None and timing.ratio_to_sgemm is None and timing.ratio_to_svd_llm is None
    with pytest.raises(UserError, match="removed fraction of 0"):
        finish(solver.benchmark_solver(Workbench(), (dataclasses.replace(once, removed_fraction=0.0),)))


def test_the_command_writes_what_its_schema_says(recipes, tmp_path):
    recipe, out = recipes[0], tmp_path / "solver.json"
    arguments = ["bench", "solver", "--model", recipe.model_id, "--calibration", recipe.calibration_text]
    arguments += ["--calibration-sequences", "4", "--sequence-length", "16", "--removed", "0.3", "--iterations", "1"]
    arguments += ["--methods", "svd-llm,compot", "--setting", "damping=1e-6", "--preset", "paper", "--json", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    read = pydantic.TypeAdapter(SCHEMAS["bench solver"]).validate_json(out.read_bytes())
    assert [timing.method for timing in read.methods] == ["svd-llm", "compot"]
    assert [timing.settings["damping"] for timing in read.methods] == [1e-6, 1e-6]
    assert json.loads(out.read_text())["removed_fraction"] == 0.3
    assert "svd-llm" in result.output and "threads" in result.output
