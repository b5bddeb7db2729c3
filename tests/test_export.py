"""What an export says about itself: card, recipe, command; and how a fresh process checks it."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from speech_samples import made_up, write_folder
from test_pipeline import compressed
from tiny import SENTENCES, finish, write_tiny_llama
from tiny_whisper import write_tiny_whisper

import compression.__main__ as command_line_module
from compression import export, exports, model_card, store, verification, workbench
from compression.errors import UserError
from compression.fingerprint import fingerprint, probe_logits
from compression.recipe import Guards, Recipe, command_line
from compression.types import Exported
from compression.verification import verify_directory, verify_export
from compression.workbench import get_workbench
from views.texts import words


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that checks be this one: a new one would spend its time importing."""

    def ask(directory: Path, threads: int) -> Any:
        yield from ()
        loaded = export.load(directory)
        return probe_logits(loaded.model, loaded.source), 0.5

    monkeypatch.setattr(verification, "_ask_a_fresh_process", ask)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    """A model and a calibration text on somebody's disk."""
    write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "words.txt").write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    return tmp_path


def recipe_in(folder: Path, **changes: Any) -> Recipe:
    given = Recipe(
        str(folder / "tiny"),
        "compot",
        "pooled",
        0.3,
        str(folder / "words.txt"),
        num_sequences=4,
        sequence_length=32,
        guards=Guards(0.05, 0.7),
        gradient_sequences=4,
        seed=3,
        pins=(("model.layers.0.mlp.*", 0.1), ("*.q_proj", 0)),
        settings=(("iterations", 3.0), ("atoms_per_nonzero", 1.7)),
    )
    return dataclasses.replace(given, **changes)


