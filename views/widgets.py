"""Small pieces of page that several tabs share: cards, tables, progress, completions, chart panels."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from compression.types import Progress
from views.live_chart import figure_value, live_chart
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

    def csv(self) -> str:
        """The table as comma-separated values with unrounded numbers."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.headers)
        writer.writerows(self.rows)
        return buffer.getvalue()


@dataclass(frozen=True)
class View:
    """One picture with its sentence and its table: what every figure module returns."""

    figure: go.Figure
    summary: str
    table: Table


_DOWNLOAD = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button.csv');
  if (!button) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([button.dataset.csv], {type: 'text/csv;charset=utf-8'}));
  link.download = button.dataset.name + '.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
"""


def table_html(table: Table, words: Words) -> str:
    """The table with a button that downloads it as CSV."""
    numeric = [
        any(isinstance(row[i], int | float) for row in table.rows)
        and all(not isinstance(row[i], str) for row in table.rows)
        for i in range(len(table.headers))
    ]
    head = "".join(
        f'<th scope="col"{" class=num" if number else ""}>{escape(text)}</th>'
        for text, number in zip(table.headers, numeric, strict=True)
    )
    body = []
    for row in table.rows:
        cells = []
        for i, cell in enumerate(row):
            kind = ' class="remark"' if i == table.wide else ' class="num"' if numeric[i] else ""
            cells.append(f"<td{kind}>{escape(_cell(cell, i in table.shares, words))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    button = (
        f'<button type="button" class="csv" data-name="{escape(table.name, quote=True)}" '
        f'data-csv="{escape(table.csv(), quote=True)}">{escape(words("table.download"))}</button>'
    )
    return (
        f'<div class="data-table"><div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{button}</div>"
    )


def _cell(cell: str | float | int | None, share: bool, words: Words) -> str:
    if cell is None:
        return words("card.none")
    if isinstance(cell, str):
        return cell
    if share:
        return words.percent(cell, 2)
    if isinstance(cell, int):
        return words.number(cell, 0)
    return words.number(cell, 1) if abs(cell) >= 100 else words.significant(cell, 4)


def data_table(table: Table | None, words: Words) -> gr.HTML:
    """A component that shows `table_html`."""
    value = "" if table is None else table_html(table, words)
    return gr.HTML(value=value, js_on_load=_DOWNLOAD, apply_default_css=False)


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
    """

    words: Words
    title: str
    height: int
    view: View | None = None
    elem_id: str | None = None
    hint: str = ""
    inside: bool = False
    chart: gr.HTML = field(init=False)
    summary: gr.Markdown = field(init=False)
    table: gr.HTML = field(init=False)

    def __post_init__(self) -> None:
        """Lay the panel out where it is made."""
        with gr.Column(elem_classes=[] if self.inside else ["sheet"], min_width=280):
            if not self.inside:
                gr.Markdown(f"## {self.title}", elem_classes=["figure-title"])
            waiting = self.words("chart.loading" if self.view else "chart.empty")
            self.chart = live_chart(
                self.view.figure if self.view else None, self.height, waiting, self.elem_id, self.words("chart.empty")
            )
            self.summary = gr.Markdown(
                self.view.summary if self.view else self.hint,
                elem_classes=["summary"],
                elem_id=f"{self.elem_id}-summary" if self.elem_id else None,
            )
            with gr.Accordion(self.words("table.open"), open=False) as fold:
                self.table = data_table(None, self.words)
        if self.view is not None:
            # The first table comes when it is asked for: hundreds of rows would hold up the first picture.
            first = table_html(self.view.table, self.words)
            fold.expand(
                lambda shown: gr.skip() if shown else first,
                self.table,
                self.table,
                show_progress="hidden",
                api_visibility="private",
            )

    @property
    def outputs(self) -> list[Any]:
        """Components that `updates` feeds, in order."""
        return [self.chart, self.summary, self.table]

    def updates(self, view: View) -> list[Any]:
        """New values for `outputs`."""
        return [figure_value(view.figure), view.summary, table_html(view.table, self.words)]

    def cleared(self) -> list[Any]:
        """Empty `outputs`: what they showed belongs to another model."""
        return ["", self.hint, ""]

    def unchanged(self) -> list[Any]:
        """Leave `outputs` as they are."""
        return [gr.skip() for _ in self.outputs]


@dataclass(frozen=True)
class Card:
    """One headline figure."""

    label: str
    value: str
    detail: str


def cards_html(cards: Sequence[Card]) -> str:
    """A row of headline figures."""
    items = "".join(
        f'<dl class="card"><dt>{escape(card.label)}</dt><dd class="value">{escape(card.value)}</dd>'
        f'<dd class="detail">{escape(card.detail)}</dd></dl>'
        for card in cards
    )
    return f'<div class="cards">{items}</div>'


def status_html(text: str = "") -> str:
    """A quiet line about what is going on."""
    return f'<div class="status" role="status" aria-live="polite">{escape(text)}</div>'


def alert_html(text: str) -> str:
    """One sentence about what went wrong."""
    return f'<div class="status"><div class="alert" role="alert">{escape(text)}</div></div>'


def progress_html(progress: Progress, words: Words) -> str:
    """A step of long work, with a bar where its length is known."""
    bar = ""
    if progress.total > 0 and progress.stage != "wait":
        bar = f'<div class="bar" aria-hidden="true"><i style="width:{progress.done / progress.total:.0%}"></i></div>'
    text = words.sentence(progress.message or progress.stage)
    return f'<div class="status" role="status" aria-live="polite">{escape(text)}{bar}</div>'


def status_area(elem_id: str | None = None) -> gr.HTML:
    """The place for status, progress and alerts."""
    return gr.HTML(status_html(), elem_id=elem_id, js_on_load=None, apply_default_css=False)


def completions_html(prompt: str, texts: Sequence[tuple[str, str]], words: Words) -> str:
    """Completions side by side.

    Args:
        prompt: what both continue.
        texts: (heading, completion); an empty completion is still to come.
        words: the language.
    """
    items = []
    for heading, text in texts:
        if text:
            shown = text[len(prompt) :] if text.startswith(prompt) else text
            body = f'<p><span class="prompt">{escape(prompt)}</span>{escape(shown)}</p>'
        else:
            body = f'<p class="empty">{escape(words("live.generate_empty"))}</p>'
        items.append(f'<div class="completion"><h3>{escape(heading)}</h3>{body}</div>')
    return f'<div class="completions">{"".join(items)}</div>'
