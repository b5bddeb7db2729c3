"""Every tab in both languages, both themes and on a phone: nothing clipped, nothing off the machine, for everybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from accessibility import serious_findings
from test_journeys import TABS

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]

LOCALES = {"en": "en-US", "ru": "ru-RU"}
NAMES = {
    "Compression Cost Explorer",
    "Gradio",
    "Plotly",
    "PyTorch",
    "Transformers",
    "Apache",
    "SmolLM",
    "Intel",
    "Xeon",
    "Processor",
    "English",
    "python",
    "compression",
    "predict",
}
READ = """() => {
  const skip = 'code, textarea, input, script, style, .prompt, [lang=en]';
  const walker = document.createTreeWalker(document.querySelector('main') || document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent || parent.closest(skip) || !parent.getClientRects().length) continue;
    found.push(walker.currentNode.textContent);
  }
  for (const name of ['aria-label', 'title', 'placeholder', 'aria-roledescription']) {
    for (const node of document.querySelectorAll(`main [${name}]`)) {
      if (node.getClientRects().length && !node.closest(skip)) found.push(node.getAttribute(name));
    }
  }
  return found;
}"""
"""Every text that is seen or spoken, without code, what was typed, and the other language's own name."""


def english_left(texts: list[str]) -> list[str]:
    """Texts with two English words in a row that are no names."""
    words = re.compile(r"\b[A-Za-z]{2,}(?:[ ,;:]+[A-Za-z]{2,})+\b")
    left = []
    for text in texts:
        for run in words.findall(text):
            rest = [word for word in re.findall(r"[A-Za-z]+", run) if word not in NAMES]
            if any(word.islower() for word in rest) and len(rest) > 1:
                left.append(text)
    return left


def tabs(page: Page) -> list[str]:
    """The keys of `TABS`, in their order on the page, whatever their names are."""
    page.locator("#heatmap [data-drawn]").wait_for()
    assert page.get_by_role("tab").count() == len(TABS)
    return list(TABS)


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en", "light", 1280), ("en", "dark", 390), ("ru", "dark", 1280), ("ru", "light", 390)],
)
def test_a_walk_through_every_tab(
    open_page: OpenPage, screenshots: Path, language: str, theme: str, width: int
) -> None:
    """Four walks: every language meets every theme and every width, and every theme every width."""
    page = open_page(width, theme, LOCALES[language])
    for place, name in enumerate(tabs(page)):
        page.get_by_role("tab").nth(place).click()
        for chart in TABS[name]:
            page.locator(f"#{chart} .plot").scroll_into_view_if_needed()
            page.locator(f"#{chart} [data-drawn]").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways"
        colour = page.get_by_role("heading", level=1).evaluate("e => getComputedStyle(e).color")
        bright = sum(map(int, re.findall(r"\d+", colour)[:3])) > 380
        assert bright == (theme == "dark")
        file = f"{name.lower().replace(' ', '-')}-{language}-{theme}-{width}.png"
        page.screenshot(path=screenshots / file, full_page=True)
        assert serious_findings(page) == [], name
        assert page.evaluate("document.documentElement.lang") == language
        if language == "ru":
            assert english_left(page.evaluate(READ)) == [], name


@pytest.mark.parametrize("language", LOCALES)
def test_sliding_asks_nobody_and_moves_everything(open_page: OpenPage, language: str) -> None:
    page = open_page(1280, "light", LOCALES[language])
    for chart in ("heatmap", "spectrum", "budget", "forecast-chart"):
        page.locator(f"#{chart} [data-drawn]").wait_for()
    page.wait_for_function("location.search.includes('lang=')")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    texts = [page.locator(f"#{name}") for name in ("forecast", "meaning", "heatmap-summary", "budget-summary", "cards")]
    before = [text.inner_text() for text in texts]
    cells = "JSON.stringify(document.querySelector('#heatmap .plot').data[0].z)"
    drawn = page.evaluate(cells)
    for step in range(21, 41):
        page.locator("#ratio input[type=range]").fill(str(step / 100))
    page.wait_for_function(f"before => {cells} !== before", arg=drawn)
    assert all(text.inner_text() != old for text, old in zip(texts, before, strict=True))
    for unit in page.locator("#unit input").all()[1:]:
        meaning = page.locator("#meaning").inner_text()
        unit.check()
        page.wait_for_function("text => document.querySelector('#meaning').innerText !== text", arg=meaning)
    scale = "JSON.stringify(document.querySelector('#heatmap .plot').data[0].colorscale)"
    plain = page.evaluate(scale)
    page.locator("#difference input").nth(1).check()
    page.wait_for_function(f"before => {scale} !== before", arg=plain)
    page.wait_for_function("location.search.includes('ratio=0.4')")
    assert asked == []


def test_the_heatmap_answers_the_keyboard(open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page()
    page.locator("#heatmap [data-drawn]").wait_for()
    page.locator("#spectrum [data-drawn]").wait_for()
    page.locator("#heatmap .plot").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".live.heatmap-cell")).to_contain_text("Block 16, k_proj")
    page.keyboard.press("Enter")
    expect(page.locator("#spectrum-summary")).to_contain_text("model.layers.16.self_attn.k_proj")
    expect(page.locator("#site input")).to_have_value("model.layers.16.self_attn.k_proj")
