"""Praat TextGrids: talk in, markers out on tiers of their own, codings back in."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid

import rupturekit as rk
from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker
from rupturekit.batch import annotate_folder
from rupturekit.exchange import export, import_codes, label, praat
from rupturekit.inputs import find
from rupturekit.readers import ReadError, read_sessions
from rupturekit.readers.encoding import decode
from rupturekit.readers.praat import parse
from rupturekit.readers.raw import Source
from rupturekit.roles import RoleError
from rupturekit.tables import Pseudonyms
from rupturekit.transcript import Transcript, Turn

HERE = Path(__file__).parent / "praat"
PRIMOCK = Path(__file__).parents[2] / "shared" / "data" / "primock57"
BOOK = rk.load_codebook()

CODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with mark": lambda text: text.encode("utf-8-sig"),
    "utf-16-le": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16-be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "windows": lambda text: text.replace("\n", "\r\n").encode("cp1252"),
}


def grid(*tiers: tuple[str, list[tuple[float, float, str]]], end: float = 60) -> str:
    """Write a TextGrid in the short form."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "0", str(end), "<exists>", str(len(tiers))]
    for name, intervals in tiers:
        lines += ['"IntervalTier"', f'"{name}"', "0", str(end), str(len(intervals))]
        for start, until, text in intervals:
            doubled = text.replace('"', '""')
            lines += [str(start), str(until), f'"{doubled}"']
    return "\n".join(lines) + "\n"


TALK = (
    ("T", [(0, 4, "How has this been for you?"), (4, 9, ""), (9, 13, "I see. I missed that.")]),
    ("C", [(0, 4, ""), (4, 8.5, "It isn't helping."), (8.5, 13.5, ""), (13.5, 15, "Fine. Whatever.")]),
)


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def tiers_of(path: Path) -> dict[str, list[str]]:
    """Return the labels of each tier that are not empty, as praatio reads them."""
    opened = textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    for tier in opened.tiers:
        if isinstance(tier, textgrid.IntervalTier):
            # covered from end to end, without overlap
            ends = [0.0, *(entry.end for entry in tier.entries)]
            assert [entry.start for entry in tier.entries] == ends[:-1]
            assert ends[-1] == opened.maxTimestamp
    return {tier.name: [entry.label for entry in tier.entries if entry.label] for tier in opened.tiers}


# --- in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two_tiers", "two_tiers_short"])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_tier_is_a_speaker_in_every_form_and_encoding(name: str, coding: str, tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", CODINGS[coding]((HERE / f"{name}.TextGrid").read_text("utf-8")))
    (session,) = read_sessions(path)
    assert (session.id, session.format) == (None, "textgrid")
    assert [(u.speaker, u.text, u.start_s, u.end_s, u.source_id) for u in session.utterances] == [
        ("Therapist", "How has it been since we last met?", 0.8, 4.25, "Therapist:2"),
        ("Client", "Honestly? I don't see what we are doing here.", 4.9, 8.7, "Client:2"),
        ("Therapist", 'You said "pointless" before. Is it that again?', 9.1, 12.6, "Therapist:4"),
        ("Client", "Whatever you say.", 13.3, 18.2, "Client:4"),
        ("Therapist", "I may have pushed you too hard there.", 20, 23.75, "Therapist:6"),
        ("Client", "Maybe. Item [2]: yes, a bit.", 24, 27.5, "Client:7"),
    ]
    lines = (HERE / f"{name}.TextGrid").read_text("utf-8").split("\n")
    for utterance in session.utterances:
        assert utterance.text.replace('"', '""') in lines[utterance.line - 1]


def test_a_lone_tier_has_its_speakers_before_colons() -> None:
    talk = rk.read(HERE / "one_tier.TextGrid")
    assert [(t.speaker, t.role, t.text, t.start_s, t.end_s, t.source_ids) for t in talk] == [
        ("T", "therapist", "What would help most today?", 0, 2.5, ("talk:1",)),
        ("C", "client", "No idea, really. I told you last week.", 3, 8, ("talk:3", "talk:4")),
        ("T", "therapist", "You did. I lost sight of that.", 8, 12, ("talk:5",)),
    ]


def test_silence_points_and_the_tiers_of_codings_are_not_talk(tmp_path: Path) -> None:
    signs = [(15 + i, 16 + i, sign) for i, sign in enumerate(("", " ", "sil", "SIL", "<sil>", "sp", "#"))]
    more = (("pauses", signs), ("rupturekit coder:AB", [(0, 60, "C5")]), ("Rupturekit notes", [(0, 60, "ask")]))
    path = put(tmp_path, "s.TextGrid", grid(*TALK, *more))
    assert {u.speaker for u in read_sessions(path)[0].utterances} == {"T", "C"}


def test_what_looks_like_the_format_may_be_said(tmp_path: Path) -> None:
    said = 'item [1]: "class" = intervals [2]: xmin = 3 <exists> ! no'
    path = put(tmp_path, "s.TextGrid", grid(("T", [(0, 4, "So?\nAnd?")]), ("C", [(4, 9, said)])))
    assert [u.text for u in read_sessions(path)[0].utterances] == ["So? And?", said]


def words(*said: tuple[float, str]) -> list[tuple[float, float, str]]:
    """Return words as an aligner leaves them, each of 0.2 s, with empty intervals between."""
    found: list[tuple[float, float, str]] = []
    for start, word in said:
        end = found[-1][1] if found else 0.0
        found += [(end, start, "")] * (start > end) + [(start, round(start + 0.2, 3), word)]
    return found


CLIENT_WORDS = words((4.0, "it"), (4.2, "isn't"), (4.6, "helping"), (5.3, "fine"), (5.98, "whatever"))
PHONES = words((4.0, "IH1"), (4.2, "T"), (4.4, "IH1"), (4.6, "Z"))


