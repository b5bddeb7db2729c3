"""Pins, and links that show somebody else the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlparse

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
SITE = "model.layers.15.self_attn.q_proj"


def removed_at(page: Page, block: int, projection: int) -> float | None:
    """What the heatmap shows in a cell."""
    script = "([p, b]) => document.querySelector('#heatmap .plot').data[0].z[p][b]"
    value: float | None = page.evaluate(script, [projection, block])
    return value


def test_a_link_opens_the_same_view_in_another_browser(open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    first = open_page(1280, "light", "ru-RU")
    first.locator("#heatmap [data-drawn]").wait_for()
    first.locator("#method input").click()
    first.get_by_role("option", name="COMPOT", exact=True).click()
    first.locator("#policy input").click()
    first.get_by_role("option", name="общий пул").click()
    first.locator("#ratio input[type=range]").fill("0.33")
    first.get_by_role("button", name="Закрепить слои").click()
    value = first.locator("#pin-value input")
    value.fill("0.5")
    value.press("Tab")
    expect(value).to_have_value("0.5")
    first.get_by_role("button", name="Закрепить блок", exact=True).click()
    expect(first.locator("#pins-shown")).to_contain_text("model.layers.15.*")
    first.wait_for_function("location.search.includes('pins=') && location.search.includes('ratio=0.33')")
    said = parse_qs(urlparse(first.url).query)
    assert said["lang"] == ["ru"] and said["method"] == ["compot"] and said["policy"] == ["pooled"]
    assert said["model"] == ["smollm2-135m-q4"] and said["pins"] == ["model.layers.15.*=0.5"]

    second = open_page(1280, "light", "en-US", "&" + urlparse(first.url).query)
    expect(second.locator("#ratio input[type=range]")).to_have_value("0.33")
    expect(second.locator("#pins-shown")).to_contain_text("model.layers.15.*")
    for name in ("forecast", "heatmap-summary", "spectrum-summary", "budget-summary", "cards"):
        expect(second.locator(f"#{name}")).to_have_text(first.locator(f"#{name}").text_content() or "")
    cells = "JSON.stringify(document.querySelector('#heatmap .plot').data[0].z)"
    assert second.evaluate(cells) == first.evaluate(cells)
    assert removed_at(second, 15, 0) == 0.5
    # The other language shows the same.
    second.locator("#languages a").click()
    expect(second.get_by_role("tab", name="Explore")).to_be_visible()
    expect(second.locator("#ratio input[type=range]")).to_have_value("0.33")
    expect(second.locator("#pins-shown")).to_contain_text("model.layers.15.*")


def test_pins_are_undone_redone_and_refused_with_the_smallest_feasible_value(open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page()
    page.locator("#heatmap [data-drawn]").wait_for()
    page.get_by_role("button", name="Pin sites and solve").click()
    free = removed_at(page, 15, 0)
    page.get_by_role("button", name="Pin site", exact=True).click()
    expect(page.locator("#pins-shown")).to_contain_text(f"{SITE} = 0%")
    page.wait_for_function("document.querySelector('#heatmap .plot').data[0].z[0][15] === 0")
    expect(page.locator("#budget-summary")).to_contain_text("Removing 20%")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("free => document.querySelector('#heatmap .plot').data[0].z[0][15] === free", arg=free)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    page.get_by_role("button", name="Redo").click()
    page.wait_for_function("document.querySelector('#heatmap .plot').data[0].z[0][15] === 0")
    # With one site dense not everything can go any more; the page says how far the slider reaches.
    page.locator("#ratio input[type=range]").fill("0.95")
    expect(page.locator("#heatmap-summary")).to_contain_text("With these pins the ratio can lie between")
    page.get_by_role("button", name="Pin block", exact=True).click()
    expect(page.locator("#pins-status").get_by_role("alert")).to_contain_text("the smallest feasible value is 0.95,")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#pins-shown")).to_contain_text("Nothing is pinned.")
    page.locator("#ratio input[type=range]").fill("0.94")
    page.get_by_role("button", name="Pin block", exact=True).click()
    expect(page.locator("#pins-status").get_by_role("alert")).to_contain_text("the smallest feasible value is 0.6")
    expect(page.locator("#pins-shown")).to_contain_text("Nothing is pinned.")


def test_a_damaged_link_says_what_it_left_out(open_page: OpenPage) -> None:
    query = "&ratio=7&method=magic&pins=half&model=owner/unknown"
    page = open_page(query=query)
    alert = page.locator("#explore-status").get_by_role("alert")
    alert.wait_for()
    assert "method, pins, ratio" in alert.inner_text() and "owner/unknown" in alert.inner_text()
    page.locator("#heatmap [data-drawn]").wait_for()
