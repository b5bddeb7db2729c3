"""FineGates, in our schedule for minutes and as published."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compression.adaptation.base import AdaptationMethod, Adapter, Setup, register, setting
from compression.adaptation.gates import GatedLinear, GateVector, Values, gate_maps
from compression.adaptation.inputs import input_grams
from compression.adaptation.salience import Units, choose_units, expected_losses, neurons_together
from compression.adaptation.shrink import Kept, Open, kept_parts, removed_weights, shrink
from compression.adaptation.structure import linear
from compression.adaptation.types import LANGUAGE_MODELLING, GateMap, Removal
from compression.errors import UserError

CLOSED_OPENNESS = 0.3
"""The openness Φ that the warm start reckons with for a gate that is to close; it is 0.5 at the threshold."""
OPEN_OPENNESS = 0.98
"""And for one that stays: μ = 0.53."""
LEAST_NEURONS = 0.05
"""So large a share of a layer's neurons stays at least."""
SALIENCE_BATCHES = 24
REFIT_BATCHES = 24
LEAST_LOGIT = -0.4
"""Gates that stay are not nearer to closing than this: ω ≥ 0.12."""
SPREAD = (0.0, 0.45)
"""Where μ of the gates that are to close begins: the least needed first."""


TEXT_LEARNING_RATE = 1e-3


MANY_BATCHES = 600
"""With so many batches in a pass, minutes see hardly any example often enough to learn it by heart."""


