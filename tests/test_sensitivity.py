"""Measured sensitivities: equal to compressing one site and running the whole model; resumable; nothing is changed."""

from __future__ import annotations

import architectures
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from compression import sensitivity, store
from compression.allocation import LossCurves
from compression.calibration import Calibration, collect, collect_gradients
from compression.errors import UserError
from compression.methods import create_method
from compression.pipeline import finish
from compression.sensitivity import measure_sensitivities
from compression.sites import compressed_copy, find_sites, site_bias, site_weight

pytestmark = pytest.mark.usefixtures("two_sites_at_a_time")

SEQUENCES = torch.randint(0, architectures.VOCABULARY, (5, 24), generator=torch.Generator().manual_seed(0))
"""Scored in three batches of unequal size."""
FRACTIONS = (0.3, 0.8)


def setting(architecture="llama"):
    """A model whose sites matter (random ones hardly do), its sites and statistics."""
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    with torch.no_grad():
        for site in sites:
            model.get_submodule(site.name).weight.mul_(10)
    return model, sites, finish(collect(model, sites, SEQUENCES))


def mean_loss(model):
    with torch.no_grad():
        logits = model(SEQUENCES, use_cache=False).logits[:, :-1].double()
    return F.cross_entropy(logits.flatten(0, 1), SEQUENCES[:, 1:].flatten()).item()


def naive(model, sites, method, calibration, gradients=None):
    """One site compressed, the whole model run."""
    dense, losses = mean_loss(model), {}
    for site in sites:
        statistics = calibration.statistics(site.input_group).with_outputs(gradients, site.name)
        losses[site.name] = []
        for fraction in FRACTIONS:
            layer = method.compress(site_weight(model, site), site_bias(model, site), statistics, fraction).layer
            losses[site.name].append(mean_loss(compressed_copy(model, {site.name: layer})) - dense)
    return losses


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_equals_compressing_one_site_and_running_the_whole_model(architecture, tmp_path):
    model, sites, calibration = setting(architecture)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    method = create_method("svd-llm")
    steps = measure_sensitivities(model, sites, method, calibration, None, SEQUENCES, FRACTIONS, tmp_path / "c.json")
    measured = finish(steps)
    expected = naive(model, sites, method, calibration)
    assert measured.fractions == FRACTIONS and list(measured.losses) == [site.name for site in sites]
    for name, values in expected.items():
        assert measured.losses[name] == pytest.approx(values, abs=1e-5)
    assert max(max(values) for values in expected.values()) > 1e-3, "the sites must matter"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any("forward" in vars(module) for module in model.modules())


def test_methods_with_gradients_and_without_calibration(tmp_path):
    model, sites, calibration = setting()
    gradients = finish(collect_gradients(model, sites, SEQUENCES))
    for name in ("svd-fisher", "svd"):
        method, file = create_method(name), tmp_path / f"{name}.json"
        inputs, outputs = (None, None) if name == "svd" else (calibration, gradients)
        found = finish(measure_sensitivities(model, sites, method, inputs, outputs, SEQUENCES, FRACTIONS, file))
        for site, values in naive(model, sites, method, calibration, gradients).items():
            assert found.losses[site] == pytest.approx(values, abs=1e-5)


def test_goes_on_where_it_stopped(tmp_path, monkeypatch):
    model, sites, calibration = setting()
    file = tmp_path / "deep" / "checkpoint.json"
    arguments = (model, sites, create_method("svd-llm"), calibration, None, SEQUENCES, FRACTIONS)
    whole = finish(measure_sensitivities(*arguments, tmp_path / "other.json"))
    steps = measure_sensitivities(*arguments, file)
    events = [next(steps) for _ in range(4)]
    steps.close()
    assert [(e.stage, e.done, e.total, e.message) for e in events] == [
        ("sensitivity", index + 1, len(sites), f"sensitivity of {site.name}") for index, site in enumerate(sites[:4])
    ]
    assert list(store.cached_json(file, LossCurves).losses) == [site.name for site in sites[:4]]
    rest = list(measure_sensitivities(*arguments, file))
    assert [(e.done, e.message) for e in rest] == [
        (index + 1, f"sensitivity of {site.name}") for index, site in enumerate(sites) if index >= 4
    ]
    monkeypatch.setattr(sensitivity, "_run_dense", None)  # nothing is left to run
    assert finish(measure_sensitivities(*arguments, file)) == whole


@pytest.mark.parametrize("content", [b'{"losses": {"a"', b"[]", "too few", "others"])
def test_a_checkpoint_that_does_not_fit_is_made_again(content, tmp_path):
    model, sites, calibration = setting()
    file = tmp_path / "checkpoint.json"
    if content == "too few":
        store.write_cached(file, LossCurves({sites[0].name: (0.5,)}, FRACTIONS))
    elif content == "others":
        store.write_cached(file, LossCurves({sites[0].name: (0.5, 0.6)}, (0.3, 0.7)))
    else:
        file.write_bytes(content)
    arguments = (model, sites[:2], create_method("svd-llm"), calibration, None, SEQUENCES, FRACTIONS)
    assert finish(measure_sensitivities(*arguments, file)) == finish(
        measure_sensitivities(*arguments, tmp_path / "fresh.json")
    )
    assert set(store.cached_json(file, LossCurves).losses) == {site.name for site in sites[:2]}


def test_an_unusable_site_is_named(tmp_path):
    model, sites, calibration = setting()
    broken = Calibration(
        {g: torch.zeros_like(m) for g, m in calibration.grams.items()}, calibration.num_positions, "", 0
    )
    with pytest.raises(UserError, match=r"layers\.0\.self_attn\.q_proj: The calibration statistics of a site are all"):
        finish(
            measure_sensitivities(
                model, sites, create_method("svd-llm"), broken, None, SEQUENCES, FRACTIONS, tmp_path / "c.json"
            )
        )
