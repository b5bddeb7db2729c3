"""Test live, for speech models: a recording through the dense and the compressed model, and how long that takes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from compression.errors import UserError
from compression.session import timings_of
from compression.types import Progress, Transcript
from views import engine, transcripts
from views.context import Context
from views.figures import speech_latency
from views.runs import Arrival
from views.tabs.live_parts import recipe_label, start_row
from views.texts import Words
from views.transcripts import Pair, transcripts_html
from views.widgets import ChartPanel, alert_html, data_table, progress_html, status_html, table_value

if TYPE_CHECKING:
    from compression.evaluation.wer import WordAlignment
    from compression.speech.clips import Clip, Samples

MAX_SECONDS = 600.0
"""Longest recording that is written down live: two models need about two minutes for it on two cores."""


@lru_cache(maxsize=1)
def example_clips() -> dict[str, Clip]:
    """The built-in recordings, by id."""
    from compression.speech import recordings

    return {clip.id: clip for clip in recordings.example_clips()}


def build(context: Context, setting: list[Any]) -> None:
    """Lay out both sections.

    Args:
        context: the context.
        setting: model, method, policy, ratio.
    """
    _transcribe(context, setting)
    _latency(context, setting)


@dataclass(frozen=True)
class Source:
    """Where a recording and what was said come from."""

    example: gr.Dropdown
    audio: gr.Audio
    reference: gr.Textbox


def _transcribe(context: Context, setting: list[Any]) -> None:
    words = context.words
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('speech.title')}", elem_classes=["figure-title"])
        source = recording_source(words, "speech", words("speech.reference_info"))
        button, cancel, status = start_row(context, setting, words("speech.transcribe"), "transcribe", twice=True)
        empty = transcripts_html(transcripts.join((words("word.dense"), words("word.compressed")), (None, None)), words)
        output = gr.HTML(empty, elem_id="transcripts", js_on_load=None, apply_default_css=False)
        with gr.Accordion(words("table.open"), open=False):
            table = data_table(None, words)

    def run(*values: Any) -> Generator[list[Any], None, None]:
        yield from transcribe(words, *values)

    context.heavy(button, cancel, status, run, [*setting, source.audio, source.reference], [output, table])
    context.on_other_model(lambda: [empty, ""], [output, table])


def transcribe(
    words: Words, model: str, method: str, policy: str, ratio: float, audio: str | None, reference: str
) -> Generator[list[Any], None, None]:
    """Let both models write a recording down, and compare what they wrote.

    Args:
        words: the language.
        model: its id.
        method: of compression.
        policy: of allocation.
        ratio: removed fraction.
        audio: the file; None where nothing has been recorded.
        reference: what was said; may be empty.

    Yields:
        Values of the status, the transcripts and the table.

    Raises:
        UserError: if there is nothing to hear.
    """
    headings = (words("word.dense"), recipe_label(method, policy, ratio, words))
    samples = heard(audio, words)
    made: list[Transcript | None] = [None, None]
    recipes = (engine.recipe(model, "dense", "uniform", 0.0), engine.recipe(model, method, policy, ratio))
    for side, wanted in enumerate(recipes):

        def show(progress: Progress, side: int = side) -> list[Any]:
            if not isinstance(progress.partial, Transcript):
                return [progress_html(progress, words), gr.skip(), gr.skip()]
            made[side] = progress.partial
            shown = transcripts_html(transcripts.join(headings, made), words)
            return [progress_html(progress, words), shown, gr.skip()]

        made[side] = yield from engine.relay(engine.workbench().transcribe(wanted, samples), show)
        yield [gr.skip(), transcripts_html(transcripts.join(headings, made), words), gr.skip()]
    pair, problem = yield from compared(transcripts.join(headings, made), reference or "", words)
    said = alert_html(words.sentence(problem)) if problem else status_html(words("speech.finished"))
    yield [said, transcripts_html(pair, words), table_value(transcripts.table(pair, words))]


def heard(audio: str | None, words: Words) -> Samples:
    """The samples of what the visitor gave; one sentence where that is nothing, or nothing that can be heard."""
    if not audio:
        raise UserError(words("speech.no_audio"))
    from compression.speech.audio import read_audio

    return read_audio(Path(audio), MAX_SECONDS)


def compared(pair: Pair, reference: str, words: Words) -> Generator[list[Any], None, tuple[Pair, str]]:
    """Align two finished transcripts: with the reference where there is one, else the compressed one with the dense.

    Args:
        pair: the transcripts.
        reference: what was said; may be empty.
        words: the language.

    Yields:
        What the page shows meanwhile.

    Returns:
        The pair with its alignments, and what is wrong with the reference; empty if nothing is.
    """
    dense, compressed = pair.dense, pair.compressed
    assert dense.transcript is not None and compressed.transcript is not None

    def align(first: str, second: str) -> Generator[list[Any], None, WordAlignment]:
        work = engine.workbench().align(first, second)
        return (yield from engine.relay(work, lambda each: [progress_html(each, words), gr.skip(), gr.skip()]))

    problem = ""
    if reference.strip():
        try:
            first = yield from align(reference, dense.transcript.text)
            second = yield from align(reference, compressed.transcript.text)
        except UserError as error:
            problem = str(error)
        else:
            if first.reference_words:
                sides = replace(dense, alignment=first), replace(compressed, alignment=second)
                return Pair(*sides, against_reference=True, finished=True), ""
            problem = words("speech.no_words")
    if dense.transcript.text.strip():
        beside = yield from align(dense.transcript.text, compressed.transcript.text)
        compressed = replace(compressed, alignment=beside)
    return Pair(dense, compressed, finished=True), problem


def recording_source(words: Words, name: str, reference_info: str) -> Source:
    """Microphone, file or example, and what was said.

    Args:
        words: the language.
        name: begins the ids of the three components.
        reference_info: what the words that were said are good for.
    """
    with gr.Row(elem_classes=["controls"]):
        with gr.Column(min_width=280):
            audio = gr.Audio(
                sources=["upload", "microphone"],
                # The file as it came: with any other type Gradio would decode it, and fail without a sentence.
                type="filepath",
                label=words("speech.audio"),
                elem_id=f"{name}-audio",
                elem_classes=["speech-audio"],
                editable=False,
                buttons=[],
                # The browser's own player: Gradio's decodes the whole file to draw it, two hours of it if need be.
                waveform_options=gr.WaveformOptions(show_recording_waveform=False),
            )
            gr.Markdown(words("speech.audio_info", minutes=round(MAX_SECONDS / 60)), elem_classes=["hint"])
        with gr.Column(min_width=280):
            example = gr.Dropdown(
                [(_label(number, clip, words), clip.id) for number, clip in enumerate(example_clips().values(), 1)],
                value=None,
                label=words("speech.example"),
                info=words("speech.example_info"),
                elem_id=f"{name}-example",
            )
            reference = gr.Textbox(
                label=words("speech.reference"),
                info=reference_info,
                lines=3,
                max_lines=8,
                elem_id=f"{name}-reference",
            )
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def pick(chosen: str | None) -> list[Any]:
        clip = example_clips().get(chosen or "")
        return [gr.skip(), gr.skip()] if clip is None else [_playable(clip), clip.text or ""]

    def other_audio(reference: str) -> list[Any]:
        """Another recording than an example: what was said in the example is no reference for it."""
        belongs = any(reference == clip.text for clip in example_clips().values())
        return [None, "" if belongs else gr.skip()]

    example.input(pick, example, [audio, reference], **quiet)
    audio.input(other_audio, reference, [example, reference], **quiet)
    return Source(example, audio, reference)


def _label(number: int, clip: Clip, words: Words) -> str:
    start = " ".join((clip.text or clip.id).split()[:3])
    return words("speech.example_label", number=number, start=start, seconds=words.number(clip.seconds))


def _playable(clip: Clip) -> tuple[int, Samples]:
    """Rate and 16-bit samples: integers are written as they are, where floats would be made as loud as possible."""
    from compression.speech.clips import SAMPLE_RATE

    return SAMPLE_RATE, clip.samples_in_16_bits


def _latency(context: Context, setting: list[Any]) -> None:
    words = context.words
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('live.latency_title')}", elem_classes=["figure-title"])
        button, cancel, status = start_row(context, setting, words("live.latency"), "speech-latency", twice=False)
        hint = words("live.latency_hint", button=words("live.latency"))
        panel = ChartPanel(
            words, words("live.latency_title"), speech_latency.HEIGHT, None, "speech-latency", hint, inside=True
        )

    def measure(model: str, method: str, policy: str, ratio: float) -> Generator[list[Any], None, None]:
        def show(progress: Progress) -> list[Any]:
            return [progress_html(progress, words), *panel.unchanged(), gr.skip()]

        wanted = engine.recipe(model, method, policy, ratio)
        report = yield from engine.relay(engine.workbench().speech_latency(wanted), show)
        arrival = Arrival(timings=timings_of(report, wanted))
        yield [status_html(), *panel.updates(speech_latency.view(report, words)), arrival]

    context.heavy(button, cancel, status, measure, setting, [*panel.outputs, context.runs.arrived])
    context.on_other_model(panel.cleared, panel.outputs)
