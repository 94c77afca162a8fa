"""The 3RS sheet: codings as a table that a rater fills in with a spreadsheet, and back.

A 3RS rater goes through a session in segments of five minutes and notes for every marker whether it occurred
(Eubanks, Muran & Safran 2015). The sheet has a row for each session, segment and marker of the codebook, and a
further row where a marker of a segment has another clarity, remark or coder. XLSX holds five sheets, CSV five files:
``Markers`` (``X.csv``), ``Ratings`` of whole sessions (``X.ratings.csv``), ``Turns`` with what was said
(``X.turns.csv``), ``Codebook`` with the definitions (``X.codebook.csv``) and ``Instructions``. What it was made by
stands in the workbook's description, or in ``X.made-by.json``.

What a row says when it is read:

* ``turns`` are the turn numbers on which the marker stands, as ``12`` or ``12;14``. It stands on the whole turn,
  unless ``spans`` narrows it: ``12:0-17;14:3-9`` are half-open offsets in Unicode code points. Spans of a turn that
  ``turns`` lacks are not read, so that a coder need not touch them.
* A clarity without a turn means "somewhere in this segment". The marker is put on the whole of the segment's first
  turn of the role that it is coded on, with the note ``segment`` (`SEGMENT_NOTE`): right for agreement by segments
  and sessions, not for agreement by turns.
* Without clarity and without turns, the marker was looked for and not found; a note is then an error, because there is
  no marker to bear it. A row that was deleted says the same, but a session of which no row is left was not read.
* An ``x`` under ``not coded`` says that the coder left the row's family out in the row's segment. All rows of the
  family there must have it. In a row without a code it holds for the row's family, or for all where none is named.
* ``coder`` is whose row it is. What the machine marked and the coder left standing is the coder's.
* ``label``, ``times``, ``words``, ``source`` and ``score`` are for the eye and are not read.

A sheet holds for the turns that it was written for. Its ``Turns`` must be those of the transcripts, by role and words.
Where that table is missing, its segments must be: a sheet without rows of the last segment is cut anew, by the length
that ``from`` and ``to``, or the turns of its segments, tell.

Text that a spreadsheet would take for a formula is typed as text in XLSX and gets an apostrophe in CSV, which is
taken off again. Control characters, which XLSX cannot hold, become U+FFFD, but for tabs and line feeds.
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, TypeAlias

from .annotation import (
    FAMILIES,
    MADE_BY,
    AnnotatedTranscript,
    Coded,
    Family,
    Marker,
    coded_order,
    made_by,
    marker_order,
    runs,
)
from .codebook import Codebook, CodebookMarker, Crosswalk, load_codebook
from .folders import write_whole
from .readers import archive, load
from .readers.encoding import decode
from .readers.raw import ReadError, Source
from .readers.raw import seconds as clock_time
from .readers.table import numbered
from .score import ROLE_OF, SEGMENT_S, SEGMENT_TURNS, is_timed, segments
from .transcript import Transcript

Value: TypeAlias = "str | int | float | None"
Row: TypeAlias = dict[str, Value]

WORDS_PER_MINUTE = 150
"""How fast people talk, for the times of a session that has none."""
SEGMENT_NOTE = "segment"
"""How the note of a marker begins that was given for a segment, without a turn."""
RATINGS: Mapping[str, str] = {
    "significance confrontation": "How much confrontation weighed on the session: 1 not at all, 5 heavily.",
    "significance withdrawal": "How much withdrawal weighed on the session: 1 not at all, 5 heavily.",
    "resolution": "How far the ruptures were resolved by the end: 1 not at all or worse, 5 fully.",
    "therapist contribution": "How far the therapist caused the ruptures or made them worse: 1 not at all, 5 mainly.",
}
"""The ratings of a whole session, each from 1 to 5."""

_HOW = (
    "Go through the session segment by segment. The sheet Turns has what was said, with the number of each turn.",
    "The sheet Codebook has the definitions of the markers.",
    "If a marker is there, give its clarity (1 faint or arguable, 2 clear, 3 strong) and its turns, as 12 or 12;14.",
    "If you cannot tell the turn, the clarity alone says that the marker is somewhere in the segment.",
    "If a marker is not there, leave its row empty.",
    "If the same marker has different clarities in one segment, copy the row and give each its own.",
    "What is filled in already was marked by the machine or by you before: leave it, change it, or delete it: empty "
    "clarity, turns and note, or delete the row. Leave a row of every session that you read: one without rows was not.",
    "Spans holds the places of the words in the turns. You need not touch it: a turn taken out of turns takes its "
    "spans along, and a turn put in counts as a whole.",
    "If you left a family out in a segment, put an x under not coded in all its rows there. Not coded is not none.",
    "In the sheet Ratings, judge each session as a whole, from 1 to 5.",
    *(f"{name}: {meaning}" for name, meaning in RATINGS.items()),
)
_FILLED_IN = {"clarity", "turns", "note", "coder", "not coded", *RATINGS}
_WIDTHS = {"session": 16, "label": 38, "family": 15, "marker": 24, "words": 60, "text": 110, "note": 30, "turns": 12}
_WIDTHS |= {"definition": 80, "not when": 50, "spans": 18, "code": 8, "how to fill it in": 110}
_READ = {"session", "segment", "first turn", "last turn", "code", "marker", "family", "spans", *_FILLED_IN}
_KNOWN = _READ | {"from", "to", "estimated", "source", "turn", "role", "text"}
_WRAPPED = {"text", "definition", "not when", "remark", "how to fill it in"}
_LONGEST = 16_000  # a cell holds 32,767 UTF-16 units
_FEW = 500  # spans in a cell, so that they fit
_YES, _NO = ("x", "yes", "true", "1"), ("", "no", "false", "0")
_HEADER_WITHIN = 20
_ERRORS = 10
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"


def write(
    sessions: Iterable[AnnotatedTranscript],
    out: str | os.PathLike[str],
    *,
    codebook: Codebook | None = None,
    segment_s: float = SEGMENT_S,
    coder: str | None = None,
    blank: bool = False,
    crosswalk: Crosswalk | None = None,
) -> list[Path]:
    """Write the 3RS sheet of sessions, filled in with the markers that they have.

    Where a session's ``coded`` says what a coder went through, or is to go through, there are rows for that alone.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
    out : path-like
        An ``.xlsx`` or ``.csv`` file that does not exist yet. CSV makes five more files beside it.
    codebook : Codebook, optional
        Whose markers are asked for; the shipped one by default.
    segment_s : float
        Length of a segment in seconds. Without times, segments are cut by turns (`score.segments`) and their times
        are estimated from the words.
    coder : str, optional
        Who is to fill it in. What the machine marked stands in this coder's rows.
    blank : bool
        Whether to hide all markers.
    crosswalk : Crosswalk, optional
        For a column with the names of another scheme.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        If a marker is not in the codebook or on a turn that its coder did not code, a session has no words, two
        have one id, or the file is neither XLSX nor CSV. Nothing is written then.
    FileExistsError
        If a file exists: somebody may have filled it in.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit import Turn
    >>> session = Transcript("s1", (Turn(0, "T", "therapist", "And at home?"), Turn(1, "C", "client", "I guess.")))
    >>> given = Marker(1, 0, 7, "withdrawal", "minimal_response", clarity=2, source="coder:AB")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write([AnnotatedTranscript(session, (given,))], Path(folder, "AB.xlsx"))
    ...     (coding,) = read(Path(folder, "AB.xlsx"), [session])
    >>> coding.markers == (given,), len(coding.coded)
    (True, 4)
    """
    out = Path(out)
    if out.suffix.lower() not in (".xlsx", ".csv"):
        raise ValueError(f"{out.name}: give a sheet a name that ends in .xlsx or .csv")
    if not segment_s > 0:
        raise ValueError(f"segments of {segment_s} seconds: give a length above 0")
    sessions = list(sessions)
    tables = _tables(sessions, codebook or load_codebook(), segment_s, coder, blank, crosswalk)
    made = made_by(session.provenance for session in sessions)
    if out.suffix.lower() == ".xlsx":
        files = {out: _xlsx(tables, made)}
    else:
        files = {}
        for table in tables:
            path = out if table.title == "Markers" else out.with_suffix(f".{table.title.lower()}.csv")
            files[path] = csv_bytes(table.header, table.values())
        files[out.with_suffix(f".{MADE_BY}")] = made.encode()
    if there := [path for path in files if path.exists()]:
        raise FileExistsError(f"{there[0]} exists and may have been filled in; give another name")
    # the sheet itself comes last: where it is, the rest is too
    write_whole(dict(reversed(files.items())))
    return list(files)


def read(
    path: str | os.PathLike[str],
    sessions: Iterable[Transcript],
    *,
    coder: str | None = None,
    coders: Mapping[str, str] | None = None,
    codebook: Codebook | None = None,
) -> list[AnnotatedTranscript]:
    """Read a filled-in sheet: the markers, and what each coder went through.

    A sheet that lists a session says that its coder went through all of it, for every family of the codebook, but
    for what is marked as not coded. Columns may be in any order, rows may be added or deleted.

    Parameters
    ----------
    path : path-like
        The XLSX or CSV file.
    sessions : iterable of Transcript
        The sessions that the sheet was written for, or more.
    coder : str, optional
        Whose the rows are in which the coder column is empty.
    coders : mapping, optional
        The sheet's name of a coder → their id here.
    codebook : Codebook, optional
        Whose codes were used; the shipped one by default.

    Returns
    -------
    list of AnnotatedTranscript
        A coding for each session in the sheet, in the order of ``sessions``.

    Raises
    ------
    ReadError
        If something cannot be right: a session, code, turn, span or clarity that there is none of, a marker on a
        turn of the wrong role or on one that is marked as not coded, or nobody whose codes they are; or if the
        sheet was written for other turns. The message names file, sheet and row, a line for each of the first ten
        errors. Nothing of the file is taken then.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit import Turn
    >>> session = Transcript("s1", (Turn(0, "T", "therapist", "And at home?"), Turn(1, "C", "client", "I guess.")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "mine.csv")
    ...     _ = file.write_text("Session;Code;Clarity;Turns\\ns1;W2;3;1\\n")
    ...     read(file, [session], coder="CD")[0].markers
    (Marker(turn=1, start=0, end=8, family='withdrawal', marker='minimal_response', score=None, clarity=3,
            source='coder:CD', rule_id=None, note=None),)
    """
    path = Path(path)
    book = codebook or load_codebook()
    by_id = {transcript.id: transcript for transcript in sessions}
    rows = _read_rows(path, _has_markers)
    if rows is None:
        raise Source(path, b"").error(
            "no table has the columns session, code and turns", "Keep the header that the sheet was written with"
        )
    if not coder and not any(row["coder"] for row in rows):
        raise ReadError(f"{path}: no coder is named in it. Give the coder's id, if what stands in it is one coder's")
    if stale := list(_other_turns(path, rows, by_id)):
        raise _together(stale)
    codings: dict[str, _Coding] = {}
    # where a row that was added says no more than its segment
    where: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for row in rows:
        if row["first turn"] and row["last turn"]:
            where.setdefault((row["session"], row["segment"]), set()).add((row["first turn"], row["last turn"]))
    errors: list[ReadError] = []
    ids: dict[str, str] = {}
    for row in rows:
        try:
            if (transcript := row.transcript(by_id)) is None:
                raise row.no_session()
            marker = _marker(row, book)
            if not (who := row.coder(coders) or coder or ""):
                if row["clarity"] or row["note"] or _says_yes(row) or (row["turns"] and not row["source"]):
                    raise row.error("it has no coder", "Fill in the coder column, or give the coder's id")
                continue
            if ids.setdefault(who.casefold(), who) != who:
                raise row.error("its coder is spelt otherwise above", "Write it the same way in every row")
            stretch = _stretch(row, where.get((row["session"], row["segment"]), set()), len(transcript))
            codings.setdefault(transcript.id, _Coding(transcript, book)).add(row, who, marker, stretch)
        except ReadError as error:
            errors.append(error)
    for coding in codings.values():
        errors += coding.contradictions()
    if errors:
        raise _together(errors)
    return [codings[id].annotated() for id in by_id if id in codings]


def read_ratings(
    path: str | os.PathLike[str],
    sessions: Iterable[Transcript] | None = None,
    *,
    coders: Mapping[str, str] | None = None,
) -> list[dict[str, str | int | None]] | None:
    """Read the ratings of whole sessions from a filled-in sheet.

    Parameters
    ----------
    path : path-like
        The XLSX file, or the CSV file: the one with the ratings, or the one with the markers that it lies beside.
    sessions : iterable of Transcript, optional
        The sessions that it may be about.
    coders : mapping, optional
        The sheet's name of a coder → their id here.

    Returns
    -------
    list of dict, or None
        ``session``, ``coder``, the four ratings, 1 to 5 or None, and the ``note``; without sessions of which nobody
        said anything. None where there is no table of ratings, as beside a CSV file that was renamed.

    Raises
    ------
    ReadError
        If the file cannot be read, a rating is not 1 to 5, or it is about another session.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "AB.ratings.csv")
    ...     _ = file.write_text("session,coder,resolution,therapist contribution\\ns1,AB,4,\\ns2,AB,,\\n")
    ...     read_ratings(file)
    [{'session': 's1', 'coder': 'AB', 'significance confrontation': None, 'significance withdrawal': None,
      'resolution': 4, 'therapist contribution': None, 'note': None}]
    """
    known = None if sessions is None else {transcript.id for transcript in sessions}
    rows = _read_rows(_beside(Path(path), "ratings"), lambda names: "session" in names and bool(names & set(RATINGS)))
    if rows is None:
        return None
    found = []
    for row in rows:
        given = {name: _whole(row[name]) for name in RATINGS}
        for name, value in given.items():
            if row[name] and value not in range(1, 6):
                raise row.error(f"{name} is not one of 1 to 5", "Correct it, or empty the cell")
        if any(given.values()) or row["note"]:
            if known is not None and row["session"] not in known:
                raise row.no_session()
            who = {"session": row["session"], "coder": row.coder(coders) or None}
            found.append({**who, **given, "note": row["note"] or None})
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Row]

    def values(self) -> Iterator[list[Value]]:
        return ([row.get(name) for name in self.header] for row in self.rows)


def _tables(
    sessions: Iterable[AnnotatedTranscript],
    book: Codebook,
    seconds: float,
    coder: str | None,
    blank: bool,
    crosswalk: Crosswalk | None,
) -> list[_Table]:
    markers: list[Row] = []
    ratings: list[Row] = []
    turns: list[Row] = []
    met: set[str] = set()
    for session in sessions:
        transcript = session.transcript
        if transcript.meta.get("text_withheld"):
            raise ValueError(f"session {transcript.id} has no words (--no-text); a sheet needs them")
        if transcript.id in met:
            raise ValueError(f"two sessions are called {transcript.id}; a sheet tells them apart by that")
        met.add(transcript.id)
        cut = segments(transcript, seconds)
        by_owner = _by_owner(session, coder, blank)
        for owner, given in by_owner.items():
            # beside a coder's rows, the machine's are no list to be filled in
            complete = bool(owner) or len(by_owner) == 1
            markers += _marker_rows(session, owner, given, complete, book, cut, seconds)
            if complete:
                ratings.append({"session": transcript.id, "coder": owner})
        turns += _turn_rows(transcript, cut)
    header = (
        "session segment from to estimated first_turn last_turn code marker label family clarity turns note coder "
        "not_coded times words source score spans"
    ).split()
    header = [name.replace("_", " ") for name in header]
    book_header = ["code", "marker", "label", "family", "speaker", "definition", "not when"]
    if crosswalk:
        header.insert(header.index("clarity"), crosswalk.name)
        book_header += [crosswalk.name, "match", "remark"]
        for row in markers:
            row[crosswalk.name] = str(crosswalk[str(row["marker"])]) if row.get("marker") in crosswalk else None
    return [
        _Table("Markers", header, markers),
        _Table("Ratings", ["session", "coder", *RATINGS, "note"], ratings),
        _Table("Turns", ["session", "turn", "segment", "time", "speaker", "role", "text"], turns),
        _Table("Codebook", book_header, list(_codebook_rows(book, crosswalk))),
        _Table("Instructions", ["how to fill it in"], [{"how to fill it in": line} for line in _HOW]),
    ]


def _by_owner(session: AnnotatedTranscript, coder: str | None, blank: bool) -> dict[str, list[Marker]]:
    """Return whose rows are written, each with the markers in them: first nobody ("") where there are such."""
    given: dict[str, list[Marker]] = {coder: []} if coder else {}
    for marker in () if blank else session.markers:
        kind, _, name = marker.source.partition(":")
        given.setdefault((name if kind == "coder" else "") or coder or "", []).append(marker)
    if not (blank and coder):
        for part in session.coded:
            kind, _, name = part.source.partition(":")
            if kind == "coder" and name:
                given.setdefault(name, [])
    return dict(sorted(given.items())) or {"": []}


def _marker_rows(
    session: AnnotatedTranscript,
    owner: str,
    markers: Iterable[Marker],
    complete: bool,
    book: Codebook,
    cut: Mapping[int, list[int]],
    seconds: float,
) -> Iterator[Row]:
    transcript = session.transcript
    left_out = _left_out(session, owner, book)
    segment_of = {turn: number for number, turns in cut.items() for turn in turns}
    given: dict[tuple[int, str], dict[tuple[int, str, bool], list[Marker]]] = {}
    for m in markers:
        if m.marker not in book:
            raise ValueError(f"session {transcript.id}: marker {m.marker} is not in codebook {book.name}")
        by_coder = m.source.startswith("coder:")
        if m.turn in left_out[book[m.marker].parent]:
            if by_coder:
                raise ValueError(f"session {transcript.id}: coder {owner} marked turn {m.turn}, but did not code it")
            continue
        rows = given.setdefault((segment_of[m.turn], m.marker), {})
        rows.setdefault((m.clarity or 0, (m.note or "") if by_coder else "", by_coder), []).append(m)
    times = _times(transcript, cut, seconds)
    estimated = None if is_timed(transcript) else "yes"
    for number, turns in cut.items():
        place: Row = {"session": transcript.id, "segment": number, "estimated": estimated, "coder": owner}
        place |= {"from": _clock(times[number][0]), "to": _clock(times[number][1])}
        place |= {"first turn": turns[0], "last turn": turns[-1]}
        for entry in book.markers:
            row = place | {"code": entry.code, "marker": entry.id, "label": entry.label, "family": entry.parent}
            parts = given.get((number, entry.id), {})
            if not parts and complete and not left_out[entry.parent].issuperset(turns):
                yield row
            for (clarity, note, _), same in sorted(parts.items()):
                filled: Row = {"clarity": clarity or None, "note": note or None}
                same.sort(key=lambda m: (m.turn, m.start, m.end, m.source))
                for at in range(0, len(same), _FEW):
                    yield row | filled | _places(session, same[at : at + _FEW])
    stretches: dict[tuple[int, int], list[str]] = {}
    for family, missing in left_out.items():
        for run in runs(missing):
            stretches.setdefault(run, []).append(family)
    for (first, last), families in sorted(stretches.items()):
        for name in [None] if len(families) == len(left_out) else families:
            place = {"session": transcript.id, "first turn": first, "last turn": last, "coder": owner}
            yield place | {"label": "(not to be coded)", "family": name, "not coded": "x"}


def _places(session: AnnotatedTranscript, markers: Sequence[Marker]) -> Row:
    turns = sorted({m.turn for m in markers})
    starts = [session.transcript[turn].start_s for turn in turns]
    scores = [round(m.score, 4) for m in markers if m.score is not None]
    return {
        "turns": turns[0] if len(turns) == 1 else ";".join(map(str, turns)),
        "times": ";".join("" if s is None else _clock(s) for s in starts) if any(s is not None for s in starts) else "",
        "words": _cut(" | ".join(session.text_of(m) for m in markers)),
        "source": ";".join(sorted({m.source for m in markers})),
        "score": scores[0] if len(scores) == 1 else ";".join(map(str, scores)),
        "spans": ";".join(f"{m.turn}:{m.start}-{m.end}" for m in markers),
    }


def _left_out(session: AnnotatedTranscript, owner: str, book: Codebook) -> dict[Family, set[int]]:
    """Return for each family of the codebook the turns that this coder did not code, or is not to."""
    mine = [part for part in session.coded if part.source == f"coder:{owner}"]
    every = range(len(session.transcript)) if mine else ()
    return {
        family: set(every).difference(*(range(p.first, p.last + 1) for p in mine if p.family == family))
        for family in _families(book)
    }


def _families(book: Codebook) -> list[Family]:
    return [family for family in FAMILIES if book.of(family)]


def _times(transcript: Transcript, cut: Mapping[int, list[int]], seconds: float) -> dict[int, tuple[float, float]]:
    """Return when each segment begins and ends; from the words before it, where the session has no times."""
    if is_timed(transcript):
        begin = next((turn.start_s for turn in transcript if turn.start_s is not None), 0.0)
        return {number: (begin + number * seconds, begin + (number + 1) * seconds) for number in cut}
    times, so_far = {}, 0.0
    for number, turns in cut.items():
        words = sum(len(transcript[turn].text.split()) for turn in turns)
        times[number] = (so_far, so_far + 60 * words / WORDS_PER_MINUTE)
        so_far = times[number][1]
    return times


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _turn_rows(transcript: Transcript, cut: Mapping[int, list[int]]) -> Iterator[Row]:
    for number, turns in cut.items():
        for turn in (transcript[index] for index in turns):
            row: Row = {"session": transcript.id, "turn": turn.index, "segment": number, "speaker": turn.speaker}
            row |= {"role": turn.role, "time": None if turn.start_s is None else _clock(turn.start_s)}
            for at in range(0, len(turn.text), _LONGEST):
                yield row | {"text": turn.text[at : at + _LONGEST]}


def _codebook_rows(book: Codebook, crosswalk: Crosswalk | None) -> Iterator[Row]:
    for entry in book.markers:
        row: Row = {"code": entry.code, "marker": entry.id, "label": entry.label, "family": entry.parent}
        row |= {"speaker": entry.speaker, "definition": entry.definition, "not when": entry.not_when}
        if crosswalk and entry.id in crosswalk:
            there = crosswalk[entry.id]
            row |= {crosswalk.name: str(there), "match": there.match, "remark": there.note}
        yield row


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row of a returned table: where it stands, and its cells by the names of the columns."""

    place: str
    cells: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.text(name).strip()

    def text(self, name: str) -> str:
        return self.cells.get(name, "")

    @property
    def table(self) -> str:
        return self.place.rpartition(", row ")[0]

    def coder(self, ids: Mapping[str, str] | None) -> str:
        name = self["coder"].removeprefix("coder:")
        return (ids or {}).get(name, name)

    def transcript(self, by_id: Mapping[str, Transcript]) -> Transcript | None:
        return by_id.get(self.text("session")) or by_id.get(self["session"])

    def error(self, found: str, todo: str) -> ReadError:
        return ReadError(f"{self.place}: {found}. {todo}")

    def no_session(self) -> ReadError:
        return self.error(
            "there is no such session" if self["session"] else "no session is named",
            "Give its id as in the transcripts; a spreadsheet may have changed it",
        )


