"""Test live with speech: an example, a file and a microphone, and everything that cannot be heard.

The models are made up (`made_up_speech`); files, microphone, reading and marks are the real thing.
"""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from accessibility import serious_findings

from compression.speech.recordings import example_clips, example_path

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

RATE = 16_000
FINISHED = "Both models have written it down."


@pytest.fixture(scope="session")
def listening_browser(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose microphone hears the first example clip over and over."""
    sound = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(sound, example_clips()[0].samples, RATE)
    program = shutil.which("chromium")
    assert program is not None
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
    ]
    chromium = browser.browser_type.launch(executable_path=program, args=arguments)
    yield chromium
    chromium.close()


@pytest.fixture
def open_speech(listening_browser: Browser, speech_url: str) -> Iterator[Callable[..., Page]]:
    """``open_speech(width, theme, locale)``: the tab; fails the test on errors of the page's scripts."""
    contexts, complaints = [], []

    def make(width: int = 1280, theme: str = "light", locale: str = "en-US") -> Page:
        context = listening_browser.new_context(
            viewport={"width": width, "height": 860}, locale=locale, permissions=["microphone"]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{speech_url}/?__theme={theme}")
        page.get_by_role("tab", name="Проверка" if locale.startswith("ru") else "Test live").click()
        page.locator("#speech-audio").wait_for()
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)


def upload(page: Page, path: Path) -> None:
    """Give the page a file, in place of what it has, and wait until the player has it."""
    from playwright.sync_api import expect

    audio = page.locator("#speech-audio")
    clear = audio.get_by_role("button", name="Clear")
    if clear.count():
        clear.click()
        expect(audio.locator("audio[controls]")).to_have_count(0)
    audio.locator("input[type=file]").set_input_files(path)
    expect(audio.locator("audio[controls]")).to_have_attribute("src", re.compile(re.escape(path.name)))


def finished(page: Page) -> Locator:
    """Press the button and wait for both transcripts."""
    from playwright.sync_api import expect

    page.get_by_role("button", name="Transcribe").click()
    expect(page.locator("#transcribe-status")).to_have_text(FINISHED)
    return page.locator("#transcripts")


def refused(page: Page, said: str) -> None:
    """Press the button and wait for one sentence with `said` in it."""
    from playwright.sync_api import expect

    page.get_by_role("button", name="Transcribe").click()
    alert = page.locator("#transcribe-status").get_by_role("alert")
    expect(alert).to_contain_text(said)
    expect(page.get_by_role("button", name="Transcribe")).to_be_enabled()
    sentence = alert.inner_text()
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence, sentence


@pytest.mark.parametrize(
    ("width", "theme", "locale"),
    [(1280, "light", "en-US"), (390, "dark", "en-US"), (390, "light", "ru-RU"), (1280, "dark", "ru-RU")],
)
def test_an_example_fills_recording_and_reference_and_errors_are_marked(
    open_speech: Callable[..., Page], screenshots: Path, width: int, theme: str, locale: str
) -> None:
    from playwright.sync_api import expect

    page = open_speech(width, theme, locale)
    expect(page.locator("#live-text-half")).to_be_hidden()
    page.locator("#speech-example input").click()
    page.get_by_role("option").first.click()
    expect(page.locator("#speech-reference textarea")).to_have_value(example_clips()[0].text or "")
    page.locator("#speech-audio audio[controls]").wait_for()
    button = page.get_by_role("button", name="Расшифровать" if locale.startswith("ru") else "Transcribe")
    button.click()
    result = page.locator("#transcripts")
    expect(result.locator(".completions-summary")).to_contain_text(re.compile(r"\d+[.,]\d\s?%"))
    expect(result.locator("strong")).to_have_count(2)
    for mark in ("mark.wrong", "del.missing"):
        expect(result.locator(f".completion {mark}").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for low, (text, ground) in _colours(page).items():
        assert _contrast(text, ground) >= 4.5, (low, text, ground)
    expect(button).to_be_enabled()  # the transcripts come before the end, at which the button turns from grey to blue
    assert serious_findings(page) == []
    page.screenshot(path=screenshots / f"speech-{locale[:2]}-{theme}-{width}.png", full_page=True)


def test_an_uploaded_flac_is_compared_with_the_dense_transcript(open_speech: Callable[..., Page]) -> None:
    from playwright.sync_api import expect

    page = open_speech()
    upload(page, example_path(example_clips()[1].id))
    result = finished(page)
    expect(result).to_contain_text("Words that differ from the dense transcript")
    expect(result.locator("strong")).to_have_count(0)
    assert result.locator(".completion").first.locator("mark, ins, del").count() == 0
    assert result.locator("b").count() == 0 and "<b>" in result.inner_text(), "what a model writes is no markup"
    page.get_by_role("button", name="Measure latency").click()
    page.locator("#speech-latency [data-drawn]").wait_for()
    expect(page.locator("#speech-latency-summary")).to_contain_text("Smaller, but not faster here")


def test_what_the_microphone_records_is_written_down(open_speech: Callable[..., Page]) -> None:
    from playwright.sync_api import expect

    page = open_speech()
    audio = page.locator("#speech-audio")
    audio.get_by_role("button", name="Record audio").click()
    audio.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(3000)  # three seconds of speech
    audio.get_by_role("button", name="Stop").click()
    audio.locator("audio[controls]").wait_for()
    result = finished(page)
    said = result.locator(".figures").first.inner_text()
    heard = re.search(r"for ([\d.]+) s of speech", said)
    assert heard is not None and 2 < float(heard[1]) < 5, said
    expect(result).to_contain_text("Words that differ")


def test_what_cannot_be_heard_gets_one_sentence_and_nothing_is_lost(
    open_speech: Callable[..., Page], tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = open_speech()
    refused(page, "record one, upload a file or choose an example")
    upload(page, example_path(example_clips()[0].id))
    reference = page.locator("#speech-reference textarea")
    reference.fill("my own words")
    before = finished(page).inner_text()
    for name, (path, said) in _bad(tmp_path).items():
        upload(page, path)
        refused(page, said)
        assert page.locator("#transcripts").inner_text() == before, name
        expect(reference).to_have_value("my own words")
        expect(page.locator("#speech-audio audio[controls]")).to_have_count(1)
    phone = tmp_path / "phone.wav"
    soundfile.write(phone, example_clips()[0].samples[::2], RATE // 2)
    upload(page, phone)
    finished(page)
    reference.fill("?!")
    refused(page, "holds no words")
    expect(page.locator("#transcripts")).to_contain_text("Words that differ from the dense transcript")


def test_another_recording_takes_an_examples_reference_away(open_speech: Callable[..., Page]) -> None:
    from playwright.sync_api import expect

    page = open_speech()
    reference = page.locator("#speech-reference textarea")
    page.locator("#speech-example input").click()
    page.get_by_role("option").first.click()
    expect(reference).not_to_have_value("")
    upload(page, example_path(example_clips()[2].id))
    expect(reference).to_have_value("")
    expect(page.locator("#speech-example input")).to_have_value("")


def _bad(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be heard, and a part of what is said about each."""
    (folder / "text.wav").write_text("This is no sound.\n")
    (folder / "empty.wav").touch()
    soundfile.write(folder / "zero.wav", np.zeros(0), RATE)
    soundfile.write(folder / "silence.wav", np.zeros(3 * RATE), RATE)
    size = 2 * 3600 * 8000
    with (folder / "long.wav").open("wb") as file:  # two hours of 8 bits; on the disk it is a hole
        layout = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
        file.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + layout + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    return {
        "text": (folder / "text.wav", "cannot be read as audio"),
        "empty": (folder / "empty.wav", "empty.wav holds no sound"),
        "zero": (folder / "zero.wav", "zero.wav holds no sound"),
        "silence": (folder / "silence.wav", "Nothing can be heard"),
        "long": (folder / "long.wav", "2 h"),
    }


def _colours(page: Page) -> dict[str, tuple[list[float], list[float]]]:
    """Text and ground of each kind of mark, as red, green and blue from 0 to 255."""
    found: dict[str, tuple[list[float], list[float]]] = page.evaluate(
        """() => {
          const parse = (text) => text.match(/[\\d.]+/g).slice(0, 4).map(Number);
          const ground = (node) => {
            for (; node; node = node.parentElement) {
              const colour = parse(getComputedStyle(node).backgroundColor);
              if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
            }
            return [255, 255, 255];
          };
          const kinds = ['mark.wrong', 'rt', 'del.missing', 'ins.extra', '.figures', '.mark-legend li'];
          const pairs = kinds.map((kind) => [kind, document.querySelector(`#transcripts ${kind}`)]);
          return Object.fromEntries(pairs.filter(([, node]) => node).map(([kind, node]) =>
            [kind, [parse(getComputedStyle(node).color).slice(0, 3), ground(node)]]));
        }"""
    )
    assert len(found) >= 5
    return found


def _contrast(first: list[float], second: list[float]) -> float:
    """Contrast ratio. Source: WCAG 2.2, relative luminance."""

    def luminance(colour: list[float]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_the_real_whisper_is_compressed_and_writes_an_example_down(
    open_page: Callable[..., Page], screenshots: Path
) -> None:
    """From the link through calibration and compression to both transcripts; nothing is made up."""
    from playwright.sync_api import expect

    page = open_page(query="&model=whisper-tiny.en")
    page.get_by_role("tab", name="Test live").click()
    page.locator("#speech-example input").click()
    page.get_by_role("option").first.click()
    page.locator("#speech-audio audio[controls]").wait_for()
    page.get_by_role("button", name="Transcribe").click()
    expect(page.locator("#transcribe-status")).to_have_text(FINISHED, timeout=420_000)
    result = page.locator("#transcripts")
    rates = [float(found) for found in re.findall(r"Word error rate (\d+(?:\.\d+)?)\s?%", result.inner_text())]
    assert len(rates) == 2 and rates[0] < 10, "the dense model makes at most two mistakes in 22 words"
    expect(result.locator(".completion").first).to_contain_text("dashwood")
    page.screenshot(path=screenshots / "speech-real.png", full_page=True)
