"""spaCy's DocBin, there and back; what a person does to it is done with spaCy here."""

from __future__ import annotations

import gc
import pickle
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from hypothesis import given, settings
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from coded_sessions import (
    AB,
    MACHINE,
    STUDY,
    TALK,
    coded_by,
    coded_sessions,
    on,
    read_back,
    refused,
    written,
)
from rupturekit.annotation import AnnotatedTranscript, Coded, Marker
from rupturekit.exchange import docbin, import_codes
from rupturekit.transcript import Transcript, Turn

NLP = spacy.blank("en")


def docs_in(folder: Path) -> list[Doc]:
    return list(DocBin().from_disk(folder / "sessions.spacy").get_docs(NLP.vocab))


def save(path: Path, *docs: Doc, **settings: Any) -> Path:
    DocBin(docs=docs, **settings).to_disk(path)
    return path


def words(doc: Doc, text: str, label: str) -> Span:
    start = doc.text.index(text)
    span = doc.char_span(start, start + len(text), label=label)
    assert span is not None
    return span


def test_a_doc_has_turns_and_markers_as_spans(tmp_path: Path) -> None:
    (doc,) = docs_in(written(docbin, tmp_path / "out"))
    assert doc.text == "\n".join(TALK)
    assert [span.text for span in doc.spans["turns"]] == list(TALK)
    assert [(span.label_, span.id_) for span in doc.spans["turns"]][:2] == [("therapist", "T"), ("client", "C")]
    assert doc.spans["turns"].attrs["session"] == "s1"
    assert [(span.text, span.label_) for span in doc.spans["markers"]] == [
        ("don't see the point", "complaint_progress"), ("whatever 🙈", "minimal_response")
    ]  # fmt: skip
    told = doc.spans["markers"].attrs["markers"][doc.spans["markers"][0].id_]
    assert told == {
        "turn": 1, "start": 5, "end": 24, "code": "C5",
        "score": 0.83, "source": "rule", "rule_id": "C5-003", "note": "doubts it",
    }  # fmt: skip
    # two on the same words keep apart what they say
    assert [doc.spans["coder:AB"].attrs["markers"][span.id_].get("clarity") for span in doc.spans["coder:AB"]] == [
        3, None, 1
    ]  # fmt: skip
    assert len(doc.spans["coder:Zoë"]) == 0


