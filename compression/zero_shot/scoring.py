"""Log-likelihoods of continuations: short runs of tokens after a context, many of them, fast on a CPU."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from compression.sites import decoder_of, output_head

BATCH_TOKENS = 2048
"""Tokens a batch, padding included."""


@dataclass(frozen=True)
class Scored:
    """A continuation.

    Attributes:
        log_likelihood: sum of the log-probabilities of its tokens, in nats.
        greedy: whether each of them is the likeliest.
    """

    log_likelihood: float
    greedy: bool


def encode(tokenizer: Any, context: str, continuation: str, window: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a model reads, and the tokens at its end that are scored.

    The whole is tokenised at once and split behind the tokens of the context, so that a delimiter belongs to the
    continuation. White space at the end of a context stays there, and is not scored; lm-eval moves it into the
    continuation, so that every choice pays for it. Without special tokens, but an empty context becomes the token that
    begins or ends texts. What does not fit into the window falls away in front.

    Args:
        tokenizer: the model's.
        context: what comes before.
        continuation: with its delimiter.
        window: tokens at most.

    Returns:
        The tokens to read, the last of the continuation left out, and those of the continuation.
    """
    before = tokenizer(context, add_special_tokens=False)["input_ids"] if context else []
    whole = tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
    target = whole[len(before) :]
    if not before:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        before = [start if start is not None else 0]
        whole = before + whole
    elif not target:  # the continuation melted into the last token of the context
        before, target = whole[:-1], whole[-1:]
    target = target[-window:]
    return tuple(whole[:-1][-window:]), tuple(target)


def score(
    model: PreTrainedModel, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> Generator[int, None, list[Scored]]:
    """Log-likelihoods of the last tokens of many sequences.

    Sequences that read the same, such as the letters of one question, are read once. Batches hold sequences of similar
    length; logits are taken where something is scored and nowhere else.

    Args:
        model: a language model.
        pairs: what `encode` gave.

    Yields:
        How many pairs are done, after each batch.

    Returns:
        One `Scored` a pair.
    """
    readers: dict[tuple[int, ...], list[int]] = {}
    for index, (read, _) in enumerate(pairs):
        readers.setdefault(read, []).append(index)
    found: dict[int, Scored] = {}
    for batch in _batches(sorted(readers, key=lambda tokens: (len(tokens), tokens))):
        states = _states(model, batch)
        for place, tokens in enumerate(batch):
            targets = [pairs[index][1] for index in readers[tokens]]
            longest = max(map(len, targets))
            with torch.no_grad():
                logits = output_head(model)(states[place, len(tokens) - longest : len(tokens)]).float()
            chances = F.log_softmax(logits, -1)
            likeliest = chances.argmax(-1)
            for index, target in zip(readers[tokens], targets, strict=True):
                wanted = torch.tensor(target, device=chances.device)
                rows = chances[-len(target) :].gather(1, wanted[:, None])
                greedy = bool((likeliest[-len(target) :] == wanted).all())
                found[index] = Scored(rows.double().sum().item(), greedy)
        yield len(found)
    return [found[index] for index in range(len(pairs))]


def _batches(sequences: list[tuple[int, ...]]) -> Generator[list[tuple[int, ...]], None, None]:
    """Sequences of ascending length in lists of at most `BATCH_TOKENS` padded tokens, the longest first.

    What needs most memory comes first, and fails first if it must.
    """
    batch: list[tuple[int, ...]] = []
    for tokens in reversed(sequences):
        if batch and (len(batch) + 1) * len(batch[0]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(tokens)
    if batch:
        yield batch


def _states(model: PreTrainedModel, batch: list[tuple[int, ...]]) -> Tensor:
    """Hidden states behind the final norm, (sequences, length, width); padding stands behind what counts."""
    device = next(model.parameters()).device
    longest = max(map(len, batch))
    tokens = torch.zeros(len(batch), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(tokens)
    for row, sequence in enumerate(batch):
        tokens[row, : len(sequence)] = torch.tensor(sequence, device=device)
        mask[row, : len(sequence)] = 1
    with torch.no_grad():
        states: Tensor = decoder_of(model)(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
    return states
