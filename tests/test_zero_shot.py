"""Benchmarks: items from files and from a data set repository, scores beside a slow scorer, and the command."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SENTENCES, finish, tiny_llama, tiny_tokenizer, write_tiny_llama
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.errors import UserError
from compression.zero_shot import runner
from compression.zero_shot.report import BenchmarkReport
from compression.zero_shot.runner import bootstrap_stderr, spread
from compression.zero_shot.scoring import encode, score
from compression.zero_shot.tasks import EIGHT, choose_tasks, read_items

WORDS = " ".join(SENTENCES).split()
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "zero-shot"


def some_items(count: int, seed: int = 0, partial: bool = False) -> list[dict[str, Any]]:
    draw = random.Random(seed)

    def words(low: int, high: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(low, high)))

    items = []
    for _ in range(count):
        several = [words(1, 6) for _ in range(draw.randint(2, 4))]
        gold = draw.randrange(len(several))
        if partial:
            items.append({"context_options": several, "continuation": words(1, 5), "gold": gold})
        else:
            items.append({"query": words(2, 9) + draw.choice(["", "\n", " {{x}}"]), "choices": several, "gold": gold})
    return items


def write_items(folder: Path, name: str, items: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")


def slow_scores(model: Any, tokenizer: Any, item: dict[str, Any]) -> list[float]:
    """Log-likelihood of every choice: one at a time, the whole logits, nothing shared."""
    if "context_options" in item:
        asked = [(context, item["continuation"]) for context in item["context_options"]]
    else:
        asked = [(item["query"], choice) for choice in item["choices"]]
    found = []
    for context, continuation in asked:
        before = len(tokenizer(context, add_special_tokens=False)["input_ids"])
        ids = torch.tensor([tokenizer(f"{context} {continuation}", add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            logs = model(ids).logits[0].double().log_softmax(-1)
        found.append(sum(float(logs[place - 1, ids[0, place]]) for place in range(before, ids.shape[1])))
    return found


def answers(scores: list[float], item: dict[str, Any]) -> tuple[int, int]:
    lengths = [len(choice) for choice in item.get("choices", scores and [""] * len(scores))]
    normalised = [s / max(length, 1) for s, length in zip(scores, lengths, strict=True)]
    return scores.index(max(scores)), normalised.index(max(normalised))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    write_tiny_llama(tmp_path / "tiny")
    return tmp_path / "tiny"


def run_benchmark(model: Path, *more: str) -> BenchmarkReport:
    out = model.parent / "out.json"
    CliRunner().invoke(app, ["benchmark", str(model), "--json", str(out), *more], catch_exceptions=False)
    return store.read_json(out, BenchmarkReport)


@pytest.mark.parametrize("compressed", [False, True])
def test_scores_agree_item_by_item_with_a_slow_scorer(model: Path, compressed: bool) -> None:
    subject, data = model, model.parent / "data"
    dense, tokenizer = tiny_llama(), tiny_tokenizer()
    if compressed:
        (model.parent / "text.txt").write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
        subject = model.parent / "small"
        call = ["compress", str(model), "--method", "svd-llm", "--removed", "0.4", "--out", str(subject)]
        call += ["--calibration", str(model.parent / "text.txt"), "--calibration-sequences", "8"]
        CliRunner().invoke(app, [*call, "--sequence-length", "32"], catch_exceptions=False)
        from compression import export

        dense = export.load(subject).model
    items = {"piqa": some_items(40), "winogrande": some_items(30, 1, partial=True)}
    for name, each in items.items():
        write_items(data, name, each)
    report = run_benchmark(subject, "--data", str(data))
    assert list(report.tasks) == ["piqa", "winogrande"]
    for name, each in items.items():
        found = report.tasks[name]
        right = [answers(slow_scores(dense, tokenizer, item), item) for item in each]
        golds = [item["gold"] for item in each]
        assert found.correct == "".join(
            "1" if plain == gold else "0" for (plain, _), gold in zip(right, golds, strict=True)
        )
        if name == "piqa":
            assert found.correct_norm == "".join(
                "1" if norm == gold else "0" for (_, norm), gold in zip(right, golds, strict=True)
            )
        assert found.items == len(each) and found.accuracy == found.correct.count("1") / len(each)
        assert 0 < found.stderr < 0.2 and found.chance == pytest.approx(
            sum(1 / len(item.get("choices", item.get("context_options"))) for item in each) / len(each)
        )


def test_log_likelihoods_and_greed_are_those_of_one_sequence_at_a_time() -> None:
    model, tokenizer = tiny_llama(), tiny_tokenizer()
    pairs = [encode(tokenizer, item["query"], " " + c, 64) for item in some_items(25, 3) for c in item["choices"]]
    pairs += [(read, (target[0],)) for read, target in pairs[:5]]  # reads the same, scores less
    done = []
    steps = score(model, pairs)
    while True:
        try:
            done.append(next(steps))
        except StopIteration as stop:
            scored = stop.value
            break
    assert done == sorted(done) and done[-1] == len(pairs)
    for (read, target), found in zip(pairs, scored, strict=True):
        with torch.no_grad():
            logs = model(torch.tensor([read])).logits[0, -len(target) :].double().log_softmax(-1)
        assert found.log_likelihood == pytest.approx(sum(float(logs[i, t]) for i, t in enumerate(target)), abs=1e-4)
        assert found.greedy == all(int(logs[i].argmax()) == t for i, t in enumerate(target))


def test_white_space_stays_with_the_context_and_what_does_not_fit_falls_away_in_front() -> None:
    tokenizer = tiny_tokenizer()
    read, target = encode(tokenizer, "The quick brown fox\n", " jumps over", 64)
    assert tokenizer.decode(target) == " jumps over"
    short, same = encode(tokenizer, "The quick brown fox\n", " jumps over", len(target) + 1)
    assert same == target and short == read[-(len(target) + 1) :]
    read, target = encode(tokenizer, "", "The quick", 64)
    assert len(read) == len(target) >= 1


def test_the_last_word_is_right_where_the_model_would_write_it(model: Path) -> None:
    llama, tokenizer = tiny_llama(), tiny_tokenizer()
    items = []
    for index in range(12):
        query = " ".join(WORDS[index : index + 6])
        ids = tokenizer(query, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            token = int(llama(torch.tensor([ids])).logits[0, -1].argmax())
        written = tokenizer.decode([token])
        whole = tokenizer(query + written, add_special_tokens=False)["input_ids"]
        if index % 2 == 0 and written.startswith(" ") and written.strip() and whole == [*ids, token]:
            items.append({"query": query, "target": written[1:]})
        else:
            items.append({"query": query, "target": "zzzz"})
    write_items(model.parent / "data", "lambada", items)
    found = run_benchmark(model, "--data", str(model.parent / "data")).tasks["lambada"]
    assert found.correct == "".join("0" if item["target"] == "zzzz" else "1" for item in items)
    assert found.chance == 0


def write_mmlu(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """A data set repository in the shape of MMLU's on the Hub, with two subjects."""
    draw = random.Random(5)
    subjects, lines = {}, ["---", "configs:"]
    for subject in ("anatomy", "astronomy"):
        rows = [
            {"question": " ".join(draw.choices(WORDS, k=6)), "subject": subject, "choices": draw.sample(WORDS, 4)}
            for _ in range(9)
        ]
        subjects[subject] = [row | {"answer": draw.randrange(4)} for row in rows]
        place = folder / subject
        place.mkdir(parents=True)
        lines += [f"- config_name: {subject}", "  data_files:"]
        for split in ("dev", "test"):
            text = "\n".join(map(json.dumps, subjects[subject]))
            (place / f"{split}.jsonl").write_text(text, encoding="utf-8")
            lines += [f"  - split: {split}", f"    path: {subject}/{split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
    return subjects


def test_mmlu_is_read_from_a_repository_with_a_configuration_for_every_subject(model: Path) -> None:
    subjects = write_mmlu(model.parent / "data" / "mmlu")
    report = run_benchmark(model, "--tasks", "mmlu", "--data", str(model.parent / "data"))
    found = report.tasks["mmlu"]
    assert found.items == 18 and found.chance == 0.25
    llama, tokenizer = tiny_llama(), tiny_tokenizer()
    expected = ""
    for subject, rows in subjects.items():
        for row in rows:
            options = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", row["choices"], strict=True))
            query = (
                f"The following are multiple choice questions (with answers) about {subject}.\n\n"
                f"{row['question']}\n{options}\nAnswer:"
            )
            scores = slow_scores(llama, tokenizer, {"query": query, "choices": list("ABCD")})
            expected += "1" if scores.index(max(scores)) == row["answer"] else "0"
    assert found.correct == expected
    limited = run_benchmark(model, "--tasks", "mmlu", "--data", str(model.parent / "data"), "--limit", "5")
    assert limited.tasks["mmlu"].items == 5, "a limit counts for the task, not for each subject"
    assert limited.tasks["mmlu"].correct == expected[:2] + expected[9:12], "from both subjects, as evenly as it goes"
    one = run_benchmark(model, "--tasks", "mmlu", "--data", str(model.parent / "data"), "--limit", "1")
    assert one.tasks["mmlu"].correct == expected[9]


@pytest.mark.parametrize(
    ("limit", "sizes", "shares"),
    [
        (6, [9, 9, 9], [2, 2, 2]),
        (2, [9, 9, 9, 9], [0, 1, 0, 1]),
        (10, [1, 9, 9], [1, 4, 5]),
        (100, [3, 4], [3, 4]),
        (5, [9], [5]),
    ],
)
def test_a_limit_is_spread_evenly_and_what_a_part_lacks_the_others_give(
    limit: int, sizes: list[int], shares: list[int]
) -> None:
    assert spread(limit, sizes) == shares


def test_what_is_finished_is_kept_and_a_changed_file_is_scored_again(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = model.parent / "data"
    write_items(data, "piqa", some_items(6))
    write_items(data, "hellaswag", some_items(6, 1))
    first = run_benchmark(model, "--data", str(data))
    asked = []
    whole = runner.load_tasks
    monkeypatch.setattr(runner, "load_tasks", lambda source: asked.append(source.task) or whole(source))
    again = run_benchmark(model, "--data", str(data))
    assert again.tasks == first.tasks and not asked
    write_items(data, "piqa", some_items(7))
    assert run_benchmark(model, "--data", str(data)).tasks["piqa"].items == 7 and asked == ["piqa"]
    assert run_benchmark(model, "--data", str(data), "--limit", "3").tasks["hellaswag"].items == 3


def test_a_cancelled_run_keeps_its_finished_tasks(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compression.workbench import Workbench

    data = model.parent / "data"
    write_items(data, "piqa", some_items(6))
    write_items(data, "hellaswag", some_items(6, 1))
    steps = Workbench().benchmark(str(model), "hellaswag,piqa", str(data))
    for event in steps:
        if event.stage == "task":
            break
    steps.close()
    asked = []
    whole = runner.load_tasks
    monkeypatch.setattr(runner, "load_tasks", lambda source: asked.append(source.task) or whole(source))
    finish(Workbench().benchmark(str(model), "hellaswag,piqa", str(data)))
    assert asked == ["piqa"]


def test_names_of_the_other_tool_and_all() -> None:
    assert [source.task for source in choose_tasks("openbookqa, social_iqa,lambada_openai", None)] == [
        "openbook_qa",
        "siqa",
        "lambada",
    ]
    assert tuple(source.task for source in choose_tasks("all", None)) == EIGHT


def test_the_bootstrap_error_is_near_the_formula() -> None:
    values = [1.0] * 30 + [0.0] * 70
    assert bootstrap_stderr(values) == pytest.approx((0.3 * 0.7 / 100) ** 0.5, rel=0.08)
    assert bootstrap_stderr([1.0] * 5) == 0


GOOD = '{"query": "a", "choices": ["b", "c"], "gold": 0}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{GOOD}\n{{", "piqa.jsonl, line 2, is no JSON"),
        (f"{GOOD}\n[1]", "piqa.jsonl, line 2: an object in braces"),
        ('{"query": "a", "choices": ["b", "c"], "gold": 2}', "line 1: gold was expected, a whole number from 0 to 1"),
        ('{"query": "a", "choices": ["b"], "gold": 0}', "line 1: choices was expected, a list of at least two"),
        ('{"query": "a", "choices": ["b", ""], "gold": 0}', "texts that are not empty"),
        ('{"choices": ["b", "c"], "gold": 0}', "line 1: query was expected"),
        ('{"context_options": ["b", "c"], "continuation": "", "gold": 0}', "line 1: continuation was expected"),
        ("\n", "piqa.jsonl has no items"),
        (GOOD + '\n{"context_options": ["b", "c"], "continuation": "d", "gold": 0}', "mixes items"),
    ],
)
def test_a_damaged_file_is_one_sentence_with_its_line(model: Path, text: str, sentence: str) -> None:
    data = model.parent / "data"
    data.mkdir()
    (data / "piqa.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        run_benchmark(model, "--data", str(data))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--tasks", "trivia"), "There is no benchmark 'trivia': expected some of mmlu, arc_easy"),
        (("--tasks", ","), "Name at least one benchmark"),
        (("--data", "nowhere"), "nowhere is no folder"),
        (("--data", "empty"), "has none of mmlu.jsonl"),
        (("--data", "empty", "--tasks", "piqa"), "has no piqa.jsonl: leave piqa out"),
        (("--limit", "0"), "takes from 1 to 1000000 items, but 0"),
    ],
)
def test_bad_input_is_one_sentence(
    model: Path, more: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    Path("empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        run_benchmark(model, *more)


ROWS = {
    "allenai/ai2_arc": {
        "question": "The fox is brown",
        "choices": {"text": ["lazy", "quick"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "allenai/winogrande": {"sentence": "The _ is quick.", "option1": "fox", "option2": "dog", "answer": "2"},
    "Rowan/hellaswag": {
        "activity_label": "Jumping",
        "ctx_a": "The fox",
        "ctx_b": "it",
        "endings": ["jumps over", "packs my box"],
        "label": "0",
    },
    "EleutherAI/lambada_openai": {"text": "The quick brown fox"},
    "baber/piqa": {"goal": "pack a box", "sol1": "with jugs", "sol2": "with a dog", "label": 1},
}
"""The Hub repositories that lm-eval's tasks read, and an item of each as it stands there."""


def test_tasks_of_the_hub_are_asked_for_by_the_other_tool_and_scored_by_us(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import Dataset, DatasetDict

    asked = []

    def on_the_hub(path: str, name: str | None = None, **_: object) -> DatasetDict:
        asked.append((path, name))
        rows = Dataset.from_list([ROWS[path]] * 3)
        return DatasetDict(train=rows, validation=rows, test=rows)

    monkeypatch.setattr("datasets.load_dataset", on_the_hub)
    report = run_benchmark(model, "--tasks", "arc_easy,winogrande,hellaswag,lambada,piqa")
    assert [path for path, _ in asked] == list(ROWS) and asked[0][1] == "ARC-Easy"
    assert {score.items for score in report.tasks.values()} == {3}
    arc, chosen = report.tasks["arc_easy"], ["lazy", "quick"]
    scores = slow_scores(
        tiny_llama(), tiny_tokenizer(), {"query": "Question: The fox is brown\nAnswer:", "choices": chosen}
    )
    assert arc.correct == ("111" if scores[1] > scores[0] else "000")


def test_without_the_hub_there_is_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(UserError, match="piqa could not be read from the Hugging Face Hub .*give a folder"):
        run_benchmark(model, "--tasks", "piqa")


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared items do not lie beside this checkout")
def test_the_shared_items_are_of_the_documented_shape() -> None:
    for source in choose_tasks("all", REAL):
        assert source.path is not None and len(read_items(source.task, source.path)) >= 250
