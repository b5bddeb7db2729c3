"""A speech model on Explore and Compare: judged by word error rate, where a language model is judged by perplexity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samples import (
    ANALYSIS,
    MODEL,
    RECORDINGS,
    SPOKEN,
    WHISPER,
    WHISPER_EVIDENCE,
    comparison,
    run,
    speech_comparison,
    speech_run,
    transcript_forecast,
    transcription,
    whisper,
)

from compression import gallery as galleries
from compression.analysis import compare_info, native_info
from compression.gallery import Gallery, save_gallery
from compression.recipe import Recipe
from compression.slider import slider_view
from compression.types import (
    MethodInfo,
    Progress,
    SpeechComparison,
    SpeechRun,
)
from views import engine
from views.figures import budget, forecast, heatmap, native, quality, site_errors
from views.figures.common import short_projections
from views.live_chart import figure_value
from views.metrics import PERPLEXITY, WORD_ERROR_RATE, metric_of
from views.slider_data import slider_value
from views.tabs import compare, explore
from views.texts import SPEECH, TABLES, words
from views.widgets import ChartPanel, View, progress_html

WORDS = words("en")
MODEL_ID = WHISPER.model.model_id
INFO = compare_info(SPOKEN, 0.2)
METHODS = (
    MethodInfo("compot", "", "", "", True, "pooled", None, ()),
    MethodInfo("asvd", "", "", "", True, "sensitivity", None, ()),
    MethodInfo("cospadi", "", "", "", True, "uniform", None, (), slow=True),
    MethodInfo("dobi-svd", "", "", "", True, "learned", None, (), slow=True),
)


def figure_of(view: View) -> Any:
    return json.loads(figure_value(view.figure))


# --- words ---


def test_a_text_of_a_speech_model_replaces_the_one_of_a_language_model() -> None:
    spoken = WORDS.about(True)
    assert (WORDS("quality.title"), spoken("quality.title")) == (
        "Perplexity at this budget",
        "Word error rate at this budget",
    )
    assert spoken("button.cancel") == "Cancel", "most texts speak of both"
    assert spoken.about(False) == WORDS
    assert {key.removesuffix(SPEECH) for key in TABLES["en"] if key.endswith(SPEECH)} <= TABLES["en"].keys()


def test_no_text_of_these_tabs_speaks_of_perplexity_where_a_speech_model_is_meant() -> None:
    table = TABLES["en"]
    tabs = re.compile(r"(forecast|card|measured|difference|compare|quality|heatmap|unit|budget)\.")
    said = {key: re.sub(r"\{\w+\}", "", text) for key, text in table.items() if tabs.match(key)}
    speaking = {key for key, text in said.items() if re.search(r"perplexity|KL\(|text\b", text, re.I)}
    plain = {key for key in speaking if not key.endswith(SPEECH) and key + SPEECH not in table}
    assert plain == {
        "quality.hover_predicted",  # no run of a speech model has a forecast
    }
    left = [text for key, text in said.items() if key.endswith(SPEECH) and "perplexity" in text.lower()]
    assert left and all("transcript" in text.lower() for text in left)


def test_values_are_written_as_what_they_are() -> None:
    assert (metric_of(False), metric_of(True)) == (PERPLEXITY, WORD_ERROR_RATE)
    assert (PERPLEXITY.write(31.2, WORDS), WORD_ERROR_RATE.write(0.105, WORDS)) == ("31.2", "10.5%")
    assert WORD_ERROR_RATE.write(0.105, words("ru")) == "10,5\u202f%"


# --- Compare: figure and table ---


def test_word_error_rates_stand_on_an_axis_from_zero_with_their_intervals() -> None:
    figure = figure_of(quality.view(INFO, WORDS))
    dense, svd, compot, fisher, *_ = figure["data"]
    assert [trace["x"] for trace in (dense, svd, compot, fisher)] == [[0.074], [0.333], [0.126], [0.083]]
    assert compot["error_x"]["array"] == pytest.approx([0.03]), "up to the upper end of the interval"
    assert compot["error_x"]["arrayminus"] == pytest.approx([0.02])
    assert (compot["text"], dense["text"]) == (["12.6%"], ["7.4%"])
    assert "word error rate 12.6%<br>95% interval 10.6% to 15.6%" in compot["hovertemplate"]
    axis = figure["layout"]["xaxis"]
    assert ("type" in axis, axis["rangemode"], axis["title"]["text"]) == (False, "tozero", "word error rate")
    assert figure["layout"]["shapes"][0]["x0"] == 0.074
    assert figure["layout"]["meta"]["label"] == "Word error rate at this budget"
    assert figure_of(quality.view(compare_info(comparison(run("svd", "uniform", 0.2, 30.0)), 0.2), WORDS))["layout"][
        "xaxis"
    ]["type"] == ("log")


def test_a_comparison_of_word_error_rates_is_told_in_words() -> None:
    view = quality.view(INFO, WORDS)
    assert view.title == "Word error rate at this budget"
    assert view.summary == (
        "At 20% removed, Fisher-weighted COMPOT (Fisher) is best at 8.3% word error rate, dense 7.4%; SVD-LLM "
        "(uniform) is worst at 33.3%."
    )
    alone = quality.view(compare_info(speech_comparison(SPOKEN.runs[-1]), 0.3), WORDS)
    assert alone.summary == "Fisher-weighted COMPOT (Fisher) measures 10.5% word error rate, dense 7.4%."
    russian = quality.view(INFO, words("ru"))
    assert "8,3\u202f% против 7,4\u202f% без сжатия" in russian.summary and "перплекси" not in russian.summary


def test_the_table_has_the_rates_and_no_column_of_a_language_model() -> None:
    table = quality.table(INFO, WORDS)
    assert table.headers[2:] == (
        "Word error rate",
        "95% interval, low",
        "95% interval, high",
        "Raw word error rate",
        "Character error rate",
        "Substitutions",
        "Deletions",
        "Insertions",
        "Real-time factor",
        "Removed (sites)",
        "Removed (whole model)",
        "Compress (s)",
        "Remark",
    )
    dense, _, compot, _ = table.rows
    assert dense[:2] == ("dense", "") and dense[7:] == (5, 3, 1, 0.1, 0.0, 0.0, None, "")
    assert dense[2:7] == pytest.approx((0.074, 0.054, 0.104, 0.174, 0.074 / 3))
    assert compot[2:7] == pytest.approx((0.126, 0.106, 0.156, 0.226, 0.042))
    assert compot[7:] == (6, 4, 2, 0.08, 0.201, 0.1, 12.0, "")
    assert {table.headers[i] for i in table.shares} == {*table.headers[2:7], *table.headers[11:13]}
    assert {len(row) for row in table.rows} == {len(table.headers)}


def test_seeds_of_a_word_error_rate_are_shares() -> None:
    runs = (speech_run("compot", "uniform", 0.2, 0.126), speech_run("compot", "uniform", 0.2, 0.14, seed=1))
    view = quality.view(compare_info(speech_comparison(*runs), 0.2), WORDS)
    assert any("word error rate 12.6% to 14%<br>over 2" in str(t.get("hovertemplate")) for t in figure_of(view)["data"])
    assert view.table is not None
    assert {"Over seeds, low", "Over seeds, high"} <= {view.table.headers[i] for i in view.table.shares}


def test_without_an_interval_there_is_no_bar_and_no_claim() -> None:
    lone = speech_run("compot", "uniform", 0.2, 0.126, wer_low=None, wer_high=None)
    _, point = figure_of(quality.view(compare_info(speech_comparison(lone), 0.2), WORDS))["data"]
    assert (point["error_x"]["array"], point["error_x"]["arrayminus"]) == ([0.0], [0.0])
    assert "interval" not in point["hovertemplate"]


def test_a_run_is_headed_by_its_word_error_rate() -> None:
    panel = compare.RunPanel.__new__(compare.RunPanel)
    panel.words = WORDS
    assert panel._title(SPOKEN.runs[1]) == "**COMPOT · uniform**  \nword error rate 12.6%"
    assert panel._title(run("compot", "uniform", 0.2, 26.0)) == "**COMPOT · uniform**  \nperplexity 26.0"
    assert compare._intro(INFO, WORDS) == (
        "Any methods at one budget and one set of calibration recordings, on tiny-whisper. Judged on some speech, "
        "greedy decoding, English normaliser."
    )
    assert compare.first_of(compare_budgets(0.1, 0.2, 0.4)) == compare.Budget("m", 0.2)
    assert compare.first_of([]) is None


def test_what_was_measured_and_left_out_is_said_in_the_language_of_the_page() -> None:
    convention = (
        "word error rate after Whisper's English normaliser, greedy decoding of windows of at most 30 seconds, at most "
        "224 tokens each"
    )
    left_out = ("hum is left out: its transcript has no words.", "a.wav holds no sound (0 seconds): record it again.")
    dense = replace(SPOKEN.dense, convention=convention, left_out=left_out)
    info = compare_info(replace(SPOKEN, dense=dense), 0.2)
    assert compare._intro(info, WORDS).endswith(f"{convention}. {' '.join(left_out)}")
    said = compare._intro(info, words("ru"))
    assert "доля ошибочных слов (WER) с нормализатором Whisper (английский), жадное декодирование" in said
    assert said.endswith(
        ". Запись hum пропущена: в её расшифровке нет слов. В записи a.wav нет звука (0 с): запишите её заново."
    )
    status = progress_html(Progress("run", 0, 2, "dense: word error rate 7.4%"), words("ru"))
    assert "исходная модель: доля ошибочных слов 7,4\u202f%" in status


def compare_budgets(*fractions: float) -> list[compare.Budget]:
    return [compare.Budget("m", fraction) for fraction in fractions]


# --- Explore: two stacks of blocks ---

LABELS = ["enc.self.q", "enc.self.k", "enc.self.v", "enc.self.out", "enc.fc1", "enc.fc2"]
LABELS += [f"dec.{kind}.{each}" for kind in ("self", "cross") for each in ("q", "k", "v", "out")] + [
    "dec.fc1",
    "dec.fc2",
]


def test_labels_of_two_stacks_are_short_and_unlike() -> None:
    assert short_projections(WHISPER.model.projections) == LABELS
    assert len(set(LABELS)) == 16 and max(map(len, LABELS)) <= 13


def test_every_one_of_sixteen_rows_is_named_and_has_room() -> None:
    heat = figure_of(View(heatmap.figure(WHISPER.model, WORDS), "", None))["layout"]
    bars = figure_of(View(budget.figure(WHISPER.model, WORDS), "", None))["layout"]
    stored = figure_of(native.view(native_info(SPOKEN.runs[0]), WORDS.about(True)))["layout"]
    errors = figure_of(site_errors.view(SPOKEN.runs[0], WORDS.about(True)))["layout"]
    assert heat["yaxis"]["categoryarray"] == LABELS
    for drawn, rows, room in ((heat, 16, 20), (bars, 17, 22), (stored, 16, 16), (errors, 16, 16)):
        assert drawn["yaxis"]["dtick"] == 1 and drawn["height"] >= rows * room + 90
    for drawn in (heat, stored, errors):
        assert drawn["xaxis"]["title"]["text"] == "block (index in its stack)" and drawn["xaxis"]["dtick"] == 1
    plain = figure_of(View(heatmap.figure(MODEL, WORDS), "", None))["layout"]
    assert (plain["height"], plain["xaxis"]["title"]["text"]) == (310, "block (index)")
    assert "dtick" not in plain["yaxis"]


def test_a_block_of_one_stack_is_pinned_and_not_its_namesake() -> None:
    by_name = {site.name: site for site in WHISPER.model.sites}
    assert by_name["model.decoder.layers.1.encoder_attn.k_proj"].block_path == "model.decoder.layers.1"
    assert by_name["model.encoder.layers.0.fc1"].block_path == "model.encoder.layers.0"
    assert {site.block_path for site in MODEL.sites} == {"model.layers.0", "model.layers.1"}
    eleventh = replace(by_name["model.encoder.layers.0.fc1"], block=11, name="model.encoder.layers.11.fc1")
    assert eleventh.block_path == "model.encoder.layers.11"


def test_a_forecast_of_transcripts_does_not_pass_for_a_word_error_rate() -> None:
    report = transcript_forecast("compot", "fisher", 0.01)
    view = forecast.view([report], 0, 0.2, WORDS)
    drawn = figure_of(view)
    assert view.title == drawn["layout"]["meta"]["label"] == "Forecast: the perplexity of the transcript"
    assert drawn["layout"]["yaxis"]["title"]["text"] == "perplexity of the transcript (log axis)"
    assert view.summary == (
        "At 20% removed the forecast for COMPOT (Fisher) is perplexity 1.45 of the transcript under teacher forcing."
    )
    assert "dense 1.25" in [trace.get("name") for trace in drawn["data"]]
    assert 1.5 in drawn["layout"]["yaxis"]["tickvals"], "the axis of a language model starts at 10"
    assert view.table is not None and "Perplexity of the transcript" in view.table.headers


def test_why_there_is_no_forecast_is_said_in_russian() -> None:
    problem = "the measured change does not grow with the removed fraction"
    view = forecast.view([transcript_forecast("compot", "fisher", 0.01, problem)], 0, 0.2, words("ru"))
    assert view.table is not None
    assert "измеренное изменение не растёт вместе с долей удалённых весов" in {row[-1] for row in view.table.rows}


def test_the_page_keeps_forecast_and_measurement_apart() -> None:
    names = {"method": ("compot",), "policy": ("uniform",)}
    value = json.loads(slider_value(slider_view(WHISPER, SPOKEN), [], MODEL_ID, names, WORDS))
    assert value["apart"] is True and value["dense_quality"] == 0.074
    assert value["measured"]["compot-fisher|fisher"]["quality"] == [0.083, 0.105]
    assert (value["kinds"]["quality"], value["kinds"]["perplexity"]) == ("percent", "number2")
    assert value["sentences"]["measured.sentence"].startswith("No forecast") and "word error rate" in str(value)
    plain = json.loads(slider_value(slider_view(ANALYSIS, comparison()), [], "tiny", names, WORDS))
    assert plain["apart"] is False and plain["kinds"]["quality"] == plain["kinds"]["perplexity"] == "perplexity"


def test_a_heading_follows_the_model() -> None:
    panel = ChartPanel.__new__(ChartPanel)
    panel.hint, panel.live_summary, panel.live_table, panel.titled, panel.title = "", "", "", True, "a title"
    view = quality.view(INFO, WORDS)
    assert panel.updates(view)[0] == "## Word error rate at this budget"
    assert (panel.cleared()[0], panel.cleared("another")[0]) == ("## a title", "## another")


# --- engine ---


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the default model's gallery, one of a speech model, and one that does not read."""
    evidence = WHISPER_EVIDENCE
    forecasts = (transcript_forecast("compot", "fisher", 0.01),)
    nothing = replace(SPOKEN, runs=())
    save_gallery(tmp_path / MODEL_ID, Gallery(WHISPER, SPOKEN, nothing, (), METHODS, forecasts, evidence))
    dense = replace(comparison(run("compot", "uniform", 0.2, 26.0)), model_id="tiny")
    save_gallery(tmp_path / "first", Gallery(ANALYSIS, dense, replace(dense, runs=()), (), METHODS, (), evidence))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "analysis.json").write_text("{}")
    monkeypatch.setattr(engine, "ASSETS", tmp_path / "first")
    monkeypatch.setattr(engine, "_views", engine.Recent(8))
    yield tmp_path


