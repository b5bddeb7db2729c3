"""The one training loop of all adaptation methods: a stream of events, seeded, resumable, and stopped without loss."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydantic
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from compression import store
from compression.adaptation.base import Adapter, Batch
from compression.adaptation.optimizers import Optimizers, make_optimizers
from compression.adaptation.peak_memory import PeakMemory
from compression.adaptation.precision import products
from compression.adaptation.types import Moment, Score, StepPoint, Stop
from compression.errors import UserError
from compression.tensors import load_checked, save_checked
from compression.types import Progress

WARM_UP = 0.06
"""Share of the steps over which the learning rate rises; then it falls to zero in a line."""
PACE_BATCHES = 5
"""So many batches, of lengths spread over all there are, tell how long a step takes."""
MARGIN = 0.96
"""Share of the time that is planned for: machines are not always equally fast."""
PACE_CHECKS = 20
"""So often in a training its pace is looked at again."""
PACE_TOLERANCE = 0.03
"""A share of the time by which the expected end may miss it before the rest is planned anew."""
OVERTIME = 1.2
"""At so many times the allowed minutes training ends, whatever was planned."""
EVENT_SECONDS = 0.9
"""At least so often an event shows the gates."""
CHECKPOINT_SECONDS = 60.0
SCORES_ON_THE_WAY = 5
MAX_CURVE_POINTS = 400
MAX_GRADIENT_NORM = 1.0
MAX_EPOCHS = 100
"""As many as the longest published recipe has."""


class Problem(ABC):
    """What is trained and measured: a task with its examples."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, in an order that the epoch and the seed decide."""

    @abstractmethod
    def spread_batches(self, count: int) -> list[Batch]:
        """A few batches whose lengths are spread over all there are."""

    def parts(self, batch: Batch) -> Sequence[Batch]:
        """Cut a batch into equal pieces that are computed one after the other; their mean loss is the batch's."""
        return (batch,)

    @property
    @abstractmethod
    def epoch_steps(self) -> int:
        """Number of batches of an epoch."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss of a batch, nats."""

    @abstractmethod
    def measure(self, model: nn.Module, step: int, quick: bool) -> Generator[Progress, None, Score]:
        """Measure a model in evaluation mode; on part of the examples only if it must be quick."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        minutes: allowed training time.
        steps: exact number of steps, or None for as many as fit.
        learning_rate: of the method's parameters, at the peak.
        head_learning_rate: of head and pooler, at the peak.
        seed: of dropout and noise.
        weight_decay: of the optimisers.
        optimizer: of `compression.adaptation.optimizers.OPTIMIZERS`.
    """

    minutes: float
    steps: int | None
    learning_rate: float
    head_learning_rate: float
    seed: int
    weight_decay: float = 0.01
    optimizer: str = "adamw"


@dataclass
class Trained:
    """What training leaves.

    Attributes:
        steps: steps taken.
        planned: steps planned.
        turn: the step at which the rest was last planned anew, and the progress there.
        seconds: training time, measuring left out.
        curve: points of the curves.
        scores: measurements on the way.
        peak_memory: peak resident memory minus that before training, bytes.
        stopped: why it ended early; empty if it did not.
    """

    steps: int = 0
    planned: int = 0
    turn: tuple[int, float] = (0, 0.0)
    seconds: float = 0.0
    curve: list[StepPoint] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    peak_memory: int = 0
    stopped: str = ""

    def progress(self, more: int = 0) -> float:
        """Where the schedule is after `more` further steps, from 0 to 1; planning anew makes it go slower or faster."""
        step, there = self.turn
        return there + (1 - there) * (self.steps + more - step) / max(self.planned - step, 1)

    def plan_anew(self, planned: int) -> None:
        """From here on, take another number of steps to the end."""
        self.turn = self.steps, self.progress()
        self.planned = planned


_DONE = pydantic.TypeAdapter(Trained)


