# ruff: noqa: E501 - the patterns are long alternations
"""Names, places, dates and numbers of people out of a transcript, placeholders in; where each stood is kept.

What is replaced is found by patterns (`_PATTERNS`), by the words known to name people and places
(``data/deidentify.toml``), by capitals within a sentence, by the labels of the speakers, by a list of the user's and,
if asked for, by a spaCy pipeline that is installed. It is no guarantee: some names are missed, and who somebody is
can be told from what happened to them. A person has to read what is to be shared.
"""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from .annotation import Marker
from .tables import Pseudonyms
from .transcript import ROLES, Transcript, Turn

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

NOTICE = "No guarantee: identifiers are missed. A person has to read every session before it is shared."
KINDS = ("NAME", "PLACE", "ORG", "DATE", "AGE", "PHONE", "EMAIL", "URL", "ADDRESS", "ID")
"""What placeholders stand for."""
MANY_CAPITALS = 0.15
"""Share of words within sentences from which capitals (as in titles, or in nothing but capitals) tell no names."""


class Replaced(NamedTuple):
    """Where a placeholder stands, and where in the original what it stands for; no word of it."""

    turn: int
    start: int
    end: int
    original_start: int
    original_end: int


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A transcript with placeholders, and the way back to the original's offsets.

    Whoever has the original gets the same map by `deidentify` again; it is never written.
    """

    transcript: Transcript
    replaced: tuple[Replaced, ...]

    def original(self, marker: Marker) -> Marker:
        """Return a marker on this transcript with the offsets of its words in the original.

        Examples
        --------
        >>> hidden = deidentify(Transcript("s1", (Turn(0, "C", "client", "Anna, you don't listen."),)))
        >>> hidden.transcript[0].text
        "[NAME_1], you don't listen."
        >>> back = hidden.original(Marker(0, 10, 26, "confrontation", "complaint_therapist"))
        >>> "Anna, you don't listen."[back.start:back.end]
        "you don't listen"
        """
        here = [r for r in self.replaced if r.turn == marker.turn]
        return replace(marker, start=_back(here, marker.start, 0), end=_back(here, marker.end, 1))


def _back(here: Sequence[Replaced], offset: int, end: int) -> int:
    n = bisect_right([r.start for r in here], offset - end)
    if not n:
        return offset
    last = here[n - 1]
    if offset - end < last.end:  # within a placeholder: all that it stands for
        return last.original_end if end else last.original_start
    return offset - last.end + last.original_end


def deidentify(transcript: Transcript, names: Iterable[str] = (), recogniser: str | None = None) -> Deidentified:
    """Replace what tells who somebody is by placeholders such as ``[NAME_1]``.

    The same name has the same placeholder throughout the session. Speakers are called by role and number, and of
    ``meta`` only what names nobody stays. No guarantee: some identifiers are missed, so a person has to read the
    result before it is shared.

    Parameters
    ----------
    transcript : Transcript
    names : iterable of str
        Names that are replaced wherever they stand, in any case, also with a possessive ending. An entry is one
        person, with commas between several names of the same ("Katarzyna Nowak, Kasia"), and has the number of its
        place in every session. A name that is an ordinary word too (Will, Grace) needs a capital, and at the beginning
        of a sentence a verb after it, unless it is given in small letters; as a part of a name it needs an entry.
    recogniser : str, optional
        An installed spaCy pipeline with a component ``ner``, by name or folder, that looks for more. Nothing is
        ever downloaded.

    Returns
    -------
    Deidentified

    Raises
    ------
    ValueError
        If the recogniser is not installed, or recognises no names.

    Examples
    --------
    >>> talk = "I told Priya on 3 March, she lives in Leeds. Priya's 93-year-old aunt rang 0113 496 0000."
    >>> deidentify(Transcript("s1", (Turn(0, "Ann Lee", "client", talk),))).transcript[0]
    Turn(index=0, speaker='client 1', role='client', text="I told [NAME_1] on [DATE_1], she lives in [PLACE_1].
    [NAME_1]'s [AGE_1] aunt rang [PHONE_1].", ...)
    """
    return Deidentifier(tuple(names), recogniser)(transcript)


def read_names(path: Path) -> tuple[str, ...]:
    """Read a list of names: a line for each person, commas between the names of one; ``#`` opens a remark.

    Raises
    ------
    ValueError
        If the file is not UTF-8, or has no name in it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "names.txt")
    ...     _ = file.write_text("# the family\\nKatarzyna Nowak, Kasia\\nwill\\n")
    ...     read_names(file)
    ('Katarzyna Nowak, Kasia', 'will')
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not UTF-8 (byte {error.start + 1}). Save it as UTF-8 text") from None
    lines = (" ".join(line.partition("#")[0].split()) for line in text.splitlines())
    names = tuple(line for line in lines if re.search(r"[^\W_]", line))
    if not names:
        raise ValueError(f"{path}: no name in this list. Write one a line")
    return names


