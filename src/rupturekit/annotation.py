"""What was found in a session: markers, scores, episodes, and how they were found.

A human coding is the same `AnnotatedTranscript` with ``source="coder:<id>"``, so that agreement,
training and display have one input type.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal, get_args

from . import __version__
from .transcript import ROLES, Transcript, Turn

Family = Literal["confrontation", "withdrawal", "resolution", "therapist_defensive"]
CLIENT_FAMILIES: tuple[Family, ...] = ("confrontation", "withdrawal")
THERAPIST_FAMILIES: tuple[Family, ...] = ("resolution", "therapist_defensive")
FAMILIES: tuple[Family, ...] = CLIENT_FAMILIES + THERAPIST_FAMILIES
EpisodeType = Literal["confrontation", "withdrawal", "mixed"]
Outcome = Literal["repaired", "partly", "unrepaired", "escalated"]
SCORES = ("confrontation", "withdrawal", "rupture", "resolution", "therapist_defensive")
"""What a turn is scored for: the four families, and rupture (either client family)."""


@dataclass(frozen=True, slots=True, order=True)
class Marker:
    """A marker on the words that carry it.

    Parameters
    ----------
    turn : int
        Index of the turn.
    start, end : int
        Half-open offsets in Unicode code points within the turn's text.
    family : str
        ``confrontation``, ``withdrawal``, ``resolution`` or ``therapist_defensive``.
    marker : str
        Name in the codebook, such as ``complaint_progress``.
    score : float, optional
        Probability in [0, 1], of a rule its weight; None for a human coder.
    clarity : int, optional
        1 faint, 2 clear, 3 strong.
    source : str
        ``rule``, ``model`` or ``coder:<id>``.
    rule_id : str, optional
        The rule that fired.
    note : str, optional
        A coder's remark, or the rule's reason.
    """

    turn: int
    start: int
    end: int
    family: Family
    marker: str
    score: float | None = None
    clarity: int | None = None
    source: str = "model"
    rule_id: str | None = None
    note: str | None = None


def marker_order(m: Marker) -> tuple[object, ...]:
    """Return what the markers of a coding are sorted by: all that they say, in any order that they come.

    Examples
    --------
    >>> later, sooner = (Marker(0, 0, 7, "withdrawal", "denial", clarity=grade) for grade in (2, None))
    >>> sorted([later, sooner], key=marker_order) == [sooner, later]
    True
    """
    # the fields that may be None do not compare with each other
    rest = m.clarity or 0, m.note or "", m.rule_id or "", m.score or 0.0
    return m.turn, m.start, m.end, m.family, m.marker, m.source, *rest


@dataclass(frozen=True, slots=True)
class Score:
    """How far one family, or ``rupture``, is in a turn, a segment or the session.

    Parameters
    ----------
    level : {"turn", "segment", "session"}
    index : int
        The turn's index, the segment's number, or 0 for the session.
    family : str
        A family, or ``rupture``.
    value : float
        Of a turn a probability in [0, 1]: calibrated with a model, the highest weight of a rule that fired without
        one. Of a segment or session the turns with the family per 100 turns of those who can have it.
    """

    level: Literal["turn", "segment", "session"]
    index: int
    family: str
    value: float


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of session from a first rupture marker to the return of collaboration (`rupturekit.episodes`).

    Parameters
    ----------
    first, last : int
        Turns, both inside.
    repair, defended : tuple of int
        The therapist's answers: turns with a resolution marker, and with defensiveness, within the episode or in the
        few turns after it.
    type : str, optional
        ``confrontation``, ``withdrawal`` or ``mixed``.
    depth : int, optional
        1, a strain that leaves the work standing; 2, the work stalls; 3, the bond or the treatment is in question.
    outcome : str, optional
        ``repaired``, ``partly``, ``unrepaired`` or ``escalated``.
    returns : tuple of int
        The evidence for a return: up to three client turns in own words.
    """

    first: int
    last: int
    repair: tuple[int, ...] = ()
    defended: tuple[int, ...] = ()
    type: EpisodeType | None = None
    depth: int | None = None
    outcome: Outcome | None = None
    returns: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Episode:
        """Return an episode from its fields, lists in place of tuples."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in told.items()
        }
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Coded:
    """What one source actually coded: inside without a marker is "none", outside is missing.

    Parameters
    ----------
    source : str
        As of a marker.
    family : str
        What the turns were read for.
    first, last : int
        Turns, both inside.
    """

    source: str
    family: str
    first: int
    last: int


def coded_order(c: Coded) -> tuple[object, ...]:
    """Return what the ranges of a coding are sorted by.

    Examples
    --------
    >>> ranges = [Coded("coder:AB", family, first, 9) for family in ("withdrawal", "confrontation") for first in (5, 0)]
    >>> [(c.first, c.family) for c in sorted(ranges, key=coded_order)]
    [(0, 'confrontation'), (0, 'withdrawal'), (5, 'confrontation'), (5, 'withdrawal')]
    """
    return c.source, c.first, FAMILIES.index(c.family), c.last


def whole(transcript: Transcript, source: str) -> list[Coded]:
    """Say that a source went through all of a session.

    Examples
    --------
    >>> [c.family for c in whole(Transcript("s", (Turn(0, "C", "client", "Yes."),)), "coder:AB")]
    ['confrontation', 'withdrawal', 'resolution', 'therapist_defensive']
    """
    return [Coded(source, family, 0, len(transcript) - 1) for family in FAMILIES]


def runs(turns: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of turns without a gap.

    Examples
    --------
    >>> list(runs([7, 0, 1, 2]))
    [(0, 2), (7, 7)]
    """
    # within a run, the distance of a turn to its place in the list is the same
    for _, run in groupby(enumerate(sorted(turns)), key=lambda pair: pair[1] - pair[0]):
        numbers = [turn for _, turn in run]
        yield numbers[0], numbers[-1]


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an annotation came about; with the input and the versions of packages, enough to make it again.

    Parameters
    ----------
    version : str
        Of rupturekit.
    codebook : str
        Its name and version.
    rules_sha256 : str, optional
        Hash of the rules, where they took part.
    model, model_sha256 : str, optional
        The model's name, and the hash of its ``config.json``, which has the hashes of its other files.
    thresholds : mapping
        Family or marker → probability from which it counts as present.
    settings : mapping
        What else a program wants to keep; rupturekit itself puts nothing here.
    """

    version: str
    codebook: str
    rules_sha256: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


MADE_BY = "made-by.json"
"""The file that says what outputs without a place for it were made by, and from."""


def made_by(annotations: Iterable[Provenance | None]) -> str:
    """Return what writes an output now, and how the annotations in it came about, as JSON.

    Examples
    --------
    >>> print(made_by([None, Provenance("0.1.0", "3rs-2015", model="withdrawal-en 2")]))  # doctest: +ELLIPSIS
    {
     "rupturekit": "...",
     "annotations": [
      {
       "version": "0.1.0",
       ...
    """
    each = {repr(provenance): asdict(provenance) for provenance in annotations if provenance is not None}
    told = {"rupturekit": __version__, "annotations": [each[one] for one in sorted(each)]}
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class AnnotatedTranscript:
    """A transcript with its markers (sorted), scores and episodes.

    Examples
    --------
    >>> t = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> a = AnnotatedTranscript(t, (Marker(0, 0, 7, "withdrawal", "minimal_response", 0.8),))
    >>> a.text_of(a.markers[0])
    'I guess'
    >>> AnnotatedTranscript.from_json(a.to_json()) == a
    True
    """

    transcript: Transcript
    markers: tuple[Marker, ...] = ()
    scores: tuple[Score, ...] = ()
    episodes: tuple[Episode, ...] = ()
    coded: tuple[Coded, ...] = ()
    provenance: Provenance | None = None

    def text_of(self, marker: Marker) -> str:
        """Return the words that a marker stands on."""
        return self.transcript[marker.turn].text[marker.start : marker.end]

    def markers_of(self, turn: int) -> tuple[Marker, ...]:
        """Return the markers of one turn."""
        return tuple(m for m in self.markers if m.turn == turn)

    def turn_scores(self) -> dict[int, dict[str, float]]:
        """Return ``{turn: {family: probability}}`` for the turns that were scored."""
        table: dict[int, dict[str, float]] = {}
        for score in self.scores:
            if score.level == "turn":
                table.setdefault(score.index, {})[score.family] = score.value
        return table

    def to_json(self) -> str:
        """Return one line of JSON that `from_json` gives back equal."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> AnnotatedTranscript:
        """Read back one line written by `to_json`.

        Raises
        ------
        ValueError
            If the line is not JSON or lacks a field.
        """
        try:
            raw = json.loads(line)
            t = raw["transcript"]
            turns = tuple(Turn(**{**u, "source_ids": tuple(u["source_ids"])}) for u in t["turns"])
            session = cls(
                Transcript(t["id"], turns, t["language"], t["meta"]),
                tuple(Marker(**m) for m in raw["markers"]),
                tuple(Score(**s) for s in raw["scores"]),
                tuple(map(Episode.from_dict, raw["episodes"])),
                tuple(Coded(**c) for c in raw["coded"]),
                Provenance(**raw["provenance"]) if raw["provenance"] else None,
            )
            _check(session)
            if "\\ud" in line.casefold():
                session.to_json().encode()
            return session
        except json.JSONDecodeError as error:
            # the decoder's own message is safe, its `doc` attribute is not: it holds the words
            raise ValueError(f"not JSON at character {error.pos}: {error.msg}") from None
        except UnicodeEncodeError:
            raise ValueError("half a character (a lone surrogate) in it") from None
        except RecursionError:
            raise ValueError("not an annotated transcript: too deep") from None
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not an annotated transcript: {type(error).__name__}") from None


def _check(session: AnnotatedTranscript) -> None:
    """Raise unless everything in a session that was read is of its kind, and within it.

    What is reckoned with or looked up later would otherwise come back, as a word, in an error's message.
    """
    transcript = session.transcript
    n, withheld = len(transcript), transcript.meta.get("text_withheld")
    _require(type(transcript.id) is str and type(transcript.language) is str, "its id or its language")
    for i, turn in enumerate(transcript):
        place = f"turn {i}"
        _require(type(turn.index) is int and turn.index == i and turn.role in ROLES, f"{place}: its index or its role")
        words = (turn.speaker, turn.text, *turn.source_ids)
        _require(all(type(text) is str for text in words), f"{place}: its speaker, its words or its source_ids")
        times = turn.start_s, turn.end_s
        _require(all(time is None or _is_number(time, 0, math.inf) for time in times), f"{place}: its times")
    for i, m in enumerate(session.markers):
        place = f"marker {i}"
        _require(type(m.turn) is int and 0 <= m.turn < n, f"{place}: its turn")
        length = math.inf if withheld else len(transcript[m.turn].text)
        inside = type(m.start) is int and type(m.end) is int and 0 <= m.start < m.end <= length
        _require(inside, f"{place}: its place in the words")
        _require(m.family in FAMILIES and type(m.marker) is str, f"{place}: its family or its name")
        _require(m.score is None or _is_number(m.score, 0, 1), f"{place}: its score")
        _require(m.clarity is None or (type(m.clarity) is int and 1 <= m.clarity <= 3), f"{place}: its clarity")
        texts = m.rule_id, m.note
        _require(type(m.source) is str and all(t is None or type(t) is str for t in texts), f"{place}: its source")
    for i, s in enumerate(session.scores):
        _require(type(s.index) is int and type(s.family) is str, f"score {i}: its index or its family")
        _require(_is_number(s.value, 0, math.inf), f"score {i}: its value")
    for i, e in enumerate(session.episodes):
        turns = (e.first, e.last, *e.repair, *e.defended, *e.returns)
        inside = all(type(turn) is int and 0 <= turn < n for turn in turns)
        _require(inside and e.first <= e.last, f"episode {i}: its turns")
        _require(e.type in (None, *get_args(EpisodeType)), f"episode {i}: its type")
        _require(e.outcome in (None, *get_args(Outcome)), f"episode {i}: its outcome")
        _require(e.depth is None or (type(e.depth) is int and 1 <= e.depth <= 3), f"episode {i}: its depth")
    for i, c in enumerate(session.coded):
        inside = type(c.first) is int and type(c.last) is int and (0 <= c.first <= c.last < n or not n)
        _require(inside and type(c.source) is str and c.family in FAMILIES, f"coded {i}: its source, family or turns")


def _is_number(value: object, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= min(most, sys.float_info.max)  # type: ignore[operator]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"not an annotated transcript: {what}")
