"""What every tab gets: the words, the shared choice of model, and helpers to wire events."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import gradio as gr
from gradio.events import Dependency

from compression.errors import UserError
from views import engine
from views.accelerator import on_accelerator
from views.line import ENGINE, Place
from views.runs import Runs
from views.texts import Words
from views.widgets import alert_html, status_html

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """Shared between tabs.

    Attributes:
        words: the language.
        model_id: state that holds the chosen model's id; tabs listen to its ``change``.
        page: the Blocks, for ``load`` events.
        runs: where measured runs go, and are kept.
        tabs: the tabs of the page, to open one of them; None on a page without.
    """

    words: Words
    model_id: gr.State
    page: gr.Blocks
    runs: Runs = field(default_factory=Runs)
    tabs: gr.Tabs | None = None

    def model_line(self) -> gr.Markdown:
        """A line that names the model and its note, and follows the choice."""
        line = gr.Markdown(self.model_text(engine.default_model_id()), elem_classes=["model-line"])
        self.model_id.change(self.model_text, self.model_id, line, show_progress="hidden", api_visibility="private")
        return line

    def model_text(self, model_id: str) -> str:
        """The model's name and note."""
        title, note = engine.title_and_note(model_id)
        return self.words(
            "page.model_line_note" if note else "page.model_line", title=title, note=self.words.sentence(note)
        )

    def on_other_model(self, values: Callable[[], Any], outputs: Any) -> None:
        """Set `outputs` to ``values()`` when another model is chosen, so that no figure stands under a wrong name."""
        self.model_id.change(values, None, outputs, show_progress="hidden", api_visibility="private")

    def cost_text(self, estimates: list[float | None]) -> str:
        """What the next click costs."""
        known = [seconds for seconds in estimates if seconds is not None]
        if len(known) < len(estimates):
            return self.words("cost.unknown")
        seconds = sum(known)
        cost = self.words("time.instant") if seconds < 0.5 else self.words.duration(seconds)
        return self.words("cost.line", cost=cost)

    def cost_line(self, inputs: list[Any], estimate: Callable[..., list[float | None]]) -> gr.Markdown:
        """A line with the cost of a click, kept up to date with the controls.

        Args:
            inputs: components the cost depends on.
            estimate: their values → seconds of each piece of work.
        """

        def text(*values: Any) -> str:
            try:
                return self.cost_text(estimate(*values))
            except UserError:
                return self.words("cost.unknown")
            except Exception:
                log.exception("no cost estimate")
                return self.words("cost.unknown")

        # The first text is made with the page: a request for each line would hold up the first picture.
        line = gr.Markdown(text(*(component.value for component in inputs)), elem_classes=["cost"])
        listeners = [component.change for component in inputs]
        gr.on(
            listeners,
            text,
            inputs,
            line,
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_id="cost",
            concurrency_limit=1,
            api_visibility="private",
        )
        return line

    def _in_line(self, handler: Callable[..., Any], outputs: int) -> Callable[..., Any]:
        """The same event, which shows in the status how many stand before it, until its turn has come."""

        def shown(place: Place) -> list[Any]:
            return [place.html(self.words), *(gr.skip() for _ in range(outputs))]

        @wraps(handler)
        def waiting(*values: Any) -> Any:
            yield from ENGINE.in_turn(lambda: handler(*values), shown)

        return waiting

    def heavy(
        self,
        button: gr.Button,
        cancel: gr.Button,
        status: gr.HTML,
        work: Callable[..., Any],
        inputs: list[Any],
        outputs: list[Any],
        slot: dict[str, Any] | None = None,
        with_login: bool = False,
        meanwhile: tuple[gr.Button, ...] = (),
    ) -> Dependency:
        """Wire long work to a button: one slot for everybody, streamed, cancellable, failing with a sentence.

        Args:
            button: starts it.
            cancel: stops it; it is only active meanwhile.
            status: where progress and alerts appear.
            work: generator function; yields ``[status value, *output values]``.
            inputs: its inputs.
            outputs: its outputs after the status.
            slot: the queue of work that does not compute; by default the engine's, with a GPU where one is lent.
            with_login: whether `work` is given, before its inputs, the token of a visitor who is signed in, or None.
            meanwhile: other buttons, which the work makes active and which are not when it has ended.

        Returns:
            The event of the work, for others than the visitor to cancel.
        """

        def guarded(*values: Any) -> Any:
            def fail(sentence: str) -> list[Any]:
                sentence = self.words.sentence(sentence)
                gr.Warning(sentence, title=self.words("page.warning"))
                return [alert_html(sentence), *(gr.skip() for _ in outputs)]

            nothing = [gr.skip() for _ in [status, *outputs]]
            yield from engine.guarded(work(*values), nothing, fail, self.words("page.generic_error"))

        def signed_in(login: gr.OAuthToken | None, *values: Any) -> Any:
            yield from guarded(login.token if login else None, *values)

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        buttons = [button, cancel, *meanwhile]
        idle = [gr.update(interactive=each is button) for each in buttons]
        off = [gr.update(interactive=False) for _ in buttons]
        shared = {"KEY": cancel._id, "SAME": [gr.skip() for _ in [status, *buttons]], "GIVEN_UP": GIVEN_UP}

        def answer(listener: Callable[..., Any], body: str, said: Any, then: list[Any], **more: Any) -> Any:
            script = _script(body, SHOWN=[said, *then], **shared, **more)
            return listener(None, None, [status, *buttons], js=script, **quiet)

        started = answer(button.click, _STARTED, status_html(self.words("progress.waiting")), off)
        handler = signed_in if with_login else guarded
        handler = self._in_line(on_accelerator(handler), len(outputs)) if slot is None else handler
        event = started.then(
            _cancellable_once_begun(handler),
            inputs,
            [status, *outputs, cancel],
            **(slot or engine.HEAVY),
            **quiet,
        )
        # Cancelled first, then answered: Gradio goes through what a click starts in this order. The server takes the
        # cancellation when the engine's running step ends, seconds later. Until then Gradio neither begins the event
        # again nor tells two runs of it apart, so only then may somebody start again.
        cancel.click(None, None, None, cancels=[event])
        answer(cancel.click, _CANCELLED, status_html(self.words("progress.cancelling")), off)
        cancelled = [status_html(self.words("progress.cancelled")), *idle]
        for listener in (event.success, event.failure):
            answer(listener, _ENDED, gr.skip(), idle, CANCELLED=cancelled)
        return event


