"""What importing costs, and what it must not load. Each runs in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import rupturekit

PACKAGE = Path(rupturekit.__file__).parent


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"spacy", "pandas", "sklearn", "torch", "numpy", "onnxruntime", "docx", "openpyxl", "tqdm"}
    assert not loaded_after("import rupturekit") & heavy
    assert not loaded_after("import rupturekit as rk; rk.Turn, rk.Marker, rk.load_codebook") & heavy
    assert not loaded_after("import rupturekit.cli") & heavy


def test_annotating_imports_neither_torch_nor_sklearn(tmp_path: Path) -> None:
    (tmp_path / "s1.txt").write_text("T: How has this been for you?\n\nC: This isn't helping.\n", "utf-8")
    arguments = ["annotate", str(tmp_path / "s1.txt"), "--out", str(tmp_path / "out")]
    modules = loaded_after(f"from rupturekit.cli import main\nassert main({arguments}) == 0")
    assert not modules & {"torch", "sklearn", "transformers", "pandas"}
    assert {"spacy", "onnxruntime"} <= modules


def test_the_annotator_of_a_program_loads_neither_torch_nor_sklearn() -> None:
    modules = loaded_after(
        "import rupturekit as rk\n"
        "talk = rk.Transcript('s', (rk.Turn(0, 'C', 'client', 'This is not helping.'),))\n"
        "assert rk.Annotator()(talk).scores"
    )
    assert not modules & {"torch", "sklearn", "transformers"}


def test_spacy_keeps_its_torch_where_it_was_imported_first() -> None:
    pytest.importorskip("torch")
    modules = loaded_after("import spacy\nimport rupturekit as rk\nrk.Annotator()")
    assert "torch" in modules


def test_the_annotator_works_where_torch_and_sklearn_cannot_be_imported() -> None:
    loaded_after(
        "import sys\n"
        "sys.modules.update(torch=None, sklearn=None, transformers=None)\n"
        "import rupturekit as rk\n"
        "talk = rk.Transcript('s', (rk.Turn(0, 'C', 'client', 'This is not helping.'),))\n"
        "assert rk.Annotator()(talk).scores"
    )


def test_every_public_name_is_there_and_listed() -> None:
    for name in rupturekit.__all__:
        home = import_module(f"rupturekit.{rupturekit._HOME[name]}")
        assert getattr(rupturekit, name) is getattr(home, name)
    assert set(rupturekit.__all__) <= set(dir(rupturekit))
    assert sorted(rupturekit.__all__) == sorted(rupturekit._HOME)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rupturekit.nonsense
    assert not hasattr(rupturekit, "utils")


def imports_of(path: Path) -> set[str]:
    """Return the package's own modules that a module imports at its top level, outside TYPE_CHECKING."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        if node.level == 0 and not module.startswith("rupturekit"):
            continue
        base = module.removeprefix("rupturekit").lstrip(".")
        found |= {base.split(".")[0]} if base else {alias.name for alias in node.names}
    return found


def test_the_modules_import_each_other_without_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        graph.setdefault(room, set()).update(imports_of(path) - {room, "__version__"})
    done: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail, name])
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.append(name)

    for name in graph:
        visit(name, ())
    assert {"cli", "pipeline", "readers"} <= set(done)


def test_python_dash_m_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "rupturekit", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.strip() == f"rupturekit {rupturekit.__version__}"
