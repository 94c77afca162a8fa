"""The page of one session: its course at a glance, the transcript with its markers, and their correction.

The page is whole in itself: style, drawing, script and data stand in it, and its content security policy lets
nothing in from outside. Without a script it can be read; the script filters, searches and corrects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import chain, count, pairwise
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..annotation import FAMILIES, AnnotatedTranscript, Episode, Family, Marker
from ..codebook import Codebook, load_codebook
from ..episodes import episodes_of
from ..rules import load_rules
from ..score import FAMILIES_OF, ROLE_OF, is_timed, present
from ..segment import SESSION_FLAGS, flags_of, words
from ..transcript import ROLES, Transcript, Turn
from . import GLYPH, LABEL, asset, embedded, page, policy

if TYPE_CHECKING:
    from markupsafe import Markup

_SHORT = {**LABEL, "therapist_defensive": "Defensiveness"}
CLARITY = {1: "faint", 2: "clear", 3: "strong"}
_OUTCOMES = {
    "repaired": "repaired",
    "partly": "partly repaired",
    "unrepaired": "not repaired by the end",
    "escalated": "not repaired, and grown",
}
WINDOW = 10
"""Turns on either side that the moving share of talk takes in."""
WIDTHS = (1080, 360)
"""The course is drawn for a wide screen and for a narrow one, in CSS pixels; the style shows one of them."""
_BEFORE = 280  # characters of the turn before that a card repeats


def session_page(annotated: AnnotatedTranscript, codebook: Codebook | None = None, *, index: str | None = None) -> str:
    """Return one session as a page of HTML that needs nothing beside itself.

    Parameters
    ----------
    annotated : AnnotatedTranscript
        The markers may be a machine's, coders', or both. Of a session without words (``--no-text``) the page has the
        course and the names of the markers, and no correction.
    codebook : Codebook, optional
        Names and definitions; the shipped one by default.
    index : str, optional
        Relative link to the page of all sessions.

    Examples
    --------
    >>> turns = (Turn(0, "T", "therapist", "How is this for you?"), Turn(1, "C", "client", "<u>Fine</u>, I guess."))
    >>> found = Marker(1, 13, 20, "withdrawal", "minimal_response", 0.8)
    >>> html = session_page(AnnotatedTranscript(Transcript("s1", turns), (found,)))
    >>> "&lt;u&gt;Fine&lt;/u&gt;" in html, "<u>" in html, "http:" in html
    (True, False, False)
    """
    book = codebook or load_codebook()
    transcript = annotated.transcript
    worded = not transcript.meta.get("text_withheld")
    runs = episodes_of(annotated)
    scores = annotated.turn_scores()
    cards: dict[int, list[dict[str, Any]]] = {}
    for number, marker in enumerate(annotated.markers):
        of_turn = scores.get(marker.turn, {}).get(marker.family)
        cards.setdefault(marker.turn, []).append(_card(annotated, number, marker, of_turn, book))
    style, script = asset("base.css", "session.css"), asset("session.js")
    return page(
        "session.html",
        annotated=annotated,
        transcript=transcript,
        book=book,
        index=index,
        worded=worded,
        version=__version__,
        lead=_lead(runs),
        facts=_facts(annotated, worded),
        flags=[SESSION_FLAGS.get(flag, flag) for flag in flags_of(transcript)],
        episodes=[_episode(annotated, run) for run in runs],
        courses=[_course(annotated, runs, width) for width in WIDTHS],
        cards=cards,
        words={turn.index: _marked(turn, cards.get(turn.index, ())) for turn in transcript} if worded else {},
        families=FAMILIES,
        families_of=FAMILIES_OF,
        label=LABEL,
        short=_SHORT,
        clarity=CLARITY,
        sources=sorted({marker.source for marker in annotated.markers}),
        clock=_clock,
        policy=policy(style, script),
        style=style,
        script=script,
        data=_data(annotated, book),
        session=embedded(asdict(transcript)) if worded else None,
    )


def _data(annotated: AnnotatedTranscript, book: Codebook) -> str:
    return embedded(
        {
            "session": annotated.transcript.id,
            "version": __version__,
            "codebook": f"{book.name} {book.version}",
            "markers": [asdict(marker) for marker in annotated.markers],
            "known": [
                {"id": m.id, "code": m.code, "family": m.parent, "label": m.label, "definition": m.definition}
                for m in book.markers
            ],
            "families": {family: {"label": LABEL[family], "glyph": GLYPH[family]} for family in FAMILIES},
            "familiesOf": FAMILIES_OF,
            "clarity": CLARITY,
        }
    )


# --- the head -----------------------------------------------------------------------------------------


def _clock(seconds: float) -> str:
    """Return a time as it is read off a player.

    >>> _clock(75.9), _clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _lead(runs: Sequence[Episode]) -> str:
    """Say in one sentence where the alliance strained and whether somebody worked at it.

    >>> _lead([Episode(2, 5, (6,)), Episode(9, 9)])
    '2 rupture episodes; the therapist works at repair in 1 of them.'
    """
    repaired = sum(bool(run.repair) for run in runs)
    if not runs:
        return "No rupture episode was found."
    if len(runs) == 1:
        return "One rupture episode; " + ("the therapist works at its repair." if repaired else "no repair was found.")
    if not repaired:
        return f"{len(runs)} rupture episodes; no repair was found in any of them."
    where = "each" if repaired == len(runs) else str(repaired)
    return f"{len(runs)} rupture episodes; the therapist works at repair in {where} of them."


