"""What an adaptation method is, how its settings describe themselves, and the registry.

A method is a frozen dataclass of settings; `AdaptationMethod.attach` makes of it an `Adapter`: one model in training.
The loop (`compression.adaptation.training`) knows nothing of any method: it asks the adapter for its parameters, adds
its penalty to the loss, tells it of every step, and takes away what it would deploy.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compression.adaptation.structure import ModelStructure, head_parameter_names
from compression.adaptation.types import AdaptMethodInfo, GateMap, Removal
from compression.errors import UserError
from compression.methods.base import check_settings, setting

Batch = Mapping[str, Tensor]
"""What the model is called with, ``labels`` included."""


@dataclass(frozen=True)
class Setup:
    """What a method may look at when it attaches itself.

    Attributes:
        model: the dense model with a fresh head; the adapter may change it, nobody else holds it.
        structure: its blocks.
        target_sparsity: what is asked for.
        batches: makes a fresh pass over training batches (for salience and calibration), the same each time.
        loss: model, batch → mean loss of the task, nats.
        epoch_steps: batches of a whole pass; 0 where nobody knows.
        parts: cuts a batch into the pieces that are computed one after the other.
    """

    model: PreTrainedModel
    structure: ModelStructure
    target_sparsity: float
    batches: Callable[[], Iterable[Batch]]
    loss: Callable[[nn.Module, Batch], Tensor]
    epoch_steps: int = 0
    parts: Callable[[Batch], Sequence[Batch]] = lambda batch: (batch,)


class Adapter(ABC):
    """A model in training. The base class trains the head alone."""

    def __init__(self, setup: Setup) -> None:
        """Freeze everything but head and pooler; a subclass then makes its own parameters trainable."""
        self.setup = setup
        self.model: nn.Module = setup.model
        heads = head_parameter_names(setup.model)
        for name, parameter in setup.model.named_parameters():
            parameter.requires_grad_(name in heads)
        self._head = {id(p) for n, p in setup.model.named_parameters() if n in heads}

    def head_parameters(self) -> list[nn.Parameter]:
        """Trained parameters of head and pooler, which no method counts."""
        return [p for p in self.model.parameters() if p.requires_grad and id(p) in self._head]

    def method_parameters(self) -> list[nn.Parameter]:
        """What the method itself trains."""
        return [p for p in self.model.parameters() if p.requires_grad and id(p) not in self._head]

    def parameter_groups(self, learning_rate: float, head_learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups of AdamW; a learning rate is the one at the peak of the schedule."""
        groups = [
            {"params": self.method_parameters(), "lr": learning_rate},
            {"params": self.head_parameters(), "lr": head_learning_rate},
        ]
        return [group for group in groups if group["params"]]

    def trainable_count(self) -> int:
        """Numbers that the method trains, head and pooler left out."""
        return sum(parameter.numel() for parameter in self.method_parameters())

    def prepare(self, progress: float) -> Iterator[str]:
        """Work that takes longer than a step, in pieces: run before each step, and once more at 1 before `finish`.

        Args:
            progress: of the training, in [0, 1].

        Yields:
            A sentence after each piece.
        """
        yield from ()

    def upcoming(self) -> int:
        """How many steps' worth of time `prepare` is still going to take, so that a plan can leave room for it."""
        return 0

    def before_step(self, progress: float) -> None:  # noqa: B027 - a hook
        """Called before each step, at `progress` in [0, 1) of the training."""

    def penalty(self) -> Tensor | None:
        """What is added to the task's loss, weights included; None for nothing."""
        return None

    def after_backward(self) -> None:  # noqa: B027 - a hook
        """Called with gradients in place, before the optimiser's step (to mask or to read them)."""

    def after_step(self) -> None:  # noqa: B027 - a hook
        """Called after the optimiser's step (to project the parameters, or to end a phase)."""

    def finish(self) -> None:  # noqa: B027 - a hook
        """Called once when training is over, early perhaps, and before anything is deployed."""

    def gates(self) -> tuple[GateMap, ...]:
        """The gates now; empty for methods without."""
        return ()

    def removal(self) -> Removal | None:
        """The counts now; None for methods that remove nothing."""
        return None

    def state(self) -> dict[str, Tensor]:
        """Everything a checkpoint must hold besides optimiser and random state: by default what is trained."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state` of an adapter that was attached with the same settings and seed."""
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in state.items():
                parameters[name].copy_(value)

    def notes(self) -> tuple[str, ...]:
        """Fallbacks and cautions, a sentence each."""
        return ()

    @abstractmethod
    def deploy(self) -> PreTrainedModel:
        """A model in evaluation mode that computes the same in plain layers, smaller where something was removed.

        The adapter is not used afterwards; tensors may be shared with it.
        """


