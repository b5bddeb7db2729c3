"""``bench solver``, ``cospadi``, ``inference`` and ``memory``: time and memory beside what bounds them."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from compression import models, texts
from compression.benchmarks import cospadi, inference_report, memory_report, solver
from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    DampingOption,
    GradientsOption,
    IterationsOption,
    JsonOption,
    LengthOption,
    MethodOption,
    ModelArgument,
    PinOption,
    PolicyOption,
    PresetOption,
    RatioOption,
    RemovedOption,
    SeedOption,
    SequencesOption,
    SettingOption,
    StreamOption,
    TextOption,
    bench,
    check_output,
    markdown_table,
    named,
    output,
    pins_given,
    recipes_over,
    run,
    settings_given,
    show_table,
    words_given,
    write,
)
from compression.recipe import PRESETS, Recipe

SCHEMAS |= {
    "bench memory": memory_report.MemoryBenchmark,
    "bench inference": inference_report.InferenceBenchmark,
    "bench solver": solver.SolverBenchmark,
    "bench cospadi": cospadi.CoSpaDiBenchmark,
}


@bench.command("solver")
def bench_solver(
    model: Annotated[str, typer.Option("--model", help="Catalogue id, Hub id (owner/name[@revision]) or directory.")],
    methods: Annotated[str | None, typer.Option(help="Comma-separated methods; by default the fast ones.")] = None,
    policy: PolicyOption = "uniform",
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    seed: SeedOption = 0,
    iterations: IterationsOption = None,
    atoms_per_nonzero: RatioOption = None,
    damping: DampingOption = None,
    setting: SettingOption = None,
    preset: PresetOption = PRESETS[0],
    json_file: JsonOption = None,
) -> None:
    """Time every method on a whole model, beside the bare matrix products of its alternations."""
    from compression.benchmarks.solver import benchmark_solver
    from compression.methods import fast_methods
    from compression.workbench import get_workbench

    recipes = recipes_over(
        model,
        list(fast_methods()) if methods is None else words_given(methods, "--methods"),
        [policy],
        [removed],
        calibration_text=calibration,
        num_sequences=calibration_sequences,
        sequence_length=sequence_length,
        iterations=iterations,
        atoms_per_nonzero=atoms_per_nonzero,
        damping=damping,
        gradient_sequences=gradient_sequences,
        seed=seed,
        settings=settings_given(setting),
        preset=preset,
    )
    check_output(json_file)
    report = run(benchmark_solver(get_workbench(), recipes))
    table = Table("method", "compress, s", "GFLOP/s", "bare products, s", "GFLOP/s", "× products", "× svd-llm")
    for timing in report.methods:
        cells = (
            (timing.compress_seconds, 1),
            (timing.gflops_per_second, 0),
            (timing.sgemm_seconds, 1),
            (timing.sgemm_gflops_per_second, 0),
            (timing.ratio_to_sgemm, 2),
            (timing.ratio_to_svd_llm, 2),
        )
        table.add_row(timing.method, *("" if value is None else f"{value:.{digits}f}" for value, digits in cells))
    output.print(table)
    for timing in report.methods:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timing.stages.items())
        output.print(f"{timing.method}: {stages}", highlight=False)
    environment = report.environment
    output.print(
        f"{named(report.model_id, report.model_note)}, {report.policy}, {report.removed_fraction:g} removed; "
        f"{environment.threads} threads of {environment.processor}, commit {environment.commit}; {report.convention}.",
        highlight=False,
    )
    write(report, json_file)


@bench.command("cospadi")
def bench_cospadi(
    model: ModelArgument = models.DEFAULT_MODEL,
    block: Annotated[
        int | None, typer.Option(help="Block whose sites are factorised; the middle one by default.")
    ] = None,
    iterations: Annotated[int, typer.Option(help="Alternations of CoSpaDi; the paper's 60.")] = 60,
    compot_iterations: Annotated[int, typer.Option(help="Alternations of COMPOT.")] = 20,
    threads: Annotated[int, typer.Option(help="Threads of either method, one site at a time.")] = 1,
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Time COMPOT and CoSpaDi on the same sites: at their published budgets, and at equal error (minutes)."""
    from compression.benchmarks.cospadi import benchmark_cospadi
    from compression.workbench import get_workbench

    recipe = Recipe(model, "compot", "uniform", removed, calibration, calibration_sequences, sequence_length)
    check_output(json_file)
    report = run(benchmark_cospadi(get_workbench(), recipe, block, iterations, compot_iterations, threads))
    if markdown:
        print(race_markdown(report))
    else:
        show_table(race_rows(report))
        for line in race_captions(report):
            output.print(line, highlight=False)
    write(report, json_file)