# --- what is known ----------------------------------------------------------------------------------


class _Known(NamedTuple):
    """The lists of ``data/deidentify.toml``, small letters."""

    names: frozenset[str]
    ambiguous: frozenset[str]
    places: frozenset[str]
    stay: frozenset[str]
    phrases: re.Pattern[str]


@lru_cache(maxsize=1)
def _known() -> _Known:
    text = (resources.files("rupturekit") / "data" / "deidentify.toml").read_text("utf-8")
    of = {what: frozenset(words.replace("_", " ").split() if what == "stay" else words.split())
          for what, words in tomllib.loads(text).items()}  # fmt: skip
    ambiguous = of["ambiguous"]
    stay = (of["stay"] | of["function"]) - (ambiguous - of["function"] - {"christian", "so", "ma"})
    phrases = "|".join(p.replace("_", r"[ -]") for p in sorted(of["places"]) if "_" in p)
    return _Known(
        (of["given"] | of["family"]) - ambiguous - stay,
        ambiguous,
        frozenset(p for p in of["places"] if "_" not in p),
        stay,
        re.compile(rf"\b(?:{phrases})\b", re.IGNORECASE),
    )


_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_MON = rf"(?:{_MONTH}|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?)"
_UNIT = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_SMALL = rf"(?:(?:{_TENS})(?:[ -](?:{_UNIT}))?|{_TEENS}|{_UNIT})"
_ORDINAL = (
    r"(?:(?:twenty|thirty)[ -](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|first|second|third|fourth"
    r"|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)teenth"
    r"|twentieth|thirtieth)"
)
_DAY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{_ORDINAL})"
_YEAR = rf"(?:(?:19|20)\d\d|(?:nineteen|twenty) {_SMALL}|two thousand(?: and)?(?: {_SMALL})?|['’]\d\d)"
_OLD = r"(?:9\d|1[01]\d|ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|one) hundred(?: and \w{3,6})?(?! and\b))"
_WHO = (
    r"(?:(?:he|she|they|who|mum|mom|dad|mother|father|gran|nan|nana|grandma|grandad|grandpa|grandmother|grandfather"
    r"|aunt|uncle)(?:['’]s| is| was|['’]re| are| were|['’]ll be| will be| would be| (?:just )?turned| (?:just )?turns)"
    r"|i(?:['’]?m| am|['’]ll be| will be)|aged?|(?:turned|turning|nearly|almost) )"
)
_ROAD = (
    r"(?:street|road|avenue|ave|lane|drive|close|court|terrace|boulevard|blvd|crescent|gardens|grove|mews|parkway"
    r"|highway|walk|square|rd|st)\b\.?"
)
_LITTLE = r"(?!(?:the|a|an|my|your|his|her|our|their|this|that|of|on|in|at|to|and|or|was|is|i|down|up|times?|years?|days?|weeks?|hours?|minutes?|people|same|other|wrong|whole|main|next|across|off|high|side|back|long|one|two|some|any|every|no)\b)"
_SPOKEN_DIGIT = rf"(?:zero|oh|double|triple|nought|{_UNIT}|\d)"
_TLD = r"(?:com|org|net|edu|gov|info|io|eu|uk|ie|us|ca|au|de|fr|es|it|nl|pl|in|ng|za|co)"
_CUE = (
    r"(?:mrn|nhs|ssn|social security|insurance|policy|case|account|acct|passport|licen[cs]e|driving licen[cs]e|record"
    r"|member|membership|patient|student|reference|ref|claim|serial|sort code|pin|hospital|medical record|medicare|medicaid)"
)

