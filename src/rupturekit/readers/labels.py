"""Which words before a colon name a speaker, and which are talk."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice, pairwise

from rupturekit.roles import speaker_key

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
# Words of which talk is made and names are not, in addition.
_PLAIN = frozenset(
    "a an the and or but if nor than as my your his her its our their me him us them who whom whose which where when "
    "mine yours myself yourself these those there here am is are was were be been being isn't wasn't it's that's "
    "what's he's she's i'm do does did don't didn't doing done have has had having can can't could would should must "
    "say says said saying tell told tells ask asked asks goes went go think thought feel felt know mean means meant "
    "in on at to from with without about into after before during between over under for by of up out off like such "
    "some any all each every other another same no only also too very really more most much many few less least "
    "one two three four five six ten next last today tomorrow yesterday morning evening night day days week weeks "
    "month year time times minute monday tuesday wednesday thursday friday saturday sunday january february march "
    "july september october november december way things something nothing everything anything "
    "case worst best better worse reason reasons rule idea result conclusion truth bottom line number part steps "
    "points mood anxiety situation thoughts feelings feeling evidence trigger triggers behaviour behavior emotion "
    "emotions pros cons".split()
)
_PARTICLES = re.compile("de|da|di|del|der|van|von|bin|ibn|al|el|la|le|y|und|of|the")
# In brackets beside a label: "(cont)", or how or to whom something is said. Whom it names stays a part of the label.
_REMARK = re.compile(r"(?P<label>.*[^\s(\[])\s*(?P<remark>\([^()\[\]]{1,40}\)|\[[^()\[\]]{1,40}\])")
_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_CONTINUED = re.compile(r"(?i:cont|contd|cont['’]?d|continue[sd]|continuing)\.?")
_HOW = re.compile(
    r"(?i:laugh|chuckl|giggl|cry(?:ing)?\b|crie[sd]|sob(?:s|bing)?\b|sigh|nod(?:s|ding)?\b|smil|whisper|shout|paus|tear"
    r"|sniff|mumbl|shrug|cough|silen|quiet"
    # what was heard, or was not
    r"|(?:inaudible|unintelligible|unclear|indistinct|cross-?talk|overlap(?:s|ping)?|music|noises?|applause|redacted)\b)"
    r"[\w\s,;.'’-]*"
    r"|(?:[a-zà-ÿ]+(?:ing|ly|ful|ible|able|s)|to|with|in|under|off|on|over|after|long|short|still|very)\b[\w\s,;.'’-]*"
)
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


def split_remark(label: str) -> tuple[str, str]:
    """Split ``C [crying]`` into the label and the remark; "(cont)" and the like are no remark, and left out.

    Examples
    --------
    >>> [split_remark(label) for label in ("C [crying]", "T (cont'd)", "Therapist (Ana)", "C (mother)")]
    [('C', '[crying]'), ('T', ''), ('Therapist (Ana)', ''), ('C (mother)', '')]
    """
    match = _REMARK.fullmatch(label)
    if match is None:
        return label, ""
    inside = match["remark"][1:-1].strip()
    if _CONTINUED.fullmatch(inside):
        return match["label"], ""
    if _HOW.fullmatch(inside) and not any(is_known(word) for word in inside.split()[:1]):
        return match["label"], match["remark"]
    return label, ""


def is_remark(text: str) -> bool:
    """Tell whether this is what stands in brackets of how something is said or heard, as "laughs" or "Inaudible"."""
    return _HOW.fullmatch(text) is not None or _CONTINUED.fullmatch(text) is not None


def split_number(label: str) -> tuple[str, str] | None:
    """Split ``T12`` into ``T`` and ``12``; None where the number would tell people apart."""
    match = _NUMBERED.fullmatch(label)
    if match is None or match[1].lower() in _PEOPLE:
        return None
    return match[1], match[2]


def counted(labels: Sequence[str]) -> list[tuple[str, str] | None]:
    """Split each of the labels into speaker and number, where the numbers count turns; else return nothing.

    ``T1 … C1 … T2`` counts turns and ``C1 … C2 … C1`` tells clients apart: numbers that count never
    come back, never fall, and stand on every label.

    Examples
    --------
    >>> counted(["T1", "C1", "T2"]), counted(["C1", "C2", "C1"])
    ([('T', '1'), ('C', '1'), ('T', '2')], [])
    """
    parts = [split_number(label) for label in labels]
    split = [part for part in parts if part is not None]
    if len(split) < 0.9 * len(labels) or len(set(split)) < 0.95 * len(split):
        return []
    by_base: dict[str, list[int]] = {}
    for base, number in split:
        by_base.setdefault(base, []).append(int(number))
    if max(map(len, by_base.values()), default=0) < 2 or len(by_base) == 1:
        return []
    falls = sum(b < a for run in by_base.values() for a, b in pairwise(run))
    return parts if falls <= 0.05 * len(split) else []


def is_name(label: str) -> bool:
    """Tell whether this has the form of a name: a few capitalised words and no punctuation of talk.

    Examples
    --------
    >>> [is_name(label) for label in ("Ana de Souza", "Dr. Lee", "🙂 Sam", "I told him", "Well")]
    [True, True, True, False, False]
    >>> [is_name(label) for label in ("Souza, Ana", "Dan Lee, PhD", "Well, Ana", "Ana, no")]
    [True, True, False, False]
    """
    words = label.split()
    if len(words) > 1 and "," in label:
        # "Lee, Dan" and "Dan Lee, PhD"
        words = [word.removesuffix(",") for word in words[:-1]] + words[-1:]
        if is_talk(label):
            return False
    if not 1 <= len(words) <= 5 or len(label) > 50 or _TALK.fullmatch(label.lower()):
        return False
    if _TALK.fullmatch(words[0].lower()) or not any(map(_is_sign, label)):
        return False
    return all(map(_is_name_word, words)) and label.count("(") == label.count(")")


def is_talk(label: str) -> bool:
    """Tell whether some word of this, but for brackets, is one of which talk is made."""
    words: list[str] = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", _BRACKETED.sub(" ", label).lower().replace("’", "'"))
    return not words or any(word in _PLAIN or _TALK.fullmatch(word) for word in words)


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


def _could_be_label(label: str) -> bool:
    """Tell whether several words that come back could be a label, in whatever form."""
    return 2 <= len(label.split()) <= 6 and not any(char in ';!?"“”…' for char in label) and not is_talk(label)


def choose(candidates: Iterable[str | None], *, lone: bool, given: Iterable[str] = ()) -> frozenset[str]:
    """Decide which of the candidates name speakers.

    A word for a party always does, and so does a given label. A name does when it comes back, and other words, if
    talk is not made of them, when they do so three times. A name that comes once is taken where the speakers are not
    yet told by others, or with ``lone``, if all the talk is labelled.

    Parameters
    ----------
    candidates : iterable of str or None
        What stands before a colon on each line, None for a line without; header lines left out.
    lone : bool
        Whether to trust a name that comes once beside names that come back (captions name the
        speaker of each cue; a wrapped line of plain text may begin with any word).
    given : iterable of str
        Labels that are known to name speakers.

    Examples
    --------
    >>> sorted(choose(["T", "C", "Remember", "T", "I told him"], lone=False))
    ['C', 'T']
    """
    lines = list(candidates)
    first = next((n for n, label in enumerate(lines) if label is not None), len(lines))
    lines = lines[first:]
    counts = Counter(label for label in lines if label is not None)
    keys = {*map(speaker_key, given)} - {""}
    taken = {
        label
        for label, count in counts.items()
        if is_known(label)
        or speaker_key(label) in keys
        or (count >= 2 and is_name(label))
        or (count >= 3 and (_could_be_label(label) or (count >= 0.1 * len(lines) and is_handle(label))))
    }
    names = {label for label in counts if label in taken or is_name(label)}
    covered = sum(counts[label] for label in names) >= 0.9 * len(lines)
    if covered and (lone or len(taken) < 2):
        return frozenset(names)
    return frozenset(taken)


def missed(labels: Iterable[str | None], speakers: Collection[str], *, names: bool = True) -> int:
    """Count the labels left in the talk that look as if they named a speaker.

    That is a word that is a slip of the pen away from a speaker's label, and with ``names`` a name, and a word in small
    letters that comes three times.

    Parameters
    ----------
    labels : iterable of str or None
        What stands before a colon on the lines that have been taken for talk, or without ``names`` for notes.
    speakers : collection of str
        The labels that name speakers.

    Examples
    --------
    >>> missed(["cleint", "Remember", "the thing is", None, "Tan, Jake"], {"therapist", "client"})
    2
    """
    # Only the first speakers, so that a file with very many costs no more than its length.
    near = [speaker.lower() for speaker in islice(speakers, 20) if 4 <= len(speaker) <= 20]
    counts = Counter(label for label in labels if label is not None)
    return sum(
        count
        for label, count in counts.items()
        if not is_talk(label)
        and (
            (names and (is_name(label) or (count >= 3 and is_handle(label))))
            or any(_is_slip(label.lower(), speaker) for speaker in near)
        )
    )


def hidden(lines: Iterable[tuple[str, bool]], speakers: Collection[str]) -> int:
    """Count the speakers' labels in the talk that a missing colon or line break hides.

    Parameters
    ----------
    lines : iterable of (str, bool)
        Each line's words, and whether a label stood before them.
    speakers : collection of str
        The labels that name speakers.

    Examples
    --------
    >>> hidden([("C I don't know.", False), ("C; No.", False), ("Only fine? C: No.", True)], {"T", "C"})
    3
    >>> hidden([("I - I don't know.", False), ("C-section.", False), ("I told C: no.", True)], {"I", "C"})
    0
    >>> hidden([("Client I do.", False), ("Client work is hard.", False)], {"Therapist", "Client"})
    1
    """

    def one_of(some: Iterable[str]) -> str:
        return f"(?:{'|'.join(map(re.escape, some)) or '(?!)'})"

    labels = [label for label in islice(speakers, 20) if label]
    # "I" and "A" are words as well; a name may end a sentence of talk, and a line.
    no_words = [label for label in labels if label not in ("I", "A")]
    own = one_of(filter(is_known, no_words))
    short = one_of(label for label in no_words if re.fullmatch("[A-Z]{1,2}", label))
    first = re.compile(rf"{one_of(labels)};\s|{own}\s?[.–-]\s|{own}\s(?=I\b)|{short}\s")
    within = re.compile(rf"[.?!…]['\"’”)\]]?\s{{1,3}}{one_of(labels)}[:：](?!\S*//)")
    return sum(bool(not labelled and first.match(text)) + len(within.findall(text)) for text, labelled in lines)


def _is_slip(one: str, other: str) -> bool:
    """Tell whether two words differ by one or two letters, or by two that changed places."""
    if abs(len(one) - len(other)) > 2 or (one[:1] != other[:1] and one[-1:] != other[-1:]):
        return False
    row = list(range(len(other) + 1))
    for n, char in enumerate(one, start=1):
        above, row = row, [n]
        for m, against in enumerate(other, start=1):
            row.append(min(above[m] + 1, row[-1] + 1, above[m - 1] + (char != against)))
    return row[-1] <= (2 if len(other) > 5 else 1)
