"""Annotated transcripts as tables: pandas frames, CSV, Parquet and JSON lines, and back.

The columns are fixed, because other programs read them. Text cells are verbatim, so that offsets hold;
they are not made safe for spreadsheet formulas.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .annotation import CLIENT_FAMILIES, FAMILIES, SCORES, AnnotatedTranscript
from .codebook import Codebook, load_codebook
from .segment import session_flags, turn_flags
from .transcript import ROLES, Transcript

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["turn", "marker", "session"]
Value: TypeAlias = "str | int | float | None"
FILES: Mapping[Level, str] = {"turn": "turns", "marker": "markers", "session": "sessions"}
"""The stem of each table's file."""


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
    raise ValueError(f"level {level!r}: give turn, marker or session")


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
    row["flags"] = _joined(meta["flags"] if "flags" in meta else session_flags(transcript))
    return row


def _joined(names: Iterable[str]) -> str:
    return ";".join(sorted(set(names)))


def to_frame(
    annotated: Iterable[AnnotatedTranscript], level: Level = "turn", codebook: Codebook | None = None
) -> pd.DataFrame:
    """Return a pandas frame with a row for each turn, marker or session.

    Parameters
    ----------
    annotated : iterable of AnnotatedTranscript
        The sessions.
    level : {"turn", "marker", "session"}
        What a row stands for. The columns are those of ``turns.csv``, ``markers.csv`` and
        ``sessions.csv``.
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


class Writer:
    """Writes sessions, one at a time, to the tables and to ``annotations.jsonl`` of an open folder.

    A session is rendered whole before any of it is written: one that cannot be written leaves no trace.

    Parameters
    ----------
    folder : Path
        Where the files go.
    codebook : Codebook
        Whose markers are counted in the session table.
    formats : sequence of str
        Besides CSV: ``parquet``.

    Raises
    ------
    ValueError
        If a format is unknown, or needs a package that is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Writer(Path(folder), load_codebook()) as writer:
    ...     writer.write(AnnotatedTranscript(Transcript("s1", ())))
    ...     sorted(writer.names)
    ['annotations.jsonl', 'markers.csv', 'sessions.csv', 'turns.csv']
    """

    def __init__(self, folder: Path, codebook: Codebook, formats: Sequence[str] = ()) -> None:
        for name in formats:
            if name not in FORMATS:
                raise ValueError(f"format {name!r}: give one of {', '.join(FORMATS)}")
        self._codebook = codebook
        self._columns = {level: columns(level, codebook) for level in FILES}
        self._parquet = _parquet(folder, self._columns) if "parquet" in formats else {}
        self.names = [f"{stem}.csv" for stem in FILES.values()] + ["annotations.jsonl"]
        self._files = {name: (folder / name).open("wb") for name in self.names}
        self.names += [f"{FILES[level]}.parquet" for level in self._parquet]
        for level, wanted in self._columns.items():
            self._files[f"{FILES[level]}.csv"].write(csv_line(wanted, wanted).encode())

    def write(self, annotated: AnnotatedTranscript) -> None:
        """Write one session."""
        table = {level: list(rows(annotated, level, self._codebook)) for level in FILES}
        rendered = {
            f"{FILES[level]}.csv": "".join(
                csv_line((row[name] for name in self._columns[level]), self._columns[level]) for row in table[level]
            ).encode()
            for level in FILES
        }
        rendered["annotations.jsonl"] = (annotated.to_json() + "\n").encode()
        for name, data in rendered.items():
            self._files[name].write(data)
        for level, (writer, schema) in self._parquet.items():
            import pyarrow

            writer.write_table(pyarrow.Table.from_pylist(table[level], schema=schema))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        for writer, _ in self._parquet.values():
            writer.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


FORMATS = ("parquet",)


def _parquet(folder: Path, tables: Mapping[Level, Mapping[str, type]]) -> dict[Level, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("parquet needs the package pyarrow: python -m pip install pyarrow") from None
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    writers: dict[Level, Any] = {}
    for level, wanted in tables.items():
        schema = pyarrow.schema([(name, types[kind]) for name, kind in wanted.items()])
        file = folder / f"{FILES[level]}.parquet"
        writers[level] = pyarrow.parquet.ParquetWriter(file, schema), schema
    return writers


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
    ...         writer.write(session)
    ...     load(folder) == [session]
    True
    """
    file = Path(path)
    if file.is_dir():
        file = file / "annotations.jsonl"
    found = []
    # words may hold other line separators; only the line feed ends a session
    with file.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            try:
                found.append(AnnotatedTranscript.from_json(line))
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
    return found


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

        Offsets, times, scores and rule ids stay. Of the input's own utterance numbers those stay that
        are numbers. Of ``meta`` only what cannot name anybody stays; a date goes.
        """
        transcript = annotated.transcript
        names: dict[tuple[str, str], str] = {}
        for turn in transcript:
            if (turn.role, turn.speaker) not in names:
                number = sum(role == turn.role for role, _ in names) + 1
                names[turn.role, turn.speaker] = f"{turn.role} {number}"
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
            markers=tuple(replace(m, note=None) for m in annotated.markers),
        )


_HARMLESS = ("format", "encoding", "role_source", "role_confidence", "numbered", "flags")
