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


@register
@dataclass(frozen=True)
class DobiSVD(WhitenedLowRank):
    """``Â = A V Vᵀ``: V, (n, r), spans what the activations ``Y_i = X_i A`` of the calibration sequences share.

    Each sequence gives its r leading right singular vectors, all with the same weight, and incremental PCA without a
    mean (the signs of singular vectors are arbitrary) merges them batch by batch, so that V is r directions at most
    ever kept in memory. Where only the Gram matrix is known, V are the leading eigenvectors of ``AᵀGA``: PCA over all
    activations together, and the optimum of ``‖X(A − Â)‖_F``, which is SVD-LLM's.

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
    paper_settings: ClassVar[Mapping[str, float]] = {"steps": 2560, "learning_rate": 5 / 2048, "beta": 10.0}

    remapping: int = setting(0, "Store a part in 8 bits (remapping)", 0, 1)
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
        """Merge the leading right singular vectors of some sequences; keeps r rows ``s_j v_jᵀ``, (r, n)."""
        rank = self._rank(weight, removed_fraction)
        rows = [] if seen is None else [seen]
        for sequence in inputs:
            activations = sequence.float() @ weight.float().T
            count = min(rank, *activations.shape)
            rows.append(leading_left_singular_vectors(activations.T, count, activations.dtype).T)
        return merge_rows(torch.cat(rows), rank)

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
            shared = torch.linalg.qr(statistics.observed.double().T).Q
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


def merge_rows(rows: Tensor, count: int) -> Tensor:
    """The `count` leading right singular vectors of (rows, n), each times its singular value, as (count, n).

    With fewer rows than that, all of them. What is left out is all that incremental PCA loses.
    """
    if len(rows) <= count:
        return rows
    right = leading_left_singular_vectors(rows.T, min(count, rows.shape[1]), rows.dtype)
    lengths = torch.linalg.vector_norm(rows @ right, dim=0)
    return (right * lengths).T
