"""From session to session of a client: a row of figures for each, what stands out, and what the words hint at.

Who and when comes from ``client_id``, ``session_number`` and ``date`` in a transcript's ``meta``, from the sessions'
names (`identified`), or from a table (`read_facts`). `treatments` puts the sessions in order, and `course_rows` makes
rows for mixed models. Three things are looked for, each compared with the client's own sessions alone:

* a session whose rate of markers, or whose alliance rating, is beyond the client's limits (`excursions`);
* a measure that drifts over the sessions (`drifts`);
* words about lateness, cancelling, everything being fine, and whether the therapist is still well disposed (`signs`).

The first two share `ALPHA`: of treatments in which nothing changes, about so many have any signal of them. A signal
is a hint to read these sessions, never a diagnosis; no signal is not "no rupture".
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .annotation import CLIENT_FAMILIES, MADE_BY, SCORES, AnnotatedTranscript, made_by
from .coding import agreed, is_by_people, votes
from .episodes import episodes_of
from .folders import write_whole
from .inputs import csv_rows
from .readers import load
from .score import ROLE_OF, present
from .tables import csv_line
from .talk import MEASURES, talk_features
from .transcript import Role

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
"""Of treatments in which nothing changes, about so many may have a signal: half by `excursions`, half by `drifts`."""
CHARTED = ("confrontation", "withdrawal", "rupture")
"""Families whose rates are compared with the client's own limits."""
DRIFTING = ("per100_confrontation", "per100_withdrawal", "turn_words_client", "talk_share_client", "alliance")
"""Columns of `course_rows` that are tested for a drift; those that are not known are left out."""
LEAST_SESSIONS = 8
"""Sessions from which limits are drawn: any one of them is then compared with five others or more."""
BACK_WITHIN = 3
"""Sessions within which what was beyond its limit must be back, for it to count as a dip or a peak."""
FINE_RUN = 3
"""Sessions in a row that say all is fine, from which this is a sign."""
REASSURANCES = 3
"""Turns of a session, or messages of seven days, that ask for reassurance, from which this is a sign."""

Row: TypeAlias = "dict[str, str | int | float | None]"
Place: TypeAlias = "tuple[int, int, int]"

_FACTS = ("client_id", "session_number", "date", "alliance")


# --- who and when ---------------------------------------------------------------------------------


def read_facts(
    path: str | PathLike[str], needed: str = "client_id", wanted: Sequence[str] = _FACTS
) -> dict[str, dict[str, Any]]:
    """Read what a CSV tells of sessions: ``session_id``, and ``client_id``, ``session_number``, ``date``, ``alliance``.

    Parameters
    ----------
    path : path-like
        Columns are told by the first row, in any order; others are passed over. A date is ISO 8601 (2024-03-01), a
        number and an alliance rating are numbers. Empty cells are not known.
    needed : str
        The column that it must have besides ``session_id``.
    wanted : sequence of str
        Those of the columns that are read; the others may hold anything.

    Returns
    -------
    dict
        Session id → what is known, as for ``meta``. Accents are parts of their letters (NFC).

    Raises
    ------
    ReadError
        If a column is missing or there twice, a session comes twice, or a cell cannot be read; it names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "clients.csv")
    ...     _ = file.write_text("session_id,client_id,session_number,alliance\\ns01,K1,1,5.5\\ns02,K1,2,\\n")
    ...     read_facts(file)
    {'s01': {'client_id': 'K1', 'session_number': 1, 'alliance': 5.5}, 's02': {'client_id': 'K1', 'session_number': 2}}
    """
    facts: dict[str, dict[str, Any]] = {}
    source = load(Path(path))
    for line, cells in csv_rows(source, "session_id", needed, also=wanted):
        session = spelled(cells["session_id"])
        if not session or session in facts:
            what = "this session is above already" if session else "no session id"
            raise source.error(what, "Give each session one row", line)
        known: dict[str, Any] = {name: cells[name] for name in wanted if cells.get(name)}
        for name in {"session_number", "alliance"} & set(known):
            if (number := as_number(known[name])) is None:
                raise source.error(
                    f"{name} is not a number", "Write it like 4.5, or leave the cell empty where it is not known", line
                )
            known[name] = number
        if "date" in known and as_date(known["date"]) is None:
            raise source.error("date is not ISO 8601", "Write dates like 2024-03-01", line)
        facts[session] = known
    return facts


@dataclass(frozen=True, slots=True)
class Message:
    """What a client wrote between sessions: when, what, and in which line of its file."""

    client_id: str
    time: datetime
    text: str
    line: int


def read_messages(path: str | PathLike[str]) -> list[Message]:
    """Read messages of clients: a CSV of ``client_id``, ``time`` (ISO 8601) and ``text``, in any order.

    Raises
    ------
    ReadError
        If a column is missing, or a row has no client or no time; it names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "messages.csv")
    ...     _ = file.write_text("client_id,time,text\\nK1,2024-03-01T08:30,Running late.\\n")
    ...     [(m.client_id, m.time.hour, m.line) for m in read_messages(file)]
    [('K1', 8, 2)]
    """
    messages = []
    source = load(Path(path))
    for line, cells in csv_rows(source, "client_id", "time", "text"):
        time = as_date(cells["time"])
        if not cells["client_id"] or time is None:
            raise source.error("no client, or a time that is not ISO 8601", "Write times like 2024-03-01T08:30", line)
        messages.append(Message(cells["client_id"], time, cells["text"], line))
    return messages


