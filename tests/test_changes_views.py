"""What changed on the page: marked text, sentences, rows and drift from hand-made reports, and what goes wrong."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parent / "browser"))

from made_up_changes import Changes, drift, report, units

from compression.errors import UserError
from compression.evaluation.changes_report import ChangesReport, DriftReport, DriftStage, UnitChange
from views import engine
from views.changed_text import STEPS, summary, table_value, words_html
from views.figures import drift as drift_figure
from views.tabs.changes import MAX_TOKENS, find_changes
from views.texts import words
from views.widgets import ChartPanel, View

EN, RU = words("en"), words("ru")
HOSTILE = '<img src=x onerror="alert(1)">&'
TEXT = "When on board H.M.S. Beagle, as a naturalist, I was struck"


def of_text(*made: UnitChange, **more: Any) -> ChangesReport:
    return report(made or units(TEXT), "token", drift(""), **more)


def of_speech(said: str = " a cat sat on it", **more: Any) -> ChangesReport:
    return report(units(said, end=True)[1:], "word", drift("encoder", "decoder", deep=4), reference="dense", **more)


def marks(html: str) -> dict[str, str]:
    """Marked text → its classes; without the legend."""
    return {text: kind for kind, text in re.findall(r'<mark class="([^"]+)" title="[^"]*">([^<]*)</mark>', html)}


# The marked text


def test_rises_are_tinted_in_steps_and_flips_have_a_line_of_their_own() -> None:
    rises = (0.5, 0.51, 1.01, 2.01, 0.0, -3.0)
    made = [UnitChange(f" r{i}", 0, "a", "a", 1.0, 1.0 + rise) for i, rise in enumerate(rises)]
    made[4] = replace(made[4], flipped=True)
    made[3] = replace(made[3], flipped=True)
    found = marks(words_html(of_text(UnitChange("first", 0), *made), EN))
    assert found == {"r1": "rise-1", "r2": "rise-2", "r3": "rise-3 flipped", "r4": "flipped"}


def test_the_text_is_whole_and_a_mark_says_its_figures() -> None:
    html = words_html(of_text(), EN)
    text = html.split('<p class="changed-text"')[1].split(">", 1)[1].split("</p>")[0]
    assert unescape(re.sub(r"<[^>]+>", "", text)) == TEXT
    assert '<span class="given">When</span>' in html
    assert 'title="flipped: loss 1.00 → 4.50 nats (+3.50); dense says “board”, compressed says “other”"' in html
    assert html.count("<li>") == len(STEPS) + 3 and "loss rose by more than 0.5 nats" in html
    assert 'role="region"' in html and 'tabindex="0"' in html


def test_words_of_speech_are_marked_with_their_end() -> None:
    html = words_html(of_speech("x and the mind of a man thinks", tokens_total=9), EN)
    assert "(end)" in html and "endoftext" not in html and "given, not predicted" not in html
    assert "(конец)" in words_html(of_speech(), RU)


def test_what_a_visitor_wrote_is_never_markup() -> None:
    made = UnitChange(HOSTILE, 0, HOSTILE, HOSTILE, 1.0, 9.0, True)
    shown = of_text(UnitChange(HOSTILE, 0), made)
    html = words_html(shown, EN)
    assert "<img" not in html and 'onerror="' not in html and HOSTILE in unescape(html)
    assert "<" not in summary(shown, EN)


# The sentence


def test_the_sentence_counts_and_names_the_largest_rise() -> None:
    said = summary(of_text(), EN)
    assert said.startswith("**3 of 10 predicted tokens flipped (30%)**")
    assert "goes from 1 to 1.94 nats a token" in said and "The loss rises most at “board”, by 3.5 nats." in said
    assert "were read" not in said
    assert "The text has 5\u202f000 tokens; the first 11 were read." in summary(of_text(tokens_total=5000), EN)
    assert "сменилось у 3 из 10 токенов" in summary(of_text(), RU)


def test_the_sentence_for_speech_says_whose_words_these_are() -> None:
    said = summary(of_speech(), EN)
    assert "words flipped" in said and "would write something else" in said
    assert said.endswith("The words are those that the dense model writes down.")
    assert summary(replace(of_speech(), reference="given"), RU).endswith("Слова взяты из вашего текста.")


def test_nothing_flipped_and_nothing_changed_are_no_errors() -> None:
    calm = UnitChange(" b", 0, "b", "b", 1.0, 0.9)
    said = summary(of_text(UnitChange("a", 0), calm), EN)
    assert said.startswith("**No prediction flipped**") and said.endswith("The loss rises nowhere.")
    same = summary(of_text(UnitChange("a", 0), replace(calm, compressed_loss=1.0), removed_fraction=0.0), EN)
    assert same.startswith("**Nothing changed**") and "1 tokens, 0% removed" in same


# The rows


def test_all_predicted_units_are_rows_and_their_order_is_by_rise() -> None:
    table = json.loads(table_value(of_text(), EN))
    assert [row[0] for row in table["rows"]] == list(range(2, 12))
    rises = [table["rows"][i][8] for i in table["order"]]
    assert rises == sorted(rises, reverse=True) and len(rises) == 10
    assert table["rows"][1] == [3, "When on", " board", " H.M.S. Beagle, as a naturalist,", " board", " other"] + [
        1.0,
        4.5,
        3.5,
        True,
    ]
    assert len(table["headers"]) == 10 and table["headers"][2] == "Token"
    spoken = json.loads(table_value(of_speech(), RU))
    assert spoken["headers"][2] == "Слово" and spoken["rows"][-1][2] == "(конец)"
    assert table_value(None, EN) == ""


# The drift


def test_the_drift_has_a_line_for_each_figure_and_a_gap_between_the_stacks() -> None:
    seen = drift_figure.view(drift("encoder", "decoder", deep=4), EN)
    median, pooled = seen.figure.data
    assert list(median.x) == [0, 1, 2, 3, 4, 5, None, 7, 8, 9, 10, 11, 12]
    assert median.y[6] is None and median.y[2] == pytest.approx(0.085) and pooled.y[0] == 0
    assert (median.line.dash, pooled.line.dash) == ("solid", "dash")
    assert median.marker.symbol != pooled.marker.symbol
    assert median.text[8] == "decoder, block 0: 0.01"
    assert list(seen.figure.layout.xaxis.ticktext) == ["E", "0", "1", "2", "3", "N"] * 2
    assert [note.text for note in seen.figure.layout.annotations] == ["encoder", "decoder"]
    assert seen.table is not None and len(seen.table.rows) == 12 and seen.table.rows[7][:2] == ("decoder", "block 0")
    assert seen.summary.startswith("**Encoder**: The damage starts in block 1, the first whose median error (0.085) is")


def test_a_deep_stack_has_few_ticks_and_both_ends() -> None:
    seen = drift_figure.view(drift(""), EN)
    assert list(seen.figure.layout.xaxis.ticktext) == ["E", "4", "8", "12", "16", "20", "24", "N"]
    assert seen.figure.layout.yaxis.title.text and seen.table is not None
    assert seen.table.headers[0] == "Place" and len(seen.table.rows) == 32


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (
            (0.0, 0.4, 0.1),
            "starts in block 1, the first whose median error (0.4) is at least 10% of the largest (0.4, ",
        ),
        ((0.0, 0.4, 0.1), "It heals in part: behind the last block it is 0.1, 75% less."),
        ((0.2, 0.4, 0.39), "It hardly heals: behind the last block, 2, it is still 0.39."),
        ((0.1, 0.2, 0.4), "It does not heal: it is largest behind the last block."),
        ((0.0, 0.0, 0.0), "The hidden states of both models are equal in every block."),
    ],
)
def test_where_it_starts_and_whether_it_heals_is_said(errors: tuple[float, ...], said: str) -> None:
    stages = tuple(DriftStage("", "block", block, error, error) for block, error in enumerate(errors))
    assert said in drift_figure.view(DriftReport(stages, {"": 12}), EN).summary


# The event


class Panel:
    """A `ChartPanel` without a page around it."""

    outputs = ("chart", "summary", "table")

    def updates(self, view: View) -> list[Any]:
        return [view.figure, view.summary, view.table]

    def unchanged(self) -> list[Any]:
        return [None, None, None]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Changes:
    made = Changes()
    monkeypatch.setattr(engine, "workbench", lambda: made)
    monkeypatch.setattr(engine, "is_speech", lambda model: "whisper" in model)
    return made


def steps(model: str, text: str = TEXT, audio: str | None = None, said: str = "") -> list[list[Any]]:
    return list(find_changes(EN, cast(ChartPanel, Panel()), model, "svd", "uniform", 0.2, text, audio, said))


def test_drift_comes_first_then_everything(bench: Changes) -> None:
    first, last = steps("llama")
    assert "window 1 of 1" in first[0] and "damage starts" in first[5] and isinstance(first[1], dict)
    assert "Finished" in last[0] and "3 of 10" in last[1] and "<mark" in last[2] and json.loads(last[3])["rows"]
    assert len(first) == len(last) == 4 + len(Panel.outputs)


def test_speech_goes_by_the_recording_and_not_by_the_text(bench: Changes, tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    soundfile.write(file, 0.3 * np.sin(np.arange(16_000) / 5), 16_000)
    last = steps("whisper", text="", audio=str(file), said="a cat")[-1]
    assert "those that you gave" in last[1] and "cat" in last[2]
    with pytest.raises(UserError, match="There is no recording yet"):
        steps("whisper")
    soundfile.write(file, np.zeros(16_000), 16_000)
    with pytest.raises(UserError, match="Nothing can be heard"):
        steps("whisper", audio=str(file))
    with pytest.raises(UserError, match="is empty"):
        steps("llama", text=" ")


def test_the_page_says_how_much_the_engine_reads() -> None:
    from compression.evaluation.changes import MAX_WINDOWS, WINDOW

    assert MAX_WINDOWS * WINDOW == MAX_TOKENS
