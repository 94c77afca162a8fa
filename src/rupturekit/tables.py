"""Annotated transcripts as tables: pandas frames, CSV, Parquet and JSON lines, and back.

The columns are fixed, because other programs read them. Text cells are verbatim, so that offsets hold;
they are not made safe for spreadsheet formulas.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .annotation import CLIENT_FAMILIES, FAMILIES, SCORES, AnnotatedTranscript, marker_order
from .codebook import Codebook, load_codebook
from .episodes import between, episodes_of
from .segment import flags_of, turn_flags
from .transcript import ROLES, Transcript

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["turn", "marker", "session", "episode"]
Value: TypeAlias = "str | int | float | None"
FILES: Mapping[Level, str] = {"turn": "turns", "marker": "markers", "session": "sessions"}
"""The stem of each table's file."""
OUTPUTS = (
    *(f"{stem}.{suffix}" for stem in FILES.values() for suffix in ("csv", "parquet")),
    "annotations.jsonl",
    "run.json",
)
"""Everything that a run may write."""


def columns(level: Level, codebook: Codebook | None = None) -> dict[str, type]:
    """Return a table's columns, in order, and the type of their values.

    A marker that bears its family's name (``therapist_defensive``) has one column with it, not two.

    Examples
    --------
    >>> list(columns("marker"))[:5]
    ['session_id', 'turn', 'start', 'end', 'text']
    """
    if level == "turn":
        return {
            **{"session_id": str, "turn": int, "speaker": str, "role": str},
            **{"start_s": float, "end_s": float, "text": str},
            **dict.fromkeys(SCORES, float),
            **{"markers": str, "sources": str, "flags": str, "source_turn": str},
        }
    if level == "marker":
        return {
            **{"session_id": str, "turn": int, "start": int, "end": int, "text": str},
            **{"family": str, "marker": str, "score": float, "clarity": int},
            **{"source": str, "rule_id": str},
        }
    if level == "session":
        book = codebook or load_codebook()
        return {
            **{"session_id": str, "path": str, "client_id": str},
            **{"n_turns": int, "n_client_turns": int, "n_therapist_turns": int},
            **{"role_source": str, "role_confidence": float},
            **{
                f"{what}_{family}": int if what == "n" else float
                for family in FAMILIES
                for what in ("n", "per100", "peak", "mean")
            },
            **{f"n_{marker.id}": int for marker in book.markers},
            **{"n_episodes": int, "flags": str},
        }
    if level == "episode":
        return {
            **{"session_id": str, "client_id": str, "episode": int, "first": int, "last": int, "n_client_turns": int},
            **{"type": str, "depth": int, "outcome": str, "repair": str, "defended": str, "returns": str},
        }
    raise ValueError(f"level {level!r}: give turn, marker, session or episode")


def rows(annotated: AnnotatedTranscript, level: Level, codebook: Codebook | None = None) -> Iterator[dict[str, Value]]:
    """Yield the rows of one session, keyed by `columns`.

    Examples
    --------
    >>> from rupturekit import Marker, Turn
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> found = AnnotatedTranscript(session, (Marker(0, 0, 7, "withdrawal", "minimal_response", 0.8),))
    >>> [(r["text"], r["marker"], r["score"]) for r in rows(found, "marker")]
    [('I guess', 'minimal_response', 0.8)]
    """
    if level == "turn":
        return _turn_rows(annotated)
    if level == "marker":
        return _marker_rows(annotated)
    if level == "episode":
        return _episode_rows(annotated)
    return iter([_session_row(annotated, codebook or load_codebook())])


def _turn_rows(annotated: AnnotatedTranscript) -> Iterator[dict[str, Value]]:
    scores = annotated.turn_scores()
    markers: dict[int, set[str]] = {}
    sources: dict[int, set[str]] = {}
    for m in annotated.markers:
        markers.setdefault(m.turn, set()).add(m.marker)
        sources.setdefault(m.turn, set()).add(m.source)
    flags = annotated.transcript.meta.get("turn_flags")
    for turn in annotated.transcript:
        yield {
            "session_id": annotated.transcript.id,
            "turn": turn.index,
            "speaker": turn.speaker,
            "role": turn.role,
            "start_s": turn.start_s,
            "end_s": turn.end_s,
            "text": turn.text,
            **{name: scores.get(turn.index, {}).get(name) for name in SCORES},
            "markers": _joined(markers.get(turn.index, ())),
            "sources": _joined(sources.get(turn.index, ())),
            "flags": _joined(turn_flags(turn) if flags is None else flags[turn.index]),
            "source_turn": ";".join(turn.source_ids),
        }


