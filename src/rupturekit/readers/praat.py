"""Praat TextGrids, one for a session or one for each speaker.

Parsed here and not by ``praatio``, which tells no lines, and splits a file at ``item [`` and ``intervals [`` even
where they stand in a label; the tests read the same files with it. As Praat itself does
(https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html), `parse` looks only at texts in quotes, numbers
that stand free and flags: so the long and the short form are one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rupturekit.readers import check_lines, load
from rupturekit.readers.elan import ABOUT, about
from rupturekit.readers.encoding import decode
from rupturekit.readers.labels import choose, is_known, tidy
from rupturekit.readers.raw import RawSession, ReadError, Source, Utterance, clean
from rupturekit.readers.records import normal
from rupturekit.readers.text import split_label
from rupturekit.roles import role_of_label, speaker_key

OURS = "rupturekit"
"""How the names of tiers begin that hold codings, in any case."""
SLACK = 0.001
"""Seconds by which intervals may overlap, or reach beyond the file, because programs round differently."""

PAUSE_S = 0.5
"""Seconds of silence between words that end an utterance, where a tier has words alone."""

_SILENT = frozenset(("", "sil", "<sil>", "[sil]", "sp", "<sp>", "<p:>", "<eps>", "#"))
# Words in the name of a tier that cuts talk into its parts, and those beside which it may say whose talk it is.
# WebMAUS calls words ORT-MAU, what they sound like KAN-MAU, phones MAU, and utterances TRN.
_WORDS = frozenset("word words token tokens ort".split())
_PHONES = frozenset("phones phoneme phonemes phone kan mau".split())
_NAMED = re.compile(r"(?<![\W_])[\W_]*(?<![^\W_])(?:words?|tokens?|ort(?:[\W_]mau)?)(?![^\W_])[\W_]*", re.IGNORECASE)
_UTTERANCES = frozenset("utterance utterances phrase phrases sentence sentences transcript transcription trn".split())
# a text in quotes is matched by its stretches: a choice for each character takes a hundred bytes for each
_TOKEN = re.compile(
    r'"(?P<text>[^"]*(?:""[^"]*)*)"|(?P<flag><[a-z]+>)|!(?P<comment>[^\n]*)'
    r"|(?P<number>-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)(?!\S)|(?P<open>\")|(?P<word>[^\s\"]+)"
)


class Interval(NamedTuple):
    """A stretch of a tier with its label, and the line of the label in the file."""

    start: float
    end: float
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Tier:
    """An interval tier, or a point tier (which has no intervals here)."""

    name: str
    points: bool
    intervals: tuple[Interval, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is a tier of codings, which is never talk."""
        return self.name.casefold().startswith(OURS)


@dataclass(frozen=True, slots=True)
class TextGrid:
    """A TextGrid as it stands in a file, in the file's order.

    ``size_at`` is where in the text the number of tiers stands, and ``long`` whether it is in the long form.
    """

    start: float
    end: float
    tiers: tuple[Tier, ...]
    size_at: tuple[int, int]
    long: bool

    def talk(self) -> list[Tier]:
        """Return the interval tiers on which something is said."""
        return [tier for tier in self.tiers if not tier.is_ours and any(map(is_talk, tier.intervals))]


def is_talk(interval: Interval) -> bool:
    """Tell whether the label is more than nothing or a sign for silence."""
    return interval.text.strip().casefold() not in _SILENT


# --- a file ---------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str
    value: str
    at: tuple[int, int]
    line: int


