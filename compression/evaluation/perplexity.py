"""Perplexity over non-overlapping windows, streamed window by window."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from scipy.stats import t as student_t
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from compression.errors import UserError
from compression.evaluation.metrics import pool, pooled_perplexity
from compression.types import PerplexityReport, Progress, TextSource

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONVENTION = (
    "token-level perplexity, {windows} non-overlapping windows of {window} tokens, first token of each unscored"
)


@dataclass(frozen=True)
class PartialPerplexity:
    """A running result.

    Attributes:
        perplexity: so far.
        low: lower end of the 95 % interval (Student t over windows, on the log scale); None with one window.
        high: its upper end.
        tokens: scored so far.
        windows: windows scored so far.
        total_windows: windows in all.
    """

    perplexity: float
    low: float | None
    high: float | None
    tokens: int
    windows: int
    total_windows: int


class Reference(Protocol):
    """Something that looks at the logits while they are there, so that no second forward pass is needed."""

    def update(self, logits: Tensor, window_index: int) -> None:
        """Take the logits of one window's scored positions, (tokens − 1, vocabulary)."""


def tokenize(tokenizer: PreTrainedTokenizerBase, content: str) -> Tensor:
    """Tokenise a text once, whole, with the tokenizer's usual special tokens; (tokens,) int64."""
    encoded = tokenizer(content, return_tensors=None, verbose=False)
    return torch.tensor(encoded["input_ids"], dtype=torch.int64)


def check_windows(window: int, max_windows: int | None) -> None:
    """Refuse windows in which nothing is predicted, or none at all.

    Raises:
        UserError: unless a window holds two tokens at least, and one is asked for.
    """
    if window < 2:
        raise UserError(f"A window must hold at least 2 tokens, but {window} was given.")
    if max_windows is not None and max_windows < 1:
        raise UserError(f"At least one window must be measured, but {max_windows} was given.")


def evaluation_windows(tokens: Tensor, window: int, max_windows: int | None) -> tuple[Tensor, ...]:
    """Cut tokens into non-overlapping windows; a tail shorter than a window is dropped unless it is all there is.

    Args:
        tokens: (tokens,).
        window: tokens a window, at least 2.
        max_windows: at most so many; None for all.

    Raises:
        UserError: if the window is too short, no window is asked for, or fewer than two tokens came.
    """
    check_windows(window, max_windows)
    if len(tokens) < 2:
        raise UserError(
            f"The text has {len(tokens)} token{'' if len(tokens) == 1 else 's'}: perplexity needs at least two, better "
            "a few hundred; give a longer text."
        )
    if len(tokens) < window:
        return (tokens,)
    count = len(tokens) // window
    return tuple(tokens[: count * window].view(count, window)[:max_windows])


def measure_perplexity(
    model: PreTrainedModel,
    tokens: Tensor,
    text: TextSource,
    stored_bits: int,
    window: int = 1024,
    max_windows: int | None = None,
    reference: Reference | None = None,
) -> Generator[Progress, None, PerplexityReport]:
    """Score windows one by one.

    Args:
        model: causal language model in evaluation mode.
        tokens: the whole tokenised text, (tokens,).
        text: what is scored.
        stored_bits: bits of the model, carried into the report.
        window: tokens a window; at most the model's context.
        max_windows: number of windows; None for all.
        reference: is shown the logits of each window, in order.

    Yields:
        One event a window with a `PartialPerplexity`.

    Raises:
        UserError: if the text is too short or the window longer than the model's context.
    """
    started = time.perf_counter()
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and window > context:
        raise UserError(f"The window of {window} tokens is longer than the model's context of {context}: shorten it.")
    windows = evaluation_windows(tokens, window, max_windows)
    device = next(model.parameters()).device
    losses: list[list[float]] = []
    sums: list[float] = []
    counts: list[int] = []
    for index, piece in enumerate(windows):
        with torch.inference_mode():
            inputs = piece.to(device)
            logits = model(inputs[None], use_cache=False).logits[0, :-1]
            nll = F.cross_entropy(logits.float(), inputs[1:], reduction="none")
            if reference is not None:
                reference.update(logits, index)
            del logits
        losses.append(nll.double().tolist())
        sums.append(math.fsum(losses[-1]))
        counts.append(len(losses[-1]))
        partial = _partial(sums, counts, len(windows))
        yield Progress("perplexity", index + 1, len(windows), f"window {index + 1} of {len(windows)}", partial)
    result = pooled_perplexity(losses)
    low, high = interval(result["perplexity"], result["perplexity_stderr"], len(windows))
    length = len(windows[0])
    return PerplexityReport(
        perplexity=result["perplexity"],
        perplexity_stderr=result["perplexity_stderr"],
        negative_log_likelihood=result["negative_log_likelihood"],
        tokens=result["tokens"],
        windows=len(windows),
        window=length,
        stride=length,
        convention=CONVENTION.format(windows=len(windows), window=length),
        text=text,
        stored_bits=stored_bits,
        seconds=time.perf_counter() - started,
        window_losses=tuple(total / count for total, count in zip(sums, counts, strict=True)),
        perplexity_low=low,
        perplexity_high=high,
    )


def _partial(sums: list[float], counts: list[int], total: int) -> PartialPerplexity:
    result = pool(sums, counts)
    low, high = interval(result["perplexity"], result["perplexity_stderr"], len(sums))
    return PartialPerplexity(result["perplexity"], low, high, result["tokens"], len(sums), total)


def interval(perplexity: float, stderr: float | None, windows: int) -> tuple[float | None, float | None]:
    """95 % interval of a perplexity: Student t over windows, symmetric on the log scale."""
    if stderr is None or windows < 2 or not math.isfinite(perplexity):
        return None, None
    spread = float(student_t.ppf(0.975, windows - 1)) * stderr / perplexity
    return perplexity * math.exp(-spread), perplexity * math.exp(min(spread, 700))
