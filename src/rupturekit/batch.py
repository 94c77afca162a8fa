"""Folders and files in, one set of output files out; what went wrong with which input is written down.

Sessions are annotated one at a time and written as they come. Everything is written under temporary
names and renamed at the end, ``run.json`` last: a folder with a ``run.json`` is a whole run. It holds no
clock time and nothing of the machine, so equal input gives equal files, byte for byte.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from . import __version__, exchange
from .annotation import FAMILIES
from .pipeline import Annotator
from .readers import RawSession, ReadError, read_sessions
from .readers.encoding import decode
from .readers.praat import together
from .readers.raw import Source
from .roles import speaker_key
from .score import present
from .segment import RoleError, segment
from .tables import FILES, FORMATS, Pseudonyms, Writer

SUFFIXES = frozenset(".txt .text .docx .vtt .srt .csv .tsv .xlsx .json .jsonl .ndjson .eaf .textgrid .cha".split())
"""Suffixes of transcripts; in a folder, files with others are skipped. A file given by name is read."""
OUTPUTS = (
    *(f"{stem}.{suffix}" for stem in FILES.values() for suffix in ("csv", *FORMATS)),
    "annotations.jsonl",
    "run.json",
)

Outcome = Literal["done", "skipped", "failed"]


class OutputError(ValueError):
    """The output folder cannot be used; says why and what to do."""


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
        return read_sessions(path, format=self.format, columns=self.columns, encoding=self.encoding)

    def roles_in(self, raw: RawSession) -> dict[str, str]:
        """Return the given roles of those who speak in a session: one map serves many sessions."""
        speakers = {speaker_key(utterance.speaker) for utterance in raw.utterances}
        return {label: role for label, role in (self.roles or {}).items() if speaker_key(label) in speakers}


@dataclass(frozen=True, slots=True)
class Input:
    """A file to read: where it is, how it is called in the output, and why it is skipped if it is."""

    path: Path
    name: str
    skip: str | None = None


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What became of one session, with what was found: family → number of turns."""

    session_id: str
    outcome: Outcome
    reason: str | None = None
    n_turns: int = 0
    found: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputOutcome:
    """What became of one input file and of each session in it."""

    path: str
    outcome: Outcome
    reason: str | None = None
    sessions: tuple[SessionOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every input, in order, and which labels of the given roles nobody bore (from 1)."""

    inputs: tuple[InputOutcome, ...]
    unused_roles: tuple[int, ...] = ()


def read_clients(path: Path) -> dict[str, str]:
    """Read which client each session is of: a CSV with the columns ``session_id`` and ``client_id``.

    Raises
    ------
    ReadError
        If a column is missing, a cell is empty, or a session has two clients.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "clients.csv")
    ...     _ = file.write_text("session_id;client_id\\ns01;K1\\ns02;K1\\n")
    ...     read_clients(file)
    {'s01': 'K1', 's02': 'K1'}
    """
    source = decode(Source(path, path.read_bytes()))
    lines = source.text.splitlines()
    top = lines[0] if lines else ""
    rows = csv.reader(lines, delimiter=max(",;\t", key=top.count))
    header = [name.strip().casefold() for name in next(rows, [])]
    if missing := [name for name in ("session_id", "client_id") if name not in header]:
        raise source.error(f"no column {' and no '.join(missing)}", "Give both in the first row", 1)
    clients: dict[str, str] = {}
    for row in (row for row in rows if any(row)):
        cells = dict(zip(header, map(str.strip, row)))
        session, client = cells.get("session_id", ""), cells.get("client_id", "")
        if not (session and client):
            raise source.error("a session or a client is missing", "Fill in the row, or take it out", rows.line_num)
        if clients.setdefault(session, client) != client:
            raise source.error("this session has another client above", "Give each session once", rows.line_num)
    return clients


def find(paths: Iterable[Path], out: Path) -> list[Input]:
    """List the files to annotate, in a stable order, each once.

    Folders are searched with their subfolders. Files there that are no transcripts are listed with the
    reason why they are skipped; hidden folders and the outputs of this and earlier runs are passed over.
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
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.txt", "a.vtt", "scan.png", "README.txt"):
    ...         _ = Path(folder, name).write_text("T: Hello.")
    ...     [(i.name, i.skip) for i in find([Path(folder)], Path(folder, "out"))]
    [('README.txt', 'a README'), ('a.vtt', None), ('b.txt', None),
     ('scan.png', 'no transcript by its suffix; give the file by name to read it')]
    """
    paths = list(paths)
    found: dict[Path, Input] = {}
    for path in paths:
        if path.is_dir():
            for file in _walk(path, out.resolve()):
                name = (file if len(paths) > 1 else file.relative_to(path)).as_posix()
                found.setdefault(file.resolve(), Input(file, name, _why_not(file)))
        elif path.exists():
            # a file given by name is read, whatever it is called
            found[path.resolve()] = Input(path, path.as_posix())
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    read_with: set[Path] = set()
    for real, entry in found.items():
        if real in read_with:
            found[real] = replace(entry, skip="read together with the other speaker's file")
        elif not entry.skip:
            read_with |= {file.resolve() for file in together(entry.path).values()}
    return list(found.values())


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    files = []
    for here, folders, names in os.walk(folder):
        ours = (*OUTPUTS, *exchange.FORMATS) if _is_output(Path(here), out) else ()
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
    if file.suffix.lower() not in SUFFIXES:
        return "no transcript by its suffix; give the file by name to read it"
    if file.is_dir():
        return "a folder, in spite of its suffix"
    return None


def annotate(
    paths: Iterable[Path],
    out: Path,
    annotator: Annotator,
    *,
    reading: Reading | None = None,
    formats: Sequence[str] = (),
    hide: Pseudonyms | None = None,
    overwrite: bool = False,
    progress: Callable[[Sequence[Input]], Iterable[Input]] = lambda inputs: inputs,
) -> Report:
    """Annotate files and folders into one output folder; go on when one of them fails.

    A session is called by its table's id, else by its file's stem. Files that share a stem are called by
    their path (below the folder, where one folder is all that was given); an id that is taken already is
    put behind the path.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders, tables with many sessions.
    out : Path
        The output folder; made if need be.
    annotator : Annotator
        Finds the markers.
    reading : Reading, optional
        How to read the files, where it is not to be found out.
    formats : sequence of str
        Output formats besides CSV.
    hide : Pseudonyms, optional
        Leaves words, names, ids and paths out of every output.
    overwrite : bool
        Whether an earlier run's outputs in ``out`` may be replaced.
    progress : callable, optional
        Wraps the list of inputs, as `tqdm.tqdm` does.

    Returns
    -------
    Report
        The same as in ``run.json``.

    Raises
    ------
    OutputError
        If the output folder is a file, or has outputs and ``overwrite`` is not given.
    FileNotFoundError
        If an input does not exist.
    ValueError
        If a format is unknown or lacks its package, or no transcript was found.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "s1.txt")
    ...     _ = file.write_text("T: What would help most today?\\nC: No idea, really.\\n")
    ...     (done,) = annotate([file], Path(folder, "out"), Annotator(model=None)).inputs
    ...     done.outcome, done.sessions[0].session_id
    ('done', 's1')
    """
    reading = reading or Reading()
    check_output(out, overwrite)
    inputs = find(paths, out)
    if all(entry.skip for entry in inputs):
        known = " ".join(sorted(SUFFIXES))
        raise ValueError(f"no transcript among the {len(inputs)} files found; suffixes known are {known}")
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(prefix=".rupturekit-", dir=out))
    try:
        with Writer(parts, annotator.codebook, formats) as writer:
            run = _Run(annotator, reading, writer, _Names(inputs), hide)
            outcomes = tuple(run.do(entry) for entry in progress(inputs))
        labels = enumerate(reading.roles or {}, 1)
        report = Report(outcomes, tuple(n for n, label in labels if label not in run.met))
        content = {
            "rupturekit": __version__,
            "python": platform.python_version(),
            "provenance": asdict(annotator.provenance),
            "settings": {
                "rules": annotator.provenance.rules_sha256 is not None,
                # the labels of speakers and the names of columns are the input's own words
                "roles": dict(reading.roles or {}) if hide is None else bool(reading.roles),
                "columns": dict(reading.columns or {}) if hide is None else bool(reading.columns),
                "input_format": reading.format,
                "encoding": reading.encoding,
                "clients": bool(reading.clients),
                "formats": ["csv", "jsonl", *formats],
                "no_text": hide is not None,
            },
            "counts": {which: sum(o.outcome == which for o in outcomes) for which in get_args(Outcome)},
            **asdict(report),
        }
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (parts / "run.json").write_bytes(text.encode("utf-8", "backslashreplace"))
        # run.json goes first and comes last: a folder without it is no whole run
        for name in ("run.json", *OUTPUTS):
            (out / name).unlink(missing_ok=True)
        for name in (*writer.names, "run.json"):
            (parts / name).replace(out / name)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()
    return report


def check_output(out: Path, overwrite: bool) -> None:
    """Raise `OutputError` if the outputs cannot or must not be written to this folder."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder with --out")
    earlier = [name for name in OUTPUTS if (out / name).exists()]
    if earlier and not overwrite:
        raise OutputError(
            f"{out} has outputs of an earlier run ({', '.join(earlier)}); give another folder, or "
            "--overwrite to replace them"
        )


