"""Folders and files in, one set of output files out: on several cores or machines, and after any interruption.

Every file is read and every session annotated by itself, by the workers of `work`. What comes back is kept in a `Store`
in the output folder at once. When all is done, the outputs are put together from it in the order of the inputs, under
temporary names, and renamed, ``run.json`` last: a folder with a ``run.json`` is a whole run. It holds no clock time and
nothing of the machine, so equal input gives equal files, byte for byte, for any number of workers and after any number
of kills.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import platform
import secrets
import sqlite3
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

from . import __version__, exchange
from .classifier import cores
from .inputs import SUFFIXES, Input, Reading, find
from .pipeline import Annotator, OtherVersion
from .readers import RawSession
from .readers.praat import together
from .store import FOLDER, OutputError, Store, check_hidden, clear, key, remove
from .tables import OUTPUTS, Pseudonyms, Writer, check_formats, sessions_in
from .work import Job, Outcome, Said, Session, SessionOutcome, Stage, Workers, annotate, read

if TYPE_CHECKING:
    from .deidentify import Deidentifier

FOLDERS = ("html", *exchange.FORMATS)
"""Formats that are a folder of their own in the outputs: pages to look at, and what tools for coding read."""
DIED = "the worker that had it died, as when memory runs out; try it alone, on a machine with more"


class Stopped(RuntimeError):
    """The run was given up at its first failure, as asked for; what was done is kept."""


@dataclass(frozen=True, slots=True)
class InputOutcome:
    """What became of one input file and of each session in it."""

    path: str
    outcome: Outcome
    reason: str | None = None
    stage: Stage | None = None
    sessions: tuple[SessionOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every input, in order.

    Attributes
    ----------
    inputs : tuple of InputOutcome
    unused_roles : tuple of int
        Which labels of the given roles nobody bore, from 1.
    kept : int
        Sessions that an earlier run, which did not get to its end, had done already.
    """

    inputs: tuple[InputOutcome, ...]
    unused_roles: tuple[int, ...] = ()
    kept: int = 0


@dataclass(slots=True)
class _Slot:
    """The place of a session in the outputs: its id, its key in the store, and what became of it."""

    id: str
    key: bytes
    outcome: SessionOutcome | None = None


@dataclass(slots=True)
class _File:
    """An input on its way: known by its key, then read, then with a place for each of its sessions."""

    entry: Input
    key: bytes = b""
    ids: list[str | None] | None = None
    raw: list[RawSession] | None = None
    slots: list[_Slot] | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """A file to read, or sessions to annotate."""

    file: _File
    slots: tuple[_Slot, ...] = ()
    work: tuple[tuple[Input, Session], ...] = ()

    @property
    def call(self) -> tuple[Any, ...]:
        return (annotate, self.work) if self.work else (read, self.file.entry)


