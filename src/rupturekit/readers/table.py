"""CSV, TSV and XLSX: rows under a header, or without one where their columns can be nothing else."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from rupturekit.limits import limit
from rupturekit.readers.columns import Record, by_party, filled_columns, records_at, untitled
from rupturekit.readers.labels import choose
from rupturekit.readers.raw import RawSession, ReadError, Source
from rupturekit.readers.records import NAMES, find_fields, in_unit, normal, sessions, units
from rupturekit.readers.text import is_silence, split_label
from rupturekit.roles import role_of_label, speaker_key

Row = tuple[int, Sequence[Any]]

# Titles and notes may stand above the header, but not many.
_HEADER_WITHIN = 20
_NAME_THEM = (
    "Say which columns hold the words and who says them (--columns \"text=NAME,speaker=NAME\"), or call them 'text' "
    "and 'speaker' in a first row"
)
_WORDS_A_TURN = 2
"""Talk has more than these in the mean, and a list of codes has not."""
_DELIMITERS = (",", "\t", ";", "|")
_TEXT_NAMES = frozenset(NAMES["text"])
SURE_NAMES = _TEXT_NAMES - {"sentence", "said"}
"""Names that alone make a header in Word, where else what stands in the columns tells more."""
_OTHER_NAMES = frozenset(name for key, names in NAMES.items() if key != "text" for name in names)


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read the sessions in a table; in a workbook, a sheet without a session column is a session."""
    if format == "xlsx":
        return _read_workbook(source, columns)
    return from_rows(_read_delimited(source, format, columns), source, format, columns)


