"""What a per-site method is, how its settings describe themselves, and the registry of classes."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from compression import accounting
from compression.calibration import SiteStatistics
from compression.errors import UserError
from compression.linalg import (
    EIGENVALUE_FLOOR,
    INITIAL_DAMPING,
    EigenWhitening,
    Whitening,
    apply_gram,
    relative_output_error,
    truncated_svd,
)
from compression.modules import CompressedLinear, LowRankLinear
from compression.types import MethodInfo, SettingInfo

if TYPE_CHECKING:
    from compression.truncation import LearningSettings


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


def check_settings(settings: Any, name: str) -> None:
    """Check every field that `setting` made against its range.

    Args:
        settings: a dataclass.
        name: of the method, for the sentence.

    Raises:
        UserError: naming the setting, the range and what came.
    """
    for field in dataclasses.fields(settings):
        value, low, high = getattr(settings, field.name), field.metadata["minimum"], field.metadata["maximum"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UserError(
                f"{name}: {field.metadata['title'].lower()} must be a number from {low} to {high}, but "
                f"{value!r} was given."
            )
        if isinstance(field.default, int) and not isinstance(value, int):
            raise UserError(
                f"{name}: {field.metadata['title'].lower()} must be a whole number from {low} to {high}, but "
                f"{value!r} was given."
            )


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
    uses_gradients: ClassVar[bool] = False
    """Whether `compress` needs the output-gradient Gram matrices as well."""
    observes_inputs: ClassVar[bool] = False
    """Whether the pipeline shows `observe` the inputs themselves, given the calibration sequences."""
    own_policy: ClassVar[str] = "uniform"
    """The allocation the method was published with: what the policy ``own`` stands for."""
    slow: ClassVar[bool] = False
    """Whether it, or the policy it was published with, takes minutes on a small model and two cores."""
    paper_settings: ClassVar[Mapping[str, float]] = {}
    """Settings of the paper where the defaults are reduced for two cores."""
    fixed_fraction: ClassVar[float | None] = None
    """The share it removes of every layer, whatever smaller one is asked for; None for a method with a choice."""
    joint: ClassVar[bool] = False
    """Whether it decides over all layers at once: a `compression.methods.joint.JointMethod`."""
    warning: ClassVar[str | None] = None
    """A sentence that belongs wherever figures of this method are shown."""

    def __post_init__(self) -> None:
        """Check every setting against its range.

        Raises:
            UserError: naming the setting, the range and what came.
        """
        check_settings(self, self.name)

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

    def observe(self, weight: Tensor, inputs: Tensor, seen: Tensor | None, removed_fraction: float) -> Tensor:
        """Take in some sequences of a site's inputs; called batch after batch if `observes_inputs`.

        Args:
            weight: (out, in).
            inputs: (sequences, tokens, in).
            seen: what the call before returned, None in the first.
            removed_fraction: what `compress` will be asked for.

        Returns:
            What `compress` finds in ``statistics.observed`` after the last call.
        """
        raise NotImplementedError

    def learning(self, seed: int = 0) -> LearningSettings | None:
        """How the policy ``learned`` is to learn this method's truncation positions; None where it has none."""
        return None

    def predicted_losses(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """The site's error curve: what removing each share is predicted to add to the loss, in nats a token.

        ``½ tr(G ΔA H ΔAᵀ) ÷ (N_G N_H)``, the second-order change of the loss under the Kronecker-factored empirical
        Fisher. The allocation policy ``fisher`` minimises its sum, and the forecast turns it into perplexity. Here it
        is found by compressing at every fraction; methods that know a shorter way override it.

        Args:
            weight: (out, in).
            statistics: of the site, output gradients included.
            fractions: removed fractions in (0, 0.95].

        Returns:
            One value a fraction, float64.
        """
        curve = []
        for fraction in fractions:
            approximation = self.compress(weight, None, statistics, fraction).layer.dense_weight()
            curve.append(second_order_loss(weight - approximation, statistics))
        return torch.tensor(curve, dtype=torch.float64)

    def output_errors(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """The site's relative output error, ‖X(W − Ŵ)ᵀ‖_F ÷ ‖XWᵀ‖_F, at each removed fraction.

        What the policy ``knapsack`` sums up. Here it is found by compressing at every fraction; methods that know a
        shorter way override it.

        Args:
            weight: (out, in).
            statistics: of the site; output gradients are not looked at.
            fractions: removed fractions in (0, 0.95].

        Returns:
            One value a fraction, float64.
        """
        errors = []
        for fraction in fractions:
            approximation = self.compress(weight, None, statistics, fraction).layer.dense_weight()
            errors.append(relative_output_error(weight, approximation, statistics.gram))
        return torch.tensor(errors, dtype=torch.float64)


def second_order_loss(difference: Tensor, statistics: SiteStatistics) -> float:
    """``½ tr(G ΔA H ΔAᵀ) ÷ (N_G N_H)`` in nats a token, for W − Ŵ, (out, in); H may be a diagonal."""
    assert statistics.output_gram is not None
    work = difference.double()
    curvature = (work @ statistics.gram.double()) * apply_gram(statistics.output_gram, work)
    return curvature.sum().clamp_min(0).item() * statistics.loss_scale()


class WhitenedLowRank(CompressionMethod):
    """Truncated SVD in a space that a subclass chooses, mapped back to the original one."""

    def input_whitening(self, statistics: SiteStatistics | None) -> Whitening | EigenWhitening | None:
        """The transformation of the input side, L; None for none."""
        return None

    def output_whitening(self, statistics: SiteStatistics | None) -> Whitening | None:
        """The transformation of the output side, L_H; None for none."""
        return None

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Truncate the SVD of ``Lᵀ A L_H`` at the rank the budget allows and multiply ``L⁻ᵀ`` and ``L_H⁻¹`` back in."""
        out_features, in_features = weight.shape
        rank = accounting.rank_for(out_features, in_features, removed_fraction)
        inputs, outputs = self.input_whitening(statistics), self.output_whitening(statistics)
        left, right = truncated_svd(_whiten_both(weight.T, inputs, outputs), rank)
        layer = LowRankLinear(_unwhiten(left, inputs), _unwhiten(right.T, outputs).T, bias)
        return SiteResult(layer, notes=damping_notes(inputs, getattr(self, "damping", INITIAL_DAMPING)))

    def predicted_losses(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """All ranks from one decomposition, exact."""
        assert statistics.output_gram is not None
        discarded = self._discarded(weight, statistics, statistics.output_gram)
        return _at_ranks(discarded, weight, fractions) * statistics.loss_scale()

    def output_errors(self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]) -> Tensor:
        """All ranks from one decomposition, exact."""
        discarded = self._discarded(weight, statistics, None)
        return (_at_ranks(discarded, weight, fractions) / discarded[0].clamp_min(1e-300)).sqrt()

    def _discarded(self, weight: Tensor, statistics: SiteStatistics, output_gram: Tensor | None) -> Tensor:
        """``tr(G ΔA H ΔAᵀ)`` when r components stay, for every r from 0 to min(m, n); H = I for None.

        The tail sums of ``(Lᵀ…U)ᵀ G (L…U) ∘ σσᵀ ∘ (…V)ᵀ H (…V)``. (In the space whitened by G and H alike both outer
        factors are identities, and this is the tail energy.)
        """
        inputs, outputs = self.input_whitening(statistics), self.output_whitening(statistics)
        left, right = truncated_svd(_whiten_both(weight.T, inputs, outputs), min(weight.shape))
        component_in, component_out = _unwhiten(left, inputs), _unwhiten(right.T, outputs)
        weighted = component_out if output_gram is None else apply_gram(output_gram, component_out)
        overlap = (component_in.T @ apply_gram(statistics.gram, component_in)) * (component_out.T @ weighted)
        # tail[r] = Σ_{i, j ≥ r} overlap[i, j]: what is lost when components r, r + 1, … go.
        tail = overlap.flip(0, 1).cumsum(0).cumsum(1).diagonal().flip(0).clamp_min(0)
        return torch.cat([tail, tail.new_zeros(1)])


def _at_ranks(discarded: Tensor, weight: Tensor, fractions: tuple[float, ...]) -> Tensor:
    """Of a value for every rank from 0 on, those at the ranks that the fractions leave."""
    out_features, in_features = weight.shape
    ranks = [accounting.rank_for(out_features, in_features, fraction) for fraction in fractions]
    return torch.stack([discarded[min(rank, len(discarded) - 1)] for rank in ranks])


def _whiten_both(
    matrix: Tensor, inputs: Whitening | EigenWhitening | None, outputs: Whitening | EigenWhitening | None
) -> Tensor:
    work = matrix.double() if inputs is None else inputs.whiten(matrix)
    return work if outputs is None else outputs.whiten(work.T).T


def _unwhiten(vectors: Tensor, whitening: Whitening | EigenWhitening | None) -> Tensor:
    return vectors if whitening is None else whitening.unwhiten(vectors)


def damping_notes(whitening: Whitening | EigenWhitening | None, asked: float = INITIAL_DAMPING) -> tuple[str, ...]:
    """A sentence where a Gram matrix needed more damping than was asked for, or has directions without a signal."""
    if isinstance(whitening, EigenWhitening):
        if not whitening.num_raised:
            return ()
        raised = f"{whitening.num_raised} of {len(whitening.scales)} eigenvalues of the Gram matrix"
        return (f"{raised} raised to {EIGENVALUE_FLOOR:.0e} of the largest",)
    if whitening is None or whitening.damping_fraction <= asked:
        return ()
    return (f"Gram matrix damped with {whitening.damping_fraction:.0e} of its mean diagonal instead of {asked:.0e}",)


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
        own_policy=method.own_policy,
        warning=method.warning,
        settings=settings,
        slow=method.slow,
        fixed_fraction=method.fixed_fraction,
        joint=method.joint,
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


def fast_methods() -> tuple[str, ...]:
    """The names of the methods that are not slow and take any fraction: what a benchmark of "all" runs."""
    return tuple(name for name, method in METHODS.items() if not method.slow and method.fixed_fraction is None)


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
