"""Roles, merging, silences, back-channels and flags, as a transcriber would meet them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rupturekit.readers import RawSession, Utterance
from rupturekit.roles import CONFIDENCE, infer_therapist, role_of_label
from rupturekit.segment import SESSION_FLAGS, TURN_FLAGS, RoleError, segment, session_flags, turn_flags
from rupturekit.transcript import Transcript, Turn

DATA = Path(__file__).parents[1] / "data"


def raw(*lines: str, numbered: bool = False, **facts: object) -> RawSession:
    """Make a session of lines such as ``T: words`` or ``T 3-7.5: words`` or ``: words``."""
    utterances = []
    for number, line in enumerate(lines, 1):
        label, _, text = line.partition(": ") if not line.startswith(": ") else ("", "", line[2:])
        timed = re.fullmatch(r"(.*) ([\d.]+)-([\d.]+)", label)
        start, end = (float(timed[2]), float(timed[3])) if timed else (None, None)
        label = timed[1] if timed else label
        utterances.append(Utterance(label or None, text, start, end, number, str(number)))
    return RawSession(None, tuple(utterances), "text", numbered=numbered, **facts)  # type: ignore[arg-type]


def turns(*lines: str, numbered: bool = False, roles: dict[str, str] | None = None) -> list[tuple[str, str]]:
    transcript = segment(raw(*lines, numbered=numbered), id="s", roles=roles)
    assert [turn.index for turn in transcript] == list(range(len(transcript)))
    return [(turn.role, turn.text) for turn in transcript]


THERAPIST = [
    "What brings you in today?",
    "So you've been carrying the farm alone since your brother went.",
    "How have you been sleeping?",
    "It sounds like you feel you can't put it down for a minute.",
    "What would you like to be different?",
    "Would it be okay if we talked about your evenings?",
]
CLIENT = [
    "My sister rang you, I think. I can't keep on top of the work.",
    "I get up at four and I just don't stop. My back is gone.",
    "I don't, really. I lie there and go through my list.",
    "I suppose. I had two days off last year and I hated both.",
    "I want my weekends. I'd like to see my kids.",
    "I drink a bit, if that's what you mean. I'm not proud of it.",
]


def dialogue(first: str, second: str) -> list[str]:
    pairs = zip(THERAPIST, CLIENT, strict=True)
    return [line for t, c in pairs for line in (f"{first}: {t}", f"{second}: {c}")]


# --- roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "role"),
    [
        *((label, "therapist") for label in ("T", "Th:", "T1", "THERAPIST", "Counsellor", "Dr. Oyelaran", "INV")),
        *((label, "therapist") for label in ("Psychologist", "Therapist (Mei)", "Social worker", "Nurse Bell", "I")),
        *((label, "client") for label in ("C", "Cl", "P", "Pt", "P2", "PAR", "Patient", "Client A", "Interviewee")),
        *((label, "other") for label in ("Observer", "Interpreter", "Mother", "Client's mother", "Partner")),
        *((label, "client") for label in ("C [crying]", "C (laughs)", "P2 (to T)", "Speaker 1 (client)")),
        *((label, None) for label in ("Speaker 1", "SPEAKER_00", "Tess", "Pat", "Carl", "🙂 Sam", "نور")),
    ],
)
def test_a_label_tells_the_role_only_where_it_is_a_word_for_one(label: str, role: str | None) -> None:
    assert role_of_label(label) == role


def test_of_two_speakers_one_known_role_tells_the_other() -> None:
    transcript = segment(raw("Dr. Lund: Hello.", "Ines: Hi.", "Dr. Lund: And?", "Ines: So-so."), id="s")
    assert {turn.speaker: turn.role for turn in transcript} == {"Dr. Lund": "therapist", "Ines": "client"}
    assert transcript.meta["role_source"] == "labels"


def test_a_mother_beside_a_client_is_other_and_alone_with_the_therapist_the_client() -> None:
    three = turns("T: Who came along?", "Mother: I did, and I drove the whole way here.", "C: She insisted on it.")
    assert [role for role, _ in three] == ["therapist", "other", "client"]
    assert turns("T: Who came along?", "Mother: Just me.")[1][0] == "client"


@pytest.mark.parametrize(
    ("lines", "roles", "client", "confidence"),
    [
        (["T: So?", "Mother: He never listens.", "Leo: She shouts. That is it."], None, "Leo", 0.625),
        (["T: So?", "Mother: He never listens.", "Leo: She shouts. That is it."], {"T": "therapist"}, "Leo", 0.625),
        (["Ruth: So what was it then, this time?", "Ana: Mm.", "C: I did not. And he lied to me."], None, "C", 0.875),
        (
            ["T: How was the week for all of you?", "Ines: It was long and I slept badly.", "Cy: Mm."],
            None,
            "Ines",
            0.875,
        ),
    ],
)
def test_a_role_told_by_elimination_among_several_speakers_says_so(lines, roles, client, confidence) -> None:  # type: ignore[no-untyped-def]
    transcript = segment(raw(*lines), id="s", roles=roles)
    assert [turn.speaker for turn in transcript.of("client")] == [client]
    assert transcript.meta["role_source"] == "inferred"
    assert transcript.meta["role_confidence"] == confidence
    assert "roles_inferred" in transcript.meta["flags"]


@pytest.mark.parametrize(
    ("lines", "roles", "source"),
    [
        (["T: So?", "Interpreter: He asks how it was.", "Leo: It was long, and I am tired."], None, "labels"),
        (["T: So?", "Mother: He never listens.", "Leo: She shouts."], {"Mother": "other"}, "given"),
        (["T: So?", "Mother: He never listens.", "C: She shouts."], None, "labels"),
        (["Ruth: So what was it then?", "Mother: He never listens.", "C: She shouts."], None, "labels"),
        (["T: So?", "Mother: He never listens."], None, "labels"),
        (["T: So?", "Leo: She shouts.", ": Long."], None, "labels"),
    ],
)
def test_a_role_that_nobody_else_can_have_is_told_by_the_labels(lines, roles, source) -> None:  # type: ignore[no-untyped-def]
    meta = segment(raw(*lines), id="s", roles=roles).meta
    assert (meta["role_source"], meta["role_confidence"]) == (source, 1.0)
    assert "roles_inferred" not in meta["flags"]


@pytest.mark.parametrize("labels", [("P", "C"), ("PT", "CL"), ("C", "P"), ("Trainee therapist", "Client")])
def test_labels_that_both_may_mean_the_client_are_told_apart_by_the_talk(labels: tuple[str, str]) -> None:
    first, second = labels
    asked = ["How have you been since last week?", "What was keeping you awake?", "How does that feel for you?"]
    told = ["Not great, honestly. I didn't sleep.", "Work. I kept going over what my boss said.", "I hate it, I guess."]
    lines = [line for q, a in zip(asked, told) for line in (f"{first}: {q}", f"{second}: {a}")]
    transcript = segment(raw(*lines, *lines), id="s")
    assert {turn.speaker: turn.role for turn in transcript} == {first: "therapist", second: "client"}
    assert transcript.meta["role_source"] == ("labels" if "Client" in labels else "inferred")


@pytest.mark.parametrize("label", ["Observer", "Interpreter (Ana)", "Trainee"])
def test_who_is_only_beside_is_not_made_the_client(label: str) -> None:
    talk = raw("Therapist: How was it?", f"{label}: He says that it was long.", "Therapist: And then?")
    with pytest.raises(RoleError, match="nobody who could be the client"):
        segment(talk, id="s")
    assert [t.role for t in segment(talk, id="s", roles={label: "client"})] == ["therapist", "client", "therapist"]


@pytest.mark.parametrize("swap", [False, True])
def test_roles_are_inferred_from_the_talk_whoever_is_speaker_one(swap: bool) -> None:
    labels = ("Speaker 2", "Speaker 1") if swap else ("Speaker 1", "Speaker 2")
    transcript = segment(raw(*dialogue(*labels)), id="s")
    assert {turn.speaker: turn.role for turn in transcript} == {labels[0]: "therapist", labels[1]: "client"}
    assert transcript.meta["role_source"] == "inferred"
    assert CONFIDENCE <= transcript.meta["role_confidence"] < 1
    assert "roles_inferred" in transcript.meta["flags"]


def test_roles_are_inferred_from_a_caption_without_punctuation_or_capitals() -> None:
    bare = [re.sub(r"[^\w\s':]", "", line).lower() for line in dialogue("speaker 1", "speaker 2")]
    assert turns(*bare)[0][0] == "therapist"


@given(st.lists(st.sampled_from(THERAPIST + CLIENT), min_size=1), st.lists(st.sampled_from(THERAPIST + CLIENT)))
def test_swapping_the_speakers_swaps_the_verdict(first: list[str], second: list[str]) -> None:
    assert infer_therapist(first, second) == pytest.approx(1 - infer_therapist(second, first))


def test_talk_that_tells_nothing_is_refused_without_a_name_or_a_word_of_it() -> None:
    with pytest.raises(RoleError) as caught:
        segment(raw("Wilhelmina: Lovely weather.", "Speaker 2: Lovely, isn't it."), id="s")
    message = str(caught.value)
    assert "confidence 0." in message
    assert "--roles" in message
    assert "speaker 1 of 2" in message
    assert "'speaker 2'" in message
    assert "ilhelmina" not in message.lower()
    assert "ovely" not in message


def test_the_given_roles_decide_in_any_case() -> None:
    given_roles = {"SPEAKER 2": "therapist", "speaker 1": "client"}
    transcript = segment(raw("Speaker 1: Hello.", "Speaker 2: Hello."), id="s", roles=given_roles)
    assert [turn.role for turn in transcript] == ["client", "therapist"]
    assert (transcript.meta["role_source"], transcript.meta["role_confidence"]) == ("given", 1.0)


def test_a_given_label_that_nobody_bears_is_an_error_that_lists_the_speakers() -> None:
    with pytest.raises(RoleError, match=r"label 1 .* speakers: 't' .speaker 1 of 2.; speaker 2 of 2 .a name."):
        segment(raw("T: Hello.", "Ana: Hi."), id="s", roles={"Anna": "client"})


def test_a_given_role_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(RoleError, match="role 2 of the given roles is none of client, therapist, other"):
        segment(raw("A: Hello.", "B: Hi."), id="s", roles={"A": "therapist", "B": "owner"})


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([": Hello.", ": Hi."], "no utterance has a speaker's label.* in text by `LABEL: words`"),
        (["C: Hello.", "C: Is anybody there?"], "the only speaker is 'c'; a session"),
        (["Speaker 1: Hello.", "Speaker 1: Is anybody there?"], "the only speaker is 'speaker 1'; a session"),
        (["Ana: Hello.", "Ana: Is anybody there?"], "there is only one speaker; a session"),
        (["C: Hello.", ": Come in and take a seat.", ": How was the week?"], "more than half of the words.*`LABEL"),
        (["Ana: One two three.", "Ben: One two three.", "Cy: One two three."], "more than two speakers"),
        (["T: "], "no talk"),
    ],
)
def test_a_session_that_cannot_be_told_apart_is_refused_with_the_reason(lines: list[str], reason: str) -> None:
    with pytest.raises(RoleError, match=reason):
        segment(raw(*lines), id="s")


def test_roles_of_whom_little_is_said_are_unclear_unless_given() -> None:
    talk = raw("Therapist: Sit down.", "Client: Thanks.", "AW: How was the week, then?", "K12: This is not helping.")
    with pytest.raises(RoleError, match=r"less than half of the words.*--roles") as caught:
        segment(talk, id="s")
    assert "aw" not in str(caught.value).lower()
    given = segment(talk, id="s", roles={"AW": "therapist", "K12": "client"})
    assert [turn.role for turn in given][2:] == ["therapist", "client"]
    rest = {"AW": "other", "K12": "other"}
    assert [turn.role for turn in segment(talk, id="s", roles=rest)] == ["therapist", "client", "other", "other"]


def test_a_couple_with_a_named_second_client_is_told_which_roles_to_give() -> None:
    talk = raw("T: So?", "C: No.", "Wilhelmina: He never listens to a word of what I tell him.", "Observer: I see.")
    with pytest.raises(RoleError) as caught:
        segment(talk, id="s")
    message = str(caught.value)
    assert "--roles LABEL=client,LABEL=other" in message
    assert "rupturekit check" in message
    assert message.endswith("Without a part, 1 of 4 speakers: speaker 3 of 4 (a name)")
    assert "ilhelmina" not in message.lower()
    transcript = segment(talk, id="s", roles={"Wilhelmina": "client"})
    assert [turn.role for turn in transcript] == ["therapist", "client", "client", "other"]


def test_talk_of_somebody_unknown_is_no_less_unclear() -> None:
    with pytest.raises(RoleError, match="less than half of the words"):
        segment(raw("T: How was it?", "C: Long.", "Unknown: It went on and on and on for the whole of it."), id="s")


def test_roles_that_the_head_of_a_file_names_go_before_labels_and_after_given_ones() -> None:
    talk = raw("P: How was it?", "C: Fine.", roles={"p": "therapist", "c": "client"})
    transcript = segment(talk, id="s")
    assert [turn.role for turn in transcript] == ["therapist", "client"]
    assert transcript.meta["role_source"] == "labels"
    swapped = segment(talk, id="s", roles={"P": "client", "C": "therapist"})
    assert [turn.role for turn in swapped] == ["client", "therapist"]


def test_a_second_session_in_the_file_is_flagged() -> None:
    transcript = segment(raw("T: Hello.", "C: Hi.", meta={"sessions_in_file": 2}), id="s")
    assert transcript.meta["flags"] == ["no_times", "several_sessions"]


def test_a_label_left_in_the_talk_is_flagged() -> None:
    transcript = segment(raw("T: Hello.", "C: Hi.", meta={"labels_in_talk": 1}), id="s")
    assert transcript.meta["flags"] == ["label_in_talk", "no_times"]


def test_beside_two_main_speakers_a_third_is_other() -> None:
    transcript = segment(raw(*dialogue("Ana", "Ben"), "Cy: Excuse me."), id="s")
    assert transcript.turns[-1].role == "other"
    assert "third_speaker" in transcript.meta["flags"]


def test_labels_that_the_talk_contradicts_are_kept_and_flagged() -> None:
    swapped = segment(raw(*dialogue("C", "T")), id="s")
    assert swapped[0].role == "client"
    assert "roles_contradicted" in swapped.meta["flags"]
    assert "roles_contradicted" not in segment(raw(*dialogue("T", "C")), id="s").meta["flags"]


# --- merging --------------------------------------------------------------------------------------


def test_utterances_of_a_speaker_in_a_row_become_one_turn_that_knows_its_place() -> None:
    transcript = segment(raw("T 0-2: Hello.", "C 2-3: Well.", "C 3-5:  I   came.", "T 5-6: You did."), id="s")
    assert transcript[1] == Turn(1, "C", "client", "Well. I came.", 2.0, 5.0, 2, ("2", "3"))
    assert [turn.role for turn in transcript] == ["therapist", "client", "therapist"]


def test_numbered_input_keeps_its_own_turns_and_gets_none_inserted() -> None:
    lines = ["T: So he left", "C: mm-hmm", "T: and then?", "C: [silence 9s]", "C: Nothing.", "T: Tell me?"]
    assert [text for _, text in turns(*lines, numbered=True)] == [line[3:] for line in lines]
    transcript = segment(raw(*lines, numbered=True), id="s")
    assert [turn.source_ids for turn in transcript] == [(str(n),) for n in range(1, 7)]
    assert transcript.meta["numbered"] is True


TALK = st.lists(
    st.tuples(
        st.sampled_from(["T", "C", "Observer"]),
        st.sampled_from(
            ["So you went,", "yeah", "Mm-hmm.", "What was it like?", "[silence 8s] Bad.", "(pause) I left.", "no"]
        ),
    ),
    min_size=1,
).map(lambda talk: [("T", "Hello."), ("C", "Hi."), *talk])


@given(TALK, st.booleans())
def test_no_word_and_no_number_is_lost(talk: list[tuple[str, str]], numbered: bool) -> None:
    session = raw(*(f"{who}: {text}" for who, text in talk), numbered=numbered)
    transcript = segment(session, id="s")
    said = " ".join(text for _, text in talk).replace("[silence 8s]", "")
    kept = " ".join(turn.text for turn in transcript).replace("[silence 8s]", "").replace("[silence]", "")
    assert re.findall(r"[\w-]+", kept) == re.findall(r"[\w-]+", said)
    ids = [int(number) for turn in transcript for number in turn.source_ids]
    assert sorted(set(ids)) == list(range(1, len(talk) + 1))


# --- silences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark", ["[silence 12s]", "(pause 8 sec)", "(long pause)", "[Silence: 00:07]", "((12.0))", "<silence>"]
)
def test_a_transcribed_silence_after_a_question_is_the_clients_turn(mark: str) -> None:
    expected = [("therapist", "What came up?"), ("client", "[silence]"), ("client", "Nothing much.")]
    assert turns("T: What came up?", f": {mark}", "C: Nothing much.") == expected
    assert turns("T: What came up?", f"C: {mark}", "C: Nothing much.") == expected
    assert turns("T: What came up?", f"C: {mark} Nothing much.") == expected
    assert turns(f"T: What came up? {mark}", "C: Nothing much.") == expected


@pytest.mark.parametrize("mark", ["[pause 2s]", "(pause)", "(1.5)", "[nods]", "[laughs]"])
def test_a_short_pause_or_a_gesture_stays_where_it_was(mark: str) -> None:
    assert turns("T: What came up?", f"C: {mark} Nothing much.")[1:] == [("client", f"{mark} Nothing much.")]


def test_a_gesture_alone_is_an_answer() -> None:
    assert turns("T: Shall we stop there?", "C: [nods]", "T: Okay.")[1] == ("client", "[nods]")


def test_a_silence_that_follows_no_question_stays_in_the_text() -> None:
    assert turns("T: You miss her.", ": [silence 12s]", "C: I do.") == [
        ("therapist", "You miss her. [silence 12s]"),
        ("client", "I do."),
    ]
    assert turns("T: And?", "C: I was,", ": (pause 9s)", "C: well.")[1] == ("client", "I was, (pause 9s) well.")
    assert turns(": [silence 6s]", "T: Hello.", "C: Hi.")[0] == ("therapist", "[silence 6s] Hello.")


def test_a_therapist_who_breaks_the_silence_speaks_in_a_turn_of_their_own() -> None:
    assert turns("T: What came up?", ": [silence 20s]", "T: Take your time.", "C: Okay.") == [
        ("therapist", "What came up?"),
        ("client", "[silence]"),
        ("therapist", "Take your time."),
        ("client", "Okay."),
    ]


def test_a_timed_silence_needs_both_ends_and_five_seconds() -> None:
    transcript = segment(raw("T 0-2: What came up?", "C 7-9: Nothing."), id="s")
    assert transcript[1] == Turn(1, "C", "client", "[silence]", 2.0, 7.0, 2, ())
    assert len(segment(raw("T 0-2: What came up?", "C 6.9-9: Nothing."), id="s")) == 2
    assert len(segment(raw("T 0-2: You were sad.", "C 9-10: Yes."), id="s")) == 2
    open_end = (Utterance("T", "What came up?", 0.0), Utterance("C", "Nothing.", 9.0))
    assert len(segment(RawSession(None, open_end, "csv"), id="s")) == 2


def test_one_silence_that_is_both_timed_and_transcribed_counts_once() -> None:
    transcript = segment(raw("T 0-2: What came up?", "C 12-14: [silence 10s] Nothing."), id="s")
    assert [turn.text for turn in transcript] == ["What came up?", "[silence]", "Nothing."]
    assert (transcript[1].start_s, transcript[1].end_s) == (2.0, 12.0)


# --- back-channels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["C: I packed the car, and then", "T: mm-hmm", "C: he left."],
        ["C: I packed the car and then--", "T: Mm-hmm.", "C: He left."],
        ["C 0-9: I packed the car and then he said.", "T 3-4: uh-huh", "C 9-11: He left."],
    ],
)
def test_a_back_channel_stays_inside_the_running_turn(lines: list[str]) -> None:
    told = turns(*lines, "T: And how was that?")
    sound = lines[1].split(": ")[1].rstrip(".")
    before, after = lines[0].split(": ")[1], lines[2].split(": ")[1]
    assert told == [("client", f"{before} [{sound}] {after}"), ("therapist", "And how was that?")]


@pytest.mark.parametrize(
    "lines",
    [
        ["T: Did you go?", "C: yeah", "T: and then"],
        ["T: You could call her.", "C: Yeah.", "T: Or write."],
        ["T: tell me about home", "C: okay", "T: whatever comes"],
        ["T: So you left, and", "C: no", "T: you stayed away."],
        ["T: So you left, and", "C: uh-uh", "T: you stayed away."],
        ["T: So you left, and", "C: I guess so", "T: you stayed away."],
    ],
)
def test_what_may_be_an_answer_stays_a_turn(lines: list[str]) -> None:
    assert len(turns(*lines)) == 3


def test_in_captions_without_punctuation_only_times_make_a_back_channel() -> None:
    talk = ["speaker 1: " + "you know what it is like to carry all of that for so long on your own " * 3]
    session = [*talk, "speaker 2: yeah", "speaker 1: and nobody asks you about it"]
    roles = {"speaker 1": "therapist", "speaker 2": "client"}
    assert len(turns(*session, roles=roles)) == 3


# --- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("[silence]", "silence"),
        ("Well. [silence 12s] I left him.", "silence"),
        ("I (pause) left him.", "pause"),
        ("[nods] Go on then.", "paraverbal"),
        ("It was *laughs* not a good day.", "paraverbal"),
        ("[LAUGHS] Not a good day.", "paraverbal"),
        ("I said // no way.", "overlap"),
        ("I said [overlapping] no way.", "overlap"),
        ("He was [inaudible] about it.", "inaudible"),
        ("He was {unint. 00:04:10} about it.", "inaudible"),
        ("[muffled crying] He was.", "paraverbal"),
        ("I told [NAME] about XXXX today.", "redacted"),
        ("I told [redacted] about it.", "redacted"),
        ("I told him [Mm-hmm] about it.", "backchannel_inside"),
        ("Yeah.", "one_word"),
        ("uh-huh", "one_word"),
        ("word " * 180, "minute_long"),
        ("See https://example.org (my page) about it.", ""),
    ],
)
def test_marks_in_a_turn_are_recognised(text: str, flags: str) -> None:
    assert ";".join(turn_flags(Turn(0, "C", "client", text))) == flags


@pytest.mark.parametrize(
    "mark",
    [
        *("name", "Name 1", "name_2", "name-b", "Names", "city name", "NAME1", "person A", "Doctor's name", "age 34"),
        *("phone number", "street address", "employer name", "DATE OF BIRTH", "date of birth", "hospital name removed"),
        *("name withheld", "Company X", "school redacted", "redacted name", "omitted", "place name 2", "town_3"),
        *("MY SISTER", "SISTER'S NAME", "DOG’S NAME", "PHONE NUMBER", "END CLIENT", "KINGS CROSS"),
    ],
)
def test_what_stands_for_words_that_protect_somebody_is_redacted(mark: str) -> None:
    assert turn_flags(Turn(0, "C", "client", f"I told [{mark}] about it.")) == ("redacted",)


@pytest.mark.parametrize(
    "mark",
    [
        *("phone rings", "phone ringing", "school bell", "doctor enters", "doctor returns", "person knocks"),
        *("name tag falls", "street noise", "town crier", "agenda", "places cup down", "dates the form"),
        *("PHONE RINGS", "DOOR SLAMS", "DOG BARKING", "KNOCK ON DOOR", "END OF TAPE", "BACKGROUND NOISE"),
    ],
)
def test_what_happens_in_the_room_is_not_redacted(mark: str) -> None:
    assert turn_flags(Turn(0, "C", "client", f"I told him [{mark}] about it.")) == ()


def test_a_turn_of_a_minute_by_the_clock_is_flagged_however_few_its_words() -> None:
    assert "minute_long" in turn_flags(Turn(0, "C", "client", "I see now.", 0.0, 60.0))
    assert "minute_long" not in turn_flags(Turn(0, "C", "client", "word " * 200, 0.0, 59.0))


def test_marks_reach_the_transcript_verbatim() -> None:
    said = "I told [NAME] [laughs] it's // fine (pause) [inaudible]."
    assert turns("T: And?", f"C: {said}")[1][1] == said


@pytest.mark.parametrize("label", ["Unknown", "UNK", "Unk 2", "unidentified speaker", "Speaker (unknown)"])
def test_whoever_is_unknown_is_so_in_the_flag_and_in_the_count_of_words(label: str) -> None:
    talk = raw("T: How was it?", "C: Long.", f"{label}: It went on and on and on for the whole of it.")
    with pytest.raises(RoleError, match="half of the words"):
        segment(talk, id="s")
    assert segment(talk, id="s", roles={label: "other"}).meta["flags"] == ["no_times", "unknown_speaker"]


def test_a_name_that_begins_like_unknown_is_a_third_speakers() -> None:
    talk = raw("T: How was it?", "C: Long.", "Unkel (mother): It went on and on and on for the whole of it.")
    assert segment(talk, id="s").meta["flags"] == ["no_times", "third_speaker"]


@pytest.mark.parametrize(
    "labels", ["Speaker A,Speaker B", "SPEAKER_A,SPEAKER_B", "Speaker 1,Speaker 2", "spk_0,spk_1", "A,B"]
)
def test_labels_of_a_machine_are_doubtful(labels: str) -> None:
    one, other = labels.split(",")
    talk = raw(f"{one}: How was it for you?", f"{other}: Long.")
    assert "diarisation_doubt" in segment(talk, id="s", roles={one: "therapist", other: "client"}).meta["flags"]


@pytest.mark.parametrize("label", ["Speaker", "Speakers", "Speaker Ana", "S A", "A"])
def test_other_labels_are_not_a_machines(label: str) -> None:
    talk = raw("T: How was it for you?", f"{label}: Long.")
    assert "diarisation_doubt" not in segment(talk, id="s", roles={label: "client"}).meta["flags"]


def test_session_flags_say_what_is_doubtful() -> None:
    short = [line for n in range(6) for line in (f"T: Tell me about day {n}, please?", "C: Fine.")]
    assert segment(raw(*short), id="s").meta["flags"] == ["many_one_word_turns", "no_times"]
    caption = raw(*(f"Speaker {1 + n % 2} {n}-{n + 61}: so you feel it is all too much" for n in range(8)))
    roles = {"speaker 1": "therapist", "speaker 2": "client"}
    assert segment(caption, id="s", roles=roles).meta["flags"] == [
        "diarisation_doubt",
        "minute_long_turns",
        "no_punctuation",
    ]
    partly = raw("T 0-2: Come in.", "C: Thanks.", ": Good morning.")
    assert segment(partly, id="s").meta["flags"] == ["missing_times", "unknown_speaker"]


OTHER_LANGUAGES = {
    "Spanish": (
        "Hola, ¿cómo te ha ido esta semana desde la última vez que hablamos?",
        "Pues no muy bien, la verdad. Mi hermano me llamó el domingo y acabamos gritando otra vez.",
        "Parece que eso te dejó bastante cansado. ¿Qué fue lo peor para ti?",
        "Que nunca me escucha. Le digo que no puedo más y él sigue hablando de su trabajo y de la casa.",
    ),
    "German": (
        "Wie ist es Ihnen seit unserem letzten Gespräch ergangen, und was war am Sonntag mit Ihrem Bruder?",
        "Na ja, nicht so gut. Mein Bruder hat angerufen und wir haben uns wieder nur angeschrien.",
        "Das klingt so, als hätte es Sie ziemlich erschöpft. Was war das Schlimmste daran?",
        "Dass er mir nie zuhört. Ich sage ihm, ich kann nicht mehr, und er redet weiter von seiner Arbeit.",
    ),
    "French": (
        "Comment ça s’est passé depuis notre dernière séance ?",
        "Pas très bien, en fait. Mon frère m’a appelé dimanche et on a fini par se crier dessus encore une fois.",
        "On dirait que ça vous a beaucoup fatigué. Qu’est-ce qui a été le pire pour vous ?",
        "Qu’il ne m’écoute jamais. Je lui dis que je n’en peux plus et il continue à parler de son travail et de tout.",
    ),
    "Italian": (
        "Come è andata da quando ci siamo visti l'ultima volta?",
        "Non tanto bene. Mio fratello mi ha chiamato domenica e abbiamo finito per urlare un'altra volta, come sempre.",
        "Sembra che questo l'abbia stancata molto. Che cosa è stato peggio per lei?",
        "Che non mi ascolta mai. Io gli dico che non ce la faccio più e lui continua a parlare del suo lavoro.",
    ),
    "Dutch": (
        "Hoe is het met u gegaan sinds ons laatste gesprek?",
        "Niet zo goed eigenlijk. Mijn broer belde zondag en we stonden weer tegen elkaar te schreeuwen.",
        "Dat klinkt alsof het u veel energie heeft gekost. Wat was het ergste voor u?",
        "Dat hij nooit naar me luistert. Ik zeg dat ik niet meer kan en hij praat maar door over zijn werk.",
    ),
    "Polish": (
        "Jak minął pani tydzień od naszej ostatniej rozmowy, i co było z bratem?",
        "No nie najlepiej. Zadzwonił do mnie w niedzielę i znowu to się skończyło krzykiem, i to strasznym.",
        "Brzmi to tak, jakby to panią bardzo zmęczyło. Co było w tym najgorsze?",
        "To, że on mnie nigdy nie słucha. Mówię mu, że już nie mogę, a on dalej o swojej pracy i co ja mam zrobić.",
    ),
}
OUR_WORDS = "Right, you get home and it's all on your plate. How was the rest of the week?"


@pytest.mark.parametrize("language", OTHER_LANGUAGES)
def test_talk_in_another_language_is_flagged(language: str) -> None:
    lines = [f"{'CT'[n % 2]}: {text}" for n, text in enumerate(OTHER_LANGUAGES[language], 1)]
    assert "not_english" in segment(raw(*lines), id="s").meta["flags"]
    captions = [re.sub(r"[^\w\s:]", "", line).lower() for line in lines]
    assert "not_english" in segment(raw(*captions), id="s").meta["flags"]
    # an observer's English is neither client's nor therapist's
    watched = segment(raw(*lines, f"Observer: {OUR_WORDS}"), id="s")
    assert "not_english" in watched.meta["flags"]
    # too little to tell
    assert "not_english" not in segment(raw(*lines[:2]), id="s").meta["flags"]


def test_english_is_not_flagged_as_another_language_whoever_speaks_it() -> None:
    assert "not_english" not in segment(raw(*dialogue("T", "C")), id="s").meta["flags"]
    sessions, exchanges = (
        [json.loads(line) for line in (DATA / file).read_text("utf-8").splitlines()]
        for file in ("synthetic/sessions.jsonl", "fairness/exchanges.jsonl")
    )
    talk: dict[str, list[str]] = {}
    for item in sessions[::20] + exchanges:
        # the exchanges of a variety are short, and long enough together
        talk.setdefault(item.get("group", item["id"]), []).extend(text for _, text, *_ in item["turns"])
    assert len(talk) > 100
    for written in talk.values():
        captions = [re.sub(r"[^\w\s]", "", text).lower() for text in written]
        for texts in (written, captions):
            session = Transcript("s", tuple(Turn(n, "C", "client", text) for n, text in enumerate(texts)))
            assert "not_english" not in session_flags(session)


def test_flags_come_from_the_closed_lists_and_from_the_transcript_alone() -> None:
    transcript = segment(raw(*dialogue("Speaker 1", "Speaker 2"), "Cy: [nods] (pause) [NAME] // yes"), id="s")
    assert set(transcript.meta["flags"]) <= set(SESSION_FLAGS)
    assert {flag for turn in transcript for flag in turn_flags(turn)} <= set(TURN_FLAGS)
    again = Transcript(transcript.id, transcript.turns, meta=transcript.meta)
    assert list(session_flags(again)) == transcript.meta["flags"]


def test_what_the_input_said_of_the_session_is_kept() -> None:
    transcript = segment(raw("T: Hello.", "C: Hi.", meta={"client_id": "17"}), id="s9", path="a/b.txt")
    assert transcript.id == "s9"
    assert {k: transcript.meta[k] for k in ("client_id", "path", "format", "numbered")} == {
        "client_id": "17",
        "path": "a/b.txt",
        "format": "text",
        "numbered": False,
    }


def test_a_hundred_thousand_turns_and_one_very_long_one() -> None:
    many = raw(*("T: So you went on, and", "C: yeah", "T: you stayed. Why?", "C: [silence 6s] I did.") * 25_000)
    assert len(segment(many, id="s")) == 75_000
    endless = "(((([[[[ " + "i don't know what to say // to you [mm " * 5_000
    assert segment(raw("T: And?", f"C: {endless}"), id="s")[1].text == endless.strip()
