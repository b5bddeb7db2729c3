"""What ``bench from-scratch`` is asked for and reports: plain values, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.adaptation.types import MAX_TARGET, GateMap, Removal, Score, StepPoint
from compression.errors import UserError
from compression.types import Environment


@dataclass(frozen=True)
class ScratchSettings:
    """A small Llama, and how it is trained.

    Attributes:
        target_sparsity: share of the gated weights to remove.
        steps: optimiser steps of either run.
        sparsity_start: step from which the gates are pressed.
        settle: step at which gates are closed for good.
        batch_size: sequences a step.
        sequence_length: tokens a sequence, and a window when measuring.
        learning_rate: of the weights, at the peak.
        gate_learning_rate: of the gates, at the peak.
        sparsity_loss_weight: λ.
        blocks: number of them.
        width: of the residual stream.
        heads: query heads of a block, each with a key-value head of its own.
        neurons: of a block's MLP.
        vocabulary: entries of the tokenizer at most.
        seed: of weights, order of the batches and noise.
    """

    target_sparsity: float = 0.35
    steps: int = 600
    sparsity_start: int = 200
    settle: int = 350
    batch_size: int = 16
    sequence_length: int = 128
    learning_rate: float = 2e-3
    gate_learning_rate: float = 1e-2
    sparsity_loss_weight: float = 50.0
    blocks: int = 4
    width: int = 192
    heads: int = 4
    neurons: int = 512
    vocabulary: int = 2048
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is trained.

        Raises:
            UserError: for a number out of range, or steps in the wrong order.
        """
        for what, value, low, high in (
            ("target sparsity", self.target_sparsity, 0, MAX_TARGET),
            ("number of steps", self.steps, 20, 10**6),
            ("batch size", self.batch_size, 1, 512),
            ("sequence length", self.sequence_length, 8, 4096),
            ("number of blocks", self.blocks, 1, 64),
            ("width", self.width, 8, 4096),
            ("number of neurons", self.neurons, 8, 16384),
            ("vocabulary", self.vocabulary, 256, 65536),
            ("seed", self.seed, 0, 2**31 - 1),
        ):
            if not low <= value <= high:
                raise UserError(f"The {what} must be from {low} to {high}, but {value} was given.")
        if not 0 <= self.sparsity_start < self.settle < self.steps:
            raise UserError(
                f"The gates must be pressed from a step before the one that closes them, and that must come before the "
                f"last, but {self.sparsity_start}, {self.settle} and {self.steps} were given."
            )


@dataclass(frozen=True)
class ScratchRun:
    """One of the two runs.

    Attributes:
        name: ``gated`` or ``plain``.
        perplexity: of the text kept aside, of what would be deployed.
        loss: nats a token.
        parameters: weights that stay, biases of gated layers left out.
        removal: what left; None for the run without gates.
        train_seconds: of training alone.
        curve: loss, squared gradient norm and what was removed, over the steps.
        scores: measurements on the way, on part of the text, and at the end, on all of it.
        gates: the gates at the end.
    """

    name: str
    perplexity: float
    loss: float
    parameters: int
    removal: Removal | None
    train_seconds: float
    curve: tuple[StepPoint, ...]
    scores: tuple[Score, ...]
    gates: tuple[GateMap, ...]


@dataclass(frozen=True)
class ScratchReport:
    """What ``bench from-scratch`` writes.

    Attributes:
        settings: what was asked for.
        vocabulary: entries of the tokenizer.
        train_tokens: tokens there are to train on.
        convention: how perplexity was measured.
        gated: the run with gates.
        plain: its twin without.
        environment: where it ran.
    """

    settings: ScratchSettings
    vocabulary: int
    train_tokens: int
    convention: str
    gated: ScratchRun
    plain: ScratchRun
    environment: Environment

    @property
    def perplexity_change(self) -> float:
        """Perplexity of the gated model ÷ that of its twin, minus 1."""
        return self.gated.perplexity / self.plain.perplexity - 1
