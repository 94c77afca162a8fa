"""Plain text: a speaker's label and words on each line, in the many ways that people write it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from rupturekit.readers.labels import (
    choose,
    counted,
    hidden,
    is_known,
    is_name,
    is_remark,
    is_talk,
    missed,
    split_remark,
    tidy,
)
from rupturekit.readers.raw import RawSession, Source, Utterance, clean, seconds, span
from rupturekit.roles import role_of_label, speaker_key
from rupturekit.transcript import Role

# The fourth number counts frames of a video.
_CLOCK = r"(?:\d{1,3}:\d{1,2}:\d{1,2}(?:[:;]\d\d\b)?|\d{1,3}:\d{2})(?:[.,]\d{1,9})?"
# "10:15 am I late?" is talk.
_HALF = r"\s?[AaPp]\.?[Mm]\b\.?(?!\s(?:I|not)\b)"
_HALVED = re.compile(rf"(?P<clock>{_CLOCK})\s?(?P<half>[AaPp])\.?[Mm]\b\.?")
_TIME = rf"{_CLOCK}(?:{_HALF})?"
_TO = r"(?:\s*(?:-->|[-–—]|to)\s*|[,\t](?=\d))"
# A time as it stands before a label or alone: in brackets or bare, perhaps with its end.
_STAMP = re.compile(
    rf"[\[(<{{]?\s*(?P<start>{_TIME})(?:{_TO}(?P<end>{_TIME}))?\s*[\])>}}]?(?:[\s,;:–-]+|$|(?<=[\])>}}]))"
)
# Seconds need square brackets: "(2.5)" is how conversation analysts write a pause.
_SECONDS = re.compile(rf"\[\s*(?P<start>\d+\.\d+|\d+(?=\s*s))\s*s?(?:{_TO}(?P<end>\d+(?:\.\d+)?)\s*s?)?\s*\][\s:]*")
_BOXED_STAMP = rf"[\[(<{{]\s*(?:{_TIME})(?:{_TO}(?:{_TIME}))?\s*[\])>}}]"
# As f4transkript and its kin write it, before the words or at the end of the paragraph.
_F4 = r"#(?P<clock>\d{1,2}:\d\d:\d\d)(?:-(?P<tenth>\d))?#"
_F4_FIRST = re.compile(rf"(?P<before>(?:[^:：#]{{1,60}}[:：]\s*)?){_F4}")
_F4_LAST = re.compile(rf"{_F4}\s*$")
# Between label and words in columns, as ELAN exports them: perhaps a name, then times in several forms, and a duration.
_CELL = rf"(?:{_CLOCK}|\d{{1,6}}(?:\.\d{{1,3}})?)\t"
_CELLS = re.compile(rf"(?:[^\t\d][^\t]{{0,60}}\t(?={_CELL}{_CELL}))?(?P<marks>(?:{_CELL})+)")
# A time at the end of a line, where one in talk ("I woke (5:30)") is told from it by how many there are.
_LAST = re.compile(rf"(?<=\S)\s*(?P<stamp>{_BOXED_STAMP}|(?<=\s)\d{{1,2}}:\d\d:\d\d)$")
_LINE_NUMBER = re.compile(r"(?:(\d{1,6})[.)]?|[\[(](\d{1,6})[\])])(?:[ \t]+|$)")
_NUMBER = re.compile(r"(?:#?(?P<plain>\d{1,6})[.):]?|[\[(]#?(?P<boxed>\d{1,6})[\])][.:]?)[ \t]+")


# What captions write where the speaker changes, before a label too.
_OPENS = re.compile(r"(?:>{2,3}|[-–—](?=\s))\s*")


def _begin(line: str) -> int:
    return opens.end() if (opens := _OPENS.match(line)) else 0


def _forms(name: str, box: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return how labels stand before talk, and alone on a line."""
    return (
        re.compile(
            rf"(?:\*\*)?(?:\[(?P<box>{box})\]|(?P<name>{name}))"
            rf"\s*(?P<stamp>{_BOXED_STAMP}|(?<=\s){_TIME})?\s*(?P<remark>\[[^:：\[\]]{{1,40}}\])?\s*(?:\*\*)?"
            rf"(?P<sep>[:：](?!\d)|(?<!\d)[:：]|\t)(?!//)(?:\*\*)?\s*(?P<after>{_BOXED_STAMP})?\s*"
        ),
        re.compile(rf"(?:\*\*)?(?P<name>{name})(?:\s*(?P<stamp>{_BOXED_STAMP}|(?<=\s){_TIME}))?(?:\*\*)?"),
    )


def _parted(name: str) -> re.Pattern[str]:
    """Return how labels stand that something else parts from the words: ``T. So?``, ``T - So?``, ``(T) So?``."""
    return re.compile(
        rf"(?:(?P<box>[(<{{]{name}[)>}}])[:：]?|@?(?P<name>{name})(?P<sep>[.);>/|]|\s?[-–—=|>]|(?=\s\s)))\s{{1,20}}"
    )


# A label without a colon, told by brackets, by emphasis, or by a time between it and the words.
_MARKED = re.compile(
    rf"(?:\[(?P<box>[^\[\]:：]{{1,60}})\]|\*\*(?P<bold>[^*:：]{{1,60}})\*\*|(?P<name>[^:：\t\[\](){{}}<>*]{{1,60}}?)"
    rf"(?=\s?{_BOXED_STAMP}))\s{{0,3}}(?P<stamp>{_BOXED_STAMP}|{_TIME}(?!\S))?\s{{0,3}}(?![:：])"
)
_ONE_DASH = {"–": "-", "—": "-"}
# Everything here is bounded, so that a line of any length costs the same.
_LABEL, _ALONE = _forms(r"[^:：\t\[\]<>{}]{1,60}?", r"[^\]\[:：]{1,60}")
_PARTED = _parted(r"[^\W\d_][\w&#' -]{0,40}?")
_PREFIX = 200


