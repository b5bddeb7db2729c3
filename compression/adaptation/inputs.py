"""What arrives at the linear layers of a model over some batches: norms and Gram matrices, padding left out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from compression.adaptation.base import Setup

RIDGE = 1e-4
"""Added to a Gram matrix before it is solved with, as a share of its mean diagonal."""


def watch_inputs(
    setup: Setup, names: Sequence[str], batches: int, take: Callable[[str, Tensor], None]
) -> Iterator[str]:
    """Run the model in evaluation mode over some batches and hand over every layer's inputs.

    Args:
        setup: the model and its batches.
        names: of linear layers, gated or plain.
        batches: how many to look at, at most.
        take: called with a name and (positions, in), float32, several times.

    Yields:
        A sentence after each part of a batch.
    """
    counted: list[Tensor | None] = [None]

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs = arguments[0].detach().float()
            take(name, inputs.reshape(-1, inputs.shape[-1]) if counted[0] is None else inputs[counted[0]])

        return hook

    was_training = setup.model.training
    setup.model.eval()
    with ExitStack() as stack:
        stack.callback(setup.model.train, was_training)
        for name in names:
            stack.enter_context(setup.model.get_submodule(name).register_forward_pre_hook(watch(name)))
        for index, batch in zip(range(batches), setup.batches(), strict=False):
            for part in setup.parts(batch):
                mask = part.get("attention_mask")
                counted[0] = None if mask is None else mask.bool()
                with torch.no_grad():
                    setup.model(**{key: value for key, value in part.items() if key != "labels"})
                yield f"looking at the inputs: batch {index + 1} of {batches}"


def input_norms(setup: Setup, names: Sequence[str], batches: int) -> Generator[str, None, dict[str, Tensor]]:
    """Root of the sum of squares of every input: layer name → (in,), float32.

    Yields:
        A sentence after each part of a batch.
    """
    sums: dict[str, Tensor] = {}

    def take(name: str, rows: Tensor) -> None:
        sums[name] = sums.get(name, 0) + rows.square().sum(0)

    yield from watch_inputs(setup, names, batches, take)
    return {name: total.sqrt() for name, total in sums.items()}


def norms_at_once(setup: Setup, names: Sequence[str], batches: int) -> dict[str, Tensor]:
    """`input_norms` where a few batches are worth no event."""
    steps = input_norms(setup, names, batches)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            norms: dict[str, Tensor] = stop.value
            return norms


def input_grams(setup: Setup, names: Sequence[str], batches: int) -> Generator[str, None, dict[str, Tensor]]:
    """``XᵀX`` of every layer's inputs: layer name → (in, in), float32.

    Yields:
        A sentence after each part of a batch.
    """
    sums: dict[str, Tensor] = {}

    def take(name: str, rows: Tensor) -> None:
        sums[name] = sums.get(name, 0) + rows.T @ rows

    yield from watch_inputs(setup, names, batches, take)
    return sums


def refitted(weight: Tensor, gram: Tensor, columns: Tensor) -> Tensor:
    """The weight on the kept columns that gives nearest what the whole weight gave: ``W G[:, K] (G[K, K])⁻¹``.

    Args:
        weight: (out, in).
        gram: XᵀX of the inputs, (in, in).
        columns: boolean (in,): K.

    Returns:
        (out, in), zero outside K; the least-squares solution of ``‖X Wᵀ − X[:, K] W'ᵀ‖``, with a ridge of `RIDGE`.
        Inputs that are all zero change nothing.

    Source: the closed form of Optimal Brain Surgeon for a group of columns (as in OSSCAR, 2403.12983).
    """
    kept = columns.nonzero()[:, 0]
    whole, part = gram.double(), gram.double()[kept][:, kept]
    scale = whole.diagonal().mean()
    if not scale > 0 or len(kept) == len(columns):
        return weight * columns
    part.diagonal().add_(RIDGE * scale)
    # The ridge pulls towards the weight as it is, not towards zero.
    change = torch.linalg.solve(part, whole[kept][:, ~columns] @ weight.double()[:, ~columns].T)
    fitted = torch.zeros_like(weight)
    fitted[:, kept] = weight[:, kept] + change.T.to(weight.dtype)
    return fitted
