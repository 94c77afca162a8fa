"""Codings out to the tools in which people code, and back in; one module for each tool.

A module has two functions. ``write(sessions, folder, codebook, originals)`` fills an empty folder.
``read(path, sessions, codebook)`` yields what stands in one returned file: markers whose source is ``rule``,
``model``, ``coder:<name>`` with the name that the tool knows, or ``coder:`` where the file names nobody.
Whose they are is decided here, once for all tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType

from rupturekit.annotation import (
    MADE_BY,
    AnnotatedTranscript,
    Marker,
    Provenance,
    coded_order,
    made_by,
    marker_order,
    whole,
)
from rupturekit.codebook import Codebook, load_codebook
from rupturekit.folders import whole_folder
from rupturekit.readers.raw import ReadError
from rupturekit.transcript import Transcript

__all__ = ["FORMATS", "export", "import_codes"]

# Which module knows a tool's format.
FORMATS: Mapping[str, str] = {
    "eaf": "elan",
    "textgrid": "praat",
    "label-studio": "label_studio",
    "inception": "inception",
    "refi-qda": "refi_qda",
    "prodigy": "prodigy",
    "convokit": "convokit",
    "docbin": "docbin",
}


def _module(format: str) -> ModuleType:
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: give one of {', '.join(FORMATS)}")
    return import_module(f"rupturekit.exchange.{FORMATS[format]}")


@contextmanager
def _packages(format: str, complaint: type[ValueError]) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise complaint(
            f'{format} needs the package {error.name}: python -m pip install "rupturekit[{format}]"'
        ) from None


def export(
    sessions: Iterable[AnnotatedTranscript],
    format: str,
    out: str | PathLike[str],
    *,
    originals: Mapping[str, Path] | None = None,
    codebook: Codebook | None = None,
) -> list[Path]:
    """Write sessions with their markers for another tool.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
        They are gone through once.
    format : str
        One of `FORMATS`.
    out : path-like
        Folder to make; it must not exist, or be empty.
    originals : mapping, optional
        Session id → the file that it was read from, where the format can write into a copy of it.
    codebook : Codebook, optional
        The names and codes that coders see; the shipped one by default.

    Returns
    -------
    list of Path
        The tool's files, sorted; ``made-by.json`` beside them tells versions, rules and models. Nothing is written if a
        session cannot be.

    Raises
    ------
    ValueError
        If the format is not known or lacks its package, a session has no words, or two have one id.
    FileExistsError
        If ``out`` has something in it.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit import Turn
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> found = AnnotatedTranscript(session, (Marker(0, 0, 7, "withdrawal", "minimal_response", 0.8),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in export([found], "label-studio", Path(folder, "out"))]
    ['config.xml', 'tasks.json']
    """
    module = _module(format)
    out = Path(out)
    made_from: list[Provenance | None] = []
    with whole_folder(out) as parts, _packages(format, ValueError):
        module.write(_checked(sessions, made_from), parts, codebook or load_codebook(), originals or {})
        (parts / MADE_BY).write_text(made_by(made_from), "utf-8", newline="\n")
    return sorted(path for path in out.rglob("*") if path.is_file() and path != out / MADE_BY)


def _checked(
    sessions: Iterable[AnnotatedTranscript], made_from: list[Provenance | None]
) -> Iterator[AnnotatedTranscript]:
    """Pass sessions on, and note where their markers come from."""
    met: set[str] = set()
    for session in sessions:
        id = session.transcript.id
        if session.transcript.meta.get("text_withheld"):
            raise ValueError(f"session {id} has no words (--no-text); a tool for coding needs them")
        if id in met:
            raise ValueError(f"two sessions are called {id}; tools for coding tell them apart by that")
        met.add(id)
        if session.provenance not in made_from:
            made_from.append(session.provenance)
        yield session


def import_codes(
    path: str | PathLike[str],
    format: str,
    sessions: Iterable[Transcript],
    *,
    coder: str | None = None,
    coders: Mapping[str, str] | None = None,
    codebook: Codebook | None = None,
) -> list[AnnotatedTranscript]:
    """Read what people coded in another tool, as codings of the sessions that were written for it.

    Parameters
    ----------
    path : path-like
        A file that came back.
    format : str
        One of `FORMATS`.
    sessions : iterable of Transcript
        The transcripts that were coded. The words in the file must be theirs still.
    coder : str, optional
        Who did the coding: theirs is then what the machine marked and they left standing, and what the file
        gives to nobody. Without it only markers of coders whom the file names are read.
    coders : mapping, optional
        The tool's name of a coder → their id here.
    codebook : Codebook, optional
        Whose codes were used; the shipped one by default.

    Returns
    -------
    list of AnnotatedTranscript
        A coding for each session in the file: markers with source ``coder:<id>``, and in ``coded`` what each coder
        went through (the whole session, unless the file says otherwise).

    Raises
    ------
    ReadError
        If the file is not of that format, its words were edited, it has a code that the codebook lacks, or
        there is nobody whose codes it holds. Nothing of the file is taken then.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit import Turn
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> given = Marker(0, 0, 7, "withdrawal", "minimal_response", clarity=2, source="coder:AB")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = export([AnnotatedTranscript(session, (given,))], "label-studio", Path(folder, "out"))
    ...     (coding,) = import_codes(paths[1], "label-studio", [session])
    >>> coding.markers == (given,)
    True
    """
    module = _module(format)
    path = Path(path)
    by_id = {transcript.id: transcript for transcript in sessions}
    try:
        with _packages(format, ReadError):
            returned: Sequence[AnnotatedTranscript] = list(module.read(path, by_id, codebook or load_codebook()))
    except OSError as error:  # of the folders above it
        raise ReadError(f"{path}: it cannot be opened ({error.strerror}). Check its name and permissions") from None
    whose = _Whose(coder, coders or {})
    found = [coding for session in returned if (coding := whose(session)).coded]
    named = sorted({c.source.removeprefix("coder:") for coding in found for c in coding.coded})
    if coder and named and coder not in named:
        raise ReadError(
            f"{path}: it names {', '.join(named)}, and has nothing for {coder}. Say who is who: coders "
            f"{named[0]}={coder}"
        )
    if not found and coder:
        raise ReadError(f"{path}: nobody coded anything in it. Give what came back, not what was given out")
    if not found:
        raise ReadError(
            f"{path}: no coder is named in it. Give the coder's id, if what stands in it is one coder's work"
        )
    return found


class _Whose:
    """Gives every marker to the coder whose it is, and says what each of them went through."""

    def __init__(self, coder: str | None, coders: Mapping[str, str]) -> None:
        self._coder = coder
        self._coders = coders

    def _source(self, source: str) -> str | None:
        kind, _, name = source.partition(":")
        if kind == "coder" and name:
            return f"coder:{self._coders.get(name, name)}"
        return f"coder:{self._coder}" if self._coder else None

    def __call__(self, session: AnnotatedTranscript) -> AnnotatedTranscript:
        markers: set[Marker] = set()
        for m in session.markers:
            if (source := self._source(m.source)) is not None:
                markers.add(m if source == m.source else replace(m, source=source, score=None, rule_id=None))
        sources = [m.source for m in session.markers] + [c.source for c in session.coded]
        somebody = any(map(_names_somebody, sources))
        nameless = any(not _names_somebody(m.source) for m in session.markers)
        coded = {
            replace(c, source=source)
            for c in session.coded
            # what the machine went through was handed out with the rest: it says nothing of a second person
            if _names_somebody(c.source) or nameless or not somebody
            if (source := self._source(c.source)) is not None
        }
        said = {c.source for c in coded}
        others = {m.source for m in markers} | ({f"coder:{self._coder}"} if self._coder and not said else set())
        coded |= {part for source in others - said for part in whole(session.transcript, source)}
        return AnnotatedTranscript(
            session.transcript,
            tuple(sorted(markers, key=marker_order)),
            coded=tuple(sorted(coded, key=coded_order)),
        )


def _names_somebody(source: str) -> bool:
    return source.startswith("coder:") and source != "coder:"
