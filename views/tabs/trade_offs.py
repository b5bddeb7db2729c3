"""Trade-offs: every measured run as a point, the frontier, where each came from, and the smallest model that will do.

The visitor's runs live in the browser (`views.runs`); those that came with the app are put beside them when they are
shown. All pictures of the tab are made by `shown`, whatever was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import gradio as gr

from compression.errors import UserError
from compression.runs_csv import REQUIRED
from compression.session import Cost, RunPoint, Session
from compression.smallest import Candidate
from views import engine
from views.context import Context
from views.figures import run_map
from views.figures import trade_off as picture_of
from views.run_again import FROM_DENSE, changed_recipe, changes_of, new_values, repeat, time_run
from views.run_words import choices, measure_label
from views.runs import MAX_TEXTS, Arrival, is_published, measure_key, read, renamed, shown_with
from views.smallest_model import allowance_of, candidates_table, smallest_answer, verify
from views.texts import Words
from views.trade_scene import (
    Choice,
    Scene,
    csv_text,
    difference_view,
    facts_html,
    map_view,
    pareto_view,
    read_csv,
    scene_of,
)
from views.widgets import ChartPanel, alert_html, data_table, status_area, status_html, table_value

COSTS: tuple[Cost, ...] = ("size", "decode", "prefill")
ALLOWANCE = 5.0
"""Per cent that the quality may lose, at first."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class _Tab:
    """The components, and what fills them."""

    def __init__(self, context: Context) -> None:
        """Lay everything out on the runs that came with the app."""
        self.context, self.words = context, context.words
        words = self.words
        self.choice = Choice(engine.default_model_id())
        self.scene = scene_of(Session(), self.choice)
        context.model_line()
        gr.Markdown(words("trade_offs.intro"), elem_classes=["hint"])
        self._chart()
        self._smallest()
        self._run()
        self._map()

    @property
    def chosen(self) -> list[Any]:
        """Components that a `Choice` is read from, behind the kept runs."""
        return [
            self.context.runs.kept,
            self.context.model_id,
            self.measure,
            self.cost,
            self.budget,
            self.everything,
            self.run,
            self.other,
        ]

    @property
    def filled(self) -> list[Any]:
        """Components that `shown` fills."""
        return [
            self.notice,
            self.measure,
            self.cost,
            self.budget,
            *self.pareto.outputs,
            self.run,
            self.facts,
            self.name,
            self.remove,
            self.what,
            self.value,
            self.repeat_hint,
            self.repeat_cost,
            self.time_cost,
            self.other,
            self.difference,
            self.difference_table,
            *self.map.outputs,
        ]

    def _chart(self) -> None:
        words, scene = self.words, self.scene
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.title')}", elem_classes=["figure-title"])
            with gr.Row(elem_classes=["controls"]):
                self.measure = gr.Dropdown(
                    self._measures(scene),
                    value=measure_key(scene.measure) if scene.measure else None,
                    label=words("trade_offs.measured_on"),
                    info=words("trade_offs.measured_on_info"),
                    elem_id="trade-measure",
                    min_width=280,
                    scale=2,
                )
                self.cost = gr.Radio(
                    self._costs(scene),
                    value=self.choice.cost,
                    label=words("trade_offs.cost"),
                    elem_id="trade-cost",
                    min_width=260,
                )
                self.budget = gr.Number(
                    0, label=words("trade_offs.budget.size"), elem_id="trade-budget", min_width=150, scale=0
                )
            self.notice = status_area("runs-status")
            self.pareto = ChartPanel(
                words,
                words("trade_offs.title"),
                picture_of.HEIGHT,
                pareto_view(scene, self.choice, words),
                "pareto",
                words("trade_offs.empty", compare=words("compare.tab")),
                inside=True,
            )
            with gr.Row(elem_classes=["controls"]):
                self.csv_out = gr.Button(words("trade_offs.csv_out"), size="md", scale=0, elem_id="runs-csv-out")
                self.csv_in = gr.UploadButton(
                    words("trade_offs.csv_in"), size="md", scale=0, elem_id="runs-csv-in", type="filepath"
                )
            columns = ", ".join(f"`{name}`" for name in REQUIRED)
            gr.Markdown(words("trade_offs.csv_hint", columns=columns), elem_classes=["hint"])
            self.csv_status = status_area("runs-csv-status")
            self.carrier = gr.Textbox("", elem_classes=["carrier"], show_label=False, container=False)

    def _smallest(self) -> None:
        words = self.words
        spoken = words.about(engine.is_speech(self.choice.model_id))
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.smallest_title')}", elem_classes=["figure-title"])
            with gr.Row(elem_classes=["controls", "bottom"]):
                self.allowance = gr.Number(
                    ALLOWANCE,
                    label=spoken("trade_offs.smallest_allowance"),
                    elem_id="smallest-allowance",
                    min_width=200,
                    scale=0,
                )
                self.find = gr.Button(
                    words("trade_offs.smallest_button"),
                    variant="primary",
                    size="md",
                    scale=0,
                    elem_id="smallest-button",
                )
            self.answer = gr.Markdown(self._hint(spoken), elem_id="smallest-answer", elem_classes=["summary"])
            with gr.Accordion(words("trade_offs.smallest_table"), open=False):
                self.candidates = data_table(None, words)
            self.asked = gr.State(None)
            with gr.Row(elem_classes=["controls"]):
                self.verify = gr.Button(
                    words("trade_offs.smallest_verify"),
                    size="md",
                    scale=0,
                    interactive=False,
                    elem_id="smallest-verify",
                )
                self.verify_cancel = gr.Button(words("button.cancel"), interactive=False, size="md", scale=0)
                with gr.Column(min_width=240, elem_classes=["tight"]):
                    self.verify_cost = gr.Markdown("", elem_classes=["cost"])
                    self.verify_status = status_area("smallest-status")
            self.verdict = gr.Markdown("", elem_id="smallest-verdict", elem_classes=["summary"])

    @staticmethod
    def _hint(words: Words) -> str:
        return words("trade_offs.smallest_hint", button=words("trade_offs.smallest_button"))

    def _run(self) -> None:
        words, scene = self.words, self.scene
        point = scene.run
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.run_title')}", elem_classes=["figure-title"])
            self.run = gr.Dropdown(
                self._runs(scene),
                value=point.key if point else None,
                label=words("trade_offs.run"),
                elem_id="run-chosen",
                min_width=280,
            )
            self.facts = gr.HTML(
                facts_html(scene, words), elem_id="run-facts", js_on_load=None, apply_default_css=False
            )
            with gr.Row(elem_classes=["controls", "bottom"]):
                self.name = gr.Textbox(
                    point.name if point else "",
                    label=words("trade_offs.name"),
                    max_lines=1,
                    elem_id="run-name",
                    min_width=220,
                )
                self.rename = gr.Button(words("trade_offs.rename"), size="md", scale=0, elem_id="run-rename")
                self.remove = gr.Button(
                    words("trade_offs.remove"), size="md", scale=0, interactive=False, elem_id="run-remove"
                )
            self.run_status = status_area("run-status")
            with gr.Row(elem_classes=["controls"]):
                self.time = gr.Button(words("trade_offs.latency"), size="md", scale=0, elem_id="run-latency")
                self.time_cancel = gr.Button(words("button.cancel"), interactive=False, size="md", scale=0)
                with gr.Column(min_width=240, elem_classes=["tight"]):
                    self.time_cost = gr.Markdown(self._cost_of_time(point), elem_classes=["cost"])
                    self.time_status = status_area("run-latency-status")
            gr.Markdown(f"### {words('trade_offs.repeat_title')}", elem_classes=["figure-title"])
            with gr.Row(elem_classes=["controls"]):
                what = changes_of(point)
                self.what = gr.Dropdown(
                    self._whats(what),
                    value=what[0] if what else None,
                    label=words("trade_offs.what"),
                    elem_id="repeat-what",
                    min_width=200,
                )
                self.value = gr.Dropdown(
                    new_values(point, what[0] if what else None, words),
                    value=None,
                    label=words("trade_offs.value"),
                    elem_id="repeat-value",
                    min_width=200,
                )
            self.repeat_hint = gr.Markdown(self._repeat_hint(point), elem_classes=["hint"])
            with gr.Row(elem_classes=["controls"]):
                self.repeat = gr.Button(
                    words("trade_offs.repeat"), variant="primary", size="md", scale=0, elem_id="run-repeat"
                )
                self.repeat_cancel = gr.Button(words("button.cancel"), interactive=False, size="md", scale=0)
                with gr.Column(min_width=240, elem_classes=["tight"]):
                    self.repeat_cost = gr.Markdown("", elem_classes=["cost"])
                    self.repeat_status = status_area("run-repeat-status")
            self.other = gr.Dropdown(
                self._others(scene),
                value=None,
                label=words("trade_offs.other"),
                info=words("trade_offs.other_info"),
                elem_id="run-other",
                min_width=280,
            )
            self.difference = gr.Markdown("", elem_id="run-difference", elem_classes=["summary"])
            self.difference_table = data_table(None, words)

    def _map(self) -> None:
        words = self.words
        with gr.Column(elem_classes=["sheet"]):
            gr.Markdown(f"## {words('trade_offs.map_title')}", elem_classes=["figure-title"])
            self.everything = gr.Checkbox(False, label=words("trade_offs.map_all"), elem_id="map-all")
            self.map = ChartPanel(
                words,
                words("trade_offs.map_title"),
                run_map.HEIGHT,
                map_view(self.scene, self.choice, words),
                "run-map",
                words("trade_offs.empty", compare=words("compare.tab")),
                inside=True,
            )

    # Entries of the lists

    def _measures(self, scene: Scene) -> list[tuple[str, str]]:
        return [
            (measure_label(each, is_published(scene.session, each), self.words), measure_key(each))
            for each in scene.measures
        ]

    def _costs(self, scene: Scene) -> list[tuple[str, str]]:
        words = self.words.about(scene.measure is not None and scene.measure.metric == "wer")
        return [(words(f"trade_offs.cost.{cost}"), cost) for cost in COSTS]

    def _runs(self, scene: Scene) -> list[tuple[str, str]]:
        return [] if scene.measure is None else choices(scene.session.of(scene.measure), self.words)

    def _others(self, scene: Scene) -> list[tuple[str, str]]:
        return choices((point for point in scene.session.points if point != scene.run), self.words)

    def _whats(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(self.words(f"trade_offs.what.{name}"), name) for name in names]

    def _repeat_hint(self, point: RunPoint | None) -> str:
        if point is not None and point.recipe is None:
            return self.words("trade_offs.repeat_no_recipe")
        if point is not None and point.is_dense:
            return self.words("trade_offs.repeat_dense", removed=self.words.percent(FROM_DENSE))
        return ""

    # Estimates

    def _cost_of_time(self, point: RunPoint | None) -> str:
        """What measuring the latency of a run costs."""
        if point is None or point.recipe is None:
            return ""
        task, recipe = "speech-latency" if point.measure.metric == "wer" else "latency", point.recipe
        seconds = engine.seconds_for(recipe.model_id, recipe.method, recipe.policy, recipe.removed_fraction, task)
        return self.context.cost_text([seconds])

    def _cost_of_repeat(self, what: str | None, value: Any, kept: str | None, *chosen: Any) -> str:
        """What repeating the chosen run with a change costs."""
        try:
            wanted = changed_recipe(scene_of(read(kept)[0], Choice(*chosen)).run, what, value, self.words)
        except UserError:
            return ""
        return self.context.cost_text(engine.seconds_for_recipe(wanted))

    # What is filled

    def shown(self, kept: str | None, *chosen: Any, another: bool = False) -> list[Any]:
        """New values for `filled`.

        Args:
            kept: the visitor's runs.
            *chosen: the fields of a `Choice`.
            another: whether another run has just been chosen: then it starts without a change to repeat it with.
        """
        own, problem = read(kept)
        choice = Choice(*chosen)
        scene, words = scene_of(own, choice), self.words
        spoken = words.about(scene.measure is not None and scene.measure.metric == "wer")
        budget = "size" if choice.cost == "size" else "time"
        point, other = scene.run, scene.other
        what = changes_of(point)
        pareto, drawn = pareto_view(scene, choice, words), map_view(scene, choice, words)
        compared, table = difference_view(scene, words)
        mine = point is not None and any(each.key == point.key for each in own.points)
        same = not another and point is not None and point.key == choice.run
        return [
            alert_html(words.sentence(problem)) if problem else status_html(),
            gr.update(
                choices=self._measures(scene), value=measure_key(scene.measure) if scene.measure is not None else None
            ),
            gr.update(choices=self._costs(scene), value=choice.cost),
            gr.update(label=spoken(f"trade_offs.budget.{budget}"), value=choice.budget or 0),
            *(self.pareto.cleared() if pareto is None else self.pareto.updates(pareto)),
            gr.update(choices=self._runs(scene), value=point.key if point else None),
            facts_html(scene, words),
            point.name if point else "",
            gr.update(interactive=mine),
            *([gr.skip(), gr.skip()] if same else self._changes(point, what)),
            self._repeat_hint(point),
            gr.skip() if same else "",
            self._cost_of_time(point),
            gr.update(choices=self._others(scene), value=other.key if other else None),
            compared,
            table,
            *(self.map.cleared() if drawn is None else self.map.updates(drawn)),
        ]

    def _changes(self, point: RunPoint | None, what: tuple[str, ...]) -> list[Any]:
        first = what[0] if what else None
        return [
            gr.update(choices=self._whats(what), value=first),
            gr.update(choices=new_values(point, first, self.words), value=None),
        ]

    # Events

    def wire(self) -> None:
        """Connect everything."""
        context = self.context
        kept, arrived, texts = context.runs.kept, context.runs.arrived, context.runs.texts
        show: dict[str, Any] = {**QUIET, "trigger_mode": "always_last", "queue": False}
        gr.on(
            [kept.change, self.measure.input, self.cost.input, self.budget.input, self.everything.input],
            self.shown,
            self.chosen,
            self.filled,
            **show,
        )
        self.other.input(self.shown, self.chosen, self.filled, **show)
        self.run.input(self._another, self.chosen, self.filled, **show)
        for panel in (self.pareto, self.map):
            panel.chart.click(self._picked, self.chosen, self.filled, **show)
        context.model_id.change(self._other_model, self.chosen, [*self.filled, *self._of_model], **QUIET)
        # What changes and its new value are only sent when they are set: the list of values is another for every run,
        # and Gradio refuses one that was sent for the run before.
        self.what.input(self._values_of, [self.what, *self.chosen], [self.value, self.repeat_cost], **show)
        self.value.input(self._cost_of_repeat, [self.what, self.value, *self.chosen], self.repeat_cost, **show)
        arrived.change(self._keep, [kept, arrived, texts], [kept, texts, self.notice], **QUIET)
        self._wire_run(kept)
        self._wire_csv(kept)
        self._wire_smallest(kept, arrived)
        self._wire_work(kept, arrived, texts)

    def _values_of(self, what: str | None, kept: str | None, *chosen: Any) -> list[Any]:
        """Another setting is to be changed: its values."""
        point = scene_of(read(kept)[0], Choice(*chosen)).run
        return [gr.update(choices=new_values(point, what, self.words), value=None), ""]

    @property
    def _of_model(self) -> list[Any]:
        """What belongs to the chosen model, beside `filled`."""
        return [self.allowance, self.answer, self.candidates, self.asked, self.verify, self.verify_cost, self.verdict]

    def _other_model(self, kept: str | None, model_id: str, *rest: Any) -> list[Any]:
        """Everything for another model: nothing of the old one is chosen any more."""
        _, cost, _, everything, _, _ = rest
        spoken = self.words.about(engine.is_speech(model_id))
        return [
            *self.shown(kept, model_id, None, cost, None, everything, None, None),
            gr.update(label=spoken("trade_offs.smallest_allowance")),
            self._hint(spoken),
            "",
            None,
            gr.update(interactive=False),
            "",
            "",
        ]

    def _another(self, *values: Any) -> list[Any]:
        """Another run was chosen from the list."""
        return self.shown(*values, another=True)

    def _picked(
        self,
        kept: str | None,
        model_id: str,
        measure: str | None,
        cost: Cost,
        budget: float | None,
        everything: bool,
        run: str | None,
        other: str | None,
        event: gr.EventData,
    ) -> list[Any]:
        """A click on a point chooses its run."""
        picked = getattr(event, "picked", None) or run
        return self.shown(kept, model_id, measure, cost, budget, everything, picked, other, another=True)

    def _keep(self, kept: str | None, arrived: Arrival | None, texts: dict[str, str]) -> list[Any]:
        """What work has measured joins the kept runs."""
        if arrived is None:
            return [gr.skip(), gr.skip(), gr.skip()]
        own, _ = read(kept)
        try:
            own = own.with_points(arrived.points).with_timings(arrived.timings)
        except UserError as error:
            return [gr.skip(), gr.skip(), alert_html(self.words.sentence(str(error)))]
        if arrived.text is not None:
            texts = dict([*texts.items(), arrived.text][-MAX_TEXTS:])
        return [own.to_json(), texts, gr.skip()]

    def _attempt(self, change: Callable[[], tuple[Any, str]]) -> list[Any]:
        """New kept runs and what is said, or the sentence that says why not."""
        try:
            session, said = change()
        except UserError as error:
            return [gr.skip(), alert_html(self.words.sentence(str(error)))]
        return [session.to_json(), status_html(said)]

    def _wire_run(self, kept: gr.BrowserState) -> None:
        words = self.words

        def rename(stored: str | None, model_id: str, key: str | None, name: str) -> list[Any]:
            def change() -> tuple[Session, str]:
                own = read(stored)[0]
                named = renamed(own, shown_with(own, model_id), key or "", name)
                given = named.point(key or "").name
                return named, words("trade_offs.renamed", name=given) if given else words("trade_offs.unnamed")

            return self._attempt(change)

        def remove(stored: str | None, key: str | None) -> list[Any]:
            def change() -> tuple[Session, str]:
                own = read(stored)[0]
                if not any(point.key == key for point in own.points):
                    raise UserError(words("trade_offs.not_removed"))
                return own.without(key or ""), words("trade_offs.removed")

            return self._attempt(change)

        inputs = [kept, self.context.model_id, self.run, self.name]
        gr.on([self.rename.click, self.name.submit], rename, inputs, [kept, self.run_status], **QUIET)
        self.remove.click(remove, [kept, self.run], [kept, self.run_status], **QUIET)

    def _wire_csv(self, kept: gr.BrowserState) -> None:
        words = self.words

        def write(stored: str | None, *chosen: Any) -> str:
            return csv_text(read(stored)[0], Choice(*chosen))

        def bring(stored: str | None, model_id: str, path: str) -> list[Any]:
            return self._attempt(lambda: read_csv(path, read(stored)[0], model_id, words))

        save = "(text) => { explorer.save('runs.csv', text); return []; }"
        self.csv_out.click(write, self.chosen, self.carrier, **QUIET).then(None, self.carrier, None, js=save)
        self.csv_in.upload(bring, [kept, self.context.model_id, self.csv_in], [kept, self.csv_status], **QUIET)

    def _wire_smallest(self, kept: gr.BrowserState, arrived: gr.State) -> None:
        words, context = self.words, self.context

        def find(stored: str | None, model_id: str, value: float | None) -> list[Any]:
            try:
                allowance = allowance_of(value, words)
                said, found = smallest_answer(read(stored)[0], model_id, allowance, words)
            except UserError as error:
                return [gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), _alert(error)]
            best = found.best
            cost = ""
            if best is not None and best.removed_fraction is not None:
                wanted = engine.recipe(model_id, best.method, best.policy, best.removed_fraction)
                cost = context.cost_text(engine.seconds_for_recipe(wanted))
            return [
                said,
                table_value(candidates_table(found, words)),
                None if best is None else (best, allowance),
                gr.update(interactive=best is not None),
                cost,
                "",
                status_html(),
            ]

        def _alert(error: UserError) -> str:
            return alert_html(words.sentence(str(error)))

        answered = [
            *(self.answer, self.candidates, self.asked, self.verify, self.verify_cost, self.verdict),
            self.verify_status,
        ]
        inputs = [kept, context.model_id, self.allowance]
        gr.on([self.find.click, self.allowance.submit], find, inputs, answered, queue=False, **QUIET)

        def work(model_id: str, asked: tuple[Candidate, float] | None) -> Generator[list[Any], None, None]:
            yield from verify(words, model_id, asked)

        context.heavy(
            self.verify,
            self.verify_cancel,
            self.verify_status,
            work,
            [context.model_id, self.asked],
            [self.verdict, arrived],
        )

    def _wire_work(self, kept: gr.BrowserState, arrived: gr.State, texts: gr.State) -> None:
        words, context = self.words, self.context

        def again(
            what: str | None, value: Any, remembered: dict[str, str], stored: str | None, *chosen: Any
        ) -> Generator[list[Any], None, None]:
            yield from repeat(words, read(stored)[0], Choice(*chosen), what, value, remembered)

        def clock(stored: str | None, *chosen: Any) -> Generator[list[Any], None, None]:
            yield from time_run(words, read(stored)[0], Choice(*chosen))

        context.heavy(
            self.repeat,
            self.repeat_cancel,
            self.repeat_status,
            again,
            [self.what, self.value, texts, *self.chosen],
            [arrived],
        )
        context.heavy(self.time, self.time_cancel, self.time_status, clock, self.chosen, [arrived])


def build(context: Context) -> None:
    """Fill the tab."""
    _Tab(context).wire()
