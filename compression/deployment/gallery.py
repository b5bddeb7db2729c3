"""Precomputed, true runs for the first paint of the tab Distil and quantise: read without torch.

A folder holds ``pipeline.json`` (a `PipelineReport`), ``distill.json`` (a `DistillReport` with both optimisers),
``mix.json`` (a `MixReport`), ``formats.json`` (a `FormatsReport`) and ``tune.json`` (a `TuneReport`), each as the
command of that name writes it with ``--json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from compression import store
from compression.deployment.report import PipelineReport, TuneReport
from compression.distillation.report import DistillReport
from compression.errors import UserError
from compression.mixing.report import MixReport
from compression.quantization.formats_report import FormatsReport

T = TypeVar("T")


@dataclass(frozen=True)
class Examples:
    """What a folder holds; None for what is not there, or was written by other code and does not read.

    Attributes:
        pipeline: a recipe's stages.
        distill: AdamW beside Muon.
        mix: one byte budget in five ways.
        formats: by the clock.
        tune: a search.
        problems: why a file was left out, a sentence each.
    """

    pipeline: PipelineReport | None
    distill: DistillReport | None
    mix: MixReport | None
    formats: FormatsReport | None
    tune: TuneReport | None
    problems: tuple[str, ...] = ()


def load_examples(folder: Path) -> Examples:
    """Read whatever is there."""
    problems: list[str] = []

    def read(name: str, kind: type[T]) -> T | None:
        file = folder / f"{name}.json"
        try:
            return store.read_json(file, kind) if file.is_file() else None
        except UserError as error:
            problems.append(str(error))
            return None

    return Examples(
        read("pipeline", PipelineReport),
        read("distill", DistillReport),
        read("mix", MixReport),
        read("formats", FormatsReport),
        read("tune", TuneReport),
        tuple(problems),
    )
