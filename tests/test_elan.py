"""ELAN: talk out of EAF files, markers into them and what coders made of these back.

``tests/elan`` holds small files as ELAN 4, 5 and 6 write them. `pympi` is the second reader and writer here. The
schema itself (EAFv3.0.xsd) cannot be passed on with this project, so that `check_rules` holds its main rules.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pympi.Elan import Eaf

from rupturekit import AnnotatedTranscript, Marker, Transcript, Turn, load_codebook, read_all
from rupturekit.annotation import FAMILIES, Coded, marker_order
from rupturekit.exchange import elan, export, import_codes
from rupturekit.readers import ReadError, read_sessions
from rupturekit.readers.elan import Annotation, Tier, parse
from rupturekit.readers.raw import Source

HERE = Path(__file__).parent / "elan"
SPEAKERS, PREFIXES, SYMBOLIC, UNALIGNED = (
    HERE / f"{name}.eaf" for name in ("speakers_27", "prefixes_28", "symbolic_30", "unaligned_30")
)
ALL = (SPEAKERS, PREFIXES, SYMBOLIC, UNALIGNED)
BOOK = load_codebook()
TALK = re.compile("diary|stopped|Wherever|letter|morning|Badly")


def put(folder: Path, content: str | bytes, name: str = "s.eaf") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def said(path: Path) -> list[tuple[str | None, str, float | None, float | None]]:
    (session,) = read_sessions(path)
    return [(u.speaker, u.text, u.start_s, u.end_s) for u in session.utterances]


def annotation(id: str, value: str, *slots: str) -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{id}" TIME_SLOT_REF1="{slots[0]}" '
        f'TIME_SLOT_REF2="{slots[1]}"><ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>'
    )


def tier(id: str, *annotations: str, **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<TIER LINGUISTIC_TYPE_REF="default-lt"{more} TIER_ID="{id}">{"".join(annotations)}</TIER>'


def eaf(*tiers: str, slots: str | None = None) -> str:
    if slots is None:
        slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{n}" TIME_VALUE="{n * 1000}"/>' for n in range(1, 9))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" '
        'FORMAT="3.0" VERSION="3.0">\n<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"></HEADER>\n'
        f"<TIME_ORDER>{slots}</TIME_ORDER>\n{''.join(tiers)}\n"
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )


# --- talk in ----------------------------------------------------------------------------------------


def test_a_tier_for_each_speaker() -> None:
    assert said(SPEAKERS) == [
        ("Therapist", "What was it like to keep the diary this week?", 0.4, 3.1),
        ("Client", "I stopped after a day. I can't see what it is for.", 3.3, 6.05),
        ("Therapist", "You & the diary <pause> don't get on, then.", 6.4, 9.8),
        ("Client", "No. 🙂 I guess we don't.", 10.1, 12.75),
    ]
    (session,) = read_sessions(SPEAKERS)
    assert [(u.source_id, u.line) for u in session.utterances] == [("a1", 21), ("a4", 38), ("a3", 31), ("a5", 43)]
    lines = SPEAKERS.read_text("utf-8").splitlines()
    assert all(f'ANNOTATION_ID="{u.source_id}"' in lines[(u.line or 0) - 1] for u in session.utterances)


def test_labels_before_the_words_of_a_single_tier() -> None:
    assert said(PREFIXES) == [
        ("T", "Where shall we begin?", 0.0, 2.5),
        ("C", "Wherever you like. Look: it's your hour.", 2.5, 4.0),
        ("C", "Really, anywhere.", 4.2, 6.0),
        ("T", "All right.", 6.1, 8.0),
        ("C", "All right.", 6.1, 8.0),
    ]


def test_symbolic_tiers_take_their_times_from_above() -> None:
    assert said(SYMBOLIC) == [
        ("T", "Shall we go on with the letter?", 1.0, 4.0),
        ("C", "I'd rather", 4.5, 5.5),
        ("C", "leave that letter alone.", 5.5, 6.5),
        ("T", "Then we leave it.", 7.0, 9.0),
    ]


def test_slots_without_a_time_lie_between_their_neighbours() -> None:
    assert said(UNALIGNED) == [
        ("Therapist", "Good morning.", 1.0, 2.0),
        ("Therapist", "Sit where you like.", 2.0, 3.0),
        ("Therapist", "How did you sleep?", 3.0, 4.0),
        ("Client", "Badly, as ever.", 5.5, 7.0),
        ("Therapist", "I see.", 8.0, 8.0),
    ]


def test_neighbours_are_those_on_the_tier_before_those_in_the_file(tmp_path: Path) -> None:
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{id}"{time}/>'
        for id, time in (
            ("ts1", ' TIME_VALUE="1000"'),
            ("ts2", ""),
            ("ts3", ' TIME_VALUE="1200"'),
            ("ts4", ' TIME_VALUE="3000"'),
            ("ts5", ' TIME_VALUE="-1"'),
            ("ts6", ' TIME_VALUE="4000"'),
        )
    )
    client = tier("C", annotation("a3", "Three.", "ts3", "ts5"))
    therapist = tier("T", annotation("a1", "One.", "ts1", "ts2"), annotation("a2", "Two.", "ts2", "ts4"))
    path = put(tmp_path, eaf(therapist, client, slots=slots))
    assert said(path) == [("T", "One.", 1.0, 2.0), ("C", "Three.", 1.2, 3.5), ("T", "Two.", 2.0, 3.0)]


def test_without_any_time_the_order_of_the_slots_is_that_of_the_talk(tmp_path: Path) -> None:
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{n}"/>' for n in (1, 2, 3, 4))
    path = put(
        tmp_path,
        eaf(
            tier("T", annotation("a1", "Second.", "ts3", "ts4")),
            tier("C", annotation("a2", "First.", "ts1", "ts2")),
            slots=slots,
        ),
    )
    assert said(path) == [("C", "First.", None, None), ("T", "Second.", None, None)]


def test_subdivisions_of_subdivisions_keep_their_order_also_without_times(tmp_path: Path) -> None:
    def on(id: str, parent: str, value: str = "", previous: str = "") -> str:
        after = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
        return (
            f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{id}" ANNOTATION_REF="{parent}"{after}>'
            f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        )

    tiers = (
        tier("C", annotation("a1", "", "ts1", "ts2")),
        tier("parts", on("b2", "a1", previous="b1"), on("b1", "a1"), PARENT_REF="C"),
        tier(
            "clauses",
            on("c4", "b2", "Four.", "c3"),
            on("c3", "b2", "Three."),
            on("c1", "b1", "One."),
            on("c2", "b1", "Two.", "c1"),
            PARENT_REF="parts",
        ),
    )
    words = ["One.", "Two.", "Three.", "Four."]
    path = put(tmp_path, eaf(*tiers))
    assert said(path) == [("C", text, 1 + n / 4, 1.25 + n / 4) for n, text in enumerate(words)]
    path = put(tmp_path, eaf(*tiers, slots='<TIME_SLOT TIME_SLOT_ID="ts1"/><TIME_SLOT TIME_SLOT_ID="ts2"/>'))
    assert said(path) == [("C", text, None, None) for text in words]


def test_pympi_reads_the_same_times_and_words() -> None:
    there = Eaf(SPEAKERS)
    for id, speaker in (("speaker A", "Therapist"), ("speaker B", "Client")):
        theirs = [(start, end, value) for start, end, value in there.get_annotation_data_for_tier(id) if value]
        ours = [(round(a * 1000), round(b * 1000), text) for who, text, a, b in said(SPEAKERS) if who == speaker]
        assert ours == sorted(theirs)
    theirs = Eaf(SYMBOLIC).get_annotation_data_for_tier("orth@T")
    assert [(text, round(a * 1000)) for who, text, a, _ in said(SYMBOLIC) if who == "T"] == [
        (value, start) for start, _, value, _ in sorted(theirs)
    ]


def test_tiers_beside_the_talk_are_left_out_and_counted(tmp_path: Path) -> None:
    one = tier("C", annotation("a1", "One.", "ts1", "ts2"))
    two = tier("T", annotation("a2", "Two.", "ts2", "ts3"))
    notes = tier("Session_Notes", annotation("a3", "Looks away.", "ts1", "ts3"))
    codes = tier("Rupture", annotation("a6", "withdrawal", "ts1", "ts3"), PARTICIPANT="C")
    ours = tier("rupturekit machine", annotation("a4", "C5", "ts1", "ts2"))
    typed = tier("Rupturekit coder:AB", annotation("a5", "W2", "ts1", "ts2"))
    (session,) = read_sessions(put(tmp_path, eaf(one, two, notes, codes, ours, typed)))
    assert [u.speaker for u in session.utterances] == ["C", "T"]
    assert session.meta == {"tiers_left_out": 2}
    # what is all that there is, is talk
    (session,) = read_sessions(put(tmp_path, eaf(notes)))
    assert [u.text for u in session.utterances] == ["Looks away."]


def test_the_words_and_phones_of_webmaus_are_no_talk_and_a_name_is_no_aligner(tmp_path: Path) -> None:
    talk = tier("TRN", annotation("a1", "T: Why was it so?", "ts1", "ts2"), annotation("a2", "C: No.", "ts2", "ts3"))
    said = {"ORT-MAU": ("No.",), "KAN-MAU": ("n @U",), "MAU": ("n", "@U"), "ORT": ("No.",), "KAN": ("n@U",)}
    maus = [
        tier(name, *(annotation(f"{name}{n}", one, "ts2", "ts3") for n, one in enumerate(parts)))
        for name, parts in said.items()
    ]
    (session,) = read_sessions(put(tmp_path, eaf(*maus, talk)))
    assert [(u.speaker, u.text) for u in session.utterances] == [("T", "Why was it so?"), ("C", "No.")]
    assert session.meta == {"tiers_left_out": 5}
    one = tier("Kan", annotation("a1", "Why was it so?", "ts1", "ts2"), annotation("a3", "Well.", "ts3", "ts4"))
    two = tier("Mau", annotation("a2", "I can't say.", "ts2", "ts3"))
    (session,) = read_sessions(put(tmp_path, eaf(one, two)))
    assert [u.speaker for u in session.utterances] == ["Kan", "Mau", "Kan"]


# the therapist asks from 1 to 2 s, the client answers from 2 to 4 s, and again from 5 to 6 s
PLAIN = (
    tier("Therapist", annotation("a1", "How was that for you?", "ts1", "ts2")),
    tier("Client", annotation("a2", "It was not good at all.", "ts2", "ts4"), annotation("a3", "No.", "ts5", "ts6")),
)


@pytest.mark.parametrize(
    "name",
    [
        *("Client_emotion", "Client affect", "Client - body", "Client_smile", "Client rupture", "CLIENT_SMILE"),
        *("client-face", "Client_Emotion", "Therapist_nod"),
    ],
)
def test_a_tier_about_a_party_is_not_what_that_party_says(name: str, tmp_path: Path) -> None:
    about = tier(name, annotation("a4", "sad", "ts2", "ts3"), annotation("a5", "angry", "ts5", "ts6"))
    (session,) = read_sessions(put(tmp_path, eaf(*PLAIN, about)))
    assert [u.source_id for u in session.utterances] == ["a1", "a2", "a3"]
    assert session.meta == {"tiers_left_out": 1}


@pytest.mark.parametrize(
    "name",
    ["Client 2", "Client_2", "Client A", "Client (mother)", "Client Anna", "Client_mother", "Client-P2"],
)
def test_a_second_speaker_is_no_tier_about_the_first(name: str, tmp_path: Path) -> None:
    # also where all that is said is said into the first one's talk
    second = tier(name, annotation("a4", "Mm.", "ts2", "ts3"), annotation("a5", "No!", "ts5", "ts6"))
    (session,) = read_sessions(put(tmp_path, eaf(*PLAIN, second)))
    assert [u.speaker for u in session.utterances if u.source_id in ("a4", "a5")] == [name, name]
    assert not session.meta


def test_a_tier_is_about_a_party_only_where_it_can_be_told(tmp_path: Path) -> None:
    def kept(*tiers: str, slots: str | None = None) -> bool:
        (session,) = read_sessions(put(tmp_path, eaf(*tiers, slots=slots)))
        return "a4" in {u.source_id for u in session.utterances}

    assert not kept(*PLAIN, tier("Client_anna", annotation("a4", "Mm", "ts2", "ts3")))
    # a turn of its own, between those of the others
    assert kept(*PLAIN, tier("Client_anna", annotation("a4", "I said so.", "ts4", "ts5")))
    # more words than the plain tier has: this one may hold the talk
    assert kept(*PLAIN, tier("Client_orth", annotation("a4", "It was not good at all. No, no.", "ts2", "ts4")))
    # somebody else's, as the file says
    assert kept(*PLAIN, tier("Client_anna", annotation("a4", "Mm", "ts2", "ts3"), PARTICIPANT="Anna"))
    assert not kept(*PLAIN, tier("Client_anna", annotation("a4", "Mm", "ts2", "ts3"), PARTICIPANT="client"))
    # no plain tier, no times
    assert kept(PLAIN[0], tier("Client_body", annotation("a4", "Mm", "ts2", "ts3")))
    untimed = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{n}"/>' for n in range(1, 9))
    assert kept(*PLAIN, tier("Client_body", annotation("a4", "Mm", "ts2", "ts3")), slots=untimed)


def test_a_silence_on_a_labelled_tier_is_nobodys(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        eaf(
            tier(
                "talk",
                annotation("a1", "T: How is that for you?", "ts1", "ts2"),
                annotation("a2", "[silence 12s]", "ts2", "ts3"),
                annotation("a3", "C: Empty.", "ts3", "ts4"),
            )
        ),
    )
    assert [(speaker, text) for speaker, text, *_ in said(path)] == [
        ("T", "How is that for you?"),
        (None, "[silence 12s]"),
        ("C", "Empty."),
    ]
    (transcript,) = read_all(path)
    assert [(turn.role, turn.text) for turn in transcript] == [
        ("therapist", "How is that for you?"),
        ("client", "[silence]"),
        ("client", "Empty."),
    ]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_line_ends_and_encodings(path: Path, tmp_path: Path) -> None:
    text = path.read_text("utf-8")
    expected = said(path)
    assert said(put(tmp_path, text.replace("\n", "\r\n"))) == expected
    assert said(put(tmp_path, b"\xef\xbb\xbf" + text.encode())) == expected
    assert said(put(tmp_path, text.replace("UTF-8", "UTF-16").encode("utf-16"))) == expected
    plain = text.replace("🙂", "\xe9").replace("UTF-8", "ISO-8859-1").encode("latin-1")
    assert [text.replace("\xe9", "🙂") for _, text, *_ in said(put(tmp_path, plain))] == [t for _, t, *_ in expected]


# --- bad files --------------------------------------------------------------------------------------

BAD = {
    "dangling time slot": (
        ('TIME_SLOT_REF2="ts4"', 'TIME_SLOT_REF2="ts99"'),
        r"line 38: annotation a4 on tier 2 refers to time slot ts99, which is not there\. Open it in ELAN",
    ),
    "dangling annotation": (
        ('ANNOTATION_REF="a4"', 'ANNOTATION_REF="a77"'),
        r"line 50: annotation a6 on tier 3 refers to annotation a77, which is not there",
    ),
    "dangling previous": (
        ('ANNOTATION_REF="a4"', 'ANNOTATION_REF="a4" PREVIOUS_ANNOTATION="a78"'),
        r"line 50: annotation a6 .* refers to annotation a78, which is not there",
    ),
    "annotation on itself": (
        ('ANNOTATION_REF="a4"', 'ANNOTATION_REF="a6"'),
        r"line 50: annotation a6 on tier 3 refers to itself in a circle",
    ),
    "previous of itself": (
        ('ANNOTATION_REF="a4"', 'ANNOTATION_REF="a4" PREVIOUS_ANNOTATION="a6"'),
        r"line 50: annotation a6 on tier 3 refers to itself in a circle",
    ),
    "annotation twice": (('ANNOTATION_ID="a5"', 'ANNOTATION_ID="a1"'), r"line 43: two annotations have the id a1"),
    "slot twice": (('TIME_SLOT_ID="ts2"', 'TIME_SLOT_ID="ts1"'), r"line 9: time slot ts1 comes twice"),
    "tier twice": (('TIER_ID="notes"', 'TIER_ID="speaker A"'), r"line 55: tiers 1 and 4 have one name"),
    "tier without name": (('TIER_ID="notes"', ""), r"line 55: a tier has no TIER_ID"),
    "dangling tier": (
        ('PARENT_REF="speaker B"', 'PARENT_REF="speaker X"'),
        r"line 48: tier 3 depends on a tier that is not there",
    ),
    "tier on itself": (
        ('PARENT_REF="speaker B"', 'PARENT_REF="B translated"'),
        r"line 48: tier 3 depends on itself in a circle",
    ),
    "no slot": (('TIME_SLOT_REF2="ts4"', ""), r"line 38: an annotation on tier 2 has no TIME_SLOT_REF2"),
    "no time": (('TIME_VALUE="3100"', 'TIME_VALUE="3.1"'), r"line 9: the time of time slot ts2 is not a whole number"),
    "not XML": (("</TIER>", "</TEAR>"), r"line 35: this is not well-formed XML"),
    "unknown entity": (("&amp;", "&rupture;"), r"line 32: this is not well-formed XML"),
    "unknown encoding": (('"UTF-8"', '"x-nothing"'), r"line 1: the encoding that the XML declares is not known"),
    "entities": (
        ("<ANNOTATION_DOCUMENT", '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><ANNOTATION_DOCUMENT'),
        r"line 2: the XML has a DOCTYPE",
    ),
    "a file from elsewhere": (
        ("<ANNOTATION_DOCUMENT", '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT'),
        r"line 2: the XML has a DOCTYPE",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_named_with_the_place_and_without_its_talk(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    text = SPEAKERS.read_text("utf-8")
    assert change[0] in text
    path = put(tmp_path, text.replace(*change, 1))
    with pytest.raises(ReadError, match=message) as caught:
        read_sessions(path)
    assert str(caught.value).startswith(f"{path}, line ")
    assert not TALK.search(str(caught.value))


def test_another_root_is_no_eaf(tmp_path: Path) -> None:
    path = put(tmp_path, '<?xml version="1.0"?>\n<CV_RESOURCE/>')
    with pytest.raises(ReadError, match=r"line 2: this XML is not an ELAN annotation file\. Give an \.eaf file"):
        read_sessions(path, format="eaf")


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    data = SYMBOLIC.read_bytes().rstrip()
    for cut in range(len(data) - 1, 0, -97):
        with pytest.raises(ReadError, match=r"cut short|not well-formed"):
            parse(Source(tmp_path / "s.eaf", data[:cut]))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.sampled_from(ALL),
    at=st.floats(0, 1),
    gone=st.integers(0, 60),
    new=st.sampled_from([b"", b"<", b'"', b"a1", b"ts2", b"\xff", b"\0", b"</TIER>", b'PARENT_REF="B"', b"-1"]),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    path: Path, at: float, gone: int, new: bytes, tmp_path: Path
) -> None:
    data = path.read_bytes()
    place = int(at * len(data))
    bad = put(tmp_path, data[:place] + new + data[place + gone :])
    try:
        shown = str([u.line for u in read_sessions(bad, format="eaf")[0].utterances])
    except ReadError as error:
        shown = str(error)
    assert not TALK.search(shown)


# --- markers out ------------------------------------------------------------------------------------


def marked(path: Path, **more: object) -> AnnotatedTranscript:
    """Annotate a file's talk with markers of a rule, a model and two coders."""
    (transcript,) = read_all(path)
    markers: list[Marker] = []
    for turn in transcript:
        whole = len(turn.text)
        if turn.role == "client":
            markers += [
                Marker(turn.index, 0, 3, "withdrawal", "minimal_response", 0.9, source="rule", rule_id="w2.guess"),
                Marker(turn.index, 0, 3, "withdrawal", "minimal_response", 0.8312, source="model"),
                Marker(turn.index, 0, whole, "confrontation", "complaint_progress", clarity=2, source="coder:AB"),
                Marker(turn.index, 0, whole, "confrontation", "complaint_progress", clarity=2, source="coder:CD"),
                Marker(turn.index, 2, 9, "confrontation", "defends_self", source="coder:AB", note='a "note";\n<b>'),
            ]
        elif turn.role == "therapist":
            markers.append(Marker(turn.index, 1, 6, "resolution", "invite_feelings", 0.5))
    return AnnotatedTranscript(transcript, tuple(sorted(markers, key=marker_order)), **more)  # type: ignore[arg-type]


