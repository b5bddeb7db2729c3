"""The benchmarks by name, and their items: from files beside the visitor, or from the Hub, as lm-eval's tasks.

A file ``TASK.jsonl`` has one item a line: ``{"query", "choices", "gold"}``, or, where the same continuation follows
different contexts, ``{"context_options", "continuation", "gold"}``; ``gold`` counts from 0. ``lambada.jsonl`` has
``{"query", "target"}``: a text without its last word, and that word. ``mmlu`` may be a folder instead: a data set
repository with a configuration for every subject, as on the Hub.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compression import store, texts
from compression.errors import UserError

HUB_TASKS = {
    "mmlu": "mmlu",
    "arc_easy": "arc_easy",
    "commonsense_qa": "commonsense_qa",
    "openbook_qa": "openbookqa",
    "hellaswag": "hellaswag",
    "piqa": "piqa",
    "siqa": "social_iqa",
    "winogrande": "winogrande",
    "lambada": "lambada_openai",
}
"""Task id, which is also the name of its file, → lm-eval's."""
EIGHT = tuple(name for name in HUB_TASKS if name != "lambada")
ALIASES = {theirs: ours for ours, theirs in HUB_TASKS.items()} | {"openbookqa": "openbook_qa", "arc-e": "arc_easy"}
ALL = "all"
MAX_FILE_BYTES = 2**28
LAST_WORD = "lambada"


@dataclass(frozen=True)
class Source:
    """Where a task's items are.

    Attributes:
        task: task id.
        path: a file or a data set folder; None for the Hub.
        fingerprint: SHA-256 of a file, or a stamp of a folder; empty for the Hub.
    """

    task: str
    path: Path | None
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return "the Hugging Face Hub" if self.path is None else self.path.name


def choose_tasks(names: str, data: Path | None) -> tuple[Source, ...]:
    """The tasks that are asked for, and where each is found.

    Args:
        names: task ids, comma-separated; ``all`` for the eight, or for all that a folder has.
        data: folder of files; None for the Hub.

    Raises:
        UserError: for an unknown task, or a folder that lacks one.
    """
    asked = [name.strip().lower() for name in names.split(",") if name.strip()]
    if data is not None and not data.is_dir():
        raise UserError(f"{data} is no folder: give one with files such as piqa.jsonl.")
    if asked == [ALL]:
        asked = list(EIGHT) if data is None else [name for name in HUB_TASKS if _place(data, name) is not None]
        if not asked:
            raise UserError(f"{data} has none of {', '.join(f'{name}.jsonl' for name in HUB_TASKS)}.")
    chosen = []
    for name in dict.fromkeys(ALIASES.get(name, name) for name in asked):
        if name not in HUB_TASKS:
            raise UserError(f"There is no benchmark {name!r}: expected some of {', '.join(HUB_TASKS)}, or all.")
        place = None if data is None else _place(data, name)
        if data is not None and place is None:
            raise UserError(f"{data} has no {name}.jsonl: leave {name} out, or leave --data away to ask the Hub.")
        chosen.append(Source(name, place, "" if place is None else _fingerprint(place)))
    if not chosen:
        raise UserError(f"Name at least one benchmark of {', '.join(HUB_TASKS)}, or all.")
    return tuple(chosen)


def _place(data: Path, name: str) -> Path | None:
    file = data / f"{name}.jsonl"
    if file.is_file():
        return file
    return data / name if name == "mmlu" and (data / name).is_dir() else None


def _fingerprint(place: Path) -> str:
    if place.is_file():
        return store.file_hash(place)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return store.content_key([(str(path.relative_to(place)), store.file_hash(path)) for path in files])


