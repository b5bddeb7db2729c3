"""Learn how much of each site's activations to keep, by back-propagating the task loss through a soft truncation.

Of a site's activations ``Y = X A`` (tokens × out) the singular values pass through a soft mask that falls from 1 to 0
around a position k. All positions are learned together: the loss of the whole truncated model, plus a penalty for
missing the budget, is differentiated with respect to them, and Adam moves them. The weights stay as they are, and the
dense model is never touched: the truncation lives in a copy that shares all its tensors.

The backward pass goes through the map from Y to the truncated Y as a whole, so that neither factor of the singular
value decomposition has to be differentiated, nor a singular value divided by.

Source: Dobi-SVD (2502.02723), section 3.1; the equations of the backward pass, the projection to the budget and
learning in minutes are ours.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_utils import PreTrainedModel

from compression import store
from compression.accounting import VALUE_BITS, check_removed_fraction, low_rank_bits, mixed_low_rank_bits
from compression.errors import UserError
from compression.parallel import parallel_map
from compression.sites import compressed_copy
from compression.tensors import load_checked, save_checked
from compression.types import MAX_REMOVED_FRACTION, LinearSite, Progress

SERIES_TERMS = 10
"""Highest power of the geometric series that stands for ``1 ÷ (1 − q)`` where q is close to 1; K in the paper."""
CLOSE_GAP = 1e-3
"""Squared singular values are close where they differ by a smaller share of the larger one than this.

