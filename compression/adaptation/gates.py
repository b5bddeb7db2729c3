"""Gates on rows and columns: ``y = ((x ⊙ ω_c) Wᵀ + b) ⊙ ω_r``, learned, and closed where they are not needed.

Source: FineGates (2602.09169), section 3. A gate has a free logit θ; ``μ = tanh θ``. In training
``ω = clamp(μ + ε + 0.5, 0, 1)`` with ``ε ~ N(0, noise²)``, in evaluation the same without ε. It is closed, and what
it gates leaves, iff ``μ ≤ −0.5``; it is fully open iff ``μ ≥ 0.5``. The regulariser sees ``Φ((μ + 0.5) ÷ 0.5)``, the
chance that a gate with a noise of 0.5 is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from compression.adaptation.inputs import refitted
from compression.adaptation.shrink import Folded, Open, kept_parts
from compression.adaptation.structure import ModelStructure
from compression.adaptation.types import MAX_CELLS, GateMap

CLOSED_BELOW = -0.5
"""A gate is closed at this μ and below."""
REGULARISER_STD = 0.5
"""σ of the regulariser; the noise in training has its own."""


class GateVector(nn.Module):
    """Gates for one side of a layer.

    Attributes:
        logits: θ, (gates,).
        fixed: (gates,): 0 where a gate is closed for good, else 1.
    """

    def __init__(self, gates: int, repeat: int, mean: float, std: float, noise: float, generator: torch.Generator):
        """Make open gates.

        Args:
            gates: how many.
            repeat: neighbours that share a gate: 1, or the width of a head.
            mean: of the logits.
            std: of the logits.
            noise: standard deviation of ε in training.
            generator: of the logits. The noise comes from torch's own state, which the loop seeds for every step.
        """
        super().__init__()
        self.repeat = repeat
        self.noise = noise
        self.logits = nn.Parameter(mean + std * torch.randn(gates, generator=generator))
        self.fixed: Tensor
        self.register_buffer("fixed", torch.ones(gates))

    @property
    def mu(self) -> Tensor:
        """Tanh θ, (gates,)."""
        return torch.tanh(self.logits)

    def gates(self, noisy: bool) -> Tensor:
        """ω, (gates,)."""
        mu = self.mu
        if noisy and self.noise:
            mu = mu + self.noise * torch.randn_like(mu)
        return (mu + 0.5).clamp(0, 1) * self.fixed

    def values(self, noisy: bool) -> Tensor:
        """ω for every row or column, (gates · repeat,)."""
        gates = self.gates(noisy)
        return gates if self.repeat == 1 else gates.repeat_interleave(self.repeat)

    def openness(self) -> Tensor:
        """``Φ((μ + 0.5) ÷ 0.5)``, (gates,), in (0.159, 0.999)."""
        return torch.special.ndtr((self.mu + 0.5) / REGULARISER_STD) * self.fixed

    def open(self) -> Tensor:
        """Boolean (gates · repeat,): not closed."""
        return ((self.mu.detach() > CLOSED_BELOW) & (self.fixed > 0)).repeat_interleave(self.repeat)

    @torch.no_grad()
    def close(self, which: Tensor) -> None:
        """Close gates for good: boolean (gates,)."""
        self.fixed[which] = 0


class GatedLinear(nn.Module):
    """A frozen linear layer with gates on its rows, its columns or both, and a bias that is trained.

    Attributes:
        weight: (out, in), not trained.
        bias: (out,); zero at first where the layer had none (a random one, as in the authors' code, would change what
            the model computes).
        row_gates: on the outputs, or None.
        column_gates: on the inputs, or None.
    """

    def __init__(self, layer: nn.Linear, row_gates: GateVector | None, column_gates: GateVector | None):
        """Take over the weight of a layer."""
        super().__init__()
        self.weight = layer.weight
        self.weight.requires_grad_(False)
        self.had_bias = layer.bias is not None
        bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().clone()
        self.bias = nn.Parameter(bias.to(layer.weight.device))
        self.row_gates = row_gates
        self.column_gates = column_gates
        self.mean_input: Tensor | None = None
        self.watch_inputs = False
        self.probes: dict[int, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., in), giving (..., out)."""
        if self.probes is not None:
            return self._forward_with_probes(x, self.probes)
        if self.watch_inputs:
            self.mean_input = x.detach().flatten(0, -2).mean(0)
        if self.column_gates is not None:
            x = x * self.column_gates.values(self.training).to(x.dtype)
        y = F.linear(x, self.weight, self.bias)
        return y if self.row_gates is None else y * self.row_gates.values(self.training).to(y.dtype)

    def _forward_with_probes(self, x: Tensor, probes: dict[int, Tensor]) -> Tensor:
        """As in evaluation, each example (first dimension) with gates of its own, whose gradients can be read."""

        def probed(side: GateVector, values: Tensor) -> Tensor:
            probe = side.values(False).detach().expand(len(values), 1, -1).clone().requires_grad_()
            probes[id(side)] = probe
            return values * probe

        if self.column_gates is not None:
            x = probed(self.column_gates, x)
        y = F.linear(x, self.weight, self.bias)
        return y if self.row_gates is None else probed(self.row_gates, y)

    def folded(self) -> Folded:
        """Weight and bias with the gates of evaluation multiplied in."""
        weight = self.weight.detach()
        # A bias of zeros that nobody trained is no part of the model.
        bias = self.bias.detach() if self.had_bias or self.bias.requires_grad else None
        if self.column_gates is not None:
            weight = weight * self.column_gates.values(False).detach()
        if self.row_gates is not None:
            rows = self.row_gates.values(False).detach()
            weight, bias = weight * rows[:, None], None if bias is None else bias * rows
        return Folded(weight, bias)

    @torch.no_grad()
    def refit(self, gram: Tensor, columns: Tensor) -> None:
        """Let the columns that stay give, by least squares, what all columns give now; gates keep their values.

        Args:
            gram: XᵀX of the inputs before the gates, (in, in).
            columns: boolean (gates,): those whose gate stays, and is not zero.
        """
        assert self.column_gates is not None
        gates = self.column_gates.values(False)
        kept = columns.repeat_interleave(self.column_gates.repeat).to(gates.device)
        fitted = refitted(self.weight * gates, gram, kept)
        self.weight.copy_(torch.where(kept, fitted / gates, fitted))

    def open(self) -> Open:
        """Rows and columns that no gate closes."""
        rows, columns = self.weight.shape
        return Open(
            torch.ones(rows, dtype=torch.bool) if self.row_gates is None else self.row_gates.open().cpu(),
            torch.ones(columns, dtype=torch.bool) if self.column_gates is None else self.column_gates.open().cpu(),
        )

    def sides(self) -> list[GateVector]:
        """The gates that there are."""
        return [side for side in (self.row_gates, self.column_gates) if side is not None]

    def target_loss(self, kept_targets: Mapping[int, float], default: float, kurtosis_temperature: float) -> Tensor:
        """``½ (|mean Φ of the rows − target| + |mean Φ of the columns − target|)``, of the sides that have gates.

        Args:
            kept_targets: ``id`` of a `GateVector` → the mean openness it aims at.
            default: what the others aim at, ``1 − s``.
            kurtosis_temperature: 0 for plain means; else τ of `kurtosis_weights`.
        """
        weights: tuple[Tensor | None, Tensor | None] = (None, None)
        if kurtosis_temperature and self.mean_input is not None:
            weights = kurtosis_weights(self.mean_input * self.weight, self.open(), kurtosis_temperature)
        losses = []
        for side, share in zip((self.row_gates, self.column_gates), weights, strict=True):
            if side is None:
                continue
            openness = side.openness()
            mean = openness.mean() if share is None or side.repeat > 1 else (openness * share).sum()
            losses.append((mean - kept_targets.get(id(side), default)).abs())
        return torch.stack(losses).mean()


