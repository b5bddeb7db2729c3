"""Reading a recipe from YAML: whatever is wrong is named with its line and its field."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from compression.errors import UserError, shown

MAX_FILE_BYTES = 2**20
MAX_NAME = 200
"""Characters of a field's name that a sentence repeats."""
DEPTH = 4
"""So many levels of a recipe have lines of their own: ``tune``, ``search``, a setting, a bound."""

Lines = dict[tuple[str, ...], int]
"""Path of a field → its line, from 1; the empty path is the file."""


class Section(pydantic.BaseModel):
    """A mapping with known fields alone."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Read = TypeVar("Read", bound=Section)


class _Loader(yaml.SafeLoader):
    """The safe one, which says the line where a value is not what its tag says: ``!!bool foo``, ``2024-99-99``."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # What the constructors of numbers, truth values and dates stumble over.
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            problem = f"{shown(node.value)} is not of the kind {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read_sections(file: Path, kind: type[Read]) -> tuple[Read, Lines]:
    """Read and check a recipe as far as its fields go one by one.

    Args:
        file: YAML in UTF-8.
        kind: what it holds.

    Returns:
        The recipe, and where its fields stand.

    Raises:
        UserError: if the file cannot be read, or with line and field if something in it is wrong.
    """
    try:
        size = file.stat().st_size
        text = file.read_text(encoding="utf-8") if size <= MAX_FILE_BYTES else ""
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text in UTF-8: save the recipe as such.") from error
    if size > MAX_FILE_BYTES:
        raise UserError(f"{file} is too large for a recipe: at most a megabyte was expected.")
    plain, lines = _parse(file, text, kind)
    try:
        return kind.model_validate(plain), lines
    except pydantic.ValidationError as error:
        raise first_problem(file, lines, kind, error) from error


def wrong(file: Path, lines: Lines, path: tuple[str, ...], problem: str) -> UserError:
    """A sentence that names the line of a field, or of the nearest mapping around it that has one."""
    line = next(lines[path[:count]] for count in range(len(path), -1, -1) if path[:count] in lines)
    if not path:
        return UserError(f"{file}, line {line}, the recipe: {problem}.")
    return UserError(f"{file}, line {line}, field {'.'.join(path)[:MAX_NAME]}: {problem}.")


def first_problem(
    file: Path, lines: Lines, kind: type[Section], error: pydantic.ValidationError, at: tuple[str, ...] = ()
) -> UserError:
    """The first thing that pydantic found, for people.

    Args:
        file: the recipe's.
        lines: where its fields stand.
        kind: what it holds.
        error: what was found.
        at: the field to name, if it is another than the one that pydantic names.
    """
    found = error.errors()[0]
    path = at or tuple(map(str, found["loc"]))
    if found["type"] == "missing":
        return wrong(file, lines, path, "it is missing")
    if found["type"] == "extra_forbidden":
        return wrong(file, lines, path, f"there is no such field; expected one of {', '.join(_fields(kind, path))}")
    said = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = found["input"]
    return wrong(file, lines, path, said if isinstance(given, dict) else f"it {said}, but {shown(given)} was given")


def _parse(file: Path, text: str, kind: type[Section]) -> tuple[Any, Lines]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: Lines = {(): 1}
        if isinstance(root, yaml.MappingNode):
            _collect(file, root, (), lines)
        plain = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UserError(f"{file}, line {line}: this is no YAML ({error.problem or error.context}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is no YAML ({str(error).splitlines()[0]}).") from error
    if not isinstance(plain, dict):
        raise wrong(file, lines, (), f"a mapping with the field {next(iter(kind.model_fields))} was expected")
    return plain, lines


def _collect(file: Path, node: yaml.MappingNode, path: tuple[str, ...], lines: Lines) -> None:
    """Note the line of every field; a field that is there twice is an error that the loader does not see."""
    for key, value in node.value:
        here = (*path, str(key.value))
        line = key.start_mark.line + 1
        if here in lines:
            raise wrong(file, {**lines, here: line}, here, f"it stands in line {lines[here]} already")
        lines[here] = line
        if isinstance(value, yaml.MappingNode) and len(here) < DEPTH:
            _collect(file, value, here, lines)


def _fields(kind: type[Section], path: tuple[str, ...]) -> list[str]:
    """The fields that the mapping around the last part of `path` may have."""
    parts = list(path[:-1])
    while parts:
        annotation = kind.model_fields[parts.pop(0)].annotation
        if typing.get_origin(annotation) is dict:
            parts = parts[1:]  # a name that the recipe's writer chose
        kind = _section_in(annotation) or kind
    return list(kind.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for each in typing.get_args(annotation) if (found := _section_in(each))), None)
