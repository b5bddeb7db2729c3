"""Streaming Gram matrices of the inputs of every site, with hooks that are always removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from compression.errors import UserError
from compression.linalg import Whitening
from compression.sites import decoder_of
from compression.types import LinearSite, Progress

BATCH_SEQUENCES = 2
"""Sequences a forward pass; larger batches are not faster on two cores."""


@dataclass(frozen=True)
class Calibration:
    """Input Gram matrices ``G = Σ x xᵀ`` (token sums), one for each input group.

    Attributes:
        grams: input group → (m, m), float32.
        num_tokens: positions behind each Gram matrix.
        fingerprint: content key of weights, tokens and code version.
        seconds: time the passes took.
        reused: whether it was read from the cache.
    """

    grams: dict[str, Tensor]
    num_tokens: int
    fingerprint: str
    seconds: float
    reused: bool = False

    def statistics(self, input_group: str) -> SiteStatistics:
        """What a method may use for the sites of one input group."""
        return SiteStatistics(self.grams[input_group], self.num_tokens)


@dataclass(frozen=True)
class SiteStatistics:
    """Calibration statistics of one input group; factorisations are made once and shared by its sites.

    Attributes:
        gram: (m, m), token sum.
        num_tokens: positions behind it.
    """

    gram: Tensor
    num_tokens: int

    @cached_property
    def whitening(self) -> Whitening:
        """Damped Cholesky factor of the Gram matrix."""
        return Whitening.from_gram(self.gram)


def calibration_sequences(tokens: Tensor, num_sequences: int, sequence_length: int) -> Tensor:
    """The first `num_sequences` non-overlapping sequences of a tokenised text, (sequences, length).

    Raises:
        UserError: if the text is too short.
    """
    available = len(tokens) // sequence_length
    if available < num_sequences:
        raise UserError(
            f"The calibration text has {len(tokens)} tokens, enough for {available} of {num_sequences} sequences of "
            f"{sequence_length}; give a longer text, or fewer or shorter sequences."
        )
    return tokens[: num_sequences * sequence_length].view(num_sequences, sequence_length)


def collect(
    model: PreTrainedModel, sites: tuple[LinearSite, ...], sequences: Tensor, fingerprint: str = ""
) -> Generator[Progress, None, Calibration]:
    """Run the blocks over the sequences (no head) and accumulate one Gram matrix for each input group.

    Sums are kept in float32 on the device of the model.

    Args:
        model: dense model.
        sites: its sites.
        sequences: token ids, (num_sequences, sequence_length).
        fingerprint: content key to carry along.
    """
    started = time.perf_counter()
    grams: dict[str, Tensor] = {}
    device = next(model.parameters()).device

    def accumulate(group: str, inputs: Tensor) -> None:
        rows = inputs.detach().reshape(-1, inputs.shape[-1]).float()
        if group in grams:
            grams[group].addmm_(rows.T, rows)
        else:
            grams[group] = rows.T @ rows

    first_of_group = {site.input_group: site for site in reversed(sites)}
    decoder = decoder_of(model)
    batches = sequences.split(BATCH_SEQUENCES)
    done = 0
    with observed_inputs(model, first_of_group, accumulate):
        for batch in batches:
            # Not around the loop: the mode belongs to a thread, and each step may run in another one.
            with torch.no_grad():
                decoder(batch.to(device), use_cache=False)
            done += len(batch)
            yield Progress("calibrate", done, len(sequences), f"calibration sequence {done} of {len(sequences)}")
    seconds = time.perf_counter() - started
    return Calibration(grams, sequences.numel(), fingerprint, seconds)


@contextmanager
def observed_inputs(
    model: nn.Module, sites: dict[str, LinearSite], observe: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Call ``observe(key, input)`` whenever a site runs; hooks go away on exit, whatever happens."""

    def hook_for(key: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            observe(key, inputs[0])

        return hook

    handles = [model.get_submodule(site.name).register_forward_pre_hook(hook_for(key)) for key, site in sites.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
