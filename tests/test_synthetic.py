"""Instruction pairs: a model in this process, a server at the loopback address, filters, the judge, what is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny import SENTENCES, finish, tiny_llama, tiny_tokenizer, write_tiny_llama
from typer.testing import CliRunner

from compression import store, texts
from compression.__main__ import app
from compression.distillation.report import DistillReport
from compression.distillation.runner import _tokens_to_learn
from compression.errors import UserError
from compression.synthetic import runner, writers
from compression.synthetic.report import SyntheticReport, SyntheticSettings
from compression.synthetic.runner import SEEDS, alike, clean, read_grade
from compression.synthetic.writers import LocalWriter, ServerWriter
from compression.workbench import Workbench

TOPICS = [
    "rivers",
    "bridges",
    "clocks",
    "mosses",
    "kites",
    "wells",
    "maps",
    "bells",
    "inks",
    "looms",
    "wolves",
    "tides",
]


class Server:
    """An OpenAI-compatible server that writes tasks, answers and grades by rule, or misbehaves."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.misbehave: Callable[[int], tuple[int, bytes] | None] = lambda number: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                outer.headers.append(self.headers.get("Authorization", ""))
                status, content = outer.misbehave(len(outer.asked)) or (200, outer.answer(body))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, body: dict[str, Any]) -> bytes:
        prompt = body["messages"][-1]["content"]
        if prompt.startswith("Here are some tasks"):
            topic = TOPICS[body["seed"] % len(TOPICS)]
            said = f"1. {topic.title()} matter: tell how {topic} were {topic[::-1]} once"
        elif "Answer with one digit" in prompt:
            said = "Grade: 5" if "rivers" in prompt or "clocks" in prompt or "kites" in prompt else "2"
        else:
            said = f"An answer to {prompt}"
        return json.dumps({"choices": [{"message": {"content": said}}]}).encode()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Server, None, None]:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(writers, "PAUSES", (0.0, 0.0))
    made = Server()
    yield made
    made.close()


def settings(server: Server, **changes: Any) -> SyntheticSettings:
    return SyntheticSettings(**{"server": server.address, "served_model": "m", "pairs": 3} | changes)


def test_a_server_writes_answers_and_grades_and_the_rest_is_counted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(writers.KEY_VARIABLE, "secret")
    out, report_file = tmp_path / "pairs.jsonl", tmp_path / "report.json"
    call = ["synthesise", "--server", server.address, "--served-model", "m", "--pairs", "3", "--out", str(out)]
    shown = CliRunner().invoke(app, [*call, "--json", str(report_file)], catch_exceptions=False).output
    report = store.read_json(report_file, SyntheticReport)
    assert [pair.grade for pair in report.pairs] == [5, 5, 5] and "3 pairs in" in shown
    assert report.outcomes == {"kept": 3, "low-grade": 2} and report.grades == {1: 0, 2: 2, 3: 0, 4: 0, 5: 3}
    assert report.pairs[0].instruction == "Rivers matter: tell how rivers were srevir once"
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["output"] for row in rows] == [f"An answer to {pair.instruction}" for pair in report.pairs]
    assert set(server.headers) == {"Bearer secret"}
    assert "secret" not in shown + report_file.read_text(encoding="utf-8") + out.read_text(encoding="utf-8")
    prompts = [body["messages"][0]["content"] for body in server.asked]
    seeds = SEEDS.read_text(encoding="utf-8").splitlines()
    assert sum(seed in prompts[0] for seed in seeds) == 3 and len(seeds) >= 16


def test_a_server_that_goes_away_leaves_what_was_made_and_the_next_run_goes_on(server: Server) -> None:
    server.misbehave = lambda number: (500, b"") if number > 4 else None
    with pytest.raises(UserError, match=r"does not answer \(500\).* goes on from there"):
        finish(Workbench().synthesise(settings(server)))
    before = len(server.asked)
    server.misbehave = lambda number: None
    report = finish(Workbench().synthesise(settings(server)))
    assert len(report.pairs) == 3
    again = [body["seed"] for body in server.asked[before:] if "Here are" in body["messages"][0]["content"]]
    assert again[0] == 1, "the first try was kept, the second is made again"
    asked = len(server.asked)
    more = finish(Workbench().synthesise(settings(server, pairs=2)))
    assert len(server.asked) == asked and more.pairs == report.pairs[:2]


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ((200, b"no json"), r"gave no completion \(status 200\)"),
        ((200, b'{"choices": []}'), r"gave no completion \(status 200\)"),
        ((404, b"{}"), r"gave no completion \(status 404\): an OpenAI-compatible server with the model m"),
        ((429, b"{}"), r"does not answer \(429\)"),
    ],
)
def test_a_strange_server_is_one_sentence(server: Server, reply: tuple[int, bytes], sentence: str) -> None:
    server.misbehave = lambda number: reply
    with pytest.raises(UserError, match=sentence):
        finish(Workbench().synthesise(settings(server)))


