"""What adapting a model is asked for, what it says on the way and what it reports: values without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from compression.errors import UserError
from compression.types import Environment

TASKS = ("mrpc", "sst2", "era", "lm")
"""``mrpc`` and ``sst2``: GLUE's; ``era``: when a sentence of a State of the Union address was said; ``lm``: text."""
LANGUAGE_MODELLING = "lm"
MAX_TARGET = 0.9
"""The largest target sparsity."""
MAX_SEED = 2**31 - 1
"""The largest seed."""


OPTIMIZERS = ("adamw", "muon")
"""What training may step with, see `compression.adaptation.optimizers`."""


@dataclass(frozen=True)
class AdaptSettings:
    """What one run of ``adapt`` does. Hashable, so that it can key a cache.

    Attributes:
        model_id: catalogue id, Hub id or directory.
        method: a name in `compression.adaptation.METHODS`.
        task: one of `TASKS`.
        train: file or folder to train on; empty for what the task brings along.
        evaluation: file or folder to measure on; empty for what the task brings along.
        target_sparsity: for methods that remove, the share of the gated weights they aim at.
        max_minutes: training time; the number of steps is chosen to fit, from the pace of the first steps.
        steps: the number of steps, where it is to be exact; then `max_minutes` only limits.
        seed: of initialisation, order of the data and noise.
        batch_size: examples a step; for ``lm`` sequences a step.
        max_length: tokens an example at most.
        settings: the method's own settings by name, sorted.
    """

    model_id: str
    method: str
    task: str
    train: str = ""
    evaluation: str = ""
    target_sparsity: float = 0.4
    max_minutes: float = 6.0
    steps: int | None = None
    seed: int = 0
    batch_size: int = 16
    max_length: int = 128
    settings: tuple[tuple[str, float | str], ...] = ()

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is loaded.

        Raises:
            UserError: for an unknown task, or a number out of range.
        """
        if self.task not in TASKS:
            raise UserError(f"There is no task {self.task!r}: expected one of {', '.join(TASKS)}.")
        for what, value, low, high in (
            ("target sparsity", self.target_sparsity, 0, MAX_TARGET),
            ("number of minutes", self.max_minutes, 0.05, 24 * 60),
            ("batch size", self.batch_size, 1, 512),
            ("maximum length", self.max_length, 8, 4096),
            ("number of steps", self.steps or 1, 1, 10**6),
            ("seed", self.seed, 0, MAX_SEED),
        ):
            if not low <= value <= high:
                raise UserError(f"The {what} must be from {low} to {high}, but {value} was given.")


class Stop:
    """A request to stop and keep: whoever holds it may ask; training then ends after its running step."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self.asked = False


@dataclass(frozen=True)
class GateMap:
    """How open the gates of one linear layer are.

    Attributes:
        layer: module name, such as ``encoder.layer.0.output.dense``.
        block: index of the block.
        projection: name within the block, such as ``output.dense``.
        rows: gate values of the rows (outputs) in [0, 1], averaged over at most `MAX_CELLS` groups; empty for none.
        columns: the same of the columns (inputs).
        open_rows: share of the rows whose gate is not closed.
        open_columns: share of the columns whose gate is not closed.
        removed_fraction: share of the layer's weights that really leave.
    """

    layer: str
    block: int
    projection: str
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    open_rows: float
    open_columns: float
    removed_fraction: float


MAX_CELLS = 64
"""Groups of rows, or of columns, that a `GateMap` tells apart at most."""


@dataclass(frozen=True)
class Removal:
    """Three figures that are never confused.

    Attributes:
        target_sparsity: what was asked for.
        soft_sparsity: 1 − mean Φ, what the regulariser sees; None where there is no regulariser.
        removed_fraction: share of the gated weights that really leave, counted on the tensors that stay.
        removed_parameters: the same as a number of weights.
        gated_parameters: of how many.
    """

    target_sparsity: float
    soft_sparsity: float | None
    removed_fraction: float
    removed_parameters: int
    gated_parameters: int


@dataclass(frozen=True)
class StepPoint:
    """One point of the training curves.

    Attributes:
        step: steps taken.
        seconds: training time so far.
        loss: of the task on the batch, nats.
        sparsity_loss: the regulariser, λ included; 0 without.
        gradient_norm_squared: of the task's loss with respect to everything trained, squared, averaged over the steps
            since the last point.
        removed_fraction: hard count.
        soft_sparsity: see `Removal`.
    """

    step: int
    seconds: float
    loss: float
    sparsity_loss: float
    gradient_norm_squared: float
    removed_fraction: float
    soft_sparsity: float | None = None


@dataclass(frozen=True)
class Score:
    """What a model does on the examples kept for measuring.

    Attributes:
        step: steps taken.
        items: examples; for ``lm`` scored tokens.
        accuracy: share answered rightly, in [0, 1]; None for ``lm``.
        f1: of class 1 with two classes, else macro-averaged; None for ``lm``.
        loss: mean cross-entropy, nats an example or token.
        perplexity: exp(loss) for ``lm``, else None.
        correct: for each example whether the answer was right, as a string of 0 and 1, for paired intervals.
        window_losses: for ``lm`` the mean loss of each window, nats a token, for paired differences.
    """

    step: int
    items: int
    accuracy: float | None
    f1: float | None
    loss: float
    perplexity: float | None = None
    correct: str = ""
    window_losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Moment:
    """What a step of training shows: the `partial` of an event of stage ``train``.

    Attributes:
        point: the curves' newest point.
        gates: the gates now, layer by layer; empty for methods without.
        removal: the counts now; None for methods that remove nothing.
        score: the newest measurement, if there is one yet.
    """

    point: StepPoint
    gates: tuple[GateMap, ...] = ()
    removal: Removal | None = None
    score: Score | None = None


