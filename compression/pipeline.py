"""Plan → compressed model: the one loop over sites that every per-site method shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from compression import accounting
from compression.allocation import CURVE_FRACTIONS, LossCurves, Spectra
from compression.calibration import Calibration, Gradients, InputSums, SiteStatistics, observed_inputs
from compression.errors import UserError
from compression.linalg import relative_output_error, singular_values
from compression.mapped import keep_aside
from compression.methods import METHODS, CompressionMethod, JointMethod, SiteResult, create_method
from compression.modules import CompressedLinear
from compression.parallel import parallel_map
from compression.sites import compressed_copy, site_bias, site_weight
from compression.steps import finish as finish
from compression.streams import BlockStream, Sequences, open_stream
from compression.types import Allocation, CompressionPlan, CompressionReport, LinearSite, Progress, SiteReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compression.models import LoadedModel
    from compression.recipe import Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class CompressedModel:
    """A model with compressed layers, ready to run, and the report on how it came to be.

    Attributes:
        source: the dense model it was made from, or a stand-in with the same identity when read from disk.
        model: the torch module with compressed layers.
        report: what was done.
        recipe: what was asked for, where that is known.
    """

    source: LoadedModel
    model: PreTrainedModel
    report: CompressionReport
    recipe: Recipe | None = None


def measure_spectra(model: nn.Module, sites: tuple[LinearSite, ...]) -> Generator[Progress, None, Spectra]:
    """Singular values of every site's original weight."""
    spectra = {}
    with closing(parallel_map(lambda site: singular_values(site_weight(model, site)), sites)) as results:
        for index, (site, values) in enumerate(zip(sites, results, strict=True)):
            spectra[site.name] = values.numpy()
            yield Progress("spectra", index + 1, len(sites), f"spectrum of {site.name}")
    return spectra


def measure_whitened_spectra(
    model: nn.Module, sites: tuple[LinearSite, ...], calibration: Calibration
) -> Generator[Progress, None, Spectra]:
    """Singular values of every site's whitened weight ``LᵀA``."""

    def whiten_group(group: list[LinearSite]) -> list[tuple[str, Tensor]]:
        whitening = calibration.statistics(group[0].input_group).whitening()
        return [(s.name, singular_values(whitening.whiten(site_weight(model, s).T))) for s in group]

    spectra: Spectra = {}
    with closing(parallel_map(whiten_group, sites_by_input(sites))) as results:
        for name, values in chain.from_iterable(results):
            spectra[name] = values.numpy()
            yield Progress("analyze", len(spectra), len(sites), f"whitened spectrum of {name}")
    return spectra


def measure_curves(
    model: nn.Module,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    calibration: Calibration,
    gradients: Gradients,
) -> Generator[Progress, None, LossCurves]:
    """Every site's error curve under a method, made non-decreasing: what the policy ``fisher`` and the forecast use.

    Raises:
        UserError: naming the site whose statistics are unusable.
    """
    steps = _measure_sites(model, sites, method.predicted_losses, calibration, gradients)
    return (yield from _collect_curves(steps, len(sites), "error curve of"))


def measure_output_errors(
    model: nn.Module,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    calibration: Calibration,
    gradients: Gradients | None,
) -> Generator[Progress, None, LossCurves]:
    """Every site's relative output error under a method, made non-decreasing: what the policy ``knapsack`` sums up.

    Raises:
        UserError: naming the site whose statistics are unusable.
    """
    steps = _measure_sites(model, sites, method.output_errors, calibration, gradients)
    return (yield from _collect_curves(steps, len(sites), "output errors of"))


Curve = tuple[str, tuple[float, ...]]
"""A site's name and one value for each of `CURVE_FRACTIONS`."""


def _collect_curves(curves: Iterator[Curve], count: int, what: str) -> Generator[Progress, None, LossCurves]:
    losses: dict[str, tuple[float, ...]] = {}
    for name, curve in curves:
        losses[name] = curve
        yield Progress("curves", len(losses), count, f"{what} {name}")
    return LossCurves(losses)


