"""The whole way on the real model: runs made live, compared, weighed, and one taken away and loaded elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from test_journeys import LIVE_TIMEOUT, choose
from test_journeys import open_tab as open_and_wait
from test_trade_offs import TRACES, download, frontier_of
from test_trade_offs import choose as choose_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
ROOT = Path(__file__).parent.parent.parent
LOAD = """
import json, sys
from compression.export import from_pretrained

small = from_pretrained(sys.argv[1])
print(json.dumps([small.report.stored_bits, small.report.plan.method, type(small.model).__name__]))
"""


def test_runs_are_made_compared_weighed_and_one_is_taken_away(
    open_page: OpenPage, tmp_path: Path, screenshots: Path
) -> None:
    """Two methods that need no gradients, at nine tenths removed, where they are quick; test_workbench runs all."""
    from playwright.sync_api import expect

    from compression.methods import METHODS

    page = open_page()
    open_and_wait(page, "Compare")
    page.locator("#compare-ratio input[type=range]").fill("0.9")
    choose(page, "compare-policy", "uniform")
    for name, method in METHODS.items():
        box = page.locator("#compare-methods").get_by_label(method.title, exact=True)
        expect(box).to_be_checked(checked=not method.slow and method.fixed_fraction is None)
        box.set_checked(name in ("svd", "compot"))
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#compare-status")).to_contain_text("All chosen methods are measured", timeout=LIVE_TIMEOUT)
    rows = page.locator("#runs tbody tr")
    expect(rows).to_have_count(3)
    for title in ("dense", "SVD", "COMPOT"):
        expect(page.locator("#runs")).to_contain_text(title)
    expect(page.locator("#runs")).to_contain_text("Mean KL (nats)")
    page.locator("#native [data-drawn]").wait_for()

    # Every one of them is a point; the frontier is that of the file, by an independent count.
    open_and_wait(page, "Trade-offs")
    choose_run(page, "COMPOT · uniform · 90%")
    points = download(page, tmp_path / "runs.csv")
    made = {row["method"]: row for row in points if row["removed_fraction"] == "0.9"}
    assert set(made) == {"svd", "compot"}
    frontier = set(
        page.evaluate(f"{TRACES}.filter((t) => (t.meta || {{}}).dominated === false).flatMap((t) => t.customdata)")
    )
    assert frontier == frontier_of(points)
    assert min(made.values(), key=lambda row: float(row["quality"]))["key"] in frontier

    # Two of them beside each other.
    other = page.locator("#run-other input")
    other.fill("SVD · uniform · 90%")
    other.press("Enter")
    expect(page.locator("#run-difference")).to_contain_text("perplexity")
    page.screenshot(path=screenshots / "decided.png", full_page=True)

    # One is exported, checked, and loaded in a process that has nothing but the engine.
    page.get_by_role("tab", name="Take away").click()
    for box, title in (("take-method", "COMPOT"), ("take-policy", "uniform")):
        page.locator(f"#{box} input").click()
        page.get_by_role("option", name=title, exact=True).click()
    page.locator("#take-ratio input[type=range]").fill("0.9")
    expect(page.locator("#take-predicted")).to_contain_text("MB")
    page.locator("#export-button").click()
    expect(page.locator("#export-summary")).to_contain_text("equal to the bit", timeout=LIVE_TIMEOUT)
    with page.expect_download() as given:
        page.locator("#export-download").click()
    with zipfile.ZipFile(given.value.path()) as packed:
        packed.extractall(tmp_path / "taken")
    (directory,) = (tmp_path / "taken").iterdir()
    shown = float(re.search(r"([\d.]+) MB", page.locator("#take-predicted").inner_text())[1])
    on_disk = (directory / "model.safetensors").stat().st_size
    assert abs(on_disk / 1e6 / shown - 1) < 0.01
    assert abs(on_disk / float(made["compot"]["stored_bytes"]) - 1) < 0.01
    program = [sys.executable, "-c", LOAD, str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    bits, method, kind = json.loads(loaded.stdout.splitlines()[-1])
    assert (bits / 8, method, kind) == (float(made["compot"]["stored_bytes"]), "compot", "LlamaForCausalLM")
