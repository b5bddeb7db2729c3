"""The smallest model whose perplexity stays within so many per cent of the dense model's: read off the forecasts.

The forecast says what a method and a policy cost at every removed fraction (`compression.forecast`), so the answer
needs no model; one measurement then verifies it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from compression.errors import UserError
from compression.forecast import ForecastReport, Prediction
from compression.recipe import Recipe
from compression.session import RunPoint

LARGEST_ALLOWANCE = 10.0
"""Eleven times the dense perplexity: beyond it a model is broken and no forecast is made."""
STEPS = 1000
"""Removed fractions are answered in thousandths."""


@dataclass(frozen=True)
class Candidate:
    """How much of a model one method and policy may remove.

    Attributes:
        method: compression method.
        policy: allocation policy.
        removed_fraction: largest share of the compressible weights that keeps the predicted perplexity within the
            allowance; None where there is no forecast.
        change: predicted relative change of perplexity there, 0.05 for 5 % more.
        low: lower end of its 95 % band.
        high: upper end.
        sure_fraction: largest share at which even the upper end of the band stays within the allowance.
        stored_bits: of the whole model there, before the rounding of ranks to whole numbers.
        at_the_end: whether the forecast ends there, and more might go.
        problem: why there is no forecast; empty if there is one.
    """

    method: str
    policy: str
    removed_fraction: float | None = None
    change: float = 0.0
    low: float = 0.0
    high: float = 0.0
    sure_fraction: float = 0.0
    stored_bits: int = 0
    at_the_end: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Smallest:
    """The answer to "the smallest model within +x %".

    Attributes:
        allowance: x as a share.
        candidates: every method and policy with a forecast, the smallest model first; those without one behind them.
    """

    allowance: float
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """The smallest model; None where there is no forecast, or nothing may be removed."""
        first = self.candidates[0] if self.candidates else None
        return first if first is not None and first.removed_fraction else None


def smallest_within(
    reports: Sequence[ForecastReport], allowance: float, original_bits: int, site_bits: int
) -> Smallest:
    """The smallest model of each forecast whose predicted perplexity stays within an allowance.

    Between two rows of a forecast the logarithm of the change is interpolated linearly; the answer is rounded down to
    a thousandth, so that it stays within.

    Args:
        reports: forecasts of one model.
        allowance: how much perplexity may grow, as a share of the dense one's, in (0, 10].
        original_bits: of the whole dense model.
        site_bits: of its compressible layers, at 16 bits a weight.

    Raises:
        UserError: if the allowance is out of range.
    """
    check_allowance(allowance)
    found = [_candidate(report, allowance, original_bits, site_bits) for report in reports]
    found.sort(key=lambda each: (each.removed_fraction is None, each.stored_bits, each.change))
    return Smallest(allowance, tuple(found))


def check_allowance(allowance: float) -> None:
    """Refuse what no model can meet, or any.

    Raises:
        UserError: unless it is in (0, 10].
    """
    if not 0 < allowance <= LARGEST_ALLOWANCE:
        raise UserError(
            f"Perplexity may grow by more than 0 and at most {LARGEST_ALLOWANCE:.0%}, but {allowance:.4g} was asked "
            "for (0.05 means 5%)."
        )


def _candidate(report: ForecastReport, allowance: float, original_bits: int, site_bits: int) -> Candidate:
    if report.problem or not report.predictions:
        return Candidate(report.method, report.policy, problem=report.problem or "no forecast was made")
    dense = report.dense.perplexity
    fraction, ended = _largest(report.predictions, "perplexity", dense * (1 + allowance))
    sure, _ = _largest(report.predictions, "high", dense * (1 + allowance))
    row = report.at((fraction,)).predictions[0]
    return Candidate(
        report.method,
        report.policy,
        fraction,
        row.perplexity / dense - 1,
        row.low / dense - 1,
        row.high / dense - 1,
        sure,
        original_bits - round(fraction * site_bits),
        ended,
    )


def _largest(rows: Sequence[Prediction], name: str, most: float) -> tuple[float, bool]:
    """The largest fraction up to which a column stays at or below `most`, and whether the table ends there."""
    before = rows[0]
    if getattr(before, name) > most:
        return 0.0, False
    for row in rows[1:]:
        value, last = getattr(row, name), getattr(before, name)
        if value > most:
            way = math.log(most / last) / math.log(value / last)
            exact = before.removed_fraction_target + way * (
                row.removed_fraction_target - before.removed_fraction_target
            )
            return math.floor(exact * STEPS + 1e-9) / STEPS, False
        before = row
    return before.removed_fraction_target, True


@dataclass(frozen=True)
class Verified:
    """A prediction beside its measurement, both as relative changes of perplexity.

    Attributes:
        predicted: from the forecast.
        low: lower end of its 95 % band.
        high: upper end.
        measured: on the text of the measurement.
    """

    predicted: float
    low: float
    high: float
    measured: float

    @property
    def off(self) -> float:
        """Measured minus predicted: 0.01 is one percentage point more than foretold."""
        return self.measured - self.predicted


def verified(candidate: Candidate, dense: RunPoint, measured: RunPoint) -> Verified:
    """Set what was foretold beside what was measured."""
    return Verified(candidate.change, candidate.low, candidate.high, measured.quality / dense.quality - 1)


def foretold(reports: Sequence[ForecastReport], dense: RunPoint, point: RunPoint) -> float | None:
    """What the forecasts expect of a run's perplexity on the text that it was measured on.

    It is the dense model's there times the change foretold. None where nothing is forecast: for another method, policy,
    calibration or setting than the forecast's, beyond its table, and for word error rates.
    """
    usual = Recipe(dense.measure.model_id, point.method, point.policy, point.removed_fraction)
    if point.recipe != usual or point.measure != dense.measure or dense.measure.metric != "perplexity":
        return None
    named = (each for each in reports if (each.method, each.policy) == (point.method, point.policy))
    report = next((each for each in named if not each.problem and each.predictions), None)
    if report is None or point.removed_fraction > report.predictions[-1].removed_fraction_target:
        return None
    row = report.at((point.removed_fraction,)).predictions[0]
    return dense.quality * row.perplexity / report.dense.perplexity


def smallest_measured(points: Sequence[RunPoint], allowance: float) -> RunPoint | None:
    """Of measured runs of one measure, the smallest whose quality is within an allowance of the dense model's.

    This is the answer where nothing is forecast, as for word error rates.

    Raises:
        UserError: if the allowance is out of range, or no dense model is among the runs.
    """
    check_allowance(allowance)
    dense = next((point for point in points if point.is_dense), None)
    if dense is None:
        raise UserError("Without the dense model nothing says what is within a percentage of it: measure it as well.")
    within = [point for point in points if not point.is_dense and point.quality <= dense.quality * (1 + allowance)]
    return min(within, key=lambda point: (point.stored_bits, point.quality), default=None)
