"""The picture of the code in the README, drawn from its imports: ``python tests/architecture.py --write``.

A node is a package, or one of the modules that stand for themselves; what else lies beside the packages is the core. An
arrow says that something is imported with the module; arrows that follow from others are left out, and two nodes that
need each other are joined by a line. The modules beside the packages are two nodes: those that need no package, and
those that do.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- architecture: python tests/architecture.py --write -->", "<!-- architecture ends -->"
ALONE = {"app": "app.py", "compression.workbench": "workbench.py", "compression.api": "api.py"}
CORE = "core of the engine"
BASE = "base: types, store, linear algebra"


def node_of(module: str) -> str:
    """The node that a module belongs to."""
    if module in ALONE:
        return ALONE[module]
    if module == "compression.__main__":
        return "commands"
    parts = module.split(".")
    if parts[0] == "views":
        return "views/tabs" if parts[1:2] == ["tabs"] else "views"
    folder = ROOT.joinpath(*parts[:2])
    if len(parts) > 1 and folder.is_dir():
        return parts[1]
    return BASE if module == "compression" or module in _base() else CORE


@cache
def _base() -> frozenset[str]:
    """The modules of the engine's own folder that need no package, directly or through others."""
    files = {f"compression.{file.stem}": file for file in (ROOT / "compression").glob("*.py")}
    needs = {name: {m for m, at_once in imports(file) if at_once} for name, file in files.items()}
    base = set(files)
    while outside := {name for name in base if needs[name] - base - {"compression"}}:
        base -= outside
    return frozenset(base)


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """The modules of ours that a file imports, and whether at once; what only types need is left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unused = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    late = {i for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for i in ast.walk(n)}
    for node in ast.walk(tree):
        if node in unused:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("compression", "views"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if _is_module(name) else node.module), node not in late
        elif isinstance(node, ast.Import):
            yield from (
                (a.name, node not in late) for a in node.names if a.name.split(".")[0] in ("compression", "views")
            )


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def edges() -> dict[str, set[str]]:
    """Node → the nodes that it imports at once."""
    files = [ROOT / "app.py", *(ROOT / "compression").rglob("*.py"), *(ROOT / "views").rglob("*.py")]
    found: dict[str, set[str]] = {}
    for file in files:
        here = node_of(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        there = found.setdefault(here, set())
        there |= {node_of(name) for name, at_once in imports(file) if at_once} - {here}
    return found


def reduced(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others; of two nodes that need each other both stay."""
    reach = {node: _reachable(graph, node) for node in graph}
    return {
        (a, b)
        for a in graph
        for b in graph[a]
        if a in reach[b] or not any(b in reach[c] and a not in reach[c] for c in graph[a] - {b})
    }


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def picture() -> str:
    """The picture as Mermaid, between its marks."""
    graph = edges()
    names = {node: f"n{index}" for index, node in enumerate(sorted(graph))}
    arrows = reduced(graph)
    lines = [f'  {names[node]}["{node}"]' for node in sorted(graph)]
    lines += [f"  {names[a]} --> {names[b]}" for a, b in sorted(arrows) if (b, a) not in arrows]
    lines += [f"  {names[a]} --- {names[b]}" for a, b in sorted(arrows) if (b, a) in arrows and a < b]
    return "\n".join([BEGIN, "```mermaid", "flowchart TD", *lines, "```", END])


def main() -> None:
    """Print the picture, or put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    if not parser.parse_args().write:
        print(picture())
        return
    file = ROOT / "README.md"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index(BEGIN)] + picture() + text[text.index(END) + len(END) :], encoding="utf-8")


if __name__ == "__main__":
    main()
