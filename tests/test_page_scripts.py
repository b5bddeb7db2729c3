"""The page's own scripts, run as they are: what they write, draw and list, beside what Python would have said.

They run in the Node.js that Playwright brings along, in front of a stand-in for the browser (`page_stand_in.js`).
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import string
import subprocess
from array import array
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samples import (
    ANALYSIS,
    DOWN,
    EVIDENCE,
    MODEL,
    Q1,
    SITES,
    SMALL,
    SPOKEN,
    WHISPER,
    Q,
    comparison,
    forecast_report,
    run,
    transcript_forecast,
)

from compression.slider import SLIDER, SliderView, lost_energies, pinned_view, slider_view
from views import engine
from views.address import Address, read_address
from views.figures import budget, forecast, heatmap, spectrum
from views.live_chart import figure_value
from views.scripts import NAMES, STATIC
from views.slider_data import BUILTIN, CARD_PARTS, CARDS, KINDS, PERPLEXITY_CARDS, SENTENCES, UNITS, slider_value
from views.texts import LANGUAGES, TABLES, Words, words
from views.widgets import Table, table_value

WORDS = words("en")
SOURCES = {name: (STATIC / f"{name}.js").read_text(encoding="utf-8") for name in NAMES}
METHODS, POLICIES = ("compot", "svd", "compot-fisher"), ("uniform", "pooled", "fisher")
RUNS = (
    run("compot", "uniform", 0.2, 26.06),
    run("compot", "pooled", 0.2, 25.04),
    run("compot", "uniform", 0.4, 36.0),
    run("compot", "pooled", 0.4, float("inf")),
    run("svd", "uniform", 0.1, 1234.6),
    run("svd", "fisher", 0.6, 90.0),
)
REPORTS = [
    forecast_report("compot-fisher", "fisher", 1.0),
    forecast_report("svd", "pooled", 1e6, "too much; at most 2.5"),
]
VIEW = slider_view(ANALYSIS, comparison(*RUNS))
PINS = ((Q.name, 0.9), (SMALL.name, 0.0))
PINNED = pinned_view(ANALYSIS, EVIDENCE, PINS, "pooled", 0.3, comparison(*RUNS))
START = {"method": "compot", "policy": "pooled", "ratio": "0.2"}


def value_of(view: SliderView | None, language: str = "en", reports: Any = REPORTS) -> str:
    return slider_value(view, reports, "tiny", {"method": METHODS, "policy": POLICIES}, words(language))


@lru_cache
def node() -> str:
    """Playwright's Node.js, else the machine's."""
    try:
        import playwright

        (driver,) = (Path(playwright.__file__).parent / "driver").glob("node*")
        return str(driver)
    except (ImportError, ValueError):
        found = shutil.which("node")
    if found is None:
        pytest.skip("no Node.js (pip install -r tests/requirements.txt)")
    return found


def job(steps: list[tuple[str, Any]], **given: Any) -> SimpleNamespace:
    """Let the scripts do `steps`; see `page_stand_in.js`."""
    start = {"scripts": [str(STATIC / f"{name}.js") for name in NAMES], "start": START, "search": "", "figures": {}}
    made = subprocess.run(
        [node(), str(Path(__file__).parent / "page_stand_in.js")],
        input=json.dumps({**start, "tables": [], "written": [], **given, "steps": steps}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    return SimpleNamespace(**json.loads(made.stdout))


def after(*steps: tuple[str, Any], view: SliderView | None = VIEW, language: str = "en", **given: Any) -> Any:
    """What there is after the last step."""
    return SimpleNamespace(**job([("start", value_of(view, language)), *steps], **given).answers[-1])


def drawn(figure: Any) -> Any:
    return json.loads(figure_value(figure))


def figures(site: Any = DOWN) -> dict[str, Any]:
    """All that follow the slider, as they leave Python."""
    seen = spectrum.view(ANALYSIS.spectrum_of(site.name), lost_energies(ANALYSIS, site), WORDS).figure
    return {
        "heatmap": drawn(heatmap.figure(MODEL, WORDS)),
        "spectrum": drawn(seen),
        "budget": drawn(budget.figure(MODEL, WORDS)),
        "forecast-chart": drawn(forecast.view(REPORTS, 0, 0.2, WORDS).figure),
    }


# --- what the scripts are made of ---


def without_comments(source: str) -> str:
    return re.sub(r"/\*.*?\*/|(^|(?<=\s))//[^\n]*", "", source, flags=re.S | re.M)


PLACES = {"core": ("i % 2 ===",), "slider": ("subarray(index() * count, (index() + 1) * count)",)}
"""All that is multiplied or divided: every other part of a text is code, and where a row of cells begins and ends."""


@pytest.mark.parametrize("name", NAMES)
def test_scripts_compute_nothing(name: str) -> None:
    """Distances on the screen may be rounded; numbers of the engine are looked up, written and compared."""
    source = without_comments(SOURCES[name])
    assert set(re.findall(r"Math\.(\w+)", source)) <= {"abs", "round"}
    assert "**" not in source
    for part in PLACES.get(name, ()):
        assert part in source
        source = source.replace(part, "")
    assert re.findall(r"\S+ [*/%]=? \S+", source) == []


def test_every_script_is_served_and_every_sentence_of_the_page_is_used() -> None:
    assert {path.stem for path in STATIC.glob("*.js")} == set(NAMES)
    source = "\n".join(map(without_comments, SOURCES.values()))
    literal = set(re.findall(r"'([a-z]+\.[a-z_]+)'", source))
    (pattern,) = re.findall(r"`(unit\.\$\{state\.unit\}_sentence)`", source)
    asked = literal | {pattern.replace("${state.unit}", unit) for unit in UNITS}
    assert asked == set(SENTENCES)
    calls = re.findall(r"explorer\.sentence\(\s*([^,]+),", source)
    plain = r"'[a-z_.]+'|key|`unit\.\$\{state\.unit\}_sentence`|\w+(\[1\])? === null \? '[a-z_.]+' : '[a-z_.]+'"
    assert [call for call in calls if not re.fullmatch(plain, call)] == [], "keys that this test cannot see"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_the_page_fills_in_is_there_in_every_language(language: str) -> None:
    keys = {*SENTENCES, *(f"card.{key}{part}" for key in CARDS for part in CARD_PARTS)}
    keys |= {f"card.perplexity_{key}{part}" for key in PERPLEXITY_CARDS for part in CARD_PARTS}
    assert keys <= TABLES[language].keys()


# --- fields ---

CONSTANTS = {"original_mib", "original_bits", "site_weights", "dense_flops", "count"}
POSITION = {"removed", "whole", "stored_mib", "stored_bits", "factor", "removed_weights", "least", "most", "dense"}
POSITION |= {"low_rank_flops", "dictionary_flops"}
KNOWN = CONSTANTS | POSITION
NAMED = {"method", "policy", "removed"}
CELL = {"block", "projection", "shape", "site", "removed", "rank", "atoms", "nonzeros"}
OF_SITE = {"site", "full", "break_even", "effective", "rank", "removed", "lost"}
BAND = {"perplexity", "low", "high"}
POINT = {"at", "quality", "dense_quality"}
PROVIDED: dict[str, set[str]] = {
    "heatmap.summary": KNOWN | NAMED | {"site"},
    "heatmap.summary_even": KNOWN | NAMED | {"site"},
    "heatmap.hover": CELL,
    "heatmap.hover_dense": CELL,
    "heatmap.hover_uniform": {"removed"},
    "heatmap.hover_pinned": set(),
    "heatmap.cell": CELL,
    "spectrum.rank": {"rank"},
    "spectrum.summary": OF_SITE,
    "spectrum.summary_dense": OF_SITE,
    "budget.summary": KNOWN,
    "explore.impossible": {"smallest", "largest", "removed"},
    "measured.sentence": NAMED | POINT,
    "measured.none": NAMED,
    "measured.beside": NAMED | POINT,
    "difference.same": set(),
    "difference.none": NAMED,
    "difference.measured": NAMED | POINT | {"uniform"},
    **{f"unit.{unit}_sentence": KNOWN for unit in UNITS},
    **{f"card.{key}{part}": KNOWN for key in CARDS for part in CARD_PARTS},
    **{f"card.perplexity_predicted{part}": NAMED | BAND | {"dense_perplexity"} for part in CARD_PARTS},
    **{f"card.perplexity_measured{part}": NAMED | POINT for part in CARD_PARTS},
    **{f"card.perplexity_none{part}": NAMED for part in CARD_PARTS},
}
"""Text → the fields that `slider.js` gives it."""


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_placeholder_is_a_field_that_the_page_has(language: str) -> None:
    value = json.loads(value_of(VIEW, language))
    texts = dict(value["sentences"])
    texts |= dict(zip((f"card.{k}{p}" for k in CARDS for p in CARD_PARTS), sum(value["cards"], []), strict=True))
    for key, parts in value["perplexity_cards"].items():
        texts |= dict(zip((f"card.perplexity_{key}{part}" for part in CARD_PARTS), parts, strict=True))
    assert texts.keys() == PROVIDED.keys()
    assert {key: fields(text) - PROVIDED[key] for key, text in texts.items() if fields(text) - PROVIDED[key]} == {}
    for report in value["forecasts"].values():
        assert fields(report["sentence"]) | fields(report.get("beyond", "")) <= NAMED | BAND
    assert KINDS.keys() <= set().union(*PROVIDED.values()), "no kind is idle"


def test_the_value_holds_what_the_scripts_read() -> None:
    value = json.loads(value_of(VIEW))
    read = set(re.findall(r"explorer\.data\.(\w+)", "".join(SOURCES.values())))
    read |= set(re.findall(r"\bdata\.(\w+)", SOURCES["core"]))
    for names in re.findall(r"\{([\w, ]+)\} = explorer\.data;", SOURCES["slider"]):
        read |= set(names.split(", "))
    assert read == value.keys()
    assert value["constants"].keys() == CONSTANTS
    for table in value["tables"].values():
        assert len(table["positions"]) == len(value["slider"]) == 96
        for position in table["positions"]:
            assert position.keys() == POSITION | {"most_site", "bars"}
    absent = json.loads(value_of(None))
    assert absent.keys() == {"language", "group", "none", "model", "kinds", "slider", "methods", "policies"} | {
        "builtin",
        "forecasts",
        "no_forecast",
        "sentences",
    }


def test_cells_are_places_in_the_list_of_sizes() -> None:
    for view in (VIEW, PINNED):
        value = json.loads(value_of(view))
        for table in view.tables:
            cells = array("H", base64.b64decode(value["tables"][table.policy]["cells"]))
            assert len(cells) == 96 * len(SITES)
            for place, position in enumerate(table.positions):
                row = cells[place * len(SITES) : (place + 1) * len(SITES)]
                assert position is None or tuple(row) == position.sizes
        assert [size[0] for size in value["sizes"]] == [size.removed_fraction for size in view.sizes]


# --- numbers ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_are_written_as_python_writes_them(language: str) -> None:
    said = words(language)
    shares = (0, 0.2, 0.205, 0.3333, 0.07, 0.95, 1)
    expected = {("percent", share): said.percent(share) for share in shares}
    expected |= {("percent2", share): said.percent(share, 2) for share in (0, 0.2, 0.3333, 0.07, 0.20056, 1)}
    expected |= {("number1", 7.25001): said.number(7.25001), ("number2", 1.3): said.number(1.3, 2)}
    expected |= {("number0", count): said.number(count, 0) for count in (0, 999, 1234, 12_345_678)}
    expected |= {("perplexity", value): said.number(value) for value in (9.96, 23.2, 999.9, 1234.6, 2_143_368)}
    expected |= {("cell", value): said.number(value, 0) for value in (0, 7, 1536, 2_143_368)}
    expected |= {("cell", value): said.number(value) for value in (123.46, 1234.6)}
    expected |= {("cell", value): said.significant(value, 4) for value in (0.5, 12.345678, 0.012341)}
    expected |= {("mebibytes", value): said.number(value, 2) for value in (0.08, 9.0, 99.99)}
    expected |= {("mebibytes", value): said.number(value, 0) for value in (256.6, 12_345.6)}
    expected |= {("percent", None): said("card.none"), ("cell", "∞"): "∞", ("of no kind", 12345): said.number(12345, 0)}
    made = job([("start", value_of(VIEW, language))], written=list(expected))
    assert dict(zip(expected, made.written, strict=True)) == expected
    assert set(KINDS.values()) <= {kind for kind, _ in expected} | {"compact"}


def test_large_numbers_are_short() -> None:
    written = [("compact", value) for value in (0, 640_000, 134_515_008, 2.5e12)]
    assert job([("start", value_of(VIEW))], written=written).written == ["0", "640K", "134.5M", "2.5T"]
    assert job([("start", value_of(VIEW, "ru"))], written=written[2:3]).written == ["134,5\u202fмлн"]


# --- sentences ---


def at(policy: str, ratio: float, view: SliderView = VIEW) -> Any:
    table = next(each for each in view.tables if each.policy == policy)
    return table.positions[SLIDER.index(ratio)]


def percent(share: float) -> str:
    """As the table holds it and the page writes it: to four digits, then half a tenth of a per cent upwards."""
    return WORDS.percent(round(share, 4) + 1e-9)


def compact(value: float) -> str:
    return f"{value / 1e6:.4g}M" if value >= 1e6 else f"{value / 1e3:.4g}K"


def test_the_ratio_is_said_in_every_unit() -> None:
    steps = [("set", {"unit": unit}) for unit in UNITS]
    made = job([("start", value_of(VIEW)), *steps])
    said = dict(zip(UNITS, (answer["said"]["meaning"] for answer in made.answers[1:]), strict=True))
    here = at("pooled", 0.2)
    low_rank, dictionary, dense = map(compact, (here.low_rank_flops, here.dictionary_flops, VIEW.dense_flops))
    stored = here.budget.stored_bits
    assert said == {
        "weights": f"{percent(here.budget.site_removed_fraction)} of the compressible weights go: "
        f"{compact(here.removed_weights)} of {compact(MODEL.site_weights)}. Embeddings, norms and biases stay.",
        "bits": f"The whole model is stored in {compact(stored)} bits instead of 640K, 16 for each value.",
        "bytes": f"On disk the whole model takes {stored / 8 / 2**20:.2f} MiB instead of 0.08 MiB.",
        "factor": f"The whole model becomes smaller by the factor {640_000 / stored:.2f}.",
        "whole": f"Of the whole model, embeddings included, {percent(1 - stored / 640_000)} goes.",
        "flops": f"For each token the compressible layers need {low_rank} FLOPs as low-rank layers, {dictionary} as "
        f"dictionaries with their zeros skipped, {dense} dense.",
    }


def test_the_heatmap_and_the_budget_are_said_in_a_sentence() -> None:
    here, answer = at("pooled", 0.2), after()
    shares = [VIEW.sizes[cell].removed_fraction for cell in here.sizes]
    most = SITES[shares.index(max(shares))].name
    assert answer.said["heatmap"] == (
        f"The pooled policy removes between {percent(min(shares))} and {percent(max(shares))} of a site, "
        f"most from {most}; {shares.count(0)} of 4 sites stay dense."
    )
    removed, whole = here.budget.site_removed_fraction, here.budget.whole_model_removed_fraction
    assert answer.said["budget"] == (
        f"Removing {percent(removed)} of the compressible weights takes the whole model from 0.08 to "
        f"{here.budget.stored_mib:.2f} MiB ({percent(whole)} less), because embeddings, norms and "
        "biases stay dense."
    )
    even = after(("set", {"policy": "uniform", "ratio": "0.37"}))
    assert even.said["heatmap"] == "The uniform policy removes 37% of each of the 4 sites."


def test_the_site_is_said_in_a_sentence() -> None:
    answer = after(("set", {"policy": "uniform", "ratio": "0.5"}), figures=figures(DOWN))
    losses = {row.rank: row.lost_energy for row in lost_energies(ANALYSIS, DOWN)}
    effective = WORDS.number(ANALYSIS.spectrum_of(DOWN.name).effective_rank)
    assert answer.said["spectrum"] == (
        f"At 50% removed, {DOWN.name} keeps rank 21 of 64 (effective rank {effective}) and loses "
        f"{WORDS.percent(losses[21], 2)} of its output energy; above rank 42 two factors are larger than the weight "
        "itself."
    )
    assert answer.code == [DOWN.name], "names of sites are code"
    dense = after(("set", {"ratio": "0"}), figures=figures(DOWN))
    assert dense.said["spectrum"] == (
        f"{DOWN.name} stays dense here (effective rank {effective}); two factors would save storage only up to rank 42 "
        "of 64."
    )


def test_the_forecast_is_said_as_far_as_it_reaches() -> None:
    chosen = {"method": "compot-fisher", "policy": "fisher"}
    near, far = after(("set", chosen)), after(("set", chosen | {"ratio": "0.61"}))
    assert near.said["forecast"] == (
        "At 20% removed, Fisher-weighted COMPOT with policy Fisher: predicted perplexity 40.0 (30.0 to 60.0), "
        "dense 20.0."
    )
    assert near.cards[-1] == ["Predicted perplexity", "40.0", "30.0 to 60.0 · dense 20.0"]
    assert "in brackets the 95% band" in near.said["forecast-note"]
    assert far.said["forecast"] == (
        "The forecast for Fisher-weighted COMPOT with policy Fisher reaches to 60% removed; at 61% there is none."
    )
    assert far.cards[-1] == ["Perplexity", "—", "neither forecast nor measurement"]
    problem = after(("set", {"method": "svd", "policy": "pooled"}))
    assert problem.said["forecast"].startswith("No forecast for SVD with policy pooled: too much; at most 2.5. The")
    assert "in brackets" not in problem.said["forecast-note"] and "kept apart" in problem.said["forecast-note"]


def test_without_a_forecast_the_nearest_measurement_is_said_with_its_own_budget() -> None:
    measured = after()
    assert measured.said["forecast"] == (
        "No forecast for COMPOT with policy pooled. Measured at 20% removed: perplexity 25.0, dense 23.3."
    )
    assert (measured.said["forecast-note"], measured.cards[-1]) == (
        "",
        ["Measured perplexity", "25.0", "at 20% removed · dense 23.3"],
    )
    endless = after(("set", {"ratio": "0.9"}))
    assert endless.said["forecast"].endswith("Measured at 40% removed: perplexity —, dense 23.3.")
    thousands = after(("set", {"method": "svd", "policy": "uniform"}))
    assert thousands.said["forecast"].endswith("Measured at 10% removed: perplexity 1\u202f235, dense 23.3.")
    nothing = after(("set", {"method": "compot", "policy": "fisher"}))
    assert nothing.said["forecast"].startswith("Neither a forecast nor a measurement for COMPOT with policy Fisher")
    assert nothing.cards[-1] == ["Perplexity", "—", "neither forecast nor measurement"]
    blank = after(view=slider_view(ANALYSIS, None))
    assert "python -m compression predict tiny" in blank.said["forecast"]


def spoken(*steps: tuple[str, Any], language: str = "en") -> Any:
    """What there is of a speech model after the last step; one setting has a forecast."""
    reports = [transcript_forecast("compot-fisher", "fisher", 0.01)]
    value = value_of(slider_view(WHISPER, SPOKEN), language, reports)
    return SimpleNamespace(**job([("start", value), *steps]).answers[-1])


def test_of_a_speech_model_the_measured_word_error_rate_stands_beside_the_forecast_of_its_transcripts() -> None:
    chosen = ("set", {"method": "compot-fisher", "policy": "fisher"})
    told = spoken(chosen)
    assert told.said["forecast"] == (
        "At 20% removed, Fisher-weighted COMPOT with policy Fisher: predicted perplexity of the transcript 1.45 "
        "(1.35 to 1.65), dense 1.25. Measured at 20% removed: word error rate 8.3%, dense 7.4%."
    )
    assert told.said["forecast-note"].endswith("in brackets the 95% band. It is not a word error rate.")
    assert told.cards[-2:] == [
        ["Predicted perplexity of the transcript", "1.45", "1.35 to 1.65 · dense 1.25"],
        ["Measured word error rate", "8.3%", "at 20% removed · dense 7.4%"],
    ]
    farther = spoken(chosen, ("set", {"ratio": "0.29"}))
    assert farther.said["forecast"].endswith("Measured at 30% removed: word error rate 10.5%, dense 7.4%.")
    plain = spoken(("set", {"method": "compot", "policy": "uniform"}))
    assert plain.said["forecast"] == (
        "No forecast for COMPOT with policy uniform. Measured at 20% removed: word error rate 12.6%, dense 7.4%."
    )
    assert plain.cards[-1] == ["Measured word error rate", "12.6%", "at 20% removed · dense 7.4%"]
    nothing = spoken(("set", {"method": "svd", "policy": "uniform"}))
    assert nothing.cards[-1] == ["Word error rate", "—", "not measured, and nothing forecast"]
    russian = spoken(chosen, language="ru")
    assert "доля ошибочных слов 8,3\u202f%, без сжатия 7,4\u202f%" in russian.said["forecast"]


def test_sites_of_two_stacks_are_told_apart_by_keyboard() -> None:
    here = ("set", {"site": "model.encoder.layers.0.fc2", "policy": "uniform"})
    down = spoken(here, ("press", "ArrowDown"))
    assert down.said["heatmap-cell"] == "Block 0, dec.self.q: 20% removed."
    right = spoken(here, ("press", "ArrowDown"), ("press", "ArrowRight"))
    assert right.said["heatmap-cell"] == "Block 1, dec.self.q: 20% removed."


def test_the_gain_over_uniform_is_said_only_where_both_were_measured_at_one_budget() -> None:
    difference = ("set", {"difference": True})
    assert after().said["uniform"] == ""
    assert after(difference).said["uniform"] == (
        "Measured at 20% removed with COMPOT: perplexity 25.0 under policy pooled, 26.1 under uniform."
    )
    assert after(difference, ("set", {"policy": "uniform"})).said["uniform"].startswith("This is the uniform policy")
    unknown = "was not measured under both policies, so the gain over uniform is not known."
    assert after(difference, ("set", {"policy": "fisher"})).said["uniform"] == f"COMPOT {unknown}"
    apart = after(difference, ("set", {"method": "svd", "policy": "fisher"}))
    assert apart.said["uniform"] == f"SVD {unknown}", "uniform was measured at 10 %, fisher at 60 %"


def test_the_cards_are_the_headline_figures() -> None:
    here = at("pooled", 0.2)
    stored, original = here.budget.stored_bits, 640_000
    removed, whole = here.budget.site_removed_fraction, here.budget.whole_model_removed_fraction
    assert after().cards == [
        ["Weights removed", percent(removed), f"{percent(whole)} of the whole model"],
        ["Whole model", f"0.08 → {here.budget.stored_mib:.2f} MiB", "planned, 16 bits a stored value"],
        ["Stored bits", compact(stored), "of the whole model"],
        ["Compression factor", f"{original / stored:.2f} ×", "whole model, before ÷ after"],
        [
            "FLOPs a token, low rank",
            compact(here.low_rank_flops),
            f"dense {compact(VIEW.dense_flops)}, compressible layers",
        ],
        ["Measured perplexity", "25.0", "at 20% removed · dense 23.3"],
    ]
    assert after(view=None).cards_hidden and not after().cards_hidden


def test_pins_that_leave_no_way_are_said_with_what_is_possible() -> None:
    least = 0.9 * 4096 / 16640
    most = least + 0.95 * (16640 - 4096 - 256) / 16640
    sentence = (
        f"With these pins the ratio can lie between {WORDS.percent(least, 2)} and {WORDS.percent(most, 2)}; 20% cannot "
        "be met: move the slider or take back a pin."
    )
    answer = after(view=PINNED, figures=figures())
    assert [answer.said[name] for name in ("meaning", "heatmap", "budget", "uniform")] == [sentence] * 3 + [""]
    assert answer.cards[0] == ["Weights removed", "—", "— of the whole model"]
    possible = after(("set", {"ratio": "0.3"}), view=PINNED)
    assert possible.said["meaning"].startswith(percent(at("pooled", 0.3, PINNED).budget.site_removed_fraction))


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_missing_in_any_state(language: str) -> None:
    value = json.loads(value_of(VIEW, language))
    value["none"] = "MISSING"
    for report in value["measured"].values():
        report["quality"] = [each or 1.0 for each in report["quality"]]
    steps: list[tuple[str, Any]] = [
        ("set", {"policy": policy, "method": method, "ratio": ratio, "difference": difference, "unit": unit})
        for policy in POLICIES
        for method in METHODS
        for ratio in ("0", "0.2", "0.61", "0.9")
        for difference in (False, True)
        for unit in UNITS
    ]
    made = job([("start", json.dumps(value)), *steps], figures=figures())
    texts = {text for answer in made.answers for text in (*answer["said"].values(), *sum(answer["cards"], []))}
    texts |= {text for a in made.answers for row in a["figures"]["heatmap"]["data"][0]["text"] for text in row if text}
    assert len(texts) > 100
    bad = re.compile(r"MISSING|undefined|null|NaN|\[object|[{}]")
    assert [text for text in texts if bad.search(text)] == []


def test_doubled_braces_are_braces_and_only_they() -> None:
    value = json.loads(value_of(VIEW))
    value["sentences"]["difference.same"] = "{{policy}} %{{x}} {policy} {unknown}"
    made = job([("start", json.dumps(value)), ("set", {"policy": "uniform", "difference": True})])
    assert made.answers[-1]["said"]["uniform"] == "{policy} %{x} — —"


# --- pictures ---


def test_the_heatmap_is_filled_in_for_the_position() -> None:
    answer = after(("set", {"site": Q1.name}), figures=figures())
    cells, chosen, pinned = answer.figures["heatmap"]["data"]
    shares = [VIEW.sizes[cell].removed_fraction for cell in at("pooled", 0.2).sizes]
    assert cells["z"] == [[shares[0], shares[2]], [shares[1], None], [None, shares[3]]]
    assert cells["customdata"] == [[Q.name, Q1.name], [DOWN.name, None], [None, SMALL.name]]
    assert (cells["zmin"], cells["zmax"]) == (0, 0.95)
    size = VIEW.sizes[at("pooled", 0.2).sizes[1]]
    assert cells["text"][1] == [
        f"<b>block 0 · down_proj</b><br>64 × 128 weights<br>removed {percent(size.removed_fraction)}<br>"
        f"rank {size.rank}, or {size.num_atoms} atoms with {size.nonzeros_per_column} nonzeros a column",
        None,
    ]
    assert (chosen["x"], chosen["y"], chosen["customdata"]) == ([1], ["q_proj"], [Q1.name])
    assert pinned["x"] == pinned["y"] == []
    dense = after(("set", {"ratio": "0"}), figures=figures()).figures["heatmap"]["data"][0]
    assert dense["z"] == [[0, 0], [0, None], [None, 0]]
    assert dense["text"][2][1] == "<b>block 1 · gate</b><br>16 × 16 weights<br>stays dense"
    tiny = after(("set", {"ratio": "0.95", "policy": "uniform"}), figures=figures()).figures["heatmap"]["data"][0]
    assert tiny["text"][2][1].endswith("rank 1, or — atoms with — nonzeros a column")


def test_the_difference_from_uniform_has_its_middle_at_the_uniform_share() -> None:
    figure = after(("set", {"difference": True, "ratio": "0.3"}), figures=figures()).figures["heatmap"]
    cells, *_ = figure["data"]
    shares = [VIEW.sizes[cell].removed_fraction for cell in at("pooled", 0.3).sizes]
    assert cells["z"][0] == [shares[0], shares[2]], "nothing is subtracted: the axis says it"
    assert (cells["zmin"], cells["zmax"]) == (-0.2, 0.8)
    assert cells["colorscale"] == figure["layout"]["meta"]["diverging"]
    bar = cells["colorbar"]
    assert bar["tickvals"] == [-0.2, 0.05, 0.3, 0.55, 0.8]
    assert bar["ticktext"] == ["−50 points", "−25 points", "as uniform", "+25 points", "+50 points"]
    assert bar["title"]["text"] == "difference from uniform"
    assert cells["text"][0][0].endswith("<br>uniform: 30%")


def test_pinned_sites_are_marked_and_impossible_positions_left_blank() -> None:
    cells, chosen, pinned = after(view=PINNED, figures=figures()).figures["heatmap"]["data"]
    assert cells["z"] == cells["text"] == [[None, None], [None, None], [None, None]]
    assert cells["customdata"][0][0] == Q.name, "a click still opens a site"
    assert list(zip(pinned["x"], pinned["y"], strict=True)) == [(0, "q_proj"), (1, "gate")]
    assert chosen["customdata"] == [Q.name], "the first one, until another is chosen"
    possible = after(("set", {"ratio": "0.3"}), view=PINNED, figures=figures())
    cells, *_ = possible.figures["heatmap"]["data"]
    assert (cells["z"][0][0], cells["z"][2][1]) == (0.9, 0)
    assert cells["text"][0][0].endswith("<br>pinned") and not cells["text"][0][1].endswith("<br>pinned")
    empty, full = (each.figures["budget"]["data"][0]["x"] for each in (after(view=PINNED, figures=figures()), possible))
    assert (empty, len(full)) == ([], 4)


def test_the_budget_is_filled_in_for_the_position() -> None:
    kept, removed = after(figures=figures()).figures["budget"]["data"]
    bars = at("pooled", 0.2).budget.bars
    assert kept["y"] == removed["y"] == ["q_proj", "down_proj", "gate", "always dense"]
    assert kept["x"] == [round(bar.kept_mib, 3) for bar in bars]
    assert removed["x"] == [round(bar.removed_mib, 3) for bar in bars]


def test_the_spectrum_is_marked_at_the_sites_rank() -> None:
    steps = ("set", {"policy": "uniform", "ratio": "0.5"})
    marks = after(steps, figures=figures(DOWN)).figures["spectrum"]["layout"]
    assert {mark["x0"] for mark in marks["shapes"] if mark["name"] == "rank" and mark["visible"]} == {21}
    (note,) = (mark for mark in marks["annotations"] if mark["name"] == "rank")
    assert (note["x"], note["text"], note["visible"]) == (21, "rank 21", True)
    marks = after(("set", {"ratio": "0"}), figures=figures(DOWN)).figures["spectrum"]["layout"]
    assert {mark["visible"] for mark in [*marks["shapes"], *marks["annotations"]] if mark["name"] == "rank"} == {False}
    assert {mark["x0"] for mark in marks["shapes"] if mark["name"] == "break-even"} == {42}


def test_the_forecast_chart_shows_the_chosen_setting_at_the_position() -> None:
    made = after(("set", {"method": "compot-fisher", "policy": "fisher", "ratio": "0.37"}), figures=figures())
    figure = made.figures["forecast-chart"]
    low, high, _, *traces = figure["data"]
    assert (low["x"][37], low["y"][37], high["y"][37]) == (0.37, 38.5, 94)
    widths = {t["meta"]["report"]: t["line"]["width"] for t in traces if t.get("line") and t["mode"] != "markers"}
    assert widths == {"compot-fisher|fisher": 3.6}
    far = {t["meta"]["report"]: t["visible"] for t in traces}
    assert far == {"compot-fisher|fisher": True, "svd|pooled": False}
    marks = {shape["name"]: shape for shape in figure["layout"]["shapes"]}
    assert (marks["slider"]["x0"], marks["slider"]["x1"]) == (0.37, 0.37)
    assert (marks["reading"]["visible"], marks["reading"]["x1"], marks["reading"]["y0"]) == (True, 0.37, 57)
    broken = after(("set", {"method": "svd"}), figures=figures()).figures["forecast-chart"]
    assert not broken["data"][0]["visible"] and not broken["layout"]["shapes"][1]["visible"]
    assert [t["visible"] for t in broken["data"][3:] if t["meta"]["report"] == "svd|pooled"] == [True, True]


# --- what a visitor does ---


def test_the_handle_moves_everything_at_once() -> None:
    answer = after(("slide", "0.50"))
    assert answer.state["ratio"] == "0.5"
    assert answer.said["meaning"].startswith(percent(at("pooled", 0.5).budget.site_removed_fraction))


def test_what_is_not_said_stays_as_it_is() -> None:
    answer = after(("set", {"site": Q1.name, "method": None}), ("set", {"site": None, "ratio": "0.3"}))
    assert answer.state == {
        "model": "tiny",
        "method": "compot",
        "policy": "pooled",
        "ratio": "0.3",
        "site": Q1.name,
        "unit": "weights",
        "difference": False,
    }


def test_arrows_walk_over_the_sites_and_enter_opens_one() -> None:
    keys = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowRight", "Enter", "x"]
    made = job([("start", value_of(VIEW)), *(("press", key) for key in keys)])
    walked = [answer["state"]["site"] for answer in made.answers]
    # There is no down_proj in block 1 (the step goes on to the next site below), and no gate in block 0.
    assert walked[:6] == [Q.name, Q1.name, SMALL.name, SMALL.name, Q1.name, SMALL.name]
    assert walked[6:] == [SMALL.name] * 3
    assert made.answers[6]["picked"] == [] and made.answers[-1]["picked"] == [SMALL.name]
    share = VIEW.sizes[at("pooled", 0.2).sizes[3]].removed_fraction
    assert made.answers[2]["said"]["heatmap-cell"] == f"Block 1, gate: {percent(share)} removed."


def test_tables_of_another_model_keep_the_site_only_if_they_have_it() -> None:
    kept = after(("set", {"site": Q1.name}), ("read", value_of(PINNED)))
    assert (kept.state["site"], kept.state["model"]) == (Q1.name, "tiny")
    other = replace(VIEW, model=replace(MODEL, sites=tuple(replace(s, name=f"other.{s.name}") for s in SITES)))
    assert after(("set", {"site": Q1.name}), ("read", value_of(other))).state["site"] == f"other.{Q.name}"
    gone = after(("read", value_of(None)))
    assert (gone.said["meaning"], gone.said["heatmap"], gone.cards_hidden) == ("", "", True)


def test_what_gradio_says_in_english_is_said_in_the_language_of_the_page() -> None:
    labels = [
        {"aria-label": "range slider for 0.2", "title": "Reset to default value"},
        {"aria-label": "Arrange"},
        {"title": None},
    ]
    made = job([("start", value_of(VIEW, "ru")), ("read", value_of(PINNED, "ru"))], labels=labels)
    russian: Words = words("ru")
    assert made.labels == [
        {"aria-label": f"{russian('builtin.range')} 0.2", "title": russian("builtin.reset")},
        {"aria-label": "Arrange"},
        {"title": None},
    ]
    assert job([("start", value_of(VIEW))], labels=labels).labels == labels
    assert {key: WORDS(key) for key in BUILTIN} == BUILTIN, "nothing is replaced where the page is English"


# --- tables ---


def test_tables_follow_the_slider() -> None:
    tables = after().tables
    sizes = [VIEW.sizes[cell] for cell in at("pooled", 0.2).sizes]
    assert tables["heatmap"]["headers"] == [
        *("Site", "Block", "Projection", "Shape (out × in)", "Removed", "Rank", "Atoms", "Nonzeros a column")
    ]
    assert tables["heatmap"]["shares"] == [4]
    assert [(row[0], *row[4:]) for row in tables["heatmap"]["rows"]] == [
        (each.name, size.removed_fraction, size.rank, size.num_atoms, size.nonzeros_per_column)
        for each, size in zip(SITES, sizes, strict=True)
    ]
    assert tables["heatmap"]["rows"][1][1:4] == ["0", "down_proj", "64 × 128"]
    budget_rows = [[round(b.kept_mib, 3), round(b.removed_mib, 3)] for b in at("pooled", 0.2).budget.bars]
    assert [row[1:] for row in tables["budget"]["rows"]] == budget_rows
    assert after(view=PINNED).tables == {"heatmap": None, "budget": None}
    assert after(view=None).tables == {"heatmap": None, "budget": None}


def text_of(tree: Any) -> Any:
    """Rows of [class, text] of a rendered table."""
    (_, _, parts) = tree
    return [[[kind, "".join(text)] for _, kind, text in row] for _, _, rows in parts for _, _, row in rows]


def test_a_table_is_rendered_for_people_and_downloaded_as_numbers() -> None:
    rows = (("a", 0.2005, 3, 1.5), ('b "c", d', None, 12_345, float("inf")), ("e\nf", 0.5, None, None))
    table = Table("some-table", ("Name", "Share", "Count", "Value"), rows, wide=0, shares=frozenset({1}))
    (made,) = job([("start", value_of(VIEW))], tables=[table_value(table)]).rendered
    (tree,) = made["tree"]
    assert text_of(tree) == [
        [["", "Name"], ["num", "Share"], ["num", "Count"], ["", "Value"]],
        [["remark", "a"], ["num", "20.05%"], ["num", "3"], ["", "1.5"]],
        [["remark", 'b "c", d'], ["num", "—"], ["num", "12\u202f345"], ["", "∞"]],
        [["remark", "e\nf"], ["num", "50%"], ["num", "—"], ["", "—"]],
    ]
    ((name, text),) = made["files"]
    assert name == "some-table.csv"
    assert list(csv.reader(io.StringIO(text))) == [
        ["Name", "Share", "Count", "Value"],
        ["a", "0.2005", "3", "1.5"],
        ['b "c", d', "", "12345", "∞"],
        ["e\nf", "0.5", "", ""],
    ]


def test_a_table_that_is_not_there_has_no_button() -> None:
    (made,) = job([("start", value_of(VIEW))], tables=[""]).rendered
    assert (made["tree"], made["hidden"], made["files"]) == ([], True, [])


# --- addresses ---


def query(address: str) -> dict[str, str]:
    from urllib.parse import parse_qsl, urlsplit

    return dict(parse_qsl(urlsplit(address).query))


def test_the_address_holds_what_is_looked_at_and_reads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "method_names", lambda: METHODS)
    monkeypatch.setattr(engine, "policy_names", lambda: POLICIES)
    silent = after(("set", {"ratio": "0.3", "site": Q1.name}), view=PINNED)
    assert silent.address is None, "the page is still being read"
    answer = after(
        ("follow", None), ("set", {"ratio": "0.3", "site": Q1.name}), view=PINNED, search="?pins=old&other=kept"
    )
    assert answer.address.startswith("/?")
    said = query(answer.address)
    assert (said.pop("lang"), said.pop("other")) == ("en", "kept")
    assert read_address(said) == Address("tiny", "compot", "pooled", 0.3, Q1.name, PINS)
    unpinned = after(("follow", None), search="?pins=old")
    assert "pins" not in query(unpinned.address)
    assert not {"%2C", "%2F", "%40"} & set(re.findall("%..", answer.address)), "it stays readable"


def test_another_language_is_the_same_view_on_the_neighbouring_page() -> None:
    answer = after(("set", {"ratio": "0.3"}), ("language", "ru"))
    assert answer.address.startswith("./?")
    assert query(answer.address) == {
        "model": "tiny",
        "method": "compot",
        "policy": "pooled",
        "ratio": "0.3",
        "site": Q.name,
        "lang": "ru",
    }


def test_the_words_of_the_page_are_its_language() -> None:
    russian: Words = words("ru")
    answer = after(language="ru")
    assert answer.cards[0][0] == russian("card.removed")
    assert answer.said["forecast"].endswith("перплексия 25,0, без сжатия 23,3.")


# --- what changed ---

CHANGED = {
    "rows": [
        [2, "When on", " board", "", " board", " ship", 1.0, 4.5, 3.5, True],
        [3, "When on board", " un", "known waters", " un", " un", 1.0, 1.2, 0.2, False],
        [4, "When on board un", "known", " waters", "known", "seen", 1.0, 0.5, -0.5, True],
        [5, "board unknown", " waters", "", " land", " land", 1.0, 2.0, 1.0, False],
    ],
    "order": [0, 3, 1, 2],
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [0, 3, 1, 2]),
        ({"sort": "place"}, [0, 1, 2, 3]),
        ({"sort": "flipped"}, [0, 2, 3, 1]),
        ({"filter": "flipped"}, [0, 2]),
        ({"filter": "rise", "least": 1.0}, [0]),
        ({"filter": "rise", "least": 0.1, "sort": "place"}, [0, 1, 3]),
        ({"search": " Unknown "}, [1, 2]),
        ({"search": "LAND"}, [3]),
        ({"search": "ship", "filter": "flipped"}, [0]),
        ({"search": "nowhere"}, []),
    ],
)
def test_the_table_of_changes_is_sorted_filtered_and_searched(wanted: dict[str, Any], found: list[int]) -> None:
    asked = {"sort": "rise", "filter": "all", "least": 0.5, "search": "", **wanted}
    assert job([("start", value_of(VIEW))], changed=[(CHANGED, asked)]).changed == [found]


def test_what_a_spreadsheet_would_take_for_a_formula_stays_text() -> None:
    rows = (("=1+1", -1.5), ("@x", 2), (" -", 3), ("+", 4))
    made = job([("start", value_of(VIEW))], tables=[table_value(Table("t", ("a", "b"), rows))]).rendered[0]
    ((_, text),) = made["files"]
    assert [*csv.reader(io.StringIO(text))] == [["a", "b"], ["'=1+1", "-1.5"], ["'@x", "2"], [" -", "3"], ["'+", "4"]]
