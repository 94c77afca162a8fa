"""Rule markers and the model's output → the markers that are written, and scores at three levels.

How the two are put together
----------------------------
Each client turn is judged for confrontation and withdrawal, each therapist turn for resolution and
therapist defensiveness; turns of others are not. A family is present on a turn when its probability
reaches the family's threshold, and then, and only then, a marker of it is written there:

* With a model, the probability is the calibrated one, in which the rules already have their say. At or
  above the threshold, the rules' markers of that family are kept and the model's are added: those that
  reach their own thresholds or, when that leaves the turn without any, the likeliest. Below it, a rule's
  marker is dropped (the model has overruled the rule), except when the rule's weight is at least
  `TRUSTED`: then it stays, and the probability is raised to the threshold.
  A sure rule that found the family only denied, reported, hypothetical, past or about others counts against
  it in the calibrated probability.
* Without a model, the probability is the highest weight of a rule that fired, and 0.0 where none did.
  That is what a rule's author expected of it, not a calibrated probability: 0.0 means "no rule fired", not
  "certainly absent".

Rupture is "either client family": the model's own calibrated probability, never below either family's;
without a model, ``1 - (1 - c)(1 - w)``. A turn is a rupture when either family is present.

A rule marker's score is the rule's weight; a model marker's score is its calibrated probability. Where
rules agree on the marker of a turn, the one with the highest weight is written. Probabilities are rounded
to four decimals before they meet a threshold, so every output file holds the numbers that decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from .annotation import (
    CLIENT_FAMILIES,
    FAMILIES,
    SCORES,
    THERAPIST_FAMILIES,
    Family,
    Marker,
    Score,
)
from .transcript import Transcript

if TYPE_CHECKING:
    from .codebook import Codebook

TRUSTED = 0.9
"""Weight from which a rule's marker stays although the model puts the family below its threshold."""
SEGMENT_S = 300.0
SEGMENT_TURNS = 20

FAMILIES_OF: Mapping[str, tuple[Family, ...]] = {
    "client": CLIENT_FAMILIES,
    "therapist": THERAPIST_FAMILIES,
    "other": (),
}
ROLE_OF = {name: "client" for name in (*CLIENT_FAMILIES, "rupture")} | {
    name: "therapist" for name in THERAPIST_FAMILIES
}


class ModelOutput(Protocol):
    """What scoring needs of a model's answer besides its probabilities."""

    spans: Sequence[Mapping[str, tuple[int, int]]]
    marker_names: tuple[str, ...]


def rule_scores(transcript: Transcript, markers: Iterable[Marker]) -> np.ndarray:
    """Return the highest weight of a rule for each turn and family, 0 where no rule fired.

    Negative where rules found the family only denied, reported or the like (`RuleDetector.scan`).

    Returns
    -------
    ndarray, shape (n_turns, 4)
        Families in the order of `FAMILIES`.

    Examples
    --------
    >>> from rupturekit.transcript import Turn
    >>> t = Transcript("s", (Turn(0, "C", "client", "If you say so."),))
    >>> rule_scores(t, [Marker(0, 0, 13, "withdrawal", "minimal_response", 0.8, source="rule")])
    array([[0. , 0.8, 0. , 0. ]])
    """
    table = np.zeros((len(transcript), len(FAMILIES)))
    for marker in markers:
        column = FAMILIES.index(marker.family)
        weight, so_far = marker.score or 0.0, table[marker.turn, column]
        table[marker.turn, column] = max(so_far, weight) if max(so_far, weight) > 0 else min(so_far, weight)
    return table


def without_model(weights: np.ndarray) -> np.ndarray:
    """Return turn probabilities, in the order of `SCORES`, from rule weights alone.

    Examples
    --------
    >>> without_model(np.array([[0.5, 0.8, 0.0, 0.0]]))
    array([[0.5, 0.8, 0.9, 0. , 0. ]])
    """
    confrontation, withdrawal = weights[:, 0], weights[:, 1]
    rupture = 1 - (1 - confrontation) * (1 - withdrawal)
    return np.column_stack([confrontation, withdrawal, rupture, weights[:, 2], weights[:, 3]])


