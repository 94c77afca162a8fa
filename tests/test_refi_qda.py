"""REFI-QDA projects: what other programs see in ours, and what is read from theirs."""

from __future__ import annotations

import io
import re
import tempfile
import time
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker
from rupturekit.codebook import Codebook, load_codebook
from rupturekit.exchange import export, import_codes
from rupturekit.exchange.refi_qda import read, write
from rupturekit.readers.raw import ReadError
from rupturekit.transcript import Transcript, Turn

BOOK = load_codebook()
HERE = Path(__file__).parent / "refi_qda"
FILES = tempfile.TemporaryDirectory()
NS = "{urn:QDA-XML:project:1.0}"
# The words that no message may quote.
TALK = "I really do not see the point, you know"


def session(*texts: str, id: str = "s1") -> Transcript:
    """A session in which therapist and client take turns, the therapist first."""
    who = (("T", "therapist"), ("Anna", "client"))
    turns = tuple(Turn(i, *who[i % 2], text) for i, text in enumerate(texts))  # type: ignore[arg-type]
    return Transcript(id, turns)


S = session("How was the week?", "I guess it was fine.", "Right, and then?", TALK)
PAGE = (
    "T (therapist): How was the week?\n"
    "Anna (client): I guess it was fine.\n"
    "T (therapist): Right, and then?\n"
    f"Anna (client): {TALK}\n"
)


def page(transcript: Transcript) -> str:
    return "".join(f"{turn.speaker} ({turn.role}): {turn.text}\n" for turn in transcript)


def written(*sessions: AnnotatedTranscript) -> Path:
    folder = Path(tempfile.mkdtemp(dir=FILES.name))
    write(sessions, folder, BOOK, {})
    return folder / "rupturekit.qdpx"


def root_of(path: Path) -> ET.Element:
    with zipfile.ZipFile(path) as archive:
        return ET.fromstring(archive.read("project.qde"))


def project(qde: str, texts: Mapping[str, bytes], *, name: str = "project.qde", folder: str = "sources") -> Path:
    path = Path(tempfile.mkdtemp(dir=FILES.name)) / "back.qdpx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, qde)
        for file, data in texts.items():
            archive.writestr(f"{folder}/{file}", data)
    return path


CODES = '<Code guid="c2" name="W2 minimal_response" isCodable="true"/><Code guid="c5" name="C5" isCodable="true"/>'
USERS = '<User guid="u1" name="AB"/><User guid="u2" name="CD"/>'


def coding(start: int, end: int, code: str = "c2", by: str = "u1", name: str = "", comment: str = "") -> str:
    who = f'creatingUser="{by}"' if by else ""
    return (
        f'<PlainTextSelection guid="p" name={quoteattr(name)} startPosition="{start}" endPosition="{end}" {who}>'
        f'<Description>{comment}</Description><Coding guid="k" {who}><CodeRef targetGUID="{code}"/></Coding>'
        "</PlainTextSelection>"
    )


def returned(
    selections: str,
    text: str | bytes = PAGE,
    *,
    codes: str = CODES,
    name: str | None = "s1",
    origin: str = "a program",
    rest: str = "",
    source: str = 'guid="d1" plainTextPath="internal://d1.txt"',
) -> Path:
    """A project as a program might write it, with one document."""
    named = "" if name is None else f"name={quoteattr(name)}"
    return project(
        f'<Project xmlns="urn:QDA-XML:project:1.0" name="x" origin="{origin}"><Users>{USERS}</Users><CodeBook><Codes>'
        f"{codes}</Codes></CodeBook><Sources><TextSource {source} {named}>{selections}</TextSource></Sources>{rest}"
        "</Project>",
        {"d1.txt": text if isinstance(text, bytes) else text.encode()},
    )


def markers_in(path: Path, transcript: Transcript = S) -> tuple[Marker, ...]:
    (found,) = read(path, {transcript.id: transcript}, BOOK)
    return found.markers


def words_in(path: Path, transcript: Transcript = S) -> list[tuple[int, str]]:
    (found,) = read(path, {transcript.id: transcript}, BOOK)
    return [(m.turn, found.text_of(m)) for m in found.markers]


def place(words: str, text: str = PAGE) -> tuple[int, int]:
    return text.index(words), text.index(words) + len(words)


# ---- there and back

TEXTS = st.one_of(
    st.text(min_size=1, max_size=40),
    st.sampled_from(
        [
            'so <b>& "that"</b> \'s it',
            "ja 👩‍👩‍👧 gut 😀😀",
            "שלום, מה שלומך?",
            "cafe\u0301 n\u0303",
            "a\u2028b\r\nc\td\x00e",
        ]
    ),
)
NOTES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30),
    st.sampled_from(["two\nlines", "note: x\nscore: 0.3", "clarity: 1", " a\r\nb ", "& <i> \" ' ]]>"]),
)
SOURCES = st.sampled_from(["rule", "model", "coder:AB", "coder:Zoë O'Hara", "coder:אב", 'coder:A & B: <"x">', "coder:"])
CODERS = st.sampled_from(["coder:AB", "coder:Zoë O'Hara", "coder:אב", 'coder:A & B: <"x">'])


