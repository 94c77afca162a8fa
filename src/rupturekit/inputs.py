"""What a run reads: the files in given folders, how they are called, and how they are to be read."""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from . import exchange
from .annotation import MADE_BY
from .readers import RawSession, ReadError, load, read_sessions
from .readers.encoding import decode
from .readers.praat import together
from .readers.raw import Source
from .roles import RoleError, speaker_key
from .tables import OUTPUTS

SUFFIXES = frozenset(".txt .text .docx .vtt .srt .csv .tsv .xlsx .json .jsonl .ndjson .eaf .textgrid .cha".split())
"""Suffixes of transcripts; in a folder, files with others are skipped. A file given by name is read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read every input, as for `rupturekit.read_all`; None where it is to be found out.

    ``clients`` gives session ids their clients, for formats that have no place for them.
    """

    roles: Mapping[str, str] | None = None
    format: str | None = None
    columns: Mapping[str, str] | None = None
    encoding: str | None = None
    clients: Mapping[str, str] | None = None

    def sessions(self, path: Path) -> list[RawSession]:
        """Read the sessions of a file."""
        return read_sessions(path, format=self.format, columns=self.columns, encoding=self.encoding, labels=self.roles)

    def roles_in(self, raw: RawSession) -> dict[str, str]:
        """Return the given roles of those who speak in a session: one map serves many sessions."""
        if not self.roles:
            return {}
        speakers = {speaker_key(utterance.speaker) for utterance in raw.utterances}
        return {label: role for label, role in self.roles.items() if speaker_key(label) in speakers}


@dataclass(frozen=True, slots=True)
class Input:
    """A file to read: where it is, how it is called in the output, and why it is skipped if it is."""

    path: Path
    name: str
    skip: str | None = None


def read_clients(path: Path) -> dict[str, str]:
    """Read which client each session is of: a CSV with the columns ``session_id`` and ``client_id``.

    Raises
    ------
    ReadError
        If a column is missing, a cell is empty, or a session has two clients.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "clients.csv")
    ...     _ = file.write_text("session_id;client_id\\ns01;K1\\ns02;K1\\n")
    ...     read_clients(file)
    {'s01': 'K1', 's02': 'K1'}
    """
    source = load(path)
    clients: dict[str, str] = {}
    for line, cells in csv_rows(source, "session_id", "client_id"):
        session, client = cells["session_id"], cells["client_id"]
        if not (session and client):
            raise source.error("a session or a client is missing", "Fill in the row, or take it out", line)
        if clients.setdefault(session, client) != client:
            raise source.error("this session has another client above", "Give each session once", line)
    return clients


