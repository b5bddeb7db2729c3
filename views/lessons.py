"""The guided walk in words: what a finding says, and which picture shows it."""

from __future__ import annotations

from dataclasses import replace

from compression.adaptation.analysis import gate_grid
from compression.analysis import SpectrumInfo
from compression.lessons import BOUNDS, Finding
from compression.types import LatencyReport, SpeechLatencyReport
from views.figures import gates, latency, lesson, speech_latency
from views.texts import Words
from views.widgets import View

STEPS: dict[str, str] = {
    "spectrum": "explore",
    "whitening": "compare",
    "dictionary": "compare",
    "budget": "explore",
    "speed": "distil",
    "gates": "adapt",
}
"""Step → the tab in which to go on."""
MINUTES: dict[str, int] = {"spectrum": 8, "whitening": 10, "dictionary": 10, "budget": 10, "speed": 12, "gates": 10}
"""Step → about how long it takes with a class that discusses it."""
TASK = "sst2"
"""Whose runs of gates the last step shows."""
_SHARES = {"share", "whitened_share", "lower", "closed", "stored", "removed", "gates", "full"}
"""Numbers that are written in per cent."""
_COUNTS = {"all", "plain", "break_even", "trained"}
_QUALITIES = {"dense", "svd", "whitened", "subspace", "sparse", "even", "aware"}


def teacher_path(language: str) -> str:
    """Path of a language's page for teachers, without the slash."""
    return "teacher" if language == "en" else f"teacher-{language}"


def handout_path(language: str) -> str:
    """Path of a language's handout, without the slash."""
    return "handout" if language == "en" else f"handout-{language}"


def options(step: str, words: Words) -> list[str]:
    """The options of a step's question, in their order."""
    return [words(f"learn.{step}.option{number}") for number in range(len(BOUNDS[step]) + 1)]


def sentence(found: Finding, words: Words) -> str:
    """What was found, and what that says: another thing where it went another way."""
    values: dict[str, str] = dict(found.names)
    for name, number in found.numbers.items():
        if found.step == "budget" and name in ("most", "least"):
            values[f"{name}_share"] = words.percent(number)
        elif name in _SHARES:
            values[name] = words.percent(number)
        elif found.step == "speed" and name in ("dense", "compressed"):
            values[name] = words.significant(number)
        elif name in _COUNTS or (found.step == "spectrum" and name == "whitened"):
            values[name] = words.number(number, 0)
        elif name in _QUALITIES:
            values[name] = words.percent(number) if words.speech else words.number(number)
        else:
            values[name] = words.number(number, 2)
    return f"{words(f'learn.{found.step}.found', **values)} {words(f'learn.{found.step}.{found.outcome}', **values)}"


def verdict(found: Finding, guess: int, words: Words) -> str:
    """Whether the guess was right."""
    possible = options(found.step, words)
    if guess == found.answer:
        return words("learn.right", option=possible[guess])
    return words("learn.wrong", guess=possible[guess], option=possible[found.answer])


def view(found: Finding, words: Words) -> View:
    """The picture, with what was found under it."""
    subject = found.subject
    shown: View
    if isinstance(subject, SpectrumInfo):
        shown = lesson.energy_view(subject, words)
    elif isinstance(subject, LatencyReport):
        shown = latency.view(subject, words)
    elif isinstance(subject, SpeechLatencyReport):
        shown = speech_latency.view(subject, words)
    elif subject is not None:
        shown = gates.removed_view(gate_grid(subject), "rows", words)
    else:
        shown = lesson.bars_view(found.bars, words)
    return replace(shown, summary=sentence(found, words))
