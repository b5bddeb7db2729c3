"""What compression changed, made up: a report on whatever text or recording comes, and the app in front of it.

Losses and flips are a fixed pattern; cutting the text, marking, sorting and drawing are the real thing. Run it as a
program.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import numpy as np

from compression import costs
from compression.errors import UserError
from compression.evaluation.changes_report import ChangesReport, DriftReport, DriftStage, UnitChange
from compression.recipe import Recipe
from compression.types import Progress, SpeechSource, TextSource
from views import engine

SAID = "and Mr. John Dashwood had then leisure to consider"
RISES = (0.0, 0.3, 3.5, -0.4, 0.7, 0.0, 1.4, 0.1)
"""Of the units in turn, in nats; those of the third and the seventh flip."""


def units(text: str, end: bool = False) -> tuple[UnitChange, ...]:
    """Words with the space before them; the first is given, unless an end is wanted, which is predicted as they are."""
    words = [f" {word}" if place else word for place, word in enumerate(text.split(" "))]
    made = []
    for place, word in enumerate([*words, "<|endoftext|>"] if end else words):
        rise, flipped = RISES[place % len(RISES)], place % len(RISES) in (2, 6)
        if place or end:
            made.append(UnitChange(word, 0, word, " other" if flipped else word, 1.0, 1.0 + rise, flipped))
        else:
            made.append(UnitChange(word, 0))
    return tuple(made)


def drift(*stacks: str, deep: int = 30) -> DriftReport:
    """Grows until two thirds of the depth, then falls."""
    stages = []
    for stack in stacks:
        stages.append(DriftStage(stack, "embeddings", None, 0.0, 0.0))
        for block in range(deep):
            error = 0.01 + 0.3 * min(block, 2 * (deep - block)) / deep
            stages.append(DriftStage(stack, "block", block, error / 3, error))
        stages.append(DriftStage(stack, "norm", None, 0.05, 0.12))
    return DriftReport(tuple(stages), dict.fromkeys(stacks, 251))


def report(made: tuple[UnitChange, ...], unit: str, drifted: DriftReport, **more: Any) -> ChangesReport:
    """With the figures that the units amount to."""
    predicted = [each for each in made if each.dense_loss is not None and each.compressed_loss is not None]
    losses = [each.compressed_loss or 0.0 for each in predicted]
    flipped = sum(each.flipped for each in predicted)
    source = TextSource("text", "", 1) if unit == "token" else SpeechSource("recording", "", 1, 1.0)
    facts: dict[str, Any] = {"method": "svd", "policy": "uniform", "removed_fraction": 0.2, **more}
    return ChangesReport(
        unit="token" if unit == "token" else "word",
        units=made,
        positions=len(predicted),
        flipped_positions=flipped,
        dense_loss=1.0,
        compressed_loss=sum(losses) / len(losses),
        drift=drifted,
        convention="",
        source=source,
        tokens_used=len(made),
        **{"tokens_total": len(made), **facts},
    )


class Changes:
    """As much of a workbench as the tab asks for."""

    def changes(self, recipe: Recipe, text: str) -> Generator[Progress, None, ChangesReport]:
        """Of a text: its drift first."""
        if not text.strip():
            raise UserError("The text 'pasted text' is empty: give a few sentences at least.")
        yield Progress("changes", 1, 1, "window 1 of 1", drift(""))
        time.sleep(0.2)
        return report(units(text), "token", drift(""))

    def changes_of_speech(
        self, recipe: Recipe, samples: np.ndarray, reference: str = ""
    ) -> Generator[Progress, None, ChangesReport]:
        """Of a recording."""
        yield Progress("changes", 1, 1, "transcript 1 of 1", drift("encoder", "decoder", deep=4))
        made = units(f" {reference or SAID}", end=True)
        given = "given" if reference else "dense"
        return report(made, "word", drift("encoder", "decoder", deep=4), reference=given)

    def prepared(self, recipe: Recipe) -> costs.Prepared:
        """Nothing is in memory."""
        return costs.Prepared()


if __name__ == "__main__":
    from views.page import build, launch_options

    bench = Changes()
    engine.workbench = lambda: bench  # type: ignore[assignment,return-value]
    build().launch(**launch_options())
