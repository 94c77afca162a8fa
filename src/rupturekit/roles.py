"""Who is the therapist and who the client: from labels, from a given map, or from the talk itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from .transcript import ROLES, Role

CONFIDENCE = 0.85
"""Below this confidence, roles inferred from the talk are refused."""
MAIN_SHARE = 0.8
"""Two speakers with more than this share of the words are the two of the session."""
_CONTRADICTION = 0.97
_WORST_LABELLED = 0.5
_LEAST_TOLD = 0.5
_LABEL_THEM = (
    "Label the speakers in the file, in text by `LABEL: words` at the beginning of a line; for a table or JSON say "
    'which column has them (--columns "speaker=NAME")'
)

RoleSource = Literal["labels", "given", "inferred"]


class RoleError(ValueError):
    """A session is refused because it cannot be told who is therapist and who is client.

    The message names no speaker by name and quotes no word of the talk.
    """


@dataclass(frozen=True, slots=True)
class Roles:
    """The role of each speaker (by `speaker_key`), where it comes from, and how sure that is."""

    of: Mapping[str, Role]
    source: RoleSource
    confidence: float


# --- labels ---------------------------------------------------------------------------------------


def _table(therapist: str, client: str, other: str) -> dict[str, Role]:
    by_role: tuple[tuple[Role, str], ...] = (("therapist", therapist), ("client", client), ("other", other))
    return {word: role for role, words in by_role for word in words.split()}


# One letter or a customary short form: these must be the whole label.
_SHORT = _table("t th ther thr i int inv iv dr gp md rn pr", "c cl cli ct p pt par cust", "obs unk")
# Longer words count anywhere in a label ("Dr. Lee", "Therapist (Ana)").
_WORDS = _table(
    "therapist cotherapist psychotherapist psychologist psychiatrist psychoanalyst analyst counselor "
    "counsellor clinician doctor dr physician practitioner interviewer investigator provider coach "
    "nurse pharmacist dentist hygienist dietitian dietician physiotherapist midwife caseworker "
    "facilitator prof professor",
    "client patient interviewee participant respondent customer caller analysand coachee counselee counsellee",
    "observer interpreter translator supervisor trainee receptionist narrator mother mum mom father "
    "dad parent husband wife spouse partner son daughter child sister brother girlfriend boyfriend "
    "friend relative carer guardian unknown unidentified",
)
_PAIRS: Mapping[str, Role] = {
    "social worker": "therapist",
    "probation officer": "therapist",
    "case manager": "therapist",
    "care coordinator": "therapist",
}
_UNKNOWN = frozenset(("unk", "unknown", "unidentified"))
# In the room, but nobody's relative: never the client.
_BESIDE = frozenset("observer obs interpreter translator supervisor trainee receptionist narrator".split())
_GENERIC = re.compile(
    r"(?:speaker|spk|spkr|person|voice|male|female|man|woman|s|m|f|a|b)?[ _.#-]*\d{0,4}", re.IGNORECASE
)


# The key of a label has lost a bracket at its edge.
_BRACKETED = re.compile(r"\([^()]*(?:\)|$)|\[[^\[\]]*(?:\]|$)")


def speaker_key(label: str | None) -> str:
    """Return what tells speakers apart: the label without case, edge punctuation and surplus space.

    Examples
    --------
    >>> speaker_key(" CLIENT: "), speaker_key("Client"), speaker_key(None)
    ('client', 'client', '')
    """
    return " ".join((label or "").casefold().split()).strip(" :.*#-–—[]<>")


def role_of_label(label: str) -> Role | None:
    """Return the role that a label spells out, or None.

    Examples
    --------
    >>> [role_of_label(label) for label in ("T", "P2", "Psychologist", "Dr. Lee", "INV", "Client's wife")]
    ['therapist', 'client', 'therapist', 'therapist', 'therapist', 'other']
    >>> [role_of_label(label) for label in ("Speaker 1", "Pat Smith", "Ana")]
    [None, None, None]
    >>> [role_of_label(label) for label in ("C [crying]", "Speaker 1 (client)", "Client (mother)")]
    ['client', 'client', 'other']
    """
    # what stands in brackets counts where it names a role, and is else a remark
    return _role_of_words(label) or _role_of_words(_BRACKETED.sub(" ", label))


def is_unknown(label: str) -> bool:
    """Tell whether a label says that it is not known who speaks.

    Examples
    --------
    >>> [is_unknown(label) for label in ("UNK", "Unknown speaker", "Unidentified 2", "Unkel", "Observer")]
    [True, True, True, False, False]
    """
    return not _UNKNOWN.isdisjoint(_words_of(label))


def _is_beside(label: str) -> bool:
    return not _BESIDE.isdisjoint(_words_of(label))


def _words_of(label: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", speaker_key(label))


def _role_of_words(label: str) -> Role | None:
    words = re.findall(r"[^\W\d_]+", speaker_key(label).replace("'s", "").replace("’s", ""))
    joined = " ".join(words)
    if joined in _SHORT:
        return _SHORT[joined]
    if len(words) == 2 and len(words[1]) == 1 and words[0] in _SHORT:  # "C a"
        return _SHORT[words[0]]
    for pair, role in _PAIRS.items():
        if pair in joined:
            return role
    named = [word for word in words if word in _WORDS]
    # a "trainee therapist" is one
    found = [_WORDS[word] for word in named if word != "trainee" or len(named) == 1]
    # "the patient's mother" is the mother
    return "other" if "other" in found else found[0] if found else None


def _shown(key: str, keys: Sequence[str]) -> str:
    """Name a speaker in a message: the label if it is generic, else its place; never a person's name."""
    place = f"speaker {keys.index(key) + 1} of {len(keys)}"
    return f"{key!r} ({place})" if _is_plain(key) else f"{place} (a name)"


