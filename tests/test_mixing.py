"""One budget, spent in five ways: the choice beside trying all, the bits that are foretold, and the command."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from pathlib import Path

import pytest
from distil_samples import measured
from tiny import SENTENCES, write_tiny_llama
from typer.testing import CliRunner

from compression import export, store
from compression.__main__ import app
from compression.errors import UserError
from compression.mixing import runner, table
from compression.mixing.choose import best_mix
from compression.mixing.curves import Line, budget_curves, coefficient
from compression.mixing.report import Choice, MixReport, MixRun, MixTable
from compression.mixing.runner import joint_choice
from compression.steps import Steps
from compression.types import PerplexityReport

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


def run_of(name: str, bits: int, change: float, predicted: float | None) -> MixRun:
    """A run of 100 weights beside 50 other bits, so much worse than a dense model of perplexity 1."""
    report = dataclasses.replace(measured(math.exp(change), 1), negative_log_likelihood=change)
    return MixRun(name, bits / 100, 50 + bits, math.exp(change), report, (), predicted)


def test_between_two_sizes_a_loss_is_a_geometric_mean_and_beyond_them_unknown() -> None:
    line = Line(((100, 0.8), (200, 0.2), (400, 0.0)))
    assert line.at(150) == pytest.approx(0.4) and line.at(200) == pytest.approx(0.2) and line.at(400) == 0
    assert line.at(99) is None and line.at(401) is None and line.at(300) is None


def test_a_curve_passes_through_what_was_measured_of_its_kind() -> None:
    lines = {
        "gptq": Line(((300, 0.8), (400, 0.2))),
        "compot": Line(((300, 9.0), (400, 1.0))),
        "joint": Line(((350, 0.3),)),
    }
    runs = (run_of("gptq", 300, 0.4, 0.8), run_of("compot", 300, 4.0, 9.0), run_of("joint", 350, 0.6, 0.3))
    curves = {curve.name: curve for curve in budget_curves(lines, runs, 0.0, 50, 100)}
    assert curves["gptq"].coefficient == pytest.approx(0.5) and curves["joint"].coefficient == pytest.approx(2)
    for run in (runs[0], runs[2]):
        point = next(each for each in curves[run.name].points if each.stored_bits == run.stored_bits)
        assert point.perplexity == pytest.approx(run.perplexity) and curves[run.name].own
    # What is broken says nothing about what is not: the mean of the others does.
    assert not curves["compot"].own and curves["compot"].coefficient == pytest.approx(coefficient(0.0, runs)) == 1
    assert [point.perplexity for point in curves["compot"].points] == [None, pytest.approx(math.e)]


def test_the_joint_choice_is_the_way_that_measured_best() -> None:
    ways = (run_of("gptq", 300, 0.4, None), run_of("compot", 300, 0.9, None))
    better, worse = run_of("joint", 299, 0.3, None), run_of("joint", 299, 0.5, None)
    assert joint_choice((*ways, better)) == ((*ways, better), None, ())
    assert joint_choice(ways) == (ways, None, ())
    runs, outdone, notes = joint_choice((*ways, worse))
    assert runs[:2] == ways and outdone == worse and len(notes) == 1 and notes[0].endswith("the joint choice is gptq.")
    assert (runs[2].name, runs[2].taken_from, runs[2].perplexity) == ("joint", "gptq", ways[0].perplexity)
    assert runs[2].measured == ways[0].measured and runs[2].parts == ways[0].parts


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
    assert joint.perplexity == min(run.perplexity for run in report.runs)
    mixed = report.outdone or joint
    assert mixed.predicted_loss is not None and len({part.choice for part in mixed.parts}) > 1
    others = {run.name: run.predicted_loss for run in report.runs[:-1]}
    assert others.pop("svd-llm + gptq") is None, "no table of it"
    assert mixed.predicted_loss <= min(others.values())
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


def test_a_calibration_text_that_was_rewritten_under_its_name_is_another_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_removed(*_: object) -> Steps[list[object]]:
        yield from ()
        return []

    monkeypatch.setattr(runner, "_removing", nothing_removed)
    monkeypatch.setattr(table, "CHOICES", (table.WHOLE, *table.DENSE_CHOICES))
    calibration = model.parent / "calibration.txt"
    made = []
    for sentences in (SENTENCES, SENTENCES[::-1], SENTENCES):
        calibration.write_text(" and ".join(sentences) * 60, encoding="utf-8")
        made.append(run_mix(model, "--bits-per-weight", "4", "--calibration", str(calibration))[0])
    assert made[0].dense == made[1].dense == made[2].dense and len(made[0].runs) == 2
    for before, after in zip(made[0].runs, made[1].runs, strict=True):
        assert before.measured.window_losses != after.measured.window_losses, before.name
    assert made[2].runs == made[0].runs


def test_the_joint_model_is_written_and_reads_back_as_it_was(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed, other, out = (model.parent / name for name in ("mixed", "other", "evaluated.json"))
    monkeypatch.setattr(runner, "joint_choice", lambda runs: (runs, None, ()))
    joint = run_mix(model, "--bits-per-weight", "6", "--out", str(mixed))[0].runs[-1]
    written = export.load(mixed)
    assert written.report.stored_bits == joint.stored_bits
    assert "Made by mix, as joint, within 6.00 bits a weight." in written.report.notes
    call = ["evaluate", str(mixed), "--text", str(model.parent / "text.txt"), "--json", str(out)]
    CliRunner().invoke(app, [*call, "--window", "64", "--max-windows", "2"], catch_exceptions=False)
    assert store.read_json(out, PerplexityReport).perplexity == pytest.approx(joint.perplexity, rel=1e-5)
    monkeypatch.setattr(runner, "joint_choice", lambda runs: joint_choice(tuple(map(worse_if_joint, runs))))
    joint = run_mix(model, "--bits-per-weight", "6", "--out", str(other))[0].runs[-1]
    written = export.load(other)
    assert joint.taken_from and written.report.stored_bits == joint.stored_bits
    assert f"Made by mix, as {joint.taken_from}, within 6.00 bits a weight." in written.report.notes
    with pytest.raises(UserError, match="not empty"):
        run_mix(model, "--bits-per-weight", "6", "--out", str(other))


def worse_if_joint(run: MixRun) -> MixRun:
    """The same run, or a mix by layer that is worse than anything."""
    return dataclasses.replace(run, perplexity=math.inf) if run.name == "joint" else run


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
