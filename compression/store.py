"""The cache on disk and everything that is written atomically: directories, JSON, locks, keys.

Design:
    - One root, `COMPRESSION_CACHE` (default ``~/.cache/compression-explorer``). Nothing is written elsewhere,
      except where the user names a folder.
    - Whatever is written is written to a hidden sibling first and renamed into place, so that a reader sees all
      of it or nothing. The sibling is guarded by a lock the operating system drops when the process dies; the
      next writer of the same path removes what a dead one left.
    - A full disk is a condition the user can change, hence a `UserError`.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import filelock
import pydantic
import pydantic_core
from safetensors import SafetensorError

from compression.errors import UserError
from compression.types import Progress

log = logging.getLogger(__name__)
T = TypeVar("T")

_FULL = {errno.ENOSPC, errno.EDQUOT}
LONG_NAME = 200
"""Characters; of a longer name a sentence repeats so many, and a file that is being written has another one."""
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def root() -> Path:
    """Return the cache root: `COMPRESSION_CACHE`, or ``~/.cache/compression-explorer``."""
    return Path(os.environ.get("COMPRESSION_CACHE") or "~/.cache/compression-explorer").expanduser().absolute()


def archives() -> Path:
    """The folder whose files a page may hand out: exports, packed."""
    return root() / "archives"


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk into one sentence that names `folder`.

    Raises:
        UserError: if the block ran out of space; any other error passes unchanged.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        if number is None and (found := re.search(r"\(os error (\d+)\)", str(error))):
            number = int(found[1])
        if number in _FULL:
            raise UserError(
                f"The disk that holds {folder} is full: free some space there, or choose a folder on another disk "
                "(the environment variable COMPRESSION_CACHE moves the cache); nothing half-written was kept."
            ) from error
        raise


@contextmanager
def _making(folder: Path) -> Iterator[None]:
    """Make `folder`, run a block that creates a first file in it, and say it where that is not allowed."""
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            yield
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        raise UserError(
            f"The folder {folder} cannot be written ({error.strerror}): choose another one (the environment variable "
            "COMPRESSION_CACHE moves the cache)."
        ) from error


def lock(name: str) -> filelock.BaseFileLock:
    """Return a named lock that excludes threads and processes alike, to be used in a ``with`` statement.

    It is not re-entrant. A process that dies lets go of it.
    """
    folder = root() / "locks"
    with _making(folder):
        pass
    # Not thread-local: a generator that holds it may be resumed, or closed, in another thread.
    return filelock.FileLock(folder / f"{re.sub(r'[^A-Za-z0-9.@_-]', '-', name)}.lock", thread_local=False)


@contextmanager
def _released(held: filelock.BaseFileLock) -> Iterator[None]:
    try:
        yield
    finally:
        held.release()


def waiting_lock(name: str, what: str) -> Generator[Progress, None, Any]:
    """Take the lock called `name`, saying so while another thread or process holds it.

    Use: ``with (yield from waiting_lock("x", "the model")): ...``.

    Args:
        name: the lock's name.
        what: what the other one is busy with, for the message.

    Yields:
        A `Progress` each second of waiting.

    Returns:
        A context manager that releases the lock.
    """
    held = lock(name)
    seconds = 0
    while True:
        try:
            with _making(root()):
                held.acquire(timeout=1 if seconds else 0)
            return _released(held)
        except filelock.Timeout:
            yield Progress("wait", seconds, seconds + 1, f"Waiting for another process that is preparing {what}")
            seconds += 1


def remove(path: Path) -> None:
    """Remove a file or a whole directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_name(path: Path) -> None:
    """Refuse a name that no file can have, before long work rather than after it.

    Raises:
        UserError: if the name is too long, for example.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return  # free, or said where the folder is made
    except OSError as error:
        name = str(path)
        cut = name if len(name) <= LONG_NAME else f"{name[:LONG_NAME]}…"
        raise UserError(f"{cut} cannot be written ({error.strerror}): choose another name.") from error


@contextmanager
def _temporary_sibling(path: Path) -> Iterator[Path]:
    """Yield an unused hidden path beside `path`; remove it afterwards, and those of dead processes before."""
    check_name(path)
    # It is longer by 23 characters, which a long name has no room for.
    name = path.name if len(os.fsencode(path.name)) <= LONG_NAME else content_key(path.name)[:40]
    temporary = path.parent / f".{name}.{uuid.uuid4().hex[:12]}.tmp"
    guard_path = temporary.with_name(temporary.name + ".lock")
    guard = filelock.FileLock(guard_path, thread_local=False)
    with _making(path.parent):
        for left in path.parent.glob(f".{glob.escape(name)}.*.tmp.lock"):
            stale = filelock.FileLock(left)
            try:
                stale.acquire(timeout=0)
            except filelock.Timeout:
                continue  # its process is alive
            remove(left.with_suffix(""))
            stale.release()
            left.unlink(missing_ok=True)
        guard.acquire()
    try:
        with disk_errors(path.parent):
            yield temporary
    finally:
        remove(temporary)
        guard.release()
        guard_path.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory that becomes `path` when the block ends without an error.

    Args:
        path: the directory to make. It may exist if it is empty.

    Raises:
        UserError: if `path` is a file or holds something, or the disk is full.
    """
    path = Path(path).absolute()
    _check_free(path)
    with _temporary_sibling(path) as temporary:
        temporary.mkdir()
        yield temporary
        _check_free(path)
        if path.is_dir():
            path.rmdir()
        os.rename(temporary, path)


