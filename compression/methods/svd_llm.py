"""SVD-LLM: truncated SVD after whitening the inputs, the exact optimum at its rank."""

from __future__ import annotations

from dataclasses import dataclass

from compression.calibration import SiteStatistics
from compression.linalg import INITIAL_DAMPING, Whitening
from compression.methods.base import WhitenedLowRank, register, setting


@register
@dataclass(frozen=True)
class SVDLLM(WhitenedLowRank):
    """``A ≈ L⁻ᵀ SVD_r(LᵀA)`` with ``L Lᵀ = XᵀX``: minimises ``‖X(A − Â)‖_F`` over rank r.

    Whitening only: the paper's sequential low-rank update is a fine-tuning step and not part of this.
    """

    name = "svd-llm"
    title = "SVD-LLM"
    description = "Truncated SVD in the whitened space of the layer's inputs: the smallest output error at its rank."
    source = "SVD-LLM (2403.07378), section 3.1"

    damping: float = setting(INITIAL_DAMPING, "Damping of the input Gram matrix", 1e-12, 1.0)

    def input_whitening(self, statistics: SiteStatistics | None) -> Whitening | None:
        """The Cholesky factor of the input Gram matrix."""
        assert statistics is not None
        return statistics.whitening(self.damping)
