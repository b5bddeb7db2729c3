"""A model as it is, rounded to nearest, and by GPTQ, measured on one text or on the same recordings.

What was measured before is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from compression import export, pipeline, store, texts
from compression.environment import code_version, describe_environment
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.quantization.factors import bits_of
from compression.quantization.grid import QuantizationSettings
from compression.quantization.report import (
    MeasuredModel,
    QuantizedRun,
    QuantizedSpeechRun,
    QuantizeReport,
    SpeechQuantizeReport,
)
from compression.quantization.sequence import QuantizedModel, notes_of, quantize_in_sequence, quantize_plainly
from compression.recipe import Recipe
from compression.speech.recordings import DEFAULT_RECORDINGS, held_out
from compression.streams import Sequences
from compression.types import (
    AnyCalibration,
    CalibrationSettings,
    CompressionReport,
    PerplexityReport,
    Progress,
    SpeechCalibration,
    TranscriptionReport,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compression.speech.workbench import SpeechWorkbench
    from compression.workbench import DenseModel, Workbench

MAX_CACHE_BYTES = 2**26

Making = Generator[Progress, None, QuantizedModel]
Measured = TypeVar("Measured", bound=PerplexityReport | TranscriptionReport)
Run = TypeVar("Run", bound=MeasuredModel)


@dataclass(frozen=True)
class _Judge(Generic[Measured, Run]):
    """How a model is measured.

    Attributes:
        key: all that a measurement depends on beside the model.
        measure: a model that takes so many bits → its measurement.
        kind: of run.
        run: a measurement and the other fields of a run → the run.
        said: name and run → a sentence.
    """

    key: tuple[Any, ...]
    measure: Callable[[PreTrainedModel, int], Generator[Progress, None, Measured]]
    kind: type[Run]
    run: Callable[[Measured, dict[str, Any]], Run]
    said: Callable[[str, Run], str]


def quantize_all(
    bench: Workbench,
    recipe: Recipe,
    settings: QuantizationSettings,
    text: str,
    window: int = 1024,
    max_windows: int | None = None,
    out: Path | None = None,
) -> Generator[Progress, None, QuantizeReport]:
    """Measure a language model, dense or compressed, as it is, rounded to nearest and by GPTQ.

    Args:
        bench: whose models and texts are used.
        recipe: names the model and what to calibrate on.
        settings: how weights are rounded.
        text: name of the text to measure on, or a file.
        window: tokens a window.
        max_windows: number of windows; None for all.
        out: where the model quantised by GPTQ is written; None for nowhere.

    Yields:
        Among others, an event of stage ``run`` after each of the three, whose `partial` is its `QuantizedRun`.

    Raises:
        UserError: for settings out of range, a speech model, a text that is too short, or inputs that are no numbers.
    """
    _check(settings, out)
    dense = yield from bench.any_model(recipe.model_id)
    dense.loaded.check_language()
    scored = yield from texts.load_text(text)
    tokens = tokenize(dense.loaded.tokenizer, scored.content)

    def measure(model: PreTrainedModel, stored_bits: int) -> Generator[Progress, None, PerplexityReport]:
        return measure_perplexity(model, tokens, scored.source, stored_bits, window, max_windows)

    judge = _Judge(
        (scored.source.fingerprint, window, max_windows),
        measure,
        QuantizedRun,
        lambda measured, rest: QuantizedRun(perplexity=measured.perplexity, measured=measured, **rest),
        _perplexity_said,
    )
    common, calibration, runs = yield from _three(bench, dense, recipe, settings, judge, out)
    assert isinstance(calibration, CalibrationSettings)
    dense_run, rtn, gptq = runs
    return QuantizeReport(**common, calibration=calibration, dense=dense_run, rtn=rtn, gptq=gptq)


def quantize_speech(
    bench: SpeechWorkbench, recipe: Recipe, settings: QuantizationSettings, recordings: str, out: Path | None = None
) -> Generator[Progress, None, SpeechQuantizeReport]:
    """Measure a speech model, dense or compressed, in the same three ways by its word error rate.

    Args:
        bench: whose models and recordings are used.
        recipe: names the model, what to calibrate on, and the language.
        settings: how weights are rounded.
        recordings: to measure on, a name or a folder; those of the calibration are left out.
        out: where the model quantised by GPTQ is written; None for nowhere.

    Yields:
        Among others, an event of stage ``run`` after each of the three, whose `partial` is its `QuantizedSpeechRun`.

    Raises:
        UserError: for settings out of range, a language model, or recordings that cannot be used.
    """
    _check(settings, out)
    dense = yield from bench.any_model(recipe.model_id)
    calibrated = yield from bench.recordings(recipe.calibration_text or DEFAULT_RECORDINGS)
    spoken = held_out((yield from bench.recordings(recordings)), calibrated)

    def measure(model: PreTrainedModel, stored_bits: int) -> Generator[Progress, None, TranscriptionReport]:
        return bench.transcription_of(model, dense, spoken, stored_bits, recipe.language)

    judge = _Judge(
        (spoken.source, spoken.left_out, recipe.language),
        measure,
        QuantizedSpeechRun,
        lambda measured, rest: QuantizedSpeechRun(
            wer=measured.wer,
            wer_low=measured.wer_low,
            wer_high=measured.wer_high,
            cer=measured.cer,
            measured=measured,
            **rest,
        ),
        _word_errors_said,
    )
    common, calibration, runs = yield from _three(bench, dense, recipe, settings, judge, out)
    assert isinstance(calibration, SpeechCalibration)
    dense_run, rtn, gptq = runs
    return SpeechQuantizeReport(**common, calibration=calibration, dense=dense_run, rtn=rtn, gptq=gptq)


def _perplexity_said(name: str, run: QuantizedRun) -> str:
    return f"{name}: {run.bits_per_weight:.2f} bits a weight, perplexity {run.perplexity:.2f}"


def _word_errors_said(name: str, run: QuantizedSpeechRun) -> str:
    return f"{name}: {run.bits_per_weight:.2f} bits a weight, word error rate {run.wer:.1%}"


def _check(settings: QuantizationSettings, out: Path | None) -> None:
    settings.check()
    if out is not None:
        store.check_new_directory(out)


def _three(
    bench: Workbench,
    dense: DenseModel,
    recipe: Recipe,
    settings: QuantizationSettings,
    judge: _Judge[Measured, Run],
    out: Path | None,
) -> Generator[Progress, None, tuple[dict[str, Any], AnyCalibration, tuple[Run, Run, Run]]]:
    """The fields that every report has, what was calibrated on, and the runs ``dense``, ``rtn`` and ``gptq``."""
    sequences, calibration = yield from _inputs(bench, dense, recipe)
    loaded, sites = dense.loaded, dense.sites
    weights = sum(site.num_weights for site in sites)
    site_bits_before = sum(bits_of(loaded.model.get_submodule(site.name)) for site in sites)
    dense_bits = pipeline.dense_stored_bits(loaded)

    def plain() -> Making:
        return quantize_plainly(loaded.model, sites, settings)

    def by_gptq() -> Making:
        return quantize_in_sequence(loaded.model, sites, sequences, settings)

    def measured(model: PreTrainedModel, made: QuantizedModel | None) -> Generator[Progress, None, Run]:
        site_bits = sum(site.stored_bits for site in made.sites) if made else site_bits_before
        stored = dense_bits - site_bits_before + site_bits
        report = yield from judge.measure(model, stored)
        errors = [s.relative_output_error for s in made.sites if s.relative_output_error is not None] if made else []
        rest = {
            "stored_bits": stored,
            "bits_per_weight": site_bits / weights,
            "mean_output_error": sum(errors) / len(errors) if errors else None,
            "seconds": made.seconds if made else 0.0,
            "sites": made.sites if made else (),
        }
        return judge.run(report, rest)

    def cell(name: str, make: Callable[[], Making] | None, *depends: object) -> Generator[Progress, None, Run]:
        key = store.content_key("quantize", code_version(), dense.identity, name, *judge.key, *depends)
        file = store.root() / "quantizations" / f"{key}.json"
        run = store.cached_json(file, judge.kind)
        wanted = out is not None and name == "gptq"
        made = (yield from make()) if make is not None and (run is None or wanted) else None
        if wanted and made is not None and out is not None:
            yield from _write(dense, made, settings, calibration, out)
        if run is None:
            run = yield from measured(loaded.model if made is None else made.model, made)
            store.write_cached(file, run)
            store.prune(file.parent, MAX_CACHE_BYTES)
        return run

    runs: dict[str, Run] = {}
    plan: tuple[tuple[str, Callable[[], Making] | None, tuple[object, ...]], ...] = (
        ("dense", None, ()),
        ("rtn", plain, (settings.bits, settings.group_size, settings.symmetric)),
        ("gptq", by_gptq, (settings, calibration)),
    )
    for name, make, depends in plan:
        runs[name] = yield from cell(name, make, *depends)
        yield Progress("run", len(runs), len(plan), judge.said(name, runs[name]), runs[name])
    common = {
        "model_id": loaded.id,
        "model_note": loaded.note,
        **dataclasses.asdict(settings),
        "notes": (*dense.loaded.notes, *notes_of(runs["gptq"].sites, dense.sites)),
        "environment": describe_environment(),
    }
    return common, calibration, (runs["dense"], runs["rtn"], runs["gptq"])


def quantize_to(
    bench: Workbench, recipe: Recipe, settings: QuantizationSettings, directory: Path
) -> Generator[Progress, None, CompressionReport]:
    """Quantise a language model, dense or compressed, by GPTQ, and write it; nothing is measured.

    Args:
        bench: whose models and texts are used.
        recipe: names the model and what to calibrate on.
        settings: how weights are rounded.
        directory: a path that does not exist yet, or an empty directory.

    Raises:
        UserError: as `quantize_all`.
    """
    settings.check()
    store.check_new_directory(directory)
    dense = yield from bench.any_model(recipe.model_id)
    dense.loaded.check_language()
    sequences, calibration = yield from _inputs(bench, dense, recipe)
    made = yield from quantize_in_sequence(dense.loaded.model, dense.sites, sequences, settings)
    return (yield from _write(dense, made, settings, calibration, directory))


def _inputs(
    bench: Workbench, dense: DenseModel, recipe: Recipe
) -> Generator[Progress, None, tuple[Sequences, AnyCalibration]]:
    recipe.check()
    return (yield from bench.sequences_of(dense, recipe))


def _write(
    dense: DenseModel,
    made: QuantizedModel,
    settings: QuantizationSettings,
    calibration: AnyCalibration,
    directory: Path,
) -> Generator[Progress, None, CompressionReport]:
    yield Progress("save", 0, 1, f"writing {directory}")
    if dense.report is not None:
        before = dense.report.plan
    else:
        before = pipeline.untouched(dense.loaded, dense.sites, "gptq")
        before = dataclasses.replace(before, settings=dataclasses.asdict(settings), calibration=calibration)
    groups = f"groups of {settings.group_size}" if settings.group_size else "whole rows"
    note = f"Quantised by GPTQ to {settings.bits} bits, {groups}."
    written = pipeline.restated(dense.loaded, made.model, dense.sites, before, note)
    notes = (*written.report.notes, *notes_of(made.sites, dense.sites))
    written = dataclasses.replace(written, report=dataclasses.replace(written.report, notes=notes))
    export.save(written, directory)
    yield Progress("save", 1, 1, f"wrote {directory}")
    return written.report