GIVEN_UP = 30_000
"""Milliseconds after one end of a cancelled run in which the other is waited for: for ever would be too long where a
connection is lost."""
# What the page answers itself; `runs` holds the running ones, each under the id of the button that cancels it.
_STARTED = "runs[KEY] = {}; return SHOWN;"
_CANCELLED = """
    const run = runs[KEY];
    if (!run || run.cancelled) return SAME;
    run.cancelled = new Promise(kept => { run.over = kept; });
    run.ends = 0;
    return SHOWN;
"""
# A cancelled run ends twice: when all has been drawn that came before its end, and when Gradio has forgotten it.
_ENDED = """
    const run = runs[KEY];
    if (!run?.cancelled) { delete runs[KEY]; return SHOWN; }
    if (++run.ends === 2) run.over();
    await Promise.race([run.cancelled, new Promise(kept => setTimeout(kept, GIVEN_UP))]);
    if (runs[KEY] === run) delete runs[KEY];
    return CANCELLED;
"""


def _script(body: str, **names: Any) -> str:
    """JavaScript of an event that is answered in the page, with names for what Python knows."""
    known = "".join(f"const {name} = {json.dumps(value)}; " for name, value in names.items())
    return f"async () => {{ {known}const runs = (window.heavyRuns ??= {{}}); {body} }}"


def _cancellable_once_begun(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same event, which makes the button active that cancels it: before it has begun, Gradio could not do that."""

    @wraps(handler)
    def whole(*values: Any) -> Any:
        active = gr.update(interactive=True)
        with closing(handler(*values)) as steps:
            for shown in steps:
                yield [*shown, active]
                active = gr.skip()

    return whole
