"""How fast the page answers, in Chromium: ``python tests/browser/speed.py [URL]`` beside a running app.

Prints, in milliseconds: the first picture after the page answers, slider steps to the redrawn heatmap (median and 90th
percentile of 60), and clicks on cells to the opened site (median of 9).
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time

from playwright.sync_api import Page, sync_playwright

SLIDE = """async (steps) => {
  const slider = document.querySelector('#ratio input[type=range]'), plot = document.querySelector('#heatmap .plot');
  const times = [];
  for (let i = 0; i < steps; i++) {
    const drawn = plot.dataset.drawn, started = performance.now();
    slider.value = (0.1 + 0.01 * (i % 70)).toFixed(2);
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    while (plot.dataset.drawn === drawn) await new Promise((done) => setTimeout(done, 0));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    times.push(performance.now() - started);
    await new Promise((done) => setTimeout(done, 120));
  }
  return times;
}"""
OPEN = """async (site) => {
  const plot = document.querySelector('#heatmap .plot'), spectrum = document.querySelector('#spectrum .plot');
  const started = performance.now();
  plot.pick(site);
  while (spectrum.layout.meta.site !== site) await new Promise((done) => setTimeout(done, 2));
  return performance.now() - started;
}"""


def first_picture(page: Page, url: str) -> float:
    """Milliseconds from the server's answer to the drawn heatmap."""
    page.goto(url, wait_until="commit")
    answered = time.perf_counter()
    page.locator("#heatmap [data-drawn]").wait_for()
    return 1000 * (time.perf_counter() - answered)


def main(url: str) -> None:
    """Measure and print."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )

        def fresh() -> Page:
            return browser.new_context(viewport={"width": 1280, "height": 860}).new_page()

        pictures = [first_picture(fresh(), url) for _ in range(5)]
        page = fresh()
        first_picture(page, url)
        page.locator("#spectrum [data-drawn]").wait_for()
        page.wait_for_function("location.search.includes('lang=')")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        slides = page.evaluate(SLIDE, 60)
        print(f"first picture: median {statistics.median(pictures):.0f} of {[round(t) for t in pictures]}")
        deciles = statistics.quantiles(slides, n=10)
        print(f"slider step to redraw: median {statistics.median(slides):.0f}, 90th percentile {deciles[-1]:.0f}")
        print(f"requests while sliding: {len(asked)}")
        sites = [f"model.layers.{block}.mlp.up_proj" for block in range(3, 12)]
        opened = [page.evaluate(OPEN, site) for site in sites]
        print(f"click to site view: median {statistics.median(opened):.0f} of {[round(t) for t in opened]}")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860/")
