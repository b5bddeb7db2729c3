"""The forecast: what perplexity a method and a policy will cost, at every removed fraction, before anything is run.

The predicted loss q (second order, Kronecker-factored) ranks allocations well and is off by a factor that drifts
slowly with the removed fraction. Three *probes*, compressed models measured on calibration text that no statistic has
seen, fix it: the change of log-perplexity Δ is interpolated over q, both logarithmic, through the probes. The outer two
probes must foretell the middle one, or there is no forecast, only the measured points.

Needs neither torch nor a model: `python -m compression predict` answers from a stored table.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from bisect import bisect_right
from dataclasses import dataclass

from compression import models, store
from compression.environment import code_version
from compression.errors import UserError
from compression.recipe import Recipe
from compression.types import Environment, Probe, TextSource

PROBE_FRACTIONS = (0.1, 0.25, 0.45)
"""Where probes are measured: one below and one above most of what people ask for, and one between them to check."""
MIDDLE = 1
TOLERANCE = 0.15
"""Largest relative error of the foretold middle probe at which a forecast is given."""
MAX_CHANGE = 2.5
"""Change of log-perplexity (a factor of 12) above which a model is broken and nothing is interpolated."""
LARGEST_FRACTION = 0.6
"""Beyond it the forecast would run far outside of what was measured."""
EVALUATION_WINDOWS = 8
"""Windows, as long as the probe's, of the measurement that the band is for: 4 × 1024 tokens."""


@dataclass(frozen=True)
class Forecast:
    """From predicted loss to perplexity.

    Attributes:
        probes: the measured points, by removed fraction.
        dense_loss: mean negative log-likelihood of the dense model on the probe windows, in nats.
        band: relative half-width of the 95 % band of Δ.
        convention: perplexity convention of the probes, in words.
        problem: why there is no forecast; empty if there is one.
    """

    probes: tuple[Probe, ...]
    dense_loss: float
    band: float
    convention: str
    problem: str = ""

    def change(self, predicted_loss: float) -> float:
        """Δ log-perplexity at a predicted loss q: piecewise linear in the logarithms, end slopes continued."""
        if predicted_loss <= 0:
            return 0.0
        points = [(math.log(p.predicted_loss), math.log(p.change)) for p in self.probes]
        return math.exp(_interpolate(points, math.log(predicted_loss)))


def make_forecast(probes: tuple[Probe, ...], dense_window_losses: tuple[float, ...], convention: str) -> Forecast:
    """Validate the probes and derive the band.

    The band adds two things in squares: how much Δ differs between windows of text (Student t, for a mean over
    `EVALUATION_WINDOWS` other windows given the mean over the probe's), and the error of foretelling the middle probe.

    Args:
        probes: at `PROBE_FRACTIONS`, or fewer where measuring more was pointless.
        dense_window_losses: of the dense model on the same windows, in nats.
        convention: perplexity convention, in words.
    """
    dense = statistics.fmean(dense_window_losses)
    broken = next((p for p in probes if not 0 < p.change <= MAX_CHANGE or not p.predicted_loss > 0), None)
    if broken is not None:
        reason = f"at {broken.removed_fraction:.0%} removed the loss changes by {broken.change:.2f} nats a token"
        limits = f"a forecast needs a change between 0 and {MAX_CHANGE}"
        return Forecast(probes, dense, 0.0, convention, f"{reason}; {limits}")
    if len(probes) < len(PROBE_FRACTIONS) or not _increasing(probes):
        return Forecast(probes, dense, 0.0, convention, "the measured change does not grow with the removed fraction")
    outer = Forecast(probes[:MIDDLE] + probes[MIDDLE + 1 :], dense, 0.0, convention)
    middle = probes[MIDDLE]
    error = abs(outer.change(middle.predicted_loss) / middle.change - 1)
    if error > TOLERANCE:
        reason = (
            f"the outer probes foretell the one at {middle.removed_fraction:.0%} removed with an error of {error:.0%}"
        )
        return Forecast(probes, dense, 0.0, convention, f"{reason}; at most {TOLERANCE:.0%} is accepted")
    return Forecast(probes, dense, math.hypot(_window_spread(middle), error), convention)


def _increasing(probes: tuple[Probe, ...]) -> bool:
    pairs = list(zip(probes, probes[1:], strict=False))
    return all(a.change < b.change and a.predicted_loss < b.predicted_loss for a, b in pairs)