@st.composite
def coded_sessions(draw: st.DrawFn) -> AnnotatedTranscript:
    transcript = session(
        *draw(st.lists(TEXTS, min_size=2, max_size=5)), id=draw(st.sampled_from(["s1", "a & b", "é.1"]))
    )
    markers = []
    for _ in range(draw(st.integers(0, 6))):
        turn = draw(st.sampled_from(transcript.turns))
        start = draw(st.integers(0, len(turn.text) - 1))
        entry = draw(st.sampled_from([m for m in BOOK.markers if m.speaker == turn.role]))
        markers.append(
            Marker(
                turn.index,
                start,
                draw(st.integers(start + 1, len(turn.text))),
                entry.parent,
                entry.id,
                draw(st.none() | st.floats(0, 1)),
                draw(st.sampled_from([None, 1, 2, 3])),
                draw(SOURCES),
                draw(st.sampled_from([None, "W2-3", "complaint_progress.7"])),
                draw(st.none() | NOTES),
            )
        )
        if draw(st.booleans()):  # another coder, and another code, on the very same words
            other = next(m for m in reversed(BOOK.markers) if m.speaker == turn.role)
            markers.append(replace(markers[-1], clarity=1, source="coder:EF"))
            markers.append(replace(markers[-1], family=other.parent, marker=other.id))
    parts = st.tuples(CODERS, st.sampled_from(FAMILIES), st.integers(0, 9), st.integers(0, 9))
    last = len(transcript) - 1
    coded = {Coded(c, f, *sorted((min(a, last), min(b, last)))) for c, f, a, b in draw(st.lists(parts, max_size=6))}
    if draw(st.booleans()):
        coded |= {Coded("coder:none found", family, 0, last) for family in FAMILIES}
    return AnnotatedTranscript(transcript, tuple(markers), coded=tuple(coded))


@given(coded_sessions())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_comes_back(coding: AnnotatedTranscript) -> None:
    path = written(coding)
    (back,) = read(path, {coding.transcript.id: coding.transcript}, BOOK)
    assert Counter(back.markers) == Counter(coding.markers)
    assert set(back.coded) == set(coding.coded)
    assert back.transcript == coding.transcript
    assert_valid(path)


def test_control_characters_stay_in_the_words_and_are_replaced_in_a_note() -> None:
    talk = session("So?", "a\x01b \x0bc")
    given = Marker(1, 0, 3, "withdrawal", "denial", source="coder:AB", note="x\x02y")
    (found,) = markers_in(written(AnnotatedTranscript(talk, (given,))), talk)
    assert (found.start, found.end, found.note) == (0, 3, "x\ufffdy")


def test_a_marker_may_begin_in_the_midst_of_a_line_end() -> None:
    talk = session("So?", "a\r\nb")
    given = Marker(1, 2, 4, "withdrawal", "denial", source="coder:AB")
    assert markers_in(written(AnnotatedTranscript(talk, (given,))), talk) == (given,)


def test_a_byte_order_mark_in_a_speakers_label_does_not_shift_the_words() -> None:
    talk = Transcript("s1", (Turn(0, "\ufeffAnna", "client", "Naja."),))
    given = Marker(0, 0, 4, "withdrawal", "denial", source="coder:AB")
    assert markers_in(written(AnnotatedTranscript(talk, (given,))), talk) == (given,)


def test_the_same_sessions_give_the_same_bytes() -> None:
    given = Marker(1, 0, 7, "withdrawal", "denial", 0.5, source="model")
    first = written(AnnotatedTranscript(S, (given,)))
    time.sleep(0.01)
    second = written(AnnotatedTranscript(S, (given,)))
    assert first.read_bytes() == second.read_bytes()
    assert first.with_name("codebook.qdc").read_bytes() == second.with_name("codebook.qdc").read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.create_system for entry in archive.infolist()} == {3}  # on every system


