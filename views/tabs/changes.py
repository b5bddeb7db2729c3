"""What changed: predictions that flipped, losses that rose on the visitor's own text or speech, and where in depth."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import gradio as gr

from compression.types import Progress
from views import engine
from views.changed_text import changes_table, summary, table_value, words_html
from views.context import Context
from views.figures import drift
from views.tabs.live_parts import half, setting_row, start_row
from views.tabs.live_speech import heard, recording_source
from views.texts import Words
from views.widgets import ChartPanel, progress_html, status_html

if TYPE_CHECKING:
    from compression.evaluation.changes_report import ChangesReport

MAX_TOKENS = 2048
"""Of the text, as many as `compression.evaluation.changes` reads where nobody asks for another number."""


def build(context: Context) -> None:
    """Fill the tab."""
    words = context.words
    context.model_line()
    setting = setting_row(context, "changes")
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('changes.title')}", elem_classes=["figure-title"])
        with half(context, "changes-text-half", speech=False):
            text = gr.Textbox(
                words("live.sample"),
                lines=6,
                max_lines=12,
                label=words("changes.text"),
                info=words("changes.text_info", tokens=words.number(MAX_TOKENS, 0)),
                elem_id="changes-text",
            )
        with half(context, "changes-speech-half", speech=True):
            source = recording_source(words, "changes", words("changes.reference_info"))
        start = words("changes.start")
        button, cancel, status = start_row(context, setting, start, "changes", twice=False, elem_id="changes-button")
        said = gr.Markdown(_hint(engine.default_model_id(), words), elem_classes=["summary"], elem_id="changes-summary")
        marked = gr.HTML(words_html(None, words), elem_id="changes-words", js_on_load=None, apply_default_css=False)
        table = changes_table(words)
    panel = ChartPanel(words, words("changes.drift_title"), drift.HEIGHT, None, "drift", words("changes.drift_hint"))
    outputs = [said, marked, table, *panel.outputs]

    def run(*values: Any) -> Generator[list[Any], None, None]:
        yield from find_changes(words, panel, *values)

    inputs = [*setting, text, source.audio, source.reference]
    context.heavy(button, cancel, status, run, inputs, outputs)

    def cleared(model: str) -> list[Any]:
        return [_hint(model, words), words_html(None, words), "", *panel.cleared()]

    context.model_id.change(cleared, context.model_id, outputs, show_progress="hidden", api_visibility="private")


def _hint(model: str, words: Words) -> str:
    return words.about(engine.is_speech(model))("changes.hint", button=words("changes.start"))


def find_changes(
    words: Words,
    panel: ChartPanel,
    model: str,
    method: str,
    policy: str,
    ratio: float,
    text: str,
    audio: str | None,
    reference: str,
) -> Generator[list[Any], None, None]:
    """Let both models read the text, or hear the recording, and show what differs.

    Args:
        words: the language.
        panel: where the drift is shown, from the first window on.
        model: its id; says whether text or recording counts.
        method: of compression.
        policy: of allocation.
        ratio: removed fraction.
        text: what a language model reads.
        audio: the file that a speech model hears; None where nothing has been recorded.
        reference: what was said; may be empty.

    Yields:
        Values of the status, the summary, the marked text, the table and the panel.

    Raises:
        UserError: if there is nothing to read or to hear.
    """

    def show(progress: Progress) -> list[Any]:
        drifted = progress.stage == "changes"
        shown = panel.updates(drift.view(progress.partial, words)) if drifted else panel.unchanged()
        return [progress_html(progress, words), gr.skip(), gr.skip(), gr.skip(), *shown]

    wanted = engine.recipe(model, method, policy, ratio)
    work: Generator[Progress, None, ChangesReport]
    if engine.is_speech(model):
        work = engine.workbench().changes_of_speech(wanted, heard(audio, words), reference or "")
    else:
        work = engine.workbench().changes(wanted, text)
    report = yield from engine.relay(work, show)
    yield [
        status_html(words("changes.finished")),
        summary(report, words),
        words_html(report, words),
        table_value(report, words),
        *panel.updates(drift.view(report.drift, words)),
    ]
