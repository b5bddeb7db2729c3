"""The real model through the real command line on the real text, and bad input through every entry."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydantic
import pytest
from rich.console import Console
from tiny import SENTENCES, write_tiny_llama

from compression.__main__ import SCHEMAS, main
from compression.commands import shared
from compression.commands.compare import comparison_rows
from compression.commands.shared import show_notes, show_table
from compression.types import Comparison, CompressionReport, LatencyReport, PerplexityReport, Progress

ROOT = Path(__file__).parent.parent
MODEL = "smollm2-135m-q4"
QUICK = ("--calibration-sequences", "8", "--sequence-length", "256")
WINDOWS = ("--window", "512", "--max-windows", "2")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "compression", *map(str, arguments)]


def run(*arguments: object, code: int = 0, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "400"} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == code, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command line in this process (a new one would spend its time importing); the sentence it ends with."""

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["compression", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert stopped.value.code == 2 and len(lines) == 1, lines
        return lines[0]

    return call


def run_here(*arguments: object) -> None:
    """The same in this process, whose workbench keeps model and statistics from one command to the next."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["compression", *map(str, arguments)])
        main()
    assert not ended.value.code


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three methods, one of them under both policies, on the built-in texts, small enough for a test.

    SVD-LLM comes last: the workbench then has what `test_compress_then_evaluate_in_a_new_process` writes.
    """
    file = tmp_path_factory.mktemp("compare") / "out.json"
    sizes = (*QUICK, *WINDOWS, "--removed", "0.2", "--json", file)
    parts = []
    for methods in (
        ("compot", "--policies", "uniform,pooled", "--iterations", "2"),
        ("svd,svd-llm", "--policies", "uniform"),
    ):
        run_here("compare", MODEL, "--methods", *methods, *sizes)
        parts.append(pydantic.TypeAdapter(Comparison).validate_json(file.read_bytes()))
    second, first = parts
    assert first.dense.perplexity == second.dense.perplexity
    return replace(first, runs=first.runs + second.runs)


def by_name(comparison: Comparison) -> dict[tuple[str, str], float]:
    return {(r.method, r.policy): r.perplexity for r in comparison.runs}


def test_compare_orders_the_methods_as_the_papers_do(comparison):
    perplexity = by_name(comparison)
    dense = comparison.dense.perplexity
    assert 15 < dense < 30
    assert dense < perplexity["compot", "pooled"] < perplexity["compot", "uniform"]
    assert perplexity["compot", "uniform"] < 0.75 * perplexity["svd-llm", "uniform"]
    assert perplexity["svd", "uniform"] > 100 * perplexity["svd-llm", "uniform"], "plain SVD ruins the model"
    warnings = {run.method: run.warning for run in comparison.runs}
    assert warnings["svd"] and "lesson" in warnings["svd"] and warnings["compot"] is None


def test_compare_meets_its_budget_and_reports_what_it_did(comparison):
    assert [(r.method, r.policy) for r in comparison.runs] == [
        *(("svd", "uniform"), ("svd-llm", "uniform"), ("compot", "uniform"), ("compot", "pooled"))
    ]
    for run_ in comparison.runs:
        assert 0.2 - 1e-6 <= run_.removed_fraction < 0.21
        assert 0.15 < run_.whole_model_removed_fraction < run_.removed_fraction
        assert len(run_.sites) == 210
        assert run_.tokens == comparison.dense.tokens == 2 * 511
        assert run_.stored_bits < comparison.dense.stored_bits
        assert run_.compress_seconds > 0 and run_.calibration_seconds > 0
        assert all(0 <= site.relative_output_error < 1.5 for site in run_.sites)
        assert 0 < run_.mean_kl < run_.p99_kl and 0 <= run_.top1_agreement < 1 and run_.seed == 0
    kl = {(r.method, r.policy): r.mean_kl for r in comparison.runs}
    agreement = {(r.method, r.policy): r.top1_agreement for r in comparison.runs}
    order = [("compot", "pooled"), ("svd-llm", "uniform"), ("svd", "uniform")]
    assert [kl[each] for each in order] == sorted(kl[each] for each in order)
    assert [agreement[each] for each in order] == sorted((agreement[each] for each in order), reverse=True)
    compot = next(r for r in comparison.runs if r.method == "compot" and r.policy == "uniform")
    assert compot.settings["iterations"] == 2
    for site in compot.sites:
        assert len(site.convergence) == 3
        assert list(site.convergence) == sorted(site.convergence, reverse=True)
    assert comparison.model_note == "rounded to 4 bits"
    assert comparison.environment.threads >= 1


def test_compress_then_evaluate_in_a_new_process(tmp_path, comparison, refusal, capsys):
    out = tmp_path / "out"
    options = ("--method", "svd-llm", "--removed", "0.2", *QUICK)
    run_here("compress", MODEL, *options, "--out", out, "--json", tmp_path / "report.json")
    report = pydantic.TypeAdapter(CompressionReport).validate_json((tmp_path / "report.json").read_bytes())
    on_disk = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    assert 8 * on_disk == pytest.approx(report.stored_bits, rel=0.01)
    assert report.removed_fraction >= 0.2 - 1e-6
    run("evaluate", out, *WINDOWS, "--json", tmp_path / "eval.json", cwd=tmp_path)
    measured = pydantic.TypeAdapter(PerplexityReport).validate_json((tmp_path / "eval.json").read_bytes())
    assert measured.stored_bits == report.stored_bits
    assert measured.perplexity == pytest.approx(by_name(comparison)["svd-llm", "uniform"], abs=1e-3)
    run_here("latency", out, "--prompt-tokens", "32", "--decode-tokens", "2", "--json", tmp_path / "latency.json")
    printed = capsys.readouterr().out
    timing = pydantic.TypeAdapter(LatencyReport).validate_json((tmp_path / "latency.json").read_bytes())
    assert list(timing.prefill) == ["dense", "compressed"]
    assert "low-rank layers run factor by factor" in printed and "threads" in printed
    assert "not empty" in refusal("compress", MODEL, *options, "--out", out)  # never overwrites


def write_tiny(folder: Path) -> tuple[object, ...]:
    """Write a tiny model and a text to `folder`; the options that calibrate on it."""
    write_tiny_llama(folder / "tiny")
    (folder / "text.txt").write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    return "--calibration", folder / "text.txt", "--calibration-sequences", "8", "--sequence-length", "32"


@contextmanager
def learning(name: str, folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command on a tiny model, in the midst of thousands of steps of which the first are in its cache."""
    options = (*write_tiny(folder), "--setting", "steps=4000", "--gradient-sequences", "8")
    process = subprocess.Popen(
        command(name, folder / "tiny", *options, *arguments),
        cwd=ROOT,
        env=os.environ | {"COMPRESSION_CACHE": str(folder / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list((folder / "cache").glob("positions/*.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.poll() is None, "it was over before it could be stopped"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_compress_leaves_no_directory(tmp_path):
    out = tmp_path / "out"
    with learning("compress", tmp_path, "--method", "dobi-svd", "--policy", "own", "--out", out) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists()
        assert not list(tmp_path.glob("*out*.tmp"))


def test_interrupted_learning_says_one_sentence_and_the_same_command_goes_on(tmp_path):
    compare = ("--methods", "dobi-svd", "--policies", "own", "--text", tmp_path / "text.txt", "--window", "32")
    with learning("compare", tmp_path, *compare) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert "the same command goes on from there." in said
    assert len(list((tmp_path / "cache").glob("positions/*.safetensors"))) == 1


def test_analyze_and_allocate_describe_every_site(tmp_path, capsys):
    run_here("analyze", MODEL, *QUICK, "--json", tmp_path / "analysis.json")
    info = pydantic.TypeAdapter(SCHEMAS["analyze"]).validate_json((tmp_path / "analysis.json").read_bytes())
    assert len(info.spectra) == 210
    assert info.spectra[0].indices[0] == 1 and info.spectra[0].indices[-1] == info.spectra[0].full_rank == 576
    assert info.spectra[0].break_even_rank == 288
    for spectrum in info.spectra:
        assert spectrum.plain[0] == spectrum.whitened[0] == 1
        assert list(spectrum.whitened_lost_energy) == sorted(spectrum.whitened_lost_energy, reverse=True)
        assert 1 <= spectrum.effective_rank <= spectrum.full_rank
    run_here("allocate", MODEL, "--removed", "0.2", "--policy", "pooled", "--json", tmp_path / "allocation.json")
    fractions = json.loads((tmp_path / "allocation.json").read_text())["removed_fractions"]
    assert len(fractions) == 210 and 0 <= min(fractions.values()) < max(fractions.values()) <= 0.8
    printed = capsys.readouterr().out
    assert "20.0" in printed and "whole model" in printed
    tabulated = info.allocation_at("pooled", 0.2).removed_fractions
    assert tabulated == pytest.approx(fractions, abs=1e-4)


def test_bad_input_from_a_shell_shows_no_traceback():
    result = run("evaluate", "no-such-model", code=2)
    assert result.stderr.startswith("error: There is no model 'no-such-model'") and result.stdout == ""


@pytest.mark.parametrize("text", ["[/x]", "[red]", ":smile:"])
def test_brackets_and_colons_mean_themselves(text, refusal, monkeypatch, capsys):
    """In a refusal, a table, a note, and what a running command says."""
    assert f"no model '{text}'" in refusal("analyze", text)
    show_table([("name", text), (text, "1")])
    show_notes((text,))
    assert capsys.readouterr().out.count(text) == 3

    def steps():
        yield Progress("run", 0, 1, f"about {text}")

    screen = Console(file=io.StringIO(), force_terminal=True, width=80, markup=False, emoji=False)
    monkeypatch.setattr(shared, "errors", screen)
    shared.run(steps())
    assert screen.file.getvalue().count(text) >= 2, "in the line, and in the bar"


def test_models_lists_the_catalogue_and_schemas_describe_the_json():
    listing = run("models").stdout
    assert MODEL in listing and "rounded to 4 bits" in listing and "sotu-calibration" in listing
    assert json.loads(run("schema", "analyze").stdout)["type"] == "object"
    assert len(json.loads(run("schema", "compare").stdout)["anyOf"]) == 2
    for command, kind in SCHEMAS.items():
        described = pydantic.TypeAdapter(kind).json_schema()
        # Of a text or of speech: one of two objects.
        kinds = [described["$defs"][each["$ref"].rpartition("/")[2]] for each in described.get("anyOf", ())]
        assert all(each["type"] == "object" for each in kinds or [described]), command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", MODEL, "--removed", "1.2"), "from 0 to 0.95"),
        (("compare", MODEL, "--removed", "nan"), "from 0 to 0.95"),
        (("compare", MODEL, "--removed", "a,b"), "needs numbers separated by commas"),
        (("compare", MODEL, "--methods", ","), "--methods needs at least one name"),
        (("compare", MODEL, "--methods", "dense"), "no method 'dense'"),
        (("allocate", MODEL, "--policy", "magic"), "no allocation policy 'magic'"),
        (("compare", MODEL, "--methods", "magic"), "no method 'magic': expected one of"),
        (("compare", MODEL, "--policies", "magic"), "no allocation policy 'magic'"),
        (("compare", MODEL, "--seeds", "0"), "number of seeds must be from 1 to 16, but 0"),
        (("compare", MODEL, "--iterations", "-3"), "alternations must be a number from 0 to 200"),
        (("compare", MODEL, "--json", "/nowhere/out.json"), "does not exist"),
        (("compare", MODEL, "--json", "x" * 300), "cannot be written (File name too long)"),
        (("allocate", MODEL, "--removed", "-0.1"), "from 0 to 0.95"),
        (("allocate", MODEL, "--guard-least", "0.9"), "least ≤ most"),
        (("allocate", "no-such-model"), "no model 'no-such-model'"),
        (("evaluate", "no-such-model"), "no model 'no-such-model'"),
        (("evaluate", MODEL, "--text", "no-such-text"), "no-such-text"),
        (("evaluate", MODEL, "--text", sys.executable), "text"),
        (("analyze", MODEL, "--calibration-sequences", "0"), "must be from 1 to 65536"),
        (("schema", "nothing"), "no schema"),
        (("predict", MODEL, "--removed", "0.2,0.7"), "reaches from 0 to 0.6 removed, but 0.7 was asked for"),
        (("predict", MODEL, "--method", "dense"), "no method 'dense'"),
        (("predict", "no-such-model"), "no model 'no-such-model'"),
        (("predict", MODEL, "--seed", "-1"), "seed must be a whole number from 0"),
        (("allocate", MODEL, "--pin", "everything"), "A pin is a site name or pattern and a removed fraction"),
        (("allocate", MODEL, "--pin", "nowhere=0.5"), "No site is called 'nowhere'"),
        (("allocate", MODEL, "--pin", "*.0.*=0.9", "--removed", "0.01"), "With these pins the removed fraction can be"),
        (("bench", "inference", MODEL, "--prompt-tokens", "0"), "must be from 1"),
        (("bench", "solver", "--model", MODEL, "--methods", "magic"), "no method 'magic'"),
        (("bench", "solver", "--model", MODEL, "--setting", "ridge=1"), "has no setting 'ridge': expected one of"),
        (("compare", MODEL, "--methods", "compot", "--setting", "magic=1"), "compot has no setting 'magic'"),
        (("compare", MODEL, "--setting", "damping"), "A setting is a name and a number, such as"),
        (("compress", MODEL, "--out", "x", "--setting", "=1"), "A setting is a name and a number, such as"),
        (("predict", MODEL, "--setting", "damping=much"), "A setting is a name and a number, such as"),
        (
            ("compress", MODEL, "--out", "x", "--setting", "iterations=2.5"),
            "alternations must be a whole number from 0",
        ),
        (("compress", MODEL, "--out", "x", "--setting", "iterations=nan"), "alternations must be a number from 0"),
        (("compare", MODEL, "--preset", "magic"), "no preset 'magic': expected one of quick, paper"),
        (("predict", MODEL, "--preset", "magic"), "no preset 'magic': expected one of quick, paper"),
        (("bench", "solver", "--model", MODEL, "--preset", "magic"), "no preset 'magic'"),
        (
            ("compare", MODEL, "--methods", "svd-llm", "--policies", "learned"),
            "svd-llm has none to learn: choose",
        ),
        (("gallery", "--part", "some"), "no part 'some' of the gallery: expected one of all, headline, comparators"),
        (("bench", "cospadi", MODEL, "--threads", "0"), "needs at least one thread"),
        (("ablate", MODEL, "--claims", "magic"), "no claim 'magic': expected one of ratio, start, allocation"),
        (("ablate", MODEL, "--claims", ","), "--claims needs at least one name"),
        (("ablate", MODEL, "--removed", "0"), "Nothing is compressed at a removed fraction of 0"),
        (("ablate", MODEL, "--removed", "1.2"), "from 0 to 0.95"),
        (("ablate", MODEL, "--max-windows", "1"), "at least 2 are needed, but 1 was given"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_a_code(arguments, message, refusal):
    assert message in refusal(*arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"one", "has 1 token"), (b"\x00\x01\xff\xfe" * 50, "text")],
    ids=["empty", "one token", "binary"],
)
def test_bad_texts_end_in_one_sentence(content, message, tmp_path, refusal):
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    assert message in refusal("evaluate", MODEL, "--text", file)
    assert refusal("compress", MODEL, "--calibration", file, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_perplexity_beyond_every_float_is_still_a_report():
    from compression.evaluation.metrics import pooled_perplexity

    assert pooled_perplexity([[1e4, 1e4]])["perplexity"] == math.inf


@pytest.fixture
def tiny_compare(tmp_path, cache) -> Callable[..., tuple[str, dict]]:
    """Compare on a tiny model; what is printed and the JSON."""
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")

    def call(*arguments: object) -> tuple[str, dict]:
        text, sizes = tmp_path / "text.txt", ("--calibration-sequences", 8, "--sequence-length", 32)
        result = run(
            *("compare", tmp_path / "tiny", "--calibration", text, "--text", text, *sizes, "--window", 32),
            *("--removed", "0.3", "--markdown", "--json", tmp_path / "out.json", *arguments),
            COMPRESSION_CACHE=str(cache),
        )
        return result.stdout, json.loads((tmp_path / "out.json").read_text())

    return call


def test_compare_over_seeds_prints_one_row_a_setting_and_writes_every_run(tiny_compare):
    printed, written = tiny_compare("--methods", "svd,svd-llm", "--policies", "own", "--seeds", "2")
    assert [(r["method"], r["seed"]) for r in written["runs"]] == [("svd", 0), ("svd-llm", 0), ("svd-llm", 1)]
    header, _, dense, svd, svd_llm, *captions = printed.splitlines()
    titles = [cell.strip() for cell in header.strip("|").split("|")]
    assert titles[5:] == [
        *("over seeds", "predicted", "mean KL, nats", "99th percentile KL, nats", "same top-1", "compress, s")
    ]
    cells = [cell.strip() for cell in svd_llm.strip("|").split("|")]
    run_ = written["runs"][1]
    assert cells[7:10] == [f"{run_['mean_kl']:.3f}", f"{run_['p99_kl']:.2f}", f"{run_['top1_agreement']:.1%}"]
    low, high = sorted(r["perplexity"] for r in written["runs"][1:])
    assert cells[5] == f"{low:.2f} to {high:.2f} (2 seeds)"
    assert svd.split("|")[6].strip() == "" and dense.count("|") == header.count("|")
    assert "KL(dense ‖ compressed)" in captions[-2] + captions[-1] and "Over seeds" in captions[-2] + captions[-1]


def test_results_from_before_divergences_and_seeds_still_read_and_print(comparison):
    written = pydantic.TypeAdapter(Comparison).dump_python(comparison, mode="json")
    for each in written["runs"]:
        for field in ("mean_kl", "p99_kl", "top1_agreement", "seed"):
            del each[field]
    old = pydantic.TypeAdapter(Comparison).validate_python(written)
    assert {(r.mean_kl, r.p99_kl, r.top1_agreement, r.seed) for r in old.runs} == {(None, None, None, 0)}
    header, *rows = comparison_rows(old)
    assert not {"mean KL, nats", "over seeds"} & set(header) and {len(row) for row in rows} == {len(header)}


def test_predict_answers_again_from_its_table(tmp_path, cache):
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    sizes = ("--calibration-sequences", 8, "--sequence-length", 32, "--gradient-sequences", 8)
    call = (
        "predict",
        tmp_path / "tiny",
        "--calibration",
        tmp_path / "text.txt",
        *sizes,
        "--json",
        tmp_path / "out.json",
    )
    run(*call, COMPRESSION_CACHE=str(cache))
    first = json.loads((tmp_path / "out.json").read_text())
    answer = run(*call, COMPRESSION_CACHE=str(cache), PYTHONPROFILEIMPORTTIME="1")
    assert " torch" not in answer.stderr, "a table needs no torch"
    second = json.loads((tmp_path / "out.json").read_text())
    assert second == first
    assert second["dense"]["perplexity"] > 1 and second["measured"]
    assert bool(second["predictions"]) != bool(second["problem"])
