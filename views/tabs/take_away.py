"""Take away: a compressed model exported, checked in a fresh process, downloaded, and pushed to the Hub."""

from __future__ import annotations

import os
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from compression.errors import UserError
from compression.types import ExportCheck, Exported
from views import engine
from views.context import Context
from views.tabs.live_parts import recipe_label, setting_row, start_row
from views.texts import Words
from views.widgets import Table, data_table, progress_html, status_area, status_html, table_value

LOOPBACK = ("", "127.0.0.1", "::1", "localhost")
PUSH: dict[str, Any] = {"concurrency_id": "push", "concurrency_limit": 2}
"""An upload computes nothing: it does not keep the engine from others."""


def has_oauth() -> bool:
    """Whether visitors can sign in: on a Space whose README asks for it; elsewhere Gradio would only pretend."""
    offered = os.environ.get("SPACE_ID") and os.environ.get("OAUTH_CLIENT_ID")
    return bool(offered) and all(find_spec(name) for name in ("authlib", "itsdangerous"))


def login_token(given: str | None, words: Words) -> str | None:
    """The token to push with: the visitor's own, or on a machine that serves nobody else its own login.

    Raises:
        UserError: if nobody can be or is signed in; a Space's own secret is never used for its visitors.
    """
    if given:
        return given
    if has_oauth():
        raise UserError(words("take_away.log_in", button=words("take_away.login")))
    if os.environ.get("SPACE_ID") or os.environ.get("GRADIO_SERVER_NAME", "") not in LOOPBACK:
        raise UserError(words("take_away.no_login"))
    from compression.publish import stored_token

    return stored_token()


def predicted_text(model: str, ratio: float, words: Words) -> str:
    """How large the weights will be."""
    size = engine.predicted_bytes(model, ratio)
    if size is None:
        return words("take_away.predicted_unknown")
    stored, dense = size
    return words("take_away.predicted", mb=words.number(stored / 1e6), dense=words.number(dense / 1e6))


def check_sentence(exported: Exported, recipe: str, words: Words) -> str:
    """What the fresh process found."""
    check = exported.check
    text = words(
        "take_away.done_equal" if check.equal else "take_away.done_different",
        recipe=recipe,
        seconds=words.number(check.load_seconds),
        count=words.number(check.compared, 0),
        weights=words.number(check.weights_bytes / 1e6, 2),
        accounted=words.number(check.accounted_bytes / 1e6, 2),
        excess=_signed(check.weights_excess, words),
        folder=words.number(check.folder_bytes / 1e6, 2),
        **({} if check.equal else {"difference": words.significant(check.largest_difference)}),
    )
    caution = words("take_away.caution", note=words.sentence(exported.model_note)) if exported.model_note else ""
    return f"{text} {caution}".strip()


def _signed(share: float, words: Words) -> str:
    return ("+" if share >= 0 else "−") + words.percent(abs(share), 2)


def check_table(check: ExportCheck, words: Words) -> Table:
    """The same as a table."""
    rows: dict[str, str | float | int] = {
        "equal": words("take_away.yes" if check.equal else "take_away.no"),
        "difference": check.largest_difference,
        "compared": check.compared,
        "accounted": check.accounted_bytes,
        "weights": check.weights_bytes,
        "excess": round(100 * check.weights_excess, 3),
        "folder": check.folder_bytes,
        "seconds": round(check.load_seconds, 2),
        "threads": check.threads,
    }
    headers = words("take_away.column.figure"), words("take_away.column.value")
    return Table("export-check", headers, tuple((words(f"take_away.row.{key}"), value) for key, value in rows.items()))


def build(context: Context) -> None:
    """Fill the tab."""
    context.model_line()
    setting = setting_row(context, "take")
    exported = gr.State("")
    _export(context, setting, exported)
    _push(context, exported)


