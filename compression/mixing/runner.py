"""The same budget spent in five ways, measured; and what every other budget is predicted to cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from compression import export, pipeline, store, texts
from compression.accounting import (
    VALUE_BITS,
    average_removed_fraction,
    dense_bits,
    dictionary_bits,
    dictionary_size_for,
    low_rank_bits,
    rank_for,
)
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.methods.dictionary import DictionaryMethod
from compression.mixing.choose import Mix, best_mix
from compression.mixing.curves import FACTOR_BITS, GPTQ, JOINT, Line, budget_curves, coefficient, loss_lines
from compression.mixing.report import Choice, ChoiceCount, MixReport, MixRun, MixTable
from compression.mixing.table import WHOLE, grid_of, make_table
from compression.quantization.factors import bits_of
from compression.quantization.grid import QuantizationSettings
from compression.quantization.sequence import quantize_in_sequence
from compression.recipe import DENSE, OWN, Recipe
from compression.types import CalibrationSettings, CompressionPlan, LinearSite, Progress

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from compression.workbench import DenseModel, Workbench

LOW_RANK = "svd-llm"
"""The low-rank method beside the one that is asked for."""
GROUP_SIZES = (32, 48, 64, 96, 128, 192, 256, 0)
"""Of GPTQ alone: the finest that fits."""
CURVE_BUDGETS = tuple(2.25 + 0.25 * step for step in range(28))
"""Bits a weight at which curves are drawn."""
MAX_CACHE_BYTES = 2**26

Grids = Mapping[str, QuantizationSettings]


@dataclass(frozen=True)
class _Way:
    """One way to meet the budget: what is removed, and how what is left is rounded.

    Attributes:
        name: of the way.
        recipe: what is removed; dense for nothing.
        fractions: site name → share removed at 16 bits.
        grids: site name → how its values are rounded; without a name they keep 16 bits.
    """

    name: str
    recipe: Recipe
    fractions: Mapping[str, float]
    grids: Grids


@dataclass(frozen=True)
class _Task:
    """What all ways share."""

    bench: Workbench
    dense: DenseModel
    recipe: Recipe
    calibration: CalibrationSettings
    sequences: Tensor
    tokens: Tensor
    text: texts.Text
    window: int
    max_windows: int | None

    @cached_property
    def weights(self) -> int:
        """Of the layers."""
        return sum(site.num_weights for site in self.dense.sites)

    @cached_property
    def rest_bits(self) -> int:
        """Of everything else."""
        return pipeline.dense_stored_bits(self.dense.loaded) - VALUE_BITS * self.weights


def mix(
    bench: Workbench,
    recipe: Recipe,
    bits_per_weight: float | None = None,
    megabytes: float | None = None,
    text: str = "",
    window: int = 1024,
    max_windows: int | None = None,
    out: Path | None = None,
) -> Generator[Progress, None, MixReport]:
    """Meet one budget by GPTQ alone, by a method alone, by low rank and by the method with 4-bit GPTQ, and jointly.

    Jointly: every layer takes whichever choice of `compression.mixing.table` serves the sum best. All quantised models
    are quantised in sequence, on what arrives behind the layers before; what is measured before is kept.

    Args:
        bench: whose models and texts are used.
        recipe: the dense model, the method that removes, and what to calibrate on.
        bits_per_weight: stored bits of the compressible layers over their weights; or
        megabytes: of all tensors, 10⁶ bytes each.
        text: name of the text to measure on, or a file.
        window: tokens a window.
        max_windows: number of windows; None for all.
        out: where the model of the joint choice is written; None for nowhere.

    Yields:
        Among others, an event of stage ``run`` after each way, whose `partial` is its `MixRun`.

    Raises:
        UserError: for a budget that no way (with `out`: no mix by layer) meets, a compressed or a speech model, or a
            text that is too short.
    """
    if (bits_per_weight is None) == (megabytes is None):
        raise UserError("Give the budget either in bits a weight or in megabytes: one of the two.")
    recipe = replace(recipe, policy=OWN)
    recipe.check()
    if recipe.is_dense or not isinstance(recipe.build_method(), DictionaryMethod):
        raise UserError(
            f"A mix removes by a dictionary, such as compot-fisher makes, but {recipe.method} was asked for."
        )
    if out is not None:
        store.check_new_directory(out)
    dense = yield from bench.dense_model(recipe.model_id)
    dense.loaded.check_language()
    plain = replace(recipe, method=DENSE, policy="uniform")
    sequences, calibration = yield from bench.calibration_sequences(dense, plain)
    assert isinstance(calibration, CalibrationSettings)
    scored = yield from texts.load_text(text or texts.DEFAULT_EVALUATION)
    tokens = tokenize(dense.loaded.tokenizer, scored.content)
    task = _Task(bench, dense, recipe, calibration, sequences, tokens, scored, window, max_windows)
    if megabytes is not None:
        bits_per_weight = (8e6 * megabytes - task.rest_bits) / task.weights
    assert bits_per_weight is not None
    _check_budget(bits_per_weight, task)
    table = yield from _table(task)
    ways = yield from _ways(task, table, bits_per_weight)
    if out is not None and all(way.name != JOINT for way in ways):
        raise UserError("No mix by layer fits into this budget, so there is nothing to write: give a larger one.")
    lines = loss_lines(table, recipe.method, [each * task.weights for each in (*CURVE_BUDGETS, bits_per_weight)])
    whole = yield from _measured(task, _Way("dense", plain, {}, {}))
    runs: list[MixRun] = []
    for way in ways:
        runs.append(_predicted((yield from _measured(task, way)), lines, task))
        said = f"{way.name}: {runs[-1].bits_per_weight:.2f} bits a weight, perplexity {runs[-1].perplexity:.2f}"
        yield Progress("run", len(runs), len(ways), said, runs[-1])
    loss = whole.measured.negative_log_likelihood
    chosen, outdone, notes = joint_choice(tuple(runs))
    if out is not None:
        name = next(run.taken_from or JOINT for run in chosen if run.name == JOINT)
        yield from _write(task, next(way for way in ways if way.name == name), bits_per_weight, out)
    return MixReport(
        model_id=dense.loaded.id,
        model_note=dense.loaded.note,
        method=recipe.method,
        budget_bits_per_weight=bits_per_weight,
        calibration=calibration,
        dense=whole.measured,
        runs=chosen,
        curves=budget_curves(lines, runs, loss, task.rest_bits, task.weights),
        coefficient=coefficient(loss, runs),
        notes=(*dense.loaded.notes, *notes),
        environment=describe_environment(),
        outdone=outdone,
    )


def joint_choice(runs: tuple[MixRun, ...]) -> tuple[tuple[MixRun, ...], MixRun | None, tuple[str, ...]]:
    """The runs with a joint choice that is at least as good as each of the others, as measured.

    Returns:
        The runs; the mix by layer where another way measured better and took its place; and a sentence that says so.
    """
    best = min(runs, key=lambda run: run.perplexity, default=None)
    mixed = next((run for run in runs if run.name == JOINT), None)
    if best is None or mixed is None or best.perplexity >= mixed.perplexity:
        return runs, None, ()
    note = (
        f"At this budget the mix by layer measured perplexity {mixed.perplexity:.2f}, and another way "
        f"{best.perplexity:.2f}: the joint choice is {best.name}."
    )
    taken = replace(best, name=JOINT, taken_from=best.name)
    return tuple(taken if run is mixed else run for run in runs), mixed, (note,)


def _check_budget(bits_per_weight: float, task: _Task) -> None:
    smallest = sum(QuantizationSettings(2, 0).stored_bits(s.out_features, s.in_features) for s in task.dense.sites)
    least = math.ceil(100 * smallest / task.weights) / 100
    if not least <= bits_per_weight < VALUE_BITS:
        raise UserError(
            f"The budget must be from {least} to {VALUE_BITS} bits a weight ({_megabytes(least, task):.0f} to "
            f"{_megabytes(VALUE_BITS, task):.0f} MB in all), but {bits_per_weight:.2f} was asked for."
        )


def _megabytes(bits_per_weight: float, task: _Task) -> float:
    return (task.rest_bits + bits_per_weight * task.weights) / 8e6


def _table(task: _Task) -> Generator[Progress, None, MixTable]:
    """What every choice costs, made once for a model, a text and a method."""
    inputs, gradients, key = yield from task.bench.site_statistics(task.dense, task.recipe)
    file = store.root() / "mixes" / f"{store.content_key('mix table', code_version(), key)}.json"
    table = store.cached_json(file, MixTable)
    if table is None:
        method = task.recipe.build_method()
        table = yield from make_table(task.dense.loaded.model, task.dense.sites, method, inputs, gradients)
        store.write_cached(file, table)
    return table


def _ways(task: _Task, table: MixTable, bits_per_weight: float) -> Generator[Progress, None, list[_Way]]:
    budget = bits_per_weight * task.weights
    plain = replace(task.recipe, method=DENSE, policy="uniform")
    ways = []
    alone = _finest(task.dense.sites, budget)
    if alone is not None:
        ways.append(_Way(GPTQ, plain, {}, {site.name: alone for site in task.dense.sites}))
    for method, settings in (
        (task.recipe.method, None),
        (LOW_RANK, QuantizationSettings(FACTOR_BITS)),
        (task.recipe.method, QuantizationSettings(FACTOR_BITS)),
    ):
        recipe = replace(task.recipe, method=method)
        if method != task.recipe.method:
            recipe = replace(recipe, settings=(), iterations=None, atoms_per_nonzero=None, damping=None)
        ways += yield from _removing(task, recipe, settings, budget)
    joint = best_mix(table, budget)
    if joint is not None:
        ways.append(_joint(task, joint))
    return ways


def _finest(sites: tuple[LinearSite, ...], budget: float) -> QuantizationSettings | None:
    """Of the most bits that fit everywhere, the finest groups that fit."""
    for bits in range(8, 1, -1):
        for group in GROUP_SIZES:
            settings = QuantizationSettings(bits, group)
            if sum(settings.stored_bits(site.out_features, site.in_features) for site in sites) <= budget:
                return settings
    return None


def _removing(
    task: _Task, recipe: Recipe, settings: QuantizationSettings | None, budget: float
) -> Generator[Progress, None, list[_Way]]:
    """A method under its own policy that removes just enough; none where even the most is not enough."""
    recipe = recipe.resolved()

    def fits(fractions: Mapping[str, float]) -> bool:
        sites = task.dense.sites
        return sum(_bits(s, fractions[s.name], settings, recipe) for s in sites) <= budget

    low, high = 0, 9500
    best = None
    while low <= high:  # the smallest of 0.0001, 0.0002 … 0.95 that fits: bits fall with what is removed
        middle = (low + high) // 2
        asked = replace(recipe, removed_fraction=middle / 10_000)
        fractions = (yield from task.bench.split(task.dense, asked)).removed_fractions
        if fits(fractions):
            best, high = (asked, fractions), middle - 1
        else:
            low = middle + 1
    if best is None:
        return []
    name = recipe.method if settings is None else f"{recipe.method} + gptq"
    grids = {} if settings is None else {site.name: settings for site in task.dense.sites}
    return [_Way(name, best[0], best[1], grids)]


def _bits(site: LinearSite, fraction: float, settings: QuantizationSettings | None, recipe: Recipe) -> int:
    """What a layer takes after removing and rounding."""
    shape = site.out_features, site.in_features
    if fraction <= 0:
        return dense_bits(*shape) if settings is None else settings.stored_bits(*shape)
    if recipe.method == LOW_RANK:
        rank = rank_for(*shape, fraction)
        return settings.low_rank_bits(*shape, rank) if settings else low_rank_bits(*shape, rank)
    ratio = float(recipe.method_settings().get("atoms_per_nonzero", 2.0))
    size = dictionary_size_for(*shape, fraction, ratio)
    sizes = size.num_atoms, size.nonzeros_per_column
    if settings is not None:
        return settings.dictionary_bits(*shape, *sizes)
    return dictionary_bits(*shape, *sizes)


def _joint(task: _Task, joint: Mix) -> _Way:
    fractions = {name: choice.removed_fraction for name, choice in joint.choices.items()}
    grids = {name: grid for name, choice in joint.choices.items() if (grid := grid_of(choice)) is not None}
    removed = average_removed_fraction(task.dense.sites, fractions)
    recipe = replace(task.recipe, method=DENSE, policy="uniform")
    if removed > 0:
        pins = tuple(sorted(fractions.items()))
        recipe = replace(task.recipe, policy="uniform", removed_fraction=removed, pins=pins)
    return _Way(JOINT, recipe, fractions, grids)


def _measured(task: _Task, way: _Way) -> Generator[Progress, None, MixRun]:
    """A way carried out and measured, or what was measured before."""
    measuring = task.text.source.fingerprint, task.window, task.max_windows
    looked_at = None if way.recipe.is_dense and not way.grids else task.calibration
    key = store.content_key("mix", code_version(), task.dense.identity, way, looked_at, *measuring)
    file = store.root() / "mixes" / f"{key}.json"
    run = store.cached_json(file, MixRun)
    if run is None:
        model, _ = yield from _made(task, way)
        site_bits = sum(bits_of(model.get_submodule(site.name)) for site in task.dense.sites)
        stored = task.rest_bits + site_bits
        report = yield from measure_perplexity(
            model, task.tokens, task.text.source, stored, task.window, task.max_windows
        )
        run = MixRun(
            name=way.name,
            bits_per_weight=site_bits / task.weights,
            stored_bits=stored,
            perplexity=report.perplexity,
            measured=report,
            parts=_parts(task.dense.sites, way),
        )
        store.write_cached(file, run)
        store.prune(file.parent, MAX_CACHE_BYTES)
    return run


def _made(task: _Task, way: _Way) -> Generator[Progress, None, tuple[PreTrainedModel, CompressionPlan]]:
    """The model of a way, and the plan by which it lost what it lost."""
    loaded, sites = task.dense.loaded, task.dense.sites
    model, plan = loaded.model, pipeline.untouched(loaded, sites, GPTQ)
    if way.grids:
        plan = replace(plan, calibration=task.calibration)
    if not way.recipe.is_dense:
        compressed = yield from task.bench.compressed_model(way.recipe)
        model, plan = compressed.model, compressed.report.plan
    if way.grids:
        model = (yield from quantize_in_sequence(model, sites, task.sequences, way.grids)).model
    return model, plan


def _write(task: _Task, way: _Way, bits_per_weight: float, directory: Path) -> Generator[Progress, None, None]:
    """Write the model of a way, made again: what was measured of it may come from the cache."""
    model, plan = yield from _made(task, way)
    yield Progress("save", 0, 1, f"writing {directory}")
    note = f"Made by mix, as {way.name}, within {bits_per_weight:.2f} bits a weight."
    export.save(pipeline.restated(task.dense.loaded, model, task.dense.sites, plan, note), directory)
    yield Progress("save", 1, 1, f"wrote {directory}")


def _parts(sites: tuple[LinearSite, ...], way: _Way) -> tuple[ChoiceCount, ...]:
    """How many layers are stored how, the most weights first."""
    layers: Counter[Choice] = Counter()
    weights: Counter[Choice] = Counter()
    for site in sites:
        grid = way.grids.get(site.name)
        fraction = round(way.fractions.get(site.name, 0.0), 2)
        choice = Choice(fraction, grid.bits, grid.group_size) if grid else replace(WHOLE, removed_fraction=fraction)
        layers[choice] += 1
        weights[choice] += site.num_weights
    return tuple(ChoiceCount(choice, layers[choice], weights[choice]) for choice, _ in weights.most_common())


def _predicted(run: MixRun, lines: Mapping[str, Line], task: _Task) -> MixRun:
    """A run with what the table predicts for its kind at its size."""
    line = lines.get(run.name)
    return run if line is None else replace(run, predicted_loss=line.at(run.stored_bits - task.rest_bits))
