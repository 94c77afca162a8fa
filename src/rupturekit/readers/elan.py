"""ELAN's annotation files: EAF 2.7, 2.8 and 3.0.

Parsed here, on the standard library's expat, and not by ``pympi-ling``: that reads from a path only, forgets lines,
lets references dangle, keeps one of two annotations with the same id, has no time for an unaligned slot, and lets
XML entities expand.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from xml.parsers import expat

from rupturekit.readers.labels import choose, is_known, tidy
from rupturekit.readers.raw import RawSession, ReadError, Source, Utterance, clean
from rupturekit.readers.records import normal
from rupturekit.readers.text import is_silence, split_label
from rupturekit.roles import speaker_key

OWN = "rupturekit"
"""How the names of the tiers and properties begin that this project writes; such a tier is never talk."""
NUMBERED = f"{OWN} turns"
"""The property that says, as ``numbered``, that each annotation is a whole turn."""

_MEND = "Open it in ELAN and save it anew, or export it again"
_CUT = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}
# What marks a segment and is no talk: nothing, no letter, or one word with a number ("s12", "utt-003").
_MARK = re.compile(r"(?=\S*\d)\S+|[\W\d_]*")
ABOUT = frozenset(
    "note notes comment comments remark remarks translation translations gloss glosses gesture gestures gaze "
    "nonverbal code codes coding coder coders rating ratings memo memos topic topics theme themes rupture ruptures "
    "withdrawal confrontation alliance emotion emotions affect affects smile smiles nod nods posture facial "
    "prosody".split()
)
"""Words in the name of a tier that speaks about the talk."""
# and of one that says it again, in parts
_ASIDE = ABOUT | frozenset(
    "word words token tokens morph morphs morpheme morphemes pos ipa phonetic phonetics phonology".split()
)
# between the name of a party's tier and what more stands in the name of another
_GAP = re.compile(r"[ _-]+")
# WebMAUS calls words ORT-MAU, what they sound like KAN-MAU, and phones MAU.
_MAUS = frozenset(("ort", "kan", "mau"))


@dataclass(slots=True)
class Annotation:
    """An annotation: on two time slots, or else on another annotation (``parent``).

    ``start_s`` and ``end_s`` are None only where the file has no times at all. Sorting by ``rank`` gives the order of
    talk also then.
    """

    id: str
    line: int
    slots: tuple[str, str] | None
    parent: str | None
    previous: str | None
    value: str = ""
    start_s: float | None = None
    end_s: float | None = None
    rank: tuple[float, ...] = ()


@dataclass(slots=True)
class Tier:
    """A tier and its annotations, in the order of the file; ``number`` counts the file's tiers from 1."""

    id: str
    number: int
    line: int
    type: str
    parent: str | None
    participant: str
    annotator: str
    annotations: list[Annotation] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """What an EAF file holds, as far as it is talk or codes."""

    properties: list[tuple[str, str]] = field(default_factory=list)
    slots: dict[str, int | None] = field(default_factory=dict)
    tiers: dict[str, Tier] = field(default_factory=dict)

    def property(self, name: str) -> str | None:
        """Return the value of a property, the last one if there are several, or None."""
        return next((value for key, value in reversed(self.properties) if key == name), None)


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read one session from an EAF file; see `talk`."""
    return [talk(parse(source), source)]


def talk(document: Document, source: Source) -> RawSession:
    """Return the talk in a document: the annotations of its talk tiers, by their start.

    A tier is talk if it depends on no other and has words. If a tier that depends on no other holds nothing but
    marks of segments, the first tier below it that has words is talk in its place. Other dependent tiers
    (translation, gloss, words, notes) say the talk again or speak about it. So do those that `about` finds.

    A tier's speaker is its ``PARTICIPANT``, else what its name says. Where only one speaker comes of that, and
    the annotations begin with labels ("T: …"), these are the speakers. In a file that this project made of other
    talk, each annotation on a tier with a participant is a turn.
    """
    numbered = document.property(NUMBERED) == "numbered"
    if numbered:
        ours = [t for t in document.tiers.values() if t.participant and not t.id.lower().startswith(OWN)]
        tiers, left_out = [(tier, tidy(tier.participant)) for tier in ours], 0
    else:
        tiers, left_out = _talk_tiers(document)
    said = sorted(
        ((a, speaker or None) for tier, speaker in tiers for a in tier.annotations),
        key=lambda pair: pair[0].rank,
    )
    if numbered or len({speaker for _, speaker in tiers}) > 1:
        utterances = [_utterance(a, speaker, a.value) for a, speaker in said]
    else:
        utterances = list(_labelled(said))
    return RawSession(
        None,
        tuple(u for u in utterances if u.text),
        "eaf",
        source.encoding,
        numbered,
        {"tiers_left_out": left_out} if left_out else {},
    )


def _utterance(a: Annotation, speaker: str | None, words: str) -> Utterance:
    return Utterance(speaker, clean(words), a.start_s, a.end_s, a.line, a.id)


def _labelled(said: list[tuple[Annotation, str | None]]) -> Iterator[Utterance]:
    """Take labels off the annotations of a single tier; one holds for what follows until the next."""
    lines = [(a, speaker, line.strip()) for a, speaker in said for line in a.value.splitlines() if line.strip()]
    split = [None if is_silence(line) else split_label(line) for _, _, line in lines]
    labels = choose(
        (found[0] if found else None for found, (_, _, line) in zip(split, lines) if not is_silence(line)),
        lone=True,
    )
    now: str | None = None
    last: Annotation | None = None
    who: str | None = None
    parts: list[str] = []
    for found, (a, speaker, line) in zip(split, lines):
        labelled = found is not None and found[0] in labels
        if found is not None and labelled:
            now, line = found
        one = (now if now is not None else speaker) if not (labels and is_silence(line)) else None
        if last is not None and (a is not last or labelled or one != who):
            yield _utterance(last, who, " ".join(parts))
            parts = []
        last, who = a, one
        parts.append(line)
    if last is not None:
        yield _utterance(last, who, " ".join(parts))


# --- which tiers are talk -------------------------------------------------------------------------


def _talk_tiers(document: Document) -> tuple[list[tuple[Tier, str]], int]:
    """Return the tiers of talk, each with its speaker, and how many tiers of their own are no talk."""
    below: dict[str | None, list[Tier]] = {}
    for tier in document.tiers.values():
        if not tier.id.lower().startswith(OWN):
            below.setdefault(tier.parent, []).append(tier)
    tops = [(tier, spoken) for tier in below.get(None, []) if (spoken := _spoken(tier, below))]
    kept = [(top, spoken) for top, spoken in tops if not _is_aside(top)] or tops
    named = [(tier, _speaker(tier, document)) for _, tier in kept]
    beside = about(
        [
            (top.id, speaker, [(a.start_s, a.end_s, a.value) for a in tier.annotations])
            for (top, _), (tier, speaker) in zip(kept, named, strict=True)
        ]
    )
    talk = [pair for n, pair in enumerate(named) if n not in beside]
    return talk, len(tops) - len(talk)


def about(tiers: Sequence[tuple[str, str, Sequence[tuple[float | None, float | None, str]]]]) -> set[int]:
    """Return the places of the tiers that speak about a party, whose talk stands on another tier.

    Such a tier is called as the other one and more ("Client_emotion" beside "Client"), for most of its time somebody
    talks, and it has no more words than the other. Who speaks beside the party has a number, a letter, brackets, a name
    or a word for a party there ("Client 2", "Client (mother)", "Client Anna"), or a name of their own.

    Parameters
    ----------
    tiers : sequence of (name, speaker, said)
        What is said with its start and end, in seconds.

    Examples
    --------
    >>> client, mood = [(0.0, 4.0, "It was not so good.")], [(1.0, 3.0, "sad")]
    >>> about([("Client", "Client", client), ("Client_mood", "Client_mood", mood), ("Client 2", "Client 2", mood)])
    {1}
    """
    places = {speaker_key(name): n for n, (name, _, _) in enumerate(tiers)}
    found: dict[int, int] = {}
    for n, (name, speaker, _) in enumerate(tiers):
        # names are short; a long one costs no more
        for gap in _GAP.finditer(name[:100]):
            of = places.get(speaker_key(name[: gap.start()]), n)
            owners = {speaker_key(one) for one in (name, *tiers[of][:2])}
            if of != n and speaker_key(speaker) in owners and not _is_somebody(name[gap.end() :]):
                found[n] = of
    if not found:
        return set()
    spans: list[tuple[float, float]] = []
    for start, end, _ in sorted(_timed(piece for n, tier in enumerate(tiers) if n not in found for piece in tier[2])):
        # end to end, each moment once
        since = max(start, spans[-1][1]) if spans else start
        if since < end:
            spans.append((since, end))
    starts = [start for start, _ in spans]
    before = [0.0, *accumulate(end - start for start, end in spans)]
    words = [sum(len(text.split()) for _, _, text in said) for _, _, said in tiers]

    def talked(until: float) -> float:
        n = bisect_right(starts, until)
        return before[n] - max(spans[n - 1][1] - until, 0.0) if n else 0.0

    return {
        n
        for n, of in found.items()
        if sum(talked(end) - talked(start) - (end - start) / 2 for start, end, _ in _timed(tiers[n][2])) > 0
        and words[n] <= words[of]
    }


def _timed(said: Iterable[tuple[float | None, float | None, str]]) -> Iterator[tuple[float, float, str]]:
    return ((start, end, text) for start, end, text in said if text.strip() and start is not None and end is not None)


def _is_somebody(more: str) -> bool:
    """Tell whether what stands in a tier's name after a party's tells of another speaker."""
    words = _GAP.split(more)
    first = words[0]
    return (
        first[:1] in "(["
        or len(first) == 1
        or first.isdecimal()
        or any(map(is_known, words))
        or (first[0].isupper() and not first.isupper() and first.lower() not in _ASIDE)
    )


def _spoken(top: Tier, below: Mapping[str | None, list[Tier]]) -> Tier | None:
    """Return the tier with the words of a tier that depends on no other: itself, or the first below."""
    level = [top]
    while level:
        worded = [t for t in level if not all(_MARK.fullmatch(a.value.strip()) for a in t.annotations)]
        if worded:
            return next((t for t in worded if not _is_aside(t)), worded[0])
        level = [child for t in level for child in below.get(t.id, [])]
    return None


def _is_aside(tier: Tier) -> bool:
    if any(not _ASIDE.isdisjoint(normal(name).split("_")) for name in (tier.id, tier.type)):
        return True
    maus = _MAUS.intersection(normal(tier.id).split("_"))
    # Kan and Mau are names too, but of people who say more than a word at a time
    return len(maus) > 1 or (bool(maus) and all(len(a.value.split()) < 2 for a in tier.annotations))


def _speaker(tier: Tier, document: Document) -> str:
    line = [tier]
    while (parent := line[-1].parent) is not None:
        line.append(document.tiers[parent])
    named = next((t.participant for t in line if t.participant.strip()), "")
    # "text@Anna" is how linguists name a tier of Anna's.
    _, at, after = tier.id.rpartition("@")
    return tidy(named) or tidy(after if at else line[-1].id)


# --- XML to tiers and annotations -----------------------------------------------------------------


def parse(source: Source) -> Document:
    """Parse an EAF file and give every annotation its time.

    The encoding is the one that the XML declares. An annotation on another one has that one's time; several on
    the same one share it out. A slot without a time lies evenly between its neighbours on the tier that have one.

    Raises
    ------
    ReadError
        If it is no EAF, breaks off, has a DOCTYPE, or an annotation, tier or slot refers to what is not there,
        comes twice, or refers to itself in a circle.

    Examples
    --------
    >>> from pathlib import Path
    >>> eaf = b'''<ANNOTATION_DOCUMENT><TIME_ORDER>
    ... <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
    ... </TIME_ORDER><TIER TIER_ID="T" LINGUISTIC_TYPE_REF="talk"><ANNOTATION>
    ... <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
    ... <ANNOTATION_VALUE>How are you?</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
    ... </ANNOTATION_DOCUMENT>'''
    >>> (a,) = parse(Source(Path("s.eaf"), eaf)).tiers["T"].annotations
    >>> a.value, a.start_s, a.end_s, a.line
    ('How are you?', 0.5, 1.5, 4)
    """
    parser = expat.ParserCreate()
    builder = _Builder(source, parser)
    try:
        parser.Parse(source.data, True)
    except ReadError:
        raise
    except expat.ExpatError as error:
        found = "the file is cut short" if error.code in _CUT else "this is not well-formed XML"
        raise source.error(found, _MEND, error.lineno) from None
    except (LookupError, ValueError):
        raise source.error("the encoding that the XML declares is not known", "Save it as UTF-8", 1) from None
    _check_tiers(builder.document, source)
    _check_references(builder.document, source)
    _place(builder.document, source)
    return builder.document


class _Builder:
    """Takes the parser's events and fills a document."""

    def __init__(self, source: Source, parser: expat.XMLParserType) -> None:
        self.document = Document()
        self._source = source
        self._parser = parser
        self._begun = False
        self._tier: Tier | None = None
        self._annotation: Annotation | None = None
        self._ids: set[str] = set()
        self._property = ""
        self._text: list[str] = []
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text_found
        parser.StartDoctypeDeclHandler = self._doctype

    def _fail(self, found: str, todo: str = _MEND) -> ReadError:
        return self._source.error(found, todo, self._parser.CurrentLineNumber)

    def _doctype(self, *_: object) -> None:
        raise self._fail("the XML has a DOCTYPE, which no EAF has", "Remove it, or export the file again")

    def _text_found(self, text: str) -> None:
        self._text.append(text)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._text.clear()
        if not self._begun:
            if name != "ANNOTATION_DOCUMENT":
                raise self._fail("this XML is not an ELAN annotation file", "Give an .eaf file that ELAN saved")
            self._begun = True
        elif name == "PROPERTY":
            self._property = attributes.get("NAME", "")
        elif name == "TIME_SLOT":
            self._slot(attributes)
        elif name == "TIER":
            self._begin_tier(attributes)
        elif name in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            self._begin_annotation(name == "REF_ANNOTATION", attributes)

    def _end(self, name: str) -> None:
        if name == "ANNOTATION_VALUE" and self._annotation is not None:
            self._annotation.value = "".join(self._text)
        elif name == "PROPERTY":
            self.document.properties.append((self._property, "".join(self._text)))
        elif name == "TIER":
            self._tier = None
        elif name in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            self._annotation = None

    def _slot(self, attributes: dict[str, str]) -> None:
        id, value = attributes.get("TIME_SLOT_ID"), attributes.get("TIME_VALUE")
        if id is None:
            raise self._fail("a time slot has no TIME_SLOT_ID")
        if id in self.document.slots:
            raise self._fail(f"time slot {shown_id(id)} comes twice")
        # ELAN's own sign for a slot without a time
        if value in (None, "-1"):
            self.document.slots[id] = None
        elif re.fullmatch(r"[0-9]{1,12}", value or ""):
            self.document.slots[id] = int(value or "")
        else:
            raise self._fail(f"the time of time slot {shown_id(id)} is not a whole number of milliseconds")

    def _begin_tier(self, attributes: dict[str, str]) -> None:
        id = attributes.get("TIER_ID")
        if id is None:
            raise self._fail("a tier has no TIER_ID")
        if id in self.document.tiers:
            raise self._fail(
                f"tiers {self.document.tiers[id].number} and {len(self.document.tiers) + 1} have one name",
                "Rename one of them",
            )
        self._tier = Tier(
            id,
            len(self.document.tiers) + 1,
            self._parser.CurrentLineNumber,
            attributes.get("LINGUISTIC_TYPE_REF", ""),
            attributes.get("PARENT_REF") or None,
            attributes.get("PARTICIPANT", ""),
            attributes.get("ANNOTATOR", ""),
        )
        self.document.tiers[id] = self._tier

    def _begin_annotation(self, is_ref: bool, attributes: dict[str, str]) -> None:
        if self._tier is None:
            raise self._fail("an annotation stands outside of a tier")
        needed = ("ANNOTATION_REF",) if is_ref else ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
        for key in ("ANNOTATION_ID", *needed):
            if key not in attributes:
                raise self._fail(f"an annotation on tier {self._tier.number} has no {key}")
        id = attributes["ANNOTATION_ID"]
        if id in self._ids:
            raise self._fail(f"two annotations have the id {shown_id(id)}, the second on tier {self._tier.number}")
        self._ids.add(id)
        self._annotation = Annotation(
            id,
            self._parser.CurrentLineNumber,
            None if is_ref else (attributes["TIME_SLOT_REF1"], attributes["TIME_SLOT_REF2"]),
            attributes["ANNOTATION_REF"] if is_ref else None,
            attributes.get("PREVIOUS_ANNOTATION") if is_ref else None,
        )
        self._tier.annotations.append(self._annotation)


