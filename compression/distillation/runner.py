"""Runs of ``distill``: a student that learns from its teacher, measured before and after, and kept."""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compression import export, pipeline, store, texts
from compression.adaptation.base import Setup
from compression.adaptation.runner import LM_BATCH, LM_LENGTH, LOOK_EPOCH, cut_sequences
from compression.adaptation.structure import ModelStructure
from compression.adaptation.training import Plan, train
from compression.distillation.report import DistillReport, DistillRun, DistillSettings
from compression.distillation.training import Distillation, StudentAdapter
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.pipeline import CompressedModel
from compression.quantization.grid import QuantizationSettings
from compression.quantization.sequence import quantize_in_sequence
from compression.recipe import Recipe
from compression.types import AnyCalibration, PerplexityReport, Progress

if TYPE_CHECKING:
    from compression.workbench import DenseModel, Workbench

LEARNING_RATES = {"factors": 1e-4, "lora": 3e-3}
"""At the peak, where none is given."""
MAX_CACHE_BYTES = 4 * 2**30
RUN_FILE = "distilled.json"
FOLDER = "model"

Steps = Generator[Progress, None, DistillReport]


@dataclass(frozen=True)
class _Pair:
    """Teacher and student with what is learned and measured, and what GPTQ is calibrated on where that is asked for."""

    teacher: DenseModel
    student: DenseModel
    sequences: Tensor
    tokens: Tensor
    learned: texts.Text
    scored: texts.Text
    window: int
    calibration: tuple[Tensor, AnyCalibration] | None


def distill_all(bench: Workbench, settings: Sequence[DistillSettings], out: Path | None = None) -> Steps:
    """Let a student learn, once for each of some settings that share teacher, student, texts and quantisation.

    Args:
        bench: whose models and texts are used.
        settings: the runs.
        out: where the first run's student is written.

    Yields:
        Events of stage ``train`` with a `Moment`, and of stage ``run`` with a `DistillRun` after each run.

    Raises:
        UserError: for settings out of range, different tokenizers, or a text that is too short.
    """
    for one in settings:
        one.check()
        if one.bits:
            QuantizationSettings(one.bits, one.group_size).check()
    if out is not None:
        store.check_new_directory(out)
    pair = yield from _pair(bench, settings[0])
    yield Progress("score", 0, 2, "measuring teacher and student")
    teacher = yield from _before(pair, pair.teacher, settings[0])
    student = yield from _before(pair, pair.student, settings[0])
    quantized = (yield from _quantized_before(pair, settings[0])) if settings[0].bits else None
    runs: list[DistillRun] = []
    for index, one in enumerate(settings):
        read = pair.learned.source.fingerprint, pair.scored.source.fingerprint, pair.calibration and pair.calibration[1]
        key = store.content_key("distill", code_version(), one, pair.teacher.identity, pair.student.identity, read)
        cell = store.root() / "distillations" / key
        run = store.cached_json(cell / RUN_FILE, DistillRun)
        if run is None:
            run = yield from _run(pair, one, cell, teacher, student)
        runs.append(run)
        if index == 0 and out is not None:
            with store.atomic_directory(out) as temporary:
                shutil.copytree(cell / FOLDER, temporary, dirs_exist_ok=True)
        said = f"{one.optimizer}, seed {one.seed}: perplexity {run.perplexity:.2f}"
        yield Progress("run", index + 1, len(settings), said, run)
    note = pair.teacher.loaded.note
    return DistillReport(
        teacher, student, quantized, pair.learned.source.name, note, tuple(runs), describe_environment()
    )


def _pair(bench: Workbench, settings: DistillSettings) -> Generator[Progress, None, _Pair]:
    teacher = yield from bench.dense_model(settings.teacher)
    student = yield from bench.any_model(settings.student)
    for each in (teacher, student):
        each.loaded.check_language()
    words = [each.loaded.tokenizer.get_vocab() for each in (teacher, student)]
    if words[0] != words[1]:
        raise UserError(
            f"{settings.teacher} and {settings.student} have different tokenizers: a student learns from a teacher "
            "that reads the same tokens."
        )
    learned = yield from texts.load_text(settings.train or texts.DEFAULT_CALIBRATION)
    scored = yield from texts.load_text(settings.text or texts.DEFAULT_EVALUATION)
    tokenizer = teacher.loaded.tokenizer
    context = min(each.context or settings.window for each in (teacher, student))
    length = min(LM_LENGTH, context)
    sequences = cut_sequences(_tokens_to_learn(tokenizer, learned), length)
    tokens, window = tokenize(tokenizer, scored.content), min(settings.window, context)
    calibration = (yield from _calibration(bench, student, settings)) if settings.bits else None
    return _Pair(teacher, student, sequences, tokens, learned, scored, window, calibration)


def _calibration(
    bench: Workbench, student: DenseModel, settings: DistillSettings
) -> Generator[Progress, None, tuple[Tensor, AnyCalibration]]:
    """What ``quantize`` would calibrate on."""
    recipe = Recipe(
        settings.student,
        calibration_text=settings.calibration,
        num_sequences=settings.calibration_sequences,
        sequence_length=settings.sequence_length,
    )
    recipe.check()
    return (yield from bench.calibration_sequences(student, recipe))


def _tokens_to_learn(tokenizer: PreTrainedTokenizerBase, learned: texts.Text) -> Tensor:
    """(tokens,) int64; instruction pairs as conversations, where the tokenizer has a template for them."""
    if not learned.pairs or not tokenizer.chat_template:
        return tokenize(tokenizer, learned.content)
    tokens: list[int] = []
    for asked, said in learned.pairs:
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        made: Any = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
        tokens += made
    return torch.tensor(tokens, dtype=torch.int64)


