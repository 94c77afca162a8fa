"""CHAT transcripts: codes off, words and times as they were."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylangacq import CHAT

import rupturekit as rk
from rupturekit.readers import ReadError, read_sessions
from rupturekit.readers.chat import read
from rupturekit.readers.raw import RawSession, Source
from rupturekit.segment import segment, turn_flags
from rupturekit.tables import Pseudonyms

HERE = Path(__file__).parent / "chat"
SESSION = (HERE / "session.cha").read_text("utf-8")
WORDS = re.compile("diary|hopeless|whatever|tried|gonna|Doom")


def put(folder: Path, content: str, name: str = "s.cha") -> Path:
    path = folder / name
    path.write_bytes(content.encode())
    return path


def chat(*lines: str, participants: str = "CLI Client, THE Therapist") -> str:
    return "\n".join(["@UTF8", "@Begin", f"@Participants:\t{participants}", *lines, "@End", ""])


def said(text: str, participants: str = "CLI Client, THE Therapist") -> RawSession:
    (session,) = read(Source(Path("s.cha"), b"", chat(text, participants=participants)), "cha", None)
    return session


def test_a_session_with_its_speakers_times_and_lines() -> None:
    (session,) = read_sessions(HERE / "session.cha")
    assert session.format == "cha"
    assert [(u.speaker, u.text, u.start_s, u.end_s, u.line, u.source_id) for u in session.utterances] == [
        ("Therapist (THE)", "how was the [pause] um diary this week?", 0, 2.85, 13, "1"),
        ("CLI", "um I went I went to I mean I tried it…", 3.1, 8.45, 16, "2"),
        ("CLI", "and st- then [inaudible] because it's gonna be no use anyway.", 8.45, 12.9, 17, "3"),
        ("Therapist (THE)", "so when he left–", 12.7, 14.02, 19, "4"),
        ("CLI", "[laughs]", 14.02, 15, 20, "5"),
        ("Therapist (THE)", "it sounds hopeless, is that right?", 15, 18.2, 21, "6"),
        ("CLI", "[pause 6.5 s]", 18.2, 24.7, 23, "7"),
        ("CLI", "[cries]", 24.7, 26, 24, "8"),
        ("CLI", "whatever you say [mhm] no I mean it.", 26, 30.1, 25, "9"),
        ("Sister (SIS)", "she says [untranscribed] Mount Doom:", 30.1, 32, 26, "10"),
        ("Sister (SIS)", "I'm fine.", None, None, 27, "11"),
    ]


def test_the_lines_are_kept_as_they_stood_and_left_out_where_words_are(tmp_path: Path) -> None:
    transcript = rk.read(HERE / "session.cha")
    raw = transcript.meta["raw"]
    assert raw["3"] == (
        "*CLI:\tand &+st then xxx (be)cause it's gonna [: going to] be\n\t<no use> [?] anyway . \x158450_12900\x15"
    )
    assert all(line in SESSION for line in raw.values())
    assert {id for turn in transcript for id in turn.source_ids} == set(raw)
    found = rk.Annotator(model=None)(transcript)
    assert rk.AnnotatedTranscript.from_json(found.to_json()) == found
    assert "raw" not in Pseudonyms(b"k" * 32)(found).transcript.meta


def test_turns_have_roles_and_the_segmenter_knows_the_pauses_and_events() -> None:
    turns = rk.read(HERE / "session.cha").turns
    assert [turn.role for turn in turns] == [
        "therapist",
        "client",
        "therapist",
        "client",
        "therapist",
        "client",
        "client",
        "other",
    ]
    assert turns[5].text == "[silence]"
    assert turn_flags(turns[0]) == ("pause",)
    assert turn_flags(turns[1]) == ("inaudible",)
    assert turn_flags(turns[3]) == ("paraverbal",)
    assert turn_flags(turns[6]) == ("backchannel_inside", "paraverbal")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("well <I went> [/] I went .", "well I went I went."),
        ("<I want> [//] <I need [*]> [///] let's go [!!] [x 3] .", "I want I need let's go."),
        ("it [>] is [<1] good [+ bch]", "it is good"),
        ("[- spa] hola [= a greeting] [%com] .", "hola."),
        ("he goed [: went] [* m:=ed] home .", "he goed home."),
        ("really [=! whispers] ?", "really [whispers]?"),
        ("&-uh &-um_hm &~gaga &+fri friend &um .", "uh um hm gaga fri- friend um."),
        ("&=clears:throat yes &{l=laughs no &}l=laughs .", "[clears throat] yes [laughs] no."),
        ("I was &*THE:oh=yeah there .", "I was [oh yeah] there."),
        ("xxx yyy xxx. xx ?", "[inaudible] [inaudible] [inaudible]. [inaudible]?"),
        (
            "a (.) b (..) c (...) d (1.5) e (2.) f (1:05.) .",
            "a [pause] b [pause] c [long pause] d [pause 1.5 s] e [pause 2 s] f [pause 65 s].",
        ),
        ("(be)cause I'm runnin(g) an(d) (laughs) .", "because I'm running and (laughs)."),
        ("gumma@c b@l Anna@s:spa, and x@z:y?", "gumma b Anna, and x?"),
        ("no:: a:bso^lutely ˈwo⌈rd⌉ ↑up 10:30 .", "no absolutely word up 10:30."),
        ("Santa_Claus black+board e-mail .", "Santa Claus black board e-mail."),
        ("0is it 0 going 0det .", "it going."),
        ("no ‡ you are „ right ?", "no, you are, right?"),
        ("+< +, and then +...", "and then…"),
        ("and +..?", "and…?"),
        ("what +!?", "what?!"),
        ("I was +/. ", "I was–"),
        ("were you +/?", "were you–?"),
        ("I +//.", "I–"),
        ('and he said +"/.', "and he said:"),
        ('+" come here +".', "come here."),
        ("it goes +.", "it goes"),
        ("&=nods .", "[nods]"),
        ("&=sighs (3.) .", "[sighs] [pause 3 s]"),
        ("“well” , he said ; no !", "“well”, he said; no!"),
        ("naïve שלום 😐 .", "naïve שלום 😐."),
    ],
)
def test_codes_come_off_and_words_stay(line: str, text: str) -> None:
    session = said(f"*CLI:\t{line}")
    assert [u.text for u in session.utterances] == [text]
    assert session.meta["raw"] == {"1": f"*CLI:\t{line}"}


@pytest.mark.parametrize("line", ["0 .", ".", "", "[+ trn]", "+..."])
def test_a_line_without_words_is_no_utterance(line: str) -> None:
    session = said(f"*CLI:\t{line}")
    assert session.utterances == ()
    assert list(session.meta["raw"]) == ["1"]


@pytest.mark.parametrize(
    ("bullets", "times"),
    [
        ("\x15100_2500\x15", (0.1, 2.5)),
        ("\x15100_2500-\x15", (0.1, 2.5)),
        ('\x15%snd:"session_07"_100_2500\x15', (0.1, 2.5)),
        ("\x15100_900\x15 and \x15900_2500\x15", (0.1, 2.5)),
        ('\x15%pic:"a_1.jpg"\x15', (None, None)),
        ("\x152500_100\x15", (2.5, None)),
        ("", (None, None)),
    ],
)
def test_times_are_in_seconds(bullets: str, times: tuple[float | None, float | None]) -> None:
    (utterance,) = said(f"*CLI:\tyes . {bullets}").utterances
    assert (utterance.start_s, utterance.end_s) == times
    assert "\x15" not in utterance.text


@pytest.mark.parametrize(
    ("participants", "roles"),
    [
        ("CLI Client, THE Therapist", ["client", "therapist"]),
        ("PAR Participant, INV Investigator", ["client", "therapist"]),
        ("PAT Ann Patient, DOC Doctor", ["client", "therapist"]),
        ("ANN Ann Client, BOB Bob Counsellor", ["client", "therapist"]),
        ("C Counselor, P Patient", ["therapist", "client"]),
        ("INT Interviewer, S01 Interviewee", ["therapist", "client"]),
        ("S01 Participant, S02 Investigator", ["client", "therapist"]),
    ],
)
def test_the_roles_of_the_participants_are_those_of_the_session(participants: str, roles: list[str]) -> None:
    first, second = (entry.split()[0] for entry in participants.split(","))
    session = said(f"*{first}:\tyes .\n*{second}:\tno .", participants)
    assert [turn.role for turn in segment(session, id="s")] == roles


def test_a_role_may_stand_in_the_id_alone() -> None:
    lines = "@ID:\teng|x|S01|||||Client|||\n@ID:\teng|x|S02|||||Therapist|||\n*S01:\tyes .\n*S02:\tno ."
    assert [u.speaker for u in said(lines, "S01 Adult, S02 Adult").utterances] == ["Client (S01)", "Therapist (S02)"]


def test_two_of_one_role_stay_apart() -> None:
    session = said("*S01:\tyes .\n*S02:\tno .", "S01 Participant, S02 Participant")
    assert [u.speaker for u in session.utterances] == ["Participant (S01)", "Participant (S02)"]


def is_within(words: list[str], whole: list[str]) -> bool:
    """Tell whether the words stand in the whole in this order."""
    rest = iter(whole)
    return all(word in rest for word in words)


@pytest.mark.parametrize("name", ["session", "par_inv"])
def test_pylangacq_hears_the_same_speakers_times_and_words(name: str) -> None:
    text = (HERE / f"{name}.cha").read_text("utf-8")
    (session,) = read_sessions(HERE / f"{name}.cha")
    theirs = [u for u in CHAT.from_strs([text], strict=False).utterances() if u.participant]
    assert len(theirs) == len(session.utterances)
    for other, mine in zip(theirs, session.utterances, strict=True):
        assert other.participant in (mine.speaker, mine.speaker[-4:-1])
        assert other.time_marks == (None if mine.start_s is None else (mine.start_s * 1000, mine.end_s * 1000))
        # what was retraced or replaced is not among its words
        if "[: " not in session.meta["raw"][mine.source_id]:
            spoken = " ".join(token.word for token in other.tokens).replace("_", " ").replace("::", "")
            assert is_within(re.findall(r"[\w']+", spoken), re.findall(r"[\w']+", mine.text))


@pytest.mark.parametrize(
    ("content", "found", "line"),
    [
        (SESSION.replace("@End\n", ""), "the file ends without @End", 27),
        (SESSION.replace("*THE:\tit sounds", "it sounds"), "this line is no header", 21),
        (SESSION.replace("*THE:\tit sounds", "*THE\tit sounds"), "this line is no header", 21),
        (SESSION.replace("*THE:\tit sounds", "*The one: it sounds"), "this line is no header", 21),
        (
            SESSION.replace("*THE:\tit sounds", "*THA:\tit sounds"),
            "the speaker of this line is not among @Participants",
            21,
        ),
        (SESSION.replace("*THE:\tit", "*hopeless:\tit"), "the speaker of this line is not among @Participants", 21),
        (SESSION.replace("18200\x15", "18200"), "a time bullet is not closed", 21),
        (SESSION.replace("[= the diary]", "[= the diary"), "a square bracket is not closed", 21),
        (SESSION.replace("@Begin\n", ""), "talk stands before @Begin", 12),
        (SESSION + SESSION, "the file goes on after @End", 29),
    ],
)
def test_a_bad_file_is_refused_with_the_line(content: str, found: str, line: int, tmp_path: Path) -> None:
    assert content != SESSION
    with pytest.raises(ReadError, match=found) as error:
        read_sessions(put(tmp_path, content))
    assert f"s.cha, line {line}: " in str(error.value)
    assert not WORDS.search(str(error.value))


@given(cut=st.integers(14, len(SESSION) - 2))
@settings(max_examples=60)
def test_a_file_that_is_cut_short_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ReadError, match="line") as error:
        read_sessions(put(tmp_path_factory.mktemp("cut"), SESSION[:cut]))
    assert not WORDS.search(str(error.value))


LINES = SESSION.split("\n")


@given(
    number=st.integers(0, len(LINES) - 1),
    instead=st.text(st.sampled_from("*@%\t :.[]<>()&=+/\x15_0x1ACLI-‡"), max_size=12),
)
@settings(max_examples=100)
def test_a_broken_line_is_read_or_refused(number: int, instead: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = "\n".join([*LINES[:number], instead, *LINES[number + 1 :]])
    quoted = ""
    try:
        read_sessions(put(tmp_path_factory.mktemp("broken"), content), format="cha")
    except ReadError as error:
        quoted = str(error)
    assert not WORDS.search(quoted)


@given(st.text(st.sampled_from('ab1. \t[]<>()&=+/"-_:@0x,?!^‡(.)'), max_size=60))
@settings(max_examples=200)
def test_no_code_on_a_line_is_too_odd_to_read(line: str) -> None:
    try:
        session = said(f"*CLI:\t{line}")
    except ReadError:
        return
    assert all(u.text == u.text.strip() != "" for u in session.utterances)
