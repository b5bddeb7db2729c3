"""``ablate``: do the directions of COMPOT's published ablations hold on this model, at this budget and on this text?

All cells of the grid are measured on the same windows, so two of them are compared window by window: much of what makes
one window harder than another cancels. Every verdict is computed from these paired differences. The published figures
are accuracies of another, larger model and stand beside ours only to show the direction.

Needs neither torch nor a model until it is run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from compression.errors import UserError
from compression.recipe import Recipe
from compression.types import (
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    Environment,
    PerplexityReport,
    Progress,
)

if TYPE_CHECKING:
    from compression.workbench import Workbench

RATIOS = (1.2, 1.6, 2.0, 2.4, 3.0, 4.0)
"""k/s of the grid."""
PUBLISHED_RATIO = 2.0
NEAR = (1.6, 2.4)
"""What counts as near the published optimum: its neighbours in the grid, and all between them."""
ALTERNATIONS = (0, 5, 20, 50)
PUBLISHED_ALTERNATIONS = 20
LITTLE = 0.1
"""More alternations bring little if they lower log-perplexity by less than this share of what the first 20 did."""
CONFIDENCE = 0.95
CONVENTION = (
    "Changes are paired over the same windows: mean over windows of a variant's loss minus the reference's, in nats, "
    "which is the change of log-perplexity, with a 95 % interval (Student t over windows). A verdict needs intervals "
    "that hold together at 95 % within its claim (Bonferroni). Published figures are average accuracies in %, of "
    "another model."
)

Outcome = Literal["holds", "does not hold", "within noise"]
OPENINGS: dict[Outcome, str] = {
    "holds": "The direction holds here",
    "does not hold": "The direction does not hold here",
    "within noise": "Here the difference is within noise",
}


@dataclass(frozen=True)
class Difference:
    """A quantity paired over windows, in nats.

    Attributes:
        mean: over windows.
        stderr: its standard error, windows taken as independent; None with one window.
        low: lower end of the interval (Student t over windows); None with one window.
        high: its upper end.
    """

    mean: float
    stderr: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AblationRow:
    """One cell of the grid, measured.

    Attributes:
        label: what makes it different from the claim's other rows.
        policy: allocation policy.
        settings: of the method.
        removed_fraction: over the compressible sites, measured.
        stored_ratio: atoms ÷ nonzeros a column, all dictionaries together. A site has no more atoms than its smaller
            side, and what is left goes to nonzeros: then it is less than the k/s asked for. None without a dictionary.
        perplexity: on the report's text, by its convention.
        perplexity_stderr: standard error over windows; None with one window.
        compress_seconds: allocation, factorisation and error measurement.
        window_losses: mean loss of each window, in nats.
        change: change of log-perplexity against the claim's reference, with a 95 % interval; None for the reference.
        published_accuracy: the paper's average accuracy for this variant, in %, where it is known.
    """

    label: str
    policy: str
    settings: dict[str, Any]
    removed_fraction: float
    stored_ratio: float | None
    perplexity: float
    perplexity_stderr: float | None
    compress_seconds: float
    window_losses: tuple[float, ...]
    change: Difference | None
    published_accuracy: float | None


@dataclass(frozen=True)
class AblationClaim:
    """A published claim and what was measured.

    Attributes:
        name: short name, as ``--claims`` takes it.
        statement: the claim in words.
        reference: label of the row that the others are compared with.
        rows: the variants.
        outcome: whether the direction holds here.
        verdict: the same as a sentence, with the figures that decide.
    """

    name: str
    statement: str
    reference: str
    rows: tuple[AblationRow, ...]
    outcome: Outcome
    verdict: str


@dataclass(frozen=True)
class AblationReport:
    """What ``ablate`` found.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        removed_fraction: asked for, over the compressible sites.
        calibration: the tokens behind the statistics.
        dense: the dense model on the same windows.
        claims: one for each claim.
        convention: what the changes and verdicts mean, in words.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    weights_hash: str
    removed_fraction: float
    calibration: CalibrationSettings
    dense: PerplexityReport
    claims: tuple[AblationClaim, ...]
    convention: str
    environment: Environment


