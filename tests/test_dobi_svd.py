"""Dobi-SVD's weight update: the streamed subspace, the pipeline that shows the inputs, and mixed storage."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import tiny
import torch
from sklearn.decomposition import IncrementalPCA

from compression import accounting
from compression.calibration import SiteStatistics, collect
from compression.evaluation.latency import FORMS
from compression.layer_types import LAYER_TYPES
from compression.methods import create_method
from compression.methods.dobi_svd import HELD, REMAPPING_NOTE, merge_rows
from compression.models import LoadedModel
from compression.modules import MixedLowRankLinear
from compression.pipeline import compress, finish, relative_output_error
from compression.sites import find_sites, site_weight
from compression.types import Allocation, CompressionPlan


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sequences_of_inputs(count=6, length=50, width=30, seed=0):
    """Inputs that share a falling spectrum, each sequence with a little of its own."""
    g = generator(seed)
    mixing = torch.randn(width, width, generator=g) * torch.logspace(0, -1.5, width)
    own = 0.1 * torch.randn(count, width, width, generator=g)
    return torch.randn(count, length, width, generator=g) @ (mixing + own)


def projector(vectors):
    basis = torch.linalg.qr(vectors.double())[0]
    return basis @ basis.T


def observed(method, weight, inputs, fraction, batch=2):
    seen = None
    for part in inputs.split(batch):
        seen = method.observe(weight, part, seen, fraction)
    return seen


def test_merging_batch_by_batch_equals_one_decomposition_where_nothing_is_left_out():
    rows = torch.randn(60, 12, generator=generator(), dtype=torch.float64)
    kept = torch.zeros(0, 12, dtype=torch.float64)
    for part in rows.split(7):
        kept = merge_rows(torch.cat([kept, part]), 12)
    reference.assert_close(kept.T @ kept, rows.T @ rows, rtol=1e-9, atol=1e-9)
    values = torch.linalg.svdvals(rows)
    reference.assert_close(torch.linalg.vector_norm(kept, dim=1), values, rtol=1e-9)


def test_merging_with_truncation_equals_sklearn_on_rows_without_a_mean():
    """Rows come with their negatives, so that sklearn's mean is zero and nothing but the merging is compared."""
    rows = torch.randn(80, 12, generator=generator(1), dtype=torch.float64) * torch.logspace(0, -1, 12)
    oracle, kept = IncrementalPCA(n_components=5), torch.zeros(0, 12, dtype=torch.float64)
    for part in rows.split(10):
        oracle.partial_fit(np.concatenate([part, -part]))
        kept = merge_rows(torch.cat([kept, part]), 5)
    reference.assert_close(projector(kept.T), projector(torch.from_numpy(oracle.components_.T)), rtol=0, atol=1e-8)
    lengths = torch.linalg.vector_norm(kept, dim=1) * 2**0.5  # every row counts twice there
    reference.assert_close(lengths, torch.from_numpy(oracle.singular_values_), rtol=1e-8)


def test_every_sequence_counts_alike_and_without_truncation_in_merging_it_is_batch_pca():
    """The subspace is that of the mean projector on the sequences' own subspaces, however loud a sequence is."""
    inputs = sequences_of_inputs()
    weight = torch.randn(24, 30, generator=generator(2))
    fraction = 0.5
    method = create_method("dobi-svd", equal_weights=1)
    rank = accounting.rank_for(24, 30, fraction)

    def shown(inputs, batch):
        return merge_rows(observed(method, weight, inputs, fraction, batch), rank)

    right = [torch.linalg.svd((x @ weight.T).double(), full_matrices=False)[2][:rank] for x in inputs]
    exact = torch.linalg.eigh(sum(v.T @ v for v in right)).eigenvectors[:, -rank:]
    at_once = shown(inputs, len(inputs))
    reference.assert_close(projector(at_once.T), projector(exact), rtol=0, atol=1e-3)
    loud = inputs * torch.tensor([100.0, 1, 1, 1, 1, 1])[:, None, None]
    reference.assert_close(projector(shown(loud, 6).T), projector(exact), rtol=0, atol=1e-3)
    streamed = shown(inputs, 2)
    assert streamed.shape == (rank, 24)
    overlap = float((projector(streamed.T) * projector(exact)).sum()) / rank
    assert overlap > 0.9, "what merging batch by batch leaves out is little"


def test_the_streamed_subspace_is_that_of_all_activations_together():
    """Incremental PCA of the activations themselves: SVD-LLM's optimum but for what merging leaves out."""
    inputs = sequences_of_inputs()
    weight = torch.randn(24, 30, generator=generator(2))
    method = create_method("dobi-svd")
    rank = accounting.rank_for(24, 30, 0.5)
    activations = (inputs.flatten(0, 1) @ weight.T).double()
    values = torch.linalg.svdvals(activations)
    seen = observed(method, weight, inputs, 0.5)
    assert len(seen) <= HELD * 24 < len(activations), "merged on the way"
    merged = merge_rows(seen, rank)
    kept = (activations @ projector(merged.T)).square().sum()
    assert kept <= values[:rank].square().sum() * (1 + 1e-6)
    lost, least = activations.square().sum() - kept, values[rank:].square().sum()
    assert lost <= 1.05 * least


@pytest.mark.parametrize(("remapping", "equal_weights", "most"), [(0, 0, 1.02), (0, 1, 1.15), (1, 0, 1.17)])
def test_the_output_error_is_close_to_the_optimum_of_its_rank(remapping, equal_weights, most):
    inputs = sequences_of_inputs()
    weight = torch.randn(24, 30, generator=generator(2))
    rows = inputs.flatten(0, 1)
    method = create_method("dobi-svd", remapping=remapping, equal_weights=equal_weights)
    statistics = SiteStatistics(rows.T @ rows, len(rows), observed=observed(method, weight, inputs, 0.5))
    layer = method.compress(weight, None, statistics, 0.5).layer
    values = torch.linalg.svdvals((rows @ weight.T).double())
    optimum = float((values[layer.rank :].square().sum() / values.square().sum()).sqrt())
    error = relative_output_error(weight, layer.dense_weight(), statistics.gram)
    assert optimum * 0.999 <= error <= most * optimum + 0.02 * remapping


