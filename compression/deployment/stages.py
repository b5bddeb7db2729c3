"""The stages that make a model of a model: each reads a model and writes a folder."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from compression import texts
from compression.deployment.recipe import CompressSection, DistillSection, PipelineRecipe, QuantizeSection, Section
from compression.deployment.report import LossPoint, Made
from compression.distillation.report import DistillSettings
from compression.quantization.grid import QuantizationSettings
from compression.types import Progress

if TYPE_CHECKING:
    from compression.workbench import Workbench

Making = Generator[Progress, None, Made]


class Stage(ABC):
    """One step of a pipeline."""

    name: ClassVar[str]

    def __init__(self, recipe: PipelineRecipe) -> None:
        """Keep the recipe, whose section of this name is the stage's settings."""
        self.recipe = recipe

    @property
    @abstractmethod
    def settings(self) -> Section:
        """All that the result depends on, besides the model and the contents of `text`."""

    @property
    @abstractmethod
    def text(self) -> str:
        """Name of the text that the result depends on, or a file."""

    @abstractmethod
    def run(self, bench: Workbench, source: str, out: Path) -> Making:
        """Make a model.

        Args:
            bench: whose models and texts are used.
            source: the model before this stage: an id, or the folder that the stage before wrote.
            out: a folder that does not exist yet.
        """


class Compress(Stage):
    """Remove weights."""

    name = "compress"

    @property
    def settings(self) -> CompressSection:
        """As the recipe has them."""
        assert self.recipe.compress is not None
        return self.recipe.compress

    @property
    def text(self) -> str:
        """What is calibrated on."""
        return self.settings.calibration or texts.DEFAULT_CALIBRATION

    def run(self, bench: Workbench, source: str, out: Path) -> Making:
        """By the recipe's method."""
        report = yield from bench.compress_to(self.settings.recipe(source), out)
        seconds = report.calibration_seconds + report.compress_seconds
        return Made(seconds, {"removed_fraction": report.removed_fraction}, notes=report.notes)


class Distill(Stage):
    """Let what was compressed learn from the dense model."""

    name = "distill"

    @property
    def settings(self) -> DistillSection:
        """As the recipe has them."""
        assert self.recipe.distill is not None
        return self.recipe.distill

    @property
    def text(self) -> str:
        """What is learned from."""
        return self.settings.train or texts.DEFAULT_CALIBRATION

    def run(self, bench: Workbench, source: str, out: Path) -> Making:
        """Training goes on from its last checkpoint."""
        asked, recipe = self.settings, self.recipe
        settings = DistillSettings(
            teacher=recipe.model,
            student=source,
            what=asked.what,
            optimizer=asked.optimizer,
            seed=asked.seed,
            rank=asked.rank,
            lora_alpha=asked.lora_alpha,
            alpha=asked.alpha,
            temperature=asked.temperature,
            learning_rate=asked.learning_rate,
            max_minutes=asked.minutes,
            steps=asked.steps,
            train=asked.train,
            text=recipe.text,
            window=recipe.window,
            max_windows=recipe.max_windows,
        )
        run = (yield from bench.distill((settings,), out)).runs[0]
        facts = {"steps": float(run.steps), "trainable_parameters": float(run.trainable_parameters)}
        losses = tuple(LossPoint(point.step, point.loss) for point in run.curve)
        return Made(run.train_seconds, facts, losses, (run.stopped,) if run.stopped else ())


class Quantize(Stage):
    """Round to a few bits by GPTQ."""

    name = "quantize"

    @property
    def settings(self) -> QuantizeSection:
        """As the recipe has them."""
        assert self.recipe.quantize is not None
        return self.recipe.quantize

    @property
    def text(self) -> str:
        """What is calibrated on."""
        return self.settings.calibration or texts.DEFAULT_CALIBRATION

    def run(self, bench: Workbench, source: str, out: Path) -> Making:
        """Layer after layer."""
        started = time.perf_counter()
        asked = self.settings
        settings = QuantizationSettings(
            asked.bits, asked.group_size, asked.symmetric, asked.act_order, asked.damping, asked.sweeps
        )
        report = yield from bench.quantize_to(asked.recipe(source), settings, out)
        weights = sum(site.shape[0] * site.shape[1] for site in report.sites)
        facts = {"bits_per_weight": report.site_stored_bits / weights}
        return Made(time.perf_counter() - started, facts, notes=report.notes)


def stages_of(recipe: PipelineRecipe) -> tuple[Stage, ...]:
    """The stages that a recipe asks for, in their order."""
    kinds: tuple[type[Stage], ...] = (Compress, Distill, Quantize)
    return tuple(kind(recipe) for kind in kinds if getattr(recipe, kind.name) is not None)
