"""The 3RS sheet: what it shows, what comes back from it, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rupturekit as rk
from rupturekit import sheets
from rupturekit.annotation import FAMILIES, Coded
from rupturekit.codebook import load_codebook, load_crosswalk
from rupturekit.score import FAMILIES_OF

BOOK = load_codebook()
OWN = """
name = "team"
version = "0.2"

[[marker]]
id = "door_handle"
code = "Q1"
parent = "withdrawal"
label = "=Leaves it to the last minute"

[[marker]]
id = "names_it"
code = "Q2"
parent = "resolution"
label = "Names the rupture"
"""


def session(id: str = "s1", n: int = 45, seconds: float | None = 20.0) -> rk.Transcript:
    """Return a session of turns that alternate, therapist first."""
    turns = []
    for i in range(n):
        who = ("T", "C")[i % 2]
        start = None if seconds is None else i * seconds
        turns.append(rk.Turn(i, who, "therapist" if who == "T" else "client", f"Well, that is turn {i}.", start))
    return rk.Transcript(id, tuple(turns))


def mark(turn: int, code: str, span: tuple[int, int] = (0, 4), source: str = "coder:AB", **more: Any) -> rk.Marker:
    entry = BOOK.by_code(code)
    return rk.Marker(turn, *span, entry.parent, entry.id, source=source, **more)


def coded(source: str, n: int) -> tuple[Coded, ...]:
    return tuple(Coded(source, family, 0, n - 1) for family in FAMILIES)


def covered(annotated: rk.AnnotatedTranscript) -> set[tuple[str, str, int]]:
    return {(c.source, c.family, turn) for c in annotated.coded for turn in range(c.first, c.last + 1)}


def table(path: Path, sheet: str = "Markers") -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    header, *rows = openpyxl.load_workbook(path)[sheet].iter_rows(values_only=True)
    return [dict(zip(header, row)) for row in rows]


def filled(path: Path, change: Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]], out: Path) -> Path:
    """Return the sheet as a rater saves it after changing its rows."""
    rows = list(change(table(path)))
    names = list(rows[0])
    if path.suffix == ".csv":
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
        out.write_text(file.getvalue(), "utf-8")
    else:
        book = openpyxl.load_workbook(path)
        sheet = book["Markers"]
        sheet.delete_rows(1, sheet.max_row)
        sheet.append(names)
        for row in rows:
            sheet.append([row.get(name) for name in names])
        book.save(out)
    return out


FORMAT = pytest.mark.parametrize("suffix", [".xlsx", ".csv"])

# ---- there and back

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    [
        "=1+1",
        "-- no 🙂",
        "@home",
        "+44",
        "שלום עולם",
        "e\u0301\u2028",
        "'tis",
        "#N/A",
        "a;b:0-1 | c",
        "\x0bx\x00",
        "_x0041_",
        "12",
    ]
)
remarks = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], include_characters="\n\t"), min_size=1, max_size=12
).filter(str.strip) | st.sampled_from(["=HYPERLINK(1)", "'quoted'", "''", "@x", " kept ", "12", "1.0", "x", "#REF!"])


@st.composite
def codings(draw: st.DrawFn) -> rk.AnnotatedTranscript:
    timed = draw(st.booleans())
    turns = []
    for i in range(draw(st.integers(1, 9))):
        role = draw(st.sampled_from(["client", "therapist", "other"]))
        start = i * draw(st.sampled_from([0.0, 40.0, 170.0])) if timed else None
        turns.append(rk.Turn(i, "Who", role, draw(words), start))  # type: ignore[arg-type]
    parts: list[Coded] = []
    markers: set[rk.Marker] = set()
    for source in draw(st.lists(st.sampled_from(["coder:AB", "coder:=Dr. C"]), min_size=1, unique=True)):
        mine: set[tuple[str, int]] = set()
        for family in FAMILIES:
            first = draw(st.integers(0, len(turns) - 1))
            last = draw(st.integers(first, len(turns) - 1))
            if first == 0 or draw(st.booleans()):
                parts.append(Coded(source, family, first, last))
                mine |= {(family, turn) for turn in range(first, last + 1)}
        places = sorted(p for p in mine if p[0] in FAMILIES_OF[turns[p[1]].role])
        if not mine:
            parts.append(Coded(source, "withdrawal", 0, 0))
        for family, turn in draw(st.lists(st.sampled_from(places), max_size=6)) if places else []:
            start = draw(st.integers(0, len(turns[turn].text) - 1))
            end = draw(st.integers(start + 1, len(turns[turn].text)))
            name = draw(st.sampled_from([m.id for m in BOOK.of(family)]))
            clarity = draw(st.sampled_from([None, 1, 2, 3]))
            note = draw(st.none() | remarks)
            markers.add(
                rk.Marker(turn, start, end, family, name, None, clarity, source, None, note)  # type: ignore[arg-type]
            )
    transcript = rk.Transcript(draw(st.sampled_from(["s1", "=s 1", "007", "2.0", "ä'🙂"])), tuple(turns))
    return rk.AnnotatedTranscript(transcript, tuple(markers), coded=tuple(parts))


@FORMAT
@settings(max_examples=60, deadline=None)
@given(coding=codings(), seconds=st.sampled_from([60.0, 300.0]))
def test_codings_come_back_exactly(suffix: str, coding: rk.AnnotatedTranscript, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"sheet{suffix}")
        sheets.write([coding], path, segment_s=seconds, crosswalk=load_crosswalk())
        (back,) = sheets.read(path, [coding.transcript])
        # the rater sends back the CSV alone
        Path(folder, "sheet.turns.csv").unlink(missing_ok=True)
        assert sheets.read(path, [coding.transcript]) == [back]
    assert back.transcript == coding.transcript
    assert len(back.markers) == len(coding.markers)
    assert set(back.markers) == set(coding.markers)
    assert covered(back) == covered(coding)


def test_a_sheet_alone_may_have_notes_of_several_lines(tmp_path: Path) -> None:
    talk = rk.Transcript("s1", (rk.Turn(0, "C", "client", "I guess."),))
    given = rk.Marker(0, 0, 8, "withdrawal", "minimal_response", clarity=2, source="coder:AB", note="twice\n")
    sheets.write([rk.AnnotatedTranscript(talk, (given,))], tmp_path / "AB.csv", coder="AB")
    (tmp_path / "AB.turns.csv").unlink()
    assert sheets.read(tmp_path / "AB.csv", [talk])[0].markers == (given,)


@FORMAT
def test_a_coder_who_found_nothing_has_coded_it(tmp_path: Path, suffix: str) -> None:
    talk = session()
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / f"a{suffix}", coder="AB")
    (back,) = sheets.read(tmp_path / f"a{suffix}", [session("other"), talk])
    assert back.markers == ()
    assert back.coded == coded("coder:AB", 45)


@FORMAT
def test_many_markers_of_one_kind_fit_into_cells(tmp_path: Path, suffix: str) -> None:
    talk = rk.Transcript("s", (rk.Turn(0, "C", "client", "🙂" * 40_000),))
    given = (*(mark(0, "W2", (i, i + 1)) for i in range(1200)), mark(0, "C1", (0, 40_000)))
    sheets.write([rk.AnnotatedTranscript(talk, given)], tmp_path / f"a{suffix}")
    assert set(sheets.read(tmp_path / f"a{suffix}", [talk])[0].markers) == set(given)
    if suffix == ".xlsx":
        assert "".join(row["text"] for row in table(tmp_path / "a.xlsx", "Turns")) == talk[0].text
    with pytest.raises(ValueError, match=r"a text of 40000 characters does not fit into a cell"):
        sheets.write([rk.AnnotatedTranscript(talk, (mark(0, "W2", note="n" * 40_000),))], tmp_path / f"b{suffix}")


def test_the_same_codings_make_the_same_bytes(tmp_path: Path) -> None:
    coding = rk.AnnotatedTranscript(session(), (mark(3, "W2", clarity=2),))
    (tmp_path / "there").mkdir()
    files = [tmp_path / "a.xlsx", tmp_path / "there" / "b.xlsx"]
    for file in files:
        sheets.write([coding], file)
    assert files[0].read_bytes() == files[1].read_bytes()


@FORMAT
def test_a_sheet_tells_what_it_was_made_by(tmp_path: Path, suffix: str) -> None:
    made = rk.Provenance("0.1.0", "3rs-2015", model="withdrawal-en 2")
    files = sheets.write([rk.AnnotatedTranscript(session(), provenance=made)], tmp_path / f"a{suffix}")
    if suffix == ".xlsx":
        told = openpyxl.load_workbook(files[0]).properties.description
    else:
        (told,) = [file.read_text("utf-8") for file in files if file.name == "a.made-by.json"]
    assert json.loads(told)["annotations"][0]["model"] == "withdrawal-en 2"


# ---- what it shows


@FORMAT
def test_there_is_a_row_for_each_segment_and_marker(tmp_path: Path, suffix: str) -> None:
    given = (mark(3, "W2", (0, 4), clarity=2), mark(9, "W2", (6, 10), clarity=2), mark(9, "W2", (0, 4), clarity=3))
    sheets.write([rk.AnnotatedTranscript(session(), given)], tmp_path / f"a{suffix}")
    rows = table(tmp_path / f"a{suffix}")
    # 45 turns of 20 s are three segments of five minutes; one marker has two clarities in the first
    assert len(rows) == 3 * len(BOOK.markers) + 1
    two, three = [row for row in rows if row["code"] == "W2" and str(row["segment"]) == "0"]
    assert (two["from"], two["to"], two["estimated"] or "") == ("00:00", "05:00", "")
    assert (str(two["first turn"]), str(two["last turn"])) == ("0", "14")
    assert (str(two["clarity"]), two["turns"], two["times"]) == ("2", "3;9", "01:00;03:00")
    assert (two["words"], two["spans"]) == ("Well | that", "3:0-4;9:6-10")
    assert (str(three["clarity"]), str(three["turns"]), three["words"]) == ("3", "9", "Well")
    assert {row["coder"] for row in rows} == {"AB"}
    assert [str(row["segment"]) for row in rows if row["code"] == "X1"] == ["0", "1", "2"]


def test_without_times_they_are_estimated_and_marked(tmp_path: Path) -> None:
    sheets.write([rk.AnnotatedTranscript(session(seconds=None))], tmp_path / "a.csv", coder="AB")
    rows = [row for row in table(tmp_path / "a.csv") if row["code"] == "C1"]
    # twenty turns of five words are 100 words: 40 s at 150 words a minute
    assert [(row["from"], row["to"], row["first turn"], row["last turn"], row["estimated"]) for row in rows] == [
        ("00:00", "00:40", "0", "19", "yes"),
        ("00:40", "01:20", "20", "39", "yes"),
        ("01:20", "01:30", "40", "44", "yes"),
    ]
    assert len(table(tmp_path / "a.turns.csv")) == 45


def test_a_blank_sheet_hides_what_the_machine_said(tmp_path: Path) -> None:
    talk = session()
    machine = (mark(3, "W2", source="model", score=0.8123), mark(5, "C5", source="rule", score=0.9, rule_id="C5-1"))
    annotated = rk.AnnotatedTranscript(talk, machine, (rk.Score("turn", 3, "withdrawal", 0.8123),))
    for name in ("a.xlsx", "a.csv"):
        sheets.write([annotated], tmp_path / name, coder="AB", blank=True)
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / "nothing.csv", coder="AB")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "nothing.csv").read_bytes()
    assert not any(row[name] for row in table(tmp_path / "a.xlsx") for name in ("turns", "words", "source", "score"))
    assert sheets.read(tmp_path / "a.xlsx", [talk])[0].markers == ()


@FORMAT
def test_what_the_machine_marked_and_the_coder_left_is_the_coders(tmp_path: Path, suffix: str) -> None:
    talk = session()
    machine = (mark(3, "W2", source="model", score=0.8), mark(3, "W2", (6, 10), "rule", score=0.9, rule_id="W2-1"))
    machine += (mark(5, "C5", source="model", score=0.6),)
    sheets.write([rk.AnnotatedTranscript(talk, machine)], tmp_path / f"a{suffix}")
    (row,) = [row for row in table(tmp_path / f"a{suffix}") if row["code"] == "W2" and row["source"]]
    assert (row["source"], row["score"], row["spans"]) == ("model;rule", "0.8;0.9", "3:0-4;3:6-10")
    with pytest.raises(rk.ReadError, match="no coder is named in it"):
        sheets.read(tmp_path / f"a{suffix}", [talk])

    def rejects_one(rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        for row in rows:
            if row["code"] == "W2" and row["source"]:
                row["clarity"] = 3
            if not (row["code"] == "C5" and row["source"]):
                yield row

    path = filled(tmp_path / f"a{suffix}", rejects_one, tmp_path / f"back{suffix}")
    (back,) = sheets.read(path, [talk], coder="CD")
    assert back.markers == (
        mark(3, "W2", source="coder:CD", clarity=3),
        mark(3, "W2", (6, 10), "coder:CD", clarity=3),
    )


def test_the_machines_rows_beside_a_coders_stay_the_machines(tmp_path: Path) -> None:
    talk = session()
    both = (mark(3, "W2", clarity=1), mark(5, "C5", source="model", score=0.6))
    sheets.write([rk.AnnotatedTranscript(talk, both, coded=coded("coder:AB", 45))], tmp_path / "a.xlsx")
    assert sum(row["coder"] in ("", None) for row in table(tmp_path / "a.xlsx")) == 1
    assert sheets.read(tmp_path / "a.xlsx", [talk])[0].markers == (both[0],)
    (back,) = sheets.read(tmp_path / "a.xlsx", [talk], coder="CD")
    assert back.markers == (both[0], mark(5, "C5", source="coder:CD"))


def test_text_is_never_a_formula(tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://example.org","x")'
    talk = rk.Transcript("=s", (rk.Turn(0, "@C", "client", evil), rk.Turn(1, "+T", "therapist", "-1+1")))
    given = (mark(0, "W2", (0, len(evil)), "coder:-AB", note="+note"),)
    sheets.write([rk.AnnotatedTranscript(talk, given)], tmp_path / "a.xlsx")
    sheets.write([rk.AnnotatedTranscript(talk, given)], tmp_path / "a.csv")
    quoted = 0
    for sheet in openpyxl.load_workbook(tmp_path / "a.xlsx"):
        for cell in (cell for row in sheet.iter_rows() for cell in row):
            assert cell.data_type in ("s", "inlineStr", "n")
            if isinstance(cell.value, str) and cell.value[:1] in ("=", "+", "-", "@"):
                quoted += 1
                assert cell.quotePrefix
    assert quoted > 60
    assert b"<f>" not in b"".join(zipfile.ZipFile(tmp_path / "a.xlsx").read(n) for n in names(tmp_path / "a.xlsx"))
    for file in tmp_path.glob("*.csv"):
        for row in csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline="")):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def names(path: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(path).namelist() if name.startswith("xl/worksheets")]


def test_the_workbook_has_drop_downs_and_a_frozen_header(tmp_path: Path) -> None:
    sheets.write([rk.AnnotatedTranscript(session())], tmp_path / "a.xlsx", coder="AB", crosswalk=load_crosswalk())
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["Markers", "Ratings", "Turns", "Codebook", "Instructions"]
    assert all(sheet.freeze_panes == "A2" for sheet in book)
    markers = book["Markers"]
    column = {cell.value: cell.column_letter for cell in markers[1]}
    lists = {
        str(v.sqref).rstrip("0123456789").split(":")[0][:-1]: v.formula1
        for v in markers.data_validations.dataValidation
    }
    assert lists == {
        column["clarity"]: '"1,2,3"',
        column["code"]: "Codebook!$A$2:$A$27",
        column["not coded"]: '"x"',
    }
    assert [cell.value for cell in book["Codebook"]["A"][1:]] == [m.code for m in BOOK.markers]
    assert len(book["Ratings"].data_validations.dataValidation) == 4
    assert (
        markers[2][[cell.value for cell in markers[1]].index("3rs-2022")].value == "Patient, movement against (partial)"
    )


def test_the_same_workbook_in_another_reader(tmp_path: Path) -> None:
    calamine = pytest.importorskip("python_calamine")
    given = (mark(3, "W2", clarity=2, note="=x"),)
    sheets.write([rk.AnnotatedTranscript(session(), given)], tmp_path / "a.xlsx")
    header, *rows = calamine.CalamineWorkbook.from_path(tmp_path / "a.xlsx").get_sheet_by_name("Markers").to_python()
    (row,) = [row for row in (dict(zip(header, row)) for row in rows) if row["turns"] != ""]
    assert (row["code"], row["clarity"], row["turns"], row["note"], row["spans"]) == ("W2", 2, 3, "=x", "3:0-4")


# ---- what a rater may write


def one(tmp_path: Path, text: str, talk: rk.Transcript | None = None, **more: Any) -> rk.AnnotatedTranscript:
    path = tmp_path / "mine.csv"
    path.write_text(text, "utf-8")
    (back,) = sheets.read(path, [talk or session()], **more)
    return back


def test_a_short_table_with_other_columns_is_enough(tmp_path: Path) -> None:
    talk = session()
    back = one(
        tmp_path,
        "Sheet of CD;;;;;\n;;;;;\nRemarks of mine; TURNS ;code;Clarity;session;Coder\n"
        "hm; 3, 5 ;w2;2.0;s1;CD\n;4;R4;;s1;coder:CD\n;;;;;\n;;C1;;s1;\n",
        talk,
    )
    assert back.markers == (
        mark(3, "W2", (0, 21), "coder:CD", clarity=2),
        mark(4, "R4", (0, 21), "coder:CD"),
        mark(5, "W2", (0, 21), "coder:CD", clarity=2),
    )
    assert back.coded == coded("coder:CD", 45)


@FORMAT
def test_a_machines_marker_is_deleted_by_emptying_clarity_and_turns(tmp_path: Path, suffix: str) -> None:
    talk = session()
    machine = (mark(3, "W2", source="model", score=0.8), mark(5, "W2", source="model", score=0.7))
    machine += (mark(9, "C5", (6, 10), "rule", score=0.9, rule_id="C5-1"),)
    sheets.write([rk.AnnotatedTranscript(talk, machine)], tmp_path / f"a{suffix}", coder="AB")

    def deletes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if row["code"] == "W2":
                row["turns"] = row["clarity"] = None
        return rows

    path = filled(tmp_path / f"a{suffix}", deletes, tmp_path / f"back{suffix}")
    assert any(row["spans"] for row in table(path) if row["code"] == "W2")
    (back,) = sheets.read(path, [talk])
    assert back.markers == (mark(9, "C5", (6, 10)),)
    assert back.coded == coded("coder:AB", 45)


def test_spans_hold_for_the_turns_that_are_named(tmp_path: Path) -> None:
    head = "session,first turn,last turn,code,clarity,turns,spans,coder\n"
    for row, spans in (
        ("s1,0,14,W2,2,3,3:0-4;3:5-9;5:0-4,AB", [(3, 0, 4), (3, 5, 9)]),
        ("s1,0,14,W2,2,3;7,3:0-4;5:0-4,AB", [(3, 0, 4), (7, 0, 21)]),
        ("s1,0,14,W2,2,7,3:0-4;5:0-99,AB", [(7, 0, 21)]),
        # somewhere in the segment
        ("s1,0,14,W2,2,,3:0-4,AB", [(1, 0, 21)]),
        ("s1,0,14,W2,,,3:0-4,AB", []),
        ("s1,0,14,W2,,,emptied by hand,AB", []),
    ):
        assert [(m.turn, m.start, m.end) for m in one(tmp_path, f"{head}{row}\n").markers] == spans


def test_a_name_instead_of_a_code(tmp_path: Path) -> None:
    back = one(tmp_path, "session,marker,turns\ns1,Minimal_Response,3\n", coder="CD")
    assert [m.marker for m in back.markers] == ["minimal_response"]


@FORMAT
def test_a_clarity_without_a_turn_is_kept_for_the_segment(tmp_path: Path, suffix: str) -> None:
    talk = session()
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / f"a{suffix}", coder="AB", blank=True)

    def ticks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if (row["code"], str(row["segment"])) in {("W2", "1"), ("R4", "1")}:
                row["clarity"] = 2
                row["note"] = "late" if row["code"] == "R4" else None
        return rows

    path = filled(tmp_path / f"a{suffix}", ticks, tmp_path / f"back{suffix}")
    (back,) = sheets.read(path, [talk])
    assert back.markers == (
        mark(15, "W2", (0, 22), clarity=2, note="segment"),
        mark(16, "R4", (0, 22), clarity=2, note="segment: late"),
    )
    sheets.write([back], tmp_path / f"again{suffix}")
    assert sheets.read(tmp_path / f"again{suffix}", [talk]) == [back]


@FORMAT
def test_not_coded_is_not_none(tmp_path: Path, suffix: str) -> None:
    talk = session()
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / f"a{suffix}", coder="AB")

    def leaves_out(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if str(row["segment"]) == "1" and row["family"] == "withdrawal":
                row["not coded"] = "X"
        # and the last segment whole, in a row that was added
        return [*rows, {"session": "s1", "segment": 2, "coder": "AB", "not coded": "x"}]

    path = filled(tmp_path / f"a{suffix}", leaves_out, tmp_path / f"back{suffix}")
    (back,) = sheets.read(path, [talk])
    assert [(c.family, c.first, c.last) for c in back.coded] == [
        ("confrontation", 0, 29),
        ("withdrawal", 0, 14),
        ("resolution", 0, 29),
        ("therapist_defensive", 0, 29),
    ]


def test_an_own_codebook(tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text(OWN, "utf-8")
    book = load_codebook(str(tmp_path / "team.toml"))
    talk = session()
    given = (
        rk.Marker(3, 0, 4, "withdrawal", "door_handle", clarity=3, source="coder:AB"),
        rk.Marker(4, 0, 4, "resolution", "names_it", source="coder:AB"),
    )
    for name in ("a.xlsx", "a.csv"):
        sheets.write([rk.AnnotatedTranscript(talk, given)], tmp_path / name, codebook=book)
        (back,) = sheets.read(tmp_path / name, [talk], codebook=book)
        assert back.markers == given
        # nobody can have coded a family that the codebook lacks
        assert {c.family for c in back.coded} == {"withdrawal", "resolution"}
    with pytest.raises(rk.ReadError, match="codebook 3rs-2015 has no such code"):
        sheets.read(tmp_path / "a.xlsx", [talk])
    with pytest.raises(ValueError, match="session s1: marker door_handle is not in codebook 3rs-2015"):
        sheets.write([rk.AnnotatedTranscript(talk, given)], tmp_path / "b.xlsx")


def test_ratings_come_back(tmp_path: Path) -> None:
    sheets.write([rk.AnnotatedTranscript(session(i)) for i in ("s1", "s2")], tmp_path / "a.xlsx", coder="AB")
    assert sheets.read_ratings(tmp_path / "a.xlsx") == []
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert [cell.value for cell in book["Ratings"][1]][2:6] == list(sheets.RATINGS)
    book["Ratings"]["C3"] = 5
    book["Ratings"]["F3"] = 1.0
    book["Ratings"]["G3"] = "hard to rate"
    book.save(tmp_path / "b.xlsx")
    assert sheets.read_ratings(tmp_path / "b.xlsx") == [
        {
            "session": "s2",
            "coder": "AB",
            "significance confrontation": 5,
            "significance withdrawal": None,
            "resolution": None,
            "therapist contribution": 1,
            "note": "hard to rate",
        }
    ]
    with pytest.raises(rk.ReadError, match=r"b\.xlsx, sheet 'Ratings', row 3: there is no such session"):
        sheets.read_ratings(tmp_path / "b.xlsx", [session("s1")])
    book["Ratings"]["D3"] = 6
    book.save(tmp_path / "c.xlsx")
    with pytest.raises(rk.ReadError, match=r"c\.xlsx, sheet 'Ratings', row 3: significance withdrawal is not one of 1"):
        sheets.read_ratings(tmp_path / "c.xlsx")
    sheets.write([rk.AnnotatedTranscript(session())], tmp_path / "d.csv", coder="AB")
    assert sheets.read_ratings(tmp_path / "d.csv") == []
    (tmp_path / "d.csv").rename(tmp_path / "renamed.csv")
    assert sheets.read_ratings(tmp_path / "renamed.csv") is None


def test_a_coder_who_is_spelt_in_two_ways_is_not_two_coders(tmp_path: Path) -> None:
    with pytest.raises(rk.ReadError, match="row 3: its coder is spelt otherwise above"):
        one(tmp_path, "session,code,turns,coder\ns1,W2,3,AB\ns1,W2,5,ab\n")
    with pytest.raises(rk.ReadError, match="row 3: its coder is spelt otherwise above"):
        one(tmp_path, "session,code,turns,coder\ns1,W2,3,AB\ns1,W2,5,\n", coder="Ab")


@pytest.mark.parametrize("name", ["clarity", "turns", "not coded"])
def test_a_column_that_was_renamed_loses_no_codes_in_silence(tmp_path: Path, name: str) -> None:
    sheets.write([rk.AnnotatedTranscript(session())], tmp_path / "a.csv", coder="AB")
    text = (tmp_path / "a.csv").read_text("utf-8-sig")
    (tmp_path / "b.csv").write_text(text.replace(f",{name},", f",{name} of mine,"), "utf-8")
    with pytest.raises(rk.ReadError, match=rf"b\.csv: no column is called {name}"):
        sheets.read(tmp_path / "b.csv", [session()])


def test_merged_cells_are_refused_because_all_but_one_are_empty(tmp_path: Path) -> None:
    sheets.write([rk.AnnotatedTranscript(session())], tmp_path / "a.xlsx", coder="AB")
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    markers = book["Markers"]
    markers.insert_rows(1)
    markers["A1"] = "Done on Tuesday"
    markers.merge_cells("A1:F1")
    book["Codebook"].merge_cells("A2:A9")
    book.save(tmp_path / "title.xlsx")
    assert len(sheets.read(tmp_path / "title.xlsx", [session()])) == 1
    markers["L3"] = 2
    markers.merge_cells("L3:L5")
    book.save(tmp_path / "b.xlsx")
    with pytest.raises(rk.ReadError, match=r"b\.xlsx, sheet 'Markers': the cells L3:L5 are merged"):
        sheets.read(tmp_path / "b.xlsx", [session()])


def test_a_spreadsheet_elsewhere_may_save_it(tmp_path: Path) -> None:
    """Semicolons, Windows-1252 and no mark, as Excel saves CSV in much of Europe."""
    talk = session("Bär")
    (tmp_path / "a.csv").write_bytes("session;code;clarity;turns;note\r\nBär;W2;2;3;für später\r\n".encode("cp1252"))
    (back,) = sheets.read(tmp_path / "a.csv", [talk], coder="AB")
    assert back.markers == (mark(3, "W2", (0, 21), clarity=2, note="für später"),)


# ---- what it refuses

BAD = {
    "s9,W2,2,3,,AB,": "there is no such session",
    ",W2,2,3,,AB,": "no session is named",
    "s1,W99,2,3,,AB,": "codebook 3rs-2015 has no such code",
    "s1,,2,3,,AB,": "it has no code",
    "s1,W2,4,3,,AB,": "clarity is not 1, 2 or 3",
    "s1,W2,0,3,,AB,": "clarity is not 1, 2 or 3",
    "s1,W2,1.5,3,,AB,": "clarity is not 1, 2 or 3",
    "s1,W2,2,45,,AB,": "there is no turn 45",
    "s1,W2,2,-1,,AB,": "turns are not turn numbers",
    "s1,W2,2,12.14,,AB,": "turns are not turn numbers",
    "s1,W2,2,4,,AB,": "W2 is coded on client turns, and turn 4 is a turn of therapist",
    "s1,R4,2,3,,AB,": "R4 is coded on therapist turns, and turn 3 is a turn of client",
    "s1,W2,2,3,3:0-99,AB,": "a span on turn 3 is not within its 21 characters",
    "s1,W2,2,3,3:5-5,AB,": "a span on turn 3 is not within its 21 characters",
    "s1,W2,2,3,0-4,AB,": "spans are not of the form",
    "s1,W2,2,,,AB,": "neither a turn nor a segment",
    "s1,W2,2,3,,AB,perhaps": "not coded is neither x nor empty",
    "s1,,,,,AB,x": "it is not clear which turns were not coded",
    "s1,W2,2,3,,,": "it has no coder",
    "s1,W2,,,,AB,,late": "it has a note, but neither clarity nor turns",
    "s1,W2,,,3:0-4,AB,,late": "it has a note, but neither clarity nor turns",
    "s1,W2,,,,,,late": "it has no coder",
}


@pytest.mark.parametrize("row", BAD)
def test_what_cannot_be_is_refused_with_its_row(tmp_path: Path, row: str) -> None:
    path = tmp_path / "bad.csv"
    head = "session,code,clarity,turns,spans,coder,not coded,note\n"
    path.write_text(f"{head}s1,C1,,,,AB,\n{row}\n", "utf-8")
    with pytest.raises(rk.ReadError, match=BAD[row]) as error:
        sheets.read(path, [session()])
    assert str(error.value).startswith(f"{path}, row 3: ")
    book = openpyxl.Workbook()
    book.active.title = "Mine"
    for number, cells in ((1, head), (3, "s1,C1,,,,AB,"), (6, row)):
        for column, cell in enumerate(cells.strip().split(","), 1):
            book.active.cell(number, column, cell or None)
    book.save(tmp_path / "bad.xlsx")
    with pytest.raises(rk.ReadError, match=BAD[row]) as error:
        sheets.read(tmp_path / "bad.xlsx", [session()])
    assert str(error.value).startswith(f"{tmp_path / 'bad.xlsx'}, sheet 'Mine', row 6: ")


def test_all_rows_are_complained_of_at_once(tmp_path: Path) -> None:
    head = "session,code,clarity,turns,coder\n"
    wrong = ["s9,W2,2,3,AB", "s1,W99,2,3,AB", "s1,W2,4,3,AB", "s1,W2,2,45,AB"]
    with pytest.raises(rk.ReadError) as error:
        one(tmp_path, head + "s1,C1,,,AB\n" + "\n".join(wrong) + "\n")
    lines = str(error.value).split("\n")
    assert [line.partition(": ")[0] for line in lines] == [f"{tmp_path / 'mine.csv'}, row {n}" for n in (3, 4, 5, 6)]
    with pytest.raises(rk.ReadError) as error:
        one(tmp_path, head + "".join(f"s1,W2,2,{45 + n},AB\n" for n in range(13)))
    lines = str(error.value).split("\n")
    assert [n for n in range(60) if f"there is no turn {n}. " in str(error.value)] == list(range(45, 55))
    assert lines[10:] == ["and 3 more"]


def test_a_note_on_what_was_not_coded_is_no_error(tmp_path: Path) -> None:
    text = "session,first turn,last turn,code,clarity,turns,not coded,note\ns1,0,14,W2,,,x,tape broken\n"
    assert covered(one(tmp_path, text, coder="AB")) >= {("coder:AB", "withdrawal", 15)}


# ---- a sheet of an older transcript


def changed(talk: rk.Transcript, at: int, how: str) -> rk.Transcript:
    """Return the session as it became after the sheet was written."""
    turns = list(talk.turns)
    if how == "inserted":
        turns.insert(at, rk.Turn(at, "C", "client", "A new one.", talk[at].start_s))
    elif how == "appended":
        turns.append(rk.Turn(len(turns), "C", "client", "A new one.", None))
    elif how == "gone":
        del turns[-1]
    else:
        old = turns[at]
        role = "other" if how == "role" else old.role
        turns[at] = rk.Turn(at, old.speaker, role, "Other talk." if how == "words" else old.text, old.start_s)
    return rk.Transcript(
        talk.id, tuple(rk.Turn(i, t.speaker, t.role, t.text, t.start_s) for i, t in enumerate(turns)), meta=talk.meta
    )


@FORMAT
@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("inserted", "session s2: turn 7 has other words|session s2: turn 7 has another role"),
        ("appended", "session s2: turn 45 is missing"),
        ("gone", "session s2: there is no turn 44 in the transcript"),
        ("words", "session s2: turn 7 has other words"),
        ("role", "session s2: turn 7 has another role"),
    ],
)
def test_a_sheet_of_an_older_transcript_is_refused(tmp_path: Path, suffix: str, how: str, what: str) -> None:
    talk = [session("s1"), session("s2"), session("s3")]
    given = rk.AnnotatedTranscript(talk[1], (mark(9, "W2", clarity=2),))
    path = tmp_path / f"a{suffix}"
    sheets.write([rk.AnnotatedTranscript(talk[0]), given], path, coder="AB")
    now = [talk[0], changed(talk[1], 7, how), talk[2]]
    with pytest.raises(rk.ReadError, match=what) as error:
        sheets.read(path, now)
    assert "s1" not in str(error.value).replace(str(tmp_path), "")
    assert not any(word in str(error.value) for word in ("that is", "Other talk", "A new one"))
    # both sessions at once
    with pytest.raises(rk.ReadError, match=r"session s1: turn 3[^\n]*\n[^\n]*session s2: "):
        sheets.read(path, [changed(talk[0], 3, "words"), now[1]])


@pytest.mark.parametrize("seconds", [None, 20.0])
@pytest.mark.parametrize("length", [60.0, 300.0, 600.0])
def test_without_its_turns_a_sheet_is_held_to_its_segments(
    tmp_path: Path, seconds: float | None, length: float
) -> None:
    talk = session(seconds=seconds)
    path = tmp_path / "a.csv"
    sheets.write([rk.AnnotatedTranscript(talk)], path, coder="AB", segment_s=length)
    (tmp_path / "a.turns.csv").unlink()
    assert len(sheets.read(path, [talk])) == 1
    for how in ("inserted", "appended", "gone"):
        with pytest.raises(rk.ReadError, match="session s1: its segments are not those of the transcript"):
            sheets.read(path, [changed(talk, 7, how)])
    # deleted rows say that nothing was found
    part = filled(path, lambda rows: [row for row in rows if row["segment"] == "0"], tmp_path / "part.csv")
    if length == 300 or seconds:
        assert len(sheets.read(part, [talk])) == 1


def test_a_changed_table_of_turns_may_be_deleted(tmp_path: Path) -> None:
    talk = session()
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / "a.xlsx", coder="AB")
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    book["Turns"].delete_rows(5)
    book.save(tmp_path / "b.xlsx")
    with pytest.raises(rk.ReadError, match=r"b\.xlsx, sheet 'Turns': session s1: turn 3 is missing.*delete"):
        sheets.read(tmp_path / "b.xlsx", [talk])
    del book["Turns"]
    book.save(tmp_path / "c.xlsx")
    assert len(sheets.read(tmp_path / "c.xlsx", [talk])) == 1


def test_contradictions_are_refused(tmp_path: Path) -> None:
    head = "session,first turn,last turn,code,marker,clarity,turns,not coded\n"
    for rows, what in (
        ("s1,0,14,W1,,,,x\ns1,0,14,W2,,,,\n", "only some rows of withdrawal in this segment are marked as not coded"),
        ("s1,0,14,W2,,2,3,x\n", "turn 3 is marked as not coded"),
        ("s1,0,14,,,,,x\ns1,,,W2,,2,3,\n", "turn 3 is marked as not coded"),
        ("s1,0,45,W2,,2,,\n", "first turn and last turn are no stretch of the session"),
        ("s1,0,,W2,,2,,\n", "first turn and last turn are no stretch of the session"),
        ("s1,0,0,W2,,2,,\n", "W2 is coded on client turns and its segment has none"),
        ("s1,,,W2,denial,2,3,\n", "code and marker are not the same one"),
    ):
        with pytest.raises(rk.ReadError, match=what):
            one(tmp_path, head + rows, coder="AB")


def test_no_message_quotes_the_file(tmp_path: Path) -> None:
    """Columns may have slipped, and any cell may be talk."""
    secret = "My mother left me"
    for n in (0, 1, 2, 3, 4, 6):
        cells = ["s1", "W2", "2", "3", "3:0-4", "AB", ""]
        cells[n] = secret
        path = tmp_path / "slipped.csv"
        path.write_text("session,code,clarity,turns,spans,coder,not coded\n" + ",".join(cells) + "\n", "utf-8")
        with pytest.raises(rk.ReadError) as error:
            sheets.read(path, [session()])
        assert "mother" not in str(error.value)


def test_files_that_are_no_sheets(tmp_path: Path) -> None:
    talk = session()
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / "good.xlsx", coder="AB")
    good = (tmp_path / "good.xlsx").read_bytes()
    for name, data, what in (
        ("empty.csv", b"", "the file is empty"),
        ("talk.csv", b"speaker,text\nC,Hello.\n", "no table has the columns session, code and turns"),
        ("open.csv", b'session,code,turns\ns1,"W2,3\n', "a quotation mark in row 2 is not closed"),
        ("twice.csv", b"session,code,turns,TURNS \ns1,W2,3,3\n", "two columns are called turns"),
        ("cut.xlsx", good[: len(good) // 2], "the file is damaged or cut short"),
        ("old.xls", b"\xd0\xcf\x11\xe0" + bytes(500), "the workbook is damaged, or not one"),
        ("bin.csv", bytes(range(256)) * 9, "binary data|not text"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(rk.ReadError, match=what) as error:
            sheets.read(tmp_path / name, [talk])
        assert str(tmp_path / name) in str(error.value)
    for path, what in ((tmp_path, "a folder"), (tmp_path / "none.xlsx", "cannot be opened")):
        with pytest.raises(rk.ReadError, match=what):
            sheets.read(path, [talk])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_pipes_devices_and_files_without_end_are_no_sheets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.xlsx").symlink_to("/dev/zero")
    with (tmp_path / "big.csv").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    for name, what in (("pipe.csv", "regular"), ("zero.xlsx", "regular"), ("big.csv", "500 are read")):
        with pytest.raises(rk.ReadError, match=what):
            sheets.read(tmp_path / name, [session()])


def wide_sheet(path: Path, header: Iterable[str], n_rows: int) -> Path:
    """Write a workbook in which a cell of each row stands in the last column that there is."""
    columns = ["A", "B", "C", "D", "XFD"]

    def row(number: int, cells: Iterable[str]) -> str:
        told = "".join(
            f'<c r="{column}{number}" t="inlineStr"><is><t>{cell}</t></is></c>' for column, cell in zip(columns, cells)
        )
        return f'<row r="{number}">{told}</row>'

    rows = [row(1, header), *(row(n, ["s1", "W2", "3", "AB", "x"]) for n in range(2, n_rows + 2))]
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts["xl/worksheets/sheet1.xml"] = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"{''.join(rows)}</sheetData></worksheet>"
    ).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in parts.items():
            new.writestr(name, data)
    return path


@pytest.mark.parametrize("last", ["", "remark", "note"])
def test_a_row_takes_no_more_memory_than_its_cells(tmp_path: Path, last: str) -> None:
    talk = session()
    sheets.write([rk.AnnotatedTranscript(talk)], tmp_path / "wide.xlsx", coder="AB")
    path = wide_sheet(tmp_path / "wide.xlsx", ["session", "code", "turns", "coder", last], 1000)
    tracemalloc.start()
    try:
        (back,) = sheets.read(path, [talk])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(m.turn, m.note) for m in back.markers] == [(3, "x" if last == "note" else None)]
    assert most < 16 << 20  # as lists that are 16,384 cells long they would take 128 MB


def test_a_header_of_very_many_equal_columns_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("session,code,turns" + ",note" * 200_000 + "\ns1,W2,3\n")
    with pytest.raises(rk.ReadError, match="two columns are called note"):
        sheets.read(tmp_path / "a.csv", [session()])


def test_a_workbook_that_blows_up_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUPTUREKIT_UNPACKED_MB", "1")
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha" * 10}">' for i in range(12))
    cell = '<row><c t="inlineStr"><is><t>&l11;</t></is></c></row>'
    sheets.write([rk.AnnotatedTranscript(session())], tmp_path / "good.xlsx", coder="AB")
    for name, data, what in (
        ("laughs.xlsx", f"<!DOCTYPE x [{laughs}]><worksheet><sheetData>{cell}</sheetData></worksheet>", "DOCTYPE"),
        ("bomb.xlsx", " " * 2**21, "unpacked it has 2 MB"),
    ):
        with zipfile.ZipFile(tmp_path / "good.xlsx") as old, zipfile.ZipFile(tmp_path / name, "w", 8) as new:
            for entry in old.namelist():
                new.writestr(entry, data if entry == "xl/worksheets/sheet1.xml" else old.read(entry))
        with pytest.raises(rk.ReadError, match=what):
            sheets.read(tmp_path / name, [session()])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    talk = rk.AnnotatedTranscript(session())
    hidden = rk.AnnotatedTranscript(rk.Transcript("s", (), meta={"text_withheld": True}))
    part = rk.AnnotatedTranscript(session(), (mark(3, "W2"),), coded=(Coded("coder:AB", "withdrawal", 10, 20),))
    for sessions, name, more, what in (
        ([talk, talk], "a.csv", {}, "two sessions are called s1"),
        ([hidden], "a.csv", {}, "session s has no words"),
        ([part], "a.csv", {}, "session s1: coder AB marked turn 3, but did not code it"),
        ([talk], "a.ods", {}, "ends in .xlsx or .csv"),
        ([talk], "a.csv", {"segment_s": 0}, "give a length above 0"),
    ):
        with pytest.raises(ValueError, match=what):
            sheets.write(sessions, tmp_path / name, **more)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    sheets.write([talk], tmp_path / "a.csv", coder="AB")
    with pytest.raises(FileExistsError, match="may have been filled in"):
        sheets.write([talk], tmp_path / "a.csv", coder="AB")
