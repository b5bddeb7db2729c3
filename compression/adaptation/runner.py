"""Runs of ``adapt``: cells that are trained once, measured, shrunk, timed and kept."""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import PreTrainedModel

from compression import models, store, texts
from compression.adaptation import folder, latency, tasks
from compression.adaptation.base import AdaptationMethod, Setup, create_method
from compression.adaptation.encoders import load_encoder
from compression.adaptation.precision import has_fast_bfloat16
from compression.adaptation.problems import Classification, LanguageModelling
from compression.adaptation.structure import structure_of
from compression.adaptation.tasks import Encoded, TaskData
from compression.adaptation.training import Plan, Problem, train
from compression.adaptation.types import LANGUAGE_MODELLING, AdaptLatency, AdaptReport, AdaptRun, AdaptSettings, Stop
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.evaluation.perplexity import tokenize
from compression.types import Progress

if TYPE_CHECKING:
    from compression.workbench import Workbench

MAX_CACHE_BYTES = 6 * 2**30
HEAD_LEARNING_RATE = 1e-3
LM_LENGTH = 256
"""Tokens a training sequence of a language model."""
LM_BATCH = 4
LM_WINDOW = 1024
LM_WINDOWS = 4
LOOK_EPOCH = 1_000_003
"""The epoch whose batches a method may look at for salience: one that training does not reach."""

Steps = Generator[Progress, None, Any]


@dataclass(frozen=True)
class Subject:
    """A model ready to be adapted, and what it is adapted to.

    Attributes:
        model: float32, nobody else's.
        tokenizer: its tokenizer.
        note: caution that belongs to its figures.
        notes: fallbacks taken while loading.
        identity: content key of weights and data.
        labels: of the classes; empty for a language model.
        sources: what is trained and measured on, in words.
        majority: accuracy of always answering the most frequent class.
        problem: what is trained and measured.
    """

    model: PreTrainedModel
    tokenizer: Any
    note: str
    notes: tuple[str, ...]
    identity: str
    labels: tuple[str, ...]
    sources: tuple[str, str]
    majority: float | None
    problem: Problem


def adapt_all(
    bench: Workbench, settings: tuple[AdaptSettings, ...], out: Path | None = None, stop: Stop | None = None
) -> Generator[Progress, None, AdaptReport]:
    """Carry out runs that share model, task and data, each once: what was finished before is answered from the cache.

    Args:
        bench: whose models and texts are used.
        settings: the runs.
        out: a folder for the deployed models, one folder a run; None to keep them in the cache alone.
        stop: asks the running one to stop and keep what it has; those after it do not begin.

    Yields:
        Events of stage ``train`` with a `Moment`, and of stage ``run`` with an `AdaptRun` after each run.

    Raises:
        UserError: before anything is trained, if a run cannot be carried out.
    """
    methods = check_all(settings)
    if out is not None:
        for one in settings:
            store.check_new_directory(out / run_name(one))
    runs: list[AdaptRun] = []
    subject: Subject | None = None
    encoded: dict[int, _Examples] = {}
    for index, (one, method) in enumerate(zip(settings, methods, strict=True)):
        if stop is not None and stop.asked:
            break
        subject = yield from _subject(bench, one, encoded)
        key = store.content_key("adapt", code_version(), one, dataclasses.asdict(method), subject.identity)
        cell = store.root() / "adaptations" / key
        run = _known(cell)
        if run is None:
            run = yield from _run(subject, one, method, cell, stop)
        runs.append(run)
        if out is not None:
            with store.atomic_directory(out / run_name(one)) as temporary:
                shutil.copytree(cell, temporary, dirs_exist_ok=True)
        if stop is not None and stop.asked:
            shutil.rmtree(cell, ignore_errors=True)  # the same question, asked again, gets a whole answer
        yield Progress("run", index + 1, len(settings), run_sentence(run), run)
    assert subject is not None
    first = settings[0]
    return AdaptReport(
        first.model_id, subject.note, first.task, subject.labels, *subject.sources, subject.majority, tuple(runs)
    )


