"""What ``mix`` reports: plain numbers, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.types import CalibrationSettings, Environment, PerplexityReport


@dataclass(frozen=True)
class Choice:
    """One way to store a layer.

    Attributes:
        removed_fraction: what the method removes at 16 bits a value; 0 for a dense matrix.
        bits: of a value, 16 for not quantised.
        group_size: values that share a scale; 0 at 16 bits.
    """

    removed_fraction: float
    bits: int
    group_size: int


@dataclass(frozen=True)
class MixTable:
    """What every choice costs in every layer.

    Attributes:
        choices: the choices, the same for all layers.
        stored_bits: site name → bits of each choice.
        losses: site name → predicted change of the loss of each choice, in nats a token.
    """

    choices: tuple[Choice, ...]
    stored_bits: dict[str, tuple[int, ...]]
    losses: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class ChoiceCount:
    """How much of a model is stored in one way.

    Attributes:
        choice: the way.
        layers: number of layers.
        weights: their weights.
    """

    choice: Choice
    layers: int
    weights: int


@dataclass(frozen=True)
class MixRun:
    """One way to meet the budget, measured.

    Attributes:
        name: ``gptq``, or a method, or ``METHOD + gptq``, or ``joint``.
        bits_per_weight: stored bits of the compressible layers over their weights.
        stored_bits: of the whole model, 16 for each value that is not touched.
        perplexity: exp of the pooled loss.
        measured: the measurement with its convention.
        parts: how the layers are stored.
        predicted_loss: change of the loss that the table predicts for its kind at its size, in nats a token; None where
            no table tells.
        taken_from: of the joint choice, name of the way that measured better than the mix by layer and took its place;
            empty where the mix stands.
    """

    name: str
    bits_per_weight: float
    stored_bits: int
    perplexity: float
    measured: PerplexityReport
    parts: tuple[ChoiceCount, ...]
    predicted_loss: float | None = None
    taken_from: str = ""


@dataclass(frozen=True)
class CurvePoint:
    """What a budget is predicted to cost.

    Attributes:
        bits_per_weight: stored bits of the compressible layers over their weights; at most the budget.
        stored_bits: of the whole model.
        predicted_loss: predicted change of the loss, in nats a token.
        perplexity: what follows with `BudgetCurve.coefficient`; None where the change is beyond what it was fitted on.
    """

    bits_per_weight: float
    stored_bits: int
    predicted_loss: float
    perplexity: float | None


@dataclass(frozen=True)
class BudgetCurve:
    """One family of choices over all budgets.

    Attributes:
        name: ``gptq`` (the same bits everywhere), ``method`` (16-bit values), ``method + gptq`` (4-bit values), or
            ``joint`` (whatever is best for each layer).
        points: by budget.
        coefficient: measured change of the loss over the predicted one, by which the perplexities were predicted; None
            where nothing was measured that is not broken, and in reports from before each curve had its own.
        own: whether that is of this family's own run, through which the curve then passes, and not of all runs.
    """

    name: str
    points: tuple[CurvePoint, ...]
    coefficient: float | None = None
    own: bool = False


@dataclass(frozen=True)
class MixReport:
    """What ``mix`` writes.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        method: that removes, in the joint choice too.
        budget_bits_per_weight: stored bits over weights that no run may exceed.
        calibration: what was looked at.
        dense: the model as it was.
        runs: the ways that were measured.
        curves: predicted, over all budgets.
        coefficient: measured change of the loss over the predicted one, geometric mean over the runs that are not
            broken; None without such a run.
        notes: cautions, a sentence each.
        environment: where it was measured.
        outdone: the mix by layer where another way measured better and is the joint choice in its place.
    """

    model_id: str
    model_note: str
    method: str
    budget_bits_per_weight: float
    calibration: CalibrationSettings
    dense: PerplexityReport
    runs: tuple[MixRun, ...]
    curves: tuple[BudgetCurve, ...]
    coefficient: float | None
    notes: tuple[str, ...]
    environment: Environment
    outdone: MixRun | None = None
