from __future__ import annotations

import csv
import io
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rupturekit as rk
from rupturekit.annotation import FAMILIES, SCORES, Coded, Episode
from rupturekit.codebook import load_codebook
from rupturekit.tables import Pseudonyms, Writer, columns, csv_line, render, rows

BOOK = load_codebook()
TURNS = (
    "session_id,turn,speaker,role,start_s,end_s,text,confrontation,withdrawal,rupture,resolution,"
    "therapist_defensive,markers,sources,flags,source_turn"
)
MARKERS = "session_id,turn,start,end,text,family,marker,score,clarity,source,rule_id"


def example() -> rk.AnnotatedTranscript:
    turns = (
        rk.Turn(0, "Dr. Ünal", "therapist", 'So, "better"\u2028or not?', 0.0, 2.5, 1, ("1", "2")),
        rk.Turn(1, "Rahel", "client", "=HYPERLINK I guess, whatever 🙂", 2.5, 4.0, 2, ("3", "ab-4")),
        rk.Turn(2, "Nurse", "other", "Sorry!", None, None, 3),
    )
    meta = {"path": "clinic/Rahel 3.txt", "client_id": "R77", "role_source": "given", "role_confidence": 1.0}
    meta |= {"flags": ["third_speaker"], "date": "2024-02-03", "therapist_name": "Ünal"}
    return rk.AnnotatedTranscript(
        rk.Transcript("Rahel 3", turns, "en", meta),
        (
            rk.Marker(1, 11, 18, "withdrawal", "minimal_response", 0.8123, None, "rule", "W2-01", "why"),
            rk.Marker(1, 20, 28, "withdrawal", "minimal_response", 0.7, 2, "model"),
            rk.Marker(1, 20, 28, "confrontation", "control_pressure", None, 3, "coder:AB"),
        ),
        (
            rk.Score("turn", 0, "resolution", 0.01),
            rk.Score("turn", 0, "therapist_defensive", 0.02),
            rk.Score("turn", 1, "confrontation", 0.4),
            rk.Score("turn", 1, "withdrawal", 0.9),
            rk.Score("turn", 1, "rupture", 0.95),
            rk.Score("session", 0, "withdrawal", 100.0),
        ),
        (Episode(1, 1, (0,)),),
        (Coded("rule", "withdrawal", 0, 2),),
        rk.Provenance("0.1.0", "3rs-2015 1.0", "ab", "m", "cd", {"withdrawal": 0.5}, {"a": [1]}),
    )


