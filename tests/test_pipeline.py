"""Plan → compressed model → disk → the same model, for every architecture, on small real instances."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from functools import cache as once
from pathlib import Path

import architectures
import pytest
import reference
import torch
from safetensors import safe_open

from compression import export, pipeline
from compression.allocation import Evidence, Spectra, allocate
from compression.calibration import Calibration, Gradients, collect, collect_gradients, observed_inputs
from compression.errors import UserError
from compression.methods import METHODS, create_method
from compression.models import LoadedModel
from compression.modules import CompressedLinear
from compression.pipeline import finish
from compression.sites import decoder_of, find_sites, site_weight
from compression.streams import BATCH_SEQUENCES
from compression.types import CalibrationSettings, CompressionPlan, LinearSite, TextSource

pytestmark = pytest.mark.usefixtures("two_sites_at_a_time")

TOKENS = torch.randint(0, architectures.VOCABULARY, (8, 64), generator=torch.Generator().manual_seed(0))
CASES = [(a, m) for a in architectures.CONFIGS for m in METHODS if not METHODS[m].joint]


@once
def prepared(architecture: str) -> tuple[LoadedModel, tuple[LinearSite, ...], Calibration, Gradients, Spectra]:
    """A model with its sites and statistics, made once; no test may change it."""
    source = architectures.loaded(architecture)
    sites = find_sites(source.model)
    calibration = finish(collect(source.model, sites, TOKENS))
    gradients = finish(collect_gradients(source.model, sites, TOKENS))
    return source, sites, calibration, gradients, finish(pipeline.measure_spectra(source.model, sites))


@once
def compressed(
    architecture: str, method: str, policy: str | None = None, fraction: float = 0.3
) -> pipeline.CompressedModel:
    """A compressed model, made once; no test may change it. A method of one fixed share knows no policy but uniform."""
    policy = policy or ("pooled" if METHODS[method].fixed_fraction is None else "uniform")
    source, sites, calibration, gradients, spectra = prepared(architecture)
    plan = CompressionPlan(
        model_id=source.id,
        weights_hash=source.weights_hash,
        method=method,
        settings={},
        allocation=allocate(policy, sites, Evidence(spectra), fraction),
        calibration=CalibrationSettings(TextSource("random", "0", 0), 8, 64),
    )
    return finish(pipeline.compress(source, sites, plan, calibration, gradients))


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(TOKENS[:2]).logits


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_sites_are_the_linear_layers_of_the_blocks_and_nothing_else(architecture):
    model = architectures.loaded(architecture).model
    sites = find_sites(model)
    assert len(sites) == 2 * architectures.PROJECTIONS[architecture]
    assert {site.block for site in sites} == {0, 1}
    assert not any(word in site.name for site in sites for word in ("lm_head", "embed", "wte", "norm", "ln_"))
    if architecture == "gpt2":  # Conv1D stores (in, out)
        assert (sites[0].projection, sites[0].out_features, sites[0].in_features) == ("attn.c_attn", 144, 48)
    if architecture == "llama":  # grouped queries: fewer key rows than query rows
        assert [s.out_features for s in sites[:3]] == [48, 16, 16]


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_compression_removes_what_was_asked_and_leaves_the_rest(architecture, method):
    result = compressed(architecture, method)
    source, report = result.source, result.report
    assert 0.3 <= report.removed_fraction < 0.36 or report.removed_fraction == METHODS[method].fixed_fraction
    assert 0 < report.whole_model_removed_fraction < report.removed_fraction
    assert not any(isinstance(m, CompressedLinear) for m in source.model.modules()), "the dense model was changed"
    head = result.model.get_output_embeddings()
    assert head.weight.data_ptr() == source.model.get_output_embeddings().weight.data_ptr(), "dense tensors are shared"
    layers = {n: m for n, m in result.model.named_modules() if isinstance(m, CompressedLinear)}
    assert set(layers) == {site.name for site in report.sites if site.representation != "dense"}
    for site in report.sites:
        assert site.removed_fraction >= site.removed_fraction_target - 1e-9
        if site.name in layers:
            assert (layers[site.name].bias is None) == (source.model.get_submodule(site.name).bias is None)


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_a_compressed_model_computes_what_its_dense_weights_say(architecture):
    """Put `dense_weight()` back into the dense architecture: the logits must agree, biases and all."""
    result = compressed(architecture, "compot")
    twin = architectures.loaded(architecture).model
    with torch.no_grad():
        for name, layer in result.model.named_modules():
            if isinstance(layer, CompressedLinear):
                weight = twin.get_submodule(name).weight
                dense = layer.dense_weight()
                weight.copy_(dense if weight.shape == dense.shape and architecture != "gpt2" else dense.T)
    torch.testing.assert_close(logits(result.model), logits(twin), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_a_saved_model_loads_with_the_same_size_and_the_same_logits(architecture, method, tmp_path):
    result = compressed(architecture, method)
    export.save(result, tmp_path / "out")
    loaded = export.load(tmp_path / "out")
    assert torch.equal(logits(loaded.model), logits(result.model))
    assert loaded.report == result.report
    saved = reference.as_saved(loaded.model, loaded.source.storage_dtype)
    stored = sum(8 * tensor.nbytes for tensor in saved.values())
    assert pipeline.stored_bits(loaded.model) == stored
    assert stored == result.report.stored_bits
    export.save(loaded, tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "out" / "model.safetensors"
    ).read_bytes()


def test_stored_bits_are_the_bytes_of_the_tensors_in_the_file(tmp_path):
    result = compressed("llama", "compot")
    export.save(result, tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - not a dict
    assert sum(8 * t.numel() * t.element_size() for t in tensors) == result.report.stored_bits
    assert {t.dtype for t in tensors} <= {torch.float16, torch.uint8}, "what stays dense is stored in 16 bits too"
    assert result.report.original_bits == 16 * sum(p.numel() for p in result.source.model.parameters())


def test_a_fresh_process_gives_the_same_bits(tmp_path):
    result = compressed("llama", "compot")
    export.save(result, tmp_path / "out")
    torch.save(logits(result.model), tmp_path / "logits.pt")
    code = (
        "import sys, torch; from pathlib import Path; from compression import export\n"
        "sys.path.insert(0, 'tests'); from test_pipeline import logits\n"
        f"loaded = export.load(Path({str(tmp_path / 'out')!r}))\n"
        f"assert torch.equal(logits(loaded.model), torch.load({str(tmp_path / 'logits.pt')!r}, weights_only=True))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent, timeout=120)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 100),
        lambda folder: (folder / "compression.json").write_text("{}"),
        lambda folder: (folder / "compression.json").write_text(
            (folder / "compression.json").read_text().replace('"num_atoms":', '"rank":', 1)
        ),
        lambda folder: (folder / "config.json").unlink(),
    ],
    ids=["no tensors", "broken tensors", "empty report", "wrong quantities", "no config"],
)
def test_a_damaged_directory_is_refused_in_one_sentence(damage, tmp_path):
    export.save(compressed("llama", "compot"), tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(UserError) as caught:
        export.load(tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_saving_never_overwrites(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(UserError, match="not empty"):
        export.save(compressed("llama", "svd"), tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear diary"


def test_a_full_disk_leaves_nothing_behind(small_disk):
    result = compressed("llama", "svd-llm", fraction=0.1)
    (small_disk / "ballast").write_bytes(b"\0" * 1_000_000)
    with pytest.raises(UserError, match="full"):
        export.save(result, small_disk / "out")
    assert [p.name for p in small_disk.iterdir()] == ["ballast"]


def test_the_report_is_plain_json_with_the_whole_plan(tmp_path):
    export.save(compressed("llama", "compot"), tmp_path / "out")
    plan = json.loads((tmp_path / "out" / "compression.json").read_text())["report"]["plan"]
    assert plan["method"] == "compot" and plan["allocation"]["policy"] == "pooled"
    assert len(plan["allocation"]["removed_fractions"]) == 14


def test_missing_statistics_are_refused():
    source, sites, inputs, *_ = prepared("llama")
    allocation = allocate("uniform", sites, Evidence(), 0.3)
    plan = CompressionPlan(source.id, "", "compot", {}, allocation, None)
    with pytest.raises(UserError, match="compot needs calibration text"):
        finish(pipeline.compress(source, sites, plan, None))
    plan = CompressionPlan(source.id, "", "svd-fisher", {}, allocation, None)
    with pytest.raises(UserError, match="svd-fisher needs output gradients"):
        finish(pipeline.compress(source, sites, plan, inputs))


def test_an_unsupported_architecture_is_refused():
    model = architectures.loaded("llama").model
    model.config.model_type = "mamba"
    with pytest.raises(UserError, match="architecture 'mamba' is not supported: expected one of llama"):
        find_sites(model)


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
@pytest.mark.parametrize("name", ["svd-llm", "compot-fisher"])
def test_fisher_predicts_less_loss_than_any_other_policy_on_every_architecture(architecture, name):
    source, sites, inputs, outputs, spectra = prepared(architecture)
    curves = finish(pipeline.measure_curves(source.model, sites, create_method(name), inputs, outputs))
    evidence = Evidence(spectra, curves)
    predicted = {
        policy: curves.total(allocate(policy, sites, evidence, 0.3).removed_fractions)
        for policy in ("uniform", "pooled", "fisher")
    }
    assert predicted["fisher"] <= 1.001 * min(predicted.values())
    assert predicted["fisher"] < predicted["uniform"]


def test_a_site_whose_gradients_vanish_is_named():
    source, sites, inputs, outputs, _ = prepared("llama")
    silent = dict(outputs.output_grams) | {sites[3].name: torch.zeros(sites[3].out_features, sites[3].out_features)}
    outputs = dataclasses.replace(outputs, output_grams=silent)
    with pytest.raises(UserError, match=f"{sites[3].name}: .* all zero"):
        finish(pipeline.measure_curves(source.model, sites, create_method("svd-fisher"), inputs, outputs))


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_a_method_that_observes_sees_the_dense_model_s_inputs_sequence_by_sequence(architecture):
    """Given the text, the pipeline shows every sequence once: the same layer as observing all inputs by hand."""
    source, sites, calibration, *_ = prepared(architecture)
    inputs: dict[str, torch.Tensor] = {}
    with torch.inference_mode(), observed_inputs(source.model, {s.name: s for s in sites}, inputs.__setitem__):
        decoder_of(source.model)(TOKENS)
    plan = CompressionPlan(
        source.id, source.weights_hash, "dobi-svd", {}, allocate("uniform", sites, Evidence(), 0.3), None
    )
    made = finish(pipeline.compress(source, sites, plan, calibration, sequences=TOKENS))
    method = create_method("dobi-svd")
    for site in sites:
        weight = site_weight(source.model, site)
        seen = None
        for batch in inputs[site.name].reshape(*TOKENS.shape, site.in_features).split(BATCH_SEQUENCES):
            seen = method.observe(weight, batch, seen, 0.3)
        statistics = dataclasses.replace(calibration.statistics(site.input_group), observed=seen)
        expected = method.compress(weight, None, statistics, 0.3).layer.dense_weight()
        reference.assert_close(
            made.model.get_submodule(site.name).dense_weight(), expected, rtol=0, atol=2e-3 * float(weight.abs().max())
        )
