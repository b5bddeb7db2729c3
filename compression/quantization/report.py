"""What quantisation reports: plain numbers, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from compression.types import CalibrationSettings, Environment, PerplexityReport, SpeechCalibration, TranscriptionReport

SWEEPS, MAX_SWEEPS = 4, 100
"""How often GPTQ's scales and codes are gone through again: by default, and at most."""


@dataclass(frozen=True)
class QuantizedSite:
    """What became of a layer.

    Attributes:
        name: the site's name.
        block: its block.
        projection: its projection.
        shape: (out, in).
        stored_bits: codes, scales and zero points; bias left out.
        relative_output_error: ‖X(W − Ŵ)ᵀ‖ ÷ ‖XWᵀ‖ on the calibration inputs as they arrive behind what is quantised;
            None where no data was looked at.
        seconds: time spent, on one thread.
        positions: of the text, or of recordings, that the layer's inputs were seen at; 0 where no data was looked at.
        notes: fallbacks, a sentence each.
    """

    name: str
    block: int
    projection: str
    shape: tuple[int, int]
    stored_bits: int
    relative_output_error: float | None
    seconds: float
    positions: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MeasuredModel:
    """What every measured model has.

    Attributes:
        stored_bits: of the whole model, 16 for each value that is not quantised.
        bits_per_weight: of the layers that are quantised: codes, scales and zero points over the number of weights; 16
            for the dense model.
        mean_output_error: mean of the layers' relative output errors; None where no data was looked at.
        seconds: time quantisation took.
        sites: what became of each layer; empty for the dense model.
    """

    stored_bits: int
    bits_per_weight: float
    mean_output_error: float | None = None
    seconds: float = 0.0
    sites: tuple[QuantizedSite, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QuantizedRun(MeasuredModel):
    """A language model, measured.

    Attributes:
        perplexity: exp of the pooled loss.
        measured: the measurement with its convention.
    """

    perplexity: float
    measured: PerplexityReport


@dataclass(frozen=True, kw_only=True)
class QuantizedSpeechRun(MeasuredModel):
    """A speech model, measured.

    Attributes:
        wer: word error rate, a share, after the normaliser.
        wer_low: lower end of its 95 % interval; None with one recording.
        wer_high: its upper end.
        cer: character error rate, likewise.
        measured: the measurement with its convention.
    """

    wer: float
    wer_low: float | None
    wer_high: float | None
    cer: float
    measured: TranscriptionReport


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How a model was quantised.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        bits: of a code.
        group_size: neighbouring weights of a row that share a scale; 0 for a whole row.
        symmetric: whether the grid is symmetric around zero.
        act_order: whether GPTQ took the inputs with most energy first.
        damping: of the Gram matrices, as a share of their mean diagonal.
        sweeps: how often GPTQ's scales and codes were gone through again; 0 for GPTQ as published.
        notes: cautions, a sentence each.
        environment: where it was measured.
    """

    model_id: str
    model_note: str
    bits: int
    group_size: int
    symmetric: bool
    act_order: bool
    damping: float
    sweeps: int
    notes: tuple[str, ...]
    environment: Environment


@dataclass(frozen=True, kw_only=True)
class QuantizeReport(Quantization):
    """What ``quantize`` writes about a language model.

    Attributes:
        calibration: what GPTQ looked at.
        dense: the model as it was, which may be a compressed one.
        rtn: rounded to nearest.
        gptq: by GPTQ.
    """

    calibration: CalibrationSettings
    dense: QuantizedRun
    rtn: QuantizedRun
    gptq: QuantizedRun


@dataclass(frozen=True, kw_only=True)
class SpeechQuantizeReport(Quantization):
    """What it writes about a speech model; the attributes are those of `QuantizeReport`."""

    calibration: SpeechCalibration
    dense: QuantizedSpeechRun
    rtn: QuantizedSpeechRun
    gptq: QuantizedSpeechRun
