"""Outputs that appear whole, or not at all: a folder, or some files that belong together.

They are filled in a hidden workplace beside where they are to be, and renamed once they are full. The workplace is
locked: a second run that is to write the same is refused, and what a killed run has left is cleared by the next.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import chain, count
from pathlib import Path

from .store import LOCK, OutputError, clear, hidden_folder, locked


def file_stem(id: str, taken: set[str]) -> str:
    """Return the stem of a file that every file system takes, and note it, so that none is given twice."""
    plain = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", id))
    # a name may have 255 bytes, with its suffix and a number
    stem = plain.encode()[:120].decode(errors="ignore").strip("._-") or "session"
    if re.fullmatch(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", stem, re.IGNORECASE):
        stem = f"_{stem}"
    names = chain([stem], (f"{stem}-{n}" for n in count(2)))
    name, key = next((name, key) for name in names if (key := _without_case(name)) not in taken)
    taken.add(key)
    return name


def _without_case(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_folder(out: Path) -> None:
    """Raise FileExistsError if ``out`` is a file, or has something in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not an empty folder; give another")


@contextmanager
def whole_folder(out: Path, replace: bool = False) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``out`` once it is full; nothing is left of it if that fails.

    Parameters
    ----------
    out : Path
        Folder to make; it must not exist, or be empty.
    replace : bool
        Take it in the place of the folder that is there.

    Raises
    ------
    FileExistsError
        If ``out`` is a file, or has something in it that is not to be replaced.
    OutputError
        If it cannot be written, or another run writes it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_folder(Path(folder, "out")) as parts:
    ...         _ = (parts / "a.txt").write_text("a")
    ...     [path.name for path in Path(folder, "out").iterdir()]
    ['a.txt']
    """
    if not (replace and out.is_dir()):
        check_folder(out)
    with _workplace(out) as work:
        parts = work / "parts"
        parts.mkdir()
        yield parts
        if not replace:
            check_folder(out)
        if out.exists():
            out.replace(work / "replaced")
        try:
            parts.replace(out)
        except OSError:
            if (work / "replaced").exists():
                (work / "replaced").replace(out)
            raise


def write_whole(files: Mapping[Path, bytes]) -> list[Path]:
    """Write files of one folder, which is made; they appear whole, the last of them last, or not at all.

    Raises
    ------
    FileExistsError
        If one of them exists: somebody may have worked on it.
    OutputError
        If they cannot be written, or another run writes them.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_whole({Path(folder, "a.csv"): b"a", Path(folder, "b.csv"): b"b"})]
    ['a.csv', 'b.csv']
    """
    *_, last = files
    with _workplace(last) as work:
        if there := [path for path in files if path.exists()]:
            raise FileExistsError(f"{there[0]} exists and may have been worked on; give another name")
        for number, data in enumerate(files.values()):
            with (work / str(number)).open("xb") as file:
                file.write(data)
        done: list[Path] = []
        try:
            for number, path in enumerate(files):
                (work / str(number)).replace(path)
                done.append(path)
        except BaseException:
            for path in done:
                path.unlink(missing_ok=True)
            raise
    return list(files)


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside ``out`` that no other run has, and remove it."""
    # short, whatever the length of the name
    name = sha256(out.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    work = out.parent / f".rupturekit-{name}"
    try:
        lock = locked(hidden_folder(work) / LOCK, out)
        try:
            clear(work)
            yield work
        finally:
            clear(work)
            lock.close()
            with suppress(OSError):
                (work / LOCK).unlink()
                work.rmdir()
    except OSError as error:
        # of an input that cannot be read the error itself says most
        named = Path(str(error.filename)) if error.filename is not None else work
        if error.errno is None or not (named in (out, *out.parents) or work in (named, *named.parents)):
            raise
        raise OutputError(
            f"{out}: {error.strerror}. Nothing was written: mend that, or give another place, and start again"
        ) from None