def sent(session: AnnotatedTranscript, folder: Path, original: Path | None = None) -> Path:
    """Write one session and return its file."""
    folder.mkdir(exist_ok=True)
    elan.write([session], folder, BOOK, {session.transcript.id: original} if original else {})
    return next(iter(folder.glob("*.eaf")))


def returned(path: Path, *transcripts: Transcript) -> AnnotatedTranscript:
    (session,) = elan.read(path, {t.id: t for t in transcripts}, BOOK)
    return session


def with_all_coded(session: AnnotatedTranscript) -> AnnotatedTranscript:
    """Say of each coder who has a tier, and of whom nothing is said, that they went through all of the session."""
    coders = dict.fromkeys(m.source for m in sorted(session.markers, key=lambda m: m.source))
    others = [c for c in coders if c.startswith("coder:") and c not in {coded.source for coded in session.coded}]
    more = (Coded(c, family, 0, len(session.transcript) - 1) for c in others for family in FAMILIES)
    return replace(session, coded=(*session.coded, *more))


ORDER = (
    *("LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"),
    *("CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF"),
)


def check_rules(path: Path) -> None:
    """Check what the schema and ELAN ask of a file: order, attributes, ids, references, no overlap on a tier."""
    root = ElementTree.parse(path).getroot()
    assert {"DATE", "AUTHOR", "VERSION"} <= set(root.attrib)
    ranks = [ORDER.index(child.tag) for child in root]
    assert ranks == sorted(ranks)
    assert [child.tag for child in root].count("HEADER") == [child.tag for child in root].count("TIME_ORDER") == 1
    header = [child.tag for child in root.find("HEADER") or ()]
    assert header == sorted(header, key=["MEDIA_DESCRIPTOR", "LINKED_FILE_DESCRIPTOR", "PROPERTY"].index)
    slots = {slot.attrib["TIME_SLOT_ID"]: slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    known = [int(time) for time in slots.values() if time is not None]
    assert known == sorted(known)
    assert all(0 <= time < 2**32 for time in known)
    annotations = [a for kind in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION") for a in root.iter(kind)]
    ids = [*(slot.attrib["TIME_SLOT_ID"] for slot in root.iter("TIME_SLOT"))]
    ids += [a.attrib["ANNOTATION_ID"] for a in annotations] + [x.attrib["LANG_ID"] for x in root.iter("LANGUAGE")]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", id) for id in ids)
    for a in annotations:
        assert [child.tag for child in a] == ["ANNOTATION_VALUE"]
        assert {a.get("TIME_SLOT_REF1"), a.get("TIME_SLOT_REF2")} - {None} <= set(slots)
        assert a.tag == "ALIGNABLE_ANNOTATION" or a.attrib["ANNOTATION_REF"] in ids
    names = {
        tag: [child.attrib[key] for child in root.iter(tag)]
        for tag, key in (
            ("TIER", "TIER_ID"),
            ("LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID"),
            ("CONTROLLED_VOCABULARY", "CV_ID"),
            ("LANGUAGE", "LANG_ID"),
        )
    }
    assert all(len(found) == len(set(found)) for found in names.values())
    for t in root.iter("TIER"):
        assert t.attrib["LINGUISTIC_TYPE_REF"] in names["LINGUISTIC_TYPE"]
        spans = []
        for a in t.iter("ALIGNABLE_ANNOTATION"):
            begin, end = slots[a.attrib["TIME_SLOT_REF1"]], slots[a.attrib["TIME_SLOT_REF2"]]
            if begin is not None and end is not None:
                assert int(begin) < int(end)
                spans.append((int(begin), int(end)))
        assert all(one[1] <= two[0] for one, two in zip(sorted(spans), sorted(spans)[1:]))
    for kind in root.iter("LINGUISTIC_TYPE"):
        assert kind.get("CONTROLLED_VOCABULARY_REF") in (None, *names["CONTROLLED_VOCABULARY"])
    old = root.get("FORMAT") == "2.7"
    assert not (names["LANGUAGE"] if old else [*root.iter("CV_ENTRY")])
    for entry in root.iter("CVE_VALUE"):
        assert entry.attrib["LANG_REF"] in names["LANGUAGE"]


def test_the_hand_written_files_keep_the_rules() -> None:
    for path in ALL:
        check_rules(path)


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "copy"])
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_markers_come_back_as_they_went(path: Path, fresh: bool, tmp_path: Path) -> None:
    coded = (*(Coded("coder:AB", family, 0, 1) for family in FAMILIES), Coded("model", "withdrawal", 0, 2))
    session = marked(path, coded=coded)
    file = sent(session, tmp_path / "out", None if fresh else path)
    check_rules(file)
    back = returned(file, session.transcript)
    assert back == with_all_coded(session)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_another_program_saves_the_file_and_nothing_is_lost(path: Path, tmp_path: Path) -> None:
    session = marked(path)
    for original in (None, path):
        file = sent(session, tmp_path / f"out{original is None}", original)
        Eaf(file, suppress_version_warning=True).to_file(tmp_path / "saved.eaf")
        assert returned(tmp_path / "saved.eaf", session.transcript) == with_all_coded(session)
        (tmp_path / "saved.eaf").unlink()


