"""What is written of a marker, and how a file that comes back is held against the transcripts it was written from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Marker
from rupturekit.codebook import Codebook, CodebookMarker
from rupturekit.readers.raw import ReadError
from rupturekit.transcript import Transcript

# A code or a name; anything else in the place of one may be anybody's words, and is not repeated.
_CODE = re.compile(r"[A-Za-z]{1,3}\d{1,3}|[A-Za-z]+(?:_[A-Za-z]+)+")
SAID = ("score", "clarity", "source", "rule_id", "note")
"""What a marker says besides its name and its words."""


def name_of(marker: str, codebook: Codebook) -> str:
    """Return a marker as coders see it.

    Examples
    --------
    >>> from rupturekit.codebook import load_codebook
    >>> name_of("complaint_progress", load_codebook())
    'C5 complaint_progress'
    """
    return f"{codebook[marker].code} {marker}"


def said(marker: Marker) -> dict[str, Any]:
    """Return what a marker says besides its name and its words, without what it does not say.

    Examples
    --------
    >>> said(Marker(4, 0, 7, "withdrawal", "denial", clarity=2, source="coder:AB"))
    {'clarity': 2, 'source': 'coder:AB'}
    """
    return {name: value for name in SAID if (value := getattr(marker, name)) is not None}


def coders_of(session: AnnotatedTranscript) -> list[str]:
    """Return the sources of the people who coded a session, whether or not they marked anything, sorted.

    Examples
    --------
    >>> coders_of(AnnotatedTranscript(Transcript("s", ()), coded=(Coded("coder:AB", "withdrawal", 0, 9),)))
    ['coder:AB']
    """
    sources = {m.source for m in session.markers} | {c.source for c in session.coded}
    return sorted(source for source in sources if source.startswith("coder:"))


class Returned:
    """Holds a returned file against the transcripts that were written for it.

    What does not fit is a `ReadError`, which names the place and never quotes talk.

    Parameters
    ----------
    path : Path
        The file.
    sessions : mapping
        Session id → its transcript.
    codebook : Codebook
        Whose codes were used.
    """

    def __init__(self, path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> None:
        self.path = path
        self.sessions = sessions
        self.codebook = codebook

    def error(self, found: str, todo: str) -> ReadError:
        """Make the error for this file."""
        return ReadError(f"{self.path}: {found}. {todo}")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Read a part of the file; what is missing in it, or of another kind than expected, is an error."""
        try:
            yield
        except ReadError:
            raise
        except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            # the parser's own message may quote the file
            raise self.error(
                f"{name} is not as the tool writes it ({type(error).__name__})", "Export it anew"
            ) from None

    def json(self, data: bytes | str, name: str) -> Any:
        """Return what a piece of JSON says."""
        try:
            # given bytes, json lets halves of surrogate pairs pass
            text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
            told = json.loads(text)
            if "\\ud" in text.casefold():
                # where one is spelled out: nothing can be written with it
                json.dumps(told, ensure_ascii=False).encode()
            return told
        except (ValueError, RecursionError):
            raise self.error(f"{name} is not valid JSON", "Export or copy the file again") from None

    def session(self, id: object) -> Transcript:
        """Return the transcript of a session by its id; of a file that names none (None), the one it must be."""
        if id is None:
            id = next(iter(self.sessions)) if len(self.sessions) == 1 else self.path.stem
        if not isinstance(id, str):
            raise self.error("a session's id in it is not a text", "Export it anew")
        if id not in self.sessions:
            raise self.error(
                f"it has a session {id[:80]!r}, which is not among the transcripts given",
                "Give the transcripts that were coded; without a session's id, the file's name must be it",
            )
        return self.sessions[id]

    def check_words(self, transcript: Transcript, turn: object, words: object) -> int:
        """Return the number of a turn, if it is one of the session's and its words are still the transcript's."""
        if not isinstance(turn, int) or isinstance(turn, bool) or not 0 <= turn < len(transcript):
            raise self.error(
                f"session {transcript.id}: a turn's number is missing or not one of the transcript's",
                "Give the transcripts that were coded",
            )
        if words != transcript[turn].text:
            raise self.error(
                f"session {transcript.id}, turn {turn}: the words are not those of the transcript",
                "They must not be edited, because codes are found by their place in them",
            )
        return turn

    def entry(self, label: object, place: str) -> CodebookMarker:
        """Return the marker that a label names: its code, with or without more after it, or its name."""
        first = label.split(maxsplit=1)[0] if isinstance(label, str) and label.strip() else ""
        for marker in self.codebook.markers:
            if first.casefold() in (marker.code.casefold(), marker.id.casefold()):
                return marker
        what = f"the code {first}" if _CODE.fullmatch(first) else "a label"
        raise self.error(
            f"{place}: {what} is not in the codebook {self.codebook.name} {self.codebook.version}",
            "Correct it, or give the codebook that it is from",
        )

    def marker(
        self,
        transcript: Transcript,
        turn: int,
        start: object,
        end: object,
        label: object,
        source: str,
        told: Mapping[str, Any],
    ) -> Marker:
        """Return the marker that a label on words is.

        A score and a rule belong to the source that gave them: in the hands of another they are left out.
        """
        place, text = f"session {transcript.id}, turn {turn}", transcript[turn].text
        entry = self.entry(label, place)
        place += f", code {entry.code}"
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise self.error(
                f"{place}: the code does not stand on words of the turn, which has {len(text)} characters",
                "Correct or delete that code",
            )
        if transcript[turn].role != entry.speaker:
            raise self.error(
                f"{place}: it is a code for the {entry.speaker}, and the turn is not the {entry.speaker}'s",
                "Correct or delete that code",
            )
        score, clarity, rule_id, note = (told.get(name) for name in ("score", "clarity", "rule_id", "note"))
        if clarity is not None and (type(clarity) is not int or clarity not in (1, 2, 3)):
            raise self.error(f"{place}: its clarity is not 1, 2 or 3", "Correct it or leave it out")
        if told.get("source", source) != source:
            score = rule_id = None
        with self.part(place):
            if not isinstance(rule_id, str | None) or not isinstance(note, str | None):
                raise TypeError
            if score is not None and not 0 <= (score := float(score)) <= 1:
                raise ValueError
        return Marker(turn, start, end, entry.parent, entry.id, score, clarity, source, rule_id, note)

    def source(self, transcript: Transcript, turn: int, told: Mapping[str, Any]) -> str:
        """Return whose a marker says that it is; nobody's if it says nothing."""
        source = told.get("source") or "coder:"
        if source not in ("rule", "model") and not source.startswith("coder:"):
            raise self.error(
                f"session {transcript.id}, turn {turn}: a marker's source is neither rule nor model nor coder:<name>",
                "Correct it or leave it out",
            )
        return str(source)

    def coded(self, transcript: Transcript, rows: Iterable[Any]) -> list[Coded]:
        """Return who went through what, from rows of source, family, first and last turn."""
        found = []
        with self.part(f"session {transcript.id}: what was coded"):
            for source, family, first, last in rows:
                if (
                    type(first) is not int
                    or type(last) is not int
                    or family not in FAMILIES
                    or not source.startswith("coder:")
                    or not 0 <= first <= last < len(transcript)
                ):
                    raise ValueError
                found.append(Coded(source, family, first, last))
        return found