def train(
    adapter: Adapter,
    problem: Problem,
    plan: Plan,
    checkpoint: Path | None = None,
    key: str = "",
    stop: Stop | None = None,
) -> Generator[Progress, None, Trained]:
    """Train an adapter.

    Every step has a random state of its own, made from the seed and the step, so that a run that goes on from a
    checkpoint ends as one that never stopped (the number of steps is in the checkpoint, and the first one is written as
    soon as it is known). Where the time is given, the
    pace is looked at on the way: on a machine that becomes slower or faster the schedule of the rest is stretched, so
    that it still comes to its end in time. Closing the generator stops; the checkpoint stays.

    Args:
        adapter: what is trained.
        problem: on what.
        plan: how.
        checkpoint: a file for the state; one found there of the same `key` is continued.
        key: of this very run.
        stop: asks to stop and to keep what is there.

    Yields:
        Events of stage ``train``, or ``prepare`` while it ranks, refits or measures, whose `partial` is a `Moment`.

    Raises:
        UserError: if the loss is no finite number from the beginning.
    """
    groups = adapter.parameter_groups(plan.learning_rate, plan.head_learning_rate)
    if not any(group["params"] for group in groups):
        done, memory = Trained(planned=1), PeakMemory()
        yield from _prepared(adapter, done, 1.0)
        adapter.finish()
        done.peak_memory = memory.look()
        yield Progress("train", 1, 1, "nothing is trained")
        return done
    optimizer = make_optimizers(plan.optimizer, groups, plan.weight_decay)
    peaks = [group["lr"] for group in optimizer.param_groups]
    done = Trained()
    if checkpoint is not None:
        done = _load(checkpoint, key, adapter, optimizer) or done
    memory = PeakMemory()
    if not done.planned:
        yield Progress("train", 0, 1, "timing a step")
        done.planned = plan.steps or _fitting_steps(adapter, problem, plan)
        if checkpoint is not None and plan.steps is None:
            # A stopwatch made the plan: killed at once and begun again, the training must not be another one.
            _save(checkpoint, key, adapter, optimizer, done)
    loop = _Loop(adapter, problem, plan, optimizer, peaks, done)
    shown = noted = saved = time.perf_counter()
    good = _copy(adapter.state())
    score_every = max(1, done.planned // SCORES_ON_THE_WAY)
    while done.steps < done.planned:
        yield from _prepared(adapter, done, done.progress())
        for _ in loop.step():
            if time.perf_counter() - shown >= EVENT_SECONDS:
                shown = time.perf_counter()
                yield Progress("train", done.steps, done.planned, _sentence(done), _moment(adapter, done))
        if not loop.finite:
            adapter.load_state(good)
            done.stopped = (
                f"The loss stopped being a number at step {done.steps + 1}: training ended with the last good state; "
                "choose a smaller learning rate."
            )
            break
        if plan.steps is None:
            loop.keep_to_time()
        if done.steps % 25 == 0:
            done.peak_memory = max(done.peak_memory, memory.look())
            good = _copy(adapter.state())
        now = time.perf_counter()
        if done.steps % score_every == 0 and done.steps < done.planned:
            done.scores.append((yield from _measured(adapter, problem, done)))
            now = time.perf_counter()
        if now - noted >= EVENT_SECONDS or done.steps in (1, done.planned):
            shown = noted = now
            loop.note()
            yield Progress("train", done.steps, done.planned, _sentence(done), _moment(adapter, done))
        if checkpoint is not None and now - saved >= CHECKPOINT_SECONDS:
            saved = now
            _save(checkpoint, key, adapter, optimizer, done)
        if stop is not None and stop.asked:
            done.stopped = f"Stopped after {done.steps} of {done.planned} steps; what was learned until then is kept."
            break
        if done.seconds > OVERTIME * 60 * plan.minutes and plan.steps is None:
            done.stopped = f"The time was up after {done.steps} of {done.planned} steps: the machine became slower."
            break
    yield from _prepared(adapter, done, 1.0)
    adapter.finish()
    done.peak_memory = max(done.peak_memory, memory.look())
    yield Progress("train", done.steps, done.planned, _sentence(done), _moment(adapter, done))
    return done


class _Loop:
    """Steps, one at a time."""

    def __init__(
        self,
        adapter: Adapter,
        problem: Problem,
        plan: Plan,
        optimizer: Optimizers,
        peaks: list[float],
        done: Trained,
    ) -> None:
        self.adapter, self.problem, self.plan, self.optimizer = adapter, problem, plan, optimizer
        self.peaks, self.done = peaks, done
        self._stream = self._batches()
        self.finite = True
        """Whether loss and gradient of the last step are numbers."""
        self._squares: list[float] = []
        self._last: tuple[float, float] = (0.0, 0.0)
        left = 60 * plan.minutes - done.seconds
        self._pace = max(left, 0.0) / max(done.planned - done.steps + adapter.upcoming(), 1)
        self._checked = done.steps, done.progress()
        self._seconds = 0.0

    def _batches(self) -> Iterator[Batch]:
        epoch, skip = divmod(self.done.steps, max(self.problem.epoch_steps, 1))
        while True:
            for index, batch in enumerate(self.problem.batches(epoch)):
                if index >= skip:
                    yield batch
            epoch, skip = epoch + 1, 0

    def step(self) -> Iterator[None]:
        """Take a step, with a pause between the parts of its batch; with nothing changed if it is not `finite`."""
        adapter, done = self.adapter, self.done
        parts = self.problem.parts(next(self._stream))
        progress = done.progress()
        rate = min(done.progress(1) / WARM_UP, 1.0) * (1 - progress)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        adapter.model.train()
        adapter.before_step(progress)
        self.optimizer.zero_grad()
        seconds = loss = 0.0
        for index, part in enumerate(parts):
            started = time.perf_counter()
            with self._seeded(index):
                with products(adapter.model):
                    own = self.problem.loss(adapter.model, part) / len(parts)
                own.backward()  # type: ignore[no-untyped-call]
            loss += own.item()
            seconds += time.perf_counter() - started
            if index + 1 < len(parts):
                yield
        started = time.perf_counter()
        with self._seeded(len(parts)):
            self._update(loss)
        seconds += time.perf_counter() - started
        if self.finite:
            done.steps += 1
            done.seconds += seconds
            self._seconds += seconds

    @contextmanager
    def _seeded(self, part: int) -> Iterator[None]:
        """A random state of this part of this step's own."""
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(1_000_003 * (self.plan.seed + 1009 * part) + self.done.steps)
            yield

    def _update(self, loss: float) -> None:
        """Add the gradient of the penalty to that of the loss, and go along it if both are finite."""
        adapter = self.adapter
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        square = sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
        penalty = adapter.penalty()
        if penalty is not None and penalty.requires_grad:
            penalty.backward()  # type: ignore[no-untyped-call]
        self.finite = math.isfinite(loss) and math.isfinite(square)
        if not self.finite:
            return
        adapter.after_backward()
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], MAX_GRADIENT_NORM)
        self.optimizer.step()
        adapter.after_step()
        self._squares.append(square)
        self._last = loss, 0.0 if penalty is None else penalty.item()

    def keep_to_time(self) -> None:
        """Plan the rest anew if, at the pace of late, it would not end in time."""
        done, allowed, (step, progress) = self.done, 60 * self.plan.minutes, self._checked
        since = max(done.progress() - progress, self._seconds / allowed)
        if since < 1 / PACE_CHECKS or done.steps >= done.planned:
            return
        # Batches differ in length, so a few of them say little: what was known counts like one look as planned.
        steps, known = done.steps - step, done.planned / PACE_CHECKS
        self._pace = (self._seconds + known * self._pace) / (steps + known)
        left = allowed - done.seconds - self._pace * self.adapter.upcoming()
        if abs(self._pace * (done.planned - done.steps) - left) > PACE_TOLERANCE * allowed:
            fitting = min(done.steps + int(MARGIN * left / self._pace), MAX_EPOCHS * self.problem.epoch_steps)
            done.plan_anew(max(done.steps + 1, fitting))
        self._checked, self._seconds = (done.steps, done.progress()), 0.0

    def note(self) -> None:
        """Add a point to the curves."""
        removal = self.adapter.removal()
        done = self.done
        done.curve.append(
            StepPoint(
                done.steps,
                round(done.seconds, 2),
                self._last[0],
                self._last[1],
                sum(self._squares) / max(len(self._squares), 1),
                removal.removed_fraction if removal else 0.0,
                removal.soft_sparsity if removal else None,
            )
        )
        self._squares.clear()
        if len(done.curve) > MAX_CURVE_POINTS:
            del done.curve[1:-1:2]


