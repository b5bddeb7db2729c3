"""Explore: choose a share to remove and see where it is taken from, site by site."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from compression.analysis import AnalysisInfo, budget_info, compare_info, heatmap_info, site_view_info
from compression.forecast import ForecastReport
from compression.types import Comparison, ComparisonRun, Progress
from views import engine
from views.context import Context
from views.figures import budget, forecast, heatmap, spectrum
from views.live_forecast import CHOOSE, choices, forecast_value, live_forecast, ordered
from views.texts import Words
from views.widgets import (
    Card,
    ChartPanel,
    View,
    cards_html,
    progress_html,
    status_area,
    status_html,
)

DEFAULT_RATIO = 0.2


@dataclass(frozen=True)
class Picture:
    """Everything the tab shows for one setting."""

    cards: str
    heatmap: View
    spectrum: View
    budget: View
    site: str


def picture(
    analysis: AnalysisInfo, comparison: Comparison | None, ratio: float, policy: str, site: str | None, words: Words
) -> Picture:
    """Lay out one setting. An unknown policy or site falls back to the first there is."""
    if policy not in analysis.allocations:
        policy = next(iter(analysis.allocations))
    names = [each.name for each in analysis.model.sites]
    chosen = site if site in names else names[0]
    allocation = analysis.allocation_at(policy, ratio)
    budget_shown = budget_info(analysis.model, allocation)
    nearest = None if comparison is None else _nearest_run(comparison, ratio, policy)
    return Picture(
        cards=cards_html(
            [
                Card(
                    words("card.removed"),
                    words.percent(budget_shown.site_removed_fraction),
                    words("card.removed_detail", value=words.percent(budget_shown.whole_model_removed_fraction)),
                ),
                Card(
                    words("card.size"),
                    words(
                        "card.size_value",
                        before=words.number(budget_shown.original_mib, 0),
                        after=words.number(budget_shown.stored_mib, 0),
                    ),
                    words("card.size_detail"),
                ),
                Card(words("card.bits"), words.number(budget_shown.stored_bits, 0), words("card.bits_detail")),
                Card(
                    words("card.factor"),
                    f"{words.number(budget_shown.compression_factor, 2)} ×",
                    words("card.factor_detail"),
                ),
                _perplexity_card(comparison, nearest, words),
            ]
        ),
        heatmap=heatmap.view(heatmap_info(analysis.model, allocation), chosen, words),
        spectrum=spectrum.view(site_view_info(analysis, allocation, chosen), words),
        budget=budget.view(budget_shown, words),
        site=chosen,
    )


def _nearest_run(comparison: Comparison, ratio: float, policy: str) -> ComparisonRun | None:
    """The best measured run of the policy at the measured budget nearest to `ratio`."""
    rows = [run for run in compare_info(comparison, ratio).rows if run.policy == policy]
    return min(rows, key=lambda run: run.perplexity, default=None)


def _perplexity_card(comparison: Comparison | None, run: ComparisonRun | None, words: Words) -> Card:
    if comparison is None or run is None:
        return Card(words("card.perplexity"), words("card.none"), words("card.perplexity_none"))
    detail = words(
        "card.perplexity_detail",
        method=words.name("method", run.method),
        policy=words.name("policy", run.policy),
        removed=words.percent(run.removed_fraction_target),
        dense=words.number(comparison.dense.perplexity),
    )
    return Card(words("card.perplexity"), words.number(run.perplexity), detail)


def build(context: Context) -> None:
    """Fill the tab."""
    words = context.words
    model_id = engine.default_model_id()
    analysis = engine.analysis_of(model_id)
    shown = None
    sites: list[str] = []
    if analysis is not None:
        sites = [site.name for site in analysis.model.sites]
        shown = picture(analysis, engine.comparison_of(model_id), DEFAULT_RATIO, "pooled", None, words)

    line = context.model_line()
    with gr.Column(elem_classes=["sheet"]):
        with gr.Row(elem_classes=["controls"]):
            ratio = gr.Slider(
                0,
                0.95,
                value=DEFAULT_RATIO,
                step=0.01,
                label=words("explore.ratio"),
                info=words("explore.ratio_info"),
                elem_id="ratio",
                min_width=280,
                scale=2,
            )
            policy = gr.Dropdown(
                [(words.name("policy_choice", name), name) for name in engine.policy_names()],
                value="pooled",
                label=words("explore.policy"),
                info=words("explore.policy_info"),
                elem_id="policy",
                min_width=220,
            )
        with gr.Row(elem_classes=["controls"]):
            site = gr.Dropdown(
                sites, value=shown.site if shown else None, label=words("explore.site"), elem_id="site", min_width=280
            )
            model = gr.Dropdown(
                list(engine.catalogue()),
                value=model_id,
                allow_custom_value=True,
                label=words("explore.model"),
                info=words("explore.model_info"),
                elem_id="model",
                min_width=240,
            )
        with gr.Row(elem_classes=["controls"]):
            load = gr.Button(words("explore.load"), variant="primary", size="md", min_width=160, scale=0)
            cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
            with gr.Column(min_width=240, elem_classes=["tight"]):
                context.cost_line([model], lambda name: [engine.seconds_for(name, "dense", "uniform", 0.0, "analyze")])
                status = status_area("explore-status")
    if shown is None:
        gr.Markdown(words("page.empty", button=words("explore.load")), elem_classes=["hint"])

    new_forecast, foretold = _forecast(context)
    cards = gr.HTML(shown.cards if shown else "", elem_id="cards", js_on_load=None, apply_default_css=False)
    heat = ChartPanel(words, words("heatmap.title"), heatmap.HEIGHT, shown.heatmap if shown else None, "heatmap")
    with gr.Row(equal_height=True):
        spec = ChartPanel(
            words, words("spectrum.title_any"), spectrum.HEIGHT, shown.spectrum if shown else None, "spectrum"
        )
        bars = ChartPanel(words, words("budget.title"), budget.HEIGHT, shown.budget if shown else None, "budget")

    drawn = [cards, *heat.outputs, *spec.outputs, *bars.outputs]

    def updates(model_id: str, ratio: float, policy: str, site: str | None) -> list[Any]:
        analysis = engine.analysis_of(model_id)
        if analysis is None:
            return [gr.skip() for _ in drawn]
        new = picture(analysis, engine.comparison_of(model_id), ratio, policy, site, words)
        return [new.cards, *heat.updates(new.heatmap), *spec.updates(new.spectrum), *bars.updates(new.budget)]

    def pick(model_id: str, ratio: float, policy: str, event: gr.EventData) -> list[Any]:
        picked = getattr(event, "picked", None)
        if not picked:
            return [gr.skip() for _ in [site, *drawn]]
        return [picked, *updates(model_id, ratio, policy, picked)]

    def analyse(name: str, ratio: float, policy: str) -> Generator[list[Any], None, None]:
        def show(progress: Progress) -> list[Any]:
            return [progress_html(progress, words), *(gr.skip() for _ in [context.model_id, site, *drawn])]

        result = yield from engine.relay(engine.workbench().analyze(name.strip(), policies=engine.policy_names()), show)
        engine.keep_analysis(result)
        info = result.model
        names = [each.name for each in info.sites]
        text = words(
            "explore.loaded",
            title=info.title,
            sites=len(names),
            parameters=words.number(info.num_parameters / 1e6, 1),
        )
        yield [
            status_html(" ".join([text, *info.notes])),
            info.model_id,
            gr.update(choices=names, value=names[0]),
            *updates(info.model_id, ratio, policy, names[0]),
        ]

    def open_known(name: str, ratio: float, policy: str) -> list[Any]:
        """A model that was analysed before opens at once; any other waits for the button."""
        analysis = engine.analysis_of(name.strip())
        if analysis is None:
            return [gr.skip() for _ in [context.model_id, site, *drawn]]
        names = [each.name for each in analysis.model.sites]
        shown = updates(analysis.model.model_id, ratio, policy, names[0])
        return [analysis.model.model_id, gr.update(choices=names, value=names[0]), *shown]

    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        "api_visibility": "private",
        "concurrency_limit": 4,
    }
    setting = [context.model_id, ratio, policy, site]
    gr.on([ratio.input, policy.input, site.input, ratio.release], updates, setting, drawn, **quiet)
    model.input(open_known, [model, ratio, policy], [context.model_id, site, *drawn], **quiet)
    heat.chart.click(pick, setting[:3], [site, *drawn], **quiet)
    loaded = context.heavy(load, cancel, status, analyse, [model, ratio, policy], [context.model_id, site, *drawn])
    # A model that was loaded again is no change, but its forecast may be new.
    for event in (context.model_id.change, loaded.then):
        event(new_forecast, context.model_id, foretold, show_progress="hidden", api_visibility="private")
    del line


def _forecast(context: Context) -> tuple[Callable[[str], list[Any]], list[Any]]:
    """The forecast of the model: a sentence and a chart that follow the slider without asking the server.

    Returns:
        What shows the forecast of another model, and the components it fills.
    """
    words = context.words

    def view_of(reports: Sequence[ForecastReport]) -> View | None:
        return forecast.view(reports, 0, DEFAULT_RATIO, words) if reports else None

    model_id = engine.default_model_id()
    reports = ordered(engine.forecasts_of(model_id))
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('forecast.title')}", elem_classes=["figure-title"])
        with gr.Row(elem_classes=["controls"]):
            with gr.Column(scale=3, min_width=260):
                said = live_forecast(forecast_value(reports, model_id, DEFAULT_RATIO, words), "forecast")
            chooser = gr.Dropdown(
                choices(reports, words),
                value=0 if reports else None,
                label=words("forecast.choice"),
                visible=bool(reports),
                elem_id="forecast-choice",
                scale=2,
                min_width=260,
            )
        with gr.Column(visible=bool(reports)) as place:
            panel = ChartPanel(
                words, words("forecast.title"), forecast.HEIGHT, view_of(reports), "forecast-chart", inside=True
            )
    chooser.input(None, chooser, None, js=CHOOSE)

    def other_model(model_id: str) -> list[Any]:
        reports = ordered(engine.forecasts_of(model_id))
        new = view_of(reports)
        return [
            forecast_value(reports, model_id, DEFAULT_RATIO, words),
            gr.update(choices=choices(reports, words), value=0 if new else None, visible=bool(new)),
            gr.update(visible=bool(new)),
            *(panel.updates(new) if new else panel.cleared()),
        ]

    return other_model, [said, chooser, place, *panel.outputs]