class _Tokens:
    """The texts, numbers and flags of a file, one after the other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rest = self._all(source.text)
        self.line = 1
        self.words = 0

    def _all(self, text: str) -> Iterator[_Token]:
        line, seen = 1, 0
        for match in _TOKEN.finditer(text):
            line += text.count("\n", seen, match.start())
            seen, kind = match.start(), match.lastgroup or ""
            if kind == "word":
                self.words += 1
            elif kind != "comment":
                yield _Token(kind, match[kind], match.span(), line)

    def next(self, kind: str, what: str) -> _Token:
        token = next(self._rest, None)
        if token is None:
            last = self._source.text.rstrip().count("\n") + 1
            raise self.error(f"the file ends where {what} should stand", "Copy it again or save it anew", last)
        self.line = token.line
        if token.kind == "open":
            raise self.error("a text in quotes is not closed", "Close it; write a quote within a text twice")
        if token.kind != kind:
            raise self.error(
                f"{what} should stand here",
                "Check the numbers of tiers and intervals, and that quotes within a label stand twice",
            )
        return token

    def number(self, what: str) -> float:
        value = float(self.next("number", what).value)
        if not math.isfinite(value):
            raise self.error(f"{what} is no number of seconds", "Correct it")
        return value

    def size(self, what: str) -> tuple[int, tuple[int, int]]:
        token = self.next("number", what)
        if not token.value.isdecimal() or len(token.value) > 9:
            raise self.error(f"{what} is no whole number", "Correct it")
        return int(token.value), token.at

    def end(self) -> None:
        if token := next(self._rest, None):
            self.line = token.line
            raise self.error("the file goes on after its last tier", "Correct the number of tiers or intervals")

    def error(self, found: str, todo: str, line: int | None = None) -> ReadError:
        return self._source.error(found, todo, line or self.line)


def parse(source: Source) -> TextGrid:
    """Read a TextGrid as it stands.

    Raises
    ------
    ReadError
        If the file is cut short or otherwise no TextGrid, or intervals overlap or reach beyond its end.

    Examples
    --------
    >>> text = '"ooTextFile" "TextGrid" 0 2 <exists> 1 "IntervalTier" "T" 0 2 1 0 2 "Well?"'
    >>> parse(Source(Path("s.TextGrid"), b"", text)).tiers
    (Tier(name='T', points=False, intervals=(Interval(start=0.0, end=2.0, text='Well?', line=1),)),)
    """
    tokens = _Tokens(source)
    for wanted in ("ooTextFile", "TextGrid"):
        if not tokens.next("text", f'"{wanted}"').value.startswith(wanted):
            raise tokens.error("this is no TextGrid", "Save the annotation as a TextGrid")
    header = tokens.words
    start, end = tokens.number("the start of the file"), tokens.number("the end of the file")
    if start >= end:
        raise tokens.error("the file ends where it starts, or before", "Correct xmin and xmax")
    if tokens.next("flag", "<exists>").value != "<exists>":
        raise tokens.error("it has no tiers", "Check the export that made it")
    size, size_at = tokens.size("the number of tiers")
    tiers = tuple(_tier(tokens, start, end) for _ in range(size))
    tokens.end()
    return TextGrid(start, end, tiers, size_at, long=tokens.words > header)


def _tier(tokens: _Tokens, start: float, end: float) -> Tier:
    kind = tokens.next("text", "the class of a tier").value
    if kind not in ("IntervalTier", "TextTier"):
        raise tokens.error("this is neither an IntervalTier nor a TextTier", "Check the number of intervals above")
    name = tokens.next("text", "the name of a tier").value.replace('""', '"')
    tokens.number("the start of a tier"), tokens.number("the end of a tier")
    size, _ = tokens.size("the number of intervals or points")
    if kind == "TextTier":
        for _ in range(size):
            tokens.number("the time of a point")
            tokens.next("text", "the label of a point")
        return Tier(name, True, ())
    intervals: list[Interval] = []
    reached = start
    for number in range(1, size + 1):
        since, until = tokens.number("the start of an interval"), tokens.number("the end of an interval")
        line = tokens.line
        text = tokens.next("text", "the label of an interval").value.replace('""', '"')
        if since > until:
            raise tokens.error(f"interval {number} ends before it starts", "Correct its times", line)
        if since < reached - SLACK:
            what = "overlaps with the one before it" if number > 1 else "starts before the file does"
            raise tokens.error(f"interval {number} {what}", "Correct its times", line)
        if until > end + SLACK:
            raise tokens.error(f"interval {number} reaches beyond the end of the file", "Correct its times", line)
        intervals.append(Interval(since, until, text, tokens.line))
        reached = until
    return Tier(name, False, tuple(intervals))


# --- one file for each speaker --------------------------------------------------------------------

_ROLE_LAST = re.compile(r"(?P<common>.+)[_. -](?P<word>[^\W\d_]+)")
_ROLE_FIRST = re.compile(r"(?P<word>[^\W\d_]+)[_. -](?P<common>.+)")


def split_stem(stem: str) -> tuple[str, str] | None:
    """Split the word for a party off the name of a file: what is left, and the word; None if there is none.

    Examples
    --------
    >>> split_stem("day1_consultation01_doctor"), split_stem("Client-07"), split_stem("visit_two")
    (('day1_consultation01', 'doctor'), ('07', 'Client'), None)
    """
    for pattern in (_ROLE_LAST, _ROLE_FIRST):
        if (match := pattern.fullmatch(stem)) and is_known(match["word"]) and role_of_label(match["word"]):
            return match["common"], match["word"]
    return None


def together(path: Path) -> dict[str, Path]:
    """Return the files that hold one session with one speaker each, by the word for the speaker in their names.

    They lie in one folder, their names differ in that word only, and one of the words means the therapist and one the
    client. Empty if the file stands for itself, or the folder cannot be listed.
    """
    mine = split_stem(path.stem)
    if mine is None or path.suffix.lower() != ".textgrid":
        return {}
    files = {}
    try:
        for file in sorted(path.parent.iterdir()):
            if file.suffix.lower() == ".textgrid" and (split := split_stem(file.stem)) and split[0] == mine[0]:
                files[split[1]] = file
    except OSError:
        return {}
    files[mine[1]] = path
    return files if {"therapist", "client"} <= {role_of_label(word) for word in files} else {}


# --- the talk -------------------------------------------------------------------------------------


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read one session: each tier with talk is a speaker, or one tier holds speakers before colons.

    A forced aligner's tiers say the talk again, and others speak about it: see `_talk_tiers`. ``meta`` counts those
    left out.

    If the name says that this is one speaker's file and the other's lies beside it, both are read, and the session is
    called by what their names share. Utterances come in the order of their starts.

    Raises
    ------
    ReadError
        If a file is no TextGrid, or its name says that it is one speaker's and it has two, or the other's is missing.
    """
    split = split_stem(source.path.stem)
    if not (files := together(source.path)):
        tiers, left_out = _talk_tiers(parse(source))
        said = utterances(tiers)
        if split and len({speaker_key(u.speaker) for u in said} - {""}) < 2 and said:
            raise _alone(source, split[1])
        return [_session(None, said, source, format, left_out)]
    found: list[Utterance] = []
    n_left_out = 0
    for word, file in files.items():
        one = source if file == source.path else _load(file)
        tiers, left_out = _talk_tiers(parse(one))
        n_left_out += left_out
        if len(tiers) > 1:
            raise one.error(
                f"its name says that one speaker's talk is in it, but {len(tiers)} tiers have some",
                "Leave one of them, or give the file a name without a speaker",
            )
        found += [u for tier in tiers for u in _said(tier, word)]
    return [_session(split and split[0], _in_order(found), source, format, n_left_out)]


