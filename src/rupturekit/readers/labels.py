"""Which words before a colon name a speaker, and which are talk."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

# What people put before talk to say who speaks. Only whether it names a speaker is decided here;
# which role that is comes later.
_WORDS = (
    "t|th|ther|therapist|psychotherapist|psychologist|psychiatrist|counsell?or|clinician|coach|"
    "facilitator|co-?therapist|provider|practitioner|interviewer|analyst|doctor|dr|nurse|"
    "social worker|supervisor|observer|interpreter|"
    "c|cl|cli|client|p|pt|pat|patient|participant|interviewee|respondent|i|int|customer|"
    "speaker|spk|spkr|person|voice|unknown|unknown speaker|unidentified speaker|"
    "mum|mom|mother|dad|father|parent|husband|wife|spouse|partner|son|daughter|child|"
    "sister|brother|male|female|man|woman|male speaker|female speaker"
)
_KNOWN = re.compile(rf"(?:{_WORDS})(?:[ _.-]?\#?\d{{1,5}}|[ _-][a-z])?(?:\s?\([^()]{{1,40}}\))?")
_NUMBERED = re.compile(r"([^\W\d_]{1,20})[ _.-]?\#?(\d{1,5})")
# Numbers after these tell people apart and never count turns.
_PEOPLE = frozenset({"speaker", "spk", "spkr", "participant", "person", "voice"})

# Words that open talk before a colon.
_TALK = re.compile(
    r"(?:i|so|well|and|but|yes|no|yeah|yep|nope|okay|ok|look|listen|note|notes|because|or|like|then|now|"
    "also|question|answer|example|first|second|third|finally|again|it|he|she|they|we|you|that|this|"
    "what|why|how|right|oh|anyway|basically|thing|point|option|step|plan|goal|goals|problem|meaning|"
    "still|maybe|sure|honestly|remember|homework|agenda|summary|tip|warning|fact|mm|mmm|hm|hmm|mhm|uh|"
    "um|huh|ah|fine|thanks|hello|hi|bye|please|sorry|exactly|true|wow|good|great|not|just|"
    "http|https|www|ps|nb|re|fyi)"
)
_PARTICLES = re.compile("de|da|di|del|der|van|von|bin|ibn|al|el|la|le|y|und|of|the")
# Marks of writing direction, and the byte-order mark, cling to right-to-left names.
_MARKS = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"))


def tidy(label: str) -> str:
    """Return a label without marks of direction, emphasis and surplus space."""
    return " ".join(label.translate(_MARKS).strip(" \t*").split())


def is_known(label: str) -> bool:
    """Tell whether this is a word for a party to a session, perhaps with a number.

    Examples
    --------
    >>> [is_known(label) for label in ("T", "SPEAKER_00", "Client A", "Th12", "Monday")]
    [True, True, True, True, False]
    """
    return _KNOWN.fullmatch(label.lower()) is not None


def split_number(label: str) -> tuple[str, str] | None:
    """Split ``T12`` into ``T`` and ``12``; None where the number would tell people apart."""
    match = _NUMBERED.fullmatch(label)
    if match is None or match[1].lower() in _PEOPLE:
        return None
    return match[1], match[2]


def is_name(label: str) -> bool:
    """Tell whether this has the form of a name: a few capitalised words and no punctuation of talk.

    Examples
    --------
    >>> [is_name(label) for label in ("Ana de Souza", "Dr. Lee", "🙂 Sam", "I told him", "Well")]
    [True, True, True, False, False]
    """
    words = label.split()
    if not 1 <= len(words) <= 5 or len(label) > 50 or _TALK.fullmatch(label.lower()):
        return False
    if _TALK.fullmatch(words[0].lower()) or not any(map(_is_sign, label)):
        return False
    return all(map(_is_name_word, words)) and label.count("(") == label.count(")")


def _is_sign(char: str) -> bool:
    return char.isalpha() or unicodedata.category(char) == "So"


def _is_name_word(word: str) -> bool:
    stem = word.strip("()[]")
    if any(char in ',;!?"“”…:' for char in stem) or "." in stem[:-1].replace(".", "", 1):
        return False
    if stem.endswith(".") and len(stem) > 5:
        return False
    if _PARTICLES.fullmatch(stem.lower()) or word.startswith("("):
        return True
    # "iPhone" in the name of a device.
    return not stem[:1].islower() or not stem.islower()


def is_handle(label: str) -> bool:
    """Tell whether this could be a name in small letters: one word that does not open talk."""
    return " " not in label and len(label) <= 20 and label[:1].isalpha() and not _TALK.fullmatch(label)


def choose(candidates: Iterable[str | None], *, lone: bool) -> frozenset[str]:
    """Decide which of the candidates name speakers.

    A word for a party always does. A name does when it comes back. A name that comes once is
    taken where the speakers are not yet told by others, or with ``lone``, if all the talk is labelled.

    Parameters
    ----------
    candidates : iterable of str or None
        What stands before a colon on each line, None for a line without; header lines left out.
    lone : bool
        Whether to trust a name that comes once beside names that come back (captions name the
        speaker of each cue; a wrapped line of plain text may begin with any word).

    Examples
    --------
    >>> sorted(choose(["T", "C", "Remember", "T", "I told him"], lone=False))
    ['C', 'T']
    """
    lines = list(candidates)
    first = next((n for n, label in enumerate(lines) if label is not None), len(lines))
    lines = lines[first:]
    counts = Counter(label for label in lines if label is not None)
    taken = {
        label
        for label, count in counts.items()
        if is_known(label)
        or (count >= 2 and is_name(label))
        or (count >= 3 and count >= 0.1 * len(lines) and is_handle(label))
    }
    names = {label for label in counts if label in taken or is_name(label)}
    covered = sum(counts[label] for label in names) >= 0.9 * len(lines)
    if covered and (lone or len(taken) < 2):
        return frozenset(names)
    return frozenset(taken)
