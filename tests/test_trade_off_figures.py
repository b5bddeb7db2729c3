"""The trade-off picture and the run map, from sessions made by hand: what is drawn, said and listed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from compression.recipe import Recipe
from compression.session import Cost, Measure, RunPoint, Session, Timing, trade_off
from views.figures import run_map
from views.figures import trade_off as figure
from views.live_chart import figure_value
from views.run_words import change, plain, points_of_per_cent, run_label
from views.texts import words
from views.theme import style_of
from views.widgets import View

EN, RU = words("en"), words("ru")
TEXT = Measure("perplexity", "tiny", "aa", "a text", "bb", "windows of 8")
SPEECH = Measure("wer", "listener", "cc", "clips", "dd", "greedy")
DENSE = RunPoint(TEXT, 20.0, 8_000_000 * 8, "dense", step="dense", recipe=Recipe("tiny"), made="2026-01-02T03:04:05")


def point(removed: float, quality: float, megabytes: float, method: str = "svd", **changed: Any) -> RunPoint:
    recipe = Recipe("tiny", method, "uniform", removed)
    made = RunPoint(TEXT, quality, round(megabytes * 8e6), method, "uniform", removed, recipe=recipe)
    return replace(made, **changed)


GOOD = point(0.2, 25.0, 6, "compot", quality_low=24.0, quality_high=27.0)
BAD = point(0.25, 40.0, 6.5)
SMALL = point(0.5, 50.0, 4)
BROKEN = point(0.3, 900.0, 6)
CHILD = point(0.3, 30.0, 5.5, "compot", parent=GOOD.key, name="mine")
SESSION = Session().with_points([DENSE, GOOD, BAD, SMALL, BROKEN, CHILD])
TIMED = SESSION.with_timings(
    [
        (
            Recipe("tiny"),
            Timing(40.0, 4.0, 10.0, 1.0, 40.0, 10.0, "prefill of 8 tokens, 4 decoded tokens, 2 threads, x"),
        ),
        (
            GOOD.recipe or Recipe("tiny"),
            Timing(30.0, 2.0, 9.7, 0.6, 40.0, 10.0, "prefill of 8 tokens, 4 decoded tokens, 2 threads, x"),
        ),
    ]
)


def view(session: Session = SESSION, cost: Cost = "size", budget: float | None = None, language: str = "en") -> View:
    measure = session.points[0].measure
    picture = trade_off(session, measure, cost, budget)
    return figure.view(picture, session, GOOD.key, {GOOD.key: 24.4}, words(language))


def drawn(shown: View) -> dict[str, Any]:
    return json.loads(figure_value(shown.figure))


def traces(shown: View, **meta: Any) -> list[dict[str, Any]]:
    return [each for each in drawn(shown)["data"] if each.get("meta") == meta]


def test_each_method_has_its_marker_filled_on_the_frontier_open_and_faint_off_it() -> None:
    shown = view()
    (compot,) = traces(shown, method="compot", dominated=False)
    colour, symbol, _ = style_of("compot")
    assert compot["x"] == [6.0, 5.5] and compot["y"] == [25.0, 30.0]
    assert compot["customdata"] == [GOOD.key, CHILD.key]
    assert compot["marker"] == {
        "color": colour,
        "symbol": symbol,
        "size": 10,
        "opacity": 1,
        "line": {"width": 1.6, "color": colour},
    }
    (faint,) = traces(shown, method="svd", dominated=True)
    assert faint["customdata"] == [BAD.key]
    assert faint["marker"]["symbol"] == f"{style_of('svd')[1]}-open" and faint["marker"]["opacity"] == 0.55
    names = [each["name"] for each in drawn(shown)["data"] if each.get("showlegend", True)]
    assert names == ["frontier", "dense", "COMPOT", "SVD", "dominated (open, faint)", "chosen run"]


def test_the_frontier_is_a_line_of_steps_through_its_runs_and_the_chosen_run_is_ringed() -> None:
    data = drawn(view())["data"]
    assert (data[0]["x"], data[0]["y"]) == ([4.0, 5.5, 6.0, 8.0], [50.0, 30.0, 25.0, 20.0])
    assert data[0]["line"]["shape"] == "hv"
    ring = next(each for each in data if each["name"] == "chosen run")
    assert (ring["x"], ring["y"], ring["marker"]["symbol"]) == ([6.0], [25.0], "circle-open")
    labels = next(each for each in data if each["name"] == "labels")
    assert [text.strip("\u00a0").removeprefix("<br>") for text in labels["text"]] == ["50%", "mine", "dense"]


def test_error_bars_are_what_the_sentence_says_they_are() -> None:
    (compot,) = traces(view(), method="compot", dominated=False)
    assert compot["error_y"]["array"] == [2.0, 0.0] and compot["error_y"]["arrayminus"] == [1.0, 0.0]
    assert "error_x" not in compot
    assert "Vertical bars: one standard error of the perplexity" in view().summary
    (timed,) = traces(view(TIMED, "decode"), method="compot", dominated=False)
    assert timed["x"] == [9.7] and timed["error_x"]["array"] == [0.3]
    said = view(TIMED, "decode").summary
    assert "half their interquartile range" in said and "Not timed like this, and so not shown: 4." in said
    assert drawn(view(TIMED, "decode"))["layout"]["xaxis"]["title"]["text"] == "time of a decoded token (ms)"
    assert "None of the 6 runs has been timed yet" in view(SESSION, "prefill").summary


def test_a_broken_run_is_in_the_table_and_counted_but_not_drawn() -> None:
    shown = view()
    assert not any(BROKEN.key in (each.get("customdata") or []) for each in drawn(shown)["data"])
    assert "in the table alone: 1." in shown.summary
    assert shown.table is not None and any(900.0 in row for row in shown.table.rows)
    alone = Session().with_points([DENSE, point(0.3, 900.0, 6)])
    assert "in the table alone" not in view(alone).summary, "nothing smaller is better"


def test_a_budget_is_a_line_and_names_the_best_run_within_it() -> None:
    shown = view(budget=6_100_000)
    line = next(each for each in drawn(shown)["layout"]["shapes"] if each["name"] == "budget")
    assert (line["x0"], line["x1"]) == (6.1, 6.1)
    assert "Within 6.1 MB the best is COMPOT · uniform · 20%: perplexity 25.0 at 6.0 MB." in shown.summary
    assert "No run is within 1.0 MB." in view(budget=1_000_000).summary
    assert "Within" not in view().summary
    assert "В пределах 6,1\u00a0МБ лучший запуск — COMPOT" in view(budget=6_100_000, language="ru").summary


def test_the_table_has_every_number() -> None:
    table = view(TIMED).table
    assert table is not None
    row = dict(zip(table.headers, table.rows[1], strict=True))
    assert row == {
        "Run": "COMPOT · uniform · 20%",
        "Method": "COMPOT",
        "Policy": "uniform",
        "Removed": 0.2,
        "Size (MB)": 6.0,
        "Change of size": -0.25,
        "Perplexity": 25.0,
        "Bar, low": 24.0,
        "Bar, high": 27.0,
        "Predicted": 24.4,
        "Prefill (ms)": 30.0,
        "Its interquartile range": 2.0,
        "Decode (ms a token)": 9.7,
        "Its interquartile range (ms)": 0.6,
        "Change of decode": pytest.approx(-0.03),
        "Dominated by": "",
        "Origin": "measured",
        "Step": "compressed",
        "Made": "",
    }
    dominated = dict(zip(table.headers, table.rows[2], strict=True))
    assert dominated["Dominated by"] in ("COMPOT · uniform · 20%", "mine")
    plain_table = view().table
    assert plain_table is not None and "Decode (ms a token)" not in plain_table.headers, "no run was timed"


def test_word_error_rates_are_shares_on_an_axis_from_zero() -> None:
    dense = RunPoint(SPEECH, 0.1, 80, "dense", step="dense", quality_low=0.08, quality_high=0.12)
    session = Session().with_points(
        [dense, replace(dense, quality=0.2, stored_bits=40, method="svd", step="compressed")]
    )
    shown = view(session)
    axis = drawn(shown)["layout"]["yaxis"]
    assert axis["rangemode"] == "tozero" and axis["title"]["text"] == "word error rate (%)"
    assert "95% interval over the recordings" in shown.summary
    assert shown.table is not None
    assert {shown.table.headers[place] for place in shown.table.shares} >= {"Word error rate", "Bar, low", "Removed"}


def test_published_figures_have_shapes_of_their_own_and_their_source_in_the_sentence() -> None:
    published = replace(TEXT, model_id="llama", weights_hash="", fingerprint="", convention="as the paper says")
    points = [
        RunPoint(published, 5.7, 80, "dense", step="dense", origin="published", source="arXiv:1"),
        RunPoint(published, 7.0, 60, "svd-llm", origin="published", source="arXiv:1", removed_fraction=0.2),
    ]
    shown = view(Session().with_points(points))
    symbols = {each["marker"]["symbol"] for each in drawn(shown)["data"] if each.get("meta")}
    assert symbols == set(figure.PUBLISHED[:2])
    assert not symbols & {style_of(method)[1] for method in ("svd-llm", "dense", "compot")}
    assert "published elsewhere and not measured here: arXiv:1." in shown.summary
    assert "(as the paper says)" in shown.summary


def test_what_anybody_wrote_is_shown_to_the_letter() -> None:
    hostile = "<img src=x> ![x](//evil) %{x}"
    session = Session().with_points([replace(DENSE, name=hostile)])
    shown = view(session, budget=1e9)
    assert hostile[:4] in shown.summary and not re.search(r"(?<!\\)[<\[]", shown.summary), "each is escaped"
    assert "&lt;img src=x&gt;" in json.dumps(drawn(shown))
    assert "<img" not in figure_value(shown.figure)
    row = run_map.view(run_map.shown_rows(session, TEXT, [DENSE.key]), "", 0, EN)
    assert "<img" not in figure_value(row.figure)


# --- the map ---


def map_of(keys: list[str], language: str = "en", session: Session = SESSION) -> View:
    rows = run_map.shown_rows(session, session.points[0].measure, keys)
    return run_map.view(rows, GOOD.key, len(session.points) - len(rows), words(language))


def test_the_map_draws_each_run_below_the_one_it_came_from() -> None:
    data = drawn(map_of([CHILD.key, SMALL.key]))["data"]
    lines, runs, ring = data
    assert runs["customdata"] == [DENSE.key, GOOD.key, CHILD.key, SMALL.key], "what a run came from is shown as well"
    assert (runs["x"], runs["y"]) == ([0, 1, 2, 1], [0, 1, 2, 3])
    assert lines["x"] == [0, 0, 1, None, 1, 1, 2, None, 0, 0, 1, None]
    assert lines["y"] == [0, 1, 1, None, 1, 2, 2, None, 0, 3, 3, None]
    assert runs["marker"]["symbol"] == [style_of(method)[1] for method in ("dense", "compot", "compot", "svd")]
    assert runs["text"][2] == "  <b>mine</b><br>  uniform · 30% · size −8.3%<br>  perplexity 30.0 (+20%)"
    assert runs["text"][0] == "  <b>dense</b><br>  perplexity 20.0"
    timed = drawn(map_of([GOOD.key], session=TIMED))["data"][1]["text"][1]
    assert timed == "  <b>20% · COMPOT</b><br>  uniform · size −25%<br>  perplexity 25.0 (+25%), decode −3%"
    assert (ring["x"], ring["y"]) == ([1], [1])


def test_the_map_says_how_many_are_hidden_and_lists_the_changes() -> None:
    shown = map_of([CHILD.key])
    assert shown.summary == (
        "3 runs, each below the one it was made from, at most 2 steps from the dense model; changes are from that run. "
        "Runs that came with the app and are dominated are hidden: 3. “all runs” shows them."
    )
    assert shown.table is not None
    assert shown.table.rows[2][:2] == ("mine", "COMPOT · uniform · 20%")
    assert shown.table.rows[2][5:] == (pytest.approx(-1 / 12), pytest.approx(0.2), None, None)
    assert shown.table.shares == frozenset({5, 6, 7, 8})
    assert "hidden" not in map_of([each.key for each in SESSION.points]).summary
    assert "Скрыты" in map_of([CHILD.key], "ru").summary


def test_the_map_is_as_high_as_its_rows() -> None:
    height = [drawn(map_of(keys))["layout"]["height"] for keys in ([GOOD.key], [GOOD.key, BAD.key])]
    assert height[1] - height[0] == run_map.ROW


# --- words ---


def test_changes_have_signs_and_large_ones_are_factors() -> None:
    assert [change(share, EN) for share in (0.049, -0.08, 0.0, 0.00001, 24.0)] == [
        "+4.9%",
        "−8%",
        "0%",
        "0%",
        "×\u202f25",
    ]
    assert change(-0.08, RU) == "−8\u202f%"
    assert [points_of_per_cent(share, EN) for share in (0.021, -0.003, 0.0)] == [
        "+2.1 percentage points",
        "−0.3 percentage points",
        "0.0 percentage points",
    ]


def test_runs_are_named_by_what_made_them_or_by_their_visitor() -> None:
    assert run_label(DENSE, RU) == "без сжатия"
    assert run_label(CHILD, EN) == "mine"
    seeded = replace(GOOD, recipe=Recipe("tiny", "compot", "uniform", 0.2, seed=2), step="quantised")
    assert run_label(seeded, EN) == "COMPOT · uniform · 20% · quantised · seed 2"
    assert plain("a_b *c* [d](e) <f>") == "a\\_b \\*c\\* \\[d\\](e) \\<f\\>"
