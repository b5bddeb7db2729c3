"""One budget, spent in five ways: the choice beside trying all, the bits that are foretold, and the command."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from tiny import SENTENCES, write_tiny_llama
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.errors import UserError
from compression.mixing import runner
from compression.mixing.choose import best_mix
from compression.mixing.report import Choice, MixReport, MixTable

CHOICES = tuple(Choice(0.0, bits, 128) for bits in (2, 3, 4, 8))


def random_table(seed: int, sites: int = 5) -> MixTable:
    draw = random.Random(seed)
    names = [f"site {index}" for index in range(sites)]
    bits = {name: tuple(draw.randint(10, 100) for _ in CHOICES) for name in names}
    return MixTable(CHOICES, bits, {name: tuple(draw.random() for _ in CHOICES) for name in names})


def all_mixes(table: MixTable) -> list[tuple[int, float]]:
    """Bits and loss of every mix there is."""
    costs = [list(zip(table.stored_bits[name], table.losses[name], strict=True)) for name in table.losses]
    return [(sum(b for b, _ in mix), sum(loss for _, loss in mix)) for mix in itertools.product(*costs)]


@pytest.mark.parametrize("seed", range(30))
def test_a_mix_fits_and_is_the_best_of_all_that_are_no_larger_up_to_one_step(seed: int) -> None:
    table = random_table(seed)
    every = all_mixes(table)
    smallest = min(bits for bits, _ in every)
    assert best_mix(table, smallest - 1) is None
    for budget in range(smallest, 500, 23):
        found = best_mix(table, budget)
        assert found is not None and found.stored_bits <= budget
        picked = [table.choices.index(choice) for choice in found.choices.values()]
        assert found.loss == pytest.approx(sum(table.losses[n][i] for n, i in zip(table.losses, picked, strict=True)))
        optimum = min(loss for bits, loss in every if bits <= budget)
        longest = max(max(losses) - min(losses) for losses in table.losses.values())
        assert optimum - 1e-12 <= found.loss <= optimum + longest
    whole = best_mix(table, 10_000)
    assert whole is not None and whole.loss == pytest.approx(min(loss for _, loss in every))


def test_at_a_price_a_mix_is_the_optimum() -> None:
    """Where the greedy climb has just taken a step, nothing of its size is better."""
    table = random_table(7)
    every = all_mixes(table)
    sizes = {found.stored_bits for budget in range(50, 500) if (found := best_mix(table, budget)) is not None}
    exact = 0
    for size in sizes:
        found = best_mix(table, size)
        assert found is not None
        exact += found.loss <= min(loss for bits, loss in every if bits <= size) + 1e-12
    assert exact >= 0.6 * len(sizes)


def test_what_is_not_allowed_is_not_taken() -> None:
    table = random_table(3)
    found = best_mix(table, 10_000, lambda choice: choice.bits < 4)
    assert found is not None and {choice.bits for choice in found.choices.values()} <= {2, 3}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    write_tiny_llama(tmp_path / "tiny")
    return tmp_path / "tiny"


def run_mix(model: Path, *more: str) -> tuple[MixReport, str]:
    text, out = str(model.parent / "text.txt"), model.parent / "out.json"
    call = ["mix", str(model), "--calibration", text, "--text", text, "--calibration-sequences", "8"]
    call += ["--sequence-length", "32", "--window", "64", "--max-windows", "2", "--json", str(out), *more]
    shown = CliRunner().invoke(app, call, catch_exceptions=False).output
    return store.read_json(out, MixReport), shown


def test_five_ways_meet_one_budget_and_the_joint_one_has_the_least_predicted_loss(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, shown = run_mix(model, "--bits-per-weight", "6")
    assert [run.name for run in report.runs] == [
        "gptq",
        "compot-fisher",
        "svd-llm + gptq",
        "compot-fisher + gptq",
        "joint",
    ]
    for run in report.runs:
        assert run.name in shown and 0.7 * 6 < run.bits_per_weight <= 6
        assert run.stored_bits == run.measured.stored_bits < report.dense.stored_bits
        assert sum(part.layers for part in run.parts) == sum(part.layers for part in report.runs[0].parts)
    joint = report.runs[-1]
    assert joint.predicted_loss is not None and len({part.choice for part in joint.parts}) > 1
    curves = {curve.name: curve for curve in report.curves}
    assert list(curves) == ["gptq", "compot-fisher", "compot-fisher + gptq", "joint"]
    for curve in report.curves:
        losses = [point.predicted_loss for point in curve.points]
        assert losses == sorted(losses, reverse=True)
        for point in curve.points:
            best = min(
                p.predicted_loss for p in curves["joint"].points if p.bits_per_weight <= point.bits_per_weight + 0.3
            )
            assert best <= point.predicted_loss + 1e-6
    monkeypatch.setattr(runner, "quantize_in_sequence", lambda *_: pytest.fail("it was quantised again"))
    monkeypatch.setattr(runner, "make_table", lambda *_: pytest.fail("the table was made again"))
    assert run_mix(model, "--bits-per-weight", "6")[0].runs == report.runs


def test_a_calibration_text_that_was_rewritten_under_its_name_is_another_one(model: Path) -> None:
    calibration = model.parent / "calibration.txt"
    made = []
    for sentences in (SENTENCES, SENTENCES[::-1], SENTENCES):
        calibration.write_text(" and ".join(sentences) * 60, encoding="utf-8")
        made.append(run_mix(model, "--bits-per-weight", "4", "--calibration", str(calibration))[0])
    assert made[0].dense == made[1].dense == made[2].dense
    for before, after in zip(made[0].runs, made[1].runs, strict=True):
        assert before.measured.window_losses != after.measured.window_losses, before.name
    assert made[2].runs == made[0].runs


def test_a_budget_in_megabytes_is_that_of_the_whole_model(model: Path) -> None:
    report, _ = run_mix(model, "--bits-per-weight", "8")
    rest = report.dense.stored_bits - 16 * sum(part.weights for part in report.runs[0].parts)
    weights = (report.dense.stored_bits - rest) / 16
    again, _ = run_mix(model, "--megabytes", str((rest + 8 * weights) / 8e6))
    assert again.budget_bits_per_weight == pytest.approx(8)
    assert max(run.stored_bits for run in again.runs) <= rest + 8 * weights


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ((), "either in bits a weight or in megabytes"),
        (("--bits-per-weight", "4", "--megabytes", "1"), "either in bits a weight or in megabytes"),
        (("--bits-per-weight", "1"), r"The budget must be from \d+\.?\d* to 16 bits a weight .* but 1.00 was asked"),
        (("--bits-per-weight", "4", "--method", "svd-llm"), "removes by a dictionary, .* but svd-llm"),
        (("--bits-per-weight", "4", "--method", "nothing"), "There is no method 'nothing'"),
    ],
)
def test_bad_input_is_one_sentence(model: Path, more: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run_mix(model, *more)
