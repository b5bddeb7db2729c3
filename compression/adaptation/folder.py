"""Adapted models on disk: safetensors, configuration, tokenizer and the run they come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from compression import pipeline, store
from compression.adaptation.structure import ModelStructure, structure_of
from compression.adaptation.types import AdaptRun
from compression.errors import UserError
from compression.models import LoadedModel, weights_hash
from compression.modules import ShrunkLinear
from compression.tensors import write_safetensors

RUN_FILE = "adaptation.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class LayerForm:
    """What stands in a layer's place.

    Attributes:
        biased: whether it has a bias.
        shrunk: sizes of a `ShrunkLinear`; None for a plain linear layer.
    """

    biased: bool
    shrunk: dict[str, int] | None


@dataclass(frozen=True)
class AdaptedFolder:
    """What stands beside the tensors.

    Attributes:
        format_version: version of this layout.
        layers: name → form of every layer of the structure.
        run: the run that made it.
    """

    format_version: int
    layers: dict[str, LayerForm]
    run: AdaptRun


def forms_of(model: PreTrainedModel, structure: ModelStructure) -> dict[str, LayerForm]:
    """The form of every layer of the structure."""
    forms = {}
    for name in structure.layers:
        layer: Any = model.get_submodule(name)
        forms[name] = LayerForm(layer.bias is not None, layer.spec() if isinstance(layer, ShrunkLinear) else None)
    return forms


STORAGE_DTYPE = "float32"
"""Adapted models are kept as they were trained."""
EXPORTED_DTYPE = "float16"
"""And in 16 bits where they go on as compressed models."""


def stored_bits(model: nn.Module) -> int:
    """Bits of the saved tensors."""
    return pipeline.stored_bits(model, 8 * getattr(torch, STORAGE_DTYPE).itemsize)


def save(model: PreTrainedModel, tokenizer: Any, run: AdaptRun, directory: Path) -> None:
    """Write a deployed model; the directory appears only when it is complete.

    Raises:
        UserError: if the directory is not empty or the disk is full.
    """
    with store.atomic_directory(directory) as temporary:
        write_safetensors(temporary / WEIGHTS_FILE, pipeline.saved_tensors(model), getattr(torch, STORAGE_DTYPE))
        model.config.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        forms = forms_of(model, structure_of(model))
        store.write_json(temporary / RUN_FILE, AdaptedFolder(FORMAT_VERSION, forms, run))


def load(directory: Path) -> tuple[PreTrainedModel, AdaptRun]:
    """Read a model that `save` wrote, in evaluation mode.

    Raises:
        UserError: if the directory is none, incomplete or damaged.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    if not (directory / RUN_FILE).is_file():
        raise UserError(f"{directory} has no {RUN_FILE}: a folder that adapt wrote was expected.")
    about = store.read_json(directory / RUN_FILE, AdaptedFolder)
    if about.format_version != FORMAT_VERSION:
        raise UserError(
            f"{directory} has format version {about.format_version}: expected {FORMAT_VERSION}; adapt the model again."
        )
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
        tensors = load_file(directory / WEIGHTS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{directory} is not a complete adapted model ({error}): adapt the model again.") from error
    classifies = about.run.score.accuracy is not None
    kind: Any = AutoModelForSequenceClassification if classifies else AutoModelForCausalLM
    model: PreTrainedModel = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    try:
        for name, form in about.layers.items():
            plain: Any = model.get_submodule(name)
            sizes = plain.in_features, plain.out_features
            if form.shrunk is not None:
                bias = torch.zeros(sizes[1]) if form.biased else None
                model.set_submodule(name, ShrunkLinear.empty(*sizes, bias, **form.shrunk))
            elif form.biased and plain.bias is None:
                plain.bias = nn.Parameter(torch.zeros(sizes[1]))
        outcome = model.load_state_dict(tensors, strict=False)
    except (AttributeError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{directory} is damaged (its tensors do not fit its report): adapt the model again."
        ) from error
    missing = set(outcome.missing_keys) - set(getattr(model, "all_tied_weights_keys", {}))
    if missing or outcome.unexpected_keys:
        names = ", ".join(sorted(missing | set(outcome.unexpected_keys))[:3])
        raise UserError(f"{directory} is damaged (missing or unexpected tensors: {names}): adapt the model again.")
    model.tie_weights()
    return model.eval(), about.run


def is_adapted_directory(name: str | Path) -> bool:
    """Whether `name` is a directory that `save` wrote; false for whatever cannot be a path."""
    return os.path.isfile(os.path.join(os.path.expanduser(name), RUN_FILE))


def load_language_model(directory: Path) -> LoadedModel:
    """A language model that was adapted, with its values in 16 bits, for whatever works on compressed models.

    Every layer that can lose rows and columns becomes a `ShrunkLinear`, those that lost none too: so their trained
    biases are stored with them.

    Raises:
        UserError: if the directory is damaged, or holds a classifier.
    """
    from transformers import AutoTokenizer

    model, run = load(directory)
    if run.score.accuracy is not None:
        raise UserError(f"{directory} holds a classifier, and has no perplexity of a text: name a language model.")
    for name in structure_of(model).layers:
        layer: Any = model.get_submodule(name)
        model.set_submodule(name, _in_16_bits(layer))
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
    title = f"{run.settings.model_id}, adapted by {run.method}"
    return LoadedModel(
        id=str(directory),
        title=title,
        note=run.model_note,
        model=model,
        tokenizer=tokenizer,
        weights_hash=weights_hash(model, EXPORTED_DTYPE),
        storage_dtype=EXPORTED_DTYPE,
        notes=run.notes,
    )


def _in_16_bits(layer: Any) -> ShrunkLinear:
    if isinstance(layer, ShrunkLinear):
        return layer.stored_as(torch.float16)
    rows, columns = (torch.ones(size, dtype=torch.bool) for size in layer.weight.shape)
    bias = None if layer.bias is None else layer.bias.detach()
    return ShrunkLinear(layer.weight.detach(), bias, rows, columns, rows, columns, torch.float16)
