"""The marker tree: families, markers and their definitions, read from versioned data; crosswalks to other schemes.

The names derive from the Rupture Resolution Rating System (Eubanks, Muran & Safran 2015; validated in
Eubanks, Lubitz, Muran & Safran 2019, doi 10.1080/10503307.2018.1552034); the wording is this project's own.
A team's own codebook is a TOML file in the form of ``data/codebook/3rs-2015.toml``.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from .annotation import CLIENT_FAMILIES, FAMILIES, Family

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class CodebookMarker:
    """One marker of a codebook.

    ``code`` is the short name that coders write (``C5``); ``id`` is the name in every output
    (``complaint_progress``); ``speaker`` is whose turns it stands on, ``client`` or ``therapist``.
    """

    id: str
    code: str
    parent: Family
    speaker: str
    label: str
    definition: str
    not_when: str
    source: str


@dataclass(frozen=True, slots=True)
class EpisodeGuide:
    """What makes an episode of ruptures, by `rupturekit.episodes`; the table ``[episode]`` of a codebook.

    Parameters
    ----------
    clear, clear_score
        The clarity, or for rules and models the score, from which one marker opens an episode.
    near
        Client turns, its own included, among which a second rupture opens an episode with a fainter one.
    own_words, returns, at_length
        Collaboration returns in ``returns`` client turns without a rupture of ``own_words`` words, or in one of
        ``at_length``.
    apart
        Client turns between two episodes, below which they are one.
    after
        Turns after an episode in which the therapist's answers still belong to it.
    mixed
        Share of the turns with a rupture from which the rarer family makes an episode mixed.
    stalls
        Turns with a rupture from which the work stalls (depth 2).
    bond, bond_turns
        Markers that put the bond or the treatment in question, and the turns with one from which depth is 3.
    """

    clear: int = 2
    clear_score: float = 0.3
    near: int = 3
    own_words: int = 12
    returns: int = 2
    at_length: int = 25
    apart: int = 3
    after: int = 4
    mixed: float = 0.25
    stalls: int = 4
    bond: tuple[str, ...] = ()
    bond_turns: int = 3


@dataclass(frozen=True, slots=True)
class Codebook:
    """A versioned set of markers, and what makes an episode of them.

    Examples
    --------
    >>> book = load_codebook()
    >>> book["complaint_progress"].parent, book.by_code("C5").id
    ('confrontation', 'complaint_progress')
    >>> len([m for m in book.markers if m.parent == "resolution"])
    10
    """

    name: str
    version: str
    markers: tuple[CodebookMarker, ...]
    episode: EpisodeGuide = EpisodeGuide()

    def __getitem__(self, marker_id: str) -> CodebookMarker:
        for marker in self.markers:
            if marker.id == marker_id:
                return marker
        raise KeyError(f"no marker {marker_id!r} in codebook {self.name} {self.version}")

    def __contains__(self, marker_id: object) -> bool:
        return any(marker.id == marker_id for marker in self.markers)

    def by_code(self, code: str) -> CodebookMarker:
        """Return the marker with a coder's short name.

        Raises
        ------
        KeyError
            If the codebook has no such code.
        """
        for marker in self.markers:
            if marker.code == code:
                return marker
        raise KeyError(f"no code {code!r} in codebook {self.name} {self.version}")

    def of(self, family: str) -> tuple[CodebookMarker, ...]:
        """Return the markers of one family, in the codebook's order."""
        return tuple(marker for marker in self.markers if marker.parent == family)


