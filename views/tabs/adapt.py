"""Adapt: gates and what they are compared with, trained on a task before the visitor's eyes, and what comes out."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import gradio as gr

from compression.adaptation.archive import new_folder, pack
from compression.adaptation.types import LANGUAGE_MODELLING, MAX_SEED, TASKS, AdaptRun, AdaptSettings, Moment
from compression.errors import UserError
from compression.types import Progress
from views import adaptation, engine
from views.adapt_pictures import Overview, RunPictures, scratch_pictures
from views.adaptation import DEFAULT_METHOD, Session
from views.context import Context
from views.figures.adaptation import Trace
from views.texts import Words
from views.widgets import progress_html, status_area, status_html

FIRST_TASK = "era"
"""Shown where no runs came with the app: its data needs no network."""
PICTURES_EVERY = 0.8
"""Seconds between two redrawings at least: a page that is busy drawing answers nobody."""
MINUTES = (0.2, 20.0)
TARGETS = (0.05, 0.9)


def build(context: Context) -> None:
    """Fill the tab."""
    words, page_model = context.words, engine.default_model_id()
    task_name = next((task for task in TASKS if adaptation.report_of(task, page_model)), FIRST_TASK)
    known = adaptation.methods(task_name)
    first = DEFAULT_METHOD if any(method.name == DEFAULT_METHOD for method in known) else known[0].name
    report = adaptation.report_of(task_name, page_model)
    run = adaptation.run_of(report, (), first)
    session = gr.State(Session(() if run is None else run.gates))

    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('adapt.title')}", elem_classes=["figure-title"])
        task = gr.Radio(
            [(words(f"adapt.task.{name}"), name) for name in TASKS],
            value=task_name,
            label=words("adapt.task"),
            elem_id="adapt-task",
        )
        about = gr.Markdown(_about(task_name, first, page_model, context), elem_classes=["hint"], elem_id="adapt-about")
        with gr.Row(elem_classes=["controls"]):
            method = gr.Dropdown(
                _choices(task_name, words),
                value=first,
                label=words("adapt.method"),
                elem_id="adapt-method",
                min_width=200,
            )
            target = gr.Slider(
                *TARGETS,
                value=0.4,
                step=0.05,
                label=words("adapt.target"),
                info=words("adapt.target_info"),
                visible=_removes(task_name, first),
                elem_id="adapt-target",
                min_width=240,
            )
        with gr.Row(elem_classes=["controls"]):
            minutes = gr.Slider(
                *MINUTES,
                value=2.0,
                step=0.2,
                label=words("adapt.minutes"),
                elem_id="adapt-minutes",
                min_width=240,
            )
            seed = gr.Number(
                0,
                minimum=0,
                maximum=MAX_SEED,
                precision=0,
                label=words("adapt.seed"),
                elem_id="adapt-seed",
                min_width=120,
            )
        with gr.Row(elem_classes=["controls"]):
            button = gr.Button(
                words("adapt.train"), variant="primary", size="md", min_width=140, scale=0, elem_id="adapt-train"
            )
            stop = gr.Button(
                words("adapt.stop"), interactive=False, size="md", min_width=150, scale=0, elem_id="adapt-stop"
            )
            cancel = gr.Button(
                words("button.cancel"), interactive=False, size="md", min_width=100, scale=0, elem_id="adapt-cancel"
            )
            with gr.Column(min_width=240, elem_classes=["tight"]):
                context.cost_line([minutes], lambda value: [60 * value + adaptation.AROUND_TRAINING])
                status = status_area("adapt-status")
        gr.Markdown(words("adapt.stop_hint", stop=words("adapt.stop")), elem_classes=["hint"])
    pictures = RunPictures(words, run, report, _nothing(task_name, first, words))
    with gr.Column(elem_classes=["sheet"], visible=False, elem_id="adapt-export") as export:
        gr.Markdown(f"## {words('adapt.export_title')}", elem_classes=["figure-title"])
        gr.Markdown(words("adapt.export_hint"), elem_classes=["hint"])
        download = gr.DownloadButton(
            words("adapt.download"), size="md", elem_id="adapt-download", scale=0, min_width=170
        )
    overview = Overview(words, report, task_name)
    scratch_pictures(adaptation.scratch(), words)

    def chosen(session: Session, page_model: str, task: str, method: str) -> list[Any]:
        """Another task, method or model: what is known of it, the visitor's own run first."""
        there = [each.name for each in adaptation.methods(task)]
        method = method if method in there else there[0]
        report, own = adaptation.report_of(task, page_model), session.own(task, page_model)
        run = adaptation.run_of(report, own, method)
        nothing = _nothing(task, method, words)
        return [
            gr.update(choices=_choices(task, words), value=method),
            gr.update(visible=_removes(task, method)),
            _about(task, method, page_model, context),
            *(pictures.cleared(session, nothing) if run is None else pictures.shown(session, run, report, run in own)),
            *overview.updates(report, own, task),
        ]

    def layer_chosen(session: Session, layer: str | None) -> list[Any]:
        session.layer = layer or ""
        return pictures.layer_updates(session)

    def ask_to_stop(session: Session) -> None:
        session.stop.asked = True

    def train(
        session: Session, page_model: str, task: str, method: str, target: float, minutes: float, seed: float | None
    ) -> Generator[list[Any], None, None]:
        if task == LANGUAGE_MODELLING and engine.is_speech(page_model):
            raise UserError(words("adapt.needs_text"))
        settings = AdaptSettings(
            model_id=adaptation.model_of(task, page_model),
            method=method,
            task=task,
            target_sparsity=float(target),
            max_minutes=float(minutes),
            seed=int(seed or 0),
        )
        yield from training(words, session, page_model, settings, pictures, overview)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    of_choice = [method, target, about, *pictures.outputs, *overview.outputs]
    choice = [session, context.model_id, task, method]
    # The model changes on another tab: nothing of the old one stays under a wrong name.
    for listener in (task.input, method.input, context.model_id.change):
        listener(chosen, choice, of_choice, trigger_mode="always_last", **quiet)
    pictures.layer.input(layer_chosen, [session, pictures.layer], pictures.layer_panel.outputs, queue=False, **quiet)
    off = gr.update(interactive=False)
    stop.click(ask_to_stop, session, None, queue=False, **quiet)
    # Answered in the page: what the server says later may already be the result.
    stopping = json.dumps([status_html(words("adapt.stopping")), off])
    stop.click(None, None, [status, stop], js=f"() => {stopping}", **quiet)
    made = [stop, *pictures.outputs, *overview.outputs, export, download]
    inputs = [*choice, target, minutes, seed]
    context.heavy(button, cancel, status, train, inputs, made, meanwhile=(stop,))


