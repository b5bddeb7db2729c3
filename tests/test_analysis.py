"""Info objects: the numbers that views draw."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from pydantic import TypeAdapter
from samples import SPOKEN, speech_comparison, speech_run

from compression import analysis
from compression.allocation import Evidence, allocate
from compression.types import (
    Allocation,
    CalibrationSettings,
    Comparison,
    ComparisonRun,
    Environment,
    LinearSite,
    PerplexityReport,
    SiteReport,
    TextSource,
)

SITES = (
    LinearSite("b.0.q", 0, "q", 64, 64, "b.0.q"),
    LinearSite("b.0.down", 0, "down", 64, 256, "b.0.down"),
    LinearSite("b.1.q", 1, "q", 64, 64, "b.1.q"),
)
MODEL = analysis.ModelInfo("tiny", "Tiny", "", "hash", "llama", 30_000, SITES)
VALUES = [2.0 ** (-i / 4) for i in range(64)]


def test_a_spectrum_keeps_its_ends_and_its_energy_is_the_tail():
    info = analysis.spectrum_info(SITES[1], VALUES, [3 * v for v in VALUES])
    assert info.indices == tuple(range(1, 65)) and info.full_rank == 64
    assert info.break_even_rank == 64 * 256 // 320
    assert info.plain == info.whitened, "spectra are relative to their largest value"
    total = sum(v * v for v in VALUES)
    for index in (1, 5, 63):
        expected = sum(v * v for v in VALUES[index:]) / total
        assert info.whitened_lost_energy[index - 1] == pytest.approx(expected, rel=1e-3)
    assert info.whitened_lost_energy[-1] == 0


def test_effective_rank_counts_equal_values():
    assert analysis.spectrum_info(SITES[0], VALUES, [1.0] * 64).effective_rank == pytest.approx(64)
    assert analysis.spectrum_info(SITES[0], VALUES, [1.0] + [0.0] * 63).effective_rank == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2, 95, 96, 97, 576, 50_000])
def test_thinning_keeps_both_ends_and_at_most_96_points(count):
    indices = analysis.log_spaced_indices(count)
    assert indices[0] == 1 and indices[-1] == count
    assert len(indices) <= 96 and list(indices) == sorted(set(indices))


def test_a_model_lays_its_sites_out_by_block_and_projection_and_has_none_elsewhere():
    assert (MODEL.blocks, MODEL.projections) == ((0, 1), ("q", "down"))
    found = [[MODEL.site_at(block, projection) for block in MODEL.blocks] for projection in MODEL.projections]
    assert found == [[SITES[0], SITES[2]], [SITES[1], None]]
    assert MODEL.site_weights == 2 * 64 * 64 + 64 * 256


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.8])
def test_the_budget_adds_up(fraction):
    info = analysis.budget_info(MODEL, allocate("uniform", SITES, Evidence(), fraction))
    assert sum(bar.kept_mib for bar in info.bars) == pytest.approx(info.stored_mib, abs=1e-6)
    assert sum(bar.kept_mib + bar.removed_mib for bar in info.bars) == pytest.approx(info.original_mib)
    assert info.original_mib == pytest.approx(30_000 * 2 / 2**20)
    assert info.site_removed_fraction == pytest.approx(fraction)
    assert info.whole_model_removed_fraction == pytest.approx(fraction * MODEL.site_weights / 30_000, abs=1e-6)
    assert info.compression_factor == pytest.approx(info.original_mib / info.stored_mib)


def test_the_stored_allocation_is_that_of_the_nearest_slider_position():
    calibration = CalibrationSettings(TextSource("t", "0", 1))
    table = {"uniform": ((0.0,) * 3, (0.5, 0.4, 0.6))}
    info = analysis.AnalysisInfo(MODEL, calibration, (), (0.0, 0.5), table)
    found = info.allocation_at("uniform", 0.47)
    assert found == Allocation("uniform", 0.5, {"b.0.q": 0.5, "b.0.down": 0.4, "b.1.q": 0.6})
    assert info.allocation_at("uniform", 0.24).target == 0.0


def test_interpolation_is_linear_in_the_logarithm():
    assert analysis.interpolate_log((1, 3), (1.0, 0.01), 2) == pytest.approx(0.1)
    assert analysis.interpolate_log((1, 3), (1.0, 0.0), 2) == pytest.approx(0.5)


def test_a_standard_error_is_a_factor_on_the_log_scale():
    low, high = analysis.standard_error_range(20.0, 2.0)
    assert low * high == pytest.approx(400) and high == pytest.approx(20 * math.exp(0.1))
    assert analysis.standard_error_range(1e6, 2e6)[0] > 0
    assert analysis.standard_error_range(20.0, None) is None
    assert analysis.standard_error_range(math.inf, 1.0) is None
    assert replace(SITES[0], block=3).num_weights == 4096


def test_a_storage_picture_of_an_older_version_still_reads_and_knows_its_bits():
    old = {
        "site": "b.0.q",
        "shape": (64, 128),
        "removed_fraction": 0.5,
        "rank": 16,
        "num_atoms": 20,
        "nonzeros_per_column": 10,
        "mask_density": ((0.5,),),
        "atom_use": (0.5,),
        "convergence": (),
        "low_rank_error": 0.4,
        "dictionary_error": 0.3,
    }
    info = TypeAdapter(analysis.PatternInfo).validate_python(old)
    assert info.column is None
    assert info.low_rank_share == 16 * (64 + 128) / (64 * 128)
    assert info.dictionary_share == (128 * 20 + 64 * 10 + 64 * 20 / 16) / (64 * 128)


def test_what_all_atoms_add_less_what_sparsity_costs_is_the_gain():
    column = analysis.ColumnInfo(3, (0.5, 0.7), (0.6, 0.8), (0.9, 1.0), 8, 1.0, 0.7, 0.8, (0.1, 1.0), (8,), (8,))
    assert (column.low_rank_captured, column.dictionary_captured, column.all_atoms) == (0.7, 0.8, 1.0)
    assert column.gain == pytest.approx(0.1)
    assert column.atoms_gain == pytest.approx(0.3) and column.sparsity_cost == pytest.approx(0.2)
    assert column.low_rank_lost == (1.0, 0.5, 0.3)
    assert column.more_atoms_lost == (0.2, 0.1, analysis.LEAST_LOST), "from where the dictionary stops"
    dense = replace(column, more_atoms=())
    assert dense.all_atoms == 0.8 and dense.sparsity_cost == 0 and dense.more_atoms_lost == (0.2,)


def measured(method: str, perplexity: float, seed: int = 0, target: float = 0.2, **changed: object) -> ComparisonRun:
    site = SiteReport("b.0.q", 0, "q", (64, 64), target, target, 1, "low-rank", {"rank": 8}, 0.2, 0.1)
    run = ComparisonRun(
        method=method,
        policy="uniform",
        removed_fraction_target=target,
        removed_fraction=target,
        whole_model_removed_fraction=target,
        stored_bits=8,
        site_stored_bits=8,
        perplexity=perplexity,
        perplexity_stderr=None,
        tokens=9,
        compress_seconds=1.0,
        calibration_seconds=1.0,
        calibration_reused=False,
        evaluate_seconds=1.0,
        settings={"damping": 1e-8},
        sites=(site,),
        seed=seed,
    )
    return replace(run, **changed)


def test_the_seeds_of_a_setting_are_one_row_and_never_mixed_with_another_settings():
    runs = (
        measured("compot", 31.0, seed=2),  # in whatever order they come
        measured("compot", 30.0),
        measured("svd", 90.0),
        measured("compot", 29.0, seed=1),
        measured("compot", 25.0, seed=1, policy="pooled"),
        measured("compot", 60.0, seed=1, target=0.4),
        measured("compot", 40.0, seed=1, settings={"damping": 1e-2}),
    )
    settings = analysis.by_setting(runs)
    assert [(run.method, run.policy, run.perplexity) for run, _ in settings] == [
        ("compot", "uniform", 30.0),
        ("svd", "uniform", 90.0),
        ("compot", "pooled", 25.0),
        ("compot", "uniform", 60.0),
        ("compot", "uniform", 40.0),
    ]
    assert settings[0][1] == analysis.SeedSpread(29.0, 31.0, 3, (30.0, 29.0, 31.0))
    assert [spread for _, spread in settings[1:]] == [None] * 4


def test_best_and_worst_are_among_the_rows_not_among_the_seeds():
    text = TextSource("t", "0", 1)
    dense = PerplexityReport(20.0, None, 3.0, 9, 1, 10, 10, "convention", text, 16, 1.0)
    runs = (measured("compot", 30.0), measured("svd", 90.0), measured("compot", 95.0, 1), measured("svd-llm", 29.0, 3))
    place = Environment("", "", "", "", "", 1, "", "", "", "")
    comparison = Comparison("m", "", "", CalibrationSettings(text), dense, runs, place)
    info = analysis.compare_info(comparison, 0.21)
    assert [row.method for row in info.rows] == ["compot", "svd", "svd-llm"]
    assert (info.best, info.worst) == (2, 1)
    assert info.spreads == (analysis.SeedSpread(30.0, 95.0, 2, (30.0, 95.0)), None, None)
    assert len(info.ranges) == len(info.series) == len(info.rows)


def info_of(*runs: ComparisonRun) -> analysis.CompareInfo:
    text = TextSource("t", "0", 1)
    dense = PerplexityReport(20.0, None, 3.0, 9, 1, 10, 10, "convention", text, 16, 1.0)
    place = Environment("", "", "", "", "", 1, "", "", "", "")
    return analysis.compare_info(Comparison("m", "", "", CalibrationSettings(text), dense, runs, place), 0.2)


def test_methods_are_chosen_together_with_all_that_belongs_to_their_rows():
    info = info_of(
        measured("svd", 90.0, perplexity_stderr=1.0),
        measured("compot", 30.0, perplexity_stderr=2.0),
        measured("compot", 28.0, seed=1),
        measured("compot", 33.0, policy="pooled"),
    )
    chosen = analysis.only_methods(info, ["compot"])
    assert [row.perplexity for row in chosen.rows] == [30.0, 33.0]
    assert (chosen.ranges, chosen.spreads, chosen.series) == (info.ranges[1:], info.spreads[1:], info.series[1:])
    assert (chosen.best, chosen.worst) == (0, 1) and chosen.dense == info.dense
    assert analysis.only_methods(info, []) is None and analysis.only_methods(info, {"svd", "compot"}) == info


def test_the_best_runs_are_of_different_methods():
    info = info_of(
        measured("compot", 31.0),
        measured("compot", 30.0, policy="pooled"),
        measured("svd", 90.0),
        measured("svd-llm", 40.0),
        measured("fisher", 25.0),
    )
    assert analysis.best_of_methods(info, 3) == (4, 1, 3)
    assert analysis.best_of_methods(info, 9) == (4, 1, 3, 2)


def test_what_a_run_stores_is_told_in_its_own_terms():
    def site(
        name: str, block: int, projection: str, shape: tuple[int, int], kind: str, **quantities: int
    ) -> SiteReport:
        return SiteReport(name, block, projection, shape, 0.2, 0.2, 1, kind, quantities, 0.2, 0.1)

    dictionary = (
        site("0.q", 0, "q", (64, 64), "dictionary", num_atoms=32, nonzeros_per_column=16),
        site("0.down", 0, "down", (64, 256), "dictionary", num_atoms=48, nonzeros_per_column=12),
        site("1.q", 1, "q", (64, 64), "dense"),
        site("1.down", 1, "down", (64, 256), "low-rank", rank=60),
    )
    info = analysis.native_info(measured("compot", 30.0, sites=dictionary))
    assert (info.representation, info.blocks, info.projections) == ("dictionary", (0, 1), ("q", "down"))
    assert [[cell.share for cell in row] for row in info.cells] == [[0.5, None], [0.75, None]]
    assert [[cell.density for cell in row] for row in info.cells] == [[0.5, None], [0.25, None]]
    assert info.cells[1][1].representation == "low-rank", "no rank is shown on an axis of atoms"
    assert (info.shares, info.densities) == ((0.5, 0.75), (0.25, 0.5))
    assert (info.dense_sites, info.num_sites) == (1, 4)
    low_rank = analysis.native_info(measured("svd", 90.0, sites=(dictionary[3], dictionary[2])))
    assert (low_rank.representation, low_rank.shares, low_rank.densities) == ("low-rank", (60 / 64,) * 2, None)
    assert [[cell.share for cell in row] for row in low_rank.cells] == [[60 / 64], [None]]
    lacking = analysis.native_info(measured("svd", 90.0, sites=dictionary[1:3]))
    assert [[cell is None for cell in row] for row in lacking.cells] == [[False, True], [True, False]]
    untouched = analysis.native_info(measured("svd", 20.0, sites=(dictionary[2],)))
    assert (untouched.representation, untouched.shares) == ("dense", None)


def test_runs_of_a_speech_model_go_by_word_error_rate():
    info = analysis.compare_info(SPOKEN, 0.21)
    assert info.is_speech and info.evaluated_on == "some speech" and info.dense.quality == 0.074
    assert [(row.method, row.wer) for row in info.rows] == [
        ("svd-llm", 0.333),
        ("compot", 0.126),
        ("compot-fisher", 0.083),
    ]
    assert (info.best, info.worst, analysis.best_of_methods(info, 2)) == (2, 0, (2, 1))
    assert info.dense_range == pytest.approx((0.054, 0.104))
    assert info.ranges[1] == pytest.approx((0.106, 0.156)), "the bootstrap's interval, not a standard error"
    chosen = analysis.only_methods(info, ["svd-llm", "compot"])
    assert (chosen.best, chosen.worst, chosen.is_speech) == (1, 0, True)
    unknown = speech_run("compot", "uniform", 0.2, 0.1, wer_low=None, wer_high=None)
    assert analysis.quality_range(unknown) is None
    assert analysis.quality_range(measured("svd", 20.0, perplexity_stderr=2.0)) == analysis.standard_error_range(20, 2)
    text = info_of(measured("svd", 90.0))
    assert not text.is_speech and text.evaluated_on == "t"


def test_seeds_of_a_speech_model_are_gathered_likewise():
    runs = [speech_run("compot", "uniform", 0.2, wer, seed) for wer, seed in ((0.14, 1), (0.12, 0), (0.13, 2))]
    info = analysis.compare_info(speech_comparison(*runs), 0.2)
    assert [row.wer for row in info.rows] == [0.12]
    assert info.spreads == (analysis.SeedSpread(0.12, 0.14, 3, (0.12, 0.14, 0.13)),)


def test_what_a_speech_run_stores_is_laid_out_by_stack():
    info = analysis.native_info(SPOKEN.runs[0])
    assert (info.blocks, len(info.projections), info.num_sites, info.dense_sites) == ((0, 1), 16, 32, 1)
    assert info.projections[:2] == ("encoder.self_attn.q_proj", "encoder.self_attn.k_proj")
    assert info.cells[0][0].representation == "dense" and info.cells[0][1].share == 5 / 16
