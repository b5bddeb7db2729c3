"""The command ``adapt``: which runs it asks for, what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from adapt_samples import made_up_report, made_up_run

import compression.workbench
from compression.__main__ import SCHEMAS, main
from compression.adaptation.methods import METHODS
from compression.adaptation.types import AdaptReport, AdaptSettings
from compression.commands.adapt import AdaptTable, planned, rows
from compression.types import Progress

Command = Callable[..., tuple[int | str | None, str, str]]


class StandIn:
    """A workbench whose runs all end at once."""

    def __init__(self) -> None:
        self.asked: tuple[AdaptSettings, ...] = ()
        self.out: Path | None = None

    def adapt(self, settings: tuple[AdaptSettings, ...], out: Path | None) -> Generator[Progress, None, AdaptReport]:
        self.asked, self.out = settings, out
        yield Progress("run", 1, 1, "a run is done")
        answers = {"full": "1110", "finegates": "0110"}
        return made_up_report(
            tuple(
                made_up_run(
                    each,
                    "" if each.task == "lm" else answers.get(each.method, "1010"),
                    removes=METHODS[each.method].removes,
                    warning="No gain on a CPU." if each.method == "maskllm" else None,
                    stopped="The time was up." if each.seed == 2 else "",
                )
                for each in settings
            )
        )


@pytest.fixture
def workbench(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(compression.workbench, "get_workbench", lambda: stand_in)
    return stand_in


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command line in this process: exit code, what it printed with spaces pressed together, what it said."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["compression", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return stopped.value.code, " ".join(printed.out.split()), " ".join(printed.err.split())

    return call


def test_one_table_of_methods_targets_and_seeds(command: Command, workbench: StandIn, tmp_path: Path) -> None:
    given = ("--method", "finegates,full,maskllm", "--task", "sst2", "--train", "a.tsv", "--eval", "b.tsv")
    sizes = ("--target-sparsity", "0.4,0.2", "--max-minutes", 2, "--seeds", 3, "--batch-size", 8, "--max-length", 64)
    more = ("--steps", 50, "--setting", "gate_lr=0.02", "--out", "made", "--json", "out.json")
    code, out, err = command("adapt", *given, *sizes, *more)
    assert not code, err
    asked = [(each.method, each.target_sparsity, each.seed) for each in workbench.asked]
    assert asked == [
        *(("finegates", target, seed) for target in (0.4, 0.2) for seed in range(3)),
        *((method, 0.4, seed) for method in ("full", "maskllm") for seed in range(3)),
    ]
    assert workbench.asked[0] == AdaptSettings(
        "minilm", "finegates", "sst2", "a.tsv", "b.tsv", 0.4, 2.0, 50, 0, 8, 64, (("gate_lr", 0.02),)
    )
    assert workbench.asked[-1].settings == (), "a setting goes to the methods that have it"
    assert workbench.out == Path("made")
    assert "minilm, task sst2: trained on train.tsv (examples: 9); measured on dev.tsv (examples: 4)." in out
    assert "Always answering the most frequent class: accuracy 68.4%." in out
    assert "note: maskllm: No gain on a CPU." in out and "note: full, seed 2: The time was up." in out
    assert "finegates at 0.2 − full: -25.0 points of accuracy (95 % -75.0 to +0.0; bootstrap over 4 items" in out
    assert out.count("note: one note") == 1
    adapter = pydantic.TypeAdapter(SCHEMAS["adapt"])
    value = adapter.validate_json((tmp_path / "out.json").read_bytes())
    assert json.loads((tmp_path / "out.json").read_bytes()) == json.loads(adapter.dump_json(value))
    assert isinstance(value, AdaptTable) and len(value.runs) == 12 and len(value.against_full) == 3
    fields = {"method", "seed", "accuracy", "f1", "removed_fraction", "soft_sparsity", "trainable_parameters"}
    assert {*fields, "latency_ratio", "train_seconds"} <= adapter.dump_python(value)["runs"][0].keys()


def test_a_language_model_has_a_perplexity(command: Command, workbench: StandIn) -> None:
    code, out, err = command("adapt", "--task", "lm", "--seeds", 2)
    assert not code, err
    assert {each.model_id for each in workbench.asked} == {"smollm2-135m-q4"}
    assert "perplexity" in out and "accuracy" not in out and "20.50 ± 0.71" in out


def test_the_cells_of_the_table() -> None:
    settings = [AdaptSettings("m", "finegates", "sst2", seed=seed) for seed in (0, 1)]
    full = made_up_run(AdaptSettings("m", "full", "sst2"), "1111", removes=False, latency_ratio=None)
    report = made_up_report((made_up_run(settings[0], "1100"), made_up_run(settings[1], "1110"), full))
    header, gated, whole = rows(report)
    assert dict(zip(header, gated, strict=True)) == {
        "method": "finegates",
        "target": "0.4",
        "removed": "0.401 ± 0.000",
        "soft": "0.300 ± 0.000",
        "trained parameters": "12,345",
        "accuracy, %": "62.5 ± 17.7",
        "F1, %": "62.5 ± 17.7",
        "latency ÷ dense": "0.75 ± 0.00",
        "training, s": "60",
        "peak memory, MB": "250",
        "seeds": "2",
    }
    assert whole[1:4] == ("", "", "") and whole[5] == "100.0" and whole[7] == ""


def test_all_methods_are_those_that_know_the_task() -> None:
    for task in ("era", "lm"):
        runs = planned(AdaptSettings("m", "", task), "all", (0.4,), 1, ())
        assert [each.method for each in runs] == [name for name in METHODS if task in METHODS[name].tasks]
    assert "head" not in {each.method for each in runs}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--method", "magic"), "no adaptation method 'magic'"),
        (("--method", ","), "--method takes names such as"),
        (("--method", "head", "--task", "lm"), "head does not do the task lm"),
        (("--task", "cola"), "no task 'cola'"),
        (("--target-sparsity", "a"), "--target-sparsity takes numbers"),
        (("--target-sparsity", "0.95"), "target sparsity must be from 0 to 0.9"),
        (("--setting", "magic=1"), "finegates has no setting 'magic'"),
        (("--setting", "gate_lr=7"), "must be a number from 1e-05 to 1"),
        (("--max-minutes", "0"), "number of minutes must be from"),
        (("--json", "/nowhere/out.json"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(command: Command, workbench: StandIn, options: Any, sentence: str) -> None:
    code, out, err = command("adapt", *options)
    assert code == 2 and sentence in err and out == "" and workbench.asked == ()


def test_its_json_is_described(command: Command) -> None:
    code, out, _ = command("schema", "adapt")
    assert not code and '"against_full"' in out and '"majority"' in out


def test_an_encoder_is_listed_and_not_compressed(command: Command) -> None:
    code, out, _ = command("models")
    assert not code and "minilm" in out and "use it with adapt" in out
    code, out, err = command("compress", "minilm", "--out", "never")
    assert code == 2 and "minilm is an encoder for classification: use it with adapt" in err and out == ""
