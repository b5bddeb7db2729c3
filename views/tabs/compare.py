"""Compare: several methods at one budget, measured; how one weight is stored by rank and by sparsity."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import gradio as gr

from compression.analysis import (
    AnyReport,
    AnyRun,
    CompareInfo,
    best_of_methods,
    compare_info,
    native_info,
    only_methods,
)
from compression.errors import UserError
from compression.recipe import OWN, over_seeds
from compression.types import ComparisonRun, PerplexityReport, Progress, SpeechRun, TranscriptionReport
from views import engine
from views.context import Context
from views.figures import native, quality, site_errors
from views.metrics import metric_of
from views.runs import Measured
from views.storage import StoragePictures, first_with_pictures
from views.texts import Words
from views.widgets import (
    ChartPanel,
    data_table,
    progress_html,
    status_area,
    status_html,
    table_value,
)

DEFAULT_BUDGET = 0.2
SIDE_BY_SIDE = 4
"""So many runs are drawn side by side at most."""
FIRST_SIDE_BY_SIDE = 3
"""So many are at first: the best of each of the best methods."""
LIVE_SEEDS = (1, 2, 3)
"""Numbers of calibration seeds that a live comparison offers."""


@dataclass(frozen=True)
class Budget:
    """One entry of the budget switch: a comparison's key and one of its removed fractions."""

    comparison: str
    removed_fraction: float

    def value(self) -> str:
        """As the switch's value."""
        return f"{self.comparison}@{self.removed_fraction}"

    @staticmethod
    def parse(value: str) -> Budget:
        """Back from the switch's value."""
        key, _, fraction = value.rpartition("@")
        return Budget(key, float(fraction))


def budgets_of(key: str) -> list[Budget]:
    """The measured budgets of a comparison, ascending; empty where there is none."""
    comparison = engine.comparison_of(key)
    if comparison is None:
        return []
    return [Budget(key, target) for target in sorted({run.removed_fraction_target for run in comparison.runs})]


def first_of(budgets: Sequence[Budget]) -> Budget | None:
    """The budget that is shown at first."""
    return min(budgets, key=lambda budget: abs(budget.removed_fraction - DEFAULT_BUDGET), default=None)


def info_of(budget: Budget) -> CompareInfo | None:
    """The runs at a budget."""
    comparison = engine.comparison_of(budget.comparison)
    return None if comparison is None else compare_info(comparison, budget.removed_fraction)


class RunPanel:
    """One run: what it stores and what that costs each site. Build it inside a row; it hides when it has no run.

    It hides by a class: a chart in a column that was made invisible comes back without its templates.
    """

    SHOWN, HIDDEN = ["run"], ["run", "without"]

    def __init__(self, words: Words, place: int, run: AnyRun | None) -> None:
        """Lay it out.

        Args:
            words: the language.
            place: 0 for the first of the row.
            run: what it shows at first, if anything.
        """
        self.words = words
        suffix = f"-{place + 1}" if place else ""
        with gr.Column(min_width=260, elem_classes=self.HIDDEN if run is None else self.SHOWN) as self.column:
            self.heading = gr.Markdown("" if run is None else self._title(run), elem_classes=["run-title"])
            self.stored = ChartPanel(
                words,
                "",
                native.HEIGHT,
                None if run is None else native.view(native_info(run), _words_of(run, words)),
                f"native{suffix}",
                inside=True,
            )
            self.errors = ChartPanel(
                words,
                "",
                site_errors.HEIGHT,
                None if run is None else site_errors.view(run, _words_of(run, words)),
                f"errors{suffix}",
                inside=True,
            )

    @property
    def outputs(self) -> list[Any]:
        """Components that `updates` and `cleared` feed, in order."""
        return [self.column, self.heading, *self.stored.outputs, *self.errors.outputs]

    def updates(self, run: AnyRun) -> list[Any]:
        """New values for `outputs`."""
        words = _words_of(run, self.words)
        return [
            gr.update(elem_classes=self.SHOWN),
            self._title(run),
            *self.stored.updates(native.view(native_info(run), words)),
            *self.errors.updates(site_errors.view(run, words)),
        ]

    def cleared(self) -> list[Any]:
        """Hide it, empty."""
        return [gr.update(elem_classes=self.HIDDEN), "", *self.stored.cleared(), *self.errors.cleared()]

    def _title(self, run: AnyRun) -> str:
        words = _words_of(run, self.words)
        value = metric_of(words.speech).write(run.quality, words)
        return words("compare.run_heading", run=quality.run_label(run, words), value=value)


