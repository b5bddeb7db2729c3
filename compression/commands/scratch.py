"""``bench from-scratch``: a small Llama trained with gates, beside the same run without."""

from __future__ import annotations

from typing import Annotated

import typer

from compression.adaptation.scratch_report import ScratchReport, ScratchSettings
from compression.commands.shared import SCHEMAS, JsonOption, bench, check_output, output, run, show_table, write

SCHEMAS |= {"bench from-scratch": ScratchReport}
_DEFAULTS = ScratchSettings()


@bench.command("from-scratch")
def bench_from_scratch(
    target_sparsity: Annotated[
        float, typer.Option("--target-sparsity", help="Share of the gated weights to remove.")
    ] = _DEFAULTS.target_sparsity,
    steps: Annotated[int, typer.Option("--steps", help="Steps of either run.")] = _DEFAULTS.steps,
    sparsity_start: Annotated[
        int | None, typer.Option("--sparsity-start", help="Step from which the gates are pressed; by default a third.")
    ] = None,
    settle: Annotated[
        int | None, typer.Option("--settle", help="Step that closes gates for good; by default seven twelfths.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences a step.")] = _DEFAULTS.batch_size,
    sequence_length: Annotated[
        int, typer.Option("--sequence-length", help="Tokens a sequence.")
    ] = _DEFAULTS.sequence_length,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="Of the weights, at the peak.")
    ] = _DEFAULTS.learning_rate,
    blocks: Annotated[int, typer.Option("--blocks", help="Blocks of the Llama.")] = _DEFAULTS.blocks,
    width: Annotated[int, typer.Option("--width", help="Width of the Llama.")] = _DEFAULTS.width,
    neurons: Annotated[int, typer.Option("--neurons", help="Neurons a block.")] = _DEFAULTS.neurons,
    vocabulary: Annotated[int, typer.Option("--vocabulary", help="Entries of the tokenizer.")] = _DEFAULTS.vocabulary,
    seed: Annotated[int, typer.Option("--seed", help="Of weights, batches and noise.")] = _DEFAULTS.seed,
    json_file: JsonOption = None,
) -> None:
    """Train a small Llama with gates from a chosen step, and its twin without, on the same batches (minutes)."""
    check_output(json_file)
    settings = ScratchSettings(
        target_sparsity=target_sparsity,
        steps=steps,
        sparsity_start=steps // 3 if sparsity_start is None else sparsity_start,
        settle=steps * 7 // 12 if settle is None else settle,
        batch_size=batch_size,
        sequence_length=sequence_length,
        learning_rate=learning_rate,
        blocks=blocks,
        width=width,
        neurons=neurons,
        vocabulary=vocabulary,
        seed=seed,
    )
    settings.check()
    from compression.adaptation.scratch import from_scratch

    report = run(from_scratch(settings))
    show(report)
    write(report, json_file)


def show(report: ScratchReport) -> None:
    """Print both runs beside each other."""
    header = ("run", "parameters", "target", "removed", "soft", "perplexity", "training, s")
    cells: list[tuple[str, ...]] = [header]
    for each in (report.plain, report.gated):
        removal = each.removal
        cells.append(
            (
                each.name,
                f"{each.parameters:,}",
                f"{removal.target_sparsity:g}" if removal else "",
                f"{removal.removed_fraction:.3f}" if removal else "",
                f"{removal.soft_sparsity:.3f}" if removal and removal.soft_sparsity is not None else "",
                f"{each.perplexity:.2f}",
                f"{each.train_seconds:.0f}",
            )
        )
    show_table(cells)
    output.print(
        f"With gates from step {report.settings.sparsity_start} of {report.settings.steps}, perplexity changes by "
        f"{report.perplexity_change:+.1%} against the twin without gates (same weights at the start, same batches). "
        f"Convention: {report.convention}. Text: State of the Union addresses, before 2020 to train on "
        f"({report.train_tokens:,} tokens), since 2021 kept aside.",
        highlight=False,
    )