def decide(
    transcript: Transcript,
    rules: Iterable[Marker],
    probabilities: np.ndarray,
    thresholds: Mapping[str, float],
    codebook: Codebook,
    output: ModelOutput | None = None,
    marker_probabilities: np.ndarray | None = None,
) -> tuple[tuple[Marker, ...], tuple[Score, ...]]:
    """Decide which families are present on which turns; return the markers and the turns' scores.

    Parameters
    ----------
    transcript : Transcript
        The session.
    rules : iterable of Marker
        What the rules found; ``score`` is the rule's weight.
    probabilities : ndarray, shape (n_turns, 5)
        Calibrated probabilities in the order of `SCORES`.
    thresholds : mapping
        Of families and of markers. Without a model, a family that is not named has none.
    codebook : Codebook
        Says which family a marker belongs to.
    output, marker_probabilities : optional
        The model's spans and marker names, and its probabilities, shape (n_turns, n_markers).

    Returns
    -------
    markers : tuple of Marker
        Sorted.
    scores : tuple of Score
        Of level ``turn``.
    """
    fired: dict[tuple[int, Family], list[Marker]] = {}
    for marker in _best_of_each(rules):
        fired.setdefault((marker.turn, marker.family), []).append(marker)
    markers: list[Marker] = []
    scores: list[Score] = []
    for turn in transcript:
        values: dict[str, float] = {}
        for family in FAMILIES_OF[turn.role]:
            p = _rounded(probabilities[turn.index, SCORES.index(family)])
            by_rule = fired.get((turn.index, family), [])
            if output is None or marker_probabilities is None:
                markers += by_rule if p >= thresholds.get(family, 0.0) else []
            elif p >= thresholds[family]:
                markers += by_rule
                row = marker_probabilities[turn.index]
                span = output.spans[turn.index].get(family, (0, len(turn.text)))
                likely = [
                    (_rounded(q), name)
                    for q, name in zip(row, output.marker_names, strict=True)
                    if codebook[name].parent == family
                ]
                chosen = [(q, name) for q, name in likely if q >= thresholds.get(name, 1.0)]
                if not chosen and not by_rule:
                    # the first of equals in the codebook's order, so that the choice is stable
                    chosen = [max(likely, key=lambda pair: pair[0])]
                markers += [Marker(turn.index, *span, family, name, q) for q, name in chosen]
            elif trusted := [m for m in by_rule if (m.score or 0.0) >= TRUSTED]:
                markers += trusted
                p = thresholds[family]
            values[family] = p
        if turn.role == "client":
            rupture = _rounded(probabilities[turn.index, SCORES.index("rupture")])
            values["rupture"] = max(rupture, *values.values())
        scores += [Score("turn", turn.index, name, values[name]) for name in SCORES if name in values]
    return tuple(sorted(markers, key=_order)), tuple(scores)


def _order(marker: Marker) -> tuple[int, int, int, str, str]:
    # not `marker_order`: markers on the same words are written by name, whichever family they are of
    return marker.turn, marker.start, marker.end, marker.marker, marker.source


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _best_of_each(markers: Iterable[Marker]) -> list[Marker]:
    """Keep one marker for each (turn, marker, source): the heaviest, then the first, then the longest."""
    best: dict[tuple[int, str, str], Marker] = {}
    for m in sorted(markers, key=lambda m: (-(m.score or 0.0), m.start, -m.end, m.rule_id or "")):
        best.setdefault((m.turn, m.marker, m.source), m)
    return list(best.values())


def present(markers: Iterable[Marker]) -> dict[str, set[int]]:
    """Return the turns on which each family, and rupture, is present.

    Examples
    --------
    >>> found = present([Marker(4, 0, 2, "withdrawal", "denial", 0.7)])
    >>> found["withdrawal"], found["rupture"], found["resolution"]
    ({4}, {4}, set())
    """
    turns: dict[str, set[int]] = {name: set() for name in SCORES}
    for marker in markers:
        turns[marker.family].add(marker.turn)
    turns["rupture"] = turns["confrontation"] | turns["withdrawal"]
    return turns


def is_timed(transcript: Transcript) -> bool:
    """Tell whether enough turns have a start to cut the session by time."""
    return sum(turn.start_s is not None for turn in transcript) * 2 >= len(transcript)


def segments(transcript: Transcript, seconds: float = SEGMENT_S) -> dict[int, list[int]]:
    """Cut a session into segments of five minutes or, where times are missing, of twenty turns.

    Another length cuts proportionally. Times are used when `is_timed`. A turn without one, or one that starts before
    the turn above it, belongs to the segment of the turn above it. Segment 0 begins at the first
    start, because a recorder may give the hour of the day; a segment without a turn is left out.

    Examples
    --------
    >>> from rupturekit.transcript import Turn
    >>> starts = (2.0, 290.0, None, 310.0)
    >>> turns = (Turn(i, "C", "client", "Yes.", start) for i, start in enumerate(starts))
    >>> segments(Transcript("s", tuple(turns)))
    {0: [0, 1, 2], 1: [3]}
    """
    known = [turn.start_s for turn in transcript if turn.start_s is not None]
    timed = is_timed(transcript)
    at_once = max(1, round(SEGMENT_TURNS * seconds / SEGMENT_S))
    cut: dict[int, list[int]] = {}
    number = 0
    for turn in transcript:
        if not timed:
            number = turn.index // at_once
        elif turn.start_s is not None:
            number = max(number, int((turn.start_s - known[0]) // seconds))
        cut.setdefault(number, []).append(turn.index)
    return cut


def rates(transcript: Transcript, markers: Iterable[Marker]) -> tuple[Score, ...]:
    """Return, for every segment and for the session, the turns with each family per 100 of the role's.

    A segment or session without a turn of the role has no rate. Rupture counts client turns with either
    client family.

    Examples
    --------
    >>> from rupturekit.transcript import Turn
    >>> t = Transcript("s", tuple(Turn(i, "C", "client", "Fine.") for i in range(4)))
    >>> [s.value for s in rates(t, [Marker(1, 0, 4, "withdrawal", "denial")]) if s.level == "session"]
    [0.0, 25.0, 25.0]
    """
    found = present(markers)
    parts: list[tuple[Literal["segment", "session"], int, list[int]]] = [
        ("segment", number, turns) for number, turns in segments(transcript).items()
    ]
    parts.append(("session", 0, list(range(len(transcript)))))
    scores = []
    for level, number, turns in parts:
        for name in SCORES:
            mine = [i for i in turns if transcript[i].role == ROLE_OF[name]]
            if mine:
                rate = 100 * sum(i in found[name] for i in mine) / len(mine)
                scores.append(Score(level, number, name, _rounded(rate)))
    return tuple(scores)
