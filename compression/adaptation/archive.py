"""Adapted models in the cache: a folder each run writes to, and the one file that a page hands out."""

from __future__ import annotations

import uuid
from pathlib import Path

from compression import store, zip_file

MAX_BYTES = 4 * 2**30
"""Of the adapted models that stay in the cache, and once more of their packed files."""


def new_folder() -> Path:
    """A folder in the cache that nobody else has; it does not exist yet."""
    adapted = store.root() / "adapted"
    store.prune(adapted, MAX_BYTES)
    return adapted / uuid.uuid4().hex


def pack(folder: Path, name: str) -> Path | None:
    """Put what a run wrote into one zip file.

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
    with store.atomic_directory(archive.parent) as temporary:
        named = [(path, f"{name}/{path.relative_to(folder).as_posix()}") for path in files]
        for _ in zip_file.write(temporary / archive.name, named):
            pass
    return archive
