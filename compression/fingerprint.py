"""A fixed question to a model and its answer to the bit: whether two copies of a model are the same.

The question is a few tokens spread over the vocabulary; a speech model hears a built-in recording as well. The answer
is the logits at every position. On the same machine with the same number of threads the same model gives the same bits;
on another one, rounding differs in the last digits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from compression.environment import processor_name
from compression.evaluation.transcription import extract_features
from compression.speech.prompt import prompt_tokens
from compression.speech.recordings import example_clips

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compression.models import LoadedModel

TOKENS = 32
"""Tokens of the question, or as many as the model has room for."""
SAMPLES = 64
"""Logits that are kept beside their hash, to say how far other ones are off."""
_STEP = 7919
"""A prime: its multiples are spread over every vocabulary."""


@dataclass(frozen=True)
class Fingerprint:
    """What a model answered, and where.

    Attributes:
        tokens: number of tokens in the question.
        sha256: of the logits as little-endian float32.
        sample: some of the logits, evenly spaced.
        threads: number of threads torch used.
        torch: its version.
        processor: the processor's name.
    """

    tokens: int
    sha256: str
    sample: tuple[float, ...]
    threads: int
    torch: str
    processor: str


@torch.inference_mode()
def probe_logits(model: PreTrainedModel, source: LoadedModel) -> Tensor:
    """The answer of a model.

    Args:
        model: the torch module, on any device.
        source: where its feature extractor comes from; its own module is not used.

    Returns:
        (tokens, vocabulary) in float32, on the CPU.
    """
    device = next(model.parameters()).device
    vocabulary = model.config.vocab_size
    if source.feature_extractor is None:
        room = min(TOKENS, getattr(model.config, "max_position_embeddings", TOKENS))
        tokens = [(1 + _STEP * i) % vocabulary for i in range(room)]
        logits = model(torch.tensor([tokens], device=device)).logits
    else:
        prompt = prompt_tokens(model, "en")
        room = min(TOKENS, model.config.max_target_positions) - len(prompt)
        tokens = [*prompt, *((1 + _STEP * i) % vocabulary for i in range(room))]
        features = extract_features(model, source.feature_extractor, [example_clips()[0].samples])
        logits = model(input_features=features, decoder_input_ids=torch.tensor([tokens], device=device)).logits
    answer: Tensor = logits[0].float().cpu().contiguous()
    return answer


def fingerprint(logits: Tensor) -> Fingerprint:
    """Sum up what `probe_logits` returned, here and now."""
    values = logits.flatten()
    chosen = torch.linspace(0, len(values) - 1, min(SAMPLES, len(values)), dtype=torch.float64).long()
    return Fingerprint(
        tokens=len(logits),
        sha256=hashlib.sha256(logits.numpy().astype("<f4").tobytes()).hexdigest(),
        sample=tuple(values[chosen].tolist()),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        processor=processor_name(),
    )