class _Given(NamedTuple):
    """How given labels stand before talk, alone on a line and parted from the words by something else; their keys."""

    before: re.Pattern[str]
    alone: re.Pattern[str]
    parted: re.Pattern[str]
    keys: frozenset[str]


@lru_cache(maxsize=16)
def _given(labels: frozenset[str]) -> _Given:
    bare = sorted({tidy(label).rstrip(" :：") for label in labels} - {""})
    # (?!) matches nothing
    name = "|".join(r"\s+".join(map(re.escape, label.split())) for label in bare) or "(?!)"
    name = f"(?i:{name})"
    return _Given(*_forms(name, name), _parted(name), frozenset(map(speaker_key, bare)) - {""})


# A transcribed silence, or a timed pause in the notation of conversation analysis.
_SILENCE = re.compile(
    r"[\[(<{]{1,2}[^\[\]()<>{}]{0,40}?\b(?:silen(?:ce|t)|pauses?|quiet)\b[^\[\]()<>{}]{0,40}[\])>}]{1,2}"
    r"|\(\(?\s*\d{1,4}(?:\.\d+)?\s*(?:s|secs?|seconds?)?\.?\s*\)?\)"
    r"|\[\s*\d{1,4}(?:\.\d+)?\s*(?:s|secs?|seconds?)\.?\s*\]",
    re.IGNORECASE,
)
_END = re.compile(
    r"\W{0,20}(?:(?:end of (?:the )?(?:transcript|transcription|session|recording|interview|audio|tape|meeting)"
    r"(?: \d{1,4})?|(?:transcript|transcription|recording|session|interview|audio|tape|meeting)"
    r" (?:ends|ended|stops|stopped))"
    rf"(?:[\s,:–-]{{1,3}}(?:(?:at|after) )?{_CLOCK})?"
    # capitals, so that it is no word of a sentence
    r"|(?-i:[A-Z][\w.,()'’ -]{0,60}) (?:started|stopped) transcription|(?-i:END))\W{0,20}",
    re.IGNORECASE,
)

# The number of a page; a bare one is told by its place.
_PAGE = re.compile(r"(?:Page|PAGE)\s?\d{1,4}(?:\s?(?:of|/)\s?\d{1,4})?|page \d{1,4} of \d{1,4}|[-–—]\s?\d{1,4}\s?[-–—]")
# Markdown's headings, and rules between parts of a text
_DIVIDER = re.compile(r"#{1,6} .{1,120}|[-–—_=*~]{3,80}")
_BARE_PAGE = re.compile(r"\d{1,3}")
_DIGITS = re.compile(r"\d{1,6}")

# What a service writes on the last line: its link or name, perhaps with more after it.
_SERVICES = (
    "otter|zoom|teams|google meet|rev|descript|trint|sonix|temi|happy ?scribe|fireflies|fathom|turboscribe|notta|"
    "tactiq|riverside|amberscript|noscribe|f4x?|f4transkript|maxqda|atrain|whisper|assemblyai|deepgram|verbit|gotranscript"
)
_MADE_BY = re.compile(
    r"(?:transcribed|transcription|transcript|captioned|captions|generated|created|made|produced|provided|powered)"
    r" (?:by|with|using) (?:https?://\S+|(?:www\.)?[\w-]{1,40}\.(?:ai|com|io|app|net|org)\b.{0,80}"
    rf"|(?:microsoft |openai )?(?:{_SERVICES})\b(?:\s*\(?https?://\S+)?)\W*"
    r"|this (?:editable )?transcript (?:was|is) (?:computer|machine|automatically)[ -]generated\b.{0,150}",
    re.IGNORECASE,
)
# "Transcribed by JK, checked by LM"
_WHO = r"[A-Z][\w.'’-]{0,20}(?: [A-Z][\w.'’-]{0,20}){0,3}"
_CREDIT = re.compile(rf"(?:Transcribed|Typed) by {_WHO}(?:,? (?:and )?[a-z]{{1,20}} by {_WHO})?")
# What a service writes above the talk, as Otter does, with its words on the lines below.
_HEADINGS = frozenset(("summary keywords", "keywords", "speakers", "summary", "overview", "outline", "action items"))

