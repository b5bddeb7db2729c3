"""Two of every four neighbouring weights stay: chosen by magnitude, or by Wanda's metric."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.accounting import TWO_OF_FOUR_REMOVED
from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import relative_output_error, two_of_four_mask
from compression.methods.base import CompressionMethod, SiteResult, register, second_order_loss
from compression.modules import TwoOfFourLinear

NO_TIME_GAINED = (
    "A 2:4 pattern always removes 43.75% of a layer's bits, whatever smaller share is asked for: half of the values "
    "stay, in 16 bits and with a 2-bit place each. A CPU gains no time from it."
)


class TwoOfFour(CompressionMethod):
    """Keeps the two of largest score in every four neighbours of a row; a subclass has the scores."""

    fixed_fraction = TWO_OF_FOUR_REMOVED
    warning = NO_TIME_GAINED

    @abstractmethod
    def scores(self, weight: Tensor, statistics: SiteStatistics | None) -> Tensor:
        """How much each weight matters, (out, in)."""

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Mask the weight; whatever is asked for, up to what the pattern removes, it removes that.

        Raises:
            UserError: if more is asked for, or the number of inputs is no multiple of four.
        """
        if removed_fraction > TWO_OF_FOUR_REMOVED:
            raise UserError(
                f"{self.name} removes {TWO_OF_FOUR_REMOVED:.2%} of every layer and no more, but {removed_fraction:.2%} "
                "was asked for: choose a smaller removed fraction, or another method."
            )
        if weight.shape[1] % 4:
            raise UserError(
                f"{self.name} keeps two of every four inputs of a layer, so their number must be a multiple of 4, but "
                f"it is {weight.shape[1]}: choose another method."
            )
        mask = two_of_four_mask(self.scores(weight, statistics))
        return SiteResult(TwoOfFourLinear(weight, mask, bias))

    def predicted_losses(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """The same at every fraction that the pattern can give; all is lost where it cannot."""
        approximation = self.compress(weight, None, statistics, TWO_OF_FOUR_REMOVED).layer.dense_weight()
        loss = second_order_loss(weight - approximation, statistics)
        return _steps(fractions, loss, second_order_loss(weight, statistics))

    def output_errors(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """The same at every fraction that the pattern can give; all is lost where it cannot."""
        approximation = self.compress(weight, None, statistics, TWO_OF_FOUR_REMOVED).layer.dense_weight()
        return _steps(fractions, relative_output_error(weight, approximation, statistics.gram), 1.0)


def _steps(fractions: tuple[float, ...], within: float, beyond: float) -> Tensor:
    return torch.tensor([within if f <= TWO_OF_FOUR_REMOVED else beyond for f in fractions], dtype=torch.float64)


@register
@dataclass(frozen=True)
class MagnitudeTwoOfFour(TwoOfFour):
    """``|w|``, blind to what the layer is fed with."""

    name = "magnitude-2:4"
    title = "Magnitude 2:4"
    description = "Keeps the two largest of every four neighbouring weights, without looking at any data."
    source = "Accelerating sparse deep neural networks (2104.08378)"
    uses_calibration = False

    def scores(self, weight: Tensor, statistics: SiteStatistics | None) -> Tensor:
        """The magnitudes."""
        return weight.abs()


@register
@dataclass(frozen=True)
class WandaTwoOfFour(TwoOfFour):
    """``|w_ij|·‖x_j‖`` over the calibration: what a weight is worth by itself to the layer's output.

    Differs from the authors' code as every method here does: all layers are calibrated on the dense model, unless the
    recipe calibrates block after block.
    """

    name = "wanda-2:4"
    title = "Wanda 2:4"
    description = "Keeps the two of every four neighbouring weights that matter most by magnitude times input."
    source = "Wanda (2306.11695)"

    def scores(self, weight: Tensor, statistics: SiteStatistics | None) -> Tensor:
        """Magnitudes times the norms of the inputs, the roots of the Gram matrix's diagonal."""
        assert statistics is not None
        return weight.abs() * statistics.gram.diagonal().clamp_min(0).sqrt().to(weight.dtype)