def identified(
    sessions: Iterable[AnnotatedTranscript], facts: Mapping[str, Mapping[str, Any]] | None = None, pattern: str = ""
) -> list[AnnotatedTranscript]:
    r"""Return the sessions with what is known of their client and time put into ``meta``.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
    facts : mapping, optional
        Session id → what `read_facts` gives; it goes before everything else.
    pattern : str, optional
        A regular expression with the named groups ``client``, ``number`` and ``date``, or some of them. It is searched
        for in the session's id, which is the file's name without its suffix, else in the file's whole name, else, if
        there is a ``/`` in it, in the path as in ``sessions.csv``. It goes before what the transcript says of itself.

    Raises
    ------
    ValueError
        If the pattern cannot be read or names none of these groups.

    Examples
    --------
    >>> from rupturekit import Transcript
    >>> session = AnnotatedTranscript(Transcript("Ada_s03", ()))
    >>> identified([session], pattern=r"(?P<client>\w+)_s(?P<number>\d+)")[0].transcript.meta
    {'client_id': 'Ada', 'session_number': 3}
    """
    groups = {"client": "client_id", "number": "session_number", "date": "date"}
    try:
        names = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the pattern is no regular expression: {error.msg}") from None
    if pattern and not set(names.groupindex) & set(groups):
        raise ValueError("the pattern names no group; give (?P<client>…), (?P<number>…) or (?P<date>…)")
    told = []
    for session in sessions:
        meta = dict(session.transcript.meta)
        path = str(meta.get("path", ""))
        match = names.search(session.transcript.id) or names.search(Path(path).name)
        match = match or ("/" in pattern and names.search(path)) or None
        for group, key in groups.items():
            if match and group in names.groupindex and match[group]:
                number = as_number(match[group]) if group == "number" else None
                meta[key] = match[group] if number is None else number
        meta.update(_of(facts or {}, session.transcript.id) or {})
        told.append(replace(session, transcript=replace(session.transcript, meta=meta)))
    return told


def client_of(session: AnnotatedTranscript) -> str | None:
    """Return whose session it is; None where that is not known, as by a data frame's NaN."""
    client = session.transcript.meta.get("client_id")
    return None if client in (None, "") or client != client else str(client)


def treatments(sessions: Iterable[AnnotatedTranscript]) -> dict[str, list[AnnotatedTranscript]]:
    """Return the sessions of each client in the order in which they were held (`in_order`).

    Returns
    -------
    dict
        Client → sessions; clients in natural order ("K2" before "K10").

    Raises
    ------
    ValueError
        If a session has no client, or a session comes twice; it names the sessions.

    Examples
    --------
    >>> from rupturekit import Transcript
    >>> metas = {"s10": ("K1", 2), "s2": ("K1", 1), "s1": ("K2", None)}
    >>> held = [AnnotatedTranscript(Transcript(id, (), meta={"client_id": client, "session_number": number}))
    ...         for id, (client, number) in metas.items()]
    >>> {client: [s.transcript.id for s in own] for client, own in treatments(held).items()}
    {'K1': ['s2', 's10'], 'K2': ['s1']}
    """
    by_client: dict[str, list[AnnotatedTranscript]] = {}
    seen: set[str] = set()
    lost, twice = [], []
    for session in sessions:
        client, id = client_of(session), session.transcript.id
        if id in seen:
            twice.append(id)
        elif client is None:
            lost.append(id)
        else:
            by_client.setdefault(client, []).append(session)
        seen.add(id)
    if twice:
        raise ValueError(
            f"given twice: {_named(twice)}; give each session once, and the codings of several coders as one folder"
        )
    if lost:
        raise ValueError(
            f"no client is known of {len(lost)} of {len(seen)} sessions: {_named(lost)}. "
            "Give a table of clients (--clients), or a pattern for the sessions' names (--pattern)"
        )
    return {client: in_order(by_client[client]) for client in sorted(by_client, key=natural)}


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:10]) + (", …" if len(ids) > 10 else "")


def in_order(sessions: Iterable[AnnotatedTranscript]) -> list[AnnotatedTranscript]:
    """Return the sessions of one client in the order in which they were held.

    By ``session_number`` where all have one that is a number, else by ``date`` where all have one (ISO 8601: other
    spellings can be read in two ways), else by their ids ("s2" before "s10"), which also tell equals apart. Ids that
    are hashes (``text_withheld``) say nothing, and such sessions stay as they were given.

    Examples
    --------
    >>> from rupturekit import Transcript
    >>> held = [AnnotatedTranscript(Transcript(id, ())) for id in ("s10", "s9")]
    >>> [session.transcript.id for session in in_order(held)]
    ['s9', 's10']
    """
    sessions = list(sessions)
    metas = [session.transcript.meta for session in sessions]
    hashed = any(meta.get("text_withheld") for meta in metas)
    ids = [() if hashed else natural(session.transcript.id) for session in sessions]
    times: list[Any] = [as_number(meta.get("session_number")) for meta in metas]
    if None in times:
        times = [as_date(meta.get("date")) for meta in metas]
    if None in times:
        times = [0] * len(sessions)
    return [sessions[i] for i in sorted(range(len(sessions)), key=lambda i: (times[i], ids[i]))]


def doubts(sessions: Iterable[AnnotatedTranscript]) -> list[str]:
    """Return what makes the order of a client's sessions (`in_order`) doubtful, a sentence for each client.

    Raises
    ------
    ValueError
        As `treatments`.

    Examples
    --------
    >>> from rupturekit import Transcript
    >>> dates = {"s1": "12 March 2024", "s2": "2024-03-01"}
    >>> held = [AnnotatedTranscript(Transcript(id, (), meta={"client_id": "K1", "date": d})) for id, d in dates.items()]
    >>> doubts(held)
    ['K1: not in the order of numbers or dates, as of 2 sessions 0 have a number, and 1 a date like 2024-03-01']
    """
    found = []
    for client, own in treatments(sessions).items():
        metas = [session.transcript.meta for session in own]
        numbers = [as_number(meta.get("session_number")) for meta in metas]
        dates = [as_date(meta.get("date")) for meta in metas]
        n, dated = (len(own) - told.count(None) for told in (numbers, dates))
        if n == len(own):
            odd: list[str] = []
            before = latest = None
            for session, number, date in zip(own, numbers, dates):
                if number == before or (date and latest and date < latest):
                    odd.append(session.transcript.id)
                before, latest = number, date or latest
            if odd:
                found.append(f"{client}: the same number as the session before, or an earlier date: {_named(odd)}")
        elif dated == len(own):
            if odd := [s.transcript.id for s, date, last in zip(own[1:], dates[1:], dates) if date == last]:
                found.append(f"{client}: the same date as the session before, and not all have a number: {_named(odd)}")
        elif dated < len(own) > 1 and any(meta.get("session_number") or meta.get("date") for meta in metas):
            found.append(
                f"{client}: not in the order of numbers or dates, as of {len(own)} sessions {n} have a number, and "
                f"{dated} a date like 2024-03-01"
            )
    return found


