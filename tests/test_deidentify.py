"""De-identification: what is replaced, that it comes back, and that nothing of it is in any output."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from pathlib import Path

import pytest

import rupturekit as rk
from rupturekit.cli import main
from rupturekit.deidentify import _PATTERNS, Deidentifier, deidentify, read_names
from rupturekit.segment import turn_flags, words
from rupturekit.tables import Pseudonyms

ROOT = Path(__file__).parents[1]


def said(*talk: str, names: tuple[str, ...] = (), speaker: str = "C") -> list[str]:
    turns = tuple(rk.Turn(n, speaker, "client", text) for n, text in enumerate(talk))
    return [turn.text for turn in deidentify(rk.Transcript("s1", turns), names).transcript]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I saw Ngozi in Bristol.", "I saw [NAME_1] in [PLACE_1]."),
        ("i saw ngozi in bristol and ngozis mum", "i saw [NAME_1] in [PLACE_1] and [NAME_1]s mum"),
        ("It was Priya's, and Priya\u2019ll come.", "It was [NAME_1]'s, and [NAME_1]\u2019ll come."),
        ("So Quillfeather rang.", "So [NAME_1] rang."),
        ("my name is quill and dr brackish knows", "my name is [NAME_1] and dr [NAME_2] knows"),
        ("It was on 3 March 2019.", "It was on [DATE_1]."),
        ("it was the third of may and then in june", "it was [DATE_1] and then in [DATE_2]"),
        ("born 04/11/1987, died on 07/09/2018", "born [DATE_1], died on [DATE_2]"),
        ("Ring 0113 496 0000.", "Ring [PHONE_1]."),
        ("it's oh seven seven zero zero nine one two three four", "it's [PHONE_1]"),
        ("Mail q.b@example.org please.", "Mail [EMAIL_1] please."),
        ("it is q dot b at example dot com", "it is [EMAIL_1]"),
        ("See www.example.org/me or example.com.", "See [URL_1] or [URL_2]."),
        ("at 22 Acacia Avenue, LS1 4AP", "at [ADDRESS_1], [ADDRESS_2]"),
        ("MRN 4482913, NHS number 943 476 5919", "MRN [ID_1], NHS number [PHONE_1]"),
        ("SSN 078-05-1120", "SSN [ID_1]"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN [ID_1]"),
        ("She is 93. He turned ninety one.", "She is [AGE_1]. He turned [AGE_2]."),
        ("I am 93, I'll be ninety-four.", "I am [AGE_1], I'll be [AGE_2]."),
        ("[Priya laughs] Fine.", "[NAME_1 laughs] Fine."),
        ("[NAME_2] met Priya.", "[NAME_2] met [NAME_3]."),
    ],
)
def test_what_is_replaced(text: str, expected: str) -> None:
    assert said(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "I will hope that it may work, and I guess I'm fine.",
        "Will you come? May I ask? Hope so. Mark my words.",
        "For 90 minutes on Monday I gave it 100 percent, seven out of ten.",
        "I am 100 percent sure, and I'll be 90 minutes.",
        "Well, I-I think so, and I'm-I'm not sure, it was so-so.",
        "My Mum is Polish, I have ADHD and we do CBT on Zoom.",
        "In 1987 we had 10,000 of them; five four three two one.",
        "[laughs] Honestly, this isn't helping. [silence 12s]",
    ],
)
def test_what_stays(text: str) -> None:
    assert said(text) == [text]


def test_a_name_has_one_placeholder_in_a_session_and_the_lists_number_in_every_session() -> None:
    names = ("Katarzyna Nowak, Kasia", "will")
    assert said("Zofia met Kasia.", "katarzyna nowak and will met zofia.", names=names) == [
        "[NAME_3] met [NAME_1].",
        "[NAME_1] and [NAME_2] met [NAME_3].",
    ]
    # an ordinary word in the list needs a capital, unless it is given in small letters
    assert said("I will ask Will.", names=("Will",)) == ["I will ask [NAME_1]."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i told zbyszko.then he left", "i told [NAME_1].then he left"),
        ("i told zbyszko.i left", "i told [NAME_1].i left"),
        ("mr.zbyszko came", "mr.[NAME_1] came"),
        ("my ex-zbyszko, z-zbyszko, zbyszko-and-me", "my ex-[NAME_1], z-[NAME_1], [NAME_1]-and-me"),
        ("ex-zbyszkos car, zbyszko's-or-mine", "ex-[NAME_1]s car, [NAME_1]'s-or-mine"),
        ("zbyszko'd've come, zbyszko\u2019d\u2019ve", "[NAME_1]'d've come, [NAME_1]\u2019d\u2019ve"),
        ("anne-marie-and-me and o\u2019brannigan's", "[NAME_2]-and-me and [NAME_3]'s"),
        ("I don't want a No-No, e.g. at 5 p.m.", "I don't want a No-No, e.g. at 5 p.m."),
    ],
)
def test_a_listed_name_is_found_at_the_boundaries_of_ordinary_talk(text: str, expected: str) -> None:
    assert said(text, names=("Zbyszko", "Anne-Marie", "O'Brannigan", "Don")) == [expected]


def test_a_listed_name_with_small_words_in_it_is_found_by_each_of_the_others() -> None:
    names = ("Xiomara de la Quillfeather", "Van der Brackish", "the Meadow Clinic")
    talk = "i told xiomara and quillfeather de la casa, the van of brackish, the brackishs meadow"
    told = "i told [NAME_1] and [NAME_1] de la casa, the van of [NAME_2], the [NAME_2]s meadow"
    assert said(talk, names=names) == [told]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the words of the second name overlap with both, which are one
        ("I saw Katarzyna Nowak Katarzyna Nowak there.", "I saw [NAME_1] there."),
        ("I saw New York-Priya did too.", "I saw [PLACE_1]-[NAME_2] did too."),
        ("I saw Priya-New York was hot.", "I saw [NAME_2]-[PLACE_1] was hot."),
        ("It was mid-March-Priya left.", "It was mid-[DATE_1]-[NAME_2] left."),
    ],
)
def test_what_is_left_of_a_word_that_is_taken_in_part_is_a_word(text: str, expected: str) -> None:
    assert said(text, names=("Katarzyna Nowak",)) == [expected]


def test_a_speakers_name_is_found_at_the_same_boundaries() -> None:
    assert said("ex-zbyszko.then zbyszko'd've", speaker="Zbyszko") == ["ex-[NAME_1].then [NAME_1]'d've"]


def test_a_known_name_is_found_where_the_space_after_a_stop_is_left_out() -> None:
    assert said("i told priya.then he left.She said.Then no") == ["i told [NAME_1].then he left.She said.Then no"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_accents_may_stand_apart_from_their_letters(form: str, listed: str) -> None:
    # the last has an accent that no single character holds
    names = tuple(unicodedata.normalize(listed, name) for name in ("Núñez", "Anaïs Le Blanc", "Ọ̀ṣun"))
    talk = "i told núñez.then ex-Núñez's, anaïs le blanc and ọ̀ṣun, ana"
    text = unicodedata.normalize(form, talk)
    hidden = deidentify(rk.Transcript("s1", (rk.Turn(0, "C", "client", text),)), names)
    assert hidden.transcript[0].text == ("i told [NAME_1].then ex-[NAME_1]'s, [NAME_2] and [NAME_3], [NAME_4]")
    there = [text[r.original_start : r.original_end] for r in hidden.replaced]
    assert [unicodedata.normalize("NFC", name) for name in there] == [
        "núñez", "Núñez", "anaïs le blanc", "ọ̀ṣun", "ana",
    ]  # fmt: skip


@pytest.mark.parametrize("label", ["Núñez", "Client (Núñez)"])
def test_accents_of_a_label_and_of_the_talk_may_differ(label: str) -> None:
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        text = unicodedata.normalize(form, "i am núñez")
        assert said(text, speaker=unicodedata.normalize(other, label)) == ["i am [NAME_1]"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Client (Quillfeather)", "i told [NAME_1] and kestrel vantrepol on the phone"),
        ("Client A (Quillfeather)", "i told [NAME_1] and kestrel vantrepol on the phone"),
        ("client (quillfeather)", "i told [NAME_1] and kestrel vantrepol on the phone"),
        ("Quillfeather (client)", "i told [NAME_1] and kestrel vantrepol on the phone"),
        ("Patient (Kestrel Vantrepol)", "i told quillfeather and [NAME_1] on the phone"),
        ("Mum (Vantrepol)", "i told quillfeather and kestrel [NAME_1] on the phone"),
        ("Client (on the phone)", "i told quillfeather and kestrel vantrepol on the phone"),
    ],
)
def test_the_name_in_brackets_of_a_label_goes_from_the_talk(label: str, expected: str) -> None:
    assert said("i told quillfeather and kestrel vantrepol on the phone", speaker=label) == [expected]


@pytest.mark.parametrize(
    "id",
    [
        "078-05-1120", "943 476 5919", "0113-496-0000", "555_123_4567.txt", "555-0142", "QQ 12 34 56 C", "K1A 0B1",
        "12.03.63", "s12_03_63", "Ed 07/11/63", "1963-03", "c03_1963", "2023-05-01",
        "Li_Na", "li12", "ed7", "J_K", "王伟", "s１２", "zbyszko", "Bo-3", "P99_s01", "nowak_03",
    ],
)  # fmt: skip
def test_an_id_that_may_tell_somebody_is_hashed(id: str) -> None:
    key = Pseudonyms(b"k")
    assert Deidentifier(("Zbyszko, Bo", "P99"), None, key).shown(id) == key.hash(id)


@pytest.mark.parametrize(
    "id",
    ["s12", "S12", "2024-03", "K1-0042", "P012_s03.txt", "P012s03", "site2/P012/P012_s03.cha", "Client 12", "7", "C"],
)
def test_an_id_that_is_a_code_stays(id: str) -> None:
    assert Deidentifier(("Stan Zbyszko", "S. Cole"), None, Pseudonyms(b"k")).shown(id) == id


def test_speakers_are_called_by_role_and_their_names_go_from_the_talk() -> None:
    turns = (rk.Turn(0, "Dr Brackish", "therapist", "Hello."), rk.Turn(1, "Quill", "client", "thanks brackish"))
    hidden = deidentify(rk.Transcript("s1", turns)).transcript
    assert [(turn.speaker, turn.text) for turn in hidden] == [
        ("therapist 1", "Hello."),
        ("client 1", "thanks [NAME_1]"),
    ]


def test_how_much_was_left_out_when_it_was_read_stays() -> None:
    left_out = {"header_lines": 3, "duplicate_rows": 2, "tiers_left_out": 4, "cells_left_out": 5, "labels_in_talk": 1}
    session = rk.Transcript("s1", (rk.Turn(0, "C", "client", "Hello."),), meta=left_out)
    assert left_out.items() <= deidentify(session).transcript.meta.items()


def test_offsets_come_back_to_the_original() -> None:
    text = "Priya, I told Ngozi in Leeds that this isn't helping, Priya."
    hidden = deidentify(rk.Transcript("s1", (rk.Turn(0, "C", "client", text),)))
    (marker,) = [m for m in rk.Annotator(model=None)(hidden.transcript).markers if m.source == "rule"] or [None]
    start = hidden.transcript[0].text.index("this isn't")
    marker = marker or rk.Marker(0, start, start + 18, "confrontation", "complaint_progress")
    back = hidden.original(marker)
    assert text[back.start : back.end] == hidden.transcript[0].text[marker.start : marker.end]
    for one in hidden.replaced:
        whole = hidden.original(rk.Marker(0, one.start, one.end, "confrontation", "complaint_progress"))
        assert (whole.start, whole.end) == (one.original_start, one.original_end)


def test_the_example_files_keep_the_markers_that_the_documentation_says() -> None:
    given = [t for path in sorted((ROOT / "examples" / "sessions").iterdir()) for t in rk.read_all(path)]
    hidden = [deidentify(transcript).transcript for transcript in given]
    assert sum(len(re.findall(r"\[[A-Z]+_\d+\]", turn.text)) for t in hidden for turn in t) == 22

    def found(annotate: rk.Annotator, transcripts: list[rk.Transcript]) -> set[tuple[str, int, str]]:
        sessions = zip(given, map(annotate, transcripts), strict=True)
        return {(t.id, m.turn, m.marker) for t, session in sessions for m in session.markers}

    rules, both = rk.Annotator(model=None), rk.Annotator()
    assert found(rules, given) == found(rules, hidden)
    before, after = found(both, given), found(both, hidden)
    assert max(len(before - after), len(after - before)) < len(before) / 10


def test_a_second_time_changes_nothing() -> None:
    once = deidentify(rk.Transcript("s1", (rk.Turn(0, "Ann", "client", "I saw Ngozi on 3 May in Leeds."),))).transcript
    assert [t.text for t in deidentify(once).transcript] == [t.text for t in once]


def test_placeholders_are_marks_of_redaction_and_no_others() -> None:
    for kind in ("NAME", "PLACE", "ORG", "DATE", "AGE", "PHONE", "EMAIL", "URL", "ADDRESS", "ID"):
        turn = rk.Turn(0, "C", "client", f"I met [{kind}_12] there.")
        assert turn_flags(turn) == ("redacted",)
        assert words(turn.text) == ["I", "met", "there"]


SESSION = """Quill Ravenscroft: I told Priya on 3 March in Leeds, ring 0113 496 0000 or mail q.b@example.org.
Dr Brackish: How has this been for you, Quill?
Quill Ravenscroft: Honestly, this isn't helping, Dr Brackish. My boss Vanterpool says so too.
Dr Brackish: What did Vanterpool say?
Quill Ravenscroft: I don't know.
"""
CANARIES = "quill ravenscroft brackish priya vanterpool leeds 0113 q.b@example march".split()


def everything_in(folder: Path) -> str:
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    found += [path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()]
    return "\n".join(found).lower()


def test_no_output_holds_what_was_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ravenscroft_3_march.txt").write_text(SESSION, "utf-8")
    (tmp_path / "names.txt").write_text("Ravenscroft\n", "utf-8")
    out = tmp_path / "out"
    roles = "Quill Ravenscroft=client,Dr Brackish=therapist"
    arguments = ["annotate", str(tmp_path / "in"), "--out", str(out), "--no-model", "--deidentify"]
    arguments += ["--names", str(tmp_path / "names.txt"), "--roles", roles, "--format", "html,praat,label-studio"]
    from rupturekit.cli.options import exchange_formats

    arguments[-1] = ",".join(["html", *(f for f in exchange_formats() if f in ("eaf", "textgrid", "label-studio"))])
    assert main(arguments) == 0
    shown = "".join(capsys.readouterr())
    written = everything_in(out)
    assert [word for word in CANARIES if word in written] == []
    assert "ravenscroft" not in shown.replace(roles, "")
    assert "No guarantee" in shown
    (session,) = rk.load(out)
    assert [turn.speaker for turn in session.transcript][:2] == ["client 1", "therapist 1"]
    assert "complaint_progress" in {m.marker for m in session.markers}
    told = json.loads((out / "run.json").read_text("utf-8"))["settings"]["deidentify"]
    assert told["names"] == 1
    assert told["recogniser"] is None
    # the written turns, read again, are marked in the same places
    again = rk.Annotator(model=None)(rk.read(out / "turns.csv"))
    assert again.markers == session.markers


def test_no_output_holds_a_number_or_short_name_of_a_table(tmp_path: Path) -> None:
    planted = ["078-05-1120", "12.03.63", "Li_Na", "9434765919"]
    rows = [{"session_id": id, "client_id": id, "session_number": 9434765919, "turns": [
        {"speaker": "client", "text": "I don't know."}, {"speaker": "therapist", "text": "Go on."}]}
        for id in planted]  # fmt: skip
    (tmp_path / "Li_Na.json").write_text(json.dumps(rows), "utf-8")
    out = tmp_path / "out"
    assert main(["annotate", str(tmp_path / "Li_Na.json"), "--out", str(out), "--no-model", "--deidentify"]) == 0
    assert len(list(rk.load(out))) == len(planted)
    assert [id for id in planted if id.lower() in everything_in(out)] == []


def test_what_was_kept_of_a_run_with_other_names_is_not_taken() -> None:
    key = Pseudonyms(b"k")
    kept = {str(Deidentifier(names, None, key).settings) for names in ((), ("Ann",), ("Bea",))}
    assert len(kept) == 3
    assert "Bea" not in str(kept)


@pytest.mark.parametrize("more", [["--names", "x.txt"], ["--recogniser", "x"], ["--deidentify", "--no-text"]])
def test_options_that_do_not_go_together(more: list[str], tmp_path: Path) -> None:
    assert main(["annotate", str(tmp_path), "--out", str(tmp_path / "out"), *more]) == 2


def test_a_recogniser_must_be_installed_and_recognise(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    session = rk.Transcript("s1", (rk.Turn(0, "C", "client", "wodonga and breckenforth came"),))
    with pytest.raises(ValueError, match="nothing is downloaded"):
        deidentify(session, recogniser="no_such_pipeline")
    blank = spacy.blank("en")
    blank.to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="recognises no names"):
        deidentify(session, recogniser=str(tmp_path / "blank"))
    ruler = blank.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "GPE", "pattern": "wodonga"}, {"label": "PERSON", "pattern": "breckenforth"}])
    blank.to_disk(tmp_path / "stub")
    (turn,) = deidentify(session, recogniser=str(tmp_path / "stub")).transcript
    assert turn.text == "[PLACE_1] and [NAME_1] came"


@pytest.mark.parametrize("content", [b"", b"# nobody\n\n", b"\xff\xfe\xff"])
def test_a_bad_list_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"names\.txt"):
        read_names(tmp_path / "names.txt")


@pytest.mark.parametrize(
    "unit", ["a", "1", "a1-", "one ", "1 ", "a.", "a dot ", "@a", "12 a b ", "may ", "on a ", "[", "nhs "]
)
def test_patterns_take_time_by_length(unit: str) -> None:
    def cost(n: int) -> float:
        text = unit * (n // len(unit))
        begun = time.process_time()
        for _, pattern in _PATTERNS:
            for _ in pattern.finditer(text):
                pass
        return time.process_time() - begun

    # four times the text, some four times the work; sixteen times if it were quadratic
    assert cost(80_000) < 9 * cost(20_000) + 0.2
