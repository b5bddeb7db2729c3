"""Verdicts on made-up losses, and the whole command on a tiny model."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import sys

import pydantic
import pytest
import samples
from tiny import SENTENCES, finish, write_tiny_llama

from compression import ablation
from compression.__main__ import SCHEMAS, main
from compression.errors import UserError
from compression.recipe import Recipe
from compression.types import ComparisonRun
from compression.workbench import Workbench

BASE = Recipe("model", removed_fraction=0.2)
HARDNESS = (3.0, 3.9, 2.4, 3.3, 3.1, 2.8)
"""Losses of the windows of a reference: they differ far more between windows than variants do within one."""
NOISE = (1, -2, 3, -1, -2, 1)


def made_up(mean: float, spread: float = 0.001) -> ComparisonRun:
    """A run whose losses are `mean` above `HARDNESS`, give or take."""
    losses = tuple(h + mean + spread * n for h, n in zip(HARDNESS, NOISE, strict=True))
    run = samples.run("compot", "uniform", 0.2, math.exp(statistics.fmean(losses)))
    return dataclasses.replace(run, window_losses=losses)


def judged(claim: str, *runs: ComparisonRun) -> ablation.AblationClaim:
    (plan,) = ablation.plan(BASE, (claim,))
    return ablation.judge(plan, runs)


FLAT, NOISY, BARELY = made_up(0.0, 0.0), made_up(0.02, 0.02), made_up(0.03, 0.01)
"""The second is above the first by a little more than one standard error, the third by nearly four."""


@pytest.mark.parametrize(
    ("claim", "runs", "outcome", "said"),
    [
        ("start", (FLAT, made_up(0.05)), "holds", "with a random start perplexity is 5.13 % higher"),
        ("start", (FLAT, made_up(-0.05)), "does not hold", "perplexity is 4.88 % lower"),
        ("start", (FLAT, NOISY), "within noise", "perplexity is 2.02 % higher"),
        ("start", (FLAT, BARELY), "holds", "perplexity is 3.05 % higher"),
        ("allocation", (FLAT, made_up(-0.05)), "holds", "with pooled allocation perplexity is 4.88 % lower"),
        ("allocation", (FLAT, made_up(0.05)), "does not hold", "perplexity is 5.13 % higher"),
        ("allocation", (FLAT, NOISY), "within noise", "perplexity is 2.02 % higher"),
        # 0, 5, 20 and 50 alternations
        ("alternations", (made_up(0.2), NOISY, FLAT, made_up(-0.01)), "holds", "50 leave it 1.00 % lower"),
        ("alternations", (made_up(0.2), NOISY, FLAT, made_up(-0.06)), "does not hold", "50 leave it 5.82 % lower"),
        ("alternations", (made_up(0.2), NOISY, FLAT, made_up(-0.02, 0.01)), "within noise", "50 leave it"),
        # k/s of 1.2, 1.6, 2, 2.4, 3, 4
        (
            "ratio",
            (made_up(0.3), made_up(0.1), FLAT, made_up(0.02), made_up(0.1), made_up(0.4)),
            "holds",
            "of 1.6 to 2.4, k/s 2 has the lowest perplexity, and that of k/s 3 is 10.52 % higher",
        ),
        (
            "ratio",
            (made_up(0.3), made_up(0.1), FLAT, made_up(-0.02), made_up(0.1), made_up(0.4)),
            "holds",
            "k/s 2.4 has the lowest perplexity, and that of k/s 3 is 12.75 % higher",
        ),
        (
            "ratio",
            (made_up(0.3), made_up(0.1), FLAT, made_up(-0.1), made_up(-0.2), made_up(-0.15)),
            "does not hold",
            "k/s 2.4 has the lowest perplexity, and that of k/s 3 is 9.52 % lower",
        ),
        (
            "ratio",
            (made_up(0.3), made_up(0.1), FLAT, made_up(0.1), NOISY, made_up(0.4)),
            "within noise",
            "k/s 2 has the lowest perplexity, and that of k/s 3 is 2.02 % higher",
        ),
        (
            "ratio",
            (made_up(0.3), made_up(0.1), FLAT, made_up(0.1), BARELY, made_up(0.4)),
            "within noise",  # beyond it as the only comparison, but not as one of nine
            "k/s 2 has the lowest perplexity, and that of k/s 3 is 3.05 % higher",
        ),
    ],
)
def test_verdicts_follow_from_the_losses(claim, runs, outcome, said):
    result = judged(claim, *runs)
    assert result.outcome == outcome
    assert result.verdict.startswith(ablation.OPENINGS[outcome]) and said in result.verdict
    assert result.verdict.endswith(".")


def test_another_optimum_near_2_is_set_against_2():
    ahead = made_up(0.3), made_up(0.1), FLAT, made_up(-0.02), made_up(0.1), made_up(0.4)
    assert "; at k/s 2 it is 2.02 % higher (" in judged("ratio", *ahead).verdict
    behind = (*ahead[:3], made_up(0.02), *ahead[4:])
    assert "; at k/s 2" not in judged("ratio", *behind).verdict


def test_one_window_says_nothing_about_noise():
    runs = [dataclasses.replace(run, window_losses=run.window_losses[:1]) for run in (FLAT, made_up(0.5))]
    result = judged("start", *runs)
    assert result.outcome == "within noise" and "(one window: no interval)" in result.verdict
    assert result.rows[1].stored_ratio is None, "a run without dictionaries"
    assert result.rows[1].change == ablation.Difference(pytest.approx(0.501), None, None, None)


def test_the_interval_is_students_and_widens_with_the_comparisons():
    scipy_stats = pytest.importorskip("scipy.stats")
    values = [0.3, 0.1, 0.25, 0.4, -0.1]
    expected = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    single, several = ablation.paired(values), ablation.paired(values, 9)
    assert (single.low, single.high) == pytest.approx((expected.low, expected.high))
    wider = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(1 - 0.05 / 9)
    assert (several.low, several.high) == pytest.approx((wider.low, wider.high))


def test_pairing_sees_what_the_windows_own_spread_would_hide():
    change = judged("start", FLAT, made_up(0.01)).rows[1].change
    apart = statistics.stdev(HARDNESS) / math.sqrt(len(HARDNESS))
    assert change.low > 0 and change.stderr < apart / 100


def test_losses_of_other_windows_are_not_compared():
    with pytest.raises(ValueError, match="zip"):
        judged("start", FLAT, dataclasses.replace(FLAT, window_losses=FLAT.window_losses[:3]))


def test_the_grid_shares_its_published_cell():
    plans = ablation.plan(BASE)
    assert [plan.name for plan in plans] == list(ablation.CLAIMS)
    recipes = [variant.recipe for plan in plans for variant in plan.variants]
    assert len(recipes) == 6 + 2 + 2 + 4 and len(set(recipes)) == 11
    (published,) = {plan.variants[plan.reference].recipe for plan in plans}
    assert (published.iterations, published.atoms_per_nonzero, published.policy) == (20, 2.0, "uniform")
    for recipe in recipes:
        recipe.check()
    assert [plan.name for plan in ablation.plan(BASE, ("start", "ratio", "start"))] == ["start", "ratio"]
    with pytest.raises(UserError, match="no claim 'magic'"):
        ablation.plan(BASE, ("start", "magic"))


@pytest.fixture
def tiny_base(tmp_path, cache) -> Recipe:
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    return Recipe(
        str(tmp_path / "tiny"),
        removed_fraction=0.3,
        calibration_text=str(tmp_path / "text.txt"),
        num_sequences=8,
        sequence_length=32,
    )


def test_every_cell_is_measured_once_on_the_same_windows(tiny_base):
    steps = ablation.ablate(Workbench(), ablation.plan(tiny_base), tiny_base.calibration_text, 32, 3)
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            report = stop.value
            break
    assert not {"probe", "gradients"} & {event.stage for event in events}, "nothing is forecast"
    said = [event.message for event in events if isinstance(event.partial, ComparisonRun)]
    assert len(said) == 11
    assert said[2].startswith("k/s 2, SVD start, uniform, 20 alternations: perplexity ")
    assert any(message.startswith("random start: perplexity ") for message in said)
    rows = {(claim.name, row.label): row for claim in report.claims for row in claim.rows}
    assert all(len(row.window_losses) == 3 for row in rows.values())
    for row in rows.values():
        assert row.perplexity == pytest.approx(math.exp(statistics.fmean(row.window_losses)))
    assert rows["start", "random start"].settings["random_start"] == 1
    assert rows["alternations", "5 alternations"].settings["iterations"] == 5
    assert rows["ratio", "k/s 3"].settings["atoms_per_nonzero"] == 3
    ratios = [rows["ratio", f"k/s {ratio:g}"].stored_ratio for ratio in ablation.RATIOS]
    assert ratios == pytest.approx(ablation.RATIOS, rel=0.1)
    assert rows["allocation", "pooled"].policy == "pooled"
    same = [rows[key] for key in (("ratio", "k/s 2"), ("start", "SVD start"), ("alternations", "20 alternations"))]
    assert len({row.window_losses for row in same}) == 1 and {row.change for row in same} == {None}
    assert len({row.window_losses for row in rows.values()}) == 11, "every setting reaches the model"
    change = rows["start", "random start"].change
    assert change.mean == pytest.approx(math.log(rows["start", "random start"].perplexity / same[0].perplexity))


def test_what_cannot_be_compared_is_refused_before_anything_is_loaded(tiny_base):
    with pytest.raises(UserError, match="at least 2 are needed, but 1 was given"):
        finish(ablation.ablate(Workbench(), ablation.plan(BASE), "text", 32, 1))
    nothing = dataclasses.replace(BASE, removed_fraction=0.0)
    with pytest.raises(UserError, match="Nothing is compressed at a removed fraction of 0"):
        finish(ablation.ablate(Workbench(), ablation.plan(nothing), "text", 32, 3))


def test_the_command_prints_its_verdicts_and_writes_what_its_schema_says(tiny_base, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    arguments = ["ablate", tiny_base.model_id, "--removed", "0.3", "--claims", "allocation,start", "--markdown"]
    arguments += ["--calibration", tiny_base.calibration_text, "--text", tiny_base.calibration_text]
    arguments += ["--calibration-sequences", "8", "--sequence-length", "32", "--window", "32", "--max-windows", "3"]
    monkeypatch.setattr(sys, "argv", ["compression", *arguments, "--json", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    printed = capsys.readouterr()
    report = pydantic.TypeAdapter(SCHEMAS["ablate"]).validate_json(out.read_bytes())
    assert [claim.name for claim in report.claims] == ["allocation", "start"]
    for claim in report.claims:
        assert claim.verdict in printed.out and claim.statement in printed.out
    assert "| pooled |" in printed.out and "| 50.1 |" in printed.out and "published accuracy, %" in printed.out
    assert report.dense.convention in printed.out and report.convention in printed.out
    assert "random start: perplexity" in printed.err
    assert json.loads(out.read_text())["removed_fraction"] == 0.3
