"""What happens with bad input: each case through the command line, always beside a good session.

Whatever is wrong with a file, the good one beside it is done, exit code 1 says that something failed,
``run.json`` says what and why, and no word of any file is on the screen or in ``run.json``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import docx
import pytest

from rupturekit import work
from rupturekit.cli import main

GOOD = (
    "T: Where would you like to begin this afternoon?\n\n"
    "C: With the argument about the garden, I suppose.\n\n"
    "T: Go ahead.\n\n"
    "C: It was loud and then it was over.\n"
)


class Run:
    """One run over a folder with a good session and what a test puts beside it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder / "in"
        self.out = folder / "out"
        self.folder.mkdir()
        self.capsys = capsys
        self.shown = ""
        self.put("good.txt", GOOD)

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def annotate(self, *more: str, good: bool = True) -> int:
        code = main(["annotate", str(self.folder), "--out", str(self.out), "--no-model", *more])
        shown = self.capsys.readouterr()
        self.shown = shown.out + shown.err
        if good:
            assert self["good.txt"]["outcome"] == "done"
            assert "good" in {row["session_id"] for row in self.rows("sessions")}
        return code

    def __getitem__(self, name: str) -> dict[str, Any]:
        inputs = json.loads((self.out / "run.json").read_text("utf-8"))["inputs"]
        return dict(next(entry for entry in inputs if entry["path"] == name))

    def rows(self, stem: str) -> list[dict[str, str]]:
        csv.field_size_limit(1_000_000)  # Python's own default is below a long turn's length
        with (self.out / f"{stem}.csv").open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))

    def turns(self, session: str) -> list[dict[str, str]]:
        return [row for row in self.rows("turns") if row["session_id"] == session]

    def assert_quiet_about(self, *words: str) -> None:
        told = self.shown + (self.out / "run.json").read_text("utf-8")
        for word in ("afternoon", "garden", *words):
            assert word not in told


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


def word_file(*paragraphs: str) -> bytes:
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


TALK = ("T: Which part of the orchard frightened you?", "C: The far corner, behind the beehives.")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("bad.txt", b"", "the file is empty", id="empty text"),
        pytest.param("bad.txt", b" \n\n\t\n", "the file is empty", id="only white space"),
        pytest.param("bad.docx", b"", "the file is empty", id="empty docx"),
        pytest.param("bad.docx", word_file(), "no talk was found", id="docx without words"),
        pytest.param("bad.json", b"[]", "", id="empty list"),
        pytest.param("bad.csv", b"speaker,text\n", "", id="header alone"),
        pytest.param("bad.vtt", b"WEBVTT\n\n", "", id="captions without a cue"),
        pytest.param("bad.txt", bytes(range(256)) * 40, "", id="binary rubbish"),
        pytest.param("bad.docx", b"PK\x03\x04" + bytes(range(256)) * 4, "damaged or cut short", id="rubbish zip"),
        pytest.param("bad.docx", word_file(*TALK)[:-600], "damaged or cut short", id="truncated docx"),
        pytest.param(
            "bad.json",
            json.dumps([{"speaker": "T", "text": TALK[0]}, {"speaker": "C", "text": TALK[1]}])[:-30].encode(),
            "",
            id="truncated json",
        ),
        pytest.param(
            "bad.jsonl",
            (json.dumps({"speaker": "T", "text": TALK[0]}) + '\n{"speaker": "C", "text": "beehiv').encode(),
            "line 2",
            id="truncated jsonl",
        ),
        pytest.param("bad.txt", b"%PDF-1.7 orchard", "a PDF", id="pdf"),
        pytest.param("bad.txt", "\n".join(["Ann: My orchard."] * 4).encode(), "speaker", id="one speaker"),
        pytest.param("bad.txt", b"Which orchard?\n\nThe far one.\n\nBehind the beehives?\n", "speaker", id="no labels"),
        pytest.param(
            "bad.txt", b"Ann: The orchard, again.\n\nBea: Again the beehives.\n", "--roles", id="unclear roles"
        ),
        pytest.param(
            "bad.txt",
            b"Therapist: Which orchard?\nHusband: The far one, again.\nWife: Again the beehives.\n",
            "a therapist, but no client",
            id="a couple without a client",
        ),
        pytest.param(
            "bad.txt",
            b"Therapist: So?\n" + b"Husband: How do you like the orchard?\nWife: I hate my orchard, I guess.\n" * 6,
            "a therapist, but no client",
            id="a couple who speak most",
        ),
        pytest.param(
            "bad.txt",
            b"Client: The orchard.\nAnn: Again the orchard.\nBea: Again the beehives.\n",
            "a client, but no therapist",
            id="two who could be the therapist",
        ),
        pytest.param(
            "bad.csv",
            b"Label,Text\nT,Which orchard?\nC,The far one.\n",
            '--columns "speaker=NAME"',
            id="no column for the speakers",
        ),
    ],
)
def test_it_fails_with_a_reason_and_the_rest_is_done(run: Run, name: str, content: bytes, reason: str) -> None:
    run.put(name, content)
    assert run.annotate() == 1
    outcome = run[name]
    assert outcome["outcome"] == "failed"
    assert reason in outcome["reason"]
    assert len(outcome["reason"]) > 20
    assert "unexpected" not in outcome["reason"]
    assert outcome["reason"] in run.shown.replace("rupturekit: ", "")
    assert [row["session_id"] for row in run.rows("sessions")] == ["good"]
    run.assert_quiet_about("orchard", "beehiv", "corner")


