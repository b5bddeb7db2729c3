"""Classification tasks: built in, from the Hub, from files, and as batches."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import torch
from hub_stand_in import StandIn
from tiny import finish
from tiny_encoder import tiny_wordpiece

from compression import store, texts
from compression.adaptation import era, tasks
from compression.adaptation.tasks import Encoded, Example, TaskData, collate, encode, epoch_batches, load_task
from compression.errors import UserError

HEADER = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
PAIRS = [(1, "He said no .", 'They " said no'), (0, "A 'quoted", "B"), (1, "C", "D"), (0, "E", "F")]


def _load(name: str, train: object = "", evaluation: object = "") -> TaskData:
    return finish(load_task(name, str(train), str(evaluation)))


def _refused(name: str, train: object = "", evaluation: object = "") -> str:
    with pytest.raises(UserError) as caught:
        _load(name, train, evaluation)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


def _write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    return path


def _mrpc(path: Path, pairs: list[tuple[int, str, str]] = PAIRS, end: str = "\n") -> Path:
    rows = [f"{label}\t{i}\t{i + 1}\t{a}\t{b}{end}" for i, (label, a, b) in enumerate(pairs)]
    return _write(path, HEADER.replace("\n", end) + "".join(rows))


def _sst2(path: Path, rows: list[tuple[str, object]]) -> Path:
    return _write(path, "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))


TRAIN = [("good", 1), ("fine", 1), ("bad", 0), ("poor", 0)]


# Built in


def test_eras_of_the_built_in_sentences(real_cache: Path) -> None:
    data = _load("era")
    assert data.labels == era.ERAS and data.majority == 0.25
    assert store.content_key(data)[:16] == "782735bff9b0ba86", "the same everywhere"
    for examples, each in ((data.train, era.TRAIN_EACH), (data.evaluation, era.EVALUATION_EACH)):
        assert [sum(example.label == label for example in examples) for label in range(4)] == [each] * 4
        sentences = [example.texts[0] for example in examples]
        assert len(set(sentences)) == len(sentences)
        assert all(40 <= len(sentence) <= 300 and not re.search(r"\d{4}", sentence) for sentence in sentences)
        assert len({example.label for example in examples[:20]}) == 4, "the classes are mixed"
    assert not {example.texts for example in data.train} & {example.texts for example in data.evaluation}
    spoken = finish(texts.addresses())
    for example in (*data.train[:10], *data.evaluation[:10]):
        found = [year for year, text in spoken if example.texts[0][:30] in text and example.texts[0][-30:] in text]
        assert example.label in {era.era_of(year) for year in found}, example


def test_the_eras() -> None:
    assert [era.era_of(year) for year in (1790, 1864, 1865, 1932, 1933, 1980, 1981, 2026)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_which_sentences_can_be_asked_about() -> None:
    address = (
        "Mr. Speaker, Gen. J. Jackson and Mrs. Smith went to St. Louis [laughter] with me. Short.\n"
        'He said: "We shall build the road to the western sea." And we built it, as we had to do before. '
        "In 1855 we built another one, longer than all the others.\n"
        "Total ........ 12.5 13.5 14.5 15.5 16.5 17.5 18.5.\nno beginning of a sentence that is long enough for us.\n"
        "No end of a sentence that would be long enough for us"
    )
    assert era.sentences(address) == [
        "Mr. Speaker, Gen. J. Jackson and Mrs. Smith went to St. Louis with me.",
        'He said: "We shall build the road to the western sea."',
        "And we built it, as we had to do before.",
    ]


def test_an_address_is_for_training_or_for_evaluation() -> None:
    shared = "This sentence is said in every address of theirs."
    addresses = [
        (year, f"In address {chr(97 + number)} of era {name} they said this and that. {shared}")
        for name, start in zip("abcd", (1800, 1870, 1940, 1990), strict=True)
        for number, year in enumerate(range(start, start + 12))
    ]
    train, evaluation = era.split(addresses)
    assert len(train) == 40 and len(evaluation) == 8
    assert all(shared not in sentence for sentence, _ in (*train, *evaluation)), "what two addresses share is left out"
    kept_aside = sorted(sentence[11] for sentence, _ in evaluation)
    assert kept_aside == ["f"] * 4 + ["l"] * 4, "every sixth of each era"
    assert era.split(addresses) == era.split(addresses[::-1])


# From the Hub


def _parquet(columns: dict[str, list[object]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


@pytest.fixture
def served(hub: StandIn, cache: Path) -> StandIn:
    """A stand-in with a small GLUE."""
    pairs = {"sentence1": ["a", "b", "c", "d"], "sentence2": ["e\n", "f", "g", "h"], "idx": [0, 1, 2, 3]}
    one = {"sentence": ["x", "y", "z", "w"], "label": [0, 1, 0, 1], "idx": [0, 1, 2, 3]}
    hub.repositories["datasets/nyu-mll/glue"] = {
        "mrpc/train-00000-of-00001.parquet": _parquet(pairs | {"label": [1, 0, 1, 0]}),
        "mrpc/validation-00000-of-00001.parquet": _parquet(
            {"sentence1": ["a", "p"], "sentence2": ["e", "q"], "label": [1, 0], "idx": [0, 1]}
        ),
        "sst2/train-00000-of-00001.parquet": _parquet(one),
        "sst2/validation-00000-of-00001.parquet": _parquet({"sentence": ["v"], "label": [1], "idx": [0]}),
    }
    hub.commit = tasks._GLUE[1]
    return hub


def test_glue_from_the_hub(served: StandIn, cache: Path) -> None:
    data = _load("mrpc")
    assert data.train[0] == Example(("a", "e"), 1) and data.labels == ("not_equivalent", "equivalent")
    assert data.evaluation == (Example(("p", "q"), 0),), "what occurs in training is left out"
    assert data.train_source == "GLUE mrpc train, from the Hub (examples: 4)"
    assert data.evaluation_source.endswith("(examples: 1, left out because they occur in training: 1)")
    assert data.majority in (0.0, 1.0)
    assert not list(cache.rglob("*.parquet")), "only texts and labels are kept"
    assert _load("sst2").evaluation == (Example(("v",), 1),)
    served.requests.clear()
    assert _load("mrpc") == data and served.requests == [], "the second time no network is used"


def test_an_absent_hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert _refused("mrpc").endswith("give files with --train and --eval, or take the task era, which needs no Hub.")
    assert "--eval" in _refused("sst2", _sst2(tmp_path / "train.tsv", TRAIN)), "what is not given comes from the Hub"


# Files


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_mrpc_as_glue_ships_it(tmp_path: Path, end: str) -> None:
    train = _mrpc(tmp_path / "msr_paraphrase_train.txt", end=end)
    data = _load("mrpc", train, _mrpc(tmp_path / "test.tsv", [(1, "X", "Y"), (0, "Z", "W"), (1, "U", "V")]))
    assert data.train == tuple(Example((a, b), label) for label, a, b in PAIRS)
    assert data.train_source == "msr_paraphrase_train.txt (examples: 4)"
    assert data.majority == 2 / 3


def test_other_formats_say_the_same(tmp_path: Path) -> None:
    expected = _load("sst2", _sst2(tmp_path / "a.tsv", TRAIN), _sst2(tmp_path / "b.tsv", [("so, so", 1)]))
    names = {0: "Negative", 1: "positive"}
    csv = _write(tmp_path / "a.csv", "label,id,text\r\n" + "".join(f"{names[y]},7,{x}\r\n" for x, y in TRAIN))
    one = _write(tmp_path / "b.csv", 'sentence,label\n\n"so, so",1\n')
    lines = [json.dumps({"sentence": x, "label": y}) for x, y in TRAIN]
    lines[0], lines[1] = lines[0].replace("1}", "1.0}\n"), lines[1].replace("sentence", "text")
    jsonl = _write(tmp_path / "a.jsonl", "\n".join(lines))
    for train, evaluation in ((csv, one), (jsonl, one)):
        data = _load("sst2", train, evaluation)
        assert (data.train, data.evaluation) == (expected.train, expected.evaluation)


def test_a_folder_of_two_tasks(tmp_path: Path) -> None:
    _mrpc(tmp_path / "mrpc_train.tsv")
    _mrpc(tmp_path / "mrpc_dev_a.tsv", [(1, "X", "Y")])
    _mrpc(tmp_path / "mrpc_dev_b.tsv", [(0, "Z", "W")])
    _sst2(tmp_path / "SST-2-train.tsv", TRAIN)
    _sst2(tmp_path / "SST-2-test.tsv", [("nice", 1)])
    _write(tmp_path / "readme_train.md", "no examples")
    mrpc, sst2 = _load("mrpc", tmp_path), _load("sst2", tmp_path, tmp_path)
    assert len(mrpc.train) == 4 and mrpc.evaluation_source == "mrpc_dev_a.tsv, mrpc_dev_b.tsv (examples: 2)"
    assert len(sst2.train) == 4 and sst2.evaluation == (Example(("nice",), 1),)
    assert "no examples of era" in _refused("era", tmp_path)
    _sst2(tmp_path / "glue" / "train.tsv", TRAIN)
    _sst2(tmp_path / "glue" / "dev.tsv", [("nice", 1)])
    _write(tmp_path / "glue" / "test.tsv", "index\tsentence\n0\tunknown\n")
    assert _load("sst2", tmp_path / "glue").evaluation_source == "dev.tsv (examples: 1)", "GLUE's test has no labels"


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = _sst2(tmp_path / "good.tsv", TRAIN)
    other = _sst2(tmp_path / "other.tsv", [("nice", 1)])

    def said(content: str, name: str = "bad.tsv", task: str = "sst2") -> str:
        return _refused(task, _write(tmp_path / name, content), other)

    assert "no file or folder" in _refused("sst2", tmp_path / "absent.tsv", other)
    assert "no file of examples" in said("x", "bad.xlsx")
    assert "needs: expected sentence, label or text, label, but it has a, b." in said("a\tb\n1\t2\n")
    assert "sentence1, sentence2, label" in said("sentence\tlabel\nx\t1\n", task="mrpc")
    assert "Line 3 of" in said("sentence\tlabel\nx\t1\ny\n") and "(1 instead of 2)" in said("sentence\tlabel\ny\n")
    assert "Line 2 of" in said("sentence\tlabel\n \t1\n") and "no sentence" in said("sentence\tlabel\n \t1\n")
    for label in ("2", "-1", "neutral", "", "1.5"):
        message = said(f"sentence\tlabel\nx\t{label}\n")
        assert f"label {label!r}, which is no class of sst2: expected 0 (negative), 1 (positive)" in message
    assert "no JSON" in said("{", "bad.jsonl") and "no JSON object" in said("[1]", "bad.jsonl")
    assert "no sentence" in said('{"sentence": null, "label": 1}', "bad.jsonl")
    assert "no CSV" in said('sentence,label\n"x"y,1\n', "bad.csv")
    (tmp_path / "latin.tsv").write_bytes("sentence\tlabel\ncaf\xe9\t1\n".encode("latin-1"))
    assert "not UTF-8" in _refused("sst2", tmp_path / "latin.tsv", other)
    monkeypatch.setattr(texts, "MAX_TEXT_BYTES", 10)
    assert "more than the" in _refused("sst2", good, other)


def test_examples_that_nothing_can_be_learned_or_measured_on(tmp_path: Path) -> None:
    good = _sst2(tmp_path / "good.tsv", TRAIN)
    assert "not of two classes" in _refused("sst2", _sst2(tmp_path / "a.tsv", TRAIN[:2]), good)
    assert "not of two classes" in _refused("sst2", _sst2(tmp_path / "a.tsv", []), good)
    assert "'negative' has one example" in _refused("sst2", _sst2(tmp_path / "a.tsv", TRAIN[:3]), good)
    assert "is given for training and for evaluation" in _refused("sst2", good, good)
    assert "occur in training" in _refused("sst2", good, _sst2(tmp_path / "b.tsv", TRAIN[:2]))
    assert "no example to measure on" in _refused("sst2", good, _sst2(tmp_path / "b.tsv", []))
    eras = _sst2(tmp_path / "c.tsv", [("a", 0), ("b", 0), ("c", "1865–1932"), ("d", 1)])
    unknown = _sst2(tmp_path / "d.tsv", [("e", "since 1981")])
    assert "'since 1981' is among the examples to measure on, but not" in _refused("era", eras, unknown)
    assert "no classification task 'lm'" in _refused("lm")


# Batches


def test_examples_become_batches() -> None:
    tokenizer = tiny_wordpiece()
    tokenizer.model_max_length = 9
    tokenizer.model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    examples = [Example(("the fox", "a model of a few thousand weights is enough"), 1), Example(("dog", "box"), 0)]
    items = encode(tokenizer, examples, 512)
    assert [len(item.ids) for item in items] == [9, len(tokenizer("dog", "box")["input_ids"])], "cut to the model's"
    assert max(len(item.ids) for item in encode(tokenizer, examples, 8)) == 8
    batch = collate(items, tokenizer.pad_token_id)
    reference = tokenizer.pad(
        {"input_ids": [list(i.ids) for i in items], "token_type_ids": [list(i.type_ids or ()) for i in items]},
        return_tensors="pt",
    )
    assert batch.keys() == {"input_ids", "attention_mask", "token_type_ids", "labels"}
    assert all(torch.equal(batch[name], reference[name]) for name in reference) and batch["labels"].tolist() == [1, 0]
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    (alone,) = encode(tokenizer, [Example(("dog",), 0)], 512)
    assert alone == Encoded(tuple(tokenizer("dog")["input_ids"]), None, 0)
    assert "token_type_ids" not in collate([alone], 0)


def test_the_batches_of_an_epoch() -> None:
    lengths = [(7 * i) % 101 for i in range(1003)]
    batches = epoch_batches(lengths, 16, seed=3, epoch=0)
    assert sorted(index for batch in batches for index in batch) == list(range(1003)), "every example once"
    assert sorted(map(len, batches))[:2] == [11, 16] and max(map(len, batches)) == 16
    assert batches == epoch_batches(lengths, 16, seed=3, epoch=0)
    assert batches != epoch_batches(lengths, 16, seed=3, epoch=1) != epoch_batches(lengths, 16, seed=4, epoch=0)
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    assert padded < 1.12 * sum(lengths), "unsorted batches of 16 would have about 1.9 times the tokens"
    firsts = [lengths[batch[0]] for batch in batches]
    assert firsts != sorted(firsts), "short and long batches take turns"
    assert epoch_batches([5], 16, 0, 0) == [[0]]
