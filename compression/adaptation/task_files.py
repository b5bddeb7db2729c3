"""Examples of a classification task from files and folders somebody names.

TSV is read as GLUE ships it: without any quoting, because the sentences hold single quotation marks. CSV is read with
quoting, JSON Lines with an object a line.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from compression.errors import UserError
from compression.texts import read_file

TRAIN = (("train",),)
"""What the name of a file for training holds."""
EVALUATION = (("dev", "validation", "eval", "evaluation"), ("test",))
"""What the name of a file for evaluation holds; the first that occur are taken (GLUE's test files have no labels)."""

_TABS = (".tsv", ".txt")
_SUFFIXES = (*_TABS, ".csv", ".jsonl")
_TEXT_COLUMNS = {
    1: (("sentence",), ("text",)),
    2: (("sentence1", "sentence2"), ("#1 String", "#2 String")),
}
"""Number of texts an example → the names their columns may have."""
_LABEL_COLUMNS = ("label", "Quality")


def files_of(place: str, task: str, tasks: Sequence[str], wanted: Sequence[Sequence[str]]) -> list[Path]:
    """The files that a name on the command line stands for.

    Args:
        place: a file, or a folder.
        task: whose examples are wanted; where names in a folder say so, files of other tasks are left out.
        tasks: all names of tasks.
        wanted: `TRAIN` or `EVALUATION`; of a folder, which files are meant.

    Raises:
        UserError: if there is no such file or folder, or the folder holds no such file.
    """
    path = Path(os.path.expanduser(place))
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise UserError(
            f"There is no file or folder {place[:200]!r}: give a file of examples (TSV, CSV or JSON Lines), or a "
            "folder of them."
        )
    try:
        names = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): choose a directory you may open.") from error
    own = [name for name in names if task in _plain(name)]
    others = [other for other in tasks if other != task]
    names = own or [name for name in names if not any(other in _plain(name) for other in others)]
    for words in wanted:
        found = [name for name in names if set(words) & set(re.findall("[a-z]+", name.lower()))]
        if found:
            return [path / name for name in found]
    words = " or ".join(word for group in wanted for word in group)
    raise UserError(
        f"{path} holds no examples of {task}: a TSV, CSV or JSON Lines file whose name contains {words} was expected."
    )


def _plain(name: str) -> str:
    """A file's name as tasks are written: ``SST-2_train.tsv`` holds ``sst2``."""
    return re.sub("[^a-z0-9]", "", name.lower())


def read_examples(path: Path, task: str, labels: Sequence[str], num_texts: int) -> list[tuple[tuple[str, ...], int]]:
    """The texts and the class of every example of a file.

    Args:
        path: ``.tsv`` or ``.txt`` (tabs, no quoting), ``.csv`` or ``.jsonl``, with the names of columns in the first
            line or as keys.
        task: for errors.
        labels: names of the classes; a label is one of them, or its index.
        num_texts: texts an example, 1 or 2.

    Raises:
        UserError: naming the file, and the line where one is wrong.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{path} is no file of examples: its name must end in {', '.join(_SUFFIXES)}.")
    found = []
    columns: tuple[tuple[str, ...], str] | None = None
    for number, row in _rows(path):
        # Keys may differ from line to line in JSON Lines only.
        if columns is None or not {*columns[0], columns[1]} <= row.keys():
            columns = _columns(path, task, list(row), num_texts)
        texts = tuple(row[name].strip() if isinstance(row[name], str) else "" for name in columns[0])
        if not all(texts):
            raise UserError(f"Line {number} of {path} has no sentence: fill it in, or remove the line.")
        found.append((texts, _class_of(row[columns[1]], f"Line {number} of {path}", task, labels)))
    return found


def _columns(path: Path, task: str, names: list[str], num_texts: int) -> tuple[tuple[str, ...], str]:
    texts = next((each for each in _TEXT_COLUMNS[num_texts] if set(each) <= set(names)), None)
    label = next((name for name in _LABEL_COLUMNS if name in names), None)
    if texts is None or label is None:
        expected = " or ".join(", ".join((*each, "label")) for each in _TEXT_COLUMNS[num_texts])
        has = ", ".join(names)[:200]
        raise UserError(f"{path} has other columns than {task} needs: expected {expected}, but it has {has}.")
    return texts, label


def _class_of(value: Any, where: str, task: str, labels: Sequence[str]) -> int:
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    if text.isdecimal() and int(text) < len(labels):
        return int(text)
    names = [label.casefold() for label in labels]
    if text.casefold() in names:
        return names.index(text.casefold())
    expected = ", ".join(f"{index} ({label})" for index, label in enumerate(labels))
    raise UserError(f"{where} has the label {text[:50]!r}, which is no class of {task}: expected {expected}.")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every example with its line, counted from 1."""
    content = read_file(path)
    if path.suffix.lower() == ".jsonl":
        yield from _json_rows(path, content)
        return
    lines = _tab_lines(content) if path.suffix.lower() in _TABS else _csv_lines(path, content)
    header: list[str] = []
    for number, cells in lines:
        if not header:
            header = [cell.strip("\ufeff ") for cell in cells]
        elif len(cells) != len(header):
            raise UserError(
                f"Line {number} of {path} has another number of columns than the first line ({len(cells)} instead of "
                f"{len(header)}): one example a line was expected."
            )
        else:
            yield number, dict(zip(header, cells, strict=True))


def _tab_lines(content: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, line.split("\t")


def _csv_lines(path: Path, content: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"Line {reader.line_num} of {path} is no CSV: correct its quotation marks.") from error


def _json_rows(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {number} of {path} is no JSON: an object a line was expected.") from error
        if not isinstance(row, dict):
            raise UserError(f"Line {number} of {path} is no JSON object: an object a line was expected.")
        yield number, row