class _Run:
    """The plan of a run: which file is read when, which session annotated, and what is kept."""

    def __init__(
        self,
        job: Job,
        files: Sequence[_File],
        names: _Names,
        clients: Mapping[str, str],
        store: Store,
        workers: Workers,
    ) -> None:
        self.job, self.names, self.clients, self.store, self.workers = job, names, clients, store, workers
        self.settings = key(_settings(job))
        self.met: set[int] = set()
        self.kept = 0
        # what runs on a GPU is faster for many sessions at a time
        self.at_once = 32 if job.annotator.device else 1
        self._running: dict[Future[Any], _Task] = {}
        self._waiting = deque(file for file in files if not file.entry.skip)

    def go(self, fail_fast: bool, bar: Any) -> None:
        """Do all that is not done already."""
        ahead: deque[_File] = deque()
        todo: deque[_Task] = deque()
        committed, room = time.monotonic(), self.workers.room
        while self._waiting or ahead or todo or self._running:
            while self._waiting and len(ahead) < room and len(todo) < room * self.at_once:
                ahead.append(self._begun(self._waiting.popleft()))
            # ids are given in the order of the inputs, whichever was read first
            while ahead and (tasks := self._tasks(ahead[0])) is not None:
                todo.extend(tasks)
                n = max(len(ahead.popleft().slots or ()), 1)
                bar.total += n - 1
                bar.update(n - len(tasks))
            # where sessions go several at a time, a task waits until it is full
            while todo and len(self._running) < room and (len(todo) >= self.at_once or not (ahead or self._waiting)):
                self._submit(_together([todo.popleft() for _ in range(min(self.at_once, len(todo)))]))
            for task, said in self._arrived():
                failures = self._take(task, said)
                bar.update(len(task.slots))
                if failures and fail_fast:
                    raise Stopped(failures[0])
            if time.monotonic() - committed > SAFE_EVERY:
                self.store.commit()
                committed, room = time.monotonic(), self.workers.room

    def _begun(self, file: _File) -> _File:
        file.key = _content(file.entry, self.settings)
        file.ids = self.store.ids(file.key)
        if file.ids is None:
            self._submit(_Task(file))
        return file

    def _tasks(self, file: _File) -> list[_Task] | None:
        """Return what is to be done for a file whose turn it is; None while it is being read."""
        if file.failed:
            return []
        if file.slots is None and file.ids is not None:
            names = [self.names.give(file.entry, id) for id in file.ids]
            of = [key(file.key, n, name, self.clients.get(name)) for n, name in enumerate(names)]
            file.slots = [_Slot(name, k, self._kept(k)) for name, k in zip(names, of)]
            if file.raw is None and any(slot.outcome is None for slot in file.slots):
                self._submit(_Task(file))
        if file.slots is None:
            return None
        missing = [(n, slot) for n, slot in enumerate(file.slots) if slot.outcome is None]
        if missing and file.raw is None:
            return None
        raw, file.raw = file.raw or [], None
        return [
            _Task(file, (slot,), ((file.entry, Session(raw[n], slot.id, self.clients.get(slot.id))),))
            for n, slot in missing
        ]

    def _kept(self, key: bytes) -> SessionOutcome | None:
        told = self.store.get(key)
        if told is None:
            return None
        self.kept += 1
        self.met.update(told["met"])
        return SessionOutcome(**told["outcome"])

    def _submit(self, task: _Task) -> None:
        self._running[self.workers.submit(*task.call)] = task

    def _arrived(self) -> Iterator[tuple[_Task, Any]]:
        """Wait for results; a task whose worker died is tried once more, alone."""
        if not self._running:
            return
        lost: list[_Task] = []
        done = wait(self._running, return_when=FIRST_COMPLETED).done
        while done:
            for future in done:
                task = self._running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    lost.append(task)
                elif isinstance(error, CancelledError):
                    raise OutputError("the cluster is gone; what was done is kept: start the run again to go on")
                elif isinstance(error, OtherVersion):
                    raise OutputError(str(error))
                else:
                    yield task, error or future.result()
            # with its pool, all that was handed in is lost; one of these is to blame
            done = wait(self._running).done if lost else set()
        if lost:
            self.workers.renew()
        for task in lost:
            try:
                yield task, self.workers.alone(*task.call)
            except BrokenExecutor as error:
                yield task, error

    def _take(self, task: _Task, said: Any) -> list[str]:
        """Put results in their places, and return why those failed that did."""
        died = isinstance(said, BaseException)
        if not task.work:
            file = task.file
            if not died and _content(file.entry, self.settings) != file.key:
                said = "the file changed while it was read; try again"
            if died or isinstance(said, str):
                file.failed, file.slots = DIED if died else said, None
                return [self._told(file.entry, file.failed)]
            file.raw, file.ids = said, [raw.id for raw in said]
            # with --no-text the table's own ids are left nowhere
            if self.job.verbatim:
                self.store.put_ids(file.key, file.ids)
            return []
        if died and len(task.slots) > 1:
            # one of them is to blame
            for slot, what in zip(task.slots, task.work):
                self._submit(_Task(task.file, (slot,), (what,)))
            return []
        if died:
            said = [Said(SessionOutcome(self.job.shown(task.slots[0].id), "failed", DIED, "annotate"))]
        for slot, one in zip(task.slots, said):
            slot.outcome = one.outcome
            if one.outcome.outcome == "done":
                self.met.update(one.met)
                told = {"outcome": asdict(one.outcome), "met": one.met, "sizes": one.sizes}
                self.store.put(slot.key, told, one.data)
        return [self._told(what[0], one.outcome.reason) for what, one in zip(task.work, said) if one.outcome.reason]

    def _told(self, entry: Input, reason: str) -> str:
        return f"{self.job.shown(entry.name)}: {reason}"


