"""``formats``: which formats are faster, and which are only smaller."""

from __future__ import annotations

from typing import Annotated

import typer

from compression.commands.shared import (
    SCHEMAS,
    CalibrationOption,
    JsonOption,
    ModelArgument,
    TextOption,
    WindowOption,
    WindowsOption,
    app,
    check_output,
    named,
    output,
    run,
    show_notes,
    show_table,
    write,
)
from compression.quantization.formats_report import FormatsReport
from compression.recipe import Recipe

SCHEMAS |= {"formats": FormatsReport}


@app.command()
def formats(
    model: ModelArgument,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", help="Tokens in the prefill.")] = 128,
    decode_tokens: Annotated[int, typer.Option("--decode-tokens", help="Tokens decoded one by one.")] = 16,
    repeats: Annotated[int, typer.Option("--repeats", help="Counted rounds.")] = 5,
    calibration: CalibrationOption = "",
    text: TextOption = "",
    window: WindowOption = 1024,
    max_windows: WindowsOption = 4,
    json_file: JsonOption = None,
) -> None:
    """Time a language model in float32, bfloat16, 8 and 4 bits, and packed 4 bits, and measure each on a text."""
    check_output(json_file)
    from compression.workbench import get_workbench

    recipe = Recipe(model, calibration_text=calibration)
    bench = get_workbench()
    report = run(bench.formats(recipe, text, window, max_windows, prompt_tokens, decode_tokens, repeats))
    show(report)
    write(report, json_file)


def show(report: FormatsReport) -> None:
    """Print a line for each format."""
    first = report.formats[0]
    output.print(
        f"{named(report.model_id, report.model_note)}: {report.prompt_tokens} prompt tokens, {report.decode_tokens} "
        f"decoded, threads: {report.threads}; perplexity on {first.measured.text.name}, {first.measured.convention}.",
        highlight=False,
    )
    rows: list[tuple[str, ...]] = [
        ("", "stored, MB", "in memory, MB", "ms a token", "÷ float32", "prefill, ms", "perplexity", "")
    ]
    for each in report.formats:
        share = each.decode.median_ms / first.decode.median_ms
        said = "" if each is first else "faster" if each.faster else "smaller, not faster"
        rows.append(
            (
                each.name,
                f"{each.stored_bits / 8e6:.1f}",
                f"{each.resident_bytes / 1e6:.1f}",
                f"{each.decode.median_ms:.1f} ± {each.decode.iqr_ms / 2:.1f}",
                f"{share:.2f}",
                f"{each.prefill.median_ms:.0f} ± {each.prefill.iqr_ms / 2:.0f}",
                f"{each.perplexity:.2f}",
                said,
            )
        )
    show_table(rows)
    show_notes(report.notes)
