"""``adapt``: a model adapted to a task or a text by one method or several, and what of it can leave."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from compression import models
from compression.adaptation.paired import Paired, PairedLoss, against, losses_against
from compression.adaptation.types import LANGUAGE_MODELLING, TASKS, AdaptReport, AdaptRun, AdaptSettings
from compression.commands.shared import (
    SCHEMAS,
    JsonOption,
    SettingOption,
    app,
    check_output,
    mean_and_spread,
    named,
    output,
    run,
    settings_given,
    show_notes,
    show_table,
    write,
)
from compression.errors import UserError
from compression.recipe import Settings

MAX_SEEDS = 20
EVERY_METHOD = "all"
_DEFAULTS = AdaptSettings("", "", "")


@dataclass(frozen=True)
class AdaptTable(AdaptReport):
    """What ``adapt --json`` writes: the report, and every method beside full fine-tuning where that is among them.

    Attributes:
        against_full: differences in accuracy, paired over the items.
        losses_against: differences in the loss of language models, paired over the windows.
    """

    against_full: tuple[Paired, ...] = ()
    losses_against: tuple[PairedLoss, ...] = ()


SCHEMAS |= {"adapt": AdaptTable}


@app.command()
def adapt(
    model: Annotated[
        str | None,
        typer.Argument(
            help=f"Encoder for a classification task ({models.DEFAULT_ENCODER} by default), or language model for the "
            f"task {LANGUAGE_MODELLING}: short id, Hub id (owner/name[@revision]) or directory."
        ),
    ] = None,
    method: Annotated[str, typer.Option("--method", help=f"Comma-separated methods, or {EVERY_METHOD}.")] = "finegates",
    task: Annotated[str, typer.Option("--task", metavar="|".join(TASKS), help="What to adapt to.")] = "era",
    train: Annotated[
        str,
        typer.Option(
            "--train",
            metavar="FILE|DIR",
            help="Examples to train on (TSV, CSV, JSON Lines), or a text for the task lm. By default what the task "
            "brings along.",
        ),
    ] = "",
    evaluation: Annotated[
        str, typer.Option("--eval", metavar="FILE|DIR", help="Examples, or a text, to measure on.")
    ] = "",
    target_sparsity: Annotated[
        str, typer.Option("--target-sparsity", help="Comma-separated shares of the gated weights to remove.")
    ] = str(_DEFAULTS.target_sparsity),
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", help="Training time a run; as many steps are taken as fit.")
    ] = _DEFAULTS.max_minutes,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of seeds, from 0.", min=1, max=MAX_SEEDS)] = 1,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Examples a step.")] = _DEFAULTS.batch_size,
    max_length: Annotated[int, typer.Option("--max-length", help="Tokens an example at most.")] = _DEFAULTS.max_length,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Exact number of steps; then the minutes only limit.")
    ] = None,
    setting: SettingOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the adapted models to this directory.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Adapt a model by one method or several, and show what is learned, what is removed, and what it costs."""
    check_output(json_file)
    if model is None:
        model = models.DEFAULT_MODEL if task == LANGUAGE_MODELLING else models.DEFAULT_ENCODER
    base = AdaptSettings(
        model_id=model,
        method="",
        task=task,
        train=train,
        evaluation=evaluation,
        max_minutes=max_minutes,
        steps=steps,
        batch_size=batch_size,
        max_length=max_length,
    )
    runs = planned(base, method, targets_given(target_sparsity), seeds, settings_given(setting))
    for each in runs:
        each.check()
    from compression.workbench import get_workbench

    report = run(get_workbench().adapt(runs, out))
    fields = {field.name: getattr(report, field.name) for field in dataclasses.fields(AdaptReport)}
    table = AdaptTable(**fields, against_full=against(report.runs), losses_against=losses_against(report.runs))
    show(table)
    write(table, json_file)


def targets_given(text: str) -> tuple[float, ...]:
    """What ``--target-sparsity`` was given, read."""
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError as error:
        raise UserError(f"--target-sparsity takes numbers such as 0.4 or 0.2,0.4, but {text!r} was given.") from error


