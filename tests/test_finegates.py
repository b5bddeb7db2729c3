"""Gates: what they compute, what they count, what really leaves, and that leaving changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from tiny import finish, tiny_llama
from tiny_bert import batches_of, tiny_bert
from torch import nn

from compression.adaptation import precision
from compression.adaptation.base import Setup, create_method
from compression.adaptation.gates import CLOSED_BELOW, GatedLinear, GateVector, kurtosis_weights
from compression.adaptation.inputs import input_grams, refitted
from compression.adaptation.methods.finegates import GatesAdapter
from compression.adaptation.methods.one_shot import same_share
from compression.adaptation.salience import Units, choose_units, expected_losses, neurons_together
from compression.adaptation.shrink import Open, shrink_units
from compression.adaptation.structure import structure_of
from compression.errors import UserError
from compression.modules import ShrunkLinear

KINDS = ("bert", "llama")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared with a slow oracle is computed in float32 on every machine."""
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda _device: False)


RECIPES = ("finegates", "finegates-published")


def model_of(kind: str):
    return tiny_bert() if kind == "bert" else tiny_llama()


def attach(name: str, kind: str, target: float = 0.4, **settings: float) -> GatesAdapter:
    model = model_of(kind)
    batches = batches_of(model)
    setup = Setup(model, structure_of(model), target, lambda: iter(batches), lambda m, b: m(**b).loss)
    adapter = create_method(name, **settings).attach(setup)
    assert isinstance(adapter, GatesAdapter)
    return adapter


def logits(model, kind: str):
    model.eval()
    inputs = {name: value for name, value in batches_of(model_of(kind))[0].items() if name != "labels"}
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECIPES)
def test_open_gates_leave_the_model_as_it_was(name: str, kind: str) -> None:
    adapter = attach(name, kind)
    assert torch.equal(logits(adapter.model, kind), logits(model_of(kind), kind))
    assert adapter.removal().removed_fraction == 0
    assert all(not layer.bias.detach().any() for layer in adapter.layers.values()) == (kind == "llama")


def test_a_gate_is_the_clamped_shifted_tanh_of_its_logit() -> None:
    side = GateVector(5, 2, 0.0, 0.0, 0.1, torch.Generator())
    with torch.no_grad():
        side.logits.copy_(torch.atanh(torch.tensor([-0.9, -0.5, -0.2, 0.3, 0.7])))
    expected = torch.tensor([0, 0, 0.3, 0.8, 1.0])
    assert torch.allclose(side.gates(False), expected, atol=1e-6)
    assert torch.allclose(side.values(False), expected.repeat_interleave(2), atol=1e-6)
    assert side.open().tolist()[::2] == [False, False, True, True, True]
    # Φ of the standard normal distribution by its error function
    for openness, mu in zip(side.openness().tolist(), (-0.9, -0.5, -0.2, 0.3, 0.7), strict=True):
        assert openness == pytest.approx(0.5 * (1 + math.erf((mu + 0.5) / 0.5 / math.sqrt(2))), abs=1e-6)
    torch.manual_seed(0)
    noisy = torch.stack([side.gates(True) for _ in range(4000)])
    assert noisy.mean(0)[2].item() == pytest.approx(0.3, abs=0.01) and noisy.std(0)[2].item() == pytest.approx(0.1, 0.1)
    side.close(torch.tensor([False, False, False, False, True]))
    assert side.gates(False)[4] == 0 and not side.open()[-1]


