"""Transcripts beside each other, aligned word by word, with what differs marked.

Every mark is told apart three times: by its colour, by its line (wavy, struck through, double), and by brackets or a
small word above it; a screen reader hears it in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from compression.types import Transcript
from views.texts import Words
from views.widgets import Table

if TYPE_CHECKING:
    from compression.evaluation.wer import AlignedWord, WordAlignment


@dataclass(frozen=True)
class TranscriptSide:
    """One of the transcripts that stand beside each other.

    Attributes:
        heading: which model wrote it.
        transcript: None while it is still to come.
        alignment: with the reference, or with the dense transcript; None where there is nothing to compare with.
    """

    heading: str
    transcript: Transcript | None = None
    alignment: WordAlignment | None = None


@dataclass(frozen=True)
class Pair:
    """The dense and the compressed model's transcript of one recording.

    Attributes:
        dense: of the dense model.
        compressed: of the compressed model.
        against_reference: whether the alignments are with a reference; else the compressed one's is with the dense
            transcript.
        finished: whether both transcripts are whole.
    """

    dense: TranscriptSide
    compressed: TranscriptSide
    against_reference: bool = False
    finished: bool = False

    @property
    def sides(self) -> tuple[TranscriptSide, TranscriptSide]:
        """The dense one, then the compressed one."""
        return self.dense, self.compressed

    @property
    def base(self) -> str:
        """What the alignments are with: ``reference`` or ``dense``; part of text keys."""
        return "reference" if self.against_reference else "dense"


def real_time_factor(transcript: Transcript) -> float:
    """Seconds of work for a second of speech."""
    return transcript.seconds / transcript.audio_seconds if transcript.audio_seconds else 0.0


def transcripts_html(pair: Pair, words: Words) -> str:
    """Both transcripts, what their marks mean, and a sentence about them; everything in them is escaped."""
    items = "".join(_side_html(side, pair, words) for side in pair.sides)
    said = summary(pair, words) if pair.finished else ""
    sentence = f'<p class="completions-summary" role="status" aria-live="polite">{escape(said)}</p>' if said else ""
    legend = _legend_html(pair, words)
    return f'<div class="transcripts"><div class="completions">{items}</div>{legend}{sentence}</div>'


def summary(pair: Pair, words: Words) -> str:
    """One sentence about two finished transcripts."""
    dense, compressed = pair.dense.alignment, pair.compressed.alignment
    if pair.against_reference and dense is not None and compressed is not None:
        more = compressed.errors - dense.errors
        return words(
            "speech.summary_reference",
            dense=_rate(dense, words),
            dense_errors=dense.errors,
            compressed=_rate(compressed, words),
            compressed_errors=compressed.errors,
            words=compressed.reference_words,
            verdict=words(f"speech.verdict_{'worse' if more > 0 else 'better' if more else 'same'}", count=abs(more)),
        )
    if compressed is None:
        return words("speech.summary_nothing")
    if not compressed.errors:
        return words("speech.summary_same")
    return words("speech.summary_differ", count=compressed.errors, words=compressed.reference_words)


def table(pair: Pair, words: Words) -> Table | None:
    """The counts and the times of two finished transcripts."""
    if not pair.finished:
        return None
    keys = ("model", "wer", "substitutions", "deletions", "insertions", "words", "audio", "seconds", "factor")
    rows = tuple(_row(side, pair.against_reference, words) for side in pair.sides if side.transcript is not None)
    headers = tuple(words(f"speech.column.{key}") for key in keys)
    return Table("transcripts", headers, rows, shares=frozenset({1}))


def _row(side: TranscriptSide, against_reference: bool, words: Words) -> tuple[str | float | int | None, ...]:
    transcript, found = side.transcript, side.alignment if against_reference else None
    assert transcript is not None
    counts: tuple[float | int | None, ...] = (None,) * 5
    if found is not None:
        counts = (found.wer, found.substitutions, found.deletions, found.insertions, found.reference_words)
    return (side.heading, *counts, transcript.audio_seconds, transcript.seconds, real_time_factor(transcript))


def _side_html(side: TranscriptSide, pair: Pair, words: Words) -> str:
    heading = f"<h3>{escape(side.heading)}</h3>"
    transcript = side.transcript
    if transcript is None:
        return f'<div class="completion">{heading}<p class="empty">{escape(words("speech.empty"))}</p></div>'
    figures = []
    if pair.against_reference and side.alignment is not None:
        figures.append(f'<p class="figures"><strong>{escape(_score(side.alignment, words))}</strong></p>')
    if pair.finished:
        figures.append(f'<p class="figures">{escape(_speed(transcript, words))}</p>')
    return f'<div class="completion">{heading}{"".join(figures)}{_text_html(side, pair, words)}</div>'


def _text_html(side: TranscriptSide, pair: Pair, words: Words) -> str:
    assert side.transcript is not None
    text = side.transcript.text.strip()
    plain = escape(text) if text else f'<span class="empty">{escape(words("speech.nothing"))}</span>'
    if side.alignment is None or not side.alignment.words:
        return f"<p>{plain}</p>"
    marked = " ".join(_word_html(word, pair.base, words) for word in side.alignment.words)
    note = f'<p class="note">{escape(words("speech.normalised"))}</p>'
    written = f"<details><summary>{escape(words('speech.written'))}</summary><p>{plain}</p>{note}</details>"
    return f'<p class="aligned">{marked}</p>{written}'


def _word_html(word: AlignedWord, base: str, words: Words) -> str:
    if word.kind == "equal":
        return escape(word.hypothesis)
    if word.kind == "substitute":
        instead = escape(words("speech.mark_substitute", word=word.reference))
        return (
            f'<ruby><mark class="wrong" title="{instead}">{escape(word.hypothesis)}</mark>'
            f'<rt aria-hidden="true">{escape(word.reference)}</rt></ruby><span class="unseen"> ({instead})</span>'
        )
    said = escape(words(f"speech.mark_{word.kind}_{base}"))
    unseen = f'<span class="unseen">{said}: </span>'
    if word.kind == "delete":
        return f'<del class="missing" title="{said}">{unseen}⌊{escape(word.reference)}⌋</del>'
    return f'<ins class="extra" title="{said}">{unseen}{escape(word.hypothesis)}</ins>'


def _legend_html(pair: Pair, words: Words) -> str:
    """What the marks mean, as far as there are any."""
    kinds = {word.kind for side in pair.sides if side.alignment is not None for word in side.alignment.words}
    samples = {
        "substitute": '<ruby><mark class="wrong">{0}</mark><rt>{1}</rt></ruby>',
        "delete": '<del class="missing">⌊{0}⌋</del>',
        "insert": '<ins class="extra">{0}</ins>',
    }
    items = [
        f"<li>{sample.format(escape(words('speech.legend_word')), escape(words('speech.legend_other')))} "
        f"{escape(words(f'speech.legend_{kind}_{pair.base}'))}</li>"
        for kind, sample in samples.items()
        if kind in kinds
    ]
    return f'<ul class="mark-legend">{"".join(items)}</ul>' if items else ""


def _rate(alignment: WordAlignment, words: Words) -> str:
    return words.percent(alignment.wer)


def _score(alignment: WordAlignment, words: Words) -> str:
    return words(
        "speech.score",
        wer=_rate(alignment, words),
        substitutions=alignment.substitutions,
        deletions=alignment.deletions,
        insertions=alignment.insertions,
        words=alignment.reference_words,
    )


def _speed(transcript: Transcript, words: Words) -> str:
    return words(
        "speech.speed",
        factor=words.significant(real_time_factor(transcript), 2),
        seconds=words.significant(transcript.seconds, 2),
        audio=words.number(transcript.audio_seconds),
    )


def join(headings: Sequence[str], made: Sequence[Transcript | None]) -> Pair:
    """What has been written so far, with nothing compared yet."""
    dense, compressed = (TranscriptSide(heading, text) for heading, text in zip(headings, made, strict=True))
    return Pair(dense, compressed)
