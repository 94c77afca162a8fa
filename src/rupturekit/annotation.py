"""What was found in a session: markers, scores, episodes, and how they were found.

A human coding is the same `AnnotatedTranscript` with ``source="coder:<id>"``, so that agreement,
training and display have one input type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .transcript import Transcript, Turn

Family = Literal["confrontation", "withdrawal", "resolution", "therapist_defensive"]
CLIENT_FAMILIES: tuple[Family, ...] = ("confrontation", "withdrawal")
THERAPIST_FAMILIES: tuple[Family, ...] = ("resolution", "therapist_defensive")
FAMILIES: tuple[Family, ...] = CLIENT_FAMILIES + THERAPIST_FAMILIES
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
        Calibrated probability in [0, 1]; None for a human coder.
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
    """A calibrated probability (turn) or a rate (segment, session) of one family.

    ``index`` is the turn's index, the segment's number, or 0 for the session.
    """

    level: Literal["turn", "segment", "session"]
    index: int
    family: str
    value: float


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of session from a first rupture marker to the last one near it.

    ``first`` and ``last`` are turn indices, both inside. ``repair`` lists the therapist turns with a
    resolution marker within the episode or in the few turns after it.
    """

    first: int
    last: int
    repair: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Coded:
    """What one source actually coded: inside without a marker is "none", outside is missing."""

    source: str
    family: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an annotation came about: enough to make it again."""

    version: str
    codebook: str
    rules_sha256: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


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
            return cls(
                Transcript(t["id"], turns, t["language"], t["meta"]),
                tuple(Marker(**m) for m in raw["markers"]),
                tuple(Score(**s) for s in raw["scores"]),
                tuple(Episode(**{**e, "repair": tuple(e["repair"])}) for e in raw["episodes"]),
                tuple(Coded(**c) for c in raw["coded"]),
                Provenance(**raw["provenance"]) if raw["provenance"] else None,
            )
        except json.JSONDecodeError as error:
            # the decoder's own message is safe, its `doc` attribute is not: it holds the words
            raise ValueError(f"not JSON at character {error.pos}: {error.msg}") from None
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an annotated transcript: {type(error).__name__}") from None
