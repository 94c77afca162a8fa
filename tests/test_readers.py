"""Readers: every format that researchers have, and every way in which a file can be bad."""

from __future__ import annotations

import csv
import datetime
import html
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import docx
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rupturekit.readers import FORMATS, ReadError, Utterance, read_sessions


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def said(session):
    return [(u.speaker, u.text) for u in session.utterances]


def times(session):
    return [(u.start_s, u.end_s) for u in session.utterances]


@pytest.fixture
def read(tmp_path):
    def read(content, name="s.txt", **options):
        return read_sessions(put(tmp_path, name, content), **options)

    return read


# Plain text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T: Hello.\nC: Hi.\n", [("T", "Hello."), ("C", "Hi.")]),
        ("P: Hello.\nTh: Hi.\n", [("P", "Hello."), ("Th", "Hi.")]),
        ("Therapist: Hello.\nClient: Hi.", [("Therapist", "Hello."), ("Client", "Hi.")]),
        ("Speaker 1: Hello.\nSpeaker 2: Hi.", [("Speaker 1", "Hello."), ("Speaker 2", "Hi.")]),
        ("T:Hello.\n\n\nC:Hi.", [("T", "Hello."), ("C", "Hi.")]),
        ("t: hello\nc: hi", [("t", "hello"), ("c", "hi")]),
        (">> T: Hello.\n>>C: Hi.", [("T", "Hello."), ("C", "Hi.")]),
        ("- T: Hello.\n– C: Hi.", [("T", "Hello."), ("C", "Hi.")]),
        ("**T:** Hello.\n**C:** Hi.", [("T", "Hello."), ("C", "Hi.")]),
        ("[SPEAKER_00]: Hello.\n[SPEAKER_01]: Hi.", [("SPEAKER_00", "Hello."), ("SPEAKER_01", "Hi.")]),
        ("T\tHello.\nC\tHi.", [("T", "Hello."), ("C", "Hi.")]),
        ("Ana de Souza: Hello.\nTom: Hi.", [("Ana de Souza", "Hello."), ("Tom", "Hi.")]),
        (
            "anna: a\nben: b\nanna: c\nben: d\nanna: e\nben: f",
            [(s, w) for s, w in zip(["anna", "ben"] * 3, "abcdef", strict=True)],
        ),
        ("🙂 Sam: a\n🦊: b\n🙂 Sam: c\n🦊: d", [("🙂 Sam", "a"), ("🦊", "b"), ("🙂 Sam", "c"), ("🦊", "d")]),
        ("\u200fסארה: א\nלקוח: ב\nסארה: ג\nלקוח: ד", [("סארה", "א"), ("לקוח", "ב"), ("סארה", "ג"), ("לקוח", "ד")]),
        (
            "治疗师：甲\n来访者：乙\n治疗师：丙\n来访者：丁",
            [("治疗师", "甲"), ("来访者", "乙"), ("治疗师", "丙"), ("来访者", "丁")],
        ),
        (
            "Therapist\nHow is it?\nStill?\n\nClient\nFine.\n\nTherapist\nOk.",
            [("Therapist", "How is it? Still?"), ("Client", "Fine."), ("Therapist", "Ok.")],
        ),
        ("T:\nHow is it?\n\nC:\nFine.", [("T", "How is it?"), ("C", "Fine.")]),
        (
            "Anna\nA.\n\nBen\nYeah.\n\nAnna\nC.\n\nBen\nYeah.",
            [("Anna", "A."), ("Ben", "Yeah."), ("Anna", "C."), ("Ben", "Yeah.")],
        ),
    ],
)
def test_labels_that_people_write(read, text, expected):
    assert said(read(text)[0]) == expected


@pytest.mark.parametrize(
    "line",
    [
        "I told him: no",
        "so I said: stop it",
        "Remember: breathe",
        "Look: it is what it is",
        "10:30 was when I woke",
        "at 10:30: that was it",
        "http://example.org is the page",
        "2. the second thing on my list",
        "12 years is a long time",
    ],
)
def test_a_colon_or_number_in_talk_is_talk(read, line):
    (session,) = read(f"T: What was it?\nC: Well.\n{line}\nT: I see.")
    assert said(session) == [("T", "What was it?"), ("C", f"Well. {line}"), ("T", "I see.")]
    assert not session.meta


@pytest.mark.parametrize(
    "phrase",
    [
        "the thing is",
        "and he said",
        "my mother goes",
        "What I mean is",
        "so, the plan",
        "Yes, doctor",
        "mood (out of ten)",
        "next week",
    ],
)
@pytest.mark.parametrize("name", ["s.txt", "s.srt"])
def test_words_before_a_colon_stay_talk_however_often_they_come(read, name, phrase):
    lines = ["T: What was it?", "C: Well.", f"{phrase}: no.", "T: I see.", "C: Yes."] * 4
    (session,) = read("\n".join(lines) if name == "s.txt" else cues(*lines), name)
    assert {u.speaker for u in session.utterances} == {"T", "C"}
    assert sum(f"{phrase}: no." in u.text for u in session.utterances) == 4
    assert not session.meta


@pytest.mark.parametrize(
    "label",
    ["Tan, Jake", "Ann Weber, LCSW", "Weber, Ann", "Weber, Ann, Psy.D.", "jake tan", "dr. weber", "Tan, J. (he/him)"],
)
@pytest.mark.parametrize("name", ["s.txt", "s.srt"])
def test_what_comes_back_in_the_place_of_a_label_is_one(read, name, label):
    lines = ["Dr. Weber: What was it?", "Mia Tan: Well.", f"{label}: I told her: no.", "Mia Tan: Yes."] * 3
    (session,) = read("\n".join(lines) if name == "s.txt" else cues(*lines), name)
    assert said(session)[:3] == [("Dr. Weber", "What was it?"), ("Mia Tan", "Well."), (label, "I told her: no.")]
    assert {u.speaker for u in session.utterances} == {"Dr. Weber", "Mia Tan", label}
    assert not session.meta


@pytest.mark.parametrize("label", ["Cleint", "cleint", "Therapits", "Jake", "Tan, Jake", "jake"])
@pytest.mark.parametrize("name", ["s.txt", "s.srt"])
def test_what_looks_like_a_label_and_is_left_in_the_talk_is_counted(read, name, label):
    lines = ["Therapist: What was it?", "Client: Well.", "and then", "I left."] * 10
    for n in (2, 14, 26) if label == "jake" else (10,):
        lines[n] = f"{label}: Yes."
    (session,) = read("\n".join(lines) if name == "s.txt" else cues(*lines), name)
    assert {u.speaker for u in session.utterances} == {"Therapist", "Client"}
    assert session.meta == {"labels_in_talk": 3 if label == "jake" else 1}


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("C I don't want to talk about it.", 1),
        ("C; I don't want to.", 1),
        ("C. I don't want to.", 1),
        ("C - I don't want to.", 1),
        ("T: And that was fine? C: I don't want to. T: No?", 2),
        ("T: “And that was fine?” C: I don't want to.", 1),
        ("C-section, was it?", 0),
        ("I - I don't know, C.", 0),
        ("A bad week, you said to C: no.", 0),
        ("Cold in there.", 0),
    ],
)
def test_a_label_that_a_missing_colon_or_line_break_hides_is_counted(read, line, count):
    (session,) = read(f"T: How was it?\nC: Fine.\nT: Only fine?\n{line}\nC: Yes.\nI: So.\nA: Hm.")
    assert line.removeprefix("T: ") in " ".join(u.text for u in session.utterances)
    assert session.meta == ({"labels_in_talk": count} if count else {})


def test_names_that_begin_a_wrapped_line_are_no_hidden_labels(read):
    talk = "Ana: So?\nTherapist: No.\nAna: I went with\nTherapist Ruth and\nAna. She said yes - to\nAna - I think.\n"
    assert not read(talk + "Therapist: Hm.\nAna: Yes.")[0].meta


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("C [crying]", "[crying] No."),
        ("C (laughs)", "(laughs) No."),
        ("C (Laughs)", "(Laughs) No."),
        ("C (to her husband)", "(to her husband) No."),
        ("C [00:12] [whispering]", "[whispering] No."),
        ("C (cont)", "No."),
        ("C (cont'd)", "No."),
        ("C [continued]", "No."),
    ],
)
@pytest.mark.parametrize("name", ["s.txt", "s.srt"])
def test_a_remark_beside_a_label_is_no_part_of_it(read, name, label, words):
    if "00" in label and name != "s.txt":
        label = "C [whispering]"
    lines = ["T: So?", f"{label}: No.", "T: I see.", "C: Good."]
    (session,) = read("\n".join(lines) if name == "s.txt" else cues(*lines), name)
    assert said(session) == [("T", "So?"), ("C", words), ("T", "I see."), ("C", "Good.")]


@pytest.mark.parametrize(
    "label", ["Therapist (Ana)", "Speaker 1 (client)", "Ana (she/her)", "C (Mother)", "Client (f, 31)"]
)
def test_who_it_is_stays_in_the_label(read, label):
    (session,) = read(f"T: So?\n{label}: No.\nT: Why?\n{label}: Well.")
    assert [u.speaker for u in session.utterances] == ["T", label] * 2


@pytest.mark.parametrize(
    "label",
    [
        "Dr. M. O'Neill (she/her)",
        "Partner 2 [Sam]",
        "the one who came late",
        "well",
        "Ms. Anna-Lena von Weber-Tan, Psy.D., the clinician of the second session",
        "Sam: partner",
        "Notes",
        "3",
        "2. Sam",
    ],
)
@pytest.mark.parametrize(
    "form", ["{}: No.", "{}:No.", "{} : No.", "**{}:** No.", "[{}]: No.", "[00:12] {}: No.", "{} [00:12]: No."]
)
@pytest.mark.parametrize("name", ["s.txt", "s.docx", "s.srt", "s.vtt"])
def test_a_label_that_is_given_names_a_speaker_whatever_its_form(tmp_path, name, form, label):
    if "00" in form and name not in ("s.txt", "s.docx"):
        form = "{} [crying]: No."
    lines = ["T: So?", form.format(label), "T: And then: what?", form.format(label.upper())]
    if name == "s.docx":
        document = docx.Document()
        for line in lines:
            document.add_paragraph(line)
        document.save(tmp_path / name)
    else:
        made = {"s.txt": "\n".join(lines), "s.srt": cues(*lines), "s.vtt": "WEBVTT\n\n" + cues(*lines)}
        put(tmp_path, name, made[name])
    (session,) = read_sessions(tmp_path / name, labels=[label.lower() + ":"])
    words = "[crying] No." if "crying" in form else "No."
    assert said(session) == [("T", "So?"), (label, words), ("T", "And then: what?"), (label.upper(), words)]
    assert not session.meta


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("[{0}] {2}", None),
        ("[{0}] (0:0{1} - 0:09)\n{2}\n", 0),
        ("[{0}] 14:00:0{1}\n{2}\n", 50400),
        ("[00:00:0{1}.000 --> 00:00:09.000] [{0}] {2}", 0),
        ("{0} [00:00:0{1}] {2}", 0),
        ("{0} (0:0{1}) {2}", 0),
        ("**{0}** {2}", None),
    ],
)
@pytest.mark.parametrize(
    "labels", [("Speaker 1", "Speaker 2"), ("Anna Smith", "Jane Doe"), ("SPEAKER_00", "SPEAKER_01"), ("T", "C")]
)
def test_labels_without_a_colon(read, form, start, labels):
    talk = [
        (labels[n % 2], f"{words} I said: no.") for n, words in enumerate(["How was it?", "Bad.", "So?", "[laughs]"])
    ]
    (session,) = read("\n".join(form.format(who, n, words) for n, (who, words) in enumerate(talk)))
    assert said(session) == talk
    assert [u.start_s for u in session.utterances] == [None if start is None else start + n for n in range(4)]


@pytest.mark.parametrize("form", ["{} [0:0{}]\n{}", "**{0}**\n{2}"])
def test_a_name_that_comes_once_above_its_words(read, form):
    talk = [("Ann Lee", "How?"), ("Ben Tan", "Bad."), ("Ann Lee", "So?"), ("Ben Tan", "No."), ("Therapist", "Hello.")]
    (session,) = read("\n\n".join(form.format(who, n, words) for n, (who, words) in enumerate(talk)))
    assert said(session) == talk


def test_labels_without_a_colon_that_are_given(read):
    text = "[the one] How was it?\n[laughs]\n[Sam B] Bad.\n[the one] So?"
    (session,) = read(text, labels=["The one", "Sam B"])
    assert said(session) == [("the one", "How was it? [laughs]"), ("Sam B", "Bad."), ("the one", "So?")]


def test_what_stands_in_brackets_among_labels_is_talk(read):
    lines = [
        "T: So?",
        "[laughs] no",
        "[Laughs] No.",
        "C: Well.",
        "[Mum] she said",
        "**No** I said",
        "I [00:03] left",
    ] * 3
    assert {u.speaker for u in read("\n".join(lines))[0].utterances} == {"T", "C"}
    otter = OTTER.replace("Long.", "[Laughs] Long.\n[Sighs] Long.") * 3
    assert {u.speaker for u in read(otter)[0].utterances} == {"Speaker 1", "Speaker 2"}
    placeholders = OTTER.replace("Long.", "So\n[Mother] said so.\nIt was\n[Partner] who\ndid\nall of that.")
    assert {u.speaker for u in read(placeholders)[0].utterances} == {"Speaker 1", "Speaker 2"}
    music = "[Music] so\nand then\nI went\nhome and\nslept [Applause]\n[Applause] well\nor so\nso I\nthought\n" * 3
    assert {u.speaker for u in read(music)[0].utterances} == {None}


def test_a_given_label_is_no_other_one(read):
    text = "T: So?\nsam b: No.\nsam [mother]: Never.\nI told sam: no.\nsamuel: well.\nsam: Yes."
    (session,) = read(text, labels=["sam", "Sam B", "", ":"])
    assert said(session) == [
        ("T", "So?"),
        ("sam b", "No. sam [mother]: Never. I told sam: no. samuel: well."),
        ("sam", "Yes."),
    ]


def test_given_labels_alone_and_in_a_table(tmp_path, read):
    labels = ["Partner 2 [Sam]", "the therapist's student"]
    text = "the therapist's student\nHow is it?\n\nPartner 2 [Sam]\nBad.\n\nthe therapist's student\nOk."
    talk = [(labels[1], "How is it?"), (labels[0], "Bad."), (labels[1], "Ok.")]
    assert said(read(text, labels=labels)[0]) == talk
    document = docx.Document()
    table_in(document, [list(row) for row in talk])
    document.save(tmp_path / "s.docx")
    assert said(read_sessions(tmp_path / "s.docx", labels=labels)[0]) == talk


def test_a_label_alone_with_a_remark(read):
    (session,) = read("Therapist\nHow is it?\n\nClient (crying)\nBad.\n\nTherapist\nOk.")
    assert said(session) == [("Therapist", "How is it?"), ("Client", "(crying) Bad."), ("Therapist", "Ok.")]


def test_label_numbers_that_count_turns(read):
    (session,) = read("T1: Hi.\nC1: Hello.\nT2: How was it?\nand then\nC2: Fine.")
    assert session.numbered
    assert said(session) == [("T", "Hi."), ("C", "Hello."), ("T", "How was it? and then"), ("C", "Fine.")]
    assert [u.source_id for u in session.utterances] == ["1", "1", "2", "2"]
    assert [u.line for u in session.utterances] == [1, 2, 3, 5]


PARTED = ["{}. {}", "{} - {}", "{} – {}", "{}) {}", "({}) {}", "<{}> {}", "<{}>: {}", "{}> {}", "{} | {}", "{}   {}"]