# In this order: what is taken by one is not looked at by the next. Repeats are bounded, so that each is linear.
_PATTERNS: Sequence[tuple[str, re.Pattern[str]]] = [
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("EMAIL", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"),
        ("EMAIL", r"\b[\w.+-]{1,40}(?: (?:dot|underscore|dash|hyphen) [\w.+-]{1,40}){0,3} at [\w-]{1,40}"
                  rf"(?: dot [\w-]{{2,20}}){{0,2}} dot {_TLD}\b"),
        ("URL", r"\bhttps?://\S{1,500}|\bwww\.\S{1,300}|(?<![\w@.-])[\w-]{1,63}(?:\.[\w-]{1,63}){0,3}"
                rf"\.{_TLD}\b(?:/\S{{0,300}})?"),
        ("URL", rf"(?:\bwww dot )?\b[\w-]{{2,40}} dot (?:co dot )?{_TLD}\b(?: slash [\w-]{{1,40}})?"),
        ("URL", r"(?<![\w@.])@\w[\w.]{1,40}\b"),
        ("ID", rf"\b{_CUE}(?: (?:number|no|id|code))?\.?(?: is| was|:)? ?#?((?=[a-z-]{{0,6}}\d)[a-z\d][a-z\d/-]{{3,24}})\b"),
        ("ID", r"\b[a-z]{2}\d{2}(?: ?[a-z\d]{4}){2,7}(?: ?[a-z\d]{1,3})?\b(?<=\d)"),
        ("ID", r"\b\d{3}-\d{2}-\d{4}\b|\b[a-ceghj-prstw-z][a-ceghj-nprstw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d]\b"),
        ("ID", r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:\d{4}[ -]){3}\d{4}\b|\b[a-z]{2}\d{2} ?[a-z]{3}\b(?<! and)(?<! the)"),
        ("DATE", r"\b\d{1,2}([/.-])\d{1,2}\1\d{2,4}\b|\b(?:19|20)\d\d([/-])\d{1,2}\2\d{1,2}\b|\bon \d{1,2}/\d{1,2}\b(?!/)"),
        ("DATE", rf"\b(?:the )?{_DAY}(?: of)? {_MON}(?:,? (?:of )?{_YEAR})?\b"),
        ("DATE", rf"\b{_MON}(?: the)? {_DAY}\b(?:,? {_YEAR})?(?! (?:times|people|years|days|weeks|hours))"),
        ("DATE", rf"\b{_MON},?(?: of)? {_YEAR}\b"),
        ("DATE", rf"(?:\b(?:in|last|next|since|until|till|this|by|during|early|late|mid|around|every|of)[ -])({_MONTH})\b"),
        ("DATE", r"\b(?:january|february|april|june|july|august|september|october|november|december)\b"),
        ("DATE", rf"\bon (the (?:\d{{1,2}}(?:st|nd|rd|th)|{_ORDINAL}))\b(?! (?:floor|day|time|try|one|week|of the))"),
        ("AGE", rf"\b{_OLD}[ -]?(?:years?|yrs?)[ -](?:old|of age)\b|\b{_OLD} ?y/?o\b"),
        ("AGE", rf"\b{_WHO} ?((?:about |nearly |almost )?{_OLD})\b(?! ?(?:%|percent|per|minutes?|mins?|days?|pounds?|dollars?"
                r"|miles?|degrees|hours?|kilos?|times|people|something))"),
        ("AGE", r"\bin (?:his|her|their|my) ((?:early |mid|late )?-?nineties|90['’]?s)\b"),
        ("ADDRESS", rf"\b(?:\d{{1,5}}[a-z]?|{_SMALL}),? (?:{_LITTLE}[a-z][a-z'’-]{{1,25}} ){{1,3}}{_ROAD}"),
        ("ADDRESS", rf"\b(?:on|in|at|off|near|from|to) ({_LITTLE}[a-z][a-z'’-]{{2,25}} (?:{_LITTLE}[a-z][a-z'’-]{{1,25}} )?"
                    r"(?:street|road|avenue|lane|drive|terrace|boulevard|crescent|grove|mews))\b"),
        ("ADDRESS", r"\b(?:flat|apartment|apt|unit|suite)\.? (?:number )?\d{1,4}[a-z]?\b|\bp\.? ?o\.? box \d{1,6}\b"),
        ("ADDRESS", r"\b[a-z]{1,2}\d[a-z\d]? \d(?!st|nd|rd|th)[a-z]{2}\b|\b[a-z]{1,2}\d[a-z\d]?\d(?!st|nd|rd|th)[a-z]{2}\b"
                    r"|\b[a-z]\d[a-z] ?\d[a-z]\d\b|\b(?:zip|post) ?code(?: is)?:? (\d{4,5}(?:-\d{4})?)\b|\b\d{5}-\d{4}\b"),
        ("PHONE", r"(?<![\w.,$£€])(?:\+ ?)?\(?\d(?:[ ().\-–]{0,2}\d){6,14}(?![\w%]|[.,]\d)"),
        ("PHONE", rf"\b{_SPOKEN_DIGIT}(?:,? {_SPOKEN_DIGIT}){{6,20}}\b"),
        ("ID", r"(?<![\w.,$£€#])#?\d{5,20}\b(?![.,]\d)(?! ?(?:%|dollars|pounds|euros|steps|people|times|words|hours|miles|calories))"),
        ("ID", r"\b(?=[a-z\d-]{0,8}[a-z])(?=[a-z-]{0,8}\d[a-z-]{0,4}\d[a-z-]{0,4}\d[a-z-]{0,4}\d)[a-z\d-]{6,25}\b"),
    )
]  # fmt: skip

