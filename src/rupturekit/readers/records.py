"""Rows with named fields → sessions, whether they come from a table or from JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from rupturekit.readers.labels import is_known, tidy
from rupturekit.readers.raw import RawSession, Source, Utterance, clean, span

# The names people give to a field, the surest first.
NAMES: Mapping[str, tuple[str, ...]] = {
    "text": (
        *("text", "utterance_text", "utterance", "content", "transcript", "transcription"),
        *("message", "words", "dialogue", "speech"),
    ),
    "speaker": (
        *("speaker", "speaker_label", "speaker_name", "speaker_id", "interlocutor", "participant"),
        *("role", "who"),
    ),
    "role": ("role", "interlocutor"),
    "start": (
        *("start", "start_s", "start_time", "timestamp", "onset", "begin", "begin_time"),
        *("start_seconds", "start_sec", "time"),
    ),
    "end": ("end", "end_s", "end_time", "offset", "stop", "end_seconds", "end_sec"),
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
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NO_WORD = re.compile(r"[\W_]+")


def normal(name: str) -> str:
    """Return a column's name as it stands in `NAMES`.

    Examples
    --------
    >>> normal("Utterance Text"), normal("startTime"), normal("Start (s)")
    ('utterance_text', 'start_time', 'start_s')
    """
    return _NO_WORD.sub("_", _CAMEL.sub("_", name.strip())).strip("_").lower()


def find_fields(names: Sequence[str], columns: Mapping[str, str] | None, source: Source) -> dict[str, str]:
    """Return which of the names holds each field, the given ones first.

    Raises
    ------
    ReadError
        If ``columns`` speaks of a field that does not exist or of a name that is not there.
    """
    by_normal: dict[str, str] = {}
    for name in names:
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
        free = (by_normal[n] for n in usual if n in by_normal)
        chosen = next((name for name in free if key == "role" or name not in found.values()), None)
        if chosen is not None:
            found[key] = chosen
    if columns and "speaker" in columns:
        found.pop("role", None)
    return found


@dataclass(slots=True)
class _Session:
    utterances: list[Utterance] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    seen: set[tuple[str, str | None, str]] = field(default_factory=set)


def sessions(rows: Iterable[tuple[int, Mapping[str, Any]]], source: Source, format: str) -> list[RawSession]:
    """Make sessions of rows, each a line number and the values of its fields.

    Sessions come in order of first appearance, and the rows of each in the order of the file. A row
    without a session's id belongs to the session above. Where every row of a session has a number of
    its own, the session is ``numbered``. A row with the number, speaker and words of an earlier one
    is that turn again (tables with a row for each coder) and is dropped; ``meta`` counts these.
    """
    rows = list(rows)
    use_role = _roles_are_plain(rows)
    found: dict[str | None, _Session] = {}
    current: str | None = None
    for line, row in rows:
        current = _cell(row.get("session")) or current
        session = found.setdefault(current, _Session())
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
        start_s, end_s = span(row.get("start"), row.get("end"))
        session.utterances.append(Utterance(speaker, text, start_s, end_s, line, number))
    return [
        RawSession(
            id,
            tuple(session.utterances),
            format,
            source.encoding,
            _is_numbered(session.utterances),
            session.meta,
        )
        for id, session in found.items()
    ]


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
