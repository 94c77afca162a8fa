"""Rows with named fields → sessions, whether they come from a table or from JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from itertools import zip_longest
from statistics import median
from typing import Any

from rupturekit.readers.labels import counted, is_known, tidy
from rupturekit.readers.raw import RawSession, Source, Utterance, clean, seconds, span

# The names people give to a field, the surest first.
NAMES: Mapping[str, tuple[str, ...]] = {
    "text": (
        *("text", "utterance_text", "utterance", "sentence", "content", "transcript", "transcription"),
        *("message", "words", "dialogue", "speech", "said"),
    ),
    "speaker": (
        *("speaker", "speaker_label", "speaker_name", "speaker_id", "interlocutor", "participant"),
        *("role", "who", "speakers", "speaker_s", "speaker_role", "person", "name", "voice"),
    ),
    "role": ("role", "interlocutor", "speaker_role"),
    "start": (
        *("start", "start_s", "start_time", "timestamp", "onset", "begin", "begin_time"),
        *("start_seconds", "start_sec", "time", "timecode", "timespan", "time_range"),
        *("start_ms", "start_time_ms", "onset_ms", "begin_ms", "start_milliseconds", "time_ms", "timestamp_ms"),
    ),
    "end": (
        *("end", "end_s", "end_time", "offset", "stop", "end_seconds", "end_sec"),
        *("end_ms", "end_time_ms", "offset_ms", "stop_ms", "end_milliseconds"),
    ),
    "turn": (
        *("turn", "turn_id", "utterance_id", "turn_number", "turn_no", "turn_index"),
        *("utterance_number", "utt_id"),
    ),
    "session": (
        *("session_id", "transcript_id", "session", "conversation_id", "dialogue_id"),
        *("file", "filename", "file_name"),
    ),
    "client_id": ("client_id", "patient_id"),
    "group": ("group",),
    "session_number": ("session_number", "session_no", "session_nr"),
    "date": ("date", "session_date"),
}
# What a user may name in ``columns``; a role is found only by itself.
FIELDS = tuple(name for name in NAMES if name != "role")
_META = ("client_id", "group", "session_number", "date")
# What tells one session of a client from the next, the surest first.
_WHICH = ("session", "session_number", "date")
_TIME_OF_DAY = re.compile(r"[T ,]{0,3}\d{1,2}:\d\d.*")
_EPOCH = re.compile(r"\d{9,}(?:\.\d+)?")
_UNIT = re.compile(r"_(?:(?P<ms>ms|milliseconds)|s|sec|seconds)$")
_RANGE = re.compile(r"(\d{1,4}[:.,][\d:.,;]{1,25})\s{0,3}(?:-->|[-–—]|to)\s{0,3}(\d{1,4}[:.,][\d:.,;]{1,25})")
_WHOLE = re.compile(r"\d{1,15}(?:\.0+)?")
_NUMBER = re.compile(r"\d{1,15}(?:[.,]\d{1,12})?")
# Words a second in talk, as the median of a file's turns; of milliseconds taken for seconds, a thousandth.
_SLOWEST, _FASTEST = 0.5, 10.0
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_STOPS = frozenset(".?!…")
_NO_WORD = re.compile(r"[\W_]+")


def normal(name: str) -> str:
    """Return a column's name as it stands in `NAMES`.

    Examples
    --------
    >>> normal("Utterance Text"), normal("startTime"), normal("Start (s)")
    ('utterance_text', 'start_time', 'start_s')
    """
    return _NO_WORD.sub("_", _CAMEL.sub("_", name.strip())).strip("_").lower()


def find_fields(
    names: Sequence[str],
    columns: Mapping[str, str] | None,
    source: Source,
    cells: Callable[[str], Iterable[object]] | None = None,
) -> dict[str, str]:
    """Return which of the names holds each field, the given ones first.

    With the ``cells`` under a name, the first usual name for the words that has sentences under it is taken for them,
    or else words: "utterance" and "transcript" may also number them, or name a file, and "content" their topics.

    Raises
    ------
    ReadError
        If ``columns`` speaks of a field that does not exist or of a name that is not there, or if no usual name for
        the words has words under it.
    """
    under = cache(lambda name: Cells(cells(name))) if cells else None
    by_normal: dict[str, str] = {}
    # "Utterance" before "Utterance #"
    for name in sorted(names, key=lambda name: normal(name) != name.strip().lower()):
        by_normal.setdefault(normal(name), name)
    found: dict[str, str] = {}
    for key, wanted in (columns or {}).items():
        if key not in FIELDS:
            raise source.error(
                f"columns names a field {key!r} that does not exist",
                f"Fields are: {', '.join(FIELDS)}",
            )
        match = wanted if wanted in names else by_normal.get(normal(wanted))
        if match is None:
            raise source.error(f"there is no column {wanted!r} for {key}", "Check the spelling in the header")
        found[key] = match
    for key, usual in NAMES.items():
        if key in found:
            continue
        # A column the user gave to one field is not another one's as well.
        free = [by_normal[n] for n in usual if n in by_normal and (key == "role" or by_normal[n] not in found.values())]
        if free:
            found[key] = free[0] if key != "text" or under is None else _words(free, under)
    if columns and "speaker" in columns:
        found.pop("role", None)
    if under and "text" in found and "text" not in (columns or {}):
        _check_words(found, names, under, source)
    return found


class Cells:
    """What stands under a name."""

    def __init__(self, values: Iterable[object]) -> None:
        self.filled = [text for value in values if (text := _cell(value))]
        # a number, a time, or a code as "P01_S1"
        self.are_marks = all(len(text.split()) == 1 and any(map(str.isdigit, text)) for text in self.filled)
        self.are_words = not self.are_marks and (len(self.filled) < 2 or len(set(self.filled)) > 1)
        self.are_sentences = 2 * sum(text.rstrip("\"'”’)]")[-1:] in _STOPS for text in self.filled) > len(self.filled)
        self.length = sum(map(len, self.filled))


def _words(names: Sequence[str], under: Callable[[str], Cells]) -> str:
    """Return the name of the column with the words, the first where there is no telling."""
    worded = [name for name in names if under(name).are_words]
    return next((name for name in worded if under(name).are_sentences), next(iter(worded), names[0]))


def _check_words(found: Mapping[str, str], names: Sequence[str], under: Callable[[str], Cells], source: Source) -> None:
    """Raise the error where what is called like the words is not these: marks, or one value beside longer words."""
    words = under(found["text"])
    if words.are_words or len(words.filled) < 2:
        return
    others = (under(name) for name in names if name and name not in found.values())
    if words.are_marks or any(other.are_words and other.length > words.length for other in others):
        raise source.error(
            f"under the name {normal(found['text'])!r} stand only numbers or codes, or one and the same value",
            'Say which column holds the words (--columns "text=NAME")',
        )


def units(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the unit of each field that holds times, where the column's name, or the other one's, says it.

    Examples
    --------
    >>> units({"start": "Start (ms)", "end": "stop", "text": "said"}), units({"start": "start", "end": "end"})
    ({'start': 'ms', 'end': 'ms'}, {})
    """
    times = [key for key in ("start", "end") if key in fields]
    found = {key: "ms" if unit["ms"] else "s" for key in times if (unit := _UNIT.search(normal(fields[key])))}
    return {key: found.get(key) or next(iter(found.values())) for key in times} if found else {}