# Keys of header lines, and the fact about the session that some of them state.
_HEADER_KEYS: Mapping[str, str | None] = {
    "date": "date",
    "session date": "date",
    "date of session": "date",
    "client id": "client_id",
    "patient id": "client_id",
    "participant id": "client_id",
    "case id": "client_id",
    "session": "session_number",
    "session number": "session_number",
    "session no": "session_number",
    "session no.": "session_number",
    **dict.fromkeys(
        (
            "title",
            "transcript",
            "transcription",
            "transcriber",
            "transcribed",
            "recording",
            "duration",
            "length",
            "location",
            "place",
            "participants",
            "present",
            "attendees",
            "speakers",
            "file",
            "filename",
            "study",
            "project",
            "case",
            "id",
            "time",
            "setting",
            "topic",
            "key",
            "legend",
            "conventions",
            "language",
            "version",
            "confidential",
            "notes",
            "note",
            "subject",
            "audio",
        )
    ),
    "session id": None,
    "therapist id": None,
    "transcribed by": None,
    "file name": None,
    "recorded on": None,
    "start time": None,
    "end time": None,
    "case number": None,
}
_HEADER_WORDS = re.compile(
    r"\b(?:transcri(?:pt|ption|bed|ber)|verbatim|confidential|anonymi[sz]ed|recording|recorded"
    r"|session (?:no\.? |number |#)?\d+|page \d+)\b|\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
    # settings, as noScribe writes them: "(Language: English | Mark pause: 0)"
    r"|: [^|]{1,80} \| [^|:]{1,40}: |\bhh:mm:ss\b",
    re.IGNORECASE,
)
_SESSION = re.compile(r"\bsession\W{0,3}(?:no\.?|number)?\W{0,3}(\d{1,4})\b", re.IGNORECASE)
_KEY = re.compile(r"([^:：]{1,40})[:：]\s*(.*)")
# "Therapist: AW (female, 45)" and "AW = therapist"
_PRESENTED = re.compile(r"([^:：=]{1,40})[:：=]\s*(.{1,80})")
_FEW_WORDS = 8
# What is said of a person in the place of a name: "34-year-old woman"
_PERSON = re.compile(
    r"\b(?:(?:fe)?male|(?:wo)?m[ae]n|girl|boy|\d{1,2}[ -]?(?:years?|yrs?|y)(?:[ -]?(?:old|o))?"
    r"|therapist|psychologist|counsell?or|trainee|client|patient)\b",
    re.IGNORECASE,
)
_INITIAL = re.compile(r"(?<!\w)[A-Z]\.$")
# between those who take part, but not within the brackets beside one of them
_NEXT = re.compile(r"(?:[,;/&]|\band\b)(?![^()]{0,80}\))")


def read(source: Source, format: str, columns: Mapping[str, str] | None) -> list[RawSession]:
    """Read one session from plain text."""
    parsed = parse(enumerate(source.text.split("\n"), start=1), given=source.labels)
    return [parsed.session(format, source.encoding)]


class Parsed(NamedTuple):
    """What lines of text held: utterances, whether these are numbered, facts and roles from the header."""

    utterances: tuple[Utterance, ...]
    numbered: bool
    meta: Mapping[str, Any]
    roles: Mapping[str, Role]

    def session(self, format: str, encoding: str | None = None) -> RawSession:
        """Return this as a session without an id."""
        return RawSession(None, self.utterances, format, encoding, self.numbered, dict(self.meta), self.roles)


@dataclass(slots=True)
class _Line:
    """A line and what it could be; ``speaker`` is filled in when the labels are decided."""

    line: int
    text: str
    fresh: bool  # the first line, or after an empty one
    label: str | None = None  # what stands before a colon
    rest: str = ""  # what stands after it, or after the time of a line without a label
    alone: str | None = None  # what could be a label without a colon, alone on its line
    marked: str | None = None  # what could be a label without a colon before words, and these
    words: str = ""
    form: str = ""  # what parts the two, other than brackets, emphasis and times
    marked_at: str | None = None  # a time beside it
    given: bool = False  # the label, before a colon or alone, is known to name a speaker
    id: str | None = None
    boxed_id: bool = False
    start: str | None = None
    end: str | None = None
    stamped: bool = False  # begins with a time even if it has no label
    until: str | None = None  # a time at its end
    remark: str = ""  # what stands in brackets beside a label
    speaker: str | None = None


def parse(
    lines: Iterable[tuple[int, str]], *, below: Iterable[str | None] | None = None, given: frozenset[str] = frozenset()
) -> Parsed:
    """Read numbered lines of plain text as one session.

    A label holds until the next one. Lines before the first speaker are dropped where they look
    like a header, and kept without a speaker where they look like talk; so are lines without any
    speaker if talk follows them in a table, whose labels are ``below``. A silence on a line of its own is an
    utterance without a speaker. ``given`` labels are known to name speakers.
    """
    found: list[_Line] = []
    fresh = True
    # A new page begins like a paragraph.
    parts = ((number, part) for number, raw in lines for part in raw.replace("\f", "\n\n").split("\n"))
    for number, text in _unnumbered([(number, part.strip().lstrip("\ufeff")) for number, part in parts], given):
        if text:
            found.append(_look(number, text, fresh, given))
        fresh = not text
    if found and len(found[-1].text) < _PREFIX and _is_credit(found[-1]):
        del found[-1]
    _assign(found, given)
    found = _lifted(found)
    _take_ends(found)
    left_out = _after_end(found, above=below is not None)
    notes = [found[n].label for n in left_out]
    found = [line for n, line in enumerate(found) if n not in left_out]
    top, meta, roles = _header(found, below)
    pages = _pages(found, top)
    counted = _session_numbers(found, top | pages)
    if counted - _session_numbers(found, top):
        meta["sessions_in_file"] = len(counted)
    found = [line for n, line in enumerate(found) if n not in top | pages]
    speaking = [line for line in found if line.speaker is not None]
    speakers = dict.fromkeys(line.speaker for line in speaking if line.speaker)
    numbered = _number(speaking)
    if not_talk := len(left_out) + len(top | pages):
        meta["header_lines"] = not_talk
    talk = (line.label for line in found if line.speaker is None and not (_is_event(line) or is_header_key(line.label)))
    words = ((line.rest, line.speaker is not None) for line in found)
    if left := missed(talk, speakers) + missed(notes, speakers, names=False) + hidden(words, speakers):
        meta["labels_in_talk"] = left
    return Parsed(tuple(_join(found)), numbered, meta, roles)


