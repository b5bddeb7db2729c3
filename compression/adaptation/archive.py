"""Adapted models in the cache: a folder each run writes to, and the one file that a page hands out."""

from __future__ import annotations

import shutil
import uuid
import zipfile
from pathlib import Path

from compression import store

MAX_BYTES = 4 * 2**30
"""Of the adapted models that stay in the cache, and once more of their packed files."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can note; all files bear it, so that the same model is the same file."""


def new_folder() -> Path:
    """A folder in the cache that nobody else has; it does not exist yet."""
    adapted = store.root() / "adapted"
    store.prune(adapted, MAX_BYTES)
    return adapted / uuid.uuid4().hex


def pack(folder: Path, name: str) -> Path | None:
    """Put what a run wrote into one zip file, uncompressed: weights hardly shrink.

    Args:
        folder: as `new_folder` gave it.
        name: of the model; names the file, and the folder inside.

    Returns:
        The file; None where the run wrote nothing.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        return None
    store.prune(store.archives(), MAX_BYTES)
    archive = store.archives() / folder.name / f"{name}.zip"
    with (
        store.atomic_directory(archive.parent) as temporary,
        zipfile.ZipFile(temporary / archive.name, "w", zipfile.ZIP_STORED) as packed,
    ):
        for path in files:
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(folder).as_posix()}", EARLIEST)
            entry.external_attr = 0o644 << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink)
    return archive
