"""The guided walk's findings: against numbers worked out by hand, on what came with the app, and worked out anew."""

from __future__ import annotations

import itertools

import pytest
from test_api import tiny  # noqa: F401
from tiny import finish

from compression import lessons
from compression.analysis import SpectrumInfo
from compression.errors import UserError
from compression.lessons import BOUNDS, Finding
from compression.steps import known
from views import adaptation
from views.lessons import MINUTES, STEPS, TASK, options, sentence, verdict, view
from views.texts import LANGUAGES, words

MODEL = "smollm2-135m-q4"


def test_options_are_ranges_that_leave_no_gap() -> None:
    for step, bounds in BOUNDS.items():
        assert all(low < high for low, high in itertools.pairwise(bounds))
        for number, bound in enumerate(bounds):
            at, above = (Finding(step, value, {}, {}, {}).answer for value in (bound, bound * 1.001 + 1e-9))
            assert (at, above) == (number, number + 1)
        assert Finding(step, float("inf"), {}, {}, {}).answer == len(bounds)
    assert set(STEPS) == set(BOUNDS) == set(MINUTES)


def test_how_many_singular_values_hold_the_energy() -> None:
    info = SpectrumInfo(
        "a.q_proj", (1, 2, 3, 4), (1, 0.5, 0.2, 0), (1, 0.1, 0, 0), (0.3, 0.11, 0.1, 0), (0.05, 0, 0, 0), 4, 2, 1.5
    )
    found = lessons.spectrum(info)
    assert (found.numbers["plain"], found.numbers["whitened"], found.value) == (3, 1, 0.75)
    assert found.answer == 3 and found.names == {"site": "a.q_proj"}


def test_what_came_with_the_app_is_found_without_work_and_is_what_was_measured() -> None:
    found = {
        step: known(lessons.find(step, MODEL, adaptation.report_of(TASK, MODEL))) for step in STEPS if step != "speed"
    }
    assert all(found.values())
    whitening, dictionary, budget = found["whitening"], found["dictionary"], found["budget"]
    assert whitening is not None and dictionary is not None and budget is not None
    assert whitening.numbers["whitened"] == dictionary.numbers["subspace"] > dictionary.numbers["sparse"]
    assert dictionary.value == pytest.approx(1 - dictionary.numbers["sparse"] / dictionary.numbers["subspace"])
    assert budget.numbers["even"] == dictionary.numbers["sparse"] > budget.numbers["aware"] > budget.numbers["dense"]
    way = budget.numbers["even"] - budget.numbers["dense"]
    assert budget.value == pytest.approx((budget.numbers["even"] - budget.numbers["aware"]) / way)
    assert budget.numbers["most"] > 0.2 > budget.numbers["least"], "around what is removed of all layers"
    gates = found["gates"]
    assert gates is not None and gates.numbers["trained"] < gates.numbers["all"] / 100
    for language in LANGUAGES:
        for step, each in found.items():
            assert each is not None
            text = words(language)
            assert len(options(step, text)) == len(BOUNDS[step]) + 1
            assert "{" not in sentence(each, text) and view(each, text).summary == sentence(each, text)
            right, wrong = verdict(each, each.answer, text), verdict(each, (each.answer + 1) % 3, text)
            assert options(step, text)[each.answer] in right and options(step, text)[each.answer] in wrong != right


def test_without_runs_of_gates_that_is_said() -> None:
    with pytest.raises(UserError, match="runs of gates"):
        lessons.gates(None)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "gates"])
def test_another_model_is_worked_out(tiny: str, step: str) -> None:  # noqa: F811
    steps = lessons.find(step, tiny, None)
    assert known(lessons.find(step, tiny, None)) is None, "there is work to do"
    found = finish(steps)
    assert 0 <= found.answer <= len(BOUNDS[step])
    assert len(sentence(found, words("en"))) > 80 and view(found, words("ru")).figure.data
    if step == "speed":
        assert found.value == found.numbers["compressed"] / found.numbers["dense"] > 0
