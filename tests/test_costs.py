"""What a comparison is said to cost, from hand-made measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import speech_comparison, speech_run

from compression.costs import (
    CLIP_SECONDS,
    LEARNING_TOKENS,
    LOADING_SECONDS,
    TOKENS_OF_A_STEP,
    Prepared,
    estimate,
    estimate_comparison,
)
from compression.types import (
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    Environment,
    PerplexityReport,
    SiteReport,
    TextSource,
)

TEXT = TextSource("t", "0", 1)
SITE = SiteReport("b.0.q", 0, "q", (10, 10), 0.2, 0.2, 1, "low-rank", {"rank": 2}, 0.2, 0.1)


def run(method: str, policy: str, compress: float, gradients: float = 0.0, **changed: object) -> ComparisonRun:
    made = ComparisonRun(
        method=method,
        policy=policy,
        removed_fraction_target=0.2,
        removed_fraction=0.2,
        whole_model_removed_fraction=0.2,
        stored_bits=8,
        site_stored_bits=8,
        perplexity=30.0,
        perplexity_stderr=None,
        tokens=100,
        compress_seconds=compress,
        calibration_seconds=30.0 + gradients,
        calibration_reused=False,
        evaluate_seconds=7.0,
        settings={},
        sites=(SITE,),
        stages={"gradients": gradients} if gradients else {},
    )
    return replace(made, **changed)


RUNS = (
    run("svd", "uniform", 5.0),
    run("svd", "fisher", 4.0, 60.0),
    run("llm", "uniform", 8.0),
    run("llm", "uniform", 9.0, removed_fraction_target=0.1),
    run("aware", "uniform", 20.0, 60.0),
    run("aware", "fisher", 10.0, 60.0),
)
DENSE = PerplexityReport(20.0, None, 3.0, 100, 1, 101, 101, "convention", TEXT, 16, 4.0)
REFERENCE = Comparison(
    "m", "", "", CalibrationSettings(TEXT), DENSE, RUNS, Environment("", "", "", "", "", 1, "", "", "", "")
)
READY = Prepared(dense=True)


def seconds(
    *settings: tuple[str, str], seeds: int = 1, prepared: Prepared = READY, of: Comparison = REFERENCE
) -> float:
    return estimate_comparison(of, settings, frozenset({"svd"}), 0.2, seeds, prepared)


def test_one_seed_costs_dense_statistics_and_each_run():
    assert seconds(("llm", "uniform")) == pytest.approx(4 + 30 + 8 + 7)
    assert seconds(("llm", "uniform"), ("svd", "uniform")) == pytest.approx(4 + 30 + 8 + 7 + 5 + 7)
    assert seconds(("llm", "uniform"), prepared=Prepared()) == pytest.approx(4 + 30 + 8 + 7 + LOADING_SECONDS)
    assert seconds() == pytest.approx(4.0)


def test_gradients_and_curves_are_paid_where_they_are_needed():
    assert seconds(("aware", "uniform")) == pytest.approx(4 + 30 + 60 + 20 + 7), "the method looks at the loss"
    assert seconds(("llm", "fisher")) == pytest.approx(4 + 30 + 60 + 8 + 9 + 7), "the policy does: a curve, like 10 %"
    dear = run("llm", "fisher", 50.0, 60.0, seed=1)
    measured = replace(dear, stages=dear.stages | {"allocation": 42.0})
    known = replace(REFERENCE, runs=(*RUNS, measured))
    assert seconds(("llm", "fisher"), of=known) == pytest.approx(4 + 30 + 60 + 8 + 42 + 7), "a curve that was measured"


def test_each_further_seed_costs_all_but_loading_dense_and_what_no_calibration_changes():
    once = seconds(("llm", "uniform"), ("svd", "uniform"))
    assert seconds(("llm", "uniform"), ("svd", "uniform"), seeds=3) == pytest.approx(once + 2 * (30 + 8 + 7))
    assert seconds(("svd", "uniform"), seeds=3) == seconds(("svd", "uniform"))
    assert seconds(("svd", "fisher"), seeds=2) > seconds(("svd", "fisher"))


def test_a_model_of_four_times_the_weights_takes_eight_times_the_factorising():
    large = seconds(("llm", "uniform"), prepared=Prepared(dense=True, site_weights=400))
    assert large == pytest.approx(4 * (4 + 30 + 7) + 8 * 8)


def test_a_policy_that_measures_or_learns_costs_what_that_took():
    searched = run("asvd", "search", 130.0, stages={"allocation": 100.0})
    reference = replace(REFERENCE, runs=(*RUNS, searched))

    def seconds(method: str, policy: str) -> float:
        return estimate_comparison(reference, [(method, policy)], frozenset(), 0.2, 1, READY)

    assert seconds("asvd", "search") - seconds("asvd", "uniform") == pytest.approx(100)
    assert seconds("llm", "search") - seconds("llm", "uniform") == pytest.approx(100), "as long as with another method"
    assert estimate(reference, "generate", "asvd", READY, 0.2, "search") - estimate(
        reference, "generate", "asvd", READY
    ) == pytest.approx(100)


def test_a_method_that_decides_over_all_layers_costs_its_learning():
    learning = TOKENS_OF_A_STEP * LEARNING_TOKENS * 4.0 / 100
    joint = frozenset({"gates"})

    def seconds(scale: int) -> float:
        prepared = Prepared(dense=True, site_weights=100 * scale)
        return estimate_comparison(REFERENCE, [("gates", "gates")], frozenset(), 0.2, 1, prepared, joint)

    assert seconds(1) == pytest.approx(4 + 30 + learning + 7)
    assert seconds(4) == pytest.approx(4 * seconds(1)), "it grows with the weights, as reading does"
    reading = estimate(REFERENCE, "generate", "dense", READY)
    assert estimate(REFERENCE, "generate", "gates", READY, joint=joint) == pytest.approx(90 + learning + reading)


def test_speech_costs_what_its_real_time_factor_says():
    spoken = speech_comparison(speech_run("compot", "uniform", 0.2, 0.1, compress_seconds=12.0))
    dense = CLIP_SECONDS * spoken.dense.real_time_factor
    assert estimate(spoken, "transcribe", "dense", READY) == pytest.approx(dense)
    assert estimate(spoken, "transcribe", "compot", READY) == pytest.approx(20 + 12 + dense)
    assert estimate(spoken, "analyze", "dense", READY) == pytest.approx(20 + 12)
    weights = sum(site.shape[0] * site.shape[1] for site in spoken.runs[0].sites)
    larger = Prepared(dense=True, site_weights=4 * weights)
    assert estimate(spoken, "transcribe", "dense", larger) == pytest.approx(4 * dense)
    assert estimate_comparison(spoken, [("compot", "uniform")], frozenset(), 0.2, 1, READY) == pytest.approx(
        spoken.dense.seconds + 20 + 12 + 6
    )
    for task in ("perplexity", "generate", "latency"):
        assert estimate(spoken, task, "dense", READY) is None, "a speech model does no such thing"
    assert estimate(REFERENCE, "transcribe", "dense", READY) is None
