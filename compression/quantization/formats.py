"""The same model in several formats, interleaved by the clock, and measured on a text."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from compression import pipeline, texts
from compression.environment import describe_environment
from compression.evaluation.latency import check_context, check_numbers, measure_latency
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.modules import CompressedLinear, bytes_held
from compression.quantization.fast import WIDE_SUMS, Int8Linear, to_bfloat16, to_int8
from compression.quantization.formats_report import FormatRun, FormatsReport
from compression.quantization.grid import QuantizationSettings
from compression.quantization.int4 import Int4Linear, has_kernel, to_int4
from compression.quantization.sequence import quantize_plainly
from compression.recipe import Recipe
from compression.types import LinearSite, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compression.workbench import Workbench

PACKED_BITS = 4
NARROW_SUMS = "This processor sums products of 8-bit integers in 16 bits: int8 rounds its inputs to 7 bits."
LEFT_AS_THEY_ARE = "Layers that no 8-bit format holds stay as they are stored in int8: {count} of {total}."
NOT_IN_4_BITS = "Layers that the 4-bit kernel does not take are as in int8-weights in int4: {count} of {total}."
NO_KERNEL = "This processor has no kernel for 4-bit codes: int4 is left out."
NOTHING_FITS = "The 4-bit kernel takes none of these layers: int4 is left out."


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
    """Time and measure a language model in float32, bfloat16, 8 bits of two kinds, int4, and packed to 4 bits.

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
    loaded.check_language()
    check_context(loaded.model, prompt_tokens, decode_tokens)
    length = min(recipe.sequence_length, subject.context or recipe.sequence_length)
    sequences, _ = yield from bench.calibration_sequences(subject, replace(recipe, sequence_length=length))
    scored = yield from texts.load_text(text or texts.DEFAULT_EVALUATION)
    tokens = tokenize(loaded.tokenizer, scored.content)
    models: dict[str, PreTrainedModel] = {"float32": loaded.model, "bfloat16": to_bfloat16(loaded.model)}
    yield Progress("quantize", 0, 1, "rounding to 8 bits")
    models["int8"] = to_int8(loaded.model, subject.sites, sequences)
    models["int8-weights"] = to_int8(loaded.model, subject.sites)
    models |= _in_4_bits(loaded.model, subject.sites)
    if subject.report is None:
        packed = yield from quantize_plainly(loaded.model, subject.sites, QuantizationSettings(PACKED_BITS))
        models[f"packed-{PACKED_BITS}"] = packed.model
    timed = yield from measure_latency(models, prompt_tokens, decode_tokens, repeats)
    formats = []
    for name, model in models.items():
        bits = pipeline.stored_bits(model)
        report = yield from measure_perplexity(model, tokens, scored.source, bits, window, max_windows)
        decode = timed.decode[name]
        faster = decode.faster_than(timed.decode["float32"])
        held = resident_bytes(model)
        formats.append(FormatRun(name, bits, held, report.perplexity, report, timed.prefill[name], decode, faster))
    return FormatsReport(
        model_id=recipe.model_id,
        model_note=loaded.note,
        formats=tuple(formats),
        threads=timed.threads,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        device=timed.device,
        notes=(*loaded.notes, *_notes(models, subject.sites)),
        environment=describe_environment(),
    )


def resident_bytes(model: nn.Module) -> int:
    """Bytes of the memory that a model's tensors hold now; what several layers share counts once."""
    layers = [module for module in model.modules() if isinstance(module, CompressedLinear)]
    return bytes_held([*model.parameters(), *model.buffers()]) + sum(layer.expanded_bytes() for layer in layers)


def _in_4_bits(model: PreTrainedModel, sites: tuple[LinearSite, ...]) -> dict[str, PreTrainedModel]:
    """The model in int4 by its name, if this processor has the kernel and it takes any layer."""
    if not has_kernel():
        return {}
    made = to_int4(model, sites)
    return {"int4": made} if any(isinstance(layer, Int4Linear) for layer in made.modules()) else {}


def _notes(models: dict[str, PreTrainedModel], sites: tuple[LinearSite, ...]) -> tuple[str, ...]:
    """What the fast formats do not do here."""

    def others(name: str, layer_type: type[CompressedLinear]) -> int:
        return sum(not isinstance(models[name].get_submodule(site.name), layer_type) for site in sites)

    notes = [] if WIDE_SUMS else [NARROW_SUMS]
    if left := others("int8", Int8Linear):
        notes.append(LEFT_AS_THEY_ARE.format(count=left, total=len(sites)))
    if not has_kernel():
        notes.append(NO_KERNEL)
    elif "int4" not in models:
        notes.append(NOTHING_FITS)
    elif left := others("int4", Int4Linear):
        notes.append(NOT_IN_4_BITS.format(count=left, total=len(sites)))
    return tuple(notes)
