"""Across the sessions of a client: order, rows, limits, drifts, signs, and the command."""

from __future__ import annotations

import argparse
import csv
import json
import math
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from scipy.stats import kendalltau, norm, t

from rupturekit import AnnotatedTranscript, Coded, Episode, Marker, ReadError, Transcript, Turn
from rupturekit.cli.course import add_course
from rupturekit.tables import Pseudonyms
from rupturekit.treatment import (
    COLUMNS,
    LEAST_SESSIONS,
    SIGNAL_COLUMNS,
    Row,
    counts,
    course_rows,
    cues,
    doubts,
    drifts,
    excursions,
    identified,
    in_order,
    read_facts,
    read_messages,
    signals,
    signs,
    treatments,
    write,
)


def held(id: str, *said: str, markers: tuple[Marker, ...] = (), **meta: Any) -> AnnotatedTranscript:
    """Return a session in which the therapist asks before each thing that the client says."""
    turns = []
    for text in said:
        turns.append(Turn(len(turns), "T", "therapist", "How was it?"))
        turns.append(Turn(len(turns), "C", "client", text))
    return AnnotatedTranscript(Transcript(id, tuple(turns), meta=meta), markers)


def withdrawn(*turns: int) -> tuple[Marker, ...]:
    return tuple(Marker(turn, 0, 4, "withdrawal", "minimal_response") for turn in turns)


def counted(k: list[int], of: int | list[int] = 60, family: str = "withdrawal") -> list[Row]:
    """Return rows of a client with so many turns of one family in each session."""
    of = [of] * len(k) if isinstance(of, int) else of
    return [
        {
            **{"client_id": "K1", "session_id": f"s{i}", "number": i, "date": None},
            **{f"n_{family}": n, f"of_{family}": m, f"per100_{family}": 100 * n / m},
        }
        for i, (n, m) in enumerate(zip(k, of), 1)
    ]


def measured(name: str, values: list[Any]) -> list[Row]:
    rows: list[Row] = []
    for i, value in enumerate(values, 1):
        rows.append({"client_id": "K1", "session_id": f"s{i}", "number": i, "date": None, name: value})
    return rows


# --- who and when ---------------------------------------------------------------------------------


def test_a_table_of_sessions_is_read_in_any_order_of_columns(tmp_path: Path) -> None:
    file = tmp_path / "clients.csv"
    file.write_text("Date;session_id;note;client_id;alliance\n2024-03-01;s1;private;K1;5.5\n;s2;;K2;\n", "utf-8")
    assert read_facts(file) == {
        "s1": {"client_id": "K1", "date": "2024-03-01", "alliance": 5.5},
        "s2": {"client_id": "K2"},
    }


def test_a_table_of_sessions_may_be_as_a_spreadsheet_saves_it(tmp_path: Path) -> None:
    file = tmp_path / "clients.csv"
    file.write_text("\ufeffSession ID;Client ID;;\r\ns1;K1;;\r\n;;;\r\n", "utf-8")
    assert read_facts(file) == {"s1": {"client_id": "K1"}}
    file.write_text("session_id;client_id\ns1;K1\n ; \n;\n", "utf-8")
    assert read_facts(file) == {"s1": {"client_id": "K1"}}
    file.write_text("sep=;\r\nsession_id;client_id\r\ns1;K1\r\n", "utf-8-sig", newline="")
    assert read_facts(file) == {"s1": {"client_id": "K1"}}
    file.write_text("\n \nsession_id,client_id\ns1,K1\ns1,K2\n", "utf-8")
    with pytest.raises(ReadError, match=r"line 5: this session is above already"):
        read_facts(file)
    file.write_bytes(b"PK\x03\x04\x00")
    with pytest.raises(ReadError, match=r"workbook.* as CSV"):
        read_facts(file)


