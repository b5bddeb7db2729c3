"""Speech through the encoder and the decoder, block by block, held against one pass through the whole model."""

from __future__ import annotations

import dataclasses

import pytest
import reference
import torch
from speech_samples import made_up, tone
from tiny_whisper import tiny_loaded_whisper
from torch.nn import functional as F  # noqa: N812

from compression.calibration import collect, collect_gradients, observed_inputs
from compression.errors import UserError
from compression.evaluation.teacher_forcing import transcript_losses
from compression.pipeline import finish
from compression.sites import find_sites
from compression.speech.clips import SAMPLE_RATE
from compression.speech.sequences import PAUSE_SECONDS, PROBE_CLIPS, joined, split_recordings, spoken_sequences, too_few
from compression.types import SpeechCalibration


def settings(**changes) -> SpeechCalibration:
    return dataclasses.replace(SpeechCalibration(made_up().source), **changes)


@pytest.fixture(scope="module")
def source():
    return tiny_loaded_whisper()


@pytest.fixture(scope="module")
def spoken(source):
    return spoken_sequences(list(made_up().clips), settings(), source)


def whole_model_loss(model, spoken) -> torch.Tensor:
    """The summed loss, token by token, as its definition has it: one clip at a time, nothing padded."""
    total = torch.zeros(())
    for features, tokens in zip(spoken.features, spoken.tokens, strict=True):
        logits = model(features[None], decoder_input_ids=tokens[None, :-1], use_cache=False).logits[0]
        for place in range(spoken.prompt_tokens, len(tokens)):
            total = total - F.log_softmax(logits[place - 1], -1)[tokens[place]]
    return total


def rows_that_count(site, tensor: torch.Tensor, positions: int, length: int) -> torch.Tensor:
    """Of one clip, (1, length, features): the speech of what hears, the transcript of what reads."""
    hears = site.name.startswith("model.encoder.") or site.projection in (
        "decoder.encoder_attn.k_proj",
        "decoder.encoder_attn.v_proj",
    )
    return tensor[0, : positions if hears else length]


def test_the_sites_of_a_whisper_are_the_linear_layers_of_its_blocks(source):
    sites = find_sites(source.model)
    assert len(sites) == 2 * 6 + 2 * 10
    assert {site.projection for site in sites if site.name.startswith("model.encoder.")} == {
        *(f"encoder.self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")),
        "encoder.fc1",
        "encoder.fc2",
    }
    assert len({(site.block, site.projection) for site in sites}) == len(sites)
    assert {site.name: tuple(source.model.get_submodule(site.name).weight.shape) for site in sites} == {
        site.name: (site.out_features, site.in_features) for site in sites
    }
    cross = {s.input_group for s in sites if s.projection.endswith(("encoder_attn.k_proj", "encoder_attn.v_proj"))}
    assert len(cross) == 1, "what leaves the encoder is the same tensor for every block of the decoder"


def test_sites_share_a_gram_matrix_exactly_where_they_share_the_tensor(source, spoken):
    sites = find_sites(source.model)
    seen: dict[str, torch.Tensor] = {}
    with torch.inference_mode(), observed_inputs(source.model, {s.name: s for s in sites}, seen.__setitem__):
        source.model(spoken.features[:1], decoder_input_ids=spoken.tokens[0][None, :-1], use_cache=False)
    for a in sites:
        for b in sites:
            if a.input_group == b.input_group:
                assert seen[a.name] is seen[b.name], f"{a.name} and {b.name} read different tensors"


@pytest.mark.parametrize("count_padding", [False, True])
def test_streaming_equals_one_clip_at_a_time_for_every_site(source, count_padding):
    spoken = spoken_sequences(list(made_up().clips), settings(count_padding=count_padding), source)
    sites = find_sites(source.model)
    found = finish(collect(source.model, sites, spoken))
    expected: dict[str, list[torch.Tensor]] = {site.name: [] for site in sites}
    for features, tokens, positions in zip(spoken.features, spoken.tokens, spoken.positions, strict=True):
        seen: dict[str, torch.Tensor] = {}
        with torch.inference_mode(), observed_inputs(source.model, {s.name: s for s in sites}, seen.__setitem__):
            source.model(features[None], decoder_input_ids=tokens[None, :-1], use_cache=False)
        for site in sites:
            expected[site.name].append(rows_that_count(site, seen[site.name], positions, len(tokens) - 1))
    for site in sites:
        rows = torch.cat(expected[site.name])
        assert found.num_positions[site.input_group] == len(rows)
        reference.assert_close(found.grams[site.input_group], rows.T @ rows, rtol=1e-3, atol=1e-3)
        magnitude = found.statistics(site.input_group).mean_magnitude
        reference.assert_close(magnitude, rows.abs().mean(0), rtol=1e-3, atol=1e-4)


