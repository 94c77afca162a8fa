"""CHAT, the transcript format of TalkBank and CLAN (``.cha``).

Codes as in MacWhinney's manual (Tools for Analyzing Talk, part 1: The CHAT Transcription Format,
https://talkbank.org/0info/manuals/CHAT.html). Parsed here and not by ``pylangacq``, which drops pauses, fillers and
unintelligible speech, tells no lines, and quotes the talk in its errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rupturekit.readers.raw import RawSession, Source, Utterance, clean, span
from rupturekit.roles import role_of_label

_BULLET = re.compile(r"\x15([^\x15]*)\x15")
_TIMES = re.compile(r"(\d{1,10})_(\d{1,10})-?")
_TIER = re.compile(r"([*%])([^\s:]+):(.*)|(@)([^:\n]*):?(.*)", re.DOTALL)

_BRACKET = re.compile(r"\[([^\[\]]*)\]")
# What a bracket begins with or is if it is a code on the words before it, and not itself a part of the talk.
_CODE = re.compile(r"""[-/<>!?*=:%#^$+&"|].*|\d*[<>]\d*|x\s*\d+|[ce]""", re.DOTALL)
_LINKERS = re.compile(r'\A\s*(?:\+["^<,+≈≋]\s*)+')
_TERMINATOR = re.compile(r'\+(?:\.\.\.|\.\.\?|!\?|//?[.?]|"/[.?!]|"?[.?!])')
_ENDS = {"+...": "…", "+..?": "…?", "+!?": "?!", "+.": ""}
_TOKEN = re.compile(r"\[[^\[\]]*\]|[^\s\[]+|\[")
_PAUSE = re.compile(r"\((?=[.\d])(?:(\.{1,3})|(?:(\d{1,3}):)?(\d{1,4})?\.?(\d{1,4})?)\)")
_UNHEARD = {"xxx": "[inaudible]", "xx": "[inaudible]", "yyy": "[inaudible]", "www": "[untranscribed]"}
_SHORTENED = re.compile(r"\(([^()\s]+)\)")
# Stress, lengthening, pitch, overlap, loudness, pace and voice, as conversation analysts mark them.
_PROSODY = re.compile("[ˈˌ^↑↓⇗↗→↘⇘∞≈≋≡∙⌈⌉⌊⌋∆∇⁎°◉▁▔☺♋⁇∬Ϋ∮§↫≠‹›〔〕]|(?<=[^\\W\\d_]):+")
_SPACED = re.compile(r"\s+([.,;:?!…–]+(?=\s|$))")
_MARKS_ONLY = re.compile(r"((?:\[[^\[\]]*\]\s*)+)[.,;:?!…–\s]*")


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read one session from CHAT.

    Words stay as they were said: repetitions, fillers and fragments are kept, the codes on them are not. The lines
    as they stood are in ``meta["raw"]``, by the number of the utterance (which is its ``source_id``, from 1). A
    speaker's label is the code, with the role before it where the code alone does not tell the role.
    """
    roles: dict[str, str] = {}
    declared = False
    utterances: list[Utterance] = []
    raw: dict[str, str] = {}
    for tier in _tiers(source):
        if tier.sign == "@" and tier.name == "Participants":
            declared = True
            for entry in tier.text.split(","):
                code, *rest = entry.split() or [""]
                roles[code] = rest[-1] if rest else ""
        elif tier.sign == "@" and tier.name == "ID":
            fields = [part.strip() for part in tier.text.split("|")]
            if len(fields) > 7 and not role_of_label(roles.get(fields[2], "")):
                roles[fields[2]] = fields[7]
        elif tier.sign == "*":
            if declared and tier.name not in roles:
                raise source.error(
                    "the speaker of this line is not among @Participants",
                    "Correct the speaker's code, or add it to @Participants",
                    tier.line,
                )
            number = str(len(raw) + 1)
            raw[number] = tier.raw
            start, end = _times(tier, source)
            if text := _words(tier, source):
                utterances.append(Utterance(_label(tier.name, roles), text, start, end, tier.line, number))
    return [RawSession(None, tuple(utterances), format, source.encoding, meta={"raw": raw})]


@dataclass(slots=True)
class _Tier:
    """A header, main tier or dependent tier with the lines that go on with it."""

    line: int
    sign: str
    name: str
    text: str
    raw: str


def _tiers(source: Source) -> Iterator[_Tier]:
    """Yield the tiers between ``@Begin`` and ``@End``, and check that both are there."""
    begun = ended = False
    for number, raw in _lines(source):
        match = _TIER.fullmatch(raw)
        if match is None:
            raise source.error(
                "this line is no header (@), speaker's line (*CODE:) or dependent tier (%code:)",
                "Continue a line with a tab; check the file with CLAN's CHECK",
                number,
            )
        sign, name, text = (part.strip() for part in match.groups() if part is not None)
        if ended:
            raise source.error("the file goes on after @End", "Give each session a file of its own", number)
        if sign == "@" and name == "Begin":
            begun = True
        elif sign == "@" and name == "End":
            ended = True
        elif sign != "@" and not begun:
            raise source.error("talk stands before @Begin", "Check the file with CLAN's CHECK", number)
        yield _Tier(number, sign, name, text.replace("\n", " "), raw)
    if not ended:
        last = source.text.rstrip().count("\n") + 1
        raise source.error("the file ends without @End", "Copy it again; add @End if it is whole", last)


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Yield each line with those that go on with it, and the number of the first."""
    first, parts = 0, list[str]()
    for number, line in enumerate(source.text.split("\n"), 1):
        if not line.strip():
            continue
        if line[0] in "\t " and parts:
            parts.append(line)
            continue
        if parts:
            yield first, "\n".join(parts)
        first, parts = number, [line]
    if parts:
        yield first, "\n".join(parts)


def _label(code: str, roles: Mapping[str, str]) -> str:
    role = role_of_label(roles.get(code, ""))
    return code if role is None or role == role_of_label(code) else f"{roles[code]} ({code})"


def _times(tier: _Tier, source: Source) -> tuple[float | None, float | None]:
    """Return the start of a tier's first time bullet and the end of its last, in seconds."""
    if tier.raw.count("\x15") % 2:
        raise source.error("a time bullet is not closed", "Set the bullet anew in CLAN", tier.line)
    found = [match for bullet in _BULLET.findall(tier.text) if (match := _TIMES.search(bullet))]
    if not found:
        return None, None
    return span(int(found[0][1]) / 1000, int(found[-1][2]) / 1000)


def _words(tier: _Tier, source: Source) -> str:
    """Return what was said, without the codes."""
    text = _BRACKET.sub(_bracket, _BULLET.sub(" ", tier.text))
    if text.count("[") != text.count("]"):
        raise source.error("a square bracket is not closed", "Close or remove it", tier.line)
    text = _TERMINATOR.sub(lambda end: f" {_end(end[0])} ", _LINKERS.sub("", text))
    text = " ".join(_word(token) for token in _TOKEN.findall(text.replace("<", " ").replace(">", " ")))
    text = _SPACED.sub(r"\1", clean(text))
    if marks := _MARKS_ONLY.fullmatch(text):
        return marks[1].strip()
    return text if any(map(str.isalnum, text)) else ""


def _bracket(match: re.Match[str]) -> str:
    content = match[1].strip()
    if content.startswith("=!"):
        return f" [{content[2:].strip()}] " if content[2:].strip() else " "
    return " " if _CODE.fullmatch(content) or not content else match[0]


def _end(terminator: str) -> str:
    """Return a terminator as one writes it outside of CHAT: cut off as a dash, trailing off as three dots."""
    if terminator in _ENDS:
        return _ENDS[terminator]
    if terminator.startswith('+"/'):
        return ":"
    if terminator.startswith("+/"):
        return "–?" if terminator.endswith("?") else "–"
    return terminator[-1]


def _word(token: str) -> str:
    """Return a word, event or pause without its codes; empty if nothing was said."""
    if token.startswith("["):
        return token
    if pause := _PAUSE.fullmatch(token):
        return _pause(pause)
    if token.startswith("&"):
        return _special(token)
    if token in ("‡", "„"):
        return ","
    if re.match(r"0[^\W\d_]", token) or token == "0":
        return ""
    # the end of the sentence may be written to the word
    stem = token.rstrip(".,;?!")
    if stem in _UNHEARD:
        return _UNHEARD[stem] + token[len(stem) :]
    return _spelling(token)


def _spelling(word: str) -> str:
    form, at, suffix = word.partition("@")
    if at and form:
        word = form + suffix[len(suffix.rstrip(".,;?!")) :]
    if _SHORTENED.sub("", word).strip(".,;?!"):
        word = _SHORTENED.sub(r"\1", word)
    word = _PROSODY.sub("", word)
    return re.sub(r"(?<=\w)[_+](?=\w)", " ", word)


def _special(token: str) -> str:
    """Return what begins with an ampersand: a filler, fragment, event, or another's word in between."""
    if event := re.fullmatch(r"&(?:=|\{[ln]=)(.+)", token):
        return f"[{event[1].replace(':', ' ').replace('_', ' ')}]"
    if token.startswith("&}"):
        return ""
    if other := re.fullmatch(r"&\*[^\s:]+:(.+)", token):
        return f"[{re.sub('[=_:]', ' ', other[1])}]"
    word = _spelling(token[1:].lstrip("-+~"))
    return f"{word}-" if token.startswith("&+") and word else word


def _pause(match: re.Match[str]) -> str:
    """Return a pause in the form in which `rupturekit.segment` knows it."""
    dots, minutes, whole, part = match.groups()
    if dots:
        return "[long pause]" if dots == "..." else "[pause]"
    length = float(f"{whole or 0}.{part or 0}") + 60 * int(minutes or 0)
    return f"[pause {length:g} s]"
