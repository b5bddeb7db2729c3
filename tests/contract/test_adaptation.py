"""What every adaptation method promises, run over the registry: a new method is tested by being registered."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools

import pytest
import reference
import torch
from tiny import finish, tiny_llama
from tiny_bert import batches_of, tiny_bert
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from compression.adaptation.base import METHODS, AdaptationMethod, Setup, create_method, register
from compression.adaptation.inputs import input_norms
from compression.adaptation.methods.bitfit import add_zero_biases
from compression.adaptation.methods.lora_xs import adapted_layers
from compression.adaptation.methods.maskllm import MaskedLinear, Sampling
from compression.adaptation.structure import head_parameter_names, linear, structure_of
from compression.errors import UserError
from compression.linalg import TWO_OF_FOUR, two_of_four_mask
from compression.modules import ShrunkLinear

SETTINGS = {"vera": {"rank": 16}, "lora-xs": {"rank": 6}}
"""Smaller than the defaults, for models this small."""
MASKED = ("magnitude-2:4", "wanda-2:4", "maskllm")
"""Methods whose model is another one from the beginning."""
ONE_SHOT = ("finegates-fisher", "magnitude-structured", "wanda-structured")
"""Methods that remove and train nothing."""
SHRINKING = ("finegates", "finegates-published", "apt", *ONE_SHOT)
"""Methods that have tests of their own for what they train and remove."""
KINDS = ("bert", "llama")
CASES = [
    (name, kind)
    for name, method in METHODS.items()
    for kind in KINDS
    if ("mrpc" if kind == "bert" else "lm") in method.tasks
]
PEERS = [(name, kind) for name, kind in CASES if name not in SHRINKING]


def loss_of(model, batch):
    return model(**batch).loss


@functools.cache
def _made(kind):
    return tiny_bert() if kind == "bert" else tiny_llama()


def dense(kind):
    return copy.deepcopy(_made(kind))


def setup_of(model, target=0.4):
    batches = batches_of(model)
    return Setup(model, structure_of(model), target, lambda: iter(batches), loss_of)


def attached(name, kind, model=None, **settings):
    torch.manual_seed(1)
    setup = setup_of(model or dense(kind))
    return create_method(name, **(SETTINGS.get(name, {}) | settings)).attach(setup), setup


def trained(adapter, setup, steps=2, lr=1e-2):
    """Steps as the training loop takes them."""
    torch.manual_seed(2)
    groups = adapter.parameter_groups(lr, lr)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1) if groups else None
    for step in range(steps):
        for _ in adapter.prepare(step / steps):
            pass
        adapter.model.train()
        adapter.before_step(step / steps)
        if optimizer is None:
            continue
        optimizer.zero_grad()
        loss_of(adapter.model, list(setup.batches())[step % 2]).backward()
        penalty = adapter.penalty()
        if penalty is not None and penalty.requires_grad:
            penalty.backward()
        adapter.after_backward()
        optimizer.step()
        adapter.after_step()
    return adapter


def ended(adapter):
    """What the training loop does behind the last step."""
    for _ in adapter.prepare(1.0):
        pass
    adapter.finish()
    return adapter


@functools.cache
def dense_logits(kind):
    return logits(_made(kind))


def logits(model):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(**{k: v for k, v in b.items() if k != "labels"}).logits for b in batches_of(model)])


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] not in MASKED])
def test_at_the_start_it_computes_what_the_dense_model_computes(name, kind):
    expected = dense_logits(kind)
    adapter, _ = attached(name, kind)
    # LoRA-XS begins with a random matrix of the size 1e-5, as published.
    reference.assert_close(logits(adapter.model), expected, rtol=0, atol=2e-4 if name == "lora-xs" else 1e-5)


def sizes(kind, layers):
    model = _made(kind)
    return [linear(model, layer).weight.shape for layer in layers(structure_of(model))]


def query_and_value(structure):
    return [layer for block in structure.blocks for layer in (block.query, block.value)]


def bitfit_count(kind):
    model = _made(kind)
    norms = [p.numel() for n, p in model.named_parameters() if n.endswith("LayerNorm.bias")]
    return sum(out for out, _ in sizes(kind, lambda s: s.layers)) + sum(norms)


COUNTS = {
    "full": lambda kind: sum(
        p.numel() for n, p in _made(kind).named_parameters() if n not in head_parameter_names(_made(kind))
    ),
    "head": lambda kind: 0,
    "bitfit": bitfit_count,
    "rocoft": lambda kind: sum(inputs for _, inputs in sizes(kind, lambda s: s.layers)),
    "lora": lambda kind: sum(8 * (out + inputs) for out, inputs in sizes(kind, query_and_value)),
    "velora": lambda kind: sum(8 * (out + inputs) for out, inputs in sizes(kind, query_and_value)),
    "vera": lambda kind: sum(16 + out for out, _ in sizes(kind, query_and_value)),
    "lora-xs": lambda kind: 36 * len(sizes(kind, adapted_layers)),
    "magnitude-2:4": lambda kind: 0,
    "wanda-2:4": lambda kind: 0,
    "maskllm": lambda kind: sum(6 * out * inputs // 4 for out, inputs in sizes(kind, lambda s: s.layers)),
}
"""Trained numbers as the papers count them, head and pooler left out."""


@pytest.mark.parametrize(("name", "kind"), PEERS)
def test_it_trains_as_many_numbers_as_its_paper_says(name, kind):
    adapter, setup = attached(name, kind)
    assert adapter.trainable_count() == COUNTS[name](kind)
    assert sum(p.numel() for p in adapter.head_parameters()) == (
        sum(p.numel() for n, p in _made(kind).named_parameters() if n in head_parameter_names(_made(kind)))
    )


@pytest.mark.parametrize(("name", "kind"), PEERS)
def test_training_changes_what_it_trains_and_nothing_else(name, kind):
    adapter, setup = attached(name, kind)
    before = {n: (p.requires_grad, p.detach().clone()) for n, p in adapter.model.named_parameters()}
    # Only word embeddings of tokens in the batches, and positions that occur, get a gradient; weight decay moves all.
    trained(adapter, setup, steps=3)
    for parameter, (was_trained, value) in ((p, before[n]) for n, p in adapter.model.named_parameters()):
        assert parameter.requires_grad == was_trained
        assert torch.equal(parameter, value) != was_trained


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_deployed_computes_the_same_in_plain_layers(name, kind):
    adapter, setup = attached(name, kind)
    trained(adapter, setup)
    ended(adapter)
    expected = logits(adapter.model)
    if name not in MASKED and adapter.parameter_groups(1, 1):
        assert not torch.allclose(expected, dense_logits(kind), atol=1e-3), "training must have changed something"
    deployed = adapter.deploy()
    assert not deployed.training
    reference.assert_close(logits(deployed), expected, rtol=0, atol=1e-5)
    assert type(deployed) is type(_made(kind))
    for layer in structure_of(_made(kind)).layers:
        assert type(deployed.get_submodule(layer)) in (nn.Linear, ShrunkLinear)
    assert not any("lora" in n or "vera" in n or ".base." in n for n, _ in deployed.named_parameters())


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] in SHRINKING])
def test_the_gates_it_shows_are_those_that_it_removes_by(name, kind):
    adapter, setup = attached(name, kind)
    assert all(gate.removed_fraction == 0 for gate in adapter.gates())
    ended(trained(adapter, setup))
    shapes = dict(zip(setup.structure.layers, sizes(kind, lambda s: s.layers), strict=True))
    removal, shown = adapter.removal(), adapter.gates()
    assert [gate.layer for gate in shown] == list(shapes)
    assert sum(gate.removed_fraction * shapes[gate.layer].numel() for gate in shown) == pytest.approx(
        removal.removed_parameters
    )
    for gate in (gate for gate in shown if gate.columns and gate.open_columns < 1):
        assert min(gate.columns) < 1


@pytest.mark.parametrize(("name", "kind"), PEERS)
def test_what_is_deployed_can_be_saved_and_loaded(name, kind, tmp_path):
    adapter, setup = attached(name, kind)
    deployed = trained(adapter, setup).deploy()
    deployed.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").is_file() and not (tmp_path / "adapter_config.json").exists()
    auto = AutoModelForSequenceClassification if kind == "bert" else AutoModelForCausalLM
    reference.assert_close(logits(auto.from_pretrained(tmp_path)), logits(deployed), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_checkpoint_brings_back_the_state(name, kind):
    adapter, setup = attached(name, kind)
    state = {key: value.detach().clone() for key, value in trained(adapter, setup).state().items()}
    other, _ = attached(name, kind)
    if state and name not in ("magnitude-2:4", "wanda-2:4"):
        assert not torch.equal(logits(other.model), logits(adapter.model)) or name == "maskllm"
    other.load_state(state)
    again = other.state()
    assert again.keys() == state.keys() and all(torch.equal(again[key], state[key]) for key in state)
    assert torch.equal(logits(other.model), logits(adapter.model))


@pytest.mark.parametrize(("name", "kind"), PEERS)
def test_going_on_from_a_checkpoint_is_never_having_stopped(name, kind):
    adapter, setup = attached(name, kind)
    trained(adapter, setup, steps=1)
    other, again = attached(name, kind)
    other.load_state({key: value.detach().clone() for key, value in adapter.state().items()})
    assert torch.equal(logits(trained(other, again, steps=1).model), logits(trained(adapter, setup, steps=1).model)), (
        "one more step from the same state, with fresh moments both times"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_describes_itself_and_its_settings(name):
    method = METHODS[name]
    assert method.name == name and method.title and method.description.endswith(".") and method.source
    for field in dataclasses.fields(method):
        assert field.metadata["title"] and field.metadata["minimum"] <= field.default <= field.metadata["maximum"]
    assert set(method.tasks) <= {"mrpc", "sst2", "era", "lm"}
    assert 0 < method().learning_rate("mrpc") < 1


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nope", {}, "There is no adaptation method 'nope': expected one of"),
        ("lora", {"rank": 0}, "lora: rank r must be a number from 1 to 1024, but 0 was given"),
        ("lora", {"rank": 2.5}, "lora: rank r must be a whole number from 1 to 1024, but 2.5 was given"),
        ("lora-xs", {"alpha": float("nan")}, "lora-xs: scale α, divided by the rank must be a number"),
        ("rocoft", {"columns": 3}, "rocoft has no setting 'columns': expected one of lr, rows"),
        ("head", {"lr": 1}, "head has no setting 'lr': expected one of none"),
        ("full", {"lr": -1}, "full: learning rate, 0 for the default must be a number from 0"),
    ],
)
def test_bad_names_and_settings_are_refused_in_one_sentence(name, settings, message):
    with pytest.raises(UserError, match=message):
        create_method(name, **settings)


def test_registration_refuses_duplicates_and_methods_without_a_description():
    class Silent(AdaptationMethod):
        name, title, source = "silent", "t", "s"

    class Twin(AdaptationMethod):
        name, title, description, source = "lora", "t", "d", "s"

    with pytest.raises(ValueError, match="description is missing"):
        register(Silent)
    with pytest.raises(ValueError, match="taken by LoRA"):
        register(Twin)


# --- one method at a time ---------------------------------------------------------------------------------------------


def test_learning_rates_are_the_methods_own_unless_given():
    assert create_method("full").learning_rate("mrpc") == 5e-5 > create_method("full").learning_rate("lm")
    assert create_method("full", lr=1e-4).learning_rate("lm") == create_method("full", lr=1e-4).learning_rate("mrpc")
    assert create_method("bitfit", lr=0.5).learning_rate("mrpc") == 0.5


def test_the_settings_of_lora_mean_what_they_say():
    wide, _ = attached("lora", "bert", rank=3, everywhere=1)
    assert wide.trainable_count() == sum(3 * (out + inputs) for out, inputs in sizes("bert", lambda s: s.layers))
    (query, *_) = [m for m in wide.model.modules() if hasattr(m, "lora_A")]
    assert query.scaling["default"] == pytest.approx(16 / 3)


def test_vera_shares_one_random_pair():
    adapter, _ = attached("vera", "llama")
    pairs = {
        (id(m.vera_A["default"]), id(m.vera_B["default"]))
        for m in adapter.model.modules()
        if hasattr(m, "vera_A") and hasattr(m, "r")
    }
    assert len(pairs) == 1


def test_velora_gives_the_gradient_of_compressed_activations():
    """That of A is, for one direction v a group of features, gradient · (coordinate · v)ᵀ; of B it is LoRA's."""
    adapter, setup = attached("velora", "bert", num_groups=8)
    name = f"{setup.structure.blocks[0].value}"
    layer = adapter.model.get_submodule(name)
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_(0, 0.1)
    seen = {}
    layer.register_forward_hook(lambda m, args, out: seen.update(x=args[0].detach(), y=out))
    adapter.model.train()
    loss = loss_of(adapter.model, batches_of(adapter.model)[0])
    (gradient,) = torch.autograd.grad(loss, seen["y"], retain_graph=True)
    loss.backward()
    x = seen["x"].reshape(-1, 64)
    groups = x.view(-1, 8, 8)
    direction = groups.mean((0, 1))
    direction = direction / direction.norm()
    seen_again = ((groups @ direction)[..., None] * direction).reshape(-1, 64)
    into_b = gradient.reshape(-1, 64) @ layer.lora_B["default"].weight * layer.scaling["default"]
    reference.assert_close(layer.lora_A["default"].weight.grad, into_b.T @ seen_again, rtol=1e-4, atol=1e-7)
    fixed = layer.lora_velora_embed["default"].clone()
    loss_of(adapter.model, batches_of(adapter.model)[1])
    assert torch.equal(layer.lora_velora_embed["default"], fixed), "found in the first batch, then fixed"


