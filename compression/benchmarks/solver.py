"""``bench solver``: seconds of compressing a whole model, beside the bare matrix products of the same alternations."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from compression import accounting
from compression.environment import describe_environment
from compression.errors import UserError
from compression.recipe import Recipe
from compression.types import AnyCalibration, CompressionReport, Environment, Progress

if TYPE_CHECKING:
    from compression.workbench import Workbench

BASELINE = "svd-llm"
"""The method by whose seconds the others' are divided."""
CONVENTION = (
    "compress_seconds: allocation, factorisation and error measurement of the whole model, without calibration; "
    "factorisation adds up the sites, which run side by side. Nominal FLOPs: 4·m·n·k an alternation and site; sgemm: "
    "those two float32 products and nothing else, for every site and alternation, all threads in each product"
)


@dataclass(frozen=True)
class Factorisation:
    """Sites of one shape: ``count`` dictionary factorisations of (m, n) = (in, out) with k atoms.

    Attributes:
        out_features: n.
        in_features: m.
        num_atoms: k.
        iterations: alternations.
        count: number of such sites.
    """

    out_features: int
    in_features: int
    num_atoms: int
    iterations: int
    count: int

    @property
    def flops(self) -> int:
        """Nominal FLOPs of all of them."""
        alternation = accounting.alternation_flops(self.out_features, self.in_features, self.num_atoms)
        return alternation * self.iterations * self.count


@dataclass(frozen=True)
class MethodTiming:
    """One method on the whole model.

    Attributes:
        method: its name.
        settings: its settings.
        removed_fraction: over the compressible sites, measured.
        compress_seconds: as reported by the compression.
        stages: seconds by stage.
        mean_output_error: relative output error, mean over the sites.
        nominal_flops: 4·m·n·k for each site and alternation; None for a method without a dictionary or alternations.
        gflops_per_second: nominal FLOPs ÷ compress_seconds.
        sgemm_seconds: the nominal products alone, really run, right after the method.
        sgemm_gflops_per_second: nominal FLOPs ÷ sgemm_seconds.
        ratio_to_sgemm: compress_seconds ÷ sgemm_seconds.
        ratio_to_svd_llm: compress_seconds ÷ those of svd-llm; None if that was not run.
    """

    method: str
    settings: dict[str, Any]
    removed_fraction: float
    compress_seconds: float
    stages: dict[str, float]
    mean_output_error: float | None
    nominal_flops: int | None
    gflops_per_second: float | None
    sgemm_seconds: float | None
    sgemm_gflops_per_second: float | None
    ratio_to_sgemm: float | None
    ratio_to_svd_llm: float | None


@dataclass(frozen=True)
class SolverBenchmark:
    """What ``bench solver`` reports: every figure from one run of one process."""

    model_id: str
    model_note: str
    weights_hash: str
    calibration: AnyCalibration | None
    policy: str
    removed_fraction: float
    methods: tuple[MethodTiming, ...]
    convention: str
    environment: Environment


def benchmark_solver(workbench: Workbench, recipes: tuple[Recipe, ...]) -> Generator[Progress, None, SolverBenchmark]:
    """Compress a model with each recipe and run the bare products of the dictionary methods beside it.

    Model and statistics are made before the first clock starts, and shared. A workbench that has compressed one of the
    recipes before would answer from memory: give a new one.

    Args:
        workbench: what compresses.
        recipes: one a method; the same model, policy and calibration.

    Yields:
        Among others, an event of stage ``run`` after every method.

    Raises:
        UserError: for a recipe that cannot be carried out, or that removes nothing.
    """
    for recipe in recipes:
        recipe.check()
        recipe.build_method()
        if recipe.removed_fraction == 0:
            raise UserError("Nothing is compressed at a removed fraction of 0: give one above it, such as 0.2.")
    timings: list[MethodTiming] = []
    report = None
    for index, recipe in enumerate(recipes):
        report = yield from workbench.compress(recipe)
        work = factorisations(report)
        sgemm_seconds = None
        if work:
            yield Progress("sgemm", index, len(recipes), f"{recipe.method}: the bare products")
            sgemm_seconds = time_products(work)
        timing = _timing(report, sum(part.flops for part in work), sgemm_seconds)
        timings.append(timing)
        message = f"{recipe.method}: {timing.compress_seconds:.1f} s"
        yield Progress("run", index + 1, len(recipes), message, timing)
    assert report is not None
    baseline = next((timing.compress_seconds for timing in timings if timing.method == BASELINE), None)
    return SolverBenchmark(
        model_id=report.plan.model_id,
        model_note=report.model_note,
        weights_hash=report.plan.weights_hash,
        calibration=report.plan.calibration,
        policy=recipes[0].policy,
        removed_fraction=recipes[0].removed_fraction,
        methods=tuple(
            replace(timing, ratio_to_svd_llm=timing.compress_seconds / baseline if baseline else None)
            for timing in timings
        ),
        convention=CONVENTION,
        environment=describe_environment(),
    )


def factorisations(report: CompressionReport) -> tuple[Factorisation, ...]:
    """The dictionary factorisations behind a report, equal ones together; empty for a method without alternations."""
    iterations = report.plan.settings.get("iterations", 0)
    sizes = Counter(
        (*site.shape, site.quantities["num_atoms"]) for site in report.sites if "num_atoms" in site.quantities
    )
    if not iterations:
        return ()
    return tuple(Factorisation(n, m, k, iterations, count) for (n, m, k), count in sizes.items())


def time_products(work: tuple[Factorisation, ...]) -> float:
    """Seconds of ``Z = Tᵀ D`` and ``M = T Z`` in float32 for every site and alternation, one after the other."""
    import torch

    seconds = 0.0
    for part in work:
        target = torch.randn(part.in_features, part.out_features)
        dictionary = torch.randn(part.in_features, part.num_atoms)
        codes = torch.empty(part.out_features, part.num_atoms)
        products = torch.empty(part.in_features, part.num_atoms)
        torch.mm(target.T, dictionary, out=codes)
        torch.mm(target, codes, out=products)
        started = time.perf_counter()
        for _ in range(part.iterations * part.count):
            torch.mm(target.T, dictionary, out=codes)
            torch.mm(target, codes, out=products)
        seconds += time.perf_counter() - started
    return seconds


def _timing(report: CompressionReport, flops: int, sgemm_seconds: float | None) -> MethodTiming:
    errors = [site.relative_output_error for site in report.sites if site.relative_output_error is not None]
    seconds = report.compress_seconds
    return MethodTiming(
        method=report.plan.method,
        settings=report.plan.settings,
        removed_fraction=report.removed_fraction,
        compress_seconds=seconds,
        stages=report.stages,
        mean_output_error=sum(errors) / len(errors) if errors else None,
        nominal_flops=flops or None,
        gflops_per_second=flops / seconds / 1e9 if flops else None,
        sgemm_seconds=sgemm_seconds,
        sgemm_gflops_per_second=flops / sgemm_seconds / 1e9 if sgemm_seconds else None,
        ratio_to_sgemm=seconds / sgemm_seconds if sgemm_seconds else None,
        ratio_to_svd_llm=None,
    )