def shown_id(id: str) -> str:
    """Return an id for a message; what does not look like one may be anybody's words."""
    return id if re.fullmatch(r"[A-Za-z]{0,3}[0-9]{1,9}", id) else "(no number)"


def _check_tiers(document: Document, source: Source) -> None:
    below: dict[str | None, list[str]] = {}
    for tier in document.tiers.values():
        if tier.parent is not None and tier.parent not in document.tiers:
            found = f"tier {tier.number} depends on a tier that is not there"
            raise source.error(found, _MEND, tier.line)
        below.setdefault(tier.parent, []).append(tier.id)
    reached = list(below.get(None, ()))
    for id in reached:
        reached += below.get(id, ())
    lost = document.tiers.keys() - set(reached)
    for tier in document.tiers.values():
        if tier.id in lost:
            raise source.error(f"tier {tier.number} depends on itself in a circle", _MEND, tier.line)


# --- times ----------------------------------------------------------------------------------------


def _check_references(document: Document, source: Source) -> None:
    known = {a.id for tier in document.tiers.values() for a in tier.annotations}
    for tier in document.tiers.values():
        for a in tier.annotations:
            for what, id, there in (
                *(("time slot", slot, document.slots) for slot in a.slots or ()),
                *(("annotation", ref, known) for ref in (a.parent, a.previous) if ref is not None),
            ):
                if id not in there:
                    where = f"annotation {shown_id(a.id)} on tier {tier.number}"
                    raise source.error(f"{where} refers to {what} {shown_id(id)}, which is not there", _MEND, a.line)