def _measure_sites(
    model: nn.Module,
    sites: tuple[LinearSite, ...],
    measure: Callable[[Tensor, SiteStatistics, tuple[float, ...]], Tensor],
    calibration: Calibration,
    gradients: Gradients | None,
) -> Iterator[Curve]:
    """What `measure` says of every site at `CURVE_FRACTIONS`, several sites at a time."""

    def curves_of(group: list[LinearSite]) -> list[Curve]:
        shared = calibration.statistics(group[0].input_group)
        return [(site.name, curve_of(site, shared.with_outputs(gradients, site.name))) for site in group]

    def curve_of(site: LinearSite, statistics: SiteStatistics) -> tuple[float, ...]:
        try:
            curve = measure(site_weight(model, site), statistics, CURVE_FRACTIONS)
        except UserError as error:
            raise UserError(f"{site.name}: {error}") from error
        return tuple(curve.cummax(0).values.tolist())

    with closing(parallel_map(curves_of, sites_by_input(sites))) as results:
        yield from chain.from_iterable(results)


def compress(
    source: LoadedModel,
    sites: tuple[LinearSite, ...],
    plan: CompressionPlan,
    calibration: Calibration | None,
    gradients: Gradients | None = None,
    sequences: Sequences | None = None,
) -> Generator[Progress, None, CompressedModel]:
    """Carry out a plan, site by site; the dense model is not changed.

    Args:
        source: the dense model.
        sites: its sites.
        plan: what to do; `plan.allocation` decides how much of each site goes.
        calibration: statistics of the inputs; also used to report output errors.
        gradients: statistics of the output gradients, for methods that use them.
        sequences: the calibration sequences, for a method that observes inputs or collects them again behind
            compressed blocks.

    Yields:
        One event a site, whose `partial` is its `SiteReport`.

    Raises:
        UserError: if the method needs statistics that are not given or are unusable.
    """
    started = time.perf_counter()
    method = create_method(plan.method, **plan.settings)
    if method.uses_calibration and calibration is None:
        raise UserError(f"The method {plan.method} needs calibration text: name one.")
    if method.uses_gradients and gradients is None:
        raise UserError(f"The method {plan.method} needs output gradients: give a longer calibration text.")
    learning = 0.0
    if isinstance(method, JointMethod) and plan.allocation.target > 0:
        if not isinstance(sequences, Tensor) or calibration is None:
            raise UserError(f"The method {plan.method} needs calibration text: name one.")
        seed = plan.calibration.seed if plan.calibration else 0
        target = plan.allocation.target
        learned = yield from method.compress_jointly(source.model, sites, sequences, target, seed)
        learning = time.perf_counter() - started
        steps = _report_joint(source.model, sites, learned, calibration)
    else:
        steps = _compress_all(source.model, sites, method, plan, calibration, gradients)
    if getattr(method, "recalibrate", 0):
        assert sequences is not None
        steps = _compress_behind(source.model, sites, method, plan, sequences, gradients)
    elif method.observes_inputs and sequences is not None:
        steps = _compress_observing(source.model, sites, method, plan, sequences, calibration, gradients)
    layers: dict[str, nn.Module] = {}
    reports: dict[str, SiteReport] = {}
    with closing(steps):
        for layer, site_report in steps:
            if layer is not None:
                keep_aside(source.model, layer)
                layers[site_report.name] = layer
            reports[site_report.name] = site_report
            message = f"{plan.method}: {site_report.name}"
            yield Progress("compress", len(reports), len(sites), message, site_report)
    model = compressed_copy(source.model, layers)
    if method.joint:  # what it decided takes the place of what stood for it
        decided = {name: max(report.removed_fraction, 0.0) for name, report in reports.items()}
        plan = replace(plan, allocation=replace(plan.allocation, removed_fractions=decided))
    report = summarise(model, plan, tuple(reports[site.name] for site in sites), calibration)
    seconds = time.perf_counter() - started
    factorising = learning + sum(r.seconds for r in reports.values())
    stages = {"calibration": report.calibration_seconds, "factorisation": factorising}
    short = rank_notes(sites, calibration.num_positions) if calibration else ()
    notes = (*source.notes, *short, *report.notes)
    report = replace(report, compress_seconds=seconds, stages=stages, notes=notes, model_note=source.note)
    return CompressedModel(source, model, report)


