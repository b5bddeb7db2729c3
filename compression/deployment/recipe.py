"""What a recipe file may say, and reading one: whatever is wrong is named with its line and its field.

Names of files are looked up from the folder in which the command runs, as on the command line. A field that an option
of the command line calls otherwise may be written as that option is, with underscores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from compression.adaptation.types import MAX_SEED
from compression.errors import UserError
from compression.quantization.formats_report import FastFormat
from compression.quantization.report import MAX_SWEEPS, SWEEPS
from compression.recipe import Recipe
from compression.recipe_file import Lines, Section, first_problem, read_sections, wrong
from compression.types import MAX_REMOVED_FRACTION

OBJECTIVES = ("perplexity", "bytes", "latency")

Value = bool | int | float | str
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Count = Annotated[int, Field(ge=1, le=65536)]

OPTIONS = {"ratio": "removed", "what": "train_what", "minutes": "max_minutes"}
"""Field → the name of its option on the command line, where the two differ."""
FIELDS = {option: field for field, option in OPTIONS.items()}


def _names(field: str) -> pydantic.AliasChoices:
    return pydantic.AliasChoices(field, OPTIONS[field])


class StageSection(Section):
    """Settings of a stage, under their own names or those of the command line."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named_once(cls, given: Any) -> Any:
        for field, option in OPTIONS.items() if isinstance(given, dict) else ():
            if field in cls.model_fields and field in given and option in given:
                raise ValueError(f"{field} and {option} are two names of one field: give one of them")
        return given


class CompressSection(StageSection):
    """What ``compress`` is asked.

    Attributes:
        method: compression method.
        policy: allocation policy; ``own`` for the one the method was published with.
        ratio: share of the compressible weights to remove.
        calibration: name of a text or a file; empty for the built-in one.
        calibration_sequences: number of them.
        sequence_length: tokens each.
        gradient_sequences: for the output gradients, where they are needed.
        seed: of the choice of sequences.
        settings: of the method, by name.
    """

    method: str = "compot-fisher"
    policy: str = "own"
    ratio: float = Field(default=0.2, ge=0, le=MAX_REMOVED_FRACTION, validation_alias=_names("ratio"))
    calibration: str = ""
    calibration_sequences: Count = 32
    sequence_length: Count = 512
    gradient_sequences: Count = 32
    seed: Seed = 0
    settings: dict[str, float] = {}

    def recipe(self, model_id: str) -> Recipe:
        """The same for the engine."""
        return Recipe(
            model_id,
            self.method,
            self.policy,
            self.ratio,
            self.calibration,
            self.calibration_sequences,
            self.sequence_length,
            gradient_sequences=self.gradient_sequences,
            seed=self.seed,
            settings=tuple(self.settings.items()),
        )


class DistillSection(StageSection):
    """What ``distill`` is asked; the teacher is the dense model.

    Attributes:
        what: the compressed layers' own factors, or adapters beside all layers.
        optimizer: AdamW, or Muon for matrices.
        minutes: training time; as many steps are taken as fit.
        steps: exact number of steps instead, the same on every machine.
        rank: of the adapters.
        lora_alpha: of the adapters, divided by the rank.
        temperature: T, by which logits are divided.
        alpha: share of the distance to the teacher in the loss.
        learning_rate: at the peak; 0 for the default.
        seed: of initialisation and of the order of the text.
        train: name of a text to learn from, or a file; empty for the built-in one.
    """

    what: Literal["factors", "lora"] = Field(default="lora", validation_alias=_names("what"))
    optimizer: Literal["adamw", "muon"] = "adamw"
    minutes: float = Field(default=10.0, ge=0.05, le=24 * 60, validation_alias=_names("minutes"))
    steps: int | None = Field(default=None, ge=1, le=10**6)
    rank: int = Field(default=8, ge=1, le=1024)
    lora_alpha: float = Field(default=16.0, ge=0.01, le=4096)
    temperature: float = Field(default=2.0, ge=0.1, le=100)
    alpha: float = Field(default=0.5, ge=0, le=1)
    learning_rate: float = Field(default=0.0, ge=0, le=1)
    seed: Seed = 0
    train: str = ""


