"""Sessions that raters have coded: a table with its label layer, or synthetic sessions, as annotated transcripts.

A rater's code is a marker whose source is ``coder:<id>``; what a rater read is in ``coded``, so that a turn
without a marker is "none" where it was read and missing where it was not. `votes` sums the raters up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from .annotation import CLIENT_FAMILIES, FAMILIES, AnnotatedTranscript, Coded, Marker, runs
from .codebook import CodebookMarker, load_codebook
from .pipeline import read_all
from .readers import load as load_file
from .score import FAMILIES_OF, segments
from .sheets import SEGMENT_NOTE
from .tables import load
from .transcript import Transcript, Turn

MARKERS = tuple(m.id for m in load_codebook().markers)
"""The markers that a classifier learns, in the order of its heads."""
FAMILY_OF = tuple(FAMILIES.index(m.parent) for m in load_codebook().markers)
"""For each of `MARKERS` the number of its family."""
GOLD = 0.5
"""Share of a turn's raters from which a family or marker counts as there."""


@dataclass(frozen=True, slots=True)
class Votes:
    """What the raters gave one turn.

    Attributes
    ----------
    raters : mapping
        Family → who read the turn for it, sorted.
    given : mapping
        Rater → the markers that this rater gave.
    """

    raters: Mapping[str, tuple[str, ...]]
    given: Mapping[str, tuple[Marker, ...]] = field(default_factory=dict)

    def raters_of(self, name: str) -> tuple[str, ...]:
        """Return who read the turn for a family, a marker, or ``rupture`` (both client families)."""
        if name == "rupture":
            other = self.raters.get("withdrawal", ())
            return tuple(rater for rater in self.raters.get("confrontation", ()) if rater in other)
        family = name
        if name in MARKERS:
            family = FAMILIES[FAMILY_OF[MARKERS.index(name)]]
        elif name not in FAMILIES:  # of a team's own codebook: whoever gave it says of which family it is
            family = next((m.family for said in self.given.values() for m in said if m.marker == name), name)
        return self.raters.get(family, ())

    def gave(self, rater: str, name: str) -> bool:
        """Tell whether a rater gave a family, a marker, or ``rupture`` (either client family)."""
        names = CLIENT_FAMILIES if name == "rupture" else (name,)
        return any(m.family in names or m.marker in names for m in self.given.get(rater, ()))

    def share(self, name: str) -> float:
        """Return the share of those who read the turn for it that gave it.

        Raises
        ------
        ZeroDivisionError
            If nobody did.
        """
        raters = self.raters_of(name)
        return sum(self.gave(rater, name) for rater in raters) / len(raters)

    def is_gold(self, name: str) -> bool:
        """Tell whether enough of those who read the turn for it gave it; False where nobody read."""
        return bool(self.raters_of(name)) and self.share(name) >= GOLD


def votes(coded: AnnotatedTranscript) -> dict[int, Votes]:
    """Return the raters' votes for every turn that somebody read, be it for one family of the turn's role.

    Examples
    --------
    >>> t = Transcript("s", (Turn(0, "C", "client", "I guess."), Turn(1, "C", "client", "Yes.")))
    >>> given = Marker(0, 0, 7, "withdrawal", "minimal_response", source="coder:A")
    >>> read = [Coded(f"coder:{who}", family, 0, 0) for who in "AB" for family in FAMILIES]
    >>> found = votes(AnnotatedTranscript(t, (given,), coded=tuple(read)))
    >>> sorted(found), found[0].share("withdrawal"), found[0].share("rupture"), found[0].share("denial")
    ([0], 0.5, 0.5, 0.0)
    """
    raters: dict[int, dict[str, set[str]]] = {}
    for part in coded.coded:
        if part.source.startswith("coder:"):
            for turn in coded.transcript.turns[part.first : part.last + 1]:
                if part.family in FAMILIES_OF[turn.role]:
                    raters.setdefault(turn.index, {}).setdefault(part.family, set()).add(part.source)
    given: dict[int, dict[str, tuple[Marker, ...]]] = {}
    for marker in coded.markers:
        if (marker.note or "").split(":")[0] == SEGMENT_NOTE:
            # somewhere in the segment: no turn of it can be said to have the family, nor to lack it
            for number in _segment_of(coded.transcript, marker.turn):
                readers: set[str] = raters[number].get(marker.family, set()) if number in raters else set()
                readers.discard(marker.source)
        elif marker.source.startswith("coder:"):
            mine = given.setdefault(marker.turn, {})
            mine[marker.source] = (*mine.get(marker.source, ()), marker)
    return {
        turn: Votes({family: tuple(sorted(who)) for family, who in by_family.items()}, given.get(turn, {}))
        for turn, by_family in sorted(raters.items())
    }