def split_label(line: str, *, remark: bool = True, given: frozenset[str] = frozenset()) -> tuple[str, str] | None:
    """Split a line at its first colon into what may be a speaker and the words after it.

    A remark beside the label, ``C [crying]: No.``, goes before the words, unless these are wanted without. A ``given``
    label is split off as it stands.
    """
    match, label, beside = _find_label(line[:_PREFIX], _begin(line), given)
    if match is None or match["sep"] == "\t":
        return None
    words = line[match.end() :]
    return (label, f"{beside} {words}" if beside and remark else words) if label else None


def _find_label(head: str, at: int, given: frozenset[str]) -> tuple[re.Match[str] | None, str, str]:
    """Return how a label stands before talk, the label, and the remark beside it."""
    as_given = _given(given).before.match(head, at)
    match = as_given or _LABEL.match(head, at)
    if match is None:
        return None, "", ""
    label = tidy(match["box"] or match["name"] or "")
    if label and match["remark"]:
        return match, *split_remark(f"{label} {match['remark']}")
    return match, *((label, "") if as_given else split_remark(label))


def _unnumbered(lines: Sequence[tuple[int, str]], given: frozenset[str]) -> list[tuple[int, str]]:
    """Take the numbers off the lines where nearly all count on from the one before, wrapped ones too.

    Numbers before labels alone count turns, and stay.
    """
    written = [(text, _LINE_NUMBER.match(text)) for _, text in lines if text]
    counts = [int(match[1] or match[2]) if match else None for _, match in written]
    steps = sum(a is not None and b == a + 1 for a, b in pairwise(counts))
    if steps < 0.8 * len(written):
        return list(lines)
    bare = [text[match.end() :] if (match := _LINE_NUMBER.match(text)) else text for _, text in lines]
    labels = [_look(0, text, False, given).label for text in bare]
    said = [label for label, text in zip(labels, bare, strict=True) if text and not is_silence(text)]
    speakers = choose(said, lone=False, given=given)
    turns = sum(label in speakers for label in said) >= 0.9 * len(said)
    return [
        (number, text if turns and label in speakers else words)
        for (number, text), words, label in zip(lines, bare, labels, strict=True)
    ]


def is_silence(text: str) -> bool:
    """Tell whether a line holds a transcribed silence and nothing else.

    Examples
    --------
    >>> [is_silence(s) for s in ("[silence 12s]", "(pause 8 sec)", "(2.5)", "[nods]", "silence")]
    [True, True, True, False, False]
    """
    return len(text) <= 90 and _SILENCE.fullmatch(text) is not None


def _look(number: int, text: str, fresh: bool, given: frozenset[str]) -> _Line:
    """Take a line apart: number and time in either order, then a label, then words."""
    if mark := _F4_FIRST.match(text):
        text = f"{mark['before']}[{_f4(mark)}]{text[mark.end() :]}"
    line = _Line(number, text, fresh, rest=text)
    if mark := _F4_LAST.search(text, max(0, len(text) - 20)):
        line.until = _f4(mark)
        line.text = line.rest = text = text[: mark.start()].rstrip()
    if is_silence(text) or _END.fullmatch(text[:_PREFIX]):
        return line
    head, at, own = text[:_PREFIX], _begin(text), _given(given)
    for _ in range(3):
        # a given label may begin with a number
        if own.before.match(head, at):
            break
        stamp = line.start is None and (_STAMP.match(head, at) or _SECONDS.match(head, at))
        if stamp:
            line.start, line.end = _clocks(stamp)
            # "10:30 was when I woke" is talk; "[10:30] I woke" and "00:10:30 I woke" are not.
            opened = head[at] in "[(<{" and ":" in stamp["start"]
            line.stamped = opened or stamp["start"].count(":") > 1 or stamp.end() == len(text)
            at = stamp.end()
            if line.stamped:
                line.rest = text[at:]
            continue
        numeral = line.id is None and _NUMBER.match(head, at)
        if not numeral:
            break
        line.id, line.boxed_id = numeral["plain"] or numeral["boxed"], bool(numeral["boxed"])
        at = numeral.end()
    marked = _MARKED.match(head, at)
    if marked and (marked["box"] or marked.end() < len(text)):
        line.marked, line.words = tidy(marked["box"] or marked["bold"] or marked["name"]), text[marked.end() :]
        line.marked_at = marked["stamp"]
    elif parted := own.parted.match(head, at) or _PARTED.match(head, at):
        label = tidy(parted["name"] or parted["box"][1:-1])
        if is_known(label) or speaker_key(label) in own.keys:
            form = parted["box"][0] if parted["box"] else parted["sep"].strip() or " "
            line.marked, line.words, line.form = label, text[parted.end() :], _ONE_DASH.get(form, form)
    match, label, remark = _find_label(head, at, given)
    line.given = speaker_key(label) in own.keys
    # A tab parts label and words only where the label is beyond doubt.
    if match and label and (match["sep"] != "\t" or line.given or is_known(label)):
        line.label, line.rest, line.remark = label, text[match.end() :], remark
        _take_stamp(line, match["stamp"] or match["after"])
        if match["sep"] == "\t" and (cells := _CELLS.match(line.rest)):
            line.rest = line.rest[cells.end() :].lstrip()
            times = {seconds(cell): cell for cell in cells["marks"].split() if not cell.isdigit()}
            line.start, line.end, *_ = *times.values(), line.start, line.end
    elif len(text) <= 80 and (match := own.alone.fullmatch(head, at) or _ALONE.fullmatch(head, at)):
        label = tidy(match["name"])
        line.alone, line.remark = (label, "") if speaker_key(label) in own.keys else split_remark(label)
        line.given = speaker_key(line.alone) in own.keys
        _take_stamp(line, match["stamp"])
    return line


