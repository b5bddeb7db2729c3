"""A student that learns from its teacher: the loss, the layers in training, and whole runs on tiny models."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny
import torch
from architectures import loaded
from safetensors.torch import load_file
from test_export import in_this_process
from tiny import SENTENCES, finish, taught, tiny_llama, tiny_tokenizer, write_tiny_llama
from torch import nn
from torch.nn import functional as F  # noqa: N812
from typer.testing import CliRunner

from compression import export, store
from compression.__main__ import app
from compression.accounting import dictionary_bits, low_rank_bits
from compression.adaptation.optimizers import make_optimizers
from compression.calibration import SiteStatistics
from compression.deployment.recipe import DistillSection
from compression.distillation import runner
from compression.distillation.layers import TrainableDictionary, TrainableLowRank, WithAdapter
from compression.distillation.report import DistillReport
from compression.distillation.training import Distillation
from compression.errors import UserError
from compression.evaluation.perplexity import measure_perplexity, tokenize
from compression.methods import create_method
from compression.modules import CompressedLinear, DictionaryLinear, LowRankLinear, SumLinear
from compression.quantization.report import QuantizeReport
from compression.types import TextSource
from compression.verification import verify_directory

KINDS = {"low-rank": ("svd-llm", TrainableLowRank), "dictionary": ("compot", TrainableDictionary)}
SHORT = ("--calibration-sequences", "8", "--sequence-length", "32")


def layer_of(kind: str) -> CompressedLinear:
    g = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(24, 40, generator=g), torch.randn(200, 40, generator=g)
    statistics = SiteStatistics(inputs.T @ inputs, 200)
    return create_method(KINDS[kind][0]).compress(weight, torch.ones(24), statistics, 0.3).layer


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_mixture_of_both(alpha: float, temperature: float) -> None:
    teacher, student = tiny_llama(seed=0), tiny_llama(seed=1)
    tokens = torch.randint(3, 250, (2, 12), generator=torch.Generator().manual_seed(2))
    source = TextSource("t", "", 0)
    problem = Distillation(teacher, tokens, tokens[0], source, 2, 0, 12, None, alpha, temperature)
    with torch.no_grad():
        found = problem.loss(student, {"input_ids": tokens}).item()
        p, q = (F.softmax(m(tokens).logits[:, :-1].double() / temperature, -1) for m in (teacher, student))
        distance = (p * (p / q).log()).sum(-1).mean()
        likelihood = student(tokens).logits[:, :-1].double().log_softmax(-1).gather(-1, tokens[:, 1:, None]).mean()
    assert found == pytest.approx(float(alpha * temperature**2 * distance - (1 - alpha) * likelihood), rel=1e-4)


@pytest.mark.parametrize(("teacher_width", "student_width"), [(304, 320), (320, 304)])
def test_logits_that_are_padded_to_different_widths_are_compared_where_both_are(
    teacher_width: int, student_width: int
) -> None:
    teacher, student = tiny_llama(seed=0), tiny_llama(seed=1)
    teacher.resize_token_embeddings(teacher_width, mean_resizing=False)
    student.resize_token_embeddings(student_width, mean_resizing=False)
    tokens = torch.randint(3, 250, (2, 12), generator=torch.Generator().manual_seed(2))
    problem = Distillation(teacher, tokens, tokens[0], TextSource("t", "", 0), 2, 0, 12, None, 1.0, 2.0)
    with torch.no_grad():
        found = problem.loss(student, {"input_ids": tokens}).item()
        p, q = (F.softmax(m(tokens).logits[:, :-1, :304].double() / 2, -1) for m in (teacher, student))
    assert found == pytest.approx(4 * float((p * (p / q).log()).sum(-1).mean()), rel=1e-4)


def test_muon_takes_the_dictionary_and_leaves_its_nonzeros_to_adamw() -> None:
    trainable = TrainableDictionary(layer_of("dictionary"))
    optimizers = make_optimizers("muon", [{"params": list(trainable.parameters()), "lr": 1e-3}], 0.0)
    by_muon, by_adamw = (group["params"] for group in optimizers.param_groups)
    assert "ns_steps" in optimizers.param_groups[0] and "betas" in optimizers.param_groups[1]
    assert len(by_muon) == 1 and by_muon[0] is trainable.dictionary
    assert len(by_adamw) == 1 and by_adamw[0] is trainable.values


@pytest.mark.parametrize("kind", KINDS)
def test_factors_in_training_begin_with_what_is_stored_and_end_as_the_same_kind(kind: str) -> None:
    layer = layer_of(kind)
    trainable = KINDS[kind][1](layer)
    x = torch.randn(5, 40)
    assert torch.allclose(trainable(x), layer(x), atol=1e-4)
    optimizer = torch.optim.SGD(trainable.parameters(), 1e-2)
    trainable(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in trainable.parameters())
    optimizer.step()
    stored = trainable.stored()
    assert type(stored) is type(layer) and stored.stored_bits() == layer.stored_bits()
    assert torch.allclose(stored(x), trainable(x), atol=2e-2) and not torch.allclose(stored(x), layer(x), atol=1e-3)
    if isinstance(layer, DictionaryLinear):
        assert torch.equal(stored.mask(), layer.mask())


@pytest.mark.parametrize("kind", ["dense", *KINDS])
def test_an_adapter_is_merged_where_that_is_possible_and_counted_where_it_is_not(kind: str) -> None:
    layer = nn.Linear(40, 24) if kind == "dense" else layer_of(kind)
    adapted = WithAdapter(layer, 24, 40, 4, 8.0, torch.float16)
    x = torch.randn(5, 40)
    assert torch.equal(adapted(x), layer(x))
    with torch.no_grad():
        adapted.second.normal_()
    stored = adapted.stored()
    assert torch.allclose(stored(x), adapted(x), atol=5e-2) and not torch.allclose(stored(x), layer(x), atol=0.1)
    if kind == "dense":
        assert type(stored) is nn.Linear and torch.equal(stored.weight, stored.weight.half().float())
    elif kind == "low-rank":
        assert type(stored) is LowRankLinear and stored.rank == layer.rank + 4
    else:
        assert isinstance(stored, SumLinear)
        assert stored.stored_bits() == layer.stored_bits() + 16 * 4 * (24 + 40)
        first, second = stored.factors()
        assert torch.allclose(second.T @ first, stored.dense_weight(), atol=1e-4)
        again = WithAdapter(stored, 24, 40, 3, 6.0, torch.float16)
        with torch.no_grad():
            again.second.normal_()
        both = again.stored()
        assert isinstance(both, SumLinear) and both.layer is layer and both.adapter.spec() == {"rank": 7}
        assert torch.allclose(both(x), again(x), atol=5e-2)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    write_tiny_llama(tmp_path / "tiny")
    teacher = taught()
    teacher.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def student_of(model: Path, method: str = "compot") -> Path:
    text = str(model.parent / "text.txt")
    call = f"compress {model} --method {method} --policy uniform --removed 0.4 --calibration {text}".split()
    more = ["--calibration-sequences", "8", "--sequence-length", "32", "--out", str(model.parent / "small")]
    CliRunner().invoke(app, [*call, *more], catch_exceptions=False)
    return model.parent / "small"


def distill(model: Path, student: Path, *more: str) -> DistillReport:
    text, out = str(model.parent / "text.txt"), model.parent / "out.json"
    call = ["distill", str(model), str(student), "--train", text, "--text", text, "--window", "64", "--json", str(out)]
    CliRunner().invoke(app, [*call, "--calibration", text, *SHORT, *more], catch_exceptions=False)
    return store.read_json(out, DistillReport)


@pytest.mark.parametrize("method", ["compot", "svd-llm"])
def test_a_compressed_student_recovers_by_either_optimiser_at_the_same_bits(
    model: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = student_of(model, method)
    options = ("--train-what", "factors", "--optimizer", "adamw,muon", "--steps", "30", "--learning-rate", "0.01")
    options += ("--bits", "4")
    report = distill(model, student, *options, "--out", str(model.parent / "recovered"))
    assert [run.settings.optimizer for run in report.runs] == ["adamw", "muon"]
    assert report.student.stored_bits < report.teacher.stored_bits
    gap = report.student.negative_log_likelihood - report.teacher.negative_log_likelihood
    for run in report.runs:
        assert run.perplexity < report.student.perplexity and run.stored_bits == report.student.stored_bits
        now = math.log(run.perplexity)
        assert run.gap_closed == pytest.approx((report.student.negative_log_likelihood - now) / gap, rel=1e-6)
        assert run.quantized_bits < run.stored_bits and run.quantized_perplexity > 0 and run.steps == 30
    assert report.runs[0].perplexity != report.runs[1].perplexity
    recovered = export.load(model.parent / "recovered")
    assert any("Recovered by distillation" in note for note in recovered.report.notes)
    assert recovered.report.stored_bits == report.runs[0].stored_bits
    monkeypatch.setattr(runner, "train", lambda *_: pytest.fail("it was trained again"))
    monkeypatch.setattr(runner, "_measure", lambda *_: pytest.fail("it was measured again"))
    assert distill(model, student, *options).runs == report.runs
    (model.parent / "text.txt").write_text(" ".join(SENTENCES) * 61, encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match="again"):  # another text under the same name
        distill(model, student, *options)


def test_adapters_recover_too_cost_bits_and_are_written_and_quantised_with_the_layers(model: Path) -> None:
    student, out = student_of(model), model.parent / "recovered"
    options = ("--train-what", "lora", "--steps", "30", "--learning-rate", "0.02", "--rank", "4", "--bits", "4")
    options += ("--group-size", "32")
    report = distill(model, student, *options, "--out", str(out))
    (run,) = report.runs
    assert run.perplexity < report.student.perplexity and run.stored_bits > report.student.stored_bits
    assert run.quantized_bits < 0.6 * run.stored_bits and abs(math.log(run.quantized_perplexity / run.perplexity)) < 0.1
    written, tensors = export.load(out), load_file(out / export.WEIGHTS_FILE)
    assert {site.representation for site in written.report.sites} == {"dictionary + low-rank"}
    assert written.report.stored_bits == run.stored_bits
    for site in written.report.sites:
        atoms, nonzeros, rank = (site.quantities[name] for name in ("num_atoms", "nonzeros_per_column", "adapter_rank"))
        expected = dictionary_bits(*site.shape, atoms, nonzeros) + low_rank_bits(*site.shape, rank)
        held = sum(8 * t.numel() * t.element_size() for name, t in tensors.items() if name.startswith(f"{site.name}."))
        assert site.stored_bits == expected == held
    assert written.report.site_stored_bits == sum(site.stored_bits for site in written.report.sites)
    text, file = str(model.parent / "text.txt"), model.parent / "quantised.json"
    call = ["quantize", str(out), "--group-size", "32", "--calibration", text, *SHORT, "--text", text, "--window", "64"]
    CliRunner().invoke(app, [*call, "--max-windows", "4", "--json", str(file)], catch_exceptions=False)
    by_itself = store.read_json(file, QuantizeReport).gptq
    assert (by_itself.perplexity, by_itself.stored_bits) == (run.quantized_perplexity, run.quantized_bits)
    again = distill(model, out, "--steps", "1")
    assert again.student.perplexity == pytest.approx(run.perplexity, rel=1e-6)


def test_a_smaller_dense_model_learns_from_a_larger_one_and_is_written(model: Path) -> None:
    write_tiny_llama(model.parent / "other", seed=3)
    options = ("--optimizer", "muon", "--max-minutes", "1", "--steps", "20", "--learning-rate", "0.02")
    report = distill(model, model.parent / "other", *options, "--out", str(model.parent / "learned"))
    (run,) = report.runs
    assert run.settings.what == DistillSection().what == "lora", "what goes with every student is the default"
    assert run.perplexity < report.student.perplexity and run.stored_bits == report.student.stored_bits
    assert export.load(model.parent / "learned").report.stored_bits == report.student.stored_bits


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "gpt2", "low-rank"])
def test_what_was_measured_is_what_is_stored(model: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    student, out = model.parent / "other", model.parent / "learned"
    if kind == "low-rank":
        student = student_of(model, "svd-llm")
    elif kind == "gpt2":  # its layers hold their weights transposed
        loaded("gpt2").model.save_pretrained(student)
        tiny_tokenizer().save_pretrained(student)
    else:
        write_tiny_llama(student, dtype=kind, seed=3)
    (run,) = distill(model, student, "--steps", "3", "--learning-rate", "0.02", "--out", str(out)).runs
    in_this_process(monkeypatch)
    check = finish(verify_directory(out))
    assert check.equal and check.largest_difference == 0
    learned = export.load(out)
    assert learned.source.storage_dtype == ("bfloat16" if kind == "bfloat16" else "float16")
    tokens = tokenize(learned.source.tokenizer, (model.parent / "text.txt").read_text(encoding="utf-8"))
    measured = finish(measure_perplexity(learned.model, tokens, run.measured.text, 0, 64, 4))
    assert measured.perplexity == run.perplexity


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--optimizer", "sgd"), "There is no optimiser 'sgd': expected adamw or muon"),
        (("--train-what", "biases"), "A student trains factors or lora, but 'biases'"),
        (("--alpha", "2"), "share of the teacher in the loss must be from 0 to 1, but 2"),
        (("--temperature", "0"), "temperature must be from 0.1"),
        (("--bits", "1"), "takes 2 to 8 bits, or 0 for none, but 1"),
        (("--bits", "4", "--group-size", "3"), "The group size must be at least 8, or 0 for whole rows, but 3"),
        (("--bits", "4", "--calibration-sequences", "9999"), "The calibration text has"),
        (("--train-what", "factors"), "no low-rank or dictionary layers"),
    ],
)
def test_bad_input_is_one_sentence(model: Path, more: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        distill(model, model, "--steps", "1", *more)


def test_different_tokenizers_are_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "SENTENCES", ["Wholly other words make other pairs of letters."] * 3)
    write_tiny_llama(model.parent / "other", seed=3)
    with pytest.raises(UserError, match="have different tokenizers"):
        distill(model, model.parent / "other", "--steps", "1")