def agreed(session: AnnotatedTranscript) -> AnnotatedTranscript:
    """Return people's codes of a session with those markers alone whose family is gold; an annotation as it is.

    Examples
    --------
    >>> t = Transcript("s", (Turn(0, "C", "client", "I guess."),))
    >>> given = Marker(0, 0, 7, "withdrawal", "minimal_response", source="coder:A")
    >>> by = [tuple(Coded(f"coder:{who}", "withdrawal", 0, 0) for who in coders) for coders in ("AB", "ABC")]
    >>> [len(agreed(AnnotatedTranscript(t, (given,), coded=read)).markers) for read in by]
    [1, 0]
    """
    if not is_by_people(session):
        return session
    told = votes(session)
    gold = {turn: [m for said in v.given.values() for m in said if v.is_gold(m.family)] for turn, v in told.items()}
    return replace(session, markers=tuple(m for m in session.markers if m in gold.get(m.turn, ())))


def is_by_people(session: AnnotatedTranscript) -> bool:
    """Tell whether coders, and they alone, say what they read of a session."""
    return bool(session.coded) and all(part.source.startswith("coder:") for part in session.coded)


def _segment_of(transcript: Transcript, turn: int) -> list[int]:
    return next(turns for turns in segments(transcript).values() if turn in turns)


def group_of(session: AnnotatedTranscript) -> str:
    """Return what a session is kept together with in folds and resamples: its group, else its client, else itself."""
    meta = session.transcript.meta
    return str(meta.get("group") or meta.get("client_id") or session.transcript.id)


def merged(codings: Iterable[AnnotatedTranscript]) -> list[AnnotatedTranscript]:
    """Put codings of one session together, whoever made them and whichever file they come from.

    Returns
    -------
    list of AnnotatedTranscript
        One for each session, in order of first appearance, with the markers and ``coded`` of all.

    Raises
    ------
    ValueError
        If two codings of a session are of different transcripts, or one coder marked a turn in two ways (an earlier
        version of their file among the files, say); the message names session and turn.

    Examples
    --------
    >>> t = Transcript("s", (Turn(0, "C", "client", "I guess."),))
    >>> by = [AnnotatedTranscript(t, coded=(Coded(f"coder:{who}", "withdrawal", 0, 0),)) for who in "AB"]
    >>> [[part.source for part in session.coded] for session in merged(by)]
    [['coder:A', 'coder:B']]
    """
    by_id: dict[str, AnnotatedTranscript] = {}
    for coding in codings:
        first = by_id.setdefault(coding.transcript.id, coding)
        if first is coding:
            continue
        ours, theirs = first.transcript.turns, coding.transcript.turns
        differing = (i for i, (a, b) in enumerate(zip(ours, theirs)) if (a.role, a.text) != (b.role, b.text))
        where = next(differing, None if len(ours) == len(theirs) else min(len(ours), len(theirs)))
        if where is not None:
            raise ValueError(
                f"session {coding.transcript.id}: two codings of different transcripts, from turn {where} on "
                f"({len(ours)} and {len(theirs)} turns); code the same transcript"
            )
        if twice := _differently(first, coding):
            source, turn = min(twice)
            raise ValueError(
                f"session {coding.transcript.id}, turn {turn}: {source.removeprefix('coder:')} coded it in two ways; "
                "give one version of their work"
            )
        markers = dict.fromkeys((*first.markers, *coding.markers))
        # not by `marker_order`: what is given twice with another clarity or note stays in the order of the files
        by_id[coding.transcript.id] = replace(
            first,
            markers=tuple(sorted(markers, key=lambda m: (m.turn, m.start, m.end, m.family, m.marker, m.source))),
            coded=tuple(dict.fromkeys((*first.coded, *coding.coded))),
        )
    return list(by_id.values())


