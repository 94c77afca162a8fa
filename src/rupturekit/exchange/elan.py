"""ELAN: markers as tiers of an EAF file, and back.

Each marker is an annotation over the time of its turn, with a value such as ::

    C5 complaint_progress "I can't see what it is for" clarity 2 turn 3
    W2 minimal_response "I guess." by rule id "w2.guess" score 0.9 turn 14

Only the code, or the marker's name, must be there. The words say where in the turn the marker stands (``#2`` after
them: the second time that they come); without words it is the whole turn. The turn is the one that is named, if it
has the words; else of the turns at that time and of the role that the family needs the one that overlaps most. So
a coder may just write ``C5``, or ``C5 2`` for clarity 2, or ``C5 2; W2``, and ``note "…"`` after it.

The machine's markers are on the tier ``rupturekit machine``, a coder's on ``rupturekit coder:AB``. The annotations of
a tier of ELAN cannot overlap, so a turn's second marker is on ``rupturekit machine (2)``. The tier ``rupturekit
codes`` is empty: there a coder chooses from the codebook. A tier that has an annotator is that coder's, all of it.
A tier of another name is a coder's too if it has nothing but codes.

What XML cannot hold (control characters, half of a surrogate pair) stands as U+FFFD in talk and names.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain, count
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from rupturekit.annotation import (
    CLIENT_FAMILIES,
    FAMILIES,
    AnnotatedTranscript,
    Coded,
    Marker,
    marker_order,
    runs,
    whole,
)
from rupturekit.codebook import Codebook, CodebookMarker
from rupturekit.exchange.label import NAME_IT, UNLESS_CODES, Typed, codes_of, is_coders
from rupturekit.folders import file_stem
from rupturekit.readers import load
from rupturekit.readers.elan import NUMBERED, OWN, Annotation, Document, Tier, parse, shown_id, talk
from rupturekit.readers.raw import RawSession, ReadError, Source, Utterance, clean
from rupturekit.roles import RoleError, speaker_key
from rupturekit.segment import SILENCE, segment
from rupturekit.transcript import Transcript, Turn

__all__ = ["read", "write"]

WORDS_PER_S = 2.5
"""How fast people are taken to talk where the times of a turn are not known."""

_SESSION = f"{OWN} session"
_CODED = f"{OWN} coded"
_ESTIMATED = f"{OWN} estimated times"
_MACHINE = f"{OWN} machine"
_CODER = f"{OWN} coder:"
_CODES = f"{OWN} codes"
_MARKER = f"{OWN} marker"
_MACHINES = ("rule", "model")

# What an EAF holds at its top, in the order of the schema (EAFv3.0.xsd).
_TOP = (
    *("LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"),
    *("CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF"),
)
# The schema asks for a date, and a file that is made twice shall be the same.
_ROOT = (
    'AUTHOR="rupturekit" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd"'
)
_UNDETERMINED = {
    "LANG_DEF": "http://cdb.iso.org/lg/CDB-00130975-001",
    "LANG_ID": "und",
    "LANG_LABEL": "undetermined (und)",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_ENDS = {"\r": "&#13;", "\n": "&#10;"}
_MEND = "Open it in ELAN and save it anew, or export it again"


# --- times ----------------------------------------------------------------------------------------


def _turn_times(transcript: Transcript) -> tuple[list[tuple[int, int]], list[int]]:
    """Return start and end of every turn in milliseconds, and the turns whose times are estimates.

    Starts rise from turn to turn, and a speaker's turns do not overlap, as a tier needs it.
    """
    turns = transcript.turns
    lengths = [round(max(1, len(turn.text.split())) / WORDS_PER_S * 1000) for turn in turns]
    known: dict[int, int] = {}
    unsure: set[int] = set()
    latest = 0
    for i, turn in enumerate(turns):
        start, end = _milliseconds(turn.start_s), _milliseconds(turn.end_s)
        if start is not None and start >= latest:
            known[i] = latest = start
        if i in known and end is not None and end > latest:
            lengths[i] = end - latest
        else:
            unsure.add(i)
    starts: list[int] = []
    for first, after in zip([0, *known], [*known, len(turns)]):
        # from one known start to the next; what does not fit is squeezed
        begin = known.get(first, 0)
        elapsed = list(accumulate(lengths[first:after], initial=0))
        room = known[after] - begin if after in known else elapsed[-1]
        starts += [begin + time * min(room, elapsed[-1]) // max(elapsed[-1], 1) for time in elapsed[:-1]]
    starts = list(accumulate(starts, lambda before, start: max(start, before + 1)))
    times: list[tuple[int, int]] = []
    follows: dict[str, int] = {}
    for i in reversed(range(len(turns))):
        end = starts[i] + lengths[i]
        if i + 1 < len(turns) and i in unsure:
            end = min(end, starts[i + 1])
        times.append((starts[i], min(end, follows.get(turns[i].speaker, end))))
        follows[turns[i].speaker] = starts[i]
    return times[::-1], sorted(unsure)


def _milliseconds(time_s: float | None) -> int | None:
    # the schema's unsigned int, and Java's int, end here
    return round(time_s * 1000) if time_s is not None and 0 <= time_s < 2**31 / 1000 else None


# --- out ------------------------------------------------------------------------------------------


def write(
    sessions: Iterable[AnnotatedTranscript], folder: Path, codebook: Codebook, originals: Mapping[str, Path]
) -> None:
    """Write each session as an EAF file: a copy of the one it was read from with new tiers, or a fresh one.

    In a copy nothing else is touched. In a fresh one each turn is an annotation. Turns whose times are not known
    get some, at `WORDS_PER_S` and between their neighbours; the file's properties list them.

    Raises
    ------
    ValueError
        If a marker is not in the codebook, or not within its turn.
    ReadError
        If an original cannot be read, or its talk is not the session's.
    """
    taken: set[str] = set()
    for session in sessions:
        transcript = session.transcript
        original = originals.get(transcript.id)
        if original is not None and original.suffix.lower() == ".eaf":
            source = load(original)
        else:
            source = Source(Path(f"{transcript.id}.eaf"), _talk_only(transcript))
        (folder / f"{file_stem(transcript.id, taken)}.eaf").write_bytes(_with_markers(source, session, codebook))


def _unused(name: str, taken: Container[str]) -> str:
    return next(name for name in chain([name], (f"{name} ({n})" for n in count(2))) if name not in taken)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _open(name: str, attributes: Mapping[str, str]) -> str:
    return f"<{name}{''.join(f' {key}={quoteattr(_xml(value))}' for key, value in attributes.items())}>"


def _leaf(name: str, text: str = "", **attributes: str) -> str:
    opened = _open(name, attributes)
    return f"{opened}{escape(_xml(text), _LINE_ENDS)}</{name}>" if text else f"{opened[:-1]}/>"


def _nest(name: str, attributes: Mapping[str, str], inside: Iterable[str]) -> str:
    lines = [f"    {line}" for block in inside for line in block.split("\n")]
    return "\n".join([_open(name, attributes), *lines, f"</{name}>"]) if lines else _leaf(name, **attributes)


def _annotation(id: str, slots: tuple[str, str], value: str) -> str:
    attributes = {"ANNOTATION_ID": id, "TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]}
    return _nest("ANNOTATION", {}, [_nest("ALIGNABLE_ANNOTATION", attributes, [_leaf("ANNOTATION_VALUE", value)])])


def _talk_only(transcript: Transcript) -> bytes:
    """Return an EAF file with a tier for each speaker, an annotation for each turn."""
    times, estimated = _turn_times(transcript)
    tiers: dict[tuple[str, str], list[str]] = {}
    for turn in transcript:
        slots = f"ts{2 * turn.index + 1}", f"ts{2 * turn.index + 2}"
        annotation = _annotation(f"a{turn.index + 1}", slots, turn.text)
        tiers.setdefault((turn.speaker, turn.role), []).append(annotation)
    names: dict[str, str] = {}
    for (speaker, role), inside in tiers.items():
        name = _xml(f"{speaker} ({role})")
        name = _unused(f"speaker {name}" if name.startswith(OWN) else name, names)
        attributes = {"LINGUISTIC_TYPE_REF": "default-lt", "PARTICIPANT": speaker, "TIER_ID": name}
        names[name] = _nest("TIER", attributes, inside)
    moments = sorted((time, f"ts{2 * i + n}") for i, pair in enumerate(times) for n, time in enumerate(pair, 1))
    properties = [_leaf("PROPERTY", "numbered", NAME=NUMBERED)]
    if estimated:
        properties.append(_leaf("PROPERTY", _listed(estimated), NAME=_ESTIMATED))
    parts = [
        _nest("HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}, properties),
        _nest("TIME_ORDER", {}, [_leaf("TIME_SLOT", TIME_SLOT_ID=id, TIME_VALUE=str(time)) for time, id in moments]),
        *names.values(),
        _leaf("LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true"),
    ]
    root = _nest("ANNOTATION_DOCUMENT", {}, parts).replace("<ANNOTATION_DOCUMENT>", f"<ANNOTATION_DOCUMENT {_ROOT}>", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}\n'.encode()


class _Places:
    """Where in an EAF file's bytes (UTF-8) new elements go, and which names are taken."""

    def __init__(self, data: bytes) -> None:
        self.format = (3, 0)
        self.slots: list[int] = []
        self.taken: set[str] = set()
        self.named: set[tuple[str, str]] = set()
        self._data = data
        self._tops: list[tuple[int, int]] = []  # rank in _TOP, and where it begins
        self._ends: dict[str, int] = {}
        self._depth = 0
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.Parse(data, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        if self._depth == 0:
            version = re.fullmatch(r"(\d+)\.(\d+)", attributes.get("FORMAT", "3.0"))
            self.format = (int(version[1]), int(version[2])) if version else (3, 0)
        elif self._depth == 1 and name in _TOP:
            self._tops.append((_TOP.index(name), at))
            self.named.update((name, value) for key, value in attributes.items() if key.endswith("_ID"))
        elif name == "TIME_SLOT":
            self.slots.append(at)
        self.taken.update(attributes.values())
        self._depth += 1

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth <= 1:
            self._ends[name] = self._parser.CurrentByteIndex

    def lacks(self) -> list[str]:
        """Return what the file must have to be written into and has not."""
        return [name for name in ("HEADER", "TIME_ORDER") if name not in self._ends]

    def gap(self, at: int) -> bytes:
        """Return the white space before a place."""
        begin = at
        while begin and self._data[begin - 1] in b" \t\r\n":
            begin -= 1
        return self._data[begin:at]

    def on_top(self, name: str) -> int:
        """Return the place after the last element of this name at the top, or where the first one would be."""
        last = max((n for n, (rank, _) in enumerate(self._tops) if rank <= _TOP.index(name)), default=-1)
        at = self._tops[last + 1][1] if last + 1 < len(self._tops) else self._ends["ANNOTATION_DOCUMENT"]
        return at - len(self.gap(at))

    def at_end_of(self, name: str, new: str) -> tuple[int, int, str]:
        """Return the edit that puts something at the end of HEADER or TIME_ORDER."""
        at = self._ends[name]
        if self._data.startswith(b"</", at):
            place = at - len(self.gap(at))
            return place, place, new
        return at - 2, at, f">{new}\n    </{name}>"


def _with_markers(source: Source, session: AnnotatedTranscript, book: Codebook) -> bytes:
    """Return an EAF file's bytes with the session's markers put in; all else stays as it is."""
    document = parse(source)
    transcript = _check_talk(talk(document, source), session.transcript, source)
    text, encoding = _decoded(source)
    data = text.encode()
    places = _Places(data)
    if lacks := places.lacks():
        raise source.error(f"the file has no {lacks[0]}", _MEND)
    times, estimated = _turn_times(transcript)
    annotation_ids = _new_ids("a", {*places.taken, f"a{document.property('lastUsedAnnotationId')}"})
    slot_ids = _new_ids("ts", places.taken)
    moments: list[tuple[int, str]] = []
    tiers: dict[str, str] = {}
    for name, annotator, markers in _tiers_of(session):
        for lane in _lanes(markers, times):
            annotations = []
            for m in lane:
                slots = next(slot_ids), next(slot_ids)
                moments += zip(times[m.turn], slots)
                annotations.append(_annotation(next(annotation_ids), slots, _value(m, transcript, book)))
            id = _unused(_xml(name), {*document.tiers, *tiers})
            attributes = {"ANNOTATOR": annotator} if annotator else {}
            tiers[id] = _nest("TIER", {**attributes, "LINGUISTIC_TYPE_REF": _MARKER, "TIER_ID": id}, annotations)

    properties = {_SESSION: transcript.id}
    if session.coded:
        properties[_CODED] = _json([[c.source, c.family, c.first, c.last] for c in session.coded])
    if estimated:
        properties[_ESTIMATED] = _listed(estimated)
    new = [_leaf("PROPERTY", v, NAME=k) for k, v in properties.items() if (k, _xml(v)) not in document.properties]
    edits = [places.at_end_of("HEADER", _indented(new, 2))]
    moments.sort(key=lambda moment: moment[0])
    edits += _slot_edits(moments, list(document.slots.values()), places)
    for name, element in chain((("TIER", tier) for tier in tiers.values()), _vocabulary(places, book)):
        edits.append((at := places.on_top(name), at, _indented([element], 1)))

    line_end = "\r\n" if "\r\n" in text else "\n"
    out, done = [], 0
    for start, end, inserted in sorted(edits, key=lambda edit: edit[0]):
        out += [data[done:start], inserted.replace("\n", line_end).encode()]
        done = end
    return b"".join([*out, data[done:]]).decode().encode(encoding, "xmlcharrefreplace")


def _indented(blocks: Iterable[str], depth: int) -> str:
    return "".join(f"\n{'    ' * depth}{line}" for block in blocks for line in block.split("\n"))


def _decoded(source: Source) -> tuple[str, str]:
    """Return the text with any byte-order mark, and the encoding that gives the same bytes again."""
    wide = {b"\xff\xfe": "utf-16-le", b"<\0": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\0<": "utf-16-be"}
    declared = re.match(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)""", source.data[:200])
    encoding = wide.get(source.data[:2]) or (declared[1].decode() if declared else "utf-8")
    try:
        return source.data.decode(encoding), encoding
    except (LookupError, UnicodeError):
        raise source.error(f"its bytes are not {encoding}, which it declares", "Save it as UTF-8", 1) from None


def _new_ids(prefix: str, taken: Collection[str]) -> Iterator[str]:
    numbers = [int(id.removeprefix(prefix)) for id in taken if re.fullmatch(rf"{prefix}[0-9]{{1,9}}", id)]
    return (id for n in count(max(numbers, default=0) + 1) if (id := f"{prefix}{n}") not in taken)


def _slot_edits(
    moments: list[tuple[int, str]], times: list[int | None], places: _Places
) -> Iterator[tuple[int, int, str]]:
    """Yield the edits that put time slots where ELAN puts them: before the first that is later."""
    latest = list(accumulate((-1 if time is None else time for time in times), max))
    last: list[str] = []
    for time, id in moments:
        slot = _leaf("TIME_SLOT", TIME_SLOT_ID=id, TIME_VALUE=str(time))
        n = bisect_right(latest, time)
        if n < len(latest):
            at = places.slots[n]
            yield at, at, f"{slot}{places.gap(at).decode()}".replace("\r\n", "\n")
        else:
            last.append(slot)
    if last:
        yield places.at_end_of("TIME_ORDER", _indented(last, 2))


def _tiers_of(session: AnnotatedTranscript) -> Iterator[tuple[str, str, list[Marker]]]:
    """Yield name, annotator and markers of the tiers: one for the machine, one for each coder."""
    coders = {c.source: list[Marker]() for c in session.coded if c.source.startswith("coder:")}
    machine: list[Marker] = []
    for m in session.markers:
        (machine if m.source in _MACHINES else coders.setdefault(m.source, [])).append(m)
    if machine:
        yield _MACHINE, "", machine
    for source, markers in sorted(coders.items()):
        coder = source.partition(":")[2]
        yield f"{_CODER}{coder}", coder, markers


def _lanes(markers: Iterable[Marker], times: list[tuple[int, int]]) -> list[list[Marker]]:
    """Share markers out so that in no lane two are at the same time; there is always a first lane."""
    lanes: list[list[Marker]] = [[]]
    for m in sorted(markers, key=lambda m: (*times[m.turn], *_lane_order(m))):
        free = (lane for lane in lanes if not lane or times[lane[-1].turn][1] <= times[m.turn][0])
        lane = next(free, None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(m)
    return lanes


def _lane_order(m: Marker) -> tuple[Any, ...]:
    # not quite the order of a coding: the rule decides before the clarity
    return m.turn, m.start, m.end, m.family, m.marker, m.source, m.rule_id or "", m.clarity or 0, m.note or ""


def _json(value: object) -> str:
    # what XML forbids is spelt in ASCII, as JSON allows for any character
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _listed(turns: Iterable[int]) -> str:
    """Write turns as ``0-3, 7``."""
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs(turns))


def _value(m: Marker, transcript: Transcript, book: Codebook) -> str:
    """Write a marker as the value of its annotation."""
    if m.marker not in book:
        raise ValueError(f"session {transcript.id}: {m.marker} is not in codebook {book.name} {book.version}")
    text = transcript[m.turn].text
    if not 0 <= m.start < m.end <= len(text):
        raise ValueError(f"session {transcript.id}: {m.marker} is not within turn {m.turn}")
    words = text[m.start : m.end]
    nth, at = 1, text.find(words)
    while at < m.start:
        nth, at = nth + 1, text.find(words, at + 1)
    parts = [book[m.marker].code, m.marker, _json(words) + (f" #{nth}" if nth > 1 else "")]
    parts += [f"clarity {m.clarity}"] if m.clarity is not None else []
    parts += [f"by {m.source}"] if m.source in _MACHINES else []
    parts += [f"id {_json(m.rule_id)}"] if m.rule_id is not None else []
    parts += [f"score {float(m.score)!r}"] if m.score is not None else []
    parts += [f"note {_json(m.note)}"] if m.note is not None else []
    return " ".join([*parts, f"turn {m.turn}"])


def _vocabulary(places: _Places, book: Codebook) -> Iterator[tuple[str, str]]:
    """Yield what the new tiers need, as far as the file has it not, and an empty tier with the codebook's codes."""
    if ("TIER", _CODES) not in places.named:
        yield "TIER", _leaf("TIER", LINGUISTIC_TYPE_REF=_CODES, TIER_ID=_CODES)
    for type, attributes in ((_MARKER, {}), (_CODES, {"CONTROLLED_VOCABULARY_REF": _CODES})):
        if ("LINGUISTIC_TYPE", type) not in places.named:
            fixed = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": type, "TIME_ALIGNABLE": "true"}
            yield "LINGUISTIC_TYPE", _leaf("LINGUISTIC_TYPE", **attributes, **fixed)
    if ("CONTROLLED_VOCABULARY", _CODES) in places.named:
        return
    entries = [(m.code, f"{m.code} {m.id}", f"{m.label}. {m.definition}") for m in book.markers]
    about = f"{book.name} {book.version}"
    if places.format < (2, 8):
        inside = [_leaf("CV_ENTRY", value, DESCRIPTION=meaning) for _, value, meaning in entries]
        yield "CONTROLLED_VOCABULARY", _nest("CONTROLLED_VOCABULARY", {"CV_ID": _CODES, "DESCRIPTION": about}, inside)
        return
    if ("LANGUAGE", "und") not in places.named:
        yield "LANGUAGE", _leaf("LANGUAGE", **_UNDETERMINED)
    inside = [_leaf("DESCRIPTION", about, LANG_REF="und")]
    for code, value, meaning in entries:
        entry = _leaf("CVE_VALUE", value, DESCRIPTION=meaning, LANG_REF="und")
        inside.append(_nest("CV_ENTRY_ML", {"CVE_ID": f"{OWN}_{code}"}, [entry]))
    yield "CONTROLLED_VOCABULARY", _nest("CONTROLLED_VOCABULARY", {"CV_ID": _CODES}, inside)


# --- in -------------------------------------------------------------------------------------------


def read(path: Path, sessions: Mapping[str, Transcript], codebook: Codebook) -> list[AnnotatedTranscript]:
    """Read what stands on the tiers of one file whose names begin with ``rupturekit``, or that have only codes.

    Raises
    ------
    ReadError
        If the file is no EAF, is of no session that is given, its talk was edited, an annotation's value is no code
        of the codebook or fits no turn, a tier has codes among other values, or no tier is for codes.

    Examples
    --------
    >>> import tempfile
    >>> from rupturekit.codebook import load_codebook
    >>> from rupturekit.transcript import Turn
    >>> session = Transcript("s1", (Turn(0, "C", "client", "I guess."),))
    >>> given = Marker(0, 0, 7, "withdrawal", "minimal_response", clarity=2, source="coder:AB")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write([AnnotatedTranscript(session, (given,))], Path(folder), load_codebook(), {})
    ...     (coding,) = read(Path(folder, "s1.eaf"), {"s1": session}, load_codebook())
    >>> coding.markers == (given,)
    True
    """
    source = load(path)
    document = parse(source)
    transcript = _session(document, sessions, source)
    values = _Values(codebook)
    tiers = _for_codes(document, values, transcript, source)
    coded = _coded(document, transcript, source)
    if not tiers and not coded:
        raise source.error("it has no tier for codes, so that nothing says that it was coded", NAME_IT)
    rest = {id: tier for id, tier in document.tiers.items() if id not in tiers}
    timed = _check_talk(talk(replace(document, tiers=rest), source), transcript, source)
    reading = _Reading(source, timed, values)
    markers: list[Marker] = []
    for tier in tiers.values():
        markers += [m for a in tier.annotations for m in reading.markers(a, tier)]
        # a coder's tier says that its coder went through the session, also if nothing is on it
        if (coder := _coder(tier)) and f"coder:{coder}" not in {c.source for c in coded}:
            coded += whole(transcript, f"coder:{coder}")
    return [AnnotatedTranscript(transcript, tuple(sorted(markers, key=marker_order)), coded=tuple(coded))]


def _for_codes(document: Document, values: _Values, transcript: Transcript, source: Source) -> dict[str, Tier]:
    """Return the tiers that are for codes, by their names: ours, and those that coders made."""
    spoken = {u.source_id for u in talk(document, source).utterances}
    # where the words are below marks of segments ("C1", "C2"), these marks are no codes
    marks = {tier.parent for tier in document.tiers.values() if any(a.id in spoken for a in tier.annotations)}

    def is_for_codes(tier: Tier) -> bool:
        if tier.id.casefold().startswith(OWN):
            return True
        typed = [] if tier.id in marks else [Typed(a.value, _place(a), a.line) for a in tier.annotations]
        return is_coders(tier.number, typed, values.is_code, transcript, source)

    return {tier.id: tier for tier in document.tiers.values() if is_for_codes(tier)}


def _session(document: Document, sessions: Mapping[str, Transcript], source: Source) -> Transcript:
    id = document.property(_SESSION)
    if id is None and len(sessions) == 1:
        return next(iter(sessions.values()))
    wanted = source.path.stem if id is None else id
    transcript = next((t for key, t in sessions.items() if _xml(key) == wanted), None)
    if transcript is None:
        found = f"its session {wanted!r}" if id is not None else f"session {wanted!r}, after which it is named,"
        raise source.error(f"{found} is not among the {len(sessions)} given", "Give the sessions that were exported")
    return transcript


def _check_talk(raw: RawSession, transcript: Transcript, source: Source) -> Transcript:
    """Return the transcript with the times that its talk has in a file; raise if the words are not the same."""
    found: Sequence[Turn | Utterance] = raw.utterances if raw.numbered else _turns(raw, transcript)
    texts = [clean(_xml(turn.text)) for turn in transcript]
    if [turn.text for turn in found] == texts:
        turns = (replace(turn, start_s=f.start_s, end_s=f.end_s) for turn, f in zip(transcript, found))
        return replace(transcript, turns=tuple(turns))
    # a silence is a turn for its length, which changes when a coder moves what is around it
    there = [turn.text for turn in found if turn.text != SILENCE]
    wanted = [(i, text) for i, text in enumerate(texts) if text != SILENCE]
    changed = next((i for (i, text), other in zip(wanted, [*there, None]) if text != other), None)
    if changed is None and len(there) > len(wanted):
        changed = len(texts)
    if changed is not None:
        raise source.error(
            f"from turn {changed} on its talk is not that of session {transcript.id}",
            f"Undo what was changed on the tiers of talk; names of tiers for codes must begin with '{OWN}'",
        )
    return transcript


def _turns(raw: RawSession, transcript: Transcript) -> Sequence[Turn]:
    """Return the turns that the talk makes, with the roles of the transcript; none if it has other speakers."""
    role_of = {speaker_key(turn.speaker): turn.role for turn in transcript}
    speakers = {u.speaker for u in raw.utterances if u.speaker}
    roles = {speaker: role_of[key] for speaker in speakers if (key := speaker_key(speaker)) in role_of}
    try:
        return segment(raw, id=transcript.id, roles=roles).turns
    except RoleError:
        return ()


def _coded(document: Document, transcript: Transcript, source: Source) -> list[Coded]:
    found: dict[Coded, None] = {}
    for name, value in document.properties:
        if name != _CODED:
            continue
        try:
            for who, family, first, last in json.loads(value):
                whole = type(first) is int and type(last) is int
                if not (whole and isinstance(who, str) and family in FAMILIES and 0 <= first <= last < len(transcript)):
                    raise ValueError
                found[Coded(who, family, first, last)] = None
        except (TypeError, ValueError, RecursionError):
            todo = "Remove it, or export the session again"
            raise source.error(f"its property '{_CODED}' is not what was written", todo) from None
    return list(found)


def _coder(tier: Tier) -> str:
    """Return the coder of a tier: its annotator, else what its name says, else nobody."""
    named = re.fullmatch(rf"{_CODER}(.*?)(?: \(\d+\))?", tier.id, re.DOTALL | re.IGNORECASE)
    return tier.annotator if tier.annotator.strip() else named[1].strip() if named else ""


# bounded, as the space below is written without two ways to match it: in linear time
_QUOTED = r'(?:"[^"\\]*(?:\\.[^"\\]*)*"|“[^”]{0,2000}”)'
_FIELD = re.compile(
    rf"""[^\S\n]*(?:,[^\S\n]*)?(?:
        (?P<words>{_QUOTED})(?:\s*\#(?P<nth>\d{{1,9}}))?
        | (?P<key>clarity|score|turn|by|id|note)\s+(?P<argument>{_QUOTED}|[^\s,;]+)
        | (?P<bare>[123])(?![\w.])
        | (?P<more>[;\n])
    )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

_COMMA = re.compile(r"\s*,")
_Fail = Callable[[str, str], ReadError]


class _Values:
    """Reads the values that people type and that are written here."""

    def __init__(self, book: Codebook) -> None:
        self._book = {name.casefold(): marker for marker in book.markers for name in (marker.code, marker.id)}
        names = sorted(self._book, key=len, reverse=True)
        self._label = re.compile(rf"\s*({'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)
        self._code = re.compile(rf"\s*{codes_of(book)}", re.IGNORECASE)

    def is_code(self, value: str) -> bool:
        """Tell whether a value is meant as a code: it begins with one, or is a marker's name as one writes it here."""
        if self._code.match(value):
            return True
        try:
            return any(True for _ in self.typed(value.strip(), lambda found, todo: ReadError(found)))
        except ReadError:
            return False

    def typed(self, value: str, fail: _Fail) -> Iterator[tuple[CodebookMarker, dict[str, str]]]:
        """Yield each code in a value with the fields after it, as they were typed."""
        at = 0
        while at < len(value):
            label = self._label.match(value, at)
            if label is None:
                word = value[at:].split(maxsplit=1)[:1]
                shown = f" ({word[0]})" if word and re.fullmatch(r"[A-Za-z]{1,2}\d{1,3}", word[0]) else ""
                todo = "Write a code or a marker's name first: C5, or C5 2 with its clarity, or several as C5; W2"
                raise fail(f"begins with no code of the codebook{shown}", todo)
            kind = self._book[label[1].casefold()]
            at = label.end()
            if (name := self._label.match(value, at)) is not None:
                if self._book[name[1].casefold()] != kind:
                    raise fail(
                        f"says {label[1]} and {name[1]}, which are two markers",
                        "Leave the one that is meant (the code alone will do), or put ';' between them",
                    )
                at = name.end()
            fields: dict[str, str] = {}
            while (found := _FIELD.match(value, at)) is not None:
                at = found.end()
                if found["more"]:
                    break
                given = {"words": found["words"], "nth": found["nth"], "clarity": found["bare"]}
                given |= {found["key"].lower(): found["argument"]} if found["key"] else {}
                for key, text in given.items():
                    if text is not None and fields.setdefault(key, text) != text:
                        raise fail(f"gives two different {key}", "Leave the one that is meant")
            else:
                comma = _COMMA.match(value, at)
                other = self._label.match(value, comma.end()) if comma else None
                if comma and other and self._book[other[1].casefold()] != kind:
                    at = comma.end()
                elif value[at:].strip():
                    raise fail(
                        "goes on after the code in a way that is not understood",
                        "Write a code as C5, with its clarity as C5 2, and several as C5; W2. Words and notes stand "
                        'in quotes: C5 "words" note "…"',
                    )
                else:
                    at = len(value)
            yield kind, fields


def _place(a: Annotation) -> str:
    # ELAN shows times, and no ids
    return f"annotation {shown_id(a.id)}" + (f" at {a.start_s:.2f} s" if a.start_s is not None else "")


class _Reading:
    """Reads the annotations of one file as markers of a session."""

    def __init__(self, source: Source, transcript: Transcript, values: _Values) -> None:
        self._source = source
        self._transcript = transcript
        self._values = values
        self._times, _ = _turn_times(transcript)
        self._starts = [start for start, _ in self._times]
        self._reach = list(accumulate((end for _, end in self._times), max))

    def markers(self, a: Annotation, tier: Tier) -> list[Marker]:
        """Return the markers that an annotation's value spells; none for an empty one."""

        def fail(found: str, todo: str) -> ReadError:
            if not tier.id.casefold().startswith(OWN):
                todo += f". {UNLESS_CODES}"
            return self._source.error(f"{_place(a)} on tier {tier.number} {found}", todo, a.line)

        return [self._marker(kind, fields, a, tier, fail) for kind, fields in self._values.typed(a.value.strip(), fail)]

    def _marker(
        self, kind: CodebookMarker, fields: Mapping[str, str], a: Annotation, tier: Tier, fail: _Fail
    ) -> Marker:
        clarity, by, score = (fields.get(key) for key in ("clarity", "by", "score"))
        if clarity is not None and clarity not in ("1", "2", "3"):
            raise fail("has a clarity that is not 1, 2 or 3", "Correct it")
        if by is not None and by not in _MACHINES:
            raise fail("is by neither rule nor model", "Correct what is after 'by', or remove it")
        if score is not None and re.fullmatch(r"[0-9]+(?:\.[0-9]+)?(?:e-[0-9]+)?", score) is None:
            raise fail("has a score that is no number", "Correct what is after 'score', or remove it")
        coder = _coder(tier)
        by_hand = bool(coder) or tier.id.casefold().startswith(_CODER)
        # what a coder took over from the machine is the coder's own
        taken_over = by_hand and by is not None
        turn, start, end = self._stand(kind, fields, a, fail)
        return Marker(
            turn,
            start,
            end,
            kind.parent,
            kind.id,
            float(score) if score is not None and not taken_over else None,
            int(clarity) if clarity is not None else None,
            f"coder:{coder}" if by_hand or by is None else by,
            _unquoted(fields["id"]) if "id" in fields and not taken_over else None,
            _unquoted(fields["note"]) if "note" in fields else None,
        )

    def _stand(
        self, kind: CodebookMarker, fields: Mapping[str, str], a: Annotation, fail: _Fail
    ) -> tuple[int, int, int]:
        """Return the turn and the words that a marker stands on."""
        role = "client" if kind.parent in CLIENT_FAMILIES else "therapist"
        near = self._near(a)
        turns = [i for i in near if self._transcript[i].role == role]
        if (named := fields.get("turn")) is not None:
            given = next((i for i in near if str(i) == named), None)
            if given is None:
                raise fail(
                    "is not over the turn that it names",
                    "Move it there, or remove 'turn' and the number and put the words right",
                )
            turns.insert(0, given)
        for i in turns:
            text = self._transcript[i].text
            span = _find(text, _unquoted(fields["words"]), fields.get("nth")) if "words" in fields else (0, len(text))
            if span is None:
                continue
            if self._transcript[i].role != role:
                raise fail(
                    f"has the {role}'s code {kind.code} on turn {i} of session {self._transcript.id}, "
                    f"which is not the {role}'s",
                    "Correct the code, or remove the annotation",
                )
            return i, *span
        if not turns:
            raise fail(
                f"is over no turn of the {role} of session {self._transcript.id}, as its code {kind.code} needs it",
                "Move it to the turn that is meant, or correct the code",
            )
        raise fail(
            f"has words that are not in turn {turns[0]} of session {self._transcript.id}",
            "Copy them from the talk, or remove them if the whole turn is meant",
        )

    def _near(self, a: Annotation) -> list[int]:
        """Return the turns at an annotation's time, the one that overlaps most first."""
        if a.start_s is None or a.end_s is None:
            return []
        begin, end = round(a.start_s * 1000), round(a.end_s * 1000)
        near = range(bisect_right(self._reach, begin), bisect_left(self._starts, max(end, begin + 1)))
        shared = {i: min(end, self._times[i][1]) - max(begin, self._times[i][0]) for i in near}
        return sorted((i for i in near if shared[i] >= min(1, end - begin)), key=lambda i: -shared[i])


def _find(text: str, words: str, nth: str | None) -> tuple[int, int] | None:
    words = words if words in text else clean(words)
    at = text.find(words)
    for _ in range(int(nth or 1) - 1):
        if at < 0:
            return None
        at = text.find(words, at + 1)
    return (at, at + len(words)) if at >= 0 and words else None


def _unquoted(typed: str) -> str:
    if not typed.startswith('"'):
        return typed.strip("“”")
    try:
        return str(json.loads(typed, strict=False))
    except ValueError:
        return typed[1:-1]
