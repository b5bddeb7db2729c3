"""How much closing a gate is expected to cost, and which gates to close for a target at the least expected cost."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.adaptation.base import Setup
from compression.adaptation.gates import GatedLinear
from compression.adaptation.precision import products
from compression.errors import UserError

MULTIPLE = 16
"""Matrix products are up to a tenth faster on a CPU where sizes are multiples of this (a register of 32-bit floats)."""
ENOUGH_NEURONS = 512


@contextmanager
def _probing(layers: Iterable[GatedLinear], probes: dict[int, Tensor]) -> Iterator[None]:
    watched = list(layers)
    for layer in watched:
        layer.probes = probes
    try:
        yield
    finally:
        for layer in watched:
            layer.probes = None


def expected_losses(
    setup: Setup, layers: Sequence[GatedLinear], batches: int
) -> Generator[str, None, dict[int, Tensor]]:
    """What closing each gate adds to the loss of an example, in nats, under the empirical Fisher information.

    ``½ E[(∂L/∂ω)²]`` with ω → 0: the second-order term with the Fisher information in place of the Hessian, each
    example's gradient by itself (the square of a batch's mean gradient would be smaller by its size).

    Args:
        setup: of the adapter; its model holds `layers`.
        layers: gated layers.
        batches: how many training batches to look at, at most.

    Yields:
        A sentence after each part of a batch.

    Returns:
        ``id`` of a `GateVector` → (gates,), float32.

    Source: Fisher pruning (Theis et al., 1801.05787), for gates.
    """
    sums: dict[int, Tensor] = {}
    sides = {id(side): side for layer in layers for side in layer.sides()}
    examples = 0
    was_training = setup.model.training
    setup.model.eval()
    probes: dict[int, Tensor] = {}
    try:
        with _probing(layers, probes):
            for index, batch in zip(range(batches), setup.batches(), strict=False):
                for part in setup.parts(batch):
                    with torch.enable_grad():
                        with products(setup.model):
                            loss = setup.loss(setup.model, part)
                        order = list(probes)
                        gradients = torch.autograd.grad(loss, [probes[key] for key in order])
                    for key, gradient in zip(order, gradients, strict=True):
                        count, side = len(gradient), sides[key]
                        own = (gradient[:, 0] * count).view(count, -1, side.repeat).sum(2)
                        sums[key] = sums.get(key, 0) + own.square().sum(0)
                    examples += count
                    probes.clear()
                    yield f"ranking the gates: batch {index + 1} of {batches}"
    finally:
        setup.model.train(was_training)
    return {key: (total / (2 * max(examples, 1))).cpu() for key, total in sums.items()}


@dataclass(frozen=True)
class Units:
    """Gates that close together with the weights that leave, all of one kind in one layer.

    Attributes:
        name: of the layer.
        losses: expected loss of closing each, (units,).
        weights: how many weights leave with each.
        least: how many must stay.
        together: so many close at a time, so that the size that is left suits the machine's matrix product.
    """

    name: str
    losses: Tensor
    weights: int
    least: int
    together: int = 1


def neurons_together(count: int) -> int:
    """How many of a layer's neurons close at a time: `MULTIPLE`, where there are enough of them."""
    return MULTIPLE if count % MULTIPLE == 0 and count >= ENOUGH_NEURONS else 1


def choose_units(units: Sequence[Units], target: int) -> Mapping[str, Tensor]:
    """Which units to close so that at least `target` weights leave: the cheapest for each weight first.

    Args:
        units: all there are.
        target: number of weights.

    Returns:
        Name → boolean (units,), true where it closes.

    Raises:
        UserError: if that many cannot leave.
    """
    entries: list[tuple[float, int, list[int]]] = []
    for index, group in enumerate(units):
        order = group.losses.argsort().tolist()
        free = max(len(order) - group.least, 0)
        for start in range(0, free - free % group.together, group.together):
            places = order[start : start + group.together]
            entries.append((float(group.losses[places].mean()) / group.weights, index, places))
    reachable = sum(units[index].weights * len(places) for _, index, places in entries)
    if reachable < target:
        total = sum(len(group.losses) * group.weights for group in units)
        raise UserError(
            f"The target is out of reach: at most {reachable / max(total, 1):.0%} of these weights can leave before a "
            "layer would be empty; choose a smaller target sparsity."
        )
    closed = {group.name: torch.zeros(len(group.losses), dtype=torch.bool) for group in units}
    removed = 0
    for _, index, places in sorted(entries):
        if removed >= target:
            break
        closed[units[index].name][places] = True
        removed += units[index].weights * len(places)
    return closed
