"""JSON and JSON lines: WhisperX, services for speech recognition, and lists of utterances or of sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rupturekit.readers import recognisers
from rupturekit.readers.raw import RawSession, Source
from rupturekit.readers.records import find_fields, in_unit, sessions, units

# Keys under which people keep the utterances of a session.
_LISTS = ("utterances", "turns", "segments", "transcript", "dialogue", "messages", "data", "results", "sentences")
_SESSION_FIELDS = ("session", "client_id", "group", "session_number", "date")
_TODO = f"Export it again; read are WhisperX, {recognisers.NAMES}, a list of utterances"

Record = tuple[int, Mapping[str, Any]]


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read the sessions in a JSON file; ``line`` is the utterance's place in it, or its line in JSONL."""
    if format == "jsonl":
        items = list(_lines(source))
        records = list(_from_items(items, source, columns))
    else:
        whole = _load(source, source.text)
        said = recognisers.stretches(whole, source)
        records = list(_from_whole(whole, source, columns) if said is None else enumerate(said, start=1))
    return sessions(records, source, format)


def _load(source: Source, text: str, line: int | None = None) -> Any:
    place = line
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # The error holds the document, so only the place goes on.
        place = line or error.lineno
        at_end = error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip()) - 1
    except (ValueError, RecursionError):
        at_end = False
    found = "the JSON ends too early" if at_end else "this is not valid JSON"
    raise source.error(found, "Copy or export the file again", place)


def _lines(source: Source) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(source.text.split("\n"), start=1):
        if line.strip():
            yield number, _load(source, line, number)


def _from_whole(whole: Any, source: Source, columns: Mapping[str, str] | None) -> Iterator[Record]:
    for key in ("data", "transcript"):
        # what the answer of a service is wrapped in, as that of Fireflies
        if isinstance(whole, dict) and isinstance(whole.get(key), dict):
            whole = whole[key]
    if isinstance(whole, dict):
        yield from _from_items([(1, whole)], source, columns)
    elif isinstance(whole, list):
        yield from _from_items(list(enumerate(whole, start=1)), source, columns)
    else:
        raise source.error("the JSON holds neither a list nor an object", _TODO)


def _from_items(
    items: Sequence[tuple[int, Any]], source: Source, columns: Mapping[str, str] | None
) -> Iterator[Record]:
    """Yield records from items that are utterances, or sessions with a list of utterances."""
    items = [(number, _opened(number, item, source)) for number, item in items]
    inner = [_utterances(item) for _, item in items]
    if not any(utterances is not None for utterances in inner):
        yield from _flat(items, source, columns)
        return
    several = len(items) > 1
    for (number, item), utterances in zip(items, inner, strict=True):
        fields = find_fields([name for name in item if isinstance(name, str)], None, source)
        shared = {key: item[fields[key]] for key in _SESSION_FIELDS if key in fields}
        if "session" not in shared and several:
            # Sessions without ids must not run into one another.
            shared["session"] = item.get("id", number)
        listed = list(enumerate(utterances or [], start=1))
        if not listed:
            yield number, shared
        for line, row in _flat([(line, _opened(line, row, source)) for line, row in listed], source, columns):
            yield line, {**shared, **row}


def _opened(number: int, item: Any, source: Source) -> Mapping[str, Any]:
    """Return an item with what it says of its session, where that is an object of its own, in its own fields.

    Raises
    ------
    ReadError
        If it has no named fields.
    """
    if not isinstance(item, dict):
        raise source.error(f"item {number} is not an object with named fields", _TODO)
    session = item.get("session")
    if not isinstance(session, dict):
        return item
    named = session | {f"session_{name}": value for name, value in session.items()}
    fields = find_fields(list(named), None, source)
    said = {key: named[fields[key]] for key in _SESSION_FIELDS if key in fields}
    return said | {name: value for name, value in item.items() if name != "session"}


def _utterances(item: Mapping[str, Any]) -> list[Any] | None:
    for key in _LISTS:
        value = item.get(key)
        if isinstance(value, list) and (not value or isinstance(value[0], dict)):
            return value
    return None


def _flat(
    items: Sequence[tuple[int, Mapping[str, Any]]], source: Source, columns: Mapping[str, str] | None
) -> Iterator[Record]:
    names: dict[str, None] = {}
    for _, item in items:
        names.update(dict.fromkeys(item))
    if not names:
        return
    fields = find_fields(list(names), columns, source, lambda name: (item.get(name) for _, item in items))
    if "text" not in fields:
        raise source.error(
            "no field for the words was found in the utterances",
            "Name it (--columns \"text=NAME\"), or call it 'text'",
        )
    timed = units(fields)
    for number, item in items:
        record = {key: item[name] for key, name in fields.items() if name in item}
        record |= {key: in_unit(record[key], unit) for key, unit in timed.items() if key in record}
        if isinstance(record.get("text"), (list, dict)):
            raise source.error(f"the words of item {number} are not a text", _TODO)
        # Diarisers nest a speaker's name or leave a list; neither is a label.
        for key in ("speaker", "role", "turn", "session"):
            if isinstance(record.get(key), (list, dict)):
                record.pop(key)
        yield number, record