def _session(id: str | None, said: tuple[Utterance, ...], source: Source, format: str, left_out: int) -> RawSession:
    meta = {"tiers_left_out": left_out} if left_out else {}
    return RawSession(id, said, format, source.encoding, meta=meta)


def _talk_tiers(grid: TextGrid) -> tuple[list[Tier], int]:
    """Return the tiers of talk, and how many others say the same talk in parts or speak about it.

    Phones are never talk. Words are, where their speaker has no tier of utterances (``client - words`` beside
    ``client``) and nor has a tier for all. What speaks about the talk is told as in ELAN's files.
    """
    tiers = grid.talk()
    whole = {_owner(tier) for tier in tiers if not _is_cut(tier, _WORDS | _PHONES)}
    kept = [
        tier
        for tier in tiers
        if not _is_cut(tier, _PHONES)
        and not (_is_cut(tier, _WORDS) and whole and (not _owner(tier) or whole & {_owner(tier), ""}))
    ]
    kept = [tier for tier in kept if ABOUT.isdisjoint(normal(tier.name).split("_"))] or kept
    beside = about(
        [(tier.name, tier.name, [(i.start, i.end, i.text) for i in tier.intervals if is_talk(i)]) for tier in kept]
    )
    kept = [tier for n, tier in enumerate(kept) if n not in beside]
    return kept, len(tiers) - len(kept)


