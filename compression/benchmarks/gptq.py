"""GPTQ layer by layer on real weights and real inputs, beside rounding to nearest and another implementation."""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file
from torch import Tensor

from compression import texts
from compression.adaptation import tasks
from compression.adaptation.base import Setup
from compression.adaptation.encoders import is_encoder, load_encoder
from compression.adaptation.inputs import input_grams
from compression.adaptation.problems import Classification
from compression.adaptation.structure import linear, structure_of
from compression.benchmarks.gptq_report import GptqBenchmark, GptqSite, compared, summed_up
from compression.environment import describe_environment
from compression.errors import UserError
from compression.linalg import relative_output_error
from compression.parallel import parallel_map
from compression.quantization.grid import QuantizationSettings, round_to_nearest
from compression.quantization.solver import gptq
from compression.recipe import Recipe
from compression.sites import site_weight
from compression.types import Progress

if TYPE_CHECKING:
    from compression.workbench import Workbench

SCRIPT = Path(__file__).with_name("llmcompressor_oracle.py")
ORACLE = "llmcompressor"
ENCODER_TASK = "era"
ENCODER_BATCHES = 64
ENCODER_BATCH = 16
ENCODER_LENGTH = 128
TIMEOUT = 1800

Layers = dict[str, tuple[Tensor, Tensor]]
"""Name → weight (out, in) and Gram matrix (in, in)."""


def benchmark_gptq(
    bench: Workbench, recipe: Recipe, bits: tuple[int, ...], settings: QuantizationSettings, oracle: str = ""
) -> Generator[Progress, None, GptqBenchmark]:
    """Quantise every layer by itself on what it is fed with in the dense model.

    Args:
        bench: whose models and statistics are used.
        recipe: names the model, of any kind, and what to calibrate on; without a text an encoder is fed with sentences
            of `ENCODER_TASK`.
        bits: numbers of bits.
        settings: how, whatever their bits.
        oracle: a Python interpreter that has llmcompressor; empty for none.

    Raises:
        UserError: for settings out of range, or an oracle that does not answer.
    """
    every = [dataclasses.replace(settings, bits=each) for each in bits]
    for one in every:
        one.check()
    if (yield from is_encoder(recipe.model_id)):
        note, source, layers = yield from _encoder_layers(recipe)
    else:
        note, source, layers = yield from _model_layers(bench, recipe)
    measured = []
    for one in every:
        others: dict[str, Tensor] = {}
        if oracle:
            yield Progress("oracle", 0, 1, f"{ORACLE} at {one.bits} bits")
            others = _ask(oracle, layers, one)
        started = time.perf_counter()
        sites: list[GptqSite] = []

        def compare(name: str, one: QuantizationSettings = one, others: dict[str, Tensor] = others) -> GptqSite:
            weight, gram = layers[name]
            made = [gptq(weight, gram, one).dequantized(), round_to_nearest(weight, one).dequantized()]
            ours, nearest = (relative_output_error(weight, each, gram) for each in made)
            theirs = relative_output_error(weight, others[name], gram) if name in others else None
            return compared(name, (weight.shape[0], weight.shape[1]), nearest, ours, theirs)

        with closing(parallel_map(compare, layers)) as results:
            for site in results:
                sites.append(site)
                yield Progress("quantize", len(sites), len(layers), f"quantising by GPTQ: {site.name}")
        measured.append(summed_up(one.bits, tuple(sites), time.perf_counter() - started))
    return GptqBenchmark(
        model_id=recipe.model_id,
        model_note=note,
        inputs=source,
        group_size=settings.group_size,
        symmetric=settings.symmetric,
        act_order=settings.act_order,
        damping=settings.damping,
        sweeps=settings.sweeps,
        oracle=ORACLE if oracle else "",
        settings=tuple(measured),
        environment=describe_environment(),
    )


def _model_layers(bench: Workbench, recipe: Recipe) -> Generator[Progress, None, tuple[str, str, Layers]]:
    dense, calibration, settings = yield from bench.inputs(recipe)
    layers = {
        site.name: (site_weight(dense.loaded.model, site), calibration.grams[site.input_group]) for site in dense.sites
    }
    source = getattr(settings, "text", None) or getattr(settings, "source", None)
    return dense.loaded.note, getattr(source, "name", ""), layers


def _encoder_layers(recipe: Recipe) -> Generator[Progress, None, tuple[str, str, Layers]]:
    """Of an encoder, whatever it classifies: a head has no part in what arrives at the layers before it."""
    loaded = yield from load_encoder(recipe.model_id, None, 0)
    examples: Sequence[tasks.Example]
    if recipe.calibration_text:
        text = yield from texts.load_text(recipe.calibration_text)
        source, length = text.source.name, recipe.sequence_length
        examples = _pieces(text.content, recipe.num_sequences, length)
    else:
        data = yield from tasks.load_task(ENCODER_TASK, "", "")
        source, length, examples = data.train_source, ENCODER_LENGTH, data.train
    items = tasks.encode(loaded.tokenizer, examples, length)
    problem = Classification(items, items[:1], loaded.tokenizer.pad_token_id, ENCODER_BATCH, 0)
    structure = structure_of(loaded.model)
    setup = Setup(loaded.model, structure, 0.0, lambda: problem.batches(0), problem.loss)
    steps, seen = input_grams(setup, structure.layers, ENCODER_BATCHES), 0
    while True:
        try:
            sentence = next(steps)
        except StopIteration as stop:
            grams: dict[str, Tensor] = stop.value
            break
        seen += 1
        yield Progress("calibrate", seen, ENCODER_BATCHES, sentence)
    weights = {name: linear(loaded.model, name).weight.detach() for name in structure.layers}
    return loaded.note, source, {name: (weights[name], grams[name]) for name in structure.layers}


def _pieces(text: str, count: int, length: int) -> list[tasks.Example]:
    """Spread evenly over a text, at most `count` runs of `length` words, which are as many tokens at least."""
    words = text.split()
    count = min(count, -(-len(words) // length))
    starts = (round(index * (len(words) - length) / max(count - 1, 1)) for index in range(count))
    return [tasks.Example((" ".join(words[max(start, 0) :][:length]),), 0) for start in starts]


def _ask(python: str, layers: Layers, settings: QuantizationSettings) -> dict[str, Tensor]:
    """What the other implementation makes of the layers, in a process of its environment."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        tensors = {f"{name}|weight": weight for name, (weight, _) in layers.items()}
        tensors |= {f"{name}|gram": gram for name, (_, gram) in layers.items()}
        save_file({name: tensor.float().contiguous().clone() for name, tensor in tensors.items()}, source)
        flags = (int(settings.symmetric), int(settings.act_order), settings.damping)
        call = [python, str(SCRIPT), str(source), str(target), settings.bits, settings.group_size, *flags]
        try:
            done = subprocess.run(list(map(str, call)), capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(
                f"The oracle's Python {python} did not answer ({type(error).__name__}): name the interpreter of an "
                "environment with llmcompressor."
            ) from error
        if done.returncode or not target.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"The oracle failed ({last[:200]}): name the interpreter of an environment with llmcompressor 0.14."
            )
        return load_file(target)