def written(tmp_path: Path, *sessions: rk.AnnotatedTranscript) -> dict[str, bytes]:
    with Writer(tmp_path, BOOK) as writer:
        for session in sessions:
            writer.write(render(session, BOOK).values())
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def parsed(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def test_the_columns_are_those_that_were_promised(tmp_path: Path) -> None:
    files = written(tmp_path)
    assert files["turns.csv"] == TURNS.encode() + b"\n"
    assert files["markers.csv"] == MARKERS.encode() + b"\n"
    header = files["sessions.csv"].decode().rstrip("\n").split(",")
    assert header[:8] == (
        "session_id,path,client_id,n_turns,n_client_turns,n_therapist_turns,role_source,role_confidence"
    ).split(",")
    assert header[8:24] == [f"{w}_{family}" for family in FAMILIES for w in ("n", "per100", "peak", "mean")]
    assert header[24:-2] == [f"n_{m.id}" for m in BOOK.markers if m.id not in FAMILIES]
    assert header[-2:] == ["n_episodes", "flags"]
    assert len(set(header)) == len(header)


def test_turns_hold_verbatim_text_and_scores_for_their_role(tmp_path: Path) -> None:
    therapist, client, nurse = parsed(written(tmp_path, example())["turns.csv"])
    assert client["text"] == "=HYPERLINK I guess, whatever 🙂"
    assert therapist["text"] == 'So, "better"\u2028or not?'
    assert (client["start_s"], client["end_s"], nurse["start_s"]) == ("2.500", "4.000", "")
    assert [client[name] for name in SCORES] == ["0.4000", "0.9000", "0.9500", "", ""]
    assert [therapist[name] for name in SCORES] == ["", "", "", "0.0100", "0.0200"]
    assert [nurse[name] for name in SCORES] == [""] * 5
    assert client["markers"] == "control_pressure;minimal_response"
    assert client["sources"] == "coder:AB;model;rule"
    assert (client["source_turn"], nurse["flags"]) == ("3;ab-4", "one_word")


def test_markers_hold_the_words_that_their_offsets_cut(tmp_path: Path) -> None:
    first, second, third = parsed(written(tmp_path, example())["markers.csv"])
    assert [first[key] for key in ("text", "score", "clarity", "source", "rule_id")] == [
        *("I guess", "0.8123", "", "rule", "W2-01")
    ]
    assert [second[key] for key in ("text", "score", "clarity", "rule_id")] == ["whatever", "0.7000", "2", ""]
    assert [third[key] for key in ("family", "score", "source")] == ["confrontation", "", "coder:AB"]


def test_sessions_count_turns_not_rows(tmp_path: Path) -> None:
    (row,) = parsed(written(tmp_path, example())["sessions.csv"])
    assert [row[key] for key in ("n_turns", "n_client_turns", "n_therapist_turns")] == ["3", "1", "1"]
    assert [row[f"{w}_withdrawal"] for w in ("n", "per100", "peak", "mean")] == [*("1", "100.0000", "0.9000", "0.9000")]
    assert [row["n_minimal_response"], row["n_denial"], row["n_episodes"]] == ["1", "0", "1"]
    assert [row["path"], row["client_id"], row["flags"]] == ["clinic/Rahel 3.txt", "R77", "third_speaker"]


def test_a_session_without_turns_of_a_role_has_empty_rates(tmp_path: Path) -> None:
    alone = rk.AnnotatedTranscript(rk.Transcript("s", (rk.Turn(0, "C", "client", "Fine then."),)))
    (row,) = parsed(written(tmp_path, alone)["sessions.csv"])
    assert [row["n_resolution"], row["per100_resolution"], row["peak_resolution"]] == ["0", "", ""]
    assert [row["per100_withdrawal"], row["mean_withdrawal"]] == ["0.0000", ""]


def test_json_lines_come_back_equal(tmp_path: Path) -> None:
    other = replace(example(), transcript=replace(example().transcript, id="s\u2028\u0085 2"))
    written(tmp_path, example(), other)
    assert rk.load(tmp_path) == [example(), other]
    assert rk.load(tmp_path / "annotations.jsonl") == [example(), other]


def test_a_damaged_line_is_named_without_its_words(tmp_path: Path) -> None:
    file = tmp_path / "annotations.jsonl"
    file.write_text(example().to_json() + "\n" + example().to_json()[:300], "utf-8")
    with pytest.raises(ValueError, match=r"annotations\.jsonl, line 2: not JSON") as caught:
        rk.load(file)
    assert "guess" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        rk.load(tmp_path / "none.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no annotations\.jsonl in this folder"):
        rk.load(tmp_path / "empty")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("first", "I guess", "its turns"), ("last", 99, "its turns"), ("returns", ["I guess"], "its turns"),
        ("type", "I guess", "its type"), ("outcome", "I guess", "its outcome"), ("depth", 4, "its depth"),
    ],
)  # fmt: skip
def test_an_episode_that_cannot_be_is_named_by_its_part(tmp_path: Path, field: str, value: object, told: str) -> None:
    raw = json.loads(example().to_json())
    raw["episodes"][0][field] = value
    file = tmp_path / "annotations.jsonl"
    file.write_text(json.dumps(raw) + "\n", "utf-8")
    with pytest.raises(ValueError, match=f"line 1: not an annotated transcript: episode 0: {told}"):
        rk.load(file)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=2))
def test_any_text_survives_a_csv_cell(cells: list[str]) -> None:
    line = csv_line(cells, map(str, range(len(cells))))
    assert next(csv.reader(io.StringIO(line, newline=""))) == cells


def test_a_session_that_cannot_be_encoded_is_not_rendered_by_halves() -> None:
    bad = rk.AnnotatedTranscript(rk.Transcript("s", (rk.Turn(0, "C", "client", "half \ud83d"),)))
    with pytest.raises(UnicodeEncodeError):
        render(bad, BOOK)


def test_frames_have_the_files_columns_and_numbers() -> None:
    turns = rk.to_frame([example()], level="turn")
    assert list(turns.columns) == TURNS.split(",")
    assert turns["withdrawal"].tolist()[1] == 0.9
    assert turns["withdrawal"].isna().tolist() == [True, False, True]
    markers = rk.to_frame([example(), example()], level="marker")
    assert markers["clarity"].tolist()[1:3] == [2, 3]
    assert len(markers) == 6
    sessions = rk.to_frame([example()], level="session")
    assert list(sessions.columns) == list(columns("session", BOOK))
    episodes = rk.to_frame([example()], level="episode")
    assert list(episodes.columns) == list(columns("episode"))
    assert episodes[["episode", "first", "last", "repair"]].values.tolist() == [[1, 1, 1, "0"]]
    assert len(rk.to_frame([], level="marker").columns) == 11
    with pytest.raises(ValueError, match="give turn, marker, session or episode"):
        rk.to_frame([], level="word")  # type: ignore[arg-type]