@pytest.mark.parametrize("form", ["{} - {}", "{}_{}", "{1} {0}", "{} ({})"])
def test_words_and_phones_beside_utterances_are_not_said_again(form: str, tmp_path: Path) -> None:
    more = [
        (form.format(who, what), cut) for who in "TC" for what, cut in (("words", CLIENT_WORDS), ("phones", PHONES))
    ]
    (alone,) = read_sessions(put(tmp_path, "a.TextGrid", grid(*TALK)))
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(*more, *TALK)))
    assert session.meta == {"tiers_left_out": 4}
    assert [replace(u, line=None) for u in session.utterances] == [replace(u, line=None) for u in alone.utterances]


def test_words_alone_are_joined_into_utterances(tmp_path: Path) -> None:
    tiers = [("client - words", CLIENT_WORDS), ("client - phones", PHONES), ("therapist", [(0, 3.5, "And so?")])]
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(*tiers)))
    assert [(u.speaker, u.text, u.start_s, u.end_s, u.source_id) for u in session.utterances] == [
        ("therapist", "And so?", 0, 3.5, "therapist:1"),
        ("client", "it isn't helping", 4.0, 4.8, "client - words:2"),
        ("client", "fine whatever", 5.3, 6.18, "client - words:7"),
    ]
    assert session.meta == {"tiers_left_out": 1}


def test_a_file_of_words_for_each_speaker(tmp_path: Path) -> None:
    for who in ("therapist", "client"):
        put(tmp_path, f"v_{who}.TextGrid", grid(("words", CLIENT_WORDS), ("phones", PHONES)))
    (session,) = read_sessions(tmp_path / "v_client.TextGrid")
    assert Counter(u.speaker for u in session.utterances) == {"therapist": 2, "client": 2}
    assert session.meta == {"tiers_left_out": 2}


@pytest.mark.parametrize("names", [("T words", "C (phone)"), ("Kan", "Mau"), ("T (Kan)", "C TRN")])
def test_a_tier_is_not_cut_because_it_is_called_so(names: tuple[str, str], tmp_path: Path) -> None:
    tiers = ((names[0], TALK[0][1]), (names[1], TALK[1][1]))
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(*tiers)))
    assert [u.text for u in session.utterances] == [
        "How has this been for you?",
        "It isn't helping.",
        "I see. I missed that.",
        "Fine. Whatever.",
    ]
    assert session.meta == {}


@pytest.mark.parametrize("name", ["C_emotion", "C - smile", "T_nod", "C_Emotion"])
def test_a_tier_about_a_party_is_not_what_that_party_says(name: str, tmp_path: Path) -> None:
    about = [(0.0, 4.0, "neutral"), (4.0, 9.0, "sad"), (9.0, 15.0, "angry")]
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(*TALK, (name, about))))
    assert {u.speaker for u in session.utterances} == {"T", "C"}
    assert session.meta == {"tiers_left_out": 1}


def test_notes_and_codes_for_the_whole_session_are_no_speakers(tmp_path: Path) -> None:
    more = [(name, [(5.0, 14.0, "withdrawal")]) for name in ("Codes", "rupture AB", "Emotion")]
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(*TALK, *more)))
    assert {u.speaker for u in session.utterances} == {"T", "C"}
    assert session.meta == {"tiers_left_out": 3}
    # what is all that there is, is talk
    notes = ("notes", [(0.0, 3.0, "T: So?"), (3.0, 4.0, "C: No.")])
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(notes)))
    assert [u.speaker for u in session.utterances] == ["T", "C"]


@pytest.mark.parametrize("name", ["C 2", "C_Anna", "C (mother)", "C_B"])
def test_a_second_speaker_is_no_tier_about_the_first(name: str, tmp_path: Path) -> None:
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(*TALK, (name, [(5, 6, "Mm."), (14, 15, "No!")]))))
    assert [u.text for u in session.utterances if u.speaker == name] == ["Mm.", "No!"]
    assert not session.meta


MAUS = (("ORT-MAU", CLIENT_WORDS), ("KAN-MAU", words((4.0, "It"), (4.2, "Iz@nt"))), ("MAU", PHONES))


@pytest.mark.parametrize("prefix", ["", "C ", "C_"])
def test_the_tiers_of_webmaus_are_words_and_phones(prefix: str, tmp_path: Path) -> None:
    maus = [(f"{prefix}{name}", cut) for name, cut in MAUS]
    whole = (f"{prefix}TRN", [(4.0, 6.18, "It isn't helping. Fine. Whatever.")])
    therapist = ("therapist", [(0, 3.5, "And so?")])
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(therapist, whole, *maus)))
    assert [u.text for u in session.utterances] == ["And so?", "It isn't helping. Fine. Whatever."]
    assert session.meta == {"tiers_left_out": 3}


def test_words_of_webmaus_alone_are_joined_into_utterances(tmp_path: Path) -> None:
    maus = [(f"Client {name}", cut) for name, cut in MAUS]
    (session,) = read_sessions(put(tmp_path, "s.TextGrid", grid(("Therapist", [(0, 3.5, "And so?")]), *maus)))
    assert [(u.speaker, u.text) for u in session.utterances] == [
        ("Therapist", "And so?"),
        ("Client", "it isn't helping"),
        ("Client", "fine whatever"),
    ]
    assert session.meta == {"tiers_left_out": 2}


def test_a_file_of_webmaus_for_each_speaker(tmp_path: Path) -> None:
    for who in ("therapist", "client"):
        put(tmp_path, f"v_{who}.TextGrid", grid(*MAUS))
    (session,) = read_sessions(tmp_path / "v_client.TextGrid")
    assert Counter(u.speaker for u in session.utterances) == {"therapist": 2, "client": 2}
    assert session.meta == {"tiers_left_out": 4}