def _is_plain(key: str) -> bool:
    """Tell whether a label names nobody: it is generic, or a role."""
    words = re.findall(r"[^\W\d_]+", key)
    is_role = bool(words) and all(word in _SHORT or word in _WORDS for word in words)
    return is_role or _GENERIC.fullmatch(key) is not None


# --- the talk itself ------------------------------------------------------------------------------

_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")
_QUESTION = re.compile(
    r"\?|\b(?:how|what|when|where|why|who|which)(?:['’]?s| is| are| do| did| does| would| was| were| have"
    r"| has| about| kind| sort| else| can| could| made| makes| brings| brought| might| will)\b"
    r"|\b(?:do|did|are|were|have|can|could|would|will) you\b|\bon a scale\b"
)
_CUES: Mapping[str, re.Pattern[str]] = {
    # says back or guesses at the other's experience
    "reflection": re.compile(
        r"\bso (?:it['’]?s |it |what |that |then |for |)you\b|\bso you(?:['’]re|['’]ve)\b|\bsounds? like\b"
        r"|\bseems? (?:like|as if) you|\byou(?:['’]re| are| were)? (?:feel|feeling|saying|said|mentioned"
        r"|want|wanted|wondering|worried|concerned)\b|\bhear(?:ing)? (?:you|from you|is|that you|a lot)\b"
        r"|\bi (?:can )?(?:hear|sense|imagine|wonder|appreciate|noticed?)\b"
        r"|\b(?:how|what) (?:is|was|does|did|would|will|has) (?:it|that|this) (?:been |be |feel |for |like)"
        r"|\bwhat(?:['’]s| is| was) (?:it|that|this) like\b"
    ),
    # runs the meeting
    "conduct": re.compile(
        r"\b(?:tell me|let['’]?s|let me|thank(?:s| you) for (?:coming|sharing|telling|being)"
        r"|nice to meet you|my name is|(?:would|is) it (?:be )?(?:ok|okay|alright|all right) (?:if|with)"
        r"|(?:i['’]d|i would) like (?:to|you)|brings you|brought you|help you"
        r"|talk(?:ing)? (?:a little |a bit |more )?about|i understand|your (?:doctor|chart|record|form|health)"
        r"|options?|recommend|important|goals?|today|session|appointment|next (?:time|week))\b"
    ),
    # speaks of a life of their own
    "own_life": re.compile(
        r"\bmy (?:wife|husband|mom|mum|mother|dad|father|parents?|kids?|son|daughter|family|friends?"
        r"|boyfriend|girlfriend|partner|sister|brother|job|work|boss|life|doctor|mind|head|house|car"
        r"|weight|back|stomach|own|teachers?)\b|\bi (?:drink|smoke|eat|take|took|work|worked|went|got|get"
        r"|had|used|lost|tried|quit|stopped|live|feel|felt|hate|love|like)\b"
        r"|\bi(?:['’]m| am| was) (?:so|really|just|not|trying|going|always|worried|scared|tired|afraid|sick)\b"
    ),
    # weighs, doubts, has not got there yet
    "own_doubt": re.compile(
        r"\bi (?:don['’]?t|do not|didn['’]?t|can['’]?t|couldn['’]?t|guess|mean|suppose|just|should|need"
        r"|have to|gotta)\b"
    ),
}
_YOU = re.compile(r"you(?:rs?|rself|['’](?:re|ve|d|ll))?")
_I = re.compile(r"(?:i|me|my|mine|myself|i['’](?:m|ve|d|ll)|im|ive)")


