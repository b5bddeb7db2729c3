"""Where a figure was made: versions, processor, threads, commit."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from compression import __version__
from compression.types import Environment

PACKAGE = Path(__file__).parent


def describe_environment() -> Environment:
    """Collect it now."""
    import torch

    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=importlib.metadata.version("transformers"),
        platform=platform.platform(),
        processor=processor_name(),
        threads=torch.get_num_threads(),
        device="cuda" if torch.cuda.is_available() else "cpu",
        version=__version__,
        commit=commit(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def python_path() -> str:
    """``PYTHONPATH`` for a new process that is to run this very package, wherever it is started."""
    return os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))


def processor_name() -> str:
    """The processor's model name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def commit() -> str:
    """The commit of this checkout, with ``+`` where files differ from it; ``unknown`` outside a checkout."""
    try:
        git = ["git", "-C", str(PACKAGE.parent)]
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if status.stdout.strip() else "")


@cache
def code_version() -> str:
    """A hash of this package's source: results of other code are never taken from the cache."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
