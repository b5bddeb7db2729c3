"""Sweeps: the grid and its keys, real workers that die, a real Ray cluster that loses a node, what is written."""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from deployment_samples import write_material
from ray_nodes import cells_of, cluster, start_sweep, wait_for_cells
from tiny import SENTENCES, finish

from compression import runs_csv, store
from compression.analysis import standard_error_range
from compression.errors import UserError
from compression.recipe import Recipe
from compression.session import Session
from compression.sweeping.engines import Local, local_workers
from compression.sweeping.frontier import frontier, run_points
from compression.sweeping.pages import frontier_page
from compression.sweeping.plan import plan
from compression.sweeping.recipe import SweepRecipe, read_sweep
from compression.sweeping.report import CellResult, SweepReport
from compression.sweeping.runner import sweep
from compression.sweeping.work import carry_out
from compression.workbench import Workbench


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny model, a text, a benchmark, and the recipe of a grid over them."""
    model, text, data = write_material(tmp_path_factory.mktemp("grid"))
    return {
        "models": [str(model)],
        "methods": ["svd", "svd-llm"],
        "policies": ["uniform"],
        "budgets": [0.2, 0.4],
        "seeds": [0, 1],
        "tasks": ["perplexity", "piqa"],
        "text": str(text),
        "window": 64,
        "max_windows": 2,
        "data": str(data),
        "calibration": str(text),
        "calibration_sequences": 8,
        "sequence_length": 32,
        "resources": {"memory_gb": 1},
    }


def written(folder: Path, grid: dict[str, Any], **changes: Any) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(grid | changes), encoding="utf-8")
    return file


def test_a_grid_has_each_model_once(grid: dict[str, Any], cache: Path) -> None:
    units, left_out = finish(
        plan(SweepRecipe(**grid | {"policies": ["uniform", "own"], "methods": ["svd", "svd-llm"]}))
    )
    asked = [(u.recipe.method, u.recipe.policy, u.recipe.removed_fraction, u.recipe.seed) for u in units]
    assert len(asked) == len(set(asked)) and not left_out
    assert [a for a in asked if a[0] == "dense"] == [("dense", "uniform", 0.0, 0)]
    # svd asks for no calibration: one seed; svd-llm has two; whatever "own" means, it is spelled out and not repeated.
    assert {a for a in asked if a[:2] == ("svd", "uniform")} == {("svd", "uniform", b, 0) for b in (0.2, 0.4)}
    assert {a[3] for a in asked if a[0] == "svd-llm"} == {0, 1}
    assert "own" not in {a[1] for a in asked}
    keys = [cell.key for unit in units for cell in unit.cells]
    assert len(keys) == len(set(keys)) == 2 * len(units)


def test_keys_depend_on_all_that_figures_depend_on(grid: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    def keys(**changes: Any) -> set[str]:
        units, _ = finish(plan(SweepRecipe(**grid | changes)))
        return {cell.key for unit in units for cell in unit.cells}

    before = keys()
    assert keys() == before and keys(resources={"cpus": 2}) == before
    other = tmp_path / "other.txt"
    other.write_text(" ".join(reversed(SENTENCES)) * 60, encoding="utf-8")
    dense_and_svd = {"methods": ["svd"], "tasks": ["perplexity"]}
    for changes in ({"window": 32}, {"text": str(other)}, {"max_windows": 1}):
        assert not keys(**dense_and_svd, **changes) & keys(**dense_and_svd)
    assert len(before - keys(calibration=str(other))) == len(before) - 2, "only the dense model needs none"
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in Path(grid["models"][0]).iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    assert keys(models=[str(copied)]) == before, "a folder is its contents, wherever it stands"
    (copied / "generation_config.json").write_text("{}", encoding="utf-8")
    assert not keys(models=[str(copied)]) & before


def test_points_that_cannot_be_are_left_out_and_said(grid: dict[str, Any], cache: Path) -> None:
    units, left_out = finish(plan(SweepRecipe(**grid | {"methods": ["magnitude-2:4", "svd"], "budgets": [0.2, 0.7]})))
    assert len(left_out) == 1 and "magnitude-2:4 removes" in left_out[0] and "70.00%" in left_out[0]
    assert ("magnitude-2:4", 0.2) in {(unit.recipe.method, unit.recipe.removed_fraction) for unit in units}
    with pytest.raises(UserError, match="Nothing of this grid"):
        finish(plan(SweepRecipe(**grid | {"methods": ["magnitude-2:4"], "budgets": [0.7]})))
    with pytest.raises(UserError, match="name a commit"):
        finish(plan(SweepRecipe(**grid | {"models": ["somebody/model"]})))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["magic"]}, r"line \d+, field methods\.0: one of .* was expected, but 'magic'"),
        ({"policies": ["magic"]}, r"field policies\.0: .*magic"),
        ({"tasks": ["perplexity", "magic"]}, r"field tasks\.1: one of perplexity, wer, .* but 'magic'"),
        ({"budgets": [0.99]}, r"field budgets\.0: it should be less than or equal to 0\.95, but 0\.99"),
        ({"budgets": [0]}, r"field budgets\.0: it should be greater than 0"),
        ({"models": []}, r"field models: .*at least 1 item"),
        ({"resources": {"cpu": 2}}, r"field resources\.cpu: there is no such field; expected one of cpus, memory_gb"),
        ({"seeds": list(range(400)), "budgets": [i / 1000 for i in range(1, 200)]}, r"the recipe: it has \d+ cells"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(grid: dict[str, Any], tmp_path: Path, changes: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        read_sweep(written(tmp_path, grid, **changes))
    assert "\n" not in str(raised.value)


def test_a_worker_measures_what_the_workbench_measures(grid: dict[str, Any], cache: Path) -> None:
    recipe = SweepRecipe(**grid)
    units, _ = finish(plan(recipe))
    unit = next(unit for unit in units if unit.recipe.method == "svd-llm" and unit.recipe.seed == 1)
    perplexity, piqa = carry_out(unit)
    bench = Workbench()
    asked = dataclasses.replace(unit.recipe)
    alone = finish(bench.evaluate(asked, grid["text"], 64, 2))
    assert perplexity.quality == pytest.approx(alone.perplexity) and perplexity.stored_bytes == alone.stored_bits / 8
    report = finish(bench.compress(asked))
    assert perplexity.removed_fraction == report.removed_fraction >= 0.2
    assert piqa.metric == "accuracy" and piqa.stored_bytes == perplexity.stored_bytes and piqa.chance == 0.5
    dense = carry_out(units[0])
    assert dense[0].quality == pytest.approx(
        finish(bench.evaluate(Recipe(grid["models"][0]), grid["text"], 64, 2)).perplexity
    )
    assert dense[1].weights_hash == dense[0].weights_hash == perplexity.weights_hash != ""


def test_a_worker_refuses_other_code_and_other_files(grid: dict[str, Any], cache: Path) -> None:
    units, _ = finish(plan(SweepRecipe(**grid)))
    for change, said in (({"code": "older"}, "another version"), ({"identity": "0" * 64}, "other files")):
        cells = carry_out(dataclasses.replace(units[0], **change))
        assert all(said in cell.problem and cell.quality is None for cell in cells)


def test_a_cell_that_cannot_be_is_said_and_the_others_are_measured(grid: dict[str, Any], cache: Path) -> None:
    units, _ = finish(plan(SweepRecipe(**grid | {"tasks": ["wer", "perplexity"]})))
    speech, perplexity = carry_out(units[0])
    assert speech.problem and speech.quality is None and perplexity.quality and not perplexity.problem


def test_processes_die_and_the_sweep_is_whole(grid: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    """The first workers are killed at work; then the sweep is stopped, goes on, is asked for more, and is damaged."""
    out = tmp_path / "sweep"
    recipe = read_sweep(written(tmp_path, grid))
    steps = sweep(recipe, out, workers=2)
    killed = 0
    for event in steps:
        if event.message == "waiting for the workers" and not killed:
            for child in multiprocessing.active_children():
                child.kill()
                killed += 1
        if event.partial is not None:
            steps.close()
            break
    assert killed and not multiprocessing.active_children(), "whoever stops leaves no process"
    kept = cells_of(out)
    assert kept and not (out / "results.parquet").exists()
    report = finish(sweep(recipe, out, workers=2))
    assert report.found == len(kept) and not report.failed
    stored = {file.name: file.read_bytes() for file in (out / "cells").glob("*.json")}
    assert len(stored) == len(report.cells) == 14, "(dense, 2 by svd, 4 by svd-llm) in 2 tasks"
    assert all(cell in report.cells for cell in kept), "what was kept is what it was"

    more = read_sweep(written(tmp_path, grid, budgets=[0.2, 0.4, 0.5], methods=["svd"]))
    damaged = out / "cells" / f"{report.cells[0].key}.json"
    damaged.write_bytes(damaged.read_bytes().replace(b"perplexity", b"perplexitz", 1))
    extended = finish(sweep(more, out, workers=1))
    assert len(extended.cells) == 8 and extended.found == 5, "two cells are new, and one was damaged"
    assert extended.cells[0].quality == pytest.approx(report.cells[0].quality)
    assert {file.name for file in (out / "cells").glob("*.json")} > stored.keys()

    table = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert [CellResult(**row) for row in table] == list(extended.cells)
    imported = runs_csv.from_csv((out / "runs.csv").read_text(encoding="utf-8"), Session())
    assert imported.runs == 4 and {point.method for point in imported.session.points} == {"dense", "svd"}
    assert store.read_json(out / "sweep.json", SweepReport) == extended
    assert "<script" not in frontier_page(extended) and "perplexity" in frontier_page(extended)


def test_a_folder_belongs_to_one_sweep(grid: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    recipe = SweepRecipe(**grid)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(UserError, match="File name too long"):
        finish(sweep(recipe, tmp_path / ("x" * 300)))
    with pytest.raises(UserError, match="something else than a sweep"):
        finish(sweep(recipe, tmp_path / "mine"))
    out = tmp_path / "sweep"
    with (
        store.lock(f"sweep-{store.content_key(str(out.resolve()))[:40]}"),
        pytest.raises(UserError, match="Another sweep"),
    ):
        finish(sweep(recipe, out))
    for changes, said in (
        ({"engine": "magic"}, "no engine 'magic'"),
        ({"workers": 0}, "From 1 to 1024 workers .* but 0"),
    ):
        with pytest.raises(UserError, match=said):
            finish(sweep(recipe, out, **changes))


def test_a_unit_that_kills_every_worker_is_given_up(grid: dict[str, Any], cache: Path) -> None:
    units, _ = finish(plan(SweepRecipe(**grid | {"resources": {"retries": 1}})))
    engine = Local(1)
    answers = engine.carry_out(units[:1])
    for answer in answers:
        if answer is not None:
            break
        for child in multiprocessing.active_children():
            child.kill()
    answers.close()
    assert answer is not None and engine.lost == 2
    assert all("died 2 times" in cell.problem for cell in answer[1])


def test_workers_are_as_many_as_fit() -> None:
    assert local_workers(1, 2**60) == 1
    assert local_workers(1, 1) >= local_workers(2, 1) >= 1


def cell(model: str, method: str, size: float, quality: float, seed: int = 0, task: str = "perplexity") -> CellResult:
    metric: Any = "perplexity" if task == "perplexity" else "accuracy"
    return CellResult("", model, method, "own", size / 100, seed, task, metric, quality, stored_bytes=size)


def test_the_frontier_is_what_nothing_beats() -> None:
    """Against the definition, over random settings: points are beaten if some other is no larger and no worse."""
    drawn = random.Random(0)
    cells = [
        cell("m", f"method{number}", drawn.randint(1, 12), drawn.randint(5, 20), task=task)
        for task in ("perplexity", "piqa")
        for number in range(40)
    ]
    points = frontier(cells)
    assert len(points) == len(cells)
    for task, sign in (("perplexity", 1), ("piqa", -1)):
        mine = [(p.stored_bytes, sign * p.quality, p.on_frontier) for p in points if p.task == task]
        for size, loss, on_it in mine:
            beaten = any((s, q) != (size, loss) and s <= size and q <= loss for s, q, _ in mine)
            assert on_it != beaten
        assert any(on_it for *_, on_it in mine) and not all(on_it for *_, on_it in mine)


def test_seeds_are_one_point_with_a_spread() -> None:
    cells = [cell("m", "dense", 100, 10.0), *(cell("m", "svd", 60, q, s) for s, q in enumerate((14.0, 15.0, 16.0)))]
    dense, svd = sorted(frontier([*cells, dataclasses.replace(cells[1], quality=None)]), key=lambda p: p.method)
    assert (svd.seeds, svd.quality, svd.spread, svd.change) == (3, 15.0, 1.0, 1.5)
    assert (dense.seeds, dense.spread, dense.change) == (1, None, 1.0)
    assert dense.on_frontier and svd.on_frontier


def test_a_model_without_a_wrong_word_is_a_point_and_bars_are_those_of_the_page(
    grid: dict[str, Any], cache: Path
) -> None:
    units, _ = finish(plan(SweepRecipe(**grid)))
    asked = dataclasses.replace(units[1].cells[0], weights_hash="h", measured_on="text", fingerprint="f", made="now")
    read = dataclasses.replace(asked, quality=20.0, stderr=1.0, stored_bytes=10.0)
    heard = dataclasses.replace(read, metric="wer", quality=0.0, stderr=0.0)
    perplexity, words_right = run_points([read, heard], units)
    assert (perplexity.quality_low, perplexity.quality_high) == standard_error_range(20.0, 1.0)
    assert (words_right.quality, words_right.quality_low, words_right.quality_high) == (0.0, 0.0, 0.0)


def test_two_ray_nodes_of_which_one_is_killed(grid: dict[str, Any], tmp_path: Path) -> None:
    """At least 40 cells, nodes with a cache of their own, SIGKILL for one of them: all cells, none of them twice."""
    recipe = written(tmp_path, grid, budgets=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    out = tmp_path / "sweep"
    with cluster([tmp_path / "cache0", tmp_path / "cache1"]) as (address, nodes):
        running = start_sweep(recipe, out, tmp_path / "cache2", "--engine", "ray", "--address", address)
        wait_for_cells(out, 6, running, seconds=120, nodes=2)
        nodes[1].kill()
        said, _ = running.communicate(timeout=240)
        assert running.returncode == 0, said
        again = start_sweep(recipe, out, tmp_path / "cache2", "--engine", "ray", "--address", address)
        said, _ = again.communicate(timeout=120)
        assert again.returncode == 0 and "44 found, 0 measured" in said, said
        greedy = written(tmp_path, grid, budgets=[0.35], resources={"memory_gb": 10**4})
        refused = start_sweep(greedy, out, tmp_path / "cache2", "--engine", "ray", "--address", address)
        said, _ = refused.communicate(timeout=120)
        assert refused.returncode != 0 and "No node of the cluster has" in " ".join(said.split()), said
        assert "Traceback" not in said
    report = store.read_json(out / "sweep.json", SweepReport)
    assert len(report.cells) == 44 and not report.failed
    found = cells_of(out)
    assert len(found) == len({cell.key for cell in found}) == 44
    assert {each.key for each in found} == {each.key for each in report.cells}
    assert len({each.node for each in found}) == 2, "what the killed node had answered is kept"
