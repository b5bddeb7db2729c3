"""Take away, part by part: predicted size, what a check says, who may push, and what an archive weighs on its way."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from own_loop import run_apart

from compression import publish, store
from compression.errors import UserError
from compression.types import ExportCheck, Exported, Progress
from views import engine
from views.context import Context
from views.downloads import GZipText
from views.scripts import register_static_files
from views.tabs import take_away
from views.texts import words

EN, RU = words("en"), words("ru")
CHECK = ExportCheck(
    equal=True,
    largest_difference=0.0,
    compared=1_572_864,
    accounted_bytes=226_469_504,
    weights_bytes=226_540_000,
    folder_bytes=229_000_000,
    load_seconds=3.21,
    threads=2,
)
MADE = Exported("/cache/exports/k/small", "/cache/archives/k/small.zip", CHECK, "python -m …", "from …", "# Card", "")


KEPT: list[gr.Blocks] = []
"""What was laid out stays: a component's event loop that is never used complains when it is thrown away."""


def laid_out(monkeypatch: pytest.MonkeyPatch, language: str = "en") -> gr.Blocks:
    """The tab alone, in one language, without the libraries and checks that signing in would need at the start."""
    monkeypatch.setattr(gr.Blocks, "expects_oauth", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with gr.Blocks() as page:
            take_away.build(Context(words(language), gr.State("smollm2-135m-q4"), page))
        gc.collect()
    KEPT.append(page)
    return page


@pytest.fixture
def heavies(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The work behind each button of the tab, by the id of the button."""
    found: dict[str, Any] = {}
    real = Context.heavy

    def heavy(self: Context, button: gr.Button, *rest: Any, **options: Any) -> Any:
        found[str(button.elem_id)] = rest[2]
        return real(self, button, *rest, **options)

    monkeypatch.setattr(Context, "heavy", heavy)
    laid_out(monkeypatch)
    return found


# What is said


def test_the_size_is_predicted_from_the_analysis() -> None:
    said = take_away.predicted_text("smollm2-135m-q4", 0.2, EN)
    assert said.startswith("Predicted: about 226.6 MB of weights (dense 269.0 MB")
    assert "226,6" in take_away.predicted_text("smollm2-135m-q4", 0.2, RU)
    assert "analysed" in take_away.predicted_text("owner/unknown", 0.2, EN)


def test_the_prediction_is_within_one_per_cent_of_what_was_measured() -> None:
    """Of every run of the example: all policies meet the same target."""
    for model_id in ("smollm2-135m-q4", "whisper-tiny.en"):
        gallery = engine.gallery(model_id)
        assert gallery is not None
        for run in gallery.comparison.runs:
            predicted = engine.predicted_bytes(model_id, run.removed_fraction_target)
            assert predicted is not None and predicted[0] == pytest.approx(run.stored_bits / 8, rel=0.01)


def test_a_check_is_said_with_its_figures() -> None:
    said = take_away.check_sentence(replace(MADE, model_note="rounded to 4 bits"), "COMPOT", EN)
    assert "all its 1\u202f572\u202f864 logits are equal to the bit" in said
    assert "226.54 MB on disk, the accounting says 226.47 MB (+0.03%)" in said and "229.00 MB" in said
    assert said.endswith("The original is rounded to 4 bits.")
    other = replace(MADE, check=replace(CHECK, equal=False, largest_difference=0.00123))
    assert "some differ, by up to 0.00123" in take_away.check_sentence(other, "COMPOT", EN)
    assert "0,00123" in take_away.check_sentence(other, "COMPOT", RU)
    smaller = replace(MADE, check=replace(CHECK, weights_bytes=CHECK.accounted_bytes - 2_000_000))
    assert "(−0.88%)" in take_away.check_sentence(smaller, "COMPOT", EN)


def test_the_table_has_the_figures_for_csv() -> None:
    for language in ("en", "ru"):
        table = take_away.check_table(CHECK, words(language))
        assert [row[1] for row in table.rows[1:]] == [0.0, 1572864, 226469504, 226540000, 0.031, 229000000, 3.21, 2]


# Export


def test_an_export_fills_every_part(heavies: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def export(recipe: Any) -> Generator[Progress, None, Exported]:
        assert (recipe.method, recipe.policy, recipe.removed_fraction) == ("svd", "uniform", 0.25)
        yield Progress("verify", 0, 1, "a fresh process loads the export: 2 s")
        return MADE

    monkeypatch.setattr(engine, "workbench", lambda: SimpleNamespace(export=export))
    steps = list(heavies["export-button"]("m", "svd", "uniform", 0.25))
    assert "a fresh process loads the export: 2 s" in steps[0][0]
    status, directory, sentence, _, table, command, snippet, card, archive = steps[-1]
    assert "Written and checked." in status and "SVD, uniform, 25% removed" in sentence
    assert (directory, command, snippet, card, archive) == (
        MADE.directory, MADE.command, MADE.snippet, MADE.card, MADE.archive,
    )  # fmt: skip
    assert json.loads(table)["name"] == "export-check"


# Push


def test_a_push_needs_an_export_that_is_still_there(heavies: dict[str, Any], tmp_path: Path) -> None:
    push = heavies["push-button"]
    with pytest.raises(UserError, match="Nothing is exported for this setting: press “Export” first."):
        list(push(None, "", "visitor/small", False, False))
    with pytest.raises(UserError, match="no longer in the cache: press “Export” to make it again."):
        list(push("hf_x", str(tmp_path / "gone"), "visitor/small", False, False))


def test_a_push_says_where_it_went(heavies: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def push(*arguments: Any) -> Generator[Progress, None, str]:
        asked.append(arguments)
        yield Progress("push", 3, 4, "Uploading 3 MB to visitor/small: 1 s")
        return "https://huggingface.co/visitor/small"

    monkeypatch.setattr(publish, "push", push)
    steps = list(heavies["push-button"]("hf_x", str(tmp_path), "visitor/small", True, False))
    assert asked == [(tmp_path, "visitor/small", "hf_x", True, False)]
    assert "Uploading 3 MB" in steps[0][0] and "Uploaded: https://huggingface.co/visitor/small" in steps[-1][0]
    assert not any("hf_x" in part for step in steps for part in step)


def test_whose_token_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "OAUTH_CLIENT_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(publish, "stored_token", lambda: "hf_machine")
    assert take_away.login_token("hf_visitor", EN) == "hf_visitor"
    assert take_away.login_token(None, EN) == "hf_machine"
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    with pytest.raises(UserError, match="cannot sign you in"):
        take_away.login_token(None, EN)
    monkeypatch.delenv("GRADIO_SERVER_NAME")
    monkeypatch.setenv("SPACE_ID", "owner/space")
    with pytest.raises(UserError, match="cannot sign you in"):
        take_away.login_token(None, EN)
    assert take_away.login_token("hf_visitor", EN) == "hf_visitor"
    monkeypatch.setenv("OAUTH_CLIENT_ID", "x")
    monkeypatch.setattr(take_away, "find_spec", lambda name: name)
    with pytest.raises(UserError, match="press “Sign in with Hugging Face” first"):
        take_away.login_token(None, EN)
    monkeypatch.setattr(take_away, "find_spec", lambda name: None)
    assert not take_away.has_oauth(), "without its libraries Gradio's sign-in would stop the start"


def test_the_sign_in_button_is_on_a_space_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def buttons(language: str) -> list[Any]:
        page = laid_out(monkeypatch, language)
        return [block.value for block in page.blocks.values() if isinstance(block, gr.LoginButton)]

    assert buttons("en") == []
    monkeypatch.setenv("SPACE_ID", "owner/space")
    monkeypatch.setenv("OAUTH_CLIENT_ID", "x")
    monkeypatch.setattr(take_away, "find_spec", lambda name: name)
    assert buttons("en") == ["Sign in with Hugging Face"] and buttons("ru") == ["Войти через Hugging\u00a0Face"]


def test_a_signed_in_visitor_s_token_reaches_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio puts the token in front of the inputs, by the handler's annotation."""
    from gradio.helpers import special_args

    page = laid_out(monkeypatch)
    (handler,) = (fn.fn for fn in page.fns.values() if getattr(fn.fn, "__name__", "") == "signed_in")
    session = {"oauth_info": {"access_token": "hf_a", "scope": "", "expires_at": 2**40}}
    for found, expected in (({}, None), (session, "hf_a")):
        request: Any = SimpleNamespace(session=found, request=None)
        inputs, *_ = special_args(handler, ["directory", "name", False, False], request)
        assert inputs[1:] == ["directory", "name", False, False]
        assert getattr(inputs[0], "token", None) == expected


# Download


def test_archives_are_handed_out_as_they_are_and_nothing_else_of_the_cache(cache: Path) -> None:
    from gradio.utils import is_static_file

    register_static_files()
    archive = store.archives() / "key" / "small.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"x")
    other = store.root() / "exports" / "key" / "local.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    assert is_static_file(str(archive)) and not is_static_file(str(other))


@pytest.mark.parametrize(("path", "packed"), [("/x/small.zip", False), ("/x/tables.json", True)])
def test_archives_are_not_packed_again(path: str, packed: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5000")]})
        await send({"type": "http.response.body", "body": b"x" * 5000})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"accept-encoding", b"gzip")]}
    run_apart(GZipText(app)(scope, None, send))  # type: ignore[arg-type]
    assert ((b"content-encoding", b"gzip") in sent[0]["headers"]) == packed
