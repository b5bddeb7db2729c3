"""What compression changed in behaviour: predictions that flipped, losses that rose, and where in depth it starts.

Both models read the same tokens (teacher forcing): of a text in windows, or of a transcript with the recording it
belongs to. Nothing is generated, so that every difference is one in the same place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from compression.errors import UserError
from compression.evaluation.changes_report import ChangesReport, UnitChange
from compression.evaluation.drift import Drift
from compression.evaluation.perplexity import check_windows
from compression.speech.clips import Clip
from compression.speech.sequences import spoken_sequences
from compression.types import Progress, SpeechCalibration, SpeechSource, TextSource

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compression.models import LoadedModel

WINDOW = 256
"""Tokens a window, where nobody asks for another number."""
MAX_WINDOWS = 8
"""Windows read at most: 2048 tokens, a long page."""

TEXT_CONVENTION = (
    "both models read the same {tokens} tokens in windows of {window} that do not overlap; the first token of a window "
    "is given, every other one is predicted from those before it"
)
SPEECH_CONVENTION = (
    "both models are shown the recording and the words that {whose}; every token is predicted from the recording and "
    "the words before it, the end included"
)
WHOSE = {"given": "were given as said", "dense": "the dense model writes down"}

WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages whose words are not told apart by spaces: their tokens stand for words.

Source: OpenAI's ``whisper``, `timing` and `tokenizer`, whose words with timestamps are split so.
"""


@dataclass(frozen=True)
class _Predictions:
    """What a model makes of the scored tokens of one passage: their losses in nats, and the most probable tokens."""

    losses: list[float]
    chosen: list[int]


def measure_changes(
    dense: PreTrainedModel,
    compressed: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tokens: Tensor,
    text: TextSource,
    window: int | None = None,
    max_windows: int | None = MAX_WINDOWS,
) -> Generator[Progress, None, ChangesReport]:
    """Let both language models read a text.

    The text is cut into windows that do not overlap; the last one holds what is left, if that is two tokens at least.

    Args:
        dense: the dense model.
        compressed: the compressed one.
        tokenizer: of both.
        tokens: the whole tokenised text, (tokens,).
        text: where it came from.
        window: tokens a window, at least 2, at most the models' context; None for `WINDOW`, or as many as fit.
        max_windows: number of windows; None for all.

    Yields:
        One event a window whose `partial` is the `DriftReport` so far.

    Raises:
        UserError: if the text has fewer than two tokens, or the windows cannot be what was asked for.
    """
    started = time.perf_counter()
    window = min(WINDOW, context_of(dense) or WINDOW) if window is None else window
    windows = reading_windows(dense, tokens, window, max_windows)
    used = torch.cat(windows)
    pieces = token_pieces(tokenizer, used.tolist())
    drift, units, place = Drift(dense), [], 0
    for index, piece in enumerate(windows):
        before, after = (
            _read(model, piece, watching)
            for model, watching in ((dense, drift.keeping(dense)), (compressed, drift.comparing(compressed)))
        )
        ids = piece.tolist()
        units.append(UnitChange(pieces[place], index))
        for offset, (lost, now, said, says) in enumerate(
            zip(before.losses, after.losses, before.chosen, after.chosen, strict=True)
        ):
            units.append(
                UnitChange(
                    pieces[place + offset + 1],
                    index,
                    said_after(tokenizer, ids[offset], [said]),
                    said_after(tokenizer, ids[offset], [says]),
                    lost,
                    now,
                    said != says,
                )
            )
        place += len(ids)
        yield Progress("changes", index + 1, len(windows), f"window {index + 1} of {len(windows)}", drift.report())
    convention = TEXT_CONVENTION.format(tokens=len(used), window=min(window, len(used)))
    positions = [unit for unit in units if unit.rise is not None]
    return ChangesReport(
        unit="token",
        units=tuple(units),
        positions=len(positions),
        flipped_positions=sum(unit.flipped for unit in positions),
        dense_loss=_mean([unit.dense_loss for unit in positions]),
        compressed_loss=_mean([unit.compressed_loss for unit in positions]),
        drift=drift.report(),
        convention=convention,
        source=text,
        tokens_used=len(used),
        tokens_total=len(tokens),
        seconds=time.perf_counter() - started,
    )