# The difference between the speakers times the weight, summed, is the log-odds that the first is the
# therapist. Fitted without intercept on 225 sessions of AnnoMI and HLQC (transcripts and automatic
# captions), 57 of PriMock57 and 82 synthetic ones, each whole and as an excerpt of 16 utterances. With
# each group of sessions left out in turn, 268 of the 282 real sessions reach CONFIDENCE and 265 of these
# are right (the others are automatic captions, some with their speakers swapped in the source), 81 and
# 81 of the synthetic ones; of the real excerpts 260 reach it and 254 are right.
_WEIGHTS: Mapping[str, float] = {
    "reflection": 0.34,
    "conduct": 0.39,
    "own_life": -0.66,
    "own_doubt": -0.37,
    "question": 0.30,
    "asking_turns": 1.08,
    "you_over_i": 0.69,
}


def _features(texts: Iterable[str]) -> dict[str, float]:
    """Measure one speaker's talk; every rate is drawn towards a common value where there is little talk."""
    n_words = n_turns = n_you = n_i = n_asking = 0
    cues = dict.fromkeys((*_CUES, "question"), 0)
    for text in texts:
        low = text.lower()
        words = _WORD.findall(low)
        n_turns += 1
        n_words += len(words)
        n_you += sum(_YOU.fullmatch(word) is not None for word in words)
        n_i += sum(_I.fullmatch(word) is not None for word in words)
        asked = sum(1 for _ in _QUESTION.finditer(low))
        n_asking += asked > 0
        cues["question"] += asked
        for name, pattern in _CUES.items():
            cues[name] += sum(1 for _ in pattern.finditer(low))
    rates = {name: math.log((100 * (n + 0.5)) / (n_words + 50)) for name, n in cues.items()}
    return {
        **rates,
        "asking_turns": (n_asking + 0.6) / (n_turns + 2),
        "you_over_i": math.log((n_you + 2) / (n_i + 2)),
    }