def _facts(annotated: AnnotatedTranscript, worded: bool) -> dict[str, str]:
    """Return what is known of the session as a whole: name → value, both to be read."""
    transcript = annotated.transcript
    meta = transcript.meta
    found = present(annotated.markers)
    talk = _talk(transcript)
    client = sum(talk[turn.index] for turn in transcript.of("client"))
    therapist = sum(talk[turn.index] for turn in transcript.of("therapist"))
    n_of: dict[str, int] = {role: sum(1 for _ in transcript.of(role)) for role in ROLES}
    facts = {
        "Client": meta.get("client_id"),
        "Session": meta.get("session_number"),
        "Date": meta.get("date"),
        "Turns": " + ".join(f"{n} {role}" for role, n in n_of.items() if n),
    }
    if is_timed(transcript) and len(transcript):
        positions = _positions(transcript)
        facts["Length"] = _clock(positions[-1] - positions[0])
    if client + therapist:
        share = f"{client / (client + therapist):.0%}".replace("%", "\u202f%")
        facts["Client’s talk"] = f"{share} of the {'words' if worded else 'time'}"
    for family in FAMILIES:
        n, of = len(found[family]), n_of[ROLE_OF[family]]
        facts[_SHORT[family]] = f"{n} of {of} turns"
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _episode(annotated: AnnotatedTranscript, run: Episode) -> dict[str, Any]:
    inside = [m for m in annotated.markers if run.first <= m.turn <= run.last]
    found = present(inside)
    return {
        "first": annotated.transcript[run.first],
        "last": annotated.transcript[run.last],
        "families": {family: len(found[family]) for family in FAMILIES_OF["client"] if found[family]},
        "depth": run.depth,
        "outcome": _OUTCOMES.get(run.outcome or "", ""),
        **{
            name: [annotated.transcript[turn] for turn in getattr(run, name)]
            for name in ("repair", "defended", "returns")
        },
    }


# --- the markers --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _reasons() -> dict[str, str]:
    return {rule.id: rule.why for rule in load_rules()}


def _card(
    annotated: AnnotatedTranscript, number: int, marker: Marker, score: float | None, book: Codebook
) -> dict[str, Any]:
    """Return what stands beside a marker: what it is, who found it, and why."""
    known = next((m for m in book.markers if m.id == marker.marker), None)
    answered = "therapist" if ROLE_OF[marker.family] == "client" else "client"
    earlier = (annotated.transcript[i] for i in range(marker.turn - 1, -1, -1))
    before = next((turn for turn in earlier if turn.role == answered), None)
    kind, _, coder = marker.source.partition(":")
    return {
        "number": number,
        "marker": marker,
        "name": known.label if known else marker.marker.replace("_", " "),
        "code": known.code if known else "",
        "definition": known.definition if known else "",
        "not_when": known.not_when if known else "",
        "kind": kind,
        "coder": coder,
        "score": score,
        "words": _plain(annotated.text_of(marker)),
        "before": before,
        "said_before": before and ("…" if len(before.text) > _BEFORE else "") + _plain(before.text[-_BEFORE:]),
        "why": _why(annotated, marker),
    }