def check_all(settings: tuple[AdaptSettings, ...]) -> tuple[AdaptationMethod, ...]:
    """The methods of the runs.

    Raises:
        UserError: if there are none, they do not share model, task and data, or one cannot be carried out.
    """
    import compression.adaptation.methods  # noqa: F401 - registers them

    if not settings:
        raise UserError("Nothing was asked for: name at least one method.")
    shared = {(one.model_id, one.task, one.train, one.evaluation) for one in settings}
    if len(shared) > 1:
        raise UserError("Runs of one report share model, task and data: ask for one after the other.")
    methods = []
    for one in settings:
        one.check()
        method = create_method(one.method, **dict(one.settings))
        if one.task not in method.tasks:
            raise UserError(f"{method.name} is not made for the task {one.task}: choose another method.")
        methods.append(method)
    return tuple(methods)


def run_name(settings: AdaptSettings) -> str:
    """The name of a run's folder."""
    return f"{settings.method}-{settings.target_sparsity:g}-seed{settings.seed}"


def run_sentence(run: AdaptRun) -> str:
    """A run in a line."""
    quality = f"perplexity {run.perplexity:.2f}" if run.accuracy is None else f"accuracy {run.accuracy:.1%}"
    return f"{run.method}, seed {run.seed}: {quality}, {run.removed_fraction:.1%} really removed"


def precision_notes(model: PreTrainedModel) -> tuple[str, ...]:
    """A sentence where training multiplied in 16 bits."""
    if not has_fast_bfloat16(next(model.parameters()).device):
        return ()
    return ("Trained with products in bfloat16, for which this processor has units; all else is float32.",)


def _known(cell: Path) -> AdaptRun | None:
    """The run of a finished cell; a damaged cell counts as absent."""
    if not (cell / folder.RUN_FILE).is_file():
        return None
    try:
        about = store.read_json(cell / folder.RUN_FILE, folder.AdaptedFolder)
    except UserError:
        shutil.rmtree(cell, ignore_errors=True)
        return None
    store.touch(cell)
    return about.run


@dataclass(frozen=True)
class _Examples:
    """The examples of a task, tokenised: the same for all runs of a report."""

    data: TaskData
    learned: list[Encoded]
    scored: list[Encoded]


def _subject(
    bench: Workbench, settings: AdaptSettings, encoded: dict[int, _Examples]
) -> Generator[Progress, None, Subject]:
    """A fresh model, and the examples that `encoded` has by their largest length; what is missing there is added."""
    if settings.task == LANGUAGE_MODELLING:
        return (yield from _language_subject(bench, settings))
    known = encoded.get(settings.max_length)
    data = known.data if known else (yield from tasks.load_task(settings.task, settings.train, settings.evaluation))
    loaded = yield from load_encoder(settings.model_id, data.labels, settings.seed)
    if known is None:
        length = min(settings.max_length, loaded.tokenizer.model_max_length)
        both = (tasks.encode(loaded.tokenizer, examples, length) for examples in (data.train, data.evaluation))
        known = encoded[settings.max_length] = _Examples(data, *both)
    pad = loaded.tokenizer.pad_token_id
    return Subject(
        loaded.model,
        loaded.tokenizer,
        loaded.note,
        loaded.notes,
        store.content_key(loaded.weights_hash, [(e.texts, e.label) for e in (*data.train, *data.evaluation)]),
        data.labels,
        (data.train_source, data.evaluation_source),
        data.majority,
        Classification(known.learned, known.scored, pad, settings.batch_size, settings.seed),
    )


