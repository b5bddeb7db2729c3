"""The app in a process of its own, as somebody who starts it has it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running_app(command: list[str], log: Path, more: dict[str, str] | None = None) -> Iterator[str]:
    """The app in a process of its own, on a free port and, unless `more` settings say so, without a way to the Hub."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        **(more or {}),
    }
    with log.open("wb") as output:
        app = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stdout=output, stderr=output)
        try:
            _wait_for(address, app, log)
            yield address
        finally:
            app.terminate()
            app.wait(20)


def _wait_for(address: str, app: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if app.poll() is not None:
            pytest.fail(f"the app ended with {app.returncode}:\n{log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the app did not answer within 60 s:\n{log.read_text(errors='replace')}")
