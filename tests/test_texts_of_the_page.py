"""The words of the page in every language: complete, translated, and with the language's own notation of numbers."""

from __future__ import annotations

import re
import string

import pytest

from compression.zero_shot.tasks import HUB_TASKS
from views.texts import LANGUAGES, NARROW_SPACE, TABLES, words

ENGLISH, RUSSIAN = TABLES["en"], TABLES["ru"]

ALIKE = {
    "page.title",
    "distil.rise",
    "learn.step",
    "method.svd",
    "method.svd-llm",
    "method.compot",
    "method.svd-llm-v2",
    "method.fwsvd",
    "method.asvd",
    "method.cospadi",
    "method.rocket",
    "method.dobi-svd",
    "method.finegates",
    "method.lora",
    "method.lora-xs",
    "method.vera",
    "method.velora",
    "method.bitfit",
    "method.rocoft",
    "method.apt",
    "method.maskllm",
    "method.wanda-2:4",
    *(f"task.{name}" for name in HUB_TASKS),
    "optimizer.adamw",
    "optimizer.muon",
    "mix.gptq",
    "distil.seed",
    "card.none",
    "card.removed_value",
    "card.bits_value",
    "card.factor_value",
    "card.flops_value",
    "card.perplexity_predicted_value",
    "card.perplexity_measured_value",
    "card.perplexity_none_value",
    "unit.flops",
    "pattern.factor_label",
    "column.end_low_rank",
    "column.end_dictionary",
    "forecast.setting",
    "runs.remarks",
    "live.prompt_value",
    "live.sample",
    "trade_offs.measure_label",
}
"""Names, formulas, and what an English model is given to read: the only texts that are not translated."""

NAMES = re.compile(
    r"Compression Cost Explorer|Apache-2\.0|SVD-LLM|COMPOT|SVD|CSV|CPU|Hub|FLOPs|Enter|"
    r"Gradio|Plotly|PyTorch|Transformers|Hugging\sFace|"
    r"python -m compression [a-z]+"
)
LATIN_RUN = re.compile(r"[A-Za-z]+(?:[\s,;:.()'’-]+[A-Za-z]+)+")
CYRILLIC = re.compile("[А-Яа-яЁё]")
MIXED_WORD = re.compile("[A-Za-z][А-Яа-яЁё]|[А-Яа-яЁё][A-Za-z]")

TRANSLATED = sorted(RUSSIAN.keys() - ALIKE)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def charted(text: str) -> list[str]:
    """The fields that Plotly fills in."""
    return sorted(re.findall(r"%\{\{.*?\}\}", text))


def prose(text: str) -> str:
    """What is left for people to read, with a mark in place of each field, tag, quoted code and name."""
    return NAMES.sub("§", re.sub(r"%\{\{.*?\}\}|%\{[^{}]*\}|\{\w+\}|<[^>]+>|`[^`]*`", "§", text))


def test_every_language_has_a_table_and_a_name_for_itself() -> None:
    assert LANGUAGES == {"en": "English", "ru": "Русский"}
    assert LANGUAGES.keys() == TABLES.keys()


@pytest.mark.parametrize("language", TABLES)
def test_a_language_has_every_text_with_the_same_fields(language: str) -> None:
    table = TABLES[language]
    assert table.keys() == ENGLISH.keys()
    assert {key: fields(text) for key, text in table.items()} == {key: fields(text) for key, text in ENGLISH.items()}
    assert {key: charted(text) for key, text in table.items()} == {key: charted(text) for key, text in ENGLISH.items()}


def test_only_names_formulas_and_samples_are_alike() -> None:
    assert {key for key, text in RUSSIAN.items() if text == ENGLISH[key]} == ALIKE


def test_what_is_translated_is_russian() -> None:
    assert [key for key in TRANSLATED if not CYRILLIC.search(prose(RUSSIAN[key]))] == []
    runs = {key: found.group() for key in TRANSLATED if (found := LATIN_RUN.search(prose(RUSSIAN[key])))}
    assert runs == {}
    mixed = {key: found.group() for key in TRANSLATED if (found := MIXED_WORD.search(prose(RUSSIAN[key])))}
    assert mixed == {}, "a Latin letter that looks like a Cyrillic one"


def test_russian_typography() -> None:
    assert [key for key in TRANSLATED if re.search("[“”\"']", RUSSIAN[key])] == []
    signs = {key: re.findall("(.)%", prose(RUSSIAN[key])) for key in TRANSLATED}
    assert {key for key, before in signs.items() if set(before) - {NARROW_SPACE}} == set()


def test_an_unknown_language_is_english() -> None:
    assert words("xx") == words("en") == words()
    assert words("xx")("button.cancel") == "Cancel"
    assert words("ru")("button.cancel") == "Отмена"


def test_names_follow_the_language_and_unknown_ones_stay() -> None:
    assert words("ru").name("policy", "pooled") == "общий пул"
    assert words("ru").name("method", "compot") == "COMPOT"
    assert words("ru").name("method", "new-one") == "new-one"


@pytest.mark.parametrize(
    ("value", "digits", "english", "russian"),
    [
        (0, 1, "0.0", "0,0"),
        (23.25, 2, "23.25", "23,25"),
        (-0.5, 1, "-0.5", "-0,5"),
        (999.9, 1, "999.9", "999,9"),
        (1234.5678, 2, "1\u202f235", "1\u202f235"),
        (12_345_678, 0, "12\u202f345\u202f678", "12\u202f345\u202f678"),
    ],
)
def test_numbers(value: float, digits: int, english: str, russian: str) -> None:
    assert words("en").number(value, digits) == english
    assert words("ru").number(value, digits) == russian


@pytest.mark.parametrize(
    ("value", "digits", "english", "russian"),
    [
        (0.123456, 3, "0.123", "0,123"),
        (0.5, 4, "0.5", "0,5"),
        (99.996, 4, "100", "100"),
        (1234.5, 5, "1\u202f234.5", "1\u202f234,5"),
        (0.0000123, 3, "1.23e-05", "1,23e-05"),
    ],
)
def test_significant_digits(value: float, digits: int, english: str, russian: str) -> None:
    assert words("en").significant(value, digits) == english
    assert words("ru").significant(value, digits) == russian


@pytest.mark.parametrize(
    ("share", "digits", "english", "russian"),
    [
        (0.2, 1, "20%", "20\u202f%"),
        (1, 1, "100%", "100\u202f%"),
        (0.3333, 1, "33.3%", "33,3\u202f%"),
        (0.2005, 2, "20.05%", "20,05\u202f%"),
        (0.2, 2, "20%", "20\u202f%"),
        (0, 0, "0%", "0\u202f%"),
        (12.345, 1, "1\u202f234.5%", "1\u202f234,5\u202f%"),
    ],
)
def test_per_cent(share: float, digits: int, english: str, russian: str) -> None:
    assert words("en").percent(share, digits) == english
    assert words("ru").percent(share, digits) == russian


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0.2, "about 1 s", "около 1\u00a0с"),
        (89, "about 89 s", "около 89\u00a0с"),
        (90, "about 2 min", "около 2\u00a0мин"),
        (72_000, "about 1\u202f200 min", "около 1\u202f200\u00a0мин"),
    ],
)
def test_durations(seconds: float, english: str, russian: str) -> None:
    assert words("en").duration(seconds) == english
    assert words("ru").duration(seconds) == russian


def test_separators_as_plotly_wants_them() -> None:
    assert words("en").decimal_separators == ".\u202f"
    assert words("ru").decimal_separators == ",\u202f"
