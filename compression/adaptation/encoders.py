"""Encoders with a classification head: fetched and checked as all models are, but trained, so kept in float32."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compression import export, models
from compression.adaptation.structure import ENCODER_TYPES, head_parameter_names, unsupported
from compression.errors import UserError
from compression.types import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HEAD_WEIGHTS = ("classifier.weight", "classifier.out_proj.weight")
"""What the last layer of a classification head is called, in BERT and in RoBERTa."""


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder in memory, in evaluation mode and float32.

    Attributes:
        id: its id.
        title: what to show.
        note: what must be said wherever its figures appear; may be empty.
        model: the torch module, ``…ForSequenceClassification``.
        tokenizer: its tokenizer; ``model_max_length`` is what the model takes.
        weights_hash: SHA-256 of the checkpoint's values, without what was made fresh.
        notes: fallbacks taken on the way, one sentence each.
    """

    id: str
    title: str
    note: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weights_hash: str
    notes: tuple[str, ...] = ()


def is_encoder(model_id: str) -> Generator[Progress, None, bool]:
    """Whether an id, a directory or a Hub id means an encoder, which is fetched if its configuration is not here.

    Raises:
        UserError: if it names no model, or a damaged one.
    """
    if model_id in models.ENCODERS:
        return True
    if model_id in models.CATALOGUE or export.is_compressed_directory(model_id):
        return False
    path, _ = yield from models.fetch_noting(models.resolve(model_id))
    return models.read_config(model_id, path)["model_type"] in ENCODER_TYPES


def load_encoder(model_id: str, labels: tuple[str, ...] | None, seed: int) -> Generator[Progress, None, LoadedEncoder]:
    """Fetch an encoder if necessary and load it with a head for `labels`.

    What the checkpoint lacks of head and pooler is initialised from `seed`; the global random state stays as it is.

    Args:
        model_id: an id of `models.ENCODERS`, a Hub id or a directory.
        labels: names of the classes; None for those of its configuration, where nothing is to be classified.
        seed: of the fresh head.

    Yields:
        Progress of the download and the loading.

    Raises:
        UserError: with one sentence on whatever stands in the way.
    """
    spec = models.resolve_encoder(model_id)
    path, notes = yield from models.fetch_noting(spec, without_hub=models.DEFAULT_ENCODER)
    yield Progress("load", 0, 1, f"Loading {spec.id}")
    import torch
    from transformers import AutoModelForSequenceClassification

    plain = models.read_config(spec.id, path)
    if plain["model_type"] not in ENCODER_TYPES:
        raise unsupported(plain["model_type"])
    models.check_not_quantised(spec.id, plain)
    config = models.load_config(spec.id, path)
    if labels is None:
        labels = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    _check_head(spec.id, models.checkpoint_tensors(spec.id, path), config, labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, missing = models.load_weights(spec.id, path, AutoModelForSequenceClassification, config)
    fresh = head_parameter_names(model)
    lacking = [name for name in missing if name not in fresh]
    if lacking:
        raise UserError(models.lacks_tensors(spec.id, lacking))
    models.largest_weight(model)  # refuses NaN
    tokenizer = models.load_tokenizer(spec.id, path, model)
    _fit_tokenizer(spec.id, tokenizer, config)
    stored = {name: value for name, value in model.state_dict().items() if name not in missing}
    yield Progress("load", 1, 1, f"Loaded {spec.id}")
    return LoadedEncoder(
        spec.id, spec.title, spec.note, model, tokenizer, models.tensors_hash(stored, "float32"), notes
    )


def _check_head(
    model_id: str, tensors: dict[str, tuple[str, tuple[int, ...]]], config: Any, labels: tuple[str, ...]
) -> None:
    """Refuse a checkpoint whose classification head answers something else."""
    head = next((tensors[name][1] for name in _HEAD_WEIGHTS if name in tensors), None)
    if head is None:
        return
    if head[0] != len(labels):
        raise UserError(
            f"The labels do not match the head of {model_id}: it tells {head[0]} classes apart, and the task has "
            f"{len(labels)} ({', '.join(labels)}); choose a checkpoint without a head, or one for this task."
        )
    own = [str(config.id2label.get(index, "")) for index in range(len(labels))]
    unnamed = all(name == f"LABEL_{index}" for index, name in enumerate(own))
    if not unnamed and [name.casefold() for name in own] != [label.casefold() for label in labels]:
        raise UserError(
            f"The labels do not match the head of {model_id}: its classes are {', '.join(own)}, and the task's are "
            f"{', '.join(labels)}; choose a checkpoint without a head, or one for this task."
        )


def _fit_tokenizer(model_id: str, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    """Make a tokenizer say what the model takes: how many tokens, and whether two texts are told apart."""
    if tokenizer.pad_token_id is None:
        raise UserError(f"The tokenizer of {model_id} has no padding token: fetch its files again.")
    # RoBERTa's first positions are taken: counting starts behind the padding's index.
    taken = config.pad_token_id + 1 if config.model_type == "roberta" else 0
    tokenizer.model_max_length = min(tokenizer.model_max_length, config.max_position_embeddings - taken)
    names = ["input_ids", "attention_mask"]
    tokenizer.model_input_names = [*names, "token_type_ids"] if config.type_vocab_size > 1 else names