def _is_cut(tier: Tier, names: frozenset[str]) -> bool:
    """Tell whether the tier cuts talk into words or phones: its name says so, and its labels are single ones."""
    parts = set(normal(tier.name).split("_"))
    named = names & (parts - {"mau"} if "ort" in parts else parts)
    # words may be whole utterances' ("what the client said, in words"), a phone somebody's who calls, and Kan a name
    if not named or named & (_PHONES - {"phone", "kan", "mau"}) or {"kan", "mau"} <= named:
        return bool(named)
    labels = [interval.text.split() for interval in tier.intervals if is_talk(interval)]
    return sum(len(label) == 1 for label in labels) >= 0.9 * len(labels)


def _owner(tier: Tier) -> str:
    parts = normal(tier.name).split("_")
    return "_".join(part for part in parts if part not in _WORDS | _PHONES | _UTTERANCES)


def _alone(source: Source, word: str) -> ReadError:
    other = "therapist" if role_of_label(word) == "client" else "client"
    return source.error(
        f"its name says that it has the talk of one speaker ({word}), and the other speaker's file is missing",
        f"Put the {other}'s beside it, its name the same but for the speaker, as s1_therapist.TextGrid and "
        "s1_client.TextGrid are. If both speak in this file, give each a tier, or a label before a colon",
    )


def utterances(tiers: Sequence[Tier]) -> tuple[Utterance, ...]:
    """Return what is said on the tiers of one file, in the order of the starts."""
    return _in_order(_labelled(tiers[0]) if len(tiers) == 1 else [u for tier in tiers for u in _said(tier)])


def _load(path: Path) -> Source:
    source = decode(load(path))
    check_lines(source, "textgrid")
    return source


def _said(tier: Tier, word: str | None = None) -> Iterator[Utterance]:
    """Yield what is said on a tier, by the speaker that the file's name or else the tier's name says."""
    speaker, name = word or tier.name, word or tier.name
    said = [(number, interval) for number, interval in enumerate(tier.intervals, 1) if is_talk(interval)]
    groups = [[one] for one in said]
    if _is_cut(tier, _WORDS):
        speaker = word or _NAMED.sub("", tier.name) or tier.name
        groups = []
        for number, interval in said:
            if groups and interval.start - groups[-1][-1][1].end < PAUSE_S - SLACK:
                groups[-1].append((number, interval))
            else:
                groups.append([(number, interval)])
    for group in groups:
        (number, first), (_, last) = group[0], group[-1]
        text = clean(" ".join(interval.text for _, interval in group))
        start, end = max(first.start, 0.0), max(last.end, 0.0)
        yield Utterance(tidy(speaker) or None, text, start, end, first.line, f"{name}:{number}")


def _labelled(tier: Tier) -> list[Utterance]:
    """Read a lone tier: a label before a colon holds until the next one; without labels the tier is one speaker's."""
    said = list(_said(tier))
    split = [split_label(utterance.text) for utterance in said]
    speakers = choose((label and label[0] for label in split), lone=True)
    if not speakers:
        return said
    found: list[Utterance] = []
    speaker: str | None = None
    for utterance, label in zip(said, split, strict=True):
        text = utterance.text
        if label and label[0] in speakers:
            speaker, text = label[0], clean(label[1])
        if text:
            found.append(replace(utterance, speaker=speaker, text=text))
    return found


def _in_order(said: Iterable[Utterance]) -> tuple[Utterance, ...]:
    return tuple(sorted(said, key=lambda u: (u.start_s, u.end_s)))
