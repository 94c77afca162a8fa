"""The corpus page: every session in a row with its course, and how often each marker comes.

A session is reduced to a `SessionRow` as soon as it is met, so that ten thousand of them fit in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..annotation import FAMILIES, AnnotatedTranscript, Episode
from ..codebook import Codebook, load_codebook
from ..coding import group_of
from ..episodes import episodes_of
from ..score import ROLE_OF, present
from ..segment import SESSION_FLAGS, flags_of
from ..transcript import ROLES, Role
from ..treatment import natural
from . import LABEL, asset, page, policy

WIDTH, MIDDLE = 160, 11
"""Of a course, in pixels: its width, and the line from which markers go up and down."""
SHORTEST, TALLEST = 3, 10
"""How far a marker goes whose probability is 0, and 1."""
SCALE = 88
"""Pixels of the scale of rates; four more at either end leave room for the shapes."""

# The shapes of `GLYPH`, drawn: about (0, 0), eight pixels high.
_SHAPES: Mapping[str, str] = {
    "rupture": "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "confrontation": "m-4.5 4h9l-4.5-8z",
    "withdrawal": "m-4.5-4h9l-4.5 8z",
    "resolution": "m0-5l5 5-5 5-5-5z",
    "therapist_defensive": "m-3.5-3.5h7v7h-7z",
}


@dataclass(frozen=True, slots=True)
class SessionRow:
    """What the corpus page shows of a session.

    Attributes
    ----------
    id : str
    href : str, optional
        Where the session's page is, seen from the corpus page.
    client : str, optional
    group : str
        What the session is drawn together with for intervals.
    number, date : str
        As the input had them; empty where it had none.
    turns : mapping
        Role → number of turns.
    counts : mapping
        (family or ``rupture``, marker or ``""`` for any) → turns with it, where there are some.
    episodes, answered : int
        Rupture episodes, and those with a resolution marker within or soon after.
    flags : tuple of str
        Of `SESSION_FLAGS`.
    course : str
        A drawing, as SVG.
    made_by : str
        What annotated it; empty for a coding by people alone.
    coders : frozenset of str
        The people who coded it.
    withheld : bool
        Whether words, names and paths were taken out.
    """

    id: str
    href: str | None
    client: str | None
    group: str
    number: str
    date: str
    turns: Mapping[str, int]
    counts: Mapping[tuple[str, str], int]
    episodes: int
    answered: int
    flags: tuple[str, ...]
    course: str
    made_by: str
    coders: frozenset[str]
    withheld: bool

    def rate(self, family: str) -> float | None:
        """Return the turns with a family per 100 of its role's, as `score.rates`; None where there is no such turn."""
        of = self.turns[ROLE_OF[family]]
        return 100 * self.counts.get((family, ""), 0) / of if of else None

    @property
    def n_turns(self) -> int:
        """All turns."""
        return sum(self.turns.values())

    @property
    def place(self) -> tuple[object, ...]:
        """What rows are sorted by: client, then number of the session, else date, else id; "s2" before "s10"."""
        client = self.client is None, natural(self.client or "")
        if self.withheld:  # a hash says nothing of the order; that of the input may
            return client
        # other spellings of a date do not sort, and may be read in two ways
        date = self.date if re.match(r"\d{4}-\d\d-\d\d", self.date) else ""
        return *client, not self.number, natural(self.number), not date, date, natural(self.id)


def session_row(annotated: AnnotatedTranscript, href: str | None = None) -> SessionRow:
    """Return what the corpus page shows of a session.

    Examples
    --------
    >>> from rupturekit import Marker, Transcript, Turn
    >>> session = Transcript("s1", tuple(Turn(i, "C", "client", "I guess.") for i in range(4)))
    >>> row = session_row(AnnotatedTranscript(session, (Marker(1, 0, 7, "withdrawal", "minimal_response"),)))
    >>> row.rate("withdrawal"), row.rate("resolution"), row.counts["withdrawal", "minimal_response"]
    (25.0, None, 1)
    """
    transcript, meta = annotated.transcript, annotated.transcript.meta
    on: dict[tuple[str, str], set[int]] = {(name, ""): turns for name, turns in present(annotated.markers).items()}
    for m in annotated.markers:
        on.setdefault((m.family, m.marker), set()).add(m.turn)
    # a rate is of the turns of one role
    on = {name: {i for i in turns if transcript[i].role == ROLE_OF[name[0]]} for name, turns in on.items()}
    found = episodes_of(annotated)
    flags = flags_of(transcript)
    sources = {m.source for m in annotated.markers} | {c.source for c in annotated.coded}
    return SessionRow(
        id=transcript.id,
        href=href,
        client=_told(meta.get("client_id")) or None,
        group=group_of(annotated),
        number=_told(meta.get("session_number")),
        date=_told(meta.get("date")),
        turns={role: sum(1 for _ in transcript.of(role)) for role in ROLES},
        counts={name: len(turns) for name, turns in on.items() if turns},
        episodes=len(found),
        answered=sum(bool(episode.repair) for episode in found),
        flags=tuple(flag for flag in SESSION_FLAGS if flag in flags),
        course=_course(annotated, {family: on[family, ""] for family in FAMILIES}, found),
        made_by=_made_by(annotated),
        coders=frozenset(source for source in sources if source.startswith("coder:")),
        withheld=bool(meta.get("text_withheld")),
    )