@dataclass(frozen=True)
class AdaptationMethod(ABC):
    """A way to adapt a model. A subclass is a frozen dataclass whose fields (made with `setting`) are its settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    source: ClassVar[str]
    removes: ClassVar[bool] = False
    """Whether it removes weights, so that a target sparsity means something."""
    tasks: ClassVar[tuple[str, ...]] = ("mrpc", "sst2", "era", "lm")
    warning: ClassVar[str | None] = None
    """A sentence that belongs wherever figures of this method are shown."""
    default_learning_rate: ClassVar[float] = 1e-3

    def __post_init__(self) -> None:
        """Check every setting against its range.

        Raises:
            UserError: naming the setting, the range and what came.
        """
        check_settings(self, self.name)

    @abstractmethod
    def attach(self, setup: Setup) -> Adapter:
        """Make a model trainable by this method; at first it computes what the dense model computes."""

    def learning_rate(self, task: str) -> float:
        """Of the method's own parameters, at the peak of the schedule."""
        given = getattr(self, "lr", 0.0)
        return given or self.default_learning_rate


def describe(method: type[AdaptationMethod]) -> AdaptMethodInfo:
    """A method as it describes itself."""
    return AdaptMethodInfo(
        name=method.name,
        title=method.title,
        description=method.description,
        source=method.source,
        removes=method.removes,
        tasks=method.tasks,
        warning=method.warning,
    )


METHODS: dict[str, type[AdaptationMethod]] = {}
"""Name → class. Filled by `register`; importing `compression.adaptation.methods` imports every method."""


def register(method: type[AdaptationMethod]) -> type[AdaptationMethod]:
    """Class decorator that adds a method to `METHODS`.

    Raises:
        ValueError: if the name is taken, or a description is missing.
    """
    for attribute in ("name", "title", "description", "source"):
        if not getattr(method, attribute, ""):
            raise ValueError(f"{method.__name__}.{attribute} is missing")
    if method.name in METHODS:
        raise ValueError(f"the method name {method.name!r} is taken by {METHODS[method.name].__name__}")
    METHODS[method.name] = method
    return method


def create_method(name: str, **settings: Any) -> AdaptationMethod:
    """Build a method by name; settings it does not have are refused.

    Raises:
        UserError: for an unknown name, an unknown setting or a value out of range.
    """
    if name not in METHODS:
        raise UserError(f"There is no adaptation method {name!r}: expected one of {', '.join(METHODS)}.")
    method = METHODS[name]
    fields = {field.name: field for field in dataclasses.fields(method)}
    for unknown in settings.keys() - fields.keys():
        raise UserError(f"{name} has no setting {unknown!r}: expected one of {', '.join(sorted(fields)) or 'none'}.")
    given = {
        key: int(value) if isinstance(fields[key].default, int) and float(value).is_integer() else value
        for key, value in settings.items()
    }
    return method(**given)


__all__ = [
    "METHODS",
    "AdaptationMethod",
    "Adapter",
    "Batch",
    "Setup",
    "create_method",
    "describe",
    "register",
    "setting",
]
