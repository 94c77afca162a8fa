"""What may stand in an archive, looked at before anything of it is unpacked.

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
    """Return the names of the parts of a DOCX or XLSX.

    Raises
    ------
    ReadError
        If it cannot be `opened`, has more in its parts than the limit allows (`limits`), or if a part declares a
        document type, where entities stand that grow without end or fetch other files.
    """
    archive = opened(source)
    entries = archive.infolist()
    check_size(source, sum(entry.file_size for entry in entries))
    try:
        for entry in entries:
            if entry.filename.lower().endswith((".xml", ".rels")) and entry.file_size:
                with archive.open(entry) as part:
                    if _has_doctype(part):
                        raise source.error(
                            "a part of it declares a document type (DOCTYPE), which Office never does",
                            "Do not open it unless you know where it is from; save it anew in its program",
                        )
        return {entry.filename for entry in entries}
    except ReadError:
        raise
    except Exception:
        raise _damaged(source) from None


def opened(source: Source) -> zipfile.ZipFile:
    """Open an archive.

    Raises
    ------
    ReadError
        If it is none, has too many parts (`limits`), two of one name, or one that is compressed otherwise than usual.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(source.data))
    except Exception:
        # a damaged archive fails in a dozen ways inside zipfile, zlib and expat
        raise _damaged(source) from None
    entries = archive.infolist()
    if len(entries) > limit("RUPTUREKIT_PARTS"):
        raise source.error(
            f"it has {len(entries)} parts, and {limit('RUPTUREKIT_PARTS')} are read",
            "Save it anew, or raise RUPTUREKIT_PARTS in the environment",
        )
    # which of the two is read depends on the program
    if len({entry.filename.lower() for entry in entries}) < len(entries):
        raise source.error("two parts in it have the same name", "Open it in its program and save it anew")
    # of all others (bzip2, LZMA) zipfile unpacks what comes, however little is declared
    if not {entry.compress_type for entry in entries} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise source.error("a part of it is compressed in an unusual way", "Open it in its program and save it anew")
    return archive


def check_size(source: Source, size: int) -> None:
    """Raise the error if parts have more bytes in them than the limit allows (`limits`)."""
    # zipfile unpacks no more of a part than is declared
    if size >> 20 >= (most := limit("RUPTUREKIT_UNPACKED_MB")):
        raise source.error(
            f"unpacked it has {size >> 20} MB, and {most} are read",
            "Save it anew with less in it, or raise RUPTUREKIT_UNPACKED_MB in the environment",
        )


def unpacked(source: Source, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return what is in a part.

    Raises
    ------
    ReadError
        If it is damaged or locked.
    """
    if entry.flag_bits & 1:
        raise source.error("it is protected by a password", "Save it without one")
    try:
        return archive.read(entry)
    except Exception:
        raise _damaged(source) from None


def _damaged(source: Source) -> ReadError:
    return source.error("the file is damaged or cut short", "Copy it again or save it anew")


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