def test_a_study_goes_out_and_a_coders_work_comes_back(tmp_path: Path) -> None:
    machine = Marker(1, 0, 7, "withdrawal", "minimal_response", 0.8, source="model")
    wrong = Marker(3, 0, 8, "withdrawal", "denial", 0.6, source="rule", rule_id="W1-2")
    paths = export([AnnotatedTranscript(S, (machine, wrong))], "refi-qda", tmp_path / "out")
    assert [path.name for path in paths] == ["codebook.qdc", "rupturekit.qdpx"]
    # the coder deletes the one and adds another, under her own name
    with zipfile.ZipFile(paths[1]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    root = ET.fromstring(files.pop("project.qde"))
    source = root.find(f".//{NS}TextSource")
    code = next(code for code in root.iter(f"{NS}Code") if code.attrib["name"] == "C5 complaint_progress")
    assert source is not None
    source.remove(source.findall(f"{NS}PlainTextSelection")[1])
    ET.SubElement(root.find(f"{NS}Users"), f"{NS}User", guid="9", name="Bea")  # type: ignore[arg-type]
    start, end = place("see the point")
    new = ET.SubElement(source, f"{NS}PlainTextSelection", guid="8", startPosition=str(start), endPosition=str(end))
    ET.SubElement(new, f"{NS}Description").text = "clarity: 3"
    made = ET.SubElement(new, f"{NS}Coding", guid="7", creatingUser="9")
    ET.SubElement(made, f"{NS}CodeRef", targetGUID=code.attrib["guid"])
    back = project(ET.tostring(root, "unicode"), {name.split("/")[1]: data for name, data in files.items()})
    (coding,) = import_codes(back, "refi-qda", [S], coder="B", coders={"Bea": "B"})
    assert coding.markers == (
        Marker(1, 0, 7, "withdrawal", "minimal_response", source="coder:B"),
        Marker(
            3, TALK.index("see"), TALK.index(","), "confrontation", "complaint_progress", clarity=3, source="coder:B"
        ),
    )


def test_who_found_nothing_has_coded_the_session() -> None:
    coded = tuple(Coded("coder:AB", family, 0, 3) for family in FAMILIES)
    path = written(AnnotatedTranscript(S, coded=coded))
    assert import_codes(path, "refi-qda", [S]) == [AnnotatedTranscript(S, coded=coded)]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("coded by AB", {(family, 0, 3) for family in FAMILIES}),
        ("Coded by AB: turns 0-2", {(family, 0, 2) for family in FAMILIES}),
        (
            "a memo\r\ncoded by AB: turns 1-1: withdrawal, confrontation",
            {("withdrawal", 1, 1), ("confrontation", 1, 1)},
        ),
        ("was coded by nobody", set()),
    ],
)
def test_a_document_says_in_its_comment_who_went_through_it(line: str, parts: set[tuple[str, int, int]]) -> None:
    (found,) = read(returned(f"<Description>{line}</Description>"), {"s1": S}, BOOK)
    assert {(c.family, c.first, c.last) for c in found.coded} == parts
    assert {c.source for c in found.coded} <= {"coder:AB"}


# ---- what other programs see in ours


def schema_errors(kind: str, data: bytes) -> list[str]:
    etree = pytest.importorskip("lxml.etree")
    schema = etree.XMLSchema(etree.parse(HERE / f"{kind}.xsd"))
    schema.validate(etree.fromstring(data))
    return [error.message for error in schema.error_log]


