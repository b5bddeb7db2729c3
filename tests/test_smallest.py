"""The smallest model within an allowance: against a plain search over the forecast."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from samples import forecast_report
from test_session import DENSE, SESSION, SMALL, point

from compression.errors import UserError
from compression.forecast import Prediction
from compression.smallest import foretold, smallest_measured, smallest_within, verified

ORIGINAL, SITES = 10_000_000, 8_000_000


def law(slope: float, method: str = "compot", policy: str = "fisher", rows: int = 61):
    """A forecast whose log-perplexity grows with the square of the removed fraction."""
    report = forecast_report(method, policy, 1.0)
    dense = report.dense.perplexity
    fractions = [i / 100 for i in range(rows)]
    table = [Prediction(f, *(dense * math.exp(k * slope * f * f) for k in (1, 0.5, 1.5))) for f in fractions]
    return replace(report, predictions=tuple(table), problem="")


@pytest.mark.parametrize("allowance", [0.001, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("slope", [1.0, 3.7])
def test_it_is_the_largest_fraction_that_stays_within(allowance, slope):
    report = law(slope)
    found = smallest_within([report], allowance, ORIGINAL, SITES).best
    exact = math.sqrt(math.log1p(allowance) / slope)
    assert found.removed_fraction == pytest.approx(min(exact, 0.6), abs=0.002)
    assert found.change <= allowance + 1e-9
    if not found.at_the_end:
        dense = report.dense.perplexity
        next_one = report.at((found.removed_fraction + 0.001,)).predictions[0]
        assert next_one.perplexity / dense - 1 > allowance
    assert found.sure_fraction == pytest.approx(min(math.sqrt(math.log1p(allowance) / slope / 1.5), 0.6), abs=0.002)
    assert found.low < found.change < found.high
    assert found.stored_bits == ORIGINAL - round(found.removed_fraction * SITES)


def test_the_smallest_comes_first_and_those_without_forecast_last():
    broken = forecast_report("svd", "uniform", 1.0, problem="it breaks")
    found = smallest_within([broken, law(9.0, "svd-llm"), law(2.0)], 0.05, ORIGINAL, SITES)
    assert [(each.method, each.problem) for each in found.candidates] == [
        ("compot", ""),
        ("svd-llm", ""),
        ("svd", "it breaks"),
    ]
    assert found.best.method == "compot"
    assert smallest_within([broken], 0.05, ORIGINAL, SITES).best is None
    assert smallest_within([], 0.05, ORIGINAL, SITES).best is None


def test_where_a_step_is_too_much_nothing_is_removed():
    found = smallest_within([law(1e4, rows=20)], 0.05, ORIGINAL, SITES)
    assert found.candidates[0].removed_fraction == 0 and found.best is None


def test_the_end_of_the_forecast_is_said():
    (each,) = smallest_within([law(0.01, rows=31)], 0.05, ORIGINAL, SITES).candidates
    assert each.at_the_end and each.removed_fraction == 0.3


@pytest.mark.parametrize("allowance", [0.0, -0.1, 10.1, math.nan, math.inf])
def test_an_allowance_without_sense_is_refused(allowance):
    with pytest.raises(UserError, match="Perplexity may grow by more than 0"):
        smallest_within([law(1.0)], allowance, ORIGINAL, SITES)


def test_the_verdict_is_in_relative_changes():
    candidate = smallest_within([law(1.0)], 0.05, ORIGINAL, SITES).best
    outcome = verified(candidate, DENSE, replace(SMALL, quality=21.2))
    assert outcome.measured == pytest.approx(0.06) and outcome.off == pytest.approx(0.06 - candidate.change)
    assert (outcome.low, outcome.high) == (candidate.low, candidate.high)


def test_of_measured_runs_the_smallest_within_is_found():
    points = [*SESSION.points, point(0.1, 20.9, 7000), point(0.2, 21.0, 6500), point(0.3, 21.01, 6000)]
    assert smallest_measured(points, 0.05).stored_bits == 6500
    assert smallest_measured(SESSION.points, 0.05) is None
    with pytest.raises(UserError, match="Without the dense model"):
        smallest_measured([SMALL], 0.05)


def test_a_run_is_foretold_only_where_the_forecast_speaks_of_it():
    """On another text it is the dense model's perplexity there, times the change of the forecast."""
    report = law(2.0, "svd", "uniform")
    here = replace(DENSE, quality=30.0)
    told = foretold([law(9.0, "svd", "fisher"), report], here, point(0.255, 99.0, 5000))
    low, high = (report.predictions[place].perplexity / report.dense.perplexity for place in (25, 26))
    assert told == pytest.approx(30 * math.sqrt(low * high))
    asked = point(0.255, 99.0, 5000)
    for other in (
        point(0.61, 99.0, 5000),
        point(0.2, 99.0, 5000, "compot"),
        replace(asked, recipe=replace(asked.recipe, seed=1)),
        replace(asked, recipe=None),
        replace(asked, measure=replace(asked.measure, measured_on="elsewhere")),
    ):
        assert foretold([report], here, other) is None
    assert foretold([replace(report, problem="none", predictions=())], here, asked) is None
