"""Runs as points: what shares an axis, the frontier, the map, and what a session keeps."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from samples import comparison, run, speech_comparison, speech_run

from compression.errors import UserError
from compression.gallery import registered_methods
from compression.recipe import Recipe
from compression.session import (
    MAX_POINTS,
    Measure,
    RunPoint,
    Session,
    Timing,
    comparison_points,
    difference,
    run_map,
    session_from_json,
    timings_of,
    trade_off,
)
from compression.types import CalibrationSettings, LatencyFigure, LatencyReport, TextSource

TEXT = Measure("perplexity", "tiny", "aa", "a text", "bb", "windows of 8")
SPEECH = Measure("wer", "listener", "cc", "clips", "dd", "greedy")
DENSE = RunPoint(TEXT, 20.0, 8000, "dense", step="dense", recipe=Recipe("tiny"))


def point(removed: float, quality: float, bits: int, method: str = "svd", **changes) -> RunPoint:
    recipe = Recipe("tiny", method, "uniform", removed)
    return replace(RunPoint(TEXT, quality, bits, method, "uniform", removed, recipe=recipe), **changes)


SMALL, BAD = point(0.5, 40.0, 4000), point(0.4, 60.0, 5000, "compot")
SESSION = Session().with_points([DENSE, SMALL, BAD])


def timing(decode: float, convention: str = "2 threads") -> Timing:
    return Timing(2 * decode, 1.0, decode, 0.5, 20.0, 10.0, convention)


def test_the_frontier_is_what_no_run_dominates():
    """Held against the definition, pair by pair, on random runs with ties."""
    rng = random.Random(0)
    points = [point(i / 1000, rng.randint(1, 12) + 1.0, 8 * rng.randint(1, 12)) for i in range(60)]
    picture = trade_off(Session().with_points(points), TEXT, "size")

    def beats(a: RunPoint, b: RunPoint) -> bool:
        no_worse = a.quality <= b.quality and a.stored_bits <= b.stored_bits
        return no_worse and (a.quality, a.stored_bits) != (b.quality, b.stored_bits)

    expected = {p.key for p in points if not any(beats(q, p) for q in points)}
    assert set(picture.frontier) == expected and len(expected) < 60
    by_key = {p.key: p for p in points}
    for placed in picture.runs:
        assert bool(placed.dominated_by) == (placed.point.key not in expected)
        assert not placed.dominated_by or beats(by_key[placed.dominated_by], placed.point)
    costs = [by_key[key].stored_bits for key in picture.frontier]
    assert costs == sorted(costs)


def test_a_budget_keeps_the_best_that_fits():
    picture = trade_off(SESSION, TEXT, "size", 700.0)
    assert [run.within_budget for run in picture.runs] == [False, True, True]
    assert picture.best == SMALL.key
    assert trade_off(SESSION, TEXT, "size", 1.0).best == ""
    assert trade_off(SESSION, TEXT, "size").best == DENSE.key


def test_two_measures_never_share_a_picture():
    others = [
        replace(SMALL, measure=replace(TEXT, **{name: "other"}))
        for name in ("model_id", "weights_hash", "measured_on", "fingerprint", "convention")
    ]
    session = SESSION.with_points([*others, replace(DENSE, measure=SPEECH, quality=0.1)])
    assert len(session.measures()) == 7
    for measure in session.measures():
        assert {run.point.measure for run in trade_off(session, measure, "size").runs} == {measure}


def test_times_of_another_convention_are_left_out():
    session = SESSION.with_timings(
        [(DENSE.recipe, timing(10)), (SMALL.recipe, timing(6)), (BAD.recipe, timing(3, "8 threads"))]
    )
    picture = trade_off(session, TEXT, "decode")
    assert picture.timing == "8 threads" and [run.point.key for run in picture.runs] == [BAD.key]
    assert picture.left_out == 2
    again = session.with_timings([(BAD.recipe, timing(9))])
    picture = trade_off(again, TEXT, "prefill")
    assert [(run.cost, run.spread) for run in picture.runs] == [(20, 0.5), (12, 0.5), (18, 0.5)]
    assert picture.frontier == (SMALL.key, DENSE.key) and picture.left_out == 0
    assert again.timings[-1] == (BAD.recipe, timing(9)) and len(again.timings) == 3


def test_a_model_that_is_broken_beyond_numbers_is_in_no_picture():
    session = SESSION.with_points([point(0.9, float("inf"), 800)])
    assert len(trade_off(session, TEXT, "size").runs) == 3
    assert session_from_json(session.to_json()) == session


def test_measured_again_a_run_keeps_its_name_and_place():
    named = SESSION.renamed(SMALL.key, "  the   small one ")
    assert named.point(SMALL.key).name == "the small one"
    again = named.with_points([replace(SMALL, quality=41.0, made="later")])
    assert [each.quality for each in again.points] == [20.0, 41.0, 60.0]
    assert again.point(SMALL.key).name == "the small one"
    assert again.renamed(SMALL.key, "").point(SMALL.key).name == ""


def test_what_a_session_refuses():
    with pytest.raises(UserError, match="at most 60 characters"):
        SESSION.renamed(SMALL.key, "x" * 61)
    with pytest.raises(UserError, match="Another run is called"):
        SESSION.renamed(SMALL.key, "a").renamed(BAD.key, "a")
    with pytest.raises(UserError, match="not in the session any more"):
        SESSION.renamed("0" * 12, "a")
    with pytest.raises(UserError, match=f"holds {MAX_POINTS} runs"):
        SESSION.with_points([point(i / 10000, 30.0, 4000) for i in range(MAX_POINTS)])
    with pytest.raises(UserError, match="do not read any more"):
        session_from_json('{"points": [{"quality": 3}]}')


def test_the_map_hangs_every_run_below_its_origin():
    child = point(0.6, 50.0, 3000, parent=SMALL.key)
    grandchild = point(0.7, 80.0, 2000, parent=child.key)
    lost = point(0.8, 90.0, 1000, parent="f" * 12)
    rows = run_map(SESSION.with_points([grandchild, lost, child]), TEXT)
    drawn = [(row.point.removed_fraction, row.depth, row.parent) for row in rows]
    assert drawn == [(0, 0, None), (0.5, 1, 0), (0.6, 2, 1), (0.7, 3, 2), (0.4, 1, 0), (0.8, 1, 0)]
    change = rows[2].difference
    assert (change.size, change.quality) == (pytest.approx(-0.25), pytest.approx(0.25))
    assert change.settings == (("removed_fraction", "0.5", "0.6"),)
    assert rows[0].difference is None


def test_without_what_they_came_from_runs_move_up():
    child = point(0.6, 50.0, 3000, parent=SMALL.key)
    session = SESSION.with_points([child]).without(SMALL.key)
    assert session.point(child.key).parent == "" and len(session.points) == 3
    assert [row.depth for row in run_map(session.without(DENSE.key), TEXT)] == [0, 0]


def test_runs_that_name_each_other_as_origin_are_all_on_the_map():
    first, second = point(0.1, 30.0, 7000), point(0.2, 31.0, 6000)
    circle = [replace(first, parent=second.key), replace(second, parent=first.key)]
    rows = run_map(Session().with_points([DENSE, *circle]), TEXT)
    assert [(row.point.removed_fraction, row.depth) for row in rows] == [(0, 0), (0.1, 0), (0.2, 1)]


def test_a_difference_speaks_only_of_what_can_be_compared():
    other = replace(SMALL, measure=SPEECH, quality=0.3)
    assert difference(SESSION, DENSE, other).quality is None
    assert difference(SESSION, other, replace(other, quality=0.35, stored_bits=3000)).quality == pytest.approx(0.05)
    assert difference(SESSION, DENSE, SMALL).decode is None
    timed = SESSION.with_timings([(DENSE.recipe, timing(10)), (SMALL.recipe, timing(6))])
    found = difference(timed, DENSE, SMALL)
    assert (found.decode, found.prefill) == (pytest.approx(-0.4), pytest.approx(-0.4))
    published = replace(SMALL, recipe=None, origin="published")
    assert ("method", "dense", "svd") in difference(SESSION, DENSE, published).settings


METHODS = registered_methods()


@pytest.mark.parametrize(
    "whole",
    [
        comparison(
            run("svd", "uniform", 0.2, 30.0), run("compot", "pooled", 0.2, 25.0), run("compot", "pooled", 0.2, 26.0, 1)
        ),
        speech_comparison(speech_run("compot", "fisher", 0.2, 0.15), speech_run("svd-llm", "uniform", 0.3, 0.4)),
    ],
)
def test_every_run_of_a_comparison_is_a_point_that_can_be_made_again(whole):
    points = comparison_points(whole, METHODS)
    assert len(points) == 1 + len(whole.runs) == len({each.key for each in points})
    assert points[0].is_dense and points[0].quality == whole.dense.quality
    for each, measured in zip(points[1:], whole.runs, strict=True):
        assert (each.quality, each.stored_bits) == (measured.quality, measured.stored_bits)
        asked = each.recipe.method, each.recipe.policy, each.recipe.seed, each.recipe.removed_fraction
        assert asked == (measured.method, measured.policy, measured.seed, measured.removed_fraction_target)
    assert len(Session().with_points(points).measures()) == 1


def test_a_live_run_and_the_precomputed_one_of_the_same_recipe_are_one_point():
    """What is said by default need not be said: the built-in text, the usual counts, default settings."""
    defaults = {s.name: s.default for m in METHODS if m.name == "compot" for s in m.settings}
    assert defaults
    calibration = CalibrationSettings(TextSource("sotu-calibration", "ee", 9))
    measured = replace(run("compot", "pooled", 0.2, 25.0), settings=defaults)
    whole = replace(comparison(measured), calibration=calibration)
    (_, made) = comparison_points(whole, METHODS)
    assert made.recipe == Recipe(whole.model_id, "compot", "pooled", 0.2)
    other = replace(measured, settings=defaults | {"iterations": 7})
    (_, made) = comparison_points(replace(whole, runs=(other,)), METHODS)
    assert made.recipe.settings == (("iterations", 7.0),) and made.recipe.method_settings()["iterations"] == 7


def test_a_latency_report_times_both_models():
    report = LatencyReport(
        threads=2,
        prompt_tokens=128,
        decode_tokens=16,
        prefill={"dense": LatencyFigure(20, 1, 5), "compressed": LatencyFigure(15, 2, 5)},
        decode={"dense": LatencyFigure(10, 1, 5), "compressed": LatencyFigure(9, 3, 5)},
        execution="",
        device="a processor",
        model_id="tiny",
    )
    session = SESSION.with_timings(timings_of(report, SMALL.recipe))
    told = session.timing(SMALL)
    assert (told.prefill_ms, told.decode_iqr_ms, told.dense_decode_ms) == (15, 3, 10)
    assert session.timing(DENSE).decode_ms == 10 and session.timing(BAD) is None
    assert told.convention == "prefill of 128 tokens, 16 decoded tokens, 2 threads, a processor"
