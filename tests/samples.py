"""A small analysed model, a comparison and forecasts, made up: what the slider's tables and the page are tested on."""

from __future__ import annotations

import numpy as np

from compression.allocation import CURVE_FRACTIONS, SLIDER, SLIDER_POLICIES, Evidence, LossCurves, tabulate
from compression.analysis import AnalysisInfo, ModelInfo, spectrum_info
from compression.forecast import DensePerplexity, ForecastReport, MeasuredPoint, Prediction
from compression.types import (
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    Environment,
    LinearSite,
    PerplexityReport,
    TextSource,
)

NOWHERE = Environment("", "", "", "", "", 2, "", "", "", "")
TEXT = TextSource("some text", "00", 9)


def site(block: int, projection: str, out_features: int, in_features: int) -> LinearSite:
    name = f"model.layers.{block}.{projection}"
    return LinearSite(name, block, projection, out_features, in_features, name)


Q, DOWN, Q1 = (
    site(0, "self_attn.q_proj", 64, 64),
    site(0, "mlp.down_proj", 64, 128),
    site(1, "self_attn.q_proj", 64, 64),
)
SMALL = site(1, "mlp.gate", 16, 16)
"""So small that not one atom fits when 95 % are removed. Block 0 has no such site, block 1 no ``down_proj``."""
SITES = (Q, DOWN, Q1, SMALL)
MODEL = ModelInfo("tiny", "Tiny", "a toy", "00", "llama", 40_000, SITES)


def random_evidence(sites: tuple[LinearSite, ...], seed: int = 0) -> Evidence:
    """Falling spectra and rising loss curves."""
    random = np.random.default_rng(seed)
    spectra = {
        s.name: np.sort(random.exponential(size=min(s.out_features, s.in_features)) ** 2)[::-1].copy() for s in sites
    }
    curves = {s.name: tuple(np.cumsum(random.exponential(size=len(CURVE_FRACTIONS)) ** 2).tolist()) for s in sites}
    return Evidence(spectra, LossCurves(curves))


EVIDENCE = random_evidence(SITES)
ANALYSIS = AnalysisInfo(
    MODEL,
    CalibrationSettings(TEXT),
    tuple(spectrum_info(s, EVIDENCE.spectra[s.name].tolist(), (EVIDENCE.spectra[s.name] ** 2).tolist()) for s in SITES),
    SLIDER,
    {policy: tabulate(policy, SITES, EVIDENCE) for policy in SLIDER_POLICIES},  # type: ignore[misc]  # without pins: no None
)


def run(method: str, policy: str, target: float, perplexity: float, seed: int = 0) -> ComparisonRun:
    return ComparisonRun(
        method=method,
        policy=policy,
        removed_fraction_target=target,
        removed_fraction=target,
        whole_model_removed_fraction=target / 2,
        stored_bits=1000,
        site_stored_bits=800,
        perplexity=perplexity,
        perplexity_stderr=None,
        tokens=4092,
        compress_seconds=3.0,
        calibration_seconds=2.0,
        calibration_reused=False,
        evaluate_seconds=1.0,
        settings={},
        sites=(),
        seed=seed,
    )


def comparison(*runs: ComparisonRun) -> Comparison:
    dense = PerplexityReport(23.26, None, 3.0, 9, 1, 10, 10, "convention", TEXT, 16, 1.0)
    return Comparison("tiny", "", "", CalibrationSettings(TEXT), dense, runs, NOWHERE)


def forecast_report(method: str, policy: str, factor: float, problem: str = "") -> ForecastReport:
    """Perplexity 20 and `factor` more for each per cent removed, between half and twice that; up to 60 %."""
    rows = tuple(Prediction(i / 100, 20 + factor * i, 20 + factor * i / 2, 20 + factor * i * 2) for i in range(61))
    return ForecastReport(
        "tiny",
        "",
        "00",
        method,
        policy,
        {},
        TEXT,
        "windows of 512",
        DensePerplexity(20.0),
        (MeasuredPoint(0.25, 20 + factor * 24), MeasuredPoint(0.45, 20 + factor * 44)),
        () if problem else rows,
        problem,
        NOWHERE,
    )
