"""Reports of distilling, mixing, formats, a pipeline and a search, by hand: what the tab Distil and quantise draws."""

from __future__ import annotations

from pathlib import Path

from compression import store
from compression.adaptation.types import StepPoint
from compression.deployment.report import (
    BenchmarkChange,
    Made,
    PipelineReport,
    StageReport,
    TaskChange,
    TrialReport,
    TuneReport,
)
from compression.distillation.report import DistillReport, DistillRun, DistillSettings
from compression.environment import describe_environment
from compression.mixing.report import BudgetCurve, Choice, ChoiceCount, CurvePoint, MixReport, MixRun
from compression.quantization.formats_report import FormatRun, FormatsReport
from compression.types import CalibrationSettings, LatencyFigure, LatencyReport, PerplexityReport, TextSource

MADE = describe_environment()


def measured(perplexity: float, megabytes: float) -> PerplexityReport:
    source = TextSource("made up", "", 10)
    return PerplexityReport(perplexity, 0.5, 3.0, 100, 4, 64, 64, "token-level", source, int(8e6 * megabytes), 1.0)


def run(optimizer: str, seed: int, perplexity: float) -> DistillRun:
    curve = tuple(StepPoint(step, 1.0, 6.0 - 0.1 * step - seed, 0.0, 1.0, 0.0) for step in range(1, 21))
    settings = DistillSettings("t", "s", optimizer=optimizer, seed=seed, bits=4)
    known = measured(perplexity, 100)
    return DistillRun(settings, perplexity, known, 0.6, perplexity + 5, 10**8, 1000, 8 * 10**8, 20, 60.0, 10**8, curve)


RUNS = (run("adamw", 0, 23.0), run("muon", 0, 24.0), run("adamw", 1, 25.0), run("muon", 1, 26.0))
DISTILL = DistillReport(measured(21, 270), measured(31, 205), 38.0, "text", "rounded to 4 bits", RUNS, MADE)
STAGES = tuple(
    StageReport(name, measured(perplexity, size), Made(seconds, {}), MADE)
    for name, perplexity, size, seconds in (
        ("dense", 21.0, 270.0, 0.0),
        ("compress", 31.0, 205.0, 30.0),
        ("distill", 24.0, 208.0, 60.0),
        ("quantize", 29.0, 100.0, 90.0),
    )
)
CHANGE = BenchmarkChange(
    "accuracy",
    100,
    (
        TaskChange("piqa", 100, 0.5, 0.7, 0.05, 0.66, 0.05, -0.04, 0.03, 0.7, 0.66),
        TaskChange("arc_easy", 100, 0.25, 0.5, 0.05, 0.4, 0.05, -0.1, 0.02, 0.5, 0.4),
    ),
)


def time_of(milliseconds: float) -> LatencyFigure:
    return LatencyFigure(milliseconds, 1.0, 5)


FORMATS = FormatsReport(
    "m",
    "",
    (
        FormatRun("float32", 8 * 270_000_000, 540_000_000, 21.0, measured(21, 270), time_of(200), time_of(40), False),
        FormatRun("int8", 8 * 135_000_000, 298_000_000, 21.3, measured(21.3, 135), time_of(60), time_of(14), True),
        FormatRun("packed-4", 8 * 100_000_000, 590_000_000, 22.0, measured(22, 100), time_of(210), time_of(41), False),
    ),
    2,
    128,
    16,
    "cpu",
    (),
    MADE,
)


def way(name: str, perplexity: float) -> MixRun:
    parts = (ChoiceCount(Choice(0.0, 3, 128), 5, 100),)
    return MixRun(name, 3.2, 8 * 99_000_000, perplexity, measured(perplexity, 99), parts)


MIX = MixReport(
    "m",
    "",
    "compot-fisher",
    3.25,
    CalibrationSettings(TextSource("c", "", 1), 1, 1),
    measured(21, 270),
    (way("gptq", 45.0), way("compot-fisher", 5000.0), way("joint", 31.0)),
    (
        BudgetCurve("gptq", (CurvePoint(3.2, 8 * 99_000_000, 0.9, 60.0), CurvePoint(4.2, 8 * 112_000_000, 0.2, 27.0))),
        BudgetCurve("compot-fisher", (CurvePoint(3.2, 8 * 99_000_000, 9.0, None),)),
        BudgetCurve("joint", (CurvePoint(3.2, 8 * 98_000_000, 0.3, 32.0), CurvePoint(4.2, 8 * 111_000_000, 0.1, 25.0))),
    ),
    1.3,
    (),
    MADE,
)
TUNE = TuneReport(
    {"tune": {}},
    "s",
    "m",
    "",
    STAGES[0],
    ("perplexity",),
    "TPESampler",
    "MedianPruner",
    (
        TrialReport(0, "complete", {"distill.rank": 8, "distill.learning_rate": 0.001}, {"perplexity": 27.0}),
        TrialReport(1, "pruned", {"distill.rank": 4, "distill.learning_rate": 0.1}, {}),
        TrialReport(2, "complete", {"distill.rank": 4, "distill.learning_rate": 0.003}, {"perplexity": 25.0}),
        TrialReport(3, "complete", {"distill.rank": 16, "distill.learning_rate": 0.002}, {"perplexity": 26.0}),
    ),
    (2,),
    {"perplexity": {"distill.learning_rate": 0.8, "distill.rank": 0.2}},
)
LATENCY = LatencyReport(2, 64, 8, {}, {"dense": time_of(40), "compressed": time_of(30)}, "factors", "cpu")
PIPELINE = PipelineReport({"distill": {"optimizer": "muon"}}, "smollm2-135m-q4", "", STAGES, CHANGE, LATENCY)


def write(folder: Path) -> Path:
    """All of them, as the files that come with the app."""
    reports = {"pipeline": PIPELINE, "distill": DISTILL, "mix": MIX, "formats": FORMATS, "tune": TUNE}
    for name, report in reports.items():
        store.write_json(folder / f"{name}.json", report)
    return folder
