"""``bench removal``: the same share of an encoder removed in several patterns, by the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from compression import models
from compression.adaptation.removal_report import RemovalReport
from compression.commands.shared import (
    SCHEMAS,
    JsonOption,
    bench,
    check_output,
    named,
    output,
    run,
    show_table,
    write,
)

SCHEMAS |= {"bench removal": RemovalReport}


@bench.command("removal")
def bench_removal(
    model: Annotated[str, typer.Argument(help="Encoder: short id, Hub id or directory.")] = models.DEFAULT_ENCODER,
    removed: Annotated[float, typer.Option("--removed", help="Share of the blocks' linear weights to remove.")] = 0.3,
    seed: Annotated[int, typer.Option("--seed", help="Of the rows and columns that are drawn.")] = 0,
    json_file: JsonOption = None,
) -> None:
    """Time an encoder from which the same share left as neurons, as heads, or as scattered rows and columns."""
    check_output(json_file)
    from compression.adaptation.removal import time_patterns

    report = run(time_patterns(model, removed, seed))
    first = report.timings[0]
    header = ("pattern", "removed", *(f"latency ÷ dense, {t.batch} × {t.tokens} tokens" for t in first.latency))
    show_table(
        [
            header,
            *(
                (each.pattern, f"{each.removed_fraction:.1%}", *(f"{time.ratio:.2f}" for time in each.latency))
                for each in report.timings
            ),
        ]
    )
    threads = report.environment.threads
    output.print(f"{named(report.model_id, report.model_note)}; {threads} threads.", highlight=False)
    write(report, json_file)