@pytest.mark.parametrize(
    "address",
    ["http://localhost:99999/v1", "http://localhost:x/v1", "http:///v1", f"http://{'a' * 300}/v1", "http://[::1"],
)
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    plain = SyntheticSettings(server=address, served_model="m")
    with pytest.raises(UserError, match="A server has an address such as"):
        finish(Workbench().synthesise(plain))


def test_another_model_may_be_the_judge(server: Server) -> None:
    judge = Server()
    try:
        asked = settings(server, judge="strict", judge_server=judge.address)
        report = finish(Workbench().synthesise(asked))
        assert report.grades[5] == 3 and {body["model"] for body in judge.asked} == {"strict"}
        assert all("Answer with one digit" in body["messages"][-1]["content"] for body in judge.asked)
        assert not any("Answer with one digit" in body["messages"][-1]["content"] for body in server.asked)
        before = len(server.asked)
        finish(Workbench().synthesise(settings(server)))
        assert len(server.asked) > before, "what one judge has graded is not another one's"
    finally:
        judge.close()


def test_a_model_in_this_process_may_judge_what_a_server_writes(server: Server, tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "tiny")
    report = finish(Workbench().synthesise(settings(server, judge=str(tmp_path / "tiny"), max_tries=2)))
    assert sum(report.outcomes.values()) == 2 and not {"no-answer", "too-short"} & set(report.outcomes)
    assert not any("Answer with one digit" in body["messages"][-1]["content"] for body in server.asked)


def test_nobody_at_the_address_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(writers, "PAUSES", (0.0,))
    with pytest.raises(UserError, match=r"does not answer \(ConnectError\)"):
        ServerWriter("http://127.0.0.1:9/v1", "m").write(["a"], 8, 1.0, 0)


