"""What people are to code: a blind sample of segments for double coding, and the turns most worth a look.

The sample is drawn by the cube method (Deville & Tillé 2004, Biometrika 91, 893-912; the fast flight phase of
Chauvet & Tillé 2006, Computational Statistics 21, 53-62). Every segment has a known probability of being drawn, and
the sample is balanced at once over sessions, over the machine's score and over length, which are too many strata to
draw from each. The score's levels have equal shares, so that rare ruptures are not missed; hence the weights.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from random import Random
from statistics import median

import numpy as np

from . import sheets
from .annotation import FAMILIES, MADE_BY, AnnotatedTranscript, Coded, made_by
from .codebook import Codebook
from .coding import Votes, votes
from .folders import check_folder, whole_folder
from .score import FAMILIES_OF, SEGMENT_S, segments

DEFAULT_THRESHOLD = 0.5
"""Stands in where an annotation names no threshold, as without a model."""
NEAR = 0.5
"""How near to its threshold, from 0 to 1 at it, a probability counts as uncertain."""
_EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class Stretch:
    """A segment that was drawn, from its first to its last turn.

    Parameters
    ----------
    session : str
    segment, first, last : int
        The segment's number and its turns, both inside.
    score : {"low", "middle", "high", "unscored"}
        Third of all segments by the highest score that the machine gave a turn in them.
    length : {"short", "long"}
        Up to the median number of words, or above it.
    probability : float
        With which it was drawn.

    Examples
    --------
    >>> Stretch("s1", 0, 0, 19, "low", "short", 0.25).weight
    4.0
    """

    session: str
    segment: int
    first: int
    last: int
    score: str
    length: str
    probability: float

    @property
    def weight(self) -> float:
        """How many segments it stands for: a share in the sample, so weighted, estimates that of all segments."""
        return 1 / self.probability


def sample(
    sessions: Iterable[AnnotatedTranscript], n: int, *, seed: int = 13, segment_s: float = SEGMENT_S
) -> list[Stretch]:
    """Draw segments for double coding.

    Parameters
    ----------
    sessions : iterable of AnnotatedTranscript
        Scored or not; in any order.
    n : int
        How many segments; all, if there are fewer.
    seed : int
        The same seed and sessions give the same sample.
    segment_s : float
        Length of a segment in seconds; without times, proportionally many turns (`score.segments`).

    Returns
    -------
    list of Stretch
        By session and segment. Where the machine is to stay hidden, show coders what `blind` makes of them: score
        and probability tell what it said.

    Raises
    ------
    ValueError
        If ``n`` is below 1, or two sessions have one id.

    Examples
    --------
    >>> from rupturekit import Transcript, Turn
    >>> talk = tuple(Turn(i, "C", "client", "I guess.") for i in range(60))
    >>> drawn = sample([AnnotatedTranscript(Transcript(id, talk)) for id in "abcd"], 4)
    >>> [(s.session, s.last - s.first + 1, round(s.weight, 1)) for s in drawn]
    [('a', 20, 3.0), ('b', 20, 3.0), ('c', 20, 3.0), ('d', 20, 3.0)]
    """
    if n < 1:
        raise ValueError(f"a sample of {n}: give at least 1")
    units = _units(sessions, segment_s)
    p = _probabilities([unit.score for unit in units], n)
    random = Random(seed)
    order = sorted(range(len(units)), key=lambda i: (units[i].session, random.random()))
    drawn = list(p)
    # the few that cannot be decided in balance over all of these are decided in balance over fewer
    for traits in (("session", "score", "length"), ("score", "length"), ("score",), ()):
        groups = [["all", *((trait, getattr(unit, trait)) for trait in traits)] for unit in units]
        _flight(drawn, order, groups, random)
    return [replace(unit, probability=q) for unit, q, taken in zip(units, p, drawn) if taken > 0.5]


def _units(sessions: Iterable[AnnotatedTranscript], seconds: float) -> list[Stretch]:
    """Return all segments, sorted; their probability is not known yet."""
    found: dict[tuple[str, int], tuple[int, int, float | None, int]] = {}
    met: set[str] = set()
    for session in sessions:
        id = session.transcript.id
        if id in met:
            raise ValueError(f"two sessions are called {id}; a sample tells them apart by that")
        met.add(id)
        scores = session.turn_scores()
        for number, turns in segments(session.transcript, seconds).items():
            peak = max((value for turn in turns for value in scores.get(turn, {}).values()), default=None)
            words = sum(len(session.transcript[turn].text.split()) for turn in turns)
            found[id, number] = turns[0], turns[-1], peak, words
    peaks = sorted(peak for *_, peak, _ in found.values() if peak is not None)
    low, high = (peaks[max(0, -(-len(peaks) * k // 3) - 1)] if peaks else 0.0 for k in (1, 2))
    middle = median(words for *_, words in found.values()) if found else 0
    units = []
    for (id, number), (first, last, peak, words) in sorted(found.items()):
        level = "unscored" if peak is None else "low" if peak <= low else "middle" if peak <= high else "high"
        units.append(Stretch(id, number, first, last, level, "short" if words <= middle else "long", 0.0))
    return units


def _probabilities(levels: Sequence[str], n: int) -> list[float]:
    """Give every level the same share of the sample, or all of it where it has fewer units than that."""
    sizes = {level: levels.count(level) for level in set(levels)}
    of: dict[str, float] = {}
    left = float(min(n, len(levels)))
    for k, level in enumerate(sorted(sizes, key=lambda level: (sizes[level], level))):
        share = min(sizes[level], left / (len(sizes) - k))
        of[level] = share / sizes[level]
        left -= share
    return [of[level] for level in levels]


def _flight(p: list[float], order: Sequence[int], groups: Sequence[Sequence[object]], random: Random) -> None:
    """Move probabilities at random to 0 or 1, their expectation and the sum within each group staying the same.

    Units come in one at a time. As soon as those that are undecided can move without changing a group's sum, they do,
    until one of them is decided. A few stay undecided: those that are the last of a group.
    """
    order = [unit for unit in order if _EXACT < p[unit] < 1 - _EXACT]
    to_come = Counter(group for unit in order for group in groups[unit])
    window: list[int] = []
    for unit in order:
        window.append(unit)
        to_come.subtract(groups[unit])
        here = Counter(group for i in window for group in groups[i])
        sums = np.array([[group in groups[i] for i in window] for group in here], dtype=float)
        if np.linalg.matrix_rank(sums) < len(window):
            way = np.linalg.svd(sums)[2][-1]
            way = np.where(abs(way) < _EXACT, 0.0, way)
            way *= np.sign(way[np.flatnonzero(way)[0]])  # what solves the equations has no sign of its own
            at = np.array([p[i] for i in window])
            up, down = _room(at, way), _room(at, -way)
            at += up * way if random.random() * (up + down) < down else -down * way
            for i, value in zip(window, at):
                p[i] = 0.0 if value < _EXACT else 1.0 if value > 1 - _EXACT else float(value)
            window = [i for i in window if 0.0 < p[i] < 1.0]
            here = Counter(group for i in window for group in groups[i])
        # alone in a group to which no more come, a unit cannot move any more
        window = [i for i in window if all(here[group] + to_come[group] > 1 for group in groups[i])]


def _room(at: np.ndarray, way: np.ndarray) -> float:
    """Return how far the probabilities can go until one of them is 0 or 1."""
    steps = [(1 - a) / w if w > 0 else a / -w for a, w in zip(at, way) if w]
    return float(min(steps))


def blind(
    sessions: Iterable[AnnotatedTranscript], stretches: Iterable[Stretch], coder: str
) -> Iterator[AnnotatedTranscript]:
    """Yield the sessions of a sample as one coder is to see them: nothing marked, nothing scored.

    ``coded`` says what is to be coded, for every family; the rest of the session is there for context.

    Examples
    --------
    >>> from rupturekit import Marker, Transcript, Turn
    >>> talk = Transcript("s1", tuple(Turn(i, "C", "client", "I guess.") for i in range(60)))
    >>> found = AnnotatedTranscript(talk, (Marker(21, 0, 7, "withdrawal", "minimal_response", 0.9),))
    >>> (hidden,) = blind([found], [Stretch("s1", 1, 20, 39, "high", "short", 0.5)], "AB")
    >>> hidden.markers, hidden.coded[0]
    ((), Coded(source='coder:AB', family='confrontation', first=20, last=39))
    """
    of: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        of.setdefault(stretch.session, []).append(stretch)
    for session in sessions:
        mine = sorted(of.get(session.transcript.id, ()), key=lambda stretch: stretch.first)
        coded = [Coded(f"coder:{coder}", family, s.first, s.last) for s in mine for family in FAMILIES]
        if coded:
            yield AnnotatedTranscript(session.transcript, coded=tuple(coded))


@dataclass(frozen=True, slots=True)
class Doubt:
    """A turn that a person should look at, and why; the most urgent are at 1."""

    session: str
    turn: int
    urgency: float
    reasons: tuple[str, ...]


def worth_reading(sessions: Iterable[AnnotatedTranscript], n: int) -> list[Doubt]:
    """Return the turns most worth a person's time, the most urgent first.

    A turn is uncertain when a family's probability is near its threshold. It is in dispute when coders who read it
    disagree, when they agree and the machine says otherwise, or when a sure rule stands against the model
    (`score.decide`). Its urgency is that of its most urgent reason.

    Examples
    --------
    >>> from rupturekit import Score, Transcript, Turn
    >>> talk = Transcript("s1", (Turn(0, "C", "client", "I guess."), Turn(1, "C", "client", "We did it.")))
    >>> scores = (Score("turn", 0, "withdrawal", 0.48), Score("turn", 1, "withdrawal", 0.02))
    >>> worth_reading([AnnotatedTranscript(talk, scores=scores)], 10)
    [Doubt(session='s1', turn=0, urgency=0.96, reasons=('withdrawal: probability 0.48, threshold 0.5',))]
    """
    doubts = (doubt for session in sessions for doubt in _doubts(session))
    return heapq.nsmallest(n, doubts, key=lambda d: (-d.urgency, -len(d.reasons), d.session, d.turn))


def _doubts(session: AnnotatedTranscript) -> Iterator[Doubt]:
    scores = session.turn_scores()
    thresholds = session.provenance.thresholds if session.provenance else {}
    model = session.provenance and session.provenance.model
    by = {kind: {(m.turn, m.family) for m in session.markers if m.source == kind} for kind in ("rule", "model")}
    machine = bool(session.scores) or any(by.values())
    read = votes(session)
    for turn in session.transcript:
        reasons: list[tuple[float, str]] = []
        for family in FAMILIES_OF[turn.role]:
            p = scores.get(turn.index, {}).get(family)
            threshold = thresholds.get(family, DEFAULT_THRESHOLD)
            marked = {kind: (turn.index, family) in places for kind, places in by.items()}
            if p is not None and 0 < threshold < 1:
                near = p / threshold if p < threshold else (1 - p) / (1 - threshold)
                # a sure rule raises what the model put below the threshold to just that
                if model and marked["rule"] and not marked["model"] and p == threshold:
                    reasons.append((1.0, f"{family}: a rule marked it against the model"))
                elif near >= NEAR:
                    reasons.append((near, f"{family}: probability {p:g}, threshold {threshold:g}"))
            reasons += _disputes(read.get(turn.index, Votes({})), family, any(marked.values()), p, machine)
        if reasons:
            urgency = round(max(value for value, _ in reasons), 4)
            yield Doubt(session.transcript.id, turn.index, urgency, tuple(reason for _, reason in reasons))


def _disputes(vote: Votes, family: str, marked: bool, p: float | None, machine: bool) -> Iterator[tuple[float, str]]:
    if not (raters := vote.raters_of(family)):
        return
    gave = sum(vote.gave(rater, family) for rater in raters)
    share = gave / len(raters)
    if 0 < share < 1:
        yield 1 - abs(2 * share - 1), f"{family}: {gave} of {len(raters)} coders"
    elif machine and marked != bool(share):
        said = "marked" if marked else "not marked"
        yield 1.0 if p is None else abs(p - share), f"{family}: {gave} of {len(raters)} coders, {said} by the machine"


def write(
    sessions: Sequence[AnnotatedTranscript],
    n: int,
    out: str | PathLike[str],
    *,
    seed: int = 13,
    coders: Sequence[str] = ("A", "B"),
    turns: int = 50,
    segment_s: float = SEGMENT_S,
    codebook: Codebook | None = None,
) -> list[Path]:
    """Draw a sample and write what a study needs of it.

    For each coder a blank sheet, ``A.xlsx``, with rows for the segments that were drawn. For the researcher alone,
    because they tell what the machine said, ``design.csv`` (the sample, with strata, probabilities and weights) and
    ``worth_reading.csv`` (the turns most worth a look; the sample does not depend on them). ``made-by.json`` tells
    versions, rules and models.

    Parameters
    ----------
    sessions : sequence of AnnotatedTranscript
    n : int
        How many segments.
    out : path-like
        Folder to make; it must not exist, or be empty.
    seed, segment_s : optional
        As for `sample`.
    coders : sequence of str
        Their ids.
    turns : int
        How many doubtful turns to list.
    codebook : Codebook, optional
        Whose markers the sheets ask for.

    Raises
    ------
    ValueError
        If there is no session, or as `sample` and `sheets.write` raise it.
    FileExistsError
        If ``out`` has something in it.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit import Transcript, Turn
    >>> talk = Transcript("s1", tuple(Turn(i, "C", "client", "I guess.") for i in range(60)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write([AnnotatedTranscript(talk)], 2, folder, coders=("AB", "CD"))]
    ['AB.xlsx', 'CD.xlsx', 'design.csv', 'worth_reading.csv', 'made-by.json']
    """
    out = Path(out)
    check_folder(out)
    if wrong := [coder for coder in coders if not coder or Path(coder).name != coder]:
        raise ValueError(f"coder {wrong[0]!r}: give an id that can be the name of a file")
    stretches = sample(sessions, n, seed=seed, segment_s=segment_s)
    if not stretches:
        raise ValueError("there is no session to draw from")
    doubts = worth_reading(sessions, turns)
    design: list[list[sheets.Value]] = [
        [s.session, s.segment, s.first, s.last, s.score, s.length, round(s.probability, 6), round(s.weight, 4)]
        for s in stretches
    ]
    of: Mapping[str, AnnotatedTranscript] = {session.transcript.id: session for session in sessions}
    reading: list[list[sheets.Value]] = []
    for d in doubts:
        turn = of[d.session].transcript[d.turn]
        reading.append([d.session, d.turn, turn.start_s, turn.role, d.urgency, "; ".join(d.reasons), turn.text])
    with whole_folder(out) as parts:
        for coder in coders:
            hidden = blind(sessions, stretches, coder)
            sheets.write(hidden, parts / f"{coder}.xlsx", codebook=codebook, segment_s=segment_s)
        for name, header, rows in (
            ("design.csv", "session,segment,first turn,last turn,score,length,probability,weight", design),
            ("worth_reading.csv", "session,turn,start_s,role,urgency,reasons,text", reading),
        ):
            (parts / name).write_bytes(sheets.csv_bytes(header.split(","), rows))
        (parts / MADE_BY).write_text(made_by(s.provenance for s in sessions), "utf-8", newline="\n")
    names = (*(f"{coder}.xlsx" for coder in coders), "design.csv", "worth_reading.csv", MADE_BY)
    return [out / name for name in names]
