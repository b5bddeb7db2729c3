"""What ``distill`` is asked and what it answers: plain values, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.adaptation.types import MAX_SEED, OPTIMIZERS, StepPoint
from compression.errors import UserError
from compression.types import Environment, PerplexityReport

WHAT = ("factors", "lora")
"""What a student trains: the factors of its compressed layers in place, or adapters beside all layers."""


@dataclass(frozen=True)
class DistillSettings:
    """What one run does. Hashable, so that it can key a cache.

    Attributes:
        teacher: catalogue id, Hub id or directory of a dense model.
        student: a folder that ``compress`` wrote, or a smaller dense model with the same tokenizer.
        what: of `WHAT`; adapters go with dense layers too, factors with compressed ones alone.
        optimizer: of `OPTIMIZERS`.
        seed: of initialisation and of the order of the text.
        rank: of the adapters.
        lora_alpha: of the adapters, divided by the rank.
        alpha: share of the distance to the teacher in the loss; the rest is that of the next token.
        temperature: T, by which logits are divided for that distance.
        learning_rate: at the peak; 0 for the default of `what`.
        max_minutes: training time; as many steps are taken as fit.
        steps: exact number of steps; then the minutes only limit.
        train: text to learn from.
        text: text to measure on.
        window: tokens a window.
        max_windows: number of windows; None for all.
        bits: to which the recovered student is quantised by GPTQ as well; 0 for not at all.
        group_size: neighbouring weights of a row that share a scale there; 0 for whole rows.
        calibration: text that GPTQ is calibrated on.
        calibration_sequences: number of its sequences.
        sequence_length: tokens each.
    """

    teacher: str
    student: str
    what: str = "lora"
    optimizer: str = "adamw"
    seed: int = 0
    rank: int = 8
    lora_alpha: float = 16.0
    alpha: float = 0.5
    temperature: float = 2.0
    learning_rate: float = 0.0
    max_minutes: float = 10.0
    steps: int | None = None
    train: str = ""
    text: str = ""
    window: int = 1024
    max_windows: int | None = 4
    bits: int = 0
    group_size: int = 128
    calibration: str = ""
    calibration_sequences: int = 32
    sequence_length: int = 512

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is loaded.

        Raises:
            UserError: naming the value.
        """
        if self.what not in WHAT:
            raise UserError(f"A student trains {' or '.join(WHAT)}, but {self.what!r} was asked for.")
        if self.optimizer not in OPTIMIZERS:
            raise UserError(f"There is no optimiser {self.optimizer!r}: expected {' or '.join(OPTIMIZERS)}.")
        for what, value, low, high in (
            ("seed", self.seed, 0, MAX_SEED),
            ("rank of the adapters", self.rank, 1, 1024),
            ("scale of the adapters", self.lora_alpha, 0.01, 4096),
            ("share of the teacher in the loss", self.alpha, 0, 1),
            ("temperature", self.temperature, 0.1, 100),
            ("learning rate", self.learning_rate, 0, 1),
            ("number of minutes", self.max_minutes, 0.05, 24 * 60),
            ("number of steps", self.steps or 1, 1, 10**6),
        ):
            if not low <= value <= high:
                raise UserError(f"The {what} must be from {low} to {high}, but {value} was given.")
        if self.bits and not 2 <= self.bits <= 8:
            raise UserError(f"GPTQ afterwards takes 2 to 8 bits, or 0 for none, but {self.bits} was given.")


@dataclass(frozen=True)
class DistillRun:
    """A student after learning.

    Attributes:
        settings: what was asked for.
        perplexity: after learning.
        measured: the measurement with its convention.
        gap_closed: share of the distance to the teacher in log-perplexity that was made good; 1 is the teacher. None
            where the student was no worse than the teacher to begin with.
        quantized_perplexity: after GPTQ on top; None where it was not asked for.
        quantized_bits: stored bits of the model after GPTQ; None where it was not asked for.
        trainable_parameters: numbers that were trained.
        stored_bits: of the whole student afterwards.
        steps: taken.
        train_seconds: training time.
        peak_memory_bytes: peak resident memory while training minus that before.
        curve: loss and squared gradient norm on the way.
        stopped: why it ended early; empty if it did not.
    """

    settings: DistillSettings
    perplexity: float
    measured: PerplexityReport
    gap_closed: float | None
    quantized_perplexity: float | None
    quantized_bits: int | None
    trainable_parameters: int
    stored_bits: int
    steps: int
    train_seconds: float
    peak_memory_bytes: int
    curve: tuple[StepPoint, ...]
    stopped: str = ""


@dataclass(frozen=True)
class DistillReport:
    """What ``distill`` writes.

    Attributes:
        teacher: the dense model, measured.
        student: before learning, measured.
        student_quantized: before learning, after GPTQ on top; None where it was not asked for.
        train_source: the text that was learned from.
        model_note: a caution that belongs wherever these figures appear.
        runs: one for each optimiser and seed.
        environment: where it was measured.
    """

    teacher: PerplexityReport
    student: PerplexityReport
    student_quantized: float | None
    train_source: str
    model_note: str
    runs: tuple[DistillRun, ...]
    environment: Environment
