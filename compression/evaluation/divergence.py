"""How far a compressed model's predictions are from the dense model's: KL divergence and equal top-1 tokens.

The dense logits of a few thousand positions would take hundreds of megabytes. What enters the dense output head takes
a few, and the head, applied to it again, gives the same logits without running the model a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_utils import PreTrainedModel

from compression.errors import UserError
from compression.sites import output_head

CHUNK_VALUES = 2**21
"""Logits compared at a time: a few float64 tensors of that size exist at once, about 100 MB whatever the vocabulary."""


@dataclass(frozen=True)
class DenseStates:
    """What enters the dense model's output head, for every scored position of some windows.

    Attributes:
        head: the output head, hidden states to logits.
        windows: for each window, the hidden states after the final norm, (tokens − 1, width): the last token of a
            window predicts nothing that is scored.
    """

    head: nn.Module
    windows: list[Tensor]


@contextmanager
def dense_states(model: PreTrainedModel) -> Iterator[DenseStates]:
    """Keep what enters the output head while windows are run through a model, one window a forward pass.

    Args:
        model: the dense causal language model; it is as before afterwards.

    Yields:
        The states, one more window after each forward pass.
    """
    states = DenseStates(output_head(model), [])

    def keep(_head: nn.Module, entering: tuple[Tensor, ...]) -> None:
        states.windows.append(entering[0][0, :-1].clone())

    hook = states.head.register_forward_pre_hook(keep)
    try:
        yield states
    finally:
        hook.remove()


@dataclass(frozen=True)
class DivergenceReport:
    """Divergence of a model's predictions from the dense model's.

    The positions are those perplexity scores: every token of a window but the first is predicted once.

    Attributes:
        mean_kl: mean of KL(dense ‖ model) over positions, in nats.
        p99_kl: its 99th percentile over positions (linear interpolation), in nats.
        top1_agreement: share of positions at which both models have the same most probable token, in [0, 1].
        positions: number of positions.
    """

    mean_kl: float
    p99_kl: float
    top1_agreement: float
    positions: int


class Divergence:
    """Accumulates KL(dense ‖ model) = Σ_v p(v) · (ln p(v) − ln q(v)) over the positions of windows, in float64."""

    def __init__(self, dense: DenseStates) -> None:
        """Compare with these states of the dense model."""
        self._dense = dense
        self._divergences: list[Tensor] = []
        self._equal = 0

    @torch.inference_mode()
    def update(self, logits: Tensor, window_index: int) -> None:
        """Add one window.

        Args:
            logits: of the model, for the window's scored positions, (tokens − 1, vocabulary).
            window_index: which window of the dense states it is.

        Raises:
            UserError: if the dense model has other positions or another vocabulary there.
        """
        hidden = self._dense.windows[window_index]
        if len(hidden) != len(logits):
            raise UserError(
                f"Window {window_index + 1} has {len(logits)} scored positions, but {len(hidden)} in the dense model: "
                "measure both on the same windows."
            )
        rows = max(1, CHUNK_VALUES // logits.shape[1])
        for entering, predicted in zip(hidden.split(rows), logits.split(rows), strict=True):
            reference = self._dense.head(entering)
            self._equal += int((reference.argmax(-1) == predicted.argmax(-1)).sum())
            log_p = F.log_softmax(reference.double(), -1)
            difference = F.log_softmax(predicted.double(), -1).neg_().add_(log_p)
            self._divergences.append(log_p.exp_().mul_(difference).sum(-1).clamp_min_(0))

    def report(self) -> DivergenceReport:
        """What the windows so far amount to.

        Raises:
            UserError: if there is no window yet.
        """
        if not self._divergences:
            raise UserError("No window has been compared with the dense model: measure at least one.")
        values = torch.cat(self._divergences)
        return DivergenceReport(
            mean_kl=float(values.mean()),
            p99_kl=float(values.quantile(0.99)),
            top1_agreement=self._equal / len(values),
            positions=len(values),
        )
