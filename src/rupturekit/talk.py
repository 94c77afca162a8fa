"""How client and therapist talk: what process researchers count besides markers, one column each.

Each measure is a function of a transcript, and says its formula, unit, source, and what it cannot tell. None stands
where there is too little to measure it on: no words, no times, no lexicon. Nothing here knows of ruptures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from statistics import median

from .rules import kinds_of
from .segment import SILENCE, words
from .transcript import Role, Transcript, Turn

ENOUGH_WORDS = 50
"""Words of a role from which shares of its words are told."""
ENOUGH_CHANGES = 5
"""Changes of speaker with times from which latencies and overlaps are told."""

# The closed classes of English that style matching compares; written for this project. What is contracted counts as the
# words that it is made of: "i'm" is a pronoun and an auxiliary.
FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    name: frozenset(listed.split())
    for name, listed in {
        "personal_pronouns": "i me my mine myself you your yours yourself yourselves he him his himself she her hers "
        "herself we us our ours ourselves they them their theirs themselves",
        "impersonal_pronouns": "it its itself this that these those who whom whose which what anybody anyone anything "
        "everybody everyone everything nobody nothing somebody someone something other others another",
        "articles": "a an the",
        "auxiliaries": "am is are was were be been being have has had having do does did doing will would shall should "
        "can could may might must ought 'm 's 're 've 'll 'd",
        "adverbs": "very really just so too also even still again always often sometimes usually ever already almost "
        "maybe perhaps actually probably definitely quite rather here there now then only",
        "prepositions": "about above across after against along among around at before behind below beside besides "
        "between beyond by down during for from in inside into of off on onto out outside over past since through to "
        "toward towards under until up upon with within without",
        "conjunctions": "and but or nor so because although though while if unless whereas whether since when",
        "negations": "no not never none neither nor nothing nobody nowhere cannot n't",
        "quantifiers": "all any both each every few fewer less lot lots many more most much none plenty several some",
    }.items()
}
_NEGATED = {"can't": "can", "won't": "will", "shan't": "shall"}  # others are the word and "n't"
FIRST_PERSON = frozenset("i me my mine myself".split())


def talk_share(transcript: Transcript) -> float | None:
    """Return the client's part of the words that client and therapist say, from 0 to 1: c / (c + t).

    Words, not seconds: many transcripts have no times. This project's own, after the share of speaking time of
    conversation analysis. It cannot tell who leads: a client who complains at length and one who works at length have
    the same share.
    """
    client, therapist = (sum(len(words(turn.text)) for turn in transcript.of(role)) for role in ("client", "therapist"))
    return client / (client + therapist) if client and therapist else None


def turn_words(transcript: Transcript, role: Role) -> float | None:
    """Return the median number of words in a role's turns, a silence that stands as a turn left out.

    This project's own. Marks such as ``[laughs]`` are no words. It depends on how the transcript cuts turns
    (back-channels kept or left out), so it compares sessions transcribed in one way only.
    """
    lengths = [len(words(turn.text)) for turn in _spoken(transcript) if turn.role == role]
    return float(median(lengths)) if lengths else None


def latency_s(transcript: Transcript, role: Role) -> float | None:
    """Return the median time from the end of the other's turn to the start of this role's answer, in seconds.

    A silence that stands as a turn belongs to the latency of the words after it. Negative where most answers begin
    before the other has ended (the floor transfer offset of Heldner & Edlund 2010, Journal of Phonetics 38, 555–568).
    Times of captions are rounded, and may be those of the screen, not of the voice.
    """
    gaps = [gap for who, gap in _gaps(transcript) if who == role]
    return float(median(gaps)) if len(gaps) >= ENOUGH_CHANGES else None


def overlaps(transcript: Transcript) -> float | None:
    """Return the changes of speaker, per 100, at which one begins before the other has ended.

    Of all changes whose times are known (overlaps as negative offsets: Heldner & Edlund 2010). An overlap may be an
    interruption or an eager "yes": it cannot tell which.
    """
    gaps = [gap for _, gap in _gaps(transcript)]
    return 100 * sum(gap < 0 for gap in gaps) / len(gaps) if len(gaps) >= ENOUGH_CHANGES else None


def questions(transcript: Transcript, *, open: bool) -> float | None:
    """Return the therapist's turns, per 100, that end in an open question, or in a closed one.

    Open and closed as in the Motivational Interviewing Treatment Integrity code (Moyers et al. 2016, Journal of
    Substance Abuse Treatment 65, 36–42), told by their words (`rules.kinds_of`), one a turn: a coder hears more.
    """
    kinds = [kinds_of(turn.text) for turn in transcript.of("therapist")]
    wanted = sum("question" in found and ("open_question" in found) == open for found in kinds)
    return 100 * wanted / len(kinds) if kinds else None


def style_matching(transcript: Transcript) -> float | None:
    """Return how alike client and therapist use function words, from 0 to 1.

    The mean over nine classes of 1 − |c − t| / (c + t + 0.0001), c and t being the class's part of each one's words in
    percent (Gonzales, Hancock & Pennebaker 2010, Communication Research 37, 3–19; Ireland & Pennebaker 2010, Journal of
    Personality and Social Psychology 99, 549–571). The word lists are this project's, not LIWC's, so values are not
    those of LIWC; contractions are taken apart, and the "'s" of "mum's" counts as that of "it's". Short talk matches
    less by chance alone; it cannot tell who adapts to whom.
    """
    client, therapist = (_counts(transcript, role) for role in ("client", "therapist"))
    if min(sum(client.values()), sum(therapist.values())) < ENOUGH_WORDS:
        return None
    alike = []
    for listed in FUNCTION_WORDS.values():
        c, t = 100 * _share(client, listed), 100 * _share(therapist, listed)
        alike.append(1 - abs(c - t) / (c + t + 0.0001))
    return sum(alike) / len(alike)


def i_talk(transcript: Transcript, role: Role) -> float | None:
    """Return the first person singular's part of a role's words, in percent.

    Related to negative emotion rather than to self-absorption (Tackman et al. 2019, Journal of Personality and Social
    Psychology 116, 817–834). It cannot tell of whom "I" is said in reported talk.
    """
    counts = _counts(transcript, role)
    return 100 * _share(counts, FIRST_PERSON) if sum(counts.values()) >= ENOUGH_WORDS else None


def affect_words(transcript: Transcript, role: Role, *, positive: bool) -> float | None:
    """Return the positive, or the negative, words' part of a role's words, in percent; None without the lexicon.

    Words whose mean valence in the VADER lexicon (Hutto & Gilbert 2014, ICWSM; MIT licence; package
    ``vaderSentiment``, of which only the word list is read) is above 0, or below. Single words, so "not happy" counts
    as positive; it is how much feeling is named, not what is felt.
    """
    counts = _counts(transcript, role)
    valence = lexicon()
    if not valence or sum(counts.values()) < ENOUGH_WORDS:
        return None
    listed = frozenset(
        word for word in counts if (valence.get(word, 0.0) > 0 if positive else valence.get(word, 0.0) < 0)
    )
    return 100 * _share(counts, listed)


MEASURES: Mapping[str, Callable[[Transcript], float | None]] = {
    "talk_share_client": talk_share,
    "turn_words_client": lambda t: turn_words(t, "client"),
    "turn_words_therapist": lambda t: turn_words(t, "therapist"),
    "latency_s_client": lambda t: latency_s(t, "client"),
    "latency_s_therapist": lambda t: latency_s(t, "therapist"),
    "overlaps_per100": overlaps,
    "open_questions_per100": lambda t: questions(t, open=True),
    "closed_questions_per100": lambda t: questions(t, open=False),
    "style_matching": style_matching,
    "i_talk_client": lambda t: i_talk(t, "client"),
    "i_talk_therapist": lambda t: i_talk(t, "therapist"),
    "positive_words_client": lambda t: affect_words(t, "client", positive=True),
    "negative_words_client": lambda t: affect_words(t, "client", positive=False),
    "positive_words_therapist": lambda t: affect_words(t, "therapist", positive=True),
    "negative_words_therapist": lambda t: affect_words(t, "therapist", positive=False),
}
"""Column → measure."""
NEED_NO_WORDS = ("latency_s_client", "latency_s_therapist", "overlaps_per100")
"""What is known of a session even where its words are withheld."""


def talk_features(transcript: Transcript) -> dict[str, float | None]:
    """Return all measures of a session, by column; None for those that are not known.

    Examples
    --------
    >>> from rupturekit.transcript import Turn
    >>> session = Transcript("s1", (
    ...     Turn(0, "T", "therapist", "How was the week?", 0.0, 2.0),
    ...     Turn(1, "C", "client", "Fine [sighs], I guess.", 3.5, 5.0),
    ... ))
    >>> found = talk_features(session)
    >>> round(found["talk_share_client"], 2), found["turn_words_client"], found["open_questions_per100"]
    (0.43, 3.0, 100.0)
    >>> found["style_matching"] is None  # seven words are too few
    True
    """
    withheld = bool(transcript.meta.get("text_withheld"))
    return {
        column: None if withheld and column not in NEED_NO_WORDS else measure(transcript)
        for column, measure in MEASURES.items()
    }


def _counts(transcript: Transcript, role: Role) -> Counter[str]:
    return Counter(part for turn in transcript.of(role) for word in words(turn.text) for part in parts_of(word.lower()))


def parts_of(word: str) -> Iterator[str]:
    """Yield a word, in small letters, contractions taken apart.

    Examples
    --------
    >>> [*parts_of("won't"), *parts_of("i'd've"), *parts_of("rain")]
    ['will', "n't", 'i', "'d", "'ve", 'rain']
    """
    word = word.replace("’", "'")
    if word.endswith("n't"):
        yield from (_NEGATED.get(word, word[:-3]), "n't")
    elif "'" in word:
        head, _, tail = word.rpartition("'")
        yield from parts_of(head)
        yield f"'{tail}"
    else:
        yield word


def _share(counts: Counter[str], listed: frozenset[str]) -> float:
    return sum(n for word, n in counts.items() if word in listed) / sum(counts.values())


def _gaps(transcript: Transcript) -> Iterator[tuple[Role, float]]:
    """Yield, where client and therapist change and times are known, who begins and how long after the other's end."""
    for earlier, later in pairwise(_spoken(transcript)):
        changes = {earlier.role, later.role} == {"client", "therapist"}
        if changes and earlier.end_s is not None and later.start_s is not None:
            yield later.role, later.start_s - earlier.end_s


def _spoken(transcript: Transcript) -> list[Turn]:
    """Return the turns but those that are a silence: of withheld words their flag and their start tell."""
    flags = transcript.meta.get("turn_flags", ()) if transcript.meta.get("text_withheld") else ()
    silent = {i for i, own in enumerate(flags) if i and "silence" in own}
    silent = {i for i in silent if transcript[i].start_s == transcript[i - 1].end_s}
    return [turn for turn in transcript if turn.text != SILENCE and turn.index not in silent]


@lru_cache(maxsize=1)
def lexicon() -> Mapping[str, float]:
    """Return the mean valence of each word of the VADER lexicon, −4 to 4; nothing where it is not installed."""
    from importlib.resources import files

    try:
        # the package's module would load an HTTP library; its word list is all that is wanted
        text = (files("vaderSentiment") / "vader_lexicon.txt").read_text("utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return {}
    rows = (line.split("\t") for line in text.splitlines() if line.strip())
    return {row[0]: float(row[1]) for row in rows}