class QuantizeSection(Section):
    """What ``quantize`` is asked; GPTQ does it.

    Attributes:
        bits: of a code.
        group_size: neighbouring weights of a row that share a scale; 0 for whole rows.
        act_order: whether the inputs with most energy come first.
        symmetric: whether the grid is symmetric around zero.
        damping: of the Gram matrices, as a share of their mean diagonal.
        sweeps: how often GPTQ's scales and codes are gone through again; 0 for GPTQ as published.
        calibration: name of a text or a file; empty for the built-in one.
        calibration_sequences: number of them.
        sequence_length: tokens each.
        seed: of the choice of sequences.
    """

    bits: int = Field(default=4, ge=2, le=8)
    group_size: int = Field(default=128, ge=0)
    act_order: bool = False
    symmetric: bool = False
    damping: float = Field(default=0.01, gt=0, le=1)
    sweeps: int = Field(default=SWEEPS, ge=0, le=MAX_SWEEPS)
    calibration: str = ""
    calibration_sequences: Count = 32
    sequence_length: Count = 512
    seed: Seed = 0

    def recipe(self, model_id: str) -> Recipe:
        """What the engine calibrates on."""
        return Recipe(
            model_id,
            calibration_text=self.calibration,
            num_sequences=self.calibration_sequences,
            sequence_length=self.sequence_length,
            seed=self.seed,
        )


def _joined(tasks: object) -> object:
    named = isinstance(tasks, list) and tasks and all(isinstance(each, str) for each in tasks)
    return ",".join(tasks) if named and isinstance(tasks, list) else tasks


class BenchmarkSection(Section):
    """What ``benchmark`` is asked, of the dense and of the final model.

    Attributes:
        tasks: task ids, as a list or comma-separated, or ``all``.
        data: folder of items; empty for the Hub.
        limit: items a task at most, of MMLU equally many a subject; None for all.
    """

    tasks: Annotated[str, pydantic.BeforeValidator(_joined)] = "all"
    data: str = ""
    limit: int | None = Field(default=None, ge=1, le=10**6)


class LatencySection(Section):
    """What ``latency`` is asked, of the dense model in float32 and the final model in turns.

    Attributes:
        format: what the final model computes in: ``stored`` for expanding what it stores, or a format of ``formats``.
        prompt_tokens: tokens in the prefill.
        decode_tokens: tokens decoded one by one.
    """

    format: Literal["stored", FastFormat] = "stored"
    prompt_tokens: int = Field(default=128, ge=1, le=65536)
    decode_tokens: int = Field(default=16, ge=1, le=65536)


class Span(Section):
    """Where a setting may lie: from `low` to `high`, or one of `choices`.

    Attributes:
        low: smallest value.
        high: largest value.
        log: whether factors count rather than differences.
        choices: the values themselves.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()

    @pydantic.model_validator(mode="after")
    def _either(self) -> Span:
        bounds = self.low is not None and self.high is not None
        if bounds == bool(self.choices) or (self.choices and (self.low, self.high, self.log) != (None, None, False)):
            raise ValueError("either low and high or choices were expected")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError("a logarithmic scale needs low above 0")
        return self

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values that must be possible if all are."""
        return self.choices or tuple(each for each in (self.low, self.high) if each is not None)


class TuneSection(Section):
    """What ``tune`` searches.

    Attributes:
        objectives: what is made small, one to three of `OBJECTIVES`; bytes are those of the stored model, latency is
            the milliseconds a decoded token takes. With latency in another format than the stored one, bytes and
            perplexity are of that format too.
        search: ``section.field`` → where its value may lie.
        startup_trials: so many trials are drawn at random, and none is pruned before so many are complete.
        seed: of the search.
    """

    objectives: tuple[Literal["perplexity", "bytes", "latency"], ...] = Field(default=("perplexity",), min_length=1)
    search: dict[str, Span] = Field(min_length=1)
    startup_trials: int = Field(default=5, ge=1, le=1000)
    seed: Seed = 0

    @pydantic.field_validator("objectives")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each objective may be named once")
        return value