def test_the_same_sessions_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (written(docbin, tmp_path / name) / "sessions.spacy" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("store_user_data", [False, True])
def test_our_own_file_comes_back_also_when_spacy_wrote_it_anew(tmp_path: Path, store_user_data: bool) -> None:
    out = written(docbin, tmp_path / "out")
    again = save(tmp_path / "again.spacy", *docs_in(out), store_user_data=store_user_data)
    for path in (out / "sessions.spacy", again):
        (session,) = read_back(docbin, path).values()
        assert set(session.markers) == {*AB, *MACHINE}
        assert set(session.coded) == set(coded_by("coder:AB") + coded_by("coder:Zoë"))


def test_spans_that_a_person_added_are_read(tmp_path: Path) -> None:
    (doc,) = docs_in(written(docbin, tmp_path / "out", [AnnotatedTranscript(STUDY.transcript, MACHINE[:1])]))
    doc.spans["markers"].append(words(doc, "whatever", "minimal_response"))
    doc.spans["coder:JO"] = [words(doc, "you say", "W5"), words(doc, "Have I missed something?", "invite_feelings")]
    path = save(tmp_path / "back.spacy", doc)
    (session,) = read_back(docbin, path).values()
    jo = {on(3, "you say", "deferential_appeasing", source="coder:JO")}
    jo.add(on(2, "Have I missed something?", "invite_feelings", source="coder:JO"))
    assert set(session.markers) == {MACHINE[0], on(3, "whatever", "minimal_response", source="coder:"), *jo}
    assert session.coded == coded_by("coder:JO")
    (coding,) = import_codes(path, "docbin", [STUDY.transcript])
    assert set(coding.markers) == jo


def test_an_empty_group_of_a_coder_is_none_and_other_groups_are_nobodys(tmp_path: Path) -> None:
    (doc,) = docs_in(written(docbin, tmp_path / "out", [AnnotatedTranscript(STUDY.transcript)]))
    doc.spans["coder:JO"] = []
    doc.spans["sc"] = [words(doc, "week", "WHATEVER")]
    (session,) = read_back(docbin, save(tmp_path / "back.spacy", doc)).values()
    assert session.markers == ()
    assert session.coded == coded_by("coder:JO")


def test_a_span_that_was_moved_or_named_anew_is_as_it_is_now(tmp_path: Path) -> None:
    given = on(1, "on't see the poi", "complaint_progress", source="coder:AB", clarity=2)  # no whole tokens
    (doc,) = docs_in(written(docbin, tmp_path / "out", [AnnotatedTranscript(STUDY.transcript, (given,))]))
    (span,) = doc.spans["coder:AB"]
    assert span.text == "don't see the point"
    attrs = doc.spans["coder:AB"].attrs

    def back(changed: Span) -> tuple[Marker, ...]:
        doc.spans["coder:AB"] = SpanGroup(doc, name="coder:AB", attrs=attrs, spans=[changed])
        return read_back(docbin, save(tmp_path / "back.spacy", doc))["s1"].markers

    assert back(span) == (given,)
    named = Span(doc, span.start, span.end, label="C2", span_id=span.id_)
    assert back(named) == (on(1, "on't see the poi", "rejects_intervention", source="coder:AB", clarity=2),)
    moved = Span(doc, span.start + 2, span.end, label=span.label_, span_id=span.id_)
    assert back(moved) == (on(1, "see the point", "complaint_progress", source="coder:AB", clarity=2),)


def test_a_doc_of_no_session_is_of_the_only_one(tmp_path: Path) -> None:
    doc = NLP("\n".join(TALK))
    doc.spans["coder:JO"] = [words(doc, "whatever", "W2")]
    path = save(tmp_path / "s1.spacy", doc)
    other = AnnotatedTranscript(Transcript("s2", STUDY.transcript.turns))
    for given_ in ((STUDY,), (other, STUDY)):  # with two, the file's name decides
        assert read_back(docbin, path, *given_)["s1"].markers == (
            on(3, "whatever", "minimal_response", source="coder:JO"),
        )


def test_an_edited_text_is_refused(tmp_path: Path) -> None:
    (doc,) = docs_in(written(docbin, tmp_path / "out"))
    changed = NLP(doc.text.replace("whatever", "nothing"))
    changed.spans["turns"] = SpanGroup(changed, attrs={"session": "s1"})
    message = refused(docbin, save(tmp_path / "back.spacy", changed))
    assert "session s1, turn 3: the words are not those of the transcript" in message


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda doc: doc.spans["coder:AB"].append(words(doc, "whatever", "made_up")),
            "the code made_up is not in",
        ),
        (
            lambda doc: doc.spans["coder:AB"].append(words(doc, "whatever", "")),
            "turn 3: a label is not in the",
        ),
        (lambda doc: doc.spans["coder:AB"].append(words(doc, "whatever", "R4")), "turn 3, code R4: it is a code for"),
        (lambda doc: doc.spans["coder:AB"].append(words(doc, "so.\nHave", "C5")), "turn 1, code C5: the code does not"),
        (lambda doc: doc.spans["coder:AB"].append(words(doc, "\n", "C5")), "turn 0, code C5: the code does not"),
        (lambda doc: doc.spans["turns"].attrs.update(session="s9"), "a session 's9', which is not among"),
        (lambda doc: doc.spans["turns"].attrs.update(session=9), "a session's id in it is not a text"),
        (lambda doc: doc.spans["coder:AB"].attrs.update(coded=[["withdrawal", 0, 99]]), "what was coded is not as"),
        (lambda doc: doc.spans["coder:AB"].attrs.update(coded=[7]), "what was coded is not as the tool"),
        (lambda doc: doc.spans["coder:AB"].attrs.update(markers=7), "spans coder:AB is not as the tool writes it"),
        (lambda doc: doc.spans["coder:AB"].attrs["markers"].update(m0={"turn": 77}), "is not as the tool writes it"),
        (lambda doc: doc.spans["coder:AB"].attrs["markers"]["m0"].update(turn=77), "is not as the tool writes it"),
        (lambda doc: doc.spans["coder:AB"].attrs["markers"]["m0"].update(clarity=7), "its clarity is not 1, 2 or 3"),
        (lambda doc: doc.spans["markers"].attrs["markers"]["m0"].update(source="me"), "a marker's source is neither"),
    ],
)
def test_spans_that_do_not_fit_are_refused(tmp_path: Path, harm: Callable[[Doc], None], message: str) -> None:
    (doc,) = docs_in(written(docbin, tmp_path / "out"))
    harm(doc)
    assert message in refused(docbin, save(tmp_path / "back.spacy", doc))


def test_a_session_twice_is_refused(tmp_path: Path) -> None:
    (doc,) = docs_in(written(docbin, tmp_path / "out"))
    assert "session s1 is in it twice" in refused(docbin, save(tmp_path / "back.spacy", doc, doc))