The paper leaves the limit open and the authors' code has 1e-10 (absolute), which leaves factors up to that of float32's
rounding errors in the gradient; here no factor is above 1000."""
SMALLEST_SQUARE = 1e-14
"""Squared singular values below this share of the largest are rounding errors of float32 activations."""
SAVE_EVERY = 5
"""Steps between two checkpoints."""


@dataclass(frozen=True)
class LearningSettings:
    """How positions are learned.

    Attributes:
        steps: updates of all positions.
        batch: sequences a step, side by side on one thread each.
        learning_rate: Adam's, in units of a position's whole range (0 to min(m, n)).
        beta: steepness of the soft mask, a rank. A gentle one averages over more neighbouring singular values: measured
            on SmolLM2-135M, two sequences agree on the gradients of the sites with a correlation of 0.09 at the
            paper's 10 or at 1, and of 0.33 at 0.1; with few steps that decides.
        penalty: nats for a whole model's worth of parameters too many or too few; it has to exceed what the budget is
            worth to the loss, and drowns the differences between sites where it does so by far.
        seed: of the order of the sequences.
        remapping: whether factors are to be stored in 8 and 16 bits, so that a rank costs less.
    """

    steps: int = 30
    batch: int = 2
    learning_rate: float = 0.02
    beta: float = 0.1
    penalty: float = 10.0
    seed: int = 0
    remapping: bool = False


@dataclass(frozen=True)
class LearnedPositions:
    """What learning ended with.

    Attributes:
        removed_fractions: site name → removed fraction in [0, 0.95], 0 for dense; they meet the budget exactly.
        positions: site name → the learned truncation position k before it was fitted to the budget, in ranks.
        losses: task loss of every step, in nats a token, each on its own sequences.
        removed: removed fraction of every step.
        steps: steps taken.
        seconds: time they took, over all runs.
    """

    removed_fractions: dict[str, float]
    positions: dict[str, float]
    losses: tuple[float, ...]
    removed: tuple[float, ...]
    steps: int
    seconds: float


class SoftTruncation(torch.autograd.Function):
    """``Y' = U diag(σ t) Vᵀ`` for ``Y = U diag(σ) Vᵀ`` with ``t_i = ½ tanh(β (k − i)) + ½``, i from 1.

    With the Gram matrix of the shorter side, C = YᵀY = V diag(λ) Vᵀ, this is ``Y' = Y M`` with ``M = V diag(t) Vᵀ``, a
    function of C whose derivative is ``dM = V (D ∘ Vᵀ dC V) Vᵀ`` with ``D_ij = (t_i − t_j) ÷ (λ_i − λ_j)``, 0 on the
    diagonal because t depends on the place i and not on λ_i. So for a gradient Γ with respect to Y', and Z = Y V,

        ∂/∂Y = (Γ V diag(t) + Z (D ∘ (R + Rᵀ))) Vᵀ,   ∂/∂k = Σ_i R_ii dt_i/dk,   R = Zᵀ Γ V.

    Nothing is divided by a singular value, and the complement of the column space needs no terms of its own. A wide Y
    is transposed.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor, position: Tensor, beta: float) -> Tensor:
        """Truncate Y, (tokens, n), softly at k, a tensor of one number."""
        ctx.wide = activations.shape[0] < activations.shape[1]
        tall = activations.T if ctx.wide else activations
        # The Gram matrix squares the condition: in float64, values down to 1e-7 of the largest keep their order.
        work = tall.double()
        squares, vectors = torch.linalg.eigh(work.T @ work)
        squares, vectors = squares.flip(0).clamp_min(0), vectors.flip(1).to(activations.dtype)
        scores = tall @ vectors
        mask, _ = soft_mask(position, beta, len(squares))
        seen = int((mask > torch.finfo(activations.dtype).eps).sum())
        truncated = (scores[:, :seen] * mask[:seen].to(activations.dtype)) @ vectors[:, :seen].T
        ctx.save_for_backward(scores, position, squares, vectors)
        ctx.beta = beta
        return truncated.T if ctx.wide else truncated

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients with respect to Y and k."""
        scores, position, squares, vectors = ctx.saved_tensors
        arriving = (gradients[0].T if ctx.wide else gradients[0]) @ vectors
        mask, slope = soft_mask(position, ctx.beta, len(squares))
        overlap = scores.T @ arriving
        to_position = (overlap.diagonal() * slope).sum().to(position.dtype)
        if not ctx.needs_input_grad[0]:
            return None, to_position, None
        factors = divided_differences(mask, squares).to(scores.dtype)
        leaving = (arriving * mask.to(scores.dtype)).addmm_(scores, factors * (overlap + overlap.T)) @ vectors.T
        return (leaving.T if ctx.wide else leaving), to_position, None


def soft_mask(position: Tensor, beta: float, count: int) -> tuple[Tensor, Tensor]:
    """``t_i = ½ tanh(β (k − i)) + ½`` for i = 1 … count, and its derivative with respect to k; float64."""
    places = torch.arange(1, count + 1, dtype=torch.float64, device=position.device)
    fall = torch.tanh(beta * (position.double() - places))
    return 0.5 * fall + 0.5, 0.5 * beta * (1 - fall.square())


def divided_differences(mask: Tensor, squares: Tensor) -> Tensor:
    """``(t_i − t_j) ÷ (λ_i − λ_j)``, bounded; symmetric (n, n), 0 on the diagonal.

    With λ_i ≥ λ_j and q = λ_j ÷ λ_i, ``1 ÷ (λ_i − λ_j) = (1 + q + q² + …) ÷ λ_i``; where the two are close, the series
    stops after its term of power `SERIES_TERMS`. Multiplied by ``σ_i σ_j`` or ``σ_i²``, as it always is, no entry is
    above ``1 ÷ CLOSE_GAP``.

    Args:
        mask: t, (n,), not ascending.
        squares: λ, (n,), not negative, not ascending.

    Source: Dobi-SVD (2502.02723), section 3.1, for the truncated series.
    """
    floor = (squares[0] * SMALLEST_SQUARE).clamp_min(1e-30)
    larger = squares.clamp_min(floor)[:, None]
    ratio = (squares / larger).clamp_max(1)  # read above the diagonal alone, where rows hold the larger value
    gap = 1 - ratio
    # (1 − q^(K + 1)) ÷ (1 − q), summed up so that q = 1 needs no care.
    series = torch.ones_like(ratio)
    for _ in range(SERIES_TERMS):
        series = series * ratio + 1
    inverse = torch.where(gap < CLOSE_GAP, series, 1 / gap.clamp_min(CLOSE_GAP)) / larger
    upper = ((mask[:, None] - mask) * inverse).triu(1)
    return upper + upper.T


class TruncatedLinear(nn.Module):
    """A dense layer whose output, bias left out, is softly truncated.

    Attributes:
        position: k, a tensor of one number; set before each forward pass.
    """

    def __init__(self, layer: nn.Module, beta: float) -> None:
        """Wrap a layer; it keeps everything it held."""
        super().__init__()
        self.layer = layer
        self.beta = beta
        self.position = torch.tensor(float("inf"))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., in), truncate over all positions together, give (..., out)."""
        output: Tensor = self.layer(x)
        bias = self.layer.bias
        product = output - bias if isinstance(bias, Tensor) else output
        rows = product.reshape(-1, product.shape[-1])
        truncated: Tensor = SoftTruncation.apply(rows, self.position, self.beta)
        truncated = truncated.view_as(output)
        return truncated + bias if isinstance(bias, Tensor) else truncated


