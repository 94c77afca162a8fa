"""The marker tree: families, markers and their definitions, read from versioned data.

The names derive from the Rupture Resolution Rating System (Eubanks, Muran & Safran 2015; validated in
Eubanks, Lubitz, Muran & Safran 2019, doi 10.1080/10503307.2018.1552034); the wording is this project's own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from .annotation import FAMILIES, Family

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class CodebookMarker:
    """One marker of a codebook.

    ``code`` is the short name that coders write (``C5``); ``id`` is the name in every output
    (``complaint_progress``).
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
class Codebook:
    """A versioned set of markers.

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


def _parse(raw: dict[str, Any], where: str) -> Codebook:
    markers = []
    for number, entry in enumerate(raw.get("marker", []), 1):
        try:
            marker = CodebookMarker(**entry)
        except TypeError as error:
            raise ValueError(f"{where}: marker {number}: {error}") from None
        if marker.parent not in FAMILIES:
            raise ValueError(f"{where}: marker {number} ({marker.id}): unknown parent {marker.parent!r}")
        markers.append(marker)
    for key in ("id", "code"):
        values = [getattr(marker, key) for marker in markers]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise ValueError(f"{where}: {key} used twice: {', '.join(sorted(twice))}")
    if not markers:
        raise ValueError(f"{where}: no [[marker]] entries")
    return Codebook(cast(str, raw.get("name", "")), cast(str, raw.get("version", "")), tuple(markers))


@lru_cache(maxsize=8)
def load_codebook(source: str = "3rs-2015") -> Codebook:
    """Load a codebook by its name here, or from a TOML file of the user's own.

    Parameters
    ----------
    source : str
        ``3rs-2015``, or the path of a ``.toml`` file in the same form.

    Raises
    ------
    ValueError
        If the file is not a codebook; the message says which entry and why.
    FileNotFoundError
        If there is no such codebook.
    """
    if source.endswith(".toml"):
        text, where = Path(source).read_text("utf-8"), source
    else:
        file = resources.files("rupturekit") / "data" / "codebook" / f"{source}.toml"
        if not file.is_file():
            raise FileNotFoundError(f"no codebook {source!r}; give a name such as 3rs-2015 or a .toml file")
        text, where = file.read_text("utf-8"), source
    try:
        return _parse(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: not TOML: {error}") from None
