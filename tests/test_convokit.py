"""ConvoKit: a corpus folder, there and back; its form is that of ``Corpus.dump`` of ConvoKit 5.0."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from coded_sessions import (
    AB,
    MACHINE,
    STUDY,
    TALK,
    coded_by,
    coded_sessions,
    coders_markers,
    on,
    read_back,
    refused,
    written,
)
from rupturekit.annotation import AnnotatedTranscript
from rupturekit.exchange import convokit, import_codes
from rupturekit.transcript import Transcript


def utterances(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "utterances.jsonl").read_text("ascii").splitlines()]


def save(folder: Path, lines: list[dict[str, Any]]) -> Path:
    (folder / "utterances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")
    return folder


def test_the_folder_is_a_corpus(tmp_path: Path) -> None:
    out = written(convokit, tmp_path / "corpus")
    assert sorted(path.name for path in out.iterdir()) == [
        "conversations.json", "corpus.json", "index.json", "speakers.json", "utterances.jsonl"
    ]  # fmt: skip
    lines = utterances(out)
    assert [line["id"] for line in lines] == [f"s1:{i}" for i in range(5)]
    assert [line["reply-to"] for line in lines] == [None, *(f"s1:{i}" for i in range(4))]
    assert [line["timestamp"] for line in lines] == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert [line["text"] for line in lines] == list(TALK)
    speakers = json.loads((out / "speakers.json").read_text("ascii"))
    assert {line["speaker"]: speakers[line["speaker"]]["meta"]["role"] for line in lines} == {
        "s1:T": "therapist", "s1:C": "client", "s1:X": "other"
    }  # fmt: skip
    (first, *_) = lines[1]["meta"]["markers"]
    assert first == {
        "start": 3, "end": 32, "text": "I don't see the point of this", "code": "C5", "marker": "complaint_progress",
        "family": "confrontation", "clarity": 3, "source": "coder:AB", "note": "plain",
    }  # fmt: skip


def test_the_index_has_the_type_of_every_key(tmp_path: Path) -> None:
    out = written(convokit, tmp_path / "corpus")
    index = json.loads((out / "index.json").read_text("ascii"))
    metas = {"utterances": [line["meta"] for line in utterances(out)]}
    for name in ("speakers", "conversations"):
        metas[name] = [item["meta"] for item in json.loads((out / f"{name}.json").read_text("ascii")).values()]
    metas["overall"] = [json.loads((out / "corpus.json").read_text("ascii"))]
    for name, found in metas.items():
        types = {(key, str(type(value))) for meta in found for key, value in meta.items()}
        assert {(key, type) for key, known in index[f"{name}-index"].items() for type in known} == types
    assert index["version"] == 1


def test_no_path_is_written(tmp_path: Path) -> None:
    meta = {"path": "/home/jo/secret.docx", "client_id": "c7", "group": "c7"}
    session = AnnotatedTranscript(Transcript("s1", STUDY.transcript.turns, meta=meta))
    out = written(convokit, tmp_path / "corpus", [session])
    assert not any("secret" in path.read_text("ascii") for path in out.iterdir())
    assert json.loads((out / "conversations.json").read_text("ascii"))["s1"]["meta"]["client_id"] == "c7"


def test_the_same_sessions_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (written(convokit, tmp_path / name) for name in ("one", "two"))
    assert all(path.read_bytes() == (two / path.name).read_bytes() for path in one.iterdir())


def test_our_own_folder_comes_back(tmp_path: Path) -> None:
    (session,) = read_back(convokit, written(convokit, tmp_path / "corpus")).values()
    assert set(session.markers) == {*AB, *MACHINE}
    assert set(session.coded) == set(coded_by("coder:AB") + coded_by("coder:Zoë"))


def test_a_marker_that_a_person_added_needs_little(tmp_path: Path) -> None:
    out = written(convokit, tmp_path / "corpus", [AnnotatedTranscript(STUDY.transcript)])
    lines = utterances(out)
    start = TALK[3].index("whatever")
    lines[3]["meta"]["markers"] += [
        {"start": start, "end": start + 8, "code": "W2", "source": "coder:JO"},
        {"start": start, "end": start + 8, "marker": "denial", "clarity": 2},
    ]
    (session,) = read_back(convokit, save(out, lines)).values()
    assert set(session.markers) == {
        on(3, "whatever", "minimal_response", source="coder:JO"),
        on(3, "whatever", "denial", source="coder:", clarity=2),
    }
    (coding,) = import_codes(out, "convokit", [STUDY.transcript])
    assert coding.markers == (on(3, "whatever", "minimal_response", source="coder:JO"),)
    assert coding.coded == coded_by("coder:JO")


def marker(**change: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[1]["meta"]["markers"][0].update(change)


def edited(lines: list[dict[str, Any]]) -> None:
    lines[1]["text"] = "Something else altogether."


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (edited, "session s1, turn 1: the words are not those of the transcript"),
        (lambda lines: lines.pop(), "session s1 lacks turn 4"),
        (lambda lines: lines.append(lines[2]), "session s1 has turn 2 twice"),
        (lambda lines: lines[0].update(conversation_id="s9"), "a session 's9', which is not among"),
        (lambda lines: lines[0]["meta"].pop("turn"), "utterances.jsonl, line 1 is not as the tool writes it"),
        (lambda lines: lines[1]["meta"].update(markers="<##bin{0}&&@**>"), "line 2 is not as the tool writes it"),
        (marker(marker="made_up"), "session s1, turn 1: the code made_up is not in the codebook"),
        (marker(code="C1"), "session s1, turn 1: a marker has no name, or a name and a code that differ"),
        (marker(code=None, marker=None), "session s1, turn 1: a marker has no name"),
        (marker(code="R4", marker="invite_feelings"), "session s1, turn 1, code R4: it is a code for the therapist"),
        (marker(start=4), "session s1, turn 1: the text of a marker is not what its offsets stand on"),
        (marker(end=4000), "session s1, turn 1, code C5: the code does not stand on words"),
        (marker(source="AB"), "session s1, turn 1: a marker's source is neither rule nor model nor coder:<name>"),
        (marker(score=2), "code C5 is not as the tool writes it"),
        (marker(score="high"), "code C5 is not as the tool writes it"),
        (marker(clarity="clear"), "code C5: its clarity is not 1, 2 or 3"),
        (marker(clarity=True), "code C5: its clarity is not 1, 2 or 3"),
        (marker(source=7), "line 2 is not as the tool writes it"),
    ],
)
def test_a_corpus_that_does_not_fit_is_refused(
    tmp_path: Path, harm: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    out = written(convokit, tmp_path / "corpus")
    lines = utterances(out)
    harm(lines)
    assert message in refused(convokit, save(out, lines))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["coder:AB", "withdrawal", 0, 9]], "session s1: what was coded is not as the tool writes it"),
        ([["coder:AB", "withdrawal", 3, 1]], "session s1: what was coded is not as the tool writes it"),
        ([["coder:AB", "everything", 0, 1]], "session s1: what was coded is not as the tool writes it"),
        ([["model", "withdrawal", 0, 1]], "session s1: what was coded is not as the tool writes it"),
        (["coder:AB"], "session s1: what was coded is not as the tool writes it"),
        (7, "session s1: what was coded is not as the tool writes it"),
    ],
)
def test_coded_that_does_not_fit_is_refused(tmp_path: Path, rows: object, message: str) -> None:
    out = written(convokit, tmp_path / "corpus")
    (out / "conversations.json").write_text(json.dumps({"s1": {"meta": {"coded": rows}, "vectors": []}}), "ascii")
    assert message in refused(convokit, out)


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    out = written(convokit, tmp_path / "corpus")
    assert "this is not a folder" in refused(convokit, out / "utterances.jsonl")
    (out / "conversations.json").write_text("[]", "ascii")
    assert "conversations.json, session s1 is not as the tool writes it" in refused(convokit, out)
    (out / "conversations.json").write_text("{", "ascii")
    assert "conversations.json is not valid JSON" in refused(convokit, out)


@settings(max_examples=50, deadline=None)
@given(coded_sessions(in_part=True))
def test_everything_comes_back(sessions: list[AnnotatedTranscript]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = read_back(convokit, written(convokit, Path(folder, "corpus"), sessions), *sessions)
    for session in sessions:
        found = back[session.transcript.id]
        assert set(found.markers) == set(session.markers)
        assert set(found.coded) == set(session.coded)


def test_the_real_library_opens_it_and_what_it_dumps_comes_back(tmp_path: Path) -> None:
    real = pytest.importorskip("convokit")
    out = written(convokit, tmp_path / "corpus")
    corpus = real.Corpus(filename=str(out))
    conversation = corpus.get_conversation("s1")
    assert [u.text for u in conversation.get_chronological_utterance_list()] == list(TALK)
    assert conversation.check_integrity(verbose=False)
    assert {s.meta["role"] for s in conversation.iter_speakers()} == {"therapist", "client", "other"}
    start = TALK[3].index("whatever")
    utterance = corpus.get_utterance("s1:3")
    mine = {"start": start, "end": start + 8, "code": "W2", "source": "coder:JO"}
    utterance.meta["markers"] = [*utterance.meta["markers"], mine]
    corpus.dump("again", base_path=str(tmp_path))
    (session,) = read_back(convokit, tmp_path / "again").values()
    added = on(3, "whatever", "minimal_response", source="coder:JO")
    assert coders_markers(session) == {*AB, added}
    assert set(session.coded) == set(coded_by("coder:AB") + coded_by("coder:Zoë"))