def test_pympi_sees_the_markers_over_their_turns(tmp_path: Path) -> None:
    session = marked(SPEAKERS)
    there = Eaf(sent(session, tmp_path / "out", SPEAKERS))
    assert {name for name in there.get_tier_names() if name.startswith("rupturekit")} == {
        "rupturekit machine",
        "rupturekit machine (2)",
        "rupturekit coder:AB",
        "rupturekit coder:AB (2)",
        "rupturekit coder:CD",
        "rupturekit codes",
    }
    assert there.get_parameters_for_tier("rupturekit coder:AB (2)")["ANNOTATOR"] == "AB"
    assert there.get_annotation_data_for_tier("rupturekit coder:CD") == [
        (
            3300,
            6050,
            'C5 complaint_progress "I stopped after a day. I can\'t see what it is for." clarity 2 turn 1',
        ),
        (10100, 12750, 'C5 complaint_progress "No. 🙂 I guess we don\'t." clarity 2 turn 3'),
    ]
    # the second coder's second marker, and the machine's
    assert [value for *_, value in there.get_annotation_data_for_tier("rupturekit machine (2)")] == [
        'W2 minimal_response "I s" by rule id "w2.guess" score 0.9 turn 1',
        'W2 minimal_response "No." by rule id "w2.guess" score 0.9 turn 3',
    ]
    assert dict(there.get_properties())["rupturekit session"] == "speakers_27"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_all_else_in_a_copy_stays_as_it_was(path: Path, tmp_path: Path) -> None:
    text = path.read_text("utf-8")
    variants = {
        "plain": text.encode(),
        "windows": text.replace("\n", "\r\n").encode(),
        "mark": b"\xef\xbb\xbf" + text.encode(),
        "wide": text.replace("UTF-8", "UTF-16").encode("utf-16"),
        "latin": text.replace("🙂", "\xe9").replace("UTF-8", "ISO-8859-1").encode("latin-1"),
        "tabs": re.sub("(?m)^ +", lambda indent: "\t" * (len(indent[0]) // 4), text).encode(),
        "one line": re.sub(r">\n\s*<", "><", text).encode(),
        "comments": text.replace("</HEADER>", "<!-- </HEADER> --></HEADER>")
        .replace("</TIER>", "</TIER ><!-- x -->")
        .encode(),
    }
    for name, data in variants.items():
        (tmp_path / name).mkdir()
        original = put(tmp_path / name, data, "talk.eaf")
        session = marked(original)
        file = sent(session, tmp_path / name / "out", original)
        assert returned(file, session.transcript) == with_all_coded(session)
        check_rules(file)
        assert without_ours(file.read_bytes()) == data, name


def without_ours(data: bytes) -> bytes:
    """Take out of a file what is ours, with the white space that came with it."""
    encoding = "utf-16-le" if data.startswith(b"\xff\xfe") else "latin-1"
    text = data.decode(encoding)
    slots = {
        slot
        for ours in re.findall(r'<TIER [^>]*TIER_ID="rupturekit.*?(?:/>|</TIER>)', text, re.DOTALL)
        for slot in re.findall(r'TIME_SLOT_REF\d="(\w+)"', ours)
    }
    # a slot has the white space after it where one follows, and before it where it is the last
    slot = rf'<TIME_SLOT TIME_SLOT_ID="(?:{"|".join(slots)})" TIME_VALUE="\d+"/>'
    text = re.sub(rf"(?:{slot}\s*)+(?=<TIME_SLOT)", "", text)
    text = re.sub(rf"\s*{slot}", "", text)
    for pattern in (
        r'<PROPERTY NAME="rupturekit[^"]*">[^<]*</PROPERTY>',
        r'<TIER (?:ANNOTATOR="\w+" )?LINGUISTIC_TYPE_REF="rupturekit[^>]*?(?:/>|>.*?</TIER>)',
        r'<LINGUISTIC_TYPE (?:CONTROLLED_VOCABULARY_REF="[^"]*" )?GRAPHIC_REFERENCES="false" '
        r'LINGUISTIC_TYPE_ID="rupturekit[^>]*/>',
        r'<CONTROLLED_VOCABULARY CV_ID="rupturekit.*?</CONTROLLED_VOCABULARY>',
    ):
        text = re.sub(rf"\s*{pattern}", "", text, flags=re.DOTALL)
    if 'LANG_REF="und"' not in text:
        text = re.sub(r'\s*<LANGUAGE [^>]*LANG_ID="und"[^>]*/>', "", text)
    return text.encode(encoding)


def test_an_empty_header_is_filled(tmp_path: Path) -> None:
    text = SPEAKERS.read_text("utf-8")
    text = re.sub(r"<HEADER(.*?)>.*</HEADER>", r"<HEADER\1/>", text, flags=re.DOTALL)
    original = put(tmp_path, text)
    session = marked(original)
    file = sent(session, tmp_path / "out", original)
    check_rules(file)
    assert returned(file, session.transcript) == with_all_coded(session)


def test_an_original_that_is_not_the_sessions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ReadError, match=r"symbolic_30\.eaf: from turn 0 on its talk is not that of session speakers_27"
    ):
        sent(marked(SPEAKERS), tmp_path / "out", SYMBOLIC)
    headless = put(tmp_path, re.sub("<HEADER.*</HEADER>", "", SPEAKERS.read_text("utf-8"), flags=re.DOTALL))
    with pytest.raises(ReadError, match=r"the file has no HEADER"):
        sent(marked(headless), tmp_path / "out2", headless)


def test_a_file_that_came_back_takes_the_next_round(tmp_path: Path) -> None:
    first = marked(SPEAKERS)
    once = sent(first, tmp_path / "one", SPEAKERS)
    again = AnnotatedTranscript(
        first.transcript, (Marker(3, 0, 3, "withdrawal", "denial", clarity=1, source="coder:AB"),)
    )
    twice = sent(again, tmp_path / "two", once)
    check_rules(twice)
    assert set(returned(twice, first.transcript).markers) == {*first.markers, *again.markers}
    assert twice.read_text("utf-8").count('NAME="rupturekit session"') == 1


def test_a_marker_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (transcript,) = read_all(SPEAKERS)
    for marker, message in (
        (Marker(1, 0, 3, "withdrawal", "sulking"), "sulking is not in codebook 3rs-2015"),
        (Marker(1, 0, 999, "withdrawal", "denial"), "denial is not within turn 1"),
        (Marker(1, 4, 4, "withdrawal", "denial"), "denial is not within turn 1"),
    ):
        with pytest.raises(ValueError, match=message):
            elan.write([AnnotatedTranscript(transcript, (marker,))], tmp_path, BOOK, {})


def test_names_of_files_are_safe_and_unique(tmp_path: Path) -> None:
    turns = (Turn(0, "T", "therapist", "Well?"), Turn(1, "C", "client", "Well."))
    ids = ("a/b", "a:b", "A_b", "../..", "con", "x" * 300, "界" * 120, "שיחה 7", "s.eaf")
    sessions = [AnnotatedTranscript(Transcript(id, turns)) for id in ids]
    elan.write(sessions, tmp_path, BOOK, {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *("a_b.eaf", "a_b-2.eaf", "A_b-3.eaf", "session.eaf", "_con.eaf", f"{'x' * 120}.eaf", f"{'界' * 40}.eaf"),
        *("שיחה_7.eaf", "s.eaf.eaf"),
    }
    given_back = {returned(path, *(s.transcript for s in sessions)).transcript.id for path in tmp_path.iterdir()}
    assert given_back == set(ids)


def test_the_same_sessions_make_the_same_bytes(tmp_path: Path) -> None:
    for original in (None, SPEAKERS):
        one, two = (sent(marked(SPEAKERS), tmp_path / f"{n}{original is None}", original) for n in (1, 2))
        assert one.read_bytes() == two.read_bytes()
        assert str(tmp_path).encode() not in one.read_bytes()


# --- times that nobody knows ------------------------------------------------------------------------


def timed(*times: tuple[float | None, float | None]) -> Transcript:
    turns = [
        Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], "one two three four five", start, end)  # type: ignore[arg-type]
        for i, (start, end) in enumerate(times)
    ]
    return Transcript("s", tuple(turns))