def assert_valid(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert schema_errors("Project", archive.read("project.qde")) == []
    assert schema_errors("Codebook", path.with_name("codebook.qdc").read_bytes()) == []


def test_a_project_of_several_sessions_and_clients_is_valid_by_the_standards_schemas() -> None:
    given = Marker(1, 0, 7, "withdrawal", "denial", 0.5, 2, "rule", "W1-1", "a note")
    turns = S.turns
    path = written(
        AnnotatedTranscript(Transcript("s1", turns, meta={"client_id": "K7"}), (given,)),
        AnnotatedTranscript(
            Transcript("s2", turns, meta={"client_id": "K7"}), coded=(Coded("coder:AB", "withdrawal", 0, 1),)
        ),
        AnnotatedTranscript(Transcript("s3", turns)),
    )
    assert_valid(path)
    (case,) = root_of(path).iter(f"{NS}Case")
    sources = {source.attrib["guid"]: source.attrib["name"] for source in root_of(path).iter(f"{NS}TextSource")}
    assert case.attrib["name"] == "K7"
    assert [sources[ref.attrib["targetGUID"]] for ref in case] == ["s1", "s2"]


def test_a_project_without_sessions_or_coders_is_valid_too() -> None:
    assert_valid(written())
    assert_valid(written(AnnotatedTranscript(S)))


def test_the_schema_finds_a_fault() -> None:
    assert schema_errors("Codebook", b'<CodeBook xmlns="urn:QDA-XML:codebook:1.0"/>')


def test_positions_are_code_points_of_the_text_and_the_end_is_not_inside() -> None:
    talk = session("😀 So?", "Naja 😀, ich weiß nicht.")
    given = (Marker(1, 8, 22, "withdrawal", "minimal_response", source="coder:AB"),)
    path = written(AnnotatedTranscript(talk, given))
    (selection,) = root_of(path).iter(f"{NS}PlainTextSelection")
    (source,) = root_of(path).iter(f"{NS}TextSource")
    with zipfile.ZipFile(path) as archive:
        text = archive.read(source.attrib["plainTextPath"].replace("internal://", "sources/")).decode("utf-8")
    assert text == page(talk)
    assert text[int(selection.attrib["startPosition"]) : int(selection.attrib["endPosition"])] == "ich weiß nicht"
    assert selection.attrib["name"] == "ich weiß nicht"


def test_each_turn_is_a_line_with_speaker_and_role() -> None:
    who = (("Therapist", "therapist"), ("Anna\t B.", "client"), ("", "other"))
    turns = (Turn(i, speaker, role, "Ja.") for i, (speaker, role) in enumerate(who))  # type: ignore[arg-type]
    path = written(AnnotatedTranscript(Transcript("s1", tuple(turns))))
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    assert text.split("\n") == ["Therapist: Ja.", "Anna B. (client): Ja.", "(other): Ja.", ""]


def test_a_coder_sees_who_said_what_and_why() -> None:
    given = Marker(1, 0, 7, "withdrawal", "minimal_response", 0.81, source="rule", rule_id="W2-3", note="flat answer")
    root = root_of(written(AnnotatedTranscript(S, (given,))))
    codes = {code.attrib["guid"]: code for code in root.iter(f"{NS}Code")}
    users = {user.attrib["guid"]: user.attrib["name"] for user in root.iter(f"{NS}User")}
    (selection,) = root.iter(f"{NS}PlainTextSelection")
    (made,) = selection.iter(f"{NS}Coding")
    code = codes[made[0].attrib["targetGUID"]]
    assert code.attrib["name"] == "W2 minimal_response"
    assert BOOK["minimal_response"].definition in (code.findtext(f"{NS}Description") or "")
    assert users[made.attrib["creatingUser"]] == "rupturekit (rules)"
    assert selection.findtext(f"{NS}Description") == "score: 0.81\nrule: W2-3\nnote: flat answer"
    parents = {code.attrib["name"]: code for code in root.findall(f"{NS}CodeBook/{NS}Codes/{NS}Code")}
    assert list(parents) == list(FAMILIES)
    assert {parent.attrib["isCodable"] for parent in parents.values()} == {"false"}
    assert codes[made[0].attrib["targetGUID"]] in list(parents["withdrawal"])


def test_users_are_the_coders_whether_or_not_they_marked_anything() -> None:
    given = (Marker(1, 0, 7, "withdrawal", "denial", source=source) for source in ("coder:AB", "coder:"))
    coded = (Coded("coder:CD", "withdrawal", 0, 3),)
    root = root_of(written(AnnotatedTranscript(S, tuple(given), coded=coded)))
    assert [user.attrib["name"] for user in root.iter(f"{NS}User")] == ["AB", "CD"]


# ---- what other programs write, in their form (attributes, folders, levels, users, line ends)

W2 = Marker(1, 0, 7, "withdrawal", "minimal_response", source="coder:Bea Lang")
C5 = Marker(3, 0, len(TALK), "confrontation", "complaint_progress", source="coder:Bea Lang")


def from_program(name: str, text: bytes, *, qde: str = "project.qde", folder: str = "sources") -> Path:
    """Pack a project file of `tests/refi_qda` with the session's text, as the program does."""
    data = (HERE / f"{name}.qde").read_text("utf-8")
    (file,) = re.findall(r'plainTextPath="internal://(.*?)"', data)
    return project(data, {file: text}, name=qde, folder=folder)


def test_nvivo() -> None:
    # both a rich and a plain text, "Sources", Windows line ends that count two, no names, families that can be given
    text = PAGE.replace("\n", "\r\n").encode("utf-8-sig")
    assert markers_in(from_program("nvivo", text, folder="Sources")) == (W2, C5)


def test_maxqda() -> None:
    # attributes in any order, upper-case GUIDs, a selection named by its place, all codes codable, sets, a memo
    assert markers_in(from_program("maxqda", PAGE.encode("utf-8-sig"))) == (W2, C5)


def test_atlas_ti() -> None:
    # the project file has the project's name; Windows line ends that count one; codes without levels; quoting names
    assert markers_in(from_program("atlas_ti", PAGE.replace("\n", "\r\n").encode(), qde="study.qde")) == (W2, C5)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])  # the second is its export for MAXQDA: positions are the same
def test_qualcoder(line_end: str) -> None:
    # a selection for each coding, named by all its words; categories cannot be given; the memo is the description
    path = from_program("qualcoder", PAGE.replace("\n", line_end).encode("utf-8-sig"))
    (found,) = read(path, {"s1": S}, BOOK)
    assert found.markers == (replace(W2, clarity=2, note="sounds flat & tired"), C5)
    assert {c.source for c in found.coded} == {"coder:Bea Lang"}


