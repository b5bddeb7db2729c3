"""Compressed models on disk: safetensors, the configuration, the tokenizer and one JSON report.

A directory is complete or not there at all, loads without the dense weights and without any code from outside, and
gives the same logits to the bit on the same machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from compression import store
from compression.errors import UserError
from compression.modules import LAYER_TYPES
from compression.pipeline import CompressedModel, tensors_to_save
from compression.sites import empty_model, site_bias
from compression.types import SPEECH_MODEL_TYPES, CompressionReport, LinearSite

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REPORT_FILE = "compression.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT_VERSION = 1


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


def is_compressed_directory(name: str | Path) -> bool:
    """Whether `name` is a directory that `save` wrote; false for whatever cannot be a path."""
    return os.path.isfile(os.path.join(os.path.expanduser(name), REPORT_FILE))


def save(compressed: CompressedModel, directory: Path) -> None:
    """Write a compressed model; the directory appears only when it is complete.

    Args:
        compressed: what to save.
        directory: a path that does not exist yet, or an empty directory.

    Raises:
        UserError: if the directory is not empty or the disk is full.
    """
    source = compressed.source
    manifest = Manifest(FORMAT_VERSION, source.title, source.note, source.storage_dtype, compressed.report)
    with store.atomic_directory(directory) as temporary:
        tensors = tensors_to_save(compressed.model, source.storage_dtype)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary / WEIGHTS_FILE)
        compressed.model.config.save_pretrained(temporary)
        if source.feature_extractor:
            source.feature_extractor.save_pretrained(temporary)
            compressed.model.generation_config.save_pretrained(temporary)
        source.tokenizer.save_pretrained(temporary)
        store.write_json(temporary / REPORT_FILE, manifest)


def load(directory: Path) -> CompressedModel:
    """Read a model that `save` wrote.

    Raises:
        UserError: if the directory is incomplete or damaged.
    """
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig, WhisperFeatureExtractor

    from compression.models import LoadedModel

    manifest = store.read_json(directory / REPORT_FILE, Manifest)
    if manifest.format_version != FORMAT_VERSION:
        raise UserError(
            f"{directory} has format version {manifest.format_version}: expected {FORMAT_VERSION}; compress it again."
        )
    report = manifest.report
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
    model = _assemble(empty_model(config), report, tensors, directory)
    if generation_config:
        model.generation_config = generation_config
    plan = report.plan
    source = LoadedModel(
        id=plan.model_id,
        title=manifest.title,
        note=manifest.note,
        model=model,
        tokenizer=tokenizer,
        weights_hash=plan.weights_hash,
        storage_dtype=manifest.storage_dtype,
        feature_extractor=feature_extractor,
    )
    return CompressedModel(source, model, report)


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
            layer_type = LAYER_TYPES[site.representation]
            layer = layer_type.empty(in_features, out_features, site_bias(model, linear), **site.quantities)
        except (KeyError, AttributeError) as error:
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