def _together(tasks: Sequence[_Task]) -> _Task:
    slots = tuple(slot for task in tasks for slot in task.slots)
    return _Task(tasks[0].file, slots, tuple(what for task in tasks for what in task.work))


def _content(entry: Input, settings: bytes) -> bytes:
    """Return the key of a file: its name, what is in it (and in those that are read with it), and how it is read."""
    digest = hashlib.sha256(settings + entry.name.encode("utf-8", "surrogateescape"))
    try:
        for path in (entry.path, *together(entry.path).values()):
            # a pipe would wait for ever, and a device never end
            if not path.is_file():
                return b""
            digest.update(f"\0{path.name}\0".encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError:
        return b""  # whoever reads it will say why
    return digest.digest()


def _settings(job: Job) -> dict[str, Any]:
    """Return all, besides the input, that the outputs depend on."""
    return {
        "provenance": asdict(job.annotator.provenance),
        "episode": asdict(job.annotator.codebook.episode),
        "device": job.annotator.device,
        "roles": dict(job.reading.roles or {}),
        "columns": dict(job.reading.columns or {}),
        "input_format": job.reading.format,
        "encoding": job.reading.encoding,
        "formats": job.formats,
        "hidden": job.hide.hash("") if job.hide else None,
        "deidentify": job.deidentify.settings if job.deidentify else None,
    }


class _Names:
    """Gives every session an id that no other session of the run has."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._stems = Counter(Path(entry.name).stem for entry in inputs if not entry.skip)
        self._taken: set[str] = set()

    def give(self, entry: Input, id: str | None) -> str:
        path = entry.name if id is None else f"{entry.name}:{id}"
        stem = Path(entry.name).stem
        first = [id] if id is not None else [stem] if self._stems[stem] == 1 else []
        choices = itertools.chain(first, [path], (f"{path}#{number}" for number in itertools.count(2)))
        name = next(choice for choice in choices if choice not in self._taken)
        self._taken.add(name)
        return name


def annotate_folder(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    annotator: Annotator | None = None,
    *,
    reading: Reading | None = None,
    formats: Sequence[str] = (),
    hide: Pseudonyms | None = None,
    deidentify: Deidentifier | None = None,
    overwrite: bool = False,
    workers: int | None = 0,
    client: Any = None,
    shard: tuple[int, int] | None = None,
    fail_fast: bool = False,
    progress: bool = False,
) -> Report:
    """Annotate files and folders into one output folder; go on when one of them fails.

    A run that was interrupted at any moment goes on where it was when it is started again: what it has done is kept
    in the output folder, under ``.rupturekit``, until all is done. The outputs are the same, byte for byte.

    A session is called by its table's id, else by its file's stem. Files that share a stem are called by
    their path (below the folder, where one folder is all that was given); an id that is taken already is
    put behind the path.

    Parameters
    ----------
    paths : path-like, or iterable of them
        Files, folders, tables with many sessions.
    out : path-like
        The output folder; made if need be.
    annotator : Annotator, optional
        Finds the markers; `Annotator()` if not given.
    reading : Reading, optional
        How to read the files, where it is not to be found out.
    formats : sequence of str
        Output formats besides CSV: ``parquet``; ``html`` (pages to look at) and those of `rupturekit.export`, each in a
        folder of its name. Work of coders that such a folder may hold is never replaced.
    hide : Pseudonyms, optional
        Leaves words, names, ids and paths out of every output.
    deidentify : Deidentifier, optional
        Replaces names, places, dates and numbers by placeholders before anything is written; its ``hide`` hashes ids
        that are more than codes, with a key drawn for this run if it has none. No guarantee.
    overwrite : bool
        Whether an earlier run's outputs in ``out`` may be replaced.
    workers : int, optional
        Processes of this machine that share the work, each on one core; 0 for this process alone; None for as many as
        there are cores, where there is enough to do. A script that asks for workers keeps what it runs under
        ``if __name__ == "__main__":``, as `multiprocessing` wants it.
    client : dask.distributed.Client, optional
        A Dask cluster that does the work instead. Its workers see the files under the same paths.
    shard : (int, int), optional
        Do only the first, second … (from 1) of so many parts of the files, and write no outputs yet: a run over the
        same files without ``shard`` takes in what the parts have done, does the rest, and writes them.
    fail_fast : bool
        Stop at the first session that fails.
    progress : bool
        Show a bar with the rate and the time left, if the standard error is a terminal.

    Returns
    -------
    Report
        The same as in ``run.json``; of a shard, what became of its files.

    Raises
    ------
    OutputError
        If the output folder is a file, or has outputs and ``overwrite`` is not given, or another run writes there; if
        the workers have another version of rupturekit or of the model.
    Stopped
        With ``fail_fast``, at a failure; what was done is kept.
    FileNotFoundError
        If an input does not exist.
    ValueError
        If a format is unknown or lacks its package, or no transcript was found.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "s1.txt")
    ...     _ = file.write_text("T: What would help most today?\\nC: No idea, really.\\n")
    ...     (done,) = annotate_folder(file, Path(folder, "out"), Annotator(model=None)).inputs
    ...     done.outcome, done.sessions[0].session_id
    ('done', 's1')
    """
    given = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    out, annotator, reading = Path(out), annotator or Annotator(), reading or Reading()
    if shard and not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard {shard[0]}/{shard[1]}: give the part's number, from 1, and how many there are")
    formats = list(dict.fromkeys(formats))
    check_formats(formats, FOLDERS)
    folders = [name for name in formats if name in FOLDERS]
    formats = [name for name in formats if name not in FOLDERS]
    check_output(out, overwrite, folders)
    if hide and (beside := [name for name in FOLDERS if name not in folders and (out / name).exists()]):
        raise OutputError(f"{out / beside[0]} is of an earlier run, with its words; move it, or give another folder")
    inputs = find(map(Path, given), out)
    if all(entry.skip for entry in inputs):
        known = " ".join(sorted(SUFFIXES))
        raise ValueError(f"no transcript among the {len(inputs)} files found; suffixes known are {known}")
    if workers is None:
        # processes that share a GPU would each load the model there
        workers = 0 if annotator.device else _worth([entry for entry in inputs if not entry.skip])
    if client is not None:
        # a cluster's workers were not started in this folder
        inputs = [replace(entry, path=entry.path.absolute()) for entry in inputs]
    if deidentify and deidentify.hide is None:
        deidentify = replace(deidentify, hide=Pseudonyms(secrets.token_bytes(32)))
    job = Job(annotator, replace(reading, clients=None), tuple(formats), hide, deidentify)
    part = slice(shard[0] - 1, None, shard[1]) if shard else slice(None)
    files = [_File(entry) for entry in inputs[part]]
    made = not out.exists()
    try:
        with closing(Store(out, shard)) as store, closing(Workers(job, workers, client)) as staff:
            run = _Run(job, files, _Names(inputs), reading.clients or {}, store, staff)
            with _bar(len(files), progress) as bar:
                bar.update(sum(file.entry.skip is not None for file in files))
                run.go(fail_fast, bar)
            unused = tuple(n for n in range(1, len(reading.roles or {}) + 1) if n not in run.met)
            report = Report(tuple(_outcome(file, job) for file in files), () if shard else unused, run.kept)
            if not shard:
                _write(out, store, job, files, report, bool(reading.clients), folders)
    except sqlite3.Error as error:
        raise OutputError(f"{out}: {error}. What was done is kept: start the run again to go on") from None
    except OSError as error:
        if error.filename is not None and out not in Path(str(error.filename)).parents:
            raise
        raise OutputError(
            f"{out}: {error.strerror or error}. What was done is kept: mend that, and start the run again to go on"
        ) from None
    finally:
        if made and out.exists() and not any(out.iterdir()):
            out.rmdir()
    return report


SAFE_EVERY = 1.0
"""Seconds after which what was done is made safe on the disk."""
WORTH_WORKERS = 300_000
"""Bytes of transcripts from which workers gain what it costs to start them."""


def _worth(inputs: Iterable[Input]) -> int:
    """Return how many processes are worth starting."""
    size = sum(entry.path.stat().st_size for entry in inputs if entry.path.is_file())
    return cores() if cores() > 1 and size > WORTH_WORKERS else 0


def check_output(out: Path, overwrite: bool, folders: Sequence[str] = ()) -> None:
    """Raise `OutputError` if the outputs, and ``folders`` beside them, cannot or must not be written to this folder."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder with --out")
    if os.path.lexists(out / FOLDER):
        check_hidden(out / FOLDER)
    finished = out / FOLDER / "outputs"
    if finished.is_dir() and not (finished / "run.json").exists():
        # run.json is the last to leave it: that run was whole, and was killed before it had put things away
        clear(out / FOLDER)
    earlier = [name for name in OUTPUTS if (out / name).exists()]
    # without a run.json they are a part of what the run that goes on now had begun to write
    unfinished = (out / FOLDER).is_dir() and "run.json" not in earlier
    if earlier and not overwrite and not unfinished:
        raise OutputError(
            f"{out} has outputs of an earlier run ({', '.join(earlier)}); give another folder, or "
            "--overwrite to replace them"
        )
    for name in folders:
        if (out / name).exists() and not unfinished and not (overwrite and _replaceable(out / name)):
            raise OutputError(_KEEP.format(out / name))