SiteOutcome = tuple[CompressedLinear | None, SiteReport]


def _compress_all(
    model: nn.Module,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    plan: CompressionPlan,
    calibration: Calibration | None,
    gradients: Gradients | None,
    observed: Mapping[str, Tensor] | None = None,
) -> Generator[SiteOutcome, None, None]:
    """Compress every site with the statistics as they are, and what was observed, several at a time."""
    removed = plan.allocation.removed_fractions

    def compress_group(group: list[LinearSite]) -> list[SiteOutcome]:
        # Sites that read the same input share its factorisation, which is dropped with the group.
        shared = calibration.statistics(group[0].input_group) if calibration else None
        return [_compress_site(model, site, method, statistics_of(site, shared), removed[site.name]) for site in group]

    def statistics_of(site: LinearSite, shared: SiteStatistics | None) -> SiteStatistics | None:
        # Output gradients are read from disk: only for a site that needs them.
        wanted = shared is not None and method.uses_gradients and removed[site.name] > 0
        statistics = shared.with_outputs(gradients, site.name) if shared is not None and wanted else shared
        if statistics is not None and observed and site.name in observed:
            return replace(statistics, observed=observed[site.name])
        return statistics

    with closing(parallel_map(compress_group, sites_by_input(sites))) as results:
        yield from chain.from_iterable(results)


def _report_joint(
    model: nn.Module, sites: tuple[LinearSite, ...], results: Mapping[str, SiteResult], calibration: Calibration
) -> Generator[SiteOutcome, None, None]:
    """The outcomes of a method that has compressed all sites at once."""

    def report_group(group: list[LinearSite]) -> list[SiteOutcome]:
        shared = calibration.statistics(group[0].input_group)
        return [(results[site.name].layer, report(site, shared)) for site in group]

    def report(site: LinearSite, statistics: SiteStatistics) -> SiteReport:
        started = time.perf_counter()
        layer, weight, bias = results[site.name].layer, site_weight(model, site), site_bias(model, site)
        new_values = (0 if layer.bias is None else layer.bias.numel()) - (0 if bias is None else bias.numel())
        stored_bits = layer.stored_bits() + accounting.VALUE_BITS * new_values
        error = relative_output_error(weight, layer.dense_weight(), statistics.gram)
        removed = accounting.removed_fraction(stored_bits, accounting.dense_bits(*weight.shape))
        return _site_report(site, removed, results[site.name], stored_bits, error, time.perf_counter() - started)

    with closing(parallel_map(report_group, sites_by_input(sites))) as outcomes:
        yield from chain.from_iterable(outcomes)


def _compress_behind(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    plan: CompressionPlan,
    sequences: Sequences,
    gradients: Gradients | None,
) -> Generator[SiteOutcome, None, None]:
    """Compress block by block; each block's inputs are collected behind the compressed blocks before it."""
    stream = open_stream(model, sequences)
    for _ in stream.start():
        pass
    for index, block in enumerate(stream.blocks):
        members = tuple(block.sites(sites))
        sums = InputSums(list(members))
        waiting = list(stream.hidden)
        sums.run(stream, index)
        behind = Calibration(sums.grams, sums.positions, "", 0.0)
        layers: dict[str, nn.Module] = {}
        for layer, report in _compress_all(model, members, method, plan, behind, gradients):
            if layer is not None:
                layers[report.name.removeprefix(f"{block.path}.")] = layer
            yield layer, report
        if layers:
            stream.hidden = waiting
            stream.run(index, compressed_copy(block.module, layers))