# Accents may stand apart from their letters (NFD). A stop joins only after an initial (e.g, U.S): elsewhere it ends a
# sentence, and the space after it was left out.
_ACCENTS = "".join(c for c in map(chr, range(0x300, 0x3100)) if unicodedata.category(c).startswith("M"))
_LETTERS = rf"[^\W\d_]{{1,60}}(?:[{_ACCENTS}]{{1,4}}[^\W\d_]{{1,60}}){{0,30}}[{_ACCENTS}]{{0,4}}"
_WORD = re.compile(rf"{_LETTERS}(?:(?:['’-]|(?<![^\W\d_]{{2}})\.){_LETTERS}){{0,6}}")
_PART = re.compile(r"[^'’.-]{1,200}")
_ENDING = re.compile(r"(?:['’](?:s|d|ll|re|ve|m)){1,6}$", re.IGNORECASE)
_PLACEHOLDER = re.compile(rf"\[?\b({'|'.join(KINDS)})_(\d{{1,6}})\b\]?")
_OPENS = re.compile(r"(?:^|[.?!…:;\]\"“”»–—]|--)[\s\"“”‘'’(\[*-]*$")
_TITLE = re.compile(
    r"\b(?:dr|mr|mrs|ms|miss|mx|professor|prof|reverend|rev"
    r"|(?:my|your|his|her|their) name(?:['’]s| is| was)|name(?:['’]s| is| was)|named|calls? (?:me|him|her|herself|himself))"
    r"(?:\. ?| )$",
    re.IGNORECASE,
)
_NEAR = re.compile(
    r"\b(?:(?:my|your|his|her|our|their)(?: (?:best|old|eldest|youngest|older|younger|big|little|new|ex))?[ -](?:friend|mate|brother"
    r"|sister|son|daughter|husband|wife|partner|boyfriend|girlfriend|boss|manager|cousin|uncle|aunt|nephew|niece"
    r"|flatmate|roommate|colleague|therapist|neighbou?r|dad|mum|mom)|aunt|auntie|aunty|uncle|nurse|sister|father|called|hi|hello|dear),? $",
    re.IGNORECASE,
)
_WHERE = re.compile(
    r"\b(?:in|near|around|outside|live[sd]?|living|moved to|back to|born) (?:\w{1,20} )?$", re.IGNORECASE
)
_DOES = re.compile(
    r"(?:['’]s)? (?:says?|said|tells?|told|asked|asks|thinks?|thought|wants?|wanted|knows|knew|came|comes|went|goes|died|left|rang"
    r"|texted|called|calls|laughed|cried|met|married|hates?|hated|loves?|loved|likes?|liked|got|gets|never|always|and I|was|is|has"
    r"|had|did|does|doesn['’]t|didn['’]t|isn['’]t|wasn['’]t|won['’]t|who)\b"
)
_ACTS = re.compile(
    r" (?:says?|said|tells|told|asked|thinks|wants|wanted|knew|came|comes|died|rang|texted|laughed|cried|hates|loves)\b"
)


class _Span(NamedTuple):
    """What is to be replaced: where, what it is, and what it is the same as."""

    turn: int
    start: int
    end: int
    kind: str
    key: str