@pytest.mark.parametrize(
    ("given_times", "expected", "estimated"),
    [
        # five words at 2.5 words a second are two seconds
        ([(None, None), (None, None)], [(0, 2000), (2000, 4000)], [0, 1]),
        ([(1, 2), (3, 4)], [(1000, 2000), (3000, 4000)], []),
        ([(1, 2), (None, None), (9, 10)], [(1000, 2000), (2000, 4000), (9000, 10000)], [1]),
        # what does not fit is squeezed, in proportion
        ([(0, 2), (None, None), (3, 4)], [(0, 2000), (1500, 3000), (3000, 4000)], [1]),
        ([(5, None), (6, 7)], [(5000, 6000), (6000, 7000)], [0]),
        # talk at the same time stays so, but a speaker's own turns do not overlap
        ([(0, 9), (4, 5), (6, 8)], [(0, 6000), (4000, 5000), (6000, 8000)], []),
        ([(4, 6), (4, 5)], [(4000, 6000), (4001, 5001)], []),
        # out of order, not a number, beyond what the format can say
        ([(8, 9), (2, 3)], [(8000, 9000), (9000, 11000)], [1]),
        ([(float("nan"), 1), (-1, 2), (1e9, 2e9)], [(0, 2000), (2000, 4000), (4000, 6000)], [0, 1, 2]),
    ],
)
def test_estimated_times(
    given_times: list[tuple[float | None, float | None]], expected: list[tuple[int, int]], estimated: list[int]
) -> None:
    assert elan._turn_times(timed(*given_times)) == (expected, estimated)


