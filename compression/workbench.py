"""The one place where the command line and the app get work done: models, statistics and results, each made once.

Every public generator yields `Progress` events and returns its result; closing it cancels. Heavy work of one process
is serialised. Dense models are shared and never changed.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import psutil
import torch
from safetensors import SafetensorError

from compression import (
    analysis,
    calibration,
    costs,
    export,
    exports,
    forecast,
    models,
    pipeline,
    store,
    texts,
)
from compression.adaptation import folder
from compression.allocation import CURVE_FRACTIONS, POLICIES, SLIDER, Evidence, LossCurves, Spectra, allocate, tabulate
from compression.calibration import Calibration, Gradients, TextSplit, collect, collect_gradients, split_text
from compression.columns import column_info
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.evaluation.changes import MAX_WINDOWS, measure_changes
from compression.evaluation.changes_report import ChangesReport
from compression.evaluation.divergence import DenseStates, Divergence, dense_states
from compression.evaluation.generation import generate
from compression.evaluation.latency import measure_latency
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.evaluation.teacher_forcing import transcript_losses
from compression.forecast import Forecast, ForecastReport, ProbeLosses
from compression.linalg import relative_output_error
from compression.memory import ModelShape
from compression.methods import METHODS, CompressionMethod, JointMethod, create_method
from compression.models import LoadedModel
from compression.modules import CompressedLinear, DictionaryLinear, LowRankLinear, bytes_held
from compression.pipeline import CompressedModel, finish
from compression.recent import Recent
from compression.recipe import DENSE, OWN, Recipe
from compression.sensitivity import SEARCHES, measure_sensitivities
from compression.sites import find_sites, shape_of, site_weight, sites_of
from compression.speech.clips import Recordings
from compression.speech.recordings import DEFAULT_RECORDINGS, load_recordings
from compression.speech.sequences import SpeechSplit, split_recordings, too_few
from compression.steps import Steps
from compression.streams import Sequences as CalibrationSequences
from compression.streams import SpokenSequences
from compression.tensors import TensorFolder, load_checked, save_checked
from compression.truncation import learn_positions
from compression.types import (
    Allocation,
    AnyCalibration,
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    Completion,
    CompressionPlan,
    CompressionReport,
    Exported,
    LatencyReport,
    LinearSite,
    PerplexityReport,
    Probe,
    Progress,
    SiteReport,
    SpeechCalibration,
)

if TYPE_CHECKING:
    from compression.adaptation.types import AdaptReport, AdaptSettings, Stop
    from compression.deployment.recipe import PipelineRecipe
    from compression.deployment.report import PipelineReport, TuneReport
    from compression.distillation.report import DistillReport, DistillSettings
    from compression.mixing.report import MixReport
    from compression.quantization.formats_report import FastFormat, FormatLatency, FormatsReport
    from compression.quantization.grid import QuantizationSettings
    from compression.quantization.report import QuantizeReport
    from compression.speech.workbench import SpeechWorkbench
    from compression.synthetic.report import SyntheticReport, SyntheticSettings
    from compression.zero_shot.report import BenchmarkReport

T = TypeVar("T")
P = ParamSpec("P")

MAX_CALIBRATION_CACHE_BYTES = 16 * 2**30
MAX_RUN_CACHE_BYTES = 2**28
CURVE_METHOD = "compot-fisher"
"""Whose error curves the policy ``fisher`` uses where no method is named."""


@dataclass(frozen=True)
class DenseModel:
    """A loaded model with its sites.

    Attributes:
        loaded: the model.
        sites: its compressible layers.
        identity: content key of everything a result depends on: weights, configuration and tokenizer.
        report: how it was made, if it was read from a folder that ``compress`` wrote.
        streamed: whether its weights are in a file.
    """

    loaded: LoadedModel
    sites: tuple[LinearSite, ...]
    identity: str
    report: CompressionReport | None = None
    streamed: bool = False

    @property
    def context(self) -> int | None:
        """Longest input in tokens, where the model has a limit."""
        return getattr(self.loaded.model.config, "max_position_embeddings", None)


@dataclass(frozen=True)
class ModelHeld:
    """A model in memory.

    Attributes:
        title: of the dense model.
        method: what compressed it, or ``dense``.
        bytes: what it holds by itself; a compressed model shares all other layers with the dense one.
    """

    title: str
    method: str
    bytes: int


BUDGET_VARIABLE = "MODEL_MEMORY_MB"


def model_budget() -> int:
    """Bytes that the models in memory may take: what the environment says, or a quarter of the machine's memory.

    Raises:
        UserError: if the environment says something else than a number above 0.
    """
    given = os.environ.get(BUDGET_VARIABLE, "")
    if not given:
        return psutil.virtual_memory().total // 4
    if not given.isascii() or not given.isdigit() or not 0 < int(given) < 10**9:
        raise UserError(f"{BUDGET_VARIABLE} takes a whole number of megabytes above 0, but {given!r} was given.")
    return int(given) * 10**6


def bytes_in_memory(model: DenseModel | CompressedModel) -> int:
    """What a model holds: all its values, or where it shares the dense ones its compressed layers alone."""
    if isinstance(model, CompressedModel):
        layers = [layer for layer in model.model.modules() if isinstance(layer, CompressedLinear)]
        return sum(layer.resident_bytes() for layer in layers)
    if model.streamed:
        return 0
    return bytes_held([*model.loaded.model.parameters(), *model.loaded.model.buffers()])


NO_FORECAST = "there is no forecast for a method that decides over all layers at once"
META_FILE = "meta.json"
MAGNITUDES = "magnitudes"
ROW_FISHERS = "row-fishers"


@dataclass(frozen=True)
class StatisticsMeta:
    """What stands beside stored statistics.

    Attributes:
        counts: positions behind each input group, or ``scored`` tokens behind the gradients.
        seconds: time it took to make them.
    """

    counts: dict[str, int]
    seconds: float


Predict = Literal["never", "stored", "loss-aware", "always"]
"""For which runs of a comparison a forecast is made: none; those whose probes are in the cache; also those of a method
or policy that looks at the loss, whose statistics are there anyway; all."""


def exclusive(method: Callable[P, Steps[T]]) -> Callable[P, Steps[T]]:
    """Let one heavy generator of a workbench run at a time; the others say that they wait."""

    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        lock: threading.Lock = args[0]._busy  # type: ignore[attr-defined]
        waited = 0
        while not lock.acquire(timeout=1 if waited else 0):
            yield Progress("wait", waited, waited + 1, "waiting for another job to finish")
            waited += 1
        try:
            return (yield from method(*args, **kwargs))
        finally:
            lock.release()

    return wrapper


class Workbench:
    """Loads, calibrates, compresses and measures, with bounded caches in memory and on disk."""

    def __init__(self, streamed: bool = False) -> None:
        """Start with empty caches; nothing is loaded.

        Args:
            streamed: whether weights stay in a file, and every block takes what it needs: slower, and small.
        """
        self.streamed = streamed
        self._busy = threading.Lock()
        self._models: Recent[DenseModel | CompressedModel] = Recent(4, bytes_in_memory, model_budget())
        self._splits: Recent[TextSplit | SpeechSplit] = Recent(2)
        self._spoken: Recent[Recordings] = Recent(2)
        self._curves: Recent[LossCurves] = Recent(16)
        self._spectra: Recent[Spectra] = Recent(4)
        self._texts: Recent[texts.Text] = Recent(4)
        self._results: Recent[Any] = Recent(256)
        self._references: Recent[tuple[PerplexityReport, DenseStates]] = Recent(1)

    # --- models -------------------------------------------------------------------------------------------------

    @exclusive
    def model_info(self, model_id: str) -> Steps[analysis.ModelInfo]:
        """Load a model and describe it."""
        return self._info((yield from self._load(model_id)))

    @exclusive
    def is_speech(self, model_id: str) -> Steps[bool]:
        """Whether a model, or one that ``compress`` wrote, writes down speech."""
        if folder.is_adapted_directory(model_id):
            return False
        opened = yield from self._open(Recipe(model_id))
        return (opened.source if isinstance(opened, CompressedModel) else opened.loaded).is_speech

    def dense_model(self, model_id: str) -> Steps[DenseModel]:
        """A loaded model, for work of this workbench that stands elsewhere; it must not be changed."""
        return (yield from self._load(model_id))

    @exclusive
    def opened(self, model_id: str) -> Steps[DenseModel]:
        """A dense language model, for work that takes this workbench stage by stage; it must not be changed."""
        dense = yield from self._load(model_id)
        check_language_model(dense)
        return dense

    def pipeline(self, recipe: PipelineRecipe, out: Path | None = None) -> Steps[PipelineReport]:
        """Carry a whole recipe out, see `compression.deployment.runner.run_pipeline`."""
        from compression.deployment.runner import run_pipeline

        return (yield from run_pipeline(self, recipe, out))

    def tune(self, recipe: PipelineRecipe, trials: int, storage: Path | None = None) -> Steps[TuneReport]:
        """Search a recipe's settings, see `compression.deployment.search.tune`."""
        from compression.deployment.search import tune

        return (yield from tune(self, recipe, trials, storage))

    def any_model(self, model_id: str) -> Steps[DenseModel]:
        """A dense model, or one that ``compress`` or ``adapt`` wrote, with the layers that are or were dense.

        It must not be changed.
        """
        if folder.is_adapted_directory(model_id):
            directory = Path(model_id).expanduser()
            yield Progress("load", 0, 1, f"reading {directory}")
            adapted = folder.load_language_model(directory)
            identity = store.content_key("adapted", store.file_hash(directory / folder.WEIGHTS_FILE))
            return DenseModel(adapted, sites_of(adapted.model.config), identity)
        opened = yield from self._open(Recipe(model_id))
        if not isinstance(opened, CompressedModel):
            return opened
        weights = store.file_hash(Path(model_id).expanduser() / export.WEIGHTS_FILE)
        identity = store.content_key("compressed", _identity(opened.source), weights)
        return DenseModel(opened.source, sites_of(opened.model.config), identity, opened.report)

    def calibration_sequences(self, model: DenseModel, recipe: Recipe) -> Steps[tuple[torch.Tensor, AnyCalibration]]:
        """What a language model is calibrated on, for work of this workbench that stands elsewhere."""
        return (yield from self._token_sequences(model, recipe)), (yield from self._settings(model, recipe))

    def sequences_of(self, model: DenseModel, recipe: Recipe) -> Steps[tuple[CalibrationSequences, AnyCalibration]]:
        """The same of a model of any kind."""
        return (yield from self._split(model, recipe)).inputs, (yield from self._settings(model, recipe))

    @exclusive
    def formats(
        self,
        recipe: Recipe,
        text: str = "",
        window: int = 1024,
        max_windows: int | None = 4,
        prompt_tokens: int = 128,
        decode_tokens: int = 16,
        repeats: int = 5,
    ) -> Steps[FormatsReport]:
        """A language model in several formats, see `compression.quantization.formats.compare_formats`."""
        from compression.quantization.formats import compare_formats

        steps = compare_formats(self, recipe, text, window, max_windows, prompt_tokens, decode_tokens, repeats)
        return (yield from steps)

    @exclusive
    def latency_in(
        self,
        name: FastFormat,
        dense_id: str,
        recipe: Recipe,
        text: str,
        window: int,
        max_windows: int | None,
        prompt_tokens: int,
        decode_tokens: int,
    ) -> Steps[FormatLatency]:
        """A compressed model in another format, see `compression.quantization.formats.time_in_format`."""
        from compression.quantization.formats import time_in_format

        source = (yield from self._load(dense_id)).loaded
        found = yield from time_in_format(
            self, dense_id, recipe, name, text, window, max_windows, prompt_tokens, decode_tokens
        )
        facts = provenance(source)
        timed = dataclasses.replace(found.timed, measured=dataclasses.replace(found.timed.measured, **facts))
        return dataclasses.replace(found, latency=dataclasses.replace(found.latency, **facts), timed=timed)

    @exclusive
    def synthesise(self, settings: SyntheticSettings) -> Steps[SyntheticReport]:
        """Write instruction pairs, see `compression.synthetic.runner.synthesise`."""
        from compression.synthetic.runner import synthesise

        return (yield from synthesise(self, settings))

    def site_statistics(self, model: DenseModel, recipe: Recipe) -> Steps[tuple[Calibration, Gradients, str]]:
        """Statistics of inputs and output gradients, and a key of all that a method's curves depend on."""
        inputs, _ = yield from self._calibrate(model, recipe)
        gradients = yield from self._differentiate(model, recipe)
        return inputs, gradients, (yield from self._method_key("sites", model, recipe, recipe.build_method()))

    def split(self, model: DenseModel, recipe: Recipe) -> Steps[Allocation]:
        """How a recipe splits its budget, for work of this workbench that stands elsewhere."""
        return (yield from self._allocate(model, recipe))

    def compressed_model(self, recipe: Recipe) -> Steps[CompressedModel]:
        """A compressed model, for work of this workbench that stands elsewhere; it must not be changed."""
        return (yield from self._compress(recipe))

    @exclusive
    def mix(
        self,
        recipe: Recipe,
        bits_per_weight: float | None = None,
        megabytes: float | None = None,
        text: str = "",
        window: int = 1024,
        max_windows: int | None = None,
        out: Path | None = None,
    ) -> Steps[MixReport]:
        """Spend one budget in five ways, see `compression.mixing.runner.mix`."""
        from compression.mixing.runner import mix

        return (yield from mix(self, recipe, bits_per_weight, megabytes, text, window, max_windows, out))

    @exclusive
    def quantize(
        self,
        recipe: Recipe,
        settings: QuantizationSettings,
        text: str,
        window: int = 1024,
        max_windows: int | None = None,
        out: Path | None = None,
    ) -> Steps[QuantizeReport]:
        """Round a model's weights to a few bits, see `compression.quantization.runner.quantize_all`."""
        from compression.quantization.runner import quantize_all

        return (yield from quantize_all(self, recipe, settings, text, window, max_windows, out))

    @exclusive
    def quantize_to(self, recipe: Recipe, settings: QuantizationSettings, directory: Path) -> Steps[CompressionReport]:
        """Quantise by GPTQ and write, see `compression.quantization.runner.quantize_to`."""
        from compression.quantization.runner import quantize_to

        return (yield from quantize_to(self, recipe, settings, directory))

    @exclusive
    def benchmark(
        self, model_id: str, tasks: str = "all", data: str = "", limit: int | None = None
    ) -> Steps[BenchmarkReport]:
        """Zero-shot benchmarks of a language model, see `compression.zero_shot.runner.benchmark`."""
        from compression.zero_shot.runner import benchmark

        return (yield from benchmark(self, model_id, tasks, data, limit))

    @exclusive
    def distill(self, settings: Sequence[DistillSettings], out: Path | None = None) -> Steps[DistillReport]:
        """Let a student learn from its teacher, see `compression.distillation.runner.distill_all`."""
        from compression.distillation.runner import distill_all

        return (yield from distill_all(self, settings, out))

    @exclusive
    def adapt(
        self, settings: tuple[AdaptSettings, ...], out: Path | None = None, stop: Stop | None = None
    ) -> Steps[AdaptReport]:
        """Adapt a model in several ways, see `compression.adaptation.runner.adapt_all`."""
        from compression.adaptation.runner import adapt_all

        return (yield from adapt_all(self, settings, out, stop))

    @exclusive
    def shape(self, model_id: str) -> Steps[ModelShape]:
        """What the memory of a language model depends on."""
        return shape_of(check_language_model((yield from self._load(model_id))).model)

    def _load(self, model_id: str) -> Steps[DenseModel]:
        key = store.stamp(model_id)
        known = self._models.get(("dense", key))
        if isinstance(known, DenseModel):
            return known
        if export.is_compressed_directory(model_id):
            raise UserError(f"{model_id} is compressed already: name the dense model it was made from.")
        loaded = yield from models.load(model_id, self.streamed)
        dense = DenseModel(loaded, find_sites(loaded.model), _identity(loaded), streamed=self.streamed)
        self._models.put(("dense", key), dense)
        return dense

    @staticmethod
    def _info(dense: DenseModel) -> analysis.ModelInfo:
        loaded = dense.loaded
        return analysis.ModelInfo(
            model_id=loaded.id,
            title=loaded.title,
            note=loaded.note,
            weights_hash=loaded.weights_hash,
            architecture=loaded.model.config.model_type,
            num_parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
            sites=dense.sites,
            notes=loaded.notes,
        )

    def _text(self, name: str) -> Steps[texts.Text]:
        if name in texts.TEXTS and (known := self._texts.get(name)):
            return known
        return self._texts.put(name, (yield from texts.load_text(name)))

    def _recordings(self, name: str) -> Steps[Recordings]:
        key = store.stamp(name)
        known = self._spoken.get(key)
        return known or self._spoken.put(key, (yield from load_recordings(name)))

    # --- statistics ---------------------------------------------------------------------------------------------

    def _settings(self, dense: DenseModel, recipe: Recipe) -> Steps[AnyCalibration]:
        """What the statistics are collected on: of text, or for a speech model of recordings."""
        counts = recipe.num_sequences, recipe.gradient_sequences
        if dense.loaded.is_speech:
            spoken = yield from self._recordings(recipe.calibration_text or DEFAULT_RECORDINGS)
            return SpeechCalibration(spoken.source, *counts, recipe.seed, recipe.language, recipe.count_padding)
        text = yield from self._text(recipe.calibration_text or texts.DEFAULT_CALIBRATION)
        return CalibrationSettings(text.source, counts[0], recipe.sequence_length, counts[1], recipe.seed)

    def _split(self, dense: DenseModel, recipe: Recipe) -> Steps[TextSplit | SpeechSplit]:
        """The parts of the calibration text, tokenised, or of the recordings with their transcripts."""
        settings = yield from self._settings(dense, recipe)
        key = (dense.identity, settings)
        known = self._splits.get(key)
        if known is not None:
            return known
        if isinstance(settings, SpeechCalibration):
            spoken = yield from self._recordings(recipe.calibration_text or DEFAULT_RECORDINGS)
            return self._splits.put(key, split_recordings(spoken, settings, dense.loaded))
        context = dense.context
        if context is not None and settings.sequence_length > context:
            raise UserError(
                f"Calibration sequences of {settings.sequence_length} tokens are longer than the model's context of "
                f"{context}: ask for shorter ones."
            )
        text = yield from self._text(recipe.calibration_text or texts.DEFAULT_CALIBRATION)
        tokens = tokenize(dense.loaded.tokenizer, text.content)
        return self._splits.put(key, split_text(tokens, settings, context))

    def _token_sequences(self, dense: DenseModel, recipe: Recipe) -> Steps[torch.Tensor]:
        """The calibration sequences of a language model."""
        sequences = (yield from self._split(dense, recipe)).inputs
        assert isinstance(sequences, torch.Tensor)  # `_check_speech` has refused what needs text
        return sequences

    def _too_short(self, what: str, dense: DenseModel, recipe: Recipe) -> Steps[UserError]:
        settings = yield from self._settings(dense, recipe)
        if isinstance(settings, SpeechCalibration):
            spoken = yield from self._recordings(recipe.calibration_text or DEFAULT_RECORDINGS)
            return too_few(spoken, settings, dense.loaded)
        text = yield from self._text(recipe.calibration_text or texts.DEFAULT_CALIBRATION)
        count = len(tokenize(dense.loaded.tokenizer, text.content))
        return calibration.too_short(what, count, settings, dense.context)

    def _calibrate(self, dense: DenseModel, recipe: Recipe) -> Steps[tuple[Calibration, AnyCalibration]]:
        settings = yield from self._settings(dense, recipe)
        key = store.content_key("calibration", code_version(), dense.identity, settings)
        folder = store.root() / "calibrations" / key

        def make(temporary: Path) -> Steps[StatisticsMeta]:
            sequences = (yield from self._split(dense, recipe)).inputs
            grams, magnitudes = TensorFolder(temporary), TensorFolder(temporary, MAGNITUDES)
            made = yield from collect(dense.loaded.model, dense.sites, sequences, key, grams, magnitudes)
            return StatisticsMeta(made.num_positions, made.seconds)

        meta, reused = yield from self._statistics(folder, dense, make)
        magnitudes = TensorFolder(folder, MAGNITUDES)
        return Calibration(TensorFolder(folder), meta.counts, key, meta.seconds, reused, magnitudes), settings

    def _differentiate(self, dense: DenseModel, recipe: Recipe) -> Steps[Gradients]:
        """Output-gradient statistics, made once for a model and a text."""
        settings = yield from self._settings(dense, recipe)
        key = store.content_key("gradients", code_version(), dense.identity, settings)
        folder = store.root() / "calibrations" / f"{key}-gradients"

        def make(temporary: Path) -> Steps[StatisticsMeta]:
            sequences = (yield from self._split(dense, recipe)).gradients
            if sequences is None:
                raise (yield from self._too_short("gradients", dense, recipe))
            grams, fishers = TensorFolder(temporary), TensorFolder(temporary, ROW_FISHERS)
            made = yield from collect_gradients(dense.loaded.model, dense.sites, sequences, key, grams, fishers)
            return StatisticsMeta({"scored": made.num_scored}, made.seconds)

        meta, reused = yield from self._statistics(folder, dense, make)
        fishers = TensorFolder(folder, ROW_FISHERS)
        return Gradients(TensorFolder(folder), meta.counts["scored"], key, meta.seconds, reused, fishers)

    @staticmethod
    def _statistics(
        folder: Path, dense: DenseModel, make: Callable[[Path], Steps[StatisticsMeta]]
    ) -> Steps[tuple[StatisticsMeta, bool]]:
        """What stands beside stored statistics, and whether they were there already.

        While one process makes them, others wait and then find them.

        Args:
            folder: where they lie.
            dense: the model they are of.
            make: writes them to a folder.
        """
        with (yield from store.waiting_lock(f"statistics-{folder.name[:80]}", dense.loaded.id)):
            known = _read_meta(folder)
            if known is not None:
                return known, True
            with store.atomic_directory(folder) as temporary:
                meta = yield from make(temporary)
                store.write_cached(temporary / META_FILE, meta)
            store.prune(folder.parent, MAX_CALIBRATION_CACHE_BYTES)
            return meta, False

    def _error_curves(self, dense: DenseModel, recipe: Recipe) -> Steps[LossCurves]:
        """Error curves of the recipe's method, or of `CURVE_METHOD` where it names none."""

        def measure(method: CompressionMethod) -> Steps[LossCurves]:
            inputs, _ = yield from self._calibrate(dense, recipe)
            outputs = yield from self._differentiate(dense, recipe)
            return (yield from pipeline.measure_curves(dense.loaded.model, dense.sites, method, inputs, outputs))

        return (yield from self._curves_of("curves", dense, recipe, measure))

    def _output_errors(self, dense: DenseModel, recipe: Recipe) -> Steps[LossCurves]:
        """Relative output errors of the recipe's method, or of `CURVE_METHOD` where it names none."""

        def measure(method: CompressionMethod) -> Steps[LossCurves]:
            inputs, _ = yield from self._calibrate(dense, recipe)
            outputs = (yield from self._differentiate(dense, recipe)) if method.uses_gradients else None
            model = dense.loaded.model
            return (yield from pipeline.measure_output_errors(model, dense.sites, method, inputs, outputs))

        return (yield from self._curves_of("errors", dense, recipe, measure))

    def _curves_of(
        self, what: str, dense: DenseModel, recipe: Recipe, measure: Callable[[CompressionMethod], Steps[LossCurves]]
    ) -> Steps[LossCurves]:
        """Curves of a model, a text and a method, made once."""
        method = create_method(CURVE_METHOD) if recipe.is_dense else recipe.build_method()
        key = yield from self._method_key(what, dense, recipe, method, CURVE_FRACTIONS)
        known = self._curves.get(key)
        if known is not None:
            return known
        file = store.root() / "curves" / f"{key}.json"
        curves = store.cached_json(file, LossCurves)
        if curves is None:
            curves = yield from measure(method)
            store.write_cached(file, curves)
        return self._curves.put(key, curves)

    def _method_key(
        self, what: str, dense: DenseModel, recipe: Recipe, method: CompressionMethod, *rest: Any
    ) -> Steps[str]:
        """The key of something that depends on a model, a calibration text and a method with its settings."""
        settings = yield from self._settings(dense, recipe)
        return store.content_key(
            what, code_version(), dense.identity, settings, method.name, dataclasses.asdict(method), *rest
        )

    def _sensitivities(self, dense: DenseModel, recipe: Recipe) -> Steps[LossCurves]:
        """The loss with each site alone compressed, measured; what is finished is kept when it is interrupted."""
        method = recipe.build_method()
        search = SEARCHES[recipe.preset]
        key = yield from self._method_key("sensitivities", dense, recipe, method, search)
        inputs, _ = yield from self._calibrate(dense, recipe)
        gradients = (yield from self._differentiate(dense, recipe)) if method.uses_gradients else None
        return (
            yield from measure_sensitivities(
                dense.loaded.model,
                dense.sites,
                method,
                inputs,
                gradients,
                search.choose((yield from self._token_sequences(dense, recipe))),
                search.fractions,
                store.root() / "curves" / f"{key}.json",
            )
        )

    def _learned(self, dense: DenseModel, recipe: Recipe) -> Steps[dict[str, float]]:
        """The removed fractions that learning ends with; an interrupted run goes on from its last checkpoint."""
        method = recipe.build_method()
        key = yield from self._method_key("positions", dense, recipe, method, recipe.removed_fraction)
        sequences = yield from self._token_sequences(dense, recipe)
        folder = store.root() / "positions"
        folder.mkdir(parents=True, exist_ok=True)
        positions = yield from learn_positions(
            dense.loaded.model,
            dense.sites,
            sequences,
            recipe.removed_fraction,
            method.learning(recipe.seed),
            folder / f"{key}.safetensors",
        )
        return positions.removed_fractions

    def _singular_values(self, dense: DenseModel) -> Steps[Spectra]:
        """Of the original weights."""
        key = store.content_key("spectra", code_version(), dense.loaded.weights_hash)
        return (yield from self._spectra_of(key, lambda: pipeline.measure_spectra(dense.loaded.model, dense.sites)))

    def _whitened_values(self, dense: DenseModel, recipe: Recipe) -> Steps[Spectra]:
        """Of the weights whitened by the inputs of the calibration text."""

        def measure() -> Steps[Spectra]:
            inputs, _ = yield from self._calibrate(dense, recipe)
            return (yield from pipeline.measure_whitened_spectra(dense.loaded.model, dense.sites, inputs))

        settings = yield from self._settings(dense, recipe)
        key = store.content_key("whitened", code_version(), dense.identity, settings)
        return (yield from self._spectra_of(key, measure))

    def _spectra_of(self, key: str, measure: Callable[[], Steps[Spectra]]) -> Steps[Spectra]:
        """Spectra, made once."""
        known = self._spectra.get(key)
        if known is not None:
            return known
        file = store.root() / "spectra" / f"{key}.safetensors"
        if file.is_file():
            try:
                return self._spectra.put(key, {name: t.numpy() for name, t in load_checked(file)[0].items()})
            except (SafetensorError, OSError):
                file.unlink(missing_ok=True)
        spectra = yield from measure()
        with store.atomic_file(file) as temporary:
            save_checked({name: torch.from_numpy(values) for name, values in spectra.items()}, temporary)
        return self._spectra.put(key, spectra)

    @exclusive
    def statistics(self, recipe: Recipe, gradients: bool) -> Steps[bool]:
        """Make the input statistics, and those of the output gradients if asked; whether all came from the cache."""
        recipe.check()
        dense = yield from self._load(recipe.model_id)
        inputs, _ = yield from self._calibrate(dense, recipe)
        outputs = (yield from self._differentiate(dense, recipe)) if gradients else None
        return inputs.reused and (outputs is None or outputs.reused)

    @exclusive
    def inputs(self, recipe: Recipe) -> Steps[tuple[DenseModel, Calibration, AnyCalibration]]:
        """A dense model and its input statistics, for benchmarks that look at single sites."""
        recipe.check()
        dense = yield from self._load(recipe.model_id)
        return dense, *(yield from self._calibrate(dense, recipe))

    @exclusive
    def analyze(
        self,
        model_id: str,
        calibration_text: str = "",
        num_sequences: int = 32,
        sequence_length: int = 512,
        policies: tuple[str, ...] = ("uniform", "pooled"),
        gradient_sequences: int = 32,
    ) -> Steps[analysis.AnalysisInfo]:
        """Spectra of every site, plain and whitened, and the allocation at every slider position.

        The policy ``fisher`` is tabulated with the error curves of `CURVE_METHOD`.
        """
        recipe = Recipe(
            model_id,
            calibration_text=calibration_text,
            num_sequences=num_sequences,
            sequence_length=sequence_length,
            gradient_sequences=gradient_sequences,
        )
        recipe.check()
        dense = yield from self._load(model_id)
        settings = yield from self._settings(dense, recipe)
        plain = yield from self._singular_values(dense)
        curves = None
        if any(POLICIES[policy].uses_curves for policy in policies):
            curves = yield from self._error_curves(dense, recipe)
        evidence = Evidence(plain, curves)

        whitened = yield from self._whitened_values(dense, recipe)
        spectra = [analysis.spectrum_info(s, plain[s.name].tolist(), whitened[s.name].tolist()) for s in dense.sites]
        allocations = {
            policy: tuple(row for row in tabulate(policy, dense.sites, evidence) if row is not None)
            for policy in policies
        }
        return analysis.AnalysisInfo(
            model=self._info(dense),
            calibration=settings,
            spectra=tuple(spectra),
            slider=SLIDER,
            allocations=allocations,
        )

    @exclusive
    def allocation(self, recipe: Recipe) -> Steps[tuple[analysis.ModelInfo, Allocation]]:
        """The budget split of a recipe."""
        recipe.check()
        recipe = recipe.resolved()
        dense = yield from self._load(recipe.model_id)
        return self._info(dense), (yield from self._decide(dense, recipe))

    @exclusive
    def evidence(self, recipe: Recipe) -> Steps[Evidence]:
        """What `analyze` makes its allocations from: spectra, and the error curves of `CURVE_METHOD`.

        Args:
            recipe: dense, with the calibration of the analysis.
        """
        dense = yield from self._load(recipe.model_id)
        spectra = yield from self._singular_values(dense)
        return Evidence(spectra, (yield from self._error_curves(dense, recipe)))

    def _evidence(self, dense: DenseModel, recipe: Recipe) -> Steps[Evidence]:
        policy = POLICIES[recipe.policy]
        return Evidence(
            spectra=(yield from self._singular_values(dense)) if policy.uses_spectra else {},
            curves=(yield from self._error_curves(dense, recipe)) if policy.uses_curves else None,
            errors=(yield from self._output_errors(dense, recipe)) if policy.uses_errors else None,
            whitened=(yield from self._whitened_values(dense, recipe)) if policy.uses_whitened else {},
            sensitivities=(yield from self._sensitivities(dense, recipe)) if policy.uses_sensitivities else None,
            learned=(yield from self._learned(dense, recipe)) if policy.learns else {},
        )

    def _check_for(self, dense: DenseModel, recipe: Recipe) -> None:
        """Refuse a policy that measures on text, or learns from it, for a speech model."""
        policy = POLICIES[recipe.policy]
        if dense.loaded.is_speech and (policy.uses_sensitivities or policy.learns):
            raise UserError(
                f"The policy {recipe.policy} measures on text, and {dense.loaded.id} is a speech model: choose "
                "uniform, pooled or fisher."
            )
        method = None if recipe.is_dense else recipe.build_method()
        if isinstance(method, JointMethod):
            if dense.loaded.is_speech:
                raise UserError(
                    f"{recipe.method} learns on text, and {dense.loaded.id} is a speech model: choose another method."
                )
            method.check_model(dense.loaded.model)

    def _allocate(self, dense: DenseModel, recipe: Recipe) -> Steps[Allocation]:
        self._check_for(dense, recipe)
        evidence = yield from self._evidence(dense, recipe)
        return allocate(recipe.policy, dense.sites, evidence, recipe.removed_fraction, recipe.guards, recipe.pins)

    def _decide(self, dense: DenseModel, recipe: Recipe) -> Steps[Allocation]:
        """The split that a compressed model has: of a method that decides while it compresses, known only then."""
        if not recipe.is_dense and recipe.build_method().joint:
            return (yield from self._compress(recipe)).report.plan.allocation
        return (yield from self._allocate(dense, recipe))

    # --- compression --------------------------------------------------------------------------------------------

    @exclusive
    def compress(self, recipe: Recipe) -> Steps[CompressionReport]:
        """Compress and keep the model for the calls that follow."""
        return (yield from self._compress(recipe)).report

    @exclusive
    def compress_to(self, recipe: Recipe, directory: Path) -> Steps[CompressionReport]:
        """Compress and write the model to a directory that does not exist yet."""
        recipe.check()
        models.resolve(recipe.model_id)
        store.check_new_directory(directory)
        compressed = yield from self._compress(recipe)
        yield Progress("save", 0, 1, f"writing {directory}")
        export.save(compressed, directory)
        yield Progress("save", 1, 1, f"wrote {directory}")
        return compressed.report

    @exclusive
    def export(self, recipe: Recipe) -> Steps[Exported]:
        """Compress, write into the cache and check in a fresh process; what was exported before is answered at once."""
        recipe.check()
        recipe = recipe.resolved()
        recipe.build_method()
        models.resolve(recipe.model_id)
        return (yield from exports.make(result_key("export", recipe), recipe, lambda: self._compress(recipe)))

    def _compress(self, recipe: Recipe) -> Steps[CompressedModel]:
        recipe.check()
        recipe = recipe.resolved()
        method = recipe.build_method()
        dense = yield from self._load(recipe.model_id)
        self._check_for(dense, recipe)
        known = self._models.get(recipe)
        if isinstance(known, CompressedModel) and _made_from(known, dense, (yield from self._settings(dense, recipe))):
            return known
        inputs, settings = yield from self._calibrate(dense, recipe)
        gradients = None
        if method.uses_gradients or POLICIES[recipe.policy].uses_curves:
            gradients = yield from self._differentiate(dense, recipe)
        reads_text = method.joint or method.observes_inputs or bool(getattr(method, "recalibrate", 0))
        sequences = (yield from self._split(dense, recipe)).inputs if reads_text else None
        started = time.perf_counter()
        allocation = yield from self._allocate(dense, recipe)
        allocated = time.perf_counter()
        plan = CompressionPlan(
            model_id=recipe.model_id,
            weights_hash=dense.loaded.weights_hash,
            method=recipe.method,
            settings=dataclasses.asdict(method),
            allocation=allocation,
            calibration=settings,
        )
        compressed = yield from pipeline.compress(dense.loaded, dense.sites, plan, inputs, gradients, sequences)
        stages = compressed.report.stages | {"allocation": allocated - started}
        statistics_seconds = inputs.seconds
        if gradients is not None:
            stages["gradients"] = gradients.seconds
            statistics_seconds += gradients.seconds
        report = dataclasses.replace(
            compressed.report,
            calibration_seconds=statistics_seconds,
            compress_seconds=time.perf_counter() - started,
            stages=stages,
        )
        made = dataclasses.replace(compressed, report=report, recipe=recipe)
        self._models.put(recipe, made)
        return made

    def _open(self, recipe: Recipe) -> Steps[CompressedModel | DenseModel]:
        """The model a recipe names: dense, compressed, or read from a directory that ``compress`` wrote."""
        if recipe.is_dense and export.is_compressed_directory(recipe.model_id):
            directory = Path(recipe.model_id).expanduser()
            yield Progress("load", 0, 1, f"reading {directory}")
            return export.load(directory)
        if recipe.is_dense:
            return (yield from self._load(recipe.model_id))
        return (yield from self._compress(recipe))

    # --- forecast -----------------------------------------------------------------------------------------------

    @exclusive
    def forecast(self, recipe: Recipe) -> Steps[ForecastReport]:
        """Predicted perplexity at every slider position up to the largest that is forecast.

        The error curves and the probes are made once for a method and a policy, and the table is stored.
        """
        recipe.check()
        recipe = recipe.resolved()
        method = None if recipe.is_dense else recipe.build_method()
        if isinstance(method, JointMethod):
            raise method.no_forecast()
        dense = yield from self._load(recipe.model_id)
        self._check_for(dense, recipe)
        return (yield from self._forecast_table(dense, recipe))

    def _forecast_table(self, dense: DenseModel, recipe: Recipe) -> Steps[ForecastReport]:
        """The report of a resolved recipe, stored under every name its policy goes by."""
        fitted = yield from self._forecast(dense, recipe)
        curves = yield from self._error_curves(dense, recipe)
        evidence = yield from self._evidence(dense, recipe)
        settings = yield from self._settings(dense, recipe)
        predictions = []
        for fraction in SLIDER:
            if fitted.problem or fraction > forecast.LARGEST_FRACTION:
                break
            split = allocate(recipe.policy, dense.sites, evidence, fraction, recipe.guards, recipe.pins)
            loss = curves.total(split.removed_fractions)
            predictions.append(forecast.predict(fitted, fraction, loss, fitted.dense_loss))
            yield Progress("forecast", len(predictions), len(SLIDER), f"forecast at {fraction:.0%} removed")
        report = ForecastReport(
            model_id=dense.loaded.id,
            model_note=dense.loaded.note,
            weights_hash=dense.loaded.weights_hash,
            method=recipe.method,
            policy=recipe.policy,
            settings=dataclasses.asdict(recipe.build_method()),
            text=settings.source,
            convention=fitted.convention,
            dense=forecast.DensePerplexity(math.exp(fitted.dense_loss)),
            measured=tuple(
                forecast.MeasuredPoint(probe.removed_fraction, forecast.perplexity(fitted.dense_loss + probe.change))
                for probe in fitted.probes
            ),
            predictions=tuple(prediction for prediction in predictions if prediction is not None),
            problem=fitted.problem,
            environment=describe_environment(),
            original_bits=pipeline.dense_stored_bits(dense.loaded),
            site_bits=self._info(dense).site_bits,
        )
        names = {recipe.policy} | ({OWN} if recipe.policy == recipe.build_method().own_policy else set())
        for policy in names:
            key = forecast.table_key(dataclasses.replace(recipe, policy=policy))
            if key is not None:
                forecast.store_report(key, report)
        return report

    def _forecast_file(self, dense: DenseModel, recipe: Recipe) -> Steps[Path]:
        split = recipe.policy, recipe.preset, recipe.guards
        key = yield from self._method_key("probes", dense, recipe, recipe.build_method(), split)
        return store.root() / "probes" / f"{key}.json"

    def _forecast(self, dense: DenseModel, recipe: Recipe) -> Steps[Forecast]:
        """Probes of a method and a policy, from the cache or measured now."""
        file = yield from self._forecast_file(dense, recipe)
        stored = store.cached_json(file, Forecast)
        if stored is not None:
            return stored
        settings = yield from self._settings(dense, recipe)
        kept = (yield from self._split(dense, recipe)).probes
        if kept is None:
            raise (yield from self._too_short("a probe", dense, recipe))
        curves = yield from self._error_curves(dense, recipe)

        def measure(model: Any) -> Steps[ProbeLosses]:
            if isinstance(kept, SpokenSequences):
                return (yield from transcript_losses(model, kept))
            assert isinstance(settings, CalibrationSettings)
            window = kept.shape[1]
            report = yield from measure_perplexity(model, kept.flatten(), settings.text, 0, window)
            return ProbeLosses(report.window_losses, report.convention)

        key = ("dense probe", dense.identity, settings)
        reference: ProbeLosses | None = self._results.get(key)
        if reference is None:
            reference = self._results.put(key, (yield from measure(dense.loaded.model)))
        probes: dict[float, Probe] = {}
        first = forecast.PROBE_FRACTIONS[forecast.FIRST]
        for fraction in (first, *(f for f in forecast.PROBE_FRACTIONS if f != first)):
            started = time.perf_counter()
            compressed = yield from self._compress(dataclasses.replace(recipe, removed_fraction=fraction, pins=()))
            measured = yield from measure(compressed.model)
            pairs = zip(measured.losses, reference.losses, strict=True)
            loss = curves.total(compressed.report.plan.allocation.removed_fractions)
            changes = tuple(now - before for now, before in pairs)
            probes[fraction] = Probe(fraction, loss, changes, time.perf_counter() - started)
            yield Progress("probe", len(probes), len(forecast.PROBE_FRACTIONS), f"probe at {fraction:.0%} removed")
            if not 0 < probes[fraction].change <= forecast.MAX_CHANGE:
                break  # broken already: more points would tell nothing
        ordered = tuple(probes[fraction] for fraction in sorted(probes))
        fitted = forecast.make_forecast(ordered, reference.losses, reference.convention, calibration.PROBE_ZONES)
        store.write_cached(file, fitted)
        return fitted

    def _predicted(
        self, dense: DenseModel, recipe: Recipe, dense_loss: float, predict: Predict
    ) -> Steps[dict[str, Any]]:
        """The fields of a `ComparisonRun` that hold its forecast.

        Args:
            dense: the model.
            recipe: resolved.
            dense_loss: of the dense model on the text that is measured on, in nats.
            predict: for which runs probes are made where there are none.
        """
        if recipe.build_method().joint:
            return {"forecast_problem": NO_FORECAST} if predict == "always" else {}
        looks_at_loss = recipe.build_method().uses_gradients or POLICIES[recipe.policy].uses_curves
        wanted = predict == "always" or (predict == "loss-aware" and looks_at_loss)
        made_before = (yield from self._forecast_file(dense, recipe)).is_file()
        if predict == "never" or not (wanted or made_before):
            return {}
        if predict != "always" and not made_before and (yield from self._split(dense, recipe)).probes is None:
            return {"forecast_problem": "the calibration text is too short to keep a probe apart"}
        fitted = yield from self._forecast(dense, recipe)
        key = forecast.table_key(recipe)
        if key is not None and forecast.stored_report(key) is None:
            yield from self._forecast_table(dense, recipe)
        curves = yield from self._error_curves(dense, recipe)
        loss = curves.total((yield from self._allocate(dense, recipe)).removed_fractions)
        prediction = forecast.predict(fitted, recipe.removed_fraction, loss, dense_loss)
        if prediction is None:
            return {"forecast_problem": fitted.problem or f"beyond {forecast.LARGEST_FRACTION:.0%} removed"}
        return {
            "predicted_perplexity": prediction.perplexity,
            "predicted_low": prediction.low,
            "predicted_high": prediction.high,
        }

    # --- measurements -------------------------------------------------------------------------------------------

    def _perplexity_key(self, recipe: Recipe, text: texts.Text, window: int, max_windows: int | None) -> str:
        return result_key("perplexity", recipe, text.source.fingerprint, window, max_windows)

    @exclusive
    def perplexity(
        self, recipe: Recipe, text: str, window: int = 256, max_windows: int | None = 8
    ) -> Steps[PerplexityReport]:
        """Perplexity of a pasted text; a repeated question is answered from memory."""
        pasted = texts.pasted_text(text)
        key = self._perplexity_key(recipe, pasted, window, max_windows)
        known: PerplexityReport | None = self._results.get(key)
        if known is not None:
            return known
        return self._results.put(key, (yield from self._measure(recipe, pasted, window, max_windows)))

    @exclusive
    def evaluate(
        self, recipe: Recipe, text: str, window: int = 1024, max_windows: int | None = None
    ) -> Steps[PerplexityReport]:
        """Perplexity of a named text or a file."""
        return (yield from self._measure(recipe, (yield from self._text(text)), window, max_windows))

    def _measure(
        self, recipe: Recipe, text: texts.Text, window: int, max_windows: int | None
    ) -> Steps[PerplexityReport]:
        opened = yield from self._open(recipe)
        check_language_model(opened)
        if isinstance(opened, CompressedModel):
            source, model, stored_bits = opened.source, opened.model, opened.report.stored_bits
        else:
            source, model = opened.loaded, opened.loaded.model
            stored_bits = pipeline.dense_stored_bits(source)
        tokens = tokenize(source.tokenizer, text.content)
        report = yield from measure_perplexity(model, tokens, text.source, stored_bits, window, max_windows)
        return dataclasses.replace(report, **provenance(source))

    def _reference(
        self, dense: DenseModel, text: texts.Text, window: int, max_windows: int | None
    ) -> Steps[tuple[PerplexityReport, DenseStates]]:
        """The dense model's perplexity and what entered its head meanwhile; the last answer is remembered."""
        key = (dense.identity, text.source, window, max_windows)
        known = self._references.get(key)
        if known is not None:
            return known
        source = dense.loaded
        tokens = tokenize(source.tokenizer, text.content)
        with dense_states(source.model) as states:
            report = yield from measure_perplexity(
                source.model, tokens, text.source, pipeline.dense_stored_bits(source), window, max_windows
            )
        return self._references.put(key, (dataclasses.replace(report, **provenance(source)), states))

    def _kept_run(self, key: str, kind: type[T]) -> T | None:
        """A cell of a comparison that was measured before, from memory or from the disk."""
        known: T | None = self._results.get(key)
        if known is None:
            known = store.cached_json(_run_file(key), kind)
            if known is not None:
                self._results.put(key, known)
        return known

    def _keep_run(self, key: str, run: T) -> T:
        """Keep a measured cell in memory and on the disk."""
        file = _run_file(key)
        store.write_cached(file, run)
        store.prune(file.parent, MAX_RUN_CACHE_BYTES)
        self._results.put(key, run)
        return run

    def _run(
        self,
        dense: DenseModel,
        recipe: Recipe,
        text: texts.Text,
        window: int,
        max_windows: int | None,
        states: DenseStates,
    ) -> Steps[ComparisonRun]:
        """One cell of a comparison, from the cache or measured now: a comparison that was cut off goes on from there.

        Args:
            dense: the model.
            recipe: resolved.
            text: what is measured on.
            window: tokens a window.
            max_windows: number of windows.
            states: what entered the dense model's head on that text.
        """
        split = recipe.policy, recipe.removed_fraction, recipe.preset, recipe.guards, recipe.pins
        scored = text.source.fingerprint, window, max_windows
        key = yield from self._method_key("run", dense, recipe, recipe.build_method(), split, scored)
        known = self._kept_run(key, ComparisonRun)
        if known is not None:
            return known
        compressed = yield from self._compress(recipe)
        tokens = tokenize(compressed.source.tokenizer, text.content)
        report = compressed.report
        divergence = Divergence(states)
        measured = yield from measure_perplexity(
            compressed.model, tokens, text.source, report.stored_bits, window, max_windows, divergence
        )
        distance = divergence.report()
        run = ComparisonRun(
            **run_facts(recipe, report),
            perplexity=measured.perplexity,
            perplexity_stderr=measured.perplexity_stderr,
            tokens=measured.tokens,
            evaluate_seconds=measured.seconds,
            mean_kl=distance.mean_kl,
            p99_kl=distance.p99_kl,
            top1_agreement=distance.top1_agreement,
            window_losses=measured.window_losses,
        )
        return self._keep_run(key, run)

    @exclusive
    def compare(
        self,
        recipes: tuple[Recipe, ...],
        text: str,
        window: int = 1024,
        max_windows: int | None = 4,
        predict: Predict = "stored",
    ) -> Steps[Comparison]:
        """Measure the dense model and every recipe on one text; all recipes share the model and the calibration text.

        Args:
            recipes: what to measure; recipes that differ in the seed only are calibrated anew, and none but those
                with the first one's seed get a forecast.
            text: name of a text or a file.
            window: tokens a window.
            max_windows: number of windows.
            predict: for which runs the forecast is set beside the measurement.

        Yields:
            Among others, an event of stage ``run`` after every recipe, whose `partial` is its `ComparisonRun`.
        """
        recipes = checked(recipes)
        first = recipes[0]
        scored = yield from self._text(text)
        dense = yield from self._load(first.model_id)
        check_language_model(dense)
        reference, states = yield from self._reference(dense, scored, window, max_windows)
        yield Progress("run", 0, len(recipes), f"dense: perplexity {reference.perplexity:.2f}", reference)
        _, settings = yield from self._calibrate(dense, first)
        assert isinstance(settings, CalibrationSettings)
        runs = []
        for index, recipe in enumerate(recipes):
            run = yield from self._run(dense, recipe, scored, window, max_windows, states)
            if recipe.seed == first.seed:
                loss = reference.negative_log_likelihood
                run = dataclasses.replace(run, **(yield from self._predicted(dense, recipe, loss, predict)))
            runs.append(run)
            label = f"{run.method}, {run.policy}, {run.removed_fraction:.1%} removed"
            if recipe.seed != first.seed:
                label += f", seed {recipe.seed}"
            yield Progress("run", index + 1, len(recipes), f"{label}: perplexity {run.perplexity:.2f}", run)
        return Comparison(
            model_id=dense.loaded.id,
            model_note=dense.loaded.note,
            weights_hash=dense.loaded.weights_hash,
            calibration=settings,
            dense=reference,
            runs=tuple(runs),
            environment=describe_environment(),
        )

    @exclusive
    def generate(self, recipe: Recipe, prompt: str, max_new_tokens: int = 40) -> Steps[Completion]:
        """Continue a prompt greedily; `partial` is the completion so far. A repeated one is answered from memory."""
        key = result_key("generate", recipe, prompt, max_new_tokens)
        known: Completion | None = self._results.get(key)
        if known is not None:
            return known
        opened = yield from self._open(recipe)
        source = check_language_model(opened)
        steps = generate(opened_model(opened), source.tokenizer, prompt, max_new_tokens)
        return self._results.put(key, (yield from steps))

    @exclusive
    def latency(self, recipe: Recipe, prompt_tokens: int = 128, decode_tokens: int = 16) -> Steps[LatencyReport]:
        """Prefill and decode; a compressed model is interleaved with its dense original."""
        opened = yield from self._open(recipe)
        check_language_model(opened)
        dense = (yield from self._original(opened)) if isinstance(opened, CompressedModel) else opened
        if isinstance(opened, CompressedModel):
            subjects = {"dense": dense.loaded.model, "compressed": opened.model}
            stored = {"dense": opened.report.original_bits, "compressed": opened.report.stored_bits}
        else:
            subjects = {"dense": dense.loaded.model}
            stored = {"dense": pipeline.dense_stored_bits(dense.loaded)}
        report = yield from measure_latency(subjects, prompt_tokens, decode_tokens)
        return dataclasses.replace(report, stored_bits=stored, **provenance(dense.loaded))

    @exclusive
    def changes(
        self, recipe: Recipe, text: str, window: int | None = None, max_windows: int | None = MAX_WINDOWS
    ) -> Steps[ChangesReport]:
        """What compression changed on a pasted text; a repeated question is answered from memory.

        Yields:
            Among others, an event of stage ``changes`` a window, whose `partial` is the `DriftReport` so far.
        """
        return (yield from self._changes(recipe, texts.pasted_text(text), window, max_windows))

    @exclusive
    def changes_on(
        self, recipe: Recipe, text: str, window: int | None = None, max_windows: int | None = MAX_WINDOWS
    ) -> Steps[ChangesReport]:
        """The same on a named text or a file."""
        return (yield from self._changes(recipe, (yield from self._text(text)), window, max_windows))

    def _changes(
        self, recipe: Recipe, text: texts.Text, window: int | None, max_windows: int | None
    ) -> Steps[ChangesReport]:
        key = result_key("changes", recipe, text.source, window, max_windows)
        known: ChangesReport | None = self._results.get(key)
        if known is not None:
            return known
        compressed, dense = yield from self._pair(recipe)
        source = check_language_model(compressed)
        tokens = tokenize(source.tokenizer, text.content)
        report = yield from measure_changes(
            dense.loaded.model, compressed.model, source.tokenizer, tokens, text.source, window, max_windows
        )
        return self._results.put(key, with_facts(report, compressed))

    def _pair(self, recipe: Recipe) -> Steps[tuple[CompressedModel, DenseModel]]:
        """A compressed model and the dense one that it was made from.

        Raises:
            UserError: if the recipe names a dense model.
        """
        opened = yield from self._open(recipe)
        if not isinstance(opened, CompressedModel):
            raise UserError(
                f"{opened.loaded.id} is the dense model itself: name a method, or a directory that compress wrote."
            )
        return opened, (yield from self._original(opened))

    def _original(self, compressed: CompressedModel) -> Steps[DenseModel]:
        """The dense model that a compressed one was made from.

        Raises:
            UserError: if its weights have changed.
        """
        dense = yield from self._load(compressed.source.id)
        if dense.loaded.weights_hash != compressed.source.weights_hash:
            raise UserError(f"{compressed.source.id} is not the model this one was made from: its weights differ.")
        return dense

    @exclusive
    def pattern(self, recipe: Recipe, site_name: str) -> Steps[analysis.PatternInfo]:
        """One site as a low-rank and as a dictionary layer of the same budget."""
        dense = yield from self._load(recipe.model_id)
        site = next((site for site in dense.sites if site.name == site_name), None)
        if site is None:
            raise UserError(f"{recipe.model_id} has no site {site_name!r}: choose one from the list.")
        recipe = recipe.resolved()
        self._check_for(dense, recipe)
        inputs, _ = yield from self._calibrate(dense, recipe)
        allocation = yield from self._decide(dense, recipe)
        fraction = allocation.removed_fractions[site_name]
        if fraction <= 0:
            raise UserError(f"{site_name} stays dense at this setting: choose another site or remove more.")
        statistics = inputs.statistics(site.input_group)
        weight = site_weight(dense.loaded.model, site)
        layers: dict[str, CompressedLinear] = {}
        convergence: tuple[float, ...] = ()
        for index, name in enumerate(costs.PATTERN_METHODS):
            yield Progress("pattern", index, 2, f"{name}: {site_name}")
            result = create_method(name).compress(weight, None, statistics, fraction)
            layers[name], convergence = result.layer, result.convergence
        low_rank, dictionary = layers["svd-llm"], layers["compot"]
        assert isinstance(low_rank, LowRankLinear) and isinstance(dictionary, DictionaryLinear)
        errors = {
            name: relative_output_error(weight, layer.dense_weight(), statistics.gram) for name, layer in layers.items()
        }
        return analysis.PatternInfo(
            site=site_name,
            shape=(site.out_features, site.in_features),
            removed_fraction=fraction,
            rank=low_rank.rank,
            num_atoms=dictionary.num_atoms,
            nonzeros_per_column=dictionary.nonzeros_per_column,
            mask_density=_block_density(dictionary.mask().T, 48),
            atom_use=_rounded(dictionary.mask().float().mean(0).sort(descending=True).values),
            convergence=_rounded(torch.tensor(convergence, dtype=torch.float64)),
            low_rank_error=errors["svd-llm"],
            dictionary_error=errors["compot"],
            column=column_info(weight, statistics.whitening(), low_rank, dictionary),
        )

    # --- before the click ---------------------------------------------------------------------------------------

    def prepared(self, recipe: Recipe) -> costs.Prepared:
        """What is in memory already of what a recipe needs."""
        dense = self._models.get(("dense", store.stamp(recipe.model_id)))
        weights = sum(site.num_weights for site in dense.sites) if isinstance(dense, DenseModel) else None
        return costs.Prepared(weights is not None, recipe in self._models, site_weights=weights)

    def models_held(self) -> tuple[ModelHeld, ...]:
        """The models in memory, the oldest first."""
        return tuple(
            ModelHeld(each.source.title, each.report.plan.method, bytes_in_memory(each))
            if isinstance(each, CompressedModel)
            else ModelHeld(each.loaded.title, DENSE, bytes_in_memory(each))
            for each in self._models.values()
        )

    def is_cached(self, recipe: Recipe, text: str, window: int = 256, max_windows: int | None = 8) -> bool:
        """Whether `perplexity` would answer from memory."""
        return self._perplexity_key(recipe, texts.pasted_text(text), window, max_windows) in self._results

    def is_generated(self, recipe: Recipe, prompt: str, max_new_tokens: int = 40) -> bool:
        """Whether `generate` would answer from memory."""
        return result_key("generate", recipe, prompt, max_new_tokens) in self._results


