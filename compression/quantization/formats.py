"""The same model in several formats, interleaved by the clock, or in one beside its original; measured on a text."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from compression import pipeline, texts
from compression.environment import describe_environment
from compression.errors import UserError
from compression.evaluation.latency import check_context, check_numbers, measure_latency
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.modules import CompressedLinear, bytes_held
from compression.quantization.fast import WIDE_SUMS, Int8Linear, to_bfloat16, to_int8
from compression.quantization.formats_report import (
    FastFormat,
    FormatLatency,
    FormatRun,
    FormatsReport,
    TimedFormat,
)
from compression.quantization.grid import QuantizationSettings
from compression.quantization.int4 import Int4Linear, has_kernel, to_int4
from compression.quantization.sequence import quantize_plainly
from compression.recipe import Recipe
from compression.types import LinearSite, Progress

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from compression.workbench import Workbench

PACKED_BITS = 4
NARROW_SUMS = "This processor sums products of 8-bit integers in 16 bits: int8 rounds its inputs to 7 bits."
LEFT_AS_THEY_ARE = "Layers that no 8-bit format holds stay as they are stored in int8: {count} of {total}."
NO_INT4 = "This processor has no kernel for 4-bit codes: choose another format."
NO_INT4_LAYER = "The 4-bit kernel takes none of these layers: choose another format."
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
    models: dict[str, PreTrainedModel] = {"float32": loaded.model}
    yield Progress("quantize", 0, 1, "rounding to 8 bits")
    everywhere: tuple[FastFormat, ...] = ("bfloat16", "int8", "int8-weights")
    for name in everywhere:
        models[name] = in_format(name, loaded.model, subject.sites, sequences)
    models |= _in_4_bits(loaded.model, subject.sites)
    if subject.report is None:
        packed = yield from quantize_plainly(loaded.model, subject.sites, QuantizationSettings(PACKED_BITS))
        models[f"packed-{PACKED_BITS}"] = packed.model
    timed = yield from measure_latency(models, prompt_tokens, decode_tokens, repeats)
    formats = []
    for label, model in models.items():
        bits = pipeline.stored_bits(model)
        report = yield from measure_perplexity(model, tokens, scored.source, bits, window, max_windows)
        decode = timed.decode[label]
        faster = decode.faster_than(timed.decode["float32"])
        held = resident_bytes(model)
        formats.append(FormatRun(label, bits, held, report.perplexity, report, timed.prefill[label], decode, faster))
    return FormatsReport(
        model_id=recipe.model_id,
        model_note=loaded.note,
        formats=tuple(formats),
        threads=timed.threads,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        device=timed.device,
        notes=(*loaded.notes, *_notes(models, subject.sites), *_left_out(models)),
        environment=describe_environment(),
    )


def in_format(
    name: FastFormat, model: PreTrainedModel, sites: tuple[LinearSite, ...], sequences: Tensor
) -> PreTrainedModel:
    """A language model in another format; the original is not changed.

    Args:
        name: of the format.
        model: dense or compressed, in float32.
        sites: its layers.
        sequences: token ids that show int8 how far inputs reach, (sequences, length).

    Raises:
        UserError: where this processor lacks the kernel, or the kernel takes none of the layers.
    """
    if name == "bfloat16":
        return to_bfloat16(model)
    if name != "int4":
        return to_int8(model, sites, sequences if name == "int8" else None)
    made = _in_4_bits(model, sites)
    if not made:
        raise UserError(NO_INT4_LAYER if has_kernel() else NO_INT4)
    return made[name]


def time_in_format(
    bench: Workbench,
    dense_id: str,
    recipe: Recipe,
    name: FastFormat,
    text: str = "",
    window: int = 1024,
    max_windows: int | None = None,
    prompt_tokens: int = 128,
    decode_tokens: int = 16,
) -> Generator[Progress, None, FormatLatency]:
    """Time a compressed language model in another format beside its dense original, and measure what that costs.

    Args:
        bench: whose models and texts are used.
        dense_id: the original, which is timed in float32.
        recipe: names the compressed model, and the text that shows int8 how far inputs reach.
        name: of the format.
        text: name of the text to measure on, or a file.
        window: tokens a window.
        max_windows: number of windows; None for all.
        prompt_tokens: in the prefill.
        decode_tokens: decoded one by one.

    Raises:
        UserError: for a format that this processor or these layers do not have, or numbers out of range.
    """
    dense = yield from bench.dense_model(dense_id)
    subject = yield from bench.any_model(recipe.model_id)
    sequences, _ = yield from bench.calibration_sequences(subject, recipe)
    scored = yield from texts.load_text(text or texts.DEFAULT_EVALUATION)
    yield Progress("quantize", 0, 1, f"converting to {name}")
    model = in_format(name, subject.loaded.model, subject.sites, sequences)
    latency = yield from measure_latency(
        {"dense": dense.loaded.model, "compressed": model}, prompt_tokens, decode_tokens
    )
    bits = pipeline.stored_bits(model)
    tokens = tokenize(subject.loaded.tokenizer, scored.content)
    measured = yield from measure_perplexity(model, tokens, scored.source, bits, window, max_windows)
    latency = replace(latency, stored_bits={"dense": pipeline.dense_stored_bits(dense.loaded), "compressed": bits})
    return FormatLatency(latency, TimedFormat(name, measured, _notes({name: model}, subject.sites)))


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

    notes = [NARROW_SUMS] if "int8" in models and not WIDE_SUMS else []
    eight = next((name for name in ("int8", "int8-weights") if name in models), None)
    if eight and (left := others(eight, Int8Linear)):
        notes.append(LEFT_AS_THEY_ARE.format(count=left, total=len(sites)))
    if "int4" in models and (left := others("int4", Int4Linear)):
        notes.append(NOT_IN_4_BITS.format(count=left, total=len(sites)))
    return tuple(notes)


def _left_out(models: dict[str, PreTrainedModel]) -> tuple[str, ...]:
    """Why int4 is not among the formats, if it is not."""
    if "int4" in models:
        return ()
    return (NOTHING_FITS if has_kernel() else NO_KERNEL,)
