"""The model card of an exported model: front matter for the Hub, what was done, sizes, how to make and load it again.

Everything that comes from outside (names, notes, files) is quoted for the language it stands in: JSON strings in YAML,
escaped punctuation in Markdown, shell quotes and long enough fences in code.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from compression.recipe import Recipe, command_line
from compression.types import (
    CalibrationSettings,
    CompressionReport,
    Environment,
    PerplexityReport,
    SpeechCalibration,
    TranscriptionReport,
)

LIBRARY = "compression-cost-explorer"
PLACE = "FOLDER"
"""Stands for the directory in the reproduction command: where the copy is written."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+|~$&!])")


@dataclass(frozen=True)
class Base:
    """What is known of a model of the catalogue, as published on the Hub: repository, licence and language."""

    repo_id: str
    license: str
    language: str


BASES = {
    "smollm2-135m-q4": Base("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0", "en"),
    "smollm2-135m": Base("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0", "en"),
    "pythia-70m": Base("EleutherAI/pythia-70m", "apache-2.0", "en"),
    "gpt2": Base("openai-community/gpt2", "mit", "en"),
    "whisper-tiny.en": Base("openai/whisper-tiny.en", "apache-2.0", "en"),
    "whisper-base": Base("openai/whisper-base", "apache-2.0", ""),
}
"""Catalogue id → base model."""
_REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:@[\w./-]+)?")


@dataclass(frozen=True)
class Card:
    """What a model card is made from; nothing in it names a place on somebody's machine.

    Attributes:
        name: of the exported directory.
        title: of the dense model, for people.
        note: a caution that belongs wherever its figures appear.
        speech: whether it writes down speech.
        report: what was done.
        recipe: what was asked for, where that is known.
        environment: where it was made.
        measurement: how it was measured, if it was.
    """

    name: str
    title: str
    note: str
    speech: bool
    report: CompressionReport
    recipe: Recipe | None
    environment: Environment
    measurement: PerplexityReport | TranscriptionReport | None = None


def snippet(place: str) -> str:
    """Python that loads what was exported; `place` is a directory or a Hub id."""
    return (
        "from compression.export import from_pretrained\n\n"
        f"small = from_pretrained({json.dumps(place)})\n"
        "small.model      # a transformers model with compressed layers, ready to run\n"
        "small.source.tokenizer\n"
        "small.report     # the plan, every layer, bits, errors, notes"
    )