def kurtosis_weights(activations: Tensor, opened: Open, temperature: float) -> tuple[Tensor, Tensor]:
    """Weights of the rows and of the columns in a layer's mean openness, each summing to 1, 0 where closed.

    ``softmax(−√kurtosis ÷ τ)``: a row or column with heavy tails, where few entries carry everything, counts less and
    is pressed less.

    Args:
        activations: mean input times weight, (out, in).
        opened: rows and columns that are not closed.
        temperature: τ.

    Source: FineGates (2602.09169), the option of its code.
    """
    part = activations[opened.rows][:, opened.columns].detach().float()

    def along(dimension: int, places: Tensor) -> Tensor:
        centred = part - part.mean(dimension, keepdim=True)
        spread = centred.square().mean(dimension, keepdim=True).clamp_min(1e-30)
        kurtosis = (centred.square() / spread).square().mean(dimension)
        weights = torch.zeros(len(places))
        weights[places] = torch.softmax(-kurtosis.sqrt() / temperature, 0)
        return weights

    return along(1, opened.rows), along(0, opened.columns)


@dataclass(frozen=True)
class Values:
    """Gate values in [0, 1] of a layer's rows and columns, (out,) and (in,); None for a side without gates."""

    rows: Tensor | None
    columns: Tensor | None


def gate_maps(
    structure: ModelStructure, values: Mapping[str, Values], opened: Mapping[str, Open]
) -> tuple[GateMap, ...]:
    """The gates of all layers for a picture: neighbours averaged until there are at most `MAX_CELLS` cells a side.

    Args:
        structure: of the model.
        values: layer name → its gates; a layer that is missing has none.
        opened: layer name → what is not closed.
    """

    def cells(side: Tensor | None) -> tuple[float, ...]:
        if side is None:
            return ()
        means = F.adaptive_avg_pool1d(side.detach().cpu()[None, None], min(MAX_CELLS, len(side)))[0, 0]
        return tuple(round(float(value), 3) for value in means)

    kept, none = kept_parts(structure, opened), Values(None, None)
    return tuple(
        GateMap(
            layer=name,
            block=block.index,
            projection=name.removeprefix(f"{block.path}."),
            rows=cells(values.get(name, none).rows),
            columns=cells(values.get(name, none).columns),
            open_rows=opened[name].rows.float().mean().item(),
            open_columns=opened[name].columns.float().mean().item(),
            removed_fraction=1 - kept[name].stored / kept[name].total,
        )
        for block in structure.blocks
        for name in block.layers
    )
