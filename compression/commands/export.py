"""``verify`` and ``push``: an exported model checked in a fresh process, and uploaded to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.shared import SCHEMAS, JsonOption, app, check_output, output, run, write
from compression.types import ExportCheck

SCHEMAS |= {"verify": ExportCheck}
ExportArgument = Annotated[Path, typer.Argument(help="Directory that compress wrote.")]


@app.command()
def verify(directory: ExportArgument, json_file: JsonOption = None) -> None:
    """Check an exported model's files, load it in a fresh process, and compare its logits with those noted in it."""
    from compression.verification import verify_directory

    check_output(json_file)
    check = run(verify_directory(directory))
    if check.equal:
        outcome = f"all {check.compared:,} logits are equal to the bit"
    else:
        where = "" if check.same_machine else ", as another machine or another torch rounds"
        outcome = f"the logits differ by at most {check.largest_difference:.3g}{where}"
    sizes = f"{check.weights_bytes:,} bytes on disk, {check.accounted_bytes:,} by the accounting"
    output.print(
        f"{directory}: no file was altered; in a fresh process {outcome}; weights {sizes} "
        f"({check.weights_excess:+.2%}), {check.folder_bytes:,} bytes with tokenizer and reports; loaded in "
        f"{check.load_seconds:.1f} s with {check.threads} threads.",
        highlight=False,
    )
    write(check, json_file)


@app.command()
def push(
    directory: ExportArgument,
    repository: Annotated[str, typer.Argument(help="owner/name on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Replace the compressed model that is there.")] = False,
) -> None:
    """Upload an exported model to the Hub in one commit, with the login of ``hf auth login``."""
    from compression import publish

    address = run(publish.push(directory, repository, publish.stored_token(), private, update))
    output.print(f"Uploaded to {address}", highlight=False)