@dataclass(frozen=True)
class Variant:
    """A cell before it is measured.

    Attributes:
        label: its name within the claim.
        recipe: how it is made.
        value: the number that is varied; 0 where none is.
        published_accuracy: as in `AblationRow`.
    """

    label: str
    recipe: Recipe
    value: float = 0.0
    published_accuracy: float | None = None


Losses = Sequence[Sequence[float]]
"""For each variant of a claim, the mean loss of each window, in nats."""


@dataclass(frozen=True)
class ClaimPlan:
    """A claim before it is measured.

    Attributes:
        name: as in `AblationClaim`.
        statement: as in `AblationClaim`.
        variants: the cells.
        reference: index of the variant that the others are compared with.
        judge: from the variants and their losses, in their order, to outcome and what decides, in words.
    """

    name: str
    statement: str
    variants: tuple[Variant, ...]
    reference: int
    judge: Callable[[tuple[Variant, ...], Losses], tuple[Outcome, str]]


def plan_ratio(base: Recipe) -> ClaimPlan:
    """k/s from 1.2 to 4."""
    published = {1.2: 40.9, 1.8: 47.9, 2.0: 48.1, 4.0: 42.1}
    variants = tuple(
        Variant(f"k/s {ratio:g}", replace(base, atoms_per_nonzero=ratio), ratio, published.get(ratio))
        for ratio in RATIOS
    )
    statement = "k/s is best near 2 (published: 40.9 at 1.2, 47.9 at 1.8, 48.1 at 2, 42.1 at 4)"
    return ClaimPlan("ratio", statement, variants, RATIOS.index(PUBLISHED_RATIO), judge_ratio)


def plan_start(base: Recipe) -> ClaimPlan:
    """SVD or random start."""
    random = replace(base, settings=(*base.settings, ("random_start", 1)))
    variants = Variant("SVD start", base), Variant("random start", random)
    return ClaimPlan("start", "starting the dictionary from the SVD beats a random start", variants, 0, judge_start)


def plan_allocation(base: Recipe) -> ClaimPlan:
    """Uniform or pooled."""
    variants = (
        Variant("uniform", base, published_accuracy=48.5),
        Variant("pooled", replace(base, policy="pooled"), published_accuracy=50.1),
    )
    statement = "pooled allocation beats uniform (published: 50.1 against 48.5)"
    return ClaimPlan("allocation", statement, variants, 0, judge_allocation)


def plan_alternations(base: Recipe) -> ClaimPlan:
    """0 to 50 alternations."""
    variants = tuple(Variant(f"{n} alternations", replace(base, iterations=n), n) for n in ALTERNATIONS)
    statement = "more than 20 alternations bring little"
    reference = ALTERNATIONS.index(PUBLISHED_ALTERNATIONS)
    return ClaimPlan("alternations", statement, variants, reference, judge_alternations)


CLAIMS: dict[str, Callable[[Recipe], ClaimPlan]] = {
    "ratio": plan_ratio,
    "start": plan_start,
    "allocation": plan_allocation,
    "alternations": plan_alternations,
}
"""Name → plan from the recipe that all variants start from."""


def plan(base: Recipe, claims: Sequence[str] = tuple(CLAIMS)) -> tuple[ClaimPlan, ...]:
    """The grid, claim by claim; equal cells of different claims are equal recipes.

    Args:
        base: model, budget, calibration; everything that is varied is set to the published choice.
        claims: names in `CLAIMS`.

    Raises:
        UserError: for an unknown claim.
    """
    for name in claims:
        if name not in CLAIMS:
            raise UserError(f"There is no claim {name!r}: expected one of {', '.join(CLAIMS)}.")
    base = replace(
        base,
        method="compot",
        policy="uniform",
        iterations=PUBLISHED_ALTERNATIONS,
        atoms_per_nonzero=PUBLISHED_RATIO,
    )
    return tuple(CLAIMS[name](base) for name in dict.fromkeys(claims))


