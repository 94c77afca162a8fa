"""A coding study from the command line: the example's whole circle, and what is refused on the way."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

import rupturekit as rk
from rupturekit.cli import main

ROOT = Path(__file__).parents[1]
SESSIONS = ROOT / "examples" / "sessions"
WORDS = "zebras in the attic"


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "s1.txt").write_text(f"T: How was the week?\nC: There were {WORDS}.\nT: I see.\nC: I guess.\n", "utf-8")
    assert main(["annotate", str(folder / "s1.txt"), "--no-model", "--out", str(folder / "annotated")]) == 0
    return folder / "annotated"


def test_the_example_walks_the_whole_circle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    runpy.run_path(str(ROOT / "examples" / "study" / "study.py"))["study"](tmp_path / "out")
    said = capfd.readouterr().out
    assert "two coders independently coded" in said.lower()
    assert re.search(r"κ = \.\d\d", said)
    card = (tmp_path / "out" / "own-model" / "README.md").read_text("utf-8")
    assert "Fitted on from withdrawal-en" in card
    again = rk.load(tmp_path / "out" / "annotated-again")
    assert {s.provenance.model for s in again if s.provenance} == {"own-model"}
    rows = (tmp_path / "out" / "agreement" / "turn" / "agreement.csv").read_text("utf-8")
    assert "machine vs majority" in rows


def test_annotate_writes_for_coders_at_once_and_never_over_their_work(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "s1.txt").write_text("T: How was the week?\nC: I guess it was.\n", "utf-8")
    command = ["annotate", str(source), "--no-model", "--out", str(source / "out"), "--format", "eaf,label-studio"]
    assert main(command) == 0
    assert {p.name for p in (source / "out" / "eaf").iterdir()} == {"s1.eaf"}
    before = (source / "out" / "eaf" / "s1.eaf").read_bytes()
    assert main([*command, "--overwrite"]) == 2
    assert (source / "out" / "eaf" / "s1.eaf").read_bytes() == before
    # nor are the exports taken for new transcripts
    assert main([*command[:-2], "--overwrite"]) == 0
    assert [i["path"] for i in json.loads((source / "out" / "run.json").read_text())["inputs"]] == ["s1.txt"]


def test_import_takes_all_files_or_nothing(annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(annotated), "--format", "label-studio", "--out", str(tmp_path / "ls")]) == 0
    good = tmp_path / "ls" / "tasks.json"
    bad = tmp_path / "bad.json"
    bad.write_text(good.read_text("utf-8").replace("zebras", "horses"), "utf-8")
    out = tmp_path / "codes.jsonl"
    command = [
        "import",
        "--format",
        "label-studio",
        "--transcripts",
        str(annotated),
        "--coder",
        "AB",
        "--out",
        str(out),
    ]
    assert main([*command, str(good), str(bad)]) == 1
    said = capsys.readouterr().err
    assert "s1" in said
    assert "turn 1" in said
    assert not any(word in said for word in ("horses", "zebras", "attic"))
    assert not out.exists()
    assert main([*command, str(good)]) in (0, 1)  # nobody coded yet: see the tests of Label Studio


def test_a_sheet_with_an_unknown_code_is_refused_with_its_row(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, out = tmp_path / "AB.csv", tmp_path / "codes.jsonl"
    assert main(["sheet", str(annotated), "--blank", "--coder", "AB", "--out", str(sheet)]) == 0
    lines = sheet.read_text("utf-8-sig").split("\n")
    row = next(i for i, line in enumerate(lines) if "C5" in line)
    lines[row] = lines[row].replace("C5", "C9")
    sheet.write_text("\n".join(lines), "utf-8")
    assert main(["import", str(sheet), "--format", "sheet", "--transcripts", str(annotated), "--out", str(out)]) == 1
    assert re.search(rf"AB\.csv, row {row + 1}: codebook 3rs-2015 has no such", capsys.readouterr().err)
    assert not out.exists()


def test_ratings_of_whole_sessions_come_back_from_a_sheet(annotated: Path, tmp_path: Path) -> None:
    sheet, out = tmp_path / "AB.csv", tmp_path / "codes.jsonl"
    assert main(["sheet", str(annotated), "--blank", "--coder", "AB", "--out", str(sheet)]) == 0
    ratings = tmp_path / "AB.ratings.csv"
    ratings.write_text("session,coder,resolution,therapist contribution\ns1,,4,2\n", "utf-8")
    command = ["import", str(sheet), "--format", "sheet", "--transcripts", str(annotated), "--out", str(out)]
    assert main([*command, "--coder", "AB"]) == 0
    header, row = (tmp_path / "codes.ratings.csv").read_text("utf-8-sig").splitlines()
    rated = dict(zip(header.split(","), row.split(",")))
    assert (rated["session"], rated["coder"], rated["resolution"]) == ("s1", "AB", "4")


def test_codings_of_different_transcripts_are_not_compared(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (session,) = rk.load(annotated)
    other = session.to_json().replace("I guess.", "I know.")
    (tmp_path / "other.jsonl").write_text(other + "\n", "utf-8")
    assert main(["agree", str(annotated), str(tmp_path / "other.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert "session s1" in (said := capsys.readouterr().err)
    assert "turn" in said
    assert not (tmp_path / "out").exists()
