"""WebVTT and SubRip captions.

Parsed here and not by ``webvtt-py``, which cuts times to whole seconds and joins the voices in a cue.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rupturekit.readers.labels import choose, is_known, is_name, is_remark, missed, tidy
from rupturekit.readers.raw import RawSession, Source, Utterance, clean, span
from rupturekit.readers.text import is_silence, split_label
from rupturekit.roles import speaker_key

_TIME = r"(?:\d+:)?\d+:\d+(?:[.,]\d+)?"
_TIMING = re.compile(rf"\s*({_TIME})\s*-->\s*({_TIME})(?:\s.*)?")
# A line that was meant to be a timing; an arrow in talk has no digit before it.
_NEAR_TIMING = re.compile(r"\s*\d[\d:.,\s]{0,20}\S{0,5}\s*-->\s*\S{0,3}\d")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]+([^<>\n]*)>")
# more digits than Python makes a number of
_NO_CHARACTER = re.compile(r"&#\d{9,};?")
_VTT_TAG = re.compile(r"</?(?:[cibuv]|ruby|rt|lang)(?:[.\s][^<>\n]*)?>|<\d[\d:.]*>")
_SRT_TAG = re.compile(r"</?(?:[ibu]|font(?:\s[^<>]*)?)>|\{\\[^{}]*\}", re.IGNORECASE)
# before a colon, `split_label` knows it
_BOX = re.compile(r"\[([^\[\]:：\n]{1,60})\](?!\s*[:：])\s*")
_NEARLY = 0.9
_COMMENT = ("NOTE", "STYLE", "REGION", "WEBVTT")


@dataclass(slots=True)
class _Cue:
    line: int
    start: str
    end: str
    id: str | None
    payload: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Said:
    """A piece of a cue: either its voice is tagged, or a label may stand before a colon."""

    cue: _Cue
    text: str
    voice: str | None = None
    label: str | None = None
    rest: str = ""


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read one session from captions.

    Each voice in a cue is an utterance of its own, with the times of the cue. A label before a colon
    holds for the cues after it until the next label, as one reads captions; a ``<v>`` tag holds for its
    own words only. Where nearly every cue begins with a name on a line of its own, as Teams writes it,
    that is the label; so it is where nearly every cue begins with a name in brackets.
    """
    cues = list(_cues(source))
    above = _above(cues, format, source.labels)
    boxed = frozenset[str]() if above else _boxed(cues, format, source.labels)

    def pieces() -> Iterator[_Said]:
        # made twice, because they take more room than the file many times over
        return (said for cue in cues for said in _pieces(cue, format, source.labels, above, boxed))

    speakers = above or boxed | choose(
        (said.label for said in pieces() if said.voice is None and not is_silence(said.text)),
        # what comes once in brackets is rather a remark
        lone=not boxed,
        given=source.labels,
    )
    out: list[Utterance] = []
    speaker: str | None = None
    parts: list[str] = []
    last: _Cue | None = None
    who: str | None = None
    others: list[str] = []  # labels left in the talk

    def close() -> None:
        words = clean(" ".join(parts))
        parts.clear()
        if last is not None and words:
            start_s, end_s = span(last.start, last.end)
            out.append(Utterance(who, words, start_s, end_s, last.line, last.id))

    for said in pieces():
        text, now = said.text, said.voice
        labelled = now is None and said.label in speakers
        if labelled:
            speaker, text = said.label, said.rest
        elif now is None and said.label and not is_silence(text):
            others.append(said.label)
        if now is None:
            now = None if is_silence(clean(text)) and not labelled else speaker
        # Within a cue, lines without a label of their own go on with the one above.
        if said.cue is not last or labelled or now != who or said.voice is not None:
            close()
        last, who = said.cue, now
        parts.append(text)
    close()
    left = missed(others, speakers)
    return [RawSession(None, tuple(out), format, source.encoding, meta={"labels_in_talk": left} if left else {})]