def csv_rows(source: Source, *needed: str, also: Iterable[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV that are not empty, each with the line that it begins in.

    Columns are told by the first row, in any order and case, spaces for underscores, parted by commas, semicolons or
    tabs; empty lines and Excel's ``sep=;`` may stand above it. Cells are stripped, but for those of a column ``text``.

    Raises
    ------
    ReadError
        If a column is missing, one of these or of ``also`` is there twice, a row has more cells than there are columns,
        or it is no CSV.
    """
    if source.data.startswith(b"PK"):
        raise source.error("this is a workbook and no CSV", "Save its sheet as CSV")
    text = decode(source).text
    top = re.match(r"(?:sep=.\n)?(?:[^\S\n]*\n)*", text)[0]  # type: ignore[index]  # which matches nothing, too
    text, above = text[len(top) :], top.count("\n")
    # strict, because otherwise a quotation mark left open swallows the rest of the file
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_parted_by(text, needed), strict=True)
    line = above + 1
    try:
        header = _names(next(reader, []))
        if missing := [name for name in needed if name not in header]:
            raise source.error(f"no column {' and no '.join(missing)}", "Name the columns in the first row", line)
        if twice := [name for name in dict.fromkeys((*needed, *also)) if header.count(name) > 1]:
            raise source.error(f"two columns are called {' and two '.join(twice)}", "Keep the one that counts", line)
        line = above + reader.line_num + 1
        for row in reader:
            # what is left over would be lost, and what stands before it is a part of a cell
            if any(map(str.strip, row[len(header) :])):
                raise source.error(
                    "there are more cells than columns", "Put quotation marks around a cell that holds a comma", line
                )
            if any(map(str.strip, row)):
                cells = dict(zip(header, row))
                # the words of a message stand as they are: places in them are told
                yield line, {k: cells.get(k, "") if k == "text" else cells.get(k, "").strip() for k in header}
            line = above + reader.line_num + 1
    except csv.Error:
        raise source.error("this is no CSV", "Check the quotes, and save it again", line) from None


def _names(header: Iterable[str]) -> list[str]:
    return ["_".join(name.casefold().split()) for name in header]


def _parted_by(text: str, needed: Iterable[str]) -> str:
    """Return what parts the cells: what is there most often, but names of columns may be questions with commas."""
    marks = sorted(",;\t", key=text.split("\n", 1)[0].count, reverse=True)
    for mark in marks:
        with suppress(csv.Error):
            if set(needed) <= set(_names(next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), []))):
                return mark
    return marks[0]


def find(paths: Iterable[Path], out: Path) -> list[Input]:
    """List the files to annotate, in a stable order, each once.

    Folders are searched with their subfolders. Files there that are no transcripts, sheets for coders among them, are
    listed with the reason why they are skipped, and of a subfolder that another command wrote its ``made-by.json``;
    hidden folders and the outputs of this and earlier runs are passed over.
    TextGrids that hold one session, one for each speaker, are one input: the first of them.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders.
    out : Path
        The output folder.

    Raises
    ------
    FileNotFoundError
        If one of the paths does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.txt", "a.vtt", "scan.png", "README.txt"):
    ...         _ = Path(folder, name).write_text("T: Hello.")
    ...     [(i.name, i.skip) for i in find([Path(folder)], Path(folder, "out"))]
    [('README.txt', 'a README'), ('a.vtt', None), ('b.txt', None),
     ('scan.png', 'no transcript by its suffix; give the file by name to read it')]
    """
    paths = list(paths)
    found: dict[str, Input] = {}
    for path in paths:
        if path.is_dir():
            for file in _walk(path, out.resolve()):
                name = file if len(paths) > 1 else file.relative_to(path)
                found.setdefault(_real(file), Input(file, _spelled(name), _why_not(file)))
        elif path.exists():
            # a file given by name is read, whatever it is called
            found[_real(path)] = Input(path, _spelled(path))
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    read_with: set[str] = set()
    for real, entry in found.items():
        if real in read_with:
            found[real] = replace(entry, skip="read together with the other speaker's file")
        elif not entry.skip:
            read_with |= {_real(file) for file in together(entry.path).values()}
    return list(found.values())


def _spelled(path: Path) -> str:
    """Return a path with bytes that are no UTF-8 spelled out (``\\xff``), so that every output can hold it."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _real(path: Path) -> str:
    # unlike `Path.resolve`, which raises where links lead round in a circle
    return os.path.realpath(path)


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    files = []
    for here, folders, names in os.walk(folder):
        ours = (*OUTPUTS, "html", *exchange.FORMATS) if _is_output(Path(here), out) else ()
        if MADE_BY in names and Path(here) != folder:
            folders[:], names = [], [MADE_BY]  # which stands for all of it in the list of what is skipped
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ours]
        # a folder that is called like a transcript is worth a word
        named = [name for name in folders if Path(name).suffix.lower() in SUFFIXES]
        files += [Path(here, name) for name in (*names, *named) if name not in ours]
    return iter(sorted(files, key=lambda file: file.relative_to(folder).as_posix()))


def _is_output(folder: Path, out: Path) -> bool:
    whole = all((folder / name).is_file() for name in ("run.json", "annotations.jsonl"))
    return whole or folder.resolve() == out


def _why_not(file: Path) -> str | None:
    if file.name.startswith((".", "~$")):
        return "a hidden file"
    if file.stem.lower() == "readme":
        return "a README"
    if file.name == MADE_BY or file.name.endswith(f".{MADE_BY}"):
        return "written by rupturekit, as the files beside it; to have these read, give their folder or names"
    if _is_sheet(file):
        return "a sheet for coders, written by rupturekit"
    if file.suffix.lower() not in SUFFIXES:
        return "no transcript by its suffix; give the file by name to read it"
    if file.is_dir():
        return "a folder, in spite of its suffix"
    return None


def reason(error: Exception) -> str:
    """Say what went wrong without quoting any of the input.

    The readers' and the segmenter's own messages are made for this; of any other error only its kind and
    place are told, because its message may hold words of the session.

    Examples
    --------
    >>> try:
    ...     int("what the client said")
    ... except ValueError as error:
    ...     "client" in reason(error)
    False
    """
    if isinstance(error, (ReadError, RoleError)):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({type(error).__name__})"
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" in {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
    return f"unexpected {type(error).__name__}{place}; please report it, without the transcript"


def _is_sheet(file: Path) -> bool:
    # its table of turns would be read as sessions, and each of them counted once more
    if file.suffix.lower() == ".csv":
        stems = (file.stem, Path(file.stem).stem)  # of X.csv and X.turns.csv
        return any(file.with_name(f"{stem}.{MADE_BY}").is_file() for stem in stems)
    if file.suffix.lower() != ".xlsx" or not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as book, book.open("xl/workbook.xml") as names:
            told = names.read(1 << 16)
    except Exception:
        return False  # whoever reads it will say why
    return all(f'name="{table}"'.encode() in told for table in ("Markers", "Ratings", "Turns", "Codebook"))
