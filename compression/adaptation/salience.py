"""How much closing a gate is expected to cost, and which gates to close for a target at the least expected cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.adaptation.base import Setup
from compression.adaptation.gates import GatedLinear
from compression.errors import UserError


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


def expected_losses(setup: Setup, layers: Sequence[GatedLinear], batches: int) -> dict[int, Tensor]:
    """What closing each gate adds to the loss of an example, in nats, under the empirical Fisher information.

    ``½ E[(∂L/∂ω)²]`` with ω → 0: the second-order term with the Fisher information in place of the Hessian, each
    example's gradient by itself (the square of a batch's mean gradient would be smaller by its size).

    Args:
        setup: of the adapter; its model holds `layers`.
        layers: gated layers.
        batches: how many training batches to look at.

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
    with _probing(layers, probes), torch.enable_grad():
        for index, batch in enumerate(setup.batches()):
            if index == batches:
                break
            loss = setup.loss(setup.model, batch)
            order = list(probes)
            gradients = torch.autograd.grad(loss, [probes[key] for key in order])
            for key, gradient in zip(order, gradients, strict=True):
                count, side = len(gradient), sides[key]
                own = (gradient[:, 0] * count).view(count, -1, side.repeat).sum(2)
                sums[key] = sums.get(key, 0) + own.square().sum(0)
            examples += count
            probes.clear()
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
    """

    name: str
    losses: Tensor
    weights: int
    least: int


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
    entries = []
    for index, group in enumerate(units):
        order = group.losses.argsort()
        free = len(order) - group.least
        entries += [(float(group.losses[i]) / group.weights, index, int(i)) for i in order[: max(free, 0)]]
    reachable = sum(units[index].weights for _, index, _ in entries)
    if reachable < target:
        total = sum(len(group.losses) * group.weights for group in units)
        raise UserError(
            f"The target is out of reach: at most {reachable / max(total, 1):.0%} of these weights can leave before a "
            "layer would be empty; choose a smaller target sparsity."
        )
    closed = {group.name: torch.zeros(len(group.losses), dtype=torch.bool) for group in units}
    removed = 0
    for _, index, place in sorted(entries):
        if removed >= target:
            break
        closed[units[index].name][place] = True
        removed += units[index].weights
    return closed
