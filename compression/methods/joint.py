"""Methods that decide over all layers at once and learn on the calibration text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.methods.base import CompressionMethod, SiteResult
from compression.types import LinearSite, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class JointMethod(CompressionMethod):
    """A method without a meaning for one layer alone: what one keeps depends on what the others lose."""

    joint = True
    slow = True

    @abstractmethod
    def compress_jointly(
        self,
        model: PreTrainedModel,
        sites: tuple[LinearSite, ...],
        sequences: Tensor,
        removed_fraction: float,
        seed: int,
    ) -> Generator[Progress, None, Mapping[str, SiteResult]]:
        """Compress all sites.

        Args:
            model: the dense model, which is not changed.
            sites: its sites.
            sequences: token ids of the calibration text, (sequences, length).
            removed_fraction: in (0, 0.95], of the bits of all sites together; new biases count as stored.
            seed: of whatever is random.

        Returns:
            Site name → result, for every site.

        Raises:
            UserError: if it cannot be carried out; what can be known beforehand is said before anything is learned.
        """

    def check_model(self, model: PreTrainedModel) -> None:
        """Refuse a model whose layers are not known to belong together.

        Raises:
            UserError: naming the architectures that are.
        """
        from compression.adaptation.structure import structure_of  # that package imports this one

        structure_of(model)

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Refuse: one layer alone has no answer, and so neither an error curve.

        Raises:
            UserError: always.
        """
        raise self.no_forecast()

    def no_forecast(self) -> UserError:
        """What is said where a layer's error curve, or a forecast made of them, is asked for."""
        return UserError(
            f"{self.name} decides over all layers at once, so a single layer has no error curve and there is no "
            "forecast: measure it."
        )