def _f4(mark: re.Match[str]) -> str:
    return f"{mark['clock']}.{mark['tenth'] or 0}"


def _take_stamp(line: _Line, stamp: str | None) -> None:
    if stamp and line.start is None and (match := _STAMP.match(stamp.strip())):
        line.start, line.end = _clocks(match)


def _clocks(stamp: re.Match[str]) -> tuple[str | None, str | None]:
    """Return start and end of a stamp, those of twelve hours as ``hh:mm:ss`` of the day."""
    start, end = stamp["start"], stamp["end"]
    late = end and _HALVED.fullmatch(end)
    if late and not _HALVED.fullmatch(start):
        # "1:15 - 1:16 PM"
        start = f"{start} {late['half']}m"
    return _of_day(start), end and _of_day(end)


def _of_day(clock: str) -> str:
    match = _HALVED.fullmatch(clock)
    if match is None:
        return clock
    hour, rest = match["clock"].split(":", 1)
    noon = 12 * (match["half"] in "Pp")
    return f"{int(hour) % 12 + noon if int(hour) <= 12 else hour}:{rest if ':' in rest else f'{rest}:00'}"


def _assign(lines: list[_Line], given: frozenset[str]) -> None:
    """Decide which labels are speakers, and undo what was taken off the other lines."""
    speakers = choose(
        (
            None if is_header_key(line.label) and not line.given else line.label
            for line in lines
            if line.label is not None or not _is_event(line)
        ),
        lone=False,
        given=given,
    )
    speakers |= _stated(lines)
    marked = _marked(lines, given)
    if sum((line.form, line.marked) in marked for line in lines) > sum(line.label in speakers for line in lines):
        speakers = frozenset()
        for line in lines:
            if (line.form, line.marked) in marked:
                line.speaker, line.rest = line.marked, line.words
                _take_stamp(line, line.marked_at)
    for line in lines:
        if line.label in speakers:
            line.speaker, line.rest = line.label, f"{line.remark} {line.rest}".strip()
    if not any(line.speaker for line in lines):
        _assign_alone(lines)
    for line in lines:
        if line.speaker is None:
            line.id = None
            if line.label is not None or not line.stamped:
                # The label was talk; only a time before it comes off.
                cut = _STAMP.match(line.text[:_PREFIX]) if line.stamped else None
                line.rest = line.text[cut.end() :] if cut else line.text
            if not line.stamped:
                line.start = line.end = None


def _lifted(lines: list[_Line]) -> list[_Line]:
    """Take times that stand alone for those of the line above, if each closes what a speaker says, and all have one."""
    lone = {n for n, line in enumerate(lines) if line.speaker is None and line.stamped and not line.rest and line.start}
    speaking = [n for n, line in enumerate(lines) if line.speaker is not None]
    closing = all(n + 1 == len(lines) or lines[n + 1].speaker is not None or _is_end(lines[n + 1]) for n in lone)
    if not speaking or len(lone) < len(speaking) or not closing or min(lone) < speaking[0]:
        return lines
    begins = seconds(lines[min(lone)].start) == 0
    for n in lone:
        _close(lines[n - 1], lines[n].start, lines[n].end, begins)
    return [line for n, line in enumerate(lines) if n not in lone]


def _take_ends(lines: Sequence[_Line]) -> None:
    """Take the times off the ends of lines, if most paragraphs, and three at least, end in one."""
    ends = [_LAST.search(line.rest, max(0, len(line.rest) - 60)) for line in lines]
    spoken = [
        end
        for line, end, after in zip(lines, ends, [*lines, None][1:], strict=True)
        if line.rest and (after is None or after.fresh or after.speaker or _is_end(after))
    ]
    if len(spoken) - spoken.count(None) <= max(2, len(spoken) / 2):
        return
    begins = not re.search("[1-9]", next(filter(None, spoken))["stamp"])
    for line, end in zip(lines, ends, strict=True):
        if end and (stamp := _STAMP.match(end["stamp"])):
            _close(line, *_clocks(stamp), begins)
            line.text, line.rest = line.text[: end.start() - len(line.rest)], line.rest[: end.start()]


def _close(line: _Line, start: str | None, until: str | None, begins: bool) -> None:
    """Set the times that stand behind a line: its end, as f4's marks do, or where the first one is zero its start."""
    line.start = line.start or (start if until or begins else None)
    line.until = until or (None if begins else start)


def _marked(lines: Sequence[_Line], given: frozenset[str]) -> frozenset[tuple[str, str]]:
    """Return the labels without a colon that name two speakers or more, each with what parts it from the words.

    Unless given they stand on a quarter of the lines, as "[Mother] said" in talk does not, and names come back.
    What is done while speaking, as "[Laughs]", is no label. Where neither brackets, emphasis nor a time tell the label
    from the words, "I - I was" may be talk: there one thing parts both sides from their words.
    """
    keys = _given(given).keys
    counts = Counter((line.form, line.marked) for line in lines if line.marked is not None)

    def on_a_quarter(found: Collection[tuple[str, str]]) -> bool:
        return 4 * sum(counts[label] for label in found) >= len(lines)

    told = [key for key in counts if not key[0]]
    sure = {(form, label) for form, label in told if speaker_key(label) in keys}
    found = sure | {
        (form, label)
        for form, label in told
        if label and (is_known(label) or (counts[form, label] >= 2 and is_name(label) and not is_remark(label)))
    }
    if not on_a_quarter(found):
        found = sure
    if len(found) > 1:
        return frozenset(found)
    for parting in sorted({form for form, _ in counts} - {""}):
        found = {(form, label) for form, label in counts if form == parting}
        if len(found) > 2:
            # an interviewer's letter, and a word that people say twice
            found = {(form, label) for form, label in found if label.lower() != "i"}
        sides = {"given" if speaker_key(label) in keys else role_of_label(label) for _, label in found}
        if (sides >= {"therapist", "client"} or sides == {"given"}) and len(found) > 1 and on_a_quarter(found):
            return frozenset(found)
    return frozenset()


