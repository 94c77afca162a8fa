from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rupturekit as rk
from rupturekit import batch
from rupturekit.cli import main

GOOD = (
    "T: How is it for you, coming here every week?\n\n"
    "C: To be honest, this isn't helping.\n\n"
    "T: Have I missed something important?\n\n"
    "C: You keep asking about my mother, and I wanted to talk about work.\n"
)
OUTPUTS = {"turns.csv", "markers.csv", "sessions.csv", "annotations.jsonl", "run.json"}


def annotate(*arguments: object) -> int:
    return main(["annotate", "--no-model", *map(str, arguments)])


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def report(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "run.json").read_text("utf-8")))


def outcomes(out: Path) -> dict[str, str]:
    return {entry["path"]: entry["outcome"] for entry in report(out)["inputs"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "in"
    for name in ("b.txt", "a.txt", "deep/c.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(GOOD, "utf-8")
    return place


def test_a_folder_becomes_one_set_of_outputs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "out"
    assert annotate(folder, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == OUTPUTS
    assert [row["session_id"] for row in table(out / "sessions.csv")] == ["a", "b", "c"]
    assert len(table(out / "turns.csv")) == 12
    found = {(row["turn"], row["marker"]) for row in table(out / "markers.csv")}
    assert {("1", "complaint_progress"), ("2", "invite_feelings")} <= found
    assert [a.transcript.id for a in rk.load(out)] == ["a", "b", "c"]
    shown = capsys.readouterr()
    assert "3 in all" in shown.out
    assert str(out) in shown.out
    assert "helping" not in shown.out + shown.err
    assert shown.err == ""


def test_a_family_is_present_exactly_where_markers_csv_has_a_row(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    annotate(folder, "--out", out)
    rows = {(r["session_id"], r["turn"], r["marker"]) for r in table(out / "markers.csv")}
    joined = {
        (r["session_id"], r["turn"], marker)
        for r in table(out / "turns.csv")
        for marker in r["markers"].split(";")
        if marker
    }
    assert rows == joined
    for session in table(out / "sessions.csv"):
        mine = [r for r in table(out / "markers.csv") if r["session_id"] == session["session_id"]]
        for family in ("confrontation", "withdrawal", "resolution", "therapist_defensive"):
            turns = {r["turn"] for r in mine if r["family"] == family}
            assert int(session[f"n_{family}"]) == len(turns)


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    annotate(folder, "--out", first)
    annotate(folder, "--out", second)
    for name in OUTPUTS:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_table_of_sessions_and_files_go_together(folder: Path, tmp_path: Path) -> None:
    lines = [f"s{n},{who},Well I said that already" for n in range(3) for who in ("therapist", "client")]
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("\n".join(["session_id,speaker,utterance_here", *lines]) + "\n", "utf-8")
    out = tmp_path / "out"
    assert annotate(sheet, folder / "a.txt", "--out", out, "--columns", "text=utterance_here") == 0
    assert [row["session_id"] for row in table(out / "sessions.csv")] == ["s0", "s1", "s2", "a"]
    assert report(out)["settings"]["columns"] == {"text": "utterance_here"}


@pytest.mark.parametrize(
    ("name", "text", "given", "roles"),
    [
        (
            "s.txt",
            "Speaker 1: this isn't helping.\n\nSpeaker 2: Tell me more.\n",
            "Speaker 1=client, Speaker 2=therapist",
            ["client", "therapist"],
        ),
        (
            "labels with commas.csv",
            'speaker,text\n"Tan, Jake, B.",What brings you?\n"Weber, Ruth",My back hurts.\n',
            "Tan, Jake, B.=therapist, Weber, Ruth=client",
            ["therapist", "client"],
        ),
        (
            "labels in an odd form.txt",
            "Dr. M. O'Neill (she/her): What brings you?\nPartner 2 [Sam]: My back hurts.\n",
            "dr. m. o'neill (she/her)=therapist,Partner 2 [Sam]=client",
            ["therapist", "client"],
        ),
    ],
)
def test_roles_are_taken_from_the_command_line(
    tmp_path: Path, name: str, text: str, given: str, roles: list[str]
) -> None:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    out = tmp_path / "out"
    assert annotate(file, "--out", out, "--roles", given) == 0
    assert [row["role"] for row in table(out / "turns.csv")] == roles
    assert table(out / "sessions.csv")[0]["role_source"] == "given"
    assert report(out)["unused_roles"] == []


def test_one_map_of_roles_serves_a_folder_and_a_label_that_nobody_bears_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for client in ("Ann", "Ben"):
        (folder / f"{client}.txt").write_text(f"Lee: Tell me more.\n\n{client}: I did.\n", "utf-8")
    out = tmp_path / "out"
    assert annotate(folder, "--out", out, "--roles", "Lee=therapist,Ann=client,Bean=client,ben=client") == 0
    source = {row["session_id"]: row["role_source"] for row in table(out / "sessions.csv")}
    assert source == {"Ann": "given", "Ben": "given", "a": "labels", "b": "labels", "c": "labels"}
    assert report(out)["unused_roles"] == [3]
    assert "label 3 is no speaker in any session" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--roles", "Speaker 1=patient"],
        ["--roles", "Speaker 1"],
        ["--roles", "Speaker 1=client,Speaker 2"],
        ["--roles", "Speaker 1=client,"],
        ["--roles", "A=client,A=therapist"],
        ["--format", "excel"],
        ["--key-file", "key"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(
    folder: Path, tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotate(folder, "--out", tmp_path / "out", *wrong) == 2
    assert capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_there_or_hold_nothing_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert annotate(tmp_path / "nowhere", "--out", out) == 2
    assert "no such file or folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert annotate(tmp_path / "empty", "--out", out) == 2
    assert "no transcript" in capsys.readouterr().err
    assert not out.exists()


def test_what_rupturekit_wrote_among_the_transcripts_is_no_transcript(folder: Path, tmp_path: Path) -> None:
    first, second, named = folder / "annotated", tmp_path / "second", tmp_path / "named"
    assert annotate(folder, "--out", first) == 0
    assert main(["report", str(first)]) == 0
    lines = ("sheet --out AB.xlsx", "sheet --out CD.csv", "sample --n 2 --out drawn", "export --format eaf --out eaf")
    for line in lines:
        command, *rest, out = line.split()
        assert main([command, str(first), *rest, str(folder / out)]) == 0
    assert annotate(folder, "--out", second) == 0
    assert (second / "turns.csv").read_bytes() == (first / "turns.csv").read_bytes()
    skipped = {e["path"] for e in report(second)["inputs"] if e["outcome"] == "skipped"}
    assert {"AB.xlsx", "CD.csv", "CD.turns.csv", "drawn/made-by.json", "eaf/made-by.json"} <= skipped
    assert not any(path.startswith("annotated/") for path in skipped)
    # what is asked for is read
    assert annotate(folder / "eaf", "--out", named) == 0
    assert report(named)["counts"]["done"] == report(second)["counts"]["done"]


def test_what_is_no_transcript_is_skipped_with_a_reason(folder: Path, tmp_path: Path) -> None:
    for name in ("README.md", ".hidden.txt", "~$a.docx", "photo.png", ".git/config.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x89PNG")
    out = tmp_path / "out"
    assert annotate(folder, "--out", out) == 0
    skipped = {e["path"]: e["reason"] for e in report(out)["inputs"] if e["outcome"] == "skipped"}
    assert set(skipped) == {"README.md", ".hidden.txt", "~$a.docx", "photo.png"}
    assert all(skipped.values())
    assert report(out)["counts"] == {"done": 3, "skipped": 4, "failed": 0}


def test_outputs_inside_the_input_folder_are_never_read_back(folder: Path) -> None:
    assert annotate(folder, "--out", folder / "first") == 0
    assert annotate(folder, "--out", folder / "second") == 0
    assert annotate(folder, "--out", folder / "second", "--overwrite") == 0
    assert set(outcomes(folder / "second")) == {"a.txt", "b.txt", "deep/c.txt"}
    for more in ([], ["--overwrite"]):
        assert annotate(folder, "--out", folder, *more) == 0
        assert set(outcomes(folder)) == {"a.txt", "b.txt", "deep/c.txt"}


def test_files_of_one_stem_are_called_by_their_path(folder: Path, tmp_path: Path) -> None:
    (folder / "deep" / "a.txt").write_text(GOOD, "utf-8")
    out = tmp_path / "out"
    annotate(folder, "--out", out)
    ids = [row["session_id"] for row in table(out / "sessions.csv")]
    assert ids == ["a.txt", "b", "deep/a.txt", "c"]
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    annotate(folder, other, "--out", out, "--overwrite")
    ids = [row["session_id"] for row in table(out / "sessions.csv")]
    assert len(ids) == len(set(ids)) == 8


def test_a_file_given_twice_is_done_once(folder: Path, tmp_path: Path) -> None:
    annotate(folder / "a.txt", folder / "a.txt", "--out", tmp_path / "out")
    assert len(table(tmp_path / "out" / "sessions.csv")) == 1


def test_without_text_nothing_of_the_input_is_left_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "Marigold clinic"
    place.mkdir()
    talk = GOOD.replace("T:", "Quentin:").replace("C:", "Ophelia:")
    (place / "Ophelia one.txt").write_text(talk, "utf-8")
    (place / "Ophelia broken.docx").write_bytes(b"PK\x03\x04 rubbish")
    (place / "Ophelia alone.txt").write_text("Ophelia: Hello there.\n\nOphelia: Nobody home.\n", "utf-8")
    out = tmp_path / "out"
    code = annotate(place, "--out", out, "--no-text", "--roles", "Quentin=therapist,Ophelia=client")
    assert code == 1
    assert report(out)["settings"]["no_text"] is True
    shown = capsys.readouterr()
    everything = [shown.out, shown.err, *(path.read_text("utf-8") for path in out.iterdir())]
    for text in everything:
        for secret in ("Ophelia", "Quentin", "Marigold", "helping", "mother", "Hello"):
            assert secret not in text.replace(str(out), "")
    assert len(table(out / "turns.csv")[0]["session_id"]) == 16
    assert [row["text"] for row in table(out / "turns.csv")][:4] == [""] * 4


def test_hashes_are_new_in_every_run_unless_a_key_file_is_given(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"a secret of some length")

    def ids(name: str, *more: object) -> list[str]:
        annotate(folder, "--out", tmp_path / name, "--no-text", *more)
        return [row["session_id"] for row in table(tmp_path / name / "sessions.csv")]

    assert ids("one") != ids("two")
    assert ids("three", "--key-file", key) == ids("four", "--key-file", key)
    assert b"secret" not in (tmp_path / "three" / "run.json").read_bytes()
    key.write_bytes(b"a secret of some length\r\n")  # as an editor leaves it
    assert ids("five", "--key-file", key) == ids("six", "--key-file", key)
    assert ids("seven", "--key-file", key) == ids("three", "--key-file", key)


@pytest.mark.parametrize(
    ("key", "told"), [(b"\n", "0 characters"), (b"hospital 7\n", "10 characters"), (None, "no file")]
)
def test_a_secret_that_can_be_guessed_or_is_not_there_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: bytes | None, told: str
) -> None:
    """Ids are short, so that with a short secret whoever has the hashes tries them all."""
    file = tmp_path / "key"
    if key is not None:
        file.write_bytes(key)
    assert annotate(folder, "--out", tmp_path / "out", "--no-text", "--key-file", file) == 2
    said = capsys.readouterr().err
    assert told in said
    assert str(file) in said
    assert "hospital" not in said
    assert not (tmp_path / "out").exists()


def outputs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_an_interrupted_run_leaves_no_outputs_and_goes_on_when_it_is_started_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(batch.Writer, "write", stop)
        assert annotate(folder, "--out", tmp_path / "out") == 130
    assert "start the run again" in capsys.readouterr().err
    assert outputs(tmp_path / "out") == {}
    assert annotate(folder, "--out", tmp_path / "out") == 0
    assert "had been done by an earlier run" in capsys.readouterr().out
    annotate(folder, "--out", tmp_path / "whole")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    assert not (tmp_path / "out" / ".rupturekit").exists()


def test_an_interrupted_run_leaves_the_earlier_outputs_as_they_were(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    annotate(folder, "--out", out)
    before = outputs(out)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch.Writer, "write", stop)
    assert annotate(folder, "--out", out, "--overwrite") == 130
    assert outputs(out) == before


def test_check_shows_how_a_file_was_read_and_none_of_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.txt"
    file.write_text(GOOD, "utf-8")
    assert main(["check", str(file)]) == 0
    shown = capsys.readouterr().out
    for fact in ("format text", "utf-8", "sessions: 1", "T = therapist (2)", "C = client (2)", "turns: 4"):
        assert fact in shown
    assert "flags: no_times" in shown
    for word in ("helping", "mother", "missed"):
        assert word not in shown


def test_check_tells_how_much_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.csv"
    file.write_text("turn,speaker,text\n1,T,How was it?\n1,T,How was it?\n2,C,Long.\n2,C,Long.\n", "utf-8")
    text = tmp_path / "s.txt"
    text.write_text(f"Date: 2021-05-04\n\n{GOOD}", "utf-8")
    assert main(["check", str(file), str(text)]) == 0
    shown = capsys.readouterr().out
    assert "    left out: duplicate rows (2)\n" in shown
    assert "    left out: header lines (1)\n" in shown
    assert main(["check", "--json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["sessions"][0]["left_out"] == {"duplicate_rows": 2}


def test_check_takes_a_folder_as_annotate_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "scan.png").write_bytes(b"\x89PNG")
    assert annotate(folder, "--out", folder / "out") == 0
    capsys.readouterr()
    assert main(["check", str(folder)]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert shown == [str(folder / name) for name in ("a.txt", "b.txt", "deep/c.txt")]
    (folder / "none").mkdir()
    assert main(["check", str(folder / "none")]) == 1
    assert "no transcript in this folder" in capsys.readouterr().err


def test_check_tells_why_roles_stay_open_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_file, good = tmp_path / "open.txt", tmp_path / "good.txt"
    open_file.write_text("Ann: Rain again.\n\nBea: Rain again indeed.\n", "utf-8")
    good.write_text(GOOD, "utf-8")
    assert main(["check", str(open_file), str(tmp_path / "none.txt"), str(good)]) == 1
    shown = capsys.readouterr()
    assert "Ann = ? (1)" in shown.out
    assert "turns: 4" in shown.out
    assert "--roles" in shown.err
    assert "none.txt" in shown.err
    assert "again" not in shown.out + shown.err


def test_check_tells_a_given_label_that_nobody_bears(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "one.txt").write_text("Lee: Tell me more.\n\nAnn: I did.\n", "utf-8")
    command = ["check", str(folder / "a.txt"), str(folder / "one.txt"), "--roles"]
    assert main([*command, "LEE=therapist,Bean=client,Ann=client"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "rupturekit: --roles: label 2 is no speaker in any session\n"
    assert "roles from given" in shown.out
    assert main([*command, "Lee=therapist,T=therapist"]) == 0
    assert capsys.readouterr().err == ""


def test_names_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.json"
    talk = [{"speaker": "\u001b[31mT", "text": "How are you?"}, {"speaker": "C", "text": "Fine, thanks."}]
    file.write_text(json.dumps(talk), "utf-8")
    main(["check", str(file)])
    shown = capsys.readouterr()
    assert "\u001b" not in shown.out + shown.err


# --- what the screen shows ----------------------------------------------------------------------------


def test_commands_answer_in_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: object) -> Any:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        shown = capsys.readouterr()
        assert "helping" not in shown.out + shown.err
        return json.loads(shown.out)

    out = tmp_path / "out"
    run = told("annotate", folder, "--out", out, "--no-model")
    assert [entry["outcome"] for entry in run["inputs"]] == ["done"] * 3
    assert run["inputs"] == report(out)["inputs"]
    (file,) = told("check", folder / "a.txt")
    assert file["format"] == "text"
    assert [speaker["role"] for speaker in file["sessions"][0]["speakers"]] == ["therapist", "client"]
    assert told("export", out, "--format", "label-studio", "--out", tmp_path / "tool")["sessions"] == 3
    assert told("sheet", out, "--out", tmp_path / "sheet.csv", "--coder", "AB")["files"]
    coding = told("import", tmp_path / "sheet.csv", "--format", "sheet", "--transcripts", out,
                  "--coder", "AB", "--out", tmp_path / "AB.jsonl")  # fmt: skip
    assert coding["sessions"] == 3
    assert set(coding["markers"]) == {"AB"}
    table_of = told("agree", tmp_path / "AB.jsonl", out, "--draws", "20")["table"]
    assert {"confrontation", "withdrawal"} <= {row["name"] for row in table_of}
    pages = told("report", out)["files"]
    assert str(out / "html" / "index.html") in pages


def test_what_failed_is_told_in_json_and_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.txt"), "--json"]) == 1
    assert "error" in json.loads(capsys.readouterr().out)[0]


def on_a_terminal(*arguments: object, **environment: str) -> str:
    """Run the command line as on a terminal of 100 columns, and return what it showed."""
    pty = pytest.importorskip("pty")
    above, below = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    environment = {**known, "TERM": "xterm-256color", "COLUMNS": "100", **environment}
    command = [sys.executable, "-m", "rupturekit", *map(str, arguments)]
    with subprocess.Popen(command, stdin=below, stdout=below, stderr=subprocess.DEVNULL, env=environment) as run:
        os.close(below)
        shown = b""
        try:
            while block := os.read(above, 1 << 16):
                shown += block
        except OSError:  # how Linux says that nobody writes any more
            pass
    os.close(above)
    assert run.returncode == 0
    return shown.decode()


def test_a_terminal_gets_a_drawn_table_and_a_pipe_plain_text(folder: Path, tmp_path: Path) -> None:
    shown = on_a_terminal("annotate", folder, "--out", tmp_path / "one", "--no-model")
    assert "\x1b[1m" in shown
    assert "━" in shown or "─" in shown
    without = on_a_terminal("annotate", folder, "--out", tmp_path / "two", "--no-model", NO_COLOR="1")
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", without)
    command = [sys.executable, "-m", "rupturekit", "annotate", str(folder), "--out", str(tmp_path / "three")]
    piped = subprocess.run([*command, "--no-model"], capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout + piped.stderr
    assert "─" not in piped.stdout


def test_pages_are_a_format(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert annotate(folder, "--out", out, "--format", "html") == 0
    assert {path.name for path in out.iterdir()} == OUTPUTS | {"html"}
    assert len(list((out / "html" / "sessions").iterdir())) == 3
    # pages are written over when that is asked for, and nothing that somebody else has put there
    assert annotate(folder, "--out", out, "--format", "html", "--overwrite") == 0
    (out / "html" / "correction.jsonl").write_text("{}", "utf-8")
    capsys.readouterr()
    assert annotate(folder, "--out", out, "--format", "html", "--overwrite") == 2
    assert "html" in capsys.readouterr().err
    hidden = tmp_path / "hidden"
    assert annotate(folder, "--out", hidden, "--format", "html", "--no-text") == 0
    for page in (hidden / "html").rglob("*.html"):
        assert "helping" not in page.read_text("utf-8")


def test_a_table_of_clients_that_is_no_csv_is_told_by_its_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = tmp_path / "clients.csv"
    clients.write_text("session_id,client_id\na,K1\nb," + "Meadow" * 30_000 + "\n", "utf-8")
    limit = csv.field_size_limit(131_072)
    try:
        assert annotate(folder, "--out", tmp_path / "out", "--clients", clients) == 2
    finally:
        csv.field_size_limit(limit)
    told = capsys.readouterr().err
    assert "line 3" in told
    assert "Meadow" not in told


def test_a_help_text_says_what_holds_where_an_option_is_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agree", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "what is a unit; turn if not given" in told
    assert "name no turn; 300 if not given" in told
    assert "draws the same; 0 if not given" in told
    assert main(["course", "--help"]) == 0
    assert "if not given" not in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coded = tmp_path / "coded.csv"
    coded.write_text("session,turn,speaker,text\ns,1,T,Hello.\ns,2,C,Hello.\n", "utf-8")
    labels = {"session": "s", "turn": 2, "raters": ["A"], "codes": {}}
    (tmp_path / "coded.labels.jsonl").write_text(json.dumps(labels), "utf-8")
    assert main(["evaluate", str(coded), "--against", str(tmp_path / "gone")]) == 2
    assert "gone: no such file or folder" in capsys.readouterr().err