class Truncations:
    """A copy of a model with every site truncated; all tensors are shared with the model, which stays as it was."""

    def __init__(self, model: PreTrainedModel, sites: tuple[LinearSite, ...], beta: float) -> None:
        """Put a `TruncatedLinear` in the place of every site."""
        self._layers = [TruncatedLinear(model.get_submodule(site.name), beta) for site in sites]
        replacements: dict[str, nn.Module] = {s.name: layer for s, layer in zip(sites, self._layers, strict=True)}
        self._model = compressed_copy(model, replacements)
        self._device = next(model.parameters()).device

    def loss(self, positions: Tensor, sequence: Tensor) -> Tensor:
        """Mean negative log-likelihood of a sequence (length,), in nats a token, at positions (sites,), in ranks.

        Raises:
            torch.linalg.LinAlgError: if activations overflow.
        """
        for layer, position in zip(self._layers, positions, strict=True):
            layer.position = position
        tokens = sequence[None].to(self._device)
        logits = self._model(tokens, use_cache=False).logits[0, :-1].float()
        return F.cross_entropy(logits, tokens[0, 1:])


@dataclass
class _State:
    """What a checkpoint holds: with it, learning goes on as if it had never stopped.

    Attributes:
        shares: positions as shares of min(m, n), (sites,), float64.
        mean: Adam's running mean of the gradient.
        square: Adam's running mean of its square.
        history: task loss and removed fraction of every step so far, (steps, 2), float64.
        seconds: time so far, (1,), float64.
    """

    shares: Tensor
    mean: Tensor
    square: Tensor
    history: Tensor
    seconds: Tensor

    @property
    def step(self) -> int:
        """Steps taken."""
        return len(self.history)


def learn_positions(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    sequences: Tensor,
    removed_fraction: float,
    settings: LearningSettings | None = None,
    checkpoint: Path | None = None,
) -> Generator[Progress, None, LearnedPositions]:
    """Learn the truncation position of every site.

    Each step runs a few sequences and minimises their loss plus ``penalty · |kept share − (1 − removed_fraction)|``,
    the kept share counting a site whose rank saves nothing as dense. All sites start at the target.

    Args:
        model: dense model; it is only read.
        sites: its sites.
        sequences: token ids, (num_sequences, length). Positions above the length have no effect.
        removed_fraction: the budget, over all sites.
        settings: how to learn.
        checkpoint: a file for the state, written every few steps; a state found there is continued.

    Yields:
        One event a step.

    Raises:
        UserError: for a bad removed fraction, or if the loss stops being a number.

    Source: Dobi-SVD (2502.02723), section 3.1. The paper minimises perplexity (its code; the logarithm here), with
    256 samples × 20 epochs, β = 10 and 5 ÷ 2048 as learning rate.
    """
    settings = settings or LearningSettings()
    target = check_removed_fraction(removed_fraction)
    budget = _Budget(sites, target, settings.remapping)
    key = store.content_key(settings, target, [site.name for site in sites], sequences.tolist())
    state = _load(checkpoint, key, len(sites)) if checkpoint else None
    state = state or _start(budget)
    copies = [Truncations(model, sites, settings.beta) for _ in range(settings.batch)]
    while state.step < settings.steps:
        started = time.perf_counter()
        loss, kept = _take_step(copies, budget, state, sequences, settings)
        state.history = torch.cat([state.history, torch.tensor([[loss, 1 - kept]], dtype=torch.float64)])
        state.seconds += time.perf_counter() - started
        if checkpoint and (state.step % SAVE_EVERY == 0 or state.step == settings.steps):
            _save(checkpoint, key, state)
        message = f"learning truncation positions: loss {loss:.3f}, removed {1 - kept:.1%}"
        yield Progress("learn", state.step, settings.steps, message)
    positions = (state.shares * budget.full_ranks).tolist()
    names = [site.name for site in sites]
    return LearnedPositions(
        removed_fractions=dict(zip(names, budget.fit(state.shares), strict=True)),
        positions=dict(zip(names, positions, strict=True)),
        losses=tuple(state.history[:, 0].tolist()),
        removed=tuple(state.history[:, 1].tolist()),
        steps=state.step,
        seconds=state.seconds.item(),
    )