def natural(text: str) -> tuple[object, ...]:
    """Return what puts "s2" before "s10".

    Examples
    --------
    >>> sorted(["s10", "s2", "S1"], key=natural)
    ['S1', 's2', 's10']
    """
    parts = re.split(r"(\d{1,18})", text.casefold())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


T = TypeVar("T")


def spelled(id: str) -> str:
    """Return a session's id as `read_facts` spells it: names of a Mac's files have é as two characters.

    Examples
    --------
    >>> spelled("e\\u0301") == "é"
    True
    """
    return unicodedata.normalize("NFC", id)


def _of(told: Mapping[str, T], session: str) -> T | None:
    """Return what a table tells of a session, however accents are spelled."""
    return told[session] if session in told else told.get(spelled(session))


def as_number(value: object) -> int | float | None:
    """Return a number that may be written as text; None where it is none."""
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def as_date(value: object) -> datetime | None:
    """Return a date in ISO 8601, with or without a time; None where it is none."""
    # what the clock showed, wherever that was; Python 3.10 does not read 20240301
    told = re.sub(r"^(\d{4})(\d\d)(\d\d)(?!\d)", r"\1-\2-\3", str(value).strip()).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(told).replace(tzinfo=None)
    except ValueError:
        return None


# --- a row for each session -----------------------------------------------------------------------

_COUNTS = {f"{what}_{name}": int if what != "per100" else float for name in SCORES for what in ("n", "of", "per100")}
_EPISODES = ("n_episodes", "n_episodes_answered", "n_episodes_unrepaired")
CENTRED = (*(f"per100_{name}" for name in SCORES), *_EPISODES, *MEASURES, "alliance")
"""Columns that also come in two parts, between clients and within them."""
COLUMNS: Mapping[str, type] = {
    **{"client_id": str, "session_id": str, "number": float, "date": str, "n_client_turns": int},
    **{"n_therapist_turns": int, **_COUNTS, **dict.fromkeys(_EPISODES, int)},
    **dict.fromkeys((*MEASURES, "alliance"), float),
    **{f"{name}_{part}": float for name in CENTRED for part in ("between", "within")},
}
"""The columns of ``course.csv``, in order, and their types."""


def course_rows(sessions: Iterable[AnnotatedTranscript], ratings: Mapping[str, float] | None = None) -> list[Row]:
    """Return a row for each session, for mixed models: clients one after the other, their sessions in order.

    The columns are `COLUMNS`:

    ``client_id``, ``session_id``, ``number``, ``date``
        ``number`` is the session's own where all sessions of the client have one, else its place, from 1.
    ``n_client_turns``, ``n_therapist_turns``
        All turns of the role.
    ``n_<family>``, ``of_<family>``, ``per100_<family>``
        Turns with the family (or ``rupture``, either family of the client), of how many turns that were read for it,
        and the first per 100 of the second. A binomial model takes the counts.
    ``n_episodes``, ``n_episodes_answered``, ``n_episodes_unrepaired``
        Rupture episodes, those with a resolution marker inside or soon after, and those after which collaboration did
        not return before the session ended (`rupturekit.episodes`).
    the measures of talk
        See `talk.MEASURES`. Where the words are withheld, those that need them are not known.
    ``alliance``
        Your rating of the session, where there is one: in ``ratings`` by session id, else in ``meta["alliance"]``.
    ``<measure>_between``, ``<measure>_within``
        The client's mean over the sessions in which the measure is known, and the session's deviation from it, for
        each of `CENTRED` in its own unit: person-mean centring (Curran & Bauer 2011, Annual Review of Psychology 62,
        583–619). The first differs between clients, the second within them; in one model, their coefficients are the
        two effects. The mean of few sessions is an unreliable figure of a client, and where a measure changes steadily
        over the treatment its trend is in ``within``: put ``number`` into the model, or detrend (Wang & Maxwell 2015,
        Psychological Methods 20, 63–83).

    None stands where something is not known. A rate of 0 says that nothing was found, not that nothing was there.

    Raises
    ------
    ValueError
        As `treatments`, or if an alliance rating is no number; it names the session.

    Examples
    --------
    >>> from rupturekit import Marker, Transcript, Turn
    >>> def session(number, *withdrawn):
    ...     turns = tuple(Turn(i, "C", "client", "I guess.") for i in range(4))
    ...     meta = {"client_id": "K1", "session_number": number}
    ...     markers = tuple(Marker(i, 0, 7, "withdrawal", "minimal_response") for i in withdrawn)
    ...     return AnnotatedTranscript(Transcript(f"s{number}", turns, meta=meta), markers)
    >>> for row in course_rows([session(2, 0, 1), session(1)], ratings={"s1": 6}):
    ...     print([row[name] for name in ("session_id", "per100_withdrawal", "per100_withdrawal_within", "alliance")])
    ['s1', 0.0, -25.0, 6.0]
    ['s2', 50.0, 25.0, None]
    """
    rows: list[Row] = []
    for client, own in treatments(sessions).items():
        part = [_row(client, session, number, ratings or {}) for session, number in zip(own, _numbers(own))]
        for name in CENTRED:
            known = [float(row[name]) for row in part if row[name] is not None]  # type: ignore[arg-type]
            mean = sum(known) / len(known) if known else None
            for row in part:
                row[f"{name}_between"] = mean
                value = row[name]
                row[f"{name}_within"] = None if mean is None or value is None else float(value) - mean
        rows += [{name: row[name] for name in COLUMNS} for row in part]
    return rows


def _numbers(own: Sequence[AnnotatedTranscript]) -> Sequence[int | float | None]:
    given = [as_number(session.transcript.meta.get("session_number")) for session in own]
    return list(range(1, len(own) + 1)) if None in given else given


