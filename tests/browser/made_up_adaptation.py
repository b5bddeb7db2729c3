"""Training that is made up: gates that close along a curve, runs with round figures, and the app in front of it.

Nothing is learned; streaming, stopping, drawing, packing and what a session keeps are the real thing. Run it as a
program: ``made_up_adaptation.py FOLDER`` writes precomputed runs there first, and shows those.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from pathlib import Path

from compression import store
from compression.adaptation.gallery import MASKS_FILE, METHODS_FILE
from compression.adaptation.types import (
    LANGUAGE_MODELLING,
    TASKS,
    AdaptLatency,
    AdaptMethodInfo,
    AdaptReport,
    AdaptRun,
    AdaptSettings,
    GateMap,
    GateMasks,
    Moment,
    Removal,
    Score,
    SiteMask,
    StepPoint,
    Stop,
)
from compression.errors import UserError
from compression.types import Environment, Progress

NOWHERE = Environment("3.12", "2.13", "5.23", "made-up", "made-up", 2, "cpu", "0", "0000000000", "1970-01-01T00:00:00")
PROJECTIONS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
REMOVING = ("finegates", "apt")
METHODS = (*REMOVING, "maskllm", "lora", "lora-xs", "vera", "velora", "bitfit", "rocoft", "full")
PLAN = 40
"""Steps of a precomputed run."""
PACE = 0.25
"""Seconds between two steps, each of which is an event."""
SITE = "model.layers.15.self_attn.q_proj"


def gate(block: int, projection: str, closing: float) -> GateMap:
    """A layer whose last groups are closed as far as `closing`, in [0, 1], and the block say."""
    cut = closing * (0.2 + 0.1 * block)
    rows = tuple(max(0.0, min(1.0, 1.4 - 2 * cut - index / 80)) for index in range(32))
    columns = tuple(max(0.0, min(1.0, 1.3 - cut - index / 60)) for index in range(48))
    open_rows, open_columns = (sum(value > 0.25 for value in side) / len(side) for side in (rows, columns))
    return GateMap(
        layer=f"bert.encoder.layer.{block}.{projection}",
        block=block,
        projection=projection,
        rows=rows,
        columns=columns,
        open_rows=open_rows,
        open_columns=open_columns,
        removed_fraction=1 - open_rows * open_columns,
    )


def gates(closing: float) -> tuple[GateMap, ...]:
    """Six blocks of an encoder."""
    return tuple(gate(block, projection, closing) for block in range(6) for projection in PROJECTIONS)


def point(step: int, removes: bool) -> StepPoint:
    """Losses that fall with a wiggle."""
    wiggle = (step * 7 % 5) / 50
    return StepPoint(
        step=step,
        seconds=step * PACE,
        loss=0.3 + 0.5 / (1 + step / 8) + wiggle,
        sparsity_loss=8 / (1 + step / 5) if removes else 0.0,
        gradient_norm_squared=0.05 + 2 / (1 + step / 6) + 3 * wiggle,
        removed_fraction=min(0.35, step / 100) if removes else 0.0,
        soft_sparsity=min(0.42, step / 80) if removes else None,
    )


def score(step: int, text: bool, better: float = 0.0) -> Score:
    """Round figures that get better."""
    if text:
        return Score(step, 4096, None, None, 3.0, 24 - step / 10 - better)
    return Score(step, 400, 0.70 + step / 400 + better / 100, 0.78 + step / 500, 0.5, None, "10")


def run(
    settings: AdaptSettings, steps: int = PLAN, better: float = 0.0, closing: float = 1.0, stopped: str = ""
) -> AdaptRun:
    """A finished run."""
    removes, text = settings.method in REMOVING, settings.task == LANGUAGE_MODELLING
    last = score(steps, text, better)
    ratio = 0.72 if removes else 1.01
    removed = point(steps, removes).removed_fraction
    return AdaptRun(
        method=settings.method,
        seed=settings.seed,
        accuracy=last.accuracy,
        f1=last.f1,
        removed_fraction=removed,
        soft_sparsity=0.41 if removes else None,
        trainable_parameters=30_000 + 1000 * len(settings.method),
        latency_ratio=ratio,
        train_seconds=steps * PACE,
        perplexity=last.perplexity,
        settings=settings,
        target_sparsity=settings.target_sparsity if removes else None,
        removed_parameters=int(1e6 * removed),
        gated_parameters=1_000_000,
        head_parameters=1000,
        score=last,
        steps=steps,
        peak_memory_bytes=321_000_000,
        latency=(
            AdaptLatency(1, 64, 10.0, 10 * ratio, ratio, 2),
            AdaptLatency(16, 64, 80.0, 80 * ratio, ratio, 2),
        ),
        stored_bits=16_000_000,
        original_bits=22_000_000,
        curve=tuple(point(step, removes) for step in range(1, steps + 1)),
        scores=tuple(score(step, text) for step in range(10, steps, 10)),
        gates=gates(closing) if removes else (),
        notes=(),
        warning=None,
        stopped=stopped,
        model_note="",
        environment=NOWHERE,
    )


def report(task: str, *runs: AdaptRun, model_id: str = "minilm") -> AdaptReport:
    """Runs as ``adapt`` writes them."""
    text = task == LANGUAGE_MODELLING
    return AdaptReport(model_id, "", task, () if text else ("0", "1"), "40", "41", None if text else 0.68, runs)


def precomputed(task: str, model_id: str = "minilm") -> AdaptReport:
    """Every method with three seeds."""
    runs = [
        run(AdaptSettings(model_id, method, task, seed=seed), better=place / 2 + seed / 3)
        for place, method in enumerate(METHODS)
        for seed in range(3)
    ]
    return report(task, *runs, model_id=model_id)


def masks() -> GateMasks:
    """One site of the language model."""
    mask = SiteMask(SITE, (576, 576), ((0, 64), (128, 448)), ((0, 500), (540, 576)), 1 - 384 * 536 / 576**2)
    return GateMasks("smollm2-135m-q4", "made up", "finegates", 0.3, 0.1, (mask,), NOWHERE)


def write(folder: Path, tasks: tuple[str, ...] = ("mrpc", "lm")) -> Path:
    """Precomputed files in a folder."""
    methods = [AdaptMethodInfo(name, name, "", "", name in (*REMOVING, "maskllm"), TASKS) for name in METHODS]
    store.write_json(folder / METHODS_FILE, tuple(methods))
    for task in tasks:
        model_id = "smollm2-135m-q4" if task == LANGUAGE_MODELLING else "minilm"
        store.write_json(folder / f"{task}.json", precomputed(task, model_id))
    store.write_json(folder / MASKS_FILE, masks())
    return folder


class Trainer:
    """As much of a workbench as the tab asks for."""

    def __init__(self, pace: float = PACE, wait: float = PACE) -> None:
        """Plan for so many seconds a step, and take so many."""
        self.pace, self.wait = pace, wait

    def adapt(
        self, settings: tuple[AdaptSettings, ...], out: Path | None, stop: Stop
    ) -> Generator[Progress, None, AdaptReport]:
        """One run after the other; seed 13 ends with an error."""
        runs = []
        for each in settings:
            if each.seed == 13:
                raise UserError("The loss is no finite number before any training: the model or its data is damaged.")
            removes, text = each.method in REMOVING, each.task == LANGUAGE_MODELLING
            step, stopped, plan = 0, "", max(2, round(60 * each.max_minutes / self.pace))
            while step < plan and not stopped:
                time.sleep(self.wait)
                step += 1
                now = point(step, removes)
                count = Removal(0.4, now.soft_sparsity, now.removed_fraction, 1, 10) if removes else None
                measured = score(step // 10 * 10, text) if step >= 10 else None
                moment = Moment(now, gates(step / plan) if removes else (), count, measured)
                yield Progress("train", step, plan, f"{step} / {plan}", moment)
                if stop.asked:
                    stopped = f"Stopped after {step} of {plan} steps."
            made = run(each, step, closing=step / plan, stopped=stopped)
            runs.append(made)
            yield Progress("run", len(runs), len(settings), "1 / 1", runs[-1])
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                (out / "model.safetensors").write_bytes(b"made up")
        return report(settings[0].task, *runs, model_id=settings[0].model_id)


if __name__ == "__main__":
    from views import adaptation, engine
    from views.page import build, launch_options

    adaptation.ASSETS = write(Path(sys.argv[1]))
    trainer = Trainer()
    engine.workbench = lambda: trainer  # type: ignore[assignment,return-value]
    engine.is_speech = lambda model_id: "whisper" in model_id
    build().launch(**launch_options())
