"""The real app in a process of its own, and Chromium in front of it.

Environment:
    REQUIRE_BROWSER=1: a missing browser fails instead of skipping.
    SCREENSHOTS: folder for the screenshots (default: pytest's temporary folder).
    APP_URL: drive an app that runs already instead of starting one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import made_up
import pytest
from real_app import running_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 60_000
"""Milliseconds that a condition is waited for, on a machine that has other work as well."""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _without(reason: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, or a skip with the reason."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _without("playwright is not installed (pip install -r tests/requirements.txt)")
    program = shutil.which("chromium")
    if program is None:
        _without("no chromium on the PATH")
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the real app, started on a free port and without a way to the Hub."""
    if running := os.environ.get("APP_URL"):
        yield running.rstrip("/")
        return
    with running_app([sys.executable, "app.py"], tmp_path_factory.mktemp("app") / "app.log") as address:
        yield address


_ON_ANOTHER_GALLERY = """
import sys
from pathlib import Path
from views import engine
engine.ASSETS = Path(sys.argv[1])
from views.page import build, launch_options
build().launch(**launch_options())
"""


@pytest.fixture(scope="session")
def made_up_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app on a gallery whose forecasts are made up, in a folder of its own."""
    folder = tmp_path_factory.mktemp("made-up")
    gallery = made_up.write(ROOT / "assets" / "smollm2-135m-q4", folder / "gallery")
    with running_app([sys.executable, "-c", _ON_ANOTHER_GALLERY, str(gallery)], folder / "app.log") as address:
        yield address


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """``open_page(width, theme, locale, query)``; fails the test on console errors and requests off the machine."""
    with _pages(browser, url) as make:
        yield make


@pytest.fixture
def open_made_up_page(browser: Browser, made_up_url: str) -> Iterator[Callable[..., Page]]:
    """The same on the gallery with made-up forecasts."""
    with _pages(browser, made_up_url) as make:
        yield make


@pytest.fixture(scope="session")
def speech_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app in front of a made-up workbench whose models write down speech."""
    log = tmp_path_factory.mktemp("made-up-speech") / "app.log"
    with running_app([sys.executable, str(Path(__file__).parent / "made_up_speech.py")], log) as address:
        yield address


@pytest.fixture(scope="session")
def changes_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app in front of a made-up workbench that finds a fixed pattern of changes in any text."""
    log = tmp_path_factory.mktemp("made-up-changes") / "app.log"
    with running_app([sys.executable, str(Path(__file__).parent / "made_up_changes.py")], log) as address:
        yield address


@pytest.fixture
def open_changes(browser: Browser, changes_url: str) -> Iterator[Callable[..., Page]]:
    """``open_changes(width, theme, locale)``, like `open_page`."""
    with _pages(browser, changes_url) as make:
        yield make


@pytest.fixture
def open_spoken_changes(browser: Browser, speech_url: str) -> Iterator[Callable[..., Page]]:
    """The same with a speech model."""
    with _pages(browser, speech_url) as make:
        yield make


@pytest.fixture(scope="session")
def adaptation_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app in front of made-up training, on precomputed runs that are made up as well."""
    folder = tmp_path_factory.mktemp("made-up-adaptation")
    program = [sys.executable, str(Path(__file__).parent / "made_up_adaptation.py"), str(folder / "assets")]
    with running_app(program, folder / "app.log", {"COMPRESSION_CACHE": str(folder / "cache")}) as address:
        yield address


@pytest.fixture
def open_adaptation(browser: Browser, adaptation_url: str) -> Iterator[Callable[..., Page]]:
    """``open_adaptation(width, theme, locale)``, like `open_page`."""
    with _pages(browser, adaptation_url) as make:
        yield make


@pytest.fixture(scope="session")
def distil_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app in front of a tiny model that is really compressed, taught, quantised and benchmarked."""
    folder = tmp_path_factory.mktemp("tiny-distil")
    program = [sys.executable, str(Path(__file__).parent / "tiny_distil.py"), str(folder / "made")]
    more = {
        "COMPRESSION_CACHE": str(folder / "cache"),
        "BENCHMARK_DATA": str(folder / "made" / "data"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    with running_app(program, folder / "app.log", more) as address:
        yield address


@pytest.fixture
def open_distil(browser: Browser, distil_url: str) -> Iterator[Callable[..., Page]]:
    """``open_distil(width, theme, locale)``, like `open_page`."""
    with _pages(browser, distil_url) as make:
        yield make


@contextmanager
def _pages(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    contexts = []
    complaints: list[str] = []
    here = url.split("//", 1)[1].split("/", 1)[0]

    def check_request(address: str) -> None:
        if not address.startswith(("data:", "blob:")) and f"//{here}" not in address:
            complaints.append(f"request off the machine: {address}")

    def make(width: int = 1280, theme: str = "light", locale: str = "en-US", query: str = "") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 860}, locale=locale)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda m: complaints.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        page.on("request", lambda request: check_request(request.url))
        page.goto(f"{url}/?__theme={theme}{query}")
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go."""
    folder = os.environ.get("SCREENSHOTS")
    path = Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path
