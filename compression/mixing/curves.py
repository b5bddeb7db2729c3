"""What every budget is predicted to cost: for each family of choices a line, set right by what was measured of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from compression.forecast import MAX_CHANGE
from compression.mixing.choose import best_mix
from compression.mixing.report import BudgetCurve, CurvePoint, MixRun, MixTable
from compression.mixing.table import DENSE_CHOICES, FACTOR_GRIDS, WHOLE

GPTQ = "gptq"
JOINT = "joint"
FACTOR_BITS = 4


@dataclass(frozen=True)
class Line:
    """One family of choices.

    Attributes:
        points: stored bits of the layers and predicted change of the loss, by bits.
    """

    points: tuple[tuple[int, float], ...]

    def at(self, bits: int) -> float | None:
        """The predicted loss at a size, on a logarithmic scale between two points; None outside of the line."""
        for (less, before), (more, after) in pairwise(self.points):
            if less <= bits <= more and before > 0 < after:
                share = (bits - less) / (more - less)
                return math.exp((1 - share) * math.log(before) + share * math.log(after))
        return next((loss for size, loss in self.points if size == bits), None)


def loss_lines(table: MixTable, method: str, budgets: Sequence[float]) -> dict[str, Line]:
    """Name of a way → the losses that the table predicts for it.

    Args:
        table: what every choice costs.
        method: that removes.
        budgets: bits of all layers together.
    """
    uniform = []
    for index, choice in enumerate(table.choices):
        if choice in DENSE_CHOICES:
            bits = sum(stored[index] for stored in table.stored_bits.values())
            uniform.append((bits, math.fsum(losses[index] for losses in table.losses.values())))
    lines = {GPTQ: Line(tuple(sorted(uniform)))}
    grids = {pair for pair in FACTOR_GRIDS if pair[0] == FACTOR_BITS}
    families = {
        method: lambda choice: choice.bits == WHOLE.bits,
        f"{method} + gptq": lambda choice: (choice.bits, choice.group_size) in grids,
        JOINT: lambda choice: True,
    }
    for name, allowed in families.items():
        found = (best_mix(table, budget, allowed) for budget in budgets)
        lines[name] = Line(tuple(sorted({(mix.stored_bits, mix.loss) for mix in found if mix is not None})))
    return lines


def coefficient(dense_loss: float, runs: Iterable[MixRun]) -> float | None:
    """Measured over predicted change of the loss, geometric mean over the runs that have both and are not broken."""
    ratios = []
    for run in runs:
        change = run.measured.negative_log_likelihood - dense_loss
        if run.predicted_loss and 0 < change <= MAX_CHANGE:
            ratios.append(change / run.predicted_loss)
    return statistics.geometric_mean(ratios) if ratios else None


def budget_curves(
    lines: Mapping[str, Line], runs: Iterable[MixRun], dense_loss: float, rest_bits: int, weights: int
) -> tuple[BudgetCurve, ...]:
    """Predicted perplexities over all budgets.

    A line is scaled so that it passes through what was measured of its own family; where that is broken, as much as
    the others are on average.

    Args:
        lines: what the table predicts.
        runs: what was measured.
        dense_loss: of the model as it was, in nats a token.
        rest_bits: of all that is no layer.
        weights: of the layers.
    """
    runs = tuple(runs)
    others = coefficient(dense_loss, runs)
    curves = []
    for name, line in lines.items():
        own = coefficient(dense_loss, (run for run in runs if run.name == name))
        factor = others if own is None else own
        points = []
        for bits, loss in line.points:
            change = None if factor is None else factor * loss
            perplexity = math.exp(dense_loss + change) if change is not None and change <= MAX_CHANGE else None
            points.append(CurvePoint(bits / weights, rest_bits + bits, loss, perplexity))
        curves.append(BudgetCurve(name, tuple(points), factor, own is not None))
    return tuple(curves)