def _why(annotated: AnnotatedTranscript, marker: Marker) -> str:
    if marker.source == "rule":
        return marker.note or _reasons().get(marker.rule_id or "", "")
    thresholds = annotated.provenance.thresholds if annotated.provenance else {}
    if marker.source != "model" or marker.score is None or marker.family not in thresholds:
        return marker.note or ""
    if (needed := thresholds.get(marker.marker)) is not None and marker.score >= needed:
        return f"Its probability reaches the marker’s threshold, {needed:.2f}."
    return (
        f"The turn reaches the threshold for {LABEL[marker.family].lower()}, {thresholds[marker.family]:.2f}; "
        "this is the likeliest marker."
    )


def _plain(text: str) -> str:
    """Return a text as the page's own reading of it would have it, every code point in its place.

    HTML drops NUL and makes one line feed of a carriage return and its line feed; offsets would shift.
    """
    return text.translate({0: 0xFFFD, 13: 10})


def _marked(turn: Turn, cards: Iterable[dict[str, Any]]) -> Markup:
    """Return a turn's words, cut wherever a marker begins or ends; a piece stands in a mark for each of its markers.

    >>> cards = [{"number": 0, "marker": Marker(0, 0, 6, "withdrawal", "denial")},
    ...          {"number": 1, "marker": Marker(0, 5, 8, "confrontation", "defends_self")}]
    >>> print(str(_marked(Turn(0, "C", "client", "I am <i>."), cards)).replace("><", ">\\n<"))
    <mark class="withdrawal starts" data-m="0" data-glyph="▼">I am </mark>
    <mark class="withdrawal" data-m="0" data-glyph="▼">
    <mark class="confrontation starts" data-m="1" data-glyph="▲">&lt;</mark>
    </mark>
    <mark class="confrontation" data-m="1" data-glyph="▲">i&gt;</mark>.
    """
    from markupsafe import Markup, escape

    text = _plain(turn.text)
    # the longest marker outermost
    told = sorted(cards, key=lambda card: (card["marker"].start - card["marker"].end, card["number"]))
    cuts = {0, len(text)}.union(*({card["marker"].start, card["marker"].end} for card in told))
    pieces = []
    for start, end in pairwise(sorted(cuts)):
        piece = escape(text[start:end])
        for card in reversed(told):
            m: Marker = card["marker"]
            if m.start <= start and end <= m.end:
                names = m.family + (" starts" if m.start == start else "")
                piece = Markup('<mark class="{}" data-m="{}" data-glyph="{}">{}</mark>').format(
                    names, card["number"], GLYPH[m.family], piece
                )
        pieces.append(piece)
    return Markup("").join(pieces)


# --- the course ---------------------------------------------------------------------------------------


def _positions(transcript: Transcript) -> list[float]:
    """Return where each turn begins, and where the last one ends: in seconds where there are times, else in turns.

    >>> _positions(Transcript("s", tuple(Turn(i, "C", "client", "Yes.", s) for i, s in enumerate((2.0, None, 9.0)))))
    [2.0, 2.0, 9.0, 10.0]
    """
    if not is_timed(transcript):
        return [float(i) for i in range(len(transcript) + 1)]
    found: list[float] = []
    for turn in transcript:
        so_far = found[-1] if found else min(t.start_s for t in transcript if t.start_s is not None)
        found.append(max(so_far, so_far if turn.start_s is None else turn.start_s))
    end = max((turn.end_s for turn in transcript if turn.end_s is not None), default=0.0)
    return [*found, max(end, found[-1] + 1.0)]


