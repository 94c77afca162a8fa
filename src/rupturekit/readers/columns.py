"""Tables without a header: what their columns hold, told by what stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rupturekit.readers.labels import is_known, is_name, tidy
from rupturekit.readers.raw import seconds
from rupturekit.readers.records import NAMES, Cells, normal
from rupturekit.readers.text import is_short, is_silence
from rupturekit.roles import speaker_key

Row = tuple[int, Sequence[str]]
Record = tuple[int, dict[str, str]]
_SPEAKER_NAMES = frozenset(NAMES["speaker"])


def by_party(rows: Sequence[Row]) -> list[Record] | None:
    """Return the cells of columns that each hold one party's words, told by the first row; else None."""
    header = rows[0][1] if rows else ()
    parties = [(n, cell) for n, cell in enumerate(header) if is_known(cell.strip())]
    if len(parties) < 2 or len(rows) < 2:
        return None
    said = [
        (place, {"speaker": label, "text": cells[n]})
        for place, cells in rows[1:]
        for n, label in parties
        if n < len(cells) and cells[n].strip()
    ]
    return None if any(is_known(record["text"].strip()) for _, record in said) else said


def untitled(rows: Sequence[Row], given: frozenset[str]) -> tuple[Sequence[Row], dict[str, int]] | None:
    """Return the rows of a table that names no column as we do, and the places of what its columns hold.

    A first row in which nothing fits its column is a header in words of its own, and left out. "text" is lacking
    where there is no telling. None if no column has the speakers. ``given`` holds known labels (by `speaker_key`).
    """
    places = _guess(rows[1:], given)
    if places is not None and _is_header(rows, places, given):
        return rows[1:], places
    places = _guess(rows, given)
    return None if places is None else (rows, places)


def records_at(rows: Sequence[Row], places: Mapping[str, int]) -> list[Record]:
    """Return what stands in these places of each row.

    A lone cell, merged across the row, stands where the words stand if it is a silence, and is left out else.
    """
    out = []
    for place, cells in rows:
        record = {key: cells[n] for key, n in places.items() if n < len(cells)}
        for key in {"start", "turn"} & record.keys():
            record[key] = _bare(record[key])
        if len(cells) > 1:
            out.append((place, record))
        elif is_silence(cells[0]):
            out.append((place, {"text": cells[0]}))
    return out


def _guess(rows: Sequence[Row], given: frozenset[str]) -> dict[str, int] | None:
    # titles of parts say nothing of the columns
    columns = filled_columns([(place, cells) for place, cells in rows if len(cells) > 1 or not is_short(cells[0])])
    places: dict[str, int] = {}
    other: list[int] = []
    for n, column in enumerate(columns):
        bare = [*map(_bare, column)]
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
        return not any(map(is_mark, marks))
    # Two columns: a speaker who says but one thing must not be taken for a header.
    return normal(label) in _SPEAKER_NAMES or not _is_label(label, given)


def _is_worded(column: Sequence[str], of: int) -> bool:
    """Tell whether most rows have something in this column that could be talk."""
    written = sum(any(map(str.isalpha, cell)) for cell in column)
    return 2 * written >= of and Cells(column).are_words


def _is_label(label: str, given: frozenset[str]) -> bool:
    return is_known(label) or is_name(label) or speaker_key(label) in given


def _labels(column: Sequence[str]) -> list[str]:
    return [tidy(cell).rstrip(" :：") for cell in column]


def filled_columns(rows: Sequence[Row]) -> list[list[str]]:
    """Return the filled cells of each column."""
    columns: list[list[str]] = [[] for _ in range(max((len(cells) for _, cells in rows), default=0))]
    for _, cells in rows:
        for column, cell in zip(columns, cells):
            if cell:
                column.append(cell)
    return columns


def is_mark(cell: str) -> bool:
    """Tell whether this is a number or a time, perhaps in brackets."""
    bare = _bare(cell)
    return bare.isdigit() or seconds(bare) is not None


def _bare(cell: str) -> str:
    return cell.strip("[]()<> .#")