def _stated(lines: list[_Line]) -> frozenset[str]:
    """Return the labels that the first labelled lines name beside a role, as ``Client: K12`` does."""
    keys: dict[str, list[str]] = {}
    for line in lines:
        if line.label is not None:
            keys.setdefault(speaker_key(line.label), []).append(line.label)
    found: set[str] = set()
    for line in lines:
        if line.label is None:
            continue
        if is_header_key(line.label):
            found.update(label for key in _listed(line.rest, keys) for label in keys[key])
            continue
        presented = _presented(line, keys)
        if presented is None or len(keys[speaker_key(line.label)]) > 1 or presented[0] == speaker_key(line.label):
            break
        found.update(keys[presented[0]])
    return frozenset(found)


def _assign_alone(lines: list[_Line]) -> None:
    """Find speakers on lines of their own, without a colon, with the words on the lines below."""

    def timed(n: int) -> bool:
        return bool(lines[n].start) or (n > 0 and lines[n - 1].stamped and not lines[n - 1].rest)

    parties = {line.alone for line in lines if line.alone and (line.given or is_known(line.alone))}
    candidates = [
        n
        for n, line in enumerate(lines)
        if line.alone
        and n + 1 < len(lines)
        and (line.alone in parties or (is_name(line.alone) and (line.fresh or timed(n))))
    ]
    if 2 * sum(map(timed, candidates)) > len(candidates):
        # A title above names with times is no name.
        candidates = [n for n in candidates if timed(n) or lines[n].alone in parties]
    counts = Counter(lines[n].alone for n in candidates)
    blocks = sum(line.fresh for line in lines[candidates[0] if candidates else 0 :])
    taken = {label for label in counts if label and (counts[label] >= 2 or label in parties)}
    stamped = any(timed(n) for n in candidates)
    # Names that come once count only where most blocks begin with a name and a time.
    if stamped and sum(counts.values()) >= 0.8 * blocks:
        taken |= {label for label in counts if label}
    covered = sum(counts[label] for label in taken)
    known = not taken.isdisjoint(parties)
    if len(taken) < 2 and not (stamped and taken) and not (known and covered >= 2):
        return
    if not known and not stamped and covered < 0.5 * blocks:
        return
    last = -2
    for n in candidates:
        # Two such lines in a row: the second is what the first one said.
        if lines[n].alone in taken and n != last + 1:
            lines[n].speaker, lines[n].rest = lines[n].alone, lines[n].remark
            last = n


def _is_event(line: _Line) -> bool:
    return is_silence(line.rest) or _is_end(line)


def _is_end(line: _Line) -> bool:
    return _END.fullmatch(line.text[:_PREFIX]) is not None


def is_header_key(label: str | None) -> bool:
    """Tell whether this is a key of a header line, as "Date"."""
    return label is not None and label.lower() in _HEADER_KEYS


def is_short(text: str) -> bool:
    """Tell whether this is what a header states rather than a sentence: few words, and no end of one."""
    return len(text.split()) <= _FEW_WORDS and not text.endswith((".", "?", "!", "…"))


def _header(lines: list[_Line], below: Iterable[str | None] | None) -> tuple[set[int], dict[str, Any], dict[str, Role]]:
    """Return which lines are header, by their place in the list, and the facts and roles that they state."""
    counts = Counter(line.speaker for line in lines if line.speaker is not None)
    known = bool(counts) or below is not None
    counts.update(label for label in below or () if label)
    first = _first_talk(lines, counts, above=below is not None)
    keys = {speaker_key(label) for label in counts}
    top: set[int] = set()
    meta: dict[str, Any] = {}
    roles: dict[str, Role] = {}
    headings = {n for n, line in enumerate(lines[:first]) if line.text.rstrip(" :：").lower() in _HEADINGS}
    titled = min(headings) if headings else int(first > 0 and _is_titled(lines[0], lines[1:2]))
    under = False
    for n, line in enumerate(lines[:first]):
        under = n in headings or (under and not line.fresh)
        key = _KEY.fullmatch(line.text) if len(line.text) <= 200 else None
        if key and is_header_key(key[1].strip()):
            name, value = _HEADER_KEYS[key[1].strip().lower()], clean(key[2])
            if name and value:
                meta.setdefault(name, value)
            roles = {**_listed(value, keys), **roles}
        elif not known:
            # Without speakers nothing tells where talk begins.
            break
        elif presented := _presented(line, keys):
            roles.setdefault(*presented)
        elif not (under or n < titled) and (line.stamped or not (line.speaker or _looks_like_header(line.text))):
            continue
        top.add(n)
    return top, meta, roles


