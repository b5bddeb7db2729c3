"""A whole model in few bits: layer after layer, each on what arrives behind those that are quantised already."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from compression.calibration import InputSums
from compression.modules import CompressedLinear
from compression.parallel import parallel_map
from compression.pipeline import rank_notes, sites_by_input
from compression.quantization.factors import output_error, quantize_layer
from compression.quantization.grid import QuantizationSettings
from compression.quantization.report import QuantizedSite
from compression.sites import compressed_copy
from compression.streams import Sequences, open_stream
from compression.types import LinearSite, Progress


@dataclass(frozen=True)
class QuantizedModel:
    """A model whose layers are quantised, and what became of each.

    Attributes:
        model: the torch module; all that is not quantised is shared with the original.
        sites: one report a layer.
        seconds: time taken.
    """

    model: PreTrainedModel
    sites: tuple[QuantizedSite, ...]
    seconds: float


Steps = Generator[Progress, None, QuantizedModel]


def quantize_plainly(model: PreTrainedModel, sites: tuple[LinearSite, ...], settings: QuantizationSettings) -> Steps:
    """Round every weight to the nearest value of its group's grid.

    Args:
        model: dense, or compressed; it is not changed.
        sites: what is quantised.
        settings: how.
    """
    started = time.perf_counter()
    layers: dict[str, nn.Module] = {}
    reports: list[QuantizedSite] = []

    def round_site(site: LinearSite) -> tuple[CompressedLinear, QuantizedSite]:
        begun = time.perf_counter()
        layer = quantize_layer(model.get_submodule(site.name), None, settings)
        return layer, _report(site, layer, time.perf_counter() - begun)

    with closing(parallel_map(round_site, sites)) as results:
        for layer, report in results:
            layers[report.name] = layer
            reports.append(report)
            yield Progress("quantize", len(reports), len(sites), f"round to nearest: {report.name}")
    return QuantizedModel(compressed_copy(model, layers), tuple(reports), time.perf_counter() - started)


def quantize_in_sequence(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    sequences: Sequences,
    settings: QuantizationSettings | Mapping[str, QuantizationSettings],
) -> Steps:
    """GPTQ, layer after layer in the order they run.

    The layers that read the same input are quantised together, on what arrives behind everything before them that is
    quantised already: in the blocks before, and inside of the same block.

    Args:
        model: dense, or compressed; it is not changed.
        sites: what is quantised.
        sequences: to calibrate on.
        settings: how; or, by a site's name, how for each, and the others stay as they are.

    Raises:
        UserError: if the inputs of a layer are no finite numbers.

    Source: GPTQ (2210.17323), section 4, with the authors' option "true sequential".
    """
    started = time.perf_counter()
    how = settings if isinstance(settings, Mapping) else {site.name: settings for site in sites}
    sites = tuple(site for site in sites if site.name in how)
    layers: dict[str, nn.Module] = {}
    reports: dict[str, QuantizedSite] = {}
    stream = open_stream(model, sequences)
    yield from stream.start()
    for index, block in enumerate(stream.blocks):
        inside: dict[str, nn.Module] = {}
        for group in sites_by_input(tuple(block.sites(sites))):
            sums = InputSums(group)
            sums.look(stream, index, compressed_copy(block.module, inside))
            gram, seen = (of[group[0].input_group] for of in (sums.grams, sums.positions))

            def quantize(site: LinearSite, gram=gram, seen=seen) -> tuple[CompressedLinear, QuantizedSite]:  # type: ignore[no-untyped-def]
                begun = time.perf_counter()
                before = model.get_submodule(site.name)
                notes: list[str] = []
                layer = quantize_layer(before, gram, how[site.name], notes.append)
                error = output_error(before, layer, gram)
                return layer, _report(site, layer, time.perf_counter() - begun, error, seen, tuple(notes))

            with closing(parallel_map(quantize, group)) as results:
                for layer, report in results:
                    layers[report.name] = inside[report.name.removeprefix(f"{block.path}.")] = layer
                    reports[report.name] = report
                    yield Progress("quantize", len(reports), len(sites), f"quantising by GPTQ: {report.name}")
        stream.run(index, compressed_copy(block.module, inside))
    ordered = tuple(reports[site.name] for site in sites)
    return QuantizedModel(compressed_copy(model, layers), ordered, time.perf_counter() - started)


def _report(
    site: LinearSite,
    layer: CompressedLinear,
    seconds: float,
    error: float | None = None,
    positions: int = 0,
    notes: tuple[str, ...] = (),
) -> QuantizedSite:
    shape = (site.out_features, site.in_features)
    stored = layer.stored_bits()
    return QuantizedSite(site.name, site.block, site.projection, shape, stored, error, seconds, positions, notes)


def notes_of(quantized: tuple[QuantizedSite, ...], sites: tuple[LinearSite, ...]) -> tuple[str, ...]:
    """What must be said of layers after GPTQ: where the calibration was too short, and each fallback with its layer.

    Args:
        quantized: what became of them.
        sites: the layers, in any order.
    """
    groups = {site.name: site.input_group for site in sites}
    seen = {groups[each.name]: each.positions for each in quantized}
    return (*rank_notes(sites, seen), *(f"{each.name}: {note}" for each in quantized for note in each.notes))
