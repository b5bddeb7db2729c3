"""Prefill and decode latency, dense and compressed interleaved so that drift of the machine hits both."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import torch
from torch.utils.benchmark import Measurement, Timer

from compression.errors import UserError
from compression.evaluation.roofline import best_of, measure_machine, predict_seconds
from compression.modules import CompressedLinear, SumLinear
from compression.types import LatencyFigure, LatencyReport, Machine, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REPEATS = 5


def measure_latency(
    models: dict[str, PreTrainedModel],
    prompt_tokens: int = 128,
    decode_tokens: int = 16,
    repeats: int = REPEATS,
    machine: Machine | None = None,
) -> Generator[Progress, None, LatencyReport]:
    """Time one prefill and a run of single-token decodes for each model, in turn, `repeats` times.

    The timer warms each run up with two of its own. The prompt is token 1, 2, 3, …: its content does not matter.

    Args:
        models: label → model; all of one vocabulary.
        prompt_tokens: tokens in the prefill.
        decode_tokens: tokens decoded after it, one by one, with the cache.
        repeats: counted rounds.
        machine: what the predictions rest on; where not given, it is measured in every round and the best counts.

    Yields:
        One event a timing, so that whoever cancels waits for one and not for a round.

    Raises:
        UserError: if a number is out of range.
    """
    check_numbers(prompt_tokens, decode_tokens, repeats)
    for model in models.values():
        check_context(model, prompt_tokens, decode_tokens)
    parameter = next(next(iter(models.values())).parameters())
    threads = torch.get_num_threads()
    runs = {
        label: (_prefill(model, prompt_tokens), _decode(model, prompt_tokens, decode_tokens))
        for label, model in models.items()
    }
    prefill: dict[str, list[Measurement]] = {label: [] for label in models}
    decode: dict[str, list[Measurement]] = {label: [] for label in models}
    timings = [
        (run, times[label]) for label in models for run, times in zip(runs[label], (prefill, decode), strict=True)
    ]
    total = repeats * len(timings)
    machines = [] if machine is None else [machine]
    for index, (run, times) in enumerate(timings * repeats):
        round_, place = divmod(index, len(timings))
        yield Progress("latency", index, total, f"latency round {round_ + 1} of {repeats}")
        if machine is None and place == 0:
            machines.append(measure_machine(parameter.device, parameter.dtype))
        times.append(time_once(run, threads))
    yield Progress("latency", total, total, f"latency round {repeats} of {repeats}")
    machine = best_of(machines)
    return LatencyReport(
        threads=threads,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        prefill={label: figure(times, 1) for label, times in prefill.items()},
        decode={label: figure(times, decode_tokens) for label, times in decode.items()},
        execution=describe_execution(models),
        device=device_name(next(iter(models.values()))),
        machine=machine,
        predicted_prefill={k: 1e3 * predict_seconds(model, prompt_tokens, machine) for k, model in models.items()},
        predicted_decode={k: 1e3 * predict_seconds(model, 1, machine) for k, model in models.items()},
    )


def check_numbers(prompt_tokens: int, decode_tokens: int, repeats: int) -> None:
    """Refuse numbers no measurement can be made with.

    Raises:
        UserError: naming the number and its range.
    """
    for name, value, low, high in (
        ("prompt tokens", prompt_tokens, 1, 4096),
        ("decode tokens", decode_tokens, 1, 256),
        ("repeats", repeats, 2, 100),
    ):
        if not low <= value <= high:
            raise UserError(f"The number of {name} must be from {low} to {high}, but {value} was given.")


def check_context(model: PreTrainedModel, prompt_tokens: int, decode_tokens: int) -> None:
    """Refuse more tokens than the model's context holds.

    Raises:
        UserError: naming both.
    """
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and prompt_tokens + decode_tokens > context:
        raise UserError(
            f"{prompt_tokens} prompt tokens and {decode_tokens} decoded ones exceed the model's context of "
            f"{context}: ask for fewer."
        )


def _prompt(model: PreTrainedModel, tokens: int) -> torch.Tensor:
    device = next(model.parameters()).device
    return (torch.arange(1, tokens + 1, device=device) % model.config.vocab_size)[None]


def _prefill(model: PreTrainedModel, prompt_tokens: int) -> Callable[[], None]:
    prompt = _prompt(model, prompt_tokens)

    def run() -> None:
        with torch.inference_mode():
            model(prompt, use_cache=True, logits_to_keep=1)

    return run


def _decode(model: PreTrainedModel, prompt_tokens: int, decode_tokens: int) -> Callable[[], None]:
    prompt = _prompt(model, prompt_tokens)
    token = prompt[:, :1]
    with torch.inference_mode():
        cache = model(prompt, use_cache=True, logits_to_keep=1).cache

    def run() -> None:
        with torch.inference_mode():
            for _ in range(decode_tokens):
                model(token, cache=cache, use_cache=True)
            cache.crop(-decode_tokens)

    return run


def time_once(run: Callable[[], None], threads: int) -> Measurement:
    """Time one run, after two of the timer's own to warm up."""
    return Timer("run()", globals={"run": run}, num_threads=threads).timeit(1)


