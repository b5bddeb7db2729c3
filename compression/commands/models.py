"""``models``: what has a short name; ``schema``: what a command writes as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import pydantic
import typer
from rich.table import Table

from compression import models, texts
from compression.commands.shared import (
    SCHEMAS,
    JsonOption,
    app,
    check_output,
    output,
    write,
)
from compression.errors import UserError
from compression.speech import recordings


@dataclass(frozen=True)
class Listing:
    """What ``models --json`` writes."""

    encoders: tuple[models.ModelSpec, ...]
    models: tuple[models.ModelSpec, ...]
    texts: tuple[texts.TextSpec, ...]
    recordings: tuple[recordings.RecordingsSpec, ...]


SCHEMAS |= {"models": Listing}


@app.command("models")
def list_models(json_file: JsonOption = None) -> None:
    """List the models, texts and recordings that have a short name."""
    check_output(json_file)
    table = Table("id", "model", "source", "note")
    for spec in models.CATALOGUE.values():
        table.add_row(spec.id, spec.title, type(spec.source).__name__.removesuffix("Source").lower(), spec.note)
    for spec in models.ENCODERS.values():
        table.add_row(spec.id, spec.title, "wheel", "encoder for classification: use it with adapt")
    output.print(table)
    table = Table("text", "what it is")
    for text in texts.TEXTS.values():
        table.add_row(text.name, text.description)
    output.print(table)
    table = Table("recordings", "what they are")
    for spoken in recordings.RECORDINGS.values():
        table.add_row(spoken.name, spoken.description)
    output.print(table)
    listing = Listing(
        tuple(models.ENCODERS.values()),
        tuple(models.CATALOGUE.values()),
        tuple(texts.TEXTS.values()),
        tuple(recordings.RECORDINGS.values()),
    )
    write(listing, json_file)


@app.command()
def schema(
    command: Annotated[str, typer.Argument(help="A command whose --json is to be described.")],
    json_file: JsonOption = None,
) -> None:
    """Print the JSON Schema of what a command's --json writes."""
    if command not in SCHEMAS:
        raise UserError(f"There is no schema for {command!r}: expected one of {', '.join(SCHEMAS)}.")
    described = pydantic.TypeAdapter(SCHEMAS[command]).json_schema()
    print(json.dumps(described, indent=2, ensure_ascii=False))
    write(described, json_file)
