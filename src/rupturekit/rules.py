"""What people say plainly: rules for markers, each with its scope.

A rule is data (``data/rules/*.toml``): patterns with slots, the reason for the coder, a weight that says how
sure it is, and sentences that it must hit and must miss. It fires only within its scope: the right speaker,
not negated, not hypothetical, not reported, not past, not about somebody or something else, not a question.
How a rule is written stands in ``docs/rules.md``.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .annotation import Family, Marker
from .codebook import Codebook, load_codebook
from .transcript import Transcript, Turn

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

GATES = ("negated", "conditional", "reported", "past", "other", "question", "buried")
"""The scopes in which a rule stays silent unless it says ``allow``."""
DENIES = GATES[:5]
"""Scopes that speak against the marker, where the others only leave it open."""
SURE = 0.9
"""Weight from which a rule found in such a scope counts against its family."""
AFTER = ("open_question", "question", "advice", "reflection")
"""Kinds of therapist turn that a rule may ask for in the turn before."""
NEEDS_RUPTURE = {
    "clarify_misunderstanding", "change_task_goal", "give_rationale", "link_pattern_therapy", "link_pattern_others",
    "validate_defense", "redirect_refocus",
}  # fmt: skip
"""Strategies that answer a rupture: coded only with a rupture marker in the few turns before."""
BURIED = 20
"""Words in a client's turn above which a plain confrontation is more likely part of a story than said to the therapist."""
RECENT = 6
"""How many turns back such a marker may lie."""
PHRASES = 2_000
"""Phrases that a pattern, or a slot, may come to at most with all slots written out; those of the package have up to 281."""
WORDS = 25
"""Words that one of these phrases may have at most."""
WAYS = 200_000
"""In how many ways a pattern may be laid over a text at most: as many steps may a search take at each word."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Parameters
    ----------
    id : str
        Permanent, such as ``C5-003``; never given to another rule.
    marker : str
        Name in the codebook.
    why : str
        One sentence for the coder.
    weight : float
        In (0, 1]: how often it is right when it fires.
    patterns : tuple of str
        Any of which fires it.
    allow : tuple of str
        Gates (`GATES`) that do not silence it.
    after : tuple of str
        The turn before must be the other speaker's and of one of these kinds (`AFTER`).
    alone : bool
        The match must be all that the turn says, fillers aside.
    hits, misses : tuple
        Turns on which it must and must not fire; a pair is (turn before, turn).
    """

    id: str
    marker: str
    why: str
    weight: float
    patterns: tuple[str, ...]
    hits: tuple[str | tuple[str, str], ...]
    misses: tuple[str | tuple[str, str], ...]
    allow: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    alone: bool = False


def _rule(entry: Mapping[str, Any], where: str, book: Codebook) -> Rule:
    name = f"{where}: rule {entry.get('id', '(no id)')}"
    try:
        rule = Rule(**{k: _frozen(v) for k, v in entry.items()})
    except TypeError as error:
        raise ValueError(f"{name}: {str(error).replace('Rule.__init__() ', '')}") from None
    for field, is_right in _KINDS.items():
        if not is_right(getattr(rule, field)):
            raise ValueError(f"{name}: {field} is not written as in docs/rules.md")
    if rule.marker not in book:
        raise ValueError(f"{name}: marker {rule.marker!r} is not in the codebook")
    if not re.fullmatch(r"[A-Z]+\d+-\d{3}", rule.id) or not rule.id.startswith(book[rule.marker].code + "-"):
        raise ValueError(f"{name}: the id must be the marker's code and three digits, {book[rule.marker].code}-001")
    if not 0 < rule.weight <= 1:
        raise ValueError(f"{name}: weight {rule.weight} is not in (0, 1]")
    for field, known in (("allow", GATES), ("after", AFTER)):
        for value in getattr(rule, field):
            if value not in known:
                raise ValueError(f"{name}: {field} {value!r} is not one of {', '.join(known)}")
    for field in ("patterns", "hits", "misses"):
        if not getattr(rule, field):
            raise ValueError(f"{name}: {field} is empty")
    return rule


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


def _are_turns(value: object) -> bool:
    return isinstance(value, tuple) and all(_is_text(v) or (_are_texts(v) and len(v) == 2) for v in value)


_KINDS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("id", "marker", "why"), _is_text),
    **dict.fromkeys(("patterns", "allow", "after"), _are_texts),
    **dict.fromkeys(("hits", "misses"), _are_turns),
    "weight": lambda value: type(value) in (int, float),
    "alone": lambda value: isinstance(value, bool),
}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _files(folder: str | Path | None) -> list[tuple[str, str]]:
    source: Any = Path(folder) if folder is not None else resources.files("rupturekit") / "data" / "rules"
    # a pipe would wait for ever
    found = sorted((f for f in source.iterdir() if f.name.endswith(".toml") and f.is_file()), key=lambda f: f.name)
    if not found:
        raise ValueError(f"{source}: no .toml files of rules")
    return [(f.name, _text(f)) for f in found]