# ---- which codes


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("C5", "complaint_progress"),
        ("c5: does not help", "complaint_progress"),
        ("C5 complaint_progress", "complaint_progress"),
        ("complaint_progress", "complaint_progress"),
        ("Complaints about progress in therapy (C5)", "complaint_progress"),
        ("Confrontation > C5 complaint_progress", "complaint_progress"),
        ("rupture\\confrontation\\complaint_progress", "complaint_progress"),
        ("R10", "redirect_refocus"),
        ("R1 clarify_misunderstanding", "clarify_misunderstanding"),
        ("Content/affect split", "content_affect_split"),
        ("C50", None),
        ("C5.1 hopeless", None),
        ("C9 something", None),
        ("Denial of guilt", None),
        ("work", None),
    ],
)
def test_codes_are_known_by_their_names(name: str, marker: str | None) -> None:
    turn = "T (therapist): How" if marker and BOOK[marker].speaker == "therapist" else "Anna (client): I"
    path = returned(coding(*place(turn)), codes=f'<Code guid="{{C2}}" name={quoteattr(name)} isCodable="true"/>')
    assert [m.marker for m in markers_in(path)] == ([marker] if marker else [])


def test_of_labels_that_begin_alike_the_longer_is_meant() -> None:
    first = BOOK["denial"]
    second = replace(first, id="denial_avoidant", code="W11", label="Denial, avoidant")
    book = Codebook("own", "1", (first, second))
    for name, id in (("Denial", "denial"), ("Denial, avoidant", "denial_avoidant")):
        path = returned(coding(*place("I guess")), codes=f'<Code guid="c2" name="{name}" isCodable="true"/>')
        (found,) = read(path, {"s1": S}, book)
        assert [m.marker for m in found.markers] == [id]


def test_a_renamed_code_is_known_by_its_guid() -> None:
    given = Marker(1, 0, 7, "withdrawal", "minimal_response", source="coder:AB")
    path = written(AnnotatedTranscript(S, (given,)))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    qde = files.pop("project.qde").decode().replace('"W2 minimal_response"', '"Einsilbigkeit"')
    back = project(qde, {name.split("/")[1]: data for name, data in files.items()})
    assert markers_in(back) == (given,)


OURS = (
    '<Code guid="f" name="withdrawal" isCodable="true">'
    '<Code guid="c2" name="W2 minimal_response" isCodable="true">%s</Code>%s</Code>'
)


GUID = "0a1b2c3d-0000-4000-8000-00000000000f"


@pytest.mark.parametrize(
    ("codes", "named"),
    [
        (OURS % ("", '<Code guid="x" name="W9 new" isCodable="true"/>'), "W9 new"),
        (OURS % ('<Code guid="x" name="very short" isCodable="true"/>', ""), "very short"),
        ((OURS % ("", "")).replace('guid="f"', 'guid="x"'), "withdrawal"),
    ],
)
def test_other_codes_in_our_families_are_refused_where_they_were_used(codes: str, named: str) -> None:
    given = coding(*place("I guess"), GUID)
    with pytest.raises(ReadError, match=f"'s1': the code on the selection at character 48 .GUID {GUID}.") as error:
        markers_in(returned(given, codes=codes.replace('"x"', f'"{GUID}"')))
    assert named not in str(error.value)  # it may be the client's own words
    with pytest.raises(ReadError, match="GUID not valid"):
        markers_in(returned(given.replace(GUID, "x"), codes=codes))
    assert markers_in(returned(coding(*place("I guess"), "c2"), codes=codes))


def test_a_marker_among_the_teams_own_codes_makes_these_not_ours() -> None:
    own = (
        '<Code guid="t" name="themes" isCodable="true">'
        + CODES
        + '<Code guid="x" name="hope" isCodable="true"/></Code>'
    )
    path = returned(coding(*place("I guess"), "c2") + coding(*place("fine"), "x"), codes=own)
    assert words_in(path) == [(1, "I guess")]


def test_codes_of_the_teams_own_are_left_alone() -> None:
    own = '<Code guid="x" name="withdrawal" isCodable="true"><Code guid="y" name="opioids" isCodable="true"/></Code>'
    selections = coding(*place("I guess"), "x") + coding(*place("fine"), "y") + coding(*place("was fine"), "c2")
    assert words_in(returned(selections, codes=CODES + own)) == [(1, "was fine")]


def test_codes_below_others_in_great_depth_are_read() -> None:
    deep = '<Code guid="d" name="own" isCodable="true">' * 3000 + CODES + "</Code>" * 3000
    assert words_in(returned(coding(*place("I guess")), codes=deep)) == [(1, "I guess")]


# ---- which words


def test_a_selection_over_several_turns_is_split_to_the_turns_of_its_role() -> None:
    path = returned(coding(PAGE.index("was fine"), PAGE.index("the point")))
    assert words_in(path) == [(1, "was fine."), (3, "I really do not see ")]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (PAGE.index("Anna"), PAGE.index(" it was"), "I guess"),  # with the label
        (PAGE.index("client): I"), PAGE.index(" it was"), "I guess"),  # with half of it
        (PAGE.index("Anna"), PAGE.index("(client)"), "I guess it was fine."),  # on nothing but the label
        (PAGE.index("it was"), PAGE.index("T (th", 5), "it was fine."),  # with the line end
        (PAGE.index("it was"), PAGE.index("(th", 50), "it was fine."),  # and half of the next label
    ],
)
def test_speakers_labels_are_not_words(start: int, end: int, words: str) -> None:
    assert words_in(returned(coding(start, end))) == [(1, words)]


