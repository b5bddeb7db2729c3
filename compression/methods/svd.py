"""Plain truncated SVD of the weight: what every other low-rank method is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from compression.methods.base import WhitenedLowRank, register


@register
@dataclass(frozen=True)
class SVD(WhitenedLowRank):
    """``A ≈ U_r Σ_r V_rᵀ``, blind to what the layer is fed with (Eckart and Young, 1936)."""

    name = "svd"
    title = "SVD"
    description = "Truncated singular value decomposition of the weight, without looking at any data."
    source = "Eckart and Young (1936)"
    uses_calibration = False
    warning = (
        "Plain SVD ignores the data and ruins a language model above a few percent; it is shown because that is the "
        "lesson."
    )