def harmed(path: Path, **change: Any) -> bytes:
    inside = srsly.msgpack_loads(zlib.decompress(path.read_bytes()))
    return zlib.compress(srsly.msgpack_dumps({**inside, **change}))


def test_what_is_no_docbin_is_refused(tmp_path: Path) -> None:
    path = written(docbin, tmp_path / "out") / "sessions.spacy"
    good = path.read_bytes()
    group = srsly.msgpack_dumps({"name": "markers", "attrs": {}, "spans": [b"\x7f" * 40]})
    bad = [
        b"",
        b"PK\x03\x04",
        good[: len(good) // 2],
        zlib.compress(b"talk"),
        zlib.compress(srsly.msgpack_dumps([1, 2])),
        harmed(path, strings=[]),
        harmed(path, attrs=[]),
        harmed(path, lengths=b"\x01\x00\x00\x00"),
        harmed(path, tokens=b"12345"),
        harmed(path, span_groups=[b"\xc1"]),
        harmed(path, span_groups=[]),
        harmed(path, span_groups=[srsly.msgpack_dumps({group: ["markers"]})]),  # spans far outside the text
    ]
    assert gc.isenabled()
    for content in bad:
        path.write_bytes(content)
        refused(docbin, path)
        assert gc.isenabled()


def test_a_file_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(docbin, tmp_path / "out") / "sessions.spacy"
    monkeypatch.setenv("RUPTUREKIT_UNPACKED_MB", "0")
    assert "unpacked it has more than 0 MB" in refused(docbin, path)


def test_a_file_of_very_many_small_values_is_refused(tmp_path: Path) -> None:
    path = written(docbin, tmp_path / "out") / "sessions.spacy"
    small = srsly.msgpack_dumps([{} for _ in range(1_100_000)])
    for content in (
        harmed(path, cats=[{}] * 1_100_000),
        harmed(path, strings=["ab"] * 1_100_000),
        harmed(path, lengths=b"\0" * 4_400_000),
        harmed(path, user_data=[small]),
        harmed(path, span_groups=[small]),
        harmed(path, span_groups=[srsly.msgpack_dumps({small: ["markers"]})]),
    ):
        path.write_bytes(content)
        assert "more than 1000000 values" in refused(docbin, path)
        assert gc.isenabled()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    out = written(docbin, tmp_path / "out")
    touched = tmp_path / "touched"
    pickled = pickle.dumps(Touch(touched))
    # arrays of objects are what readers of numpy in msgpack have unpickled
    array = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [1], b"data": pickled}
    (doc,) = docs_in(out)
    doc.spans["coder:AB"].attrs["markers"]["m0"]["note"] = array
    for content in (
        pickled,
        zlib.compress(pickled),
        harmed(out / "sessions.spacy", user_data=[srsly.msgpack_dumps({"x": array})]),
        harmed(out / "sessions.spacy", cats=[array]),
        DocBin(docs=[doc]).to_bytes(),
    ):
        (tmp_path / "bad.spacy").write_bytes(content)
        refused(docbin, tmp_path / "bad.spacy")
    assert not touched.exists()
    pickle.loads(pickled)
    assert touched.exists()


def test_a_session_without_turns_and_one_of_spaces_are_written(tmp_path: Path) -> None:
    spaces = Transcript("b", (Turn(0, "C", "client", " "), Turn(1, "C", "client", "\u2028 x ")))
    marked = Marker(1, 1, 2, "withdrawal", "denial", source="coder:AB")
    sessions = [AnnotatedTranscript(Transcript("a", ())), AnnotatedTranscript(spaces, (marked,))]
    back = read_back(docbin, written(docbin, tmp_path / "out", sessions) / "sessions.spacy", *sessions)
    assert back["a"].markers == ()
    assert back["b"].markers == (marked,)


def test_who_coded_a_part_has_coded_that(tmp_path: Path) -> None:
    part = AnnotatedTranscript(STUDY.transcript, (), coded=(Coded("coder:AB", "withdrawal", 1, 2),))
    (session,) = read_back(docbin, written(docbin, tmp_path / "out", [part]) / "sessions.spacy", part).values()
    assert session.coded == part.coded


@settings(max_examples=50, deadline=None)
@given(coded_sessions(in_part=True))
def test_everything_comes_back(sessions: list[AnnotatedTranscript]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(docbin, Path(folder, "out"), sessions) / "sessions.spacy"
        back = read_back(docbin, path, *sessions)
    for session in sessions:
        found = back[session.transcript.id]
        assert set(found.markers) == set(session.markers)
        assert set(found.coded) == set(session.coded)