def _compress_observing(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    method: CompressionMethod,
    plan: CompressionPlan,
    sequences: Sequences,
    calibration: Calibration | None,
    gradients: Gradients | None,
) -> Generator[SiteOutcome, None, None]:
    """Compress block by block; the method sees each block's inputs, which are dropped with the block."""
    removed = plan.allocation.removed_fractions
    stream = open_stream(model, sequences)
    for _ in stream.start():
        pass
    for index, block in enumerate(stream.blocks):
        members = tuple(block.sites(sites))
        compressed = [site for site in members if removed[site.name] > 0]
        inputs: dict[str, list[Tensor]] = {site.input_group: [] for site in compressed}
        readers = {site.input_group: site for site in compressed}
        with observed_inputs(model, readers, _collector(inputs, stream)):
            stream.run(index)

        def observe(site: LinearSite, inputs: dict[str, list[Tensor]] = inputs) -> Tensor | None:
            seen: Tensor | None = None
            for batch in inputs[site.input_group]:
                seen = method.observe(site_weight(model, site), batch, seen, removed[site.name])
            return seen

        with closing(parallel_map(observe, compressed)) as results:
            observed = {s.name: seen for s, seen in zip(compressed, results, strict=True) if seen is not None}
        yield from _compress_all(model, members, method, plan, calibration, gradients, observed)


def _collector(inputs: dict[str, list[Tensor]], stream: BlockStream) -> Callable[[str, Tensor], None]:
    return lambda group, batch: inputs[group].append(stream.by_sequence(batch.detach()))


