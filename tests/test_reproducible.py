"""The same input, version and lock give the same outputs; builds give the same files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import rupturekit as rk

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SESSIONS = ROOT / "examples" / "sessions"
EXPECTED = Path(__file__).with_name("example_scores.json")
"""The turn scores and markers of the example sessions; ``python tests/test_reproducible.py`` writes them anew."""


def outputs(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def annotate(folder: str | Path, out: Path, cwd: Path, seed: str = "0", *more: str) -> dict[str, bytes]:
    command = [sys.executable, "-m", "rupturekit", "annotate", str(folder), "--out", str(out), *more]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
    return outputs(out)


# --- the same bytes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    place = tmp_path_factory.mktemp("runs")
    shutil.copytree(SESSIONS, place / "in")
    return place, annotate("in", place / "first", place)


@pytest.mark.parametrize("seed", ["1", "4711"])
def test_the_seed_of_hashes_makes_no_difference(runs: tuple[Path, dict[str, bytes]], tmp_path: Path, seed: str) -> None:
    place, first = runs
    assert annotate("in", tmp_path / "out", place, seed) == first


def test_the_order_of_the_listing_and_the_files_times_make_no_difference(
    runs: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    _, first = runs
    (tmp_path / "in").mkdir()
    for number, path in enumerate(sorted(SESSIONS.iterdir(), reverse=True)):
        shutil.copyfile(path, tmp_path / "in" / path.name)
        os.utime(tmp_path / "in" / path.name, (number * 1e8, number * 1e8))
    assert annotate("in", tmp_path / "out", tmp_path) == first


def test_where_one_stands_changes_nothing_but_the_paths(runs: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    place, first = runs
    absolute = annotate(place / "in", tmp_path / "out", tmp_path)
    assert absolute.keys() == first.keys()
    for name, data in absolute.items():
        assert data.replace(str(place / "in").encode(), b"in") == first[name], name


# --- the same findings --------------------------------------------------------------------------------


def findings() -> dict[str, dict[str, object]]:
    annotator = rk.Annotator()
    found = {}
    for path in sorted(SESSIONS.iterdir()):
        for transcript in rk.read_all(path):
            annotated = annotator(transcript)
            found[transcript.id] = {
                "markers": [f"{m.turn} {m.start}-{m.end} {m.marker} {m.source}" for m in annotated.markers],
                "scores": [list(scores.values()) for _, scores in sorted(annotated.turn_scores().items())],
            }
    return found


def test_the_examples_scores_are_those_of_every_python_and_processor() -> None:
    expected, found = json.loads(EXPECTED.read_text("utf-8")), findings()
    assert found.keys() == expected.keys()
    same = either = 0
    for session, wanted in expected.items():
        for now, then in zip(found[session]["scores"], wanted["scores"], strict=True):
            assert now == pytest.approx(then, abs=0.01), session
        now, then = set(found[session]["markers"]), set(wanted["markers"])
        on = {marker.split()[0] for marker in now | then}
        differ = {marker.split()[0] for marker in now ^ then}
        either, same = either + len(on), same + len(on) - len(differ)
    assert same >= 0.995 * either


# --- packages -----------------------------------------------------------------------------------------


def test_builds_are_the_same_whenever_and_wherever(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="needs hatchling")
    built = []
    for number, mask in enumerate((0o022, 0o077)):
        tree = tmp_path / str(number)
        tree.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt"):
            shutil.copy(ROOT / name, tree)
        for name in ("src", "models", "examples"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in tree.rglob("*"):
            os.utime(path, (number * 1e8, number * 1e8))
            path.chmod(path.stat().st_mode & ~mask)
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / f"dist{number}")]
        subprocess.run(command, cwd=tree, check=True, capture_output=True)
        files = sorted((tmp_path / f"dist{number}").iterdir())
        built.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert built[0] == built[1]
    assert {Path(name).suffix for name in built[0]} == {".whl", ".gz"}


def test_every_dependency_has_a_lower_bound_and_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    lock = {
        line.split("==")[0]
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    }
    for requirement in asked:
        name = re.match(r"[\w.-]+", requirement)[0]
        if name != project["name"]:
            assert ">=" in requirement or "==" in requirement, requirement
            assert re.sub(r"[-_.]+", "-", name).lower() in lock, f"{name}: run .ci/lock"


def test_provenance_names_version_rules_model_and_thresholds_everywhere(runs: tuple[Path, dict[str, bytes]]) -> None:
    _, first = runs
    run = json.loads(first["run.json"])
    assert run["rupturekit"] == rk.__version__ == version("rupturekit")
    made = run["provenance"]
    assert len(made["model_sha256"]) == len(made["rules_sha256"]) == 64
    assert made["codebook"].startswith("3rs-2015")
    assert made["thresholds"]
    for line in first["annotations.jsonl"].splitlines():
        assert json.loads(line)["provenance"] == made


if __name__ == "__main__":
    EXPECTED.write_text(json.dumps(findings(), separators=(",", ":")).replace('},"', '},\n"') + "\n", "utf-8")
