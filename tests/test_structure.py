"""The shape of the house: who may import whom, and the name that Python 3.14 also uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import architecture
import pytest

ROOT = Path(__file__).parent.parent
ENGINE = sorted((ROOT / "compression").rglob("*.py"))
VIEWS = sorted((ROOT / "views").rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_never_imports_the_interface(path):
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"gradio", "plotly", "views", "app"}


@pytest.mark.parametrize("path", VIEWS, ids=lambda p: str(p.relative_to(ROOT)))
def test_views_hold_no_formulas(path):
    """No tensor library, no engine mathematics, and no powers, logarithms or square roots."""
    names = imported(path)
    assert not {name.split(".")[0] for name in names} & {"torch", "numpy", "scipy", "math", "statistics"}
    forbidden = {"compression.linalg", "compression.accounting", "compression.allocation", "compression.modules"}
    assert not names & forbidden
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ast.Pow | ast.MatMult), f"line {node.lineno} computes"


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("types", {"linalg", "accounting", "modules", "calibration", "pipeline", "analysis", "workbench"}),
        ("linalg", {"modules", "calibration", "methods", "pipeline", "analysis", "workbench", "sites", "models"}),
        ("accounting", {"modules", "calibration", "methods", "pipeline", "analysis", "workbench", "linalg"}),
        ("modules", {"calibration", "methods", "pipeline", "analysis", "workbench"}),
        ("calibration", {"methods", "pipeline", "analysis", "workbench", "allocation"}),
        ("methods", {"pipeline", "analysis", "workbench", "allocation", "export"}),
        ("pipeline", {"analysis", "workbench", "export"}),
        ("analysis", {"workbench", "pipeline", "methods", "columns"}),
        ("columns", {"workbench", "pipeline", "methods"}),
    ],
)
def test_imports_point_downwards(lower, higher):
    paths = [p for p in ENGINE if p.stem == lower or p.parent.name == lower]
    assert paths
    for path in paths:
        modules = {name.split(".")[1] for name in imported(path) if name.startswith("compression.")}
        assert not modules & higher, f"{path.name} imports {modules & higher}"


def test_the_engine_loads_without_the_interface_installed():
    code = (
        "import sys\n"
        "for name in ('gradio', 'plotly'): sys.modules[name] = None\n"
        "import compression.workbench, compression.__main__\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_the_page_imports_neither_torch_nor_transformers():
    code = (
        "import sys, views.page\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_another_package_called_compression_stays_reachable(tmp_path):
    """Python 3.14 ships `compression.zstd` and friends, and `bz2`, `gzip`, `zipfile` import from them."""
    (tmp_path / "compression").mkdir()
    (tmp_path / "compression" / "__init__.py").write_text("")
    (tmp_path / "compression" / "zstd.py").write_text("NAME = 'stand-in for the standard library'\n")
    code = (
        f"import sys; sys.path[:] = [{str(ROOT)!r}, *sys.path, {str(tmp_path)!r}]\n"
        "import compression, compression.types, compression.zstd\n"
        f"assert compression.__file__.startswith({str(ROOT)!r}), compression.__file__\n"
        "assert compression.zstd.NAME.startswith('stand-in')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)


def test_the_picture_in_the_readme_is_that_of_the_code() -> None:
    drawn = architecture.picture()
    assert drawn in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "python tests/architecture.py --write draws it anew"
    )
    arrows = architecture.edges()
    assert "workbench.py" in arrows["speech"] and arrows[architecture.BASE] == set()
    assert not any("views" in there for here, there in arrows.items() if here not in ("app.py", "views/tabs", "views"))


def test_arrows_that_follow_from_others_are_left_out() -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"e"}, "e": {"d"}}
    assert architecture.reduced(graph) == {("a", "b"), ("b", "c"), ("d", "e"), ("e", "d")}