def context_of(model: PreTrainedModel) -> int | None:
    """Longest input in tokens, where the model has a limit."""
    return getattr(model.config, "max_position_embeddings", None)


def reading_windows(model: PreTrainedModel, tokens: Tensor, window: int, max_windows: int | None) -> tuple[Tensor, ...]:
    """Cut tokens into windows that do not overlap; the last may be shorter, but predicts one token at least.

    Raises:
        UserError: if there are fewer than two tokens, or the windows are too short, too long or none.
    """
    context = context_of(model)
    if context is not None and window > context:
        raise UserError(f"The window of {window} tokens is longer than the model's context of {context}: shorten it.")
    check_windows(window, max_windows)
    if len(tokens) < 2:
        raise UserError(
            f"The text has {len(tokens)} token{'' if len(tokens) == 1 else 's'}, and the first one is never predicted: "
            "give two at least, better a paragraph."
        )
    return tuple(piece for piece in tokens.split(window)[:max_windows] if len(piece) > 1)


def measure_speech_changes(
    dense: PreTrainedModel,
    compressed: PreTrainedModel,
    source: LoadedModel,
    clips: Sequence[Clip],
    heard: SpeechSource,
    reference: str,
    language: str = "en",
) -> Generator[Progress, None, ChangesReport]:
    """Show both speech models recordings with the words that belong to them.

    Args:
        dense: the dense model.
        compressed: the compressed one.
        source: names tokenizer and feature extractor of both.
        clips: each as long as what a model hears at a time at most, with its words.
        heard: where they came from.
        reference: whose words these are: ``given``, or what the ``dense`` model wrote.
        language: code of the language of the speech.

    Yields:
        One event a clip whose `partial` is the `DriftReport` so far.

    Raises:
        UserError: if there is no word, or more than the decoder has room for, or the model does not know the language.
    """
    started = time.perf_counter()
    settings = SpeechCalibration(heard, language=language)
    drift = Drift(dense)
    units: list[UnitChange] = []
    totals: list[tuple[float, float, bool]] = []
    tokens_used = 0
    for index, clip in enumerate(clips):
        sequences = spoken_sequences([clip], settings, source)
        counts = {"encoder": sequences.positions[0]}
        before, after = (
            _hear(model, sequences.features, sequences.tokens[0], sequences.prompt_tokens, watching)
            for model, watching in ((dense, drift.keeping(dense)), (compressed, drift.comparing(compressed, counts)))
        )
        ids = sequences.tokens[0][sequences.prompt_tokens :].tolist()
        tokens_used += len(ids)
        totals += zip(
            before.losses,
            after.losses,
            (a != b for a, b in zip(before.chosen, after.chosen, strict=True)),
            strict=True,
        )
        pieces = token_pieces(source.tokenizer, ids)
        for word in word_groups(pieces, ids, source.tokenizer.eos_token_id, language):
            said = [before.chosen[place] for place in word]
            says = [after.chosen[place] for place in word]
            units.append(
                UnitChange(
                    "".join(pieces[place] for place in word),
                    index,
                    _decoded(source.tokenizer, said),
                    _decoded(source.tokenizer, says),
                    math.fsum(before.losses[place] for place in word),
                    math.fsum(after.losses[place] for place in word),
                    said != says,
                )
            )
        yield Progress("changes", index + 1, len(clips), f"transcript {index + 1} of {len(clips)}", drift.report())
    return ChangesReport(
        unit="word",
        units=tuple(units),
        positions=len(totals),
        flipped_positions=sum(flipped for _, _, flipped in totals),
        dense_loss=_mean([loss for loss, _, _ in totals]),
        compressed_loss=_mean([loss for _, loss, _ in totals]),
        drift=drift.report(),
        convention=SPEECH_CONVENTION.format(whose=WHOSE[reference]),
        source=heard,
        tokens_used=tokens_used,
        tokens_total=tokens_used,
        reference="given" if reference == "given" else "dense",
        seconds=time.perf_counter() - started,
    )