def result_key(task: str, recipe: Recipe, *question: Any) -> str:
    """The key of a result: everything it depends on, the files behind the recipe's names included."""
    files = store.stamp(recipe.model_id), store.stamp(recipe.calibration_text)
    return store.content_key(task, code_version(), recipe, files, *question)


def _run_file(key: str) -> Path:
    return store.root() / "runs" / f"{key}.json"


def checked(recipes: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
    """Recipes resolved, each once.

    Raises:
        UserError: if one cannot be carried out.
    """
    for recipe in recipes:
        recipe.check()
        recipe.build_method()
    return tuple(dict.fromkeys(recipe.resolved() for recipe in recipes))


def run_facts(recipe: Recipe, report: CompressionReport) -> dict[str, Any]:
    """The fields of a `MeasuredRun` that do not depend on what is measured."""
    return {
        "method": recipe.method,
        "policy": recipe.policy,
        "removed_fraction_target": recipe.removed_fraction,
        "removed_fraction": report.removed_fraction,
        "whole_model_removed_fraction": report.whole_model_removed_fraction,
        "stored_bits": report.stored_bits,
        "site_stored_bits": report.site_stored_bits,
        "compress_seconds": report.compress_seconds,
        "calibration_seconds": report.calibration_seconds,
        "calibration_reused": report.calibration_reused,
        "settings": report.plan.settings,
        "stages": report.stages,
        "sites": report.sites,
        "warning": METHODS[recipe.method].warning,
        "notes": report.notes,
        "seed": recipe.seed,
    }


def provenance(source: LoadedModel) -> dict[str, Any]:
    """What every report says about the weights behind it."""
    return {
        "model_id": source.id,
        "model_note": source.note,
        "weights_hash": source.weights_hash,
        "notes": source.notes,
    }


def with_facts(report: ChangesReport, compressed: CompressedModel) -> ChangesReport:
    """A report with what it says about the weights behind it, and how they were compressed."""
    facts, made = provenance(compressed.source), compressed.report
    return dataclasses.replace(
        report,
        method=made.plan.method,
        policy=made.plan.allocation.policy,
        removed_fraction=made.removed_fraction,
        **facts | {"notes": (*facts["notes"], *report.notes)},
    )


def check_language_model(opened: CompressedModel | DenseModel) -> LoadedModel:
    """The loaded model of either, unless it is a speech model.

    Raises:
        UserError: if it is one.
    """
    source = opened.source if isinstance(opened, CompressedModel) else opened.loaded
    source.check_language()
    return source


def opened_model(opened: CompressedModel | DenseModel) -> Any:
    """The torch module of either."""
    return opened.model if isinstance(opened, CompressedModel) else opened.loaded.model


def _identity(loaded: LoadedModel) -> str:
    tokenizer = loaded.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return store.content_key(loaded.weights_hash, loaded.model.config.to_json_string(), words)


def _made_from(compressed: CompressedModel, dense: DenseModel, settings: AnyCalibration) -> bool:
    """Whether a remembered model still is what its recipe means: files may have changed under their names."""
    plan = compressed.report.plan
    return plan.calibration == settings and plan.weights_hash == dense.loaded.weights_hash


def _read_meta(folder: Path) -> StatisticsMeta | None:
    """What stands beside stored statistics; a damaged entry counts as absent and is made again."""
    if not folder.is_dir():
        return None
    meta = store.cached_json(folder / META_FILE, StatisticsMeta)
    if meta is None:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    store.touch(folder)
    return meta


def _block_density(mask: torch.Tensor, blocks: int) -> tuple[tuple[float, ...], ...]:
    """Average a boolean (k, n) over at most `blocks` × `blocks` tiles."""
    size = (min(blocks, mask.shape[0]), min(blocks, mask.shape[1]))
    tiles = torch.nn.functional.adaptive_avg_pool2d(mask.float()[None, None], size)[0, 0]
    return tuple(_rounded(row) for row in tiles)


def _rounded(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values.tolist())


@cache
def get_workbench(streamed: bool = False) -> SpeechWorkbench:
    """The workbench of this process; with True, the one whose models' weights stay in files."""
    from compression.speech.workbench import SpeechWorkbench

    return SpeechWorkbench(streamed)


__all__ = ["DENSE", "DenseModel", "Recipe", "SiteReport", "Workbench", "finish", "get_workbench"]