def test_phones_are_never_talk(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no talk was found"):
        read_sessions(put(tmp_path, "s.TextGrid", grid(("client - phones", PHONES))))


def as_praatio(path: Path) -> list[tuple[str, list[tuple[float, float, str]]]]:
    opened = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    intervals = [tier for tier in opened.tiers if isinstance(tier, textgrid.IntervalTier)]
    return [(tier.name, [(e.start, e.end, e.label.strip()) for e in tier.entries]) for tier in intervals]


@pytest.mark.parametrize("path", [*HERE.glob("*.TextGrid"), *PRIMOCK.glob("*.TextGrid")], ids=lambda path: path.stem)
def test_praatio_reads_the_same(path: Path) -> None:
    ours = parse(decode(Source(path, path.read_bytes())))
    assert [
        (tier.name, [(i.start, i.end, i.text.strip()) for i in tier.intervals])
        for tier in ours.tiers
        if not tier.points
    ] == as_praatio(path)


def test_overlapping_talk_is_in_the_order_of_its_starts(tmp_path: Path) -> None:
    listener = [(2, 2.5, "Mm-hmm."), (6, 7, "It was awful."), (7.5, 8, "Yes.")]
    path = put(tmp_path, "s.TextGrid", grid(("T", [(0, 5, "So when he left,"), (5, 9, "and after?")]), ("C", listener)))
    assert [turn.text for turn in rk.read(path)] == [
        "So when he left, [Mm-hmm] and after?",
        "It was awful. Yes.",
    ]


# --- one file for each speaker --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["visit07_therapist", "visit07_client"])
def test_either_file_of_a_pair_is_the_session(name: str) -> None:
    talk = rk.read(HERE / f"{name}.TextGrid")
    assert talk.id == "visit07"
    assert [(t.speaker, t.role, t.start_s) for t in talk] == [
        ("therapist", "therapist", 1.2),
        ("client", "client", 5.6),
        ("therapist", "therapist", 9),
        ("client", "client", 11),
    ]
    assert talk[3].source_ids == ("client:4", "client:6")


@pytest.mark.parametrize(
    ("one", "other", "id"),
    [
        ("s1_doctor", "s1_patient", "s1"),
        ("Therapist-s1 b", "Client-s1 b", "s1 b"),
        ("s1.T", "s1.C", "s1"),
        ("s1 Counsellor", "s1 Client", "s1"),
        ("client_12_therapist", "client_12_client", "client_12"),
    ],
)
def test_names_that_differ_in_the_speaker_are_a_pair(one: str, other: str, id: str, tmp_path: Path) -> None:
    for name, (_, talk) in zip((one, other), TALK, strict=True):
        put(tmp_path, f"{name}.TextGrid", grid(("Speaker", talk)))
    talk = rk.read(tmp_path / f"{other}.TextGrid")
    assert talk.id == id
    assert [turn.role for turn in talk] == ["therapist", "client", "therapist", "client"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("s1_doctor", "s2_patient"), ("client_1", "client_2"), ("s1_pre", "s1_post"), ("a_client", "a_mother")],
)
def test_other_names_are_no_pair(one: str, other: str, tmp_path: Path) -> None:
    for name in (one, other):
        put(tmp_path, f"{name}.TextGrid", grid(*TALK))
    assert rk.read(tmp_path / f"{one}.TextGrid").id == one
    assert [entry.skip for entry in find([tmp_path], tmp_path / "out")] == [None, None]


@pytest.mark.parametrize(
    ("name", "tier", "other"),
    [("s1_doctor", "Speaker", "client"), ("Client-07", "", "therapist"), ("s1_mother", "Mother", "client")],
)
def test_a_lone_file_of_a_pair_is_refused_for_want_of_the_other(
    name: str, tier: str, other: str, tmp_path: Path
) -> None:
    path = put(tmp_path, f"{name}.TextGrid", grid((tier, TALK[0][1])))
    with pytest.raises(ReadError, match=rf"{name}\.TextGrid: .* other speaker's file is missing\. Put the {other}'s"):
        rk.read(path)


def test_a_lone_file_is_not_called_one_of_a_pair_without_reason(tmp_path: Path) -> None:
    with pytest.raises(RoleError, match="the only speaker"):
        rk.read(put(tmp_path, "visit_two.TextGrid", grid(TALK[0])))
    with pytest.raises(ReadError, match="no talk was found"):
        rk.read(put(tmp_path, "s1_doctor.TextGrid", grid(("Speaker", [(0, 60, "")]))))
    assert len(rk.read(put(tmp_path, "s2_doctor.TextGrid", grid(*TALK)))) == 4


def test_a_pair_with_the_talk_of_both_in_a_file_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "s1_doctor.TextGrid", grid(*TALK))
    path = put(tmp_path, "s1_patient.TextGrid", grid(TALK[1]))
    with pytest.raises(ReadError, match=r"s1_doctor.TextGrid: its name says that one speaker's talk.*2 tiers"):
        read_sessions(path)


def test_a_folder_reads_a_pair_once(tmp_path: Path) -> None:
    done = annotate_folder([HERE], tmp_path / "out", rk.Annotator(model=None))
    by_name = {entry.path: entry for entry in done.inputs}
    first, second = by_name["visit07_client.TextGrid"], by_name["visit07_therapist.TextGrid"]
    assert [session.session_id for session in first.sessions] == ["visit07"]
    assert (second.outcome, second.reason) == ("skipped", "read together with the other speaker's file")
    assert {entry.outcome for entry in done.inputs} == {"done", "skipped"}
    assert sum(session.transcript.id == "visit07" for session in rk.load(tmp_path / "out")) == 1


def test_both_files_given_by_name_are_read_once(tmp_path: Path) -> None:
    both = [HERE / "visit07_therapist.TextGrid", HERE / "visit07_client.TextGrid"]
    assert [bool(entry.skip) for entry in find(both, tmp_path)] == [False, True]