def _differently(one: AnnotatedTranscript, other: AnnotatedTranscript) -> set[tuple[str, int]]:
    """Return (source, turn) wherever one source read a turn for a family in both codings and marked it differently."""
    read, given = [], []
    for coding in (one, other):
        read.append({(c.source, c.family, t) for c in coding.coded for t in range(c.first, c.last + 1)})
        given.append({(m.source, m.family, m.turn, m.start, m.end, m.marker) for m in coding.markers})
    return {(m[0], m[2]) for m in given[0] ^ given[1] if m[:3] in read[0] and m[:3] in read[1]}


def read_codings(path: str | PathLike[str]) -> list[AnnotatedTranscript]:
    """Read what people coded: a folder of codings, or one file.

    Parameters
    ----------
    path : path-like
        A JSONL file of codings, as ``rupturekit import`` writes it, a table with its label layer, or a folder of
        such files. Codings of one session in several files are put together.

    Returns
    -------
    list of AnnotatedTranscript
        With the markers of coders alone.

    Raises
    ------
    ValueError
        If a file is none of these, nobody coded anything, or codings are of different transcripts.
    FileNotFoundError
        If there is no such file or folder.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    read: list[AnnotatedTranscript] = []
    for file in files:
        if file.name.endswith(".labels.jsonl"):
            continue
        if file.suffix == ".jsonl":
            read += load(file)
        elif not path.is_dir() or file.with_suffix("").with_suffix(".labels.jsonl").is_file():
            read += read_coded(file)
    by_hand = [
        replace(
            session,
            markers=tuple(m for m in session.markers if m.source.startswith("coder:")),
            coded=tuple(c for c in session.coded if c.source.startswith("coder:")),
            scores=(),
            episodes=(),
            provenance=None,
        )
        for session in read
    ]
    # what a machine alone annotated may lie beside: it is no coding, and need not be of the same transcript
    if not (found := merged(session for session in by_hand if session.coded)):
        raise ValueError(f"{path}: nothing that somebody coded was found in it")
    return found


def read_coded(
    table: str | PathLike[str], layer: str | PathLike[str] | None = None, **reading: Any
) -> list[AnnotatedTranscript]:
    """Read a table of sessions with the label layer beside it (``X.csv`` and ``X.labels.jsonl``).

    The table's ``group`` column names the sessions that stay together in every fold and resample (a client's,
    or the twins of one scenario); without it, ``client_id``, else the session itself. It is kept as
    ``meta["group"]``, the table's name as ``meta["corpus"]``. A label line is ``{"session", "turn", "raters",
    "codes": {code: {rater: {"clarity": 1..3, "spans": [[start, end], ...]}}}}``, with ``turn`` the table's own
    number. A line with no raters says that nobody coded the turn; one line holds all of a turn's raters.

    Parameters
    ----------
    table : path-like
    layer : path-like, optional
        The label layer, if it is not the one beside the table.
    **reading
        ``roles``, ``columns``, ``format`` and ``encoding``, as for `rupturekit.read_all`.

    Raises
    ------
    ValueError
        If there is no label layer, a line of it is not a label, or it does not fit the table; the message
        names the line.
    """
    table = Path(table)
    layer = Path(layer or table.with_suffix("").with_suffix(".labels.jsonl"))
    if not layer.is_file():
        raise ValueError(
            f"{table}: no label layer {layer.name} in the folder {layer.parent}; what came back from coders "
            "is imported first, see rupturekit import --help"
        )
    labels = _labels(layer)
    sessions = []
    met: set[tuple[str, str]] = set()
    for transcript in read_all(table, **reading):
        told: dict[int, tuple[tuple[str, ...], Sequence[_Given]]] = {}
        for turn in transcript:
            for number in turn.source_ids:
                if (key := (transcript.id, number)) in labels:
                    line, role, raters, given = labels[key]
                    told[turn.index] = raters, given
                    met.add(key)
                    if role not in (None, turn.role):
                        raise ValueError(
                            f"{layer}:{line}: this turn is a {role}'s here and a {turn.role}'s in {table.name}"
                        )
                    if any(end > len(turn.text) for g in given for _, end in g.spans):
                        raise ValueError(f"{layer}:{line}: a span ends after the turn's {len(turn.text)} characters")
        meta = {"group": transcript.meta.get("client_id") or transcript.id, **transcript.meta, "corpus": table.stem}
        sessions.append(_annotated(replace(transcript, meta=meta), told))
    if lost := [labels[key][0] for key in labels if key not in met]:
        raise ValueError(
            f"{layer}:{lost[0]}: {table.name} has no such session and turn (nor those of {len(lost) - 1} lines more). "
            "A label's turn is the number in the table's turn column"
        )
    return sessions


def _labels(layer: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Read a label layer: (session, turn) → line, role, raters, codes; without the turns that nobody coded."""
    by_code = {marker.code: marker for marker in load_codebook().markers}
    labels: dict[tuple[str, str], tuple[Any, ...]] = {}
    for number, line in enumerate(load_file(layer).data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line.decode())
            key = str(raw["session"]), str(raw["turn"])
            raters = tuple(str(rater) for rater in raw["raters"])
            unknown = raw["codes"].keys() - by_code
            given = [
                _Given(
                    by_code[code], rater, said.get("clarity", 2), [(int(a), int(b)) for a, b in said.get("spans", ())]
                )
                for code, by_rater in raw["codes"].items()
                if code in by_code
                for rater, said in by_rater.items()
            ]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{layer}:{number}: not a label line ({type(error).__name__}); it has session, turn, raters and codes, "
                "these by code and rater"
            ) from None
        if unknown:
            raise ValueError(f"{layer}:{number}: the codebook has no such code; give one of {', '.join(by_code)}")
        if any(g.clarity not in (1, 2, 3) or any(not 0 <= a < b for a, b in g.spans) for g in given):
            raise ValueError(f"{layer}:{number}: a clarity is not 1, 2 or 3, or a span is not [start, end]")
        if raters and not {g.rater for g in given} <= set(raters):
            raise ValueError(f"{layer}:{number}: a code by somebody who is not among the turn's raters")
        if key in labels:
            raise ValueError(
                f"{layer}:{number}: a second line for the turn of line {labels[key][0]}; one line, all raters"
            )
        if raters:
            labels[key] = number, raw.get("role"), raters, given
    return labels