def _marker_rows(annotated: AnnotatedTranscript) -> Iterator[dict[str, Value]]:
    for m in annotated.markers:
        yield {
            "session_id": annotated.transcript.id,
            "turn": m.turn,
            "start": m.start,
            "end": m.end,
            "text": annotated.text_of(m),
            "family": m.family,
            "marker": m.marker,
            "score": m.score,
            "clarity": m.clarity,
            "source": m.source,
            "rule_id": m.rule_id,
        }


def _episode_rows(annotated: AnnotatedTranscript) -> Iterator[dict[str, Value]]:
    client = [turn.index for turn in annotated.transcript.of("client")]
    for number, episode in enumerate(episodes_of(annotated), 1):
        yield {
            "session_id": annotated.transcript.id,
            "client_id": annotated.transcript.meta.get("client_id"),
            "episode": number,
            "first": episode.first,
            "last": episode.last,
            "n_client_turns": len(between(client, episode.first, episode.last + 1)),
            "type": episode.type,
            "depth": episode.depth,
            "outcome": episode.outcome,
            **{name: ";".join(map(str, getattr(episode, name))) for name in ("repair", "defended", "returns")},
        }


def _session_row(annotated: AnnotatedTranscript, codebook: Codebook) -> dict[str, Value]:
    transcript, meta = annotated.transcript, annotated.transcript.meta
    n_of = {role: sum(1 for _ in transcript.of(role)) for role in ROLES}
    by_turn = annotated.turn_scores()
    row: dict[str, Value] = {
        "session_id": transcript.id,
        "path": meta.get("path"),
        "client_id": meta.get("client_id"),
        "n_turns": len(transcript),
        "n_client_turns": n_of["client"],
        "n_therapist_turns": n_of["therapist"],
        "role_source": meta.get("role_source"),
        "role_confidence": meta.get("role_confidence"),
    }
    for family in FAMILIES:
        n = len({m.turn for m in annotated.markers if m.family == family})
        of = n_of["client" if family in CLIENT_FAMILIES else "therapist"]
        values = [scores[family] for scores in by_turn.values() if family in scores]
        row[f"n_{family}"] = n
        row[f"per100_{family}"] = 100 * n / of if of else None
        row[f"peak_{family}"] = max(values, default=None)
        row[f"mean_{family}"] = sum(values) / len(values) if values else None
    for marker in codebook.markers:
        row[f"n_{marker.id}"] = len({m.turn for m in annotated.markers if m.marker == marker.id})
    row["n_episodes"] = len(annotated.episodes)
    row["flags"] = _joined(flags_of(transcript))
    return row


def _joined(names: Iterable[str]) -> str:
    return ";".join(sorted(set(names)))


def to_frame(
    annotated: Iterable[AnnotatedTranscript], level: Level = "turn", codebook: Codebook | None = None
) -> pd.DataFrame:
    """Return a pandas frame with a row for each turn, marker, session or rupture episode.

    Parameters
    ----------
    annotated : iterable of AnnotatedTranscript
        The sessions.
    level : {"turn", "marker", "session", "episode"}
        What a row stands for. The columns are those of ``turns.csv``, ``markers.csv`` and
        ``sessions.csv``; of an episode the fields of `rupturekit.Episode`, turns separated by semicolons.
    codebook : Codebook, optional
        Whose markers are counted in the session table.

    Raises
    ------
    ValueError
        If there is no such level.

    Examples
    --------
    >>> from rupturekit import Turn
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> to_frame([AnnotatedTranscript(session)])[["session_id", "turn", "role", "text"]].values.tolist()
    [['s1', 0, 'client', 'I guess.']]
    """
    import pandas as pd

    dtypes = {str: "object", int: "Int64", float: "float64"}
    wanted = columns(level, codebook)
    table = [row for a in annotated for row in rows(a, level, codebook)]
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in table], dtype=dtypes[kind]) for name, kind in wanted.items()}
    )


def csv_line(values: Iterable[Value], names: Iterable[str]) -> str:
    r"""Return one CSV line with its line feed: seconds with three decimals, other numbers with four.

    Written here rather than by `csv`, which quotes a lone carriage return in some versions of Python
    only.

    Examples
    --------
    >>> csv_line(["He said \"no\", then left", 2.5, 0.25, None], ["text", "start_s", "score", "rule_id"])
    '"He said ""no"", then left",2.500,0.2500,\n'
    """
    return ",".join(_cell(value, name) for value, name in zip(values, names, strict=True)) + "\n"


def _cell(value: Value, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{3 if name.endswith('_s') else 4}f}"
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