def test_a_wrong_suffix_is_read_by_its_content(run: Run) -> None:
    run.put("word.txt", word_file(*TALK))
    run.put("plain.docx", "\n\n".join(TALK))
    run.put("captions.txt", f"WEBVTT\n\n00:01.000 --> 00:02.000\n{TALK[0]}\n\n00:03.000 --> 00:04.000\n{TALK[1]}\n")
    assert run.annotate() == 0
    for session in ("word", "plain", "captions"):
        assert [row["role"] for row in run.turns(session)] == ["therapist", "client"]
        assert "beehives" in run.turns(session)[1]["text"]
    run.assert_quiet_about("orchard", "beehives")


def test_one_session_of_a_table_may_fail_and_the_others_are_done(run: Run) -> None:
    lines = ["session_id,speaker,text", "s1,therapist,Which orchard?", "s1,client,The far one."]
    lines += ["s2,Ann,The beehives.", "s2,Ann,All of them.", "s3,therapist,Which?", "s3,client,Those."]
    run.put("table.csv", "\n".join(lines) + "\n")
    assert run.annotate() == 1
    outcome = run["table.csv"]
    assert outcome["outcome"] == "failed"
    assert "1 of 3 sessions" in outcome["reason"]
    assert [s["outcome"] for s in outcome["sessions"]] == ["done", "failed", "done"]
    assert [row["session_id"] for row in run.rows("sessions")] == ["good", "s1", "s3"]
    run.assert_quiet_about("orchard", "beehives")


def test_an_unlabelled_file_is_done_once_the_roles_are_given(run: Run) -> None:
    run.put("open.txt", "Ann: The orchard, again.\n\nBea: Again the beehives.\n")
    (run.folder / "good.txt").unlink()
    assert run.annotate("--roles", "Ann=therapist,Bea=client", good=False) == 0
    assert [row["role"] for row in run.turns("open")] == ["therapist", "client"]


def test_a_session_of_five_hours_is_done(run: Run) -> None:
    def clock(seconds: int) -> str:
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000"

    cues = []
    for i in range(3000):
        who, what = ("Therapist", "And then what?") if i % 2 == 0 else ("Client", "More of the same orchard.")
        cues.append(f"{clock(6 * i)} --> {clock(6 * i + 5)}\n{who}: {what}\n")
    run.put("long.vtt", "WEBVTT\n\n" + "\n".join(cues))
    assert run.annotate() == 0
    turns = run.turns("long")
    assert len(turns) == 3000
    assert turns[-1]["end_s"] == "17999.000"
    run.assert_quiet_about("orchard")


def test_a_turn_of_200_000_characters_is_kept_whole_and_flagged(run: Run) -> None:
    monologue = " ".join(["and the orchard went on"] * 8700)
    assert len(monologue) > 200_000
    talk = [("T", "Go on."), ("C", monologue), ("T", "I see."), ("C", "That is all.")]
    run.put("text.txt", "\n\n".join(f"{who}: {what}" for who, what in talk))
    run.put("table.csv", "\n".join(f"{who},{what}" for who, what in [("speaker", "text"), *talk]))
    run.put("list.json", json.dumps([{"speaker": who, "text": what} for who, what in talk]))
    csv.field_size_limit(131_072)
    assert run.annotate() == 0
    for session in ("text", "table", "list"):
        turn = run.turns(session)[1]
        assert turn["text"] == monologue
        assert "minute_long" in turn["flags"].split(";")
    run.assert_quiet_about("orchard")


