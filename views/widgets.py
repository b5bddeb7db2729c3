"""Small pieces of page that several tabs share: tables, progress, completions, chart panels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from compression.types import Completion, Progress
from views.live_chart import figure_value, live_chart
from views.scripts import OWN
from views.slider_data import live_text
from views.texts import Words


@dataclass(frozen=True)
class Table:
    """A table for people and for CSV.

    Attributes:
        name: file name of the CSV, without its ending.
        headers: column titles.
        rows: cells as numbers or text; None is an empty cell.
        wide: index of a column that may wrap, if any.
        shares: indices of columns that hold shares and are shown in per cent (the CSV keeps the share).
    """

    name: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    wide: int | None = None
    shares: frozenset[int] = frozenset()


@dataclass(frozen=True)
class View:
    """One picture with its sentence and its table: what every figure module returns.

    `title` is for a panel whose heading says what is measured, and so depends on the model.
    """

    figure: go.Figure
    summary: str
    table: Table | None
    title: str = ""


def table_value(table: Table | None) -> str:
    """The table as the component's value; `static/table.js` renders it and writes the CSV."""
    if table is None:
        return ""
    shown = {
        "name": table.name,
        "headers": table.headers,
        "rows": [[_finite(cell) for cell in row] for row in table.rows],
        "wide": table.wide,
        "shares": sorted(table.shares),
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def _finite(cell: str | float | int | None) -> str | float | int | None:
    return "∞" if cell == float("inf") else cell


def data_table(table: Table | None, words: Words, live: str = "") -> gr.HTML:
    """A component that shows a table, with a button that downloads it as CSV.

    Args:
        table: what it shows at first.
        words: the language.
        live: name of a table that follows the slider in the page; then it takes no value.
    """
    return gr.HTML(
        value=table_value(table),
        html_template=(
            '<div class="data-table">'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{words("table.open")}"></div>'
            f'<button type="button" class="csv">{escape(words("table.download"))}</button></div>'
        ),
        js_on_load="explorer.table(element, props, watch);",
        head=OWN,
        apply_default_css=False,
        live=live,
    )


@dataclass
class ChartPanel:
    """A titled chart, the sentence under it, and its table in a closed accordion.

    Build it inside the layout; `outputs` and `updates` keep events short.

    Attributes:
        words: the language.
        title: its heading; a panel inside another sheet leaves that to the sheet.
        height: of the chart in pixels.
        view: what it shows at first, if there is something already.
        elem_id: id of the chart.
        hint: what stands in the summary's place until there is a view.
        inside: whether it lies inside a sheet with a heading of its own.
        live_summary: name of the sentence under it that follows the slider in the page.
        live_table: name of its table that does so.
        keyboard: what it is for somebody who moves in it by keyboard; empty if nobody can.
        titled: whether each view brings the heading.
    """

    words: Words
    title: str
    height: int
    view: View | None = None
    elem_id: str | None = None
    hint: str = ""
    inside: bool = False
    live_summary: str = ""
    live_table: str = ""
    keyboard: str = ""
    titled: bool = False
    heading: gr.Markdown = field(init=False)
    chart: gr.HTML = field(init=False)
    summary: gr.Markdown | gr.HTML = field(init=False)
    table: gr.HTML = field(init=False)

    def __post_init__(self) -> None:
        """Lay the panel out where it is made."""
        with gr.Column(elem_classes=[] if self.inside else ["sheet"], min_width=280):
            if not self.inside:
                title = self.view.title if self.view and self.titled else self.title
                self.heading = gr.Markdown(f"## {title}", elem_classes=["figure-title"])
            self.chart = live_chart(
                self.view.figure if self.view else None, self.height, self.words, self.elem_id, self.keyboard
            )
            summary_id = f"{self.elem_id}-summary" if self.elem_id else None
            if self.live_summary:
                self.summary = live_text(self.live_summary, elem_id=summary_id)
            else:
                self.summary = gr.Markdown(
                    self.view.summary if self.view else self.hint, elem_classes=["summary"], elem_id=summary_id
                )
            with gr.Accordion(self.words("table.open"), open=False):
                self.table = data_table(self.view.table if self.view else None, self.words, self.live_table)

    @property
    def outputs(self) -> list[Any]:
        """Components that `updates` feeds, in order."""
        chosen = self._chosen(self.chart, self.summary, self.table)
        return [self.heading, *chosen] if self.titled else chosen

    def updates(self, view: View) -> list[Any]:
        """New values for `outputs`."""
        chosen = self._chosen(figure_value(view.figure), view.summary, table_value(view.table))
        return [f"## {view.title}", *chosen] if self.titled else chosen

    def _chosen(self, chart: Any, summary: Any, table: Any) -> list[Any]:
        """Of the three, those that the server fills."""
        kept = [chart]
        if not self.live_summary:
            kept.append(summary)
        if not self.live_table:
            kept.append(table)
        return kept

    def cleared(self, title: str = "") -> list[Any]:
        """Empty `outputs`: what they showed belongs to another model, and the new one may need another heading."""
        chosen = self._chosen("", self.hint, "")
        return [f"## {title or self.title}", *chosen] if self.titled else chosen

    def unchanged(self) -> list[Any]:
        """Leave `outputs` as they are."""
        return [gr.skip() for _ in self.outputs]


def status_html(text: str = "") -> str:
    """A quiet line about what is going on."""
    return f'<div class="status" role="status" aria-live="polite">{escape(text)}</div>'


def alert_html(text: str) -> str:
    """One sentence about what went wrong."""
    return f'<div class="status"><div class="alert" role="alert">{escape(text)}</div></div>'


def progress_html(progress: Progress, words: Words) -> str:
    """A step of long work: what is done, about how long the rest of its stage takes, and a bar."""
    bar = ""
    if progress.total > 0 and progress.stage != "wait":
        bar = f'<div class="bar" aria-hidden="true"><i style="width:{progress.done / progress.total:.0%}"></i></div>'
    text = words.sentence(progress.message or progress.stage)
    if progress.seconds_left is not None:
        text = words("progress.left", message=text, left=words.duration(progress.seconds_left))
    return f'<div class="status" role="status" aria-live="polite">{escape(text)}{bar}</div>'


def status_area(elem_id: str | None = None) -> gr.HTML:
    """The place for status, progress and alerts."""
    return gr.HTML(status_html(), elem_id=elem_id, js_on_load=None, apply_default_css=False)


@dataclass(frozen=True)
class CompletionSide:
    """One of the completions that stand beside each other.

    Attributes:
        heading: which model made it.
        completion: None while it is still to come.
        differs: for each token, whether it has no counterpart on the other side; tokens beyond are not marked.
    """

    heading: str
    completion: Completion | None = None
    differs: tuple[bool, ...] = ()


def completions_html(sides: Sequence[CompletionSide], summary: str, words: Words) -> str:
    """Completions side by side, with what differs marked, and a sentence about it."""
    items = "".join(
        f'<div class="completion"><h3>{escape(side.heading)}</h3>{_completion_html(side, words)}</div>'
        for side in sides
    )
    sentence = f'<p class="completions-summary">{escape(summary)}</p>' if summary else ""
    return f'<div class="completions">{items}</div>{sentence}'


def _completion_html(side: CompletionSide, words: Words) -> str:
    completion = side.completion
    if completion is None:
        return f'<p class="empty">{escape(words("live.generate_empty"))}</p>'
    if not completion.pieces:
        return f'<p class="empty">{escape(words("live.generate_nothing"))}</p>'
    flags = side.differs + (False,) * len(completion.pieces)
    body = []
    for differs, run in groupby(zip(completion.pieces, flags, strict=False), key=lambda pair: pair[1]):
        text = escape("".join(piece for piece, _ in run))
        body.append(f'<mark class="differs">{text}</mark>' if differs and text else text)
    return f'<p><span class="prompt">{escape(completion.prompt)}</span>{"".join(body)}</p>'