@dataclass(frozen=True)
class AdaptLatency:
    """Milliseconds a forward pass of what would be deployed, beside the dense original, alternated in one run.

    Attributes:
        batch: examples.
        tokens: tokens an example.
        dense_ms: median of the dense model.
        adapted_ms: median of the deployed model.
        ratio: median of the paired ratios adapted ÷ dense.
        threads: of torch.
    """

    batch: int
    tokens: int
    dense_ms: float
    adapted_ms: float
    ratio: float
    threads: int


@dataclass(frozen=True)
class AdaptRun:
    """One run: a method, a task, a seed.

    Attributes:
        method: name.
        seed: seed.
        accuracy: share answered rightly; None for ``lm``.
        f1: see `Score`.
        removed_fraction: hard count, on the shrunk tensors.
        soft_sparsity: what the regulariser sees; None without.
        trainable_parameters: head and pooler left out.
        latency_ratio: of what would be deployed ÷ dense, batch 1; None if not measured.
        train_seconds: of training alone, without loading and measuring.
        perplexity: for ``lm``.
        settings: what was asked for.
        target_sparsity: what was asked for; None for methods that remove nothing.
        removed_parameters: weights that left.
        gated_parameters: weights that could have left.
        head_parameters: trained parameters of head and pooler.
        score: the measurement.
        steps: steps taken.
        peak_memory_bytes: peak resident memory while training, minus that before it.
        latency: at each batch size.
        stored_bits: of the deployed model's tensors, 16 bits a value.
        original_bits: the dense model's.
        curve: points of the training curves.
        scores: measurements on the way.
        gates: the gates at the end.
        notes: fallbacks and cautions, a sentence each.
        warning: a sentence that belongs wherever figures of this method are shown.
        stopped: why it ended early, a sentence; empty if it did not.
        model_note: caution that belongs to the model.
        environment: where it ran.
    """

    method: str
    seed: int
    accuracy: float | None
    f1: float | None
    removed_fraction: float
    soft_sparsity: float | None
    trainable_parameters: int
    latency_ratio: float | None
    train_seconds: float
    perplexity: float | None
    settings: AdaptSettings
    target_sparsity: float | None
    removed_parameters: int
    gated_parameters: int
    head_parameters: int
    score: Score
    steps: int
    peak_memory_bytes: int
    latency: tuple[AdaptLatency, ...]
    stored_bits: int
    original_bits: int
    curve: tuple[StepPoint, ...]
    scores: tuple[Score, ...]
    gates: tuple[GateMap, ...]
    notes: tuple[str, ...]
    warning: str | None
    stopped: str
    model_note: str
    environment: Environment


@dataclass(frozen=True)
class AdaptMethodInfo:
    """A method of adaptation as it describes itself, for those who cannot import torch.

    Attributes:
        name: key in the registry.
        title: name for people.
        description: what it does, in a sentence.
        source: the paper.
        removes: whether a target sparsity means something to it.
        tasks: those it works for.
        warning: a sentence that belongs wherever its figures are shown.
    """

    name: str
    title: str
    description: str
    source: str
    removes: bool
    tasks: tuple[str, ...]
    warning: str | None = None


@dataclass(frozen=True)
class AdaptReport:
    """What ``adapt`` writes.

    Attributes:
        model_id: of the model.
        model_note: caution that belongs to its figures.
        task: name.
        labels: names of the classes; empty for ``lm``.
        train_source: what was trained on, in words.
        evaluation_source: what was measured on.
        majority: accuracy of always answering the most frequent class; None for ``lm``.
        runs: one for each method, target and seed.
    """

    model_id: str
    model_note: str
    task: str
    labels: tuple[str, ...]
    train_source: str
    evaluation_source: str
    majority: float | None
    runs: tuple[AdaptRun, ...]


@dataclass(frozen=True)
class SiteMask:
    """Which rows and columns of one layer stay.

    Attributes:
        site: the layer's name, such as ``model.layers.3.mlp.down_proj``.
        shape: (out, in).
        kept_rows: outputs that stay, as ranges: first index, and the one behind the last; ascending.
        kept_columns: inputs that stay, likewise.
        removed_fraction: share of the layer's weights that leave.
    """

    site: str
    shape: tuple[int, int]
    kept_rows: tuple[tuple[int, int], ...]
    kept_columns: tuple[tuple[int, int], ...]
    removed_fraction: float


@dataclass(frozen=True)
class GateMasks:
    """What one run removed, layer by layer.

    Attributes:
        model_id: of the model.
        model_note: caution that belongs to its figures.
        method: name.
        target_sparsity: what was asked for.
        removed_fraction: share of the gated weights that really left.
        masks: one a layer.
        environment: where the run was made.
    """

    model_id: str
    model_note: str
    method: str
    target_sparsity: float
    removed_fraction: float
    masks: tuple[SiteMask, ...]
    environment: Environment


def index_ranges(kept: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ascending indices as ranges, see `SiteMask`: 0, 1, 2, 5 → (0, 3), (5, 6)."""
    ranges: list[tuple[int, int]] = []
    for index in kept:
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return tuple(ranges)
