"""Many visitors at once: ``PYTHONPATH=. python tests/load.py --visitors 30 --minutes 20`` starts the app and visits it.

Each visitor asks for predictions, allocations and analyses (cheap: they are known), measures compressed models (heavy),
cancels some of them and leaves in the middle of others, and comes back as somebody else. Checked: no error; every
answer is that of its question; memory is flat once the models are loaded; cheap answers stay quick while heavy work
runs. Ends with 1 if something of that fails.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path
from typing import Any

import psutil
from gradio_client import Client
from real_app import running_app

from compression import api

MODEL = "smollm2-135m-q4"
CHEAP_LIMIT = 0.5
"""Seconds in which 95 of 100 cheap answers must be there."""
DRIFT_LIMIT = 0.05
"""Growth of memory between the second and the last quarter that is accepted."""
MEASURED = tuple(("svd", "uniform", round(0.1 + 0.07 * i, 2)) for i in range(4))
"""What is measured, again and again: nothing of it came with the app, and two of it are in memory at a time."""


@dataclass
class Seen:
    """What all visitors saw."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cheap: list[float] = field(default_factory=list)
    quality: dict[tuple[Any, ...], float] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Visitor(threading.Thread):
    """Somebody in front of the page."""

    def __init__(self, number: int, url: str, end: float, seen: Seen) -> None:
        """Come at `url` and stay until `end`, of the monotonic clock."""
        super().__init__(name=f"visitor {number}", daemon=True)
        self._random, self._url, self._end, self._seen = random.Random(number), url, end, seen
        self._client = Client(url, verbose=False)

    def run(self) -> None:
        """Do one thing after the other."""
        acts = (self._slide,) * 12 + (self._allocate,) * 4 + (self._analyze, self._measure, self._cancel, self._leave)
        while time.monotonic() < self._end:
            act = self._random.choice(acts)
            try:
                act()
                with self._seen.lock:
                    self._seen.counts[act.__name__.strip("_")] += 1
            except Exception as error:
                with self._seen.lock:
                    self._seen.errors.append(f"{act.__name__}: {type(error).__name__}: {error}"[:300])
            time.sleep(self._random.uniform(0.5, 4))

    def _ask(self, question: str, *arguments: Any) -> Any:
        began = time.perf_counter()
        answer = self._client.predict(*arguments, api_name=f"/{question}")
        with self._seen.lock:
            self._seen.cheap.append(time.perf_counter() - began)
        if answer != api.plain(getattr(api, question)(*arguments)):
            with self._seen.lock:
                self._seen.wrong.append(f"{question}{arguments}")
        return answer

    def _slide(self) -> None:
        method = self._random.choice(("compot-fisher", "compot", "svd-llm"))
        self._ask("predict", MODEL, method, "own", round(self._random.uniform(0.05, 0.6), 2))

    def _allocate(self) -> None:
        policy = self._random.choice(("uniform", "pooled", "fisher"))
        self._ask("allocate", MODEL, "compot-fisher", policy, round(self._random.uniform(0.05, 0.6), 2))

    def _analyze(self) -> None:
        self._ask("analyze", MODEL)

    def _start(self) -> tuple[tuple[Any, ...], Any]:
        chosen = self._random.choice(MEASURED)
        return chosen, self._client.submit(MODEL, *chosen, api_name="/evaluate")

    def _measure(self) -> None:
        chosen, job = self._start()
        try:
            answer = job.result(timeout=1800)
        except Exception as error:
            if "waiting for the engine already" in str(error):
                return  # the line is full, and says so
            raise
        with self._seen.lock:
            known = self._seen.quality.setdefault(chosen, answer["perplexity"])
            if answer["perplexity"] != known or answer["model_id"] != MODEL:
                self._seen.wrong.append(f"{chosen}: {answer['perplexity']} after {known}")

    def _cancel(self) -> None:
        _, job = self._start()
        time.sleep(self._random.uniform(0.5, 5))
        job.cancel()

    def _leave(self) -> None:
        self._start()
        time.sleep(self._random.uniform(0.5, 5))
        self._client.close()
        self._client = Client(self._url, verbose=False)


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
            end = time.monotonic() + 60 * asked.minutes
            visitors = [Visitor(number, url, end, seen) for number in range(asked.visitors)]
            for visitor in visitors:
                visitor.start()
            while time.monotonic() < end:
                seen.memory.append((time.monotonic(), server.memory_info().rss))
                time.sleep(2)
            for visitor in visitors:
                visitor.join(120)
        said = log.read_text(encoding="utf-8", errors="replace")
    return _report(asked.visitors, asked.minutes, seen, said.count("Traceback"))


def _server_of(url: str) -> psutil.Process:
    port = int(url.rsplit(":", 1)[1])
    for child in psutil.Process().children(recursive=True):
        if any(c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in child.net_connections()):
            return child
    raise SystemExit("the app's process was not found")


def _report(visitors: int, minutes: float, seen: Seen, tracebacks: int) -> int:
    quarter = len(seen.memory) // 4
    before = statistics.median(value for _, value in seen.memory[quarter : 2 * quarter])
    after = statistics.median(value for _, value in seen.memory[-quarter:])
    drift = after / before - 1
    p50, p95 = (statistics.quantiles(seen.cheap, n=100)[q - 1] for q in (50, 95))
    print(f"{visitors} visitors, {minutes:g} minutes, {os.cpu_count()} cores, commit {_commit()}")
    print("done:", ", ".join(f"{name} {count}" for name, count in seen.counts.most_common()))
    print(f"errors {len(seen.errors)}, tracebacks in the log {tracebacks}, wrong answers {len(seen.wrong)}")
    print(f"cheap answers: median {1e3 * p50:.0f} ms, 95 % within {1e3 * p95:.0f} ms (limit {1e3 * CHEAP_LIMIT:.0f})")
    print(f"memory: {before / 1e6:.0f} MB in the second quarter, {after / 1e6:.0f} MB in the last: {drift:+.1%}")
    for line in [*seen.errors[:5], *seen.wrong[:5]]:
        print(" ", line)
    failed = seen.errors or seen.wrong or tracebacks or p95 > CHEAP_LIMIT or drift > DRIFT_LIMIT
    return int(bool(failed))


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