def test_a_fresh_file_says_which_times_are_estimates(tmp_path: Path) -> None:
    session = AnnotatedTranscript(timed((None, None), (None, None), (9, 10), (None, None)))
    there = Eaf(sent(session, tmp_path / "out"))
    assert dict(there.get_properties())["rupturekit estimated times"] == "0-1, 3"
    assert there.get_annotation_data_for_tier("T (therapist)") == [
        (0, 2000, "one two three four five"),
        (9000, 10000, "one two three four five"),
    ]
    assert there.get_parameters_for_tier("C (client)")["PARTICIPANT"] == "C"
    (again,) = read_all(tmp_path / "out" / "s.eaf")
    assert [turn.text for turn in again] == [turn.text for turn in session.transcript]


# --- round trips of anything ------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "no",
        "no",
        "I guess",
        "🙂",
        "👩‍👧",
        "שלום",
        "مرحبا",
        "e\u0301",
        "&<>\"'",
        "]]>",
        "\u2028",
        "\\",
        "“so”",
        ";",
        "#2",
        "\x07",
        "\ufffe",
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=6), min_size=1, max_size=8).map(" ".join).filter(lambda text: text.split())
NAME = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs", "Cn")), min_size=1, max_size=6)
NOTE = st.none() | st.text(max_size=12)
TIME = st.none() | st.floats(0, 200)


@st.composite
def sessions(draw: st.DrawFn) -> AnnotatedTranscript:
    speakers = draw(st.lists(NAME, min_size=2, max_size=3, unique=True))
    roles = ("client", "therapist", "other")
    turns = []
    for index in range(draw(st.integers(1, 6))):
        who = draw(st.integers(0, len(speakers) - 1))
        turns.append(Turn(index, speakers[who], roles[who], draw(TEXT), draw(TIME), draw(TIME)))  # type: ignore[arg-type]
    markers = []
    coders = draw(st.lists(NAME | st.sampled_from(["A B", " A", "A (2)", "A"]), min_size=1, max_size=2, unique=True))
    for _ in range(draw(st.integers(0, 8))):
        turn = draw(st.sampled_from(turns))
        kinds = [m for m in BOOK.markers if m.speaker == turn.role]
        if not kinds:
            continue
        kind = draw(st.sampled_from(kinds))
        start = draw(st.integers(0, len(turn.text) - 1))
        markers.append(
            Marker(
                turn.index,
                start,
                draw(st.integers(start + 1, len(turn.text))),
                kind.parent,
                kind.id,
                draw(st.none() | st.floats(0, 1)),
                draw(st.sampled_from([None, 1, 2, 3])),
                draw(st.sampled_from(["rule", "model", *(f"coder:{name}" for name in coders)])),
                draw(NOTE),
                draw(NOTE),
            )
        )
    last = len(turns) - 1
    coded = [Coded(f"coder:{coders[0]}", family, 0, last) for family in FAMILIES] * draw(st.booleans())
    transcript = Transcript(draw(NAME), tuple(turns))
    return AnnotatedTranscript(transcript, tuple(sorted(markers, key=marker_order)), coded=tuple(coded))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(session=sessions())
