"""What compression changed: every figure beside plain calls of the two models, on a tiny Llama and a tiny Whisper."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import CONFIGS, loaded
from speech_samples import made_up, plant_spelling_table, tone, write_folder
from tiny import SENTENCES, finish, tiny_llama, tiny_tokenizer, write_tiny_llama
from tiny_whisper import tiny_whisper_tokenizer, write_tiny_whisper

from compression import export, models
from compression.errors import UserError
from compression.evaluation.changes import measure_changes, reading_windows, said_after, token_pieces, word_groups
from compression.evaluation.changes_report import ChangesReport, DriftReport, DriftStage, UnitChange
from compression.evaluation.drift import watched
from compression.recipe import Recipe
from compression.speech.clips import SAMPLE_RATE
from compression.speech.prompt import prompt_tokens
from compression.speech.workbench import SpeechWorkbench
from compression.types import TextSource

TEXT = "The quick brown fox jumps over 5 lazy zebras — naïve 🦊 liquor.\n\nPack my box, daft dog!"
OTHER = " ".join(SENTENCES) * 40
ACCENTS = "naïve 🦊 — 漢字 é"


def sentence(steps: Any) -> str:
    """The one sentence with which work is refused."""
    with pytest.raises(UserError) as caught:
        finish(steps)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


def perturbed(model: Any, scale: float = 0.3, seed: int = 1) -> Any:
    """The same model with every weight of its blocks a little off."""
    import copy

    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if "layers." in name and parameter.ndim == 2:
                parameter += scale * parameter.std() * torch.randn_like(parameter)
    return other


def drift_by_hand(dense: list[torch.Tensor], compressed: list[torch.Tensor]) -> list[tuple[float, float]]:
    """Pooled error and median over positions from lists of (windows of positions, width), a list entry a stage."""
    found = []
    for before, after in zip(dense, compressed, strict=True):
        pooled = ((after - before).pow(2).sum() / before.pow(2).sum()).sqrt()
        each = [float((a - b).norm() / b.norm()) for a, b in zip(after, before, strict=True)]
        found.append((float(pooled), float(np.median(each))))
    return found


# Text


@pytest.fixture
def small(tmp_path: Path, cache: Path) -> Recipe:
    """A recipe for a tiny Llama."""
    write_tiny_llama(tmp_path / "tiny", tied=False)  # a tied one predicts the token it has just read
    (tmp_path / "text.txt").write_text(OTHER, encoding="utf-8")
    return Recipe(
        str(tmp_path / "tiny"),
        "svd",
        "uniform",
        0.4,
        calibration_text=str(tmp_path / "text.txt"),
        num_sequences=4,
        sequence_length=32,
    )


def test_flips_losses_and_drift_are_those_of_plain_model_calls(small: Recipe, tmp_path: Path) -> None:
    bench = SpeechWorkbench()
    steps = bench.changes(small, TEXT, window=16)
    seen = []
    try:
        while True:
            seen.append(next(steps))
    except StopIteration as stop:
        report: ChangesReport = stop.value
    finish(bench.compress_to(small, tmp_path / "out"))
    dense, compressed = finish(models.load(small.model_id)).model, export.load(tmp_path / "out").model
    ids = tiny_tokenizer()(TEXT, return_tensors="pt").input_ids[0]
    assert len(ids) % 16 > 1, "the last window is shorter, and counts"
    losses: dict[Any, list[float]] = {dense: [], compressed: []}
    tops: dict[Any, list[int]] = {dense: [], compressed: []}
    states: dict[Any, list[list[torch.Tensor]]] = {dense: [], compressed: []}
    with torch.no_grad():
        for window in ids.split(16):
            for model in (dense, compressed):
                output = model(window[None], output_hidden_states=True)
                logs = torch.log_softmax(output.logits[0, :-1], -1)
                losses[model] += [-float(logs[i, window[i + 1]]) for i in range(len(window) - 1)]
                tops[model] += output.logits[0, :-1].argmax(-1).tolist()
                states[model].append([state[0] for state in output.hidden_states])
    assert report.flipped_positions == report.flipped == sum(a != b for a, b in zip(*tops.values(), strict=True)) > 0
    assert report.positions == len(report.predicted) == len(losses[dense])
    assert [unit.dense_loss for unit in report.predicted] == pytest.approx(losses[dense], rel=1e-5)
    assert [unit.compressed_loss for unit in report.predicted] == pytest.approx(losses[compressed], rel=1e-5)
    assert [unit.flipped for unit in report.predicted] == [a != b for a, b in zip(*tops.values(), strict=True)]
    assert report.dense_loss == pytest.approx(np.mean(losses[dense]), rel=1e-6)
    assert report.compressed_perplexity == pytest.approx(np.exp(np.mean(losses[compressed])), rel=1e-5)
    assert "".join(unit.text for unit in report.units) == TEXT
    assert report.tokens_used == report.tokens_total == len(ids) == len(report.units)
    assert [unit.passage for unit in report.units] == [i // 16 for i in range(len(ids))]
    assert [unit.rise is None for unit in report.units] == [i % 16 == 0 for i in range(len(ids))]
    by_hand = drift_by_hand(
        *([torch.cat(stage) for stage in zip(*states[model], strict=True)] for model in (dense, compressed))
    )
    found = report.drift.stages
    # transformers' last hidden state is behind the final norm: that behind the last block is not in its list.
    for ours, (pooled, median) in zip([*found[:-2], found[-1]], by_hand, strict=True):
        assert (ours.pooled, ours.median) == pytest.approx((pooled, median), rel=1e-4, abs=1e-9)
    assert [(stage.kind, stage.block) for stage in found] == [
        ("embeddings", None),
        ("block", 0),
        ("block", 1),
        ("norm", None),
    ]
    assert found[0].pooled == 0 < found[1].pooled and report.drift.positions == {"": len(ids)}
    windows = [event for event in seen if event.stage == "changes"]
    assert [event.done for event in windows] == list(range(1, len(ids.split(16)) + 1))
    assert windows[-1].partial == report.drift != windows[0].partial
    assert (report.method, report.policy) == ("svd", "uniform") and report.removed_fraction >= 0.4 - 1e-6
    # A directory that compress wrote is the same model; a repeated question is answered from memory.
    again = finish(bench.changes(Recipe(str(tmp_path / "out")), TEXT, window=16))
    assert dataclasses.replace(again, seconds=report.seconds) == report
    assert finish(bench.changes(small, TEXT, window=16)) is report
    assert finish(bench.changes(small, TEXT, window=8)) is not report


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_stages_are_those_of_transformers_in_every_architecture(architecture: str) -> None:
    model = loaded(architecture).model
    ids = torch.arange(20)[None]
    seen: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        with watched(model, seen.__setitem__):
            model(ids, use_cache=False)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        theirs = model(ids, output_hidden_states=True, use_cache=False).hidden_states
    ours = [seen[stage] for stage in sorted(seen)]
    assert len(ours) == len(theirs) + 1
    for mine, other in zip([*ours[:-2], ours[-1]], theirs, strict=True):
        assert torch.equal(mine, other)


def test_nothing_removed_changes_nothing(small: Recipe) -> None:
    report = finish(SpeechWorkbench().changes(dataclasses.replace(small, removed_fraction=0.0), TEXT))
    assert report.same and report.flipped == 0 and report.dense_loss == report.compressed_loss
    assert all(stage.pooled == stage.median == 0 for stage in report.drift.stages)
    (verdict,) = report.drift.verdicts
    assert verdict.start is None and not verdict.heals and verdict.healed == 0


def test_a_tie_goes_to_the_first_token_in_both_models() -> None:
    model = tiny_llama(tied=False)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all logits are equal
    ids = tiny_tokenizer()(TEXT, return_tensors="pt").input_ids[0]
    report = finish(measure_changes(model, perturbed(model), tiny_tokenizer(), ids, TextSource("t", "", 1)))
    assert report.flipped == 0 and not any(stage.pooled == 0 for stage in report.drift.stages[1:])


def test_only_so_much_is_read_and_the_report_says_so(small: Recipe) -> None:
    report = finish(SpeechWorkbench().changes(small, OTHER, window=8, max_windows=3))
    assert (report.tokens_used, report.positions) == (24, 21) and report.tokens_total > 1000
    assert "same 24 tokens in windows of 8" in report.convention
    whole = tiny_llama()
    assert [len(piece) for piece in reading_windows(whole, torch.arange(9), 4, None)] == [4, 4]
    assert [len(piece) for piece in reading_windows(whole, torch.arange(3), 64, None)] == [3]


def test_what_cannot_be_read_is_said_in_a_sentence(small: Recipe) -> None:
    bench = SpeechWorkbench()
    assert "has 1 token, and the first one is never predicted" in sentence(bench.changes(small, "T"))
    assert "empty" in sentence(bench.changes(small, "  \n"))
    assert "longer than the model's context of 128" in sentence(bench.changes(small, TEXT, window=256))
    assert "at least 2 tokens" in sentence(bench.changes(small, TEXT, window=1))
    assert "At least one window" in sentence(bench.changes(small, TEXT, window=8, max_windows=0))
    assert "is the dense model itself" in sentence(bench.changes(Recipe(small.model_id), TEXT))
    assert "is a language model" in sentence(bench.changes_of_speech(small, tone(1.0)))


@pytest.mark.parametrize("tokenizer", [tiny_tokenizer(), tiny_whisper_tokenizer()], ids=["text", "speech"])
@pytest.mark.parametrize("text", [TEXT, ACCENTS, ACCENTS[:-1] + "\N{REPLACEMENT CHARACTER}", ""])
def test_pieces_make_up_the_text_and_a_character_belongs_to_the_token_that_completes_it(
    tokenizer: Any, text: str
) -> None:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    pieces = token_pieces(tokenizer, ids)
    assert "".join(pieces) == tokenizer.decode(ids) == text and len(pieces) == len(ids)
    if text == ACCENTS:
        before = [tokenizer.decode(ids[: place + 1]) for place in range(len(ids))]
        whole = ["".join(pieces[: place + 1]) for place in range(len(ids))]
        assert all(made == text.rstrip("\N{REPLACEMENT CHARACTER}") for made, text in zip(whole, before, strict=True))


def test_a_prediction_keeps_the_space_it_begins_with() -> None:
    tokenizer = tiny_tokenizer()
    first, second = tokenizer("The quick", add_special_tokens=False).input_ids[:1], tokenizer(" dog").input_ids
    assert said_after(tokenizer, first[0], second) == " dog"


# Where it starts


def stage(block: int | None, median: float, stack: str = "") -> DriftStage:
    return DriftStage(stack, "block" if block is not None else "norm", block, 2 * median, median)


@pytest.mark.parametrize(
    ("errors", "start", "peak", "heals"),
    [
        ([0.01, 0.05, 0.2, 0.4], 1, 3, False),
        ([0.0, 0.5, 0.3, 0.2], 1, 1, True),
        ([0.4, 0.3, 0.4, 0.33], 0, 0, False),
        ([0.0, 0.0], None, 0, False),
    ],
)
def test_where_the_damage_starts_and_whether_it_heals(
    errors: list[float], start: int | None, peak: int, heals: bool
) -> None:
    stages = tuple(stage(block, error) for block, error in enumerate(errors))
    (found,) = DriftReport((*stages, stage(None, 9.0)), {"": 1}).verdicts
    assert (found.start, found.peak, found.heals) == (start, peak, heals)
    assert found.last_error == errors[-1] and found.peak_error == max(errors)


def test_each_stack_has_a_verdict_of_its_own() -> None:
    stages = (stage(0, 0.1, "encoder"), stage(1, 0.2, "encoder"), stage(0, 0.5, "decoder"), stage(1, 0.1, "decoder"))
    encoder, decoder = DriftReport(stages, {}).verdicts
    assert (encoder.stack, encoder.peak, encoder.heals) == ("encoder", 1, False)
    assert (decoder.stack, decoder.peak, decoder.heals) == ("decoder", 0, True)
    assert decoder.healed == pytest.approx(0.8)


def test_context_ends_with_its_passage() -> None:
    units = tuple(UnitChange(f" w{i}", i // 4, dense_loss=0.0, compressed_loss=float(i == 6)) for i in range(8))
    report = ChangesReport("token", units, 8, 0, 0.0, 0.1, DriftReport((), {}), "", TextSource("", "", 0), 8, 8)
    assert report.around(6) == (" w4 w5", " w7") and report.around(2, 1) == (" w1", " w3")
    assert report.by_rise()[0] == 6


# Speech


@pytest.fixture
def spoken(tmp_path: Path, cache: Path) -> Recipe:
    """A recipe for a tiny Whisper."""
    plant_spelling_table(cache)
    write_tiny_whisper(tmp_path / "tiny")
    write_folder(tmp_path / "calibration", made_up(6))
    return Recipe(str(tmp_path / "tiny"), "svd", "uniform", 0.4, str(tmp_path / "calibration"), 4)


def test_words_and_both_stacks_are_those_of_plain_model_calls(spoken: Recipe, tmp_path: Path) -> None:
    bench, said, sound = SpeechWorkbench(), "the  quick brown zebras, jump", tone(0.9)
    report = finish(bench.changes_of_speech(spoken, sound, said))
    finish(bench.compress_to(spoken, tmp_path / "out"))
    source = finish(models.load(spoken.model_id))
    dense, compressed = source.model, export.load(tmp_path / "out").model
    features = source.feature_extractor(sound, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    prompt = prompt_tokens(dense, "en")
    ids = source.tokenizer(" the quick brown zebras, jump", add_special_tokens=False).input_ids
    ids = torch.tensor([*prompt, *ids, source.tokenizer.eos_token_id])
    losses, tops, states = {}, {}, {}
    for name, model in (("dense", dense), ("compressed", compressed)):
        with torch.no_grad():
            output = model(features, decoder_input_ids=ids[None, :-1], output_hidden_states=True)
        logits = output.logits[0, len(prompt) - 1 :]
        targets = ids[len(prompt) :]
        losses[name] = (-torch.log_softmax(logits, -1)).gather(1, targets[:, None])[:, 0].double()
        tops[name] = logits.argmax(-1)
        heard = [state[0, :45] for state in output.encoder_hidden_states]  # 0.9 s at 50 positions a second
        states[name] = [*heard, *(state[0] for state in output.decoder_hidden_states)]
    assert report.positions == len(losses["dense"])
    assert report.flipped_positions == int((tops["dense"] != tops["compressed"]).sum())
    assert [unit.text for unit in report.units] == [" the", " quick", " brown", " zebras,", " jump", "<|endoftext|>"]
    place = 0
    for unit in report.units:
        size = len(source.tokenizer(unit.text, add_special_tokens=False).input_ids)
        tokens = slice(place, place + size)
        assert unit.dense_loss == pytest.approx(float(losses["dense"][tokens].sum()), rel=1e-5)
        assert unit.compressed_loss == pytest.approx(float(losses["compressed"][tokens].sum()), rel=1e-5)
        assert unit.flipped == bool((tops["dense"][tokens] != tops["compressed"][tokens]).any())
        assert unit.compressed_says == source.tokenizer.decode(tops["compressed"][tokens])
        place += size
    assert report.dense_loss == pytest.approx(float(losses["dense"].mean()), rel=1e-5)
    assert any(unit.flipped for unit in report.units) and report.reference == "given"
    by_hand = drift_by_hand(states["dense"], states["compressed"])
    found = [each for each, after in pairwise(report.drift.stages) if after.kind != "norm"] + [report.drift.stages[-1]]
    for ours, (pooled, median) in zip(found, by_hand, strict=True):
        assert (ours.pooled, ours.median) == pytest.approx((pooled, median), rel=1e-4, abs=1e-9)
    assert report.drift.positions == {"encoder": 45, "decoder": len(ids) - 1}
    assert [verdict.stack for verdict in report.drift.verdicts] == ["encoder", "decoder"]
    assert finish(bench.changes_of_speech(spoken, sound, said)) is report


def test_without_words_those_of_the_dense_model_count(spoken: Recipe) -> None:
    bench, sound = SpeechWorkbench(), tone(1.0, seed=70)
    written = finish(bench.transcribe(Recipe(spoken.model_id), sound)).text
    report = finish(bench.changes_of_speech(spoken, sound))
    assert report.reference == "dense" and "the dense model writes down" in report.convention
    assert "".join(unit.text for unit in report.units) == f" {written}<|endoftext|>"


def test_a_folder_is_read_with_its_transcripts_and_what_does_not_fit_is_named(spoken: Recipe, tmp_path: Path) -> None:
    import soundfile

    folder = write_folder(tmp_path / "test", made_up(3))
    soundfile.write(folder / "long.flac", tone(31.0), SAMPLE_RATE)
    with (folder / "transcripts.tsv").open("a", encoding="utf-8") as file:
        file.write("long\ta model\n")
    report = finish(SpeechWorkbench().changes_on_recordings(spoken, str(folder)))
    assert report.notes[-1] == "long is longer than 30 seconds or has no transcript: it is left out."
    assert {unit.passage for unit in report.units} == {0, 1, 2} and report.reference == "given"
    assert sum(unit.text == "<|endoftext|>" for unit in report.units) == 3


def test_what_cannot_be_compared_in_speech_is_said_in_a_sentence(
    spoken: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = SpeechWorkbench()
    assert "at most 30 seconds" in sentence(bench.changes_of_speech(spoken, tone(31.0), "a model"))
    assert "has room for" in sentence(bench.changes_of_speech(spoken, tone(1.0), "zebra " * 70))
    assert "writes down speech" in sentence(bench.changes(spoken, TEXT))
    monkeypatch.setattr("compression.evaluation.transcription.transcribe_batch", lambda *_: [""])
    assert "writes nothing down for this recording" in sentence(bench.changes_of_speech(spoken, tone(1.0)))


def test_words_begin_at_spaces_and_an_end_is_one_by_itself() -> None:
    pieces, ids = (" a", "b", "", " é", ",", "<end>"), (5, 6, 7, 8, 9, 0)
    assert word_groups(pieces, ids, 0, "en") == [[0, 1], [2, 3, 4], [5]]
    assert word_groups(pieces, ids, 0, "ja") == [[0], [1], [2, 3], [4], [5]]