def _together(errors: Iterable[ReadError]) -> ReadError:
    """Return one error with a line for each of the first, so that a coder can correct the sheet in one go."""
    told = list(dict.fromkeys(map(str, errors)))
    more = [f"and {len(told) - _ERRORS} more"] if len(told) > _ERRORS else []
    return ReadError("\n".join(told[:_ERRORS] + more))


def _other_turns(path: Path, rows: Iterable[_Cells], by_id: Mapping[str, Transcript]) -> Iterator[ReadError]:
    """Yield an error for each session in the rows that has other turns than those that the sheet was written for."""
    turns = _by_session(_read_rows(_beside(path, "turns"), _has_turns) or (), by_id)
    for id, mine in _by_session(rows, by_id).items():
        if id in turns:
            place, found = _difference(by_id[id], turns[id])
            todo = "If only this table was changed, delete it"
        else:
            place = mine[0].table
            found = "its segments are not those of the transcript" if _cut_otherwise(by_id[id], mine) else ""
            lacking = path.with_suffix(".turns.csv").name if path.suffix.lower() == ".csv" else "the sheet Turns"
            todo = f"If they are right, put {lacking} back"
        if found:
            yield ReadError(
                f"{place}: session {id}: {found}. Import with the transcripts that the sheet was written for. {todo}"
            )


