"""What removing the same number of weights saves, depending on where they stand.

No gate is learned here: rows and columns are drawn at random, because a forward pass takes as long whichever they are.

* ``neurons``: whole neurons of the MLPs, the same number in each, sizes multiples of sixteen.
* ``heads-and-neurons``: the same share of heads and of neurons.
* ``scattered-mlp``: the same share of the rows and columns of the MLPs' layers alone, each drawn for itself.
* ``scattered``: the same of all layers, as gates of the published recipe close.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from compression.adaptation import latency
from compression.adaptation.encoders import load_encoder
from compression.adaptation.removal_report import PATTERNS, PatternTiming, RemovalReport
from compression.adaptation.salience import neurons_together
from compression.adaptation.shrink import Open, all_open, folded_linear, kept_parts, removed_weights, shrink
from compression.adaptation.structure import BlockStructure, ModelStructure, structure_of
from compression.environment import describe_environment
from compression.errors import UserError
from compression.types import Progress

LABELS = ("0", "1")
SEARCH_STEPS = 30


def time_patterns(model_id: str, target: float, seed: int = 0) -> Generator[Progress, None, RemovalReport]:
    """Remove the same share of an encoder in every pattern, and time each beside the dense model.

    Args:
        model_id: an encoder.
        target: share of the weights of the blocks' linear layers, above 0 and at most 0.6.
        seed: of what is drawn.

    Raises:
        UserError: if the target is out of reach of a pattern.
    """
    if not 0 < target <= 0.6:
        raise UserError(f"The share to remove must be above 0 and at most 0.6, but {target} was given.")
    loaded = yield from load_encoder(model_id, LABELS, seed)
    structure = structure_of(loaded.model)
    timings: list[PatternTiming] = []
    for pattern in PATTERNS:
        yield Progress("latency", len(timings), len(PATTERNS), f"timing the pattern {pattern}")
        opened = open_for(loaded.model, structure, pattern, target, seed)
        kept = kept_parts(structure, opened)
        removed, total = removed_weights(kept)
        folded = {name: folded_linear(loaded.model, name) for name in structure.layers}
        smaller = shrink(loaded.model, structure, folded, kept).eval()
        times = tuple(latency.measure(loaded.model, smaller, batch) for batch in latency.BATCHES)
        timings.append(PatternTiming(pattern, removed / total, times))
    return RemovalReport(loaded.id, loaded.note, target, tuple(timings), describe_environment())


def open_for(
    model: PreTrainedModel, structure: ModelStructure, pattern: str, target: float, seed: int
) -> Mapping[str, Open]:
    """What stays open: the pattern's smallest share with which at least the target leaves.

    Args:
        model: dense.
        structure: of the model.
        pattern: of `PATTERNS`.
        target: share of the weights that is to leave.
        seed: of what is drawn.

    Raises:
        UserError: if it is out of reach.
    """
    closing = _CLOSING[pattern]

    def made(share: float) -> tuple[float, dict[str, Open]]:
        generator = torch.Generator().manual_seed(seed)
        opened = all_open(model, structure)
        for block in structure.blocks:
            closing(block, opened, share, generator)
        removed, total = removed_weights(kept_parts(structure, opened))
        return removed / total, opened

    low, high = 0.0, 1.0
    found: dict[str, Open] | None = None
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        removed, opened = made(middle)
        if removed >= target:
            high, found = middle, opened
        else:
            low = middle
    if found is None:
        raise UserError(f"The pattern {pattern} cannot remove {target:.0%} of these weights: choose a smaller share.")
    return found


Opened = dict[str, Open]


def _drawn(count: int, closed: int, generator: torch.Generator) -> Tensor:
    """Boolean (count,), false at `closed` random places, but true at one at least."""
    flags = torch.ones(count, dtype=torch.bool)
    flags[torch.randperm(count, generator=generator)[: min(closed, count - 1)]] = False
    return flags


def _neurons(block: BlockStructure, opened: Opened, share: float, generator: torch.Generator) -> None:
    output = opened[block.mlp_output]
    count = len(output.columns)
    together = neurons_together(count)
    closed = min(round(share * count / together) * together, count - together)
    opened[block.mlp_output] = Open(output.rows, _drawn(count, closed, generator))


def _heads_and_neurons(block: BlockStructure, opened: Opened, share: float, generator: torch.Generator) -> None:
    _neurons(block, opened, share, generator)
    heads = _drawn(block.key_value_heads, int(share * block.key_value_heads), generator)
    output = opened[block.output]
    width = len(output.columns) // block.key_value_heads
    opened[block.output] = Open(output.rows, heads.repeat_interleave(width))


def _scatter(names: tuple[str, ...], opened: Opened, share: float, generator: torch.Generator) -> None:
    for name in names:
        rows, columns = (
            _drawn(len(side), int(share * len(side)), generator) for side in (opened[name].rows, opened[name].columns)
        )
        opened[name] = Open(rows, columns)


def _scattered_mlp(block: BlockStructure, opened: Opened, share: float, generator: torch.Generator) -> None:
    _scatter((*block.mlp_inputs, block.mlp_output), opened, share, generator)


def _scattered(block: BlockStructure, opened: Opened, share: float, generator: torch.Generator) -> None:
    _scatter(block.layers, opened, share, generator)


_CLOSING: dict[str, Callable[[BlockStructure, Opened, float, torch.Generator], None]] = {
    "neurons": _neurons,
    "heads-and-neurons": _heads_and_neurons,
    "scattered-mlp": _scattered_mlp,
    "scattered": _scattered,
}