def load_tasks(source: Source) -> list[Any]:
    """lm-eval's task objects of a source: one, or one a subject.

    Raises:
        UserError: for a damaged file, or items that cannot be fetched.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    if source.path is not None and source.path.is_file():
        return [_local_task(source.task, read_items(source.task, source.path))]
    return _library_tasks(source)


def read_items(task: str, file: Path) -> list[dict[str, Any]]:
    """The items of a file.

    Raises:
        UserError: naming the line that is not as expected.
    """
    if file.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"{file.name} is larger than {MAX_FILE_BYTES // 2**20} MiB: give fewer items.")
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file.name} is no UTF-8 text: one JSON object a line was expected.") from error
    items = []
    for number, item in texts.json_lines(file.name, content):
        problem = _problem(task, item)
        if problem:
            raise UserError(f"{file.name}, line {number}: {problem}")
        items.append(item)
    if not items:
        raise UserError(f"{file.name} has no items: one JSON object a line was expected.")
    return items


def _problem(task: str, item: Any) -> str:
    """What is wrong with an item, a sentence; empty if nothing is."""
    if not isinstance(item, dict):
        return "an object in braces was expected."
    if task == LAST_WORD:
        fine = all(isinstance(item.get(name), str) and item[name].strip() for name in ("query", "target"))
        return "" if fine else "query and target were expected, both text."
    partial = "context_options" in item
    text, several = ("continuation", "context_options") if partial else ("query", "choices")
    choices = item.get(several)
    if not isinstance(item.get(text), str) or (partial and not item[text]):
        return f"{text} was expected, a text."
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c for c in choices):
        return f"{several} was expected, a list of at least two texts that are not empty."
    gold = item.get("gold")
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(choices):
        return f"gold was expected, a whole number from 0 to {len(choices) - 1}."
    return ""


def _local_task(name: str, items: list[dict[str, Any]]) -> Any:
    """Items as a task of lm-eval.

    Raises:
        UserError: if some items have contexts to choose from and others choices.
    """
    from datasets import Dataset, DatasetDict
    from lm_eval.api.task import ConfigurableTask

    if name == LAST_WORD:
        shape: dict[str, Any] = {"output_type": "loglikelihood", "doc_to_text": "query", "doc_to_target": _spaced}
        metrics = ["acc"]
    else:
        partial = {"context_options" in item for item in items}
        if len(partial) > 1:
            raise UserError(f"{name}.jsonl mixes items with context_options and items with choices: keep one kind.")
        fields = ("gold", "context_options", "continuation") if partial == {True} else ("query", "choices", "gold")
        text, choice, target = (_field(field) for field in fields)
        shape = {
            "output_type": "multiple_choice",
            "doc_to_text": text,
            "doc_to_choice": choice,
            "doc_to_target": target,
        }
        metrics = ["acc"] if partial == {True} else ["acc", "acc_norm"]
    wanted = {field for item in items for field in item} & {
        *("query", "choices", "gold", "context_options", "continuation", "target")
    }
    rows = Dataset.from_list([{field: item.get(field) for field in sorted(wanted)} for item in items])
    config = {
        "task": name,
        "custom_dataset": lambda **_: DatasetDict(test=rows),
        "test_split": "test",
        "target_delimiter": " ",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics],
        "num_fewshot": 0,
        **shape,
    }
    return ConfigurableTask(config=config)


def _field(name: str) -> Callable[[dict[str, Any]], Any]:
    # A function, not the field's name: a name goes through a template engine, and braces in a text would be its code.
    return lambda item: item[name]


def _spaced(item: dict[str, Any]) -> str:
    return " " + str(item["target"])


def _library_tasks(source: Source) -> list[Any]:
    """lm-eval's own tasks, on the Hub's data or on a data set folder."""
    import datasets
    from lm_eval.tasks import TaskManager

    datasets.config.HF_DATASETS_CACHE = store.root() / "datasets"
    name = HUB_TASKS[source.task]
    manager = TaskManager()
    wanted: list[Any] = [name]
    try:
        if source.path is not None:
            there = datasets.get_dataset_config_names(str(source.path))
            subjects = [f"{name}_{subject}" for subject in there if f"{name}_{subject}" in manager.task_index]
            if not subjects:
                raise UserError(f"{source.path} has no subject of MMLU: a configuration for each was expected.")
            # With the whole of its own configuration: a name and another path would lose the subject.
            own = {task: manager.task_index[task].cfg or {} for task in subjects}
            wanted = [{**own[task], "task": task, "dataset_path": str(source.path)} for task in subjects]
        loaded = manager.load(wanted)
    except (OSError, ValueError, RuntimeError) as error:
        where = source.path or "the Hugging Face Hub"
        raise UserError(
            f"{source.task} could not be read from {where} ({type(error).__name__}): check the connection, or give a "
            "folder with its file by --data."
        ) from error
    return list(loaded["tasks"].values())