@pytest.mark.parametrize("form", PARTED)
@pytest.mark.parametrize(("one", "other"), [("T", "C"), ("Therapist", "Client"), ("Dr. Lee", "Pat")])
def test_labels_without_a_colon_that_one_thing_parts_from_the_words(read, form, one, other):
    given = () if one != "Dr. Lee" else (one, other)
    lines = [
        form.format(who, words) for who, words in [(one, "So? - Yes."), (other, "I - I"), (one, "Oh."), (other, "No.")]
    ]
    lines.insert(2, "I - I mean it.")
    (session,) = read("\n".join(lines), labels=given)
    assert said(session) == [(one, "So? - Yes."), (other, "I - I I - I mean it."), (one, "Oh."), (other, "No.")]


def test_a_word_said_twice_is_no_interviewer_in_captions_without_capitals(read):
    (session,) = read("t - so\nc - well\ni - i mean it\nt - oh\nc - no\n")
    assert said(session) == [("t", "so"), ("c", "well i - i mean it"), ("t", "oh"), ("c", "no")]


@pytest.mark.parametrize(
    "lines",
    [
        ["I - I was late.", "C. said so.", "T - that was it.", "Well.", "Yes.", "No."],
        ["I - I was late.", "I - I mean it.", "No."],
        ["Client - late.", "Client - tired.", "Mother - here."],
        ["T. So?", "C - Well.", "T. Oh.", "C - No."],
        ["Therapist asked.", "Client wept.", "Therapist asked."],
    ],
)
def test_words_that_could_be_labels_without_a_colon_are_talk(read, lines):
    (session,) = read("\n".join(lines))
    assert {u.speaker for u in session.utterances} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "T: Hi.\nC1: a\nC2: b\nC1: c\nT: d",
        "Speaker 1: a\nSpeaker 2: b",
        "Speaker 1: a\nSpeaker 2: b\nSpeaker 3: c",
        "T1: a\nT2: b\nC1: c\nT1: d\nT2: e\nC1: f",
    ],
)
def test_label_numbers_that_tell_people_apart(read, text):
    (session,) = read(text)
    assert not session.numbered
    assert [u.speaker for u in session.utterances] == [line.split(":")[0] for line in text.split("\n")]


@pytest.mark.parametrize("form", ["{}. {}: {}", "{}) {}: {}", "[{}] {}: {}", "#{} {}: {}", "{}\t{}: {}", "{} {}: {}"])
def test_turn_numbers_before_the_label(read, form):
    lines = [form.format(n, who, "So.") for n, who in zip((7, 8, 9), "TCT", strict=True)]
    (session,) = read("\n".join(lines))
    assert session.numbered
    assert [(u.source_id, u.speaker, u.text) for u in session.utterances] == [
        ("7", "T", "So."),
        ("8", "C", "So."),
        ("9", "T", "So."),
    ]


@pytest.mark.parametrize(
    ("first", "start", "end"),
    [
        ("[00:01:23] T: Hello.", 83.0, None),
        ("(00:12) T: Hello.", 12.0, None),
        ("<1:02:03.250> T: Hello.", 3723.25, None),
        ("00:01:23,5 T: Hello.", 83.5, None),
        ("T (00:12): Hello.", 12.0, None),
        ("T [00:12]: Hello.", 12.0, None),
        ("T: [00:12] Hello.", 12.0, None),
        ("T  00:00:12: Hello.", 12.0, None),
        ("[00:12 - 00:14] T: Hello.", 12.0, 14.0),
        ("[00:00:12.5 --> 00:00:14.0] T: Hello.", 12.5, 14.0),
        ("[12.5] T: Hello.", 12.5, None),
        ("[12.5s - 14.25s] T: Hello.", 12.5, 14.25),
        ("3. [00:12] T: Hello.", 12.0, None),
        ("[00:14 - 00:12] T: Hello.", 14.0, None),
        ("00:12\nT: Hello.", 12.0, None),
        ("[00:12]\nT: Hello.", 12.0, None),
        # the frames of a video, and YouTube's captions
        ("00:00:12:07 - 00:00:14:24\nT: Hello.", 12.0, 14.0),
        ("0:00:12.000,0:00:14.500\nT: Hello.", 12.0, 14.5),
    ],
)
def test_times_in_text(read, first, start, end):
    (session,) = read(first + "\nC: Hi.")
    assert said(session) == [("T", "Hello."), ("C", "Hi.")]
    assert times(session) == [(start, end), (None, None)]


@pytest.mark.parametrize(
    "form",
    [
        "{} {}: {}",
        "[{}] {}: {}",
        "{}\n{}: {}",
        "({}) {}: {}",
        "{1} ({0}): {2}",
        "{1} {0}: {2}",
        "{1}: [{0}] {2}",
        "{1} {0}\n{2}\n",
        "[{} - 1:20 PM] {}: {}",
    ],
)
@pytest.mark.parametrize("half", ["{} AM", "{}AM", "{} am", "{} a.m.", "{}\u202fAM", "{}:00 AM"])
def test_times_of_twelve_hours(read, form, half):
    times_of = [half, half, half.upper().replace("AM", "PM").replace("A.M", "P.M"), half.replace("a", "p")]
    clocks = [time.format(clock) for time, clock in zip(times_of, ("10:15", "12:01", "12:58", "1:16"), strict=True)]
    clocks[3] = clocks[3].replace("AM", "PM")
    talk = list(zip(("Therapist", "Client") * 2, ("Bad?", "I was.", "It was?", "Yes."), strict=True))
    (session,) = read("\n".join(form.format(clock, *turn) for clock, turn in zip(clocks, talk, strict=True)))
    assert said(session) == talk
    assert [u.start_s for u in session.utterances] == [36900, 60, 46680, 47760]
    if "20" in form:
        assert session.utterances[3].end_s == 48000


def test_a_time_of_twelve_hours_beside_talk(read):
    (session,) = read("T: When?\nC: At\n10:15 am I woke.\n00:10:30 am I late?\n[10:15 - 10:16 PM] No.\n1:16 PM\nYes.")
    assert [(u.text, u.start_s, u.end_s) for u in session.utterances[1:]] == [
        ("At 10:15 am I woke.", None, None),
        ("am I late?", 630, None),
        ("No.", 80100, 80160),
        ("Yes.", 47760, None),
    ]


def test_seconds_in_brackets_are_no_turn_numbers(read):
    (session,) = read("[0] T: a\n[7] C: b\n[31] T: c")
    assert not session.numbered
    assert times(session) == [(0.0, None), (7.0, None), (31.0, None)]


def test_speaker_and_time_above_the_words(read):
    (session,) = read("Ann Lee  0:03\nHow is it?\n\nSpeaker 2  1:05\nFine.\n\nAnn Lee  1:10\nOk.")
    assert said(session) == [("Ann Lee", "How is it?"), ("Speaker 2", "Fine."), ("Ann Lee", "Ok.")]
    assert times(session) == [(3.0, None), (65.0, None), (70.0, None)]


def test_time_inside_a_turn_starts_an_utterance_of_the_same_speaker(read):
    (session,) = read("T: a\nC: b\n[00:30] c\n00:00:45\nd")
    assert [(u.speaker, u.text, u.start_s) for u in session.utterances] == [
        ("T", "a", None),
        ("C", "b", None),
        ("C", "c", 30.0),
        ("C", "d", 45.0),
    ]


@pytest.mark.parametrize(
    "silence", ["[silence 12s]", "(pause 8 sec)", "((long pause))", "[12 seconds of silence]", "(6.5)"]
)
def test_silence_on_its_own_line_has_no_speaker(read, silence):
    (session,) = read(f"T: How is it?\n{silence}\nStill there?\n[00:09] {silence}\nC: Yes.\n[nods]")
    assert [(u.speaker, u.text, u.start_s) for u in session.utterances] == [
        ("T", "How is it?", None),
        (None, silence, None),
        ("T", "Still there?", None),
        (None, silence, 9.0),
        ("C", "Yes. [nods]", None),
    ]


def test_marks_of_f4transkript_are_times(read):
    (session,) = read(
        "T: How was it? #00:00:05-2#\nC: Long. #00:00:07-0#\nLong and dull. #00:00:09-8#\n\nT: Why? #00:00:11-4#"
    )
    assert said(session) == [("T", "How was it?"), ("C", "Long. Long and dull."), ("T", "Why?")]
    assert times(session) == [(None, 5.2), (5.2, 9.8), (9.8, 11.4)]
    (session,) = read("#00:00:05-2# T: How was it?\nC: #00:00:07-0# Long.")
    assert said(session) == [("T", "How was it?"), ("C", "Long.")]
    assert times(session) == [(5.2, None), (7.0, None)]


@pytest.mark.parametrize(
    "form",
    [
        # as ELAN exports, with and without participants, and in seconds alone
        "{who}\t\t00:00:{a:02}.250\t{a}.25\t00:00:{b:02}.500\t{b}.5\t00:00:01.250\t1.25\t{said}",
        "{who}\tAnn L.\t00:00:{a:02}.250\t{a}.25\t00:00:{b:02}.500\t{b}.5\t{said}",
        "{who}\t\t{a}.25\t{b}.5\t1.25\t{said}",
        "{who}\t3\t00:00:{a:02}.25\t00:00:{b:02}.5\t{said}",
        "00:00:{a:02}.25\t00:00:{b:02}.5\t{who}\t{said}",
    ],
)
@pytest.mark.parametrize("head", ["", "Tier\tBegin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\tAnnotation\n"])
def test_columns_between_the_label_and_the_words_are_times(read, form, head):
    talk = [("T", "How was it?"), ("C", "2 weeks\tof rain."), ("T", "Why?")]
    rows = [form.format(who=who, said=words, a=2 * n, b=2 * n + 1) for n, (who, words) in enumerate(talk)]
    (session,) = read(head + "\n".join(rows))
    assert said(session) == [(who, words.replace("\t", " ")) for who, words in talk]
    assert times(session) == [(0.25, 1.5), (2.25, 3.5), (4.25, 5.5)]


@pytest.mark.parametrize("form", ["[{}]", "({})", "{}", "[{}.0]", "({} - 00:59:59)"])
def test_times_at_the_ends_of_most_lines_are_times(read, form):
    talk = [("T", "How was it?", 5), ("C", "Long.", 7), ("C", "Long and dull.", 9), ("T", "Why?", 11)]
    text = "\n".join(f"{who}: {words} {form.format(f'00:00:{s:02}')}" for who, words, s in talk)
    (session,) = read(text.replace("\nC: Long and", "\n\nLong and"))
    assert said(session) == [("T", "How was it?"), ("C", "Long. Long and dull."), ("T", "Why?")]
    if "-" in form:
        assert times(session) == [(5.0, 3599.0), (7.0, 3599.0), (11.0, 3599.0)]
        return
    assert times(session) == [(None, 5.0), (5.0, 9.0), (9.0, 11.0)]
    # no line ends at zero
    assert times(read(text.replace("00:05", "00:00"))[0]) == [(0.0, None), (7.0, None), (9.0, None), (11.0, None)]


@pytest.mark.parametrize(
    "form",
    [
        *("{who}: {said}\n[{a}]\n", "{who}\n{said}\n{a}\n\n", "{who}:\n{said}\n[{a}]\n\n"),
        *("{who}: {said}\n{a} - {b}\n\n", "{who}:\n{said}\n{a} --> {b}\n\n"),
    ],
)
def test_times_below_what_is_said_are_its_own(read, form):
    talk = [("T", "How was it?", 5), ("C", "Long.", 7), ("T", "Why?", 9)]
    text = "".join(form.format(who=w, said=s, a=f"00:00:{n:02}", b=f"00:00:{n + 1:02}") for w, s, n in talk)
    (session,) = read(text + "[End of recording]")
    assert said(session) == [turn[:2] for turn in talk]
    ends = [(None, 5.0), (5.0, 7.0), (7.0, 9.0)]
    assert times(session) == ([(5.0, 6.0), (7.0, 8.0), (9.0, 10.0)] if "{b}" in form else ends)
    # also below the last of several paragraphs
    (longer,) = read(text.replace("Why?", "Why?\n\nWell?\n\nIs it?"))
    assert said(longer)[-1] == ("T", "Why? Well? Is it?")
    assert longer.utterances[-1].end_s == (10.0 if "{b}" in form else 9.0)
    # one above the first words, or none below the last ones: each is what comes next
    above = "00:00:01\n" + text.removesuffix(text[text.index("Why?") + 4 :])
    assert [start for start, _ in times(read(above)[0])] == [1.0, 5.0, 7.0]


def test_times_at_the_ends_of_a_few_lines_are_words(read):
    talk = [("T", "When?"), ("C", "I woke early (5:30)"), ("T", "And then?"), ("C", "I woke again [6:15]")]
    (session,) = read("".join(f"{who}: {words}\n" for who, words in talk))
    assert said(session) == talk
    (session,) = read("Ana [00:01]\nSo?\n\nBen [00:02]\nNo.\n\nAna [00:03]\nWhy?\n\nBen [00:04]\nWell.")
    assert said(session) == [("Ana", "So?"), ("Ben", "No."), ("Ana", "Why?"), ("Ben", "Well.")]


@pytest.mark.parametrize("form", ["{} {}", "{:03}  {}", "{}\t{}", "{}. {}", "[{}] {}"])
@pytest.mark.parametrize("page", [1000, 6])
def test_numbers_of_lines_are_not_words(read, form, page):
    lines = ["T: How was", "the week, then?", "C: It was long, and", "2 days of it", "were bad.", "T: Which?"] * 3
    (session,) = read("\n".join(form.format(n % page + 1, line) for n, line in enumerate(lines)))
    assert not session.numbered
    turns = [("T", "How was the week, then?"), ("C", "It was long, and 2 days of it were bad."), ("T", "Which?")]
    assert said(session) == turns * 3
    assert {u.source_id for u in session.utterances} == {None}


def test_numbers_of_turns_stay_where_a_numbered_line_has_no_label(read):
    (session,) = read("\n".join(f"{n} {'[silence 9s]' if n == 4 else 'TC'[n % 2] + ': So.'}" for n in range(1, 21)))
    assert session.numbered
    assert session.utterances[3].text == "[silence 9s]"
    assert session.utterances[4].source_id == "5"


def test_silence_that_is_given_to_a_speaker_stays_with_the_speaker(read):
    assert said(read("T: So?\nC: [silence 12s]")[0]) == [("T", "So?"), ("C", "[silence 12s]")]


def test_header_is_no_talk_and_its_facts_are_kept(read):
    (session,) = read(
        "Transcript of the fourth session\n2021-05-04\n-----\nDate: 2021-05-04\nClient ID: 77\nSession: 4\n"
        "Therapist: Dr. Jane Doe\nClient: Sam\n\nT: a\nC: b\nT: c\nC: d\n[End of recording]"
    )
    assert [u.text for u in session.utterances] == list("abcd")
    assert session.meta == {"date": "2021-05-04", "client_id": "77", "session_number": "4", "header_lines": 8}


def test_talk_before_the_first_label_is_not_lost(read):
    (session,) = read("My case\n\nWe said we would start with the week, right?\nC: Fine.\nT: Good.")
    assert said(session)[0] == (None, "We said we would start with the week, right?")
    assert session.utterances[0].line == 3
    assert session.meta["header_lines"] == 1


OTTER = "Speaker 1  0:03\nHow was the week?\n\nSpeaker 2  0:09\nLong.\n\nSpeaker 1  0:12\nI see.\n"