def switch_dropout_off(model: nn.Module) -> None:
    """No dropout in training either: where examples are many, noise only slows down the few numbers that learn.

    (On SST-2, with 19,000 sentences, it helps; on MRPC, with 2,200 pairs, the pairs are learned by heart without it.)
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


@dataclass(frozen=True)
class Schedule:
    """What distinguishes the three recipes.

    Attributes:
        sparsity_loss_weight: λ.
        gate_init_mean: of the logits.
        gate_init_std: of the logits.
        gate_noise_std: of ε.
        gate_lr: learning rate of the gates at the peak.
        sparsity_start: progress at which λ begins.
        settle: progress from which closed gates stay closed and the count is made to meet the target; 1 for never.
        warm_start: whether Fisher information ranks the gates when λ begins.
        everywhere: gates on all rows and columns, as published; else on heads and neurons.
        kurtosis_temperature: τ; 0 for plain means.
        refit: whether the columns that stay are solved anew, by least squares, for what the whole layer gave.
        quiet: whether dropout is switched off where examples are many.
    """

    sparsity_loss_weight: float = 50.0
    gate_init_mean: float = 1.0
    gate_init_std: float = 0.1
    gate_noise_std: float = 0.1
    gate_lr: float = 1e-3
    sparsity_start: float = 0.0
    settle: float = 1.0
    warm_start: bool = False
    everywhere: bool = False
    kurtosis_temperature: float = 0.0
    refit: bool = False
    quiet: bool = False


class GatesAdapter(Adapter):
    """A model with gated layers."""

    def __init__(self, setup: Setup, schedule: Schedule, seed: int = 0):
        """Put `GatedLinear` layers in place; at first all gates are open."""
        super().__init__(setup)
        self.schedule = schedule
        self.layers: dict[str, GatedLinear] = {}
        self._ranked = False
        self._settled = False
        self._targets: dict[int, float] = {}
        self._progress = 0.0
        generator = torch.Generator().manual_seed(seed)

        def vector(count: int, repeat: int = 1) -> GateVector:
            s = schedule
            return GateVector(count, repeat, s.gate_init_mean, s.gate_init_std, s.gate_noise_std, generator)

        for block in setup.structure.blocks:
            for name in block.layers:
                layer = linear(self.model, name)
                rows = columns = None
                if schedule.everywhere:
                    rows, columns = vector(layer.out_features), vector(layer.in_features)
                elif name == block.output:
                    width = block.heads // block.key_value_heads * block.head_dim
                    columns = vector(block.key_value_heads, width)
                elif name == block.mlp_output:
                    columns = vector(layer.in_features)
                gated = GatedLinear(layer, rows, columns)
                gated.watch_inputs = schedule.kurtosis_temperature > 0
                self.layers[name] = gated
                self.model.set_submodule(name, gated)
        if schedule.quiet and setup.epoch_steps >= MANY_BATCHES:
            switch_dropout_off(self.model)

    # --- what is trained ----------------------------------------------------------------------------------------

    def _vectors(self) -> list[GateVector]:
        return [side for layer in self.layers.values() for side in layer.sides()]

    def parameter_groups(self, learning_rate: float, head_learning_rate: float) -> list[dict[str, Any]]:
        """Biases and gates each with a rate of their own; no weight decay on gates."""
        gates = {id(side.logits) for side in self._vectors()}
        own = self.method_parameters()
        groups: list[dict[str, Any]] = [
            {"params": [p for p in own if id(p) not in gates], "lr": learning_rate},
            {"params": [p for p in own if id(p) in gates], "lr": self.schedule.gate_lr, "weight_decay": 0.0},
            {"params": self.head_parameters(), "lr": head_learning_rate},
        ]
        return [group for group in groups if group["params"]]

    # --- the schedule -------------------------------------------------------------------------------------------

    def prepare(self, progress: float) -> Iterator[str]:
        """Rank the gates when λ begins, and close them for good when it is time to settle."""
        self._progress = progress
        schedule = self.schedule
        if schedule.warm_start and not self._ranked and progress >= schedule.sparsity_start:
            self._rank((yield from self._expected_losses()))
        if not self._settled and schedule.settle < 1 and progress >= schedule.settle:
            yield from self._settle()

    def upcoming(self) -> int:
        """The batches that ranking and refitting will look at."""
        ranking = SALIENCE_BATCHES if self.schedule.warm_start and not self._ranked else 0
        return ranking + (REFIT_BATCHES if self.schedule.refit and not self._settled else 0)

    def _expected_losses(self) -> Generator[str, None, dict[int, Tensor]]:
        return (yield from expected_losses(self.setup, list(self.layers.values()), SALIENCE_BATCHES))

    def penalty(self) -> Tensor | None:
        """λ times the mean over the layers of their target losses."""
        if self._progress < self.schedule.sparsity_start or self._settled:
            return None
        default = 1 - self.setup.target_sparsity
        losses = [
            layer.target_loss(self._targets, default, self.schedule.kurtosis_temperature)
            for layer in self.layers.values()
            if layer.sides()
        ]
        return self.schedule.sparsity_loss_weight * torch.stack(losses).mean()

    def _units(self, losses: Mapping[int, Tensor]) -> list[tuple[Units, GateVector]]:
        units = []
        for block in self.setup.structure.blocks:
            width = self.layers[block.query].weight.shape[1]
            group = block.head_dim * (2 * block.heads // block.key_value_heads + 2) * width
            neuron = (len(block.mlp_inputs) + 1) * width
            for name, weights in ((block.output, group), (block.mlp_output, neuron)):
                side = self.layers[name].column_gates
                assert side is not None
                count = len(side.logits)
                if name == block.output:
                    units.append((Units(name, losses[id(side)], weights, 1), side))
                else:
                    least = max(1, int(LEAST_NEURONS * count))
                    units.append((Units(name, losses[id(side)], weights, least, neurons_together(count)), side))
        return units

    def _total(self) -> int:
        return sum(layer.weight.numel() for layer in self.layers.values())

    def _rank(self, losses: Mapping[int, Tensor]) -> None:
        """Let the gates that cost least begin nearest to closing, and give each layer the target that they make."""
        units = self._units(losses)
        closing = choose_units([unit for unit, _ in units], self._target_weights())
        for unit, side in units:
            closed = closing[unit.name]
            count = int(closed.sum())
            order = unit.losses.argsort()
            mu = torch.empty(len(order))
            mu[order[:count]] = torch.linspace(*SPREAD, count) if count else mu[:0]
            mu[order[count:]] = torch.linspace(0.5, 0.76, len(order) - count)
            with torch.no_grad():
                side.logits.copy_(torch.atanh(mu))
            share = count / len(order)
            self._targets[id(side)] = share * CLOSED_OPENNESS + (1 - share) * OPEN_OPENNESS
        self._ranked = True

    def _target_weights(self) -> int:
        return round(self.setup.target_sparsity * self._total())

    def _settle(self) -> Iterator[str]:
        """Close, for good, the gates that learning left lowest, until the target is really removed."""
        levels = {id(side): (side.mu.detach().cpu() + 1) for side in self._vectors()}
        # μ alone decides, not μ for each weight: the plan behind the targets has weighed the sizes already.
        units = [
            (dataclasses.replace(unit, losses=unit.losses * unit.weights), side) for unit, side in self._units(levels)
        ]
        yield from self.close_for_good(choose_units([unit for unit, _ in units], self._target_weights()))

    def close_for_good(self, closing: Mapping[str, Tensor]) -> Iterator[str]:
        """Close gates on columns for good; what stays takes over from what goes, if that is asked for.

        Args:
            closing: layer name → boolean (gates,), true where it closes.

        Yields:
            A sentence after each piece of work.
        """
        losing = [name for name, closed in closing.items() if closed.any()]
        grams = {}
        if self.schedule.refit:
            grams = yield from input_grams(self.setup, losing, REFIT_BATCHES)
        for name, closed in closing.items():
            side = self.layers[name].column_gates
            assert side is not None
            with torch.no_grad():  # the others are open, whatever the noise was about to do
                side.logits[~closed] = side.logits[~closed].clamp_min(LEAST_LOGIT)
            if name in grams:
                self.layers[name].refit(grams[name], ~closed)
            side.close(closed.to(side.fixed.device))
        self._settled = True

    # --- what came of it ----------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Kept]:
        """What stays of every layer as the gates are now."""
        return kept_parts(self.setup.structure, self.opened())

    def opened(self) -> dict[str, Open]:
        """Which rows and columns no gate has closed."""
        return {name: layer.open() for name, layer in self.layers.items()}

    def gates(self) -> tuple[GateMap, ...]:
        """The gates of every layer."""

        def values(side: GateVector | None) -> Tensor | None:
            return None if side is None else side.values(False)

        shown = {
            name: Values(values(layer.row_gates), values(layer.column_gates)) for name, layer in self.layers.items()
        }
        return gate_maps(self.setup.structure, shown, self.opened())

    def removal(self) -> Removal:
        """Target, soft value, and what really leaves."""
        removed, total = removed_weights(self.kept())
        openness = torch.stack([side.openness().detach().mean() for side in self._vectors()]).mean()
        return Removal(self.setup.target_sparsity, 1 - openness.item(), removed / total, removed, total)

    def state(self) -> dict[str, Tensor]:
        """Trained values, closed gates and where the schedule is."""
        fixed = {f"{name}.{side}.fixed": vector.fixed for name, side, vector in self._named_vectors()}
        targets = [self._targets.get(id(vector), -1.0) for vector in self._vectors()]
        flags = torch.tensor([self._ranked, self._settled], dtype=torch.uint8)
        refits = {f"{name}.weight": layer.weight.detach() for name, layer in self.layers.items() if self._refits(name)}
        return super().state() | refits | fixed | {"schedule.flags": flags, "schedule.targets": torch.tensor(targets)}

    def _refits(self, name: str) -> bool:
        """Whether the stored weight of this layer is another one than the dense model's."""
        return self.schedule.refit and self._settled and self.layers[name].column_gates is not None

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        rest = dict(state)
        self._ranked, self._settled = (bool(flag) for flag in rest.pop("schedule.flags"))
        for vector, target in zip(self._vectors(), rest.pop("schedule.targets").tolist(), strict=True):
            if target >= 0:
                self._targets[id(vector)] = target
        for name, side, vector in self._named_vectors():
            vector.fixed.copy_(rest.pop(f"{name}.{side}.fixed"))
        super().load_state(rest)

    def _named_vectors(self) -> list[tuple[str, str, GateVector]]:
        return [
            (name, side, vector)
            for name, layer in self.layers.items()
            for side, vector in (("rows", layer.row_gates), ("columns", layer.column_gates))
            if vector is not None
        ]

    def deploy(self) -> PreTrainedModel:
        """The shrunk model: gates multiplied in, closed rows and columns gone."""
        folded = {name: layer.folded() for name, layer in self.layers.items()}
        return shrink(self.setup.model, self.setup.structure, folded, self.kept()).eval()


