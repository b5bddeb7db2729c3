"""An adaptation method trained on calibration sequences for a fixed number of steps, to compress and not to adapt."""

from __future__ import annotations

import copy
from collections.abc import Generator
from contextlib import closing

import torch
from torch import Tensor
from transformers import PreTrainedModel

import compression.adaptation.methods  # noqa: F401 - registers them
from compression.adaptation.base import Adapter, Setup, create_method
from compression.adaptation.problems import LanguageModelling
from compression.adaptation.runner import HEAD_LEARNING_RATE, LM_BATCH, LM_LENGTH, LOOK_EPOCH
from compression.adaptation.structure import structure_of
from compression.adaptation.training import Plan, train
from compression.adaptation.types import LANGUAGE_MODELLING
from compression.errors import UserError
from compression.types import Progress, TextSource


def learn(
    model: PreTrainedModel, sequences: Tensor, name: str, target_sparsity: float, steps: int, seed: int
) -> Generator[Progress, None, Adapter]:
    """Train a method on a float32 copy of a language model.

    Args:
        model: dense; it is not changed.
        sequences: token ids, (sequences, length); cut to at most `LM_LENGTH` tokens, nothing left out but a rest.
        name: of the adaptation method.
        target_sparsity: share of the weights that is to leave, for methods with a choice.
        steps: how many.
        seed: of the order of the sequences and of noise.

    Returns:
        The adapter, trained, ready to be deployed.

    Raises:
        UserError: if the architecture cannot be adapted, or the loss stops being a number.
    """
    structure = structure_of(model)
    length = min(LM_LENGTH, sequences.shape[1])
    pieces = sequences[:, : sequences.shape[1] // length * length].reshape(-1, length)
    # The loop measures now and then; nobody looks at it here, so one short sequence has to do.
    problem = LanguageModelling(pieces, pieces[0], TextSource(name, "", 0), LM_BATCH, seed, length, one_by_one=True)
    method = create_method(name)
    with torch.random.fork_rng(devices=[]):  # some initial values come from torch's own state
        torch.manual_seed(seed)
        adapter = method.attach(
            Setup(
                copy.deepcopy(model).float(),
                structure,
                target_sparsity,
                lambda: problem.batches(LOOK_EPOCH),
                problem.loss,
                parts=problem.parts,
            )
        )
    plan = Plan(0.0, steps, method.learning_rate(LANGUAGE_MODELLING), HEAD_LEARNING_RATE, seed)
    with closing(train(adapter, problem, plan)) as training:
        while True:
            try:
                event = next(training)
            except StopIteration as stop:
                trained = stop.value
                break
            learning = event.partial is not None and event.done
            message = f"{name}: step {event.done} of {steps}" if learning else event.message
            yield Progress("learn", event.done, steps, message)
    if trained.stopped:
        raise UserError(
            f"{name}: the loss stopped being a number at step {trained.steps + 1} of {steps}: check the model, or "
            "choose another method."
        )
    return adapter