def _first_talk(lines: list[_Line], counts: Counter[str], *, above: bool) -> int:
    """Return the place of the first line that a speaker says.

    ``Client: Ann Lee`` above talk that is labelled ``T:`` and ``C:`` says who takes part; so does
    ``Client: K12`` above talk that is labelled ``K12:``, and ``K12: client``. Beside ``Therapist: Jo Weber`` it does so
    above talk that is labelled ``Client:``. The lines may end ``above`` talk in a table.
    """
    repeated = sum(count for count in counts.values() if count >= 2)
    keys = {speaker_key(label) for label in counts}
    cast: set[int] = set()
    for n, line in enumerate(lines):
        if line.speaker is None:
            continue
        said = line.rest
        once = counts[line.speaker] == 1
        # The block of names must be closed by an empty line.
        closed = any(later.fresh for later in lines[n + 1 : n + 12]) or (above and len(lines) <= n + 12)
        a_person = is_name(said.replace(",", "")) or (said.isalnum() and (once or not said.isalpha()))
        names_a_person = a_person and once and repeated >= 3 and len(line.speaker) > 2
        if n not in cast and repeated >= 3:
            cast = _cast(lines, n, above=above)
        presented = _presented(line, keys)
        names_a_label = once and presented is not None and presented[0] != speaker_key(line.speaker)
        is_explained = not once and presented is not None and presented[0] == speaker_key(line.speaker)
        heads = n in cast or names_a_label or ((names_a_person or is_explained) and closed)
        if not heads or not said or line.start or line.id:
            return n
    return len(lines)


def _cast(lines: Sequence[_Line], n: int, *, above: bool) -> set[int]:
    """Return which lines of the block that a line stands in say who takes part, each label once.

    One alone does so beside a date or the like, above an empty line. There, without a title or a date in the block, or
    without an empty line below it, it takes full names, codes, or what else is said of persons alone; without both it
    could be talk whatever it says.
    """
    start = next((m for m in range(n, max(n - 12, -1), -1) if lines[m].fresh), n)
    block: list[_Line] = []
    labels: set[str] = set()
    closed = above
    for line in lines[start : start + 12]:
        if block and (line.fresh or line.speaker in labels):
            closed = line.fresh
            break
        if line.speaker is not None:
            labels.add(line.speaker)
        elif not (is_header_key(line.label) or _looks_like_header(line.text)):
            return set()
        block.append(line)
    else:
        if not above or len(lines) > start + 12:
            return set()
    who = {m: line for m, line in enumerate(block, start) if line.speaker is not None}
    bare = len(who) == len(block)
    alone = len(who) < 2 and not (closed and any(is_header_key(line.label) for line in block))
    if not who or alone or (bare and not closed):
        return set()
    full = bare or not closed or len(who) < 2
    return set(who) if all(_is_person(line.rest, full=full) for line in who.values()) else set()


def _is_person(text: str, *, full: bool) -> bool:
    """Tell whether this is a person's name or code, or what is said of one, rather than talk."""
    text = text.strip('"“”')
    if not (is_short(text) or (_INITIAL.search(text[-4:]) and is_short(text[:-1]))):
        return False
    rest, said = _PERSON.subn(" ", text)
    if any(len(word) > 1 and is_talk(word) for word in re.findall(r"[^\W\d_]+", rest)):
        return False
    is_one = is_name(text.replace(",", "")) or (text.isalnum() and not text.isalpha())
    # Without capitals names are not told from words.
    sure = (" " in text or not text.isalpha()) and any(map(str.isupper, text))
    return bool(said) or (is_one and (sure or not full))


def _presented(line: _Line, keys: Collection[str]) -> tuple[str, Role] | None:
    """Return the label (by its key) and the role that a line at the top presents, either before the other."""
    match = _PRESENTED.fullmatch(line.text)
    if match is None or not is_short(match[2]):
        return None
    who = speaker_key(match[1])
    lead, *inside = (part.strip() for part in re.split(r"[,;/()]", match[2]))
    role = role_of_label(lead) if is_known(lead) and len(lead) > 2 else None
    if role and who in keys:
        return who, role
    role = role_of_label(who)
    named = next((speaker_key(part) for part in (lead, *inside) if part and speaker_key(part) in keys), None)
    return (named, role) if role and named and named != who else None


def _listed(text: str, keys: Collection[str]) -> dict[str, Role]:
    """Return the labels (by their keys) and roles in a list of who takes part, ``AW (therapist), K12 (client)``."""
    found: dict[str, Role] = {}
    for part in _NEXT.split(text[:_PREFIX]):
        words = [word.strip() for word in re.split(r"[,;/()=]", part)]
        named = next((word for word in words if speaker_key(word) in keys), None)
        roles = [role for word in words if word != named and len(word) > 2 and (role := role_of_label(word))]
        if named and roles:
            found.setdefault(speaker_key(named), roles[0])
    return found


def _is_titled(line: _Line, below: Sequence[_Line]) -> bool:
    """Tell whether the first line is a title though it ends as a sentence may, in an initial: ``Session with M.``.

    It must stand alone or above a date or the like.
    """
    is_one = is_short(line.text.removesuffix(".")) and _INITIAL.search(line.text[-4:])
    return bool(is_one) and any(
        later.fresh or (later.speaker is None and _looks_like_header(later.text)) for later in below
    )


def _looks_like_header(text: str) -> bool:
    if is_silence(text):
        return False
    if not any(char.isalnum() for char in text):
        return True
    if len(text) <= 200 and _HEADER_WORDS.search(text):
        return True
    return len(text.split()) <= 10 and len(text) <= 120 and not text.endswith((".", "?", "!", "…", "]", ")"))