def in_unit(value: object, unit: str) -> object:
    """Return a time that is a bare number as a text with its unit, as `rupturekit.readers.raw.seconds` reads it.

    Examples
    --------
    >>> in_unit(1500, "ms"), in_unit("12", "s"), in_unit("00:12", "s")
    ('1500 ms', '12 s', '00:12')
    """
    number = str(value).strip()
    return f"{number} {unit}" if _NUMBER.fullmatch(number) else value


@dataclass(slots=True)
class _Session:
    utterances: list[Utterance] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    seen: set[tuple[str, str | None, str]] = field(default_factory=set)


def sessions(rows: Iterable[tuple[int, Mapping[str, Any]]], source: Source, format: str) -> list[RawSession]:
    """Make sessions of rows, each a line number and the values of its fields.

    Sessions come in order of first appearance, and the rows of each in the order of the file. A row
    without a session's id belongs to the session above. Without ids, the client and the number or else the
    date tell sessions apart; where clients share an id, it is theirs with the client before it (``K1-1``). Where
    every row of a session has a number of its own, the session is ``numbered``. A row with the number, speaker and
    words of an earlier one is that turn again (tables with a row for each coder) and is dropped; ``meta`` counts
    these. Times that can only be milliseconds are made seconds.

    Raises
    ------
    ReadError
        If two clients take turns in one session, or two sessions would have one id.
    """
    rows = list(rows)
    use_role = _roles_are_plain(rows)
    found: dict[str | None, _Session] = {}
    for (line, row), (id, client) in zip(rows, _ids(rows, source), strict=True):
        session = found.setdefault(id, _Session())
        if client:
            session.meta["client_id"] = client
        for key in _META:
            if value := _cell(row.get(key)):
                session.meta.setdefault(key, value)
        text = _cell(row.get("text"))
        if not text:
            continue
        named = (use_role and _cell(row.get("role"))) or _cell(row.get("speaker"))
        speaker = tidy(named).rstrip(" :：") or None if named else None
        number = _cell(row.get("turn"))
        if number is not None:
            key_ = (number, speaker, text)
            if key_ in session.seen:
                session.meta["duplicate_rows"] = session.meta.get("duplicate_rows", 0) + 1
                continue
            session.seen.add(key_)
        start_s, end_s = span(*_times(row))
        session.utterances.append(Utterance(speaker, text, start_s, end_s, line, number))
    if _in_milliseconds(rows, found.values()):
        for session in found.values():
            session.utterances = [
                replace(u, start_s=_thousandth(u.start_s), end_s=_thousandth(u.end_s)) for u in session.utterances
            ]
    return [_raw(id, session, source, format) for id, session in found.items()]


