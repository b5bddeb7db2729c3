"""Two-sided whitened SVD: what goes in and how the loss minds what comes out."""

from __future__ import annotations

from dataclasses import dataclass

from compression.calibration import OUTPUT_DAMPING, SiteStatistics
from compression.linalg import INITIAL_DAMPING, Whitening
from compression.methods.base import WhitenedLowRank, register, setting


@register
@dataclass(frozen=True)
class SVDFisher(WhitenedLowRank):
    """``A ≈ L⁻ᵀ SVD_r(Lᵀ A L_H) L_H⁻¹``: the smallest second-order change of the loss at its rank.

    ``G = L Lᵀ`` is the Gram matrix of the inputs, ``H = L_H L_Hᵀ`` that of the output gradients; the error is
    ``tr(G ΔA H ΔAᵀ)``, the loss's curvature under a Kronecker-factored empirical Fisher.
    """

    name = "svd-fisher"
    title = "Fisher-weighted SVD"
    description = "Truncated SVD whitened on both sides: by the layer's inputs and by the gradients of its outputs."
    source = "this project; Kronecker factors as in K-FAC (1503.05671), whitening as in SVD-LLM (2403.07378)"
    uses_gradients = True
    own_policy = "fisher"

    damping: float = setting(INITIAL_DAMPING, "Damping of the input Gram matrix", 1e-12, 1.0)
    output_damping: float = setting(OUTPUT_DAMPING, "Damping of the output-gradient Gram matrix", 1e-6, 10.0)

    def input_whitening(self, statistics: SiteStatistics | None) -> Whitening | None:
        """The Cholesky factor of the input Gram matrix."""
        assert statistics is not None
        return statistics.whitening(self.damping)

    def output_whitening(self, statistics: SiteStatistics | None) -> Whitening | None:
        """The Cholesky factor of the output-gradient Gram matrix."""
        assert statistics is not None
        return statistics.output_whitening(self.output_damping)