def wide(at: int, text: str, *, line_end: int = 1, emoji: int = 1) -> int:
    """A position as a program counts it to which line ends and emoji are so long."""
    return at + (line_end - 1) * text.count("\n", 0, at) + (emoji - 1) * text.count("😀", 0, at)


@pytest.mark.parametrize("line_end", [1, 2])
@pytest.mark.parametrize("emoji", [1, 2])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("bom", [True, False])
def test_programs_count_line_ends_and_emoji_in_their_own_way(line_end: int, emoji: int, named: bool, bom: bool) -> None:
    talk = session(
        "Well 😀😀 hello there", "😀 not that much, really", "Mhm 😀 I see", "it never helps me 😀😀😀😀 at all, no"
    )
    text = page(talk)
    selections = ""
    for words in ("not that much", "never helps", "😀😀 at all"):
        start, end = (wide(at, text, line_end=line_end, emoji=emoji) for at in place(words, text))
        selections += coding(start, end, name=words if named else "")
    data = text.replace("\n", "\r\n").encode("utf-8-sig" if bom else "utf-8")
    found = [(1, "not that much"), (3, "never helps"), (3, "😀😀 at all")]
    assert words_in(returned(selections, data), talk) == found


def test_without_evidence_positions_are_the_standards() -> None:
    talk = session("So?", "這樣😀沒有用這樣沒有用")
    text = page(talk).replace("\n", "\r\n")
    start = text.index("有用這")
    assert words_in(returned(coding(start, start + 3), text), talk) == [(1, "有用這")]
    # the same position means another place to a program that counts a line end once, which a name can tell
    there = coding(start, start + 3, name="用這…")
    assert words_in(returned(there, text), talk) == [(1, "用這樣")]


def test_a_line_end_within_a_turn_counts_as_well() -> None:
    talk = session("So?", "no\r\nnot at all")
    text = page(talk).replace("\r\n", "\n")
    assert words_in(returned(coding(*place("at all", text)), text), talk) == [(1, "at all")]


def test_a_text_may_stand_in_the_project_file_itself() -> None:
    path = returned(f"<PlainTextContent>{PAGE}</PlainTextContent>{coding(*place('I guess'))}", source='guid="d1"')
    assert words_in(path) == [(1, "I guess")]


def test_a_texts_file_may_be_spelt_in_another_case() -> None:
    path = returned(coding(*place("I guess")), source='guid="d1" plainTextPath="internal://D1.TXT"')
    assert words_in(path) == [(1, "I guess")]


@pytest.mark.parametrize("text", [PAGE.rstrip(), PAGE + "\n\n", PAGE.replace("\n", "\r"), PAGE.replace("\n", "\u2029")])
def test_line_ends_may_differ(text: str) -> None:
    assert words_in(returned(coding(*place("see the point")), text)) == [(3, "see the point")]


# ---- whose, and what is said of it


def test_a_coding_is_its_users_or_nobodys() -> None:
    whose = {
        "coder:AB": coding(*place("I guess")),
        "coder:CD": coding(*place("I guess"), by="u2"),
        "coder:": coding(*place("I guess"), by="") + coding(*place("I guess"), by="unknown"),
    }
    for source, selection in whose.items():
        assert {m.source for m in markers_in(returned(selection))} == {source}
    users = USERS.replace("AB", "rupturekit (model)").replace("CD", "rupturekit (rules)")
    path = returned(whose["coder:AB"] + whose["coder:CD"])
    with zipfile.ZipFile(path) as archive:
        qde = archive.read("project.qde").decode().replace(USERS, users)
    assert [m.source for m in markers_in(project(qde, {"d1.txt": PAGE.encode()}))] == ["model", "rule"]


def test_a_score_stays_with_who_gave_it() -> None:
    # a second code that a coder puts on the machine's selection has the selection's comment too
    both = coding(*place("I guess"), comment="score: 0.8\nrule: W2-1").replace(
        "</PlainTextSelection>",
        '<Coding guid="k2" creatingUser="u2"><CodeRef targetGUID="c5"/></Coding></PlainTextSelection>',
    )
    c5, w2 = markers_in(returned(both))
    assert (c5.source, c5.score, c5.rule_id) == ("coder:CD", None, None)
    assert (w2.source, w2.score, w2.rule_id) == ("coder:AB", 0.8, "W2-1")


