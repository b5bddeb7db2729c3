"""``bench cospadi``: COMPOT against CoSpaDi on the same sites, at their published budgets and at equal error."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compression import accounting
from compression.environment import describe_environment
from compression.errors import UserError
from compression.recipe import Recipe
from compression.types import AnyCalibration, Environment, LinearSite, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from compression.methods.dictionary import SparseFactors
    from compression.workbench import Workbench

CHECKED_COLUMNS = 2
"""Columns of each site that are coded by the obvious pursuit as well."""
CHECKED_ATOMS = 4
"""Atoms of each site that are updated by an exact singular value decomposition as well."""
CONVENTION = (
    "seconds: the factorisation of the whitened float32 target alone, one site after the other, the same k, s and "
    "threads for both; errors: relative and squared, in the whitened space; CoSpaDi's error is looked at after every "
    "coding and every sweep"
)


@dataclass(frozen=True)
class SiteRace:
    """Both methods on one site.

    Attributes:
        site: its name.
        projection: its place in the block.
        out_features: n.
        in_features: m.
        num_atoms: k.
        nonzeros_per_column: s.
        compot_seconds: of all its alternations.
        compot_error: relative squared error after them.
        cospadi_seconds: of all its alternations.
        cospadi_error: relative squared error after them.
        catch_up_seconds: until CoSpaDi's error was first no larger than COMPOT's final one; None if it never was.
        catch_up_iterations: alternations until then, a coding without its sweep as a half.
        budget_ratio: cospadi_seconds ÷ compot_seconds.
        error_ratio: catch_up_seconds ÷ compot_seconds.
        coding_difference: largest difference of a coefficient from those of the obvious pursuit (least squares anew at
            every step), in float64, relative to the largest coefficient.
        float32_error_ratio: squared error of the checked columns coded in float32 ÷ that of the obvious pursuit.
        atom_error_ratio: squared error that the update of one atom leaves ÷ that of an exact K-SVD step, the largest.
    """

    site: str
    projection: str
    out_features: int
    in_features: int
    num_atoms: int
    nonzeros_per_column: int
    compot_seconds: float
    compot_error: float
    cospadi_seconds: float
    cospadi_error: float
    catch_up_seconds: float | None
    catch_up_iterations: float | None
    budget_ratio: float
    error_ratio: float | None
    coding_difference: float
    float32_error_ratio: float
    atom_error_ratio: float


@dataclass(frozen=True)
class CoSpaDiBenchmark:
    """What ``bench cospadi`` reports: every figure from one run of one process.

    Attributes:
        budget_ratio: seconds of CoSpaDi over all sites ÷ those of COMPOT.
        error_ratio: seconds until CoSpaDi has COMPOT's error at every site ÷ those of COMPOT; None if some site never
            gets there.
        findings: what the figures say, one sentence each.
    """

    model_id: str
    model_note: str
    weights_hash: str
    calibration: AnyCalibration
    removed_fraction: float
    block: int
    compot_iterations: int
    cospadi_iterations: int
    power_iterations: int
    threads: int
    sites: tuple[SiteRace, ...]
    budget_ratio: float
    error_ratio: float | None
    findings: tuple[str, ...]
    convention: str
    environment: Environment


def benchmark_cospadi(
    workbench: Workbench,
    recipe: Recipe,
    block: int | None = None,
    iterations: int = 60,
    compot_iterations: int = 20,
    threads: int = 1,
) -> Generator[Progress, None, CoSpaDiBenchmark]:
    """Factorise every site of one block with both methods.

    Args:
        workbench: what loads and calibrates.
        recipe: model, calibration and removed fraction.
        block: index of the block; None for the one in the middle.
        iterations: alternations of CoSpaDi.
        compot_iterations: alternations of COMPOT.
        threads: of either.

    Yields:
        Among others, an event of stage ``run`` after every site.

    Raises:
        UserError: for a recipe that cannot be carried out, or a block that the model does not have.
    """
    import torch

    from compression.methods.cospadi import CoSpaDi
    from compression.sites import site_weight

    CoSpaDi(iterations=iterations)
    if not threads >= 1 or not iterations >= 1 or not compot_iterations >= 1:
        raise UserError("The benchmark needs at least one thread and one alternation of either method.")
    dense, inputs, settings = yield from workbench.inputs(recipe)
    blocks = sorted({site.block for site in dense.sites})
    block = blocks[len(blocks) // 2] if block is None else block
    sites = [site for site in dense.sites if site.block == block]
    if not sites:
        raise UserError(f"{recipe.model_id} has no block {block}: choose one from {blocks[0]} to {blocks[-1]}.")
    races: list[SiteRace] = []
    threads_before = torch.get_num_threads()
    for index, site in enumerate(sites):
        yield Progress("race", index, len(sites), f"COMPOT and CoSpaDi: {site.name}")
        size = accounting.dictionary_size_for(site.out_features, site.in_features, recipe.removed_fraction)
        whitening = inputs.statistics(site.input_group).whitening()
        target = whitening.whiten(site_weight(dense.loaded.model, site).T, torch.float32)
        torch.set_num_threads(threads)
        try:
            races.append(race_on(target, site, size, compot_iterations, iterations))
        finally:
            torch.set_num_threads(threads_before)
        message = f"{site.name}: {races[-1].compot_seconds:.1f} s and {races[-1].cospadi_seconds:.1f} s"
        yield Progress("run", index + 1, len(sites), message, races[-1])
    seconds = sum(race.compot_seconds for race in races)
    waits = [race.catch_up_seconds for race in races if race.catch_up_seconds is not None]
    budget_ratio = sum(race.cospadi_seconds for race in races) / seconds
    error_ratio = sum(waits) / seconds if len(waits) == len(races) else None
    return CoSpaDiBenchmark(
        model_id=recipe.model_id,
        model_note=dense.loaded.note,
        weights_hash=dense.loaded.weights_hash,
        calibration=settings,
        removed_fraction=recipe.removed_fraction,
        block=block,
        compot_iterations=compot_iterations,
        cospadi_iterations=iterations,
        power_iterations=CoSpaDi().power_iterations,
        threads=threads,
        sites=tuple(races),
        budget_ratio=budget_ratio,
        error_ratio=error_ratio,
        findings=findings(tuple(races), budget_ratio, error_ratio, iterations, compot_iterations),
        convention=CONVENTION,
        environment=describe_environment(),
    )


def findings(
    races: tuple[SiteRace, ...], budget_ratio: float, error_ratio: float | None, iterations: int, compot_iterations: int
) -> tuple[str, ...]:
    """The two ratios, the errors behind them and how the routines were checked, in sentences."""
    behind = [race.projection for race in races if race.catch_up_seconds is None]
    lower = sum(race.cospadi_error < race.compot_error for race in races)
    equal_error = (
        f"At equal error CoSpaDi takes {error_ratio:.1f} times as long as COMPOT."
        if error_ratio is not None
        else f"At equal error there is no ratio: {iterations} alternations of CoSpaDi do not reach COMPOT's error on "
        f"{', '.join(behind)}."
    )
    coding = max(race.coding_difference for race in races)
    single = max(race.float32_error_ratio for race in races)
    update = max(race.atom_error_ratio for race in races)
    return (
        f"At equal budget, {iterations} alternations of CoSpaDi and {compot_iterations} of COMPOT, CoSpaDi takes "
        f"{budget_ratio:.0f} times as long.",
        equal_error,
        f"After all alternations CoSpaDi's error is below COMPOT's on {lower} of {len(races)} sites.",
        f"Checked on {CHECKED_COLUMNS} columns and {CHECKED_ATOMS} atoms a site: coefficients in float64 differ from "
        f"those of a pursuit by least squares by {coding:.0e} of the largest; in float32 the squared error is at most "
        f"{single:.4f} times its own; an atom's update leaves at most {update:.4f} times the squared error of an exact "
        "K-SVD step.",
    )


def race_on(
    target: Tensor, site: LinearSite, size: accounting.DictionarySize, compot_iterations: int, iterations: int
) -> SiteRace:
    """Both methods on the whitened target of a site, (m, n), with the threads that torch has now."""
    from compression.methods import compot
    from compression.methods.cospadi import CoSpaDi, alternate

    atoms, nonzeros, power_iterations = size.num_atoms, size.nonzeros_per_column, CoSpaDi().power_iterations
    compot.factorise(target, atoms, nonzeros, 1)  # threads, buffers and code are warm when the clock starts
    started = time.perf_counter()
    rival = compot.factorise(target, atoms, nonzeros, compot_iterations)
    compot_seconds = time.perf_counter() - started
    catch_up_seconds = catch_up_iterations = None
    started = time.perf_counter()
    for half_turns, factors in enumerate(alternate(target, atoms, nonzeros, iterations, power_iterations), 1):
        if catch_up_seconds is None and factors.convergence[-1] <= rival.convergence[-1]:
            catch_up_seconds, catch_up_iterations = time.perf_counter() - started, half_turns / 2
    cospadi_seconds = time.perf_counter() - started
    coding_difference, float32_error_ratio = check_coding(target, factors.dictionary, nonzeros)
    return SiteRace(
        site=site.name,
        projection=site.projection,
        out_features=site.out_features,
        in_features=site.in_features,
        num_atoms=atoms,
        nonzeros_per_column=nonzeros,
        compot_seconds=compot_seconds,
        compot_error=rival.convergence[-1],
        cospadi_seconds=cospadi_seconds,
        cospadi_error=factors.convergence[-1],
        catch_up_seconds=catch_up_seconds,
        catch_up_iterations=catch_up_iterations,
        budget_ratio=cospadi_seconds / compot_seconds,
        error_ratio=None if catch_up_seconds is None else catch_up_seconds / compot_seconds,
        coding_difference=coding_difference,
        float32_error_ratio=float32_error_ratio,
        atom_error_ratio=check_update(target, factors, power_iterations),
    )


def obvious_pursuit(target: Tensor, dictionary: Tensor, nonzeros: int) -> Tensor:
    """Orthogonal matching pursuit as it is written down: least squares anew at every step; Sᵀ, (n, k)."""
    import torch

    codes = torch.zeros(target.shape[1], dictionary.shape[1], dtype=target.dtype)
    for column, code in zip(target.T, codes, strict=True):
        chosen: list[int] = []
        rest = column
        for _ in range(nonzeros):
            scores = (dictionary.T @ rest).abs()
            scores[chosen] = -1
            chosen.append(int(scores.argmax()))
            values = torch.linalg.lstsq(dictionary[:, chosen], column[:, None]).solution[:, 0]
            rest = column - dictionary[:, chosen] @ values
        code[chosen] = values
    return codes


def check_coding(target: Tensor, dictionary: Tensor, nonzeros: int) -> tuple[float, float]:
    """Some columns coded by the obvious pursuit: `coding_difference` and `float32_error_ratio` of `SiteRace`."""
    from compression.sparse_coding import orthogonal_matching_pursuit

    columns = target[:, :: max(1, target.shape[1] // CHECKED_COLUMNS)][:, :CHECKED_COLUMNS]
    exact, atoms = columns.double(), dictionary.double()
    atoms = atoms / atoms.norm(dim=0)
    expected = obvious_pursuit(exact, atoms, nonzeros)
    found, _ = orthogonal_matching_pursuit(exact, atoms, nonzeros)
    single, _ = orthogonal_matching_pursuit(columns, dictionary, nonzeros)
    tiny = 1e-12 * exact.square().sum()  # where the fit is exact, both are rounding
    errors = [(exact - atoms @ codes.double().T).square().sum() + tiny for codes in (single, expected)]
    return ((found - expected).abs().max() / expected.abs().max()).item(), (errors[0] / errors[1]).item()


def check_update(target: Tensor, factors: SparseFactors, power_iterations: int) -> float:
    """Some atoms updated alone, and exactly: `atom_error_ratio` of `SiteRace`."""
    import torch

    from compression.sparse_coding import ksvd_step

    dictionary, codes = factors.dictionary.double(), factors.codes.double()
    rest = target.double() - dictionary @ codes.T
    ratios = [1.0]
    for atom in range(0, dictionary.shape[1], -(-dictionary.shape[1] // CHECKED_ATOMS)):
        users = codes[:, atom] != 0
        if users.any():
            others = rest[:, users] + torch.outer(dictionary[:, atom], codes[users, atom])
            ours, weights = ksvd_step(others, dictionary[:, [atom]], codes[users][:, [atom]], power_iterations)
            exact = others.square().sum() - torch.linalg.matrix_norm(others, 2).square()
            tiny = 1e-12 * others.square().sum()
            ratios.append((((others - ours @ weights.T).square().sum() + tiny) / (exact + tiny)).item())
    return max(ratios)
