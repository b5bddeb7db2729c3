"""The workbench for speech models: the same statistics, plans and layers, judged by word error rate."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compression import pipeline, store
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.evaluation.changes import measure_speech_changes
from compression.evaluation.changes_report import ChangesReport
from compression.evaluation.speech_latency import measure_speech_latency
from compression.evaluation.transcription import measure_wer, transcribe
from compression.evaluation.wer import WordAlignment, align_words
from compression.models import LoadedModel
from compression.pipeline import CompressedModel
from compression.recipe import Recipe
from compression.speech.audio import windows
from compression.speech.clips import SAMPLE_RATE, Clip, Recordings
from compression.speech.normalizer import normalizer, spelling_table
from compression.speech.recordings import DEFAULT_RECORDINGS, example_clips, held_out
from compression.types import (
    Progress,
    SpeechCalibration,
    SpeechComparison,
    SpeechLatencyReport,
    SpeechRun,
    SpeechSource,
    Transcript,
    TranscriptionReport,
)
from compression.workbench import (
    DenseModel,
    Steps,
    Workbench,
    checked,
    exclusive,
    opened_model,
    provenance,
    result_key,
    run_facts,
    with_facts,
)

if TYPE_CHECKING:
    from compression.quantization.grid import QuantizationSettings
    from compression.quantization.report import SpeechQuantizeReport


class SpeechWorkbench(Workbench):
    """A workbench that can listen, too."""

    def _normaliser(self, language: str) -> Steps[Callable[[str], str]]:
        return normalizer(language, (yield from spelling_table()))

    def _listener(self, recipe: Recipe) -> Steps[tuple[CompressedModel | DenseModel, Any, Any]]:
        """The opened speech model of a recipe, its torch module and its source."""
        opened = yield from self._open(recipe)
        return opened, opened_model(opened), check_speech_model(opened)

    def _transcription(self, recipe: Recipe, spoken: Recordings) -> Steps[TranscriptionReport]:
        opened, model, source = yield from self._listener(recipe)
        bits = opened.report.stored_bits if isinstance(opened, CompressedModel) else pipeline.dense_stored_bits(source)
        return (yield from self._word_errors(model, source, spoken, bits, recipe.language))

    def _word_errors(
        self, model: Any, source: Any, spoken: Recordings, stored_bits: int, language: str
    ) -> Steps[TranscriptionReport]:
        normalise = yield from self._normaliser(language)
        report = yield from measure_wer(
            model, source.tokenizer, source.feature_extractor, spoken, stored_bits, normalise, language
        )
        return dataclasses.replace(report, **provenance(source))

    def recordings(self, name: str) -> Steps[Recordings]:
        """Named recordings or a folder, for work of this workbench that stands elsewhere."""
        return (yield from self._recordings(name))

    def transcription_of(
        self, model: Any, dense: DenseModel, spoken: Recordings, stored_bits: int, language: str
    ) -> Steps[TranscriptionReport]:
        """Word error rate of a torch module that was made from a speech model, for such work.

        Raises:
            UserError: if it was made from a language model.
        """
        return (yield from self._word_errors(model, check_speech_model(dense), spoken, stored_bits, language))

    @exclusive
    def quantize_speech(
        self, recipe: Recipe, settings: QuantizationSettings, recordings: str, out: Path | None = None
    ) -> Steps[SpeechQuantizeReport]:
        """Round a model's weights to a few bits, see `compression.quantization.runner.quantize_speech`."""
        from compression.quantization.runner import quantize_speech

        return (yield from quantize_speech(self, recipe, settings, recordings, out))

    @exclusive
    def evaluate_speech(self, recipe: Recipe, recordings: str) -> Steps[TranscriptionReport]:
        """Word error rate on named recordings or a folder."""
        return (yield from self._transcription(recipe, (yield from self._recordings(recordings))))

    @exclusive
    def compare_speech(self, recipes: tuple[Recipe, ...], recordings: str) -> Steps[SpeechComparison]:
        """Measure the dense model and every recipe on the same recordings; those of the calibration are left out.

        Args:
            recipes: what to measure; all share the model and the calibration recordings.
            recordings: name of recordings or a folder.

        Yields:
            Among others, an event of stage ``run`` after the dense model, whose `partial` is its
            `TranscriptionReport`, and one after every recipe, whose `partial` is its `SpeechRun`.
        """
        recipes = checked(recipes)
        first = recipes[0]
        dense = yield from self._load(first.model_id)
        check_speech_model(dense)
        for recipe in recipes:
            self._check_for(dense, recipe)
        settings = yield from self._settings(dense, first)
        assert isinstance(settings, SpeechCalibration)
        calibrated = yield from self._recordings(first.calibration_text or DEFAULT_RECORDINGS)
        spoken = held_out((yield from self._recordings(recordings)), calibrated)
        reference = yield from self._dense_transcription(dense, first, spoken)
        message = f"dense: word error rate {reference.wer:.1%}"
        yield Progress("run", 0, len(recipes), message, reference)
        runs = []
        for index, recipe in enumerate(recipes):
            run = yield from self._speech_run(dense, recipe, spoken)
            runs.append(run)
            label = f"{run.method}, {run.policy}, {run.removed_fraction:.1%} removed"
            if recipe.seed != first.seed:
                label += f", seed {recipe.seed}"
            yield Progress("run", index + 1, len(recipes), f"{label}: word error rate {run.wer:.1%}", run)
        return SpeechComparison(
            model_id=dense.loaded.id,
            model_note=dense.loaded.note,
            weights_hash=dense.loaded.weights_hash,
            calibration=settings,
            dense=reference,
            runs=tuple(runs),
            environment=describe_environment(),
        )

    def _dense_transcription(self, dense: DenseModel, recipe: Recipe, spoken: Recordings) -> Steps[TranscriptionReport]:
        """Of the dense model; the answer is remembered."""
        # What the report says of the recordings is a part of it: their name, and which are left out.
        heard = spoken.source, spoken.left_out
        key = store.content_key("dense speech", code_version(), dense.identity, heard, recipe.language)
        known: TranscriptionReport | None = self._results.get(key)
        if known is not None:
            return known
        return self._results.put(
            key, (yield from self._transcription(Recipe(recipe.model_id, language=recipe.language), spoken))
        )

    def _speech_run(self, dense: DenseModel, recipe: Recipe, spoken: Recordings) -> Steps[SpeechRun]:
        """One cell of a comparison, from the cache or measured now."""
        split = recipe.policy, recipe.removed_fraction, recipe.preset, recipe.guards, recipe.pins
        key = yield from self._method_key(
            "speech run", dense, recipe, recipe.build_method(), split, spoken.source.fingerprint
        )
        known = self._kept_run(key, SpeechRun)
        if known is not None:
            return known
        compressed = yield from self._compress(recipe)
        measured = yield from self._transcription(recipe, spoken)
        run = SpeechRun(
            **run_facts(recipe, compressed.report),
            evaluate_seconds=measured.seconds,
            wer=measured.wer,
            wer_raw=measured.wer_raw,
            wer_low=measured.wer_low,
            wer_high=measured.wer_high,
            wer_stderr=measured.wer_stderr,
            cer=measured.cer,
            substitutions=measured.substitutions,
            deletions=measured.deletions,
            insertions=measured.insertions,
            words=measured.words,
            real_time_factor=measured.real_time_factor,
            utterances=measured.utterances,
        )
        return self._keep_run(key, run)

    @exclusive
    def transcribe(self, recipe: Recipe, samples: np.ndarray) -> Steps[Transcript]:
        """Write down one recording; `partial` is the transcript so far.

        Args:
            recipe: dense or compressed.
            samples: at 16 kHz, mono, (n,).
        """
        _, model, source = yield from self._listener(recipe)
        return (yield from transcribe(model, source.tokenizer, source.feature_extractor, samples, recipe.language))

    @exclusive
    def align(self, reference: str, hypothesis: str, language: str = "en") -> Steps[WordAlignment]:
        """Lay a transcript beside what was said, or beside another transcript, word by normalised word."""
        return align_words(reference, hypothesis, (yield from self._normaliser(language)))

    @exclusive
    def changes_of_speech(self, recipe: Recipe, samples: np.ndarray, reference: str = "") -> Steps[ChangesReport]:
        """What compression changed on one recording, word by word; a repeated question is answered from memory.

        Args:
            recipe: compressed.
            samples: at 16 kHz, mono, (n,). What is longer than a model hears at a time is cut in quiet places.
            reference: what is said, of a recording that needs no cut; without it, what the dense model writes counts.

        Yields:
            Among others, an event of stage ``changes`` a window, whose `partial` is the `DriftReport` so far.

        Raises:
            UserError: if there are no words, or words for a recording that must be cut.
        """
        pieces = windows(samples)
        reference = " ".join(reference.split())
        if reference and len(pieces) > 1:
            raise UserError(
                "What was said can be given for recordings of at most 30 seconds, since a longer one is cut and nobody "
                "knows which words are in which part: leave it empty, or give a shorter recording."
            )
        content = hashlib.sha256(samples.tobytes()).hexdigest()
        clips = tuple(Clip("the recording", piece, reference or None) for piece in pieces)
        heard = SpeechSource("the recording", content, len(clips), len(samples) / SAMPLE_RATE)
        return (yield from self._speech_changes(recipe, Recordings(heard, clips)))

    @exclusive
    def changes_on_recordings(self, recipe: Recipe, recordings: str) -> Steps[ChangesReport]:
        """The same on named recordings or a folder, with their transcripts."""
        spoken = yield from self._recordings(recordings)
        usable = {clip.id: bool(clip.text) and len(windows(clip.samples)) == 1 for clip in spoken.clips}
        short = tuple(clip for clip in spoken.clips if usable[clip.id])
        if not short:
            raise UserError(
                f"The recordings {recordings} hold none of at most 30 seconds with a transcript: give others."
            )
        left_out = tuple(
            f"{name} is longer than 30 seconds or has no transcript: it is left out."
            for name, fits in usable.items()
            if not fits
        )
        spoken = dataclasses.replace(spoken, clips=short, left_out=(*spoken.left_out, *left_out))
        return (yield from self._speech_changes(recipe, spoken))

    def _speech_changes(self, recipe: Recipe, spoken: Recordings) -> Steps[ChangesReport]:
        """Of clips that all have a transcript, or that all get the dense model's."""
        key = result_key("speech changes", recipe, spoken.source, spoken.clips[0].text)
        known: ChangesReport | None = self._results.get(key)
        if known is not None:
            return known
        compressed, dense = yield from self._pair(recipe)
        source = check_speech_model(compressed)
        clips, language = spoken.clips, recipe.language
        reference = "given" if clips[0].text else "dense"
        if reference == "dense":
            clips = yield from self._written_down(dense, clips, language)
        report = yield from measure_speech_changes(
            dense.loaded.model, compressed.model, source, clips, spoken.source, reference, language
        )
        report = dataclasses.replace(report, notes=spoken.left_out)
        return self._results.put(key, with_facts(report, compressed))

    @staticmethod
    def _written_down(dense: DenseModel, clips: tuple[Clip, ...], language: str) -> Steps[tuple[Clip, ...]]:
        """The clips with what the dense model writes down, without those for which it writes nothing.

        Raises:
            UserError: if it writes nothing at all.
        """
        model, source = dense.loaded.model, dense.loaded
        extractor = source.feature_extractor
        assert extractor is not None
        written = []
        for clip in clips:
            transcript = yield from transcribe(model, source.tokenizer, extractor, clip.samples, language)
            if transcript.text:
                written.append(dataclasses.replace(clip, text=transcript.text))
        if not written:
            raise UserError(
                "The dense model writes nothing down for this recording, so that there is no word to compare: say what "
                "was said, or give another recording."
            )
        return tuple(written)

    @exclusive
    def speech_latency(self, recipe: Recipe) -> Steps[SpeechLatencyReport]:
        """Encoder, decoder and real-time factor; a compressed model is interleaved with its dense original."""
        opened, model, source = yield from self._listener(recipe)
        subjects, stored = {"dense": model}, {"dense": pipeline.dense_stored_bits(source)}
        if isinstance(opened, CompressedModel):
            dense = yield from self._original(opened)
            subjects = {"dense": dense.loaded.model, "compressed": model}
            stored = {"dense": opened.report.original_bits, "compressed": opened.report.stored_bits}
        clip = max(example_clips(), key=lambda clip: clip.seconds)
        report = yield from measure_speech_latency(subjects, source.tokenizer, source.feature_extractor, clip.samples)
        return dataclasses.replace(report, stored_bits=stored, **provenance(source))


def check_speech_model(opened: CompressedModel | DenseModel) -> LoadedModel:
    """The loaded model of either, unless it is a language model.

    Raises:
        UserError: if it is one.
    """
    source = opened.source if isinstance(opened, CompressedModel) else opened.loaded
    if not source.is_speech:
        raise UserError(
            f"{source.id} is a language model, which cannot hear: choose a speech model such as whisper-tiny.en."
        )
    return source