@pytest.mark.parametrize(
    ("comment", "clarity", "note"),
    [
        ("clarity: 3", 3, None),
        ("a bit unsure\nclarity: 1", 1, "a bit unsure"),
        ("Clarity 2\n\nsecond time\nthis session", 2, "second time\nthis session"),
        ("note: as it stands \nclarity: 3", None, "as it stands \nclarity: 3"),
        ("", None, None),
        ("clarity is high", None, "clarity is high"),
    ],
)
def test_a_person_may_write_into_the_comment(comment: str, clarity: int | None, note: str | None) -> None:
    (found,) = markers_in(returned(coding(*place("I guess"), comment=comment)))
    assert (found.clarity, found.note) == (clarity, note)


def test_notes_that_are_attached_to_a_coding_are_its_note() -> None:
    noted = coding(*place("I guess")).replace(
        "</Coding>", '<NoteRef targetGUID="N1"/></Coding>' + "".join(f'<NoteRef targetGUID="n{n}"/>' for n in (2, 1, 0))
    )
    notes = (
        '<Notes><Note guid="n0" richTextPath="internal://n0.docx"/><Note guid="n1" plainTextPath="internal://n1.txt"/>'
        '<Note guid="n2"><PlainTextContent>clarity: 2</PlainTextContent></Note></Notes>'
    )
    path = returned(noted, rest=notes)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("sources/n1.txt", "\ufeffsee the memo")
    (found,) = markers_in(path)
    assert (found.clarity, found.note) == (2, "see the memo")


# ---- which sessions


def test_other_documents_of_the_team_are_left_alone() -> None:
    path = returned(coding(*place("I guess"), "own"), name="Interview 3", codes=CODES)
    assert read(path, {"s1": S}, BOOK) == []


@pytest.mark.parametrize("name", [None, "s1", "s1.txt", "s1.docx"])
def test_a_document_is_known_by_its_name(name: str | None) -> None:
    assert words_in(returned(coding(*place("I guess")), name=name)) == [(1, "I guess")]


def test_a_document_without_a_name_may_be_known_by_the_files() -> None:
    path = returned(coding(*place("I guess")), name=None)
    with pytest.raises(ReadError, match="'back'"):
        read(path, {"s1": S, "s2": S}, BOOK)
    (found,) = read(path.rename(path.with_name("s2.qdpx")), {"s1": S, "s2": S}, BOOK)
    assert found.transcript is S


def test_a_renamed_document_is_known_by_its_guid() -> None:
    given = Marker(1, 0, 7, "withdrawal", "minimal_response", source="coder:AB")
    path = written(AnnotatedTranscript(S, (given,)))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    qde = files.pop("project.qde").decode().replace('name="s1"', 'name="First interview"')
    back = project(qde, {name.split("/")[1]: data for name, data in files.items()})
    assert markers_in(back) == (given,)


# ---- bad input: a message that says what and where, without talk


def refusal(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read(path, {"s1": S}, BOOK)
    said = str(caught.value)
    assert str(path) in said
    assert not any(words in said for words in ("guess", "fine", "really", "point", "week"))
    return said


GUESS = coding(*place("I guess"))


NOTED = coding(*place("I guess")).replace("</Coding>", '<NoteRef targetGUID="n1"/></Coding>')
NOTE = f'<Notes><Note guid="n1" name="{TALK}" plainTextPath="internal://n1.txt"/></Notes>'


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (returned(GUESS, PAGE.replace("fine", "good")), ("session s1, turn 1", "not those of the transcript")),
        (returned(GUESS, PAGE.replace("the point", "it")), ("session s1, turn 3",)),
        (returned("", PAGE.replace("guess", "think")), ("session s1, turn 1",)),
        (returned(GUESS, PAGE.replace("Anna (client): I r", "Bea (client): I r")), ("session s1, turn 3",)),
        (returned(GUESS, PAGE + "and more"), ("session s1, turn 3",)),
        (returned(GUESS, ""), ("session s1, turn 0",)),
        (returned(GUESS, PAGE.encode("utf-16")), ("the text of 's1' is not UTF-8",)),
        (returned(GUESS, name="s2"), ("'s2'", "not among the transcripts")),
        (returned(coding(*place("How was"))), ("session s1, turn 0", "W2", "client")),
        (returned(coding(5000, 5004)), ("session s1", "place of a selection")),
        (returned(coding(-3, 4)), ("session s1", "place of a selection")),
        (returned(coding(60, 50)), ("session s1", "place of a selection")),
        (returned(GUESS.replace('startPosition="', 'startPosition="x')), ("session s1", "place of a selection")),
        (returned(GUESS.replace('startPosition="', 'startPosition="' + "9" * 5000)), ("place of a selection",)),
        (returned(GUESS.replace("endPosition", "end")), ("session s1", "place of a selection")),
        (returned(coding(*place("I guess"), comment="clarity: 7")), ("session s1, turn 1", "clarity")),
        (returned(coding(*place("I guess"), comment="score: 7.1")), ("session s1, turn 1",)),
        (returned("<Description>coded by AB: turns 2-9</Description>"), ("session s1", "coded")),
        (returned("<Description>coded by AB: turns 0-1: anger</Description>"), ("session s1", "coded")),
        (returned('<Coding guid="k"><CodeRef targetGUID="c5"/></Coding>'), ("'s1'", "C5", "whole document")),
        (returned(GUESS, source='guid="d" plainTextPath="internal://e.txt"'), ("the text of 's1' is not in it",)),
        (returned(GUESS, source='guid="d"'), ("the text of 's1' is not in it",)),
        (returned(NOTED, rest=NOTE), ("the text of a note is not in it",)),
        (project("<CodeBook/>", {}), ("no REFI-QDA project",)),
        (project("<Project><Users></Project>", {}), ("not valid XML",)),
        (project('<?xml version="1.0" encoding="klingon"?><Project/>', {}), ("not valid XML",)),
        (project("<!DOCTYPE Project><Project/>", {}), ("DOCTYPE",)),
        (project('<!DOCTYPE p [<!ENTITY a "b">]><Project>&a;</Project>', {}), ("DOCTYPE",)),
        (project("", {}, name="project.txt"), ("its .qde file is not in it",)),
    ],
)
def test_what_does_not_fit_is_refused(path: Path, parts: tuple[str, ...]) -> None:
    said = refusal(path)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize("inline", [True, False])
