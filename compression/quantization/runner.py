"""A model as it is, rounded to nearest, and by GPTQ, measured on one text; what was measured before is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from compression import export, pipeline, store, texts
from compression.environment import code_version, describe_environment
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.quantization.factors import bits_of
from compression.quantization.grid import QuantizationSettings
from compression.quantization.report import QuantizedRun, QuantizeReport
from compression.quantization.sequence import QuantizedModel, quantize_in_sequence, quantize_plainly
from compression.recipe import Recipe
from compression.types import AnyCalibration, CalibrationSettings, CompressionReport, Progress

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from compression.workbench import DenseModel, Workbench

MAX_CACHE_BYTES = 2**26

Making = Generator[Progress, None, QuantizedModel]


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
    settings.check()
    if out is not None:
        store.check_new_directory(out)
    dense, sequences, calibration = yield from _inputs(bench, recipe)
    loaded, sites = dense.loaded, dense.sites
    scored = yield from texts.load_text(text)
    tokens = tokenize(loaded.tokenizer, scored.content)
    weights = sum(site.num_weights for site in sites)
    site_bits_before = sum(bits_of(loaded.model.get_submodule(site.name)) for site in sites)
    dense_bits = pipeline.dense_stored_bits(loaded)

    def plain() -> Making:
        return quantize_plainly(loaded.model, sites, settings)

    def by_gptq() -> Making:
        return quantize_in_sequence(loaded.model, sites, sequences, settings)

    def measured(model: PreTrainedModel, made: QuantizedModel | None) -> Generator[Progress, None, QuantizedRun]:
        site_bits = sum(site.stored_bits for site in made.sites) if made else site_bits_before
        stored = dense_bits - site_bits_before + site_bits
        report = yield from measure_perplexity(model, tokens, scored.source, stored, window, max_windows)
        errors = [s.relative_output_error for s in made.sites if s.relative_output_error is not None] if made else []
        return QuantizedRun(
            perplexity=report.perplexity,
            stored_bits=stored,
            bits_per_weight=site_bits / weights,
            measured=report,
            mean_output_error=sum(errors) / len(errors) if errors else None,
            seconds=made.seconds if made else 0.0,
            sites=made.sites if made else (),
        )

    def cell(name: str, make: Callable[[], Making] | None, *depends: object) -> Generator[Progress, None, QuantizedRun]:
        key = store.content_key(
            "quantize", code_version(), dense.identity, name, scored.source.fingerprint, window, max_windows, *depends
        )
        file = store.root() / "quantizations" / f"{key}.json"
        run = store.cached_json(file, QuantizedRun)
        wanted = out is not None and name == "gptq"
        made = (yield from make()) if make is not None and (run is None or wanted) else None
        if wanted and made is not None and out is not None:
            yield from _write(dense, made, settings, calibration, out)
        if run is None:
            run = yield from measured(loaded.model if made is None else made.model, made)
            store.write_cached(file, run)
            store.prune(file.parent, MAX_CACHE_BYTES)
        return run

    runs = {}
    plan: tuple[tuple[str, Callable[[], Making] | None, tuple[object, ...]], ...] = (
        ("dense", None, ()),
        ("rtn", plain, (settings.bits, settings.group_size, settings.symmetric)),
        ("gptq", by_gptq, (settings, calibration)),
    )
    for name, make, depends in plan:
        runs[name] = yield from cell(name, make, *depends)
        said = f"{name}: {runs[name].bits_per_weight:.2f} bits a weight, perplexity {runs[name].perplexity:.2f}"
        yield Progress("run", len(runs), len(plan), said, runs[name])
    assert isinstance(calibration, CalibrationSettings)
    return QuantizeReport(
        model_id=loaded.id,
        model_note=loaded.note,
        **dataclasses.asdict(settings),
        calibration=calibration,
        dense=runs["dense"],
        rtn=runs["rtn"],
        gptq=runs["gptq"],
        notes=loaded.notes,
        environment=describe_environment(),
    )


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
    dense, sequences, calibration = yield from _inputs(bench, recipe)
    made = yield from quantize_in_sequence(dense.loaded.model, dense.sites, sequences, settings)
    return (yield from _write(dense, made, settings, calibration, directory))


def _inputs(bench: Workbench, recipe: Recipe) -> Generator[Progress, None, tuple[DenseModel, Tensor, AnyCalibration]]:
    recipe.check()
    dense = yield from bench.any_model(recipe.model_id)
    dense.loaded.check_language()
    return dense, *(yield from bench.calibration_sequences(dense, recipe))


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
    export.save(written, directory)
    yield Progress("save", 1, 1, f"wrote {directory}")
    return written.report