def test_any_session_comes_back_exactly(session: AnnotatedTranscript, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    file = sent(session, folder / "out")
    check_rules(file)
    assert returned(file, session.transcript) == with_all_coded(session)
    Eaf(file).to_file(folder / "saved.eaf")
    assert returned(folder / "saved.eaf", session.transcript) == with_all_coded(session)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    talk=st.lists(st.tuples(st.booleans(), TEXT, st.integers(1, 9000), st.integers(0, 7000)), min_size=4, max_size=9),
    data=st.data(),
)
def test_any_copy_comes_back_exactly(
    talk: list[tuple[bool, str, int, int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    there = Eaf()
    there.remove_tier("default")
    for speaker in ("Therapist", "Client"):
        there.add_tier(speaker)
    now = 0
    for n, (client, text, length, gap) in enumerate(talk):
        # the first two speak both, so that it is a session
        speaker = ("Therapist", "Client")[n if n < 2 else client]
        there.add_annotation(speaker, now + gap, now + gap + length, elan._xml(f"well {text}"))
        now += gap + length
    there.to_file(folder / "talk.eaf")
    (transcript,) = read_all(folder / "talk.eaf")
    markers = [
        Marker(turn.index, start, len(turn.text), kind.parent, kind.id, source=source, clarity=clarity)
        for turn in transcript
        for kind in [m for m in BOOK.markers if m.speaker == turn.role][:3]
        for source in ("model", "coder:AB")
        if (clarity := data.draw(st.sampled_from([None, 1, 2, 3])))
        if (start := data.draw(st.integers(0, len(turn.text) - 1))) is not None
    ]
    session = AnnotatedTranscript(transcript, tuple(sorted(markers, key=marker_order)))
    file = sent(session, folder / "out", folder / "talk.eaf")
    check_rules(file)
    assert returned(file, transcript) == with_all_coded(session)
    Eaf(file).to_file(folder / "saved.eaf")
    assert returned(folder / "saved.eaf", transcript) == with_all_coded(session)


# --- what people do in ELAN -------------------------------------------------------------------------


@pytest.fixture
def coded_by_hand(tmp_path: Path):
    """Return a function that puts annotations on tiers of a copy of a file, as a coder does, and reads it."""
    (transcript,) = read_all(SPEAKERS)
    file = sent(AnnotatedTranscript(transcript), tmp_path / "out", SPEAKERS)

    def read(*given: tuple[int, int, str], on: str = "rupturekit codes", annotator: str = "") -> tuple[Marker, ...]:
        there = Eaf(file)
        if on not in there.get_tier_names():
            there.add_tier(on, ann=annotator or None)
        for start, end, value in given:
            there.add_annotation(on, start, end, value)
        there.to_file(tmp_path / "back.eaf")
        return returned(tmp_path / "back.eaf", transcript).markers

    return read


WHOLE = Marker(1, 0, 50, "confrontation", "complaint_progress", source="coder:")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C5", [WHOLE]),
        ("c5", [WHOLE]),
        (" complaint_progress\n", [WHOLE]),
        ("C5 complaint_progress", [WHOLE]),
        ("C5 2", [replace(WHOLE, clarity=2)]),
        ("C5 clarity 3", [replace(WHOLE, clarity=3)]),
        ('C5 "a day", clarity 1, note "not sure"', [replace(WHOLE, start=16, end=21, clarity=1, note="not sure")]),
        ("C5 “a  day”", [replace(WHOLE, start=16, end=21)]),
        ('C5 "I"', [replace(WHOLE, end=1)]),
        ('C5 "I" #2', [replace(WHOLE, start=23, end=24)]),
        ('C5 note "a; b"; W2 1\nC6', None),
        ('C5 note "a; b", W2 1, C6', None),
        ("", []),
    ],
)
def test_what_a_coder_types(value: str, expected: list[Marker] | None, coded_by_hand) -> None:
    if expected is None:
        expected = [
            replace(WHOLE, note="a; b"),
            replace(WHOLE, marker="defends_self"),
            replace(WHOLE, family="withdrawal", marker="minimal_response", clarity=1),
        ]
    assert coded_by_hand((3000, 6500, value)) == tuple(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("C9", r"annotation a\d+ at 3\.30 s on tier \d+ begins with no code of the codebook \(C9\)"),
        ("angry about the diary", r"begins with no code of the codebook\. Write a code or a marker's name first"),
        ("C5 W2", r"says C5 and W2, which are two markers\. Leave the one"),
        ("C4 complaint_progress", r"says C4 and complaint_progress, which are two markers"),
        ("C5 about the diary", r"goes on after the code in a way that is not understood"),
        ("C5/W2", r"not understood\. Write a code as C5, with its clarity as C5 2, and several as C5; W2\."),
        ("C5 (2)", r"with its clarity as C5 2"),
        ("C5?", r"with its clarity as C5 2"),
        ("C5 clarity: 2", r"with its clarity as C5 2"),
        ("C5, complaint_progress", r"with its clarity as C5 2"),
        ("C5, diary", r"with its clarity as C5 2"),
        ("C5 clarity 4", r"has a clarity that is not 1, 2 or 3"),
        ("C5 2 clarity 3", r"gives two different clarity"),
        ('C5 "stopped, the diary"', r"has words that are not in turn 1 of session speakers_27\. Copy them"),
        ('C5 ""', r"has words that are not in turn 1"),
        ('C5 "a day" #2', r"has words that are not in turn 1"),
        ("C5 turn 3", r"is not over the turn that it names"),
        ("C5 turn 99", r"is not over the turn that it names"),
        ("C5 turn 1 by hand", r"is by neither rule nor model"),
        ("C5 score high", r"has a score that is no number"),
    ],
)
def test_what_cannot_be_read_is_named_without_talk(value: str, message: str, coded_by_hand) -> None:
    with pytest.raises(ReadError, match=message) as caught:
        coded_by_hand((3300, 6050, value))
    assert re.search(r"back\.eaf, line \d+: annotation a\d+ at 3\.30 s on tier", str(caught.value))
    assert not TALK.search(str(caught.value))


GRAMMAR = [
    " ",
    "\n",
    ";",
    ",",
    '"',
    "“",
    "”",
    "\\",
    "#2",
    "C5",
    "W2",
    "R4",
    "denial",
    "a day",
    "1",
    "3",
    "turn",
    "note",
]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(typed=st.lists(st.sampled_from([*GRAMMAR, "clarity", "score", "by", "id", "rule", "0.5"]) | st.text(max_size=3)))
def test_whatever_is_typed_is_read_or_refused(typed: list[str]) -> None:
    (transcript,) = read_all(SPEAKERS)
    a = Annotation("a9", 7, ("ts3", "ts4"), None, None, "".join(typed), 3.3, 6.05)
    on = Tier("rupturekit codes", 1, 6, "rupturekit codes", None, "", "", [a])
    try:
        markers = elan._Reading(Source(SPEAKERS, b""), transcript, elan._Values(BOOK)).markers(a, on)
    except ReadError:
        return
    assert all(0 <= m.start < m.end <= 50 and m.turn == 1 for m in markers)