@pytest.mark.parametrize("client", ["🌻 Sunny 🌻", "דנה", "ليلى", "Zoë-Łucja", "李娜"])
def test_emoji_and_right_to_left_names_stay_as_they_are(run: Run, client: str) -> None:
    run.put("names.txt", f"Therapist: Which orchard?\n\n{client}: The far one.\n\nTherapist: And?\n\n{client}: No.\n")
    assert run.annotate() == 0
    turns = run.turns("names")
    assert [turn["speaker"] for turn in turns] == ["Therapist", client] * 2
    assert [turn["role"] for turn in turns] == ["therapist", "client"] * 2
    assert turns[1]["text"] == "The far one."


def test_a_file_name_of_emoji_is_a_session_id(run: Run) -> None:
    run.put("🌻 ليلى.txt", "\n\n".join(TALK))
    assert run.annotate() == 0
    assert len(run.turns("🌻 ليلى")) == 2


def test_duplicate_session_ids_are_told_apart(run: Run) -> None:
    (run.folder / "b").mkdir()
    table = "session_id,speaker,text\n1,T,Which orchard?\n1,C,The far one.\n"
    for name in ("x.csv", "b/y.csv"):
        run.put(name, table)
    for name in ("same.txt", "same.docx", "b/same.txt"):
        run.put(name, "\n\n".join(TALK))
    assert run.annotate() == 0
    ids = [row["session_id"] for row in run.rows("sessions")]
    assert ids == ["b/same.txt", "1", "good", "same.docx", "same.txt", "x.csv:1"]
    assert len(run.turns("x.csv:1")) == 2


def test_an_unreadable_file_fails_and_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.put("locked.txt", "\n\n".join(TALK))
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "locked.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert run.annotate() == 1
    assert "Permission denied" in run["locked.txt"]["reason"]


def test_a_folder_that_is_called_like_a_file_is_skipped_with_a_reason(run: Run) -> None:
    (run.folder / "folder.txt").mkdir()
    (run.folder / "dangling.txt").symlink_to(run.folder / "nothing.txt")
    assert run.annotate() == 1
    assert run["folder.txt"]["outcome"] == "skipped"
    assert "a folder" in run["folder.txt"]["reason"]
    assert "No such file" in run["dangling.txt"]["reason"]


def test_an_error_nobody_thought_of_is_told_without_its_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.put("odd.txt", "\n\n".join(TALK))
    segment = work.segment

    def fail(raw: Any, **settings: Any) -> Any:
        if settings["id"] == "odd":
            raise RuntimeError(f"cannot digest {raw.utterances[0].text}")
        return segment(raw, **settings)

    monkeypatch.setattr(work, "segment", fail)
    assert run.annotate() == 1
    assert re.match(r"unexpected RuntimeError in test_bad_input\.py:\d+; ", run["odd.txt"]["reason"])
    run.assert_quiet_about("orchard", "beehives")


def test_an_output_folder_with_outputs_is_refused_unless_overwrite(run: Run) -> None:
    assert run.annotate() == 0
    before = (run.out / "turns.csv").read_bytes()
    run.put("more.txt", "\n\n".join(TALK))
    assert run.annotate() == 2
    assert "--overwrite" in run.shown
    assert (run.out / "turns.csv").read_bytes() == before
    (run.out / "notes.txt").write_text("mine", "utf-8")
    assert run.annotate("--overwrite") == 0
    assert len(run.turns("more")) == 2
    assert (run.out / "notes.txt").read_text("utf-8") == "mine"


def test_an_empty_output_folder_is_fine_and_a_file_is_not(run: Run) -> None:
    run.out.mkdir()
    assert run.annotate() == 0
    file = run.put("taken", "mine")
    assert main(["annotate", str(run.folder / "good.txt"), "--no-model", "--out", str(file)]) == 2
    assert file.read_text("utf-8") == "mine"


def test_a_run_in_which_everything_fails_still_tells_of_it(run: Run) -> None:
    (run.folder / "good.txt").unlink()
    run.put("bad.txt", b"")
    assert run.annotate(good=False) == 1
    assert run["bad.txt"]["outcome"] == "failed"
    assert run.rows("turns") == []
