"""``smallest``: answers from a stored forecast without torch, and verifies by one measurement."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pydantic
import pytest
from samples import forecast_report
from test_cli import refusal, run  # noqa: F401
from tiny import SENTENCES, write_tiny_llama

from compression import forecast
from compression.commands.smallest import SmallestReport
from compression.recipe import OWN, Recipe


@pytest.fixture
def model(tmp_path: Path, cache: Path) -> Path:
    """A tiny model, a text, and a made-up forecast of `svd-llm` as ``predict`` would leave it."""
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    recipe = Recipe(str(tmp_path / "tiny"), "svd-llm", OWN)
    report = replace(
        forecast_report("svd-llm", "uniform", 0.1),
        model_id=recipe.model_id,
        original_bits=8_000_000,
        site_bits=4_000_000,
    )
    forecast.store_report(forecast.table_key(recipe), report)
    return tmp_path / "tiny"


CALIBRATED = ("--calibration-sequences", 8, "--sequence-length", 32, "--gradient-sequences", 8)


def test_it_answers_from_the_forecast_without_torch(model, tmp_path, cache):
    out = tmp_path / "out.json"
    calibrated = ("--calibration", tmp_path / "text.txt", *CALIBRATED)
    call = ("smallest", model, "--methods", "svd-llm", "--within", "0.05", *calibrated, "--json", out)
    answer = run(*call, COMPRESSION_CACHE=str(cache), PYTHONPROFILEIMPORTTIME="1")
    assert " torch" not in answer.stderr, "a forecast needs no torch"
    report = pydantic.TypeAdapter(SmallestReport).validate_json(out.read_bytes())
    # 20 and 0.1 more for each per cent: 21 is reached at 10 %.
    assert report.smallest.best.removed_fraction == pytest.approx(0.1)
    assert report.smallest.best.stored_bits == 7_600_000 and report.verified is None
    assert "0.100" in answer.stdout and "+5.00%" in answer.stdout and "1.0 MB" in answer.stdout


def test_the_measurement_stands_beside_it(model, tmp_path, cache):
    out, text = tmp_path / "out.json", tmp_path / "text.txt"
    sizes = ("--text", text, "--window", 32, "--max-windows", 4, "--calibration", text, *CALIBRATED)
    call = ("smallest", model, "--methods", "svd-llm", "--verify", *sizes, "--json", out)
    answer = run(*call, COMPRESSION_CACHE=str(cache))
    written = json.loads(out.read_text())
    dense, measured = written["comparison"]["dense"]["perplexity"], written["comparison"]["runs"][0]["perplexity"]
    assert math.isclose(written["verified"]["measured"], measured / dense - 1)
    assert written["comparison"]["runs"][0]["removed_fraction_target"] == pytest.approx(0.1)
    assert "percentage points off" in answer.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--within", "0"), "Perplexity may grow by more than 0 and at most 1000%"),
        (("--within", "nan"), "Perplexity may grow by more than 0"),
        (("--methods", "magic"), "no method 'magic'"),
        (("--json", "/nowhere/out.json"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(model, refusal, options, sentence):  # noqa: F811
    assert sentence in refusal("smallest", model, *options)