def _by_session(rows: Iterable[_Cells], by_id: Mapping[str, Transcript]) -> dict[str, list[_Cells]]:
    found: dict[str, list[_Cells]] = {}
    for row in rows:
        if transcript := row.transcript(by_id):
            found.setdefault(transcript.id, []).append(row)
    return found


def _difference(transcript: Transcript, rows: Sequence[_Cells]) -> tuple[str, str]:
    """Return where a session's table of turns first differs from its transcript, and how; empty where it does not."""
    met = set()
    # a turn that is longer than a cell has several rows
    for number, parts in groupby(rows, key=lambda row: _whole(row["turn"])):
        row, *more = parts
        if number is None:
            return row.place, "a turn has no number"
        if number >= len(transcript):
            return row.place, f"there is no turn {number} in the transcript"
        if row["role"].casefold() != transcript[number].role:
            return row.place, f"turn {number} has another role than in the transcript"
        if _words("".join(part.text("text") for part in (row, *more))) != _words(transcript[number].text):
            return row.place, f"turn {number} has other words than in the transcript"
        met.add(number)
    missing = set(range(len(transcript))) - met
    return rows[0].table, f"turn {min(missing)} is missing" if missing else ""


def _words(text: str) -> str:
    """Return a turn's words as a cell can hold them."""
    return " ".join(_CONTROL.sub("\ufffd", text).split())


