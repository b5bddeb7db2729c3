"""Zip files whose bytes depend on their contents alone."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK = 2**24
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can note; all files bear it, so that the same contents are the same file."""


def write(archive: Path, files: Iterable[tuple[Path, str]]) -> Iterator[int]:
    """Put files into one zip file, uncompressed: weights hardly shrink.

    Args:
        archive: the file to write.
        files: each with its name inside.

    Yields:
        The bytes of each chunk that was written.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path, name in files:
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.external_attr = 0o644 << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(entry, "w") as sink:
                while chunk := source.read(CHUNK):
                    sink.write(chunk)
                    yield len(chunk)
