"""Perplexity, latency and completions against obvious versions."""

from __future__ import annotations

import math
import time

import architectures
import pytest
import torch
from pydantic import TypeAdapter
from tiny import tiny_tokenizer

from compression.errors import UserError
from compression.evaluation.alignment import align
from compression.evaluation.generation import generate, pieces_of
from compression.evaluation.latency import describe_execution, measure_latency
from compression.evaluation.metrics import pooled_perplexity
from compression.evaluation.perplexity import evaluation_windows, interval, measure_perplexity, tokenize
from compression.evaluation.roofline import best_of, measure_machine, predict_seconds
from compression.modules import LowRankLinear
from compression.pipeline import finish
from compression.sites import compressed_copy, find_sites
from compression.types import LatencyReport, Machine, TextSource

SOURCE = TextSource("test", "0", 0)
TOKENS = torch.randint(0, architectures.VOCABULARY, (100,), generator=torch.Generator().manual_seed(0))


def test_perplexity_equals_the_models_own_loss():
    model = architectures.loaded("llama").model
    report = finish(measure_perplexity(model, TOKENS, SOURCE, 8, window=20))
    with torch.inference_mode():
        losses = [float(model(w[None], labels=w[None]).loss) for w in TOKENS.view(5, 20)]
    assert report.perplexity == pytest.approx(math.exp(sum(losses) / 5), rel=1e-5)
    assert report.window_losses == pytest.approx(losses, rel=1e-5)
    assert (report.tokens, report.windows, report.window, report.stride) == (95, 5, 20, 20)
    assert "first token of each unscored" in report.convention


def test_partial_results_end_in_the_final_one():
    model = architectures.loaded("gpt2").model
    steps = measure_perplexity(model, TOKENS, SOURCE, 8, window=20, max_windows=3)
    partials = []
    while True:
        try:
            partials.append(next(steps).partial)
        except StopIteration as stop:
            report = stop.value
            break
    assert [p.windows for p in partials] == [1, 2, 3]
    assert partials[0].low is None and partials[1].low < partials[1].perplexity < partials[1].high
    assert partials[-1].perplexity == report.perplexity


def test_pooling_is_over_tokens_not_over_windows():
    result = pooled_perplexity([[1.0], [3.0, 3.0, 3.0]])
    assert result["perplexity"] == pytest.approx(math.exp(2.5))
    assert result["tokens"] == 4
    assert pooled_perplexity([[1.0, 2.0]])["perplexity_stderr"] is None


def test_the_standard_error_is_the_textbook_one_for_equal_windows():
    means = [2.0, 2.2, 2.7, 1.9]
    result = pooled_perplexity([[m] * 50 for m in means])
    expected = torch.tensor(means, dtype=torch.float64).std().item() / 2
    assert result["perplexity_stderr"] == pytest.approx(math.exp(2.2) * expected, rel=1e-12)


def test_the_interval_widens_with_fewer_windows():
    few, many = interval(10.0, 1.0, 2), interval(10.0, 1.0, 100)
    assert few[0] < many[0] < 10 < many[1] < few[1]
    assert many[1] == pytest.approx(10 * math.exp(1.984 * 0.1), rel=1e-3)


def test_windows_do_not_overlap_and_a_short_text_is_one_window():
    assert [w.tolist() for w in evaluation_windows(torch.arange(7), 3, None)] == [[0, 1, 2], [3, 4, 5]]
    assert [w.tolist() for w in evaluation_windows(torch.arange(7), 3, 1)] == [[0, 1, 2]]
    assert [w.tolist() for w in evaluation_windows(torch.arange(5), 9, 4)] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("tokens", "window", "max_windows", "message"),
    [
        (torch.arange(1), 8, None, "has 1 token: perplexity needs at least two"),
        (torch.arange(0), 8, None, "has 0 tokens"),
        (torch.arange(50), 1, None, "at least 2 tokens"),
        (torch.arange(50), 8, 0, "At least one window"),
        (torch.arange(50), 300, None, "longer than the model's context of 256"),
    ],
)
def test_hopeless_measurements_are_refused(tokens, window, max_windows, message):
    model = architectures.loaded("llama").model
    with pytest.raises(UserError, match=message):
        finish(measure_perplexity(model, tokens, SOURCE, 8, window, max_windows))


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_completions_equal_greedy_generation_by_transformers(architecture):
    source = architectures.loaded(architecture)
    prompt = "The quick brown"
    ours = finish(generate(source.model, source.tokenizer, prompt, 12))
    tokens = tokenize(source.tokenizer, prompt)[None]
    theirs = source.model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=source.tokenizer.eos_token_id,
        pad_token_id=0,
    )
    new = theirs[0, tokens.shape[1] :]
    assert ours.text == source.tokenizer.decode(new, skip_special_tokens=False).removesuffix("</s>")
    assert list(ours.token_ids) == [token for token in new.tolist() if token != source.tokenizer.eos_token_id]
    assert ours.prompt == prompt and len(ours.pieces) == len(ours.token_ids)


