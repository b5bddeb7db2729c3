"""Greedy completions, streamed token by token."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch

from compression.errors import UserError
from compression.evaluation.perplexity import tokenize
from compression.types import Completion, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, max_new_tokens: int = 40
) -> Generator[Progress, None, Completion]:
    """Continue a prompt greedily until the end token or `max_new_tokens`; the end token is left out.

    Yields:
        One event a token whose `partial` is the `Completion` so far.

    Raises:
        UserError: if the prompt is empty or too long for the model's context.
    """
    tokens = tokenize(tokenizer, prompt)
    if not prompt.strip() or not len(tokens):
        raise UserError("The prompt is empty: type the beginning of a sentence.")
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and len(tokens) + max_new_tokens > context:
        raise UserError(
            f"The prompt of {len(tokens)} tokens and {max_new_tokens} new ones exceed the model's context of "
            f"{context}: shorten the prompt."
        )
    new: list[int] = []
    decoded: list[str] = []
    completion = Completion(prompt)
    cache = None
    inputs = tokens[None].to(next(model.parameters()).device)
    for step in range(max_new_tokens):
        with torch.inference_mode():
            output = model(inputs, cache=cache, use_cache=True)
        cache = output.cache
        chosen = int(output.logits[0, -1].argmax())
        if chosen == tokenizer.eos_token_id:
            break
        new.append(chosen)
        decoded.append(str(tokenizer.decode(new)))
        inputs = torch.tensor([[chosen]], device=inputs.device)
        completion = Completion(prompt, tuple(new), pieces_of(decoded))
        yield Progress("generate", step + 1, max_new_tokens, f"token {step + 1} of {max_new_tokens}", completion)
    return completion


def pieces_of(decoded: Sequence[str]) -> tuple[str, ...]:
    """What each token adds to a text, so that the pieces together are the text.

    Args:
        decoded: the text of the first token, of the first two, and so on. Each is decoded by itself and may end in the
            replacement character where the next token completes a character of several bytes.
    """
    ends = accumulate((len(os.path.commonprefix([text, decoded[-1]])) for text in decoded), max, initial=0)
    return tuple(decoded[-1][start:end] for start, end in pairwise(ends))
