"""Agreement between coders, people and machine: at turns, segments and sessions, with intervals by client.

Who is compared
---------------
A coder is a ``coder:<id>`` of the codings; the machine's markers, ``rule`` and ``model``, are together the coder
`MACHINE`. `HALF`, for the machine to be measured against, gives what at least half of the people who coded the unit
gave (`coding.GOLD`): of two, what either gave. What a coder did not read is missing, never "none".

What is compared
----------------
Units are the client's turns for the client's families, their markers and rupture, and the therapist's turns for the
others. A segment or session is coded by those who read all of its turns of that role; without one it is no unit.
What a sheet gives for a segment, without a turn (`sheets.SEGMENT_NOTE`), counts by segment and session. By turn it does
not: its coder's reading of the family is missing from there to the end of the segment.

presence
    1 where the coder gave the family or marker, else 0.
clarity
    0 where it is absent, else the highest clarity, 1 to 3; unknown where one of the markers has none. Comparisons
    with a coder who never gives a clarity, as the machine, go without.
count, rate
    In segments and sessions the number of turns with it; in sessions also the same per 100 turns of the role.
spans
    The words that the markers of a turn stand on, where all who are compared read the turn.

Every comparison takes the units that at least two of the compared coded (an ICC: all of them), and nothing else
enters its figures, their chance part included. Samples for double coding are often drawn by score; what only one
coder read would put another prevalence into the agreement that is expected by chance.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, groupby
from os import PathLike
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from . import __version__
from .annotation import (
    CLIENT_FAMILIES,
    FAMILIES,
    MADE_BY,
    SCORES,
    AnnotatedTranscript,
    Family,
    Marker,
    Provenance,
    made_by,
)
from .codebook import Codebook, load_codebook
from .coding import GOLD, group_of, merged
from .coefficients import (
    ICC,
    PABAK,
    Against,
    Alpha,
    BiasIndex,
    Coefficient,
    FleissKappa,
    GwetAC,
    Interval,
    IntervalAlpha,
    Kappa,
    PrevalenceIndex,
    RawAgreement,
    SpanF1,
    SpecificAgreement,
    UnitizedAlpha,
    exact_matches,
    icc_interval,
    overlap_matches,
    resample,
    unitized,
    value,
    word_matches,
)
from .folders import whole_folder
from .score import FAMILIES_OF, ROLE_OF, SEGMENT_S, is_timed, segments
from .sheets import SEGMENT_NOTE
from .transcript import Role, Transcript

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["turn", "segment", "session"]
Scale = Literal["presence", "clarity", "count", "rate", "spans"]
MACHINE = "machine"
HALF = "at least half"
"""What at least half of the people gave who coded a unit."""
LEAST_CLIENTS = 10
"""Clients from which an interval is given."""
FEW_CLIENTS = 20
"""Clients below which an interval comes with a warning."""
_ROLES: tuple[Role, ...] = ("client", "therapist")


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far coders agree, and where they do not.

    Attributes
    ----------
    level : {"turn", "segment", "session"}
    coders : tuple of str
        Sorted, `MACHINE` last.
    names : tuple of str
        The families and markers compared, and ``rupture``.
    compared : mapping
        Each comparison (``all``, ``humans``, ``AB vs CD``, ``machine vs AB``, ``machine vs at least half``) → who is in
        it.
    main : str
        The comparison that a paper is about: of all people, or of the machine with the one person there is.
    n : mapping
        ``client_units``, ``therapist_units``, ``sessions`` and ``clients`` that two coders of `main` coded, and how
        many of the sessions are ``unnamed``: they name no client, and count as one each.
    coded : mapping
        Each coder of `main` → the same counts of what this coder coded of it.
    table : list of dict
        A row for each figure: ``level, name, codes`` (presence, clarity, …), ``coders`` (the comparison),
        ``statistic, value, low, high, interval`` (by ``clients`` or ``McGraw–Wong``), ``n`` (units), ``sessions,
        clients``, and for each coder ``prevalence <coder>``, the share of these units with the code. NaN where a
        figure is undefined, has no interval, or the coder is not compared.
    never_given : tuple of str
        Markers of the codebook that no coder gave.
    notes : tuple of str
        What to know before the figures are used.
    """

    level: Level
    coders: tuple[str, ...]
    names: tuple[str, ...]
    compared: Mapping[str, tuple[str, ...]]
    main: str
    n: Mapping[str, int]
    coded: Mapping[str, Mapping[str, int]]
    table: list[dict[str, Any]] = field(repr=False)
    never_given: tuple[str, ...]
    notes: tuple[str, ...]
    codebook: Codebook = field(repr=False)
    segment_s: float
    draws: int
    seed: int
    _sessions: Sequence[_Session] = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.table)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the table: figures to six digits, empty where they are NaN."""
        _write_csv(path, list(self.table[0]), self.table)

    @property
    def disagreements(self) -> Iterator[dict[str, Any]]:
        """The turns on which coders differ, whatever the level, in the order of sessions and turns.

        A row for each turn and family that at least two coders read: ``session, turn, role, name, text``, and for
        each coder (``coder:<id>``, ``machine``) the codes with clarity and words, ``none``, or nothing where the
        coder did not read. The name is the family's where coders differ on it, else the markers on which they do.
        Rupture has rows only where neither of its families is compared. What a sheet gives for a segment is told on
        the segment's first turn, without words; on the others its coder is not taken to have said "none".
        """
        alone = not set(CLIENT_FAMILIES) & set(self.names)
        for session in self._sessions:
            placed = session.placed(self.segment_s)
            for t in sorted({t for given in session.given.values() for t in given}):
                turn = session.transcript[t]
                for whole in ("rupture",) if alone and turn.role == "client" else FAMILIES_OF[turn.role]:
                    families = _families(whole, self.codebook)
                    marked = {coder: markers for coder, markers in session.said(t, families).items() if markers}
                    said = placed.said(t, families) | marked
                    if name := _differing(whole, said, self.names):
                        yield {
                            **{"session": session.transcript.id, "turn": t, "role": turn.role},
                            **{"name": name, "text": turn.text},
                            **{_source(coder): _told(turn.text, said.get(coder)) for coder in self.coders},
                        }

    def disagreements_csv(self, path: str | PathLike[str]) -> None:
        """Write the disagreements for a spreadsheet; no cell of it is a formula."""
        header = ["session", "turn", "role", "name", "text", *map(_source, self.coders)]
        _write_csv(path, header, self.disagreements)

    def disagreements_html(self, path: str | PathLike[str]) -> None:
        """Write the disagreements as one page that loads nothing and runs nothing."""
        head = _cells("th", ["turn", "role", "code", "words", *self.coders])
        parts, n = [], 0
        for session, rows in groupby(self.disagreements, key=lambda row: str(row["session"])):
            body = [_cells("td", list(row.values())[1:]) for row in rows]
            parts += [f"<h2 dir=auto>{html.escape(session)}</h2>", "<table>", head, *body, "</table>"]
            n += len(body)
        digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        page = _PAGE.substitute(digest=digest, style=_STYLE, n=_number(n, "disagreement"), tables="\n".join(parts))
        Path(path).write_text(page, "utf-8", newline="\n")

    def markdown(self) -> str:
        """Return the main figures of every comparison as Markdown tables, and the notes.

        Single markers are in the table of the main comparison alone; `table` has them for all.
        """
        parts = []
        for coders in self.compared:
            header, body = self._summary(coders, self.names if coders == self.main else self._headed)
            rows = [[_plain(cell).replace("|", r"\|") for cell in row] for row in (header, *body)]
            lines = ["| " + " | ".join(row) + " |" for row in (rows[0], ["---"] * len(header), *rows[1:])]
            if body:
                # of more than two the name does not say who, and whose shares stand where
                who = self.compared[coders]
                name = coders if len(who) == 2 else f"{coders} ({', '.join(who)})"
                parts.append("\n".join([f"## {_plain(name)}, by {self.level}", "", *lines]))
        return "\n\n".join([*parts, *map(_plain, self.notes)]) + "\n"

    def latex(self) -> str:
        """Return tables of the main comparison and of the machine with the people; they need ``booktabs``."""
        parts = []
        for coders in dict.fromkeys(filter(None, (self.main, self._machine))):
            header, body = self._summary(coders, self.names)
            rows = [" & ".join(map(_tex, row)) + r" \\" for row in (header, *body)]
            who = ", ".join(self._gold if coder == HALF else coder for coder in self.compared[coders])
            caption = _tex(f"Agreement by {self.level} of {who}. {self._about_intervals()}")
            lines = [
                *(r"\begin{table}", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"),
                *(r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"),
                *(r"\end{tabular}", r"\end{table}"),
            ]
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"

    def apa(self) -> str:
        """Return a paragraph for a paper, in APA style; what stands between asterisks is to be set in italics."""
        return " ".join([*self._study(), *self._presence(), *self._further(), *self._against(), *self._method()]) + "\n"

    def _study(self) -> Iterator[str]:
        who = [coder for coder in self.compared[self.main] if coder != MACHINE]
        coders = f"{_WORDS.get(len(who), len(who))} coder{'s' * (len(who) > 1)} ({', '.join(map(_plain, who))})"
        if MACHINE in self.compared[self.main]:
            coders += " and the machine"
        named = self.n["unnamed"] < self.n["sessions"]
        what = self._amount(self.n) + f" from {_clients(self.n)}" * named
        yield f"{coders} coded {what} with the codebook {self.codebook.name} {self.codebook.version}".strip() + "."
        if any(mine != self.n for mine in self.coded.values()):
            (first, n), *others = self.coded.items()
            each = [f"{first} coded {self._amount(n)}", *(f"{coder} {self._amount(n)}" for coder, n in others)]
            yield f"Of these, {_plain(', '.join(each))}."
        yield from _alone(self._sessions, self.coders, self.compared[self.main])

    def _amount(self, n: Mapping[str, int]) -> str:
        """Return how many units and sessions there are."""
        units = []
        for role in _ROLES:
            if (count := n[f"{role}_units"]) and self.level == "turn":
                units.append(_number(count, f"{role} turn"))
            elif count and self.level == "segment":
                units.append(f"{_number(count, f'{self.segment_s:g}-s segment')} with {role} turns")
        return " and ".join(units) + " of " * bool(units) + _number(n["sessions"], "session")

    def _presence(self) -> Iterator[str]:
        absent = []
        statistic, sign = (_KAPPA, "Cohen's κ") if self._is_pair else (_ALPHA, "Krippendorff's α")
        for name in self._headed:
            row = self._figure(self.main, name, "presence", "agreement")
            if row and not any(row[f"prevalence {coder}"] > 0 for coder in self.compared[self.main]):
                absent.append(self._in_text(name))
            elif row:
                main = self._figure(self.main, name, "presence", statistic)
                figures = [f"{sign} {f'= {_with_interval(main)}' if main else 'undefined'}"]
                for further in ("agreement", "positive agreement", _AC1):
                    if found := self._figure(self.main, name, "presence", further):
                        figures.append(f"{further} = {_apa(found['value'])}")
                given = f"*n* = {row['n']:,}, given in {self._shares(row)}%"
                yield f"For {self._in_text(name)} ({given}), {', '.join(figures)}."
        if absent:
            yield f"Nobody gave {', '.join(absent)} in what was compared."

    def _further(self) -> Iterator[str]:
        for codes, statistic, start in _FURTHER:
            figures = [
                f"{_with_interval(row)} for {self._in_text(name)}"
                for name in self._headed
                if (row := self._figure(self.main, name, codes, statistic))
            ]
            if figures and not (self._is_pair and statistic == "Krippendorff's alpha, ordinal"):
                yield f"{start} = {'; '.join(figures)}."

    def _against(self) -> Iterator[str]:
        parts = []
        for name in self._headed:
            if self._machine and (f1 := self._figure(self._machine, name, "presence", "F1")):
                rates = [
                    f"{statistic} = {_apa(row['value'])}"
                    for statistic in ("precision", "recall")
                    if (row := self._figure(self._machine, name, "presence", statistic))
                ]
                parts.append(f"{', '.join(rates)}, *F*1 = {_with_interval(f1)} for {self._in_text(name)}")
        if parts:
            yield f"Against {self._gold}, the machine reached {'; '.join(parts)}."

    def _method(self) -> Iterator[str]:
        if not self._is_pair:
            yield "Krippendorff's α takes units that only some of the coders coded."
        yield f"Gwet's AC1 is given beside {'κ' if self._is_pair else 'α'}, which falls where a code is rare."
        yield self._about_intervals()
        yield f"Computed with rupturekit {__version__}."

    def _about_intervals(self) -> str:
        clients, unnamed = _clients(self.n), "".join(f" {said}" for said in _unnamed(self.n))
        if self.n["clients"] < LEAST_CLIENTS:
            return f"With {clients} (fewer than {LEAST_CLIENTS}) figures are exploratory, without intervals.{unnamed}"
        drawn = clients.split()[-1]
        made = (
            f"Intervals are 95% percentile intervals of {self.draws:,} bootstrap samples of {drawn} (seed {self.seed})."
        )
        if self.n["clients"] < FEW_CLIENTS:
            made += f" With {clients} (fewer than {FEW_CLIENTS}) they are rough, and the figures exploratory."
        return made + unnamed

    @property
    def _gold(self) -> str:
        """What the machine is measured against."""
        people = len(self.coders) - (MACHINE in self.coders)
        if people == 2:
            return "what either of the two coders gave"
        return "what at least half of the coders gave" if people > 2 else "the coder"

    @property
    def _is_pair(self) -> bool:
        return len(self.compared[self.main]) == 2

    @property
    def _machine(self) -> str | None:
        """The comparison of the machine with all people; None without a machine."""
        last = list(self.compared)[-1]
        return last if MACHINE in self.coders else None

    @property
    def _headed(self) -> list[str]:
        """The names that the text is about: families and rupture, unless only markers are compared."""
        return [name for name in self.names if name in SCORES] or list(self.names)

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], dict[str, Any]]:
        return {(r["coders"], r["name"], r["codes"], r["statistic"]): r for r in reversed(self.table)}

    def _figure(self, coders: str, name: str, codes: Scale, statistic: str) -> dict[str, Any] | None:
        """Return a row of the table, None where its figure is undefined."""
        row = self._rows.get((coders, name, codes, statistic))
        return None if row is None or np.isnan(row["value"]) else row

    def _shares(self, row: Mapping[str, Any]) -> str:
        """Return in how many per cent of the units each who is compared gave the code."""
        shares = [row[f"prevalence {coder}"] for coder in self.compared[row["coders"]]]
        return " / ".join(f"{100 * share:.1f}" for share in shares if not np.isnan(share))

    def _summary(self, coders: str, names: Iterable[str]) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows of a comparison's table for people, without the columns that are empty."""
        body = []
        for name in names:
            if row := self._figure(coders, name, "presence", "agreement"):
                cells = []
                for _, codes, statistic, with_interval in _COLUMNS:
                    found = self._figure(coders, name, codes, statistic)
                    cells.append((_apa(found["value"]) + _ends(found) * with_interval) if found else "")
                body.append([self._label(name), str(row["n"]), self._shares(row), *cells])
        header = ["code", "n", "given, %", *(column[0] for column in _COLUMNS)]
        used = [i for i in range(len(header)) if any(row[i] for row in body)]
        return [header[i] for i in used], [[row[i] for i in used] for row in body]

    def _label(self, name: str) -> str:
        return self.codebook[name].label if name in self.codebook else name.replace("_", " ").capitalize()

    def _in_text(self, name: str) -> str:
        label = _plain(self._label(name))
        return label[:1].lower() + label[1:]


