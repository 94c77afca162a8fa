"""The notebooks run from top to bottom, and what is printed in them is what they print.

`python tests/test_notebooks.py` executes all of them anew and writes them back, tidied; with a name (`first_look`)
that one alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
READ = ("examples", "data", "models")
"""The folders beside `notebooks` that notebooks read."""
NEEDS = {"own_model": ("sklearn", "torch", "transformers"), "treatment": ("sklearn",)}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
VARIES = "varies"
"""Tag of cells whose figures differ a little from machine to machine: there the words are compared alone."""
OFFLINE = """
import sys

def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise OSError("a notebook went to the network")

sys.addaudithook(refuse)
"""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def execute(path: Path, folder: Path) -> Any:
    """Run a notebook in a fresh kernel without a network, in a copy of the folders that it reads; return it tidied."""
    import nbformat
    from nbclient import NotebookClient

    for name in READ:
        shutil.copytree(ROOT / name, folder / "copy" / name)
    (here := folder / "copy" / "notebooks").mkdir()
    for name in ("startup", "temporary"):
        (folder / name).mkdir()
    (folder / "startup" / "sitecustomize.py").write_text(OFFLINE, "utf-8")
    paths = filter(None, (str(folder / "startup"), os.environ.get("PYTHONPATH")))
    notebook = nbformat.read(path, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("TMPDIR", str(folder / "temporary"))
        # neither the settings nor the history of whoever runs this
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.delenv("MPLBACKEND", raising=False)
        # so that sums are added up in the same order on any machine
        patch.setenv("OMP_NUM_THREADS", "1")
        about = {"metadata": {"path": str(here)}}
        NotebookClient(
            notebook, timeout=900, kernel_name="python3", resources=about, record_timing=False, coalesce_streams=True
        ).execute()
    return tidied(notebook)


def tidied(notebook: Any) -> Any:
    """Return a notebook with nothing in it that tells of a machine or an editor."""
    notebook.metadata = METADATA
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = {}
            if png := output.get("data", {}).get("image/png"):
                output.data["image/png"] = in_few_colours(png)
    return notebook


def in_few_colours(png: str) -> str:
    """Return a figure in a third of its size."""
    from PIL import Image

    Image.open(BytesIO(b64decode(png))).convert("RGB").quantize(64).save(out := BytesIO(), "PNG", optimize=True)
    return b64encode(out.getvalue()).decode()


def words(cell: Any) -> list[str]:
    """Return what a cell prints and returns, without figures; without numbers where they vary."""
    said = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        if output.get("name") == "stdout":
            said.append("".join(output["text"]))
        elif not any(kind.startswith("image/") for kind in data):
            said += ["".join(data[kind]) for kind in ("text/plain", "text/markdown") if kind in data]
    if VARIES in cell["metadata"].get("tags", ()):
        return [" ".join(re.sub(r"[-−+]?\d[\d.,]*|nan|NaN", "#", text).split()) for text in said]
    return said


def codes(notebook: Any) -> Iterator[Any]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


@every_notebook
def test_a_notebook_prints_what_stands_in_it(path: Path, tmp_path: Path) -> None:
    needed = ("nbclient", "nbformat", "ipykernel", "matplotlib", *NEEDS.get(path.stem, ()))
    if missing := [package for package in needed if not find_spec(package)]:
        pytest.skip(f'{path.name} needs {", ".join(missing)}: python -m pip install "rupturekit[notebooks,train]"')
    fresh = execute(path, tmp_path)
    assert not list((tmp_path / "copy" / "notebooks").iterdir())
    for name in READ:
        before, after = (
            {file.relative_to(folder / name): file.stat().st_size for file in (folder / name).rglob("*")}
            for folder in (ROOT, tmp_path / "copy")
        )
        assert before == after
    committed = json.loads(path.read_text("utf-8"))
    for cell, again in zip(codes(committed), codes(fresh), strict=True):
        assert words(cell) == words(again), f"{path.name}, {cell['id']}: run python tests/test_notebooks.py {path.stem}"


@every_notebook
def test_what_is_committed_is_small_and_tells_nothing_of_the_machine(path: Path) -> None:
    assert path.stat().st_size < 200_000
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["metadata"] == METADATA
    assert [cell["id"] for cell in notebook["cells"]] == [f"cell-{i}" for i in range(len(notebook["cells"]))]
    assert all(set(cell["metadata"]) <= {"tags"} for cell in notebook["cells"])
    for output in (output for cell in codes(notebook) for output in cell["outputs"]):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr"  # where warnings go
        assert not output.get("metadata")
        data = dict(output.get("data", {}))
        assert len(b64decode(data.pop("image/png", ""))) < 60_000
        told = json.dumps(data or output.get("text", ""))
        assert len(told) < 20_000
        assert not re.search(r"/(home|root|tmp|work|usr|Users|var)/|[A-Z]:\\|0x[0-9a-f]{6}|Warning", told)
        assert not re.search(r"\b\d\d:\d\d:\d\d\b|\b20\d\d-\d\d-\d\d\b|\b\d+\.\d+ ?(s|ms|seconds|minutes)\b", told)


@every_notebook
def test_what_is_committed_was_run_once_from_top_to_bottom_with_a_word_before_each_cell(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    counts = [cell["execution_count"] for cell in codes(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert all(before == "markdown" for before, kind in zip([None, *kinds], kinds) if kind == "code")


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    import nbformat

    for notebook in NOTEBOOKS:
        if notebook.stem in (sys.argv[1:] or [notebook.stem]):
            with TemporaryDirectory() as folder:
                nbformat.write(execute(notebook, Path(folder)), notebook)
            print(notebook.relative_to(ROOT))