def render(annotated: AnnotatedTranscript, codebook: Codebook, formats: Sequence[str] = ()) -> dict[str, bytes]:
    """Return what a session adds to each output file, in the order that `Writer.write` takes.

    Parquet's part is an Arrow stream.

    Examples
    --------
    >>> parts = render(AnnotatedTranscript(Transcript("s1", ())), load_codebook())
    >>> list(parts), parts["sessions.csv"][:6]
    (['turns.csv', 'markers.csv', 'sessions.csv', 'annotations.jsonl'], b's1,,,0')
    """
    parts = {}
    for level, stem in FILES.items():
        wanted = columns(level, codebook)
        table = list(rows(annotated, level, codebook))
        lines = (csv_line((row[name] for name in wanted), wanted) for row in table)
        parts[f"{stem}.csv"] = "".join(lines).encode()
        if "parquet" in formats:
            parts[f"{stem}.parquet"] = _stream(table, _schema(wanted))
    parts["annotations.jsonl"] = (annotated.to_json() + "\n").encode()
    return {name: parts[name] for name in output_names(formats)}


def output_names(formats: Sequence[str] = ()) -> list[str]:
    """Return the names of the tables that a run writes."""
    suffixes = ["csv", *formats]
    return [f"{stem}.{suffix}" for suffix in suffixes for stem in FILES.values()] + ["annotations.jsonl"]


class Writer:
    """Writes sessions, one at a time, to the tables and to ``annotations.jsonl`` of an open folder.

    Parameters
    ----------
    folder : Path
        Where the files go.
    codebook : Codebook
        Whose markers are counted in the session table.
    formats : sequence of str
        Besides CSV: ``parquet``, which makes a folder of parts for each table.

    Examples
    --------
    >>> import tempfile
    >>> book = load_codebook()
    >>> with tempfile.TemporaryDirectory() as folder, Writer(Path(folder), book) as writer:
    ...     writer.write(render(AnnotatedTranscript(Transcript("s1", ())), book).values())
    ...     sorted(writer.names)
    ['annotations.jsonl', 'markers.csv', 'sessions.csv', 'turns.csv']
    """

    def __init__(self, folder: Path, codebook: Codebook, formats: Sequence[str] = ()) -> None:
        check_formats(formats)
        self.names = output_names(formats)
        self._files: dict[str, Any] = {}
        for level, stem in FILES.items():
            wanted = columns(level, codebook)
            self._files[f"{stem}.csv"] = (folder / f"{stem}.csv").open("wb")
            self._files[f"{stem}.csv"].write(csv_line(wanted, wanted).encode())
            if "parquet" in formats:
                self._files[f"{stem}.parquet"] = _Parquet(folder / f"{stem}.parquet", _schema(wanted))
        self._files["annotations.jsonl"] = (folder / "annotations.jsonl").open("wb")

    def write(self, parts: Iterable[bytes]) -> None:
        """Write one session, as `render` made it."""
        for name, part in zip(self.names, parts, strict=True):
            self._files[name].write(part)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


FORMATS = ("parquet",)
ROWS_TOGETHER = 30_000
"""Rows of a Parquet row group, at least: small enough to hold, large enough to be read fast."""
ROWS_OF_A_PART = 1_000_000
"""Rows of a Parquet part, at least; a session is never split."""


def check_formats(formats: Iterable[str], others: Collection[str] = ()) -> None:
    """Raise ValueError if a format is unknown, or one of tables that needs a package that is not installed."""
    for name in formats:
        if name in others:
            continue
        if name not in FORMATS:
            raise ValueError(f"format {name!r}: give one of {', '.join((*FORMATS, *others))}")
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ValueError("parquet needs the package pyarrow: python -m pip install pyarrow") from None


class _Parquet:
    """A folder of Parquet files, ``part-00000.parquet`` and so on."""

    def __init__(self, folder: Path, schema: Any) -> None:
        folder.mkdir()
        self._folder, self._schema = folder, schema
        self._held: list[Any] = []
        self._writer: Any = None
        self._n_parts = self._n_rows = 0

    def write(self, stream: bytes) -> None:
        import pyarrow

        self._held.append(pyarrow.ipc.open_stream(stream).read_all())
        if sum(map(len, self._held)) >= ROWS_TOGETHER:
            self._flush()
        if self._n_rows >= ROWS_OF_A_PART:
            self._writer.close()
            self._writer, self._n_rows = None, 0

    def _flush(self) -> None:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.concat_tables([self._schema.empty_table(), *self._held])
        if self._writer is None:
            file = self._folder / f"part-{self._n_parts:05}.parquet"
            self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)
            self._n_parts += 1
        self._writer.write_table(table)
        self._held, self._n_rows = [], self._n_rows + len(table)

    def close(self) -> None:
        # a table without rows is a file without rows, so that its columns are known
        if self._held or not self._n_parts:
            self._flush()
        if self._writer is not None:
            self._writer.close()