def check_structure(setup: Setup) -> None:
    """Refuse a model whose layers are no plain linear layers.

    Raises:
        UserError: naming the first that is not.
    """
    for block in setup.structure.blocks:
        for name in block.layers:
            if not isinstance(setup.model.get_submodule(name), nn.Linear):
                raise UserError(f"{name} is no plain linear layer: give a dense model.")


@dataclass(frozen=True)
class GatedMethod(AdaptationMethod):
    """What our schedule and the published one have in common."""

    removes = True

    sparsity_loss_weight: float = setting(50.0, "Weight of the sparsity loss, lambda", 0, 1000)
    gate_init_mean: float = setting(1.0, "Mean of the gate logits", 0.55, 3)
    gate_init_std: float = setting(0.1, "Standard deviation of the gate logits", 0, 0.5)
    gate_noise_std: float = setting(0.1, "Noise on the gates in training", 0, 1)

    def gated(self, setup: Setup, **own: Any) -> GatesAdapter:
        """Put gates in place.

        Args:
            setup: the dense model and its batches.
            own: fields of the `Schedule` that are no setting of both.
        """
        check_structure(setup)
        common = {field.name: getattr(self, field.name) for field in dataclasses.fields(GatedMethod)}
        return GatesAdapter(setup, Schedule(**common, **own))