def race_markdown(report: cospadi.CoSpaDiBenchmark) -> str:
    """COMPOT against CoSpaDi as a Markdown table with its captions."""
    return "\n".join([*markdown_table(race_rows(report)), "", *race_captions(report)])


def race_rows(report: cospadi.CoSpaDiBenchmark) -> list[tuple[str, ...]]:
    """The cells of the race, header first."""
    header = (
        *("site", "out × in", "k, s", "COMPOT, s", "CoSpaDi, s", "×", "CoSpaDi to COMPOT's error, s", "×"),
        *("COMPOT's squared error", "CoSpaDi's"),
    )
    rows = [
        (
            race.projection,
            f"{race.out_features} × {race.in_features}",
            f"{race.num_atoms}, {race.nonzeros_per_column}",
            f"{race.compot_seconds:.2f}",
            f"{race.cospadi_seconds:.1f}",
            f"{race.budget_ratio:.0f}",
            "never"
            if race.catch_up_seconds is None
            else f"{race.catch_up_seconds:.1f} ({race.catch_up_iterations:g} it.)",
            "" if race.error_ratio is None else f"{race.error_ratio:.0f}",
            f"{race.compot_error:.5f}",
            f"{race.cospadi_error:.5f}",
        )
        for race in report.sites
    ]
    return [header, *rows]


def race_captions(report: cospadi.CoSpaDiBenchmark) -> list[str]:
    """What was found, and where and how."""
    environment = report.environment
    return [
        *report.findings,
        f"{named(report.model_id, report.model_note)}, block {report.block}, {report.removed_fraction:g} removed; "
        f"{report.threads} threads of {environment.processor}, commit {environment.commit}; {report.convention}.",
    ]


@bench.command("inference")
def bench_inference(
    model: ModelArgument = models.DEFAULT_MODEL,
    removed: RemovedOption = 0.4,
    methods: Annotated[str, typer.Option(help="Comma-separated methods; by default the fast ones.")] = "",
    prompt_tokens: Annotated[int, typer.Option(help="Tokens in the prefill.")] = 512,
    decode_tokens: Annotated[int, typer.Option(help="Tokens decoded one by one.")] = 16,
    repeats: Annotated[int, typer.Option(help="Rounds in which dense and compressed take turns.")] = 5,
    iterations: Annotated[int, typer.Option("--iterations", help="Alternations; they do not change speed.")] = 0,
    calibration: CalibrationOption = "",
    json_file: JsonOption = None,
) -> None:
    """Time compressed layers and models against dense and against their own FLOPs and bytes (minutes)."""
    from compression.benchmarks.inference import benchmark_inference
    from compression.workbench import get_workbench

    check_output(json_file)
    names = words_given(methods, "--methods") if methods else None
    settings = removed, prompt_tokens, decode_tokens, repeats, iterations, calibration
    result = run(benchmark_inference(get_workbench(), model, tuple(names) if names else None, *settings))
    for method in result.methods:
        show_inference(result, method)
    for note in result.notes:
        output.print(f"note: {note}", highlight=False)
    write(result, json_file)