def test_the_steps_of_a_completion_grow_by_one_token():
    source = architectures.loaded("llama")
    steps = [step.partial for step in generate(source.model, source.tokenizer, "The quick brown", 6)]
    assert [len(step.token_ids) for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.text == source.tokenizer.decode(list(step.token_ids)) for step in steps)


def test_pieces_make_up_the_text_where_a_character_takes_several_tokens():
    tokenizer = tiny_tokenizer()
    tokens = tokenizer("The naïve 東京 fox 🦊!").input_ids
    decoded = [tokenizer.decode(tokens[:count]) for count in range(1, len(tokens) + 1)]
    pieces = pieces_of(decoded)
    assert len(pieces) == len(tokens) and "".join(pieces) == decoded[-1] == "The naïve 東京 fox 🦊!"
    assert any("\ufffd" in text for text in decoded) and not any("\ufffd" in piece for piece in pieces)
    unfinished = next(count for count, text in enumerate(decoded, 1) if text.endswith("\ufffd"))
    assert "".join(pieces_of(decoded[:unfinished])) == decoded[unfinished - 1]


@pytest.mark.parametrize(
    ("first", "second", "differs", "common_start", "shared"),
    [
        ("abcd", "abcd", ("....", "...."), 4, 1.0),
        ("abcd", "abXd", ("..x.", "..x."), 2, 0.75),
        ("abcd", "abcXd", ("....", "...x."), 3, 8 / 9),
        ("abcd", "ab", ("..xx", ".."), 2, 4 / 6),
        ("abcd", "WXYZ", ("xxxx", "xxxx"), 0, 0.0),
        ("", "ab", ("", "xx"), 0, 0.0),
        ("", "", ("", ""), 0, 1.0),
        ("aXbbb", "abbbc", (".x...", "....x"), 1, 0.8),
        # The longest stretch alone would take the second "ab" for the first.
        ("abXabc", "abc", ("..xxx.", "..."), 2, 6 / 9),
    ],
)
def test_tokens_without_a_counterpart_are_found(first, second, differs, common_start, shared):
    found = align([ord(c) for c in first], [ord(c) for c in second])
    marks = tuple(
        "".join("x" if flag else "." for flag in side) for side in (found.first_differs, found.second_differs)
    )
    assert marks == differs
    assert found.common_start == common_start and found.shared == pytest.approx(shared)
    assert found.same == (first == second)


def test_a_token_that_is_everywhere_still_finds_its_counterpart():
    found = align([7] * 300 + [1], [2] + [7] * 300)
    assert sum(found.first_differs) == sum(found.second_differs) == 1


def test_completions_refuse_an_empty_and_a_too_long_prompt():
    source = architectures.loaded("llama")
    with pytest.raises(UserError, match="prompt is empty"):
        finish(generate(source.model, source.tokenizer, "  "))
    with pytest.raises(UserError, match="exceed the model's context of 256"):
        finish(generate(source.model, source.tokenizer, "dog " * 300))


def test_latency_times_each_model_in_turn_and_names_the_threads():
    models = {"dense": architectures.loaded("llama").model, "compressed": architectures.loaded("llama", seed=1).model}
    report = finish(measure_latency(models, prompt_tokens=16, decode_tokens=4, repeats=3))
    assert report.threads == torch.get_num_threads()
    for figures in (report.prefill, report.decode):
        assert list(figures) == ["dense", "compressed"]
        assert all(f.median_ms > 0 and f.iqr_ms >= 0 and f.repeats == 3 for f in figures.values())
    assert report.execution == "dense layers"
    assert describe_execution(models) == "dense layers"
    with pytest.raises(UserError, match="exceed the model's context of 256"):
        finish(measure_latency(models, prompt_tokens=250, decode_tokens=16))
    with pytest.raises(UserError, match="prompt tokens must be from 1 to 4096, but 0"):
        finish(measure_latency(models, prompt_tokens=0))


MACHINE = Machine(flops_per_second=1e9, bytes_per_second=1e8, threads=1)
"""It does 10 FLOPs in the time in which it reads a byte: an intensity of 40 FLOPs a float32 weight, 20 tokens."""


def low_rank(model, rank):
    layers = {}
    for site in find_sites(model):
        layers[site.name] = LowRankLinear(torch.randn(site.in_features, rank), torch.randn(rank, site.out_features))
        layers[site.name].execution = "factored"
    return compressed_copy(model, layers)


@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_the_roofline_adds_up_what_bounds_each_layer(architecture):
    model = architectures.loaded(architecture).model
    weights = sum(site.num_weights for site in find_sites(model))
    head = 48 * architectures.VOCABULARY
    one = (weights + head) * 4 / 1e8
    assert predict_seconds(model, 1, MACHINE) == pytest.approx(one), "one token waits for memory"
    assert predict_seconds(model, 20, MACHINE) == pytest.approx(one), "the ridge of the roof"
    many = 100 * 2 * weights / 1e9 + head * 4 / 1e8
    assert predict_seconds(model, 100, MACHINE) == pytest.approx(many), "many are bound by arithmetic, the head is not"