def ablate(
    workbench: Workbench, plans: tuple[ClaimPlan, ...], text: str, window: int = 512, max_windows: int | None = 16
) -> Generator[Progress, None, AblationReport]:
    """Measure every cell once, in one comparison, and judge every claim.

    Args:
        workbench: what measures.
        plans: from `plan`.
        text: name of a text or a file.
        window: tokens a window.
        max_windows: number of windows; None for all.

    Yields:
        Among others, an event of stage ``run`` after every cell.

    Raises:
        UserError: for a recipe that cannot be carried out, nothing to remove, or a single window.
    """
    if max_windows is not None and max_windows < 2:
        raise UserError(f"An ablation compares window by window: at least 2 are needed, but {max_windows} was given.")
    names: dict[Recipe, list[str]] = {}
    for variant in (variant for claim in plans for variant in claim.variants):
        names.setdefault(variant.recipe, []).append(variant.label)
        if variant.recipe.removed_fraction == 0:
            raise UserError("Nothing is compressed at a removed fraction of 0: give one above it, such as 0.2.")
    with closing(workbench.compare(tuple(names), text, window, max_windows, "never")) as steps:
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                comparison: Comparison = stop.value
                break
            if isinstance(event.partial, ComparisonRun):
                label = ", ".join(list(names.values())[event.done - 1])
                event = replace(event, message=f"{label}: perplexity {event.partial.perplexity:.2f}")
            yield event
    runs = dict(zip(names, comparison.runs, strict=True))
    first = next(iter(names))
    return AblationReport(
        model_id=comparison.model_id,
        model_note=comparison.model_note,
        weights_hash=comparison.weights_hash,
        removed_fraction=first.removed_fraction,
        calibration=comparison.calibration,
        dense=comparison.dense,
        claims=tuple(judge(claim, [runs[variant.recipe] for variant in claim.variants]) for claim in plans),
        convention=CONVENTION,
        environment=comparison.environment,
    )


def judge(claim: ClaimPlan, runs: Sequence[ComparisonRun]) -> AblationClaim:
    """A claim with its verdict, from one run for each of its variants, all on the same windows."""
    losses = [run.window_losses for run in runs]
    reference = losses[claim.reference]
    rows = tuple(
        AblationRow(
            label=variant.label,
            policy=run.policy,
            settings=run.settings,
            removed_fraction=run.removed_fraction,
            stored_ratio=stored_ratio(run),
            perplexity=run.perplexity,
            perplexity_stderr=run.perplexity_stderr,
            compress_seconds=run.compress_seconds,
            window_losses=run.window_losses,
            change=None if index == claim.reference else difference(run.window_losses, reference),
            published_accuracy=variant.published_accuracy,
        )
        for index, (variant, run) in enumerate(zip(claim.variants, runs, strict=True))
    )
    outcome, finding = claim.judge(claim.variants, losses)
    verdict = f"{OPENINGS[outcome]}: {finding}."
    return AblationClaim(claim.name, claim.statement, claim.variants[claim.reference].label, rows, outcome, verdict)


def stored_ratio(run: ComparisonRun) -> float | None:
    """Atoms ÷ nonzeros a column over all dictionaries of a run."""
    sizes = [site.quantities for site in run.sites if "num_atoms" in site.quantities]
    nonzeros = sum(size["nonzeros_per_column"] for size in sizes)
    return sum(size["num_atoms"] for size in sizes) / nonzeros if nonzeros else None


# --- paired statistics ------------------------------------------------------------------------------------------------


def difference(losses: Sequence[float], reference: Sequence[float], comparisons: int = 1) -> Difference:
    """Mean of losses minus reference over windows, with an interval.

    Args:
        losses: of each window, in nats.
        reference: of the same windows.
        comparisons: so many intervals hold together at 95 % (Bonferroni).
    """
    return paired([a - b for a, b in zip(losses, reference, strict=True)], comparisons)


