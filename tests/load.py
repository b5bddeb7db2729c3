"""Many visitors at once: ``PYTHONPATH=. python tests/load.py --visitors 30 --minutes 20`` starts the app and visits it.

Each visitor asks for predictions, allocations and analyses (cheap: they are known), takes a step of the page's walk
(cheap as well), measures compressed models (heavy), cancels some of them and leaves in the middle of others, and comes
back as somebody else. Checked: no error; every answer is that of its question, by the method, policy and share that it
names where it names them, and by its figures where not; memory is flat once the models are loaded; cheap answers stay
quick while heavy work runs. Requests that are refused because the line is full are counted apart. Ends with 1 if
something of that fails.

The events of the page are private: `gradio_client` shows none of them and refuses to call them. The server answers
them like any other, so a visitor calls the one event behind "Reveal" all the same.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import psutil
from gradio_client import Client
from real_app import running_app

from compression import api, lessons
from views.lessons import verdict
from views.texts import words

MODEL = "smollm2-135m-q4"
CHEAP_LIMIT = 0.5
"""Seconds in which 95 of 100 cheap answers must be there."""
DRIFT_LIMIT = 0.05
"""Growth of memory between the second and the last quarter that is accepted."""
LAST_CALL = 60.0
"""Seconds after the end in which what was asked may still be answered."""
ARRIVALS = 1.0
"""Seconds between two visitors who come at the beginning: thirty clients that start at once on the two cores of the app
take longer to read the page than their own limit of five seconds."""
MEASURED = tuple(("svd", "uniform", round(0.12 + 0.07 * i, 2)) for i in range(4))
"""What is measured, again and again: nothing of it came with the app, and it is not all in memory at a time."""
REVEALED = "whitening"
"""The step of the walk that visitors reveal; it is known."""
FULL = "waiting for the engine already"
"""What a request says that is refused because the line is full."""


@dataclass
class Seen:
    """What visitors saw."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cheap: list[tuple[str, float]] = field(default_factory=list)
    measured: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)

    def add(self, other: Seen) -> None:
        """What another one saw as well; what he saw measured differently is wrong."""
        self.counts += other.counts
        self.refused += other.refused
        self.errors += other.errors
        self.wrong += other.wrong
        self.cheap += other.cheap
        for asked, figures in other.measured.items():
            self.check(asked, figures)

    def check(self, asked: tuple[Any, ...], figures: tuple[Any, ...]) -> None:
        """The same question has the same answer."""
        if self.measured.setdefault(asked, figures) != figures:
            self.wrong.append(f"{asked}: {figures} after {self.measured[asked]}")


def visit(number: int, url: str, minutes: float, answers: Queue[Seen]) -> None:
    """Come, stay, and say what was seen; a process of its own, as no visitor waits for another one's computer."""
    end = time.monotonic() + 60 * minutes
    time.sleep(number * ARRIVALS)
    visitor = Visitor(number, url, end)
    # Who is still asking when the app closes has no more to say.
    threading.Thread(target=visitor.run, daemon=True).start()
    time.sleep(max(0.0, end - time.monotonic()) + LAST_CALL)
    answers.put(visitor.seen)
    answers.close()
    answers.join_thread()
    os._exit(0)


class Visitor:
    """Somebody in front of the page."""

    def __init__(self, number: int, url: str, end: float) -> None:
        """Come at `url` and stay until `end`, of the monotonic clock."""
        self.seen = Seen()
        self._random, self._url, self._end = random.Random(number), url, end
        self._client = Client(url, verbose=False, ssl_verify=False)

    def run(self) -> None:
        """Do one thing after the other."""
        acts = (self._slide,) * 12 + (self._allocate,) * 4 + (self._reveal,) * 2
        acts += (self._analyze, self._measure, self._cancel, self._leave)
        while time.monotonic() < self._end:
            act = self._random.choice(acts)
            try:
                act()
                self.seen.counts[act.__name__.strip("_")] += 1
            except BaseException as error:
                if time.monotonic() > self._end:
                    return  # the app is closed, whoever is still waiting
                if FULL in str(error):
                    self.seen.refused += 1
                    continue
                self.seen.errors.append(f"{act.__name__}: {type(error).__name__}: {error}"[:300])
            time.sleep(self._random.uniform(0.5, 4))

    def _ask(self, question: str, *arguments: Any) -> Any:
        began = time.perf_counter()
        answer = self._client.predict(*arguments, api_name=f"/{question}")
        self.seen.cheap.append((question, time.perf_counter() - began))
        if answer != _expected(question, arguments):
            self.seen.wrong.append(f"{question}{arguments}")
        return answer

    def _slide(self) -> None:
        method = self._random.choice(("compot-fisher", "compot", "svd-llm"))
        self._ask("predict", MODEL, method, "own", round(self._random.uniform(0.05, 0.6), 2))

    def _allocate(self) -> None:
        policy = self._random.choice(("uniform", "pooled", "fisher"))
        self._ask("allocate", MODEL, "compot-fisher", policy, round(self._random.uniform(0.05, 0.6), 2))

    def _analyze(self) -> None:
        self._ask("analyze", MODEL)

    def _reveal(self) -> None:
        """A step of the walk, as the page asks for it; the model is that of the visitor's session."""
        guess = self._random.randrange(4)
        event = _event_behind(f"verdict-{REVEALED}", self._client)
        began = time.perf_counter()
        job = self._client.submit(guess, fn_index=event)
        job.result(timeout=1800)
        self.seen.cheap.append(("reveal", time.perf_counter() - began))
        if _expected_verdict(guess) not in str(job.outputs()):
            self.seen.wrong.append(f"reveal({guess})")

    def _start(self) -> tuple[str, tuple[Any, ...], Any]:
        method, policy, removed = chosen = self._random.choice(MEASURED)
        question = self._random.choice(("evaluate", "compare"))
        methods: Any = [method] if question == "compare" else method
        return question, chosen, self._client.submit(MODEL, methods, policy, removed, api_name=f"/{question}")

    def _measure(self) -> None:
        question, chosen, job = self._start()
        answer = job.result(timeout=1800)
        named = [answer["model_id"]]
        if question == "compare":
            (run,) = answer["runs"]
            named += [run["method"], run["policy"], run["removed_fraction_target"]]
            figures = (run["perplexity"], run["stored_bits"], answer["dense"]["perplexity"])
        else:  # a report of one model names no more; its size tells the shares apart
            figures = (answer["perplexity"], answer["stored_bits"])
        if named != [MODEL, *chosen][: len(named)]:
            self.seen.wrong.append(f"{question}{chosen}: an answer about {named}")
        self.seen.check((question, *chosen), figures)

    def _cancel(self) -> None:
        *_, job = self._start()
        time.sleep(self._random.uniform(0.5, 5))
        job.cancel()

    def _leave(self) -> None:
        self._start()
        time.sleep(self._random.uniform(0.5, 5))
        self._client.close()
        self._client = Client(self._url, verbose=False, ssl_verify=False)


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=20)
    asked = parser.parse_args()
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "app.log"
        with running_app([sys.executable, "app.py"], log) as url:
            server = _server_of(url)
            fork = multiprocessing.get_context("fork")
            answers: Any = fork.Queue()
            _expected("analyze", (MODEL,))  # known to all of them, once they are many
            for guess in range(4):
                _expected_verdict(guess)
            arguments = [(number, url, asked.minutes, answers) for number in range(asked.visitors)]
            visitors = [fork.Process(target=visit, args=each, daemon=True) for each in arguments]
            for visitor in visitors:
                visitor.start()
            end = time.monotonic() + 60 * asked.minutes
            while time.monotonic() < end:
                seen.memory.append(server.memory_info().rss)
                time.sleep(2)
            for _ in visitors:
                seen.add(answers.get(timeout=3 * LAST_CALL))
        said = log.read_text(encoding="utf-8", errors="replace")
    return _report(asked.visitors, asked.minutes, seen, said.count("Traceback"))


