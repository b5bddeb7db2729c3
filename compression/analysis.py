"""Figure-ready Info objects: everything a view shows, computed here, drawn there.

Each Info holds plain numbers and strings, serialises to JSON through pydantic, and can be written
by hand in a test. They hold no sentences: wording is the views' business, in any language. No view
computes anything beyond layout.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from compression import accounting
from compression.types import (
    SPEECH_MODEL_TYPES,
    Allocation,
    AnyCalibration,
    Comparison,
    ComparisonRun,
    LinearSite,
    PerplexityReport,
    SiteReport,
    SpeechComparison,
    SpeechRun,
    TranscriptionReport,
)

AnyComparison = Comparison | SpeechComparison
"""Measured by perplexity, or by word error rate."""
AnyRun = ComparisonRun | SpeechRun
"""A run of either."""
Run = TypeVar("Run", bound=AnyRun)
AnyReport = PerplexityReport | TranscriptionReport
"""What either says of the dense model."""

SPECTRUM_POINTS = 96
LEAST_LOST = 1e-6
"""A smaller loss of energy is not told from none: 16-bit values lose about as much."""
DENSE_SITE = "dense"
"""The representation of a site that was left as it was."""


@dataclass(frozen=True)
class ModelInfo:
    """What the page says about a model.

    Attributes:
        model_id: catalogue id, Hub id or directory.
        title: name for people.
        note: a caution that belongs wherever its figures appear; empty if none.
        weights_hash: SHA-256 of the 16-bit weights.
        architecture: Hugging Face model type.
        num_parameters: all parameters, tied ones once.
        sites: the compressible layers in model order.
        notes: fallbacks taken while it was loaded, one sentence each.
    """

    model_id: str
    title: str
    note: str
    weights_hash: str
    architecture: str
    num_parameters: int
    sites: tuple[LinearSite, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_speech(self) -> bool:
        """Whether it writes down speech, and is judged by word error rate; else it is judged by perplexity."""
        return self.architecture in SPEECH_MODEL_TYPES

    @property
    def site_weights(self) -> int:
        """Weights inside the compressible sites."""
        return sum(site.num_weights for site in self.sites)

    @property
    def site_bits(self) -> int:
        """Bits of those, dense."""
        return accounting.VALUE_BITS * self.site_weights

    @property
    def original_bits(self) -> int:
        """Bits of the whole dense model."""
        return accounting.VALUE_BITS * self.num_parameters

    @property
    def blocks(self) -> tuple[int, ...]:
        """Block indices, ascending."""
        return tuple(sorted({site.block for site in self.sites}))

    @property
    def projections(self) -> tuple[str, ...]:
        """Projection names in model order."""
        return tuple(dict.fromkeys(site.projection for site in self.sites))

    def site_at(self, block: int, projection: str) -> LinearSite | None:
        """The site in that cell of the heatmap, or None where the model has no such layer."""
        return next((s for s in self.sites if s.block == block and s.projection == projection), None)


@dataclass(frozen=True)
class SpectrumInfo:
    """Singular values of one site, thinned to at most 96 log-spaced points; both end points kept.

    Attributes:
        site: the site's name.
        indices: 1-based indices of the points.
        plain: σᵢ/σ₁ of the weight.
        whitened: σᵢ/σ₁ of ``LᵀA``.
        plain_lost_energy: share of Σσ² lost when truncating *after* index i.
        whitened_lost_energy: the same in the whitened space: the squared relative output error.
        full_rank: min(m, n).
        break_even_rank: largest rank that saves storage.
        effective_rank: exp of the entropy of the normalised squared whitened singular values.
    """

    site: str
    indices: tuple[int, ...]
    plain: tuple[float, ...]
    whitened: tuple[float, ...]
    plain_lost_energy: tuple[float, ...]
    whitened_lost_energy: tuple[float, ...]
    full_rank: int
    break_even_rank: int
    effective_rank: float


@dataclass(frozen=True)
class AnalysisInfo:
    """All spectra of a model and its allocations at every slider position.

    Attributes:
        model: the model.
        calibration: what the whitened spectra were computed on.
        spectra: one a site, in site order.
        slider: the removed fractions of the slider.
        allocations: policy → for each slider position, the removed fraction of each site in site order; without pins
            there is none that cannot be met.
    """

    model: ModelInfo
    calibration: AnyCalibration
    spectra: tuple[SpectrumInfo, ...]
    slider: tuple[float, ...]
    allocations: dict[str, tuple[tuple[float, ...], ...]]

    def spectrum_of(self, site: str) -> SpectrumInfo:
        """The spectrum of the named site."""
        return next(spectrum for spectrum in self.spectra if spectrum.site == site)

    def allocation_at(self, policy: str, removed_fraction: float) -> Allocation:
        """The stored allocation at the slider position nearest to `removed_fraction`."""
        position = min(range(len(self.slider)), key=lambda i: abs(self.slider[i] - removed_fraction))
        names = (site.name for site in self.model.sites)
        fractions = dict(zip(names, self.allocations[policy][position], strict=True))
        return Allocation(policy, self.slider[position], fractions)


@dataclass(frozen=True)
class BudgetBar:
    """One projection's share of the budget over all blocks, in mebibytes (2²⁰ bytes)."""

    label: str
    kept_mib: float
    removed_mib: float