def test_the_regulariser_is_the_published_one_and_a_soft_value_can_remove_nothing() -> None:
    adapter = attach("finegates-published", "bert")
    with torch.no_grad():
        for layer in adapter.layers.values():
            for side in layer.sides():
                side.logits.fill_(math.atanh(-0.37))
    list(adapter.prepare(0.5))
    phi = 0.5 * (1 + math.erf(0.13 / 0.5 / math.sqrt(2)))
    penalty = adapter.penalty()
    assert penalty is not None and penalty.item() == pytest.approx(50 * abs(phi - 0.6), abs=1e-4)
    removal = adapter.removal()
    assert removal.soft_sparsity == pytest.approx(0.4, abs=0.01) and removal.removed_fraction == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_shrunk_model_computes_what_the_gated_one_does_and_its_tensors_are_what_was_counted(
    name: str, kind: str, seed: int
) -> None:
    adapter = attach(name, kind)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in adapter.layers.values():
            layer.bias.add_(0.3 * torch.randn(layer.bias.shape, generator=generator))
            for side in layer.sides():
                side.logits.copy_(1.2 * torch.randn(side.logits.shape, generator=generator))
                side.logits[0] = 1  # nothing is emptied
    gated = logits(adapter.model, kind)
    removal = adapter.removal()
    shrunk = adapter.deploy()
    assert torch.allclose(logits(shrunk, kind), gated, atol=1e-5)
    layers = [shrunk.get_submodule(name) for name in adapter.setup.structure.layers]
    stored = sum(layer.weight.numel() for layer in layers)
    assert 0 < removal.removed_fraction < 1
    assert stored == removal.gated_parameters - removal.removed_parameters
    for name, layer in zip(adapter.setup.structure.layers, layers, strict=True):
        assert isinstance(layer, ShrunkLinear)
        part = adapter.layers[name].folded().weight[layer.rows][:, layer.columns]
        assert torch.equal(layer.dense_weight()[layer.rows][:, layer.columns], part)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_heads_and_neurons_leave_without_gather_or_scatter(kind: str) -> None:
    model = model_of(kind)
    structure = structure_of(model)
    block = structure.blocks[0]
    heads = [torch.ones(block.key_value_heads, dtype=torch.bool) for _ in structure.blocks]
    neurons = [torch.ones(96, dtype=torch.bool) for _ in structure.blocks]
    heads[0][0], neurons[1][10:50] = False, False
    masked = copy.deepcopy(model)
    width = block.heads // block.key_value_heads * block.head_dim
    with torch.no_grad():
        masked.get_submodule(block.output).weight[:, :width] = 0
        masked.get_submodule(structure.blocks[1].mlp_output).weight[:, 10:50] = 0
    shrunk = shrink_units(model, structure, heads, neurons)
    assert torch.allclose(logits(shrunk, kind), logits(masked, kind), atol=1e-5)
    for name in structure.layers:
        layer = shrunk.get_submodule(name)
        layer(torch.zeros(1, layer.weight.shape[1]))
        assert layer._places[:2] == (None, None)
    removed_heads = shrunk.get_submodule(block.query).weight.shape[0] / model.get_submodule(block.query).weight.shape[0]
    assert removed_heads == 1 - 1 / block.key_value_heads


def test_an_emptied_layer_is_refused_with_a_sentence() -> None:
    model = tiny_bert()
    structure = structure_of(model)
    heads = [torch.ones(4, dtype=torch.bool)] * 2
    with pytest.raises(UserError, match="Nothing would be left of .*intermediate"):
        shrink_units(model, structure, heads, [torch.zeros(96, dtype=torch.bool)] * 2)


def test_the_expected_losses_are_half_the_mean_square_of_each_examples_gradient() -> None:
    adapter = attach("finegates", "bert")
    found = finish(expected_losses(adapter.setup, list(adapter.layers.values()), 2))
    name = adapter.setup.structure.blocks[1].mlp_output
    side = adapter.layers[name].column_gates
    assert side is not None
    squares, examples = torch.zeros(96), 0
    for batch in adapter.setup.batches():
        for place in range(len(batch["labels"])):
            one = {key: value[place : place + 1] for key, value in batch.items()}
            scale = torch.ones(96, requires_grad=True)
            layer = adapter.layers[name]
            handle = layer.register_forward_pre_hook(lambda _, inputs, scale=scale: (inputs[0] * scale,))
            adapter.model.eval()
            (gradient,) = torch.autograd.grad(adapter.setup.loss(adapter.model, one), scale)
            handle.remove()
            squares, examples = squares + gradient.square(), examples + 1
    assert torch.allclose(found[id(side)], squares / (2 * examples), rtol=1e-3, atol=1e-9)


def test_the_cheapest_units_for_their_size_close_until_the_target_is_met() -> None:
    units = [
        Units("a", torch.tensor([5.0, 1.0, 3.0]), 10, 1),
        Units("b", torch.tensor([0.1, 9.0]), 2, 1),
    ]
    closed = choose_units(units, 12)
    assert closed["a"].tolist() == [False, True, False] and closed["b"].tolist() == [True, False]
    assert sum(int(c.sum()) * u.weights for c, u in zip(closed.values(), units, strict=True)) >= 12
    with pytest.raises(UserError, match="out of reach: at most 65%"):
        choose_units(units, 23)