def _words_of(run: AnyRun, words: Words) -> Words:
    """The words that speak of a run's kind of model."""
    return words.about(isinstance(run, SpeechRun))


def build(context: Context) -> None:
    """Fill the tab."""
    words = context.words
    model_id = engine.default_model_id()
    budgets = budgets_of(model_id)
    start = first_of(budgets)
    info = None if start is None else info_of(start)
    first_runs = () if info is None else best_of_methods(info, FIRST_SIDE_BY_SIDE)
    methods = engine.live_methods(model_id)

    context.model_line()
    with gr.Column(elem_classes=["sheet"]):
        budget = gr.Radio(
            [_choice(each, None, words) for each in budgets],
            value=start.value() if start else None,
            label=words("compare.budget"),
            elem_id="budget-switch",
        )
        shown_methods = gr.CheckboxGroup(
            [] if info is None else _method_choices(methods_of(info), words),
            value=[] if info is None else methods_of(info),
            label=words("compare.shown_methods"),
            elem_id="shown-methods",
        )
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('compare.live_title')}", elem_classes=["figure-title"])
        chosen_methods = gr.CheckboxGroup(
            _method_choices(methods, words),
            value=list(engine.fast_methods(model_id)),
            label=words("compare.live_methods"),
            info=words("compare.live_methods_info"),
            elem_id="compare-methods",
        )
        with gr.Row(elem_classes=["controls"]):
            ratio = gr.Slider(
                0.05,
                0.95,
                value=0.3,
                step=0.01,
                label=words("compare.live_ratio"),
                elem_id="compare-ratio",
                min_width=260,
            )
            policy = gr.Dropdown(
                _policy_choices(model_id, words),
                value=OWN,
                label=words("compare.live_policy"),
                elem_id="compare-policy",
                min_width=200,
            )
            seeds = gr.Radio(
                list(LIVE_SEEDS),
                value=LIVE_SEEDS[0],
                label=words("compare.live_seeds"),
                elem_id="compare-seeds",
                min_width=180,
            )
        with gr.Row(elem_classes=["controls"]):
            button = gr.Button(words("compare.button"), variant="primary", size="md", min_width=140, scale=0)
            cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
            with gr.Column(min_width=240, elem_classes=["tight"]):
                context.cost_line(
                    [context.model_id, chosen_methods, policy, ratio, seeds],
                    engine.seconds_to_compare,
                )
                status = status_area("compare-status")

    intro = gr.Markdown(_intro(info, words), elem_classes=["hint"])
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('compare.runs')}", elem_classes=["figure-title"])
        with gr.Column(elem_id="runs"):
            runs = data_table(None if info is None else quality.table(info, words), words)
        measures = gr.Markdown(words("compare.measures"), elem_classes=["hint"])
    points = ChartPanel(
        words,
        words("quality.title"),
        quality.HEIGHT,
        quality.view(info, words) if info else None,
        "perplexity",
        titled=True,
    )
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('compare.side_by_side')}", elem_classes=["figure-title"])
        chooser = gr.Dropdown(
            [] if info is None else _run_choices(info, words),
            value=list(first_runs),
            multiselect=True,
            max_choices=SIDE_BY_SIDE,
            label=words("compare.run", most=SIDE_BY_SIDE),
            elem_id="run",
        )
        gr.Markdown(words("compare.side_by_side_hint"), elem_classes=["hint"])
        with gr.Row(equal_height=False, elem_classes=["runs-side-by-side"]):
            panels = [
                RunPanel(words, place, info.rows[first_runs[place]] if info and place < len(first_runs) else None)
                for place in range(SIDE_BY_SIDE)
            ]

    drawn = [output for panel in panels for output in panel.outputs]
    filtered = [intro, runs, *points.outputs, chooser, *drawn]
    compared = [shown_methods, *filtered]

    def side_by_side(info: CompareInfo | None, indices: Sequence[int]) -> list[Any]:
        chosen = [] if info is None else [info.rows[index] for index in indices if index < len(info.rows)]
        return [
            value
            for panel, run in zip_longest(panels, chosen[:SIDE_BY_SIDE])
            for value in (panel.cleared() if run is None else panel.updates(run))
        ]

    def nothing(text: str, title: str) -> list[Any]:
        """Values for `filtered` where there is no run to show."""
        return [text, "", *points.cleared(title), gr.update(choices=[], value=[]), *side_by_side(None, [])]

    def show_methods(info: CompareInfo, methods: Sequence[str]) -> list[Any]:
        """Values for `filtered`: the runs of some methods; the indices of runs are those among all of them."""
        kept = only_methods(info, methods)
        if kept is None:
            title = words.about(info.is_speech)("quality.title")
            return nothing(words("compare.none_shown", label=words("compare.shown_methods")), title)
        best = [info.rows.index(kept.rows[index]) for index in best_of_methods(kept, FIRST_SIDE_BY_SIDE)]
        choices = [choice for choice in _run_choices(info, words) if info.rows[choice[1]].method in methods]
        return [
            _intro(info, words),
            table_value(quality.table(kept, words)),
            *points.updates(quality.view(kept, words)),
            gr.update(choices=choices, value=best),
            *side_by_side(info, best),
        ]

    def show_info(info: CompareInfo, methods: Sequence[str] | None = None) -> list[Any]:
        """Values for `compared`: as many of the methods as were measured here, all where that is none."""
        there = methods_of(info)
        kept = [method for method in there if methods is None or method in methods] or there
        return [gr.update(choices=_method_choices(there, words), value=kept), *show_methods(info, kept)]

    def switch(value: str | None, methods: list[str]) -> list[Any]:
        info = None if value is None else info_of(Budget.parse(value))
        return [gr.skip() for _ in compared] if info is None else show_info(info, methods)

    def choose_methods(value: str | None, methods: list[str]) -> list[Any]:
        info = None if value is None else info_of(Budget.parse(value))
        return [gr.skip() for _ in filtered] if info is None else show_methods(info, methods)

    def choose_runs(value: str | None, indices: list[int]) -> list[Any]:
        info = None if value is None else info_of(Budget.parse(value))
        return [gr.skip() for _ in drawn] if info is None else side_by_side(info, indices)

    def measure(
        name: str, methods: list[str], policy: str, ratio: float, seeds: int
    ) -> Generator[list[Any], None, None]:
        if not methods:
            raise UserError(words("compare.no_method"))
        key = f"{name} live {ratio} {policy} {seeds} {' '.join(methods)}"
        target = Budget(key, ratio)
        known = [_choice(each, None, words) for each in budgets_of(name)]
        rows: list[AnyRun] = []
        dense: list[AnyReport] = []

        def show(progress: Progress) -> list[Any]:
            arrived = measured.arrival if measured.take(progress) else gr.skip()
            if isinstance(progress.partial, PerplexityReport | TranscriptionReport):
                dense.append(progress.partial)
            if not isinstance(progress.partial, ComparisonRun | SpeechRun) or not dense:
                return [progress_html(progress, words), *(gr.skip() for _ in [budget, *compared]), arrived]
            rows.append(progress.partial)
            engine.keep_comparison(key, engine.unfinished_comparison(name, dense[-1], rows))
            return [progress_html(progress, words), *shown("compare.budget_unfinished"), arrived]

        def shown(label: str) -> list[Any]:
            info = info_of(target)
            assert info is not None
            choices = [*known, _choice(target, policy, words, label)]
            return [gr.update(choices=choices, value=target.value()), *show_info(info)]

        recipes = over_seeds(tuple(engine.recipe(name, method, policy, ratio) for method in methods), seeds)
        measured = Measured(recipes)
        engine.keep_comparison(key, (yield from engine.relay(engine.compare(name, recipes), show)))
        yield [status_html(words("compare.finished")), *shown("compare.budget_live"), gr.skip()]

    def other_model(name: str, chosen: list[str], policy: str) -> list[Any]:
        speech, policies = engine.is_speech(name), _policy_choices(name, words)
        spoken, ready = words.about(speech), engine.fast_methods(name)
        live = [
            spoken("compare.measures"),
            gr.update(
                choices=_method_choices(engine.live_methods(name), words),
                value=[method for method in chosen if method in ready] if speech else chosen,
                info=spoken("compare.live_methods_info"),
            ),
            gr.update(choices=policies, value=policy if policy in dict(policies).values() else OWN),
        ]
        known = budgets_of(name)
        first = first_of(known)
        info = None if first is None else info_of(first)
        if first is None or info is None:
            empty = nothing(_intro(None, words), spoken("quality.title"))
            return [*live, gr.update(choices=[], value=None), gr.update(choices=[], value=[]), *empty]
        choices = [_choice(each, None, words) for each in known]
        return [*live, gr.update(choices=choices, value=first.value()), *show_info(info)]

    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
    budget.input(switch, [budget, shown_methods], compared, **quiet)
    shown_methods.input(choose_methods, [budget, shown_methods], filtered, **quiet)
    chooser.input(choose_runs, [budget, chooser], drawn, **quiet)
    of_model = [measures, chosen_methods, policy, budget, *compared]
    context.model_id.change(other_model, [context.model_id, chosen_methods, policy], of_model, **quiet)
    live = [context.model_id, chosen_methods, policy, ratio, seeds]
    context.heavy(button, cancel, status, measure, live, [budget, *compared, context.runs.arrived])
    _storage_picture(context, ratio, policy)


