"""Sweeps: the grid and its keys, real workers that die, a real Ray cluster that loses a node, what is written."""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet
import pytest
import ray
import yaml
from deployment_samples import write_material
from hub_stand_in import COMMIT, StandIn
from ray_nodes import cells_of, cluster, start_sweep, wait_for_cells
from tiny import SENTENCES, finish

from compression import runs_csv, store
from compression.analysis import standard_error_range
from compression.errors import UserError
from compression.hub import cached
from compression.models import load_config
from compression.recipe import Recipe
from compression.session import MAX_POINTS, Session
from compression.sites import shape_of_config
from compression.sweeping import engines, runner
from compression.sweeping.engines import Answer, Answers, Local, OnRay, local_workers
from compression.sweeping.frontier import frontier, run_points, runs_kept
from compression.sweeping.log import LOG_FILE, answered_twice, read_log
from compression.sweeping.needs import bytes_needed
from compression.sweeping.pages import frontier_page
from compression.sweeping.plan import Unit, plan, software
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


def test_keys_depend_on_all_that_figures_depend_on(
    grid: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(**changes: Any) -> set[str]:
        units, _ = finish(plan(SweepRecipe(**grid | changes)))
        return {cell.key for unit in units for cell in unit.cells}

    before = keys()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda name: "0.1")
        software.cache_clear()
        assert not keys() & before, "versions of torch and transformers"
    software.cache_clear()
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
    for change, said in (({"software": ("older",)}, "another version"), ({"identity": "0" * 64}, "other files")):
        cells = carry_out(dataclasses.replace(units[0], **change))
        assert all(said in cell.problem and cell.quality is None for cell in cells)