def exported(recipe: Recipe) -> Exported:
    return finish(get_workbench().export(recipe))


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"calibration_text": "my text.txt", "num_sequences": 5, "sequence_length": 77, "gradient_sequences": 6},
        {"seed": 9, "iterations": 4, "atoms_per_nonzero": 1.25, "damping": 1e-07, "recalibrate": True},
        {"guards": Guards(0.1, 0.65), "pins": (("a b*", 0.1), ("$(x)", 0.0)), "settings": (("steps", 0.1 + 0.2),)},
        {"preset": "paper", "language": "de", "count_padding": True, "removed_fraction": 1 / 3},
    ],
)
def test_the_command_asks_for_the_same_recipe(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(Recipe("owner/my-model", "compot-fisher", "fisher", 0.25), **changes)
    asked: list[tuple[Recipe, Path]] = []

    class Bench:
        def compress_to(self, recipe: Recipe, out: Path) -> Any:
            asked.append((recipe, out))
            raise UserError("enough.")

    monkeypatch.setattr(workbench, "get_workbench", Bench)
    words_of = shlex.split(command_line(recipe, "out dir"))
    assert words_of[:3] == ["python", "-m", "compression"]
    monkeypatch.setattr(sys, "argv", words_of[2:])
    with pytest.raises(SystemExit):
        command_line_module.main()
    assert asked == [(recipe, Path("out dir"))]


def test_only_what_differs_from_the_defaults_is_said() -> None:
    said = command_line(Recipe("gpt2", "svd", "uniform", 0.2), "out")
    assert said == "python -m compression compress gpt2 --method svd --policy uniform --removed 0.2 --out out"


def test_the_command_of_the_card_gives_the_same_bytes(
    folder: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Path(exported(recipe_in(folder)).directory)
    card = (made / "README.md").read_text(encoding="utf-8")
    command = card.split("```bash\n")[1].split("\n```")[0]
    assert "in the folder that holds tiny and words.txt" in card
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COMPRESSION_CACHE", str(folder / "other cache"))
    monkeypatch.setattr(sys, "argv", [*shlex.split(command)[2:-1], "again"])
    with pytest.raises(SystemExit) as stopped:
        command_line_module.main()
    assert stopped.value.code == 0
    assert (folder / "again" / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()


# --- what is written --------------------------------------------------------------------------------------------------


def test_an_export_names_no_place_on_this_machine(folder: Path, quick: None) -> None:
    made = exported(recipe_in(folder))
    directory = Path(made.directory)
    given_away = export.exported_files(directory)
    assert {path.name for path in given_away} >= {"model.safetensors", "recipe.json", "README.md", "export.json"}
    for path in given_away:
        assert str(folder).encode() not in path.read_bytes(), path.name
    with zipfile.ZipFile(made.archive) as archive:
        assert {name.partition("/")[2] for name in archive.namelist()} == {path.name for path in given_away}
        assert archive.testzip() is None
        assert archive.read(f"{directory.name}/model.safetensors") == (directory / "model.safetensors").read_bytes()
    loaded = export.load(directory)
    assert loaded.recipe == recipe_in(folder) and loaded.source.id == str(folder / "tiny"), "here the paths are known"
    shutil.copytree(directory, folder / "given", ignore=lambda *_: ["local.json"])
    elsewhere = export.from_pretrained(folder / "given")
    assert elsewhere.recipe == dataclasses.replace(recipe_in(folder), model_id="./tiny", calibration_text="./words.txt")


def test_the_recipe_file_says_what_made_it(folder: Path, quick: None) -> None:
    directory = Path(exported(recipe_in(folder)).directory)
    file = store.read_json(directory / "recipe.json", export.RecipeFile)
    report = export.load(directory).report
    assert file.weights_hash == report.plan.weights_hash
    assert report.plan.calibration and file.calibration_fingerprint == report.plan.calibration.fingerprint
    assert file.environment.torch == torch.__version__


HOSTILE = 'x"]\n---\nlicense: evil\n# <script>alert(1)</script> | `` ``` [a](http://b) *c* $d$'


def test_names_and_notes_are_quoted_in_the_card() -> None:
    result = compressed("llama", "svd")
    plan = dataclasses.replace(result.report.plan, model_id=HOSTILE)
    report = dataclasses.replace(result.report, plan=plan, notes=(HOSTILE,))
    recipe = Recipe(HOSTILE, "svd", calibration_text=f"./{HOSTILE}")
    card = model_card.render(
        model_card.Card(HOSTILE, HOSTILE, HOSTILE, False, report, recipe, export.describe_environment())
    )
    front, rest = card.split("\n---\n", 1)
    assert front.startswith("---\n") and "evil" not in front
    for line in front.splitlines()[1:]:
        json.loads(line.split(": ", 1)[1])
    prose = "".join(part for place, part in enumerate(rest.split("````")) if place % 2 == 0)
    assert "<script>" not in prose and "](" not in prose and "\nlicense" not in prose and "\n# \\<" not in prose
    assert prose.count("\n# ") == 1


def test_the_card_names_base_licence_and_caution() -> None:
    result = compressed("llama", "svd")
    plan = dataclasses.replace(result.report.plan, model_id="smollm2-135m-q4")
    report = dataclasses.replace(result.report, plan=plan)
    card = model_card.render(
        model_card.Card("small", "S", "rounded to 4 bits", False, report, None, export.describe_environment())
    )
    assert 'base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"\nlicense: "apache-2.0"\nlanguage: "en"' in card
    assert "**The original was rounded to 4 bits; every figure here was made with it.**" in card
    assert f"{report.stored_bits:,} bits = {report.stored_bits // 8:,} bytes" in card
    hub = dataclasses.replace(plan, model_id="owner/name@main")
    card = model_card.render(
        model_card.Card("s", "S", "", True, dataclasses.replace(report, plan=hub), None, export.describe_environment())
    )
    assert 'base_model: "owner/name"\npipeline_tag: "automatic-speech-recognition"' in card and "license" not in card


# --- the check --------------------------------------------------------------------------------------------------------


def test_a_fresh_process_answers_with_the_same_bits(tmp_path: Path, cache: Path) -> None:
    result = compressed("llama", "compot")
    export.save(result, tmp_path / "out")
    check = finish(verify_export(result, tmp_path / "out"))
    assert check.equal and check.largest_difference == 0 and check.compared == 32 * 300
    assert check.weights_bytes == (tmp_path / "out" / "model.safetensors").stat().st_size
    assert check.accounted_bytes == result.report.stored_bits // 8
    assert check.load_seconds > 0
    assert [path.name for path in cache.iterdir()] == [], "nothing is left behind"


def test_cancelling_ends_the_process(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = compressed("llama", "svd")
    export.save(result, tmp_path / "out")
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(verification.subprocess, "Popen", popen)
    steps = verify_export(result, tmp_path / "out")
    next(steps)
    assert started[0].poll() is None
    steps.close()
    assert started[0].poll() is not None and list(cache.iterdir()) == []


def test_a_process_that_fails_is_said_in_one_sentence(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compressed("llama", "svd")
    export.save(result, tmp_path / "out")
    monkeypatch.setattr(verification.sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="could not be loaded in a fresh process: it ended with code 1.") as caught:
        finish(verify_export(result, tmp_path / "out"))
    assert "новом процессе" in words("ru").sentence(str(caught.value))


def test_the_process_that_checks_has_no_network() -> None:
    with pytest.raises(PermissionError):
        verification._without_network("socket.connect", ())
    verification._without_network("open", ())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "whisper"])
def test_a_directory_is_checked_against_what_was_noted(kind: str, tmp_path: Path, cache: Path, quick: None) -> None:
    if kind == "whisper":
        write_tiny_whisper(tmp_path / "tiny")
        heard = write_folder(tmp_path / "heard", made_up())
        recipe = Recipe(str(tmp_path / "tiny"), "svd-llm", "uniform", 0.3, str(heard))
        directory = Path(exported(recipe).directory)
    else:
        directory = tmp_path / "out"
        export.save(compressed(kind, "svd-llm"), directory)
    check = finish(verify_directory(directory))
    assert check.equal and check.same_machine and check.largest_difference == 0


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda folder: flip(folder / "model.safetensors"), "altered: model.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "missing: tokenizer.json"),
        (
            lambda folder: (folder / "compression.json").write_text(
                (folder / "compression.json").read_text().replace('"seconds":', '"seconds": ', 1)
            ),
            "altered: compression.json",
        ),
        (lambda folder: (folder / "export.json").unlink(), "has no export.json"),
        (lambda folder: (folder / "export.json").write_text("{}"), "not a valid ExportRecord"),
    ],
)
def test_what_was_altered_is_named(tamper: Callable[[Path], None], said: str, tmp_path: Path, quick: None) -> None:
    export.save(compressed("llama", "svd"), tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("A card may be edited.")
    finish(verify_directory(tmp_path / "out"))
    tamper(tmp_path / "out")
    with pytest.raises(UserError, match=said) as caught:
        finish(verify_directory(tmp_path / "out"))
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and words("ru").sentence(sentence) != sentence


def test_other_weights_with_a_forged_list_have_another_fingerprint(tmp_path: Path, quick: None) -> None:
    export.save(compressed("llama", "svd"), tmp_path / "out")
    flip(tmp_path / "out" / "model.safetensors", -2000)
    record = export.read_record(tmp_path / "out")
    forged = dataclasses.replace(record, files=export.file_records(tmp_path / "out"))
    store.write_json(tmp_path / "out" / "export.json", forged)
    assert not finish(verify_directory(tmp_path / "out")).equal


def test_a_fingerprint_depends_on_every_bit() -> None:
    logits = torch.randn(4, 50)
    changed = logits.clone()
    changed[2, 7] = torch.nextafter(changed[2, 7], torch.tensor(9.0))
    assert fingerprint(logits).sha256 != fingerprint(changed).sha256
    assert len(fingerprint(logits).sample) == 64 and fingerprint(logits).sample[0] == float(logits[0, 0])


# --- in the cache -----------------------------------------------------------------------------------------------------


def test_the_same_setting_is_answered_from_the_cache_and_a_deleted_one_is_made_again(
    folder: Path, cache: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_in(folder, method="svd-llm", settings=())
    first = exported(recipe)
    weights = Path(first.directory, "model.safetensors").read_bytes()
    monkeypatch.setattr(export, "save", None)
    assert exported(recipe) == first
    monkeypatch.undo()
    monkeypatch.setenv("COMPRESSION_CACHE", str(cache))
    in_this_process(monkeypatch)
    shutil.rmtree(cache / "exports")
    shutil.rmtree(cache / "archives")
    assert exported(recipe).command == first.command
    assert Path(first.directory, "model.safetensors").read_bytes() == weights and Path(first.archive).is_file()
    Path(first.directory, "tokenizer.json").unlink()
    exported(recipe)
    assert Path(first.directory, "tokenizer.json").is_file()


@pytest.mark.parametrize("stage", ["compress", "save", "verify", "pack"])
def test_an_interrupted_export_leaves_nothing_half_written(
    stage: str, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(directory: Path, threads: int) -> Any:
        yield export.Progress("verify", 0, 1, "")
        return (yield from ())

    if stage == "pack":
        in_this_process(monkeypatch)
    else:
        monkeypatch.setattr(verification, "_ask_a_fresh_process", ask)
    steps = get_workbench().export(recipe_in(folder, method="svd", settings=()))
    for event in steps:
        if event.stage == stage:
            break
    steps.close()
    for part in ("exports", "archives"):
        left = list((cache / part).glob("*")) if (cache / part).is_dir() else []
        assert len(left) == (1 if stage == "pack" and part == "exports" else 0), left


def test_old_exports_make_room(folder: Path, cache: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_BYTES", 1)
    for fraction in (0.3, 0.4):
        made = exported(recipe_in(folder, method="svd", settings=(), removed_fraction=fraction))
        assert Path(made.directory).is_dir() and Path(made.archive).is_file()
    assert len(list((cache / "exports").iterdir())) == len(list((cache / "archives").iterdir())) == 1


def test_names_of_exports_are_fit_for_files() -> None:
    for model_id in ("owner/na me@main", "/tmp/x y/..z/", "..", "a" * 300):
        name = exports._name(Recipe(model_id, "svd", "uniform", 1 / 3))
        assert name.isascii() and "/" not in name and " " not in name and not name.startswith(".") and len(name) <= 96
