"""The app in front of a tiny model: what the cards ask for is really done, on little text, to that model.

The pictures that come with the page are made by hand. Run it as a program: ``tiny_distil.py FOLDER``.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import distil_samples
import yaml
from deployment_samples import write_recipe

from compression.deployment.recipe import PipelineRecipe
from compression.deployment.report import PipelineReport
from compression.types import Progress
from views import engine


class OnTiny:
    """The workbench, with another model and less text."""

    def __init__(self, folder: Path) -> None:
        """Write the model, a text and a benchmark."""
        self.small = yaml.safe_load(write_recipe(folder).read_text(encoding="utf-8"))

    def pipeline(self, recipe: PipelineRecipe) -> Generator[Progress, None, PipelineReport]:
        """Carry a recipe out, its settings kept where they are not sizes."""
        from compression.workbench import get_workbench

        plain = recipe.model_dump() | {name: self.small[name] for name in ("model", "text", "window", "max_windows")}
        for section in ("compress", "distill", "quantize"):
            if plain[section]:
                taken = ("calibration", "calibration_sequences", "sequence_length", "train")
                plain[section] |= {name: value for name, value in self.small[section].items() if name in taken}
        if plain["latency"]:
            plain["latency"] = self.small["latency"]
        return get_workbench().pipeline(PipelineRecipe.model_validate(plain))


if __name__ == "__main__":
    from views.page import build, launch_options
    from views.tabs import distil

    made = Path(sys.argv[1])
    made.mkdir(parents=True)
    distil.ASSETS = distil_samples.write(made / "assets")
    tiny = OnTiny(made)
    engine.workbench = lambda: tiny  # type: ignore[assignment,return-value]
    build().launch(**launch_options())