@register
@dataclass(frozen=True)
class FineGates(GatedMethod):
    """Gates on heads and neurons, in a schedule for minutes: adapt, rank by Fisher information, close, recover."""

    name = "finegates"
    title = "FineGates"
    description = (
        "Gates that adapt and remove: biases first, then gates ranked by Fisher information are pressed shut, and the "
        "rest recovers."
    )
    source = "FineGates (2602.09169); warm start and schedule are ours"
    default_learning_rate = 3e-3

    gate_lr: float = setting(1e-2, "Learning rate of the gates", 1e-5, 1)
    lr: float = setting(0.0, "Learning rate of the biases, 0 for the default", 0, 1)
    sparsity_start: float = setting(0.3, "Share of the training before the sparsity loss", 0, 0.95)
    settle: float = setting(0.6, "Share of the training after which closed gates stay closed", 0.05, 0.99)
    refit: int = setting(1, "Columns that stay are solved anew (1) or not (0)", 0, 1)

    def learning_rate(self, task: str) -> float:
        """Of the biases; smaller for a language model, whose steps are few and large."""
        return self.lr or (TEXT_LEARNING_RATE if task == LANGUAGE_MODELLING else self.default_learning_rate)

    def attach(self, setup: Setup) -> Adapter:
        """Put gates in place."""
        return self.gated(
            setup,
            gate_lr=self.gate_lr,
            sparsity_start=self.sparsity_start,
            settle=max(self.settle, self.sparsity_start),
            warm_start=True,
            refit=bool(self.refit),
            quiet=True,
        )


@register
@dataclass(frozen=True)
class PublishedFineGates(GatedMethod):
    """The published recipe: gates on every row and column, one learning rate, the sparsity loss from its start on."""

    name = "finegates-published"
    title = "FineGates, published recipe"
    description = "Gates on every row and column, pressed towards one openness from the beginning, as published."
    source = "FineGates (2602.09169)"
    default_learning_rate = 1e-3

    lr: float = setting(0.0, "Learning rate, 0 for the default", 0, 1)
    sparsity_start: float = setting(0.0, "Share of the training before the sparsity loss", 0, 0.95)
    kurtosis_temperature: float = setting(0.0, "Temperature of the kurtosis weights, 0 for plain means", 0, 1e4)

    def attach(self, setup: Setup) -> Adapter:
        """Put gates in place."""
        return self.gated(
            setup,
            gate_lr=self.lr or self.default_learning_rate,
            sparsity_start=self.sparsity_start,
            everywhere=True,
            kurtosis_temperature=self.kurtosis_temperature,
        )
