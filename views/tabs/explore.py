"""Explore: choose a share to remove and see where it is taken from, site by site.

The slider, the policy, the method and the unit are followed by the page itself (`static/slider.js`); the server is
asked for another model, another site, and for allocations around pinned sites.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from compression.errors import UserError
from compression.recipe import Pins, Recipe
from compression.slider import SliderView, check_pin, lost_energies
from compression.types import LinearSite, Progress
from views import engine
from views.address import read_address
from views.context import Context
from views.figures import budget, forecast, heatmap, spectrum
from views.pins import PinHistory
from views.slider_data import UNITS, live_text, slider_tables, slider_value
from views.storage import StoragePictures, first_with_pictures
from views.texts import Words
from views.widgets import ChartPanel, View, alert_html, progress_html, status_area, status_html

DEFAULT_RATIO = 0.2
DEFAULT_METHOD, DEFAULT_POLICY = forecast.DEFAULT
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
FOLLOW = "(value) => {{ explorer.set({{{name}: {value}}}); }}"
"""An event that only the page hears."""


@dataclass(frozen=True)
class Controls:
    """What the visitor sets."""

    ratio: gr.Slider
    method: gr.Dropdown
    policy: gr.Dropdown
    site: gr.Dropdown
    model: gr.Dropdown


@dataclass(frozen=True)
class Pictures:
    """What a model fills."""

    tables: gr.HTML
    heat: ChartPanel
    spec: ChartPanel
    bars: ChartPanel
    forecasts: ChartPanel

    @property
    def panels(self) -> tuple[ChartPanel, ...]:
        """The charts, in the order of `views_of`."""
        return self.heat, self.spec, self.bars, self.forecasts

    @property
    def outputs(self) -> list[Any]:
        """All components."""
        return [self.tables, *(output for panel in self.panels for output in panel.outputs)]


def data_of(model_id: str, view: SliderView | None, words: Words) -> str:
    """The value of the component that carries the tables."""
    names = {"method": engine.method_names(), "policy": engine.policy_names()}
    return slider_value(view, engine.forecasts_of(model_id), model_id, names, words)


def site_view(model_id: str, site: str | None, words: Words) -> View | None:
    """Spectrum of a site; of the first one if it is not there."""
    analysis = engine.analysis_of(model_id)
    if analysis is None:
        return None
    sites = analysis.model.sites
    chosen = next((each for each in sites if each.name == site), sites[0])
    return spectrum.view(analysis.spectrum_of(chosen.name), lost_energies(analysis, chosen), words)


def views_of(model_id: str, site: str | None, words: Words) -> tuple[View | None, ...]:
    """Heatmap, spectrum, budget and forecasts of a model; None where there is nothing to show."""
    analysis = engine.analysis_of(model_id)
    reports = forecast.ordered(engine.forecasts_of(model_id))
    foretold = forecast.view(reports, 0, DEFAULT_RATIO, words) if reports else None
    if analysis is None:
        return None, None, None, foretold
    heat = View(heatmap.figure(analysis.model, words), "", None)
    return heat, site_view(model_id, site, words), View(budget.figure(analysis.model, words), "", None), foretold


def build(context: Context) -> None:
    """Fill the tab."""
    words = context.words
    model_id = engine.default_model_id()
    view = engine.view_of(model_id)
    sites = [] if view is None else [site.name for site in view.model.sites]
    heat_view, spec_view, bars_view, forecast_view = views_of(model_id, first_with_pictures(model_id), words)

    context.model_line()
    start = {"method": DEFAULT_METHOD, "policy": DEFAULT_POLICY, "ratio": f"{DEFAULT_RATIO:g}"}
    tables = slider_tables(data_of(model_id, view, words), start | {"site": first_with_pictures(model_id)})
    with gr.Column(elem_classes=["sheet"]):
        ratio, method, policy = _setting(words)
        with gr.Column(elem_id="forecast", elem_classes=["forecast"]):
            live_text("forecast", spoken=True)
            live_text("forecast-note")
        model, load, cancel, status = _model(context)
    if view is None:
        gr.Markdown(words("page.empty", button=words("explore.load")), elem_classes=["hint"])
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('heatmap.title')}", elem_classes=["figure-title"])
        with gr.Row(elem_classes=["controls"]):
            difference = gr.Radio(
                [(words("heatmap.scale"), "share"), (words("heatmap.scale_difference"), "difference")],
                value="share",
                label=words("heatmap.show"),
                elem_id="difference",
                min_width=280,
            )
            site = gr.Dropdown(
                sites, value=first_with_pictures(model_id), label=words("explore.site"), elem_id="site", min_width=280
            )
        controls = Controls(ratio, method, policy, site, model)
        heat = ChartPanel(
            words,
            words("heatmap.title"),
            heatmap.HEIGHT,
            heat_view,
            "heatmap",
            inside=True,
            live_summary="heatmap",
            live_table="heatmap",
            keyboard=words("heatmap.keyboard"),
        )
        live_text("uniform")
        live_text("heatmap-cell", spoken=True)
        pins = _Pins(context)
    live_text("cards", "div", elem_id="cards")
    with gr.Column(elem_classes=["sheet"]):
        unit = gr.Radio(
            [(words(f"unit.{name}"), name) for name in UNITS],
            value=UNITS[0],
            label=words("explore.unit"),
            elem_id="unit",
        )
        live_text("meaning", elem_id="meaning")
    with gr.Row(equal_height=True):
        spec = ChartPanel(
            words, words("spectrum.title_any"), spectrum.HEIGHT, spec_view, "spectrum", live_summary="spectrum"
        )
        bars = ChartPanel(
            words,
            words("budget.title"),
            budget.HEIGHT,
            bars_view,
            "budget",
            live_summary="budget",
            live_table="budget",
        )
    foretold = ChartPanel(words, words("forecast.title"), forecast.HEIGHT, forecast_view, "forecast-chart", titled=True)
    pictures = Pictures(tables, heat, spec, bars, foretold)
    with gr.Column(elem_classes=["sheet"]):
        gr.Markdown(f"## {words('explore.storage')}", elem_classes=["figure-title"])
        storage = StoragePictures(context, (("mask", "convergence"),), prefix="site-")

    for component, name in ((controls.method, "method"), (controls.policy, "policy"), (controls.site, "site")):
        component.change(None, component, None, js=FOLLOW.format(name=name, value="value"))
    controls.ratio.change(None, controls.ratio, None, js=FOLLOW.format(name="ratio", value="String(value)"))
    unit.input(None, unit, None, js=FOLLOW.format(name="unit", value="value"))
    difference.input(None, difference, None, js=FOLLOW.format(name="difference", value="value === 'difference'"))
    pins.wire(controls, tables)
    storage.wire(controls.site, controls.policy, controls.ratio)
    _wire_sites(context, controls, pictures)
    _wire_models(context, controls, pictures, pins, load, cancel, status)
    _wire_address(context, controls, pictures, pins, status)


def _setting(words: Words) -> tuple[gr.Slider, gr.Dropdown, gr.Dropdown]:
    """Slider, method and policy."""
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
        method = gr.Dropdown(
            [(words.name("method", name), name) for name in engine.method_names()],
            value=DEFAULT_METHOD,
            label=words("explore.method"),
            info=words("explore.method_info"),
            elem_id="method",
            min_width=200,
        )
        policy = gr.Dropdown(
            [(words.name("policy_choice", name), name) for name in engine.policy_names()],
            value=DEFAULT_POLICY,
            label=words("explore.policy"),
            info=words("explore.policy_info"),
            elem_id="policy",
            min_width=220,
        )
    return ratio, method, policy


def _model(context: Context) -> tuple[gr.Dropdown, gr.Button, gr.Button, gr.HTML]:
    """The model, what loads it and what that costs."""
    words = context.words
    with gr.Row(elem_classes=["controls", "bottom"]):
        model = gr.Dropdown(
            list(engine.catalogue()),
            value=engine.default_model_id(),
            allow_custom_value=True,
            label=words("explore.model_info"),
            elem_id="model",
            min_width=260,
        )
        load = gr.Button(words("explore.load"), variant="primary", size="md", min_width=160, scale=0)
        cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
        with gr.Column(min_width=240, elem_classes=["tight"]):
            context.cost_line([model], lambda name: [engine.seconds_for(name, "dense", "uniform", 0.0, "analyze")])
            status = status_area("explore-status")
    return model, load, cancel, status


class _Pins:
    """Hold a site or a block at a share; everything else is solved again."""

    def __init__(self, context: Context) -> None:
        """Lay the controls out."""
        words = context.words
        self.context = context
        self.history = gr.State(PinHistory())
        with gr.Accordion(words("pins.title"), open=False, elem_id="pins") as self.fold:
            gr.Markdown(words("pins.hint"), elem_classes=["hint"])
            with gr.Row(elem_classes=["controls"]):
                self.value = gr.Number(
                    0,
                    minimum=0,
                    maximum=0.95,
                    step=0.05,
                    label=words("pins.value"),
                    elem_id="pin-value",
                    min_width=160,
                    scale=0,
                )
                self.site = gr.Button(words("pins.site"), size="md", min_width=130, scale=0)
                self.block = gr.Button(words("pins.block"), size="md", min_width=130, scale=0)
                self.undo = gr.Button(words("pins.undo"), size="md", min_width=90, scale=0, interactive=False)
                self.redo = gr.Button(words("pins.redo"), size="md", min_width=90, scale=0, interactive=False)
                self.clear = gr.Button(words("pins.clear"), size="md", min_width=90, scale=0, interactive=False)
            self.shown = gr.Markdown(words("pins.none"), elem_id="pins-shown", elem_classes=["hint"])
            self.status = status_area("pins-status")

    @property
    def outputs(self) -> list[Any]:
        """What `updates` fills."""
        return [self.history, self.shown, self.undo, self.redo, self.clear, self.fold, self.status]

    def updates(self, history: PinHistory) -> list[Any]:
        """The controls for a state of the pins."""
        words = self.context.words
        listed = "\n".join(f"- `{pattern}` = {words.percent(value)}" for pattern, value in history.pins)
        return [
            history,
            listed or words("pins.none"),
            gr.update(interactive=history.can_undo),
            gr.update(interactive=history.can_redo),
            gr.update(interactive=bool(history.pins)),
            gr.update(open=True) if history.pins else gr.skip(),
            status_html(),
        ]

    def wire(self, controls: Controls, tables: gr.HTML) -> None:
        """Connect the buttons."""
        words = self.context.words
        filled = [tables, *self.outputs]

        def attempt(
            model_id: str, policy: str, ratio: float, history: PinHistory, change: Callable[[PinHistory], PinHistory]
        ) -> list[Any]:
            """Solve for the changed pins, or leave everything as it is and say why."""
            try:
                changed = change(history)
                view = engine.pinned_view_of(model_id, changed.pins, policy, ratio)
            except UserError as error:
                return [*(gr.skip() for _ in filled[:-1]), alert_html(words.sentence(str(error)))]
            return [data_of(model_id, view, words), *self.updates(changed)]

        def pin(whole_block: bool) -> Callable[..., list[Any]]:
            def handler(model_id: str, policy: str, ratio: float, history: PinHistory, name: Any, value: Any) -> Any:
                def change(history: PinHistory) -> PinHistory:
                    analysis, site = engine.analysis_of(model_id), _site_called(model_id, name)
                    if analysis is None or site is None:
                        raise UserError(words("pins.no_site"))
                    if value is None:
                        raise UserError(words("pins.no_value"))
                    pattern = f"{site.block_path}.*" if whole_block else site.name
                    others: Pins = tuple(each for each in history.pins if each[0] != pattern)
                    check_pin(analysis.model, others, (pattern, float(value)), ratio)
                    return history.with_pins((*others, (pattern, float(value))))

                return attempt(model_id, policy, ratio, history, change)

            return handler

        def move(change: Callable[[PinHistory], PinHistory]) -> Callable[..., list[Any]]:
            def handler(model_id: str, policy: str, ratio: float, history: PinHistory) -> list[Any]:
                return attempt(model_id, policy, ratio, history, change)

            return handler

        setting = [self.context.model_id, controls.policy, controls.ratio, self.history]
        for button, whole_block in ((self.site, False), (self.block, True)):
            button.click(pin(whole_block), [*setting, controls.site, self.value], filled, **QUIET)
        self.undo.click(move(lambda history: history.moved(-1)), setting, filled, **QUIET)
        self.redo.click(move(lambda history: history.moved(1)), setting, filled, **QUIET)
        self.clear.click(move(lambda history: history.with_pins(())), setting, filled, **QUIET)


def _site_called(model_id: str, name: Any) -> LinearSite | None:
    analysis = engine.analysis_of(model_id)
    return None if analysis is None else next((site for site in analysis.model.sites if site.name == name), None)


def _wire_sites(context: Context, controls: Controls, pictures: Pictures) -> None:
    """A click on a cell and the list of sites open a site."""

    def opened(model_id: str, site: str | None) -> list[Any]:
        view = site_view(model_id, site, context.words)
        return [gr.skip() for _ in pictures.spec.outputs] if view is None else pictures.spec.updates(view)

    def pick(model_id: str, event: gr.EventData) -> list[Any]:
        picked = getattr(event, "picked", None)
        if _site_called(model_id, picked) is None:
            return [gr.skip() for _ in [controls.site, *pictures.spec.outputs]]
        return [picked, *opened(model_id, picked)]

    # Past the queue: the answer is made in milliseconds, and somebody has just clicked.
    quiet: dict[str, Any] = {**QUIET, "trigger_mode": "always_last", "queue": False}
    controls.site.input(opened, [context.model_id, controls.site], pictures.spec.outputs, **quiet)
    pictures.heat.chart.click(pick, context.model_id, [controls.site, *pictures.spec.outputs], **quiet)


def _shown(model_id: str, site: str | None, pictures: Pictures, words: Words) -> list[Any]:
    """New values for all pictures of a model, without pins."""
    words = words.about(engine.is_speech(model_id))
    values: list[Any] = [data_of(model_id, engine.view_of(model_id), words)]
    for panel, new in zip(pictures.panels, views_of(model_id, site, words), strict=True):
        values += panel.updates(new) if new is not None else panel.cleared(words("forecast.title"))
    return values


def _wire_models(
    context: Context,
    controls: Controls,
    pictures: Pictures,
    pins: _Pins,
    load: gr.Button,
    cancel: gr.Button,
    status: gr.HTML,
) -> None:
    """Another model: at once if it was analysed before, else after the button."""
    words = context.words
    filled = [context.model_id, controls.site, *pictures.outputs, *pins.outputs]

    def shown(model_id: str) -> list[Any]:
        analysis = engine.analysis_of(model_id)
        assert analysis is not None
        opened = first_with_pictures(model_id)
        sites = gr.update(choices=[each.name for each in analysis.model.sites], value=opened)
        return [model_id, sites, *_shown(model_id, opened, pictures, words), *pins.updates(PinHistory())]

    def analyse(name: str) -> Generator[list[Any], None, None]:
        def show(progress: Progress) -> list[Any]:
            return [progress_html(progress, words), *(gr.skip() for _ in filled)]

        bench, name = engine.workbench(), name.strip()
        result = yield from engine.relay(bench.analyze(name, policies=engine.policy_names()), show)
        engine.keep_evidence(result.model.model_id, (yield from engine.relay(bench.evidence(Recipe(name)), show)))
        engine.keep_analysis(result)
        info = result.model
        text = words(
            "explore.loaded",
            title=info.title,
            sites=words.number(len(info.sites), 0),
            parameters=words.number(info.num_parameters / 1e6, 1),
        )
        yield [status_html(" ".join([text, *map(words.sentence, info.notes)])), *shown(info.model_id)]

    def open_known(name: str) -> list[Any]:
        analysis = engine.analysis_of(name.strip())
        return [gr.skip() for _ in filled] if analysis is None else shown(analysis.model.model_id)

    controls.model.input(open_known, controls.model, filled, trigger_mode="always_last", **QUIET)
    context.heavy(load, cancel, status, analyse, [controls.model], filled)


def _wire_address(context: Context, controls: Controls, pictures: Pictures, pins: _Pins, status: gr.HTML) -> None:
    """A shared link opens the view it names; from then on the address follows the page."""
    words = context.words
    filled = [
        *(controls.ratio, controls.method, controls.policy, controls.site, controls.model),
        *(context.model_id, *pictures.outputs, *pins.outputs, status),
    ]

    def open_link(request: gr.Request) -> Generator[list[Any], None, None]:
        address = read_address(dict(request.query_params))
        if address.is_empty:
            yield [gr.skip() for _ in filled]
            return
        model_id = address.model_id or engine.default_model_id()
        analysis = engine.analysis_of(model_id)
        said = [words("address.ignored", names=", ".join(address.ignored))] if address.ignored else []
        if analysis is None:
            said.append(words("address.unknown_model", model=model_id, button=words("explore.load")))
        asked = [gr.skip() if x is None else x for x in (address.removed_fraction, address.method, address.policy)]
        site: Any = gr.skip()
        shown: list[Any] = [gr.skip() for _ in [context.model_id, *pictures.outputs]]
        if analysis is not None:
            names = [each.name for each in analysis.model.sites]
            opened = address.site if address.site in names else first_with_pictures(model_id)
            site = gr.update(choices=names, value=opened)
            shown = [model_id, *_shown(model_id, opened, pictures, words)]
        pinned: list[Any] = [gr.skip() for _ in pins.outputs]
        yield [*asked, site, model_id, *shown, *pinned, alert_html(" ".join(said)) if said else status_html()]
        if analysis is None or not address.pins:
            return
        # Solving takes a second or two: everything else is there already.
        ratio = DEFAULT_RATIO if address.removed_fraction is None else address.removed_fraction
        values: list[Any] = [gr.skip() for _ in filled]
        try:
            view = engine.pinned_view_of(model_id, address.pins, address.policy or DEFAULT_POLICY, ratio)
        except UserError as error:
            values[-1] = alert_html(" ".join([*said, words.sentence(str(error))]))
        else:
            values[filled.index(pictures.tables)] = data_of(model_id, view, words)
            values[-1 - len(pins.outputs) : -1] = pins.updates(PinHistory().with_pins(address.pins))
        yield values

    opened = context.page.load(open_link, None, filled, **QUIET)
    opened.then(None, None, None, js="() => { explorer.startAddress(); }")