def test_without_observation_it_is_the_exact_optimum():
    rows = sequences_of_inputs().flatten(0, 1)
    weight = torch.randn(24, 30, generator=generator(2))
    statistics = SiteStatistics(rows.T @ rows, len(rows))
    ours = create_method("dobi-svd").compress(weight, None, statistics, 0.5).layer.dense_weight()
    optimum = create_method("svd-llm").compress(weight, None, statistics, 0.5).layer.dense_weight()
    reference.assert_close(ours, optimum, rtol=0, atol=5e-3)


def plan_for(method, sites, fraction, **settings):
    fractions = {site.name: 0.0 if site.projection.endswith("o_proj") else fraction for site in sites}
    return CompressionPlan("tiny", "", method, settings, Allocation("uniform", fraction, fractions), None)


def test_the_pipeline_shows_the_inputs_of_every_sequence():
    model = tiny.tiny_llama()
    sites = find_sites(model)
    sequences = torch.randint(3, 300, (5, 40), generator=generator(4))
    calibration = finish(collect(model, sites, sequences))
    loaded = LoadedModel("tiny", "Tiny", "", model, None, "", "float16")
    plan = plan_for("dobi-svd", sites, 0.3, equal_weights=1)
    blind = finish(compress(loaded, sites, plan, calibration))
    made = finish(compress(loaded, sites, plan, calibration, sequences=sequences))
    method = create_method("dobi-svd", equal_weights=1)
    for site in (sites[0], sites[9]):
        seen = []
        handle = model.get_submodule(site.name).register_forward_pre_hook(
            lambda _, inputs, to=seen: to.append(inputs[0])
        )
        with torch.no_grad():
            model(sequences[:2]), model(sequences[2:4]), model(sequences[4:])
        handle.remove()
        weight = site_weight(model, site)
        kept = None
        for batch in seen:
            kept = method.observe(weight, batch, kept, 0.3)
        statistics = SiteStatistics(calibration.grams[site.input_group], 200, observed=kept)
        expected = method.compress(weight, None, statistics, 0.3).layer.dense_weight()
        actual = made.model.get_submodule(site.name).dense_weight()
        reference.assert_close(actual, expected, rtol=0, atol=1e-3)
        assert (actual - blind.model.get_submodule(site.name).dense_weight()).abs().max() > 1e-3
    dense = next(report for report in made.report.sites if report.projection.endswith("o_proj"))
    assert dense.representation == "dense"
    assert [report.name for report in made.report.sites] == [site.name for site in sites]


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (30, 30)])
def test_mixed_storage_keeps_more_ranks_in_the_same_bits_and_nearly_the_same_values(shape):
    g = generator(6)
    rank = 12
    left, right = torch.randn(shape[1], rank, generator=g), torch.randn(rank, shape[0], generator=g)
    layer = MixedLowRankLinear(left, right)
    exact = (left @ right).T
    assert float((layer.dense_weight() - exact).norm() / exact.norm()) < 0.012
    first, second = layer.factors()
    longer = first.T if shape[1] > shape[0] else second.T
    original = left if shape[1] > shape[0] else right.T
    if shape[0] != shape[1]:
        tail = longer[min(shape) :]
        scale = tail.norm(dim=0) / original[min(shape) :].norm(dim=0)
        reference.assert_close(tail, original[min(shape) :] * scale, rtol=2e-3, atol=1e-4)
    for fraction in (0.1, 0.3, 0.6):
        mixed = accounting.mixed_rank_for(*shape, fraction)
        assert mixed > accounting.rank_for(*shape, fraction)
        bits = accounting.mixed_low_rank_bits(*shape, mixed)
        assert bits <= (1 - fraction) * accounting.dense_bits(*shape)
        assert mixed == min(shape) or bits + accounting.mixed_low_rank_bits(*shape, 1) > (
            1 - fraction
        ) * accounting.dense_bits(*shape)


def test_remapping_says_that_it_is_quantisation_and_keeps_the_budget():
    rows = sequences_of_inputs().flatten(0, 1)
    weight = torch.randn(24, 30, generator=generator(2))
    statistics = SiteStatistics(rows.T @ rows, len(rows), torch.eye(24), 10)
    errors = {}
    for remapping in (0, 1):
        method = create_method("dobi-svd", remapping=remapping)
        result = method.compress(weight, None, statistics, 0.3)
        assert (REMAPPING_NOTE in result.notes) == bool(remapping)
        assert result.layer.stored_bits() <= 0.7 * accounting.dense_bits(24, 30)
        errors[remapping] = relative_output_error(weight, result.layer.dense_weight(), statistics.gram)
        curve = method.predicted_losses(weight, statistics, (0.1, 0.3, 0.6)).tolist()
        assert curve == sorted(curve)
    assert errors[1] < 0.7 * errors[0], "more ranks are worth more than exact values"
    assert method.learning(3).remapping and method.learning(3).seed == 3


def test_every_form_a_layer_can_run_in_has_words():
    assert {name for name, _ in FORMS} == set(LAYER_TYPES)
    one_form = {"2:4", "int4", "int8", "int8 weights", "rows and columns"}
    one_form |= {"quantized", "quantized-2:4", "quantized rows and columns"}
    assert len(FORMS) == 2 * len(LAYER_TYPES) - len(one_form)
