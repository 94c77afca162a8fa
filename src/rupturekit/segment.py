"""Raw utterances → a transcript: roles, merging, silences, back-channels, and what to beware of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .readers.raw import RawSession, Utterance, span
from .roles import RoleError, assign_roles, contradicted, is_unknown, speaker_key
from .transcript import Role, Transcript, Turn

__all__ = ["SESSION_FLAGS", "TURN_FLAGS", "RoleError", "segment", "session_flags", "turn_flags"]

SILENCE = "[silence]"
"""The text of a client turn that is a silence."""
SILENCE_S = 5.0
"""A silence this long after a therapist's question is the client's turn."""

TURN_FLAGS: Mapping[str, str] = {
    "silence": "a silence of 5 s or more, as a turn or within it",
    "pause": "a shorter or unmeasured pause was transcribed",
    "paraverbal": "laughing, nodding, sighing, crying or the like was transcribed",
    "backchannel_inside": "a listener's back-channel stands in square brackets within the turn",
    "overlap": "overlapping talk was marked",
    "inaudible": "words could not be heard",
    "redacted": "words were replaced to protect somebody",
    "one_word": "a single word",
    "minute_long": "a minute or more, or where times are missing 180 words or more",
}
SESSION_FLAGS: Mapping[str, str] = {
    "not_english": "hardly any of the words are English; rules and model know no other language, and nothing found "
    "means nothing",
    "roles_inferred": "roles were inferred from the talk, or by elimination among more than two speakers",
    "roles_contradicted": "the talk says that the labels of therapist and client are swapped",
    "third_speaker": "somebody beside therapist and client speaks",
    "several_sessions": "a heading among the talk says that another session begins, and all was read as one; cut the "
    "file there",
    "label_in_talk": "words before a colon look like a label and were left in the talk of the speaker before",
    "unknown_speaker": "some talk has no speaker's label, or one that says unknown",
    "many_one_word_turns": "two fifths or more of the client's turns are one word",
    "minute_long_turns": "some turn lasts a minute or more; speaker changes may have been missed",
    "no_punctuation": "hardly any punctuation, as in automatic captions",
    "no_times": "no turn has times",
    "missing_times": "some turns have no times",
    "diarisation_doubt": "speakers look told apart by a machine, which errs most on the short turns that "
    "carry minimal responses",
}

# Bounded, so that a turn of any length is searched in linear time.
_BRACKETED = re.compile(
    r"\[{1,2}([^\[\]]{1,60})\]{1,2}|\(\(?([^()]{1,60})\)\)?|\{([^{}]{1,60})\}|<([^<>]{1,60})>|\*([^*\s][^*]{0,40})\*"
)
_TIMED = re.compile(
    r"(?P<min>\d{1,2}):(?P<sec>\d\d)(?:[.,]\d+)?"
    r"|(?P<n>\d{1,4}(?:[.,]\d+)?)[\s-]?(?P<unit>s|secs?|seconds?|mins?|minutes?)?\b",
    re.IGNORECASE,
)
_STILL = re.compile(r"\b(?:silen(?:ce|t)|paus(?:es?|ing)|quiet|no (?:response|answer|reply))\b", re.IGNORECASE)
_LONG = re.compile(r"\blong\b|\blengthy\b|\bprolonged\b|\bextended\b", re.IGNORECASE)
_BARE_TIME = re.compile(r"\d{1,4}[.,]\d+|\d{1,4}(?:[.,]\d+)?\s?(?:s|secs?|seconds?)\.?", re.IGNORECASE)

_PARAVERBAL = re.compile(
    r"laugh|chuckl|giggl|nod|shak\w+ (?:\w+ )?head|sigh|\bcr(?:y|ies|ied)|sob|tear|weep|sniff|shrug|cough"
    r"|whisper|mumbl|smil|snort|scoff|groan|exhal|inhal|breath|gasp|yawn|voice|frown|grimac|look|eye"
    r"|clear\w* throat|\btut|\bhum|swallow|gestur|stammer|\brais|moan|wip|lean|fidget|\btone|sarcas"
    r"|stands|leaves|yell|shout",
    re.IGNORECASE,
)
_OVERLAP = re.compile(r"overlap|crosstalk|cross[- ]talk|simultaneous|talking over", re.IGNORECASE)
_INAUDIBLE = re.compile(
    r"\binaud|unintelligible|unclear|indistinct|indiscern|indecipher|incomprehensible|unsure|unint?\b|not audible"
    r"|\b(?:can(?:no|['’])t|could(?: not|n['’]t)) (?:(?:hear|understand|make out)|be (?:heard|understood|made out))$"
    r"|garbled|muffled(?: speech)?$|untranscri|\b(?:no|poor|lost) audio|\baudio (?:cut|drop|lost|gone|gap|break)"
    r"|\?+$|xx+$",
    re.IGNORECASE,
)
_ONLY_XXX = re.compile(r"\W*xx+\W*", re.IGNORECASE)
_REDACTED = (
    r"(?:redact(?:ed|ion)?|anonymi[sz]ed|de-?identified|omitted|(?:name|city|town|place|location|date|age|school|company|"
    r"hospital|doctor|person|phone|address|street|employer|country)s?(?:['’]s)?)"
)
# Other words after these say what happens: [phone rings], [doctor enters].
_REDACTION_WORD = re.compile(
    rf"{_REDACTED}(?:[ _-]?(?:{_REDACTED}|of birth|numbers?|code|id|removed|withheld|deleted|changed|hidden|masked|"
    r"given|unknown|one|two|three|\d{1,9})|[ _-][a-z]){0,3}",
    re.IGNORECASE,
)
# Neither does what happens in capitals: [PHONE RINGS], [END OF TAPE]
_REDACTION_CODE = re.compile(
    r"(?!.*\b(?:(?:RING|BUZZ|BEEP|VIBRAT|BARK|KNOCK|SLAM|OPEN|CLOS|ENTER|STOP|END|FREEZ|CLAP|TURN|PLAY)(?:E?S|[MP]?ING)"
    r"|BEEP|KNOCK|END OF|BREAK IN|MUSIC|NOISES?|SIREN|STATIC|APPLAUSE)\b)[A-Z][A-Z_ '’-]+\d*"
)
_NO_LETTER = re.compile(r"[\W\d_]+")
# as a name in talk: the classifier has seen thousands, and no placeholder
_COMMON = "Sam"
_REDACTION_BARE = re.compile(r"\bX{3,}\b|█{2,}|_{4,}|\*{3,}")
_SLASHES = re.compile(r"(?<![:/\w])//(?!/)|(?<=\s)//")

_BACKCHANNEL = re.compile(
    r"(?:m+[ -]?h+m+|mhm+|m+|hm+|uh[ -]?huh|ah|oh|yeah|yes|yep|yup|right|okay|ok|sure|i see)"
    r"(?: (?:yeah|right|okay|ok|sure|yes))?",
    re.IGNORECASE,
)
_EDGE = " .,!…-–—[]()"
_HANGING = re.compile(r"(?:[,–—-]|\.\.\.|…)[\"”’')\]]*$")
_ENDED = re.compile(r"[.?!][\"”’')\]]*$")
_ASKED = re.compile(r"\?[\"”’')\]\s.!-]*$")
_ASKS = re.compile(
    r"\b(?:how|what|why|when|where|who|which|tell me|talk to me|describe"
    r"|(?:do|did|are|were|have|can|could|would|will|is|was) (?:you|it|there|that))\b",
    re.IGNORECASE,
)
_INVITES = re.compile(
    r"^(?:(?:so|okay|and|well|please|can you)\W+)*(?:tell me|talk to me|describe|say more)\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"[.?!…]\s+")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_PUNCTUATION = re.compile(r"[.?!]")
# Frequent in English talk and, as a word, hardly in another language. Of the words of each of 3120 English sessions and
# exchanges, real, synthetic and captions, they are 15 % and more, and of talk in ten other languages 2 % at most.
_ENGLISH = frozenset(
    "the and you it that of is my your not have with know don they this are he she what about there just if but be "
    "like how".split()
)
_ENGLISH_SHARE, _ENGLISH_WORDS = 0.08, 60
_MACHINE_LABEL = re.compile(r"(?:speaker|spk|spkr|s)[ _-]?\d+|speaker[ _-][a-z]", re.IGNORECASE)


# --- marks in the text ----------------------------------------------------------------------------


def _marks(text: str) -> Iterator[str]:
    """Yield what stands in brackets (or between asterisks) in the text."""
    for match in _BRACKETED.finditer(text):
        yield next(group for group in match.groups() if group is not None).strip()


def _silence(mark: str) -> tuple[bool, float | None]:
    """Tell whether a mark is a silence or pause, and how many seconds (None: not said)."""
    if not (_STILL.search(mark) or _BARE_TIME.fullmatch(mark)):
        return False, None
    time = _TIMED.search(mark)
    if time is None:
        return True, SILENCE_S if _LONG.search(mark) or "silen" in mark.lower() else None
    if time["min"] is not None:
        return True, 60.0 * int(time["min"]) + int(time["sec"])
    number = float(time["n"].replace(",", "."))
    return True, number * (60 if (time["unit"] or "").lower().startswith("min") else 1)


def _is_long(mark: str) -> bool:
    return (_silence(mark)[1] or 0.0) >= SILENCE_S


def _without_marks(text: str) -> str:
    return _BRACKETED.sub(" ", text)


def heard(text: str) -> str:
    """Return the text as it was said rather than written down, as long as it was: offsets hold.

    Marks of what could not be heard are blanked out; what the transcriber guessed stays. A mark of what was replaced to
    protect somebody is a word again.

    Examples
    --------
    >>> heard("<UNSURE>Yeah</UNSURE>, [laughs] (unclear) mine.")
    '        Yeah         , [laughs]           mine.'
    >>> heard("It was [Tuesday?]")
    'It was [Tuesday?]'
    >>> heard("I told [NAME_1] at the [hospital].")
    'I told  Sam     at the  hospital .'
    """
    return _BRACKETED.sub(_as_said, text)


def _as_said(found: re.Match[str]) -> str:
    mark, size = next(_marks(found[0])), len(found[0])
    if _unheard(mark):
        return " " * size
    if not is_redaction(mark):
        return found[0]
    words = _NO_LETTER.sub(" ", mark.lower()).strip()
    return f" {_COMMON if words == 'name' else words}"[:size].ljust(size)


def is_unheard(text: str) -> bool:
    """Tell whether the transcriber heard that something was said, and no word of it.

    Examples
    --------
    >>> [is_unheard(text) for text in ("[inaudible].", "[?]", "[crosstalk]", "[inaudible] fine", "[silence]", "...")]
    [True, True, True, False, False, False]
    """
    left = _BRACKETED.sub(lambda found: "" if _OVERLAP.search(found[0]) else found[0], heard(text))
    return (left != text and not any(map(str.isalnum, left))) or bool(_ONLY_XXX.fullmatch(text))


def is_redaction(mark: str) -> bool:
    """Tell whether what stands in brackets takes the place of words, to protect somebody.

    Examples
    --------
    >>> [is_redaction(mark) for mark in ("NAME_1", "city name", "MY SISTER", "PHONE RINGS", "laughs")]
    [True, True, True, False, False]
    """
    return bool(_REDACTION_WORD.fullmatch(mark) or _REDACTION_CODE.fullmatch(mark))


def redactions(text: str) -> Iterator[tuple[int, int]]:
    """Yield where in the text words were replaced to protect somebody, brackets included."""
    for found in _BRACKETED.finditer(text):
        if is_redaction(next(_marks(found[0]))):
            yield found.span()


def _unheard(mark: str) -> bool:
    # with a question mark after it, what stands in brackets is a guess: words
    return bool(_INAUDIBLE.search(mark.rstrip("?") or "?"))


def words(text: str) -> list[str]:
    """Return the words of a text, as they stand, without marks such as ``[laughs]``.

    Examples
    --------
    >>> words("Well-meant, [sighs] but I don't.")
    ['Well-meant', 'but', 'I', "don't"]
    """
    return _WORD.findall(_without_marks(text))


def turn_flags(turn: Turn) -> tuple[str, ...]:
    """Return what to know when reading a turn, from `TURN_FLAGS`, sorted.

    Examples
    --------
    >>> turn_flags(Turn(0, "C", "client", "Fine. [laughs] I asked [NAME] (pause 2s) about it."))
    ('paraverbal', 'pause', 'redacted')
    >>> turn_flags(Turn(1, "C", "client", "[silence]"))
    ('silence',)
    """
    flags = set()
    for mark in _marks(turn.text):
        still, seconds = _silence(mark)
        if still:
            flags.add("silence" if (seconds or 0.0) >= SILENCE_S else "pause")
        elif _BACKCHANNEL.fullmatch(mark.strip(_EDGE)):
            flags.add("backchannel_inside")
        elif _INAUDIBLE.search(mark):
            flags.add("inaudible")
        elif _OVERLAP.search(mark):
            flags.add("overlap")
        elif _PARAVERBAL.search(mark):
            flags.add("paraverbal")
        elif is_redaction(mark):
            flags.add("redacted")
    if _SLASHES.search(turn.text):
        flags.add("overlap")
    if _REDACTION_BARE.search(turn.text):
        flags.add("redacted")
    n_words = len(words(turn.text))
    if n_words == 1:
        flags.add("one_word")
    if turn.start_s is not None and turn.end_s is not None:
        if turn.end_s - turn.start_s >= 60:
            flags.add("minute_long")
    elif n_words >= 180:
        flags.add("minute_long")
    return tuple(sorted(flags))


def session_flags(transcript: Transcript) -> tuple[str, ...]:
    """Return what to know when reading a session, from `SESSION_FLAGS`, sorted.

    Examples
    --------
    >>> turns = (Turn(0, "T", "therapist", "How are you?"), Turn(1, "C", "client", "Tired."))
    >>> session_flags(Transcript("s1", turns, meta={"role_source": "labels"}))
    ('no_times',)
    """
    flags = set()
    turns = transcript.turns
    source = transcript.meta.get("role_source")
    if source == "inferred":
        flags.add("roles_inferred")
    if contradicted(
        [turn.text for turn in transcript.of("therapist")],
        [turn.text for turn in transcript.of("client")],
    ):
        flags.add("roles_contradicted")
    for turn in transcript.of("other"):
        flags.add("unknown_speaker" if is_unknown(turn.speaker) else "third_speaker")
    if transcript.meta.get("sessions_in_file", 1) > 1:
        flags.add("several_sessions")
    if transcript.meta.get("labels_in_talk"):
        flags.add("label_in_talk")
    if _is_foreign(turn.text for turn in turns if turn.role != "other"):
        flags.add("not_english")
    by_turn = [(turn, turn_flags(turn)) for turn in turns]
    brief = [turn for turn, found in by_turn if "one_word" in found and turn.role == "client"]
    n_client = sum(turn.role == "client" for turn in turns)
    if n_client >= 5 and len(brief) >= 0.4 * n_client:
        flags.add("many_one_word_turns")
    if any("minute_long" in found for _, found in by_turn):
        flags.add("minute_long_turns")
    bare = _unpunctuated([turn.text for turn in turns])
    if bare:
        flags.add("no_punctuation")
    untimed = sum(turn.start_s is None for turn in turns)
    if untimed:
        flags.add("no_times" if untimed == len(turns) else "missing_times")
    labels = {turn.speaker for turn in turns}
    if bare or labels >= {"A", "B"} or any(map(_MACHINE_LABEL.fullmatch, labels)):
        flags.add("diarisation_doubt")
    return tuple(sorted(flags))


def flags_of(transcript: Transcript) -> Sequence[str]:
    """Return the flags that a session was given when it was read, else its `session_flags`.

    Examples
    --------
    >>> flags_of(Transcript("s1", (), meta={"flags": ["no_times"]}))
    ['no_times']
    """
    given: Sequence[str] | None = transcript.meta.get("flags")
    return session_flags(transcript) if given is None else given


def _is_foreign(texts: Iterable[str]) -> bool:
    """Tell whether the talk is in another language than English; False where there is too little to tell."""
    said = [word.lower().replace("’", "'").partition("'")[0] for text in texts for word in words(text)]
    return len(said) >= _ENGLISH_WORDS and sum(word in _ENGLISH for word in said) < _ENGLISH_SHARE * len(said)


def _unpunctuated(texts: list[str]) -> bool:
    """Tell whether the talk has fewer than one full stop or question mark in fifty words."""
    n_words = sum(len(text.split()) for text in texts)
    return n_words >= 30 and sum(len(_PUNCTUATION.findall(t)) for t in texts) * 50 < n_words


# --- utterances to turns --------------------------------------------------------------------------


def segment(
    raw: RawSession,
    *,
    id: str,
    roles: Mapping[str, str] | None = None,
    path: str | None = None,
) -> Transcript:
    """Make a transcript of a session's utterances.

    Consecutive utterances of a speaker merge; a silence of `SILENCE_S` or more after a therapist's question,
    transcribed or timed, becomes a client turn ``[silence]``; a listener's back-channel that does not
    interrupt the other's running turn goes into it in square brackets. Where the input numbers its own
    turns none of this is done, and each utterance is a turn.

    Parameters
    ----------
    raw : RawSession
        As a reader gives it.
    id : str
        The session's id.
    roles : mapping, optional
        Speaker label (in any case) to ``therapist``, ``client`` or ``other``; else told from the labels or
        inferred from the talk.
    path : str, optional
        Where the session was read from.

    Raises
    ------
    RoleError
        If it cannot be told who is therapist and who is client; the message says why and what to do.

    Examples
    --------
    >>> talk = (Utterance("T", "So when he left,"), Utterance("C", "Mm-hmm."),
    ...         Utterance("T", "what was that like?"), Utterance(None, "[silence 12s]"),
    ...         Utterance("C", "Empty."))
    >>> for turn in segment(RawSession(None, talk, "text"), id="s1"): print(turn.role, "|", turn.text)
    therapist | So when he left, [Mm-hmm] what was that like?
    client | [silence]
    client | Empty.
    """
    utterances = [
        replace(utterance, text=text) for utterance in raw.utterances if (text := " ".join(utterance.text.split()))
    ]
    if not utterances:
        raise RoleError("no talk in this session")
    # A silence on a line of its own is nobody's; it must not look like an unknown speaker.
    talk = [(u.speaker, u.text) for u in utterances if u.speaker or not _is_mark(u.text)]
    decided = assign_roles(talk or [(None, "")], roles, raw.roles)
    role_of = decided.of
    if raw.numbered:
        drafts = _as_numbered(utterances, role_of)
    else:
        drafts = _Merger(role_of, _unpunctuated([u.text for u in utterances])).run(utterances)
    turns = tuple(
        # utterances may stand out of the order of their times
        Turn(i, d.speaker, d.role, " ".join(d.parts), *span(d.start_s, d.end_s), d.line, tuple(d.source_ids))
        for i, d in enumerate(drafts)
    )
    meta: dict[str, Any] = {
        **raw.meta,
        "path": path,
        "format": raw.format,
        "encoding": raw.encoding,
        "role_source": decided.source,
        "role_confidence": decided.confidence,
        "numbered": raw.numbered,
    }
    transcript = Transcript(id, turns, meta={k: v for k, v in meta.items() if v is not None})
    return replace(transcript, meta={**transcript.meta, "flags": list(session_flags(transcript))})


@dataclass(slots=True)
class _Draft:
    """A turn while it grows."""

    speaker: str
    role: Role
    parts: list[str]
    start_s: float | None = None
    end_s: float | None = None
    line: int | None = None
    source_ids: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return speaker_key(self.speaker)

    @property
    def is_silence(self) -> bool:
        return self.parts == [SILENCE] and self.role == "client"


def _draft(utterance: Utterance, role_of: Mapping[str, Role]) -> _Draft:
    return _Draft(
        utterance.speaker or "unknown",
        role_of.get(speaker_key(utterance.speaker), "other"),
        [utterance.text],
        utterance.start_s,
        utterance.end_s,
        utterance.line,
        [utterance.source_id] if utterance.source_id is not None else [],
    )


def _as_numbered(utterances: list[Utterance], role_of: Mapping[str, Role]) -> list[_Draft]:
    """Take each utterance as a turn, but a pause without speaker or number as part of the turn before."""
    drafts: list[_Draft] = []
    for utterance in utterances:
        nobodys = not utterance.speaker and utterance.source_id is None and _is_mark(utterance.text)
        if nobodys and drafts:
            drafts[-1].parts.append(utterance.text)
        else:
            drafts.append(_draft(utterance, role_of))
    return drafts


def _is_mark(text: str) -> bool:
    """Tell whether the text is nothing but one mark of silence or pause."""
    match = _BRACKETED.fullmatch(text)
    return match is not None and any(_silence(mark)[0] for mark in _marks(text))


def _edge_silence(text: str, *, last: bool) -> str:
    """Return the text without the long silence at its beginning or end; empty if there is none."""
    if last:
        # the window is wider than the longest mark, so that a long turn costs no more than a short one
        marks = list(_BRACKETED.finditer(text, max(0, len(text) - 70)))
        found = marks[-1] if marks and not text[marks[-1].end() :].strip(" .,") else None
        rest = text[: found.start()].rstrip() if found else ""
    else:
        found = _BRACKETED.match(text)
        rest = text[found.end() :].lstrip(" .,") if found else ""
    return rest if found and any(map(_is_long, _marks(found[0]))) else ""


class _Merger:
    """One pass over the utterances of a session."""

    def __init__(self, role_of: Mapping[str, Role], bare: bool) -> None:
        self.role_of = role_of
        self.bare = bare
        self.turns: list[_Draft] = []
        self.client_label = "client"
        self.before: list[_Draft] = []

    def run(self, utterances: list[Utterance]) -> list[_Draft]:
        self.client_label = next(
            (u.speaker for u in utterances if u.speaker and self.role_of.get(speaker_key(u.speaker)) == "client"),
            self.client_label,
        )
        for number, utterance in enumerate(utterances):
            following = utterances[number + 1] if number + 1 < len(utterances) else None
            self._take(_draft(utterance, self.role_of), following, labelled=bool(utterance.speaker))
        # a pause with no talk after or before it
        self.turns.extend(self.before)
        return self.turns

    def _take(self, new: _Draft, following: Utterance | None, *, labelled: bool) -> None:
        asked = self._asked()
        (text,) = new.parts
        if _is_mark(text):
            long = any(_is_long(mark) for mark in _marks(text))
            if asked and long:
                self._silence(new.start_s, new.end_s, new.line, new.source_ids)
                return
            if not labelled or new.role == "other":
                self._into_text(new)
                return
        rest = _edge_silence(text, last=False) if asked and new.role == "client" else ""
        if asked and self._timed_gap(new):
            self._silence(self.turns[-1].end_s, new.start_s, new.line, [])
        elif rest:
            self._silence(new.start_s, None, new.line, new.source_ids)
        if rest:
            new.parts = [rest]
        for pause in self.before:
            new.parts[:0] = pause.parts
            new.source_ids[:0] = pause.source_ids
        self.before = []
        if self._is_backchannel(new, following):
            last = self.turns[-1]
            last.parts.append(f"[{text.strip(_EDGE)}]")
            last.source_ids += new.source_ids
            return
        rest = _edge_silence(text, last=True) if new.role == "therapist" else ""
        followed_by_silence = bool(rest) and self._is_question(rest)
        if followed_by_silence:
            new.parts[-1] = rest
        self._add(new)
        if followed_by_silence:
            self._silence(None, None, new.line, new.source_ids)

    def _add(self, new: _Draft) -> None:
        last = self.turns[-1] if self.turns else None
        if last is None or last.key != new.key or last.is_silence or new.is_silence:
            self.turns.append(new)
            return
        last.parts += new.parts
        last.end_s = new.end_s if new.end_s is not None else last.end_s
        last.source_ids += new.source_ids

    def _silence(self, start: float | None, end: float | None, line: int | None, source_ids: list[str]) -> None:
        last = self.turns[-1]
        if last.is_silence:
            last.end_s = end if end is not None else last.end_s
            last.source_ids += [s for s in source_ids if s not in last.source_ids]
            return
        self.turns.append(_Draft(self.client_label, "client", [SILENCE], start, end, line, list(source_ids)))

    def _into_text(self, pause: _Draft) -> None:
        """Keep a pause that is nobody's answer in the running turn, or in the first one to come."""
        if not self.turns or self.turns[-1].is_silence:
            self.before.append(pause)
            return
        self.turns[-1].parts += pause.parts
        self.turns[-1].source_ids += pause.source_ids

    def _asked(self) -> bool:
        """Tell whether a therapist's question stands open."""
        if not self.turns:
            return False
        last = self.turns[-1]
        if last.is_silence:
            return True
        return last.role == "therapist" and self._is_question(last.parts[-1])

    def _is_question(self, text: str) -> bool:
        tail = _without_marks(text[-300:]).strip()
        if _ASKED.search(tail):
            return True
        if _INVITES.match(_SENTENCE.split(tail.rstrip(".! "))[-1]):
            return True
        # Captions have no question marks: look for the words of a question in the last clause.
        return self.bare and not _ENDED.search(tail) and bool(_ASKS.search(" ".join(tail.split()[-14:])))

    def _timed_gap(self, new: _Draft) -> bool:
        end = self.turns[-1].end_s
        if self.turns[-1].is_silence or end is None or new.start_s is None:
            return False
        return new.start_s - end >= SILENCE_S

    def _is_backchannel(self, new: _Draft, following: Utterance | None) -> bool:
        """Tell whether this is a listener's sound within the other's running turn.

        A client's short answer can be a minimal response, so anything that could be an answer stays a turn.
        """
        if not self.turns or following is None:
            return False
        last = self.turns[-1]
        if last.key == new.key or speaker_key(following.speaker) != last.key or last.is_silence:
            return False
        if "other" in (new.role, last.role):
            return False
        (text,) = new.parts if len(new.parts) == 1 else ("",)
        if not _BACKCHANNEL.fullmatch(text.strip(_EDGE)) or self._is_question(last.parts[-1]):
            return False
        if new.start_s is not None and last.end_s is not None and new.start_s < last.end_s - 0.05:
            return new.end_s is None or new.end_s <= last.end_s + 0.5
        said, goes_on = last.parts[-1], following.text.lstrip(" -–—….")
        if self.bare or (_ENDED.search(said) and not _HANGING.search(said)):
            return False
        lower = goes_on[:1].islower() or re.match(r"I\b", goes_on) is not None
        return lower or _HANGING.search(said) is not None
