"""Exported models in the cache: each is written, checked and packed once, and kept while there is room.

An entry ``exports/KEY`` appears when everything is done, so that an interruption leaves nothing. The packed file has a
folder of its own, ``archives/KEY``: that folder alone is what a page hands out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path

from compression import export, model_card, store, zip_file
from compression.errors import UserError
from compression.pipeline import CompressedModel
from compression.recipe import Recipe, command_line
from compression.types import ExportCheck, Exported, Progress
from compression.verification import verify_export

CHECK_FILE = "check.json"
MAX_BYTES = 4 * 2**30
"""Of the exports that stay in the cache when another one is made, and once more of their packed files."""


def make(
    key: str, recipe: Recipe, compress: Callable[[], Generator[Progress, None, CompressedModel]]
) -> Generator[Progress, None, Exported]:
    """The export of a recipe: from the cache, or made now.

    Args:
        key: names everything it depends on.
        recipe: resolved.
        compress: makes the model.

    Raises:
        UserError: if the disk is full, or the check fails.
    """
    entry = store.root() / "exports" / key
    name = _name(recipe)
    with (yield from store.waiting_lock(f"export-{key}", name)):
        check = store.cached_json(entry / CHECK_FILE, ExportCheck)
        if check is None or not _complete(entry / name):
            store.remove(entry)
            store.prune(entry.parent, MAX_BYTES)
            compressed = yield from compress()
            with store.atomic_directory(entry) as temporary:
                yield Progress("save", 0, 1, f"writing {name}")
                export.save(compressed, temporary / name)
                check = yield from verify_export(compressed, temporary / name)
                store.write_cached(temporary / CHECK_FILE, check)
        archive = store.archives() / key / f"{name}.zip"
        if not archive.is_file():
            store.remove(archive.parent)
            store.prune(store.archives(), MAX_BYTES)
            with store.atomic_directory(archive.parent) as temporary:
                yield from _pack(entry / name, temporary / archive.name)
        for path in (entry, archive.parent):
            store.touch(path)
    card = (entry / name / export.CARD_FILE).read_text(encoding="utf-8")
    return Exported(
        directory=str(entry / name),
        archive=str(archive),
        check=check,
        command=command_line(recipe, name),
        snippet=model_card.snippet(name),
        card=card.split("\n---\n", 1)[1].strip(),
        model_note=store.read_json(entry / name / export.REPORT_FILE, export.Manifest).note,
    )


def _name(recipe: Recipe) -> str:
    """What a model is called: a name for a folder, on every system and on the Hub."""
    model = recipe.model_id.rstrip("/").split("@")[0].rsplit("/", 1)[-1]
    name = f"{model}-{recipe.method}-{recipe.policy}-{recipe.removed_fraction:g}"
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:96]


def _complete(directory: Path) -> bool:
    """Whether everything that was exported is still there."""
    try:
        return bool(export.exported_files(directory))
    except UserError:
        return False


def _pack(directory: Path, archive: Path) -> Generator[Progress, None, None]:
    """Put what may leave this machine into one zip file."""
    files = export.exported_files(directory)
    total, done = sum(path.stat().st_size for path in files), 0
    for written in zip_file.write(archive, [(path, f"{directory.name}/{path.name}") for path in files]):
        done += written
        yield Progress("pack", done, total, f"packing {directory.name}")
