"""The forecast: what perplexity a method and a policy will cost, at every removed fraction, before anything is run.

The predicted loss q (second order, Kronecker-factored) ranks allocations well and is off by a factor that drifts
slowly with the removed fraction. Three *probes*, compressed models measured on calibration text that no statistic has
seen, fix it: a power law Δ = c·qᵖ for the change of log-perplexity, each probe weighted by how well it is known. A law
that misses a probe by more than 15 % and by more than that probe's own uncertainty is no law: then there is no
forecast, only the measured points.

Needs neither torch nor a model: `python -m compression predict` answers from a stored table.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from dataclasses import dataclass, replace

from compression import models, store
from compression.environment import code_version
from compression.errors import UserError
from compression.recipe import Recipe
from compression.types import Environment, Probe, SpeechSource, TextSource

PROBE_FRACTIONS = (0.1, 0.25, 0.45)
"""Where probes are measured: one below and one above most of what people ask for, and one between them to check."""
FIRST = 1
"""The probe that is measured first: where it is broken, the others would tell nothing."""
TOLERANCE = 0.15
"""Relative error of the law at a probe that is accepted however well the probe is known."""
MODEL_ERROR = 0.05
"""Relative error of the law itself, beside that of the probes: no probe counts as better known than this."""
MAX_CHANGE = 2.5
"""Change of log-perplexity (a factor of 12) above which a model is broken and nothing is interpolated."""
LARGEST_FRACTION = 0.6
"""Beyond it the forecast would run far outside of what was measured."""


@dataclass(frozen=True)
class ProbeLosses:
    """A model on the probe.

    Attributes:
        losses: mean negative log-likelihood of every window of text, or of every recording's transcript, in nats.
        convention: the convention of their perplexity, in words.
    """

    losses: tuple[float, ...]
    convention: str


@dataclass(frozen=True)
class Forecast:
    """From predicted loss to perplexity: ``Δ = coefficient · qᵖ``.

    Attributes:
        probes: the measured points, by removed fraction.
        dense_loss: mean negative log-likelihood of the dense model on the probe windows, in nats.
        convention: perplexity convention of the probes, in words.
        coefficient: c.
        exponent: p.
        bands: relative half-width of the 95 % band of Δ at each probe.
        problem: why there is no forecast; empty if there is one.
    """

    probes: tuple[Probe, ...]
    dense_loss: float
    convention: str
    coefficient: float = 0.0
    exponent: float = 1.0
    bands: tuple[float, ...] = ()
    problem: str = ""

    def change(self, predicted_loss: float) -> float:
        """Δ log-perplexity at a predicted loss q."""
        return self.coefficient * predicted_loss**self.exponent if predicted_loss > 0 else 0.0

    def band(self, predicted_loss: float) -> float:
        """Relative half-width of the 95 % band at q: between the probes' own, on the scale of log q."""
        points = [(math.log(p.predicted_loss), band) for p, band in zip(self.probes, self.bands, strict=True)]
        place = min(max(math.log(max(predicted_loss, 1e-300)), points[0][0]), points[-1][0])
        return _interpolate(points, place)


def make_forecast(
    probes: tuple[Probe, ...], dense_window_losses: tuple[float, ...], convention: str, stretches: int
) -> Forecast:
    """Fit the law, hold it against the probes, and derive the band.

    The logarithm of Δ is fitted over the logarithm of q by least squares, weighted by each probe's relative standard
    error over windows and `MODEL_ERROR`. The band adds, in squares, `MODEL_ERROR` and how much Δ differs between the
    probe's stretches of text: what one more stretch, on other subjects, may show (Student t). Windows of one stretch
    share its subjects; counting each as a text of its own would make the band too narrow.

    Args:
        probes: at `PROBE_FRACTIONS`, or fewer where measuring more was pointless.
        dense_window_losses: of the dense model on the same windows, in nats.
        convention: perplexity convention, in words.
        stretches: the windows come, in equal numbers, from so many stretches of text; at least 2.
    """
    empty = Forecast(probes, statistics.fmean(dense_window_losses), convention)
    broken = next((p for p in probes if not 0 < p.change <= MAX_CHANGE or not p.predicted_loss > 0), None)
    if broken is not None:
        reason = f"at {broken.removed_fraction:.0%} removed the loss changes by {broken.change:.2f} nats a token"
        return replace(empty, problem=f"{reason}; a forecast needs a change between 0 and {MAX_CHANGE}")
    if len(probes) < len(PROBE_FRACTIONS) or not _increasing(probes):
        return replace(empty, problem="the measured change does not grow with the removed fraction")
    from scipy.stats import t as student_t  # slow to import, and only needed when probes are made

    quantile = float(student_t.ppf(0.975, len(dense_window_losses) - 1))
    spreads = [statistics.stdev(p.window_changes) / p.change for p in probes]
    errors = [math.hypot(spread / math.sqrt(len(dense_window_losses)), MODEL_ERROR) for spread in spreads]
    fitted = _fit(empty, errors)
    for probe, error in zip(probes, errors, strict=True):
        miss = abs(math.log(fitted.change(probe.predicted_loss) / probe.change))
        if miss > max(math.log1p(TOLERANCE), quantile * error):
            reason = f"no power law fits the probes: the one at {probe.removed_fraction:.0%} removed is missed by"
            return replace(empty, problem=f"{reason} {math.expm1(miss):.0%}")
    reach = float(student_t.ppf(0.975, stretches - 1)) * math.sqrt(1 + 1 / stretches)
    return replace(fitted, bands=tuple(math.hypot(reach * _spread(p, stretches), MODEL_ERROR) for p in probes))