def _talk(transcript: Transcript) -> list[float]:
    """Return how much is said in each turn: words, or seconds where the words were taken out."""
    if transcript.meta.get("text_withheld"):
        return [(turn.end_s - turn.start_s) if None not in (turn.start_s, turn.end_s) else 0.0 for turn in transcript]  # type: ignore[operator]
    return [float(len(words(turn.text))) for turn in transcript]


def _shares(transcript: Transcript) -> Iterator[tuple[int, float]]:
    """Yield the client's moving share of the talk: (turn, share), without the turns around which nobody talks."""
    talk = _talk(transcript)
    mine = [n if turn.role == "client" else 0.0 for turn, n in zip(transcript, talk)]
    both = [n if turn.role != "other" else 0.0 for turn, n in zip(transcript, talk)]
    for i in range(len(transcript)):
        around = slice(max(0, i - WINDOW), i + WINDOW + 1)
        if total := sum(both[around]):
            yield i, sum(mine[around]) / total


_STEPS_S = (15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


def _ticks(start: float, end: float, timed: bool, most: int) -> Iterator[tuple[float, str]]:
    """Yield round places on the axis and their names, at most so many steps apart.

    >>> [name for _, name in _ticks(0.0, 3000.0, True, 4)], [at for at, _ in _ticks(3.0, 41.0, False, 4)]
    (['0:00', '20:00', '40:00'], [10, 20, 30, 40])
    """
    # from four hours on, or from one turn on, the steps grow with what is to be shown
    first = 14400 if timed else 1
    steps = chain(_STEPS_S if timed else (), (first * k * 10**e for e in count() for k in (1, 2, 5)))
    step = next(step for step in steps if (end - start) / step <= most)
    # counted, because a number may be too large to grow by a step
    for n in range(ceil(start / step), floor(end / step) + 1):
        yield n * step, _clock(n * step) if timed else str(n * step)


_SHAPES = {
    "confrontation": "M{x} {y}m0-5.5l5.5 10h-11z",
    "withdrawal": "M{x} {y}m0 5.5l5.5-10h-11z",
    "resolution": "M{x} {y}m0-6l6 6l-6 6l-6-6z",
    "therapist_defensive": "M{x} {y}m-4.5-4.5h9v9h-9z",
}
# Where the two halves of each chart lie: the line that both stand on, how high a score of 1 is, and up or down.
_CLIENT, _THERAPIST, _TALK, _FLOOR = 82, 190, (254, 290), 300
_LANES: dict[Family, tuple[int, int]] = {
    "confrontation": (_CLIENT, -50),
    "withdrawal": (_CLIENT, 50),
    "resolution": (_THERAPIST, -40),
    "therapist_defensive": (_THERAPIST, 40),
}


def _course(annotated: AnnotatedTranscript, runs: Sequence[Episode], width: int) -> Markup:
    """Draw the course of a session as SVG: time, or turns, from left to right.

    The client's chart has confrontation upwards and withdrawal downwards, the therapist's resolution and
    defensiveness; below them is the client's share of the talk.
    """
    from markupsafe import Markup

    transcript = annotated.transcript
    if not len(transcript):
        return Markup("")
    narrow = width < 600
    left, right = (6, 6) if narrow else (140, 12)
    positions, timed = _positions(transcript), is_timed(transcript)

    def at(position: float) -> float:
        # beyond 2**53 seconds, a second later is no later
        share = (position - positions[0]) / ((positions[-1] - positions[0]) or 1.0)
        return round(left + share * (width - left - right), 1)

    def x(turn: int) -> float:
        return at((positions[turn] + positions[turn + 1]) / 2)

    parts = []
    for number, run in enumerate(runs, 1):
        parts.append(_band(number, run, at(positions[run.first]), at(positions[run.last + 1]), x))
    for position, name in _ticks(positions[0], positions[-1], timed, 4 if narrow else 10):
        parts.append(
            Markup('<path class="tick" d="M{0} {1}v4"/><text class="tick" x="{0}" y="{2}">{3}</text>').format(
                at(position), _FLOOR, _FLOOR + 17, name
            )
        )
    for line in (_CLIENT, _THERAPIST, _FLOOR):
        parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(left, line, width - right))
    scores, found = annotated.turn_scores(), present(annotated.markers)
    by_machine = {(m.turn, m.family) for m in annotated.markers if not m.source.startswith("coder:")}
    thresholds = annotated.provenance.thresholds if annotated.provenance else {}
    for family, (line, reach) in _LANES.items():
        stems = "".join(
            f"M{x(turn)} {line}v{value * reach:.1f}"
            for turn, values in scores.items()
            if (value := values.get(family, 0.0)) >= 0.02
        )
        parts.append(Markup('<g class="{}" data-family="{}">').format(family, family))
        if family in thresholds and scores:
            height = line + reach * thresholds[family]
            parts.append(Markup('<path class="threshold" d="M{} {:.1f}H{}"/>').format(left, height, width - right))
        parts.append(Markup('<path class="stems" d="{}"/>').format(stems))
        for turn in sorted(found[family]):
            score = scores.get(turn, {}).get(family)
            parts.append(_mark(transcript[turn], family, score, (turn, family) not in by_machine, x(turn)))
        parts.append(Markup("</g>"))
        if not narrow:  # there the names stand above, see the template
            parts.append(_lane_name(family))
    shares = [f"{x(turn)} {_TALK[1] - share * (_TALK[1] - _TALK[0]):.1f}" for turn, share in _shares(transcript)]
    if shares:
        middle = (_TALK[0] + _TALK[1]) / 2
        parts.append(Markup('<path class="half" d="M{} {}H{}"/>').format(left, middle, width - right))
        parts.append(Markup('<path class="talk" d="M{}"/>').format("L".join(shares)))
        place = (left, _TALK[0] - 3) if narrow else (0, middle + 4)
        parts.append(Markup('<text class="lane" x="{}" y="{}">Client’s share of talk</text>').format(*place))
    unit = "time" if timed else "turn"
    return Markup(
        '<svg class="course {}" viewBox="0 0 {} {}" width="{}" role="group" aria-label="Course by {}">{}</svg>'
    ).format("narrow" if narrow else "wide", width, _FLOOR + 22, width, unit, Markup("").join(parts))


