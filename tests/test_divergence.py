"""KL divergence and equal top-1 tokens against the obvious version, which runs both models."""

from __future__ import annotations

import architectures
import numpy as np
import pytest
import torch
from tiny import finish
from torch import nn

from compression.errors import UserError
from compression.evaluation import divergence
from compression.evaluation.divergence import DenseStates, Divergence, dense_states
from compression.evaluation.perplexity import measure_perplexity
from compression.linalg import truncated_svd
from compression.modules import LowRankLinear
from compression.sites import compressed_copy, find_sites, output_head, site_bias, site_weight
from compression.types import TextSource

SOURCE = TextSource("test", "0", 0)
TOKENS = torch.randint(0, architectures.VOCABULARY, (100,), generator=torch.Generator().manual_seed(0))
WINDOWS = TOKENS.view(5, 20)


def states_of(model) -> DenseStates:
    with dense_states(model) as states:
        finish(measure_perplexity(model, TOKENS, SOURCE, 8, window=20))
    return states


def low_rank(model, rank: int):
    layers = {}
    for site in find_sites(model):
        left, right = truncated_svd(site_weight(model, site).T, rank)
        layers[site.name] = LowRankLinear(left, right, site_bias(model, site))
    return compressed_copy(model, layers)


def oracle(dense, compressed) -> tuple[torch.Tensor, torch.Tensor]:
    """Divergence and agreement of every position, (positions,) each."""
    with torch.inference_mode():
        p = torch.cat([dense(w[None]).logits[0, :-1] for w in WINDOWS]).double()
        q = torch.cat([compressed(w[None]).logits[0, :-1] for w in WINDOWS]).double()
    kl = (p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum(-1)
    return kl, p.argmax(-1) == q.argmax(-1)


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_it_equals_running_both_models_and_runs_the_compressed_one_once(architecture, monkeypatch):
    monkeypatch.setattr(divergence, "CHUNK_VALUES", 7 * architectures.VOCABULARY)  # several chunks a window
    dense = architectures.loaded(architecture).model
    compressed = low_rank(dense, 12)
    meter = Divergence(states_of(dense))
    calls = []
    compressed.register_forward_pre_hook(lambda *_: calls.append(1))
    measured = finish(measure_perplexity(compressed, TOKENS, SOURCE, 8, window=20, reference=meter))
    report = meter.report()
    assert len(calls) == 5
    plain = finish(measure_perplexity(compressed, TOKENS, SOURCE, 8, window=20))
    assert measured.perplexity == plain.perplexity, "looking at the logits does not change them"
    kl, equal = oracle(dense, compressed)
    assert report.positions == len(kl) == measured.tokens
    assert report.mean_kl == pytest.approx(float(kl.mean()), rel=1e-5) and report.mean_kl > 1e-4
    assert report.p99_kl == pytest.approx(float(np.percentile(kl.numpy(), 99)), rel=1e-5)
    assert report.top1_agreement == float(equal.double().mean())
    assert architecture == "llama" or report.top1_agreement < 1, (
        "the tied random Llama repeats its input whatever is lost"
    )


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_a_model_does_not_diverge_from_itself(architecture):
    dense = architectures.loaded(architecture).model
    meter = Divergence(states_of(dense))
    finish(measure_perplexity(dense, TOKENS, SOURCE, 8, window=20, reference=meter))
    report = meter.report()
    assert report.mean_kl == pytest.approx(0, abs=1e-11) and report.p99_kl == pytest.approx(0, abs=1e-11)
    assert report.top1_agreement == 1


def test_collecting_leaves_the_model_as_it_was_even_when_it_is_cut_short():
    model = architectures.loaded("llama").model

    def work():
        with dense_states(model) as states:
            yield from measure_perplexity(model, TOKENS, SOURCE, 8, window=20)
            raise AssertionError(states)

    running = work()
    next(running)
    assert output_head(model)._forward_pre_hooks
    running.close()
    assert not output_head(model)._forward_pre_hooks


def given(p: torch.Tensor) -> DenseStates:
    """States of a dense model whose head changes nothing."""
    return DenseStates(nn.Identity(), [p])


def test_it_is_the_divergence_from_dense_and_not_to_it():
    p, q = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    meter = Divergence(given(p))
    meter.update(q, 0)
    assert meter.report().mean_kl == pytest.approx(0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5), rel=1e-6)


def test_it_grows_with_the_square_of_a_small_disturbance():
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(200, 50, generator=generator)
    noise = torch.randn(200, 50, generator=generator)
    reports = []
    for size in (0.01, 0.1, 1.0):
        meter = Divergence(given(p))
        meter.update(p + size * noise, 0)
        reports.append(meter.report())
    small, middle, large = reports
    assert middle.mean_kl == pytest.approx(100 * small.mean_kl, rel=0.05)
    assert small.p99_kl < middle.p99_kl < large.p99_kl and all(r.mean_kl < r.p99_kl for r in reports)
    assert 1 >= small.top1_agreement > middle.top1_agreement > large.top1_agreement


def test_windows_are_pooled_over_positions():
    p = torch.tensor([[2.0, 0.0]])
    meter = Divergence(DenseStates(nn.Identity(), [p, p.repeat(3, 1)]))
    meter.update(torch.tensor([[0.0, 2.0]]), 0)
    meter.update(p.repeat(3, 1), 1)
    report = meter.report()
    assert report.top1_agreement == 0.75 and report.positions == 4
    single = Divergence(given(p))
    single.update(torch.tensor([[0.0, 2.0]]), 0)
    assert report.mean_kl == pytest.approx(single.report().mean_kl / 4)


def test_other_windows_than_the_dense_models_are_refused():
    meter = Divergence(given(torch.zeros(3, 4)))
    with pytest.raises(UserError, match="No window has been compared"):
        meter.report()
    with pytest.raises(UserError, match="Window 1 has 2 scored positions, but 3 in the dense model"):
        meter.update(torch.zeros(2, 4), 0)
