"""The workbench on a tiny Whisper and made-up recordings: the whole way from sound to a compressed model's errors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import torch
from reference import as_saved
from safetensors.torch import load_file
from speech_samples import WORDS, made_up, plant_spelling_table, tone, write_folder
from tiny import SENTENCES, finish, write_tiny_llama
from tiny_whisper import write_tiny_whisper

from compression import export, forecast, models
from compression.errors import UserError
from compression.evaluation.transcription import CONVENTION
from compression.export import WEIGHTS_FILE
from compression.methods import METHODS
from compression.recipe import Recipe
from compression.speech.clips import SAMPLE_RATE
from compression.speech.recordings import held_out, load_recordings
from compression.speech.sequences import PROBE_CLIPS
from compression.speech.workbench import SpeechWorkbench
from compression.types import SpeechCalibration, SpeechComparison, SpeechRun, TranscriptionReport

RATES = ("wer", "wer_raw", "wer_low", "wer_high", "wer_stderr", "cer", "substitutions", "deletions", "insertions")
RATES += ("words", "real_time_factor", "utterances")
QUICK = {"cospadi": (("iterations", 2.0),), "compot": (("iterations", 2.0),), "compot-fisher": (("iterations", 2.0),)}
HEARD = [tone(1.0, seed=70), tone(1.7, seed=71)]


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    """Where a tiny Whisper, recordings to calibrate on and recordings to measure on are; one of them is in both."""
    plant_spelling_table(cache)
    write_tiny_whisper(tmp_path / "tiny")
    write_folder(tmp_path / "calibration", made_up(6))
    write_folder(tmp_path / "test", made_up(5))
    return tmp_path


@pytest.fixture
def recipe(folder: Path) -> Recipe:
    return Recipe(
        str(folder / "tiny"),
        "compot",
        "uniform",
        0.25,
        str(folder / "calibration"),
        6,
        iterations=2,
        gradient_sequences=6,
    )


def events_of(steps) -> tuple[list, object]:
    """All events of a generator, and its result."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def sentence(steps) -> str:
    """The one sentence with which work is refused."""
    with pytest.raises(UserError) as caught:
        finish(steps)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    return message


GRID = [(m, p) for m in ("svd-llm", "compot", "compot-fisher") for p in ("uniform", "pooled", "fisher")]


def grid(recipe: Recipe) -> tuple[Recipe, ...]:
    return tuple(dataclasses.replace(recipe, method=method, policy=policy) for method, policy in GRID)


# Compare


def test_a_comparison_of_methods_and_policies(recipe: Recipe, folder: Path) -> None:
    events, comparison = events_of(SpeechWorkbench().compare_speech(grid(recipe), str(folder / "test")))
    assert isinstance(comparison, SpeechComparison)
    assert [(run.method, run.policy) for run in comparison.runs] == GRID
    partials = [event.partial for event in events if event.stage == "run"]
    assert partials == [comparison.dense, *comparison.runs]
    assert isinstance(partials[0], TranscriptionReport) and all(isinstance(each, SpeechRun) for each in partials[1:])
    assert [(e.done, e.total) for e in events if e.stage == "run"] == [(done, 9) for done in range(10)]
    dense = comparison.dense
    for run in comparison.runs:
        # Every width of the tiny model lets a low rank hit a quarter; a dictionary rounds to whole nonzeros.
        assert 0.25 - 1e-6 <= run.removed_fraction < 0.26, (run.method, run.policy)
        weights = sum(site.shape[0] * site.shape[1] for site in run.sites)
        assert run.removed_fraction == pytest.approx(1 - run.site_stored_bits / (16 * weights))
        assert run.whole_model_removed_fraction == pytest.approx(1 - run.stored_bits / dense.stored_bits)
        assert 0 < run.whole_model_removed_fraction < run.removed_fraction
    uniform = {run.method: run for run in comparison.runs if run.policy == "uniform"}
    assert len({site.removed_fraction_target for site in uniform["compot"].sites}) == 1
    for run in comparison.runs:
        shares = {site.removed_fraction_target for site in run.sites}
        assert (len(shares) == 1) == (run.policy == "uniform"), (run.method, run.policy)
    for measured in (dense, *comparison.runs):
        assert {name for name in RATES if hasattr(measured, name)} == set(RATES)
        assert [each.id for each in measured.utterances] == ["clip-1", "clip-2", "clip-3", "clip-4"]
        assert measured.words == sum(len(WORDS[i].split()) for i in (1, 2, 3, 4)) == 15
        counted = measured.substitutions + measured.deletions + measured.insertions
        assert measured.wer == pytest.approx(counted / 15) and measured.wer_low <= measured.wer <= measured.wer_high
        raw = jiwer.wer([u.reference for u in measured.utterances], [u.hypothesis for u in measured.utterances])
        assert measured.wer_raw == pytest.approx(raw)
        assert measured.cer > 0 and 0 < measured.real_time_factor < 1
    assert dense.left_out == ("Recordings that the calibration has heard, and left out: 1.",)
    assert dense.source.num_clips == dense.clips == 4
    assert isinstance(comparison.calibration, SpeechCalibration) and comparison.calibration.source.num_clips == 6
    texts = {tuple(each.hypothesis for each in run.utterances) for run in (dense, *comparison.runs)}
    assert len(texts) > 7, "the models write different things"


