"""Label Studio: out as tasks and a labelling interface, back from its JSON export.

`export` gives what Label Studio 1.23.2 writes (of the keys that are not read, a few): its regions were made in the
browser, with the mouse, on tasks that were written here. Only ids and numbers were changed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from coded_sessions import (
    AB,
    BOOK,
    MACHINE,
    SESSION,
    STUDY,
    TALK,
    coded_by,
    coded_sessions,
    coded_turns,
    coders_markers,
    on,
    read_back,
    refused,
    written,
)
from rupturekit.annotation import AnnotatedTranscript, Marker
from rupturekit.exchange import import_codes, label_studio
from rupturekit.readers.raw import ReadError
from rupturekit.transcript import Transcript, Turn

AUTHORS = ("T (therapist)", "C (client)", "T (therapist)", "C (client)", "X (other)")


def region(id: str, code: str, start: int, end: int, from_: int, to: int, text: str, **more: Any) -> dict[str, Any]:
    place = {"start": str(start), "end": str(end), "startOffset": from_, "endOffset": to, "text": text}
    return {
        "value": {**place, "paragraphlabels": [code]},
        "id": id,
        "from_name": "marker",
        "to_name": "dialogue",
        "type": "paragraphlabels",
        "origin": "manual",
        **more,
    }


def export(*results: list[dict[str, Any]], **annotation: Any) -> list[dict[str, Any]]:
    annotations = [
        {"id": 5 + i, "completed_by": 7 + i, "was_cancelled": False, "ground_truth": False, "result": r} | annotation
        for i, r in enumerate(results)
    ]
    dialogue = [{"author": who, "text": text, "turn": i} for i, (who, text) in enumerate(zip(AUTHORS, TALK))]
    return [
        {
            "id": 3,
            "annotations": annotations,
            "file_upload": "b8363677-tasks.json",
            "drafts": [],
            "predictions": [2],
            "data": {"session": "s1", "dialogue": dialogue},
            "meta": {},
            "total_annotations": len(results),
            "project": 4,
        }
    ]


# offsets as the browser counted them: each of the emoji in front is two
REALLY = region("WRWi29Rsiw", "C5 complaint_progress", 1, 1, 37, 43, "really")
ACROSS = region(
    "IR2KAvcrCL", "C6 defends_self", 1, 3, 21, 21,
    "point of this, «really» & so.\n00:00:20 - 00:00:28\nHave I missed something?\n\n00:00:30\nאני לא יודע, whatever",
)  # fmt: skip
TAKEN = region(
    "m0", "C5 complaint_progress", 1, 1, 7, 26, "don't see the point",
    origin="prediction", score=0.83,
    meta={"text": ["rule C5-003: doubts it"], "source": "rule", "rule_id": "C5-003", "note": "doubts it"},
)  # fmt: skip
CLEAR = {
    **TAKEN,
    "from_name": "clarity",
    "type": "choices",
    "value": {"start": "1", "end": "1", "startOffset": 7, "endOffset": 26, "choices": ["2 clear"]},
}


def saved(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "project-4-at-2026-01-31.json"
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def test_what_the_browser_wrote_is_read(tmp_path: Path) -> None:
    (session,) = read_back(label_studio, saved(tmp_path, export([REALLY, TAKEN, CLEAR, ACROSS]))).values()
    who = "coder:7"
    assert set(session.markers) == {
        on(1, "really", "complaint_progress", source=who),
        # the machine's, taken over: its score and rule are not the coder's
        on(1, "don't see the point", "complaint_progress", source=who, clarity=2, note="doubts it"),
        # over the therapist's turn in between
        on(1, "point of this, «really» & so.", "defends_self", source=who),
        on(3, "אני לא יודע, whatever", "defends_self", source=who),
    }
    assert session.coded == coded_by(who)


def test_a_remark_that_was_changed_is_the_note_and_a_deleted_one_is_none(tmp_path: Path) -> None:
    changed = {**TAKEN, "meta": {**TAKEN["meta"], "text": ["no, mild"]}}
    gone = {**TAKEN, "meta": {key: value for key, value in TAKEN["meta"].items() if key != "text"}}
    for one, note in ((changed, "no, mild"), (gone, None)):
        (session,) = read_back(label_studio, saved(tmp_path, export([one]))).values()
        assert session.markers[0].note == note


@pytest.mark.parametrize(
    ("who", "source"),
    [
        (3, "coder:3"),
        ({"id": 3, "email": "zoe@example.org", "first_name": "Zoe"}, "coder:zoe@example.org"),
        ({"id": 3}, "coder:3"),
        (None, "coder:"),
    ],
)
def test_a_coder_is_the_field_or_else_the_user(tmp_path: Path, who: object, source: str) -> None:
    (session,) = read_back(label_studio, saved(tmp_path, export([REALLY], completed_by=who))).values()
    assert {m.source for m in session.markers} == {c.source for c in session.coded} == {source}
    field = {"id": "x", "from_name": "coder", "to_name": "dialogue", "type": "textarea", "value": {"text": ["JO "]}}
    (session,) = read_back(label_studio, saved(tmp_path, export([field, REALLY], completed_by=who))).values()
    assert {m.source for m in session.markers} == {c.source for c in session.coded} == {"coder:JO"}


def test_the_score_of_another_model_is_not_the_coders(tmp_path: Path) -> None:
    (session,) = read_back(label_studio, saved(tmp_path, export([{**REALLY, "score": 0.4}]))).values()
    assert session.markers == (on(1, "really", "complaint_progress", source="coder:7"),)


def test_empty_is_none_and_skipped_or_untouched_is_not_coded(tmp_path: Path) -> None:
    (session,) = read_back(label_studio, saved(tmp_path, export([]))).values()
    assert session.markers == ()
    assert session.coded == coded_by("coder:7")
    assert not read_back(label_studio, saved(tmp_path, export([REALLY], was_cancelled=True)))
    untouched = export()
    untouched[0]["drafts"] = [{"user": "a@example.org", "result": [REALLY]}]
    untouched[0]["predictions"] = [{"result": [REALLY], "model_version": "rupturekit"}]
    assert not read_back(label_studio, saved(tmp_path, untouched))


def test_two_coders_of_one_session_in_two_tasks_are_one_session(tmp_path: Path) -> None:
    tasks = [*export([REALLY]), *export([REALLY], completed_by=8)]
    (session,) = label_studio.read(saved(tmp_path, tasks), {"s1": SESSION}, BOOK)
    assert {m.source for m in session.markers} == {"coder:7", "coder:8"}
    tasks[1]["annotations"][0]["completed_by"] = 7
    assert "session s1 has two annotations by coder:7" in refused(label_studio, saved(tmp_path, tasks))


def test_a_task_without_a_session_is_of_the_only_one(tmp_path: Path) -> None:
    tasks = export([REALLY])
    del tasks[0]["data"]["session"]
    assert list(read_back(label_studio, saved(tmp_path, tasks))) == ["s1"]
    other = AnnotatedTranscript(Transcript("s2", SESSION.turns))
    assert "'project-4-at-2026-01-31', which is not among" in refused(
        label_studio, saved(tmp_path, tasks), STUDY, other
    )


def edited(tasks: list[dict[str, Any]]) -> None:
    tasks[0]["data"]["dialogue"][3]["text"] = "Something else altogether."


def shorter(tasks: list[dict[str, Any]]) -> None:
    del tasks[0]["data"]["dialogue"][4]


def of(**value: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda tasks: tasks[0]["annotations"][0]["result"][0]["value"].update(value)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (edited, "session s1, turn 3: the words are not those of the transcript"),
        (shorter, "session s1 has 4 turns in it and 5 in the transcript"),
        (of(paragraphlabels=["C9 made_up"]), "session s1, turn 1: the code C9 is not in the codebook 3rs-2015 1.0"),
        (of(paragraphlabels=["R4"]), "session s1, turn 1, code R4: it is a code for the therapist"),
        (of(endOffset=37, text=""), "session s1, turn 1, code C5: the code does not stand on words"),
        (of(endOffset=400), "task 1 is not as the tool writes it"),
        (of(startOffset=-1), "task 1 is not as the tool writes it"),
        (of(startOffset=1), "task 1 is not as the tool writes it"),  # within the first emoji
        (of(start="1", end="9"), "task 1 is not as the tool writes it"),
        (of(start="-1", end="-1"), "task 1 is not as the tool writes it"),
        (of(startOffset="7"), "task 1 is not as the tool writes it"),
        (of(startOffset=35, endOffset=41), "session s1, turn 1: the text of a region is not what its offsets stand on"),
        (
            lambda tasks: tasks[0]["annotations"][0]["result"][0].update(type="labels"),
            "another region than labels",
        ),
        (lambda tasks: tasks[0]["annotations"][0]["result"].append("C5"), "task 1 is not as the tool writes it"),
        (
            lambda tasks: tasks[0]["annotations"][0]["result"][0].update(meta={"text": [7]}),
            "is not as the tool writes it",
        ),
        (lambda tasks: tasks[0]["annotations"][0].update(result=None), "task 1 is not as the tool writes it"),
        (lambda tasks: tasks[0].pop("annotations"), "task 1 is not as the tool writes it (KeyError)"),
        (lambda tasks: tasks[0]["data"].update(session="s9"), "a session 's9', which is not among"),
        (lambda tasks: tasks.append(7), "task 2 is not as the tool writes it"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, harm: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    tasks = export([json.loads(json.dumps(REALLY))])
    harm(tasks)
    assert message in refused(label_studio, saved(tmp_path, tasks))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b'[{"data": {"session": "s1"', "the file is not valid JSON"),
        (b"\xff\xfe\x00\xd8", "the file is not valid JSON"),
        (b"[" * 100_000, "the file is not valid JSON"),
        (b'{"data": {}}', "it is not a list of tasks"),
        (b'[{"session": "s1", "dialogue": [], "annotator": 1, "annotation_id": 4}]', "this is Label Studio's JSON-MIN"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)
    assert message in refused(label_studio, path)


def test_tasks_that_were_given_out_are_not_what_came_back(tmp_path: Path) -> None:
    tasks = written(label_studio, tmp_path / "out", [AnnotatedTranscript(SESSION)]) / "tasks.json"
    with pytest.raises(ReadError, match=r"nobody coded anything in it\. Give what came back"):
        import_codes(tasks, "label-studio", [SESSION], coder="AB")


def test_a_file_that_is_not_there_is_an_error_of_reading(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be opened"):
        import_codes(tmp_path / "none.json", "label-studio", [SESSION])


def test_the_tasks_show_the_coder_what_there_is(tmp_path: Path) -> None:
    (task,) = json.loads((written(label_studio, tmp_path / "out") / "tasks.json").read_text("utf-8"))
    assert task["data"]["session"] == "s1"
    assert task["data"]["dialogue"][1] == {
        "author": "C (client)", "text": TALK[1], "turn": 1, "start": 10.0, "end": 18.0
    }  # fmt: skip
    (prediction,) = task["predictions"]
    assert prediction["score"] == pytest.approx((0.83 + 0.61) / 2)
    shown = [
        (r["value"]["text"], r["value"]["paragraphlabels"], r["score"], r["meta"]["text"]) for r in prediction["result"]
    ]
    assert shown == [
        ("don't see the point", ["C5 complaint_progress"], 0.83, ["rule C5-003: doubts it"]),
        ("whatever 🙈", ["W2 minimal_response"], 0.61, ["model"]),
    ]
    # UTF-16 code units: the emoji in front count twice
    assert [prediction["result"][0]["value"][key] for key in ("start", "startOffset", "endOffset")] == ["1", 7, 26]
    # neither a user whom a server may not know, nor a gold standard
    assert all("completed_by" not in a and a["ground_truth"] is False for a in task["annotations"])
    assert [a["result"][0]["value"]["text"] for a in task["annotations"]] == [["AB"], ["Zoë"]]


def test_every_result_is_of_a_control_of_the_interface(tmp_path: Path) -> None:
    out = written(label_studio, tmp_path / "out")
    view = ElementTree.fromstring((out / "config.xml").read_text("utf-8"))
    controls = {e.get("name"): e for e in view.iter() if e.get("toName") == "dialogue"}
    kinds = {"paragraphlabels": "ParagraphLabels", "choices": "Choices", "textarea": "TextArea"}
    (task,) = json.loads((out / "tasks.json").read_text("utf-8"))
    results = [r for part in (*task["predictions"], *task["annotations"]) for r in part["result"]]
    assert {r["type"] for r in results} == set(kinds)
    for result in results:
        control = controls[result["from_name"]]
        assert control.tag == kinds[result["type"]]
        if result["type"] != "textarea":
            offered = {e.get("value") for e in control.iter() if e.tag in ("Label", "Choice")}
            assert set(result["value"][result["type"]]) <= offered
    labels = [e.get("value") for e in view.iter("Label")]
    assert labels == [f"{marker.code} {marker.id}" for marker in BOOK.markers]
    assert len({e.get("background") for e in view.iter("Label")}) == 4
    (talk,) = view.iter("Paragraphs")
    assert (talk.get("value"), talk.get("nameKey"), talk.get("textKey")) == ("$dialogue", "author", "text")


def test_the_same_sessions_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = written(label_studio, tmp_path / "one"), written(label_studio, tmp_path / "two")
    assert (one / "tasks.json").read_bytes() == (two / "tasks.json").read_bytes()
    assert (written(label_studio, tmp_path / "none", ()) / "tasks.json").read_bytes() == b"[]\n"


def test_our_own_file_comes_back(tmp_path: Path) -> None:
    path = written(label_studio, tmp_path / "out") / "tasks.json"
    (session,) = read_back(label_studio, path).values()
    assert set(session.markers) == set(AB)
    assert set(session.coded) == set(coded_by("coder:AB") + coded_by("coder:Zoë"))
    assert not set(session.markers) & set(MACHINE)


def test_a_coder_who_takes_over_anothers_marker_does_not_take_its_score() -> None:
    text = Turn(0, "C", "client", "I guess.")
    marker = Marker(0, 0, 7, "withdrawal", "minimal_response", 0.5, 2, "coder:AB", "W2-001", "why")
    session = AnnotatedTranscript(Transcript("s", (text,)), (marker,))
    with tempfile.TemporaryDirectory() as folder:
        path = written(label_studio, Path(folder, "out"), [session]) / "tasks.json"
        assert read_back(label_studio, path, session)["s"].markers == (marker,)
        tasks = json.loads(path.read_text("utf-8"))
        tasks[0]["annotations"][0]["result"][0]["value"]["text"] = ["JO"]
        path.write_text(json.dumps(tasks), "utf-8")
        taken = Marker(0, 0, 7, "withdrawal", "minimal_response", None, 2, "coder:JO", None, "why")
        assert read_back(label_studio, path, session)["s"].markers == (taken,)


@settings(max_examples=60, deadline=None)
@given(coded_sessions(in_part=False))
def test_what_coders_did_comes_back(sessions: list[AnnotatedTranscript]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(label_studio, Path(folder, "out"), sessions) / "tasks.json"
        back = read_back(label_studio, path, *sessions)
    for session in sessions:
        found = back.get(session.transcript.id, AnnotatedTranscript(session.transcript))
        assert set(found.markers) == coders_markers(session)
        assert coded_turns(found) == coded_turns(session)