def _raw(id: str | None, session: _Session, source: Source, format: str) -> RawSession:
    """Make the session, with the numbers of turns taken off the labels (``T1``, ``C1``, ``T2``)."""
    said = session.utterances
    named = {} if any(u.source_id for u in said) else {n: u.speaker for n, u in enumerate(said) if u.speaker}
    parts = dict(zip(named, counted(list(named.values()))))
    said = [replace(u, speaker=part[0], source_id=part[1]) if (part := parts.get(n)) else u for n, u in enumerate(said)]
    return RawSession(id, tuple(said), format, source.encoding, bool(parts) or _is_numbered(said), session.meta)


def _times(row: Mapping[str, Any]) -> tuple[object, object]:
    """Return start and end, both from the cell of the start where they stand there, as ``00:01 - 00:04``."""
    both = _RANGE.fullmatch(str(row.get("start")).strip())
    return (both[1], row.get("end") or both[2]) if both else (row.get("start"), row.get("end"))


_Key = tuple[str | None, str | None]


def _ids(rows: Sequence[tuple[int, Mapping[str, Any]]], source: Source) -> list[_Key]:
    """Return for each row the id of its session and, where sessions are told apart by it, the client."""
    by = next((key for key in _WHICH if any(_which(row, key) for _, row in rows)), "session")
    told = _told(rows, by)
    clients: dict[str | None, dict[str, None]] = {}
    for client, which in told:
        clients.setdefault(which, {}).update({client: None} if client else {})
    if by == "session" and all(len(names) < 2 for names in clients.values()):
        return [(which, None) for _, which in told]
    last: dict[str | None, str | None] = {}
    owners: dict[str, _Key] = {}
    found: list[_Key] = []
    for (line, _), (client, which) in zip(rows, told, strict=True):
        before = last.get(which)
        last[which] = client = client or before or next(iter(clients[which]), None)
        id = "-".join(filter(None, (client, which)))
        if before and client != before and id in owners:
            raise source.error(
                "the rows of two client_ids take turns in one session",
                "Make session ids unique over clients or sort the rows by client; "
                "for a session of several clients take the column client_id out",
                line,
            )
        if owners.setdefault(id, (client, which)) != (client, which):
            raise source.error(
                "client and session make the same id here as in another session above",
                "Give each session an id of its own",
                line,
            )
        found.append((id or None, client))
    return found if by == "session" or len(owners) > 1 else [(None, None)] * len(rows)