def test_padding_is_most_of_what_a_short_clip_gives(source):
    short = list(made_up().clips)[:1]  # half a second of two
    masked, counted = (
        spoken_sequences(short, settings(count_padding=count_padding), source) for count_padding in (False, True)
    )
    assert (masked.positions, counted.positions) == ((25,), (100,))


def remember(inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor], name: str):
    def hook(_module, given, made) -> None:
        inputs[name], outputs[name] = given[0].detach(), made

    return hook


def test_gradients_block_by_block_equal_one_backward_pass(source, spoken):
    sites = find_sites(source.model)
    found = finish(collect_gradients(source.model, sites, spoken))
    assert found.num_scored == sum(len(tokens) - 2 for tokens in spoken.tokens)
    expected = {site.name: torch.zeros(site.out_features, site.out_features) for site in sites}
    fishers = {site.name: torch.zeros(site.in_features) for site in sites}
    for index in range(len(spoken)):
        clip = spoken.take((index,))
        inputs: dict[str, torch.Tensor] = {}
        outputs: dict[str, torch.Tensor] = {}
        hooks = [
            source.model.get_submodule(site.name).register_forward_hook(remember(inputs, outputs, site.name))
            for site in sites
        ]
        gradients = torch.autograd.grad(whole_model_loss(source.model, clip), list(outputs.values()))
        for hook in hooks:
            hook.remove()
        arrived = dict(zip(outputs, gradients, strict=True))
        for site in sites:
            counts = clip.positions[0], len(clip.tokens[0]) - 1
            rows = rows_that_count(site, arrived[site.name], *counts)
            expected[site.name] += rows.T @ rows
            given = rows_that_count(site, inputs[site.name], *counts)
            fishers[site.name] += (given.T @ rows).square().sum(1)
    for site in sites:
        scale = float(expected[site.name].abs().max())
        reference.assert_close(found.output_grams[site.name], expected[site.name], rtol=1e-3, atol=1e-4 * scale)
        scale = float(fishers[site.name].max())
        reference.assert_close(found.row_fishers[site.name], fishers[site.name], rtol=1e-3, atol=1e-4 * scale)


def test_statistics_leave_the_model_as_it_was(source, spoken):
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    finish(collect_gradients(source.model, find_sites(source.model), spoken))
    assert all(torch.equal(value, before[name]) for name, value in source.model.state_dict().items())
    assert all(parameter.grad is None for parameter in source.model.parameters())
    assert all("forward" not in vars(module) for module in source.model.modules())


def test_the_loss_of_transcripts_is_that_of_the_whole_model(source, spoken):
    losses = finish(transcript_losses(source.model, spoken)).losses
    with torch.inference_mode():
        expected = [float(whole_model_loss(source.model, clip)) / (len(clip.tokens[0]) - 2) for clip in spoken.split(1)]
    assert losses == pytest.approx(expected, rel=1e-4)


def test_the_prompt_comes_before_the_words_and_the_end_after_them(source, spoken):
    generation = source.model.generation_config
    tokens = spoken.tokens[0].tolist()
    assert tokens[:2] == [generation.decoder_start_token_id, generation.no_timestamps_token_id]
    assert tokens[-1] == generation.eos_token_id
    assert source.tokenizer.decode(tokens[2:-1]) == " the quick brown fox"


def test_a_language_changes_the_prompt_of_a_multilingual_model_alone(source):
    multilingual = tiny_loaded_whisper(multilingual=True)
    clips = list(made_up(1).clips)
    english, russian = (
        spoken_sequences(clips, settings(language=language), multilingual).tokens[0] for language in ("en", "ru")
    )
    assert english[1] != russian[1] and english[2:].tolist() == russian[2:].tolist()
    with pytest.raises(UserError, match="English only"):
        spoken_sequences(clips, settings(language="ru"), source)


