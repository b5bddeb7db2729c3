"""What ``benchmark`` reports: plain numbers, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.types import Environment

CONVENTION = (
    "accuracy: the largest sum of log-probabilities of a choice's tokens given the query, one space between the two; "
    "accuracy_norm: the same, divided by the choice's number of characters; no examples in the prompt, no chat template"
)


@dataclass(frozen=True)
class TaskScore:
    """One benchmark.

    Attributes:
        accuracy: share of items whose likeliest choice is the right one; for LAMBADA, whose last word is what the model
            would write.
        accuracy_norm: the same with log-likelihoods divided by the number of characters; where all choices are equally
            long (the same continuation after different contexts), and for LAMBADA, equal to `accuracy`.
        stderr: standard error of `accuracy`, by bootstrap over items.
        stderr_norm: of `accuracy_norm`.
        items: number of items.
        chance: expected accuracy of guessing; 0 for LAMBADA.
        correct: item after item ``1`` or ``0``, for paired comparisons.
        correct_norm: likewise, normalised.
        source: where the items come from.
        seconds: time spent.
    """

    accuracy: float
    accuracy_norm: float
    stderr: float
    stderr_norm: float
    items: int
    chance: float
    correct: str
    correct_norm: str
    source: str
    seconds: float


@dataclass(frozen=True)
class BenchmarkReport:
    """What ``benchmark`` writes.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        stored_bits: of the whole model.
        tasks: by id.
        mean_accuracy: over the tasks.
        limit: items a task at most, of MMLU equally many a subject; None for all.
        convention: how a choice is scored, in words.
        notes: cautions, a sentence each.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    stored_bits: int
    tasks: dict[str, TaskScore]
    mean_accuracy: float
    limit: int | None
    convention: str
    notes: tuple[str, ...]
    environment: Environment