def _export(context: Context, setting: list[Any], exported: gr.State) -> None:
    words = context.words
    hint = words("take_away.hint", button=words("take_away.export"))
    model, _, _, ratio = setting
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('take_away.title')}", elem_classes=["figure-title"])
        predicted = gr.Markdown(
            predicted_text(model.value, ratio.value, words), elem_classes=["hint"], elem_id="take-predicted"
        )
        label = words("take_away.export")
        button, cancel, status = start_row(context, setting, label, "export", twice=False, elem_id="export-button")
        summary = gr.Markdown(hint, elem_classes=["summary"], elem_id="export-summary")
        with gr.Column(visible=False, elem_id="export-result") as result:
            table = data_table(None, words)
            command = _code(words("take_away.command"), "export-command")
            snippet = _code(words("take_away.snippet"), "export-snippet")
            with gr.Accordion(words("take_away.card"), open=False, elem_id="export-card"):
                card = gr.Markdown(elem_classes=["model-card"])
            download = gr.DownloadButton(
                words("take_away.download"), size="md", elem_id="export-download", scale=0, min_width=170
            )
    outputs = [exported, summary, result, table, command, snippet, card, download]

    def export(model: str, method: str, policy: str, ratio: float) -> Generator[list[Any], None, None]:
        recipe = engine.recipe(model, method, policy, ratio)

        def show(progress: Any) -> list[Any]:
            return [progress_html(progress, words), *(gr.skip() for _ in outputs)]

        made = yield from engine.relay(engine.workbench().export(recipe), show)
        yield [
            status_html(words("take_away.finished")),
            made.directory,
            check_sentence(made, recipe_label(method, policy, ratio, words), words),
            gr.update(visible=True),
            table_value(check_table(made.check, words)),
            made.command,
            made.snippet,
            made.card,
            made.archive,
        ]

    def cleared(model: str, ratio: float) -> list[Any]:
        nothing = ["", hint, gr.update(visible=False), "", "", "", "", None]
        return [predicted_text(model, ratio, words), status_html(), *nothing]

    context.heavy(button, cancel, status, export, setting, outputs)
    gr.on(
        [component.change for component in setting],
        cleared,
        [model, ratio],
        [predicted, status, *outputs],
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )


def _code(label: str, elem_id: str) -> gr.Textbox:
    return gr.Textbox(
        label=label, lines=2, max_lines=12, interactive=False, buttons=["copy"], elem_id=elem_id, elem_classes=["code"]
    )


def _push(context: Context, exported: gr.State) -> None:
    words = context.words
    oauth = has_oauth()
    label = words("take_away.push")
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('take_away.push_title')}", elem_classes=["figure-title"])
        hint = "take_away.push_hint_login" if oauth else "take_away.push_hint"
        gr.Markdown(words(hint, button=label), elem_classes=["hint"])
        if oauth:
            logout = words("take_away.logout", name="{}")
            gr.LoginButton(words("take_away.login"), logout, size="md", elem_id="login-button", scale=0, min_width=220)
        with gr.Row(elem_classes=["controls"]):
            repository = gr.Textbox(
                label=words("take_away.repository"),
                info=words("take_away.repository_info"),
                max_lines=1,
                max_length=200,
                elem_id="push-repository",
                min_width=240,
            )
            with gr.Column(min_width=240):
                private = gr.Checkbox(label=words("take_away.private"), elem_id="push-private")
                update = gr.Checkbox(label=words("take_away.update"), elem_id="push-update")
        with gr.Row(elem_classes=["controls"]):
            button = gr.Button(label, size="md", min_width=170, scale=0, elem_id="push-button")
            cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
            with gr.Column(min_width=240, elem_classes=["tight"]):
                status = status_area("push-status")

    def push(
        given: str | None, directory: str, repository: str, private: bool, update: bool
    ) -> Generator[list[Any], None, None]:
        if not directory:
            raise UserError(words("take_away.not_exported", button=words("take_away.export")))
        if not Path(directory).is_dir():
            raise UserError(words("take_away.gone", button=words("take_away.export")))
        token = login_token(given, words)
        from compression import publish

        work = publish.push(Path(directory), repository, token, private, update)
        address = yield from engine.relay(work, lambda progress: [progress_html(progress, words)])
        yield [status_html(words("take_away.pushed", address=address))]

    context.heavy(button, cancel, status, push, [exported, repository, private, update], [], slot=PUSH, with_login=True)