def rank_notes(sites: tuple[LinearSite, ...], num_positions: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence where the calibration text was too short for some inputs.

    Args:
        sites: what was calibrated.
        num_positions: input group → positions that its Gram matrix is the sum of.
    """
    short = {s.input_group: s for s in sites if num_positions.get(s.input_group, s.in_features) < s.in_features}
    if not short:
        return ()
    widest = max(site.in_features for site in short.values())
    seen = min(num_positions[group] for group in short)
    return (
        f"{len(short)} input Gram matrices are rank-deficient: {seen} calibration tokens for up to {widest} inputs, so "
        f"directions that the text never used count as free; calibrate on at least {widest} tokens.",
    )


def sites_by_input(sites: tuple[LinearSite, ...]) -> list[list[LinearSite]]:
    """Sites in lists of those that read the same input, in model order."""
    groups: dict[str, list[LinearSite]] = {}
    for site in sites:
        groups.setdefault(site.input_group, []).append(site)
    return list(groups.values())


def _compress_site(
    model: nn.Module,
    site: LinearSite,
    method: CompressionMethod,
    statistics: SiteStatistics | None,
    removed_fraction: float,
) -> tuple[CompressedLinear | None, SiteReport]:
    started = time.perf_counter()
    weight = site_weight(model, site)
    original_bits = accounting.dense_bits(*weight.shape)
    result: SiteResult | None = None
    if removed_fraction > 0:
        try:
            result = method.compress(weight, site_bias(model, site), statistics, removed_fraction)
        except UserError as error:
            raise UserError(f"{site.name}: {error}") from error
    stored_bits = result.layer.stored_bits() if result else original_bits
    output_error = None
    if result and statistics is not None:
        output_error = relative_output_error(weight, result.layer.dense_weight(), statistics.gram)
    elif statistics is not None:
        output_error = 0.0
    seconds = time.perf_counter() - started
    return result.layer if result else None, _site_report(
        site, removed_fraction, result, stored_bits, output_error, seconds
    )


def _site_report(
    site: LinearSite,
    target: float,
    result: SiteResult | None,
    stored_bits: int,
    output_error: float | None,
    seconds: float,
) -> SiteReport:
    """What became of a site; `result` is None where it stays dense."""
    original_bits = accounting.dense_bits(site.out_features, site.in_features)
    return SiteReport(
        name=site.name,
        block=site.block,
        projection=site.projection,
        shape=(site.out_features, site.in_features),
        removed_fraction_target=target,
        removed_fraction=accounting.removed_fraction(stored_bits, original_bits),
        stored_bits=stored_bits,
        representation=result.layer.representation if result else "dense",
        quantities=result.layer.spec() if result else {},
        relative_output_error=output_error,
        seconds=seconds,
        convergence=result.convergence if result else (),
        notes=result.notes if result else (),
    )


def restated(
    source: LoadedModel, model: PreTrainedModel, sites: tuple[LinearSite, ...], before: CompressionPlan, note: str
) -> CompressedModel:
    """A model whose layers were changed by something else than a plan, with a report of what they are now.

    Args:
        source: the dense model, or a stand-in with the same identity.
        model: with the layers as they are now.
        sites: the layers that are or were dense.
        before: the plan that was carried out before; its method stays the one that is named.
        note: a sentence that says what was done then. No recipe makes the same bytes again.
    """
    reports = []
    for site in sites:
        layer = model.get_submodule(site.name)
        made = SiteResult(layer) if isinstance(layer, CompressedLinear) else None
        shape = site.out_features, site.in_features
        stored = made.layer.stored_bits() if made else accounting.dense_bits(*shape)
        removed = accounting.removed_fraction(stored, accounting.dense_bits(*shape))
        reports.append(_site_report(site, max(removed, 0.0), made, stored, None, 0.0))
    report = summarise(model, before, tuple(reports), None)
    notes = (*source.notes, *report.notes, note)
    return CompressedModel(source, model, replace(report, notes=notes, model_note=source.note))


def untouched(source: LoadedModel, sites: tuple[LinearSite, ...], method: str) -> CompressionPlan:
    """The plan of a model in which nothing was removed yet, under the name of what is done to it next."""
    allocation = Allocation("uniform", 0.0, {site.name: 0.0 for site in sites})
    return CompressionPlan(source.id, source.weights_hash, method, {}, allocation, None)


def saved_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that make up a model on disk, as they are in memory, ties once; float32 is written in 16 bits."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if tensor.numel() and tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        tensors[name] = tensor
    return tensors


def stored_bits(model: nn.Module, value_bits: int = accounting.VALUE_BITS) -> int:
    """Bits that a model takes on disk: compressed buffers as they are, `value_bits` for every value in float32."""
    tensors = saved_tensors(model).values()
    return sum(t.numel() * (value_bits if t.dtype == torch.float32 else 8 * t.element_size()) for t in tensors)


def dense_stored_bits(source: LoadedModel) -> int:
    """Bits of the dense model on disk, 16 a value."""
    return stored_bits(source.model)


def summarise(
    model: nn.Module,
    plan: CompressionPlan,
    sites: tuple[SiteReport, ...],
    calibration: Calibration | None,
) -> CompressionReport:
    """Totals over the sites and over the whole model, from the tensors that are saved."""
    stored = stored_bits(model)
    site_stored = sum(site.stored_bits for site in sites)
    site_original = sum(accounting.dense_bits(*site.shape) for site in sites)
    original = stored - site_stored + site_original
    notes = [f"{site.name}: {note}" for site in sites for note in site.notes]
    warning = METHODS[plan.method].warning if plan.method in METHODS else None
    return CompressionReport(
        plan=plan,
        removed_fraction=accounting.removed_fraction(site_stored, site_original),
        whole_model_removed_fraction=accounting.removed_fraction(stored, original),
        stored_bits=stored,
        original_bits=original,
        site_stored_bits=site_stored,
        calibration_seconds=calibration.seconds if calibration else 0.0,
        calibration_reused=calibration.reused if calibration else False,
        compress_seconds=0.0,
        stages={},
        sites=sites,
        notes=tuple([warning] if warning else []) + tuple(notes),
    )