@dataclass(frozen=True)
class Deidentifier:
    """`deidentify` with its settings, for many sessions; it can be pickled.

    ``hide`` hashes the ids, paths and clients that are more than codes and numbers.
    """

    names: tuple[str, ...] = ()
    recogniser: str | None = None
    hide: Pseudonyms | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"names": self.names, "recogniser": self.recogniser, "hide": self.hide}

    @cached_property
    def version(self) -> str | None:
        """Name and version of the recogniser."""
        if self.recogniser is None:
            return None
        meta = _pipeline(self.recogniser).meta
        return f"{meta['lang']}_{meta['name']} {meta['version']}"

    @property
    def settings(self) -> dict[str, Any]:
        """Return what results depend on, without a name: for the key of what is kept of a run."""
        digest = hashlib.sha256("\n".join(self.names).encode("utf-8", "surrogatepass")).hexdigest()
        return {"names": digest, "recogniser": self.version, "hidden": self.hide.hash("") if self.hide else None}

    @property
    def told(self) -> dict[str, Any]:
        """Return what a run tells of it in ``run.json``: how many names were given, the recogniser, the notice."""
        return {"names": len(self.names), "recogniser": self.version, "notice": NOTICE}

    def shown(self, text: str) -> str:
        """Return an id or a path as it may be shown: as it is if it is of codes, else as a keyed hash.

        Examples
        --------
        >>> ids = Deidentifier(hide=Pseudonyms(b"a secret"))
        >>> [ids.shown(id) == id for id in ("P012_s03.txt", "session 4", "K1-0042", "2024-03")]
        [True, True, True, True]
        >>> [ids.shown(id) == id for id in ("nowak_03", "Li_Na", "12.03.63", "078-05-1120")]
        [False, False, False, False]
        """
        return text if self.hide is None or _is_code(text, self._in_ids) else self.hide.hash(text)

    @cached_property
    def _in_ids(self) -> frozenset[str]:
        """Return the words that name somebody in an id, initials left out."""
        own = (word for name in self.names for word in re.findall(r"[^\W_]{2,}", _plain(name)))
        return (_known().names | _known().ambiguous) - {"cha"} | frozenset(own)  # CHAT has names end in .cha

    def __call__(self, transcript: Transcript) -> Deidentified:
        """Return the transcript with placeholders; see `deidentify`."""
        spans = _Finder(transcript, self._listed(), self.recogniser).spans()
        numbers = _Numbers(transcript, len(self.names))
        turns, replaced = [], []
        speakers = _numbered(transcript)
        for turn in transcript:
            text, done, size = [], 0, 0
            for span in spans.get(turn.index, ()):
                before = turn.text[done : span.start]
                label = numbers.of(span)
                # a bracket within brackets would end the mark that it stands in
                inside = turn.text.rfind("[", 0, span.start) > turn.text.rfind("]", 0, span.start)
                label = label if inside else f"[{label}]"
                size += len(before)
                replaced.append(Replaced(turn.index, size, size + len(label), span.start, span.end))
                text += [before, label]
                size, done = size + len(label), span.end
            ids = tuple(self.shown(i) if i is not None else i for i in turn.source_ids)
            new = "".join([*text, turn.text[done:]])
            turns.append(replace(turn, speaker=speakers[turn.role, turn.speaker], text=new, source_ids=ids))
        told = Counter(span.kind for part in spans.values() for span in part)
        meta = {
            **{k: transcript.meta[k] for k in _HARMLESS if k in transcript.meta},
            **{
                k: self.shown(str(transcript.meta[k]))
                for k in ("path", "client_id", "group", "session_number")
                if transcript.meta.get(k) is not None and (self.hide or k != "path")
            },
            "deidentified": {kind: told[kind] for kind in KINDS if told[kind]},
        }
        number = transcript.meta.get("session_number")
        if isinstance(number, int) and meta["session_number"] == str(number):
            meta["session_number"] = number
        return Deidentified(
            Transcript(self.shown(transcript.id), tuple(turns), transcript.language, meta), tuple(replaced)
        )

    def _listed(self) -> list[tuple[str, str]]:
        """Return each name of the list with what it is the same as: its line."""
        return [
            (name, f"\0{number:09}")
            for number, line in enumerate(self.names)
            for whole in map(str.strip, unicodedata.normalize("NFC", line).split(","))
            for name in _parts(whole)
        ]


_HARMLESS = (
    "format", "encoding", "role_source", "role_confidence", "numbered", "flags", "header_lines", "duplicate_rows",
    "labels_in_talk", "sessions_in_file", "tiers_left_out", "cells_left_out",
)  # fmt: skip
_CODE_WORDS = (
    "session|sessions|client|patient|participant|subject|case|transcript|transcripts|interview|therapist|dyad|pair|group"
    "|study|site|arm|wave|week|visit|intake|pre|post|part|pilot|control|treatment|sample|examples|data|raw|input|inputs"
    "|table|all|train|test|id|no|nr|s|c|t|p"
    "|txt|text|docx|vtt|srt|csv|tsv|xlsx|json|jsonl|ndjson|eaf|textgrid|cha"
)
# K1, P012s03, 3b: more than two letters are a word, and have to be known
_CODE = re.compile(rf"(?:{_CODE_WORDS})?\d{{0,4}}|\d{{1,4}}[a-z]?|(?:[a-z]{{1,2}}\d{{1,4}}){{1,2}}[a-z]?")
# Three numbers that could be day, month and year, or a month with a year in which an adult client may be born.
_BORN = re.compile(
    r"(?<!\d)(?:\d{1,2}[^a-z\d]+\d{1,2}[^a-z\d]+\d{1,2}"
    r"|(?:19\d\d|200\d)[^a-z\d]+\d{1,2}|\d{1,2}[^a-z\d]+(?:19\d\d|200\d))(?!\d)"
)
_MANY_DIGITS = re.compile(r"(?:\d[^a-z\d]*){7}")


