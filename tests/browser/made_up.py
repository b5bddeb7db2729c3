"""A gallery with forecasts whose numbers are made up, for journeys only: it is written to a temporary folder.

Structure and spectra are those of the example in assets; every perplexity here is a round invention.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compression import store
from compression.analysis import AnalysisInfo, PatternInfo
from compression.forecast import DensePerplexity, ForecastReport, MeasuredPoint, Prediction
from compression.gallery import EVIDENCE_FILE, Gallery, load_evidence, registered_methods, save_gallery
from compression.types import Comparison, ComparisonRun, Environment, TextSource

DENSE = 20.0
PROBLEM = "at 25% removed the loss changes by 7.50 nats a token; a forecast needs a change between 0 and 2.5"
DRIFT = "the outer probes foretell the one at 25% removed with an error of 22%; at most 15% is accepted"
NOWHERE = Environment("", "", "", "", "made up", 0, "", "", "0000000000", "1970-01-01")


def perplexity(removed: float, slope: float) -> float:
    """An invented curve that starts at `DENSE`."""
    return DENSE * (1 + slope * removed + 3 * slope * removed**2)


def report(method: str, policy: str, slope: float, band: float = 0.05, problem: str = "") -> ForecastReport:
    """A forecast along the invented curve; with a problem, only its points."""
    rows = []
    for step in range(61):
        removed = step / 100
        value, spread = perplexity(removed, slope), 1 + band * min(1, 5 * removed)
        rows.append(Prediction(removed, value, value / spread, value * spread))
    return ForecastReport(
        model_id="smollm2-135m-q4",
        model_note="made up",
        weights_hash="00",
        method=method,
        policy=policy,
        settings={},
        text=TextSource("sotu-calibration", "00", 1000),
        convention="token-level, 8 windows of 512 tokens, first token of each unscored",
        dense=DensePerplexity(DENSE),
        measured=tuple(MeasuredPoint(at, 1.02 * perplexity(at, slope)) for at in (0.1, 0.25, 0.45)),
        predictions=() if problem else tuple(rows),
        problem=problem,
        environment=NOWHERE,
    )


def reports() -> tuple[ForecastReport, ...]:
    """As many as a real gallery has."""
    broken = report("svd", "uniform", 400_000, problem=PROBLEM)
    return (
        report("compot", "fisher", 1.6, 0.06),
        report("compot", "pooled", 2.4, 0.09),
        report("compot-fisher", "fisher", 1.2, 0.05),
        replace(broken, measured=broken.measured[1:2]),
        replace(broken, policy="fisher", measured=(MeasuredPoint(0.25, float("inf")),)),
        report("svd-fisher", "fisher", 4.5, 0.1),
        report("svd-llm", "fisher", 6.0, 0.1),
        report("svd-llm", "uniform", 9.0, problem=DRIFT),
    )


def write(example: Path, folder: Path) -> Path:
    """Write the gallery; `example` is the one in assets."""
    analysis = store.read_json(example / "analysis.json", AnalysisInfo)
    comparison = store.read_json(example / "comparison.json", Comparison)
    patterns = store.read_json(example / "patterns.json", tuple[PatternInfo, ...])
    made = reports()
    allocations = {"fisher": analysis.allocations["pooled"], **analysis.allocations}
    sites = {(run.method, run.removed_fraction_target): run.sites for run in comparison.runs}
    settings = [(at, each, 0) for at in (0.1, 0.2) for each in made]
    settings += [(0.2, each, seed) for seed in (1, 2) for each in made if each.predictions]
    runs: list[ComparisonRun] = []
    for at, each, seed in settings:
        broken = each.problem == PROBLEM
        row = None if each.problem else next(r for r in each.predictions if r.removed_fraction_target == at)
        value = 2_143_368.0 if broken else 1.03 * perplexity(at, each.measured[0].perplexity / 20)
        value = value if row is None else (1.03 + 0.02 * seed) * row.perplexity
        foretold = row is not None and seed == 0
        runs.append(
            replace(
                comparison.runs[0],
                method=each.method,
                policy=each.policy,
                removed_fraction_target=at,
                removed_fraction=at,
                settings={},
                sites=sites[each.method, at],
                perplexity=value,
                perplexity_stderr=0.04 * value,
                warning="made up: a lesson" if broken else None,
                predicted_perplexity=row.perplexity if row and foretold else None,
                predicted_low=row.low if row and foretold else None,
                predicted_high=row.high if row and foretold else None,
                forecast_problem=each.problem,
                mean_kl=9.9 if broken else value / DENSE - 1,
                p99_kl=19.9 if broken else 5 * (value / DENSE - 1),
                top1_agreement=0.001 if broken else DENSE / value,
                seed=seed,
            )
        )
    gallery = Gallery(
        replace(analysis, allocations=allocations),
        replace(comparison, runs=tuple(runs)),
        replace(comparison, runs=()),
        patterns,
        registered_methods(),
        made,
        load_evidence(example / EVIDENCE_FILE),
    )
    folder.mkdir(exist_ok=True)
    save_gallery(folder, gallery)
    return folder