@pytest.mark.parametrize(
    "head",
    [
        "session_id;client_id;How are you, all in all, and today?",
        '"session_id","client_id","How are you; all in all; and today?"',
        '"session_id"\t"client_id"\t"How are you, all\nin all, and today?"',
    ],
)
def test_columns_may_be_called_by_questions_with_commas(tmp_path: Path, head: str) -> None:
    file = tmp_path / "clients.csv"
    mark = head.replace('"', "")[len("session_id")]
    file.write_text(f"{head}\n{mark.join(('s1', 'K1', 'well'))}\n", "utf-8")
    assert read_facts(file) == {"s1": {"client_id": "K1"}}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("session_id,client_id,date,Date\ns1,Meadow,2024-01-01,\n", 1, "two columns are called date"),
        ("session_id,name\ns1,Meadow\n", 1, "no column client_id"),
        ("session_id,client_id\ns1,Meadow\ns1,Meadow\n", 3, "above already"),
        ("session_id,client_id\n,Meadow\n", 2, "no session id"),
        ("session_id,client_id,session_number\ns1,K1,Meadow\n", 2, "session_number is not a number"),
        ("session_id,client_id,alliance\ns1,K1,nan\n", 2, "alliance is not a number"),
        ("session_id,client_id,date\ns1,K1,3/4/24\n", 2, "not ISO 8601"),
        ("session_id,client_id\ns1," + "Meadow" * 30_000 + "\n", 2, "no CSV"),
        ('session_id,client_id\ns0,K1\ns1,"Meadow\ns2,K2\ns3,K2\n', 3, "no CSV"),
        ("session_id,client_id,alliance\ns1,Meadow,5,5\n", 2, "more cells than columns"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_by_its_line_alone(tmp_path: Path, text: str, line: int, what: str) -> None:
    file = tmp_path / "clients.csv"
    file.write_text(text, "utf-8")
    # whoever reads long turns raises the limit for the whole process
    limit = csv.field_size_limit(131_072)
    try:
        with pytest.raises(ReadError, match=f"line {line}: .*{what}") as error:
            read_facts(file)
    finally:
        csv.field_size_limit(limit)
    assert "Meadow" not in str(error.value)


def test_messages_keep_their_words_and_know_their_line(tmp_path: Path) -> None:
    file = tmp_path / "messages.csv"
    rows = ['K1,2024-03-01T08:30:00Z,"two\nlines, ""quoted"""', "K1,2024-03-02, one\u2028line"]
    file.write_text("client_id,time,text\n" + "\n".join(rows) + "\n", "utf-8")
    first, second = read_messages(file)
    assert (first.text, first.line, first.time.hour) == ('two\nlines, "quoted"', 2, 8)
    assert (second.text, second.line) == (" one\u2028line", 4)
    for row in ("K1,yesterday,Meadow", "K1,2024-03-01,Sorry, Meadow"):
        file.write_text(f"client_id,time,text\n{row}\n", "utf-8")
        with pytest.raises(ReadError, match="line 2") as error:
            read_messages(file)
        assert "Meadow" not in str(error.value)


def test_a_table_goes_before_a_pattern_and_a_pattern_before_what_the_file_says() -> None:
    sessions = [held("Ada_s03", client_id="file", session_number=9), held("other", client_id="file"), held("Bea_s1")]
    told = identified(sessions, {"Bea_s1": {"client_id": "table"}}, r"(?P<client>\w+)_s(?P<number>\d+)")
    assert [dict(session.transcript.meta) for session in told] == [
        {"client_id": "Ada", "session_number": 3},
        {"client_id": "file"},
        {"client_id": "table", "session_number": 1},
    ]
    named = identified([held("s1", path="study/K7-2024-03-01.txt")], pattern=r"(?P<client>K\d+)-(?P<date>[\d-]+)")
    assert named[0].transcript.meta["client_id"] == "K7"
    assert named[0].transcript.meta["date"] == "2024-03-01"
    with pytest.raises(ValueError, match="no regular expression"):
        identified([], pattern="(")
    with pytest.raises(ValueError, match="names no group"):
        identified([], pattern=r"\d+")


def test_a_pattern_with_a_slash_is_searched_for_in_the_path_too() -> None:
    # ids have their folders only where two files have one name
    sessions = [held("K1/s1.txt", path="K1/s1.txt"), held("s2", path="K1/s2.txt")]
    told = identified(sessions, pattern=r"(?P<client>K\d)/s(?P<number>\d)")
    assert [s.transcript.meta["client_id"] for s in told] == ["K1", "K1"]
    assert [s.transcript.meta["session_number"] for s in told] == [1, 2]
    assert "client_id" not in identified(sessions, pattern=r"(?P<client>K\d)")[1].transcript.meta


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_in_a_table_are_those_of_a_macs_file_names(tmp_path: Path, form: Literal["NFC", "NFD"]) -> None:
    file = tmp_path / "clients.csv"
    file.write_text(unicodedata.normalize(form, "session_id,client_id,alliance\nÉlodie_s1,K1,5\n"), "utf-8")
    facts = read_facts(file)
    for session in (held(unicodedata.normalize(name, "Élodie_s1")) for name in ("NFC", "NFD")):
        (known,) = identified([session], facts)
        assert known.transcript.meta == {"client_id": "K1", "alliance": 5}
        ratings = {id: told["alliance"] for id, told in read_facts(file, "alliance").items()}
        assert course_rows([known], ratings)[0]["alliance"] == 5


def test_what_is_missing_in_a_data_frame_is_not_known() -> None:
    sessions = [held(f"s{i}", "Hello.", client_id="K1") for i in (1, 2)]
    rows = course_rows(sessions, {"s1": math.nan, "s2": 4.0})
    assert [row["alliance"] for row in rows] == [None, 4.0]
    assert rows[0]["alliance_between"] == 4.0
    assert course_rows([held("s1", client_id="K1", date=math.nan)])[0]["date"] is None
    with pytest.raises(ValueError, match="no client is known of 1 of 1"):
        treatments([held("s1", client_id=math.nan)])


@pytest.mark.parametrize("told", ["she said it was good", "5,5", [5], math.inf])
def test_an_alliance_that_is_no_number_is_told_by_its_session_and_not_quoted(told: Any) -> None:
    with pytest.raises(ValueError, match=r"^session s2: alliance is not a number$"):
        course_rows([held("s1", client_id="K1", alliance="5.5"), held("s2", client_id="K1", alliance=told)])


def test_an_empty_alliance_is_not_known() -> None:
    assert course_rows([held("s1", client_id="K1", alliance=" ")])[0]["alliance"] is None


def test_sessions_of_one_day_are_in_a_doubtful_order() -> None:
    dates = {"a": "2024-03-01", "b": "2024-03-08", "c": "2024-03-08", "d": "2024-03-08T10:00"}
    own = [held(id, client_id="K1", date=date) for id, date in dates.items()]
    assert doubts(own) == ["K1: the same date as the session before, and not all have a number: c"]
    assert not doubts(own[:2])


def test_dates_without_dashes_are_read_by_every_python() -> None:
    dates = {"s1": "20240305", "s2": "20240301", "s3": "20240301T0830Z", "s4": "2024-03-04"}
    own = [held(id, client_id="K1", date=date) for id, date in dates.items()]
    assert [session.transcript.id for session in in_order(own)] == ["s2", "s3", "s4", "s1"]


def test_sessions_are_in_order_of_number_else_date_else_name() -> None:
    def order(*sessions: AnnotatedTranscript) -> list[str]:
        return [session.transcript.id for session in in_order(sessions)]

    assert order(held("a", session_number="10"), held("b", session_number=9)) == ["b", "a"]
    dated = held("a", date="2024-05-01"), held("b", date="2024-04-30"), held("c", date="2024-04-30", session_number=1)
    assert order(*dated) == ["b", "c", "a"]
    # a date that can be read in two ways orders nothing
    assert order(held("s10", date="3/4/24"), held("s9", date="2024-04-30")) == ["s9", "s10"]
    hidden = [Pseudonyms(b"key")(held(f"s{i}", "Fine.", client_id="K1")) for i in range(5)]
    assert in_order(hidden) == hidden


def test_sessions_without_a_client_are_named_and_their_words_are_not() -> None:
    with pytest.raises(ValueError, match="2 of 3 sessions: s2, s3") as error:
        treatments([held("s1", client_id="K1"), held("s2", "Meadow."), held("s3", client_id="")])
    assert "Meadow" not in str(error.value)
    with pytest.raises(ValueError, match=r"given twice: s1; .* as one folder"):
        signals([held("s1", client_id="K1"), held("s1", client_id="K1")])
    assert list(treatments(held(f"s{i}", client_id=f"K{i}") for i in (10, 9))) == ["K9", "K10"]


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_has_the_rates_the_talk_and_both_parts_of_each_measure() -> None:
    sessions = [
        held("s1", "I guess.", "One two three four.", markers=withdrawn(1), client_id="K1", alliance=4),
        held("s2", "One two three four five six.", client_id="K1"),
        held("s3", "Yes.", client_id="K2"),
    ]
    first, second, third = rows = course_rows(sessions, ratings={"s2": 6.0})
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert [row["number"] for row in rows] == [1, 2, 1]
    assert (first["n_withdrawal"], first["of_withdrawal"], first["per100_withdrawal"]) == (1, 2, 50.0)
    assert (first["turn_words_client"], second["turn_words_client"]) == (3.0, 6.0)
    assert first["turn_words_client_between"] == second["turn_words_client_between"] == 4.5
    assert (first["turn_words_client_within"], second["turn_words_client_within"]) == (-1.5, 1.5)
    assert (first["alliance"], second["alliance"], first["alliance_between"]) == (4.0, 6.0, 5.0)
    assert third["alliance"] is third["alliance_between"] is third["alliance_within"] is None
    assert (third["per100_rupture_between"], third["per100_rupture_within"]) == (0.0, 0.0)


def test_a_measure_that_is_not_known_in_a_session_is_not_in_the_mean() -> None:
    sessions = [held(f"s{i}", "Yes.", client_id="K1") for i in range(3)]
    rows = course_rows(sessions, ratings={"s0": 3.0, "s2": 5.0})
    assert [row["alliance_between"] for row in rows] == [4.0] * 3
    assert [row["alliance_within"] for row in rows] == [-1.0, None, 1.0]


def test_what_people_did_not_read_is_in_no_rate_and_answered_episodes_are_counted() -> None:
    read = (Coded("coder:A", "withdrawal", 0, 3), Coded("coder:A", "confrontation", 0, 1))
    markers = tuple(replace(m, source="coder:A") for m in withdrawn(1, 7))
    session = AnnotatedTranscript(held("s1", *["I guess."] * 4, client_id="K1").transcript, markers, coded=read)
    assert counts(session, "withdrawal") == (1, 2)
    assert counts(session, "rupture") == (1, 1)
    assert counts(session, "resolution") == (0, 0)
    given = AnnotatedTranscript(session.transcript, session.markers, episodes=(Episode(1, 1, (2,)), Episode(7, 7)))
    (row,) = course_rows([given])
    assert (row["n_episodes"], row["n_episodes_answered"]) == (2, 1)


def test_what_one_of_three_coders_gave_or_gave_for_a_segment_does_not_count() -> None:
    talk = held("s1", *["I guess."] * 4, client_id="K1").transcript
    read = [Coded(f"coder:{who}", family, 0, 7) for who in "ABC" for family in ("confrontation", "withdrawal")]
    (marker,) = (replace(m, source="coder:A") for m in withdrawn(1))
    assert counts(AnnotatedTranscript(talk, (marker,), coded=tuple(read)), "withdrawal") == (0, 4)
    somewhere = AnnotatedTranscript(talk, (replace(marker, note="segment"),), coded=tuple(read[:2]))
    assert counts(somewhere, "withdrawal") == (0, 0)
    for part, episodes in ((read, 0), (read[:4], 1)):
        (row,) = course_rows([AnnotatedTranscript(talk, (marker,), coded=tuple(part))])
        assert row["n_episodes"] == episodes


def test_where_words_are_withheld_no_measure_is_made_of_them() -> None:
    session = held("s1", *["I guess so, well."] * 40, markers=withdrawn(1), client_id="K1")
    (row,) = course_rows([Pseudonyms(b"key")(session)])
    assert row["per100_withdrawal"] == 2.5
    assert row["turn_words_client"] is row["open_questions_per100"] is row["talk_share_client"] is None


# --- limits ---------------------------------------------------------------------------------------


def test_the_limit_is_the_formula_that_is_told() -> None:
    k, of = [3, 2, 4, 3, 20, 3, 4, 2, 3, 4], [60, 50, 70, 60, 55, 60, 65, 60, 50, 60]
    (signal,) = excursions(counted(k, of))
    y = [((n + 0.5) / (m - n + 0.5)) ** (1 / 3) for n, m in zip(k, of)]
    others = [0, 1, 2, 6, 7, 8, 9]  # the fifth session is compared with all but itself and its neighbours
    odds = (sum(k[i] for i in others) + 0.5) / (sum(of[i] - k[i] for i in others) + 0.5)
    v = [(1 + odds) ** 2 / (9 * m * odds ** (1 / 3)) for m in of]
    mean = sum(y[i] for i in others) / 7
    s = math.sqrt(sum((y[i] - mean) ** 2 / v[i] for i in others) / 6)
    alpha = 0.025 / 10
    limit = (mean + max(t.isf(alpha, 6) * s, norm.isf(alpha)) * math.sqrt(v[4] * (1 + 1 / 7))) ** 3
    assert (signal.kind, signal.session_id, signal.measure, signal.until) == ("peak", "s5", "per100_withdrawal", "s6")
    assert signal.value == pytest.approx(100 * 20 / 55)
    assert signal.limit == pytest.approx(100 * (limit * 55.5 - 0.5) / (1 + limit) / 55)


def test_a_short_session_has_wider_limits_than_a_long_one() -> None:
    others = [3, 3, 3, 4, 3, 3, 4, 3, 3]
    long, short = [*others[:5], 40, *others[5:]], [*others[:5], 2, *others[5:]]
    rate = [60] * 5
    assert excursions(counted(long, [*rate, 200, *rate[:4]]))  # 20 %
    assert not excursions(counted(short, [*rate, 10, *rate[:4]]))  # 20 %, two turns of ten


def test_fewer_sessions_than_limits_need_raise_no_alarm() -> None:
    k = [2] * (LEAST_SESSIONS - 2) + [55]
    assert not excursions(counted([*k, 2][: LEAST_SESSIONS - 1]))
    assert not excursions(counted(k))
    assert excursions(counted([2, 2, 2, 2, 55, 2, 2, 2]))
    assert not excursions(measured("alliance", [6, 6, 5.5, 1, 6, None, 5.5, 6]))  # seven ratings


def test_what_comes_back_is_a_peak_and_what_stays_is_a_rise() -> None:
    quiet = [2, 3, 2, 4, 3, 2, 3, 4, 2, 3]
    back = excursions(counted([*quiet, 30, 28, 2, *quiet]))
    assert [(s.kind, s.session_id, s.until) for s in back] == [("peak", "s11", "s13")]
    stays = excursions(counted([*quiet, *quiet, 30, 28, 33]))
    assert [(s.kind, s.session_id, s.until) for s in stays] == [("rise", "s21", None)]
    # nothing was before the first session
    assert not excursions(counted([30, *quiet]))
    assert not excursions(counted([30, 30, *quiet, *quiet]))
    # a course that is even but for one session is back at its middle, for all that rounding does
    assert [s.kind for s in excursions(counted([3] * 5 + [50] + [3] * 6))] == ["peak"]


def test_what_is_back_after_three_sessions_is_a_peak_and_after_four_a_rise() -> None:
    quiet = [2, 3, 2, 4, 3, 2, 3, 4, 2, 3, 2, 3]
    third, fourth = (excursions(counted([*quiet, 35, *[5] * after, 2, *quiet])) for after in (2, 3))
    assert [(s.kind, s.until) for s in third] == [("peak", "s16")]
    assert [(s.kind, s.until) for s in fourth] == [("rise", None)]


def test_ratings_fall_where_rates_rise() -> None:
    ratings = [6, 5.5, 6, 5.5, 6, 2, 5.5, 6, 5.5, 6]
    (dip,) = excursions(measured("alliance", ratings))
    assert (dip.kind, dip.session_id, dip.until) == ("dip", "s6", "s8")
    assert dip.limit is not None
    assert dip.value < dip.limit < 5.5
    (drop,) = excursions(measured("alliance", [6, 5.5, 6, 5.5, 6, 5.5, 6, 5.5, 6, 2]))
    assert drop.kind == "sharp_drop"
    assert not excursions(measured("alliance", [2 if r == 6 else r + 4 for r in ratings]))


def test_one_step_of_the_scale_is_no_drop_though_all_other_ratings_are_the_same() -> None:
    assert not excursions(measured("alliance", [7] * 6 + [6] + [7] * 6))
    assert not excursions(measured("alliance", [7] * 13))
    assert excursions(measured("alliance", [7, 6, 7, 7, 7, 7, 1, 7, 7, 7, 7, 7, 7]))


# --- drifts ---------------------------------------------------------------------------------------


def test_a_drift_has_its_slope_its_interval_and_its_corrected_p() -> None:
    words = [21, 19, 20, 16, 15, 11, 12, 9]
    (signal,) = drifts(measured("turn_words_client", words))
    slopes = [(words[j] - words[i]) / (j - i) for i in range(8) for j in range(i + 1, 8)]
    assert signal.value == pytest.approx(np.median(slopes))
    assert signal.limit is not None
    assert signal.value < signal.limit < 0
    assert signal.p == pytest.approx(kendalltau(range(8), words).pvalue)
    rows = [{**row, "alliance": a} for row, a in zip(measured("turn_words_client", words), [5, 6, 4, 6, 5, 4, 6, 5])]
    (among_two,) = drifts(rows)
    assert among_two.p == pytest.approx(2 * kendalltau(range(8), words).pvalue)


def test_a_drift_of_nothing_is_none_however_regular() -> None:
    ties = [5.0] * 11 + [6.0] * 5
    assert drifts(measured("alliance", ties), ["alliance"]) == []
    (rising,) = drifts(measured("alliance", sorted([*range(1, 9), 9])), ["alliance"])
    assert rising.limit > 0


def test_neither_one_session_far_out_nor_a_few_sessions_make_a_drift() -> None:
    assert not drifts(measured("turn_words_client", [12, 13, 12, 14, 12, 13, 12, 400]))
    assert not drifts(measured("turn_words_client", [10, 8, 6, 4, 2]))
    assert not drifts(measured("turn_words_client", [12] * 20))
    even = [{**row, "alliance": 6} for row in measured("turn_words_client", [8, 7, 6, 5, 4, 3, 2])]
    (signal,) = drifts(even)
    assert signal.p == pytest.approx(kendalltau(range(7), range(7)).pvalue)  # what never changes is not looked at
    assert drifts(measured("turn_words_client", [12, 10, 8, None, 6, 4, 2]))


def test_stable_treatments_raise_few_alarms_and_large_changes_are_found() -> None:
    rng = np.random.default_rng(5)

    def treatment(rise: float = 0.0, shrink: float = 0.0) -> list[Row]:
        odds = np.log(0.05 / 0.95) + rng.normal(0, 0.5, 16)
        odds[8:10] += rise
        rows = counted(list(map(int, rng.binomial(80, 1 / (1 + np.exp(-odds))))), 80)
        words = 12 * np.exp(rng.normal(0, 0.2, 16)) * (1 - shrink * np.arange(16) / 15)
        return [{**row, "turn_words_client": float(w)} for row, w in zip(rows, words)]

    alarms = [bool(excursions(rows) or drifts(rows)) for rows in (treatment() for _ in range(300))]
    assert np.mean(alarms) <= 0.07
    assert np.mean([bool(excursions(treatment(rise=np.log(15)))) for _ in range(40)]) >= 0.8
    assert np.mean([bool(drifts(treatment(shrink=0.7))) for _ in range(40)]) >= 0.9


# --- signs ----------------------------------------------------------------------------------------

HITS = {
    "late": [
        "Sorry I'm late.",
        "I’m so sorry I’m late, the bus broke down.",
        "Sorry for being a bit late again.",
        "I'm running ten minutes late.",
        "Hi, running a bit late!",
        "I apologise for being late today.",
        "I know, I'm late again.",
        "Sorry to keep you waiting.",
        "Sorry I was late for our session.",
    ],
    "cancelling": [
        "I have to cancel our session on Thursday.",
        "Can we move our session to Friday?",
        "Could I reschedule next week's appointment?",
        "I can't make it today, I'm afraid.",
        "I won't be able to come on Monday.",
        "Sorry I missed last week.",
        "I'm sorry I forgot about our appointment.",
        "Sorry for cancelling at the last minute.",
    ],
    "all_fine": [
        "Everything's fine.",
        "Yeah, everything is good, thanks.",
        "I'm fine, really.",
        "Well, things are all right at home.",
        "There's nothing to talk about.",
        "Nothing to report.",
        "I can't complain.",
    ],
    "reassurance": [
        "Are you angry with me?",
        "You're not mad at me, are you?",
        "Are we okay?",
        "Do you think I'm a bad person?",
        "Do you think that I'm going crazy? Am I going mad?",
        "Did I say something wrong?",
        "Am I doing this right?",
        "You still want to see me?",
        "Just tell me I'm going to be okay.",
        "Is it normal to feel so tired?",
    ],
}
MISSES = {
    "late": [
        "My boss was late again.",
        "I'm sorry I was late to work on Friday.",
        "It's too late for that.",
        "I stayed up late.",
        "She said sorry I'm late.",
        "If I'm running late he shouts.",
        "I'm running late with the report.",
        "I was never late.",
    ],
    "cancelling": [
        "He cancelled our date.",
        "I had to cancel my subscription.",
        "I had to cancel my appointment with the dentist.",
        "I had to skip this week's meeting.",
        "I have to move next week.",
        "I can't be there on Thursday for my daughter.",
        "I couldn't make it to the shop.",
        "Sorry I missed your point.",
        "My wife says I have to cancel today.",
    ],
    "all_fine": [
        "Everything's fine with the car.",
        "I'm fine with that.",
        "I'm good at maths.",
        "I pretend everything's fine.",
        "He says everything's fine.",
        "Not everything is fine.",
        "Everything's fine?",
        "I have nothing to wear.",
        "I can't complain to him.",
    ],
    "reassurance": [
        "Are you angry with him?",
        "My sister asked, were you angry with me?".replace(",", ""),
        "Do you think it's late?",
        "He never asks am I okay.",
        "Is it okay if I sit here?",
        "Did he say something wrong?",
        "Are we done?",
        "Nobody can tell me I'm okay.",
    ],
}


@pytest.mark.parametrize(("sign", "text"), [(sign, text) for sign, texts in HITS.items() for text in texts])
def test_a_sign_is_found(sign: str, text: str) -> None:
    assert sign in {found for found, _, _ in cues(text)}


@pytest.mark.parametrize(("sign", "text"), [(sign, text) for sign, texts in MISSES.items() for text in texts])
def test_a_sign_is_left_alone(sign: str, text: str) -> None:
    assert sign not in {found for found, _, _ in cues(text)}


def test_a_place_counts_code_points() -> None:
    text = "😀 Hello.\nSorry I’m late."
    ((sign, start, end),) = cues(text)
    assert (sign, text[start:end]) == ("late", "Sorry I’m late")


def test_all_is_fine_is_a_sign_when_said_session_after_session() -> None:
    fine = "Everything's fine."
    said = [fine, "I was sad.", fine, fine, fine, "I was sad.", fine, fine]
    found = signs(held(f"s{i}", text, client_id="K1") for i, text in enumerate(said))
    assert [(s.kind, s.session_id, s.value, s.places) for s in found] == [
        ("all_fine", f"s{i}", 3.0, ((1, 0, 17),)) for i in (2, 3, 4)
    ]


def test_reassurance_is_a_sign_where_it_is_asked_for_often_and_the_therapist_is_not_read() -> None:
    ask = "Are you angry with me?"
    assert not signs([held("s1", ask, ask, client_id="K1")])
    (found,) = signs([held("s1", ask, "I see.", ask, ask, client_id="K1")])
    assert (found.kind, found.value, found.limit, found.places) == (
        *("reassurance", 3.0, 3),
        ((1, 0, 21), (5, 0, 21), (7, 0, 21)),
    )
    turns = tuple(Turn(i, "T", "therapist", "Sorry I'm late.") for i in range(3))
    assert not signs([AnnotatedTranscript(Transcript("s1", turns, meta={"client_id": "K1"}))])


def test_messages_of_a_week_are_counted_together(tmp_path: Path) -> None:
    file = tmp_path / "messages.csv"
    days = ["01", "04", "09", "14", "13", "15", "30"]  # two are not in order
    lines = [f"K1,2024-03-{day},Are we okay?" for day in days] + ["K1,2024-03-20T07:00,Running late."]
    lines += ["K1,2024-03-21T08:00,I'm running late today."]
    file.write_text("client_id,time,text\n" + "\n".join(lines) + "\n", "utf-8")
    found = signs([held("s1", "Hello.", client_id="K1")], read_messages(file))
    assert [(s.kind, s.date, s.value, s.measure) for s in found] == [
        ("reassurance", "2024-03-14T00:00:00", 3.0, "messages"),
        ("late", "2024-03-20T07:00:00", 1.0, "messages"),
        ("late", "2024-03-21T08:00:00", 1.0, "messages"),
    ]
    assert found[0].places == ((4, 0, 12), (6, 0, 12), (5, 0, 12))
    file.write_text("client_id,time,text\nMeadow,2024-03-01,Hello.\n", "utf-8")
    with pytest.raises(ValueError, match="line 2: this client has no session") as error:
        signs([held("s1", "Hello.", client_id="K1")], read_messages(file))
    assert "Meadow" not in str(error.value)


# --- outputs --------------------------------------------------------------------------------------


def course_of(n: int = 12) -> list[AnnotatedTranscript]:
    """Return the sessions of a client, of which the seventh stands out and the second is late."""
    sessions = []
    for i in range(1, n + 1):
        said = ["I walked along the meadow."] * 40
        marked = withdrawn(*range(1, 60, 2)) if i == 7 else withdrawn(1, 3)
        if i == 2:
            said[0] = "Sorry I'm late."
        sessions.append(held(f"K1_s{i}", *said, markers=marked))
    return sessions


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_course(parser.add_subparsers())
    args = parser.parse_args(["course", *map(str, arguments)])
    return int(args.run(args))


def stored(sessions: list[AnnotatedTranscript], file: Path) -> Path:
    file.write_text("".join(session.to_json() + "\n" for session in sessions), "utf-8", newline="\n")
    return file


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_of_a_table_of_ratings_only_the_ratings_are_read(tmp_path: Path) -> None:
    file = stored([held("s1", "Fine.", client_id="K1")], tmp_path / "a.jsonl")
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("session_id;client_id;session_number;date;alliance\ns1;K9;first;3.4.2025;5.5\n", "utf-8")
    assert run(file, "--ratings", ratings, "--out", tmp_path / "out") == 0
    (row,) = table(tmp_path / "out" / "course.csv")
    assert (row["client_id"], row["date"], float(row["alliance"])) == ("K1", "", 5.5)


def test_the_command_writes_rows_and_signals_and_no_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, pattern = stored(course_of(), tmp_path / "a.jsonl"), r"(?P<client>\w+)_s(?P<number>\d+)"
    assert run(file, "--pattern", pattern, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "1 late, 2 peak" in shown
    rows, found = table(tmp_path / "out" / "course.csv"), table(tmp_path / "out" / "signals.csv")
    assert [row["session_id"] for row in rows] == [f"K1_s{i}" for i in range(1, 13)]
    assert list(rows[0]) == list(COLUMNS)
    assert list(found[0]) == list(SIGNAL_COLUMNS)
    assert [(s["session_id"], s["kind"], s["measure"]) for s in found] == [
        ("K1_s2", "late", "turns"),
        ("K1_s7", "peak", "per100_withdrawal"),
        ("K1_s7", "peak", "per100_rupture"),
    ]
    assert found[0]["turns"] == "1:0-14"
    assert found[1]["turns"].startswith("1:0-4;3:0-4;")
    written = "".join((tmp_path / "out" / name).read_text("utf-8") for name in ("course.csv", "signals.csv"))
    assert "meadow" not in shown + written
    assert run(file, "--pattern", pattern, "--out", tmp_path / "again") == 0
    for name in ("course.csv", "signals.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert run(file, "--pattern", pattern, "--out", tmp_path / "out") == 2


def test_the_command_takes_tables_and_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = stored(course_of(9), tmp_path / "a.jsonl")
    clients, ratings, messages = (tmp_path / f"{name}.csv" for name in ("clients", "ratings", "messages"))
    clients.write_text("session_id,client_id,session_number\n" + "".join(f"K1_s{i},A,{i}\n" for i in range(1, 11)))
    ratings.write_text(
        "session_id,alliance\n" + "".join(f"K1_s{i},{1 if i == 5 else 6 - i % 2}\n" for i in range(1, 10))
    )
    messages.write_text("client_id,time,text\nA,2024-03-01,I can't make it today.\n")
    options = ["--clients", clients, "--ratings", ratings, "--messages", messages, "--json"]
    assert run(file, *options, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["sessions"] == 9
    assert {(s["session_id"], s["kind"]) for s in told["signals"]} == {
        ("K1_s2", "late"),
        ("K1_s5", "dip"),
        ("K1_s7", "peak"),
        (None, "cancelling"),
    }
    assert "--clients: 1 of its sessions" in err


def test_an_order_that_may_be_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def own(client: str, *facts: tuple[int | None, str | None]) -> list[AnnotatedTranscript]:
        known = [{"client_id": client, "session_number": number, "date": date} for number, date in facts]
        return [held(f"{client}_s{i}", "Hello.", **meta) for i, meta in enumerate(known, 1)]

    clear = own("K1", (1, "2024-01-01"), (2, None), (4, "2025-01-01")) + own("K2", (None, None), (None, None))
    clear += own("K3", (None, "2024-02-01"), (None, "2024-01-01")) + own("K4", (None, "May 2024"))
    assert doubts(clear) == []
    twice, back = own("K5", (1, None), (1, None)), own("K6", (1, "2024-03-01"), (2, None), (3, "2023-03-08"))
    unread = own("K7", (None, "03.04.2024"), (2, "2024-01-01"))
    told = doubts([*unread, *back, *clear, *twice])
    assert [sentence.split(":")[0] for sentence in told] == ["K5", "K6", "K7"]
    assert "K5_s2" in told[0]
    assert "K6_s3" in told[1]
    assert run(stored(unread, tmp_path / "a.jsonl"), "--out", tmp_path / "out") == 0
    assert "K7: not in the order of numbers or dates" in capsys.readouterr().err


def test_the_command_says_which_session_has_no_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = stored(course_of(3), tmp_path / "a.jsonl")
    assert run(file, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "K1_s1, K1_s2, K1_s3" in error
    assert "meadow" not in error
    assert not (tmp_path / "out").exists()
    # a table whose ids are others is the likely cause
    clients = tmp_path / "clients.csv"
    clients.write_text("session_id,client_id\nK1_s1.txt,K1\n")
    assert run(file, "--clients", clients, "--out", tmp_path / "out") == 2
    assert "--clients: 1 of its sessions are not among these" in capsys.readouterr().err


def test_withheld_text_is_courses_and_signals_too(tmp_path: Path) -> None:
    hide = Pseudonyms(b"key")
    hidden = [hide(session) for session in identified(course_of(), pattern="(?P<client>K1)")]
    file = stored(hidden, tmp_path / "a.jsonl")
    assert run(file, "--out", tmp_path / "out") == 0
    found = table(tmp_path / "out" / "signals.csv")
    assert {(s["session_id"], s["kind"]) for s in found} == {(hide.hash("K1_s7"), "peak")}
    written = (tmp_path / "out" / "course.csv").read_text("utf-8")
    assert "K1" not in written
    assert "meadow" not in written


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write([], [], tmp_path)
    with pytest.raises(FileExistsError):
        write([], [], tmp_path)