@pytest.mark.parametrize("rows", [1, 3, 4096])
def test_rocoft_trains_the_first_rows(rows):
    adapter, setup = attached("rocoft", "llama", rows=rows)
    before = {name: linear(dense("llama"), name).weight for name in setup.structure.layers}
    deployed = trained(adapter, setup).deploy()
    for name, weight in before.items():
        moved = (linear(deployed, name).weight != weight).any(1)
        assert moved[:rows].all() and not moved[rows:].any()


def test_lora_xs_changes_a_weight_only_between_its_leading_singular_vectors():
    adapter, setup = attached("lora-xs", "bert", rank=4)
    name = setup.structure.blocks[0].query
    weight = linear(tiny_bert(), name).weight.detach().double()
    core_before = trained(adapter, setup).state()[f"{name}.core"].double().clone()
    deployed = adapter.deploy()
    change = linear(deployed, name).weight.double() - weight
    u, s, vt = torch.linalg.svd(weight)
    core = u[:, :4].T @ change @ vt[:4].T
    assert core.norm() > 1e-3
    reference.assert_close(u[:, :4] @ core @ vt[:4], change, rtol=0, atol=1e-6)
    learned = (core / s[:4, None] / 4).abs()  # α/r = 16/4; singular vectors are unique up to their signs
    reference.assert_close(learned, core_before.abs(), rtol=1e-3, atol=1e-6)


