"""Bytes → text, for files whose encoding nobody wrote down."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace

from rupturekit.readers.raw import Source

_BOMS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# \x15 sets off the times in CHAT
_CONTROL = re.compile("[\x00-\x08\x0e-\x14\x16-\x1b\x7f]")
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
# What words have in the wrong one of Windows-1252 and Mac Roman: a capital or sign within or after small letters
# ("donÕt", "cafŽ", "cafÈ"), a capital alone after a full stop ("fine.Ó"), or Windows' apostrophe ("donít").
_ODD = re.compile(r"[a-z][À-ÖØ-ÞŒŠŽŸˆ‰¸˙]|[.,?!][À-ÖØ-ÞŒŠŽŸ](?!\w)|[a-z]í(?:[dmst]|ll|re|ve)\b")


def decode(source: Source, encoding: str | None = None) -> Source:
    """Return the source with its text.

    Without a given encoding these are tried, in this order: a byte-order mark; UTF-16 without one,
    told by where the zero bytes lie; UTF-8; Windows-1252 where most bytes are ASCII, or Mac Roman
    if words look wrong in that and less so in this; at last what ``charset-normalizer`` takes it for.

    Raises
    ------
    ReadError
        If the bytes are not text, or not in the encoding that was given.
    """
    name = encoding or _guess(source.data)
    if name is None:
        raise source.error(
            "this is not text and not a file type that is read",
            "Check that it is a transcript; save it as TXT, DOCX, CSV or VTT",
        )
    try:
        text = source.data.decode(name)
    except LookupError:
        raise source.error(f"no encoding is called {name!r}", "Try utf-8 or cp1252") from None
    except UnicodeError as error:
        # The error object carries the whole file; only the place goes on.
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = source.data.count(b"\n", 0, at) + 1
        raise source.error(f"the bytes are not {name}", "Give the file's encoding or save it as UTF-8", line) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    controls = len(_CONTROL.findall(text))
    if "\x00" in text or controls > 0.005 * len(text) + 2:
        raise source.error(
            "this looks like binary data, not like text",
            "Check that it is a transcript; save it as TXT, DOCX, CSV or VTT",
        )
    return replace(source, text=text, encoding=codecs.lookup(name).name)


def _guess(data: bytes) -> str | None:
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    if 0 in data:
        # In UTF-16, spaces and line ends alone give zero bytes, all on one side.
        even, odd = data[::2].count(0), data[1::2].count(0)
        wide = "utf-16-le" if odd > even else "utf-16-be"
        if max(even, odd) < 20 * min(even, odd) or even + odd < 0.02 * len(data):
            return None
        try:
            data.decode(wide)
            return wide
        except UnicodeDecodeError:
            return None
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        pass
    # Western text is mostly ASCII; Cyrillic, Greek or Hebrew in one byte a letter is not.
    if len(_HIGH_BYTE.findall(data)) < 0.3 * len(data):
        if _odd(data, "cp1252") > _odd(data, "mac-roman"):
            return "mac-roman"
        try:
            data.decode("cp1252")
            return "cp1252"
        except UnicodeDecodeError:
            pass
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000]).best()
    return best.encoding if best else None


def _odd(data: bytes, name: str) -> int:
    return sum(1 for _ in _ODD.finditer(data.decode(name, "replace")))
