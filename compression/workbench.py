"""The one place where the command line and the app get work done: models, statistics and results, each made once.

Every public generator yields `Progress` events and returns its result; closing it cancels. Heavy work of one process
is serialised. Dense models are shared and never changed.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cache, wraps
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from compression import analysis, costs, export, models, pipeline, store, texts
from compression.accounting import check_removed_fraction
from compression.allocation import Guards, Spectra, allocate
from compression.calibration import Calibration, calibration_sequences, collect
from compression.environment import code_version, describe_environment
from compression.errors import UserError
from compression.evaluation.generation import generate
from compression.evaluation.latency import measure_latency
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.linalg import singular_values
from compression.methods import METHODS, CompressionMethod, create_method
from compression.models import LoadedModel
from compression.modules import CompressedLinear, DictionaryLinear
from compression.parallel import parallel_map
from compression.pipeline import CompressedModel, finish
from compression.recent import Recent
from compression.sites import find_sites, site_weight
from compression.types import (
    Allocation,
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    CompressionPlan,
    CompressionReport,
    LatencyReport,
    LinearSite,
    PerplexityReport,
    Progress,
    SiteReport,
)

T = TypeVar("T")
P = ParamSpec("P")

DENSE = "dense"
"""The method name that stands for "not compressed"."""
MAX_CALIBRATION_CACHE_BYTES = 4 * 2**30
SLIDER = tuple(step / 100 for step in range(96))
"""Removed fractions at which allocations are tabulated: 0 to 0.95 in steps of 0.01."""


@dataclass(frozen=True)
class Recipe:
    """Names one model to look at: what to compress and how. Hashable, so that it can key a cache.

    Attributes:
        model_id: catalogue id, Hub id, directory, or a directory written by ``compress``.
        method: a name in `METHODS`, or ``dense``.
        policy: a name in `POLICIES`.
        removed_fraction: over the compressible sites, in [0, 0.95].
        calibration_text: name of a text or a file.
        num_sequences: calibration sequences.
        sequence_length: tokens a calibration sequence.
        iterations: alternations of an iterative method; None for its default.
        atoms_per_nonzero: k/s of a dictionary method; None for its default.
        guards: bounds on what a site may lose.
    """

    model_id: str
    method: str = DENSE
    policy: str = "uniform"
    removed_fraction: float = 0.0
    calibration_text: str = "sotu-calibration"
    num_sequences: int = 32
    sequence_length: int = 512
    iterations: int | None = None
    atoms_per_nonzero: float | None = None
    guards: Guards = Guards()

    @property
    def is_dense(self) -> bool:
        """Whether nothing is compressed."""
        return self.method == DENSE

    def method_settings(self) -> dict[str, Any]:
        """The settings given here that the method has; the rest does not concern it."""
        given = {"iterations": self.iterations, "atoms_per_nonzero": self.atoms_per_nonzero}
        known = {field.name for field in dataclasses.fields(METHODS[self.method])} if self.method in METHODS else set()
        return {name: value for name, value in given.items() if name in known and value is not None}

    def build_method(self) -> CompressionMethod:
        """The method with its settings.

        Raises:
            UserError: if there is no such method (``dense`` is none), or a setting is out of range.
        """
        return create_method(self.method, **self.method_settings())

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is loaded.

        Raises:
            UserError: for an unknown method or policy, or a number out of range.
        """
        check_removed_fraction(self.removed_fraction)
        allocate(self.policy, (), {}, 0.0)
        if not self.is_dense:
            self.build_method()
        for name, value in (("calibration sequences", self.num_sequences), ("sequence length", self.sequence_length)):
            if not 1 <= value <= 65536:
                raise UserError(f"The number for {name} must be from 1 to 65536, but {value} was given.")


@dataclass(frozen=True)
class DenseModel:
    """A loaded model with its sites.

    Attributes:
        loaded: the model.
        sites: its compressible layers.
        identity: content key of everything a result depends on: weights, configuration and tokenizer.
    """

    loaded: LoadedModel
    sites: tuple[LinearSite, ...]
    identity: str


