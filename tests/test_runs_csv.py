"""Runs as CSV: what goes out comes back the same, and what is no run is refused with its place."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from test_session import DENSE, SESSION, SMALL, TEXT, point, timing

from compression.errors import UserError
from compression.recipe import Guards, Recipe
from compression.runs_csv import COLUMNS, MAX_CHARACTERS, REQUIRED, from_csv, to_csv
from compression.session import MAX_POINTS, Session

ROOT = Path(__file__).parent.parent
PUBLISHED = replace(
    DENSE,
    measure=replace(TEXT, model_id="LLaMA-7B", weights_hash="", fingerprint="", convention="2048 tokens"),
    recipe=None,
    origin="published",
    step="compressed",
    method="svd-llm",
    source="table 1",
)
RICH = SESSION.with_points(
    [
        point(
            0.6,
            50.25,
            3001,
            parent=SMALL.key,
            name='said "so", she;\nsaid',
            quality_low=45.125,
            quality_high=60.0,
            made="2026-11-22T10:00:00+00:00",
            step="quantised",
        ),
        replace(point(0.7, 99.0, 2000), recipe=Recipe("tiny", "compot", pins=(("*.q", 0.1),), guards=Guards(0.1, 0.9))),
        PUBLISHED,
    ]
).with_timings([(DENSE.recipe, timing(10.5)), (SMALL.recipe, timing(6))])
HEADER = ",".join(REQUIRED)
ROW = "tiny,a text,windows of 8,perplexity,30.5,1000"


def test_what_goes_out_comes_back_the_same():
    back = from_csv(to_csv(RICH), Session())
    assert back.session == RICH
    assert (back.runs, back.new, back.ignored) == (6, 6, ())
    assert back.other_measures == (TEXT, PUBLISHED.measure)
    again = from_csv(to_csv(RICH), RICH)
    assert again.session == RICH and (again.new, again.other_measures) == (0, ())


def test_some_runs_can_be_taken_alone():
    assert len(from_csv(to_csv(RICH, [SMALL]), Session()).session.points) == 1


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\ttab", "'=already"])
def test_no_cell_that_goes_out_is_run_by_a_spreadsheet(start):
    session = Session().with_points([replace(PUBLISHED, source=start, method=start)])
    for row in csv.DictReader(io.StringIO(to_csv(session))):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row.values())
        assert row["source"] == f"'{start}"
    assert from_csv(to_csv(session), Session()).session.points[0].source == start


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "@x", "+x", "-x"])
@pytest.mark.parametrize("column", ["model", "source", "name", "metric", "recipe"])
def test_a_formula_is_refused_wherever_it_stands(cell, column):
    names = HEADER if column in REQUIRED else f"{HEADER},{column}"
    cells = dict(zip(names.split(","), [*ROW.split(","), ""], strict=False)) | {column: cell}
    with pytest.raises(UserError, match=f"Row 2 of the CSV, column {column}: expected"):
        from_csv(f"{names}\n{','.join(cells.values())}\n", SESSION)


def test_the_least_that_is_needed():
    back = from_csv(f"{HEADER}\n{ROW}\n", SESSION)
    made = back.session.points[-1]
    assert (made.quality, made.stored_bits, made.origin, made.step, made.recipe) == (
        30.5,
        8000,
        "measured",
        "compressed",
        None,
    )
    assert len(back.other_measures) == 1, "without the hashes it is not known to be the same measure"


def test_semicolons_decimal_commas_tabs_and_a_byte_order_mark():
    german = (
        f"\ufeff{HEADER},color".replace(",", ";") + "\r\n" + "tiny;a text;windows, of 8;perplexity;30,5;1000;red\r\n"
    )
    back = from_csv(german, Session())
    assert back.session.points[0].quality == 30.5 and back.ignored == ("color",)
    assert back.session.points[0].measure.convention == "windows, of 8"
    tabs = f"{HEADER}\n{ROW}\n\n".replace(",", "\t")
    assert from_csv(tabs, Session()).session.points[0].quality == 30.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no CSV text"),
        ("  \n \n", "holds no CSV text"),
        (",,,\n,,,\n", "holds no CSV text"),
        ("PK\0\3", "holds no CSV text"),
        ("x" * (MAX_CHARACTERS + 1), "at most 2,000,000 are read"),
        ("model,quality\ntiny,3\n", "lacks the columns measured_on, convention, metric, stored_bytes"),
        (f"{HEADER}\n", "a header and no run"),
        (f"{HEADER}\n" + f"{ROW}\n" * (MAX_POINTS + 1), "take a part of them"),
        (f"{HEADER}\n{ROW},more\n", "Row 2 of the CSV has 7 cells and the header 6"),
        (f"{HEADER}\n{ROW}\ntiny,a\n", "Row 3 of the CSV has 2 cells"),
        (f'{HEADER}\ntiny,"a text\n', "breaks off or is malformed in line"),
        (f"{HEADER}\n{ROW.replace('30.5', 'good')}\n", "column quality: expected a number from 1, but 'good'"),
        (f"{HEADER}\n{ROW.replace('30.5', '0.5')}\n", "expected a number from 1"),
        (f"{HEADER}\n{ROW.replace('30.5', 'nan')}\n", "expected a number from 1"),
        (f"{HEADER}\n{ROW.replace('30.5', '')}\n", "column quality: expected a number"),
        (f"{HEADER}\n{ROW.replace('1000', '0')}\n", "column stored_bytes: expected a number from 1"),
        (f"{HEADER}\n{ROW.replace('perplexity', 'accuracy')}\n", "expected one of perplexity, wer, but 'accuracy'"),
        (f"{HEADER}\n{ROW.replace('a text', ' ')}\n", "column measured_on: expected text"),
        (f"{HEADER},removed_fraction\n{ROW},20\n", "column removed_fraction: expected a number from 0 to 1"),
        (f"{HEADER},name\n{ROW},{'x' * 61}\n", "at most 60 characters"),
        (f"{HEADER},recipe\n{ROW},{{}}\n", "column recipe: expected a recipe"),
        (f"{HEADER},step\n{ROW},folded\n", "expected one of dense, compressed, quantised, recovered"),
    ],
)
def test_what_is_no_run_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(UserError) as refused:
        from_csv(text, SESSION)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_every_column_has_one_place():
    assert len(set(COLUMNS)) == len(COLUMNS) and set(REQUIRED) < set(COLUMNS)


def test_the_published_figures_read_and_say_where_they_stand():
    back = from_csv((ROOT / "assets" / "published.csv").read_text(encoding="utf-8"), Session())
    assert {each.origin for each in back.session.points} == {"published"}
    assert all("arXiv" in each.source and each.recipe is None for each in back.session.points)
    assert {each.model_id for each in back.session.measures()} == {"LLaMA-7B"}