def read_synthetic(path: str | PathLike[str]) -> Iterator[AnnotatedTranscript]:
    """Read synthetic sessions: ``{"id", "kind", "style", "pair", "readers", "turns": [[role, text, codes?], ...]}``.

    ``readers`` is ``A`` where only the writer coded a session, ``AB`` where a second reader, blind to the first,
    coded it again. A turn's codes are ``[code, clarity, start, end, readers]``.
    """
    role = {"T": "therapist", "C": "client"}
    book = load_codebook()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            turns, told = [], {}
            for i, (who, text, *rest) in enumerate(item["turns"]):
                turns.append(Turn(i, who, role[who], text))  # type: ignore[arg-type]
                told[i] = (
                    tuple(item["readers"]),
                    [
                        _Given(book.by_code(code), reader, clarity, [(start, end)])
                        for code, clarity, start, end, readers in (rest[0] if rest else [])
                        for reader in readers
                    ],
                )
            meta = {"group": item.get("pair") or item["id"], "corpus": "synthetic"}
            yield _annotated(Transcript(item["id"], tuple(turns), meta=meta), told)


@dataclass(frozen=True, slots=True)
class _Given:
    # one rater's code of a turn; without spans it stands on the whole turn
    marker: CodebookMarker
    rater: str
    clarity: int
    spans: Sequence[tuple[int, int]]


def _annotated(
    transcript: Transcript, told: Mapping[int, tuple[tuple[str, ...], Sequence[_Given]]]
) -> AnnotatedTranscript:
    markers = [
        Marker(turn, start, end, g.marker.parent, g.marker.id, clarity=g.clarity, source=f"coder:{g.rater}")
        for turn, (_, given) in told.items()
        for g in given
        for start, end in g.spans or [(0, len(transcript[turn].text))]
    ]
    read: list[Coded] = []
    for rater in sorted({rater for raters, _ in told.values() for rater in raters}):
        mine = [turn for turn, (raters, _) in told.items() if rater in raters]
        read += [Coded(f"coder:{rater}", family, first, last) for first, last in runs(mine) for family in FAMILIES]
    return AnnotatedTranscript(transcript, tuple(sorted(markers)), coded=tuple(read))
