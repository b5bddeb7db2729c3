"""Greedy completions, streamed token by token."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch

from compression.errors import UserError
from compression.evaluation.perplexity import tokenize
from compression.types import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, max_new_tokens: int = 40
) -> Generator[Progress, None, str]:
    """Continue a prompt greedily until the end token or `max_new_tokens`.

    Yields:
        One event a token whose `partial` is the completion so far.

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
    cache = None
    inputs = tokens[None].to(next(model.parameters()).device)
    for step in range(max_new_tokens):
        with torch.inference_mode():
            output = model(inputs, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        chosen = int(output.logits[0, -1].argmax())
        if chosen == tokenizer.eos_token_id:
            break
        new.append(chosen)
        inputs = torch.tensor([[chosen]], device=inputs.device)
        completion = str(tokenizer.decode(new))
        yield Progress("generate", step + 1, max_new_tokens, f"token {step + 1} of {max_new_tokens}", completion)
    return str(tokenizer.decode(new))
