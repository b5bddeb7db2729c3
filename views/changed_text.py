"""The text with what compression changed marked in it, the sentence about it, and the rows of its table.

A rise of the loss is told by a tint, darker the larger it is, a flipped prediction by a wavy line; both are in the
table, too, in words and numbers.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from views.scripts import OWN
from views.texts import Words

if TYPE_CHECKING:
    from compression.evaluation.changes_report import ChangesReport, UnitChange

STEPS = (0.5, 1.0, 2.0)
"""Rises of the loss, in nats, above which a tint begins: e to their power is by how much less probable a token became
(1.6, 2.7 and 7.4 times)."""
SHOWN = 50
"""Rows of the table at a time."""
COLUMNS = ("place", "left", "text", "right", "dense_says", "compressed_says", "dense_loss", "compressed_loss", "rise")
END = "<|endoftext|>"


def about(report: ChangesReport, words: Words) -> Words:
    """The words to speak of what a report compares: tokens or words."""
    return words.about(report.unit == "word")


def summary(report: ChangesReport, words: Words) -> str:
    """What changed, in a few sentences."""
    words, predicted = about(report, words), report.predicted
    values: dict[str, Any] = {
        "flipped": words.number(report.flipped, 0),
        "predicted": words.number(len(predicted), 0),
        "share": words.percent(report.flipped / len(predicted)),
        "dense": words.significant(report.dense_loss),
        "compressed": words.significant(report.compressed_loss),
        "dense_perplexity": words.number(report.dense_perplexity),
        "compressed_perplexity": words.number(report.compressed_perplexity),
    }
    if report.same:
        removed = words.percent(report.removed_fraction)
        said = [words("changes.summary_same", predicted=values["predicted"], removed=removed)]
    else:
        said = [words("changes.summary" if report.flipped else "changes.summary_none", **values), _most(report, words)]
    if report.tokens_used < report.tokens_total:
        total = words.number(report.tokens_total, 0)
        said.append(words("changes.cut", total=total, used=words.number(report.tokens_used, 0)))
    if report.reference:
        said.append(words(f"changes.shown_{report.reference}"))
    return " ".join([*said, *map(words.sentence, report.notes)])


def _most(report: ChangesReport, words: Words) -> str:
    unit = report.units[report.by_rise()[0]]
    if not unit.rise or unit.rise < 0:
        return words("changes.none_rises")
    # What a visitor wrote is no Markdown: without the signs that would make it some.
    text = "".join(c for c in _shown(unit.text, report, words).strip() if c not in "*_`[]<>\\#~|$") or "…"
    return words("changes.most", text=text, rise=words.significant(unit.rise))


def words_html(report: ChangesReport | None, words: Words) -> str:
    """The whole text with its marks, and what they mean; everything in it is escaped."""
    if report is None:
        return f'<p class="empty">{escape(words("changes.empty"))}</p>'
    words = about(report, words)
    body: list[str] = []
    passage = 0
    for unit in report.units:
        html = _unit_html(unit, report, words)
        if report.unit == "word" and (unit.passage != passage or not body):  # each recording has a line of its own
            html = ("\n" if body else "") + html.lstrip(" ")
        passage = unit.passage
        body.append(html)
    label = escape(words("changes.words"))
    text = f'<p class="changed-text" tabindex="0" role="region" aria-label="{label}">{"".join(body)}</p>'
    return f"{text}{_legend_html(words)}"


def _unit_html(unit: UnitChange, report: ChangesReport, words: Words) -> str:
    text = _shown(unit.text, report, words)
    inner = text.lstrip(" ") or text  # the space before a word is not marked
    before, shown = text[: len(text) - len(inner)], escape(inner)
    if not text:
        return ""
    if unit.rise is None:
        return f'{before}<span class="given">{shown}</span>'
    classes = [f"rise-{step}" for step, least in enumerate(STEPS, 1) if unit.rise > least][-1:]
    classes += ["flipped"] if unit.flipped else []
    if not classes:
        return before + shown
    return f'{before}<mark class="{" ".join(classes)}" title="{escape(_said(unit, report, words))}">{shown}</mark>'


def _shown(text: str, report: ChangesReport, words: Words) -> str:
    """A text of a unit; the mark that ends a transcript in words."""
    return text.replace(END, f" {words('changes.end')}") if report.unit == "word" else text


def _said(unit: UnitChange, report: ChangesReport, words: Words) -> str:
    assert unit.dense_loss is not None and unit.compressed_loss is not None and unit.rise is not None
    mark = words(
        "changes.mark",
        dense=words.number(unit.dense_loss, 2),
        compressed=words.number(unit.compressed_loss, 2),
        rise=f"{'+' if unit.rise > 0 else ''}{words.number(unit.rise, 2)}",
        said=_shown(unit.dense_says, report, words).strip(),
        says=_shown(unit.compressed_says, report, words).strip(),
    )
    return words("changes.mark_flipped", mark=mark) if unit.flipped else mark


def _legend_html(words: Words) -> str:
    sample = escape(words("changes.legend_sample"))
    items = [
        f'<li><mark class="rise-{step}">{sample}</mark> '
        f"{escape(words('changes.legend_rise', least=words.significant(least)))}</li>"
        for step, least in enumerate(STEPS, 1)
    ]
    items.append(f'<li><mark class="flipped">{sample}</mark> {escape(words("changes.legend_flipped"))}</li>')
    if not words.speech:
        items.append(f'<li><span class="given">{sample}</span> {escape(words("changes.legend_given"))}</li>')
    items.append(f"<li>{escape(words('changes.legend_note'))}</li>")
    return f'<ul class="mark-legend changed-legend">{"".join(items)}</ul>'


def table_value(report: ChangesReport | None, words: Words) -> str:
    """All predicted units with their order by rise, as `static/changes.js` shows, filters and sorts them.

    Each row is place, text before, text, text after, what either model says, both losses, rise, and whether it flipped.
    """
    if report is None:
        return ""
    words = about(report, words)
    rows: dict[int, list[str | int | float | bool | None]] = {}
    for place in report.by_rise():
        unit = report.units[place]
        assert unit.dense_loss is not None and unit.compressed_loss is not None and unit.rise is not None
        left, right = report.around(place)
        texts = [
            _shown(text, report, words) for text in (left, unit.text, right, unit.dense_says, unit.compressed_says)
        ]
        if report.unit == "word":
            texts = [f"{texts[0]} ", texts[1].strip(), texts[2], *(text.strip() for text in texts[3:])]
        losses = (round(value, 4) for value in (unit.dense_loss, unit.compressed_loss, unit.rise))
        rows[place] = [place + 1, *texts, *losses, unit.flipped]
    by_rise = {place: index for index, place in enumerate(sorted(rows))}
    value = {
        "name": "what-changed",
        "headers": [words(f"changes.column.{key}") for key in (*COLUMNS, "flipped")],
        "context": words("changes.column.context"),
        "rows": [rows[place] for place in sorted(rows)],
        "order": [by_rise[place] for place in rows],
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def changes_table(words: Words) -> gr.HTML:
    """The table with its controls: order, filter, a search box, more rows, CSV; it answers within the page."""
    texts = {key: escape(words(f"changes.{key}")) for key in ("sort", "filter", "least", "search", "more", "table")}
    sorts = _options(words, "sort", ("rise", "place", "flipped"))
    filters = _options(words, "filter", ("all", "flipped", "rise"))
    return gr.HTML(
        value="",
        html_template=(
            '<div class="data-table changed-table" hidden><div class="filters">'
            f'<label>{texts["sort"]}<select class="sort">{sorts}</select></label>'
            f'<label>{texts["filter"]}<select class="filter">{filters}</select></label>'
            f'<label>{texts["least"]}<input class="least" type="number" min="0" step="0.1" value="{STEPS[0]}"></label>'
            f'<label>{texts["search"]}<input class="search" type="search"></label></div>'
            '<p class="count" role="status" aria-live="polite"></p>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{texts["table"]}"></div>'
            f'<p class="signs">{escape(words("changes.legend_signs"))}</p>'
            f'<button type="button" class="more csv">{texts["more"]}</button> '
            f'<button type="button" class="all csv">{escape(words("table.download"))}</button></div>'
        ),
        js_on_load="explorer.changes(element, props, watch);",
        head=OWN,
        apply_default_css=False,
        elem_id="changes-table",
        counted=words("changes.count"),
        nothing=words("changes.count_nothing"),
        yes=words("changes.yes"),
        no=words("changes.no"),
        size=SHOWN,
    )


def _options(words: Words, kind: str, names: tuple[str, ...]) -> str:
    return "".join(f'<option value="{name}">{escape(words(f"changes.{kind}_{name}"))}</option>' for name in names)