def single(spoken, recordings, source) -> int:
    """How many of the sequences are a clip of its own, not joined ones."""
    alone = spoken_sequences(list(recordings.clips), settings(), source).tokens
    return sum(any(torch.equal(tokens, each) for each in alone) for tokens in spoken.tokens)


def test_the_first_clips_are_joined_to_a_whole_window():
    durations = (9, 12, 8, 14, 3)
    clips = [dataclasses.replace(clip, samples=tone(s)) for clip, s in zip(made_up(5).clips, durations, strict=True)]
    lengths = [10, 10, 10, 10, 10]
    (first,) = joined(clips, lengths, 30, 1000)
    assert first.id == "clip-0+clip-1+clip-2", "the fourth does not fit"
    assert first.seconds == pytest.approx(9 + 12 + 8 + 2 * PAUSE_SECONDS) and first.seconds <= 30
    assert first.text == "the quick brown fox a lazy dog jumps over five dozen liquor jugs"
    pause = round(PAUSE_SECONDS * SAMPLE_RATE)
    alone, silent = first.samples[: 9 * SAMPLE_RATE], first.samples[9 * SAMPLE_RATE :][:pause]
    assert (alone == clips[0].samples).all() and not silent.any()
    assert joined(clips[:1], lengths[:1], 30, 1000) == [], "one is no window"
    assert joined(clips[3:], lengths[3:], 15, 1000) == [], "not two fit"
    assert joined(clips[:2], lengths[:2], 24.1, 15) == []
    (few_words,) = joined(clips, lengths, 30, 25)
    assert few_words.id == "clip-0+clip-1", "the decoder has room for 25 tokens"


def test_the_probe_is_apart_from_the_statistics_where_there_are_clips_enough(source):
    many = made_up(PROBE_CLIPS + 6)
    split = split_recordings(many, settings(num_sequences=6, gradient_sequences=4), source)
    assert split.probes is not None
    assert [single(part, many, source) for part in (split.inputs, split.gradients)] == [6, 4]
    used, kept = ({tuple(t.tolist()) for t in part.tokens} for part in (split.inputs, split.probes))
    assert len(kept) == PROBE_CLIPS and not used & kept
    few = split_recordings(made_up(PROBE_CLIPS + 5), settings(num_sequences=6, gradient_sequences=4), source)
    assert few.probes is None and single(few.inputs, many, source) == 6
    asked = settings(num_sequences=6, gradient_sequences=4)
    message = str(too_few(made_up(PROBE_CLIPS + 5), asked, source))
    assert f"calibration can use {PROBE_CLIPS + 5}, too few" in message and f"at least {PROBE_CLIPS + 6}" in message


def test_another_seed_takes_other_clips_and_the_same_seed_the_same(source):
    many = made_up(11)
    first, again, other = (
        split_recordings(many, settings(num_sequences=4, gradient_sequences=4, seed=seed), source).inputs.tokens
        for seed in (3, 3, 4)
    )
    assert [t.tolist() for t in first] == [t.tolist() for t in again] != [t.tolist() for t in other]


def test_what_calibration_cannot_hear_is_said_in_one_sentence(source):
    many = made_up(2)
    clips = tuple(dataclasses.replace(clip, samples=clip.samples.repeat(9)) for clip in many.clips)
    long = dataclasses.replace(many, clips=clips)
    with pytest.raises(UserError, match="none of at most 2 seconds"):
        split_recordings(long, settings(), source)
    wordy = [dataclasses.replace(many.clips[0], text="zebra " * 80)]
    with pytest.raises(UserError, match=r"has \d+ tokens, more than the 61 that the decoder has room for"):
        spoken_sequences(wordy, settings(), source)


def test_short_clips_are_heard_once_more_as_a_whole_window(source):
    clips = tuple(dataclasses.replace(clip, samples=clip.samples[: SAMPLE_RATE // 2]) for clip in made_up(6).clips)
    split = split_recordings(dataclasses.replace(made_up(6), clips=clips), settings(), source)
    assert split.inputs.positions == (25,) * 6 + (70,), "two of half a second, and the pause between them"
