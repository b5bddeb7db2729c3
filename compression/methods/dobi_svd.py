"""Dobi-SVD: low rank through the leading right singular subspace of a layer's activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from compression import accounting
from compression.calibration import SiteStatistics
from compression.linalg import Whitening, leading_left_singular_vectors, truncated_svd
from compression.methods.base import CompressionMethod, SiteResult, WhitenedLowRank, damping_notes, register, setting
from compression.modules import LowRankLinear, MixedLowRankLinear
from compression.truncation import LearningSettings

REMAPPING_NOTE = (
    "stored in 8 and 16 bits (remapping): this is quantisation as well as low rank, so compare it with quantised "
    "methods only"
)

HELD = 3
"""Rows of activations, in multiples of n, that are held before they are merged: a merge costs the same however many."""


@register
@dataclass(frozen=True)
class DobiSVD(WhitenedLowRank):
    """``Â = A V Vᵀ``: V, (n, r), spans what the activations ``Y_i = X_i A`` of the calibration sequences share.

    V is found by streamed incremental PCA without a mean: sequences come in, and once enough rows are together all but
    the r leading directions are dropped. Where only the Gram matrix is known, V are the leading eigenvectors of
    ``AᵀGA``: PCA over all activations at once, and the optimum of ``‖X(A − Â)‖_F``, which is SVD-LLM's.

    The authors' code gives every sequence's r leading right singular vectors the same weight, however much or little of
    the activations lies along them; `equal_weights` does that too. It is not the default because it costs much on small
    models: with the same learned ranks, 0.2 removed from SmolLM2-135M, perplexity 79.9 instead of 57.3.

    The settings from `steps` on belong to learning the truncation positions (`compression.truncation`), which decides
    how much of each site goes.
    """

    name = "dobi-svd"
    title = "Dobi-SVD"
    description = (
        "Low rank in the directions that the layer's activations have in common; the ranks are learned by "
        "back-propagation through the truncation."
    )
    source = "Dobi-SVD (2502.02723), sections 3.1 to 3.3"
    observes_inputs = True
    own_policy = "learned"
    slow = True
    paper_settings: ClassVar[Mapping[str, float]] = {
        "equal_weights": 1,
        "steps": 2560,
        "learning_rate": 5 / 2048,
        "beta": 10.0,
    }

    remapping: int = setting(0, "Store a part in 8 bits (remapping)", 0, 1)
    equal_weights: int = setting(0, "Weigh the singular vectors of every sequence alike (1: yes)", 0, 1)
    steps: int = setting(LearningSettings.steps, "Learning steps for the ranks", 1, 10_000)
    learning_rate: float = setting(LearningSettings.learning_rate, "Learning rate of the ranks", 1e-5, 0.5)
    beta: float = setting(LearningSettings.beta, "Steepness of the soft truncation", 0.01, 100.0)
    penalty: float = setting(LearningSettings.penalty, "Penalty for missing the budget", 0.1, 10_000.0)

    def learning(self, seed: int = 0) -> LearningSettings:
        """How the truncation positions are to be learned."""
        return LearningSettings(
            steps=self.steps,
            learning_rate=self.learning_rate,
            beta=self.beta,
            penalty=self.penalty,
            seed=seed,
            remapping=bool(self.remapping),
        )

    def input_whitening(self, statistics: SiteStatistics | None) -> Whitening | None:
        """The Cholesky factor of the input Gram matrix."""
        assert statistics is not None
        return statistics.whitening()

    def observe(self, weight: Tensor, inputs: Tensor, seen: Tensor | None, removed_fraction: float) -> Tensor:
        """Take in the activations of some sequences, (rows, n); rows beyond `HELD` times n are merged to r of them."""
        rank = self._rank(weight, removed_fraction)
        activations = inputs.float() @ weight.float().T
        if self.equal_weights:
            activations = torch.stack([_leading_directions(sequence, rank) for sequence in activations])
        rows = activations.flatten(0, 1) if seen is None else torch.cat([seen, activations.flatten(0, 1)])
        return rows if len(rows) <= HELD * rows.shape[1] else merge_rows(rows, rank)

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Project the outputs on V; stored as ``A V`` and ``Vᵀ``, or, remapped, as singular vectors of their product.

        (The product's singular vectors, because their entries are of even size, which 8 bits need.)
        """
        assert statistics is not None
        rank = self._rank(weight, removed_fraction)
        notes: tuple[str, ...] = ()
        if statistics.observed is None:
            whitening = statistics.whitening()
            shared = leading_left_singular_vectors(whitening.whiten(weight.T).T, rank)
            notes = damping_notes(whitening)
        else:
            # A QR instead of dividing rows by their lengths: stays orthonormal where they vanish.
            shared = torch.linalg.qr(merge_rows(statistics.observed, rank).double().T).Q
        projected = weight.T.double() @ shared
        if not self.remapping:
            return SiteResult(LowRankLinear(projected, shared.T, bias), notes=notes)
        left, right = truncated_svd(projected, shared.shape[1])
        return SiteResult(MixedLowRankLinear(left, right @ shared.T, bias), notes=(*notes, REMAPPING_NOTE))

    def predicted_losses(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """The curve of the optimum at each rank; remapped, ranks and rounding differ, so every fraction is tried."""
        if self.remapping:
            return CompressionMethod.predicted_losses(self, weight, statistics, fractions)
        return super().predicted_losses(weight, statistics, fractions)

    def _rank(self, weight: Tensor, removed_fraction: float) -> int:
        out_features, in_features = weight.shape
        rank_for = accounting.mixed_rank_for if self.remapping else accounting.rank_for
        return rank_for(out_features, in_features, removed_fraction)


def _leading_directions(activations: Tensor, count: int) -> Tensor:
    """The `count` leading right singular vectors of (tokens, n) as rows; fewer where there are no more."""
    return leading_left_singular_vectors(activations.T, min(count, *activations.shape)).float().T


def merge_rows(rows: Tensor, count: int) -> Tensor:
    """The `count` leading right singular vectors of (rows, n), each times its singular value, as (count, n).

    With fewer rows than that, all of them. What is left out is all that incremental PCA loses.
    """
    if len(rows) <= count:
        return rows
    right = leading_left_singular_vectors(rows.T, min(count, rows.shape[1]))
    lengths = torch.linalg.vector_norm(rows.double() @ right, dim=0)
    return (right * lengths).T.to(rows.dtype)
