"""What a sweep gave to its workers and what came of it: a line each in ``DIR/log.jsonl``, only ever appended to.

The cells alone cannot say whether one was measured twice, as a second answer would have the first one's name.
"""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic
import pydantic_core

from compression import store
from compression.sweeping.report import CellResult

LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class Execution:
    """One cell, given to one worker.

    Attributes:
        key: of the cell.
        attempt: number of workers that it was given to in this run, this one included.
        outcome: ``measured``; ``failed`` if the answer was a problem; ``lost`` if the worker died before it answered.
        node: name of the machine; empty where it was lost.
        process: number of the process; 0 where it was lost.
        seconds: of the measurement.
        time: of the answer, or when the loss was noticed; ISO 8601.
    """

    key: str
    attempt: int
    outcome: Literal["measured", "failed", "lost"]
    node: str
    process: int
    seconds: float
    time: str


class Log:
    """Open while a sweep is at work."""

    def __init__(self, folder: Path) -> None:
        """Go on with the folder's log; a line that a killed process left half written stays alone."""
        with store.disk_errors(folder):
            self._file = (folder / LOG_FILE).open("ab+")
            if self._file.tell():
                self._file.seek(-1, os.SEEK_END)
                if self._file.read() != b"\n":
                    self._file.write(b"\n")
        self._folder = folder

    def add(self, cell: CellResult, attempt: int, lost: bool = False) -> None:
        """Write a line at once."""
        outcome: Literal["measured", "failed", "lost"] = "lost" if lost else "failed" if cell.problem else "measured"
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = Execution(cell.key, attempt, outcome, cell.node, cell.process, cell.measure_seconds, now)
        with store.disk_errors(self._folder):
            self._file.write(pydantic_core.to_json(line) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """No more lines."""
        self._file.close()


def read_log(folder: Path) -> list[Execution]:
    """All whole lines of a sweep's log."""
    file = folder / LOG_FILE
    if not file.is_file():
        return []
    found = []
    for line in file.read_bytes().splitlines():
        try:
            found.append(pydantic.TypeAdapter(Execution).validate_json(line))
        except ValueError:
            continue  # half a line: its process was killed
    return found


def answered_twice(executions: Iterable[Execution]) -> set[str]:
    """Keys of the cells that were measured more than once."""
    times = Counter(each.key for each in executions if each.outcome == "measured")
    return {key for key, count in times.items() if count > 1}
