"""Compressed models on disk: safetensors, the configuration, the tokenizer, reports and a model card.

Design:
    - A directory is complete or not there at all, loads without the dense weights and without any code from outside,
      and gives the same logits to the bit on the same machine.
    - It can be given away: paths of this machine stand in `LOCAL_FILE` alone, which is neither pushed nor packed.
    - `RECORD_FILE` holds the hash of every other file and a fingerprint of the logits, for `compression.verification`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from compression import hub, model_card, models, store, texts
from compression.environment import describe_environment
from compression.errors import UserError
from compression.fingerprint import Fingerprint, fingerprint, probe_logits
from compression.layer_types import empty_layer
from compression.model_card import Card
from compression.pipeline import CompressedModel, finish, saved_tensors
from compression.recipe import Recipe
from compression.sites import empty_model, empty_size, site_bias, site_weight
from compression.speech.recordings import RECORDINGS
from compression.tensors import write_safetensors
from compression.types import (
    SPEECH_MODEL_TYPES,
    CompressionReport,
    Environment,
    LinearSite,
    PerplexityReport,
    Progress,
    TranscriptionReport,
)

if TYPE_CHECKING:
    from collections.abc import Container, Generator

    from transformers import PreTrainedModel

REPORT_FILE = "compression.json"
WEIGHTS_FILE = "model.safetensors"
RECIPE_FILE = "recipe.json"
CARD_FILE = "README.md"
RECORD_FILE = "export.json"
LOCAL_FILE = "local.json"
FORMAT_VERSION = 1
LARGEST_FACTOR = 40
"""So many times smaller than its dense form a compressed model is at most; one that claims more is damaged."""
_WANTED = re.compile("|".join(map(re.escape, (REPORT_FILE, RECIPE_FILE, RECORD_FILE, CARD_FILE))))


@dataclass(frozen=True)
class Manifest:
    """What stands beside the tensors.

    Attributes:
        format_version: version of this layout.
        title: the model's name for people.
        note: a caution that belongs wherever its figures appear.
        storage_dtype: format of the tensors that stay dense.
        report: how the model was made.
    """

    format_version: int
    title: str
    note: str
    storage_dtype: str
    report: CompressionReport


@dataclass(frozen=True)
class RecipeFile:
    """What makes the same model again.

    Attributes:
        recipe: what was asked for; a model or a text of somebody's disk goes by its last name, after ``./``.
        weights_hash: SHA-256 of the dense 16-bit weights.
        calibration_fingerprint: SHA-256 of what it was calibrated on; empty without calibration.
        environment: where it was made.
    """

    recipe: Recipe
    weights_hash: str
    calibration_fingerprint: str
    environment: Environment


@dataclass(frozen=True)
class FileRecord:
    """A file as it was written: its name, bytes, and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ExportRecord:
    """What an exported directory is checked against.

    Attributes:
        format_version: version of this layout.
        files: all but the card, which people edit, and `LOCAL_FILE`.
        fingerprint: what the model answered when it was written.
    """

    format_version: int
    files: tuple[FileRecord, ...]
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Local:
    """What is known on this machine alone: the names as they were given, with their paths."""

    model_id: str
    recipe: Recipe | None


def is_compressed_directory(name: str | Path) -> bool:
    """Whether `name` is a directory that `save` wrote; false for whatever cannot be a path."""
    return os.path.isfile(os.path.join(os.path.expanduser(name), REPORT_FILE))


