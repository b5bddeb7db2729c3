"""Weights in a mapped file: the same model, the same files to the byte, and a fraction of the memory."""

from __future__ import annotations

import copy
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from architectures import CONFIGS, TEXT, loaded
from safetensors.torch import load_file, save_file
from tiny import tiny_tokenizer, write_tiny_llama
from tiny_whisper import write_tiny_whisper
from transformers import LlamaConfig, LlamaForCausalLM

from compression import export, mapped, models
from compression.errors import UserError
from compression.mapped import MappedFile, in_memory, release
from compression.memory import ModelShape, memory_need
from compression.pipeline import finish
from compression.recipe import Recipe
from compression.tensors import write_safetensors
from compression.types import LinearSite
from compression.workbench import Workbench, get_workbench

ROOT = Path(__file__).parent.parent
TOKENS = torch.arange(40)[None] % 290


def test_tensors_in_a_file_are_tensors_and_come_back_after_they_were_released(cache: Path) -> None:
    file = MappedFile([4 * 6, 3, 0])
    first, second = file.put(torch.arange(6.0).view(2, 3)), file.put(torch.tensor([1, 2, 3], dtype=torch.uint8))
    nothing = file.take((0,))
    assert file.holds(first) and file.holds(second) and not file.holds(torch.zeros(3)) and not len(nothing)
    first += 1
    file.release()
    assert first.tolist() == [[1, 2, 3], [4, 5, 6]] and second.tolist() == [1, 2, 3]
    inside = in_memory(first)
    assert inside.data_ptr() != first.data_ptr() and torch.equal(inside, first)
    assert in_memory(inside) is inside
    release(inside)
    assert not list((cache / "mapped").iterdir()), "the file has no name, so that nothing is left of it"


@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_streamed_model_is_the_same(architecture: str, cache: Path, tmp_path: Path) -> None:
    given = loaded(architecture)
    given.model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    usual = finish(models.load(str(tmp_path / "model")))
    streamed = finish(models.load(str(tmp_path / "model"), streamed=True))
    assert streamed.weights_hash == usual.weights_hash and streamed.storage_dtype == usual.storage_dtype
    with torch.no_grad():
        assert torch.equal(streamed.model(TOKENS).logits, usual.model(TOKENS).logits)
    assert all(mapped._is_mapped(parameter) for parameter in streamed.model.parameters())
    duplicate = copy.deepcopy(streamed.model)
    with torch.no_grad():
        assert torch.equal(duplicate(TOKENS).logits, usual.model(TOKENS).logits)


