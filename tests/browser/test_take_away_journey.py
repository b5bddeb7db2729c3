"""Take away in the real app: a tiny model is exported, checked in a fresh process, downloaded and pushed."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from accessibility import serious_findings
from conftest import _pages
from hub_stand_in import StandIn, serve
from real_app import running_app
from tiny import write_tiny_llama

from compression import export

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TOKEN = "hf_secretsecretsecret"
TIMEOUT = 240_000
"""Milliseconds for an export: two processes import their libraries."""


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with serve() as hub:
        hub.token = TOKEN
        yield hub


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("take-away")
    write_tiny_llama(folder / "tiny")
    config = folder / "tiny" / "config.json"  # with room for a calibration sequence
    config.write_text(config.read_text().replace('"max_position_embeddings": 128', '"max_position_embeddings": 1024'))
    return folder


@pytest.fixture(scope="module")
def address(browser: Browser, stand_in: StandIn, place: Path) -> Iterator[str]:
    settings = {
        "COMPRESSION_CACHE": str(place / "cache"),
        "HF_ENDPOINT": stand_in.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
    }
    with running_app([sys.executable, "app.py"], place / "app.log", settings) as url:
        yield url


@pytest.fixture
def open_tiny(browser: Browser, address: str, place: Path) -> Iterator[Callable[..., Page]]:
    """``open_tiny(width, theme, locale)``: a link to the tiny model; once analysed it opens at once."""
    with _pages(browser, address) as make:

        def open_it(width: int = 1280, theme: str = "light", locale: str = "en-US") -> Page:
            return make(width, theme, locale, f"&model={place / 'tiny'}")

        yield open_it


def choose_svd(page: Page, tab: str, uniform: str) -> None:
    """Open the tab, on the tiny model, with a method that needs no calibration of the loss."""
    page.get_by_role("tab", name=tab).click()
    page.locator(".model-line:visible", has_text="tiny").first.wait_for()
    for box, name in (("#take-method input", "SVD"), ("#take-policy input", uniform)):
        page.locator(box).click()
        page.get_by_role("option", name=name, exact=True).click()


def test_an_export_is_checked_downloaded_and_pushed(
    open_tiny: Callable[..., Page], stand_in: StandIn, place: Path, screenshots: Path
) -> None:
    from playwright.sync_api import expect

    page = open_tiny()
    expect(page.locator("#explore-status")).to_contain_text("has not been analysed here yet")
    page.get_by_role("button", name="Load and analyse").click()
    expect(page.locator("#explore-status")).to_contain_text("14 sites", timeout=TIMEOUT)
    choose_svd(page, "Take away", "uniform")
    expect(page.locator("#take-predicted")).to_contain_text("Predicted: about 0.1 MB")
    page.locator("#push-repository input, #push-repository textarea").fill("visitor/small")
    push, alert = page.locator("#push-button"), page.locator("#push-status").get_by_role("alert")
    push.click()
    expect(alert).to_contain_text("press “Export” first")
    assert stand_in.requests == []

    page.locator("#export-button").click()
    summary = page.locator("#export-summary")
    expect(summary).to_contain_text("logits are equal to the bit", timeout=TIMEOUT)
    command = page.locator("#export-command textarea")
    expect(command).to_have_value(re.compile("--method svd --policy uniform --removed 0.2 --out "))
    expect(page.locator("#export-snippet textarea")).to_have_value(re.compile("from_pretrained"))
    with page.expect_download() as started:
        page.locator("#export-download").click()
    page.screenshot(path=screenshots / "take-away-real.png", full_page=True)
    archive = started.value.path()
    assert started.value.suggested_filename.endswith(".zip")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(place / "downloaded")
    (directory,) = (place / "downloaded").iterdir()
    downloaded = export.from_pretrained(directory)
    assert downloaded.report.plan.method == "svd"
    assert str(place) not in (directory / "README.md").read_text(encoding="utf-8")

    assert stand_in.requests == [], "nothing is pushed before the click"
    push.click()
    expect(page.locator("#push-status")).to_contain_text("Uploaded: ")
    files = stand_in.repositories["models/visitor/small"]
    assert files["model.safetensors"] == (directory / "model.safetensors").read_bytes()
    push.click()
    expect(alert).to_contain_text("allow to update it")
    expect(summary).to_contain_text("equal to the bit")
    page.locator("#push-update").get_by_role("checkbox").check()
    push.click()
    expect(page.locator("#push-status")).to_contain_text("Uploaded: ")
    stand_in.refuses = {"whoami": 401}
    push.click()
    expect(alert).to_contain_text("refused the login")
    stand_in.refuses = {}
    assert TOKEN not in page.content() and TOKEN not in (place / "app.log").read_text(errors="replace")

    for width, theme, locale in ((390, "dark", "ru-RU"), (1280, "dark", "en-US")):
        again = open_tiny(width, theme, locale)
        choose_svd(again, *(("С собой", "равномерная") if locale == "ru-RU" else ("Take away", "uniform")))
        again.locator("#export-button").click()
        again.locator("#export-command textarea").wait_for()
        again.locator("#export-card button").first.click()
        again.locator(".model-card h2").first.wait_for()
        assert again.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(again) == []
        again.screenshot(path=screenshots / f"take-away-{locale[:2]}-{theme}-{width}.png", full_page=True)
