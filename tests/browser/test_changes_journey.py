"""What changed, in the browser: marked text, a table that answers within the page, drift, and what cannot be read.

The models are made up (`made_up_changes`); the page is the real one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from accessibility import serious_findings
from test_everywhere import READ, english_left

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
TITLES = {"en-US": "What changed", "ru-RU": "Что изменилось"}


def opened(page: Page, locale: str = "en-US") -> Page:
    """The tab."""
    page.locator("#heatmap [data-drawn]").wait_for()
    page.get_by_role("tab", name=TITLES[locale]).click()
    page.locator("#changes-button").wait_for()
    return page


def found(page: Page) -> None:
    """Press the button and wait until all is there."""
    page.locator("#changes-button").click()
    page.locator("#changes-words mark").first.wait_for()
    page.locator("#drift .plot").scroll_into_view_if_needed()
    page.locator("#drift [data-drawn]").wait_for()


def fit_for_everybody(page: Page, width: int, locale: str) -> None:
    """No sideways scroll, nothing serious from axe, no English in the Russian page."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_findings(page) == []
    if locale == "ru-RU":
        skipped = "#changes-words .changed-text, #changes-table tbody, #changes-summary"  # the English text itself
        page.evaluate("s => document.querySelectorAll(s).forEach((node) => node.remove())", skipped)
        assert english_left(page.evaluate(READ)) == []


def test_a_text_is_marked_and_its_table_answers_without_a_request(open_changes: OpenPage, screenshots: Path) -> None:
    from playwright.sync_api import expect

    page = opened(open_changes())
    page.locator("#changes-text textarea").fill(" ".join(["The quick =brown foxes, jump over"] * 30))
    found(page)
    expect(page.locator("#changes-summary")).to_contain_text("of 179 predicted tokens flipped")
    said = "flipped: loss 1.00 → 4.50 nats (+3.50); dense says “=brown”, compressed says “other”"
    expect(page.locator("#changes-words mark.flipped").first).to_have_attribute("title", said)
    expect(page.locator("#drift-summary")).to_contain_text("The damage starts in block")
    page.screenshot(path=screenshots / "changes.png", full_page=True)
    fit_for_everybody(page, 1280, "en-US")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    table, rows = page.locator("#changes-table"), page.locator("#changes-table tbody tr")
    expect(rows).to_have_count(50)
    expect(table.get_by_role("status")).to_have_text("50 of 179 shown; 179 in all.")
    expect(rows.first).to_contain_text("3.50")
    table.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    table.get_by_role("combobox", name="Order").select_option("place")
    expect(rows.first.locator("td").first).to_have_text("2")
    table.get_by_role("combobox", name="Show").select_option("flipped")
    expect(table.get_by_role("status")).to_contain_text("of 45 shown")
    table.get_by_role("combobox", name="Show").select_option("rise")
    table.get_by_label("More than (nats)").fill("2")
    expect(table.get_by_role("status")).to_contain_text("23 of 23 shown")
    table.get_by_label("Find a word").fill("jump")
    expect(table.get_by_role("status")).to_contain_text("shown; 179 in all")
    expect(rows.first.locator("b")).to_have_text(" jump")
    table.get_by_label("Find a word").fill("nowhere")
    expect(table.get_by_role("status")).to_have_text("Nothing fits: choose a wider filter, or another word.")
    with page.expect_download() as download:
        table.get_by_role("button", name="Download CSV").click()
    read = [*csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))]
    assert len(read) == 180 and read[0][2] == "Token" and read[2][2] == " =brown" and read[2][-1] == "yes"
    assert [url for url in asked if not url.startswith("blob:")] == []


@pytest.mark.parametrize(("width", "theme", "locale"), [(390, "dark", "ru-RU"), (1280, "light", "ru-RU")])
def test_it_fits_a_phone_and_speaks_russian(
    open_changes: OpenPage, screenshots: Path, width: int, theme: str, locale: str
) -> None:
    page = opened(open_changes(width, theme, locale), locale)
    found(page)
    page.screenshot(path=screenshots / f"changes-{locale}-{theme}-{width}.png", full_page=True)
    fit_for_everybody(page, width, locale)


def test_what_cannot_be_read_is_said_and_what_was_found_stays(open_changes: OpenPage) -> None:
    from playwright.sync_api import expect

    page = opened(open_changes())
    found(page)
    page.locator("#changes-text textarea").fill(" ")
    page.locator("#changes-button").click()
    alert = page.locator("#changes-status").get_by_role("alert")
    expect(alert).to_have_text("The text 'pasted text' is empty: give a few sentences at least.")
    expect(page.locator("#changes-words mark").first).to_be_visible()
    expect(page.locator("#changes-button")).to_be_enabled()


@pytest.mark.parametrize(("width", "theme", "locale"), [(390, "light", "en-US"), (1280, "dark", "ru-RU")])
def test_a_recording_is_compared_word_by_word(
    open_spoken_changes: OpenPage, screenshots: Path, width: int, theme: str, locale: str
) -> None:
    from playwright.sync_api import expect

    page = opened(open_spoken_changes(width, theme, locale), locale)
    expect(page.locator("#changes-text")).to_be_hidden()
    page.locator("#changes-example input").click()
    page.get_by_role("option").first.click()
    page.locator("#changes-audio audio[controls]").wait_for()
    found(page)
    expect(page.locator("#changes-words mark").first).to_have_text("mister")
    expect(page.locator("#drift-summary strong")).to_have_count(2)
    page.screenshot(path=screenshots / f"changes-speech-{locale}-{theme}-{width}.png", full_page=True)
    fit_for_everybody(page, width, locale)