def test_bitfit_says_where_a_configuration_cannot_name_biases(tmp_path):
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = MistralForCausalLM(config).eval()
    before = logits(model)
    (note,) = add_zero_biases(model, structure_of(model))
    assert note.startswith("7 layers got biases that a configuration of the type 'mistral' cannot name")
    assert torch.equal(logits(model), before)
    assert add_zero_biases(dense("bert"), structure_of(dense("bert"))) == ()
    llama = tiny_llama()
    assert add_zero_biases(llama, structure_of(llama)) == ()
    llama.config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).attention_bias and AutoConfig.from_pretrained(tmp_path).mlp_bias


def test_the_head_alone_leaves_the_encoder_alone():
    assert "lm" not in METHODS["head"].tasks
    model = tiny_bert()
    before = copy.deepcopy(model.bert.encoder.state_dict())
    adapter, setup = attached("head", "bert", model)
    deployed = trained(adapter, setup).deploy()
    assert all(torch.equal(before[k], v) for k, v in deployed.bert.encoder.state_dict().items())


# --- two of four ------------------------------------------------------------------------------------------------------


def slow_two_of_four(scores):
    mask = torch.zeros_like(scores, dtype=torch.bool)
    for row in range(len(scores)):
        for start in range(0, scores.shape[1], 4):
            best = sorted(range(start, start + 4), key=lambda column: -scores[row, column])[:2]
            mask[row, best] = True
    return mask


