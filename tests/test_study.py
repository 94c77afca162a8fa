"""A coding study from the command line: the example's whole circle, and what is refused on the way."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import sys
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
    assert "two coders" in said.lower()
    assert re.search(r"κ = \.\d\d", said)
    card = (tmp_path / "out" / "own-model" / "README.md").read_text("utf-8")
    assert "Fitted on from withdrawal-en" in card
    again = rk.load(tmp_path / "out" / "annotated-again")
    assert {s.provenance.model for s in again if s.provenance} == {"own-model"}
    rows = (tmp_path / "out" / "agreement" / "turn" / "agreement.csv").read_text("utf-8")
    assert "machine vs at least half" in rows


def test_annotate_writes_for_coders_at_once_and_never_over_their_work(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "s1.txt").write_text("T: How was the week?\nC: I guess it was.\n", "utf-8")
    command = ["annotate", str(source), "--no-model", "--out", str(source / "out"), "--format", "eaf,label-studio"]
    assert main(command) == 0
    assert {p.name for p in (source / "out" / "eaf").iterdir()} == {"s1.eaf", "made-by.json"}
    before = (source / "out" / "eaf" / "s1.eaf").read_bytes()
    assert main([*command, "--overwrite"]) == 2
    assert (source / "out" / "eaf" / "s1.eaf").read_bytes() == before
    # nor are the exports taken for new transcripts
    assert main([*command[:-2], "--overwrite"]) == 0
    assert [i["path"] for i in json.loads((source / "out" / "run.json").read_text())["inputs"]] == ["s1.txt"]


def test_what_is_handed_out_says_what_it_was_made_by(annotated: Path, tmp_path: Path) -> None:
    (provenance,) = {s.provenance.rules_sha256 for s in rk.load(annotated) if s.provenance}
    exported, course, sample = tmp_path / "eaf", tmp_path / "course", tmp_path / "sample"
    assert main(["export", str(annotated), "--format", "eaf", "--out", str(exported)]) == 0
    assert main(["course", str(annotated), "--pattern", r"(?P<client>\w)(?P<number>\d)", "--out", str(course)]) == 0
    assert main(["sample", str(annotated), "--n", "1", "--out", str(sample)]) == 0
    for folder in (exported, course, sample):
        told = json.loads((folder / "made-by.json").read_text("utf-8"))
        assert told["rupturekit"] == rk.__version__
        assert [made["rules_sha256"] for made in told["annotations"]] == [provenance]
    # it is no transcript, where the folder comes back
    assert main(["annotate", str(exported), "--no-model", "--out", str(tmp_path / "again")]) == 0


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


def test_a_session_whose_rows_were_all_deleted_is_told_as_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("s1", "s2"):
        (tmp_path / f"{name}.txt").write_text("T: How was the week?\nC: I guess it was.\n", "utf-8")
    given, sheet = str(tmp_path / "annotated"), tmp_path / "AB.csv"
    inputs = [str(tmp_path / f"{name}.txt") for name in ("s1", "s2")]
    assert main(["annotate", *inputs, "--no-model", "--out", given]) == 0
    assert main(["sheet", given, "--blank", "--coder", "AB", "--out", str(sheet)]) == 0
    command = ["import", str(sheet), "--format", "sheet", "--transcripts", given, "--out"]
    assert main([*command, str(tmp_path / "all.jsonl")]) == 0
    assert "2 of 2 sessions in" in (told := capsys.readouterr().out)
    assert "not read" not in told
    rows = sheet.read_text("utf-8-sig").splitlines(keepends=True)
    sheet.write_text("".join(row for row in rows if not row.startswith("s2,")), "utf-8")
    assert main([*command, str(tmp_path / "part.jsonl")]) == 0
    assert re.search("1 of 2 sessions in .*; the others count as not read", capsys.readouterr().out)


def test_ratings_of_whole_sessions_come_back_from_a_sheet(annotated: Path, tmp_path: Path) -> None:
    sheet, out = tmp_path / "AB.csv", tmp_path / "codes.jsonl"
    assert main(["sheet", str(annotated), "--blank", "--coder", "AB", "--out", str(sheet)]) == 0
    ratings = tmp_path / "AB.ratings.csv"
    ratings.write_text("session,coder,resolution,therapist contribution\ns1,,4,2\n", "utf-8")
    command = ["import", str(sheet), "--format", "sheet", "--transcripts", str(annotated), "--out", str(out)]
    assert main([*command, "--coder", "AB"]) == 0
    renamed = [*command[:-1], str(tmp_path / "renamed.jsonl"), "--coder", "AB", "--coders", "AB=CD"]
    ratings.write_text("session,coder,resolution\ns1,AB,4\n", "utf-8")
    assert main(renamed) == 0
    assert {part.source for part in rk.load(tmp_path / "renamed.jsonl")[0].coded} == {"coder:CD"}
    assert "s1,CD," in (tmp_path / "renamed.ratings.csv").read_text("utf-8")
    header, row = (tmp_path / "codes.ratings.csv").read_text("utf-8-sig").splitlines()
    rated = dict(zip(header.split(","), row.split(",")))
    assert (rated["session"], rated["coder"], rated["resolution"]) == ("s1", "AB", "4")


def test_a_coders_ratings_in_two_versions_are_refused(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rating in (("AB", 4), ("again", 4), ("later", 2)):
        sheet = str(tmp_path / f"{name}.csv")
        assert main(["sheet", str(annotated), "--blank", "--coder", "AB", "--out", sheet]) == 0
        (tmp_path / f"{name}.ratings.csv").write_text(f"session,coder,resolution\ns1,AB,{rating}\n", "utf-8")
    command = ["import", "--format", "sheet", "--transcripts", str(annotated), "--out"]
    first, again, later = (str(tmp_path / f"{name}.csv") for name in ("AB", "again", "later"))
    assert main([*command, str(tmp_path / "same.jsonl"), first, again]) == 0
    assert len((tmp_path / "same.ratings.csv").read_text("utf-8").splitlines()) == 2
    assert main([*command, str(tmp_path / "two.jsonl"), first, later]) == 2
    assert "session s1: AB rated it in two ways" in capsys.readouterr().err
    assert not (tmp_path / "two.jsonl").exists()


def test_a_reader_of_the_figures_who_leaves_is_no_error(
    annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, codes = str(tmp_path / "AB.xlsx"), str(tmp_path / "AB.jsonl")
    assert main(["sheet", str(annotated), "--blank", "--coder", "AB", "--out", sheet]) == 0
    assert main(["import", sheet, "--format", "sheet", "--transcripts", str(annotated), "--out", codes]) == 0
    capsys.readouterr()

    class Left(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        def fileno(self) -> int:
            return nowhere.fileno()

    with open(os.devnull, "w") as nowhere, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Left())
        assert main(["agree", codes, str(annotated), "--draws", "5"]) == 1
    assert capsys.readouterr().err == ""


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


def test_clients_come_from_a_table_where_transcripts_do_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("s1", "s2"):
        (tmp_path / f"{name}.txt").write_text("T: How was the week?\nC: I guess it was.\n", "utf-8")
    (tmp_path / "clients.csv").write_text("client_id;session_id\nK1;s1\nK1;s2\nK2;s9\n", "utf-8")
    inputs = [str(tmp_path / f"{name}.txt") for name in ("s1", "s2")]
    command = ["annotate", *inputs, "--no-model", "--clients", str(tmp_path / "clients.csv")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert [s.transcript.meta["client_id"] for s in rk.load(tmp_path / "out")] == ["K1", "K1"]
    assert "1 of its sessions are not in this run" in capsys.readouterr().err
    (tmp_path / "clients.csv").write_text("session_id,client_id\ns1,K1\ns1,K2\n", "utf-8")
    assert main([*command, "--out", str(tmp_path / "again")]) == 2
    assert "clients.csv, line 3: this session has another client above" in capsys.readouterr().err


def test_originals_that_cannot_be_found_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path("recordings")
    source.mkdir()
    original = (ROOT / "tests" / "elan" / "prefixes_28.eaf").read_bytes()
    (source / "s1.eaf").write_bytes(original)
    assert main(["annotate", str(source / "s1.eaf"), "--no-model", "--out", str(tmp_path / "out")]) == 0
    command = ["export", str(tmp_path / "out"), "--format", "eaf"]
    assert main([*command, "--originals", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a")]) == 2
    assert main([*command, "--originals", str(tmp_path / "out"), "--out", str(tmp_path / "a")]) == 2
    assert "s1 (0 files are called s1.eaf)" in capsys.readouterr().err
    # the files themselves were annotated, and not their folder: they are found by name
    assert main([*command, "--originals", str(source), "--out", str(tmp_path / "b")]) == 0
    assert original.count(b"<TIER ") < (tmp_path / "b" / "s1.eaf").read_bytes().count(b"<TIER ")


def test_originals_count_where_the_markers_went_into_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "sessions", tmp_path / "out"
    source.mkdir()
    (source / "s1.eaf").write_bytes((ROOT / "tests" / "elan" / "prefixes_28.eaf").read_bytes())
    (source / "s2.txt").write_text("T: How was the week?\nC: Long.\n", "utf-8")
    for who, tier in (("therapist", "T"), ("client", "C")):
        (source / f"s3_{who}.TextGrid").write_text(
            f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n1\n"IntervalTier"\n"{tier}"\n'
            f'0\n2\n1\n0\n2\n"Hello, I am here."\n',
            "utf-8",
        )
    assert main(["annotate", str(source), "--no-model", "--out", str(out)]) == 0
    capsys.readouterr()
    # a session of two TextGrids becomes a new one
    for format, used in (("eaf", 1), ("textgrid", 0), ("label-studio", 0)):
        command = ["export", str(out), "--format", format, "--originals", str(source)]
        assert main([*command, "--out", str(tmp_path / format)]) == 0
        assert f"Originals were used for {used} of 3 sessions." in capsys.readouterr().out


def test_a_coder_whom_the_file_does_not_name_is_not_made_up(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (session,) = rk.load(annotated)
    given = rk.Marker(3, 0, 8, "withdrawal", "minimal_response", clarity=2, source="coder:CD")
    rk.export([rk.AnnotatedTranscript(session.transcript, (given,))], "eaf", tmp_path / "eaf")
    command = ["import", str(tmp_path / "eaf" / "*.eaf"), "--format", "eaf", "--transcripts", str(annotated)]
    assert main([*command, "--coder", "AB", "--out", str(tmp_path / "x.jsonl")]) == 1
    assert "it names CD, and has nothing for AB" in capsys.readouterr().err
    assert main([*command, "--coders", "CD=AB", "--out", str(tmp_path / "x.jsonl")]) == 0
    (coding,) = rk.load(tmp_path / "x.jsonl")
    assert {m.source for m in coding.markers} == {c.source for c in coding.coded} == {"coder:AB"}