def test_the_roofline_counts_compressed_layers_as_they_run():
    dense = architectures.loaded("llama").model
    small = low_rank(dense, 16)
    layers = [m for m in small.modules() if isinstance(m, LowRankLinear)]
    head = 48 * architectures.VOCABULARY * 4 / 1e8
    flops = sum(2 * 16 * (layer.in_features + layer.out_features) for layer in layers)
    assert predict_seconds(small, 100, MACHINE) == pytest.approx(100 * flops / 1e9 + head)
    before = predict_seconds(small, 1, MACHINE)
    assert before == pytest.approx(flops / 2 * 4 / 1e8 + head)
    small(torch.tensor([[1, 2, 3]]))
    held = sum(layer.expanded_bytes() for layer in layers)
    assert before == pytest.approx(held / 1e8 + head), "what a forward pass reads"
    for tokens in (1, 100):
        assert predict_seconds(low_rank(dense, 4), tokens, MACHINE) <= predict_seconds(small, tokens, MACHINE)
        assert predict_seconds(small, tokens, MACHINE) < predict_seconds(dense, tokens, MACHINE)
    for layer in layers:
        layer.execution = "merged"
    assert predict_seconds(small, 1, MACHINE) == pytest.approx(predict_seconds(dense, 1, MACHINE))


def test_the_machine_is_measured_quickly_and_the_best_of_its_measurements_counts():
    started = time.perf_counter()
    machine = measure_machine()
    assert time.perf_counter() - started < 5, "about a third of a second on an idle machine"
    assert math.isfinite(machine.flops_per_second) and math.isfinite(machine.bytes_per_second)
    assert machine.flops_per_second > machine.bytes_per_second > 1e6
    assert machine.threads == torch.get_num_threads()
    assert best_of([Machine(1.0, 4.0, 2), Machine(3.0, 2.0, 2)]) == Machine(3.0, 4.0, 2)


def test_latency_brings_its_predictions_and_may_be_cancelled_at_every_timing():
    dense = architectures.loaded("llama").model
    models = {"dense": dense, "compressed": low_rank(dense, 16)}
    steps = list(measure_latency(models, 8, 2, repeats=2, machine=MACHINE))
    assert [(step.done, step.total) for step in steps] == [(done, 8) for done in range(9)]
    assert steps[0].message == "latency round 1 of 2" and steps[4].message == "latency round 2 of 2"
    report = finish(measure_latency(models, 8, 2, repeats=2, machine=MACHINE))
    assert report.machine == MACHINE
    for label, model in models.items():
        assert report.predicted_prefill[label] == pytest.approx(1e3 * predict_seconds(model, 8, MACHINE))
        assert report.predicted_decode[label] == pytest.approx(1e3 * predict_seconds(model, 1, MACHINE))
        assert report.decode_over_predicted[label] * report.predicted_decode[label] == pytest.approx(
            report.decode[label].median_ms
        )


def test_a_latency_report_written_before_there_were_predictions_still_reads():
    figure = {"median_ms": 1.0, "iqr_ms": 0.1, "repeats": 5}
    timings = {"dense": figure, "compressed": figure}
    old = {"threads": 2, "prompt_tokens": 8, "decode_tokens": 2, "prefill": timings, "decode": timings}
    report = TypeAdapter(LatencyReport).validate_python({**old, "execution": "", "device": ""})
    assert report.machine is None and report.prefill_over_predicted == report.predicted_decode == {}
    assert report.smaller and not report.faster_decode


def test_the_words_on_execution_count_every_form_and_the_memory_really_held():
    dense = architectures.loaded("llama").model
    layers = {
        s.name: LowRankLinear(torch.randn(s.in_features, 4), torch.randn(4, s.out_features)) for s in find_sites(dense)
    }
    list(layers.values())[0].execution = "factored"
    mixed = compressed_copy(dense, layers)
    words = describe_execution({"dense": dense, "compressed": mixed})
    assert (
        "1 low-rank layers run factor by factor" in words and f"{len(layers) - 1} low-rank layers run merged" in words
    )
    assert "MiB" not in words, "before a forward pass nobody knows what will be held"
    report = finish(measure_latency({"dense": dense, "compressed": mixed}, prompt_tokens=8, decode_tokens=2, repeats=2))
    held = sum(layer.resident_bytes() for layer in layers.values()) / 2**20
    float32 = sum(4 * layer.in_features * layer.out_features for layer in layers.values()) / 2**20
    assert report.execution.startswith(words)
    assert f"hold {held:.1f} MiB, as dense float32 matrices they would hold {float32:.1f} MiB" in report.execution
