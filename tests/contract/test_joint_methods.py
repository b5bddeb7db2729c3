"""What every method promises that decides over all layers at once, run over the registry, on a tiny model."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from architectures import loaded as tiny_architecture
from reference import as_saved
from safetensors.torch import load_file
from tiny import SENTENCES, finish, write_tiny_llama

from compression import export
from compression.errors import UserError
from compression.methods import METHODS, JointMethod, create_method
from compression.modules import CompressedLinear
from compression.recipe import Guards, Recipe
from compression.sites import find_sites
from compression.workbench import Workbench

JOINT = [name for name, method in METHODS.items() if method.joint]
ASKED = [("finegates", 0.1), ("finegates", 0.3), ("finegates-fisher", 0.2), ("maskllm", 0.3)]
TOKENS = torch.randint(0, 300, (2, 24), generator=torch.Generator().manual_seed(0))
STEPS = (("steps", 10.0),)
LEARNING = [name for name in JOINT if "steps" in {field.name for field in dataclasses.fields(METHODS[name])}]


@pytest.fixture
def recipe(tmp_path: Path, cache: Path) -> Recipe:
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    return Recipe(
        str(tmp_path / "tiny"),
        "finegates",
        "own",
        0.3,
        calibration_text=str(tmp_path / "text.txt"),
        num_sequences=8,
        sequence_length=32,
        settings=STEPS,
    )


def bits(tensors) -> int:
    return sum(8 * tensor.numel() * tensor.element_size() for tensor in tensors)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def test_the_registry_knows_them():
    assert set(JOINT) == {"finegates", "finegates-fisher", "maskllm"} and set(LEARNING) == {"finegates", "maskllm"}
    for name in JOINT:
        assert issubclass(METHODS[name], JointMethod) and METHODS[name].slow


@pytest.mark.parametrize(("name", "fraction"), ASKED)
def test_the_fraction_is_met_on_disk_and_what_is_read_back_computes_the_same(name, fraction, recipe, tmp_path):
    settings = STEPS if name in LEARNING else ()
    recipe = dataclasses.replace(recipe, method=name, removed_fraction=fraction, settings=settings)
    bench = Workbench()
    report = finish(bench.compress_to(recipe, tmp_path / "out"))
    dense = finish(bench.dense_model(recipe.model_id)).loaded
    saved = load_file(tmp_path / "out" / export.WEIGHTS_FILE)
    original = as_saved(dense.model, dense.storage_dtype)
    sites = {site.name: site for site in report.sites}
    assert set(sites) == {site.name for site in find_sites(dense.model)}
    # The layers had no biases: every tensor of a site, new biases and flags included, counts.
    on_disk = bits(tensor for key, tensor in saved.items() if key.rpartition(".")[0] in sites)
    assert report.site_stored_bits == on_disk == sum(site.stored_bits for site in report.sites)
    before = 16 * sum(site.shape[0] * site.shape[1] for site in report.sites)
    assert fraction <= 1 - on_disk / before == pytest.approx(report.removed_fraction)
    assert METHODS[name].fixed_fraction == report.removed_fraction or report.removed_fraction < fraction + 0.12
    assert report.stored_bits == bits(saved.values()) and report.original_bits == bits(original.values())
    assert report.stages["factorisation"] > 0
    shares = report.plan.allocation.removed_fractions
    assert report.plan.allocation.policy == METHODS[name].own_policy
    assert shares == {site.name: max(site.removed_fraction, 0) for site in report.sites}
    made = finish(bench._compress(recipe)).model
    read = export.load(tmp_path / "out").model
    assert torch.equal(logits(made), logits(read)) and torch.isfinite(logits(made)).all()


@pytest.mark.parametrize("name", JOINT)
def test_the_same_question_has_the_same_answer_and_the_dense_model_is_left_alone(name):
    model = tiny_architecture("llama").model
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    gradients = [parameter.requires_grad for parameter in model.parameters()]
    sequences = torch.randint(0, 60, (8, 32), generator=torch.Generator().manual_seed(1))
    sites = find_sites(model)

    def states(seed: int) -> list[torch.Tensor]:
        torch.rand(3)  # what torch's own state happens to be makes no difference
        steps = create_method(name, **({"steps": 6} if name in LEARNING else {})).compress_jointly(
            model, sites, sequences, 0.3, seed
        )
        layers = [result.layer for result in finish(steps).values()]
        assert len(layers) == len(sites) and all(isinstance(layer, CompressedLinear) for layer in layers)
        return [tensor for layer in layers for tensor in layer.state_dict().values()]

    first, second, other = states(0), states(0), states(5)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    same = all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not same or name not in LEARNING
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == gradients and not model.training


def test_they_stand_beside_the_others_in_a_comparison(recipe, tmp_path):
    recipes = tuple(
        dataclasses.replace(recipe, method=name, settings=STEPS if name in LEARNING else ()) for name in (*JOINT, "svd")
    )
    steps = Workbench().compare(recipes, str(tmp_path / "text.txt"), window=32, max_windows=3, predict="stored")
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            comparison = stop.value
            break
    assert [(run.method, run.policy) for run in comparison.runs] == [
        ("finegates", "gates"),
        ("finegates-fisher", "gates"),
        ("maskllm", "uniform"),
        ("svd", "uniform"),
    ]
    assert all(run.removed_fraction >= 0.3 and math.isfinite(run.perplexity) for run in comparison.runs)
    assert len({site.removed_fraction for site in comparison.runs[0].sites}) > 2, "all layers alike"
    assert max(site.relative_output_error for site in comparison.runs[0].sites) > 0.1
    said = [event.message for event in events if event.stage == "learn"]
    assert "finegates: step 1 of 10" in said and "ranking the gates: batch 1 of 24" in said


def test_learning_that_is_cancelled_leaves_nothing_behind(recipe):
    bench = Workbench()
    steps = bench.compress(recipe)
    while next(steps).stage != "learn":
        pass
    steps.close()
    again = finish(bench.compress(recipe))
    whole = finish(Workbench().compress(recipe))
    assert [site.stored_bits for site in again.sites] == [site.stored_bits for site in whole.sites]
    assert [s.relative_output_error for s in again.sites] == [s.relative_output_error for s in whole.sites]
    info, allocation = finish(bench.allocation(recipe))
    assert allocation == again.plan.allocation and len(info.sites) == len(allocation.removed_fractions)


def test_nothing_to_remove_learns_nothing(recipe):
    report = finish(Workbench().compress(dataclasses.replace(recipe, removed_fraction=0.0)))
    assert report.removed_fraction == 0 and {site.representation for site in report.sites} == {"dense"}


@pytest.mark.parametrize("name", JOINT)
def test_what_they_cannot_do_is_said_in_a_sentence_before_anything_is_loaded(name):
    asked = Recipe("nowhere", name, "own", 0.2)
    for policy in ("uniform", "fisher", "learned", "gates", "own"):
        one = dataclasses.replace(asked, policy=policy)
        one.check()
        assert one.resolved().policy == METHODS[name].own_policy
    for held in ({"pins": (("*.v_proj", 0.1),)}, {"guards": Guards(0.0, 0.5)}):
        with pytest.raises(UserError, match=f"{name} decides over all layers at once and can hold none at a pin"):
            finish(Workbench().compress(dataclasses.replace(asked, **held)))
    with pytest.raises(UserError, match=f"{name} decides over all layers at once, so .* there is no forecast"):
        finish(Workbench().forecast(asked))
    with pytest.raises(UserError, match="a single layer has no error curve"):
        create_method(name).compress(torch.eye(4), None, None, 0.2)
    with pytest.raises(UserError, match="the method's own gates decide, and svd has none"):
        Recipe("nowhere", "svd", "gates", 0.2).check()


@pytest.mark.parametrize("name", JOINT)
def test_a_model_without_a_known_structure_is_refused_before_calibration(name):
    model = tiny_architecture("gpt2").model
    with pytest.raises(UserError, match="'gpt2' has no structure that can be adapted"):
        create_method(name).check_model(model)


def test_more_than_gates_can_remove_is_refused_before_learning(recipe):
    steps = Workbench().compress(dataclasses.replace(recipe, removed_fraction=0.9))
    seen = []
    with pytest.raises(UserError, match=r"it can remove at most \d\d\.\d% of these layers") as refused:
        for event in steps:
            seen.append(event.stage)
    assert "learn" not in seen
    most = float(str(refused.value).split("at most ")[1].split("%")[0]) / 100
    report = finish(Workbench().compress(dataclasses.replace(recipe, removed_fraction=most - 0.001)))
    assert report.removed_fraction >= most - 0.001
