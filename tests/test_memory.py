"""The memory model: what grows, grows, and what must not does not."""

from __future__ import annotations

import dataclasses

import architectures
import pytest

from compression.benchmarks.memory import LIMIT, llama_1b
from compression.memory import MemoryNeed, memory_need
from compression.sites import shape_of


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_a_shape_is_read_off_the_model(architecture):
    model = architectures.loaded(architecture).model
    shape = shape_of(model)
    assert shape.num_parameters == sum(p.numel() for p in model.parameters())
    assert (shape.width, shape.vocabulary, shape.depth) == (48, architectures.VOCABULARY, 2)


def test_statistics_do_not_grow_with_depth_beyond_the_model_and_its_hidden_states():
    shape = llama_1b()
    twice = tuple(dataclasses.replace(s, block=s.block + 16, name=f"{s.name}'") for s in shape.sites)
    deeper = dataclasses.replace(shape, sites=shape.sites + twice)
    thin, thick = (memory_need(each, 16384, 4096) for each in (shape, deeper))
    assert thick.calibrate == thin.calibrate
    assert thick.gradients - thin.gradients == 16 * 4096 * 2048 * 4
    stored = sum(site.num_weights for site in shape.sites) * 2 * 0.8
    assert thick.compress - thin.compress == pytest.approx(stored, rel=1e-6)


def test_a_model_of_1_2_billion_parameters_fits_in_16_gib():
    shape = llama_1b()
    assert shape.num_parameters == pytest.approx(1.236e9, rel=1e-3)
    need = memory_need(shape, 32 * 512, 8 * 512)
    assert isinstance(need, MemoryNeed) and 4 * shape.num_parameters < need.peak <= LIMIT