def _choices(task: str, words: Words) -> list[tuple[str, str]]:
    return [(words.name("method", method.name), method.name) for method in adaptation.methods(task)]


def _removes(task: str, method: str) -> bool:
    return any(each.removes for each in adaptation.methods(task) if each.name == method)


def _about(task: str, method: str, page_model: str, context: Context) -> str:
    """The task, what is adapted, and what the method does."""
    words = context.words
    if task == LANGUAGE_MODELLING:
        model = context.model_text(page_model)
    else:
        title, note = adaptation.encoder()
        said = words.sentence(note)
        model = words("page.model_line_note" if note else "page.model_line", title=title, note=said)
    described = next((each for each in adaptation.methods(task) if each.name == method), None)
    parts = [words(f"adapt.about.{task}"), f"{model}."]
    if described is not None and described.description:
        parts.append(f"**{words.name('method', method)}:** {words.sentence(described.description)}")
    if described is not None and described.warning:
        parts.append(words.sentence(described.warning))
    return "\n\n".join(parts)


def _nothing(task: str, method: str, words: Words) -> str:
    """What stands where a run would be shown."""
    return words(
        "adapt.no_run",
        method=words.name("method", method),
        task=words(f"adapt.task.{task}"),
        button=words("adapt.train"),
    )


def training(
    words: Words,
    session: Session,
    page_model: str,
    settings: AdaptSettings,
    pictures: RunPictures,
    overview: Overview,
) -> Generator[list[Any], None, None]:
    """Train, and show it while it goes on.

    Args:
        words: the language.
        session: the visitor's.
        page_model: the page's model.
        settings: what was asked for.
        pictures: of the run.
        overview: of all runs.

    Yields:
        Values of the status, the stop button, the pictures, the overview, the export's sheet and its button.

    Raises:
        UserError: if the engine refuses.
    """
    settings.check()
    session.stop.asked = False
    report = adaptation.report_of(settings.task, page_model)
    removes = _removes(settings.task, settings.method)
    trace = Trace((), (), settings.target_sparsity if removes else None, report.majority if report else None, False)
    drawn = float("-inf")
    made: list[AdaptRun] = []
    same = [gr.skip() for _ in [*pictures.outputs, *overview.outputs]]

    def show(progress: Progress) -> list[Any]:
        nonlocal trace, drawn
        shown: list[Any] = same
        moment = progress.partial
        if isinstance(moment, AdaptRun):
            made.append(moment)
        if isinstance(moment, Moment):
            trace = with_moment(trace, moment)
            if time.monotonic() - drawn >= PICTURES_EVERY or progress.done >= progress.total:
                drawn = time.monotonic()
                shown = [*pictures.live(session, trace, moment, settings), *(gr.skip() for _ in overview.outputs)]
        said = status_html(words("adapt.stopping")) if session.stop.asked else progress_html(progress, words)
        return [said, gr.update(interactive=not session.stop.asked), *shown, gr.skip(), gr.skip()]

    folder = new_folder()
    work = engine.workbench().adapt((settings,), folder, session.stop)
    result = yield from engine.relay(work, show)
    run = result.runs[-1]
    session.runs = (*session.runs, run)
    archive = pack(folder, f"{settings.method}-{settings.task}-{run.seed}") if folder.is_dir() else None
    yield [
        status_html(words.sentence(run.stopped) or words("adapt.finished")),
        gr.update(interactive=False),
        *pictures.shown(session, run, result, True),
        *overview.updates(report, session.own(settings.task, page_model), settings.task, result.majority),
        gr.update(visible=archive is not None),
        None if archive is None else str(archive),
    ]


def with_moment(trace: Trace, moment: Moment) -> Trace:
    """A trace that has gone on; a measurement that was seen already counts once."""
    scores = trace.scores
    if moment.score is not None and (not scores or scores[-1].step != moment.score.step):
        scores = (*scores, moment.score)
    return replace(trace, curve=(*trace.curve, moment.point), scores=scores)
