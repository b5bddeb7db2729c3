"""The same model in several formats, interleaved by the clock, and measured on a text."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from compression import pipeline, texts
from compression.environment import describe_environment
from compression.errors import UserError
from compression.evaluation.latency import check_context, check_numbers, measure_latency
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.quantization.fast import WIDE_SUMS, to_bfloat16, to_int8
from compression.quantization.formats_report import FormatRun, FormatsReport
from compression.quantization.grid import QuantizationSettings
from compression.quantization.sequence import quantize_plainly
from compression.recipe import Recipe
from compression.types import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compression.workbench import Workbench

PACKED_BITS = 4
NARROW_SUMS = "This processor sums products of 8-bit integers in 16 bits: int8 rounds its inputs to 7 bits."


def compare_formats(
    bench: Workbench,
    recipe: Recipe,
    text: str = "",
    window: int = 1024,
    max_windows: int | None = 4,
    prompt_tokens: int = 128,
    decode_tokens: int = 16,
    repeats: int = 5,
) -> Generator[Progress, None, FormatsReport]:
    """Time and measure a language model in float32, bfloat16, int8, and packed to 4 bits.

    Args:
        bench: whose models and texts are used.
        recipe: names the model, dense or compressed, and the text that shows int8 how far inputs reach.
        text: name of the text to measure on, or a file.
        window: tokens a window.
        max_windows: number of windows; None for all.
        prompt_tokens: in the prefill.
        decode_tokens: decoded one by one.
        repeats: counted rounds.

    Raises:
        UserError: for a speech model, a processor without 8-bit kernels, or numbers out of range.
    """
    recipe.check()
    check_numbers(prompt_tokens, decode_tokens, repeats)
    subject = yield from bench.any_model(recipe.model_id)
    loaded = subject.loaded
    if loaded.is_speech:
        raise UserError(f"{loaded.id} writes down speech, and has no perplexity of a text: name a language model.")
    check_context(loaded.model, prompt_tokens, decode_tokens)
    length = min(recipe.sequence_length, subject.context or recipe.sequence_length)
    sequences, _ = yield from bench.calibration_sequences(subject, replace(recipe, sequence_length=length))
    scored = yield from texts.load_text(text or texts.DEFAULT_EVALUATION)
    tokens = tokenize(loaded.tokenizer, scored.content)
    models: dict[str, PreTrainedModel] = {"float32": loaded.model, "bfloat16": to_bfloat16(loaded.model)}
    yield Progress("quantize", 0, 1, "rounding to 8 bits")
    models["int8"] = to_int8(loaded.model, subject.sites, sequences)
    if subject.report is None:
        packed = yield from quantize_plainly(loaded.model, subject.sites, QuantizationSettings(PACKED_BITS))
        models[f"packed-{PACKED_BITS}"] = packed.model
    timed = yield from measure_latency(models, prompt_tokens, decode_tokens, repeats)
    formats = []
    for name, model in models.items():
        bits = pipeline.stored_bits_of(pipeline.tensors_to_save(model, loaded.storage_dtype))
        report = yield from measure_perplexity(model, tokens, scored.source, bits, window, max_windows)
        decode = timed.decode[name]
        faster = decode.faster_than(timed.decode["float32"])
        formats.append(FormatRun(name, bits, report.perplexity, report, timed.prefill[name], decode, faster))
    return FormatsReport(
        model_id=recipe.model_id,
        model_note=loaded.note,
        formats=tuple(formats),
        threads=timed.threads,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        device=timed.device,
        notes=(*loaded.notes, *(() if WIDE_SUMS else (NARROW_SUMS,))),
        environment=describe_environment(),
    )