def _row(client: str, session: AnnotatedTranscript, number: int | float | None, ratings: Mapping[str, float]) -> Row:
    transcript, meta = session.transcript, session.transcript.meta
    found = episodes_of(agreed(session))
    roles: tuple[Role, ...] = ("client", "therapist")
    row: Row = {"client_id": client, "session_id": transcript.id, "number": number}
    date = meta.get("date")
    row["date"] = None if date is None or date != date else str(date)  # a data frame's NaN
    row |= {f"n_{role}_turns": sum(1 for _ in transcript.of(role)) for role in roles}
    for name in SCORES:
        n, of = counts(session, name)
        row |= {f"n_{name}": n, f"of_{name}": of, f"per100_{name}": 100 * n / of if of else None}
    row["n_episodes"] = len(found)
    row["n_episodes_answered"] = sum(bool(episode.repair) for episode in found)
    row["n_episodes_unrepaired"] = sum(episode.outcome in ("unrepaired", "escalated") for episode in found)
    row |= talk_features(transcript)
    rating = _of(ratings, transcript.id)
    row["alliance"] = _rating(transcript.id, meta.get("alliance") if rating is None else rating)
    return row


def _rating(session: str, told: Any) -> float | None:
    # NaN is what a data frame has for what is missing
    if told is None or str(told).strip().casefold() in ("", "nan"):
        return None
    if (number := as_number(told)) is None:
        raise ValueError(f"session {session}: alliance is not a number")
    return float(number)


def counts(session: AnnotatedTranscript, family: str) -> tuple[int, int]:
    """Return how many turns have a family (or ``rupture``), and of how many turns that were read for it.

    A coding by people tells what they read (``coded``), and a turn has what at least half of them gave
    (`coding.votes`); an annotation that does not tell is of all turns of the role.

    Examples
    --------
    >>> from rupturekit import Coded, Marker, Transcript, Turn
    >>> talk = Transcript("s1", tuple(Turn(i, "C", "client", "I guess.") for i in range(4)))
    >>> found = Marker(1, 0, 7, "withdrawal", "minimal_response")
    >>> counts(AnnotatedTranscript(talk, (found,)), "rupture")
    (1, 4)
    >>> given = Marker(1, 0, 7, "withdrawal", "minimal_response", source="coder:A")
    >>> counts(AnnotatedTranscript(talk, (given,), coded=(Coded("coder:A", "withdrawal", 0, 1),)), "withdrawal")
    (1, 2)
    """
    if is_by_people(session):
        read = [told for told in votes(session).values() if told.raters_of(family)]
        return sum(told.is_gold(family) for told in read), len(read)
    turns = {turn.index for turn in session.transcript.of(ROLE_OF[family])}  # type: ignore[arg-type]
    for name in CLIENT_FAMILIES if family == "rupture" else (family,):
        parts = [range(part.first, part.last + 1) for part in session.coded if part.family == name]
        turns &= set().union(*parts) if session.coded else turns
    return len(turns & present(session.markers)[family]), len(turns)


# --- what stands out ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signal:
    """Something in a treatment that is worth reading for; a hint, never a diagnosis.

    Parameters
    ----------
    client_id : str
    session_id : str, optional
        None for a drift, which is of all sessions, and for a message.
    number : float, optional
        The session's, as in `course_rows`.
    date : str, optional
        The session's, or the time of a message.
    kind : str
        ``rise``, ``peak``, ``sharp_drop``, ``dip`` (`excursions`), ``drift`` (`drifts`), ``late``, ``cancelling``,
        ``all_fine``, ``reassurance`` (`signs`).
    measure : str
        The column of `course_rows`; of a sign ``turns`` or ``messages``, which are counted.
    value : float
        The measure in that session; of a drift, its change from one session to the next.
    limit : float, optional
        What the value is beyond; of a drift, the end of its 95 % interval that is nearer to 0.
    p : float, optional
        Of a drift, corrected for the number of measures.
    until : str, optional
        The session in which what was beyond its limit was back.
    places : tuple of (turn, start, end)
        Where in the session, as for markers; in a message, its line in the file stands for the turn.
    """

    client_id: str
    session_id: str | None
    number: float | None
    date: str | None
    kind: str
    measure: str
    value: float
    limit: float | None = None
    p: float | None = None
    until: str | None = None
    places: tuple[Place, ...] = ()


SIGNAL_COLUMNS = tuple("client_id session_id number date kind measure value limit p until turns".split())
"""The columns of ``signals.csv``; ``turns`` has the places, as ``turn:start-end`` joined by ``;``."""


