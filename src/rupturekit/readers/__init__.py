"""Bytes of a transcript file → raw utterances; one module for each family of formats."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from itertools import groupby
from pathlib import Path

from rupturekit.limits import limit
from rupturekit.readers import archive
from rupturekit.readers.encoding import decode
from rupturekit.readers.raw import RawSession, ReadError, Source, Utterance

__all__ = ["FORMATS", "RawSession", "ReadError", "Utterance", "load", "read_sessions"]

# Which module reads a format. A new family of formats is a line here and one in `_sniff`.
FORMATS: Mapping[str, str] = {
    "text": "text",
    "docx": "word",
    "vtt": "captions",
    "srt": "captions",
    "csv": "table",
    "tsv": "table",
    "xlsx": "table",
    "json": "json_",
    "jsonl": "json_",
    "eaf": "elan",
    "textgrid": "praat",
    "cha": "chat",
}
_ZIPPED = ("docx", "xlsx")
# What a turn begins with, or each piece of one; in other formats a line. Workbooks are read row by row.
_BEGINS = {
    **{"docx": "<", "xlsx": "", "vtt": "\n<", "srt": "\n<", "json": "{[", "jsonl": "\n{["},
    **{"eaf": "<", "textgrid": '\n"'},
}

# Files that people take for transcripts, by how they begin.
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an old or password-protected Office file", "DOCX or XLSX, unprotected"),
    (b"%PDF", "a PDF", "text or DOCX"),
    (b"{\\rtf", "an RTF file", "DOCX or plain text"),
)


def read_sessions(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    labels: Iterable[str] | None = None,
) -> list[RawSession]:
    """Read every session in a transcript file.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        One of `FORMATS`; else told by the content first and the suffix second.
    columns : mapping, optional
        For tables and JSON, which column holds which field, as
        ``{"text": "what_was_said", "speaker": "who"}``. Fields are ``text``, ``speaker``, ``start``,
        ``end``, ``turn``, ``session``, ``client_id``, ``group``, ``session_number`` and ``date``; those
        not given are found by the names people use. Other formats have no columns and ignore it.
    encoding : str, optional
        For formats made of text; else guessed.
    labels : iterable of str, optional
        Labels that name speakers in text, DOCX and captions, in any case. They are recognised at the beginning of a
        line whatever their form; others are told by what people write.

    Returns
    -------
    list of RawSession
        In order of first appearance in the file. A session whose rows are all empty stays in
        the list, without utterances, so that its loss can be reported.

    Raises
    ------
    ReadError
        If the file cannot be read or holds no talk. The message names the file, the line where it can,
        and what to do; it never quotes the file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "session.txt"
    >>> _ = file.write_text("T: How was the week?\\nC: Long.\\n")
    >>> [(u.speaker, u.text) for u in read_sessions(file)[0].utterances]
    [('T', 'How was the week?'), ('C', 'Long.')]
    """
    source = replace(load(Path(path)), labels=frozenset(labels or ()))
    if format is not None and format not in FORMATS:
        raise source.error(f"no format is called {format!r}", f"Formats that are read: {', '.join(FORMATS)}")
    if format is None:
        format = _sniff_zip(source)
    elif format in _ZIPPED:
        archive.check(source)
    if format not in _ZIPPED:
        source = decode(source, encoding)
        if not source.text.strip():
            raise source.error("the file is empty", "Check the export that made it")
        format = format or _sniff(source)
    check_lines(source, format)
    reader = import_module(f"rupturekit.readers.{FORMATS[format]}")
    sessions: list[RawSession] = reader.read(source, format, columns)
    if not any(session.utterances for session in sessions):
        raise source.error(
            f"no talk was found in it, read as {format}",
            "Check that it is a transcript, or give its format",
        )
    return [_by_time(session) for session in sessions]


def _by_time(session: RawSession) -> RawSession:
    """Put in the order of their starts what stands speaker after speaker, as tiers and tracks are exported.

    That is one block of each speaker, all timed, of which the last begins before the first ends.
    """
    said = session.utterances
    blocks = [list(block) for _, block in groupby(said, key=lambda u: u.speaker)]
    starts = [u.start_s for u in said if u.start_s is not None]
    apart = 1 < len(blocks) == len({u.speaker for u in said}) and len(said) > 2 * len(blocks)
    if not apart or len(starts) < len(said) or starts[-len(blocks[-1])] >= starts[len(blocks[0]) - 1]:
        return session
    return replace(session, utterances=tuple(sorted(said, key=lambda u: u.start_s or 0.0)))


def load(path: Path) -> Source:
    """Return the bytes of a file, of a size that is read (`limits`).

    Raises
    ------
    ReadError
        If it is not there, cannot be opened, is no regular file, is too large, or is empty.
    """
    source = Source(path, b"")
    try:
        if path.is_dir():
            raise source.error("this is a folder", "Give a file")
        # A pipe or device would block or never end.
        if path.exists() and not path.is_file():
            raise source.error("this is not a regular file", "Give a file")
        if path.exists() and path.stat().st_size >> 20 >= limit("RUPTUREKIT_FILE_MB"):
            raise source.error(
                f"the file has {path.stat().st_size >> 20} MB, and {limit('RUPTUREKIT_FILE_MB')} are read",
                "Cut it into several, or raise RUPTUREKIT_FILE_MB in the environment",
            )
        data = path.read_bytes()
    except OSError as error:
        raise source.error(f"the file cannot be opened ({error.strerror})", "Check its name and permissions") from None
    if not data:
        raise source.error("the file is empty", "Check the export that made it")
    return Source(path, data)


def check_lines(source: Source, format: str) -> None:
    """Raise the error if there is more in it than the limit allows (`limits`): each takes memory, however short."""
    begins = _BEGINS.get(format, "\n")
    if format in _ZIPPED and begins:
        opened = archive.opened(source)
        parts = (archive.unpacked(source, opened, entry) for entry in opened.infolist())
        n = sum(part.count(begin.encode()) for part in parts for begin in begins)
    else:
        n = sum(source.text.count(begin) for begin in begins)
    if n > (most := limit("RUPTUREKIT_LINES")):
        raise source.error(
            f"it has {n} lines, elements or objects, and {most} are read",
            "Cut it into several, or raise RUPTUREKIT_LINES in the environment",
        )


def _sniff_zip(source: Source) -> str | None:
    """Tell DOCX from XLSX by what the archive holds; None for anything that is not an archive."""
    for start, what, target in _FOREIGN:
        if source.data.startswith(start):
            raise source.error(f"this is {what}", f"Save it as {target}")
    if not source.data.startswith(b"PK\x03\x04"):
        return None
    names = archive.check(source)
    if "word/document.xml" in names:
        return "docx"
    if "xl/workbook.xml" in names:
        return "xlsx"
    raise source.error("this is an archive, but neither DOCX nor XLSX", "Unpack it, or save it as DOCX or XLSX")


_JSON_START = re.compile(r'\s*(?:\{\s*["}]|\[\s*[\[{\]])')
_TEXTGRID = re.compile(r'\s*File type = "ooTextFile[^"]*"\s*\n\s*(?:Object class = )?"TextGrid"')
_CHAT = re.compile(r"^@(?:UTF8|Begin)[ \t]*$", re.MULTILINE)
_CUE = re.compile(r"^[ \t]*(?:\d+:)?\d+:\d\d[.,]\d+[ \t]*-->", re.MULTILINE)


def _sniff(source: Source) -> str:
    suffix = source.path.suffix.lower().lstrip(".")
    text = source.text
    top = text[:4000]
    if top.lstrip().startswith("WEBVTT"):
        return "vtt"
    # a long prolog may stand before the first element
    if "<ANNOTATION_DOCUMENT" in top or top.startswith("<?xml"):
        return "eaf"
    if _TEXTGRID.match(top):
        return "textgrid"
    if _CHAT.search(top):
        return "cha"
    if _CUE.search(top):
        return "vtt" if suffix == "vtt" else "srt"
    if _JSON_START.match(top):
        if suffix in ("jsonl", "ndjson"):
            return "jsonl"
        first, _, rest = text.lstrip().partition("\n")
        return "jsonl" if first.rstrip().endswith("}") and _JSON_START.match(rest) else "json"
    if suffix in ("json", "jsonl", "csv", "tsv"):
        return suffix
    from rupturekit.readers.table import delimiter_of

    delimiter = delimiter_of(top)
    if delimiter is not None:
        return "tsv" if delimiter == "\t" else "csv"
    return "text"