def _cues(source: Source) -> Iterator[_Cue]:
    """Yield the cues; text outside of a cue that is no comment goes to the cue before it."""
    lines = source.text.split("\n")
    cue: _Cue | None = None
    comment = False
    for n, line in enumerate(lines):
        timing = _TIMING.fullmatch(line[:300])
        if timing:
            comment = False
            id_line = lines[n - 1].strip() if n else ""
            # The line above is the cue's id if it stands alone or is a mere number.
            above = lines[n - 2].strip() if n > 1 else ""
            is_id = bool(id_line) and "-->" not in id_line and (not above or id_line.isdigit())
            is_id = is_id and not id_line.startswith("WEBVTT")
            if cue is not None:
                if is_id and cue.payload and cue.payload[-1].strip() == id_line:
                    cue.payload.pop()
                yield cue
            cue = _Cue(n + 1, timing[1], timing[2], id_line if is_id else None)
        elif _NEAR_TIMING.match(line[:60]):
            raise source.error(
                "the times of a cue cannot be read",
                "Write them as 00:01:02.000 --> 00:01:03.000",
                n + 1,
            )
        elif not line.strip():
            comment = False
        elif not (n and lines[n - 1].strip()) and line.startswith(_COMMENT) and _is_comment(line):
            comment = True
        elif not comment and cue is not None:
            cue.payload.append(line)
    if cue is not None:
        yield cue


def _is_comment(line: str) -> bool:
    return line.split(maxsplit=1)[0] in _COMMENT


def _above(cues: Sequence[_Cue], format: str, given: frozenset[str]) -> frozenset[str]:
    """Return the labels that stand alone above the words of nearly every cue; none if that is not so."""
    firsts = [
        None if len(cue.payload) < 2 or _VOICE.search(cue.payload[0]) else _first(cue, format)
        for cue in cues
        if not is_silence("".join(cue.payload))
    ]
    labels = choose(firsts, lone=True, given=given)
    several = len(firsts) > 1 and sum(first in labels for first in firsts) >= _NEARLY * len(firsts)
    return labels if several else frozenset()


def _first(cue: _Cue, format: str) -> str:
    return tidy(_plain(cue.payload[0], format)).rstrip(" :：")


def _boxed(cues: Sequence[_Cue], format: str, given: frozenset[str]) -> frozenset[str]:
    """Return the labels in brackets with which nearly every cue begins; none if that is not so, or they are one.

    Words for a party are trusted; where these do not suffice, names are too, if each comes back and says not how
    something is said ("[Laughs]").
    """
    spoken = [cue.payload for cue in cues if cue.payload and not is_silence("".join(cue.payload))]
    firsts = [_box(_plain(payload[0], format)) for payload in spoken]
    counts = Counter(found[0] for found in firsts if found)
    keys = {*map(speaker_key, given)} - {""}
    known = frozenset(label for label in counts if is_known(label) or speaker_key(label) in keys)
    named = frozenset(label for label, n in counts.items() if n > 1 and is_name(label))
    for labels in (known, known | named):
        if len(labels) > 1 and sum(counts[label] for label in labels) >= _NEARLY * len(firsts):
            return labels
    return frozenset()


def _box(line: str) -> tuple[str, str] | None:
    """Split a line into what stands in brackets before it and the rest; None if that is a remark."""
    line = line.strip()
    match = _BOX.match(line)
    if match is None or is_remark(match[1].strip()):
        return None
    return tidy(match[1]), line[match.end() :]


def _pieces(
    cue: _Cue, format: str, given: frozenset[str], above: frozenset[str], boxed: frozenset[str]
) -> Iterator[_Said]:
    if above and len(cue.payload) > 1 and (name := _first(cue, format)) in above:
        words = _plain("\n".join(cue.payload[1:]), format)
        yield _Said(cue, words, None, name, words)
        return
    body = "\n".join(cue.payload)
    # Even pieces are words, odd ones the names of the voices before them.
    before, *tagged = _VOICE.split(body)
    for line in _plain(before, format).split("\n"):
        if line.strip():
            label = (boxed and _box(line)) or split_label(line.strip(), given=given)
            yield _Said(cue, line, None, *(label or (None, "")))
    for name, words in zip(tagged[::2], tagged[1::2], strict=True):
        inside, _, after = words.partition("</v>")
        voice = tidy(_unescaped(name)) or None
        yield _Said(cue, _plain(inside, format), voice)
        if after.strip():
            yield _Said(cue, _plain(after, format))


def _plain(text: str, format: str) -> str:
    if format == "srt":
        return _SRT_TAG.sub("", text)
    return _unescaped(_VTT_TAG.sub("", text))


def _unescaped(text: str) -> str:
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text))
