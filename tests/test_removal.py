"""The same share removed in several patterns: what leaves, and that every shrunk model still runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import finish
from tiny_bert import batches_of, tiny_bert
from tiny_encoder import write_tiny_encoder
from typer.testing import CliRunner

from compression import store
from compression.__main__ import app
from compression.adaptation.removal import open_for, time_patterns
from compression.adaptation.removal_report import PATTERNS, RemovalReport
from compression.adaptation.shrink import folded_linear, kept_parts, removed_weights, shrink
from compression.adaptation.structure import structure_of
from compression.errors import UserError


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_removes_what_was_asked_for_and_little_more(pattern: str) -> None:
    model = tiny_bert()
    structure = structure_of(model)
    kept = kept_parts(structure, open_for(model, structure, pattern, 0.3, 0))
    removed, total = removed_weights(kept)
    assert 0.3 <= removed / total < 0.4
    whole = {name: bool(part.rows.all() or part.columns.all()) for name, part in kept.items()}
    attention = [name for block in structure.blocks for name in block.attention]
    assert all(whole.values()) == (pattern in ("neurons", "heads-and-neurons"))
    untouched = all(kept[name].stored == kept[name].total for name in attention)
    assert untouched == (pattern in ("neurons", "scattered-mlp"))
    smaller = shrink(model, structure, {name: folded_linear(model, name) for name in structure.layers}, kept).eval()
    inputs = {name: value for name, value in batches_of(model)[0].items() if name != "labels"}
    with torch.no_grad():
        assert torch.isfinite(smaller(**inputs).logits).all()


def test_the_command_times_every_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    write_tiny_encoder(tmp_path / "encoder")
    out = tmp_path / "out.json"
    call = ["bench", "removal", str(tmp_path / "encoder"), "--removed", "0.25", "--json", str(out)]
    shown = CliRunner().invoke(app, call, catch_exceptions=False).output
    report = store.read_json(out, RemovalReport)
    assert [each.pattern for each in report.timings] == list(PATTERNS) and all(p in shown for p in PATTERNS)
    assert all(0.25 <= each.removed_fraction < 0.4 for each in report.timings)
    assert all([time.batch for time in each.latency] == [1, 16] for each in report.timings)
    assert all(time.ratio > 0 for each in report.timings for time in each.latency)


@pytest.mark.parametrize(
    ("share", "sentence"), [(0.0, "must be above 0"), (0.7, "at most 0.6"), (0.6, "neurons cannot remove 60%")]
)
def test_a_share_out_of_reach_is_refused(tmp_path: Path, share: float, sentence: str) -> None:
    write_tiny_encoder(tmp_path)
    with pytest.raises(UserError, match=sentence):
        finish(time_patterns(str(tmp_path), share))