def from_rows(rows: Sequence[Row], source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read the sessions in rows of cells, one of the first of which is the header, or which are surely talk.

    Raises
    ------
    ReadError
        If no row has a column for the words, or a row has more cells than the header.
    """
    at = header_at(rows, columns)
    if at is None and not columns and (said := _surely_talk(rows, source)):
        return sessions(said, source, format)
    if at is None:
        raise source.error(
            f"no column for the words was found in {_count(rows)}",
            _NAME_THEM,
        )
    line, header = rows[at]
    names = [str(cell).strip() if cell is not None else "" for cell in header]

    def cells(name: str) -> Iterator[Any]:
        n = names.index(name)
        return (row[n] for _, row in rows[at + 1 :] if n < len(row))

    fields = find_fields(names, columns, source, cells)
    places = {key: names.index(name) for key, name in fields.items()}
    if "text" not in places:
        raise source.error(
            "the header has no column for the words",
            _NAME_THEM,
            line,
        )
    timed = units(fields)
    records = []
    for line, row in rows[at + 1 :]:
        if any(cell not in (None, "") for cell in row[len(names) :]):
            raise source.error(
                f"this row has {len(row)} cells and the header {len(names)}",
                "Put quotation marks around text that holds the delimiter",
                line,
            )
        record = {key: row[n] for key, n in places.items() if n < len(row)}
        record |= {key: in_unit(record[key], unit) for key, unit in timed.items() if key in record}
        if len(row) == 1 < len(names) and is_silence(str(row[0])):
            record = {"text": row[0]}
        records.append((line, record))
    if not {"speaker", "role"} & places.keys():
        records = list(_parted(records, source.labels))
    return sessions(records, source, format)


def _surely_talk(rows: Sequence[Row], source: Source) -> list[Record] | None:
    """Read rows under no header that we know if they hold words beside client and therapist, and nothing more.

    None else: a folder has other tables too, and no talk is to be lost that holds the delimiter or breaks off.
    """
    texts = [(line, ["" if cell is None else str(cell).strip() for cell in row]) for line, row in rows]
    given = frozenset(map(speaker_key, source.labels))
    said = by_party(texts)
    n_read = len({record["speaker"] for _, record in said}) if said else 0
    if said is None and len(texts) > 1 and (found := untitled(texts, given)):
        said, n_read = records_at(*found), len(found[1])
    beside = any(len(cells) == 1 and not is_silence(cells[0]) for _, cells in texts)
    if not said or beside or n_read < sum(map(bool, filled_columns(texts))):
        return None
    turns = Counter(speaker_key(record["speaker"]) for _, record in said if record.get("speaker"))
    sides = {role_of_label(key) for key in turns}
    n_words = sum(len(record.get("text", "").split()) for _, record in said)
    spoken = len(turns) > 1 and max(turns.values()) > 1 and n_words > _WORDS_A_TURN * len(said)
    return said if spoken and (sides - {"other"} == {"therapist", "client"} or turns.keys() <= given) else None


def _parted(
    records: Sequence[tuple[int, dict[str, Any]]], given: frozenset[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Take the labels off the words, if these begin with labels; several may speak in one cell."""
    speakers = labels_in([text for _, record in records if isinstance(text := record.get("text"), str)], given)
    if not speakers:
        yield from records
        return
    for line, record in records:
        said: list[dict[str, Any]] = []
        for text in str(record.get("text") or "").split("\n"):
            label, words = split_label(text, given=given) or (None, text)
            if label in speakers:
                said.append({"speaker": label, "text": words})
            elif said:
                said[-1]["text"] += f"\n{text}"
            else:
                said.append({"text": text})
        # a cell begins with its first speaker and ends with its last
        for part in said[1:]:
            part["start"] = None
        for part in said[:-1]:
            part["end"] = None
        yield from ((line, record | part) for part in said)


def labels_in(column: Sequence[str], given: frozenset[str]) -> frozenset[str]:
    """Return the labels in a column of cells if most of these begin with one, more than once."""
    labels: list[list[str | None]] = []
    for cell in filter(None, column):
        parts = [split_label(line, given=given) for line in cell.split("\n")]
        labels.append([part[0] if part and part[1] else None for part in parts])
    speakers = choose([label for cell in labels for label in cell], lone=False, given=given)
    said = sum(label in speakers for cell in labels for label in cell)
    most = 2 * sum(cell[0] in speakers for cell in labels) >= len(labels)
    return speakers if said > 1 and most else frozenset()


def header_at(
    rows: Sequence[Row], columns: Mapping[str, str] | None = None, usual: frozenset[str] = _TEXT_NAMES
) -> int | None:
    """Return the place of the header row, known by its names (``usual`` for the words); None if there is none."""
    given = {normal(name) for name in (columns or {}).values()}
    for n, (_, row) in enumerate(rows[:_HEADER_WITHIN]):
        names = {normal(str(cell)) for cell in row if cell is not None and len(str(cell)) <= 60}
        if given and given & names:
            return n
        # Further down, one name alone could be a title.
        if names & usual and (names & _OTHER_NAMES or n == 0):
            return n
    return None


def delimiter_of(top: str) -> str | None:
    """Return the delimiter if the text begins with a table's header, else None.

    The words and one more column must be named, so that a title in plain text is not taken for one.
    """
    first = top.lstrip().partition("\n")[0]
    for delimiter in _DELIMITERS:
        cells = [normal(cell.strip('" ')) for cell in first.split(delimiter)]
        if len(cells) > 1 and _TEXT_NAMES & set(cells) and _OTHER_NAMES & set(cells):
            return delimiter
    return None


def _count(rows: Sequence[Row]) -> str:
    widest = max((len(row) for _, row in rows[:_HEADER_WITHIN]), default=0)
    return f"{widest} column{'s' if widest != 1 else ''}"


def _read_delimited(source: Source, format: str, columns: Mapping[str, str] | None) -> Sequence[Row]:
    text, skipped = source.text, 0
    delimiter = "\t" if format == "tsv" else None
    if text.startswith("sep=") and text[5:6] == "\n":
        # Excel's own way to say it.
        delimiter, text, skipped = text[4], text[6:], 1
    if delimiter is None:
        delimiter = delimiter_of(text[:4000]) or _likeliest(text, columns)
    # The module's limit guards against memory that the file has taken already.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        return list(_rows(text, delimiter, csv.QUOTE_MINIMAL, skipped))
    except _BadRow as error:
        if delimiter == "\t":
            # Tab-separated files are mostly written without any quoting.
            return list(_rows(text, delimiter, csv.QUOTE_NONE, skipped))
        line = error.line
    raise source.error(
        "a quotation mark in the row that begins here is not closed, or not doubled within a cell",
        "Write the table again with a spreadsheet or a CSV library",
        line,
    )


class _BadRow(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _rows(text: str, delimiter: str, quoting: Any, skipped: int) -> Iterator[Row]:
    # Strict, because otherwise a quotation mark left open swallows the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise _BadRow(line) from None
        # Markdown rules off the header by dashes
        if any(cell.strip(" :-") for cell in row):
            yield line, row


def _likeliest(text: str, columns: Mapping[str, str] | None) -> str:
    """Return the delimiter that splits some early line into the most names that are looked for.

    Where the names do not tell, it is the one of which the most lines hold the same number, the header among them,
    and the larger number of two.
    """
    wanted = _TEXT_NAMES | _OTHER_NAMES | {normal(name) for name in (columns or {}).values()}
    lines = text[:20_000].split("\n")[:_HEADER_WITHIN]

    def fit(delimiter: str) -> tuple[int, int, int]:
        names = max(len({normal(cell.strip('" ')) for cell in line.split(delimiter)} & wanted) for line in lines)
        counts = Counter(line.count(delimiter) for line in lines if delimiter in line)
        return names, *max(((lines, each) for each, lines in counts.items()), default=(0, 0))

    return max(_DELIMITERS, key=fit)


def _read_workbook(source: Source, columns: Mapping[str, str] | None) -> list[RawSession]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(source.data), read_only=True, data_only=True)
        sheets = [(n, sheet.title, *_sheet_rows(sheet, source)) for n, sheet in enumerate(book.worksheets, start=1)]
        book.close()
    except ReadError:
        raise
    except Exception:
        # A damaged workbook fails in a dozen ways inside zipfile, the XML parser and openpyxl.
        raise source.error(
            "the workbook is damaged or cut short", "Open it in a spreadsheet and save it anew"
        ) from None
    tables = [sheet for sheet in sheets if header_at(sheet[2], columns) is not None]
    if not tables and not columns:
        tables = [sheet for sheet in sheets if _surely_talk(sheet[2], source)]
    for line in (beyond for *_, beyond in tables if beyond):
        raise source.error(
            f"this row has a cell beyond column {COLUMNS}, and no further ones are read",
            "Move the columns of the transcript to the left, and clear or delete those beyond",
            line,
        )
    if not tables:
        # For the error that a single table would get.
        return from_rows(sheets[0][2] if sheets else [], source, "xlsx", columns)
    read = []
    for n, title, rows, _ in tables:
        # for errors, which do not know of sheets
        path = source.path.with_name(f"{source.path.name}, sheet {n}") if len(sheets) > 1 else source.path
        read += [(title, session) for session in from_rows(rows, replace(source, path=path), "xlsx", columns)]
    if len(tables) == 1:
        return [session for _, session in read]
    # each sheet may count its sessions from 1
    ids = [title if session.id is None else session.id for title, session in read]
    if len(set(ids)) < len(ids):
        ids = [title if session.id is None else f"{title}-{session.id}" for title, session in read]
    return [replace(session, id=id) for id, (_, session) in zip(ids, read, strict=True)]


def _sheet_rows(sheet: Any, source: Source) -> tuple[list[Row], int | None]:
    """Return the rows up to the last column that is read, and the first row with a cell beyond it."""
    most, n = CELLS * limit("RUPTUREKIT_LINES"), 0
    # Some writers state wrong dimensions, which would hide cells.
    sheet.reset_dimensions()
    rows: list[Row] = []
    beyond = None
    for number, cells in numbered(sheet.iter_rows()):
        n += len(cells)
        if n > most:
            raise source.error(
                f"its rows come to more than {most} cells, empty ones counted",
                "Move what stands far to the right, cut it into several, or raise RUPTUREKIT_LINES in the environment",
                number,
            )
        if beyond is None and any(cell.value not in (None, "") for cell in cells[COLUMNS:]):
            beyond = number
        values = [_value(cell) for cell in cells[:COLUMNS]]
        if any(value not in (None, "") for value in values):
            rows.append((number, values))
    return rows, beyond


COLUMNS = 1_000
"""Columns of a worksheet that are read: one with a single cell far out has sixteen thousand in each row."""
CELLS = 20
"""Cells of a worksheet that are read, for each line that a file may have."""


def numbered(rows: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Number the rows of a worksheet from 1; ValueError where it says that it has more than a worksheet can have.

    openpyxl fills up to the number that a row claims, and would do so for ever.
    """
    for number, row in enumerate(rows, start=1):
        if number > 1_048_576:
            raise ValueError("a row's number is beyond the last row of a worksheet")
        yield number, row


def _value(cell: Any) -> Any:
    """Return a cell's value, with a time of day or a duration as seconds."""
    value = cell.value
    if isinstance(value, time):
        total = value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    elif isinstance(value, timedelta):
        total = value.total_seconds()
    elif isinstance(value, datetime) and value.year < 1901:
        # Excel's day zero: a duration of more than a day, as "75:00" typed for minutes becomes.
        total = (value - datetime(1899, 12, 30)).total_seconds()
    else:
        return value
    # Who types 02:05 for minutes and seconds gets hours and minutes from Excel.
    return total if "s" in (cell.number_format or "").lower() else total / 60