def test_busy_servers_are_asked_again_after_growing_pauses(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(writers, "PAUSES", (0.25, 0.5))
    monkeypatch.setattr(writers.time, "sleep", slept.append)
    server.misbehave = lambda number: (503, b"") if number < 3 else None
    assert ServerWriter(server.address, "m").write(["Say so"], 8, 1.0, 0) == "An answer to Say so"
    assert [pause for pause in slept if pause] == [0.25, 0.5]


def test_an_unreadable_grade_and_a_repetition_are_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = server.answer

    def odd(body: dict[str, Any]) -> bytes:
        if "Answer with one digit" in body["messages"][-1]["content"]:
            return json.dumps({"choices": [{"message": {"content": "Splendid!"}}]}).encode()
        return whole(body | {"seed": 0})

    monkeypatch.setattr(server, "answer", odd)
    report = finish(Workbench().synthesise(settings(server, max_tries=3)))
    assert report.outcomes == {"ungraded": 3} and not report.pairs
    out, found = tmp_path / "pairs.jsonl", tmp_path / "report.json"
    call = ["synthesise", "--server", server.address, "--served-model", "m", "--pairs", "3", "--max-tries", "3"]
    ended = CliRunner().invoke(app, [*call, "--out", str(out), "--json", str(found)])
    assert isinstance(ended.exception, UserError) and "No pair was kept (ungraded 3): name a" in str(ended.exception)
    assert not out.exists() and store.read_json(found, SyntheticReport).outcomes == {"ungraded": 3}
    report = finish(Workbench().synthesise(settings(server, max_tries=3, min_grade=0)))
    assert report.outcomes == {"kept": 1, "alike": 2} and report.pairs[0].grade is None


def test_what_a_model_says_is_cleaned_and_likeness_is_of_words() -> None:
    assert clean('\n 2) Task: "Name a bird."\nMore') == "Name a bird."
    assert clean("   \n") == ""
    assert alike("Name a bird", "name a bird.") == 1 and alike("Name a bird", "Draw the sea") == 0
    assert alike("Назови птицу", "назови птицу") == 1
    assert alike("one two three four", "four one two") == pytest.approx(2 * 2 / (4 + 3)), "longest common subsequence"


@pytest.mark.parametrize(
    ("judged", "grade"),
    [
        ("5", 5),
        ("Grade: 4.", 4),
        ("3/5", 3),
        ("4 out of 5", 4),
        ("2 or 3", None),
        ("4.5", None),
        ("15", None),
        ("?", None),
    ],
)
def test_a_grade_is_read_or_not_but_never_guessed(judged: str, grade: int | None) -> None:
    assert read_grade(judged) == grade


def test_a_model_in_this_process_writes_the_same_for_the_same_seed() -> None:
    writer = LocalWriter(tiny_llama(), tiny_tokenizer())
    first, again, other = (writer.write(["The quick brown fox"], 12, 1.0, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert writer.write(["The quick brown fox"], 12, 0.0, 1) == writer.write(["The quick brown fox"], 12, 0.0, 2)


def test_pairs_are_a_text_to_distil_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    write_tiny_llama(tmp_path / "tiny")
    write_tiny_llama(tmp_path / "other", seed=3)
    rows = [{"instruction": SENTENCES[i % 3], "output": SENTENCES[(i + 1) % 3], "grade": 4} for i in range(120)]
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.json"
    pairs.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    text = finish(texts.load_text(str(pairs)))
    assert (
        text.content.startswith(f"{SENTENCES[0]}\n{SENTENCES[1]}\n\n{SENTENCES[1]}")
        and text.source.name == "pairs.jsonl"
    )
    call = ["distill", str(tmp_path / "tiny"), str(tmp_path / "other"), "--train", str(pairs), "--text", str(pairs)]
    call += ["--train-what", "lora", "--steps", "2", "--window", "64", "--json", str(out)]
    CliRunner().invoke(app, call, catch_exceptions=False)
    assert store.read_json(out, DistillReport).train_source == "pairs.jsonl"
    tokenizer = tiny_tokenizer()
    assert _tokens_to_learn(tokenizer, text).tolist() == tokenizer(text.content)["input_ids"]
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    asked = "".join(f"user: {row['instruction']} assistant: {row['output']} " for row in rows)
    learned = tokenizer.decode(_tokens_to_learn(tokenizer, text))
    assert learned.replace(" ", "") == tokenizer.decode(tokenizer(asked)["input_ids"]).replace(" ", "")
    pairs.write_text('{"instruction": "a", "input": "x\u2028y", "output": "b"}\n', encoding="utf-8")
    assert finish(texts.load_text(str(pairs))).pairs == (("a\n\nx\u2028y", "b"),)
    pairs.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a"}', encoding="utf-8")
    with pytest.raises(UserError, match="pairs.jsonl, line 2: instruction and output were expected"):
        finish(texts.load_text(str(pairs)))
    pairs.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="pairs.jsonl, line 1, is no JSON"):
        finish(texts.load_text(str(pairs)))


def test_a_line_that_was_cut_off_is_dropped(server: Server, tmp_path: Path) -> None:
    finish(Workbench().synthesise(settings(server, pairs=1)))
    (file,) = (tmp_path / "cache" / "synthetic").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])
    assert len(runner._read(file)) == 1 and file.read_bytes() == whole


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"server": "", "writer": ""}, "either a model that writes or a server"),
        ({"writer": "smollm2-135m-q4"}, "either a model that writes or a server"),
        ({"server": "ftp://x"}, "an address such as http://localhost:8000/v1, but ftp://x"),
        ({"served_model": ""}, "name one by --served-model"),
        ({"judge_server": "http://x/v1"}, "name the one that grades by --judge"),
        ({"judge_server": "ftp://x", "judge": "m"}, "an address such as http://localhost:8000/v1, but ftp://x"),
        ({"judge": "m", "min_grade": 0}, "--min-grade 0 asks for none"),
        ({"pairs": 0}, "--pairs takes 1 to"),
        ({"temperature": 0.0}, "--temperature takes 0.05 to 5, but 0"),
        ({"min_grade": 6}, "--min-grade takes 0 to 5, but 6"),
    ],
)
def test_bad_input_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    plain = {"server": "http://localhost:1/v1", "served_model": "m"} | changes
    with pytest.raises(UserError, match=sentence):
        SyntheticSettings(**plain).check()
