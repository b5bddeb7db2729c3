"""What the app holds: a budget for models in memory, and a page that shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny import SENTENCES, finish, write_tiny_llama

from compression.errors import UserError
from compression.recent import Recent
from compression.recipe import Recipe
from compression.workbench import BUDGET_VARIABLE, Workbench, bytes_in_memory, model_budget
from views import status
from views.line import ENGINE
from views.texts import words


def test_the_oldest_go_until_the_rest_fits_and_the_newest_stays() -> None:
    kept: Recent[int] = Recent(10, lambda value: value, 100)
    for value in (40, 50, 60):
        kept.put(value, value)
    assert kept.values() == (60,), "50 and 60 are more than 100"
    kept.put(30, 30)
    kept.get(60)
    kept.put(20, 20)
    assert kept.values() == (60, 20), "30 was used longest ago"
    kept.put(500, 500)
    assert kept.values() == (500,)


def test_a_model_that_grows_is_weighed_again() -> None:
    first, second = [1], [1]
    kept: Recent[list[int]] = Recent(10, sum, 10)
    kept.put("first", first)
    first[0] = 10
    kept.put("second", second)
    assert kept.values() == (second,)


def test_models_are_given_up_within_the_budget(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        write_tiny_llama(tmp_path / name, seed=ord(name))
    bench = Workbench()
    model = finish(bench.dense_model(str(tmp_path / "a")))
    weight = bytes_in_memory(model)
    assert weight == 4 * sum(p.numel() for p in model.loaded.model.parameters()) + sum(
        buffer.nbytes for buffer in model.loaded.model.buffers()
    )
    text = tmp_path / "text.txt"
    text.write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    calibration = {"calibration_text": str(text), "num_sequences": 4, "sequence_length": 32}
    finish(bench.compress(Recipe(str(tmp_path / "a"), "svd", "uniform", 0.5, **calibration)))
    dense, small = bench.models_held()
    assert (dense.method, small.method) == ("dense", "svd") and 0 < small.bytes < dense.bytes == weight
    monkeypatch.setattr(bench._models, "_budget", weight)
    finish(bench.dense_model(str(tmp_path / "b")))
    assert [held.title for held in bench.models_held()] == ["b"]


@pytest.mark.parametrize("given", ["-1", "0", "many", "1.5", "9" * 12])
def test_a_budget_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, given)
    with pytest.raises(UserError, match="MODEL_MEMORY_MB takes a whole number of megabytes above 0"):
        model_budget()


def test_the_budget_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, "700")
    assert model_budget() == 7 * 10**8
    monkeypatch.delenv(BUDGET_VARIABLE)
    assert model_budget() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_shows_memory_line_and_cache(language: str, cache: Path) -> None:
    (cache / "statistics").mkdir(parents=True)
    (cache / "statistics" / "x").write_bytes(bytes(3_000_000))
    (cache / "statistics" / "away").symlink_to("/proc/kcore")
    text = words(language)
    waiting = ENGINE.in_turn(lambda: (each for each in ("served", "still")), lambda place: place)  # type: ignore[arg-type,return-value]
    next(waiting)
    rows = dict(status.figures(text))
    shown = status.table(text)
    waiting.close()
    assert all(f">{name}</td>" in shown for name in rows)
    assert rows[text("status.folder", folder="statistics")] == 3, "a link is not followed"
    assert rows[text("status.line")] == 1 and 50 < rows[text("status.memory")] < rows[text("status.machine")]