def _measure(
    pair: _Pair, model: PreTrainedModel, settings: DistillSettings
) -> Generator[Progress, None, PerplexityReport]:
    stored = pipeline.stored_bits(model)
    return (
        yield from measure_perplexity(model, pair.tokens, pair.scored.source, stored, pair.window, settings.max_windows)
    )


def _before(pair: _Pair, model: DenseModel, settings: DistillSettings) -> Generator[Progress, None, PerplexityReport]:
    """A model before learning, measured once."""
    file = _file(pair, "measured", model.identity, settings.max_windows)
    report = store.cached_json(file, PerplexityReport)
    if report is None:
        report = yield from _measure(pair, model.loaded.model, settings)
        store.write_cached(file, report)
    return report


def _quantized_before(pair: _Pair, settings: DistillSettings) -> Generator[Progress, None, float]:
    """Perplexity of the student after GPTQ without learning, measured once."""
    assert pair.calibration is not None
    how = settings.bits, settings.group_size, pair.calibration[1]
    file = _file(pair, "quantized", pair.student.identity, settings.max_windows, *how)
    perplexity = store.cached_json(file, float)
    if perplexity is None:
        perplexity, _ = yield from _quantized(pair, pair.student.loaded.model, settings)
        store.write_cached(file, perplexity)
    return perplexity


def _file(pair: _Pair, *what: Any) -> Path:
    key = store.content_key("distill-before", code_version(), pair.scored.source.fingerprint, pair.window, *what)
    return store.root() / "distillations" / f"{key}.json"


def _quantized(
    pair: _Pair, model: PreTrainedModel, settings: DistillSettings
) -> Generator[Progress, None, tuple[float, int]]:
    """Perplexity and stored bits after GPTQ on top, as ``quantize`` would give them."""
    assert pair.calibration is not None
    how = QuantizationSettings(settings.bits, settings.group_size)
    made = yield from quantize_in_sequence(model, pair.student.sites, pair.calibration[0], how)
    report = yield from _measure(pair, made.model, settings)
    return report.perplexity, report.stored_bits


def _run(
    pair: _Pair, settings: DistillSettings, cell: Path, teacher: PerplexityReport, student: PerplexityReport
) -> Generator[Progress, None, DistillRun]:
    # Parameters are in float32 already; the 16-bit buffers of compressed layers stay what is stored.
    model = copy.deepcopy(pair.student.loaded.model)
    problem = Distillation(
        pair.teacher.loaded.model,
        pair.sequences,
        pair.tokens,
        pair.scored.source,
        LM_BATCH,
        settings.seed,
        pair.window,
        settings.max_windows,
        settings.alpha,
        settings.temperature,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        setup = Setup(
            model,
            ModelStructure((), False),
            0.0,
            lambda: problem.batches(LOOK_EPOCH),
            problem.loss,
            parts=problem.parts,
        )
        floats = getattr(torch, pair.student.loaded.storage_dtype)
        adapter = StudentAdapter(setup, pair.student.sites, settings.what, settings.rank, settings.lora_alpha, floats)
    rate = settings.learning_rate or LEARNING_RATES[settings.what]
    plan = Plan(settings.max_minutes, settings.steps, rate, rate, settings.seed, optimizer=settings.optimizer)
    checkpoint = cell.with_suffix(".safetensors")
    trained = yield from train(adapter, problem, plan, checkpoint, cell.name)
    deployed = adapter.deploy().eval()
    measured = yield from _measure(pair, deployed, settings)
    gap = student.negative_log_likelihood - teacher.negative_log_likelihood
    closed = (student.negative_log_likelihood - measured.negative_log_likelihood) / gap if gap > 0 else None
    quantized = (yield from _quantized(pair, deployed, settings)) if settings.bits else (None, None)
    run = DistillRun(
        settings=settings,
        perplexity=measured.perplexity,
        measured=measured,
        gap_closed=closed,
        quantized_perplexity=quantized[0],
        quantized_bits=quantized[1],
        trainable_parameters=adapter.trainable_count(),
        stored_bits=measured.stored_bits,
        steps=trained.steps,
        train_seconds=trained.seconds,
        peak_memory_bytes=trained.peak_memory,
        curve=tuple(trained.curve),
        stopped=trained.stopped,
    )
    with store.atomic_directory(cell) as temporary:
        store.write_cached(temporary / RUN_FILE, run)
        export.save(_recovered(pair.student, settings, deployed), temporary / FOLDER)
    checkpoint.unlink(missing_ok=True)
    store.prune(cell.parent, MAX_CACHE_BYTES)
    return run


def _recovered(student: DenseModel, settings: DistillSettings, model: PreTrainedModel) -> CompressedModel:
    """The student with the layers as they are now."""
    source, report = student.loaded, student.report
    before = report.plan if report is not None else pipeline.untouched(source, student.sites, "distillation")
    note = f"Recovered by distillation ({settings.what}, {settings.optimizer})."
    return pipeline.restated(source, model, student.sites, before, note)


def settings_over(base: DistillSettings, optimizers: Sequence[str], seeds: int) -> tuple[DistillSettings, ...]:
    """The same with every optimiser and seed: all optimisers of a seed before the next seed."""
    return tuple(
        dataclasses.replace(base, optimizer=optimizer, seed=seed) for seed in range(seeds) for optimizer in optimizers
    )
