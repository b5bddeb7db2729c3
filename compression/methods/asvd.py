"""ASVD: truncated SVD after scaling every input by its mean magnitude."""

from __future__ import annotations

from dataclasses import dataclass

from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import Whitening
from compression.methods.base import WhitenedLowRank, register, setting


@register
@dataclass(frozen=True)
class ASVD(WhitenedLowRank):
    """``A ≈ S⁻¹ SVD_r(S A)`` with ``S = diag((E|x_i|)^α)``.

    An input that is always zero keeps a small scale (`SMALLEST_SCALE` of the mean), where the authors' code adds 1e-6
    to every scale, whatever its unit. The absolute-maximum variant of S and quantised factors are not part of this.
    """

    name = "asvd"
    title = "ASVD"
    description = "Truncated SVD of the weight with every input scaled by a power of its mean magnitude."
    source = "ASVD (2312.05821)"
    own_policy = "sensitivity"
    slow = True

    alpha: float = setting(0.5, "Power of the mean magnitude (α)", 0.0, 2.0)

    def input_whitening(self, statistics: SiteStatistics | None) -> Whitening:
        """The diagonal S."""
        assert statistics is not None
        if statistics.mean_magnitude is None:
            raise UserError(
                "ASVD needs the mean magnitude of every input, which these calibration statistics do not hold: "
                "calibrate again."
            )
        return Whitening.from_importance(statistics.mean_magnitude, self.alpha)