_KAPPA, _ALPHA, _AC1 = "Cohen's kappa", "Krippendorff's alpha, nominal", "Gwet's AC1"
_COLUMNS: Sequence[tuple[str, Scale, str, bool]] = (
    ("agreement", "presence", "agreement", False),
    ("positive", "presence", "positive agreement", False),
    ("κ", "presence", _KAPPA, True),
    ("α", "presence", _ALPHA, True),
    ("AC1", "presence", _AC1, False),
    ("κ of clarity", "clarity", "Cohen's kappa, quadratic", False),
    ("α of clarity", "clarity", "Krippendorff's alpha, ordinal", False),
    ("ICC of count", "count", "ICC(A,1)", True),
    ("ICC of rate", "rate", "ICC(A,1)", False),
    ("F1 of words", "spans", "span words F1", False),
    ("unitised α", "spans", "Krippendorff's alpha, unitized", False),
    ("precision", "presence", "precision", False),
    ("recall", "presence", "recall", False),
    ("F1", "presence", "F1", True),
)
"""Of tables for people: title, codes, statistic, and whether its interval is shown."""
_FURTHER: Sequence[tuple[Scale, str, str]] = (
    ("clarity", "Cohen's kappa, quadratic", "For clarity (0 absent to 3 strong), quadratically weighted κ"),
    ("clarity", "Krippendorff's alpha, ordinal", "For clarity (0 absent to 3 strong), ordinal α"),
    ("spans", "span words F1", "For the words marked, F1"),
    ("spans", "Krippendorff's alpha, unitized", "For the stretches marked, unitised α"),
    ("count", "ICC(A,1)", "For the number of turns, ICC(A,1), absolute agreement of single coders,"),
    ("rate", "ICC(A,1)", "For the rate per 100 turns, ICC(A,1)"),
)
"""Of the text, after presence: codes, statistic, start of the sentence."""