def _told(rows: Sequence[tuple[int, Mapping[str, Any]]], by: str) -> list[_Key]:
    """Return for each row its client and which of the client's sessions it is of.

    An empty cell stands for what is above it, but not for another client's session; and the client above is a row's
    only where no row of the session names one.
    """
    client = None
    which = None if by == "session" else next(filter(None, (_which(row, by) for _, row in rows)))
    told = []
    for _, row in rows:
        named = _cell(row.get("client_id"))
        if named and named != client:
            client, which = named, None if client else which
        which = _which(row, by) or which
        told.append((named, client, which))
    known = {which for named, _, which in told if named}
    return [(named or (None if which in known else above), which) for named, above, which in told]


def _which(row: Mapping[str, Any], by: str) -> str | None:
    value = _cell(row.get(by))
    if value is None or by != "date":
        return value
    # the time of a turn tells no session, be it beside the date or counted from 1970
    return None if _EPOCH.fullmatch(value) else _TIME_OF_DAY.sub("", value) or None


def _in_milliseconds(rows: Iterable[tuple[int, Mapping[str, Any]]], found: Iterable[_Session]) -> bool:
    """Tell whether the times can only be milliseconds: whole numbers, by which nobody could speak so slowly."""
    times = [value for _, row in rows for value in (row.get("start"), row.get("end")) if seconds(value) is not None]
    if not times or not all(_WHOLE.fullmatch(str(value).strip()) for value in times):
        return False
    rates: list[float] = []
    n_words, lasted = 0, 0.0
    for session in found:
        timed = [u for u in session.utterances if u.start_s is not None]
        for u, after in zip_longest(timed, timed[1:]):
            # where no ends are given, a turn lasts until the next one starts
            start_s, end_s = u.start_s or 0.0, u.end_s if u.end_s is not None or after is None else after.start_s
            if end_s is not None and end_s > start_s:
                rates.append(len(u.text.split()) / (end_s - start_s))
        known = [s for u in timed for s in (u.start_s, u.end_s) if s is not None]
        lasted += max(known, default=0) - min(known, default=0)
        n_words += sum(len(u.text.split()) for u in timed)
    # a start that many turns share, as that of a segment, says little of each, but their words in all are many
    return bool(rates) and _SLOWEST <= 1000 * median(rates) <= _FASTEST and 1000 * n_words <= _FASTEST * lasted


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _roles_are_plain(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> bool:
    """Tell whether a role stands beside each speaker, and says more than the speaker's label."""
    roles = [_cell(row.get("role")) for _, row in rows if _cell(row.get("text"))]
    return bool(roles) and all(role is not None and is_known(role) for role in roles)


def _is_numbered(utterances: Sequence[Utterance]) -> bool:
    ids = [utterance.source_id for utterance in utterances]
    return bool(ids) and None not in ids and len(set(ids)) == len(ids)


def _cell(value: object) -> str | None:
    """Return a value as clean text; None for what is empty."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        if value != value:
            return None
        # Excel and pandas keep whole numbers as 12.0.
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    return clean(str(value)) or None