Steps = Generator[Progress, None, T]


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

    def __init__(self) -> None:
        """Start with empty caches; nothing is loaded."""
        self._busy = threading.Lock()
        self._dense: Recent[DenseModel] = Recent(2)
        self._compressed: Recent[CompressedModel] = Recent(2)
        self._calibrations: Recent[Calibration] = Recent(1)
        self._spectra: Recent[Spectra] = Recent(4)
        self._texts: Recent[texts.Text] = Recent(4)
        self._results: Recent[Any] = Recent(256)

    # --- models -------------------------------------------------------------------------------------------------

    @exclusive
    def model_info(self, model_id: str) -> Steps[analysis.ModelInfo]:
        """Load a model and describe it."""
        return self._info((yield from self._load(model_id)))

    def _load(self, model_id: str) -> Steps[DenseModel]:
        key = _on_disk(model_id)
        known = self._dense.get(key)
        if known is not None:
            return known
        if export.is_compressed_directory(model_id):
            raise UserError(f"{model_id} is compressed already: name the dense model it was made from.")
        loaded = yield from models.load(model_id)
        return self._dense.put(key, DenseModel(loaded, find_sites(loaded.model), _identity(loaded)))

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

    # --- statistics ---------------------------------------------------------------------------------------------

    def _calibrate(self, dense: DenseModel, recipe: Recipe) -> Steps[tuple[Calibration, CalibrationSettings]]:
        text = yield from self._text(recipe.calibration_text)
        settings = CalibrationSettings(text.source, recipe.num_sequences, recipe.sequence_length)
        key = store.content_key("calibration", code_version(), dense.identity, settings)
        known = self._calibrations.get(key)
        if known is not None:
            return dataclasses.replace(known, reused=True), settings
        file = store.root() / "calibrations" / f"{key}.safetensors"
        stored = _read_calibration(file, key)
        if stored is not None:
            return self._calibrations.put(key, stored), settings
        context = getattr(dense.loaded.model.config, "max_position_embeddings", None)
        if context is not None and settings.sequence_length > context:
            raise UserError(
                f"Calibration sequences of {settings.sequence_length} tokens are longer than the model's context of "
                f"{context}: ask for shorter ones."
            )
        tokens = tokenize(dense.loaded.tokenizer, text.content)
        sequences = calibration_sequences(tokens, settings.num_sequences, settings.sequence_length)
        calibration = yield from collect(dense.loaded.model, dense.sites, sequences, key)
        with store.atomic_file(file) as temporary:
            metadata = {"num_tokens": str(calibration.num_tokens), "seconds": repr(calibration.seconds)}
            save_file(calibration.grams, temporary, metadata)
        store.prune(file.parent, MAX_CALIBRATION_CACHE_BYTES)
        return self._calibrations.put(key, calibration), settings

    def _singular_values(self, dense: DenseModel) -> Steps[Spectra]:
        key = dense.loaded.weights_hash
        known = self._spectra.get(key)
        if known is not None:
            return known
        file = store.root() / "spectra" / f"{store.content_key('spectra', code_version(), key)}.safetensors"
        if file.is_file():
            try:
                return self._spectra.put(key, load_file(file))
            except (SafetensorError, OSError):
                file.unlink(missing_ok=True)
        spectra = yield from pipeline.measure_spectra(dense.loaded.model, dense.sites)
        with store.atomic_file(file) as temporary:
            save_file(spectra, temporary)
        return self._spectra.put(key, spectra)

    @exclusive
    def analyze(
        self,
        model_id: str,
        calibration_text: str = "sotu-calibration",
        num_sequences: int = 32,
        sequence_length: int = 512,
        policies: tuple[str, ...] = ("uniform", "pooled"),
    ) -> Steps[analysis.AnalysisInfo]:
        """Spectra of every site, plain and whitened, and the allocation at every slider position."""
        recipe = Recipe(
            model_id,
            calibration_text=calibration_text,
            num_sequences=num_sequences,
            sequence_length=sequence_length,
        )
        recipe.check()
        dense = yield from self._load(model_id)
        calibration, settings = yield from self._calibrate(dense, recipe)
        plain = yield from self._singular_values(dense)

        def whiten_group(group: list[LinearSite]) -> list[tuple[str, torch.Tensor]]:
            whitening = calibration.statistics(group[0].input_group).whitening
            model = dense.loaded.model
            return [(s.name, singular_values(whitening.whiten(site_weight(model, s).T))) for s in group]

        whitened: dict[str, torch.Tensor] = {}
        with closing(parallel_map(whiten_group, pipeline.sites_by_input(dense.sites))) as results:
            for name, values in chain.from_iterable(results):
                whitened[name] = values
                yield Progress("analyze", len(whitened), len(dense.sites), f"whitened spectrum of {name}")
        spectra = [analysis.spectrum_info(s, plain[s.name].tolist(), whitened[s.name].tolist()) for s in dense.sites]
        allocations = {
            policy: tuple(
                tuple(round(f, 4) for f in allocate(policy, dense.sites, plain, target).removed_fractions.values())
                for target in SLIDER
            )
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
        dense = yield from self._load(recipe.model_id)
        return self._info(dense), (yield from self._allocate(dense, recipe))

    def _allocate(self, dense: DenseModel, recipe: Recipe) -> Steps[Allocation]:
        spectra: Spectra = {}
        if recipe.policy != "uniform":
            spectra = yield from self._singular_values(dense)
        return allocate(recipe.policy, dense.sites, spectra, recipe.removed_fraction, recipe.guards)

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

    def _compress(self, recipe: Recipe) -> Steps[CompressedModel]:
        recipe.check()
        method = recipe.build_method()
        dense = yield from self._load(recipe.model_id)
        text = yield from self._text(recipe.calibration_text)
        known = self._compressed.get(recipe)
        if known is not None and _made_from(known, dense, text):
            return known
        calibration, settings = yield from self._calibrate(dense, recipe)
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
        compressed = yield from pipeline.compress(dense.loaded, dense.sites, plan, calibration)
        report = dataclasses.replace(
            compressed.report,
            compress_seconds=time.perf_counter() - started,
            stages=compressed.report.stages | {"allocation": allocated - started},
        )
        return self._compressed.put(recipe, dataclasses.replace(compressed, report=report))

    def _open(self, recipe: Recipe) -> Steps[CompressedModel | DenseModel]:
        """The model a recipe names: dense, compressed, or read from a directory that ``compress`` wrote."""
        if recipe.is_dense and export.is_compressed_directory(recipe.model_id):
            directory = Path(recipe.model_id).expanduser()
            yield Progress("load", 0, 1, f"reading {directory}")
            return export.load(directory)
        if recipe.is_dense:
            return (yield from self._load(recipe.model_id))
        return (yield from self._compress(recipe))

    # --- measurements -------------------------------------------------------------------------------------------

    def _perplexity_key(self, recipe: Recipe, text: texts.Text, window: int, max_windows: int | None) -> str:
        files = _on_disk(recipe.model_id), _on_disk(recipe.calibration_text)
        return store.content_key(
            "perplexity", code_version(), recipe, files, text.source.fingerprint, window, max_windows
        )

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
        if isinstance(opened, CompressedModel):
            source, model, stored_bits = opened.source, opened.model, opened.report.stored_bits
        else:
            source, model = opened.loaded, opened.loaded.model
            stored_bits = pipeline.dense_stored_bits(source)
        tokens = tokenize(source.tokenizer, text.content)
        report = yield from measure_perplexity(model, tokens, text.source, stored_bits, window, max_windows)
        return dataclasses.replace(report, **_provenance(source))

    @exclusive
    def run(self, recipe: Recipe, text: str, window: int = 1024, max_windows: int | None = 4) -> Steps[ComparisonRun]:
        """Compress and measure on a named text or a file."""
        return (yield from self._run(recipe, (yield from self._text(text)), window, max_windows))

    def _run(self, recipe: Recipe, text: texts.Text, window: int, max_windows: int | None) -> Steps[ComparisonRun]:
        key = ("run", self._perplexity_key(recipe, text, window, max_windows))
        known: ComparisonRun | None = self._results.get(key)
        if known is not None:
            return known
        compressed = yield from self._compress(recipe)
        tokens = tokenize(compressed.source.tokenizer, text.content)
        report = compressed.report
        measured = yield from measure_perplexity(
            compressed.model, tokens, text.source, report.stored_bits, window, max_windows
        )
        run = ComparisonRun(
            method=recipe.method,
            policy=recipe.policy,
            removed_fraction_target=recipe.removed_fraction,
            removed_fraction=report.removed_fraction,
            whole_model_removed_fraction=report.whole_model_removed_fraction,
            stored_bits=report.stored_bits,
            site_stored_bits=report.site_stored_bits,
            perplexity=measured.perplexity,
            perplexity_stderr=measured.perplexity_stderr,
            tokens=measured.tokens,
            compress_seconds=report.compress_seconds,
            calibration_seconds=report.calibration_seconds,
            calibration_reused=report.calibration_reused,
            evaluate_seconds=measured.seconds,
            settings=report.plan.settings,
            stages=report.stages,
            sites=report.sites,
            warning=METHODS[recipe.method].warning,
            notes=report.notes,
        )
        return self._results.put(key, run)

    @exclusive
    def compare(
        self, recipes: tuple[Recipe, ...], text: str, window: int = 1024, max_windows: int | None = 4
    ) -> Steps[Comparison]:
        """Measure the dense model and every recipe on one text; all recipes share model and calibration.

        Yields:
            Among others, an event of stage ``run`` after every recipe, whose `partial` is its `ComparisonRun`.
        """
        for recipe in recipes:
            recipe.check()
            recipe.build_method()
        first = recipes[0]
        scored = yield from self._text(text)
        dense = yield from self._load(first.model_id)
        reference = yield from self._measure(Recipe(first.model_id), scored, window, max_windows)
        yield Progress("run", 0, len(recipes), f"dense: perplexity {reference.perplexity:.2f}", reference)
        _, settings = yield from self._calibrate(dense, first)
        runs = []
        for index, recipe in enumerate(recipes):
            run = yield from self._run(recipe, scored, window, max_windows)
            runs.append(run)
            label = f"{run.method}, {run.policy}, {run.removed_fraction:.1%} removed"
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
    def generate(self, recipe: Recipe, prompt: str, max_new_tokens: int = 40) -> Steps[str]:
        """Continue a prompt greedily; `partial` is the completion so far."""
        opened = yield from self._open(recipe)
        source = opened.source if isinstance(opened, CompressedModel) else opened.loaded
        return (yield from generate(opened_model(opened), source.tokenizer, prompt, max_new_tokens))

    @exclusive
    def latency(self, recipe: Recipe, prompt_tokens: int = 128, decode_tokens: int = 16) -> Steps[LatencyReport]:
        """Prefill and decode; a compressed model is interleaved with its dense original."""
        opened = yield from self._open(recipe)
        dense = (yield from self._load(opened.source.id)) if isinstance(opened, CompressedModel) else opened
        if isinstance(opened, CompressedModel):
            if dense.loaded.weights_hash != opened.source.weights_hash:
                raise UserError(f"{opened.source.id} is not the model this one was made from: its weights differ.")
            subjects = {"dense": dense.loaded.model, "compressed": opened.model}
        else:
            subjects = {"dense": dense.loaded.model}
        report = yield from measure_latency(subjects, prompt_tokens, decode_tokens)
        return dataclasses.replace(report, **_provenance(dense.loaded))

    @exclusive
    def pattern(self, recipe: Recipe, site_name: str) -> Steps[analysis.PatternInfo]:
        """One site as a low-rank and as a dictionary layer of the same budget."""
        dense = yield from self._load(recipe.model_id)
        site = next((site for site in dense.sites if site.name == site_name), None)
        if site is None:
            raise UserError(f"{recipe.model_id} has no site {site_name!r}: choose one from the list.")
        calibration, _ = yield from self._calibrate(dense, recipe)
        allocation = yield from self._allocate(dense, recipe)
        fraction = allocation.removed_fractions[site_name]
        if fraction <= 0:
            raise UserError(f"{site_name} stays dense at this setting: choose another site or remove more.")
        statistics = calibration.statistics(site.input_group)
        weight = site_weight(dense.loaded.model, site)
        layers: dict[str, CompressedLinear] = {}
        convergence: tuple[float, ...] = ()
        for index, name in enumerate(("svd-llm", "compot")):
            yield Progress("pattern", index, 2, f"{name}: {site_name}")
            result = create_method(name).compress(weight, None, statistics, fraction)
            layers[name], convergence = result.layer, result.convergence
        dictionary = layers["compot"]
        assert isinstance(dictionary, DictionaryLinear)
        errors = {
            name: pipeline.relative_output_error(weight, layer.dense_weight(), statistics.gram)
            for name, layer in layers.items()
        }
        return analysis.PatternInfo(
            site=site_name,
            shape=(site.out_features, site.in_features),
            removed_fraction=fraction,
            rank=layers["svd-llm"].spec()["rank"],
            num_atoms=dictionary.num_atoms,
            nonzeros_per_column=dictionary.nonzeros_per_column,
            mask_density=_block_density(dictionary.mask().T, 48),
            atom_use=_rounded(dictionary.mask().float().mean(0).sort(descending=True).values),
            convergence=_rounded(torch.tensor(convergence, dtype=torch.float64)),
            low_rank_error=errors["svd-llm"],
            dictionary_error=errors["compot"],
        )

    # --- before the click ---------------------------------------------------------------------------------------

    def prepared(self, recipe: Recipe) -> costs.Prepared:
        """What is in memory already of what a recipe needs."""
        dense = self._dense.get(_on_disk(recipe.model_id))
        weights = sum(site.num_weights for site in dense.sites) if dense else None
        compressed = recipe in self._compressed
        return costs.Prepared(dense is not None, compressed, site_weights=weights)

    def is_cached(self, recipe: Recipe, text: str, window: int = 256, max_windows: int | None = 8) -> bool:
        """Whether `perplexity` would answer from memory."""
        return self._perplexity_key(recipe, texts.pasted_text(text), window, max_windows) in self._results


def _provenance(source: LoadedModel) -> dict[str, Any]:
    """What every report says about the weights behind it."""
    return {
        "model_id": source.id,
        "model_note": source.note,
        "weights_hash": source.weights_hash,
        "notes": source.notes,
    }


def opened_model(opened: CompressedModel | DenseModel) -> Any:
    """The torch module of either."""
    return opened.model if isinstance(opened, CompressedModel) else opened.loaded.model


def _on_disk(name: str) -> tuple[Any, ...]:
    """A name and, where it is a file or directory, the sizes and times of its files: changed files are new ones."""
    path = os.path.expanduser(name)
    if not os.path.exists(path):
        return (name,)
    try:
        entries = [path] if os.path.isfile(path) else [entry.path for entry in os.scandir(path)]
        stats = [(entry, os.stat(entry)) for entry in sorted(entries)]
    except OSError:
        return (name,)  # loading it says what is wrong
    return (name, *((entry, stat.st_size, stat.st_mtime_ns) for entry, stat in stats))


def _identity(loaded: LoadedModel) -> str:
    tokenizer = loaded.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return store.content_key(loaded.weights_hash, loaded.model.config.to_json_string(), words)


def _made_from(compressed: CompressedModel, dense: DenseModel, text: texts.Text) -> bool:
    """Whether a remembered model still is what its recipe means: files may have changed under their names."""
    plan = compressed.report.plan
    same_text = plan.calibration is not None and plan.calibration.text.fingerprint == text.source.fingerprint
    return same_text and plan.weights_hash == dense.loaded.weights_hash


def _read_calibration(file: Path, key: str) -> Calibration | None:
    """A calibration from the cache; a damaged file counts as absent and is made again."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata()
            grams = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError):
        file.unlink(missing_ok=True)
        return None
    store.touch(file)
    return Calibration(grams, int(metadata["num_tokens"]), key, float(metadata["seconds"]), reused=True)


def _block_density(mask: torch.Tensor, blocks: int) -> tuple[tuple[float, ...], ...]:
    """Average a boolean (k, n) over at most `blocks` × `blocks` tiles."""
    size = (min(blocks, mask.shape[0]), min(blocks, mask.shape[1]))
    tiles = torch.nn.functional.adaptive_avg_pool2d(mask.float()[None, None], size)[0, 0]
    return tuple(_rounded(row) for row in tiles)


def _rounded(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values.tolist())


@cache
def get_workbench() -> Workbench:
    """The workbench of this process."""
    return Workbench()


__all__ = ["DENSE", "DenseModel", "Recipe", "SiteReport", "Workbench", "finish", "get_workbench"]