_KEEP = "{} is there already, and somebody's work may be in it; move it, or give another folder"


def _replaceable(folder: Path) -> bool:
    from .report import is_pages

    return folder.name == "html" and is_pages(folder)


def _bar(total: int, shown: bool) -> Any:
    if not shown:
        # even a bar that is disabled starts a thread, and takes a lock that forks of this process share
        return nullcontext(SimpleNamespace(total=total, update=lambda n: None))
    from tqdm import tqdm

    # disable=None shows the bar on a terminal only
    return tqdm(total=total, unit="session", disable=None, smoothing=0.05)


def _outcome(file: _File, job: Job) -> InputOutcome:
    name = job.shown(file.entry.name)
    if file.entry.skip:
        return InputOutcome(name, "skipped", file.entry.skip)
    if file.failed:
        return InputOutcome(name, "failed", file.failed, "read")
    sessions = tuple(slot.outcome for slot in file.slots or () if slot.outcome)
    failed = [session for session in sessions if session.outcome == "failed"]
    if not failed:
        return InputOutcome(name, "done", None, None, sessions)
    several = f"{len(failed)} of {len(sessions)} sessions failed; the first: "
    why = (several if len(sessions) > 1 else "") + str(failed[0].reason)
    return InputOutcome(name, "failed", why, failed[0].stage, sessions)