def _band(number: int, run: Episode, start: float, end: float, x: Any) -> Markup:
    """Draw a rupture episode: a shade over both charts, and a bar above that tells whether repair was found."""
    from markupsafe import Markup

    start, end = start - 2, max(end, start + 4) + 2
    drawn = Markup('<rect class="episode" x="{:.1f}" y="26" width="{:.1f}" height="208"/>').format(start, end - start)
    if run.repair:
        last = x(run.repair[-1])
        drawn += Markup('<path class="repaired" d="M{:.1f} 22H{:.1f}"/>').format(start, max(end, last))
        if last > end:
            drawn += Markup('<path class="reach" d="M{:.1f} 22V{}"/>').format(last, _THERAPIST)
    else:
        drawn += Markup('<path class="open" d="M{:.1f} 22H{:.1f}"/>').format(start, end)
    return drawn + Markup('<text class="number" x="{:.1f}" y="15">{}</text>').format((start + end) / 2, number)


def _mark(turn: Turn, family: Family, value: float | None, by_hand: bool, x: float) -> Markup:
    """Draw the family's shape at the height of the turn's score, as a link to the turn."""
    from markupsafe import Markup

    line, reach = _LANES[family]
    shape = _SHAPES[family].format(x=x, y=round(line + reach * (0.6 if value is None else value), 1))
    told = f"Turn {turn.index}" + ("" if turn.start_s is None else f", {_clock(turn.start_s)}")
    told += f": {LABEL[family].lower()}" + ("" if value is None else f", {value:.2f}")
    return Markup('<a href="#t{}" aria-label="{}"><title>{}</title><path class="mark{}" d="{}"/></a>').format(
        turn.index, told, told, " by-hand" if by_hand else "", shape
    )


def _lane_name(family: Family) -> Markup:
    from markupsafe import Markup

    line, reach = _LANES[family]
    y = line + reach / 2 + 4
    return Markup('<g class="{}"><path class="icon" d="{}"/><text class="lane" x="20" y="{}">{}</text></g>').format(
        family, _SHAPES[family].format(x=7, y=y - 4), y, _SHORT[family]
    )
