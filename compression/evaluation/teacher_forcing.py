"""The loss of a speech model on transcripts it is shown: precise where a word error rate of a few clips is not."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch

from compression.forecast import ProbeLosses
from compression.streams import SpokenSequences
from compression.types import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONVENTION = (
    "perplexity of the transcript's tokens given the speech and the transcript before them (teacher forcing), {clips} "
    "recordings, end token included, each recording weighted alike"
)


def transcript_losses(model: PreTrainedModel, sequences: SpokenSequences) -> Generator[Progress, None, ProbeLosses]:
    """Mean negative log-likelihood a scored token of every recording, in nats.

    Args:
        model: a speech model.
        sequences: recordings with their transcripts.
    """
    losses = []
    for index, clip in enumerate(sequences.split(1)):
        with torch.inference_mode():
            device = next(model.parameters()).device
            logits = model(clip.features.to(device), decoder_input_ids=clip.read.to(device), use_cache=False).logits
            losses.append(float(clip.loss(logits)) / clip.num_scored)
        yield Progress("probe", index + 1, len(sequences), f"transcript {index + 1} of {len(sequences)}")
    return ProbeLosses(tuple(losses), CONVENTION.format(clips=len(losses)))