def check_new_directory(path: Path) -> None:
    """Refuse a place where `atomic_directory` would fail, before long work rather than after it.

    Raises:
        UserError: if `path` is taken, or its parent cannot be written.
    """
    path = Path(path).absolute()
    _check_free(path)
    with _temporary_sibling(path) as temporary:
        temporary.mkdir()


def _check_free(path: Path) -> None:
    check_name(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        kind = "a folder that is not empty" if path.is_dir() else "a file"
        raise UserError(f"{path} is {kind}: name a folder that does not exist yet.")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file becomes `path` when the block ends without an error.

    Raises:
        UserError: if the disk is full or may not be written.
    """
    path = Path(path).absolute()
    with _temporary_sibling(path) as temporary:
        yield temporary
        os.replace(temporary, path)


def atomic_write_json(path: Path, value: Any) -> None:
    """Write `value` (plain values or dataclasses of them) as compact, strictly valid JSON; NaN becomes ``"NaN"``."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(pydantic_core.to_json(value, inf_nan_mode="strings") + b"\n")


write_json = atomic_write_json


def read_json(path: Path, type_: type[T]) -> T:
    """Read JSON that `write_json` wrote and validate it.

    Args:
        path: the file.
        type_: a dataclass, or any type pydantic understands.

    Returns:
        The value; ``"NaN"`` and ``"Infinity"`` are floats again where `type_` says float.

    Raises:
        UserError: if the file is missing or is not a `type_`.
    """
    try:
        return pydantic.TypeAdapter(type_).validate_json(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UserError(
            f"{path} is not a valid {getattr(type_, '__name__', type_)} (at {where}: {first['msg']}): make it again."
        ) from error


def write_cached(path: Path, value: Any) -> None:
    """Write for `cached_json`: JSON, and a line with its SHA-256, by which a flipped bit is noticed."""
    content = pydantic_core.to_json(value, inf_nan_mode="strings")
    with atomic_file(path) as temporary:
        temporary.write_bytes(content + b"\n" + hashlib.sha256(content).hexdigest().encode() + b"\n")


def cached_json(path: Path, type_: type[T]) -> T | None:
    """What `write_cached` left in the cache, or None; a damaged file counts as absent and is removed."""
    if not path.is_file():
        return None
    try:
        return _read_cached(path, type_)
    except (OSError, ValueError):
        log.warning("%s is damaged: it is removed, and made again.", path)
        path.unlink(missing_ok=True)
        return None


def _read_cached(path: Path, type_: type[T]) -> T:
    content, digest = path.read_bytes().removesuffix(b"\n").rsplit(b"\n", 1)
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("it is not what was written")
    return pydantic.TypeAdapter(type_).validate_json(content)


def content_key(*parts: Any) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of `parts` as canonical JSON: sorted keys, no spaces."""
    plain = pydantic_core.to_jsonable_python(parts, inf_nan_mode="strings")
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


HASHES_FILE = "hashes.json"
"""Beside files that came from elsewhere: their hashes when they came."""


def note_hashes(folder: Path) -> None:
    """Write down the SHA-256 of every file of a folder, for `is_whole`."""
    write_cached(folder / HASHES_FILE, _hashes(folder))


def is_whole(folder: Path, expected: Mapping[str, str] | None = None) -> bool:
    """Whether a folder is there and holds what it should, byte for byte, see `first_damaged`."""
    return folder.is_dir() and first_damaged(folder, expected) is None


def first_damaged(folder: Path, expected: Mapping[str, str] | None = None) -> Path | None:
    """A file of a folder that is not what it should be, is missing, or does not belong there; None if all is well.

    Nothing is believed that the folder says of itself after it came: without valid hashes, the file of the hashes is
    the one that is missing.

    Args:
        folder: files that came from elsewhere.
        expected: path in the folder → SHA-256, where that is known from elsewhere; else what `note_hashes` noted.
    """
    try:
        noted = _read_cached(folder / HASHES_FILE, dict[str, str]) if expected is None else expected
        found = _hashes(folder)
    except (OSError, ValueError) as error:  # or another process is making the folder anew
        return Path(getattr(error, "filename", None) or folder / HASHES_FILE)
    return next((folder / name for name in sorted({*noted, *found}) if noted.get(name) != found.get(name)), None)


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != HASHES_FILE)
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(files) if path.name[0] != "."}


def stamp(name: str) -> tuple[Any, ...]:
    """A name and, where it is a file or directory, the sizes and times of its files: changed files are new ones."""
    path = os.path.expanduser(name)
    if not os.path.exists(path):
        return (name,)
    try:
        entries = [path] if os.path.isfile(path) else [entry.path for entry in os.scandir(path)]
        stats = [(entry, os.stat(entry)) for entry in sorted(entries)]
    except OSError:
        return (name,)  # loading it says what is wrong
    return (name, *((entry, stat.st_size, stat.st_mtime_ns) for entry, stat in stats))


def touch(path: Path) -> None:
    """Mark a cache entry as just used, for `prune`."""
    os.utime(path)


def prune(folder: Path, max_bytes: int) -> None:
    """Remove the entries of `folder` used longest ago until the rest fits in `max_bytes`.

    An entry is a file or directory right inside; its last use is its modification time (see `touch`). Hidden
    entries (work in progress) are left alone.
    """
    if not folder.is_dir():
        return
    entries = []
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        try:
            files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            entries.append((path.stat().st_mtime, sum(p.stat().st_size for p in files), path))
        except FileNotFoundError:
            continue  # another process pruned it
    kept = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if kept <= max_bytes:
            return
        remove(path)
        kept -= size