def test_each_model_has_its_own_gallery(assets: Path) -> None:
    assert engine.default_model_id() == "tiny"
    assert engine.analysis_of(MODEL_ID) == WHISPER and engine.analysis_of("tiny") == ANALYSIS
    assert engine.comparison_of(MODEL_ID) == SPOKEN and engine.comparison_of("tiny").dense.quality == 23.26
    assert [each.is_speech for each in engine.forecasts_of(MODEL_ID)] == [True]
    assert engine.evidence_of(MODEL_ID).curves == WHISPER_EVIDENCE.curves
    view = engine.view_of(MODEL_ID)
    assert view is not None and view.dense_quality == 0.074
    assert engine.method_names() == ("compot", "asvd", "cospadi", "dobi-svd"), "the first gallery's"
    assert engine.pattern_of(MODEL_ID, WHISPER.model.sites[0].name) is None


@pytest.mark.parametrize("name", ["broken", "missing", "", ".", "..", "../tiny", f"./{MODEL_ID}", "first"])
def test_what_a_link_calls_a_model_is_compared_and_never_opened(
    assets: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    load = galleries.load_gallery
    galleries.read_gallery.cache_clear()
    monkeypatch.setattr(galleries, "load_gallery", lambda folder: opened.append(folder) or load(folder))
    assert engine.gallery(name) is None and engine.analysis_of(name) is None and engine.comparison_of(name) is None
    assert set(opened) <= {assets / "first", assets / "broken"}


def test_without_galleries_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ASSETS", tmp_path / "nowhere" / "first")
    assert engine.gallery() is None and engine.gallery(MODEL_ID) is None
    assert engine.seconds_for(MODEL_ID, "compot", "uniform", 0.2, "transcribe") is None


def test_what_learns_from_text_is_not_offered_for_speech(assets: Path) -> None:
    assert engine.live_methods(MODEL_ID) == ("compot", "asvd", "cospadi")
    assert engine.fast_methods(MODEL_ID) == ("compot",), "the policy of asvd measures text"
    assert engine.fast_methods() == engine.fast_methods("tiny") == ("compot", "asvd")
    assert engine.live_methods("tiny") == engine.method_names()
    assert set(engine.live_policies("tiny")) - set(engine.live_policies(MODEL_ID)) == {
        "sensitivity",
        "learned",
        "gates",
    }


def test_a_speech_model_is_compared_on_recordings(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = SimpleNamespace(
        compare=lambda recipes, name: ("text", recipes, name),
        compare_speech=lambda recipes, name: ("speech", recipes, name),
    )
    monkeypatch.setattr(engine, "workbench", lambda: bench)
    recipes = (Recipe(MODEL_ID, "compot"),)
    assert engine.compare(MODEL_ID, recipes) == ("speech", recipes, "cards")
    assert engine.compare("tiny", recipes) == ("text", recipes, "sotu-evaluation")


def test_what_is_measured_so_far_can_be_shown(assets: Path) -> None:
    partial = Progress("run", 1, 2, "", SPOKEN.runs[0]).partial
    assert isinstance(partial, SpeechRun)
    unfinished = engine.unfinished_comparison(MODEL_ID, transcription(0.074), [partial])
    assert isinstance(unfinished, SpeechComparison)
    assert compare_info(unfinished, 0.2).rows == (partial,)
    assert compare_info(
        engine.unfinished_comparison("tiny", comparison().dense, [run("svd", "uniform", 0.2, 9.0)]), 0.2
    )


def test_time_is_told_from_the_model_itself_or_from_one_of_its_kind(assets: Path) -> None:
    own = engine.seconds_for(MODEL_ID, "dense", "uniform", 0.2, "transcribe")
    assert own == pytest.approx(3.0 + 30 * 0.1), "loading, and half a minute of speech at a real-time factor of 0.1"
    assert engine.seconds_for("openai/whisper-small", "dense", "uniform", 0.2, "transcribe") == own
    assert engine.seconds_for(MODEL_ID, "dense", "uniform", 0.2, "perplexity") is None
    assert engine.seconds_for("tiny", "dense", "uniform", 0.2, "transcribe") is None
    assert (engine.seconds_for("tiny", "dense", "uniform", 0.2, "perplexity") or 0) > 3
    (live,) = engine.seconds_to_compare(MODEL_ID, ["compot"], "uniform", 0.2, 1)
    assert live == pytest.approx(3.0 + 0.75 + 20 + 12 + 6), "loading, dense, calibration, compressing, decoding"


def test_explore_shows_a_speech_model_from_its_gallery(assets: Path) -> None:
    heat, site, bars, foretold = explore.views_of(MODEL_ID, None, WORDS)
    assert heat is not None and site is not None and bars is not None and foretold is not None
    assert foretold.title == "Forecast: the perplexity of the transcript"
    value = json.loads(explore.data_of(MODEL_ID, engine.view_of(MODEL_ID), WORDS))
    assert value["projections"] == LABELS and len(value["bar_labels"]) == 17
    (told,) = value["forecasts"].values()
    assert "predicted perplexity of the transcript" in told["sentence"] and told["dense"] == 1.25
    assert f"on the part of {RECORDINGS.name} kept apart" in told["note"]


def test_the_sample_is_shaped_as_the_real_one() -> None:
    model = whisper(4, 384)[0].model
    assert (len(model.sites), len(model.projections), model.blocks) == (64, 16, (0, 1, 2, 3))
    assert model.site_at(3, "decoder.encoder_attn.k_proj").name == "model.decoder.layers.3.encoder_attn.k_proj"
