"""DOCX: transcripts in paragraphs, and in tables of two or three columns."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rupturekit.readers.columns import Row, by_party, filled_columns, is_mark, records_at, untitled
from rupturekit.readers.labels import is_known, tidy
from rupturekit.readers.raw import COUNTS, RawSession, Source
from rupturekit.readers.records import NAMES, normal, sessions
from rupturekit.readers.table import SURE_NAMES, from_rows, header_at, labels_in
from rupturekit.readers.text import is_header_key, is_short, is_silence, parse
from rupturekit.roles import speaker_key

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# What a tracked change took out, and text boxes, which Word stores twice.
_HIDDEN = frozenset(f"{_W}{name}" for name in ("del", "moveFrom", "txbxContent", "pPr", "rPr"))
_SPEAKER_NAMES = frozenset(NAMES["speaker"])
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


@dataclass(slots=True)
class _Block:
    """Paragraphs in a row, or a table; each line or row with its place in the document."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read the sessions in a Word document; ``line`` counts its paragraphs and table rows.

    Words that a tracked change put in are read, those that it took out are not.
    """
    import docx

    try:
        body = docx.Document(io.BytesIO(source.data)).element.body
        blocks = list(_blocks(body))
    except Exception:
        # A damaged document fails in a dozen ways inside zipfile, lxml and python-docx.
        raise source.error("the Word document is damaged or cut short", "Open it in Word and save it anew") from None
    parts: list[RawSession] = []
    pending: list[tuple[int, str]] = []
    aside = 0
    for block in blocks:
        n = _facts(block.rows[: header_at(block.rows, columns, SURE_NAMES)])
        pending += block.lines or _as_lines(block.rows[:n])
        labelled, beside = _labelled(block.rows[n:], source.labels, columns)
        aside += beside
        table = _table(block.rows[n:], source, format, columns) if block.rows[n:] and not labelled else None
        if table is None:
            pending += _as_lines(labelled or block.rows[n:])
            continue
        # merged across the row, as the title of a part is
        aside += sum(len(cells) == 1 and not is_silence(cells[0]) for _, cells in block.rows[n:])
        parts += _text(pending, source, format, [u.speaker for part in table for u in part.utterances], aside=aside)
        pending, aside = [], 0
        parts += table
    parts += _text(pending, source, format, aside=aside)
    return _together(parts, format)


def _together(parts: Sequence[RawSession], format: str) -> list[RawSession]:
    """Join the parts of a document that belong to one session."""
    found: dict[str | None, RawSession] = {}
    for part in parts:
        before = found.get(part.id)
        found[part.id] = (
            part
            if before is None
            else replace(
                before,
                utterances=before.utterances + part.utterances,
                numbered=(before.numbered or not before.utterances) and (part.numbered or not part.utterances),
                meta={**part.meta, **before.meta, **_sums(part.meta, before.meta)},
                roles={**part.roles, **before.roles},
            )
        )
    named = [session for id, session in found.items() if id is not None]
    if named and None in found and not found[None].utterances:
        return named
    return list(found.values())


def _sums(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, int]:
    return {key: one[key] + other[key] for key in COUNTS if key in one and key in other}


def _text(
    lines: Sequence[tuple[int, str]],
    source: Source,
    format: str,
    below: Sequence[str | None] | None = None,
    *,
    aside: int = 0,
) -> list[RawSession]:
    parsed = parse(lines, below=below, given=source.labels)
    if aside:
        parsed = parsed._replace(meta={**parsed.meta, "cells_left_out": aside})
    return [parsed.session(format)] if parsed.utterances or parsed.meta else []


def _blocks(body: Any) -> Iterator[_Block]:
    place = 0
    paragraphs = _Block()
    for element in _walk(body, (f"{_W}p", f"{_W}tbl")):
        if element.tag == f"{_W}p":
            place += 1
            # A paragraph may hold several lines, parted by soft breaks.
            paragraphs.lines += [(place, line) for line in _words(element).split("\n")]
            continue
        if paragraphs.lines:
            yield paragraphs
            paragraphs = _Block()
        table = _Block()
        for row in _walk(element, (f"{_W}tr",)):
            place += 1
            cells = [_cell(cell) for cell in _walk(row, (f"{_W}tc",))]
            if any(cells):
                table.rows.append((place, cells))
        yield table
    if paragraphs.lines:
        yield paragraphs


def _walk(element: Any, tags: tuple[str, ...]) -> Iterator[Any]:
    """Yield the nearest elements with these tags, in order, through content controls and changes."""
    for child in element:
        if child.tag in tags:
            yield child
        elif isinstance(child.tag, str) and child.tag not in _HIDDEN:
            yield from _walk(child, tags)


def _words(element: Any) -> str:
    out: list[str] = []

    def collect(parent: Any) -> None:
        for child in parent:
            if child.tag == f"{_W}t":
                out.append(child.text or "")
            elif child.tag in _BREAKS:
                out.append(_BREAKS[child.tag])
            elif isinstance(child.tag, str) and child.tag not in _HIDDEN:
                collect(child)

    collect(element)
    return "".join(out)


def _cell(cell: Any) -> str:
    return "\n".join(_words(p) for p in _walk(cell, (f"{_W}p",))).strip()


def _facts(rows: Sequence[Row]) -> int:
    """Return how many rows at the top of a table may say who it is about, as ``Client | K12`` and ``Date | …``.

    In a table with nothing else they may be parties alone. Whether these speak there is told by all the lines.
    """
    seen: set[str] = set()
    keyed, parties = False, True
    for _, cells in rows:
        name, value, *more = [*filter(None, cells), "", ""]
        name = tidy(name).rstrip(" :：")
        key = is_header_key(name)
        if name in seen or not value or any(more) or not (key or is_short(value)):
            break
        seen.add(name)
        keyed, parties = keyed or key, parties and is_known(name)
    return len(seen) if keyed or (parties and len(seen) == len(rows)) else 0


def _as_lines(rows: Sequence[Row]) -> list[tuple[int, str]]:
    """Write a table that is no transcript by its columns as lines of text."""
    lines: list[tuple[int, str]] = []
    for place, cells in rows:
        filled = [cell for cell in cells if cell]
        if len(filled) == 2 and "\n" not in filled[0]:
            # "Date | 4 May" reads as the header line "Date: 4 May"; a time or number stays before.
            joint = " " if is_mark(filled[0]) or filled[0].endswith(":") else ": "
            filled = [joint.join(filled)]
        lines += [(place, line) for cell in filled for line in cell.split("\n")]
    # what comes after a table is no part of it
    return [*lines, (lines[-1][0], "")] if lines else lines


def _labelled(rows: Sequence[Row], given: frozenset[str], columns: Mapping[str, str] | None) -> tuple[list[Row], int]:
    """Return the one column in which cells begin with labels, with the times and numbers before it.

    Beside it stand comments, in as many cells. Empty if there is no such column, or several, or one for the speakers.
    """
    at = header_at(rows, columns, SURE_NAMES)
    names = {normal(cell) for cell in rows[at][1]} if at is not None else set()
    if names & _SPEAKER_NAMES or "speaker" in (columns or {}):
        return [], 0
    filled = filled_columns(rows)
    places = [n for n, column in enumerate(filled) if len(labels_in(column, given)) > 1]
    if len(filled) < 2 or len(places) != 1:
        return [], 0
    found: list[Row] = []
    aside = 0
    for place, cells in rows:
        # a cell that is merged with others stands further to the left
        n = min(places[0], len(cells) - 1)
        kept = [*filter(is_mark, cells[:n]), cells[n]]
        found.append((place, [" ".join(kept)]))
        aside += sum(map(bool, cells)) - sum(map(bool, kept))
    return found, aside


def _table(rows: list[Row], source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession] | None:
    """Read a table as a transcript by its columns; None if its columns do not part speaker and words."""
    if max(len(cells) for _, cells in rows) < 2:
        return None
    at = header_at(rows, columns, SURE_NAMES)
    if at is not None and len(rows[at][1]) > 1:
        return from_rows(rows[at:], source, format, columns)
    records = by_party(rows)
    if records is None:
        found = untitled(rows, frozenset(map(speaker_key, source.labels)))
        if found is None:
            return None
        said, places = found
        if "text" not in places:
            raise source.error(
                "this table has words on both sides of the speakers, and no telling which are said",
                "Call the columns 'speaker' and 'text' in its first row",
                said[0][0],
            )
        records = records_at(said, places)
    return sessions(records, source, format)
