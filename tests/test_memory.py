"""The memory model: what grows, grows, and what must not does not."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import architectures
import pytest
from tiny import SENTENCES, finish, write_tiny_llama

from compression.benchmarks import needs
from compression.benchmarks.memory import LIMIT, benchmark_memory, llama_shape
from compression.errors import UserError
from compression.memory import MemoryNeed, memory_need
from compression.recipe import Recipe
from compression.sites import shape_of
from compression.workbench import Workbench


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_a_shape_is_read_off_the_model(architecture):
    model = architectures.loaded(architecture).model
    shape = shape_of(model)
    assert shape.num_parameters == sum(p.numel() for p in model.parameters())
    assert (shape.width, shape.vocabulary, shape.depth) == (48, architectures.VOCABULARY, 2)


def test_statistics_do_not_grow_with_depth_beyond_the_model_and_its_hidden_states():
    shape = llama_shape()
    twice = tuple(dataclasses.replace(s, block=s.block + 16, name=f"{s.name}'") for s in shape.sites)
    deeper = dataclasses.replace(shape, sites=shape.sites + twice)
    thin, thick = (memory_need(each, 16384, 4096) for each in (shape, deeper))
    assert thick.calibrate == thin.calibrate
    assert thick.gradients - thin.gradients == 16 * 4096 * 2048 * 4
    stored = sum(site.num_weights for site in shape.sites) * 2 * 0.8
    assert thick.compress - thin.compress == pytest.approx(stored, rel=1e-6)


def test_a_model_of_1_2_billion_parameters_fits_in_16_gib():
    shape = llama_shape()
    assert shape.num_parameters == pytest.approx(1.236e9, rel=1e-3)
    need = memory_need(shape, 32 * 512, 8 * 512)
    assert isinstance(need, MemoryNeed) and 4 * shape.num_parameters < need.peak <= LIMIT


def test_the_benchmark_measures_every_phase(tmp_path, cache):
    write_tiny_llama(tmp_path / "tiny")
    text = tmp_path / "text.txt"
    text.write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    recipe = Recipe(str(tmp_path / "tiny"), "compot-fisher", "fisher", 0.2, str(text), 8, 32, gradient_sequences=8)
    result = finish(benchmark_memory(Workbench(), recipe, str(text)))
    assert [phase.name for phase in result.phases] == ["calibrate", "gradients", "compress", "save", "evaluate"]
    measured = [phase.measured_bytes for phase in result.phases]
    assert measured == sorted(measured) and measured[0] > 100 * 2**20, "a process with torch is larger than 100 MiB"
    assert all(phase.predicted_bytes > 0 for phase in result.phases)


def test_a_measuring_process_that_the_system_kills_is_one_sentence(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n", encoding="utf-8")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(UserError, match=r"tiny could not be measured: its process ended with code -9 and .*memory\.$"):
        needs._measured("tiny", 8, 128)
