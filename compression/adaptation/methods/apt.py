"""APT: a low-rank adapter whose ranks grow where they matter, while heads and neurons that do not matter leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from compression.adaptation.base import AdaptationMethod, Adapter, Setup, register, setting
from compression.adaptation.gates import Values, gate_maps
from compression.adaptation.methods.replaced import AdaptedLinear
from compression.adaptation.salience import Units, choose_units
from compression.adaptation.shrink import Kept, Open, kept_parts, removed_weights, shrink_units
from compression.adaptation.structure import linear
from compression.adaptation.types import GateMap, Removal

MOMENTUM = 0.85
"""Of the running means of salience and importance."""
PRUNE_START = 0.1
"""Progress at which the first masks begin to fall: until then salience is gathered."""
FALL = 0.1
"""Share of the training that a mask takes from 1 to 0."""
LEAST_NEURONS = 0.05
"""So large a share of a layer's neurons stays at least."""


class DynamicLoRA(AdaptedLinear):
    """``W + s·B A`` of which only the first rows of A and columns of B are in use.

    All that may ever be used is allocated at once; an unused column of B is zero, so that using it changes nothing.
    """

    def __init__(self, base: nn.Linear, rank: int, max_rank: int, scale: float) -> None:
        """Begin with `rank`."""
        super().__init__(base)
        out_features, in_features = base.weight.shape
        self.active = rank
        self.scale = scale
        self.first = nn.Parameter(torch.randn(max_rank, in_features) / math.sqrt(in_features))
        self.second = nn.Parameter(torch.zeros(out_features, max_rank))
        self.importance = 0.0

    @property
    def max_rank(self) -> int:
        """As many as there is room for."""
        return len(self.first)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        inner = F.linear(x, self.first[: self.active])
        return self.base(x) + self.scale * F.linear(inner, self.second[:, : self.active])

    def merged_weight(self) -> Tensor:
        """The weight with the product added, in float64 on the way."""
        product = self.second[:, : self.active].double() @ self.first[: self.active].double()
        return self.base.weight.double() + self.scale * product

    def note_importance(self) -> None:
        """Take in ``Σ |B · ∂L/∂B|`` of the newest gradient."""
        if self.second.grad is not None:
            now = (self.second * self.second.grad).abs().sum().item()
            self.importance = MOMENTUM * self.importance + (1 - MOMENTUM) * now


class MaskedInputs(nn.Module):
    """An output layer whose inputs, whole heads or neurons, can be faded out, and are watched while training.

    Args:
        base: the dense layer.
        units: number of heads or neurons.
    """

    def __init__(self, base: nn.Linear, units: int) -> None:
        """All masks are open."""
        super().__init__()
        self.base = base
        self.mask: Tensor
        self.salience: Tensor
        self.register_buffer("mask", torch.ones(units), persistent=False)
        self.register_buffer("salience", torch.zeros(units), persistent=False)
        self.register_buffer("root_kurtosis", torch.ones(units), persistent=False)
        self.root_kurtosis: Tensor
        self.watching = False

    @property
    def repeat(self) -> int:
        """Inputs that one unit holds."""
        return self.base.in_features // len(self.mask)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in)."""
        hidden = x * self.mask.repeat_interleave(self.repeat)
        if self.watching and hidden.requires_grad:
            self._watch(hidden)
        return self.base(hidden)

    def _watch(self, hidden: Tensor) -> None:
        rows = hidden.detach().reshape(-1, hidden.shape[-1])
        activations = rows.abs().sum(0)
        weight = self.base.weight.detach()
        second, fourth = (
            (rows.pow(power).mean(0) * weight.pow(power).mean(0)).view(len(self.mask), -1).mean(1) for power in (2, 4)
        )
        self.root_kurtosis = (fourth / second.square().clamp_min(1e-30)).sqrt()

        def take(gradient: Tensor) -> None:
            gradients = gradient.reshape(-1, gradient.shape[-1]).abs().sum(0)
            now = (activations * gradients).view(len(self.mask), -1).sum(1)
            self.salience = MOMENTUM * self.salience + (1 - MOMENTUM) * now

        hidden.register_hook(take)