def agreement(
    *codings: Iterable[AnnotatedTranscript],
    level: Level = "turn",
    segment_s: float = SEGMENT_S,
    names: Iterable[str] | None = None,
    codebook: Codebook | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Compare codings of the same sessions.

    Parameters
    ----------
    *codings : iterable of AnnotatedTranscript
        As `rupturekit.load`, `exchange.import_codes` and `coding.read_coded` return them; sessions are joined by id.
        A coder's work may be spread over several.
    level : {"turn", "segment", "session"}
        What a unit is.
    segment_s : float
        Length of segments in seconds, see `score.segments`.
    names : iterable of str, optional
        Families, markers and ``rupture``; by default all families, rupture, and the markers that somebody gave.
    codebook : Codebook, optional
        Whose codes were used; the shipped one by default.
    draws, seed : int
        Resamples of clients for each interval. A client is the session's ``client_id``, else its ``group``; a session
        that names neither counts as one.

    Raises
    ------
    ValueError
        If no two coders coded the same, two coders' ids differ in case alone, two codings are of different transcripts,
        a coder coded a turn in two ways, or a coding contradicts itself. The message names session and turn, and quotes
        no words.

    Examples
    --------
    >>> from rupturekit import Coded, Turn
    >>> talk = Transcript("s1", tuple(Turn(i, "C", "client", "I guess.") for i in range(4)))
    >>> def coded_by(coder, *turns):
    ...     given = (Marker(t, 0, 7, "withdrawal", "minimal_response", source=f"coder:{coder}") for t in turns)
    ...     read = (Coded(f"coder:{coder}", family, 0, 3) for family in CLIENT_FAMILIES)
    ...     return AnnotatedTranscript(talk, tuple(given), coded=tuple(read))
    >>> found = agreement([coded_by("AB", 0, 1)], [coded_by("CD", 0)])
    >>> rows = [row for row in found.table if (row["name"], row["statistic"]) == ("withdrawal", "Cohen's kappa")]
    >>> [(row["coders"], row["value"], row["n"]) for row in rows]
    [('AB vs CD', 0.5, 4)]
    >>> [(row["turn"], row["coder:AB"], row["coder:CD"]) for row in found.disagreements]
    [(1, 'minimal_response “I guess”', 'none')]
    """
    if level not in get_args(Level):
        raise ValueError(f"level {level!r}: give {', '.join(get_args(Level))}")
    if not segment_s > 0 or draws < 1:
        raise ValueError("a segment needs a length above 0 seconds, and an interval at least one draw")
    book = codebook or load_codebook()
    known = tuple(dict.fromkeys([*SCORES, *(m.id for m in book.markers)]))
    asked = None if names is None else set(names)
    if wrong := (asked or set()) - set(known):
        raise ValueError(f"no family or marker {', '.join(sorted(wrong))} in {book.name}")
    sessions = _joined(codings, book)
    everybody = {coder for s in sessions for coder in s.read}
    coders = (*sorted(everybody - {MACHINE}), *({MACHINE} & everybody))
    if alike := [two for two in combinations(coders, 2) if two[0].casefold() == two[1].casefold()]:
        raise ValueError(f"{alike[0][0]} and {alike[0][1]} would be two coders; give one coder one id in all codings")
    compared = _comparisons(coders)
    if not compared:
        raise ValueError(f"agreement needs two coders; here is {', '.join(coders) or 'none'}. Give another coding")
    given = {m.marker for s in sessions for m in s.markers}
    chosen = tuple(name for name in known if name in (set(SCORES) | given if asked is None else asked))
    counted = [s.placed(segment_s) for s in sessions] if level == "turn" else sessions
    turns = {role: _turns(counted, coders, role, level, segment_s) for role in _ROLES}
    table = [row for name in chosen for row in _rows(turns[_role(name, book)], name, book, compared, draws, seed)]
    if not table:
        apart = all(len(s.read) < 2 for s in sessions)
        why = "; no session is in two codings by its id, and outputs made with --no-text have hashes for ids" * apart
        raise ValueError(f"no {level} was coded by two of {', '.join(coders)}{why}")
    people = tuple(coder for coder in coders if coder != MACHINE)
    main = next(label for label, who in compared.items() if who == people or len(compared) == 1)
    families = {f for x in chosen for f in _families(x, book)}
    n, *parts = _extent(counted, turns, [coders.index(c) for c in compared[main]], families)
    coded = dict(zip(compared[main], parts))
    never = tuple(m.id for m in book.markers if m.id not in given)
    notes = tuple(_notes(sessions, coders, compared[main], n, never, level))
    return Agreement(
        level, coders, chosen, compared, main, n, coded, table, never, notes, book, segment_s, draws, seed, sessions
    )


def write(agreement: Agreement, folder: str | PathLike[str]) -> list[Path]:
    """Write all there is into a folder, and return the files, sorted.

    ``agreement.csv`` has every figure, ``agreement.tex`` the tables and ``agreement.txt`` the paragraph for a paper,
    ``disagreements.csv`` and ``disagreements.html`` the turns to talk about; ``made-by.json`` tells versions, and the
    rules and models of the machine's codings.
    """
    folder = Path(folder)
    with whole_folder(folder) as parts:
        agreement.to_csv(parts / "agreement.csv")
        (parts / "agreement.tex").write_text(agreement.latex(), "utf-8", newline="\n")
        (parts / "agreement.txt").write_text(agreement.apa(), "utf-8", newline="\n")
        agreement.disagreements_csv(parts / "disagreements.csv")
        agreement.disagreements_html(parts / "disagreements.html")
        made_from = (provenance for s in agreement._sessions for provenance in s.made_from)
        (parts / MADE_BY).write_text(made_by(made_from), "utf-8", newline="\n")
    names = ("agreement.csv", "agreement.tex", "agreement.txt", "disagreements.csv", "disagreements.html", MADE_BY)
    return [folder / name for name in names]


def _families(name: str, book: Codebook) -> tuple[Family, ...]:
    """Return the families that a coder must have read for a name."""
    if name == "rupture":
        return CLIENT_FAMILIES
    return tuple(f for f in FAMILIES if f == name) or (book[name].parent,)


def _role(name: str, book: Codebook) -> Role:
    return "client" if _families(name, book)[0] in CLIENT_FAMILIES else "therapist"


@dataclass(frozen=True)
class _Session:
    """A session of all codings together: what each coder read (turns × families) and gave (by turn)."""

    transcript: Transcript
    read: Mapping[str, np.ndarray]
    given: Mapping[str, Mapping[int, tuple[Marker, ...]]]
    made_from: tuple[Provenance, ...] = ()

    @property
    def client(self) -> str:
        return str(self.transcript.meta.get("client_id") or group_of(AnnotatedTranscript(self.transcript)))

    @property
    def is_unnamed(self) -> bool:
        """Whether neither a client nor a group is named that would tell it from sessions of the same client."""
        transcript = self.transcript
        return not transcript.meta.get("client_id") and group_of(AnnotatedTranscript(transcript)) == transcript.id

    @property
    def markers(self) -> Iterator[Marker]:
        return (m for by_turn in self.given.values() for markers in by_turn.values() for m in markers)

    def placed(self, segment_s: float) -> _Session:
        """Return the session without the markers given for a segment, and without their coders' readings there.

        Such a marker is somewhere in the segment: no turn can be said to have its family, nor to lack it.
        """
        loose = [
            (coder, m)
            for coder, by_turn in self.given.items()
            for markers in by_turn.values()
            for m in markers
            if _is_loose(m)
        ]
        if not loose:
            return self
        segment_of = {t: turns for turns in segments(self.transcript, segment_s).values() for t in turns}
        read = {coder: mine.copy() for coder, mine in self.read.items()}
        for coder, m in loose:
            read[coder][[t for t in segment_of[m.turn] if t >= m.turn], FAMILIES.index(m.family)] = False
        given = {
            coder: {t: tuple(m for m in markers if not _is_loose(m)) for t, markers in by_turn.items()}
            for coder, by_turn in self.given.items()
        }
        return replace(self, read=read, given=given)

    def said(self, turn: int, families: Sequence[Family]) -> dict[str, list[Marker]]:
        """Return the markers of some families on a turn, for each coder who read it for them."""
        columns = [FAMILIES.index(f) for f in families]
        return {
            coder: [m for m in self.given.get(coder, {}).get(turn, ()) if m.family in families]
            for coder, read in self.read.items()
            if read[turn, columns].all()
        }


def _joined(codings: Iterable[Iterable[AnnotatedTranscript]], book: Codebook) -> list[_Session]:
    """Return the sessions of all codings, joined by id and sorted."""
    joined: dict[str, _Session] = {}
    for coding in codings:
        for session in coding:
            new, id = _checked(_session(session), book), session.transcript.id
            joined[id] = _together(joined[id], new) if id in joined else new
    return [joined[id] for id in sorted(joined)]


def _session(session: AnnotatedTranscript) -> _Session:
    shape, id = (len(session.transcript), len(FAMILIES)), session.transcript.id
    read: dict[str, np.ndarray] = {}
    for part in session.coded:
        mine = read.setdefault(_coder(part.source, id), np.zeros(shape, bool))
        mine[part.first : part.last + 1, FAMILIES.index(part.family)] = True
    given: dict[str, dict[int, tuple[Marker, ...]]] = {}
    for m in session.markers:
        by_turn = given.setdefault(_coder(m.source, id), {})
        by_turn[m.turn] = (*by_turn.get(m.turn, ()), m)
    if MACHINE not in read and (MACHINE in given or (session.provenance and not session.coded)):
        read[MACHINE] = np.ones(shape, bool)  # it goes through all of a session that it annotates
    return _Session(session.transcript, read, given, (session.provenance,) if session.provenance else ())


def _coder(source: str, session: str) -> str:
    if source in ("rule", "model"):
        return MACHINE
    kind, _, name = source.partition(":")
    if kind != "coder" or name in ("", MACHINE, HALF):
        raise ValueError(f"session {session}: no coder can be called {source!r}; give coder:<id>")
    return name


def _checked(session: _Session, book: Codebook) -> _Session:
    family_of = {m.id: m.parent for m in book.markers}
    for coder, by_turn in session.given.items():
        for t, markers in by_turn.items():
            for m in markers:
                role = session.transcript[t].role if 0 <= t < len(session.transcript) else "nobody"
                if family_of.get(m.marker) != m.family:
                    wrong = f"{book.name} has no {m.marker} in {m.family}; give the codebook that was used"
                elif role != ROLE_OF[m.family]:
                    wrong = f"{m.marker} on a turn of role {role}; check who is client and who therapist"
                elif coder not in session.read or not session.read[coder][t, FAMILIES.index(m.family)]:
                    wrong = f"{coder} gave {m.marker} here and by `coded` did not read the turn for {m.family}"
                elif m.clarity not in (None, 1, 2, 3):
                    wrong = f"{m.marker} has clarity {m.clarity}; it is 1, 2, 3 or not given"
                else:
                    continue
                raise ValueError(f"session {session.transcript.id}, turn {t}: {wrong}")
    return session


def _together(a: _Session, b: _Session) -> _Session:
    """Join two codings of one session."""
    one, other = a.transcript, b.transcript
    merged((AnnotatedTranscript(one), AnnotatedTranscript(other)))  # refuses different transcripts
    read, given = dict(a.read), dict(a.given)
    for coder, mine in b.read.items():
        before, now = ({_code(m): m for t in x.given.get(coder, {}).values() for m in t} for x in (a, b))
        if coder in read:
            both = read[coder] & mine
            if differ := [m for m in before.keys() ^ now.keys() if both[m[0], FAMILIES.index(m[1])]]:
                raise ValueError(
                    f"session {one.id}, turn {min(differ)[0]}: {coder} coded it in two ways. Give one coding of it, or "
                    "two ids to the coder"
                )
            mine = read[coder] | mine
        read[coder] = mine
        by_turn: dict[int, tuple[Marker, ...]] = {}
        for m in (before | now).values():
            by_turn[m.turn] = (*by_turn.get(m.turn, ()), m)
        given[coder] = by_turn
    meta = {**other.meta, **{key: fact for key, fact in one.meta.items() if fact is not None}}
    return _Session(replace(one, meta=meta), read, given, a.made_from + b.made_from)


def _code(m: Marker) -> tuple[Any, ...]:
    return m.turn, m.family, m.marker, m.start, m.end, m.clarity or 0


@dataclass(frozen=True)
class _Turns:
    """The turns of one role, session after session, and what each coder read and gave there.

    Attributes
    ----------
    text : list of str
    length, session, client : ndarray
        Of each turn: characters, and numbers of session and client.
    first : ndarray
        The turn with which each unit begins.
    read : ndarray, shape (n_turns, n_coders, n_families)
    given : mapping
        Marker → rows of turn, coder, clarity, start, end.
    unclear : list of int
        The machine, and coders who gave markers, none of them with a clarity.
    """

    level: Level
    coders: tuple[str, ...]
    text: list[str]
    length: np.ndarray
    session: np.ndarray
    client: np.ndarray
    first: np.ndarray
    read: np.ndarray
    given: Mapping[str, np.ndarray]
    unclear: list[int]

    def given_as(self, name: str, book: Codebook) -> np.ndarray:
        """Return the rows of a marker, or of all markers of a family or of rupture."""
        names = {name} if name in book else set()
        families = _families(name, book) if name in SCORES else ()
        rows = [
            self.given[m.id] for m in book.markers if m.id in self.given and (m.id in names or m.parent in families)
        ]
        return np.concatenate([np.zeros((0, 5)), *rows])

    def codes(self, families: Sequence[Family], given: np.ndarray) -> dict[Scale, np.ndarray]:
        """Return (units, coders) for each scale, NaN where a coder did not read all of a unit."""
        read = self.read[:, :, [FAMILIES.index(f) for f in families]].all(2)
        at = given[:, 0].astype(int), given[:, 1].astype(int)
        there, clarity = np.zeros(read.shape), np.zeros(read.shape)
        there[at] = 1
        np.maximum.at(clarity, at, given[:, 2])  # one unknown makes the highest unknown
        count = np.add.reduceat(there, self.first)
        codes: dict[Scale, np.ndarray] = {
            "presence": (count > 0).astype(float),
            "clarity": np.maximum.reduceat(clarity, self.first),
        }
        if self.level != "turn":
            codes["count"] = count
        if self.level == "session":
            codes["rate"] = 100 * count / np.diff(self.first, append=len(self.text))[:, None]
        whole = np.logical_and.reduceat(read, self.first)
        return {scale: np.where(whole, values, np.nan) for scale, values in codes.items()}


def _turns(sessions: Sequence[_Session], coders: tuple[str, ...], role: Role, level: Level, segment_s: float) -> _Turns:
    text: list[str] = []
    session: list[int] = []
    unit: list[tuple[int, int]] = []
    read = [np.zeros((0, len(coders), len(FAMILIES)), bool)]
    given: dict[str, list[tuple[float, ...]]] = {}
    for number, s in enumerate(sessions):
        mine = [turn.index for turn in s.transcript if turn.role == role]
        row = {t: i for i, t in enumerate(mine, len(text))}
        text += [s.transcript[t].text for t in mine]
        session += [number] * len(mine)
        part = {t: t if level == "turn" else 0 for t in mine}
        if level == "segment":
            part = {t: k for k, members in segments(s.transcript, segment_s).items() for t in members}
        unit += [(number, part[t]) for t in mine]
        nothing = np.zeros((len(s.transcript), len(FAMILIES)), bool)
        read.append(np.stack([s.read.get(coder, nothing)[mine] for coder in coders], 1))
        for c, coder in enumerate(coders):
            for m in (m for t, markers in s.given.get(coder, {}).items() if t in row for m in markers):
                clarity = np.nan if m.clarity is None else m.clarity
                given.setdefault(m.marker, []).append((row[m.turn], c, clarity, m.start, m.end))
    clients = {client: i for i, client in enumerate(dict.fromkeys(s.client for s in sessions))}
    of = np.array(session, int)
    first = [i for i, here in enumerate(unit) if i == 0 or here != unit[i - 1]]
    events = {marker: np.array(rows, float) for marker, rows in given.items()}
    clarity_of = [[x for rows in given.values() for _, c, x, *_ in rows if c == coder] for coder in range(len(coders))]
    return _Turns(
        level,
        coders,
        text,
        np.array([len(words) for words in text], int),
        of,
        np.array([clients[s.client] for s in sessions], int)[of],
        np.array(first, int),
        np.concatenate(read),
        events,
        [c for c, mine in enumerate(clarity_of) if coders[c] == MACHINE or (mine and np.isnan(mine).all())],
    )


def _comparisons(coders: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return who is compared: all, all people, each two people, the machine with each and with all of them."""
    people = [coder for coder in coders if coder != MACHINE]
    groups = {"all": tuple(coders)} if len(coders) > 2 else {}
    if 2 < len(people) < len(coders):
        groups["humans"] = tuple(people)
    pairs = list(combinations(people, 2))
    if MACHINE in coders:
        pairs += [(MACHINE, other) for other in (*people, *[HALF] * (len(people) > 1))]
    return groups | {f"{one} vs {other}": (one, other) for one, other in pairs}


def _half(presence: np.ndarray, coders: Sequence[str]) -> np.ndarray:
    """Return what at least half of the people gave who coded the unit; NaN where nobody did."""
    people = presence[:, [i for i, coder in enumerate(coders) if coder != MACHINE]]
    n = (~np.isnan(people)).sum(1)
    return np.where(n > 0, np.nansum(people, 1) >= GOLD * n, np.nan)


@dataclass(frozen=True)
class _Block:
    """Codes of one scale in one comparison, the units that count, and what is to be made of them."""

    scale: Scale
    codes: np.ndarray
    used: np.ndarray
    coefficients: Sequence[Coefficient]


@dataclass(frozen=True)
class _On:
    """A coefficient of one block's columns among others', so that all are computed on the same draws.

    The last column of all says how many units a row stands for.
    """

    name: str
    columns: slice
    coefficient: Coefficient

    def parts(self, codes: np.ndarray) -> np.ndarray:
        return self.coefficient.parts(codes[:, self.columns]) * codes[:, -1:]

    def of(self, total: np.ndarray) -> np.ndarray:
        return self.coefficient.of(total)


_YES, _GRADES = (0.0, 1.0), (0.0, 1.0, 2.0, 3.0)


def _blocks(codes: Mapping[Scale, np.ndarray], who: Sequence[str]) -> Iterator[_Block]:
    """Yield what is computed of the coders' codes, spans apart."""
    pair = len(who) == 2
    for scale, mine in codes.items():
        coefficients: list[Coefficient]
        if scale == "presence":
            coefficients = [RawAgreement(), SpecificAgreement(1.0), SpecificAgreement(0.0)]
            coefficients += [Kappa(_YES) if pair else FleissKappa(_YES), Alpha(_YES), GwetAC(_YES)]
            coefficients += [PABAK(_YES), PrevalenceIndex(), BiasIndex()]
            if who[0] == MACHINE:
                coefficients += [Against("precision", 0, (1,)), Against("recall", 0, (1,)), Against("F1", 0, (1,))]
        elif scale == "clarity":
            coefficients = [Kappa(_GRADES, "linear"), Kappa(_GRADES, "quadratic")] if pair else []
            coefficients += [Alpha(_GRADES, "ordinal"), GwetAC(_GRADES, "ordinal")]
        else:
            coefficients = [IntervalAlpha()]
            yield _coded(scale, mine, len(who), [ICC("A,1"), ICC("C,1"), ICC("A,k")])
        yield _coded(scale, mine, 2, coefficients)


def _coded(scale: Scale, codes: np.ndarray, least: int, coefficients: Sequence[Coefficient]) -> _Block:
    used = (~np.isnan(codes)).sum(1) >= least
    return _Block(scale, np.where(used[:, None], codes, np.nan), used, coefficients)


def _span_blocks(turns: _Turns, read: np.ndarray, given: np.ndarray, columns: Sequence[int]) -> Iterator[_Block]:
    length = turns.length
    read = read & (length > 0)  # words may be withheld
    spans: dict[int, dict[int, list[tuple[int, int]]]] = {}
    for row, coder, _, start, end in given.tolist():
        if coder in columns and read[int(row)]:
            spans.setdefault(int(row), {}).setdefault(int(coder), []).append((int(start), int(end)))
    # a turn without a span adds nothing but its length
    stretches = np.outer(read * len(columns) * length, (1.0, 0.0, 0.0, 0.0))
    matches = np.zeros((3, len(length), 3))
    for i, by_coder in spans.items():
        mine = [by_coder.get(c, []) for c in columns]
        stretches[i] = unitized(int(length[i]), mine)
        if len(columns) == 2:
            matches[:, i] = exact_matches(*mine), overlap_matches(*mine), word_matches(turns.text[i], *mine)
    if len(columns) == 2:
        for how, rows in zip(("exact", "overlap", "words"), matches):
            yield _Block("spans", rows, read, [SpanF1(f"span {how} F1")])
    yield _Block("spans", stretches, read, [UnitizedAlpha()])


def _rows(
    turns: _Turns, name: str, book: Codebook, compared: Mapping[str, tuple[str, ...]], draws: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the table's rows of one family or marker."""
    if not turns.text:
        return
    given = turns.given_as(name, book)
    codes = turns.codes(_families(name, book), given)
    codes["presence"] = np.column_stack([codes["presence"], _half(codes["presence"], turns.coders)])
    everybody = (*turns.coders, HALF)
    listed = [coder for coder in everybody if any(coder in who for who in compared.values())]
    client, session = turns.client[turns.first], turns.session[turns.first]
    for label, who in compared.items():
        columns = [everybody.index(coder) for coder in who]
        mine = {scale: c[:, columns] for scale, c in codes.items() if max(columns) < c.shape[1]}
        if set(columns) & set(turns.unclear):
            mine.pop("clarity", None)
        blocks = list(_blocks(mine, who))
        if turns.level == "turn" and HALF not in who:
            blocks += _span_blocks(turns, ~np.isnan(mine["presence"]).any(1), given, columns)
        blocks = [block for block in blocks if block.used.any()]
        if not blocks:
            continue
        figures = _figures(blocks, mine["presence"], client, draws, seed)
        for number, block in enumerate(blocks):
            n_sessions, n_clients = (int(np.count_nonzero(np.bincount(of[block.used]))) for of in (session, client))
            about = {
                **{"n": int(block.used.sum()), "sessions": n_sessions, "clients": n_clients},
                **{f"prevalence {coder}": np.nan for coder in listed},
                **{
                    f"prevalence {who[i]}": _mean(given_by[block.used]) for i, given_by in enumerate(mine["presence"].T)
                },
            }
            for c in block.coefficients:
                row = {"level": turns.level, "name": name, "codes": block.scale, "coders": label, "statistic": c.name}
                point, *ends = figures[f"{number} {c.name}"]
                if n_clients < LEAST_CLIENTS or np.isnan(ends[0]):
                    yield {**row, "value": point, "low": np.nan, "high": np.nan, "interval": "", **about}
                    continue
                yield {**row, "value": point, "low": ends[0], "high": ends[1], "interval": "clients", **about}
                if isinstance(c, ICC):
                    low, high = icc_interval(block.codes[block.used], c.kind)
                    yield {**row, "value": point, "low": low, "high": high, "interval": "McGraw–Wong", **about}


def _figures(
    blocks: Sequence[_Block], presence: np.ndarray, client: np.ndarray, draws: int, seed: int
) -> dict[str, Interval]:
    """Return the figures of all blocks, by number of block and name; intervals where there are clients enough."""
    on: list[_On] = []
    start = 0
    for number, block in enumerate(blocks):
        columns = slice(start, start := start + block.codes.shape[1])
        on += [_On(f"{number} {c.name}", columns, c) for c in block.coefficients]
    used = np.logical_or.reduce([block.used for block in blocks])
    codes = np.concatenate([block.codes[used] for block in blocks], 1)
    codes, client = _alike(codes, presence[used], client[used])
    if len(np.unique(client)) < LEAST_CLIENTS:
        return {c.name: (value(c, codes), np.nan, np.nan) for c in on}
    return resample(on, codes, client, draws, seed)


def _alike(codes: np.ndarray, presence: np.ndarray, client: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take a client's units as one in which nobody gave anything and which the same coders read.

    That is most units. Their codes are the same, and of spans the mean will do, as contributions are sums.

    Returns
    -------
    codes, client : ndarray
        Of the units that remain; the last column is the number of units that each stands for.
    """
    n, k = presence.shape
    readers = np.isnan(presence) @ 2.0 ** np.arange(k)
    one_of = np.where((presence > 0).any(1), -1.0 - np.arange(n), client * 2.0**k + readers)
    _, first, where, count = np.unique(one_of, return_index=True, return_inverse=True, return_counts=True)
    means = [np.bincount(where, column) / count for column in codes.T]
    return np.column_stack([*means, count]), client[first]


def _mean(codes: np.ndarray) -> float:
    return float(np.nanmean(codes)) if not np.isnan(codes).all() else np.nan


def _extent(
    sessions: Sequence[_Session], turns: Mapping[Role, _Turns], columns: Sequence[int], families: Iterable[str]
) -> list[dict[str, int]]:
    """Count what two coders coded for one of the families: all of it, then each coder's part."""
    counts: list[dict[str, int]] = [{} for _ in range(len(columns) + 1)]
    numbers: list[set[int]] = [set() for _ in counts]
    for role, mine in turns.items():
        own = [FAMILIES.index(f) for f in FAMILIES_OF[role] if f in set(families)]
        coded: np.ndarray = np.zeros((len(mine.first), len(columns)), bool)
        if own and mine.text:
            read = np.logical_and.reduceat(mine.read[:, columns][:, :, own], mine.first)
            coded = np.any(read & (np.count_nonzero(read, 1, keepdims=True) > 1), axis=2)
        for n, of, units in zip(counts, numbers, (coded.any(1), *coded.T)):
            n[f"{role}_units"] = int(units.sum())
            of |= set(mine.session[mine.first[units]].tolist())
    for n, of in zip(counts, numbers):
        theirs = [sessions[number] for number in of]
        n["sessions"], n["clients"] = len(theirs), len({s.client for s in theirs})
        n["unnamed"] = sum(s.is_unnamed for s in theirs)
    return counts


def _notes(
    sessions: Sequence[_Session],
    coders: Sequence[str],
    main: Sequence[str],
    n: Mapping[str, int],
    never: Sequence[str],
    level: Level,
) -> Iterator[str]:
    clients = _clients(n)
    if n["clients"] < LEAST_CLIENTS:
        yield f"{clients}: no intervals are given for fewer than {LEAST_CLIENTS}, and the figures are exploratory."
    elif n["clients"] < FEW_CLIENTS:
        yield f"Warning: {clients}; intervals from fewer than {FEW_CLIENTS} are rough."
    yield from _unnamed(n)
    yield from _alone(sessions, coders, main)
    if MACHINE in coders and MACHINE not in main:
        yield f"“{HALF}” is what at least half of those who coded a unit gave: of two coders, what either gave."
    if level == "segment" and (untimed := sum(not is_timed(s.transcript) for s in sessions)):
        yield f"{_number(untimed, 'session')} without times: segments are a number of turns there."
    for coder in coders:
        clarity = {m.clarity for s in sessions for markers in s.given.get(coder, {}).values() for m in markers}
        if coder != MACHINE and clarity == {None}:
            yield f"{coder} gave no clarity and is not compared on it."
    if level == "turn" and (loose := sum(_is_loose(m) for s in sessions for m in s.markers)):
        yield (
            f"{_number(loose, 'marker')} that a sheet gives for a segment, without a turn: by turn it does not count, "
            "and its coder's reading of its family is missing in the segment. Compare by segment or session."
        )
    if never:
        yield f"Never given: {', '.join(never)}."


def _clients(n: Mapping[str, int]) -> str:
    """Return how many clients there are, or sessions where no client is named."""
    if n["unnamed"] == n["sessions"]:
        return _number(n["sessions"], "session")
    return "at most " * (n["unnamed"] > 0) + _number(n["clients"], "client")


def _unnamed(n: Mapping[str, int]) -> Iterator[str]:
    if n["unnamed"] and n["sessions"] > 1:
        who = f"{n['unnamed']:,} sessions name no client (client_id) and count as one each: if one client has several"
        if n["unnamed"] == 1:
            who = "1 session names no client (client_id) and counts as one: if its client has others"
        yield f"{who}, there are fewer clients and any intervals are too narrow."


def _alone(sessions: Sequence[_Session], coders: Sequence[str], main: Sequence[str]) -> Iterator[str]:
    if alone := sum(len(s.read.keys() & set(main)) == 1 for s in sessions):
        further = MACHINE in coders and MACHINE not in main  # with the machine they are compared
        where = " in the coders' agreement" * further
        yield f"{_number(alone, 'session')} that only one coder coded took no part{where}."


def _is_loose(m: Marker) -> bool:
    """Whether the marker was given for a segment, without a turn."""
    return (m.note or "").split(":")[0] == SEGMENT_NOTE


def _source(coder: str) -> str:
    return coder if coder == MACHINE else f"coder:{coder}"


def _differing(whole: str, said: Mapping[str, Sequence[Marker]], names: Sequence[str]) -> str:
    """Return what coders differ on: the whole, or else the markers; of the names compared, "" for nothing."""
    if whole in names and len({bool(markers) for markers in said.values()}) > 1:
        return whole
    given = [{m.marker for m in markers} for markers in said.values()]
    differ = {name for markers in given for name in markers if not all(name in other for other in given)}
    return "; ".join(name for name in names if name in differ)


def _told(text: str, markers: Sequence[Marker] | None) -> str:
    if markers is None:
        return ""
    parts = [
        f"{m.marker}{f' {m.clarity}' if m.clarity else ''} "
        + ("(somewhere in the segment)" if _is_loose(m) else f"“{text[m.start : m.end]}”")
        for m in sorted(markers, key=lambda m: (m.start, m.end, m.marker, m.source))
    ]
    return "; ".join(dict.fromkeys(parts)) or "none"


def _write_csv(path: str | PathLike[str], header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_csv(name) for name in header])
        writer.writerows([_csv(row[name]) for name in header] for row in rows)


def _csv(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; figures to six digits, NaN as nothing."""
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.6g}"
    if isinstance(cell, str) and (cell[:1] in _FORMULA or cell.lstrip()[:1] in _FORMULA):
        return f"'{cell}"
    return cell


_FORMULA = tuple("=+-@＝＋－＠\t\r\n")
_WORDS = dict(enumerate("One Two Three Four Five Six Seven Eight Nine".split(), 1))


def _number(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _apa(figure: float) -> str:
    """Return two decimals without the zero before the point."""
    if np.isinf(figure):
        return "−∞"
    text = f"{abs(figure):.2f}"
    return "−" * (figure < 0 and text != "0.00") + text.removeprefix("0")


def _ends(row: Mapping[str, Any]) -> str:
    return "" if np.isnan(row["low"]) else f" [{_apa(row['low'])}, {_apa(row['high'])}]"


def _with_interval(row: Mapping[str, Any]) -> str:
    ends = _ends(row)
    return _apa(row["value"]) + f", 95% CI{ends}" * bool(ends)


def _plain(text: str) -> str:
    """Take out what could break a line or steer a terminal: ids come from files."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


_TEX = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
        # a row must not begin with what the line end before it takes for its argument
        **{"[": "{[}", "]": "{]}", "*": "{*}"},
        **{"−": "$-$", "∞": r"$\infty$", "κ": r"$\kappa$", "α": r"$\alpha$"},
    }
)


def _tex(text: str) -> str:
    return _plain(text).translate(_TEX)


def _cells(tag: str, cells: Iterable[object]) -> str:
    return "<tr>" + "".join(f"<{tag} dir=auto>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


_STYLE = """
body { font: 1rem/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; min-width: 60rem; table-layout: fixed; width: 100%; }
th:nth-child(1) { width: 3rem; }
th:nth-child(2) { width: 5rem; }
th:nth-child(3) { width: 12rem; }
th, td { border-bottom: 1px solid #bbb; overflow-wrap: anywhere; padding: .3rem .6rem; text-align: start; }
td { vertical-align: top; }
"""
# The style is allowed by its digest; nothing else may load, run or be sent.
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-$digest'; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<title>Disagreements</title>
<style>$style</style>
</head>
<body>
<h1>Disagreements</h1>
<p>$n. An empty cell: this coder did not read the turn.</p>
$tables
</body>
</html>
""")