def excursions(rows: Sequence[Row]) -> list[Signal]:
    """Return the sessions that are beyond the limits which the client's own other sessions draw.

    For the rates of `CHARTED`, above; for alliance ratings, below. Neighbouring sessions beyond a limit are one signal,
    at the first of them. Where the measure is back on the other side of the middle of its limits within `BACK_WITHIN`
    sessions, a rate has a ``peak`` and a rating a ``dip``; else a rate has a ``rise`` and a rating a ``sharp_drop``. A
    client's first session has nothing to rise or fall from. Each session i is compared with the others but its
    neighbours, because a rupture often lasts for more than one session:

    * rates: y = ∛o of the odds o = (k + ½) / (n − k + ½) of k turns out of n. The limit is m + max(t·s, z)·√(v_i·(1 +
      1/J)): m is the mean of the J others; v_i = (1 + o)² / (9·n_i·∛o), with o of all the others' turns together, is
      the variance of y_i where turns differ by chance alone; s² is the mean square of the others' (y − m) / √v, which
      is about 1 where the sessions do, too; t and z are quantiles of Student's t (J − 1 degrees of freedom) and of the
      normal. So long sessions have narrower limits than short ones, and a client whose sessions differ much has wider
      ones, as in a p′-chart (Laney 2002, Quality Engineering 14, 531–537), whose three σ raise many more false alarms
      at these small numbers (see ``benchmarks``). Cube roots make skewed rates even (Wilson & Hilferty 1931,
      Proceedings of the National Academy of Sciences 17, 684–688); among powers they were chosen by simulation;
    * ratings: the same with y the rating, v = 1, and s at least half the smallest difference between two of the
      client's ratings.

    The quantile is at ``ALPHA / 2`` over the number of tests, sessions times measures, so that about that part of the
    treatments without change has any such signal, or less: where sessions differ by chance alone much less, where they
    differ very much more (see ``benchmarks``). From fewer than `LEAST_SESSIONS` sessions nothing is told.
    Control charts have been used to find ruptures in alliance ratings (Eubanks-Carter, Gorman & Muran 2012,
    Psychotherapy Research 22, 621–637; Lipner et al. 2022, Clinical Psychology & Psychotherapy 29, 339–350).

    ``sharp_drop`` and ``dip`` are this project's own. They are related to the rupture–repair sequences of Stiles et al.
    (2004, Journal of Counseling Psychology 51, 81–92) and of Strauss et al. (2006, Journal of Consulting and Clinical
    Psychology 74, 337–345), whose thresholds differ from each other (Gumz et al. 2012, BMC Medical Research Methodology
    12:10) and from these: do not report one under the name of the other.

    What it cannot say: why a session stands out. A rate counts what the machine found, so a change of topic, of
    transcriber or of recording can be a rise. What lasts for half of the treatment is the client's own level here.

    Parameters
    ----------
    rows : sequence of dict
        From `course_rows`.

    Examples
    --------
    >>> rows = [{"client_id": "K1", "session_id": f"s{i}", "number": i, "date": None, "alliance": rating}
    ...         for i, rating in enumerate([5.5, 6, 5.5, 6, 2, 6, 5.5, 6, 5.5, 6], 1)]
    >>> for signal in excursions(rows):
    ...     print(signal.kind, signal.session_id, signal.value, round(signal.limit, 2), signal.until)
    dip s5 2.0 4.48 s6
    """
    found: list[Signal] = []
    for client, own in _by_client(rows).items():
        each = (_series(own, name) for name in (*CHARTED, "alliance"))
        series = [one for one in each if len(one.rows) >= LEAST_SESSIONS]
        tests = sum(len(one.rows) for one in series)
        for one in series:
            found += _beyond(client, one, ALPHA / 2 / tests)
    return found


@dataclass(frozen=True, slots=True)
class _Series:
    """A measure over a client's sessions in which it is known, turned so that up is what a limit is for.

    The variance of y at session j, by chance alone and as seen from session i, is ``chance[i] / turns[j]``.
    """

    measure: str
    rows: list[Row]
    y: np.ndarray
    turns: np.ndarray
    chance: np.ndarray
    least_spread: float

    def value(self, i: int, y: float) -> float:
        """Return y in the unit of the measure at session i."""
        if self.measure == "alliance":
            return -y
        of, odds = float(self.turns[i]), y**3
        return 100 * (odds * (of + 0.5) - 0.5) / (1 + odds) / of


def _series(rows: Sequence[Row], name: str) -> _Series:
    import numpy as np

    if name == "alliance":
        known = [row for row in rows if row.get(name) is not None]
        y = -np.array([row[name] for row in known], float)
        steps = np.diff(np.unique(y))
        even = np.ones(len(y))
        return _Series(name, known, y, even, even, float(steps.min()) / 2 if len(steps) else 0.0)
    known = [row for row in rows if row.get(f"of_{name}")]
    n, of = (np.array([row[f"{what}_{name}"] for row in known], float) for what in ("n", "of"))
    others = _others(len(known))
    odds = (others @ n + 0.5) / (others @ (of - n) + 0.5)
    chance = (1 + odds) ** 2 / (9 * np.cbrt(odds))
    return _Series(f"per100_{name}", known, np.cbrt((n + 0.5) / (of - n + 0.5)), of, chance, 1.0)


def _others(n: int) -> np.ndarray:
    """Return for each session which it is compared with: all but itself and its neighbours."""
    import numpy as np

    places = np.arange(n)
    return np.abs(places[:, None] - places) > 1


def _beyond(client: str, series: _Series, alpha: float) -> Iterator[Signal]:
    middles, limits = _limits(series, alpha)
    out = series.y > limits
    for beyond, group in groupby(range(1, len(out)), key=lambda i: bool(out[i])):
        run = list(group)
        if not beyond or (run[0] == 1 and out[0]):
            continue
        first, after = run[0], range(run[-1] + 1, min(run[-1] + 1 + BACK_WITHIN, len(out)))
        # a course that is even but for this is back at the middle itself
        back = next((i for i in after if series.y[i] <= middles[first] + 1e-9), None)
        kinds = ("sharp_drop", "dip") if series.measure == "alliance" else ("rise", "peak")
        row = series.rows[first]
        yield _signal(
            row,
            client_id=client,
            kind=kinds[back is not None],
            measure=series.measure,
            value=float(row[series.measure]),  # type: ignore[arg-type]
            limit=series.value(first, float(limits[first])),
            until=None if back is None else str(series.rows[back]["session_id"]),
        )


