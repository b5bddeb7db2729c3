"""Distil and quantise, in the browser: the first pictures, a run that moves them, cancelling that keeps, and refusals.

The model is tiny and its pipeline is the real one (`tiny_distil`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from accessibility import serious_findings
from test_everywhere import READ, english_left

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
TITLES = {"en-US": "Distil and quantise", "ru-RU": "Дистилляция и квантование"}
CHARTS = ("losses", "stages", "quantized", "benchmarks", "formats", "budget", "search")
NOTE_DRAWINGS = """() => {
  window.drawings = 0;
  const plot = document.querySelector('#distil-losses .plot');
  new MutationObserver(() => window.drawings++).observe(plot, {attributes: true, attributeFilter: ['data-drawn']});
}"""


def opened(page: Page, locale: str = "en-US") -> Page:
    """The tab, with its first picture."""
    page.locator("#heatmap [data-drawn]").wait_for()
    page.get_by_role("tab", name=TITLES[locale], exact=True).click()
    page.locator("#distil-losses [data-drawn]").wait_for()
    return page


def number(page: Page, name: str, value: float) -> None:
    """Another number beside a slider."""
    box = page.locator(f"#distil-{name} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


@pytest.mark.parametrize(("width", "theme", "locale"), [(1280, "light", "en-US"), (390, "dark", "ru-RU")])
def test_the_first_pictures_are_there_for_everybody(
    open_distil: OpenPage, screenshots: Path, width: int, theme: str, locale: str
) -> None:
    page = opened(open_distil(width, theme, locale), locale)
    for chart in CHARTS:
        page.locator(f"#distil-{chart} .plot").scroll_into_view_if_needed()
        page.locator(f"#distil-{chart} [data-drawn]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=screenshots / f"distil-{locale}-{theme}-{width}.png", full_page=True)
    assert serious_findings(page) == []
    if locale == "ru-RU":
        assert english_left(page.evaluate(READ)) == []


def test_a_byte_budget_is_read_off_and_a_choice_changes_cost_and_recipe(open_distil: OpenPage) -> None:
    from playwright.sync_api import expect

    page = opened(open_distil())
    expect(page.locator("#distil-budget-summary")).to_contain_text("Best predicted within 99 MB: best for each layer")
    number(page, "budget-slider", 111)
    expect(page.locator("#distil-budget-summary")).to_contain_text("within 111 MB")
    before = page.locator("#distil-cost").inner_text()
    page.locator("#distil-recipe button").first.click()
    expect(page.locator("#distil-yaml textarea")).to_have_value(re.compile("method: compot-fisher"))
    number(page, "minutes", 5)
    expect(page.locator("#distil-cost")).not_to_have_text(before)
    expect(page.locator("#distil-distill-cost")).to_contain_text("10 min")
    # What cannot be done is said before the click, and after it.
    number(page, "removed", 0)
    expect(page.locator("#distil-cost")).to_contain_text("remove a share")
    page.locator("#distil-start").click()
    expect(page.locator("#distil-status").get_by_role("alert")).to_contain_text("remove a share")
    expect(page.locator("#distil-start")).to_be_enabled()
    expect(page.locator("#distil-compress-outcome")).to_contain_text("Example")


def test_a_run_moves_the_pictures_and_cancelling_the_next_keeps_what_it_had(
    open_distil: OpenPage, screenshots: Path
) -> None:
    from playwright.sync_api import expect

    page = opened(open_distil())
    number(page, "minutes", 0.1)
    page.locator("#distil-group input").first.check()
    page.locator("#distil-benchmarked input").check()
    page.evaluate(NOTE_DRAWINGS)
    page.locator("#distil-start").click()
    expect(page.locator("#distil-caption")).to_contain_text("Your run")
    page.wait_for_function("window.drawings > 3")
    expect(page.locator("#distil-losses-summary")).to_contain_text("AdamW, step")
    expect(page.locator("#distil-status")).to_contain_text("Finished and measured")
    expect(page.locator("#distil-losses-summary")).to_contain_text("Muon, step")
    for stage in ("distill", "quantize", "benchmark"):
        outcome = page.locator(f"#distil-{stage}-outcome")
        expect(outcome).to_contain_text("AdamW: ")
        expect(outcome).to_contain_text("Muon: ")
    expect(page.locator("#distil-benchmarks-summary")).to_contain_text("PIQA")
    page.screenshot(path=screenshots / "distil-finished.png", full_page=True)
    kept = page.locator("#distil-compress-outcome").inner_text()
    number(page, "minutes", 10)
    drawn = page.evaluate("window.drawings")
    page.locator("#distil-start").click()
    page.wait_for_function("before => window.drawings > before + 1", arg=drawn)
    page.locator("#distil-cancel").click()
    expect(page.locator("#distil-status")).to_contain_text("ancelled")
    expect(page.locator("#distil-start")).to_be_enabled()
    expect(page.locator("#distil-cancel")).to_be_disabled()
    assert page.locator("#distil-compress-outcome").inner_text() == kept, "the same stage, kept from before"
    expect(page.locator("#distil-losses-summary")).to_contain_text("AdamW, step")
