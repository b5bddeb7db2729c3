"""The app with its own results, where whatever the walk has to load is a tiny model: its stopwatch is a real one.

Run it as a program: ``tiny_lesson.py FOLDER``. As long as a file `HOLD` lies in the folder, step 5 does not come to an
end; how it ended stands in a file `ENDED`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from deployment_samples import write_material

from compression import api
from compression.recipe import Recipe
from compression.steps import Steps
from compression.types import LatencyReport, Progress

HOLD, ENDED = "hold", "ended"


class OnTiny:
    """As much of a workbench as the stopwatch needs, with another model and less text."""

    def __init__(self, folder: Path) -> None:
        """Write the model and the text."""
        self._folder = folder
        self._model, self._text, _ = write_material(folder)

    def model_info(self, model: str) -> Steps[Any]:
        """Load the model."""
        return self._workbench().model_info(str(self._model))

    def is_speech(self, model: str) -> Steps[bool]:
        """Whether it writes down speech."""
        return self._workbench().is_speech(str(self._model))

    def latency(self, recipe: Recipe) -> Steps[LatencyReport]:
        """Compress it as asked and take the times."""
        said = "closed"
        try:
            while (self._folder / HOLD).exists():
                yield Progress("latency", 0, 1, "latency round 1 of 5")
                time.sleep(0.05)
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
            said = "finished"
        finally:
            (self._folder / ENDED).write_text(said, encoding="utf-8")
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