def _storage_picture(context: Context, ratio: gr.Slider, policy: gr.Dropdown) -> None:
    """The lower half: one site as the low rank and as the dictionary store it."""
    words = context.words
    analysis = engine.analysis_of(engine.default_model_id())
    sites = [] if analysis is None else [site.name for site in analysis.model.sites]
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('pattern.title')}", elem_classes=["figure-title"])
        site = gr.Dropdown(
            sites,
            value=first_with_pictures(engine.default_model_id()),
            label=words("compare.site"),
            elem_id="pattern-site",
            min_width=260,
        )
        pictures = StoragePictures(
            context, (("factors", "mask", "gates-mask"), ("atom-use", "convergence"), ("column", "columns"))
        )

    def new_model(model_id: str) -> Any:
        analysis = engine.analysis_of(model_id)
        names = [] if analysis is None else [each.name for each in analysis.model.sites]
        return gr.update(choices=names, value=first_with_pictures(model_id))

    pictures.wire(site, policy, ratio)
    context.model_id.change(new_model, context.model_id, site, show_progress="hidden", api_visibility="private")


def _choice(budget: Budget, live_policy: str | None, words: Words, label: str = "") -> tuple[str, str]:
    removed = words.percent(budget.removed_fraction)
    if live_policy is None:
        return removed, budget.value()
    return words(label, removed=removed, policy=words.name("policy", live_policy)), budget.value()


def methods_of(info: CompareInfo) -> list[str]:
    """The methods that were measured, in the order of their runs."""
    return list(dict.fromkeys(row.method for row in info.rows))


def _method_choices(methods: Sequence[str], words: Words) -> list[tuple[str, str]]:
    return [(words.name("method", method), method) for method in methods]


def _policy_choices(model_id: str, words: Words) -> list[tuple[str, str]]:
    return [(words.name("policy_choice", name), name) for name in (*engine.live_policies(model_id), OWN)]


def _run_choices(info: CompareInfo, words: Words) -> list[tuple[str, int]]:
    return [(quality.run_label(row, words), index) for index, row in enumerate(info.rows)]


def _intro(info: CompareInfo | None, words: Words) -> str:
    """What the runs share, and which recordings were left out."""
    if info is None:
        return words("compare.none", button=words("compare.button"))
    text = f"{info.evaluated_on}, {words.sentence(info.dense.convention)}"
    said = words.about(info.is_speech)("compare.intro", model=info.model_id, text=text)
    left_out = info.dense.left_out if isinstance(info.dense, TranscriptionReport) else ()
    return " ".join([said, *map(words.sentence, left_out)])
