"""The optimisers of the training loop: AdamW for everything, or Muon for matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from compression.adaptation.types import OPTIMIZERS
from compression.errors import UserError

Group = dict[str, Any]


class Optimizers:
    """Several optimisers that step together.

    Args:
        parts: each with parameters of its own.
    """

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        """Keep them."""
        self._parts = parts

    @property
    def param_groups(self) -> list[Group]:
        """The groups of all, in order; a changed ``lr`` counts."""
        return [group for part in self._parts for group in part.param_groups]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Let each take a step."""
        for part in self._parts:
            part.step()

    def state(self) -> dict[int, dict[str, Any]]:
        """What they remember of each parameter, numbered in the order of `param_groups`."""
        states: dict[int, dict[str, Any]] = {}
        for first, part in self._numbered():
            states |= {first + place: state for place, state in part.state_dict()["state"].items()}
        return states

    def load_state(self, states: Mapping[int, dict[str, Any]]) -> None:
        """Go on from what `state` gave."""
        for first, part in self._numbered():
            count = _count(part)
            own = {place: states[first + place] for place in range(count) if first + place in states}
            part.load_state_dict({**part.state_dict(), "state": own})

    def _numbered(self) -> list[tuple[int, torch.optim.Optimizer]]:
        starts, first = [], 0
        for part in self._parts:
            starts.append((first, part))
            first += _count(part)
        return starts


def _count(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)


def make_optimizers(name: str, groups: list[Group], weight_decay: float) -> Optimizers:
    """Build what trains some groups of parameters.

    Args:
        name: of `OPTIMIZERS`. Under ``muon`` matrices go to Muon and all else to AdamW; its steps are scaled to the
            size of AdamW's, so that both take the same learning rate.
        groups: parameters with their learning rates.
        weight_decay: of groups that have none of their own.

    Raises:
        UserError: for an unknown name.

    Source: Muon is Moonlight's (2502.16982), section 2.2, as torch has it.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"There is no optimiser {name!r}: expected {' or '.join(OPTIMIZERS)}.")
    if name == "adamw":
        return Optimizers([torch.optim.AdamW(groups, weight_decay=weight_decay)])
    matrices, others = (
        [{**group, "params": [p for p in group["params"] if (p.ndim == 2) == wanted]} for group in groups]
        for wanted in (True, False)
    )
    parts: list[torch.optim.Optimizer] = []
    if matrices := [group for group in matrices if group["params"]]:
        parts.append(torch.optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
    if others := [group for group in others if group["params"]]:
        parts.append(torch.optim.AdamW(others, weight_decay=weight_decay))
    return Optimizers(parts)