def save(
    compressed: CompressedModel,
    directory: Path,
    measurement: PerplexityReport | TranscriptionReport | None = None,
) -> None:
    """Write a compressed model; the directory appears only when it is complete.

    Args:
        compressed: what to save.
        directory: a path that does not exist yet, or an empty directory.
        measurement: how it was measured, for the card.

    Raises:
        UserError: if the directory is not empty or the disk is full.
    """
    source = compressed.source
    given = Local(compressed.report.plan.model_id, compressed.recipe)
    recipe = given.recipe and without_paths(given.recipe)
    plan = dataclasses.replace(compressed.report.plan, model_id=_public(given.model_id, models.CATALOGUE))
    report = dataclasses.replace(compressed.report, plan=plan)
    environment = describe_environment()
    with store.atomic_directory(directory) as temporary:
        floats = getattr(torch, source.storage_dtype)
        write_safetensors(temporary / WEIGHTS_FILE, saved_tensors(compressed.model), floats)
        compressed.model.config.save_pretrained(temporary)
        if source.feature_extractor:
            source.feature_extractor.save_pretrained(temporary)
            compressed.model.generation_config.save_pretrained(temporary)
        source.tokenizer.save_pretrained(temporary)
        store.write_json(
            temporary / REPORT_FILE,
            Manifest(FORMAT_VERSION, source.title, source.note, source.storage_dtype, report),
        )
        if recipe is not None:
            heard = plan.calibration.fingerprint if plan.calibration else ""
            store.write_json(temporary / RECIPE_FILE, RecipeFile(recipe, plan.weights_hash, heard, environment))
        answer = fingerprint(probe_logits(compressed.model, source))
        store.write_json(temporary / RECORD_FILE, ExportRecord(FORMAT_VERSION, file_records(temporary), answer))
        card = Card(
            Path(directory).name, source.title, source.note, source.is_speech, report, recipe, environment, measurement
        )
        (temporary / CARD_FILE).write_text(model_card.render(card), encoding="utf-8")
        if (given.model_id, given.recipe) != (plan.model_id, recipe):
            store.write_json(temporary / LOCAL_FILE, given)


def without_paths(recipe: Recipe) -> Recipe:
    """A recipe that can be given away: files and folders by their last name, after ``./``."""
    return dataclasses.replace(
        recipe,
        model_id=_public(recipe.model_id, models.CATALOGUE),
        calibration_text=_public(recipe.calibration_text, {*texts.TEXTS, *RECORDINGS}),
    )


def _public(name: str, known: Container[str]) -> str:
    """A name; of something on the disk only the last part."""
    path = os.path.expanduser(name)
    if not name or name in known or not (os.path.exists(path) or os.path.isabs(path)):
        return name
    return f"./{Path(path).resolve().name}"


def file_records(directory: Path) -> tuple[FileRecord, ...]:
    """The files of a directory that `ExportRecord` lists, by name."""
    files = (path for path in directory.iterdir() if path.name not in (CARD_FILE, RECORD_FILE, LOCAL_FILE))
    return tuple(FileRecord(path.name, path.stat().st_size, store.file_hash(path)) for path in sorted(files))


def exported_files(directory: Path) -> tuple[Path, ...]:
    """What of a directory may leave this machine: everything that `save` lists, the list and the card.

    Raises:
        UserError: if the directory was not exported, or a file is missing.
    """
    record = read_record(directory)
    names = [*(file.name for file in record.files), RECORD_FILE, CARD_FILE]
    paths = tuple(directory / name for name in names if Path(name).name == name)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"{directory} is not as it was exported (missing: {', '.join(missing[:3])}): export it again.")
    return paths


def read_record(directory: Path) -> ExportRecord:
    """What a directory is checked against.

    Raises:
        UserError: if it has none.
    """
    if not (directory / RECORD_FILE).is_file():
        raise UserError(
            f"{directory} has no {RECORD_FILE}: a folder that compress or the tab Take away wrote was expected; export "
            "the model again."
        )
    return store.read_json(directory / RECORD_FILE, ExportRecord)


def from_pretrained(name: str | Path) -> CompressedModel:
    """Load a compressed model from a directory or from the Hub.

    Args:
        name: a directory that `save` wrote, or ``owner/name[@revision]`` on the Hub.

    Raises:
        UserError: if there is no such model, it is no compressed one, or the Hub cannot be reached.
    """
    return load(finish(fetch(str(name))))


