"""The forecast: exact on a law it can follow, silent where it cannot, honest about its band."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from compression import forecast
from compression.errors import UserError
from compression.forecast import PROBE_FRACTIONS, ForecastReport, Prediction, make_forecast, predict
from compression.recipe import Recipe
from compression.types import Environment, Probe, TextSource

DENSE = (3.0, 3.2, 3.1)


def probes(law, spread=0.0) -> tuple[Probe, ...]:
    """Probes whose change follows `law` of the predicted loss (the fraction squared), with a spread over windows."""
    return tuple(
        Probe(f, f * f, tuple(law(f * f) * (1 + spread * sign) for sign in (-1, 0, 1)), 1.0) for f in PROBE_FRACTIONS
    )


@pytest.mark.parametrize(("factor", "power"), [(1.0, 1.0), (2.2, 1.1), (0.7, 0.9)])
def test_a_power_law_is_followed_exactly_between_and_beyond_the_probes(factor, power):
    made = make_forecast(probes(lambda q: factor * q**power), DENSE, "convention", 3)
    assert not made.problem and made.band(0.1) == pytest.approx(forecast.MODEL_ERROR)
    for loss in (0.001, 0.05, 0.2, 0.5):
        assert made.change(loss) == pytest.approx(factor * loss**power)
    row = predict(made, 0.2, 0.04, 2.5)
    changes = [math.log(value) - 2.5 for value in (row.low, row.perplexity, row.high)]
    expected = factor * 0.04**power
    assert changes == pytest.approx([0.95 * expected, expected, 1.05 * expected])
    assert predict(made, 0.0, 0.0, 2.5).perplexity == pytest.approx(math.exp(2.5))


def test_the_band_grows_with_the_spread_over_stretches_of_text():
    calm, wild = (make_forecast(probes(lambda q: q, spread), DENSE, "", 3) for spread in (0.05, 0.3))
    # Student t with 2 degrees of freedom, standard deviation 0.05, 3 stretches measured, one to come.
    sampling = 4.302653 * 0.05 * math.sqrt(1 + 1 / 3)
    assert calm.band(0.1) == pytest.approx(math.hypot(sampling, forecast.MODEL_ERROR), rel=1e-4)
    assert wild.band(0.1) > calm.band(0.1)


def test_a_probe_that_is_badly_known_counts_less():
    true, noisy = probes(lambda q: 2 * q), probes(lambda q: 2.6 * q, spread=0.5)
    made = make_forecast((noisy[0], *true[1:]), DENSE, "", 3)
    assert not made.problem
    assert made.change(0.05) == pytest.approx(0.1, rel=0.03)
    assert made.bands[0] > 3 * made.bands[1]
    assert made.bands[0] > made.band(0.02) > made.band(0.05) > made.bands[1]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (probes(lambda q: q * (1.8 if q == PROBE_FRACTIONS[1] ** 2 else 1.0)), "at 25% removed is missed by 4"),
        (probes(lambda q: 12.0)[1:2], "changes by 12.00 nats a token; a forecast needs a change between 0 and 2.5"),
        (probes(lambda q: -0.01), "changes by -0.01 nats"),
        (probes(lambda q: 0.3), "does not grow"),
        (probes(lambda q: q)[:2], "does not grow"),
    ],
    ids=["no law", "broken", "better than dense", "flat", "too few"],
)
def test_where_validation_fails_there_is_no_forecast(made, reason):
    result = make_forecast(made, DENSE, "", 3)
    assert reason in result.problem
    assert result.probes == made
    assert predict(result, 0.2, 0.1, 3.0) is None


def test_there_is_no_forecast_far_beyond_the_probes():
    made = make_forecast(probes(lambda q: q), DENSE, "", 3)
    assert predict(made, forecast.LARGEST_FRACTION, 0.3, 3.0) is not None
    assert predict(made, forecast.LARGEST_FRACTION + 0.01, 0.3, 3.0) is None


def report(problem: str = "") -> ForecastReport:
    rows = tuple(Prediction(f / 100, 20 * math.exp(f / 100), 19.0, 40.0) for f in range(61))
    return ForecastReport(
        model_id="m",
        model_note="",
        weights_hash="0",
        method="compot-fisher",
        policy="fisher",
        settings={},
        text=TextSource("t", "0", 0),
        convention="",
        dense=forecast.DensePerplexity(20.0),
        measured=(forecast.MeasuredPoint(0.25, 25.0),),
        predictions=() if problem else rows,
        problem=problem,
        environment=Environment("", "", "", "", "", 2, "", "", "", ""),
    )


def test_a_table_is_read_at_any_fraction_and_says_where_it_ends():
    found = report().at((0.0, 0.105, 0.6))
    expected = [20, 20 * math.exp(0.105), 20 * math.exp(0.6)]
    assert [row.perplexity for row in found.predictions] == pytest.approx(expected)
    with pytest.raises(UserError, match=r"reaches from 0 to 0\.6 removed, but 0\.7 was asked for"):
        report().at((0.7,))
    assert report("why").at((0.3,)).predictions == ()


def test_a_stored_table_comes_back_and_a_damaged_one_does_not(cache):
    forecast.store_report("key", report())
    assert forecast.stored_report("key") == report()
    (cache / "forecasts" / "key.json").write_text("{")
    assert forecast.stored_report("key") is None
    assert forecast.stored_report("other") is None


def test_a_key_stands_for_everything_but_the_fraction(tmp_path, cache):
    pinned = Recipe("owner/name@" + "a" * 40, "svd")
    assert forecast.table_key(Recipe("owner/name", "svd")) is None
    assert forecast.table_key(Recipe("owner/name@main", "svd")) is None
    key = forecast.table_key(pinned)
    assert key == forecast.table_key(Recipe(pinned.model_id, "svd", removed_fraction=0.3))
    assert key != forecast.table_key(Recipe(pinned.model_id, "compot"))
    text = tmp_path / "text.txt"
    text.write_text("a")
    before = forecast.table_key(Recipe(pinned.model_id, "svd", calibration_text=str(text)))
    text.write_text("other")
    assert before != forecast.table_key(Recipe(pinned.model_id, "svd", calibration_text=str(text)))


def test_a_stored_forecast_is_answered_without_torch():
    code = (
        "import sys\n"
        "from compression import forecast\n"
        "from compression.recipe import Recipe\n"
        "forecast.table_key(Recipe('smollm2-135m-q4', 'compot-fisher', 'own'))\n"
        "assert not {'torch', 'transformers', 'scipy', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True, timeout=60)
