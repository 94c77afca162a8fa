"""Rupture episodes: from a first marker to the return of collaboration, or to the end of the session.

The guide that people read whole sessions by is `data/labels/README.md`; what it counts and compares is in the codebook
(`EpisodeGuide`), so that a team may set it otherwise. Everything follows from markers and the length of the client's
turns, whoever set the markers. How well it agrees with readers is measured by `benchmarks/repair.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .annotation import (
    CLIENT_FAMILIES,
    FAMILIES,
    THERAPIST_FAMILIES,
    AnnotatedTranscript,
    Episode,
    EpisodeType,
    Outcome,
)
from .codebook import EpisodeGuide, load_codebook
from .segment import words

if TYPE_CHECKING:
    from .annotation import Marker
    from .transcript import Transcript


def episodes(
    transcript: Transcript, markers: Iterable[Marker], guide: EpisodeGuide | None = None
) -> tuple[Episode, ...]:
    """Return the rupture episodes of a session, in order, without overlap.

    An episode begins at a client turn with a clear rupture marker, or with a faint one and another among the next
    client turns. It ends before the client turns in which collaboration returns: without a rupture marker, and in
    words of the client's own for `EpisodeGuide.returns` turns, or once at length. If that does not happen before the
    session ends, it ends there. Episodes with less than `EpisodeGuide.apart` client turns between them are one.

    * ``type``: the family of its ruptures, or ``mixed`` where each has its share of them.
    * ``depth``: 1, a strain; 2, the work stalls, by the number of turns with a rupture; 3, and the bond or the
      treatment is in question, by the turns with a marker that the guide counts as such.
    * ``outcome``: ``repaired``, where collaboration returned after a resolution strategy, or at length; ``partly``,
      where it returned and nobody took the strain up; ``unrepaired``; ``escalated``, where it did not return and
      ruptures against the bond came later.

    Words are counted, not weighed: a long turn without a marker is taken for collaboration, which a long evasion that
    nobody marked is not. Where words are withheld, every client turn without a rupture counts as one of own words.

    Parameters
    ----------
    transcript : Transcript
    markers : iterable of Marker
        From rules, a model or coders.
    guide : EpisodeGuide, optional
        The default codebook's, if left out.

    Examples
    --------
    >>> from rupturekit.annotation import Marker
    >>> from rupturekit.transcript import Transcript, Turn
    >>> who = ("client", "therapist", "client", "therapist", "client")
    >>> said = ("Just tell me what to do.", "You want an answer, and I keep asking.", "I suppose.", "And what then?",
    ...     "What I am afraid of, when I stop and look at it, is that I do all that you say and nobody will be there "
    ...     "in the evening.")
    >>> t = Transcript("s", tuple(Turn(i, r[0], r, text) for i, (r, text) in enumerate(zip(who, said))))
    >>> found = [Marker(0, 0, 4, "confrontation", "control_pressure"),
    ...          Marker(1, 0, 2, "resolution", "validate_defense")]
    >>> (episode,) = episodes(t, found)
    >>> episode.first, episode.last, episode.repair, episode.type, episode.depth, episode.outcome, episode.returns
    (0, 3, (1,), 'confrontation', 1, 'repaired', (4,))
    """
    guide = guide or load_codebook().episode
    marked: dict[str, dict[int, list[Marker]]] = {name: {} for name in FAMILIES}
    for marker in markers:
        marked[marker.family].setdefault(marker.turn, []).append(marker)
    ruptures = {
        turn: [*marked["confrontation"].get(turn, ()), *marked["withdrawal"].get(turn, ())]
        for turn in sorted({*marked["confrontation"], *marked["withdrawal"]})
    }
    stretches = _stretches(transcript, ruptures, guide)
    strained, answers = list(ruptures), {name: sorted(marked[name]) for name in THERAPIST_FAMILIES}
    found = []
    for (first, last, returns), following in zip(stretches, [*(s[0] for s in stretches[1:]), len(transcript)]):
        until = min(last + guide.after + 1, following)
        repair, defended = (tuple(between(answers[name], first + 1, until)) for name in THERAPIST_FAMILIES)
        inside = {turn: ruptures[turn] for turn in between(strained, first, last + 1)}
        at_length = any(_own_words(transcript, turn, guide) >= guide.at_length for turn in returns)
        found.append(
            Episode(
                first,
                last,
                repair,
                defended,
                _type(inside, guide),
                _depth(inside, bool(returns), guide),
                _outcome(inside, bool(returns), bool(repair) or at_length, guide),
                tuple(returns[:3]),
            )
        )
    return tuple(found)


def episodes_of(annotated: AnnotatedTranscript) -> tuple[Episode, ...]:
    """Return a session's episodes; of people's codings, which come without, those that their markers make."""
    return annotated.episodes or episodes(annotated.transcript, annotated.markers)


def between(turns: Sequence[int], first: int, until: int) -> Sequence[int]:
    """Return those of turns in order that lie from ``first`` to before ``until``.

    Examples
    --------
    >>> between([1, 3, 5, 7], 3, 7)
    [3, 5]
    """
    return turns[bisect_left(turns, first) : bisect_left(turns, until)]


def _stretches(
    transcript: Transcript, ruptures: Mapping[int, Sequence[Marker]], guide: EpisodeGuide
) -> list[tuple[int, int, list[int]]]:
    """Return first and last turn of each episode, and the client turns in which collaboration returned."""
    client = [turn.index for turn in transcript.of("client")]
    found: list[tuple[int, int, list[int]]] = []
    at = 0
    while at < len(client):
        first, following = client[at], client[at + 1 : at + guide.near]
        at += 1
        faint = not any(_is_clear(marker, guide) for marker in ruptures.get(first, ()))
        if first not in ruptures or (faint and not any(turn in ruptures for turn in following)):
            continue
        returns, at = _returns(transcript, client, at, ruptures, guide)
        last = returns[0] - 1 if returns else len(transcript) - 1
        if found and len(between(client, found[-1][1] + 1, first)) < guide.apart:
            first = found.pop()[0]
        found.append((first, last, returns))
    return found


def _returns(
    transcript: Transcript, client: Sequence[int], at: int, ruptures: Mapping[int, object], guide: EpisodeGuide
) -> tuple[list[int], int]:
    """Return the client turns in which collaboration returns, from a position on, and the position after them."""
    returns: list[int] = []
    for position in range(at, len(client)):
        turn = client[position]
        said = _own_words(transcript, turn, guide)
        if turn in ruptures:
            returns = []
        elif said >= guide.own_words:
            returns.append(turn)
            if len(returns) >= guide.returns or said >= guide.at_length:
                return returns, position + 1
    return [], len(client)


def _own_words(transcript: Transcript, turn: int, guide: EpisodeGuide) -> int:
    return guide.own_words if transcript.meta.get("text_withheld") else len(words(transcript[turn].text))


def _is_clear(marker: Marker, guide: EpisodeGuide) -> bool:
    if marker.clarity is not None:
        return marker.clarity >= guide.clear
    return marker.score is None or marker.score >= guide.clear_score


def _type(inside: Mapping[int, Sequence[Marker]], guide: EpisodeGuide) -> EpisodeType:
    against, away = (sum(any(m.family == name for m in of) for of in inside.values()) for name in CLIENT_FAMILIES)
    if min(against, away) >= guide.mixed * len(inside):
        return "mixed"
    return "confrontation" if against > away else "withdrawal"


def _bond(inside: Mapping[int, Sequence[Marker]], guide: EpisodeGuide) -> list[int]:
    return [turn for turn, of in inside.items() if any(m.marker in guide.bond for m in of)]


def _depth(inside: Mapping[int, Sequence[Marker]], returned: bool, guide: EpisodeGuide) -> int:
    if len(inside) < guide.stalls:
        return 1
    return 3 if not returned and len(_bond(inside, guide)) >= guide.bond_turns else 2


def _outcome(inside: Mapping[int, Sequence[Marker]], returned: bool, taken_up: bool, guide: EpisodeGuide) -> Outcome:
    if returned:
        return "repaired" if taken_up else "partly"
    turns, bond = list(inside), _bond(inside, guide)
    later = [turn for turn in bond if turn > turns[0]]
    half = turns[len(turns) // 2]
    grown = len(later) >= guide.bond_turns - 1 and sum(t >= half for t in bond) >= sum(t < half for t in bond)
    return "escalated" if grown else "unrepaired"
