"""What one worker needs: memory from the shapes alone, time by scaling what another model took on the same machine.

The arithmetic of a phase is counted (below); a phase of another shape takes as long as it did with a model that was
measured, times the ratio of the two counts. ``bench needs`` sets that beside measurements.

- calibrate: all tokens through the layers, and the Gram matrix of every group of inputs.
- gradients: each block forward, forward again with its graph, and backward, which is twice a forward; the head once
  forward and backward; and the Gram matrices of inputs and outputs.
- compress: cubic in a layer's sides, whatever the method: ``in³ + in·out·min(in, out)``.
- evaluate: the layers and the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from compression.calibration import GRADIENT_LENGTH, MAX_FULL_OUTPUT
from compression.memory import FLOAT, STORED, MemoryNeed, ModelShape, memory_need
from compression.recipe import Recipe
from compression.streams import BATCH_SEQUENCES

if TYPE_CHECKING:
    from compression.sweeping.recipe import SweepRecipe

SPARE = 1.5
"""Times the memory model's peak that a worker is given: the model does not know what the C library keeps."""
BACKWARD = 2
"""Forward passes that a backward pass is as much work as."""


def recipe_need(shape: ModelShape, recipe: Recipe, window: int, threads: int, streamed: bool) -> MemoryNeed:
    """Peak memory of every phase of a recipe.

    Args:
        shape: the model.
        recipe: what is removed, and what is calibrated on.
        window: tokens of an evaluation window.
        threads: sites that are factorised side by side.
        streamed: whether weights stay in a file.
    """
    return memory_need(
        shape,
        recipe.num_sequences * recipe.sequence_length,
        recipe.gradient_sequences * min(recipe.sequence_length, GRADIENT_LENGTH),
        batch_tokens=BATCH_SEQUENCES * recipe.sequence_length,
        window=window,
        workers=threads,
        removed_fraction=recipe.removed_fraction,
        full_output_limit=MAX_FULL_OUTPUT,
        streamed=streamed,
    )


def bytes_needed(shape: ModelShape, sweep: SweepRecipe) -> int:
    """Peak resident bytes of one worker, over all cells of a model."""
    recipe = Recipe(
        "",
        removed_fraction=min(sweep.budgets, default=0.0),
        num_sequences=sweep.calibration_sequences,
        sequence_length=sweep.sequence_length,
        gradient_sequences=sweep.gradient_sequences,
    )
    return recipe_need(shape, recipe, sweep.window, sweep.resources.cpus, sweep.stream).peak


def disk_needed(shape: ModelShape, streamed: bool) -> int:
    """Bytes in the cache: the checkpoint at 16 bits, its float32 copy where it is streamed, and the statistics."""
    grams = sum(size * size for size in _inputs(shape)) + sum(size * size for size in _outputs(shape))
    checkpoint = STORED * shape.num_parameters
    return checkpoint + FLOAT * grams + (FLOAT * shape.num_parameters if streamed else 0)


def phase_work(shape: ModelShape, tokens: int, gradient_tokens: int, window_tokens: int) -> dict[str, float]:
    """Floating-point operations of each phase.

    Args:
        shape: the model.
        tokens: calibration tokens.
        gradient_tokens: tokens behind the output gradients.
        window_tokens: tokens that are measured on.
    """
    layers = 2.0 * shape.site_weights
    head = 2.0 * shape.vocabulary * shape.width
    input_grams = 2.0 * sum(size * size for size in _inputs(shape))
    output_grams = 2.0 * sum(size * size for size in _outputs(shape))
    cubic = sum(
        2.0 * s.in_features * (s.in_features**2 + s.out_features * min(s.in_features, s.out_features))
        for s in shape.sites
    )
    passes = (2 + BACKWARD) * layers + (1 + BACKWARD) * head
    return {
        "calibrate": tokens * (layers + input_grams),
        "gradients": gradient_tokens * (passes + input_grams + output_grams),
        "compress": cubic,
        "evaluate": window_tokens * (layers + head),
    }


def predicted_seconds(
    measured: Mapping[str, float], reference: Mapping[str, float], work: Mapping[str, float]
) -> dict[str, float]:
    """Seconds of each phase that was measured with a reference.

    Args:
        measured: seconds of the reference's phases.
        reference: its `phase_work`.
        work: that of the model in question.
    """
    return {name: seconds * work[name] / reference[name] for name, seconds in measured.items() if name in work}


def _inputs(shape: ModelShape) -> list[int]:
    """Sizes of the input groups of all blocks."""
    return list({(site.block, site.input_group): site.in_features for site in shape.sites}.values())


def _outputs(shape: ModelShape) -> list[int]:
    """Sizes of the outputs whose gradients' Gram matrices are kept whole."""
    return [site.out_features for site in shape.sites if site.out_features <= MAX_FULL_OUTPUT]