@cache
def _expected(question: str, arguments: tuple[Any, ...]) -> Any:
    """Asked beside the app, once: the load is to come from the app."""
    return api.plain(getattr(api, question)(*arguments))


@cache
def _expected_verdict(guess: int) -> str:
    """Likewise."""
    found = api.finish(lessons.find(REVEALED, MODEL, None))
    return verdict(found, guess, words("en"))


def _event_behind(elem_id: str, client: Client) -> int:
    """Number of the page's event with a server behind it that fills a component from a guess; made callable."""
    components = {each["id"]: each for each in client.config["components"]}
    filled = next(number for number, each in components.items() if each["props"].get("elem_id") == elem_id)
    for number, endpoint in client.endpoints.items():
        asked = [components[each]["type"] for each in endpoint.dependency["inputs"]]
        if filled in endpoint.dependency["outputs"] and "radio" in asked:
            endpoint.is_valid = True
            return number
    raise SystemExit(f"no event fills {elem_id}")


def _server_of(url: str) -> psutil.Process:
    port = int(url.rsplit(":", 1)[1])
    for child in psutil.Process().children(recursive=True):
        if any(c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in child.net_connections()):
            return child
    raise SystemExit("the app's process was not found")


def _report(visitors: int, minutes: float, seen: Seen, tracebacks: int) -> int:
    quarter = len(seen.memory) // 4
    before = statistics.median(seen.memory[quarter : 2 * quarter])
    after = statistics.median(seen.memory[-quarter:])
    drift = after / before - 1
    p95 = _quantiles([seconds for _, seconds in seen.cheap])[1]
    print(f"{visitors} visitors, {minutes:g} minutes, {os.cpu_count()} cores, commit {_commit()}")
    print("done:", ", ".join(f"{name} {count}" for name, count in seen.counts.most_common()))
    print(f"refused because the line was full: {seen.refused}; measured and compared: {len(seen.measured)} questions")
    print(f"errors {len(seen.errors)}, tracebacks in the log {tracebacks}, wrong answers {len(seen.wrong)}")
    for question in ("predict", "allocate", "analyze", "reveal", ""):
        quick = [seconds for name, seconds in seen.cheap if question in ("", name)]
        median, most = _quantiles(quick)
        name = question or f"all cheap answers (limit {1e3 * CHEAP_LIMIT:.0f} ms)"
        print(f"{name}: {len(quick)}, median {1e3 * median:.0f} ms, 95 % within {1e3 * most:.0f} ms")
    print(f"memory: {before / 1e6:.0f} MB in the second quarter, {after / 1e6:.0f} MB in the last: {drift:+.1%}")
    step = max(1, len(seen.memory) // 10)
    print("memory on the way, MB:", ", ".join(f"{value / 1e6:.0f}" for value in seen.memory[::step]))
    for line in [*seen.errors[:5], *seen.wrong[:5]]:
        print(" ", line)
    failed = seen.errors or seen.wrong or tracebacks or p95 > CHEAP_LIMIT or drift > DRIFT_LIMIT
    return int(bool(failed))


def _quantiles(seconds: list[float]) -> tuple[float, float]:
    """Median, and what 95 of 100 are within."""
    cut = statistics.quantiles(seconds, n=100)
    return cut[49], cut[94]


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