def _cut_otherwise(transcript: Transcript, rows: Iterable[_Cells]) -> bool:
    """Tell whether the segments in the rows of a session cannot be those of its transcript.

    The length of a segment is that between its times or, where these are estimated, that of the segments before it.
    """
    timed = is_timed(transcript)
    told: dict[int, tuple[int, int]] = {}
    lengths: set[float] = set()
    end = -1
    for row in rows:
        number, first, last = (_whole(row[name]) for name in ("segment", "first turn", "last turn"))
        begins, ends = clock_time(row["from"]), clock_time(row["to"])
        end = max(end, -1 if last is None else last)
        if number is None or first is None or last is None or begins is None or ends is None:
            continue
        if ends > begins and timed != bool(row["estimated"]):
            told[number] = first, last
            lengths.add(ends - begins)
    if not timed and told:
        last_told = max(told)
        lengths = {told[last_told][0] / last_told * SEGMENT_S / SEGMENT_TURNS if last_told else SEGMENT_S}
    if end == len(transcript) - 1 or len(lengths) != 1:
        return False
    cut = segments(transcript, *lengths)
    return any(cut.get(number) != list(range(first, last + 1)) for number, (first, last) in told.items())


@dataclass(slots=True)
class _Coding:
    """What the rows of one session add up to."""

    transcript: Transcript
    book: Codebook
    markers: dict[Marker, _Cells] = field(default_factory=dict)
    left_out: dict[str, dict[Family, set[int]]] = field(default_factory=dict)
    marks: dict[tuple[object, ...], tuple[bool, _Cells]] = field(default_factory=dict)

    def add(self, row: _Cells, who: str, entry: CodebookMarker | None, stretch: tuple[int, int] | None) -> None:
        left_out = self.left_out.setdefault(who, {family: set() for family in _families(self.book)})
        not_coded = _says_yes(row)
        if not_coded and stretch is None:
            raise row.error("it is not clear which turns were not coded", "Fill in first turn and last turn")
        if entry is None:
            families = [family for family in left_out if row["family"].casefold() in ("", family)]
            if not families:
                raise row.error("there is no such family", f"Give one of {', '.join(left_out)}, or none for all")
            if not not_coded:
                raise row.error("it has no code", "Give one of the codebook, or delete the row")
        else:
            families = [entry.parent]
            if stretch:
                before, other = self.marks.setdefault((who, entry.parent, stretch), (not_coded, row))
                if before != not_coded:
                    raise (row if not_coded else other).error(
                        f"only some rows of {entry.parent} in this segment are marked as not coded",
                        "Mark all of them or none",
                    )
            if row["note"] and not (row["clarity"] or row["turns"] or not_coded):
                raise row.error("it has a note, but neither clarity nor turns", "Give one of them, or empty the note")
            for marker in _markers(row, who, entry, stretch, self.transcript):
                self.markers.setdefault(marker, row)
        if not_coded and stretch:
            for family in families:
                left_out[family].update(range(stretch[0], stretch[1] + 1))

    def contradictions(self) -> Iterator[ReadError]:
        for m, row in self.markers.items():
            if m.turn in self.left_out[m.source.removeprefix("coder:")][m.family]:
                yield row.error(f"turn {m.turn} is marked as not coded", "Take out the marker or the mark")

    def annotated(self) -> AnnotatedTranscript:
        every = range(len(self.transcript))
        coded = [
            Coded(f"coder:{who}", family, first, last)
            for who, families in sorted(self.left_out.items())
            for family, missing in families.items()
            for first, last in runs(set(every) - missing)
        ]
        coded.sort(key=coded_order)
        return AnnotatedTranscript(self.transcript, tuple(sorted(self.markers, key=marker_order)), coded=tuple(coded))


