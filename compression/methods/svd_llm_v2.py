"""SVD-LLM v2: the truncation of SVD-LLM through an eigendecomposition instead of a Cholesky factor."""

from __future__ import annotations

from dataclasses import dataclass

from compression.calibration import SiteStatistics
from compression.linalg import EigenWhitening
from compression.methods.base import WhitenedLowRank, register


@register
@dataclass(frozen=True)
class SVDLLMv2(WhitenedLowRank):
    """``A ≈ U S^{-1/2} SVD_r(√S Uᵀ A)`` with ``U S Uᵀ = XᵀX``: minimises ``‖X(A − Â)‖_F`` over rank r.

    In exact arithmetic this is SVD-LLM. It needs no damping, so that the error is the smallest one also where the text
    is shorter than the input is wide.
    """

    name = "svd-llm-v2"
    title = "SVD-LLM v2"
    description = "Truncated SVD in the eigenbasis of the layer's inputs: SVD-LLM's optimum without a Cholesky factor."
    source = "SVD-LLM v2 (2503.12340), loss-optimised weight truncation"
    own_policy = "svd-llm-v2"

    def input_whitening(self, statistics: SiteStatistics | None) -> EigenWhitening:
        """Eigenvectors and roots of the eigenvalues of the input Gram matrix."""
        assert statistics is not None
        return EigenWhitening.from_gram(statistics.gram)
