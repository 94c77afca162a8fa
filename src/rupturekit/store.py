"""What a run has done so far, kept in the output folder until the run is whole.

An SQLite file, so that a run that is killed at any moment leaves either a session or nothing of it. Sessions are
known by what went into them (`key`): a changed file, model or setting has another key and is done anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = ".rupturekit"
"""Name of the folder, within the output folder, that holds the store while a run goes on."""


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
        If another run holds the store, or it is damaged.

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
        self.folder = out / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
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
        if not self.folder.exists():
            return  # cleared
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
        shutil.rmtree(self.folder, ignore_errors=True)


def locked(file: Path, out: Path) -> sqlite3.Connection:
    """Open a database that no other process can open until it is closed; ``out`` is the output that it is for.

    Raises
    ------
    OutputError
        If another process has it open, it is damaged, or it cannot be written.
    """
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