class APTAdapter(Adapter):
    """Adapters on query, value and the MLP's inputs; masks on heads and neurons."""

    def __init__(self, setup: Setup, settings: APT) -> None:
        """Put adapters and masks in place."""
        super().__init__(setup)
        self.settings = settings
        self.shapes = {name: linear(self.model, name).weight.shape for name in setup.structure.layers}
        max_rank = max(settings.rank, settings.max_rank)
        self.adapters: dict[str, DynamicLoRA] = {}
        self.masked: dict[str, MaskedInputs] = {}
        self._progress = 0.0
        self._grown = 0
        self._settled = False
        scale = settings.alpha / settings.rank
        for block in setup.structure.blocks:
            for name in (block.query, block.value, *block.mlp_inputs):
                base = linear(self.model, name)
                self.adapters[name] = DynamicLoRA(base, settings.rank, max_rank, scale)
            for name, units in (
                (block.output, block.key_value_heads),
                (block.mlp_output, self.shapes[block.mlp_output][1]),
            ):
                self.masked[name] = MaskedInputs(linear(self.model, name), units)
        layers: dict[str, nn.Module] = {**self.adapters, **self.masked}
        for name, layer in layers.items():
            self.model.set_submodule(name, layer)

    # --- the schedule -------------------------------------------------------------------------------------------

    def trainable_count(self) -> int:
        """Numbers in use."""
        return sum(layer.active * sum(self.shapes[name]) for name, layer in self.adapters.items())

    def before_step(self, progress: float) -> None:
        """Let masks fall and ranks grow as the schedule says, and watch this step."""
        step, self._progress = progress - self._progress, progress
        end = self.settings.prune_end
        if progress >= end:
            self.finish()
        elif progress >= PRUNE_START:
            # Cubic, as in gradual pruning: fast at first, slow when it hurts.
            share = 1 - (1 - (progress - PRUNE_START) / max(end - PRUNE_START, 1e-6)) ** 3
            closing = self._closing(share)
            for name, layer in self.masked.items():
                change = torch.where(closing[name], -step, step) / FALL
                alive = layer.mask > 0
                layer.mask = torch.where(alive, (layer.mask + change).clamp(0, 1), layer.mask)
        due = int(progress / end * self.settings.growths)
        if progress < end and due > self._grown:
            self._grown = due
            self.grow()
        for layer in self.masked.values():
            layer.watching = not self._settled

    def after_backward(self) -> None:
        """Note how much each adapter matters."""
        for adapter in self.adapters.values():
            adapter.note_importance()

    def after_step(self) -> None:
        """Stop watching: measuring is no training."""
        for layer in self.masked.values():
            layer.watching = False

    def grow(self) -> None:
        """Double the rank of the more important half of the adapters, as far as there is room."""
        ranked = sorted(self.adapters.values(), key=lambda layer: -layer.importance)
        for layer in ranked[: len(ranked) // 2]:
            layer.active = min(2 * layer.active, layer.max_rank)

    def _closing(self, share: float) -> Mapping[str, Tensor]:
        """Which units are to close when this share of the target is to be reached; closed ones are among them."""
        units = []
        for block in self.setup.structure.blocks:
            width = self.shapes[block.query][1]
            group = block.head_dim * (2 * block.heads // block.key_value_heads + 2) * width
            neuron = (len(block.mlp_inputs) + 1) * width
            for name, weights in ((block.output, group), (block.mlp_output, neuron)):
                count = len(self.masked[name].mask)
                least = 1 if name == block.output else max(1, int(LEAST_NEURONS * count))
                units.append((name, weights, least))
        densities = torch.cat([self.masked[name].salience / weights for name, weights, _ in units])
        roots = torch.cat([self.masked[name].root_kurtosis for name, _, _ in units])
        mean_density, mean_root = densities.mean().clamp_min(1e-30), roots.mean().clamp_min(1e-30)
        made = []
        for name, weights, least in units:
            layer = self.masked[name]
            score = layer.salience / weights / mean_density + layer.root_kurtosis / mean_root
            score = torch.where(layer.mask > 0, score, -1.0)  # what is closed already comes first
            made.append(Units(name, (score * weights).cpu(), weights, least))
        total = sum(out * inputs for out, inputs in self.shapes.values())
        return choose_units(made, round(share * self.setup.target_sparsity * total))

    def finish(self) -> None:
        """Close for good what the target asks for, and open the rest."""
        if self._settled:
            return
        closing = self._closing(1.0)
        for name, layer in self.masked.items():
            layer.mask = (~closing[name] & (layer.mask > 0)).to(layer.mask)
        self._settled = True

    # --- what came of it ----------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Kept]:
        """What stays of every layer as the masks are now."""
        return kept_parts(self.setup.structure, self.opened())

    def gates(self) -> tuple[GateMap, ...]:
        """The masks."""
        values = {n: Values(None, layer.mask.repeat_interleave(layer.repeat)) for n, layer in self.masked.items()}
        return gate_maps(self.setup.structure, values, self.opened())

    def opened(self) -> dict[str, Open]:
        """Which rows and columns no mask has closed."""
        opened = {
            name: Open(torch.ones(out, dtype=torch.bool), torch.ones(inputs, dtype=torch.bool))
            for name, (out, inputs) in self.shapes.items()
        }
        for name, layer in self.masked.items():
            opened[name] = Open(opened[name].rows, (layer.mask > 0).repeat_interleave(layer.repeat))
        return opened

    def removal(self) -> Removal:
        """What really leaves; the soft value is the mean of 1 − mask."""
        removed, total = removed_weights(self.kept())
        soft = 1 - torch.cat([layer.mask for layer in self.masked.values()]).mean().item()
        return Removal(self.setup.target_sparsity, soft, removed / total, removed, total)

    def state(self) -> dict[str, Tensor]:
        """What is trained, masks, statistics, ranks and where the schedule is."""
        extra = {
            f"{name}.apt.{part}": getattr(layer, part)
            for name, layer in self.masked.items()
            for part in ("mask", "salience", "root_kurtosis")
        }
        extra |= {
            f"{name}.apt.adapter": torch.tensor([float(layer.active), layer.importance], dtype=torch.float64)
            for name, layer in self.adapters.items()
        }
        schedule = torch.tensor([self._progress, float(self._grown), float(self._settled)], dtype=torch.float64)
        return super().state() | extra | {"apt.schedule": schedule}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        rest = dict(state)
        progress, grown, settled = rest.pop("apt.schedule").tolist()
        self._progress, self._grown, self._settled = progress, int(grown), bool(settled)
        for name, layer in self.masked.items():
            for part in ("mask", "salience", "root_kurtosis"):
                setattr(layer, part, rest.pop(f"{name}.apt.{part}").clone())
        for name, adapter in self.adapters.items():
            active, adapter.importance = rest.pop(f"{name}.apt.adapter").tolist()
            adapter.active = int(active)
        super().load_state(rest)

    def deploy(self) -> PreTrainedModel:
        """The adapters merged, closed heads and neurons gone."""
        self.finish()
        model, structure = self.setup.model, self.setup.structure
        for name, adapter in self.adapters.items():
            model.set_submodule(name, adapter.merge())
        for name, layer in self.masked.items():
            model.set_submodule(name, layer.base)
        heads = [self.masked[block.output].mask > 0 for block in structure.blocks]
        neurons = [self.masked[block.mlp_output].mask > 0 for block in structure.blocks]
        return shrink_units(model, structure, heads, neurons).eval()


@register
@dataclass(frozen=True)
class APT(AdaptationMethod):
    """Adapters ``W + s·B A`` and masks over heads and neurons, both changed while training.

    A unit's salience is ``Σ|H|·Σ|∂L/∂H| + √Kurt(O)``: activations and their gradients summed over the batch, and the
    kurtosis of the products of its outgoing weights with its activations, which protects units that carry outliers.
    Those of least salience a weight close, after a cubic schedule, their masks fading out; and the adapters whose
    ``Σ|B·∂L/∂B|`` is in the upper half get more ranks.

    Differs from the paper: no self-distillation; both terms of the salience are scaled to a mean of one, because the
    first alone depends on the scale of the loss; the kurtosis is taken around zero; dimensions of the residual stream
    stay; heads that share keys and values leave together; what is unused is allocated beforehand, so that memory does
    not fall while training.
    """

    name = "apt"
    title = "APT"
    description = (
        "Low-rank adapters whose ranks grow where they matter, while heads and neurons of little salience leave."
    )
    source = "APT (2401.12200)"
    removes = True
    default_learning_rate = 1e-3

    rank: int = setting(8, "Rank r at the start", 1, 512)
    max_rank: int = setting(32, "Largest rank", 1, 1024)
    alpha: float = setting(16.0, "Scale α, divided by the rank at the start", 0.01, 1024.0)
    growths: int = setting(2, "How often ranks grow", 0, 16)
    prune_end: float = setting(0.6, "Share of the training after which nothing more leaves", 0.15, 0.99)
    lr: float = setting(0.0, "Learning rate, 0 for the default", 0.0, 1.0)

    def attach(self, setup: Setup) -> APTAdapter:
        """Put adapters and masks in place."""
        return APTAdapter(setup, self)
