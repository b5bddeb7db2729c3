"""``bench inference``: does a smaller layer run faster, against dense and against its own FLOPs and bytes?

Dense and compressed take turns in every round, so that drift of the machine hits both, and a speed ratio is the median
over the rounds of dense time ÷ compressed time. Layers are timed as many of one shape one after the other, so that each
token finds its weights outside the cache, as in a model.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from compression import accounting
from compression.benchmarks.inference_report import (
    InferenceBenchmark,
    LayerBenchmark,
    MethodBenchmark,
    ModelBenchmark,
    Timing,
    Work,
)
from compression.environment import describe_environment
from compression.errors import UserError
from compression.evaluation.latency import REPEATS, check_context, check_numbers, measure_latency, time_once
from compression.methods import fast_methods
from compression.modules import CompressedLinear, bytes_held
from compression.recipe import Recipe
from compression.types import FASTER, LatencyFigure, LinearSite, Progress
from compression.workbench import Steps, Workbench, check_language_model, exclusive

MAX_LAYERS = 24
"""Layers of one shape that are timed, in turn; their weights together do not fit a second-level cache."""
CALIBRATION_SEQUENCES = 8
CALIBRATION_LENGTH = 128
DISTURBED = 0.2
"""IQR ÷ median above which other programs have taken part in a measurement."""


@dataclass(frozen=True)
class _Times:
    """Seconds of each round, all layers of one row together: [dense, compressed] of each phase."""

    prefill: tuple[list[float], list[float]]
    decode: tuple[list[float], list[float]]


@exclusive
def benchmark_inference(
    workbench: Workbench,
    model_id: str,
    methods: tuple[str, ...] | None = None,
    removed_fraction: float = 0.4,
    prompt_tokens: int = 512,
    decode_tokens: int = 16,
    repeats: int = REPEATS,
    iterations: int = 0,
    calibration_text: str = "",
) -> Steps[InferenceBenchmark]:
    """Compress with each method, the same share everywhere, and time layers and model against dense.

    Args:
        workbench: what compresses.
        model_id: a dense model.
        methods: names; those that are not slow by default.
        removed_fraction: above 0, at most 0.95.
        prompt_tokens: tokens of a prefill.
        decode_tokens: single-token steps in a row.
        repeats: rounds in which dense and compressed take turns.
        iterations: alternations of an iterative method; they change values and not speed, so none is enough.
        calibration_text: a little of it is used; it too changes values only.

    Raises:
        UserError: for an unknown model or method, or a number out of range.
    """
    if accounting.check_removed_fraction(removed_fraction) == 0:
        raise UserError("The removed fraction must be above 0 here: at 0 nothing is compressed and there is no ratio.")
    check_numbers(prompt_tokens, decode_tokens, repeats)
    names = fast_methods() if methods is None else methods
    recipe = Recipe(
        model_id,
        policy="uniform",
        removed_fraction=removed_fraction,
        calibration_text=calibration_text,
        num_sequences=CALIBRATION_SEQUENCES,
        sequence_length=CALIBRATION_LENGTH,
        iterations=iterations,
    )
    for name in names:
        replace(recipe, method=name).build_method()
    dense = yield from workbench._load(model_id)
    check_language_model(dense)
    check_context(dense.loaded.model, prompt_tokens, decode_tokens)
    context = getattr(dense.loaded.model.config, "max_position_embeddings", None) or CALIBRATION_LENGTH
    recipe = replace(recipe, sequence_length=min(CALIBRATION_LENGTH, context))
    results = []
    for name in names:
        compressed = yield from workbench._compress(replace(recipe, method=name))
        shapes, total = yield from measure_layers(
            dense.loaded.model, compressed.model, dense.sites, prompt_tokens, decode_tokens, repeats
        )
        whole = yield from measure_model(
            dense.loaded.model, compressed.model, total, prompt_tokens, decode_tokens, repeats
        )
        report = compressed.report
        results.append(MethodBenchmark(name, report.plan.settings, report.removed_fraction, shapes, total, whole))
    return InferenceBenchmark(
        model_id=dense.loaded.id,
        model_note=dense.loaded.note,
        weights_hash=dense.loaded.weights_hash,
        removed_fraction=removed_fraction,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        repeats=repeats,
        threads=torch.get_num_threads(),
        methods=tuple(results),
        notes=(
            f"dense and compressed took turns in each of {repeats} rounds (torch.utils.benchmark, two warm-ups before "
            "each counted run); medians, IQR beside them in the JSON",
            f"factors come from the real methods with {iterations} alternations and a short calibration: speed depends "
            "on sizes, not on values",
            "the FLOP ratio counts a dictionary layer's nonzeros only, as papers do; executed FLOPs are what runs",
        ),
        environment=describe_environment(),
    )


def measure_layers(
    dense: nn.Module,
    compressed: nn.Module,
    sites: tuple[LinearSite, ...],
    prompt_tokens: int,
    decode_tokens: int,
    repeats: int,
) -> Steps[tuple[tuple[LayerBenchmark, ...], LayerBenchmark]]:
    """Time the layers of each distinct shape, and add them up.

    Returns:
        One row for each shape in model order, and their sum.
    """
    by_shape: dict[tuple[int, int], list[LinearSite]] = {}
    for site in sites:
        by_shape.setdefault((site.out_features, site.in_features), []).append(site)
    times = {shape: _Times(([], []), ([], [])) for shape in by_shape}
    threads = torch.get_num_threads()
    for round_ in range(repeats):
        for shape, group in by_shape.items():
            timed = group[:MAX_LAYERS]
            for side, model in enumerate((dense, compressed)):
                layers = [model.get_submodule(site.name) for site in timed]
                for phase, tokens, passes in (("prefill", prompt_tokens, 1), ("decode", 1, decode_tokens)):
                    run = _Run(layers, _input(tokens, shape[1]), passes)
                    seconds = time_once(run, threads).median * len(group) / len(timed) / passes
                    getattr(times[shape], phase)[side].append(seconds)
        yield Progress("bench", round_ + 1, repeats, f"layers, round {round_ + 1} of {repeats}")
    rows = tuple(
        _row(f"{shape[0]} × {shape[1]}", group, min(len(group), MAX_LAYERS), dense, compressed, times[shape])
        for shape, group in by_shape.items()
    )
    summed = _Times(_sum([t.prefill for t in times.values()]), _sum([t.decode for t in times.values()]))
    timed_layers = sum(row.timed_layers for row in rows)
    return rows, _row("all compressible layers", list(sites), timed_layers, dense, compressed, summed)


def measure_model(
    dense: Any, compressed: Any, layers: LayerBenchmark, prompt_tokens: int, decode_tokens: int, repeats: int
) -> Steps[ModelBenchmark]:
    """Time the whole model and say what its layers explain of it.

    Args:
        dense: the dense model.
        compressed: the compressed one.
        layers: all compressible layers, timed by themselves.
        prompt_tokens: tokens of a prefill.
        decode_tokens: single-token steps.
        repeats: rounds.
    """
    models = {"dense": dense, "compressed": compressed}
    report = yield from measure_latency(models, prompt_tokens, decode_tokens, repeats)

    def timing(figures: dict[str, LatencyFigure], promised: float, executed: float) -> Timing:
        ratio = figures["dense"].median_ms / figures["compressed"].median_ms
        return Timing(figures["dense"], figures["compressed"], ratio, ratio / promised, ratio / executed)

    work = layers.work
    prefill = timing(report.prefill, work.flop_ratio, work.executed_flop_ratio)
    decode = timing(report.decode, work.byte_ratio, work.byte_ratio)
    share = min(1.0, layers.prefill.dense.median_ms / prefill.dense.median_ms)
    possible = 1 / (1 - share + share / layers.prefill.speed_ratio)
    remarks = [
        f"The compressible layers take {share:.0%} of a dense prefill; the rest (attention, norms, activations, output "
        f"head) stays as it is: {layers.prefill.speed_ratio:.2f} × on the layers can give {possible:.2f} × on the "
        f"model, and {prefill.speed_ratio:.2f} × was measured."
    ]
    return ModelBenchmark(
        prefill=prefill,
        decode=decode,
        dense_resident_bytes=model_resident_bytes(dense),
        resident_bytes=model_resident_bytes(compressed),
        dense_layer_share=share,
        possible_speed_ratio=possible,
        execution=report.execution,
        remarks=(*remarks, *_slower("the whole model", prefill, decode, work), *_scatter("the whole model", prefill)),
    )


def model_resident_bytes(model: nn.Module) -> int:
    """Bytes of all tensors a model holds: parameters and buffers, ties once, and what compressed layers expanded."""
    tensors = [*model.parameters(), *model.buffers()]
    return bytes_held(tensors) + sum(m.expanded_bytes() for m in model.modules() if isinstance(m, CompressedLinear))


class _Run:
    """Some layers of one shape, one after the other, `passes` times, on the same input."""

    def __init__(self, layers: list[nn.Module], x: Tensor, passes: int) -> None:
        self.layers, self.x, self.passes = layers, x, passes

    def __call__(self) -> None:
        with torch.inference_mode():
            for _ in range(self.passes):
                for layer in self.layers:
                    layer(self.x)


def _input(tokens: int, features: int) -> Tensor:
    return torch.randn(1, tokens, features, generator=torch.Generator().manual_seed(0))


def _sum(phases: list[tuple[list[float], list[float]]]) -> tuple[list[float], list[float]]:
    """Add up rounds over shapes, dense and compressed apart."""
    dense, compressed = ([sum(values) for values in zip(*side, strict=True)] for side in zip(*phases, strict=True))
    return dense, compressed


def _figure(seconds: list[float]) -> LatencyFigure:
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return LatencyFigure(1e3 * statistics.median(seconds), 1e3 * (high - low), len(seconds))


def _timing(times: tuple[list[float], list[float]], promised: float, executed: float) -> Timing:
    ratio = statistics.median(d / c for d, c in zip(*times, strict=True))
    return Timing(_figure(times[0]), _figure(times[1]), ratio, ratio / promised, ratio / executed)


def _row(
    label: str, group: list[LinearSite], timed_layers: int, dense: nn.Module, compressed: nn.Module, times: _Times
) -> LayerBenchmark:
    originals = [dense.get_submodule(site.name) for site in group]
    layers = [compressed.get_submodule(site.name) for site in group]
    # Layers that were not timed have not expanded their factors yet; what they hold is counted as it is when they run.
    with torch.inference_mode():
        for site, layer in zip(group, layers, strict=True):
            layer(_input(1, site.in_features))
    work = measure_work(originals, layers, group)
    prefill = _timing(times.prefill, work.flop_ratio, work.executed_flop_ratio)
    decode = _timing(times.decode, work.byte_ratio, work.byte_ratio)
    compressed_layers = [layer for layer in layers if isinstance(layer, CompressedLinear)]
    sizes = {", ".join(f"{k} {v}" for k, v in layer.spec().items()) for layer in compressed_layers}
    return LayerBenchmark(
        label=label,
        layers=len(group),
        timed_layers=timed_layers,
        projections=tuple(dict.fromkeys(site.projection for site in group)),
        sizes=sizes.pop() if len(sizes) == 1 else "",
        execution=dict(Counter(_execution(layer) for layer in layers)),
        work=work,
        prefill=prefill,
        decode=decode,
        remarks=(
            *_slower(label, prefill, decode, work),
            *_memory(label, compressed_layers, work),
            *_scatter(label, prefill),
        ),
    )


def _execution(layer: nn.Module) -> str:
    return layer.execution if isinstance(layer, CompressedLinear) else "dense"


def measure_work(originals: list[nn.Module], layers: list[nn.Module], sites: list[LinearSite]) -> Work:
    """FLOPs from the sizes, bytes from the tensors the layers really hold.

    Args:
        originals: the dense layers.
        layers: what stands in their place, after a forward pass.
        sites: their sizes.
    """
    dense_flops = flops = executed = dense_read = read = dense_held = held = dense_stored = stored = 0
    for original, layer, site in zip(originals, layers, sites, strict=True):
        shape = site.out_features, site.in_features
        weight = original.weight
        assert isinstance(weight, Tensor)
        dense_flops += accounting.dense_flops(*shape)
        dense_read += weight.numel() * weight.element_size()
        dense_held += bytes_held([*original.parameters(), *original.buffers()])
        dense_stored += accounting.dense_bits(*shape) // 8
        if isinstance(layer, CompressedLinear):
            flops += layer.flops()
            executed += layer.executed_flops()
            read += layer.expanded_bytes()
            held += layer.resident_bytes()
            stored += layer.stored_bits() // 8
        else:
            flops += accounting.dense_flops(*shape)
            executed += accounting.dense_flops(*shape)
            read += weight.numel() * weight.element_size()
            held += bytes_held([*layer.parameters(), *layer.buffers()])
            stored += accounting.dense_bits(*shape) // 8
    return Work(
        dense_flops=dense_flops,
        flops=flops,
        executed_flops=executed,
        flop_ratio=dense_flops / flops,
        executed_flop_ratio=dense_flops / executed,
        dense_bytes_read=dense_read,
        bytes_read=read,
        byte_ratio=dense_read / read,
        dense_resident_bytes=dense_held,
        resident_bytes=held,
        dense_stored_bytes=dense_stored,
        stored_bytes=stored,
    )


def _slower(label: str, prefill: Timing, decode: Timing, work: Work) -> list[str]:
    slow = [f"{t.speed_ratio:.2f} × in {n}" for n, t in (("prefill", prefill), ("decode", decode)) if _not_faster(t)]
    if not slow:
        return []
    size = work.stored_bytes / work.dense_stored_bytes
    return [f"Smaller is not faster for {label}: {size:.0%} of the layers' bytes on disk, speed {' and '.join(slow)}."]


def _not_faster(timing: Timing) -> bool:
    return timing.speed_ratio < FASTER


def _scatter(label: str, timing: Timing) -> list[str]:
    spread = max(figure.iqr_ms / figure.median_ms for figure in (timing.dense, timing.compressed))
    if spread <= DISTURBED:
        return []
    return [f"The prefill times of {label} scatter by {spread:.0%} (IQR ÷ median): repeat on an idle machine."]


def _memory(label: str, layers: list[CompressedLinear], work: Work) -> list[str]:
    remarks = []
    merged = sum(layer.execution == "merged" for layer in layers)
    if merged:
        remarks.append(f"{merged} of {len(layers)} layers of {label} run merged: dense FLOPs, dense memory and more.")
    if any(layer.representation == "dictionary" and layer.execution == "factored" for layer in layers):
        remarks.append(
            f"The zeros of {label} are filled in: {work.executed_flops / work.dense_flops:.0%} of the dense FLOPs run, "
            f"where skipping them would leave {work.flops / work.dense_flops:.0%}."
        )
    if work.resident_bytes > work.dense_resident_bytes:
        remarks.append(
            f"{label} hold {work.resident_bytes / work.dense_resident_bytes:.2f} × the memory of dense float32 layers "
            "while they run: the 16-bit values stay beside their float32 form."
        )
    return remarks
