"""A small Llama trained from nothing with gates, and its twin without: same start, same batches, comparable ends."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pydantic
import pytest
import torch
from tiny import SENTENCES, finish

from compression.__main__ import SCHEMAS, main
from compression.adaptation import scratch
from compression.adaptation.scratch import Corpus, corpus_of, from_scratch, small_llama, train_tokenizer
from compression.adaptation.scratch_report import ScratchReport, ScratchSettings
from compression.adaptation.types import Moment
from compression.errors import UserError

TINY = ScratchSettings(
    target_sparsity=0.3,
    steps=30,
    sparsity_start=10,
    settle=18,
    batch_size=4,
    sequence_length=16,
    blocks=2,
    width=16,
    heads=2,
    neurons=32,
    vocabulary=300,
)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(SENTENCES * 12, [" ".join(SENTENCES)], TINY.vocabulary, TINY.sequence_length)


@pytest.fixture(scope="module")
def made(corpus: Corpus) -> tuple[ScratchReport, list[object]]:
    steps, events = from_scratch(TINY, corpus), []
    while True:
        try:
            events.append(next(steps).partial)
        except StopIteration as stop:
            return stop.value, events


def test_texts_become_sequences(corpus: Corpus) -> None:
    tokenizer = train_tokenizer(SENTENCES * 12, 300)
    text = tokenizer.decode(corpus.sequences.flatten().tolist())
    assert text == "".join(f"\n\n{sentence}" for sentence in SENTENCES * 12)[: len(text)]
    assert corpus.sequences.shape[1] == 16 and corpus.vocabulary == tokenizer.get_vocab_size() <= 300
    assert tokenizer.decode(tokenizer.encode("Ünknown — ж").ids) == "Ünknown — ж", "no text is out of reach"
    with pytest.raises(UserError, match="fewer than one sequence of 128"):
        corpus_of(["short"], ["short"], 300, 128)


def test_the_built_in_text_is_split_by_year(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses():
        yield from ()
        return [(2026, "new " * 40), (2020, "between " * 40), (1790, "old " * 40), (2019, "last " * 40)]

    monkeypatch.setattr(scratch.texts, "addresses", addresses)
    corpus = finish(scratch.built_in_corpus(300, 16))
    tokenizer = train_tokenizer(["old " * 40, "last " * 40], 300)
    assert set(tokenizer.decode(corpus.sequences.flatten().tolist()).split()) <= {"old", "last", "o", "l"}
    assert tokenizer.decode(corpus.evaluation.tolist()).split() == ["new"] * 40


def test_gates_remove_and_the_twin_stays_whole(made: tuple[ScratchReport, list[object]], corpus: Corpus) -> None:
    report, events = made
    gated, plain = report.gated, report.plain
    assert gated.removal is not None and plain.removal is None
    assert gated.removal.removed_fraction >= TINY.target_sparsity
    assert plain.parameters - gated.parameters == gated.removal.removed_parameters
    assert plain.parameters == sum(p.numel() for p in small_llama(TINY, corpus.vocabulary).parameters())
    assert gated.gates and not plain.gates
    untrained = small_llama(TINY, corpus.vocabulary).eval()
    with torch.no_grad():
        window = corpus.evaluation[:16][None]
        before = untrained(input_ids=window, labels=window).loss.item()
    assert max(gated.loss, plain.loss) < before - 0.3, "both have learned"
    assert report.perplexity_change == pytest.approx(gated.perplexity / plain.perplexity - 1)
    assert report.train_tokens == corpus.sequences.numel() and "non-overlapping windows of 16" in report.convention
    moments = [event for event in events if isinstance(event, Moment)]
    assert {moment.removal is None for moment in moments} == {True, False}, "both runs say where they are"


def test_both_runs_start_alike(made: tuple[ScratchReport, list[object]]) -> None:
    gated, plain = (run.curve[0] for run in (made[0].gated, made[0].plain))
    assert gated.step == plain.step == 1 and gated.loss == pytest.approx(plain.loss, abs=1e-6)
    for run in (made[0].gated, made[0].plain):
        assert all(point.gradient_norm_squared > 0 for point in run.curve)


def test_the_seed_makes_the_weights(corpus: Corpus) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again = (small_llama(TINY, 300).state_dict() for _ in range(2))
    other = small_llama(dataclasses.replace(TINY, seed=1), 300).state_dict()
    assert torch.equal(torch.rand(2), expected), "the global random state stays as it is"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.layers.0.mlp.up_proj.weight"], other["model.layers.0.mlp.up_proj.weight"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sparsity_start": 18}, "must be pressed from a step before the one that closes them"),
        ({"settle": 30}, "must be pressed from a step before"),
        ({"steps": 3}, "number of steps must be from 20"),
        ({"target_sparsity": 0.95}, "target sparsity must be from 0 to 0.9"),
        ({"width": 18}, "cannot be shared by 2 heads"),
        ({"width": 1024, "neurons": 4096}, "more than 10 M"),
        ({"learning_rate": float("nan")}, "loss stopped being a number"),
    ],
)
def test_bad_input_is_one_sentence(corpus: Corpus, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        finish(from_scratch(dataclasses.replace(TINY, **changes), corpus))


def test_the_command(
    made: tuple[ScratchReport, list[object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def stand_in(settings: ScratchSettings):
        asked.append(settings)
        yield from ()
        return made[0]

    monkeypatch.setattr(scratch, "from_scratch", stand_in)
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["compression", "bench", "from-scratch", "--steps", "120", "--json", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert (asked[0].steps, asked[0].sparsity_start, asked[0].settle) == (120, 40, 70)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"perplexity changes by {made[0].perplexity_change:+.1%}" in printed
    adapter = pydantic.TypeAdapter(SCHEMAS["bench from-scratch"])
    assert json.loads(out.read_bytes()) == json.loads(adapter.dump_json(made[0]))