def cut_sequences(tokens: Tensor, length: int) -> Tensor:
    """A tokenised text as sequences to train on, (sequences, length); a rest is left out.

    Raises:
        UserError: if there are not even two.
    """
    if len(tokens) < 2 * length:
        raise UserError(
            f"The text to train on has {len(tokens)} tokens, too few for sequences of {length}: give a longer text."
        )
    return tokens[: len(tokens) // length * length].view(-1, length)


def _language_subject(bench: Workbench, settings: AdaptSettings) -> Generator[Progress, None, Subject]:
    if settings.model_id in models.ENCODERS:
        raise UserError(f"{settings.model_id} is an encoder: for the task lm name a language model.")
    dense = yield from bench.dense_model(settings.model_id)
    structure_of(dense.loaded.model)  # refuses what cannot be adapted
    learned = yield from texts.load_text(settings.train or texts.DEFAULT_CALIBRATION)
    scored = yield from texts.load_text(settings.evaluation or texts.DEFAULT_EVALUATION)
    tokens = tokenize(dense.loaded.tokenizer, learned.content)
    context = dense.context or LM_WINDOW
    length = min(LM_LENGTH, context)
    sequences = cut_sequences(tokens, length)
    return Subject(
        copy.deepcopy(dense.loaded.model),
        dense.loaded.tokenizer,
        dense.loaded.note,
        dense.loaded.notes,
        store.content_key(dense.identity, learned.source.fingerprint, scored.source.fingerprint),
        (),
        (learned.source.name, scored.source.name),
        None,
        LanguageModelling(
            sequences,
            tokenize(dense.loaded.tokenizer, scored.content),
            scored.source,
            min(settings.batch_size, LM_BATCH),
            settings.seed,
            min(LM_WINDOW, context),
            LM_WINDOWS,
            one_by_one=True,
        ),
    )


def _run(
    subject: Subject, settings: AdaptSettings, method: AdaptationMethod, cell: Path, stop: Stop | None
) -> Generator[Progress, None, AdaptRun]:
    problem = subject.problem
    dense = copy.deepcopy(subject.model).eval()
    original_bits = folder.stored_bits(dense)
    structure = structure_of(subject.model)
    adapter = method.attach(
        Setup(
            subject.model,
            structure,
            settings.target_sparsity,
            lambda: problem.batches(LOOK_EPOCH),
            problem.loss,
            problem.epoch_steps,
            problem.parts,
        )
    )
    plan = Plan(
        settings.max_minutes,
        settings.steps,
        method.learning_rate(settings.task),
        HEAD_LEARNING_RATE if settings.method != "full" else method.learning_rate(settings.task),
        settings.seed,
    )
    trainable = adapter.trainable_count()
    head = sum(parameter.numel() for parameter in adapter.head_parameters())
    checkpoint = cell.with_suffix(".safetensors")
    trained = yield from train(adapter, problem, plan, checkpoint, cell.name, stop)
    gates, removal, notes = adapter.gates(), adapter.removal(), adapter.notes()
    deployed = adapter.deploy().eval()
    score = yield from problem.measure(deployed, trained.steps, quick=False)
    times: list[AdaptLatency] = []
    for batch in latency.BATCHES:
        yield Progress("latency", len(times), len(latency.BATCHES), f"timing batches of {batch}")
        times.append(latency.measure(dense, deployed, batch))
    run = AdaptRun(
        method=settings.method,
        seed=settings.seed,
        accuracy=score.accuracy,
        f1=score.f1,
        removed_fraction=removal.removed_fraction if removal else 0.0,
        soft_sparsity=removal.soft_sparsity if removal else None,
        trainable_parameters=trainable,
        latency_ratio=times[0].ratio,
        train_seconds=trained.seconds,
        perplexity=score.perplexity,
        settings=settings,
        target_sparsity=settings.target_sparsity if method.removes else None,
        removed_parameters=removal.removed_parameters if removal else 0,
        gated_parameters=removal.gated_parameters if removal else 0,
        head_parameters=head,
        score=score,
        steps=trained.steps,
        peak_memory_bytes=trained.peak_memory,
        latency=tuple(times),
        stored_bits=folder.stored_bits(deployed),
        original_bits=original_bits,
        curve=tuple(trained.curve),
        scores=(*trained.scores, score),
        gates=gates,
        notes=(*subject.notes, *notes, *precision_notes(subject.model)),
        warning=method.warning,
        stopped=trained.stopped,
        model_note=subject.note,
        environment=describe_environment(),
    )
    shutil.rmtree(cell, ignore_errors=True)
    folder.save(deployed, subject.tokenizer, run, cell)
    checkpoint.unlink(missing_ok=True)
    store.prune(cell.parent, MAX_CACHE_BYTES)
    return run
