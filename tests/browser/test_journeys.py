"""Journeys through the real app: what a visitor does, found by role or label, waited for by condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import made_up
import pytest
from tiny import write_tiny_llama

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from compression.forecast import Prediction

TABS = {
    "Explore": ("heatmap", "spectrum", "budget", "forecast-chart", "site-mask", "site-convergence"),
    "Compare": ("perplexity", "native", "errors", "factors", "mask", "column", "columns"),
    "Test live": (),
    "Adapt": ("adapt-rows",),
    "Distil and quantise": tuple(
        f"distil-{name}" for name in ("losses", "stages", "quantized", "benchmarks", "formats", "budget", "search")
    ),
    "Trade-offs": ("pareto", "run-map"),
    "What changed": (),
    "Take away": (),
    "Learn": (),
}
RECORD_SUMMARY = """() => {
  window.said = [];
  const note = () => window.said.push(document.querySelector('#live-perplexity-summary').innerText);
  new MutationObserver(note).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""
"""Keeps everything the summary says from now on."""
LIVE_TIMEOUT = 420_000
"""Milliseconds for a first live measurement: the model may have to be converted and calibrated."""

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with room for a calibration sequence."""
    folder = tmp_path_factory.mktemp("journeys") / "tiny"
    write_tiny_llama(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"max_position_embeddings": 128', '"max_position_embeddings": 1024'))
    return folder


def open_tab(page: Page, name: str) -> None:
    """Open a tab and wait until its charts are drawn."""
    page.get_by_role("tab", name=name).click()
    for chart in TABS[name]:
        page.locator(f"#{chart} [data-drawn]").wait_for()


def text_changes(locator: Locator, before: str) -> None:
    """Wait until a text is another one."""
    from playwright.sync_api import expect

    expect(locator).not_to_have_text(before)


def test_the_first_picture_is_true_and_needs_no_click(open_page: OpenPage) -> None:
    page = open_page()
    for chart in TABS["Explore"]:
        page.locator(f"#{chart} [data-drawn]").wait_for()
    page.get_by_text("rounded to 4 bits").first.wait_for()
    predicted = page.locator("#cards .card", has_text="Predicted perplexity")
    assert re.search(r"\d+\.\d", predicted.inner_text())
    assert "210" in page.locator("#heatmap-summary").inner_text()


def test_another_site_of_the_storage_picture_is_drawn_and_says_why(open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page()
    open_tab(page, "Compare")
    expect(page.locator("#column-summary")).to_contain_text("self_attn.q_proj")
    box = page.locator("#pattern-site input")
    box.fill("model.layers.15.mlp.up_proj")
    box.press("Enter")
    expect(page.locator("#column-summary")).to_contain_text("Why is COMPOT ahead here? Output")
    expect(page.locator("#column-summary")).to_contain_text("mlp.up_proj")
    expect(page.locator("#columns-summary")).to_contain_text("of the 1\u202f536 columns")
    expect(page.locator("#factors-summary")).to_contain_text("× 1536")


def test_moving_the_slider_changes_heatmap_and_budget(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Explore")
    heatmap, budget, cards = (page.locator(f"#{name}") for name in ("heatmap-summary", "budget-summary", "cards"))
    before = heatmap.inner_text(), budget.inner_text(), cards.inner_text()
    drawn = page.locator("#heatmap [data-drawn]").get_attribute("data-drawn")
    slider = page.locator("#ratio input[type=range]")
    assert [slider.get_attribute(name) for name in ("min", "max", "step")] == ["0", "0.95", "0.01"]
    slider.fill("0.5")
    for locator, text in zip((heatmap, budget, cards), before, strict=True):
        text_changes(locator, text)
    page.wait_for_function("n => document.querySelector('#heatmap [data-drawn]').dataset.drawn != n", arg=drawn)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_forecast_follows_the_slider_without_asking_the_server(
    open_made_up_page: OpenPage, screenshots: Path, theme: str, width: int
) -> None:
    from playwright.sync_api import expect

    page = open_made_up_page(width, theme)
    open_tab(page, "Explore")
    page.locator("#forecast-chart [data-drawn]").wait_for()
    sentence = page.locator("#forecast .live.forecast")
    shown = next(r for r in made_up.reports() if (r.method, r.policy) == ("compot-fisher", "fisher"))

    def said(row: Prediction) -> str:
        return (
            f"At {row.removed_fraction_target:.0%} removed, Fisher-weighted COMPOT with policy Fisher: predicted "
            f"perplexity {row.perplexity:.1f} ({row.low:.1f} to {row.high:.1f}), dense 20.0."
        )

    expect(sentence).to_have_text(said(shown.predictions[20]))
    expect(page.locator("#forecast .live.forecast-note")).to_contain_text("kept apart from calibration")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=screenshots / f"forecast-{theme}-{width}.png", full_page=True)

    # All in one task of the browser: no answer of a server can come in between.
    texts = page.evaluate(
        """values => {
          const slider = document.querySelector('#ratio input[type=range]');
          return values.map((value) => {
            slider.value = value;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
            return document.querySelector('#forecast .live.forecast').textContent;
          });
        }""",
        ["0.37", "0.6", "0.61"],
    )
    assert texts[:2] == [said(shown.predictions[37]), said(shown.predictions[60])]
    assert "reaches to 60% removed; at 61% there is none" in texts[2]
    page.locator("#forecast-chart").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#forecast-chart .plot').layout.shapes[0].x0 === 0.61")


def test_the_forecast_needs_no_network_and_says_why_there_is_none(open_made_up_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_made_up_page()
    open_tab(page, "Explore")
    page.locator("#forecast-chart [data-drawn]").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sentence = page.locator("#forecast .live.forecast")
    choose(page, "method", "SVD")
    choose(page, "policy", "uniform")
    expect(sentence).to_contain_text(f"policy uniform: {made_up.PROBLEM}.")
    choose(page, "method", "COMPOT")
    choose(page, "policy", "pooled")
    expect(sentence).to_contain_text("COMPOT with policy pooled: predicted perplexity")
    assert asked == [], "another forecast is chosen in the browser alone"
    page.route("**/*", lambda route: None)  # from here on no request is answered
    row = next(r for r in made_up.reports() if (r.method, r.policy) == ("compot", "pooled")).predictions[45]
    page.locator("#ratio input[type=range]").fill("0.45")
    numbers = f"predicted perplexity {row.perplexity:.1f} ({row.low:.1f} to {row.high:.1f})"
    expect(sentence).to_contain_text(f"At 45% removed, COMPOT with policy pooled: {numbers}")
    page.unroute_all(behavior="ignoreErrors")


def choose(page: Page, dropdown: str, option: str) -> None:
    """Choose an entry of a list."""
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_comparison_shows_what_was_predicted(open_made_up_page: OpenPage) -> None:
    page = open_made_up_page()
    open_tab(page, "Compare")
    runs = page.locator("#runs").inner_text()
    assert "Predicted" in runs and f"no forecast: {made_up.PROBLEM}" in runs
    assert "predicted (95% band)" in page.locator("#perplexity").inner_text()


def test_the_runs_shown_are_chosen(open_made_up_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_made_up_page()
    open_tab(page, "Compare")
    rows, table = page.locator("#runs tbody tr"), page.locator("#runs")
    expect(rows).to_have_count(1 + len(made_up.reports()))
    for text in ("Mean KL (nats)", "99th percentile KL (nats)", "Same top-1", "Over seeds, low"):
        expect(table).to_contain_text(text)
    assert "calibration seeds" in page.locator("#perplexity").inner_text()
    page.locator("#native-3 [data-drawn]").wait_for()
    expect(page.locator("#native-4")).to_be_hidden()
    tops = [page.locator(f"#errors{suffix}").bounding_box()["y"] for suffix in ("", "-2", "-3")]
    assert len(set(tops)) == 1, "the same parts of all runs stand on one line"
    page.locator("#run input").click()
    page.get_by_role("option", name="SVD · uniform").click()
    for chart in ("native-4", "errors-4"):
        page.locator(f"#{chart} [data-drawn]").wait_for()
    page.keyboard.press("Escape")
    page.locator("#shown-methods").get_by_label("SVD", exact=True).uncheck()
    expect(rows).to_have_count(1 + sum(each.method != "svd" for each in made_up.reports()))
    expect(page.locator("#native-4")).to_be_hidden()
    expect(page.locator("#run")).not_to_contain_text("SVD · uniform")
    page.get_by_role("radio", name="10%").check()
    expect(page.locator("#perplexity-summary")).to_contain_text("At 10% removed")
    expect(rows).to_have_count(1 + sum(each.method != "svd" for each in made_up.reports()))
    for method in page.locator("#shown-methods input").all():
        method.uncheck()
    expect(page.get_by_text("No method is chosen")).to_be_visible()
    expect(rows).to_have_count(0)


def test_a_comparison_of_nothing_is_refused_with_a_sentence(open_made_up_page: OpenPage) -> None:
    page = open_made_up_page()
    open_tab(page, "Compare")
    for method in page.locator("#compare-methods input").all():
        method.uncheck()
    page.get_by_role("button", name="Compare", exact=True).click()
    alert = page.locator("#compare-status").get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "Choose at least one method to measure."


def test_the_keyboard_moves_the_slider(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Explore")
    summary = page.locator("#budget-summary")
    before = summary.inner_text()
    page.locator("#ratio input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    text_changes(summary, before)


def test_clicking_a_cell_opens_its_spectrum(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Explore")
    spectrum = page.locator("#spectrum-summary")
    before = spectrum.inner_text()
    area = page.locator("#heatmap .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.52, box["y"] + box["height"] * 0.5
    page.mouse.move(x - 4, y)
    page.mouse.move(x, y)
    page.locator("#heatmap .hovertext").first.wait_for()
    page.mouse.click(x, y)
    text_changes(spectrum, before)
    site = page.get_by_label("Site (or click a cell of the heatmap)").input_value()
    assert site in spectrum.inner_text()


def test_a_table_downloads_as_csv(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Explore")
    sheet = page.locator(".sheet", has=page.locator("#heatmap"))
    sheet.get_by_role("button", name="Table and CSV").click()
    with page.expect_download() as started:
        sheet.get_by_role("button", name="Download CSV").click()
    lines = Path(started.value.path()).read_text(encoding="utf-8").splitlines()
    assert started.value.suggested_filename == "removed-by-site.csv"
    assert lines[0].startswith("Site,Block,Projection") and len(lines) == 211
    page.locator("#ratio input[type=range]").fill("0.5")


def test_switching_the_budget_changes_the_comparison(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Compare")
    switches = page.get_by_role("radio")
    runs, summary = page.locator("#runs"), page.locator("#perplexity-summary")
    for method in ("COMPOT", "SVD-LLM", "SVD"):
        assert method in runs.inner_text()
    before = summary.inner_text()
    other = next(s for s in switches.all() if not s.is_checked())
    other.check()
    text_changes(summary, before)


def test_perplexity_of_my_text_streams_and_ends_with_a_number(open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page()
    open_tab(page, "Test live")
    choose_compot(page)
    page.evaluate(RECORD_SUMMARY)  # with the model in memory the half-way answer stands for less than a poll
    page.get_by_role("button", name="Measure perplexity").click()
    summary = page.locator("#live-perplexity-summary")
    expect(summary).to_contain_text(
        re.compile(r"dense model has perplexity \d+.*compressed one \d+.*scored tokens"), timeout=LIVE_TIMEOUT
    )
    assert any(re.search(r"Dense \d.*compressed still to come", said) for said in page.evaluate("window.said"))
    page.locator("#live-perplexity [data-drawn]").wait_for()
    expect(page.get_by_role("button", name="Measure perplexity")).to_be_enabled()
    page.get_by_role("button", name="Measure perplexity").click()
    expect(page.locator("#perplexity-status")).to_contain_text("Both answers came from the cache", timeout=15_000)


def test_the_next_visitor_is_answered_in_russian_from_the_cache(open_page: OpenPage, screenshots: Path) -> None:
    from playwright.sync_api import expect

    page = open_page(390, "dark", "ru-RU")
    page.locator("#heatmap [data-drawn]").wait_for()
    page.get_by_role("tab", name="Проверка").click()
    choose_compot(page)
    page.get_by_role("button", name="Измерить перплексию").click()
    expect(page.locator("#perplexity-status")).to_contain_text("Оба ответа взяты из кэша", timeout=LIVE_TIMEOUT)
    expect(page.locator("#live-perplexity-summary")).to_contain_text(re.compile(r"без сжатия — \d+,\d"))
    page.locator("#live-perplexity [data-drawn]").wait_for()
    page.screenshot(path=screenshots / "measured-ru-dark-390.png", full_page=True)


def choose_compot(page: Page) -> None:
    """The method at the budget that test_decide has compressed with, so that the app need not do it again."""
    page.locator("#live-method input").click()
    page.get_by_role("option", name="COMPOT", exact=True).click()
    page.locator("#live-policy input").click()
    page.get_by_role("option").first.click()
    page.locator("#live-ratio input[type=range]").fill("0.9")


def test_cancelling_a_comparison_frees_the_slot_for_a_completion(open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page()
    open_tab(page, "Compare")
    page.get_by_role("button", name="Compare", exact=True).click()
    status = page.locator("#compare-status")
    expect(status).to_contain_text(re.compile(r"compot: model\.layers"), timeout=LIVE_TIMEOUT)
    page.locator("button:enabled", has_text="Cancel").click()
    expect(status).to_contain_text("Cancelled", timeout=15_000)
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_enabled()
    open_tab(page, "Test live")
    choose_compot(page)
    page.get_by_role("button", name="Generate").click()
    texts = page.locator("#completions .completion p:not(.empty)")
    expect(texts).to_have_count(2, timeout=LIVE_TIMEOUT)
    expect(page.get_by_role("button", name="Generate")).to_be_enabled(timeout=LIVE_TIMEOUT)
    dense, compressed = texts.all_inner_texts()
    assert len(dense) > 60 and dense.startswith("The history of the steam engine") and dense != compressed
    expect(page.locator("#completions mark.differs").first).to_be_visible()
    expect(page.locator("#completions")).to_contain_text("The completions part at token")


def test_latency_is_measured_beside_dense_with_threads_named(open_page: OpenPage, tiny: Path) -> None:
    """Of a tiny model, as five rounds of the real one take a minute; test_cli times that one."""
    from playwright.sync_api import expect

    page = open_page(query=f"&model={tiny}")
    page.get_by_role("tab", name="Test live").click()
    choose_compot(page)
    page.get_by_role("button", name="Measure latency").click()
    page.locator("#latency [data-drawn]").wait_for(timeout=LIVE_TIMEOUT)
    panel = page.locator("#latency-summary")
    expect(panel).to_contain_text(re.compile(r"\d+(\.\d+)? ms"))
    expect(panel).to_contain_text("thread")
    expect(panel).to_contain_text(re.compile("Smaller, (but not|and) faster here"))
    expect(panel).to_contain_text(re.compile(r"GFLOP/s and \d+ GB/s measured here"))


@pytest.mark.parametrize("text", ["", "word"], ids=["empty", "one-word"])
def test_a_bad_text_gets_one_sentence_and_the_app_goes_on(open_page: OpenPage, text: str) -> None:
    from playwright.sync_api import expect

    page = open_page()
    open_tab(page, "Test live")
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Measure perplexity").click()
    alert = page.locator("#perplexity-status").get_by_role("alert")
    alert.wait_for(timeout=LIVE_TIMEOUT)
    sentence = alert.inner_text()
    assert sentence.endswith(".") and "Traceback" not in sentence and "went wrong" not in sentence, sentence
    expect(page.get_by_role("button", name="Measure perplexity")).to_be_enabled()
    open_tab(page, "Explore")
    before = page.locator("#budget-summary").inner_text()
    page.locator("#ratio input[type=range]").fill("0.4")
    text_changes(page.locator("#budget-summary"), before)


def test_another_model_empties_what_was_measured_on_the_first(open_page: OpenPage, tiny: Path) -> None:
    from playwright.sync_api import expect

    page = open_page()
    open_tab(page, "Compare")
    expect(page.locator("#runs")).to_contain_text("COMPOT")
    open_tab(page, "Explore")
    model = page.locator("#model input")
    model.fill(str(tiny))
    model.press("Enter")
    page.get_by_role("button", name="Load and analyse").click()
    expect(page.locator("#explore-status")).to_contain_text("14 sites", timeout=LIVE_TIMEOUT)
    expect(page.locator("#heatmap-summary")).to_contain_text("14")
    page.get_by_role("tab", name="Compare").click()
    page.get_by_text("No comparison has been measured for this model yet").wait_for()
    expect(page.locator("#runs")).not_to_contain_text("COMPOT")
    for chart in TABS["Compare"]:
        expect(page.locator(f"#{chart} [data-drawn]")).to_have_count(0)
    page.get_by_role("tab", name="Explore").click()
    model.fill("smollm2-135m-q4")
    model.press("Enter")
    expect(page.locator("#heatmap-summary")).to_contain_text("210")
    open_tab(page, "Compare")
    expect(page.locator("#runs")).to_contain_text("COMPOT")


def test_an_unknown_model_gets_one_sentence(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Explore")
    model = page.locator("#model input")
    model.fill("no-such-model")
    model.press("Enter")
    page.get_by_role("button", name="Load and analyse").click()
    alert = page.locator("#explore-status").get_by_role("alert")
    alert.wait_for(timeout=LIVE_TIMEOUT)
    assert "no-such-model" in alert.inner_text()


def test_figures_follow_the_theme(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Explore")
    colour = "() => getComputedStyle(document.querySelector('#heatmap .xtick text')).fill"
    before = page.evaluate(colour)
    page.get_by_role("button", name="Light / dark").click()
    page.wait_for_function(f"before => ({colour})() !== before", arg=before)