def _marker(row: _Cells, book: Codebook) -> CodebookMarker | None:
    """Return which marker the row is about, by its code or its name."""
    found = []
    for column, key in (("code", "code"), ("marker", "id")):
        if told := row[column]:
            same = [m for m in book.markers if getattr(m, key) == told]
            same = same or [m for m in book.markers if getattr(m, key).casefold() == told.casefold()]
            if len(same) != 1:
                raise row.error(
                    f"codebook {book.name} has no such {column}",
                    f"Give one of: {', '.join(m.code for m in book.markers)}",
                )
            found += same
    if len(found) == 2 and found[0] is not found[1]:
        raise row.error("code and marker are not the same one", "Empty the marker, or correct the code")
    return found[0] if found else None


def _markers(
    row: _Cells, who: str, entry: CodebookMarker, stretch: tuple[int, int] | None, transcript: Transcript
) -> Iterator[Marker]:
    clarity = _whole(row["clarity"])
    if row["clarity"] and clarity not in (1, 2, 3):
        raise row.error(
            "clarity is not 1, 2 or 3", "Correct it; where the marker is not there, leave clarity and turns empty"
        )
    note = row.text("note") if row["note"] else None
    role = ROLE_OF[entry.parent]
    spans = _spans(row, transcript)
    if not row["turns"] and clarity is not None:
        if stretch is None:
            raise row.error("it has a clarity, but neither a turn nor a segment", "Give the turn number")
        fitting = [turn for turn in range(stretch[0], stretch[1] + 1) if transcript[turn].role == role]
        if not fitting:
            raise row.error(f"{entry.code} is coded on {role} turns and its segment has none", "Correct the row")
        spans = {fitting[0]: []}
        note = f"{SEGMENT_NOTE}: {note}" if note else SEGMENT_NOTE
    for turn in spans:
        if transcript[turn].role != role:
            raise row.error(
                f"{entry.code} is coded on {role} turns, and turn {turn} is a turn of {transcript[turn].role}",
                "Correct the turn number",
            )
        for start, end in spans[turn] or [(0, len(transcript[turn].text))]:
            yield Marker(turn, start, end, entry.parent, entry.id, clarity=clarity, source=f"coder:{who}", note=note)


