"""Runs as CSV, out and in: for a spreadsheet, a paper's figures, another session.

A cell that a spreadsheet would run as a formula is written with an apostrophe before it, as such programs do, and
refused where it comes in without one.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import pydantic
import pydantic_core

from compression.errors import UserError
from compression.recipe import Recipe
from compression.session import MAX_NAME, MAX_POINTS, Measure, Metric, Origin, RunPoint, Session, Step, Timing

MAX_CHARACTERS = 2_000_000
"""Of a file that is read."""
MAX_CELL = 4000
"""Characters of a cell."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet runs."""
REQUIRED = ("model", "measured_on", "convention", "metric", "quality", "stored_bytes")
OPTIONAL = (
    "name",
    "origin",
    "step",
    "method",
    "policy",
    "removed_fraction",
    "quality_low",
    "quality_high",
    "prefill_ms",
    "prefill_iqr_ms",
    "decode_ms",
    "decode_iqr_ms",
    "dense_prefill_ms",
    "dense_decode_ms",
    "latency_convention",
    "source",
    "made",
    "key",
    "parent",
    "weights_sha256",
    "measured_on_sha256",
    "recipe",
)
COLUMNS = ("name", *REQUIRED, *OPTIONAL[1:])
"""In the order they are written. Shares are fractions, sizes bytes of the whole model, times milliseconds."""
_TIMES = ("prefill_ms", "prefill_iqr_ms", "decode_ms", "decode_iqr_ms", "dense_prefill_ms", "dense_decode_ms")


@dataclass(frozen=True)
class Imported:
    """What a CSV brought.

    Attributes:
        session: the session with its runs.
        runs: how many rows it had.
        new: how many of them were not there yet.
        other_measures: measures that no run of the session had before, so that these runs have axes of their own.
        ignored: names of columns that mean nothing here.
    """

    session: Session
    runs: int
    new: int
    other_measures: tuple[Measure, ...]
    ignored: tuple[str, ...]


