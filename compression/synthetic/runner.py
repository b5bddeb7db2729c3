"""Self-instruct with a judge: instructions after examples, answers, grades; every try is kept as soon as it is decided.

Source: Self-Instruct (2212.10560), sections 2.2 and 2.3, with the package ``rouge_score``. The judge is ours.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Generator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from compression import store
from compression.environment import code_version, describe_environment
from compression.synthetic.report import GRADES, Decision, Pair, SyntheticReport, SyntheticSettings
from compression.synthetic.writers import LocalWriter, ServerWriter, Writer
from compression.types import Progress

if TYPE_CHECKING:
    from compression.workbench import Workbench

SEEDS = Path(__file__).with_name("seeds.txt")
ASK, JUDGE = (SEEDS.with_name(f"{name}.txt").read_text(encoding="utf-8") for name in ("ask", "judge"))
GRADED: list[tuple[str, str, int]] = json.loads(SEEDS.with_name("graded.json").read_text(encoding="utf-8"))
"""What a judge sees first: without them a small model talks about an answer instead of grading it."""
EXAMPLES = 3
TRIES_A_PAIR = 10
WORDS = (3, 60)
"""Of an instruction."""
INSTRUCTION_TOKENS, GRADE_TOKENS = 64, 8


def synthesise(bench: Workbench, settings: SyntheticSettings) -> Generator[Progress, None, SyntheticReport]:
    """Write, filter and grade instruction pairs.

    Args:
        bench: whose models are used.
        settings: what is wanted.

    Yields:
        An event of stage ``synthesise`` after each try, whose `partial` is its `Decision`.

    Raises:
        UserError: for settings out of range, a speech model, or a server that does not answer; what was made is kept.
    """
    settings.check()
    wanted = settings.served_model if settings.server else settings.writer
    writer, identity = yield from _who(bench, settings.server, wanted)
    judge, judging = writer, identity
    if settings.judge:
        judge, judging = yield from _who(bench, settings.judge_server, settings.judge)
    key = store.content_key("synthetic", code_version(), identity, judging, _start(settings))
    file = store.root() / "synthetic" / f"{key}.jsonl"
    made = _read(file)
    seeds = [line for line in SEEDS.read_text(encoding="utf-8").splitlines() if line]
    tries = settings.max_tries or TRIES_A_PAIR * settings.pairs
    while len(made) < tries and _kept(made) < settings.pairs:
        decision = _try(writer, judge, settings, seeds, made)
        made.append(decision)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(pydantic.TypeAdapter(Decision).dump_json(decision).decode() + "\n")
        said = f"{_kept(made)} of {settings.pairs} pairs after {len(made)} tries"
        yield Progress("synthesise", _kept(made), settings.pairs, said, decision)
    pairs = tuple(each.pair for each in made if each.outcome == "kept")[: settings.pairs]
    grades = Counter(each.pair.grade for each in made if each.pair.grade is not None)
    return SyntheticReport(
        settings,
        pairs,
        dict(Counter(each.outcome for each in made)),
        {grade: grades[grade] for grade in range(GRADES[0], GRADES[1] + 1)},
        describe_environment(),
    )


def _who(bench: Workbench, server: str, model_id: str) -> Generator[Progress, None, tuple[Writer, str]]:
    """Who writes or grades, a server's model or one in this process, and what tells it from others."""
    if server:
        return ServerWriter(server, model_id), server
    model = yield from bench.any_model(model_id)
    model.loaded.check_language()
    return LocalWriter(model.loaded.model, model.loaded.tokenizer), model.identity


def write_pairs(report: SyntheticReport, file: Path) -> None:
    """Write the pairs as JSON, one a line, as ``distill --train`` reads them."""
    rows = [{"instruction": p.instruction, "output": p.output, "grade": p.grade} for p in report.pairs]
    with store.atomic_file(file) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _start(settings: SyntheticSettings) -> dict[str, object]:
    """What a try depends on: asking for more pairs goes on from those that are there."""
    plain = pydantic.TypeAdapter(SyntheticSettings).dump_python(settings)
    return {name: value for name, value in plain.items() if name not in ("pairs", "max_tries")}


def _read(file: Path) -> list[Decision]:
    """What an earlier run has decided; a line that was cut off in the middle is dropped, with all behind it."""
    found: list[Decision] = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(pydantic.TypeAdapter(Decision).validate_json(line))
            except pydantic.ValidationError:
                file.write_bytes(b"".join(pydantic.TypeAdapter(Decision).dump_json(d) + b"\n" for d in found))
                break
    return found


def _kept(made: Sequence[Decision]) -> int:
    return sum(each.outcome == "kept" for each in made)


def _try(
    writer: Writer, judge: Writer, settings: SyntheticSettings, seeds: list[str], made: Sequence[Decision]
) -> Decision:
    """One instruction with its answer and its grade."""
    number = settings.seed * 1_000_003 + len(made)
    there = seeds + [each.pair.instruction for each in made if each.outcome == "kept"]
    examples = random.Random(number).sample(there, min(EXAMPLES, len(there)))
    asked = ASK.format(examples="\n".join(f"- {example}" for example in examples))
    said = writer.write([asked], INSTRUCTION_TOKENS, settings.temperature, number)
    instruction = clean(said)
    count = len(instruction.split())
    if not WORDS[0] <= count <= WORDS[1]:
        return Decision("too-short" if count < WORDS[0] else "too-long", Pair(instruction, "", None))
    if any(alike(instruction, other) > settings.similarity for other in there):
        return Decision("alike", Pair(instruction, "", None))
    output = writer.write([instruction], settings.max_new_tokens, settings.temperature, number)
    if not output:
        return Decision("no-answer", Pair(instruction, "", None))
    if not settings.min_grade:
        return Decision("kept", Pair(instruction, output, None))
    shown = [turn for task, answer, given in GRADED for turn in (_judge(task, answer), str(given))]
    grade = read_grade(judge.write([*shown, _judge(instruction, output)], GRADE_TOKENS, 0.0, number))
    if grade is None:
        return Decision("ungraded", Pair(instruction, output, None))
    return Decision("kept" if grade >= settings.min_grade else "low-grade", Pair(instruction, output, grade))


def clean(said: str) -> str:
    """The first line that says something, without a number, a dash, quotes or the word "Task" before it."""
    for line in said.splitlines():
        found = re.sub(r"^\W*(?:\d+[.)]\s*)?(?:task\s*:\s*)?", "", line.strip(), flags=re.IGNORECASE).strip(' "“”')
        if found:
            return found
    return ""


def _judge(instruction: str, output: str) -> str:
    return JUDGE.format(instruction=instruction, output=output)


def read_grade(judged: str) -> int | None:
    """The grade that a judge gave, None where it gave none or several: a grade is never guessed."""
    found = set(re.findall(r"(?<![\d.,])\d+(?![\d.,]*\d)", judged.partition("/")[0].partition("out")[0]))
    grade = int(found.pop()) if len(found) == 1 else 0
    return grade if GRADES[0] <= grade <= GRADES[1] else None


class _Words:
    """Words of any script; what ``rouge_score`` has of its own knows Latin letters alone."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())


def alike(one: str, other: str) -> float:
    """ROUGE-L of two sentences, its F-measure: words of the longest common subsequence, from 0 to 1."""
    found: float = _rouge().score(one, other)["rougeL"].fmeasure
    return found