def test_a_measured_cell_is_not_measured_again(recipe: Recipe, folder: Path) -> None:
    recipes = (recipe, dataclasses.replace(recipe, policy="pooled"))
    bench = SpeechWorkbench()
    first = finish(bench.compare_speech(recipes, str(folder / "test")))
    events, again = events_of(bench.compare_speech(recipes, str(folder / "test")))
    assert {event.stage for event in events} == {"run"} and again.runs == first.runs and again.dense is first.dense
    # In another process the dense model alone is measured, and nothing is compressed.
    events, again = events_of(SpeechWorkbench().compare_speech(recipes, str(folder / "test")))
    stages = [event.stage for event in events]
    assert not {"calibrate", "gradients", "compress", "spectra"} & set(stages) and stages.count("transcribe") == 1
    assert again.runs == first.runs and again.dense.wer == first.dense.wer
    changes = {
        "removed_fraction": 0.3,
        "seed": 1,
        "count_padding": True,
        "num_sequences": 5,
        "settings": (("random_start", 1.0),),
        "pins": (("*.encoder.*", 0.1),),
    }
    for name, value in changes.items():
        changed = dataclasses.replace(recipe, **{name: value})
        events, other = events_of(SpeechWorkbench().compare_speech((changed,), str(folder / "test")))
        assert "compress" in {event.stage for event in events}, f"taken for the same: {name}"
        assert other.runs[0].sites != first.runs[0].sites, name
    words = folder / "test" / "transcripts.tsv"
    words.write_text(words.read_text().replace("a model", "the model"))
    events, other = events_of(SpeechWorkbench().compare_speech((recipe,), str(folder / "test")))
    assert "compress" in {event.stage for event in events}, "other words under the same name"
    assert other.runs[0].utterances[2].reference == "the model"


def test_what_is_left_out_is_that_of_this_comparison(recipe: Recipe, folder: Path) -> None:
    """The same recordings remain in both: what is remembered of the first may not speak for the second."""
    bench = SpeechWorkbench()
    finish(bench.compare_speech((recipe,), str(folder / "test")))
    write_folder(folder / "rest", dataclasses.replace(made_up(5), clips=made_up(5).clips[1:]))
    rest = finish(bench.compare_speech((recipe,), str(folder / "rest"))).dense
    assert (rest.left_out, rest.source.name) == ((), "rest")


def test_recordings_that_are_all_known_are_no_test(recipe: Recipe, folder: Path) -> None:
    message = sentence(SpeechWorkbench().compare_speech((recipe,), str(folder / "calibration")))
    assert message.startswith("All recordings of calibration are among those for calibration, calibration: name others")


def test_what_calibration_has_heard_is_known_by_its_sound(folder: Path) -> None:
    calibrated = finish(load_recordings(str(folder / "calibration")))
    same, other = calibrated.clips[2].samples, tone(0.8, seed=99)
    renamed = folder / "renamed"
    renamed.mkdir()
    soundfile.write(renamed / "a.wav", same, SAMPLE_RATE)  # another name and another format
    soundfile.write(renamed / "clip-0.wav", other, SAMPLE_RATE)  # a name that the calibration has
    soundfile.write(renamed / "b.wav", same * 0.9, SAMPLE_RATE)
    (renamed / "transcripts.tsv").write_text("a\tother words\nclip-0\tsome words\nb\tquiet words\n")
    measured = finish(load_recordings(str(renamed)))
    kept = held_out(measured, calibrated)
    assert [clip.id for clip in kept.clips] == ["clip-0", "b"]
    assert kept.left_out == ("Recordings that the calibration has heard, and left out: 1.",)
    assert kept.source.num_clips == 2 and kept.source.seconds == pytest.approx(sum(c.seconds for c in kept.clips))
    assert kept.source.fingerprint != measured.source.fingerprint
    assert held_out(kept, calibrated) is kept