def _place(document: Document, source: Source) -> None:
    """Give every annotation its time and rank, those on time slots first and then what stands on them."""
    times = _slot_times(document)
    order = {slot: n for n, slot in enumerate(document.slots)}
    children: dict[str, list[list[Annotation]]] = {}
    stack: list[Annotation] = []
    waiting: dict[str, tuple[Annotation, Tier]] = {}
    for tier in document.tiers.values():
        siblings: dict[str, list[Annotation]] = {}
        for a in tier.annotations:
            waiting[a.id] = a, tier
            if a.slots is not None:
                start, end = (times[slot] for slot in a.slots)
                a.start_s, a.end_s = start, end if start is None or end is None or end >= start else None
                a.rank = (start or 0.0, order[a.slots[0]])
                stack.append(a)
            elif a.parent is not None:
                siblings.setdefault(a.parent, []).append(a)
        for parent, group in siblings.items():
            children.setdefault(parent, []).append(group)
    while stack:
        above = stack.pop()
        del waiting[above.id]
        above.rank = (*above.rank, -len(waiting))
        for group in children.get(above.id, ()):
            ordered = _in_order(group)
            for n, a in enumerate(ordered):
                a.start_s = _share(above, n, len(ordered))
                a.end_s = above.end_s if n + 1 == len(ordered) else _share(above, n + 1, len(ordered))
                a.rank = (a.start_s or 0.0, above.rank[1])
            stack += reversed(ordered)
    for a, tier in waiting.values():
        found = f"annotation {shown_id(a.id)} on tier {tier.number} refers to itself in a circle"
        raise source.error(found, _MEND, a.line)