class _Budget:
    """What positions cost, and how they are made to cost what is allowed.

    Attributes:
        full_ranks: min(m, n) of every site, (sites,).
        kept_target: 1 − removed fraction.
    """

    def __init__(self, sites: tuple[LinearSite, ...], removed_fraction: float, remapping: bool) -> None:
        """Note sizes."""
        bits = mixed_low_rank_bits if remapping else low_rank_bits
        sizes = [(site.out_features, site.in_features) for site in sites]
        weights = torch.tensor([site.num_weights for site in sites], dtype=torch.float64)
        self.full_ranks = torch.tensor([min(size) for size in sizes], dtype=torch.float64)
        self._bits_a_rank = torch.tensor([bits(*size, 1) for size in sizes], dtype=torch.float64)
        self._original_bits = VALUE_BITS * weights
        self._weights = weights / weights.sum()
        self.kept_target = 1 - removed_fraction

    def kept_shares(self, shares: Tensor) -> Tensor:
        """Stored ÷ original bits of every site; 1, dense, where the factors would be no smaller."""
        return (shares * self.full_ranks * self._bits_a_rank / self._original_bits).clamp_max(1)

    def kept(self, shares: Tensor) -> Tensor:
        """Stored ÷ original bits over all sites."""
        return (self._weights * self.kept_shares(shares)).sum()

    def start(self) -> Tensor:
        """The position of every site that keeps the target."""
        return self.kept_target * self._original_bits / (self._bits_a_rank * self.full_ranks)

    def fit(self, shares: Tensor) -> list[float]:
        """Removed fractions of positions scaled by the one factor at which they meet the target, by bisection."""
        low, high = 0.0, 1.0

        def kept_at(factor: float) -> Tensor:
            return self.kept_shares(shares.double() * factor).clamp_min(1 - MAX_REMOVED_FRACTION)

        while float((self._weights * kept_at(high)).sum()) < self.kept_target and high < 1e9:
            high *= 2
        for _ in range(100):  # more halvings than a float64 has bits
            middle = (low + high) / 2
            if float((self._weights * kept_at(middle)).sum()) > self.kept_target:
                high = middle
            else:
                low = middle
        return (1 - kept_at(low)).clamp(0, MAX_REMOVED_FRACTION).tolist()


def _start(budget: _Budget) -> _State:
    shares = budget.start().clamp(1 / budget.full_ranks, torch.ones_like(budget.full_ranks))
    return _State(
        shares,
        torch.zeros_like(shares),
        torch.zeros_like(shares),
        torch.zeros(0, 2, dtype=torch.float64),
        torch.zeros(1, dtype=torch.float64),
    )


def _choose(sequences: Tensor, visit: int, seed: int) -> Tensor:
    """The sequence of a visit: every epoch visits all of them, each in its own order."""
    epoch, place = divmod(visit, len(sequences))
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))
    return sequences[order[place]]


def _take_step(
    copies: list[Truncations], budget: _Budget, state: _State, sequences: Tensor, settings: LearningSettings
) -> tuple[float, float]:
    """One step of Adam on all positions; returns the task loss and the kept share before it."""

    def gradient_of(place: int) -> tuple[Tensor, Tensor]:
        sequence = _choose(sequences, state.step * settings.batch + place, settings.seed)
        with torch.enable_grad():
            shares = state.shares.clone().requires_grad_()
            loss = copies[place].loss(shares * budget.full_ranks, sequence)
            # Of the path to the positions alone: no parameter of the shared model gets a gradient.
            return loss.detach(), torch.autograd.grad(loss, shares)[0]

    try:
        # One thread a sequence: the eigendecompositions gain nothing from two.
        results = list(parallel_map(gradient_of, range(settings.batch)))
        loss, gradient = (torch.stack(values).mean(0) for values in zip(*results, strict=True))
    except torch.linalg.LinAlgError:
        loss, gradient = torch.tensor(float("nan")), state.shares
    with torch.enable_grad():
        shares = state.shares.clone().requires_grad_()
        kept = budget.kept(shares)
        (pull,) = torch.autograd.grad(settings.penalty * (kept - budget.kept_target).abs(), shares)
    gradient = gradient + pull
    if not (torch.isfinite(loss) and torch.isfinite(gradient).all()):
        raise UserError(
            f"Learning the truncation positions diverged at step {state.step + 1} (the loss or its gradient is not a "
            "finite number): choose a smaller learning rate, or check the model."
        )
    state.mean = torch.lerp(state.mean, gradient, 0.1)
    state.square = torch.lerp(state.square, gradient.square(), 0.001)
    count = state.step + 1
    update = (state.mean / (1 - 0.9**count)) / ((state.square / (1 - 0.999**count)).sqrt() + 1e-8)
    moved = state.shares - settings.learning_rate * update
    state.shares = moved.clamp(1 / budget.full_ranks, torch.ones_like(moved))
    return loss.item(), kept.item()


def _save(path: Path, key: str, state: _State) -> None:
    with store.atomic_file(path) as temporary:
        save_checked(vars(state), temporary, {"key": key})


def _load(path: Path, key: str, num_sites: int) -> _State | None:
    """The state of a checkpoint of this very run; a damaged or foreign one is removed and counts as absent."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = load_checked(path)
        state, same = _State(**tensors), metadata.get("key") == key
    except (OSError, SafetensorError, TypeError, AttributeError):
        same = False
    if not same or len(state.shares) != num_sites:
        path.unlink(missing_ok=True)
        return None
    return state