@dataclass(frozen=True)
class BudgetInfo:
    """Where the bits go.

    Attributes:
        bars: one for each projection, then what always stays dense.
        stored_mib: whole model after compression.
        original_mib: whole model before, at 16 bits a value.
        site_removed_fraction: over the compressible sites.
        whole_model_removed_fraction: over everything.
        compression_factor: original ÷ stored, whole model.
        stored_bits: whole model.
        original_bits: whole model before, at 16 bits a value.
    """

    bars: tuple[BudgetBar, ...]
    stored_mib: float
    original_mib: float
    site_removed_fraction: float
    whole_model_removed_fraction: float
    compression_factor: float
    stored_bits: int
    original_bits: int


@dataclass(frozen=True)
class ErrorSeries:
    """Relative output error of every site under one method, in site order; None where it stays dense."""

    method: str
    policy: str
    errors: tuple[float | None, ...]


@dataclass(frozen=True)
class SeedSpread:
    """Quality (perplexity, or word error rate) of one setting over the seeds of its calibration.

    Attributes:
        low: smallest.
        high: largest.
        count: number of seeds, at least 2.
        values: one a seed, by ascending seed.
    """

    low: float
    high: float
    count: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class CompareInfo:
    """Runs at one budget, side by side.

    Attributes:
        model_id: the model.
        removed_fraction: the common target.
        dense: what was measured of the dense model.
        dense_range: what `quality_range` says of it.
        rows: one run a setting, that with the lowest seed (0 unless another was asked for).
        ranges: for each run, what `quality_range` says of it.
        sites: site names in order.
        series: error per site for each run.
        best: index of the run with the lowest perplexity or word error rate.
        worst: index of the run with the highest.
        spreads: for each run, the quality over its setting's seeds; None where only one was measured.
    """

    model_id: str
    removed_fraction: float
    dense: AnyReport
    dense_range: tuple[float, float] | None
    rows: tuple[AnyRun, ...]
    ranges: tuple[tuple[float, float] | None, ...]
    sites: tuple[str, ...]
    series: tuple[ErrorSeries, ...]
    best: int
    worst: int
    spreads: tuple[SeedSpread | None, ...]

    @property
    def is_speech(self) -> bool:
        """Whether the runs are judged by word error rate; else by perplexity."""
        return isinstance(self.dense, TranscriptionReport)

    @property
    def evaluated_on(self) -> str:
        """Name of the text, or of the recordings."""
        return self.dense.source.name if isinstance(self.dense, TranscriptionReport) else self.dense.text.name