def test_the_turn_is_the_one_of_the_right_role_that_overlaps_most(coded_by_hand) -> None:
    # from the middle of the client's turn 1 over the therapist's turn 2 to the beginning of the client's turn 3
    assert [m.turn for m in coded_by_hand((4000, 10500, "C5"))] == [1]
    assert [m.turn for m in coded_by_hand((5900, 12000, "C5"))] == [3]
    assert [m.turn for m in coded_by_hand((4000, 10500, "R4"))] == [2]
    # the words tell it too
    assert [m.turn for m in coded_by_hand((4000, 10500, 'C5 "I guess"'))] == [3]
    with pytest.raises(ReadError, match=r"is over no turn of the client of session speakers_27, as its code C5 needs"):
        coded_by_hand((6500, 9000, "C5"))


def test_a_code_for_the_other_role_is_refused(coded_by_hand) -> None:
    with pytest.raises(ReadError, match=r"has the therapist's code R4 on turn 1 of session speakers_27, which is not"):
        coded_by_hand((3300, 6050, 'R4 "a day" turn 1'))


def test_a_tier_of_the_coders_own(coded_by_hand) -> None:
    (marker,) = coded_by_hand((3300, 6050, "C5"), on="rupturekit coder:EF")
    assert marker == replace(WHOLE, source="coder:EF")
    (marker,) = coded_by_hand((3300, 6050, "C5"), on="rupturekit coder:EF (2)")
    assert marker.source == "coder:EF"
    (marker,) = coded_by_hand((3300, 6050, "C5"), on="rupturekit", annotator="GH")
    assert marker.source == "coder:GH"
    # what was copied from the machine's tier is the coder's now
    value = 'C5 complaint_progress "a day" by rule id "c5" score 0.9 turn 1'
    (marker,) = coded_by_hand((3300, 6050, value), on="rupturekit coder:EF")
    assert marker == replace(WHOLE, start=16, end=21, source="coder:EF")


@pytest.mark.parametrize(
    "name", ["codes", "rupture codes", "AB", "Rupturekit codes", "RuptureKit coder:", "3RS", "notes 2"]
)
def test_a_tier_with_nothing_but_codes_is_a_coders_whatever_it_is_called(name: str, coded_by_hand) -> None:
    found = coded_by_hand((3300, 6050, "C5"), (10100, 12750, "w2 minimal_response; C6 2"), on=name)
    assert [(m.turn, m.marker, m.source) for m in found] == [
        (1, "complaint_progress", "coder:"),
        (3, "defends_self", "coder:"),
        (3, "minimal_response", "coder:"),
    ]


@pytest.mark.parametrize("name", ["AB", "RUPTUREKIT coder:CD", "Rupturekit coder:CD (2)"])
def test_whose_such_a_tier_is(name: str, coded_by_hand) -> None:
    annotator = "CD" if name == "AB" else ""
    assert coded_by_hand((3300, 6050, "C5"), on=name, annotator=annotator) == (replace(WHOLE, source="coder:CD"),)


def test_a_code_there_that_cannot_be_read_is_refused_with_its_place(coded_by_hand) -> None:
    with pytest.raises(ReadError, match=r"annotation a\d+ at 3\.30 s on tier \d+ goes on .* several as C5; W2"):
        coded_by_hand((3300, 6050, "C5/W2"), on="AB")


def test_a_note_that_begins_with_a_code_is_named_with_the_way_out(coded_by_hand) -> None:
    with pytest.raises(ReadError) as caught:
        coded_by_hand((3300, 6050, "C5"), (10100, 12750, "C5 again, about the diary"), on="notes 2")
    assert re.search(r"back\.eaf, line \d+: annotation a\d+ at 10\.10 s on tier \d+ goes on", str(caught.value))
    assert str(caught.value).endswith(
        'note "…". If they are no codes but notes, remove that tier from the copy that you import'
    )
    assert not TALK.search(str(caught.value))
    # on a tier that is called ours, it is a code that is written wrongly
    with pytest.raises(ReadError, match=r'note "…"$'):
        coded_by_hand((3300, 6050, "C5 again"), on="rupturekit coder:AB")


def test_codes_among_other_values_are_refused_with_tier_and_count(coded_by_hand) -> None:
    values = [(400, 3000, "looks at the diary"), (3300, 6050, "C5"), (10100, 12750, "W2?")]
    found = (
        r"line \d+: 2 of the 3 values on tier \d+ are codes, and the others are not; annotation a\d+ at 3\.30 s "
        r"begins with a code\. Put the codes .* If they are no codes but notes, remove that tier from the copy"
    )
    with pytest.raises(ReadError, match=found):
        coded_by_hand(*values, on="notes 2")
    with pytest.raises(ReadError, match=r"1 of the 3 values on tier \d+ are codes") as caught:
        coded_by_hand((13000, 14000, "C5"), on="speaker B")
    assert not TALK.search(str(caught.value))


def test_what_is_said_is_no_code(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        eaf(
            tier("T", annotation("a1", "Is it denial, then? Or C5?", "ts1", "ts2")),
            tier("C", annotation("a2", "Denial", "ts2", "ts3")),
            tier("words", annotation("a3", "Is", "ts1", "ts2"), annotation("a4", "denial", "ts3", "ts4")),
            tier("rupturekit coder:AB"),
        ),
    )
    (transcript,) = read_all(path)
    assert [turn.text for turn in transcript] == ["Is it denial, then? Or C5?", "Denial"]
    assert returned(path, transcript).markers == ()


def test_marks_of_segments_above_the_talk_are_no_codes(tmp_path: Path) -> None:
    def below(id: str, above: str, value: str) -> str:
        return (
            f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{id}" ANNOTATION_REF="{above}">'
            f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        )

    tiers = (
        tier("T", annotation("a1", "Shall we?", "ts1", "ts2")),
        tier("ref@C", annotation("a2", "C1", "ts2", "ts3"), annotation("a3", "C2", "ts3", "ts4")),
        tier("C", below("a4", "a2", "Well."), below("a5", "a3", "No."), PARENT_REF="ref@C"),
        tier("rupturekit coder:AB", annotation("a6", "W2", "ts2", "ts3")),
    )
    path = put(tmp_path, eaf(*tiers))
    (transcript,) = read_all(path)
    assert [m.source for m in returned(path, transcript).markers] == ["coder:AB"]


def test_a_file_without_a_tier_for_codes_is_refused() -> None:
    (transcript,) = read_all(SPEAKERS)
    with pytest.raises(ReadError, match=r"speakers_27\.eaf: it has no tier for codes, .* Put the codes on a tier that"):
        returned(SPEAKERS, transcript)


@pytest.mark.parametrize("machine", [True, False])
def test_a_file_that_names_a_coder_makes_no_other_appear(machine: bool, tmp_path: Path) -> None:
    (transcript,) = read_all(SPEAKERS)
    by = [Coded("model", family, 0, 3) for family in FAMILIES] if machine else []
    there = Eaf(sent(AnnotatedTranscript(transcript, coded=tuple(by)), tmp_path / "out", SPEAKERS))
    there.add_tier("rupturekit coder:CD")
    there.add_annotation("rupturekit coder:CD", 3300, 6050, "C5")
    there.to_file(tmp_path / "back.eaf")
    with pytest.raises(ReadError, match="it names CD, and has nothing for AB"):
        import_codes(tmp_path / "back.eaf", "eaf", [transcript], coder="AB")
    for who in ({"coder": "CD"}, {}, {"coder": "AB", "coders": {"CD": "AB"}}):
        (coding,) = import_codes(tmp_path / "back.eaf", "eaf", [transcript], **who)  # type: ignore[arg-type]
        assert {(c.source, c.first, c.last) for c in coding.coded} == {(coding.markers[0].source, 0, 3)}


