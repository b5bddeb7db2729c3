"""How one site's weight is stored, as rank and as a dictionary: the pictures, and the button that computes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from compression.analysis import PatternInfo
from compression.errors import UserError
from compression.types import Progress
from views import adaptation, engine
from views.context import Context
from views.figures import column, pattern
from views.texts import Words
from views.widgets import ChartPanel, View, progress_html, status_area, status_html


@dataclass(frozen=True)
class Picture:
    """One picture of a site.

    Attributes:
        title: key of its title.
        height: in pixels.
        make: what draws it; gives None where the site has no such picture, or the picture is not made of this.
        hint: key of what stands in its place then, if anything.
    """

    title: str
    height: int
    make: Callable[[PatternInfo, Words], View | None]
    hint: str = ""
    of_site: Callable[[str, str, Words], View | None] | None = None
    """What draws it from what came with the app: model, site, words; then `make` is not asked."""

    def view(self, model_id: str, site: str | None, info: PatternInfo | None, words: Words) -> View | None:
        """The picture of a site, if there is one."""
        if self.of_site is not None:
            return None if site is None else self.of_site(model_id, site, words)
        return None if info is None else self.make(info, words)


def _removed(model_id: str, site: str, words: Words) -> View | None:
    """What gates removed from a site."""
    found = adaptation.mask_of(model_id, site)
    return None if found is None else pattern.removed_view(*found, words)


PICTURES = {
    "factors": Picture("pattern.factors", pattern.MASK_HEIGHT, pattern.factors_view),
    "mask": Picture("pattern.mask", pattern.MASK_HEIGHT, pattern.mask_view),
    "gates-mask": Picture(
        "adapt.mask_title", pattern.MASK_HEIGHT, lambda info, words: None, "adapt.mask_none", of_site=_removed
    ),
    "atom-use": Picture("pattern.use", pattern.LINE_HEIGHT, pattern.use_view),
    "convergence": Picture("pattern.convergence", pattern.LINE_HEIGHT, pattern.convergence_view),
    "column": Picture("column.title", column.HEIGHT, column.column_view, "column.none"),
    "columns": Picture("columns.title", column.HEIGHT, column.columns_view, "column.none"),
}
"""Element id → picture."""


def first_with_pictures(model_id: str) -> str | None:
    """The first site whose pictures are there already; else the first site; None for an unknown model."""
    analysis = engine.analysis_of(model_id)
    if analysis is None:
        return None
    names = [site.name for site in analysis.model.sites]
    return next((name for name in names if engine.pattern_of(model_id, name) is not None), names[0])


class StoragePictures:
    """Some of the pictures of a chosen site, with the button that computes them."""

    def __init__(self, context: Context, rows: Sequence[Sequence[str]], prefix: str = "") -> None:
        """Lay them out.

        Args:
            context: the context.
            rows: names of `PICTURES`, row by row.
            prefix: of the element ids, where the same pictures stand on another tab.
        """
        words = context.words
        self.context = context
        model_id = engine.default_model_id()
        first = first_with_pictures(model_id)
        info = None if first is None else engine.pattern_of(model_id, first)
        with gr.Row(elem_classes=["controls"]):
            self.button = gr.Button(words("compare.pattern_button"), size="md", min_width=170, scale=0)
            self.cancel = gr.Button(words("button.cancel"), interactive=False, size="md", min_width=100, scale=0)
            with gr.Column(min_width=240, elem_classes=["tight"]):
                context.cost_line(
                    [context.model_id], lambda name: [engine.seconds_for(name, "dense", "uniform", 0.0, "pattern")]
                )
                self.status = status_area(f"{prefix}pattern-status")
        self.panels: list[tuple[Picture, ChartPanel]] = []
        for row in rows:
            with gr.Row(equal_height=False):
                for name in row:
                    picture = PICTURES[name]
                    hint = words(picture.hint, button=words("compare.pattern_button")) if picture.hint else ""
                    view = picture.view(model_id, first, info, words)
                    panel = ChartPanel(words, words(picture.title), picture.height, view, prefix + name, hint)
                    self.panels.append((picture, panel))

    @property
    def outputs(self) -> list[Any]:
        """The charts' components."""
        return [output for _, panel in self.panels for output in panel.outputs]

    def updates(self, model_id: str, site: str | None, info: PatternInfo | None) -> list[Any]:
        """New values for `outputs`; empty where there is no picture."""
        views = [picture.view(model_id, site, info, self.context.words) for picture, _ in self.panels]
        filled = zip(self.panels, views, strict=True)
        return [
            new for (_, panel), view in filled for new in (panel.cleared() if view is None else panel.updates(view))
        ]

    def wire(self, site: gr.Dropdown, policy: gr.Dropdown, ratio: gr.Slider) -> None:
        """Follow a list of sites, and compute the chosen one at a budget on the button."""
        words, context = self.context.words, self.context

        def drawn(model_id: str, site: str | None) -> list[Any]:
            info = None if site is None else engine.pattern_of(model_id, site)
            text = ""
            if info is None and site is not None:
                text = words("compare.pattern_missing", site=site, button=words("compare.pattern_button"))
            return [status_html(text), *self.updates(model_id, site, info)]

        def compute(model_id: str, site: str | None, policy: str, ratio: float) -> Generator[list[Any], None, None]:
            if not site:
                raise UserError(words("compare.pattern_no_site"))

            def show(progress: Progress) -> list[Any]:
                return [progress_html(progress, words), *(gr.skip() for _ in self.outputs)]

            wanted = engine.recipe(model_id, "compot", policy, ratio)
            info = yield from engine.relay(engine.workbench().pattern(wanted, site), show)
            engine.keep_pattern(model_id, info)
            yield [status_html(), *self.updates(model_id, site, info)]

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        filled = [self.status, *self.outputs]
        site.change(drawn, [context.model_id, site], filled, trigger_mode="always_last", **quiet)
        context.heavy(
            self.button, self.cancel, self.status, compute, [context.model_id, site, policy, ratio], self.outputs
        )
