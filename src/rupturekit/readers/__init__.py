"""Bytes of a transcript file → raw utterances; one module for each family of formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class ReadError(ValueError):
    """A file could not be read as a transcript; says what was found, where, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance as the input had it, before roles and merging.

    ``speaker`` is None where the input names none. ``line`` is the 1-based line or row in the file.
    ``source_id`` is the input's own number of the utterance.
    """

    speaker: str | None
    text: str
    start_s: float | None = None
    end_s: float | None = None
    line: int | None = None
    source_id: str | None = None


@dataclass(frozen=True, slots=True)
class RawSession:
    """The utterances of one session as read from a file.

    ``id`` is the session's id in a table, else None. ``numbered`` says that the input numbers its own
    turns, which then are not merged. ``meta`` holds what else the input said of the session
    (``client_id``, ``session_number``, ``date``).
    """

    id: str | None
    utterances: tuple[Utterance, ...]
    format: str
    encoding: str | None = None
    numbered: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