@dataclass(frozen=True)
class NativeCell:
    """What one site is stored as.

    Attributes:
        site: the site's name.
        shape: (out, in).
        representation: ``dense``, ``low-rank`` or ``dictionary``.
        quantities: its native quantities, e.g. ``{"rank": 147}``.
        share: rank, or number of atoms, ÷ min(out, in); None where it is stored in another way than its run.
        density: of a dictionary, nonzeros a column ÷ number of atoms: the share of S that is not zero; else None.
        removed_fraction: 1 − stored bits ÷ original bits.
    """

    site: str
    shape: tuple[int, int]
    representation: str
    quantities: dict[str, int]
    share: float | None
    density: float | None
    removed_fraction: float


@dataclass(frozen=True)
class NativeInfo:
    """What every site of one run is stored as: a block × projection matrix in the terms of its representation.

    Attributes:
        method: the run's method.
        policy: its policy.
        representation: what most of its compressed sites are; ``dense`` if there are none.
        blocks: rows (drawn on the x axis).
        projections: columns.
        cells: [projection][block]; None where the model has no such layer.
        shares: smallest and largest share over the sites; None if no site has one.
        densities: smallest and largest density, likewise.
        dense_sites: how many sites stay dense.
        num_sites: how many sites there are.
    """

    method: str
    policy: str
    representation: str
    blocks: tuple[int, ...]
    projections: tuple[str, ...]
    cells: tuple[tuple[NativeCell | None, ...], ...]
    shares: tuple[float, float] | None
    densities: tuple[float, float] | None
    dense_sites: int
    num_sites: int


@dataclass(frozen=True)
class ColumnInfo:
    """One column of ``A = Wᵀ``, one output's weights, as two stored layers see it, and how all columns fare.

    Energies are squared norms in the whitened space, ``‖Lᵀa‖²``: what an output's squared error is made of. Captured is
    ``1 − ‖Lᵀ(a − â)‖² ÷ ‖Lᵀa‖²``, a share, with â from the 16-bit values a layer stores. A term is one rank-one
    component of a layer in this column: a shared direction, or an atom, times the column's coefficient. The column
    shown is the one whose gain (captured by the dictionary minus captured by the low rank) is the median of all:
    typical, not the best case. Columns without energy are left out of everything.

    Attributes:
        index: which output the column belongs to, from 0.
        low_rank: captured by the 1, 2, …, r terms of largest energy; r is the rank, and all terms are in use.
        dictionary: captured by the 1, 2, …, s terms of largest energy; s is the number of nonzeros a column.
        more_atoms: what s + 1, s + 2, …, k atoms could capture: those in use and the next best ones, by least squares.
        num_columns: columns with energy.
        ahead: share of them of which the dictionary captures more.
        low_rank_median: median over them of what the low rank captures.
        dictionary_median: the same of the dictionary.
        lost_edges: edges of a histogram's bins over the energy lost (``1 − captured``), ascending, each a fixed factor
            from the next; losses outside 1e-6 … 1 count as these.
        low_rank_counts: columns in each bin by what the low rank loses.
        dictionary_counts: the same of the dictionary.
    """

    index: int
    low_rank: tuple[float, ...]
    dictionary: tuple[float, ...]
    more_atoms: tuple[float, ...]
    num_columns: int
    ahead: float
    low_rank_median: float
    dictionary_median: float
    lost_edges: tuple[float, ...]
    low_rank_counts: tuple[int, ...]
    dictionary_counts: tuple[int, ...]

    @property
    def low_rank_lost(self) -> tuple[float, ...]:
        """What is lost after 0, 1, …, r terms of the low rank; at least `LEAST_LOST`, so that it has a logarithm."""
        return _lost((0.0, *self.low_rank))

    @property
    def dictionary_lost(self) -> tuple[float, ...]:
        """The same after 0, 1, …, s terms of the dictionary."""
        return _lost((0.0, *self.dictionary))

    @property
    def more_atoms_lost(self) -> tuple[float, ...]:
        """The same after s, s + 1, …, k atoms."""
        return _lost((self.dictionary_captured, *self.more_atoms))

    @property
    def low_rank_captured(self) -> float:
        """What the low-rank layer captures of the column."""
        return self.low_rank[-1]

    @property
    def dictionary_captured(self) -> float:
        """What the dictionary layer captures of the column."""
        return self.dictionary[-1]

    @property
    def gain(self) -> float:
        """What the dictionary captures more; negative where it captures less."""
        return self.dictionary_captured - self.low_rank_captured

    @property
    def all_atoms(self) -> float:
        """What the column could capture if it used every atom."""
        return (self.dictionary + self.more_atoms)[-1]

    @property
    def atoms_gain(self) -> float:
        """What all atoms could capture more than the low rank's directions."""
        return self.all_atoms - self.low_rank_captured

    @property
    def sparsity_cost(self) -> float:
        """What leaving the other atoms out costs; `gain` is `atoms_gain` less this."""
        return self.all_atoms - self.dictionary_captured


