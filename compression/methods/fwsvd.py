"""FWSVD: truncated SVD after weighting every input row by its Fisher information."""

from __future__ import annotations

from dataclasses import dataclass

from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import Whitening
from compression.methods.base import WhitenedLowRank, register


@register
@dataclass(frozen=True)
class FWSVD(WhitenedLowRank):
    """``A ≈ D⁻¹ SVD_r(D A)`` with ``D = diag(√Î_i)`` and ``Î_i = Σ_j Σ_d (∂L_d/∂A_ij)²``, d over the sequences.

    A row without any gradient keeps a small weight, `SMALLEST_SCALE` of the mean. The paper's training on a task is not
    part of this.
    """

    name = "fwsvd"
    title = "FWSVD"
    description = "Truncated SVD of the weight with every input weighted by the gradients of its weights."
    source = "FWSVD (2207.00112)"
    uses_gradients = True

    def input_whitening(self, statistics: SiteStatistics | None) -> Whitening:
        """The diagonal D."""
        assert statistics is not None
        if statistics.row_fisher is None:
            raise UserError(
                "FWSVD needs the Fisher information of every input, which these gradient statistics do not hold: take "
                "the gradients again."
            )
        return Whitening.from_importance(statistics.row_fisher, 0.5)
