"""``synthesise``: instruction pairs to distil on, written by a model and graded by a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.shared import SCHEMAS, JsonOption, app, check_output, errors, output, run, write
from compression.errors import UserError
from compression.synthetic.report import SyntheticReport, SyntheticSettings

SCHEMAS |= {"synthesise": SyntheticReport}
_DEFAULTS = SyntheticSettings()


@app.command()
def synthesise(
    out: Annotated[Path, typer.Option("--out", help="JSON Lines file for distill --train.")],
    writer: Annotated[str, typer.Option("--writer", help="Model that writes and answers.")] = "",
    server: Annotated[str, typer.Option("--server", help="Or an OpenAI-compatible server, http://…/v1.")] = "",
    served_model: Annotated[str, typer.Option("--served-model", help="The server's name of its model.")] = "",
    judge: Annotated[
        str, typer.Option("--judge", help="Model that grades, or its name on --judge-server; by default the writer.")
    ] = "",
    judge_server: Annotated[str, typer.Option("--judge-server", help="OpenAI-compatible server that grades.")] = "",
    pairs: Annotated[int, typer.Option("--pairs", help="Pairs to keep.")] = _DEFAULTS.pairs,
    max_tries: Annotated[int, typer.Option("--max-tries", help="Tries at most; 0: ten a pair.")] = 0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Of an answer.")] = _DEFAULTS.max_new_tokens,
    temperature: Annotated[float, typer.Option("--temperature", help="Of sampling.")] = _DEFAULTS.temperature,
    min_grade: Annotated[int, typer.Option("--min-grade", help="The judge's, 1 to 5; 0: no judge.")] = (
        _DEFAULTS.min_grade
    ),
    similarity: Annotated[float, typer.Option("--similarity", help="Drop what is more alike.")] = _DEFAULTS.similarity,
    seed: Annotated[int, typer.Option("--seed", help="Of sampling.")] = 0,
    json_file: JsonOption = None,
) -> None:
    """Write instruction pairs by self-instruct, graded by a judge; what is made is kept when it is interrupted."""
    check_output(json_file)
    check_output(out)
    from compression.synthetic.runner import write_pairs
    from compression.workbench import get_workbench

    settings = SyntheticSettings(
        writer,
        server,
        served_model,
        pairs,
        max_tries,
        max_new_tokens,
        temperature,
        min_grade,
        similarity,
        seed,
        judge,
        judge_server,
    )
    report = run(get_workbench().synthesise(settings))
    told = ", ".join(f"{name} {count}" for name, count in report.outcomes.items())
    if not report.pairs:
        write(report, json_file)
        raise UserError(f"No pair was kept ({told}): name a stronger model, lower --min-grade, or raise --max-tries.")
    write_pairs(report, out)
    output.print(f"{len(report.pairs)} pairs in {out}; tries: {told}", highlight=False)
    errors.print(f"wrote {out}", highlight=False)
    write(report, json_file)