def _text(file: Any) -> str:
    try:
        return str(file.read_text("utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"{file.name}: not UTF-8; save it anew in that encoding") from None


def _load(folder: str | Path | None, book: Codebook) -> tuple[tuple[Rule, ...], dict[str, tuple[str, ...]], str]:
    """Return the rules, the slots written out, and the digest of all files."""
    rules: list[Rule] = []
    slots: dict[str, tuple[str, ...]] = {}
    digest = hashlib.sha256()
    for name, text in _files(folder):
        digest.update(text.encode())
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{name}: not TOML: {error}") from None
        except RecursionError:
            raise ValueError(f"{name}: lists or tables too deep in each other") from None
        given, entries = raw.get("slots", {}), raw.get("rule", [])
        listed = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        if not isinstance(given, dict) or not listed:
            raise ValueError(f"{name}: slots stand below [slots], and each rule below [[rule]]")
        for slot, values in given.items():
            slots[slot] = _frozen(values)
            if not slots[slot] or not _are_texts(slots[slot]):
                raise ValueError(f"{name}: slot <{slot[:80]}> is no list of phrases")
        rules += [_rule(entry, name, book) for entry in entries]
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise ValueError(f"rule {rule.id}: the id is used twice")
        seen.add(rule.id)
    return tuple(rules), _written_out(slots), digest.hexdigest()


def load_rules(folder: str | Path | None = None) -> tuple[Rule, ...]:
    """Load and check the rules that come with the package, or a folder of one's own.

    Raises
    ------
    ValueError
        If a rule is wrong; the message names file, rule and fault.

    Examples
    --------
    >>> len(load_rules()) >= 150
    True
    """
    return _load(folder, load_codebook())[0]


# --- patterns -----------------------------------------------------------------------------------------

# how captions, contractions and varieties of English write the same word; keys are spaCy norms. "Ain't" is "ai not";
# "don't see no point" denies twice what "don't see any point" denies once
_SAME = {
    "is": ("is", "'s", "s", "ai"), "'s": ("'s", "s", "is", "has", "ai"), "am": ("am", "m", "'m", "ai"),
    "are": ("are", "re", "'re", "is", "ai"), "had": ("had", "'d", "d"), "will": ("will", "ll", "'ll", "shall"),
    "would": ("would", "'d", "d"), "'d": ("'d", "would", "had", "d"), "have": ("have", "ve", "'ve", "ai"),
    "has": ("has", "ai"), "going": ("going", "goin", "gon"), "because": ("because", "cause", "cos", "coz"),
    "yes": ("yes", "yeah", "yep", "yup"), "a": ("a", "an"), "an": ("an", "a"), "any": ("any", "no"),
    "anything": ("anything", "nothing"), "anyone": ("anyone", "nobody"), "anybody": ("anybody", "nobody"),
    "anywhere": ("anywhere", "nowhere"), "ever": ("ever", "never"),
    # "my wife say that", "it make me sad"
    **{said: (said, said[:-1]) for said in ("says", "tells", "thinks", "wants", "needs", "makes", "helps", "works", "takes",
                                            "costs", "gives", "gets", "feels", "means", "serves", "brings", "seems", "sounds", "looks", "keeps")},
}  # fmt: skip
# verbs of state, which some varieties use in the progressive: "I am not seeing the point"
_STATES = {
    "see": "seeing", "understand": "understanding", "know": "knowing", "want": "wanting", "believe": "believing",
    "hear": "hearing", "listen": "listening", "agree": "agreeing", "trust": "trusting", "remember": "remembering",
    "like": "liking", "need": "needing", "have": "having", "feel": "feeling", "think": "thinking", "find": "finding",
}  # fmt: skip
_PROGRESSIVES = frozenset(_STATES.values())
_SAME |= {verb: (*_SAME.get(verb, (verb,)), progressive) for verb, progressive in _STATES.items()}
# Nigerian Pidgin denies before the verb, and habits have a "be" of their own: put as the patterns say it, word for word
_NO = {"dey": ("do", "not"), "fit": ("can", "not"), "go": ("will", "not"), "be": ("ai", "not"), "sabi": ("not", "know")}
_PUT = {"wetin": "what", "una": "you"}
_VERBS = frozenset(
    "want know like see agree talk say do feel need get have believe trust care come think hear listen ask remember understand"
    " help work make mean matter change solve answer write tell wish bother mind appreciate start speak discuss go enjoy accept"
    " deserve even really".split()
)
_ORDERS = frozenset("ask disturb touch call bring judge insult stress shout".split())
_HABIT = {"i": "am", **dict.fromkeys(("you", "we", "they", "people"), "are"),
          **dict.fromkeys(("it", "he", "she", "this", "that", "everybody", "everyone", "somebody"), "is")}  # fmt: skip
_MODALS = frozenset(
    "should would will could can may might must shall let make do does did ll 'll 'd d to if not".split()
)
_DIFFERS = frozenset(("no", "be", "dey", "never", "them", *_PUT))
# how else a word is said, or left out, where what stands around it allows: "you not listening", "I not understand",
# "it don't help", "Isn't helping". "Didn't" has the norm of "do not", so that "did not" must be the same
_AUXILIARY = "do|does|did|am|are|is|was|can|could|will|would|have|has|ai"
_STARTS = r"(?:^|(?<=[.?!]))"
_OPENS = rf"(?:{_STARTS}|(?<= no)|(?<= nah)|(?<= no\x1f,))"
_BARE_NOT = rf"{_STARTS}(?= not (?!me|so|really)\S+\s)"
_UNSAID = rf"{_OPENS}(?= (?:{_AUXILIARY}) not\s| not \S+ing\s)"
_SUBJECTS = {
    "i": rf"{_UNSAID}|{_OPENS}(?= (?:hate|never|got|feel)\s)|{_BARE_NOT}",
    **dict.fromkeys(("it", "this", "that"), rf"{_UNSAID}|{_OPENS}(?= (?:is|makes?)\s)|{_BARE_NOT}"),
    "there": rf"{_OPENS}(?= (?:is|ai)\s)",
}  # fmt: skip
_OPENING = re.compile(
    rf"[.?!] not (?!me|so|really)|(?:[.?!,]| no| nah) (?:(?:{_AUXILIARY}) not|not \S+ing|hate|never|got|feel|makes?|ai"
    r"|is(?! (?:it|that|this|there|he|she|every\S+|any\S+)\s))\s"
)
_WHO = ("i", "it", "we", "he", "you", "she", "they", "this", "that")  # by length: what looks behind has one of its own
_AFTER_SUBJECT = "(?:" + "|".join(f"(?<= (?:{'|'.join(same)}))" for _, same in itertools.groupby(_WHO, len)) + ")"
_SOON = ("just", "only", "always", "really", "still")
_WANTS = frozenset(("want", "wish", "need"))
# what is said of somebody or something: "That ridiculous", "I fed up with it"
_SAID_OF = (
    "fine|okay|ok|good|useless|pointless|wrong|right|correct|stupid|crazy|ridiculous|hopeless|boring|sick|fed|supposed"
)
_DID_NOT = r" (?:do|did|ai)(?= not\s)"
_NO_QUESTION = "(?<! is it)(?<! is that)(?<! are you)(?<! do you)(?<! did you)(?<! can you)"
_ELSE = {
    **_SUBJECTS,
    **dict.fromkeys(
        ("am", "is", "are"),
        rf"{_NO_QUESTION}(?= (?:not|no|too)\s)"
        rf"|{_NO_QUESTION}{_AFTER_SUBJECT}(?=(?: (?:{'|'.join(_SOON)}))? (?!\S*thing )\S+ing\s| (?:{_SAID_OF})\s)",
    ),
    **dict.fromkeys(
        ("do", "does"),
        rf"{_NO_QUESTION}{_AFTER_SUBJECT}(?= not\s(?!be\s))|{_STARTS}(?= not\s)|(?<= please)(?= not\s)|{_DID_NOT}"
        rf"| (?:am|are|is|m|'m|re|'re)(?= not(?: \S+)? \S+ing\s)",
    ),
}
# within a phrase
_ARTICLES = {"a": "(?<= not) no|", "an": "(?<= not) no|", "the": ""}
_DETERMINERS = frozenset(
    ("a", "an", "the", "any", "my", "your", "this", "that", "these", "those", "some", "much", "no")
)
# expressions take the longer to make and to search with, the more may be left out: most talk says it all
_FORMS: Mapping[str, Mapping[str, str]] = {
    "plain": dict.fromkeys(("do", "does"), _DID_NOT),
    "without auxiliaries": {norm: form for norm, form in _ELSE.items() if norm not in _SUBJECTS},
    "without subjects": _ELSE,
}
_BEFORE_NOT = frozenset((
    *_AUXILIARY.split("|"), "'s", "s", "'m", "m", "'re", "re", "'ve", "ve", "'d", "d", "'ll", "ll", "had", "were", "shall", "should",
    "might", "may", "must", "be", "been", "being", "to", "and", "or", "but", "if", "why", "because", "then", "of", "for", "with",
    "about", "got", "get", "the", "a", "yes", "yeah", "oh", "well", "maybe", "probably", "definitely", "certainly", "rather", "[",
    "]", '"', *".?!,-", "um", "uh", "er", "erm", "like",
))  # fmt: skip
_BEFORE_ELSE = re.compile(rf"not|no|too|\S+ing|{_AUXILIARY}|{_SAID_OF}")
# what may stand between two words of a pattern; in a turn's line it has a separator of its own before it, so that a pattern
# need not spell it at each place
_FILLERS = frozenset(", - um uh er erm like abeg sha jare abi o oo sef dey na nau ya itself".split())
_FILLER = "\x1f"
# "not like helping a friend": no filler there
_BETWEEN = rf"(?:{_FILLER}(?:(?<! not{_FILLER})|(?!like\s))\S+)?"
_GAP = re.compile(r"\.\.\.(\d)$")
_SLOT = re.compile(r"<([^<>|\s]*)>")
_ENDS = frozenset(".?!")
# spaCy splits such a piece of text the same way wherever it stands: of its special cases, which it looks for across
# pieces too (":)", "Ph.D.", "goin'"), none can begin in one such piece and end in the next
_PLAIN_PIECE = re.compile(r"-*(?:[AaIi]|[^\W\d_]{2,})(?:['’-][^\W\d_]+)*[-—.,?!]*")
_PLAIN = set(
    "i you he she it we they this that is are am was be do did does not no to of in on at for with a an the my your me"
    " and but so just really have has had will would can could if as what all any about get got going like know think"
    " want feel here there up out".split()
)


@lru_cache(maxsize=1)
def _blank() -> Language:
    # spaCy loads torch wherever it is installed, which takes seconds and which the rules do not use; where
    # either was imported before, it stays as it is (docs/design.md)
    alone = "spacy" not in sys.modules and "torch" not in sys.modules
    if alone:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import spacy
    finally:
        if alone:
            del sys.modules["torch"]
    nlp = spacy.blank("en")
    tokenizer: Any = nlp.tokenizer
    # as captions write them
    for word, first, norms in (
        ("its", 2, ("it", "'s")), ("lets", 3, ("let", "us")), ("ill", 1, ("i", "will")), ("amn't", 2, ("am", "not")),
        ("amnt", 2, ("am", "not")), ("finna", 3, ("going", "to")), ("tryna", 3, ("trying", "to")), ("ye're", 2, ("you", "are")),
    ):  # fmt: skip
        for said in (word, word.capitalize()):
            parts = said[:first], said[first:]
            tokenizer.add_special_case(said, [{"ORTH": part, "NORM": norm} for part, norm in zip(parts, norms)])
    return nlp


def _norms(text: str) -> tuple[str, ...]:
    return tuple(token.norm_ for token in _blank().tokenizer(text))


class _Pieces(dict[str, tuple[str, ...] | None]):
    """Norms of the pieces between a text's spaces, kept from turn to turn: most are the same few thousand words.

    None for a piece whose norms may depend on its neighbours.
    """

    def __missing__(self, piece: str) -> tuple[str, ...] | None:
        if len(piece) > 40 or not _PLAIN_PIECE.fullmatch(piece):
            return None
        if len(self) == 50_000:
            self.clear()
        norms = self[piece] = _norms(piece)
        return norms

    def of(self, text: str) -> Sequence[str]:
        """Return the norms of a whole text."""
        pieces = text.split()
        norms = [self[piece] for piece in pieces]
        if None in norms or " ".join(pieces) != text:
            return _norms(text)
        return list(itertools.chain.from_iterable(norms))  # type: ignore[arg-type]


def _written_out(slots: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the slots with those that their values hold put in; each once, however often it is referred to."""
    refers = {name: sorted(set(_SLOT.findall(" ".join(values)))) for name, values in slots.items()}
    written: dict[str, tuple[str, ...]] = {}
    try:
        for name in TopologicalSorter(refers).static_order():
            phrases: list[str] = []
            for value in slots.get(name, ()):
                try:
                    choices = itertools.product(*_expand(value, written)) if "<" in value else [(value,)]
                    phrases += (" ".join(filter(None, words)) for words in itertools.islice(choices, PHRASES + 1))
                    _check_phrases(phrases)
                except ValueError as error:
                    raise ValueError(f"slot <{name}>: {error}") from None
            if phrases:
                written[name] = tuple(phrases)
    except CycleError as error:
        raise ValueError(f"slot <{error.args[1][0]}> stands in itself") from None
    return written


def _check_phrases(phrases: Collection[str]) -> None:
    if len(phrases) > PHRASES:
        raise ValueError(f"more than {PHRASES} phrases, with all slots written out")
    if not all(map(str.strip, phrases)):
        raise ValueError("a phrase without a word, with all slots written out")
    if any(phrase.count(" ") >= WORDS and len(phrase.split()) > WORDS for phrase in phrases):
        raise ValueError(f"a phrase of more than {WORDS} words, with all slots written out")


def _expand(pattern: str, slots: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the pattern's elements, each as its alternatives (phrases); '' stands for nothing.

    ``slots`` are written out already.
    """
    elements: list[tuple[str, ...]] = []
    pieces = pattern.split()
    for piece, following in zip(pieces, [*pieces[1:], "..."]):
        if _GAP.match(piece):
            elements.append((piece,))
            continue
        optional = piece.endswith("?")
        alternatives: list[str] = []
        for part in piece.removesuffix("?").split("|"):
            if not part or ("?" in part and part != "?"):
                raise ValueError(f"{piece}: one '?' at the end makes the whole element optional")
            if not (part.startswith("<") and part.endswith(">")):
                alternatives.append(part.replace("_", " "))
            elif part[1:-1] not in slots:
                raise ValueError(f"no slot {part}")
            else:
                alternatives += slots[part[1:-1]]
        _check_phrases(alternatives)
        # "I asked you question", "I not see point": no article
        if elements and not following.startswith("...") and {"a", "the"}.intersection(alternatives):
            optional |= _DETERMINERS.issuperset(alternatives)
        elements.append((*alternatives, "") if optional else tuple(alternatives))
    if sum(map(len, elements)) > PHRASES:
        raise ValueError(f"more than {PHRASES} phrases, with all slots written out")
    return elements


@dataclass(frozen=True)
class _Pattern:
    """A rule's pattern; ``number`` is the rule's."""

    number: int
    elements: tuple[tuple[str, ...], ...]

    @cached_property
    def _made(self) -> dict[str, re.Pattern[str]]:
        return {}

    def regex(self, form: str) -> re.Pattern[str]:
        """Return a regular expression over a turn's `_line`, for talk of a form of `_FORMS`; made when first needed."""
        if form not in self._made:
            source = self._source(_FORMS[form])
            same = [made for made in self._made.values() if made.pattern == source]
            self._made[form] = same[0] if same else re.compile(source)
        return self._made[form]

    def _source(self, otherwise: Mapping[str, str]) -> str:
        regex = ""
        for place, element in enumerate(self.elements):
            gap = _GAP.match(element[0])
            if gap:
                regex += rf"(?:\s(?!(?:[.?!]|not|never|nobody|hardly)\s)\S+){{0,{gap[1]}}}?"
                continue
            any_of = _any_of(map(_phrase, filter(None, element)), self._goes_on(place), otherwise)
            regex += (_BETWEEN if regex else "") + (f"(?:{any_of})?" if "" in element else any_of)
        return rf"{regex}(?=\s)"

    @property
    def anchors(self) -> list[frozenset[str]]:
        """Words for each element that must be there: every match holds one of each, in this order."""
        needed = [i for i, e in enumerate(self.elements) if "" not in e and not _GAP.match(e[0])]
        return [words for i in needed if (words := _anchor(self.elements[i], self._goes_on(i)))]

    def _goes_on(self, place: int) -> bool:
        """Tell whether a match may go on, after an element, with a word before which another may be left out."""
        for element in self.elements[place + 1 :]:
            if _GAP.match(element[0]):
                return False
            if _begins_after_else(element):
                return True
            if "" not in element:
                return False
        return False

    @property
    def ways(self) -> int:
        """In how many ways, at most, the elements can be laid over one stretch of text."""
        ways = 1
        for place, element in enumerate(self.elements):
            if gap := _GAP.match(element[0]):
                ways *= 2 * (int(gap[1]) + 1)  # its last word may be a filler, and need not be
            else:
                ways *= _ways(element, self._goes_on(place))
        return ways

    @property
    def crosses(self) -> bool:
        """Whether a match may go on after the end of a sentence."""
        return any(_ENDS.intersection(_phrase(p)) for e in self.elements if not _GAP.match(e[0]) for p in e)


@lru_cache(maxsize=1 << 14)
def _phrase(phrase: str) -> tuple[str, ...]:
    return _norms(phrase)


# The same elements stand in hundreds of patterns, so what is asked of one is kept: half of the time in which rules load.


@lru_cache(maxsize=1 << 13)
def _begins_after_else(element: tuple[str, ...]) -> bool:
    return any(_BEFORE_ELSE.fullmatch(_phrase(phrase)[0]) for phrase in element if phrase)


@lru_cache(maxsize=1 << 13)
def _ways(element: tuple[str, ...], goes_on: bool) -> int:
    """Return in how many lengths an element can be said, twice that where a phrase begins with a filler."""
    phrases = [_phrase(phrase) if phrase else () for phrase in element]
    unsaid = [sum(form is not None for form in _else(phrase, goes_on, _ELSE)) for phrase in phrases if phrase]
    lengths = {len(phrase) - n for phrase, most in zip(phrases, [*unsaid, 0]) for n in range(most + 1)}
    return len(lengths) * (1 + any(_FILLERS.intersection(p[:1]) for p in phrases))


def _any_of(phrases: Iterable[tuple[str, ...]], goes_on: bool, otherwise: Mapping[str, str]) -> str:
    """Return what matches any of the phrases, the longest that can be: "any of this" is not read as "any".

    Phrases that begin alike share their beginning: compiling takes as long as the expression is.
    """
    tree: dict[str, Any] = {}
    for phrase in phrases:
        place = tree
        for norm, form in zip(phrase, _else(phrase, goes_on, otherwise)):
            place = place.setdefault(_word(norm, form), {})
        place[""] = {}  # a phrase ends here
    return _branches(tree)


def _branches(tree: Mapping[str, Any], before: str = "") -> str:
    on = [word + (_branches(rest, _BETWEEN) if set(rest) != {""} else "") for word, rest in tree.items() if word]
    any_of = before + (f"(?:{'|'.join(sorted(on, key=lambda form: (-len(form), form)))})" if len(on) > 1 else on[0])
    return f"(?:{any_of})?" if "" in tree else any_of


def _else(phrase: tuple[str, ...], goes_on: bool, otherwise: Mapping[str, str]) -> list[str | None]:
    """Return for each word of a phrase how else it may be said, as what follows allows; "" is to leave it out.

    ``goes_on`` tells whether a match may go on with a word that allows it for the phrase's last.
    """
    pairs = itertools.pairwise(phrase)
    forms = [otherwise.get(norm) if _BEFORE_ELSE.fullmatch(after) else None for norm, after in pairs]
    forms = [_ARTICLES.get(norm, form) for norm, form in zip(phrase, forms)]
    forms.append(otherwise.get(phrase[-1]) if goes_on else None)
    # "I not want talk"
    return [
        form if norm != "to" or before not in _WANTS else "" for before, norm, form in zip(("", *phrase), phrase, forms)
    ]


def _word(norm: str, form: str | None) -> str:
    same = _SAME.get(norm, (norm,))
    word = " " + (re.escape(norm) if len(same) == 1 else f"(?:{'|'.join(map(re.escape, same))})")
    if norm in _FILLERS:
        word = f"(?:{'|'.join((_FILLER if one in _FILLERS else ' ') + re.escape(one) for one in same)})"
    return word if form is None else f"(?:{word}|{form})"


def _standard(norms: Sequence[str]) -> Sequence[str]:
    """Return norms as patterns say them, one for one: "it no dey help" as "it do not help", "they be judging" as "are"."""
    if _DIFFERS.isdisjoint(norms):
        return norms
    said = [_PUT.get(norm, norm) for norm in norms]
    padded = [".", ".", *norms, "."]
    for place, (first, before, norm, after) in enumerate(zip(padded, padded[1:], norms, padded[3:])):
        subject = before in _WHO or before in ("one", "thing", "e", ".")
        if norm == "no" and after in _NO and (subject or after in ("dey", "fit", "sabi")):
            said[place : place + 2] = _NO[after]
        elif norm == "no" and after in (_ORDERS if before in (".", "please", "abeg") else _VERBS if subject else ()):
            said[place] = "not"
        elif norm == "be" and before in _HABIT and first not in _MODALS:
            said[place] = _HABIT[before]
        elif norm == "be" and (first, before) == ("do", "not") and place > 2 and norms[place - 3] in _WHO:
            said[place - 2 : place + 1] = "ai", "not", "er"  # "I don't be doing it"; an order has no subject
        elif norm == "them" and len(after) > 4 and after.endswith("s"):
            said[place] = "these"  # "them worksheets"
        elif norm == "never" and before == "not":
            said[place] = "er"
        elif norm == "dey" and said[place] == "dey" and after in ("fine", "okay", "ok", "alright", "good", "well"):
            said[place] = _HABIT.get(before, "dey")
        elif norm == "am" and before in _VERBS and after in ("o", *_ENDS, ","):
            said[place] = "it"
        if before == "e" and (norm in ("no", "dey") and after in (*_NO, *_VERBS)):
            said[place - 1] = "it"
    return said


def _line(norms: Iterable[str]) -> str:
    """Return a turn's norms, each with a space before it, or the separator of fillers."""
    return "".join([(_FILLER if norm in _FILLERS else " ") + norm for norm in norms]) + " "


_OF_NORMS = frozenset(_SAID_OF.split("|"))
_SPOKEN_OF = frozenset((*_WHO, "place", "room", "fee"))
_CLAUSES = frozenset(
    (*".?!,", "and", "but", "because", "so", "no", "yeah", "well", "ah", "oh", "if", "think", "says", "said", "the")
)


def _form(norms: Sequence[str], line: str) -> str:
    """Tell what a turn may leave out: "Isn't helping", "you not listening", "this no use", "he just talking"."""
    if _OPENING.search("." + line):
        return "without subjects"
    padded = [".", ".", *norms]
    for first, before, norm in zip(padded, padded[1:], norms):
        said = first if before in _SOON else before
        if norm in ("not", "no"):
            missing = said not in _BEFORE_NOT
        elif norm in _OF_NORMS:
            missing = said in _SPOKEN_OF and first in _CLAUSES
        elif norm == "too" or (norm.endswith("ing") and not norm.endswith("thing")):
            missing = said in _SPOKEN_OF or (norm in _PROGRESSIVES and "not" in (first, before))
        else:
            continue
        if missing:
            return "without auxiliaries"
    return "plain"


@lru_cache(maxsize=1 << 13)
def _anchor(element: tuple[str, ...], goes_on: bool) -> frozenset[str]:
    # of each alternative its rarest word; none where all of one may be left out
    out: set[str] = set()
    for phrase in map(_phrase, element):
        said = [norm for norm, form in zip(phrase, _else(phrase, goes_on, _ELSE)) if form is None]
        if not said:
            return frozenset()
        word = max(said, key=lambda w: (w not in _PLAIN and w.isalnum(), len(w)))
        out.update(_SAME.get(word, (word,)))
    return frozenset(out)


class _Anchors:
    """Which patterns a turn can match: those whose anchors stand in one of its sentences, in order.

    One bit for each element of each pattern; all patterns move on at once with a few operations for each word
    (Shift-And: Baeza-Yates & Gonnet 1992, doi:10.1145/135239.135243).
    """

    def __init__(self) -> None:
        self._elements: dict[str, int] = {}
        self._first = self._last = self._crossing = self._size = 0
        self._patterns: dict[int, _Pattern] = {}

    def add(self, pattern: _Pattern) -> None:
        anchors = pattern.anchors
        if not anchors:
            raise ValueError("pattern has no element that is always there")
        self._first |= 1 << self._size
        for words in anchors:
            bit = 1 << self._size
            for word in words:
                self._elements[word] = self._elements.get(word, 0) | bit
            if pattern.crosses:
                self._crossing |= bit
            self._size += 1
        self._last |= bit
        self._patterns[self._size] = pattern

    def find(self, norms: Iterable[str]) -> list[_Pattern]:
        """Return the patterns in the order in which they were added."""
        elements, first = self._elements, self._first
        state = ended = 0
        for norm in norms:
            if bits := elements.get(norm):
                state |= (state << 1 | first) & bits
            if norm in _ENDS:
                ended |= state
                state &= self._crossing
        found = (ended | state) & self._last
        patterns = []
        while found:
            bit = found & -found
            patterns.append(self._patterns[bit.bit_length()])
            found ^= bit
        return patterns


# --- scope --------------------------------------------------------------------------------------------

_THEY = (
    r"(?:he|she|they|your \w+|people|everyone|everybody|someone|somebody|my \w+(?: \w+)?|his \w+|her \w+|their \w+|the (?:judge"
    r"|court|doctor|teacher|school|nurse|guy|kids?|boys?|girls?|lads?|other \w+)|mum|mom|dad|friends?)"
)
_NOT = (
    r"(?:not|never|hardly|nobody|no one|cannot|cant"
    r"|(?:do|does|did|would|could|should|ca|wo|was|were|is|are|ai|have|has|had)n'?t)"
)
_EVEN = r"(?:(?:really|just|even|to|ever|actually|honestly|necessarily|exactly) )*"
_NEGATED = re.compile(
    rf"\b{_NOT} (?:be |been )?{_EVEN}(?:say(?:ing)?|said|mean(?:ing)?|meant|claim(?:ing)?|suggest(?:ing)?|imply(?:ing)?"
    r"|complain(?:ing)?)\b[^.?!;]{0,40}$"
    rf"|\b{_NOT} {_EVEN}(?:think(?:ing)?(?! so)|thought|(?:feel(?:ing)?|felt|seem) like|believe(?! it)"
    r"|(?:feel|felt)(?: that)?(?= (?:i|you|it|this|that|we)\b|\s*$))\b[^.?!;,]{0,20}$"
    r"|\b(?:not|isn'?t|ain'?t|wasn'?t) (?:that|because|like|as (?:if|though))\b[^.?!;]{0,40}$"
    r"|\b(?:far from|no longer|don'?t get me wrong|no (?:talk|mean|think))\b[^.?!;]{0,30}$"
)
_CONDITIONAL = re.compile(
    r"\b(?:if(?! (?:i may|i might|you ask me|you(?: do not|'ll| will)? (?:mind|forgive|pardon|excuse)|i(?:'m| am) (?:to be )?(?:honest"
    r"|frank|candid))\b)|unless|whether|in case|(?<!i )suppose|supposing|imagine|whenever|should i|had i|until|till)\b[^.?!;]{0,50}$"
)
_REPORTED = re.compile(
    rf"\b{_THEY}(?:'?(?:s|d|ll|ve|re))? (?:also |always |constantly |just |keeps? |kept |would |will |might |could |all "
    r"|once |is |are |was |were |be |been |has |had |done |did |\w+ly )*(?:says?|said|saying|tells?|told|telling|thinks?|thought"
    r"|reckons?|feels?|felt|(?:goes|went)(?=(?:,? (?:like|oh|well|no|yeah|so|right))*,?\s*[\"“]?\s*$)|was like|is like|were like|'s like"
    r"|asks?|asked|claims?|claimed|believes?|texted|messaged|wrote|writes|complains?|complained|insists?|insisted|yells?|yelled|shouts?|shouted)\b[^.?!;]{0,60}$"
    rf"|\b(?:i|i've|i'd) (?:always |just |once |keep )?(?:said|told|say|tell|telling|went|was like|go|yelled|shouted|screamed)"
    rf"(?: to)? (?:him|her|them|{_THEY})\b[^.?!;]{{0,60}}$"
    r"|\b(?:and|so|then) i (?:said|was like)\b,?[^.?!;]{0,40}$"
    r"|\bi(?:'?m| was| am) like\b,?[^.?!;]{0,40}$|\bi(?:'?d| would) (?:say|tell|go)\b[^.?!;]{0,40}$"
    r"|(?<!can )(?<!may )(?<!what )\bi (?:just |always |usually )?(?:say|tell myself|say to myself),?\s*$"
    r"|\b(?:quote|it says|they say|the song|the book|the article|i (?:read|heard) (?:that|somewhere))\b[^.?!;]{0,50}$"
)
_PAST = re.compile(
    r"\b(?:(?<!not )(?<!n't )(?<!'m )(?<! be )(?<!get )(?<!got )(?<!getting )used to|at first|at the (?:start|beginning)|in the beginning|back then|(?<!since )last"
    r" (?:year|time round|month)|before i (?:came|started|met|was)|for a while there|initially|originally|there was a time|when i"
    r" (?:started|first|was(?! (?:tell|talk|say|explain|try)ing))|early on|in the past|previously)\b[^.?!;]{0,60}$"
)
_PAST_AFTER = re.compile(
    r"^[^.?!;]{0,40}\b(?:at first|in the beginning|back then|years ago|before,? but now|but now|initially|anymore,? now|until (?:you|we|i)"
    r"|when i (?:started|first))\b"
)
_OTHER = re.compile(
    r"\b(?:boss|manager|supervisor|wife|husband|partner|girlfriend|boyfriend|mother|father|mum|mom|dad|sister"
    r"|brother|son|daughter|kids?|teacher|lawyer|attorney|landlord|neighbou?r|(?:old|former|last|previous|first|other|another|ex)"
    r"[- ](?:therapist|counsell?or|doctor|psychiatrist|psychologist|worker|gp|nurse|dentist|one|place|guy)|patch(?:es)?|gum"
    r"|pills?|tablets?|medications?|meds|medicines?|painkillers?|ibuprofen|paracetamol|tylenol|steroids?|drugs?|antidepressants?|prozac|zoloft|sertraline|inhaler|insulin|app|apps|aa"
    r"|meetings|group|diet|gym|vape|vaping|e-?cig\w*|methadone|cream|ointment|drink(?:ing)?|alcohol|weed|smoking|school"
    r"|job|work there|phone|laptop|machine|physio|website|program(?:me)? they|insurance)\b"
)
_IT = re.compile(r"its?\b")
# "How's the boiler?" – "It's not working."; "Are you working?" – "Not working."
_THIRD = re.compile(
    r"\b(?:how(?:'?s| is| are| was| were)|(?:is|are|was|were|does|do|did)) (?:the|your|his|her|their|that) (?:(?:new|old) )?(?!(?:sessions?"
    r"|therapy|therapists?|counsell?\w+|talks?|talking|work|homework|worksheets?|diary|journal|log|exercises?|breathing|practice|role|chair"
    r"|sheets?|forms?|questionnaires?|records?|treatment|plan|process|pace|method|approach|visits?|appointments?|weeks?|days?|weekend"
    r"|morning|time|last|first|past|things?|way|group|mindfulness|relaxation|meditation|thoughts?|feelings?)\b)\w+[^.?!]{0,30}\?\s*$"
    r"|\b(?:are|were) you (?:still |currently )?working\b[^.?!]{0,30}\?\s*$"
)
_BARE = re.compile(r"(?:its?|that|not|isn'?t|ain'?t|does ?n[o']?t|do ?n[o']?t|did ?n[o']?t)\b")
_QUESTION = re.compile(r"^[^.?!]*\?")
_TAG = re.compile(
    r"(?:,|\b)\s*(?:is|isn't|are|aren't|do|don't|does|doesn't|am|can|could|have|has|will|would|did|right|okay|ok|eh|huh|you know|see|innit|ain't|aint|abi|no|nah|yes|yeah)"
    r"(?: not)?(?: (?:it|you|i|we|they|this|that))?\s*\?"
)
_OPEN = re.compile(
    r"\b(?:what|how|why|tell me|say more|in what way|describe|walk me through|talk me through|help me understand"
    r"|wonder(?:ing)?|curious)\b",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    r"\bhow (?:old|many|much|long|often|far|tall)\b|\bwhat (?:time|day|date|year|age|kind of|type of|is your|'s your)\b",
    re.IGNORECASE,
)
# a run of openers has one way to be matched: with space on both sides of each it had two to the power of their number
_ASKS = re.compile(
    r"\?\s*$|^(?:\W*(?:(?:so|and|well|okay|ok|um|uh|alright|right|now)\b\W*)+)?(?:what|how|why|who|where|when|which|do|does|did|are"
    r"|is|have|has|can|could|would|will|tell me)\b"
    r"|^(?:\W*(?:(?:so|and|well|okay|ok|um|uh|but)\b\W*)+)?i(?:'m| am)? (?:just )?(?:wonder(?:ing)?|curious|interested)"
    r"(?: about| to (?:hear|know))? (?:what|how)\b",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"\b(?:you (?:need|have|ought|got|'ve got) to|you should|you must|you(?:'d| had) better|i (?:want|need) you"
    r"|i(?:'d| would) like(?: you)?|i(?:'d| would)? (?:suggest|recommend|advise)|why don't you|how about|what about"
    r"|(?<!what )(?<!how )(?<!else )have you (?:tried|thought)|(?<!think )(?<!what )you could|(?<!what )you can|try (?:to|and)|let's|i'm going to|make sure|you're going to"
    r"|gonna have to|it's (?:important|best)(?! (?:to|for) you)"
    r"|(?<!what )(?<!how )(?<!where )(?<!who )would you (?:be willing|consider|like to (?:try|do|go|see|meet|join)))\b",
    re.IGNORECASE,
)
_REFLECTION = re.compile(
    r"^(?:\W*(?:(?:so|and|well|okay|ok|um|uh|yeah|right|mm-?hmm?)\b\W*)+)?(?:you(?:'re| are|'ve| feel| felt| want| were| have| don't| just)?"
    r"|it sounds|sounds like|it seems|seems like|it looks|looks like|it(?:'s| is) (?:hard|tough|frustrating|important)|(?:a |one )?(?:part|side) of you|your (?:eyes?|voice|face|hands?|shoulders|breath\w*|jaw|fists?|legs?)|(?:perhaps|maybe) (?:\w+ ){0,3}you|that (?:must|sounds?|seems?)|(?:perhaps|maybe) (?:that|there(?:'s| is)|it|this|part)"
    r"|i(?:'m| am)? (?:wonder(?:ing)?|guess(?:ing)?|imagine|sense|hear)(?: (?:if|whether|that))? (?:\w+ ){0,2}(?:you|your|this|that|part)"
    r"|what i(?:'m| am) hearing"
    r"|i(?:'m| am) hearing)\b",
    re.IGNORECASE,
)


# "What would you say to him?": the answer is said to somebody who is not there
_ASKED_FOR = re.compile(
    r"\bwhat (?:would|do|did|could|might) you (?:like to |want to )?(?:say|tell)\b.{0,40}\b(?:him|her|them|he|she|they|your|yourself)\b"
    r"|\bsay (?:that |it |this )?to (?:him|her|them|your)\b|\bimagine (?:he|she|they|your)\b"
)
_YOU = re.compile(r"\byou")
# "It's not a waste of time"
_DENIED = re.compile(
    r"\b(?:not|never|hardly|(?:is|are|was|were)n'?t)(?: (?:really|just|exactly|such|always|actually))? $"
)
_POINT = re.compile(r"(?<=\d)\.(?=\d)")
_NOUN = re.compile(r"(?:an?|the|my|your|such|so)\b")
# "scared of this not working"
_BEFORE_GERUND = re.compile(r"\b(?:of|about|with|for|by|from|without|than|hate|do|did|doing|want|worry|afraid)\s+$")
_GERUND = re.compile(r"(?:it|this|that|therapy|talking|you|we|coming here) not\b")
_OURS = re.compile(r"(?:this|therapy|counsell?ing|these|our|coming here)\b")


def kinds_of(text: str) -> set[str]:
    """Return what a therapist's turn does, from its surface: any of `AFTER`.

    Examples
    --------
    >>> sorted(kinds_of("How did that feel for you?"))
    ['open_question', 'question']
    >>> sorted(kinds_of("You need to cut down."))
    ['advice']
    """
    tail = text[-600:]
    last = re.split(r"(?<=[.?!])\s+", tail.strip())[-1] if tail.strip() else ""
    found = set()
    if _ASKS.search(last) or _ASKS.search(tail):
        found.add("question")
        if _OPEN.search(last) and not _CLOSED.search(last):
            found.add("open_question")
    if _ADVICE.search(tail):
        found.add("advice")
    elif _REFLECTION.search(text[:200]) and not last.endswith("?"):
        found.add("reflection")
    return found


def _silenced(text: str, start: int, end: int, before: Turn | None, family: Family) -> Iterator[str]:
    """Yield the gates that stand in the way of a match on ``text[start:end]`` (lower case)."""
    stop = max(text.rfind(mark, 0, start) for mark in ".?!;") + 1
    left = text[max(stop, start - 120) : start]
    right = text[end : end + 120]
    inside = text[start:end]
    # "don't get me wrong, but" and the like end the scope of what came before
    left = re.split(r"\b(?:but|though|although|however|so now|and now|now)\b", left)[-1]
    if _NEGATED.search(left) or (_NOUN.match(inside) and _DENIED.search(left)):
        yield "negated"
    if _CONDITIONAL.search(left) or (_GERUND.match(inside) and _BEFORE_GERUND.search(left)):
        yield "conditional"
    said_to = before.text[-160:].lower() if before is not None and before.role == "therapist" else ""
    asked_for = _YOU.search(inside) and _ASKED_FOR.search(said_to)
    if asked_for or _REPORTED.search(left) or left.rstrip().endswith(('"', "“")):
        yield "reported"
    if _PAST.search(left) or _PAST_AFTER.search(right):
        yield "past"
    clause = re.split(r"[.?!;]|\b(?:but|because|and|so)\b", right)[0]
    named: object = _OTHER.search(left[-50:]) or _OTHER.search(inside)
    # "this isn't helping with my drinking" is about this
    named = named or (not _OURS.match(inside) and _OTHER.search(clause[:40]))
    # a bare "it" is what was spoken of last: by the other, or in the sentence before
    if not named and _IT.match(inside):
        named = _OTHER.search(text[max(0, start - 120) : start]) or (
            before and _OTHER.search(before.text[-160:].lower())
        )
    # what the therapist has just asked about is what it, that or nothing at all stands for; withdrawal is from that too
    if not named and family == "confrontation" and not text[:start].strip(" ,.") and _BARE.match(inside):
        named = _THIRD.search(said_to.replace("’", "'"))
    if named:
        yield "other"
    if (_QUESTION.match(right) and not _TAG.search(right[: right.index("?") + 1][-24:])) or inside.endswith("?"):
        yield "question"


# --- detector -----------------------------------------------------------------------------------------


class RuleDetector:
    """Finds rule markers in a transcript.

    Parameters
    ----------
    folder : path-like, optional
        Rules of one's own; else those of the package.

    Raises
    ------
    ValueError
        If a rule is wrong; the message names it.

    Examples
    --------
    >>> turns = (Turn(0, "T", "therapist", "How has the week been?"), Turn(1, "C", "client", "This isn't helping."))
    >>> [(m.turn, m.marker, m.rule_id[:2]) for m in RuleDetector()(Transcript("s", turns))]
    [(1, 'complaint_progress', 'C5')]
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        book = load_codebook()
        self.rules, slots, self.sha256 = _load(folder, book)
        self._families: list[Family] = [book[rule.marker].parent for rule in self.rules]
        self._anchors = {"client": _Anchors(), "therapist": _Anchors()}
        self._pieces = _Pieces()
        for number, rule in enumerate(self.rules):
            for pattern in rule.patterns:
                try:
                    written = _Pattern(number, tuple(_expand(pattern, slots)))
                    if written.ways > WAYS:
                        raise ValueError(f"it fits a text in more than {WAYS} ways; leave out gaps or optional words")
                    self._anchors[book[rule.marker].speaker].add(written)
                except ValueError as error:
                    raise ValueError(f"rule {rule.id}: {pattern[:200]!r}: {error}") from None

    def __call__(self, transcript: Transcript, ruptures: Collection[int] = ()) -> tuple[Marker, ...]:
        """Return the markers of one transcript, sorted.

        Parameters
        ----------
        transcript : Transcript
        ruptures : collection of int
            Client turns already known to hold a rupture; strategies that answer a rupture count there too.
        """
        found = answering(self.scan(transcript), ruptures)
        return tuple(m for m in found if (m.score or 0) > 0)

    def scan(self, transcript: Transcript) -> tuple[Marker, ...]:
        """Return all that the rules find, sorted: input for `answering`.

        Strategies are there whether or not they answer a rupture. A negative score is what a sure rule found
        denied, reported or the like: "I'm not saying this isn't helping" is no marker; it is evidence against
        one, which a model that knows the words but misses the scope needs.
        """
        found: list[Marker] = []
        for turn in transcript:
            if turn.role in ("client", "therapist"):
                before = transcript[turn.index - 1] if turn.index else None
                found += self._of_turn(turn, before)
        return tuple(sorted(found, key=lambda m: (m.turn, m.start, m.end, m.marker, m.rule_id or "")))

    def _of_turn(self, turn: Turn, before: Turn | None) -> Iterator[Marker]:
        norms = _standard(self._pieces.of(turn.text))
        patterns = self._anchors[turn.role].find(norms)
        if not patterns:
            return
        line = _line(norms)
        form = _form(norms, line)
        long = len(_POLITE.sub("", turn.text.lower().replace("’", "'")).split()) > BURIED
        doc: Doc | None = None
        kinds: set[str] | None = None
        for number, tried in itertools.groupby(patterns, key=lambda pattern: pattern.number):
            rule, family = self.rules[number], self._families[number]
            if long and family == "confrontation" and "buried" not in rule.allow:
                continue
            if rule.after:
                if kinds is None:
                    kinds = kinds_of(before.text) if before is not None and before.role != turn.role else set()
                if kinds.isdisjoint(rule.after):
                    continue
            spans = {(m.start(), -m.end()) for pattern in tried for m in pattern.regex(form).finditer(line)}
            if not spans:
                continue
            if doc is None:
                doc = _blank().tokenizer(turn.text)
                starts = list(itertools.accumulate((len(norm) + 1 for norm in norms), initial=0))
                # the same length as the text: apostrophes made straight, case folded where that keeps the length
                low = turn.text.replace("’", "'")
                low = low.lower() if len(low.lower()) == len(low) else low
                # a point within a time or a date ends no sentence
                low = _POINT.sub(",", low)
            # in order, the longest of each start first
            for begin, stop in sorted(spans):
                first, last = bisect_left(starts, begin), bisect_left(starts, -stop)
                start, end = _bounds(doc, first, last)
                if rule.alone and not _alone(doc, low, first, last):
                    continue
                silenced = {gate for gate in _silenced(low, start, end, before, family) if gate not in rule.allow}
                if silenced and not (rule.weight >= SURE and silenced.intersection(DENIES)):
                    continue
                weight = -rule.weight if silenced else rule.weight
                yield Marker(turn.index, start, end, family, rule.marker, weight, None, "rule", rule.id)
                if not silenced:
                    break


def answering(found: Collection[Marker], ruptures: Collection[int] = ()) -> tuple[Marker, ...]:
    """Leave out the strategies that answer a rupture where no rupture is near before them.

    Parameters
    ----------
    found : collection of Marker
        As `RuleDetector.scan` gives them; the ruptures among them count.
    ruptures : collection of int
        Client turns known to hold a rupture besides.
    """
    marked = {m.turn for m in found if m.family in ("confrontation", "withdrawal") and (m.score or 0) > 0}
    marked |= set(ruptures)
    return tuple(
        m for m in found if m.marker not in NEEDS_RUPTURE or any(t in marked for t in range(m.turn - RECENT, m.turn))
    )


_FILL = {
    "um", "uh", "er", "erm", "well", "yeah", "yes", "oh", "so", "like", "hmm", "hm", "mm", "ah", "and", "but", "no", "just",
    "really", "okay", "ok", "right", "then", "though", "honestly", "i", "mean", "you", "know", "to", "be", "honest", "sure",
    "man", "sir", "madam", "please", "abeg", "sha", "jare", "abi", "o", "o.", "now", "only", "look", "frankly", "innit",
    "sef", "dey", "na", "nau", "ya", "itself", "ye", "altogether",
}  # fmt: skip
_POLITE = re.compile(
    r"\bi(?:'m| am) (?:afraid|sorry)\b|\bwith (?:all )?(?:due )?respect\b|\bif i may(?: say so)?\b|\b(?:forgive|pardon|excuse) me\b"
    r"|\bi must (?:say|admit|confess)\b|\bto be (?:\w+ )?(?:honest|frank|candid|fair)(?: with you)?\b|\bin my (?:view|opinion)\b|\btruth be told\b"
    r"|\bi assure you\b|\b(?:at|and) all\b"
    # "so it isn't", "so I am"
    r"|\bso (?:i|it|he|she|we|you|they|that|there)(?:'(?:m|s|re|ve|d|ll)| (?:am|is|are|was|do|does|did|have|has|will|would|can)(?:n't)?"
    r"|(?: (?:is|are|was|do|does|did|have|has|would|ca|wo)n't))(?: not)?(?=\W*$)"
)


def _alone(doc: Doc, text: str, first: int, last: int) -> bool:
    """Tell whether nothing but fillers and politeness stands around a match; ``text`` is the turn's in lower case."""
    bracket = 0
    polite = [range(*wrapping.span()) for wrapping in _POLITE.finditer(text)]
    for token in doc:
        if token.text in "[(":
            bracket += 1
        elif token.text in "])":
            bracket = max(bracket - 1, 0)
        elif first <= token.i < last or bracket or not any(c.isalnum() for c in token.text):
            continue
        elif token.norm_ not in _FILL and not any(token.idx in wrapping for wrapping in polite):
            return False
    return True


def _bounds(doc: Doc, first: int, last: int) -> tuple[int, int]:
    # loose patterns may begin or end on a comma
    while first < last - 1 and not any(c.isalnum() or c in "[(" for c in doc[first].text):
        first += 1
    while last - 1 > first and not any(c.isalnum() or c in "])" for c in doc[last - 1].text):
        last -= 1
    return doc[first].idx, doc[last - 1].idx + len(doc[last - 1].text)


@lru_cache(maxsize=1)
def shipped() -> RuleDetector:
    """Return the detector of the package's rules; it is built once."""
    return RuleDetector()