def _limits(series: _Series, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return for each session the mean of the others but its neighbours, and the limit that these draw."""
    import numpy as np
    from scipy.special import ndtri, stdtrit

    others = _others(len(series.y))
    size = others.sum(axis=1)
    middles = others @ series.y / size
    squares = others * (series.y - middles[:, None]) ** 2 * series.turns
    spread = np.sqrt(squares.sum(axis=1) / (size - 1) / series.chance)
    reach = np.maximum(-stdtrit(size - 1, alpha) * spread, -ndtri(alpha) * series.least_spread)
    return middles, middles + reach * np.sqrt(series.chance / series.turns * (1 + 1 / size))


def drifts(rows: Sequence[Row], measures: Sequence[str] = DRIFTING) -> list[Signal]:
    """Return the measures of a client that go up or down over the sessions.

    Theil–Sen's slope, the median of the slopes between any two sessions (Sen 1968, Journal of the American Statistical
    Association 63, 1379–1389), in units of the measure from one session to the next; its 95 % interval; and Kendall's
    test of no trend, two-sided, corrected for the number of measures by Holm's method (1979, Scandinavian Journal of
    Statistics 6, 65–70). A drift is told where the corrected p is at most ``ALPHA / 2`` and the interval leaves out 0,
    which it may not where many sessions have the same value. One session, however far out,
    cannot make a drift. A measure needs so many sessions that the most regular order of them could be told from chance:
    6 for up to eight measures.

    What it cannot say: that the client withdraws. Answers get shorter where work gets easier, too. The test takes
    sessions for independent of each other; where one is much like the next, more drifts are told than there are (see
    ``benchmarks``). A course that falls and rises again has no drift.

    Parameters
    ----------
    rows : sequence of dict
        From `course_rows`.
    measures : sequence of str
        Columns to look at; more of them make each harder to find.

    Examples
    --------
    >>> rows = [{"client_id": "K1", "session_id": f"s{i}", "number": i, "turn_words_client": words}
    ...         for i, words in enumerate([21, 19, 20, 16, 15, 11, 12, 9], 1)]
    >>> for signal in drifts(rows, ["turn_words_client"]):
    ...     print(signal.kind, signal.measure, round(signal.value, 2), signal.p < 0.01)
    drift turn_words_client -1.69 True
    """
    from scipy.stats import kendalltau, theilslopes

    found: list[Signal] = []
    for client, own in _by_client(rows).items():
        tested = []
        for name in measures:
            known = [row for row in own if row.get(name) is not None]
            x, y = ([float(row[key]) for row in known] for key in ("number", name))  # type: ignore[arg-type]
            if 2 / math.factorial(len(y)) <= ALPHA / 2 / len(measures) and len(set(y)) > 1 and len(set(x)) > 1:
                tested.append((float(kendalltau(x, y).pvalue), name, x, y))
        corrected = 0.0
        for rank, (p, name, x, y) in enumerate(sorted(tested)):
            corrected = max(corrected, min(1.0, p * (len(tested) - rank)))
            if corrected > ALPHA / 2:
                break
            slope, _, low, high = map(float, theilslopes(y, x))
            if low <= 0 <= high:
                continue
            nearer = min(low, high, key=abs)
            found.append(Signal(client, None, None, None, "drift", name, slope, nearer, corrected))
    return found


def _by_client(rows: Iterable[Row]) -> dict[str, list[Row]]:
    by_client: dict[str, list[Row]] = {}
    for row in rows:
        by_client.setdefault(str(row["client_id"]), []).append(row)
    return by_client


def _signal(row: Row, **what: Any) -> Signal:
    return Signal(session_id=row["session_id"], number=row["number"], date=row["date"], **what)  # type: ignore[arg-type]


# --- what the words hint at -----------------------------------------------------------------------

_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_SESSION = (
    rf"(?:(?:our|the|this|today's|tomorrow's|this week's|next week's|last week's|{_DAY}'s)"
    r" (?:next |last )?(?:session|appointment)|my (?:next |last )?(?:session|appointment) with you)\b"
)
_WHEN = (
    rf"(?:(?:to |for )?{_SESSION}|(?:today|tomorrow|(?:this|next|last) (?:week|time)|(?:on |this |next |last )?{_DAY})"
    r"\b(?!'s)(?! (?:with|at|for) (?!you\b|us\b)))"
)
_LITTLE = r"(?: (?:so|really|again|running|going to be|(?:a )?(?:bit|little)|(?:about )?\w+ min(?:ute)?s?)){0,3}"
_NOT_ELSEWHERE = r"\b(?! (?:to|for|with|on|at|in) (?!(?:our|the session|today|you|this session)\b))"
_WELL = r"(?:okay|ok|fine|good|great|well|all right|alright|under control)"
_CROSS = r"(?:mad|angry|annoyed|upset|cross|disappointed|fed up|frustrated|sick|tired)"

# What a cue must not stand after in its sentence: it is then supposed, denied, reported or pretended.
_ASIDE = re.compile(
    r"\b(?:if|unless|whenever|when|suppose|imagine|not|never|nobody|\w+n't|said|say|says|saying|told|tells?|asked|asks?"
    r"|asking|thinks|thought|pretend\w*|used to)\b(?!,)[^,]*$",
    re.I,
)
_CUES: Mapping[str, re.Pattern[str]] = {
    "late": re.compile(
        rf"\bsorry (?:that )?(?:i'm|i am|i was|for being|about being|to be){_LITTLE} late{_NOT_ELSEWHERE}"
        rf"|\b(?:i'm|i am|i'll be|i will be)(?: (?:running|going to be)){_LITTLE} late{_NOT_ELSEWHERE}"
        rf"|\b(?:i'm|i am|i'll be){_LITTLE} late (?:(?:again|today){_NOT_ELSEWHERE}|for {_SESSION})"
        r"|\b(?:sorry|apologi[sz]e) (?:for|about) (?:my lateness|keeping you waiting)\b"
        r"|\bsorry to (?:keep|have kept) you waiting\b"
        rf"|(?:^|(?<=[.!?;,] ))running{_LITTLE} late{_NOT_ELSEWHERE}"
        rf"|\bapologi[sz]e for (?:being|running){_LITTLE} late{_NOT_ELSEWHERE}",
        re.I,
    ),
    "cancelling": re.compile(
        r"\b(?:(?:i|i'll|i'm) (?:really |just )?(?:have to|need to|had to|want to|wanted to|going to|must)|i'd like to"
        r"|(?:can|could|may) (?:i|we)) (?:please |maybe |just )?"
        rf"(?:(?:cancel|reschedule|postpone|skip) {_WHEN}|move {_SESSION})"
        rf"|\bi (?:can't|cannot|couldn't|won't be able to|don't think i can) (?:make it|come(?: in)?|be there) {_WHEN}"
        r"|\b(?:sorry|apologi[sz]e) (?:that )?(?:i|for|about) (?:had to )?(?:miss(?:ed|ing)|cancel(?:l?ed|l?ing)"
        r"|forg(?:ot|etting)|skipp(?:ed|ing))(?: about)? "
        rf"(?:{_WHEN}|on you\b|(?:so late|last minute|at (?:short notice|the last minute))\b)",
        re.I,
    ),
    "all_fine": re.compile(
        r"(?:^|(?<=[.!?;,] ))(?:(?:yeah|yes|no|well|oh|honestly|really|i mean|um|uh),? ){0,3}"
        r"(?:everything(?:'s| is| has been) (?:all |really |just |totally |absolutely |perfectly )?|"
        r"(?:i'm|i am|things are|all's|all) (?:all |really |just |totally |absolutely |perfectly )?)"
        rf"{_WELL}(?= ?(?:[.!,;…]|$| (?:really|honestly|thanks|thank you|this week|with me|at home|as usual|again)\b))"
        r"|\b(?:there's|there is|i have|i've got|i've|got) (?:really )?nothing (?:really |much |new )?to "
        r"(?:report|talk about|complain about|say today)\b"
        r"|(?:^|(?<=[.!?;,] ))nothing (?:really |much |new )?to (?:report|talk about|complain about)\b"
        r"|\bi can't complain\b(?! (?:to|about)\b)",
        re.I,
    ),
    "reassurance": re.compile(
        rf"\b(?:are|were) you (?:still )?(?:really )?{_CROSS} (?:at|with|of|by|in) me\b"
        rf"|\byou(?:'re| are) not (?:still )?(?:really )?{_CROSS} (?:at|with|of|by|in) me\b"
        r"|\bare we (?:still )?(?:okay|ok|good|all right|alright|fine) ?\?"
        r"|\b(?:do|did) you (?:still |really )?think (?:that )?i(?:'m| am|'ll be| will be) (?:still |really |just )?"
        r"(?:(?:a )?(?:bad|good|terrible|awful|horrible) (?:person|client|patient|mother|father|parent|partner|friend)"
        r"|crazy|mad|normal|weird|stupid|pathetic|too much|a burden|okay|ok|all right|alright"
        r"|going to be (?:okay|ok|all right|alright)|getting better|doing (?:okay|ok|(?:this|it) (?:right|wrong)))\b"
        r"|\bam i (?:doing (?:this|it|okay|ok)(?: (?:right|wrong|properly))?|being (?:too much|a burden|stupid)"
        r"|too much(?: for you)?|a burden|a bad (?:person|client|patient)|going (?:crazy|mad)|going to be (?:okay|ok)"
        r"|normal) ?\?"
        r"|\b(?:did|have) i (?:do|done|say|said) (?:something|anything) wrong\b"
        r"|\b(?:do you|you do|you) still (?:like me|want to (?:see|work with) me)\b"
        r"|\byou (?:don't|do not) (?:hate me|think badly of me)\b"
        r"|\bis (?:that|it|this) (?:okay|ok|normal|bad|weird|wrong) (?:that i|of me|to feel)\b"
        r"|\b(?:promise|tell|reassure) me (?:that )?(?:it'll|it will|i'm|i am|i'll|i will|everything(?:'s| is| will))"
        r"(?: going to)? (?:be )?(?:okay|ok|all right|alright|fine|normal)\b",
        re.I,
    ),
}
SIGNS = tuple(_CUES)
"""The signs that are looked for in the client's words."""