def show_inference(
    result: inference_report.InferenceBenchmark, method: inference_report.MethodBenchmark, mib: int = 2**20
) -> None:
    """Print one method's table and what its numbers mean."""
    table = Table(
        *("layers (out × in)", "number", "form", "FLOPs ÷", "executed ÷", "prefill ×", "realised", "of executed"),
        *("bytes read ÷", "decode ×", "in memory, MiB", "stored, MiB"),
        title=f"{method.method}, {method.removed_fraction:.1%} removed",
    )
    for row in (*method.shapes, method.total):
        work = row.work
        table.add_row(
            row.label,
            str(row.layers),
            ", ".join(f"{count} {form}" for form, count in row.execution.items()),
            f"{work.flop_ratio:.2f}",
            f"{work.executed_flop_ratio:.2f}",
            f"{row.prefill.speed_ratio:.2f}",
            f"{row.prefill.realised_share:.2f}",
            f"{row.prefill.executed_share:.2f}",
            f"{work.byte_ratio:.2f}",
            f"{row.decode.speed_ratio:.2f}",
            f"{work.resident_bytes / mib:.1f} (dense {work.dense_resident_bytes / mib:.1f})",
            f"{work.stored_bytes / mib:.1f} (dense {work.dense_stored_bytes / mib:.1f})",
        )
    whole = method.model
    memory = f"{whole.resident_bytes / mib:.1f} (dense {whole.dense_resident_bytes / mib:.1f})"
    speeds = f"{whole.prefill.speed_ratio:.2f}", f"{whole.prefill.realised_share:.2f}", ""
    table.add_row("whole model", "", "", "", "", *speeds, "", f"{whole.decode.speed_ratio:.2f}", memory, "")
    output.print(table)
    for label, timing in (("prefill", whole.prefill), ("decode, a token", whole.decode)):
        dense, small = timing.dense, timing.compressed
        output.print(
            f"whole model, {label}: {small.median_ms:.1f} ms (IQR {small.iqr_ms:.1f}), "
            f"dense {dense.median_ms:.1f} ms (IQR {dense.iqr_ms:.1f}); {result.prompt_tokens} prompt tokens, "
            f"{result.threads} threads on {result.environment.processor}.",
            highlight=False,
        )
    output.print(f"{named(result.model_id, result.model_note)}: {whole.execution}.", highlight=False)
    remarks = [remark for row in (*method.shapes, method.total) for remark in row.remarks]
    for remark in (*remarks, *whole.remarks):
        output.print(f"- {remark}", highlight=False)


@bench.command("memory")
def bench_memory(
    model: ModelArgument = models.DEFAULT_MODEL,
    method: MethodOption = "compot-fisher",
    removed: RemovedOption = 0.2,
    calibration: CalibrationOption = "",
    text: TextOption = texts.DEFAULT_EVALUATION,
    calibration_sequences: SequencesOption = 32,
    sequence_length: LengthOption = 512,
    gradient_sequences: GradientsOption = 32,
    pin: PinOption = None,
    policy: PolicyOption = "own",
    stream: StreamOption = False,
    json_file: JsonOption = None,
) -> None:
    """Set measured peak memory beside the memory model; statistics are made anew, with a seed of their own."""
    from compression.benchmarks.memory import benchmark_memory
    from compression.workbench import get_workbench

    recipe = Recipe(
        model,
        method,
        policy,
        removed,
        calibration,
        calibration_sequences,
        sequence_length,
        gradient_sequences=gradient_sequences,
        seed=time.time_ns() % 2**31,  # nothing of it is in the cache
        pins=pins_given(pin),
    )
    check_output(json_file)
    result = run(benchmark_memory((get_workbench(True) if stream else get_workbench()), recipe, text))
    table = Table("up to and with", "measured peak, GiB", "memory model, GiB", "s")
    for phase in result.phases:
        sizes = (phase.measured_bytes / 2**30, phase.predicted_bytes / 2**30)
        table.add_row(phase.name, *(f"{size:.2f}" for size in sizes), f"{phase.seconds:.0f}")
    output.print(table)
    output.print(f"{named(result.model_id, result.model_note)}; {result.environment.threads} threads.", highlight=False)
    output.print(
        f"Largest peak without the {result.imports_bytes / 2**30:.2f} GiB of the imports: {result.copies:.2f} of one "
        f"float32 copy of the weights ({result.copy_bytes / 2**30:.2f} GiB).",
        highlight=False,
    )
    for other in result.extrapolations:
        output.print(
            f"{other.name}: {other.predicted_bytes / 2**30:.1f} GiB by the memory model, "
            f"{'within' if other.fits else 'beyond'} {result.limit_bytes / 2**30:.0f} GiB.",
            highlight=False,
        )
    write(result, json_file)
