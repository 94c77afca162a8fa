"""A marker as one line of text, for Praat, whose annotations are intervals with a label.

ELAN's annotations are values too, but coders edit them: there the words stand in the place of offsets (`elan`).

A label that is written here says everything but the coder, who is named by the tier::

    C5 complaint_progress turn 14 [12-30] clarity 2 note "the second time"
    C5 complaint_progress turn 14 [12-30] score 0.81 source rule rule complaint_progress.7

A label that a person types may be as short as ``C5``, ``complaint_progress`` or ``C5 2`` (clarity 2): the marker then
stands on the whole turn of the right role under the annotation. A semicolon sets several apart: ``C5 2; C7``.
Whoever knows the times finds the turns under an annotation; here a label is only written, read and checked.

What makes a tier of any name a coder's is the same for Praat and ELAN: `is_coders`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from rupturekit.annotation import Marker
from rupturekit.codebook import Codebook, CodebookMarker
from rupturekit.readers.elan import OWN
from rupturekit.readers.raw import Source, clean
from rupturekit.transcript import Transcript

__all__ = [
    *("NAME_IT", "UNLESS_CODES", "LabelError", "Typed", "codes_of", "is_coders"),
    *("line_of", "markers_of", "quoted", "statements", "unquoted"),
]

NAME_IT = (
    f"Put the codes on a tier that is called '{OWN} coder:' and the coder's name; leave it empty if there are none"
)
UNLESS_CODES = "If they are no codes but notes, remove that tier from the copy that you import"
MACHINE = ("rule", "model")
"""The sources that a line names itself; a coder is named by the tier."""

# a text that is not closed goes on to the end: to look for its end anew at each quote in it would take for ever
_TOKEN = re.compile(r'"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?\Z)|\[\d{1,9}-\d{1,9}\]|[^\s;,"]+|[;"]')
_SPAN = re.compile(r"\[(\d+)-(\d+)\]")
_PLAIN = re.compile(r"[^\W_](?:[\w.:@/#+-]*\w)?")
# What XML 1.0 cannot hold, and what some programs take for the end of a line.
_ODD = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


class LabelError(ValueError):
    """A label that is no marker; says why, and never quotes what was typed but for a code."""


def quoted(text: str) -> str:
    """Return the text as one word: as it is if that is safe, else as a JSON string without line breaks.

    Examples
    --------
    >>> print(quoted("AB"), quoted("said twice"), quoted('"no"\\n'))
    AB "said twice" "\\"no\\"\\n"
    """
    if _PLAIN.fullmatch(text):
        return text
    return _ODD.sub(lambda odd: f"\\u{ord(odd[0]):04x}", json.dumps(text, ensure_ascii=False))


def unquoted(word: str) -> str:
    """Return the text of a word that `quoted` made.

    Raises
    ------
    LabelError
        If the word begins with a quote and is no JSON string.

    Examples
    --------
    >>> unquoted("AB"), unquoted(quoted("said twice"))
    ('AB', 'said twice')
    """
    if not word.startswith('"'):
        return word
    try:
        return str(json.loads(word))
    except ValueError:
        raise LabelError("a text in quotes in it was damaged") from None


def line_of(marker: Marker, codebook: Codebook) -> str:
    """Write a marker as one line.

    Examples
    --------
    >>> from rupturekit.codebook import load_codebook
    >>> book = load_codebook()
    >>> line_of(Marker(3, 0, 7, "withdrawal", "minimal_response", clarity=2, source="coder:AB"), book)
    'W2 minimal_response turn 3 [0-7] clarity 2'
    >>> line_of(Marker(3, 0, 7, "withdrawal", "minimal_response", 0.8, rule_id="w2.1", source="rule"), book)
    'W2 minimal_response turn 3 [0-7] score 0.8 source rule rule w2.1'
    """
    words = [codebook[marker.marker].code, marker.marker, f"turn {marker.turn} [{marker.start}-{marker.end}]"]
    if marker.clarity is not None:
        words.append(f"clarity {marker.clarity}")
    if marker.score is not None:
        words.append(f"score {float(marker.score)!r}")
    if marker.source in MACHINE:
        words.append(f"source {marker.source}")
    if marker.rule_id is not None:
        words.append(f"rule {quoted(marker.rule_id)}")
    if marker.note is not None:
        words.append(f"note {quoted(marker.note)}")
    return " ".join(words)


def markers_of(
    label: str, codebook: Codebook, transcript: Transcript, source: str, turns: Sequence[int]
) -> Iterator[Marker]:
    """Read the markers in a label.

    Parameters
    ----------
    label : str
        What stands on the annotation: lines that `line_of` made, or codes or names that a person typed.
    codebook : Codebook
        Whose codes they are.
    transcript : Transcript
        The session that was coded.
    source : str
        Whose tier it is: ``coder:<name>``, or ``model`` for the machine's. A line of the machine's on a coder's tier
        is that coder's, without score and rule.
    turns : sequence of int
        The turns on which the annotation stands, the likeliest first. A label that names no turn goes to the first
        one of the right role; a label that names one must name one of these.

    Raises
    ------
    LabelError
        If the label is no marker of the codebook, or does not fit the turns.

    Examples
    --------
    >>> from rupturekit.codebook import load_codebook
    >>> from rupturekit.transcript import Turn
    >>> session = Transcript("s", (Turn(0, "T", "therapist", "And then?"), Turn(1, "C", "client", "I guess.")))
    >>> (found,) = markers_of("W2 3", load_codebook(), session, "coder:AB", [0, 1])
    >>> found == Marker(1, 0, 8, "withdrawal", "minimal_response", clarity=3, source="coder:AB")
    True
    """
    for words in statements(label):
        yield _marker(words, codebook, transcript, source, turns)


def statements(label: str) -> Iterator[list[str]]:
    """Yield the words of each of the statements in a label, which semicolons set apart.

    Examples
    --------
    >>> list(statements('C5 note "no; never"; C7 2'))
    [['C5', 'note', '"no; never"'], ['C7', '2']]
    """
    words: list[str] = []
    for match in _TOKEN.finditer(label):
        if match[0] != ";":
            words.append(match[0])
        elif words:
            yield words
            words = []
    if words:
        yield words


def _marker(words: list[str], codebook: Codebook, transcript: Transcript, source: str, turns: Sequence[int]) -> Marker:
    entry = _entry(words[0], codebook)
    said = _fields(words[1:], entry)
    if "turn" in said:
        turn = _number(said["turn"])
        if turn not in turns:
            raise LabelError(f"it names turn {turn}, but does not stand on that turn")
        if transcript[turn].role != entry.speaker:
            raise LabelError(
                f"{entry.code} is a {entry.speaker}'s marker, and turn {turn} is not the {entry.speaker}'s"
            )
    else:
        mine = [turn for turn in turns if transcript[turn].role == entry.speaker]
        if not mine:
            raise LabelError(
                f"{entry.code} is a {entry.speaker}'s marker, and it stands on no turn of the {entry.speaker}"
            )
        turn = mine[0]
    length = len(transcript[turn].text)
    start, end = map(int, said["span"].split("-")) if "span" in said else (0, length)
    if not start < end <= length:
        raise LabelError(f"its words [{start}-{end}] are not within turn {turn}, which has {length} characters")
    clarity = _number(said["clarity"]) if "clarity" in said else None
    if clarity not in (None, 1, 2, 3):
        raise LabelError("its clarity is not 1, 2 or 3")
    machine = said.get("source")
    if machine not in (None, *MACHINE):
        raise LabelError(f"its source is neither {' nor '.join(MACHINE)}; a coder is named by the tier")
    copied = machine is not None and source.startswith("coder:")
    return Marker(
        turn,
        start,
        end,
        entry.parent,
        entry.id,
        score=_score(said["score"]) if "score" in said and not copied else None,
        clarity=clarity,
        source=source if copied or machine is None else machine,
        rule_id=said.get("rule") if not copied else None,
        note=said.get("note"),
    )


def _entry(word: str, codebook: Codebook) -> CodebookMarker:
    """Return the marker that a code or a name stands for, in any case if that is clear."""
    for fold in (str, str.casefold):
        found = [marker for marker in codebook.markers if fold(word) in (fold(marker.code), fold(marker.id))]
        if len(found) == 1:
            return found[0]
    what = f"the code {word}" if re.fullmatch(r"[A-Za-z]{1,2}\d{1,2}", word) else "its first word"
    raise LabelError(f"{what} is no code or marker of the codebook {codebook.name} {codebook.version}")


def _fields(words: list[str], entry: CodebookMarker) -> dict[str, str]:
    said: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if span := _SPAN.fullmatch(word):
            key, value = "span", f"{span[1]}-{span[2]}"
        elif word.isdecimal():
            key, value = "clarity", word
        elif word in ("turn", "clarity", "score", "source", "rule", "note"):
            key, value = word, unquoted(next(rest, '"'))
        elif word.casefold() in (entry.id.casefold(), entry.code.casefold()):
            continue
        else:
            raise LabelError(f"what follows {entry.code} in it cannot be read")
        if key in said:
            raise LabelError(f"it gives its {key} twice")
        said[key] = value
    return said


def _number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise LabelError("a number in it cannot be read")
    return int(value)


def _score(value: str) -> float:
    try:
        score = float(value)
    except ValueError:
        raise LabelError("its score cannot be read") from None
    if not 0 <= score <= 1:
        raise LabelError("its score is not between 0 and 1")
    return score


class Typed(NamedTuple):
    """What stands on an annotation, how a coder finds it, and its line in the file."""

    value: str
    place: str
    line: int


def is_coders(
    number: int, typed: Iterable[Typed], is_code: Callable[[str], bool], transcript: Transcript, source: Source
) -> bool:
    """Tell whether a tier that is not called after this project is a coder's: all that stands on it are codes.

    ``number`` is the tier's, from 1: its name may be anybody's words.

    Raises
    ------
    ReadError
        If there are codes among other values, which are neither to be lost nor to be guessed at.
    """
    typed = [one for one in typed if one.value.strip()]
    codes = [one for one in typed if is_code(one.value)]
    # a client may say "denial" and no more
    if not codes or {turn.text for turn in transcript}.issuperset(clean(one.value) for one in typed):
        return False
    if len(codes) == len(typed):
        return True
    # what is said is on tiers of talk, and word for word on others
    said = {word for turn in transcript for word in _words(turn.text)}
    if among := [code for code in codes if not said.issuperset(_words(code.value))]:
        raise source.error(
            f"{len(among)} of the {len(typed)} values on tier {number} are codes, and the others are not; "
            f"{among[0].place} begins with a code",
            f"{NAME_IT}. {UNLESS_CODES}",
            among[0].line,
        )
    return False


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def codes_of(book: Codebook) -> str:
    """Return the pattern of a codebook's codes."""
    return rf"(?:{'|'.join(re.escape(marker.code) for marker in book.markers)})(?!\w)"
