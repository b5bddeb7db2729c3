"""What the recipe of a sweep may say."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from compression.deployment.recipe import CompressSection, Count, Seed
from compression.errors import UserError, shown
from compression.recipe import Recipe
from compression.recipe_file import Section, read_sections, wrong
from compression.types import MAX_REMOVED_FRACTION
from compression.zero_shot.tasks import ALIASES, HUB_TASKS

PERPLEXITY, WORD_ERRORS = "perplexity", "wer"
TASKS = (PERPLEXITY, WORD_ERRORS, *HUB_TASKS)
MAX_CELLS = 100_000
Name = Annotated[str, Field(min_length=1, max_length=300)]


class Resources(Section):
    """What one worker takes.

    Attributes:
        cpus: threads.
        memory_gb: 1,000,000,000 bytes each; None for 1.5 times what the memory model says.
        gpus: for Ray, which then starts workers only where there are such; the engine itself computes on the CPU.
        retries: so many times a cell is tried again whose worker died.
        wait_minutes: so long a sweep on Ray waits for a node that could go on, after the last one died.
    """

    cpus: int = Field(default=1, ge=1, le=1024)
    memory_gb: float | None = Field(default=None, gt=0, le=10**5)
    gpus: float = Field(default=0, ge=0, le=64)
    retries: int = Field(default=3, ge=0, le=100)
    wait_minutes: float = Field(default=10, ge=0, le=10**5)


class SweepRecipe(Section):
    """A grid: every model by every method under every policy at every budget with every seed, measured in every task.

    Attributes:
        models: catalogue ids, directories, or Hub ids with a full commit, ``owner/name@<40 hexadecimal digits>``.
        methods: compression methods.
        policies: allocation policies; ``own`` for the one a method was published with.
        budgets: shares of the compressible weights to remove.
        seeds: of the choice of calibration sequences.
        tasks: ``perplexity`` on `text`, ``wer`` on `audio`, and benchmarks.
        text: name of the text to measure on, or a file; empty for the built-in one.
        window: tokens a window.
        max_windows: number of windows; None for all.
        audio: recordings to measure on; empty for the built-in ones.
        data: folder of the benchmarks' items; empty for the Hub.
        limit: items a benchmark at most; None for all.
        calibration: name of a text or a file; empty for the built-in one.
        calibration_sequences: number of them.
        sequence_length: tokens each.
        gradient_sequences: for the output gradients, where they are needed.
        stream: whether weights stay in a file, one block in memory at a time.
        resources: what one worker takes.
    """

    models: tuple[Name, ...] = Field(min_length=1)
    methods: tuple[Name, ...] = ("compot-fisher",)
    policies: tuple[Name, ...] = ("own",)
    budgets: tuple[Annotated[float, Field(gt=0, le=MAX_REMOVED_FRACTION)], ...] = (0.2,)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    tasks: tuple[Name, ...] = Field(default=(PERPLEXITY,), min_length=1)
    text: str = ""
    window: int = Field(default=1024, ge=2, le=65536)
    max_windows: int | None = Field(default=4, ge=1)
    audio: str = ""
    data: str = ""
    limit: int | None = Field(default=None, ge=1, le=10**6)
    calibration: str = ""
    calibration_sequences: Count = 32
    sequence_length: Count = 512
    gradient_sequences: Count = 32
    stream: bool = False
    resources: Resources = Resources()

    def recipe(self, model: str, method: str, policy: str, removed_fraction: float, seed: int) -> Recipe:
        """One point of the grid for the engine, its policy spelled out.

        Raises:
            UserError: if it cannot be carried out.
        """
        point = CompressSection(
            method=method,
            policy=policy,
            ratio=removed_fraction,
            calibration=self.calibration,
            calibration_sequences=self.calibration_sequences,
            sequence_length=self.sequence_length,
            gradient_sequences=self.gradient_sequences,
            seed=seed,
        )
        recipe = point.recipe(model).resolved()
        recipe.check()
        return recipe

    @property
    def size(self) -> int:
        """Number of cells at most: the dense models and all that is made of them, in every task."""
        made = math.prod(map(len, (self.methods, self.policies, self.budgets, self.seeds)))
        return len(self.models) * (1 + made) * len(self.tasks)


def read_sweep(file: Path) -> SweepRecipe:
    """Read and check the recipe of a sweep; no model is loaded.

    Args:
        file: YAML in UTF-8.

    Raises:
        UserError: if the file cannot be read, or with line and field if something in it is wrong.
    """
    from compression.allocation import check_policy
    from compression.methods import METHODS

    recipe, lines = read_sections(file, SweepRecipe)

    def check_names(field: str, names: Iterable[str], known: Collection[str]) -> None:
        for place, name in enumerate(names):
            if name not in known:
                said = f"one of {', '.join(known)} was expected, but {shown(name)} was given"
                raise wrong(file, lines, (field, str(place)), said)

    check_names("methods", recipe.methods, METHODS)
    for place, policy in enumerate(recipe.policies):
        try:
            check_policy(policy)
        except UserError as error:
            raise wrong(file, lines, ("policies", str(place)), str(error).rstrip(".")) from error
    check_names("tasks", (ALIASES.get(task, task) for task in recipe.tasks), TASKS)
    if recipe.size > MAX_CELLS:
        raise wrong(file, lines, (), f"it has {recipe.size} cells, and {MAX_CELLS} are the most: make several of it")
    return recipe
