"""One choice a layer, so that all together meet a budget of bits with the least predicted loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from compression.mixing.report import Choice, MixTable


@dataclass(frozen=True)
class Mix:
    """A choice for every layer.

    Attributes:
        choices: site name → choice.
        stored_bits: of all layers.
        loss: predicted change of the loss, in nats a token.
    """

    choices: Mapping[str, Choice]
    stored_bits: int
    loss: float


def best_mix(table: MixTable, budget: float, allowed: Callable[[Choice], bool] = lambda choice: True) -> Mix | None:
    """The mix with the least loss in all whose bits stay within the budget; None where even the smallest do not.

    Every layer starts with its smallest choice and climbs the lower convex hull of its (bits, loss) points; of all next
    steps the one that saves most loss a bit is taken as long as it fits. At the budgets where every step fits to the
    end this is the optimum; between them it is short of it by at most one step.

    Args:
        table: what every choice costs.
        budget: bits of all layers together.
        allowed: which choices may be taken.
    """
    kept = [index for index, choice in enumerate(table.choices) if allowed(choice)]
    hulls = {}
    for name in table.losses:
        bits, losses = table.stored_bits[name], table.losses[name]
        hulls[name] = _lower_hull([(bits[index], losses[index], index) for index in kept])
    left = budget - sum(hull[0][0] for hull in hulls.values())
    if left < 0:
        return None
    steps = [
        ((before[1] - after[1]) / (after[0] - before[0]), name, place)
        for name, hull in hulls.items()
        for place, (before, after) in enumerate(pairwise(hull), 1)
    ]
    places = dict.fromkeys(hulls, 0)
    for _, name, place in sorted(steps, key=lambda step: (-step[0], step[1])):
        needed = hulls[name][place][0] - hulls[name][place - 1][0]
        if places[name] == place - 1 and needed <= left:
            places[name] = place
            left -= needed
    taken = {name: hulls[name][place] for name, place in places.items()}
    return Mix(
        {name: table.choices[index] for name, (_, _, index) in taken.items()},
        sum(bits for bits, _, _ in taken.values()),
        sum(loss for _, loss, _ in taken.values()),
    )


Point = tuple[int, float, int]


def _lower_hull(points: list[Point]) -> list[Point]:
    """Points (bits, loss, index) from the smallest on, each step saving less loss a bit than the one before."""
    hull: list[Point] = []
    for point in sorted(points):
        if hull and point[1] >= hull[-1][1]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-2], point):
            hull.pop()
        hull.append(point)
    return hull


def _slope(a: Point, b: Point) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])