def test_the_mask_keeps_the_two_largest_of_every_four():
    scores = torch.rand(5, 24, generator=torch.Generator().manual_seed(3)).round(decimals=1)
    assert torch.equal(two_of_four_mask(scores), slow_two_of_four(scores))
    assert sorted(TWO_OF_FOUR) == sorted(set(itertools.permutations((1, 1, 0, 0))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["magnitude-2:4", "wanda-2:4"])
def test_one_shot_masks_keep_what_their_metric_says(name, kind):
    """Wanda's norms by hand: what enters every layer of the dense model at the positions that count."""
    adapter, setup = attached(name, kind)
    model = dense(kind)
    for layer_name in setup.structure.layers:
        layer = model.get_submodule(layer_name)
        rows = []
        with torch.no_grad():
            hook = layer.register_forward_hook(lambda m, args, out, rows=rows: rows.append(args[0]))
            for batch in batches_of(model):
                model(**batch)
                mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
                rows[-1] = rows[-1][mask]
            hook.remove()
        norms = torch.cat(rows).norm(dim=0) if name == "wanda-2:4" else torch.ones(layer.in_features)
        expected = layer.weight * slow_two_of_four(layer.weight.detach().abs() * norms)
        assert torch.equal(linear(adapter.model, layer_name).weight, expected)
    removal = adapter.removal()
    assert removal.removed_fraction == 0.5 and removal.removed_parameters * 2 == removal.gated_parameters
    assert removal.soft_sparsity is None and "43.75%" in METHODS[name].warning


def test_the_models_inputs_are_left_as_they_were_when_norms_are_taken():
    setup = setup_of(dense("bert"))
    setup.model.train()
    assert len(finish(input_norms(setup, setup.structure.layers, 1))) == len(setup.structure.layers)
    assert setup.model.training and not any(m._forward_pre_hooks for m in setup.model.modules())


def test_inputs_that_are_no_multiple_of_four_are_refused():
    model = dense("bert")
    name = structure_of(model).blocks[1].mlp_output
    model.set_submodule(name, nn.Linear(94, 64))
    with pytest.raises(UserError, match=rf"{name}: two of every four inputs .* but there are 94: choose another"):
        create_method("magnitude-2:4").attach(setup_of(model))


def test_maskllm_begins_at_its_prior_and_sharpens_its_samples():
    for wanda in (0, 1):
        adapter, setup = attached("maskllm", "llama", prior_strength=100.0, wanda_prior=wanda)
        one_shot, _ = attached("wanda-2:4" if wanda else "magnitude-2:4", "llama")
        assert torch.equal(logits(adapter.model), logits(one_shot.model)), "so strong a prior decides"
    adapter, _ = attached("maskllm", "llama")
    layer = next(iter(adapter.layers.values()))
    adapter.before_step(0.0)
    assert (layer.sampling.temperature, layer.sampling.scale) == (4.0, 100.0)
    torch.manual_seed(0)
    soft = layer.soft_mask()
    assert ((soft > 0.1) & (soft < 0.9)).float().mean() > 0.5
    reference.assert_close(soft.view(-1, 4).sum(1), torch.full((soft.numel() // 4,), 2.0), rtol=0, atol=1e-5)
    adapter.before_step(1.0)
    assert (layer.sampling.temperature, layer.sampling.scale) == pytest.approx((0.05, 500.0))
    hard = layer.soft_mask()
    assert ((hard - layer.mask()).abs() < 1e-3).float().mean() > 0.95


def test_the_samples_of_maskllm_are_gumbel_softmax_and_its_penalty_the_kept_energy():
    adapter, setup = attached("maskllm", "bert", regularisation=0.1)
    adapter.before_step(0.5)
    layer = next(iter(adapter.layers.values()))
    torch.manual_seed(5)
    noise = -torch.empty_like(layer.logits).exponential_().log()
    torch.manual_seed(5)
    soft = layer.soft_mask()
    choice = ((layer.logits * 300 + noise) / 2.025).exp()
    choice = choice / choice.sum(1, keepdim=True)
    expected = sum(choice[:, k, None] * torch.tensor(p) for k, p in enumerate(TWO_OF_FOUR)).view(soft.shape)
    reference.assert_close(soft, expected, rtol=1e-4, atol=1e-5)
    torch.manual_seed(6)
    penalty = adapter.penalty()
    torch.manual_seed(6)
    energy = sum((each.base.weight * each.soft_mask()).square().sum() for each in adapter.layers.values())
    assert penalty.item() == pytest.approx(-0.1 * energy.item(), rel=1e-5) and penalty.requires_grad
    assert attached("maskllm", "bert", regularisation=0.0)[0].penalty() is None


def test_maskllm_learns_a_mask_that_a_toy_loss_asks_for():
    """One layer whose output must equal that of a hidden 2:4 mask: from no prior the logits find it."""
    torch.manual_seed(0)
    base = nn.Linear(16, 12, bias=False).requires_grad_(False)
    hidden = two_of_four_mask(torch.rand(12, 16))
    layer = MaskedLinear(base, torch.zeros(12, 16, dtype=torch.bool), 0.0, Sampling())
    optimizer = torch.optim.AdamW([layer.logits], lr=1e-2)
    x = torch.randn(256, 16)
    target = x @ (base.weight * hidden).T
    for step in range(300):
        layer.sampling.move(step / 300)
        optimizer.zero_grad()
        (layer.train()(x) - target).square().mean().backward()
        optimizer.step()
    assert (layer.mask().bool() == hidden).float().mean() > 0.95
    error = (layer.eval()(x) - target).square().mean() / target.square().mean()
    assert error < 0.02


# --- APT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_apt_removes_the_target_and_not_much_more(kind):
    adapter, setup = attached("apt", kind)
    trained(adapter, setup, steps=10)
    adapter.finish()
    removal = adapter.removal()
    assert 0.4 <= removal.removed_fraction < 0.4 + 0.15, "a head of these tiny models is 6 % of all"
    before = sum(linear(_made(kind), name).weight.numel() for name in setup.structure.layers)
    deployed = adapter.deploy()
    left = sum(deployed.get_submodule(name).weight.numel() for name in setup.structure.layers)
    assert removal.gated_parameters == before and removal.removed_parameters == before - left


def test_apt_masks_fade_and_never_come_back_once_they_are_closed():
    adapter, setup = attached("apt", "bert")
    closed, faded = None, False
    for step in range(20):
        adapter.before_step(step / 20)
        loss_of(adapter.model.train(), list(setup.batches())[step % 2]).backward()
        adapter.after_backward()
        adapter.after_step()
        masks = torch.cat([layer.mask for layer in adapter.masked.values()])
        assert closed is None or not masks[closed].any()
        closed, faded = masks == 0, faded or bool(((masks > 0) & (masks < 1)).any())
    assert faded and set(masks.tolist()) == {0.0, 1.0} and adapter.removal().soft_sparsity > 0.2


def test_the_salience_of_apt_is_activations_times_gradients_and_outliers():
    adapter, setup = attached("apt", "bert")
    name = setup.structure.blocks[1].output
    layer, batch = adapter.masked[name], list(setup.batches())[0]
    seen = {}
    layer.base.register_forward_hook(lambda m, args, out: seen.update(x=args[0]))
    adapter.before_step(0.0)
    loss = loss_of(adapter.model.train(), batch)
    (gradient,) = torch.autograd.grad(loss, seen["x"], retain_graph=True)
    layer.salience.zero_()  # the gradient above was watched as well
    loss.backward()
    x = seen["x"].detach()
    for head in range(4):
        columns = slice(16 * head, 16 * head + 16)
        expected = sum(x[..., c].abs().sum() * gradient[..., c].abs().sum() for c in range(64)[columns])
        assert layer.salience[head].item() == pytest.approx(0.15 * expected.item(), rel=1e-4)
        products = torch.einsum("btc,oc->btoc", x[..., columns], layer.base.weight.detach()[:, columns]).flatten()
        kurtosis = products.pow(4).mean() / products.square().mean().square()
        assert layer.root_kurtosis[head].item() == pytest.approx(kurtosis.sqrt().item(), rel=1e-4)
    adapter.after_step()
    before = layer.salience.clone()
    loss_of(adapter.model, batch).backward()
    assert torch.equal(layer.salience, before), "outside of a step nothing is watched"


def test_ranks_of_apt_grow_where_they_matter_and_change_nothing_at_that_moment():
    adapter, setup = attached("apt", "llama", rank=2, max_rank=3, growths=1)
    count = adapter.trainable_count()
    trained(adapter, setup, steps=1)
    ranked = sorted(adapter.adapters.values(), key=lambda layer: -layer.importance)
    before = logits(adapter.model)
    adapter.grow()
    reference.assert_close(logits(adapter.model), before, rtol=0, atol=1e-6)
    assert [layer.active for layer in ranked] == [3] * (len(ranked) // 2) + [2] * (len(ranked) - len(ranked) // 2)
    assert count < adapter.trainable_count() <= count * 1.5


def test_a_target_that_apt_cannot_reach_is_refused():
    torch.manual_seed(0)
    adapter = create_method("apt").attach(setup_of(dense("llama"), target=0.9))
    with pytest.raises(UserError, match="The target is out of reach"):
        adapter.finish()