class PipelineRecipe(Section):
    """A whole recipe.

    Attributes:
        model: catalogue id, Hub id or directory of a dense language model.
        text: name of the text to measure on, or a file; empty for the built-in one.
        window: tokens a window.
        max_windows: number of windows; None for all.
        compress: the first stage, if there is one.
        distill: the second.
        quantize: the third.
        benchmark: measured at the end.
        latency: measured at the end.
        tune: what ``tune`` searches; ``pipeline`` takes no notice of it.
    """

    model: str = Field(min_length=1)
    text: str = ""
    window: int = Field(default=1024, ge=2, le=65536)
    max_windows: int | None = Field(default=None, ge=1)
    compress: CompressSection | None = None
    distill: DistillSection | None = None
    quantize: QuantizeSection | None = None
    benchmark: BenchmarkSection | None = None
    latency: LatencySection | None = None
    tune: TuneSection | None = None

    def with_values(self, values: Mapping[str, Value]) -> PipelineRecipe:
        """The same with other values of some fields, by ``section.field``.

        Raises:
            pydantic.ValidationError: if a value is out of range.
        """
        plain = self.model_dump()
        for path, value in values.items():
            section, field = setting_at(path)
            plain[section][field] = value
        return PipelineRecipe.model_validate(plain)

    def is_whole_number(self, path: str) -> bool:
        """Whether the field at ``section.field`` takes whole numbers alone."""
        section, field = setting_at(path)
        return type(getattr(self, section)).model_fields[field].annotation in (int, int | None)


def setting_at(path: str) -> tuple[str, str]:
    """Section and field at ``section.field``, the field under its own name."""
    section, _, field = path.partition(".")
    return section, FIELDS.get(field, field)


def read_recipe(file: Path) -> PipelineRecipe:
    """Read and check a recipe; no model is loaded.

    Args:
        file: YAML in UTF-8.

    Raises:
        UserError: if the file cannot be read, or with line and field if something in it is wrong.
    """
    recipe, lines = read_sections(file, PipelineRecipe)
    _check_stages(file, lines, recipe)
    _check_search(file, lines, recipe)
    return recipe


def recipe_text(recipe: PipelineRecipe) -> str:
    """A recipe as a file holds it: what was asked for, without defaults that nobody named."""
    return yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)


def _check_stages(file: Path, lines: Lines, recipe: PipelineRecipe, before: tuple[str, ...] = ()) -> None:
    """What depends on more than one field, and on the methods that there are."""
    from compression.quantization.grid import QuantizationSettings

    if not (recipe.compress or recipe.distill or recipe.quantize):
        raise wrong(file, lines, (), "at least one of compress, distill and quantize was expected")
    if recipe.distill and not recipe.compress:
        raise wrong(file, lines, ("distill",), "a student comes from compress: add that section, or leave this out")
    section = "compress"
    try:
        if recipe.compress:
            asked = recipe.compress.recipe(recipe.model)
            asked.check()
            asked.build_method()
        section = "quantize"
        if recipe.quantize:
            QuantizationSettings(recipe.quantize.bits, recipe.quantize.group_size).check()
    except UserError as error:
        raise wrong(file, lines, before or (section,), str(error).rstrip(".")) from error


def _check_search(file: Path, lines: Lines, recipe: PipelineRecipe) -> None:
    """Every setting that is searched is one of a stage, and the recipe is possible with each of its values alone."""
    searched: dict[tuple[str, str], str] = {}
    for path, span in recipe.tune.search.items() if recipe.tune else ():
        where = ("tune", "search", path)
        section, field = setting_at(path)
        stage = getattr(recipe, section) if section in ("compress", "distill", "quantize") else None
        if stage is None or field not in type(stage).model_fields or field == "settings":
            raise wrong(file, lines, where, "a field of a stage of this recipe was expected, such as distill.rank")
        if (section, field) in searched:
            raise wrong(file, lines, where, f"it is searched as {searched[section, field]} already")
        searched[section, field] = path
        if not span.choices and type(stage).model_fields[field].annotation not in (int, int | None, float):
            raise wrong(file, lines, where, "low and high are for numbers; name choices instead")
        for value in span.extremes:
            try:
                _check_stages(file, lines, recipe.with_values({path: value}), where)
            except pydantic.ValidationError as error:
                raise first_problem(file, lines, PipelineRecipe, error, where) from error