def _fitting_steps(adapter: Adapter, problem: Problem, plan: Plan) -> int:
    """How many steps the time allows, from a few forward and backward passes that change nothing."""
    batches = problem.spread_batches(PACE_BATCHES)
    parameters = [p for p in adapter.model.parameters() if p.requires_grad]
    seconds = []
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        adapter.model.train()
        for index, batch in enumerate([batches[0], *batches]):
            started = time.perf_counter()
            for part in problem.parts(batch):
                with products(adapter.model):
                    loss = problem.loss(adapter.model, part)
                if not torch.isfinite(loss):
                    raise UserError(
                        "The loss is no finite number before any training: the model or its data is damaged."
                    )
                torch.autograd.grad(loss, parameters, allow_unused=True)
            if index:  # the first one warms up
                seconds.append(time.perf_counter() - started)
    pace = sum(seconds) / len(seconds) * 1.1 + 1e-8 * sum(p.numel() for p in parameters)
    fitting = int(MARGIN * 60 * plan.minutes / pace) - adapter.upcoming()
    return max(1, min(fitting, MAX_EPOCHS * problem.epoch_steps))


def _prepared(adapter: Adapter, done: Trained, progress: float) -> Generator[Progress, None, None]:
    """Let the adapter do what takes longer than a step; its time counts as training."""
    started = time.perf_counter()
    for sentence in adapter.prepare(progress):
        done.seconds += time.perf_counter() - started
        yield Progress("prepare", done.steps, done.planned, sentence, _moment(adapter, done))
        started = time.perf_counter()
    done.seconds += time.perf_counter() - started


