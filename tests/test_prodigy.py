"""Prodigy: a line for each turn that can be coded, out to be annotated and back from ``prodigy db-out``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from spacy.tokens import Doc

from coded_sessions import (
    AB,
    BOOK,
    SESSION,
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
from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker
from rupturekit.exchange import export, import_codes, prodigy
from rupturekit.transcript import Transcript, Turn


def answered(turn: int, *spans: tuple[str, str], answer: str = "accept", **more: Any) -> dict[str, Any]:
    """Return a line as Prodigy 1.11 and later write it: hashes, time and session are Prodigy's."""
    text = TALK[turn]
    given = []
    for words, label in spans:
        start = text.index(words)
        given.append({"start": start, "end": start + len(words), "token_start": 0, "token_end": 1, "label": label})
    return {
        "text": text,
        "tokens": [{"text": text, "start": 0, "end": len(text), "id": 0, "ws": False}],
        "meta": {"session": "s1", "turn": turn, "speaker": "C", "role": "client"},
        "_input_hash": -977724056,
        "_task_hash": -665543633,
        "_view_id": "spans_manual",
        "spans": given,
        "answer": answer,
        "_timestamp": 1690289516,
        "_annotator_id": "rupture-jo",
        "_session_id": "rupture-jo",
    } | more


def saved(tmp_path: Path, *lines: dict[str, Any]) -> Path:
    path = tmp_path / "rupture.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def coded_on(session: AnnotatedTranscript) -> set[tuple[str, int]]:
    return {(source, turn) for source, _, turn in coded_turns(session)}


def test_answers_are_read_turn_by_turn(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        answered(1, ("really", "C5 complaint_progress"), ("don't see", "C5")),
        answered(2, ("Have I", "invite_feelings"), answer="reject"),
        answered(3, ("whatever 🙈", "W2"), answer="ignore"),
        answered(3, ("whatever 🙈", "W2 anything"), _annotator_id="rupture-AB"),
    )
    (session,) = read_back(prodigy, path).values()
    assert set(session.markers) == {
        on(1, "really", "complaint_progress", source="coder:rupture-jo"),
        on(1, "don't see", "complaint_progress", source="coder:rupture-jo"),
        on(3, "whatever 🙈", "minimal_response", source="coder:rupture-AB"),
    }
    # a rejected turn was read, with nothing left on it; an ignored one was not
    assert coded_on(session) == {("coder:rupture-jo", 1), ("coder:rupture-jo", 2), ("coder:rupture-AB", 3)}


def test_the_last_answer_to_a_turn_counts(tmp_path: Path) -> None:
    first, again = answered(1, ("really", "C5")), answered(1, ("really", "C2"))
    (session,) = read_back(prodigy, saved(tmp_path, first, again)).values()
    assert session.markers == (on(1, "really", "rejects_intervention", source="coder:rupture-jo"),)
    assert not read_back(prodigy, saved(tmp_path, first, {**again, "answer": "ignore"}))


def test_a_session_that_is_named_by_the_time_names_nobody(tmp_path: Path) -> None:
    when = "2023-07-25_14-50-21"
    line = answered(1, ("really", "C5"), _annotator_id=when, _session_id=when)
    line["spans"][0] |= {"source": "rule", "score": 0.8, "rule_id": "C5-003"}
    path = saved(tmp_path, line, answered(3, _annotator_id=None, _session_id=None))
    (session,) = read_back(prodigy, path).values()
    assert session.markers == (on(1, "really", "complaint_progress", score=0.8, source="rule", rule_id="C5-003"),)
    assert coded_on(session) == {("coder:", 1), ("coder:", 3)}
    (coding,) = import_codes(path, "prodigy", [SESSION], coder="JO")
    assert coding.markers == (on(1, "really", "complaint_progress", source="coder:JO"),)
    assert coded_on(coding) == {("coder:JO", 1), ("coder:JO", 3)}


def test_what_a_named_coder_left_standing_is_theirs(tmp_path: Path) -> None:
    line = answered(1, ("really", "C5"))
    line["spans"][0] |= {"source": "rule", "score": 0.8, "rule_id": "C5-003", "note": "doubts it"}
    (session,) = read_back(prodigy, saved(tmp_path, line)).values()
    assert session.markers == (on(1, "really", "complaint_progress", source="coder:rupture-jo", note="doubts it"),)