def _share(above: Annotation, n: int, of: int) -> float | None:
    if n == 0 or above.start_s is None or above.end_s is None:
        return above.start_s
    return round(above.start_s + (above.end_s - above.start_s) * n / of, 3)


def _in_order(group: list[Annotation]) -> list[Annotation]:
    """Return the annotations of a tier on one parent, each after its ``previous``; those in a circle are lost."""
    ids = {a.id for a in group}
    after: dict[str | None, list[Annotation]] = {}
    for a in group:
        after.setdefault(a.previous if a.previous in ids else None, []).append(a)
    ordered: list[Annotation] = []
    stack = after.get(None, [])[::-1]
    while stack:
        ordered.append(stack.pop())
        stack += after.get(ordered[-1].id, [])[::-1]
    return ordered


def _slot_times(document: Document) -> dict[str, float | None]:
    """Return each slot's seconds; a slot without a time lies between its neighbours, as ELAN shows it.

    These are its neighbours on the tier; at a tier's edges, those in the whole file.
    """
    times = {slot: None if value is None else value / 1000 for slot, value in document.slots.items()}
    if None in times.values() and any(value is not None for value in times.values()):
        order = {slot: n for n, slot in enumerate(times)}
        used = {t.id: {slot for a in t.annotations for slot in a.slots or ()} for t in document.tiers.values()}
        for slots in used.values():
            _fill(times, sorted(slots, key=order.__getitem__))
        # talk must not move when tiers for codes come in
        codes = set().union(*(slots for id, slots in used.items() if id.lower().startswith(OWN)))
        talk = set().union(*(slots for id, slots in used.items() if not id.lower().startswith(OWN)))
        _fill(times, [slot for slot in times if slot in talk or slot not in codes])
        last = 0.0
        for slot, value in times.items():
            last = last if value is None else value
            times[slot] = last
    return times


def _fill(times: dict[str, float | None], slots: list[str]) -> None:
    """Spread the slots without a time evenly between those around them."""
    known = [(n, time) for n, slot in enumerate(slots) if (time := times[slot]) is not None]
    for (a, start), (b, end) in pairwise(known):
        for n in range(a + 1, b):
            times[slots[n]] = round(start + (end - start) * (n - a) / (b - a), 3)
