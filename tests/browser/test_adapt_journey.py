"""Adapt, in the browser: the first picture, gates that close live, stopping that keeps, two visitors, and everybody.

Training is made up (`made_up_adaptation`); the page is the real one.
"""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from accessibility import serious_findings
from test_everywhere import READ, english_left

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
TITLES = {"en-US": "Adapt", "ru-RU": "Адаптация"}
CHARTS = ("rows", "columns", "layer", "curves", "descent", "latency", "points")
NOTE_DRAWINGS = """() => {
  window.drawings = [];
  const plot = document.querySelector('#adapt-rows .plot');
  new MutationObserver(() => window.drawings.push(performance.now()))
    .observe(plot, {attributes: true, attributeFilter: ['data-drawn']});
}"""


def opened(page: Page, locale: str = "en-US") -> Page:
    """The tab, with its first pictures."""
    page.locator("#heatmap [data-drawn]").wait_for()
    page.get_by_role("tab", name=TITLES[locale], exact=True).click()
    page.locator("#adapt-rows [data-drawn]").wait_for()
    return page


def seed(page: Page, value: int) -> None:
    """Another seed."""
    box = page.locator("#adapt-seed input")
    box.fill(str(value))
    box.press("Tab")


@pytest.mark.parametrize(("width", "theme", "locale"), [(1280, "light", "en-US"), (390, "dark", "ru-RU")])
def test_the_first_picture_is_there_for_everybody(
    open_adaptation: OpenPage, screenshots: Path, width: int, theme: str, locale: str
) -> None:
    page = opened(open_adaptation(width, theme, locale), locale)
    for chart in CHARTS:
        page.locator(f"#adapt-{chart} .plot").scroll_into_view_if_needed()
        page.locator(f"#adapt-{chart} [data-drawn]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=screenshots / f"adapt-{locale}-{theme}-{width}.png", full_page=True)
    assert serious_findings(page) == []
    if locale == "ru-RU":
        assert english_left(page.evaluate(READ)) == []


def test_gates_close_live_and_stopping_keeps_what_was_learned(open_adaptation: OpenPage, screenshots: Path) -> None:
    from playwright.sync_api import expect

    page = opened(open_adaptation())
    expect(page.locator("#adapt-caption")).to_contain_text("Shown: FineGates on MRPC")
    expect(page.locator("#adapt-stop")).to_be_disabled()
    page.evaluate(NOTE_DRAWINGS)
    page.locator("#adapt-train").click()
    expect(page.locator("#adapt-caption")).to_contain_text("Your training: FineGates")
    page.wait_for_function("window.drawings.length > 7")
    gaps = page.evaluate("window.drawings.slice(1).map((time, i) => time - window.drawings[i])")
    assert statistics.median(gaps) <= 2000, gaps
    # The layer can be changed while it trains.
    layer = page.locator("#adapt-layer-choice input")
    layer.fill("bert.encoder.layer.3.intermediate.dense")
    layer.press("Enter")
    expect(page.locator("#adapt-layer-summary")).to_contain_text("layer.3.intermediate.dense")
    page.screenshot(path=screenshots / "adapt-training.png")
    page.locator("#adapt-stop").click()
    expect(page.locator("#adapt-caption")).to_contain_text("Your run: FineGates")
    expect(page.locator("#adapt-caption")).to_contain_text("Stopped after")
    expect(page.locator("#adapt-layer-summary")).to_contain_text("layer.3.intermediate.dense")
    expect(page.locator("#adapt-stop")).to_be_disabled()
    expect(page.locator("#adapt-train")).to_be_enabled()
    expect(page.locator("#adapt-table")).to_contain_text("FineGates (yours)")
    with page.expect_download() as download:
        page.locator("#adapt-download").click()
    assert zipfile.ZipFile(download.value.path()).namelist() == ["finegates-mrpc-0/model.safetensors"]
    # A method without a run of the visitor's shows the precomputed one; the visitor's stays in the table.
    page.locator("#adapt-method input").click()
    page.get_by_role("option", name="LoRA", exact=True).click()
    expect(page.locator("#adapt-caption")).to_contain_text("Shown: LoRA on MRPC")
    expect(page.locator("#adapt-target")).to_be_hidden()
    expect(page.locator("#adapt-rows-summary")).to_contain_text("A method with gates shows here")
    expect(page.locator("#adapt-table")).to_contain_text("FineGates (yours)")


def test_two_visitors_at_once_do_not_mix(open_adaptation: OpenPage) -> None:
    from playwright.sync_api import expect

    first, second = opened(open_adaptation()), opened(open_adaptation())
    seed(first, 5)
    first.locator("#adapt-train").click()
    expect(first.locator("#adapt-caption")).to_contain_text("Your training: FineGates on MRPC (paraphrases), seed 5")
    drawn = second.locator("#adapt-rows [data-drawn]").get_attribute("data-drawn")
    second.locator("#adapt-task input").nth(3).check()
    expect(second.locator("#adapt-caption")).to_contain_text("Shown: FineGates on Language model")
    seed(second, 6)
    second.locator("#adapt-train").click()
    expect(second.locator("#adapt-status")).to_contain_text("Waiting")
    expect(second.locator("#adapt-stop")).to_be_disabled()
    first.wait_for_function("document.querySelector('#adapt-rows .plot').dataset.drawn > 4")
    after = second.locator("#adapt-rows [data-drawn]").get_attribute("data-drawn")
    assert int(after or 0) - int(drawn or 0) <= 1, "another visitor's training was drawn here"
    first.locator("#adapt-stop").click()
    expect(first.locator("#adapt-caption")).to_contain_text("Your run: FineGates on MRPC")
    expect(second.locator("#adapt-caption")).to_contain_text("Your training: FineGates on Language model, seed 6")
    kept = first.locator("#adapt-caption").inner_text()
    second.locator("#adapt-stop").click()
    expect(second.locator("#adapt-caption")).to_contain_text("Your run: FineGates on Language model")
    assert first.locator("#adapt-caption").inner_text() == kept and "seed 5" in kept
    expect(second.locator("#adapt-table")).to_contain_text("FineGates (yours)")


def test_what_is_missing_is_said_and_a_refusal_loses_nothing(open_adaptation: OpenPage) -> None:
    from playwright.sync_api import expect

    page = opened(open_adaptation())
    seed(page, 13)
    page.locator("#adapt-train").click()
    expect(page.locator("#adapt-status").get_by_role("alert")).to_contain_text("The loss is no finite number")
    expect(page.locator("#adapt-train")).to_be_enabled()
    expect(page.locator("#adapt-caption")).to_contain_text("Shown: FineGates on MRPC")
    page.locator("#adapt-task input").nth(1).check()
    expect(page.locator("#adapt-caption")).to_contain_text("has no run that came with the app: press “Train”")
    expect(page.locator("#adapt-missing")).to_contain_text("only your own are shown")
    expect(page.locator("#adapt-rows")).to_contain_text("No measurement yet")
    seed(page, 0)
    page.locator("#adapt-train").click()
    expect(page.locator("#adapt-caption")).to_contain_text("Your training")
    page.locator("#adapt-cancel").click()
    expect(page.locator("#adapt-status")).to_contain_text("ancel")
    expect(page.locator("#adapt-stop")).to_be_disabled()
    expect(page.locator("#adapt-cancel")).to_be_disabled()
    for _ in range(3):  # whoever starts again at once can cancel again: nothing of the last run comes behind
        page.locator("#adapt-train").click()
        expect(page.locator("#adapt-stop")).to_be_enabled()
        page.wait_for_timeout(1000)
        expect(page.locator("#adapt-status")).not_to_contain_text("ancel")
        page.locator("#adapt-cancel").click(timeout=5000)
        expect(page.locator("#adapt-status")).to_contain_text("ancel")


@pytest.mark.parametrize(("width", "theme", "locale"), [(1280, "light", "en-US"), (390, "dark", "ru-RU")])
def test_compare_shows_what_gates_remove_beside_rank_and_sparsity(
    open_adaptation: OpenPage, screenshots: Path, width: int, theme: str, locale: str
) -> None:
    from playwright.sync_api import expect

    page = open_adaptation(width, theme, locale)
    page.locator("#heatmap [data-drawn]").wait_for()
    page.get_by_role("tab").nth(1).click()
    page.locator("#gates-mask").scroll_into_view_if_needed()
    expect(page.locator("#gates-mask-summary")).to_contain_text("q_proj")
    for chart in ("factors", "mask", "gates-mask"):
        page.locator(f"#{chart} .plot").scroll_into_view_if_needed()
        page.locator(f"#{chart} [data-drawn]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=screenshots / f"gates-mask-{locale}-{theme}-{width}.png", full_page=True)
    box = page.locator("#pattern-site input")
    box.fill("model.layers.15.mlp.up_proj")
    box.press("Enter")
    expect(page.locator("#gates-mask-summary")).to_contain_text("FineGates")
    expect(page.locator("#gates-mask-summary")).not_to_contain_text("q_proj")
