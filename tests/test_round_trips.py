"""What is written and read back is the same, for any session: our own files, and the tables that people bring.

The formats of other tools have their round trips in their own tests.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from coded_sessions import BOOK, coded_sessions
from rupturekit import AnnotatedTranscript, read_all
from rupturekit.annotation import Coded, Episode, Provenance, Score
from rupturekit.inputs import csv_rows
from rupturekit.readers.raw import Source, clean
from rupturekit.tables import Pseudonyms, Writer, load, render

PROVENANCE = Provenance("1", "3rs 2015", "ab", thresholds={"withdrawal": 0.5}, settings={"rules": True})
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\"',; "), max_size=12)


def written(folder: Path, *sessions: AnnotatedTranscript) -> Path:
    with Writer(folder, BOOK) as writer:
        for session in sessions:
            writer.write(render(session, BOOK).values())
    return folder


@st.composite
def annotated(draw: st.DrawFn) -> AnnotatedTranscript:
    """Draw a session with all that a run can say of it."""
    (session, *_) = draw(coded_sessions(in_part=True))
    last = len(session.transcript) - 1
    turns = st.integers(0, last)
    times = draw(st.lists(st.floats(0, 1e6), min_size=last + 1, max_size=last + 1))
    timed = (
        replace(t, start_s=at, end_s=at + 1, line=t.index + 1, source_ids=("7",))
        for t, at in zip(session.transcript, times)
    )
    transcript = replace(session.transcript, turns=tuple(timed), meta={"flags": ["no_times"], "client_id": draw(CELLS)})
    return replace(
        session,
        transcript=transcript,
        scores=(Score("turn", draw(turns), "rupture", draw(st.floats(0, 1))),),
        episodes=(Episode(0, last, tuple(draw(st.lists(turns, max_size=3))), type="mixed", depth=2),),
        coded=(*session.coded, Coded("rule", "withdrawal", 0, last)),
        provenance=draw(st.sampled_from([None, PROVENANCE])),
    )


@given(annotated())
@settings(deadline=None, max_examples=60)
def test_a_runs_sessions_come_back_equal_with_and_without_their_words(session: AnnotatedTranscript) -> None:
    hidden = Pseudonyms(b"key")(session)
    with tempfile.TemporaryDirectory() as folder:
        assert load(written(Path(folder), session, hidden)) == [session, hidden]


@given(coded_sessions(in_part=False))
@settings(deadline=None, max_examples=60)
def test_the_table_of_turns_is_read_as_the_session_that_it_is_of(sessions: list[AnnotatedTranscript]) -> None:
    sessions = [_printable(s) for s in sessions]
    if not all({"client", "therapist"} <= {t.role for t in s.transcript} and _mostly_theirs(s) for s in sessions):
        return
    with tempfile.TemporaryDirectory() as folder:
        found = read_all(written(Path(folder), *sessions) / "turns.csv")
    told = [[(t.role, clean(t.text)) for t in s.transcript] for s in sessions]
    assert [[(turn.role, turn.text) for turn in session] for session in found] == told


def _mostly_theirs(session: AnnotatedTranscript) -> bool:
    # where others say more, roles have to be given
    said = [(t.role != "other", len(clean(t.text).split())) for t in session.transcript]
    return 2 * sum(n for theirs, n in said if theirs) >= sum(n for _, n in said)


def _printable(session: AnnotatedTranscript) -> AnnotatedTranscript:
    # with control characters a file is taken for a binary one, and a turn without a word is none
    turns = (replace(t, text=re.sub("[\x00-\x1f\x7f\x85]", "-", t.text) + " so.") for t in session.transcript)
    return replace(session, transcript=replace(session.transcript, turns=tuple(turns)), markers=())


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5), st.sampled_from(",;\t"))
def test_the_rows_of_a_csv_are_those_that_were_written(rows: list[tuple[str, ...]], delimiter: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([("session_id", "Text", "date"), *rows])
    found = [cells for _, cells in csv_rows(Source(Path("s.csv"), file.getvalue().encode()), "session_id")]
    told = [{"session_id": a.strip(), "text": b, "date": c.strip()} for a, b, c in rows if a or b or c]
    assert found == told