@pytest.mark.parametrize(
    "head",
    [
        "",
        "Session with M.\n\n",
        "Session with M.\nThu, Mar 21, 2024 10:02AM • 48:12\n\n",
        "Session with M.\nThu, Mar 21, 2024 10:02AM • 48:12\n\nSUMMARY KEYWORDS\nweek, sleep, mother, "
        "feel, work, brother, shouting, long, tired, house, money, phone, talk\n\nSPEAKERS\nSpeaker 1, Speaker 2\n\n",
        "Session with M.\nSUMMARY KEYWORDS\nweek, sleep\nSPEAKERS\nSpeaker 2, Speaker 1\n\n",
        "s1\nTranscribed with noScribe vers. 0.7\nAudio file: C:/s1.mp3\n(Language: English (en) | Speaker "
        "detection: auto | Overlapping speech: False | Timestamps: True | Disfluencies: 1 | Mark pause: 0)\n\n",
        "Intake?\n\nSUMMARY\nThe client says that the week was long. They look at why.\n\nKEYWORDS\nweek\n\n",
    ],
)
@pytest.mark.parametrize(
    "foot",
    [
        "",
        "\nTranscribed by https://otter.ai",
        "\nTranscribed by https://otter.ai\n\n",
        "\nTranscribed with Otter.ai.",
        "\nGenerated by Sonix (https://sonix.ai)",
        "\nPowered by Zoom",
        "\nTranscribed by TurboScribe.ai. Go Unlimited to remove this message.",
    ],
)
def test_what_a_service_writes_above_and_below_the_talk_is_left_out(read, head, foot):
    (session,) = read(head + OTTER + foot)
    assert said(session) == [("Speaker 1", "How was the week?"), ("Speaker 2", "Long."), ("Speaker 1", "I see.")]


@pytest.mark.parametrize(
    "last",
    ["Transcribed by my wife, all of it", "Powered by coffee", "Typed by hand", "T: Transcribed by https://otter.ai"],
)
def test_the_last_words_are_talk_unless_they_name_a_service(read, last):
    assert read(f"T: What was it?\nC: A letter.\n{last}")[0].utterances[-1].text.endswith(last.removeprefix("T: "))


TWO_PAGES = [("T", "What did you feel then?"), ("C", "Nothing."), ("T", "Nothing at all?"), ("C", "No.")]


@pytest.mark.parametrize(
    "furniture",
    [
        "\n14\n",
        "Page 2 of 14",
        "\nPAGE 2\n",
        "\n- 2 -\n",
        "\fPage 2",
        "\n14\n\f",
        "\nStudy 14 – CONFIDENTIAL\nPage 2\n",
        "\n2\n\n\fStudy 15 – CONFIDENTIAL\n",
        "\nSession 2",
        "\nSession 2\n\n3\n",
        "\n---\n\n## Exploring it\n",
        "__________",
    ],
)
@pytest.mark.parametrize("label", ["{}: ", "{}:\n"])
def test_what_a_page_bears_is_no_talk(read, furniture, label):
    lines = [label.format(who) + words for who, words in TWO_PAGES]
    head = ["Study 14 – CONFIDENTIAL", "Session 1", ""]
    (session,) = read("\n".join([*head, *lines[:2], furniture, *lines[2:]]))
    assert said(session) == TWO_PAGES
    count = sum(map(bool, furniture.replace("\f", "").split("\n")))
    assert session.meta["header_lines"] == 2 + count


@pytest.mark.parametrize(
    ("first", "second", "n"),
    [
        ("Session 1", "Session 2", 2),
        ("Session no. 1 – 3 May 2021", "Session no. 2 – 9 May 2021", 2),
        ("Session: 4", "Session: 5", 2),
        # a running head counts pages
        ("Session 1, page 1", "Session 1, page 2", None),
        ("Session 1", "Session 1", None),
    ],
)
def test_a_second_session_in_the_file_is_counted(read, first, second, n):
    lines = [f"{who}: {words}" for who, words in TWO_PAGES]
    (session,) = read("\n".join([first, "", *lines, "", second, "", *lines]))
    assert said(session) == TWO_PAGES * 2
    assert session.meta.get("sessions_in_file") == n


@pytest.mark.parametrize("head", ["{}\n\n12{}", "Page {1}\n{0}", "{}"])
def test_heads_of_pages_that_no_title_tells(read, head):
    pages = ["\n".join(f"{who}: {words}" for who, words in TWO_PAGES)] * 4
    words = "Verbatim, study of sleep" if head == "{}" else "Study of sleep"
    text = pages[0]
    for n, page in enumerate(pages[1:]):
        text += f"\n\n{head.format(words, n)}\n\n{page}"
    assert said(read(text)[0]) == TWO_PAGES * 4


@pytest.mark.parametrize(
    ("text", "talk"),
    [
        # an answer has a label, or does not count up, or stands among words
        ("T: How many?\n\nC:\n\n14\n\nT: So.", "14"),
        ("T: How many?\nC: 14\n\nT: So.", "14"),
        ("T: How many?\nC: Once\n14\nT: So.", "Once 14"),
        ("T: How many?\nC: Well,\n\n14\n\n12\n\nT: So.", "Well, 14 12"),
        ("T: Where?\nC: It was on\npage 2\nof it.\nT: So.", "It was on page 2 of it."),
        ("T: Where?\nC:\nPage 2\nT: So.", "Page 2"),
        ("T: So?\nC: No.\n\nYeah\n\n[nods]\n\nYeah\n\nYeah\n\nT: So.", "No. Yeah [nods] Yeah Yeah"),
        ("T: So?\nC: No.\n\nI know\n\n4\n\nI know\n\n5\n\nT: So.", "No. I know I know"),
        ("Week 1\n\nT: So?\nC: No.\nWeek 2\nwas bad.\nT: So.", "No. Week 2 was bad."),
    ],
)
def test_numbers_and_short_lines_among_the_talk_stay(read, text, talk):
    assert read(text)[0].utterances[1].text == talk


@pytest.mark.parametrize(
    "end",
    [
        "[Recording ends at 51:20]",
        "[Audio ends]",
        "[Interview ends]",
        "End of session 4",
        "End of recording 51:20",
        "[End of transcript 00:51:20]",
        "-- End of session --",
        "*** END ***",
        "END",
        "Anna Smith stopped transcription",
        "Meeting ended after 00:51:20",
        "Transcription ended after 00:51:20",
    ],
)
@pytest.mark.parametrize("notes", ["", "\n\nField notes\nThe client wept", "\nNotes: she wept.\n\nTotal: 9:20"])
def test_after_the_end_there_is_no_talk_without_a_label(read, end, notes):
    lines = [f"{who}: {words}" for who, words in TWO_PAGES]
    (session,) = read("\n".join([*lines, "", end]) + notes)
    assert said(session) == TWO_PAGES
    assert session.meta == ({"header_lines": 2} if notes else {})
    # a pause, a new tape: the one who spoke goes on
    assert said(read("\n".join([*lines[:2], end, "At all.", *lines[2:]]))[0])[1:3] == [
        ("C", "Nothing. At all."),
        TWO_PAGES[2],
    ]


@pytest.mark.parametrize("label", ["Client", "Anna (client)"])
@pytest.mark.parametrize("who", ["K12", "Anna Quill"])
def test_one_who_takes_part_beside_facts_is_no_talk(read, label, who):
    talk = f"Therapist: So?\n{label}: No.\nTherapist: Why?\n{label}: Anna.\n"
    facts = f"Client: {who}\nSession: 3\nDate: 2024-03-02\n"
    (session,) = read(f"{facts}\n{talk}")
    assert [u.text for u in session.utterances] == ["So?", "No.", "Why?", "Anna."]
    assert (session.meta["date"], session.meta["header_lines"]) == ("2024-03-02", 3)


@pytest.mark.parametrize("top", ["Client: Anna", "Client: Anna\nI think", "Client: I know.\nDate: 2024-03-02"])
def test_a_first_turn_that_could_be_a_name_or_stands_above_a_fact_is_talk(read, top):
    (session,) = read(f"{top}\n\nTherapist: So?\nClient: No.\nTherapist: Why?\nClient: Anna.\n")
    assert session.utterances[0].speaker == "Client"


def test_a_label_mistyped_below_the_end_is_told(read):
    talk = "Therapist: So?\nClient: No.\n[End of recording]\n{}"
    assert read(talk.format("Cleint: I lied."))[0].meta == {"header_lines": 1, "labels_in_talk": 1}
    assert read(talk.format("Affect: flat\nRisk: none\nSarah: call"))[0].meta == {"header_lines": 3}


@pytest.mark.parametrize(
    "foot",
    [
        "Transcribed by JK, checked by LM",
        "Typed by Jo K. Weber",
        "This editable transcript was computer generated and might contain errors. People can also change it later.",
    ],
)
def test_who_or_what_made_the_transcript_is_no_talk(read, foot):
    lines = [f"{who}: {words}" for who, words in TWO_PAGES]
    assert said(read("\n".join([*lines, "", foot]))[0]) == TWO_PAGES
    assert said(read("\n".join([*lines, "", "[Recording ends]", foot]))[0]) == TWO_PAGES


@pytest.mark.parametrize("line", ["so that was the end", "end", "she stopped transcription", "the session ended badly"])
def test_words_about_an_end_are_talk(read, line):
    assert read(f"T: So?\nC: Well,\n{line}\nand I left.")[0].utterances[1].text == f"Well, {line} and I left."


@pytest.mark.parametrize("first", ["So how was the week?", "And that was it.", "We said we would call M. today."])
def test_words_before_the_first_label_are_no_title(read, first):
    assert said(read(f"{first}\n\nC: Fine.\nT: Good.\nC: Yes.")[0])[0] == (None, first)


CODED = "AW: How was the week?\nK12: Long.\nAW: What made it long?\nK12: Work."


@pytest.mark.parametrize(
    "head",
    [
        "Therapist: AW (female, 45)\nClient: K12, f, 31\n\n",
        "Therapist: AW (female, 45)\nClient: K12, f, 31\n",
        "Interviewer: Anna Weber (AW)\nParticipant: K12\n\n",
        "Intake\n\nAW: therapist\nK12: client\n\n",
        "AW = Therapist\nK12 = Client (31)\n\n",
        "Participants: AW (therapist), K12 (client)\n\n",
        "Participants: AW (therapist, 45); K12 (client, f, 31)\n",
        "Speakers: Therapist (AW) and client (K12)\n\n",
        "Present: AW (female therapist)/K12 (client)\n\n",
        "Key: AW = therapist, K12 = client\n\n",
        "Participants: Anna Weber (AW, therapist), K12 (client) & an observer\n\n",
    ],
)
def test_a_header_says_who_has_which_role(read, head):
    (session,) = read(head + CODED)
    assert said(session) == [tuple(line.split(": ")) for line in CODED.split("\n")]
    assert session.roles == {"aw": "therapist", "k12": "client"}
    assert session.meta == {"header_lines": sum(map(bool, head.split("\n")))}


def test_a_header_names_labels_that_come_once(read):
    (session,) = read("Therapist: AW (female, 45)\nClient: k12, f, 31\n\nAW: How was the week?\nk12: It did not help.")
    assert said(session) == [("AW", "How was the week?"), ("k12", "It did not help.")]
    assert session.roles == {"aw": "therapist", "k12": "client"}


def test_a_header_of_the_letters_that_are_the_labels(read):
    (session,) = read("P: Psychologist\nC: Client\n\nP: How was it?\nC: Fine.\nP: Good.\nC: Yes.")
    assert len(session.utterances) == 4
    assert session.roles == {"p": "therapist", "c": "client"}


@pytest.mark.parametrize(
    "first",
    ["Therapist: AW, come in and take a seat.", "Therapist: Is AW here?", "AW: Client 7?", "AW: Doctor.", "C: Doctor"],
)
def test_words_to_somebody_are_not_a_header(read, first):
    (session,) = read(f"{first}\n\n{CODED}")
    assert said(session)[0] == tuple(first.split(": "))
    assert not session.roles


def test_first_words_of_a_speaker_are_not_a_header(read):
    assert len(read("Nurse: Come in.\n\nT: a\nC: b\nT: c\nC: d")[0].utterances) == 5


ROLES = "Therapist: How was it?\nClient: Bad.\nTherapist: Bad?\nClient: Yes."


@pytest.mark.parametrize(
    "head",
    [
        "Session 4\nTherapist: Anna Smith\nClient: Jane\n\n",
        "Therapist: Anna Smith\nClient: Jane Doe\n\n",
        "Date: 12 March 2020\nTherapist: Anna Smith\nClient: Jane Doe\n",
        "Session 4\n\nTherapist: Dr. Smith\nClient: Jane D.\n\n",
        "Client: 34-year-old woman\nTherapist: male CBT therapist\n\n",
        "SESSION TRANSCRIPT\n\nTherapist: Anna Smith, PsyD\nClient: Jane D., 34 years\nDate: 12 March 2020\n\n",
        'Therapist: A. S.\nClient: "Jane"\nDate: 1/1/2020\n\n',
    ],
)
def test_a_title_block_says_who_takes_part(read, head):
    (session,) = read(head + ROLES)
    assert said(session) == [tuple(line.split(": ")) for line in ROLES.split("\n")]
    assert session.meta["header_lines"] == sum(map(bool, head.split("\n")))


def test_a_title_block_says_of_labels_that_come_once_who_takes_part(read):
    (session,) = read("Therapist (T): female, 45 years\nClient (C): man, 23\n\nT: a\nC: b\nT: c\nC: d")
    assert "".join(u.text for u in session.utterances) == "abcd"


@pytest.mark.parametrize(
    "head",
    [
        "Date: 3 May 2021\nTherapist: Morning, Jane\n\nClient: Morning\n\n",
        "Date: 3 May 2021\nTherapist: Morning, Jane\nClient: Morning\n\n",
        "Date: 2020-01-01\nTherapist: Welcome\n\nClient: Thanks for having me.\n\n",
        "Therapist: Welcome\nClient: Cheers\n\n",
        "Therapist: Welcome Back\nClient: Cheers Anna\n",
        "Therapist: Item one\nClient: 3\n\n",
        "Therapist: Item 1\nClient: 3\n",
        "Therapist: So he is a man\nClient: A man\n\n",
        "Therapist: How many years\nClient: 3 years\n\n",
        "Therapist: Anna Smith\nClient: Jane Doe here\n\n",
        "Therapist: Anna Smith.\nClient: Jane Doe.\n\n",
    ],
)
def test_how_they_greet_is_no_title_block(read, head):
    said_first = [tuple(line.split(": ")) for line in head.split("\n") if line and "Date" not in line]
    assert said(read(head + ROLES)[0])[:2] == said_first + said(read(ROLES)[0])[: 2 - len(said_first)]


def test_text_without_speakers_is_read_without_speakers(read):
    (session,) = read("how are you\nfine thanks\n[silence 12s]\nwell")
    assert said(session) == [(None, "how are you"), (None, "fine thanks"), (None, "[silence 12s]"), (None, "well")]


def test_white_space_is_single_and_the_rest_verbatim(read):
    (session,) = read("T:  It’s \t“so”\u00a0 odd -- isn't\n   it…  \nC: ok")
    assert session.utterances[0].text == "It’s “so” odd -- isn't it…"


# Encodings

TALK = "T: Don’t you – café?\nC: “Yes”, naïve.\n"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_and_line_ends(read, encoding, name, ends):
    (session,) = read(TALK.replace("\n", ends).encode(encoding))
    assert said(session) == [("T", "Don’t you – café?"), ("C", "“Yes”, naïve.")]
    assert session.encoding == name
    assert [u.line for u in session.utterances] == [1, 2]


def test_utf16_big_endian_with_mark(read):
    assert said(read(b"\xfe\xff" + TALK.encode("utf-16-be"))[0])[1] == ("C", "“Yes”, naïve.")


def test_right_to_left_utf16_without_mark(read):
    text = "מטפלת: שלום לך היום\r\nלקוח: תודה רבה\r\nמטפלת: כן\r\nלקוח: לא"
    assert [w for _, w in said(read(text.encode("utf-16-le"))[0])] == ["שלום לך היום", "תודה רבה", "כן", "לא"]


def test_last_resort_for_other_encodings(read):
    text = "Терапевт: как вы себя чувствуете сегодня\nКлиент: хорошо спасибо большое\n" * 10
    assert said(read(text.encode("cp1251"))[0])[0] == ("Терапевт", "как вы себя чувствуете сегодня")