def test_kurtosis_weights_are_the_softmax_over_what_is_open() -> None:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(6, 9, generator=generator)
    activations[2, 3] = 40
    opened = Open(torch.tensor([True] * 5 + [False]), torch.tensor([True] * 8 + [False]))
    rows, columns = kurtosis_weights(activations, opened, 2.0)
    part = activations[:5, :8].double().numpy()
    by_hand = [-math.sqrt(((r - r.mean()) ** 4).mean() / ((r - r.mean()) ** 2).mean() ** 2) / 2 for r in part]
    total = sum(map(math.exp, by_hand))
    assert rows.tolist()[:5] == pytest.approx([math.exp(value) / total for value in by_hand], rel=1e-4)
    assert rows[5] == 0 and columns[8] == 0 and columns.sum().item() == pytest.approx(1)
    assert rows.argmin() == 5 and rows[:5].argmin() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_warm_start_ranks_and_settling_meets_the_target(kind: str) -> None:
    adapter = attach("finegates", kind, target=0.3)
    list(adapter.prepare(0.1))
    assert adapter.penalty() is None
    list(adapter.prepare(0.35))
    assert adapter.removal().removed_fraction == 0 and adapter.penalty() is not None
    lows = [float(side.mu.detach().min()) for layer in adapter.layers.values() for side in layer.sides()]
    assert min(lows) == pytest.approx(0, abs=1e-3) and min(lows) > CLOSED_BELOW
    list(adapter.prepare(0.9))
    removed = adapter.removal().removed_fraction
    assert 0.3 <= removed < 0.45 and adapter.penalty() is None
    state = adapter.state()
    other = attach("finegates", kind, target=0.3)
    other.load_state(state)
    assert other.removal() == adapter.removal() and other._settled


def test_a_target_out_of_reach_is_refused() -> None:
    adapter = attach("finegates", "llama", target=0.9)
    with pytest.raises(UserError, match="out of reach"):
        list(adapter.prepare(0.5))


def test_gates_and_biases_are_counted_and_nothing_else_is_trained() -> None:
    adapter = attach("finegates", "bert")
    width, neurons, heads = 64, 96, 4
    assert adapter.trainable_count() == 2 * (heads + neurons + 5 * width + neurons)
    published = attach("finegates-published", "bert")
    gates = 4 * 2 * width + 2 * (width + neurons)
    assert published.trainable_count() == 2 * (gates + 5 * width + neurons)
    names = {name for name, parameter in adapter.model.named_parameters() if parameter.requires_grad}
    assert all("logits" in n or n.endswith("bias") or "pooler" in n or n.startswith("classifier") for n in names)


@pytest.mark.parametrize(("batches", "rate"), [(138, 0.3), (1188, 0.0)])
def test_dropout_is_off_where_examples_are_many(batches: int, rate: float) -> None:
    model = model_of("bert")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.3
    setup = Setup(model, structure_of(model), 0.4, lambda: iter(()), lambda m, b: m(**b).loss, batches)
    adapter = create_method("finegates").attach(setup)
    assert {module.p for module in adapter.model.modules() if isinstance(module, nn.Dropout)} == {rate}


def test_maps_show_what_closed() -> None:
    adapter = attach("finegates", "bert")
    block = adapter.setup.structure.blocks[0]
    side = adapter.layers[block.mlp_output].column_gates
    assert side is not None
    side.close(torch.arange(96) < 48)
    maps = {gates.layer: gates for gates in adapter.gates()}
    assert maps[block.mlp_output].open_columns == 0.5 and maps[block.mlp_output].removed_fraction == 0.5
    assert maps[block.mlp_inputs[0]].removed_fraction == 0.5 and maps[block.query].removed_fraction == 0
    assert len(maps[block.mlp_output].columns) == 64 and maps[block.mlp_output].columns[0] == 0


def test_a_gated_layer_takes_only_its_gates_examples_together() -> None:
    layer = torch.nn.Linear(6, 4, bias=False)
    side = GateVector(6, 1, 1.0, 0.0, 0.0, torch.Generator())
    gated = GatedLinear(layer, None, side)
    x = torch.randn(2, 3, 6)
    assert torch.allclose(gated(x), layer(x), atol=1e-6) and gated.weight.requires_grad is False


def test_neurons_leave_in_sixteens_where_there_are_many() -> None:
    assert [neurons_together(count) for count in (1536, 96, 1000)] == [16, 1, 1]
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(1536, generator=generator)
    closed = choose_units([Units("a", losses, 3, 76, 16)], 3 * 100)["a"]
    assert int(closed.sum()) == 112 and losses[closed].max() <= losses[~closed].min(), "the least, rounded up"


def test_refitting_is_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 6, generator=generator) @ torch.randn(6, 6, generator=generator)
    weight, kept = torch.randn(4, 6, generator=generator), torch.tensor([True, True, False, True, False, True])
    expected = torch.linalg.lstsq(inputs[:, kept], inputs @ weight.T).solution.T
    found = refitted(weight, inputs.T @ inputs, kept)
    assert torch.allclose(found[:, kept], expected, atol=2e-2) and not found[:, ~kept].any()
    cut = (inputs @ (weight * kept).T - inputs @ weight.T).square().sum()
    assert (inputs @ found.T - inputs @ weight.T).square().sum() < 0.7 * cut
    assert torch.equal(refitted(weight, torch.zeros(6, 6), kept), weight * kept), "no input, nothing to go by"