def test_codes_on_a_tier_that_depends_on_the_talk(tmp_path: Path) -> None:
    (transcript,) = read_all(SPEAKERS)
    there = Eaf(sent(AnnotatedTranscript(transcript), tmp_path / "out", SPEAKERS))
    there.add_linguistic_type("sub", "Symbolic_Subdivision", False)
    there.add_tier("rupturekit coder:AB@B", "sub", "speaker B", ann="AB")
    there.add_ref_annotation("rupturekit coder:AB@B", "speaker B", 4000, "C5 2")
    there.add_ref_annotation("rupturekit coder:AB@B", "speaker B", 4000, "W2")
    there.add_tier("3RS", "sub", "speaker B")
    there.add_ref_annotation("3RS", "speaker B", 4000, "C6")
    there.to_file(tmp_path / "back.eaf")
    assert [(m.turn, m.marker, m.source) for m in returned(tmp_path / "back.eaf", transcript).markers] == [
        (1, "complaint_progress", "coder:AB"),
        (1, "defends_self", "coder:"),
        (1, "minimal_response", "coder:AB"),
    ]


def test_corrections_in_a_file_with_markers(tmp_path: Path) -> None:
    session = marked(SPEAKERS)
    text = sent(session, tmp_path / "out", SPEAKERS).read_text("utf-8")
    # a value edited by hand, with and without what was behind the code; words shortened
    text = text.replace('R4 invite_feelings "hat w" by model score 0.5 turn 0', "R5", 1)
    text = text.replace(
        'C5 complaint_progress "No. 🙂 I guess we don\'t." clarity 2 turn 3', 'W1 "I guess" clarity 3', 1
    )
    text = text.replace('"w2.guess" score 0.9 turn 1', '"w2.guess" score 0.9 turn 1 note "right"', 1)
    back = returned(put(tmp_path, text), session.transcript)
    assert {m for m in back.markers if m not in session.markers} == {
        Marker(0, 0, 45, "resolution", "acknowledge_contribution", source="coder:"),
        Marker(3, 6, 13, "withdrawal", "denial", clarity=3, source="coder:AB"),
        Marker(1, 0, 3, "withdrawal", "minimal_response", 0.9, source="rule", rule_id="w2.guess", note="right"),
    }
    assert len(back.markers) == len(session.markers)


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "copy"])
def test_edited_talk_is_refused_with_session_and_turn(fresh: bool, tmp_path: Path) -> None:
    session = marked(SPEAKERS)
    text = sent(session, tmp_path / "out", None if fresh else SPEAKERS).read_text("utf-8")
    before, after = text.split("get on, then.</ANNOTATION_VALUE>")
    for edited in (f"{before}get along, then.</ANNOTATION_VALUE>{after}", f"{before}</ANNOTATION_VALUE>{after}"):
        with pytest.raises(
            ReadError, match=r"from turn 2 on its talk is not that of session speakers_27\. Undo"
        ) as caught:
            returned(put(tmp_path, edited), session.transcript)
        assert not TALK.search(str(caught.value))


def test_talk_that_was_only_moved_is_the_same_talk(tmp_path: Path) -> None:
    gap = eaf(
        tier("T", annotation("a1", "How is that for you?", "ts1", "ts2")),
        tier("C", annotation("a2", "Empty.", "ts8", "ts9")),
        slots="".join(f'<TIME_SLOT TIME_SLOT_ID="ts{n}" TIME_VALUE="{n * 1000}"/>' for n in (1, 2, 8, 9)),
    )
    original = put(tmp_path, gap)
    (transcript,) = read_all(original)
    assert [turn.text for turn in transcript] == ["How is that for you?", "[silence]", "Empty."]
    session = AnnotatedTranscript(transcript, (Marker(1, 0, 9, "withdrawal", "minimal_response", 0.7),))
    file = sent(session, tmp_path / "out", original)
    assert returned(file, transcript) == session
    # everything later by a second, then the silence closed up
    later = re.sub(r'TIME_VALUE="(\d+)"', lambda time: f'TIME_VALUE="{int(time[1]) + 1000}"', file.read_text("utf-8"))
    assert returned(put(tmp_path, later), transcript) == session
    closed = file.read_text("utf-8").replace('"ts8" TIME_VALUE="8000"', '"ts8" TIME_VALUE="6500"')
    assert returned(put(tmp_path, closed), transcript) == session


def test_which_session_a_file_is_of(tmp_path: Path) -> None:
    (one,) = read_all(SPEAKERS)
    (two,) = read_all(SYMBOLIC)
    file = sent(marked(SPEAKERS), tmp_path / "out", SPEAKERS)
    named = file.rename(tmp_path / "symbolic_30.eaf")
    assert returned(named, one, two).transcript == one
    with pytest.raises(ReadError, match=r"its session 'speakers_27' is not among the 1 given\. Give the sessions"):
        returned(named, two)
    # a file that names none: the only one, or the one that it is called after
    (tmp_path / "own").mkdir()
    coded = SPEAKERS.read_text("utf-8").replace("<TIER ", f"{tier('rupturekit coder:AB')}<TIER ", 1)
    for sessions_given in ((one,), (one, two)):
        assert returned(put(tmp_path / "own", coded, SPEAKERS.name), *sessions_given).transcript == one
    other = put(tmp_path, coded, "hour.eaf")
    with pytest.raises(ReadError, match=r"session 'hour', after which it is named, is not among the 2 given"):
        returned(other, one, two)


def test_who_went_through_what(tmp_path: Path) -> None:
    (transcript,) = read_all(SPEAKERS)
    none = AnnotatedTranscript(transcript, coded=(Coded("coder:AB", "withdrawal", 0, 2),))
    file = sent(none, tmp_path / "out", SPEAKERS)
    assert returned(file, transcript) == none
    # an empty tier of a coder's says that there is nothing to mark
    there = Eaf(file)
    there.add_tier("rupturekit coder:CD", ann="CD")
    there.to_file(tmp_path / "back.eaf")
    assert set(returned(tmp_path / "back.eaf", transcript).coded) == {
        *none.coded,
        *(Coded("coder:CD", family, 0, 3) for family in FAMILIES),
    }
    text = file.read_text("utf-8")
    for bad in ('[["coder:AB", "withdrawal", 0, 9]]', '[["coder:AB", "anger", 0, 1]]', "[[1]]", "{", "[" * 99999):
        with pytest.raises(ReadError, match=r"its property 'rupturekit coded' is not what was written"):
            returned(put(tmp_path, text.replace('[["coder:AB", "withdrawal", 0, 2]]', bad)), transcript)


def test_there_and_back_by_the_frame(tmp_path: Path) -> None:
    session = marked(SPEAKERS)
    (file,) = export([session], "eaf", tmp_path / "out", originals={"speakers_27": SPEAKERS})
    (coding,) = import_codes(file, "eaf", [session.transcript])
    assert {m.source for m in coding.markers} == {"coder:AB", "coder:CD"}
    (coding,) = import_codes(file, "eaf", [session.transcript], coder="XY", coders={"AB": "A1"})
    assert {m.source for m in coding.markers} == {"coder:A1", "coder:CD", "coder:XY"}
    assert len([m for m in coding.markers if m.source == "coder:A1"]) == 4
