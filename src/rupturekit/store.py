"""What a run has done so far, kept in the output folder until the run is whole.

An SQLite file, so that a run that is killed at any moment leaves either a session or nothing of it. Sessions are
known by what went into them (`key`): a changed file, model or setting has another key and is done anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

FOLDER = ".rupturekit"
"""Name of the folder, within the output folder, that holds the store while a run goes on."""
LOCK = "lock.db"
"""Name of the file, within a hidden folder, that is held open while outputs are written that are to appear whole."""
_OURS = re.compile(r"(?:run|lock|shard-\d+-of-\d+)\.db(?:-\w+)?|unfinished|outputs|replaced|parts|\d+")
"""Names of all that is ever put into a hidden folder."""


class OutputError(ValueError):
    """The output folder cannot be used; says why and what to do."""


def key(*parts: object) -> bytes:
    """Return a hash of what a result depends on.

    Examples
    --------
    >>> key("settings", 1) == key("settings", 1), key("a", "b") == key("ab", "")
    (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=bytes.hex).encode()).digest()


class Store:
    """Results by key, safe against a kill at any moment; one run at a time may hold it.

    Parameters
    ----------
    out : Path
        The output folder.
    shard : tuple of int, optional
        Number and count of this part of a run that is split over several; each part has a file of its own, and a
        run that is not split takes in those of all parts.

    Raises
    ------
    OutputError
        If another run holds the store, it is damaged, or what is there is none of ours (`check_hidden`).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as out:
    ...     store = Store(Path(out))
    ...     store.put(b"k", {"n": 1}, b"rows")
    ...     store.get(b"k"), store.data(b"k"), store.get(b"other")
    ...     store.clear()
    ...     list(Path(out).iterdir())
    ({'n': 1}, b'rows', None)
    []
    """

    def __init__(self, out: Path, shard: tuple[int, int] | None = None) -> None:
        self.folder = hidden_folder(out / FOLDER)
        self._cleared = False
        self._file = self.folder / (f"shard-{shard[0]}-of-{shard[1]}.db" if shard else "run.db")
        self._db = locked(self._file, out)
        try:
            self._db.execute("CREATE TABLE IF NOT EXISTS inputs (key BLOB PRIMARY KEY, ids TEXT)")
            self._db.execute("CREATE TABLE IF NOT EXISTS sessions (key BLOB PRIMARY KEY, told TEXT, data BLOB)")
            self._db.commit()
            for file in [] if shard else sorted(self.folder.glob("shard-*.db")):
                self._take_in(file)
        except BaseException:
            self._db.close()
            raise

    def _take_in(self, file: Path) -> None:
        locked(file, self.folder.parent).close()  # raises if its run goes on
        self._db.execute("ATTACH ? AS part", (str(file),))
        for table in ("inputs", "sessions"):
            self._db.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM part.{table}")
        self._db.commit()
        self._db.execute("DETACH part")
        file.unlink()

    def ids(self, key: bytes) -> list[str | None] | None:
        """Return the ids of a file's sessions, in order; None if it was not read."""
        row = self._db.execute("SELECT ids FROM inputs WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put_ids(self, key: bytes, ids: Sequence[str | None]) -> None:
        """Keep the ids of a file's sessions."""
        self._db.execute("INSERT OR REPLACE INTO inputs VALUES (?, ?)", (key, json.dumps(ids)))

    def get(self, key: bytes) -> dict[str, Any] | None:
        """Return what was told of a session; None if it was not done."""
        row = self._db.execute("SELECT told FROM sessions WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def data(self, key: bytes) -> bytes:
        """Return a done session's part of the outputs."""
        return self._db.execute("SELECT data FROM sessions WHERE key = ?", (key,)).fetchone()[0]

    def put(self, key: bytes, told: dict[str, Any], data: bytes) -> None:
        """Keep a session; it is safe after `commit`."""
        self._db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", (key, json.dumps(told), data))

    def commit(self) -> None:
        """Make what was put safe on the disk."""
        self._db.commit()

    def close(self) -> None:
        """Close the store; it stays for a run that goes on with it, unless nothing is in it."""
        if self._cleared or not self.folder.exists():
            return
        self.commit()
        empty = self._db.execute("SELECT 1 FROM sessions LIMIT 1").fetchone() is None
        self._db.close()
        if empty:
            self._file.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def clear(self) -> None:
        """Close the store and remove it: the run is whole."""
        self._db.close()
        self._cleared = True
        clear(self.folder)


def hidden_folder(folder: Path) -> Path:
    """Make a folder for what is not whole yet, or take the one that a killed run has left.

    Raises
    ------
    OutputError
        If what is there is none of ours (`check_hidden`), or another user's.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        check_hidden(folder)
        # where all share one owner, as on some network disks, a new file tells
        with TemporaryFile(dir=folder) as new:
            if folder.stat().st_uid != os.fstat(new.fileno()).st_uid:
                raise OutputError(
                    f"{folder} belongs to another user, who could change what is written there; nothing in it was "
                    "touched. Move it, or give another place for the output"
                ) from None
    return folder


def check_hidden(folder: Path) -> None:
    """Raise `OutputError` if this is a link, no folder, or has something in it that no run puts there.

    Its name can be foretold: somebody may have put a link there that leads to a folder of somebody else's.
    """
    # a junction of Windows, too, is really somewhere else
    elsewhere = Path(os.path.realpath(folder)) != Path(os.path.realpath(folder.parent), folder.name)
    if elsewhere or not folder.is_dir() or not all(_OURS.fullmatch(path.name) for path in folder.iterdir()):
        raise OutputError(
            f"{folder} is a link, or not made by rupturekit alone; nothing in it was touched. "
            "See whose it is, and move it, or give another place for the output"
        )


def clear(folder: Path) -> None:
    """Remove what a run has put into a hidden folder, but for the lock, and the folder if nothing else is in it."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name != LOCK:
                remove(path)
        folder.rmdir()


def remove(path: Path) -> None:
    """Remove a file, a folder or a link, if it is there; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def locked(file: Path, out: Path) -> sqlite3.Connection:
    """Open a database that no other process can open until it is closed; ``out`` is the output that it is for.

    Raises
    ------
    OutputError
        If another process has it open, it is a link or damaged, or it cannot be written.
    """
    if os.path.lexists(file) and (file.is_symlink() or not file.is_file()):
        raise OutputError(f"{file} is a link, or no file; see whose it is, and move it, or give another output")
    try:
        db = sqlite3.connect(file, timeout=0)
    except sqlite3.Error as error:
        raise OutputError(f"{out}: {error}. See that there is room, and that you may write there") from None
    try:
        # the lock goes with the process, however it ends
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        # words of a session are not to be put down elsewhere
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("BEGIN EXCLUSIVE")
        return db
    except sqlite3.Error as error:
        db.close()
        if "locked" in str(error):
            raise OutputError(f"{out}: another run writes here; wait for it, or give another folder") from None
        if isinstance(error, sqlite3.OperationalError):
            raise OutputError(f"{out}: {error}. See that there is room, and that you may write there") from None
        raise OutputError(f"{file}: {error}; the run cannot go on with it: remove it to begin anew") from None