def test_encoding_that_is_given(read):
    assert said(read("T: Žena\nC: ne".encode("cp1250"), encoding="cp1250")[0])[0] == ("T", "Žena")


# Captions

ZOOM = """WEBVTT

1
00:00:01.250 --> 00:00:03.750
Ann Lee: How was it &amp; why?

2
00:00:04.000 --> 00:00:05.999
Sam's iPhone: Fine, I told
him: no.

NOTE nobody
says this

3
00:00:06.000 --> 00:00:07.000
and then

4
01:00:06.000 --> 01:00:07.001
Ann Lee: Mm-hm.
Sam's iPhone: Yeah.
"""


def test_zoom_webvtt(read):
    (session,) = read(ZOOM, "s.vtt")
    assert session.format == "vtt"
    assert said(session) == [
        ("Ann Lee", "How was it & why?"),
        ("Sam's iPhone", "Fine, I told him: no."),
        ("Sam's iPhone", "and then"),
        ("Ann Lee", "Mm-hm."),
        ("Sam's iPhone", "Yeah."),
    ]
    assert times(session) == [(1.25, 3.75), (4.0, 5.999), (6.0, 7.0), (3606.0, 3607.001), (3606.0, 3607.001)]
    assert [u.source_id for u in session.utterances] == ["1", "2", "3", "4", "4"]
    assert not session.numbered
    assert session.utterances[0].line == 4


def test_teams_webvtt_keeps_the_voices_in_a_cue_apart(read):
    (session,) = read(
        "WEBVTT\n\nabc-0/1\n00:01.500 --> 00:03.000 align:start\n<v Ann &amp; Lee>How <b>was</b> it?</v>\n"
        "<v.loud Client>Fine.\nReally.</v>\n\n00:04.000 --> 00:05.000\n<v Client>I told him: no</v>\n\n"
        "00:06.000 --> 00:07.000\n[silence 9s]\n\n00:08.000 --> 00:09.000\nnobody's words\n"
    )
    assert said(session) == [
        ("Ann & Lee", "How was it?"),
        ("Client", "Fine. Really."),
        ("Client", "I told him: no"),
        (None, "[silence 9s]"),
        (None, "nobody's words"),
    ]
    assert times(session)[:2] == [(1.5, 3.0), (1.5, 3.0)]


def cues(*lines):
    return "".join(f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\n{line}\n\n" for n, line in enumerate(lines, 1))


def test_srt(read):
    (session,) = read(
        "1\r\n00:00:01,250 --> 00:00:03,750\r\n<i>Therapist:</i> How was it?\r\n\r\n"
        "2\r\n00:00:04,000 --> 00:00:05,000\r\n{\\an8}Client: Three -->\r\n\r\n42 times.\r\n"
        "3\r\n00:00:06,000 --> 00:00:07,000\r\n[silence 9s]\r\n",
        "s.srt",
    )
    assert said(session) == [("Therapist", "How was it?"), ("Client", "Three --> 42 times."), (None, "[silence 9s]")]
    assert times(session) == [(1.25, 3.75), (4.0, 5.0), (6.0, 7.0)]


TEAMS = (
    "0:0:3.450 --> 0:0:7.10\nOsei, R.\nHow was the week?\n\n0:0:7.500 --> 0:0:9.0\nK12\nLong. I told him: no.\nAnd "
    "went.\n\n0:0:11.20 --> 0:0:13.0\nOsei, R.\nWhy?\n\n0:0:13.50 --> 0:0:14.0\nK12\nWork.\n"
)


@pytest.mark.parametrize("name", ["s.txt", "s.srt", "s.vtt"])
@pytest.mark.parametrize("cut", [0, TEAMS.index("0:0:7")])
@pytest.mark.parametrize(
    "more", ["", "\n0:0:20.0 --> 0:0:29.0\n[silence 9s]\n\n0:0:30.0 --> 0:0:31.0\nTom Ray\nHello.\n"]
)
def test_a_name_between_the_times_and_the_words(read, name, cut, more):
    (session,) = read(TEAMS[cut:] + more, name)
    talk = [
        *[("Osei, R.", "How was the week?")][cut:],
        *[("K12", "Long. I told him: no. And went."), ("Osei, R.", "Why?"), ("K12", "Work.")],
        *([(None, "[silence 9s]"), ("Tom Ray", "Hello.")] if more else []),
    ]
    assert said(session) == talk
    assert times(session)[-1] == ((30.0, 31.0) if more else (13.5, 14.0))


def test_first_lines_of_captions_are_words_unless_they_name_who_speaks(read):
    first = ["So how was it", "Yesterday", "I told him no", "Yesterday", "Fine", "Long"]
    (session,) = read(cues(*(f"{line}\nand so on" for line in first)), "s.srt")
    assert [u.text for u in session.utterances] == [f"{line} and so on" for line in first]


def test_captions_without_speakers(read):
    (session,) = read("WEBVTT\n\n00:01.000 --> 00:02.000\nhow are you\n\n00:02.000 --> 00:03.000\nfine\n")
    assert said(session) == [(None, "how are you"), (None, "fine")]


def test_a_name_that_speaks_once_in_captions(read):
    cues = ["Ann: a", "Ben: b", "Ann: c", "Tom Ray: d", "Ben: e"]
    body = "".join(f"00:0{n}.000 --> 00:0{n}.500\n{cue}\n\n" for n, cue in enumerate(cues))
    assert said(read("WEBVTT\n\n" + body)[0])[3] == ("Tom Ray", "d")


# Tables


def test_many_sessions_in_one_table(read):
    sessions = read(
        "session_id,turn,speaker,start,text,client_id,date\n"
        "b,0,therapist,00:00:13,Hello  there.,k1,2020-01-02\n"
        'a,0,therapist,,"Well, hi",k2,\n'
        'b,1,client,00:00:14,"said ""no""\nand left",k1,\n'
        "a,1,client,,,k2,\n"
        "a,2,client,-3,Ok.,k2,\n",
        "s.csv",
    )
    assert [s.id for s in sessions] == ["b", "a"]
    assert [s.numbered for s in sessions] == [True, True]
    assert sessions[0].meta == {"client_id": "k1", "date": "2020-01-02"}
    assert sessions[0].utterances == (
        Utterance("therapist", "Hello there.", 13.0, None, 2, "0"),
        Utterance("client", 'said "no" and left', 14.0, None, 4, "1"),
    )
    assert sessions[1].utterances == (
        Utterance("therapist", "Well, hi", None, None, 3, "0"),
        Utterance("client", "Ok.", None, None, 7, "2"),
    )


@pytest.mark.parametrize(
    "header",
    [
        "speaker,text,start,end",
        "interlocutor,utterance_text,timestamp,end_time",
        "Role,Utterance,Start Time,End Time",
        "Participant,Content,Onset,Offset",
        "Speaker Label,Transcript,start_s,end_s",
        "Name,Text,Start,End",
        "Person,Text,Start,End",
        "Speaker(s),Text,Start,End",
        "Speaker/Role,Text,Start,End",
        "Speaker,Said,Start,End",
        "Speaker,Sentence,Start,End",
    ],
)
def test_column_names_that_people_use(read, header):
    (session,) = read(header + "\nT,Hello.,1.5,00:00:02\n", "s.csv")
    assert session.utterances == (Utterance("T", "Hello.", 1.5, 2.0, 2, None),)


def test_talk_that_stands_tier_after_tier_is_put_in_the_order_of_its_times(read):
    talk = [("T", "So?", 1), ("C", "No.", 4), ("T", "Why?", 7), ("C", "Well.", 9), ("T", "Mm.", 12), ("C", "Yes.", 15)]
    tiers = [turn for who in "TC" for turn in talk if turn[0] == who]
    forms = {"s.csv": ("speaker,start,text\n", "{0},{2},{1}\n"), "s.txt": ("", "{0}\t\t{2}.0\t{2}.5\t{1}\n")}
    for name, (head, form) in forms.items():
        expected = [turn[:2] for turn in talk]
        assert said(read(head + "".join(form.format(*turn) for turn in tiers), name)[0]) == expected
        # a speech and a speech after it, and what only goes back once, stay
        after = [*talk[::2], *((who, words, s + 20) for who, words, s in talk[1::2])]
        assert said(read(head + "".join(form.format(*turn) for turn in after), name)[0]) == [turn[:2] for turn in after]
        back = [*talk[2:], *talk[:2]]
        assert said(read(head + "".join(form.format(*turn) for turn in back), name)[0]) == [turn[:2] for turn in back]


@pytest.mark.parametrize("opens", [">> ", ">>", "- ", "&gt;&gt; "])
def test_what_captions_write_before_a_label_is_no_part_of_it(read, opens):
    cues = [f"{opens}THERAPIST: So?\n{opens}CLIENT: No.", "Why would I?", f"{opens}THERAPIST: I see."]
    (session,) = read("WEBVTT\n\n" + "".join(f"00:0{n}.000 --> 00:0{n}.900\n{cue}\n\n" for n, cue in enumerate(cues)))
    assert [(u.speaker, u.text) for u in session.utterances] == [
        ("THERAPIST", "So?"),
        ("CLIENT", "No."),
        ("CLIENT", "Why would I?"),
        ("THERAPIST", "I see."),
    ]


@pytest.mark.parametrize("header", ["Timespan,Content,Speaker", "Time,Text,Speaker", "Timecode,Text,Speaker"])
@pytest.mark.parametrize("form", ["0:01.5 - 0:02.0", "00:00:01.5–00:00:02", "1.5 to 2.0", "0:01.5—0:02"])
def test_start_and_end_in_one_cell(read, header, form):
    assert times(read(f"{header}\n{form},Hello.,T\n0:03,No.,C\n", "s.csv")[0]) == [(1.5, 2.0), (3.0, None)]
    # a day and hours are no time of the recording
    assert times(read(f"{header}\n2020-01-02,Hello.,T\n10-12,No.,C\n", "s.csv")[0]) == [(None, None)] * 2


@pytest.mark.parametrize(
    "table",
    [
        "speaker;text\nT;well, hi\n",
        "sep=;\nspeaker;text\nT;well, hi\n",
        "\ufeffspeaker\ttext\nT\twell, hi\n",
        "speaker|text\nT|well, hi\n",
        'My study\n\nspeaker,text\nT,"well, hi"\n',
    ],
)
def test_delimiters_and_titles(read, table):
    assert said(read(table, "s.csv")[0]) == [("T", "well, hi")]


@pytest.mark.parametrize("point", [",", "."])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("title", ["", "Study of 2024, second wave\n"])
def test_columns_of_unknown_names_are_counted_and_parted(read, point, delimiter, title):
    rows = ["nr;von;bis;wer;gesagt;code"]
    rows += [f"{n};{n}{point}25;{n}{point}75;T;Well, so, and?;" for n in range(4)]
    table = title + "\n".join(rows).replace(";", delimiter)
    with pytest.raises(ReadError, match=r"in 6 columns\. .*--columns \"text=NAME,speaker=NAME\"") as caught:
        read(table, "s.csv")
    assert "gesagt" not in str(caught.value)
    if not title:
        (session,) = read(table, "s.csv", columns={"text": "gesagt", "speaker": "wer", "start": "von"})
        assert session.utterances[1] == Utterance("T", "Well, so, and?", 1.25, None, 3, None)


def test_the_rule_below_the_header_of_a_markdown_table_is_no_talk(read):
    (session,) = read("| Speaker | Text |\n|:---|---:|\n| T | So? |\n| C | - |\n", "s.md")
    assert said(session) == [("T", "So?"), ("C", "-")]


HARBOUR = [
    ("Therapist", "How was the harbour, then?"),
    ("Client", "Cold, and very loud; no good."),
    ("Therapist", "What made it loud?"),
    ("Client", "The gulls did, I suppose."),
]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ('{speaker},"{text}"', "s.csv"),
        ('{n};00:0{n}:10;{speaker};"{text}"', "s.csv"),
        ("{n}\t{speaker}\t{text}", "s.tsv"),
        ('"{text}",{speaker},00:00:0{n}', "s.csv"),
    ],
)
def test_a_table_of_talk_alone_needs_no_header(read, row, name):
    rows = [row.format(n=n, speaker=speaker, text=text) for n, (speaker, text) in enumerate(HARBOUR, start=1)]
    (session,) = read("\n".join(rows), name)
    assert said(session) == HARBOUR
    assert [u.line for u in session.utterances] == [1, 2, 3, 4]
    if "00:0{n}:10" in row:
        assert [u.start_s for u in session.utterances] == [70, 130, 190, 250]
        assert session.numbered


def test_a_workbook_of_talk_alone_needs_no_header(tmp_path):
    book = openpyxl.Workbook()
    for row in HARBOUR:
        book.active.append(row)
    book.create_sheet("codes").append(["Client", 3])
    book.save(tmp_path / "s.xlsx")
    assert [said(session) for session in read_sessions(tmp_path / "s.xlsx")] == [HARBOUR]


def test_each_party_in_a_column_of_a_table(read):
    (session,) = read("Therapist;Client\nHow was it, then?;Not good at all.\nHow so?;\n;Well, it was loud.\n", "s.csv")
    assert said(session) == [
        ("Therapist", "How was it, then?"),
        ("Client", "Not good at all."),
        ("Therapist", "How so?"),
        ("Client", "Well, it was loud."),
    ]


def test_names_that_are_given_make_talk_of_a_table_without_header(read):
    table = "Ana,How was it then?\nBen,Not good at all.\nAna,How so was it?\nBen,Well it was loud.\n"
    (session,) = read(table, "s.csv", labels=["Ana", "Ben"])
    assert [u.speaker for u in session.utterances] == ["Ana", "Ben", "Ana", "Ben"]
    with pytest.raises(ReadError, match="in a first row"):
        read(table, "s.csv")


@pytest.mark.parametrize(
    "row",
    [
        "S1,{speaker},withdrawal\n",
        "S1,{speaker},{text}\n",
        "{speaker},{text},noted with care on the day\n",
        "K0{n},Client,{text}\n",
        "{n},female,treated for two years\n",
        # a line break in the words, without quotation marks: the rest of them would be lost
        "{speaker},{text}\nas he said that day\n",
        # a delimiter in the words, without quotation marks: the rest of them would be lost
        "{speaker},{text}, he said\n",
    ],
)
def test_tables_that_may_be_something_else_are_not_taken_for_talk(read, row):
    table = "".join(
        row.format(n=n, speaker=speaker, text=text.replace(",", "")) for n, (speaker, text) in enumerate(HARBOUR * 2)
    )
    with pytest.raises(ReadError, match="no column for the words"):
        read(table, "s.csv")


ASKED = [("T", "How was the harbour?"), ("C", "Cold."), ("T", "Cold, the harbour?"), ("C", "Cold.")]