def test_texts_that_are_too_much_together_are_not_unpacked(inline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUPTUREKIT_UNPACKED_MB", "2")
    words = "long" * 2**17
    note = f"<PlainTextContent>{words}</PlainTextContent>" if inline else ""
    path = returned(NOTED * 5, rest=f'<Notes><Note guid="n1" plainTextPath="internal://n1.txt">{note}</Note></Notes>')
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sources/n1.txt", words)
    assert "unpacked it has 2 MB, and 2 are read" in refusal(path)


def test_entities_of_other_files_and_from_the_net_are_not_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s1")
    for system in (secret.as_uri(), "http://127.0.0.1:9/x"):
        qde = f'<!DOCTYPE p [<!ENTITY x SYSTEM "{system}">]><Project name="&x;"/>'
        assert "DOCTYPE" in refusal(project(qde, {}))


def test_no_file_that_is_no_project_is_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "x.qdpx"
    whole = written(AnnotatedTranscript(S, (Marker(1, 0, 7, "withdrawal", "denial", source="coder:AB"),))).read_bytes()
    for data in (b"", b"PK\x03\x04", b"just text", whole[: len(whole) // 2], whole[:-10], whole[len(whole) // 2 :]):
        path.write_bytes(data)
        assert ("damaged" if data else "empty") in refusal(path)


def test_a_file_that_cannot_be_opened_is_refused_by_the_frame(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be opened"):
        import_codes(tmp_path / "nothing.qdpx", "refi-qda", [S])


GOOD = written(AnnotatedTranscript(S, (Marker(1, 0, 7, "withdrawal", "denial", source="coder:AB"),))).read_bytes()
with zipfile.ZipFile(io.BytesIO(GOOD)) as _archive:
    GOOD_QDE = _archive.read("project.qde")
    GOOD_TEXT = _archive.read(_archive.namelist()[0])
    GOOD_NAME = _archive.namelist()[0].split("/")[1]


def what_is_said_of(path: Path) -> str:
    try:
        read(path, {"s1": S}, BOOK)
    except ReadError as error:
        return str(error)
    return ""


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_damaged_archive_is_read_or_refused(at: int, bytes_: bytes) -> None:
    path = Path(tempfile.mkdtemp(dir=FILES.name)) / "x.qdpx"
    path.write_bytes(GOOD[:at] + bytes_ + GOOD[at + len(bytes_) :])
    assert "guess" not in what_is_said_of(path)


@given(
    st.integers(0, len(GOOD_QDE) - 1), st.sampled_from([b"", b"<", b">", b'"', b"9", b"&", b"\xff", b"</Code>", b"-"])
)
@settings(max_examples=60, deadline=None)
def test_a_damaged_project_file_is_read_or_refused(at: int, bytes_: bytes) -> None:
    path = project((GOOD_QDE[:at] + bytes_ + GOOD_QDE[at + 1 :]).decode("utf-8", "replace"), {GOOD_NAME: GOOD_TEXT})
    assert "guess" not in what_is_said_of(path)


def test_time_grows_with_the_length_of_the_session_only() -> None:
    turns = ["So 😀, and then what?", "I guess 😀 it was fine, I do not know."] * 2000
    talk = session(*turns)
    given = tuple(Marker(i, 0, 7, "withdrawal", "denial", clarity=2, source="coder:AB") for i in range(1, 4000, 2))
    begin = time.perf_counter()
    path = written(AnnotatedTranscript(talk, given))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    qde = files.pop("project.qde").decode()
    back = project(qde, {name.split("/")[1]: data.replace(b"\n", b"\r\n") for name, data in files.items()})
    assert markers_in(back, talk) == given  # positions that count a line end once, although it is two
    assert time.perf_counter() - begin < 5