def _window_spread(probe: Probe) -> float:
    count = len(probe.window_changes)
    if count < 2:
        return 1.0
    from scipy.stats import t as student_t  # slow to import, and only needed when probes are made

    relative = statistics.stdev(probe.window_changes) / probe.change
    return float(student_t.ppf(0.975, count - 1)) * relative * math.sqrt(1 / count + 1 / EVALUATION_WINDOWS)


@dataclass(frozen=True)
class Prediction:
    """Predicted perplexity of one setting.

    Attributes:
        removed_fraction_target: share of the compressible weights.
        perplexity: predicted.
        low: lower end of its 95 % band.
        high: upper end.
    """

    removed_fraction_target: float
    perplexity: float
    low: float
    high: float


def perplexity(loss: float) -> float:
    """``exp(loss)``, infinite where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf


def predict(forecast: Forecast, removed_fraction: float, predicted_loss: float, dense_loss: float) -> Prediction | None:
    """Perplexity and band for a text on which the dense model has `dense_loss`; None where there is no forecast."""
    if forecast.problem or removed_fraction > LARGEST_FRACTION:
        return None
    change = forecast.change(predicted_loss)
    low, high = change * max(0.0, 1 - forecast.band), change * (1 + forecast.band)
    return Prediction(removed_fraction, *(math.exp(dense_loss + d) for d in (change, low, high)))


@dataclass(frozen=True)
class MeasuredPoint:
    """A probe as a point of the picture: measured perplexity on the probe text."""

    removed_fraction_target: float
    perplexity: float


@dataclass(frozen=True)
class DensePerplexity:
    """The dense model on the probe text."""

    perplexity: float


@dataclass(frozen=True)
class ForecastReport:
    """What ``predict`` answers, and what the slider shows.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        method: compression method.
        policy: allocation policy, ``own`` resolved.
        settings: of the method.
        text: the calibration text; the probe windows are a part of it that no statistic has seen.
        convention: perplexity convention of the probe, in words.
        dense: perplexity of the dense model on the probe windows.
        measured: the probes.
        predictions: one for each removed fraction asked for, ascending; empty where there is no forecast.
        problem: why there is no forecast; empty if there is one.
        environment: where the probes were measured.
    """

    model_id: str
    model_note: str
    weights_hash: str
    method: str
    policy: str
    settings: dict[str, float]
    text: TextSource
    convention: str
    dense: DensePerplexity
    measured: tuple[MeasuredPoint, ...]
    predictions: tuple[Prediction, ...]
    problem: str
    environment: Environment

    def at(self, removed_fractions: tuple[float, ...]) -> ForecastReport:
        """The same report for other removed fractions, read off the table.

        Between two rows the logarithm of the perplexity is interpolated linearly.

        Raises:
            UserError: for a fraction beyond the table.
        """
        if self.problem:
            return self
        rows = self.predictions
        for fraction in removed_fractions:
            if not 0 <= fraction <= rows[-1].removed_fraction_target:
                raise UserError(
                    f"A forecast reaches from 0 to {rows[-1].removed_fraction_target} removed, but {fraction} was "
                    "asked for."
                )
        return dataclasses.replace(self, predictions=tuple(self._row(fraction) for fraction in removed_fractions))

    def _row(self, fraction: float) -> Prediction:
        def read(name: str) -> float:
            points = [(row.removed_fraction_target, math.log(getattr(row, name))) for row in self.predictions]
            return math.exp(_interpolate(points, fraction))

        return Prediction(fraction, read("perplexity"), read("low"), read("high"))


def _interpolate(points: list[tuple[float, float]], x: float) -> float:
    """Piecewise linear through ascending points, end slopes continued."""
    if len(points) == 1:
        return points[0][1]
    right = min(max(bisect_right([p[0] for p in points], x), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def table_key(recipe: Recipe) -> str | None:
    """Key of a recipe's table, found without loading the model; None for a Hub model that is not pinned to a commit.

    The removed fraction is no part of it: the table covers them all.
    """
    if not models.is_pinned(recipe.model_id):
        return None
    asked = dataclasses.replace(recipe, removed_fraction=0.0)
    return store.content_key(
        "table", code_version(), asked, store.stamp(recipe.model_id), store.stamp(recipe.calibration_text)
    )


def stored_report(key: str) -> ForecastReport | None:
    """A table made earlier under this key, or None; a damaged file counts as absent."""
    file = store.root() / "forecasts" / f"{key}.json"
    if not file.is_file():
        return None
    try:
        return store.read_json(file, ForecastReport)
    except UserError:
        file.unlink(missing_ok=True)
        return None


def store_report(key: str, report: ForecastReport) -> None:
    """Keep a table for `stored_report`."""
    store.write_json(store.root() / "forecasts" / f"{key}.json", report)