def both(header, row):
    """Write what is said as a table and as objects, under a header and by the form of a row."""
    rows = [row.format(n=n, who=who, said=words) for n, (who, words) in enumerate(ASKED, 1)]
    table = "\n".join([header, *rows])
    return {"s.csv": table, "s.json": json.dumps(list(csv.DictReader(io.StringIO(table))))}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Utterance,Speaker,Sentence", '{n},{who},"{said}"'),
        ("Utterance,Speaker,Sentence", 'U{n},{who},"{said}"'),
        ("Speaker,Words,Said", '{who},{n},"{said}"'),
        ("Transcript,Speaker,Line,Said", 'P01_S1,{who},{n},"{said}"'),
        ("Transcript,Speaker,Said", 'first visit,{who},"{said}"'),
        ("Speaker,Sentence,Content", '{who},"{said}",work stress'),
        ("Speaker,Sentence,Content", '{who},"{said}",topic {n}'),
        ("Speaker,Dialogue,Text", '{who},"{said}",'),
        ("Speaker,Said,Content", '{who},"{said}",work of {who}'),
        ("Content,Speaker,Said", 'mother of {who},{who},"“{said}”"'),
    ],
)
def test_a_column_of_numbers_of_one_value_or_of_topics_is_not_the_words(read, header, row):
    for name, content in both(header, row).items():
        assert [(who, words.strip("“”")) for who, words in said(read(content, name)[0])] == ASKED


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Utterance,Speaker,Gesagt", '{n},{who},"{said}"'),
        ("Transcript,Speaker,Gesagt", 'first visit,{who},"{said}"'),
        ("Speaker,Words,Speech,Gesagt", '{who},{n},fast,"{said}"'),
    ],
)
def test_where_no_column_that_is_known_has_the_words_none_is_guessed(read, header, row):
    for name, content in both(header, row).items():
        with pytest.raises(ReadError, match=r'--columns "text=NAME"') as caught:
            read(content, name)
        assert not re.search("harbour|fast|visit", str(caught.value))
        assert said(read(content, name, columns={"text": "gesagt"})[0]) == ASKED


def test_a_word_that_all_say_and_a_number_that_one_says_are_talk(read):
    assert [u.text for u in read("speaker,text,coder\nT,Mm.,A\nC,Mm.,B\n", "s.csv")[0].utterances] == ["Mm.", "Mm."]
    assert [u.text for u in read("speaker,text\nT,Count.\nC,1\nT,2\n", "s.csv")[0].utterances] == ["Count.", "1", "2"]


def test_numbers_of_turns_beside_the_speakers_of_a_table(read, tmp_path):
    rows = [["T1", "Hi."], ["C1", "Hello."], ["", "[silence 9s]"], ["T2", "So?"], ["C2", "Fine."]]
    document = docx.Document()
    table_in(document, rows)
    document.save(tmp_path / "s.docx")
    from_table = read("speaker,text\n" + "\n".join(map(",".join, rows)), "s.csv")
    for (session,) in (from_table, read_sessions(tmp_path / "s.docx")):
        assert session.numbered
        assert [(u.speaker, u.source_id) for u in session.utterances] == [
            ("T", "1"),
            ("C", "1"),
            (None, None),
            ("T", "2"),
            ("C", "2"),
        ]
    # these tell people apart
    (session,) = read("speaker,text\nT1,So?\nC1,No.\nC2,Yes.\nC1,Well.\n", "s.csv")
    assert not session.numbered
    assert [u.speaker for u in session.utterances] == ["T1", "C1", "C2", "C1"]


def test_labels_in_the_words_where_no_column_has_the_speakers(read):
    rows = [(f"00:0{n}", ": ".join(turn)) for n, turn in enumerate(ASKED)]
    rows += [("00:09", "[silence 9s]"), ("00:19", "T: Yes:\nthe harbour.\nC: The one here.")]
    out = io.StringIO()
    csv.writer(out).writerows([("Time", "Transcript"), *rows])
    (session,) = read(out.getvalue(), "s.csv")
    assert said(session)[:-3] == ASKED
    assert said(session)[-3:] == [(None, "[silence 9s]"), ("T", "Yes: the harbour."), ("C", "The one here.")]
    assert times(session) == [*((float(n), None) for n in range(4)), (9.0, None), (19.0, None), (None, None)]
    # and not where a column has them
    assert said(read("speaker,text\nT,C: No.\nC,T: No.\n", "s.csv")[0]) == [("T", "C: No."), ("C", "T: No.")]


def test_tsv_written_without_quoting(read):
    assert said(read('speaker\ttext\nT\t"no" he said\nC\t5" long\n', "s.tsv")[0]) == [
        ("T", '"no" he said'),
        ("C", '5" long'),
    ]


def test_columns_that_are_given(read):
    table = "id,who,text,said\n1,T,internal note,Hello.\n2,C,internal note,Hi.\n"
    sessions = read(table, "s.csv", columns={"text": "said", "speaker": "who", "session": "id"})
    assert [(s.id, said(s)) for s in sessions] == [("1", [("T", "Hello.")]), ("2", [("C", "Hi.")])]


def test_a_role_column_beats_a_name_column(read):
    table = "speaker,role,text\nAnn,therapist,Hello.\nBen,client,Hi.\n"
    assert said(read(table, "s.csv")[0]) == [("therapist", "Hello."), ("client", "Hi.")]
    assert said(read(table, "s.csv", columns={"speaker": "speaker"})[0])[0] == ("Ann", "Hello.")


def test_rows_for_each_coder_are_one_turn(read):
    (session,) = read("turn,speaker,text,coder\n1,T,Hello.,A\n1,T,Hello.,B\n2,C,Hello.,A\n2,C,Hello.,B\n", "s.csv")
    assert said(session) == [("T", "Hello."), ("C", "Hello.")]
    assert session.numbered
    assert session.meta == {"duplicate_rows": 2}


def test_numbers_that_repeat_do_not_number_turns(read):
    (session,) = read("turn,speaker,text\n1,T,Hello.\n1,T,How was it?\n2,C,Fine.\n", "s.csv")
    assert not session.numbered
    assert [u.source_id for u in session.utterances] == ["1", "1", "2"]


@pytest.mark.parametrize(
    ("header", "rows", "ids"),
    [
        ("client_id,session,turn", ("K1,1,1", "K1,1,2", "K2,1,1", "K2,1,2"), ("K1-1", "K1-1", "K2-1", "K2-1")),
        ("client_id,session", ("K1,1", "K1,2", "K2,1", "K2,2"), ("K1-1", "K1-2", "K2-1", "K2-2")),
        ("client_id,session_number", ("K1,1", "K1,2", "K2,1", "K2,1"), ("K1-1", "K1-2", "K2-1", "K2-1")),
        ("client_id,date", ("K1,2020-01-02", "K1,2020-01-09", "K2,2020-01-02"), None),
        ("client_id,date", ("K1,2020-01-02 09:00", "K1,2020-01-02 09:01", "K1,2020-01-02T09:02:11Z"), (None,) * 3),
        ("client_id,date", ("K1,1709283600", "K1,1709283605", "K1,1709283611"), (None,) * 3),
        ("client_id", ("K1", "K1", "K2"), ("K1", "K1", "K2")),
        ("session_number", ("1", "1", "2"), ("1", "1", "2")),
        # empty cells stand for what is above, and no session goes on from one client to the next
        ("client_id,session", ("K1,1", ",", ",2", "K2,1", ","), ("K1-1", "K1-1", "K1-2", "K2-1", "K2-1")),
        ("client_id,session_number", ("K1,1", ",", "K2,", ",2"), ("K1-1", "K1-1", "K2", "K2-2")),
        # where ids are unique, they stay, in whatever order the rows come
        ("client_id,session", ("K1,a", "K2,b", ",a", ",b"), ("a", "b", "a", "b")),
        ("client_id,session,session_number", ("K1,a,1", "K1,a,2"), ("a", "a")),
        ("client_id,session_number", (",1", "K1,1", ",1"), (None,) * 3),
    ],
)
def test_rows_of_two_clients_are_never_one_session(read, header, rows, ids):
    if ids is None:
        ids = tuple(row.replace(",", "-") for row in rows)
    table = "".join(f"{row},T,Mm.\n" for row in rows)
    sessions = read(f"{header},speaker,text\n{table}", "s.csv")
    assert [s.id for s in sessions] == list(dict.fromkeys(ids))
    found = {u.line: s.id for s in sessions for u in s.utterances}
    assert [found[line] for line in range(2, len(rows) + 2)] == list(ids)
    for session in sessions:
        named = {rows[u.line - 2].split(",")[0] for u in session.utterances} - {""}
        assert len(named) < 2 or "client_id" not in header
        assert "client_id" not in header or session.meta["client_id"] in (named or {"K1", "K2"})
        assert "duplicate_rows" not in session.meta


def test_clients_who_take_turns_in_a_session_are_refused(read):
    with pytest.raises(ReadError, match=r"s\.csv, line 4: .*client_ids take turns") as error:
        read("client_id,session,speaker,text\nMeadow,1,T,So?\nHarbour,1,C,No.\nMeadow,1,C,Yes.\n", "s.csv")
    assert not re.search("Meadow|Harbour|Yes", str(error.value).replace("s.csv", ""))


def test_a_made_id_is_no_other_sessions(read):
    with pytest.raises(ReadError, match=r"line 4: .*the same id"):
        read("client_id,session,speaker,text\nK,1-1,T,a\nK2,1-1,T,b\nK-1,1,T,c\n", "s.csv")


def test_a_session_without_words_stays_in_sight(read):
    assert [(s.id, len(s.utterances)) for s in read("session,speaker,text\na,T,Hi.\nb,T,\n", "s.csv")] == [
        ("a", 1),
        ("b", 0),
    ]


def test_workbook(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Our study"])
    sheet.append(["Session", "Turn", "Speaker", "Start", "Text", "Date"])
    sheet.append([12, 1, "T", datetime.time(0, 1, 2), "Hello.", datetime.date(2020, 1, 2)])
    sheet.append([None, 2, "C", datetime.time(2, 5), "Hi\nthere.", None])
    sheet["D4"].number_format = "h:mm"
    sheet.append([13, 1.0, "T", 7.5, "So.", None])
    book.create_sheet("Notes").append(["nothing to see"])
    book.save(tmp_path / "s.xlsx")
    first, second = read_sessions(tmp_path / "s.xlsx")
    assert (first.id, first.format, first.numbered) == ("12", "xlsx", True)
    assert first.meta == {"date": "2020-01-02"}
    assert first.utterances == (
        Utterance("T", "Hello.", 62.0, None, 3, "1"),
        Utterance("C", "Hi there.", 125.0, None, 4, "2"),
    )
    assert second.utterances == (Utterance("T", "So.", 7.5, None, 5, "1"),)


def test_a_sheet_for_each_session(tmp_path):
    book = openpyxl.Workbook()
    for title in ("first", "second"):
        sheet = book.create_sheet(title)
        sheet.append(["speaker", "text"])
        sheet.append(["T", title])
    book.save(tmp_path / "s.xlsx")
    assert [(s.id, said(s)) for s in read_sessions(tmp_path / "s.xlsx")] == [
        ("first", [("T", "first")]),
        ("second", [("T", "second")]),
    ]


@pytest.mark.parametrize("row", [1, 3])
def test_a_column_beyond_those_that_are_read_is_told(tmp_path, row):
    book = openpyxl.Workbook()
    for line in (["speaker", "text"], ["T", "How was it?"], ["C", "Long."]):
        book.active.append(line)
    book.active.cell(2, 16_384, "")
    notes = book.create_sheet("notes")
    notes.cell(1, 16_384, "lantern")
    book.save(tmp_path / "s.xlsx")
    assert len(read_sessions(tmp_path / "s.xlsx")[0].utterances) == 2
    book.active.cell(row, 1_001, "lantern")
    book.save(tmp_path / "s.xlsx")
    with pytest.raises(ReadError, match=rf"s.xlsx, line {row}: .*column 1000") as error:
        read_sessions(tmp_path / "s.xlsx")
    assert "lantern" not in str(error.value)


def test_an_error_in_a_sheet_says_in_which(tmp_path):
    book = openpyxl.Workbook()
    for row in (["speaker", "text"], ["T", "How was it?"], ["C", "Long."]):
        book.active.append(row)
    counts = book.create_sheet("Lantern")
    for row in (["speaker", "words"], ["T", 3], ["C", 1]):
        counts.append(row)
    book.save(tmp_path / "s.xlsx")
    with pytest.raises(ReadError, match=r"s\.xlsx, sheet 2: under the name 'words'") as error:
        read_sessions(tmp_path / "s.xlsx")
    assert "Lantern" not in str(error.value)


def test_sheets_that_count_their_sessions_anew(tmp_path):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title in ("K1", "K2"):
        sheet = book.create_sheet(title)
        for row in (["session", "speaker", "text"], [1, "T", "a"], [2, "T", "b"]):
            sheet.append(row)
    book.save(tmp_path / "s.xlsx")
    assert [s.id for s in read_sessions(tmp_path / "s.xlsx")] == ["K1-1", "K1-2", "K2-1", "K2-2"]


SPOKEN = [
    ("T", "How was the week, then?", 1000, 2900),
    ("C", "Long.", 3200, 3700),
    ("T", "And what made it so long for you?", 4040, 6510),
    ("C", "I don't know. All of it.", 7000, 8900),
]


@pytest.mark.parametrize(
    ("start", "end", "form"),
    [
        ("start", "end", str),
        ("start", "end", "{}.0".format),
        ("start_ms", "end_ms", str),
        ("Start (ms)", "End (ms)", "{}.5".format),
        ("start_ms", "end", str),
        ("start", "end", "{} ms".format),
    ],
)
def test_milliseconds_become_seconds(read, start, end, form):
    rows = "".join(f'{who},"{text}",{form(a)},{form(b)}\n' for who, text, a, b in SPOKEN)
    (session,) = read(f"speaker,text,{start},{end}\n{rows}", "s.csv")
    for found, (*_, a, b) in zip(times(session), SPOKEN, strict=True):
        assert found == pytest.approx((a / 1000, b / 1000), abs=0.001)


def test_starts_alone_in_milliseconds(read):
    rows = "".join(f'{who},"{text}",{start}\n' for who, text, start, _ in SPOKEN)
    (session,) = read(f"speaker,text,start\n{rows}", "s.csv")
    assert times(session) == [(start / 1000, None) for *_, start, _ in SPOKEN]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        # 40 s for a word or two, and the same for notes of five minutes that a column calls seconds
        ("start,end", [("Well.", 0, 40), ("I don't.", 60, 130), ("Mm.", 300, 345)]),
        ("start_s,end_s", [("Well.", 0, 300), ("I don't.", 300, 600)]),
        # one start for all turns of a segment
        ("start,end", [("Mm.", a, "") for a in (0, 300, 600)] + [("And so it went on, " * 20, 900, "")]),
        ("start,end", [("Well.", 0.5, 300.5), ("I don't.", 301, 600)]),
        ("start,end", [("Well.", "00:00", "05:00"), ("I don't.", "05:00", "10:00")]),
    ],
)
def test_slow_talk_in_seconds_stays(read, header, rows):
    table = "".join(f'C,"{text}",{start},{end}\n' for text, start, end in rows)
    (session,) = read(f"speaker,text,{header}\n{table}", "s.csv")
    assert max(u.start_s for u in session.utterances) >= 300


# Word


def test_paragraphs_with_labels(tmp_path):
    document = docx.Document()
    document.add_heading("A session")
    document.add_paragraph("T:\tHow was it?")
    document.add_paragraph("")
    run = document.add_paragraph().add_run("C: Fine.")
    run.add_break()
    run.add_text("T: Good.")
    document.add_paragraph("[silence 12s]")
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session) == [("T", "How was it?"), ("C", "Fine."), ("T", "Good."), (None, "[silence 12s]")]
    assert [u.line for u in session.utterances] == [2, 4, 4, 5]
    assert (session.format, session.encoding) == ("docx", None)


