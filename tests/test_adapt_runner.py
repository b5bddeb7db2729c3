"""The training loop and the runs made of it, on a tiny encoder and a tiny language model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tiny import finish, tiny_llama, write_tiny_llama
from tiny_encoder import write_tiny_encoder
from typer.testing import CliRunner

import compression.adaptation.methods  # noqa: F401 - registers them
from compression import export, store
from compression.__main__ import app
from compression.adaptation import folder, precision, tasks, training
from compression.adaptation.base import Setup, create_method
from compression.adaptation.masks import masks_of
from compression.adaptation.problems import LanguageModelling, f1_score
from compression.adaptation.runner import adapt_all
from compression.adaptation.structure import structure_of
from compression.adaptation.training import Stop
from compression.adaptation.types import AdaptReport, AdaptRun, AdaptSettings, GateMasks, Moment
from compression.errors import UserError
from compression.quantization.grid import QuantizationSettings
from compression.recipe import Recipe
from compression.types import TextSource
from compression.workbench import Workbench

WORDS = ["brown fox", "lazy dog", "liquor jugs", "quick zebras", "model of weights", "test a loader", "pack my box"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPRESSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def encoder(tmp_path: Path, cache: Path) -> str:
    write_tiny_encoder(tmp_path / "encoder")
    for name, first in (("train", 0), ("dev", 40)):
        rows = [f"the {WORDS[i % 7]} {WORDS[(3 * i + first) % 7]} {i + first}\t{i % 2}" for i in range(40)]
        (tmp_path / f"{name}.tsv").write_text("sentence\tlabel\n" + "\n".join(rows), encoding="utf-8")
    return str(tmp_path / "encoder")


def settings_for(encoder: str, method: str = "finegates", **changes: object) -> AdaptSettings:
    place = Path(encoder).parent
    made = AdaptSettings(
        encoder, method, "sst2", str(place / "train.tsv"), str(place / "dev.tsv"), 0.3, 1.0, 12, batch_size=8
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def run_all(*settings: AdaptSettings, out: Path | None = None, stop: Stop | None = None) -> AdaptReport:
    return finish(adapt_all(Workbench(), settings, out, stop))


def test_a_run_says_three_figures_and_its_folder_is_as_small_as_counted(encoder: str, tmp_path: Path) -> None:
    settings = settings_for(encoder)
    report = run_all(settings, out=tmp_path / "out")
    (run,) = report.runs
    assert run.target_sparsity == 0.3 <= run.removed_fraction < 0.5 and run.soft_sparsity is not None
    assert run.steps == 12 and run.score.items == 40 and len(run.score.correct) == 40
    assert run.accuracy == pytest.approx(run.score.correct.count("1") / 40)
    assert run.latency_ratio is not None and {latency.batch for latency in run.latency} == {1, 16}
    assert run.train_seconds > 0 and run.gates and run.curve
    place = tmp_path / "out" / "finegates-0.3-seed0"
    model, again = folder.load(place)
    assert again == run
    file = (place / folder.WEIGHTS_FILE).read_bytes()
    header = 8 + int.from_bytes(file[:8], "little")
    assert 8 * (len(file) - header) == run.stored_bits < run.original_bits
    stored = sum(model.get_submodule(name).weight.numel() for name in folder.structure_of(model).layers)
    assert stored == run.gated_parameters - run.removed_parameters
    assert json.loads((place / folder.RUN_FILE).read_text(encoding="utf-8"))["run"]["removed_fraction"] > 0.3
    masks = masks_of(model, run)
    assert [mask.site for mask in masks.masks] == list(folder.structure_of(model).layers)
    left = [mask.shape[0] * mask.shape[1] * (1 - mask.removed_fraction) for mask in masks.masks]
    assert sum(left) == pytest.approx(stored) and masks.removed_fraction == run.removed_fraction
    outputs = masks.masks[5]
    assert outputs.site.endswith("output.dense") and sum(b - a for a, b in outputs.kept_rows) == outputs.shape[0]
    CliRunner().invoke(app, ["masks", str(place), "--json", str(tmp_path / "masks.json")], catch_exceptions=False)
    assert store.read_json(tmp_path / "masks.json", GateMasks) == masks


def test_masks_of_a_model_that_lost_nothing_are_refused(encoder: str, tmp_path: Path) -> None:
    run_all(settings_for(encoder, "bitfit", steps=1), out=tmp_path / "out")
    with pytest.raises(UserError, match="bitfit removed no rows or columns"):
        masks_of(*folder.load(tmp_path / "out" / "bitfit-0.3-seed0"))


def test_a_finished_run_is_answered_from_the_cache_and_a_damaged_one_is_made_again(
    encoder: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(encoder, "bitfit")
    first = run_all(settings)
    trained = training.train
    monkeypatch.setattr("compression.adaptation.runner.train", lambda *_: pytest.fail("it was trained again"))
    assert run_all(settings) == first
    monkeypatch.setattr("compression.adaptation.runner.train", trained)
    (cell,) = [path for path in (cache / "adaptations").iterdir() if path.is_dir()]
    (cell / folder.RUN_FILE).write_text("{", encoding="utf-8")
    again = run_all(settings).runs[0]
    assert again.accuracy == first.runs[0].accuracy and again.score == first.runs[0].score


def test_going_on_from_a_checkpoint_is_never_having_stopped(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training, "EVENT_SECONDS", 0.0)
    settings = settings_for(encoder)
    steps = adapt_all(Workbench(), (settings,))
    while True:
        event = next(steps)
        if event.stage == "train" and event.done == 9:  # ranked, settled, and on the way to the end
            break
    steps.close()
    files = list((store.root() / "adaptations").glob("*.safetensors"))
    assert len(files) == 1
    taken: list[int] = []
    resumed = adapt_all(Workbench(), (settings,))
    try:
        while True:
            event = next(resumed)
            if event.stage == "train":
                taken.append(event.done)
    except StopIteration as stop:
        continued: AdaptRun = stop.value.runs[0]
    assert taken[0] >= 8 and not files[0].exists()
    monkeypatch.setenv("COMPRESSION_CACHE", str(store.root().parent / "other"))
    whole = run_all(settings).runs[0]
    assert continued.score == whole.score and continued.removed_fraction == whole.removed_fraction


def test_stopping_keeps_what_was_learned(encoder: str) -> None:
    stop = Stop()
    steps = adapt_all(Workbench(), (settings_for(encoder), settings_for(encoder, seed=1)), None, stop)
    seen = 0
    try:
        while True:
            event = next(steps)
            if event.stage == "train" and isinstance(event.partial, Moment):
                seen += 1
                stop.asked = True
    except StopIteration as end:
        report: AdaptReport = end.value
    (run,) = report.runs
    assert seen and run.steps < 12 and "is kept" in run.stopped
    assert run.removed_fraction >= 0.3


def test_a_loss_that_is_no_number_ends_training_with_the_last_good_state(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compression.adaptation.problems import Classification

    whole, calls = Classification.loss, []

    def breaks(self, model, batch):  # type: ignore[no-untyped-def]
        calls.append(1)
        return whole(self, model, batch) * (float("nan") if len(calls) > 5 else 1)

    monkeypatch.setattr(Classification, "loss", breaks)
    (run,) = run_all(settings_for(encoder, "full")).runs
    assert "stopped being a number at step 6" in run.stopped and run.steps == 5
    assert run.score.loss == run.score.loss


def test_time_decides_the_steps_where_none_are_given(encoder: str) -> None:
    (run,) = run_all(settings_for(encoder, "bitfit", steps=None, max_minutes=0.05)).runs
    assert run.steps > 12 and run.train_seconds < 10


class Clock:
    """Each look at the time takes `pace` seconds."""

    def __init__(self) -> None:
        self.now, self.pace = 0.0, 0.02

    def perf_counter(self) -> float:
        self.now += self.pace
        return self.now


@pytest.mark.parametrize("factor", [4, 0.5])
def test_a_machine_that_changes_its_pace_still_ends_the_schedule_in_time(
    encoder: str, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(training, "EVENT_SECONDS", 0.0)
    steps, plans, run = adapt_all(Workbench(), (settings_for(encoder, steps=None, max_minutes=0.2),)), [], None
    try:
        while True:
            event = next(steps)
            if event.stage == "train":
                if event.done == 50 and not plans:
                    clock.pace *= factor
                if event.done >= 50:
                    plans.append(event.total)
    except StopIteration as end:
        (run,) = end.value.runs
    assert run is not None and not run.stopped and run.steps == plans[-1]
    assert (plans[-1] < plans[0]) == (factor > 1)
    assert 0.85 * 12 < run.train_seconds < 1.05 * 12
    assert run.removed_fraction >= 0.3


def test_the_schedule_never_jumps_when_the_rest_is_planned_anew() -> None:
    done = training.Trained(steps=40, planned=100)
    done.plan_anew(60)
    assert (
        done.progress() == pytest.approx(0.4) and done.progress(20) == 1.0 and done.progress(10) == pytest.approx(0.7)
    )


def test_a_language_model_is_adapted_on_text(tmp_path: Path, cache: Path) -> None:
    write_tiny_llama(tmp_path / "llama")
    text = "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs. " * 60
    for name in ("train.txt", "eval.txt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings = AdaptSettings(
        str(tmp_path / "llama"),
        "finegates",
        "lm",
        str(tmp_path / "train.txt"),
        str(tmp_path / "eval.txt"),
        0.2,
        steps=6,
    )
    report = run_all(settings, out=tmp_path / "out")
    (run,) = report.runs
    assert run.accuracy is None and run.perplexity is not None and run.removed_fraction >= 0.2
    adapted = tmp_path / "out" / "finegates-0.2-seed0"
    model, _ = folder.load(adapted)
    assert model.config.model_type == "llama"
    quantised = tmp_path / "quantised"
    recipe = Recipe(str(adapted), calibration_text=str(tmp_path / "train.txt"), num_sequences=8, sequence_length=32)
    finish(Workbench().quantize_to(recipe, QuantizationSettings(8, 16), quantised))
    again = export.load(quantised)
    assert {site.representation for site in again.report.sites} == {"quantized rows and columns"}
    assert again.report.removed_fraction > 0.4, "half the bits, without scales and biases"
    tokens = torch.tensor([[1, 5, 9, 30, 2, 7]])
    with torch.no_grad():
        now, before = again.model(tokens).logits, model(tokens).logits
    assert float((now - before).norm() / before.norm()) < 0.02


def test_runs_of_one_report_share_the_tokenised_examples_and_nothing_else(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    whole = tasks.encode
    monkeypatch.setattr(tasks, "encode", lambda *arguments: encoded.append(1) or whole(*arguments))
    settings = settings_for(encoder, "bitfit", steps=4), settings_for(encoder, "full", steps=4)
    first, second = run_all(*settings).runs
    assert len(encoded) == 2, "what is learned and what is measured, each once"
    monkeypatch.setenv("COMPRESSION_CACHE", str(store.root().parent / "other"))
    assert run_all(settings[1]).runs[0].score == second.score and first.score != second.score


def test_a_step_in_parts_is_the_same_step_and_shows_itself_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EVENT_SECONDS", 0.0)
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda _device: False)
    tokens = torch.randint(2, 60, (8, 12), generator=torch.Generator().manual_seed(0))
    trained, events = [], []
    for one_by_one in (False, True):
        model = tiny_llama()
        source = TextSource("t", "", 0)
        problem = LanguageModelling(tokens, tokens[0], source, 4, 0, 12, one_by_one=one_by_one)
        setup = Setup(model, structure_of(model), 0.3, lambda: problem.batches(9), problem.loss, parts=problem.parts)  # noqa: B023
        adapter = create_method("full").attach(setup)
        steps = training.train(adapter, problem, training.Plan(0.0, 3, 1e-2, 1e-2, 0))
        events.append(sum(event.partial is not None for event in steps))
        trained.append(adapter.state())
    assert events[1] >= events[0] + 2 * 3  # after the first step, one for each further part
    for name, value in trained[0].items():
        assert torch.allclose(value, trained[1][name], atol=2e-4), name


def test_ranking_and_measuring_are_a_stage_of_their_own(encoder: str) -> None:
    """Nobody should reckon from them how long the steps still take."""
    said: dict[str, list[str]] = {"train": [], "prepare": []}
    steps = adapt_all(Workbench(), (settings_for(encoder),))
    for event in steps:
        said.setdefault(event.stage, []).append(event.message)
    assert any(message.startswith("ranking the gates") for message in said["prepare"])
    assert any(message.startswith("measuring") for message in said["prepare"])
    assert all(message.startswith(("training", "timing")) for message in said["train"])


def test_events_within_long_steps_leave_the_curves_their_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "time", Clock())  # each look takes 0.02 s: a step is longer than an event may wait
    monkeypatch.setattr(training, "EVENT_SECONDS", 0.21)
    tokens = torch.randint(2, 60, (8, 12), generator=torch.Generator().manual_seed(0))
    problem = LanguageModelling(tokens, tokens[0], TextSource("t", "", 0), 4, 0, 12, one_by_one=True)
    model = tiny_llama()
    setup = Setup(model, structure_of(model), 0.3, lambda: problem.batches(9), problem.loss, parts=problem.parts)
    adapter = create_method("full").attach(setup)
    done = finish(training.train(adapter, problem, training.Plan(0.0, 8, 1e-3, 1e-3, 0)))
    assert [point.step for point in done.curve] == list(range(1, 9))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "nothing"}, "no adaptation method"),
        ({"task": "cola"}, "no task 'cola'"),
        ({"target_sparsity": 0.95}, "target sparsity must be from 0 to 0.9"),
        ({"target_sparsity": 0.9}, "out of reach"),
        ({"settings": (("lambda", 1.0),)}, "has no setting 'lambda'"),
        ({"task": "lm", "train": "", "evaluation": ""}, "is a bert|causal language model"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(encoder: str, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run_all(settings_for(encoder, **changes))


def test_runs_of_one_report_share_model_and_data(encoder: str) -> None:
    with pytest.raises(UserError, match="share model, task and data"):
        run_all(settings_for(encoder), settings_for(encoder, task="era"))


def test_a_damaged_folder_is_refused(encoder: str, tmp_path: Path) -> None:
    run_all(settings_for(encoder), out=tmp_path / "out")
    place = tmp_path / "out" / "finegates-0.3-seed0"
    with pytest.raises(UserError, match=r"has no adaptation\.json"):
        folder.load(tmp_path)
    (place / folder.WEIGHTS_FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match="adapt the model again"):
        folder.load(place)


def test_f1_is_that_of_scikit_learn() -> None:
    answers, labels = torch.tensor([1, 0, 1, 1, 0]), torch.tensor([1, 1, 0, 1, 0])
    assert f1_score(answers, labels) == pytest.approx(2 / 3)
    three = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 2, 1])
    assert f1_score(*three) == pytest.approx((1 + 0 + 0.5) / 3)


@pytest.mark.parametrize(
    ("units", "dtype"),
    [({"amx_bf16": True}, torch.bfloat16), ({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)],
)
def test_products_are_in_sixteen_bits_only_where_the_processor_has_units_for_them(
    units: dict[str, bool], dtype: torch.dtype, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    layer = torch.nn.Linear(4, 4)
    with training.products(layer):
        assert layer(torch.ones(2, 4)).dtype == dtype
    run = run_all(settings_for(encoder, steps=6)).runs[0]
    assert any("bfloat16" in note for note in run.notes) == (dtype == torch.bfloat16)
    assert run.accuracy is not None and run.stored_bits < run.original_bits