def test_parquet_holds_the_same_rows_with_their_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Writer(tmp_path, BOOK, ["parquet"]) as writer:
        writer.write(render(example(), BOOK, ["parquet"]).values())
        writer.write(render(example(), BOOK, ["parquet"]).values())
    for level, stem in (("turn", "turns"), ("marker", "markers"), ("session", "sessions")):
        got = parquet.read_table(tmp_path / f"{stem}.parquet")
        assert got.to_pylist() == [*rows(example(), level), *rows(example(), level)]  # type: ignore[arg-type]
        assert got.column_names == list(columns(level, BOOK))  # type: ignore[arg-type]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        Writer(tmp_path, BOOK, ["parquet"])
    with pytest.raises(ValueError, match="'excel': give one of parquet"):
        Writer(tmp_path, BOOK, ["excel"])


def test_without_text_no_word_name_id_path_or_date_is_left(tmp_path: Path) -> None:
    hidden = Pseudonyms(b"key")(example())
    files = written(tmp_path, hidden)
    for data in files.values():
        for secret in ("guess", "better", "HYPERLINK", "Rahel", "Ünal", "R77", "clinic", "2024", "Nurse", "ab-4"):
            assert secret not in data.decode()
    (line,) = files["annotations.jsonl"].decode().splitlines()
    assert json.loads(line)["transcript"]["meta"]["text_withheld"] is True
    therapist, client, nurse = parsed(files["turns.csv"])
    assert [therapist["speaker"], client["speaker"], nurse["speaker"]] == ["therapist 1", "client 1", "other 1"]
    assert (nurse["flags"], client["markers"]) == ("one_word", "control_pressure;minimal_response")
    assert client["source_turn"].split(";")[0] == "3"
    first = parsed(files["markers.csv"])[0]
    assert (first["start"], first["end"], first["text"]) == ("11", "18", "")


def test_without_text_what_was_written_comes_back_with_the_same_tables(tmp_path: Path) -> None:
    hidden = Pseudonyms(b"key")(example())
    written(tmp_path, hidden)
    (back,) = rk.load(tmp_path)
    assert back == hidden
    for level in ("turn", "marker", "session"):
        assert list(rows(back, level)) == list(rows(hidden, level))
    assert list(rows(back, "turn"))[1]["flags"] == list(rows(example(), "turn"))[1]["flags"]


def test_without_text_speakers_are_numbered_by_role_however_many_there_are() -> None:
    roles = ("client", "therapist", "client")
    turns = tuple(rk.Turn(n, f"S{n}", roles[n % 3], "Yes.") for n in range(60_000))  # type: ignore[arg-type]
    begin = time.perf_counter()
    hidden = Pseudonyms(b"key")(rk.AnnotatedTranscript(rk.Transcript("s", turns)))
    assert time.perf_counter() - begin < 5
    assert [turn.speaker for turn in hidden.transcript][-3:] == ["client 39999", "therapist 20000", "client 40000"]


def test_hashes_depend_on_the_key_and_nothing_else() -> None:
    assert Pseudonyms(b"a").hash("s1") == Pseudonyms(b"a").hash("s1") != Pseudonyms(b"b").hash("s1")
    assert Pseudonyms(b"a").hash("s1") != Pseudonyms(b"a").hash("s2")


def test_without_text_coders_are_not_named() -> None:
    session = rk.Transcript("s", (rk.Turn(0, "C", "client", "I guess."),))
    markers = tuple(
        rk.Marker(0, 0, 7, "withdrawal", "minimal_response", source=source, note="Anna: so it seems")
        for source in ("coder:Anna", "coder:Bert", "model")
    )
    read = (rk.Coded("coder:Anna", "withdrawal", 0, 0), rk.Coded("model", "withdrawal", 0, 0))
    hidden = Pseudonyms(b"key")(rk.AnnotatedTranscript(session, markers, coded=read))
    assert "Anna" not in hidden.to_json()
    assert {m.source.split(":")[0] for m in hidden.markers} == {"coder", "model"}
    assert len({m.source for m in hidden.markers}) == 3
    # who marked is still who read
    (reader,) = {c.source for c in hidden.coded} - {"model"}
    assert reader in {m.source for m in hidden.markers}