def _is_code(text: str, names: frozenset[str]) -> bool:
    """Tell whether an id is made of words of studies and of short codes, none of which names or numbers anybody."""
    text = text.lower()
    if not text.isascii() or _BORN.search(text) or _MANY_DIGITS.search(text):
        return False
    if len(re.findall(r"\d+", text)) >= 3 and re.search(r"(?:19|20)\d\d", text):
        return False
    codes = re.findall(r"[a-z\d]+", text)
    if not all(map(_CODE.fullmatch, codes)) or not names.isdisjoint([*codes, *re.findall(r"[a-z]+", text)]):
        return False
    # the last pattern finds codes
    return not any(pattern.search(text) for _, pattern in _PATTERNS[:-1])


_PARTICLES = frozenset(
    "af al av bin bint da das de del della den der di do dos du e el ibn la las le los ten ter van von y zu zur".split()
)


def _parts(name: str) -> list[str]:
    """Return a person's name in full and each of its words; of anything else the whole."""
    words = name.split()
    own = [w for w in words if w not in _PARTICLES]
    if len(own) < len(words):
        own = [w for w in own if w.lower() not in _PARTICLES]  # Van der Berg
    if len(words) < 2 or not 1 <= len(own) <= 4 or any(not w[0].isupper() for w in own) or re.search(r"\d", name):
        return [name] if name else []
    return [name, *(w for w in own if len(w) > 2 and w.lower().rstrip(".") not in _known().stay)]


def _numbered(transcript: Transcript) -> Mapping[tuple[str, str], str]:
    """Call each speaker by role and number."""
    labels = {role: dict.fromkeys(t.speaker for t in transcript if t.role == role) for role in ROLES}
    return {(role, label): f"{role} {n}" for role in ROLES for n, label in enumerate(labels[role], 1)}


class _Numbers:
    """Numbers what is replaced, kind by kind, in the order in which it is met; names of the list have theirs."""

    def __init__(self, transcript: Transcript, listed: int) -> None:
        # what an earlier run or a person put there keeps its number, and no other gets it
        there = [m.groups() for turn in transcript for m in _PLACEHOLDER.finditer(turn.text)]
        self._last = {kind: max((int(n) for k, n in there if k == kind), default=0) for kind in KINDS}
        self._first = self._last["NAME"]
        self._last["NAME"] += listed
        self._given: dict[tuple[str, str], int] = {}

    def of(self, span: _Span) -> str:
        if span.key[0] == "\0" and span.key[1:].isdecimal():
            return f"NAME_{self._first + int(span.key[1:]) + 1}"
        number = self._given.get((span.kind, span.key))
        if number is None:
            number = self._last[span.kind] = self._last[span.kind] + 1
            self._given[span.kind, span.key] = number
        return f"{span.kind}_{number}"


