"""What each stage of a recipe takes, about, where nothing is in the cache."""

from __future__ import annotations

from compression.deployment.recipe import PipelineRecipe

LOAD, COMPRESS, MEASURE, QUANTIZE, LATENCY = 20.0, 90.0, 12.0, 120.0, 30.0
ITEM = 0.7
"""Seconds of loading, compressing, measuring on four windows, quantising, timing, and of a benchmark's item.

They are what ``pipeline`` and ``benchmark`` took with SmolLM2-135M on two cores.
"""
STAGES = ("compress", "distill", "quantize", "benchmark", "latency")


def stage_seconds(recipe: PipelineRecipe, tasks: int) -> dict[str, float]:
    """Seconds of each stage that a recipe asks for, with the measurement behind it; loading belongs to the first.

    Args:
        recipe: what is asked for.
        tasks: number of benchmarks.
    """
    seconds: dict[str, float] = {}
    if recipe.compress:
        seconds["compress"] = COMPRESS + MEASURE
    if recipe.distill:
        seconds["distill"] = 60 * recipe.distill.minutes + MEASURE
    if recipe.quantize:
        seconds["quantize"] = QUANTIZE + MEASURE
    if recipe.benchmark:
        seconds["benchmark"] = 2 * ITEM * tasks * (recipe.benchmark.limit or 100)
    if recipe.latency:
        seconds["latency"] = LATENCY
    if seconds:
        seconds[next(iter(seconds))] += LOAD + MEASURE
    return seconds


def seconds_of(recipes: list[PipelineRecipe], tasks: int) -> dict[str, float]:
    """The same for recipes that differ in their distillation: what comes before is made once."""
    total: dict[str, float] = {}
    for place, recipe in enumerate(recipes):
        for name, seconds in stage_seconds(recipe, tasks).items():
            if place == 0 or name != "compress":
                total[name] = total.get(name, 0.0) + seconds
    return total
