"""What may stand in a DOCX or XLSX, looked at before anything of it is unpacked.

Nothing is ever written out of an archive, so that the names and links in it can lead nowhere.
"""

from __future__ import annotations

import io
import zipfile
from typing import IO
from xml.parsers import expat

from rupturekit.limits import limit
from rupturekit.readers.raw import ReadError, Source


def check(source: Source) -> set[str]:
    """Return the names of the parts.

    Raises
    ------
    ReadError
        If it is no archive, has too many parts, two of one name or more in them than the limits allow (`limits`), or
        if a part declares a document type, where entities stand that grow without end or fetch other files.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            entries = archive.infolist()
            names = {entry.filename for entry in entries}
            _check_size(source, entries)
            # which of the two is read depends on the program
            if len({name.lower() for name in names}) < len(entries):
                raise source.error("two parts in it have the same name", "Open it in its program and save it anew")
            for entry in entries:
                if entry.filename.lower().endswith((".xml", ".rels")) and entry.file_size:
                    with archive.open(entry) as part:
                        if _has_doctype(part):
                            raise source.error(
                                "a part of it declares a document type (DOCTYPE), which Office never does",
                                "Do not open it unless you know where it is from; save it anew in its program",
                            )
            return names
    except ReadError:
        raise
    except Exception:
        # a damaged archive fails in a dozen ways inside zipfile, zlib and expat
        raise source.error("the file is damaged or cut short", "Copy it again or save it anew") from None


def _check_size(source: Source, entries: list[zipfile.ZipInfo]) -> None:
    # zipfile unpacks no more of a part than is declared
    size, most = sum(entry.file_size for entry in entries) >> 20, limit("RUPTUREKIT_UNPACKED_MB")
    if size >= most:
        raise source.error(
            f"unpacked it has {size} MB, and {most} are read",
            "Save it anew, without pictures and empty rows, or raise RUPTUREKIT_UNPACKED_MB in the environment",
        )
    if len(entries) > limit("RUPTUREKIT_PARTS"):
        raise source.error(
            f"it has {len(entries)} parts, and {limit('RUPTUREKIT_PARTS')} are read",
            "Save it anew, or raise RUPTUREKIT_PARTS in the environment",
        )


class _Told(Exception):
    """Whether there is a document type is known."""


def _has_doctype(part: IO[bytes]) -> bool:
    """Read an XML file up to its first element; what cannot be read so far raises."""
    found: list[bool] = []

    def told(is_doctype: bool) -> None:
        found.append(is_doctype)
        raise _Told

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: told(True)
    parser.StartElementHandler = lambda *_: told(False)
    try:
        while data := part.read(1 << 14):
            parser.Parse(data)
        parser.Parse(b"", True)
    except _Told:
        pass
    return found[0]
