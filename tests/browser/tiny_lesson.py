"""The app with its own results, where whatever the walk has to load is a tiny model: its stopwatch is a real one.

Run it as a program: ``tiny_lesson.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tiny import SENTENCES, write_tiny_llama

from compression import api
from compression.recipe import Recipe
from compression.steps import Steps
from compression.types import LatencyReport


class OnTiny:
    """As much of a workbench as the stopwatch needs, with another model and less text."""

    def __init__(self, folder: Path) -> None:
        """Write the model and the text."""
        self._model, self._text = folder / "tiny", folder / "text.txt"
        write_tiny_llama(self._model)
        self._text.write_text(" ".join(SENTENCES) * 60, encoding="utf-8")

    def model_info(self, model: str) -> Steps[Any]:
        """Load the model."""
        return self._workbench().model_info(str(self._model))

    def is_speech(self, model: str) -> Steps[bool]:
        """Whether it writes down speech."""
        return self._workbench().is_speech(str(self._model))

    def latency(self, recipe: Recipe) -> Steps[LatencyReport]:
        """Compress it as asked and take the times."""
        small = Recipe(
            str(self._model),
            recipe.method,
            recipe.policy,
            recipe.removed_fraction,
            calibration_text=str(self._text),
            num_sequences=8,
            sequence_length=32,
        )
        report: LatencyReport = yield from self._workbench().latency(small, 8, 2)
        return report

    def _workbench(self) -> Any:
        from compression.workbench import get_workbench

        return get_workbench()


if __name__ == "__main__":
    from views.page import build, launch_options

    made = Path(sys.argv[1])
    made.mkdir(parents=True, exist_ok=True)
    tiny = OnTiny(made)
    api.workbench = lambda: tiny
    build().launch(**launch_options())
