"""What a per-site method is, how its settings describe themselves, and the registry of classes."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import Tensor

from compression import accounting
from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import INITIAL_DAMPING, Whitening, truncated_svd
from compression.modules import CompressedLinear, LowRankLinear
from compression.types import MethodInfo, SettingInfo


@dataclass(frozen=True)
class SiteResult:
    """A compressed layer and what is worth telling about it.

    Attributes:
        layer: the layer, holding exactly the values that are stored.
        convergence: relative squared error in the whitened space after each alternation, if iterative.
        notes: fallbacks and clips, one sentence each.
    """

    layer: CompressedLinear
    convergence: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def setting(default: float, title: str, minimum: float, maximum: float) -> Any:
    """A dataclass field with its name for people and its range; the type of `default` decides int or float."""
    return dataclasses.field(default=default, metadata={"title": title, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True)
class CompressionMethod(ABC):
    """A per-site, training-free method: pure, deterministic, one weight at a time.

    A subclass is a frozen dataclass; its fields (made with `setting`) are what a user may vary. Class attributes
    describe it to the command line and to the app.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    source: ClassVar[str]
    uses_calibration: ClassVar[bool] = True
    warning: ClassVar[str | None] = None
    """A sentence that belongs wherever figures of this method are shown."""

    def __post_init__(self) -> None:
        """Check every setting against its range.

        Raises:
            UserError: naming the setting, the range and what came.
        """
        for field in dataclasses.fields(self):
            value, low, high = getattr(self, field.name), field.metadata["minimum"], field.metadata["maximum"]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise UserError(
                    f"{self.name}: {field.metadata['title'].lower()} must be a number from {low} to {high}, but "
                    f"{value!r} was given."
                )

    @abstractmethod
    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Compress one layer.

        Args:
            weight: (out, in), any floating dtype.
            bias: (out,) or None; passes unchanged.
            statistics: calibration statistics of the layer's input; None only if `uses_calibration` is false.
            removed_fraction: in (0, 0.95]; the layer stores at most (1 − removed_fraction)·16·m·n bits.
        """


class WhitenedLowRank(CompressionMethod):
    """Truncated SVD in a space that a subclass chooses, mapped back to the original one."""

    @abstractmethod
    def whitening(self, weight: Tensor, statistics: SiteStatistics | None) -> Whitening | None:
        """The transformation of the input side; None for none."""

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Truncate the SVD of ``LᵀA`` at the rank the budget allows and multiply ``L⁻ᵀ`` back in."""
        out_features, in_features = weight.shape
        rank = accounting.rank_for(out_features, in_features, removed_fraction)
        whitening = self.whitening(weight, statistics)
        target = weight.T.double() if whitening is None else whitening.whiten(weight.T)
        left, right = truncated_svd(target, rank)
        layer = LowRankLinear(left if whitening is None else whitening.unwhiten(left), right, bias)
        return SiteResult(layer, notes=damping_notes(whitening))


def damping_notes(whitening: Whitening | None) -> tuple[str, ...]:
    """A sentence where a Gram matrix needed more than the usual damping."""
    if whitening is None or whitening.damping_fraction <= INITIAL_DAMPING:
        return ()
    return (
        f"Gram matrix damped with {whitening.damping_fraction:.0e} of its mean diagonal (usual: {INITIAL_DAMPING:.0e})",
    )


def describe(method: type[CompressionMethod]) -> MethodInfo:
    """What a method says about itself, for interfaces that must not import torch."""
    settings = tuple(
        SettingInfo(
            name=field.name,
            title=field.metadata["title"],
            default=cast(float, field.default),
            minimum=field.metadata["minimum"],
            maximum=field.metadata["maximum"],
            integer=isinstance(field.default, int),
        )
        for field in dataclasses.fields(method)
    )
    return MethodInfo(
        name=method.name,
        title=method.title,
        description=method.description,
        source=method.source,
        uses_calibration=method.uses_calibration,
        warning=method.warning,
        settings=settings,
    )


METHODS: dict[str, type[CompressionMethod]] = {}
"""Name → class. Filled by `register`; importing `compression.methods` imports every method."""


def register(method: type[CompressionMethod]) -> type[CompressionMethod]:
    """Class decorator that adds a method to `METHODS`.

    Raises:
        ValueError: if the name is missing, malformed or taken, or a description is missing.
    """
    name = getattr(method, "name", "")
    if not name or name != name.lower() or " " in name:
        raise ValueError(f"{method.__name__}.name must be lower case without spaces, got {name!r}")
    if name in METHODS:
        raise ValueError(f"the method name {name!r} is taken by {METHODS[name].__name__}")
    for attribute in ("title", "description", "source"):
        if not getattr(method, attribute, ""):
            raise ValueError(f"{method.__name__}.{attribute} is missing")
    METHODS[name] = method
    return method


def create_method(name: str, **settings: Any) -> CompressionMethod:
    """Build a method by name; settings it does not have are refused.

    Raises:
        UserError: for an unknown name, an unknown setting or a value out of range.
    """
    if name not in METHODS:
        raise UserError(f"There is no method {name!r}: expected one of {', '.join(METHODS)}.")
    method = METHODS[name]
    known = {field.name for field in dataclasses.fields(method)}
    for unknown in settings.keys() - known:
        raise UserError(f"{name} has no setting {unknown!r}: expected one of {', '.join(sorted(known)) or 'none'}.")
    return method(**settings)
