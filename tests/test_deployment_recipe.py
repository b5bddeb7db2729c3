"""Recipe files: what is read, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from compression.deployment.recipe import PipelineRecipe, read_recipe, recipe_text
from compression.errors import UserError

GOOD = """model: smollm2-135m-q4
compress:
  method: compot
  ratio: 0.3
distill: {rank: 4}
quantize: {bits: 3}
tune:
  objectives: [perplexity]
  search:
    distill.learning_rate: {low: 1e-5, high: 1e-2, log: true}
    distill.rank: {choices: [4, 8]}
    compress.ratio: {low: 0.1, high: 0.5}
"""


def read(folder: Path, text: str) -> PipelineRecipe:
    file = folder / "r.yaml"
    file.write_text(text, encoding="utf-8")
    return read_recipe(file)


def test_a_recipe_is_read_with_its_defaults(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert recipe.compress is not None and recipe.compress.ratio == 0.3 and recipe.compress.policy == "own"
    assert recipe.quantize is not None and recipe.quantize.group_size == 128
    assert recipe.benchmark is None and recipe.latency is None
    assert recipe.tune is not None and recipe.tune.search["distill.learning_rate"].low == 1e-5
    changed = recipe.with_values({"distill.rank": 8, "compress.ratio": 0.5})
    assert changed.distill is not None and changed.distill.rank == 8
    listed = read(tmp_path, GOOD + "benchmark: {tasks: [piqa, siqa]}\n").benchmark
    assert listed is not None and listed.tasks == "piqa,siqa"
    assert recipe.distill is not None and recipe.distill.rank == 4


def test_a_field_may_be_called_as_its_option(tmp_path: Path) -> None:
    plain = "model: m\ncompress: {ratio: 0.3}\ndistill: {what: lora, minutes: 2}\n"
    options = "model: m\ncompress: {removed: 0.3}\ndistill: {train_what: lora, max_minutes: 2}\n"
    assert read(tmp_path, options) == read(tmp_path, plain)
    assert "ratio: 0.3" in recipe_text(read(tmp_path, options)), "what is kept has one name"
    searched = read(tmp_path, GOOD.replace("compress.ratio:", "compress.removed:"))
    changed = searched.with_values({"compress.removed": 0.5, "distill.max_minutes": 3}).model_dump()
    assert changed["compress"]["ratio"] == 0.5 and changed["distill"]["minutes"] == 3
    assert searched.is_whole_number("distill.rank") and not searched.is_whole_number("compress.removed")


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("ratio: 0.3", "removed: 1.3", 4, "compress.removed", "less than or equal to 0.95, but 1.3 was given"),
        ("ratio: 0.3", "ratio: 0.3\n  removed: 0.3", 2, "compress", "ratio and removed are two names of one field"),
        ("rank: 4", "what: lora, train_what: lora", 5, "distill", "what and train_what are two names of one field"),
        ("low: 0.1, high: 0.5}", "low: 0.1, high: 0.5}\n    compress.removed: {low: 0.1, high: 0.5}", 13,
         "tune.search.compress.removed", "it is searched as compress.ratio already"),
        ("ratio: 0.3", "ratio: 1.3", 4, "compress.ratio", "less than or equal to 0.95, but 1.3 was given"),
        ("ratio: 0.3", "ratio: .nan", 4, "compress.ratio", "finite number"),
        ("ratio: 0.3", "ration: 0.3", 4, "compress.ration", "no such field; expected one of method, policy, ratio"),
        ("method: compot", "method: compost", 2, "compress", "compost"),
        ("rank: 4", "rank: four", 5, "distill.rank", "integer"),
        ("rank: 4", "what: all", 5, "distill.what", "'factors' or 'lora'"),
        ("bits: 3", "bits: 3, group_size: 2", 6, "quantize", "at least 8"),
        ("bits: 3", "bits: [3]", 6, "quantize.bits", "integer"),
        ("quantize: {bits: 3}", "quantize: 3", 6, "quantize", "but 3 was given"),
        ("quantize: {bits: 3}", "distill: {rank: 2}", 6, "distill", "it stands in line 5 already"),
        ("model: smollm2-135m-q4", "max_windows: 2", 1, "model", "it is missing"),
        ("[perplexity]", "[perplexity, perplexity]", 8, "tune.objectives", "each objective may be named once"),
        ("tune:", "latency: {format: int9}\ntune:", 7, "latency.format", "'stored', 'bfloat16', 'int8'"),
        ("tune:", "benchmark: {tasks: [3]}\ntune:", 7, "benchmark.tasks", "a valid string"),
        ("[perplexity]", "[accuracy]", 8, "tune.objectives.0", "'perplexity', 'bytes' or 'latency'"),
        ("low: 0.1, high: 0.5", "low: 0.5", 12, "tune.search.compress.ratio", "either low and high or choices"),
        ("low: 0.1, high: 0.5", "low: 0.5, high: 0.1", 12, "tune.search.compress.ratio", "low must be below high"),
        ("low: 0.1, high: 0.5", "low: 0.1, high: 1.5", 12, "tune.search.compress.ratio", "but 1.5 was given"),
        ("low: 1e-5", "low: 0", 10, "tune.search.distill.learning_rate", "needs low above 0"),
        ("choices: [4, 8]", "choices: [4, x]", 11, "tune.search.distill.rank", "integer"),
        ("distill.rank:", "distill.rang:", 11, "tune.search.distill.rang", "a field of a stage of this recipe"),
        ("distill.rank:", "benchmark.limit:", 11, "tune.search.benchmark.limit", "a field of a stage of this recipe"),
        ("compress.ratio: {low: 0.1, high: 0.5}", "compress.method: {low: 1, high: 2}", 12, "tune.search", "numbers"),
        ("compress.ratio: {low: 0.1, high: 0.5}", "compress.method: {choices: [x]}", 12, "tune.search", "x"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, field: str, said: str
) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as error:
        read(tmp_path, GOOD.replace(old, new))
    assert f"r.yaml, line {line}, field {field}" in str(error.value)
    assert said in str(error.value)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: x\ncompress: {ratio: 0.3\n", "line 3: this is no YAML"),
        ("model: x\n\tcompress: 1\n", "line 2: this is no YAML"),
        ("- model\n", "line 1, the recipe: a mapping with the field model was expected"),
        ("", "line 1, the recipe: a mapping"),
        ("model: x\n", "at least one of compress, distill and quantize"),
        ("model: x\ndistill: {}\n", "line 2, field distill: a student comes from compress"),
        ("model: !!python/object/apply:os.getcwd []\n", "line 1: this is no YAML"),
        ("model: &a {model: *a}\n", "line 1, field model"),
        ("model: x\0\n", "is no YAML"),
        ("model: x\ncompress: !!bool foo\n", "line 2: this is no YAML .'foo' is not of the kind bool.[.]$"),
        ("model: x\n# a line\nseed: !!int ''\n", "line 3: this is no YAML .'' is not of the kind int.[.]$"),
        ("model: !!float ''\n", "line 1: this is no YAML .'' is not of the kind float.[.]$"),
        ("model: x\nseed: !!timestamp foo\n", "line 2: this is no YAML .'foo' is not of the kind timestamp.[.]$"),
        (
            "model: x\nseed: [1, 2024-99-99]\n",
            "line 2: this is no YAML .'2024-99-99' is not of the kind timestamp.[.]$",
        ),
        (f"model: !!float {':'.join(['9'] * 300)}\n", "line 1: this is no YAML .*is not of the kind float"),
        (f"model: 0x{'f' * 5000}\n", "line 1, field model: it should be a valid string, but … was given[.]$"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"model: \xff\xfe")
    with pytest.raises(UserError, match="no text in UTF-8"):
        read_recipe(tmp_path / "bytes.yaml")
    (tmp_path / "large.yaml").write_text("#" * (2**20 + 1))
    with pytest.raises(UserError, match="too large for a recipe"):
        read_recipe(tmp_path / "large.yaml")


@pytest.mark.parametrize("file", sorted((Path(__file__).parent.parent / "assets" / "recipes").glob("*.yaml")))
def test_the_recipes_that_are_shipped_are_right(file: Path) -> None:
    assert read_recipe(file).compress is not None