def render(card: Card) -> str:
    """The card as Markdown with YAML front matter."""
    report, plan = card.report, card.report.plan
    parts = [
        _front_matter(card),
        f"# {plain(card.title)}, compressed with {plain(plan.method)}",
        _paragraph(card),
        "## Size",
        _table(
            ("", "original", "stored", "removed"),
            (
                ("compressible layers", *_sizes(_original_site_bits(report), report.site_stored_bits)),
                ("whole model", *_sizes(report.original_bits, report.stored_bits)),
            ),
        ),
        "Original: 16 bits a weight. `model.safetensors` holds the stored bits and a header.",
        "## Stages",
        _table(("stage", "seconds"), [(plain(name), f"{took:.1f}") for name, took in report.stages.items()]),
        _table(("layers stored as", "count"), [(plain(kind), str(count)) for kind, count in _kinds(report)]),
    ]
    if card.measurement is not None:
        parts += ["## Measured", _measured(card.measurement)]
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {plain(note)}" for note in report.notes[:12])]
        if len(report.notes) > 12:
            parts.append(f"{len(report.notes) - 12} more are in `compression.json`.")
    if card.recipe is not None:
        parts += ["## Make it again", _reproduction(card, card.recipe)]
    loading = (
        f"With the package `{LIBRARY}` (`pip install .` in its repository) and no code from here; only safetensors are "
        "read:"
    )
    parts += ["## Load it", loading, fenced(snippet(card.name), "python")]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any in the code."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _front_matter(card: Card) -> str:
    plan = card.report.plan
    known = BASES.get(plan.model_id)
    repository = _REPOSITORY.fullmatch(plan.model_id)
    entries: dict[str, Any] = {"library_name": LIBRARY}
    if known is not None:
        entries |= {"base_model": known.repo_id, "license": known.license}
        entries |= {"language": known.language} if known.language else {}
    elif repository is not None and not plan.model_id.startswith("."):
        entries["base_model"] = repository[1]
    entries["pipeline_tag"] = "automatic-speech-recognition" if card.speech else "text-generation"
    entries["tags"] = ["compression", plan.method, plan.allocation.policy]
    # A JSON value on one line is a YAML value.
    lines = [f"{key}: {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join(["---", *lines, "---"])


def _paragraph(card: Card) -> str:
    report, plan = card.report, card.report.plan
    note = f" ({plain(card.note)})" if card.note else ""
    calibration = "no calibration"
    if isinstance(plan.calibration, CalibrationSettings):
        settings = plan.calibration
        calibration = (
            f"calibrated on {settings.num_sequences} × {settings.sequence_length} tokens of "
            f"{plain(settings.text.name)} (SHA-256 `{settings.fingerprint[:16]}…`)"
        )
    elif isinstance(plan.calibration, SpeechCalibration):
        heard = plan.calibration.source
        count = min(plan.calibration.num_sequences, heard.num_clips)
        calibration = f"calibrated on {count} recordings of {plain(heard.name)} (SHA-256 `{heard.fingerprint[:16]}…`)"
    caution = f"\n\n**The original was {plain(card.note)}; every figure here was made with it.**" if card.note else ""
    made = card.environment
    return (
        f"{plain(plan.model_id)}{note} with its linear layers compressed by the method {plain(plan.method)} under the "
        f"policy {plain(plan.allocation.policy)}: {report.removed_fraction:.2%} of these layers and "
        f"{report.whole_model_removed_fraction:.2%} of the whole model removed, {calibration}. SHA-256 of the 16-bit "
        f"weights it was made from: `{plan.weights_hash}`. Made by {LIBRARY} {plain(made.version)} with torch "
        f"{plain(made.torch)} and transformers {plain(made.transformers)}; threads: {made.threads}.{caution}"
    )


def _original_site_bits(report: CompressionReport) -> int:
    return report.original_bits - report.stored_bits + report.site_stored_bits


def _sizes(original: int, stored: int) -> tuple[str, str, str]:
    def size(bits: int) -> str:
        return f"{bits:,} bits = {bits // 8:,} bytes"

    return size(original), size(stored), f"{1 - stored / original:.2%}" if original else "nothing to remove"


def _kinds(report: CompressionReport) -> list[tuple[str, int]]:
    return Counter(site.representation for site in report.sites).most_common()


def _table(header: tuple[str, ...], rows: Any) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ("---",) * len(header), *rows])


def _measured(report: PerplexityReport | TranscriptionReport) -> str:
    if isinstance(report, PerplexityReport):
        spread = "" if report.perplexity_stderr is None else f" ± {report.perplexity_stderr:.2f} (standard error)"
        return (
            f"Perplexity {report.perplexity:.2f}{spread} on {plain(report.text.name)}: {plain(report.convention)}; "
            f"{report.tokens} tokens."
        )
    interval = "" if report.wer_low is None else f" (95 % {report.wer_low:.2%} to {report.wer_high:.2%})"
    return (
        f"Word error rate {report.wer:.2%}{interval} on {plain(report.source.name)}, {report.clips} recordings: "
        f"{plain(report.convention)}."
    )


def _reproduction(card: Card, recipe: Recipe) -> str:
    local = [name for name in (recipe.model_id, recipe.calibration_text) if name.startswith("./")]
    where = f", in the folder that holds {' and '.join(plain(name[2:]) for name in local)}" if local else ""
    return f"The same weights, byte for byte, on a machine like that one{where}:\n\n" + fenced(
        command_line(recipe, PLACE), "bash"
    )