def table_in(document, rows):
    table = document.add_table(rows=0, cols=len(rows[0]))
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [["T:", "How was it, all in all?"], ["C:", "Fine.\nReally."], ["", "[silence 9s]"]],
            [
                (None, "T", None, "How was it, all in all?"),
                (None, "C", None, "Fine. Really."),
                (None, None, None, "[silence 9s]"),
            ],
        ),
        (
            [["00:01:02", "Therapist", "How was it?"], ["00:01:05", "Client", "Fine."]],
            [(None, "Therapist", 62.0, "How was it?"), (None, "Client", 65.0, "Fine.")],
        ),
        (
            [
                ["1.", "How was it, all in all?", "Ann"],
                ["2.", "Fine.", "Ben"],
                ["3.", "Ok.", "Ann"],
                ["4.", "Mm.", "Ben"],
            ],
            [
                ("1", "Ann", None, "How was it, all in all?"),
                ("2", "Ben", None, "Fine."),
                ("3", "Ann", None, "Ok."),
                ("4", "Ben", None, "Mm."),
            ],
        ),
        (
            [["Turn", "Who", "Text"], ["1", "T", "Hi."], ["2", "C", "How are you today?"]],
            [("1", "T", None, "Hi."), ("2", "C", None, "How are you today?")],
        ),
        (
            [["Therapist", "Client"], ["How was it?", "Fine."], ["", "Really."]],
            [
                (None, "Therapist", None, "How was it?"),
                (None, "Client", None, "Fine."),
                (None, "Client", None, "Really."),
            ],
        ),
        (
            [["00:12", "T: How was it?"], ["00:15", "C: Fine."]],
            [(None, "T", 12.0, "How was it?"), (None, "C", 15.0, "Fine.")],
        ),
    ],
)
def test_tables_in_word(tmp_path, rows, expected):
    document = docx.Document()
    document.add_paragraph("Session of 4 May")
    table_in(document, rows)
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert [(u.source_id, u.speaker, u.start_s, u.text) for u in session.utterances] == expected
    assert session.numbered == (expected[0][0] is not None)


@pytest.mark.parametrize(
    "rows",
    [
        [["Nr", "Who", "What was said"], ["1", "Ann", "How was it?"], ["2", "Ben", "Long."], ["3", "Ann", "Why?"]],
        [["Nr", "Person", "Said"], ["1", "T", "How was it?"], ["2", "C", "Long."], ["3", "T", "Why?"]],
        [["At", "Name", "Said"], ["0:01", "Ann", "How was it?"], ["0:04", "Ben", "Long."], ["0:06", "Ann", "Why?"]],
        [["Who", "What was said"], ["Ann", "How was it?"], ["Ben", "Long."], ["Ann", "Why?"]],
        [["Speaker", "What they said"], ["T", "How was it?"], ["C", "Long."], ["T", "Why?"]],
    ],
)
def test_a_header_in_other_words_is_no_row(tmp_path, rows):
    document = docx.Document()
    table_in(document, rows)
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session) == [(row[-2], row[-1]) for row in rows[1:]]


@pytest.mark.parametrize(
    "first", [["", "Nurse", "Come in"], ["1", "Nurse", "Come in"], ["x", "Ann", "Come in"], ["", "Nurse", "Go in."]]
)
def test_a_first_row_of_talk_is_no_header(tmp_path, first):
    document = docx.Document()
    rows = [["2", "Ann", "How was it?"], ["3", "Ben", "Long."], ["4", "Ann", "So?"], ["5", "Ben", "Hm."]]
    table_in(document, [first, *rows, ["6", "Ann", "And?"], ["7", "Ben", "Well."]])
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session)[:2] == [(first[1], first[2]), ("Ann", "How was it?")]


def test_a_header_above_a_table_says_who_has_which_role(tmp_path):
    document = docx.Document()
    document.add_paragraph("Therapist: AW (female, 45)")
    document.add_paragraph("Client: K12")
    table_in(document, [["AW", "How was it?"], ["K12", "Long."], ["AW", "Why?"], ["K12", "Work."]])
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert [u.speaker for u in session.utterances] == ["AW", "K12"] * 2
    assert session.roles == {"aw": "therapist", "k12": "client"}


def test_a_transcript_of_teams(tmp_path):
    document = docx.Document()
    for line in ("Weekly Session Lopez", "May 4, 2024, 1:00PM", "43m 12s", ""):
        document.add_paragraph(line)
    for head, words in (
        ("Lopez, Maria   0:03", "How is it?"),
        ("Tan, Jake   0:09", "Fine."),
        ("Lopez, Maria   0:12", "Ok."),
    ):
        paragraph = document.add_paragraph().add_run(head)
        paragraph.add_break()
        paragraph.add_text(words)
        document.add_paragraph("")
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session) == [("Lopez, Maria", "How is it?"), ("Tan, Jake", "Fine."), ("Lopez, Maria", "Ok.")]
    assert times(session) == [(3.0, None), (9.0, None), (12.0, None)]


def test_facts_in_a_small_table_above_the_talk(tmp_path):
    document = docx.Document()
    table_in(document, [["Date", "2020-01-02"], ["Client ID", "77"]])
    for line in ("T: a", "C: b", "T: c"):
        document.add_paragraph(line)
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert [u.text for u in session.utterances] == list("abc")
    assert session.meta == {"date": "2020-01-02", "client_id": "77", "header_lines": 2}


FACTS = [["Therapist", "R. Osei"], ["Client", "K12"], ["Date", "2024-03-21"]]


@pytest.mark.parametrize("facts", [FACTS, FACTS[::-1], [*FACTS, ["Clinic", "North"], ["Duration", "48 min"]]])
@pytest.mark.parametrize("labels", [("Therapist", "Client"), ("T", "C"), ("R. Osei", "K12")])
@pytest.mark.parametrize("form", ["paragraphs", "table", "one table", "text"])
def test_therapist_client_and_date_above_the_talk_are_no_talk(tmp_path, facts, labels, form):
    talk = [[labels[n % 2], f"Word {n}."] for n in range(4)]
    if form == "text":
        (tmp_path / "s.txt").write_text("\n".join(": ".join(row) for row in [*facts, [""], *talk]))
        (session,) = read_sessions(tmp_path / "s.txt")
    else:
        document = docx.Document()
        table_in(document, facts + talk if form == "one table" else facts)
        if form == "table":
            document.add_paragraph()
            table_in(document, talk)
        for row in talk if form == "paragraphs" else []:
            document.add_paragraph(": ".join(row))
        document.save(tmp_path / "s.docx")
        (session,) = read_sessions(tmp_path / "s.docx")
    assert [[u.speaker, u.text] for u in session.utterances] == talk
    assert session.meta == {"date": "2024-03-21", "header_lines": len(facts)}
    assert session.roles == ({"r. osei": "therapist", "k12": "client"} if labels[0] == "R. Osei" else {})


def test_therapist_and_client_alone_in_a_small_table_are_no_talk(tmp_path):
    document = docx.Document()
    table_in(document, FACTS[:2])
    for line in ("T: How was it?", "C: Long.", "T: Why?", "C: Work."):
        document.add_paragraph(line)
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert [u.speaker for u in session.utterances] == ["T", "C"] * 2


def test_facts_above_the_header_of_a_table_and_a_header_that_is_called_like_one(tmp_path):
    document = docx.Document()
    talk = [["Time", "Transcript"], ["00:03", "T: How was it?"], ["00:09", "C: Long."]]
    table_in(document, [*FACTS, ["Speaker", "Text"], *[["T", "How was it?"], ["C", "Long."]] * 2])
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session) == [("T", "How was it?"), ("C", "Long.")] * 2
    assert session.meta == {"date": "2024-03-21", "header_lines": 3}
    document = docx.Document()
    table_in(document, talk)
    document.save(tmp_path / "s.docx")
    assert times(read_sessions(tmp_path / "s.docx")[0]) == [(3.0, None), (9.0, None)]


NOTED = [("T", "How was it?"), ("C", "Bad."), ("T", "Bad?"), ("C", "Yes.")]


@pytest.mark.parametrize("labels", [("T", "C"), ("Ann", "Ben")])
@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Transcript of session|Comments", "{talk}|asks an open question, warm tone"),
        ("Transcript|Comments", "{talk}|flat, one word, possibly W2"),
        ("Themes|Original transcript|Comments", "Mood, sleep|{talk}|flat"),
        ("Line|Transcript|Comments", "{n}|{talk}|"),
        ("Time|Transcript|Comments", "00:0{n}|{talk}|flat"),
        ("", "{n}|00:0{n}|{talk}|flat"),
        ("", "{talk}|"),
    ],
)
def test_labels_in_a_column_of_a_table_tell_that_it_is_the_talk(tmp_path, labels, header, row):
    talk = [(labels["TC".index(who)], words) for who, words in NOTED]
    rows = [row.format(n=n, talk=": ".join(said_)).split("|") for n, said_ in enumerate(talk, 1)]
    document = docx.Document()
    table_in(document, [header.split("|")] * bool(header) + rows)
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session) == talk
    assert times(session)[0] == (1.0 if "00:0" in row else None, None)


def test_a_whole_transcript_in_one_cell_beside_the_comments(tmp_path):
    document = docx.Document()
    talk = "\n".join(map(": ".join, NOTED))
    table_in(document, [["Transcript", "Comments"], [talk, "opens\nflat"], ["[silence 9s]", ""], ["C: No.", "W2"]])
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert said(session) == [*NOTED, (None, "[silence 9s]"), ("C", "No.")]
    assert session.meta == {"header_lines": 1, "cells_left_out": 3}


@pytest.mark.parametrize("header", [[], [["Speaker", "Words"]], [["Utterance #", "Speaker", "Utterance"]]])
def test_rows_across_a_table_are_silences_or_counted_and_notes_below_the_end_are_no_talk(tmp_path, header):
    document = docx.Document()
    rows = [["T", "How was it?"], ["[silence 9s]"], ["C", "Long."], ["Part 2"], ["T", "Why?"], ["C", "No idea."]]
    width = len(header[0]) if header else 2
    numbered = [row if len(row) == 1 or width == 2 else [str(n), *row] for n, row in enumerate(rows)]
    table_in(document, [*header, *((row * width)[:width] for row in numbered)])
    for row, cells in zip(document.tables[0].rows[len(header) :], rows, strict=True):
        if len(cells) == 1:
            row.cells[0].merge(row.cells[-1]).text = cells[0]
    document.add_paragraph("End of session")
    document.add_paragraph("Notes: They looked at it again.")
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    talk = [("T", "How was it?"), (None, "[silence 9s]"), ("C", "Long."), ("T", "Why?"), ("C", "No idea.")]
    assert said(session) == talk
    assert session.meta == {"cells_left_out": 1, "header_lines": 1}


def test_what_parts_of_a_document_leave_out_is_counted_together(tmp_path):
    document = docx.Document()
    for n in (1, 2):
        document.add_paragraph(f"Tape {n}, transcript")
        table_in(document, [["Speaker", "Words"], ["T", "How was it?"], ["C", "Long."]])
    document.save(tmp_path / "s.docx")
    assert read_sessions(tmp_path / "s.docx")[0].meta["header_lines"] == 2


@pytest.mark.parametrize("labels", [("T", "C"), ("Ann", "Ben")])
@pytest.mark.parametrize(
    "row",
    [
        "{who}|{said}|asks an open question, warm tone {n}",
        "{n}|{who}|{said}|flat, one word, possibly W{n}",
        "{n}|{said}|{who}",
        "0:0{n} - 0:0{n}|{who}|{said}|flat, one word, possibly W{n}",
        "{who}|W2|{said}|flat, one word, possibly W{n}",
        "{who}|{said}|Note {n}: she seems flat, and turns the blame on to herself",
        "{who}|{said}|Initial noting: she seems flat, and turns the blame on to herself",
    ],
)
def test_the_column_next_to_the_speakers_is_the_talk_however_long_the_comments(tmp_path, labels, row):
    talk = [(labels["TC".index(who)], words) for who, words in NOTED]
    document = docx.Document()
    table_in(document, [row.format(n=n, who=who, said=words).split("|") for n, (who, words) in enumerate(talk, 1)])
    document.save(tmp_path / "s.docx")
    assert said(read_sessions(tmp_path / "s.docx")[0]) == talk


def test_a_table_with_words_on_both_sides_of_the_speakers_is_refused(tmp_path):
    document = docx.Document()
    table_in(document, [[f"open question, lantern {n}", who, words] for n, (who, words) in enumerate(NOTED)])
    document.save(tmp_path / "s.docx")
    with pytest.raises(ReadError, match=r"line 1: .*both sides.*'speaker' and 'text'") as caught:
        read_sessions(tmp_path / "s.docx")
    assert "lantern" not in str(caught.value)


def test_a_note_among_the_talk_of_a_table_is_no_header(tmp_path):
    document = docx.Document()
    rows = [["T", "How was it?"], ["C", "It was long"], ["Note", "client cries"], ["T", "I see."], ["C", "Yes."]]
    table_in(document, rows)
    document.save(tmp_path / "s.docx")
    (session,) = read_sessions(tmp_path / "s.docx")
    assert [u.text for u in session.utterances][::2] == ["How was it?", "I see."]
    assert "header_lines" not in session.meta


def test_tracked_changes_are_read_as_accepted(tmp_path):
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    document = docx.Document()
    paragraph = document.add_paragraph("T: I am ")
    space = nsdecls("w")
    paragraph._p.append(parse_xml(f"<w:del {space}><w:r><w:delText>not </w:delText></w:r></w:del>"))
    paragraph._p.append(parse_xml(f"<w:ins {space}><w:r><w:t>glad.</w:t></w:r></w:ins>"))
    document.add_paragraph("C: Ok.")
    document.save(tmp_path / "s.docx")
    assert said(read_sessions(tmp_path / "s.docx")[0])[0] == ("T", "I am glad.")


# JSON


def test_whisperx(read):
    whisperx = {
        "segments": [
            {
                "start": 0.031,
                "end": 1.5,
                "text": " How was it?",
                "speaker": "SPEAKER_00",
                "words": [{"word": "How", "start": 0.031}],
            },
            {"start": 2.0, "end": 2.4, "text": " Fine.", "words": []},
        ],
        "word_segments": [{"word": "How"}],
        "language": "en",
    }
    (session,) = read(json.dumps(whisperx, indent=1), "s.json")
    assert session.utterances == (
        Utterance("SPEAKER_00", "How was it?", 0.031, 1.5, 1, None),
        Utterance(None, "Fine.", 2.0, 2.4, 2, None),
    )


def aws_item(word, start=None, **more):
    kind = (
        {"type": "punctuation"}
        if start is None
        else {"type": "pronunciation", "start_time": str(start), "end_time": str(start + 0.5)}
    )
    return {**kind, "alternatives": [{"confidence": "0.9", "content": word}], **more}


AWS_ITEMS = [
    aws_item("So", 0.25),
    aws_item(",", None),
    aws_item("how", 1.0),
    aws_item("?", None),
    aws_item("Fine", 2.0),
    aws_item(".", None),
]


def test_aws_transcribe_with_items(read):
    segments = [
        {
            "start_time": "0.25",
            "end_time": "1.5",
            "speaker_label": "spk_0",
            "items": [{"start_time": "0.25"}, {"start_time": "1.0"}],
        },
        {"start_time": "2.0", "end_time": "2.5", "speaker_label": "spk_1", "items": [{"start_time": "2.0"}]},
    ]
    results = {
        "transcripts": [{"transcript": "So, how? Fine."}],
        "speaker_labels": {"speakers": 2, "segments": segments},
        "items": AWS_ITEMS,
    }
    (session,) = read(json.dumps({"jobName": "j", "status": "COMPLETED", "results": results}), "s.json")
    assert said(session) == [("spk_0", "So, how?"), ("spk_1", "Fine.")]
    assert times(session) == [(0.25, 1.5), (2.0, 2.5)]


def test_aws_transcribe_with_channels_and_with_segments(read):
    channels = [
        {"channel_label": "ch_0", "items": AWS_ITEMS[:4]},
        {"channel_label": "ch_1", "items": [aws_item("Mm", 0.5), aws_item("fine", 9.0)]},
    ]
    (session,) = read(json.dumps({"results": {"channel_labels": {"channels": channels}, "items": AWS_ITEMS}}))
    assert said(session) == [("ch_0", "So, how?"), ("ch_1", "Mm"), ("ch_1", "fine")]
    ready = [
        {
            "id": 0,
            "transcript": "So, how?",
            "start_time": "0.25",
            "end_time": "1.5",
            "speaker_label": "spk_0",
            "items": [0],
        }
    ]
    (session,) = read(json.dumps({"results": {"items": AWS_ITEMS, "audio_segments": ready}}))
    assert session.utterances == (Utterance("spk_0", "So, how?", 0.25, 1.5, 1, None),)