def planned(
    base: AdaptSettings, method: str, targets: Sequence[float], seeds: int, settings: Settings
) -> tuple[AdaptSettings, ...]:
    """The runs that a command line asks for: every method, at every target if it removes something, with every seed.

    Args:
        base: what all runs have in common.
        method: comma-separated names, or ``all`` for those that know the task.
        targets: target sparsities.
        seeds: number of seeds.
        settings: each goes to the methods that have it.

    Raises:
        UserError: for an unknown method, a method that does not know the task, or a setting that no method has.
    """
    from compression.adaptation.methods import METHODS, create_method

    if method.strip() == EVERY_METHOD:
        names = [name for name, known in METHODS.items() if base.task in known.tasks]
    else:
        names = list(dict.fromkeys(name.strip() for name in method.split(",") if name.strip()))
    if not names:
        raise UserError(f"--method takes names such as {', '.join(METHODS)}, or {EVERY_METHOD}.")
    known_settings = {}
    for name in names:
        create_method(name)  # refuses an unknown name
        if base.task in TASKS and base.task not in METHODS[name].tasks:
            raise UserError(f"{name} does not do the task {base.task}: expected {', '.join(METHODS[name].tasks)}.")
        known_settings[name] = {field.name for field in dataclasses.fields(METHODS[name])}
    for unknown in [key for key, _ in settings if not any(key in known for known in known_settings.values())]:
        every = sorted(set().union(*known_settings.values()))
        raise UserError(f"{', '.join(names)} has no setting {unknown!r}: expected one of {', '.join(every) or 'none'}.")
    planned_runs = []
    for name in names:
        own = tuple(sorted((key, value) for key, value in settings if key in known_settings[name]))
        create_method(name, **dict(own))  # refuses a value out of range
        # One target for all runs that remove nothing, so that they are found in the cache whatever is asked for.
        for target in targets if METHODS[name].removes else (base.target_sparsity,):
            planned_runs += [
                dataclasses.replace(base, method=name, target_sparsity=target, seed=seed, settings=own)
                for seed in range(seeds)
            ]
    return tuple(planned_runs)


def show(report: AdaptTable) -> None:
    """Print the table, then cautions, then what is paired."""
    output.print(
        f"{named(report.model_id, report.model_note)}, task {report.task}: trained on {report.train_source}; measured "
        f"on {report.evaluation_source}.",
        highlight=False,
        markup=False,
    )
    if report.majority is not None:
        output.print(f"Always answering the most frequent class: accuracy {report.majority:.1%}.", highlight=False)
    show_table(rows(report))
    for line in cautions(report.runs):
        output.print(f"note: {line}", highlight=False, markup=False)
    for pair in report.against_full:
        output.print(difference(pair), highlight=False, markup=False)
    for loss in report.losses_against:
        output.print(loss_difference(loss), highlight=False, markup=False)
    show_notes(tuple(dict.fromkeys(note for each in report.runs for note in each.notes)))


def grouped(runs: Sequence[AdaptRun]) -> list[list[AdaptRun]]:
    """The seeds of each method and target together."""
    groups: dict[tuple[str, float | None], list[AdaptRun]] = {}
    for each in runs:
        groups.setdefault((each.method, each.target_sparsity), []).append(each)
    return list(groups.values())


def rows(report: AdaptReport) -> list[tuple[str, ...]]:
    """The table's cells, header first: means over seeds, for quality with the standard deviation."""
    language = report.task == LANGUAGE_MODELLING
    quality = ("perplexity",) if language else ("accuracy, %", "F1, %")
    cells = [
        (
            "method",
            "target",
            "removed",
            "soft",
            "trained parameters",
            *quality,
            "latency ÷ dense",
            "training, s",
            "peak memory, MB",
            "seeds",
        )
    ]
    for group in grouped(report.runs):
        first = group[0]
        scores = (
            [mean_and_spread([each.perplexity for each in group], 1, 2)]
            if language
            else [
                mean_and_spread([each.accuracy for each in group], 100, 1),
                mean_and_spread([each.f1 for each in group], 100, 1),
            ]
        )
        removes = first.target_sparsity is not None
        cells.append(
            (
                first.method,
                f"{first.target_sparsity:g}" if removes else "",
                mean_and_spread([each.removed_fraction for each in group], 1, 3) if removes else "",
                mean_and_spread([each.soft_sparsity for each in group], 1, 3),
                f"{first.trainable_parameters:,}",
                *scores,
                mean_and_spread([each.latency_ratio for each in group], 1, 2),
                f"{statistics.fmean(each.train_seconds for each in group):.0f}",
                f"{max(each.peak_memory_bytes for each in group) / 1e6:.0f}",
                str(len(group)),
            )
        )
    return cells


def cautions(runs: Sequence[AdaptRun]) -> list[str]:
    """Each method's warning once, and every run that ended early."""
    said = dict.fromkeys(f"{each.method}: {each.warning}" for each in runs if each.warning)
    stopped = [f"{each.method}, seed {each.seed}: {each.stopped}" for each in runs if each.stopped]
    return [*said, *stopped]


def difference(pair: Paired) -> str:
    """A difference as a sentence."""
    target = f" at {pair.target_sparsity:g}" if pair.target_sparsity is not None else ""
    return (
        f"{pair.method}{target} − {pair.reference}: {100 * pair.difference:+.1f} points of accuracy (95 % "
        f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}; bootstrap over {pair.items} items, averaged over "
        f"{pair.seeds} and {pair.reference_seeds} seeds)."
    )


def loss_difference(pair: PairedLoss) -> str:
    """A difference in loss as a sentence."""
    target = f" at {pair.target_sparsity:g}" if pair.target_sparsity is not None else ""
    error = "" if pair.standard_error is None else f" ± {pair.standard_error:.4f}"
    return (
        f"{pair.method}{target} − {pair.reference}: {pair.difference:+.4f}{error} nats a token, paired over "
        f"windows ({pair.windows})."
    )
