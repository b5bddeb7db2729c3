"""The guided walk's findings: against numbers worked out by hand, on what came with the app, and worked out anew."""

from __future__ import annotations

import gc
import itertools
import warnings
from dataclasses import replace

import gradio as gr
import pytest
from real_app import ROOT
from test_api import tiny  # noqa: F401
from tiny import finish

from compression import lessons
from compression.adaptation.types import AdaptReport
from compression.analysis import SpectrumInfo
from compression.errors import UserError
from compression.gallery import load_gallery
from compression.lessons import BOUNDS, Finding
from compression.steps import known
from compression.types import Comparison, LatencyFigure, LatencyReport
from views import adaptation
from views.context import Context
from views.lessons import MINUTES, STEPS, TASK, options, sentence, verdict, view
from views.tabs import learn
from views.texts import LANGUAGES, words

MODEL = "smollm2-135m-q4"
KEPT: list[gr.Blocks] = []
"""What was laid out stays: a component's event loop that is never used complains when it is thrown away."""


def test_options_are_ranges_that_leave_no_gap() -> None:
    for step, bounds in BOUNDS.items():
        assert all(low < high for low, high in itertools.pairwise(bounds))
        for number, bound in enumerate(bounds):
            at, above = (Finding(step, "", value, {}, {}, {}).answer for value in (bound, bound * 1.001 + 1e-9))
            assert (at, above) == (number, number + 1)
        assert Finding(step, "", float("inf"), {}, {}, {}).answer == len(bounds)
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


def compared(dense: float, *measured: tuple[str, float]) -> Comparison:
    """The comparison that came with the app, with made-up perplexities."""
    known_one = load_gallery(ROOT / "assets" / MODEL).headline
    first = known_one.runs[0]
    runs = tuple(replace(first, method=method, perplexity=value) for method, value in measured)
    return replace(known_one, dense=replace(known_one.dense, perplexity=dense), runs=runs)


def timed(ratio: float) -> LatencyReport:
    """A stopwatch's report, with a made-up ratio of decoding times."""
    decode = {"dense": LatencyFigure(10.0, 0.1, 5), "compressed": LatencyFigure(10.0 * ratio, 0.1, 5)}
    stored = {"dense": 100, "compressed": 85}
    return LatencyReport(1, 8, 2, decode, decode, "dense layers", "CPU", stored_bits=stored)


def adapted(latency: float | None) -> AdaptReport:
    """The runs of gates that came with the app, with a made-up time."""
    report = adaptation.report_of(TASK, MODEL)
    assert report is not None
    return replace(report, runs=tuple(replace(run, latency_ratio=latency) for run in report.runs))


SPECTRUM = SpectrumInfo("q_proj", (1, 2, 3), (1, 0.5, 0), (1, 0.5, 0), (0.3, 0.1, 0), (0.3, 0.1, 0), 3, 2, 1.0)
SAID: list[tuple[Finding, str, str]] = [
    (lessons.spectrum(replace(SPECTRUM, whitened_lost_energy=(0.1, 0, 0))), "Fewer are enough", "хватает меньшего"),
    (lessons.spectrum(SPECTRUM), "needs no fewer", "нужно не меньше"),
    (lessons.whitening(compared(20, ("svd", 90), ("svd-llm", 30))), "does not know which", "не знает какие"),
    (lessons.whitening(compared(20, ("svd", 30), ("svd-llm", 30))), "gains nothing", "ничего не даёт"),
    (lessons.dictionary(compared(20, ("svd-llm", 40), ("compot", 30))), "lower by 25%", "ниже на 25\u202f%"),
    (lessons.dictionary(compared(20, ("svd-llm", 40), ("compot", 40))), "**not** lower", "**не** ниже"),
    (lessons.dictionary(compared(20, ("svd-llm", 40), ("compot", 42))), "**not** lower", "**не** ниже"),
    (lessons.dictionary(compared(0, ("svd-llm", 0), ("compot", 0))), "**not** lower", "**не** ниже"),
    (lessons.budget(compared(20, ("compot", 40)), compared(20, ("compot", 30))), "is 50% of the", "Это 50\u202f% пути"),
    (lessons.budget(compared(20, ("compot", 40)), compared(20, ("compot", 41))), "**no** step back", "**ни** шагу"),
    (lessons.budget(compared(20, ("compot", 19)), compared(20, ("compot", 18))), "costs nothing", "ничего не стоит"),
    (lessons.speed(timed(0.8)), "smaller **is** faster", "меньше **значит** быстрее"),
    (lessons.speed(timed(1.0)), "about as long to compute", "время нет"),
    (lessons.speed(timed(1.5)), "cost extra", "стоят лишнего"),
    (lessons.gates(adapted(0.7)), "smaller **is** faster", "меньше **значит** быстрее"),
    (lessons.gates(adapted(1.0)), "about the same", "примерно столько же"),
    (lessons.gates(adapted(1.5)), "smaller is **not** faster", "меньше **не** значит быстрее"),
    (lessons.gates(adapted(None)), "was not measured", "не измерено"),
]
"""Made-up findings on each side of every step, and what is said of them and of no other finding of the step."""


@pytest.mark.parametrize(("found", "english", "russian"), SAID)
def test_what_is_said_follows_from_the_number(found: Finding, english: str, russian: str) -> None:
    for language, said in (("en", english), ("ru", russian)):
        text = sentence(found, words(language))
        assert said in text and "{" not in text and "inf" not in text and "-" not in text.replace("SVD-LLM", "")
        others = [each for each in SAID if each[0].step == found.step and each[0].outcome != found.outcome]
        assert others and not any(phrase in text for each in others for phrase in each[1:])


def test_another_model_cancels_what_is_being_revealed_of_the_first() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with gr.Blocks() as page:
            model = gr.State(MODEL)
            with gr.Tabs() as tabs, gr.Tab():
                learn.build(Context(words("en"), model, page, tabs=tabs))
        gc.collect()
    KEPT.append(page)
    reveals = {number for number, event in page.fns.items() if event.concurrency_id == "learn"}
    changes = [event for event in page.fns.values() if (model._id, "change") in event.targets]
    assert len(reveals) == len(STEPS) and {number for event in changes for number in event.cancels} == reveals


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