@pytest.mark.parametrize("kind", KINDS)
def test_a_refit_layer_gives_nearly_what_it_gave_before_gates_closed(kind: str) -> None:
    adapter = attach("finegates", kind)
    name = adapter.setup.structure.blocks[0].mlp_output
    gram = finish(input_grams(adapter.setup, [name], 2))[name]
    layer = adapter.layers[name]
    side = layer.column_gates
    assert side is not None
    with torch.no_grad():
        side.logits.copy_(torch.linspace(-0.3, 1, len(side.logits)))
    before, stay = layer.folded().weight, torch.arange(len(side.logits)) >= 20
    layer.refit(gram, stay)
    side.close(~stay)
    after = layer.folded().weight

    def error(weight: torch.Tensor) -> float:
        return float(torch.trace((weight - before) @ gram @ (weight - before).T))

    assert not after[:, ~stay].any() and error(after) < 0.9 * error(before * stay)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["magnitude-structured", "wanda-structured"])
def test_structured_baselines_take_the_same_share_of_every_layer_and_the_least(name: str, kind: str) -> None:
    adapter = attach(name, kind, target=0.3)
    originals = {layer: gated.weight.detach().clone() for layer, gated in adapter.layers.items()}
    inputs: dict[str, list[torch.Tensor]] = {}
    block = adapter.setup.structure.blocks[1]
    handle = adapter.layers[block.mlp_output].register_forward_pre_hook(
        lambda _, given: inputs.setdefault("x", []).append(given[0].detach())
    )
    for batch in adapter.setup.batches():
        adapter.setup.loss(adapter.model.eval(), batch)
        rows = batch["attention_mask"].bool() if "attention_mask" in batch else torch.ones_like(batch["input_ids"]) > 0
        inputs["x"][-1] = inputs["x"][-1][rows]
    handle.remove()
    list(adapter.prepare(0.0))
    shapes = {layer: weight.shape for layer, weight in originals.items()}
    groups, neurons = same_share(block, shapes, 0.3)
    assert groups == int(0.3 * block.key_value_heads)
    closed = ~adapter.layers[block.mlp_output].open().columns
    assert int(closed.sum()) == neurons
    worth = originals[block.mlp_output].abs().sum(0)
    if name.startswith("wanda"):
        worth = worth * torch.cat(inputs["x"]).norm(dim=0)
    assert set(closed.nonzero()[:, 0].tolist()) == set(worth.argsort()[:neurons].tolist())
    removal = adapter.removal()
    assert 0.3 <= removal.removed_fraction < 0.33 and adapter.trainable_count() == 0
    assert torch.equal(adapter.layers[block.mlp_output].weight, originals[block.mlp_output])


@pytest.mark.parametrize("kind", KINDS)
def test_gates_without_training_close_what_costs_least_and_refit_helps(kind: str) -> None:
    from compression.adaptation.methods.one_shot import FisherAdapter

    errors = []
    for refit in (False, True):
        adapter = attach("finegates-fisher", kind, target=0.3, refit=int(refit))
        assert isinstance(adapter, FisherAdapter)
        batch = next(iter(adapter.setup.batches()))
        names = {key: value for key, value in batch.items() if key != "labels"}
        with torch.no_grad():
            before = adapter.model.eval()(**names).logits
            list(adapter.prepare(0.2))
            assert adapter.removal().removed_fraction == 0, "not before its time"
            list(adapter.prepare(1.0))
            after = adapter.model(**names).logits
        errors.append(float((after - before).square().mean()))
        assert 0.3 <= adapter.removal().removed_fraction < 0.45 and adapter.trainable_count() == 0
    assert errors[1] < errors[0]


def test_statistics_of_parts_are_those_of_the_whole_batch() -> None:
    """Each example's own gradient counts, so cutting a batch changes nothing."""
    whole, cut = attach("finegates", "llama"), attach("finegates", "llama")
    cut.setup = dataclasses.replace(
        cut.setup,
        parts=lambda batch: [{k: v[i : i + 1] for k, v in batch.items()} for i in range(len(batch["input_ids"]))],
    )
    names = [block.mlp_output for block in whole.setup.structure.blocks]
    found = []
    for adapter in (whole, cut):
        losses = finish(expected_losses(adapter.setup, list(adapter.layers.values()), 2))
        grams = finish(input_grams(adapter.setup, names, 2))
        found.append([*(losses[id(side)] for side in adapter._vectors()), *(grams[name] for name in names)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-6 * float(one.abs().max()))