def to_csv(session: Session, points: Sequence[RunPoint] | None = None) -> str:
    """The runs of a session, or some of them, as CSV: comma, UTF-8, one line a run."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")  # RFC 4180
    writer.writeheader()
    for point in session.points if points is None else points:
        writer.writerow({name: _written(value) for name, value in _row(session, point).items()})
    return text.getvalue()


def _row(session: Session, point: RunPoint) -> dict[str, Any]:
    measure, timing = point.measure, session.timing(point)
    row: dict[str, Any] = {
        "name": point.name,
        "model": measure.model_id,
        "measured_on": measure.measured_on,
        "convention": measure.convention,
        "metric": measure.metric,
        "quality": point.quality,
        "stored_bytes": point.stored_bits / 8,
        "origin": point.origin,
        "step": point.step,
        "method": point.method,
        "policy": point.policy,
        "removed_fraction": point.removed_fraction,
        "quality_low": point.quality_low,
        "quality_high": point.quality_high,
        "source": point.source,
        "made": point.made,
        "key": point.key,
        "parent": point.parent,
        "weights_sha256": measure.weights_hash,
        "measured_on_sha256": measure.fingerprint,
        "recipe": "" if point.recipe is None else pydantic_core.to_json(point.recipe).decode(),
    }
    if timing is not None:
        row |= {name: getattr(timing, name) for name in _TIMES} | {"latency_convention": timing.convention}
    return row


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    text = str(value)
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def from_csv(text: str, session: Session) -> Imported:
    """Bring the runs of a CSV into a session, which is left as it is where a row is refused.

    Columns may come in any order, separated by commas, semicolons (numbers then may have decimal commas) or tabs.

    Args:
        text: the content of the file.
        session: what is there already.

    Raises:
        UserError: if the file is none of ours: what is missing or wrong, and where.
    """
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"The CSV has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read: split it into smaller files."
        )
    text = text.removeprefix("\ufeff")
    if "\0" in text or not text.strip():
        raise UserError("The file holds no CSV text: choose one with a header line and a line for each run.")
    header = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(MAX_CHARACTERS)
    reader = csv.reader(io.StringIO(text.lstrip("\r\n")), delimiter=delimiter, strict=True)
    try:
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(
            f"The CSV breaks off or is malformed in line {reader.line_num} ({error}): save it again as CSV."
        ) from error
    if not rows:
        raise UserError("The file holds no CSV text: choose one with a header line and a line for each run.")
    names = [name.strip().lower() for name in rows[0]]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise UserError(
            f"The CSV lacks the columns {', '.join(missing)}: its first line must name at least {', '.join(REQUIRED)}."
        )
    if len(rows) - 1 > MAX_POINTS:
        raise UserError(f"The CSV has {len(rows) - 1} runs; a session holds {MAX_POINTS}: take a part of them.")
    if len(rows) == 1:
        raise UserError("The CSV has a header and no run: add a line for each run.")
    for number, cells in enumerate(rows[1:], 2):
        if len(cells) != len(names):
            raise UserError(
                f"Row {number} of the CSV has {len(cells)} cells and the header {len(names)}: put text that holds "
                "the separator in double quotes."
            )
    read = [_Row(number, dict(zip(names, cells, strict=True)), delimiter) for number, cells in enumerate(rows[1:], 2)]
    points = [_point(row) for row in read]
    keys = {row.text("key"): point.key for row, point in zip(read, points, strict=True)}
    parents = [keys.get(row.text("parent"), row.text("parent")) for row in read]
    points = [replace(point, parent=parent) for point, parent in zip(points, parents, strict=True)]
    known = set(session.measures())
    before = {point.key for point in session.points}
    timings = [(point.recipe, timing) for row, point in zip(read, points, strict=True) if (timing := _timing(row))]
    merged = session.with_points(points).with_timings([(r, timing) for r, timing in timings if r is not None])
    return Imported(
        merged,
        len(points),
        sum(key not in before for key in {point.key for point in points}),
        tuple(measure for measure in merged.measures() if measure not in known),
        tuple(name for name in names if name and name not in COLUMNS),
    )


@dataclass(frozen=True)
class _Row:
    """One line of the file, read cell by cell; `number` counts the header as 1."""

    number: int
    cells: dict[str, str]
    delimiter: str

    def refuse(self, name: str, expected: str) -> UserError:
        given = self.cells.get(name, "").strip()
        shown = given if len(given) <= 40 else f"{given[:40]}…"
        return UserError(
            f"Row {self.number} of the CSV, column {name}: expected {expected}, but {shown!r} stands there; nothing "
            "was taken from the file."
        )

    def text(self, name: str, most: int = MAX_CELL) -> str:
        cell = self.cells.get(name, "").strip()
        if cell.startswith(FORMULA):
            raise self.refuse(name, "text, and no formula")
        if len(cell) > most:
            raise self.refuse(name, f"at most {most} characters")
        unquoted = cell.removeprefix("'")
        return unquoted if unquoted.lstrip("'").startswith(FORMULA) else cell

    def number_or_none(self, name: str, least: float = 0.0, most: float = math.inf) -> float | None:
        cell = self.cells.get(name, "").strip()
        if not cell:
            return None
        try:
            value = float(cell.replace(",", ".") if self.delimiter != "," else cell)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise self.refuse(name, f"a number from {least:g}" + ("" if math.isinf(most) else f" to {most:g}"))
        return value

    def value(self, name: str, least: float, most: float = math.inf) -> float:
        value = self.number_or_none(name, least, most)
        if value is None:
            raise self.refuse(name, "a number")
        return value

    def choice(self, name: str, options: Sequence[str], default: str | None = None) -> Any:
        cell = self.text(name) or default
        if cell not in options:
            raise self.refuse(name, f"one of {', '.join(options)}")
        return cell

    def needed(self, name: str) -> str:
        cell = self.text(name)
        if not cell:
            raise self.refuse(name, "text")
        return cell


def _point(row: _Row) -> RunPoint:
    recipe = None
    if row.text("recipe"):
        try:
            recipe = pydantic.TypeAdapter(Recipe).validate_json(row.text("recipe"))
        except (pydantic.ValidationError, UserError) as error:
            raise row.refuse("recipe", "a recipe as this program writes it, or nothing") from error
    metric = row.choice("metric", get_args(Metric))
    measure = Measure(
        metric,
        row.needed("model"),
        row.text("weights_sha256"),
        row.needed("measured_on"),
        row.text("measured_on_sha256"),
        row.needed("convention"),
    )
    least = 1.0 if metric == "perplexity" else 0.0
    stored_bytes = row.value("stored_bytes", 1, 1e15)
    method = row.text("method") or "?"
    return RunPoint(
        measure,
        row.value("quality", least),
        round(stored_bytes * 8),
        method,
        row.text("policy"),
        row.number_or_none("removed_fraction", 0, 1) or 0.0,
        origin=row.choice("origin", get_args(Origin), "measured"),
        step=row.choice("step", get_args(Step), "dense" if method == "dense" else "compressed"),
        quality_low=row.number_or_none("quality_low"),
        quality_high=row.number_or_none("quality_high"),
        recipe=recipe,
        name=row.text("name", MAX_NAME),
        made=row.text("made"),
        source=row.text("source"),
    )


def _timing(row: _Row) -> Timing | None:
    """The times of a row, where all of them are there."""
    values = {name: value for name in _TIMES if (value := row.number_or_none(name)) is not None}
    convention = row.text("latency_convention")
    return Timing(**values, convention=convention) if convention and len(values) == len(_TIMES) else None