@dataclass(frozen=True)
class PatternInfo:
    """What one site's weight is stored as under a low-rank and a dictionary method.

    Densities are of blocks of the mask: 0 no nonzero, 1 all nonzero.

    Attributes:
        site: the site's name.
        shape: (out, in).
        removed_fraction: of this site.
        rank: rank r of the low-rank form.
        num_atoms: k.
        nonzeros_per_column: s.
        mask_density: [atom block][output block], share of nonzeros.
        atom_use: for each atom, the share of outputs that use it, descending.
        convergence: relative squared whitened error after each alternation.
        low_rank_error: relative output error of the low-rank form.
        dictionary_error: relative output error of the dictionary form.
        column: a typical column as both forms see it; None in results of older versions, and for a weight of zeros.
    """

    site: str
    shape: tuple[int, int]
    removed_fraction: float
    rank: int
    num_atoms: int
    nonzeros_per_column: int
    mask_density: tuple[tuple[float, ...], ...]
    atom_use: tuple[float, ...]
    convergence: tuple[float, ...]
    low_rank_error: float
    dictionary_error: float
    column: ColumnInfo | None = None

    @property
    def low_rank_share(self) -> float:
        """Stored bits of the low-rank form ÷ bits of the weight."""
        return accounting.low_rank_bits(*self.shape, self.rank) / accounting.dense_bits(*self.shape)

    @property
    def dictionary_share(self) -> float:
        """Stored bits of the dictionary form, its mask included, ÷ bits of the weight."""
        stored = accounting.dictionary_bits(*self.shape, self.num_atoms, self.nonzeros_per_column)
        return stored / accounting.dense_bits(*self.shape)


def _lost(captured: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(f"{max(1 - value, LEAST_LOST):.4g}") for value in captured)


def log_spaced_indices(count: int, points: int = SPECTRUM_POINTS) -> tuple[int, ...]:
    """At most `points` distinct 1-based indices in 1 … `count`, log-spaced, end points included."""
    if count <= points:
        return tuple(range(1, count + 1))
    raw = (round(math.exp(math.log(count) * i / (points - 1))) for i in range(points))
    return tuple(sorted({1, count, *raw}))


def spectrum_info(site: LinearSite, plain: list[float], whitened: list[float]) -> SpectrumInfo:
    """Thin two full spectra (descending singular values) into a SpectrumInfo."""
    indices = log_spaced_indices(len(plain))
    energy = [value * value for value in whitened]
    total = sum(energy)
    entropy = -sum(e / total * math.log(e / total) for e in energy if e > 0) if total else 0.0
    return SpectrumInfo(
        site=site.name,
        indices=indices,
        plain=_relative(plain, indices),
        whitened=_relative(whitened, indices),
        plain_lost_energy=_lost_energy(plain, indices),
        whitened_lost_energy=_lost_energy(whitened, indices),
        full_rank=len(plain),
        break_even_rank=accounting.break_even_rank(site.out_features, site.in_features),
        effective_rank=round(math.exp(entropy), 2),
    )


def _relative(values: list[float], indices: tuple[int, ...]) -> tuple[float, ...]:
    largest = values[0] or 1.0
    return tuple(float(f"{values[i - 1] / largest:.4g}") for i in indices)


def _lost_energy(values: list[float], indices: tuple[int, ...]) -> tuple[float, ...]:
    tail = [0.0]
    for value in reversed(values):
        tail.append(tail[-1] + value * value)
    tail.reverse()
    total = tail[0] or 1.0
    return tuple(float(f"{tail[i] / total:.4g}") for i in indices)