Match = Literal["exact", "partial", "none"]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What another scheme has for one marker.

    Parameters
    ----------
    id : str
        The marker here.
    labels : tuple of str
        Its names there; empty where ``match`` is ``none``.
    match : {"exact", "partial", "none"}
        ``exact``: the same behaviour by the descriptions known; ``partial``: one contains or overlaps the other.
    verified : bool
        Whether the names were read in a source by the scheme's authors. If not, they are labels and no more.
    note : str
        What the match leaves out, or what is not known.
    """

    id: str
    labels: tuple[str, ...]
    match: Match
    verified: bool = False
    note: str = ""

    def __str__(self) -> str:
        if not self.labels:
            return self.match
        return f"{'; '.join(self.labels)} ({self.match}{'' if self.verified else ', name not verified'})"


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """The markers of a codebook in the words of another scheme.

    ``without_counterpart`` lists what the other scheme has and the codebook lacks.

    Examples
    --------
    >>> walk = load_crosswalk()
    >>> print(walk["minimal_response"])
    Patient, movement away: shutting down, minimal response (exact, name not verified)
    >>> walk["flattened_affect"].match, walk.without_counterpart
    ('none', ('Therapist, movement away',))
    """

    name: str
    version: str
    codebook: str
    counterparts: tuple[Counterpart, ...]
    without_counterpart: tuple[str, ...] = ()

    def __getitem__(self, marker_id: str) -> Counterpart:
        for counterpart in self.counterparts:
            if counterpart.id == marker_id:
                return counterpart
        raise KeyError(f"no marker {marker_id!r} in crosswalk {self.name} {self.version}")

    def __contains__(self, marker_id: object) -> bool:
        return any(counterpart.id == marker_id for counterpart in self.counterparts)


def load_codebook(source: str = "3rs-2015") -> Codebook:
    """Load a codebook by its name here, or from a TOML file of the user's own.

    Parameters
    ----------
    source : str
        ``3rs-2015``, or the path of a ``.toml`` file in the same form. A marker needs an ``id``, a ``code``, a
        ``parent`` (one of the four families) and a ``label``; ``definition``, ``not_when`` and ``source`` may be
        left out, and ``speaker`` follows from the parent.

    Raises
    ------
    ValueError
        If the file is not a codebook; the message says which entry and why.
    FileNotFoundError
        If there is no such codebook.
    """
    return _parse(*_toml(source)) if source.endswith(".toml") else _shipped(source)


@lru_cache(maxsize=8)
def _shipped(name: str) -> Codebook:
    # a user's own file is read anew each time, because it may have been edited
    return _parse(*_toml(name))


def load_crosswalk(source: str = "3rs-2022") -> Crosswalk:
    """Load a crosswalk by its name here, or from a TOML file of the user's own.

    Parameters
    ----------
    source : str
        ``3rs-2022``, or the path of a ``.toml`` file in the same form. The shipped file says which names of the
        2022 manual were found where, and which were not.

    Raises
    ------
    ValueError
        If the file is not a crosswalk; the message says which entry and why.
    FileNotFoundError
        If there is no such crosswalk.
    """
    raw, where = _toml(source)
    counterparts = []
    for number, entry in enumerate(_entries(raw, "map", where), 1):
        place = f"{where}: map {number} ({entry.get('id', 'no id')})"
        if not isinstance(entry.get("labels", []), list):
            raise ValueError(f"{place}: labels is not a list; put it in square brackets")
        try:
            counterpart = Counterpart(**{**entry, "labels": tuple(entry.get("labels", ()))})
        except TypeError as error:
            raise ValueError(f"{place}: {_plain(error)}") from None
        if counterpart.match not in get_args(Match):
            raise ValueError(f"{place}: match {counterpart.match!r}: give {', '.join(get_args(Match))}")
        if bool(counterpart.labels) == (counterpart.match == "none"):
            raise ValueError(f"{place}: match {counterpart.match!r} with {len(counterpart.labels)} labels")
        counterparts.append(counterpart)
    _unique(counterparts, "id", where)
    name, version, codebook = (str(raw.get(key, "")) for key in ("name", "version", "codebook"))
    return Crosswalk(name, version, codebook, tuple(counterparts), tuple(raw.get("without_counterpart", ())))


def _parse(raw: dict[str, Any], where: str) -> Codebook:
    markers = []
    for number, entry in enumerate(_entries(raw, "marker", where), 1):
        place = f"{where}: marker {number} ({entry.get('id', 'no id')})"
        parent = entry.get("parent")
        if parent not in FAMILIES:
            raise ValueError(f"{place}: unknown parent {parent!r}; give one of {', '.join(FAMILIES)}")
        speaker = "client" if parent in CLIENT_FAMILIES else "therapist"
        try:
            marker = CodebookMarker(**{"speaker": speaker, "definition": "", "not_when": "", "source": "", **entry})
        except TypeError as error:
            raise ValueError(f"{place}: {_plain(error)}") from None
        if wrong := [key for key, value in entry.items() if not isinstance(value, str)]:
            raise ValueError(f"{place}: {wrong[0]} is not text; put it in quotation marks")
        if marker.speaker != speaker:
            raise ValueError(f"{place}: speaker {marker.speaker!r}, but {parent} is coded on {speaker} turns")
        for key in ("id", "code"):
            if not getattr(marker, key) or getattr(marker, key).split() != [getattr(marker, key)]:
                raise ValueError(f"{place}: {key} is empty or has a space in it")
        markers.append(marker)
    for key in ("id", "code"):
        _unique(markers, key, where)
    return Codebook(
        str(raw.get("name", "")),
        str(raw.get("version", "")),
        tuple(markers),
        _guide(raw, {m.id for m in markers}, where),
    )


def _guide(raw: dict[str, Any], markers: set[str], where: str) -> EpisodeGuide:
    table = raw.get("episode", {})
    if not isinstance(table, dict):
        raise ValueError(f"{where}: episode is no table; write [episode] above its lines")
    usual = asdict(EpisodeGuide())
    for key, value in table.items():
        if key not in usual:
            raise ValueError(f"{where}: [episode] has an unknown key {key!r}; there are {', '.join(usual)}")
        if key == "bond":
            if not isinstance(value, list) or not markers.issuperset(map(str, value)):
                raise ValueError(f"{where}: [episode] bond is no list of markers of this codebook")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ValueError(f"{where}: [episode] {key} is not a number of 0 or more")
    return EpisodeGuide(**{**table, "bond": tuple(table.get("bond", ()))})


def _toml(source: str) -> tuple[dict[str, Any], str]:
    """Read a TOML file, one of ours or the user's; return it with its name for messages."""
    file = Path(source) if source.endswith(".toml") else resources.files("rupturekit") / f"data/codebook/{source}.toml"
    if not file.is_file():
        raise FileNotFoundError(f"no codebook or crosswalk {source!r}; give a name such as 3rs-2015 or a .toml file")
    try:
        return tomllib.loads(file.read_text("utf-8")), source
    except UnicodeDecodeError:
        raise ValueError(f"{source}: not UTF-8; save it anew in that encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source}: not TOML: {error}") from None
    except RecursionError:
        raise ValueError(f"{source}: lists or tables too deep in each other") from None


def _entries(raw: dict[str, Any], kind: str, where: str) -> list[dict[str, Any]]:
    entries = raw.get(kind)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        other = {"marker": "map", "map": "marker"}[kind]
        hint = {"marker": "codebook", "map": "crosswalk"}[other]
        raise ValueError(f"{where}: no [[{kind}]] entries{f'; this is a {hint}' if other in raw else ''}")
    return entries


def _unique(entries: list[Any], key: str, where: str) -> None:
    values = [getattr(entry, key) for entry in entries]
    if twice := {value for value in values if values.count(value) > 1}:
        raise ValueError(f"{where}: {key} used twice: {', '.join(sorted(twice))}")


def _plain(error: TypeError) -> str:
    # "X.__init__() missing 1 required positional argument: 'code'": the user's file has keys, not arguments
    told = str(error).partition("() ")[2].replace("required positional argument", "key")
    return told.replace("got an unexpected keyword argument", "unknown key")