def cues(text: str) -> list[tuple[str, int, int]]:
    """Return the signs in what a client said, each with the place of its words.

    Not where it is supposed, denied, reported or pretended.

    Returns
    -------
    list of (sign, start, end)
        Half-open offsets in code points, in order.

    Examples
    --------
    >>> cues("Hi. Sorry I’m late again.")
    [('late', 4, 18)]
    >>> cues("My boss said sorry I'm late.")
    []
    """
    # one character for one, so that places hold
    plain = text.replace("’", "'").replace("‘", "'").replace("\n", " ")
    found = []
    for sign, pattern in _CUES.items():
        for match in pattern.finditer(plain):
            # a window keeps a long turn as cheap as a short one
            sentence = re.split(r"[.!?;]", plain[max(0, match.start() - 200) : match.start()])[-1]
            if not _ASIDE.search(sentence):
                found.append((sign, match.start(), match.end()))
    return sorted(found, key=lambda cue: cue[1:])


def signs(sessions: Iterable[AnnotatedTranscript], messages: Iterable[Message] = ()) -> list[Signal]:
    """Return the sessions and messages in which clients say what may be a sign between sessions.

    ``late``
        Apologises for being late, or tells that. ``value`` is the number of turns, as below.
    ``cancelling``
        Cancels, moves or misses a session, or apologises for that.
    ``all_fine``
        Says that everything is fine, or that there is nothing to talk about, in `FINE_RUN` sessions in a row or more:
        a signal for each of them, with the length of the run as value.
    ``reassurance``
        Asks whether the therapist is cross, whether all is well between them, whether they are normal or a burden, in
        at least `REASSURANCES` turns of a session or messages of seven days. What is asked for is the security of the
        relationship, one of the three kinds of excessive reassurance seeking in Rector et al. (2011, Journal of Anxiety
        Disorders 25, 911–917); the numbers are this project's own.

    A few patterns of English, precise rather than many: most lateness and most worry is put in other words, and is
    missed. They cannot tell a bus from a reluctance, nor "all is fine" from all being fine.

    Raises
    ------
    ValueError
        As `treatments`, or if a message is of a client without sessions; it names the line.

    Examples
    --------
    >>> from rupturekit import Transcript, Turn
    >>> turns = (Turn(0, "C", "client", "Sorry I'm late."), Turn(1, "T", "therapist", "Not at all."))
    >>> session = AnnotatedTranscript(Transcript("s1", turns, meta={"client_id": "K1"}))
    >>> [(s.kind, s.session_id, s.value, s.places) for s in signs([session])]
    [('late', 's1', 1.0, ((0, 0, 14),))]
    """
    by_client = treatments(sessions)
    found: list[Signal] = []
    written: dict[str, list[Message]] = {}
    for message in messages:
        if message.client_id not in by_client:
            raise ValueError(f"messages, line {message.line}: this client has no session here")
        written.setdefault(message.client_id, []).append(message)
    for client, own in by_client.items():
        said = [_said(session) for session in own]
        fine = [bool(places["all_fine"]) for places in said]
        rows: list[Row] = [
            {"session_id": s.transcript.id, "number": number, "date": s.transcript.meta.get("date")}
            for s, number in zip(own, _numbers(own))
        ]
        for i, (row, places) in enumerate(zip(rows, said)):
            for sign, where in places.items():
                value, limit = len({turn for turn, _, _ in where}), None
                if sign == "all_fine":
                    value, limit = _run(fine, i), FINE_RUN
                elif sign == "reassurance":
                    limit = REASSURANCES
                if where and value >= (limit or 1):
                    what = {"client_id": client, "kind": sign, "measure": "turns", "value": float(value)}
                    found.append(_signal(row, **what, limit=limit, places=tuple(where)))
        found += _in_messages(client, sorted(written.get(client, ()), key=lambda m: (m.time, m.line)))
    return found