def words_of(text, start, end):
    """Yield the words and the punctuation of an utterance, with made-up times (ms) for the words."""
    parts = re.findall(r"[\w']+|[^\w\s]", text)
    long = (end - start) / sum(part[0].isalnum() for part in parts)
    at = float(start)
    for part in parts:
        yield (part, at / 1000, (at + long) / 1000) if part[0].isalnum() else (part, None, None)
        at += long * part[0].isalnum()


def azure(*, new):
    phrases = []
    for who, text, start, end in SPOKEN:
        speaker = {"speaker": "TC".index(who) + 1}
        if new:
            phrases.append(speaker | {"offsetMilliseconds": start, "durationMilliseconds": end - start, "text": text})
        else:
            spoken = {"lexical": text.lower(), "display": text}
            ticks = {"offsetInTicks": start * 1e4, "durationInTicks": (end - start) * 1e4}
            phrases.append(speaker | ticks | {"recognitionStatus": "Success", "channel": 0, "nBest": [spoken]})
    whole = " ".join(text for _, text, *_ in SPOKEN)
    if new:
        return {"durationMilliseconds": 8900, "combinedPhrases": [{"text": whole}], "phrases": phrases}
    return {"source": "s.wav", "combinedRecognizedPhrases": [{"display": whole}], "recognizedPhrases": phrases}


def google(*, new):
    tag, since, until = ("speakerLabel", "startOffset", "endOffset") if new else ("speakerTag", "startTime", "endTime")
    said_so_far, words = [], []
    for who, text, start, end in SPOKEN:
        each = text.split()
        step = (end - start) / 1000 / len(each)
        timed = [
            {since: f"{start / 1000 + n * step:.3f}s", until: f"{start / 1000 + (n + 1) * step:.3f}s", "word": word}
            for n, word in enumerate(each)
        ]
        tagged = [word | {tag: str("TC".index(who) + 1) if new else "TC".index(who) + 1} for word in timed]
        said_so_far.append({"alternatives": [{"transcript": text, "words": tagged if new else timed}]})
        words += tagged
    if new:
        return {"results": [*said_so_far, {}]}
    return {"response": {"results": [*said_so_far, {"alternatives": [{"words": words}]}]}, "done": True}


def rev_ai(*, new):
    monologues = []
    for who, text, start, end in SPOKEN:
        elements = []
        for word, since, until in words_of(text, start, end):
            if since is None:
                elements.append({"type": "punct", "value": word})
                continue
            if elements:
                elements.append({"type": "punct", "value": " "})
            times = (
                {"ts": since, "end_ts": until}
                if new
                else {"timestamp": f"00:00:{since:06.3f}".replace(".", ","), "end_timestamp": f"00:00:{until:06.3f}"}
            )
            elements.append({"type": "text", "value": word, **times})
        monologues.append({"speaker": "TC".index(who) + 1, "elements": elements})
    return {"monologues": monologues}


def speechmatics():
    results = []
    for who, text, start, end in SPOKEN:
        for word, since, until in words_of(text, start, end):
            heard = {"alternatives": [{"content": word, "confidence": 1.0, "speaker": f"S{'TC'.index(who) + 1}"}]}
            if since is None:
                last = results[-1]["end_time"]
                results.append({"type": "punctuation", "attaches_to": "previous", "is_eos": True} | heard)
                results[-1] |= {"start_time": last, "end_time": last}
            else:
                results.append({"type": "word", "start_time": since, "end_time": until} | heard)
    return {"format": "2.9", "job": {"id": "j"}, "results": results}


def elevenlabs():
    words = []
    for who, text, start, end in SPOKEN:
        for n, word in enumerate(each := text.split()):
            at = [(start + (end - start) * k / len(each)) / 1000 for k in (n, n + 1)]
            words.append({"text": word, "start": at[0], "end": at[1], "type": "word", "speaker_id": f"speaker_{who}"})
            words.append({"text": " ", "start": at[1], "end": at[1], "type": "spacing", "speaker_id": f"speaker_{who}"})
    return {"language_code": "eng", "text": " ".join(text for _, text, *_ in SPOKEN), "words": words}


def whisper_cpp():
    segments = [
        {
            "timestamps": {"from": f"00:00:0{start / 1000:.3f}".replace(".", ","), "to": "00:00:09,000"},
            "offsets": {"from": start, "to": end},
            "text": f" {text}",
            "speaker": str("TC".index(who)),
        }
        for who, text, start, end in SPOKEN
    ]
    return {"systeminfo": "", "model": {"type": "base"}, "result": {"language": "en"}, "transcription": segments}


@pytest.mark.parametrize(
    ("whole", "labels"),
    [
        (azure(new=True), "12"),
        (azure(new=False), "12"),
        (google(new=True), "12"),
        (google(new=False), "12"),
        (rev_ai(new=True), "12"),
        (rev_ai(new=False), "12"),
        (speechmatics(), ("S1", "S2")),
        (elevenlabs(), ("speaker_T", "speaker_C")),
        (whisper_cpp(), "01"),
    ],
)
def test_speech_recognisers(read, whole, labels):
    """What each service writes in a shape of its own, once as it is documented today and once as of old."""
    (session,) = read(json.dumps(whole), "s.json")
    assert said(session) == [(labels["TC".index(who)], text) for who, text, *_ in SPOKEN]
    expected = [time / 1000 for *_, start, end in SPOKEN for time in (start, end)]
    assert [time for pair in times(session) for time in pair] == pytest.approx(expected, abs=0.002)


def test_sentences_of_fireflies(read):
    row = {
        "speaker_name": "T",
        "speaker_id": 0,
        "text": "How so?",
        "raw_text": "how so",
        "start_time": 2,
        "end_time": 3.5,
    }
    own = {"sentence": "How so?", "startTime": "00:02", "endTime": "00:03.5", "speaker_name": "T", "speaker_id": 0}
    for whole in ({"data": {"transcript": {"title": "Week 3", "sentences": [row]}}}, {"sentences": [row]}, [own]):
        (session,) = read(json.dumps(whole), "s.json")
        assert (said(session), times(session)) == ([("T", "How so?")], [(2, 3.5)])


def test_channels_of_a_recogniser_are_speakers_and_come_in_the_order_of_time(read):
    phrases = azure(new=False)["recognizedPhrases"]
    for phrase in phrases:
        phrase["channel"] = phrase.pop("speaker") - 1
    (session,) = read(json.dumps({"recognizedPhrases": [*phrases[::2], *phrases[1::2]]}))
    assert said(session) == [("01"["TC".index(who)], text) for who, text, *_ in SPOKEN]


GENERIC = [{"speaker": "T", "text": "Hello.", "start": 1}, {"speaker": "C", "text": "Hi.", "start": "00:02"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(GENERIC),
        json.dumps({"utterances": GENERIC}),
        json.dumps({"client_id": None, "turns": GENERIC}, indent=2),
        "\n".join(map(json.dumps, GENERIC)) + "\n",
        json.dumps([{"role": u["speaker"], "content": u["text"], "startTime": u["start"]} for u in GENERIC]),
    ],
)
def test_lists_of_utterances(read, content):
    (session,) = read(content)
    assert said(session) == [("T", "Hello."), ("C", "Hi.")]
    assert times(session) == [(1.0, None), (2.0, None)]


def test_lists_of_sessions(read):
    listed = [
        {"session_id": "b", "client_id": 7, "utterances": GENERIC},
        {"session_id": "a", "utterances": GENERIC[:1]},
    ]
    for content in (json.dumps(listed), "\n".join(map(json.dumps, listed))):
        sessions = read(content)
        assert [(s.id, len(s.utterances)) for s in sessions] == [("b", 2), ("a", 1)]
        assert sessions[0].meta == {"client_id": "7"}
    unnamed = read(json.dumps([{"turns": GENERIC}, {"turns": GENERIC}]))
    assert [(s.id, len(s.utterances)) for s in unnamed] == [("1", 2), ("2", 2)]


def test_clients_in_lists_of_sessions(read):
    listed = [{"session_id": 1, "client_id": client, "utterances": GENERIC} for client in ("K1", "K2")]
    flat = [{**u, "client_id": s["client_id"], "session_number": 1} for s in listed for u in s["utterances"]]
    for content in (listed, flat):
        sessions = read(json.dumps(content))
        assert [(s.id, len(s.utterances), s.meta["client_id"]) for s in sessions] == [
            ("K1-1", 2, "K1"),
            ("K2-1", 2, "K2"),
        ]


