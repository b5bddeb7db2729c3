"""A small Llama trained from nothing on the built-in text, with gates from a chosen step, beside its twin without.

Both start from the same weights and see the same batches in the same order; the gated one has gates on heads and
neurons and a bias, zero at first, in every gated layer. Until the chosen step the gates are open and nothing presses
on them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from compression import texts
from compression.adaptation.base import AdaptationMethod, Batch, Setup
from compression.adaptation.methods.finegates import FineGates
from compression.adaptation.methods.full import Full
from compression.adaptation.problems import LanguageModelling
from compression.adaptation.scratch_report import ScratchReport, ScratchRun, ScratchSettings
from compression.adaptation.structure import structure_of
from compression.adaptation.training import Plan, train
from compression.adaptation.types import Score
from compression.environment import describe_environment
from compression.errors import UserError
from compression.evaluation.perplexity import CONVENTION, evaluation_windows
from compression.types import Progress, TextSource

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

MAX_PARAMETERS = 10_000_000
"""More is no small model any more."""
MINUTES = 24 * 60.0
"""The number of steps is exact, so no time limits it."""
_EVALUATION = TextSource("sotu-evaluation", "", 0)


@dataclass(frozen=True)
class Corpus:
    """A text as tokens.

    Attributes:
        sequences: to train on, (sequences, length).
        evaluation: kept aside, (tokens,).
        vocabulary: number of entries of the tokenizer.
    """

    sequences: Tensor
    evaluation: Tensor
    vocabulary: int


def train_tokenizer(passages: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer with at most `vocabulary` entries: no text is out of its reach."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(passages, trainer)
    return tokenizer


def corpus_of(train_on: list[str], measure_on: list[str], vocabulary: int, length: int) -> Corpus:
    """Texts as tokens of a tokenizer that is trained on the first of them.

    Args:
        train_on: texts to train on, joined in this order.
        measure_on: texts kept aside.
        vocabulary: of the tokenizer.
        length: tokens a sequence.

    Raises:
        UserError: if the text has not one whole sequence.
    """
    tokenizer = train_tokenizer(train_on, vocabulary)

    def tokens(passages: list[str]) -> Tensor:
        encoded = tokenizer.encode_batch(["\n\n" + passage for passage in passages])
        return torch.tensor([token for each in encoded for token in each.ids])

    learned = tokens(train_on)
    count = len(learned) // length
    if not count:
        raise UserError(f"The text has {len(learned)} tokens, fewer than one sequence of {length}: give a longer one.")
    return Corpus(learned[: count * length].view(count, length), tokens(measure_on), tokenizer.get_vocab_size())


def built_in_corpus(vocabulary: int, length: int) -> Generator[Progress, None, Corpus]:
    """The State of the Union addresses: those before 2020 to train on, those since 2021 kept aside."""
    addresses = sorted((yield from texts.addresses()), key=lambda address: address[0])
    yield Progress("tokenizer", 0, 1, "training a tokenizer on the addresses")
    return corpus_of(
        [text for year, text in addresses if year < 2020],
        [text for year, text in addresses if year >= 2021],
        vocabulary,
        length,
    )


def small_llama(settings: ScratchSettings, vocabulary: int) -> LlamaForCausalLM:
    """A Llama with random weights made from the seed; the global random state stays as it is.

    Raises:
        UserError: if it would have more than `MAX_PARAMETERS`, or a shape that no Llama has.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    if settings.width % settings.heads or settings.width // settings.heads % 2:
        raise UserError(
            f"A width of {settings.width} cannot be shared by {settings.heads} heads: each needs an even number of "
            "dimensions."
        )
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        intermediate_size=settings.neurons,
        num_hidden_layers=settings.blocks,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.sequence_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LlamaForCausalLM(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > MAX_PARAMETERS:
        raise UserError(
            f"The model would have {count / 1e6:.1f} M parameters, more than {MAX_PARAMETERS / 1e6:.0f} M: choose "
            "fewer blocks or a smaller width."
        )
    return model


def from_scratch(settings: ScratchSettings, corpus: Corpus | None = None) -> Generator[Progress, None, ScratchReport]:
    """Train the gated model and its twin, one after the other.

    Args:
        settings: of model and training.
        corpus: a text instead of the built-in one.

    Yields:
        Events of stage ``train`` whose `partial` is a `Moment`, and of stage ``run`` whose `partial` is a `ScratchRun`.

    Raises:
        UserError: if the target is out of reach, or the loss stops being a number.
    """
    settings.check()
    if corpus is None:
        corpus = yield from built_in_corpus(settings.vocabulary, settings.sequence_length)
    gates = FineGates(
        gate_lr=settings.gate_learning_rate,
        sparsity_loss_weight=settings.sparsity_loss_weight,
        sparsity_start=settings.sparsity_start / settings.steps,
        settle=settings.settle / settings.steps,
    )
    gated = yield from _twin("gated", gates, settings, corpus)
    plain = yield from _twin("plain", Full(), settings, corpus)
    windows = len(evaluation_windows(corpus.evaluation, settings.sequence_length, None))
    return ScratchReport(
        settings=settings,
        vocabulary=corpus.vocabulary,
        train_tokens=corpus.sequences.numel(),
        convention=CONVENTION.format(windows=windows, window=settings.sequence_length),
        gated=gated,
        plain=plain,
        environment=describe_environment(),
    )


def _twin(
    name: str, method: AdaptationMethod, settings: ScratchSettings, corpus: Corpus
) -> Generator[Progress, None, ScratchRun]:
    model = small_llama(settings, corpus.vocabulary)
    count = sum(parameter.numel() for parameter in model.parameters())
    problem = LanguageModelling(
        corpus.sequences,
        corpus.evaluation,
        _EVALUATION,
        settings.batch_size,
        settings.seed,
        settings.sequence_length,
        None,
    )

    def batches() -> Iterable[Batch]:
        return problem.batches(0)

    adapter = method.attach(Setup(model, structure_of(model), settings.target_sparsity, batches, problem.loss))
    adapter.model.requires_grad_(True)  # nothing is frozen: there is nothing yet to keep
    plan = Plan(MINUTES, settings.steps, settings.learning_rate, settings.learning_rate, settings.seed)
    done = yield from train(adapter, problem, plan)
    if done.stopped:
        raise UserError(done.stopped)
    removal = adapter.removal()
    deployed: Any = adapter.deploy()
    score: Score = yield from problem.measure(deployed, done.steps, quick=False)
    assert score.perplexity is not None
    run = ScratchRun(
        name=name,
        perplexity=score.perplexity,
        loss=score.loss,
        parameters=count - (removal.removed_parameters if removal else 0),
        removal=removal,
        train_seconds=done.seconds,
        curve=tuple(done.curve),
        scores=(*done.scores, score),
        gates=adapter.gates() if removal else (),
    )
    yield Progress("run", 1, 1, f"{name}: perplexity {run.perplexity:.2f}", run)
    return run
