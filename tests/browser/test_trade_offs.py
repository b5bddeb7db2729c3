"""The trade-offs tab on the real model's gallery: the frontier, the smallest model, names that stay, CSV out and in."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
TRACES = "document.querySelector('#pareto .plot').data"


def open_tab(page: Page, name: str = "Trade-offs") -> None:
    page.get_by_role("tab", name=name).click()
    page.locator("#pareto [data-drawn]").wait_for()


def download(page: Page, file: Path) -> list[dict[str, str]]:
    """The runs as the page gives them out."""
    with page.expect_download() as given:
        page.locator("#runs-csv-out").click()
    given.value.save_as(file)
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def frontier_of(rows: list[dict[str, str]]) -> set[str]:
    """Keys of the rows that no other dominates, from the definition."""
    at = [(float(row["stored_bytes"]), float(row["quality"]), row["key"]) for row in rows]
    return {
        key
        for size, quality, key in at
        if not any(s <= size and q <= quality and (s, q) != (size, quality) for s, q, _ in at)
    }


def bring_in(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#runs-csv-in").click()
    chooser.value.set_files(file)


def choose(page: Page, name: str) -> None:
    """Choose a run by the keyboard."""
    from playwright.sync_api import expect

    box = page.locator("#run-chosen input")
    box.fill(name)
    box.press("Enter")
    expect(page.locator("#run-facts h3")).to_have_text(name)


def test_the_frontier_is_read_the_smallest_model_found_and_a_run_named_for_good(
    open_page: OpenPage, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = open_page()
    open_tab(page)

    # The frontier in the picture is that of the file, by an independent count.
    rows = download(page, tmp_path / "runs.csv")
    traces: list[dict[str, Any]] = page.evaluate(f"{TRACES}.map(({{meta, customdata}}) => ({{meta, customdata}}))")
    filled = {key for each in traces if (each["meta"] or {}).get("dominated") is False for key in each["customdata"]}
    assert filled == frontier_of(rows) and 1 < len(filled) < len(rows)

    # A budget names the best run within it.
    page.locator("#trade-budget input").fill("230")
    fits = min((row for row in rows if float(row["stored_bytes"]) <= 230e6), key=lambda row: float(row["quality"]))
    expect(page.locator("#pareto-summary")).to_contain_text(f"perplexity {float(fits['quality']):.1f} at")

    # The smallest model is answered at once.
    page.locator("#smallest-button").click()
    answer = page.locator("#smallest-answer")
    expect(answer).to_contain_text("Smallest model within +5%")
    assert re.search(r"95% band [+−]\d", answer.inner_text())
    expect(page.locator("#smallest-verify")).to_be_enabled()

    # A run is chosen from the list, named, and keeps its name over a reload and in the other language.
    choose(page, "ROCKET · knapsack · 20%")
    page.locator("#run-name").get_by_role("textbox").fill("the rocket")
    page.locator("#run-rename").click()
    expect(page.locator("#run-facts h3")).to_have_text("the rocket")
    page.reload()
    page.locator("#heatmap [data-drawn]").wait_for()
    open_tab(page)
    choose(page, "the rocket")
    page.locator("#languages a").click()
    page.locator("#heatmap [data-drawn]").wait_for()
    open_tab(page, "Компромиссы")
    choose(page, "the rocket")
    expect(page.locator("#pareto-summary")).to_contain_text("Запусков модели")


def test_runs_come_in_as_csv_and_a_file_with_a_formula_changes_nothing(open_page: OpenPage, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page = open_page(390, "dark")
    open_tab(page)
    rows = download(page, tmp_path / "runs.csv")
    said = page.locator("#runs-csv-status")

    mine = rows[-1] | {"name": "from elsewhere", "key": "", "recipe": "", "stored_bytes": "150000000"}
    mine |= {"quality": "30", "quality_low": "", "quality_high": ""}
    formula = mine | {"name": "=HYPERLINK(1)"}
    for name, row in (("formula.csv", formula), ("mine.csv", mine)):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, rows[0].keys())
            writer.writeheader()
            writer.writerows([*rows, row])
    bring_in(page, tmp_path / "formula.csv")
    expect(said.get_by_role("alert")).to_contain_text("column name: expected text, and no formula")
    assert page.evaluate("localStorage.length") == 0, "nothing was taken"

    bring_in(page, tmp_path / "mine.csv")
    expect(said).to_have_text(f"Runs in the file: {len(rows) + 1}; new: 1.")
    labels = f"{TRACES}.flatMap((each) => each.text || [])"
    page.wait_for_function(f"{labels}.some((text) => text.includes('from elsewhere'))")
    choose(page, "from elsewhere")
    again = download(page, tmp_path / "again.csv")
    assert [row for row in again if row["name"] == "from elsewhere"][0]["stored_bytes"] == "150000000"
    assert {row["key"] for row in rows} < {row["key"] for row in again}
    page.locator("#run-remove").click()
    expect(page.locator("#run-facts h3")).not_to_have_text("from elsewhere")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