def _spread(probe: Probe, stretches: int) -> float:
    """Standard deviation of Δ between stretches of text, relative to its mean."""
    size = len(probe.window_changes) // stretches
    means = [statistics.fmean(probe.window_changes[i * size : (i + 1) * size]) for i in range(stretches)]
    return statistics.stdev(means) / probe.change


def _fit(forecast: Forecast, errors: list[float]) -> Forecast:
    """The weighted least-squares line through the logarithms."""
    weights = [1 / error**2 for error in errors]
    x = [math.log(p.predicted_loss) for p in forecast.probes]
    y = [math.log(p.change) for p in forecast.probes]
    total = math.fsum(weights)
    x_mean = _dot(weights, x) / total
    y_mean = _dot(weights, y) / total
    spread = math.fsum(w * (a - x_mean) ** 2 for w, a in zip(weights, x, strict=True))
    exponent = math.fsum(w * (a - x_mean) * b for w, a, b in zip(weights, x, y, strict=True)) / spread
    return replace(forecast, coefficient=math.exp(y_mean - exponent * x_mean), exponent=exponent)


def _dot(a: list[float], b: list[float]) -> float:
    return math.fsum(u * v for u, v in zip(a, b, strict=True))


def _increasing(probes: tuple[Probe, ...]) -> bool:
    pairs = list(zip(probes, probes[1:], strict=False))
    return all(a.change < b.change and a.predicted_loss < b.predicted_loss for a, b in pairs)


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
    band = forecast.band(predicted_loss)
    low, high = change * max(0.0, 1 - band), change * (1 + band)
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
        text: the calibration text, or speech, whose transcripts are then scored under teacher forcing; the probe
            windows are a part of it that no statistic has seen.
        convention: perplexity convention of the probe, in words.
        dense: perplexity of the dense model on the probe windows.
        measured: the probes.
        predictions: one for each removed fraction asked for, ascending; empty where there is no forecast.
        problem: why there is no forecast; empty if there is one.
        environment: where the probes were measured.
        original_bits: of the whole dense model at 16 bits a value; 0 in tables made without it.
        site_bits: of its compressible layers, likewise.
    """

    model_id: str
    model_note: str
    weights_hash: str
    method: str
    policy: str
    settings: dict[str, float]
    text: TextSource | SpeechSource
    convention: str
    dense: DensePerplexity
    measured: tuple[MeasuredPoint, ...]
    predictions: tuple[Prediction, ...]
    problem: str
    environment: Environment
    original_bits: int = 0
    site_bits: int = 0

    @property
    def is_speech(self) -> bool:
        """Whether it foretells the perplexity of transcripts of speech, which is no word error rate."""
        return isinstance(self.text, SpeechSource)

    def at(self, removed_fractions: tuple[float, ...]) -> ForecastReport:
        """The same report for other removed fractions, read off the table.

        Between two rows the logarithm of the perplexity is interpolated linearly.

        Raises:
            UserError: for a fraction beyond the table.
        """
        check_fractions(removed_fractions)
        if self.problem:
            return self
        return replace(self, predictions=tuple(self._row(fraction) for fraction in removed_fractions))

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
    asked = replace(recipe, removed_fraction=0.0)
    return store.content_key(
        "table", code_version(), asked, store.stamp(recipe.model_id), store.stamp(recipe.calibration_text)
    )


def check_fractions(removed_fractions: tuple[float, ...]) -> None:
    """Refuse what no forecast reaches, before anything is made.

    Raises:
        UserError: for a fraction outside of 0 … `LARGEST_FRACTION`.
    """
    for fraction in removed_fractions:
        if not 0 <= fraction <= LARGEST_FRACTION:
            raise UserError(
                f"A forecast reaches from 0 to {LARGEST_FRACTION} removed, but {fraction} was asked for: choose a "
                "smaller one, or measure it with compare."
            )


def stored_report(key: str) -> ForecastReport | None:
    """A table made earlier under this key, or None; a damaged file counts as absent."""
    return store.cached_json(store.root() / "forecasts" / f"{key}.json", ForecastReport)


def store_report(key: str, report: ForecastReport) -> None:
    """Keep a table for `stored_report`."""
    store.write_cached(store.root() / "forecasts" / f"{key}.json", report)