class _Names:
    """Gives every session an id that no other session of the run has."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._stems = Counter(entry.path.stem for entry in inputs if not entry.skip)
        self._taken: set[str] = set()

    def give(self, entry: Input, id: str | None) -> str:
        path = entry.name if id is None else f"{entry.name}:{id}"
        choices = [path, *(f"{path}#{number}" for number in range(2, len(self._taken) + 3))]
        if id is not None:
            choices.insert(0, id)
        elif self._stems[entry.path.stem] == 1:
            choices.insert(0, entry.path.stem)
        name = next(choice for choice in choices if choice not in self._taken)
        self._taken.add(name)
        return name


@dataclass(frozen=True, slots=True)
class _Run:
    annotator: Annotator
    reading: Reading
    writer: Writer
    names: _Names
    hide: Pseudonyms | None
    met: set[str] = field(default_factory=set)

    def do(self, entry: Input) -> InputOutcome:
        """Annotate one file; whatever happens is in the outcome."""
        name = self._shown(entry.name)
        if entry.skip:
            return InputOutcome(name, "skipped", entry.skip)
        try:
            raw_sessions = self.reading.sessions(entry.path)
        except Exception as error:
            return InputOutcome(name, "failed", self._why(error, entry))
        sessions = tuple(self._session(entry, raw) for raw in raw_sessions)
        failed = [session for session in sessions if session.outcome == "failed"]
        if not failed:
            return InputOutcome(name, "done", None, sessions)
        several = f"{len(failed)} of {len(sessions)} sessions failed; the first: "
        why = (several if len(sessions) > 1 else "") + str(failed[0].reason)
        return InputOutcome(name, "failed", why, sessions)

    def _session(self, entry: Input, raw: RawSession) -> SessionOutcome:
        id = self.names.give(entry, raw.id)
        try:
            roles = self.reading.roles_in(raw)
            self.met.update(roles)
            transcript = segment(raw, id=id, roles=roles, path=entry.name)
            if client := (self.reading.clients or {}).get(id):
                transcript = replace(transcript, meta={**transcript.meta, "client_id": client})
            annotated = self.annotator(transcript)
            self.writer.write(self.hide(annotated) if self.hide else annotated)
        except Exception as error:
            also = {id, raw.id, *(u.speaker for u in raw.utterances)}
            return SessionOutcome(self._shown(id), "failed", self._why(error, entry, also))
        turns = present(annotated.markers)
        found: dict[str, int] = {family: len(turns[family]) for family in FAMILIES}
        return SessionOutcome(self._shown(id), "done", None, len(transcript), found)

    def _shown(self, text: str) -> str:
        return self.hide.hash(text) if self.hide else text

    def _why(self, error: Exception, entry: Input, also: Iterable[str | None] = ()) -> str:
        path = entry.path
        # which file it is stands beside the reason already
        text = reason(error).removeprefix(str(path)).lstrip(":, ")
        if self.hide is None:
            return text
        files = [path, *together(path).values()]
        names = {entry.name, *also, *(name for f in files for name in (str(f), f.as_posix(), f.name, f.stem))}
        # in one pass and the longest first, so that no part of a name is left standing
        pattern = "|".join(re.escape(str(n)) for n in sorted(names - {None, ""}, key=lambda n: -len(str(n))))
        return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda m: self._shown(m[0]), text)


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
