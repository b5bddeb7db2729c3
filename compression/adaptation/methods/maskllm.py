"""MaskLLM: which two of every four weights stay is learned end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.adaptation.base import AdaptationMethod, Setup, register, setting
from compression.adaptation.inputs import norms_at_once
from compression.adaptation.methods.replaced import AdaptedLinear, ReplacingAdapter
from compression.adaptation.methods.two_of_four import NO_TIME_GAINED, counted_zeros, one_shot_masks
from compression.adaptation.structure import linear
from compression.adaptation.types import Removal
from compression.linalg import TWO_OF_FOUR

INITIAL_SPREAD = 0.01
"""Standard deviation of the logits at the start, before the prior."""
TEMPERATURES = (4.0, 0.05)
"""τ at the beginning and at the end of the training."""
SCALES = (1e2, 5e2)
"""κ, what the logits are multiplied by beside the noise, at the beginning and at the end."""


@dataclass
class Sampling:
    """How masks are drawn now; all layers of a model share one."""

    temperature: float = TEMPERATURES[0]
    scale: float = SCALES[0]

    def move(self, progress: float) -> None:
        """Interpolate linearly, `progress` in [0, 1]."""
        self.temperature = TEMPERATURES[0] + progress * (TEMPERATURES[1] - TEMPERATURES[0])
        self.scale = SCALES[0] + progress * (SCALES[1] - SCALES[0])


class MaskedLinear(AdaptedLinear):
    """A frozen weight times a mask drawn from six logits for each group of four weights.

    In training the mask is a soft sample, in evaluation the likeliest pattern.

    Args:
        base: the dense layer.
        prior: boolean (out, in), a 2:4 mask to begin near.
        strength: how near: the prior's pattern begins at so many standard deviations above the logits' mean.
        sampling: shared by all layers.
    """

    def __init__(self, base: nn.Linear, prior: Tensor, strength: float, sampling: Sampling) -> None:
        """Draw logits around the prior."""
        super().__init__(base)
        self.sampling = sampling
        self.patterns: Tensor
        self.register_buffer("patterns", torch.tensor(TWO_OF_FOUR, dtype=base.weight.dtype), persistent=False)
        # Kept weights in common with the prior, minus their mean over the six patterns: 1, 0 or −1.
        likeness = prior.to(base.weight.dtype).view(-1, 4) @ self.patterns.T - 1
        self.logits = nn.Parameter((torch.randn_like(likeness) + strength * likeness) * INITIAL_SPREAD)
        self._evaluated: tuple[int, Tensor] | None = None

    def soft_mask(self) -> Tensor:
        """A sample, (out, in), differentiable in the logits."""
        scaled = self.logits * self.sampling.scale
        choice = F.gumbel_softmax(scaled, tau=self.sampling.temperature, dim=1)
        return (choice @ self.patterns).view(self.base.weight.shape)

    def mask(self) -> Tensor:
        """The likeliest pattern of every group, (out, in)."""
        return self.patterns[self.logits.argmax(1)].view(self.base.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        weight = self.base.weight * self.soft_mask() if self.training else self._masked_weight()
        return F.linear(x, weight, self.base.bias)

    def _masked_weight(self) -> Tensor:
        """`merged_weight`, made once for every state of the logits."""
        version = self.logits._version
        if self._evaluated is None or self._evaluated[0] != version:
            self._evaluated = version, self.merged_weight()
        return self._evaluated[1]

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """The masked weight."""
        return self.base.weight * self.mask()


class MaskLLMAdapter(ReplacingAdapter):
    """Learns the masks; weights and biases stay as they are."""

    def __init__(
        self, setup: Setup, layers: dict[str, MaskedLinear], sampling: Sampling, regularisation: float
    ) -> None:
        """Put the layers into the model."""
        super().__init__(setup, cast(dict[str, AdaptedLinear], layers))
        self.masked = layers
        self.sampling = sampling
        self.regularisation = regularisation

    def before_step(self, progress: float) -> None:
        """Sharpen the samples."""
        self.sampling.move(progress)
        for layer in self.masked.values():
            layer._evaluated = None  # as large as the weights, and not needed while training

    def penalty(self) -> Tensor | None:
        """−λ Σ ‖W ⊙ M‖² over a sample of its own: keeps what stays large, and the gradients with it."""
        if not self.regularisation:
            return None
        energies = [(layer.base.weight * layer.soft_mask()).square().sum() for layer in self.masked.values()]
        return -self.regularisation * torch.stack(energies).sum()

    def removal(self) -> Removal:
        """Zeros of the likeliest masks, counted."""
        return counted_zeros(layer.mask() for layer in self.masked.values())


@register
@dataclass(frozen=True)
class MaskLLM(AdaptationMethod):
    """``y = (W ⊙ M) x`` with ``M = Σ_k softmax((κ p + g)/τ)_k · pattern_k`` for every four weights, g Gumbel noise.

    The six logits p of a group begin as N(0, 0.01²) plus ``strength · 0.01 · (overlap with the prior's mask − 1)``. τ
    falls from 4 to 0.05 and κ grows from 1e2 to 5e2 over the training; the loss has −λ Σ ‖W ⊙ M‖² added. Weights and
    biases are frozen; for a task the head is trained beside the masks.

    Differs from the paper: the prior is Wanda's mask or that of magnitudes, not SparseGPT's; the regulariser looks at a
    sample of its own; thousands of steps on hundreds of GPUs become minutes on a CPU.
    """

    name = "maskllm"
    title = "MaskLLM"
    description = "Learns which two of every four weights stay, beginning near a one-shot mask."
    source = "MaskLLM (2409.17481)"
    warning = NO_TIME_GAINED
    default_learning_rate = 1e-3

    prior_strength: float = setting(3.0, "Strength of the prior", 0.0, 100.0)
    wanda_prior: int = setting(1, "Prior from Wanda (1) or from magnitudes (0)", 0, 1)
    calibration_batches: int = setting(8, "Training batches to look at for the prior", 1, 1024)
    regularisation: float = setting(1e-5, "Weight of the kept energy, lambda", 0.0, 1.0)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> MaskLLMAdapter:
        """Find the prior, and put masked layers in place."""
        norms = None
        if self.wanda_prior:
            norms = norms_at_once(setup, setup.structure.layers, self.calibration_batches)
        priors = one_shot_masks(setup, norms)
        sampling = Sampling()
        layers = {
            name: MaskedLinear(linear(setup.model, name), prior, self.prior_strength, sampling)
            for name, prior in priors.items()
        }
        return MaskLLMAdapter(setup, layers, sampling, self.regularisation)