def _read(model: PreTrainedModel, piece: Tensor, watching: Any) -> _Predictions:
    """Run one window, (tokens,), through a language model."""
    with torch.inference_mode(), watching:
        inputs = piece.to(next(model.parameters()).device)
        return _predictions(model(inputs[None], use_cache=False).logits[0, :-1], inputs[1:])


def _hear(model: PreTrainedModel, features: Tensor, tokens: Tensor, given: int, watching: Any) -> _Predictions:
    """Run one recording and its transcript through a speech model.

    Args:
        model: a Whisper.
        features: log-mel spectrogram, (1, mel bins, mel frames).
        tokens: prompt, transcript and end token, (tokens,).
        given: how many of them are the prompt.
        watching: what looks at the hidden states meanwhile.
    """
    with torch.inference_mode(), watching:
        device = next(model.parameters()).device
        read = tokens.to(device)
        logits = model(features.to(device), decoder_input_ids=read[None, :-1], use_cache=False).logits
        return _predictions(logits[0, given - 1 :], read[given:])


def _predictions(logits: Tensor, targets: Tensor) -> _Predictions:
    """Losses and most probable tokens from logits (positions, vocabulary) and what comes (positions,), in float32."""
    logits = logits.float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    return _Predictions(losses.double().tolist(), logits.argmax(-1).tolist())


def token_pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> tuple[str, ...]:
    """What each token adds to a text, so that the pieces together are the text.

    A character of several tokens belongs to the one that completes it; the others add nothing. Every token is decoded
    behind the few before it that a tokenizer may need to see, so that the time grows with the length and not with its
    square.
    """
    pieces: list[str] = []
    context = seen = 0
    for end in range(1, len(ids) + 1):
        before, now = _decoded(tokenizer, ids[context:seen]), _decoded(tokenizer, ids[context:end])
        if now.endswith("\N{REPLACEMENT CHARACTER}") and end < len(ids):
            pieces.append("")
            continue
        pieces.append(now[len(before) :])
        context, seen = seen, end
    return tuple(pieces)


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of tokens as they are: special ones by their names, no space tidied away."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def said_after(tokenizer: PreTrainedTokenizerBase, previous: int, ids: Sequence[int]) -> str:
    """What some tokens add behind another one: by themselves, some tokenizers drop the space they begin with."""
    before, both = _decoded(tokenizer, [previous]), _decoded(tokenizer, [previous, *ids])
    return both[len(before) :] if both.startswith(before) else _decoded(tokenizer, ids)


def word_groups(pieces: Sequence[str], ids: Sequence[int], end: int, language: str) -> list[list[int]]:
    """Places of the tokens of each word; the end token is one by itself.

    A word begins at a token whose piece begins with a space; the tokens of a character stay together.

    Args:
        pieces: of `token_pieces`.
        ids: the tokens.
        end: the token that ends a text.
        language: code of the language; of those `WITHOUT_SPACES`, every character begins a word.
    """
    words: list[list[int]] = []
    waiting: list[int] = []
    for place, (piece, token) in enumerate(zip(pieces, ids, strict=True)):
        waiting.append(place)
        if not piece and token != end:
            continue
        if not words or token == end or piece[:1].isspace() or language in WITHOUT_SPACES:
            words.append([])
        words[-1] += waiting
        waiting = []
    return words


def _mean(losses: Sequence[float | None]) -> float:
    return math.fsum(loss for loss in losses if loss is not None) / len(losses)