def infer_therapist(first: Iterable[str], second: Iterable[str]) -> float:
    """Return the probability that the first of two speakers is the therapist, from their talk alone.

    A sum of weighted differences: questions, reflections, running the meeting, speaking of the other
    rather than oneself, speaking of one's own life and doubts. How long somebody talks
    is left out: it differs by kind of therapy.

    Parameters
    ----------
    first, second : iterable of str
        The utterances of each, in lower or mixed case, with or without punctuation.

    Examples
    --------
    >>> asks = ["What brings you here today?", "So you're worn out, and you feel alone with it.",
    ...         "How long have you felt like that?", "What would you like to be different?"]
    >>> tells = ["My wife left and I can't sleep.", "I just don't know what to do with my life.",
    ...          "Since I lost my job, I guess.", "I want to get up in the morning and feel okay."]
    >>> infer_therapist(asks, tells) > 0.9 > 0.1 > infer_therapist(tells, asks)
    True
    """
    a, b = _features(first), _features(second)
    score = sum(weight * (a[name] - b[name]) for name, weight in _WEIGHTS.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


# --- the decision ---------------------------------------------------------------------------------


def assign_roles(
    talk: Sequence[tuple[str | None, str]],
    given: Mapping[str, str] | None = None,
    stated: Mapping[str, Role] | None = None,
) -> Roles:
    """Decide the role of every speaker of a session.

    Labels decide if they name a role; of two main speakers, one known role tells the other. What the head of
    the file states goes before labels, and a given map before both. Where none tells, the talk of the two main
    speakers does. A role that is told by elimination, while somebody else in the room could have it, is inferred too.

    Parameters
    ----------
    talk : sequence of (label or None, text)
        The utterances in order.
    given : mapping, optional
        Speaker label (in any case) to ``therapist``, ``client`` or ``other``.
    stated : mapping, optional
        `speaker_key` to role, as the file itself says.

    Raises
    ------
    RoleError
        If there is no telling, or only with less than `CONFIDENCE`, or of less than half of the words; or if the
        map names a speaker who is not there.

    Examples
    --------
    >>> assign_roles([("Doctor", "What's wrong?"), ("Ana", "My back.")]).of
    {'doctor': 'therapist', 'ana': 'client'}
    """
    words: dict[str, int] = {}
    for label, text in talk:
        key = speaker_key(label)
        words[key] = words.get(key, 0) + len(text.split())
    keys = [key for key in words if key]
    total = sum(words.values())
    if not keys:
        raise RoleError(f"no utterance has a speaker's label; who speaks is not guessed. {_LABEL_THEM}")
    if words.get("", 0) > _WORST_LABELLED * total:
        raise RoleError(
            f"more than half of the words have no speaker's label; who speaks is not guessed. {_LABEL_THEM}"
        )
    named = _from_map(given, keys) if given else {}
    if given:
        source: RoleSource = "given"
    else:
        source = "labels"
    roles: dict[str, Role] = {}
    for key in keys:
        role = named.get(key) or (stated or {}).get(key) or role_of_label(key)
        if role:
            roles[key] = role
    if len(keys) == 1:
        raise RoleError(
            (f"the only speaker is {keys[0]!r}" if _is_plain(keys[0]) else "there is only one speaker")
            + "; a session needs a therapist and a client. If both speak under one label, label them apart"
        )

    main = sorted(keys, key=lambda key: -words[key])[:2]
    two = sum(words[key] for key in main) > MAIN_SHARE * total
    confidence = _by_elimination(roles, words, main if two else keys, fixed=frozenset(named))
    if confidence < 1:
        source = "inferred"
    if not {"therapist", "client"} <= set(roles.values()):
        lacking = "therapist" if "therapist" not in roles.values() else "client"
        if given:
            raise RoleError(f"the given roles leave the session without a {lacking}; speakers: {_list(keys)}")
        known = "client" if lacking == "therapist" else "therapist"
        # "P" and "C" may both mean the client: then the talk tells them apart
        ambiguous = two and all(roles.get(key) == known for key in main)
        if known in roles.values() and roles.keys() & ({*main} if two else words) and not ambiguous:
            raise RoleError(
                f"the labels name a {known}, but no {lacking}, and nobody who could be the {lacking} for sure. Say who "
                f"is or speaks for the {lacking} (--roles LABEL={lacking}). "
                f"Speakers: {_list(keys)}"
            )
        source = "inferred"
        roles, confidence = _from_talk(talk, keys, main, two)
    told = {*named, *(key for key, role in roles.items() if role != "other" or not is_unknown(key))}
    if sum(words[key] for key in told) < _LEAST_TOLD * total:
        open_ = [key for key in keys if key not in told]
        raise RoleError(
            "therapist and client can be told, but less than half of the words are theirs or of somebody else whose "
            "part is known. Give each of the others a role by the label, which `rupturekit check` shows (--roles "
            f"LABEL=client,LABEL=other). Without a part, {len(open_)} of {len(keys)} speakers: {_list(keys, open_)}"
        )
    everyone: dict[str, Role] = {key: roles.get(key, "other") for key in words}
    return Roles(everyone, source, confidence)


LISTED = 20
"""How many speakers a message names."""


def _list(keys: Sequence[str], some: Sequence[str] | None = None) -> str:
    """Name the speakers, or some of them, by their places among all."""
    shown = keys if some is None else some
    more = f"; and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
    return "; ".join(_shown(key, keys) for key in shown[:LISTED]) + more


def _from_map(given: Mapping[str, str], keys: Sequence[str]) -> dict[str, Role]:
    named: dict[str, Role] = {}
    for number, (label, value) in enumerate(given.items(), 1):
        role = value if value in ROLES else role_of_label(value)
        if role is None:
            raise RoleError(f"role {number} of the given roles is none of {', '.join(ROLES)}")
        key = speaker_key(label)
        if key not in keys:
            raise RoleError(f"label {number} of the given roles is no speaker here; speakers: {_list(keys)}")
        named[key] = cast(Role, role)
    return named


def _by_elimination(
    roles: dict[str, Role], words: Mapping[str, int], main: Sequence[str], fixed: frozenset[str]
) -> float:
    """Where one of therapist and client is lacking and one main speaker is left, that is the one.

    Returns how sure that is: the speaker's share of the words of all who could be it.
    """
    sure = 1.0
    for lacking, other in (("client", "therapist"), ("therapist", "client")):
        if lacking in roles.values() or other not in roles.values():
            continue
        left = [key for key in main if key not in roles]
        relatives = [key for key in roles if roles[key] == "other" and key not in fixed and lacking == "client"]
        if not left:
            # a mother or partner who sits alone with the therapist is the client of this session
            left = [key for key in main if key in relatives and not _is_beside(key)]
        if len(left) == 1:
            nobody = [key for key in relatives if _is_beside(key) or is_unknown(key)]
            others = {*relatives, *(key for key in words if key and key not in roles)} - {*nobody, *left}
            said = words[left[0]]
            sure = round(said / (said + sum(words[key] for key in others)), 4) if others else 1.0
            roles[left[0]] = cast(Role, lacking)
    return sure


def _from_talk(
    talk: Sequence[tuple[str | None, str]], keys: Sequence[str], main: Sequence[str], two: bool
) -> tuple[dict[str, Role], float]:
    todo = f"Give the roles (--roles LABEL=therapist). Speakers: {_list(keys)}"
    if not two:
        raise RoleError(f"the labels name no roles, and more than two speakers share the talk. {todo}")
    texts: dict[str, list[str]] = {key: [] for key in keys}
    for label, text in talk:
        if key := speaker_key(label):
            texts[key].append(text)
    first = infer_therapist(texts[main[0]], texts[main[1]])
    confidence = max(first, 1 - first)
    if confidence < CONFIDENCE:
        raise RoleError(
            f"the labels name no roles, and the talk tells them apart with confidence {confidence:.2f} only "
            f"({CONFIDENCE:.2f} is needed). {todo}"
        )
    therapist, client = main if first >= 0.5 else reversed(main)
    return {therapist: "therapist", client: "client"}, round(confidence, 4)


def contradicted(therapist: Sequence[str], client: Sequence[str]) -> bool:
    """Tell whether the talk says clearly that the therapist's words are the client's and the reverse."""
    return len(therapist) + len(client) >= 12 and infer_therapist(client, therapist) >= _CONTRADICTION
