"""Praat TextGrids with the markers on tiers of their own, and back.

A session that was read from a TextGrid is written as a copy of it with tiers added at the end; any other gets a new
file with a tier for each speaker. Praat knows no annotation of an annotation: a marker is an interval as long as its
turn, labelled as in `rupturekit.exchange.label`. The added tiers are

* ``rupturekit session``: one interval that says which session this is and who coded what;
* ``rupturekit machine``: the markers of rules and model;
* ``rupturekit coder:AB``: those of a coder; without a name, an empty one to code in, cut at the turns;
* ``rupturekit times estimated``: points at the turns whose times are not known.

A tier of another name is a coder's too if it has nothing but codes.

Intervals of a tier must not overlap, so that a second marker on the same stretch goes to ``rupturekit machine (2)``.
Praat shows what follows an underscore as a subscript, unless its preferences say otherwise.
"""

from __future__ import annotations

import codecs
import heapq
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, cast

from rupturekit.annotation import FAMILIES, AnnotatedTranscript, Coded, Family, Marker, marker_order, whole
from rupturekit.codebook import Codebook
from rupturekit.exchange.label import (
    MACHINE,
    NAME_IT,
    UNLESS_CODES,
    LabelError,
    Typed,
    codes_of,
    is_coders,
    line_of,
    markers_of,
    quoted,
    statements,
    unquoted,
)
from rupturekit.exchange.returned import Returned, coders_of
from rupturekit.folders import file_stem
from rupturekit.readers import load
from rupturekit.readers.encoding import decode
from rupturekit.readers.praat import OURS, Interval, TextGrid, Tier, is_talk, parse, together, utterances
from rupturekit.readers.raw import RawSession, ReadError, Source, clean
from rupturekit.segment import RoleError, segment
from rupturekit.transcript import Transcript

WORDS_PER_S = 2.5
"""How fast people are taken to speak where a turn's times are not known."""
SHORTEST_S = 0.05
"""Intervals of turns are at least this long, or one could not point at them."""