@pytest.mark.parametrize("source", [{}, {"source": "en_core_web_sm"}])
def test_the_score_of_another_model_is_not_the_coders(tmp_path: Path, source: dict[str, str]) -> None:
    line = answered(1, ("really", "C5"))
    line["spans"][0] |= {"score": 0.8, **source}
    (session,) = read_back(prodigy, saved(tmp_path, line)).values()
    assert session.markers == (on(1, "really", "complaint_progress", source="coder:rupture-jo"),)


def test_stretches_go_over_turns_that_are_not_coded() -> None:
    roles = "client other client therapist client client".split()
    turns = tuple(Turn(i, "X", role, "Well.") for i, role in enumerate(roles))  # type: ignore[arg-type]
    runs = prodigy._runs(Transcript("s", turns), "coder:A", "withdrawal", {0, 2, 5})
    assert list(runs) == [Coded("coder:A", "withdrawal", 0, 3), Coded("coder:A", "withdrawal", 5, 5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "Something else altogether."}, "session s1, turn 1: the words are not those of the transcript"),
        ({"meta": {"session": "s1"}}, "session s1: a turn's number is missing"),
        ({"meta": {"session": "s1", "turn": 77}}, "session s1: a turn's number is missing or not one of"),
        ({"meta": {"session": "s1", "turn": "1"}}, "session s1: a turn's number is missing"),
        ({"meta": {"session": "s9", "turn": 1}}, "a session 's9', which is not among"),
        ({"meta": None}, "line 1 is not as the tool writes it"),
        ({"spans": [{"start": 0, "end": 4, "label": "Q1"}]}, "session s1, turn 1: the code Q1 is not in the codebook"),
        ({"spans": [{"start": 0, "end": 4, "label": None}]}, "session s1, turn 1: a label is not in the codebook"),
        ({"spans": [{"start": 0, "end": 4, "label": "R4"}]}, "code R4: it is a code for the therapist"),
        ({"spans": [{"start": 4, "end": 4, "label": "C5"}]}, "code C5: the code does not stand on words"),
        ({"spans": [{"start": 0, "end": 400, "label": "C5"}]}, "code C5: the code does not stand on words"),
        ({"spans": [{"start": -4, "end": 4, "label": "C5"}]}, "code C5: the code does not stand on words"),
        ({"spans": [{"start": 0.0, "end": 4, "label": "C5"}]}, "code C5: the code does not stand on words"),
        ({"spans": [{"start": True, "end": 4, "label": "C5"}]}, "code C5: the code does not stand on words"),
        ({"spans": [{"label": "C5"}]}, "line 1 is not as the tool writes it (KeyError)"),
        ({"spans": [{"start": 0, "end": 4, "label": "C5", "clarity": 4}]}, "code C5: its clarity is not 1, 2 or 3"),
        ({"spans": [{"start": 0, "end": 4, "label": "C5", "note": ["x"]}]}, "code C5 is not as the tool writes it"),
        ({"spans": "really"}, "line 1 is not as the tool writes it"),
        ({"answer": "maybe"}, "line 1 has another answer than accept, reject, ignore"),
        ({"_annotator_id": 7}, "line 1 is not as the tool writes it"),
        ({"families": 7}, "line 1 is not as the tool writes it"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert message in refused(prodigy, saved(tmp_path, answered(1, ("really", "C5"), **change)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe{}", "it is not UTF-8"),
        (b'{"text": "don\'t see"', "line 1 is not valid JSON"),
        (b"\n7\n", "line 2 is not as the tool writes it"),
        (b"[" * 100_000, "line 1 is not valid JSON"),
    ],
)
def test_what_is_no_jsonl_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "rupture.jsonl"
    path.write_bytes(content)
    assert message in refused(prodigy, path)


def test_what_was_written_to_be_coded_is_no_coding(tmp_path: Path) -> None:
    path = written(prodigy, tmp_path / "out") / "tasks.jsonl"
    assert "no line in it has an answer" in refused(prodigy, path)


def test_the_tasks_show_the_coder_what_there_is(tmp_path: Path) -> None:
    out = written(prodigy, tmp_path / "out")
    tasks = lines_of(out / "tasks.jsonl")
    assert [line["meta"]["turn"] for line in tasks] == [0, 1, 2, 3]  # the fifth is neither client's nor therapist's
    assert tasks[1]["meta"] == {
        "session": "s1", "turn": 1, "speaker": "C", "role": "client", "before": f"T: {TALK[0]}"
    }  # fmt: skip
    assert not any("answer" in line for line in tasks)
    (span,) = tasks[1]["spans"]
    assert TALK[1][span["start"] : span["end"]] == "don't see the point"
    assert (span["label"], span["score"], span["rule_id"]) == ("C5 complaint_progress", 0.83, "C5-003")
    labels = (out / "labels.txt").read_text("utf-8").splitlines()
    assert labels == [f"{marker.code} {marker.id}" for marker in BOOK.markers]


def test_without_coders_there_are_no_annotations(tmp_path: Path) -> None:
    paths = export([AnnotatedTranscript(SESSION)], "prodigy", tmp_path / "out")
    assert [path.name for path in paths] == ["labels.txt", "tasks.jsonl"]


def test_equal_turns_are_not_taken_for_a_repetition(tmp_path: Path) -> None:
    # Prodigy's input hash is over text, image, html and input
    turns = tuple(Turn(i, "C", "client", "I don't know.") for i in range(3))
    sessions = [AnnotatedTranscript(Transcript(id, turns)) for id in ("s1", "s2")]
    lines = lines_of(written(prodigy, tmp_path / "out", sessions) / "tasks.jsonl")
    assert len({(line["text"], line["input"]) for line in lines}) == 6


def test_the_same_sessions_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (written(prodigy, tmp_path / name) for name in ("one", "two"))
    for name in ("tasks.jsonl", "annotations.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_our_own_file_comes_back(tmp_path: Path) -> None:
    (session,) = read_back(prodigy, written(prodigy, tmp_path / "out") / "annotations.jsonl").values()
    assert set(session.markers) == set(AB)
    assert set(session.coded) == set(coded_by("coder:AB") + coded_by("coder:Zoë"))


def test_who_coded_one_family_only_has_coded_that_only(tmp_path: Path) -> None:
    half = AnnotatedTranscript(SESSION, AB[:1], coded=(Coded("coder:AB", "confrontation", 0, 4),))
    (session,) = read_back(prodigy, written(prodigy, tmp_path / "out", [half]) / "annotations.jsonl").values()
    assert session.coded == half.coded
    assert {part.family for part in session.coded} < set(FAMILIES)


@settings(max_examples=50, deadline=None)
@given(coded_sessions(in_part=True))
def test_what_coders_did_comes_back(sessions: list[AnnotatedTranscript]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(prodigy, Path(folder, "out"), sessions) / "annotations.jsonl"
        back = read_back(prodigy, path, *sessions) if path.exists() else {}
    for session in sessions:
        found = back.get(session.transcript.id, AnnotatedTranscript(session.transcript))
        assert set(found.markers) == coders_markers(session)
        assert coded_turns(found) == coded_turns(session)


@settings(max_examples=50, deadline=None)
@given(coded_sessions(in_part=False))
def test_every_span_is_of_whole_tokens_that_make_up_the_text(sessions: list[AnnotatedTranscript]) -> None:
    vocab = spacy.blank("en").vocab
    with tempfile.TemporaryDirectory() as folder:
        out = written(prodigy, Path(folder, "out"), sessions)
        lines = [line for path in out.glob("*.jsonl") for line in lines_of(path)]
    for line in lines:
        tokens = line["tokens"]
        assert [token["id"] for token in tokens] == list(range(len(tokens)))
        assert all(line["text"][t["start"] : t["end"]] == t["text"] for t in tokens)
        doc = Doc(vocab, words=[t["text"] for t in tokens], spaces=[t["ws"] for t in tokens])
        assert doc.text == line["text"]
        for span in line["spans"]:
            # strict: None where an offset is not a token's
            found = doc.char_span(span["start"], span["end"])
            assert found is not None
            assert (found.start, found.end - 1) == (span["token_start"], span["token_end"])


def test_a_marker_may_begin_and_end_with_a_space(tmp_path: Path) -> None:
    session = Transcript("s", (Turn(0, "C", "client", "I  guess so ."),))
    given = {
        Marker(0, start, end, "withdrawal", "minimal_response", source="coder:AB")
        for start, end in ((1, 2), (1, 3), (2, 3), (7, 9), (8, 9), (11, 12), (0, 12), (9, 11))
    }
    coded = AnnotatedTranscript(session, tuple(sorted(given, key=repr)))
    path = written(prodigy, tmp_path / "out", [coded]) / "annotations.jsonl"
    (line,) = lines_of(path)
    assert "".join(t["text"] + " " * t["ws"] for t in line["tokens"]) == session[0].text
    assert set(read_back(prodigy, path, coded)["s"].markers) == given