_SPAN = re.compile(r"([0-9]{1,9}):([0-9]{1,9})-([0-9]{1,9})")


def _spans(row: _Cells, transcript: Transcript) -> dict[int, list[tuple[int, int]]]:
    """Return the turns of the row, each with its spans; none where the marker is on the whole turn.

    Spans of other turns are left from before the row was changed.
    """
    spans: dict[int, list[tuple[int, int]]] = {}
    for told in re.split(r"[;,\s]+", row["turns"].strip(";, ")) if row["turns"] else ():
        turn = _whole(told)
        if turn is None:
            raise row.error("turns are not turn numbers", "Write them as 12 or 12;14, in a cell of text")
        if turn >= len(transcript):
            raise row.error(f"there is no turn {turn}", f"The session has turns 0 to {len(transcript) - 1}")
        spans[turn] = []
    for told in row["spans"].strip(";").split(";") if spans and row["spans"] else ():
        span = _SPAN.fullmatch(told.strip())
        if not span:
            raise row.error("spans are not of the form 12:0-17;14:3-9", "Empty the cell to mark whole turns")
        turn, start, end = map(int, span.groups())
        if turn not in spans:
            continue
        if not start < end <= len(transcript[turn].text):
            raise row.error(
                f"a span on turn {turn} is not within its {len(transcript[turn].text)} characters",
                "Empty the cell to mark whole turns",
            )
        spans[turn].append((start, end))
    return spans