def paired(values: Sequence[float], comparisons: int = 1) -> Difference:
    """Mean over windows with an interval that holds at 95 % together with those of `comparisons` − 1 others."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Difference(mean, None, None, None)
    from scipy.stats import t as student_t  # slow to import, and only needed when something was measured

    stderr = statistics.stdev(values) / math.sqrt(len(values))
    spread = float(student_t.ppf(1 - (1 - CONFIDENCE) / 2 / comparisons, len(values) - 1)) * stderr
    return Difference(mean, stderr, mean - spread, mean + spread)


def outcome_of(contrasts: Sequence[Difference]) -> Outcome:
    """What contrasts say that are positive where a claim is right: all must be, beyond noise; one below refutes it."""
    if any(contrast.high is not None and contrast.high < 0 for contrast in contrasts):
        return "does not hold"
    if all(contrast.low is not None and contrast.low > 0 for contrast in contrasts):
        return "holds"
    return "within noise"


# --- the claims -------------------------------------------------------------------------------------------------------


def judge_ratio(variants: tuple[Variant, ...], losses: Losses) -> tuple[Outcome, str]:
    """The best k/s near 2 against every one further away.

    Which one is best near 2 was found on the same windows: every pair of a near and a far one is a comparison.
    """
    low, high = NEAR
    near = [i for i, variant in enumerate(variants) if low <= variant.value <= high]
    far = [i for i in range(len(variants)) if i not in near]
    best = min(near, key=lambda i: statistics.fmean(losses[i]))
    contrasts = [difference(losses[i], losses[best], len(near) * len(far)) for i in far]
    outcome = outcome_of(contrasts)
    # The one that decides: what comes closest to refuting the claim, or refutes it most clearly.
    decisive = min(range(len(far)), key=lambda i: _end(contrasts[i], upper=outcome == "does not hold"))
    name = variants[best].label
    finding = (
        f"of {low:g} to {high:g}, {name} has the lowest perplexity, and that of {variants[far[decisive]].label} is "
        f"{_percent(contrasts[decisive])}"
    )
    if variants[best].value != PUBLISHED_RATIO:
        published = next(i for i in near if variants[i].value == PUBLISHED_RATIO)
        finding += f"; at k/s 2 it is {_percent(difference(losses[published], losses[best]))}"
    return outcome, finding


def judge_start(variants: tuple[Variant, ...], losses: Losses) -> tuple[Outcome, str]:
    """Random start against SVD start."""
    svd, random = losses
    contrast = difference(random, svd)
    return outcome_of([contrast]), f"with a random start perplexity is {_percent(contrast)} than with the SVD start"


def judge_allocation(variants: tuple[Variant, ...], losses: Losses) -> tuple[Outcome, str]:
    """Uniform against pooled."""
    uniform, pooled = losses
    contrast = difference(uniform, pooled)
    finding = f"with pooled allocation perplexity is {_percent(difference(pooled, uniform))} than with uniform"
    return outcome_of([contrast]), finding


def judge_alternations(variants: tuple[Variant, ...], losses: Losses) -> tuple[Outcome, str]:
    """`LITTLE` of what the first 20 alternations bring, against what the later ones bring."""
    by_count = {variant.value: loss for variant, loss in zip(variants, losses, strict=True)}
    least, published, most = (by_count[n] for n in (ALTERNATIONS[0], PUBLISHED_ALTERNATIONS, ALTERNATIONS[-1]))
    contrast = paired(
        [LITTLE * (none - some) - (some - many) for none, some, many in zip(least, published, most, strict=True)]
    )
    finding = (
        f"the first {PUBLISHED_ALTERNATIONS} alternations leave perplexity {_percent(difference(published, least))} "
        f"than none, {ALTERNATIONS[-1]} leave it {_percent(difference(most, published))} than "
        f"{PUBLISHED_ALTERNATIONS}; little is less than {LITTLE:.0%} of what the first brought"
    )
    return outcome_of([contrast]), finding


def _end(contrast: Difference, upper: bool) -> float:
    end = contrast.high if upper else contrast.low
    return contrast.mean if end is None else end


def _percent(change: Difference) -> str:
    """A change of log-perplexity in words: ``4.2 % higher (+3.0 % to +5.4 %)``."""
    mean, *ends = (
        None if value is None else 100 * math.expm1(min(value, 700.0))
        for value in (change.mean, change.low, change.high)
    )
    assert mean is not None
    words = f"{abs(mean):.2f} % {'higher' if mean >= 0 else 'lower'}"
    low, high = ends
    return f"{words} (one window: no interval)" if low is None else f"{words} ({low:+.2f} % to {high:+.2f} %)"
