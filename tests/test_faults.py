"""A cache in which bits flip and files end early: the same answers, made again, or one sentence; never a wrong one."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import TEXT
from safetensors import SafetensorError
from tiny import finish, write_tiny_llama

from compression import export, store
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


def test_a_flipped_bit_in_tensors_or_in_json_is_noticed(tmp_path: Path) -> None:
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


def test_a_converted_model_is_what_was_written(tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "model")
    assert store.is_whole(tmp_path / "model") and (tmp_path / "model" / store.HASHES_FILE).is_file()
    assert store.is_whole(tmp_path / "model")
    flip(tmp_path / "model" / "model.safetensors", 3)
    assert not store.is_whole(tmp_path / "model")
    flip(tmp_path / "model" / "model.safetensors", 3)
    assert store.is_whole(tmp_path / "model")
    (tmp_path / "model" / "config.json").unlink()
    assert not store.is_whole(tmp_path / "model")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe{}", b"[1, 2]", b"null", b'{"model_type": ["x"]}'])
def test_a_config_that_is_none_is_one_sentence(content: bytes, cache: Path, tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="config"):
        finish(Workbench().model_info(str(tmp_path / "model")))