@pytest.mark.parametrize(
    "session",
    [
        {"session_number": 3, "date": "2020-01-02", "client_id": "K1"},
        {"session": {"number": 3, "date": "2020-01-02", "client_id": "K1"}},
        {"session": {"session_no": 3, "session_date": "2020-01-02"}, "client_id": "K1"},
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_what_is_said_of_a_session_may_stand_in_each_utterance_or_an_object(read, session, inside):
    turns = [{"speaker": who, "text": text, **(session if inside else {})} for who, text, *_ in SPOKEN]
    whole = {"utterances": turns, **({} if inside else session)}
    for content in [whole, turns] if inside else [whole]:
        (one,) = read(json.dumps(content))
        assert (one.id, len(one.utterances)) == (None, 4)
        assert one.meta == {"session_number": "3", "date": "2020-01-02", "client_id": "K1"}


def test_ids_in_objects_of_their_own_tell_sessions_apart(read):
    rows = [{"speaker": "T", "text": f"{id}", "session": {"id": id, "text": "lantern"}} for id in ("a", "a", "b")]
    assert [(s.id, len(s.utterances)) for s in read(json.dumps(rows))] == [("a", 2), ("b", 1)]
    sessions = [{"session": {"id": id}, "utterances": [{"speaker": "T", "text": "So?"}]} for id in "ab"]
    assert [s.id for s in read(json.dumps(sessions))] == ["a", "b"]


def test_deepgram(read):
    utterances = [
        {
            "speaker": "TC".index(who),
            "transcript": text,
            "start": start / 1000,
            "end": end / 1000,
            "channel": 0,
            "words": [{"word": word, "start": start, "speaker": 0} for word in text.split()],
        }
        for who, text, start, end in SPOKEN
    ]
    whole = {"metadata": {"channels": 1}, "results": {"channels": [{"alternatives": []}], "utterances": utterances}}
    (session,) = read(json.dumps(whole), "s.json")
    assert said(session) == [("01"["TC".index(who)], text) for who, text, *_ in SPOKEN]
    assert times(session) == [(start / 1000, end / 1000) for *_, start, end in SPOKEN]
    words = [
        {"word": word.lower().strip(".?,"), "punctuated_word": word, "start": start / 1000, "end": end / 1000}
        | {"speaker": "TC".index(who)}
        for who, text, start, end in SPOKEN
        for word in text.split()
    ]
    whole["results"] = {"channels": [{"alternatives": [{"transcript": "", "words": words}]}]}
    assert read(json.dumps(whole), "s.json") == [session]
    channels = [{"alternatives": [{"words": [word for word in words if word["speaker"] == n]}]} for n in (0, 1)]
    for word in words:
        del word["speaker"]
    assert read(json.dumps({"results": {"channels": channels}}), "s.json") == [session]
    with pytest.raises(ReadError, match="Deepgram are not complete"):
        read(json.dumps({"results": {"channels": [{"alternatives": []}]}}), "s.json")


def test_assemblyai(read):
    utterances = [
        {
            "speaker": "AB"[who == "C"],
            "text": text,
            "start": start,
            "end": end,
            "confidence": 0.93,
            "words": [{"text": word, "start": start, "end": end, "speaker": "A"} for word in text.split()],
        }
        for who, text, start, end in SPOKEN
    ]
    whole = {"id": "x", "status": "completed", "text": "How was", "words": [], "utterances": utterances}
    (session,) = read(json.dumps({**whole, "audio_duration": 9}), "s.json")
    assert times(session) == [(start / 1000, end / 1000) for *_, start, end in SPOKEN]
    assert [u.speaker for u in session.utterances] == ["A", "B", "A", "B"]


def test_times_that_are_no_times_are_not_known(read):
    (session,) = read(
        '[{"text": "a", "start": NaN, "end": 1e999}, {"text": "b", "start": -1, "end": true},'
        ' {"text": "c", "start": "soon"}]'
    )
    assert times(session) == [(None, None)] * 3


def test_half_a_surrogate_pair_can_be_written_out_again(read):
    (session,) = read('[{"speaker": "T", "text": "a \\ud800 b"}]')
    assert session.utterances[0].text.encode() == "a \ufffd b".encode()


# There and back

SPEAKERS = ("T", "C", "Speaker 1", "Ana Souza", "🙂 Sam", "סארה לוי", "李雷")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
# Two letters first, so that no text is all brackets, times or a silence.
TEXTS = st.lists(WORDS, max_size=6).map(lambda words: " ".join(["so", *words]))


@st.composite
def talks(draw):
    count = draw(st.integers(1, 8))
    at, out = 0, []
    for n in range(count):
        start = at + draw(st.integers(0, 5_000_000))
        at = start + draw(st.integers(1, 100_000))
        out.append(Utterance(draw(st.sampled_from(SPEAKERS)), draw(TEXTS), start / 1000, at / 1000, None, str(n)))
    # Every label comes back, as in a session of any length.
    return out + [Utterance(u.speaker, "well", at / 1000, at / 1000, None, str(count + n)) for n, u in enumerate(out)]


def clock(second, point):
    whole, part = divmod(round(second * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{part:03}"


def as_table(utterances, **dialect):
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerow(["turn", "speaker", "start", "end", "text"])
    writer.writerows([u.source_id, u.speaker, u.start_s, u.end_s, u.text] for u in utterances)
    return out.getvalue()


def as_objects(utterances):
    return [
        {"turn": u.source_id, "speaker": u.speaker, "start": u.start_s, "end": u.end_s, "text": u.text}
        for u in utterances
    ]


def as_captions(utterances, point, form):
    return "".join(
        f"{u.source_id}\n{clock(u.start_s, point)} --> {clock(u.end_s, point)}\n{form(u.speaker, u.text)}\n\n"
        for u in utterances
    )


WRITERS = {
    "s.csv": as_table,
    "s.tsv": lambda us: as_table(us, delimiter="\t"),
    "s.json": lambda us: json.dumps(as_objects(us)),
    "s.jsonl": lambda us: "\n".join(json.dumps(o, ensure_ascii=False) for o in as_objects(us)),
    "s.vtt": lambda us: "WEBVTT\n\n" + as_captions(us, ".", lambda s, t: f"<v {s}>{html.escape(t)}</v>"),
    "zoom.vtt": lambda us: "WEBVTT\n\n" + as_captions(us, ".", lambda s, t: f"{s}: {html.escape(t)}"),
    "s.srt": lambda us: as_captions(us, ",", lambda s, t: f"{s}: {t}"),
    "s.txt": lambda us: "\n".join(
        f"{u.source_id}. [{clock(u.start_s, '.')} - {clock(u.end_s, '.')}] {u.speaker}: {u.text}" for u in us
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(talk=talks())
def test_what_is_written_is_read_back_equal(tmp_path, name, talk):
    (session,) = read_sessions(put(tmp_path, name, WRITERS[name](talk)))
    back = [Utterance(u.speaker, u.text, u.start_s, u.end_s, None, u.source_id) for u in session.utterances]
    if name == "s.srt":
        # SubRip has no way to say that "<i>" is meant.
        talk = [u for u in talk if "<" not in u.text and "{" not in u.text]
        back = [u for u in back if u.source_id in {t.source_id for t in talk}]
    assert back == talk


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(st.binary(min_size=1, max_size=300), st.text(max_size=300).map(str.encode)),
    name=st.sampled_from([f"s.{f}" for f in FORMATS]),
)
def test_any_bytes_are_read_or_refused(tmp_path, data, name):
    path = put(tmp_path, name, data)
    try:
        sessions = read_sessions(path)
    except ReadError:
        with pytest.raises(ReadError, match=re.escape(str(path))):
            read_sessions(path)
    else:
        assert any(session.utterances for session in sessions)


# Bad input

SECRET = "zwetschgendatschi"


@pytest.mark.parametrize(
    ("whole", "service"),
    [
        ({"recognizedPhrases": [{"nBest": [{"lexical": SECRET}]}]}, "Azure"),
        ({"phrases": [SECRET]}, "Azure"),
        ({"phrases": [{"text": [SECRET], "offsetMilliseconds": 0, "durationMilliseconds": 1}]}, "Azure"),
        ({"phrases": [{"text": SECRET, "offsetMilliseconds": 10**400, "durationMilliseconds": 1}]}, "Azure"),
        ({"results": [{"alternatives": [{"words": [{"speakerTag": 1, "words": SECRET}]}]}]}, "Google"),
        ({"monologues": [{"elements": SECRET}]}, "Rev"),
        ({"results": [{"type": "word", "alternatives": [{"speaker": "S1", "contents": SECRET}]}]}, "Speechmatics"),
        ({"words": [{"speaker_id": "s", "type": "word", "word": SECRET}]}, "ElevenLabs"),
        ({"transcription": [{"offsets": SECRET, "text": SECRET}]}, r"whisper\.cpp"),
    ],
)
def test_a_recognisers_results_that_are_not_complete_are_refused_by_name(read, whole, service):
    with pytest.raises(ReadError, match=f"{service}.* not complete") as caught:
        read(json.dumps(whole), "s.json")
    assert SECRET not in str(caught.value)


def damaged(path: Path, keep: float) -> bytes:
    data = path.read_bytes()
    return data[: int(len(data) * keep)]


def document(folder: Path) -> Path:
    made = docx.Document()
    made.add_paragraph(f"T: {SECRET}")
    made.add_paragraph("C: ok")
    made.save(folder / "made.docx")
    return folder / "made.docx"


def workbook(folder: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(["speaker", "text"])
    book.active.append(["T", SECRET])
    book.save(folder / "made.xlsx")
    return folder / "made.xlsx"


def without(path: Path, name: str) -> bytes:
    """The archive with one part's bytes spoilt and the directory whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.namelist():
            new.writestr(part, old.read(part)[:50] if part == name else old.read(part))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("s.txt", b"", "empty"),
        ("s.txt", b" \n\t\r\n", "empty"),
        ("s.csv", b"\xef\xbb\xbf", "empty"),
        ("s.txt", bytes(range(256)) * 20, "not text"),
        ("s.txt", b"\x01\x02\x03\x04" * 100, "binary"),
        ("s.txt", b"\0" * 500, "not text"),
        ("s.docx", b"%PDF-1.7\n" + SECRET.encode(), "PDF"),
        ("s.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 40, "old or password-protected"),
        ("s.rtf", b"{\\rtf1 " + SECRET.encode(), "RTF"),
        ("s.docx", b"PK\x03\x04" + b"\x11" * 300, "damaged"),
        ("s.json", f'[{{"speaker": "T", "text": "{SECRET}'.encode(), "line 1: the JSON ends too early"),
        ("s.json", f'[\n{{"speaker": "T", "text": "{SECRET}" "x"}}]'.encode(), "line 2: this is not valid JSON"),
        ("s.json", f"T: {SECRET}\nC: ok".encode(), "line 1: this is not valid JSON"),
        ("s.jsonl", f'{{"text": "a"}}\n{{"text": "{SECRET}'.encode(), "line 2: the JSON ends too early"),
        ("s.json", f'"{SECRET}"'.encode(), "neither a list nor an object"),
        ("s.json", f'["{SECRET}"]'.encode(), "item 1"),
        ("s.json", f'[{{"foo": "{SECRET}"}}]'.encode(), "no field for the words"),
        ("s.json", f'[{{"text": ["{SECRET}"]}}]'.encode(), "not a text"),
        ("s.json", f'{{"results": {{"items": [{{"type": "{SECRET}"}}]}}}}'.encode(), "AWS"),
        ("s.json", b"[]", "no talk"),
        ("s.json", b"[" * 100_000, "JSON"),
        ("s.json", b'[{"text": "a", "start": ' + b"9" * 5000 + b"}]", "JSON"),
        ("s.csv", f"a,b\n1,{SECRET}\n".encode(), "no column for the words"),
        ("s.csv", f"T,{SECRET}\nC,ok\n".encode(), "no column for the words"),
        ("s.csv", f"speaker,text\nT,{SECRET}, ok\n".encode(), "line 2: this row has 3 cells"),
        ("s.csv", f'speaker,text\nT,"{SECRET}\nC,ok\nT,ok\n'.encode(), "line 2: a quotation mark"),
        ("s.csv", b"speaker,text\nT,\n", "no talk"),
        ("s.vtt", b"WEBVTT\n\nNOTE nothing\n", "no talk"),
        ("s.vtt", f"WEBVTT\n\n00:0x.000 --> 00:01.000\n{SECRET}\n".encode(), "line 3: the times"),
        ("s.txt", b"Date: 2020-01-01\nTitle: none\n", "no talk"),
    ],
)
def test_bad_files_get_a_clear_error_without_their_words(read, name, content, found):
    with pytest.raises(ReadError) as caught:
        read(content, name)
    message = str(caught.value)
    assert found in message
    assert name in message
    assert SECRET not in message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("make", [document, workbook])
@pytest.mark.parametrize("keep", [0.01, 0.3, 0.6, 0.95])
def test_truncated_archives(tmp_path, make, keep):
    made = make(tmp_path)
    cut = put(tmp_path, f"cut{made.suffix}", damaged(made, keep))
    with pytest.raises(ReadError, match="damaged or cut short"):
        read_sessions(cut)


@pytest.mark.parametrize(
    ("make", "part"),
    [(document, "word/document.xml"), (workbook, "xl/workbook.xml"), (workbook, "xl/worksheets/sheet1.xml")],
)
def test_archives_with_a_spoilt_part(tmp_path, make, part):
    made = make(tmp_path)
    with pytest.raises(ReadError, match="damaged or cut short"):
        read_sessions(put(tmp_path, f"spoilt{made.suffix}", without(made, part)))


@pytest.mark.parametrize(
    ("name", "make", "format"),
    [
        ("s.txt", lambda folder: document(folder).read_bytes(), "docx"),
        ("s.csv", lambda folder: workbook(folder).read_bytes(), "xlsx"),
        ("s.txt", lambda _: ZOOM.encode(), "vtt"),
        ("s.docx", lambda _: b"T: Hello.\nC: Hi.", "text"),
        ("s.txt", lambda _: b"1\n00:00:01,000 --> 00:00:02,000\nT: Hello.\n", "srt"),
        ("s.txt", lambda _: b"speaker,text\nT,Hello.\n", "csv"),
        ("s.txt", lambda _: b"speaker\ttext\nT\tHello.\n", "tsv"),
        ("s.csv", lambda _: json.dumps(GENERIC).encode(), "json"),
        ("s.txt", lambda _: "\n".join(map(json.dumps, GENERIC)).encode(), "jsonl"),
        ("s.vtt", lambda _: b"T: Hello.\nC: Hi.", "text"),
        ("s", lambda _: b"[00:00:01] T: Hello.\nC: Hi.", "text"),
    ],
)
def test_wrong_suffix(tmp_path, name, make, format):
    (session,) = read_sessions(put(tmp_path, name, make(tmp_path)))
    assert session.format == format
    assert session.utterances


def test_files_that_cannot_be_opened(tmp_path, monkeypatch):
    with pytest.raises(ReadError, match="folder"):
        read_sessions(tmp_path)
    with pytest.raises(ReadError, match=r"gone\.txt.*No such file"):
        read_sessions(tmp_path / "gone.txt")
    path = put(tmp_path, "locked.txt", "T: a")

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    # The superuser, as whom containers run, may read any file.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ReadError, match=r"locked\.txt.*Permission denied"):
        read_sessions(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ReadError, match="regular file"):
        read_sessions(tmp_path / "pipe.txt")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"format": "wav"}, "no format is called 'wav'"),
        ({"format": "docx"}, "damaged"),
        ({"format": "xlsx"}, "damaged"),
        ({"encoding": "utf-99"}, "no encoding is called"),
        ({"encoding": "ascii"}, "line 3: the bytes are not ascii"),
        ({"encoding": "utf-16"}, "the bytes are not utf-16"),
        ({"columns": {"text": "nope"}}, "no column 'nope'"),
        ({"columns": {"colour": "text"}}, "field 'colour' that does not exist"),
    ],
)
def test_options_that_do_not_fit(read, options, found):
    with pytest.raises(ReadError, match=found):
        read("speaker,text\nT,Hello.\nC,café!\n", "s.csv", **options)


# Size

LONG = "word " * 40_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.txt", f"T: Hi.\nC: {LONG}\n"),
        ("s.csv", f"speaker,text\nT,Hi.\nC,{LONG}\n"),
        ("s.tsv", f"speaker\ttext\nT\tHi.\nC\t{LONG}\n"),
        ("s.vtt", f"WEBVTT\n\n00:01.000 --> 00:02.000\nT: Hi.\n\n00:02.000 --> 00:03.000\nC: {LONG}\n"),
        ("s.json", json.dumps([{"speaker": "T", "text": "Hi."}, {"speaker": "C", "text": LONG}])),
    ],
)
def test_a_turn_of_200000_characters(read, name, content):
    assert said(read(content, name)[0]) == [("T", "Hi."), ("C", LONG.strip())]


@pytest.mark.parametrize(
    "piece", ["(", "[1:", "12:", "<v ", "<c ", "<", "&", "{\\", "1", " ", "**", "\u200f", "-->", "a:"]
)
@pytest.mark.parametrize(
    "head", ["T: Hi.\n", "WEBVTT\n\n00:01.000 --> 00:02.000\n", "1\n00:00:01,000 --> 00:00:02,000\n"]
)
def test_no_line_makes_a_pattern_explode(read, head, piece):
    # Time that grew with the square of the length would be felt as minutes.
    text = f"{head}so {piece * 100_000}\nso\n{piece * 100_000}"
    assert read(text)[0].utterances


def test_a_five_hour_session(read):
    lines = [
        f"[{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}] {'TC'[n % 2]}: This is number {n}." for n in range(18_000)
    ]
    (session,) = read("\n\n".join(lines))
    assert len(session.utterances) == 18_000
    assert session.utterances[-1] == Utterance("C", "This is number 17999.", 17_999.0, None, 35_999, None)


def test_importing_the_readers_is_light():
    code = (
        "import sys, rupturekit.readers; "
        "print(sorted({'docx', 'openpyxl', 'pandas', 'numpy', 'spacy', 'charset_normalizer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Bytes of the Mac

MAC = (
    "T: How was it?\nC: I don’t know.\n",
    "T: How was the café?\nC: I liked it.\n",
    "T: What did she say?\nC: She said, “Leave.”\n",
    "T: “So it was the boys’ idea…”\nC: It’s – well, he’d say naïve.\n",
    "T: Did you see Renée, or was it Thérèse?\nC: Thérèse.\n",  # è is no character of cp1252
)
WINDOWS = (
    "T: How was it?\nC: I don’t know.\n",
    "T: How was the café?\nC: I don’t know – “fine”…\n",
    "T: O que houve?\nC: AS CORREÕES, MARIO. Ótimo. Ôba! NÃO, Ñandú, Àquela… “Õ”\n",
    "T: ÓTIMO? ÒC, ÉTÉ.\nC: Ó.\n",
    "T: You were in Poblacht na hÉireann, you said. It’s far.\nC: I don’t think so. I’m fine.\n",
    "T: Où était-elle?\nC: Ça, je ne sais pas. À côté.\n",
)


@pytest.mark.parametrize(
    ("text", "encoding"), [*((text, "mac-roman") for text in MAC), *((text, "cp1252") for text in WINDOWS)]
)
def test_bytes_are_the_macs_only_where_windows_would_write_capitals_in_words(read, text, encoding):
    (session,) = read(text.encode(encoding))
    assert session.encoding == encoding
    assert [u.text for u in session.utterances] == [line[3:] for line in text.splitlines()]


# Labels in brackets, in captions


@pytest.mark.parametrize("name", ["s.srt", "s.vtt"])
@pytest.mark.parametrize(
    ("one", "other"), [("Speaker 1", "Speaker 2"), ("SPEAKER_00", "SPEAKER_01"), ("Ana Lee", "Jo"), ("T", "C")]
)
@pytest.mark.parametrize("colon", ["", ":"])
def test_a_label_in_brackets_where_nearly_every_cue_begins_so(read, one, other, colon, name):
    lines = [f"[{one}]{colon} How was it?", f"[{other}]{colon} [sighs] Long: very.", f"[{one}]{colon} Why?"] * 4
    (session,) = read(cues(*lines, f"<i>[{other}]</i>{colon} Work.", "[silence 9s]", "Really."), name)
    talk = [(one, "How was it?"), (other, "[sighs] Long: very."), (one, "Why?")] * 4
    assert said(session) == [*talk, (other, "Work."), (None, "[silence 9s]"), (other, "Really.")]
    assert not session.meta


def test_two_speakers_in_a_cue_with_labels_in_brackets(read):
    (session,) = read(cues("[Speaker 1] How\nwas it?\n[Speaker 2] Long.", "[Speaker 1]\nWhy?", "[Speaker 2] Work."))
    assert said(session) == [
        ("Speaker 1", "How was it?"),
        ("Speaker 2", "Long."),
        ("Speaker 1", "Why?"),
        ("Speaker 2", "Work."),
    ]


def test_a_bracketed_name_that_comes_once_beside_labels_is_flagged(read):
    lines = ["[Speaker 1] How was it?", "[Speaker 2] Long."] * 10
    (session,) = read(cues(*lines, "[Tom] Hello.", "[Laughs] No."))
    assert [u.text for u in session.utterances][-2:] == ["[Tom] Hello.", "[Laughs] No."]
    assert session.meta == {"labels_in_talk": 1}


@pytest.mark.parametrize("mark", ["Inaudible", "CROSSTALK", "Music", "Unclear 0:31"])
def test_what_was_heard_beside_labels_in_brackets_is_no_speaker(read, mark):
    (session,) = read(cues(*["[Therapist] How was it?", "[Client] Long."] * 20, *[f"[{mark}] at all."] * 3))
    assert said(session)[-3:] == [("Client", f"[{mark}] at all.")] * 3


@pytest.mark.parametrize(
    "lines",
    [
        ["[laughs] no", "[sighs] yes", "[laughs] no"] * 3,
        ["[Laughs] No.", "[Sighs] Yes.", "[Laughs] No."] * 3,
        ["[Music] So.", "and then", "[Applause] Well.", "I said", "[Music] No.", "he went", "[Applause] Yes."],
        # one that comes again and again is no dialogue
        ["[Narrator] So.", "[Narrator] And then.", "[Narrator] He went."] * 3,
        ["[I] was there.", "[he] was.", "[I] said so."] * 3,
        ["[Speaker 1] So.", "and then", "[Speaker 2] No.", "he went", "he said", "I said"],
    ],
)
def test_other_brackets_that_begin_cues_are_talk(read, lines):
    (session,) = read(cues(*lines))
    assert said(session) == [(None, line) for line in lines]


def test_a_cue_without_words_beside_labels_in_brackets(read):
    (session,) = read(cues("[Speaker 1] How was it?", "", "[Speaker 2] Long.", "[Speaker 1]"))
    assert said(session) == [("Speaker 1", "How was it?"), ("Speaker 2", "Long.")]