def _measured(adapter: Adapter, problem: Problem, done: Trained) -> Generator[Progress, None, Score]:
    """Measure on the way; the pictures stay alive meanwhile."""
    adapter.model.eval()
    steps = problem.measure(adapter.model, done.steps, quick=True)
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            score: Score = stop.value
            return score
        yield Progress("prepare", done.steps, done.planned, event.message, _moment(adapter, done))


def _moment(adapter: Adapter, done: Trained) -> Moment | None:
    if not done.curve:
        return None
    return Moment(done.curve[-1], adapter.gates(), adapter.removal(), done.scores[-1] if done.scores else None)


def _sentence(done: Trained) -> str:
    loss = f", loss {done.curve[-1].loss:.3f}" if done.curve else ""
    removed = f", removed {done.curve[-1].removed_fraction:.1%}" if done.curve else ""
    return f"training: step {done.steps} of {done.planned}{loss}{removed}"


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}


# --- checkpoints ------------------------------------------------------------------------------------------------------


def _save(path: Path, key: str, adapter: Adapter, optimizer: Optimizers, done: Trained) -> None:
    tensors = {f"adapter.{name}": tensor.contiguous() for name, tensor in _copy(adapter.state()).items()}
    for index, state in optimizer.state().items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value).clone() for name, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.atomic_file(path) as temporary:
        save_checked(tensors, temporary, {"key": key, "done": _DONE.dump_json(done).decode()})


def _load(path: Path, key: str, adapter: Adapter, optimizer: Optimizers) -> Trained | None:
    """The state of a checkpoint of this very run; a damaged or foreign one is removed and counts as absent."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = load_checked(path)
        if metadata.get("key") != key:
            raise KeyError("another run")
        done = _DONE.validate_json(metadata["done"])
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, part = name.split(".", 2)
                states.setdefault(int(index), {})[part] = tensor
        adapter.load_state({n.removeprefix("adapter."): t for n, t in tensors.items() if n.startswith("adapter.")})
        optimizer.load_state(states)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError, UserError):
        path.unlink(missing_ok=True)
        return None
    return done