class _Finder:
    """What is to be replaced in one session."""

    def __init__(self, transcript: Transcript, listed: Sequence[tuple[str, str]], recogniser: str | None) -> None:
        self.turns = transcript.turns
        self.known = _known()
        self.recogniser = recogniser
        listed = [*listed, *_speakers(self.turns)]
        self.listed: dict[str, str] = {}
        for name, key in listed:
            self.listed.setdefault(_plain(name), key)
        # a name that is a word too needs more than its letters, unless it is given in small letters
        self.anywhere = {_plain(n) for n, _ in listed if n.islower() or _plain(n) not in self._words_too}
        # names of several words, before their words
        self.whole = [
            (re.compile(rf"(?<!\w){_spelt(name)}(?![\w{_ACCENTS}])", re.IGNORECASE), key)
            for name, key in sorted(self.listed.items(), key=lambda item: -len(item[0]))
            if not _PART.fullmatch(name) or not _WORD.fullmatch(name)
        ]
        self.words = {turn.index: list(self._words(turn.text)) for turn in self.turns}
        self.small = {_plain(m[0]) for part in self.words.values() for m in part if m[0].islower()}
        self.capitals = self._capitals_tell()
        self.session: dict[str, str] = {}
        self.recognised: set[str] = set()

    @property
    def _words_too(self) -> frozenset[str]:
        return self.known.ambiguous | self.known.stay

    def _words(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the words of a text; those such as "ex-anna" in parts, if a part is listed and the whole is no word."""
        listed = self.listed.keys()
        for match in _WORD.finditer(text):
            base = _base(match[0])
            parts = list(_PART.finditer(text, match.start(), match.start() + len(base)))
            whole = {_plain(match[0]), _plain(base)}
            plain = {_plain(part[0]).removesuffix(end) for part in parts for end in ("", "s")}
            if len(parts) < 2 or listed.isdisjoint(plain) or not listed.isdisjoint(whole) or whole & self.known.stay:
                yield match
            else:
                yield from parts

    def spans(self) -> dict[int, list[_Span]]:
        """Return the spans of each turn, in order, none within another."""
        taken = {turn.index: self._patterns(turn) for turn in self.turns}
        sure = {turn.index: [self._sure(turn.text, match) for match in self.words[turn.index]] for turn in self.turns}
        for index, kinds in sure.items():
            for match, kind in zip(self.words[index], kinds):
                if kind:
                    self.session.setdefault(_plain(_base(match[0])), kind)
        self._recognised()
        for turn in self.turns:
            told = {match.span(): kind for match, kind in zip(self.words[turn.index], sure[turn.index])}
            taken[turn.index] += self._names(turn, told, taken[turn.index])
        return {index: _merged(part) for index, part in taken.items() if part}

    def _patterns(self, turn: Turn) -> list[_Span]:
        found = [_Span(turn.index, m.start(), m.end(), "", "") for m in _PLACEHOLDER.finditer(turn.text)]
        free = _blank(turn.text, found)
        for whole, key in self.whole:
            new = [_Span(turn.index, m.start(), m.end(), "NAME", key) for m in whole.finditer(free)]
            found, free = found + new, _blank(free, new)
        for kind, pattern in (*_PATTERNS, ("PLACE", self.known.phrases)):
            new = []
            for match in pattern.finditer(free):
                group = match.lastindex if match.lastindex and len(match[match.lastindex]) > 1 else 0
                text = match[group]
                key = re.sub(r"\W", "", text).casefold()
                new.append(_Span(turn.index, match.start(group), match.end(group), kind, key))
            found, free = found + new, _blank(free, new)
        return found

    def _sure(self, text: str, match: re.Match[str]) -> str | None:
        """Return the kind of a word that is a name where it stands, None if it need not be one."""
        base = _base(match[0])
        if not base:
            return None
        plain, before = _plain(base), text[max(0, match.start() - 40) : match.start()]
        if plain in self.listed and plain in self.anywhere:
            return "NAME"
        # nor do "I-I", "so-so" and "I'm-I" name anybody
        parts = re.split(r"-|'(?:m|d|s|ll|re|ve)\b", plain)
        if plain not in self.listed and plain != "will" and all(len(p) < 2 or p in self.known.stay for p in parts):
            return None
        if plain in self.known.places:
            return "PLACE"
        if self._is_name(plain):
            return "NAME"
        if _TITLE.search(before) and plain not in self.known.stay and not _ACTS.match(f" {plain}"):
            return "NAME"
        if plain in self.known.ambiguous and plain not in self.known.stay and _NEAR.search(before):
            return "NAME"
        capital = base[0].isupper()
        if not (capital and self.capitals) or (
            plain in self.known.stay and plain not in self.listed and plain != "will"
        ):
            return None
        if any(part.isupper() and 1 < len(part) <= 5 for part in base.split("-")):
            return "NAME" if plain in self.listed else None  # ADHD, GP
        if _OPENS.search(before[-12:]):
            rest = text[match.end() : match.end() + 20]
            if plain in self.known.ambiguous:
                return "NAME" if plain in self.listed and _DOES.match(rest) else None
            following = _WORD.match(rest, 1)
            full = following and following[0][0].isupper() and _plain(_base(following[0])) not in self.known.stay
            return "NAME" if _ACTS.match(rest) or (full and rest[0] == " ") else None
        return "PLACE" if _WHERE.search(before) and plain not in self.known.ambiguous else "NAME"

    def _is_name(self, plain: str) -> bool:
        names = self.known.names
        return plain in names or any(p in names for p in plain.split("-") if "-" in plain)

    def _names(self, turn: Turn, sure: Mapping[tuple[int, int], str | None], taken: Iterable[_Span]) -> list[_Span]:
        found = []
        words: Iterable[re.Match[str]] = self.words[turn.index]
        if spans := sorted(taken, key=lambda span: span.start):
            # of a word that is taken in part, as in "New York-Anna", the rest is a word
            words = self._words(_blank(turn.text, spans))
        for match in words:
            kind = sure[match.span()] if match.span() in sure else self._sure(turn.text, match)
            base = _base(match[0])
            plain, start = _plain(base), match.start()
            if kind is None and plain in self.session and self._again(turn.text, match, base):
                kind = self.session[plain]
            if kind is None and plain.endswith("s") and len(plain) > 4 and plain not in self.known.stay:
                # "annas" in captions is Anna's
                stem = plain[:-1]
                if stem in self.anywhere or (stem in self.known.names and not match[0][0].isupper()):
                    kind, base, plain = self.session.get(stem, "NAME"), base[:-1], stem
            if kind:
                kind = "NAME" if plain in self.listed else self.session.get(plain, kind)
                key = self.listed.get(plain, plain)
                found.append(_Span(turn.index, start, start + len(base), kind, key))
        return found

    def _again(self, text: str, match: re.Match[str], base: str) -> bool:
        """Tell whether a name of the session is meant where it could be a word."""
        plain = _plain(base)
        if plain in self._words_too:
            if not base[0].isupper() or plain in self.known.stay:
                return False
            return _DOES.match(text[match.end() : match.end() + 20]) is not None
        return base[0].isupper() or plain not in self.small or plain in self.recognised

    def _recognised(self) -> None:
        """Add to the session's names what the recogniser finds."""
        if self.recogniser is None:
            return
        nlp = _pipeline(self.recogniser)
        for doc in nlp.pipe(turn.text for turn in self.turns):
            for entity in doc.ents:
                if kind := _LABELS.get(entity.label_):
                    for match in _WORD.finditer(entity.text):
                        plain = _plain(_base(match[0]))
                        if len(plain) > 2 and plain not in self._words_too and not match[0].isupper():
                            self.session.setdefault(plain, kind)
                            self.recognised.add(plain)

    def _capitals_tell(self) -> bool:
        within = capital = 0
        for turn in self.turns:
            for match in self.words[turn.index]:
                if not _OPENS.search(turn.text[max(0, match.start() - 12) : match.start()]):
                    within += 1
                    capital += match[0][0].isupper() and _base(match[0]) != "I"
        return capital <= max(MANY_CAPITALS * within, 8)


_LABELS = {"PERSON": "NAME", "PER": "NAME", "GPE": "PLACE", "LOC": "PLACE", "FAC": "PLACE", "ORG": "ORG"}


def _base(word: str) -> str:
    return _ENDING.sub("", word).rstrip(".'’-")


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold().replace("’", "'")


def _spelt(name: str) -> str:
    """Return the pattern of a name in NFC, for texts in NFC and in NFD."""
    ways = (dict.fromkeys(("'", "’") if c == "'" else (c, unicodedata.normalize("NFD", c))) for c in name)
    return "".join(f"(?:{'|'.join(map(re.escape, way))})" if len(way) > 1 else re.escape(*way) for way in ways)


def _blank(text: str, spans: Iterable[_Span]) -> str:
    """Return a text with what stands in spans, which come in order, taken out; offsets stay."""
    parts, done = [], 0
    for span in spans:
        parts += [text[done : span.start], "\0" * (span.end - span.start)]
        done = span.end
    return "".join([*parts, text[done:]])


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Put spans in order; neighbours that are the same person are one."""
    kept: list[_Span] = []
    for span in sorted(spans, key=lambda s: s.start):
        last = kept[-1] if kept else None
        if last and last.key.startswith("\0") and span.key == last.key and span.start - last.end == 1:
            kept[-1] = last._replace(end=span.end)
        else:
            kept.append(span)
    return [span for span in kept if span.kind]


def _speakers(turns: Sequence[Turn]) -> Iterator[tuple[str, str]]:
    """Yield the words of the speakers' labels that are names, each with what it is the same as."""
    from .readers.labels import is_known

    for label in dict.fromkeys(turn.speaker for turn in turns):
        for n, part in enumerate(map(str.strip, re.split(r"[()]", label))):
            words = [_base(m[0]) for m in _WORD.finditer(part)]
            if is_known(part) or len(words) > 5:
                continue
            for word in words:
                # small letters in brackets are a remark, as in "Ann (on the phone)", unless all the label is in them
                if n and word.islower() and not label.islower():
                    continue
                if len(word) > 2 and _plain(word) not in _known().stay and not is_known(word):
                    yield word.capitalize() if word.islower() else word, f"\0speaker {label}"


@lru_cache(maxsize=1)
def _pipeline(name: str) -> Any:
    """Load the recogniser, from this machine only."""
    import spacy

    try:
        nlp = spacy.load(name, exclude=["parser", "tagger", "lemmatizer", "attribute_ruler", "senter"])
    except (OSError, ImportError, ValueError):
        raise ValueError(
            f"recogniser {name}: no such spaCy pipeline is installed; nothing is downloaded. Install it with pip, "
            "or give its folder"
        ) from None
    if not any(hasattr(pipe, "labels") and set(pipe.labels) & set(_LABELS) for _, pipe in nlp.pipeline):
        raise ValueError(f"recogniser {name}: this pipeline recognises no names; give one with a component ner")
    return nlp
