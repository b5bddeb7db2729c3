"""The elements of a report as HTML: one file, nothing loaded from elsewhere, light or dark as the reader's screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1d2330; --faint: #5b6375; --line: #d9dde5; --track: #eef0f4;
  --first: #7b8498; --second: #2463c9; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171e; --text: #e7eaf1; --faint: #a3acbf; --line: #353c4b; --track: #222835; --first: #8f99ae;
    --second: #6ea4ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p, figcaption { color: var(--faint); margin: .25rem 0 .75rem; }
figure { margin: 0; }
.row { display: grid; grid-template-columns: minmax(6rem, 9rem) 1fr minmax(6rem, auto); gap: .25rem .75rem;
  align-items: center; margin: .3rem 0; }
.track { position: relative; height: 1.1rem; background: var(--track); border-radius: .2rem; }
.bar { position: absolute; inset: 0 auto 0 0; border-radius: .2rem; }
.first { background: var(--first); }
.second { background: var(--second); }
.spread { position: absolute; top: 50%; height: 0; border-top: 2px solid var(--text); }
.spread::before, .spread::after { content: ""; position: absolute; top: -.35rem; height: .6rem;
  border-left: 2px solid var(--text); }
.spread::after { right: 0; }
.value { font-variant-numeric: tabular-nums; text-align: right; }
.curve { display: block; width: 100%; height: 12rem; background: var(--track); border-radius: .2rem; }
.curve polyline { fill: none; stroke: var(--second); stroke-width: 2; vector-effect: non-scaling-stroke; }
.ends { display: flex; justify-content: space-between; color: var(--faint); font-size: .875rem; }
.scroll { overflow-x: auto; margin-top: .75rem; overflow-wrap: normal; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
details { margin-top: 2.5rem; }
pre { overflow-x: auto; font-size: .85rem; }
.plot { background: #fff; border-radius: .4rem; overflow: hidden; }
@media (max-width: 30rem) { .row { grid-template-columns: 1fr auto; } .track { grid-column: 1 / -1; grid-row: 2; } }
"""


@dataclass(frozen=True)
class Bar:
    """A bar of a figure.

    Attributes:
        label: what it is.
        value: its length.
        spread: half the length of the line across its end; None for no line.
        digits: after the point.
        second: whether it stands out from those that do not.
    """

    label: str
    value: float
    spread: float | None = None
    digits: int = 2
    second: bool = True

    @property
    def text(self) -> str:
        """The value with its spread."""
        spread = "" if self.spread is None else f" ± {self.spread:,.{self.digits}f}"
        return f"{self.value:,.{self.digits}f}{spread}"


def page(title: str, parts: Sequence[str]) -> str:
    """A whole document."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """Of a part."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A few sentences."""
    return f"<p>{escape(text)}</p>"


def bars(caption: str, rows: Sequence[Bar]) -> str:
    """A figure of bars that begin at zero.

    Args:
        caption: what is shown, with its unit and what the lines across the ends are.
        rows: from top to bottom.
    """
    ends = [row.value + (row.spread or 0.0) for row in rows]
    most = max((end for end in ends if math.isfinite(end)), default=0.0) or 1.0
    return f"<figure>\n<figcaption>{escape(caption)}</figcaption>\n{''.join(_bar(row, most) for row in rows)}</figure>"


def _bar(row: Bar, most: float) -> str:
    share = 100 * min(row.value / most, 1.0) if math.isfinite(row.value) else 100.0
    drawn = f'<span class="bar {"second" if row.second else "first"}" style="width:{share:.2f}%"></span>'
    if row.spread and math.isfinite(row.value) and math.isfinite(row.spread):
        low = 100 * max(row.value - row.spread, 0.0) / most
        width = 100 * (row.value + row.spread) / most - low
        drawn += f'<span class="spread" style="left:{low:.2f}%;width:{width:.2f}%"></span>'
    return (
        f'<div class="row"><span>{escape(row.label)}</span><span class="track">{drawn}</span>'
        f'<span class="value">{row.text}</span></div>\n'
    )


def curve(caption: str, points: Sequence[tuple[float, float]], unit: str) -> str:
    """A figure of a line; its ends, lowest and highest value are said in words.

    Args:
        caption: what is shown.
        points: x and y; those that are no numbers are left out.
        unit: of x.
    """
    known = [(x, y) for x, y in points if math.isfinite(y)]
    if len(known) < 2:
        return paragraph(f"{caption}: too few points for a line.")
    low, high = min(y for _, y in known), max(y for _, y in known)
    first, last = known[0][0], known[-1][0]
    across, up = (last - first) or 1.0, (high - low) or 1.0
    drawn = " ".join(f"{1000 * (x - first) / across:.1f},{380 - 360 * (y - low) / up:.1f}" for x, y in known)
    return (
        f"<figure>\n<figcaption>{escape(caption)}, from {low:.3f} (bottom) to {high:.3f} (top)</figcaption>\n"
        f'<svg class="curve" viewBox="0 0 1000 400" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(caption)}"><polyline points="{drawn}"/></svg>\n'
        f'<div class="ends"><span>{unit} {first:g}</span><span>{unit} {last:g}</span></div>\n</figure>'
    )


def table(cells: Sequence[Sequence[str]]) -> str:
    """A table, header first."""
    header, *rows = cells
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    whole = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"
    return f'<div class="scroll" tabindex="0"><table>\n{whole}</table></div>'


def folded(summary: str, text: str) -> str:
    """Text as it is, shown when it is asked for."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"