@pytest.mark.parametrize(("method", "policy"), [("svd-llm", "pooled"), ("compot-fisher", "fisher")])
def test_what_is_written_is_the_same_to_the_byte(method: str, policy: str, cache: Path, tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    settings = {"gradient_sequences": 8, "calibration_text": str(tmp_path / "text.txt")}
    recipe = Recipe(str(tmp_path / "tiny"), method, policy, 0.3, num_sequences=8, sequence_length=32, **settings)
    finish(Workbench().compress_to(recipe, tmp_path / "usual"))
    os.environ["COMPRESSION_CACHE"] = str(tmp_path / "other")  # statistics, too, are made anew
    report = finish(Workbench(streamed=True).compress_to(recipe, tmp_path / "streamed"))
    usual, streamed = (load_file(tmp_path / name / export.WEIGHTS_FILE) for name in ("usual", "streamed"))
    assert usual.keys() == streamed.keys() and all(torch.equal(usual[name], streamed[name]) for name in usual)
    files = [(tmp_path / name / export.WEIGHTS_FILE).read_bytes() for name in ("usual", "streamed")]
    assert files[0] == files[1] and report.stored_bits == sum(8 * tensor.nbytes for tensor in usual.values())
    again = export.load(tmp_path / "streamed")
    assert torch.isfinite(again.model(TOKENS).logits).all()


def test_a_speech_model_can_be_streamed(cache: Path, tmp_path: Path) -> None:
    write_tiny_whisper(tmp_path / "ear")
    usual = finish(models.load(str(tmp_path / "ear")))
    streamed = finish(models.load(str(tmp_path / "ear"), streamed=True))
    assert streamed.weights_hash == usual.weights_hash and streamed.is_speech


def test_a_checkpoint_that_is_not_whole_is_refused(cache: Path, tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "tiny")
    tensors = load_file(tmp_path / "tiny" / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, tmp_path / "tiny" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its tensors, such as model\.norm\.weight"):
        finish(models.load(str(tmp_path / "tiny"), streamed=True))


def test_a_tensor_of_another_shape_is_refused(cache: Path, tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "tiny")
    tensors = load_file(tmp_path / "tiny" / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(7)
    save_file(tensors, tmp_path / "tiny" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"cannot be loaded \(RuntimeError: "):
        finish(models.load(str(tmp_path / "tiny"), streamed=True))


def test_a_full_disk_is_one_sentence(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_tiny_llama(tmp_path / "tiny")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="The disk that holds .*mapped is full"):
        finish(models.load(str(tmp_path / "tiny"), streamed=True))


def test_a_file_is_written_as_the_library_writes_it(tmp_path: Path) -> None:
    tensors = {
        "b": torch.randn(3, 5),
        "a": torch.randn(4),
        "ö/ü": torch.arange(7, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "counts": torch.arange(3),
        "empty": torch.zeros(0, 3),
        "turned": torch.randn(4, 6).T,
    }
    write_safetensors(tmp_path / "ours", tensors, torch.bfloat16)
    rounded = {name: (t.bfloat16() if t.dtype == torch.float32 else t).contiguous() for name, t in tensors.items()}
    save_file(rounded, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_the_memory_model_of_a_streamed_model_does_not_grow_with_its_depth() -> None:
    def shape(depth: int) -> ModelShape:
        sites = tuple(LinearSite(f"{i}.x", i, "x", 4096, 4096, f"{i}") for i in range(depth))
        return ModelShape(depth * 4096**2 + 32000 * 4096, 4096, 32000, sites)

    assert memory_need(shape(80), 4096, 4096, streamed=True) == memory_need(shape(8), 4096, 4096, streamed=True)
    assert memory_need(shape(8), 4096, 4096).peak > memory_need(shape(8), 4096, 4096, streamed=True).peak


PROGRAM = """
import json, resource, sys
from pathlib import Path
import psutil
from compression.errors import UserError
from compression.pipeline import finish
from compression.recipe import Recipe
from compression.workbench import get_workbench
import compression.methods, compression.export
import transformers.models.llama.modeling_llama, transformers.models.llama.tokenization_llama

folder, stream, cap = sys.argv[1], sys.argv[2] == "streamed", int(sys.argv[3])
held = psutil.Process().memory_info().rss
Path("/proc/self/clear_refs").write_text("5")
if cap:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resource.setrlimit(resource.RLIMIT_DATA, (int(status["VmData"].split()[0]) * 1024 + cap,) * 2)
recipe = Recipe(f"{folder}/model", "svd-llm", "uniform", 0.5, f"{folder}/text.txt", 4, 64)
try:
    finish(get_workbench(stream).compress_to(recipe, Path(folder) / sys.argv[2]))
except (MemoryError, RuntimeError, UserError) as error:
    sys.exit(f"refused: {error}")
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps(int(status["VmHWM"].split()[0]) * 1024 - held))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the highest memory by itself and caps data")
def test_a_model_is_compressed_in_less_memory_than_it_has_weights(cache: Path, tmp_path: Path) -> None:
    """200 MB of float32 weights, and room for 240 MB of data: the usual way is refused, the streamed one works."""
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=14,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        empty = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: (torch.randn(value.shape, generator=generator) / 30).bfloat16()
        for name, value in empty.state_dict().items()
        if name != "lm_head.weight"
    }
    copy_bytes = 4 * sum(tensor.numel() for tensor in tensors.values())
    assert copy_bytes > 1.9e8
    (tmp_path / "model").mkdir()
    save_file(tensors, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")

    def run(way: str, cap: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), way, str(cap)]
        settings = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        # What is capped counts whole what is hardly used: 8 MB of stack a thread, and what MKL reserves for each.
        settings["MKL_DISABLE_FAST_MM"] = "1"
        command = ["sh", "-c", 'ulimit -s 2048; exec "$@"', "sh", *command]
        return subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=300)

    cap = int(1.2 * copy_bytes)
    usual = run("usual", cap)
    assert usual.returncode and "refused" in usual.stderr, usual.stderr[-500:]
    streamed = run("streamed", cap)
    assert streamed.returncode == 0, streamed.stderr[-500:]
    peak = json.loads(streamed.stdout.splitlines()[-1])
    print(f"{peak / copy_bytes:.2f}")
    assert peak <= 1.5 * copy_bytes, f"{peak / copy_bytes:.2f} of a float32 copy"
    assert export.read_record(tmp_path / "streamed")


def test_one_workbench_each_way() -> None:
    assert get_workbench() is get_workbench(False) or not get_workbench().streamed
    assert get_workbench(True).streamed and not get_workbench().streamed