def _is_credit(line: _Line) -> bool:
    return bool(_MADE_BY.fullmatch(line.text) or (line.fresh and _CREDIT.fullmatch(line.text)))


def _after_end(lines: list[_Line], *, above: bool) -> set[int]:
    """Return which lines stand below the mark of the end, as notes do, where nobody is said to speak any more.

    Talk in a table, which has no part in the lines, may stand before them, or they ``above`` it.
    """
    last = max((n for n, line in enumerate(lines) if line.speaker is not None), default=len(lines) if above else -1)
    end = next((n for n in range(last + 1, len(lines)) if _is_end(lines[n])), len(lines))
    return {n for n in range(end + 1, len(lines)) if not _is_end(lines[n])}


def _pages(lines: list[_Line], top: Collection[int]) -> set[int]:
    """Return which lines among the talk are a page's: its number, what is printed on every page, headings in Markdown.

    What follows a label alone is that speaker's words, whatever it looks like.
    """
    if not any(line.speaker for line in lines):
        return set()
    free = [
        n
        for n, line in enumerate(lines)
        if line.speaker is None and n not in top and (n == 0 or lines[n - 1].speaker is None or lines[n - 1].rest)
    ]
    found = {n for n in free if len(lines[n].text) <= 40 and _PAGE.fullmatch(lines[n].text)}
    found |= {n for n in free if _DIVIDER.fullmatch(lines[n].text)}

    def apart(n: int) -> bool:
        return (lines[n].fresh or n - 1 in found) and (n + 1 == len(lines) or lines[n + 1].fresh or n + 1 in found)

    # Pages count up; answers do not.
    numbers = [n for n in free if _BARE_PAGE.fullmatch(lines[n].text) and apart(n)]
    if all(int(lines[a].text) < int(lines[b].text) for a, b in pairwise(numbers)):
        found.update(numbers)
    # "Session 2" where "Session 1" stands above the first talk, and the title
    titles = {_form(lines[n].text) for n in top} - {""}
    found |= {n for n in free if (lines[n].fresh or n - 1 in found) and _form(lines[n].text) in titles}
    heads = [
        n
        for n in free
        if n not in found
        and apart(n)
        and _looks_like_header(lines[n].text)
        and (_HEADER_WORDS.search(lines[n].text) or not found.isdisjoint((n - 1, n + 1)))
    ]
    counts = Counter(lines[n].text for n in heads)
    return found | {n for n in heads if counts[lines[n].text] >= 3}


def _session_numbers(lines: Sequence[_Line], headings: Collection[int]) -> set[int]:
    """Return which sessions the headings name by number."""
    return {int(match[1]) for n in headings if (match := _SESSION.search(lines[n].text[:_PREFIX]))}


def _form(text: str) -> str:
    """Return a short line without its numbers, if it holds a letter."""
    return _DIGITS.sub("#", text) if len(text) <= 120 and any(map(str.isalpha, text)) else ""


def _number(speaking: list[_Line]) -> bool:
    """Tell whether the input numbers its turns, and put the numbers in place."""
    if len(speaking) < 2:
        return False
    ids = [line.id for line in speaking if line.id is not None]
    if len(ids) >= 0.9 * len(speaking) and len(set(ids)) >= 0.9 * len(ids):
        values = [int(number) for number in ids]
        steps = [b - a for a, b in pairwise(values)]
        counting = sum(step == 1 for step in steps) >= 0.5 * len(steps)
        if counting or not all(line.boxed_id for line in speaking if line.id):
            return True
        # "[7] T: … [31] C: …" are seconds.
        if all(step >= 0 for step in steps):
            for line in speaking:
                line.start, line.id = line.start or line.id, None
            return False
        return True
    for line in speaking:
        line.id = None
    parts = counted([line.speaker or "" for line in speaking])
    for line, part in zip(speaking, parts):
        if part is not None:
            line.speaker, line.id = part
    return bool(parts)


def _join(lines: list[_Line]) -> list[Utterance]:
    """Put continuation lines to the utterance that they continue."""
    labelled = any(line.speaker for line in lines)
    out: list[Utterance] = []
    open_: Utterance | None = None
    parts: list[str] = []
    speaker: str | None = None
    pending: _Line | None = None  # a time on a line of its own, for what comes next
    until: str | None = None  # the time at the end of the line before

    def close() -> None:
        nonlocal open_, parts
        words = clean(" ".join(parts))
        if open_ is not None and words:
            out.append(replace(open_, text=words))
        open_, parts = None, []

    for line in lines:
        if _is_end(line):
            continue
        silent = line.speaker is None and is_silence(line.rest)
        if line.stamped and not line.rest and line.speaker is None:
            close()
            pending = line
            continue
        if line.start is None and pending is not None:
            line.start, line.end = pending.start, pending.end
        if line.speaker is not None:
            speaker = line.speaker
        begins = open_ is None or line.speaker is not None or silent or line.stamped or pending is not None
        if begins or not labelled:
            close()
            start_s, end_s = span(line.start or until, line.end)
            open_ = Utterance(None if silent else speaker, "", start_s, end_s, line.line, line.id)
        elif open_ is not None and line.start and not any(parts):
            # below a label alone
            open_ = replace(open_, start_s=span(line.start, None)[0])
        pending = None
        parts.append(line.rest)
        if line.until and open_ is not None:
            open_ = replace(open_, end_s=span(open_.start_s, line.until)[1])
        until = line.until
        if silent:
            close()
    close()
    return out