_SESSION = f"{OURS} session"
_ESTIMATED = f"{OURS} times estimated"
_SOURCE = re.compile(rf"{OURS}\s+(?:(machine)|coder:\s*(.*?))\s*(?:\(\d+\))?", re.DOTALL | re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class _Span(NamedTuple):
    start: float
    end: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class _NewTier:
    name: str
    spans: Sequence[_Span]
    points: bool = False


# --- out ------------------------------------------------------------------------------------------


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write a TextGrid for each session, as a copy of the one that it was read from where there is one.

    In a copy nothing changes but the number of tiers; it has the original's form and encoding, unless this encoding
    cannot write the new tiers: then it is UTF-8. Two files of one session become one new file.
    """
    taken: set[str] = set()
    for session in sessions:
        path = originals.get(session.transcript.id)
        is_copy = path is not None and path.suffix.lower() == ".textgrid" and not together(path)
        data = _copy(session, cast(Path, path), codebook) if is_copy else _new(session, codebook)
        (folder / f"{file_stem(session.transcript.id, taken)}.TextGrid").write_bytes(data)


def _new(session: AnnotatedTranscript, codebook: Codebook) -> bytes:
    times = _times(session.transcript)
    end = max((span.end for span in times), default=1.0)
    by_speaker: dict[str, list[_Span]] = {}
    for turn, (start, until, _) in zip(session.transcript, times, strict=True):
        by_speaker.setdefault(turn.speaker, []).append(_Span(start, until, _shown(turn.text)))
    talk = [tier for speaker, spans in by_speaker.items() for tier in _in_lanes(_shown(speaker), spans)]
    tiers = [*talk, *_marker_tiers(session, codebook, times, 0.0, end, "turns")]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        f"xmax = {_number(end)} ",
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []: ",
    ]
    for number, tier in enumerate(tiers, 1):
        lines += _long(tier, number, 0.0, end)
    return "\n".join([*lines, ""]).encode()


def _copy(session: AnnotatedTranscript, path: Path, codebook: Codebook) -> bytes:
    source = decode(load(path))
    encoding = source.encoding or "utf-8"
    # with the byte-order mark as a character, so that it stays where it is
    if source.data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16-le" if source.data.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    elif encoding == "utf-8-sig":
        encoding = "utf-8"
    text = source.data.decode(encoding)
    grid = parse(replace(source, text=text))
    if any(tier.is_ours for tier in grid.tiers):
        raise source.error(f"it has tiers of {OURS} already", "Remove them in Praat, or give the file as it was before")
    times = _times(session.transcript, grid)
    tiers = list(_marker_tiers(session, codebook, times, grid.start, grid.end, "intervals"))
    lines: list[str] = []
    for number, tier in enumerate(tiers, len(grid.tiers) + 1):
        lines += (_long if grid.long else _short)(tier, number, grid.start, grid.end)
    newline = next((mark for mark in ("\r\n", "\n", "\r") if mark in text), "\n")
    at, after = grid.size_at
    whole = f"{text[:at]}{len(grid.tiers) + len(tiers)}{text[after:]}"
    whole += ("" if whole.endswith(("\n", "\r")) else newline) + newline.join([*lines, ""])
    try:
        return whole.encode(encoding)
    except UnicodeEncodeError:
        return whole.encode()


def _marker_tiers(
    session: AnnotatedTranscript,
    codebook: Codebook,
    times: Sequence[_Time],
    start: float,
    end: float,
    talk: str,
) -> Iterator[_NewTier]:
    """Yield the tiers that are added: the session's, each source's, and where times are not the recording's own."""
    parts = [f"session {quoted(session.transcript.id)}", f"talk {talk}"]
    parts += [f"coded {quoted(c.source)} {c.family} {c.first} {c.last}" for c in session.coded]
    yield _NewTier(_SESSION, [_Span(start, end, "; ".join(parts))])
    by_tier: dict[str, list[_Span]] = {}
    sources = sorted({m.source for m in session.markers} | {c.source for c in session.coded}, key=_machine_first)
    names = {source: _tier_of(source) for source in sources}
    for name in names.values():
        by_tier[name] = []
    for m in sorted(session.markers, key=_lane_order):
        by_tier[names[m.source]].append(_Span(*times[m.turn][:2], line_of(m, codebook)))
    for name, spans in by_tier.items():
        yield from _in_lanes(name, spans)
    if not coders_of(session):
        cuts = sorted({start, *(time.start for time in times)})
        yield _NewTier(f"{OURS} coder:", [_Span(a, b) for a, b in zip(cuts, [*cuts[1:], end], strict=True)])
    if estimated := sorted({time.start for time in times if time.estimated}):
        yield _NewTier(_ESTIMATED, [_Span(at, at, "estimated") for at in estimated], points=True)


def _machine_first(source: str) -> tuple[bool, str]:
    return source not in MACHINE, source


def _tier_of(source: str) -> str:
    name = source.removeprefix("coder:")
    return f"{OURS} machine" if source in MACHINE else f"{OURS} coder:{name and quoted(name)}"


def _in_lanes(name: str, spans: Sequence[_Span]) -> Iterator[_NewTier]:
    """Spread spans over as few tiers as they need not to overlap; there is one tier at least."""
    lanes: list[list[_Span]] = [[]]
    free, busy = [0], list[tuple[float, int]]()
    for span in sorted(spans, key=lambda span: span[:2]):
        while busy and busy[0][0] <= span.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            free.append(len(lanes))
            lanes.append([])
        lane = heapq.heappop(free)
        lanes[lane].append(span)
        heapq.heappush(busy, (span.end, lane))
    for number, lane_spans in enumerate(lanes, 1):
        yield _NewTier(name if number == 1 else f"{name} ({number})", lane_spans)


def _covered(spans: Sequence[_Span], start: float, end: float) -> Iterator[_Span]:
    """Yield the spans with empty ones between them, so that they cover the whole."""
    reached = start
    for span in spans:
        if span.start > reached:
            yield _Span(reached, span.start)
        yield span
        reached = span.end
    if reached < end:
        yield _Span(reached, end)


def _long(tier: _NewTier, number: int, start: float, end: float) -> Iterator[str]:
    kind = "points" if tier.points else "intervals"
    spans = tier.spans if tier.points else list(_covered(tier.spans, start, end))
    yield f"    item [{number}]:"
    yield f'        class = "{"TextTier" if tier.points else "IntervalTier"}" '
    yield f"        name = {_text(tier.name)} "
    yield f"        xmin = {_number(start)} "
    yield f"        xmax = {_number(end)} "
    yield f"        {kind}: size = {len(spans)} "
    for i, span in enumerate(spans, 1):
        yield f"        {kind} [{i}]:"
        if tier.points:
            yield f"            number = {_number(span.start)} "
            yield f"            mark = {_text(span.text)} "
        else:
            yield f"            xmin = {_number(span.start)} "
            yield f"            xmax = {_number(span.end)} "
            yield f"            text = {_text(span.text)} "


def _short(tier: _NewTier, number: int, start: float, end: float) -> Iterator[str]:
    spans = tier.spans if tier.points else list(_covered(tier.spans, start, end))
    yield '"TextTier"' if tier.points else '"IntervalTier"'
    yield from (_text(tier.name), _number(start), _number(end), str(len(spans)))
    for span in spans:
        yield _number(span.start)
        if not tier.points:
            yield _number(span.end)
        yield _text(span.text)


def _text(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _shown(text: str) -> str:
    """Return talk as a label can hold it: control characters, line ends and half characters are spaces."""
    return _CONTROL.sub(" ", text)


# --- times ----------------------------------------------------------------------------------------


class _Time(NamedTuple):
    start: float
    end: float
    estimated: bool


def _times(transcript: Transcript, grid: TextGrid | None = None) -> list[_Time]:
    """Return when each turn starts and ends, estimated where it is not known, and within the file's times.

    Turns without a start share the time up to the next one that has a start by their number of words; a turn
    without an end goes on to the next start, or for as long as its words take.
    """
    turns = transcript.turns
    lengths = [max(1, len(turn.text.split())) / WORDS_PER_S for turn in turns]
    times: list[_Time] = []
    clock = grid.start if grid else 0.0
    while (i := len(times)) < len(turns):
        start = turns[i].start_s
        if start is None:
            run = next((j for j in range(i, len(turns)) if turns[j].start_s is not None), len(turns))
            total = sum(lengths[i:run])
            until = turns[run].start_s if run < len(turns) else None
            pace = (until - clock) / total if until is not None and until - clock > SHORTEST_S * (run - i) else 1.0
            for length in lengths[i:run]:
                times.append(_Time(clock, clock + length * pace, True))
                clock += length * pace
            continue
        end, following = turns[i].end_s, turns[i + 1].start_s if i + 1 < len(turns) else None
        if known := end is not None and end > start:
            clock = cast(float, end)
        else:
            clock = following if following is not None and following > start else start + lengths[i]
        times.append(_Time(start, clock, not known))
    return [_within(time, grid.start, grid.end) for time in times] if grid else times


def _within(time: _Time, first: float, last: float) -> _Time:
    start = max(first, min(time.start, last - SHORTEST_S))
    return _Time(start, min(max(time.end, start + SHORTEST_S), last), time.estimated)


class _Turns:
    """Finds the turns under a stretch of time."""

    def __init__(self, times: Sequence[_Time]) -> None:
        self._by_start = sorted((time.start, time.end, turn) for turn, time in enumerate(times))
        self._latest = list(accumulate((end for _, end, _ in self._by_start), max))

    def under(self, start: float, end: float) -> list[int]:
        """Return the turns that share time with the stretch, those that share most of it first."""
        found: list[tuple[float, int]] = []
        at = bisect_left(self._by_start, (end,)) - 1
        while at >= 0 and self._latest[at] > start:
            since, until, turn = self._by_start[at]
            if (shared := min(end, until) - max(start, since)) > 0:
                found.append((-shared, turn))
            at -= 1
        return [turn for _, turn in sorted(found)]


# --- back -----------------------------------------------------------------------------------------


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read the tiers ``rupturekit machine`` and ``rupturekit coder:…`` of one TextGrid, and those with only codes.

    They need not have been written here: a coder may add a tier to a TextGrid of their own and type codes on it.
    """
    source = decode(load(path))
    grid = parse(source)
    head = _Head.of(grid, source)
    transcript = Returned(path, sessions, codebook).session(head.session)
    labels = _Labels(codebook, transcript)
    every = [(number, tier, _whose(tier, number, labels, source)) for number, tier in enumerate(grid.tiers, 1)]
    tiers = [(number, tier, whose) for number, tier, whose in every if whose is not None]
    if not tiers and not head.coded:
        raise source.error("it has no tier for codes, so that nothing says that it was coded", NAME_IT)
    _check_words(grid, source, transcript, head)
    turns = _Turns(_times(transcript, grid))
    markers: list[Marker] = []
    for number, tier, whose in tiers:
        for interval in filter(is_talk, tier.intervals):
            try:
                markers += labels.markers(interval.text, whose, turns.under(interval.start, interval.end))
            except LabelError as error:
                todo = "Correct it in Praat: write a code as C5, with its clarity as C5 2, and several as C5; W2"
                raise source.error(
                    f"session {transcript.id}, tier {number}, {_place(interval)}: {error}",
                    todo if tier.is_ours else f"{todo}. {UNLESS_CODES}",
                    interval.line,
                ) from None
    for part in head.coded:
        if not 0 <= part.first <= part.last < len(transcript):
            raise source.error(f"session {transcript.id} has no turns {part.first} to {part.last}", _HEAD_TODO)
    # a coder's tier says that its coder went through the session, also if nothing is on it
    known = {"model", "coder:", *(c.source for c in head.coded)}
    others = dict.fromkeys(whose for *_, whose in tiers if whose not in known)
    coded = (*head.coded, *(part for coder in others for part in whole(transcript, coder)))
    return [AnnotatedTranscript(transcript, tuple(sorted(markers, key=marker_order)), coded=coded)]


class _Labels:
    """Reads the labels of one session."""

    def __init__(self, codebook: Codebook, transcript: Transcript) -> None:
        self.transcript = transcript
        self._codebook = codebook
        self._code = re.compile(rf"\s*{codes_of(codebook)}", re.IGNORECASE)
        self._comma = re.compile(
            rf'("[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?\Z))|,(?=\s*{codes_of(codebook)})', re.IGNORECASE
        )

    def markers(self, label: str, source: str, turns: Sequence[int]) -> Iterator[Marker]:
        """Yield the markers in a label over some turns; a comma before a code is as good as a semicolon."""
        apart = self._comma.sub(lambda found: found[1] or ";", label)
        return markers_of(apart, self._codebook, self.transcript, source, turns)

    def is_code(self, label: str) -> bool:
        """Tell whether a label is meant as a code: it begins with one, or is a marker's name as one writes it here."""
        if self._code.match(label):
            return True
        try:
            return any(True for _ in self.markers(label, "coder:", range(len(self.transcript))))
        except LabelError:
            return False


def _lane_order(m: Marker) -> tuple[object, ...]:
    # not quite the order of a coding: which lane a marker is on is decided by its name before its family
    return m.turn, m.start, m.end, m.marker, m.source, m.clarity or 0, m.rule_id or "", m.note or ""


_HEAD_TODO = f"The tier '{_SESSION}' was edited; copy it from the file as it was written"


@dataclass(frozen=True, slots=True)
class _Head:
    """What the session's tier says; empty if the file has none."""

    session: str | None = None
    talk: str = "intervals"
    coded: tuple[Coded, ...] = ()

    @classmethod
    def of(cls, grid: TextGrid, source: Source) -> _Head:
        """Read the session's tier."""
        said = [interval for tier in grid.tiers if tier.name == _SESSION for interval in tier.intervals]
        session, talk, coded = None, "intervals", list[Coded]()
        for interval in said:
            try:
                for what, *words in statements(interval.text):
                    if what == "session":
                        session = unquoted(words[0])
                    elif what == "talk":
                        talk = words[0]
                    elif what == "coded" and words[1] in FAMILIES:
                        coded.append(Coded(unquoted(words[0]), cast(Family, words[1]), int(words[2]), int(words[3])))
                    else:
                        raise LabelError("a statement that is not known")
            except (LabelError, IndexError, ValueError):
                raise source.error("it cannot be read which session this is", _HEAD_TODO, interval.line) from None
        return cls(session, talk, tuple(coded))


def _whose(tier: Tier, number: int, labels: _Labels, source: Source) -> str | None:
    """Return the source of the codes on a tier; None if it is not for codes."""
    if tier.name in (_SESSION, _ESTIMATED):
        return None
    if not tier.is_ours:
        typed = [Typed(i.text, _place(i), i.line) for i in tier.intervals if is_talk(i)]
        return "coder:" if is_coders(number, typed, labels.is_code, labels.transcript, source) else None
    if tier.points:
        raise source.error(f"tier {number} has points", "Put the codes on an interval tier, over their turns")
    match = _SOURCE.fullmatch(tier.name)
    try:
        if match is None:
            raise LabelError
        return "model" if match[1] else f"coder:{unquoted(match[2])}"
    except LabelError:
        raise source.error(
            f"tier {number} names no coder",
            f"Call it '{OURS} coder:' and the coder's name, or something that does not begin with {OURS}",
        ) from None


def _place(interval: Interval) -> str:
    return f"the label at {interval.start:.2f} s"


def _check_words(grid: TextGrid, source: Source, transcript: Transcript, head: _Head) -> None:
    """Raise the error if what is said in the file is not what the session's turns say."""
    if head.talk == "turns":
        labels = Counter(clean(i.text) for tier in grid.tiers if not tier.is_ours for i in tier.intervals)
        for turn in transcript:
            text = clean(_shown(turn.text))
            if not labels[text]:
                raise _edited(source, transcript, turn.index)
            labels[text] -= 1
        return
    # cut into turns as the session was, from the tiers that it came from: a coder may have added others
    names = {id.rpartition(":")[0] for turn in transcript for id in turn.source_ids}
    said = utterances([tier for tier in grid.talk() if tier.name in names])
    roles = {turn.speaker: turn.role for turn in transcript}
    speakers = {u.speaker for u in said}
    raw = RawSession(None, said, "textgrid")
    try:
        here = segment(raw, id=transcript.id, roles={who: r for who, r in roles.items() if who in speakers})
    except RoleError:
        raise _edited(source, transcript, 0) from None
    for turn in transcript:
        if turn.index >= len(here) or here[turn.index].text != turn.text:
            raise _edited(source, transcript, turn.index)
    if len(here) > len(transcript):
        raise _edited(source, transcript, len(transcript))


def _edited(source: Source, transcript: Transcript, turn: int) -> ReadError:
    return source.error(
        f"session {transcript.id}, turn {turn}: the words are not those that were coded",
        "Restore the words; or read the edited file as a new session and code that",
    )