def budget_info(model: ModelInfo, allocation: Allocation) -> BudgetInfo:
    """Planned bits under an allocation (a run's report has the exact ones, from the saved tensors)."""
    mib = 8 * 2**20
    bars = []
    kept_total = 0.0
    for projection in model.projections:
        sites = [site for site in model.sites if site.projection == projection]
        original = sum(accounting.dense_bits(s.out_features, s.in_features) for s in sites)
        removed = sum(
            accounting.dense_bits(s.out_features, s.in_features) * allocation.removed_fractions[s.name] for s in sites
        )
        kept_total += original - removed
        bars.append(BudgetBar(projection, (original - removed) / mib, removed / mib))
    rest = accounting.VALUE_BITS * (model.num_parameters - model.site_weights)
    bars.append(BudgetBar("embeddings, norms, biases", rest / mib, 0.0))
    original_bits = accounting.VALUE_BITS * model.num_parameters
    stored_bits = round(kept_total + rest)
    site_removed = accounting.average_removed_fraction(model.sites, allocation.removed_fractions)
    whole_removed = accounting.removed_fraction(stored_bits, original_bits)
    return BudgetInfo(
        bars=tuple(bars),
        stored_mib=stored_bits / mib,
        original_mib=original_bits / mib,
        site_removed_fraction=site_removed,
        whole_model_removed_fraction=whole_removed,
        compression_factor=original_bits / stored_bits,
        stored_bits=stored_bits,
        original_bits=original_bits,
    )


def planned_bytes(model: ModelInfo, removed_fraction: float) -> tuple[float, float]:
    """Bytes of a model's weights when a share of its sites is removed, and before, at 16 bits a value.

    No policy counts: all meet the same target.
    """
    return (model.original_bits - removed_fraction * model.site_bits) / 8, model.original_bits / 8


def interpolate_log(indices: tuple[int, ...], values: tuple[float, ...], at: int) -> float:
    """Interpolate `values` over `indices`, linear in the index and in the logarithm of the value."""
    for i in range(1, len(indices)):
        if indices[i] >= at:
            low, high = indices[i - 1], indices[i]
            weight = (at - low) / (high - low)
            if values[i - 1] <= 0 or values[i] <= 0:
                return (1 - weight) * values[i - 1] + weight * values[i]
            return math.exp((1 - weight) * math.log(values[i - 1]) + weight * math.log(values[i]))
    return values[-1]


def compare_info(comparison: AnyComparison, removed_fraction: float) -> CompareInfo:
    """The settings of a comparison whose target is nearest to `removed_fraction`."""
    targets = sorted({run.removed_fraction_target for run in comparison.runs})
    target = min(targets, key=lambda value: abs(value - removed_fraction))
    settings = by_setting(tuple(run for run in comparison.runs if run.removed_fraction_target == target))
    rows = tuple(run for run, _ in settings)
    names = tuple(site.name for site in rows[0].sites)
    series = tuple(ErrorSeries(run.method, run.policy, tuple(map(_site_error, run.sites))) for run in rows)
    order = sorted(range(len(rows)), key=lambda i: rows[i].quality)
    return CompareInfo(
        model_id=comparison.model_id,
        removed_fraction=target,
        dense=comparison.dense,
        dense_range=quality_range(comparison.dense),
        rows=rows,
        ranges=tuple(map(quality_range, rows)),
        sites=names,
        series=series,
        best=order[0],
        worst=order[-1],
        spreads=tuple(spread for _, spread in settings),
    )


def only_methods(info: CompareInfo, methods: Collection[str]) -> CompareInfo | None:
    """The rows of some methods; None where there is none."""
    kept = [i for i, row in enumerate(info.rows) if row.method in methods]
    if not kept:
        return None
    return replace(
        info,
        rows=tuple(info.rows[i] for i in kept),
        ranges=tuple(info.ranges[i] for i in kept),
        series=tuple(info.series[i] for i in kept if i < len(info.series)),
        spreads=tuple(info.spreads[i] for i in kept),
        best=min(range(len(kept)), key=lambda i: info.rows[kept[i]].quality),
        worst=max(range(len(kept)), key=lambda i: info.rows[kept[i]].quality),
    )


