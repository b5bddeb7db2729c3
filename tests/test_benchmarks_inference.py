"""The inference benchmark: formulas, true bytes, honest sentences. Speed is measured by the command, not here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pydantic
import pytest
import torch
from tiny import SENTENCES, finish, write_tiny_llama
from torch import nn

from compression import accounting
from compression.__main__ import SCHEMAS, main
from compression.benchmarks import inference
from compression.benchmarks.inference import benchmark_inference, measure_work, model_resident_bytes
from compression.benchmarks.inference_report import InferenceBenchmark
from compression.errors import UserError
from compression.modules import LowRankLinear, padded_size
from compression.types import LinearSite
from compression.workbench import Workbench

METHODS = ("svd", "compot")


@pytest.fixture
def model_id(tmp_path: Path, cache: Path) -> str:
    write_tiny_llama(tmp_path / "tiny")
    return str(tmp_path / "tiny")


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 80, encoding="utf-8")
    return str(tmp_path / "text.txt")


@pytest.fixture
def result(model_id: str, text: str) -> InferenceBenchmark:
    steps = benchmark_inference(
        Workbench(), model_id, METHODS, prompt_tokens=8, decode_tokens=2, repeats=2, calibration_text=text
    )
    return finish(steps)


def test_every_shape_is_there_and_adds_up(result):
    assert [method.method for method in result.methods] == list(METHODS)
    assert result.threads == torch.get_num_threads() == result.environment.threads
    for method in result.methods:
        assert [row.label for row in method.shapes] == ["64 × 64", "32 × 64", "96 × 64", "64 × 96"]
        assert [row.layers for row in method.shapes] == [4, 4, 4, 2] and method.total.layers == 14
        assert 0.4 <= method.removed_fraction < 0.5
        for quantity in ("dense_flops", "flops", "executed_flops", "resident_bytes", "bytes_read", "stored_bytes"):
            parts = [getattr(row.work, quantity) for row in method.shapes]
            assert sum(parts) == getattr(method.total.work, quantity) > 0
        for row in (*method.shapes, method.total):
            assert sum(row.execution.values()) == row.layers
            for timing in (row.prefill, row.decode):
                assert timing.dense.repeats == timing.compressed.repeats == 2
                assert timing.dense.median_ms > 0 and timing.speed_ratio > 0
            work = row.work
            assert row.prefill.realised_share == pytest.approx(row.prefill.speed_ratio / work.flop_ratio)
            assert row.prefill.executed_share == pytest.approx(row.prefill.speed_ratio / work.executed_flop_ratio)
            assert row.decode.realised_share == pytest.approx(row.decode.speed_ratio / work.byte_ratio)
            assert work.flop_ratio == work.dense_flops / work.flops > 1
            assert work.dense_stored_bytes == work.dense_flops == work.dense_resident_bytes // 2
            assert work.stored_bytes <= 0.6 * work.dense_stored_bytes


def test_small_layers_run_merged_and_the_report_says_what_that_means(result):
    for method in result.methods:
        assert method.total.execution == {"merged": 14}
        work = method.total.work
        assert work.executed_flop_ratio == work.byte_ratio == 1
        assert work.resident_bytes == work.stored_bytes + work.dense_resident_bytes
        words = " ".join(method.total.remarks)
        assert "14 of 14 layers of all compressible layers run merged" in words
        assert "the memory of dense float32 layers" in words
        assert "merged into a dense matrix" in method.model.execution
        assert method.model.resident_bytes == method.model.dense_resident_bytes + work.stored_bytes
        assert "of a dense prefill" in method.model.remarks[0]


def test_rank_and_atoms_are_those_of_the_budget(result):
    low_rank, dictionary = (method.shapes[0] for method in result.methods)
    rank = accounting.rank_for(64, 64, 0.4)
    size = accounting.dictionary_size_for(64, 64, 0.4)
    assert low_rank.sizes == f"rank {rank}"
    assert low_rank.work.flops == 4 * accounting.low_rank_flops(64, 64, rank)
    assert dictionary.sizes == f"num_atoms {size.num_atoms}, nonzeros_per_column {size.nonzeros_per_column}"
    assert dictionary.work.flops == 4 * accounting.dictionary_flops(64, 64, size.num_atoms, size.nonzeros_per_column)


def test_work_of_a_mixture_counts_each_layer_as_it_runs():
    sites = [LinearSite(str(i), 0, "p", 64, 96, "") for i in range(3)]
    originals = [nn.Linear(96, 64) for _ in sites]
    factored, merged = (LowRankLinear(torch.randn(96, 5), torch.randn(5, 64), torch.zeros(64)) for _ in range(2))
    factored.execution, merged.execution = "factored", "merged"
    layers = [factored, merged, originals[2]]
    for layer in layers:
        layer(torch.randn(1, 96))
    work = measure_work(originals, layers, sites)
    dense, padded = 96 * 64, padded_size(5) * (96 + 64)
    assert work.flops == 2 * (2 * 5 * 160 + dense) and work.dense_flops == 6 * dense
    assert work.executed_flops == 2 * (padded + 2 * dense)
    assert work.bytes_read == 4 * (padded + 2 * dense)
    assert work.resident_bytes == work.bytes_read + 2 * 2 * 5 * 160 + 3 * 4 * 64
    assert work.dense_resident_bytes == 3 * 4 * (dense + 64)
    assert work.stored_bytes == 2 * 2 * 5 * 160 + 2 * dense
    stack = nn.Sequential(factored, originals[2])
    assert model_resident_bytes(stack) == factored.resident_bytes() + 4 * (dense + 64)


def test_the_speed_ratio_is_the_median_over_rounds_of_dense_over_compressed():
    timing = inference._timing(([4.0, 2.0, 9.0], [2.0, 2.0, 3.0]), 1.5, 1.0)
    assert timing.speed_ratio == 2 and timing.executed_share == 2
    assert timing.realised_share == pytest.approx(4 / 3)
    assert timing.dense.median_ms == 4000 and timing.dense.iqr_ms == 3500
    slow = inference._timing(([1.0, 1.0], [1.0, 1.0]), 1.5, 1.0)
    (sentence,) = inference._slower("x", timing, slow, _work())
    assert sentence == "Smaller is not faster for x: 60% of the layers' bytes on disk, speed 1.00 × in decode."
    assert inference._slower("x", timing, timing, _work()) == []
    assert inference._scatter("x", slow) == []
    (sentence,) = inference._scatter("x", timing)
    assert sentence == "The prefill times of x scatter by 88% (IQR ÷ median): repeat on an idle machine."


def _work():
    return inference.Work(10, 6, 6, 10 / 6, 10 / 6, 40, 24, 10 / 6, 40, 36, 20, 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"removed_fraction": 0.0}, "must be above 0 here"),
        ({"removed_fraction": 1.0}, "from 0 to 0.95"),
        ({"prompt_tokens": 0}, "prompt tokens must be from 1 to 4096, but 0"),
        ({"decode_tokens": 0}, "decode tokens must be from 1 to 256"),
        ({"repeats": 1}, "repeats must be from 2 to 100"),
        ({"prompt_tokens": 128}, "exceed the model's context of 128"),
        ({"methods": ("magic",)}, "no method 'magic'"),
        ({"iterations": -1, "methods": ("compot",)}, "alternations must be a number"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_work(settings, message, model_id):
    with pytest.raises(UserError, match=message):
        finish(benchmark_inference(Workbench(), model_id, **settings))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["compression", "bench", "inference", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_the_command_prints_a_table_and_writes_what_its_schema_says(model_id, text, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    options = ("--prompt-tokens", 8, "--decode-tokens", 2, "--repeats", 2, "--calibration", text, "--json", out)
    assert call(monkeypatch, model_id, "--methods", "svd", *options) == 0
    report = pydantic.TypeAdapter(SCHEMAS["bench inference"]).validate_json(out.read_bytes())
    assert isinstance(report, InferenceBenchmark) and report.removed_fraction == 0.4
    assert json.loads(out.read_text())["methods"][0]["total"]["work"]["stored_bytes"] > 0
    printed = capsys.readouterr().out
    assert "all compressible layers" in printed and "whole model" in printed and "14 merged" in printed
    assert f"{report.threads} threads" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-model",), "error: There is no model 'no-such-model'"),
        (("--removed", "0.99"), "error: The removed fraction must be a number from 0 to 0.95"),
        (("--prompt-tokens", "0"), "error: The number of prompt tokens must be from 1"),
        (("--removed", "much"), "Invalid value for '--removed'"),
        (("--methods", ","), "error: --methods needs at least one name"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_code_2(arguments, message, monkeypatch, capsys, cache):
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
