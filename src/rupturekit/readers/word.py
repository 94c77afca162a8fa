"""DOCX: transcripts in paragraphs, and in tables of two or three columns."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rupturekit.readers.labels import is_known, is_name, tidy
from rupturekit.readers.raw import COUNTS, RawSession, Source, Utterance, clean, seconds
from rupturekit.readers.records import NAMES, Cells, normal, sessions
from rupturekit.readers.table import SURE_NAMES, Row, by_role, from_rows, header_at, labels_in
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
            joint = " " if _is_mark(filled[0]) or filled[0].endswith(":") else ": "
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
    filled = _columns(rows)
    places = [n for n, column in enumerate(filled) if len(labels_in(column, given)) > 1]
    if len(filled) < 2 or len(places) != 1:
        return [], 0
    found: list[Row] = []
    aside = 0
    for place, cells in rows:
        # a cell that is merged with others stands further to the left
        n = min(places[0], len(cells) - 1)
        kept = [*filter(_is_mark, cells[:n]), cells[n]]
        found.append((place, [" ".join(kept)]))
        aside += sum(map(bool, cells)) - sum(map(bool, kept))
    return found, aside


def _columns(rows: Sequence[Row]) -> list[list[str]]:
    """Return the filled cells of each column."""
    columns: list[list[str]] = [[] for _ in range(max((len(cells) for _, cells in rows), default=0))]
    for _, cells in rows:
        for column, cell in zip(columns, cells):
            if cell:
                column.append(cell)
    return columns


def _is_mark(cell: str) -> bool:
    bare = cell.strip("[]()<> .#")
    return bare.isdigit() or seconds(bare) is not None


def _table(rows: list[Row], source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession] | None:
    """Read a table as a transcript by its columns; None if its columns do not part speaker and words."""
    if max(len(cells) for _, cells in rows) < 2:
        return None
    at = header_at(rows, columns, SURE_NAMES)
    if at is not None and len(rows[at][1]) > 1:
        return from_rows(rows[at:], source, format, columns)
    parties = by_role(rows)
    if parties:
        said = tuple(
            Utterance(label, clean(cells[n]), line=place)
            for place, cells in rows[1:]
            for n, label in parties
            if n < len(cells) and cells[n].strip()
        )
        return [RawSession(None, said, format)]
    given = frozenset(map(speaker_key, source.labels))
    places = _guess(rows[1:], given)
    if places is not None and _is_header(rows, places, given):
        rows = rows[1:]
    else:
        places = _guess(rows, given)
    if places is None:
        return None
    if "text" not in places:
        raise source.error(
            "this table has words on both sides of the speakers, and no telling which are said",
            "Call the columns 'speaker' and 'text' in its first row",
            rows[0][0],
        )
    records = []
    for place, cells in _spread(rows, places["text"]):
        record: dict[str, Any] = {key: cells[n] for key, n in places.items() if n < len(cells)}
        for key in ("start", "turn"):
            if key in record:
                record[key] = record[key].strip("[]()<> .#")
        records.append((place, record))
    return sessions(records, source, format)


def _spread(rows: Sequence[Row], text_at: int) -> list[Row]:
    """Put a lone cell, merged across the row, where the words stand if it is a silence; leave it out else."""
    out: list[Row] = []
    for place, cells in rows:
        if len(cells) == 1:
            if not is_silence(cells[0]):
                continue
            cells = [""] * text_at + list(cells)
        out.append((place, cells))
    return out


def _guess(rows: Sequence[Row], given: frozenset[str]) -> dict[str, int] | None:
    """Tell the columns of a table without a header by what stands in them; "text" is lacking where there is no telling.

    None if no column has the speakers.
    """
    # titles of parts say nothing of the columns
    columns = _columns([(place, cells) for place, cells in rows if len(cells) > 1 or not is_short(cells[0])])
    places: dict[str, int] = {}
    other: list[int] = []
    for n, column in enumerate(columns):
        bare = [cell.strip("[]()<> .#") for cell in column]
        if not column:
            continue
        if sum(cell.isdigit() for cell in bare) >= 0.8 * len(bare):
            places.setdefault("turn", n)
        elif sum(":" in cell and seconds(cell) is not None for cell in bare) >= 0.8 * len(bare):
            places.setdefault("start" if "start" not in places else "end", n)
        elif all(is_known(label) or speaker_key(label) in given for label in _labels(column)):
            places.setdefault("speaker", n)
        else:
            other.append(n)
    if not other:
        return None
    longest = max(other, key=lambda n: sum(map(len, columns[n])))
    named = []
    for n in other:
        labels = _labels(columns[n])
        few = len(set(labels)) <= max(2, len(labels) // 2)
        if few and all(_is_label(name, given) for name in labels):
            named.append(n)
            if n != longest:
                places.setdefault("speaker", n)
    if "speaker" not in places:
        return None
    # Comments may be longer than the talk, which stands next to who says it.
    worded = [n for n in other if n not in named and _is_worded(columns[n], len(rows))] or [longest]
    beside = next((n for n in worded if n > places["speaker"]), worded[-1])
    if beside == longest or worded[0] > places["speaker"]:
        places["text"] = beside
    return places


def _is_worded(column: Sequence[str], of: int) -> bool:
    """Tell whether most rows have something in this column that could be talk."""
    written = sum(any(map(str.isalpha, cell)) for cell in column)
    return 2 * written >= of and Cells(column).are_words


def _is_label(label: str, given: frozenset[str]) -> bool:
    return is_known(label) or is_name(label) or speaker_key(label) in given


def _is_header(rows: Sequence[Row], places: Mapping[str, int], given: frozenset[str]) -> bool:
    """Tell whether no cell of the first row fits its column: it is a header in words of its own."""
    top = {key: rows[0][1][n] for key, n in places.items() if n < len(rows[0][1])}
    (label,) = _labels([top.get("speaker", "")])
    if not all(top.values()) or label in _labels(
        [cells[n] for _, cells in rows[1:] for n in (places["speaker"],) if n < len(cells)]
    ):
        return False
    marks = [top[key] for key in ("turn", "start", "end") if key in top]
    if marks:
        return not any(map(_is_mark, marks))
    # Two columns: a speaker who says but one thing must not be taken for a header.
    return normal(label) in _SPEAKER_NAMES or not _is_label(label, given)


def _labels(column: Sequence[str]) -> list[str]:
    return [tidy(cell).rstrip(" :：") for cell in column]