def _write(
    out: Path,
    store: Store,
    job: Job,
    files: Sequence[_File],
    report: Report,
    clients: bool,
    folders: Sequence[str],
) -> None:
    """Put the outputs together from the store, in the order of the inputs, and remove the store."""
    store.commit()
    for name in ("unfinished", "outputs", "replaced"):
        remove(out / FOLDER / name)
    parts = out / FOLDER / "unfinished"
    parts.mkdir()
    with Writer(parts, job.annotator.codebook, job.formats) as writer:
        for slot in (slot for file in files for slot in file.slots or ()):
            if told := store.get(slot.key):
                data = io.BytesIO(zlib.decompress(store.data(slot.key)))
                writer.write([data.read(size) for size in told["sizes"]])
    _write_folders(parts, job, files, folders)
    head = {
        "rupturekit": __version__,
        "python": platform.python_version(),
        "provenance": asdict(job.annotator.provenance),
        "settings": {
            "rules": job.annotator.provenance.rules_sha256 is not None,
            # the labels of speakers and the names of columns are the input's own words
            "roles": dict(job.reading.roles or {}) if job.verbatim else bool(job.reading.roles),
            "columns": dict(job.reading.columns or {}) if job.verbatim else bool(job.reading.columns),
            "input_format": job.reading.format,
            "encoding": job.reading.encoding,
            "clients": clients,
            "formats": ["csv", "jsonl", *job.formats, *folders],
            "no_text": job.hide is not None,
            "deidentify": job.deidentify.told if job.deidentify else None,
        },
        "counts": {which: sum(o.outcome == which for o in report.inputs) for which in get_args(Outcome)},
        "unused_roles": report.unused_roles,
    }
    with (parts / "run.json").open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}"))
        # an input on each line, and one at a time: there may be a million
        for number, outcome in enumerate(report.inputs):
            file.write(
                (",\n" if number else ',\n "inputs": [\n') + "  " + json.dumps(asdict(outcome), ensure_ascii=False)
            )
        file.write("\n ]\n}\n")
    parts = parts.replace(out / FOLDER / "outputs")
    for name in folders:
        # one that is the same was put there by this run, before it was killed
        if (out / name).exists() and not _replaceable(out / name) and not _same(out / name, parts / name):
            raise OutputError(f"{_KEEP.format(out / name)}. What was done is kept: start the run again to go on")
    # whole, as they come: what is left of a folder that is half deleted looks like somebody's work
    replaced = out / FOLDER / "replaced"
    replaced.mkdir()
    # run.json goes first and comes last: a folder without it is no whole run
    for name in ("run.json", *OUTPUTS, *folders):
        if os.path.lexists(out / name):
            (out / name).replace(replaced / name)
    for name in (*writer.names, *folders, "run.json"):
        (parts / name).replace(out / name)
    store.clear()


def _write_folders(parts: Path, job: Job, files: Sequence[_File], folders: Sequence[str]) -> None:
    """Write the pages, and what is for coders, beside the tables that they are made from."""
    from .report import write

    codebook = job.annotator.codebook
    # an original has the names in it that are to be replaced
    originals = {} if job.deidentify else {slot.id: file.entry.path for file in files for slot in file.slots or ()}
    for name in folders:
        try:
            if name == "html":
                write(sessions_in(parts), parts / name, codebook)
            else:
                exchange.export(sessions_in(parts), name, parts / name, originals=originals, codebook=codebook)
        except ValueError as error:
            raise OutputError(
                f"format {name}: {error}. What was done is kept: mend that, or leave the format out, and start again"
            ) from None


def _same(folder: Path, other: Path) -> bool:
    def files(of: Path) -> list[Path]:
        return sorted(path.relative_to(of) for path in of.rglob("*") if path.is_file())

    return files(folder) == files(other) and all(
        (folder / path).read_bytes() == (other / path).read_bytes() for path in files(folder)
    )