def test_without_names_the_other_file_is_not_named_either(tmp_path: Path) -> None:
    put(tmp_path, "smith_client.TextGrid", grid(("Speaker", TALK[1][1])))
    put(tmp_path, "smith_therapist.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n')
    hide = Pseudonyms(b"k" * 32)
    (failed, skipped) = annotate_folder([tmp_path], tmp_path / "out", rk.Annotator(model=None), hide=hide).inputs
    assert failed.outcome == "failed"
    assert "the file ends where" in failed.reason
    assert "smith" not in json.dumps([failed.reason, failed.path, skipped.reason, skipped.path])


@pytest.mark.skipif(not PRIMOCK.is_dir(), reason="the corpus is not here")
def test_primock57_is_read_whole() -> None:
    inputs = [entry for entry in find([PRIMOCK], Path("out")) if entry.path.suffix == ".TextGrid"]
    assert Counter(entry.skip for entry in inputs) == {None: 57, "read together with the other speaker's file": 57}
    sessions = [rk.read(entry.path) for entry in inputs if not entry.skip]
    assert len({session.id for session in sessions}) == 57
    for session in sessions:
        assert session.meta["role_source"] == "labels"
        assert {(t.speaker, t.role) for t in session} == {("doctor", "therapist"), ("patient", "client")}
        starts = [turn.start_s for turn in session]
        assert starts == sorted(starts)


# --- bad files ------------------------------------------------------------------------------------

LONG = (HERE / "two_tiers.TextGrid").read_text("utf-8")
SHORT = (HERE / "two_tiers_short.TextGrid").read_text("utf-8")
WORDS = re.compile("helping|Honestly|pointless|Whatever|pushed|last met|since we|doing here")


@pytest.mark.parametrize(
    ("content", "found", "line"),
    [
        (LONG.replace("xmin = 4.25 ", "xmin = 3.1 ", 1), "interval 3 overlaps with the one before it", 25),
        (LONG.replace("xmax = 8.7 ", "xmax = 30.9 "), "interval 2 reaches beyond the end of the file", 55),
        (LONG.replace("xmax = 8.7 ", "xmax = 4.1 "), "interval 2 ends before it starts", 55),
        (LONG.replace("xmax = 8.7 ", "xmax = "), "the end of an interval should stand here", 56),
        (LONG.replace("intervals: size = 7", "intervals: size = 6"), "the class of a tier should stand here", 40),
        (LONG.replace("intervals: size = 7", "intervals: size = 8"), "the start of an interval should stand here", 44),
        (LONG.replace("size = 3", "size = 2", 1), "the file goes on after its last tier", 82),
        (LONG.replace("size = 3", "size = 4", 1), "the file ends where the class of a tier should stand", 92),
        (LONG.replace("size = 3", "size = 2.5", 1), "the number of tiers is no whole number", 7),
        (LONG.replace("size = 3", f"size = {'9' * 5000}", 1), "the number of tiers is no whole number", 7),
        (LONG.replace("xmax = 30.5", "xmax = 1e999", 1), "the end of the file is no number of seconds", 5),
        (LONG.replace("xmax = 30.5", "xmax = 0", 1), "the file ends where it starts", 5),
        (LONG.replace('""pointless""', '"pointless"'), "the start of an interval should stand here", 30),
        (LONG[:1500], "a text in quotes is not closed|should stand", None),
        (LONG.replace("<exists>", "<absent>"), "it has no tiers", 6),
        (SHORT.replace("4.25\n9.1", "3.1\n9.1"), "interval 3 overlaps with the one before it", None),
        (SHORT.replace("4.25\n9.1", "4.25"), "should stand here", None),
        (LONG.replace('"IntervalTier"', '"PitchTier"', 1), "neither an IntervalTier nor a TextTier", 10),
    ],
)
def test_a_bad_file_is_refused_with_the_line(content: str, found: str, line: int | None, tmp_path: Path) -> None:
    assert content not in (LONG, SHORT)
    with pytest.raises(ReadError, match=found) as error:
        read_sessions(put(tmp_path, "s.TextGrid", content))
    assert re.search(r"s\.TextGrid, line \d+: ", str(error.value))
    if line is not None:
        assert f"line {line}: " in str(error.value)
    assert not WORDS.search(str(error.value))


@given(cut=st.integers(120, len(LONG.rstrip()) - 1))
@settings(max_examples=60)
def test_a_file_that_is_cut_short_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = put(tmp_path_factory.mktemp("cut"), "s.TextGrid", LONG[:cut])
    with pytest.raises(ReadError, match="line") as error:
        read_sessions(path)
    assert not WORDS.search(str(error.value))


@given(
    text=st.sampled_from([LONG, SHORT]),
    number=st.integers(0, 200),
    instead=st.sampled_from(["", '"', "-1", "<exists>", "!", "é 7"]),
)
@settings(max_examples=60)
def test_a_broken_line_is_read_or_refused(
    text: str, number: int, instead: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = text.split("\n")
    lines[number % len(lines)] = instead
    path = put(tmp_path_factory.mktemp("broken"), "s.TextGrid", "\n".join(lines))
    said = ""
    try:
        read_sessions(path, format="textgrid")
    except ReadError as error:
        said = str(error)
    assert not WORDS.search(said)


# --- out: a copy ----------------------------------------------------------------------------------


def coded(transcript: Transcript, *markers: Marker, by: str = "coder:AB") -> AnnotatedTranscript:
    went_through = tuple(Coded(by, family, 0, len(transcript) - 1) for family in FAMILIES)
    return AnnotatedTranscript(transcript, markers, coded=went_through)


def back(path: Path, *sessions: AnnotatedTranscript) -> AnnotatedTranscript:
    (returned,) = praat.read(path, {s.transcript.id: s.transcript for s in sessions}, BOOK)
    return returned


def all_coded(session: AnnotatedTranscript) -> tuple[Coded, ...]:
    """Return who went through what, with the coders who have a tier, and of whom nothing is said, for all of it."""
    said = {"rule", "model", *(c.source for c in session.coded)}
    others = sorted({m.source for m in session.markers} - said)
    last = len(session.transcript) - 1
    return (*session.coded, *(Coded(coder, family, 0, last) for coder in others for family in FAMILIES))


@pytest.mark.parametrize("name", ["two_tiers", "two_tiers_short"])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_copy_keeps_every_byte_but_the_number_of_tiers(name: str, coding: str, tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", CODINGS[coding]((HERE / f"{name}.TextGrid").read_text("utf-8")))
    found = rk.Annotator(model=None)(rk.read(path))
    (copy,) = export([found], "textgrid", tmp_path / "out", originals={"s": path})
    data, before = copy.read_bytes(), path.read_bytes()
    at = next(i for i in range(len(before)) if data[i] != before[i])
    assert before[at : at + 1] == b"3"
    assert data[at : at + 1] == b"6"
    assert data[at + 1 : len(before)] == before[at + 1 :]
    wide = coding.startswith("utf-16")
    added = data[len(before) :].decode(coding if wide else "utf-8")
    assert ("item [4]:" in added) == (name == "two_tiers")
    assert ("\r\n" in added) == (coding == "windows")
    assert as_praatio(copy)[:2] == as_praatio(path)
    assert back(copy, found) == AnnotatedTranscript(found.transcript, found.markers, coded=found.coded)
    assert rk.read(copy).turns == found.transcript.turns


def test_a_copy_is_utf_8_where_its_encoding_cannot_hold_a_note(tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", grid(*TALK).replace("Fine", "Café").encode("cp1252"))
    transcript = rk.read(path)
    given = coded(transcript, Marker(1, 0, 5, "confrontation", "complaint_progress", source="coder:AB", note="😐"))
    (copy,) = export([given], "textgrid", tmp_path / "out", originals={"s": path})
    assert "Café" in copy.read_text("utf-8")
    assert back(copy, given) == given


def test_a_file_with_our_tiers_is_not_copied_again(tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", grid(*TALK, ("rupturekit machine", [(0, 60, "")])))
    with pytest.raises(ReadError, match="it has tiers of rupturekit already"):
        export([coded(rk.read(path))], "textgrid", tmp_path / "out", originals={"s": path})
    assert not (tmp_path / "out").exists()


def test_a_pair_becomes_one_file_with_both_speakers(tmp_path: Path) -> None:
    path = HERE / "visit07_client.TextGrid"
    found = rk.Annotator(model=None)(rk.read(path))
    (file,) = export([found], "textgrid", tmp_path / "out", originals={"visit07": path})
    assert file.name == "visit07.TextGrid"
    tiers = tiers_of(file)
    assert list(tiers) == ["therapist", "client", "rupturekit session", "rupturekit machine", "rupturekit coder:"]
    assert tiers["client"] == [turn.text for turn in found.transcript.of("client")]
    assert back(file, found).markers == found.markers
    assert [(t.text, t.start_s, t.end_s) for t in rk.read(file)] == [
        (t.text, t.start_s, t.end_s) for t in found.transcript
    ]


# --- out: a new file ------------------------------------------------------------------------------

SESSION = Transcript(
    "s1",
    (
        Turn(0, "T", "therapist", "How has this been for you?", 0.0, 4.0),
        Turn(1, "C", "client", 'It "isn\'t" helping. 😐', 4.5, 8.5),
        Turn(2, "T", "therapist", "I missed that.", 8.0, 13.0),
        Turn(3, "C", "client", "Fine. Whatever.", 13.0, 15.0),
    ),
)


def test_praatio_opens_a_new_file_with_lanes_for_overlapping_markers(tmp_path: Path) -> None:
    span = Marker(1, 0, 5, "confrontation", "complaint_progress", clarity=2, source="coder:AB")
    given = coded(
        SESSION,
        span,
        replace(span, source="coder:CD", note='said "it" again; 2nd time'),
        replace(span, end=20),
        Marker(1, 0, 5, "withdrawal", "denial", 0.5, source="model"),
        Marker(1, 2, 5, "withdrawal", "denial", 0.75, source="rule", rule_id="W1-001"),
        Marker(2, 0, 14, "resolution", "clarify_misunderstanding", 0.25, source="model"),
    )
    (file,) = export([given], "textgrid", tmp_path / "out")
    tiers = tiers_of(file)
    assert tiers["C"] == ['It "isn\'t" helping. 😐', "Fine. Whatever."]
    assert {
        name: labels for name, labels in tiers.items() if name.startswith("rupturekit") and "session" not in name
    } == {
        "rupturekit machine": ["W1 denial turn 1 [0-5] score 0.5 source model"],
        "rupturekit machine (2)": ["W1 denial turn 1 [2-5] score 0.75 source rule rule W1-001"],
        "rupturekit machine (3)": ["R1 clarify_misunderstanding turn 2 [0-14] score 0.25 source model"],
        "rupturekit coder:AB": ["C5 complaint_progress turn 1 [0-5] clarity 2"],
        "rupturekit coder:AB (2)": ["C5 complaint_progress turn 1 [0-20] clarity 2"],
        "rupturekit coder:CD": ['C5 complaint_progress turn 1 [0-5] clarity 2 note "said \\"it\\" again; 2nd time"'],
    }
    returned = back(file, given)
    assert Counter(returned.markers) == Counter(given.markers)
    assert returned.coded == all_coded(given)


def test_times_that_are_not_known_are_estimated_and_said_to_be(tmp_path: Path) -> None:
    starts = (None, 10.0, None, None, 20.0, None)
    texts = ("One two.", "Three.", "Four.", "Five six seven.", "Eight.", "Nine.")
    turns = [Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], texts[i], at) for i, at in enumerate(starts)]
    given = coded(Transcript("s1", tuple(turns)))
    (file,) = export([given], "textgrid", tmp_path / "out")
    tiers = tiers_of(file)
    assert tiers["rupturekit times estimated"] == ["estimated"] * 6
    opened = textgrid.openTextgrid(str(file), includeEmptyIntervals=False)
    found = sorted(entry for name in "TC" for entry in opened.getTier(name).entries)
    assert [entry.label for entry in found] == list(texts)
    assert (found[1].start, found[4].start) == (10, 20)
    # three of four parts of the time between go to three of four words
    assert found[3].end - found[3].start == pytest.approx(3 * (found[2].end - found[2].start))


def test_equal_sessions_give_equal_bytes_and_ids_that_are_no_file_names_stay(tmp_path: Path) -> None:
    sessions = [coded(replace(SESSION, id=id)) for id in ("a/b", "a:b", "ü", "..", 'x"y', "con", "界" * 120)]
    paths = export(sessions, "textgrid", tmp_path / "one")
    assert [path.name for path in paths] == [
        "_con.TextGrid",
        "a_b-2.TextGrid",
        "a_b.TextGrid",
        "session.TextGrid",
        "x_y.TextGrid",
        "ü.TextGrid",
        f"{'界' * 40}.TextGrid",
    ]
    again = export(sessions, "textgrid", tmp_path / "two")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert {back(path, *sessions).transcript.id for path in paths} == {s.transcript.id for s in sessions}


# --- there and back -------------------------------------------------------------------------------

TEXT = st.text(
    st.one_of(
        st.sampled_from('ab "\\;,[]()\n\t\x00\x1f\x7f\u2028\x85😐\u05d0\u0301&<>!'), st.characters(codec="utf-8")
    ),
    max_size=20,
)
NAME = st.one_of(st.sampled_from(["AB", "CD", "AB 2", "AB (2)", "Zoë B."]), TEXT.filter(bool))
SPOKEN = TEXT.map(lambda text: f"{text} so")


@st.composite
def annotated(draw: st.DrawFn) -> AnnotatedTranscript:
    turns = []
    for i in range(draw(st.integers(1, 6))):
        role = draw(st.sampled_from(["client", "therapist", "other"]))
        start = draw(st.none() | st.floats(0, 100))
        end = draw(st.none() | st.floats(0, 20).map(lambda length, start=start: (start or 0) + length))
        turns.append(Turn(i, draw(st.sampled_from(["T", "C", 'the "C"', "C (2)"])), role, draw(SPOKEN), start, end))
    transcript = Transcript(draw(NAME), tuple(turns))
    return with_markers(draw, transcript)


def with_markers(draw: st.DrawFn, transcript: Transcript) -> AnnotatedTranscript:
    sources = ["rule", "model", *(f"coder:{name}" for name in draw(st.lists(NAME, max_size=3, unique=True)))]
    codable = [turn for turn in transcript if turn.role != "other"]
    markers = set()
    for _ in range(draw(st.integers(0, 8)) if codable else 0):
        turn = draw(st.sampled_from(codable))
        entry = draw(st.sampled_from([m for m in BOOK.markers if m.speaker == turn.role]))
        start = draw(st.integers(0, len(turn.text) - 1))
        marker = Marker(
            turn.index,
            start,
            draw(st.integers(start + 1, len(turn.text))),
            entry.parent,
            entry.id,
            draw(st.none() | st.floats(0, 1)),
            draw(st.sampled_from([None, 1, 2, 3])),
            draw(st.sampled_from(sources)),
            draw(st.none() | TEXT),
            draw(st.none() | TEXT),
        )
        markers |= {
            replace(marker, source=source) for source in draw(st.sets(st.sampled_from(sources))) | {marker.source}
        }
    last = len(transcript) - 1
    coded = [
        Coded(source, family, draw(st.integers(0, last)), last)
        for source in draw(st.lists(st.sampled_from(sources), unique=True))
        for family in draw(st.lists(st.sampled_from(FAMILIES), unique=True))
    ]
    return AnnotatedTranscript(transcript, tuple(sorted(markers, key=repr)), coded=tuple(coded))


@given(annotated())
@settings(max_examples=100, deadline=None)
def test_everything_comes_back_from_a_new_file(session: AnnotatedTranscript) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (file,) = export([session], "textgrid", Path(folder, "out"))
        returned = back(file, session)
    assert Counter(returned.markers) == Counter(session.markers)
    assert Counter(returned.coded) == Counter(all_coded(session))
    assert returned.transcript is session.transcript


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_everything_comes_back_from_a_copy(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        coding = data.draw(st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
        path = put(Path(folder), "s.TextGrid", CODINGS[coding](grid(*TALK)))
        session = with_markers(data.draw, rk.read(path))
        (file,) = export([session], "textgrid", Path(folder, "out"), originals={"s": path})
        returned = back(file, session)
    assert Counter(returned.markers) == Counter(session.markers)
    assert Counter(returned.coded) == Counter(all_coded(session))


@given(NAME, TEXT)
@settings(max_examples=50)
def test_a_label_is_one_line_that_xml_can_hold(name: str, note: str) -> None:
    line = label.line_of(Marker(1, 0, 2, "withdrawal", "denial", source=f"coder:{name}", note=note), BOOK)
    assert len(line.splitlines()) == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", line)
    (marker,) = label.markers_of(line, BOOK, SESSION, f"coder:{name}", [1])
    assert marker.note == note


def test_a_coder_who_marked_nothing_has_coded(tmp_path: Path) -> None:
    (file,) = export([coded(SESSION)], "textgrid", tmp_path / "out")
    (coding,) = import_codes(file, "textgrid", [SESSION])
    assert coding.markers == ()
    assert {(c.source, c.first, c.last) for c in coding.coded} == {("coder:AB", 0, 3)}


# --- what people type -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("C5", [(1, 0, 17, "complaint_progress", None)]),
        ("c5 2", [(1, 0, 17, "complaint_progress", 2)]),
        ("complaint_progress", [(1, 0, 17, "complaint_progress", None)]),
        ("C5 complaint_progress, clarity 3", [(1, 0, 17, "complaint_progress", 3)]),
        ("C5 [3-8]", [(1, 3, 8, "complaint_progress", None)]),
        ("C5 2; W1", [(1, 0, 17, "complaint_progress", 2), (1, 0, 17, "denial", None)]),
        ('C5 2 note "so, W3", w1', [(1, 0, 17, "complaint_progress", 2), (1, 0, 17, "denial", None)]),
        ("C5, complaint_progress, 2", [(1, 0, 17, "complaint_progress", 2)]),
        ("R1", [(0, 0, 26, "clarify_misunderstanding", None)]),
        ("  ", []),
    ],
)
def test_a_code_that_is_typed_stands_on_the_turn_of_its_role(
    typed: str, expected: list[tuple[object, ...]], tmp_path: Path
) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    # a tier of the coder's own in the file that was given, which begins while the therapist still speaks
    coder = ("Rupturekit coder: Anna B", [(0, 3.5, ""), (3.5, 8.2, typed)])
    path = put(tmp_path, "coded.TextGrid", grid(*TALK, coder, ("remarks", [(0, 60, "ask her")])))
    (coding,) = import_codes(path, "textgrid", [transcript], coders={"Anna B": "AB"})
    assert [(m.turn, m.start, m.end, m.marker, m.clarity) for m in coding.markers] == expected
    assert {m.source for m in coding.markers} <= {"coder:AB"} == {c.source for c in coding.coded}


def test_what_the_machine_marked_and_a_coder_left_is_the_coders(tmp_path: Path) -> None:
    found = [
        Marker(1, 0, 5, "confrontation", "complaint_progress", 0.9, source="rule", rule_id="C5-001"),
        Marker(3, 0, 5, "withdrawal", "denial", 0.5, source="model"),
    ]
    (file,) = export([coded(SESSION, *found, by="model")], "textgrid", tmp_path / "out")
    text = file.read_text("utf-8")
    (line,) = [line for line in text.split("\n") if "W1 denial" in line]
    file.write_text(text.replace(line, '            text = "W2 3" '), "utf-8")
    (coding,) = import_codes(file, "textgrid", [SESSION], coder="AB")
    assert coding.markers == (
        replace(found[0], score=None, rule_id=None, source="coder:AB"),
        Marker(3, 0, 15, "withdrawal", "minimal_response", clarity=3, source="coder:AB"),
    )
    # a tier of the machine's that a coder has copied and named is theirs
    file.write_text(text.replace('"rupturekit machine"', '"rupturekit coder: CD"'), "utf-8")
    (coding,) = import_codes(file, "textgrid", [SESSION])
    assert coding.markers == tuple(replace(m, score=None, rule_id=None, source="coder:CD") for m in found)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("C99", "the code C99 is no code or marker of the codebook 3rs-2015"),
        ("helping", "its first word is no code"),
        ("R1", "R1 is a therapist's marker, and it stands on no turn of the therapist"),
        ("C5 4", "its clarity is not 1, 2 or 3"),
        ("C5 helping", "what follows C5 in it cannot be read"),
        ("C5/W2", "write a code as C5, with its clarity as C5 2, and several as C5; W2"),
        ("C5 (2)", "with its clarity as C5 2"),
        ("C5?", "with its clarity as C5 2"),
        ("C5 clarity: 2", "with its clarity as C5 2"),
        ("C5 [3-99]", "are not within turn 1, which has 17 characters"),
        ("C5 turn 3", "it names turn 3, but does not stand on that turn"),
        ('C5 note "helping', "a text in quotes in it was damaged"),
        ("C5 score helping", "its score cannot be read"),
        ("C5 2 clarity 3", "it gives its clarity twice"),
        ("C5 source AB", "its source is neither rule nor model"),
    ],
)
def test_a_label_that_cannot_be_meant_is_refused_with_its_place(typed: str, found: str, tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    path = put(tmp_path, "s.TextGrid", grid(*TALK, ("rupturekit coder:AB", [(5, 8, typed)])))
    with pytest.raises(ReadError) as error:
        import_codes(path, "textgrid", [transcript])
    assert found in str(error.value)
    assert re.search(r"line \d+: session s, tier \d+, the label at 5.00 s: ", str(error.value))
    assert not WORDS.search(str(error.value))


@pytest.mark.parametrize("name", ["rupturekit AB", "rupturekit", "rupturekit coders:AB", 'rupturekit coder:""AB'])
def test_a_tier_that_names_no_coder_is_refused(name: str, tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    path = put(tmp_path, "s.TextGrid", grid(*TALK, (name, [(5, 8, "C5")])))
    with pytest.raises(ReadError, match="names no coder"):
        import_codes(path, "textgrid", [transcript])


def test_a_tier_of_ours_with_points_is_refused(tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    text = grid(*TALK, ("rupturekit coder:AB", [])).replace('"IntervalTier"\n"rup', '"TextTier"\n"rup')
    with pytest.raises(ReadError, match=r"tier \d+ has points"):
        import_codes(put(tmp_path, "s.TextGrid", text), "textgrid", [transcript])


@pytest.mark.parametrize("name", ["AB codes", "codes", "C ", "3RS"])
def test_a_tier_with_nothing_but_codes_is_a_coders_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", grid(*TALK))
    transcript = rk.read(path)
    tier = (name, [(4, 8.5, "C5 2"), (8.5, 13.5, "sil"), (13.5, 15, "denial, W2")])
    (coding,) = import_codes(
        put(tmp_path, "s.TextGrid", grid(*TALK, tier)), "textgrid", [transcript], coder="AB", coders={}
    )
    assert [(m.turn, m.marker, m.source) for m in coding.markers] == [
        (1, "complaint_progress", "coder:AB"),
        (3, "denial", "coder:AB"),
        (3, "minimal_response", "coder:AB"),
    ]
    with pytest.raises(ReadError, match=r"tier \d+, the label at 4.00 s: .* several as C5; W2. If they are no"):
        praat.read(put(tmp_path, "s.TextGrid", grid(*TALK, (name, [(4, 8.5, "C5/W2")]))), {"s": transcript}, BOOK)


def test_the_machines_tier_under_another_name_is_a_coders(tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    found = Marker(1, 3, 8, "confrontation", "complaint_progress", 0.9, source="rule", rule_id="C5-001", note="so")
    (file,) = export([coded(transcript, found, by="model")], "textgrid", tmp_path / "out")
    file.write_text(file.read_text("utf-8").replace('"rupturekit machine"', '"AB"'), "utf-8")
    (coding,) = import_codes(file, "textgrid", [transcript], coder="AB")
    assert coding.markers == (replace(found, score=None, rule_id=None, source="coder:AB"),)


def test_codes_among_other_labels_are_refused_with_tier_and_count(tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    notes = ("notes", [(0, 4, "how?"), (4, 9, "W2 3"), (9, 20, "C5?")])
    found = (
        r"line 48: 2 of the 3 values on tier \d+ are codes, and the others are not; the label at 4\.00 s begins "
        r"with a code\. Put .* If they are no codes but notes, remove that tier from the copy"
    )
    with pytest.raises(ReadError, match=found):
        praat.read(put(tmp_path, "s.TextGrid", grid(*TALK, notes)), {"s": transcript}, BOOK)


def test_what_is_said_is_no_code(tmp_path: Path) -> None:
    talk = (("T", [(0, 4, "Denial? Or C5?")]), ("C", [(4, 9, "Denial")]))
    more = (("words", [(0, 2, "denial"), (2, 3, "or"), (3, 4, "C5")]), ("rupturekit coder:AB", []))
    path = put(tmp_path, "s.TextGrid", grid(*talk))
    transcript = rk.read(path)
    (coding,) = praat.read(put(tmp_path, "s.TextGrid", grid(*talk, *more)), {"s": transcript}, BOOK)
    assert coding.markers == ()


def test_a_file_without_a_tier_for_codes_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", grid(*TALK, ("remarks", [(0, 60, "ask her")])))
    transcript = rk.read(put(tmp_path, "t.TextGrid", grid(*TALK)))
    with pytest.raises(ReadError, match=r"it has no tier for codes, .* Put the codes on a tier that is called"):
        import_codes(path, "textgrid", [transcript], coder="AB")


@pytest.mark.parametrize("machine", [True, False])
def test_a_file_that_names_a_coder_makes_no_other_appear(machine: bool, tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    session = coded(transcript, by="model") if machine else AnnotatedTranscript(transcript)
    (file,) = export([session], "textgrid", tmp_path / "out")
    text = file.read_text("utf-8").replace('"rupturekit coder:"', '"rupturekit coder:CD"')
    at = text.index('text = ""', text.index("xmin = 4", text.index("coder:CD")))
    file.write_text(f'{text[:at]}text = "C5"{text[at + 9 :]}', "utf-8")
    with pytest.raises(ReadError, match="it names CD, and has nothing for AB"):
        import_codes(file, "textgrid", [transcript], coder="AB")
    (coding,) = import_codes(file, "textgrid", [transcript], coder="CD")
    assert [m.source for m in coding.markers] == ["coder:CD"]
    assert {c.source for c in coding.coded} == {"coder:CD"}


@pytest.mark.parametrize("original", [True, False])
def test_words_that_were_edited_are_refused(original: bool, tmp_path: Path) -> None:
    path = put(tmp_path, "s.TextGrid", grid(*TALK))
    given = coded(rk.read(path), Marker(1, 3, 8, "confrontation", "complaint_progress", source="coder:AB"))
    (file,) = export([given], "textgrid", tmp_path / "out", originals={"s": path} if original else None)
    text = file.read_text("utf-8")
    file.write_text(text.replace("isn't helping", "is not helping"), "utf-8")
    with pytest.raises(ReadError, match="session s, turn 1: the words are not those") as error:
        back(file, given)
    assert not WORDS.search(str(error.value))
    file.write_text(text.replace("Fine. Whatever.", ""), "utf-8")
    with pytest.raises(ReadError, match="session s, turn 3: the words are not those"):
        back(file, given)


def test_a_session_is_found_by_its_tier_then_alone_then_by_the_files_name(tmp_path: Path) -> None:
    path = put(tmp_path, "b.TextGrid", grid(*TALK, ("rupturekit coder:AB", [(5, 8, "C5")])))
    a = rk.read(path)
    b = replace(a, id="b")
    assert praat.read(path, {"x": replace(a, id="x")}, BOOK)[0].transcript.id == "x"
    assert praat.read(path, {"a": replace(a, id="a"), "b": b}, BOOK)[0].transcript is b
    with pytest.raises(ReadError, match="'b', which is not among"):
        praat.read(path, {"a": replace(a, id="a"), "c": replace(a, id="c")}, BOOK)
    (file,) = export([coded(b)], "textgrid", tmp_path / "out")
    with pytest.raises(ReadError, match="'b', which is not among"):
        praat.read(file, {"c": replace(b, id="c")}, BOOK)


@pytest.mark.parametrize(
    "text",
    ["session", "coded coder:AB withdrawal 0", "coded coder:AB anger 0 3", "coded coder:AB withdrawal x 3", "helping"],
)
def test_a_sessions_tier_that_was_edited_is_refused(text: str, tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    path = put(tmp_path, "s.TextGrid", grid(*TALK, ("rupturekit session", [(0, 60, text)])))
    with pytest.raises(ReadError, match=r"line \d+: it cannot be read which session this is") as error:
        praat.read(path, {"s": transcript}, BOOK)
    assert not WORDS.search(str(error.value))


def test_what_was_coded_must_be_turns_of_the_session(tmp_path: Path) -> None:
    transcript = rk.read(put(tmp_path, "s.TextGrid", grid(*TALK)))
    text = "session s; coded coder:AB withdrawal 0 9"
    path = put(tmp_path, "s.TextGrid", grid(*TALK, ("rupturekit session", [(0, 60, text)])))
    with pytest.raises(ReadError, match="session s has no turns 0 to 9"):
        praat.read(path, {"s": transcript}, BOOK)