def _stretch(row: _Cells, of_segment: set[tuple[str, str]], n: int) -> tuple[int, int] | None:
    """Return the first and last turn of what the row is about: its own, or those of its segment's other rows."""
    told = row["first turn"], row["last turn"]
    if told == ("", ""):
        if len(of_segment) != 1:
            return None
        (told,) = of_segment
    first, last = map(_whole, told)
    if first is None or last is None or not first <= last < n:
        raise row.error("first turn and last turn are no stretch of the session", f"It has turns 0 to {n - 1}")
    return first, last


def _says_yes(row: _Cells) -> bool:
    told = row["not coded"].casefold()
    if told not in _YES + _NO:
        raise row.error("not coded is neither x nor empty", "Correct it")
    return told in _YES


def _whole(text: str) -> int | None:
    """Return a whole number; a spreadsheet may write it as 12.0."""
    return int(text.partition(".")[0]) if re.fullmatch(r"[0-9]{1,9}(\.0*)?", text) else None


_FORMULA = "=+-@\t\r\n＝＋－＠"
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _cell(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    if len(value) > _LONGEST:
        raise ValueError(f"a text of {len(value)} characters does not fit into a cell")
    return _CONTROL.sub("\ufffd", value)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    """Return a CSV that spreadsheets open as it stands.

    UTF-8 with its mark, comma, LF. A text that a spreadsheet would take for a formula gets an apostrophe before it,
    and so does one that begins with an apostrophe.

    Examples
    --------
    >>> csv_bytes(["turn", "text"], [[1, "-- no"], [2, "'tis"]]).decode("utf-8-sig").splitlines()
    ['turn,text', "1,'-- no", "2,''tis"]
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        cells = map(_cell, row)
        writer.writerow(
            f"'{cell}" if isinstance(cell, str) and cell.startswith(tuple(_FORMULA + "'")) else cell for cell in cells
        )
    return file.getvalue().encode("utf-8-sig")


class _FromMemory(zipfile.ZipFile):
    """Takes a worksheet that openpyxl holds in memory, and not in a file."""

    def write(self, filename: Any, arcname: Any = None, *_: Any) -> None:
        self.writestr(arcname, filename.getvalue())

    def writestr(self, zinfo_or_arcname: Any, data: Any, *_: Any) -> None:
        # an entry's time is the clock's otherwise, and a clock before 1980 is refused
        super().writestr(zipfile.ZipInfo(str(zinfo_or_arcname)), data)


def _xlsx(tables: Sequence[_Table], made: str) -> bytes:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment
    from openpyxl.worksheet._writer import WorksheetWriter
    from openpyxl.writer.excel import ExcelWriter

    # before anything is opened, because a text may not fit
    rows = {table.title: [[_cell(value) for value in row] for row in table.values()] for table in tables}
    book = Workbook(write_only=True)
    book.properties.created = book.properties.modified = datetime(2000, 1, 1)
    book.properties.description = made
    n_codes = next(len(table.rows) for table in tables if table.title == "Codebook")
    wrapped = Alignment(wrap_text=True, vertical="top")
    for table in tables:
        sheet = book.create_sheet(table.title)
        header = _header_cells(sheet, table, n_codes)
        # in memory: openpyxl would put the words down in the folder of temporary files
        sheet._writer = WorksheetWriter(sheet, io.BytesIO())
        sheet._writer.cleanup = lambda: None
        sheet._writer.write_top()
        sheet.append(header)
        for row in rows[table.title]:
            sheet.append(_cells_of(sheet, table.header, row, wrapped))
    with_clock, without = io.BytesIO(), io.BytesIO()
    ExcelWriter(book, _FromMemory(with_clock, "w")).save()
    # the archive's entries bear the time of writing; the same sheet is to be the same bytes
    with zipfile.ZipFile(with_clock) as old, zipfile.ZipFile(without, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
    return without.getvalue()


def _header_cells(sheet: Any, table: _Table, n_codes: int) -> list[Any]:
    """Return the cells of a worksheet's header, once its columns have their widths and what may be chosen in them."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    lists = {"clarity": '"1,2,3"', "not coded": '"x"', "code": f"Codebook!$A$2:$A${n_codes + 1}"}
    lists |= dict.fromkeys(RATINGS, '"1,2,3,4,5"')
    to_fill_in = table.title in ("Markers", "Ratings")
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(table.header))}{len(table.rows) + 1}"
    cells = []
    for column, name in enumerate(table.header, 1):
        letter = get_column_letter(column)
        sheet.column_dimensions[letter].width = _WIDTHS.get(name, 16 if name in RATINGS else 11)
        if to_fill_in and name in lists:
            choice = DataValidation("list", formula1=lists[name], allow_blank=True, showErrorMessage=True)
            choice.add(f"{letter}2:{letter}1048576")
            sheet.data_validations.append(choice)
        cell = WriteOnlyCell(sheet, name)
        cell.font = Font(bold=True)
        if to_fill_in and name in _FILLED_IN:
            cell.fill = PatternFill("solid", fgColor="FFF2CC")
        cells.append(cell)
    return cells