def test_padding_that_counts_changes_the_result(recipe: Recipe) -> None:
    counted = dataclasses.replace(recipe, count_padding=True)
    masked_model, counted_model = (finish(SpeechWorkbench().inputs(each)) for each in (recipe, counted))
    masked, padded = masked_model[1], counted_model[1]
    assert masked.fingerprint != padded.fingerprint
    (group,) = {site.input_group for site in masked_model[0].sites if "encoder_attn.k" in site.projection}
    # Six recordings, and the first two of them once more in one window.
    assert padded.num_positions[group] == 7 * 100 > masked.num_positions[group]
    errors = [
        [site.relative_output_error for site in finish(SpeechWorkbench().compress(each)).sites]
        for each in (recipe, counted)
    ]
    assert errors[0] != errors[1]


# Every method


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].joint])
def test_every_method_compresses_a_speech_model(name: str, recipe: Recipe, folder: Path) -> None:
    recipe = dataclasses.replace(recipe, method=name, iterations=None, settings=QUICK.get(name, ()))
    bench = SpeechWorkbench()
    report = finish(bench.compress_to(recipe, folder / "out"))
    dense = finish(models.load(recipe.model_id))
    original = as_saved(dense.model, dense.storage_dtype)
    saved = load_file(folder / "out" / WEIGHTS_FILE)
    sites = {site.name: site for site in report.sites}
    assert len(sites) == 32 and {site.representation for site in sites.values()} <= {"low-rank", "dictionary", "2:4"}

    def bits(tensors) -> int:
        return sum(8 * tensor.numel() * tensor.element_size() for tensor in tensors)

    def of_a_site(key: str) -> bool:
        return key.rpartition(".")[0] in sites

    # What is accounted is what is on disk, for the model and for the sites; a bias belongs to no budget.
    assert report.stored_bits == bits(saved.values())
    assert report.site_stored_bits == bits(saved[key] for key in saved if of_a_site(key) and not key.endswith(".bias"))
    assert report.original_bits == bits(original.values())
    assert report.whole_model_removed_fraction == pytest.approx(1 - bits(saved.values()) / bits(original.values()))
    # Everything else is as it was, to the bit.
    assert {key for key in saved if not of_a_site(key)} == {key for key in original if not of_a_site(key)}
    for key, tensor in original.items():
        if not of_a_site(key) or key.endswith(".bias"):
            assert saved[key].dtype == tensor.dtype and torch.equal(saved[key], tensor), key
    assert {key for key in saved if key.endswith(".bias")} == {key for key in original if key.endswith(".bias")}
    assert not any(key.endswith("k_proj.bias") for key in saved)
    assert any(key.startswith("model.encoder.conv1.") for key in saved) and "model.decoder.embed_tokens.weight" in saved
    # Read back it computes the same.
    compressed, read = finish(bench._compress(recipe)).model, export.load(folder / "out")
    features = dense.feature_extractor(HEARD, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    tokens = torch.tensor([[dense.model.config.decoder_start_token_id, 5, 6, 7]] * len(HEARD))
    with torch.inference_mode():
        in_memory, from_disk, before = (
            model(features, decoder_input_ids=tokens).logits for model in (compressed, read.model, dense.model)
        )
    assert torch.isfinite(in_memory).all() and torch.equal(in_memory, from_disk)
    assert not torch.allclose(in_memory, before, atol=1e-3), "something must be compressed"
    written = [finish(bench.transcribe(each, HEARD[1])).text for each in (recipe, Recipe(str(folder / "out")))]
    assert written[0] == written[1]


def test_the_decoder_blocks_share_one_gram_of_what_they_hear(recipe: Recipe, folder: Path) -> None:
    dense, inputs, _ = finish(SpeechWorkbench().inputs(recipe))
    groups = {site.name: site.input_group for site in dense.sites}
    hearing = {name for name in groups if name.endswith(("encoder_attn.k_proj", "encoder_attn.v_proj"))}
    assert len(hearing) == 4
    (shared,) = {groups[name] for name in hearing}
    assert {name for name, group in groups.items() if group == shared} == hearing
    # 12 groups: a stack's block has q k v, out, fc1, fc2; the decoder's also cross q and cross out, and k v for all.
    assert set(inputs.num_positions) == set(groups.values()) and len(inputs.num_positions) == 2 * 4 + 2 * 6 + 1
    seconds = [clip.seconds for clip in made_up(6).clips]
    # The first two fit together into a window of two seconds, with a pause of 0.4 between them.
    heard = sum(int(np.ceil(each * 50)) for each in (*seconds, seconds[0] + 0.4 + seconds[1]))
    assert inputs.num_positions[shared] == heard
    assert inputs.num_positions[groups["model.encoder.layers.0.fc1"]] == heard
    assert inputs.num_positions[groups["model.decoder.layers.0.fc1"]] < heard


@pytest.mark.parametrize(
    ("method", "policy", "named"),
    [
        ("asvd", "own", "sensitivity"),
        ("dobi-svd", "own", "learned"),
        ("compot", "sensitivity", "sensitivity"),
        ("dobi-svd", "learned", "learned"),
    ],
)
def test_what_measures_or_learns_on_text_is_refused_before_any_statistics(
    method: str, policy: str, named: str, recipe: Recipe, folder: Path, cache: Path
) -> None:
    asked = dataclasses.replace(recipe, method=method, policy=policy, iterations=None)
    bench = SpeechWorkbench()
    for steps in (
        bench.compress(asked),
        bench.compress_to(asked, folder / "out"),
        bench.allocation(asked),
        bench.forecast(asked),
        bench.pattern(asked, "model.encoder.layers.0.fc1"),
        bench.compare_speech((recipe, asked), str(folder / "test")),
    ):
        message = sentence(steps)
        assert message.startswith(f"The policy {named} measures on text, and ") and "is a speech model" in message
    left = {path.name for path in cache.iterdir()} - {"speech", "locks"}
    assert not left and not (folder / "out").exists()


@pytest.mark.parametrize(("method", "policy"), [("svd-llm-v2", "own"), ("rocket", "own"), ("compot", "knapsack")])
def test_policies_that_look_at_statistics_alone_work(method: str, policy: str, recipe: Recipe) -> None:
    asked = dataclasses.replace(recipe, method=method, policy=policy, iterations=None)
    report = finish(SpeechWorkbench().compress(asked))
    assert 0.25 - 1e-6 <= report.removed_fraction < 0.27
    assert len({site.removed_fraction_target for site in report.sites}) > 2


def test_inputs_may_be_collected_again_behind_compressed_blocks(recipe: Recipe) -> None:
    plain = dataclasses.replace(recipe, method="compot-fisher")
    first, second = (
        finish(SpeechWorkbench().compress(dataclasses.replace(plain, recalibrate=again))) for again in (False, True)
    )
    assert second.stored_bits == first.stored_bits
    errors = [{site.name: site.relative_output_error for site in report.sites} for report in (first, second)]
    name = "model.encoder.layers.0.self_attn.q_proj"
    assert errors[0][name] == pytest.approx(errors[1][name], rel=1e-3)
    for name in ("model.encoder.layers.1.fc2", "model.decoder.layers.0.encoder_attn.k_proj"):
        assert errors[0][name] != pytest.approx(errors[1][name], rel=1e-3), name


# What a directory holds


def test_a_written_directory_is_measured_and_timed(recipe: Recipe, folder: Path) -> None:
    bench = SpeechWorkbench()
    report = finish(bench.compress_to(recipe, folder / "out"))
    written = Recipe(str(folder / "out"))
    assert finish(bench.is_speech(written.model_id))
    expected = finish(bench.evaluate_speech(recipe, str(folder / "test")))
    measured = finish(SpeechWorkbench().evaluate_speech(written, str(folder / "test")))
    assert measured.utterances == expected.utterances and measured.stored_bits == report.stored_bits
    assert measured.model_id == recipe.model_id and measured.clips == 5
    assert measured.convention.startswith(CONVENTION.split("{")[0])
    timing = finish(SpeechWorkbench().speech_latency(written))
    assert list(timing.encoder) == list(timing.decode) == list(timing.real_time_factor) == ["dense", "compressed"]
    assert timing.stored_bits == {"dense": report.original_bits, "compressed": report.stored_bits} and timing.smaller
    assert finish(bench.speech_latency(Recipe(recipe.model_id))).encoder.keys() == {"dense"}
    message = sentence(bench.compare_speech((dataclasses.replace(recipe, model_id=written.model_id),), "cards"))
    assert "is compressed already: name the dense model" in message


# Forecast


def test_a_forecast_keeps_recordings_apart_and_says_how_many_it_needs(recipe: Recipe, folder: Path) -> None:
    aware = dataclasses.replace(recipe, method="compot-fisher", policy="own")
    message = sentence(SpeechWorkbench().forecast(aware))
    assert f"at least {6 + PROBE_CLIPS} are needed" in message and "can use 6, too few" in message
    write_folder(folder / "calibration", made_up(6 + PROBE_CLIPS))
    events, report = events_of(SpeechWorkbench().forecast(aware))
    assert "probe" in {event.stage for event in events} and report.is_speech
    assert report.dense.perplexity > 1 and bool(report.predictions) != bool(report.problem)
    events, again = events_of(SpeechWorkbench().forecast(aware))
    assert "probe" not in {event.stage for event in events} and again.measured == report.measured
    assert forecast.stored_report(forecast.table_key(aware)) == again


def test_recordings_too_long_for_calibration_do_not_count_towards_a_probe(recipe: Recipe, folder: Path) -> None:
    """Fourteen would do, but the model hears only six of them whole."""
    many = made_up(6 + PROBE_CLIPS)
    clips = tuple(
        clip if i < 6 else dataclasses.replace(clip, samples=np.tile(clip.samples, 4))
        for i, clip in enumerate(many.clips)
    )
    write_folder(folder / "calibration", dataclasses.replace(many, clips=clips))
    message = sentence(SpeechWorkbench().forecast(dataclasses.replace(recipe, method="compot-fisher")))
    assert "can use 6, too few" in message and "at least 14 are needed" in message


# What is not for this model


def test_a_speech_model_has_no_perplexity_of_a_text(recipe: Recipe, folder: Path) -> None:
    (folder / "text.txt").write_text(" ".join(SENTENCES) * 40)
    bench, dense, text = SpeechWorkbench(), Recipe(recipe.model_id), str(folder / "text.txt")
    for steps in (
        bench.perplexity(dense, "The quick brown fox"),
        bench.evaluate(dense, text),
        bench.generate(dense, "The quick"),
        bench.latency(dense),
        bench.compare((recipe,), text),
        bench.perplexity(recipe, "The quick brown fox"),
    ):
        assert "writes down speech, and has no perplexity of a text and no completions" in sentence(steps)


def test_a_language_model_cannot_hear(recipe: Recipe, folder: Path) -> None:
    write_tiny_llama(folder / "llama")
    bench, dense = SpeechWorkbench(), Recipe(str(folder / "llama"))
    compressed = dataclasses.replace(recipe, model_id=dense.model_id, calibration_text="")
    for steps in (
        bench.evaluate_speech(dense, str(folder / "test")),
        bench.transcribe(dense, HEARD[0]),
        bench.speech_latency(dense),
        bench.compare_speech((compressed,), str(folder / "test")),
    ):
        assert "is a language model, which cannot hear: choose a speech model" in sentence(steps)
    assert not finish(bench.is_speech(dense.model_id))


def test_a_language_it_does_not_know(recipe: Recipe, folder: Path) -> None:
    for steps in (
        SpeechWorkbench().evaluate_speech(Recipe(recipe.model_id, language="ru"), str(folder / "test")),
        SpeechWorkbench().compress(dataclasses.replace(recipe, language="ru")),
        SpeechWorkbench().compare_speech((dataclasses.replace(recipe, language="ru"),), str(folder / "test")),
    ):
        assert "knows English only, but the language 'ru' was given" in sentence(steps)


def test_a_language_it_knows_changes_statistics_and_transcripts(recipe: Recipe, folder: Path) -> None:
    write_tiny_whisper(folder / "tiny", multilingual=True)
    russian = dataclasses.replace(recipe, language="ru")
    first, second = (
        finish(SpeechWorkbench().compare_speech((each,), str(folder / "test"))) for each in (recipe, russian)
    )
    assert "Basic normaliser" in second.dense.convention and "English normaliser" in first.dense.convention
    assert second.calibration.language == "ru" and second.runs[0].sites != first.runs[0].sites
    assert [u.hypothesis for u in second.dense.utterances] != [u.hypothesis for u in first.dense.utterances]