def fetch(name: str) -> Generator[Progress, None, Path]:
    """The directory of a compressed model, downloaded if it lies on the Hub: sizes checked first, no code, no pickles.

    Raises:
        UserError: if there is no such model, it is no compressed one, or the Hub cannot be reached.
    """
    source = None if name in models.CATALOGUE else models.resolve(name).source
    if isinstance(source, models.DirectorySource):
        path = Path(source.path)
        if not is_compressed_directory(path):
            raise UserError(f"{name} has no {REPORT_FILE}: a folder that compress wrote was expected.")
        return path
    if not isinstance(source, models.HubSource):
        raise UserError(
            f"{name} is a dense model: give a folder that compress wrote, or a compressed model on the Hub as "
            "owner/name."
        )
    repo_id, revision = source.repo_id, source.revision
    if hub.is_commit(revision) and (local := hub.cached(repo_id, revision)):
        return local[0]
    yield Progress("download", 0, 1, f"Asking the Hugging Face Hub for {repo_id}")
    try:
        commit, files = hub.list_model_files(repo_id, revision)
    except hub.HubUnreachableError:
        local = hub.cached(repo_id, revision)
        if local is None:
            raise
        return local[0]
    if REPORT_FILE not in {file.path for file in files}:
        raise UserError(f"{repo_id} has no {REPORT_FILE}: a compressed model that was pushed from here was expected.")
    wanted = tuple(f for f in files if models.is_model_file(f.path) or _WANTED.fullmatch(f.path))
    return (yield from hub.fetch_files(repo_id, commit, wanted, revision=revision))


def load(directory: Path) -> CompressedModel:
    """Read a model that `save` wrote.

    Raises:
        UserError: if the directory is incomplete or damaged.
    """
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig, WhisperFeatureExtractor

    manifest = store.read_json(directory / REPORT_FILE, Manifest)
    if manifest.format_version != FORMAT_VERSION:
        raise UserError(
            f"{directory} has format version {manifest.format_version}: expected {FORMAT_VERSION}; compress it again."
        )
    given = store.read_json(directory / LOCAL_FILE, Local) if (directory / LOCAL_FILE).is_file() else None
    recipe = given.recipe if given else None
    if recipe is None and (directory / RECIPE_FILE).is_file():
        recipe = store.read_json(directory / RECIPE_FILE, RecipeFile).recipe
    report = manifest.report
    if given:
        report = dataclasses.replace(report, plan=dataclasses.replace(report.plan, model_id=given.model_id))
    models.check_config(str(directory), directory)
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
        tensors = load_file(directory / WEIGHTS_FILE)
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
        feature_extractor, generation_config = None, None
        if config.model_type in SPEECH_MODEL_TYPES:
            feature_extractor = WhisperFeatureExtractor.from_pretrained(directory, local_files_only=True)
            generation_config = GenerationConfig.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{directory} is not a complete compressed model ({error}): compress it again.") from error
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if 2 * empty_size(config) > LARGEST_FACTOR * held:
        raise UserError(f"{directory} is damaged (its tensors do not fit its configuration): compress it again.")
    model = _assemble(empty_model(config), report, tensors, directory)
    if generation_config:
        model.generation_config = generation_config
    plan = report.plan
    source = models.LoadedModel(
        id=plan.model_id,
        title=manifest.title,
        note=manifest.note,
        model=model,
        tokenizer=tokenizer,
        weights_hash=plan.weights_hash,
        storage_dtype=manifest.storage_dtype,
        feature_extractor=feature_extractor,
    )
    return CompressedModel(source, model, report, recipe)


def _assemble(
    model: PreTrainedModel, report: CompressionReport, tensors: dict[str, torch.Tensor], directory: Path
) -> PreTrainedModel:
    """Put empty compressed layers where the report says, then fill everything from `tensors`."""
    for site in report.sites:
        if site.representation == "dense":
            continue
        out_features, in_features = site.shape
        linear = LinearSite(site.name, site.block, site.projection, out_features, in_features, "")
        try:
            if site_weight(model, linear).shape != site.shape or max(site.quantities.values()) > max(site.shape):
                raise KeyError(site.name)
            bias = site_bias(model, linear)
            layer = empty_layer(site.representation, in_features, out_features, bias, site.quantities)
        except (KeyError, AttributeError, ValueError) as error:
            raise UserError(
                f"{directory} is damaged (its report does not fit {site.name}): compress it again."
            ) from error
        model.set_submodule(site.name, layer)
    try:
        outcome = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise UserError(f"{directory} is damaged (its tensors do not fit its report): compress it again.") from error
    tied = set(getattr(model, "all_tied_weights_keys", {}))
    missing = set(outcome.missing_keys) - tied
    if missing or outcome.unexpected_keys:
        names = ", ".join(sorted(missing | set(outcome.unexpected_keys))[:3])
        raise UserError(f"{directory} is damaged (missing or unexpected tensors: {names}): compress it again.")
    model.tie_weights()
    return model.eval()