def _told(value: object) -> str:
    return "" if value is None else str(value)


def _made_by(annotated: AnnotatedTranscript) -> str:
    made = annotated.provenance
    if made is None:
        return ""
    parts = [f"rupturekit {made.version}", f"codebook {made.codebook}"]
    parts += [f"model {made.model} ({(made.model_sha256 or 'no hash')[:12]})" if made.model else "no model"]
    parts += [f"rules {made.rules_sha256[:12]}" if made.rules_sha256 else "no rules"]
    return ", ".join(parts)


# --- drawings -------------------------------------------------------------------------------------


def _course(annotated: AnnotatedTranscript, on: Mapping[str, set[int]], found: Iterable[Episode]) -> str:
    """Draw a session from its first turn to its last: confrontation up, withdrawal down, repair below."""
    from markupsafe import Markup

    n = max(len(annotated.transcript), 1)
    scores = annotated.turn_scores()

    def spikes(family: str, sign: str) -> str:
        tall: dict[int, int] = {}
        for turn in sorted(on[family]):
            # a coder's marker has no score, and stands as certain
            height = SHORTEST + round((TALLEST - SHORTEST) * scores.get(turn, {}).get(family, 1.0))
            x = turn * WIDTH // n
            tall[x] = max(tall.get(x, 0), height)
        return "".join(f"M{x}.5 {MIDDLE}v{sign}{height}" for x, height in tall.items())

    def band(episode: Episode) -> str:
        x, end = episode.first * WIDTH // n, (episode.last + 1) * WIDTH // n
        return f"M{x} 0H{max(end, x + 3)}V{2 * MIDDLE}H{x}z"

    paths = {
        "episode": "".join(map(band, found)),
        "middle": f"M0 {MIDDLE}h{WIDTH}",
        "confrontation": spikes("confrontation", "-"),
        "withdrawal": spikes("withdrawal", ""),
        "resolution": "".join(f"M{x}.5 23l3 3-3 3-3-3z" for x in sorted({i * WIDTH // n for i in on["resolution"]})),
    }
    drawn = "".join(f'<path class="{name}" d="{d}"/>' for name, d in paths.items() if d)
    thirds = {
        family: Counter(turn * 3 // n for turn in on[family])
        for family in ("confrontation", "withdrawal", "resolution")
    }
    told = "; ".join(f"{family} {', '.join(str(of[k]) for k in range(3))}" for family, of in thirds.items())
    label = f"Turns in the first, middle and last third: {told}"
    return Markup(f'<svg viewBox="0 0 {WIDTH} 30" role="img" aria-label="{label}">{drawn}</svg>')


# --- rates over the corpus ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rate:
    """Turns per 100 turns, from two columns of counts by session: a `coefficients.Coefficient`."""

    name: str
    turns: int
    of_turns: int

    def parts(self, codes: np.ndarray) -> np.ndarray:
        return codes[:, [self.turns, self.of_turns]]

    def of(self, total: np.ndarray) -> np.ndarray:
        turns, of_turns = np.moveaxis(total, -1, 0)
        return 100 * np.divide(turns, of_turns, out=np.full(turns.shape, np.nan), where=of_turns > 0)


class _Line(NamedTuple):
    """A line of a table of rates: a family, or one of its markers below it."""

    label: str
    family: str
    is_marker: bool
    turns: int
    sessions: int
    rate: float
    low: float
    high: float
    drawing: str = ""

    @property
    def interval(self) -> str:
        """The interval as it is read."""
        return "–" if np.isnan(self.low) else f"{self.low:.2f} to {self.high:.2f}"


class _Table(NamedTuple):
    """The lines of one role, drawn on a scale that ends at ``top``."""

    role: Role
    lines: Sequence[_Line]
    top: float


def _names(rows: Sequence[SessionRow], codebook: Codebook) -> Iterator[tuple[str, str, str]]:
    """Yield (family, marker or "", label) of every line: the codebook's, then what else the sessions have."""
    met = {name for row in rows for name in row.counts}
    for family in ("rupture", *FAMILIES):
        yield family, "", LABEL.get(family, "Rupture, either kind")
        told = {marker.id: marker.label for marker in codebook.of(family)}
        others = sorted(marker for f, marker in met if f == family and marker and marker not in told)
        # a marker that bears its family's name would say the same again
        yield from ((family, marker, told.get(marker, marker)) for marker in (*told, *others) if marker != family)


def _tables(rows: Sequence[SessionRow], codebook: Codebook, with_intervals: bool) -> list[_Table]:
    """Return how many turns have each family and marker, per 100 turns of the role, over all sessions."""
    from ..coefficients import resample, value

    names = list(_names(rows, codebook))
    roles: tuple[Role, ...] = ("client", "therapist")
    counts = [[*(row.counts.get((f, m), 0) for f, m, _ in names), *(row.turns[r] for r in roles)] for row in rows]
    codes = np.array(counts, float).reshape(len(rows), len(names) + len(roles))
    rates = [_Rate(f"{f}/{m}", k, len(names) + roles.index(ROLE_OF[f])) for k, (f, m, _) in enumerate(names)]
    if with_intervals:
        figures = resample(rates, codes, np.array([row.group for row in rows]))
    else:
        figures = {rate.name: (value(rate, codes), np.nan, np.nan) for rate in rates}
    lines = []
    for (family, marker, label), rate, column in zip(names, rates, codes.T):
        point, low, high = figures[rate.name]
        if not column.any():
            # clients drawn again say nothing of what none of them has
            low = high = np.nan
        n, sessions = int(column.sum()), int(np.count_nonzero(column))
        lines.append(_Line(label, family, bool(marker), n, sessions, point, low, high))
    return [_drawn(role, [line for line in lines if ROLE_OF[line.family] == role]) for role in roles]


def _drawn(role: Role, lines: Sequence[_Line]) -> _Table:
    top = _round_above(max((end for line in lines for end in (line.rate, line.high) if end > 0), default=1.0))
    return _Table(role, [line._replace(drawing=_interval(line, top)) for line in lines], top)


def _interval(line: _Line, top: float) -> str:
    """Draw a rate in its family's shape, and its interval as a line."""
    from markupsafe import Markup

    if not line.turns:
        return ""
    rate, low, high = (f"{4 + SCALE * end / top:.1f}" for end in (line.rate, line.low, line.high))
    extent = "" if np.isnan(line.low) else f'<path class="extent" d="M{low} 8H{high}"/>'
    point = f'<path d="M{rate} 8{_SHAPES[line.family]}"/>'
    return Markup(f'<svg class="{line.family}" viewBox="0 0 {SCALE + 8} 16">{extent}{point}</svg>')


def _round_above(value: float) -> float:
    """Return the next of 1, 2, 4, 10, 20, 40 and so on: their halves read well, too.

    >>> _round_above(4.2), _round_above(0.3)
    (10.0, 0.4)
    """
    tens = 10.0 ** np.floor(np.log10(value))
    return float(next(step * tens for step in (1, 2, 4, 10) if step * tens >= value))


# --- the page -------------------------------------------------------------------------------------


def corpus_page(rows: Iterable[SessionRow], codebook: Codebook | None = None) -> str:
    """Return the page of a corpus as HTML.

    Parameters
    ----------
    rows : iterable of SessionRow
        The sessions, in any order: they are put in that of their clients.
    codebook : Codebook, optional
        What the markers are called; the shipped one by default. Markers that it lacks stand by their names.

    Examples
    --------
    >>> from rupturekit import Transcript, Turn
    >>> session = Transcript("<s1>", (Turn(0, "C", "client", "I guess."),))
    >>> text = corpus_page([session_row(AnnotatedTranscript(session))])
    >>> "&lt;s1&gt;" in text, "<s1>" in text
    (True, False)
    """
    from ..agree import FEW_CLIENTS, LEAST_CLIENTS

    rows = sorted(rows, key=lambda row: row.place)
    n_named = len({row.client for row in rows} - {None})
    n_unnamed = sum(row.client is None for row in rows)
    n_groups = len({row.group for row in rows})
    n_withheld = sum(row.withheld for row in rows)
    flags = Counter(flag for row in rows for flag in row.flags)
    style, script = asset("base.css", "corpus.css"), asset("corpus.js")
    return page(
        "corpus.html",
        policy=policy(style, script),
        style=style,
        script=script,
        rows=rows,
        n_turns={role: sum(row.turns[role] for row in rows) for role in ROLES},
        n_named=n_named,
        n_unnamed=n_unnamed,
        n_groups=n_groups,
        unit="session" if not n_named else "client" if n_groups == n_named + n_unnamed else "group",
        least=LEAST_CLIENTS,
        few=FEW_CLIENTS,
        n_withheld=n_withheld,
        n_coders=len({coder for row in rows for coder in row.coders}),
        made_by=Counter(row.made_by for row in rows if row.made_by),
        tables=_tables(rows, codebook or load_codebook(), n_groups >= LEAST_CLIENTS),
        families=FAMILIES,
        label=LABEL,
        flags=[(flag, meaning, flags[flag]) for flag, meaning in SESSION_FLAGS.items() if flag in flags],
        several=_several,
        figure=_figure,
    )


def _several(n: int, noun: str) -> str:
    """Return "1 session" or "1,000 sessions"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"
