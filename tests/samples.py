"""Two small analysed models, comparisons and forecasts, made up: what the slider's tables and the page are tested on.

One is a language model, the other writes down speech.
"""

from __future__ import annotations

from dataclasses import replace

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
    SiteReport,
    SpeechCalibration,
    SpeechComparison,
    SpeechRun,
    SpeechSource,
    TextSource,
    TranscriptionReport,
    UtteranceReport,
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


def analysis_of(
    model: ModelInfo, calibration: CalibrationSettings | SpeechCalibration, evidence: Evidence
) -> AnalysisInfo:
    """Spectra whose whitened values are the squares of the plain ones, and every allocation."""
    spectra = [(s, evidence.spectra[s.name]) for s in model.sites]
    return AnalysisInfo(
        model,
        calibration,
        tuple(spectrum_info(s, values.tolist(), (values**2).tolist()) for s, values in spectra),
        SLIDER,
        {policy: tabulate(policy, model.sites, evidence) for policy in SLIDER_POLICIES},  # type: ignore[misc]  # without pins: no None
    )


EVIDENCE = random_evidence(SITES)
ANALYSIS = analysis_of(MODEL, CalibrationSettings(TEXT), EVIDENCE)


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


# --- a speech model ---

RECORDINGS = SpeechSource("some speech", "11", 2, 7.5)
ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
STACKS = {
    "encoder": (*(f"self_attn.{each}" for each in ATTENTION), "fc1", "fc2"),
    "decoder": (*(f"{kind}.{each}" for kind in ("self_attn", "encoder_attn") for each in ATTENTION), "fc1", "fc2"),
}


def whisper_sites(blocks: int, width: int) -> tuple[LinearSite, ...]:
    """Sites named and shaped as Whisper's: `blocks` of them in the encoder and as many in the decoder."""
    sites = []
    for stack, projections in STACKS.items():
        for block in range(blocks):
            for projection in projections:
                out_features = 4 * width if projection == "fc1" else width
                in_features = 4 * width if projection == "fc2" else width
                name = f"model.{stack}.layers.{block}.{projection}"
                sites.append(LinearSite(name, block, f"{stack}.{projection}", out_features, in_features, name))
    return tuple(sites)


def whisper(blocks: int, width: int) -> tuple[AnalysisInfo, Evidence]:
    """An analysed model of that shape, a third of whose weights are outside of the sites."""
    sites = whisper_sites(blocks, width)
    parameters = round(1.5 * sum(each.num_weights for each in sites))
    model = ModelInfo("tiny-whisper", "Tiny Whisper", "a toy that listens", "22", "whisper", parameters, sites)
    evidence = random_evidence(sites)
    return analysis_of(model, SpeechCalibration(RECORDINGS), evidence), evidence


WHISPER, WHISPER_EVIDENCE = whisper(2, 16)


def utterances(wrong: int) -> tuple[UtteranceReport, ...]:
    """Two recordings of ten words each, `wrong` of them wrong in the first and none in the second."""
    said = "one two three four five six seven eight nine ten"
    heard = " ".join(["word"] * wrong + said.split()[wrong:])
    return UtteranceReport("a", said, heard, 10, wrong, 0, 0, 4.0), UtteranceReport("b", said, said, 10, 0, 0, 0, 3.5)


def transcription(wer: float) -> TranscriptionReport:
    return TranscriptionReport(
        wer=wer,
        wer_raw=wer + 0.1,
        wer_low=wer - 0.02,
        wer_high=wer + 0.03,
        wer_stderr=0.012,
        cer=wer / 3,
        substitutions=5,
        deletions=3,
        insertions=1,
        words=20,
        clips=2,
        audio_seconds=7.5,
        seconds=0.75,
        real_time_factor=0.1,
        convention="greedy decoding, English normaliser",
        source=RECORDINGS,
        stored_bits=16,
        utterances=utterances(round(20 * wer)),
    )


def stored_as(sites: tuple[LinearSite, ...], form: str) -> tuple[SiteReport, ...]:
    """Every site but the first in one form; errors grow from site to site."""
    quantities = {"rank": 5} if form == "low-rank" else {"num_atoms": 8, "nonzeros_per_column": 4}
    reports = [
        SiteReport(
            s.name, s.block, s.projection, (s.out_features, s.in_features), 0.2, 0.2, 9, form, quantities, e, 0.1
        )
        for s, e in zip(sites, np.linspace(0.1, 0.6, len(sites)).tolist(), strict=True)
    ]
    dense = replace(reports[0], representation="dense", quantities={}, removed_fraction=0.0)
    return (dense, *reports[1:])


def speech_run(method: str, policy: str, target: float, wer: float, seed: int = 0, **changed: object) -> SpeechRun:
    made = SpeechRun(
        method=method,
        policy=policy,
        removed_fraction_target=target,
        removed_fraction=target + 0.001,
        whole_model_removed_fraction=target / 2,
        stored_bits=1000,
        site_stored_bits=800,
        compress_seconds=12.0,
        calibration_seconds=20.0,
        calibration_reused=False,
        evaluate_seconds=6.0,
        settings={},
        sites=stored_as(WHISPER.model.sites, "dictionary" if "compot" in method else "low-rank"),
        seed=seed,
        wer=wer,
        wer_raw=wer + 0.1,
        wer_low=wer - 0.02,
        wer_high=wer + 0.03,
        wer_stderr=0.012,
        cer=wer / 3,
        substitutions=6,
        deletions=4,
        insertions=2,
        words=20,
        real_time_factor=0.08,
        utterances=utterances(round(20 * wer)),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def speech_comparison(*runs: SpeechRun) -> SpeechComparison:
    dense = transcription(0.074)
    return SpeechComparison(
        "tiny-whisper", "a toy that listens", "22", SpeechCalibration(RECORDINGS), dense, runs, NOWHERE
    )


SPOKEN = speech_comparison(
    speech_run("svd-llm", "uniform", 0.2, 0.333),
    speech_run("compot", "uniform", 0.2, 0.126),
    speech_run("compot-fisher", "fisher", 0.2, 0.083),
    speech_run("svd-llm", "uniform", 0.3, 0.456),
    speech_run("compot-fisher", "fisher", 0.3, 0.1049),
)


def transcript_forecast(method: str, policy: str, factor: float, problem: str = "") -> ForecastReport:
    """As `forecast_report`, of transcripts: perplexity 1.25 dense."""
    rows = tuple(
        Prediction(i / 100, 1.25 + factor * i, 1.25 + factor * i / 2, 1.25 + factor * i * 2) for i in range(61)
    )
    return replace(
        forecast_report(method, policy, factor, problem),
        model_id="tiny-whisper",
        text=RECORDINGS,
        convention="transcripts of 8 recordings",
        dense=DensePerplexity(1.25),
        measured=(MeasuredPoint(0.25, 1.25 + factor * 24), MeasuredPoint(0.45, 1.25 + factor * 44)),
        predictions=() if problem else rows,
    )
