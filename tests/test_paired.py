"""Differences in accuracy on the same items: averaged over seeds, with a bootstrap interval."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from adapt_samples import made_up_run

from compression.adaptation.paired import against, bootstrap_mean, losses_against, shares_right
from compression.adaptation.types import AdaptSettings
from compression.errors import UserError


def _answers(shares: np.ndarray, seed: int) -> str:
    drawn = np.random.default_rng(seed).random(len(shares)) < shares
    return "".join("1" if right else "0" for right in drawn)


def plain_bootstrap(values: np.ndarray, resamples: int) -> tuple[float, float]:
    """Items drawn one by one."""
    rng = np.random.default_rng(99)
    means = sorted(
        float(np.mean([values[i] for i in rng.integers(0, len(values), len(values))])) for _ in range(resamples)
    )
    return means[round(0.025 * resamples)], means[round(0.975 * resamples) - 1]


def test_the_interval_is_that_of_drawing_item_by_item() -> None:
    rng = np.random.default_rng(5)
    values = rng.choice([-1, -2 / 3, 0, 1 / 3], p=[0.1, 0.1, 0.5, 0.3], size=150)
    low, high = bootstrap_mean(values)
    expected_low, expected_high = plain_bootstrap(values, 4000)
    width = expected_high - expected_low
    assert low == pytest.approx(expected_low, abs=0.06 * width)
    assert high == pytest.approx(expected_high, abs=0.06 * width)
    assert width == pytest.approx(2 * 1.96 * values.std() / len(values) ** 0.5, rel=0.06), "as a normal mean has it"
    assert bootstrap_mean(np.full(7, 0.25)) == (0.25, 0.25)


def test_seeds_are_averaged_item_by_item() -> None:
    assert shares_right(["110", "100"]).tolist() == [1, 0.5, 0]
    with pytest.raises(UserError, match="different items"):
        shares_right(["110", "10"])


def test_every_method_and_target_beside_full_fine_tuning() -> None:
    shares = np.random.default_rng(0).random(400)

    def runs(method: str, target: float, seeds: int, factor: float, removes: bool = True):
        settings = [AdaptSettings("m", method, "sst2", target_sparsity=target, seed=seed) for seed in range(seeds)]
        return [made_up_run(each, _answers(shares * factor, 10 * each.seed + 1), removes=removes) for each in settings]

    full, half = runs("full", 0.4, 3, 1, removes=False), runs("finegates", 0.4, 2, 0.5)
    same = [made_up_run(AdaptSettings("m", "lora", "sst2"), full[0].score.correct, removes=False)]
    found = {
        (pair.method, pair.target_sparsity): pair
        for pair in against([*half, *full, *runs("finegates", 0.2, 2, 1), *same])
    }
    assert found.keys() == {("finegates", 0.4), ("finegates", 0.2), ("lora", None)}
    worse = found["finegates", 0.4]
    means = [np.mean([run.accuracy for run in group]) for group in (half, full)]
    assert worse.difference == pytest.approx(means[0] - means[1])
    assert worse.low < worse.difference < worse.high < 0 and worse.items == 400
    assert (worse.seeds, worse.reference_seeds, worse.reference) == (2, 3, "full")
    assert found["finegates", 0.2].low < 0 < found["finegates", 0.2].high
    unpaired = (0.25 / 400 + 0.25 / 400) ** 0.5 * 1.96
    assert found["lora", None].high - found["lora", None].low < 2 * unpaired, "pairing narrows it"


def test_without_a_reference_there_is_nothing_to_pair() -> None:
    lora = made_up_run(AdaptSettings("m", "lora", "sst2"), "0110")
    assert against([lora]) == ()
    text = [made_up_run(AdaptSettings("m", method, "lm"), "") for method in ("full", "lora")]
    assert against(text) == (), "perplexities have no items"
    with pytest.raises(UserError, match="different items"):
        against([lora, made_up_run(AdaptSettings("m", "full", "sst2"), "011")])


def test_losses_of_language_models_are_paired_window_by_window() -> None:
    def run(method: str, target: float, losses: tuple[float, ...], seed: int = 0):
        made = made_up_run(AdaptSettings("m", method, "lm", target_sparsity=target, seed=seed), "", removes=True)
        return dataclasses.replace(made, score=dataclasses.replace(made.score, window_losses=losses))

    wanda = run("wanda-structured", 0.1, (3.0, 4.0, 5.0))
    found = losses_against(
        [
            run("finegates", 0.1, (2.9, 3.7, 4.9), 0),
            run("finegates", 0.1, (2.9, 3.9, 4.7), 1),
            run("finegates", 0.2, (9.0, 9.0, 9.0)),
            wanda,
        ]
    )
    assert [(pair.method, pair.target_sparsity, pair.reference) for pair in found] == [
        ("finegates", 0.1, "wanda-structured")
    ], "at the same target only"
    # Differences −0.1, −0.2, −0.2: their mean, and their standard deviation ÷ √3.
    assert found[0].difference == pytest.approx(-0.5 / 3)
    assert found[0].standard_error == pytest.approx((2 / 3 * 0.01 / 2) ** 0.5 / 3**0.5)
    assert losses_against([wanda]) == ()
    with pytest.raises(UserError, match="different items"):
        losses_against([wanda, run("finegates", 0.1, (1.0,))])