def test_a_worker_refuses_another_text_or_other_items_of_the_same_name(
    grid: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """As on another node, where another file lies at that path."""
    text, calibration, data = tmp_path / "text.txt", tmp_path / "calibration.txt", tmp_path / "data"
    data.mkdir()
    items = (Path(grid["data"]) / "piqa.jsonl").read_text(encoding="utf-8").splitlines()
    for file in (text, calibration):
        file.write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    (data / "piqa.jsonl").write_text("\n".join(items), encoding="utf-8")
    recipe = SweepRecipe(**grid | {"text": str(text), "calibration": str(calibration), "data": str(data)})
    units, _ = finish(plan(recipe))
    compressed = next(unit for unit in units if unit.recipe.method == "svd")
    assert not any(cell.problem for cell in carry_out(compressed))

    text.write_text(" ".join(SENTENCES) * 61, encoding="utf-8")
    perplexity, piqa = carry_out(compressed)
    assert perplexity.quality is None and f"{text} is another one on" in perplexity.problem and piqa.quality is not None
    (data / "piqa.jsonl").write_text("\n".join(items[:2]), encoding="utf-8")
    for place, refused in zip((text, data), carry_out(compressed), strict=True):
        assert f"{place} is another one on" in refused.problem and refused.quality is None
    text.write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    calibration.unlink()
    assert carry_out(units[0])[0].quality is not None, "the dense model is calibrated on nothing"
    assert all("There is no text or file" in cell.problem for cell in carry_out(compressed))
    calibration.write_text(" ".join(reversed(SENTENCES)) * 60, encoding="utf-8")
    assert all(f"{calibration} is another one on" in cell.problem for cell in carry_out(compressed))


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
    begun = read_log(out)
    assert {each.key for each in begun if each.outcome == "measured"} == {cell.key for cell in kept}
    lost = [each for each in begun if each.outcome == "lost"]
    assert len({each.key for each in lost}) == len(lost) == 2 * killed and {each.attempt for each in lost} == {1}
    report = finish(sweep(recipe, out, workers=2))
    assert report.found == len(kept) and not report.failed
    measured = [each for each in read_log(out) if each.outcome == "measured"]
    assert sorted(each.key for each in measured) == sorted(cell.key for cell in report.cells), "each of them once"
    assert (report.twice, report.repeated) == (0, 0) and {each.attempt for each in measured} == {1}
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


def test_an_answer_about_a_cell_that_is_done_is_counted_and_not_kept(
    grid: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Twice(Local):
        """Says everything twice, after its first worker died."""

        def carry_out(self, units: Sequence[Unit]) -> Answers:
            yield Answer(units[0], 1)
            for quality in (7.0, 8.0):
                for unit in units:
                    figures = tuple(dataclasses.replace(cell, quality=quality, stored_bytes=1.0) for cell in unit.cells)
                    yield Answer(unit, 2, figures)

    monkeypatch.setattr(runner, "_engine", lambda *_: Twice(1))
    recipe = SweepRecipe(**grid | {"methods": ["svd"], "tasks": ["perplexity"]})
    report = finish(sweep(recipe, tmp_path / "sweep"))
    assert [cell.quality for cell in report.cells] == [7.0] * 3
    assert report.twice == 3 and report.repeated == 1
    keys = {cell.key for cell in report.cells}
    log = tmp_path / "sweep" / LOG_FILE
    assert answered_twice(read_log(tmp_path / "sweep")) == keys
    with log.open("ab") as file:
        file.write(log.read_bytes()[:50])  # as if killed while it wrote
    finish(sweep(SweepRecipe(**grid | {"methods": ["svd"], "tasks": ["piqa"]}), tmp_path / "sweep"))
    outcomes = Counter(each.outcome for each in read_log(tmp_path / "sweep"))
    assert outcomes == {"lost": 2, "measured": 12}


def test_a_driver_that_is_killed_goes_on(grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL in the middle, with its workers: no cell that was written is measured again."""
    out, cache = tmp_path / "sweep", tmp_path / "cache"
    recipe = written(tmp_path, grid, methods=["svd"], tasks=["perplexity"], budgets=[0.2, 0.3, 0.4, 0.5, 0.6])
    driver = start_sweep(recipe, out, cache, "--workers", "1")
    wait_for_cells(out, 2, driver, seconds=60)
    driver.kill()
    driver.communicate()
    before = {cell.key for cell in cells_of(out)}

    class Here(Local):
        """In this process, which has torch already."""

        def carry_out(self, units: Sequence[Unit]) -> Answers:
            for unit in units:
                yield Answer(unit, 1, carry_out(unit))

    monkeypatch.setattr(runner, "_engine", lambda *_: Here(1))
    monkeypatch.setenv("COMPRESSION_CACHE", str(cache))
    report = finish(sweep(read_sweep(recipe), out))
    assert 2 <= report.found == len(before) < len(report.cells) == 6 and not report.failed
    times = Counter(each.key for each in read_log(out) if each.outcome == "measured")
    assert all(times[key] == 1 for key in before) and times.keys() == {cell.key for cell in report.cells}


@pytest.mark.parametrize("last", ["mkdir", "write_json", "Log"])
def test_a_driver_that_is_killed_at_the_very_beginning_goes_on(
    grid: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    out, recipe = tmp_path / "sweep", SweepRecipe(**grid)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        where, at = {
            "mkdir": (Path, out / "cells"),
            "write_json": (runner.store, out / "recipe.json"),
            "Log": (runner, out),
        }[last]
        real: Any = getattr(where, last)
        patch.setattr(where, last, lambda path, *a, **k: (killed if path == at else real)(path, *a, **k))
        finish(sweep(recipe, out))
    steps = sweep(recipe, out)
    assert any(event.stage == "run" for event in steps), "it is no strange folder"
    steps.close()


def test_a_folder_belongs_to_one_sweep(
    grid: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = SweepRecipe(**grid)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(UserError, match="File name too long"):
        finish(sweep(recipe, tmp_path / ("x" * 300)))
    with pytest.raises(UserError, match="something else than a sweep"):
        finish(sweep(recipe, tmp_path / "mine"))
    out = tmp_path / "sweep"
    first = sweep(recipe, out)
    assert next(event for event in first if event.stage == "run")
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "another-cache"))
    with pytest.raises(UserError, match="Another sweep"):
        finish(sweep(recipe, out))
    first.close()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be the folder of a sweep \(Not a directory\)"):
        finish(sweep(recipe, tmp_path / "file" / "sweep"))
    for changes, said in (
        ({"engine": "magic"}, "no engine 'magic'"),
        ({"workers": 0}, "From 1 to 1024 workers .* but 0"),
        ({"engine": "ray", "workers": 2}, "^--workers is for --engine local"),
        ({"address": "127.0.0.1:1"}, "^--address is for --engine ray"),
    ):
        with pytest.raises(UserError, match=said):
            finish(sweep(recipe, out, **changes))


def test_a_unit_that_kills_every_worker_is_given_up(grid: dict[str, Any], cache: Path) -> None:
    units, _ = finish(plan(SweepRecipe(**grid | {"resources": {"retries": 1}})))
    engine = Local(1)
    answers = engine.carry_out(units[:1])
    came: list[Answer] = []
    for answer in answers:
        if answer is not None:
            came.append(answer)
            continue
        for child in multiprocessing.active_children():
            child.kill()
    assert engine.lost == 2
    assert [(answer.attempt, len(answer.cells)) for answer in came] == [(1, 0), (2, 0), (2, len(units[0].cells))]
    assert all("died 2 times" in cell.problem for cell in came[-1].cells)


class Cluster:
    """Stands where Ray is asked: nodes that come and go, and tasks that end as they are told to, with Ray's errors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: Any) -> None:
        self.ends = list(ends)
        """What each task answers or raises, in the order in which they are given; the others never end."""
        self.nodes_of: list[dict[str, float]] = [{"CPU": 1.0}]
        task = SimpleNamespace(options=self.options, remote=lambda unit: object())
        answers = {
            "init": lambda **_: None,
            "shutdown": lambda: None,
            "cluster_resources": lambda: {"CPU": 1.0},
            "nodes": lambda: [{"Alive": True, "Resources": each} for each in self.nodes_of],
            "remote": lambda function: task,
            "wait": lambda pending, timeout: (pending[:1] if self.ends else [], pending),
            "get": self.get,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(ray, name, answer)
        self.task = task

    def options(self, **asked: Any) -> Any:
        assert asked["max_retries"] == 0, "what Ray begins again by itself leaves no trace"
        return self.task

    def get(self, reference: object) -> Any:
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


def test_a_dead_worker_is_told_from_a_task_that_cannot_begin(
    grid: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units, _ = finish(plan(SweepRecipe(**grid | {"resources": {"retries": 1}})))
    errors = ray.exceptions
    no_package = ModuleNotFoundError("Traceback:\n  a line\nModuleNotFoundError: No module named 'compression'")
    ends = errors.WorkerCrashedError(), errors.RayTaskError("task", "Traceback", no_package)
    again = units[0].cells, errors.NodeDiedError("gone")
    Cluster(monkeypatch, *ends, errors.OutOfMemoryError("no room"), *again)
    engine = OnRay({})
    came = [answer for answer in engine.carry_out(units[:3]) if answer is not None]
    told = [(units.index(each.unit), each.attempt, len(each.cells)) for each in came]
    assert told == [(0, 1, 0), (1, 1, 2), (2, 1, 0), (0, 2, 2), (2, 2, 0), (2, 2, 2)]
    assert engine.lost == 3 and came[3].cells == units[0].cells
    said = [answer.cells[0].problem for answer in (came[1], came[-1])]
    assert "could not begin it: ModuleNotFoundError: ModuleNotFoundError: No module named 'compression'" in said[0]
    assert "died" not in said[0] and "died 2 times" in said[1]


def test_a_cluster_without_room_is_waited_for_and_then_given_up(
    grid: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOOK_AGAIN", 0.0)
    units, _ = finish(plan(SweepRecipe(**grid | {"resources": {"wait_minutes": 1}})))
    needed = {units[0].recipe.model_id: 10**9}
    small, large = {"CPU": 1.0}, {"CPU": 1.0, "memory": 2e9}
    now = iter(range(0, 10**6, 5))  # every look at the clock takes five seconds, a tick ten
    monkeypatch.setattr(engines, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    cluster = Cluster(monkeypatch)
    with pytest.raises(
        UserError, match=r"^No node of the cluster has what .* needs: 1 threads, 1000 MB and 0 GPUs: add"
    ):
        next(OnRay(needed).carry_out(units[:2]))
    cluster.nodes_of = [small, large]
    answers = OnRay(needed).carry_out(units[:2])
    for ticks, nodes in ((9, [large]), (4, [small]), (9, [small, large])):
        cluster.nodes_of = nodes
        assert all(next(answers) is None for _ in range(ticks)), "a machine that was away for less than a minute"
    cluster.ends.append(units[0].cells)
    answered = next(answers)
    assert answered is not None and answered.cells
    cluster.nodes_of = [small]
    with pytest.raises(UserError, match=r"^For 1 minutes no node .* 1000 MB .* start again; what was measured is kept"):
        for _ in range(9):
            next(answers)


def test_of_a_model_on_the_hub_the_configuration_alone_is_fetched_for_its_memory(
    grid: dict[str, Any], cache: Path, hub: StandIn
) -> None:
    folder = Path(grid["models"][0])
    hub.repositories["models/somebody/tiny"] = {file.name: file.read_bytes() for file in folder.iterdir()}
    local, remote = str(folder), f"somebody/tiny@{COMMIT}"
    recipe = SweepRecipe(**grid | {"models": [local, remote], "resources": {}})
    needed = finish(runner._memory(recipe))
    shape = shape_of_config(load_config(local, folder))
    assert needed == {local: round(1.5 * bytes_needed(shape, recipe)), remote: needed[local]}
    fetched = {path.rsplit("/", 1)[1] for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}
    assert fetched == {"config.json"}
    assert cached("somebody/tiny", COMMIT) is None, "the model itself is not here"
    hub.refuses["somebody"] = 503
    store.remove(cache / "hub")
    assert finish(runner._memory(recipe)) == {local: needed[local]}


def test_what_the_tab_cannot_draw_is_said() -> None:
    drawn = [cell("m", "svd", 1 + number, 10.0) for number in range(3)]
    assert runs_kept([*drawn, cell("m", "svd", 1, 0.5, task="piqa"), dataclasses.replace(drawn[0], quality=None)]) == 3
    assert runs_kept(drawn * 200) == MAX_POINTS == 500


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
        assert "runs.csv has 22 of the 44 figures" in said, said
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
    begun = read_log(out)
    assert sorted(each.key for each in begun if each.outcome == "measured") == sorted(cell.key for cell in found)
    lost = {each.key for each in begun if each.outcome == "lost"}
    again_for_it = {each.key for each in begun if each.outcome == "measured" and each.attempt > 1}
    assert lost == again_for_it, "what the killed node was at work on, and nothing else, was begun again"
