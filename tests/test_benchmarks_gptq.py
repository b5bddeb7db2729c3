"""``bench gptq``: layer by layer beside rounding to nearest; the other implementation is asked in a process."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import pytest
from speech_samples import made_up, write_folder
from tiny import SENTENCES, write_tiny_llama
from tiny_encoder import write_tiny_encoder
from tiny_whisper import write_tiny_whisper
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.benchmarks import gptq
from compression.benchmarks.gptq_report import GptqBenchmark
from compression.errors import UserError

ORACLE = """
import sys
from safetensors.torch import load_file, save_file
source, target, bits, group, symmetric, act_order, damping = sys.argv[1:]
tensors = load_file(source)
save_file({k[:-7]: (v * 0.9).contiguous() for k, v in tensors.items() if k.endswith("|weight")}, target)
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(" ".join(SENTENCES) * 60, encoding="utf-8")
    return tmp_path / "tiny"


def call(model: Path, *more: str) -> list[str]:
    calibrated = ["--calibration", str(model.parent / "text.txt"), "--calibration-sequences", "8"]
    return ["bench", "gptq", str(model), "--group-size", "16", "--sequence-length", "32", *calibrated, *more]


def test_every_layer_is_better_than_rounding_and_stands_beside_the_oracle(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out = model.parent / "oracle.py", model.parent / "out.json"
    script.write_text(ORACLE, encoding="utf-8")
    monkeypatch.setattr(gptq, "SCRIPT", script)
    CliRunner().invoke(
        app, call(model, "--bits", "4,3", "--oracle", sys.executable, "--json", str(out)), catch_exceptions=False
    )
    report = store.read_json(out, GptqBenchmark)
    assert [each.bits for each in report.settings] == [4, 3] and report.oracle == "llmcompressor"
    for each in report.settings:
        assert len(each.sites) == 14 and all(site.gptq < site.nearest for site in each.sites)
        assert all(site.oracle == pytest.approx(0.1, rel=1e-3) for site in each.sites), "a tenth of the weight is gone"
        assert each.over_nearest < 0.9
        assert each.over_oracle == pytest.approx(
            statistics.geometric_mean(site.gptq for site in each.sites) / 0.1, 1e-2
        )
        assert each.worst_over_oracle == max(site.gptq / site.oracle for site in each.sites)
    alone = CliRunner().invoke(app, call(model, "--bits", "4", "--json", str(out)), catch_exceptions=False)
    assert alone.exit_code == 0
    assert store.read_json(out, GptqBenchmark).settings[0].over_oracle is None


@pytest.mark.parametrize("kind", ["bert", "roberta", "whisper"])
def test_a_directory_of_any_kind_of_model_is_compared(
    kind: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder's head may tell apart whatever it likes: it has no part in what arrives at the layers."""
    place, out, calibration = tmp_path / kind, tmp_path / "out.json", model.parent / "text.txt"
    if kind == "whisper":
        write_tiny_whisper(place)
        calibration = write_folder(tmp_path / "recordings", made_up(6))
    else:
        write_tiny_encoder(place, kind, head=True, num_labels=5)
    (tmp_path / "oracle.py").write_text(ORACLE, encoding="utf-8")
    monkeypatch.setattr(gptq, "SCRIPT", tmp_path / "oracle.py")
    arguments = ["bench", "gptq", str(place), "--bits", "4", "--group-size", "16", "--oracle", sys.executable]
    arguments += ["--calibration", str(calibration), "--calibration-sequences", "6", "--sequence-length", "32"]
    CliRunner().invoke(app, [*arguments, "--json", str(out)], catch_exceptions=False)
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["inputs"] == calibration.name
    (setting,) = report["settings"]
    assert len(setting["sites"]) == {"bert": 12, "roberta": 12, "whisper": 32}[kind]
    for other in ("nearest", "oracle"):
        ratios = [site[f"over_{other}"] for site in setting["sites"]]
        assert ratios == [site["gptq"] / site[other] for site in setting["sites"]]
        assert setting[f"over_{other}"] == pytest.approx(statistics.geometric_mean(ratios))
        assert setting[f"worst_over_{other}"] == max(ratios)
    assert setting["over_nearest"] < 0.95


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--oracle", sys.executable), "The oracle failed .*compressed_tensors.*: name the interpreter"),
        (("--oracle", "/nowhere/python"), "did not answer"),
        (("--bits", "four"), "--bits takes whole numbers"),
        (("--bits", "9"), "from 2 to 8, but 9"),
    ],
)
def test_bad_input_is_one_sentence(model: Path, more: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        CliRunner().invoke(app, call(model, *more), catch_exceptions=False)