def best_of_methods(info: CompareInfo, count: int) -> tuple[int, ...]:
    """Index of the best run of each method, for the `count` best methods, best first."""
    best: dict[str, int] = {}
    for index in sorted(range(len(info.rows)), key=lambda i: info.rows[i].quality):
        best.setdefault(info.rows[index].method, index)
    return tuple(best.values())[:count]


def native_info(run: AnyRun) -> NativeInfo:
    """What every site of a run is stored as, in the terms of its own representation."""
    stored = Counter(site.representation for site in run.sites if site.representation != DENSE_SITE)
    representation = stored.most_common(1)[0][0] if stored else DENSE_SITE
    at = {(site.block, site.projection): site for site in run.sites}
    blocks = tuple(sorted({site.block for site in run.sites}))
    projections = tuple(dict.fromkeys(site.projection for site in run.sites))
    cells = tuple(
        tuple(_native_cell(at[block, each], representation) if (block, each) in at else None for block in blocks)
        for each in projections
    )
    there = [cell for row in cells for cell in row if cell is not None]
    return NativeInfo(
        method=run.method,
        policy=run.policy,
        representation=representation,
        blocks=blocks,
        projections=projections,
        cells=cells,
        shares=_extremes([cell.share for cell in there]),
        densities=_extremes([cell.density for cell in there]),
        dense_sites=sum(cell.representation == DENSE_SITE for cell in there),
        num_sites=len(there),
    )


def _native_cell(site: SiteReport, representation: str) -> NativeCell:
    smaller, quantities = min(site.shape), site.quantities
    share = density = None
    if site.representation == representation:
        if "rank" in quantities:
            share = quantities["rank"] / smaller
        elif "num_atoms" in quantities:
            share = quantities["num_atoms"] / smaller
            density = quantities["nonzeros_per_column"] / quantities["num_atoms"]
    return NativeCell(
        site=site.name,
        shape=site.shape,
        representation=site.representation,
        quantities=quantities,
        share=share,
        density=density,
        removed_fraction=site.removed_fraction,
    )


def _extremes(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def by_setting(runs: tuple[Run, ...]) -> tuple[tuple[Run, SeedSpread | None], ...]:
    """Gather the seeds of each setting: the run with the lowest seed, and the spread where there are several.

    Settings stand in the order of their first run.
    """
    settings: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps([run.method, run.policy, run.removed_fraction_target, run.settings], sort_keys=True)
        settings.setdefault(key, []).append(run)
    gathered = []
    for same in settings.values():
        by_seed = {run.seed: run for run in sorted(same, key=lambda run: run.seed)}
        values = tuple(run.quality for run in by_seed.values())
        spread = SeedSpread(min(values), max(values), len(values), values) if len(values) > 1 else None
        gathered.append((next(iter(by_seed.values())), spread))
    return tuple(gathered)


def quality_range(measured: AnyReport | AnyRun) -> tuple[float, float] | None:
    """What is drawn around a measured quality; None where it is not known.

    Of a perplexity it is one standard error to both sides, on the log scale; of a word error rate the 95 % interval of
    the bootstrap over recordings.
    """
    if isinstance(measured, PerplexityReport | ComparisonRun):
        return standard_error_range(measured.perplexity, measured.perplexity_stderr)
    if measured.wer_low is None or measured.wer_high is None:
        return None
    return measured.wer_low, measured.wer_high


def standard_error_range(perplexity: float, stderr: float | None) -> tuple[float, float] | None:
    """``perplexity · exp(∓ stderr ÷ perplexity)``: one standard error of the log-likelihood to both sides."""
    if stderr is None or not math.isfinite(perplexity):
        return None
    factor = math.exp(min(stderr / perplexity, 700))
    return perplexity / factor, perplexity * factor


def _site_error(report: SiteReport) -> float | None:
    return None if report.representation == "dense" else report.relative_output_error
