"""Word error rate: as a metric, with an interval, and word by word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import datasets
import evaluate
import jiwer
import numpy as np

from compression import store

RESAMPLES = 2000
"""Bootstrap samples: enough for the ends of a 95 % interval, which 50 samples lie beyond."""


class WordErrorRate(evaluate.Metric):
    """Word and character error rate, pooled over utterances.

    ``wer = (substitutions + deletions + insertions) / words``, of the alignment with the fewest errors, where ``words``
    counts those of the references. ``cer`` is the same over characters, the spaces between words among them. Words are
    what lies between white space. Both rates are nan where the references hold no words.

    ``predictions`` and ``references`` are lists of strings; ``normalise``, a function of a string, is applied to both.

    Source: Morris, Maier, Green, From WER and RIL to MER and WIL (Interspeech 2004); the alignment is jiwer's.
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Word and character error rate, pooled over utterances.",
            citation="",
            inputs_description="predictions: what was recognised; references: what was said",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(
        self, predictions: list[str], references: list[str], normalise: Callable[[str], str] = str, **_: Any
    ) -> dict[str, float | int]:
        said = [_clean(text, normalise) for text in references]
        heard = [_clean(text, normalise) for text in predictions]
        output = jiwer.process_words(said, heard)
        words = output.hits + output.substitutions + output.deletions
        return {
            "wer": output.wer if words else math.nan,
            "cer": jiwer.process_characters(said, heard).cer if words else math.nan,
            "substitutions": output.substitutions,
            "deletions": output.deletions,
            "insertions": output.insertions,
            "words": words,
        }


def word_error_rate(
    predictions: Sequence[str], references: Sequence[str], normalise: Callable[[str], str] = str
) -> dict[str, Any]:
    """Compute `WordErrorRate` in memory; the folder the library insists on making lies in our cache."""
    folder = store.root() / "metrics"
    with store.disk_errors(folder):
        metric = WordErrorRate(keep_in_memory=True, cache_dir=str(folder))
    result: dict[str, Any] = metric.compute(
        predictions=list(predictions), references=list(references), normalise=normalise
    )
    return result


def bootstrap_interval(
    errors: Sequence[int], words: Sequence[int], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float] | tuple[None, None, None]:
    """95 % percentile interval and standard error of ``Σ errors / Σ words``, resampling utterances.

    The words of an utterance stand and fall together, utterances are taken as independent.

    Args:
        errors: of each utterance.
        words: of each utterance's reference, at least 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        The interval's ends and the standard deviation of the resampled rates; None each with fewer than two utterances.

    Source: Bisani and Ney, Bootstrap estimates for confidence intervals in ASR performance evaluation (ICASSP 2004).
    """
    count = len(errors)
    if count < 2:
        return None, None, None
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    rates = np.asarray(errors)[drawn].sum(axis=1) / np.asarray(words)[drawn].sum(axis=1)
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high), float(rates.std(ddof=1))


@dataclass(frozen=True)
class AlignedWord:
    """A word of the reference, of the hypothesis, or of both.

    Attributes:
        kind: ``equal``, ``substitute``, ``delete`` (missing in the hypothesis) or ``insert`` (too many there).
        reference: empty for ``insert``.
        hypothesis: empty for ``delete``.
    """

    kind: Literal["equal", "substitute", "delete", "insert"]
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class WordAlignment:
    """A hypothesis laid beside a reference, with the fewest errors possible, in the order of both."""

    words: tuple[AlignedWord, ...]

    @property
    def substitutions(self) -> int:
        """Wrong words."""
        return self._count("substitute")

    @property
    def deletions(self) -> int:
        """Missing words."""
        return self._count("delete")

    @property
    def insertions(self) -> int:
        """Words too many."""
        return self._count("insert")

    @property
    def errors(self) -> int:
        """All of them."""
        return len(self.words) - self._count("equal")

    @property
    def reference_words(self) -> int:
        """Words of the reference."""
        return len(self.words) - self.insertions

    @property
    def wer(self) -> float:
        """Errors ÷ words of the reference; nan where it has none."""
        return self.errors / self.reference_words if self.reference_words else math.nan

    def _count(self, kind: str) -> int:
        return sum(word.kind == kind for word in self.words)


def align_words(reference: str, hypothesis: str, normalise: Callable[[str], str] = str) -> WordAlignment:
    """Align two texts word by word, after normalisation.

    The words are the *normalised* ones. A normaliser rewrites sentences, not words ("twenty one" becomes 21, "don't"
    two words), so that a normalised word need not have one original word to show instead.

    Args:
        reference: what was said, or another transcript.
        hypothesis: what is judged.
        normalise: applied to both.
    """
    output = jiwer.process_words(_clean(reference, normalise), _clean(hypothesis, normalise))
    (said,), (heard,), (chunks,) = output.references, output.hypotheses, output.alignments
    words: list[AlignedWord] = []
    for chunk in chunks:
        here = said[chunk.ref_start_idx : chunk.ref_end_idx]
        there = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "delete":
            words += [AlignedWord("delete", word, "") for word in here]
        elif chunk.type == "insert":
            words += [AlignedWord("insert", "", word) for word in there]
        else:
            kind: Literal["equal", "substitute"] = "equal" if chunk.type == "equal" else "substitute"
            words += [AlignedWord(kind, *pair) for pair in zip(here, there, strict=True)]
    return WordAlignment(tuple(words))


def _clean(text: str, normalise: Callable[[str], str]) -> str:
    """A normalised text with one space between words: any white space parts words, jiwer splits at spaces only."""
    return " ".join(normalise(text).split())
