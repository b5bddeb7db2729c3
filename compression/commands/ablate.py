"""``ablate``: COMPOT's published ablations held against a model."""

from __future__ import annotations

from typing import Annotated

import typer

from compression import ablation, texts
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    JsonOption,
    LengthOption,
    ModelArgument,
    RemovedOption,
    SeedOption,
    SequencesOption,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_output,
    markdown_table,
    named,
    output,
    perplexity_cell,
    run,
    show_table,
    words_given,
    write,
)
from compression.recipe import Recipe

SCHEMAS |= {"ablate": ablation.AblationReport}


@app.command()
def ablate(
    model: ModelArgument,
    removed: RemovedOption = 0.2,
    claims: Annotated[str, typer.Option(help="Comma-separated claims; all by default.")] = ",".join(ablation.CLAIMS),
    calibration: CalibrationOption = "",
    text: TextOption = texts.DEFAULT_EVALUATION,
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    seed: SeedOption = 0,
    window: WindowOption = 512,
    max_windows: WindowsOption = 16,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Hold COMPOT's published ablations against this model: where their direction holds, and where not (minutes)."""
    from compression.workbench import get_workbench

    base = Recipe(
        model,
        removed_fraction=removed,
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        seed=seed,
    )
    plans = ablation.plan(base, words_given(claims, "--claims"))
    check_output(json_file)
    report = run(ablation.ablate(get_workbench(), plans, text, window, max_windows))
    show_ablation(report, markdown)
    write(report, json_file)


def show_ablation(report: ablation.AblationReport, markdown: bool) -> None:
    """Print every claim with its table and its verdict, for the terminal or for a README."""
    if markdown:
        print(ablation_markdown(report))
        return
    for claim in report.claims:
        output.print(claim_title(claim), style="bold", highlight=False)
        show_table(ablation_rows(claim))
        output.print(f"{claim.verdict}\n", highlight=False)
    for line in ablation_captions(report):
        output.print(line, highlight=False)


def ablation_markdown(report: ablation.AblationReport) -> str:
    """An ablation as Markdown: for each claim a table and the verdict, then the captions."""
    lines: list[str] = []
    for claim in report.claims:
        lines += [f"**{claim_title(claim)}**", "", *markdown_table(ablation_rows(claim)), "", claim.verdict, ""]
    return "\n".join([*lines, *ablation_captions(report)])


def claim_title(claim: ablation.AblationClaim) -> str:
    """A claim's name and words."""
    return f"{claim.name}: {claim.statement}"


def ablation_rows(claim: ablation.AblationClaim) -> list[tuple[str, ...]]:
    """The cells of a claim's table, header first."""
    published = any(row.published_accuracy is not None for row in claim.rows)
    header = (
        *("variant", "removed (sites)", "k/s stored", "perplexity"),
        *(f"change against {claim.reference}, nats (95 %)", "compress, s"),
        *(("published accuracy, %",) if published else ()),
    )
    rows = [
        (
            row.label,
            f"{row.removed_fraction:.3f}",
            "" if row.stored_ratio is None else f"{row.stored_ratio:.2f}",
            perplexity_cell(row.perplexity, row.perplexity_stderr),
            _change(row.change),
            f"{row.compress_seconds:.1f}",
            *(("" if row.published_accuracy is None else f"{row.published_accuracy:.1f}",) if published else ()),
        )
        for row in claim.rows
    ]
    return [header, *rows]


def ablation_captions(report: ablation.AblationReport) -> list[str]:
    """What the tables of an ablation have to say beside their numbers."""
    settings, dense = report.calibration, report.dense
    return [
        f"{named(report.model_id, report.model_note)}, {report.removed_fraction:g} removed, dense perplexity "
        f"{perplexity_cell(dense.perplexity, dense.perplexity_stderr)}; calibration {settings.text.name}, "
        f"{settings.num_sequences} × {settings.sequence_length} tokens; {dense.text.name}, {dense.convention}; "
        f"± standard error over windows; {report.environment.threads} threads. k/s stored: over all sites; a site has "
        "at most as many atoms as its smaller side, and spends what is left on nonzeros.",
        report.convention,
    ]


def _change(change: ablation.Difference | None) -> str:
    if change is None:
        return ""
    interval = "" if change.low is None else f" ({change.low:+.4f} to {change.high:+.4f})"
    return f"{change.mean:+.4f}{interval}"
