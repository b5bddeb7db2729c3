"""How the loss answers when one site alone is compressed: measured, site by site, for the policy ``sensitivity``.

The hidden states before every block of the dense model are kept, so that a change in one block runs again from that
block on and not from the start.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_utils import PreTrainedModel

from compression import store
from compression.allocation import LossCurves
from compression.calibration import Calibration, Gradients
from compression.errors import UserError
from compression.methods import CompressionMethod
from compression.parallel import parallel_map
from compression.sites import BlockCall, blocks_of, compressed_copy, run_block, run_head, site_bias, site_weight
from compression.streams import BATCH_SEQUENCES, TextStream
from compression.types import LinearSite, Progress


@dataclass(frozen=True)
class Search:
    """What a search measures.

    Attributes:
        num_sequences: calibration sequences that are scored.
        length: tokens of each, at most.
        fractions: removed fractions that every site is measured at.
    """

    num_sequences: int
    length: int
    fractions: tuple[float, ...]

    def choose(self, sequences: Tensor) -> Tensor:
        """As many of the sequences, spread evenly, (num_sequences, length)."""
        count = min(self.num_sequences, len(sequences))
        return sequences[[(2 * i + 1) * len(sequences) // (2 * count) for i in range(count)], : self.length]


SEARCHES = {
    "quick": Search(4, 128, (0.1, 0.25, 0.5)),
    "paper": Search(32, 2048, tuple(round(0.1 * step, 1) for step in range(1, 10))),
}
"""Preset → search. The paper's takes 60 times as long: three times the fractions, and twenty times the tokens or more.
"""


def measure_sensitivities(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    calibration: Calibration | None,
    gradients: Gradients | None,
    sequences: Tensor,
    fractions: tuple[float, ...],
    checkpoint: Path,
) -> Generator[Progress, None, LossCurves]:
    """Mean negative log-likelihood with one site compressed and all others dense, less that of the dense model.

    Args:
        model: dense model; it is not changed.
        sites: the sites to measure.
        method: what compresses them.
        calibration: statistics of the inputs, if the method uses them.
        gradients: statistics of the output gradients, if the method uses them.
        sequences: token ids to score, (num_sequences, sequence_length); every token but the first of a sequence counts.
        fractions: removed fractions, ascending, in (0, 0.95].
        checkpoint: file that holds the sites that are done; a second call with the same arguments goes on from there.
            A damaged one, or one of other fractions, is made again.

    Returns:
        For every site one loss a fraction, in nats a token; measured, so they may fall or be negative.

    Raises:
        UserError: naming the site whose statistics are unusable.

    Source: ASVD (2312.05821), whose code takes the perplexity itself; the order is the same.
    """
    # A copy that nobody else runs: workers of a call that was closed go on copying it for a moment, and must not copy
    # the shared model just when somebody has put other forward functions into it.
    model = compressed_copy(model, {})
    losses = _finished(checkpoint, fractions)
    left = [site for site in sites if site.name not in losses]
    dense = _run_dense(model, sequences) if left else None

    def measure(site: LinearSite) -> tuple[float, ...]:
        assert dense is not None
        statistics = calibration.statistics(site.input_group) if calibration else None
        if statistics is not None and method.uses_gradients:
            statistics = statistics.with_outputs(gradients, site.name)
        weight, bias = site_weight(model, site), site_bias(model, site)
        found = []
        for fraction in fractions:
            try:
                layer = method.compress(weight, bias, statistics, fraction).layer
            except UserError as error:
                raise UserError(f"{site.name}: {error}") from error
            # A copy of its own, because `run_head` changes modules for a while and several sites run at once.
            found.append(dense.loss_from(compressed_copy(model, {site.name: layer}), site.block) - dense.loss)
        return tuple(found)

    with closing(parallel_map(measure, left)) as results:
        for site, values in zip(left, results, strict=True):
            losses[site.name] = values
            store.write_cached(checkpoint, LossCurves(losses, fractions))
            done = sum(each.name in losses for each in sites)
            yield Progress("sensitivity", done, len(sites), f"sensitivity of {site.name}")
    return LossCurves({site.name: losses[site.name] for site in sites}, fractions)


def _finished(checkpoint: Path, fractions: tuple[float, ...]) -> dict[str, tuple[float, ...]]:
    """The sites that an earlier call has measured at the same fractions."""
    stored = store.cached_json(checkpoint, LossCurves)
    if stored is None or stored.fractions != fractions:
        return {}
    return {name: values for name, values in stored.losses.items() if len(values) == len(fractions)}


@dataclass(frozen=True)
class _DensePass:
    """One forward pass of the dense model, batch by batch, kept where it enters each block.

    Attributes:
        tokens: token ids of each batch.
        calls: for each batch, how every block is called.
        entering: for each block, the hidden states of each batch.
        loss: mean negative log-likelihood of the scored tokens, in nats.
    """

    tokens: tuple[Tensor, ...]
    calls: list[tuple[BlockCall, ...]]
    entering: list[list[Tensor]]
    loss: float

    def loss_from(self, model: PreTrainedModel, block: int) -> float:
        """The loss of a model that differs from the dense one in `block` and after it only."""
        outputs = []
        with torch.no_grad():
            for batch, hidden in enumerate(self.entering[block]):
                for index, layer in enumerate(blocks_of(model)[block:], block):
                    hidden = run_block(layer, hidden, self.calls[batch][index])
                outputs.append(hidden)
        return _mean_loss(model, self.tokens, outputs)


def _run_dense(model: PreTrainedModel, sequences: Tensor) -> _DensePass:
    stream = TextStream(model, sequences)
    for _ in stream.start():
        pass
    entering = []
    for index in range(len(stream.blocks)):
        entering.append(list(stream.hidden))
        stream.run(index)
    tokens = sequences.split(BATCH_SEQUENCES)
    return _DensePass(tokens, stream.calls, entering, _mean_loss(model, tokens, stream.hidden))


def _mean_loss(model: PreTrainedModel, tokens: tuple[Tensor, ...], hidden: list[Tensor]) -> float:
    """Mean negative log-likelihood in nats from what leaves the last block, one tensor a batch."""
    sums = []
    with torch.no_grad():
        for batch, leaving in zip(tokens, hidden, strict=True):
            logits = run_head(model, batch, leaving)[:, :-1].float()
            labels = batch[:, 1:].to(logits.device)
            sums.append(F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").double().sum().item())
    return math.fsum(sums) / sum(batch[:, 1:].numel() for batch in tokens)