def figure(measurements: list[Measurement], divisor: int) -> LatencyFigure:
    """Median and interquartile range of single runs, each ÷ `divisor`, in milliseconds."""
    (merged,) = Measurement.merge(measurements)
    return LatencyFigure(1e3 * merged.median / divisor, 1e3 * merged.iqr / divisor, len(measurements))


FORMS = {
    ("low-rank", "factored"): "low-rank layers run factor by factor, with fewer FLOPs than dense",
    ("low-rank", "merged"): "low-rank layers run merged into a dense matrix: dense memory and speed",
    (
        "low-rank, 8 and 16 bits",
        "factored",
    ): "low-rank layers kept in 8 and 16 bits run factor by factor in the precision of "
    "their input, with fewer FLOPs than dense",
    (
        "low-rank, 8 and 16 bits",
        "merged",
    ): "low-rank layers kept in 8 and 16 bits run merged into a dense matrix: dense memory and speed",
    ("dictionary", "factored"): "dictionary layers run factor by factor, zeros filled in, with fewer FLOPs than dense",
    ("dictionary", "merged"): "dictionary layers run merged into a dense matrix: dense memory and speed",
    ("rows and columns", "smaller"): "layers without some rows and columns run as smaller dense products",
    ("2:4", "merged"): "layers of a 2:4 pattern run as dense matrices, zeros filled in: dense memory and speed",
    ("int8", "integers"): "layers in 8 bits compute with integers as they are stored",
    ("int8 weights", "bfloat16"): "layers in 8 bits run from their codes, with inputs in bfloat16",
    ("int4", "packed"): "layers in 4 bits run from packed codes, with inputs in bfloat16",
    ("quantized", "merged"): "quantised layers run as dense matrices: smaller on disk, dense memory and speed",
    ("quantized-low-rank", "factored"): "quantised low-rank layers run factor by factor, unpacked",
    ("quantized-low-rank", "merged"): "quantised low-rank layers run merged into a dense matrix, unpacked",
    ("quantized-dictionary", "factored"): "quantised dictionary layers run factor by factor, unpacked",
    ("quantized-dictionary", "merged"): "quantised dictionary layers run merged into a dense matrix, unpacked",
    ("quantized-2:4", "merged"): "quantised layers of a 2:4 pattern run as dense matrices, zeros filled in, unpacked",
    ("quantized rows and columns", "smaller"): "quantised layers without some rows and columns run as smaller dense "
    "products, unpacked",
}
"""(representation, execution) → what that means, in words."""


def describe_execution(models: dict[str, PreTrainedModel]) -> str:
    """How many compressed layers compute in which form, what that means, and the memory they hold now, in words."""
    found = (layer for m in models.values() for layer in m.modules() if isinstance(layer, CompressedLinear))
    layers = [layer for layer in found if not isinstance(layer, SumLinear)]  # whose two parts are among them
    if not layers:
        return "dense layers"
    forms = Counter((layer.representation, layer.execution) for layer in layers)
    sentences = [f"{count} {FORMS[form]}" for form, count in sorted(forms.items())]
    if all(layer.expanded_bytes() for layer in layers):
        held = sum(layer.resident_bytes() for layer in layers)
        stored = sum(layer.stored_bits() for layer in layers) / 8
        dense = sum(layer.in_features * layer.out_features * torch.float32.itemsize for layer in layers)
        sentences.append(
            f"while they run these layers hold {held / 2**20:.1f} MiB, as dense float32 matrices they would hold "
            f"{dense / 2**20:.1f} MiB, on disk they take {stored / 2**20:.1f} MiB"
        )
    return "; ".join(sentences)


def device_name(model: PreTrainedModel) -> str:
    """Name of the device a model is on."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine() or "CPU"
