"""Muon for matrices and AdamW for the rest: as torch's own, and resumable."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from compression.adaptation.optimizers import make_optimizers
from compression.adaptation.types import OPTIMIZERS
from compression.errors import UserError


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 4)


def groups(model: nn.Linear) -> list[dict[str, object]]:
    return [{"params": [model.weight, model.bias], "lr": 1e-2}]


def train(model: nn.Linear, optimizer: object, steps: int, start: int = 0) -> None:
    for step in range(start, start + steps):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()  # type: ignore[attr-defined]
        model(x).square().mean().backward()
        optimizer.step()  # type: ignore[attr-defined]


def test_matrices_go_to_muon_and_the_rest_to_adamw() -> None:
    ours, theirs = layer(), layer()
    train(ours, make_optimizers("muon", groups(ours), 0.01), 3)
    apart = (
        torch.optim.Muon([theirs.weight], lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([theirs.bias], lr=1e-2, weight_decay=0.01),
    )
    for step in range(3):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        theirs.zero_grad()
        theirs(x).square().mean().backward()
        for each in apart:
            each.step()
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)
    assert not torch.equal(ours.weight, layer().weight)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_going_on_from_a_state_is_never_having_stopped(name: str) -> None:
    whole, first = layer(), layer()
    train(whole, make_optimizers(name, groups(whole), 0.01), 5)
    begun = make_optimizers(name, groups(first), 0.01)
    train(first, begun, 2)
    state = copy.deepcopy(begun.state())
    assert sorted(state) == [0, 1]
    again = layer()
    again.load_state_dict(first.state_dict())
    resumed = make_optimizers(name, groups(again), 0.01)
    resumed.load_state(state)
    train(again, resumed, 3, 2)
    assert torch.equal(again.weight, whole.weight) and torch.equal(again.bias, whole.bias)


def test_a_changed_rate_counts_for_every_part() -> None:
    model = layer()
    optimizer = make_optimizers("muon", groups(model), 0.0)
    before = copy.deepcopy(model.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(model, optimizer, 2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(UserError, match="There is no optimiser 'sgd': expected adamw or muon"):
        make_optimizers("sgd", groups(layer()), 0.0)