def _schema(wanted: Mapping[str, type]) -> Any:
    import pyarrow

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    return pyarrow.schema([(name, types[kind]) for name, kind in wanted.items()])


def _stream(table: list[dict[str, Value]], schema: Any) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pyarrow.Table.from_pylist(table, schema=schema))
    return sink.getvalue().to_pybytes()


def load(path: str | PathLike[str]) -> list[AnnotatedTranscript]:
    """Read back what a run wrote to ``annotations.jsonl``, equal to what was written.

    Parameters
    ----------
    path : path-like
        The file, or the folder that it is in.

    Raises
    ------
    ValueError
        If a line is not an annotated transcript; the message says which.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> session = AnnotatedTranscript(Transcript("s1", ()))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Writer(Path(folder), load_codebook()) as writer:
    ...         writer.write(render(session, load_codebook()).values())
    ...     load(folder) == [session]
    True
    """
    return list(sessions_in(path))


def sessions_in(path: str | PathLike[str]) -> Iterator[AnnotatedTranscript]:
    """Yield what `load` returns, holding one session at a time.

    Examples
    --------
    >>> next(sessions_in("no-such-folder"))
    Traceback (most recent call last):
    FileNotFoundError: no-such-folder: no such file or folder
    """
    file = Path(path)
    if file.is_dir():
        file = file / "annotations.jsonl"
        if not file.is_file():
            raise FileNotFoundError(f"{path}: no annotations.jsonl in this folder. Give one that annotate wrote")
    elif not file.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    # words may hold other line separators; only the line feed ends a session
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                session = AnnotatedTranscript.from_json(line.decode())
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
            yield session


class Pseudonyms:
    """Takes the words, names, ids and paths out of what a run writes.

    Parameters
    ----------
    key : bytes
        Ids and paths become keyed hashes: the same in runs with the same key, and not to be guessed
        without it.

    Examples
    --------
    >>> from rupturekit import Turn
    >>> session = Transcript("Smith 3", (Turn(0, "Ann", "client", "I guess."),), meta={"path": "a.txt"})
    >>> hidden = Pseudonyms(b"a secret")(AnnotatedTranscript(session)).transcript
    >>> hidden[0].speaker, hidden[0].text, hidden.id == Pseudonyms(b"a secret").hash("Smith 3")
    ('client 1', '', True)
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def hash(self, value: str) -> str:
        """Return a keyed hash of an id or a path, 16 hexadecimal digits."""
        return hmac.new(self._key, value.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:16]

    def __call__(self, annotated: AnnotatedTranscript) -> AnnotatedTranscript:
        """Return the annotation without words; ``meta["text_withheld"]`` is True in it.

        Offsets, times, scores and rule ids stay; coders become hashes. Of the input's own utterance numbers those stay
        that are numbers. Of ``meta`` only what cannot name anybody stays; a date goes.
        """
        transcript = annotated.transcript
        names: dict[tuple[str, str], str] = {}
        met: Counter[str] = Counter()
        for turn in transcript:
            if (turn.role, turn.speaker) not in names:
                met[turn.role] += 1
                names[turn.role, turn.speaker] = f"{turn.role} {met[turn.role]}"
        turns = tuple(
            replace(
                turn,
                speaker=names[turn.role, turn.speaker],
                text="",
                source_ids=tuple(i if i.isdecimal() else self.hash(i) for i in turn.source_ids),
            )
            for turn in transcript
        )
        meta = {
            **{key: transcript.meta[key] for key in _HARMLESS if key in transcript.meta},
            **{
                key: self.hash(str(transcript.meta[key]))
                for key in ("path", "client_id")
                if transcript.meta.get(key) is not None
            },
            "turn_flags": [list(turn_flags(turn)) for turn in transcript],
            "text_withheld": True,
        }
        return replace(
            annotated,
            transcript=Transcript(self.hash(transcript.id), turns, transcript.language, meta),
            markers=tuple(
                sorted((replace(m, note=None, source=self._of(m.source)) for m in annotated.markers), key=marker_order)
            ),
            coded=tuple(sorted((replace(c, source=self._of(c.source)) for c in annotated.coded), key=astuple)),
        )

    def _of(self, source: str) -> str:
        kind, colon, coder = source.partition(":")
        return f"{kind}:{self.hash(coder)}" if colon else source


_HARMLESS = ("format", "encoding", "role_source", "role_confidence", "numbered", "flags")