def _cells_of(sheet: Any, header: Sequence[str], row: Sequence[Value], wrapped: Any) -> list[Any]:
    """Return a row's values, as cells where they are ``wrapped`` or would be taken for a formula."""
    from openpyxl.cell import WriteOnlyCell

    cells: list[Any] = []
    for name, value in zip(header, row):
        # also what Excel takes for an error value, as "#N/A"
        formula = isinstance(value, str) and value.startswith(tuple(_FORMULA + "#"))
        cell: Any = value
        if formula or name in _WRAPPED:
            cell = WriteOnlyCell(sheet, value)
        if formula:
            cell.data_type, cell.quotePrefix = "s", True
        if name in _WRAPPED:
            cell.alignment = wrapped
        cells.append(cell)
    return cells


def _read_rows(path: Path, fits: Callable[[set[str]], bool]) -> list[_Cells] | None:
    """Read the rows of every table in a file whose header fits; None where there is no such table."""
    source = load(path)
    tables = _read_xlsx(source) if source.data.startswith((b"PK", _OLD_OFFICE)) else _read_csv(source, fits)
    rows: list[_Cells] | None = None
    for place, table, merged in tables:
        top = list(islice(table, _HEADER_WITHIN))
        headers = [[_normal(_text(value)) for value in values] for values in top]
        at = next((n for n, names in enumerate(headers) if fits(set(names))), None)
        if at is None:
            continue
        if twice := [name for name, n in Counter(headers[at]).items() if name in _READ and n > 1]:
            raise ReadError(f"{place}: two columns are called {twice[0]}. Delete one of them")
        lost = [name for name in ("clarity", "turns", "not coded") if name not in headers[at]]
        if lost and "segment" in headers[at] and _has_markers(set(headers[at])):
            raise ReadError(f"{place}: no column is called {lost[0]}. Keep the header that the sheet was written with")
        # of the others nothing is kept: with a cell in a worksheet's last column a row is 16,384 cells long
        columns = {name: n for n, name in enumerate(headers[at]) if name in _KNOWN}
        rows = rows if rows is not None else []
        for number, values in enumerate(chain(top[at + 1 :], table), at + 2):
            cells = {name: _text(values[n]) for name, n in columns.items() if n < len(values)}
            if any(map(str.strip, cells.values())):
                rows.append(_Cells(f"{place}, row {number}", cells))
        if together := [cells for cells, last_row in merged() if last_row > at + 1]:
            raise ReadError(
                f"{place}: the cells {together[0]} are merged, and only the first of them holds what was filled in. "
                "Unmerge them, and fill in each"
            )
    return rows


def _has_markers(names: set[str]) -> bool:
    return "session" in names and bool(names & {"code", "marker"}) and bool(names & {"clarity", "turns"})


def _has_turns(names: set[str]) -> bool:
    return names >= {"session", "turn", "role", "text"} and not _has_markers(names)


def _beside(path: Path, table: str) -> Path:
    """Return the file that holds another table of the sheet: the same one, or for CSV one beside it."""
    beside = path.with_suffix(f".{table}.csv")
    return beside if path.suffix.lower() == ".csv" and beside.is_file() else path


def _normal(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


_Tables: TypeAlias = "list[tuple[str, Iterator[Sequence[Any]], Callable[[], list[tuple[str, int]]]]]"
"""Where a table stands, its rows, and which of its cells are merged, each with the last row of them."""


def _read_csv(source: Source, fits: Callable[[set[str]], bool]) -> _Tables:
    text = decode(source).text
    top = text.split("\n")[:_HEADER_WITHIN]
    for delimiter in ",;\t":
        if any(fits({_normal(cell.strip('"')) for cell in line.split(delimiter)}) for line in top):
            break
    else:
        return []  # another table: with the wrong delimiter its quotation marks would seem left open
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    table: list[list[str]] = []
    try:
        # strict, because otherwise a quotation mark left open swallows the rest of the file
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            table.append(
                [cell[1:] if cell[:1] == "'" and cell[1:2] in tuple(_FORMULA + "'") else cell for cell in cells]
            )
    except csv.Error:
        raise source.error(
            f"a quotation mark in row {len(table) + 1} is not closed, or not doubled within a cell",
            "Save it anew with a spreadsheet",
        ) from None
    return [(str(source.path), iter(table), list)]


def _read_xlsx(source: Source) -> _Tables:
    from openpyxl import load_workbook

    if not source.data.startswith(_OLD_OFFICE):
        archive.check(source)
    with _workbook_of(source):
        book = load_workbook(io.BytesIO(source.data), read_only=True, data_only=True)
        return [
            (f"{source.path}, sheet {sheet.title!r}", _rows(sheet, source), partial(_merged, sheet, source))
            for sheet in book.worksheets
        ]


def _rows(sheet: Any, source: Source) -> Iterator[tuple[Any, ...]]:
    with _workbook_of(source):
        # some writers state wrong dimensions, which would hide cells
        sheet.reset_dimensions()
        for _, values in numbered(sheet.iter_rows(values_only=True)):
            yield values


def _merged(sheet: Any, source: Source) -> list[tuple[str, int]]:
    # read as a stream, openpyxl does not tell them
    with _workbook_of(source), sheet._get_source() as xml:
        found = re.findall(rb'mergeCell ref="([A-Z0-9]{2,10}:[A-Z]{1,3}([0-9]{1,7}))"', xml.read())
        return [(cells.decode(), int(last_row)) for cells, last_row in found]


@contextmanager
def _workbook_of(source: Source) -> Iterator[None]:
    try:
        yield
    except Exception:
        # a damaged workbook fails in a dozen ways inside zipfile, the XML parser and openpyxl
        raise source.error(
            "the workbook is damaged, or not one", "Open it in a spreadsheet and save it anew as XLSX"
        ) from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
