"""A tiny model, a text, a benchmark and a recipe for them, and driving a pipeline to a point on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import yaml
from tiny import SENTENCES, taught, write_tiny_llama

from compression.types import Progress

QUESTIONS = [
    {"query": "The quick brown fox", "choices": ["jumps over the lazy dog", "packs my box"], "gold": 0},
    {"query": "Pack my box with", "choices": ["a loader", "five dozen liquor jugs"], "gold": 1},
    {"query": "How vexingly quick", "choices": ["daft zebras jump", "the lazy dog"], "gold": 0},
]


def write_material(folder: Path) -> tuple[Path, Path, Path]:
    """Write what recipes are about; the model's folder, the text, the folder of items."""
    text = folder / "text.txt"
    text.write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    if not (folder / "tiny").exists():
        write_tiny_llama(folder / "tiny")
        taught().save_pretrained(folder / "tiny")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "piqa.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), encoding="utf-8")
    return folder / "tiny", text, folder / "data"


def write_recipe(folder: Path, name: str = "recipe", **changes: Any) -> Path:
    """Write everything to a folder; `changes` replace sections, and None leaves one out."""
    model, text, data = write_material(folder)
    sequences = {"calibration": str(text), "calibration_sequences": 8, "sequence_length": 32}
    recipe = {
        "model": str(model),
        "text": str(text),
        "window": 64,
        "max_windows": 4,
        "compress": {"method": "compot", "policy": "uniform", "ratio": 0.4, **sequences},
        "distill": {"what": "lora", "steps": 6, "rank": 2, "train": str(text)},
        "quantize": {"bits": 4, "group_size": 32, **sequences},
        "benchmark": {"tasks": "piqa", "data": str(data)},
        "latency": {"prompt_tokens": 8, "decode_tokens": 2},
    } | changes
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({name: value for name, value in recipe.items() if value is not None}))
    return file


def until(steps: Generator[Progress, None, Any], last: Callable[[Progress], bool]) -> list[Progress]:
    """Drive long work up to an event and close it there; what came until then."""
    seen = []
    for event in steps:
        seen.append(event)
        if last(event):
            steps.close()
            return seen
    raise AssertionError(f"it ended before that, with {sorted({event.stage for event in seen})}")