def _said(session: AnnotatedTranscript) -> dict[str, list[Place]]:
    places: dict[str, list[Place]] = {sign: [] for sign in SIGNS}
    for turn in session.transcript.of("client"):
        for sign, start, end in cues(turn.text):
            places[sign].append((turn.index, start, end))
    return places


def _run(there: Sequence[bool], i: int) -> int:
    """Return the length of the run of true values around i."""
    before = next((k for k in range(i, -1, -1) if not there[k]), -1)
    after = next((k for k in range(i, len(there)) if not there[k]), len(there))
    return max(0, after - before - 1)


def _in_messages(client: str, messages: Sequence[Message]) -> Iterator[Signal]:
    asking: list[tuple[datetime, Place]] = []
    for message in messages:
        mine: dict[str, list[Place]] = {}
        for sign, start, end in cues(message.text):
            mine.setdefault(sign, []).append((message.line, start, end))
        date = message.time.isoformat()
        for sign in ("late", "cancelling"):
            if places := mine.get(sign):
                yield Signal(client, None, None, date, sign, "messages", 1.0, places=tuple(places))
        if places := mine.get("reassurance"):
            week = [(time, place) for time, place in asking if message.time - time < timedelta(days=7)]
            was = len({place[0] for _, place in week})
            asking = week + [(message.time, place) for place in places]
            if was + 1 == REASSURANCES:
                where = tuple(place for _, place in asking)
                yield Signal(client, None, None, date, "reassurance", "messages", was + 1.0, REASSURANCES, places=where)


# --- all of it ------------------------------------------------------------------------------------


def signals(
    sessions: Iterable[AnnotatedTranscript],
    ratings: Mapping[str, float] | None = None,
    messages: Iterable[Message] = (),
    *,
    rows: Sequence[Row] | None = None,
) -> list[Signal]:
    """Return all that `excursions`, `drifts` and `signs` find: by client and session, then what is of no session.

    ``rows`` are those that `course_rows` made of the same sessions and ratings, where they are at hand.

    Raises
    ------
    ValueError
        As `signs`.

    Examples
    --------
    >>> from rupturekit import Transcript, Turn
    >>> said = ["Sorry I'm late.", "I slept well.", "Sorry I'm late again."]
    >>> held = [AnnotatedTranscript(Transcript(f"s{i}", (Turn(0, "C", "client", text),), meta={"client_id": "K1"}))
    ...         for i, text in enumerate(said)]
    >>> [(signal.kind, signal.session_id) for signal in signals(held)]
    [('late', 's0'), ('late', 's2')]
    """
    sessions = list(sessions)
    rows = course_rows(sessions, ratings) if rows is None else rows
    by_id = {session.transcript.id: session for session in sessions}
    found = [_with_places(signal, by_id) for signal in excursions(rows)]
    found += [*drifts(rows), *signs(sessions, messages)]
    place = {client: number for number, client in enumerate(_by_client(rows))}
    return sorted(found, key=lambda s: (place[s.client_id], s.number is None, s.number or 0, s.date or ""))


def _with_places(signal: Signal, by_id: Mapping[str, AnnotatedTranscript]) -> Signal:
    family = signal.measure.removeprefix("per100_")
    if signal.session_id is None or family not in SCORES:
        return signal
    families = CLIENT_FAMILIES if family == "rupture" else (family,)
    marked = [(m.turn, m.start, m.end) for m in by_id[signal.session_id].markers if m.family in families]
    return replace(signal, places=tuple(dict.fromkeys(marked)))


def write(
    rows: Sequence[Row],
    found: Sequence[Signal],
    out: str | PathLike[str],
    sessions: Iterable[AnnotatedTranscript] = (),
) -> list[Path]:
    """Write ``course.csv`` and ``signals.csv`` into a folder, and return their paths. No word of a session is in them.

    Beside them, ``made-by.json`` tells versions, and the rules and models that annotated ``sessions``.

    Raises
    ------
    FileExistsError
        If one of them is there already.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write([], [], folder)]
    ['course.csv', 'signals.csv', 'made-by.json']
    """
    out = Path(out)
    lines = {
        "course.csv": [csv_line(COLUMNS, COLUMNS), *(csv_line((row[k] for k in COLUMNS), COLUMNS) for row in rows)],
        "signals.csv": [csv_line(SIGNAL_COLUMNS, SIGNAL_COLUMNS), *map(_signal_line, found)],
    }
    # the course comes last: where it is, the signals are too
    files = {out / MADE_BY: made_by(s.provenance for s in sessions).encode()}
    files |= {out / name: "".join(lines[name]).encode() for name in ("signals.csv", "course.csv")}
    if there := [path for path in files if path.exists()]:
        raise FileExistsError(f"{there[0]} is there already; give another folder")
    write_whole(files)
    return [out / name for name in (*lines, MADE_BY)]


def _signal_line(signal: Signal) -> str:
    turns = ";".join(f"{turn}:{start}-{end}" for turn, start, end in signal.places)
    values = [getattr(signal, name) for name in SIGNAL_COLUMNS[:-1]]
    return csv_line([*values, turns], SIGNAL_COLUMNS)
